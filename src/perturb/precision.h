/* SPDX-License-Identifier: Apache-2.0 */
/* `--precision auto`: bfloat16 where it was measured, on this image, to make no difference that matters. */
#ifndef PENUMBRA_PERTURB_PRECISION_H
#define PENUMBRA_PERTURB_PRECISION_H

#include "base/error.h"
#include "model/predictor.h"

#include <stdbool.h>

struct perturbation; /* perturb/evaluate.h */

/* How a method that samples makes coefficients of scores: enough to tell what deviations of scores do to them. */
struct precision_trial {
  uint64_t seed;
  int64_t samples, features; /* of the run: perturbations; parts of the image that are kept or hidden at random */
  bool fitted;               /* the parts are fitted together: the error is that of what a linear model leaves */
  bool paired;               /* every set of parts is followed by its complement: what is even cancels */
  void *context;
  int64_t (*target)(void *context, const float *scores); /* class that is explained; < 0: all */
  /* Sample `draw` that keeps the parts whose `keep` [features] is 1. */
  bool (*propose)(void *context, const unsigned char *keep, int64_t draw, struct perturbation *p, struct error *err);
};

/* What a method makes its map of, which is what bfloat16 must leave as it is. */
struct precision_use {
  const struct precision_trial *trial; /* coefficients of samples; NULL: single scores */
  bool gradients;                      /* gradients, too */
};

/* What was asked for, and what came of it. */
struct precision_check {
  bool automatic; /* to be decided by precision_decide */
  enum precision used;
  int evaluations;  /* compared in both precisions; 0: not compared */
  double deviation; /* largest difference of any score between them */
  double change;    /* largest change of any score by a perturbation, in float32 */
  bool sampled;     /* decided by what deviations do to coefficients: */
  double share;  /* root mean square of that over the standard error the run will report; estimated, rather too large */
  int gradients; /* compared in both precisions; 0: not compared */
  double gradient_deviation; /* of their attributions: length of the difference over length */
};

/* Score 64 perturbations of x [height, width, channels] in both precisions. bfloat16 is used where what the method
 * makes of x agrees; float32 where it does not, where the CPU lacks bfloat16, and where the predictor knows no
 * precisions. Sets options->precision.
 *
 * Single scores: occlusions (a seventh of the shorter side, the image's mean). The largest deviation of any score must
 * be below 1 % of the largest change.
 * Coefficients: samples as the method takes them, in 8 groups of 8. `share` must be below a tenth. See
 * docs/design/sampling.md.
 * Gradients: the four nodes of a Gauss rule on the path from an even grey (the image's mean) to x give attributions
 * of the strongest class, a small integrated gradient. Rectifiers that bf16 turns over make single gradients noisy
 * without bending them one way; so it is their sum over the nodes that is compared, by its length and not by its worst
 * pixel: 5 % of the length is a correlation of 0.998. What sums over more nodes has less of that noise. See
 * docs/design/gradients.md. */
bool precision_decide(const struct predictor *predictor, struct session_options *options, const float *x,
                      const struct precision_use *use, struct precision_check *check, struct error *err);

#endif
