/* SPDX-License-Identifier: Apache-2.0 */
/* The way back through element-wise operators of several operands: what was broadcast is summed over its copies. */
#include "ops/binary.h"

#include "ops/reverse.h"
#include "tensor/simd.h"

#include <math.h>
#include <string.h>

/* Operand i as it was broadcast. */
static struct tensor operand(const struct node *node, int i)
{
  struct tensor t = node->in[i]->t;
  const struct binary *b = node->params;
  if (i == 1 && b->aligned)
    t.shape = b->right;
  return t;
}

/* Signal of input i: the sum of terms of the signal and of up to two operands (-1: none). */
static void send(const struct reverse *r, int i, int x, int y, reverse_row *row, const void *context)
{
  const struct tensor *out = &r->node->out[0]->t, target = operand(r->node, i);
  struct tensor operands[2];
  struct reverse_source source[REVERSE_SOURCES] = {{out, r->from[0], true}};
  int sources = 1;
  for (int k = 0; k < 2; k++) {
    const int from = k ? y : x;
    if (from < 0)
      continue;
    operands[k] = operand(r->node, from);
    source[sources++] = (struct reverse_source){&operands[k], r->in[from], r->in_batched[from]};
  }
  reverse_sum(r, out, &target, r->to[i], r->add[i], sources, source, row, context);
}

#define TERM(name, SIMD, expression)                                                                                   \
  static void name(const void *context, int64_t n, const void *const *p, const int64_t *stride, float *t)              \
  {                                                                                                                    \
    const float *gs = p[0], *xs = p[1], *ys = p[2];                                                                    \
    const int64_t sg = stride[0], sx = stride[1], sy = stride[2];                                                      \
    (void)context;                                                                                                     \
    SIMD for (int64_t i = 0; i < n; i++)                                                                               \
    {                                                                                                                  \
      const float g = gs[i * sg], x = xs[i * sx], y = ys[i * sy];                                                      \
      (void)x;                                                                                                         \
      (void)y;                                                                                                         \
      t[i] = expression;                                                                                               \
    }                                                                                                                  \
  }

/* ---- Add, Sub, Sum, Mean --------------------------------------------------------------------------------------- */

static void scaled(const void *context, int64_t n, const void *const *p, const int64_t *stride, float *t)
{
  const float *g = p[0], scale = *(const float *)context;
  for (int64_t i = 0; i < n; i++)
    t[i] = scale * g[i * stride[0]];
}

static void send_scaled(const struct reverse *r, int i, float scale)
{
  const struct tensor *in = &r->node->in[i]->t, *out = &r->node->out[0]->t;
  if (scale == 1 && shape_equal(&in->shape, &out->shape) && in->layout == out->layout)
    reverse_pass(r->add[i], r->to[i], r->from[0], r->n * tensor_count(out));
  else
    send(r, i, -1, -1, scale == 1 ? reverse_row_same : scaled, &scale);
}

static bool add_run(const struct reverse *r, struct error *err)
{
  (void)err;
  for (int i = 0; i < r->node->n_in; i++)
    if (r->to[i])
      send_scaled(r, i, 1);
  return true;
}

static bool sub_run(const struct reverse *r, struct error *err)
{
  (void)err;
  for (int i = 0; i < 2; i++)
    if (r->to[i])
      send_scaled(r, i, i ? -1 : 1);
  return true;
}

static bool mean_run(const struct reverse *r, struct error *err)
{
  (void)err;
  for (int i = 0; i < r->node->n_in; i++)
    if (r->to[i])
      send_scaled(r, i, ((const struct binary *)r->node->params)->scale);
  return true;
}

/* ---- Mul, Div -------------------------------------------------------------------------------------------------- */

static void times(const void *context, int64_t n, const void *const *p, const int64_t *stride, float *t)
{
  const float *g = p[0], *y = p[1];
  (void)context;
  if (stride[0] == 1 && stride[1] == 1) {
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) t[i] = g[i] * y[i];
  } else {
    for (int64_t i = 0; i < n; i++)
      t[i] = g[i * stride[0]] * y[i * stride[1]];
  }
}

static void over(const void *context, int64_t n, const void *const *p, const int64_t *stride, float *t)
{
  const float *g = p[0], *y = p[1];
  (void)context;
  for (int64_t i = 0; i < n; i++)
    t[i] = g[i * stride[0]] / y[i * stride[1]];
}

