/* SPDX-License-Identifier: Apache-2.0 */
/* Resize and Upsample (every coordinate mode of opsets 7 to 22 but regions of interest), DepthToSpace, SpaceToDepth.
 * Interpolation is separable: each axis that changes is one pass with a table of taps per output place. */
#include "base/threads.h"
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "ops/reverse.h"
#include "tensor/simd.h"

#include <math.h>
#include <string.h>

#define RESIZE_MAX_TAPS ((int64_t)1 << 24) /* entries of one axis' table */

struct axis {
  int64_t in, out;
  int taps;       /* 0: this axis stays as it is */
  int64_t *index; /* [out][taps], into the input */
  float *weight;  /* [out][taps] */
};

struct resize {
  bool nearest;
  struct axis axis[TENSOR_MAX_RANK];
  int pass[TENSOR_MAX_RANK], passes; /* axes in the order they are interpolated */
};

enum coordinates { HALF_PIXEL, HALF_PIXEL_SYMMETRIC, PYTORCH_HALF_PIXEL, ALIGN_CORNERS, ASYMMETRIC, TF_HALF_PIXEL };
enum rounding { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, ROUND_FLOOR, ROUND_CEIL };
enum method { NEAREST, LINEAR, CUBIC };

struct options {
  enum coordinates coordinates;
  enum rounding rounding;
  enum method method;
  bool antialias, exclude_outside;
  double a; /* of the cubic */
  double scale[TENSOR_MAX_RANK];
  bool by_scale; /* scales were given, not sizes */
};

static bool choose(const struct node *node, const char *name, const char *fallback, const char *const *values,
                   int count, int *chosen, struct error *err)
{
  const char *text;
  if (!node_string(node, name, fallback, &text, err))
    return false;
  for (*chosen = 0; *chosen < count; ++*chosen)
    if (strcmp(text, values[*chosen]) == 0)
      return true;
  return node_error(node, err, "%s '%.40s' is not supported", name, text);
}

static bool options_read(const struct node *node, struct options *o, struct error *err)
{
  static const char *const coordinates[] = {"half_pixel",    "half_pixel_symmetric", "pytorch_half_pixel",
                                            "align_corners", "asymmetric",           "tf_half_pixel_for_nn"};
  static const char *const roundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
  static const char *const methods[] = {"nearest", "linear", "cubic", "bilinear"};
  /* Before opset 11 (and in Upsample) places map by division alone and the nearest is the one below. */
  const bool old = node->opset < 11 || strcmp(node->type, "Upsample") == 0;
  int64_t antialias, exclude;
  int c, r, m;
  if (!choose(node, "coordinate_transformation_mode", old ? "asymmetric" : "half_pixel", coordinates, 6, &c, err) ||
      !choose(node, "nearest_mode", old ? "floor" : "round_prefer_floor", roundings, 4, &r, err) ||
      !choose(node, "mode", "nearest", methods, 4, &m, err) || !node_int(node, "antialias", 0, &antialias, err) ||
      !node_int(node, "exclude_outside", 0, &exclude, err) || !node_float(node, "cubic_coeff_a", -0.75, &o->a, err))
    return false;
  o->coordinates = (enum coordinates)c;
  o->rounding = (enum rounding)r;
  o->method = m == 3 ? LINEAR : (enum method)m;
  o->antialias = antialias != 0;
  o->exclude_outside = exclude != 0;
  return true;
}

/* Axes that scales and sizes speak of. */
static bool resize_axes(const struct node *node, int axes[TENSOR_MAX_RANK], int *count, struct error *err)
{
  const int rank = node->in[0]->t.shape.rank;
  int64_t given[TENSOR_MAX_RANK];
  if (!node_ints(node, "axes", given, TENSOR_MAX_RANK, count, err))
    return false;
  if (*count == 0) {
    *count = rank;
    for (int d = 0; d < rank; d++)
      axes[d] = d;
    return true;
  }
  unsigned seen = 0;
  for (int k = 0; k < *count; k++) {
    if (!axis_normal(node, given[k], rank, &axes[k], err))
      return false;
    if (seen >> axes[k] & 1)
      return node_error(node, err, "axis %d is given twice", axes[k]);
    seen |= 1u << axes[k];
  }
  return true;
}

