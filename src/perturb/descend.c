/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/descend.h"

#include "perturb/evaluator.h"

#include <math.h>
#include <string.h>

bool evaluator_differentiates(const struct evaluator *e)
{
  return e->session->ops->begin_backward != NULL;
}

bool evaluator_begin_gradient(struct evaluator *e, int64_t target, struct error *err)
{
  struct backward_info info;
  const struct backward_request request = {.rule = RULE_GRADIENT, .target = target};
  if (!gradients_begin(e, &request, &info, err))
    return false;
  e->target = target;
  return true;
}

static bool all_finite(const float *x, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (!isfinite(x[i]))
      return false;
  return true;
}

/* A session refuses scores that are not numbers; the scores themselves tell that failure from others. */
static bool answer(struct evaluator *e, bool ok, const struct error *failed, int64_t n, bool *finite, struct error *err)
{
  *finite = all_finite(e->batch_scores, (size_t)(n * e->session->predictor->classes));
  if (!ok && *finite)
    return error_set(err, failed->code, "%s", failed->message);
  return true;
}

bool evaluator_gradient(struct evaluator *e, const float *image, float *gradient, double *score, bool *finite,
                        struct error *err)
{
  struct error failed = {ERROR_NONE};
  const double from = evaluator_now();
  memset(e->batch_scores, 0, (size_t)e->session->predictor->classes * sizeof *e->batch_scores);
  const bool ok = session_backward(e->session, image, 1, gradient, e->batch_scores, &failed);
  e->predicting += evaluator_now() - from;
  e->count += GRADIENT_EVALUATIONS;
  if (!answer(e, ok, &failed, 1, finite, err))
    return false;
  *finite = *finite && all_finite(gradient, e->image);
  *score = (double)e->batch_scores[e->target];
  return true;
}

bool evaluator_scores_of(struct evaluator *e, const float *images, int64_t n, int64_t target, double *scores,
                         bool *finite, struct error *err)
{
  const int64_t classes = e->session->predictor->classes;
  *finite = true;
  for (int64_t done = 0; done < n;) {
    struct error failed = {ERROR_NONE};
    bool numbers;
    const int64_t m = n - done < e->session->batch ? n - done : e->session->batch;
    memset(e->batch_scores, 0, (size_t)(m * classes) * sizeof *e->batch_scores);
    const bool ok = evaluator_predict(e, images + (size_t)done * e->image, m, e->batch_scores, NULL, &failed);
    if (!answer(e, ok, &failed, m, &numbers, err))
      return false;
    for (int64_t i = 0; i < m; i++)
      scores[done + i] = (double)e->batch_scores[i * classes + target];
    *finite &= numbers;
    done += m;
  }
  return true;
}

const char *evaluator_spent(const struct evaluator *e, int64_t cost, double share)
{
  if (e->options.evals && (double)(e->count + cost) > share * (double)e->options.evals)
    return "evals";
  return e->options.budget > 0 && evaluator_now() - e->started >= share * e->options.budget ? "budget" : NULL;
}

bool evaluator_step(struct evaluator *e, const struct evaluation *what, int64_t done, struct error *err)
{
  return evaluator_report(e, what, done, err);
}
