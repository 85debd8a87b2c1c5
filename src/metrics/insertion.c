/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/curve.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct param params[] = {
  {"steps", PARAM_INT, offsetof(struct curve_options, steps), "100", 1, 100000, NULL, NULL, NULL,
   "equal shares in which pixels are revealed"},
  {"fill", PARAM_TEXT, offsetof(struct curve_options, fill), "auto", 0, 0, NULL, NULL, NULL,
   "what pixels are before they are revealed; auto: blur, 5 px at 224"},
  {"draws", PARAM_INT, offsetof(struct curve_options, draws), "10", 1, 1000, NULL, NULL, NULL,
   "draws to average over, for random fills"},
  PARAM_END,
};

static bool run(const struct measure *measure, const void *options, struct measurement *out, struct error *err)
{
  const struct curve_options *o = options;
  const struct geometry *g = &measure->explain->input->geometry;
  const int side = g->height < g->width ? g->height : g->width;
  char blur[32];
  (void)snprintf(blur, sizeof blur, "blur:%g", fmax(1, floor(5.0 * side / 224 + 0.5)));
  return curve_run(measure, o, true, strcmp(o->fill, "auto") == 0 ? blur : o->fill, out, err);
}

const struct metric metric_insertion = {
  .name = "insertion",
  .title = "Insertion",
  .summary = "reveal pixels of a blurred image in the map's order: a high area under the score is good",
  .paper = "Petsiuk, Das, Saenko: RISE: randomized input sampling for explanation of black-box models, BMVC 2018",
  .needs = METRIC_MAP,
  .headline = "auc",
  .columns = "auc_relative",
  .x_label = "share of pixels revealed",
  .y_label = "score",
  .params = params,
  .options_size = sizeof(struct curve_options),
  .run = run,
};
