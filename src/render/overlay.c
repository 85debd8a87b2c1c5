/* SPDX-License-Identifier: Apache-2.0 */
/* A map on its picture. Hue says which way a value points, opacity how far: where the map is near zero the picture
 * shows through, so the eye is led by evidence and not by the colour of nothing. */
#include "render/canvas.h"
#include "render/render.h"
#include "render/text.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const unsigned char paper[3] = {255, 255, 255};
static const unsigned char ink[3] = {28, 30, 34};
static const unsigned char faint_ink[3] = {92, 96, 104};
static const unsigned char frame[3] = {176, 180, 186};
static const unsigned char hatch_light[3] = {206, 206, 206}, hatch_dark[3] = {128, 128, 128};

/* Maps whose greatest magnitude is below this are flat: the threshold of the warning `flat-map` for scores up to 1. */
static const double flat_below = 1e-6;

enum { OVERLAY_SIDE = 448, TITLE_LINES = 6, NOTE_LINES = 4, MAX_NOTES = 32, LABEL = TEXT_NUMBER + 4 };

/* ---- the picture ---- */

/* The code of a sample as 0..255. Black may lie above white (inverted radiographs). */
static unsigned char eight_bit(const struct image *source, size_t index)
{
  double v = source->type == PIXEL_U8    ? ((const unsigned char *)source->data)[index]
             : source->type == PIXEL_U16 ? ((const uint16_t *)source->data)[index]
                                         : ((const float *)source->data)[index];
  double range = source->hi - source->lo;
  double t = (v - source->lo) / range * 255;
  if (!(t > 0)) /* also for NaN and an empty range */
    return range == 0 || isnan(range) ? 128 : 0;
  return t < 255 ? (unsigned char)lrint(t) : 255;
}

static void pixel_rgb(const struct image *source, size_t pixel, unsigned char rgb[3])
{
  size_t at = pixel * (size_t)source->channels;
  if (source->channels >= 3) {
    for (size_t k = 0; k < 3; k++)
      rgb[k] = eight_bit(source, at + k);
    return;
  }
  int sum = 0; /* grey: one channel, or the mean of two */
  for (int k = 0; k < source->channels; k++)
    sum += eight_bit(source, at + (size_t)k);
  memset(rgb, (sum + source->channels / 2) / source->channels, 3);
}

bool render_base(const struct image *source, int min_side, struct image *rgb, int *factor, struct error *err)
{
  memset(rgb, 0, sizeof *rgb);
  if (source->width < 1 || source->height < 1 || source->channels < 1 || source->channels > 4 || !source->data)
    return error_set(err, ERROR_FAILED, "picture: %d x %d px with %d channels cannot be drawn", source->width,
                     source->height, source->channels);
  int side = source->width > source->height ? source->width : source->height;
  *factor = min_side > side ? (int)(((int64_t)min_side + side - 1) / side) : 1;
  if (!canvas_enlarged(rgb, source->width, source->height, *factor, err))
    return false;
  for (int y = 0; y < source->height; y++)
    for (int x = 0; x < source->width; x++) {
      unsigned char color[3];
      pixel_rgb(source, (size_t)y * (size_t)source->width + (size_t)x, color);
      canvas_fill(rgb, x * *factor, y * *factor, *factor, *factor, color);
    }
  return true;
}

/* ---- the scale ---- */

struct scale {
  const struct colormap *colors;
  double limit;    /* 0: flat and nothing was stated */
  bool both_signs; /* -limit..limit, else 0..limit */
  bool flat;       /* no value worth a colour */
  bool beyond;     /* values are cut off at the ends */
  bool holes;      /* some values are not finite */
};

static bool find_scale(const float *map, size_t count, double limit, const struct colormap *colors, struct scale *scale,
                       struct error *err)
{
  if (!(limit >= 0) || !isfinite(limit))
    return error_set(err, ERROR_USAGE, "limit: %g is not a positive number", limit);
  double peak = 0;
  bool negative = false;
  *scale = (struct scale){.limit = limit};
  for (size_t i = 0; i < count; i++) {
    double v = map[i];
    if (!isfinite(v)) {
      scale->holes = true;
      continue;
    }
    negative |= v < 0;
    if (fabs(v) > peak)
      peak = fabs(v);
  }
  scale->flat = peak < flat_below;
  if (limit < flat_below)
    scale->limit = scale->flat ? 0 : limit > 0 ? limit : peak;
  scale->beyond = !scale->flat && peak > scale->limit * (1 + 1e-6);
  scale->colors = colors ? colors : colormap_find(negative || scale->flat ? "coolwarm" : "inferno");
  scale->both_signs = scale->colors->diverging || (negative && !scale->flat);
  return true;
}

