/* SPDX-License-Identifier: Apache-2.0 */
#include "render/canvas.h"
#include "render/render.h"

#include <math.h>

static unsigned char srgb_code(double linear)
{
  double c = linear <= 0.0031308 ? 12.92 * linear : 1.055 * pow(linear, 1 / 2.4) - 0.055;
  return (unsigned char)lrint(255 * (c < 0 ? 0 : c > 1 ? 1 : c));
}

/* Colours of even lightness whose hues step by the golden angle, so that neighbouring numbers differ most; three
 * lightnesses in turn. Oklab, B. Ottosson, "A perceptual color space for image processing", 2020. */
static void label_color(int32_t label, unsigned char rgb[3])
{
  if (label < 0) {
    rgb[0] = rgb[1] = rgb[2] = 128;
    return;
  }
  double hue = fmod(label * 2.39996322972865332, 6.28318530717958648);
  double lightness = 0.62 + 0.12 * (label % 3), chroma = 0.13;
  double a = chroma * cos(hue), b = chroma * sin(hue);
  double l = pow(lightness + 0.3963377774 * a + 0.2158037573 * b, 3);
  double m = pow(lightness - 0.1055613458 * a - 0.0638541728 * b, 3);
  double s = pow(lightness - 0.0894841775 * a - 1.2914855480 * b, 3);
  rgb[0] = srgb_code(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s);
  rgb[1] = srgb_code(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s);
  rgb[2] = srgb_code(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s);
}

bool render_labels(const int32_t *labels, int height, int width, int factor, struct image *out, struct error *err)
{
  if (!canvas_enlarged(out, width, height, factor, err))
    return false;
  unsigned char color[3] = {0};
  int32_t last = 0;
  label_color(last, color);
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      int32_t label = labels[(size_t)y * (size_t)width + (size_t)x];
      if (label != last)
        label_color(last = label, color);
      canvas_fill(out, x * factor, y * factor, factor, factor, color);
    }
  return true;
}

bool render_boundaries(struct image *rgb, const int32_t *labels, int height, int width, int factor,
                       const unsigned char color[3])
{
  if (width < 1 || height < 1 || factor < 1 || rgb->channels != 3 || rgb->type != PIXEL_U8 ||
      (int64_t)width * factor != rgb->width || (int64_t)height * factor != rgb->height)
    return false;
  /* Unenlarged, the line is the last pixel before the change; enlarged, it lies half on either side of it. */
  int after = factor / 16 > 1 ? factor / 16 : factor > 1, before = after > 1 ? after : 1;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      const int32_t *label = labels + (size_t)y * (size_t)width + (size_t)x;
      int right = (x + 1) * factor, bottom = (y + 1) * factor;
      if (x + 1 < width && label[0] != label[1])
        canvas_fill(rgb, right - before, bottom - factor - (factor > 1), before + after, factor + 2 * (factor > 1),
                    color);
      if (y + 1 < height && label[0] != label[width])
        canvas_fill(rgb, right - factor - (factor > 1), bottom - before, factor + 2 * (factor > 1), before + after,
                    color);
    }
  return true;
}
