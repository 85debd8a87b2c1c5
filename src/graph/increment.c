/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/increment.h"

#include "base/threads.h"
#include "graph/plan.h"
#include "graph/run.h"
#include "ops/conv.h"
#include "ops/pool.h"

#include <string.h>

enum {
  MAX_TOPS = 3,       /* size classes an axis */
  MAX_VARYING = 3,    /* inputs of an element-wise node that may vary */
  TAIL_LOG2 = 5,      /* the tail runs on up to 32 samples at once */
  ROW_CHUNKS = 3,     /* how many rows of pixels a kernel of a point-wise node takes */
};

/* Kernels exist for these many windows, and for these many pixels; a remainder runs on the smaller ones. */
static const int window_chunk[] = {8, 1};
static const int row_chunk[ROW_CHUNKS] = {2048, 256, 32};

/* ---- structure ------------------------------------------------------------------------------------------------- */

struct window_kernel {
  struct window_kernel *next;
  int h, w, n; /* windows of h x w, n at once; h = 0: whole maps, padded */
  struct kernel *kernel;
};

struct stage {
  const struct node *node;
  struct window_rule rule;
  double real_share;                 /* of a full convolution's nominal work */
  int tops[2][MAX_TOPS], n_tops[2];  /* size classes, ascending; set by the first call */
  struct window_kernel *kernels;     /* convolutions over windows */
  struct kernel *rows[ROW_CHUNKS];   /* 1x1 convolutions over rows of pixels */
  struct node *pixel;                /* element-wise nodes: the same on one pixel */
  void *pixel_state[ROW_CHUNKS];
};

/* One value of the head. */
struct layer {
  bool head;
  struct layer_view view;   /* base set by increment_base */
  int alias;                /* id of the value whose bytes these are, or -1 */
  int bound[2];             /* largest window, px */
  double mean[2];           /* average window over all places of the change */
  size_t offset;            /* of the windows' memory */
  struct window *window;  /* [batch] */
  int *order;               /* positions as their windows lie in memory */
  int n_order;
  bool packed;              /* windows follow one another without gaps in that order */
};

struct increment {
  const struct graph *graph;
  struct compute *compute;
  struct increment_options options;
  struct arena *arena;
  struct layer *layers;    /* per value id */
  struct stage *stages;
  int n_stages;
  struct run *base;        /* one sample, head values kept */
  void *base_memory;
  size_t base_bytes;
  unsigned char *memory;   /* windows, then gathered inputs */
  size_t memory_bytes, gather_offset, gather_bytes;
  void *scratch;           /* of kernels */
  size_t scratch_bytes;
  struct graph *tail;
  struct run *tail_runs[TAIL_LOG2 + 1];
  void *tail_memory;
  size_t tail_bytes;
  bool classes_known;
  int *bucket, *list;      /* [batch] each: work space of one stage */
};

static struct layer *layer_of(const struct increment *inc, const struct value *value)
{
  struct layer *layer = &inc->layers[value->id];
  return layer->alias >= 0 ? &inc->layers[layer->alias] : layer;
}

static bool varies(const struct value *value)
{
  return value && !value->t.data;
}


static int64_t area_of_bound(const struct layer *layer)
{
  return (int64_t)layer->bound[0] * layer->bound[1];
}

/* ---- what is local --------------------------------------------------------------------------------------------- */

/* Mark the values in which changes stay local, walking in execution order. A view of the input counts as the input. */
static void mark_head(const struct graph *graph, struct layer *layers, int *n_stages)
{
  const struct value *input = graph->inputs[0];
  const struct shape *s = &input->t.shape;
  const bool last = input->t.layout == LAYOUT_PLAIN; /* [1,H,W,C] */
  struct layer *in = &layers[input->id];
  in->head = true;
  in->view = (struct layer_view){NULL, (int)s->dim[last ? 1 : 2], (int)s->dim[last ? 2 : 3], (int)s->dim[last ? 3 : 1]};
  *n_stages = 0;
  for (int i = 0; i < graph->n_nodes; i++) {
    const struct node *node = graph->nodes[i];
    const struct value *out = node->out[0];
    struct layer *layer = &layers[out->id];
    if (node_is_view(node) && node->n_out == 1 && node->in[0] == input && out->t.layout == LAYOUT_CHANNELS_LAST &&
        out->t.shape.rank == 4 && out->t.shape.dim[1] == in->view.channels && out->t.shape.dim[2] == in->view.height) {
      layer->head = true;
      layer->view = in->view;
      layer->alias = input->id;
      continue;
    }
    bool local = window_rule_of(node).kind != WINDOW_SPREADS && (!node->residual || layers[node->residual->id].head);
    int varying = node->residual != NULL;
    for (int k = 0; k < node->n_in; k++)
      if (varies(node->in[k])) {
        local &= layers[node->in[k]->id].head;
        varying++;
      }
    if (window_rule_of(node).kind == WINDOW_POINT)
      local &= varying <= MAX_VARYING;
    if (!local)
      continue;
    layer->head = true;
    layer->view = (struct layer_view){NULL, (int)out->t.shape.dim[2], (int)out->t.shape.dim[3], (int)out->t.shape.dim[1]};
    (*n_stages)++;
  }
}

