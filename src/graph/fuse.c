/* SPDX-License-Identifier: Apache-2.0 */
/* Fusing what follows a convolution or matrix product into it: residual sums and activations ride on the write of the
 * result instead of being passes over memory of their own. */
#include "graph/graph.h"

#include "graph/patterns.h"
#include "ops/op.h"
#include "ops/unary.h"

#include <string.h>

/* ---- copy ------------------------------------------------------------------------------------------------------ */

static bool copy_list(struct graph *copy, struct value *const *from, int n, bool (*add)(struct graph *, struct value *))
{
  for (int i = 0; i < n; i++)
    if (!add(copy, copy->values[from[i]->id]))
      return false;
  return true;
}

static struct value **copy_refs(struct graph *copy, struct value *const *from, int n)
{
  struct value **refs = arena_array(copy->arena, (size_t)n + 1, sizeof *refs);
  for (int i = 0; refs && i < n; i++)
    refs[i] = from[i] ? copy->values[from[i]->id] : NULL;
  return refs;
}

struct graph *graph_copy(const struct graph *graph, struct error *err)
{
  struct graph *copy = graph_new();
  if (!copy)
    goto fail;
  copy->borrowed = true;
  copy->values = mem_zero((size_t)graph->n_values + 1, sizeof(struct value *));
  copy->nodes = mem_zero((size_t)graph->n_nodes + 1, sizeof(struct node *));
  if (!copy->values || !copy->nodes)
    goto fail;
  copy->cap_values = graph->n_values + 1;
  copy->cap_nodes = graph->n_nodes + 1;
  for (int i = 0; i < graph->n_values; i++) {
    struct value *value = arena_alloc(copy->arena, sizeof *value);
    if (!value)
      goto fail;
    *value = *graph->values[i];
    value->producer = NULL;
    copy->values[copy->n_values++] = value;
  }
  for (int i = 0; i < graph->n_nodes; i++) {
    struct node *node = arena_alloc(copy->arena, sizeof *node);
    if (!node)
      goto fail;
    *node = *graph->nodes[i];
    node->in = copy_refs(copy, node->in, node->n_in);
    node->out = copy_refs(copy, node->out, node->n_out);
    if (node->residual)
      node->residual = copy->values[node->residual->id];
    if (!node->in || !node->out)
      goto fail;
    for (int k = 0; k < node->n_out; k++)
      if (node->out[k])
        node->out[k]->producer = node;
    copy->nodes[copy->n_nodes++] = node;
  }
  if (!copy_list(copy, graph->inputs, graph->n_inputs, graph_input) ||
      !copy_list(copy, graph->outputs, graph->n_outputs, graph_output))
    goto fail;
  return copy;
fail:
  graph_free(copy);
  error_memory(err, "a copy of the graph");
  return NULL;
}

/* ---- fusion ---------------------------------------------------------------------------------------------------- */

/* The node that makes `value` for one reader only, and can take more work. */
static struct node *open_producer(const struct value *value, const bool *pinned)
{
  struct node *node = value->producer;
  if (!node || value->uses != 1 || pinned[value->id] || node->out[0] != value || !(node->op->flags & OP_FUSES) ||
      (node->op->fuses && !node->op->fuses(node)))
    return NULL;
  return node;
}

static void take_over(struct node *node, struct value *result)
{
  node->out[0] = result;
  result->producer = node;
}

/* Derivative known from the result: zero where the result sits on a bound. */
static bool reversible(struct post post)
{
  return post.kind == UNARY_RELU || post.kind == UNARY_CLIP;
}

static bool fuse_activation(struct node *node, enum fusion fusion, const bool *pinned)
{
  struct post post[MAX_POST];
  int n = 1;
  if (strcmp(node->type, "Affine") == 0 && !node->scale && !node->shift && !node->residual) {
    n = node->n_post;
    memcpy(post, node->post, sizeof post);
  } else if (!unary_post(node, &post[0])) {
    return false;
  }
  struct node *before = open_producer(node->in[0], pinned);
  if (!before || before->n_post + n > MAX_POST || node->in[0]->t.layout != node->out[0]->t.layout)
    return false;
  if (fusion == FUSE_REVERSIBLE && (n != 1 || !reversible(post[0]) || before->n_post > 0))
    return false;
  for (int i = 0; i < n; i++)
    before->post[before->n_post++] = post[i];
  take_over(before, node->out[0]);
  return true;
}

