/* SPDX-License-Identifier: Apache-2.0 */
/* A classifier whose score is a weighted sum of pixels, with its gradient: the best masks are known. */
#ifndef PENUMBRA_TESTS_LINEAR_H
#define PENUMBRA_TESTS_LINEAR_H

#include "sampling.h"

enum { SIDE = 84, MOST_PIXELS = SIDE * SIDE };

/* A score that is a weighted sum of pixels, with its gradient. */
struct linear {
  struct predictor predictor;
  float weight[MOST_PIXELS];
  double constant;
  int sweeps, sick_after; /* after so many sweeps the score is not a number; 0: never */
};

struct linear_session {
  struct session base;
  struct linear *linear;
};

static inline bool linear_predict(struct session *base, const float *images, int64_t n, float *scores,
                                  float *activations, struct error *err)
{
  const struct linear *l = ((struct linear_session *)base)->linear;
  const int pixels = l->predictor.height * l->predictor.width;
  (void)activations;
  (void)err;
  for (int64_t k = 0; k < n; k++) {
    double sum = l->constant;
    for (int i = 0; i < pixels; i++)
      sum += (double)l->weight[i] * (double)images[k * pixels + i];
    scores[k] = (float)sum;
  }
  return true;
}

static inline bool linear_begin(struct session *base, const struct backward_request *request,
                                struct backward_info *info, struct error *err)
{
  (void)err;
  assert_true(request->target == 0 && request->rule == RULE_GRADIENT && !request->stem);
  *info = (struct backward_info){
      .batch = 1, .height = base->predictor->height, .width = base->predictor->width, .channels = 1};
  return true;
}

static inline bool linear_backward(struct session *base, const float *images, int64_t n, float *results, float *scores,
                                   struct error *err)
{
  struct linear *l = ((struct linear_session *)base)->linear;
  memcpy(results, l->weight, (size_t)(l->predictor.height * l->predictor.width) * sizeof *results);
  if (!linear_predict(base, images, n, scores, NULL, err))
    return false;
  if (++l->sweeps > l->sick_after && l->sick_after)
    scores[0] = NAN;
  return true;
}

static inline void linear_close(struct session *base)
{
  free(base);
}

static inline struct session *linear_open(const struct predictor *predictor, const struct session_options *options,
                                          struct error *err)
{
  static const struct session_ops ops = {
      .predict = linear_predict, .begin_backward = linear_begin, .backward = linear_backward, .close = linear_close};
  struct linear_session *s = calloc(1, sizeof *s);
  (void)options;
  (void)err;
  assert_non_null(s);
  s->base = (struct session){.ops = &ops, .predictor = predictor, .batch = 4, .memory = 1 << 20};
  s->linear = (struct linear *)(uintptr_t)predictor; /* its first member */
  return &s->base;
}

static const struct predictor_ops linear_ops = {.open = linear_open};

/* Only a callback's prediction of the same. */
static inline bool linear_callback(void *context, const float *images, int n, float *scores, struct error *err)
{
  struct linear_session s = {.linear = context};
  return linear_predict(&s.base, images, n, scores, NULL, err);
}

static inline void linear_bench(struct bench *b, struct linear *l, int height, int width)
{
  *l =
      (struct linear){.predictor = {.ops = &linear_ops, .height = height, .width = width, .channels = 1, .classes = 1}};
  bench_open(b, height, width, 1, 1, linear_callback, l);
  b->explain.predictor = &l->predictor;
}

struct box {
  int x0, y0, x1, y1;
};

/* Equal weights in a box; the picture of 100 scores 1, an empty one 0. */
static inline void weigh_box(struct linear *l, struct box box)
{
  memset(l->weight, 0, sizeof l->weight);
  for (int y = box.y0; y < box.y1; y++)
    for (int x = box.x0; x < box.x1; x++)
      l->weight[y * l->predictor.width + x] = 0.01F / (float)((box.x1 - box.x0) * (box.y1 - box.y0));
}

#endif
