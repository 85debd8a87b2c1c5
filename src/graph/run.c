/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/run.h"

#include "base/threads.h"
#include "graph/plan.h"
#include "ops/op.h"

#include <string.h>

struct step {
  struct call call;
  const void **in;
  bool *in_batched;
  void **out;
};

struct run {
  const struct graph *graph;
  int64_t n;
  struct plan plan;
  size_t scratch; /* bytes, behind the values */
  struct arena *arena;
  struct step *steps;
  int n_steps;
  unsigned char *memory;
};

void run_free(struct run *run)
{
  if (!run)
    return;
  for (int i = 0; run->steps && i < run->n_steps; i++)
    if (run->steps[i].call.state)
      run->steps[i].call.node->op->release(run->steps[i].call.state);
  plan_free(&run->plan);
  arena_free(run->arena);
  mem_free(run);
}

static bool step_make(struct run *run, struct step *step, const struct node *node, struct compute *compute,
                      struct error *err)
{
  const size_t n_in = (size_t)node->n_in + 1, n_out = (size_t)node->n_out + 1;
  step->in = arena_array(run->arena, n_in, sizeof *step->in);
  step->in_batched = arena_array(run->arena, n_in, sizeof *step->in_batched);
  step->out = arena_array(run->arena, n_out, sizeof *step->out);
  if (!step->in || !step->in_batched || !step->out)
    return error_memory(err, "a run");
  for (int i = 0; i < node->n_in; i++)
    step->in_batched[i] = node->in[i] && !node->in[i]->t.data;
  step->call = (struct call){
      .node = node,
      .n = run->n,
      .in = step->in,
      .in_batched = step->in_batched,
      .out = step->out,
      .compute = compute,
  };
  if (!node->op->prepare)
    return true;
  struct prepared prepared = {.state = NULL};
  if (!node->op->prepare(node, run->n, compute, &prepared, err)) {
    char why[sizeof err->message];
    memcpy(why, err->message, sizeof why);
    if (strncmp(why, node->type, strlen(node->type)) != 0)
      error_prefix(err, "%s '%.60s'", node->type, node->name);
    return false;
  }
  step->call.state = prepared.state;
  if (prepared.scratch > run->scratch)
    run->scratch = prepared.scratch;
  return true;
}

struct run *run_new(const struct graph *graph, struct compute *compute, int64_t n, struct value *const *keep,
                    int n_keep, bool keep_all, struct error *err)
{
  struct run *run = mem_zero(1, sizeof *run);
  if (run) {
    run->graph = graph;
    run->n = n;
    run->arena = arena_new(0);
  }
  if (!run || !run->arena || !(run->steps = arena_array(run->arena, (size_t)graph->n_nodes + 1, sizeof *run->steps))) {
    run_free(run);
    error_memory(err, "a run");
    return NULL;
  }
  bool ok = plan_make(graph, n, keep, n_keep, keep_all, &run->plan, err);
  for (int i = 0; ok && i < graph->n_nodes; i++)
    if (!node_is_view(graph->nodes[i]))
      ok = step_make(run, &run->steps[run->n_steps++], graph->nodes[i], compute, err);
  if (!ok) {
    run_free(run);
    return NULL;
  }
  return run;
}

size_t run_bytes(const struct run *run)
{
  return run->plan.bytes + run->scratch + MEM_ALIGN;
}

static void *data_of(const struct run *run, const struct value *value)
{
  if (!value)
    return NULL;
  if (value->t.data)
    return value->t.data;
  const size_t offset = run->plan.offset[value->id];
  return offset == PLAN_NOWHERE ? NULL : run->memory + offset;
}

void run_bind(struct run *run, void *memory)
{
  if (run->memory == memory)
    return;
  run->memory = memory;
  for (int i = 0; i < run->n_steps; i++) {
    struct step *step = &run->steps[i];
    const struct node *node = step->call.node;
    for (int k = 0; k < node->n_in; k++)
      step->in[k] = data_of(run, node->in[k]);
    for (int k = 0; k < node->n_out; k++)
      step->out[k] = data_of(run, node->out[k]);
    step->call.residual = data_of(run, node->residual);
    step->call.scratch = run->memory + run->plan.bytes;
  }
}

void *run_input(struct run *run, int i)
{
  return data_of(run, run->graph->inputs[i]);
}

