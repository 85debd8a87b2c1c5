/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics on black boxes that can be computed by hand: a picture, a predictor, one call. */
#ifndef PENUMBRA_TESTS_MEASURE_H
#define PENUMBRA_TESTS_MEASURE_H

#include "unit.h"

#include "base/mem.h"
#include "base/rng.h"
#include "metrics/metric.h"
#include "model/callback_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct bench {
  struct callback_model model;
  struct card card;
  struct input input;
  struct explain explain;
  const char *labels[8];
  double thresholds[8];
  const struct method *method;
  const void *method_options;
  const unsigned char *truth;
  struct shared_figures *shared;
  int64_t target;
};

/* A picture of noise 0..1 (seeded) in the values the model sees. */
static inline void bench_open(struct bench *b, int height, int width, int channels, int classes,
                              bool (*predict)(void *, const float *, int, float *, struct error *), void *context)
{
  static const char *const names[8] = {"a", "b", "c", "d", "e", "f", "g", "h"};
  struct error err = {0};
  *b = (struct bench){.model = {{&callback_predictor_ops, height, width, channels, classes}, predict, context, 16}};
  if (!card_init(&b->card, &err) || !card_set_text(&b->card, "activation=none", &err) ||
      !card_check(&b->card, channels, height, width, classes, &err))
    fail_msg("%s", err.message);
  b->input = (struct input){
      .geometry = {width, height, width, height, 0, 0, width, height}, .channels = channels, .lo = 0, .hi = 1};
  const size_t n = (size_t)height * (size_t)width * (size_t)channels;
  b->input.u = mem_alloc(n * sizeof(float));
  b->input.x = mem_alloc(n * sizeof(float));
  for (size_t i = 0; i < n; i++)
    b->input.u[i] = (float)rng_uniform(1, RNG_NOISE, 0, i);
  b->input.preprocessed = true;
  preprocess_values(&b->card, &b->input, b->input.u, b->input.x);
  for (int k = 0; k < 8; k++) {
    b->labels[k] = names[k];
    b->thresholds[k] = 0.5;
  }
  b->explain = (struct explain){.predictor = &b->model.predictor,
                                .card = &b->card,
                                .input = &b->input,
                                .target = "0",
                                .labels = b->labels,
                                .thresholds = b->thresholds};
}

static inline void bench_close(struct bench *b)
{
  input_free(&b->input);
  card_free(&b->card);
}

/* One measurement; `arguments` "name=value" separated by blanks. False: err. */
static inline bool bench_try(struct bench *b, const char *name, const char *arguments, const float *map,
                             struct measurement *out, struct error *err)
{
  char text[512];
  const char *list[16] = {NULL};
  int n = 0;
  (void)snprintf(text, sizeof text, "%s", arguments);
  for (char *p = text; *p;) {
    list[n++] = p;
    p += strcspn(p, " ");
    if (*p)
      *p++ = '\0';
  }
  const struct metric *metric = metric_require(name, err);
  assert_non_null(metric);
  void *options = mem_zero(1, metric->options_size);
  struct evaluator *e = evaluator_open(b->explain.predictor, &b->explain.evaluate, b->input.x, err);
  assert_non_null(e);
  assert_true(measurement_init(out, err));
  const struct measure measure = {.explain = &b->explain,
                                  .evaluator = e,
                                  .target = b->target,
                                  .map = map,
                                  .method = b->method,
                                  .method_options = b->method_options,
                                  .method_explain = &b->explain,
                                  .truth = b->truth,
                                  .shared = b->shared,
                                  .path = "folder/film.png"};
  const bool ok = params_parse(metric->params, name, list, options, err) && metric->run(&measure, options, out, err);
  if (ok)
    measurement_detail(out, "evaluations", json_integer(evaluator_count(e)));
  evaluator_close(e);
  mem_free(options);
  if (!ok)
    measurement_free(out);
  return ok;
}

static inline struct measurement bench_run(struct bench *b, const char *name, const char *arguments, const float *map)
{
  struct measurement out;
  struct error err = {0};
  if (!bench_try(b, name, arguments, map, &out, &err))
    fail_msg("%s", err.message);
  return out;
}

static inline void bench_refuses(struct bench *b, const char *name, const char *arguments, const float *map,
                                 const char *message)
{
  struct measurement out;
  struct error err = {0};
  assert_false(bench_try(b, name, arguments, map, &out, &err));
  if (!strstr(err.message, message))
    fail_msg("'%s' is not in: %s", message, err.message);
}

/* NAN where it is undefined; fails where there is no such value. */
static inline double value_in(const struct measurement *m, const char *name)
{
  const json_t *value = json_object_get(m->values, name);
  if (!value)
    fail_msg("no value %s", name);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

static inline double spread_in(const struct measurement *m, const char *name)
{
  return json_number_value(json_object_get(json_object_get(m->spread, name), "sd"));
}

static inline int points_in(const struct measurement *m, const char *curve)
{
  return (int)json_array_size(json_object_get(json_object_get(m->curves, curve), "y"));
}

static inline double point_in(const struct measurement *m, const char *curve, int k)
{
  return json_number_value(json_array_get(json_object_get(json_object_get(m->curves, curve), "y"), (size_t)k));
}

static inline int64_t detail_in(const struct measurement *m, const char *name)
{
  return json_integer_value(json_object_get(m->details, name));
}

static inline bool warned_in(const struct measurement *m, const char *id)
{
  size_t i;
  const json_t *warning;
  json_array_foreach (m->warnings, i, warning)
    if (strcmp(json_string_value(json_object_get(warning, "id")), id) == 0)
      return true;
  return false;
}

static inline void assert_near(double a, double b, double tolerance)
{
  if (!(fabs(a - b) <= tolerance))
    fail_msg("%.10g is not %.10g", a, b);
}

/* ---- black boxes ------------------------------------------------------------------------------------------------ */

/* Class k: sum of weight_k[i] * x[i]; weights [classes, n] at the start of the context. */
struct linear {
  const float *weights;
  int64_t n;
  int classes;
};

static inline bool predict_linear(void *context, const float *images, int n, float *scores, struct error *err)
{
  const struct linear *l = context;
  (void)err;
  for (int i = 0; i < n; i++)
    for (int k = 0; k < l->classes; k++) {
      double sum = 0;
      for (int64_t j = 0; j < l->n; j++)
        sum += (double)l->weights[k * l->n + j] * (double)images[i * l->n + j];
      scores[i * l->classes + k] = (float)sum;
    }
  return true;
}

static inline bool predict_constant(void *context, const float *images, int n, float *scores, struct error *err)
{
  const int *classes = context;
  (void)images;
  (void)err;
  for (int i = 0; i < n * *classes; i++)
    scores[i] = 0.25f;
  return true;
}

#endif
