/* SPDX-License-Identifier: Apache-2.0 */
/* Putting tensors together and taking them apart along an axis, in any layout: the axis of channels-last maps that are
 * joined by channel is the innermost one, and the copy one row per pixel. */
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "ops/reverse.h"

#include <string.h>

/* The layout of data movement's results: that of the first rank-4 input that varies. */
static enum layout moved_layout(const struct node *node)
{
  const enum layout otherwise = node->in[0]->t.layout;
  for (int i = 0; i < node->n_in; i++)
    if (node->in[i] && !node->in[i]->t.data && node->in[i]->t.shape.rank == 4 &&
        !layout_same_bytes(&node->in[i]->t.shape))
      return node->in[i]->t.layout;
  for (int i = 0; i < node->n_in; i++)
    if (node->in[i] && !node->in[i]->t.data && node->in[i]->t.shape.rank == 4)
      return node->in[i]->t.layout;
  return otherwise;
}

static bool concat_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct shape shape = node->in[0]->t.shape;
  enum dtype dtype = node->in[0]->t.dtype;
  int *axis = params_new(node, arena, sizeof *axis, err);
  if (!axis || !axis_read(node, 1, shape.rank, axis, err))
    return false;
  for (int i = 1; i < node->n_in; i++) {
    if (!node->in[i])
      return node_error(node, err, "input %d is missing", i);
    struct shape one = node->in[i]->t.shape;
    if (!input_is(node, i, dtype, err))
      return false;
    bool fits = one.rank == shape.rank;
    for (int d = 0; fits && d < shape.rank; d++)
      fits = d == *axis || one.dim[d] == shape.dim[d];
    if (!fits)
      return node_error(node, err, "shapes %s and %s differ outside axis %d", INPUT_SHAPE(node, 0),
                        INPUT_SHAPE(node, i), *axis);
    if (__builtin_add_overflow(shape.dim[*axis], one.dim[*axis], &shape.dim[*axis]))
      return node_error(node, err, "the result is too large");
  }
  return output_set(node, 0, dtype, &shape, moved_layout(node), err);
}

static bool concat_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct tensor *out = &node->out[0]->t;
  int axis = *(const int *)node->params;
  (void)err;
  struct loop_box box = {.to_offset = 0};
  tensor_strides(out, box.to);
  for (int i = 0; i < node->n_in; i++) {
    const struct tensor *in = &node->in[i]->t;
    memcpy(box.dim, in->shape.dim, sizeof box.dim);
    tensor_strides(in, box.from);
    loop_box(call, &box, out, call->out[0], in, call->in[i], call->in_batched[i]);
    box.to_offset += in->shape.dim[axis] * box.to[axis];
  }
  return true;
}

static bool concat_backward_run(const struct reverse *r, struct error *err)
{
  const struct node *node = r->node;
  const struct tensor *out = &node->out[0]->t;
  const int axis = *(const int *)node->params;
  (void)err;
  struct loop_box box = {.from_offset = 0};
  tensor_strides(out, box.from);
  for (int i = 0; i < node->n_in; i++) {
    const struct tensor *in = &node->in[i]->t;
    memcpy(box.dim, in->shape.dim, sizeof box.dim);
    tensor_strides(in, box.to);
    if (r->to[i])
      reverse_box(r, &box, r->add[i], in, r->to[i], out, r->from[0]);
    box.from_offset += in->shape.dim[axis] * box.from[axis];
  }
  return true;
}

static const struct backward concat_backward = {.flags = BACKWARD_ADDS | BACKWARD_BF16, .run = concat_backward_run};

struct split {
  int axis;
  int64_t *size; /* per output */
};

/* Sizes come from an attribute (up to opset 12), an input, or are equal (num_outputs, from opset 18: the last part may
 * be smaller). */