TERM(divisor, , -g *(x / y) / y)

/* A factor whose range is bounded by how it was made: sigmoids, clipped ramps and the like. */
static bool is_bounded(const struct value *value, int depth)
{
  static const char *const bounded[] = {"Sigmoid", "HardSigmoid", "Tanh", "Erf", "Softmax"};
  static const char *const passing[] = {"Add", "Sub", "Mul", "Div", "Affine", "Reshape", "Unsqueeze", "Squeeze"};
  const struct node *node = value->producer;
  if (!node || depth == 0)
    return false;
  for (int i = 0; i < node->n_post; i++)
    if (node->post[i].kind == UNARY_CLIP)
      return true;
  for (size_t i = 0; i < sizeof bounded / sizeof *bounded; i++)
    if (strcmp(node->type, bounded[i]) == 0)
      return true;
  if (strcmp(node->type, "Clip") == 0)
    return node_has(node, 1) && node_has(node, 2);
  for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
    if (strcmp(node->type, passing[i]) == 0) {
      for (int k = 0; k < node->n_in; k++)
        if (node->in[k] && !node->in[k]->t.data && is_bounded(node->in[k], depth - 1))
          return true;
      return false;
    }
  return false;
}

/* The operand that only scales the other: the smaller, or the bounded one. -1: neither. */
static int gate_of(const struct node *node)
{
  enum { FAR_ENOUGH = 5 };
  const int64_t a = tensor_count(&node->in[0]->t), b = tensor_count(&node->in[1]->t);
  if (node->in[0]->t.data || node->in[1]->t.data)
    return node->in[0]->t.data ? 0 : 1;
  if (a != b)
    return a < b ? 0 : 1;
  const bool first = is_bounded(node->in[0], FAR_ENOUGH), second = is_bounded(node->in[1], FAR_ENOUGH);
  return first == second ? -1 : first ? 0 : 1;
}

/* x times a sigmoid of x, which is an activation in two nodes. */
static bool is_activation(const struct node *node, int gate)
{
  const struct node *before = gate < 0 ? NULL : node->in[gate]->producer;
  return before && before->in[0] == node->in[!gate] &&
         (strcmp(before->type, "Sigmoid") == 0 || strcmp(before->type, "HardSigmoid") == 0);
}

static bool mul_sends(const struct node *node, enum rule rule, unsigned *inputs, struct error *err)
{
  if (rule == RULE_GRADIENT)
    return true;
  const int gate = gate_of(node);
  if (gate < 0)
    return node_error(node, err, "multiplies two signals, neither of which is a gate (deconv-unsupported)");
  *inputs &= ~BACKWARD_IN(gate);
  return true;
}

static unsigned mul_flags(const struct node *node, enum rule rule)
{
  return rule != RULE_GRADIENT && is_activation(node, gate_of(node)) ? BACKWARD_ACTIVATES : 0;
}

static unsigned mul_keeps(const struct node *node, enum rule rule, unsigned wanted)
{
  unsigned keeps = (wanted & BACKWARD_IN(0) ? BACKWARD_IN(1) : 0) | (wanted & BACKWARD_IN(1) ? BACKWARD_IN(0) : 0);
  return mul_flags(node, rule) ? keeps | wanted : keeps;
}

static void rectified(const void *context, int64_t n, const void *const *p, const int64_t *stride, float *t)
{
  const float *g = p[0], *x = p[1];
  const bool guided = *(const enum rule *)context == RULE_GUIDED;
  for (int64_t i = 0; i < n; i++) {
    const float r = g[i * stride[0]];
    t[i] = r > 0 && (!guided || x[i * stride[1]] > 0) ? r : 0;
  }
}

static bool mul_run(const struct reverse *r, struct error *err)
{
  (void)err;
  const bool activation = mul_flags(r->node, r->rule) != 0;
  for (int i = 0; i < 2; i++)
    if (r->to[i])
      send(r, i, activation ? i : !i, -1, activation ? rectified : times, &r->rule);
  return true;
}

static bool div_sends(const struct node *node, enum rule rule, unsigned *inputs, struct error *err)
{
  if (rule == RULE_GRADIENT)
    return true;
  if (*inputs == BACKWARD_IN(1))
    return node_error(node, err, "divides a constant by a signal (deconv-unsupported)");
  *inputs &= ~BACKWARD_IN(1);
  return true;
}

