/* SPDX-License-Identifier: Apache-2.0 */
/* From what a file says to what can run: order, operators, shapes, layouts, constants. */
#include "graph/graph.h"

#include "base/str.h"
#include "graph/run.h"
#include "ops/op.h"

#include <stdio.h>
#include <string.h>

enum { UNSUPPORTED_SHOWN = 6 };

/* ---- order ----------------------------------------------------------------------------------------------------- */

enum visit { UNSEEN, OPEN, DONE };

struct sorting {
  enum visit *state; /* per node, by its place in the file */
  int *place;        /* per value: the producer's place, -1 for inputs and constants */
  int *stack, *next; /* nodes under way and the input each looks at next */
  struct node **order;
};

/* Depth first from node `root`: whoever produces an input goes before its reader. The stack is explicit, since a file
 * decides how deep it gets. */
static bool visit(struct graph *graph, struct sorting *s, int root, int *done, struct error *err)
{
  int depth = 0;
  s->stack[depth++] = root;
  s->next[root] = 0;
  s->state[root] = OPEN;
  while (depth > 0) {
    const int at = s->stack[depth - 1];
    struct node *node = graph->nodes[at];
    if (s->next[at] == node->n_in) {
      s->state[at] = DONE;
      s->order[(*done)++] = node;
      depth--;
      continue;
    }
    const struct value *in = node->in[s->next[at]++];
    const int from = in ? s->place[in->id] : -1;
    if (from < 0 || s->state[from] == DONE)
      continue;
    if (s->state[from] == OPEN)
      return node_error(graph->nodes[from], err, "is part of a cycle: its input depends on its own output");
    s->state[from] = OPEN;
    s->next[from] = 0;
    s->stack[depth++] = from;
  }
  return true;
}

/* Execution order: every input is there before it is read; a file that is in order stays as it is. */
static bool sort_nodes(struct graph *graph, struct error *err)
{
  const size_t n = (size_t)graph->n_nodes + 1, values = (size_t)graph->n_values + 1;
  struct sorting s = {
      .state = mem_zero(n, sizeof *s.state),
      .place = mem_zero(values, sizeof *s.place),
      .stack = mem_zero(n, sizeof *s.stack),
      .next = mem_zero(n, sizeof *s.next),
      .order = mem_zero(n, sizeof(struct node *)),
  };
  bool ok = s.state && s.place && s.stack && s.next && s.order;
  if (!ok)
    error_memory(err, "the graph");
  for (int i = 0; ok && i < graph->n_values; i++)
    s.place[i] = -1;
  for (int i = 0; ok && i < graph->n_nodes; i++)
    for (int k = 0; k < graph->nodes[i]->n_out; k++)
      if (graph->nodes[i]->out[k]) {
        graph->nodes[i]->out[k]->producer = graph->nodes[i];
        s.place[graph->nodes[i]->out[k]->id] = i;
      }
  int done = 0;
  for (int i = 0; ok && i < graph->n_nodes; i++)
    if (s.state[i] == UNSEEN)
      ok = visit(graph, &s, i, &done, err);
  if (ok && graph->n_nodes > 0)
    memcpy(graph->nodes, s.order, (size_t)graph->n_nodes * sizeof(struct node *));
  mem_free(s.state);
  mem_free(s.place);
  mem_free(s.stack);
  mem_free(s.next);
  mem_free(s.order);
  return ok;
}

/* ---- operators ------------------------------------------------------------------------------------------------- */

static bool type_listed(const struct graph *graph, int before, const char *type)
{
  for (int i = 0; i < before; i++)
    if (!graph->nodes[i]->op && strcmp(graph->nodes[i]->type, type) == 0)
      return true;
  return false;
}

/* Find every node's operator; all that are missing go into one message. */
static bool resolve_operators(struct graph *graph, struct error *err)
{
  struct str list;
  str_init(&list, sizeof err->message);
  int types = 0;
  for (int i = 0; i < graph->n_nodes; i++) {
    struct node *node = graph->nodes[i];
    node->op = op_find(node->domain, node->type, node->opset);
    if (node->op || type_listed(graph, i, node->type))
      continue;
    if (types++ < UNSUPPORTED_SHOWN)
      str_printf(&list, "%s%s%s%.40s (opset %d, node '%.40s')", types > 1 ? ", " : "", node->domain,
                 *node->domain ? "." : "", node->type, node->opset, node->name);
  }
  if (types == 1)
    error_set(err, ERROR_FAILED, "operator not supported: %s", list.text ? list.text : "");
  else if (types > 1)
    error_set(err, ERROR_FAILED, "%d operators not supported: %s%s", types, list.text ? list.text : "",
              types > UNSUPPORTED_SHOWN ? ", …" : "");
  str_free(&list);
  return types == 0;
}

