/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisations: Batch- (inference), Layer-, Instance-, GroupNormalization, LRN, LpNormalization,
 * MeanVarianceNormalization. Means and variances are taken in two passes and in double, in the order of memory. */
#include "ops/norm.h"

#include "base/threads.h"
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "tensor/simd.h"

#include <math.h>
#include <string.h>

/* Input i is a constant of `count` float32 numbers. */
static bool constant_row(const struct node *node, int i, int64_t count, struct error *err)
{
  const struct tensor *t = &node->in[i]->t;
  if (!input_is(node, i, DTYPE_F32, err))
    return false;
  if (!t->data)
    return node_error(node, err, "input %d ('%.60s') is computed from the image, only constants are supported", i,
                      node->in[i]->name);
  if (tensor_count(t) != count)
    return node_error(node, err, "input %d has shape %s, %lld numbers are wanted", i, INPUT_SHAPE(node, i),
                      (long long)count);
  return true;
}

/* y[i] = (x[i] - mean) * scale + shift over a run of one channel. */
SIMD_CLONES static void affine_run(int64_t n, const float *x, float *y, float mean, float scale, float shift)
{
  _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * scale + shift;
}

/* The same with parameters that change along the run. */
SIMD_CLONES static void affine_row(int64_t n, const float *x, float *y, const float *mean, const float *scale,
                                   const float *shift)
{
  _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean[i]) * scale[i] + shift[i];
}

SIMD_CLONES static double sum_of(const float *x, int64_t n)
{
  double s = 0;
  _Pragma("omp simd reduction(+ : s)") for (int64_t i = 0; i < n; i++) s += (double)x[i];
  return s;
}

SIMD_CLONES static double squares_of(const float *x, int64_t n, double mean)
{
  double s = 0;
  _Pragma("omp simd reduction(+ : s)") for (int64_t i = 0; i < n; i++)
  {
    const double d = (double)x[i] - mean;
    s += d * d;
  }
  return s;
}

/* Behind plain functions: the resolver of a cloned one would be exported. */
double norm_sum(const float *x, int64_t n)
{
  return sum_of(x, n);
}

double norm_squares(const float *x, int64_t n, double mean)
{
  return squares_of(x, n, mean);
}

/* ---- BatchNormalization ---- */

static bool batch_norm_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  struct batch_norm *b = params_new(node, arena, sizeof *b, err);
  double epsilon;
  int64_t training, spatial;
  if (!b || !input_is(node, 0, DTYPE_F32, err) || !node_float(node, "epsilon", 1e-5, &epsilon, err) ||
      !node_int(node, "training_mode", 0, &training, err) || !node_int(node, "spatial", 1, &spatial, err))
    return false;
  if (training != 0)
    return node_error(node, err, "training mode is not supported");
  if (spatial == 0)
    return node_error(node, err, "spatial = 0 is not supported");
  if (in->shape.rank < 2)
    return node_error(node, err, "input of shape %s has no channels", INPUT_SHAPE(node, 0));
  b->channels = in->shape.dim[1];
  for (int i = 1; i <= 4; i++)
    if (!constant_row(node, i, b->channels, err))
      return false;
  b->run = in->layout == LAYOUT_CHANNELS_LAST ? 1 : shape_product(&in->shape, 2, in->shape.rank);
  b->scale = arena_array(arena, (size_t)b->channels + 1, sizeof *b->scale);
  if (!b->scale)
    return error_memory(err, "a batch norm");
  const float *gamma = node->in[1]->t.data, *variance = node->in[4]->t.data;
  b->shift = node->in[2]->t.data;
  b->mean = node->in[3]->t.data;
  for (int64_t c = 0; c < b->channels; c++)
    b->scale[c] = (float)((double)gamma[c] / sqrt((double)variance[c] + epsilon));
  return output_like(node, 0, DTYPE_F32, err);
}

struct rows {
  const struct call *call;
  const float *in;
  float *out;
};

static void batch_norm_part(void *context, int64_t begin, int64_t end)
{
  const struct rows *rows = context;
  const struct batch_norm *b = rows->call->node->params;
  for (int64_t r = begin; r < end; r++)
    if (b->run == 1) {
      affine_row(b->channels, rows->in + r * b->channels, rows->out + r * b->channels, b->mean, b->scale, b->shift);
    } else {
      int64_t c = r % b->channels;
      affine_run(b->run, rows->in + r * b->run, rows->out + r * b->run, b->mean[c], b->scale[c], b->shift[c]);
    }
}

