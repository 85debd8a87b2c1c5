/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/fill.h"

static bool image(const struct fill *fill, uint32_t draw, float *u, struct error *err)
{
  const double hi = fill->scene.input->hi;
  (void)draw;
  (void)err;
  fill_per_channel(fill, (const double[CARD_MAX_CHANNELS]){hi, hi, hi, hi}, u);
  return true;
}

const struct fill_kind fill_white = {
  .name = "white", .summary = "white as displayed", .image = image,
};
