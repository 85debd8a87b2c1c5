/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise functions of one operand (ONNX operator specification, opsets 1 to 22). What is cheap is one vectorised
 * row; transcendental functions of float32 go through the kernels' generated code where they have it. */
#include "ops/unary.h"
#include "base/threads.h"
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "tensor/simd.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define ROW_BODY(name, A, R, SIMD, expression)                                                                         \
  static void name(const struct function *f, int64_t n, const void *in, void *out)                                     \
  {                                                                                                                    \
    const A *from = in;                                                                                                \
    R *to = out;                                                                                                       \
    const float a = f->a, b = f->b;                                                                                    \
    (void)a;                                                                                                           \
    (void)b;                                                                                                           \
    SIMD for (int64_t i = 0; i < n; i++)                                                                               \
    {                                                                                                                  \
      const A x = from[i];                                                                                             \
      to[i] = expression;                                                                                              \
    }                                                                                                                  \
  }
#define ROW(name, A, R, expression) SIMD_CLONES ROW_BODY(name, A, R, _Pragma("omp simd"), expression)
/* Calls into libm: nothing to vectorise. */
#define ROW_LIBM(name, expression) ROW_BODY(name, float, float, , expression)

/* A comparison that keeps NaN: only what is truly beyond a bound is moved. */
#define ATLEAST(x, bound) ((x) < (bound) ? (bound) : (x))
#define ATMOST(x, bound) ((x) > (bound) ? (bound) : (x))

ROW(relu_f32, float, float, ATLEAST(x, 0.0f))
ROW(relu_i64, int64_t, int64_t, ATLEAST(x, 0))
ROW(clip_f32, float, float, ATMOST(ATLEAST(x, a), b))
ROW(clip_i64, int64_t, int64_t, ATMOST(ATLEAST(x, f->low), f->high))
ROW(leaky_relu_f32, float, float, x < 0.0f ? a *x : x)
ROW(thresholded_relu_f32, float, float, x > a ? x : (x != x ? x : 0.0f))
ROW(hard_sigmoid_f32, float, float, ATMOST(ATLEAST(a *x + b, 0.0f), 1.0f))
ROW(hard_swish_f32, float, float, x *ATMOST(ATLEAST(x * (1.0f / 6.0f) + 0.5f, 0.0f), 1.0f))
ROW(softsign_f32, float, float, x / (1.0f + fabsf(x)))
ROW(shrink_f32, float, float, x < -a ? x + b : (x > a ? x - b : (x != x ? x : 0.0f)))
/* Not the kernels' softplus, which loses all digits where e^x is small against 1. */
ROW_LIBM(softplus_f32, ATLEAST(x, 0.0f) + log1pf(expf(-fabsf(x))))
ROW_LIBM(selu_f32, x > 0.0f ? b *x : b *a *expm1f(x))
ROW_LIBM(celu_f32, x > 0.0f ? x : a *expm1f(x / a))
ROW(abs_f32, float, float, fabsf(x))
ROW(abs_i64, int64_t, int64_t, (int64_t)(x < 0 ? 0 - (uint64_t)x : (uint64_t)x))
ROW(neg_f32, float, float, -x)
ROW(neg_i64, int64_t, int64_t, (int64_t)(0 - (uint64_t)x))
ROW(sign_f32, float, float, x > 0.0f ? 1.0f : (x < 0.0f ? -1.0f : x))
ROW(sign_i64, int64_t, int64_t, (x > 0) - (x < 0))
ROW(sqrt_f32, float, float, sqrtf(x))
ROW(reciprocal_f32, float, float, 1.0f / x)
ROW(floor_f32, float, float, floorf(x))
ROW(ceil_f32, float, float, ceilf(x))
ROW(round_f32, float, float, rintf(x))
ROW(erf_f32, float, float, erf_anywhere(x))
/* The kernels' logarithm is off by 1e-6 near 1, where the true one goes to 0. */
ROW_LIBM(log_f32, logf(x))
ROW_LIBM(sin_f32, sinf(x))
ROW_LIBM(cos_f32, cosf(x))
ROW_LIBM(tan_f32, tanf(x))
ROW_LIBM(asin_f32, asinf(x))
ROW_LIBM(acos_f32, acosf(x))
ROW_LIBM(atan_f32, atanf(x))
ROW_LIBM(sinh_f32, sinhf(x))
ROW_LIBM(cosh_f32, coshf(x))
ROW_LIBM(asinh_f32, asinhf(x))
ROW_LIBM(acosh_f32, acoshf(x))
ROW_LIBM(atanh_f32, atanhf(x))
ROW(not_i64, int64_t, int64_t, x == 0)
ROW(isnan_f32, float, int64_t, x != x)
ROW(isinf_f32, float, int64_t, (f->high && x > FLT_MAX) || (f->low && x < -FLT_MAX))
ROW(copy_i64, int64_t, int64_t, x)
ROW(zero_i64, int64_t, int64_t, 0 * x)

