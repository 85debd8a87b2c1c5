/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/superpixels.h"

#include "base/json.h"
#include "base/mem.h"
#include "methods/masks.h"
#include "methods/warnings.h"
#include "perturb/segment.h"

#include <math.h>
#include <string.h>

static size_t pixels_of(const struct superpixels *s)
{
  const struct geometry *g = &s->explain->input->geometry;
  return (size_t)g->height * (size_t)g->width;
}

static size_t values_of(const struct superpixels *s)
{
  return pixels_of(s) * (size_t)s->explain->input->channels;
}

/* ---- fills ----------------------------------------------------------------------------------------------------- */

/* Every superpixel in its own mean colour, taken in image units. */
static bool fill_segment_means(const struct superpixels *s, float *x, struct error *err)
{
  const struct input *input = s->explain->input;
  const size_t c = (size_t)input->channels, pixels = pixels_of(s);
  double *sum = mem_zero((size_t)s->count * (c + 1), sizeof *sum);
  float *u = mem_alloc(pixels * c * sizeof *u);
  if (sum && u) {
    for (size_t i = 0; i < pixels; i++) {
      double *of = sum + (size_t)s->labels[i] * (c + 1);
      of[c] += 1;
      for (size_t k = 0; k < c; k++)
        of[k] += (double)input->u[i * c + k];
    }
    for (size_t i = 0; i < pixels; i++) {
      const double *of = sum + (size_t)s->labels[i] * (c + 1);
      for (size_t k = 0; k < c; k++)
        u[i * c + k] = (float)(of[k] / of[c]);
    }
    preprocess_values(s->explain->card, input, u, x);
  }
  const bool ok = (sum && u) || error_memory(err, "the fill");
  mem_free(sum);
  mem_free(u);
  return ok;
}

/* The image of a draw; NULL on failure. */
static const float *fill_of(struct superpixels *s, int64_t draw, struct error *err)
{
  const int64_t d = draw % s->draws;
  float *x = s->fills + (size_t)d * values_of(s);
  if (!s->filled[d]) {
    if (!(s->segment_mean ? fill_segment_means(s, x, err) : fill_values(&s->fill, (uint32_t)d, x, err)))
      return NULL;
    s->filled[d] = true;
  }
  return x;
}

static bool open_fill(struct superpixels *s, struct error *err)
{
  const struct fill_scene scene = {s->explain->card, s->explain->input, s->explain->seed};
  s->segment_mean = strcmp(s->options->fill, "segment-mean") == 0;
  if (!s->segment_mean && !fill_open(&s->fill, s->options->fill, &scene, err))
    return false;
  s->needs_rim = !s->segment_mean && s->fill.kind->needs_region;
  s->random = !s->segment_mean && s->fill.kind->random;
  s->draws = s->segment_mean ? 1 : fill_draws(&s->fill, s->options->draws);
  const size_t image = values_of(s) * sizeof(float), most = (size_t)1 << 30;
  if ((size_t)s->draws > most / image)
    return error_set(err, ERROR_USAGE, "draws: %lld fill images of %zu KiB are more than 1 GiB", (long long)s->draws,
                     image >> 10);
  s->fills = mem_alloc((size_t)s->draws * image);
  s->filled = mem_zero((size_t)s->draws, sizeof *s->filled);
  if (s->needs_rim)
    s->hidden = mem_zero(pixels_of(s), 1);
  return (s->fills && s->filled && (s->hidden || !s->needs_rim)) || error_memory(err, "the fill");
}

/* ---- superpixels ----------------------------------------------------------------------------------------------- */

bool superpixels_open(struct superpixels *s, const struct explain *explain, const struct superpixel_options *options,
                      struct explanation *out, struct error *err)
{
  const struct geometry *g = &explain->input->geometry;
  const int64_t dims[2] = {g->height, g->width};
  const struct segment_scene scene = {explain->card, explain->input};
  *s = (struct superpixels){.explain = explain, .options = options, .out = out};
  int32_t *labels = explanation_ints(out, "segments", 2, dims, err);
  if (!labels || !segment_image(options->segments, options->range ? "robust" : "card", &scene, labels, &s->count, err))
    return false;
  s->labels = labels;
  if (s->count < 2)
    return error_set(err, ERROR_FAILED,
                     "segments: '%.60s' leaves one superpixel, there is nothing to compare it with "
                     "(one-segment)",
                     options->segments);
  if (s->count > SUPERPIXELS_MOST)
    return error_set(err, ERROR_USAGE, "segments: '%.60s' gives %lld superpixels, more than %d", options->segments,
                     (long long)s->count, SUPERPIXELS_MOST);
  s->keep = mem_zero((size_t)s->count, sizeof *s->keep);
  if (options->soft > 0)
    s->soft = mem_zero(pixels_of(s), sizeof *s->soft);
  if (!s->keep || (options->soft > 0 && !s->soft))
    return error_memory(err, "superpixels");
  return open_fill(s, err);
}

