/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a classifier: the file's graph, the card, and what they say of each other. */
#include "model/model.h"

#include "base/mem.h"
#include "base/str.h"
#include "graph/plan.h"
#include "model/onnx_session.h"
#include "ops/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CLASSES = 1 << 20, NAMES_OFFERED = 3 };

/* ---- input ----------------------------------------------------------------------------------------------------- */

static int64_t channels_said(const struct card *card)
{
  switch (card->channels) {
  case CHANNELS_GRAY:
    return 1;
  case CHANNELS_RGB:
  case CHANNELS_BGR:
    return 3;
  case CHANNELS_UNSET:
    break;
  }
  return 0;
}

/* Channels stand before the image (N,C,H,W), or after it as Keras writes them (N,H,W,C). */
static bool channels_last(const struct shape *s, int64_t said)
{
  if (said)
    return s->dim[1] != said && s->dim[3] == said;
  const bool first = s->dim[1] >= 1 && s->dim[1] <= CARD_MAX_CHANNELS;
  const bool last = s->dim[3] >= 1 && s->dim[3] <= CARD_MAX_CHANNELS;
  return last && !first;
}

/* Check the graph's input and close its open dimensions with what the card says. */
static bool settle_input(struct model *model, struct error *err)
{
  struct graph *graph = model->onnx.graph;
  if (graph->n_inputs != 1) {
    struct str names;
    str_init(&names, 120);
    for (int i = 0; i < graph->n_inputs; i++)
      str_printf(&names, "%s%.30s", i ? ", " : "", graph->inputs[i]->name);
    error_set(err, ERROR_FAILED, "the model has %d inputs (%s), a classifier of one image is wanted", graph->n_inputs,
              names.text ? names.text : "");
    str_free(&names);
    return false;
  }
  struct value *input = graph->inputs[0];
  struct shape *s = &input->t.shape;
  char text[96];
  if (input->t.dtype != DTYPE_F32)
    return error_set(err, ERROR_FAILED, "input '%.60s' takes integers; a float image is wanted", input->name);
  if (s->rank != 4)
    return error_set(err, ERROR_FAILED, "input '%.60s' has shape %s, not that of an image [N,C,H,W]", input->name,
                     shape_text(s, text, sizeof text));
  if (s->dim[0] != 1)
    return error_set(err, ERROR_FAILED,
                     "input '%.60s' is fixed to batches of %lld; export with a batch of 1 or a symbolic one",
                     input->name, (long long)s->dim[0]);
  const int64_t said = channels_said(&model->card);
  const bool last = channels_last(s, said);
  const int c = last ? 3 : 1, h = last ? 1 : 2, w = last ? 2 : 3;
  if (s->dim[c] == 0)
    s->dim[c] = said;
  if (s->dim[h] == 0)
    s->dim[h] = model->card.height;
  if (s->dim[w] == 0)
    s->dim[w] = model->card.width;
  for (int i = 1; i < 4; i++)
    if (s->dim[i] <= 0)
      return error_set(err, ERROR_FAILED,
                       "the model leaves the %s of its input open; say it in the card (input.%s) or by --%s",
                       i == c   ? "channels"
                       : i == h ? "height"
                                : "width",
                       i == c ? "channels" : "size", i == c ? "channels rgb" : "size HxW");
  if (s->dim[h] > IMAGE_MAX_SIDE || s->dim[w] > IMAGE_MAX_SIDE)
    return error_set(err, ERROR_FAILED, "input '%.60s' has shape %s: a side is above %d px", input->name,
                     shape_text(s, text, sizeof text), IMAGE_MAX_SIDE);
  input->t.layout = last ? LAYOUT_PLAIN : LAYOUT_CHANNELS_LAST; /* either way the bytes are H,W,C */
  model->predictor.height = (int)s->dim[h];
  model->predictor.width = (int)s->dim[w];
  model->predictor.channels = (int)s->dim[c];
  return true;
}

