/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that exporters write as several nodes, put together again. */
#ifndef PENUMBRA_GRAPH_PATTERNS_H
#define PENUMBRA_GRAPH_PATTERNS_H

#include "graph/graph.h"

/* In place, on a copy made by graph_fused: layer normalisation, GELU, SiLU, hard swish, scaled products. Values marked
 * in `pinned` (per id) stay visible. */
bool patterns_join(struct graph *graph, const bool *pinned, struct error *err);

#endif
