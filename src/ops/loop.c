/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/loop.h"
#include "base/threads.h"
#include "tensor/simd.h"

#include <string.h>

void loop_begin(struct loop *loop, int operands)
{
  memset(loop, 0, sizeof *loop);
  loop->operands = operands;
  loop->rank = 1;
  loop->dim[0] = 1;
}

void loop_push(struct loop *loop, int64_t dim, const int64_t *stride)
{
  if (dim == 1)
    return;
  int last = loop->rank - 1;
  bool merges = true;
  for (int k = 0; k < loop->operands; k++)
    merges = merges && loop->stride[k][last] == stride[k] * dim;
  if (merges || loop->dim[last] == 1) {
    loop->dim[last] *= dim;
  } else {
    last = loop->rank++;
    loop->dim[last] = dim;
  }
  for (int k = 0; k < loop->operands; k++)
    loop->stride[k][last] = stride[k];
}

int64_t loop_count(const struct loop *loop)
{
  int64_t count = 1;
  for (int d = 0; d < loop->rank; d++)
    count *= loop->dim[d];
  return count;
}

void loop_order(const struct tensor *tensor, int order[TENSOR_MAX_RANK])
{
  for (int d = 0; d < TENSOR_MAX_RANK; d++)
    order[d] = d;
  if (tensor->layout == LAYOUT_CHANNELS_LAST)
    order[1] = 2, order[2] = 3, order[3] = 1;
}

void loop_broadcast(const struct tensor *tensor, const struct shape *out, int64_t stride[TENSOR_MAX_RANK])
{
  int64_t own[TENSOR_MAX_RANK];
  tensor_strides(tensor, own);
  int missing = out->rank - tensor->shape.rank;
  for (int d = 0; d < out->rank; d++)
    stride[d] = d < missing || tensor->shape.dim[d - missing] == 1 ? 0 : own[d - missing];
}

void loop_elementwise(struct loop *loop, const struct call *call, int inputs)
{
  const struct tensor *out = &call->node->out[0]->t;
  int64_t stride[LOOP_OPERANDS][TENSOR_MAX_RANK], step[LOOP_OPERANDS];
  int order[TENSOR_MAX_RANK];
  loop_order(out, order);
  tensor_strides(out, stride[0]);
  step[0] = tensor_count(out);
  for (int k = 0; k < inputs; k++) {
    const struct tensor *in = &call->node->in[k]->t;
    loop_broadcast(in, &out->shape, stride[1 + k]);
    step[1 + k] = call->in_batched[k] ? tensor_count(in) : 0;
  }
  loop_begin(loop, 1 + inputs);
  loop_push(loop, call->n, step);
  for (int d = 0; d < out->shape.rank; d++) {
    for (int k = 0; k < 1 + inputs; k++)
      step[k] = stride[k][order[d]];
    loop_push(loop, out->shape.dim[order[d]], step);
  }
}

struct run {
  const struct loop *loop;
  const size_t *size;
  void *const *base;
  loop_row *row;
  const void *context;
};

/* Elements [begin, end) of the nest in row-major order. */
static void run_part(void *context, int64_t begin, int64_t end)
{
  const struct run *run = context;
  const struct loop *loop = run->loop;
  int last = loop->rank - 1;
  int64_t index[LOOP_MAX_RANK] = {0}, stride[LOOP_OPERANDS], rest = begin;
  char *p[LOOP_OPERANDS];
  for (int d = last; d >= 0; d--) {
    index[d] = rest % loop->dim[d];
    rest /= loop->dim[d];
  }
  for (int k = 0; k < loop->operands; k++) {
    int64_t offset = 0;
    for (int d = 0; d <= last; d++)
      offset += index[d] * loop->stride[k][d];
    p[k] = (char *)run->base[k] + offset * (int64_t)run->size[k];
    stride[k] = loop->stride[k][last];
  }
  while (begin < end) {
    int64_t count = loop->dim[last] - index[last];
    if (count > end - begin)
      count = end - begin;
    run->row(run->context, count, p, stride);
    begin += count;
    if (begin >= end)
      return;
    /* The row ended at the end of the innermost dimension: step to the next one. */
    for (int k = 0; k < loop->operands; k++)
      p[k] -= index[last] * stride[k] * (int64_t)run->size[k];
    index[last] = 0;
    for (int d = last - 1; d >= 0; d--) {
      bool carry = ++index[d] == loop->dim[d];
      for (int k = 0; k < loop->operands; k++)
        p[k] += (carry ? 1 - loop->dim[d] : 1) * loop->stride[k][d] * (int64_t)run->size[k];
      if (!carry)
        break;
      index[d] = 0;
    }
  }
}

