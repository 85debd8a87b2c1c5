/* SPDX-License-Identifier: Apache-2.0 */
/* Cards written: the resolved card of a run, and a first card for a graph that has none. */
#include "model/card.h"

#include "base/json.h"

/* Stores `value`, a new reference, and remembers in *ok whether that went well. */
static void put(json_t *object, const char *key, json_t *value, bool *ok)
{
  if (json_object_set_new(object, key, value) != 0)
    *ok = false;
}

static json_t *number_list(const double *values, int64_t count)
{
  json_t *list = json_array();
  for (int64_t i = 0; list && i < count; i++)
    if (json_array_append_new(list, json_number_or_null(values[i])) != 0) {
      json_decref(list);
      return NULL;
    }
  return list;
}

static json_t *text_list(char *const *texts, int64_t count)
{
  json_t *list = json_array();
  for (int64_t i = 0; list && i < count; i++)
    if (json_array_append_new(list, json_string(texts[i])) != 0) {
      json_decref(list);
      return NULL;
    }
  return list;
}

static json_t *text_or_null(const char *text)
{
  return text ? json_string(text) : json_null();
}

static json_t *json_of_resize_to(const struct card *card)
{
  if (card->resize_to[0] == 0)
    return json_null();
  if (card->resize_to[1] == 0)
    return json_integer(card->resize_to[0]);
  return json_pack("[i,i]", card->resize_to[0], card->resize_to[1]);
}

static json_t *json_of_normal(const struct card *card)
{
  if (card->normal_name)
    return json_string(card->normal_name);
  return card->normal >= 0 ? json_integer(card->normal) : json_null();
}

json_t *card_json(const struct card *card)
{
  bool ok = true;
  int all = card->channel_count; /* 0 before card_check: then only what was given is shown */
  json_t *root = json_object(), *input = json_object(), *output = json_object();
  put(input, "size", card->height && card->width ? json_pack("[i,i]", card->height, card->width) : json_null(), &ok);
  put(input, "channels", text_or_null(card_channels_name(card->channels)), &ok);
  put(input, "range", card->has_range ? number_list(card->range, 2) : json_null(), &ok);
  put(input, "scale", json_number_or_null(card->scale), &ok);
  put(input, "mean", all || card->mean_count ? number_list(card->mean, all ? all : card->mean_count) : json_null(),
      &ok);
  put(input, "std", all || card->std_count ? number_list(card->std, all ? all : card->std_count) : json_null(), &ok);
  bool open = card->resize_said == SAID_NOT && !all; /* card_check settles it */
  put(input, "resize", open ? json_null() : json_string(card_resize_name(card->resize)), &ok);
  put(input, "resize_to", json_of_resize_to(card), &ok);
  put(input, "crop_rounding", json_string(card_rounding_name(card->crop_rounding)), &ok);
  put(input, "interpolation", json_string(card_interpolation_name(card->interpolation)), &ok);
  put(input, "dataset_mean",
      card->has_dataset_mean ? number_list(card->dataset_mean, card->dataset_mean_count) : json_null(), &ok);
  put(input, "dataset_std",
      card->has_dataset_std ? number_list(card->dataset_std, card->dataset_std_count) : json_null(), &ok);
  put(output, "name", text_or_null(card->output_name), &ok);
  put(output, "activation", text_or_null(activation_name(card->activation)), &ok);
  put(output, "activation_in_graph",
      card->activation_in_graph < 0 ? json_null() : json_boolean(card->activation_in_graph), &ok);
  put(output, "labels", card->labels ? text_list(card->labels, card->label_count) : json_null(), &ok);
  put(output, "thresholds", card->thresholds ? number_list(card->thresholds, card->threshold_count) : json_null(), &ok);
  put(output, "normal", json_of_normal(card), &ok);
  put(root, "input", input, &ok);
  put(root, "output", output, &ok);
  put(root, "source", card->source ? json_incref(card->source) : json_null(), &ok);
  put(root, "evaluation", card->evaluation ? json_incref(card->evaluation) : json_null(), &ok);
  if (ok)
    return root;
  json_decref(root);
  return NULL;
}

/* A draft */

enum { DRAFT_LABELS = 64 }; /* more names than that are not filled in by hand */

static void note(json_t *notes, const char *text, bool *ok)
{
  if (json_array_append_new(notes, json_string(text)) != 0)
    *ok = false;
}

