/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PENUMBRA_GRAPH_LOWER_H
#define PENUMBRA_GRAPH_LOWER_H

#include "graph/graph.h"

/* On a copy made by graph_fused: let convolutions and products with constant weights read and write bfloat16, and what
 * lies between them hold it; sums, norms and the graph's outputs stay float32. Values in `keep` (of the copy) are
 * float32, too. Accumulation is float32 throughout. `reversible`: on a copy for a sweep back. There products that make
 * a float32 value are float32 themselves, so that scores and what the sweep ends at are, and so are first layers, whose
 * way back is the image's gradient. */
bool graph_lower_bf16(struct graph *graph, struct value *const *keep, int n_keep, bool reversible, struct error *err);

#endif
