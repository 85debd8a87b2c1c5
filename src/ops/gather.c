/* SPDX-License-Identifier: Apache-2.0 */
/* Moving elements by index: Gather, GatherElements, GatherND, ScatterElements, ScatterND, OneHot, Compress, NonZero.
 * Indices may come from constants or vary with the sample; all are checked before any is used. */
#include "ops/gather.h"

#include "base/threads.h"
#include "ops/loop.h"
#include "ops/output.h"

#include <string.h>

/* Block s of input i. */
static const void *block(const struct call *call, int i, int64_t s)
{
  const struct tensor *t = &call->node->in[i]->t;
  return (const char *)call->in[i] + (call->in_batched[i] ? (size_t)s * tensor_bytes(t) : 0);
}

static void *block_out(const struct call *call, int64_t s)
{
  return (char *)call->out[0] + (size_t)s * tensor_bytes(&call->node->out[0]->t);
}

/* Every index of input i lies in [-dim, dim). */
static bool check_indices(const struct call *call, int i, int64_t dim, struct error *err)
{
  const int64_t *index = call->in[i];
  const int64_t count = tensor_count(&call->node->in[i]->t) * (call->in_batched[i] ? call->n : 1);
  for (int64_t k = 0; k < count; k++)
    if (index[k] < -dim || index[k] >= dim)
      return node_error(call->node, err, "index %lld is outside %lld..%lld", (long long)index[k], (long long)-dim,
                        (long long)dim - 1);
  return true;
}

/* ---- Gather ---- */

static bool gather_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct shape *in = &node->in[0]->t.shape, *index = &node->in[1]->t.shape;
  struct gather *g = params_new(node, arena, sizeof *g, err);
  if (!g || !axis_read(node, 0, in->rank, &g->axis, err) || !input_is(node, 1, DTYPE_I64, err))
    return false;
  int rank = in->rank - 1 + index->rank;
  if (rank > TENSOR_MAX_RANK)
    return node_error(node, err, "the result has rank %d, at most %d are supported", rank, TENSOR_MAX_RANK);
  struct shape shape = {.rank = rank};
  memcpy(shape.dim, in->dim, (size_t)g->axis * sizeof *shape.dim);
  memcpy(shape.dim + g->axis, index->dim, (size_t)index->rank * sizeof *shape.dim);
  memcpy(shape.dim + g->axis + index->rank, in->dim + g->axis + 1,
         (size_t)(in->rank - g->axis - 1) * sizeof *shape.dim);
  g->outer = shape_product(in, 0, g->axis);
  g->picked = shape_product(index, 0, index->rank);
  g->inner = shape_product(in, g->axis + 1, in->rank);
  return output_set(node, 0, node->in[0]->t.dtype, &shape, LAYOUT_PLAIN, err);
}

static void gather_part(void *context, int64_t begin, int64_t end)
{
  const struct call *call = context;
  const struct node *node = call->node;
  const struct gather *g = node->params;
  const int64_t dim = node->in[0]->t.shape.dim[g->axis];
  const size_t bytes = (size_t)g->inner * dtype_size(node->out[0]->t.dtype);
  for (int64_t r = begin; r < end; r++) {
    int64_t k = r % g->picked, outer = r / g->picked % g->outer, s = r / g->picked / g->outer;
    const int64_t *index = block(call, 1, s);
    const char *from = block(call, 0, s);
    memcpy((char *)call->out[0] + (size_t)r * bytes, from + (size_t)(outer * dim + wrapped(index[k], dim)) * bytes,
           bytes);
  }
}

static bool gather_forward(const struct call *call, struct error *err)
{
  const struct gather *g = call->node->params;
  if (!check_indices(call, 1, call->node->in[0]->t.shape.dim[g->axis], err))
    return false;
  if (g->inner > 0)
    threads_for(call->n * g->outer * g->picked, 1 + LOOP_GRAIN / g->inner, gather_part, (void *)call);
  return true;
}

/* ---- GatherElements, ScatterElements: an index for every element, along one axis ---- */

/* Shape of the indices fits the data everywhere but along the axis. */
static bool elements_fit(const struct node *node, int axis, struct error *err)
{
  const struct shape *data = &node->in[0]->t.shape, *index = &node->in[1]->t.shape;
  bool fits = data->rank == index->rank;
  for (int d = 0; fits && d < data->rank; d++)
    fits = d == axis || index->dim[d] <= data->dim[d];
  return fits || node_error(node, err, "indices of shape %s do not fit data of shape %s", INPUT_SHAPE(node, 1),
                            INPUT_SHAPE(node, 0));
}

