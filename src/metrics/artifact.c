/* SPDX-License-Identifier: Apache-2.0 */
/* The artifact rate: how often the occluder itself looks like disease. A patch slides over an image that the model
 * calls normal, as in occlusion; positions at which the decision is no longer "normal" are counted: rate = mean_i [
 * decision(x_i) is not normal ]      rise = mean_i max_c max(0, f_c(x_i) - f_c(x)), c a finding Normal: every finding
 * below its threshold, or the card's normal class on top. The patches are those of the occlusion method, whose grid of
 * scores this reads. */
#include "metrics/metric.h"
#include "metrics/truth.h"

#include "base/mem.h"
#include "base/str.h"
#include "methods/fills_each.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { MOST_VARIANTS = 64, TEXT = 400 };

struct options {
  const char *patch, *stride, *fill, *within;
  int64_t draws;
};

static const struct param params[] = {
    {"patch", PARAM_TEXT, offsetof(struct options, patch), "auto", 0, 0, NULL, "px", NULL,
     "side of the patch, or several; auto: 32 at 224"},
    {"stride", PARAM_TEXT, offsetof(struct options, stride), "auto", 0, 0, NULL, "px", NULL,
     "step between patches; auto: a quarter of the patch"},
    {"fill", PARAM_TEXT, offsetof(struct options, fill), "black,mean,blur,mirror,inpaint", 0, 0, NULL, NULL, NULL,
     "what hidden pixels become, one row of the table each; see the list of fills"},
    {"within", PARAM_TEXT, offsetof(struct options, within), "", 0, 0, NULL, NULL, NULL,
     "mask picture that the patch's centre must lie in; {dir} and {stem} stand for the image's"},
    {"draws", PARAM_INT, offsetof(struct options, draws), "1", 1, 1000, NULL, NULL, NULL,
     "repetitions at every position, for random fills"},
    PARAM_END,
};

/* ---- variants: every fill with every patch ---------------------------------------------------------------------- */

/* Entry i of a list. False past the last. */
static bool entry(const char *list, bool fills, int i, char *out, size_t size)
{
  for (const char *p = list;;) {
    const size_t length = fills ? fills_first(p) : strcspn(p, ",");
    if (i-- == 0) {
      (void)snprintf(out, size, "%.*s", length < TEXT ? (int)length : TEXT - 1, p);
      return true;
    }
    if (!p[length])
      return false;
    p += length + 1;
  }
}

/* How many a list names; an empty one counts as one, which is then found to name nothing. */
static int entries(const char *list, bool fills)
{
  char ignored[TEXT];
  int n = 0;
  while (n < MOST_VARIANTS && entry(list, fills, n, ignored, sizeof ignored))
    n++;
  return n ? n : 1;
}

static bool variant(const void *options, int i, char *name, size_t size)
{
  const struct options *o = options;
  char fill[TEXT], patch[TEXT];
  const int patches = entries(o->patch, false);
  if (i >= MOST_VARIANTS || !entry(o->fill, true, i / patches, fill, sizeof fill))
    return false;
  entry(o->patch, false, i % patches, patch, sizeof patch);
  (void)snprintf(name, size, patches > 1 ? "%s, patch %s" : "%s", fill, patch);
  return true;
}

/* ---- decisions -------------------------------------------------------------------------------------------------- */

struct artifact {
  const struct measure *measure;
  const struct options *options;
  bool by_threshold; /* findings against thresholds; else the top class */
  int64_t normal;    /* class, or -1 */
  int64_t classes;
  int rows, columns;         /* positions */
  unsigned char *inside;     /* [rows, columns] */
  double *flips;             /* [rows, columns] mean over draws; -1 where the patch's centre is outside */
  int64_t *raised, *crossed; /* [classes] positions at which the class rose most, crossed its threshold */
  double rate, rise;
  int64_t positions, evaluations;
};

static bool set_decision(struct artifact *a, struct error *err)
{
  const struct explain *explain = a->measure->explain;
  const enum activation activation = explain->model ? explain->model->activation : explain->card->activation;
  a->classes = explain->predictor->classes;
  a->normal = explain->card->normal >= 0 ? explain->card->normal : -1;
  a->by_threshold = explain->card->normal == CARD_NORMAL_NONE_ABOVE || activation == ACTIVATION_SIGMOID;
  if (!a->by_threshold && a->normal < 0)
    return error_set(err, ERROR_USAGE,
                     "artifact: the model's card names no normal class (output.normal), so that no "
                     "image can be called normal");
  return true;
}