static bool batch_norm_forward(const struct call *call, struct error *err)
{
  const struct batch_norm *b = call->node->params;
  struct rows rows = {call, call->in[0], call->out[0]};
  int64_t count = call->n * tensor_count(&call->node->out[0]->t), length = b->run == 1 ? b->channels : b->run;
  (void)err;
  if (count > 0)
    threads_for(count / length, 1 + LOOP_GRAIN / length, batch_norm_part, &rows);
  return true;
}

/* ---- LayerNormalization ---- */

/* A constant broadcast to the normalised axes. */
static const float *broadcast_row(struct node *node, int i, struct arena *arena, int axis, int64_t row,
                                  struct error *err)
{
  const struct tensor *t = &node->in[i]->t;
  const struct shape *in = &node->in[0]->t.shape;
  struct shape whole = shape_of(in->rank - axis, in->dim + axis), both;
  if (!input_is(node, i, DTYPE_F32, err))
    return NULL;
  if (!t->data) {
    node_error(node, err, "input %d ('%.60s') is computed from the image, only constants are supported", i,
               node->in[i]->name);
    return NULL;
  }
  if (tensor_count(t) == row)
    return t->data;
  if (!shape_broadcast(&t->shape, &whole, &both) || !shape_equal(&both, &whole)) {
    node_error(node, err, "input %d of shape %s does not broadcast to the normalised axes of %s", i,
               INPUT_SHAPE(node, i), INPUT_SHAPE(node, 0));
    return NULL;
  }
  float *wide = arena_array(arena, (size_t)row + 1, sizeof *wide);
  if (!wide) {
    error_memory(err, "a layer norm");
    return NULL;
  }
  int64_t from[TENSOR_MAX_RANK], to[TENSOR_MAX_RANK];
  struct loop loop;
  loop_broadcast(t, &whole, from);
  tensor_strides(&(struct tensor){.shape = whole}, to);
  loop_begin(&loop, 2);
  for (int d = 0; d < whole.rank; d++)
    loop_push(&loop, whole.dim[d], (const int64_t[]){to[d], from[d]});
  loop_copy(&loop, sizeof *wide, wide, t->data);
  return wide;
}

static bool layer_norm_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  struct layer_norm *l = params_new(node, arena, sizeof *l, err);
  int axis;
  if (!l || !input_is(node, 0, DTYPE_F32, err) || !axis_read(node, -1, in->shape.rank, &axis, err) ||
      !node_float(node, "epsilon", 1e-5, &l->epsilon, err))
    return false;
  l->row = shape_product(&in->shape, axis, in->shape.rank);
  l->scale = broadcast_row(node, 1, arena, axis, l->row, err);
  if (!l->scale || (node_has(node, 2) && !(l->shift = broadcast_row(node, 2, arena, axis, l->row, err))))
    return false;
  struct shape means = in->shape;
  for (int d = axis; d < means.rank; d++)
    means.dim[d] = 1;
  return output_like(node, 0, DTYPE_F32, err) && output_set(node, 1, DTYPE_F32, &means, LAYOUT_PLAIN, err) &&
         output_set(node, 2, DTYPE_F32, &means, LAYOUT_PLAIN, err);
}

SIMD_CLONES static void layer_norm_row(int64_t n, const float *x, float *y, float mean, float inverse,
                                       const float *scale, const float *shift)
{
  if (shift) {
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * inverse * scale[i] + shift[i];
  } else {
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * inverse * scale[i];
  }
}

static void layer_norm_part(void *context, int64_t begin, int64_t end)
{
  const struct call *call = context;
  const struct layer_norm *l = call->node->params;
  const int64_t n = l->row;
  float *means = call->node->n_out > 1 ? call->out[1] : NULL, *inverses = call->node->n_out > 2 ? call->out[2] : NULL;
  for (int64_t r = begin; r < end; r++) {
    const float *x = (const float *)call->in[0] + r * n;
    const double mean = norm_sum(x, n) / (double)n;
    const double inverse = 1 / sqrt(norm_squares(x, n, mean) / (double)n + l->epsilon);
    layer_norm_row(n, x, (float *)call->out[0] + r * n, (float)mean, (float)inverse, l->scale, l->shift);
    if (means)
      means[r] = (float)mean;
    if (inverses)
      inverses[r] = (float)inverse;
  }
}

