/* SPDX-License-Identifier: Apache-2.0 */
/* The smallest region of the image that suffices: the top pixels of a map, as few as hold the score, hard-edged. */
#ifndef PENUMBRA_METHODS_MINIMAL_REGION_H
#define PENUMBRA_METHODS_MINIMAL_REGION_H

#include "methods/method.h"

/* Pixels in descending order of a map; on a tie those in the middle of what is tied first, then by index. */
bool region_order(const float *map, int height, int width, int32_t *order, struct error *err);

struct region_request {
  const struct explain *explain;
  struct evaluator *evaluator;
  const float *map;  /* [height, width] */
  const float *fill; /* [height, width, channels] */
  int64_t target;
  double keep; /* share of the image's score that suffices */
};

enum { REGION_RUNGS = 64 };

/* What was found for one order of pixels. */
struct region {
  int32_t *order;           /* [height * width], the top of the map first; owned */
  int64_t count;            /* so many of them suffice; 0: none were found that do */
  double score;             /* of these alone */
  int rungs;                /* that were asked for, from the smallest */
  float kept[REGION_RUNGS]; /* score of each rung alone; NAN: not asked for */
};

/* On a ladder of 64 areas, then between the last rung that fails and the first that passes, find the smallest area
 * whose pixels alone score at least keep * f(x). Areas above `most` px are of no interest and count as none. On
 * failure too the region is to be closed. */
bool region_find(const struct region_request *request, int64_t most, struct region *region, struct error *err);
void region_close(struct region *region);

/* Say what was found: "region" [height, width]   1 inside, 0 outside (all 0 where none suffices), "region_curve"
 * [64, 3]   area, score with only that kept, score with only that hidden; NAN where not evaluated, details
 * "minimal_region"   area in px and mm2, box, centroid, contour. */
bool minimal_region(const struct region_request *request, struct region *found, struct explanation *out,
                    struct error *err);

/* Outlines of what is not 0: a list of closed polygons [[x, y], ...] along pixel edges, outer ones clockwise on the
 * screen, holes against it; pixels that touch at a corner only are apart. At most `most` corners. */
json_t *region_contours(const int32_t *region, int height, int width, int64_t most, struct error *err);

#endif
