/* SPDX-License-Identifier: Apache-2.0 */
/* Judging maps: explain an image by every subject, hand the maps to every metric, keep one record an image. */
#include "api/evaluation.h"

#include "base/files.h"
#include "base/json.h"
#include "base/str.h"
#include "methods/fills_each.h"
#include "metrics/summary.h"
#include "metrics/truth.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MOST_SUBJECTS = 64, MOST_METRICS = 32, NAME = 512 };

static const char schema[] = "penumbra-evaluation/1";

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- the request ------------------------------------------------------------------------------------------------ */

static bool read_subject(struct penumbra_evaluation *e, const penumbra_subject *given, struct error *err)
{
  struct subject *s = &e->subjects[e->n_subjects++];
  if (given->method) {
    if (!(s->method = method_require(given->method, err)))
      return false;
    if (!(s->options = mem_zero(1, s->method->options_size)))
      return error_memory(err, "a method");
    if (!params_parse(s->method->params, s->method->name, given->params, s->options, err))
      return false;
    if (s->method->needs == NEEDS_GRADIENT && !e->model->onnx)
      return error_set(err, ERROR_USAGE, "method: %s needs gradients, which this classifier does not give",
                       s->method->name);
  }
  s->name = given->name ? given->name : given->method;
  if (!s->name || !*s->name || !str_is_utf8(s->name))
    return error_set(err, ERROR_USAGE, "subject: number %d has no name in UTF-8", e->n_subjects);
  for (int i = 0; i < e->n_subjects - 1; i++)
    if (strcmp(e->subjects[i].name, s->name) == 0)
      return error_set(err, ERROR_USAGE, "subject: there are two called '%.80s'", s->name);
  s->map = mem_zero((size_t)e->height * (size_t)e->width, sizeof *s->map);
  return s->map || error_memory(err, "a map");
}

static bool has_param(const struct metric *metric, const char *name, size_t length)
{
  for (const struct param *p = metric->params; p->name; p++)
    if (strlen(p->name) == length && memcmp(p->name, name, length) == 0)
      return true;
  return length == 8 && memcmp(name, "defaults", 8) == 0;
}

/* "name=value" or "metric.name=value": the part for this metric, or NULL. */
static const char *argument_for(const struct metric *metric, const char *argument)
{
  const size_t length = strcspn(argument, "="), dot = strcspn(argument, ".");
  if (dot < length)
    return dot == strlen(metric->name) && memcmp(argument, metric->name, dot) == 0 ? argument + dot + 1 : NULL;
  return has_param(metric, argument, length) ? argument : NULL;
}

static bool read_metric(struct penumbra_evaluation *e, const char *name, const char **arguments, struct error *err)
{
  struct chosen_metric *m = &e->metrics[e->n_metrics];
  int n = 0;
  if (!(m->metric = metric_require(name, err)))
    return false;
  for (int i = 0; i < e->n_metrics; i++)
    if (e->metrics[i].metric == m->metric)
      return true;
  e->n_metrics++;
  for (const char *const *p = e->request->params; p && *p; p++) {
    const char *own = argument_for(m->metric, *p);
    if (own)
      arguments[n++] = own;
  }
  arguments[n] = NULL;
  if (!(m->options = mem_zero(1, m->metric->options_size)))
    return error_memory(err, "a metric");
  if (!params_parse(m->metric->params, m->metric->name, arguments, m->options, err))
    return false;
  if ((m->metric->needs & METRIC_TRUTH) && !e->request->truth)
    return error_set(err, ERROR_USAGE, "metric: %s needs to know where the truth is (a mask or boxes)",
                     m->metric->name);
  if ((m->metric->needs & (METRIC_MAP | METRIC_METHOD)) && e->n_subjects == 0)
    return error_set(err, ERROR_USAGE, "metric: %s judges maps, and neither a method nor a map is given",
                     m->metric->name);
  return true;
}

/* Every argument must be for one of the metrics. */
static bool check_arguments(const struct penumbra_evaluation *e, struct error *err)
{
  for (const char *const *p = e->request->params; p && *p; p++) {
    bool used = false;
    for (int i = 0; i < e->n_metrics; i++)
      used |= argument_for(e->metrics[i].metric, *p) != NULL;
    if (!used)
      return error_set(err, ERROR_USAGE, "metric: '%.60s' is a parameter of none of the metrics asked for", *p);
  }
  return true;
}

