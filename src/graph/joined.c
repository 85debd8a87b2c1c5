/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/joined.h"

#include "base/threads.h"
#include "ops/affine.h"
#include "ops/conv.h"

#include <math.h>
#include <string.h>

/* Bytes gathered for one product: what stays in a core's second-level cache. */
enum { BLOCK_BYTES = 2 << 20 };

enum { MAX_RINGS = 4 };
/* What a ring costs a pixel besides its products, as channels: adding to the base's result, writing it where it
 * belongs. And how much dearer a channel is as a difference: it is gathered twice. By bench-windows on DenseNet-121. */
static const double ring_channels = 24, difference_cost = 1.12;

/* The pixels of windows row by row, ring by ring. */
struct segment {
  int position; /* -1: of the base */
  int y, x, n;
  int64_t row; /* of all that are gathered */
};

/* Pixels on which the parts from `first` on have changed, and no others. */
struct ring {
  int first, end;   /* its windows: the union of those of the parts before `end` */
  int64_t channels; /* from `first` on */
  struct weights *weights;
  float *raw; /* what they are packed from */
  struct kernel *rows[ROW_CHUNKS];
};

struct joined {
  const struct node *affine, *join;
  struct affine_clip map;
  struct value *const *parts;
  int n_parts;
  int64_t channels, outputs; /* in all */
  struct ring ring[MAX_RINGS];
  int n_rings; /* 0: no differences */
  struct kernel *base_rows[ROW_CHUNKS];
  float *before; /* differences: [h, w, outputs] of the base before activation */
  size_t before_bytes;
  struct segment *segments; /* of the increment */
  int n_segments;
  float *ones; /* factors where the map has none */
};

/* ---- making ---------------------------------------------------------------------------------------------------- */

bool joined_can(const struct node *node)
{
  return (node->op->flags & OP_WEIGHTS) && window_rule_of(node).kind == WINDOW_POINT &&
         ((const struct conv *)node->params)->groups == 1;
}

bool joined_takes(const struct layer *layers, const struct node *node, const struct value *visible,
                  const struct node **affine, const struct node **join)
{
  float lo, hi;
  *affine = *join = NULL;
  if (!layers[node->out[0]->id].head || !joined_can(node))
    return false;
  const struct value *value = node->in[0];
  for (int i = 0; i < 2; i++) {
    const struct node *before = value->producer;
    if (!before || value->uses != 1 || value == visible || value == node->residual || !layers[value->id].head ||
        layers[value->id].alias >= 0)
      break;
    if (!*affine && affine_is_clip(before, &lo, &hi)) {
      *affine = before;
      value = before->in[0];
      continue;
    }
    if (window_rule_of(before).kind == WINDOW_JOIN)
      *join = before;
    break;
  }
  return *affine || *join;
}

static struct layer *part_layer(const struct increment *inc, const struct joined *j, int k)
{
  return layer_of(inc, j->parts[k]);
}

/* Mean area of the union of the windows of the parts before `end`. */
static double mean_area(const struct increment *inc, const struct joined *j, int end)
{
  double side[2] = {0, 0};
  for (int k = 0; k < end; k++)
    for (int a = 0; a < 2; a++)
      side[a] = fmax(side[a], part_layer(inc, j, k)->mean[a]);
  return side[0] * side[1];
}

struct search {
  double area[256];  /* of the union of the first k parts */
  int channels[256]; /* of the parts from k on */
  int n;
  double best;
  int cuts[MAX_RINGS], best_cuts[MAX_RINGS], n_best;
};

/* Every way to cut the parts into at most MAX_RINGS runs. */
static void search_rings(struct search *s, int depth, int from, double cost)
{
  for (int to = from + 1; to <= s->n; to++) {
    if (to < s->n && depth == MAX_RINGS - 1)
      continue;
    s->cuts[depth] = to;
    const double with = cost + (s->area[to] - s->area[from]) * (s->channels[from] * difference_cost + ring_channels);
    if (to < s->n) {
      search_rings(s, depth + 1, to, with);
    } else if (with < s->best) {
      s->best = with;
      s->n_best = depth + 1;
      memcpy(s->best_cuts, s->cuts, sizeof s->cuts);
    }
  }
}

