/* SPDX-License-Identifier: Apache-2.0 */
/* Values and nodes: what a graph is made of. All of it lives in the graph's arena. */
#ifndef PENUMBRA_OPS_NODE_H
#define PENUMBRA_OPS_NODE_H

#include "base/error.h"
#include "base/mem.h"
#include "tensor/compute.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct op;

enum attr_type { ATTR_INT, ATTR_FLOAT, ATTR_STRING, ATTR_TENSOR, ATTR_INTS, ATTR_FLOATS, ATTR_STRINGS, ATTR_OTHER };

struct attr {
  const char *name;
  enum attr_type type;
  int64_t i;
  float f;
  const char *s; /* NUL-terminated copy */
  struct tensor tensor;
  const int64_t *ints;
  const float *floats;
  const char *const *strings;
  size_t count; /* of ints, floats or strings */
};

struct value {
  const char *name;      /* never NULL; may be empty */
  int id;                /* index in graph->values */
  struct tensor t;       /* data != NULL: a constant. F32 data of a big initialiser may be unaligned until built */
  struct node *producer; /* NULL: graph input or constant */
  int uses;              /* node inputs that read it, plus 1 if it is a graph output; kept by graph_count_uses */
};

struct node {
  const struct op *op; /* resolved by graph_build */
  const char *name;    /* "" where the file gives none; layer names shown to users are the output's */
  const char *type;    /* ONNX operator, e.g. "Conv" */
  const char *domain;  /* "" for ai.onnx */
  int opset;           /* version of that domain in the file */
  struct value **in;   /* n_in entries, NULL where an optional input is absent */
  int n_in;
  struct value **out; /* n_out entries, NULL where an optional output is absent */
  int n_out;
  const struct attr *attrs;
  int n_attrs;
  void *params; /* what the operator's shape() read from attributes and constant inputs; arena memory */

  /* What fusion has folded into this node, applied in this order: out = post(op(in) * scale + shift + residual).
   * A convolution's bias is its shift from the start. */
  const float *scale, *shift; /* per output channel, NULL: none; only into operators with OP_FUSES */
  struct value *residual;     /* same shape and layout as out[0], or NULL */
  struct post post[MAX_POST];
  int n_post;
  struct weights *weights; /* the packed forms of in[1] of an operator with OP_WEIGHTS; owned by the graph */
};

/* Look up an attribute; NULL when absent. */
const struct attr *node_attr(const struct node *node, const char *name);
/* Typed look-ups with a default; a wrong type is an error naming node and attribute. */
bool node_int(const struct node *node, const char *name, int64_t fallback, int64_t *out, struct error *err);
bool node_float(const struct node *node, const char *name, double fallback, double *out, struct error *err);
bool node_string(const struct node *node, const char *name, const char *fallback, const char **out, struct error *err);
/* Array of integers: *count = 0 when absent; more than `max` is an error. */
bool node_ints(const struct node *node, const char *name, int64_t *out, int max, int *count, struct error *err);

/* Error about a node: "Conv 'layer1/conv' (opset 13): …". Returns false. */
bool node_error(const struct node *node, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* True when input i is present. */
static inline bool node_has(const struct node *node, int i)
{
  return i < node->n_in && node->in[i];
}
/* Input i as int64 constants (shapes, axes, pads); error when it is not a constant of integers or longer than max. */
bool node_const_ints(const struct node *node, int i, int64_t *out, int max, int *count, struct error *err);

/* Multiply-accumulates of a node for one sample (convolutions, matrix products; 0 for the others). */
int64_t node_macs(const struct node *node);

#endif
