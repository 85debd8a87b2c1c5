/* SPDX-License-Identifier: Apache-2.0 */
/* What evaluate.c, precision.c, sequence.c and descend.c share. Internal to the four. */
#ifndef PENUMBRA_PERTURB_EVALUATOR_H
#define PENUMBRA_PERTURB_EVALUATOR_H

#include "perturb/evaluate.h"

struct evaluator {
  struct evaluate_options options;
  struct session *session;
  const float *x;
  size_t image, layer;  /* floats of an image, of the watched layer */
  int64_t target;       /* whose gradient is begun */
  float *scores;        /* of the image itself */
  float *activations;
  float *images;        /* [batch, image]: perturbed copies */
  float *batch_scores, *batch_activations;
  struct change *changes; /* of one call, contents in `images` */
  float *content, *mask, *preview;
  int64_t count;
  double started, predicting, reported;
};

double evaluator_now(void); /* s */

/* The perturbed image itself, [height, width, channels], of x. */
void perturbation_apply(const struct predictor *predictor, const float *x, const struct perturbation *p, float *image);

/* One timed and counted call of the session. */
bool evaluator_predict(struct evaluator *evaluator, const float *images, int64_t n, float *scores, float *activations,
                       struct error *err);
/* Tell the caller how far we are; false: cancelled. */
bool evaluator_report(struct evaluator *evaluator, const struct evaluation *what, int64_t done, struct error *err);
/* Room for n rectangles of the given size and their scores. */
bool evaluator_room(struct evaluator *evaluator, int n, int height, int width, struct error *err);

#endif