int run_steps(const struct run *run)
{
  return run->n_steps;
}

const struct node *run_node(const struct run *run, int i)
{
  return run->steps[i].call.node;
}

bool run_step(struct run *run, int i, struct error *err)
{
  const struct call *call = &run->steps[i].call;
  return call->node->op->forward(call, err);
}

bool run_execute(struct run *run, struct error *err)
{
  const unsigned state = threads_flush();
  bool ok = true;
  for (int i = 0; ok && i < run->n_steps; i++)
    ok = run_step(run, i, err);
  threads_unflush(state);
  return ok;
}

const void *run_value(const struct run *run, const struct value *value)
{
  return data_of(run, value);
}

bool run_bytes_per_sample(const struct graph *graph, struct value *const *keep, int n_keep, bool keep_all,
                          size_t *bytes, struct error *err)
{
  struct plan plan;
  if (!plan_make(graph, 1, keep, n_keep, keep_all, &plan, err))
    return false;
  *bytes = plan.bytes;
  plan_free(&plan);
  return true;
}

/* What a byte from main memory costs, in multiply-accumulates that could be done meanwhile, and what stays in the
 * cache: orders of magnitude of any CPU with wide vectors. */
#define MACS_PER_BYTE 10.0
#define CACHE_BYTES   (12 << 20)

/* Time of one sample in runs of n, in multiply-accumulates: a node waits for its arithmetic, or for the memory. */
static double cost_of_sample(const struct graph *graph, int64_t n)
{
  double sum = 0;
  for (int i = 0; i < graph->n_nodes; i++) {
    const struct node *node = graph->nodes[i];
    if (node_is_view(node))
      continue;
    double varying = 0, shared = 0;
    for (int k = 0; k < node->n_in; k++)
      if (node->in[k])
        *(node->in[k]->t.data ? &shared : &varying) += (double)tensor_bytes(&node->in[k]->t);
    for (int k = 0; k < node->n_out; k++)
      if (node->out[k])
        varying += (double)tensor_bytes(&node->out[k]->t);
    varying += node->residual ? (double)tensor_bytes(&node->residual->t) : 0;
    const double bytes = shared / (double)n + (varying * (double)n > CACHE_BYTES ? varying : 0);
    const double macs = (double)node_macs(node);
    sum += bytes * MACS_PER_BYTE > macs ? bytes * MACS_PER_BYTE : macs;
  }
  return sum;
}

int64_t run_best_batch(const struct graph *graph, int64_t most)
{
  int64_t best = most < 2 ? 1 : 2; /* two always: small layers then split among threads */
  for (int64_t n = 4; n <= most; n *= 2)
    if (cost_of_sample(graph, n) <= cost_of_sample(graph, best))
      best = n;
  return best;
}

bool node_evaluate(struct node *node, struct error *err)
{
  enum { MAX_SLOTS = 512 };
  const void *in[MAX_SLOTS];
  bool batched[MAX_SLOTS] = {false};
  void *out[MAX_SLOTS];
  if (node->n_in > MAX_SLOTS || node->n_out > MAX_SLOTS)
    return node_error(node, err, "has more than %d inputs or outputs", MAX_SLOTS);
  for (int i = 0; i < node->n_in; i++)
    in[i] = node->in[i] ? node->in[i]->t.data : NULL;
  for (int i = 0; i < node->n_out; i++)
    out[i] = node->out[i] ? node->out[i]->t.data : NULL;
  if (node_is_view(node) && node->n_in > 0 && node->n_out > 0 && in[0] && out[0]) {
    memcpy(out[0], in[0], tensor_bytes(&node->out[0]->t));
    return true;
  }
  struct call call = {.node = node, .n = 1, .in = in, .in_batched = batched, .out = out};
  struct prepared prepared = {.state = NULL};
  bool ok = true;
  if (node->op->prepare) {
    ok = (call.compute = compute_open(err)) != NULL && node->op->prepare(node, 1, call.compute, &prepared, err);
    call.state = prepared.state;
    if (ok && prepared.scratch && !(call.scratch = mem_map(prepared.scratch)))
      ok = error_memory(err, "scratch memory");
  }
  ok = ok && node->op->forward(&call, err);
  if (prepared.state)
    node->op->release(prepared.state);
  if (call.scratch)
    mem_unmap(call.scratch, prepared.scratch);
  compute_close(call.compute);
  return ok;
}
