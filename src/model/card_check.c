/* SPDX-License-Identifier: Apache-2.0 */
/* The card against the graph it is for: what both say must be the same, what one leaves open the other gives. */
#include "model/card.h"

#include "base/str.h"

#include <string.h>

static bool check_size(int64_t graph, int *size, const char *axis, struct error *err)
{
  if (graph > IMAGE_MAX_SIDE)
    return error_set(err, ERROR_FAILED, "input.size: the model's %s %lld is more than %d px", axis, (long long)graph,
                     IMAGE_MAX_SIDE);
  if (graph <= 0 && *size == 0)
    return error_set(err, ERROR_FAILED, "input.size: the model leaves its %s open, the card must give it", axis);
  if (graph > 0 && *size != 0 && *size != graph)
    return error_set(err, ERROR_FAILED, "input.size: %s %d, but the model takes %lld", axis, *size, (long long)graph);
  if (graph > 0)
    *size = (int)graph;
  return true;
}

static bool check_list(const char *key, double *list, int *count, int channels, struct error *err)
{
  if (*count == 1)
    for (int c = 1; c < CARD_MAX_CHANNELS; c++)
      list[c] = list[0];
  else if (*count != 0 && *count != channels)
    return error_set(err, ERROR_FAILED, "input.%s: %d values for %d channel%s", key, *count, channels,
                     channels == 1 ? "" : "s");
  if (*count != 0)
    *count = channels;
  return true;
}

static bool check_channels(struct card *card, int64_t graph, struct error *err)
{
  static const int counts[] = {0, 1, 3, 3};
  int64_t count = graph > 0 ? graph : counts[card->channels];
  if (count == 0)
    return error_set(err, ERROR_FAILED, "input.channels: the model leaves them open, the card must give them");
  if (count > CARD_MAX_CHANNELS)
    return error_set(err, ERROR_FAILED, "input.channels: the model takes %lld channels, outside 1..%d",
                     (long long)count, CARD_MAX_CHANNELS);
  if (card->channels != CHANNELS_UNSET && count != counts[card->channels])
    return error_set(err, ERROR_FAILED, "input.channels: %s, but the model takes %lld channel%s",
                     card_channels_name(card->channels), (long long)count, count == 1 ? "" : "s");
  if (card->channels == CHANNELS_UNSET && count != 2 && count != 4)
    card->channels = count == 1 ? CHANNELS_GRAY : CHANNELS_RGB;
  card->channel_count = (int)count;
  return check_list("mean", card->mean, &card->mean_count, card->channel_count, err) &&
         check_list("std", card->std, &card->std_count, card->channel_count, err) &&
         check_list("dataset_mean", card->dataset_mean, &card->dataset_mean_count, card->channel_count, err) &&
         check_list("dataset_std", card->dataset_std, &card->dataset_std_count, card->channel_count, err);
}

static bool check_resize(struct card *card, struct error *err)
{
  enum card_resize implied = card->resize_to[1] ? RESIZE_STRETCH : RESIZE_SHORTEST_CROP;
  if (card->resize_to[0] == 0 || (card->resize_said != SAID_NOT && card->resize == implied))
    return true;
  if (card->resize_said < card->resize_to_said) {
    card->resize = implied;
    return true;
  }
  if (card->resize_said > card->resize_to_said) {
    card->resize_to[0] = card->resize_to[1] = 0;
    return true;
  }
  if (card->resize_to[1])
    return error_set(err, ERROR_FAILED, "input.resize_to: [%d, %d] stretches before the centre crop; resize is %s",
                     card->resize_to[0], card->resize_to[1], card_resize_name(card->resize));
  return error_set(err, ERROR_FAILED,
                   "input.resize_to: %d is the shortest side before a centre crop; resize is %s, not shortest-crop",
                   card->resize_to[0], card_resize_name(card->resize));
}

static bool check_normal(struct card *card, int64_t classes, struct error *err)
{
  const char *name = card->normal_name;
  if (!name) {
    if (classes > 0 && card->normal >= classes)
      return error_set(err, ERROR_FAILED, "output.normal: class %lld is outside 0..%lld", (long long)card->normal,
                       (long long)classes - 1);
    return true;
  }
  card->has_complement = false;
  card->complement = NULL;
  if (strcmp(name, CARD_NONE_ABOVE) == 0) {
    card->normal = CARD_NORMAL_NONE_ABOVE;
    return true;
  }
  for (int64_t i = 0; i < card->label_count; i++)
    if (strcmp(card->labels[i], name) == 0) {
      card->normal = i;
      return true;
    }
  int64_t index;
  if (str_integer(name, &index) && index >= 0 && (classes <= 0 || index < classes)) {
    card->normal = index;
    return true;
  }
  /* One sigmoid output scores one finding; the healthy class is what is left of it. */
  if (classes == 1 && (card->activation == ACTIVATION_UNSET || card->activation == ACTIVATION_SIGMOID)) {
    card->normal = CARD_NORMAL_NONE_ABOVE;
    card->has_complement = true;
    card->complement = card->normal_name;
    return true;
  }
  return error_set(err, ERROR_FAILED, "output.normal: \"%.60s\" is none of the %lld labels", name,
                   (long long)card->label_count);
}

static bool check_output(struct card *card, int64_t classes, struct error *err)
{
  if (classes > 0 && card->labels && card->label_count != classes)
    return error_set(err, ERROR_FAILED, "output.labels: %lld labels for %lld class%s%s", (long long)card->label_count,
                     (long long)classes, classes == 1 ? "" : "es",
                     classes == 1 && card->label_count == 2 ? " (the healthy one is named by output.normal)" : "");
  int64_t count = classes > 0 ? classes : card->label_count;
  if (card->threshold_count == 1 && count > 1) {
    double *all = arena_array(card->arena, (size_t)count, sizeof *all);
    if (!all)
      return error_memory(err, "the thresholds");
    for (int64_t i = 0; i < count; i++)
      all[i] = card->thresholds[0];
    card->thresholds = all;
    card->threshold_count = count;
  }
  if (card->thresholds && count > 0 && card->threshold_count != count)
    return error_set(err, ERROR_FAILED, "output.thresholds: %lld values for %lld classes",
                     (long long)card->threshold_count, (long long)count);
  return check_normal(card, classes, err);
}

bool card_check(struct card *card, int64_t graph_channels, int64_t graph_height, int64_t graph_width, int64_t classes,
                struct error *err)
{
  if (check_channels(card, graph_channels, err) && check_size(graph_height, &card->height, "height", err) &&
      check_size(graph_width, &card->width, "width", err) && check_resize(card, err) &&
      check_output(card, classes, err)) {
    if ((int64_t)card->height * card->width <= IMAGE_MAX_PIXELS)
      return true;
    error_set(err, ERROR_FAILED, "input.size: %dx%d is more than %d px", card->height, card->width, IMAGE_MAX_PIXELS);
  }
  return card->path ? error_prefix(err, "%s", card->path) : false;
}
