/* SPDX-License-Identifier: Apache-2.0 */
/* Folding what is linear: scale and shift per channel move into the operator that computes the channel. */
#include "graph/graph.h"

#include "graph/plan.h"
#include "ops/op.h"

#include <math.h>
#include <string.h>

struct simplifying {
  struct graph *graph;
  struct value **alias; /* per value: what stands for it now */
  bool *output;         /* per value: a graph output */
};

/* The axis whose elements a per-channel constant multiplies, and its extent. */
static int64_t channels_of(const struct value *value, int *axis)
{
  const struct tensor *t = &value->t;
  *axis = t->layout == LAYOUT_CHANNELS_LAST ? 1 : t->shape.rank - 1;
  return t->shape.rank > 0 ? t->shape.dim[*axis] : 0;
}

/* A constant that varies along the channel axis of `value` alone, written out per channel. */
static bool per_channel(const struct value *constant, const struct value *value, float *out)
{
  const struct tensor *k = &constant->t;
  int axis;
  const int64_t channels = channels_of(value, &axis), count = tensor_count(k);
  if (!k->data || k->dtype != DTYPE_F32 || channels < 1 || k->shape.rank > value->t.shape.rank)
    return false;
  const float *data = k->data;
  if (count == 1) {
    for (int64_t i = 0; i < channels; i++)
      out[i] = data[0];
    return true;
  }
  const int from_end = value->t.shape.rank - axis; /* broadcasting aligns last axes */
  if (count != channels || k->shape.rank < from_end || k->shape.dim[k->shape.rank - from_end] != channels)
    return false;
  memcpy(out, data, (size_t)channels * sizeof *out);
  return true;
}

/* value * scale + shift for a node that does nothing else; false where the node is not of that kind. */
static bool as_affine(const struct node *node, const struct value **value, float *scale, float *shift)
{
  const bool commutes = strcmp(node->type, "Mul") == 0 || strcmp(node->type, "Add") == 0;
  const char *type = node->type;
  if (*node->domain && strcmp(node->domain, "ai.onnx") != 0)
    return false;
  if (strcmp(type, "BatchNormalization") == 0) {
    double epsilon = 1e-5;
    struct error ignored = {ERROR_NONE};
    int axis;
    *value = node->in[0];
    if (node->in[0]->t.shape.rank != 4 || node->in[0]->t.layout != LAYOUT_CHANNELS_LAST ||
        !node_float(node, "epsilon", 1e-5, &epsilon, &ignored))
      return false;
    const int64_t channels = channels_of(*value, &axis);
    for (int i = 1; i < 5; i++)
      if (!node->in[i]->t.data || tensor_count(&node->in[i]->t) != channels)
        return false;
    const float *gamma = node->in[1]->t.data, *beta = node->in[2]->t.data, *mean = node->in[3]->t.data,
                *var = node->in[4]->t.data;
    for (int64_t i = 0; i < channels; i++) {
      const double a = (double)gamma[i] / sqrt((double)var[i] + epsilon);
      scale[i] = (float)a;
      shift[i] = (float)((double)beta[i] - (double)mean[i] * a);
    }
    return true;
  }
  if (!commutes && strcmp(type, "Sub") != 0 && strcmp(type, "Div") != 0)
    return false;
  if (node->n_in != 2 || node->out[0]->t.dtype != DTYPE_F32)
    return false;
  const int side = commutes && node->in[0]->t.data ? 1 : 0;
  *value = node->in[side];
  if ((*value)->t.data || !shape_equal(&(*value)->t.shape, &node->out[0]->t.shape) ||
      (*value)->t.layout != node->out[0]->t.layout)
    return false;
  float *operand = *type == 'M' || *type == 'D' ? scale : shift;
  if (!per_channel(node->in[!side], *value, operand))
    return false;
  int axis;
  const int64_t channels = channels_of(*value, &axis);
  for (int64_t i = 0; i < channels; i++) {
    if (*type == 'D')
      scale[i] = 1 / scale[i];
    else if (*type == 'S')
      shift[i] = -shift[i];
    if (operand == scale)
      shift[i] = 0;
    else
      scale[i] = 1;
  }
  return true;
}

static bool fuses(const struct node *node)
{
  return (node->op->flags & OP_FUSES) && (!node->op->fuses || node->op->fuses(node));
}

static bool all_ones(const float *x, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    if (x[i] != 1)
      return false;
  return true;
}