static bool scales_read(const struct node *node, struct options *o, const int *axes, int count, struct shape *out,
                        struct error *err)
{
  const struct shape *in = &node->in[0]->t.shape;
  const float *scales = NULL;
  int64_t given = 0;
  const int i = node->opset < 11 || strcmp(node->type, "Upsample") == 0 ? 1 : 2;
  if (node_has(node, i)) {
    const struct tensor *t = &node->in[i]->t;
    if (!t->data || t->dtype != DTYPE_F32 || t->shape.rank != 1)
      return node_error(node, err, "the scales are not a constant row of real numbers");
    scales = t->data;
    given = t->shape.dim[0];
  } else if (node_attr(node, "scales") && node_attr(node, "scales")->type == ATTR_FLOATS) {
    scales = node_attr(node, "scales")->floats;
    given = (int64_t)node_attr(node, "scales")->count;
  }
  if (given != count)
    return node_error(node, err, "has %lld scales for %d axes", (long long)given, count);
  for (int k = 0; k < count; k++) {
    if (!(scales[k] > 0) || !(scales[k] * (float)in->dim[axes[k]] <= (float)OUTPUT_MAX_COUNT))
      return node_error(node, err, "scale %g of axis %d is out of range", (double)scales[k], axes[k]);
    o->scale[axes[k]] = scales[k];
    out->dim[axes[k]] = (int64_t)floorf(scales[k] * (float)in->dim[axes[k]]);
  }
  o->by_scale = true;
  return true;
}

static bool sizes_read(const struct node *node, struct options *o, const int *axes, int count, struct shape *out,
                       struct error *err)
{
  static const char *const policies[] = {"stretch", "not_larger", "not_smaller"};
  const struct shape *in = &node->in[0]->t.shape;
  int64_t sizes[TENSOR_MAX_RANK];
  int given, policy;
  if (!node_const_ints(node, 3, sizes, TENSOR_MAX_RANK, &given, err) ||
      !choose(node, "keep_aspect_ratio_policy", "stretch", policies, 3, &policy, err))
    return false;
  if (given != count)
    return node_error(node, err, "has %d sizes for %d axes", given, count);
  double common = 0;
  for (int k = 0; k < count; k++) {
    const int64_t dim = in->dim[axes[k]];
    if (sizes[k] < 0 || sizes[k] > OUTPUT_MAX_COUNT || (dim == 0 && sizes[k] > 0))
      return node_error(node, err, "size %lld of axis %d is out of range", (long long)sizes[k], axes[k]);
    const double scale = dim ? (double)sizes[k] / (double)dim : 1;
    if (k == 0 || (policy == 1 ? scale < common : scale > common))
      common = scale;
    o->scale[axes[k]] = scale;
    out->dim[axes[k]] = sizes[k];
  }
  for (int k = 0; policy != 0 && k < count; k++) {
    o->scale[axes[k]] = common;
    out->dim[axes[k]] = (int64_t)floor(common * (double)in->dim[axes[k]] + 0.5);
  }
  o->by_scale = policy != 0;
  return true;
}

/* Where output place i lies on the input. */
static double coordinate(const struct options *o, double scale, const struct axis *axis, int64_t i)
{
  const double in = (double)axis->in, out = (double)axis->out, x = (double)i;
  switch (o->coordinates) {
  case ALIGN_CORNERS: {
    const double length = o->by_scale ? scale * in : out;
    return length == 1 ? 0 : x * (in - 1) / (length - 1);
  }
  case ASYMMETRIC:
    return o->by_scale ? x / scale : x * in / out;
  case TF_HALF_PIXEL:
    return o->by_scale ? (x + 0.5) / scale : (x + 0.5) * in / out;
  case PYTORCH_HALF_PIXEL:
    if (axis->out <= 1)
      return 0;
    break;
  case HALF_PIXEL_SYMMETRIC: {
    const double adjustment = out / (scale * in);
    return in / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5;
  }
  case HALF_PIXEL:
    break;
  }
  return o->by_scale ? (x + 0.5) / scale - 0.5 : (x + 0.5) * in / out - 0.5;
}

