/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator is. Every family is one file: a table of `struct op`, registered by one line in ops.def. */
#ifndef PENUMBRA_OPS_OP_H
#define PENUMBRA_OPS_OP_H

#include "ops/node.h"
#include "ops/spatial.h"
#include "tensor/compute.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stdint.h>

/* One execution of a node on n samples. Pointers (64-byte aligned, constants 16-byte) never overlap, except that out[0]
 * of an OP_INPLACE operator may be in[0]. Absent optional inputs and outputs are NULL. Constant inputs are passed like
 * the others, but hold one block for all samples: in_batched tells. */
struct call {
  const struct node *node;
  int64_t n; /* samples, >= 1 */
  const void *const *in;
  const bool *in_batched; /* in[i] holds n blocks (false: one, shared) */
  void *const *out;       /* n blocks each; when all inputs are constants n is 1 */
  const void *residual;   /* node->residual, n blocks, or NULL; may be out[0] itself */
  void *state;            /* from prepare, or NULL */
  void *scratch;          /* 64-byte aligned, as many bytes as prepare asked for */
  struct compute *compute;
};

/* What prepare fills in for one node at one batch size. */
struct prepared {
  void *state;    /* released by op->release */
  size_t scratch; /* bytes */
};

/* How a signal passes a rectifier on its way back: the derivative; the derivative, and only where the signal is
 * positive (Springenberg et al., "Striving for simplicity", 2015); wherever the signal is positive (Zeiler & Fergus,
 * "Visualizing and understanding convolutional networks", 2014). Under the last two other activations are rectifiers
 * too, and factors and divisors that are computed from the image are taken as constants. */
enum rule { RULE_GRADIENT, RULE_GUIDED, RULE_DECONV };

/* One reverse execution of a node on n samples. Signals are n dense blocks each, laid out like the value they belong
 * to: float32, or bfloat16 where that value is, which only operators with BACKWARD_BF16 meet. What is fused into the
 * node (residual, post) has been dealt with, but see BACKWARD_POST; scale and shift have not. */
struct reverse {
  const struct node *node;
  int64_t n;
  enum rule rule;
  const void *const *in; /* as forward left them; NULL where the operator does not keep them. Constants always */
  const bool *in_batched;
  const void *const *out;   /* likewise */
  const float *const *from; /* signal of out[i]; NULL: none */
  float *const *to;         /* signal of in[i], to be written; NULL: not wanted. Overlaps no other but as flags say */
  const bool *add;          /* BACKWARD_ADDS: to[i] holds a signal that is to be added to */
  bool posts;               /* BACKWARD_POST: the fused Relu is still to be dealt with */
  void *state;              /* from prepare, or NULL */
  void *scratch;            /* 64-byte aligned */
  struct compute *compute;
};

enum backward_flags {
  BACKWARD_ADDS = 1,       /* honours add; the others get memory of their own, and the sweep adds */
  BACKWARD_INPLACE = 2,    /* to[0] may be from[0] where it is the only signal wanted */
  BACKWARD_PASSES = 4,     /* to[i] of an input of the result's shape and layout may be from[0]: nothing to do */
  BACKWARD_RECTIFIES = 8,  /* a rectifier: rules other than the gradient's are defined for it */
  BACKWARD_ACTIVATES = 16, /* another activation, which those rules treat as a rectifier */
  BACKWARD_STRAIGHT = 32,  /* the derivative is that of a staircase's slope (quantisation) */
  BACKWARD_BF16 = 64,      /* goes back through bfloat16 values; inputs and outputs are of one type, but Convert's */
  BACKWARD_POST = 128,     /* deals with a fused Relu itself, by the gradient's rule: out[0] is there */
};

#define BACKWARD_IN(i) (1u << (i))
#define BACKWARD_OUT   (1u << 31)
#define BACKWARD_INS   (BACKWARD_OUT - 1)