static bool open_evaluation(struct penumbra_evaluation *e, struct error *err)
{
  static const char *const initial[] = {"region", "deletion", "insertion", NULL};
  const penumbra_evaluation_request *request = e->request;
  const char *const *names = request->metrics ? request->metrics : initial;
  int metrics = 0, arguments = 0;
  while (names[metrics])
    metrics++;
  for (const char *const *p = request->params; p && *p; p++)
    arguments++;
  if (request->subject_count < 0 || request->subject_count > MOST_SUBJECTS || metrics > MOST_METRICS)
    return error_set(err, ERROR_USAGE, "%d subjects and %d metrics; at most %d and %d are taken",
                     request->subject_count, metrics, MOST_SUBJECTS, MOST_METRICS);
  e->height = e->model->predictor->height;
  e->width = e->model->predictor->width;
  e->subjects = mem_zero((size_t)request->subject_count + 1, sizeof *e->subjects);
  e->metrics = mem_zero((size_t)metrics + 1, sizeof *e->metrics);
  e->arguments = mem_zero(((size_t)metrics + 1) * ((size_t)arguments + 1), sizeof *e->arguments);
  e->records = json_array();
  if (!e->subjects || !e->metrics || !e->arguments || !e->records)
    return error_memory(err, "an evaluation");
  if (strcmp(e->common->target ? e->common->target : "top", "all") == 0)
    return error_set(err, ERROR_USAGE, "target: maps are judged for one class, not for all");
  for (int i = 0; i < request->subject_count; i++)
    if (!read_subject(e, &request->subjects[i], err))
      return false;
  for (int i = 0; i < metrics; i++)
    if (!read_metric(e, names[i], e->arguments + i * (arguments + 1), err))
      return false;
  struct precision_check precision = {.used = PRECISION_F32};
  struct explain probe = {.evaluate.precision = &precision};
  return check_arguments(e, err) && api_request(e->common, &probe, err);
}

penumbra_evaluation *penumbra_evaluation_new(const penumbra_model *model, const penumbra_evaluation_request *request,
                                             penumbra_error *err)
{
  static const penumbra_request common = {.size = sizeof common};
  struct error failed = {ERROR_NONE};
  struct penumbra_evaluation *e = mem_zero(1, sizeof *e);
  if (e) {
    e->model = model;
    e->request = request;
    e->common = request->request ? request->request : &common;
  }
  if (e ? open_evaluation(e, &failed) : error_memory(&failed, "an evaluation"))
    return e;
  penumbra_evaluation_free(e);
  api_error(err, &failed);
  return NULL;
}

void penumbra_evaluation_free(penumbra_evaluation *e)
{
  if (!e)
    return;
  for (int i = 0; i < e->n_subjects; i++) {
    mem_free(e->subjects[i].options);
    mem_free(e->subjects[i].map);
  }
  for (int i = 0; i < e->n_metrics; i++)
    mem_free(e->metrics[i].options);
  mem_free(e->subjects);
  mem_free(e->metrics);
  mem_free(e->arguments);
  json_decref(e->records);
  mem_free(e);
}

/* ---- maps from elsewhere ---------------------------------------------------------------------------------------- */

/* [H, W] of an array, channels summed; *sum is owned by the caller. */
static bool sum_channels(const char *name, const penumbra_array *array, float **sum, int *height, int *width,
                         struct error *err)
{
  const int rank = array->rank;
  if ((rank != 2 && rank != 3) || !array->data)
    return error_set(err, ERROR_FAILED, "%.80s: a map of rank %d; [H,W] or [C,H,W] is wanted", name, rank);
  const int64_t channels = rank == 3 ? array->dims[0] : 1, h = array->dims[rank - 2], w = array->dims[rank - 1];
  if (channels < 1 || channels > 4 || h < 1 || w < 1 || h > IMAGE_MAX_SIDE || w > IMAGE_MAX_SIDE)
    return error_set(err, ERROR_FAILED, "%.80s: a map of %lld x %lld x %lld; 1 to 4 channels of 1 to %d px are wanted",
                     name, (long long)channels, (long long)h, (long long)w, IMAGE_MAX_SIDE);
  const int64_t pixels = h * w;
  *sum = mem_zero((size_t)pixels, sizeof **sum);
  if (!*sum)
    return error_memory(err, "a map");
  int64_t bad = 0;
  for (int64_t i = 0; i < channels * pixels; i++) {
    const float v =
        array->dtype == PENUMBRA_F32 ? ((const float *)array->data)[i] : (float)((const int32_t *)array->data)[i];
    bad += !isfinite(v);
    (*sum)[i % pixels] += v;
  }
  *height = (int)h;
  *width = (int)w;
  return bad == 0 || error_set(err, ERROR_FAILED, "%.80s: %lld of the map's %lld values are not finite", name,
                               (long long)bad, (long long)(channels * pixels));
}

