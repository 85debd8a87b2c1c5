/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/field.h"

#include "base/mem.h"
#include "ops/op.h"

#include <string.h>

static struct field whole(const struct tensor *t)
{
  struct field f = {.first = {0}};
  for (int d = 0; d < t->shape.rank; d++)
    f.last[d] = t->shape.dim[d] - 1;
  return f;
}

static void clip(struct field *f, const struct tensor *t)
{
  for (int d = 0; d < t->shape.rank; d++) {
    f->first[d] = f->first[d] < 0 ? 0 : f->first[d];
    f->last[d] = f->last[d] >= t->shape.dim[d] ? t->shape.dim[d] - 1 : f->last[d];
  }
}

static bool is(const struct node *node, const char *type)
{
  return strcmp(node->type, type) == 0;
}

/* Axes that agree keep their range, those that are broadcast or changed are whole. Channels mix in some operators. */
static struct field same_places(const struct tensor *in, const struct tensor *out, const struct field *f,
                                bool mixes_channels)
{
  struct field g = whole(in);
  const int missing = out->shape.rank - in->shape.rank;
  if (missing < 0)
    return g;
  for (int d = 0; d < in->shape.rank; d++)
    if (in->shape.dim[d] == out->shape.dim[d + missing] && !(mixes_channels && d == 1)) {
      g.first[d] = f->first[d + missing];
      g.last[d] = f->last[d + missing];
    }
  return g;
}

static struct field through_windows(const struct tensor *in, const struct spatial *s, const struct field *f)
{
  struct field g = whole(in);
  for (int a = 0; a < 2; a++) {
    g.first[2 + a] = f->first[2 + a] * s->stride[a] - s->before[a];
    g.last[2 + a] = f->last[2 + a] * s->stride[a] - s->before[a] + (s->kernel[a] - 1) * s->dilation[a];
  }
  clip(&g, in);
  return g;
}

static bool through_transpose(const struct node *node, const struct tensor *in, const struct field *f, struct field *g)
{
  int64_t perm[TENSOR_MAX_RANK];
  struct error ignored = {ERROR_NONE};
  int count;
  const int rank = in->shape.rank;
  if (!node_ints(node, "perm", perm, TENSOR_MAX_RANK, &count, &ignored))
    return false;
  for (int d = 0; d < rank; d++) {
    const int64_t axis = count ? perm[d] : rank - 1 - d;
    g->first[axis] = f->first[d];
    g->last[axis] = f->last[d];
  }
  return true;
}

/* Resized axes: in proportion, and as far as a cubic kernel reaches. */
static struct field through_resize(const struct tensor *in, const struct tensor *out, const struct field *f)
{
  enum { REACH = 2 };
  struct field g = *f;
  for (int d = 0; d < in->shape.rank; d++) {
    const int64_t a = in->shape.dim[d], b = out->shape.dim[d];
    if (a == b || b == 0)
      continue;
    const int64_t reach = REACH * (a > b ? (a + b - 1) / b : 1) + 1;
    g.first[d] = f->first[d] * a / b - reach;
    g.last[d] = (f->last[d] + 1) * a / b + reach;
  }
  clip(&g, in);
  return g;
}

/* What of input i the elements of output k depend on. */
static struct field through(const struct node *node, int i, int k, const struct field *f)
{
  const struct tensor *in = &node->in[i]->t, *out = &node->out[k]->t;
  struct field g = whole(in);
  if (is(node, "Split"))
    return same_places(in, out, f, false);
  if (k > 0)
    return g;
  if (node->op->window && in->shape.rank == 4 && i == 0) {
    const struct window_rule rule = node->op->window(node);
    if (rule.kind == WINDOW_SLIDE || (rule.kind == WINDOW_POINT && (is(node, "Conv") || strstr(node->type, "Pool"))))
      return through_windows(in, &rule.space, f);
  }
  if (is(node, "Transpose"))
    return through_transpose(node, in, f, &g) ? g : whole(in);
  if (is(node, "Concat")) {
    int64_t offset = 0, axis = 1;
    struct error ignored = {ERROR_NONE};
    if (!node_int(node, "axis", 1, &axis, &ignored))
      return g;
    axis += axis < 0 ? in->shape.rank : 0;
    for (int j = 0; j < i && node->in[j]; j++)
      offset += node->in[j]->t.shape.dim[axis];
    g = *f;
    g.first[axis] -= offset;
    g.last[axis] -= offset;
    if (g.last[axis] < 0 || g.first[axis] >= in->shape.dim[axis])
      g.last[axis] = g.first[axis] - 1; /* nothing */
    else
      clip(&g, in);
    return g;
  }
  if (is(node, "Resize") || is(node, "Upsample"))
    return through_resize(in, out, f);
  if ((node->op->flags & OP_POINTWISE) || is(node, "Identity") || is(node, "Dropout") || is(node, "ChangeLayout") ||
      is(node, "BatchNormalization") || is(node, "QuantizeLinear") || is(node, "DequantizeLinear") || is(node, "Cast"))
    return same_places(in, out, f, false);
  if (is(node, "LRN"))
    return same_places(in, out, f, true);
  return g;
}

static bool is_empty(const struct field *f, int rank)
{
  for (int d = 0; d < rank; d++)
    if (f->last[d] < f->first[d])
      return true;
  return false;
}

static void unite(struct field *f, bool *known, const struct field *g, int rank)
{
  if (is_empty(g, rank))
    return;
  for (int d = 0; d < rank; d++) {
    f->first[d] = *known && f->first[d] < g->first[d] ? f->first[d] : g->first[d];
    f->last[d] = *known && f->last[d] > g->last[d] ? f->last[d] : g->last[d];
  }
  *known = true;
}

bool field_of(const struct graph *graph, const struct value *value, const struct field *elements, struct field *input,
              struct error *err)
{
  struct field *fields = mem_zero((size_t)graph->n_values + 1, sizeof *fields);
  bool *known = mem_zero((size_t)graph->n_values + 1, sizeof *known);
  if (!fields || !known) {
    mem_free(fields);
    mem_free(known);
    return error_memory(err, "a receptive field");
  }
  fields[value->id] = *elements;
  known[value->id] = true;
  for (int n = graph->n_nodes - 1; n >= 0; n--) {
    const struct node *node = graph->nodes[n];
    for (int k = 0; k < node->n_out; k++) {
      if (!node->out[k] || !known[node->out[k]->id])
        continue;
      for (int i = 0; i < node->n_in; i++)
        if (node->in[i] && !node->in[i]->t.data) {
          const struct tensor *t = &node->in[i]->t;
          const struct field f = through(node, i, k, &fields[node->out[k]->id]);
          unite(&fields[node->in[i]->id], &known[node->in[i]->id], &f, t->shape.rank);
        }
    }
  }
  const int id = graph->inputs[0]->id;
  *input = known[id] ? fields[id] : whole(&graph->inputs[0]->t);
  mem_free(fields);
  mem_free(known);
  return true;
}
