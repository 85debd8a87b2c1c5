/* SPDX-License-Identifier: Apache-2.0 */
/* Operators whose result follows from attributes, constants and shapes alone: none is left in a built graph. */
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"

#include <math.h>
#include <string.h>

/* ---- Constant ---- */

static const struct attr *constant_attr(const struct node *node)
{
  static const char *const names[] = {"value", "value_float", "value_floats", "value_int", "value_ints"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (node_attr(node, names[i]))
      return node_attr(node, names[i]);
  return NULL;
}

/* Shape and bytes of what a constant's attribute holds. */
static bool constant_read(const struct node *node, struct tensor *t, struct error *err)
{
  const struct attr *attr = constant_attr(node);
  *t = (struct tensor){.dtype = DTYPE_F32, .element = ELEMENT_FLOAT};
  if (!attr)
    return node_error(node, err, "has no attribute value, value_float(s) or value_int(s)");
  switch (attr->type) {
  case ATTR_TENSOR:
    *t = attr->tensor;
    return true;
  case ATTR_FLOAT:
    t->data = (void *)&attr->f;
    return true;
  case ATTR_FLOATS:
    t->shape = (struct shape){.rank = 1, .dim = {(int64_t)attr->count}};
    t->data = (void *)attr->floats;
    return true;
  case ATTR_INT:
    t->dtype = DTYPE_I64;
    t->element = ELEMENT_INT64;
    t->data = (void *)&attr->i;
    return true;
  case ATTR_INTS:
    t->dtype = DTYPE_I64;
    t->element = ELEMENT_INT64;
    t->shape = (struct shape){.rank = 1, .dim = {(int64_t)attr->count}};
    t->data = (void *)attr->ints;
    return true;
  default:
    return node_error(node, err, "attribute %s does not hold numbers", attr->name);
  }
}

static bool constant_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct tensor t;
  (void)arena;
  if (!constant_read(node, &t, err) || !output_set(node, 0, t.dtype, &t.shape, LAYOUT_PLAIN, err))
    return false;
  node->out[0]->t.element = t.element;
  return true;
}

static bool constant_forward(const struct call *call, struct error *err)
{
  struct tensor t;
  if (!constant_read(call->node, &t, err))
    return false;
  if (t.data)
    memcpy(call->out[0], t.data, tensor_bytes(&t));
  return true;
}

/* ---- ConstantOfShape ---- */

static bool fill_value(const struct node *node, struct tensor *t, struct error *err)
{
  static const float zero = 0;
  const struct attr *attr = node_attr(node, "value");
  *t = (struct tensor){.dtype = DTYPE_F32, .element = ELEMENT_FLOAT, .data = (void *)&zero};
  if (!attr)
    return true;
  if (attr->type != ATTR_TENSOR || tensor_count(&attr->tensor) != 1 || !attr->tensor.data)
    return node_error(node, err, "value is not a tensor of one element");
  *t = attr->tensor;
  return true;
}

static bool fill_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct tensor value;
  struct shape shape;
  (void)arena;
  if (!fill_value(node, &value, err) ||
      !node_const_ints(node, 0, shape.dim, TENSOR_MAX_RANK, &shape.rank, err) ||
      !output_set(node, 0, value.dtype, &shape, LAYOUT_PLAIN, err))
    return false;
  node->out[0]->t.element = value.element;
  return true;
}

static bool fill_forward(const struct call *call, struct error *err)
{
  struct tensor value;
  int64_t element = 0;
  if (!fill_value(call->node, &value, err))
    return false;
  memcpy(&element, value.data, dtype_size(value.dtype));
  loop_fill(call->out[0], tensor_count(&call->node->out[0]->t), dtype_size(value.dtype), &element);
  return true;
}

/* ---- Shape, Size: known from descriptions, whatever the input holds ---- */

static bool known(struct node *node, struct arena *arena, const int64_t *numbers, const struct shape *shape,
                  struct error *err)
{
  if (!output_set(node, 0, DTYPE_I64, shape, LAYOUT_PLAIN, err))
    return false;
  struct tensor *out = &node->out[0]->t;
  out->element = ELEMENT_INT64;
  out->data = arena_array(arena, TENSOR_MAX_RANK, sizeof *numbers);
  if (!out->data)
    return error_memory(err, "a shape");
  memcpy(out->data, numbers, tensor_bytes(out));
  return true;
}

static bool shape_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct shape *in = &node->in[0]->t.shape;
  const int rank = in->rank;
  int64_t start, end;
  if (!node_int(node, "start", 0, &start, err) || !node_int(node, "end", rank, &end, err))
    return false;
  start += start < 0 ? rank : 0;
  end += end < 0 ? rank : 0;
  start = start < 0 ? 0 : (start > rank ? rank : start);
  end = end < start ? start : (end > rank ? rank : end);
  return known(node, arena, in->dim + start, &(struct shape){.rank = 1, .dim = {end - start}}, err);
}