static const unsigned char *scale_color(const struct scale *scale, double value)
{
  return colormap_color(scale->colors, scale->flat ? 0 : value, scale->limit, scale->both_signs);
}

static void mix(unsigned char *rgb, const unsigned char over[3], double opacity)
{
  for (int k = 0; k < 3; k++)
    rgb[k] = (unsigned char)lrint(rgb[k] + opacity * (over[k] - rgb[k]));
}

/* Diagonal lines that run through the whole picture. */
static bool on_hatch(int x, int y, int period)
{
  return (x + y) % period < (period + 3) / 4;
}

static unsigned char *at(struct image *rgb, int x, int y)
{
  return (unsigned char *)rgb->data + ((size_t)y * (size_t)rgb->width + (size_t)x) * 3;
}

static void hatch_hole(struct image *rgb, int x, int y, int width, int height, int period)
{
  for (int j = y; j < y + height; j++)
    for (int i = x; i < x + width; i++)
      memcpy(at(rgb, i, j), on_hatch(i, j, period) ? hatch_dark : hatch_light, 3);
}

static void hatch_uncovered(struct image *rgb, int x, int y, int width, int height, int period)
{
  for (int j = y; j < y + height; j++)
    for (int i = x; i < x + width; i++)
      mix(at(rgb, i, j), on_hatch(i, j, period) ? hatch_light : hatch_dark, 0.5);
}

bool render_map(const float *map, int height, int width, double limit, const struct colormap *colors, int factor,
                struct image *out, struct error *err)
{
  struct scale scale;
  if (!canvas_enlarged(out, width, height, factor, err))
    return false;
  if (!find_scale(map, (size_t)width * (size_t)height, limit, colors, &scale, err)) {
    image_free(out);
    return false;
  }
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      double v = map[(size_t)y * (size_t)width + (size_t)x];
      if (isfinite(v))
        canvas_fill(out, x * factor, y * factor, factor, factor, scale_color(&scale, v));
      else
        hatch_hole(out, x * factor, y * factor, factor, factor, 8);
    }
  return true;
}

/* ---- the figure ---- */

/* Cap height of plain text for a picture of this size, px. */
static int text_size(int width, int height)
{
  int size = (width > height ? width : height) / 56;
  return size < 9 ? 9 : size > 28 ? 28 : size;
}

static double line_step(double size)
{
  return rint(size * 1.9);
}

/* Height of a block of text from the caps of its first line to the base of its last. */
static int block_height(const struct text_block *block, double size)
{
  return block->count ? (int)((block->count - 1) * line_step(size) + size) : 0;
}

/* (x, y): left end, and top of the capitals of the first line. */
static void draw_block(struct image *canvas, const struct text_block *block, double x, double y, double size,
                       const unsigned char rgb[3])
{
  for (int i = 0; i < block->count; i++)
    (void)canvas_text(canvas, x, y + size + i * line_step(size), size, rgb, block->line[i]);
}

static void draw_frame(struct image *canvas, int x, int y, int width, int height)
{
  canvas_fill(canvas, x - 1, y - 1, width + 2, 1, frame);
  canvas_fill(canvas, x - 1, y + height, width + 2, 1, frame);
  canvas_fill(canvas, x - 1, y, 1, height, frame);
  canvas_fill(canvas, x + width, y, 1, height, frame);
}

/* Everything around one picture, measured before the canvas is made. */
struct figure {
  struct scale scale;
  struct image base;
  int factor;
  int size, title_size; /* cap heights, px */
  int hatch;            /* period, px */
  char label[3][LABEL]; /* bar's top, zero, bottom */
  struct text_block title, unit, verdict;
  struct text_block note[MAX_NOTES];
  int notes;
  bool uncovered;
  int label_width;
  int bar_width, column_width;          /* the bar alone; with its labels and texts */
  int left, top, box_width, box_height; /* where picture and bar stand */
  int bar_height, width, height;
};

static void figure_free(struct figure *f)
{
  image_free(&f->base);
  text_block_free(&f->title);
  text_block_free(&f->unit);
  text_block_free(&f->verdict);
  for (int i = 0; i < f->notes; i++)
    text_block_free(&f->note[i]);
}

static void end_label(const struct scale *scale, double value, const char *beyond, char out[LABEL])
{
  char number[TEXT_NUMBER];
  (void)snprintf(out, LABEL, "%s%s", scale->beyond ? beyond : "", text_number(value, 3, true, number));
}

