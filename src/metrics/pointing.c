/* SPDX-License-Identifier: Apache-2.0 */
/* The pointing game: Zhang, Lin, Brandt, Shen, Sclaroff, "Top-down neural attention by excitation backprop", ECCV 2016.
 * A hit if a truth pixel lies nearer than the radius to the map's maximum. Tied maxima count with their mean hit rate,
 * so that a uniform map scores exactly chance: the truth's area, dilated by the radius, over that of the image. */
#include "metrics/metric.h"

#include "base/mem.h"

#include <limits.h>
#include <math.h>
#include <stddef.h>

struct options {
  struct length radius;
};

static const struct param params[] = {
    {"radius", PARAM_LENGTH, offsetof(struct options, radius), "auto", 1, 65536, NULL, "px", "15",
     "how near the map's maximum must be to the truth; auto: 15 at 224"},
    PARAM_END,
};

/* Columns to the nearest truth pixel of the same row; more than the width where there is none. */
static void row_distances(const unsigned char *truth, int height, int width, int *distance)
{
  for (int y = 0; y < height; y++) {
    const unsigned char *row = truth + (int64_t)y * width;
    int *out = distance + (int64_t)y * width;
    for (int x = 0, last = -2 * width; x < width; x++) {
      last = row[x] ? x : last;
      out[x] = x - last;
    }
    for (int x = width - 1, last = 3 * width; x >= 0; x--) {
      last = row[x] ? x : last;
      out[x] = last - x < out[x] ? last - x : out[x];
    }
  }
}

/* 1 where a truth pixel lies within the ellipse of half axes ry, rx (its rim left out). */
static void dilate(const int *distance, int height, int width, double ry, double rx, unsigned char *out)
{
  for (int y = 0; y < height; y++)
    for (int from = 0; from < height; from++) {
      const double dy = (from - y) / ry;
      if (dy * dy >= 1)
        continue;
      const double reach = rx * sqrt(1 - dy * dy); /* columns below this are inside */
      for (int x = 0; x < width; x++)
        out[(int64_t)y * width + x] |= distance[(int64_t)from * width + x] < reach;
    }
}

static bool run(const struct measure *measure, const void *options, struct measurement *out, struct error *err)
{
  const struct options *o = options;
  const struct input *input = measure->explain->input;
  const int height = input->geometry.height, width = input->geometry.width;
  const int64_t pixels = (int64_t)height * width;
  int ry, rx;
  if (!metric_pixels(&o->radius, 15, true, input, "radius", &ry, err) ||
      !metric_pixels(&o->radius, 15, false, input, "radius", &rx, err))
    return false;
  int *distance = mem_zero((size_t)pixels, sizeof *distance);
  unsigned char *near = mem_zero((size_t)pixels, 1);
  const bool ok = (distance && near) || error_memory(err, "a mask");
  if (ok) {
    double hits = 0, ties = 0, area = 0, truth = 0;
    float top = measure->map[0];
    row_distances(measure->truth, height, width, distance);
    dilate(distance, height, width, ry, rx, near);
    for (int64_t i = 0; i < pixels; i++) {
      top = measure->map[i] > top ? measure->map[i] : top;
      area += near[i];
      truth += measure->truth[i];
    }
    for (int64_t i = 0; i < pixels; i++)
      if (measure->map[i] == top) {
        ties++;
        hits += near[i];
      }
    if (truth == 0)
      measurement_warn(out, "empty-truth", "the truth mask is empty: there is nothing to point at");
    measurement_value(out, "hit", truth > 0 ? hits / ties : NAN);
    measurement_value(out, "chance", truth > 0 ? area / (double)pixels : NAN);
    measurement_detail(out, "radius", json_pack("[i,i]", ry, rx));
    measurement_detail(out, "ties", json_integer((json_int_t)ties));
  }
  mem_free(distance);
  mem_free(near);
  return ok;
}

const struct metric metric_pointing = {
    .name = "pointing",
    .title = "Pointing game",
    .summary = "whether the map's maximum lies at the truth, beside chance",
    .paper = "Zhang, Lin, Brandt, Shen, Sclaroff: Top-down neural attention by excitation backprop, ECCV 2016",
    .needs = METRIC_MAP | METRIC_TRUTH,
    .headline = "hit",
    .columns = "chance",
    .by_class = true,
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
