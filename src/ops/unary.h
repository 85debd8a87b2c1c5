/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of one operand: what fusion and the way back ask about them. */
#ifndef PENUMBRA_OPS_UNARY_H
#define PENUMBRA_OPS_UNARY_H

#include "ops/op.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

struct function;
typedef void function_row(const struct function *f, int64_t n, const void *in, void *out);

/* node->params of every operator of the family. */
struct function {
  struct post post;  /* the same function as a kernel has it, or UNARY_NONE */
  function_row *row; /* NULL: through the kernel */
  int64_t grain;
  float a, b;        /* parameters of the row */
  int64_t low, high; /* Clip of integers; 0/1 flags of IsInf */
};

/* The post that does what this node does, for fusion into its producer. False where no post can: other operators,
 * integers, bounds that are no constants. To be asked after the node's shape(). */
bool unary_post(const struct node *node, struct post *post);

/* to = (or +=) the derivative at `at`, which is argument or result as the operator keeps them, times the signal g. */
typedef void derivative_row(const struct function *f, int64_t n, const float *at, const float *g, float *to, bool add);

struct derivative {
  struct backward base; /* first: what the operator's table points to */
  derivative_row *row;
};

/* The way back through a fused Relu or Clip, in place: `y` is what it wrote, `g` the signal, n elements. */
void unary_post_backward(struct post post, enum rule rule, enum dtype type, int64_t n, const void *y, void *g);
/* The same of g + more, for a Relu and the plain gradient. */
void unary_relu_backward_sum(enum dtype type, int64_t n, const void *y, const void *more, void *g);

extern const struct derivative derivative_relu, derivative_leaky_relu, derivative_thresholded_relu, derivative_elu,
    derivative_selu, derivative_celu, derivative_sigmoid, derivative_hard_sigmoid, derivative_hard_swish,
    derivative_tanh, derivative_softplus, derivative_softsign, derivative_mish, derivative_gelu, derivative_shrink,
    derivative_exp, derivative_log, derivative_sqrt, derivative_abs, derivative_neg, derivative_reciprocal,
    derivative_floor, derivative_ceil, derivative_round, derivative_sign, derivative_erf, derivative_sin,
    derivative_cos, derivative_tan, derivative_asin, derivative_acos, derivative_atan, derivative_sinh, derivative_cosh,
    derivative_asinh, derivative_acosh, derivative_atanh, derivative_clip;

/* exp for arguments in [-87, 88], relative error below 2e-7; written without a branch so that a loop over it is
 * vectorised. exp(x) = 2^k exp(r) with |r| <= ln(2)/2, exp(r) by a polynomial fitted for least relative error. */
static inline float exp_in_range(float x)
{
  float k = rintf(x * 1.44269504f);
  float r = x - k * 0.693359375f + k * 2.12194440e-4f;
  float p = 0.00138368419f;
  p = p * r + 0.00837481578f;
  p = p * r + 0.0416682256f;
  p = p * r + 0.166664202f;
  p = p * r + 0.499999921f;
  p = p * r + 1.00000004f;
  p = p * r + 1.0f;
  union {
    uint32_t bits;
    float value;
  } scale = {(uint32_t)((int32_t)k + 127) << 23};
  return p * scale.value;
}

/* The error function, absolute error below 1.2e-7 and relative below 3e-7: x P(x^2) up to 1, 1 - exp(Q(|x|)) from there
 * to 4, 1 beyond; P and Q fitted for least error. NaN stays NaN. */
static inline float erf_anywhere(float x)
{
  float u = fabsf(x), t = x * x;
  float p = 7.85385772e-05f;
  p = p * t - 0.000801019252f;
  p = p * t + 0.00518832756f;
  p = p * t - 0.0268538119f;
  p = p * t + 0.112835851f;
  p = p * t - 0.376126258f;
  p = p * t + 1.12837917f;
  float v = u > 4.0f ? 4.0f : u;
  v = v >= 1.0f ? v : 1.0f;
  float q = -2.16868499e-05f;
  q = q * v + 0.000441336377f;
  q = q * v - 0.00420456187f;
  q = q * v + 0.0252082567f;
  q = q * v - 0.108418577f;
  q = q * v - 0.633219893f;
  q = q * v - 1.12957842f;
  q = q * v + 0.00018804023f;
  float far = copysignf(1.0f - exp_in_range(q), x);
  return u >= 1.0f ? far : x * p;
}

#endif
