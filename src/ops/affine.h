/* SPDX-License-Identifier: Apache-2.0 */
/* The affine map of graph_simplify, for those who apply it while they copy. */
#ifndef PENUMBRA_OPS_AFFINE_H
#define PENUMBRA_OPS_AFFINE_H

#include "ops/node.h"

/* Whether a node is clip(x * scale[c] + shift[c], lo, hi) and nothing else; then the bounds. */
bool affine_is_clip(const struct node *node, float *lo, float *hi);

/* scale and shift of some channels, and the bounds. */
struct affine_clip {
  const float *scale, *shift; /* not NULL */
  float lo, hi;
};

/* n pixels of c channels side by side, to `pitch` elements a pixel: the map of x; of bfloat16; the map of x less that
 * of base. */
void affine_put(const struct affine_clip *map, const float *restrict x, int64_t n, int64_t c, float *restrict to,
                int64_t pitch);
void affine_put_bf16(const struct affine_clip *map, const uint16_t *restrict x, int64_t n, int64_t c,
                     uint16_t *restrict to, int64_t pitch);
void affine_put_change(const struct affine_clip *map, const float *restrict x, const float *restrict base, int64_t n,
                       int64_t c, float *restrict to, int64_t pitch);

#endif
