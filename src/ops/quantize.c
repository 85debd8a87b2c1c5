/* SPDX-License-Identifier: Apache-2.0 */
/* QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear. What a quantised model computes between them is carried in
 * float32 that holds the integers: exact up to 16 bits, and every operator that may stand in between (pooling, copies,
 * Concat) works on it as it is. */
#include "base/threads.h"
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "ops/reverse.h"
#include "tensor/simd.h"

#include <math.h>
#include <string.h>

/* A sample as it lies in memory: [outer, channels, inner], one scale and zero point per channel, or one for all. */
struct quantize {
  int64_t outer, channels, inner;
  float low, high;
};

static bool quantize_axis(struct node *node, struct quantize *q, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  const int64_t scales = tensor_count(&node->in[1]->t);
  int64_t block;
  int axis = 0, order[TENSOR_MAX_RANK];
  if (!node_int(node, "block_size", 0, &block, err))
    return false;
  if (block != 0)
    return node_error(node, err, "scales for blocks (block_size %lld) are not supported", (long long)block);
  if (!input_is(node, 1, DTYPE_F32, err))
    return false;
  if (node_has(node, 2) && tensor_count(&node->in[2]->t) != scales)
    return node_error(node, err, "has %lld scales and %lld zero points", (long long)scales,
                      (long long)tensor_count(&node->in[2]->t));
  *q = (struct quantize){1, 1, tensor_count(in), -INFINITY, INFINITY};
  if (scales == 1)
    return true;
  if (!axis_read(node, 1, in->shape.rank, &axis, err))
    return false;
  if (scales != in->shape.dim[axis])
    return node_error(node, err, "has %lld scales for axis %d of %lld", (long long)scales, axis,
                      (long long)in->shape.dim[axis]);
  *q = (struct quantize){1, scales, 1, -INFINITY, INFINITY};
  loop_order(in, order);
  bool behind = false;
  for (int k = 0; k < in->shape.rank; k++) {
    if (order[k] == axis)
      behind = true;
    else if (behind)
      q->inner *= in->shape.dim[order[k]];
    else
      q->outer *= in->shape.dim[order[k]];
  }
  return true;
}

static bool quantize_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct quantize *q = params_new(node, arena, sizeof *q, err);
  int64_t element, low, high;
  if (!q || !quantize_axis(node, q, err) || !node_int(node, "output_dtype", 0, &element, err))
    return false;
  if (node_has(node, 2) && node->in[2]->t.element != 0)
    element = node->in[2]->t.element;
  if (element == 0)
    element = ELEMENT_UINT8;
  if (element < 0 || element > 64 || !element_range((int)element, &low, &high) || high > UINT16_MAX)
    return node_error(node, err, "quantising to element type %lld is not supported", (long long)element);
  q->low = (float)low;
  q->high = (float)high;
  if (!output_like(node, 0, DTYPE_F32, err))
    return false;
  node->out[0]->t.element = (int)element;
  return true;
}

static bool dequantize_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct quantize *q = params_new(node, arena, sizeof *q, err);
  if (!q || !quantize_axis(node, q, err) || !output_like(node, 0, DTYPE_F32, err))
    return false;
  node->out[0]->t.element = ELEMENT_FLOAT;
  return true;
}

static float number_at(const struct call *call, int i, int64_t s, int64_t k)
{
  const struct tensor *t = &call->node->in[i]->t;
  k += call->in_batched[i] ? s * tensor_count(t) : 0;
  return t->dtype == DTYPE_F32 ? ((const float *)call->in[i])[k] : (float)((const int64_t *)call->in[i])[k];
}

SIMD_CLONES static void quantize_row(int64_t n, const float *x, float *y, float scale, float zero, float low,
                                     float high)
{
  _Pragma("omp simd") for (int64_t i = 0; i < n; i++)
  {
    float v = rintf(x[i] / scale) + zero;
    v = v < low ? low : v;
    y[i] = v > high ? high : v;
  }
}

SIMD_CLONES static void dequantize_row(int64_t n, const float *x, float *y, float scale, float zero)
{
  _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = (x[i] - zero) * scale;
}

static void integers_to_f32(int64_t n, const int64_t *x, float *y)
{
  for (int64_t i = 0; i < n; i++)
    y[i] = (float)x[i];
}

struct quantize_rows {
  const struct call *call;
  const struct quantize *q;
  bool forth;            /* quantise; else the way back */
  int64_t piece, pieces; /* a channel's row is cut into pieces, so that one scale for all runs on all threads */
};

