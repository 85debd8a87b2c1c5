/* SPDX-License-Identifier: Apache-2.0 */
/* Nodule: a soft-edged, slightly lobed disc of 10 to 30 mm, anywhere in a lung, also behind ribs and heart. */
#include "base/mem.h"
#include "phantom/scene.h"

#define TURN (2 * 3.14159265358979323846)

/* Is the disc wholly in a lung field? */
static bool fits(const struct chest *c, double x, double y, double r)
{
  for (int i = 0; i <= 12; i++) {
    double a = TURN * i / 12, d = i < 12 ? r : 0;
    struct passage p;
    chest_pass(c, x + d * exact_cos(a), y + d * exact_sin(a), &p);
    if (!p.field)
      return false;
  }
  return true;
}

static bool draw(const struct scene *s, uint32_t element, struct lesion *l, struct error *err)
{
  struct stream r = stream_open(s->seed, element);
  const struct chest *c = &s->chest;
  double diameter = stream_uniform(&r, 10, 30), radius = diameter / 2;
  double index = stream_uniform(&r, 18, 40);
  double soft = stream_uniform(&r, 0.16, 0.30); /* half width of the edge, part of the radius */
  double lobe[4];
  for (int i = 0; i < 4; i++)
    lobe[i] = stream_uniform(&r, -0.06, 0.06);
  /* Uniform over the lung fields: places are drawn until one fits, with the same chance for both lungs' every mm. */
  double x = 0, y = 0;
  struct stream place = stream_open(s->seed, element + 1);
  for (int i = 0; i < 4000; i++) {
    x = stream_uniform(&place, -150, 150);
    y = stream_uniform(&place, -150, 130);
    if (fits(c, x, y, radius * 1.15 + 3))
      break;
  }

  size_t count = (size_t)s->n * (size_t)s->n;
  float *weight = mem_zero(count, sizeof *weight);
  if (!weight)
    return error_memory(err, "a nodule of the phantom");
  double area = 0, mm = c->pose.mm / c->pose.scale;
  for (int row = 0; row < s->n; row++)
    for (int column = 0; column < s->n; column++) {
      double px, py;
      pose_to_patient(&c->pose, column, row, &px, &py);
      double dx = (px - x) / radius, dy = (py - y) / radius, d2 = dx * dx + dy * dy;
      if (d2 > 2.5)
        continue;
      double k = d2 > 1e-9 ? 1 / d2 : 0, k3 = k * sqrt(k);
      double edge = 1 + lobe[0] * (dx * dx - dy * dy) * k + lobe[1] * 2 * dx * dy * k +
                    lobe[2] * (dx * dx - 3 * dy * dy) * dx * k3 + lobe[3] * (3 * dx * dx - dy * dy) * dy * k3;
      double d = sqrt(d2) / edge;
      double w = 1 - exact_step(1 - soft, 1 + soft, d);
      size_t i = (size_t)row * (size_t)s->n + (size_t)column;
      weight[i] = (float)w;
      if (w > 0.5) {
        l->mask[i] = 255;
        area += mm * mm;
      }
    }
  double added = lesion_contrast(s, SCENE_AIRY, weight, index, 0.16, 0.62, l);
  for (size_t i = 0; i < count; i++)
    l->delta[i] = (float)added * weight[i];
  mem_free(weight);
  lesion_note(l, "diameter", "mm", diameter);
  lesion_note(l, "x", "mm", x);
  lesion_note(l, "y", "mm", y);
  lesion_note(l, "area", "mm2", area);
  lesion_note(l, "attenuation", "", added);
  return true;
}

const struct finding finding_nodule = {
    .name = "nodule",
    .summary = "soft-edged disc of 10 to 30 mm in a lung",
    .draw = draw,
};
