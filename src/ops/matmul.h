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

struct gemm {
  int64_t m, k, n;
  bool trans_a, trans_b;
  float alpha, beta;
  bool weights;  /* B is constant: packed, times alpha */
  bool plain_c;  /* C was taken as the shift */
};

enum matmul_way {
  MATMUL_ONE,     /* constant weights: [n*lead*m, k] x [k, n] */
  MATMUL_BATCHED, /* matrices pair up one by one */
  MATMUL_EACH,    /* broadcasting: a product at a time */
};
enum matmul_way matmul_way(const struct node *node);
/* Offset, in matrices, of the operand with leading shape `own` at position `index` of the broadcast shape. */
int64_t matmul_operand(const struct shape *own, const struct shape *all, int64_t index);
/* Rows of one sample are separate products with a constant: all samples are one. */
bool gemm_flat(const struct gemm *gemm);

extern const struct backward backward_matmul, backward_gemm;

/* True where scale, shift, residual and functions can be folded into this MatMul or Gemm. */
bool matmul_fuses(const struct node *node);

#endif