/* ---- shapes ---- */

/* The row for the operand's dtype; neither row: real numbers, through the kernel. */
static struct function *function_new(struct node *node, struct arena *arena, function_row *f32, function_row *i64,
                                     struct error *err)
{
  if (!f32 && i64 && !input_is(node, 0, DTYPE_I64, err))
    return NULL;
  bool integer = node->in[0]->t.dtype == DTYPE_I64;
  if (integer && !i64) {
    input_is(node, 0, DTYPE_F32, err);
    return NULL;
  }
  struct function *f = params_new(node, arena, sizeof *f, err);
  if (!f || !output_like(node, 0, node->in[0]->t.dtype, err))
    return NULL;
  f->row = integer ? i64 : f32;
  f->grain = LOOP_GRAIN;
  return f;
}

/* Functions without parameters. KERNEL: what the kernels call it. */
#define PLAIN(name, f32, i64, kernel, cost)                                                                            \
  static bool name##_shape(struct node *node, struct arena *arena, struct error *err)                                  \
  {                                                                                                                    \
    struct function *f = function_new(node, arena, f32, i64, err);                                                     \
    if (!f)                                                                                                            \
      return false;                                                                                                    \
    f->grain = cost;                                                                                                   \
    if (node->in[0]->t.dtype == DTYPE_F32)                                                                             \
      f->post.kind = kernel;                                                                                           \
    return true;                                                                                                       \
  }
PLAIN(relu, relu_f32, relu_i64, UNARY_RELU, LOOP_GRAIN)
PLAIN(hard_swish, hard_swish_f32, NULL, UNARY_HARD_SWISH, LOOP_GRAIN)
PLAIN(softsign, softsign_f32, NULL, UNARY_NONE, LOOP_GRAIN)
PLAIN(abs, abs_f32, abs_i64, UNARY_ABS, LOOP_GRAIN)
PLAIN(neg, neg_f32, neg_i64, UNARY_NONE, LOOP_GRAIN)
PLAIN(sign, sign_f32, sign_i64, UNARY_NONE, LOOP_GRAIN)
PLAIN(sqrt, sqrt_f32, NULL, UNARY_SQRT, LOOP_GRAIN)
PLAIN(reciprocal, reciprocal_f32, NULL, UNARY_NONE, LOOP_GRAIN)
PLAIN(floor, floor_f32, copy_i64, UNARY_NONE, LOOP_GRAIN)
PLAIN(ceil, ceil_f32, copy_i64, UNARY_NONE, LOOP_GRAIN)
PLAIN(round, round_f32, copy_i64, UNARY_NONE, LOOP_GRAIN)
PLAIN(erf, erf_f32, NULL, UNARY_NONE, LOOP_GRAIN_COSTLY)
PLAIN(softplus, softplus_f32, NULL, UNARY_NONE, LOOP_GRAIN_COSTLY)
PLAIN(log, log_f32, NULL, UNARY_NONE, LOOP_GRAIN_COSTLY)
PLAIN(sin, sin_f32, NULL, UNARY_NONE, LOOP_GRAIN_COSTLY)
PLAIN(cos, cos_f32, NULL, UNARY_NONE, LOOP_GRAIN_COSTLY)
PLAIN(tan, tan_f32, NULL, UNARY_NONE, LOOP_GRAIN_COSTLY)
PLAIN(asin, asin_f32, NULL, UNARY_NONE, LOOP_GRAIN_COSTLY)
PLAIN(acos, acos_f32, NULL, UNARY_NONE, LOOP_GRAIN_COSTLY)
PLAIN(atan, atan_f32, NULL, UNARY_NONE, LOOP_GRAIN_COSTLY)
PLAIN(sinh, sinh_f32, NULL, UNARY_NONE, LOOP_GRAIN_COSTLY)
PLAIN(cosh, cosh_f32, NULL, UNARY_NONE, LOOP_GRAIN_COSTLY)
PLAIN(asinh, asinh_f32, NULL, UNARY_NONE, LOOP_GRAIN_COSTLY)
PLAIN(acosh, acosh_f32, NULL, UNARY_NONE, LOOP_GRAIN_COSTLY)
PLAIN(atanh, atanh_f32, NULL, UNARY_NONE, LOOP_GRAIN_COSTLY)
PLAIN(not, NULL, not_i64, UNARY_NONE, LOOP_GRAIN)

