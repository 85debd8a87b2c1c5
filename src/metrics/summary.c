/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/summary.h"

#include "metrics/agreement.h"
#include "metrics/student.h"

#include "base/json.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

struct interval {
  double mean, lo, hi; /* NAN where not known */
  int64_t n, undefined;
};

struct summary {
  const struct metric *metric;
  const json_t *records;
  int64_t n;            /* records */
  const char **subject; /* names, in the order of their first appearance */
  int subjects;
  double *value; /* [subjects, n] the headline, NAN where undefined */
  double *work;  /* [n] */
};

static const json_t *measurement_of(const struct summary *s, int64_t record, const char *subject)
{
  const json_t *metrics = json_object_get(json_array_get(s->records, (size_t)record), "metrics");
  return json_object_get(json_object_get(metrics, s->metric->name), subject);
}

static const char *label_of(const struct summary *s, int64_t record)
{
  const json_t *target = json_object_get(json_array_get(s->records, (size_t)record), "target");
  const char *label = json_string_value(json_object_get(target, "label"));
  return label ? label : "";
}

static double number_of(const json_t *value)
{
  return json_is_number(value) ? json_number_value(value) : NAN;
}

static double value_of(const struct summary *s, int64_t record, const char *subject, const char *name)
{
  return number_of(json_object_get(json_object_get(measurement_of(s, record, subject), "values"), name));
}

/* ---- intervals -------------------------------------------------------------------------------------------------- */

/* Mean with its t-interval; lo and hi unknown below two values. */
static struct interval interval_of(const double *x, int64_t n)
{
  struct interval i = {.mean = mean_of(x, n), .lo = NAN, .hi = NAN, .n = n};
  if (n > 1) {
    const double half = student_95(n - 1) * deviation_of(x, n) / sqrt((double)n);
    i.lo = i.mean - half;
    i.hi = i.mean + half;
  }
  return i;
}

/* From one image: over its repetitions. */
static void widen_single(struct interval *i, const json_t *spread)
{
  const int64_t n = json_integer_value(json_object_get(spread, "n"));
  const double sd = number_of(json_object_get(spread, "sd"));
  if (n < 2 || isnan(sd))
    return;
  const bool single = json_is_true(json_object_get(spread, "single"));
  const double half = student_95(n - 1) * sd * sqrt((single ? 1 : 0) + 1 / (double)n);
  i->lo = i->mean - half;
  i->hi = i->mean + half;
}

/* The mean of the classes' means; images are drawn within a class, so that variances add up class by class. */
static struct interval interval_by_class(const struct summary *s, const char *subject, const char *name)
{
  struct interval out = {.lo = NAN, .hi = NAN};
  double sum = 0, variance = 0;
  int64_t classes = 0;
  bool known = true;
  for (int64_t first = 0; first < s->n; first++) {
    bool seen = false;
    for (int64_t r = 0; r < first && !seen; r++)
      seen = strcmp(label_of(s, r), label_of(s, first)) == 0;
    int64_t m = 0;
    for (int64_t r = first; r < s->n && !seen; r++) {
      const double v = value_of(s, r, subject, name);
      if (strcmp(label_of(s, r), label_of(s, first)) == 0 && !isnan(v))
        s->work[m++] = v;
    }
    if (m == 0)
      continue;
    const double sd = deviation_of(s->work, m);
    sum += mean_of(s->work, m);
    variance += sd * sd / (double)m;
    known &= m > 1;
    out.n += m;
    classes++;
  }
  out.mean = classes ? sum / (double)classes : NAN;
  if (classes && known) {
    const double half = student_95(out.n - classes) * sqrt(variance) / (double)classes;
    out.lo = out.mean - half;
    out.hi = out.mean + half;
  }
  return out;
}

static struct interval interval_for(const struct summary *s, const char *subject, const char *name)
{
  struct interval out;
  int64_t n = 0, measured = 0, last = 0;
  for (int64_t r = 0; r < s->n; r++) {
    const json_t *m = measurement_of(s, r, subject);
    const double v = value_of(s, r, subject, name);
    measured += m && !json_object_get(json_object_get(m, "details"), "skipped");
    if (!isnan(v)) {
      s->work[n++] = v;
      last = r;
    }
  }
  out = interval_of(s->work, n);
  if (n == 1)
    widen_single(&out, json_object_get(json_object_get(measurement_of(s, last, subject), "spread"), name));
  if (s->metric->by_class && n > 1)
    out = interval_by_class(s, subject, name);
  out.undefined = measured - n;
  return out;
}

