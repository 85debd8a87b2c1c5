/* SPDX-License-Identifier: Apache-2.0 */
/* One node of the head on windows: what increment.c strings together. Internal to the two. */
#ifndef PENUMBRA_GRAPH_STAGE_H
#define PENUMBRA_GRAPH_STAGE_H

#include "graph/increment.h"
#include "graph/locality.h"
#include "graph/run.h"

enum {
  MAX_TOPS = 3,   /* size classes an axis */
  ROW_CHUNKS = 4, /* how many rows of pixels a kernel of a point-wise node takes */
  TAIL_LOG2 = 6,  /* the tail runs on up to 64 samples at once, or 32 where more are no faster */
};

struct window_kernel {
  struct window_kernel *next;
  int h, w, n; /* windows of h x w, n at once; h = 0: whole maps, padded */
  struct kernel *kernel;
};

struct joined;
struct segment;

struct stage {
  const struct node *node;
  struct value *const *in; /* what it reads but for the residual: of the node, or of what it takes over */
  int n_in;
  struct joined *joined; /* a 1x1 convolution that gathers its input block by block, or NULL */
  struct window_rule rule;
  double real_share;                 /* of a full convolution's nominal work */
  int step;                          /* windows of a convolution begin at multiples of it */
  int tops[2][MAX_TOPS], n_tops[2];  /* size classes of a convolution's windows, ascending */
  struct window_kernel *kernels;     /* convolutions over windows */
  struct kernel *rows[ROW_CHUNKS];   /* 1x1 convolutions over rows of pixels */
  struct node *pixel;                /* element-wise nodes: the same on one pixel */
  void *pixel_state[ROW_CHUNKS];
};

struct increment {
  const struct graph *graph;
  struct compute *compute;
  struct increment_options options;
  struct arena *arena;
  struct layer *layers; /* per value id */
  struct stage *stages;
  int n_stages;
  struct run *base;             /* one sample, head values kept */
  void *base_memory;            /* options.bases copies of what that run computes */
  size_t base_bytes, base_step; /* in all; from one copy to the next, 0 where all positions share one */
  unsigned char *memory;        /* windows, then gathered inputs */
  size_t memory_bytes, gather_offset, gather_bytes;
  void *scratch; /* of kernels */
  size_t scratch_bytes;
  struct graph *tail;
  bool tail_streams; /* reads weights that are used but once a sample */
  struct run *tail_runs[TAIL_LOG2 + 1];
  void *tail_memory;
  size_t tail_bytes;
  int *bucket, *list;       /* [batch] each: work space of one stage */
  struct segment *segments; /* likewise */
  size_t most_segments;
};

/* The layer that holds a value: its own, or that of the value it is a view of. */
static inline struct layer *layer_of(const struct increment *inc, const struct value *value)
{
  struct layer *layer = &inc->layers[value->id];
  return layer->alias >= 0 ? &inc->layers[layer->alias] : layer;
}

static inline int64_t area_of_bound(const struct layer *layer)
{
  return (int64_t)layer->bound[0] * layer->bound[1];
}

/* A layer as position p sees it: where every position has a base of its own, that one. */
static inline struct layer_view view_at(const struct increment *inc, const struct layer *layer, int p)
{
  struct layer_view view = layer->view;
  view.base += (size_t)p * inc->base_step;
  return view;
}

bool stage_make(struct stage *stage, const struct node *node, struct increment *inc, struct error *err);
void stage_release(struct stage *stage);

/* A window of this area at least as dear as the whole map, which skips the taps on its padding. */
bool stage_prefers_whole(const struct stage *stage, const struct layer_view *out, double area);

/* Bytes of `count` pixels, with room for the rows a kernel may run over the end. */
size_t stage_pixel_bytes(int64_t count, size_t pixel);
/* Memory for what the stage gathers, for all positions of a batch or for one chunk of windows. */
size_t stage_gather_bytes(const struct increment *inc, const struct stage *stage);

/* Lay the windows `held` of the listed positions one after the other in the layer's memory. */
void stage_lay_out(const struct increment *inc, struct layer *out, const int *list, int n);

/* A convolution over stage_row_chunk[r] pixels. */
extern const int stage_row_chunk[ROW_CHUNKS];
struct kernel *stage_row_kernel(struct increment *inc, struct stage *stage, int r, struct error *err);

/* Scratch memory for kernels, at least this much; contents are lost when it grows. */
bool stage_need_scratch(struct increment *inc, size_t scratch, struct error *err);

/* Windows of the node's output as tight as its inputs', laid out; the positions that changed to inc->list. How many. */
int stage_take_tight(struct increment *inc, struct stage *stage, int n);
/* The residual of the listed positions' windows to where a convolution adds to it. */
void stage_gather_residual(const struct increment *inc, const struct stage *stage, int listed);

/* The changes as the windows of the input: where increment_run begins. */
void increment_place(struct increment *inc, const struct change *changes, int n);

/* The node's windows for positions 0..n-1, from those of its inputs. */
bool stage_run(struct increment *inc, struct stage *stage, int n, struct error *err);

#endif