static bool check_arity(const struct node *node, struct error *err)
{
  const struct op *op = node->op;
  int present = node->n_in;
  while (present > 0 && !node->in[present - 1])
    present--;
  if (present < op->min_in || (op->max_in >= 0 && present > op->max_in))
    return node_error(node, err, "has %d inputs, %d%s%.0d are wanted", present, op->min_in,
                      op->max_in < 0            ? " or more"
                      : op->max_in > op->min_in ? " to "
                                                : "",
                      op->max_in > op->min_in ? op->max_in : 0);
  for (int i = 0; i < op->min_in; i++)
    if (!node->in[i])
      return node_error(node, err, "input %d is missing", i);
  if (node->n_out < 1 || !node->out[0])
    return node_error(node, err, "has no output");
  if (node->n_out > op->max_out && op->max_out >= 0)
    return node_error(node, err, "has %d outputs, at most %d are supported", node->n_out, op->max_out);
  return true;
}

/* ---- layout and constants -------------------------------------------------------------------------------------- */

struct builder {
  struct graph *graph;
  struct node **given; /* the file's nodes in order */
  struct node **nodes; /* what runs: kept nodes and changes of layout */
  int n_nodes, cap_nodes;
  struct value **changed; /* per value of the file: itself in the other layout, once somebody asked */
  int n_changed;
  int64_t folded; /* bytes */
};

static bool emit(struct builder *b, struct node *node, struct error *err)
{
  if (b->n_nodes == b->cap_nodes) {
    const int cap = b->cap_nodes ? 2 * b->cap_nodes : 64;
    struct node **larger = mem_grow(b->nodes, (size_t)cap * sizeof *larger);
    if (!larger)
      return error_memory(err, "the graph");
    b->nodes = larger;
    b->cap_nodes = cap;
  }
  b->nodes[b->n_nodes++] = node;
  return true;
}

/* Zeroed memory for a constant, MEM_ALIGN-aligned. */
static void *constant_data(struct builder *b, const struct node *node, const struct tensor *t, struct error *err)
{
  const int64_t ceiling = b->graph->max_constant_bytes ? b->graph->max_constant_bytes : (int64_t)1 << 30;
  const size_t bytes = tensor_bytes(t);
  b->folded += (int64_t)bytes;
  if (b->folded > ceiling) {
    node_error(node, err, "constants exceed %lld MiB", (long long)(ceiling >> 20));
    return NULL;
  }
  unsigned char *data = arena_alloc(b->graph->arena, bytes + MEM_ALIGN);
  if (!data) {
    error_memory(err, "a constant");
    return NULL;
  }
  return data + (MEM_ALIGN - (uintptr_t)data % MEM_ALIGN) % MEM_ALIGN;
}

/* Run a node that does not look at the image, once; its outputs become constants. */
static bool fold(struct builder *b, struct node *node, struct error *err)
{
  for (int i = 0; i < node->n_out; i++) {
    struct value *out = node->out[i];
    if (out && !(out->t.data = constant_data(b, node, &out->t, err)))
      return false;
  }
  if ((node->op->flags & OP_WEIGHTS) && node->in[1]->t.data &&
      !(node->weights = weights_new(node->in[1]->t.data, node->scale)))
    return error_memory(err, "weights");
  const bool ok = node_evaluate(node, err);
  weights_free(node->weights);
  node->weights = NULL;
  for (int i = 0; i < node->n_out; i++)
    if (node->out[i])
      node->out[i]->producer = NULL;
  return ok;
}

/* Big initialisers may lie unaligned in the file; whoever reads them as numbers wants them aligned. */
static bool align_constant(struct builder *b, const struct node *node, struct value *value, struct error *err)
{
  if (!value->t.data || (uintptr_t)value->t.data % 16 == 0)
    return true;
  void *copy = constant_data(b, node, &value->t, err);
  if (!copy)
    return false;
  memcpy(copy, value->t.data, tensor_bytes(&value->t));
  value->t.data = copy;
  return true;
}

