/* SPDX-License-Identifier: Apache-2.0 */
/* What is shown of a place where a feature map was active: its projection by the deconvnet, the part of the image it
 * sees, the map's activity on that image. */
#ifndef PENUMBRA_METHODS_FEATURE_VIEWS_H
#define PENUMBRA_METHODS_FEATURE_VIEWS_H

#include "model/model.h"
#include "model/predictor.h"

struct feature_view {
  const float *x; /* [H,W,C] the image; borrowed */
  int y, u;       /* the unit: row and column of the map */
  float value;    /* of the unit */
  int box[4];     /* x0, y0, x1, y1 on the model grid (x1, y1 behind the last): what of the image the unit sees */
  int frame[4];   /* the same as if the image went on beyond its edges */
  float *projection; /* [C, height, width of the box]; owned */
  float *activity;   /* [height, width of the layer]; owned */
};

/* Fill in n views of one feature map. A session that was opened with `layer`. */
bool feature_views(struct session *session, const struct model *model, const char *layer, int map,
                   struct feature_view *views, int n, struct error *err);
void feature_views_free(struct feature_view *views, int n);

/* Whether projections of a layer can be had at all; what is on the way. */
bool feature_views_check(struct session *session, const char *layer, struct backward_info *info, struct error *err);

#endif
