/* SPDX-License-Identifier: Apache-2.0 */
/* `--precision auto`: bfloat16 where it was measured, on this image, to make no difference that matters. */
#ifndef PENUMBRA_PERTURB_PRECISION_H
#define PENUMBRA_PERTURB_PRECISION_H

#include "base/error.h"
#include "model/predictor.h"

#include <stdbool.h>

/* What was asked for, and what came of it. */
struct precision_check {
  bool automatic; /* to be decided by precision_decide */
  enum precision used;
  int evaluations;           /* compared in both precisions; 0: not compared */
  double deviation;          /* largest difference of any score between them */
  double change;             /* largest change of any score by an occlusion, in float32 */
  int gradients;             /* compared in both precisions; 0: not compared */
  double gradient_deviation; /* of their attributions: length of the difference over length */
};

/* Score 64 occlusions of x [height, width, channels] (a seventh of the shorter side, the image's mean) in both
 * precisions. bfloat16 is used where the largest deviation is below 1 % of the largest change; float32 where it is not,
 * where the CPU lacks it, and where the predictor knows no precisions. Sets options->precision.
 *
 * `gradients`: the four nodes of a Gauss rule on the path from an even grey (the image's mean) to x give attributions
 * of the strongest class, a small integrated gradient, in both precisions, and these must agree, too. Rectifiers that
 * bf16 turns over make single gradients noisy without bending them one way; so it is their sum over the nodes that is
 * compared, by its length and not by its worst pixel: 5 % of the length is a correlation of 0.998. What
 * sums over more nodes has less of that noise. */
bool precision_decide(const struct predictor *predictor, struct session_options *options, const float *x,
                      bool gradients, struct precision_check *check, struct error *err);

#endif
