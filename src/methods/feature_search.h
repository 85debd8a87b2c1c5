/* SPDX-License-Identifier: Apache-2.0 */
/* The images that excite each feature map of a layer most: Zeiler & Fergus, "Visualizing and understanding
 * convolutional networks", ECCV 2014, figure 2. Images are streamed; a map keeps its strongest places only. The result
 * does not depend on the order of the images: ties go by name, then place. An image that comes twice counts once, under
 * the name it came by first. */
#ifndef PENUMBRA_METHODS_FEATURE_SEARCH_H
#define PENUMBRA_METHODS_FEATURE_SEARCH_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* A place of a feature map that was active. */
struct feature_hit {
  float value;
  int32_t image; /* index of the image */
  int32_t y, x;  /* unit */
};

struct feature_image {
  char *name;
  char sha256[65];
};

struct feature_search {
  int height, width, channels; /* of the layer */
  int top;                     /* places kept a map */
  int per_image;               /* of them at most so many of one image */
  struct feature_hit *hits;    /* [channels, top], strongest first */
  int *counts;                 /* [channels] places there are */
  __int128 *totals;            /* [channels] activation over all images, 2^-32: exact, so in any order the same */
  struct feature_image *images;
  int n_images, room;
  json_t *seen;                /* by SHA-256 */
};

bool feature_search_init(struct feature_search *s, int height, int width, int channels, int top, int per_image,
                         struct error *err);
void feature_search_free(struct feature_search *s);

/* Whether an image of these bytes was there before. */
bool feature_search_has(const struct feature_search *s, const char *sha256);

/* Take the activations [height, width, channels] of an image; a value that is not finite is an error that names map and
 * place. On failure nothing has changed. */
bool feature_search_add(struct feature_search *s, const char *name, const char *sha256, const float *activations,
                        struct error *err);

/* The (at most) `n` maps with the largest total activation, largest first, the first of equals; returns how many of
 * them were active at all. */
int feature_search_strongest(const struct feature_search *s, int n, int *maps, struct error *err);
double feature_search_total(const struct feature_search *s, int map);

/* All that was found so far as JSON, and a search that goes on from it; a state of another layer or other limits is an
 * error and leaves the search empty. */
json_t *feature_search_state(const struct feature_search *s);
bool feature_search_restore(struct feature_search *s, const json_t *state, struct error *err);

#endif
