/* SPDX-License-Identifier: Apache-2.0 */
/* A classifier as a list of nodes in execution order. The graph is written for one sample; running it on N maps every
 * node over the batch (see tensor.h), so a model exported with batch 1 runs at any batch and a permutation may even
 * move the batch axis. What does not depend on the input is folded to constants when the graph is built: every value
 * that is left without data varies with the sample. */
#ifndef PENUMBRA_GRAPH_GRAPH_H
#define PENUMBRA_GRAPH_GRAPH_H

#include "base/error.h"
#include "base/files.h"
#include "base/mem.h"
#include "ops/node.h"
#include "tensor/tensor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct graph {
  struct arena *arena; /* owns values, nodes, names and constants */
  struct value **values;
  int n_values, cap_values;
  struct node **nodes; /* after graph_build: in execution order */
  int n_nodes, cap_nodes;
  struct value **inputs; /* what a run is fed, shapes of one sample; a classifier has one, the image */
  int n_inputs;
  struct value **outputs; /* as in the file */
  int n_outputs;
  bool borrowed;                /* made by graph_fused: weights belong to another graph */
  const struct file_map *files; /* mappings that constants may point into; in the arena */
  int n_files;
  int64_t max_constant_bytes; /* ceiling on what folding may create, 0: 1 GiB */
};

/* Empty graph. Everything added lives in its arena. */
struct graph *graph_new(void);
void graph_free(struct graph *graph);

/* A value without data or producer; NULL when memory is out. The name is copied. */
struct value *graph_value(struct graph *graph, const char *name);
/* A constant with zeroed, owned data of that shape. */
struct value *graph_constant(struct graph *graph, const char *name, enum dtype dtype, const struct shape *shape);
/* A node with room for inputs and outputs (all NULL), appended; type, domain and name are copied. */
struct node *graph_node(struct graph *graph, const char *type, const char *name, int n_in, int n_out);
bool graph_input(struct graph *graph, struct value *value);
bool graph_output(struct graph *graph, struct value *value);

/* Sort into execution order, resolve operators (all unsupported ones are listed at once), infer shapes and layouts,
 * insert layout changes, fold constants and drop what no output needs. Declare inputs (with the shape of
 * one sample) and outputs before. */
bool graph_build(struct graph *graph, struct error *err);

/* Fold what is linear, in place and for good: batch norms and per-channel factors and offsets into the convolution or
 * matrix product before them, identities away; then make the packed weights' homes. Outputs keep their meaning. */
bool graph_simplify(struct graph *graph, struct error *err);

/* The same nodes and values (ids kept) over the same constants, parameters and packed weights, which it borrows: free
 * it first. */
struct graph *graph_copy(const struct graph *graph, struct error *err);

/* Which functions may be fused into what computes their argument: any, or those whose derivative follows from the
 * result alone (for gradients). */
enum fusion { FUSE_ALL, FUSE_REVERSIBLE };
/* A copy of a simplified graph with activations and residual sums fused; values keep their ids. Values in `keep` (of
 * `graph`) stay visible. The copy borrows constants, parameters and weights: free it first. */
struct graph *graph_fused(const struct graph *graph, enum fusion fusion, struct value *const *keep, int n_keep,
                          struct error *err);
/* What is left of a fused graph when the values marked `known` (per id) are given: a graph whose inputs are those of
 * them that the rest, or the outputs, read. Values keep their ids; it borrows like graph_fused. */
struct graph *graph_rest(const struct graph *graph, const bool *known, struct error *err);
/* A home for the packed forms of every constant weight; part of graph_simplify, for those who skip that. */
bool graph_make_weights(struct graph *graph, struct error *err);
void graph_count_uses(struct graph *graph);
/* Remove nodes whose outputs nobody reads. */
void graph_prune(struct graph *graph);

#endif
