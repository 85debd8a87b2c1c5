/* SPDX-License-Identifier: Apache-2.0 */
/* The pictures of the report: everything is defined once, as SVG images that other places refer to. */
#include "render/render.h"
#include "render/report_parts.h"

#include "base/mem.h"
#include "render/text.h"

#include <math.h>
#include <string.h>

/* Below it a map is flat: the threshold of the warning `flat-map` for scores up to 1. */
static const double flat_below = 1e-6;

enum { PIXELATED_BELOW = 128, ENTRIES = 256, STOPS = 33 };

/* ---- scales ----------------------------------------------------------------------------------------------------- */

static void find_scale(const struct report_map *map, int width, int height, struct report_scale *scale)
{
  *scale = (struct report_scale){.x0 = width, .y0 = height};
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      const size_t at = (size_t)y * (size_t)width + (size_t)x;
      const double v = (double)map->heat[at];
      if (!isfinite(v)) {
        scale->holes++;
        continue;
      }
      scale->both_signs |= v < 0;
      scale->limit = fmax(scale->limit, fabs(v));
      if (map->coverage && !map->coverage[at])
        continue;
      scale->x0 = x < scale->x0 ? x : scale->x0;
      scale->y0 = y < scale->y0 ? y : scale->y0;
      scale->x1 = x >= scale->x1 ? x + 1 : scale->x1;
      scale->y1 = y >= scale->y1 ? y + 1 : scale->y1;
    }
  if (scale->limit < flat_below)
    scale->limit = 0;
}

static bool sees_all(const struct report_scale *scale, int width, int height)
{
  return scale->x0 == 0 && scale->y0 == 0 && scale->x1 == width && scale->y1 == height;
}

void report_scales(const struct report *report, struct report_pictures *pictures)
{
  const struct image *picture = report->picture;
  bool both_signs = false;
  for (int i = 0; i < report->count; i++) {
    struct report_scale *scale = &pictures->scale[i];
    find_scale(&report->maps[i], picture->width, picture->height, scale);
    pictures->common = fmax(pictures->common, scale->limit);
    both_signs |= scale->both_signs;
    pictures->unseen |= !sees_all(scale, picture->width, picture->height);
  }
  for (int i = 0; i < report->count; i++) /* one legend for all */
    pictures->scale[i].both_signs = both_signs;
}

/* ---- what is defined once --------------------------------------------------------------------------------------- */

/* Fit into side x side; what fits already stays as it is. */
static bool shrink(struct image *image, int side, struct error *err)
{
  const int longer = image->width > image->height ? image->width : image->height;
  if (longer <= side)
    return true;
  const double ratio = (double)side / longer;
  const int width = (int)fmax(1, lrint(image->width * ratio)), height = (int)fmax(1, lrint(image->height * ratio));
  struct image small;
  if (!image_resize(image, width, height, INTERPOLATION_BILINEAR, &small, err))
    return false;
  image_free(image);
  *image = small;
  return true;
}

static bool is_color(const struct image *rgb)
{
  const unsigned char *at = rgb->data;
  for (size_t left = (size_t)rgb->width * (size_t)rgb->height; left > 0; left--, at += 3)
    if (at[0] != at[1] || at[1] != at[2])
      return true;
  return false;
}

static bool store_picture(const struct image *source, int side, struct report_pictures *pictures, struct str *html,
                          struct error *err)
{
  struct image rgb = {0}, gray = {0};
  int factor;
  bool ok = render_base(source, 1, &rgb, &factor, err) && shrink(&rgb, side, err);
  pictures->color = ok && is_color(&rgb);
  ok = ok && (pictures->color || image_to_gray(&rgb, &gray, err));
  if (ok) {
    const int longer = rgb.width > rgb.height ? rgb.width : rgb.height;
    pictures->width = rgb.width;
    pictures->height = rgb.height;
    pictures->pixelated = longer < PIXELATED_BELOW;
    str_printf(html, "<image id=\"picture\" width=\"%d\" height=\"%d\" preserveAspectRatio=\"none\" href=\"", rgb.width,
               rgb.height);
    ok = html_png(html, pictures->color ? &rgb : &gray, err);
    str_append(html, "\"/>\n");
  }
  image_free(&rgb);
  image_free(&gray);
  return ok;
}