/* Transcendental functions that kernels have; integers are not among their operands. */
#define KERNEL(name, kernel)                                                                                           \
  static bool name##_shape(struct node *node, struct arena *arena, struct error *err)                                  \
  {                                                                                                                    \
    struct function *f;                                                                                                \
    if (!input_is(node, 0, DTYPE_F32, err) || !(f = params_new(node, arena, sizeof *f, err)))                          \
      return false;                                                                                                    \
    f->post.kind = kernel;                                                                                             \
    return output_like(node, 0, DTYPE_F32, err);                                                                       \
  }
KERNEL(sigmoid, UNARY_SIGMOID)
KERNEL(tanh, UNARY_TANH)
KERNEL(mish, UNARY_MISH)
KERNEL(exp, UNARY_EXP)
KERNEL(gelu_of_erf, UNARY_GELU_ERF)
KERNEL(gelu_of_tanh, UNARY_GELU_TANH)

static bool gelu_shape(struct node *node, struct arena *arena, struct error *err)
{
  const char *approximate;
  if (!node_string(node, "approximate", "none", &approximate, err))
    return false;
  if (strcmp(approximate, "none") == 0)
    return gelu_of_erf_shape(node, arena, err);
  if (strcmp(approximate, "tanh") == 0)
    return gelu_of_tanh_shape(node, arena, err);
  return node_error(node, err, "approximate is '%.40s', not none or tanh", approximate);
}

/* Two real parameters a and b with their defaults; NULL: no such parameter. */
static struct function *function_with(struct node *node, struct arena *arena, function_row *f32, const char *a,
                                      double a_default, const char *b, double b_default, enum unary kernel,
                                      struct error *err)
{
  double va = a_default, vb = b_default;
  if (!input_is(node, 0, DTYPE_F32, err) || (a && !node_float(node, a, a_default, &va, err)) ||
      (b && !node_float(node, b, b_default, &vb, err)))
    return NULL;
  struct function *f = function_new(node, arena, f32, NULL, err);
  if (!f)
    return NULL;
  f->a = (float)va;
  f->b = (float)vb;
  f->post = (struct post){kernel, f->a, f->b};
  return f;
}

#define WITH(name, f32, a, a_default, b, b_default, kernel)                                                            \
  static bool name##_shape(struct node *node, struct arena *arena, struct error *err)                                  \
  {                                                                                                                    \
    return function_with(node, arena, f32, a, a_default, b, b_default, kernel, err) != NULL;                           \
  }
WITH(leaky_relu, leaky_relu_f32, "alpha", 0.01, NULL, 0, UNARY_LEAKY_RELU)
WITH(thresholded_relu, thresholded_relu_f32, "alpha", 1, NULL, 0, UNARY_NONE)
WITH(hard_sigmoid, hard_sigmoid_f32, "alpha", 0.2, "beta", 0.5, UNARY_HARD_SIGMOID)
WITH(elu, NULL, "alpha", 1, NULL, 0, UNARY_ELU)

static bool selu_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct function *f = function_with(node, arena, selu_f32, "alpha", 1.67326319217681884765625, "gamma",
                                     1.05070102214813232421875, UNARY_NONE, err);
  if (f)
    f->grain = LOOP_GRAIN_COSTLY;
  return f != NULL;
}

static bool celu_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct function *f = function_with(node, arena, celu_f32, "alpha", 1, NULL, 0, UNARY_NONE, err);
  if (f && f->a == 0)
    return node_error(node, err, "alpha is 0");
  if (f)
    f->grain = LOOP_GRAIN_COSTLY;
  return f != NULL;
}

static bool shrink_shape(struct node *node, struct arena *arena, struct error *err)
{
  double lambda, bias;
  if (!node_float(node, "lambd", 0.5, &lambda, err) || !node_float(node, "bias", 0, &bias, err))
    return false;
  struct function *f = function_new(node, arena, shrink_f32, NULL, err);
  if (!f)
    return false;
  f->a = (float)lambda;
  f->b = (float)bias;
  return true;
}