/* ---- output ---------------------------------------------------------------------------------------------------- */

/* Keep the output the card names, or the only one. */
static bool settle_output(struct model *model, struct error *err)
{
  struct graph *graph = model->onnx.graph;
  int found = -1;
  if (model->card.output_name) {
    for (int i = 0; i < graph->n_outputs; i++)
      if (strcmp(graph->outputs[i]->name, model->card.output_name) == 0)
        found = i;
    if (found < 0)
      return error_set(err, ERROR_FAILED, "output '%.60s' is none of the model's (the first is '%.60s')",
                       model->card.output_name, graph->n_outputs ? graph->outputs[0]->name : "");
  } else if (graph->n_outputs == 1) {
    found = 0;
  } else if (graph->n_outputs > 1) {
    return error_set(err, ERROR_FAILED,
                     "the model has %d outputs ('%.60s', '%.60s', …); name one by --output or in the card",
                     graph->n_outputs, graph->outputs[0]->name, graph->outputs[1]->name);
  } else {
    return error_set(err, ERROR_FAILED, "the model has no output");
  }
  graph->outputs[0] = graph->outputs[found];
  graph->n_outputs = 1;
  return true;
}

static enum activation activation_of(const struct node *node)
{
  if (strcmp(node->type, "Softmax") == 0)
    return ACTIVATION_SOFTMAX;
  if (strcmp(node->type, "LogSoftmax") == 0)
    return ACTIVATION_LOG_SOFTMAX;
  if (strcmp(node->type, "Sigmoid") == 0)
    return ACTIVATION_SIGMOID;
  return ACTIVATION_NONE;
}

/* What the graph ends in, looking through reshapes; *before is the tensor that enters it. */
static enum activation find_end(const struct value *output, struct value **before)
{
  for (const struct node *node = output->producer; node; node = node->in[0]->producer) {
    const enum activation found = activation_of(node);
    if (found != ACTIVATION_NONE) {
      *before = node->in[0];
      return found;
    }
    if (!node_is_view(node) || node->n_in < 1)
      break;
  }
  return ACTIVATION_NONE;
}

/* Make the graph end in logits: a final activation leaves it, to be applied in double by the session. */
static bool settle_activation(struct model *model, struct error *err)
{
  struct graph *graph = model->onnx.graph;
  struct value *output = graph->outputs[0], *before = NULL;
  char text[96];
  if (output->t.data)
    return error_set(err, ERROR_FAILED, "output '%.60s' does not depend on the image", output->name);
  if (output->t.dtype != DTYPE_F32)
    return error_set(err, ERROR_FAILED, "output '%.60s' holds integers; scores are wanted", output->name);
  model->outputs = tensor_count(&output->t);
  model->ends_in = find_end(output, &before);
  const struct card *card = &model->card;
  const bool in_graph =
      card->activation_in_graph == 1 || (card->activation_in_graph < 0 && model->ends_in != ACTIVATION_NONE &&
                                         (card->activation == ACTIVATION_UNSET || card->activation == model->ends_in));
  if (in_graph && model->ends_in != ACTIVATION_NONE) {
    if (card->activation != ACTIVATION_UNSET && card->activation != ACTIVATION_NONE &&
        card->activation != model->ends_in)
      return error_set(err, ERROR_FAILED, "the card says %s within the graph, the graph ends in %s",
                       activation_name(card->activation), activation_name(model->ends_in));
    model->activation = model->ends_in;
    model->raw = before;
  } else {
    if (card->activation_in_graph == 1 && card->activation != ACTIVATION_UNSET && card->activation != ACTIVATION_NONE)
      return error_set(err, ERROR_FAILED, "the card says %s within the graph, but the graph does not end in it",
                       activation_name(card->activation));
    model->activation = card->activation == ACTIVATION_UNSET ? ACTIVATION_NONE : card->activation;
    model->raw = output;
  }
  const struct shape *s = &model->raw->t.shape;
  int spread = 0;
  for (int i = 0; i < s->rank; i++)
    spread += s->dim[i] > 1;
  if (model->outputs < 1 || model->outputs > MAX_CLASSES || spread > 1 ||
      tensor_count(&model->raw->t) != model->outputs)
    return error_set(err, ERROR_FAILED, "output '%.60s' has shape %s, not that of class scores [N,K]", output->name,
                     shape_text(&output->t.shape, text, sizeof text));
  graph->outputs[0] = model->raw;
  graph_prune(graph);
  return true;
}

