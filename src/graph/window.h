/* SPDX-License-Identifier: Apache-2.0 */
/* The geometry of local changes: which rectangle of a feature map differs when a rectangle of the image does.
 *
 *   image        first layer      second layer
 *   . . . . .    . . . . . .      . . . . . . .
 *   . # # . .    . + + + + .      + + + + + + .      # changed   + recomputed   . read from the base run
 *   . # # . .    . + # # + .      + + # # + + .
 *   . . . . .    . + + + + .      + + + + + + .
 *
 * Krypton (Nakandala, Kumar, Papakonstantinou, SIGMOD 2019) computes so with one window size a layer; here windows are
 * tight, clipped at the edges per position, and joined by their bounding box. */
#ifndef PENUMBRA_GRAPH_WINDOW_H
#define PENUMBRA_GRAPH_WINDOW_H

#include "graph/graph.h"
#include "ops/op.h"

struct rect {
  int y0, x0, y1, x1; /* rows [y0, y1), columns [x0, x1); empty when y1 <= y0 */
};

static inline bool rect_empty(const struct rect *r)
{
  return r->y1 <= r->y0 || r->x1 <= r->x0;
}
static inline int64_t rect_area(const struct rect *r)
{
  return rect_empty(r) ? 0 : (int64_t)(r->y1 - r->y0) * (r->x1 - r->x0);
}
bool rect_within(const struct rect *inner, const struct rect *outer);
struct rect rect_union(const struct rect *a, const struct rect *b);

/* The rule of a node in this graph: WINDOW_SPREADS unless its output and all inputs that vary are channels-last images.
 */
struct window_rule window_rule_of(const struct node *node);

/* Outputs along axis `a` that depend on inputs [from, to): tight, clipped to the map; empty if from >= to. */
void window_outputs(const struct spatial *space, int a, int from, int to, int *out_from, int *out_to);
/* Inputs that outputs [from, to) read; may leave the map by the pads. */
void window_inputs(const struct spatial *space, int a, int from, int to, int *in_from, int *in_to);

/* Share of a kernel's taps that fall on the map rather than on padding, over the whole map: what a full run really
 * costs. */
double window_real_share(const struct spatial *space);

/* A value [height, width, channels] as a run with local changes sees it: the base, and over it a dense piece. */
struct layer_view {
  const unsigned char *base;
  int height, width, channels;
  size_t pixel; /* bytes of one pixel, all channels */
};
struct window {
  struct rect tight; /* where values may differ from the base; within `held`, or empty */
  struct rect held;  /* what `data` holds: [held height, held width, channels] */
  unsigned char *data;
};

/* Dense copy of rectangle `want` (which may leave the map: zeros there) of base and window, `pitch` bytes a pixel. */
void window_gather(const struct layer_view *view, const struct window *window, const struct rect *want,
                   unsigned char *to, size_t pitch);

#endif
