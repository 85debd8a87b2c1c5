/* SPDX-License-Identifier: Apache-2.0 */
/* LIME's local model: weighted ridge regression of scores on superpixels, with a choice of superpixels first. */
#ifndef PENUMBRA_METHODS_SURROGATE_H
#define PENUMBRA_METHODS_SURROGATE_H

#include "base/error.h"
#include "methods/least_squares.h"

#include <stdbool.h>
#include <stdint.h>

/* In the order of the parameter's choices. */
enum selection { SELECT_NONE, SELECT_AUTO, SELECT_FORWARD, SELECT_HIGHEST, SELECT_LASSO };

struct surrogate_options {
  double alpha; /* ridge penalty; the intercept is free of it */
  enum selection select;
  int64_t most; /* superpixels to select */
};

struct surrogate {
  int64_t features, targets;
  double *beta;      /* [T,S], 0 where not selected */
  double *error;     /* [T,S] standard errors, 0 where not selected */
  double *intercept; /* [T] */
  double *r2;        /* [T] weighted; NAN where the scores do not vary */
  struct moments moments;
  double *origin;                /* [T] */
  double *inverse, *part, *work; /* [S,S] */
  double *vectors;               /* [5,S] */
  bool *taken;                   /* [S] */
  int64_t *chosen;               /* [S] */
};

/* Weight of a mask that keeps so many superpixels: exp(-d^2 / width^2)^(1/2), d = 1 - sqrt(kept / features) the cosine
 * distance to the mask that keeps all. */
double surrogate_weight(int64_t kept, int64_t features, double width);

bool surrogate_open(struct surrogate *s, int64_t features, int64_t targets, struct error *err);
void surrogate_close(struct surrogate *s);
/* Fit every target of the design, which has a row at least. Errors and R2 only when `whole`: a map on the way can do
 * without. */
bool surrogate_fit(struct surrogate *s, const struct design *d, const struct surrogate_options *options, bool whole,
                   struct error *err);

#endif
