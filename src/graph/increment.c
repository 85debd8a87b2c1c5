/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/increment.h"

#include "base/threads.h"
#include "graph/joined.h"
#include "graph/plan.h"
#include "graph/stage.h"

#include <string.h>

bool increment_share(const struct graph *graph, const struct increment_options *options, double *share,
                     struct error *err)
{
  struct arena *arena = arena_new(0);
  struct layer *layers = arena ? layers_new(graph, options->height, options->width, arena, err) : NULL;
  const bool ok = layers != NULL || (!arena && error_memory(err, "windows"));
  double full = 0, windowed = 0;
  for (int i = 0; ok && i < graph->n_nodes; i++) {
    const struct node *node = graph->nodes[i];
    const struct layer *layer = &layers[node->out[0]->id];
    const double macs = (double)node_macs(node);
    full += macs;
    if (!layer->head) {
      windowed += macs;
      continue;
    }
    const double part = layer->mean[0] * layer->mean[1] / ((double)layer->view.height * layer->view.width);
    windowed += macs * (part < 1 ? part : 1);
  }
  *share = full > 0 ? windowed / full : 1;
  arena_free(arena);
  return ok;
}

/* ---- making ---------------------------------------------------------------------------------------------------- */

void increment_free(struct increment *inc)
{
  if (!inc)
    return;
  for (int i = 0; i < inc->n_stages; i++)
    stage_release(&inc->stages[i]);
  run_free(inc->base);
  mem_unmap(inc->base_memory, inc->base_bytes);
  for (int i = 0; i <= TAIL_LOG2; i++)
    run_free(inc->tail_runs[i]);
  graph_free(inc->tail);
  mem_unmap(inc->tail_memory, inc->tail_bytes);
  mem_unmap(inc->memory, inc->memory_bytes);
  mem_unmap(inc->scratch, inc->scratch_bytes);
  mem_free(inc->segments);
  arena_free(inc->arena);
  mem_free(inc);
}

size_t increment_bytes(const struct increment *inc)
{
  size_t bytes = inc->memory_bytes + inc->scratch_bytes + inc->base_bytes + inc->tail_bytes;
  for (int i = 0; i < inc->n_stages; i++)
    bytes += inc->stages[i].joined ? joined_bytes(inc->stages[i].joined) : 0;
  return bytes;
}

static bool make_stages(struct increment *inc, struct error *err)
{
  inc->stages = arena_array(inc->arena, (size_t)inc->graph->n_nodes + 1, sizeof *inc->stages);
  if (!inc->stages)
    return error_memory(err, "windows");
  for (int i = 0; i < inc->graph->n_nodes; i++) {
    const struct node *affine, *join;
    joined_takes(inc->layers, inc->graph->nodes[i], inc->options.layer, &affine, &join);
    if (affine)
      inc->layers[affine->out[0]->id].passing = true;
    if (join)
      inc->layers[join->out[0]->id].passing = true;
  }
  for (int i = 0; i < inc->graph->n_nodes; i++) {
    const struct node *node = inc->graph->nodes[i];
    const struct layer *layer = &inc->layers[node->out[0]->id];
    if (layer->head && layer->alias < 0 && !layer->passing &&
        !stage_make(&inc->stages[inc->n_stages++], node, inc, err))
      return false;
  }
  return true;
}

/* Windows that may become whole maps need room for that; so do the layers that take their windows over. */
static void widen_bounds(struct increment *inc)
{
  for (int i = 0; i < inc->n_stages; i++) {
    struct stage *stage = &inc->stages[i];
    const struct node *node = stage->node;
    struct layer *out = &inc->layers[node->out[0]->id];
    bool whole = stage_prefers_whole(stage, &out->view, (double)out->bound[0] * out->bound[1]);
    if (stage->rule.kind == WINDOW_POINT || stage->rule.kind == WINDOW_JOIN)
      for (int k = 0; k <= stage->n_in; k++) {
        const struct value *in = k < stage->n_in ? stage->in[k] : node->residual;
        if (!varies(in))
          continue;
        const struct layer *from = layer_of(inc, in);
        for (int a = 0; a < 2; a++)
          out->bound[a] = from->bound[a] > out->bound[a] ? from->bound[a] : out->bound[a];
      }
    if (whole) {
      out->bound[0] = out->view.height;
      out->bound[1] = out->view.width;
    }
  }
}

