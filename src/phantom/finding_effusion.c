/* SPDX-License-Identifier: Apache-2.0 */
/* Effusion: fluid at the base of one lung or of both, 20 to 90 mm deep at the side. Its surface rises towards the side
 * of the chest (the meniscus) and blunts the angle between ribs and diaphragm. */
#include "base/mem.h"
#include "phantom/scene.h"

static bool draw(const struct scene *s, uint32_t element, struct lesion *l, struct error *err)
{
  struct stream r = stream_open(s->seed, element);
  const struct chest *c = &s->chest;
  size_t count = (size_t)s->n * (size_t)s->n;
  double which = stream_uniform(&r, 0, 1);
  bool side_on[2] = {which < 0.4 || which >= 0.75, which >= 0.4};
  double depth[2], rise[2], index = stream_uniform(&r, 26, 40);
  for (int side = 0; side < 2; side++) {
    depth[side] = stream_uniform(&r, 20, 90);
    rise[side] = stream_uniform(&r, 0.15, 0.35); /* part of the depth by which the surface falls towards the middle */
  }

  float *weight = mem_zero(count, sizeof *weight);
  if (!weight)
    return error_memory(err, "an effusion of the phantom");
  double area = 0, mm = c->pose.mm / c->pose.scale;
  for (int row = 0; row < s->n; row++)
    for (int column = 0; column < s->n; column++) {
      size_t i = (size_t)row * (size_t)s->n + (size_t)column;
      double room = scene_room(s, i);
      if (room <= 0)
        continue;
      double x, y;
      pose_to_patient(&c->pose, column, row, &x, &y);
      int side = x < 0 ? RIGHT : LEFT;
      if (!side_on[side])
        continue;
      const struct dome *d = &c->dome[side];
      /* Height of the costophrenic angle, where some thickness of lung is left in it. */
      double angle = d->y + 0.72 * d->fall + 0.52 * d->steep;
      double wall = chest_half_width(c, angle - depth[side] / 2);
      double out = fabs(x) / wall, m = exact_clamp((out - 0.15) / 0.85, 0, 1);
      double surface = angle - depth[side] * (1 - rise[side] * (1 - m * m * m * m));
      double w = exact_step(-1, 3, y - surface) * room;
      if (w <= 0)
        continue;
      weight[i] = (float)w;
      l->veil[i] = (float)(0.9 * w);
      if (w > 0.5) {
        l->mask[i] = 255;
        area += mm * mm;
      }
    }
  if (!lesion_trim(s, weight, l, err)) {
    mem_free(weight);
    return false;
  }
  double added = lesion_contrast(s, SCENE_THORAX, weight, index, 0.5, 1.0, l);
  for (size_t i = 0; i < count; i++)
    l->delta[i] = (float)added * weight[i];
  mem_free(weight);
  l->fills = true;
  lesion_note(l, "depth_right", "mm", side_on[RIGHT] ? depth[RIGHT] : 0);
  lesion_note(l, "depth_left", "mm", side_on[LEFT] ? depth[LEFT] : 0);
  lesion_note(l, "area", "mm2", area);
  lesion_note(l, "attenuation", "", added);
  return true;
}

const struct finding finding_effusion = {
    .name = "effusion",
    .summary = "fluid 20 to 90 mm deep at the base of one lung or both, its surface rising to the side",
    .draw = draw,
};
