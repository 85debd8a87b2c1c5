/* SPDX-License-Identifier: Apache-2.0 */
/* How much of a map's positive evidence lies in the truth:
 *   mass = sum_mask max(A, 0) / sum max(A, 0)      enrichment = mass / (area of the mask / area of the image)
 * and how well its highest pixels, as many as the mask has, agree with the mask (precision, intersection over union).
 */
#include "metrics/metric.h"
#include "metrics/order.h"

#include "base/mem.h"

#include <math.h>

static const struct param params[] = {PARAM_END};

static bool run(const struct measure *measure, const void *options, struct measurement *out, struct error *err)
{
  const struct geometry *g = &measure->explain->input->geometry;
  const int64_t pixels = (int64_t)g->height * g->width;
  int64_t area = 0, shared = 0;
  double inside = 0, all = 0;
  (void)options;
  for (int64_t i = 0; i < pixels; i++) {
    const double positive = measure->map[i] > 0 ? (double)measure->map[i] : 0;
    all += positive;
    inside += measure->truth[i] ? positive : 0;
    area += measure->truth[i];
  }
  int32_t *order = mem_zero((size_t)pixels, sizeof *order);
  const bool ok = order ? order_pixels(ORDER_MORF, measure->map, pixels, measure->explain->seed, 0, order, err)
                        : error_memory(err, "an order");
  for (int64_t i = 0; ok && i < area; i++)
    shared += measure->truth[order[i]];
  mem_free(order);
  if (!ok)
    return false;
  if (area == 0)
    measurement_warn(out, "empty-truth", "the truth mask is empty: nothing can lie in it");
  if (all == 0)
    measurement_warn(out, "no-positive", "the map has no positive value: it has no mass");
  const double mass = area > 0 && all > 0 ? inside / all : NAN;
  measurement_value(out, "mass", mass);
  measurement_value(out, "enrichment", mass / ((double)area / (double)pixels));
  measurement_value(out, "precision", area > 0 ? (double)shared / (double)area : NAN);
  measurement_value(out, "iou", area > 0 ? (double)shared / (double)(2 * area - shared) : NAN);
  measurement_detail(out, "area_share", json_real((double)area / (double)pixels));
  return true;
}

const struct metric metric_mass = {
    .name = "mass",
    .title = "Mass in the truth",
    .summary = "how much of the map's positive evidence lies in the truth mask",
    .paper = "",
    .needs = METRIC_MAP | METRIC_TRUTH,
    .headline = "mass",
    .columns = "enrichment,precision,iou",
    .by_class = true,
    .params = params,
    .options_size = 1 /* it has none */,
    .run = run,
};