/* The way back through an operator. */
struct backward {
  unsigned flags;
  unsigned (*flags_of)(const struct node *node, enum rule rule); /* further flags, where they depend on the node */
  unsigned keeps;                                                /* values it reads: BACKWARD_IN(i), BACKWARD_OUT */
  /* Where it depends on the node: what it keeps, when the signals of the inputs in `wanted` are wanted. */
  unsigned (*keeps_of)(const struct node *node, enum rule rule, unsigned wanted);
  /* Inputs that receive a signal under this rule; NULL: all real ones that vary. An error where the rule is not
   * defined for this node, or a signal cannot be told. */
  bool (*sends)(const struct node *node, enum rule rule, unsigned *inputs, struct error *err);
  bool (*prepare)(const struct node *node, int64_t n, struct compute *compute, struct prepared *out, struct error *err);
  void (*release)(void *state);
  bool (*run)(const struct reverse *reverse, struct error *err);
};

enum op_layout {
  OP_ANY,           /* reads its inputs through tensor_strides or does not care */
  OP_PLAIN,         /* wants every rank-4 input row-major: the graph inserts a change of layout where it is not */
  OP_CHANNELS_LAST, /* wants in[0] of rank 4 in channels-last */
};

enum op_flags {
  OP_VIEW = 1,       /* out[0] is in[0]'s bytes under another description: no work, shared storage */
  OP_INPLACE = 2,    /* out[0] may share in[0]'s storage when shapes, dtypes and layouts agree */
  OP_FUSES = 4,      /* honours node->scale, shift, residual and post */
  OP_WEIGHTS = 8,    /* in[1] constant is packed by prepare, and may be unaligned */
  OP_BF16 = 32,      /* runs on bfloat16 inputs and outputs, by the dtype of its values (matmul: constant weights) */
  OP_POINTWISE = 16, /* output element i depends on element i of the (broadcast) inputs alone */
};

/* How a change inside a rectangle of an image spreads to the output (exact rules: docs/design/incremental.md). */
enum window_kind {
  WINDOW_SPREADS, /* everywhere: from here on the whole map is computed */
  WINDOW_POINT,   /* to the same pixels */
  WINDOW_SLIDE,   /* to every output whose window meets it */
  WINDOW_JOIN,    /* channels of several images side by side: to the same pixels */
};
struct window_rule {
  enum window_kind kind;
  struct spatial space; /* WINDOW_SLIDE */
};

struct op {
  const char *type;   /* ONNX name */
  int since, until;   /* opset range, inclusive; until 0: no end */
  int min_in, max_in; /* max_in -1: any number; the first min_in inputs and out[0] are present (graph_build checks) */
  int max_out;
  enum op_layout layout;
  unsigned flags;
  /* Read attributes and constant inputs into node->params, set shape, dtype and layout of the outputs from those of the
   * inputs (all final), reject what is not supported by a sentence that says what. Where the result follows from
   * descriptions alone (Shape, Size) it also sets out[0]->t.data, in the arena: a constant, and nothing to run. */
  bool (*shape)(struct node *node, struct arena *arena, struct error *err);
  /* Create what running at batch n needs (primitives, packed weights); NULL: nothing. */
  bool (*prepare)(const struct node *node, int64_t n, struct compute *compute, struct prepared *out, struct error *err);
  void (*release)(void *state);
  bool (*forward)(const struct call *call, struct error *err);
  /* True where this node is a view in its present shape and layout, for operators that only sometimes are. */
  bool (*is_view)(const struct node *node);
  int64_t (*macs)(const struct node *node);
  /* OP_FUSES: whether this node does, where it depends; NULL: always. */
  bool (*fuses)(const struct node *node);
  /* How changes spread through a node whose varying inputs and output are channels-last images; NULL: OP_POINTWISE
   * operators WINDOW_POINT, the others WINDOW_SPREADS. */
  struct window_rule (*window)(const struct node *node);
  const char *domain;              /* NULL: ai.onnx; "penumbra": made by the graph, in no file */
  const struct backward *backward; /* NULL: no derivative */
};

/* The operator for a node's type, domain and opset, or NULL. */
const struct op *op_find(const char *domain, const char *type, int opset);

/* A family: its table ends with an entry whose type is NULL. Listed in ops.def as OP_FAMILY(name): op_family_name. */
#define OP_TABLE(family) const struct op op_family_##family[]

#endif
