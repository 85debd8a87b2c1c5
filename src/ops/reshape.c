/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that give a tensor another description and leave its bytes alone. They run only where a constant is folded
 * or an output that nobody expects in ordinary inference is asked for (Dropout's mask). */
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "ops/reverse.h"

#include <string.h>

static bool copy_forward(const struct call *call, struct error *err)
{
  const struct tensor *out = &call->node->out[0]->t;
  (void)err;
  if (call->out[0] != call->in[0])
    memcpy(call->out[0], call->in[0], (size_t)(call->n * tensor_count(out)) * dtype_size(out->dtype));
  return true;
}

/* 0 keeps the input's dimension (unless allowzero), -1 takes what is left. */
static bool reshape_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  int64_t dim[TENSOR_MAX_RANK], allow_zero;
  int rank, open = -1;
  (void)arena;
  if (!node_int(node, "allowzero", 0, &allow_zero, err))
    return false;
  if (node_has(node, 1) ? !node_const_ints(node, 1, dim, TENSOR_MAX_RANK, &rank, err)
                        : !node_ints(node, "shape", dim, TENSOR_MAX_RANK, &rank, err))
    return false;
  int64_t known = 1;
  for (int d = 0; d < rank; d++) {
    if (dim[d] == 0 && !allow_zero) {
      if (d >= in->shape.rank)
        return node_error(node, err, "dimension %d is to be kept, but the input has shape %s", d, INPUT_SHAPE(node, 0));
      dim[d] = in->shape.dim[d];
    } else if (dim[d] == -1 && open < 0) {
      open = d;
      continue;
    } else if (dim[d] < 0) {
      return node_error(node, err, "dimension %d of the new shape is %lld", d, (long long)dim[d]);
    }
    if (__builtin_mul_overflow(known, dim[d], &known))
      return node_error(node, err, "the new shape is too large");
  }
  int64_t count = tensor_count(in);
  if (open >= 0) {
    if (known == 0 || count % known != 0)
      return node_error(node, err, "%s cannot be divided into the new shape: %lld elements by %lld",
                        INPUT_SHAPE(node, 0), (long long)count, (long long)known);
    dim[open] = count / known;
    known = count;
  }
  struct shape shape = shape_of(rank, dim);
  if (known != count) {
    char text[96];
    return node_error(node, err, "%s cannot become %s", INPUT_SHAPE(node, 0), shape_text(&shape, text, sizeof text));
  }
  return output_set(node, 0, in->dtype, &shape, LAYOUT_PLAIN, err);
}

static bool flatten_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  int64_t axis;
  (void)arena;
  if (!node_int(node, "axis", 1, &axis, err))
    return false;
  if (axis < -in->shape.rank || axis > in->shape.rank)
    return node_error(node, err, "axis %lld is outside %d..%d", (long long)axis, -in->shape.rank, in->shape.rank);
  int at = (int)(axis < 0 ? axis + in->shape.rank : axis);
  const int64_t outer = shape_product(&in->shape, 0, at), inner = shape_product(&in->shape, at, in->shape.rank);
  const struct shape shape = {.rank = 2, .dim = {outer, inner}};
  return output_set(node, 0, in->dtype, &shape, LAYOUT_PLAIN, err);
}

static bool squeeze_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  unsigned mask;
  bool given;
  (void)arena;
  if (!axes_read(node, 1, in->shape.rank, &mask, &given, err))
    return false;
  struct shape shape = {.rank = 0};
  for (int d = 0; d < in->shape.rank; d++) {
    bool drop = given ? mask >> d & 1 : in->shape.dim[d] == 1;
    if (drop && in->shape.dim[d] != 1)
      return node_error(node, err, "axis %d of shape %s is not 1", d, INPUT_SHAPE(node, 0));
    if (!drop)
      shape.dim[shape.rank++] = in->shape.dim[d];
  }
  return output_set(node, 0, in->dtype, &shape, LAYOUT_PLAIN, err);
}