static int64_t nearest_index(enum rounding rounding, double x)
{
  /* Scales are float32 and mostly ratios of integers: a place that should be whole or half is not to fall below it. */
  const double half = rint(2 * x) / 2;
  if (fabs(x - half) < 1e-5)
    x = half;
  switch (rounding) {
  case ROUND_PREFER_FLOOR:
    return (int64_t)ceil(x - 0.5);
  case ROUND_PREFER_CEIL:
    return (int64_t)floor(x + 0.5);
  case ROUND_FLOOR:
    return (int64_t)floor(x);
  default:
    return (int64_t)ceil(x);
  }
}

/* Keys, "Cubic convolution interpolation for digital image processing", 1981. */
static double cubic(double x, double a)
{
  x = fabs(x);
  if (x <= 1)
    return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static double tent(double x)
{
  x = fabs(x);
  return x < 1 ? 1 - x : 0;
}

/* Antialiased filters are stretched by the scale, so that every input element counts when the map shrinks. */
static bool axis_taps(const struct node *node, struct arena *arena, const struct options *o, double scale,
                      struct axis *axis, struct error *err)
{
  const double stretch = o->antialias && scale < 1 ? scale : 1;
  const int64_t reach = o->method == NEAREST ? 0 : (int64_t)ceil((o->method == CUBIC ? 2 : 1) / stretch);
  const int64_t taps = o->method == NEAREST ? 1 : 2 * reach;
  if (taps > RESIZE_MAX_TAPS || axis->out > RESIZE_MAX_TAPS || axis->out * taps > RESIZE_MAX_TAPS)
    return node_error(node, err, "resizing %lld to %lld along one axis is not supported", (long long)axis->in,
                      (long long)axis->out);
  axis->taps = (int)taps;
  axis->index = arena_array(arena, (size_t)(axis->out * taps) + 1, sizeof *axis->index);
  axis->weight = arena_array(arena, (size_t)(axis->out * taps) + 1, sizeof *axis->weight);
  if (!axis->index || !axis->weight)
    return error_memory(err, "a table of weights");
  for (int64_t i = 0; i < axis->out; i++) {
    const double x = coordinate(o, scale, axis, i), below = floor(x);
    double sum = 0, weight;
    for (int64_t k = 0; k < taps; k++) {
      int64_t at = o->method == NEAREST ? nearest_index(o->rounding, x) : (int64_t)below - reach + 1 + k;
      const double distance = ((double)at - x) * stretch;
      weight = o->method == NEAREST ? 1 : (o->method == CUBIC ? cubic(distance, o->a) : tent(distance));
      if (o->exclude_outside && o->method != NEAREST && (at < 0 || at >= axis->in))
        weight = 0;
      sum += weight;
      at = at < 0 ? 0 : (at >= axis->in ? axis->in - 1 : at);
      axis->index[i * taps + k] = at;
      axis->weight[i * taps + k] = (float)weight;
    }
    for (int64_t k = 0; k < taps && sum != 0 && sum != 1; k++)
      axis->weight[i * taps + k] = (float)(axis->weight[i * taps + k] / sum);
  }
  return true;
}

static bool resize_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  struct resize *r = params_new(node, arena, sizeof *r, err);
  struct options o = {.by_scale = false};
  struct shape shape = in->shape;
  int axes[TENSOR_MAX_RANK], count;
  const char *mode;
  if (!r || !node_string(node, "coordinate_transformation_mode", "", &mode, err))
    return false;
  if (strcmp(mode, "tf_crop_and_resize") == 0)
    return node_error(node, err, "resizing a region of interest (tf_crop_and_resize) is not supported");
  if (!options_read(node, &o, err) || !resize_axes(node, axes, &count, err))
    return false;
  for (int d = 0; d < shape.rank; d++)
    o.scale[d] = 1;
  const bool sized = node_has(node, 3) && tensor_count(&node->in[3]->t) > 0;
  if (!(sized ? sizes_read(node, &o, axes, count, &shape, err) : scales_read(node, &o, axes, count, &shape, err)))
    return false;
  r->nearest = o.method == NEAREST;
  if (!r->nearest && !input_is(node, 0, DTYPE_F32, err))
    return false;
  if (!output_set(node, 0, in->dtype, &shape, in->layout, err))
    return false;
  for (int d = 0; d < shape.rank; d++) {
    struct axis *axis = &r->axis[d];
    axis->in = in->shape.dim[d];
    axis->out = shape.dim[d];
    if (axis->in == axis->out && o.scale[d] == 1)
      continue;
    if (axis->in == 0 && axis->out > 0)
      return node_error(node, err, "axis %d is empty", d);
    if (!axis_taps(node, arena, &o, o.scale[d], axis, err))
      return false;
    if ((double)tensor_count(&node->out[0]->t) * axis->taps > 0x1p36 ||
        (double)tensor_count(in) / (double)axis->in * (double)axis->out * axis->taps > 0x1p36)
      return node_error(node, err, "weighs %d elements for each of %s", axis->taps, INPUT_SHAPE(node, 0));
    /* Shrinking axes first: less is left for the others. */
    int at = r->passes++;
    for (; at > 0 && o.scale[r->pass[at - 1]] > o.scale[d]; at--)
      r->pass[at] = r->pass[at - 1];
    r->pass[at] = d;
  }
  return true;
}

