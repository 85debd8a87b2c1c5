/* SPDX-License-Identifier: Apache-2.0 */
/* A map and the mask that an optimisation made of it: which order of pixels, of those the two offer together, has the
 * smallest region that suffices. */
#ifndef PENUMBRA_METHODS_REFINE_H
#define PENUMBRA_METHODS_REFINE_H

#include "methods/minimal_region.h"

/* `request` is about the start; `before` is what region_find found for it. `mask` [height, width] in [0,1], 1 keeps.
 * Judged by region_find are the orders of "mask", the mask itself; "inside", the start with the mask ordering its
 * region; "product" and "positive-product", the mask times the smoothed start, or what of it is above 0; and, where
 * none of them needs less than the start, the "start" stands. The best is written to map [height, width] as values in
 * [0,1], its region to *found, its name and all areas to *about. Where the start has a region, *found is no larger. */
bool refine_map(const struct region_request *request, const struct region *before, const float *mask, float *map,
                struct region *found, json_t **about, struct error *err);

#endif
