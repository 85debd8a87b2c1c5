/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/curve.h"

#include <stddef.h>

static const struct param params[] = {
  {"steps", PARAM_INT, offsetof(struct curve_options, steps), "100", 1, 100000, NULL, NULL, NULL,
   "equal shares in which pixels are replaced"},
  {"fill", PARAM_TEXT, offsetof(struct curve_options, fill), "mean", 0, 0, NULL, NULL, NULL,
   "what replaced pixels become; see the list of fills"},
  {"draws", PARAM_INT, offsetof(struct curve_options, draws), "10", 1, 1000, NULL, NULL, NULL,
   "draws to average over, for random fills"},
  PARAM_END,
};

static bool run(const struct measure *measure, const void *options, struct measurement *out, struct error *err)
{
  const struct curve_options *o = options;
  return curve_run(measure, o, false, o->fill, out, err);
}

const struct metric metric_deletion = {
  .name = "deletion",
  .title = "Deletion",
  .summary = "replace pixels in the map's order: a low area under the score is good",
  .paper = "Petsiuk, Das, Saenko: RISE: randomized input sampling for explanation of black-box models, BMVC 2018",
  .needs = METRIC_MAP,
  .headline = "auc",
  .less_is_better = true,
  .columns = "auc_relative",
  .x_label = "share of pixels replaced",
  .y_label = "score",
  .params = params,
  .options_size = sizeof(struct curve_options),
  .run = run,
};
