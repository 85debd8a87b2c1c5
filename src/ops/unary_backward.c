/* SPDX-License-Identifier: Apache-2.0 */
/* Derivatives of element-wise functions. Where a function has a kink the derivative is that of its flat side: Relu and
 * Clip at their bounds 0, Abs and Sign at 0, the others by the comparison that is written down. */
#include "ops/unary.h"

#include "base/bf16.h"
#include "base/threads.h"
#include "ops/loop.h"
#include "ops/reverse.h"
#include "tensor/simd.h"

#include <string.h>

#define ROW_BODY(name, SIMD, expression)                                                                               \
  static void name##_row(const struct function *f, int64_t n, const float *at, const float *g, float *to, bool add)    \
  {                                                                                                                    \
    const float a = f->a, b = f->b;                                                                                    \
    (void)a;                                                                                                           \
    (void)b;                                                                                                           \
    if (add) {                                                                                                         \
      SIMD for (int64_t i = 0; i < n; i++)                                                                             \
      {                                                                                                                \
        const float x = at[i];                                                                                         \
        to[i] += g[i] * (expression);                                                                                  \
      }                                                                                                                \
    } else {                                                                                                           \
      SIMD for (int64_t i = 0; i < n; i++)                                                                             \
      {                                                                                                                \
        const float x = at[i];                                                                                         \
        to[i] = g[i] * (expression);                                                                                   \
      }                                                                                                                \
    }                                                                                                                  \
  }
#define ROW(name, expression) SIMD_CLONES ROW_BODY(name, _Pragma("omp simd"), expression)
/* Calls into libm: nothing to vectorise. */
#define ROW_LIBM(name, expression) ROW_BODY(name, , expression)

/* exp that neither overflows nor goes through a branch: below -87 it is not told from 0 by any sum it enters here. */
static inline float exp_bounded(float x)
{
  x = x < -87.0f ? -87.0f : x;
  return exp_in_range(x > 87.0f ? 87.0f : x);
}