static void measure_labels(struct figure *f)
{
  const struct scale *s = &f->scale;
  if (s->limit > 0) {
    end_label(s, s->limit, "\xE2\x89\xA5", f->label[0]);
    if (s->both_signs)
      end_label(s, -s->limit, "\xE2\x89\xA4", f->label[2]);
  }
  (void)snprintf(f->label[1], LABEL, "0");
  for (int i = 0; i < 3; i++) {
    int w = (int)ceil(canvas_text_width(f->size, f->label[i]));
    if (w > f->label_width)
      f->label_width = w;
  }
}

static int bar_gap(const struct figure *f)
{
  return f->size * 3 / 2;
}

/* Rows of the legend that explains the hatches. */
static int legend_rows(const struct figure *f)
{
  return f->uncovered + f->scale.holes;
}

static bool layout(struct figure *f, const struct overlay *overlay, struct error *err)
{
  int u = f->size;
  measure_labels(f);
  f->bar_width = u * 7 / 4;
  f->column_width = f->bar_width + u + f->label_width;
  if (f->column_width < 8 * u)
    f->column_width = 8 * u;
  f->left = f->top = 2 * u;
  f->box_width = f->base.width > 24 * u ? f->base.width : 24 * u;
  int content = f->box_width + bar_gap(f) + f->column_width;
  bool ok = text_wrap(overlay->title, f->title_size, content, TITLE_LINES, &f->title) &&
            text_wrap(overlay->unit, u, f->column_width, NOTE_LINES, &f->unit) &&
            text_wrap(f->scale.flat ? "no evidence found" : NULL, u, f->column_width, NOTE_LINES, &f->verdict);
  for (const char *const *line = overlay->lines; ok && line && *line && f->notes < MAX_NOTES; line++, f->notes++)
    ok = text_wrap(*line, u, content, NOTE_LINES, &f->note[f->notes]);
  if (!ok)
    return error_memory(err, "the texts of a picture");
  if (f->title.count)
    f->top += block_height(&f->title, f->title_size) + u * 3 / 2;
  int below = f->unit.count || f->verdict.count ? u / 2 : 0; /* texts under the bar */
  if (f->unit.count)
    below += u + block_height(&f->unit, u);
  if (f->verdict.count)
    below += u + block_height(&f->verdict, u);
  f->bar_height = f->base.height - below > 8 * u ? f->base.height - below : 8 * u;
  f->box_height = f->base.height > f->bar_height + below ? f->base.height : f->bar_height + below;
  f->width = f->left + content + 2 * u;
  int64_t height = (int64_t)f->top + f->box_height + 2 * u;
  if (f->notes || legend_rows(f))
    height += u * 3 / 2 - u;
  height += (int64_t)(legend_rows(f) * line_step(u));
  for (int i = 0; i < f->notes; i++)
    height += (int64_t)(f->note[i].count * line_step(u));
  f->height = (int)height;
  return true;
}

static void draw_map(struct figure *f, const struct overlay *overlay, int width, int height)
{
  double opacity = overlay->opacity > 0 ? overlay->opacity : 0.65;
  int n = f->factor;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      size_t i = (size_t)y * (size_t)width + (size_t)x;
      double v = overlay->heat[i];
      if (!isfinite(v)) {
        hatch_hole(&f->base, x * n, y * n, n, n, f->hatch);
        continue;
      }
      if (overlay->coverage && !overlay->coverage[i]) {
        hatch_uncovered(&f->base, x * n, y * n, n, n, f->hatch);
        continue;
      }
      if (f->scale.flat)
        continue;
      double strength = fmin(1, fabs(v) / f->scale.limit);
      unsigned char color[3]; /* the enlarged pixel has one colour */
      memcpy(color, at(&f->base, x * n, y * n), 3);
      mix(color, scale_color(&f->scale, v), opacity * sqrt(strength * sqrt(strength))); /* strength^(3/4) */
      canvas_fill(&f->base, x * n, y * n, n, n, color);
    }
}

