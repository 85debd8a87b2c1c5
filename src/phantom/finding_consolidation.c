/* SPDX-License-Identifier: Apache-2.0 */
/* Consolidation: part of a lobe, 30 to 90 mm, whose air is replaced by fluid. Its border follows a smooth random
 * field, vessels drown in it, and the airways, which keep their air, show as faint dark tubes. */
#include "base/mem.h"
#include "phantom/scene.h"

struct patch {
  double x, y, a, b, cos, sin; /* middle, half axes in mm, tilt */
  struct texture border[2];
  double rough;
};

/* Is there lung to fill, beside the heart? */
static bool airy(const struct scene *s, double x, double y)
{
  struct passage p;
  chest_pass(&s->chest, x, y, &p);
  return p.field && passage_lung(&p, heart_thickness(&s->heart, x, y)) > 60;
}

/* Airways: from the hilum into the patch, forking. */
static void draw_airways(const struct chest *c, struct stream *r, const struct patch *p, int side, struct stroke *s)
{
  double hx, hy;
  hilum_place(c, side, &hx, &hy);
  double dx = p->x - hx, dy = p->y - hy, d = sqrt(dx * dx + dy * dy);
  d = d < 1 ? 1 : d;
  dx /= d;
  dy /= d;
  for (int i = 0; i < 5; i++) {
    double turn = (i - 2) * 0.24 + stream_uniform(r, -0.1, 0.1), ct = exact_cos(turn), st = exact_sin(turn);
    double ux = dx * ct - dy * st, uy = dx * st + dy * ct;
    double x = hx + dx * d * 0.35, y = hy + dy * d * 0.35, radius = 2.1;
    for (int k = 0; k < 9; k++) {
      double bend = stream_uniform(r, -0.16, 0.16), cb = exact_cos(bend), sb = exact_sin(bend);
      double vx = ux * cb - uy * sb, vy = ux * sb + uy * cb, link = (d + p->a) / 12;
      stroke_line(s, x, y, x + vx * link, y + vy * link, radius, radius * 0.9, 1, 1.0, 0);
      x += vx * link;
      y += vy * link;
      ux = vx;
      uy = vy;
      radius *= 0.9;
    }
  }
}

static bool draw(const struct scene *s, uint32_t element, struct lesion *l, struct error *err)
{
  struct stream r = stream_open(s->seed, element);
  const struct chest *c = &s->chest;
  size_t count = (size_t)s->n * (size_t)s->n;
  struct patch p = {.a = stream_uniform(&r, 15, 45)};
  double size = 2 * p.a, index = stream_uniform(&r, 26, 40), veiled = stream_uniform(&r, 0.6, 0.95);
  p.b = p.a * stream_uniform(&r, 0.6, 0.95);
  double tilt = stream_uniform(&r, -0.9, 0.9);
  p.cos = exact_cos(tilt);
  p.sin = exact_sin(tilt);
  p.rough = stream_uniform(&r, 0.35, 0.6);
  texture_draw(&p.border[0], s->seed, element + 2, 0, p.a * 0.62);
  texture_draw(&p.border[1], s->seed, element + 2, 1, p.a * 0.24);
  struct stream place = stream_open(s->seed, element + 1);
  for (int i = 0; i < 4000; i++) {
    p.x = stream_uniform(&place, -140, 140);
    p.y = stream_uniform(&place, -120, 110);
    double side = p.x < 0 ? -1 : 1;
    /* Most of it inside: the middle, and points half way out. */
    if (airy(s, p.x, p.y) && airy(s, p.x + side * p.b * 0.6, p.y) && airy(s, p.x - side * p.b * 0.6, p.y) &&
        airy(s, p.x, p.y - p.b * 0.6) && airy(s, p.x, p.y + p.b * 0.6))
      break;
  }
  int side = p.x < 0 ? RIGHT : LEFT;

  float *weight = mem_zero(count, sizeof *weight), *tube = mem_zero(count, sizeof *tube);
  struct stroke stroke = {0};
  struct stream airways = stream_open(s->seed, element + 3);
  draw_airways(c, &airways, &p, side, &stroke);
  bool ok = (weight && tube) || error_memory(err, "a consolidation of the phantom");
  ok = ok && stroke_draw(&stroke, tube, s->n, &c->pose, err);
  stroke_free(&stroke);
  if (!ok) {
    mem_free(weight);
    mem_free(tube);
    return false;
  }
  double area = 0, mm = c->pose.mm / c->pose.scale, edge = 4.5 / p.a;
  for (int row = 0; row < s->n; row++)
    for (int column = 0; column < s->n; column++) {
      size_t i = (size_t)row * (size_t)s->n + (size_t)column;
      if (!(s->region[i] & SCENE_FIELD))
        continue;
      double x, y;
      pose_to_patient(&c->pose, column, row, &x, &y);
      if ((x < 0) != (p.x < 0))
        continue;
      double u = ((x - p.x) * p.cos + (y - p.y) * p.sin) / p.a, v = ((y - p.y) * p.cos - (x - p.x) * p.sin) / p.b;
      double d2 = u * u + v * v;
      if (d2 > 4)
        continue;
      double f = sqrt(d2) + p.rough * (0.75 * texture_at(&p.border[0], x, y) + 0.30 * texture_at(&p.border[1], x, y));
      double w = (1 - exact_step(1 - edge, 1 + edge, f)) * scene_room(s, i);
      if (w <= 0)
        continue;
      double patchy = 1 + 0.16 * texture_at(&c->haze[1], x, y) + 0.10 * texture_at(&c->haze[0], x, y);
      weight[i] = (float)(w * patchy * (1 - 0.26 * exact_clamp(tube[i], 0, 1)));
      l->veil[i] = (float)(w * veiled);
      if (w > 0.5) {
        l->mask[i] = 255;
        area += mm * mm;
      }
    }
  if (!lesion_trim(s, weight, l, err)) {
    mem_free(weight);
    mem_free(tube);
    return false;
  }
  double added = lesion_contrast(s, SCENE_AIRY, weight, index, 0.14, 0.9, l);
  for (size_t i = 0; i < count; i++)
    l->delta[i] = (float)added * weight[i];
  mem_free(weight);
  mem_free(tube);
  l->fills = true;
  lesion_note(l, "size", "mm", size);
  lesion_note(l, "x", "mm", p.x);
  lesion_note(l, "y", "mm", p.y);
  lesion_note(l, "area", "mm2", area);
  lesion_note(l, "attenuation", "", added);
  return true;
}

const struct finding finding_consolidation = {
    .name = "consolidation",
    .summary = "part of a lobe, 30 to 90 mm, filled with fluid; vessels drown, airways show",
    .draw = draw,
};
