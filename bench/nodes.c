/* SPDX-License-Identifier: Apache-2.0 */
/* Where a forward pass spends its time.
 *
 *   bench-nodes MODEL BATCH THREADS REPEATS f32|bf16
 *
 * A line a node, the dearest first: ms, share, GF/s, operator, shape, name.
 *
 * Times are the CPU's, summed over threads and averaged over the repeats: they mean something on a busy machine too. */
#include "base/mem.h"
#include "base/threads.h"
#include "graph/lower.h"
#include "graph/run.h"
#include "model/model.h"
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
  const struct node *node;
  double seconds;
};

static int dearest_first(const void *a, const void *b)
{
  const double x = ((const struct entry *)a)->seconds, y = ((const struct entry *)b)->seconds;
  return (x < y) - (x > y);
}

static void report(struct entry *entries, int n, int64_t batch, int repeats)
{
  double total = 0, macs = 0;
  for (int i = 0; i < n; i++) {
    total += entries[i].seconds;
    macs += (double)node_macs(entries[i].node) * (double)batch;
  }
  printf("%9.3f ms  %.1f GF/s\n", total / repeats * 1e3, total > 0 ? 2e-9 * macs * repeats / total : 0);
  qsort(entries, (size_t)n, sizeof *entries, dearest_first);
  for (int i = 0; i < n; i++) {
    const struct node *node = entries[i].node;
    const double seconds = entries[i].seconds / repeats, work = (double)node_macs(node) * (double)batch;
    char shape[96];
    printf("%9.3f ms  %5.1f %%  %6.1f GF/s  %-22s %-22s %s\n", seconds * 1e3, 100 * entries[i].seconds / total,
           seconds > 0 ? 2e-9 * work / seconds : 0, node->type, shape_text(&node->out[0]->t.shape, shape, sizeof shape),
           node->out[0]->name);
  }
}

static bool measure(struct run *run, int64_t batch, int repeats, struct error *err)
{
  const int n = run_steps(run);
  struct entry *entries = mem_zero((size_t)n + 1, sizeof *entries);
  bool ok = entries || error_memory(err, "times");
  const unsigned state = threads_flush();
  for (int r = -1; ok && r < repeats; r++) /* the first pass warms up */
    for (int i = 0; ok && i < n; i++) {
      const double from = worker_cpu();
      ok = run_step(run, i, err);
      entries[i].node = run_node(run, i);
      entries[i].seconds += r >= 0 ? worker_cpu() - from : 0;
    }
  if (ok)
    report(entries, n, batch, repeats);
  threads_unflush(state);
  mem_free(entries);
  return ok;
}

int main(int argc, char **argv)
{
  struct error err = {ERROR_NONE};
  if (argc != 6) {
    (void)fputs("usage: bench-nodes MODEL BATCH THREADS REPEATS f32|bf16\n", stderr);
    return 2;
  }
  const int64_t batch = atoll(argv[2]);
  const int repeats = atoi(argv[4]);
  if (batch < 1 || repeats < 1) {
    (void)fputs("bench-nodes: BATCH and REPEATS are at least 1\n", stderr);
    return 2;
  }
  threads_use(atoi(argv[3]));
  struct model *model = model_open(argv[1], &(struct model_options){.card = NULL}, &err);
  struct compute *compute = model ? compute_open(&err) : NULL;
  struct graph *graph = compute ? graph_fused(model->graph, FUSE_ALL, NULL, 0, &err) : NULL;
  bool ok = graph && (strcmp(argv[5], "bf16") != 0 || graph_lower_bf16(graph, NULL, 0, false, &err));
  struct run *run = ok ? run_new(graph, compute, batch, NULL, 0, false, &err) : NULL;
  void *memory = run ? mem_map(run_bytes(run)) : NULL;
  ok = run && (memory || error_memory(&err, "activations"));
  if (ok) {
    run_bind(run, memory);
    const size_t count = (size_t)(batch * tensor_count(&graph->inputs[0]->t));
    float *x = run_input(run, 0);
    for (size_t i = 0; i < count; i++)
      x[i] = (float)(i * 2654435761u % 1024) / 256.0f - 2.0f; /* all over -2..2 */
    ok = measure(run, batch, repeats, &err);
  }
  if (memory)
    mem_unmap(memory, run_bytes(run));
  run_free(run);
  graph_free(graph);
  compute_close(compute);
  model_close(model);
  return ok ? 0 : worker_fail("bench-nodes", &err);
}
