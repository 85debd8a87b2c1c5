/* SPDX-License-Identifier: Apache-2.0 */
/* Moving elements by index: Gather, GatherElements, GatherND, ScatterElements, ScatterND, OneHot, Compress, NonZero.
 * Indices may come from constants or vary with the sample; all are checked before any is used. */
#include "base/threads.h"
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "ops/reverse.h"

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

static inline int64_t wrapped(int64_t index, int64_t dim)
{
  return index < 0 ? index + dim : index;
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

struct gather {
  int axis;
  int64_t outer, picked, inner; /* picked: number of indices */
};

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

/* A slice before the axis at a time: an element may be picked more than once. */
static void gather_backward_part(void *context, int64_t begin, int64_t end)
{
  const struct reverse *r = context;
  const struct node *node = r->node;
  const struct gather *g = node->params;
  const int64_t dim = node->in[0]->t.shape.dim[g->axis], count = tensor_count(&node->in[1]->t);
  for (int64_t i = begin; i < end; i++) {
    const int64_t *index = (const int64_t *)r->in[1] + (r->in_batched[1] ? i / g->outer * count : 0);
    for (int64_t k = 0; k < g->picked; k++) {
      const float *from = r->from[0] + (i * g->picked + k) * g->inner;
      float *to = r->to[0] + (i * dim + wrapped(index[k], dim)) * g->inner;
      for (int64_t j = 0; j < g->inner; j++)
        to[j] += from[j];
    }
  }
}

static bool gather_backward_run(const struct reverse *r, struct error *err)
{
  const struct gather *g = r->node->params;
  (void)err;
  reverse_nothing(r, 0);
  threads_for(r->n * g->outer, 1 + LOOP_GRAIN / (g->picked * g->inner + 1), gather_backward_part, (void *)(uintptr_t)r);
  return true;
}

static const struct backward backward_gather = {
    .flags = BACKWARD_ADDS, .keeps = BACKWARD_IN(1), .run = gather_backward_run};

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

/* Place in the data that element k of the indices stands for, without its axis. */
static int64_t elements_place(const struct tensor *index, const int64_t *stride, int axis, int64_t k)
{
  int64_t place = 0;
  for (int d = index->shape.rank - 1; d >= 0; d--) {
    if (d != axis)
      place += k % index->shape.dim[d] * stride[d];
    k /= index->shape.dim[d];
  }
  return place;
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
        elements_place(at, stride, axis, e % count) + wrapped(index[e % count], data->shape.dim[axis]) * stride[axis];
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

/* Block s of what input i was. */
static const int64_t *indices_of(const struct reverse *r, int64_t s)
{
  return (const int64_t *)r->in[1] + (r->in_batched[1] ? s * tensor_count(&r->node->in[1]->t) : 0);
}

static bool gather_elements_backward_run(const struct reverse *r, struct error *err)
{
  const int axis = *(const int *)r->node->params;
  const struct tensor *data = &r->node->in[0]->t, *at = &r->node->in[1]->t;
  const int64_t count = tensor_count(at), block_size = tensor_count(data);
  int64_t stride[TENSOR_MAX_RANK];
  (void)err;
  tensor_strides(data, stride);
  reverse_nothing(r, 0);
  for (int64_t s = 0; s < r->n; s++) {
    const int64_t *index = indices_of(r, s);
    for (int64_t k = 0; k < count; k++)
      r->to[0][s * block_size + elements_place(at, stride, axis, k) +
               wrapped(index[k], data->shape.dim[axis]) * stride[axis]] += r->from[0][s * count + k];
  }
  return true;
}

static const struct backward backward_gather_elements = {
    .flags = BACKWARD_ADDS, .keeps = BACKWARD_IN(1), .run = gather_elements_backward_run};

enum scatter { SCATTER_NONE, SCATTER_ADD, SCATTER_MUL, SCATTER_MAX, SCATTER_MIN };

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

struct scatter_params {
  int axis;
  enum scatter how;
};

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
                   elements_place(at, stride, p->axis, k) + wrapped(index[k], dim) * stride[p->axis], updates, k, 1);
  }
  return true;
}

/* What was replaced gets nothing, what replaced it gets its place's signal; where a place is written twice the last one
 * counts, which is not told apart here. */
static bool scatter_sends(const struct node *node, enum scatter how, enum rule rule, unsigned *inputs,
                          struct error *err)
{
  (void)rule;
  (void)inputs;
  return how == SCATTER_NONE || how == SCATTER_ADD ||
         node_error(node, err, "has no derivative for this reduction (no-gradient)");
}

static bool scatter_elements_sends(const struct node *node, enum rule rule, unsigned *inputs, struct error *err)
{
  return scatter_sends(node, ((const struct scatter_params *)node->params)->how, rule, inputs, err);
}

static bool scatter_elements_backward_run(const struct reverse *r, struct error *err)
{
  const struct node *node = r->node;
  const struct scatter_params *p = node->params;
  const struct tensor *data = &node->in[0]->t, *at = &node->in[1]->t;
  const int64_t count = tensor_count(at), dim = data->shape.dim[p->axis], block_size = tensor_count(data);
  int64_t stride[TENSOR_MAX_RANK];
  (void)err;
  tensor_strides(data, stride);
  if (r->to[0])
    memcpy(r->to[0], r->from[0], (size_t)(r->n * block_size) * sizeof(float));
  for (int64_t s = 0; s < r->n; s++) {
    const int64_t *index = indices_of(r, s);
    for (int64_t k = 0; k < count; k++) {
      const int64_t place =
          s * block_size + elements_place(at, stride, p->axis, k) + wrapped(index[k], dim) * stride[p->axis];
      if (r->to[2])
        r->to[2][s * count + k] = r->from[0][place];
      if (r->to[0] && p->how == SCATTER_NONE)
        r->to[0][place] = 0;
    }
  }
  return true;
}

