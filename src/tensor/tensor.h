/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes and dense tensors of ONE sample. A batch is N such blocks one after the other (the graph is written for one
 * sample and mapped over the batch), so no shape here ever holds the batch size. */
#ifndef PENUMBRA_TENSOR_TENSOR_H
#define PENUMBRA_TENSOR_TENSOR_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TENSOR_MAX_RANK 8

struct shape {
  int rank;
  int64_t dim[TENSOR_MAX_RANK];
};

/* What a file holds as half, bfloat16 or double becomes F32, and every integer and truth value I64, at the door. */
/* BF16 is how a run may store activations; no file and no operator but those that say so sees it. */
enum dtype { DTYPE_F32, DTYPE_I64, DTYPE_BF16 };

/* How the logical [N,C,H,W] of a rank-4 tensor lies in memory. */
enum layout {
  LAYOUT_PLAIN,         /* row-major in the logical order */
  LAYOUT_CHANNELS_LAST, /* rank 4 only: N,H,W,C */
};

struct tensor {
  struct shape shape; /* logical */
  enum dtype dtype;
  enum layout layout;
  void *data;         /* dense, or NULL where only the description matters */
  int element;        /* element type in the file (ONNX TensorProto.DataType), 0: not known. Only operators whose
                       * result depends on it ask: quantisation, casts */
};

struct shape shape_of(int rank, const int64_t *dim);
bool shape_equal(const struct shape *a, const struct shape *b);
/* Elements; -1 when a dimension is negative or the product exceeds 2^40. */
int64_t shape_count(const struct shape *shape);
/* Product of dim[from..to). */
int64_t shape_product(const struct shape *shape, int from, int to);
/* NumPy broadcasting of two shapes; false if they do not fit. */
bool shape_broadcast(const struct shape *a, const struct shape *b, struct shape *out);
/* "1x3x224x224", or "scalar", into a buffer of the caller; returns it. 96 bytes hold every shape that shape_count
 * accepts with no dimension 0; what does not fit is cut. */
char *shape_text(const struct shape *shape, char *buffer, size_t size);

size_t dtype_size(enum dtype dtype);
/* Elements and bytes; -1 and SIZE_MAX where shape_count is -1. */
int64_t tensor_count(const struct tensor *tensor);
size_t tensor_bytes(const struct tensor *tensor);

/* Elements between neighbours along each logical dimension, as they lie in memory. */
void tensor_strides(const struct tensor *tensor, int64_t stride[TENSOR_MAX_RANK]);

/* True where the two layouts of a tensor are the same bytes (no spatial extent, or one channel). */
bool layout_same_bytes(const struct shape *shape);

#endif
