/* SPDX-License-Identifier: Apache-2.0 */
/* Methods on classifiers that are formulas: a picture, a callback, parameters, an explanation. */
#ifndef PENUMBRA_TESTS_SAMPLING_H
#define PENUMBRA_TESTS_SAMPLING_H

#include "../support/scene.h"
#include "base/mem.h"
#include "base/npy.h"
#include "methods/fills_each.h"
#include "methods/method.h"
#include "model/callback_model.h"
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BENCH_CLASSES = 16 };

typedef bool bench_predict(void *context, const float *images, int n, float *scores, struct error *err);

struct bench {
  struct callback_model model;
  struct card card;
  struct image image;
  struct input input;
  struct explain explain;
  struct explanation out;
  struct error err;
  char names[BENCH_CLASSES][16];
  const char *labels[BENCH_CLASSES];
  double thresholds[BENCH_CLASSES];
};

/* A picture of the value 100 everywhere, 0..255 being the model's own units; score 0 comes from `predict`. */
static inline void bench_open(struct bench *b, int height, int width, int channels, int classes, bench_predict *predict,
                              void *context)
{
  *b = (struct bench){0};
  b->model.predictor = (struct predictor){
      .ops = &callback_predictor_ops,
      .height = height,
      .width = width,
      .channels = channels,
      .classes = classes,
  };
  b->model.predict = predict;
  b->model.context = context;
  b->model.batch = 32;
  assert_true(card_init(&b->card, &b->err));
  b->card.activation = ACTIVATION_NONE;
  assert_true(card_check(&b->card, channels, height, width, classes, &b->err));
  assert_true(image_new(&b->image, width, height, channels, PIXEL_F32, &b->err));
  b->image.lo = 0;
  b->image.hi = 255;
  b->image.preprocessed = channels == 2 || channels == 4; /* such a picture can only be an array */
  for (int i = 0; i < height * width * channels; i++)
    ((float *)b->image.data)[i] = 100;
  for (int k = 0; k < classes; k++) {
    (void)snprintf(b->names[k], sizeof b->names[k], "c%d", k);
    b->labels[k] = b->names[k];
    b->thresholds[k] = 0.5;
  }
  b->explain = (struct explain){
      .predictor = &b->model.predictor,
      .card = &b->card,
      .input = &b->input,
      .target = "0",
      .labels = b->labels,
      .thresholds = b->thresholds,
  };
}

static inline void bench_scene(struct bench *b, uint32_t seed)
{
  const int n = b->image.height * b->image.width * b->image.channels;
  uint8_t *codes = malloc((size_t)n);
  assert_non_null(codes);
  scene_draw(seed, b->image.height, b->image.width, b->image.channels, codes);
  for (int i = 0; i < n; i++)
    ((float *)b->image.data)[i] = codes[i];
  free(codes);
}

/* Run a method on the picture as it is now; the explanation stays until the next run. `params` are separated by
 * spaces. */
static inline bool bench_try(struct bench *b, const char *method_name, const char *params)
{
  const struct method *method = method_require(method_name, &b->err);
  assert_non_null(method);
  char text[1024];
  const char *arguments[32] = {NULL};
  int n = 0;
  (void)snprintf(text, sizeof text, "%s", params);
  for (char *at = strtok(text, " "); at; at = strtok(NULL, " "))
    arguments[n++] = at;
  void *options = calloc(1, method->options_size);
  assert_non_null(options);
  explanation_free(&b->out);
  input_free(&b->input);
  b->err = (struct error){0};
  const bool ok = params_parse(method->params, method->name, arguments, options, &b->err) &&
                  preprocess(&b->card, &b->image, &b->input, &b->err) && explanation_init(&b->out, &b->err) &&
                  method_run(&b->explain, method, options, &b->out, &b->err);
  free(options);
  return ok;
}

static inline void bench_run(struct bench *b, const char *method, const char *params)
{
  if (!bench_try(b, method, params))
    fail_msg("%s %s: %s", method, params, b->err.message);
}

static inline void bench_refuse(struct bench *b, const char *method, const char *params, const char *part)
{
  assert_false(bench_try(b, method, params));
  if (!strstr(b->err.message, part))
    fail_msg("%s %s: '%s' lacks '%s'", method, params, b->err.message, part);
}

