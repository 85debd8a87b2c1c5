/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/fill.h"

#include <math.h>

static bool open(struct fill *fill, const char *argument, struct error *err)
{
  const struct geometry *g = &fill->scene.input->geometry;
  const int side = g->height < g->width ? g->height : g->width;
  fill->number = fmax(1, floor(10.0 * side / 224 + 0.5));
  return !argument || fill_number(argument, "blur", 0, 1000, &fill->number, err);
}

static bool image(const struct fill *fill, uint32_t draw, float *u, struct error *err)
{
  const struct input *input = fill->scene.input;
  (void)draw;
  return blur_image(input->u, input->geometry.height, input->geometry.width, input->channels, fill->number, u, err);
}

const struct fill_kind fill_blur = {
  .name = "blur", .summary = "the image blurred by a Gaussian", .argument = "sigma in px, default 10 at 224",
  .open = open, .image = image,
};
