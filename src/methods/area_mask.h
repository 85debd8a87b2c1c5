/* SPDX-License-Identifier: Apache-2.0 */
/* Masks of extremal perturbation: coarse cells through a smooth maximum of kernels, the price of having the wrong area,
 * and what a mask makes of an image, each with its exact derivative. */
#ifndef PENUMBRA_METHODS_AREA_MASK_H
#define PENUMBRA_METHODS_AREA_MASK_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Cells `step` px apart that reach beyond every edge, so that the border is like the middle. The value at a pixel is
 * sum e^(20 v) v / sum e^(20 v) over the cells around, v = cell * kernel(distance / radius),
 * kernel(z) = exp(-2 max(z - 1/2, 0)^2). */
struct area_mask {
  int height, width;      /* px */
  int step, reach;        /* px between cells; cells to each side that a pixel sees */
  int rows, columns;      /* of cells, those beyond the edges included */
  int blocks_y, blocks_x; /* of step x step pixels that see the same cells */
  float *kernel;          /* [(2 reach + 1)^2, step^2] */
};

bool area_mask_open(struct area_mask *mask, int height, int width, int step, int radius, struct error *err);
void area_mask_close(struct area_mask *mask);
int64_t area_mask_cells(const struct area_mask *mask);
/* map [height, width] in [0,1] of cells in [0,1]. */
bool area_mask_up(const struct area_mask *mask, const float *cells, float *map, struct error *err);
/* gradient [cells] of a signal at the pixels; map is area_mask_up's. */
bool area_mask_down(const struct area_mask *mask, const float *cells, const float *map, const float *signal,
                    double *gradient, struct error *err);

/* mean((sort(map) - r)^2), r being 0 and then, for `count` pixels, 1; signal += weight times its derivative. */
double area_price(const float *map, int64_t pixels, int64_t count, double weight, float *signal);

/* An image at several strengths of perturbation, 0 the image itself. */
struct area_levels {
  const float *level; /* [levels, pixels, channels] */
  int levels, channels;
  int64_t pixels;
};

/* Where map (or, with `invert`, 1 - map) is 1 the first level, where 0 the last, linear between neighbours. */
void area_read(const struct area_levels *levels, const float *map, bool invert, float *image);
/* signal += factor times the derivative by map of a score with this gradient there. */
void area_read_back(const struct area_levels *levels, const float *map, bool invert, const float *gradient,
                    double factor, float *signal);

#endif