static inline float sigmoid_of(float x)
{
  const float e = exp_bounded(-fabsf(x));
  return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

/* x tanh(softplus x): with e = exp(-|x|), tanh(ln(1 + exp x)) is (1 + 2e) / (1 + 2e + 2e^2) for x >= 0 and
 * (e^2 + 2e) / (e^2 + 2e + 2) below. */
static inline float mish_derivative(float x)
{
  const float e = exp_bounded(-fabsf(x));
  const float t =
      x >= 0.0f ? (1.0f + 2.0f * e) / (1.0f + 2.0f * e + 2.0f * e * e) : (e * e + 2.0f * e) / (e * e + 2.0f * e + 2.0f);
  return t + x * (1.0f - t * t) * (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

/* tanh by exponentials; small arguments lose no more than the product it enters does. */
static inline float tanh_of(float x)
{
  const float e = exp_bounded(-2.0f * fabsf(x));
  return copysignf((1.0f - e) / (1.0f + e), x);
}

static inline float gelu_derivative(float x)
{
  return 0.5f * (1.0f + erf_anywhere(0.70710678118654752f * x)) + x * 0.39894228040143268f * exp_bounded(-0.5f * x * x);
}

static inline float gelu_tanh_derivative(float x)
{
  const float u = 0.79788456080286536f * (x + 0.044715f * x * x * x), t = tanh_of(u);
  return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * 0.79788456080286536f * (1.0f + 0.134145f * x * x);
}

/* x is the argument … */
ROW(leaky_relu, x > 0.0f ? 1.0f : a)
ROW(thresholded_relu, x > a ? 1.0f : 0.0f)
ROW(elu, x > 0.0f ? 1.0f : a * exp_bounded(x))
ROW(selu, x > 0.0f ? b : b * a * exp_bounded(x))
ROW_LIBM(celu, x > 0.0f ? 1.0f : expf(x / a))
ROW(hard_swish, x <= -3.0f ? 0.0f : (x >= 3.0f ? 1.0f : x * (1.0f / 3.0f) + 0.5f))
ROW(softplus, sigmoid_of(x))
ROW(softsign, 1.0f / ((1.0f + fabsf(x)) * (1.0f + fabsf(x))))
ROW(mish, mish_derivative(x))
ROW(gelu_erf, gelu_derivative(x))
ROW(gelu_tanh, gelu_tanh_derivative(x))
static void gelu_row(const struct function *f, int64_t n, const float *at, const float *g, float *to, bool add)
{
  (f->post.kind == UNARY_GELU_TANH ? gelu_tanh_row : gelu_erf_row)(f, n, at, g, to, add);
}

ROW(shrink, x<-a || x> a ? 1.0f : 0.0f)
ROW(log, 1.0f / x)
ROW(abs, x > 0.0f ? 1.0f : (x < 0.0f ? -1.0f : 0.0f))

ROW(erf, 1.12837916709551257f * exp_bounded(-x * x))
ROW_LIBM(sin, cosf(x))
ROW_LIBM(cos, -sinf(x))
ROW_LIBM(tan, 1.0f + tanf(x) * tanf(x))
ROW_LIBM(asin, 1.0f / sqrtf((1.0f - x) * (1.0f + x)))
ROW_LIBM(acos, -1.0f / sqrtf((1.0f - x) * (1.0f + x)))
ROW_LIBM(atan, 1.0f / (1.0f + x * x))
ROW_LIBM(sinh, coshf(x))
ROW_LIBM(cosh, sinhf(x))
ROW_LIBM(asinh, 1.0f / sqrtf(x * x + 1.0f))
ROW_LIBM(acosh, 1.0f / sqrtf((x - 1.0f) * (x + 1.0f)))
ROW_LIBM(atanh, 1.0f / ((1.0f - x) * (1.0f + x)))
/* … and here it is the result. */
ROW(relu, x > 0.0f ? 1.0f : 0.0f)
ROW(clip, x > a && x < b ? 1.0f : 0.0f)
ROW(sigmoid, x *(1.0f - x))
ROW(hard_sigmoid, x > 0.0f && x < 1.0f ? a : 0.0f)
ROW(tanh, (1.0f - x) * (1.0f + x))
ROW(exp, x)
ROW(sqrt, 0.5f / x)
ROW(reciprocal, -x *x)

/* The rectifier rules: r > 0 passes, under the guided one where the argument is positive too; relu and clip are asked
 * by their result, which for bounds of 0 and above tells as much. Clip must also be off its upper bound, where its
 * derivative is 0. */
SIMD_CLONES static void rectify_row(bool guided, int64_t n, const float *at, float above, float below, const float *g,
                                    float *to, bool add)
{
  for (int64_t i = 0; i < n; i++) {
    const float x = at ? at[i] : 0;
    const float r = g[i] > 0.0f && (!guided || (x > above && x < below)) ? g[i] : 0.0f;
    to[i] = add ? to[i] + r : r;
  }
}

static void neg_row(const struct function *f, int64_t n, const float *at, const float *g, float *to, bool add)
{
  (void)f;
  (void)at;
  for (int64_t i = 0; i < n; i++)
    to[i] = add ? to[i] - g[i] : -g[i];
}

struct part {
  const struct derivative *derivative;
  const struct function *f;
  enum rule rule;
  const float *at, *g;
  float *to;
  bool add;
};

/* Sigmoids are asked by their result, too, which says by another number than 0 that the argument is positive. */
static float result_at_zero(const struct part *p)
{
  return p->derivative->row == sigmoid_row ? 0.5f : p->derivative->row == hard_sigmoid_row ? p->f->b : 0;
}

static void part_run(void *context, int64_t begin, int64_t end)
{
  const struct part *p = context;
  const float *at = p->at ? p->at + begin : NULL;
  const bool rectifies = p->derivative->base.flags & (BACKWARD_RECTIFIES | BACKWARD_ACTIVATES);
  if (p->rule == RULE_GRADIENT || !rectifies)
    p->derivative->row(p->f, end - begin, at, p->g + begin, p->to + begin, p->add);
  else
    rectify_row(p->rule == RULE_GUIDED, end - begin, at, result_at_zero(p),
                p->derivative->row == clip_row ? p->f->b : INFINITY, p->g + begin, p->to + begin, p->add);
}

static bool unary_run(const struct reverse *r, struct error *err)
{
  const struct derivative *d = (const struct derivative *)r->node->op->backward;
  const void *at = d->base.keeps & BACKWARD_OUT ? r->out[0] : d->base.keeps ? r->in[0] : NULL;
  struct part part = {d, r->node->params, r->rule, at, r->from[0], r->to[0], r->add[0]};
  (void)err;
  threads_for(r->n * tensor_count(&r->node->in[0]->t), LOOP_GRAIN, part_run, &part);
  return true;
}

/* Flat everywhere. */
static bool flat_run(const struct reverse *r, struct error *err)
{
  (void)err;
  reverse_nothing(r, 0);
  return true;
}

/* Bounds must be constants for their signal not to be lost. */
static bool clip_sends(const struct node *node, enum rule rule, unsigned *inputs, struct error *err)
{
  (void)rule;
  *inputs &= BACKWARD_IN(0);
  for (int i = 1; i <= 2; i++)
    if (node_has(node, i) && !node->in[i]->t.data)
      return node_error(node, err, "its bounds are computed from the image: no derivative (no-gradient)");
  return true;
}

struct half_part {
  struct part part; /* at and g are set for a piece at a time */
  const uint16_t *y;
  uint16_t *g;
};

/* By the rows for float32, a piece at a time. */
static void half_part_run(void *context, int64_t begin, int64_t end)
{
  enum { PIECE = 1024 };
  const struct half_part *h = context;
  float y[PIECE], g[PIECE];
  for (int64_t i = begin; i < end; i += PIECE) {
    const int64_t n = end - i < PIECE ? end - i : PIECE;
    struct part part = h->part;
    for (int64_t k = 0; k < n; k++) {
      y[k] = h->y ? bf16_to_float(h->y[i + k]) : 0;
      g[k] = bf16_to_float(h->g[i + k]);
    }
    part.at = h->y ? y : NULL;
    part.g = part.to = g;
    part_run(&part, 0, n);
    for (int64_t k = 0; k < n; k++)
      h->g[i + k] = bf16_from_float(g[k]);
  }
}

/* Relu by the gradient's rule is a mask: the bits as they are, or 0. */
SIMD_CLONES static void half_mask(void *context, int64_t begin, int64_t end)
{
  const struct half_part *h = context;
  const int16_t *y = (const int16_t *)(const void *)h->y; /* the sign is that of the number */
  uint16_t *g = h->g;
  for (int64_t i = begin; i < end; i++)
    g[i] = y[i] > 0 ? g[i] : 0;
}

void unary_post_backward(struct post post, enum rule rule, enum dtype type, int64_t n, const void *y, void *g)
{
  static const struct derivative relu = {{.flags = BACKWARD_RECTIFIES}, relu_row},
                                 clip = {{.flags = BACKWARD_RECTIFIES}, clip_row};
  const struct function f = {.a = post.a, .b = post.b};
  struct part part = {post.kind == UNARY_RELU ? &relu : &clip, &f, rule, y, g, g, false};
  struct half_part half = {part, y, g};
  if (type != DTYPE_BF16)
    threads_for(n, LOOP_GRAIN, part_run, &part);
  else
    threads_for(n, LOOP_GRAIN, post.kind == UNARY_RELU && rule == RULE_GRADIENT ? half_mask : half_part_run, &half);
}

struct joint {
  const void *y, *more;
  void *g;
};

SIMD_CLONES static void joint_row(int64_t n, const float *y, const float *more, float *g)
{
  for (int64_t i = 0; i < n; i++)
    g[i] = (g[i] + more[i]) * (y[i] > 0.0f ? 1.0f : 0.0f);
}

static void joint_part(void *context, int64_t begin, int64_t end)
{
  const struct joint *j = context;
  joint_row(end - begin, (const float *)j->y + begin, (const float *)j->more + begin, (float *)j->g + begin);
}

SIMD_CLONES static void half_joint(void *context, int64_t begin, int64_t end)
{
  const struct joint *j = context;
  const uint16_t *more = j->more;
  const int16_t *y = j->y;
  uint16_t *g = j->g;
  for (int64_t i = begin; i < end; i++) {
    const uint16_t sum = bf16_from_float(bf16_to_float(g[i]) + bf16_to_float(more[i]));
    g[i] = y[i] > 0 ? sum : 0;
  }
}

void unary_relu_backward_sum(enum dtype type, int64_t n, const void *y, const void *more, void *g)
{
  struct joint joint = {y, more, g};
  threads_for(n, LOOP_GRAIN, type == DTYPE_BF16 ? half_joint : joint_part, &joint);
}

#define DERIVATIVE(name, kept, more)                                                                                   \
  const struct derivative derivative_##name = {                                                                        \
      {.flags = BACKWARD_ADDS | BACKWARD_INPLACE | (more), .keeps = kept, .run = unary_run}, name##_row}
#define OF_ARGUMENT(name) DERIVATIVE(name, BACKWARD_IN(0), 0)
#define OF_RESULT(name)   DERIVATIVE(name, BACKWARD_OUT, 0)
#define ACTIVATION(name)  DERIVATIVE(name, BACKWARD_IN(0), BACKWARD_ACTIVATES)
#define SATURATION(name)  DERIVATIVE(name, BACKWARD_OUT, BACKWARD_ACTIVATES)
#define FLAT(name)        const struct derivative derivative_##name = {{.flags = BACKWARD_ADDS, .run = flat_run}, NULL}

DERIVATIVE(relu, BACKWARD_OUT, BACKWARD_RECTIFIES);
const struct derivative derivative_clip = {{.flags = BACKWARD_ADDS | BACKWARD_INPLACE | BACKWARD_RECTIFIES,
                                            .keeps = BACKWARD_OUT,
                                            .sends = clip_sends,
                                            .run = unary_run},
                                           clip_row};
ACTIVATION(leaky_relu);
ACTIVATION(thresholded_relu);
ACTIVATION(elu);
ACTIVATION(selu);
ACTIVATION(celu);
ACTIVATION(hard_swish);
ACTIVATION(softplus);
ACTIVATION(softsign);
ACTIVATION(mish);
ACTIVATION(gelu);
ACTIVATION(shrink);
SATURATION(sigmoid);
SATURATION(hard_sigmoid);
SATURATION(tanh);
OF_ARGUMENT(log);
OF_ARGUMENT(abs);
DERIVATIVE(neg, 0, 0);
OF_ARGUMENT(erf);
OF_ARGUMENT(sin);
OF_ARGUMENT(cos);
OF_ARGUMENT(tan);
OF_ARGUMENT(asin);
OF_ARGUMENT(acos);
OF_ARGUMENT(atan);
OF_ARGUMENT(sinh);
OF_ARGUMENT(cosh);
OF_ARGUMENT(asinh);
OF_ARGUMENT(acosh);
OF_ARGUMENT(atanh);
OF_RESULT(exp);
OF_RESULT(sqrt);
OF_RESULT(reciprocal);
FLAT(floor);
FLAT(ceil);
FLAT(round);
FLAT(sign);