/* Windows of every layer by liveness, then the largest gather. */
static bool place_memory(struct increment *inc, struct error *err)
{
  struct piece *pieces = mem_zero((size_t)inc->n_stages + 2, sizeof *pieces);
  bool ok = pieces != NULL || error_memory(err, "windows");
  inc->layers[inc->graph->inputs[0]->id].last = -1;
  for (int i = 0; ok && i < inc->n_stages; i++) {
    const struct stage *stage = &inc->stages[i];
    inc->layers[stage->node->out[0]->id].last = i;
    for (int k = 0; k <= stage->n_in; k++) {
      const struct value *in = k < stage->n_in ? stage->in[k] : stage->node->residual;
      if (varies(in))
        layer_of(inc, in)->last = i;
    }
    const size_t need = stage_gather_bytes(inc, stage);
    inc->gather_bytes = need > inc->gather_bytes ? need : inc->gather_bytes;
  }
  for (int i = 0; ok && i < inc->tail->n_inputs; i++)
    layer_of(inc, inc->tail->inputs[i])->last = inc->n_stages;
  if (ok && inc->options.layer && inc->layers[inc->options.layer->id].head)
    layer_of(inc, inc->options.layer)->last = inc->n_stages;
  int n = 0;
  for (int i = -1; ok && i < inc->n_stages; i++) {
    const struct value *value = i < 0 ? inc->graph->inputs[0] : inc->stages[i].node->out[0];
    const struct layer *layer = &inc->layers[value->id];
    pieces[n++] = (struct piece){
        .value = value->id,
        .first = i,
        .last = layer->last,
        .bytes = stage_pixel_bytes(inc->options.batch * area_of_bound(layer), layer->view.pixel),
    };
  }
  size_t bytes = 0;
  ok = ok && plan_place(pieces, n, &bytes, err);
  for (int i = 0; ok && i < n; i++)
    inc->layers[pieces[i].value].offset = pieces[i].offset;
  inc->gather_offset = bytes;
  inc->memory_bytes = bytes + inc->gather_bytes + MEM_ALIGN;
  if (ok && !(inc->memory = mem_map(inc->memory_bytes)))
    ok = error_memory(err, "windows");
  mem_free(pieces);
  return ok;
}

/* The tail as a graph of its own: what is not head, fed by the head's values it reads. */
static bool make_tail(struct increment *inc, struct error *err)
{
  bool *head = mem_zero((size_t)inc->graph->n_values + 1, sizeof *head);
  if (!head)
    return error_memory(err, "windows");
  for (int i = 0; i < inc->graph->n_values; i++)
    head[i] = inc->layers[i].head;
  inc->tail = graph_rest(inc->graph, head, err);
  mem_free(head);
  int64_t weights = 0, macs = 0;
  for (int i = 0; inc->tail && i < inc->tail->n_nodes; i++) {
    const struct node *node = inc->tail->nodes[i];
    macs += node_macs(node);
    weights += (node->op->flags & OP_WEIGHTS) ? tensor_count(&node->in[1]->t) : 0;
  }
  inc->tail_streams = macs < 4 * weights;
  return inc->tail != NULL;
}

/* log2 of the samples that a run of the tail takes when `left` are to go. A tail that does little but read its weights
 * (fully connected layers) rather runs on more samples than there are than reads them twice. */
static int tail_log2(const struct increment *inc, int left)
{
  int log2 = inc->tail_streams ? TAIL_LOG2 : TAIL_LOG2 - 1;
  while (log2 > 0 && (inc->tail_streams ? 1 << (log2 - 1) >= left : 1 << log2 > left))
    log2--;
  return log2;
}