static bool resize_is_view(const struct node *node)
{
  return ((const struct resize *)node->params)->passes == 0;
}

/* ---- nearest: rows along the innermost axis ---- */

struct pick {
  const struct call *call;
  int order[TENSOR_MAX_RANK];
  int64_t from[TENSOR_MAX_RANK];
};

static void pick_part(void *context, int64_t begin, int64_t end)
{
  const struct pick *pick = context;
  const struct call *call = pick->call;
  const struct resize *r = call->node->params;
  const struct tensor *in = &call->node->in[0]->t, *out = &call->node->out[0]->t;
  const size_t size = dtype_size(out->dtype);
  const struct axis *inner = &r->axis[pick->order[out->shape.rank - 1]];
  for (int64_t row = begin; row < end; row++) {
    int64_t rest = row, offset = 0;
    for (int k = out->shape.rank - 2; k >= 0; k--) {
      const int d = pick->order[k];
      const int64_t i = rest % out->shape.dim[d];
      offset += (r->axis[d].taps ? r->axis[d].index[i] : i) * pick->from[d];
      rest /= out->shape.dim[d];
    }
    offset += rest * tensor_count(in);
    const char *from = (const char *)call->in[0] + offset * (int64_t)size;
    char *to = (char *)call->out[0] + row * inner->out * (int64_t)size;
    if (!inner->taps)
      memcpy(to, from, (size_t)inner->out * size);
    else if (size == sizeof(float))
      for (int64_t i = 0; i < inner->out; i++)
        ((float *)(void *)to)[i] = ((const float *)(const void *)from)[inner->index[i]];
    else
      for (int64_t i = 0; i < inner->out; i++)
        ((int64_t *)(void *)to)[i] = ((const int64_t *)(const void *)from)[inner->index[i]];
  }
}

static void pick_forward(const struct call *call)
{
  const struct tensor *out = &call->node->out[0]->t;
  struct pick pick = {.call = call};
  loop_order(out, pick.order);
  tensor_strides(&call->node->in[0]->t, pick.from);
  const int64_t length = out->shape.dim[pick.order[out->shape.rank - 1]];
  threads_for(call->n * tensor_count(out) / length, 1 + LOOP_GRAIN / length, pick_part, &pick);
}

/* ---- linear, cubic: [outer, in, inner] to [outer, out, inner] ---- */

struct pass {
  const struct axis *axis;
  int64_t inner;
  const float *from;
  float *to;
};

SIMD_CLONES static void weigh_row(int64_t n, float *y, const float *x, float w, bool first)
{
  if (first) {
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] = x[i] * w;
  } else {
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) y[i] += x[i] * w;
  }
}

static void pass_part(void *context, int64_t begin, int64_t end)
{
  const struct pass *pass = context;
  const struct axis *axis = pass->axis;
  for (int64_t row = begin; row < end; row++) {
    const int64_t i = row % axis->out, *index = axis->index + i * axis->taps;
    const float *weight = axis->weight + i * axis->taps, *from = pass->from + row / axis->out * axis->in * pass->inner;
    float *to = pass->to + row * pass->inner;
    if (pass->inner == 1) {
      float sum = 0;
      for (int k = 0; k < axis->taps; k++)
        sum += from[index[k]] * weight[k];
      *to = sum;
      continue;
    }
    for (int k = 0; k < axis->taps; k++)
      weigh_row(pass->inner, to, from + index[k] * pass->inner, weight[k], k == 0);
  }
}

