/* SPDX-License-Identifier: Apache-2.0 */
#include "model/reweight.h"

#include "base/mem.h"
#include "base/rng.h"
#include "model/onnx_session.h"
#include "ops/op.h"

#include <math.h>
#include <string.h>

static bool has_weights(const struct node *node)
{
  return node->weights && node->in[1]->t.data && node->in[1]->t.dtype == DTYPE_F32;
}

int model_weight_layers(const struct model *model)
{
  int n = 0;
  for (int i = 0; i < model->graph->n_nodes; i++)
    n += has_weights(model->graph->nodes[i]);
  return n;
}

/* Element k of part `part` of a layer draws number k of its own stream. */
static uint64_t element(int part, int64_t k)
{
  return (uint64_t)part << 40 | (uint64_t)k;
}

static void permute(float *x, int64_t n, uint64_t seed, uint32_t layer, int part)
{
  for (int64_t i = n - 1; i > 0; i--) { /* Fisher & Yates */
    const int64_t k = (int64_t)rng_below(seed, RNG_WEIGHTS, layer, element(part, i), (uint32_t)i + 1);
    const float kept = x[i];
    x[i] = x[k];
    x[k] = kept;
  }
}

static void redraw(float *x, int64_t n, uint64_t seed, uint32_t layer, int part)
{
  double mean = 0, square = 0;
  for (int64_t i = 0; i < n; i++)
    mean += (double)x[i] / (double)n;
  for (int64_t i = 0; i < n; i++)
    square += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
  const double sd = sqrt(square);
  for (int64_t i = 0; i < n; i++)
    x[i] = (float)(mean + sd * rng_normal(seed, RNG_WEIGHTS, layer, element(part, i)));
}

/* Another version of n numbers, in the copy's arena; NULL stays NULL. */
static bool replace(struct graph *graph, const void *from, int64_t n, enum reweight how, uint64_t seed, uint32_t layer,
                    int part, const float **to)
{
  *to = NULL;
  if (!from)
    return true;
  float *x = arena_array(graph->arena, (size_t)n, sizeof *x);
  if (!x)
    return false;
  memcpy(x, from, (size_t)n * sizeof *x); /* may be unaligned */
  (how == REWEIGHT_PERMUTE ? permute : redraw)(x, n, seed, layer, part);
  *to = x;
  return true;
}

static bool reweight_node(struct graph *graph, struct node *node, enum reweight how, uint64_t seed, uint32_t layer,
                          struct error *err)
{
  enum { WEIGHTS, SCALE, SHIFT };
  const struct value *out = node->out[0];
  const int64_t channels =
      out->t.layout == LAYOUT_CHANNELS_LAST ? out->t.shape.dim[1] : out->t.shape.dim[out->t.shape.rank - 1];
  /* Two layers may share one constant: each gets its own. */
  struct value *value = graph_value(graph, node->in[1]->name);
  const float *weights, *scale, *shift;
  if (!value)
    return error_memory(err, "weights");
  const int id = value->id;
  *value = *node->in[1];
  value->id = id;
  if (!replace(graph, node->in[1]->t.data, tensor_count(&value->t), how, seed, layer, WEIGHTS, &weights) ||
      !replace(graph, node->scale, channels, how, seed, layer, SCALE, &scale) ||
      !replace(graph, node->shift, channels, how, seed, layer, SHIFT, &shift))
    return error_memory(err, "weights");
  value->t.data = (float *)(uintptr_t)weights; /* the arena's */
  struct weights *packed = weights_new(weights, scale);
  if (!packed)
    return error_memory(err, "weights");
  node->in[1] = value;
  node->scale = scale;
  node->shift = shift;
  node->weights = packed;
  return true;
}

struct model *model_reweighted(const struct model *model, int first, int count, enum reweight how, uint64_t seed,
                               struct error *err)
{
  struct model *copy = mem_zero(1, sizeof *copy);
  if (!copy) {
    error_memory(err, "a model");
    return NULL;
  }
  *copy = *model;
  copy->n_own_weights = 0;
  copy->idle = onnx_idle_new(err);
  copy->graph = copy->idle ? graph_copy(model->graph, err) : NULL;
  copy->own_weights = copy->graph ? mem_zero((size_t)count + 1, sizeof *copy->own_weights) : NULL;
  bool ok = copy->own_weights || (copy->graph && error_memory(err, "a model"));
  for (int i = ok ? copy->graph->n_nodes - 1 : -1, layer = 0; ok && i >= 0; i--) {
    struct node *node = copy->graph->nodes[i];
    if (!has_weights(node))
      continue;
    if (layer >= first && layer < first + count) {
      ok = reweight_node(copy->graph, node, how, seed, (uint32_t)layer, err);
      if (ok)
        copy->own_weights[copy->n_own_weights++] = node->weights;
    }
    layer++;
  }
  if (ok)
    return copy;
  model_reweighted_close(copy);
  return NULL;
}

void model_reweighted_close(struct model *model)
{
  if (!model)
    return;
  onnx_idle_free(model->idle);
  for (int i = 0; i < model->n_own_weights; i++)
    weights_free(model->own_weights[i]);
  mem_free(model->own_weights);
  graph_free(model->graph);
  mem_free(model);
}