/* Code of a value: 128 is zero and 1, 255 the ends; without negative values 0 and 255. */
static unsigned char code_of(double value, const struct report_scale *scale)
{
  const double t = scale->limit > 0 && isfinite(value) ? value / scale->limit : 0;
  return (unsigned char)lrint(scale->both_signs ? 128 + 127 * fmax(-1, fmin(1, t)) : 255 * fmax(0, fmin(1, t)));
}

static bool store_map(const struct report *report, const struct report_pictures *pictures, int index, int side,
                      struct str *html, struct error *err)
{
  const struct image *picture = report->picture;
  const struct report_scale *scale = &pictures->scale[index];
  struct image values = {0}, codes = {0};
  if (!image_new(&values, picture->width, picture->height, 1, PIXEL_F32, err))
    return false;
  const size_t pixels = (size_t)picture->width * (size_t)picture->height;
  for (size_t i = 0; i < pixels; i++) {
    const float v = report->maps[index].heat[i];
    ((float *)values.data)[i] = isfinite((double)v) ? v : 0;
  }
  bool ok = shrink(&values, side, err) && image_new(&codes, values.width, values.height, 1, PIXEL_U8, err);
  if (ok) {
    const size_t n = (size_t)codes.width * (size_t)codes.height;
    for (size_t i = 0; i < n; i++)
      ((unsigned char *)codes.data)[i] = code_of((double)((const float *)values.data)[i], scale);
    str_printf(html,
               "<image id=\"map-%d\" width=\"%d\" height=\"%d\" preserveAspectRatio=\"none\" filter=\"url(#tint)\" "
               "href=\"",
               index, pictures->width, pictures->height);
    ok = html_png(html, &codes, err);
    str_append(html, "\"/>\n");
  }
  image_free(&values);
  image_free(&codes);
  return ok;
}

/* A share in thousandths, the same in every locale. */
static void append_share(struct str *html, double share)
{
  const int n = (int)lrint(1000 * fmax(0, fmin(1, share)));
  if (n % 1000 == 0)
    str_printf(html, "%d ", n / 1000);
  else
    str_printf(html, ".%03d ", n);
}

static const struct colormap *colors_of(bool both_signs)
{
  return colormap_find(both_signs ? "coolwarm" : "inferno");
}

/* The value on -1..1 that a code stands for. */
static double value_of(int code, bool both_signs)
{
  return both_signs ? fmax(-1, (code - 128) / 127.0) : code / 255.0;
}

/* Codes to colours, and to an opacity that falls to 0 towards value 0, as in overlay.png: hue and opacity are looked up
 * apart and put together at the end, so that faint values keep their hue. */
static void store_filter(bool both_signs, struct str *html)
{
  static const char channel[] = "RGB";
  const struct colormap *colors = colors_of(both_signs);
  str_append(html,
             "<filter id=\"tint\" x=\"0\" y=\"0\" width=\"1\" height=\"1\" color-interpolation-filters=\"sRGB\">\n"
             "<feComponentTransfer in=\"SourceGraphic\" result=\"hue\">\n");
  for (int c = 0; c < 3; c++) {
    str_printf(html, "<feFunc%c type=\"table\" tableValues=\"", channel[c]);
    for (int i = 0; i < ENTRIES; i++)
      append_share(html, colormap_color(colors, value_of(i, both_signs), 1, both_signs)[c] / 255.0);
    str_append(html, "\"/>\n");
  }
  str_append(html, "</feComponentTransfer>\n<feColorMatrix in=\"SourceGraphic\" type=\"matrix\" "
                   "values=\"0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0 0\"/>\n<feComponentTransfer result=\"strength\">\n"
                   "<feFuncA type=\"table\" tableValues=\"");
  for (int i = 0; i < ENTRIES; i++)
    append_share(html, pow(fabs(value_of(i, both_signs)), 0.75));
  str_append(html,
             "\"/>\n</feComponentTransfer>\n<feComposite in=\"hue\" in2=\"strength\" operator=\"in\"/>\n</filter>\n");
}

static void store_bar(bool both_signs, struct str *html)
{
  const struct colormap *colors = colors_of(both_signs);
  str_append(html, "<linearGradient id=\"scale\">\n");
  for (int i = 0; i < STOPS; i++) {
    const double t = i / (STOPS - 1.0);
    const unsigned char *rgb = colormap_color(colors, both_signs ? 2 * t - 1 : t, 1, both_signs);
    str_append(html, "<stop offset=\"");
    append_share(html, t);
    str_printf(html, "\" stop-color=\"#%02x%02x%02x\"/>\n", rgb[0], rgb[1], rgb[2]);
  }
  str_append(html, "</linearGradient>\n");
}

