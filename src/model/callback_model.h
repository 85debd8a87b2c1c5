/* SPDX-License-Identifier: Apache-2.0 */
/* A classifier that is a function of the caller's: it predicts, and nothing else can be asked of it. */
#ifndef PENUMBRA_MODEL_CALLBACK_MODEL_H
#define PENUMBRA_MODEL_CALLBACK_MODEL_H

#include "model/predictor.h"

struct callback_model {
  struct predictor predictor;
  /* scores [n, classes] of images [n, height, width, channels]; one thread at a time. */
  bool (*predict)(void *context, const float *images, int n, float *scores, struct error *err);
  void *context;
  int batch; /* images a call takes at most */
};

extern const struct predictor_ops callback_predictor_ops;

#endif