void superpixels_close(struct superpixels *s)
{
  fill_close(&s->fill);
  mem_free(s->fills);
  mem_free(s->filled);
  mem_free(s->keep);
  mem_free(s->hidden);
  mem_free(s->soft);
  mem_free(s->full);
  *s = (struct superpixels){0};
}

bool superpixels_hide(struct superpixels *s, const uint64_t *mask, int64_t draw, struct perturbation *p,
                      struct error *err)
{
  const size_t pixels = pixels_of(s);
  const struct geometry *g = &s->explain->input->geometry;
  p->kind = PERTURB_MASK;
  for (int64_t k = 0; k < s->count; k++)
    s->keep[k] = mask_has(mask, k);
  if (s->needs_rim) {
    for (size_t i = 0; i < pixels; i++)
      s->hidden[i] = s->keep[s->labels[i]] == 0;
    if (!fill_hidden(&s->fill, (uint32_t)(draw % s->draws), s->hidden, s->fills, err))
      return false;
    p->fill = s->fills;
  } else if (!(p->fill = fill_of(s, draw, err))) {
    return false;
  }
  float *hard = s->soft ? s->soft : p->mask;
  for (size_t i = 0; i < pixels; i++)
    hard[i] = s->keep[s->labels[i]];
  return !s->soft || blur_image(hard, g->height, g->width, 1, s->options->soft, p->mask, err);
}

bool superpixels_score_full(struct superpixels *s, struct evaluator *evaluator, struct error *err)
{
  const int64_t classes = s->explain->predictor->classes;
  if (s->needs_rim)
    return true;
  float *scores = mem_zero((size_t)classes, sizeof *scores);
  s->full = mem_zero((size_t)classes, sizeof *s->full);
  bool ok = (scores && s->full) || error_memory(err, "scores");
  for (int64_t d = 0; ok && d < s->draws; d++) {
    const float *fill = fill_of(s, d, err);
    ok = fill && evaluator_score(evaluator, fill, scores, err);
    for (int64_t k = 0; ok && k < classes; k++)
      s->full[k] += (double)scores[k] / (double)s->draws;
  }
  mem_free(scores);
  return ok;
}

/* ---- results --------------------------------------------------------------------------------------------------- */

void superpixels_paint(const struct superpixels *s, const double *value, float *map)
{
  const size_t pixels = pixels_of(s);
  for (size_t i = 0; i < pixels; i++)
    map[i] = (float)value[s->labels[i]];
}

bool superpixels_maps(const struct superpixels *s, int64_t targets, const double *beta, const double *error,
                      struct error *err)
{
  const struct geometry *g = &s->explain->input->geometry;
  const int64_t dims[3] = {targets, g->height, g->width};
  const bool one = !s->out->all_targets;
  float *map = explanation_floats(s->out, "map", one ? 2 : 3, one ? dims + 1 : dims, err);
  float *spread = explanation_floats(s->out, "stderr", one ? 2 : 3, one ? dims + 1 : dims, err);
  for (int64_t t = 0; map && spread && t < targets; t++) {
    superpixels_paint(s, beta + t * s->count, map + (size_t)t * pixels_of(s));
    superpixels_paint(s, error + t * s->count, spread + (size_t)t * pixels_of(s));
  }
  return map && spread;
}

/* Superpixels whose content the fill hardly changes: within 1 % of the range. */
static int64_t count_unchanged(struct superpixels *s, struct error *err)
{
  const struct input *input = s->explain->input;
  const size_t c = (size_t)input->channels, values = values_of(s);
  const float *fill = s->needs_rim ? NULL : fill_of(s, 0, err);
  const double range = fabs((double)preprocess_value(s->explain->card, input, 0, input->hi) -
                            (double)preprocess_value(s->explain->card, input, 0, input->lo));
  int64_t unchanged = 0;
  if (!fill)
    return 0;
  for (int64_t k = 0; k < s->count; k++)
    s->keep[k] = 0;
  for (size_t i = 0; i < values; i++)
    if (fabs((double)fill[i] - (double)input->x[i]) > 0.01 * range)
      s->keep[s->labels[i / c]] = 1;
  for (int64_t k = 0; k < s->count; k++)
    unchanged += s->keep[k] == 0;
  return unchanged;
}