/* Whether differences pay, and on which rings. */
static void choose_rings(const struct increment *inc, const struct stage *stage, struct joined *j)
{
  struct search s = {.n = j->n_parts};
  const struct node *node = stage->node;
  for (int i = 0; i < node->n_post; i++)
    if (node->post[i].kind != UNARY_RELU && node->post[i].kind != UNARY_CLIP)
      return;
  if (node->residual || inc->options.bases > 1 || j->n_parts < 2 || j->n_parts > 64 ||
      node->in[0]->t.dtype != DTYPE_F32 || node->out[0]->t.dtype != DTYPE_F32)
    return;
  for (int k = s.n - 1; k >= 0; k--)
    s.channels[k] = s.channels[k + 1] + part_layer(inc, j, k)->view.channels;
  for (int k = 1; k <= s.n; k++)
    s.area[k] = mean_area(inc, j, k);
  s.best = s.area[s.n] * s.channels[0];
  search_rings(&s, 0, 0, 0);
  for (int r = 0; r < s.n_best; r++)
    j->ring[r] = (struct ring){.first = r ? s.best_cuts[r - 1] : 0, .end = s.best_cuts[r]};
  for (int r = 0; r < s.n_best; r++)
    j->ring[r].channels = s.channels[j->ring[r].first];
  j->n_rings = s.n_best;
}

/* Weights of the input channels from `first` on. */
static bool slice_weights(const struct node *node, struct joined *j, struct ring *ring, struct arena *arena,
                          struct error *err)
{
  const float *all = node->in[1]->t.data;
  ring->raw = arena_array(arena, (size_t)(j->outputs * ring->channels), sizeof *ring->raw);
  if (!ring->raw)
    return error_memory(err, "windows");
  for (int64_t o = 0; o < j->outputs; o++)
    memcpy(ring->raw + o * ring->channels, all + (o + 1) * j->channels - ring->channels,
           (size_t)ring->channels * sizeof *all);
  ring->weights = weights_new(ring->raw, node->scale);
  return ring->weights || error_memory(err, "windows");
}

bool joined_make(struct stage *stage, const struct node *affine, const struct node *join, struct increment *inc,
                 struct error *err)
{
  const struct conv *conv = stage->node->params;
  struct joined *j = arena_alloc(inc->arena, sizeof *j);
  if (!j)
    return error_memory(err, "windows");
  stage->joined = j;
  *j = (struct joined){.affine = affine, .join = join, .channels = conv->ic, .outputs = conv->oc};
  j->parts = join ? join->in : affine ? affine->in : stage->node->in;
  j->n_parts = join ? join->n_in : 1;
  stage->in = j->parts;
  stage->n_in = j->n_parts;
  j->map = (struct affine_clip){NULL, NULL, -INFINITY, INFINITY};
  if (affine && !affine_is_clip(affine, &j->map.lo, &j->map.hi))
    return error_set(err, ERROR_FAILED, "windows: an affine map cannot be taken over");
  j->map.scale = affine ? affine->scale : NULL;
  j->map.shift = affine ? affine->shift : NULL;
  if (!j->map.scale || !j->map.shift) {
    if (!(j->ones = arena_array(inc->arena, 2 * (size_t)j->channels, sizeof *j->ones)))
      return error_memory(err, "windows");
    for (int64_t i = 0; i < j->channels; i++)
      j->ones[i] = 1;
    j->map.scale = j->map.scale ? j->map.scale : j->ones;
    j->map.shift = j->map.shift ? j->map.shift : j->ones + j->channels;
  }
  choose_rings(inc, stage, j);
  const struct layer *out = &inc->layers[stage->node->out[0]->id];
  for (int r = 0; r < j->n_rings; r++)
    if (j->ring[r].first > 0 && !slice_weights(stage->node, j, &j->ring[r], inc->arena, err))
      return false;
  if (j->n_rings) {
    j->before_bytes = stage_pixel_bytes((int64_t)out->view.height * out->view.width, out->view.pixel);
    if (!(j->before = mem_map(j->before_bytes)))
      return error_memory(err, "the base run");
  }
  /* A row of a ring is at most two pieces. */
  const size_t rings = j->n_rings ? (size_t)j->n_rings : 1;
  const size_t most = (size_t)inc->options.batch * (2 * rings + 1) * (size_t)out->view.height;
  if (most > inc->most_segments) {
    mem_free(inc->segments);
    inc->segments = mem_zero(most, sizeof *inc->segments);
    inc->most_segments = inc->segments ? most : 0;
  }
  return inc->segments || error_memory(err, "windows");
}

bool joined_is_plain(const struct stage *stage)
{
  return !stage->joined->affine && !stage->joined->join;
}