static bool make_base(struct increment *inc, struct error *err)
{
  struct value **keep = mem_zero((size_t)inc->graph->n_values + 1, sizeof *keep);
  int n = 0;
  if (!keep)
    return error_memory(err, "the base run");
  for (int i = 0; i < inc->graph->n_values; i++)
    if (inc->layers[i].head && !inc->layers[i].passing)
      keep[n++] = inc->graph->values[i];
  inc->base = run_new(inc->graph, inc->compute, 1, keep, n, false, err);
  mem_free(keep);
  if (!inc->base)
    return false;
  inc->base_step = inc->options.bases > 1 ? (run_bytes(inc->base) + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN : 0;
  inc->base_bytes = inc->base_step ? inc->base_step * (size_t)inc->options.bases : run_bytes(inc->base);
  inc->base_memory = mem_map(inc->base_bytes);
  if (!inc->base_memory)
    return error_memory(err, "the base run");
  run_bind(inc->base, inc->base_memory);
  for (int i = 0; i < inc->graph->n_values; i++)
    if (inc->layers[i].head && !inc->layers[i].passing)
      inc->layers[i].view.base = run_value(inc->base, inc->graph->values[i]);
  return true;
}

/* The tail for 2^log2 samples, bound to the memory of them all. */
static struct run *tail_run(struct increment *inc, int log2, struct error *err)
{
  if (!inc->tail_runs[log2]) {
    struct value *layer = inc->options.layer && !inc->layers[inc->options.layer->id].head
                              ? inc->tail->values[inc->options.layer->id]
                              : NULL;
    struct run *run = run_new(inc->tail, inc->compute, (int64_t)1 << log2, &layer, layer != NULL, false, err);
    if (!run)
      return NULL;
    if (run_bytes(run) > inc->tail_bytes) {
      void *larger = mem_map(run_bytes(run));
      if (!larger) {
        run_free(run);
        error_memory(err, "activations");
        return NULL;
      }
      mem_unmap(inc->tail_memory, inc->tail_bytes);
      inc->tail_memory = larger;
      inc->tail_bytes = run_bytes(run);
    }
    inc->tail_runs[log2] = run;
  }
  run_bind(inc->tail_runs[log2], inc->tail_memory);
  return inc->tail_runs[log2];
}

/* The largest that will be needed, so that increment_bytes tells what a call takes. */
static bool make_tail_run(struct increment *inc, struct error *err)
{
  return tail_run(inc, tail_log2(inc, inc->options.batch), err) != NULL;
}

struct increment *increment_new(const struct graph *graph, struct compute *compute,
                                const struct increment_options *options, struct error *err)
{
  struct increment *inc = mem_zero(1, sizeof *inc);
  bool ok = inc && (inc->arena = arena_new(0));
  if (!ok)
    error_memory(err, "windows");
  ok = ok && (inc->layers = layers_new(graph, options->height, options->width, inc->arena, err));
  if (ok) {
    const size_t batch = (size_t)options->batch;
    inc->graph = graph;
    inc->compute = compute;
    inc->options = *options;
    inc->bucket = arena_array(inc->arena, batch, sizeof *inc->bucket);
    inc->list = arena_array(inc->arena, batch, sizeof *inc->list);
    ok = inc->bucket && inc->list;
    for (int i = 0; ok && i < graph->n_values; i++)
      if (inc->layers[i].head)
        ok = (inc->layers[i].window = arena_array(inc->arena, batch, sizeof(struct window))) &&
             (inc->layers[i].order = arena_array(inc->arena, batch, sizeof(int)));
    if (!ok)
      error_memory(err, "windows");
  }
  ok = ok && make_stages(inc, err);
  if (ok)
    widen_bounds(inc);
  ok = ok && make_tail(inc, err) && place_memory(inc, err) && make_base(inc, err) && make_tail_run(inc, err);
  if (!ok) {
    increment_free(inc);
    return NULL;
  }
  return inc;
}

/* ---- runs ------------------------------------------------------------------------------------------------------ */

bool increment_base(struct increment *inc, int base, const float *image, struct error *err)
{
  const struct layer_view *v = &inc->layers[inc->graph->inputs[0]->id].view;
  /* The run works in the first copy, what it left there is moved to where it belongs. */
  unsigned char *first = inc->base_memory;
  void *saved = NULL;
  if (base > 0) {
    saved = mem_alloc(inc->base_step);
    if (!saved)
      return error_memory(err, "a base run");
    memcpy(saved, first, inc->base_step);
  }
  memcpy(run_input(inc->base, 0), image, (size_t)v->height * (size_t)v->width * v->pixel);
  const unsigned state = threads_flush();
  bool ok = run_execute(inc->base, err);
  for (int i = 0; ok && i < inc->n_stages; i++)
    ok = !inc->stages[i].joined || joined_base(inc, &inc->stages[i], err);
  threads_unflush(state);
  if (base > 0) {
    memcpy(first + (size_t)base * inc->base_step, first, inc->base_step);
    memcpy(first, saved, inc->base_step);
  }
  mem_free(saved);
  return ok;
}

void increment_copy_base(struct increment *inc, int from, int to)
{
  unsigned char *first = inc->base_memory;
  if (from != to)
    memcpy(first + (size_t)to * inc->base_step, first + (size_t)from * inc->base_step, inc->base_step);
}

struct whole_job {
  const struct increment *inc;
  const struct layer *layer;
  int first; /* position */
  unsigned char *to;
};

/* Base and window as whole maps. */
static void make_whole(void *context, int64_t begin, int64_t end)
{
  const struct whole_job *j = context;
  const struct layer_view *v = &j->layer->view;
  const struct rect all = {0, 0, v->height, v->width};
  for (int64_t i = begin; i < end; i++) {
    const struct layer_view view = view_at(j->inc, j->layer, j->first + (int)i);
    window_gather(&view, &j->layer->window[j->first + i], &all,
                  j->to + (size_t)i * (size_t)v->height * (size_t)v->width * v->pixel, v->pixel);
  }
}

static bool run_tail(struct increment *inc, int n, float *raw, float *activations, struct error *err)
{
  const int64_t outputs = tensor_count(&inc->graph->outputs[0]->t);
  const struct value *layer = inc->options.layer;
  for (int done = 0; done < n;) {
    const int log2 = tail_log2(inc, n - done), m = n - done < 1 << log2 ? n - done : 1 << log2;
    struct run *run = tail_run(inc, log2, err);
    if (!run)
      return false;
    for (int i = 0; i < inc->tail->n_inputs; i++) {
      struct whole_job job = {inc, layer_of(inc, inc->tail->inputs[i]), done, run_input(run, i)};
      const size_t sample = (size_t)job.layer->view.height * (size_t)job.layer->view.width * job.layer->view.pixel;
      threads_for(m, 1, make_whole, &job);
      memset(job.to + (size_t)m * sample, 0, (size_t)((1 << log2) - m) * sample);
    }
    if (!run_execute(run, err))
      return false;
    memcpy(raw + done * outputs, run_value(run, inc->tail->outputs[0]), (size_t)(m * outputs) * sizeof *raw);
    if (activations && !inc->layers[layer->id].head) {
      const size_t map = (size_t)tensor_count(&layer->t);
      memcpy(activations + (size_t)done * map, run_value(run, inc->tail->values[layer->id]),
             (size_t)m * map * sizeof *activations);
    }
    done += m;
  }
  if (activations && inc->layers[layer->id].head) {
    struct whole_job job = {inc, layer_of(inc, layer), 0, (unsigned char *)activations};
    threads_for(n, 1, make_whole, &job);
  }
  return true;
}

void increment_place(struct increment *inc, const struct change *changes, int n)
{
  struct layer *input = &inc->layers[inc->graph->inputs[0]->id];
  for (int p = 0; p < n; p++) {
    const struct rect *r = &changes[p].rect;
    input->window[p].tight = input->window[p].held = *r;
    inc->list[p] = p;
  }
  stage_lay_out(inc, input, inc->list, n);
  for (int p = 0; p < n; p++)
    if (!rect_empty(&changes[p].rect))
      memcpy(input->window[p].data, changes[p].content, (size_t)rect_area(&changes[p].rect) * input->view.pixel);
}

struct commit_job {
  const struct increment *inc;
  const struct layer *layer;
};

static void commit_windows(void *context, int64_t begin, int64_t end)
{
  const struct commit_job *j = context;
  const size_t c = j->layer->view.pixel;
  for (int64_t p = begin; p < end; p++) {
    const struct window *w = &j->layer->window[p];
    const struct layer_view view = view_at(j->inc, j->layer, (int)p);
    unsigned char *base = (unsigned char *)(uintptr_t)view.base; /* the increment's own memory */
    const size_t held = (size_t)(w->held.x1 - w->held.x0), width = (size_t)(w->tight.x1 - w->tight.x0);
    for (int y = w->tight.y0; y < w->tight.y1; y++)
      memcpy(base + ((size_t)y * (size_t)view.width + (size_t)w->tight.x0) * c,
             w->data + ((size_t)(y - w->held.y0) * held + (size_t)(w->tight.x0 - w->held.x0)) * c, width * c);
  }
}

/* What a step made of the layers that are read no more becomes their base. */
static void commit_read(struct increment *inc, int stage, int n)
{
  for (int i = -1; i < inc->n_stages; i++) {
    const struct value *value = i < 0 ? inc->graph->inputs[0] : inc->stages[i].node->out[0];
    struct commit_job job = {inc, &inc->layers[value->id]};
    if (job.layer->last == stage)
      threads_for(n, 1, commit_windows, &job);
  }
}

/* `step`: windows become their positions' bases. */
static bool run_windows(struct increment *inc, const struct change *changes, int n, bool step, float *raw,
                        float *activations, struct error *err)
{
  const unsigned state = threads_flush();
  bool ok = true;
  increment_place(inc, changes, n);
  for (int i = 0; ok && i < inc->n_stages; i++) {
    ok = stage_run(inc, &inc->stages[i], n, err);
    if (ok && step)
      commit_read(inc, i, n);
  }
  ok = ok && run_tail(inc, n, raw, activations, err);
  if (ok && step)
    commit_read(inc, inc->n_stages, n);
  threads_unflush(state);
  return ok;
}

bool increment_run(struct increment *inc, const struct change *changes, int n, float *raw, float *activations,
                   struct error *err)
{
  return run_windows(inc, changes, n, false, raw, activations, err);
}

bool increment_step(struct increment *inc, const struct change *changes, int n, float *raw, struct error *err)
{
  return run_windows(inc, changes, n, true, raw, NULL, err);
}
