/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/lower.h"

#include "graph/plan.h"
#include "ops/op.h"

#include <stdio.h>
#include <string.h>

struct lowering {
  struct graph *graph;
  bool reversible;
  bool *pinned;          /* per value: stays float32 */
  struct value **other;  /* per value: itself in the other type, once somebody asked */
  struct node **nodes;   /* the new list */
  int n_nodes, n_values; /* n_values: of the copy before any conversion was added */
};

static bool is_real(const struct value *value)
{
  return value && !value->t.data && value->t.dtype != DTYPE_I64;
}

/* The value in the wanted type: itself, or what a Convert node makes of it. */
static struct value *in_type(struct lowering *l, struct value *value, enum dtype want, struct error *err)
{
  if (!is_real(value) || value->t.dtype == want)
    return value;
  const bool known = value->id < l->n_values;
  if (known && l->other[value->id])
    return l->other[value->id];
  struct node *node = graph_node(l->graph, "Convert", value->name, 1, 1);
  struct value *out = node ? graph_value(l->graph, value->name) : NULL;
  if (!out) {
    error_memory(err, "the graph");
    return NULL;
  }
  node->domain = "penumbra";
  node->opset = 1;
  node->op = op_find(node->domain, node->type, 1);
  node->in[0] = value;
  node->out[0] = out;
  out->producer = node;
  out->t.dtype = want;
  if (!node->op->shape(node, l->graph->arena, err))
    return NULL;
  l->nodes[l->n_nodes++] = node;
  if (known)
    l->other[value->id] = out;
  return out;
}

/* Convolutions of so few channels, of images, are not worth it on the way back. */
enum { FEW_CHANNELS = 4 };

static bool goes_back(const struct lowering *l, const struct node *node)
{
  const struct backward *backward = node->op->backward;
  const struct shape *in = &node->in[0]->t.shape;
  return backward && (backward->flags & BACKWARD_BF16) && !l->pinned[node->out[0]->id] &&
         !(in->rank == 4 && in->dim[1] <= FEW_CHANNELS);
}

/* Whether this node can work on bfloat16 as it stands. */
static bool is_capable(const struct lowering *l, const struct node *node)
{
  if (l->reversible && !goes_back(l, node))
    return false;
  if (!(node->op->flags & OP_BF16) || node->out[0]->t.dtype != DTYPE_F32)
    return false;
  if (node->op->flags & OP_WEIGHTS)
    return node->weights && (!node->op->fuses || node->op->fuses(node));
  for (int i = 0; i < node->n_post; i++)
    if (node->post[i].kind != UNARY_RELU && node->post[i].kind != UNARY_CLIP)
      return false;
  for (int i = 0; i < node->n_in; i++)
    if (node->in[i] && node->in[i]->t.data)
      return false;
  return node->n_post <= 1 && !node->residual;
}

static bool lower_node(struct lowering *l, struct node *node, struct error *err)
{
  struct value *out = node->out[0];
  const bool pinned = l->pinned[out->id], product = (node->op->flags & OP_WEIGHTS) != 0;
  enum dtype want = is_capable(l, node) && (product || !pinned) ? DTYPE_BF16 : DTYPE_F32;
  if (node_is_view(node)) /* bytes as they are, unless somebody reads the result */
    want = pinned || !is_real(node->in[0]) ? DTYPE_F32 : node->in[0]->t.dtype;
  for (int k = 0; k < node->n_in; k++)
    if (is_real(node->in[k]) && !(node->in[k] = in_type(l, node->in[k], want, err)))
      return false;
  if (is_real(out) && (is_capable(l, node) || node_is_view(node)))
    out->t.dtype = pinned ? DTYPE_F32 : want;
  if (node->residual && !(node->residual = in_type(l, node->residual, out->t.dtype, err)))
    return false;
  l->nodes[l->n_nodes++] = node;
  return true;
}

bool graph_lower_bf16(struct graph *graph, struct value *const *keep, int n_keep, bool reversible, struct error *err)
{
  const size_t values = (size_t)graph->n_values + 1;
  const int n = graph->n_nodes;
  int edges = 0;
  for (int i = 0; i < n; i++)
    edges += graph->nodes[i]->n_in + 1;
  struct node **given = mem_zero((size_t)n + 1, sizeof *given);
  struct lowering l = {
      .graph = graph,
      .reversible = reversible,
      .pinned = mem_zero(values, sizeof *l.pinned),
      .other = mem_zero(values, sizeof(struct value *)),
      .nodes = mem_zero((size_t)n + (size_t)edges + 1, sizeof(struct node *)),
      .n_values = graph->n_values,
  };
  bool ok = given && l.pinned && l.other && l.nodes;
  if (!ok)
    error_memory(err, "the graph");
  for (int i = 0; ok && i < n; i++)
    given[i] = graph->nodes[i];
  for (int i = 0; ok && i < graph->n_outputs; i++)
    l.pinned[graph->outputs[i]->id] = true;
  for (int i = 0; ok && i < n_keep; i++)
    l.pinned[keep[i]->id] = true;
  for (int i = 0; ok && i < n; i++)
    ok = lower_node(&l, given[i], err);
  mem_free(given);
  mem_free(l.pinned);
  mem_free(l.other);
  if (!ok) {
    mem_free(l.nodes);
    return false;
  }
  mem_free(graph->nodes);
  graph->nodes = l.nodes;
  graph->n_nodes = l.n_nodes;
  graph->cap_nodes = l.n_nodes;
  graph_count_uses(graph);
  return true;
}
