/* SPDX-License-Identifier: Apache-2.0 */
/* What the ways back of several families share: moving signals along strided nests, and sums over what was broadcast.
 */
#ifndef PENUMBRA_OPS_REVERSE_H
#define PENUMBRA_OPS_REVERSE_H

#include "ops/loop.h"
#include "ops/op.h"

#include <stdbool.h>
#include <stdint.h>

/* Copy operand 1 of the nest to operand 0, or add it there. No element of operand 0 occurs twice. */
void reverse_move(const struct loop *loop, bool add, float *to, const float *from);
/* `count` elements: to = from, or to += from. */
void reverse_pass(bool add, float *to, const float *from, int64_t count);
/* The sum for signals of a type; bfloat16 is added in float32 and rounded. */
void reverse_add(enum dtype type, void *to, const void *from, int64_t count);
/* The same for a box, in the tensors' type: `to` and `from` of the box are strides of the two tensors' signals. */
void reverse_box(const struct reverse *r, const struct loop_box *box, bool add, const struct tensor *to_tensor,
                 float *to, const struct tensor *from_tensor, const float *from);
/* Nothing reaches input i, or nothing yet: zeros, unless its signal is to be added to. */
void reverse_nothing(const struct reverse *r, int i);

/* An operand of a sum: read as broadcast to the index space. */
struct reverse_source {
  const struct tensor *tensor;
  const void *data;
  bool batched; /* one block for each sample */
};
enum { REVERSE_SOURCES = LOOP_OPERANDS - 1 };

/* n neighbouring terms from p[k], stride[k] elements apart, into t. */
typedef void reverse_row(const void *context, int64_t n, const void *const *p, const int64_t *stride, float *t);

/* to = (or +=) the sum, over all elements of `space` that `target` is broadcast to, of terms of the sources at that
 * element; for all samples. Sums run in double, in the order in which `space` lies in memory. */
void reverse_sum(const struct reverse *r, const struct tensor *space, const struct tensor *target, float *to, bool add,
                 int sources, const struct reverse_source *source, reverse_row *row, const void *context);

/* Row for one source: the term is the source. */
void reverse_row_same(const void *context, int64_t n, const void *const *p, const int64_t *stride, float *t);

/* sends(): RULE_GRADIENT only, the other rules are not defined for the operator. */
bool reverse_gradient_only(const struct node *node, enum rule rule, unsigned *inputs, struct error *err);

#endif
