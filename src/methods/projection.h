/* SPDX-License-Identifier: Apache-2.0 */
/* Projections of a layer's activity to pixels by the deconvnet: Zeiler & Fergus, "Visualizing and understanding
 * convolutional networks", ECCV 2014, section 2. */
#ifndef PENUMBRA_METHODS_PROJECTION_H
#define PENUMBRA_METHODS_PROJECTION_H

#include "methods/method.h"
#include "perturb/gradients.h"

/* Which activity: one unit, or all of a feature map. */
struct projection {
  int64_t map;    /* feature map */
  int y, x;       /* unit; y < 0: the whole map */
  double value;   /* activation of the unit, or sum over the map */
  int box[4];     /* x0, y0, x1, y1 on the model grid (x1, y1 behind the last): the receptive field */
  struct backward_info info; /* rectifiers on the way, and what else there is to say of it */
};

/* The feature map with the largest total activation [height, width, channels], and a map's strongest unit; the first of
 * equals. */
int64_t projection_strongest_map(const float *activations, int height, int width, int channels);
void projection_strongest_unit(const float *activations, int height, int width, int channels, struct projection *p);

/* Project, by the rules of the deconvnet: p->map, y and x are given, value, box and info are found; out [H,W,C] is the
 * signal that arrives at the image x [H,W,C]. Nothing is active where value <= 0: out is then 0. */
bool projection_run(struct evaluator *evaluator, const struct model *model, const float *x, const char *layer,
                    struct projection *p, float *out, struct error *err);

/* The box of p->map, y and x, which projection_run finds too; p->info must be known. */
bool projection_field(const struct model *model, const char *layer, struct projection *p, struct error *err);

#endif