static bool is_normal(const struct artifact *a, const float *scores)
{
  int64_t top = 0;
  for (int64_t c = 0; c < a->classes; c++) {
    if (a->by_threshold && c != a->normal && (double)scores[c] >= a->measure->explain->thresholds[c])
      return false;
    top = scores[c] > scores[top] ? c : top;
  }
  return a->by_threshold || top == a->normal;
}

/* One position of one draw. */
static void judge(struct artifact *a, const float *base, const float *scores, double *flip)
{
  double most = 0;
  int64_t which = -1;
  for (int64_t c = 0; c < a->classes; c++) {
    const double rise = (double)scores[c] - (double)base[c];
    if (c != a->normal && rise > most) {
      most = rise;
      which = c;
    }
  }
  a->rise += most;
  if (which >= 0)
    a->raised[which]++;
  a->positions++;
  if (is_normal(a, scores))
    return;
  *flip += 1;
  a->rate += 1;
  int64_t over = -1; /* the finding furthest over its threshold, or the top class */
  double furthest = -INFINITY;
  for (int64_t c = 0; c < a->classes; c++) {
    const double above = (double)scores[c] - (a->by_threshold ? a->measure->explain->thresholds[c] : 0);
    if (c != a->normal && above > furthest) {
      furthest = above;
      over = c;
    }
  }
  if (over >= 0)
    a->crossed[over]++;
}

/* ---- patches ---------------------------------------------------------------------------------------------------- */

static bool find_inside(struct artifact *a, const json_t *occlusion, struct error *err)
{
  const struct geometry *g = &a->measure->explain->input->geometry;
  int py, px, sy, sx;
  unsigned char *mask = mem_zero((size_t)g->height, (size_t)g->width);
  a->inside = mem_zero((size_t)a->rows, (size_t)a->columns);
  bool ok = (mask && a->inside) || error_memory(err, "positions");
  ok =
      ok && json_unpack((json_t *)(uintptr_t)occlusion, "{s:[ii], s:[ii]}", "patch", &py, &px, "stride", &sy, &sx) == 0;
  if (ok && *a->options->within)
    ok = truth_read(a->options->within, a->measure->path, "", g, mask, err);
  else if (ok)
    memset(mask, 1, (size_t)g->height * (size_t)g->width);
  bool any = false;
  for (int i = 0; ok && i < a->rows * a->columns; i++) {
    const int y = i / a->columns * sy + py / 2, x = i % a->columns * sx + px / 2;
    a->inside[i] = mask[(y < g->height ? y : g->height - 1) * g->width + (x < g->width ? x : g->width - 1)];
    any |= a->inside[i];
  }
  mem_free(mask);
  if (ok && !any)
    return error_set(err, ERROR_FAILED, "within: '%.80s' holds no patch's centre", a->options->within);
  return ok;
}

/* The scores under one draw's patches. */
static bool slide(struct artifact *a, const char *fill, const char *patch, int draw, struct measurement *out,
                  struct error *err)
{
  const struct method *method = method_require("occlusion", err);
  char texts[3][TEXT + 16], target[24];
  const char *const arguments[] = {texts[0], texts[1], texts[2], "draws=1", NULL};
  struct explain explain = *a->measure->explain;
  struct explanation slid = {0};
  (void)snprintf(texts[0], sizeof texts[0], "fill=%s", fill);
  (void)snprintf(texts[1], sizeof texts[1], "patch=%s", patch);
  (void)snprintf(texts[2], sizeof texts[2], "stride=%.*s", TEXT, a->options->stride);
  (void)snprintf(target, sizeof target, "%lld", (long long)a->measure->target);
  explain.target = target;
  explain.seed += (uint64_t)draw;
  void *options = method ? mem_zero(1, method->options_size) : NULL;
  bool ok = options || (method && error_memory(err, "patches"));
  ok = ok && params_parse(method->params, "artifact", arguments, options, err) && explanation_init(&slid, err) &&
       method->run(&explain, options, &slid, err);
  if (ok) {
    const struct npy *grid = explanation_find(&slid, "occlusion_grid");
    const json_t *occlusion = json_object_get(slid.details, "occlusion");
    a->rows = (int)grid->dim[0];
    a->columns = (int)grid->dim[1];
    a->evaluations += slid.evaluations;
    if (!a->inside) {
      a->flips = mem_zero((size_t)a->rows * (size_t)a->columns, sizeof *a->flips);
      ok = (a->flips || error_memory(err, "positions")) && find_inside(a, occlusion, err);
      measurement_detail(out, "patch", json_incref(json_object_get(occlusion, "patch")));
      measurement_detail(out, "stride", json_incref(json_object_get(occlusion, "stride")));
    }
    for (int i = 0; ok && i < a->rows * a->columns; i++)
      if (a->inside[i])
        judge(a, slid.scores, (const float *)grid->data + i * a->classes, &a->flips[i]);
  }
  explanation_free(&slid);
  mem_free(options);
  return ok;
}