static json_t *interval_json(const struct interval *i)
{
  return json_pack("{s:o, s:o, s:o, s:I, s:I}", "mean", json_number_or_null(i->mean), "lo", json_number_or_null(i->lo),
                   "hi", json_number_or_null(i->hi), "n", (json_int_t)i->n, "undefined", (json_int_t)i->undefined);
}

/* ---- one subject ------------------------------------------------------------------------------------------------ */

static json_t *values_json(const struct summary *s, const char *subject)
{
  json_t *values = json_object();
  for (int64_t r = 0; r < s->n; r++) {
    const char *name;
    json_t *ignored;
    json_object_foreach (json_object_get(measurement_of(s, r, subject), "values"), name, ignored) {
      if (json_object_get(values, name))
        continue;
      const struct interval i = interval_for(s, subject, name);
      json_object_set_new(values, name, interval_json(&i));
    }
  }
  return values;
}

static const json_t *curve_of(const struct summary *s, int64_t record, const char *subject, const char *name)
{
  return json_object_get(json_object_get(measurement_of(s, record, subject), "curves"), name);
}

/* A curve's mean over images; NULL where images differ in the number of points. */
static json_t *curve_json(const struct summary *s, const char *subject, const char *name)
{
  json_t *list[3] = {json_array(), json_array(), json_array()};
  size_t points = 0;
  int64_t curves = 0, last = 0;
  bool same = true;
  for (int64_t r = 0; r < s->n; r++) {
    const size_t own = json_array_size(json_object_get(curve_of(s, r, subject, name), "y"));
    if (!own)
      continue;
    same &= curves == 0 || own == points;
    points = own;
    last = r;
    curves++;
  }
  const json_t *draws = json_object_get(json_object_get(measurement_of(s, last, subject), "details"), "draws");
  for (size_t k = 0; same && k < points; k++) {
    int64_t n = 0;
    for (int64_t r = 0; r < s->n; r++) {
      const json_t *y = json_array_get(json_object_get(curve_of(s, r, subject, name), "y"), k);
      if (json_is_number(y))
        s->work[n++] = json_number_value(y);
    }
    struct interval i = interval_of(s->work, n);
    const double error = number_of(json_array_get(json_object_get(curve_of(s, last, subject, name), "stderr"), k));
    if (n == 1 && json_integer_value(draws) > 1 && !isnan(error)) {
      const double half = student_95(json_integer_value(draws) - 1) * error;
      i.lo = i.mean - half;
      i.hi = i.mean + half;
    }
    json_array_append_new(list[0], json_number_or_null(i.mean));
    json_array_append_new(list[1], json_number_or_null(i.lo));
    json_array_append_new(list[2], json_number_or_null(i.hi));
  }
  json_t *curve = json_pack("{s:o, s:o, s:o}", "y", list[0], "lo", list[1], "hi", list[2]);
  if (same)
    return curve;
  json_decref(curve);
  return NULL;
}

static json_t *curves_json(const struct summary *s, const char *subject)
{
  json_t *curves = json_object();
  for (int64_t r = 0; r < s->n; r++) {
    const char *name;
    json_t *ignored;
    json_object_foreach (json_object_get(measurement_of(s, r, subject), "curves"), name, ignored) {
      json_t *curve = json_object_get(curves, name) ? NULL : curve_json(s, subject, name);
      if (curve)
        json_object_set_new(curves, name, curve);
    }
  }
  return curves;
}

/* What a metric counts by name, added up. */
static json_t *counts_json(const struct summary *s, const char *subject)
{
  json_t *sum = json_object();
  for (int64_t r = 0; r < s->n; r++) {
    const json_t *details = json_object_get(measurement_of(s, r, subject), "details");
    const char *name;
    json_t *count;
    json_object_foreach (json_object_get(details, s->metric->counts), name, count)
      json_object_set_new(sum, name,
                          json_integer(json_integer_value(json_object_get(sum, name)) + json_integer_value(count)));
  }
  return sum;
}

static json_t *subject_json(const struct summary *s, const char *subject)
{
  int64_t evaluations = 0, images = 0, skipped = 0;
  double seconds = 0;
  json_t *x = NULL;
  for (int64_t r = 0; r < s->n; r++) {
    const json_t *m = measurement_of(s, r, subject), *details = json_object_get(m, "details");
    if (!m)
      continue;
    images++;
    skipped += json_object_get(details, "skipped") != NULL;
    evaluations += json_integer_value(json_object_get(m, "evaluations"));
    seconds += json_number_value(json_object_get(m, "seconds"));
    x = json_object_get(details, "x") ? json_object_get(details, "x") : x;
  }
  return json_pack("{s:I, s:I, s:o, s:o, s:O?, s:I, s:f, s:o*}", "images", (json_int_t)images, "skipped",
                   (json_int_t)skipped, "values", values_json(s, subject), "curves", curves_json(s, subject), "x", x,
                   "evaluations", (json_int_t)evaluations, "seconds", seconds, "counts",
                   s->metric->counts ? counts_json(s, subject) : NULL);
}