static void draft_input(const struct card_graph *graph, json_t *input, json_t *notes, bool *ok)
{
  if (graph->height > 0 && graph->width > 0) {
    put(input, "size", json_pack("[I,I]", (json_int_t)graph->height, (json_int_t)graph->width), ok);
  } else {
    put(input, "size", json_pack("[i,i]", 224, 224), ok);
    note(notes,
         "input.size: [224, 224] is a guess: the graph leaves its height or width open, and this is the most "
         "common size",
         ok);
  }
  bool gray = graph->channels == 1;
  if (graph->channels == 1 || graph->channels == 3 || graph->channels <= 0)
    put(input, "channels", json_string(gray ? "gray" : "rgb"), ok);
  if (graph->channels == 3)
    note(notes, "input.channels: rgb is a guess: three channels may be bgr as well (Caffe, OpenCV)", ok);
  if (graph->channels <= 0)
    note(notes, "input.channels: rgb is a guess: the graph leaves its channels open", ok);
  put(input, "scale", json_real(1.0 / 255), ok);
  note(notes,
       "input.scale: 1/255 is a guess: most pipelines bring pixels to 0..1 first; 1 where the model takes 0..255", ok);
  if (graph->channels == 3 || graph->channels <= 0) {
    put(input, "mean", json_pack("[f,f,f]", 0.485, 0.456, 0.406), ok);
    put(input, "std", json_pack("[f,f,f]", 0.229, 0.224, 0.225), ok);
    note(notes,
         "input.mean, input.std: the figures of ImageNet are a guess, usual for PyTorch models; Keras models "
         "often have 0 and 1, or 0.5 and 0.5",
         ok);
  } else {
    put(input, "mean", json_pack("[f]", 0.0), ok);
    put(input, "std", json_pack("[f]", 1.0), ok);
    note(notes, "input.mean, input.std: 0 and 1 are a guess: the graph does not say how its input was normalised", ok);
  }
  put(input, "resize", json_string("stretch"), ok);
  note(notes,
       "input.resize: stretch is a guess: it shows the model the whole picture; shortest-crop where it was trained "
       "on centre crops, with resize_to 256 for Resize(256) and CenterCrop(224)",
       ok);
  put(input, "interpolation", json_string("bilinear"), ok);
  note(notes, "input.interpolation: bilinear is a guess: the graph does not say how training pictures were resized",
       ok);
}

static void draft_output(const struct card_graph *graph, json_t *output, json_t *notes, bool *ok)
{
  if (graph->output_name)
    put(output, "name", json_string(graph->output_name), ok);
  bool known = graph->activation != ACTIVATION_NONE && graph->activation != ACTIVATION_UNSET;
  put(output, "activation", json_string(known ? activation_name(graph->activation) : "none"), ok);
  if (known)
    put(output, "activation_in_graph", json_true(), ok);
  else
    note(notes,
         "output.activation: none is a guess: the graph ends in no activation, so its scores are raw outputs; "
         "softmax where the classes exclude each other, sigmoid where they do not",
         ok);
  if (graph->classes < 1 || graph->classes > DRAFT_LABELS) {
    note(notes, "output.labels_file: left out: name a text file beside this card, one label per line, class 0 first",
         ok);
    return;
  }
  json_t *labels = json_array();
  for (int64_t i = 0; i < graph->classes; i++)
    if (json_array_append_new(labels, json_sprintf("class %lld", (long long)i)) != 0)
      *ok = false;
  put(output, "labels", labels, ok);
  note(notes, "output.labels: placeholders: the graph does not name its classes", ok);
}

bool card_draft(const struct card_graph *graph, json_t **draft, json_t **notes, struct error *err)
{
  bool ok = true;
  json_t *root = json_object(), *input = json_object(), *output = json_object(), *source = json_object();
  json_t *list = json_array();
  draft_input(graph, input, list, &ok);
  draft_output(graph, output, list, &ok);
  put(source, "guessed", json_incref(list), &ok);
  put(root, "input", input, &ok);
  put(root, "output", output, &ok);
  put(root, "source", source, &ok);
  if (!ok) {
    json_decref(root);
    json_decref(list);
    return error_memory(err, "the draft of a card");
  }
  *draft = root;
  *notes = list;
  return true;
}
