/* SPDX-License-Identifier: Apache-2.0 */
/* From a picture to the model's input tensor and back: P = V after G. G (geometry: resize, crop, pad) makes u on the
 * model grid in image units; V (values: range, scale, mean, std) makes x. The inverse of G carries maps back. */
#ifndef PENUMBRA_MODEL_PREPROCESS_H
#define PENUMBRA_MODEL_PREPROCESS_H

#include "base/error.h"
#include "image/image.h"
#include "model/card.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Where the picture went: model pixel centre (x+0.5) = (source pixel centre) * scale + offset, per axis. */
struct geometry {
  int source_width, source_height; /* px of the picture */
  int resized_width, resized_height;
  int offset_x, offset_y;          /* of the resized picture on the model grid: <= 0 crop, >= 0 pad */
  int width, height;               /* model grid */
};

struct input {
  struct geometry geometry;
  int channels;
  float *u;     /* [height, width, channels] image units, channel order of the model; owned */
  float *x;     /* [height, width, channels] the model's input; owned */
  double lo, hi;               /* image units of black and white */
  double spacing_y, spacing_x; /* mm per model px; 0 where not known */
  bool preprocessed;           /* the picture was a tensor already: u == x */
};

/* The card must have passed card_check. */
bool preprocess(const struct card *card, const struct image *image, struct input *input, struct error *err);
void input_free(struct input *input);

/* V for one pixel value `u` in image units of channel `c` (model order). */
float preprocess_value(const struct card *card, const struct input *input, int c, double u);
/* V for a whole [height, width, channels] array. */
void preprocess_values(const struct card *card, const struct input *input, const float *u, float *x);

/* G for another picture onto the same model grid, in the same image units (for fills from images). */
bool preprocess_place(const struct card *card, const struct image *image, const struct input *like, float *u,
                      struct error *err);

/* A map [height, width] on the model grid to the source grid [source_height, source_width]: bilinear at pixel centres.
 * Source pixels outside the crop get 0 and coverage 0, the others coverage 1 (coverage may be NULL). */
void preprocess_to_source(const struct geometry *geometry, const float *map, float *heat, unsigned char *coverage);
/* The same for labels: nearest. Pixels outside the crop get `outside`. */
void preprocess_labels_to_source(const struct geometry *geometry, const int32_t *labels, int32_t *out, int32_t outside);
/* The other way, for masks and maps on the source grid: source -> model, bilinear or nearest. */
void preprocess_to_model(const struct geometry *geometry, const float *source, float *map, bool nearest);

/* Everything that was done, for result.json. */
json_t *preprocess_json(const struct card *card, const struct input *input);

#endif
