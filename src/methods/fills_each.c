/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/fills_each.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { MOST_FILLS = 16 };

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct each {
  const struct method *method;
  const struct explain *explain;
  size_t offset; /* of the fill's text in the options */
  char *text;    /* the names, commas replaced by ends */
  const char *name[MOST_FILLS];
  int n, at;              /* fills, the one that runs */
  unsigned char *options; /* a copy, with one fill */
  int64_t done;           /* evaluations of the fills before */
  struct explanation *out;
};

static const char *const *fill_option(const struct method *method, const void *options, size_t *offset)
{
  for (const struct param *p = method->params; p->name; p++)
    if (p->type == PARAM_TEXT && strcmp(p->name, "fill") == 0) {
      *offset = p->offset;
      return (const char *const *)(const void *)((const char *)options + p->offset);
    }
  return NULL;
}

size_t fills_first(const char *list)
{
  const char *end = list;
  for (; *end; end++) {
    const size_t next = *end == ',' ? strcspn(end + 1, ",:") : 0;
    if (next && (fill_known(end + 1, next) || (next == 12 && memcmp(end + 1, "segment-mean", next) == 0)))
      break;
  }
  return (size_t)(end - list);
}

static bool split(struct each *e, const char *text, struct error *err)
{
  e->text = mem_strdup(text);
  if (!e->text)
    return error_memory(err, "fills");
  for (char *p = e->text;; p++) {
    if (e->n == MOST_FILLS)
      return error_set(err, ERROR_USAGE, "fill: more than %d fills", MOST_FILLS);
    e->name[e->n++] = p;
    p += fills_first(p);
    if (!*p)
      return true;
    *p = '\0';
  }
}

static bool forward_progress(void *context, const struct progress *progress)
{
  const struct each *e = context;
  struct progress all = *progress;
  all.done += e->done;
  if (all.total > 0) {
    all.total =
        all.done - progress->done + progress->total * (e->n - e->at); /* those to come take as long as this one */
    if (all.remaining >= 0 && progress->done > 0)
      all.remaining = progress->seconds / (double)progress->done * (double)(all.total - all.done);
  }
  return e->explain->evaluate.progress(e->explain->evaluate.progress_context, &all);
}

/* ---- one fill's explanation into the whole ----------------------------------------------------------------------- */

static bool copy_array(struct explanation *out, const char *name, const struct npy *array, struct error *err)
{
  void *to = array->type == NPY_F32 ? (void *)explanation_floats(out, name, array->rank, array->dim, err)
                                    : (void *)explanation_ints(out, name, array->rank, array->dim, err);
  if (to)
    memcpy(to, array->data, (size_t)npy_count(array) * sizeof(float));
  return to != NULL;
}

/* What is the same for all, and what is kept of the first. */
static bool take_first(struct each *e, struct explanation *one, struct error *err)
{
  struct explanation *out = e->out;
  const struct npy *map = explanation_find(one, "map");
  const int64_t dims[3] = {e->n, map->dim[map->rank - 2], map->dim[map->rank - 1]};
  for (int i = 0; i < one->n_arrays; i++)
    if (!copy_array(out, one->arrays[i].name, &one->arrays[i].array, err))
      return false;
  float *sum = explanation_find(out, "map")->data;
  for (int64_t i = 0; i < npy_count(map); i++) /* running mean, from nothing */
    sum[i] = 0;
  const struct npy *error = explanation_find(out, "stderr");
  for (int64_t i = 0; error && i < npy_count(error); i++)
    ((float *)error->data)[i] = 0;
  out->all_targets = one->all_targets;
  out->target = one->target;
  out->classes = one->classes;
  out->scores = one->scores;
  one->scores = NULL;
  json_object_update(out->details, one->details);
  json_object_update(out->quality, one->quality);
  json_object_update(out->documents, one->documents);
  json_object_set_new(out->details, "fills", json_array());
  return explanation_floats(out, "disagreement", map->rank, map->dim, err) &&
         explanation_floats(out, "fill_maps", 3, dims, err);
}

