/* SPDX-License-Identifier: Apache-2.0 */
/* What an explanation method is: a table of parameters and a function. One file each, listed in methods.def. */
#ifndef PENUMBRA_METHODS_METHOD_H
#define PENUMBRA_METHODS_METHOD_H

#include "base/error.h"
#include "base/params.h"
#include "methods/explanation.h"
#include "model/card.h"
#include "model/model.h"
#include "model/preprocess.h"
#include "perturb/evaluate.h"
#include "perturb/fill.h"

#include <jansson.h>

/* What every method is given. */
struct explain {
  const struct predictor *predictor;
  const struct model *model; /* NULL for black boxes */
  const struct card *card;
  const struct input *input; /* the picture on the model grid */
  uint64_t seed;
  struct evaluate_options evaluate; /* session options included; the method sets evaluate.session.layer */
  const char *target;               /* label, number, "top" or "all" */
  const char *const *labels;        /* [classes] */
  const double *thresholds;         /* [classes] probabilities above which a label counts as present */
};

enum method_needs { NEEDS_PREDICT, NEEDS_GRADIENT };

struct method {
  const char *name;    /* as on the command line */
  const char *title;   /* "Occlusion sensitivity" */
  const char *unit;    /* of its map, under the bar of colours */
  const char *summary; /* one line */
  const char *paper;   /* authors, title, venue, year */
  enum method_needs needs;
  const struct param *params;
  size_t options_size; /* of the struct params_parse fills */
  /* Produce at least "map" [targets, height, width] on the model grid. */
  bool (*run)(const struct explain *explain, const void *options, struct explanation *out, struct error *err);
};

/* NULL for an unknown name; method_require says which there are. */
const struct method *method_find(const char *name);
const struct method *method_require(const char *name, struct error *err);
const struct method *method_at(int i); /* NULL past the last */
json_t *method_json(const struct method *method);

/* Classes to explain, from the target text and the scores of the image: one, or all. *targets has room for every
 * class. Sets what the explanation says of its target. */
bool explain_targets(const struct explain *explain, const float *scores, int64_t *targets, int64_t *count,
                     struct explanation *out, struct error *err);

/* The one class that is asked for; -1: all, or a target that explain_targets will refuse. */
int64_t explain_one_target(const struct explain *explain, const float *scores);

#endif
