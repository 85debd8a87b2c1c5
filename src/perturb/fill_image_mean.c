/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/fill.h"

static bool image(const struct fill *fill, uint32_t draw, float *u, struct error *err)
{
  double mean[CARD_MAX_CHANNELS];
  (void)draw;
  (void)err;
  scene_image_mean(fill, mean);
  fill_per_channel(fill, mean, u);
  return true;
}

const struct fill_kind fill_image_mean = {
  .name = "image-mean", .summary = "mean of this image per channel, padding left out", .image = image,
};