static bool gather_elements_shape(struct node *node, struct arena *arena, struct error *err)
{
  int *axis = params_new(node, arena, sizeof *axis, err);
  return axis && axis_read(node, 0, node->in[0]->t.shape.rank, axis, err) && input_is(node, 1, DTYPE_I64, err) &&
         elements_fit(node, *axis, err) &&
         output_set(node, 0, node->in[0]->t.dtype, &node->in[1]->t.shape, LAYOUT_PLAIN, err);
}

static void gather_elements_part(void *context, int64_t begin, int64_t end)
{
  const struct call *call = context;
  const struct node *node = call->node;
  const int axis = *(const int *)node->params;
  const struct tensor *data = &node->in[0]->t, *at = &node->in[1]->t;
  const size_t size = dtype_size(data->dtype);
  const int64_t count = tensor_count(at);
  int64_t stride[TENSOR_MAX_RANK];
  tensor_strides(data, stride);
  for (int64_t e = begin; e < end; e++) {
    const int64_t *index = block(call, 1, e / count);
    int64_t from =
        gather_place(at, stride, axis, e % count) + wrapped(index[e % count], data->shape.dim[axis]) * stride[axis];
    memcpy((char *)call->out[0] + (size_t)e * size, (const char *)block(call, 0, e / count) + (size_t)from * size,
           size);
  }
}

static bool gather_elements_forward(const struct call *call, struct error *err)
{
  const int axis = *(const int *)call->node->params;
  if (!check_indices(call, 1, call->node->in[0]->t.shape.dim[axis], err))
    return false;
  threads_for(call->n * tensor_count(&call->node->out[0]->t), LOOP_GRAIN_COSTLY, gather_elements_part, (void *)call);
  return true;
}

static bool scatter_read(const struct node *node, enum scatter *how, struct error *err)
{
  static const char *const names[] = {"none", "add", "mul", "max", "min"};
  const char *name;
  if (!node_string(node, "reduction", "none", &name, err))
    return false;
  for (int i = 0; i < 5; i++)
    if (strcmp(name, names[i]) == 0) {
      *how = (enum scatter)i;
      return true;
    }
  return node_error(node, err, "reduction is '%.40s', not none, add, mul, max or min", name);
}

#define SCATTER_INTO(T, sum, product)                                                                                  \
  static void scatter_into_##T(enum scatter how, T *to, const T *from, int64_t n)                                      \
  {                                                                                                                    \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
      const T x = to[i], y = from[i];                                                                                  \
      to[i] = how == SCATTER_NONE  ? y                                                                                 \
              : how == SCATTER_ADD ? (T)(sum)                                                                          \
              : how == SCATTER_MUL ? (T)(product)                                                                      \
              : how == SCATTER_MAX ? (y > x ? y : x)                                                                   \
                                   : (y < x ? y : x);                                                                  \
    }                                                                                                                  \
  }
SCATTER_INTO(float, x + y, x *y)
SCATTER_INTO(int64_t, (uint64_t)x + (uint64_t)y, (uint64_t)x *(uint64_t)y)

static void scatter_into(enum dtype dtype, enum scatter how, void *to, int64_t at, const void *from, int64_t k,
                         int64_t n)
{
  if (dtype == DTYPE_F32)
    scatter_into_float(how, (float *)to + at, (const float *)from + k, n);
  else
    scatter_into_int64_t(how, (int64_t *)to + at, (const int64_t *)from + k, n);
}

static bool scatter_elements_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct scatter_params *p = params_new(node, arena, sizeof *p, err);
  if (!p || !axis_read(node, 0, node->in[0]->t.shape.rank, &p->axis, err) || !scatter_read(node, &p->how, err) ||
      !input_is(node, 1, DTYPE_I64, err) || !input_is(node, 2, node->in[0]->t.dtype, err) ||
      !elements_fit(node, p->axis, err))
    return false;
  if (!shape_equal(&node->in[1]->t.shape, &node->in[2]->t.shape))
    return node_error(node, err, "indices of shape %s, updates of shape %s", INPUT_SHAPE(node, 1),
                      INPUT_SHAPE(node, 2));
  return output_like(node, 0, node->in[0]->t.dtype, err);
}