void joined_release(struct joined *j)
{
  if (!j)
    return;
  for (int r = 0; r < ROW_CHUNKS; r++) {
    kernel_free(j->base_rows[r]);
    for (int i = 0; i < MAX_RINGS; i++)
      kernel_free(j->ring[i].rows[r]);
  }
  for (int i = 0; i < MAX_RINGS; i++)
    weights_free(j->ring[i].weights);
  if (j->before)
    mem_unmap(j->before, j->before_bytes);
}

size_t joined_bytes(const struct joined *j)
{
  return j->before_bytes;
}

/* Pixels in a block of the r-th size are not too many. */
static bool block_fits(const struct joined *j, const struct stage *stage, int r)
{
  const size_t pixel = (size_t)j->channels * dtype_size(stage->node->in[0]->t.dtype);
  return r == ROW_CHUNKS - 1 || (size_t)stage_row_chunk[r] * pixel <= BLOCK_BYTES;
}

/* The largest. */
static int64_t most_rows(const struct joined *j, const struct stage *stage)
{
  int r = 0;
  while (!block_fits(j, stage, r))
    r++;
  return stage_row_chunk[r];
}

size_t joined_gather_bytes(const struct increment *inc, const struct stage *stage)
{
  const struct joined *j = stage->joined;
  const size_t pixel = inc->layers[stage->node->out[0]->id].view.pixel;
  const size_t in = (size_t)j->channels * dtype_size(stage->node->in[0]->t.dtype);
  const int64_t rows = most_rows(j, stage);
  return stage_pixel_bytes(rows, in) + (j->n_rings ? stage_pixel_bytes(rows, pixel) : 0);
}

/* ---- segments -------------------------------------------------------------------------------------------------- */

static void add_segment(struct joined *j, int position, int y, int x0, int x1, int64_t *row)
{
  if (x1 <= x0)
    return;
  j->segments[j->n_segments++] = (struct segment){position, y, x0, x1 - x0, *row};
  *row += x1 - x0;
}

/* The pixels of `outer` that are not in `inner`. */
static void add_frame(struct joined *j, int position, const struct rect *outer, const struct rect *inner, int64_t *row)
{
  for (int y = outer->y0; y < outer->y1; y++)
    if (rect_empty(inner) || y < inner->y0 || y >= inner->y1) {
      add_segment(j, position, y, outer->x0, outer->x1, row);
    } else {
      add_segment(j, position, y, outer->x0, inner->x0, row);
      add_segment(j, position, y, inner->x1, outer->x1, row);
    }
}

/* Where the parts before `end` may differ for a position. */
static struct rect union_of(const struct increment *inc, const struct joined *j, int end, int position)
{
  struct rect all = {0, 0, 0, 0};
  for (int k = 0; k < end; k++)
    all = rect_union(&all, &part_layer(inc, j, k)->window[position].tight);
  return all;
}

/* The segment that holds a row. */
static const struct segment *segment_at(const struct joined *j, int64_t row)
{
  int lo = 0, hi = j->n_segments - 1;
  while (lo < hi) {
    const int middle = (lo + hi + 1) / 2;
    if (j->segments[middle].row <= row)
      lo = middle;
    else
      hi = middle - 1;
  }
  return &j->segments[lo];
}

/* ---- gathering ------------------------------------------------------------------------------------------------- */

struct gather {
  const struct increment *inc;
  const struct stage *stage;
  const struct ring *ring; /* differences of its parts, or NULL: values of all of them */
  int64_t from;            /* the first row */
  unsigned char *to;
  unsigned char *result; /* differences: the kernel's result */
};

/* n values of one part side by side. */
static void put_values(const struct joined *j, const struct affine_clip *map, bool bf16, const unsigned char *from,
                       int64_t n, int64_t c, unsigned char *to, int64_t pitch)
{
  if (n <= 0)
    return;
  if (!j->affine) {
    const size_t size = bf16 ? sizeof(uint16_t) : sizeof(float);
    for (int64_t i = 0; i < n; i++)
      memcpy(to + (size_t)(i * pitch) * size, from + (size_t)(i * c) * size, (size_t)c * size);
  } else if (bf16) {
    affine_put_bf16(map, (const uint16_t *)(const void *)from, n, c, (uint16_t *)(void *)to, pitch);
  } else {
    affine_put(map, (const float *)(const void *)from, n, c, (float *)(void *)to, pitch);
  }
}

static void put_zeros(unsigned char *to, int64_t n, int64_t c, int64_t pitch)
{
  for (int64_t i = 0; i < n; i++)
    memset(to + (size_t)(i * pitch) * sizeof(float), 0, (size_t)c * sizeof(float));
}

