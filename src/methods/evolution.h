/* SPDX-License-Identifier: Apache-2.0 */
/* Least values of a function without derivatives: separable CMA-ES (Ros & Hansen, "A Simple Modification in CMA-ES
 * Achieving Linear Time and Space Complexity", PPSN 2008) within [0,1]. */
#ifndef PENUMBRA_METHODS_EVOLUTION_H
#define PENUMBRA_METHODS_EVOLUTION_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct evolution {
  int64_t n, generation;
  int offspring, parents;
  uint64_t seed;
  uint32_t stream;      /* tells searches of one seed apart */
  double step;          /* sigma */
  double parents_mass;  /* effective number of parents */
  double *weight;       /* [parents] */
  double *mean, *variance, *path, *step_path, *best, *before; /* [n] */
  double *candidates;   /* [offspring, n] */
  double *values;       /* [offspring] */
  int *order;           /* [offspring] */
  double best_value;
};

/* values [count] of candidates [count, n]; *finite is false where one is not a number. */
typedef bool evolution_ask(void *context, const double *candidates, int count, double *values, bool *finite,
                           struct error *err);

bool evolution_open(struct evolution *e, const double *start, int64_t n, uint64_t seed, uint32_t stream,
                    struct error *err);
void evolution_close(struct evolution *e);
/* One generation; nothing is learnt from one that is not finite. */
bool evolution_step(struct evolution *e, evolution_ask *ask, void *context, bool *finite, struct error *err);

#endif
