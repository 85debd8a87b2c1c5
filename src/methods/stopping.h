/* SPDX-License-Identifier: Apache-2.0 */
/* When a sampling method knows enough. Looks at the errors happen at fixed counts of samples, 256, 362, 512 … (256
 * times powers of the root of 2, made even so that a look never parts a mask from its complement): where a run ends
 * depends on neither batch nor threads. */
#ifndef PENUMBRA_METHODS_STOPPING_H
#define PENUMBRA_METHODS_STOPPING_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct stopping {
  double tolerance; /* largest standard error over largest |value|; 0: no rule of this kind */
  int64_t leading;  /* "stable:K": intervals separate so many leading values from the rest; 0: none */
  double quantile;  /* of the normal distribution, for those intervals: error level 5 % over all looks */
  int64_t next;     /* samples at the next look; INT64_MAX without a rule */
};

/* "" (no rule), "0.05" or "stable:5" for a run of at most `samples` samples. */
bool stopping_parse(const char *text, int64_t samples, struct stopping *s, struct error *err);
/* Whether n samples are a look, which is then past. */
bool stopping_due(struct stopping *s, int64_t n);
/* Whether values [n] with standard errors [n] are known well enough. */
bool stopping_reached(const struct stopping *s, const double *value, const double *error, int64_t n);

#endif
