/* SPDX-License-Identifier: Apache-2.0 */
/* Between float32 and the bfloat16 that a run may store activations in. Made by graph_lower_bf16, in no file. */
#include "base/bf16.h"
#include "base/threads.h"
#include "ops/loop.h"
#include "ops/op.h"
#include "tensor/simd.h"

struct convert_job {
  const void *from;
  void *to;
};

SIMD_CLONES static void widen(void *context, int64_t begin, int64_t end)
{
  const struct convert_job *j = context;
  const uint16_t *from = j->from;
  float *to = j->to;
  for (int64_t i = begin; i < end; i++)
    to[i] = bf16_to_float(from[i]);
}

SIMD_CLONES static void narrow(void *context, int64_t begin, int64_t end)
{
  const struct convert_job *j = context;
  const float *from = j->from;
  uint16_t *to = j->to;
  for (int64_t i = begin; i < end; i++)
    to[i] = bf16_from_float(from[i]);
}

/* The types are those of the values; whoever makes the node sets them. */
static bool convert_shape(struct node *node, struct arena *arena, struct error *err)
{
  (void)arena;
  (void)err;
  node->out[0]->t.shape = node->in[0]->t.shape;
  node->out[0]->t.layout = node->in[0]->t.layout;
  return true;
}

static bool convert_forward(const struct call *call, struct error *err)
{
  (void)err;
  struct convert_job job = {call->in[0], call->out[0]};
  const int64_t count = call->n * tensor_count(&call->node->out[0]->t);
  threads_for(count, LOOP_GRAIN, call->node->in[0]->t.dtype == DTYPE_BF16 ? widen : narrow, &job);
  return true;
}

/* The signal of a value is of the value's type: back through a conversion it is converted the other way. */
static bool convert_backward(const struct reverse *r, struct error *err)
{
  (void)err;
  struct convert_job job = {r->from[0], r->to[0]};
  const int64_t count = r->n * tensor_count(&r->node->out[0]->t);
  threads_for(count, LOOP_GRAIN, r->node->out[0]->t.dtype == DTYPE_BF16 ? widen : narrow, &job);
  return true;
}

static const struct backward backward = {.flags = BACKWARD_BF16, .run = convert_backward};

OP_TABLE(convert) = {
    {.type = "Convert",
     .domain = "penumbra",
     .since = 1,
     .min_in = 1,
     .max_in = 1,
     .max_out = 1,
     .flags = OP_POINTWISE | OP_BF16,
     .shape = convert_shape,
     .forward = convert_forward,
     .backward = &backward},
    {.type = NULL},
};
