/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise operators of two and more operands with NumPy broadcasting: arithmetic, comparison, logic, selection.
 * Integers are 64 bits wide whatever the file says, so that what overflows a narrower type does not wrap here. */
#include "base/threads.h"
#include "ops/binary.h"
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "tensor/simd.h"

#include <math.h>
#include <string.h>

/* A row of R = expression(x of A, y of B). The operand that does not move is what broadcasting mostly leaves: a scalar,
 * or one number per channel of a row-major map. The result may be either operand. */
#define ROW(name, R, A, B, expression) ROW_WITH(name, R, A, B, SIMD_CLONES, _Pragma("omp simd"), expression)
/* Calls and divisions of integers: nothing to vectorise. */
#define ROW_PLAIN(name, R, A, B, expression) ROW_WITH(name, R, A, B, , , expression)
#define ROW_WITH(name, R, A, B, CLONES, SIMD, expression)                                                              \
  CLONES static void name(const void *context, int64_t n, char *const *p, const int64_t *stride)                       \
  {                                                                                                                    \
    R *to = (R *)(void *)p[0];                                                                                         \
    const A *u = (const A *)(const void *)p[1];                                                                        \
    const B *v = (const B *)(const void *)p[2];                                                                        \
    const int64_t su = stride[1], sv = stride[2];                                                                      \
    (void)context;                                                                                                     \
    if (su == 1 && sv == 1) {                                                                                          \
      SIMD for (int64_t i = 0; i < n; i++)                                                                             \
      {                                                                                                                \
        const A x = u[i];                                                                                              \
        const B y = v[i];                                                                                              \
        to[i] = expression;                                                                                            \
      }                                                                                                                \
    } else if (su == 1 && sv == 0) {                                                                                   \
      const B y = *v;                                                                                                  \
      SIMD for (int64_t i = 0; i < n; i++)                                                                             \
      {                                                                                                                \
        const A x = u[i];                                                                                              \
        to[i] = expression;                                                                                            \
      }                                                                                                                \
    } else if (su == 0 && sv == 1) {                                                                                   \
      const A x = *u;                                                                                                  \
      SIMD for (int64_t i = 0; i < n; i++)                                                                             \
      {                                                                                                                \
        const B y = v[i];                                                                                              \
        to[i] = expression;                                                                                            \
      }                                                                                                                \
    } else {                                                                                                           \
      for (int64_t i = 0; i < n; i++) {                                                                                \
        const A x = u[i * su];                                                                                         \
        const B y = v[i * sv];                                                                                         \
        to[i] = expression;                                                                                            \
      }                                                                                                                \
    }                                                                                                                  \
  }

/* Integer arithmetic that is defined for every operand: wraps at 64 bits, and a division by zero gives zero. */
static inline int64_t wrap_add(int64_t x, int64_t y)
{
  return (int64_t)((uint64_t)x + (uint64_t)y);
}

static inline int64_t wrap_sub(int64_t x, int64_t y)
{
  return (int64_t)((uint64_t)x - (uint64_t)y);
}

static inline int64_t wrap_mul(int64_t x, int64_t y)
{
  return (int64_t)((uint64_t)x * (uint64_t)y);
}

static inline int64_t divide(int64_t x, int64_t y)
{
  if (y == 0)
    return 0;
  return y == -1 ? wrap_sub(0, x) : x / y;
}

