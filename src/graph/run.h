/* SPDX-License-Identifier: Apache-2.0 */
/* Running a graph at one batch size: kernels and memory are made once, a run allocates nothing. */
#ifndef PENUMBRA_GRAPH_RUN_H
#define PENUMBRA_GRAPH_RUN_H

#include "graph/graph.h"
#include "tensor/compute.h"

/* Kernels and offsets for n samples of a built graph. `keep`: values to be read after a run, besides the outputs;
 * `keep_all`: every value can be read. The graph and the compute engine must outlive the run. */
struct run;
struct run *run_new(const struct graph *graph, struct compute *compute, int64_t n, struct value *const *keep,
                    int n_keep, bool keep_all, struct error *err);
void run_free(struct run *run);

size_t run_bytes(const struct run *run); /* memory it needs while it runs */
/* Give it that memory (MEM_ALIGN-aligned). Several runs may use the same in turn; contents do not survive that. */
void run_bind(struct run *run, void *memory);

/* n blocks to be filled with input i before run_execute, in the input's layout. */
void *run_input(struct run *run, int i);
bool run_execute(struct run *run, struct error *err);
/* The same one step at a time, in order: how many there are, what each does, do it. */
int run_steps(const struct run *run);
const struct node *run_node(const struct run *run, int i);
bool run_step(struct run *run, int i, struct error *err);
/* n blocks of an output or kept value (one block where it is constant), in its layout. */
const void *run_value(const struct run *run, const struct value *value);

/* Bytes a sample needs in a run, without kernels' scratch. */
bool run_bytes_per_sample(const struct graph *graph, struct value *const *keep, int n_keep, bool keep_all,
                          size_t *bytes, struct error *err);

/* The power of two, at most `most`, at which a sample costs least: larger runs share the reading of weights, smaller
 * ones keep activations in the cache. Follows from the graph alone. */
int64_t run_best_batch(const struct graph *graph, int64_t most);

/* Run one node all of whose inputs are constants; its outputs' data must be allocated. */
bool node_evaluate(struct node *node, struct error *err);

#endif