static unsigned div_keeps(const struct node *node, enum rule rule, unsigned wanted)
{
  (void)node;
  (void)rule;
  return BACKWARD_IN(1) | (wanted & BACKWARD_IN(1) ? BACKWARD_IN(0) : 0);
}

static bool div_run(const struct reverse *r, struct error *err)
{
  (void)err;
  if (r->to[0])
    send(r, 0, 1, -1, over, NULL);
  if (r->to[1])
    send(r, 1, 0, 1, divisor, NULL);
  return true;
}

/* ---- Pow, Mod, PRelu ------------------------------------------------------------------------------------------- */

/* Exponents of which networks are made take no call of pow. */
static inline float power_slope(float x, float y)
{
  if (y == 2)
    return 2 * x;
  if (y == 1 || y == 0)
    return y;
  if (y == 3)
    return 3 * x * x;
  if (y == 0.5f)
    return 0.5f / sqrtf(x);
  return y * powf(x, y - 1);
}

TERM(base, , g *power_slope(x, y))
TERM(exponent, , x > 0 ? g * powf(x, y) * logf(x) : 0)

static void base_of_integer(const void *context, int64_t n, const void *const *p, const int64_t *stride, float *t)
{
  const float *g = p[0], *x = p[1];
  const int64_t *y = p[2];
  (void)context;
  for (int64_t i = 0; i < n; i++)
    t[i] = g[i * stride[0]] * power_slope(x[i * stride[1]], (float)y[i * stride[2]]);
}

static bool pow_run(const struct reverse *r, struct error *err)
{
  (void)err;
  if (r->to[0])
    send(r, 0, 0, 1, r->node->in[1]->t.dtype == DTYPE_I64 ? base_of_integer : base, NULL);
  if (r->to[1])
    send(r, 1, 0, 1, exponent, NULL);
  return true;
}

/* The remainder moves with the dividend. */
static bool mod_sends(const struct node *node, enum rule rule, unsigned *inputs, struct error *err)
{
  if (*inputs & BACKWARD_IN(1))
    return node_error(node, err, "divides by what is computed from the image: no derivative (no-gradient)");
  return reverse_gradient_only(node, rule, inputs, err);
}

TERM(prelu_x, , x > 0 ? g : g * y)
TERM(prelu_slope, , x < 0 ? g * x : 0)

static bool prelu_run(const struct reverse *r, struct error *err)
{
  (void)err;
  if (r->to[0] && r->rule != RULE_GRADIENT)
    send(r, 0, 0, -1, rectified, &r->rule);
  else if (r->to[0])
    send(r, 0, 0, 1, prelu_x, NULL);
  if (r->to[1])
    send(r, 1, 0, 1, prelu_slope, NULL);
  return true;
}

static bool prelu_sends(const struct node *node, enum rule rule, unsigned *inputs, struct error *err)
{
  (void)node;
  (void)err;
  if (rule != RULE_GRADIENT)
    *inputs &= BACKWARD_IN(0);
  return true;
}

/* ---- Min, Max -------------------------------------------------------------------------------------------------- */

TERM(winner, , x == y ? g : 0)

/* Of equal operands constants come first, then the order of the inputs: Max(x, 0) is flat at 0, as Relu is. The signal
 * is used up, in a copy of it, by whoever takes it. */
static bool extremes_prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                             struct error *err)
{
  (void)compute;
  (void)err;
  out->scratch = (size_t)n * tensor_bytes(&node->out[0]->t);
  return true;
}

static void use_up(const void *context, int64_t n, char *const *p, const int64_t *stride)
{
  float *g = (float *)(void *)p[0];
  const float *x = (const float *)(const void *)p[1], *y = (const float *)(const void *)p[2];
  (void)context;
  for (int64_t i = 0; i < n; i++)
    if (x[i * stride[1]] == y[i * stride[2]])
      g[i * stride[0]] = 0;
}