/* Compose: the node's result times scale plus shift. */
static bool fold_into(struct graph *graph, struct node *node, int64_t channels, const float *scale, const float *shift,
                      struct error *err)
{
  float *s = arena_array(graph->arena, (size_t)channels, sizeof *s);
  float *t = arena_array(graph->arena, (size_t)channels, sizeof *t);
  if (!s || !t)
    return error_memory(err, "folded weights");
  for (int64_t i = 0; i < channels; i++) {
    s[i] = (node->scale ? node->scale[i] : 1) * scale[i];
    t[i] = (node->shift ? node->shift[i] : 0) * scale[i] + shift[i];
  }
  node->scale = all_ones(s, channels) ? NULL : s;
  node->shift = t;
  return true;
}

/* Turn a batch norm, factor or offset into part of its producer, or into one Affine node. *gone: the node is no more.
 */
static bool fold_affine(struct simplifying *s, struct node *node, bool *gone, struct error *err)
{
  const struct value *value = NULL;
  int axis;
  int64_t channels = channels_of(node->out[0], &axis);
  if (channels < 1 || node->out[0]->t.dtype != DTYPE_F32)
    return true;
  float *scale = mem_zero(2 * (size_t)channels, sizeof *scale), *shift = scale ? scale + channels : NULL;
  if (!scale)
    return error_memory(err, "folded weights");
  bool ok = true;
  if (as_affine(node, &value, scale, shift)) {
    struct node *before = value->producer;
    if (before && fuses(before) && value->uses == 1 && !s->output[value->id] && !before->residual &&
        before->n_post == 0 && before->out[0] == value) {
      ok = fold_into(s->graph, before, channels, scale, shift, err);
      before->out[0] = node->out[0];
      node->out[0]->producer = before;
      *gone = true;
    } else {
      node->in[0] = s->graph->values[value->id];
      node->n_in = 1;
      node->type = "Affine";
      node->domain = "penumbra";
      node->op = op_find(node->domain, node->type, 1);
      ok = fold_into(s->graph, node, channels, scale, shift, err);
    }
  }
  mem_free(scale);
  return ok;
}

/* A node that passes its input on unchanged. */
static bool is_identity(const struct node *node)
{
  if (!node_is_view(node) || node->n_in < 1 || !node->in[0])
    return false;
  const struct tensor *a = &node->in[0]->t, *b = &node->out[0]->t;
  return shape_equal(&a->shape, &b->shape) && a->layout == b->layout && a->dtype == b->dtype;
}

static bool simplify(struct simplifying *s, struct error *err)
{
  struct graph *graph = s->graph;
  int kept = 0;
  for (int i = 0; i < graph->n_nodes; i++) {
    struct node *node = graph->nodes[i];
    for (int k = 0; k < node->n_in; k++)
      if (node->in[k])
        node->in[k] = s->alias[node->in[k]->id];
    bool gone = false;
    if (!s->output[node->out[0]->id] && is_identity(node)) {
      struct value *in = node->in[0];
      in->uses += node->out[0]->uses - 1;
      s->alias[node->out[0]->id] = in;
      gone = true;
    } else if (!fold_affine(s, node, &gone, err)) {
      return false;
    }
    if (!gone)
      graph->nodes[kept++] = node;
  }
  graph->n_nodes = kept;
  return true;
}

bool graph_simplify(struct graph *graph, struct error *err)
{
  const size_t values = (size_t)graph->n_values + 1;
  struct simplifying s = {graph, mem_zero(values, sizeof(struct value *)), mem_zero(values, sizeof *s.output)};
  bool ok = s.alias && s.output;
  if (!ok)
    error_memory(err, "the graph");
  for (int i = 0; ok && i < graph->n_values; i++)
    s.alias[i] = graph->values[i];
  for (int i = 0; ok && i < graph->n_outputs; i++)
    s.output[graph->outputs[i]->id] = true;
  graph_count_uses(graph);
  ok = ok && simplify(&s, err);
  mem_free(s.alias);
  mem_free(s.output);
  graph_count_uses(graph);
  return ok && graph_make_weights(graph, err);
}

/* Where packed weights may hand their pages back. */
static void find_file(const struct graph *graph, struct node *node)
{
  const uintptr_t at = (uintptr_t)node->in[1]->t.data;
  for (int i = 0; i < graph->n_files; i++) {
    const uintptr_t data = (uintptr_t)graph->files[i].data;
    if (at >= data && at - data < graph->files[i].size)
      weights_in_file(node->weights, &graph->files[i]);
  }
}

bool graph_make_weights(struct graph *graph, struct error *err)
{
  for (int i = 0; i < graph->n_nodes; i++) {
    struct node *node = graph->nodes[i];
    if ((node->op->flags & OP_WEIGHTS) && node->in[1]->t.data && !node->weights) {
      node->weights = weights_new(node->in[1]->t.data, node->scale);
      if (!node->weights)
        return error_memory(err, "weights");
      find_file(graph, node);
    }
  }
  return true;
}
