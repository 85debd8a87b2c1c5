/* SPDX-License-Identifier: Apache-2.0 */
/* The reverse sweep: from a signal at one value of a graph (scores, or a layer) to the signal of another (the image, or
 * a layer), by the derivative or by one of the rules for rectifiers (see enum rule). Only gradients with respect to
 * data exist here, none with respect to weights. */
#ifndef PENUMBRA_GRAPH_GRAD_H
#define PENUMBRA_GRAPH_GRAD_H

#include "graph/graph.h"
#include "graph/run.h"
#include "ops/op.h"
#include "tensor/compute.h"

struct grad_options {
  const struct value *from; /* where the signal starts */
  const struct value *to;   /* where it is wanted */
  enum rule rule;
  struct value *const *keep; /* further values to be read after the forward run */
  int n_keep;
};

struct grad;

/* A forward run of n samples with a sweep back, on a graph fused with FUSE_REVERSIBLE in which `from` and `to` stayed
 * visible. Activations are kept only where a derivative reads them. An operator on the way without a derivative, or
 * without one by this rule, is an error that names it. */
struct grad *grad_new(const struct graph *graph, struct compute *compute, int64_t n, const struct grad_options *options,
                      struct error *err);
void grad_free(struct grad *grad);

size_t grad_bytes(const struct grad *grad); /* memory it needs while it runs */
/* Give it that memory (MEM_ALIGN-aligned), as run_bind. */
void grad_bind(struct grad *grad, void *memory);

/* In this order: fill the inputs of the forward run and execute it, fill the seed, execute the sweep, read the result.
 */
struct run *grad_run(const struct grad *grad);
float *grad_seed(struct grad *grad); /* n blocks, laid out like `from` */
bool grad_execute(struct grad *grad, struct error *err);
const float *grad_result(const struct grad *grad); /* n blocks, laid out like `to` */

/* What lies on the way. */
struct grad_path {
  int rectifiers;         /* Relu and Clip nodes, fused ones included */
  int activations;        /* other activations, which the rules treat as rectifiers */
  const char *activation; /* the operator of one of them, or NULL */
  bool straight;          /* quantisation is passed as if it did not round */
};
struct grad_path grad_path(const struct grad *grad);

/* Bytes a sample needs, without kernels' scratch. */
bool grad_bytes_per_sample(const struct graph *graph, const struct grad_options *options, size_t *bytes,
                           struct error *err);

#endif
