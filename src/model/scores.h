/* SPDX-License-Identifier: Apache-2.0 */
/* From a model's raw outputs to scores, and how scores move with raw outputs; in double. */
#ifndef PENUMBRA_MODEL_SCORES_H
#define PENUMBRA_MODEL_SCORES_H

#include "model/model.h"

/* scores [classes] of one sample's raw [outputs]. A sum that is not a number makes scores[0] NaN. */
void scores_of(const struct model *model, enum score score, const float *raw, float *scores);

/* seed [outputs]: the derivative of the class's score with respect to every raw output. */
void scores_slope(const struct model *model, enum score score, const float *raw, int64_t target, float *seed);

#endif
