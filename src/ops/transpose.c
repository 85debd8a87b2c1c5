/* SPDX-License-Identifier: Apache-2.0 */
/* Transpose, and the change of layout that graph_build puts before operators that want the other one. A transposition
 * that only renames the axes of the same bytes is a view: [N,C,H,W] channels-last permuted to N,H,W,C, and the reverse,
 * which is how exporters of NHWC frameworks wrap every convolution. */
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "ops/reverse.h"

#include <string.h>

struct permutation {
  int axis[TENSOR_MAX_RANK]; /* axis of the input that becomes axis i of the result */
};

/* True where the result has every element in the place it has in the input. */
static bool same_places(const struct node *node, const int *axis)
{
  int64_t from[TENSOR_MAX_RANK], to[TENSOR_MAX_RANK];
  const struct tensor *out = &node->out[0]->t;
  tensor_strides(&node->in[0]->t, from);
  tensor_strides(out, to);
  for (int d = 0; d < out->shape.rank; d++)
    if (out->shape.dim[d] > 1 && to[d] != from[axis[d]])
      return false;
  return true;
}

static bool transpose_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  struct permutation *p = params_new(node, arena, sizeof *p, err);
  int64_t perm[TENSOR_MAX_RANK];
  int count, rank = in->shape.rank;
  if (!p || !node_ints(node, "perm", perm, TENSOR_MAX_RANK, &count, err))
    return false;
  if (node_attr(node, "perm") && count != rank)
    return node_error(node, err, "perm has %d entries for shape %s", count, INPUT_SHAPE(node, 0));
  unsigned seen = 0;
  struct shape shape = {.rank = rank};
  for (int d = 0; d < rank; d++) {
    int64_t axis = count ? perm[d] : rank - 1 - d;
    if (axis < 0 || axis >= rank || seen >> axis & 1)
      return node_error(node, err, "perm is no permutation of 0..%d", rank - 1);
    seen |= 1u << axis;
    p->axis[d] = (int)axis;
    shape.dim[d] = in->shape.dim[axis];
  }
  if (!output_set(node, 0, in->dtype, &shape, LAYOUT_PLAIN, err))
    return false;
  if (rank == 4 && !same_places(node, p->axis)) {
    node->out[0]->t.layout = LAYOUT_CHANNELS_LAST;
    if (!same_places(node, p->axis))
      node->out[0]->t.layout = LAYOUT_PLAIN;
  }
  return true;
}

static bool transpose_is_view(const struct node *node)
{
  const struct permutation *p = node->params;
  return same_places(node, p->axis);
}

static bool transpose_forward(const struct call *call, struct error *err)
{
  const struct permutation *p = call->node->params;
  const struct tensor *in = &call->node->in[0]->t, *out = &call->node->out[0]->t;
  int64_t from[TENSOR_MAX_RANK], to[TENSOR_MAX_RANK];
  int order[TENSOR_MAX_RANK];
  struct loop loop;
  (void)err;
  tensor_strides(in, from);
  tensor_strides(out, to);
  loop_order(out, order);
  loop_begin(&loop, 2);
  loop_push(&loop, call->n, (const int64_t[]){tensor_count(out), tensor_count(in)});
  for (int d = 0; d < out->shape.rank; d++)
    loop_push(&loop, out->shape.dim[order[d]], (const int64_t[]){to[order[d]], from[p->axis[order[d]]]});
  loop_copy(&loop, dtype_size(out->dtype), call->out[0], call->in[0]);
  return true;
}

static bool transpose_backward_run(const struct reverse *r, struct error *err)
{
  const struct permutation *p = r->node->params;
  const struct tensor *in = &r->node->in[0]->t, *out = &r->node->out[0]->t;
  int64_t to[TENSOR_MAX_RANK], from[TENSOR_MAX_RANK];
  int order[TENSOR_MAX_RANK], result[TENSOR_MAX_RANK];
  struct loop loop;
  (void)err;
  tensor_strides(in, to);
  tensor_strides(out, from);
  loop_order(in, order);
  for (int d = 0; d < in->shape.rank; d++)
    result[p->axis[d]] = d;
  loop_begin(&loop, 2);
  loop_push(&loop, r->n, (const int64_t[]){tensor_count(in), tensor_count(out)});
  for (int d = 0; d < in->shape.rank; d++)
    loop_push(&loop, in->shape.dim[order[d]], (const int64_t[]){to[order[d]], from[result[order[d]]]});
  reverse_move(&loop, r->add[0], r->to[0], r->from[0]);
  return true;
}

static const struct backward transpose_backward = {.flags = BACKWARD_ADDS, .run = transpose_backward_run};

static bool change_layout_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  struct permutation *p = params_new(node, arena, sizeof *p, err);
  if (!p)
    return false;
  for (int d = 0; d < TENSOR_MAX_RANK; d++)
    p->axis[d] = d;
  return output_set(node, 0, in->dtype, &in->shape,
                    in->layout == LAYOUT_PLAIN ? LAYOUT_CHANNELS_LAST : LAYOUT_PLAIN, err);
}

OP_TABLE(transpose) = {
  {.type = "Transpose", .since = 1, .min_in = 1, .max_in = 1, .max_out = 1, .shape = transpose_shape,
   .forward = transpose_forward, .is_view = transpose_is_view, .backward = &transpose_backward},
  {.type = "ChangeLayout", .domain = "penumbra", .min_in = 1, .max_in = 1, .max_out = 1, .shape = change_layout_shape,
   .forward = transpose_forward, .is_view = transpose_is_view, .backward = &transpose_backward},
  {.type = NULL},
};
