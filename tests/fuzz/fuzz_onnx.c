/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an ONNX model: refused with a reason, or a graph in which everything holds together. */
#include "onnx/load.h"
#include "proto_mutator.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
  if (!truth)
    abort();
}

static unsigned read_all(const struct tensor *tensor)
{
  unsigned sum = 0;
  const unsigned char *bytes = tensor->data;
  for (size_t i = 0; i < tensor_bytes(tensor); i++)
    sum += bytes[i];
  return sum;
}

static unsigned check_node(const struct graph *graph, const struct node *node)
{
  unsigned sum = (unsigned)strlen(node->name);
  require(*node->type && node->domain);
  for (int i = 0; i < node->n_in; i++)
    require(!node->in[i] || graph->values[node->in[i]->id] == node->in[i]);
  for (int i = 0; i < node->n_out; i++)
    require(!node->out[i] || node->out[i]->producer == node);
  for (int i = 0; i < node->n_attrs; i++) {
    const struct attr *attr = &node->attrs[i];
    require(node_attr(node, attr->name) == attr); /* each name once */
    if (attr->type == ATTR_TENSOR)
      sum += read_all(&attr->tensor);
    if (attr->type == ATTR_STRING)
      sum += (unsigned)strlen(attr->s);
    for (size_t k = 0; k < attr->count; k++) {
      if (attr->type == ATTR_STRINGS)
        sum += (unsigned)strlen(attr->strings[k]);
      else if (attr->type == ATTR_INTS)
        sum += (unsigned)attr->ints[k];
      else if (attr->type == ATTR_FLOATS)
        sum += attr->floats[k] > 0;
    }
  }
  return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static volatile unsigned sink; /* that the reads are not optimised away */
  struct onnx_model model;
  struct error err = {0};
  if (!onnx_load_bytes(data, size, &model, &err)) {
    require(err.code != ERROR_NONE && *err.message && !model.graph);
    return 0;
  }
  struct graph *graph = model.graph;
  require(err.code == ERROR_NONE && graph->n_outputs > 0 && model.ir_version >= 3);
  require(arena_bytes(graph->arena) <= 16 * size + (16 << 20));
  for (int i = 0; i < graph->n_values; i++) {
    const struct value *value = graph->values[i];
    require(value->id == i && *value->name && value->t.shape.rank <= TENSOR_MAX_RANK);
    require(tensor_count(&value->t) >= 0 && !(value->t.data && value->producer));
    if (value->t.data)
      sink += read_all(&value->t);
  }
  for (int i = 0; i < graph->n_nodes; i++)
    sink += check_node(graph, graph->nodes[i]);
  for (int i = 0; i < graph->n_inputs; i++)
    require(!graph->inputs[i]->t.data && !graph->inputs[i]->producer);
  for (int i = 0; i < model.n_metadata; i++)
    sink += (unsigned)(strlen(model.metadata[i].key) + strlen(model.metadata[i].value));
  int before = graph->n_nodes;
  (void)sink;
  graph_prune(graph);
  require(graph->n_nodes <= before);
  onnx_unload(&model);
  return 0;
}