static bool same_form(const struct value *a, const struct value *b)
{
  return a->t.dtype == DTYPE_F32 && b->t.dtype == DTYPE_F32 && a->t.layout == b->t.layout &&
         shape_equal(&a->t.shape, &b->t.shape);
}

/* a + b becomes part of whichever of the two is computed later. */
static bool fuse_residual(struct node *node, const int *order, const bool *pinned)
{
  if (strcmp(node->type, "Add") != 0 || node->n_in != 2)
    return false;
  struct value *a = node->in[0], *b = node->in[1];
  if (a->t.data || b->t.data || a == b || !same_form(a, b) || !same_form(a, node->out[0]))
    return false;
  if (order[a->id] < order[b->id]) {
    struct value *swap = a;
    a = b;
    b = swap;
  }
  struct node *later = open_producer(a, pinned);
  if (!later || later->residual || later->n_post > 0)
    return false;
  later->residual = b;
  take_over(later, node->out[0]);
  return true;
}

struct graph *graph_fused(const struct graph *graph, enum fusion fusion, struct value *const *keep, int n_keep,
                          struct error *err)
{
  struct graph *copy = graph_copy(graph, err);
  if (!copy)
    return NULL;
  const size_t values = (size_t)copy->n_values + 1;
  bool *pinned = mem_zero(values, sizeof *pinned);
  int *order = mem_zero(values, sizeof *order); /* per value: when it is there; inputs at 0 */
  if (!pinned || !order) {
    mem_free(pinned);
    mem_free(order);
    graph_free(copy);
    error_memory(err, "a copy of the graph");
    return NULL;
  }
  for (int i = 0; i < n_keep; i++)
    pinned[keep[i]->id] = true;
  for (int i = 0; i < copy->n_outputs; i++)
    pinned[copy->outputs[i]->id] = true;
  graph_count_uses(copy);
  if (fusion == FUSE_ALL && !patterns_join(copy, pinned, err)) {
    mem_free(pinned);
    mem_free(order);
    graph_free(copy);
    return NULL;
  }
  int kept = 0;
  for (int i = 0; i < copy->n_nodes; i++) {
    struct node *node = copy->nodes[i];
    const bool joined = fuse_activation(node, fusion, pinned);
    const bool summed = !joined && fuse_residual(node, order, pinned);
    const bool gone = joined || summed;
    /* A fused result is there when the node that took it over has run. */
    int when = joined ? order[node->in[0]->id] : i + 1;
    if (summed)
      when = order[node->in[0]->id] > order[node->in[1]->id] ? order[node->in[0]->id] : order[node->in[1]->id];
    for (int k = 0; k < node->n_out; k++)
      if (node->out[k])
        order[node->out[k]->id] = when;
    if (!gone)
      copy->nodes[kept++] = node;
  }
  copy->n_nodes = kept;
  graph_count_uses(copy);
  mem_free(pinned);
  mem_free(order);
  return copy;
}

struct graph *graph_rest(const struct graph *graph, const bool *known, struct error *err)
{
  struct graph *rest = graph_copy(graph, err);
  bool *read = rest ? mem_zero((size_t)rest->n_values + 1, sizeof *read) : NULL;
  int kept = 0;
  bool ok = read != NULL;
  if (!ok)
    goto fail;
  for (int i = 0; i < rest->n_nodes; i++) {
    struct node *node = rest->nodes[i];
    if (known[node->out[0]->id])
      continue;
    for (int k = 0; k < node->n_in; k++)
      if (node->in[k])
        read[node->in[k]->id] = true;
    if (node->residual)
      read[node->residual->id] = true;
    rest->nodes[kept++] = node;
  }
  rest->n_nodes = kept;
  for (int i = 0; i < rest->n_outputs; i++)
    read[rest->outputs[i]->id] = true;
  rest->n_inputs = 0;
  for (int i = 0; ok && i < rest->n_values; i++)
    if (known[i] && read[i] && !rest->values[i]->t.data) {
      rest->values[i]->producer = NULL;
      ok = graph_input(rest, rest->values[i]);
    }
  if (ok) {
    graph_count_uses(rest);
    mem_free(read);
    return rest;
  }
fail:
  mem_free(read);
  graph_free(rest);
  error_memory(err, "the rest of the graph");
  return NULL;
}