/* Every warning once for each subject, with the number of images it was given for. */
static json_t *warnings_json(const struct summary *s)
{
  json_t *list = json_array();
  for (int i = 0; i < s->subjects; i++) {
    json_t *seen = json_object();
    const char *id;
    json_t *entry;
    for (int64_t r = 0; r < s->n; r++) {
      size_t k;
      const json_t *warning;
      json_array_foreach (json_object_get(measurement_of(s, r, s->subject[i]), "warnings"), k, warning) {
        id = json_string_value(json_object_get(warning, "id"));
        if (!id)
          continue;
        if (!json_object_get(seen, id))
          json_object_set_new(seen, id,
                              json_pack("{s:s, s:s, s:O, s:i}", "subject", s->subject[i], "id", id, "message",
                                        json_object_get(warning, "message"), "images", 0));
        entry = json_object_get(json_object_get(seen, id), "images");
        json_integer_set(entry, json_integer_value(entry) + 1);
      }
    }
    json_object_foreach (seen, id, entry)
      json_array_append(list, entry);
    json_decref(seen);
  }
  return list;
}

static json_t *columns_json(const struct metric *metric)
{
  json_t *list = json_array();
  for (const char *p = metric->columns; p && *p;) {
    const size_t n = strcspn(p, ",");
    json_array_append_new(list, json_stringn(p, n));
    p += n + (p[n] == ',');
  }
  return list;
}

/* ---- ranking ---------------------------------------------------------------------------------------------------- */

/* a - b over the images on which both are defined. */
static struct interval paired(const struct summary *s, int a, int b)
{
  int64_t n = 0;
  for (int64_t r = 0; r < s->n; r++) {
    const double d = s->value[a * s->n + r] - s->value[b * s->n + r];
    if (!isnan(d))
      s->work[n++] = d;
  }
  return interval_of(s->work, n);
}

static bool is_significant(const struct interval *i)
{
  return i->n > 1 && (i->lo > 0 || i->hi < 0);
}

/* Rank 1 is best; images on which not all are defined do not count. */
static bool mean_ranks(const struct summary *s, double *mean, struct error *err)
{
  float *x = mem_zero((size_t)s->subjects, sizeof *x);
  double *ranks = mem_zero((size_t)s->subjects, sizeof *ranks);
  bool ok = (x && ranks) || error_memory(err, "ranks");
  int64_t n = 0;
  for (int64_t r = 0; ok && r < s->n; r++) {
    bool all = true;
    for (int i = 0; i < s->subjects; i++) {
      const double v = s->value[i * s->n + r];
      all &= !isnan(v);
      x[i] = (float)(s->metric->less_is_better ? v : -v);
    }
    if (!all)
      continue;
    ok = ranks_of(x, s->subjects, ranks, err);
    n++;
    for (int i = 0; i < s->subjects; i++)
      mean[i] += ranks[i];
  }
  for (int i = 0; i < s->subjects; i++)
    mean[i] = n ? mean[i] / (double)n : NAN;
  mem_free(x);
  mem_free(ranks);
  return ok;
}

/* Subjects from best to worst by their mean; undefined ones last. */
static void sort_subjects(const struct summary *s, const struct interval *of, int *order)
{
  for (int i = 0; i < s->subjects; i++) {
    int k = i;
    for (; k > 0; k--) {
      const double mine = of[i].mean, other = of[order[k - 1]].mean;
      if (isnan(mine) || (!isnan(other) && (s->metric->less_is_better ? mine >= other : mine <= other)))
        break;
      order[k] = order[k - 1];
    }
    order[k] = i;
  }
}

