/* SPDX-License-Identifier: Apache-2.0 */
/* Where every value of a run lies: storage shared by views and in-place operators, offsets by liveness. */
#ifndef PENUMBRA_GRAPH_PLAN_H
#define PENUMBRA_GRAPH_PLAN_H

#include "graph/graph.h"

#define PLAN_NOWHERE SIZE_MAX

struct plan {
  size_t *offset; /* per value id: bytes from the start of the memory; PLAN_NOWHERE for constants and unread values */
  size_t bytes;   /* of memory in all */
};

/* Storage for n samples. Inputs, outputs and the values in `keep` stay intact to the end of a run. With `keep_all`
 * every value that a node computes does (for a reverse sweep). */
bool plan_make(const struct graph *graph, int64_t n, struct value *const *keep, int n_keep, bool keep_all,
               struct plan *plan, struct error *err);
void plan_free(struct plan *plan);

/* A piece of storage in use from step `first` to step `last`. plan_place sets the offsets so that pieces that are in
 * use at the same time do not overlap, and *bytes to what they need in all; the order of pieces changes. */
struct piece {
  int value; /* whatever the caller wants to find it again by */
  int first, last;
  size_t bytes, offset;
};
bool plan_place(struct piece *pieces, int n, size_t *bytes, struct error *err);

/* True where out[0] is in[0] under another name in this graph. */
bool node_is_view(const struct node *node);

#endif
