/* SPDX-License-Identifier: Apache-2.0 */
/* The score without its cause: how far it falls when the truth mask, and nothing else, is covered by a fill. The
 * artifact metric's counterpart: a fill that leaves healthy pictures healthy is worth nothing if it does not remove
 * findings either.
 *   drop = f(x) - f(x with the mask covered)      share = drop / f(x)
 * Random fills: the mean over draws. */
#include "metrics/metric.h"

#include "base/mem.h"
#include "methods/fills_each.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { MOST_VARIANTS = 64, TEXT = 400 };

struct options {
  const char *fill;
  int64_t draws;
};

static const struct param params[] = {
    {"fill", PARAM_TEXT, offsetof(struct options, fill), "black,mean,blur,mirror,inpaint", 0, 0, NULL, NULL, NULL,
     "what hidden pixels become, one row of the table each; see the list of fills"},
    {"draws", PARAM_INT, offsetof(struct options, draws), "10", 1, 1000, NULL, NULL, NULL,
     "repetitions, for random fills"},
    PARAM_END,
};

static bool variant(const void *options, int i, char *name, size_t size)
{
  const char *p = ((const struct options *)options)->fill;
  size_t length = fills_first(p);
  for (int k = i; k > 0 && p[length]; k--) {
    p += length + 1;
    length = fills_first(p);
    i--;
  }
  if (i > 0 || length >= TEXT)
    return false;
  (void)snprintf(name, size, "%.*s", (int)length, p);
  return true;
}

/* Mean score over draws with the mask covered. */
static bool cover(const struct measure *measure, const struct fill *fill, int draws, double *mean, struct error *err)
{
  const struct geometry *g = &measure->explain->input->geometry;
  const size_t values = (size_t)g->height * (size_t)g->width * (size_t)measure->explain->input->channels;
  float *x = mem_alloc(values * sizeof *x);
  float *scores = mem_zero((size_t)measure->explain->predictor->classes, sizeof *scores);
  bool ok = (x && scores) || error_memory(err, "a covered image");
  *mean = 0;
  for (int d = 0; ok && d < draws; d++) {
    ok = fill_hidden(fill, (uint32_t)d, measure->truth, x, err) && evaluator_score(measure->evaluator, x, scores, err);
    if (ok)
      *mean += (double)scores[measure->target] / draws;
  }
  mem_free(scores);
  mem_free(x);
  return ok;
}

static bool run(const struct measure *measure, const void *options, struct measurement *out, struct error *err)
{
  const struct options *o = options;
  const struct geometry *g = &measure->explain->input->geometry;
  const double score = (double)evaluator_scores(measure->evaluator)[measure->target];
  const struct fill_scene scene = {measure->explain->card, measure->explain->input, measure->explain->seed};
  char text[TEXT];
  struct fill fill;
  double covered = NAN;
  int64_t area = 0;
  for (int64_t i = 0; i < (int64_t)g->height * g->width; i++)
    area += measure->truth[i] != 0;
  if (!variant(options, measure->variant, text, sizeof text))
    return error_set(err, ERROR_USAGE, "fill: '%.60s' has no entry %d", o->fill, measure->variant);
  if (!fill_open(&fill, text, &scene, err))
    return false;
  const bool ok = area == 0 || cover(measure, &fill, fill_draws(&fill, o->draws), &covered, err);
  fill_close(&fill);
  if (!ok)
    return false;
  if (area == 0)
    measurement_warn(out, "empty-truth", "the truth mask is empty: nothing is covered");
  measurement_value(out, "drop", score - covered);
  measurement_value(out, "share", (score - covered) / score);
  measurement_value(out, "covered", covered);
  measurement_detail(out, "area_share", json_real((double)area / ((double)g->height * g->width)));
  return true;
}

const struct metric metric_cover = {
    .name = "cover",
    .title = "Truth covered",
    .summary = "cover the truth mask with each fill: how far the score falls",
    .paper = "",
    .needs = METRIC_TRUTH,
    .headline = "drop",
    .columns = "share,covered",
    .params = params,
    .options_size = sizeof(struct options),
    .variant = variant,
    .run = run,
};
