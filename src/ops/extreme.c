/* SPDX-License-Identifier: Apache-2.0 */
/* Where the greatest and least elements along an axis are: ArgMax, ArgMin, TopK. */
#include "base/threads.h"
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "ops/reverse.h"

#include <stdlib.h>
#include <string.h>

/* The input as [outer, dim, inner] around the axis. */
struct extreme {
  int axis;
  bool least, last;   /* look for the least; of equals take the last */
  int64_t outer, dim, inner;
  int64_t k;          /* TopK: how many */
};

static bool extreme_axis(struct node *node, struct extreme *e, int64_t fallback, struct error *err)
{
  const struct shape *in = &node->in[0]->t.shape;
  if (!axis_read(node, fallback, in->rank, &e->axis, err))
    return false;
  e->outer = shape_product(in, 0, e->axis);
  e->dim = in->dim[e->axis];
  e->inner = shape_product(in, e->axis + 1, in->rank);
  return true;
}

/* A number whose order as an integer is the order of the elements; NaN is above everything. */
static inline int64_t sort_key(enum dtype dtype, const void *data, int64_t i)
{
  if (dtype == DTYPE_I64)
    return ((const int64_t *)data)[i];
  float x = ((const float *)data)[i];
  if (x != x)
    return INT64_MAX;
  int32_t bits;
  x += 0.0f; /* the two zeros are equal */
  memcpy(&bits, &x, sizeof bits);
  return bits < 0 ? -(int64_t)(bits & 0x7fffffff) : bits;
}

static bool arg_shape(struct node *node, struct arena *arena, bool least, struct error *err)
{
  struct extreme *e = params_new(node, arena, sizeof *e, err);
  int64_t keep, last;
  if (!e || !extreme_axis(node, e, 0, err) || !node_int(node, "keepdims", 1, &keep, err) ||
      !node_int(node, "select_last_index", 0, &last, err))
    return false;
  if (e->dim == 0)
    return node_error(node, err, "axis %d is empty", e->axis);
  e->least = least;
  e->last = last != 0;
  struct shape in = node->in[0]->t.shape, shape = {.rank = 0};
  for (int d = 0; d < in.rank; d++)
    if (d != e->axis || keep)
      shape.dim[shape.rank++] = d == e->axis ? 1 : in.dim[d];
  return output_set(node, 0, DTYPE_I64, &shape, LAYOUT_PLAIN, err);
}

static bool argmax_shape(struct node *node, struct arena *arena, struct error *err)
{
  return arg_shape(node, arena, false, err);
}

static bool argmin_shape(struct node *node, struct arena *arena, struct error *err)
{
  return arg_shape(node, arena, true, err);
}

static void arg_part(void *context, int64_t begin, int64_t end)
{
  const struct call *call = context;
  const struct extreme *e = call->node->params;
  const enum dtype dtype = call->node->in[0]->t.dtype;
  for (int64_t r = begin; r < end; r++) {
    int64_t at = r / e->inner * e->dim * e->inner + r % e->inner, best = 0, best_key = sort_key(dtype, call->in[0], at);
    for (int64_t i = 1; i < e->dim; i++) {
      int64_t key = sort_key(dtype, call->in[0], at + i * e->inner);
      if ((e->least ? key < best_key : key > best_key) || (e->last && key == best_key)) {
        best = i;
        best_key = key;
      }
    }
    ((int64_t *)call->out[0])[r] = best;
  }
}

static bool arg_forward(const struct call *call, struct error *err)
{
  const struct extreme *e = call->node->params;
  (void)err;
  threads_for(call->n * e->outer * e->inner, 1 + LOOP_GRAIN / e->dim, arg_part, (void *)call);
  return true;
}

/* ---- TopK ---- */

