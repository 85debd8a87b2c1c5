/* SPDX-License-Identifier: Apache-2.0 */
/* Superpixels: the picture on the model grid cut into segments, the features of LIME and KernelSHAP. One file a kind,
 * listed in segments.def. */
#ifndef PENUMBRA_PERTURB_SEGMENT_H
#define PENUMBRA_PERTURB_SEGMENT_H

#include "base/error.h"
#include "base/params.h"
#include "model/card.h"
#include "model/preprocess.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The picture that is cut. */
struct segment_scene {
  const struct card *card;
  const struct input *input;
};

/* Cut the picture as `text` says: KIND, KIND:VALUE or KIND:name=value,name=value ("quickshift", "slic:100", "grid:8x8",
 * "file:labels.png"). `range` is what becomes black and white before colours are compared: "card" (the picture's
 * lo..hi) or "robust" (its 0.5 and 99.5 percentiles). labels [height, width] get 0..*count-1 without gaps, numbered in
 * the order in which they first appear, row by row. One segment is no error. */
bool segment_image(const char *text, const char *range, const struct segment_scene *scene, int32_t *labels,
                   int64_t *count, struct error *err);

/* [{"name","summary","argument","parameters"}]; NULL when memory is out. */
json_t *segments_json(void);

/* What colours are compared in, a plane for each coordinate: CIE Lab for three channels, L* for one (and for a colour
 * picture in which all three are equal, so that grey is grey however it is stored), 0..100 each for other counts. */
struct segment_colours {
  int height, width, channels;
  float *plane[CARD_MAX_CHANNELS]; /* [height, width] */
};

struct segment_kind {
  const char *name, *summary;
  const char *argument; /* parameter that may stand alone after the colon, or NULL */
  bool verbatim;        /* all after the colon is that parameter, commas and equals signs too */
  bool by_place;        /* does not look at the colours */
  const struct param *params;
  size_t options_size;
  /* labels [height, width] from 0 to below height * width, gaps allowed; colours NULL when by_place. */
  bool (*cut)(const struct segment_scene *scene, const struct segment_colours *colours, const void *options,
              int32_t *labels, struct error *err);
};

#endif