bool report_store(const struct report *report, struct report_pictures *pictures, int picture_side, int map_side,
                  struct str *html, struct error *err)
{
  str_append(html, "<svg class=\"store\" width=\"0\" height=\"0\" aria-hidden=\"true\" focusable=\"false\"><defs>\n");
  bool ok = store_picture(report->picture, picture_side, pictures, html, err);
  for (int i = 0; ok && i < report->count; i++)
    ok = store_map(report, pictures, i, map_side, html, err);
  if (!ok)
    return false;
  const int longer = pictures->width > pictures->height ? pictures->width : pictures->height;
  char step[TEXT_NUMBER];
  (void)text_coordinate(longer / 60.0, step);
  store_filter(pictures->scale[0].both_signs, html);
  store_bar(pictures->scale[0].both_signs, html);
  str_printf(html,
             "<pattern id=\"hatch\" width=\"%s\" height=\"%s\" patternUnits=\"userSpaceOnUse\" "
             "patternTransform=\"rotate(45)\"><rect width=\"100%%\" height=\"100%%\" fill=\"#808080\" "
             "fill-opacity=\".5\"/><rect width=\"25%%\" height=\"100%%\" fill=\"#cecece\"/></pattern>\n",
             step, step);
  return str_append(html, "</defs></svg>\n");
}

/* ---- a picture with its map, and its scale ----------------------------------------------------------------------- */

/* What the model did not see: the picture but for the part that the crop left. */
static void append_unseen(const struct report_pictures *pictures, const struct report_scale *scale, int width,
                          int height, struct str *html)
{
  if (sees_all(scale, width, height))
    return;
  const double sx = (double)pictures->width / width, sy = (double)pictures->height / height;
  char x0[TEXT_NUMBER], y0[TEXT_NUMBER], x1[TEXT_NUMBER], y1[TEXT_NUMBER];
  str_printf(html, "<path class=\"unseen\" fill=\"url(#hatch)\" fill-rule=\"evenodd\" d=\"M0 0H%dV%dH0Z",
             pictures->width, pictures->height);
  if (scale->x1 > scale->x0 && scale->y1 > scale->y0)
    str_printf(html, "M%s %sV%sH%sV%sZ", text_coordinate(scale->x0 * sx, x0), text_coordinate(scale->y0 * sy, y0),
               text_coordinate(scale->y1 * sy, y1), text_coordinate(scale->x1 * sx, x1), y0);
  str_append(html, "\"/>\n");
}

void report_stage(const struct report_pictures *pictures, const struct report *report, int map, const char *id,
                  const char *title, struct str *html)
{
  str_append(html, "<svg class=\"stage");
  str_append(html, pictures->pixelated ? " pixelated\"" : "\"");
  if (id)
    str_printf(html, " id=\"%s\"", id);
  str_printf(html, " viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", pictures->width, pictures->height);
  html_text(html, title);
  str_printf(html, "\">\n<use class=\"picture\" href=\"#picture\"/>\n<use class=\"map\" href=\"#map-%d\"/>\n", map);
  append_unseen(pictures, &pictures->scale[map], report->picture->width, report->picture->height, html);
  str_append(html, "</svg>\n");
}

void report_legend(const struct report_pictures *pictures, int map, struct str *html)
{
  const struct report_scale *scale = &pictures->scale[map];
  str_append(html, "<div class=\"legend\"><svg class=\"bar\" viewBox=\"0 0 256 12\" preserveAspectRatio=\"none\" "
                   "aria-hidden=\"true\"><rect width=\"256\" height=\"12\" fill=\"url(#scale)\"/></svg>\n"
                   "<p class=\"ends\">");
  if (scale->both_signs) {
    str_append(html, "<span class=\"low\">");
    html_number(html, -scale->limit, 3);
    str_append(html, "</span>");
  }
  str_append(html, "<span>0</span><span class=\"high\">");
  if (scale->limit > 0)
    str_append(html, scale->both_signs ? "+" : "");
  html_number(html, scale->limit, 3);
  str_append(html, "</span></p></div>\n");
}
