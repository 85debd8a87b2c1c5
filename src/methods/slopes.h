/* SPDX-License-Identifier: Apache-2.0 */
/* What the methods that look back from the score have in common: which classes, one map for each, from attributions per
 * pixel and channel. */
#ifndef PENUMBRA_METHODS_SLOPES_H
#define PENUMBRA_METHODS_SLOPES_H

#include "methods/method.h"
#include "perturb/gradients.h"

struct slopes {
  const struct explain *explain;
  struct explanation *out;
  struct evaluator *evaluator;
  int64_t *targets, n_targets;
  size_t pixels, channels;   /* of the image */
  float *map;                /* [targets, H, W] */
  float *each;               /* [targets, C, H, W], or NULL */
  struct backward_info info; /* of the last request */
};

enum reduce { REDUCE_SUM, REDUCE_ABSMAX, REDUCE_L2 };

#define KEEP_CHANNELS_PARAM(options, field)                                                                            \
  {                                                                                                                    \
    "keep-channels", PARAM_BOOL, offsetof(options, field), "off", 0, 0, NULL, NULL, NULL,                              \
        "also give the map of each channel, [C,H,W]"                                                                   \
  }

/* Score the image (watching `layer` where not NULL) and make room for maps. */
bool slopes_open(struct slopes *s, const struct explain *explain, const char *layer, bool keep_channels,
                 struct explanation *out, struct error *err);
void slopes_close(struct slopes *s);

/* As gradients(); an operator without a derivative is an error that also names methods which need none, and a run that
 * ends before its first result one that says so. */
bool slopes_run(struct slopes *s, const struct gradients *what, struct evaluated *end, struct error *err);
/* The same addition to an error that is set; returns false. */
bool slopes_no_gradient(struct error *err);
/* One gradient [H,W,C], or of a layer's shape, at the image itself. `t`: which of how many of the run, for progress. */
bool slopes_once(struct slopes *s, const char *stage, const struct backward_request *request, int64_t t,
                 float *gradient, struct error *err);

/* The map of target number t from attributions [H,W,C]. */
void slopes_put(struct slopes *s, int64_t t, const double *a, enum reduce reduce);
/* Both for every target: the gradient by `rule` at the image itself, as it is. `stage` names it in progress. */
bool slopes_maps(struct slopes *s, const char *stage, enum rule rule, enum reduce reduce, struct error *err);
/* The warning of the rules for rectifiers, and how many of them there were on the way. */
void slopes_rules(struct slopes *s);
/* Figures of the run and the warnings that all share; `of_score`: the map is in units of the score. */
void slopes_report(struct slopes *s, const char *stopped_by, bool of_score);

#endif
