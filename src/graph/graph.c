/* SPDX-License-Identifier: Apache-2.0 */
/* Making a graph: values, nodes, inputs and outputs, and who reads what. */
#include "graph/graph.h"

#include <limits.h>

struct graph *graph_new(void)
{
  struct graph *graph = mem_zero(1, sizeof *graph);
  if (!graph)
    return NULL;
  graph->arena = arena_new(0);
  if (!graph->arena) {
    mem_free(graph);
    return NULL;
  }
  return graph;
}

void graph_free(struct graph *graph)
{
  if (!graph)
    return;
  for (int i = 0; i < graph->n_nodes && !graph->borrowed; i++)
    weights_free(graph->nodes[i]->weights);
  mem_free(graph->values);
  mem_free(graph->nodes);
  mem_free(graph->inputs);
  mem_free(graph->outputs);
  arena_free(graph->arena);
  mem_free(graph);
}

/* Room for n elements in all: `list` or its larger successor; NULL when memory is out, `list` is then untouched. */
static void *grown(void *list, int n, int *capacity, size_t size)
{
  if (n <= *capacity)
    return list;
  int64_t wanted = *capacity ? 2 * (int64_t)*capacity : 64;
  size_t bytes;
  if (wanted > INT_MAX || !size_mul((size_t)wanted, size, &bytes))
    return NULL;
  void *larger = mem_grow(list, bytes);
  if (larger)
    *capacity = (int)wanted;
  return larger;
}

struct value *graph_value(struct graph *graph, const char *name)
{
  struct value **values = grown(graph->values, graph->n_values + 1, &graph->cap_values, sizeof *values);
  if (!values)
    return NULL;
  graph->values = values;
  struct value *value = arena_alloc(graph->arena, sizeof *value);
  if (!value)
    return NULL;
  value->name = arena_strdup(graph->arena, name);
  if (!value->name)
    return NULL;
  value->id = graph->n_values;
  graph->values[graph->n_values++] = value;
  return value;
}

struct value *graph_constant(struct graph *graph, const char *name, enum dtype dtype, const struct shape *shape)
{
  struct tensor tensor = {.shape = *shape, .dtype = dtype};
  size_t bytes;
  if (!size_add(tensor_bytes(&tensor), MEM_ALIGN, &bytes))
    return NULL;
  unsigned char *data = arena_alloc(graph->arena, bytes);
  if (!data)
    return NULL;
  tensor.data = data + (MEM_ALIGN - (uintptr_t)data % MEM_ALIGN) % MEM_ALIGN;
  struct value *value = graph_value(graph, name);
  if (value)
    value->t = tensor;
  return value;
}

struct node *graph_node(struct graph *graph, const char *type, const char *name, int n_in, int n_out)
{
  struct node **nodes = grown(graph->nodes, graph->n_nodes + 1, &graph->cap_nodes, sizeof *nodes);
  if (!nodes)
    return NULL;
  graph->nodes = nodes;
  struct node *node = arena_alloc(graph->arena, sizeof *node);
  if (!node)
    return NULL;
  node->type = arena_strdup(graph->arena, type);
  node->name = arena_strdup(graph->arena, name);
  node->domain = "";
  node->in = arena_array(graph->arena, (size_t)n_in, sizeof *node->in);
  node->n_in = n_in;
  node->out = arena_array(graph->arena, (size_t)n_out, sizeof *node->out);
  node->n_out = n_out;
  if (!node->type || !node->name || !node->in || !node->out)
    return NULL;
  graph->nodes[graph->n_nodes++] = node;
  return node;
}

/* Inputs and outputs are few: room for one more each time. */
static bool append(struct value ***list, int *count, struct value *value)
{
  size_t bytes;
  if (*count == INT_MAX || !size_mul((size_t)*count + 1, sizeof **list, &bytes))
    return false;
  struct value **larger = mem_grow(*list, bytes);
  if (!larger)
    return false;
  larger[(*count)++] = value;
  *list = larger;
  return true;
}

bool graph_input(struct graph *graph, struct value *value)
{
  return append(&graph->inputs, &graph->n_inputs, value);
}

bool graph_output(struct graph *graph, struct value *value)
{
  return append(&graph->outputs, &graph->n_outputs, value);
}

void graph_count_uses(struct graph *graph)
{
  for (int i = 0; i < graph->n_values; i++)
    graph->values[i]->uses = 0;
  for (int i = 0; i < graph->n_nodes; i++) {
    const struct node *node = graph->nodes[i];
    for (int k = 0; k < node->n_in; k++) {
      if (node->in[k])
        node->in[k]->uses++;
    }
    if (node->residual)
      node->residual->uses++;
  }
  for (int i = 0; i < graph->n_outputs; i++)
    graph->outputs[i]->uses++;
}

/* A walk from the outputs to what they need, its stack threaded through value->uses so that it cannot run out of memory
 * or depth: -1 is a value not met yet, any other number one that was met, and on the stack 1 + the id of the value
 * below. All outputs of a producer are met together, so that its inputs are looked at once. */
static void meet(struct value *value, int *top)
{
  if (!value || value->uses >= 0)
    return;
  if (!value->producer) {
    value->uses = 0;
    return;
  }
  for (int i = 0; i < value->producer->n_out; i++) {
    struct value *sibling = value->producer->out[i];
    if (sibling && sibling->uses < 0)
      sibling->uses = 0;
  }
  value->uses = *top;
  *top = value->id + 1;
}

void graph_prune(struct graph *graph)
{
  for (int i = 0; i < graph->n_values; i++)
    graph->values[i]->uses = -1;
  int top = 0;
  for (int i = 0; i < graph->n_outputs; i++)
    meet(graph->outputs[i], &top);
  while (top > 0) {
    const struct value *value = graph->values[top - 1];
    top = value->uses;
    for (int i = 0; i < value->producer->n_in; i++)
      meet(value->producer->in[i], &top);
    meet(value->producer->residual, &top);
  }
  int kept = 0;
  for (int i = 0; i < graph->n_nodes; i++) {
    struct node *node = graph->nodes[i];
    bool needed = false;
    for (int k = 0; k < node->n_out && !needed; k++)
      needed = node->out[k] && node->out[k]->producer == node && node->out[k]->uses >= 0;
    if (needed)
      graph->nodes[kept++] = node;
  }
  graph->n_nodes = kept;
  graph_count_uses(graph);
}
