/* SPDX-License-Identifier: Apache-2.0 */
/* The same height on the other side: in a chest radiograph, the other lung. u(y, x) becomes u(y, 2 a - x), a the axis.
 */
#include "base/str.h"
#include "perturb/fill.h"

#include <math.h>
#include <string.h>

/* The columns and rows of the grid that show the picture; what lies around them is padding. */
struct frame {
  int x0, x1, y0, y1;
};

static struct frame frame_of(const struct geometry *g)
{
  const int right = g->offset_x + g->resized_width, bottom = g->offset_y + g->resized_height;
  return (struct frame){g->offset_x > 0 ? g->offset_x : 0, right < g->width ? right : g->width,
                        g->offset_y > 0 ? g->offset_y : 0, bottom < g->height ? bottom : g->height};
}

/* Pearson's correlation of the picture and its mirror image over the columns that both have; `twice` is twice the axis.
 * Each pair of columns counts once, which changes nothing. 0 where one of them has no variance. */
static double correlation(const struct input *input, const struct frame *f, int twice)
{
  const int channels = input->channels, width = input->geometry.width;
  const int begin = twice - (f->x1 - 1) > f->x0 ? twice - (f->x1 - 1) : f->x0;
  double n = 0, sum = 0, square = 0, product = 0;
  for (int64_t y = f->y0; y < f->y1; y++)
    for (int x = begin; 2 * x <= twice; x++) {
      const float *a = input->u + (y * width + x) * channels, *b = input->u + (y * width + twice - x) * channels;
      for (int c = 0; c < channels; c++) {
        const double left = (double)a[c] - input->lo, right = (double)b[c] - input->lo;
        n += 2;
        sum += left + right;
        square += left * left + right * right;
        product += 2 * left * right;
      }
    }
  const double variance = square - sum * sum / n;
  return variance > 0 ? (product - sum * sum / n) / variance : 0;
}

/* Twice the axis of the best mirror image within a tenth of the width from the centre; of equals the nearest to it. */
static int best_axis(const struct input *input, const struct frame *f)
{
  const int centre = f->x0 + f->x1 - 1, reach = (f->x1 - f->x0) / 5;
  int best = centre;
  double highest = correlation(input, f, centre);
  for (int k = 1; k <= reach; k++)
    for (int side = -1; side <= 1; side += 2) {
      const double now = correlation(input, f, centre + side * k);
      if (now > highest) {
        highest = now;
        best = centre + side * k;
      }
    }
  return best;
}

/* `number` is twice the axis, in columns. */
static bool open(struct fill *fill, const char *argument, struct error *err)
{
  const struct input *input = fill->scene.input;
  const struct frame f = frame_of(&input->geometry);
  double axis;
  if (!argument) {
    fill->number = f.x0 + f.x1 - 1;
  } else if (strcmp(argument, "auto") == 0) {
    fill->number = best_axis(input, &f);
  } else {
    if (!str_number(argument, &axis) || !(axis >= 0 && axis <= input->geometry.width - 1))
      return error_set(err, ERROR_USAGE, "fill: 'mirror:%.40s' is neither auto nor a column in 0..%d", argument,
                       input->geometry.width - 1);
    fill->number = floor(2 * axis + 0.5);
  }
  return true;
}

static bool image(const struct fill *fill, uint32_t draw, float *u, struct error *err)
{
  const struct input *input = fill->scene.input;
  const int width = input->geometry.width, twice = (int)fill->number;
  const struct frame f = frame_of(&input->geometry);
  const size_t pixel = (size_t)input->channels;
  (void)draw;
  (void)err;
  for (int64_t y = 0; y < input->geometry.height; y++)
    for (int x = 0; x < width; x++) {
      int from = x; /* padding stays */
      if (x >= f.x0 && x < f.x1) {
        from = twice - x;
        from = from < f.x0 ? f.x0 : from >= f.x1 ? f.x1 - 1 : from;
      }
      memcpy(u + (size_t)(y * width + x) * pixel, input->u + (size_t)(y * width + from) * pixel, pixel * sizeof *u);
    }
  return true;
}

const struct fill_kind fill_mirror = {
    .name = "mirror",
    .summary = "the same place on the other side, left and right exchanged",
    .argument = "column of the axis, default the centre, or auto",
    .open = open,
    .image = image,
};
