/* SPDX-License-Identifier: Apache-2.0 */
#include "phantom/stroke.h"

#include "base/mem.h"
#include "base/threads.h"
#include "phantom/exact.h"

enum { MAX_BALLS = 1 << 22 };

void stroke_free(struct stroke *s)
{
  mem_free(s->ball);
  *s = (struct stroke){0};
}

static void add(struct stroke *s, struct ball ball)
{
  if (s->failed)
    return;
  if (s->count == s->capacity) {
    size_t more = s->capacity ? s->capacity * 2 : 4096;
    void *p = more > MAX_BALLS ? NULL : mem_grow(s->ball, more * sizeof *s->ball);
    if (!p) {
      s->failed = true;
      return;
    }
    s->ball = p;
    s->capacity = more;
  }
  s->ball[s->count++] = ball;
}

void stroke_line(struct stroke *s, double x0, double y0, double x1, double y1, double r0, double r1, double stretch,
                 double density, double hollow)
{
  double length = sqrt((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0));
  double r_small = r0 < r1 ? r0 : r1;
  int pieces = (int)(length * stretch / (0.3 * r_small)) + 1;
  double ds = length * stretch / pieces;
  for (int i = 0; i < pieces; i++) {
    double t = (i + 0.5) / pieces, r = r0 + (r1 - r0) * t;
    /* A row of balls sqrt(1 - d^2/r^2), ds apart, adds up to (pi/2) (r/ds) (1 - d^2/r^2) beside a straight axis. */
    double share = density * ds / (1.5707963267948966 * r);
    add(s, (struct ball){.x = (float)(x0 + (x1 - x0) * t),
                         .y = (float)(y0 + (y1 - y0) * t),
                         .radius = (float)r,
                         .outer = (float)share,
                         .inner = (float)(share * hollow)});
  }
}

struct drawing {
  const struct stroke *stroke;
  float *field;
  int n;
  const struct pose *pose;
};

static void draw_rows(void *context, int64_t begin, int64_t end)
{
  const struct drawing *d = context;
  const float to_px = (float)(d->pose->scale / d->pose->mm);
  for (size_t i = 0; i < d->stroke->count; i++) {
    const struct ball *b = &d->stroke->ball[i];
    float r = b->radius * to_px, outer = b->outer, inner = b->inner;
    /* Thinner than a pixel: spread to the pixel's width with the same sum. */
    const float least = 0.9f;
    if (r < least) {
      outer *= r * r / (least * least);
      inner *= r * r / (least * least);
      r = least;
    }
    double px, py;
    pose_to_pixel(d->pose, b->x, b->y, &px, &py);
    float cx = (float)px, cy = (float)py;
    if (!(cx > -r && cy > -r && cx < (float)d->n + r && cy < (float)d->n + r))
      continue;
    int64_t top = (int64_t)ceilf(cy - r), bottom = (int64_t)floorf(cy + r);
    int64_t left = (int64_t)ceilf(cx - r), right = (int64_t)floorf(cx + r);
    top = top < begin ? begin : top;
    bottom = bottom >= end ? end - 1 : bottom;
    left = left < 0 ? 0 : left;
    right = right >= d->n ? d->n - 1 : right;
    const float scale = 1.0f / (r * r), hollow = (float)(1.0 / (STROKE_HOLLOW * STROKE_HOLLOW));
    for (int64_t y = top; y <= bottom; y++) {
      float *row = d->field + y * d->n;
      float dy = (float)y - cy;
      for (int64_t x = left; x <= right; x++) {
        float dx = (float)x - cx;
        float q = (dx * dx + dy * dy) * scale;
        float v = 1.0f - q, h = 1.0f - q * hollow;
        row[x] += outer * sqrtf(v > 0.0f ? v : 0.0f) - inner * sqrtf(h > 0.0f ? h : 0.0f);
      }
    }
  }
}

bool stroke_draw(const struct stroke *s, float *field, int n, const struct pose *pose, struct error *err)
{
  if (s->failed)
    return error_memory(err, "the phantom's tubes");
  struct drawing d = {s, field, n, pose};
  threads_for(n, 32, draw_rows, &d);
  return true;
}