/* Remainder with the sign of the divisor (fmod = 0) or of the dividend. */
static inline int64_t remainder_floor(int64_t x, int64_t y)
{
  if (y == 0 || y == -1)
    return 0;
  int64_t r = x % y;
  return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

static inline int64_t remainder_truncated(int64_t x, int64_t y)
{
  return y == 0 || y == -1 ? 0 : x % y;
}

static inline float remainder_floor_f32(float x, float y)
{
  float r = fmodf(x, y);
  return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

/* x to the power y >= 0 by squaring; a negative power of an integer is 0 except of 1 and -1. */
static int64_t power(int64_t x, int64_t y)
{
  if (y < 0)
    return x == 1 ? 1 : (x == -1 ? (y % 2 ? -1 : 1) : 0);
  int64_t result = 1;
  for (; y; y >>= 1) {
    if (y & 1)
      result = wrap_mul(result, x);
    x = wrap_mul(x, x);
  }
  return result;
}

/* Real to integer without undefined behaviour: clamps, NaN gives 0. */
static inline int64_t integer_of(double x)
{
  if (!(x > -9.2e18))
    return x != x ? 0 : INT64_MIN;
  return x > 9.2e18 ? INT64_MAX : (int64_t)x;
}

static inline int64_t shift_left(int64_t x, int64_t y)
{
  return y < 0 || y > 63 ? 0 : (int64_t)((uint64_t)x << y);
}

static inline int64_t shift_right(int64_t x, int64_t y)
{
  return y < 0 || y > 63 ? 0 : (int64_t)((uint64_t)x >> y);
}

ROW(add_f32, float, float, float, x + y)
ROW(sub_f32, float, float, float, x - y)
ROW(mul_f32, float, float, float, x *y)
ROW(div_f32, float, float, float, x / y)
/* A NaN of either side stays, as in NumPy. */
ROW(min_f32, float, float, float, x < y || x != x ? x : y)
ROW(max_f32, float, float, float, x > y || x != x ? x : y)
ROW(prelu_f32, float, float, float, x < 0.0f ? x *y : x)
ROW(equal_f32, int64_t, float, float, x == y)
ROW(greater_f32, int64_t, float, float, x > y)
ROW(less_f32, int64_t, float, float, x < y)
ROW(greater_equal_f32, int64_t, float, float, x >= y)
ROW(less_equal_f32, int64_t, float, float, x <= y)
ROW(add_i64, int64_t, int64_t, int64_t, wrap_add(x, y))
ROW(sub_i64, int64_t, int64_t, int64_t, wrap_sub(x, y))
ROW(mul_i64, int64_t, int64_t, int64_t, wrap_mul(x, y))
ROW_PLAIN(div_i64, int64_t, int64_t, int64_t, divide(x, y))
ROW(min_i64, int64_t, int64_t, int64_t, x < y ? x : y)
ROW(max_i64, int64_t, int64_t, int64_t, x > y ? x : y)
ROW(prelu_i64, int64_t, int64_t, int64_t, x < 0 ? wrap_mul(x, y) : x)
ROW(equal_i64, int64_t, int64_t, int64_t, x == y)
ROW(greater_i64, int64_t, int64_t, int64_t, x > y)
ROW(less_i64, int64_t, int64_t, int64_t, x < y)
ROW(greater_equal_i64, int64_t, int64_t, int64_t, x >= y)
ROW(less_equal_i64, int64_t, int64_t, int64_t, x <= y)
ROW(and_i64, int64_t, int64_t, int64_t, x != 0 && y != 0)
ROW(or_i64, int64_t, int64_t, int64_t, x != 0 || y != 0)
ROW(xor_i64, int64_t, int64_t, int64_t, (x != 0) != (y != 0))
ROW(bit_and_i64, int64_t, int64_t, int64_t, x &y)
ROW(bit_or_i64, int64_t, int64_t, int64_t, x | y)
ROW(bit_xor_i64, int64_t, int64_t, int64_t, x ^ y)
ROW(shift_left_i64, int64_t, int64_t, int64_t, shift_left(x, y))
ROW(shift_right_i64, int64_t, int64_t, int64_t, shift_right(x, y))
ROW_PLAIN(mod_i64, int64_t, int64_t, int64_t, remainder_floor(x, y))
ROW_PLAIN(fmod_i64, int64_t, int64_t, int64_t, remainder_truncated(x, y))
ROW_PLAIN(mod_f32, float, float, float, remainder_floor_f32(x, y))
ROW_PLAIN(fmod_f32, float, float, float, fmodf(x, y))
ROW_PLAIN(pow_f32_any, float, float, float, powf(x, y))
ROW_PLAIN(pow_f32_i64, float, float, int64_t, (float)pow((double)x, (double)y))
ROW_PLAIN(pow_i64_f32, int64_t, int64_t, float, integer_of(pow((double)x, (double)y)))
ROW_PLAIN(pow_i64_i64, int64_t, int64_t, int64_t, power(x, y))
/* Powers of which networks are made: variances, their roots, cubes of the tanh form of GELU. */
ROW(square_f32, float, float, float, ((void)y, x *x))
ROW(cube_f32, float, float, float, ((void)y, x *x *x))
ROW(root_f32, float, float, float, ((void)y, sqrtf(x)))
ROW(inverse_root_f32, float, float, float, ((void)y, 1.0f / sqrtf(x)))

static void pow_f32(const void *context, int64_t n, char *const *p, const int64_t *stride)
{
  float y = *(const float *)(const void *)p[2];
  loop_row *row = pow_f32_any;
  if (stride[2] == 0 && y == 2.0f)
    row = square_f32;
  else if (stride[2] == 0 && y == 3.0f)
    row = cube_f32;
  else if (stride[2] == 0 && y == 0.5f)
    row = root_f32;
  else if (stride[2] == 0 && y == -0.5f)
    row = inverse_root_f32;
  row(context, n, p, stride);
}

static bool binary_new(struct node *node, struct arena *arena, loop_row *f32, loop_row *i64, enum dtype result,
                       struct error *err)
{
  enum dtype dtype = node->in[0]->t.dtype;
  for (int i = 1; i < node->n_in; i++) {
    if (!node->in[i])
      return node_error(node, err, "input %d is missing", i);
    if (!input_is(node, i, dtype, err))
      return false;
  }
  loop_row *row = dtype == DTYPE_F32 ? f32 : i64;
  if (!row)
    return input_is(node, 0, dtype == DTYPE_F32 ? DTYPE_I64 : DTYPE_F32, err);
  struct binary *b = params_new(node, arena, sizeof *b, err);
  if (!b)
    return false;
  b->row = row;
  b->grain = LOOP_GRAIN;
  b->scale = 1;
  return output_broadcast(node, result, 0, node->n_in, err);
}

/* Up to opset 6 the second operand broadcasts in one direction only, and its axes may begin at `axis` of the first. */
static bool binary_aligned(struct node *node, struct arena *arena, loop_row *f32, loop_row *i64, enum dtype result,
                           int64_t axis, struct error *err)
{
  struct shape own = node->in[1]->t.shape, *shape = &node->in[1]->t.shape;
  int rank = node->in[0]->t.shape.rank;
  if (axis < 0 || axis + own.rank > rank)
    return node_error(node, err, "axis %lld does not place shape %s in %s", (long long)axis, INPUT_SHAPE(node, 1),
                      INPUT_SHAPE(node, 0));
  if (own.rank == 4 && node->in[1]->t.layout == LAYOUT_CHANNELS_LAST)
    axis = 0;
  for (int d = own.rank; d < rank - (int)axis; d++)
    shape->dim[shape->rank++] = 1;
  bool ok = binary_new(node, arena, f32, i64, result, err);
  struct binary *b = node->params;
  if (ok) {
    b->aligned = true;
    b->right = *shape;
  }
  *shape = own;
  return ok;
}

static bool binary_shape(struct node *node, struct arena *arena, loop_row *f32, loop_row *i64, enum dtype result,
                         struct error *err)
{
  int64_t axis = -1;
  if (node->opset < 7 && *node->domain == '\0' && !node_int(node, "axis", -1, &axis, err))
    return false;
  if (axis != -1)
    return binary_aligned(node, arena, f32, i64, result, axis < 0 ? axis + node->in[0]->t.shape.rank : axis, err);
  return binary_new(node, arena, f32, i64, result, err);
}

#define SHAPE(name, f32, i64, result)                                                                                  \
  static bool name##_shape(struct node *node, struct arena *arena, struct error *err)                                  \
  {                                                                                                                    \
    return binary_shape(node, arena, f32, i64, result, err);                                                           \
  }
#define SAME node->in[0]->t.dtype
SHAPE(add, add_f32, add_i64, SAME)
SHAPE(sub, sub_f32, sub_i64, SAME)
SHAPE(mul, mul_f32, mul_i64, SAME)
SHAPE(div, div_f32, div_i64, SAME)
SHAPE(min, min_f32, min_i64, SAME)
SHAPE(max, max_f32, max_i64, SAME)
SHAPE(equal, equal_f32, equal_i64, DTYPE_I64)
SHAPE(greater, greater_f32, greater_i64, DTYPE_I64)
SHAPE(less, less_f32, less_i64, DTYPE_I64)
SHAPE(greater_equal, greater_equal_f32, greater_equal_i64, DTYPE_I64)
SHAPE(less_equal, less_equal_f32, less_equal_i64, DTYPE_I64)
SHAPE(and, NULL, and_i64, DTYPE_I64)
SHAPE(or, NULL, or_i64, DTYPE_I64)
SHAPE(xor, NULL, xor_i64, DTYPE_I64)
SHAPE(bit_and, NULL, bit_and_i64, DTYPE_I64)
SHAPE(bit_or, NULL, bit_or_i64, DTYPE_I64)
SHAPE(bit_xor, NULL, bit_xor_i64, DTYPE_I64)

static bool mean_shape(struct node *node, struct arena *arena, struct error *err)
{
  if (!binary_new(node, arena, add_f32, NULL, DTYPE_F32, err))
    return false;
  ((struct binary *)node->params)->scale = 1.0f / (float)node->n_in;
  return true;
}

static bool mod_shape(struct node *node, struct arena *arena, struct error *err)
{
  int64_t fmod_like;
  if (!node_int(node, "fmod", 0, &fmod_like, err))
    return false;
  return fmod_like ? binary_shape(node, arena, fmod_f32, fmod_i64, SAME, err)
                   : binary_shape(node, arena, mod_f32, mod_i64, SAME, err);
}

static bool shift_shape(struct node *node, struct arena *arena, struct error *err)
{
  const char *direction;
  if (!node_string(node, "direction", "", &direction, err))
    return false;
  if (strcmp(direction, "LEFT") != 0 && strcmp(direction, "RIGHT") != 0)
    return node_error(node, err, "direction is '%.40s', not LEFT or RIGHT", direction);
  return binary_shape(node, arena, NULL, *direction == 'L' ? shift_left_i64 : shift_right_i64, DTYPE_I64, err);
}

static bool pow_shape(struct node *node, struct arena *arena, struct error *err)
{
  bool base_real = node->in[0]->t.dtype == DTYPE_F32, power_real = node->in[1]->t.dtype == DTYPE_F32;
  if (base_real && power_real) {
    if (!binary_shape(node, arena, pow_f32, NULL, DTYPE_F32, err))
      return false;
    if (!node->in[1]->t.data)
      ((struct binary *)node->params)->grain = LOOP_GRAIN_COSTLY;
    return true;
  }
  struct binary *b = params_new(node, arena, sizeof *b, err);
  if (!b)
    return false;
  b->row = base_real ? pow_f32_i64 : (power_real ? pow_i64_f32 : pow_i64_i64);
  b->grain = LOOP_GRAIN_COSTLY;
  b->scale = 1;
  return output_broadcast(node, SAME, 0, 2, err);
}

/* One-directional: the slope broadcasts to the operand, never the other way. Up to opset 6 it has one number per
 * channel. */
static bool prelu_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *x = &node->in[0]->t, *slope = &node->in[1]->t;
  bool per_channel = node->opset < 7 && slope->shape.rank == 1 && x->shape.rank >= 2 &&
                     slope->shape.dim[0] == x->shape.dim[1];
  bool ok = per_channel ? binary_aligned(node, arena, prelu_f32, prelu_i64, SAME, 1, err)
                        : binary_new(node, arena, prelu_f32, prelu_i64, SAME, err);
  if (!ok)
    return false;
  if (!shape_equal(&node->out[0]->t.shape, &x->shape))
    return node_error(node, err, "slope of shape %s does not broadcast to %s", INPUT_SHAPE(node, 1),
                      INPUT_SHAPE(node, 0));
  node->out[0]->t.layout = x->layout;
  return true;
}

/* The nest of out = row(left, right), where left is in[i] or, for i < 0, what out holds already. */
static void binary_run(const struct call *call, int i, int j)
{
  const struct node *node = call->node;
  const struct binary *b = node->params;
  const struct tensor *out = &node->out[0]->t;
  struct value left = i < 0 ? *node->out[0] : *node->in[i], right = *node->in[j];
  if (b->aligned)
    right.t.shape = b->right;
  struct node pair = {.in = (struct value *[]){&left, &right}, .n_in = 2, .out = node->out, .n_out = 1};
  struct call part = {.node = &pair, .n = call->n,
                      .in_batched = (const bool[]){i < 0 || call->in_batched[i], call->in_batched[j]}};
  struct loop loop;
  loop_elementwise(&loop, &part, 2);
  size_t size = dtype_size(left.t.dtype);
  loop_run(&loop, (size_t[]){dtype_size(out->dtype), size, dtype_size(right.t.dtype)},
           (void *const[]){call->out[0], i < 0 ? call->out[0] : (void *)call->in[i], (void *)call->in[j]}, b->grain,
           b->row, NULL);
}

static bool binary_forward(const struct call *call, struct error *err)
{
  (void)err;
  binary_run(call, 0, 1);
  return true;
}

ROW(scale_f32, float, float, float, x *y)

/* Any number of operands, from left to right. The result may not share storage with an operand: the second step would
 * read what the first has written. */
static bool variadic_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct binary *b = node->params;
  const struct tensor *out = &node->out[0]->t;
  (void)err;
  if (node->n_in == 1) {
    int64_t count = call->n * tensor_count(out);
    memcpy(call->out[0], call->in[0], (size_t)count * dtype_size(out->dtype));
    return true;
  }
  binary_run(call, 0, 1);
  for (int i = 2; i < node->n_in; i++)
    binary_run(call, -1, i);
  if (b->scale != 1.0f) {
    struct loop loop;
    loop_begin(&loop, 3);
    loop_push(&loop, call->n * tensor_count(out), (const int64_t[]){1, 1, 0});
    loop_run(&loop, (size_t[]){4, 4, 4}, (void *const[]){call->out[0], call->out[0], (void *)&b->scale}, LOOP_GRAIN,
             scale_f32, NULL);
  }
  return true;
}

