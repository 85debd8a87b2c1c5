/* SPDX-License-Identifier: Apache-2.0 */
/* Fills: what hidden pixels are replaced by (METHODS: stated in image units on the model grid, then passed through the
 * value part of preprocessing). One file a kind, listed in fills.def. */
#ifndef PENUMBRA_PERTURB_FILL_H
#define PENUMBRA_PERTURB_FILL_H

#include "base/error.h"
#include "model/card.h"
#include "model/preprocess.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* The picture a fill works on. */
struct fill_scene {
  const struct card *card;
  const struct input *input;
  uint64_t seed;
};

struct fill;

struct fill_kind {
  const char *name, *summary, *argument; /* argument: what may follow the colon ("σ in px"), NULL: nothing */
  bool random;       /* differs from draw to draw */
  bool needs_region; /* made from the rim of what is hidden: no whole-image fill */
  /* Check the argument (text after the colon, NULL without) and do what is the same for every draw. */
  bool (*open)(struct fill *fill, const char *argument, struct error *err);
  void (*close)(struct fill *fill);
  /* u [height, width, channels] in image units for one draw. */
  bool (*image)(const struct fill *fill, uint32_t draw, float *u, struct error *err);
  /* needs_region: the same where hidden[height, width] is not 0; elsewhere u is left alone. */
  bool (*region)(const struct fill *fill, uint32_t draw, const unsigned char *hidden, float *u, struct error *err);
};

struct fill {
  const struct fill_kind *kind;
  struct fill_scene scene;
  char *text;        /* as the user wrote it; owned */
  void *data;        /* the kind's own */
  double number;     /* the kind's own */
  const char *note;  /* identifier of a warning ("fill-mean-missing"), or NULL */
};

/* Parse "blur:5", "mean", "image:FILE", "128" … for a picture. The scene's pointers must outlive the fill. Errors are
 * ERROR_USAGE naming the fill and what is possible. */
bool fill_open(struct fill *fill, const char *text, const struct fill_scene *scene, struct error *err);
void fill_close(struct fill *fill);
/* Whether the first `length` bytes are the name of a kind, or a number. */
bool fill_known(const char *text, size_t length);

/* The fill in the model's values, x [height, width, channels]. Not for kinds that need a region. */
bool fill_values(const struct fill *fill, uint32_t draw, float *x, struct error *err);
/* The picture with hidden pixels (hidden != 0) replaced, in the model's values, for any kind. */
bool fill_hidden(const struct fill *fill, uint32_t draw, const unsigned char *hidden, float *x, struct error *err);

/* What a note of a fill means. */
const char *fill_note_sentence(const char *note);

/* Draws to average over: 1 unless the fill is random. */
int fill_draws(const struct fill *fill, int64_t wanted);

/* [{"name","summary","argument","random","region"}] */
json_t *fills_json(void);

/* For the kinds: one value per channel everywhere; the data set's mean in image units (false: the card has none); the
 * mean of this image, padding left out; the number after the colon within bounds. `mean` holds a value per channel. */
void fill_per_channel(const struct fill *fill, const double *value, float *u);
bool scene_dataset_mean(const struct fill *fill, double *mean);
void scene_image_mean(const struct fill *fill, double *mean);
bool fill_number(const char *argument, const char *name, double least, double most, double *out, struct error *err);

/* Separable Gaussian blur of [height, width, channels], reflected at the border, truncated at 4 sigma; sigma in px. */
bool blur_image(const float *src, int height, int width, int channels, double sigma, float *dst, struct error *err);

#endif
