/* SPDX-License-Identifier: Apache-2.0 */
/* What an optimiser asks of an evaluator, where each question follows from the last answer: one image's score with its
 * gradient, scores of images of its own, and whether there is time for more. Counted and timed like evaluate(). */
#ifndef PENUMBRA_PERTURB_DESCEND_H
#define PENUMBRA_PERTURB_DESCEND_H

#include "perturb/gradients.h"

/* Whether the predictor offers gradients at all. */
bool evaluator_differentiates(const struct evaluator *evaluator);
/* From now on evaluator_gradient is about this class. */
bool evaluator_begin_gradient(struct evaluator *evaluator, int64_t target, struct error *err);
/* The class's score of an image [height, width, channels] and the score's gradient there. *finite is false where one of
 * them is not a number: that is an answer, not an error. */
bool evaluator_gradient(struct evaluator *evaluator, const float *image, float *gradient, double *score, bool *finite,
                        struct error *err);
/* A class's score of each of n images; n is not bounded by the session's batch. */
bool evaluator_scores_of(struct evaluator *evaluator, const float *images, int64_t n, int64_t target, double *scores,
                         bool *finite, struct error *err);

/* Why `cost` more evaluations are too many ("evals", "budget") when a share of what there is has to do, or NULL. */
const char *evaluator_spent(const struct evaluator *evaluator, int64_t cost, double share);
/* Tell the caller that `done` of what->count steps are done; false: cancelled. */
bool evaluator_step(struct evaluator *evaluator, const struct evaluation *what, int64_t done, struct error *err);

#endif
