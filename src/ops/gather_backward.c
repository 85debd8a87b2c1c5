/* SPDX-License-Identifier: Apache-2.0 */
/* The way back through movements by index: what was picked more than once collects the signals of its copies. Indices
 * are the forward pass's, which has checked them. */
#include "ops/gather.h"

#include "base/threads.h"
#include "ops/loop.h"
#include "ops/reverse.h"

#include <string.h>

/* A slice before the axis at a time: an element may be picked more than once. */
static void gather_backward_part(void *context, int64_t begin, int64_t end)
{
  const struct reverse *r = context;
  const struct node *node = r->node;
  const struct gather *g = node->params;
  const int64_t dim = node->in[0]->t.shape.dim[g->axis], count = tensor_count(&node->in[1]->t);
  for (int64_t i = begin; i < end; i++) {
    const int64_t *index = (const int64_t *)r->in[1] + (r->in_batched[1] ? i / g->outer * count : 0);
    for (int64_t k = 0; k < g->picked; k++) {
      const float *from = r->from[0] + (i * g->picked + k) * g->inner;
      float *to = r->to[0] + (i * dim + wrapped(index[k], dim)) * g->inner;
      for (int64_t j = 0; j < g->inner; j++)
        to[j] += from[j];
    }
  }
}

static bool gather_backward_run(const struct reverse *r, struct error *err)
{
  const struct gather *g = r->node->params;
  (void)err;
  reverse_nothing(r, 0);
  threads_for(r->n * g->outer, 1 + LOOP_GRAIN / (g->picked * g->inner + 1), gather_backward_part, (void *)(uintptr_t)r);
  return true;
}

const struct backward backward_gather = {.flags = BACKWARD_ADDS, .keeps = BACKWARD_IN(1), .run = gather_backward_run};

/* Block s of what input i was. */
static const int64_t *indices_of(const struct reverse *r, int64_t s)
{
  return (const int64_t *)r->in[1] + (r->in_batched[1] ? s * tensor_count(&r->node->in[1]->t) : 0);
}

static bool gather_elements_backward_run(const struct reverse *r, struct error *err)
{
  const int axis = *(const int *)r->node->params;
  const struct tensor *data = &r->node->in[0]->t, *at = &r->node->in[1]->t;
  const int64_t count = tensor_count(at), block_size = tensor_count(data);
  int64_t stride[TENSOR_MAX_RANK];
  (void)err;
  tensor_strides(data, stride);
  reverse_nothing(r, 0);
  for (int64_t s = 0; s < r->n; s++) {
    const int64_t *index = indices_of(r, s);
    for (int64_t k = 0; k < count; k++)
      r->to[0][s * block_size + gather_place(at, stride, axis, k) +
               wrapped(index[k], data->shape.dim[axis]) * stride[axis]] += r->from[0][s * count + k];
  }
  return true;
}

const struct backward backward_gather_elements = {
    .flags = BACKWARD_ADDS, .keeps = BACKWARD_IN(1), .run = gather_elements_backward_run};

/* What was replaced gets nothing, what replaced it gets its place's signal; where a place is written twice the last one
 * counts, which is not told apart here. */
static bool scatter_sends(const struct node *node, enum scatter how, enum rule rule, unsigned *inputs,
                          struct error *err)
{
  (void)rule;
  (void)inputs;
  return how == SCATTER_NONE || how == SCATTER_ADD ||
         node_error(node, err, "has no derivative for this reduction (no-gradient)");
}

static bool scatter_elements_sends(const struct node *node, enum rule rule, unsigned *inputs, struct error *err)
{
  return scatter_sends(node, ((const struct scatter_params *)node->params)->how, rule, inputs, err);
}

