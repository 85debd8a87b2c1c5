/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/fill.h"

/* Zero after preprocessing: the image value that maps there is found by inverting the value part, which is affine. */
static bool image(const struct fill *fill, uint32_t draw, float *u, struct error *err)
{
  const struct input *input = fill->scene.input;
  double value[CARD_MAX_CHANNELS];
  (void)draw;
  (void)err;
  for (int c = 0; c < input->channels; c++) {
    const double at0 = (double)preprocess_value(fill->scene.card, input, c, input->lo);
    const double at1 = (double)preprocess_value(fill->scene.card, input, c, input->hi);
    value[c] = input->lo + (0 - at0) / (at1 - at0) * (input->hi - input->lo);
  }
  fill_per_channel(fill, value, u);
  return true;
}

const struct fill_kind fill_zero = {
  .name = "zero", .summary = "zeros after preprocessing, the baseline of most libraries", .image = image,
};