/* Part of a segment, of all parts that are wanted. */
static void gather_pixels(const struct gather *g, int position, int y, int x, int n, unsigned char *to)
{
  const struct joined *j = g->stage->joined;
  const bool bf16 = g->stage->node->in[0]->t.dtype == DTYPE_BF16;
  const size_t size = bf16 ? sizeof(uint16_t) : sizeof(float);
  const int64_t pitch = g->ring ? g->ring->channels : j->channels;
  struct affine_clip map = j->map;
  for (int k = 0; k < j->n_parts; k++) {
    const struct layer *in = part_layer(g->inc, j, k);
    const int64_t c = in->view.channels;
    if (!g->ring || k >= g->ring->first) {
      const struct layer_view view = position < 0 ? in->view : view_at(g->inc, in, position);
      const unsigned char *base = view.base + ((size_t)y * (size_t)view.width + (size_t)x) * view.pixel;
      const struct window *o = position < 0 ? NULL : &in->window[position];
      const bool meets =
          o && !rect_empty(&o->tight) && y >= o->held.y0 && y < o->held.y1 && o->held.x0 < x + n && o->held.x1 > x;
      const int left = !meets ? n : o->held.x0 > x ? o->held.x0 - x : 0;
      const int right = !meets ? n : o->held.x1 < x + n ? o->held.x1 - x : n;
      const unsigned char *line = NULL;
      if (meets)
        line = o->data + (size_t)((y - o->held.y0) * (o->held.x1 - o->held.x0) + x + left - o->held.x0) * view.pixel;
      unsigned char *middle = to + (size_t)(left * pitch) * size, *end = to + (size_t)(right * pitch) * size;
      if (g->ring) {
        put_zeros(to, left, c, pitch);
        if (meets)
          affine_put_change(&map, (const float *)(const void *)line,
                            (const float *)(const void *)(base + (size_t)left * view.pixel), right - left, c,
                            (float *)(void *)middle, pitch);
        put_zeros(end, n - right, c, pitch);
      } else {
        put_values(j, &map, bf16, base, left, c, to, pitch);
        put_values(j, &map, bf16, line, right - left, c, middle, pitch);
        put_values(j, &map, bf16, base + (size_t)right * view.pixel, n - right, c, end, pitch);
      }
      to += (size_t)c * size;
    }
    map.scale += c;
    map.shift += c;
  }
}

static void gather_rows(void *context, int64_t begin, int64_t end)
{
  const struct gather *g = context;
  const struct joined *j = g->stage->joined;
  const size_t pixel = (size_t)(g->ring ? g->ring->channels : j->channels) * dtype_size(g->stage->node->in[0]->t.dtype);
  const struct layer_view *out = &g->inc->layers[g->stage->node->out[0]->id].view;
  const struct segment *s = segment_at(j, g->from + begin);
  for (int64_t row = g->from + begin; row < g->from + end; s++) {
    const int skip = (int)(row - s->row), left = s->n - skip;
    const int n = left < g->from + end - row ? left : (int)(g->from + end - row);
    const size_t at = (size_t)(row - g->from);
    gather_pixels(g, s->position, s->y, s->x + skip, n, g->to + at * pixel);
    if (g->ring)
      memcpy(g->result + at * out->pixel,
             j->before + ((size_t)s->y * (size_t)out->width + (size_t)(s->x + skip)) * (size_t)j->outputs,
             (size_t)n * out->pixel);
    row += n;
  }
}

/* Results of differences to where they belong. */
static void scatter_rows(void *context, int64_t begin, int64_t end)
{
  const struct gather *g = context;
  const struct joined *j = g->stage->joined;
  const struct layer *out = &g->inc->layers[g->stage->node->out[0]->id];
  const size_t pixel = out->view.pixel;
  const struct segment *s = segment_at(j, g->from + begin);
  for (int64_t row = g->from + begin; row < g->from + end; s++) {
    const int skip = (int)(row - s->row), left = s->n - skip;
    const int n = left < g->from + end - row ? left : (int)(g->from + end - row);
    const struct window *o = &out->window[s->position];
    memcpy(o->data + (size_t)((s->y - o->held.y0) * (o->held.x1 - o->held.x0) + s->x + skip - o->held.x0) * pixel,
           g->result + (size_t)(row - g->from) * pixel, (size_t)n * pixel);
    row += n;
  }
}

/* ---- runs ------------------------------------------------------------------------------------------------------ */

enum product { PRODUCT_ALL, PRODUCT_BASE, PRODUCT_RING };