/* ---- layers ---------------------------------------------------------------------------------------------------- */

static bool is_feature_map(const struct value *value)
{
  const struct shape *s = &value->t.shape;
  return !value->t.data && s->rank == 4 && value->t.dtype == DTYPE_F32 && s->dim[0] == 1 &&
         value->t.layout == LAYOUT_CHANNELS_LAST;
}

/* Whether a node is the end of an activation function and gives a feature map with spatial extent: what people mean by
 * a convolutional layer's output. x * Sigmoid(x) and the like end in the product. */
static bool is_activated(const struct node *node)
{
  static const char *const kinds[] = {
      "Relu", "Clip",      "LeakyRelu", "PRelu", "Elu",  "Selu", "Celu", "ThresholdedRelu",
      "Mish", "HardSwish", "Softplus",  "Gelu",  "Tanh", NULL};
  const struct value *out = node->out[0];
  if (!is_feature_map(out) || out->t.shape.dim[2] * out->t.shape.dim[3] < 2)
    return false;
  for (const char *const *kind = kinds; *kind; kind++)
    if (strcmp(node->type, *kind) == 0)
      return true;
  for (int i = 0; i < 2 && strcmp(node->type, "Mul") == 0; i++) {
    const struct node *gate = node->in[i]->producer;
    if (gate && (strcmp(gate->type, "Sigmoid") == 0 || strcmp(gate->type, "HardSigmoid") == 0) &&
        gate->in[0] == node->in[1 - i])
      return true;
  }
  return false;
}

/* The last feature map with spatial extent before global pooling or flattening, after its activation. */
static const char *find_default_layer(const struct graph *graph)
{
  const struct value *best = NULL;
  for (int i = 0; i < graph->n_nodes; i++) {
    const struct value *value = graph->nodes[i]->out[0];
    if (is_feature_map(value) && value->t.shape.dim[2] * value->t.shape.dim[3] > 1)
      best = value;
  }
  return best ? best->name : NULL;
}

struct value *model_layer(const struct model *model, const char *name, struct error *err)
{
  const struct graph *graph = model->graph;
  if (!*name) {
    if (!model->default_layer) {
      error_set(err, ERROR_FAILED, "layer: the model has no feature map (no rank-4 activation with spatial extent)");
      return NULL;
    }
    name = model->default_layer;
  }
  const char *near[NAMES_OFFERED] = {NULL};
  int distance[NAMES_OFFERED] = {0};
  for (int i = 0; i < graph->n_nodes; i++)
    for (int k = 0; k < graph->nodes[i]->n_out; k++) {
      struct value *value = graph->nodes[i]->out[k];
      if (!value)
        continue;
      if (strcmp(value->name, name) == 0 || (k == 0 && *name && strcmp(graph->nodes[i]->name, name) == 0)) {
        if (is_feature_map(value))
          return value;
        char text[96];
        error_set(err, ERROR_USAGE, "layer: '%.60s' has shape %s, a feature map [1,C,H,W] is wanted", name,
                  shape_text(&value->t.shape, text, sizeof text));
        return NULL;
      }
      if (!is_feature_map(value))
        continue;
      const int d = str_distance(value->name, name);
      for (int j = 0; j < NAMES_OFFERED; j++)
        if (!near[j] || d < distance[j]) {
          for (int m = NAMES_OFFERED - 1; m > j; m--) {
            near[m] = near[m - 1];
            distance[m] = distance[m - 1];
          }
          near[j] = value->name;
          distance[j] = d;
          break;
        }
    }
  error_set(err, ERROR_USAGE, "layer: the model has no '%.40s'; near it: %.40s%s%.40s%s%.40s", name,
            near[0] ? near[0] : "none", near[1] ? ", " : "", near[1] ? near[1] : "", near[2] ? ", " : "",
            near[2] ? near[2] : "");
  return NULL;
}

