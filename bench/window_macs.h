/* SPDX-License-Identifier: Apache-2.0 */
/* What windows can save by counting: the yardstick of occlusion and of region perturbation. */
#ifndef PENUMBRA_BENCH_WINDOW_MACS_H
#define PENUMBRA_BENCH_WINDOW_MACS_H

#include "graph/locality.h"

/* One full run on windows and elsewhere the values of the base, by tight windows: multiply-accumulates. `window` has
 * room for one rectangle a value. */
double window_macs(const struct graph *graph, const struct layer *layers, struct rect change, struct rect *window);

#endif