static void quantize_part(void *context, int64_t begin, int64_t end)
{
  const struct quantize_rows *rows = context;
  const struct call *call = rows->call;
  const struct quantize *q = rows->q;
  const struct tensor *in = &call->node->in[0]->t;
  for (int64_t p = begin; p < end; p++) {
    const int64_t row = p / rows->pieces, first = p % rows->pieces * rows->piece;
    const int64_t c = row % q->channels, s = row / q->channels / q->outer;
    const int64_t n = q->inner - first < rows->piece ? q->inner - first : rows->piece;
    const float scale = number_at(call, 1, s, c), zero = node_has(call->node, 2) ? number_at(call, 2, s, c) : 0;
    int64_t from = row * q->inner + first;
    float *y = (float *)call->out[0] + from;
    if (!call->in_batched[0])
      from -= s * q->outer * q->channels * q->inner;
    const float *x = (const float *)call->in[0] + from;
    if (in->dtype == DTYPE_I64) {
      integers_to_f32(n, (const int64_t *)call->in[0] + from, y);
      x = y;
    }
    if (rows->forth)
      quantize_row(n, x, y, scale, zero, q->low, q->high);
    else
      dequantize_row(n, x, y, scale, zero);
  }
}

/* Channels innermost: scale and zero point change from element to element. */
static void quantize_innermost(void *context, int64_t begin, int64_t end)
{
  const struct quantize_rows *rows = context;
  const struct call *call = rows->call;
  const struct quantize *q = rows->q;
  for (int64_t row = begin; row < end; row++) {
    const int64_t s = row / q->outer, out = row * q->channels;
    const int64_t in = out - (call->in_batched[0] ? 0 : s * q->outer * q->channels);
    for (int64_t c = 0; c < q->channels; c++) {
      const float x = number_at(call, 0, 0, in + c), scale = number_at(call, 1, s, c);
      const float zero = node_has(call->node, 2) ? number_at(call, 2, s, c) : 0;
      float v = rows->forth ? rintf(x / scale) + zero : (x - zero) * scale;
      v = v < q->low ? q->low : v;
      ((float *)call->out[0])[out + c] = v > q->high ? q->high : v;
    }
  }
}

static void quantize_run(const struct call *call, bool forth)
{
  const struct quantize *q = call->node->params;
  struct quantize_rows rows = {call, q, forth, LOOP_GRAIN, (q->inner + LOOP_GRAIN - 1) / LOOP_GRAIN};
  if (tensor_count(&call->node->out[0]->t) == 0)
    return;
  if (q->inner == 1 && q->channels > 1)
    threads_for(call->n * q->outer, 1 + LOOP_GRAIN_COSTLY / q->channels, quantize_innermost, &rows);
  else
    threads_for(call->n * q->outer * q->channels * rows.pieces, 1 + LOOP_GRAIN / (q->inner + 1), quantize_part, &rows);
}

static bool quantize_forward(const struct call *call, struct error *err)
{
  (void)err;
  quantize_run(call, true);
  return true;
}

static bool dequantize_forward(const struct call *call, struct error *err)
{
  (void)err;
  quantize_run(call, false);
  return true;
}

/* ---- DynamicQuantizeLinear: 8 bits over the range of each sample, which includes 0 ---- */

static bool dynamic_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct shape one = {.rank = 0};
  (void)arena;
  if (!input_is(node, 0, DTYPE_F32, err) || !output_like(node, 0, DTYPE_F32, err) ||
      !output_set(node, 1, DTYPE_F32, &one, LAYOUT_PLAIN, err) ||
      !output_set(node, 2, DTYPE_I64, &one, LAYOUT_PLAIN, err))
    return false;
  node->out[0]->t.element = ELEMENT_UINT8;
  if (node->n_out > 2 && node->out[2])
    node->out[2]->t.element = ELEMENT_UINT8;
  return true;
}

static bool dynamic_forward(const struct call *call, struct error *err)
{
  const int64_t count = tensor_count(&call->node->out[0]->t);
  (void)err;
  for (int64_t s = 0; s < call->n; s++) {
    const float *x = (const float *)call->in[0] + s * count;
    float low = 0, high = 0;
    for (int64_t i = 0; i < count; i++) {
      low = x[i] < low ? x[i] : low;
      high = x[i] > high ? x[i] : high;
    }
    const float scale = high > low ? (high - low) / 255 : 1;
    float zero = rintf(-low / scale);
    zero = zero < 0 ? 0 : (zero > 255 ? 255 : zero);
    quantize_row(count, x, (float *)call->out[0] + s * count, scale, zero, 0, 255);
    if (call->node->n_out > 1 && call->out[1])
      ((float *)call->out[1])[s] = scale;
    if (call->node->n_out > 2 && call->out[2])
      ((int64_t *)call->out[2])[s] = (int64_t)zero;
  }
  return true;
}