/* ---- Where ---- */

#define SELECT(T)                                                                                                      \
  SIMD_CLONES static void select_##T(int64_t n, T *to, const int64_t *c, int64_t sc, const T *u, int64_t su,           \
                                     const T *v, int64_t sv)                                                           \
  {                                                                                                                    \
    if (sc == 1 && su == 1 && sv == 1) {                                                                               \
      _Pragma("omp simd") for (int64_t i = 0; i < n; i++) to[i] = c[i] ? u[i] : v[i];                                  \
    } else if (sc == 1 && su == 1 && sv == 0) {                                                                        \
      const T y = *v;                                                                                                  \
      _Pragma("omp simd") for (int64_t i = 0; i < n; i++) to[i] = c[i] ? u[i] : y;                                     \
    } else if (sc == 1 && su == 0 && sv == 1) {                                                                        \
      const T x = *u;                                                                                                  \
      _Pragma("omp simd") for (int64_t i = 0; i < n; i++) to[i] = c[i] ? x : v[i];                                     \
    } else {                                                                                                           \
      for (int64_t i = 0; i < n; i++)                                                                                  \
        to[i] = c[i * sc] ? u[i * su] : v[i * sv];                                                                     \
    }                                                                                                                  \
  }
SELECT(uint32_t)
SELECT(uint64_t)

