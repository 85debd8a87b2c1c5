/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling over images in channels-last order: the inner loop runs over channels. Cells outside the map never take part
 * in a maximum; in an average they count in the divisor where the file says so. */
#include "ops/pool.h"

#include "base/mem.h"
#include "base/threads.h"
#include "ops/loop.h"
#include "ops/output.h"
#include "ops/reverse.h"
#include "tensor/simd.h"

#include <math.h>
#include <string.h>

static inline float larger(float a, float b)
{
  return a > b || a != a ? a : b;
}

/* Maximum of 1 to 3 rows of n floats each (`further`: and of dst), in one pass over memory. */
SIMD_CLONES static void max_of_rows(float *restrict dst, const float *const *row, int rows, bool further, int64_t n)
{
  const float *a = row[0], *b = row[rows > 1 ? 1 : 0], *c = row[rows - 1];
  if (further)
    for (int64_t i = 0; i < n; i++)
      dst[i] = larger(c[i], larger(b[i], larger(a[i], dst[i])));
  else
    for (int64_t i = 0; i < n; i++)
      dst[i] = larger(c[i], larger(b[i], a[i]));
}

SIMD_CLONES static void add(float *restrict dst, const float *restrict src, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    dst[i] += src[i];
}

SIMD_CLONES static void multiply(float *dst, float factor, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    dst[i] *= factor;
}

static void add_power(float *dst, const float *src, int64_t n, int64_t p)
{
  for (int64_t i = 0; i < n; i++)
    dst[i] += p == 1 ? fabsf(src[i]) : p == 2 ? src[i] * src[i] : powf(fabsf(src[i]), (float)p);
}

static void root(float *dst, int64_t n, int64_t p)
{
  for (int64_t i = 0; i < n; i++)
    dst[i] = p == 1 ? dst[i] : p == 2 ? sqrtf(dst[i]) : powf(dst[i], 1.0f / (float)p);
}

/* Window of output o along axis a: cells [*from, *to) of the map in steps of the dilation, and how many cells the
 * divisor of an average counts. */
static int64_t window_of(const struct pool *p, int a, int64_t o, int64_t *from, int64_t *to)
{
  const struct spatial *s = &p->space;
  const int64_t d = s->dilation[a], begin = o * s->stride[a] - s->before[a], end = begin + (s->kernel[a] - 1) * d + 1;
  *from = begin < 0 ? begin + (-begin + d - 1) / d * d : begin;
  *to = end < s->in[a] ? end : s->in[a];
  const int64_t limit = p->count_pads ? s->in[a] + p->stated[a] : s->in[a];
  const int64_t first = p->count_pads ? begin : *from, last = end < limit ? end : limit;
  return last > first ? (last - first + d - 1) / d : 0;
}

/* Maximum of `rows` x `columns` cells, at least one, in steps of the dilation, from the cell at `src`. */
static void max_of_window(const struct spatial *s, int64_t c, const float *src, int64_t width, int64_t rows,
                          int64_t columns, float *dst)
{
  const float *cell[3];
  int held = 0;
  bool further = false;
  for (int64_t y = 0; y < rows; y += s->dilation[0])
    for (int64_t x = 0; x < columns; x += s->dilation[1]) {
      cell[held++] = src + (y * width + x) * c;
      if (held == 3) {
        max_of_rows(dst, cell, held, further, c);
        further = true;
        held = 0;
      }
    }
  if (held > 0)
    max_of_rows(dst, cell, held, further, c);
}