static void draw_bar(struct image *out, const struct figure *f, int x, int y)
{
  int u = f->size;
  double limit = f->scale.limit;
  for (int row = 0; row < f->bar_height; row++) {
    double t = 1 - (row + 0.5) / f->bar_height;
    double v = f->scale.both_signs ? (2 * t - 1) * limit : t * limit;
    canvas_fill(out, x, y + row, f->bar_width, 1, colormap_color(f->scale.colors, v, limit, f->scale.both_signs));
  }
  draw_frame(out, x, y, f->bar_width, f->bar_height);
  for (int quarter = 0; quarter <= 4; quarter++) {
    bool flat = limit <= 0;
    int zero_at = f->scale.both_signs || flat ? 2 : 4;
    if (flat && quarter != zero_at)
      continue;
    int tick = y + (int)lrint((f->bar_height - 1) * quarter / 4.0);
    const char *label = quarter == zero_at ? f->label[1] : quarter == 0 ? f->label[0] : quarter == 4 ? f->label[2] : "";
    canvas_fill(out, x + f->bar_width, tick, *label ? u / 2 : u / 4, 1, ink);
    (void)canvas_text(out, x + f->bar_width + u, tick + (u + 1) / 2, u, ink, label);
  }
  int text_y = y + f->bar_height + u * 3 / 2;
  draw_block(out, &f->unit, x, text_y, u, faint_ink);
  if (f->unit.count)
    text_y += block_height(&f->unit, u) + u;
  draw_block(out, &f->verdict, x, text_y, u, ink);
}

/* A small sample of a hatch and what it means; returns the next row's top. */
static double draw_legend(struct image *out, const struct figure *f, bool hole, double y, const char *meaning)
{
  int u = f->size, x = f->left;
  canvas_fill(out, x, (int)y, 2 * u, u, hatch_light);
  if (hole)
    hatch_hole(out, x, (int)y, 2 * u, u, f->hatch);
  else
    hatch_uncovered(out, x, (int)y, 2 * u, u, f->hatch);
  draw_frame(out, x, (int)y, 2 * u, u);
  (void)canvas_text(out, x + 3 * u, y + u, u, faint_ink, meaning);
  return y + line_step(u);
}

static bool draw_figure(struct figure *f, const struct overlay *overlay, struct image *out, struct error *err)
{
  int u = f->size;
  int map_width = f->base.width / f->factor, map_height = f->base.height / f->factor;
  draw_map(f, overlay, map_width, map_height);
  if (!canvas_new(out, f->width, f->height, paper, err))
    return false;
  draw_block(out, &f->title, f->left, 2 * u, f->title_size, ink);
  int x = f->left + (f->box_width - f->base.width) / 2, y = f->top + (f->box_height - f->base.height) / 2;
  canvas_paste(out, &f->base, x, y);
  draw_frame(out, x, y, f->base.width, f->base.height);
  draw_bar(out, f, f->left + f->box_width + bar_gap(f), f->top);
  double text_y = f->top + f->box_height + u * 3 / 2;
  if (f->uncovered)
    text_y = draw_legend(out, f, false, text_y, "not seen by the model");
  if (f->scale.holes)
    text_y = draw_legend(out, f, true, text_y, "not a number");
  for (int i = 0; i < f->notes; i++) {
    draw_block(out, &f->note[i], f->left, text_y, u, faint_ink);
    text_y += f->note[i].count * line_step(u);
  }
  return true;
}

/* The picture under the map: in grey unless its own colours are wanted, because a hue could come from either. */
static bool figure_base(const struct image *source, bool keep_color, struct image *base, int *factor, struct error *err)
{
  if (keep_color || source->channels != 3)
    return render_base(source, OVERLAY_SIDE, base, factor, err);
  struct image gray;
  if (!image_to_gray(source, &gray, err))
    return false;
  bool ok = render_base(&gray, OVERLAY_SIDE, base, factor, err);
  image_free(&gray);
  return ok;
}

bool render_overlay(const struct image *source, const struct overlay *overlay, struct image *out, struct error *err)
{
  struct figure f = {0};
  memset(out, 0, sizeof *out);
  if (!(overlay->opacity >= 0 && overlay->opacity <= 1))
    return error_set(err, ERROR_USAGE, "opacity: %g is outside 0..1", overlay->opacity);
  if (!figure_base(source, overlay->keep_color, &f.base, &f.factor, err))
    return false;
  size_t pixels = (size_t)source->width * (size_t)source->height;
  f.size = text_size(f.base.width, f.base.height);
  f.title_size = f.size * 5 / 4;
  f.hatch = f.size < 12 ? 8 : f.size * 2 / 3;
  for (size_t i = 0; overlay->coverage && i < pixels && !f.uncovered; i++)
    f.uncovered = !overlay->coverage[i];
  bool ok = find_scale(overlay->heat, pixels, overlay->limit, overlay->colors, &f.scale, err) &&
            layout(&f, overlay, err) && draw_figure(&f, overlay, out, err);
  figure_free(&f);
  return ok;
}