static inline void bench_close(struct bench *b)
{
  explanation_free(&b->out);
  input_free(&b->input);
  image_free(&b->image);
  card_free(&b->card);
}

static inline const float *bench_array(const struct bench *b, const char *name)
{
  const struct npy *array = explanation_find(&b->out, name);
  if (!array)
    fail_msg("there is no array %s", name);
  return array->data;
}

static inline bool bench_warned(const struct bench *b, const char *id)
{
  size_t i;
  json_t *warning;
  json_array_foreach (b->out.warnings, i, warning)
    if (strcmp(json_string_value(json_object_get(warning, "id")), id) == 0)
      return true;
  return false;
}

/* A list of the shown class in the method's document ("lime", "coefficients", …). */
static inline const json_t *bench_class(const struct bench *b, const char *document, int target)
{
  const json_t *class =
      json_array_get(json_object_get(json_object_get(b->out.documents, document), "classes"), (size_t)target);
  assert_non_null(class);
  return class;
}

static inline double bench_value(const struct bench *b, const char *document, int target, const char *list, int64_t i)
{
  const json_t *value = json_array_get(json_object_get(bench_class(b, document, target), list), (size_t)i);
  assert_true(json_is_number(value));
  return json_number_value(value);
}

static inline double bench_number(const struct bench *b, const char *document, int target, const char *name)
{
  const json_t *value = json_object_get(bench_class(b, document, target), name);
  assert_true(json_is_number(value));
  return json_number_value(value);
}

/* Copies of arrays, to be compared with those of another run; free(). */
static inline float *bench_copy(const struct bench *b, const char *name)
{
  const struct npy *array = explanation_find(&b->out, name);
  assert_non_null(array);
  const size_t bytes = (size_t)npy_count(array) * sizeof(float);
  float *copy = malloc(bytes);
  assert_non_null(copy);
  memcpy(copy, array->data, bytes);
  return copy;
}

static inline void bench_same(const struct bench *b, const char *name, const float *expected)
{
  const struct npy *array = explanation_find(&b->out, name);
  assert_non_null(array);
  assert_memory_equal(array->data, expected, (size_t)npy_count(array) * sizeof(float));
}

/* ---- classifiers ------------------------------------------------------------------------------------------------- */

/* A function of which of the picture's pixels are there: one pixel a superpixel, 100 where kept, 0 where hidden (fill
 * zero, one channel). */
struct game {
  int players, classes;
  double (*value)(const void *context, int class, const double *there);
  const void *context;
  int64_t calls;
};

static inline bool game_predict(void *context, const float *images, int n, float *scores, struct error *err)
{
  struct game *g = context;
  double there[4096];
  (void)err;
  g->calls += n;
  for (int i = 0; i < n; i++) {
    for (int s = 0; s < g->players; s++)
      there[s] = (double)images[i * g->players + s] / 100;
    for (int k = 0; k < g->classes; k++)
      scores[i * g->classes + k] = (float)g->value(g->context, k, there);
  }
  return true;
}

/* Waves over the whole picture, two classes: waves() of tests/golden/sampling/make.py. */
static inline bool waves_predict(void *context, const float *images, int n, float *scores, struct error *err)
{
  const int values = *(const int *)context;
  double a[32] = {0}, b[32] = {0};
  (void)err;
  assert_true(n <= 32);
  for (int k = 0; k < values; k++) {
    const double first = cos(0.37 * k) / 4, second = sin(0.11 * k) / 4;
    for (int i = 0; i < n; i++) {
      const double v = (double)images[(int64_t)i * values + k] / 255;
      a[i] += v * first;
      b[i] += v * second;
    }
  }
  for (int i = 0; i < n; i++) {
    scores[2 * i] = (float)(1 / (1 + exp(-a[i])));
    scores[2 * i + 1] = (float)(tanh(b[i]) * cos(a[i]));
  }
  return true;
}

/* Values weighted by a wave: additive over any cut of the picture. */
static inline bool sum_pixels(void *context, const float *images, int n, float *scores, struct error *err)
{
  const int values = *(const int *)context;
  (void)err;
  for (int i = 0; i < n; i++) {
    double sum = 0;
    for (int k = 0; k < values; k++)
      sum += (double)images[(int64_t)i * values + k] * cos(k) / values;
    scores[i] = (float)sum;
  }
  return true;
}

#endif