static bool scatter_elements_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct scatter_params *p = node->params;
  const struct tensor *data = &node->in[0]->t, *at = &node->in[1]->t;
  const int64_t count = tensor_count(at), dim = data->shape.dim[p->axis];
  int64_t stride[TENSOR_MAX_RANK];
  if (!check_indices(call, 1, dim, err))
    return false;
  tensor_strides(data, stride);
  for (int64_t s = 0; s < call->n; s++) {
    void *to = block_out(call, s);
    const int64_t *index = block(call, 1, s);
    const void *updates = block(call, 2, s);
    memcpy(to, block(call, 0, s), tensor_bytes(data));
    for (int64_t k = 0; k < count; k++)
      scatter_into(data->dtype, p->how, to,
                   gather_place(at, stride, p->axis, k) + wrapped(index[k], dim) * stride[p->axis], updates, k, 1);
  }
  return true;
}

/* ---- GatherND, ScatterND: rows of indices that address slices ---- */

static bool nd_read(struct node *node, int batch, struct nd *nd, struct error *err)
{
  const struct shape *data = &node->in[0]->t.shape, *index = &node->in[1]->t.shape;
  if (!input_is(node, 1, DTYPE_I64, err))
    return false;
  const int64_t row = index->rank ? index->dim[index->rank - 1] : -1;
  const int depth = row > TENSOR_MAX_RANK ? -1 : (int)row;
  bool fits = depth >= 0 && batch >= 0 && batch < index->rank && batch + depth <= data->rank;
  for (int d = 0; fits && d < batch; d++)
    fits = data->dim[d] == index->dim[d];
  if (!fits)
    return node_error(node, err, "indices of shape %s do not fit data of shape %s", INPUT_SHAPE(node, 1),
                      INPUT_SHAPE(node, 0));
  nd->batch = batch;
  nd->depth = depth;
  nd->batches = shape_product(data, 0, batch);
  nd->rows = shape_product(index, batch, index->rank - 1);
  nd->slice = shape_product(data, batch + depth, data->rank);
  nd->step = shape_product(data, batch, data->rank);
  return true;
}

static bool gather_nd_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct shape *data = &node->in[0]->t.shape, *index = &node->in[1]->t.shape;
  struct nd *nd = params_new(node, arena, sizeof *nd, err);
  int64_t batch;
  if (!nd || !node_int(node, "batch_dims", 0, &batch, err) ||
      !nd_read(node, batch < 0 || batch > TENSOR_MAX_RANK ? -1 : (int)batch, nd, err))
    return false;
  int tail = data->rank - nd->batch - nd->depth;
  if (index->rank - 1 + tail > TENSOR_MAX_RANK)
    return node_error(node, err, "the result has rank %d, at most %d are supported", index->rank - 1 + tail,
                      TENSOR_MAX_RANK);
  struct shape shape = {.rank = index->rank - 1 + tail};
  memcpy(shape.dim, index->dim, (size_t)(index->rank - 1) * sizeof *shape.dim);
  memcpy(shape.dim + index->rank - 1, data->dim + nd->batch + nd->depth, (size_t)tail * sizeof *shape.dim);
  return output_set(node, 0, node->in[0]->t.dtype, &shape, LAYOUT_PLAIN, err);
}

static bool gather_nd_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct nd *nd = node->params;
  const size_t size = dtype_size(node->in[0]->t.dtype), bytes = (size_t)nd->slice * size;
  for (int64_t s = 0; s < call->n; s++) {
    const int64_t *index = block(call, 1, s);
    const char *from = block(call, 0, s);
    char *to = block_out(call, s);
    for (int64_t r = 0; r < nd->batches * nd->rows; r++) {
      int64_t place = gather_nd_place(nd, &node->in[0]->t.shape, index + r * nd->depth);
      if (place < 0)
        return node_error(node, err, "row %lld of the indices is out of range", (long long)r);
      memcpy(to + (size_t)r * bytes, from + (size_t)(r / nd->rows * nd->step + place) * size, bytes);
    }
  }
  return true;
}

