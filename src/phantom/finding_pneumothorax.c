/* SPDX-License-Identifier: Apache-2.0 */
/* Pneumothorax: air between lung and chest wall, 8 to 40 mm wide, over the summit of the lung or along its side. The
 * strip is darker and has no vessels; a thin line, the pleura, borders the lung. The lung's outline is drawn towards
 * its root, by an amount that depends on the direction. */
#include "base/mem.h"
#include "phantom/scene.h"

/* How far a place is inside the lung's outline, as mm of lung on the ray, mediastinum and diaphragm left out. */
static double depth_inside(const struct chest *c, double x, double y)
{
  struct passage p;
  chest_pass(c, x, y, &p);
  return p.room;
}

static bool draw(const struct scene *s, uint32_t element, struct lesion *l, struct error *err)
{
  struct stream r = stream_open(s->seed, element);
  const struct chest *c = &s->chest;
  size_t count = (size_t)s->n * (size_t)s->n;
  int side = stream_uniform(&r, 0, 1) < 0.5 ? RIGHT : LEFT;
  double way = side == RIGHT ? -1 : 1;
  double width = stream_uniform(&r, 8, 40), index = stream_uniform(&r, 26, 40);
  bool lateral = stream_uniform(&r, 0, 1) < 0.4;
  double hx, hy;
  hilum_place(c, side, &hx, &hy);
  hx += way * 12;
  hy += 18;
  /* Direction in which the strip is widest: up and slightly outwards, or outwards and up. */
  double angle = (lateral ? stream_uniform(&r, 0.15, 0.6) : stream_uniform(&r, 0.95, 1.35));
  double ax = way * exact_cos(angle), ay = -exact_sin(angle);
  double open = lateral ? stream_uniform(&r, -0.45, -0.15) : stream_uniform(&r, -0.3, 0.1); /* cosine where it ends */

  float *weight = mem_zero(count, sizeof *weight), *line = mem_zero(count, sizeof *line);
  if (!weight || !line) {
    mem_free(weight);
    mem_free(line);
    return error_memory(err, "a pneumothorax of the phantom");
  }
  double area = 0, mm = c->pose.mm / c->pose.scale;
  for (int row = 0; row < s->n; row++)
    for (int column = 0; column < s->n; column++) {
      size_t i = (size_t)row * (size_t)s->n + (size_t)column;
      if (!(s->region[i] & SCENE_FIELD))
        continue;
      double x, y;
      pose_to_patient(&c->pose, column, row, &x, &y);
      if ((x < 0) != (side == RIGHT))
        continue;
      double dx = x - hx, dy = y - hy, d = sqrt(dx * dx + dy * dy);
      if (d < 20)
        continue;
      double along = (dx * ax + dy * ay) / d;
      double strip = width * exact_step(open, open + 1.0, along);
      if (strip < 0.5)
        continue;
      /* The place that has moved here lay `strip` further out. */
      double moved = depth_inside(c, x + dx / d * strip, y + dy / d * strip);
      double here = exact_step(0, 30, depth_inside(c, x, y)) * exact_step(0, 10, s->open[i]);
      double lung = exact_step(20, 44, moved);
      double w = here * (1 - lung);
      if (w <= 0 && lung >= 1)
        continue;
      weight[i] = (float)(w * exact_clamp((double)s->open[i] / 90, 0.4, 1));
      line[i] = (float)(here * 4 * lung * (1 - lung) * exact_clamp(strip / 4, 0, 1));
      l->veil[i] = (float)w;
      if (w > 0.5) {
        l->mask[i] = 255;
        area += mm * mm;
      }
    }
  double removed = lesion_contrast(s, SCENE_AIRY, weight, -index, 0.22, 0.60, l);
  for (size_t i = 0; i < count; i++)
    l->delta[i] = (float)(0.10 * (double)line[i] - removed * (double)weight[i]);
  mem_free(weight);
  mem_free(line);
  lesion_note(l, "width", "mm", width);
  lesion_note(l, "x", "mm", hx + ax * 100);
  lesion_note(l, "y", "mm", hy + ay * 100);
  lesion_note(l, "area", "mm2", area);
  lesion_note(l, "attenuation", "", -removed);
  return true;
}

const struct finding finding_pneumothorax = {
    .name = "pneumothorax",
    .summary = "strip of air 8 to 40 mm wide over the summit or along the side of a lung",
    .draw = draw,
};