/* Results of tests: integers, whatever was tested. */
static bool test_shape(struct node *node, struct arena *arena, function_row *f32, bool low, bool high,
                       struct error *err)
{
  struct function *f = function_new(node, arena, f32, zero_i64, err);
  if (!f || !output_like(node, 0, DTYPE_I64, err))
    return false;
  f->low = low;
  f->high = high;
  return true;
}

static bool isnan_shape(struct node *node, struct arena *arena, struct error *err)
{
  return test_shape(node, arena, isnan_f32, false, false, err);
}

static bool isinf_shape(struct node *node, struct arena *arena, struct error *err)
{
  int64_t low, high;
  return node_int(node, "detect_negative", 1, &low, err) && node_int(node, "detect_positive", 1, &high, err) &&
         test_shape(node, arena, isinf_f32, low != 0, high != 0, err);
}

/* Bounds are attributes up to opset 6 (which set them to the range of float32) and inputs from opset 11 on. */
static bool clip_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct function *f = function_new(node, arena, clip_f32, clip_i64, err);
  if (!f)
    return false;
  double a, b;
  if (!node_float(node, "min", -INFINITY, &a, err) || !node_float(node, "max", INFINITY, &b, err))
    return false;
  f->a = (float)a;
  f->b = (float)b;
  f->low = INT64_MIN;
  f->high = INT64_MAX;
  bool constant = true;
  for (int i = 1; i <= 2; i++) {
    if (!node_has(node, i))
      continue;
    const struct tensor *t = &node->in[i]->t;
    if (!input_is(node, i, node->in[0]->t.dtype, err))
      return false;
    if (tensor_count(t) != 1)
      return node_error(node, err, "bound of shape %s is not a single number", INPUT_SHAPE(node, i));
    if (!t->data) {
      constant = false;
      continue;
    }
    if (t->dtype == DTYPE_F32)
      memcpy(i == 1 ? &f->a : &f->b, t->data, sizeof(float));
    else
      memcpy(i == 1 ? &f->low : &f->high, t->data, sizeof(int64_t));
  }
  /* A bound that varies is read at run time; it has no meaning for the kernels, and a > b has none for them either. */
  if (!constant || node->in[0]->t.dtype != DTYPE_F32 || !(f->a <= f->b))
    return true;
  if (f->a == 0 && f->b == INFINITY)
    f->post.kind = UNARY_RELU;
  else
    f->post = (struct post){UNARY_CLIP, f->a < -FLT_MAX ? -FLT_MAX : f->a, f->b > FLT_MAX ? FLT_MAX : f->b};
  return true;
}

/* ---- running ---- */

struct part {
  const struct function *f;
  const char *in;
  char *out;
  size_t in_size, out_size;
};

static void function_part(void *context, int64_t begin, int64_t end)
{
  const struct part *part = context;
  part->f->row(part->f, end - begin, part->in + begin * (int64_t)part->in_size,
               part->out + begin * (int64_t)part->out_size);
}

static bool function_prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                             struct error *err)
{
  const struct function *f = node->params;
  int64_t count = n * tensor_count(&node->out[0]->t);
  if (f->row || count == 0)
    return true;
  struct kernel *kernel = kernel_unary(compute, count, f->post, err);
  out->state = kernel;
  out->scratch = kernel ? kernel_scratch(kernel) : 0;
  return kernel != NULL;
}

static void function_release(void *state)
{
  kernel_free(state);
}

static bool function_forward(const struct call *call, struct error *err)
{
  const struct function *f = call->node->params;
  const struct node *node = call->node;
  int64_t count = call->n * tensor_count(&node->out[0]->t);
  if (count == 0)
    return true;
  if (!f->row)
    return kernel_run(call->state, call->in[0], NULL, NULL, call->out[0], call->scratch, err);
  struct part part = {f, call->in[0], call->out[0], dtype_size(node->in[0]->t.dtype),
                      dtype_size(node->out[0]->t.dtype)};
  threads_for(count, f->grain, function_part, &part);
  return true;
}