/* Over the picture, whatever its own resolution, and from there to the model grid. */
static bool resample(const float *map, int height, int width, const struct geometry *g, float *to, struct error *err)
{
  struct image own = {.width = width,
                      .height = height,
                      .channels = 1,
                      .type = PIXEL_F32,
                      .data = (void *)(uintptr_t)map,
                      .lo = 0,
                      .hi = 1};
  struct image source = {0};
  if (width == g->source_width && height == g->source_height) {
    preprocess_to_model(g, map, to, false);
    return true;
  }
  const bool ok = image_resize(&own, g->source_width, g->source_height, INTERPOLATION_BILINEAR, &source, err);
  if (ok)
    preprocess_to_model(g, source.data, to, false);
  image_free(&source);
  return ok;
}

static bool take_map(struct subject *s, const penumbra_array *array, const struct geometry *g, json_t *warnings,
                     struct error *err)
{
  float *sum = NULL;
  int height, width;
  bool ok = sum_channels(s->name, array, &sum, &height, &width, err);
  if (ok && height == g->height && width == g->width) {
    memcpy(s->map, sum, (size_t)height * (size_t)width * sizeof *sum);
  } else if (ok) {
    ok = resample(sum, height, width, g, s->map, err);
    json_array_append_new(warnings, json_pack("{s:s, s:o}", "id", "resampled", "message",
                                              json_sprintf("%s: the map of %dx%d was resampled to the model's %dx%d px",
                                                           s->name, width, height, g->width, g->height)));
  }
  mem_free(sum);
  return ok;
}

/* ---- one image -------------------------------------------------------------------------------------------------- */

struct work {
  struct penumbra_evaluation *e;
  const struct penumbra_image *image;
  struct input input;
  struct precision_check precision;
  struct explain explain; /* for methods */
  struct explain plain;   /* for metrics: no ceilings, f32 */
  struct evaluator *evaluator;
  int64_t target;
  char target_text[32];
  unsigned char *truth;
  json_t *subjects, *metrics, *warnings;
};

/* The class as a text that methods understand as this class: its number, unless that is the label of another. */
static void name_target(struct work *w)
{
  const struct penumbra_model *model = w->e->model;
  (void)snprintf(w->target_text, sizeof w->target_text, "%lld", (long long)w->target);
  w->explain.target = w->plain.target = w->target_text;
  for (int64_t k = 0; k < model->predictor->classes; k++)
    if (strcmp(model->labels[k], w->target_text) == 0 && k != w->target)
      w->explain.target = w->plain.target = model->labels[w->target];
}

static bool find_target(struct work *w, struct error *err)
{
  struct explanation asked;
  int64_t *targets = mem_zero((size_t)w->e->model->predictor->classes, sizeof *targets), count;
  if (!targets || !explanation_init(&asked, err)) {
    mem_free(targets);
    return error_memory(err, "a target");
  }
  const bool ok = explain_targets(&w->explain, evaluator_scores(w->evaluator), targets, &count, &asked, err);
  w->target = targets[0];
  if (ok)
    name_target(w);
  explanation_free(&asked);
  mem_free(targets);
  return ok;
}

static bool open_image(struct work *w, struct error *err)
{
  const struct penumbra_model *model = w->e->model;
  w->precision.used = PRECISION_F32;
  w->explain = (struct explain){
      .evaluate.precision = &w->precision,
      .predictor = model->predictor,
      .model = model->onnx,
      .card = model->card,
      .input = &w->input,
      .labels = model->labels,
      .thresholds = model->thresholds,
  };
  w->subjects = json_object();
  w->metrics = json_object();
  w->warnings = json_array();
  if (!w->subjects || !w->metrics || !w->warnings)
    return error_memory(err, "a record");
  if (!api_request(w->e->common, &w->explain, err) || !api_preprocess(model, w->image, &w->input, err))
    return false;
  w->plain = w->explain;
  w->plain.evaluate.precision = NULL;
  w->plain.evaluate.evals = 0;
  w->plain.evaluate.budget = 0;
  w->evaluator = evaluator_open(model->predictor, &w->plain.evaluate, w->input.x, err);
  if (!w->evaluator)
    return error_prefix(err, "%s", w->image->name);
  return find_target(w, err);
}