void loop_run(const struct loop *loop, const size_t *size, void *const *base, int64_t grain, loop_row *row,
              const void *context)
{
  struct run run = {loop, size, base, row, context};
  threads_for(loop_count(loop), grain, run_part, &run);
}

/* ---- data movement ---- */

#define COPY_ROW(T)                                                                                                    \
  static void copy_row_##T(int64_t n, T *to, int64_t st, const T *from, int64_t sf)                                    \
  {                                                                                                                    \
    if (st == 1 && sf == 0) {                                                                                          \
      T x = *from;                                                                                                     \
      for (int64_t i = 0; i < n; i++)                                                                                  \
        to[i] = x;                                                                                                     \
    } else if (st == 1) {                                                                                              \
      for (int64_t i = 0; i < n; i++)                                                                                  \
        to[i] = from[i * sf];                                                                                          \
    } else {                                                                                                           \
      for (int64_t i = 0; i < n; i++)                                                                                  \
        to[i * st] = from[i * sf];                                                                                     \
    }                                                                                                                  \
  }
COPY_ROW(uint32_t)
COPY_ROW(uint64_t)

static void copy_row(const void *context, int64_t n, char *const *p, const int64_t *stride)
{
  size_t size = *(const size_t *)context;
  if (stride[0] == 1 && stride[1] == 1)
    memcpy(p[0], p[1], (size_t)n * size);
  else if (size == 4)
    copy_row_uint32_t(n, (uint32_t *)(void *)p[0], stride[0], (const uint32_t *)(void *)p[1], stride[1]);
  else
    copy_row_uint64_t(n, (uint64_t *)(void *)p[0], stride[0], (const uint64_t *)(void *)p[1], stride[1]);
}

/* A permutation whose rows are dense in the result, while another dimension is dense in the source: tiles of that
 * plane keep both sides within cache lines. */
enum { TILE = 16 };
struct plane {
  struct loop outer;     /* the other dimensions */
  int64_t rows, columns; /* dense in the source; dense in the result */
  int64_t to_step, from_step; /* between rows of the result; between columns of the source */
  int64_t blocks;        /* tiles along rows */
  size_t size;
  char *to;
  const char *from;
};

#define COPY_TILE(T)                                                                                                   \
  SIMD_CLONES static void copy_tile_##T(int64_t rows, int64_t columns, T *restrict to, int64_t to_step,                \
                                        const T *restrict from, int64_t from_step)                                     \
  {                                                                                                                    \
    if (rows == TILE) {                                                                                                \
      for (int64_t c = 0; c < columns; c += TILE) {                                                                    \
        T tile[TILE][TILE];                                                                                            \
        int64_t width = columns - c < TILE ? columns - c : TILE;                                                       \
        for (int64_t j = 0; j < width; j++)                                                                            \
          for (int i = 0; i < TILE; i++)                                                                               \
            tile[i][j] = from[(c + j) * from_step + i];                                                                \
        for (int i = 0; i < TILE; i++)                                                                                 \
          memcpy(to + i * to_step + c, tile[i], (size_t)width * sizeof(T));                                            \
      }                                                                                                                \
      return;                                                                                                          \
    }                                                                                                                  \
    for (int64_t i = 0; i < rows; i++)                                                                                 \
      for (int64_t j = 0; j < columns; j++)                                                                            \
        to[i * to_step + j] = from[j * from_step + i];                                                                 \
  }
