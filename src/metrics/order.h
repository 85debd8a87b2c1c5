/* SPDX-License-Identifier: Apache-2.0 */
/* Orders of regions and pixels. Ties are broken by a seeded permutation, so that what is first in memory is not first
 * in rank. */
#ifndef PENUMBRA_METRICS_ORDER_H
#define PENUMBRA_METRICS_ORDER_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum order { ORDER_MORF, ORDER_LERF, ORDER_RANDOM }; /* most relevant first, least relevant first */

/* order[0..n): indices of `value` [n] in that order, for one draw. n is below 2^31. */
bool order_make(enum order kind, const double *value, int64_t n, uint64_t seed, uint32_t draw, int32_t *order,
                struct error *err);
/* The same of the pixels of a map. */
bool order_pixels(enum order kind, const float *map, int64_t n, uint64_t seed, uint32_t draw, int32_t *order,
                  struct error *err);

#endif
