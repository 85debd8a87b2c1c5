/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENUMBRA_OPS_BINARY_H
#define PENUMBRA_OPS_BINARY_H

#include "ops/loop.h"
#include "ops/op.h"

/* node->params of element-wise operators of two and more operands. */
struct binary {
  loop_row *row;
  int64_t grain;
  float scale;          /* of the variadic result: 1 / count for Mean */
  bool aligned;         /* the second operand's axes do not begin at the right: `right` is its shape for broadcasting */
  struct shape right;
};

extern const struct backward backward_add, backward_sub, backward_mul, backward_div, backward_pow, backward_mod,
  backward_prelu, backward_extremes, backward_mean, backward_where;

#endif
