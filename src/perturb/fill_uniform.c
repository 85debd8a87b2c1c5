/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "perturb/fill.h"

/* Samek et al. 2017: uniform noise per pixel and source channel. A grey picture is drawn once and repeated for a model
 * that takes colour. */
static bool image(const struct fill *fill, uint32_t draw, float *u, struct error *err)
{
  const struct input *input = fill->scene.input;
  const int64_t pixels = (int64_t)input->geometry.height * input->geometry.width;
  const int channels = input->channels;
  bool gray = true;
  (void)err;
  for (int64_t i = 0; i < pixels && gray; i++)
    for (int c = 1; c < channels; c++)
      gray &= input->u[i * channels + c] == input->u[i * channels];
  for (int64_t i = 0; i < pixels; i++)
    for (int c = 0; c < channels; c++) {
      const uint64_t element = (uint64_t)(gray ? i : i * channels + c);
      u[i * channels + c] =
        (float)(input->lo + (input->hi - input->lo) * rng_uniform(fill->scene.seed, RNG_FILL, draw, element));
    }
  return true;
}

const struct fill_kind fill_uniform = {
  .name = "uniform", .summary = "uniform noise over the range", .random = true, .image = image,
};
