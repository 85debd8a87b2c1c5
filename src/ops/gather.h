/* SPDX-License-Identifier: Apache-2.0 */
/* What moving elements by index and its way back share. */
#ifndef PENUMBRA_OPS_GATHER_H
#define PENUMBRA_OPS_GATHER_H

#include "ops/op.h"

struct gather {
  int axis;
  int64_t outer, picked, inner; /* picked: number of indices */
};

enum scatter { SCATTER_NONE, SCATTER_ADD, SCATTER_MUL, SCATTER_MAX, SCATTER_MIN };

struct scatter_params {
  int axis;
  enum scatter how;
};

struct nd {
  int batch, depth;      /* leading axes shared with the indices; indices per row */
  int64_t batches, rows; /* rows of indices in a batch */
  int64_t slice, step;   /* elements of a slice; of a batch of the data */
  enum scatter how;
};

struct compress {
  int64_t outer, dim, inner, picked;
};

static inline int64_t wrapped(int64_t index, int64_t dim)
{
  return index < 0 ? index + dim : index;
}

/* Place in the data that element k of the indices stands for, without its axis. */
static inline int64_t gather_place(const struct tensor *index, const int64_t *stride, int axis, int64_t k)
{
  int64_t place = 0;
  for (int d = index->shape.rank - 1; d >= 0; d--) {
    if (d != axis)
      place += k % index->shape.dim[d] * stride[d];
    k /= index->shape.dim[d];
  }
  return place;
}

/* Where a row of indices points, in elements; -1 where it points outside. */
static inline int64_t gather_nd_place(const struct nd *nd, const struct shape *data, const int64_t *row)
{
  int64_t place = 0;
  for (int d = 0; d < nd->depth; d++) {
    int64_t dim = data->dim[nd->batch + d], i = wrapped(row[d], dim);
    if (i < 0 || i >= dim)
      return -1;
    place = place * dim + i;
  }
  return place * nd->slice;
}

extern const struct backward backward_gather, backward_gather_elements, backward_scatter_elements, backward_gather_nd,
    backward_scatter_nd, backward_compress;

#endif