/* ---- backward: straight through the staircase inside the range (Bengio, Leonard, Courville, "Estimating or
 * propagating gradients through stochastic neurons", 2013) ---- */

static bool quantize_sends(const struct node *node, enum rule rule, unsigned *inputs, struct error *err)
{
  (void)node;
  (void)rule;
  (void)err;
  *inputs &= BACKWARD_IN(0);
  return true;
}

struct straight {
  const struct reverse *r;
  struct call call; /* for number_at */
  bool forth;
};

static void straight_part(void *context, int64_t begin, int64_t end)
{
  const struct straight *st = context;
  const struct reverse *r = st->r;
  const struct quantize *q = r->node->params;
  const int64_t count = tensor_count(&r->node->in[0]->t);
  for (int64_t e = begin; e < end; e++) {
    const int64_t s = e / count, c = e / q->inner % q->channels;
    const float scale = number_at(&st->call, 1, s, c);
    float v = r->from[0][e];
    if (st->forth) {
      const float zero = node_has(r->node, 2) ? number_at(&st->call, 2, s, c) : 0;
      const float x = ((const float *)r->in[0])[e] / scale + zero;
      v = x >= q->low - 0.5f && x <= q->high + 0.5f ? v / scale : 0;
    } else {
      v *= scale;
    }
    r->to[0][e] = r->add[0] ? r->to[0][e] + v : v;
  }
}

static bool straight_run(const struct reverse *r, bool forth)
{
  struct straight st = {r, {.node = r->node, .n = r->n, .in = r->in, .in_batched = r->in_batched}, forth};
  threads_for(r->n * tensor_count(&r->node->in[0]->t), LOOP_GRAIN, straight_part, &st);
  return true;
}

static bool quantize_backward_run(const struct reverse *r, struct error *err)
{
  (void)err;
  return straight_run(r, true);
}

static bool dequantize_backward_run(const struct reverse *r, struct error *err)
{
  (void)err;
  return straight_run(r, false);
}

/* The range follows the values: nothing is outside. */
static bool dynamic_backward_run(const struct reverse *r, struct error *err)
{
  const int64_t count = tensor_count(&r->node->in[0]->t);
  (void)err;
  reverse_nothing(r, 0);
  for (int64_t s = 0; r->from[0] && s < r->n; s++) {
    const float *x = (const float *)r->in[0] + s * count;
    float low = 0, high = 0;
    for (int64_t i = 0; i < count; i++) {
      low = x[i] < low ? x[i] : low;
      high = x[i] > high ? x[i] : high;
    }
    for (int64_t i = 0; i < count; i++)
      r->to[0][s * count + i] += r->from[0][s * count + i] * (high > low ? 255 / (high - low) : 1);
  }
  return true;
}

static const struct backward quantize_backward = {.flags = BACKWARD_ADDS | BACKWARD_STRAIGHT,
                                                  .keeps = BACKWARD_INS,
                                                  .sends = quantize_sends,
                                                  .run = quantize_backward_run};
static const struct backward dequantize_backward = {.flags = BACKWARD_ADDS,
                                                    .keeps = BACKWARD_INS & ~BACKWARD_IN(0),
                                                    .sends = quantize_sends,
                                                    .run = dequantize_backward_run};
static const struct backward dynamic_backward = {
    .flags = BACKWARD_ADDS | BACKWARD_STRAIGHT, .keeps = BACKWARD_IN(0), .run = dynamic_backward_run};

OP_TABLE(quantize) = {
    {.type = "QuantizeLinear",
     .since = 10,
     .min_in = 2,
     .max_in = 3,
     .max_out = 1,
     .flags = OP_INPLACE,
     .shape = quantize_shape,
     .forward = quantize_forward,
     .backward = &quantize_backward},
    {.type = "DequantizeLinear",
     .since = 10,
     .min_in = 2,
     .max_in = 3,
     .max_out = 1,
     .flags = OP_INPLACE,
     .shape = dequantize_shape,
     .forward = dequantize_forward,
     .backward = &dequantize_backward},
    {.type = "DynamicQuantizeLinear",
     .since = 11,
     .min_in = 1,
     .max_in = 1,
     .max_out = 3,
     .shape = dynamic_shape,
     .forward = dynamic_forward,
     .backward = &dynamic_backward},
    {.type = NULL},
};
