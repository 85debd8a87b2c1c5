/* SPDX-License-Identifier: Apache-2.0 */
/* How two maps agree. */
#ifndef PENUMBRA_METRICS_AGREEMENT_H
#define PENUMBRA_METRICS_AGREEMENT_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct agreement {
  double spearman, pearson; /* NAN where a map is constant */
  double top5_jaccard;      /* overlap of the highest 5 % of pixels; ties by index */
  double ssim;              /* mean structural similarity, Wang et al. 2004 */
  double max_abs_difference;
};

/* Maps of [height, width]. A map with itself: 1, 1, 1, 1, 0 (a constant one: NAN, NAN, 1, 1, 0). */
bool agreement_of(const float *a, const float *b, int64_t height, int64_t width, struct agreement *out,
                  struct error *err);

/* Spearman's correlation of every map [n] with every other: matrix [count, count], NAN where a map is constant. */
bool agreement_matrix(const float *const *maps, int count, int64_t n, double *matrix, struct error *err);

/* agreement_of two .npy files of equal shape (further dimensions count as rows); a JSON object. */
json_t *agreement_of_files(const char *a, const char *b, struct error *err);

/* Ranks 1..n with ties averaged. */
bool ranks_of(const float *x, int64_t n, double *ranks, struct error *err);

#endif