static bool read_truth(struct work *w, struct error *err)
{
  bool wanted = false;
  for (int i = 0; i < w->e->n_metrics; i++)
    wanted |= (w->e->metrics[i].metric->needs & METRIC_TRUTH) != 0;
  if (!wanted)
    return true;
  const struct geometry *g = &w->input.geometry;
  w->truth = mem_zero((size_t)g->height, (size_t)g->width);
  return w->truth ? truth_read(w->e->request->truth, w->image->name, w->e->model->labels[w->target], g, w->truth, err)
                  : error_memory(err, "a mask");
}

static bool explain_subject(struct work *w, struct subject *s, struct error *err)
{
  struct explanation e;
  const double from = now();
  if (!explanation_init(&e, err))
    return false;
  const struct precision_check asked = w->precision;
  const bool ok = method_run(&w->explain, s->method, s->options, &e, err);
  if (s->method->needs == NEEDS_GRADIENT) /* it has settled for float32; others need not */
    w->precision = asked;
  if (ok) {
    const struct npy *map = explanation_find(&e, "map");
    memcpy(s->map, map->data, (size_t)w->e->height * (size_t)w->e->width * sizeof *s->map);
    json_object_set_new(w->subjects, s->name,
                        json_pack("{s:s, s:o, s:I, s:f, s:s, s:O, s:O}", "method", s->method->name, "params",
                                  params_json(s->method->params, s->options), "evaluations", (json_int_t)e.evaluations,
                                  "seconds", now() - from, "stopped_by", e.stopped_by, "quality", e.quality, "warnings",
                                  e.warnings));
  }
  explanation_free(&e);
  return ok || error_prefix(err, "%s: %s", w->image->name, s->name);
}

static size_t map_bytes(const penumbra_array *array)
{
  size_t n = 4;
  for (int i = 0; i < array->rank; i++)
    n *= (size_t)array->dims[i];
  return n;
}

static bool make_maps(struct work *w, const penumbra_array *maps, struct error *err)
{
  char sha256[65];
  for (int i = 0; i < w->e->n_subjects; i++) {
    struct subject *s = &w->e->subjects[i];
    if (s->method && !(maps && maps[i].data)) {
      if (!explain_subject(w, s, err))
        return false;
      continue;
    }
    if (!maps)
      return error_set(err, ERROR_USAGE, "%s: no map of %.80s is given", w->image->name, s->name);
    if (!take_map(s, &maps[i], &w->input.geometry, w->warnings, err))
      return error_prefix(err, "%s", w->image->name);
    if (!file_sha256(maps[i].data, map_bytes(&maps[i]), sha256))
      return error_memory(err, "a map");
    json_object_set_new(w->subjects, s->name,
                        json_pack("{s:s?, s:s}", "method", s->method ? s->method->name : NULL, "sha256", sha256));
  }
  return true;
}

/* Why a metric has nothing to say about a subject, or NULL. */
static const char *not_for(const struct work *w, const struct metric *metric, const struct subject *s)
{
  if ((metric->needs & METRIC_METHOD) && !s->method)
    return "this metric runs the method, and the map is from elsewhere";
  if ((metric->needs & METRIC_WEIGHTS) && !w->e->model->onnx)
    return "this metric replaces weights, and the classifier shows none";
  return NULL;
}