static void take(const struct reverse *r, int i, float *left)
{
  const struct node *node = r->node;
  const struct tensor *out = &node->out[0]->t, target = operand(node, i);
  if (r->to[i]) {
    const struct reverse_source source[3] = {
        {out, left, true}, {&target, r->in[i], r->in_batched[i]}, {out, r->out[0], true}};
    reverse_sum(r, out, &target, r->to[i], r->add[i], 3, source, winner, NULL);
  }
  struct value x = *node->in[i];
  x.t = target;
  struct node pair = {.in = (struct value *[]){&x, node->out[0]}, .n_in = 2, .out = node->out, .n_out = 1};
  struct call call = {.node = &pair, .n = r->n, .in_batched = (const bool[]){r->in_batched[i], true}};
  struct loop loop;
  loop_elementwise(&loop, &call, 2);
  loop_run(&loop, (size_t[]){sizeof(float), sizeof(float), sizeof(float)},
           (void *const[]){left, (void *)(uintptr_t)r->in[i], (void *)(uintptr_t)r->out[0]}, LOOP_GRAIN, use_up, NULL);
}

static bool extremes_run(const struct reverse *r, struct error *err)
{
  float *left = r->scratch;
  (void)err;
  memcpy(left, r->from[0], (size_t)r->n * tensor_bytes(&r->node->out[0]->t));
  for (int constants = 1; constants >= 0; constants--)
    for (int i = 0; i < r->node->n_in; i++)
      if ((r->node->in[i]->t.data != NULL) == constants)
        take(r, i, left);
  return true;
}

/* Max with constants alone is a rectifier; of several signals the winner takes all under every rule. */
static unsigned extremes_flags(const struct node *node, enum rule rule)
{
  int varying = 0;
  for (int i = 0; i < node->n_in; i++)
    varying += !node->in[i]->t.data;
  return rule != RULE_GRADIENT && varying == 1 && strcmp(node->type, "Max") == 0 ? BACKWARD_RECTIFIES : 0;
}

static bool extremes_or_rectifier_run(const struct reverse *r, struct error *err)
{
  if (!extremes_flags(r->node, r->rule))
    return extremes_run(r, err);
  for (int i = 0; i < r->node->n_in; i++)
    if (r->to[i])
      send(r, i, i, -1, rectified, &r->rule);
  return true;
}

/* ---- Where ----------------------------------------------------------------------------------------------------- */

static void where_term(const void *context, int64_t n, const void *const *p, const int64_t *stride, float *t)
{
  const float *g = p[0];
  const int64_t *c = p[1];
  const bool when = *(const bool *)context;
  for (int64_t i = 0; i < n; i++)
    t[i] = (c[i * stride[1]] != 0) == when ? g[i * stride[0]] : 0;
}

static bool where_run(const struct reverse *r, struct error *err)
{
  const struct node *node = r->node;
  (void)err;
  for (int i = 1; i <= 2; i++)
    if (r->to[i]) {
      const struct reverse_source source[2] = {{&node->out[0]->t, r->from[0], true},
                                               {&node->in[0]->t, r->in[0], r->in_batched[0]}};
      reverse_sum(r, &node->out[0]->t, &node->in[i]->t, r->to[i], r->add[i], 2, source, where_term, &(bool){i == 1});
    }
  return true;
}

const struct backward backward_add = {.flags = BACKWARD_ADDS | BACKWARD_PASSES, .run = add_run};
const struct backward backward_sub = {.flags = BACKWARD_ADDS, .run = sub_run};
const struct backward backward_mean = {.flags = BACKWARD_ADDS, .run = mean_run};
const struct backward backward_mul = {
    .flags = BACKWARD_ADDS, .flags_of = mul_flags, .keeps_of = mul_keeps, .sends = mul_sends, .run = mul_run};
const struct backward backward_div = {
    .flags = BACKWARD_ADDS, .keeps_of = div_keeps, .sends = div_sends, .run = div_run};
const struct backward backward_pow = {
    .flags = BACKWARD_ADDS, .keeps = BACKWARD_IN(0) | BACKWARD_IN(1), .sends = reverse_gradient_only, .run = pow_run};
const struct backward backward_mod = {.flags = BACKWARD_ADDS, .sends = mod_sends, .run = add_run};
const struct backward backward_prelu = {.flags = BACKWARD_ADDS | BACKWARD_ACTIVATES,
                                        .keeps = BACKWARD_IN(0) | BACKWARD_IN(1),
                                        .sends = prelu_sends,
                                        .run = prelu_run};
const struct backward backward_extremes = {.flags = BACKWARD_ADDS,
                                           .flags_of = extremes_flags,
                                           .keeps = BACKWARD_INS | BACKWARD_OUT,
                                           .prepare = extremes_prepare,
                                           .run = extremes_or_rectifier_run};
const struct backward backward_where = {.flags = BACKWARD_ADDS, .keeps = BACKWARD_IN(0), .run = where_run};
