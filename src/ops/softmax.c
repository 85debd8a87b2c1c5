/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax, LogSoftmax and Hardmax along one axis. Up to opset 12 the axis cuts the shape in two and everything behind
 * it is one axis. */
#include "base/threads.h"
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "ops/reverse.h"

#include <math.h>
#include <string.h>

/* The tensor as it lies in memory: [outer, dim, inner]. */
struct softmax {
  int64_t outer, dim, inner;
};

static bool softmax_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  struct softmax *s = params_new(node, arena, sizeof *s, err);
  int axis, order[TENSOR_MAX_RANK];
  bool flattens = node->opset < 13;
  if (!s || !input_is(node, 0, DTYPE_F32, err) || !axis_read(node, flattens ? 1 : -1, in->shape.rank, &axis, err))
    return false;
  *s = (struct softmax){1, 1, 1};
  loop_order(in, order);
  bool behind = false;
  for (int k = 0; k < in->shape.rank; k++) {
    int64_t dim = in->shape.dim[order[k]];
    if (flattens ? order[k] >= axis : order[k] == axis) {
      s->dim *= dim;
      behind = true;
    } else if (behind) {
      s->inner *= dim;
    } else {
      s->outer *= dim;
    }
  }
  return output_like(node, 0, DTYPE_F32, err);
}

static bool softmax_prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                            struct error *err)
{
  const struct softmax *s = node->params;
  if (tensor_count(&node->out[0]->t) == 0)
    return true;
  struct kernel *kernel = kernel_softmax(compute, n * s->outer, s->dim, s->inner, false, err);
  out->state = kernel;
  out->scratch = kernel ? kernel_scratch(kernel) : 0;
  return kernel != NULL;
}

static void softmax_release(void *state)
{
  kernel_free(state);
}

static bool softmax_forward(const struct call *call, struct error *err)
{
  return !call->state || kernel_run(call->state, call->in[0], NULL, NULL, call->out[0], call->scratch, err);
}

/* x - max - log(sum of exp(x - max)), the sum in double. It is the last operator of a classifier and small, and the
 * kernels' logarithm is off by 3e-6 where a probability is close to 1. */
static void log_softmax_part(void *context, int64_t begin, int64_t end)
{
  const struct call *call = context;
  const struct softmax *s = call->node->params;
  for (int64_t r = begin; r < end; r++) {
    const int64_t at = r / s->inner * s->dim * s->inner + r % s->inner;
    const float *x = (const float *)call->in[0] + at;
    float *y = (float *)call->out[0] + at;
    float most = x[0];
    for (int64_t i = 1; i < s->dim; i++)
      most = x[i * s->inner] > most ? x[i * s->inner] : most;
    double sum = exp((double)x[0] - (double)most);
    for (int64_t i = 1; i < s->dim; i++)
      sum += exp((double)x[i * s->inner] - (double)most);
    const double total = log(sum);
    for (int64_t i = 0; i < s->dim; i++)
      y[i * s->inner] = (float)((double)x[i * s->inner] - (double)most - total);
  }
}

static bool log_softmax_forward(const struct call *call, struct error *err)
{
  const struct softmax *s = call->node->params;
  (void)err;
  if (tensor_count(&call->node->out[0]->t) > 0)
    threads_for(call->n * s->outer * s->inner, 1 + LOOP_GRAIN_COSTLY / s->dim, log_softmax_part, (void *)call);
  return true;
}

/* 1 at the first of the greatest, 0 elsewhere. */
static bool hardmax_forward(const struct call *call, struct error *err)
{
  const struct softmax *s = call->node->params;
  const float *in = call->in[0];
  float *out = call->out[0];
  (void)err;
  memset(out, 0, (size_t)call->n * tensor_bytes(&call->node->out[0]->t));
  for (int64_t r = 0; s->dim > 0 && r < call->n * s->outer * s->inner; r++) {
    int64_t at = r / s->inner * s->dim * s->inner + r % s->inner, best = at;
    for (int64_t i = 1; i < s->dim; i++)
      if (in[at + i * s->inner] > in[best])
        best = at + i * s->inner;
    out[best] = 1;
  }
  return true;
}

/* y (g - sum of g y); for the logarithm g - exp(y) times the sum of g. */
static void softmax_backward_part(void *context, int64_t begin, int64_t end)
{
  const struct reverse *r = context;
  const struct softmax *s = r->node->params;
  const bool logarithm = r->node->op->forward == log_softmax_forward;
  for (int64_t row = begin; row < end; row++) {
    const int64_t at = row / s->inner * s->dim * s->inner + row % s->inner;
    const float *y = (const float *)r->out[0] + at, *g = r->from[0] + at;
    float *to = r->to[0] + at;
    double sum = 0;
    for (int64_t i = 0; i < s->dim; i++)
      sum += logarithm ? (double)g[i * s->inner] : (double)g[i * s->inner] * (double)y[i * s->inner];
    for (int64_t i = 0; i < s->dim; i++) {
      const double one = (double)g[i * s->inner], at_y = (double)y[i * s->inner];
      to[i * s->inner] = (float)(logarithm ? one - exp(at_y) * sum : at_y * (one - sum));
    }
  }
}

static bool softmax_backward_run(const struct reverse *r, struct error *err)
{
  const struct softmax *s = r->node->params;
  (void)err;
  if (tensor_count(&r->node->out[0]->t) > 0)
    threads_for(r->n * s->outer * s->inner, 1 + LOOP_GRAIN_COSTLY / s->dim, softmax_backward_part,
                (void *)(uintptr_t)r);
  return true;
}

static const struct backward softmax_backward = {
    .flags = BACKWARD_INPLACE, .keeps = BACKWARD_OUT, .sends = reverse_gradient_only, .run = softmax_backward_run};

#define SOFTMAX_OP(name, first, last, want, ...)                                                                       \
  {                                                                                                                    \
    .type = name, .since = first, .until = last, .min_in = 1, .max_in = 1, .max_out = 1, .layout = want,               \
    .shape = softmax_shape, __VA_ARGS__                                                                                \
  }

OP_TABLE(softmax) = {
    SOFTMAX_OP("Softmax", 1, 12, OP_PLAIN, .flags = OP_INPLACE, .prepare = softmax_prepare, .release = softmax_release,
               .forward = softmax_forward, .backward = &softmax_backward),
    SOFTMAX_OP("Softmax", 13, 0, OP_ANY, .flags = OP_INPLACE, .prepare = softmax_prepare, .release = softmax_release,
               .forward = softmax_forward, .backward = &softmax_backward),
    SOFTMAX_OP("LogSoftmax", 1, 12, OP_PLAIN, .flags = OP_INPLACE, .forward = log_softmax_forward,
               .backward = &softmax_backward),
    SOFTMAX_OP("LogSoftmax", 13, 0, OP_ANY, .flags = OP_INPLACE, .forward = log_softmax_forward,
               .backward = &softmax_backward),
    SOFTMAX_OP("Hardmax", 1, 12, OP_PLAIN, .forward = hardmax_forward),
    SOFTMAX_OP("Hardmax", 13, 0, OP_ANY, .forward = hardmax_forward),
    {.type = NULL},
};