static bool scatter_nd_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct nd *nd = params_new(node, arena, sizeof *nd, err);
  if (!nd || !nd_read(node, 0, nd, err) || !scatter_read(node, &nd->how, err) ||
      !input_is(node, 2, node->in[0]->t.dtype, err))
    return false;
  if (tensor_count(&node->in[2]->t) != nd->rows * nd->slice)
    return node_error(node, err, "updates of shape %s do not fit indices of shape %s", INPUT_SHAPE(node, 2),
                      INPUT_SHAPE(node, 1));
  return output_like(node, 0, node->in[0]->t.dtype, err);
}

static bool scatter_nd_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct nd *nd = node->params;
  const struct tensor *data = &node->in[0]->t;
  for (int64_t s = 0; s < call->n; s++) {
    void *to = block_out(call, s);
    const int64_t *index = block(call, 1, s);
    const void *updates = block(call, 2, s);
    memcpy(to, block(call, 0, s), tensor_bytes(data));
    for (int64_t r = 0; r < nd->rows; r++) {
      int64_t place = gather_nd_place(nd, &data->shape, index + r * nd->depth);
      if (place < 0)
        return node_error(node, err, "row %lld of the indices is out of range", (long long)r);
      scatter_into(data->dtype, nd->how, to, place, updates, r * nd->slice, nd->slice);
    }
  }
  return true;
}

/* ---- OneHot ---- */

struct one_hot {
  int64_t depth, inner; /* inner: indices behind the new axis */
};

static bool one_hot_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct shape *index = &node->in[0]->t.shape;
  const struct tensor *depth = &node->in[1]->t;
  struct one_hot *p = params_new(node, arena, sizeof *p, err);
  int axis;
  if (!p || !axis_read(node, -1, index->rank + 1, &axis, err))
    return false;
  if (index->rank == TENSOR_MAX_RANK)
    return node_error(node, err, "the result has rank %d, at most %d are supported", index->rank + 1, TENSOR_MAX_RANK);
  if (!depth->data || tensor_count(depth) != 1)
    return node_error(node, err, "the depth is not one constant number");
  const double given =
      depth->dtype == DTYPE_F32 ? (double)*(const float *)depth->data : (double)*(const int64_t *)depth->data;
  if (!(given >= 1 && given <= (double)OUTPUT_MAX_COUNT))
    return node_error(node, err, "depth %g is outside 1..%lld", given, (long long)OUTPUT_MAX_COUNT);
  if (tensor_count(&node->in[2]->t) != 2)
    return node_error(node, err, "values of shape %s are not two", INPUT_SHAPE(node, 2));
  struct shape shape = {.rank = index->rank + 1};
  p->depth = (int64_t)given;
  p->inner = shape_product(index, axis, index->rank);
  for (int d = 0, from = 0; d < shape.rank; d++)
    shape.dim[d] = d == axis ? p->depth : index->dim[from++];
  if (!output_set(node, 0, node->in[2]->t.dtype, &shape, LAYOUT_PLAIN, err))
    return false;
  node->out[0]->t.element = node->in[2]->t.element;
  return true;
}

static bool one_hot_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct one_hot *p = node->params;
  const struct tensor *in = &node->in[0]->t, *out = &node->out[0]->t;
  const size_t size = dtype_size(out->dtype);
  const int64_t count = tensor_count(in);
  (void)err;
  for (int64_t s = 0; s < call->n; s++) {
    const void *index = block(call, 0, s);
    const char *values = block(call, 2, s);
    char *to = block_out(call, s);
    loop_fill(to, tensor_count(out), size, values);
    for (int64_t k = 0; k < count; k++) {
      double given = in->dtype == DTYPE_F32 ? (double)((const float *)index)[k] : (double)((const int64_t *)index)[k];
      if (!(given >= -(double)p->depth && given < (double)p->depth))
        continue; /* all off */
      int64_t at = wrapped((int64_t)given, p->depth);
      if (at >= 0)
        memcpy(to + (size_t)((k / p->inner * p->depth + at) * p->inner + k % p->inner) * size, values + size, size);
    }
  }
  return true;
}

/* ---- Compress, NonZero: the shape of the result depends on values, which must therefore be constants ---- */

