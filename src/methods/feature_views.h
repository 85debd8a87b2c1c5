/* SPDX-License-Identifier: Apache-2.0 */
/* What is shown of a place where a feature map was active: its projection to the pixels, the part of the image it sees,
 * the map's activity on that image. */
#ifndef PENUMBRA_METHODS_FEATURE_VIEWS_H
#define PENUMBRA_METHODS_FEATURE_VIEWS_H

#include "model/model.h"
#include "model/predictor.h"

struct feature_view {
  const float *x; /* [H,W,C] the image; borrowed */
  int y, u;       /* the unit: row and column of the map */
  bool gray;      /* the picture is: colours of its projection mean nothing, their mean is shown */
  float value;    /* of the unit */
  int box[4];     /* x0, y0, x1, y1 on the model grid (x1, y1 behind the last): what of the image the unit sees */
  int frame[4];   /* the same as if the image went on beyond its edges */
  int shown[4];   /* of that where the projection is: a unit of a deep layer is sensitive to a part of what it sees */
  float scale;    /* of what is shown, the 99.5th percentile in size: by the largest the rest would be faint */
  float *projection; /* [C, height, width of the box]; owned */
  float *activity;   /* [height, width of the layer]; owned */
};

struct feature_source {
  struct session *session; /* opened with the layer */
  const struct model *model;
  const char *layer;
  enum rule rule;
};

/* Fill in n views of one feature map. */
bool feature_views(const struct feature_source *source, int map, struct feature_view *views, int n, struct error *err);
void feature_views_free(struct feature_view *views, int n);
/* What is shown of channel c at column x and row y of the projection's box. */
float feature_view_at(const struct feature_view *view, int channels, int c, int y, int x);

/* The 99.5th percentile in size of n values, the largest where that is 0; the values are lost. */
float feature_views_scale(float *values, size_t n);

/* Whether projections of a layer can be had at all; what is on the way. */
bool feature_views_check(const struct feature_source *source, struct backward_info *info, struct error *err);

/* Max poolings on the way from the image to a layer. The deconvnet knows the image by their switches alone: where there
 * are none, its projections are the same for every image. */
int feature_views_switches(const struct model *model, const char *layer, struct error *err);

#endif