/* ---- open ------------------------------------------------------------------------------------------------------ */

static bool read_card(struct model *model, const char *path, const struct model_options *options, struct error *err)
{
  if (!card_init(&model->card, err))
    return false;
  if (options->card) {
    model->card_found = true;
    if (!card_read(&model->card, options->card, err))
      return false;
  } else if (!card_find(&model->card, path, &model->card_found, err)) {
    return false;
  }
  for (const char *const *s = options->settings; s && *s; s++)
    if (!card_set_text(&model->card, *s, err))
      return false;
  return true;
}

/* {"Conv": 53, …} */
static json_t *count_operators(const struct graph *graph)
{
  json_t *counts = json_object();
  for (int i = 0; counts && i < graph->n_nodes; i++) {
    const char *type = graph->nodes[i]->type;
    const json_int_t before = json_integer_value(json_object_get(counts, type));
    json_object_set_new(counts, type, json_integer(before + 1));
  }
  return counts;
}

static bool open_model(struct model *model, const char *path, const struct model_options *options, struct error *err)
{
  if (!onnx_load(path, &(struct onnx_options){.external_symlinks = options->external_symlinks}, &model->onnx, err))
    return false;
  model->in_file = count_operators(model->onnx.graph);
  if (!model->in_file)
    return error_memory(err, "a model");
  if (!read_card(model, path, options, err))
    return false;
  if (!settle_input(model, err) || !settle_output(model, err) || !graph_build(model->onnx.graph, err) ||
      !settle_activation(model, err))
    return error_prefix(err, "%s", path);
  if (!card_check(&model->card, model->predictor.channels, model->predictor.height, model->predictor.width,
                  model->outputs, err))
    return false;
  model->graph = model->onnx.graph;
  if (!(options->verbatim ? graph_make_weights(model->graph, err) : graph_simplify(model->graph, err)))
    return error_prefix(err, "%s", path);
  model->default_layer = find_default_layer(model->graph);
  model->predictor.ops = &onnx_predictor_ops;
  model->predictor.layered = true;
  model->predictor.classes = model->outputs + (model->card.has_complement ? 1 : 0);
  return true;
}

struct model *model_open(const char *path, const struct model_options *options, struct error *err)
{
  struct model *model = mem_zero(1, sizeof *model);
  if (!model || !(model->path = mem_strdup(path))) {
    mem_free(model);
    error_memory(err, "a model");
    return NULL;
  }
  if (!(model->idle = onnx_idle_new(err)) || !open_model(model, path, options, err)) {
    model_close(model);
    return NULL;
  }
  return model;
}

void model_close(struct model *model)
{
  if (!model)
    return;
  onnx_idle_free(model->idle);
  onnx_unload(&model->onnx);
  json_decref(model->in_file);
  card_free(&model->card);
  mem_free(model->path);
  mem_free(model);
}

/* ---- description ----------------------------------------------------------------------------------------------- */

static json_t *shape_json(const struct shape *shape)
{
  json_t *list = json_array();
  for (int i = 0; i < shape->rank; i++)
    json_array_append_new(list, json_integer(shape->dim[i]));
  return list;
}

