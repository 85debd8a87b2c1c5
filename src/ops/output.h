/* SPDX-License-Identifier: Apache-2.0 */
/* What the shape() functions of all families share: describing outputs, reading axes, checking inputs. */
#ifndef PENUMBRA_OPS_OUTPUT_H
#define PENUMBRA_OPS_OUTPUT_H

#include "base/error.h"
#include "ops/node.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stdint.h>

/* Elements an output may have per sample. A file of a hundred bytes can ask for any number. */
#define OUTPUT_MAX_COUNT ((int64_t)1 << 31)

/* ONNX element types that operators ask about (TensorProto.DataType). */
enum {
  ELEMENT_FLOAT = 1, ELEMENT_UINT8 = 2, ELEMENT_INT8 = 3, ELEMENT_UINT16 = 4, ELEMENT_INT16 = 5, ELEMENT_INT32 = 6,
  ELEMENT_INT64 = 7, ELEMENT_STRING = 8, ELEMENT_BOOL = 9, ELEMENT_FLOAT16 = 10, ELEMENT_DOUBLE = 11,
  ELEMENT_UINT32 = 12, ELEMENT_UINT64 = 13, ELEMENT_BFLOAT16 = 16, ELEMENT_UINT4 = 21, ELEMENT_INT4 = 22,
};

/* Describe output i (nothing where it is absent); an error where it would exceed OUTPUT_MAX_COUNT elements. The element
 * type of the file is taken over from in[0] where that has the same dtype. */
bool output_set(struct node *node, int i, enum dtype dtype, const struct shape *shape, enum layout layout,
                struct error *err);
/* out[0] has shape and layout of in[0]. */
bool output_like(struct node *node, int i, enum dtype dtype, struct error *err);
/* The result of broadcasting inputs first to last - 1; channels-last where a rank-4 input that varies is. */
bool output_broadcast(struct node *node, enum dtype dtype, int first, int last, struct error *err);

/* What an ONNX element type is held as; false where it is not supported (texts, complex numbers). */
bool element_dtype(int element, enum dtype *dtype);
/* Range of the integers of an ONNX element type; false where it is no integer type of up to 32 bits. */
bool element_range(int element, int64_t *low, int64_t *high);

/* Error unless input i has this dtype. */
bool input_is(const struct node *node, int i, enum dtype dtype, struct error *err);
/* "input 2" has shape `text`: for messages. */
#define INPUT_SHAPE(node, i) shape_text(&(node)->in[i]->t.shape, (char[96]){0}, 96)

/* An axis in [-rank, rank) as 0..rank-1. */
bool axis_normal(const struct node *node, int64_t axis, int rank, int *out, struct error *err);
/* The attribute "axis". */
bool axis_read(const struct node *node, int64_t fallback, int rank, int *out, struct error *err);
/* Axes from constant input i or, where that is absent, from the attribute "axes", as a bit mask of 0..rank-1; an axis
 * twice is an error. *given tells whether there were any. */
bool axes_read(const struct node *node, int i, int rank, unsigned *mask, bool *given, struct error *err);

/* Parameters of a node, zeroed, in its arena. NULL with an error set when memory is out. */
void *params_new(struct node *node, struct arena *arena, size_t bytes, struct error *err);

#endif