/* Elements per sample after the first `passes` passes. */
static int64_t count_after(const struct node *node, int passes)
{
  const struct resize *r = node->params;
  struct shape shape = node->in[0]->t.shape;
  for (int p = 0; p < passes; p++)
    shape.dim[r->pass[p]] = r->axis[r->pass[p]].out;
  return shape_product(&shape, 0, shape.rank);
}

/* Scratch holds what the passes before the last have made, every other one in its second half. */
static bool resize_prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                           struct error *err)
{
  const struct resize *r = node->params;
  int64_t largest = 0;
  (void)compute;
  (void)err;
  for (int p = 1; !r->nearest && p < r->passes; p++)
    largest = count_after(node, p) > largest ? count_after(node, p) : largest;
  out->scratch = (size_t)(r->passes > 2 ? 2 : 1) * (size_t)(n * largest) * sizeof(float);
  return true;
}

static bool resize_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct resize *r = node->params;
  const struct tensor *out = &node->out[0]->t;
  (void)err;
  if (tensor_count(out) == 0)
    return true;
  if (r->passes == 0) {
    memcpy(call->out[0], call->in[0], (size_t)call->n * tensor_bytes(out));
    return true;
  }
  if (r->nearest) {
    pick_forward(call);
    return true;
  }
  int order[TENSOR_MAX_RANK];
  int64_t largest = 0;
  struct shape shape = node->in[0]->t.shape;
  loop_order(out, order);
  for (int p = 1; p < r->passes; p++)
    largest = count_after(node, p) > largest ? count_after(node, p) : largest;
  const float *from = call->in[0];
  for (int p = 0; p < r->passes; p++) {
    const int d = r->pass[p];
    struct pass pass = {.axis = &r->axis[d], .inner = 1, .from = from};
    int64_t outer = call->n;
    bool behind = false;
    for (int k = 0; k < shape.rank; k++) {
      if (order[k] == d)
        behind = true;
      else if (behind)
        pass.inner *= shape.dim[order[k]];
      else
        outer *= shape.dim[order[k]];
    }
    pass.to = p == r->passes - 1 ? call->out[0] : (float *)call->scratch + (p % 2 ? call->n * largest : 0);
    shape.dim[d] = r->axis[d].out;
    threads_for(outer * r->axis[d].out, 1 + LOOP_GRAIN / (pass.inner * r->axis[d].taps), pass_part, &pass);
    from = pass.to;
  }
  return true;
}

/* The adjoint of a pass: [outer, out, inner] to [outer, in, inner], added to what is there. Items are blocks of the
 * outer dimensions: what one output place read is read by its neighbours too. */
static void pass_back_part(void *context, int64_t begin, int64_t end)
{
  const struct pass *pass = context;
  const struct axis *axis = pass->axis;
  for (int64_t block = begin; block < end; block++)
    for (int64_t i = 0; i < axis->out; i++) {
      const float *from = pass->from + (block * axis->out + i) * pass->inner;
      for (int k = 0; k < axis->taps; k++) {
        const float w = axis->weight[i * axis->taps + k];
        float *to = pass->to + (block * axis->in + axis->index[i * axis->taps + k]) * pass->inner;
        if (w != 0)
          weigh_row(pass->inner, to, from, w, false);
      }
    }
}

static bool resize_backward_prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                                    struct error *err)
{
  const struct resize *r = node->params;
  int64_t largest = 0;
  (void)compute;
  (void)err;
  for (int p = 1; p < r->passes; p++)
    largest = count_after(node, p) > largest ? count_after(node, p) : largest;
  out->scratch = 2 * (size_t)(n * largest) * sizeof(float);
  return true;
}