/* What is left to run when everything is folded and fused: a pass over memory each. */
static json_t *run_operators(const struct model *model)
{
  struct error ignored = {ERROR_NONE};
  struct graph *fused = graph_fused(model->graph, FUSE_ALL, NULL, 0, &ignored);
  json_t *counts = fused ? json_object() : NULL;
  for (int i = 0; counts && i < fused->n_nodes; i++) {
    const struct node *node = fused->nodes[i];
    if (node_is_view(node))
      continue;
    char name[96];
    (void)snprintf(name, sizeof name, "%s%s%s", node->type, node->residual ? "+sum" : "",
                   node->n_post ? "+activation" : "");
    const json_int_t before = json_integer_value(json_object_get(counts, name));
    json_object_set_new(counts, name, json_integer(before + 1));
  }
  graph_free(fused);
  return counts;
}

json_t *model_json(const struct model *model)
{
  const struct graph *graph = model->graph;
  json_t *layers = json_array();
  int64_t macs = 0;
  for (int i = 0; i < graph->n_nodes; i++) {
    const struct node *node = graph->nodes[i];
    const int64_t own = node_macs(node);
    macs += own;
    json_array_append_new(layers, json_pack("{s:s, s:s, s:o, s:I, s:b}", "name", node->out[0]->name, "op", node->type,
                                            "shape", shape_json(&node->out[0]->t.shape), "macs", (json_int_t)own,
                                            "feature_map", is_activated(node)));
  }
  return json_pack("{s:s, s:I, s:I, s:s, s:{s:s, s:o}, s:{s:s, s:I}, s:s, s:s, s:s?, s:b, s:I, s:{s:O, s:o}, s:o, s:o}",
                   "path", model->path, "ir_version", (json_int_t)model->onnx.ir_version, "opset",
                   (json_int_t)model->onnx.opset, "producer", model->onnx.producer, "input", "name",
                   graph->inputs[0]->name, "shape", shape_json(&graph->inputs[0]->t.shape), "output", "name",
                   graph->outputs[0]->name, "classes", (json_int_t)model->predictor.classes, "ends_in",
                   activation_name(model->ends_in), "activation", activation_name(model->activation), "default_layer",
                   model->default_layer, "card_found", model->card_found, "macs", (json_int_t)macs, "operators", "file",
                   model->in_file, "run", run_operators(model), "card", card_json(&model->card), "layers", layers);
}

json_t *model_draft_card(const char *path, struct error *err)
{
  enum { GUESSED_SIDE = 224 }; /* px, where the graph leaves the image's size open */
  struct model *model = mem_zero(1, sizeof *model);
  json_t *draft = NULL, *notes = NULL, *both = NULL;
  if (!model) {
    error_memory(err, "a model");
    return NULL;
  }
  bool ok = onnx_load(path, NULL, &model->onnx, err) && card_init(&model->card, err);
  if (ok) {
    struct graph *graph = model->onnx.graph;
    struct card_graph seen = {.activation = ACTIVATION_NONE};
    if (graph->n_inputs == 1 && graph->inputs[0]->t.shape.rank == 4) {
      const struct shape *s = &graph->inputs[0]->t.shape;
      const bool last = channels_last(s, 0);
      seen.channels = s->dim[last ? 3 : 1];
      seen.height = s->dim[last ? 1 : 2];
      seen.width = s->dim[last ? 2 : 3];
    }
    if (graph->n_outputs > 1)
      seen.output_name = graph->outputs[0]->name;
    model->card.channels = seen.channels > 0 ? CHANNELS_UNSET : CHANNELS_RGB;
    model->card.height = seen.height > 0 ? 0 : GUESSED_SIDE;
    model->card.width = seen.width > 0 ? 0 : GUESSED_SIDE;
    graph->n_outputs = graph->n_outputs > 1 ? 1 : graph->n_outputs;
    ok = (settle_input(model, err) && settle_output(model, err) && graph_build(graph, err) &&
          settle_activation(model, err)) ||
         error_prefix(err, "%s", path);
    seen.classes = model->outputs;
    seen.activation = model->ends_in;
    ok = ok && card_draft(&seen, &draft, &notes, err);
  }
  if (ok && !(both = json_pack("{s:o, s:o}", "card", draft, "notes", notes)))
    error_memory(err, "a card");
  model_close(model);
  return both;
}
