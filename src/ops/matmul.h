/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENUMBRA_OPS_MATMUL_H
#define PENUMBRA_OPS_MATMUL_H

#include "ops/op.h"

/* [lead, m, k] x [lead, k, n] of one sample. */
struct matmul {
  int64_t m, k, n;
  struct shape lead, lead_a, lead_b; /* leading dimensions of the result and of the operands */
  bool weights;                      /* the right operand is one constant matrix */
};

/* True where scale, shift, residual and functions can be folded into this MatMul or Gemm. */
bool matmul_fuses(const struct node *node);

#endif
