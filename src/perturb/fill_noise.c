/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "perturb/fill.h"

static bool open(struct fill *fill, const char *argument, struct error *err)
{
  const struct input *input = fill->scene.input;
  fill->number = -1; /* the data set's SD, else a quarter of the range */
  return !argument || fill_number(argument, "noise", 0, input->hi - input->lo, &fill->number, err);
}

static bool image(const struct fill *fill, uint32_t draw, float *u, struct error *err)
{
  const struct input *input = fill->scene.input;
  const struct card *card = fill->scene.card;
  const int64_t pixels = (int64_t)input->geometry.height * input->geometry.width;
  const int channels = input->channels;
  double mean[CARD_MAX_CHANNELS];
  (void)err;
  if (!scene_dataset_mean(fill, mean))
    scene_image_mean(fill, mean);
  for (int64_t i = 0; i < pixels; i++)
    for (int c = 0; c < channels; c++) {
      const double sd = fill->number >= 0             ? fill->number
                        : card->dataset_std_count > 0 ? card->dataset_std[c]
                                                      : (input->hi - input->lo) / 4;
      const double v = mean[c] + sd * rng_normal(fill->scene.seed, RNG_FILL, draw, (uint64_t)(i * channels + c));
      u[i * channels + c] = (float)(v < input->lo ? input->lo : v > input->hi ? input->hi : v);
    }
  return true;
}

const struct fill_kind fill_noise = {
    .name = "noise",
    .summary = "data-set mean plus Gaussian noise, clipped to the range",
    .argument = "SD in image units",
    .random = true,
    .open = open,
    .image = image,
};