static bool size_shape(struct node *node, struct arena *arena, struct error *err)
{
  const int64_t count = tensor_count(&node->in[0]->t);
  return known(node, arena, &count, &(struct shape){.rank = 0}, err);
}

/* Never asked to run. */
static bool known_forward(const struct call *call, struct error *err)
{
  return node_error(call->node, err, "was not folded");
}

/* ---- Range ---- */

static bool range_read(const struct node *node, double v[3], int64_t i[3], struct error *err)
{
  for (int k = 0; k < 3; k++) {
    const struct tensor *t = &node->in[k]->t;
    if (!input_is(node, k, node->in[0]->t.dtype, err))
      return false;
    if (!t->data || tensor_count(t) != 1)
      return node_error(node, err, "input %d is not one constant number", k);
    if (t->dtype == DTYPE_F32) {
      v[k] = *(const float *)t->data;
    } else {
      i[k] = *(const int64_t *)t->data;
      v[k] = (double)i[k];
    }
  }
  return true;
}

static bool range_shape(struct node *node, struct arena *arena, struct error *err)
{
  double v[3] = {0};
  int64_t i[3] = {0};
  (void)arena;
  if (!range_read(node, v, i, err))
    return false;
  double count = ceil((v[1] - v[0]) / v[2]);
  if (v[2] == 0 || count != count)
    return node_error(node, err, "%g to %g in steps of %g is no range", v[0], v[1], v[2]);
  if (count > (double)OUTPUT_MAX_COUNT)
    return node_error(node, err, "%g to %g in steps of %g has more than %lld numbers", v[0], v[1], v[2],
                      (long long)OUTPUT_MAX_COUNT);
  struct shape shape = {.rank = 1, .dim = {count > 0 ? (int64_t)count : 0}};
  return output_set(node, 0, node->in[0]->t.dtype, &shape, LAYOUT_PLAIN, err);
}

static bool range_forward(const struct call *call, struct error *err)
{
  double v[3] = {0};
  int64_t i[3] = {0}, count = tensor_count(&call->node->out[0]->t);
  if (!range_read(call->node, v, i, err))
    return false;
  if (call->node->out[0]->t.dtype == DTYPE_F32) {
    for (int64_t k = 0; k < count; k++)
      ((float *)call->out[0])[k] = (float)(v[0] + (double)k * v[2]);
  } else {
    for (int64_t k = 0; k < count; k++)
      ((int64_t *)call->out[0])[k] = (int64_t)((uint64_t)i[0] + (uint64_t)k * (uint64_t)i[2]); /* k * i[2] may wrap */
  }
  return true;
}

/* ---- EyeLike ---- */

static bool eye_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  int64_t element;
  (void)arena;
  if (!node_int(node, "dtype", 0, &element, err))
    return false;
  if (in->shape.rank != 2)
    return node_error(node, err, "shape %s is not a matrix", INPUT_SHAPE(node, 0));
  enum dtype dtype = in->dtype;
  if (element != 0 && !element_dtype((int)element, &dtype))
    return node_error(node, err, "element type %lld is not supported", (long long)element);
  return output_set(node, 0, dtype, &in->shape, LAYOUT_PLAIN, err);
}

static bool eye_forward(const struct call *call, struct error *err)
{
  const struct tensor *t = &call->node->out[0]->t;
  const int64_t rows = t->shape.dim[0], columns = t->shape.dim[1];
  int64_t k;
  if (!node_int(call->node, "k", 0, &k, err))
    return false;
  memset(call->out[0], 0, (size_t)call->n * tensor_bytes(t));
  for (int64_t s = 0; s < call->n; s++)
    for (int64_t r = 0; r < rows && k > -rows && k < columns; r++) {
      const int64_t at = (s * rows + r) * columns + r + k;
      if (r + k < 0 || r + k >= columns)
        continue;
      if (t->dtype == DTYPE_F32)
        ((float *)call->out[0])[at] = 1;
      else
        ((int64_t *)call->out[0])[at] = 1;
    }
  return true;
}

OP_TABLE(constant) = {
  {.type = "Constant", .since = 1, .min_in = 0, .max_in = 0, .max_out = 1, .shape = constant_shape,
   .forward = constant_forward},
  {.type = "ConstantOfShape", .since = 9, .min_in = 1, .max_in = 1, .max_out = 1,
   .shape = fill_shape, .forward = fill_forward},
  {.type = "Shape", .since = 1, .min_in = 1, .max_in = 1, .max_out = 1, .shape = shape_shape,
   .forward = known_forward},
  {.type = "Size", .since = 1, .min_in = 1, .max_in = 1, .max_out = 1, .shape = size_shape,
   .forward = known_forward},
  {.type = "Range", .since = 11, .min_in = 3, .max_in = 3, .max_out = 1, .shape = range_shape,
   .forward = range_forward},
  {.type = "EyeLike", .since = 9, .min_in = 1, .max_in = 1, .max_out = 1, .shape = eye_shape,
   .forward = eye_forward},
  {.type = NULL},
};