static bool topk_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct extreme *e = params_new(node, arena, sizeof *e, err);
  int64_t largest;
  int count = 1;
  if (!e || !extreme_axis(node, e, -1, err) || !node_int(node, "largest", 1, &largest, err))
    return false;
  if (node->opset < 10 ? !node_int(node, "k", -1, &e->k, err)
                       : !node_has(node, 1) || !node_const_ints(node, 1, &e->k, 1, &count, err))
    return node_error(node, err, "k is missing");
  if (count != 1 || e->k < 0 || e->k > e->dim)
    return node_error(node, err, "k %lld is outside 0..%lld", (long long)e->k, (long long)e->dim);
  e->least = !largest;
  struct shape shape = node->in[0]->t.shape;
  shape.dim[e->axis] = e->k;
  return output_set(node, 0, node->in[0]->t.dtype, &shape, LAYOUT_PLAIN, err) &&
         output_set(node, 1, DTYPE_I64, &shape, LAYOUT_PLAIN, err);
}

struct ranked {
  int64_t key, index;
};

/* Descending keys; of equals the lower index first. */
static int ranked_order(const void *a, const void *b)
{
  const struct ranked *x = a, *y = b;
  if (x->key != y->key)
    return x->key > y->key ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

/* The row that begins at `from`, best first. */
static void rank_row(const struct extreme *e, enum dtype dtype, const void *data, int64_t from, struct ranked *ranked)
{
  for (int64_t i = 0; i < e->dim; i++) {
    int64_t key = sort_key(dtype, data, from + i * e->inner);
    ranked[i] = (struct ranked){e->least ? ~key : key, i};
  }
  qsort(ranked, (size_t)e->dim, sizeof *ranked, ranked_order);
}

static bool topk_prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                         struct error *err)
{
  const struct extreme *e = node->params;
  (void)n;
  (void)compute;
  (void)err;
  out->scratch = (size_t)e->dim * sizeof(struct ranked);
  return true;
}

static bool topk_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct extreme *e = node->params;
  const enum dtype dtype = node->in[0]->t.dtype;
  const size_t size = dtype_size(dtype);
  struct ranked *ranked = call->scratch;
  (void)err;
  for (int64_t r = 0; r < call->n * e->outer * e->inner; r++) {
    int64_t from = r / e->inner * e->dim * e->inner + r % e->inner, to = r / e->inner * e->k * e->inner + r % e->inner;
    rank_row(e, dtype, call->in[0], from, ranked);
    for (int64_t k = 0; k < e->k; k++) {
      memcpy((char *)call->out[0] + (size_t)(to + k * e->inner) * size,
             (const char *)call->in[0] + (size_t)(from + ranked[k].index * e->inner) * size, size);
      if (node->n_out > 1 && call->out[1])
        ((int64_t *)call->out[1])[to + k * e->inner] = ranked[k].index;
    }
  }
  return true;
}

/* The ranking is made once more: its indices need not be an output. */
static bool topk_backward_run(const struct reverse *r, struct error *err)
{
  const struct extreme *e = r->node->params;
  struct ranked *ranked = r->scratch;
  (void)err;
  reverse_nothing(r, 0);
  if (!r->from[0])
    return true;
  for (int64_t row = 0; row < r->n * e->outer * e->inner; row++) {
    const int64_t from = row / e->inner * e->dim * e->inner + row % e->inner;
    const int64_t to = row / e->inner * e->k * e->inner + row % e->inner;
    rank_row(e, DTYPE_F32, r->in[0], from, ranked);
    for (int64_t k = 0; k < e->k; k++)
      r->to[0][from + ranked[k].index * e->inner] += r->from[0][to + k * e->inner];
  }
  return true;
}

static const struct backward topk_backward = {
  .flags = BACKWARD_ADDS, .keeps = BACKWARD_IN(0), .prepare = topk_prepare, .run = topk_backward_run};

OP_TABLE(extreme) = {
  {.type = "ArgMax", .since = 1, .min_in = 1, .max_in = 1, .max_out = 1, .layout = OP_PLAIN, .shape = argmax_shape,
   .forward = arg_forward},
  {.type = "ArgMin", .since = 1, .min_in = 1, .max_in = 1, .max_out = 1, .layout = OP_PLAIN, .shape = argmin_shape,
   .forward = arg_forward},
  {.type = "TopK", .since = 1, .min_in = 1, .max_in = 2, .max_out = 2, .layout = OP_PLAIN, .shape = topk_shape,
   .prepare = topk_prepare, .forward = topk_forward, .backward = &topk_backward},
  {.type = NULL},
};
