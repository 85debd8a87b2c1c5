/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/fill.h"

static bool image(const struct fill *fill, uint32_t draw, float *u, struct error *err)
{
  const double lo = fill->scene.input->lo;
  (void)draw;
  (void)err;
  fill_per_channel(fill, (const double[CARD_MAX_CHANNELS]){lo, lo, lo, lo}, u);
  return true;
}

const struct fill_kind fill_black = {
  .name = "black", .summary = "black as displayed", .image = image,
};
