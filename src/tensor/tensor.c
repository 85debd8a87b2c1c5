/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"

#include <inttypes.h>
#include <stdio.h>

static const int64_t max_count = (int64_t)1 << 40;

struct shape shape_of(int rank, const int64_t *dim)
{
  struct shape shape = {.rank = rank};
  for (int i = 0; i < rank; i++)
    shape.dim[i] = dim[i];
  return shape;
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
  if (a->rank != b->rank)
    return false;
  for (int i = 0; i < a->rank; i++) {
    if (a->dim[i] != b->dim[i])
      return false;
  }
  return true;
}

int64_t shape_product(const struct shape *shape, int from, int to)
{
  int64_t product = 1;
  for (int i = from; i < to; i++)
    product *= shape->dim[i];
  return product;
}

int64_t shape_count(const struct shape *shape)
{
  bool empty = false;
  for (int i = 0; i < shape->rank; i++) {
    if (shape->dim[i] < 0)
      return -1;
    empty |= shape->dim[i] == 0;
  }
  if (empty)
    return 0;
  int64_t count = 1;
  for (int i = 0; i < shape->rank; i++) {
    if (shape->dim[i] > max_count / count)
      return -1;
    count *= shape->dim[i];
  }
  return count;
}

bool shape_broadcast(const struct shape *a, const struct shape *b, struct shape *out)
{
  struct shape result = {.rank = a->rank > b->rank ? a->rank : b->rank};
  for (int i = 1; i <= result.rank; i++) { /* i-th dimension from the right */
    int64_t da = i <= a->rank ? a->dim[a->rank - i] : 1;
    int64_t db = i <= b->rank ? b->dim[b->rank - i] : 1;
    if (da != db && da != 1 && db != 1)
      return false;
    result.dim[result.rank - i] = da == 1 ? db : da;
  }
  *out = result;
  return true;
}

char *shape_text(const struct shape *shape, char *buffer, size_t size)
{
  if (shape->rank == 0) {
    (void)snprintf(buffer, size, "scalar");
    return buffer;
  }
  size_t used = 0;
  for (int i = 0; i < shape->rank && used < size; i++) {
    int n = snprintf(buffer + used, size - used, "%s%" PRId64, i ? "x" : "", shape->dim[i]);
    if (n < 0)
      break;
    used += (size_t)n;
  }
  return buffer;
}

size_t dtype_size(enum dtype dtype)
{
  return dtype == DTYPE_F32 ? sizeof(float) : dtype == DTYPE_BF16 ? sizeof(uint16_t) : sizeof(int64_t);
}

int64_t tensor_count(const struct tensor *tensor)
{
  return shape_count(&tensor->shape);
}

size_t tensor_bytes(const struct tensor *tensor)
{
  int64_t count = tensor_count(tensor);
  return count < 0 ? SIZE_MAX : (size_t)count * dtype_size(tensor->dtype);
}

void tensor_strides(const struct tensor *tensor, int64_t stride[TENSOR_MAX_RANK])
{
  const struct shape *shape = &tensor->shape;
  if (tensor->layout == LAYOUT_CHANNELS_LAST && shape->rank == 4) {
    stride[1] = 1;
    stride[3] = shape->dim[1];
    stride[2] = stride[3] * shape->dim[3];
    stride[0] = stride[2] * shape->dim[2];
    return;
  }
  int64_t step = 1;
  for (int i = shape->rank - 1; i >= 0; i--) {
    stride[i] = step;
    step *= shape->dim[i];
  }
}

bool layout_same_bytes(const struct shape *shape)
{
  if (shape->rank != 4)
    return true;
  return shape->dim[1] == 1 || (shape->dim[2] == 1 && shape->dim[3] == 1);
}