/* Size and centre of the superpixels on the model grid: [count,3] pixels, x, y. NULL when memory is out. */
static double *measure(const struct superpixels *s, struct error *err)
{
  const int width = s->explain->input->geometry.width;
  double *m = mem_zero(3 * (size_t)s->count, sizeof *m);
  if (!m) {
    error_memory(err, "superpixels");
    return NULL;
  }
  for (size_t i = 0; i < pixels_of(s); i++) {
    double *of = m + 3 * s->labels[i];
    of[0]++;
    of[1] += (double)(i % (size_t)width) + 0.5;
    of[2] += (double)(i / (size_t)width) + 0.5;
  }
  for (int64_t k = 0; k < s->count; k++) {
    m[3 * k + 1] /= m[3 * k];
    m[3 * k + 2] /= m[3 * k];
  }
  return m;
}

/* The strongest superpixels of a picture, by |coefficient|. */
static json_t *list_top(const struct superpixels *s, const double *beta, const double *error, const double *measures)
{
  json_t *list = json_array();
  bool *taken = mem_zero((size_t)s->count, sizeof *taken);
  for (int64_t n = 0; list && taken && n < s->options->top; n++) {
    int64_t best = -1;
    for (int64_t k = 0; k < s->count; k++)
      if (!taken[k] && beta[k] != 0 && (beta[k] > 0 || !s->options->positive_only) &&
          (best < 0 || fabs(beta[k]) > fabs(beta[best])))
        best = k;
    if (best < 0)
      break;
    taken[best] = true;
    const double *m = measures + 3 * best;
    json_array_append_new(list, json_pack("{s:I, s:f, s:o, s:I, s:[f,f]}", "superpixel", (json_int_t)best,
                                          "coefficient", beta[best], "stderr", json_number_or_null(error[best]),
                                          "pixels", (json_int_t)m[0], "centre", m[1], m[2]));
  }
  mem_free(taken);
  return list;
}

bool superpixels_report(struct superpixels *s, const double *beta, const double *error, struct error *err)
{
  struct explanation *out = s->out;
  double *measures = measure(s, err);
  if (!measures)
    return false;
  json_object_set_new(out->details, "superpixels",
                      json_pack("{s:I, s:s, s:s, s:I, s:f, s:b, s:b, s:o}", "count", (json_int_t)s->count, "segments",
                                s->options->segments, "fill", s->options->fill, "draws", (json_int_t)s->draws, "soft",
                                s->options->soft, "positive_only", s->options->positive_only, "hide_rest",
                                s->options->hide_rest, "top", list_top(s, beta, error, measures)));
  mem_free(measures);
  const int64_t unchanged = count_unchanged(s, err);
  if (unchanged > 0.05 * (double)s->count)
    explanation_warn(out, "no-change",
                     "%lld of %lld superpixels are within 1 %% of the fill '%s' already: hiding them "
                     "shows nothing",
                     (long long)unchanged, (long long)s->count, s->options->fill);
  if (s->full)
    warn_of_fill(s->explain, s->options->fill, s->fill.note, s->full[out->target], out);
  warn_of_map(s->explain, out);
  return true;
}

json_t *superpixels_class_json(const struct superpixels *s, const struct evaluator *evaluator, int64_t k,
                               const double *beta, const double *error)
{
  json_t *coefficients = json_array(), *errors = json_array();
  for (int64_t i = 0; i < s->count; i++) {
    json_array_append_new(coefficients, json_number_or_null(beta[i]));
    json_array_append_new(errors, json_number_or_null(error[i]));
  }
  return json_pack("{s:I, s:s, s:f, s:o, s:o, s:o}", "index", (json_int_t)k, "label", s->explain->labels[k], "score",
                   (double)evaluator_scores(evaluator)[k], "score_full_fill",
                   json_number_or_null(s->full ? s->full[k] : NAN), "coefficients", coefficients, "stderr", errors);
}