static const char *most_often(const struct artifact *a, const int64_t *count)
{
  int64_t most = 0;
  for (int64_t c = 1; c < a->classes; c++)
    most = count[c] > count[most] ? c : most;
  return count[most] ? a->measure->explain->labels[most] : NULL;
}

static json_t *counts_json(const struct artifact *a, const int64_t *count)
{
  json_t *object = json_object();
  for (int64_t c = 0; c < a->classes; c++)
    if (count[c])
      json_object_set_new(object, a->measure->explain->labels[c], json_integer((json_int_t)count[c]));
  return object;
}

static void report(const struct artifact *a, int draws, struct measurement *out)
{
  const double n = (double)a->positions;
  json_t *data = json_array();
  for (int i = 0; i < a->rows * a->columns; i++)
    json_array_append_new(data, json_real(a->inside[i] ? a->flips[i] / draws : -1));
  measurement_value(out, "rate", a->rate / n);
  measurement_value(out, "rise", a->rise / n);
  measurement_detail(out, "positions", json_integer((json_int_t)a->positions));
  measurement_detail(out, "evaluations", json_integer((json_int_t)a->evaluations));
  measurement_detail(out, "flips", json_pack("{s:[i,i], s:o}", "shape", a->rows, a->columns, "data", data));
  measurement_detail(out, "raised", counts_json(a, a->raised));
  measurement_detail(out, "crossed", counts_json(a, a->crossed));
  const char *raised = most_often(a, a->raised), *crossed = most_often(a, a->crossed);
  measurement_detail(out, "most_raised", raised ? json_string(raised) : json_null());
  measurement_detail(out, "most_crossed", crossed ? json_string(crossed) : json_null());
}

static bool count(struct artifact *a, struct measurement *out, struct error *err)
{
  char fill[TEXT], patch[TEXT];
  const int patches = entries(a->options->patch, false);
  if (!set_decision(a, err))
    return false;
  if (a->measure->explain->evaluate.session.score != SCORE_PROB)
    return error_set(err, ERROR_USAGE, "artifact: thresholds are probabilities; --score logit does not go with it");
  entry(a->options->fill, true, a->measure->variant / patches, fill, sizeof fill);
  entry(a->options->patch, false, a->measure->variant % patches, patch, sizeof patch);
  measurement_detail(out, "fill", json_string(fill));
  if (!is_normal(a, evaluator_scores(a->measure->evaluator))) {
    measurement_value(out, "rate", NAN);
    measurement_value(out, "rise", NAN);
    measurement_detail(out, "skipped", json_string("the model does not call this image normal"));
    return true;
  }
  a->raised = mem_zero((size_t)a->classes, sizeof *a->raised);
  a->crossed = mem_zero((size_t)a->classes, sizeof *a->crossed);
  if (!a->raised || !a->crossed)
    return error_memory(err, "positions");
  struct fill probe;
  const struct fill_scene scene = {a->measure->explain->card, a->measure->explain->input, a->measure->explain->seed};
  if (!fill_open(&probe, fill, &scene, err))
    return false;
  const int draws = fill_draws(&probe, a->options->draws);
  fill_close(&probe);
  for (int d = 0; d < draws; d++)
    if (!slide(a, fill, patch, d, out, err))
      return false;
  report(a, draws, out);
  return true;
}

static bool run(const struct measure *measure, const void *options, struct measurement *out, struct error *err)
{
  struct artifact a = {.measure = measure, .options = options};
  const bool ok = count(&a, out, err);
  mem_free(a.inside);
  mem_free(a.flips);
  mem_free(a.raised);
  mem_free(a.crossed);
  return ok;
}

const struct metric metric_artifact = {
    .name = "artifact",
    .title = "Artifact rate",
    .summary = "slide a patch over images called normal: how often it makes them look abnormal, for each fill",
    .paper = "",
    .headline = "rate",
    .less_is_better = true,
    .columns = "rise",
    .counts = "raised",
    .params = params,
    .options_size = sizeof(struct options),
    .variant = variant,
    .run = run,
};