static bool layer_norm_forward(const struct call *call, struct error *err)
{
  const struct layer_norm *l = call->node->params;
  int64_t count = call->n * tensor_count(&call->node->out[0]->t);
  (void)err;
  if (count > 0)
    threads_for(count / l->row, 1 + LOOP_GRAIN_COSTLY / l->row, layer_norm_part, (void *)call);
  return true;
}

/* ---- InstanceNormalization, GroupNormalization ---- */

static bool group_norm_shape(struct node *node, struct arena *arena, bool instance, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  struct group_norm *g = params_new(node, arena, sizeof *g, err);
  if (!g || !input_is(node, 0, DTYPE_F32, err) || !node_float(node, "epsilon", 1e-5, &g->epsilon, err))
    return false;
  if (in->shape.rank < 2)
    return node_error(node, err, "input of shape %s has no channels", INPUT_SHAPE(node, 0));
  g->channels = g->groups = in->shape.dim[1];
  g->pixels = shape_product(&in->shape, 2, in->shape.rank);
  if (!instance && !node_int(node, "num_groups", 0, &g->groups, err))
    return false;
  if (g->groups < 1 || g->channels % g->groups != 0)
    return node_error(node, err, "%lld channels do not divide into %lld groups", (long long)g->channels,
                      (long long)g->groups);
  g->per_group = !instance && node->opset < 21;
  int64_t count = g->per_group ? g->groups : g->channels;
  if (!constant_row(node, 1, count, err) || !constant_row(node, 2, count, err))
    return false;
  g->scale = node->in[1]->t.data;
  g->shift = node->in[2]->t.data;
  return output_like(node, 0, DTYPE_F32, err);
}

static bool instance_shape(struct node *node, struct arena *arena, struct error *err)
{
  return group_norm_shape(node, arena, true, err);
}

static bool group_shape(struct node *node, struct arena *arena, struct error *err)
{
  return group_norm_shape(node, arena, false, err);
}

/* Groups [begin, end) over all blocks. In channels-last a group is a run of its channels in every pixel. */
static void group_norm_part(void *context, int64_t begin, int64_t end)
{
  const struct call *call = context;
  const struct group_norm *g = call->node->params;
  const int64_t width = g->channels / g->groups;
  const bool last = call->node->in[0]->t.layout == LAYOUT_CHANNELS_LAST;
  const int64_t runs = last ? g->pixels : 1, run = last ? width : width * g->pixels;
  for (int64_t r = begin; r < end; r++) {
    const int64_t block = r / g->groups * g->channels * g->pixels, group = r % g->groups;
    const int64_t at = block + (last ? group * width : group * run);
    const float *x = (const float *)call->in[0] + at;
    float *y = (float *)call->out[0] + at;
    double sum = 0, squares = 0;
    for (int64_t k = 0; k < runs; k++)
      sum += norm_sum(x + k * g->channels, run);
    const double mean = sum / (double)(runs * run);
    for (int64_t k = 0; k < runs; k++)
      squares += norm_squares(x + k * g->channels, run, mean);
    const float inverse = (float)(1 / sqrt(squares / (double)(runs * run) + g->epsilon));
    for (int64_t k = 0; k < runs; k++) {
      if (g->per_group) {
        affine_run(run, x + k * g->channels, y + k * g->channels, (float)mean, inverse * g->scale[group],
                   g->shift[group]);
      } else if (last) {
        const float *scale = g->scale + group * width, *shift = g->shift + group * width;
        layer_norm_row(run, x + k * g->channels, y + k * g->channels, (float)mean, inverse, scale, shift);
      } else {
        for (int64_t c = 0; c < width; c++)
          affine_run(g->pixels, x + c * g->pixels, y + c * g->pixels, (float)mean,
                     inverse * g->scale[group * width + c], g->shift[group * width + c]);
      }
    }
  }
}

static bool group_norm_forward(const struct call *call, struct error *err)
{
  const struct group_norm *g = call->node->params;
  const struct tensor *in = &call->node->in[0]->t;
  (void)err;
  if (tensor_count(in) > 0)
    threads_for(call->n * in->shape.dim[0] * g->groups, 1 + LOOP_GRAIN_COSTLY / (g->channels / g->groups * g->pixels),
                group_norm_part, (void *)call);
  return true;
}

