/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENUMBRA_OPS_POOL_H
#define PENUMBRA_OPS_POOL_H

#include "ops/op.h"
#include "ops/spatial.h"

enum pool_kind { POOL_MAX, POOL_AVERAGE, POOL_LP };

struct pool {
  enum pool_kind kind;
  bool count_pads;   /* average: cells of the stated pads count */
  int64_t p;         /* POOL_LP: the norm */
  int64_t stated[2]; /* trailing pads as the file states them */
  bool global;
  struct spatial space;
};

/* Maximum or average over windows of one [ih, iw, c] map for output rows [oy0, oy1) and columns [ox0, ox1); dst is
 * dense [oy1-oy0, ox1-ox0, c]. `src` holds the input rectangle whose first pixel is (y0, x0) and whose rows are `width`
 * px long; the map itself extends over space.in. */
void pool_window(const struct pool *pool, int64_t c, const float *src, int64_t y0, int64_t x0, int64_t width,
                 int64_t oy0, int64_t oy1, int64_t ox0, int64_t ox1, float *dst);

#endif
