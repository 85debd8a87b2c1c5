/* SPDX-License-Identifier: Apache-2.0 */
#include "model/scores.h"

#include <math.h>
#include <string.h>

/* exp(raw - top) and the sum of it. */
static double softmax_sum(const float *raw, int64_t k, double *top)
{
  double sum = 0;
  *top = (double)raw[0];
  for (int64_t i = 1; i < k; i++)
    *top = (double)raw[i] > *top ? (double)raw[i] : *top;
  for (int64_t i = 0; i < k; i++)
    sum += exp((double)raw[i] - *top);
  return sum;
}

static enum activation activation_for(const struct model *model, enum score score)
{
  return score == SCORE_LOGIT ? ACTIVATION_NONE : model->activation;
}

void scores_of(const struct model *model, enum score score, const float *raw, float *scores)
{
  const int64_t k = model->outputs;
  const enum activation how = activation_for(model, score);
  if (how == ACTIVATION_SIGMOID) {
    for (int64_t i = 0; i < k; i++)
      scores[i] = (float)(1 / (1 + exp(-(double)raw[i])));
  } else if (how == ACTIVATION_SOFTMAX || how == ACTIVATION_LOG_SOFTMAX) {
    double top;
    const double sum = softmax_sum(raw, k, &top);
    for (int64_t i = 0; i < k; i++)
      scores[i] = (float)(exp((double)raw[i] - top) / sum);
    if (isnan(sum))
      scores[0] = NAN;
  } else {
    memcpy(scores, raw, (size_t)k * sizeof *scores);
  }
  if (model->card.has_complement)
    scores[k] = score == SCORE_LOGIT ? -scores[0] : 1 - scores[0];
}

void scores_slope(const struct model *model, enum score score, const float *raw, int64_t target, float *seed)
{
  const int64_t k = model->outputs;
  const enum activation how = activation_for(model, score);
  const float sign = target == k ? -1 : 1; /* the complement falls as the only output rises */
  if (target == k)
    target = 0;
  memset(seed, 0, (size_t)k * sizeof *seed);
  if (how == ACTIVATION_SIGMOID) {
    const double e = exp(-fabs((double)raw[target]));
    seed[target] = sign * (float)(e / ((1 + e) * (1 + e)));
  } else if (how == ACTIVATION_SOFTMAX || how == ACTIVATION_LOG_SOFTMAX) {
    double top, others = 0; /* 1 - p, as a sum: a difference would lose it where p is near 1 */
    const double sum = softmax_sum(raw, k, &top), p = exp((double)raw[target] - top) / sum;
    for (int64_t i = 0; i < k; i++) {
      const double q = exp((double)raw[i] - top) / sum;
      if (i == target)
        continue;
      others += q;
      seed[i] = sign * (float)(-p * q);
    }
    seed[target] = sign * (float)(p * others);
  } else {
    seed[target] = sign;
  }
}