void pool_window(const struct pool *p, int64_t c, const float *src, int64_t y0, int64_t x0, int64_t width, int64_t oy0,
                 int64_t oy1, int64_t ox0, int64_t ox1, float *dst)
{
  const struct spatial *s = &p->space;
  for (int64_t oy = oy0; oy < oy1; oy++) {
    int64_t ya, yb;
    const int64_t rows = window_of(p, 0, oy, &ya, &yb);
    for (int64_t ox = ox0; ox < ox1; ox++, dst += c) {
      int64_t xa, xb;
      const int64_t cells = rows * window_of(p, 1, ox, &xa, &xb);
      if (p->kind == POOL_MAX && ya < yb && xa < xb) {
        max_of_window(s, c, src + ((ya - y0) * width + (xa - x0)) * c, width, yb - ya, xb - xa, dst);
        continue;
      }
      bool first = true;
      for (int64_t y = ya; y < yb; y += s->dilation[0])
        for (int64_t x = xa; x < xb; x += s->dilation[1]) {
          const float *at = src + ((y - y0) * width + (x - x0)) * c;
          if (first && p->kind != POOL_LP)
            memcpy(dst, at, (size_t)c * sizeof *dst);
          else if (p->kind == POOL_AVERAGE)
            add(dst, at, c);
          else {
            if (first)
              memset(dst, 0, (size_t)c * sizeof *dst);
            add_power(dst, at, c, p->p);
          }
          first = false;
        }
      if (first) /* wholly outside the map: nothing to choose from, nothing to sum */
        for (int64_t i = 0; i < c; i++)
          dst[i] = p->kind == POOL_MAX ? -INFINITY : 0;
      else if (p->kind == POOL_AVERAGE && cells > 0)
        multiply(dst, 1.0f / (float)cells, c);
      else if (p->kind == POOL_LP)
        root(dst, c, p->p);
    }
  }
}

/* ---- windowed -------------------------------------------------------------------------------------------------- */

static bool pool_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct pool *p = params_new(node, arena, sizeof *p, err);
  if (!p || !input_is(node, 0, DTYPE_F32, err))
    return false;
  int64_t count_pads;
  if (!spatial_read(node, NULL, &p->space, err) || !node_int(node, "count_include_pad", 0, &count_pads, err) ||
      !node_int(node, "p", 2, &p->p, err))
    return false;
  if (node->n_out > 1 && node->out[1])
    return node_error(node, err, "the second output (Indices) is not supported");
  p->kind = strcmp(node->type, "MaxPool") == 0 ? POOL_MAX : strcmp(node->type, "LpPool") == 0 ? POOL_LP : POOL_AVERAGE;
  if (p->kind == POOL_LP && p->p < 1)
    return node_error(node, err, "p %lld is below 1", (long long)p->p);
  p->count_pads = count_pads != 0;
  p->stated[0] = p->space.after[0];
  p->stated[1] = p->space.after[1];
  struct shape out = node->in[0]->t.shape;
  out.dim[2] = p->space.out[0];
  out.dim[3] = p->space.out[1];
  return output_set(node, 0, DTYPE_F32, &out, LAYOUT_CHANNELS_LAST, err);
}

struct pool_job {
  const struct pool *pool;
  int64_t c;
  const float *src;
  float *dst;
};

/* Items are output rows over all maps. */
static void pool_rows(void *context, int64_t begin, int64_t end)
{
  const struct pool_job *job = context;
  const struct spatial *s = &job->pool->space;
  for (int64_t i = begin; i < end; i++) {
    const int64_t map = i / s->out[0], oy = i % s->out[0];
    pool_window(job->pool, job->c, job->src + map * s->in[0] * s->in[1] * job->c, 0, 0, s->in[1], oy, oy + 1, 0,
                s->out[1], job->dst + i * s->out[1] * job->c);
  }
}

static bool pool_forward(const struct call *call, struct error *err)
{
  (void)err;
  const struct shape *in = &call->node->in[0]->t.shape;
  const struct pool *p = call->node->params;
  const struct spatial *s = &p->space;
  struct pool_job job = {p, in->dim[1], call->in[0], call->out[0]};
  const int64_t row = s->out[1] * s->kernel[0] * s->kernel[1] * in->dim[1];
  threads_for(call->n * in->dim[0] * s->out[0], LOOP_GRAIN / (row + 1) + 1, pool_rows, &job);
  return true;
}

static struct window_rule pool_window_rule(const struct node *node)
{
  return (struct window_rule){WINDOW_SLIDE, ((const struct pool *)node->params)->space};
}

/* ---- global ---------------------------------------------------------------------------------------------------- */

static bool global_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct pool *p = params_new(node, arena, sizeof *p, err);
  if (!p || !input_is(node, 0, DTYPE_F32, err))
    return false;
  struct shape out = node->in[0]->t.shape;
  if (out.rank != 4)
    return node_error(node, err, "input has rank %d; only images (rank 4) are supported", out.rank);
  p->global = true;
  p->kind = strcmp(node->type, "GlobalMaxPool") == 0 ? POOL_MAX : POOL_AVERAGE;
  for (int a = 0; a < 2; a++) {
    p->space.in[a] = p->space.kernel[a] = out.dim[2 + a];
    p->space.out[a] = p->space.stride[a] = p->space.dilation[a] = 1;
  }
  out.dim[2] = out.dim[3] = 1;
  return output_set(node, 0, DTYPE_F32, &out, LAYOUT_CHANNELS_LAST, err);
}