static bool measure_one(struct work *w, const struct chosen_metric *m, const struct subject *s, int variant,
                        const char *name, struct shared_figures *shared, json_t *into, struct error *err)
{
  struct measurement out;
  const char *reason = s ? not_for(w, m->metric, s) : NULL;
  const struct measure measure = {
      .explain = &w->plain,
      .evaluator = w->evaluator,
      .target = w->target,
      .map = s ? s->map : NULL,
      .method = s ? s->method : NULL,
      .method_options = s ? s->options : NULL,
      .method_explain = &w->explain,
      .truth = w->truth,
      .path = w->image->name,
      .variant = variant,
      .shared = shared,
  };
  const int64_t before = evaluator_count(w->evaluator);
  const double from = now();
  if (!measurement_init(&out, err))
    return false;
  bool ok = true;
  if (reason)
    measurement_detail(&out, "skipped", json_string(reason));
  else
    ok = m->metric->run(&measure, m->options, &out, err) ||
         error_prefix(err, "%s: %s of %s", w->image->name, m->metric->name, name);
  json_t *json = ok ? measurement_json(&out) : NULL;
  if (json) {
    const json_t *own = json_object_get(out.details, "evaluations"); /* of metrics that open sessions of their own */
    json_object_set_new(json, "evaluations",
                        json_integer(evaluator_count(w->evaluator) - before + json_integer_value(own)));
    json_object_set_new(json, "seconds", json_real(now() - from));
    json_object_set_new(into, name, json);
  }
  measurement_free(&out);
  return ok && (json || error_memory(err, "a record"));
}

/* By one metric: every variant of it, or every map. */
static bool measure_by(struct work *w, const struct chosen_metric *m, struct shared_figures *shared, struct error *err)
{
  json_t *into = json_object();
  char name[NAME];
  json_object_set_new(w->metrics, m->metric->name, into);
  if (m->metric->variant) {
    for (int k = 0; m->metric->variant(m->options, k, name, sizeof name); k++)
      if (!measure_one(w, m, NULL, k, name, NULL, into, err))
        return false;
    return true;
  }
  for (int k = 0; k < w->e->n_subjects; k++)
    if (!measure_one(w, m, &w->e->subjects[k], 0, w->e->subjects[k].name, shared, into, err))
      return false;
  return true;
}

static bool measure_all(struct work *w, struct error *err)
{
  for (int i = 0; i < w->e->n_metrics; i++) {
    struct shared_figures shared = {0};
    const bool ok = measure_by(w, &w->e->metrics[i], &shared, err);
    shared_free(&shared);
    if (!ok)
      return false;
  }
  return true;
}

/* The record with its numbers as a file holds them, so that a run which is continued ends like one that was not
 * interrupted. Takes the reference. */
