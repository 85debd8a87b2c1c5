/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/output.h"

bool output_set(struct node *node, int i, enum dtype dtype, const struct shape *shape, enum layout layout,
                struct error *err)
{
  if (i >= node->n_out || !node->out[i])
    return true;
  char text[96];
  /* Empty tensors too must have dimensions whose product can be taken. */
  struct shape filled = *shape;
  for (int d = 0; d < filled.rank; d++)
    filled.dim[d] += filled.dim[d] == 0;
  int64_t count = shape_count(&filled);
  if (count < 0 || count > OUTPUT_MAX_COUNT)
    return node_error(node, err, "output %s has more than %lld elements", shape_text(shape, text, sizeof text),
                      (long long)OUTPUT_MAX_COUNT);
  struct tensor *t = &node->out[i]->t;
  t->shape = *shape;
  t->dtype = dtype;
  t->layout = shape->rank == 4 ? layout : LAYOUT_PLAIN;
  t->element = 0;
  if (node_has(node, 0) && node->in[0]->t.dtype == dtype)
    t->element = node->in[0]->t.element;
  return true;
}

bool output_like(struct node *node, int i, enum dtype dtype, struct error *err)
{
  return output_set(node, i, dtype, &node->in[0]->t.shape, node->in[0]->t.layout, err);
}

bool output_broadcast(struct node *node, enum dtype dtype, int first, int last, struct error *err)
{
  struct shape shape = node->in[first]->t.shape;
  for (int i = first + 1; i < last; i++) {
    struct shape both;
    if (!shape_broadcast(&shape, &node->in[i]->t.shape, &both)) {
      char text[96];
      return node_error(node, err, "shapes %s and %s do not broadcast", shape_text(&shape, text, sizeof text),
                        INPUT_SHAPE(node, i));
    }
    shape = both;
  }
  /* An input whose two layouts are the same bytes has no say unless all are like that. */
  enum layout weak = LAYOUT_PLAIN, strong = LAYOUT_PLAIN;
  bool decided = false;
  for (int i = first; i < last; i++) {
    const struct tensor *t = &node->in[i]->t;
    if (t->data || t->shape.rank != 4)
      continue;
    if (t->layout == LAYOUT_CHANNELS_LAST)
      weak = LAYOUT_CHANNELS_LAST;
    if (layout_same_bytes(&t->shape))
      continue;
    decided = true;
    if (t->layout == LAYOUT_CHANNELS_LAST)
      strong = LAYOUT_CHANNELS_LAST;
  }
  return output_set(node, 0, dtype, &shape, decided ? strong : weak, err);
}

bool element_dtype(int element, enum dtype *dtype)
{
  int64_t low, high;
  if (element == ELEMENT_FLOAT || element == ELEMENT_FLOAT16 || element == ELEMENT_BFLOAT16 ||
      element == ELEMENT_DOUBLE)
    *dtype = DTYPE_F32;
  else if (element == ELEMENT_BOOL || element == ELEMENT_INT64 || element == ELEMENT_UINT64 ||
           element_range(element, &low, &high))
    *dtype = DTYPE_I64;
  else
    return false;
  return true;
}

bool element_range(int element, int64_t *low, int64_t *high)
{
  switch (element) {
  case ELEMENT_UINT8:
    *low = 0, *high = UINT8_MAX;
    return true;
  case ELEMENT_INT8:
    *low = INT8_MIN, *high = INT8_MAX;
    return true;
  case ELEMENT_UINT16:
    *low = 0, *high = UINT16_MAX;
    return true;
  case ELEMENT_INT16:
    *low = INT16_MIN, *high = INT16_MAX;
    return true;
  case ELEMENT_INT32:
    *low = INT32_MIN, *high = INT32_MAX;
    return true;
  case ELEMENT_UINT32:
    *low = 0, *high = UINT32_MAX;
    return true;
  case ELEMENT_UINT4:
    *low = 0, *high = 15;
    return true;
  case ELEMENT_INT4:
    *low = -8, *high = 7;
    return true;
  default:
    return false;
  }
}

bool input_is(const struct node *node, int i, enum dtype dtype, struct error *err)
{
  if (node->in[i]->t.dtype == dtype)
    return true;
  return node_error(node, err, "input %d ('%s') must hold %s", i, node->in[i]->name,
                    dtype == DTYPE_F32 ? "floating-point numbers" : "integers");
}

bool axis_normal(const struct node *node, int64_t axis, int rank, int *out, struct error *err)
{
  if (axis < -rank || axis >= rank)
    return node_error(node, err, "axis %lld is outside %d..%d", (long long)axis, -rank, rank - 1);
  *out = (int)(axis < 0 ? axis + rank : axis);
  return true;
}

bool axis_read(const struct node *node, int64_t fallback, int rank, int *out, struct error *err)
{
  int64_t axis;
  return node_int(node, "axis", fallback, &axis, err) && axis_normal(node, axis, rank, out, err);
}

bool axes_read(const struct node *node, int i, int rank, unsigned *mask, bool *given, struct error *err)
{
  int64_t axes[TENSOR_MAX_RANK];
  int count = 0;
  *mask = 0;
  if (node_has(node, i)) {
    *given = true;
    if (!node_const_ints(node, i, axes, TENSOR_MAX_RANK, &count, err))
      return false;
  } else {
    *given = node_attr(node, "axes") != NULL;
    if (!node_ints(node, "axes", axes, TENSOR_MAX_RANK, &count, err))
      return false;
  }
  for (int k = 0; k < count; k++) {
    int axis = 0;
    if (!axis_normal(node, axes[k], rank, &axis, err))
      return false;
    if (*mask >> axis & 1)
      return node_error(node, err, "axis %d is given twice", axis);
    *mask |= 1u << axis;
  }
  return true;
}

void *params_new(struct node *node, struct arena *arena, size_t bytes, struct error *err)
{
  node->params = arena_alloc(arena, bytes);
  if (!node->params)
    error_memory(err, "an operator's parameters");
  return node->params;
}
