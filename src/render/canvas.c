/* SPDX-License-Identifier: Apache-2.0 */
#include "render/canvas.h"

#include "base/mem.h"
#include "render/render.h"

#include <math.h>
#include <string.h>

/* A figure may exceed the largest source picture by its margins. */
enum { CANVAS_MAX_SIDE = 2 * IMAGE_MAX_SIDE, CANVAS_MAX_PIXELS = 2 * IMAGE_MAX_PIXELS };

static unsigned char *pixel(const struct image *canvas, int x, int y)
{
  return (unsigned char *)canvas->data + ((size_t)y * (size_t)canvas->width + (size_t)x) * 3;
}

bool canvas_new(struct image *canvas, int width, int height, const unsigned char rgb[3], struct error *err)
{
  memset(canvas, 0, sizeof *canvas);
  if (width < 1 || height < 1 || width > CANVAS_MAX_SIDE || height > CANVAS_MAX_SIDE ||
      (int64_t)width * height > CANVAS_MAX_PIXELS)
    return error_set(err, ERROR_FAILED, "picture: %d x %d px is outside 1..%d a side or above %d pixels", width, height,
                     CANVAS_MAX_SIDE, CANVAS_MAX_PIXELS);
  void *data = mem_alloc((size_t)width * (size_t)height * 3);
  if (!data)
    return error_memory(err, "the picture");
  *canvas = (struct image){.width = width, .height = height, .channels = 3, .type = PIXEL_U8, .data = data, .hi = 255};
  canvas_fill(canvas, 0, 0, width, height, rgb);
  return true;
}

bool canvas_enlarged(struct image *canvas, int width, int height, int factor, struct error *err)
{
  static const unsigned char white[3] = {255, 255, 255};
  memset(canvas, 0, sizeof *canvas);
  if (width < 1 || height < 1 || factor < 1)
    return error_set(err, ERROR_FAILED, "picture: %d x %d px times %d is empty", width, height, factor);
  if (factor > CANVAS_MAX_SIDE / (width > height ? width : height))
    return error_set(err, ERROR_FAILED, "picture: %d x %d px times %d is wider or higher than %d px", width, height,
                     factor, CANVAS_MAX_SIDE);
  return canvas_new(canvas, width * factor, height * factor, white, err);
}

/* Cut [at, at + length) to [0, limit); false if nothing is left. */
static bool clip(int at, int length, int limit, int *begin, int *end)
{
  int64_t stop = (int64_t)at + length;
  *begin = at < 0 ? 0 : at;
  *end = stop > limit ? limit : (int)(stop < 0 ? 0 : stop);
  return *begin < *end;
}

void canvas_fill(struct image *canvas, int x, int y, int width, int height, const unsigned char rgb[3])
{
  int x0, x1, y0, y1;
  if (!clip(x, width, canvas->width, &x0, &x1) || !clip(y, height, canvas->height, &y0, &y1))
    return;
  unsigned char *first = pixel(canvas, x0, y0);
  for (int i = 0; i < x1 - x0; i++)
    memcpy(first + (size_t)i * 3, rgb, 3);
  for (int row = y0 + 1; row < y1; row++)
    memcpy(pixel(canvas, x0, row), first, (size_t)(x1 - x0) * 3);
}

void canvas_paste(struct image *canvas, const struct image *rgb, int x, int y)
{
  int x0, x1, y0, y1;
  if (!clip(x, rgb->width, canvas->width, &x0, &x1) || !clip(y, rgb->height, canvas->height, &y0, &y1))
    return;
  for (int row = y0; row < y1; row++)
    memcpy(pixel(canvas, x0, row), pixel(rgb, (int)((int64_t)x0 - x), (int)((int64_t)row - y)), (size_t)(x1 - x0) * 3);
}

static double squared_distance(const struct segment *s, double x, double y)
{
  double dx = s->x1 - s->x0, dy = s->y1 - s->y0;
  double px = x - s->x0, py = y - s->y0;
  double length2 = dx * dx + dy * dy;
  double t = length2 > 0 ? (px * dx + py * dy) / length2 : 0;
  t = t < 0 ? 0 : t > 1 ? 1 : t;
  px -= t * dx;
  py -= t * dy;
  return px * px + py * py;
}

/* How much of a pixel with its centre at (x, y) the stroke covers. Exact for a straight edge along a pixel's side. */
static double coverage(const struct segment *s, double x, double y)
{
  double c = 0.5 + s->width / 2 - sqrt(squared_distance(s, x, y));
  double full = s->width < 1 ? s->width : 1;
  return c < 0 ? 0 : c > full ? full : c;
}

static int floor_within(double v, int limit)
{
  return v <= 0 ? 0 : v >= limit ? limit : (int)v;
}

static double least(double a, double b)
{
  return a < b ? a : b;
}

static double most(double a, double b)
{
  return a > b ? a : b;
}

/* The columns that the stroke can touch in the row whose centre is at y. */
static void row_extent(const struct segment *s, double y, double *from, double *to)
{
  double reach = s->width / 2 + 1;
  double x0 = s->x0, x1 = s->x1;
  double dy = s->y1 - s->y0;
  if (fabs(dy) > 1e-9) { /* the part of the middle line that is within reach of the row */
    double a = (y - reach - s->y0) / dy, b = (y + reach - s->y0) / dy;
    double t0 = most(0, least(a, b)), t1 = least(1, most(a, b));
    if (t0 > t1)
      return;
    x0 = s->x0 + t0 * (s->x1 - s->x0);
    x1 = s->x0 + t1 * (s->x1 - s->x0);
  } else if (fabs(y - s->y0) > reach) {
    return;
  }
  *from = least(*from, least(x0, x1) - reach);
  *to = most(*to, most(x0, x1) + reach);
}

void canvas_segments(struct image *canvas, const struct segment *segments, int count, const unsigned char rgb[3])
{
  double top = INFINITY, bottom = -INFINITY;
  for (int i = 0; i < count; i++) {
    const struct segment *s = &segments[i];
    if (!isfinite(s->x0) || !isfinite(s->y0) || !isfinite(s->x1) || !isfinite(s->y1) || !(s->width > 0) ||
        !isfinite(s->width))
      return;
    double reach = s->width / 2 + 1;
    top = least(top, least(s->y0, s->y1) - reach);
    bottom = most(bottom, most(s->y0, s->y1) + reach);
  }
  int y1 = floor_within(bottom + 1, canvas->height);
  for (int y = floor_within(top, canvas->height); y < y1; y++) {
    double from = INFINITY, to = -INFINITY;
    for (int i = 0; i < count; i++)
      row_extent(&segments[i], y + 0.5, &from, &to);
    int x1 = floor_within(to + 1, canvas->width);
    for (int x = floor_within(from, canvas->width); x < x1; x++) {
      double c = 0;
      for (int i = 0; i < count; i++)
        c = most(c, coverage(&segments[i], x + 0.5, y + 0.5));
      if (c <= 0)
        continue;
      unsigned char *p = pixel(canvas, x, y);
      for (int k = 0; k < 3; k++)
        p[k] = (unsigned char)lrint(p[k] + c * (rgb[k] - p[k]));
    }
  }
}

void canvas_line(struct image *canvas, double x0, double y0, double x1, double y1, double width,
                 const unsigned char rgb[3])
{
  const struct segment s = {x0, y0, x1, y1, width};
  canvas_segments(canvas, &s, 1, rgb);
}
