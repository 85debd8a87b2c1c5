/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/plan.h"

#include "ops/op.h"

#include <stdlib.h>
#include <string.h>

bool node_is_view(const struct node *node)
{
  return node->op->is_view ? node->op->is_view(node) : (node->op->flags & OP_VIEW) != 0;
}

static int root_of(const int *parent, int id)
{
  while (parent[id] != id)
    id = parent[id];
  return id;
}

/* Whether out[0] of node `at` may be written where `in` lies: nobody reads it later, nobody but this operand reads it
 * now, and it is as large. */
static bool may_overwrite(const struct node *node, const struct value *in, int at, const int *parent, const int *last,
                          const bool *pinned)
{
  if (!in || in->t.data)
    return false;
  const int root = root_of(parent, in->id);
  if (pinned[root] || last[root] > at || tensor_bytes(&in->t) != tensor_bytes(&node->out[0]->t) ||
      in->t.layout != node->out[0]->t.layout)
    return false;
  int readers = node->residual && root_of(parent, node->residual->id) == root;
  for (int i = 0; i < node->n_in; i++)
    readers += node->in[i] && !node->in[i]->t.data && root_of(parent, node->in[i]->id) == root;
  return readers == 1;
}

static int by_size(const void *a, const void *b)
{
  const struct piece *p = a, *q = b;
  if (p->bytes != q->bytes)
    return p->bytes < q->bytes ? 1 : -1;
  return p->first != q->first ? p->first - q->first : p->value - q->value;
}

static int by_offset(const void *a, const void *b)
{
  const struct piece *const *p = a, *const *q = b;
  return (*p)->offset < (*q)->offset ? -1 : (*p)->offset > (*q)->offset;
}

/* Largest first, each at the lowest place where it meets no other that is in use at the same time. */
bool plan_place(struct piece *pieces, int n, size_t *bytes, struct error *err)
{
  size_t total = 0;
  struct piece **busy = mem_zero((size_t)n + 1, sizeof(struct piece *));
  if (!busy)
    return error_memory(err, "a plan");
  qsort(pieces, (size_t)n, sizeof *pieces, by_size);
  for (int i = 0; i < n; i++) {
    int n_busy = 0;
    for (int k = 0; k < i; k++)
      if (pieces[k].first <= pieces[i].last && pieces[i].first <= pieces[k].last)
        busy[n_busy++] = &pieces[k];
    qsort(busy, (size_t)n_busy, sizeof *busy, by_offset);
    size_t at = 0;
    for (int k = 0; k < n_busy && at + pieces[i].bytes > busy[k]->offset; k++)
      if (busy[k]->offset + busy[k]->bytes > at)
        at = busy[k]->offset + busy[k]->bytes;
    pieces[i].offset = at;
    if (at + pieces[i].bytes > total)
      total = at + pieces[i].bytes;
  }
  mem_free(busy);
  *bytes = total;
  return true;
}

struct planning {
  int *parent; /* union of values that share storage */
  int *first, *last;
  bool *pinned;
  struct piece *pieces; /* value: id of the first value that lies there */
};

static void read_at(struct planning *p, const struct value *value, int at)
{
  if (value && !value->t.data) {
    const int root = root_of(p->parent, value->id);
    if (p->last[root] < at)
      p->last[root] = at;
  }
}

/* Last reader of every value, before storage is shared. */
static void find_last_uses(const struct graph *graph, struct planning *p)
{
  for (int i = 0; i < graph->n_nodes; i++) {
    const struct node *node = graph->nodes[i];
    for (int k = 0; k < node->n_in; k++)
      read_at(p, node->in[k], i);
    read_at(p, node->residual, i);
  }
}

static void join(struct planning *p, int root, int id)
{
  p->parent[id] = root;
  if (p->last[root] < p->last[id])
    p->last[root] = p->last[id];
  p->pinned[root] |= p->pinned[id];
}