static bool resize_backward_run(const struct reverse *reverse, struct error *err)
{
  const struct node *node = reverse->node;
  const struct resize *r = node->params;
  int order[TENSOR_MAX_RANK];
  int64_t largest = 0;
  struct shape shape = node->out[0]->t.shape;
  (void)err;
  reverse_nothing(reverse, 0);
  if (tensor_count(&node->out[0]->t) == 0)
    return true;
  loop_order(&node->out[0]->t, order);
  for (int p = 1; p < r->passes; p++)
    largest = count_after(node, p) > largest ? count_after(node, p) : largest;
  const float *from = reverse->from[0];
  for (int p = r->passes - 1; p >= 0; p--) {
    const int d = r->pass[p];
    struct pass pass = {.axis = &r->axis[d], .inner = 1, .from = from};
    int64_t outer = reverse->n;
    bool behind = false;
    for (int k = 0; k < shape.rank; k++) {
      if (order[k] == d)
        behind = true;
      else if (behind)
        pass.inner *= shape.dim[order[k]];
      else
        outer *= shape.dim[order[k]];
    }
    shape.dim[d] = r->axis[d].in;
    pass.to = p == 0 ? reverse->to[0] : (float *)reverse->scratch + (p % 2 ? reverse->n * largest : 0);
    if (p > 0)
      memset(pass.to, 0, (size_t)(reverse->n * count_after(node, p)) * sizeof(float));
    threads_for(outer, 1 + LOOP_GRAIN / (pass.inner * r->axis[d].out * r->axis[d].taps + 1), pass_back_part, &pass);
    from = pass.to;
  }
  return true;
}

static const struct backward resize_backward = {
    .flags = BACKWARD_ADDS, .prepare = resize_backward_prepare, .run = resize_backward_run};

/* ---- DepthToSpace, SpaceToDepth ---- */

struct block {
  int64_t size;
  bool depth_first; /* DepthToSpace: the block's place comes before the channel (DCR) */
};

static bool block_read(struct node *node, struct arena *arena, struct block **block, struct error *err)
{
  *block = params_new(node, arena, sizeof **block, err);
  if (!*block || !node_int(node, "blocksize", 0, &(*block)->size, err))
    return false;
  if ((*block)->size < 1 || (*block)->size > 4096)
    return node_error(node, err, "blocksize %lld is outside 1..4096", (long long)(*block)->size);
  if (node->in[0]->t.shape.rank != 4)
    return node_error(node, err, "shape %s does not have rank 4", INPUT_SHAPE(node, 0));
  return true;
}

static bool depth_to_space_shape(struct node *node, struct arena *arena, struct error *err)
{
  static const char *const modes[] = {"DCR", "CRD"};
  struct block *b;
  struct shape shape = node->in[0]->t.shape;
  int mode;
  if (!block_read(node, arena, &b, err) || !choose(node, "mode", "DCR", modes, 2, &mode, err))
    return false;
  b->depth_first = mode == 0;
  if (shape.dim[1] % (b->size * b->size) != 0)
    return node_error(node, err, "%lld channels do not divide by %lld x %lld", (long long)shape.dim[1],
                      (long long)b->size, (long long)b->size);
  shape.dim[1] /= b->size * b->size;
  shape.dim[2] *= b->size;
  shape.dim[3] *= b->size;
  return output_set(node, 0, node->in[0]->t.dtype, &shape, node->in[0]->t.layout, err);
}

static bool space_to_depth_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct block *b;
  struct shape shape = node->in[0]->t.shape;
  if (!block_read(node, arena, &b, err))
    return false;
  if (shape.dim[2] % b->size != 0 || shape.dim[3] % b->size != 0)
    return node_error(node, err, "%lld x %lld do not divide by %lld", (long long)shape.dim[2], (long long)shape.dim[3],
                      (long long)b->size);
  shape.dim[1] *= b->size * b->size;
  shape.dim[2] /= b->size;
  shape.dim[3] /= b->size;
  return output_set(node, 0, node->in[0]->t.dtype, &shape, node->in[0]->t.layout, err);
}

/* One nest of seven dimensions: samples, images, channels, rows of the coarse map, rows of the block, columns of both.
 * A block's place comes before the channel in the coarse map's channels, or after it (`channel_first`). */
