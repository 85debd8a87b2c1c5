/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "perturb/fill.h"

#include <string.h>

static bool open(struct fill *fill, const char *argument, struct error *err)
{
  const struct input *input = fill->scene.input;
  struct image picture;
  if (!argument || !*argument)
    return error_set(err, ERROR_USAGE, "fill: 'image' wants a file, as in image:FILE");
  if (!image_read(argument, &picture, err))
    return false;
  const size_t n = (size_t)input->geometry.height * (size_t)input->geometry.width * (size_t)input->channels;
  float *u = mem_alloc(n * sizeof *u);
  const bool ok = u ? preprocess_place(fill->scene.card, &picture, input, u, err) : error_memory(err, "a fill");
  /* Another shape would be stretched or cut differently: worth a word. */
  const double own = (double)input->geometry.source_width / input->geometry.source_height;
  const double other = (double)picture.width / picture.height;
  if (own / other > 1.02 || other / own > 1.02)
    fill->note = "fill-aspect";
  image_free(&picture);
  if (!ok) {
    mem_free(u);
    return false;
  }
  fill->data = u;
  return true;
}

static void close(struct fill *fill)
{
  mem_free(fill->data);
}

static bool image(const struct fill *fill, uint32_t draw, float *u, struct error *err)
{
  const struct input *input = fill->scene.input;
  (void)draw;
  (void)err;
  memcpy(u, fill->data,
         (size_t)input->geometry.height * (size_t)input->geometry.width * (size_t)input->channels * sizeof *u);
  return true;
}

const struct fill_kind fill_image = {
  .name = "image", .summary = "another picture through the same preprocessing", .argument = "FILE",
  .open = open, .close = close, .image = image,
};