enum { SUM_CHUNK = 64 }; /* channels that one thread sums at a time */

/* Mean over cells of n <= SUM_CHUNK of the c channels, in double. Four cells are summed before the long sum is touched.
 */
SIMD_CLONES static void mean(const float *restrict src, int64_t cells, int64_t c, int64_t n, float *restrict dst)
{
  double sum[SUM_CHUNK] = {0};
  int64_t i = 0;
  for (; i + 4 <= cells; i += 4) {
    const float *x = src + i * c, *y = x + c, *z = y + c, *w = z + c;
    for (int64_t j = 0; j < n; j++)
      sum[j] += ((double)x[j] + (double)y[j]) + ((double)z[j] + (double)w[j]);
  }
  for (; i < cells; i++)
    for (int64_t j = 0; j < n; j++)
      sum[j] += (double)src[i * c + j];
  for (int64_t j = 0; j < n; j++)
    dst[j] = (float)(sum[j] / (double)cells);
}

static void max_of_cells(const float *src, int64_t cells, int64_t c, int64_t n, float *dst)
{
  memcpy(dst, src, (size_t)n * sizeof *dst);
  for (int64_t i = 1; i < cells; i += 3) {
    const int held = cells - i < 3 ? (int)(cells - i) : 3;
    const float *row[3] = {src + i * c};
    for (int k = 1; k < held; k++)
      row[k] = src + (i + k) * c;
    max_of_rows(dst, row, held, true, n);
  }
}

/* Items are chunks of the channels of all maps. */
static void global_chunks(void *context, int64_t begin, int64_t end)
{
  const struct pool_job *job = context;
  const int64_t cells = job->pool->space.in[0] * job->pool->space.in[1], c = job->c;
  const int64_t chunks = (c + SUM_CHUNK - 1) / SUM_CHUNK;
  for (int64_t i = begin; i < end; i++) {
    const int64_t map = i / chunks, c0 = i % chunks * SUM_CHUNK, n = c - c0 < SUM_CHUNK ? c - c0 : SUM_CHUNK;
    const float *src = job->src + map * cells * c + c0;
    float *dst = job->dst + map * c + c0;
    if (job->pool->kind == POOL_AVERAGE)
      mean(src, cells, c, n, dst);
    else
      max_of_cells(src, cells, c, n, dst);
  }
}

static bool global_forward(const struct call *call, struct error *err)
{
  (void)err;
  const struct shape *in = &call->node->in[0]->t.shape;
  const int64_t c = in->dim[1], chunks = (c + SUM_CHUNK - 1) / SUM_CHUNK;
  struct pool_job job = {call->node->params, c, call->in[0], call->out[0]};
  threads_for(call->n * in->dim[0] * chunks, LOOP_GRAIN / (in->dim[2] * in->dim[3] * SUM_CHUNK + 1) + 1, global_chunks,
              &job);
  return true;
}

/* ---- backward -------------------------------------------------------------------------------------------------- */

enum { CHANNELS = 64 }; /* of a map that one thread takes at a time: windows overlap, channels do not */

struct reverse_job {
  const struct pool *pool;
  int64_t c, pieces;
  const float *x, *y, *g;
  float *to;
};

/* The first cell of the window that holds the maximum takes the signal; `taken` tells whether one did before. */
SIMD_CLONES static void give_to_max(int64_t n, const float *restrict x, const float *restrict y,
                                    const float *restrict g, int32_t *restrict taken, float *restrict to)
{
  for (int64_t i = 0; i < n; i++) {
    const int32_t hit = (x[i] == y[i]) & ~taken[i];
    to[i] += hit ? g[i] : 0.0f;
    taken[i] |= hit;
  }
}

SIMD_CLONES static void give_share(int64_t n, const float *restrict g, float share, float *restrict to)
{
  for (int64_t i = 0; i < n; i++)
    to[i] += g[i] * share;
}

/* y = (sum |x|^p)^(1/p); at y = 0 nothing moves. */
static void give_power(int64_t n, int64_t p, const float *x, const float *y, const float *g, float *to)
{
  for (int64_t i = 0; i < n; i++)
    if (y[i] > 0)
      to[i] += g[i] *
               copysignf(p == 1   ? 1
                         : p == 2 ? fabsf(x[i]) / y[i]
                                  : powf(fabsf(x[i]) / y[i], (float)(p - 1)),
                         x[i]) *
               (x[i] != 0);
}

