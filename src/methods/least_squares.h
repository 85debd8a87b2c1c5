/* SPDX-License-Identifier: Apache-2.0 */
/* Weighted least squares on superpixels that are there or not: what LIME and KernelSHAP fit to their samples, and how
 * far their coefficients can be off. All sums run in double over rows in their order. */
#ifndef PENUMBRA_METHODS_LEAST_SQUARES_H
#define PENUMBRA_METHODS_LEAST_SQUARES_H

#include "base/error.h"
#include "methods/masks.h"

#include <stdbool.h>
#include <stdint.h>

/* Samples: masks, weights and scores, a row each. The first `single` rows stand alone; those after them come in groups
 * of `group` (1, or 2 for a mask and its complement), within which scores are not independent. */
struct design {
  int64_t rows, capacity, features, targets, single, group;
  int64_t words;  /* of a mask */
  uint64_t *bits; /* [capacity, words] feature s of a mask is bit s % 64 of word s / 64 */
  double *weight; /* [capacity] */
  float *y;       /* [capacity, targets] */
};

bool design_open(struct design *d, int64_t capacity, int64_t features, int64_t targets, struct error *err);
void design_close(struct design *d);
uint64_t *design_mask(const struct design *d, int64_t row);
float *design_scores(const struct design *d, int64_t row);
int64_t design_groups(const struct design *d);
/* Rows [*begin, *end) of a group. */
void design_group(const struct design *d, int64_t group, int64_t *begin, int64_t *end);

/* Sum of beta over the features of a mask. */
double mask_sum(const uint64_t *mask, int64_t words, const double *beta);

/* Weighted sums of a design. */
struct moments {
  int64_t features, targets;
  double weight; /* sum w */
  double *z;     /* [S] sum w z */
  double *zz;    /* [S,S] sum w z z' */
  double *y;     /* [T] sum w (y - origin) */
  double *zy;    /* [T,S] sum w z (y - origin) */
};

bool moments_open(struct moments *m, int64_t features, int64_t targets, struct error *err);
void moments_close(struct moments *m);
/* origin [T]: a value near y, so that nothing is lost where y varies little about a large mean. */
bool moments_sum(struct moments *m, const struct design *d, const double *origin, struct error *err);
/* zz and zy about the weighted means of z and y. */
void moments_centre(struct moments *m);

/* inverse := (a + ridge I)^-1 of a symmetric positive definite a [n,n] by Cholesky; work [n,n]. False where it is
 * singular. */
bool inverse_symmetric(const double *a, int64_t n, double ridge, double *inverse, double *work);

/* What the sandwich estimator needs of a fit beta = inverse * (sums of the design). */
struct sandwich {
  const double *inverse; /* [S,S]; rows of features left out are 0 */
  const double *mean;    /* [S] subtracted from z, or NULL */
  const int *stratum;    /* [groups] 0..strata-1: their means are subtracted within it; NULL: one, about 0 */
  int strata;
  const double *share; /* [strata] what is left of a stratum's variance (finite population), with `stratum` */
  int64_t fitted;      /* coefficients that were free, the intercept among them */
};

/* variance [n,S] of the coefficients beta [n,S], intercept [n] of targets first..first+n-1:
 *   V = inverse (sum_g q_g q_g') inverse * groups / (groups - fitted),   q_g = sum of w e (z - mean) over group g,
 * whose rows share an error; with single rows this is the usual heteroscedastic one (White 1980, MacKinnon & White's
 * HC1). NAN where there are not more groups than coefficients: nothing is left to tell the error by. */
bool sandwich_variance(const struct sandwich *s, const struct design *d, int64_t first, int64_t n, const double *beta,
                       const double *intercept, double *variance, struct error *err);

#endif