/* The value in the layout an operator asks for: itself, or the output of a change of layout. */
static struct value *in_layout(struct builder *b, struct value *value, enum layout layout, struct error *err)
{
  if (value->t.shape.rank != 4 || value->t.layout == layout)
    return value;
  const bool cached = value->id < b->n_changed;
  if (cached && b->changed[value->id])
    return b->changed[value->id];
  char name[64];
  (void)snprintf(name, sizeof name, "%.40s/layout", value->name);
  struct node *node = graph_node(b->graph, "ChangeLayout", name, 1, 1);
  struct value *out = node ? graph_value(b->graph, name) : NULL;
  if (!out) {
    error_memory(err, "the graph");
    return NULL;
  }
  node->domain = "penumbra";
  node->opset = 1;
  node->op = op_find(node->domain, node->type, node->opset);
  node->in[0] = value;
  node->out[0] = out;
  out->producer = node;
  if (!node->op->shape(node, b->graph->arena, err) || !(value->t.data ? fold(b, node, err) : emit(b, node, err)))
    return NULL;
  if (cached)
    b->changed[value->id] = out;
  return out;
}

static bool constant_inputs(const struct node *node)
{
  for (int i = 0; i < node->n_in; i++)
    if (node->in[i] && !node->in[i]->t.data)
      return false;
  return true;
}

/* One node: layouts of its inputs, its shape; folded where it can be. */
static bool build_node(struct builder *b, struct node *node, struct error *err)
{
  const struct op *op = node->op;
  if (!check_arity(node, err))
    return false;
  for (int i = 0; i < node->n_in; i++) {
    struct value *in = node->in[i];
    if (!in)
      continue;
    if (!((op->flags & OP_WEIGHTS) && i == 1) && !align_constant(b, node, in, err))
      return false;
    if (op->layout == OP_PLAIN || (op->layout == OP_CHANNELS_LAST && i == 0)) {
      node->in[i] = in_layout(b, in, op->layout == OP_PLAIN ? LAYOUT_PLAIN : LAYOUT_CHANNELS_LAST, err);
      if (!node->in[i])
        return false;
    }
  }
  if (!op->shape(node, b->graph->arena, err))
    return false;
  if (node->out[0]->t.data) { /* known from descriptions alone */
    node->out[0]->producer = NULL;
    return true;
  }
  return constant_inputs(node) ? fold(b, node, err) : emit(b, node, err);
}

static bool build_nodes(struct graph *graph, struct error *err)
{
  const int n = graph->n_nodes;
  struct builder b = {
      .graph = graph,
      .given = mem_zero((size_t)n + 1, sizeof(struct node *)),
      .n_changed = graph->n_values,
      .changed = mem_zero((size_t)graph->n_values + 1, sizeof(struct value *)),
  };
  bool ok = b.given && b.changed;
  if (ok)
    memcpy(b.given, graph->nodes, (size_t)n * sizeof *b.given);
  else
    error_memory(err, "the graph");
  for (int i = 0; ok && i < n; i++)
    ok = build_node(&b, b.given[i], err);
  if (ok) {
    mem_free(graph->nodes);
    graph->nodes = b.nodes;
    graph->n_nodes = b.n_nodes;
    graph->cap_nodes = b.cap_nodes;
  } else {
    mem_free(b.nodes);
  }
  mem_free(b.given);
  mem_free(b.changed);
  return ok;
}

/* A weight that is not a number makes every score one, unless a Relu swallows it on the way: refuse it here, by name.
 * Infinities are left alone, masks of attention use them. */
static bool check_constants(const struct graph *graph, struct error *err)
{
  enum { CHUNK = 4096 };
  float chunk[CHUNK];
  for (int i = 0; i < graph->n_values; i++) {
    const struct value *value = graph->values[i];
    if (!value->t.data || value->t.dtype != DTYPE_F32)
      continue;
    const int64_t count = tensor_count(&value->t);
    for (int64_t from = 0; from < count; from += CHUNK) {
      const int64_t n = count - from < CHUNK ? count - from : CHUNK;
      int bad = 0;
      memcpy(chunk, (const unsigned char *)value->t.data + (size_t)from * sizeof *chunk, (size_t)n * sizeof *chunk);
      for (int64_t k = 0; k < n; k++)
        bad |= chunk[k] != chunk[k];
      if (bad)
        return error_set(err, ERROR_FAILED, "'%.80s' holds a value that is not a number (NaN)", value->name);
    }
  }
  return true;
}

bool graph_build(struct graph *graph, struct error *err)
{
  if (graph->n_outputs < 1)
    return error_set(err, ERROR_FAILED, "the graph has no output");
  if (!check_constants(graph, err) || !sort_nodes(graph, err) || !resolve_operators(graph, err) ||
      !build_nodes(graph, err))
    return false;
  graph_prune(graph);
  return true;
}