static bool split_sizes(struct node *node, struct split *split, struct error *err)
{
  const int64_t total = node->in[0]->t.shape.dim[split->axis];
  int count = node->n_out;
  if (node_has(node, 1)) {
    if (!node_const_ints(node, 1, split->size, node->n_out, &count, err))
      return false;
  } else if (node_attr(node, "split")) {
    if (!node_ints(node, "split", split->size, node->n_out, &count, err))
      return false;
  } else {
    int64_t parts;
    if (!node_int(node, "num_outputs", node->n_out, &parts, err))
      return false;
    if (parts != node->n_out)
      return node_error(node, err, "has %d outputs, num_outputs is %lld", node->n_out, (long long)parts);
    if (total % parts != 0 && !node_attr(node, "num_outputs"))
      return node_error(node, err, "%lld do not split into %d equal parts", (long long)total, node->n_out);
    int64_t chunk = (total + parts - 1) / parts;
    for (int i = 0; i < node->n_out; i++) {
      int64_t left = total - i * chunk;
      split->size[i] = left < 0 ? 0 : (left < chunk ? left : chunk);
    }
  }
  if (count != node->n_out)
    return node_error(node, err, "has %d sizes for %d outputs", count, node->n_out);
  int64_t left = total;
  for (int i = 0; i < node->n_out; i++) {
    if (split->size[i] < 0 || split->size[i] > left)
      return node_error(node, err, "part %d of %lld exceeds axis %d of %lld", i, (long long)split->size[i], split->axis,
                        (long long)total);
    left -= split->size[i];
  }
  if (left != 0)
    return node_error(node, err, "the parts leave %lld of axis %d of %lld", (long long)left, split->axis,
                      (long long)total);
  return true;
}

static bool split_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  struct split *split = params_new(node, arena, sizeof *split, err);
  if (!split || !axis_read(node, 0, in->shape.rank, &split->axis, err))
    return false;
  split->size = arena_array(arena, (size_t)node->n_out, sizeof *split->size);
  if (!split->size)
    return error_memory(err, "an operator's parameters");
  if (!split_sizes(node, split, err))
    return false;
  for (int i = 0; i < node->n_out; i++) {
    struct shape shape = in->shape;
    shape.dim[split->axis] = split->size[i];
    if (!output_set(node, i, in->dtype, &shape, in->layout, err))
      return false;
  }
  return true;
}

static bool split_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct split *split = node->params;
  const struct tensor *in = &node->in[0]->t;
  (void)err;
  struct loop_box box = {.from_offset = 0};
  tensor_strides(in, box.from);
  for (int i = 0; i < node->n_out; i++) {
    if (node->out[i] && call->out[i]) {
      const struct tensor *out = &node->out[i]->t;
      memcpy(box.dim, out->shape.dim, sizeof box.dim);
      tensor_strides(out, box.to);
      loop_box(call, &box, out, call->out[i], in, call->in[0], call->in_batched[0]);
    }
    box.from_offset += split->size[i] * box.from[split->axis];
  }
  return true;
}

static struct window_rule concat_window(const struct node *node)
{
  return (struct window_rule){*(const int *)node->params == 1 ? WINDOW_JOIN : WINDOW_SPREADS, {.in = {0}}};
}

static bool split_backward_run(const struct reverse *r, struct error *err)
{
  const struct node *node = r->node;
  const struct split *split = node->params;
  const struct tensor *in = &node->in[0]->t;
  (void)err;
  struct loop_box box = {.to_offset = 0};
  bool whole = true;
  for (int i = 0; i < node->n_out; i++)
    whole &= r->from[i] != NULL;
  if (!whole)
    reverse_nothing(r, 0);
  tensor_strides(in, box.to);
  for (int i = 0; i < node->n_out; i++) {
    if (r->from[i]) {
      const struct tensor *out = &node->out[i]->t;
      memcpy(box.dim, out->shape.dim, sizeof box.dim);
      tensor_strides(out, box.from);
      reverse_box(r, &box, r->add[0], in, r->to[0], out, r->from[i]);
    }
    box.to_offset += split->size[i] * box.to[split->axis];
  }
  return true;
}

static const struct backward split_backward = {.flags = BACKWARD_ADDS, .run = split_backward_run};

OP_TABLE(concat) = {
    {.type = "Concat",
     .since = 1,
     .min_in = 1,
     .max_in = -1,
     .max_out = 1,
     .flags = OP_BF16,
     .shape = concat_shape,
     .forward = concat_forward,
     .window = concat_window,
     .backward = &concat_backward},
    {.type = "Split",
     .since = 1,
     .min_in = 1,
     .max_in = 2,
     .max_out = -1,
     .shape = split_shape,
     .forward = split_forward,
     .backward = &split_backward},
    {.type = NULL},
};