static bool unsqueeze_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  int64_t axes[TENSOR_MAX_RANK];
  int count = 0;
  (void)arena;
  if (node_has(node, 1) ? !node_const_ints(node, 1, axes, TENSOR_MAX_RANK, &count, err)
                        : !node_ints(node, "axes", axes, TENSOR_MAX_RANK, &count, err))
    return false;
  int rank = in->shape.rank + count;
  if (rank > TENSOR_MAX_RANK)
    return node_error(node, err, "the result has rank %d, at most %d are supported", rank, TENSOR_MAX_RANK);
  unsigned mask = 0;
  for (int k = 0; k < count; k++) {
    int axis = 0;
    if (!axis_normal(node, axes[k], rank, &axis, err))
      return false;
    if (mask >> axis & 1)
      return node_error(node, err, "axis %d is given twice", axis);
    mask |= 1u << axis;
  }
  struct shape shape = {.rank = rank};
  for (int d = 0, from = 0; d < rank; d++)
    shape.dim[d] = mask >> d & 1 ? 1 : in->shape.dim[from++];
  return output_set(node, 0, in->dtype, &shape, LAYOUT_PLAIN, err);
}

static bool identity_shape(struct node *node, struct arena *arena, struct error *err)
{
  (void)arena;
  return output_like(node, 0, node->in[0]->t.dtype, err);
}

/* Inference: the input as it is. Training mode drops nothing where the ratio is 0. */
static bool dropout_shape(struct node *node, struct arena *arena, struct error *err)
{
  (void)arena;
  if (node_has(node, 2)) {
    int64_t training = 0;
    int count;
    if (!node_const_ints(node, 2, &training, 1, &count, err))
      return false;
    float ratio = 0.5f;
    if (node_has(node, 1)) {
      const struct tensor *t = &node->in[1]->t;
      if (!t->data || t->dtype != DTYPE_F32 || tensor_count(t) != 1)
        return node_error(node, err, "the ratio is not a constant number");
      memcpy(&ratio, t->data, sizeof ratio);
    }
    if (count == 1 && training != 0 && ratio != 0.0f)
      return node_error(node, err, "training mode is not supported");
  }
  return output_like(node, 0, node->in[0]->t.dtype, err) && output_like(node, 1, DTYPE_I64, err);
}

static bool dropout_is_view(const struct node *node)
{
  return node->n_out < 2 || !node->out[1] || node->out[1]->uses == 0;
}

static bool dropout_forward(const struct call *call, struct error *err)
{
  if (call->node->n_out > 1 && call->out[1])
    loop_fill(call->out[1], call->n * tensor_count(&call->node->out[1]->t), sizeof(int64_t), &(int64_t){1});
  return copy_forward(call, err);
}

/* Only where it is no view: Dropout whose mask somebody reads. */
static bool dropout_backward_run(const struct reverse *r, struct error *err)
{
  (void)err;
  reverse_pass(r->add[0], r->to[0], r->from[0], r->n * tensor_count(&r->node->in[0]->t));
  return true;
}

static const struct backward dropout_backward = {.flags = BACKWARD_ADDS | BACKWARD_PASSES, .run = dropout_backward_run};

#define VIEW_OP(name, inputs, want, lower)                                                                             \
  {                                                                                                                    \
    .type = name, .since = 1, .min_in = 1, .max_in = inputs, .max_out = 1, .layout = want, .flags = OP_VIEW,           \
    .shape = lower##_shape, .forward = copy_forward,                                                                   \
  }

OP_TABLE(reshape) = {
  VIEW_OP("Reshape", 2, OP_PLAIN, reshape),
  VIEW_OP("Flatten", 1, OP_PLAIN, flatten),
  VIEW_OP("Squeeze", 2, OP_PLAIN, squeeze),
  VIEW_OP("Unsqueeze", 2, OP_PLAIN, unsqueeze),
  VIEW_OP("Identity", 1, OP_ANY, identity),
  {.type = "Dropout", .since = 1, .min_in = 1, .max_in = 3, .max_out = 2, .shape = dropout_shape,
   .forward = dropout_forward, .is_view = dropout_is_view, .backward = &dropout_backward},
  {.type = NULL},
};
