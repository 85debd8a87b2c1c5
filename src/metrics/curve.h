/* SPDX-License-Identifier: Apache-2.0 */
/* Deletion and insertion: Petsiuk, Das, Saenko, "RISE: randomized input sampling for explanation of black-box models",
 * BMVC 2018. Pixels change sides in the descending order of the map, in equal shares; the figure is the area under the
 * score over the share of pixels, by the trapezoid rule. */
#ifndef PENUMBRA_METRICS_CURVE_H
#define PENUMBRA_METRICS_CURVE_H

#include "metrics/metric.h"

/* The options of both. */
struct curve_options {
  int64_t steps;
  const char *fill;
  int64_t draws;
};

/* reveal: pixels of the image appear on the fill; else the fill's appear on the image. */
bool curve_run(const struct measure *measure, const struct curve_options *options, bool reveal, const char *fill,
               struct measurement *out, struct error *err);

#endif
