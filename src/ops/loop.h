/* SPDX-License-Identifier: Apache-2.0 */
/* Nests of loops over strided operands: what element-wise operators and data movement have in common. Neighbouring
 * dimensions that every operand walks evenly are merged, so that dense work becomes one long row. */
#ifndef PENUMBRA_OPS_LOOP_H
#define PENUMBRA_OPS_LOOP_H

#include "ops/op.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOOP_MAX_RANK = 2 * TENSOR_MAX_RANK + 1, LOOP_OPERANDS = 4 };

struct loop {
  int rank, operands;
  int64_t dim[LOOP_MAX_RANK];                   /* outermost first, each > 1 unless rank is 1 */
  int64_t stride[LOOP_OPERANDS][LOOP_MAX_RANK]; /* elements */
};

/* Elements of work that pay for waking another thread: cheap (load, add, store) and costly (a transcendental). */
enum { LOOP_GRAIN = 32768, LOOP_GRAIN_COSTLY = 4096 };

void loop_begin(struct loop *loop, int operands);
/* Add the next inner dimension; stride[k] is the step of operand k. */
void loop_push(struct loop *loop, int64_t dim, const int64_t *stride);
int64_t loop_count(const struct loop *loop);

/* Logical dimensions in the order they lie in memory. */
void loop_order(const struct tensor *tensor, int order[TENSOR_MAX_RANK]);
/* Strides with which `tensor` is read when broadcast to `out` (0 where it is repeated), per logical dimension of it. */
void loop_broadcast(const struct tensor *tensor, const struct shape *out, int64_t stride[TENSOR_MAX_RANK]);
/* Nest of an element-wise call over n samples: operand 0 is out[0] as it lies in memory, operand 1 + k is in[k]. */
void loop_elementwise(struct loop *loop, const struct call *call, int inputs);

/* `count` elements from p[k] on, stride[k] elements apart; stride[0] is 1 where the result is dense. */
typedef void loop_row(const void *context, int64_t count, char *const *p, const int64_t *stride);
/* Run `row` over the nest. size[k]: bytes of an element of operand k. Rows are cut where threads meet, so that a row
 * must not depend on where it begins. */
void loop_run(const struct loop *loop, const size_t *size, void *const *base, int64_t grain, loop_row *row,
              const void *context);

/* Copy operand 1 to operand 0 element by element, any strides: permutes, repeats, cuts out, inserts. Writes must not
 * overlap. */
void loop_copy(const struct loop *loop, size_t size, void *to, const void *from);
/* A box of the result and the strided place of the input it comes from, for loop_box. */
struct loop_box {
  int64_t dim[TENSOR_MAX_RANK];
  int64_t to[TENSOR_MAX_RANK], from[TENSOR_MAX_RANK]; /* strides */
  int64_t to_offset, from_offset;                     /* elements */
};
/* Copy it for all samples of a call; `batched`: the input has one block for each. */
void loop_box(const struct call *call, const struct loop_box *box, const struct tensor *out, void *to,
              const struct tensor *in, const void *from, bool batched);
/* Fill `count` elements with one. */
void loop_fill(void *to, int64_t count, size_t size, const void *element);

#endif
