/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an ONNX model that is built, simplified, fused and, where it is small, run on two samples. */
#include "graph/run.h"
#include "onnx/load.h"
#include "proto_mutator.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPEN_SIZE = 8, MOST_BYTES = 4 << 20, MOST_MACS = 4 << 20 };

/* As the model layer does: open dimensions get a size. False for inputs that are too large to be run here. */
static bool close_shapes(struct graph *graph)
{
  int64_t elements = 0;
  for (int i = 0; i < graph->n_inputs; i++) {
    struct shape *shape = &graph->inputs[i]->t.shape;
    for (int d = 0; d < shape->rank; d++)
      shape->dim[d] = shape->dim[d] ? shape->dim[d] : OPEN_SIZE;
    int64_t count = shape_count(shape);
    if (count < 0 || count > MOST_BYTES / 8)
      return false;
    elements += count;
  }
  return elements <= MOST_BYTES / 8;
}

static void fill_inputs(struct run *run, const struct graph *graph, int64_t samples)
{
  for (int i = 0; i < graph->n_inputs; i++) {
    const struct tensor *t = &graph->inputs[i]->t;
    int64_t count = tensor_count(t) * samples;
    float *f = run_input(run, i);
    int64_t *n = run_input(run, i);
    for (int64_t k = 0; k < count; k++) {
      if (t->dtype == DTYPE_F32)
        f[k] = (float)(k % 7) - 3;
      else
        n[k] = k % 5 - 2;
    }
  }
}

static void run_graph(const struct graph *graph, struct compute *compute)
{
  struct error err = {0};
  size_t bytes;
  int64_t macs = 0;
  for (int i = 0; i < graph->n_nodes; i++) {
    int64_t own = node_macs(graph->nodes[i]);
    if (own < 0 || own > MOST_MACS || (macs += own) > MOST_MACS)
      return;
  }
  if (!run_bytes_per_sample(graph, NULL, 0, false, &bytes, &err) || bytes > MOST_BYTES)
    return;
  struct run *run = run_new(graph, compute, 2, NULL, 0, false, &err);
  void *memory = run ? mem_map(run_bytes(run) + 1) : NULL;
  if (memory) {
    run_bind(run, memory);
    fill_inputs(run, graph, 2);
    if (run_execute(run, &err)) {
      for (int i = 0; i < graph->n_outputs; i++) {
        if (!run_value(run, graph->outputs[i]))
          abort();
      }
    }
    mem_unmap(memory, run_bytes(run) + 1);
  }
  if (!run && err.code == ERROR_NONE)
    abort();
  run_free(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static struct compute *compute;
  struct onnx_model model;
  struct error err = {0};
  if (!compute && !(compute = compute_open(&err)))
    abort();
  if (!onnx_load_bytes(data, size, &model, &err))
    return 0;
  struct graph *graph = model.graph;
  graph->max_constant_bytes = MOST_BYTES;
  if (close_shapes(graph) && graph_build(graph, &err) && graph_simplify(graph, &err)) {
    run_graph(graph, compute);
    struct graph *fused = graph_fused(graph, FUSE_ALL, NULL, 0, &err);
    if (fused)
      run_graph(fused, compute);
    graph_free(fused);
  } else if (graph->n_inputs == 0 && err.code == ERROR_NONE) {
    abort();
  }
  onnx_unload(&model);
  return 0;
}