/* ---- LRN ---- */

static bool lrn_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  struct lrn *l = params_new(node, arena, sizeof *l, err);
  int64_t size;
  if (!l || !input_is(node, 0, DTYPE_F32, err) || !node_int(node, "size", 0, &size, err) ||
      !node_float(node, "alpha", 1e-4, &l->alpha, err) || !node_float(node, "beta", 0.75, &l->beta, err) ||
      !node_float(node, "bias", 1, &l->bias, err))
    return false;
  if (size < 1)
    return node_error(node, err, "size %lld is less than 1", (long long)size);
  if (in->shape.rank < 2)
    return node_error(node, err, "input of shape %s has no channels", INPUT_SHAPE(node, 0));
  l->alpha /= (double)size;
  l->before = (size - 1) / 2;
  l->after = size / 2;
  l->channels = in->shape.dim[1];
  l->pixels = shape_product(&in->shape, 2, in->shape.rank);
  l->step = in->layout == LAYOUT_CHANNELS_LAST ? 1 : l->pixels;
  if (l->before > l->channels)
    l->before = l->channels;
  if (l->after > l->channels)
    l->after = l->channels;
  return output_like(node, 0, DTYPE_F32, err);
}

static void lrn_part(void *context, int64_t begin, int64_t end)
{
  const struct call *call = context;
  const struct lrn *l = call->node->params;
  for (int64_t r = begin; r < end; r++) {
    const int64_t at = r / l->pixels * l->channels * l->pixels + r % l->pixels * (l->step == 1 ? l->channels : 1);
    const float *x = (const float *)call->in[0] + at;
    float *y = (float *)call->out[0] + at;
    double sum = 0;
    for (int64_t c = 0; c < l->after && c < l->channels; c++)
      sum += (double)x[c * l->step] * (double)x[c * l->step];
    for (int64_t c = 0; c < l->channels; c++) {
      if (c + l->after < l->channels) {
        const double enters = x[(c + l->after) * l->step];
        sum += enters * enters;
      }
      if (c - l->before - 1 >= 0) {
        const double leaves = x[(c - l->before - 1) * l->step];
        sum -= leaves * leaves;
      }
      const double base = l->bias + l->alpha * (sum > 0 ? sum : 0);
      const double root = sqrt(base);
      y[c * l->step] = (float)(x[c * l->step] / (l->beta == 0.75 ? root * sqrt(root) : pow(base, l->beta)));
    }
  }
}

static bool lrn_forward(const struct call *call, struct error *err)
{
  const struct lrn *l = call->node->params;
  const struct tensor *in = &call->node->in[0]->t;
  (void)err;
  if (tensor_count(in) > 0)
    threads_for(call->n * in->shape.dim[0] * l->pixels, 1 + LOOP_GRAIN_COSTLY / l->channels, lrn_part, (void *)call);
  return true;
}

/* ---- LpNormalization, MeanVarianceNormalization: along any axes ---- */

static bool lp_norm_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct span *s = params_new(node, arena, sizeof *s, err);
  int axis;
  if (!s || !input_is(node, 0, DTYPE_F32, err) || !axis_read(node, -1, node->in[0]->t.shape.rank, &axis, err) ||
      !node_int(node, "p", 2, &s->p, err))
    return false;
  if (s->p != 1 && s->p != 2)
    return node_error(node, err, "p %lld is not 1 or 2", (long long)s->p);
  s->mask = 1u << axis;
  return output_like(node, 0, DTYPE_F32, err);
}

static bool mvn_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct span *s = params_new(node, arena, sizeof *s, err);
  const int rank = node->in[0]->t.shape.rank;
  bool given;
  if (!s || !input_is(node, 0, DTYPE_F32, err) || !axes_read(node, 1, rank, &s->mask, &given, err))
    return false;
  if (!given)
    s->mask = ((1u << rank) - 1) & ~2u; /* all but the channels */
  return output_like(node, 0, DTYPE_F32, err);
}

int64_t spans_place(const struct loop *loop, int64_t i)
{
  int64_t offset = 0;
  for (int d = loop->rank - 1; d >= 0; d--) {
    offset += i % loop->dim[d] * loop->stride[0][d];
    i /= loop->dim[d];
  }
  return offset;
}