/* Items are groups of channels of a map. */
static void reverse_maps(void *context, int64_t begin, int64_t end)
{
  const struct reverse_job *job = context;
  const struct pool *p = job->pool;
  const struct spatial *s = &p->space;
  for (int64_t item = begin; item < end; item++) {
    const int64_t map = item / job->pieces, c0 = item % job->pieces * CHANNELS, c = job->c;
    const int64_t n = c - c0 < CHANNELS ? c - c0 : CHANNELS;
    for (int64_t oy = 0; oy < s->out[0]; oy++)
      for (int64_t ox = 0; ox < s->out[1]; ox++) {
        int64_t ya, yb, xa, xb;
        const int64_t rows = window_of(p, 0, oy, &ya, &yb), cells = rows * window_of(p, 1, ox, &xa, &xb);
        const int64_t out = ((map * s->out[0] + oy) * s->out[1] + ox) * c + c0;
        const float *y = job->y ? job->y + out : NULL, *g = job->g + out;
        int32_t taken[CHANNELS] = {0};
        for (int64_t iy = ya; iy < yb; iy += s->dilation[0])
          for (int64_t ix = xa; ix < xb; ix += s->dilation[1]) {
            const int64_t in = ((map * s->in[0] + iy) * s->in[1] + ix) * c + c0;
            if (p->kind == POOL_MAX)
              give_to_max(n, job->x + in, y, g, taken, job->to + in);
            else if (p->kind == POOL_AVERAGE)
              give_share(n, g, cells > 0 ? 1.0f / (float)cells : 0, job->to + in);
            else
              give_power(n, p->p, job->x + in, y, g, job->to + in);
          }
      }
  }
}

static unsigned pool_keeps(const struct node *node, enum rule rule, unsigned wanted)
{
  const struct pool *p = node->params;
  (void)rule;
  (void)wanted;
  return p->kind == POOL_AVERAGE ? 0 : BACKWARD_IN(0) | BACKWARD_OUT;
}

static bool pool_backward_run(const struct reverse *r, struct error *err)
{
  const struct shape *in = &r->node->in[0]->t.shape;
  const int64_t c = in->dim[1], pieces = (c + CHANNELS - 1) / CHANNELS;
  struct reverse_job job = {r->node->params, c, pieces, r->in[0], r->out[0], r->from[0], r->to[0]};
  (void)err;
  reverse_nothing(r, 0);
  threads_for(r->n * in->dim[0] * pieces, 1, reverse_maps, &job);
  return true;
}

static const struct backward pool_backward = {.flags = BACKWARD_ADDS, .keeps_of = pool_keeps, .run = pool_backward_run};

OP_TABLE(pool) = {
    {.type = "MaxPool",
     .since = 1,
     .min_in = 1,
     .max_in = 1,
     .max_out = 2,
     .layout = OP_CHANNELS_LAST,
     .shape = pool_shape,
     .forward = pool_forward,
     .window = pool_window_rule,
     .backward = &pool_backward},
    {.type = "AveragePool",
     .since = 1,
     .min_in = 1,
     .max_in = 1,
     .max_out = 1,
     .layout = OP_CHANNELS_LAST,
     .shape = pool_shape,
     .forward = pool_forward,
     .window = pool_window_rule,
     .backward = &pool_backward},
    {.type = "LpPool",
     .since = 2,
     .min_in = 1,
     .max_in = 1,
     .max_out = 1,
     .layout = OP_CHANNELS_LAST,
     .shape = pool_shape,
     .forward = pool_forward,
     .window = pool_window_rule,
     .backward = &pool_backward},
    {.type = "GlobalAveragePool",
     .since = 1,
     .min_in = 1,
     .max_in = 1,
     .max_out = 1,
     .layout = OP_CHANNELS_LAST,
     .shape = global_shape,
     .forward = global_forward,
     .backward = &pool_backward},
    {.type = "GlobalMaxPool",
     .since = 1,
     .min_in = 1,
     .max_in = 1,
     .max_out = 1,
     .layout = OP_CHANNELS_LAST,
     .shape = global_shape,
     .forward = global_forward,
     .backward = &pool_backward},
    {.type = NULL},
};