/* Welford's running mean and sum of squared deviations, n values so far with this one. */
static void add_map(const struct npy *map, int n, float *mean, float *square)
{
  const float *x = map->data;
  for (int64_t i = 0; i < npy_count(map); i++) {
    const double before = (double)mean[i], after = before + ((double)x[i] - before) / n;
    square[i] = (float)((double)square[i] + ((double)x[i] - before) * ((double)x[i] - after));
    mean[i] = (float)after;
  }
}

static bool take(struct each *e, struct explanation *one, struct error *err)
{
  struct explanation *out = e->out;
  const char *name = e->name[e->at];
  const struct npy *map = explanation_find(one, "map"), *error = explanation_find(one, "stderr");
  const int64_t pixels = map->dim[map->rank - 1] * map->dim[map->rank - 2];
  size_t i;
  json_t *warning;
  if (e->at == 0 && !take_first(e, one, err))
    return false;
  add_map(map, e->at + 1, explanation_find(out, "map")->data, explanation_find(out, "disagreement")->data);
  memcpy((float *)explanation_find(out, "fill_maps")->data + e->at * pixels,
         (const float *)map->data + (one->all_targets ? one->target * pixels : 0), (size_t)pixels * sizeof(float));
  const struct npy *mean_error = explanation_find(out, "stderr");
  for (int64_t k = 0; mean_error && error && k < npy_count(error); k++)
    ((float *)mean_error->data)[k] += ((const float *)error->data)[k] / (float)e->n;
  out->evaluations += one->evaluations;
  out->seconds += one->seconds;
  if (strcmp(out->stopped_by, "complete") == 0)
    out->stopped_by = one->stopped_by;
  json_array_foreach (one->warnings, i, warning)
    explanation_warn(out, json_string_value(json_object_get(warning, "id")), "fill %s: %s", name,
                     json_string_value(json_object_get(warning, "message")));
  json_array_append_new(json_object_get(out->details, "fills"),
                        json_pack("{s:s, s:I, s:s, s:O, s:O}", "fill", name, "evaluations",
                                  (json_int_t)one->evaluations, "stopped_by", one->stopped_by, "quality", one->quality,
                                  "warnings", one->warnings));
  e->done += one->evaluations;
  return true;
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

static bool run_one(struct each *e, double until, struct error *err)
{
  struct explain explain = *e->explain;
  struct explanation one;
  if (explain.evaluate.progress) {
    explain.evaluate.progress = forward_progress;
    explain.evaluate.progress_context = e;
  }
  if (explain.evaluate.evals)
    explain.evaluate.evals = explain.evaluate.evals / e->n > 0 ? explain.evaluate.evals / e->n : 1;
  if (explain.evaluate.budget > 0)
    explain.evaluate.budget = fmax((until - now()) / (e->n - e->at), 1e-3);
  memcpy(e->options + e->offset, &e->name[e->at], sizeof e->name[e->at]);
  if (!explanation_init(&one, err))
    return false;
  const bool ok = e->method->run(&explain, e->options, &one, err) && take(e, &one, err);
  explanation_free(&one);
  return ok || error_prefix(err, "fill %s", e->name[e->at]);
}

static void finish(struct each *e)
{
  const struct npy *spread = explanation_find(e->out, "disagreement");
  float *x = spread->data;
  for (int64_t i = 0; i < npy_count(spread); i++)
    x[i] = (float)sqrt((double)x[i] / e->n);
}

bool method_run(const struct explain *explain, const struct method *method, const void *options,
                struct explanation *out, struct error *err)
{
  struct each e = {.method = method, .explain = explain, .out = out};
  const char *const *fill = fill_option(method, options, &e.offset);
  bool ok = !fill || split(&e, *fill, err);
  if (ok && e.n < 2) {
    ok = method->run(explain, options, out, err);
  } else if (ok) {
    const double until = now() + explain->evaluate.budget;
    e.options = mem_alloc(method->options_size);
    ok = e.options != NULL || error_memory(err, "fills");
    if (ok)
      memcpy(e.options, options, method->options_size);
    for (e.at = 0; ok && e.at < e.n; e.at++)
      ok = run_one(&e, until, err);
    if (ok)
      finish(&e);
  }
  mem_free(e.text);
  mem_free(e.options);
  return ok;
}
