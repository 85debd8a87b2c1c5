/* SPDX-License-Identifier: Apache-2.0 */
/* Superpixels that are there or hidden: what LIME and KernelSHAP share before and after their samples. */
#ifndef PENUMBRA_METHODS_SUPERPIXELS_H
#define PENUMBRA_METHODS_SUPERPIXELS_H

#include "base/error.h"
#include "base/params.h"
#include "methods/explanation.h"
#include "methods/method.h"
#include "perturb/evaluate.h"
#include "perturb/fill.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More would make the fit's matrices larger than a run's memory. */
enum { SUPERPIXELS_MOST = 4096 };

struct superpixel_options {
  const char *segments;
  int range;
  const char *fill;
  int64_t draws;
  double soft;
  int64_t top;
  bool positive_only, hide_rest;
};

/* Rows of a parameter table for the member `member` of `type`; paper_fill as in struct param. */
/* clang-format off */
#define SUPERPIXEL_PARAMS(type, member, paper_fill)                                                                    \
  {"segments", PARAM_TEXT, offsetof(type, member.segments), "quickshift", 0, 0, NULL, NULL, NULL,                      \
   "superpixels: quickshift, slic:N, grid:RxC, file:LABELS"},                                                          \
  {"segment-range", PARAM_CHOICE, offsetof(type, member.range), "card", 0, 0, "card|robust", NULL, NULL,               \
   "what is black and white to the segmentation: the card's range, or 0.5 and 99.5 percentiles"},                      \
  {"fill", PARAM_TEXT, offsetof(type, member.fill), "mean", 0, 0, NULL, NULL, paper_fill,                              \
   "what hidden superpixels become; see the list of fills; or segment-mean"},                                          \
  {"draws", PARAM_INT, offsetof(type, member.draws), "10", 1, 1000, NULL, NULL, NULL,                                  \
   "draws of a random fill that samples take in turn"},                                                                \
  {"soft", PARAM_FLOAT, offsetof(type, member.soft), "0", 0, 1000, NULL, "px", NULL,                                   \
   "standard deviation of the blur that softens the edges of what is hidden"},                                         \
  {"top", PARAM_INT, offsetof(type, member.top), "5", 1, SUPERPIXELS_MOST, NULL, NULL, NULL,                           \
   "superpixels in the picture, strongest first"},                                                                     \
  {"positive-only", PARAM_BOOL, offsetof(type, member.positive_only), "off", 0, 0, NULL, NULL, NULL,                   \
   "picture: leave out superpixels that speak against the target"},                                                    \
  {"hide-rest", PARAM_BOOL, offsetof(type, member.hide_rest), "off", 0, 0, NULL, NULL, NULL,                           \
   "picture: grey out all others"}
/* clang-format on */

struct superpixels {
  const struct explain *explain;
  const struct superpixel_options *options;
  struct explanation *out;
  const int32_t *labels; /* [H,W] 0..count-1; owned by the explanation as "segments" */
  int64_t count;
  struct fill fill; /* not open for segment-mean */
  bool segment_mean;
  bool needs_rim; /* the fill is made for each set of hidden superpixels; there is none for all */
  bool random;
  int64_t draws;
  float *fills;          /* [draws,H,W,C] model values; one image that is remade where needs_rim */
  bool *filled;          /* [draws] */
  float *keep;           /* [count] 1 or 0: the mask's value by label */
  unsigned char *hidden; /* [H,W], where needs_rim */
  float *soft;           /* [H,W], where edges are soft */
  double *full;          /* [K] scores with everything hidden; NULL where there is no such image */
};

/* Cut the picture and make the fill. Fails where there is one superpixel only. */
bool superpixels_open(struct superpixels *s, const struct explain *explain, const struct superpixel_options *options,
                      struct explanation *out, struct error *err);
void superpixels_close(struct superpixels *s);

/* Perturbation that keeps the superpixels of `mask` (see masks.h) and fills the others, by draw
 * `draw` modulo the number of draws. */
bool superpixels_hide(struct superpixels *s, const uint64_t *mask, int64_t draw, struct perturbation *p,
                      struct error *err);
/* Score the image with everything hidden, mean over draws, into `full`. */
bool superpixels_score_full(struct superpixels *s, struct evaluator *evaluator, struct error *err);

/* map [H,W] := value of each pixel's superpixel. */
void superpixels_paint(const struct superpixels *s, const double *value, float *map);
/* "map" and "stderr" of all targets; beta and error [targets,count]. */
bool superpixels_maps(const struct superpixels *s, int64_t targets, const double *beta, const double *error,
                      struct error *err);
/* What is drawn and reported of the shown target's coefficients [count]: details "superpixels", and warnings about fill
 * and map, which is there already. */
bool superpixels_report(struct superpixels *s, const double *beta, const double *error, struct error *err);
/* {"index","label","score","score_full_fill","coefficients","stderr"} of one class. */
json_t *superpixels_class_json(const struct superpixels *s, const struct evaluator *evaluator, int64_t k,
                               const double *beta, const double *error);

#endif
