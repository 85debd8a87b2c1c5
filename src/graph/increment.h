/* SPDX-License-Identifier: Apache-2.0 */
/* Scores of an image of which small rectangles were replaced, by recomputing only what those rectangles reach. One base
 * run is kept; per position every layer holds a window of new values over it. The part of the graph in which changes
 * stay local (the head) runs on windows, what follows (the tail: global pooling, flattening, attention …) as always. */
#ifndef PENUMBRA_GRAPH_INCREMENT_H
#define PENUMBRA_GRAPH_INCREMENT_H

#include "graph/graph.h"
#include "graph/window.h"
#include "tensor/compute.h"

struct increment;

struct change {
  struct rect rect;     /* of the image */
  const float *content; /* [height, width, channels] of the rectangle */
};

struct increment_options {
  int height, width;         /* the largest rectangle a change may have, px */
  int batch;                 /* changes a call takes at most */
  int bases;                 /* 1: all changes are of one base; batch: change i is of base i, for increment_step */
  const struct value *layer; /* of the graph: its activations are wanted too, or NULL */
};

/* Multiply-accumulates of one change, averaged over all places, as a share of a full run: the deterministic measure by
 * which windows are chosen or not. 1 where nothing is local. */
bool increment_share(const struct graph *graph, const struct increment_options *options, double *share,
                     struct error *err);

/* For a fused graph of one image, which must outlive it, as must the compute engine. */
struct increment *increment_new(const struct graph *graph, struct compute *compute,
                                const struct increment_options *options, struct error *err);
void increment_free(struct increment *increment);
size_t increment_bytes(const struct increment *increment); /* memory it holds beyond the model's weights */

/* Run the whole graph on a base image [height, width, channels]; base 0 unless there are several. */
bool increment_base(struct increment *increment, int base, const float *image, struct error *err);
/* Make base `to` what base `from` is now. */
void increment_copy_base(struct increment *increment, int from, int to);

/* raw [n, outputs] for n changes of the base, each on its own; layer [n, h, w, c] or NULL. */
bool increment_run(struct increment *increment, const struct change *changes, int n, float *raw, float *layer,
                   struct error *err);
/* The same, after which base i is what change i made of it: sequences run in lockstep. Windows are recomputed, not
 * added up, so that nothing drifts. A change may be empty. */
bool increment_step(struct increment *increment, const struct change *changes, int n, float *raw, struct error *err);

#endif