static struct kernel *kernel_of(struct increment *inc, struct stage *stage, struct ring *ring, enum product what, int r,
                                struct error *err)
{
  struct joined *j = stage->joined;
  if (what == PRODUCT_ALL)
    return stage_row_kernel(inc, stage, r, err);
  struct kernel **at = what == PRODUCT_BASE ? &j->base_rows[r] : &ring->rows[r];
  if (!*at) {
    struct conv_spec spec = conv_spec_of(stage->node, 1);
    spec.ih = spec.oh = 1;
    spec.iw = spec.ow = stage_row_chunk[r];
    if (what == PRODUCT_BASE)
      spec.n_post = 0;
    if (what == PRODUCT_RING) {
      spec.ic = ring->channels;
      spec.bias = false;
      spec.sum = true;
    }
    *at = kernel_conv(inc->compute, &spec, ring && ring->weights ? ring->weights : stage->node->weights, err);
  }
  return *at && stage_need_scratch(inc, kernel_scratch(*at), err) ? *at : NULL;
}

/* Rows [from, until) of the segments, block by block: gathered, multiplied, and for a ring put in place. */
static bool run_rows(struct increment *inc, struct stage *stage, struct ring *ring, enum product what, int64_t from,
                     int64_t until, unsigned char *dst, struct error *err)
{
  const struct joined *j = stage->joined;
  const size_t pixel = inc->layers[stage->node->out[0]->id].view.pixel;
  const size_t in = (size_t)j->channels * dtype_size(stage->node->in[0]->t.dtype);
  unsigned char *gathered = inc->memory + inc->gather_offset;
  unsigned char *result = gathered + stage_pixel_bytes(most_rows(j, stage), in);
  for (int64_t done = from; done < until;) {
    int r = 0;
    while (r < ROW_CHUNKS - 1 && (until - done < stage_row_chunk[r] || !block_fits(j, stage, r)))
      r++;
    const int64_t m = until - done < stage_row_chunk[r] ? until - done : stage_row_chunk[r];
    struct kernel *kernel = kernel_of(inc, stage, ring, what, r, err);
    struct gather job = {inc, stage, ring, done, gathered, result};
    unsigned char *to = ring ? result : dst + (size_t)done * pixel;
    if (!kernel)
      return false;
    threads_for(m, 16, gather_rows, &job);
    if (!kernel_run(kernel, gathered, NULL, ring ? NULL : stage->node->shift, to, inc->scratch, err))
      return false;
    if (ring)
      threads_for(m, 32, scatter_rows, &job);
    done += m;
  }
  return true;
}

bool joined_base(struct increment *inc, struct stage *stage, struct error *err)
{
  struct joined *j = stage->joined;
  const struct layer_view *out = &inc->layers[stage->node->out[0]->id].view;
  int64_t rows = 0;
  if (!j->n_rings)
    return true;
  j->segments = inc->segments;
  j->n_segments = 0;
  for (int y = 0; y < out->height; y++)
    add_segment(j, -1, y, 0, out->width, &rows);
  return run_rows(inc, stage, NULL, PRODUCT_BASE, 0, rows, (unsigned char *)j->before, err);
}

bool joined_run(struct increment *inc, struct stage *stage, int n, struct error *err)
{
  struct joined *j = stage->joined;
  struct layer *out = &inc->layers[stage->node->out[0]->id];
  const struct rect none = {0, 0, 0, 0};
  int64_t rows = 0;
  const int listed = stage_take_tight(inc, stage, n);
  j->segments = inc->segments;
  j->n_segments = 0;
  if (!listed)
    return true;
  if (!j->n_rings) {
    for (int i = 0; i < listed; i++)
      add_frame(j, inc->list[i], &out->window[inc->list[i]].held, &none, &rows);
    stage_gather_residual(inc, stage, listed);
    return run_rows(inc, stage, NULL, PRODUCT_ALL, 0, rows, out->window[inc->list[0]].data, err);
  }
  int64_t end[MAX_RINGS] = {0}; /* rows up to and with a ring */
  for (int r = 0; r < j->n_rings; r++) {
    for (int i = 0; i < listed; i++) {
      const struct rect outer = union_of(inc, j, j->ring[r].end, inc->list[i]);
      const struct rect inner = r ? union_of(inc, j, j->ring[r - 1].end, inc->list[i]) : none;
      add_frame(j, inc->list[i], &outer, &inner, &rows);
    }
    end[r] = rows;
  }
  for (int r = 0; r < j->n_rings; r++)
    if (!run_rows(inc, stage, &j->ring[r], PRODUCT_RING, r ? end[r - 1] : 0, end[r], NULL, err))
      return false;
  return true;
}
