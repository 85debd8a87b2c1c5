/* SPDX-License-Identifier: Apache-2.0 */
/* Where an occlusion map by windows spends its time.
 *
 *   bench-windows MODEL PATCH STRIDE THREADS REPEATS f32|bf16 [BATCH]
 *
 * A line a node of the head, the dearest first: microseconds a position, share, GF/s (of the multiply-accumulates of
 * tight windows), operator, shape, mean window, name. Then the tail. The image is noise; BATCH positions go through
 * together (64). Times are the CPU's, summed over threads: they mean something on a busy machine too. */
#include "base/mem.h"
#include "base/threads.h"
#include "graph/lower.h"
#include "graph/stage.h"
#include "model/model.h"
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
  const struct node *node;
  double seconds, macs, area;
};

static int dearest_first(const void *a, const void *b)
{
  const double x = ((const struct entry *)a)->seconds, y = ((const struct entry *)b)->seconds;
  return (x < y) - (x > y);
}

static void report(const struct increment *inc, struct entry *entries, int n, double positions, double whole)
{
  double total = 0, macs = 0, packed = 0;
  for (int i = 0; i < inc->graph->n_nodes; i++)
    packed += inc->graph->nodes[i]->weights ? (double)weights_bytes(inc->graph->nodes[i]->weights) : 0;
  for (int i = 0; i < n; i++) {
    total += entries[i].seconds;
    macs += entries[i].macs;
  }
  printf("%9.1f us a position, %.1f in the tail; head %.1f GF/s; %.1f MiB in all: windows %.1f, gathered %.1f, scratch "
         "%.1f, base %.1f, tail %.1f; packed weights %.1f\n",
         whole / positions * 1e6, (whole - total) / positions * 1e6, 2e-9 * macs / total,
         (double)increment_bytes(inc) / 1048576, (double)inc->gather_offset / 1048576,
         (double)inc->gather_bytes / 1048576, (double)inc->scratch_bytes / 1048576, (double)inc->base_bytes / 1048576,
         (double)inc->tail_bytes / 1048576, packed / 1048576);
  qsort(entries, (size_t)n, sizeof *entries, dearest_first);
  for (int i = 0; i < n; i++) {
    const struct entry *e = &entries[i];
    char shape[96];
    printf("%9.2f us  %5.1f %%  %6.1f GF/s  %-12s %-20s %7.1f px  %s\n", e->seconds / positions * 1e6,
           100 * e->seconds / whole, 2e-9 * e->macs / e->seconds, e->node->type,
           shape_text(&e->node->out[0]->t.shape, shape, sizeof shape), e->area / positions, e->node->out[0]->name);
  }
}

/* One batch of positions, stage by stage. */
static bool run_batch(struct increment *inc, const struct change *changes, int n, float *raw, struct entry *entries,
                      double *whole, struct error *err)
{
  double from = worker_cpu();
  if (!increment_run(inc, changes, n, raw, NULL, err))
    return false;
  *whole += worker_cpu() - from;
  increment_place(inc, changes, n);
  for (int i = 0; i < inc->n_stages; i++) {
    struct stage *stage = &inc->stages[i];
    const struct layer *out = &inc->layers[stage->node->out[0]->id];
    from = worker_cpu();
    if (!stage_run(inc, stage, n, err))
      return false;
    entries[i].node = stage->node;
    entries[i].seconds += worker_cpu() - from;
    double area = 0;
    for (int p = 0; p < n; p++)
      area += (double)rect_area(&out->window[p].tight);
    entries[i].area += area;
    entries[i].macs += (double)node_macs(stage->node) * area / ((double)out->view.height * out->view.width);
  }
  return true;
}

static bool measure(struct increment *inc, int size, int patch, int stride, int repeats, int batch, struct error *err)
{
  const int along = (size - patch) / stride + 1, all = along * along;
  struct change *changes = mem_zero((size_t)all, sizeof *changes);
  struct entry *entries = mem_zero((size_t)inc->n_stages + 1, sizeof *entries);
  float *content =
      mem_zero((size_t)(patch * patch) * (size_t)inc->layers[inc->graph->inputs[0]->id].view.channels, sizeof *content);
  float *raw = mem_zero((size_t)(tensor_count(&inc->graph->outputs[0]->t) * batch), sizeof *raw);
  double whole = 0;
  bool ok = (changes && entries && content && raw) || error_memory(err, "times");
  for (int p = 0; ok && p < all; p++) {
    const int y = p / along * stride, x = p % along * stride;
    changes[p] = (struct change){{y, x, y + patch, x + patch}, content};
  }
  for (int r = -1; ok && r < repeats; r++) { /* the first pass warms up */
    for (int p = 0; ok && p < all; p += batch)
      ok = run_batch(inc, changes + p, p + batch < all ? batch : all - p, raw, entries, &whole, err);
    if (r < 0) {
      memset(entries, 0, (size_t)inc->n_stages * sizeof *entries);
      whole = 0;
    }
  }
  if (ok)
    report(inc, entries, inc->n_stages, (double)all * repeats, whole);
  mem_free(changes);
  mem_free(entries);
  mem_free(content);
  mem_free(raw);
  return ok;
}

int main(int argc, char **argv)
{
  struct error err = {ERROR_NONE};
  const int patch = argc > 6 ? atoi(argv[2]) : 0, stride = argc > 6 ? atoi(argv[3]) : 0,
            repeats = argc > 6 ? atoi(argv[5]) : 0, batch = argc > 7 ? atoi(argv[7]) : 64;
  if (patch < 1 || stride < 1 || repeats < 1 || batch < 1) {
    (void)fputs("usage: bench-windows MODEL PATCH STRIDE THREADS REPEATS f32|bf16 [BATCH]\n", stderr);
    return 2;
  }
  threads_use(atoi(argv[4]));
  struct model *model = model_open(argv[1], &(struct model_options){.card = NULL}, &err);
  struct compute *compute = model ? compute_open(&err) : NULL;
  struct graph *graph = compute ? graph_fused(model->graph, FUSE_ALL, NULL, 0, &err) : NULL;
  bool ok = graph && (strcmp(argv[6], "bf16") != 0 || graph_lower_bf16(graph, NULL, 0, false, &err));
  const struct increment_options options = {patch, patch, batch, 1, NULL};
  struct increment *inc = ok ? increment_new(graph, compute, &options, &err) : NULL;
  ok = inc != NULL;
  if (ok) {
    const struct layer_view *v = &inc->layers[graph->inputs[0]->id].view;
    const size_t count = (size_t)v->height * (size_t)v->width * (size_t)v->channels;
    float *x = mem_zero(count, sizeof *x);
    ok = x || error_memory(&err, "the image");
    for (size_t i = 0; ok && i < count; i++)
      x[i] = (float)(i * 2654435761u % 1024) / 256.0f - 2.0f; /* all over -2..2 */
    ok = ok && increment_base(inc, 0, x, &err) && measure(inc, v->height, patch, stride, repeats, batch, &err);
    mem_free(x);
  }
  increment_free(inc);
  graph_free(graph);
  compute_close(compute);
  model_close(model);
  return ok ? 0 : worker_fail("bench-windows", &err);
}
