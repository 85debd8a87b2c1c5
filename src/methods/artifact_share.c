/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/artifact_share.h"

#include <math.h>

struct artifact_share artifact_share_of(const struct explain *explain, const float *base, int64_t target)
{
  return (struct artifact_share){.explain = explain, .base = base, .target = target};
}

static bool is_logit(const struct artifact_share *s)
{
  return s->explain->evaluate.session.score == SCORE_LOGIT;
}

static bool is_other_finding(const struct artifact_share *s, int64_t k)
{
  return k != s->target && k != s->explain->card->normal;
}

void artifact_share_take(struct artifact_share *s, const float *scores)
{
  bool any = false;
  for (int64_t k = 0; k < s->explain->predictor->classes; k++) {
    const double t = s->explain->thresholds[k], bound = is_logit(s) ? log(t / (1 - t)) : t;
    any |= is_other_finding(s, k) && (double)s->base[k] < bound && (double)scores[k] >= bound;
  }
  s->count++;
  s->raised += any;
}

void artifact_share_note(const struct artifact_share *s, struct explanation *out)
{
  const struct model *model = s->explain->model;
  bool findings = false;
  for (int64_t k = 0; k < s->explain->predictor->classes; k++)
    findings |= is_other_finding(s, k);
  if (is_logit(s) && !(model && model->activation == ACTIVATION_SIGMOID))
    return;
  if (findings && s->count)
    json_object_set_new(out->quality, "artifact_share", json_real((double)s->raised / (double)s->count));
}