static void block_copy(const struct call *call, const struct tensor *fine, const struct tensor *coarse, bool to_fine,
                       bool channel_first)
{
  const struct block *b = call->node->params;
  const int64_t size = b->size, channels = fine->shape.dim[1];
  int64_t f[TENSOR_MAX_RANK], c[TENSOR_MAX_RANK];
  tensor_strides(fine, f);
  tensor_strides(coarse, c);
  const int64_t channel = channel_first ? size * size * c[1] : c[1];
  const int64_t column = channel_first ? c[1] : channels * c[1], row = size * column;
  enum { IMAGE, CHANNEL, Y, BLOCK_Y, X, BLOCK_X, DIMS };
  const int64_t dim[DIMS] = {fine->shape.dim[0], channels, coarse->shape.dim[2], size, coarse->shape.dim[3], size};
  const int64_t step[2][DIMS] = {
      {f[0], f[1], size * f[2], f[2], size * f[3], f[3]},
      {c[0], channel, c[2], row, c[3], column},
  };
  static const int orders[4][DIMS] = {
      /* the result is coarse, plain; coarse, channels-last; fine, plain; fine, channels-last */
      {IMAGE, BLOCK_Y, BLOCK_X, CHANNEL, Y, X},
      {IMAGE, Y, X, BLOCK_Y, BLOCK_X, CHANNEL},
      {IMAGE, CHANNEL, Y, BLOCK_Y, X, BLOCK_X},
      {IMAGE, Y, BLOCK_Y, X, BLOCK_X, CHANNEL},
  };
  const struct tensor *out = to_fine ? fine : coarse;
  const int *order = orders[2 * to_fine + (out->layout == LAYOUT_CHANNELS_LAST)];
  const int to = to_fine ? 0 : 1;
  struct loop loop;
  loop_begin(&loop, 2);
  loop_push(&loop, call->n, (const int64_t[]){tensor_count(out), tensor_count(out)});
  for (int k = 0; k < DIMS; k++)
    loop_push(&loop, dim[order[k]], (const int64_t[]){step[to][order[k]], step[1 - to][order[k]]});
  loop_copy(&loop, dtype_size(out->dtype), call->out[0], call->in[0]);
}

static bool depth_to_space_forward(const struct call *call, struct error *err)
{
  (void)err;
  block_copy(call, &call->node->out[0]->t, &call->node->in[0]->t, true,
             !((const struct block *)call->node->params)->depth_first);
  return true;
}

static bool space_to_depth_forward(const struct call *call, struct error *err)
{
  (void)err;
  block_copy(call, &call->node->in[0]->t, &call->node->out[0]->t, false, false);
  return true;
}

/* The same copy the other way round. */
static bool block_backward_run(const struct reverse *r, struct error *err)
{
  const struct node *node = r->node;
  const struct tensor *in = &node->in[0]->t, *out = &node->out[0]->t;
  const struct call call = {
      .node = node, .n = r->n, .in = (const void *const[]){r->from[0]}, .out = (void *const[]){r->to[0]}};
  const bool was_to_fine = node->op->forward == depth_to_space_forward;
  (void)err;
  if (was_to_fine)
    block_copy(&call, out, in, false, !((const struct block *)node->params)->depth_first);
  else
    block_copy(&call, in, out, true, false);
  return true;
}

static const struct backward block_backward = {.run = block_backward_run};

#define RESIZE_OP(name, first, last, inputs)                                                                           \
  {                                                                                                                    \
    .type = name, .since = first, .until = last, .min_in = 1, .max_in = inputs, .max_out = 1, .shape = resize_shape,   \
    .prepare = resize_prepare, .forward = resize_forward, .is_view = resize_is_view, .backward = &resize_backward,     \
  }

OP_TABLE(resize) = {
    RESIZE_OP("Resize", 10, 0, 4),
    RESIZE_OP("Upsample", 7, 0, 2),
    {.type = "DepthToSpace",
     .since = 1,
     .min_in = 1,
     .max_in = 1,
     .max_out = 1,
     .shape = depth_to_space_shape,
     .forward = depth_to_space_forward,
     .backward = &block_backward},
    {.type = "SpaceToDepth",
     .since = 1,
     .min_in = 1,
     .max_in = 1,
     .max_out = 1,
     .shape = space_to_depth_shape,
     .forward = space_to_depth_forward,
     .backward = &block_backward},
    {.type = NULL},
};