static void select_row(const void *context, int64_t n, char *const *p, const int64_t *s)
{
  const int64_t *c = (const int64_t *)(const void *)p[1];
  if (*(const size_t *)context == 4)
    select_uint32_t(n, (uint32_t *)(void *)p[0], c, s[1], (const uint32_t *)(void *)p[2], s[2],
                    (const uint32_t *)(void *)p[3], s[3]);
  else
    select_uint64_t(n, (uint64_t *)(void *)p[0], c, s[1], (const uint64_t *)(void *)p[2], s[2],
                    (const uint64_t *)(void *)p[3], s[3]);
}

static bool where_shape(struct node *node, struct arena *arena, struct error *err)
{
  (void)arena;
  enum dtype dtype = node->in[1]->t.dtype;
  if (!input_is(node, 0, DTYPE_I64, err) || !input_is(node, 2, dtype, err) || !output_broadcast(node, dtype, 0, 3, err))
    return false;
  node->out[0]->t.element = node->in[1]->t.element;
  return true;
}

static bool where_forward(const struct call *call, struct error *err)
{
  (void)err;
  struct loop loop;
  loop_elementwise(&loop, call, 3);
  size_t size = dtype_size(call->node->out[0]->t.dtype);
  loop_run(&loop, (size_t[]){size, sizeof(int64_t), size, size},
           (void *const[]){call->out[0], (void *)call->in[0], (void *)call->in[1], (void *)call->in[2]}, LOOP_GRAIN,
           select_row, &size);
  return true;
}

