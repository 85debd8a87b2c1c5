/* SPDX-License-Identifier: Apache-2.0 */
/* Tubes in the path of the rays: ribs, vessels, airways. A tube is a row of balls along its axis, each adding its
 * path length; balls are spaced by the length in three dimensions, so a stretch that runs towards the viewer comes out
 * denser by itself. */
#ifndef PENUMBRA_PHANTOM_STROKE_H
#define PENUMBRA_PHANTOM_STROKE_H

#include "base/error.h"
#include "phantom/pose.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ball {
  float x, y;         /* mm, in the patient */
  float radius;       /* mm */
  float outer, inner; /* attenuation added by the ball, and taken away by its hollow of HOLLOW times the radius */
};
#define STROKE_HOLLOW 0.74

struct stroke {
  struct ball *ball;
  size_t count, capacity;
  bool failed; /* memory ran out; checked once, by stroke_draw */
};

void stroke_free(struct stroke *s);

/* A piece of tube from (x0, y0) to (x1, y1) mm whose radius goes from r0 to r1 mm and whose true length is `stretch`
 * times its length on the detector. `density`: attenuation through the middle of the whole solid tube seen from the
 * side; `hollow`: the part of that which the inside lacks, 0 for solid. */
void stroke_line(struct stroke *s, double x0, double y0, double x1, double y1, double r0, double r1, double stretch,
                 double density, double hollow);

/* Add the balls to a field of n by n pixels, which lies over the patient as `pose` says. The sum at a pixel is taken in
 * the order of the balls whatever the number of threads. */
bool stroke_draw(const struct stroke *s, float *field, int n, const struct pose *pose, struct error *err);

#endif