COPY_TILE(uint32_t)
COPY_TILE(uint64_t)

static void copy_planes(void *context, int64_t begin, int64_t end)
{
  const struct plane *plane = context;
  for (int64_t b = begin; b < end; b++) {
    int64_t rest = b / plane->blocks, row = b % plane->blocks * TILE, to = 0, from = 0;
    for (int d = plane->outer.rank - 1; d >= 0; d--) {
      int64_t i = rest % plane->outer.dim[d];
      rest /= plane->outer.dim[d];
      to += i * plane->outer.stride[0][d];
      from += i * plane->outer.stride[1][d];
    }
    to += row * plane->to_step;
    from += row;
    int64_t rows = plane->rows - row < TILE ? plane->rows - row : TILE;
    if (plane->size == 4)
      copy_tile_uint32_t(rows, plane->columns, (uint32_t *)(void *)plane->to + to, plane->to_step,
                         (const uint32_t *)(const void *)plane->from + from, plane->from_step);
    else
      copy_tile_uint64_t(rows, plane->columns, (uint64_t *)(void *)plane->to + to, plane->to_step,
                         (const uint64_t *)(const void *)plane->from + from, plane->from_step);
  }
}

void loop_copy(const struct loop *loop, size_t size, void *to, const void *from)
{
  int last = loop->rank - 1, dense = -1;
  if (loop_count(loop) == 0)
    return;
  if (loop->stride[0][last] == 1 && loop->stride[1][last] > 1)
    for (int d = 0; d < last; d++)
      if (loop->stride[1][d] == 1 && loop->stride[0][d] > 0)
        dense = d;
  if (dense < 0) {
    loop_run(loop, (size_t[]){size, size}, (void *const[]){to, (void *)from}, LOOP_GRAIN, copy_row, &size);
    return;
  }
  struct plane plane = {.rows = loop->dim[dense], .columns = loop->dim[last], .to_step = loop->stride[0][dense],
                        .from_step = loop->stride[1][last], .size = size, .to = to, .from = from};
  plane.blocks = (plane.rows + TILE - 1) / TILE;
  loop_begin(&plane.outer, 2);
  for (int d = 0; d < last; d++)
    if (d != dense)
      loop_push(&plane.outer, loop->dim[d], (const int64_t[]){loop->stride[0][d], loop->stride[1][d]});
  int64_t items = loop_count(&plane.outer) * plane.blocks;
  threads_for(items, 1 + LOOP_GRAIN / (TILE * plane.columns), copy_planes, &plane);
}

void loop_box(const struct call *call, const struct loop_box *box, const struct tensor *out, void *to,
              const struct tensor *in, const void *from, bool batched)
{
  size_t size = dtype_size(out->dtype);
  int order[TENSOR_MAX_RANK];
  struct loop loop;
  loop_order(out, order);
  loop_begin(&loop, 2);
  loop_push(&loop, call->n, (const int64_t[]){tensor_count(out), batched ? tensor_count(in) : 0});
  for (int d = 0; d < out->shape.rank; d++)
    loop_push(&loop, box->dim[order[d]], (const int64_t[]){box->to[order[d]], box->from[order[d]]});
  loop_copy(&loop, size, (char *)to + box->to_offset * (int64_t)size,
            (const char *)from + box->from_offset * (int64_t)size);
}

struct fill {
  char *to;
  size_t size;
  const void *element;
};

static void fill_part(void *context, int64_t begin, int64_t end)
{
  const struct fill *fill = context;
  if (fill->size == 4)
    copy_row_uint32_t(end - begin, (uint32_t *)(void *)fill->to + begin, 1, fill->element, 0);
  else
    copy_row_uint64_t(end - begin, (uint64_t *)(void *)fill->to + begin, 1, fill->element, 0);
}

void loop_fill(void *to, int64_t count, size_t size, const void *element)
{
  struct fill fill = {to, size, element};
  threads_for(count, LOOP_GRAIN, fill_part, &fill);
}