static void share_storage(const struct graph *graph, bool keep_all, struct planning *p)
{
  /* Views first: they lengthen the lives that in-place writing must respect. */
  for (int i = 0; i < graph->n_nodes; i++) {
    const struct node *node = graph->nodes[i];
    if (node_is_view(node))
      join(p, root_of(p->parent, node->in[0]->id), node->out[0]->id);
  }
  for (int i = 0; i < graph->n_nodes && !keep_all; i++) {
    const struct node *node = graph->nodes[i];
    const int id = node->out[0]->id;
    if (node_is_view(node))
      continue;
    const struct value *over = NULL;
    if (node->residual && may_overwrite(node, node->residual, i, p->parent, p->last, p->pinned))
      over = node->residual;
    else if ((node->op->flags & OP_INPLACE) && may_overwrite(node, node->in[0], i, p->parent, p->last, p->pinned))
      over = node->in[0];
    if (over)
      join(p, root_of(p->parent, over->id), id);
  }
}

static bool make(const struct graph *graph, int64_t n, struct value *const *keep, int n_keep, bool keep_all,
                 struct planning *p, struct plan *plan, struct error *err)
{
  for (int i = 0; i < graph->n_values; i++) {
    p->parent[i] = i;
    p->first[i] = p->last[i] = -2;
  }
  for (int i = 0; i < graph->n_inputs; i++)
    p->pinned[graph->inputs[i]->id] = true;
  for (int i = 0; i < graph->n_outputs; i++)
    p->pinned[graph->outputs[i]->id] = true;
  for (int i = 0; i < n_keep; i++)
    p->pinned[keep[i]->id] = true;
  find_last_uses(graph, p);
  share_storage(graph, keep_all, p);
  for (int i = 0; i < graph->n_inputs; i++)
    p->first[root_of(p->parent, graph->inputs[i]->id)] = -1;
  for (int i = 0; i < graph->n_nodes; i++)
    for (int k = 0; k < graph->nodes[i]->n_out; k++) {
      const struct value *out = graph->nodes[i]->out[k];
      const int root = out ? root_of(p->parent, out->id) : 0;
      if (out && p->first[root] == -2)
        p->first[root] = i;
      if (out && p->last[root] < i)
        p->last[root] = i;
    }
  int count = 0;
  for (int i = 0; i < graph->n_values; i++) {
    if (p->parent[i] != i || p->first[i] == -2 || graph->values[i]->t.data)
      continue;
    size_t bytes;
    if (!size_mul(tensor_bytes(&graph->values[i]->t), (size_t)n, &bytes) || bytes > SIZE_MAX - MEM_ALIGN)
      return error_set(err, ERROR_MEMORY, "a batch of %lld needs more memory than can be addressed", (long long)n);
    bytes = (bytes + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
    p->pieces[count++] = (struct piece){
      .value = i, .first = p->first[i], .bytes = bytes,
      .last = keep_all || p->pinned[i] ? graph->n_nodes : p->last[i],
    };
  }
  if (!plan_place(p->pieces, count, &plan->bytes, err))
    return false;
  for (int i = 0; i < graph->n_values; i++)
    plan->offset[i] = PLAN_NOWHERE;
  for (int i = 0; i < count; i++)
    plan->offset[p->pieces[i].value] = p->pieces[i].offset;
  for (int i = 0; i < graph->n_values; i++)
    if (p->parent[i] != i)
      plan->offset[i] = plan->offset[root_of(p->parent, i)];
  return true;
}

bool plan_make(const struct graph *graph, int64_t n, struct value *const *keep, int n_keep, bool keep_all,
               struct plan *plan, struct error *err)
{
  const size_t values = (size_t)graph->n_values + 1;
  struct planning p = {
    .parent = mem_zero(values, sizeof *p.parent), .first = mem_zero(values, sizeof *p.first),
    .last = mem_zero(values, sizeof *p.last), .pinned = mem_zero(values, sizeof *p.pinned),
    .pieces = mem_zero(values, sizeof *p.pieces),
  };
  plan->offset = mem_zero(values, sizeof *plan->offset);
  plan->bytes = 0;
  bool ok = p.parent && p.first && p.last && p.pinned && p.pieces && plan->offset;
  if (!ok)
    error_memory(err, "a plan");
  ok = ok && make(graph, n, keep, n_keep, keep_all, &p, plan, err);
  mem_free(p.parent);
  mem_free(p.first);
  mem_free(p.last);
  mem_free(p.pinned);
  mem_free(p.pieces);
  if (!ok)
    plan_free(plan);
  return ok;
}

void plan_free(struct plan *plan)
{
  mem_free(plan->offset);
  plan->offset = NULL;
  plan->bytes = 0;
}
