/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/warnings.h"

#include "base/json.h"

#include <math.h>

void warn_of_map(const struct explain *explain, struct explanation *out)
{
  const struct npy *map = explanation_find(out, "map");
  const int64_t pixels = map->dim[map->rank - 1] * map->dim[map->rank - 2];
  const float *shown = (const float *)map->data + (out->all_targets ? out->target * pixels : 0);
  const double f = (double)out->scores[out->target];
  double top = 0;
  for (int64_t i = 0; i < pixels; i++)
    top = fmax(top, fabs((double)shown[i]));
  if (top < 1e-6 * fmax(1, fabs(f)))
    explanation_warn(out, "flat-map", "nothing that is hidden changes the score: the map is flat");
  if (explain->evaluate.session.score == SCORE_PROB && (f > 0.999 || f < 0.001) && top <= 0.01)
    explanation_warn(out, "saturated", "the score is %.5f and nothing moves it by more than 0.01; try --score logit",
                     f);
}

void warn_of_fill(const struct explain *explain, const char *fill, const char *note, double full,
                  struct explanation *out)
{
  const double f = (double)out->scores[out->target];
  json_object_set_new(out->quality, "score_full_fill", json_number_or_null(full));
  if (explain->evaluate.session.score == SCORE_PROB && fabs(f - full) < 0.05)
    explanation_warn(out, "weak-fill", "hiding the whole image with '%s' moves the score by %.3f only", fill, f - full);
  if (note)
    explanation_warn(out, note, "%s", fill_note_sentence(note));
}
