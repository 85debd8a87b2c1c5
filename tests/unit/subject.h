/* SPDX-License-Identifier: Apache-2.0 */
/* A network of tests/golden/fixtures and a picture, ready to be explained. */
#ifndef PENUMBRA_TESTS_SUBJECT_H
#define PENUMBRA_TESTS_SUBJECT_H

#include "../support/scene.h"
#include "engine.h"
#include "methods/method.h"

#include <stdlib.h>

enum { SUBJECT_CLASSES = 16 };

struct subject {
  struct model *model;
  struct image image;
  struct input input;
  char numbers[SUBJECT_CLASSES][8];
  const char *labels[SUBJECT_CLASSES];
  double thresholds[SUBJECT_CLASSES];
  struct explain explain;
};

/* Scene 7, values (code / 255 - 0.5) / 0.25; logits. */
static inline struct subject *subject_open(const char *name, bool verbatim)
{
  static const char *const values[] = {"scale=0.00392156862745098", "mean=0.5", "std=0.25", NULL};
  struct error err = {0};
  char file[64];
  (void)snprintf(file, sizeof file, "%s.onnx", name);
  struct subject *s = calloc(1, sizeof *s);
  assert_non_null(s);
  s->model = model_open(golden_path("fixtures", file),
                        &(struct model_options){.settings = values, .verbatim = verbatim}, &err);
  assert_ok(s->model != NULL, err);
  const struct predictor *p = &s->model->predictor;
  assert_true(p->classes <= SUBJECT_CLASSES);
  assert_ok(image_new(&s->image, p->width, p->height, p->channels == 1 ? 1 : 3, PIXEL_U8, &err), err);
  scene_draw(7, p->height, p->width, p->channels, s->image.data);
  assert_ok(preprocess(&s->model->card, &s->image, &s->input, &err), err);
  for (int k = 0; k < p->classes; k++) {
    (void)snprintf(s->numbers[k], sizeof s->numbers[k], "c%d", k);
    s->labels[k] = s->numbers[k];
    s->thresholds[k] = 0.5;
  }
  s->explain = (struct explain){
      .predictor = p,
      .model = s->model,
      .card = &s->model->card,
      .input = &s->input,
      .target = "top",
      .labels = s->labels,
      .thresholds = s->thresholds,
      .evaluate = {.session = {.score = SCORE_LOGIT}},
  };
  return s;
}

static inline void subject_close(struct subject *s)
{
  input_free(&s->input);
  image_free(&s->image);
  model_close(s->model);
  free(s);
}

/* Run a method; parameters "a=1 b=2". */
static inline bool subject_try(const struct subject *s, const char *name, const char *params, struct explanation *out,
                               struct error *err)
{
  const struct method *method = method_find(name);
  char text[400], *save = NULL;
  const char *list[16] = {NULL};
  int n = 0;
  assert_non_null(method);
  (void)snprintf(text, sizeof text, "%s", params);
  for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
    list[n++] = word;
  void *options = calloc(1, method->options_size);
  assert_non_null(options);
  const bool ok = params_parse(method->params, name, list, options, err) && explanation_init(out, err) &&
                  (method->run(&s->explain, options, out, err) || (explanation_free(out), false));
  free(options);
  return ok;
}

static inline struct explanation subject_run(const struct subject *s, const char *name, const char *params)
{
  struct explanation out;
  struct error err = {0};
  assert_ok(subject_try(s, name, params, &out, &err), err);
  return out;
}

static inline const float *subject_array(const struct explanation *out, const char *name)
{
  const struct npy *array = explanation_find(out, name);
  assert_non_null(array);
  return array->data;
}

static inline bool subject_warned(const struct explanation *out, const char *id)
{
  size_t i;
  const json_t *warning;
  json_array_foreach (out->warnings, i, warning)
    if (strcmp(json_string_value(json_object_get(warning, "id")), id) == 0)
      return true;
  return false;
}

static inline double subject_figure(const struct explanation *out, const char *name)
{
  const json_t *figure = json_object_get(out->quality, name);
  assert_non_null(figure);
  return json_number_value(figure);
}

static inline double subject_sum(const float *x, int64_t n)
{
  double sum = 0;
  for (int64_t i = 0; i < n; i++)
    sum += (double)x[i];
  return sum;
}

/* Weights [classes, floats] of the fixture lin, whose only product has them transposed, on pixels [C,H,W]. */
static inline const float *subject_weights(const struct subject *s)
{
  const struct graph *graph = s->model->graph;
  for (int i = 0; i < graph->n_nodes; i++)
    if (strcmp(graph->nodes[i]->type, "Gemm") == 0)
      return graph->nodes[i]->in[1]->t.data;
  fail_msg("no Gemm");
  return NULL;
}

#endif
