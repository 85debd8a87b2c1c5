/* SPDX-License-Identifier: Apache-2.0 */
/* Where in a graph a local change stays local: the values of the head, and how large their windows get. */
#ifndef PENUMBRA_GRAPH_LOCALITY_H
#define PENUMBRA_GRAPH_LOCALITY_H

#include "graph/graph.h"
#include "graph/window.h"

enum { MAX_VARYING = 3 }; /* inputs of an element-wise node of the head that may vary */

/* One value of the head. */
struct layer {
  bool head;
  bool passing;           /* made by the one stage that reads it, while it reads: no windows, no base */
  struct layer_view view; /* base set by increment_base */
  int alias;              /* id of the value whose bytes these are, or -1 */
  int bound[2];           /* largest window, px */
  double mean[2];         /* average window over all places of the change */
  int *sizes[2];          /* how many of those places give a window of this size, 0..bound */
  int *even_sizes[2];     /* the same of windows that are made to begin at even places */
  int last;               /* stage that reads the windows last */
  size_t offset;          /* of the windows' memory */
  struct window *window;  /* [batch] */
  int *order;             /* positions as their windows lie in memory */
  int n_order;
  bool packed; /* windows follow one another without gaps in that order */
};

/* One per value of the graph, from the arena: head marked, views set, windows measured over all places of a change of
 * height x width px. */
struct layer *layers_new(const struct graph *graph, int height, int width, struct arena *arena, struct error *err);

/* Input that varies with the image. */
static inline bool varies(const struct value *value)
{
  return value && !value->t.data;
}

#endif
