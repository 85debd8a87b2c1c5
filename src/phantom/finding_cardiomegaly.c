/* SPDX-License-Identifier: Apache-2.0 */
/* Cardiomegaly: the patient's own heart grown to 0.56 to 0.70 of the inner width of the chest. */
#include "base/mem.h"
#include "phantom/scene.h"

static bool draw(const struct scene *s, uint32_t element, struct lesion *l, struct error *err)
{
  struct stream r = stream_open(s->seed, element);
  const struct chest *c = &s->chest;
  size_t count = (size_t)s->n * (size_t)s->n;
  double ratio = stream_uniform(&r, 0.56, 0.70);
  struct heart grown = chest_heart(c, ratio);
  l->excess = mem_zero(count, 1);
  if (!l->excess)
    return error_memory(err, "a finding of the phantom");
  double area = 0, mm = c->pose.mm / c->pose.scale;
  for (int row = 0; row < s->n; row++)
    for (int column = 0; column < s->n; column++) {
      size_t i = (size_t)row * (size_t)s->n + (size_t)column;
      if (!(s->region[i] & SCENE_THORAX))
        continue;
      double x, y;
      pose_to_patient(&c->pose, column, row, &x, &y);
      double heart = heart_thickness(&grown, x, y), before = heart_thickness(&s->heart, x, y);
      if (heart <= 0)
        continue;
      struct passage p;
      chest_pass(c, x, y, &p);
      double lung = passage_lung(&p, heart), lost = (double)s->lung[i] - lung;
      l->mask[i] = 255;
      if (before <= 0) {
        l->excess[i] = 255;
        area += mm * mm;
      }
      if (lost <= 0)
        continue;
      l->delta[i] = (float)(CHEST_TISSUE * lost * (1 - (double)s->dense[i]));
      double had = exact_clamp((double)s->lung[i] / 40, 0, 1), has = exact_clamp(lung / 40, 0, 1);
      l->veil[i] = (float)(had > 0 ? 1 - has / had : 0);
    }
  l->fills = true;
  lesion_note(l, "ratio", "", ratio);
  lesion_note(l, "excess_area", "mm2", area);
  return true;
}

const struct finding finding_cardiomegaly = {
    .name = "cardiomegaly",
    .summary = "heart of 0.56 to 0.70 of the inner width of the chest (0.40 to 0.49 in health)",
    .draw = draw,
};