/* Per axis: the window of every value for a change [from, to) of the image. `lo`, `hi` per value id. */
static void propagate(const struct graph *graph, const struct layer *layers, int a, int from, int to, int *lo, int *hi)
{
  lo[graph->inputs[0]->id] = from;
  hi[graph->inputs[0]->id] = to;
  for (int i = 0; i < graph->n_nodes; i++) {
    const struct node *node = graph->nodes[i];
    const int id = node->out[0]->id;
    if (!layers[id].head)
      continue;
    int y0 = 0, y1 = 0;
    for (int k = 0; k <= node->n_in; k++) {
      const struct value *in = k < node->n_in ? node->in[k] : node->residual;
      if (!varies(in) || lo[in->id] >= hi[in->id])
        continue;
      y0 = y0 == y1 || lo[in->id] < y0 ? lo[in->id] : y0;
      y1 = hi[in->id] > y1 ? hi[in->id] : y1;
      if (k == 0 && layers[id].alias < 0 && window_rule_of(node).kind == WINDOW_SLIDE) {
        const struct window_rule rule = window_rule_of(node);
        window_outputs(&rule.space, a, lo[in->id], hi[in->id], &y0, &y1);
      }
    }
    lo[id] = y0;
    hi[id] = y1;
  }
}

/* Largest and average windows over all places of the change, per axis. */
static bool measure_windows(const struct graph *graph, struct layer *layers, const struct increment_options *options,
                            struct error *err)
{
  int *lo = mem_zero(2 * (size_t)graph->n_values + 2, sizeof *lo), *hi = lo ? lo + graph->n_values + 1 : NULL;
  if (!lo)
    return error_memory(err, "windows");
  const struct layer_view *image = &layers[graph->inputs[0]->id].view;
  for (int a = 0; a < 2; a++) {
    const int extent = a == 0 ? image->height : image->width, size = a == 0 ? options->height : options->width;
    const int places = extent - size + 1;
    for (int from = 0; from < places; from++) {
      propagate(graph, layers, a, from, from + size, lo, hi);
      for (int i = 0; i < graph->n_values; i++)
        if (layers[i].head) {
          const int window = hi[i] - lo[i];
          layers[i].bound[a] = window > layers[i].bound[a] ? window : layers[i].bound[a];
          layers[i].mean[a] += (double)window / places;
        }
    }
  }
  mem_free(lo);
  return true;
}

static struct layer *layers_new(const struct graph *graph, struct arena *arena)
{
  struct layer *layers = arena_array(arena, (size_t)graph->n_values + 1, sizeof *layers);
  for (int i = 0; layers && i < graph->n_values; i++)
    layers[i].alias = -1;
  return layers;
}

/* A window at least as dear as the whole map, which skips the taps on its padding. */
static bool whole_is_cheaper(const struct stage *stage, const struct layer_view *out, double area)
{
  return stage->rule.kind == WINDOW_SLIDE && area >= stage->real_share * out->height * out->width;
}

bool increment_share(const struct graph *graph, const struct increment_options *options, double *share,
                     struct error *err)
{
  struct arena *arena = arena_new(0);
  struct layer *layers = arena ? layers_new(graph, arena) : NULL;
  int n_stages;
  if (!layers) {
    arena_free(arena);
    return error_memory(err, "windows");
  }
  mark_head(graph, layers, &n_stages);
  const bool ok = measure_windows(graph, layers, options, err);
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
  for (int i = 0; i < inc->n_stages; i++) {
    struct stage *s = &inc->stages[i];
    for (struct window_kernel *k = s->kernels; k; k = k->next)
      kernel_free(k->kernel);
    for (int r = 0; r < ROW_CHUNKS; r++) {
      kernel_free(s->rows[r]);
      if (s->pixel_state[r])
        s->node->op->release(s->pixel_state[r]);
    }
  }
  run_free(inc->base);
  mem_unmap(inc->base_memory, inc->base_bytes);
  for (int i = 0; i <= TAIL_LOG2; i++)
    run_free(inc->tail_runs[i]);
  graph_free(inc->tail);
  mem_unmap(inc->tail_memory, inc->tail_bytes);
  mem_unmap(inc->memory, inc->memory_bytes);
  mem_unmap(inc->scratch, inc->scratch_bytes);
  arena_free(inc->arena);
  mem_free(inc);
}

size_t increment_bytes(const struct increment *inc)
{
  return inc->memory_bytes + inc->scratch_bytes + inc->base_bytes + inc->tail_bytes;
}

/* The same node on images of one pixel: what an element-wise operator needs to run on any number of them. */
static bool make_pixel_node(struct increment *inc, struct stage *stage, struct error *err)
{
  struct node *node = arena_alloc(inc->arena, sizeof *node);
  const struct node *whole = stage->node;
  struct value **refs = arena_array(inc->arena, (size_t)whole->n_in + 1, sizeof *refs);
  if (!node || !refs)
    return error_memory(err, "windows");
  *node = *whole;
  for (int i = 0; i <= whole->n_in; i++) {
    const struct value *value = i < whole->n_in ? whole->in[i] : whole->out[0];
    if (i < whole->n_in && !varies(value)) {
      refs[i] = whole->in[i];
      continue;
    }
    refs[i] = arena_alloc(inc->arena, sizeof *refs[i]);
    if (!refs[i])
      return error_memory(err, "windows");
    *refs[i] = *value;
    refs[i]->t.shape.dim[2] = refs[i]->t.shape.dim[3] = 1;
  }
  node->in = refs;
  node->out = &refs[whole->n_in];
  const float *scale = node->scale, *shift = node->shift;
  if (!node->op->shape(node, inc->arena, err))
    return false;
  node->scale = scale;
  node->shift = shift;
  stage->pixel = node;
  return true;
}