static const struct backward backward_scatter_elements = {
    .keeps = BACKWARD_IN(1), .sends = scatter_elements_sends, .run = scatter_elements_backward_run};

/* ---- GatherND, ScatterND: rows of indices that address slices ---- */

struct nd {
  int batch, depth;      /* leading axes shared with the indices; indices per row */
  int64_t batches, rows; /* rows of indices in a batch */
  int64_t slice, step;   /* elements of a slice; of a batch of the data */
  enum scatter how;
};

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

/* Where a row of indices points, in elements; -1 where it points outside. */
static int64_t nd_place(const struct nd *nd, const struct shape *data, const int64_t *row)
{
  int64_t place = 0;
  for (int d = 0; d < nd->depth; d++) {
    int64_t dim = data->dim[nd->batch + d], i = wrapped(row[d], dim);
    if (i < 0 || i >= dim)
      return -1;
    place = place * dim + i;
  }
  return place * nd->slice;
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
      int64_t place = nd_place(nd, &node->in[0]->t.shape, index + r * nd->depth);
      if (place < 0)
        return node_error(node, err, "row %lld of the indices is out of range", (long long)r);
      memcpy(to + (size_t)r * bytes, from + (size_t)(r / nd->rows * nd->step + place) * size, bytes);
    }
  }
  return true;
}

static bool gather_nd_backward_run(const struct reverse *r, struct error *err)
{
  const struct node *node = r->node;
  const struct nd *nd = node->params;
  const int64_t data = tensor_count(&node->in[0]->t), out = tensor_count(&node->out[0]->t);
  (void)err;
  reverse_nothing(r, 0);
  for (int64_t s = 0; s < r->n; s++) {
    const int64_t *index = indices_of(r, s);
    for (int64_t k = 0; k < nd->batches * nd->rows; k++) {
      float *to =
          r->to[0] + s * data + k / nd->rows * nd->step + nd_place(nd, &node->in[0]->t.shape, index + k * nd->depth);
      for (int64_t j = 0; j < nd->slice; j++)
        to[j] += r->from[0][s * out + k * nd->slice + j];
    }
  }
  return true;
}

static const struct backward backward_gather_nd = {
    .flags = BACKWARD_ADDS, .keeps = BACKWARD_IN(1), .run = gather_nd_backward_run};

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
      int64_t place = nd_place(nd, &data->shape, index + r * nd->depth);
      if (place < 0)
        return node_error(node, err, "row %lld of the indices is out of range", (long long)r);
      scatter_into(data->dtype, nd->how, to, place, updates, r * nd->slice, nd->slice);
    }
  }
  return true;
}

static bool scatter_nd_sends(const struct node *node, enum rule rule, unsigned *inputs, struct error *err)
{
  return scatter_sends(node, ((const struct nd *)node->params)->how, rule, inputs, err);
}

static bool scatter_nd_backward_run(const struct reverse *r, struct error *err)
{
  const struct node *node = r->node;
  const struct nd *nd = node->params;
  const int64_t data = tensor_count(&node->in[0]->t), updates = nd->rows * nd->slice;
  const size_t bytes = (size_t)nd->slice * sizeof(float);
  (void)err;
  if (r->to[0])
    memcpy(r->to[0], r->from[0], (size_t)(r->n * data) * sizeof(float));
  for (int64_t s = 0; s < r->n; s++) {
    const int64_t *index = indices_of(r, s);
    for (int64_t k = 0; k < nd->rows; k++) {
      const int64_t place = s * data + nd_place(nd, &node->in[0]->t.shape, index + k * nd->depth);
      if (r->to[2])
        memcpy(r->to[2] + s * updates + k * nd->slice, r->from[0] + place, bytes);
      if (r->to[0] && nd->how == SCATTER_NONE)
        memset(r->to[0] + place, 0, bytes);
    }
  }
  return true;
}

static const struct backward backward_scatter_nd = {
    .keeps = BACKWARD_IN(1), .sends = scatter_nd_sends, .run = scatter_nd_backward_run};

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

struct compress {
  int64_t outer, dim, inner, picked;
};

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

static bool compress_backward_run(const struct reverse *r, struct error *err)
{
  const struct compress *p = r->node->params;
  const int64_t *condition = r->node->in[1]->t.data, conditions = tensor_count(&r->node->in[1]->t);
  const float *from = r->from[0];
  (void)err;
  reverse_nothing(r, 0);
  for (int64_t o = 0; o < r->n * p->outer; o++)
    for (int64_t i = 0; i < conditions; i++)
      for (int64_t j = 0; condition[i] && j < p->inner; j++)
        r->to[0][(o * p->dim + i) * p->inner + j] += *from++;
  return true;
}

static const struct backward backward_compress = {.flags = BACKWARD_ADDS, .run = compress_backward_run};

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
