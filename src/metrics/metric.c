/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/metric.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "methods/fills_each.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define METRIC(name) extern const struct metric metric_##name;
#include "metrics/metrics.def"
#undef METRIC

static const struct metric *const metrics[] = {
#define METRIC(name) &metric_##name,
#include "metrics/metrics.def"
#undef METRIC
};

const struct metric *metric_at(int i)
{
  return i >= 0 && (size_t)i < sizeof metrics / sizeof *metrics ? metrics[i] : NULL;
}

const struct metric *metric_require(const char *name, struct error *err)
{
  struct str names;
  for (int i = 0; metric_at(i); i++)
    if (strcmp(metric_at(i)->name, name) == 0)
      return metric_at(i);
  str_init(&names, 180);
  for (int i = 0; metric_at(i); i++)
    str_printf(&names, "%s%s", i ? ", " : "", metric_at(i)->name);
  error_set(err, ERROR_USAGE, "metric: '%.40s' is none of %s", name, names.text ? names.text : "");
  str_free(&names);
  return NULL;
}

json_t *metric_json(const struct metric *metric)
{
  static const struct {
    unsigned flag;
    const char *name;
  } needs[] = {{METRIC_MAP, "map"}, {METRIC_METHOD, "method"}, {METRIC_TRUTH, "truth"}, {METRIC_WEIGHTS, "weights"}};
  json_t *list = json_array();
  for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
    if (metric->needs & needs[i].flag)
      json_array_append_new(list, json_string(needs[i].name));
  return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:o}", "name", metric->name, "title", metric->title, "summary",
                   metric->summary, "paper", metric->paper, "needs", list, "headline", metric->headline, "better",
                   metric->less_is_better ? "less" : "more", "parameters", params_describe(metric->params));
}

/* ---- shared between the maps of an image ------------------------------------------------------------------------ */

const double *metric_shared(const struct measure *measure, size_t count)
{
  const struct shared_figures *shared = measure->shared;
  return shared && shared->values && shared->count == count ? shared->values : NULL;
}

void metric_share(const struct measure *measure, const double *values, size_t count)
{
  struct shared_figures *shared = measure->shared;
  if (!shared || shared->values)
    return;
  shared->values = mem_alloc(count * sizeof *values);
  shared->count = count;
  if (shared->values)
    memcpy(shared->values, values, count * sizeof *values);
}

void shared_free(struct shared_figures *shared)
{
  mem_free(shared->values);
  *shared = (struct shared_figures){0};
}

/* ---- measurements ----------------------------------------------------------------------------------------------- */

bool measurement_init(struct measurement *m, struct error *err)
{
  *m = (struct measurement){json_object(), json_object(), json_object(), json_object(), json_array()};
  if (m->values && m->spread && m->details && m->curves && m->warnings)
    return true;
  measurement_free(m);
  return error_memory(err, "a measurement");
}

void measurement_free(struct measurement *m)
{
  json_decref(m->values);
  json_decref(m->spread);
  json_decref(m->details);
  json_decref(m->curves);
  json_decref(m->warnings);
  *m = (struct measurement){0};
}

void measurement_value(struct measurement *m, const char *name, double value)
{
  json_object_set_new(m->values, name, json_number_or_null(value));
}

void measurement_spread(struct measurement *m, const char *name, double sd, int64_t n, bool single)
{
  json_object_set_new(
      m->spread, name,
      json_pack("{s:o, s:I, s:b}", "sd", json_number_or_null(sd), "n", (json_int_t)n, "single", single));
}

void measurement_detail(struct measurement *m, const char *name, json_t *value)
{
  json_object_set_new(m->details, name, value);
}

static json_t *numbers(const double *x, int64_t n)
{
  json_t *list = json_array();
  for (int64_t i = 0; i < n; i++)
    json_array_append_new(list, json_number_or_null(x[i]));
  return list;
}

void measurement_curve(struct measurement *m, const char *name, const double *y, const double *error, int64_t n)
{
  json_t *curve = json_pack("{s:o}", "y", numbers(y, n));
  if (error)
    json_object_set_new(curve, "stderr", numbers(error, n));
  json_object_set_new(m->curves, name, curve);
}

void measurement_abscissa(struct measurement *m, double step, int64_t n)
{
  json_t *x = json_array();
  for (int64_t i = 0; i < n; i++)
    json_array_append_new(x, json_real((double)i * step));
  measurement_detail(m, "x", x);
}

void measurement_warn(struct measurement *m, const char *id, const char *format, ...)
{
  char message[240];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(message, sizeof message, format, args);
  va_end(args);
  json_array_append_new(m->warnings, json_pack("{s:s, s:s}", "id", id, "message", message));
}

json_t *measurement_json(const struct measurement *m)
{
  return json_pack("{s:O, s:O, s:O, s:O, s:O}", "values", m->values, "spread", m->spread, "details", m->details,
                   "curves", m->curves, "warnings", m->warnings);
}

/* ---- what several need ------------------------------------------------------------------------------------------ */

bool metric_pixels(const struct length *length, double base, bool vertical, const struct input *input, const char *name,
                   int *px, struct error *err)
{
  const struct geometry *g = &input->geometry;
  const int side = g->height < g->width ? g->height : g->width;
  double value = vertical ? length->y : length->x;
  if (length->automatic) {
    value = base * side / 224;
  } else if (length->millimetres) {
    const double spacing = vertical ? input->spacing_y : input->spacing_x;
    if (!(spacing > 0))
      return error_set(err, ERROR_USAGE, "%s: %gmm needs the image's pixel spacing, which is not known (no-spacing)",
                       name, value);
    value /= spacing;
  }
  *px = value < 1 ? 1 : value > IMAGE_MAX_SIDE ? IMAGE_MAX_SIDE : (int)floor(value + 0.5);
  return true;
}

bool metric_rerun(const struct measure *measure, const struct explain *explain, float *map, float *error,
                  bool *has_error, int64_t *evaluations, struct error *err)
{
  const size_t bytes = (size_t)explain->predictor->height * (size_t)explain->predictor->width * sizeof *map;
  struct explain own = *explain;
  struct explanation out;
  own.target = measure->method_explain->target;
  if (!explanation_init(&out, err))
    return false;
  const bool ok = method_run(&own, measure->method, measure->method_options, &out, err);
  if (ok) {
    const struct npy *found = explanation_find(&out, "stderr");
    memcpy(map, explanation_find(&out, "map")->data, bytes);
    if (error && found && npy_count(found) * (int64_t)sizeof *error == (int64_t)bytes) {
      memcpy(error, found->data, bytes);
      *has_error = true;
    }
    *evaluations += out.evaluations;
  }
  explanation_free(&out);
  return ok;
}

bool metric_flat(const struct measure *measure, struct measurement *out)
{
  const struct predictor *p = measure->explain->predictor;
  for (int64_t i = 1; i < (int64_t)p->height * p->width; i++)
    if (measure->map[i] != measure->map[0])
      return false;
  measurement_warn(out, "flat-map", "the map is constant: its order is random");
  return true;
}

double mean_of(const double *x, int64_t n)
{
  double sum = 0;
  for (int64_t i = 0; i < n; i++)
    sum += x[i];
  return n > 0 ? sum / (double)n : NAN;
}

double deviation_of(const double *x, int64_t n)
{
  const double mean = mean_of(x, n);
  double square = 0;
  for (int64_t i = 0; i < n; i++)
    square += (x[i] - mean) * (x[i] - mean);
  return n > 1 ? sqrt(square / (double)(n - 1)) : 0;
}