static json_t *as_written(json_t *record)
{
  char *text = record ? json_dumps(record, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
  json_decref(record);
  record = text ? json_loads(text, 0, NULL) : NULL;
  penumbra_text_free(text);
  return record;
}

static json_t *record_of(const struct work *w)
{
  const struct penumbra_image *image = w->image;
  char *name = mem_strdup(image->name);
  if (!name)
    return NULL;
  str_clean(name);
  json_t *record =
      json_pack("{s:s, s:{s:s, s:s, s:i, s:i}, s:{s:I, s:s, s:o}, s:O, s:O, s:O}", "schema", schema, "image", "path",
                name, "sha256", image->sha256, "width", image->image.width, "height", image->image.height, "target",
                "index", (json_int_t)w->target, "label", w->e->model->labels[w->target], "score",
                json_number_or_null((double)evaluator_scores(w->evaluator)[w->target]), "subjects", w->subjects,
                "metrics", w->metrics, "warnings", w->warnings);
  mem_free(name);
  return as_written(record);
}

bool penumbra_evaluation_add(penumbra_evaluation *e, const penumbra_image *image, const penumbra_array *maps,
                             penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  struct work w = {.e = e, .image = image};
  bool ok =
      open_image(&w, &failed) && read_truth(&w, &failed) && make_maps(&w, maps, &failed) && measure_all(&w, &failed);
  json_t *record = ok ? record_of(&w) : NULL;
  if (ok && (!record || json_array_append_new(e->records, record) != 0))
    ok = error_memory(&failed, "a record");
  evaluator_close(w.evaluator);
  input_free(&w.input);
  mem_free(w.truth);
  json_decref(w.subjects);
  json_decref(w.metrics);
  json_decref(w.warnings);
  return ok || api_error(err, &failed);
}

bool penumbra_evaluation_restore(penumbra_evaluation *e, const char *result, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  json_error_t cause;
  json_t *record = json_loads(result, JSON_REJECT_DUPLICATES, &cause);
  const char *says = json_string_value(json_object_get(record, "schema"));
  bool ok = record && says && strcmp(says, schema) == 0 && json_is_object(json_object_get(record, "metrics"));
  if (!ok)
    error_set(&failed, ERROR_FAILED, "a result is no record of an evaluation (%s expected)", schema);
  for (int i = 0; ok && i < e->n_metrics; i++)
    if (!json_is_object(json_object_get(json_object_get(record, "metrics"), e->metrics[i].metric->name)))
      ok = error_set(&failed, ERROR_FAILED, "a result holds nothing of the metric %s", e->metrics[i].metric->name);
  if (ok && json_array_append(e->records, record) != 0)
    ok = error_memory(&failed, "a record");
  json_decref(record);
  return ok || api_error(err, &failed);
}

/* ---- all images ------------------------------------------------------------------------------------------------- */

static json_t *settings_json(const struct penumbra_evaluation *e)
{
  json_t *metrics = json_object(), *subjects = json_array();
  for (int i = 0; i < e->n_metrics; i++)
    json_object_set_new(metrics, e->metrics[i].metric->name,
                        params_json(e->metrics[i].metric->params, e->metrics[i].options));
  for (int i = 0; i < e->n_subjects; i++) {
    const struct subject *s = &e->subjects[i];
    json_array_append_new(subjects,
                          json_pack("{s:s, s:s?, s:o}", "name", s->name, "method", s->method ? s->method->name : NULL,
                                    "params", s->method ? params_json(s->method->params, s->options) : json_null()));
  }
  return json_pack("{s:s, s:s, s:I, s:o, s:o}", "target", e->common->target ? e->common->target : "top", "score",
                   e->common->score ? e->common->score : "prob", "seed", (json_int_t)e->common->seed, "subjects",
                   subjects, "metrics", metrics);
}

/* Which images counted, and what was said about them. */
static json_t *images_json(const struct penumbra_evaluation *e)
{
  json_t *images = json_array();
  size_t i;
  json_t *record;
  json_array_foreach (e->records, i, record)
    json_array_append_new(images, json_pack("{s:O, s:O, s:O}", "image", json_object_get(record, "image"), "target",
                                            json_object_get(record, "target"), "warnings",
                                            json_object_get(record, "warnings")));
  return images;
}

/* What making the maps cost, over all images. */
static json_t *costs_json(const struct penumbra_evaluation *e)
{
  json_t *costs = json_object();
  for (int i = 0; i < e->n_subjects; i++) {
    int64_t evaluations = 0;
    double seconds = 0;
    size_t k;
    const json_t *record;
    if (!e->subjects[i].method)
      continue;
    json_array_foreach (e->records, k, record) {
      const json_t *own = json_object_get(json_object_get(record, "subjects"), e->subjects[i].name);
      evaluations += json_integer_value(json_object_get(own, "evaluations"));
      seconds += json_number_value(json_object_get(own, "seconds"));
    }
    json_object_set_new(costs, e->subjects[i].name,
                        json_pack("{s:I, s:f}", "evaluations", (json_int_t)evaluations, "seconds", seconds));
  }
  return costs;
}

json_t *evaluation_summary(const struct penumbra_evaluation *e, struct error *err)
{
  const char *path = e->model->onnx ? e->model->onnx->path : NULL;
  json_t *metrics = json_object();
  for (int i = 0; i < e->n_metrics; i++) {
    json_t *summary = summary_make(e->metrics[i].metric, e->records, err);
    if (!summary) {
      json_decref(metrics);
      return NULL;
    }
    json_object_set_new(metrics, e->metrics[i].metric->name, summary);
  }
  json_t *rates = NULL;
  if (!artifact_rates(e->model, e->common, &rates, err)) {
    json_decref(metrics);
    return NULL;
  }
  json_t *all = json_pack("{s:s, s:{s:s, s:s}, s:{s:o, s:s}, s:o, s:o, s:o, s:o, s:o}", "schema", schema, "tool",
                          "name", "penumbra", "version", PENUMBRA_VERSION, "model", "path",
                          path && str_is_utf8(path) ? json_string(path) : json_null(), "sha256", model_sha256(e->model),
                          "settings", settings_json(e), "images", images_json(e), "explained", costs_json(e),
                          "artifacts", rates ? rates : json_null(), "metrics", metrics);
  if (!all)
    error_memory(err, "a summary");
  return all;
}

char *penumbra_evaluation_json(const penumbra_evaluation *e, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  json_t *all = evaluation_summary(e, &failed);
  if (all)
    return api_text(all, err);
  api_error(err, &failed);
  return NULL;
}