static bool scatter_elements_backward_run(const struct reverse *r, struct error *err)
{
  const struct node *node = r->node;
  const struct scatter_params *p = node->params;
  const struct tensor *data = &node->in[0]->t, *at = &node->in[1]->t;
  const int64_t count = tensor_count(at), dim = data->shape.dim[p->axis], block_size = tensor_count(data);
  int64_t stride[TENSOR_MAX_RANK];
  (void)err;
  tensor_strides(data, stride);
  if (r->to[0])
    memcpy(r->to[0], r->from[0], (size_t)(r->n * block_size) * sizeof(float));
  for (int64_t s = 0; s < r->n; s++) {
    const int64_t *index = indices_of(r, s);
    for (int64_t k = 0; k < count; k++) {
      const int64_t place =
          s * block_size + gather_place(at, stride, p->axis, k) + wrapped(index[k], dim) * stride[p->axis];
      if (r->to[2])
        r->to[2][s * count + k] = r->from[0][place];
      if (r->to[0] && p->how == SCATTER_NONE)
        r->to[0][place] = 0;
    }
  }
  return true;
}

const struct backward backward_scatter_elements = {
    .keeps = BACKWARD_IN(1), .sends = scatter_elements_sends, .run = scatter_elements_backward_run};

static bool gather_nd_backward_run(const struct reverse *r, struct error *err)
{
  const struct node *node = r->node;
  const struct nd *nd = node->params;
  const int64_t data = tensor_count(&node->in[0]->t), out = tensor_count(&node->out[0]->t);
  (void)err;
  reverse_nothing(r, 0);
  for (int64_t s = 0; s < r->n; s++) {
    const int64_t *index = indices_of(r, s);
    for (int64_t k = 0; k < nd->batches * nd->rows; k++) {
      float *to = r->to[0] + s * data + k / nd->rows * nd->step +
                  gather_nd_place(nd, &node->in[0]->t.shape, index + k * nd->depth);
      for (int64_t j = 0; j < nd->slice; j++)
        to[j] += r->from[0][s * out + k * nd->slice + j];
    }
  }
  return true;
}

const struct backward backward_gather_nd = {
    .flags = BACKWARD_ADDS, .keeps = BACKWARD_IN(1), .run = gather_nd_backward_run};

static bool scatter_nd_sends(const struct node *node, enum rule rule, unsigned *inputs, struct error *err)
{
  return scatter_sends(node, ((const struct nd *)node->params)->how, rule, inputs, err);
}

static bool scatter_nd_backward_run(const struct reverse *r, struct error *err)
{
  const struct node *node = r->node;
  const struct nd *nd = node->params;
  const int64_t data = tensor_count(&node->in[0]->t), updates = nd->rows * nd->slice;
  const size_t bytes = (size_t)nd->slice * sizeof(float);
  (void)err;
  if (r->to[0])
    memcpy(r->to[0], r->from[0], (size_t)(r->n * data) * sizeof(float));
  for (int64_t s = 0; s < r->n; s++) {
    const int64_t *index = indices_of(r, s);
    for (int64_t k = 0; k < nd->rows; k++) {
      const int64_t place = s * data + gather_nd_place(nd, &node->in[0]->t.shape, index + k * nd->depth);
      if (r->to[2])
        memcpy(r->to[2] + s * updates + k * nd->slice, r->from[0] + place, bytes);
      if (r->to[0] && nd->how == SCATTER_NONE)
        memset(r->to[0] + place, 0, bytes);
    }
  }
  return true;
}

const struct backward backward_scatter_nd = {
    .keeps = BACKWARD_IN(1), .sends = scatter_nd_sends, .run = scatter_nd_backward_run};

static bool compress_backward_run(const struct reverse *r, struct error *err)
{
  const struct compress *p = r->node->params;
  const int64_t *condition = r->node->in[1]->t.data, conditions = tensor_count(&r->node->in[1]->t);
  const float *from = r->from[0];
  (void)err;
  reverse_nothing(r, 0);
  for (int64_t o = 0; o < r->n * p->outer; o++)
    for (int64_t i = 0; i < conditions; i++)
      for (int64_t j = 0; condition[i] && j < p->inner; j++)
        r->to[0][(o * p->dim + i) * p->inner + j] += *from++;
  return true;
}

const struct backward backward_compress = {.flags = BACKWARD_ADDS, .run = compress_backward_run};
