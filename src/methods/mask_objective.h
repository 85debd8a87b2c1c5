/* SPDX-License-Identifier: Apache-2.0 */
/* The objective of meaningful perturbation: a coarse mask, what it makes of the image, the price of it, and the exact
 * derivatives of all that. Nothing here knows a model. */
#ifndef PENUMBRA_METHODS_MASK_OBJECTIVE_H
#define PENUMBRA_METHODS_MASK_OBJECTIVE_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* One axis of M = blur(bilinear(m)): both are linear and separable, so a line of M is a banded matrix times a line of
 * m. */
struct mask_axis {
  int n, cells;   /* px, cells */
  int band;       /* cells that a pixel reads */
  int *first;     /* [n] */
  double *weight; /* [n, band]; the weights of a pixel sum to 1 */
};

struct mask_grid {
  struct mask_axis y, x;
  double *rows; /* [y.n, x.cells] between the two axes */
};

/* Sigma in px per axis; 0: no blur. */
bool mask_grid_open(struct mask_grid *grid, int height, int width, int rows, int columns, double sigma_y,
                    double sigma_x, struct error *err);
void mask_grid_close(struct mask_grid *grid);
/* mask [height, width] of cells [rows, columns]; exactly 1 (0) as float where all cells are 1 (0). */
void mask_grid_up(const struct mask_grid *grid, const double *cells, double *mask);
/* Its adjoint: what a signal at the pixels is at the cells. */
void mask_grid_down(const struct mask_grid *grid, const double *signal, double *cells);
/* The mean of a picture over each cell. */
void mask_grid_average(const struct mask_grid *grid, const double *mask, double *cells);

/* A picture and what replaces it, [height, width, channels]. */
struct mask_scene {
  const float *x, *fill;
  int height, width, channels;
};

/* image = x M + fill (1 - M), with x and fill moved by dy, dx and their edges repeated; the mask stays. */
void mask_blend(const struct mask_scene *scene, int dy, int dx, const double *mask, float *image);
/* signal [height, width] = derivative of a score by M, from its gradient at that image. */
void mask_blend_back(const struct mask_scene *scene, int dy, int dx, const float *gradient, double *signal);

struct mask_objective {
  bool preserve;       /* keep little and hold the score, instead of deleting little and losing it */
  bool raw;            /* the score as it is, instead of its share of the drop */
  double full, base;   /* f(x), f(fill) */
  double l1, tv, beta; /* prices */
  int rows, columns;   /* of the mask */
};

struct mask_terms {
  double score, area, variation; /* their sum is J */
};

/* (f - f(fill)) / (f(x) - f(fill)), not clipped; where hiding everything lowers no score, f - f(fill). */
double mask_share(const struct mask_objective *o, double f);
bool mask_learnable(const struct mask_objective *o);
/* J of cells whose image has the score f. */
double mask_value(const struct mask_objective *o, double f, const double *cells, struct mask_terms *terms);
/* dJ/df, 0 where the share is clipped. */
double mask_slope(const struct mask_objective *o, double f);
/* gradient += what area and variation add to dJ/dm. */
void mask_prices_back(const struct mask_objective *o, const double *cells, double *gradient);

/* Adam (Kingma & Ba, ICLR 2015) within [0,1]. */
struct adam {
  int64_t n, step;
  double rate;
  double *mean, *square; /* [n] */
};

bool adam_open(struct adam *adam, int64_t n, double rate, struct error *err);
void adam_close(struct adam *adam);
void adam_reset(struct adam *adam);
void adam_step(struct adam *adam, const double *gradient, double *cells);

#endif
