/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/fill.h"

/* Zeiler & Fergus' grey: the mean of the training data. A mean of zero in a card is a normalisation constant, not a
 * grey; the image's own mean stands in then, and the result says so. */
static bool open(struct fill *fill, const char *argument, struct error *err)
{
  (void)argument;
  (void)err;
  double mean[CARD_MAX_CHANNELS];
  if (!scene_dataset_mean(fill, mean))
    fill->note = "fill-mean-missing";
  return true;
}

static bool image(const struct fill *fill, uint32_t draw, float *u, struct error *err)
{
  double mean[CARD_MAX_CHANNELS];
  (void)draw;
  (void)err;
  if (!scene_dataset_mean(fill, mean))
    scene_image_mean(fill, mean);
  fill_per_channel(fill, mean, u);
  return true;
}

const struct fill_kind fill_mean = {
    .name = "mean",
    .summary = "mean of the data set from the card, else of the image",
    .open = open,
    .image = image,
};
