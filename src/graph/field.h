/* SPDX-License-Identifier: Apache-2.0 */
/* Receptive fields: which elements of one value another can depend on. */
#ifndef PENUMBRA_GRAPH_FIELD_H
#define PENUMBRA_GRAPH_FIELD_H

#include "graph/graph.h"

/* Ranges of indices, both ends included, per dimension. */
struct field {
  int64_t first[TENSOR_MAX_RANK], last[TENSOR_MAX_RANK];
};

/* What of graph input 0 the given elements of `value` depend on: intervals carried backwards through every node, and
 * united where ways meet; whole axes behind operators of which no more is known. */
bool field_of(const struct graph *graph, const struct value *value, const struct field *elements, struct field *input,
              struct error *err);

#endif