static bool ranking_json(const struct summary *s, json_t *out, struct error *err)
{
  struct interval *of = mem_zero((size_t)s->subjects, sizeof *of);
  int *order = mem_zero((size_t)s->subjects, sizeof *order);
  double *mean_rank = mem_zero((size_t)s->subjects, sizeof *mean_rank);
  json_t *ranking = json_array(), *pairs = json_array();
  bool ok = (of && order && mean_rank) || error_memory(err, "ranks");
  ok = ok && mean_ranks(s, mean_rank, err);
  for (int i = 0; ok && i < s->subjects; i++)
    of[i] = interval_for(s, s->subject[i], s->metric->headline);
  if (ok)
    sort_subjects(s, of, order);
  for (int i = 0, leader = 0; ok && i < s->subjects; i++) {
    const int me = order[i];
    const struct interval to_leader = paired(s, me, order[leader]);
    if (i > 0 && is_significant(&to_leader))
      leader = i;
    json_array_append_new(ranking,
                          json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "subject", s->subject[me], "rank",
                                    isnan(of[me].mean) ? json_null() : json_integer(leader + 1), "mean",
                                    json_number_or_null(of[me].mean), "lo", json_number_or_null(of[me].lo), "hi",
                                    json_number_or_null(of[me].hi), "mean_rank", json_number_or_null(mean_rank[me])));
  }
  for (int i = 0; ok && i < s->subjects; i++)
    for (int k = i + 1; k < s->subjects; k++) {
      const struct interval d = paired(s, order[i], order[k]);
      json_array_append_new(pairs,
                            json_pack("{s:s, s:s, s:o, s:o, s:o, s:I, s:o}", "a", s->subject[order[i]], "b",
                                      s->subject[order[k]], "difference", json_number_or_null(d.mean), "lo",
                                      json_number_or_null(d.lo), "hi", json_number_or_null(d.hi), "n", (json_int_t)d.n,
                                      "significant", d.n > 1 ? json_boolean(is_significant(&d)) : json_null()));
    }
  json_object_set_new(out, "ranking", ranking);
  json_object_set_new(out, "pairs", pairs);
  mem_free(of);
  mem_free(order);
  mem_free(mean_rank);
  return ok;
}

/* ---- all -------------------------------------------------------------------------------------------------------- */

static bool find_subjects(struct summary *s, struct error *err)
{
  json_t *seen = json_object(); /* keeps the order of insertion */
  const char *name;
  json_t *ignored;
  for (int64_t r = 0; r < s->n; r++) {
    const json_t *metrics = json_object_get(json_array_get(s->records, (size_t)r), "metrics");
    json_object_foreach (json_object_get(metrics, s->metric->name), name, ignored)
      if (!json_object_get(seen, name))
        json_object_set(seen, name, ignored);
  }
  s->subject = mem_zero(json_object_size(seen) + 1, sizeof *s->subject);
  s->value = mem_zero((json_object_size(seen) + 1) * ((size_t)s->n + 1), sizeof *s->value);
  s->work = mem_zero((size_t)s->n + 1, sizeof *s->work);
  const bool ok = s->subject && s->value && s->work;
  for (int64_t r = 0; ok && r < s->n; r++) { /* names are borrowed from the records */
    const json_t *metrics = json_object_get(json_array_get(s->records, (size_t)r), "metrics");
    json_object_foreach (json_object_get(metrics, s->metric->name), name, ignored)
      if (json_object_del(seen, name) == 0)
        s->subject[s->subjects++] = name;
  }
  json_decref(seen);
  for (int i = 0; ok && i < s->subjects; i++)
    for (int64_t r = 0; r < s->n; r++)
      s->value[i * s->n + r] = value_of(s, r, s->subject[i], s->metric->headline);
  return ok || error_memory(err, "a summary");
}

json_t *summary_make(const struct metric *metric, const json_t *records, struct error *err)
{
  struct summary s = {.metric = metric, .records = records, .n = (int64_t)json_array_size(records)};
  json_t *out = NULL, *subjects = NULL;
  bool ok = find_subjects(&s, err);
  if (ok && !(out = json_pack("{s:s, s:s, s:s, s:o, s:I, s:[], s:o}", "title", metric->title, "headline",
                              metric->headline, "better", metric->less_is_better ? "less" : "more", "columns",
                              columns_json(metric), "images", (json_int_t)s.n, "notes", "warnings", warnings_json(&s))))
    ok = error_memory(err, "a summary");
  if (ok && s.n == 1)
    json_array_append_new(json_object_get(out, "notes"),
                          json_string("one-image: intervals are over repetitions on this image, differences between "
                                      "methods cannot be tested"));
  if (ok) {
    subjects = json_object();
    for (int i = 0; i < s.subjects; i++)
      json_object_set_new(subjects, s.subject[i], subject_json(&s, s.subject[i]));
    json_object_set_new(out, "subjects", subjects);
    ok = ranking_json(&s, out, err);
  }
  mem_free(s.subject);
  mem_free(s.value);
  mem_free(s.work);
  if (ok)
    return out;
  json_decref(out);
  return NULL;
}