/* Bounds may vary with the sample. */
static bool clip_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  if (!(node_has(node, 1) && call->in_batched[1]) && !(node_has(node, 2) && call->in_batched[2]))
    return function_forward(call, err);
  int64_t count = tensor_count(&node->out[0]->t);
  size_t size = dtype_size(node->out[0]->t.dtype);
  for (int64_t s = 0; s < call->n; s++) {
    struct function f = *(const struct function *)node->params;
    for (int i = 1; i <= 2; i++) {
      if (!node_has(node, i))
        continue;
      const char *bound = (const char *)call->in[i] + (call->in_batched[i] ? s * (int64_t)size : 0);
      if (size == sizeof(float))
        memcpy(i == 1 ? &f.a : &f.b, bound, size);
      else
        memcpy(i == 1 ? &f.low : &f.high, bound, size);
    }
    int64_t offset = s * count * (int64_t)size;
    const char *in = (const char *)call->in[0] + (call->in_batched[0] ? offset : 0);
    struct part part = {&f, in, (char *)call->out[0] + offset, size, size};
    threads_for(count, f.grain, function_part, &part);
  }
  return true;
}

bool unary_post(const struct node *node, struct post *post)
{
  if (!node->op || !node->params || (node->op->forward != function_forward && node->op->forward != clip_forward))
    return false;
  const struct function *f = node->params;
  *post = f->post;
  return f->post.kind != UNARY_NONE;
}

#define UNARY_OP(name, first, lower)                                                                                   \
  {                                                                                                                    \
    .type = name, .since = first, .min_in = 1, .max_in = 1, .max_out = 1, .flags = OP_INPLACE | OP_POINTWISE,          \
    .shape = lower##_shape, .prepare = function_prepare, .release = function_release, .forward = function_forward,     \
    .backward = &derivative_##lower.base,                                                                              \
  }
/* The result has another dtype than the operand: never in place. */
#define UNARY_TEST(name, first, lower)                                                                                 \
  {                                                                                                                    \
    .type = name, .since = first, .min_in = 1, .max_in = 1, .max_out = 1, .flags = OP_POINTWISE,                       \
    .shape = lower##_shape, .prepare = function_prepare, .release = function_release, .forward = function_forward,     \
  }

OP_TABLE(unary) = {
  UNARY_OP("Relu", 1, relu),
  UNARY_OP("LeakyRelu", 1, leaky_relu),
  UNARY_OP("ThresholdedRelu", 1, thresholded_relu),
  UNARY_OP("Elu", 1, elu),
  UNARY_OP("Selu", 1, selu),
  UNARY_OP("Celu", 12, celu),
  UNARY_OP("Sigmoid", 1, sigmoid),
  UNARY_OP("HardSigmoid", 1, hard_sigmoid),
  UNARY_OP("HardSwish", 14, hard_swish),
  UNARY_OP("Tanh", 1, tanh),
  UNARY_OP("Softplus", 1, softplus),
  UNARY_OP("Softsign", 1, softsign),
  UNARY_OP("Mish", 18, mish),
  UNARY_OP("Gelu", 20, gelu),
  UNARY_OP("Shrink", 9, shrink),
  {.type = "Clip", .since = 1, .min_in = 1, .max_in = 3, .max_out = 1, .flags = OP_INPLACE | OP_POINTWISE,
   .shape = clip_shape, .prepare = function_prepare, .release = function_release, .forward = clip_forward,
   .backward = &derivative_clip.base},
  UNARY_OP("Exp", 1, exp),
  UNARY_OP("Log", 1, log),
  UNARY_OP("Sqrt", 1, sqrt),
  UNARY_OP("Abs", 1, abs),
  UNARY_OP("Neg", 1, neg),
  UNARY_OP("Reciprocal", 1, reciprocal),
  UNARY_OP("Floor", 1, floor),
  UNARY_OP("Ceil", 1, ceil),
  UNARY_OP("Round", 11, round),
  UNARY_OP("Sign", 9, sign),
  UNARY_OP("Erf", 9, erf),
  UNARY_OP("Sin", 7, sin),
  UNARY_OP("Cos", 7, cos),
  UNARY_OP("Tan", 7, tan),
  UNARY_OP("Asin", 7, asin),
  UNARY_OP("Acos", 7, acos),
  UNARY_OP("Atan", 7, atan),
  UNARY_OP("Sinh", 9, sinh),
  UNARY_OP("Cosh", 9, cosh),
  UNARY_OP("Asinh", 9, asinh),
  UNARY_OP("Acosh", 9, acosh),
  UNARY_OP("Atanh", 9, atanh),
  UNARY_TEST("Not", 1, not),
  UNARY_TEST("IsNaN", 9, isnan),
  UNARY_TEST("IsInf", 10, isinf),
  {.type = NULL},
};
