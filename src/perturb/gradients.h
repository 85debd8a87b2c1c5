/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients at images: the counterpart of evaluate() for methods that look back from the score. The same evaluator
 * keeps budgets, progress and cancellation; there and back counts as three evaluations. */
#ifndef PENUMBRA_PERTURB_GRADIENTS_H
#define PENUMBRA_PERTURB_GRADIENTS_H

#include "perturb/evaluate.h"

enum { GRADIENT_EVALUATIONS = 3 };

struct gradients {
  const char *stage;
  int64_t count; /* images 0..count-1 */
  struct backward_request request;
  void *context;
  /* Write image i, [height, width, channels], or what the stem makes of it where gradients_begin said so. Called in
   * order, each once. */
  bool (*propose)(void *context, int64_t i, float *image, struct error *err);
  /* Take its result, in order: scores [classes] (NULL where the signal starts from a layer) and what the request asks
   * for. *stop ends the run ("tolerance"): what the batch holds beyond i is dropped and not counted. */
  bool (*result)(void *context, int64_t i, const float *scores, const float *gradient, bool *stop, struct error *err);
  void (*preview)(void *context, float *map); /* [height, width], for progress; may be NULL */
  int64_t before, total; /* images done before and in all, where this is a part of a longer run; total 0: count */
};

/* Get ready for a request, and hear what its results look like. A predictor without gradients, or an operator without a
 * derivative on the way, is an error. */
bool gradients_begin(struct evaluator *evaluator, const struct backward_request *request, struct backward_info *info,
                     struct error *err);

bool gradients(struct evaluator *evaluator, const struct gradients *what, struct evaluated *end, struct error *err);

/* Through the stem of the request begun: an image there, a signal back. */
bool gradients_stem(struct evaluator *evaluator, const float *image, float *stem, struct error *err);
bool gradients_stem_back(struct evaluator *evaluator, const float *signal, float *gradient, struct error *err);

#endif