static bool compress_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t, *condition = &node->in[1]->t;
  struct compress *p = params_new(node, arena, sizeof *p, err);
  int axis = -1;
  if (!p || !input_is(node, 1, DTYPE_I64, err))
    return false;
  if (!condition->data || condition->shape.rank != 1)
    return node_error(node, err, "the condition is not a constant row");
  if (node_attr(node, "axis")) {
    if (!axis_read(node, 0, in->shape.rank, &axis, err))
      return false;
    p->outer = shape_product(&in->shape, 0, axis);
    p->dim = in->shape.dim[axis];
    p->inner = shape_product(&in->shape, axis + 1, in->shape.rank);
  } else {
    *p = (struct compress){1, tensor_count(in), 1, 0};
  }
  if (condition->shape.dim[0] > p->dim)
    return node_error(node, err, "%lld conditions for %lld places", (long long)condition->shape.dim[0],
                      (long long)p->dim);
  for (int64_t i = 0; i < condition->shape.dim[0]; i++)
    p->picked += ((const int64_t *)condition->data)[i] != 0;
  struct shape shape = in->shape;
  if (axis >= 0)
    shape.dim[axis] = p->picked;
  else
    shape = (struct shape){.rank = 1, .dim = {p->picked}};
  return output_set(node, 0, in->dtype, &shape, LAYOUT_PLAIN, err);
}

static bool compress_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct compress *p = node->params;
  const int64_t *condition = node->in[1]->t.data, conditions = tensor_count(&node->in[1]->t);
  const size_t bytes = (size_t)p->inner * dtype_size(node->in[0]->t.dtype);
  (void)err;
  for (int64_t s = 0; s < call->n; s++) {
    const char *from = block(call, 0, s);
    char *to = block_out(call, s);
    for (int64_t o = 0; o < p->outer; o++)
      for (int64_t i = 0; i < conditions; i++)
        if (condition[i]) {
          memcpy(to, from + (size_t)(o * p->dim + i) * bytes, bytes);
          to += bytes;
        }
  }
  return true;
}

static bool nonzero_at(const struct tensor *t, int64_t i)
{
  return t->dtype == DTYPE_F32 ? ((const float *)t->data)[i] != 0 : ((const int64_t *)t->data)[i] != 0;
}

static bool nonzero_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  (void)arena;
  if (!in->data)
    return node_error(node, err, "the shape of the result would depend on the image");
  int64_t found = 0;
  for (int64_t i = 0, count = tensor_count(in); i < count; i++)
    found += nonzero_at(in, i);
  return output_set(node, 0, DTYPE_I64, &(struct shape){.rank = 2, .dim = {in->shape.rank, found}}, LAYOUT_PLAIN, err);
}

static bool nonzero_forward(const struct call *call, struct error *err)
{
  const struct tensor *in = &call->node->in[0]->t;
  const int64_t found = call->node->out[0]->t.shape.dim[1];
  int64_t *to = call->out[0];
  (void)err;
  for (int64_t i = 0, count = tensor_count(in), k = 0; i < count; i++) {
    if (!nonzero_at(in, i))
      continue;
    int64_t rest = i;
    for (int d = in->shape.rank - 1; d >= 0; d--) {
      to[d * found + k] = rest % in->shape.dim[d];
      rest /= in->shape.dim[d];
    }
    k++;
  }
  return true;
}

#define GATHER_OP(name, first, last, inputs, lower, reverse)                                                           \
  {                                                                                                                    \
    .type = name, .since = first, .until = last, .min_in = inputs, .max_in = inputs, .max_out = 1, .layout = OP_PLAIN, \
    .shape = lower##_shape, .forward = lower##_forward, .backward = reverse,                                           \
  }

OP_TABLE(gather) = {
    GATHER_OP("Gather", 1, 0, 2, gather, &backward_gather),
    GATHER_OP("GatherElements", 11, 0, 2, gather_elements, &backward_gather_elements),
    GATHER_OP("GatherND", 11, 0, 2, gather_nd, &backward_gather_nd),
    GATHER_OP("Scatter", 9, 10, 3, scatter_elements, &backward_scatter_elements),
    GATHER_OP("ScatterElements", 11, 0, 3, scatter_elements, &backward_scatter_elements),
    GATHER_OP("ScatterND", 11, 0, 3, scatter_nd, &backward_scatter_nd),
    GATHER_OP("OneHot", 9, 0, 3, one_hot, NULL),
    GATHER_OP("Compress", 9, 0, 2, compress, &backward_compress),
    GATHER_OP("NonZero", 9, 0, 1, nonzero, NULL),
    {.type = NULL},
};
