/* SPDX-License-Identifier: Apache-2.0 */
/* Scores along sequences of changes, each made to what the one before it left: perturbation curves. Where the model can
 * recompute windows, sequences run in lockstep and a step costs what its window costs; else every step is a whole run,
 * and since all changes are known beforehand, steps of one sequence share a batch. */
#ifndef PENUMBRA_PERTURB_SEQUENCE_H
#define PENUMBRA_PERTURB_SEQUENCE_H

#include "graph/window.h"
#include "perturb/evaluate.h"

struct sequences {
  const char *stage;
  int count, steps;  /* sequences, and changes of each */
  int height, width; /* px, the largest change */
  void *context;
  /* Write change k of sequence s: where, and content [rect height, rect width, channels]. A sequence's changes are
   * asked for in order, each once; an empty rectangle changes nothing. */
  bool (*propose)(void *context, int s, int k, struct rect *rect, float *content, struct error *err);
  /* Take the scores of sequence s after change k. The order of sequences is not said; steps of one come in order. */
  bool (*result)(void *context, int s, int k, const float *scores, struct error *err);
};

/* All start from the evaluator's image. A run that ends early (evals, budget) leaves sequences unfinished. */
bool evaluate_sequences(struct evaluator *evaluator, const struct sequences *what, struct evaluated *end,
                        struct error *err);

#endif
