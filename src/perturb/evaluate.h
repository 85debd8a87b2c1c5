/* SPDX-License-Identifier: Apache-2.0 */
/* Scores of an image under perturbations. Every method and metric asks here and nowhere else: this is the one place
 * that knows about batches, memory, progress, cancellation, budgets and stopping. */
#ifndef PENUMBRA_PERTURB_EVALUATE_H
#define PENUMBRA_PERTURB_EVALUATE_H

#include "base/error.h"
#include "model/predictor.h"
#include "perturb/precision.h"

#include <stdbool.h>
#include <stdint.h>

/* How far a run is. False cancels. */
struct progress {
  int64_t done, total;       /* evaluations; total 0: not known */
  double seconds, remaining; /* remaining < 0: not known */
  const char *stage;
  const float *map; /* [height, width], or NULL */
  int height, width;
};
typedef bool progress_callback(void *context, const struct progress *progress);

struct evaluate_options {
  struct session_options session;
  struct precision_check *precision; /* automatic: decides session.precision when an evaluator is opened; or NULL */
  struct precision_use use;          /* for that decision */
  int64_t evals;                     /* ceiling on evaluations, 0: none */
  double budget;                     /* s, 0: none */
  progress_callback *progress;
  void *progress_context;
};

struct evaluator; /* one image on one predictor */

/* Opens a session and scores the image itself. x [height, width, channels] must outlive the evaluator. */
struct evaluator *evaluator_open(const struct predictor *predictor, const struct evaluate_options *options,
                                 const float *x, struct error *err);
void evaluator_close(struct evaluator *evaluator);

const struct session *evaluator_session(const struct evaluator *evaluator);
/* Of the image itself: scores [classes], activations of the watched layer [h, w, c] or NULL. Borrowed. */
const float *evaluator_scores(const struct evaluator *evaluator);
const float *evaluator_activations(const struct evaluator *evaluator);

enum perturbation_kind {
  PERTURB_RECT,  /* pixels of a rectangle are replaced by `content` */
  PERTURB_MASK,  /* x * mask + fill * (1 - mask) */
  PERTURB_IMAGE, /* `content` is the whole image */
};

struct perturbation {
  enum perturbation_kind kind;
  int y0, x0, y1, x1; /* RECT: rows [y0, y1), columns [x0, x1) */
  float *content;     /* RECT: write [y1-y0, x1-x0, channels] here; IMAGE: [height, width, channels] */
  float *mask;        /* MASK: write [height, width] here, 1 keeps, 0 hides */
  const float *fill;  /* MASK: set to [height, width, channels] */
};

struct evaluation {
  const char *stage;
  int64_t count;                 /* perturbations 0..count-1 */
  bool activations;              /* results want the watched layer */
  int local_height, local_width; /* px: every perturbation is a RECT of at most this size; 0: not all are */
  void *context;
  /* Write perturbation i. Called in order, each once. */
  bool (*propose)(void *context, int64_t i, struct perturbation *p, struct error *err);
  /* Take the result of perturbation i, in order. *stop ends the run ("tolerance"): what the batch holds beyond i is
   * dropped and not counted, so that the result depends on i alone. */
  bool (*result)(void *context, int64_t i, const float *scores, const float *activations, bool *stop,
                 struct error *err);
  /* The map as far as it is known, for progress: fill in map [height, width]; may be NULL. */
  void (*preview)(void *context, float *map);
};

/* Why a run ended. */
struct evaluated {
  int64_t count;          /* results delivered */
  const char *stopped_by; /* "complete", "evals", "budget", "tolerance" */
};

/* Scores [classes] of one other image [height, width, channels]; counts as an evaluation. */
bool evaluator_score(struct evaluator *evaluator, const float *x, float *scores, struct error *err);

bool evaluate(struct evaluator *evaluator, const struct evaluation *what, struct evaluated *end, struct error *err);

/* Evaluations and seconds spent by this evaluator so far, its own first pass included. */
int64_t evaluator_count(const struct evaluator *evaluator);
double evaluator_seconds(const struct evaluator *evaluator);

#endif