static bool make_stages(struct increment *inc, struct error *err)
{
  inc->stages = arena_array(inc->arena, (size_t)inc->n_stages + 1, sizeof *inc->stages);
  if (!inc->stages)
    return error_memory(err, "windows");
  int n = 0;
  for (int i = 0; i < inc->graph->n_nodes; i++) {
    const struct node *node = inc->graph->nodes[i];
    const struct layer *layer = &inc->layers[node->out[0]->id];
    if (!layer->head || layer->alias >= 0)
      continue;
    struct stage *stage = &inc->stages[n++];
    stage->node = node;
    stage->rule = window_rule_of(node);
    stage->real_share = stage->rule.kind == WINDOW_SLIDE ? window_real_share(&stage->rule.space) : 1;
    if (stage->rule.kind == WINDOW_POINT && !(node->op->flags & OP_WEIGHTS) && !make_pixel_node(inc, stage, err))
      return false;
  }
  inc->n_stages = n;
  return true;
}

/* Windows that may become whole maps need room for that; so do the layers that take their windows over. */
static void widen_bounds(struct increment *inc)
{
  for (int i = 0; i < inc->n_stages; i++) {
    struct stage *stage = &inc->stages[i];
    const struct node *node = stage->node;
    struct layer *out = &inc->layers[node->out[0]->id];
    bool whole = whole_is_cheaper(stage, &out->view, (double)out->bound[0] * out->bound[1]);
    if (stage->rule.kind == WINDOW_POINT || stage->rule.kind == WINDOW_JOIN)
      for (int k = 0; k <= node->n_in; k++) {
        const struct value *in = k < node->n_in ? node->in[k] : node->residual;
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

static size_t up(size_t bytes)
{
  return (bytes + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
}

/* Bytes of `count` pixels of a layer, with room for the rows a kernel may run over the end. */
static size_t pixel_bytes(int64_t count, int channels)
{
  return up((size_t)(count + row_chunk[ROW_CHUNKS - 1]) * (size_t)channels * sizeof(float));
}

/* Input pixels that an output window of these sides reads. */
static int64_t context_area(const struct spatial *s, int64_t h, int64_t w)
{
  return ((h - 1) * s->stride[0] + (s->kernel[0] - 1) * s->dilation[0] + 1) *
         ((w - 1) * s->stride[1] + (s->kernel[1] - 1) * s->dilation[1] + 1);
}

/* Memory for what one stage gathers, for all positions of a batch or for one chunk of windows. */
static size_t gather_need(const struct increment *inc, const struct stage *stage)
{
  const struct node *node = stage->node;
  const struct layer *out = &inc->layers[node->out[0]->id];
  const int64_t batch = inc->options.batch;
  size_t need = 0;
  if (stage->rule.kind == WINDOW_SLIDE) {
    const struct layer *in = layer_of(inc, node->in[0]);
    const bool conv = (node->op->flags & OP_WEIGHTS) != 0;
    int64_t area = context_area(&stage->rule.space, out->bound[0], out->bound[1]);
    const int64_t whole = (int64_t)in->view.height * in->view.width;
    if (!conv && area > whole)
      area = whole;
    if (conv && area < whole) /* whole maps may be gathered instead */
      area = whole;
    return pixel_bytes((conv ? window_chunk[0] : batch) * area, in->view.channels);
  }
  if (stage->rule.kind == WINDOW_POINT)
    for (int k = 0; k < node->n_in; k++)
      if (varies(node->in[k]))
        need += pixel_bytes(batch * area_of_bound(out), layer_of(inc, node->in[k])->view.channels);
  if (node->residual)
    need += pixel_bytes(batch * area_of_bound(out), out->view.channels);
  return need;
}

/* Windows of every layer by liveness, then the largest gather. */
static bool place_memory(struct increment *inc, struct error *err)
{
  struct piece *pieces = mem_zero((size_t)inc->n_stages + 2, sizeof *pieces);
  int *last = mem_zero((size_t)inc->graph->n_values + 1, sizeof *last);
  bool ok = pieces && last;
  if (!ok)
    error_memory(err, "windows");
  for (int i = 0; ok && i < inc->n_stages; i++) {
    const struct node *node = inc->stages[i].node;
    for (int k = 0; k <= node->n_in; k++) {
      const struct value *in = k < node->n_in ? node->in[k] : node->residual;
      if (varies(in))
        last[layer_of(inc, in) - inc->layers] = i;
    }
    const size_t need = gather_need(inc, &inc->stages[i]);
    inc->gather_bytes = need > inc->gather_bytes ? need : inc->gather_bytes;
  }
  for (int i = 0; ok && i < inc->tail->n_inputs; i++)
    last[layer_of(inc, inc->tail->inputs[i]) - inc->layers] = inc->n_stages;
  if (ok && inc->options.layer && inc->layers[inc->options.layer->id].head)
    last[layer_of(inc, inc->options.layer) - inc->layers] = inc->n_stages;
  int n = 0;
  for (int i = -1; ok && i < inc->n_stages; i++) {
    const struct value *value = i < 0 ? inc->graph->inputs[0] : inc->stages[i].node->out[0];
    const struct layer *layer = &inc->layers[value->id];
    pieces[n++] = (struct piece){
      .value = value->id, .first = i, .last = last[value->id] > i ? last[value->id] : i,
      .bytes = pixel_bytes(inc->options.batch * area_of_bound(layer), layer->view.channels),
    };
  }
  size_t bytes = 0;
  ok = ok && plan_place(pieces, n, &bytes, err);
  for (int i = 0; ok && i < n; i++)
    inc->layers[pieces[i].value].offset = pieces[i].offset;
  inc->gather_offset = bytes;
  inc->memory_bytes = bytes + up(inc->gather_bytes) + MEM_ALIGN;
  if (ok && !(inc->memory = mem_map(inc->memory_bytes)))
    ok = error_memory(err, "windows");
  mem_free(pieces);
  mem_free(last);
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
  return inc->tail != NULL;
}

static bool make_base(struct increment *inc, struct error *err)
{
  struct value **keep = mem_zero((size_t)inc->graph->n_values + 1, sizeof *keep);
  int n = 0;
  if (!keep)
    return error_memory(err, "the base run");
  for (int i = 0; i < inc->graph->n_values; i++)
    if (inc->layers[i].head)
      keep[n++] = inc->graph->values[i];
  inc->base = run_new(inc->graph, inc->compute, 1, keep, n, false, err);
  mem_free(keep);
  if (!inc->base)
    return false;
  inc->base_bytes = run_bytes(inc->base);
  inc->base_memory = mem_map(inc->base_bytes);
  if (!inc->base_memory)
    return error_memory(err, "the base run");
  run_bind(inc->base, inc->base_memory);
  for (int i = 0; i < inc->graph->n_values; i++)
    if (inc->layers[i].head)
      inc->layers[i].view.base = run_value(inc->base, inc->graph->values[i]);
  return true;
}

struct increment *increment_new(const struct graph *graph, struct compute *compute,
                                const struct increment_options *options, struct error *err)
{
  struct increment *inc = mem_zero(1, sizeof *inc);
  bool ok = inc && (inc->arena = arena_new(0)) && (inc->layers = layers_new(graph, inc->arena));
  if (ok) {
    const size_t batch = (size_t)options->batch;
    inc->graph = graph;
    inc->compute = compute;
    inc->options = *options;
    mark_head(graph, inc->layers, &inc->n_stages);
    inc->bucket = arena_array(inc->arena, batch, sizeof *inc->bucket);
    inc->list = arena_array(inc->arena, batch, sizeof *inc->list);
    ok = inc->bucket && inc->list;
    for (int i = 0; ok && i < graph->n_values; i++)
      if (inc->layers[i].head)
        ok = (inc->layers[i].window = arena_array(inc->arena, batch, sizeof(struct window))) &&
             (inc->layers[i].order = arena_array(inc->arena, batch, sizeof(int)));
  }
  if (!ok)
    error_memory(err, "windows");
  ok = ok && measure_windows(graph, inc->layers, options, err) && make_stages(inc, err);
  if (ok)
    widen_bounds(inc);
  ok = ok && make_tail(inc, err) && place_memory(inc, err) && make_base(inc, err);
  if (!ok) {
    increment_free(inc);
    return NULL;
  }
  return inc;
}

/* ---- kernels --------------------------------------------------------------------------------------------------- */

/* Scratch memory for kernels, at least this much; contents are lost when it grows. */
static bool need_scratch(struct increment *inc, size_t scratch, struct error *err)
{
  if (scratch <= inc->scratch_bytes)
    return true;
  void *larger = mem_map(up(scratch));
  if (!larger)
    return error_memory(err, "windows");
  mem_unmap(inc->scratch, inc->scratch_bytes);
  inc->scratch = larger;
  inc->scratch_bytes = up(scratch);
  return true;
}

/* A convolution over n windows of h x w outputs, or over n whole maps (h = 0). */
static struct kernel *window_kernel(struct increment *inc, struct stage *stage, int h, int w, int n, struct error *err)
{
  for (struct window_kernel *k = stage->kernels; k; k = k->next)
    if (k->h == h && k->w == w && k->n == n)
      return k->kernel;
  struct conv_spec spec = conv_spec_of(stage->node, n);
  if (h > 0) {
    spec.oh = h;
    spec.ow = w;
    spec.ih = (h - 1) * spec.sh + (spec.kh - 1) * spec.dh + 1;
    spec.iw = (w - 1) * spec.sw + (spec.kw - 1) * spec.dw + 1;
    spec.pt = spec.pl = spec.pb = spec.pr = 0;
  }
  struct window_kernel *made = arena_alloc(inc->arena, sizeof *made);
  if (!made) {
    error_memory(err, "windows");
    return NULL;
  }
  made->kernel = kernel_conv(inc->compute, &spec, stage->node->weights, err);
  if (!made->kernel || !need_scratch(inc, kernel_scratch(made->kernel), err)) {
    kernel_free(made->kernel);
    return NULL;
  }
  made->h = h;
  made->w = w;
  made->n = n;
  made->next = stage->kernels;
  stage->kernels = made;
  return made->kernel;
}

/* ---- size classes ---------------------------------------------------------------------------------------------- */

/* Upper ends of at most MAX_TOPS classes for these window sizes, least waste in all: tries every pair of cuts. */
static int choose_tops(const int *count, int largest, int bound, int tops[MAX_TOPS])
{
  double best = -1;
  int n = 0;
  for (int a = 1; a <= largest; a++)
    for (int b = a; b <= largest; b++) {
      double cost = 0;
      for (int s = 1; s <= largest; s++)
        cost += (double)count[s] * (s <= a ? a : s <= b ? b : largest);
      if (best >= 0 && cost >= best)
        continue;
      best = cost;
      n = 0;
      tops[n++] = a;
      if (b > a)
        tops[n++] = b;
      if (largest > b)
        tops[n++] = largest;
    }
  /* Places that were not in the first call may need more. */
  if (n < MAX_TOPS && bound > largest)
    tops[n++] = bound;
  else if (bound > largest)
    tops[n - 1] = bound;
  return n;
}

static void size_of(const struct rect *r, int size[2])
{
  size[0] = r->y1 - r->y0;
  size[1] = r->x1 - r->x0;
}

static bool choose_classes(const struct increment *inc, struct stage *stage, const struct rect *windows, int n,
                           struct error *err)
{
  const struct layer *out = &inc->layers[stage->node->out[0]->id];
  for (int a = 0; a < 2; a++) {
    const int extent = a == 0 ? out->view.height : out->view.width;
    int *count = mem_zero((size_t)extent + 2, sizeof *count), largest = 1;
    if (!count)
      return error_memory(err, "windows");
    for (int i = 0; i < n; i++) {
      int size[2];
      size_of(&windows[i], size);
      if (rect_empty(&windows[i]))
        continue;
      count[size[a]]++;
      largest = size[a] > largest ? size[a] : largest;
    }
    stage->n_tops[a] = choose_tops(count, largest, out->bound[a], stage->tops[a]);
    mem_free(count);
  }
  return true;
}

/* Rectangle of the class a window falls into, moved inwards at the edges; the whole map where that is cheaper. */
static struct rect class_rect(const struct stage *stage, const struct layer_view *map, const struct rect *tight)
{
  int size[2], top[2] = {0, 0};
  size_of(tight, size);
  for (int a = 0; a < 2; a++)
    for (int i = 0; i < stage->n_tops[a] && !top[a]; i++)
      if (size[a] <= stage->tops[a][i])
        top[a] = stage->tops[a][i];
  if (!top[0] || !top[1] || whole_is_cheaper(stage, map, (double)top[0] * top[1]))
    return (struct rect){0, 0, map->height, map->width};
  const int y0 = tight->y0 + top[0] > map->height ? map->height - top[0] : tight->y0;
  const int x0 = tight->x0 + top[1] > map->width ? map->width - top[1] : tight->x0;
  return (struct rect){y0, x0, y0 + top[0], x0 + top[1]};
}

/* ---- stages ---------------------------------------------------------------------------------------------------- */

static float *floats_at(const struct increment *inc, size_t offset)
{
  return (float *)(void *)(inc->memory + offset);
}

/* Where the output of a node may differ for position p. */
static struct rect tight_of(const struct increment *inc, const struct stage *stage, int p)
{
  const struct node *node = stage->node;
  struct rect all = {0, 0, 0, 0};
  for (int k = 0; k < node->n_in; k++)
    if (varies(node->in[k])) {
      const struct rect *in = &layer_of(inc, node->in[k])->window[p].tight;
      all = rect_union(&all, in);
    }
  if (stage->rule.kind == WINDOW_SLIDE && !rect_empty(&all)) {
    struct rect out;
    window_outputs(&stage->rule.space, 0, all.y0, all.y1, &out.y0, &out.y1);
    window_outputs(&stage->rule.space, 1, all.x0, all.x1, &out.x0, &out.x1);
    all = rect_empty(&out) ? (struct rect){0, 0, 0, 0} : out;
  }
  if (node->residual)
    all = rect_union(&all, &layer_of(inc, node->residual)->window[p].tight);
  return all;
}

/* Lay windows `held` of the listed positions one after the other. */
static void lay_out(const struct increment *inc, struct layer *out, const int *list, int n)
{
  float *to = floats_at(inc, out->offset);
  out->n_order = 0;
  out->packed = true;
  for (int i = 0; i < n; i++) {
    struct window *o = &out->window[list[i]];
    if (rect_empty(&o->tight))
      continue;
    o->data = to;
    to += rect_area(&o->held) * out->view.channels;
    out->order[out->n_order++] = list[i];
  }
}

struct gather_job {
  const struct increment *inc;
  const struct stage *stage;
  const int *list;
  float *to;        /* gathered inputs */
  int64_t pitch;    /* floats a position */
};

static struct rect context_of(const struct stage *stage, const struct rect *out)
{
  struct rect in;
  window_inputs(&stage->rule.space, 0, out->y0, out->y1, &in.y0, &in.y1);
  window_inputs(&stage->rule.space, 1, out->x0, out->x1, &in.x0, &in.x1);
  return in;
}

/* Inputs of a chunk of windows side by side, and the residual where the result will be added to it. */
static void gather_windows(void *context, int64_t begin, int64_t end)
{
  const struct gather_job *j = context;
  const struct node *node = j->stage->node;
  const struct layer *in = layer_of(j->inc, node->in[0]), *out = &j->inc->layers[node->out[0]->id];
  for (int64_t i = begin; i < end; i++) {
    const int p = j->list[i];
    const struct window *o = &out->window[p];
    const bool whole = rect_area(&o->held) == (int64_t)out->view.height * out->view.width;
    const struct rect want =
      whole ? (struct rect){0, 0, in->view.height, in->view.width} : context_of(j->stage, &o->held);
    window_gather(&in->view, &in->window[p], &want, j->to + i * j->pitch, in->view.channels);
    if (node->residual) {
      const struct layer *add = layer_of(j->inc, node->residual);
      window_gather(&add->view, &add->window[p], &o->held, o->data, add->view.channels);
    }
  }
}

/* Windows of one class, in chunks. */
static bool convolve_class(struct increment *inc, struct stage *stage, const int *list, int n, struct error *err)
{
  const struct node *node = stage->node;
  const struct layer *out = &inc->layers[node->out[0]->id], *in = layer_of(inc, node->in[0]);
  const struct rect held = out->window[list[0]].held;
  const bool whole = rect_area(&held) == (int64_t)out->view.height * out->view.width;
  const int h = held.y1 - held.y0, w = held.x1 - held.x0;
  const int64_t area = whole ? (int64_t)in->view.height * in->view.width : context_area(&stage->rule.space, h, w);
  for (int done = 0; done < n;) {
    int m = 1;
    for (size_t c = 0; c < sizeof window_chunk / sizeof *window_chunk && m == 1; c++)
      m = n - done >= window_chunk[c] ? window_chunk[c] : 1;
    struct kernel *kernel = window_kernel(inc, stage, whole ? 0 : h, whole ? 0 : w, m, err);
    if (!kernel)
      return false;
    struct gather_job job = {inc, stage, list + done, floats_at(inc, inc->gather_offset), area * in->view.channels};
    threads_for(m, 32768 / (job.pitch + 1) + 1, gather_windows, &job);
    if (!kernel_run(kernel, job.to, NULL, node->shift, out->window[list[done]].data,
                    inc->scratch, err))
      return false;
    done += m;
  }
  return true;
}

static int64_t class_key(const struct window *o)
{
  return (int64_t)(o->held.y1 - o->held.y0) << 32 | (o->held.x1 - o->held.x0);
}

/* Positions that changed, windows of equal size side by side, in the order of their first appearance. */
static int sort_by_class(struct increment *inc, const struct layer *out, int n)
{
  int listed = 0;
  for (int p = 0; p < n; p++)
    inc->bucket[p] = rect_empty(&out->window[p].tight);
  for (int p = 0; p < n; p++) {
    if (inc->bucket[p])
      continue;
    const int64_t key = class_key(&out->window[p]);
    for (int q = p; q < n; q++)
      if (!inc->bucket[q] && class_key(&out->window[q]) == key) {
        inc->bucket[q] = 1;
        inc->list[listed++] = q;
      }
  }
  return listed;
}

static bool run_convolution(struct increment *inc, struct stage *stage, int n, struct error *err)
{
  struct layer *out = &inc->layers[stage->node->out[0]->id];
  struct rect *windows = inc->classes_known ? NULL : mem_alloc((size_t)n * sizeof *windows);
  if (!inc->classes_known && !windows)
    return error_memory(err, "windows");
  for (int p = 0; p < n; p++) {
    out->window[p].tight = tight_of(inc, stage, p);
    if (windows)
      windows[p] = out->window[p].tight;
  }
  const bool ok = !windows || choose_classes(inc, stage, windows, n, err);
  mem_free(windows);
  if (!ok)
    return false;
  for (int p = 0; p < n; p++)
    out->window[p].held = class_rect(stage, &out->view, &out->window[p].tight);
  const int listed = sort_by_class(inc, out, n);
  lay_out(inc, out, inc->list, listed);
  for (int from = 0; from < listed;) {
    int to = from;
    while (to < listed && class_key(&out->window[inc->list[to]]) == class_key(&out->window[inc->list[from]]))
      to++;
    if (!convolve_class(inc, stage, inc->list + from, to - from, err))
      return false;
    from = to;
  }
  return true;
}

/* Pooling on windows of any size, each on its own. */
static void pool_windows(void *context, int64_t begin, int64_t end)
{
  const struct gather_job *j = context;
  const struct node *node = j->stage->node;
  const struct layer *in = layer_of(j->inc, node->in[0]), *out = &j->inc->layers[node->out[0]->id];
  for (int64_t i = begin; i < end; i++) {
    const int p = j->list[i];
    const struct window *o = &out->window[p];
    struct rect want = context_of(j->stage, &o->held);
    want.y0 = want.y0 < 0 ? 0 : want.y0;
    want.x0 = want.x0 < 0 ? 0 : want.x0;
    want.y1 = want.y1 > in->view.height ? in->view.height : want.y1;
    want.x1 = want.x1 > in->view.width ? in->view.width : want.x1;
    float *src = j->to + i * j->pitch;
    window_gather(&in->view, &in->window[p], &want, src, in->view.channels);
    pool_window(node->params, in->view.channels, src, want.y0, want.x0, want.x1 - want.x0, o->held.y0, o->held.y1,
                o->held.x0, o->held.x1, o->data);
  }
}

static int take_tight(struct increment *inc, struct stage *stage, int n)
{
  struct layer *out = &inc->layers[stage->node->out[0]->id];
  int listed = 0;
  for (int p = 0; p < n; p++) {
    out->window[p].tight = out->window[p].held = tight_of(inc, stage, p);
    if (!rect_empty(&out->window[p].tight))
      inc->list[listed++] = p;
  }
  lay_out(inc, out, inc->list, listed);
  return listed;
}

static bool run_pooling(struct increment *inc, struct stage *stage, int n)
{
  const struct layer *out = &inc->layers[stage->node->out[0]->id], *in = layer_of(inc, stage->node->in[0]);
  const int listed = take_tight(inc, stage, n);
  int64_t area = context_area(&stage->rule.space, out->bound[0], out->bound[1]);
  const int64_t whole = (int64_t)in->view.height * in->view.width;
  struct gather_job job = {inc, stage, inc->list, floats_at(inc, inc->gather_offset),
                           (area < whole ? area : whole) * in->view.channels};
  threads_for(listed, 1, pool_windows, &job);
  return true;
}

/* Channels side by side. */
static void join_windows(void *context, int64_t begin, int64_t end)
{
  const struct gather_job *j = context;
  const struct node *node = j->stage->node;
  const struct layer *out = &j->inc->layers[node->out[0]->id];
  for (int64_t i = begin; i < end; i++) {
    const struct window *o = &out->window[j->list[i]];
    int64_t channel = 0;
    for (int k = 0; k < node->n_in; k++) {
      const struct layer *in = layer_of(j->inc, node->in[k]);
      window_gather(&in->view, &in->window[j->list[i]], &o->held, o->data + channel, out->view.channels);
      channel += in->view.channels;
    }
  }
}

/* Whether the windows of `in` can be used where they lie as the windows of this node's output. */
static bool can_take_over(const struct increment *inc, const struct stage *stage, const struct layer *in, int n)
{
  const struct layer *out = &inc->layers[stage->node->out[0]->id];
  int64_t held = 0, tight = 0;
  if (!in->packed)
    return false;
  for (int p = 0; p < n; p++) {
    const struct window *o = &in->window[p];
    if (rect_empty(&out->window[p].tight))
      continue;
    if (rect_empty(&o->tight) || !rect_within(&out->window[p].tight, &o->held))
      return false;
    held += rect_area(&o->held);
    tight += rect_area(&out->window[p].tight);
  }
  return held <= tight + tight / 8;
}

struct row_gather {
  const struct increment *inc;
  const struct layer *in, *out;
  const int *list;
  float *to;
};

/* An input of a point-wise node at the windows of its output, as rows of pixels in their order. */
static void gather_rows(void *context, int64_t begin, int64_t end)
{
  const struct row_gather *j = context;
  const float *first = j->out->window[j->list[0]].data;
  for (int64_t i = begin; i < end; i++) {
    const struct window *o = &j->out->window[j->list[i]];
    const int64_t row = (o->data - first) / j->out->view.channels;
    window_gather(&j->in->view, &j->in->window[j->list[i]], &o->held, j->to + row * j->in->view.channels,
                  j->in->view.channels);
  }
}

/* Run a point-wise node on `rows` pixels. in[k]: rows of the k-th input (constants as they are). */
static bool run_rows(struct increment *inc, struct stage *stage, int64_t rows, const float *const *in,
                     const int64_t *pitch, const float *residual, float *dst, struct error *err)
{
  const struct node *node = stage->node;
  const int64_t c = inc->layers[node->out[0]->id].view.channels;
  for (int64_t done = 0; done < rows;) {
    int r = ROW_CHUNKS - 1; /* the last chunk may run over the end, into spare room */
    for (int i = 0; i < ROW_CHUNKS; i++)
      if (rows - done >= row_chunk[i]) {
        r = i;
        break;
      }
    const int64_t m = row_chunk[r];
    float *to = dst + done * c;
    if (node->op->flags & OP_WEIGHTS) {
      if (!stage->rows[r]) {
        struct conv_spec spec = conv_spec_of(node, 1);
        spec.ih = spec.oh = 1;
        spec.iw = spec.ow = m;
        stage->rows[r] = kernel_conv(inc->compute, &spec, node->weights, err);
        if (!stage->rows[r])
          return false;
      }
      if (!need_scratch(inc, kernel_scratch(stage->rows[r]), err) ||
          !kernel_run(stage->rows[r], in[0] + done * pitch[0], NULL, node->shift, to, inc->scratch,
                      err))
        return false;
    } else {
      const void *inputs[MAX_VARYING + 8];
      bool batched[MAX_VARYING + 8];
      for (int k = 0; k < node->n_in; k++) {
        batched[k] = varies(node->in[k]);
        inputs[k] = !node->in[k] ? NULL : batched[k] ? in[k] + done * pitch[k] : node->in[k]->t.data;
      }
      if (node->op->prepare && !stage->pixel_state[r]) {
        struct prepared prepared = {.state = NULL};
        if (!node->op->prepare(stage->pixel, m, inc->compute, &prepared, err))
          return false;
        stage->pixel_state[r] = prepared.state;
      }
      void *outputs[1] = {to};
      const struct call call = {
        .node = stage->pixel, .n = m, .in = inputs, .in_batched = batched, .out = outputs, .state = stage->pixel_state[r],
        .residual = residual ? residual + done * c : NULL, .compute = inc->compute,
      };
      if (!node->op->forward(&call, err))
        return false;
    }
    done += m;
  }
  return true;
}

static bool run_pointwise(struct increment *inc, struct stage *stage, int n, struct error *err)
{
  const struct node *node = stage->node;
  struct layer *out = &inc->layers[node->out[0]->id];
  const bool conv = (node->op->flags & OP_WEIGHTS) != 0;
  const struct layer *first = NULL;
  for (int k = 0; k < node->n_in && !first; k++)
    first = varies(node->in[k]) ? layer_of(inc, node->in[k]) : NULL;
  for (int p = 0; p < n; p++)
    out->window[p].tight = tight_of(inc, stage, p);
  /* 1: whose windows: the first input's as they lie, or tight ones. */
  const bool direct = can_take_over(inc, stage, first, n);
  int listed = 0;
  for (int i = 0; i < (direct ? first->n_order : n); i++) {
    const int p = direct ? first->order[i] : i;
    if (rect_empty(&out->window[p].tight) && !direct)
      continue;
    out->window[p].held = direct ? first->window[p].held : out->window[p].tight;
    if (direct && rect_empty(&out->window[p].tight))
      out->window[p].tight = first->window[p].tight;
    inc->list[listed++] = p;
  }
  lay_out(inc, out, inc->list, listed);
  if (!listed)
    return true;
  const struct window *end = &out->window[inc->list[listed - 1]];
  float *dst = out->window[inc->list[0]].data;
  const int64_t rows = (end->data - dst) / out->view.channels + rect_area(&end->held);
  /* 2: inputs as rows of pixels. */
  const float *in[MAX_VARYING + 8] = {NULL};
  int64_t pitch[MAX_VARYING + 8] = {0};
  size_t used = inc->gather_offset;
  const float *residual = NULL;
  for (int k = 0; k <= node->n_in; k++) {
    const struct value *value = k < node->n_in ? node->in[k] : node->residual;
    if (!varies(value))
      continue;
    const struct layer *from = layer_of(inc, value);
    const int64_t c = from->view.channels;
    struct row_gather job = {inc, from, out, inc->list, NULL};
    if (k < node->n_in && direct && from == first) {
      in[k] = first->window[first->order[0]].data;
      pitch[k] = c;
      continue;
    }
    if (k == node->n_in && conv) {
      job.to = dst; /* the product is added to it */
    } else {
      job.to = floats_at(inc, used);
      used += pixel_bytes(rows, (int)c);
    }
    threads_for(listed, 1, gather_rows, &job);
    if (k == node->n_in) {
      residual = job.to;
    } else {
      in[k] = job.to;
      pitch[k] = c;
    }
  }
  /* 3: the node itself. */
  return run_rows(inc, stage, rows, in, pitch, residual, dst, err);
}

static bool run_stage(struct increment *inc, struct stage *stage, int n, struct error *err)
{
  switch (stage->rule.kind) {
  case WINDOW_SLIDE:
    return (stage->node->op->flags & OP_WEIGHTS) ? run_convolution(inc, stage, n, err) : run_pooling(inc, stage, n);
  case WINDOW_POINT:
    return run_pointwise(inc, stage, n, err);
  case WINDOW_JOIN: {
    const int listed = take_tight(inc, stage, n);
    struct gather_job job = {inc, stage, inc->list, NULL, 0};
    threads_for(listed, 1, join_windows, &job);
    return true;
  }
  case WINDOW_SPREADS:
    break;
  }
  return error_set(err, ERROR_FAILED, "windows: a node of the head spreads everywhere");
}

/* ---- runs ------------------------------------------------------------------------------------------------------ */

bool increment_base(struct increment *inc, const float *image, struct error *err)
{
  const struct layer_view *v = &inc->layers[inc->graph->inputs[0]->id].view;
  memcpy(run_input(inc->base, 0), image, (size_t)v->height * (size_t)v->width * (size_t)v->channels * sizeof *image);
  return run_execute(inc->base, err);
}

struct whole_job {
  const struct layer *layer;
  float *to;
};

/* Base and window as whole maps. */
static void make_whole(void *context, int64_t begin, int64_t end)
{
  const struct whole_job *j = context;
  const struct layer_view *v = &j->layer->view;
  const struct rect all = {0, 0, v->height, v->width};
  for (int64_t p = begin; p < end; p++)
    window_gather(v, &j->layer->window[p], &all, j->to + p * v->height * v->width * v->channels, v->channels);
}

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

static bool run_tail(struct increment *inc, int n, float *raw, float *activations, struct error *err)
{
  const int64_t outputs = tensor_count(&inc->graph->outputs[0]->t);
  const struct value *layer = inc->options.layer;
  for (int done = 0; done < n;) {
    int log2 = TAIL_LOG2;
    while ((1 << log2) > n - done)
      log2--;
    const int m = 1 << log2;
    struct run *run = tail_run(inc, log2, err);
    if (!run)
      return false;
    for (int i = 0; i < inc->tail->n_inputs; i++) {
      struct layer shifted = *layer_of(inc, inc->tail->inputs[i]);
      shifted.window += done;
      struct whole_job job = {&shifted, run_input(run, i)};
      threads_for(m, 1, make_whole, &job);
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
    struct whole_job job = {layer_of(inc, layer), activations};
    threads_for(n, 1, make_whole, &job);
  }
  return true;
}

bool increment_run(struct increment *inc, const struct change *changes, int n, float *raw, float *activations,
                   struct error *err)
{
  struct layer *input = &inc->layers[inc->graph->inputs[0]->id];
  for (int p = 0; p < n; p++) {
    const struct rect *r = &changes[p].rect;
    input->window[p].tight = input->window[p].held = *r;
    inc->list[p] = p;
  }
  lay_out(inc, input, inc->list, n);
  for (int p = 0; p < n; p++)
    memcpy(input->window[p].data, changes[p].content,
           (size_t)(rect_area(&changes[p].rect) * input->view.channels) * sizeof(float));
  for (int i = 0; i < inc->n_stages; i++)
    if (!run_stage(inc, &inc->stages[i], n, err))
      return false;
  inc->classes_known = true;
  return run_tail(inc, n, raw, activations, err);
}
