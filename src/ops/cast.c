/* SPDX-License-Identifier: Apache-2.0 */
/* Cast and CastLike. Inside there are float32 and 64-bit integers only; a cast to a narrower type leaves the value that
 * this type would hold. */
#include "base/threads.h"
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "ops/reverse.h"

#include <math.h>
#include <string.h>

struct cast {
  enum dtype from, to;
  int element;       /* of the result */
  int64_t low, high; /* of an integer result */
};

struct part {
  const struct cast *cast;
  const void *in;
  void *out;
};

static float round_to_bfloat16(float x)
{
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (x == x)
    bits += 0x7fff + (bits >> 16 & 1);
  bits &= 0xffff0000u;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* The nearest number of 11 significant bits and exponents -24 to 15, ties to even. */
static float round_to_half(float x)
{
  float u = fabsf(x);
  if (!(u < INFINITY) || u == 0)
    return x;
  int exponent;
  (void)frexpf(u, &exponent);
  float unit = ldexpf(1.0f, exponent - 11 < -24 ? -24 : exponent - 11);
  float r = rintf(u / unit) * unit;
  return copysignf(r > 65504.0f ? INFINITY : r, x);
}

/* Integers of narrower types wrap, as C converts them. */
static int64_t narrow(const struct cast *cast, int64_t x)
{
  if (cast->low == INT64_MIN)
    return x;
  uint64_t span = (uint64_t)(cast->high - cast->low) + 1;
  return cast->low + (int64_t)(((uint64_t)x - (uint64_t)cast->low) % span);
}

/* Reals beyond the type's range clamp; NaN gives 0. */
static int64_t integer_of(const struct cast *cast, float x)
{
  if (!(x == x))
    return 0;
  if (x <= (float)cast->low)
    return cast->low;
  return x >= (float)cast->high ? cast->high : (int64_t)x;
}

static void cast_part(void *context, int64_t begin, int64_t end)
{
  const struct part *part = context;
  const struct cast *cast = part->cast;
  const float *f = part->in;
  const int64_t *q = part->in;
  float *real = part->out;
  int64_t *integer = part->out;
  bool truth = cast->element == ELEMENT_BOOL;
  if (cast->to == DTYPE_I64) {
    for (int64_t i = begin; i < end; i++)
      integer[i] = cast->from == DTYPE_F32 ? (truth ? f[i] != 0 : integer_of(cast, f[i]))
                                           : (truth ? q[i] != 0 : narrow(cast, q[i]));
    return;
  }
  for (int64_t i = begin; i < end; i++)
    real[i] = cast->from == DTYPE_F32 ? f[i] : (float)q[i];
  if (cast->element == ELEMENT_FLOAT16)
    for (int64_t i = begin; i < end; i++)
      real[i] = round_to_half(real[i]);
  else if (cast->element == ELEMENT_BFLOAT16)
    for (int64_t i = begin; i < end; i++)
      real[i] = round_to_bfloat16(real[i]);
}

static bool cast_to(struct node *node, struct arena *arena, enum dtype dtype, int element, struct error *err)
{
  struct cast *cast = params_new(node, arena, sizeof *cast, err);
  if (!cast)
    return false;
  *cast = (struct cast){node->in[0]->t.dtype, dtype, element, INT64_MIN, INT64_MAX};
  (void)element_range(element, &cast->low, &cast->high);
  if (!output_like(node, 0, dtype, err))
    return false;
  node->out[0]->t.element = element;
  return true;
}

static bool cast_shape(struct node *node, struct arena *arena, struct error *err)
{
  int64_t element;
  enum dtype dtype = DTYPE_F32;
  if (!node_int(node, "to", 0, &element, err))
    return false;
  if (element < 0 || element > 64 || !element_dtype((int)element, &dtype))
    return node_error(node, err, "a cast to element type %lld is not supported", (long long)element);
  return cast_to(node, arena, dtype, (int)element, err);
}

static bool cast_like_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *like = &node->in[1]->t;
  node->n_in =
      1; /* only the type was of interest: a constant remains one, though it is cast like something that varies */
  return cast_to(node, arena, like->dtype, like->element, err);
}

static bool cast_is_view(const struct node *node)
{
  const struct cast *cast = node->params;
  if (cast->from != cast->to)
    return false;
  if (cast->to == DTYPE_F32)
    return cast->element != ELEMENT_FLOAT16 && cast->element != ELEMENT_BFLOAT16;
  return cast->element != ELEMENT_BOOL && cast->low == INT64_MIN;
}

static bool cast_forward(const struct call *call, struct error *err)
{
  struct part part = {call->node->params, call->in[0], call->out[0]};
  (void)err;
  threads_for(call->n * tensor_count(&call->node->out[0]->t), LOOP_GRAIN, cast_part, &part);
  return true;
}

/* Rounding to a narrower real type is passed as if it were none. */
static bool cast_backward_run(const struct reverse *r, struct error *err)
{
  (void)err;
  reverse_pass(r->add[0], r->to[0], r->from[0], r->n * tensor_count(&r->node->in[0]->t));
  return true;
}

/* The other operand lends its type only. */
static bool cast_sends(const struct node *node, enum rule rule, unsigned *inputs, struct error *err)
{
  (void)node;
  (void)rule;
  (void)err;
  *inputs &= BACKWARD_IN(0);
  return true;
}

static const struct backward cast_backward = {
    .flags = BACKWARD_ADDS | BACKWARD_PASSES, .sends = cast_sends, .run = cast_backward_run};

OP_TABLE(cast) = {
    {.type = "Cast",
     .since = 6,
     .min_in = 1,
     .max_in = 1,
     .max_out = 1,
     .shape = cast_shape,
     .forward = cast_forward,
     .is_view = cast_is_view,
     .backward = &cast_backward},
    {.type = "CastLike",
     .since = 15,
     .min_in = 2,
     .max_in = 2,
     .max_out = 1,
     .shape = cast_like_shape,
     .forward = cast_forward,
     .is_view = cast_is_view,
     .backward = &cast_backward},
    {.type = NULL},
};