#define BINARY_OP(name, lower, reverse)                                                                                \
  {                                                                                                                    \
    .type = name, .since = 1, .min_in = 2, .max_in = 2, .max_out = 1, .flags = OP_INPLACE | OP_POINTWISE,              \
    .shape = lower##_shape, .forward = binary_forward, .backward = reverse,                                            \
  }
#define VARIADIC_OP(name, lower, reverse)                                                                              \
  {                                                                                                                    \
    .type = name, .since = 1, .min_in = 1, .max_in = -1, .max_out = 1, .flags = OP_POINTWISE, .shape = lower##_shape,  \
    .forward = variadic_forward, .backward = reverse,                                                                  \
  }

OP_TABLE(binary) = {
  BINARY_OP("Add", add, &backward_add),
  BINARY_OP("Sub", sub, &backward_sub),
  BINARY_OP("Mul", mul, &backward_mul),
  BINARY_OP("Div", div, &backward_div),
  BINARY_OP("Pow", pow, &backward_pow),
  BINARY_OP("Mod", mod, &backward_mod),
  BINARY_OP("PRelu", prelu, &backward_prelu),
  BINARY_OP("Equal", equal, NULL),
  BINARY_OP("Greater", greater, NULL),
  BINARY_OP("Less", less, NULL),
  BINARY_OP("GreaterOrEqual", greater_equal, NULL),
  BINARY_OP("LessOrEqual", less_equal, NULL),
  BINARY_OP("And", and, NULL),
  BINARY_OP("Or", or, NULL),
  BINARY_OP("Xor", xor, NULL),
  BINARY_OP("BitShift", shift, NULL),
  BINARY_OP("BitwiseAnd", bit_and, NULL),
  BINARY_OP("BitwiseOr", bit_or, NULL),
  BINARY_OP("BitwiseXor", bit_xor, NULL),
  VARIADIC_OP("Min", min, &backward_extremes),
  VARIADIC_OP("Max", max, &backward_extremes),
  VARIADIC_OP("Sum", add, &backward_add),
  VARIADIC_OP("Mean", mean, &backward_mean),
  {.type = "Where", .since = 9, .min_in = 3, .max_in = 3, .max_out = 1, .flags = OP_POINTWISE, .shape = where_shape,
   .forward = where_forward, .backward = &backward_where},
  {.type = NULL},
};