static void span_part(void *context, int64_t begin, int64_t end)
{
  const struct spans *s = context;
  const int64_t count = loop_count(&s->along);
  for (int64_t i = begin; i < end; i++) {
    const int64_t at = spans_place(&s->kept, i);
    double sum = 0, squares = 0, mean = 0, scale;
    for (int64_t k = 0; k < count; k++) {
      const double x = s->in[at + spans_place(&s->along, k)];
      sum += s->span->p == 1 ? fabs(x) : x;
      squares += x * x;
    }
    if (s->span->p == 0) {
      mean = sum / (double)count;
      squares = 0;
      for (int64_t k = 0; k < count; k++) {
        const double d = s->in[at + spans_place(&s->along, k)] - mean;
        squares += d * d;
      }
      scale = 1 / (sqrt(squares / (double)count) + 1e-9);
    } else {
      const double norm = s->span->p == 1 ? sum : sqrt(squares);
      scale = norm > 0 ? 1 / norm : 0;
    }
    for (int64_t k = 0; k < count; k++) {
      const int64_t there = at + spans_place(&s->along, k);
      s->out[there] = (float)((s->in[there] - mean) * scale);
    }
  }
}

struct spans spans_of(const struct node *node, int64_t n)
{
  const struct tensor *in = &node->in[0]->t;
  struct spans s = {.span = node->params};
  int64_t stride[TENSOR_MAX_RANK];
  int order[TENSOR_MAX_RANK];
  tensor_strides(in, stride);
  loop_order(in, order);
  loop_begin(&s.kept, 1);
  loop_begin(&s.along, 1);
  loop_push(&s.kept, n, (const int64_t[]){tensor_count(in)});
  for (int k = 0; k < in->shape.rank; k++)
    loop_push(s.span->mask >> order[k] & 1 ? &s.along : &s.kept, in->shape.dim[order[k]], &stride[order[k]]);
  return s;
}

static bool span_forward(const struct call *call, struct error *err)
{
  struct spans s = spans_of(call->node, call->n);
  s.in = call->in[0];
  s.out = call->out[0];
  (void)err;
  if (tensor_count(&call->node->in[0]->t) > 0)
    threads_for(loop_count(&s.kept), 1 + LOOP_GRAIN_COSTLY / loop_count(&s.along), span_part, &s);
  return true;
}

OP_TABLE(norm) = {
    {.type = "BatchNormalization",
     .since = 1,
     .min_in = 5,
     .max_in = 5,
     .max_out = 1,
     .flags = OP_INPLACE,
     .shape = batch_norm_shape,
     .forward = batch_norm_forward,
     .backward = &backward_batch_norm},
    {.type = "LayerNormalization",
     .since = 17,
     .min_in = 2,
     .max_in = 3,
     .max_out = 3,
     .layout = OP_PLAIN,
     .flags = OP_INPLACE,
     .shape = layer_norm_shape,
     .forward = layer_norm_forward,
     .backward = &backward_layer_norm},
    {.type = "InstanceNormalization",
     .since = 1,
     .min_in = 3,
     .max_in = 3,
     .max_out = 1,
     .flags = OP_INPLACE,
     .shape = instance_shape,
     .forward = group_norm_forward,
     .backward = &backward_group_norm},
    {.type = "GroupNormalization",
     .since = 18,
     .min_in = 3,
     .max_in = 3,
     .max_out = 1,
     .flags = OP_INPLACE,
     .shape = group_shape,
     .forward = group_norm_forward,
     .backward = &backward_group_norm},
    {.type = "LRN",
     .since = 1,
     .min_in = 1,
     .max_in = 1,
     .max_out = 1,
     .shape = lrn_shape,
     .forward = lrn_forward,
     .backward = &backward_lrn},
    {.type = "LpNormalization",
     .since = 1,
     .min_in = 1,
     .max_in = 1,
     .max_out = 1,
     .flags = OP_INPLACE,
     .shape = lp_norm_shape,
     .forward = span_forward,
     .backward = &backward_span},
    {.type = "MeanVarianceNormalization",
     .since = 9,
     .min_in = 1,
     .max_in = 1,
     .max_out = 1,
     .flags = OP_INPLACE,
     .shape = mvn_shape,
     .forward = span_forward,
     .backward = &backward_span},
    {.type = NULL},
};
