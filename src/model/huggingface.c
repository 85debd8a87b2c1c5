/* SPDX-License-Identifier: Apache-2.0 */
/* Hugging Face's preprocessor_config.json and config.json as a model card.
 *
 * The file names switches and figures; what they do is fixed by the class named in image_processor_type (or, before
 * 2023, feature_extractor_type). In the order of transformers: resize, centre crop, rescale (pixel * rescale_factor),
 * normalise ((value - image_mean) / image_std). The classes differ in
 *   size as one number      both sides for most, the shortest side for those in `shortest_side`
 *   crop_pct                shortest side to int(size / crop_pct), then the crop; ConvNext from 384 px on: both sides
 *   Levit                   shortest side to int(256 / 224 * size)
 *   EfficientNet            include_top divides by image_std a second time
 * The centre crop begins at floor(rest / 2), as in all classes but the fast ones of a few versions, which went by
 * torchvision's rounding.
 * Anything else that would change pixels is an error, so that no model is fed something it was not trained on. */
#include "base/json.h"
#include "base/str.h"
#include "model/card.h"

#include <math.h>
#include <string.h>

enum { CONFIG_BYTES = 64 << 20, MAX_LABELS = 1 << 20 };

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Classes that read `size: N` as the shortest side. */
static const char *const shortest_side[] = {"Bit",         "CLIP",        "ChineseCLIP", "ConvNext",  "Levit",
                                            "MobileNetV1", "MobileNetV2", "MobileViT",   "PoolFormer"};

struct preprocessor {
  const json_t *root;
  char type[64]; /* "ViT" of ViTImageProcessor, empty where the file does not say */
};

static bool is_type(const struct preprocessor *p, const char *type)
{
  return strcmp(p->type, type) == 0;
}

static bool read_type(struct preprocessor *p, struct error *err)
{
  static const char *const endings[] = {"ImageProcessorFast", "ImageProcessorPil", "ImageProcessor",
                                        "FeatureExtractor"};
  const char *name = NULL;
  if (!json_get_text(p->root, "", "feature_extractor_type", &name, err) ||
      !json_get_text(p->root, "", "image_processor_type", &name, err))
    return false;
  if (!name)
    return true;
  size_t length = strlen(name);
  for (size_t i = 0; i < COUNT(endings); i++) {
    size_t tail = strlen(endings[i]);
    if (length > tail && strcmp(name + length - tail, endings[i]) == 0) {
      length -= tail;
      break;
    }
  }
  if (length >= sizeof p->type)
    return error_set(err, ERROR_FAILED, "image_processor_type: \"%.60s…\" is no known class", name);
  memcpy(p->type, name, length);
  p->type[length] = '\0';
  if (is_type(p, "Perceiver"))
    return error_set(err, ERROR_FAILED,
                     "image_processor_type: Perceiver crops before it resizes, which a card cannot "
                     "say");
  return true;
}

/* A switch that is on, other than those read below, changes pixels in a way that is not known here. */
static bool refuse_unknown(const struct preprocessor *p, struct error *err)
{
  static const char *const known[] = {"do_resize",      "do_center_crop",        "do_rescale",      "do_normalize",
                                      "do_convert_rgb", "do_flip_channel_order", "do_flip_channels"};
  const char *key;
  json_t *value;
  json_object_foreach ((json_t *)p->root, key, value) {
    bool ours = strncmp(key, "do_", 3) != 0;
    for (size_t i = 0; i < COUNT(known) && !ours; i++)
      ours = strcmp(key, known[i]) == 0;
    if (!ours && json_is_true(value))
      return error_set(err, ERROR_FAILED, "%.60s: this step has no counterpart in a model card", key);
  }
  return true;
}

static bool whole_pixels(double value, const char *where, int *out, struct error *err)
{
  if (!(value >= 1 && value <= IMAGE_MAX_SIDE) || value != floor(value))
    return error_set(err, ERROR_FAILED, "%s: %g is not a whole number of 1..%d px", where, value, IMAGE_MAX_SIDE);
  *out = (int)value;
  return true;
}

struct extent {
  int shortest;      /* px, 0 where the sides are given */
  int height, width; /* px */
};

/* N, {"shortest_edge": N} or {"height": H, "width": W}; *out stays as it is where the key is absent. */
static bool read_extent(const struct preprocessor *p, const char *key, bool one_is_shortest, struct extent *out,
                        struct error *err)
{
  static const char *const known[] = {"shortest_edge", "height", "width", NULL};
  const json_t *value = json_object_get(p->root, key);
  if (!value || json_is_null(value))
    return true;
  double shortest = 0, height = 0, width = 0;
  if (json_is_number(value)) {
    height = width = json_number_value(value);
    if (one_is_shortest)
      shortest = height;
  } else if (!json_is_object(value)) {
    return error_set(err, ERROR_FAILED, "%s: a number of px or an object is wanted", key);
  } else if (!json_only_keys(value, key, known, err) || !json_get_number(value, key, "shortest_edge", &shortest, err) ||
             !json_get_number(value, key, "height", &height, err) ||
             !json_get_number(value, key, "width", &width, err)) {
    return false;
  }
  *out = (struct extent){0};
  if (shortest != 0)
    return whole_pixels(shortest, key, &out->shortest, err);
  return whole_pixels(height, key, &out->height, err) && whole_pixels(width, key, &out->width, err);
}

static void set_resize_to(struct card *card, int shortest, int height, int width)
{
  card->resize_to_said = SAID_BY_FILE;
  card->crop_rounding = ROUNDING_DOWN;
  card->resize_to[0] = shortest ? shortest : height;
  card->resize_to[1] = shortest ? 0 : width;
}

/* Resize and centre crop as size, resize and resize_to of the card. */
static bool read_geometry(const struct preprocessor *p, struct card *card, struct error *err)
{
  bool resize = true, crop = false;
  double crop_pct = 0;
  struct extent size = {0}, crop_size = {0};
  if (!json_get_bool(p->root, "", "do_resize", &resize, err) ||
      !json_get_bool(p->root, "", "do_center_crop", &crop, err) ||
      !json_get_number(p->root, "", "crop_pct", &crop_pct, err))
    return false;
  bool has_pct = json_object_get(p->root, "crop_pct") != NULL; /* null counts: only some classes have the key */
  bool one_is_shortest = has_pct || (crop && !*p->type);
  for (size_t i = 0; i < COUNT(shortest_side); i++)
    one_is_shortest = one_is_shortest || is_type(p, shortest_side[i]);
  if (!read_extent(p, "size", one_is_shortest, &size, err) || !read_extent(p, "crop_size", false, &crop_size, err))
    return false;
  if (crop_pct != 0 && !(crop_pct > 0 && crop_pct <= 1))
    return error_set(err, ERROR_FAILED, "crop_pct: %g is outside 0..1", crop_pct);
  if (crop_size.shortest)
    return error_set(err, ERROR_FAILED, "crop_size: height and width are wanted, shortest_edge is given");
  if (!resize && crop)
    return error_set(err, ERROR_FAILED, "do_center_crop: a crop without a resize, which a card cannot say");
  if (!resize || (!size.shortest && !size.height))
    return crop ? error_set(err, ERROR_FAILED, "size: missing, and do_center_crop is on") : true;

  if (is_type(p, "ConvNext") || (has_pct && !*p->type)) {
    if (!size.shortest)
      return error_set(err, ERROR_FAILED, "size: ConvNext's shortest_edge is missing");
    card->height = card->width = size.shortest;
    if (size.shortest < 384)
      set_resize_to(card, (int)(size.shortest / (crop_pct > 0 ? crop_pct : 224.0 / 256)), 0, 0);
  } else {
    int shortest = size.shortest;
    if (crop_pct > 0 && shortest)
      shortest = (int)(shortest / crop_pct);
    else if (crop_pct > 0 && size.height == size.width)
      shortest = (int)(size.height / crop_pct);
    else if (crop_pct > 0)
      return error_set(err, ERROR_FAILED, "crop_pct: %g with a size that is not square, which a card cannot say",
                       crop_pct);
    if (is_type(p, "Levit") && shortest)
      shortest = (int)(256.0 / 224 * shortest);
    if (crop && !crop_size.height)
      return error_set(err, ERROR_FAILED, "crop_size: missing, and do_center_crop is on");
    if (!crop && shortest)
      return error_set(err, ERROR_FAILED,
                       "size: the shortest side is set and do_center_crop is off: the input's size would follow the "
                       "picture's");
    card->height = crop ? crop_size.height : size.height;
    card->width = crop ? crop_size.width : size.width;
    if (crop)
      set_resize_to(card, shortest, size.height, size.width);
  }
  if (card->resize_to[0] > IMAGE_MAX_SIDE)
    return error_set(err, ERROR_FAILED, "crop_pct: a shortest side of %d px is more than %d", card->resize_to[0],
                     IMAGE_MAX_SIDE);
  return true;
}

static bool read_resample(const struct preprocessor *p, struct card *card, struct error *err)
{
  static const enum interpolation filters[] = {INTERPOLATION_NEAREST, INTERPOLATION_LANCZOS, INTERPOLATION_BILINEAR,
                                               INTERPOLATION_BICUBIC}; /* Pillow's codes 0 to 3 */
  double code = 2;
  if (!json_get_number(p->root, "", "resample", &code, err))
    return false;
  if (!(code >= 0 && code < (double)COUNT(filters)) || code != floor(code))
    return error_set(err, ERROR_FAILED, "resample: %g is not one of 0 nearest, 1 lanczos, 2 bilinear, 3 bicubic", code);
  card->interpolation = filters[(int)code];
  return true;
}

/* image_mean or image_std: one number or a list. */
static bool read_channel_list(const struct preprocessor *p, const char *key, double *out, int *count, struct error *err)
{
  size_t n = 0;
  const json_t *value = json_object_get(p->root, key);
  if (json_is_number(value)) {
    out[0] = json_number_value(value);
    n = 1;
  } else if (!json_get_numbers(p->root, "", key, out, CARD_MAX_CHANNELS, &n, err)) {
    return false;
  }
  if (n == 0)
    return error_set(err, ERROR_FAILED, "%s: missing, and do_normalize is on", key);
  *count = (int)n;
  return true;
}

static bool read_values(const struct preprocessor *p, struct card *card, struct error *err)
{
  bool rescale = true, offset = false, flip = false, top = is_type(p, "EfficientNet");
  double factor = 1.0 / 255;
  const json_t *mean = json_object_get(p->root, "image_mean");
  bool normalize = mean && !json_is_null(mean);
  if (!json_get_bool(p->root, "", "do_rescale", &rescale, err) ||
      !json_get_number(p->root, "", "rescale_factor", &factor, err) ||
      !json_get_bool(p->root, "", "rescale_offset", &offset, err) ||
      !json_get_bool(p->root, "", "do_normalize", &normalize, err) ||
      !json_get_bool(p->root, "", "do_flip_channels", &flip, err) ||
      !json_get_bool(p->root, "", "do_flip_channel_order", &flip, err) ||
      !json_get_bool(p->root, "", "include_top", &top, err))
    return false;
  if (rescale && factor == 0)
    return error_set(err, ERROR_FAILED, "rescale_factor: 0 would make every pixel the same");
  card->scale = rescale ? factor : 1;
  if (offset && !(rescale && fabs(factor * 127.5 - 1) < 1e-6))
    return error_set(err, ERROR_FAILED,
                     "rescale_offset: with rescale_factor %g it means different things in different "
                     "versions of transformers; only 1/127.5 is clear",
                     card->scale);
  if (flip && normalize)
    return error_set(err, ERROR_FAILED,
                     "do_flip_channel_order: together with do_normalize it is not clear which "
                     "order image_mean has");
  if (flip)
    card->channels = CHANNELS_BGR;
  if (normalize) {
    if (!read_channel_list(p, "image_mean", card->mean, &card->mean_count, err) ||
        !read_channel_list(p, "image_std", card->std, &card->std_count, err))
      return false;
    for (int c = 0; c < card->std_count; c++) {
      if (!(card->std[c] > 0))
        return error_set(err, ERROR_FAILED, "image_std: %g (channel %d) is not above 0", card->std[c], c);
      if (top && is_type(p, "EfficientNet"))
        card->std[c] *= card->std[c];
    }
  }
  if (offset) { /* value - 1 before the mean is taken */
    card->mean_count = card->mean_count ? card->mean_count : 1;
    for (int c = 0; c < card->mean_count; c++)
      card->mean[c] += 1;
  }
  return true;
}

/* id2label: {"0": "cat", "1": "dog"} with every index below the number of entries, in any order. */
static bool read_id2label(const json_t *config, struct card *card, struct error *err)
{
  const json_t *map = json_object_get(config, "id2label");
  if (!map || json_is_null(map))
    return true;
  size_t count = json_object_size(map);
  if (!json_is_object(map) || count == 0)
    return error_set(err, ERROR_FAILED, "id2label: an object of index and label is wanted");
  if (count > MAX_LABELS)
    return error_set(err, ERROR_FAILED, "id2label: %zu labels, more than %d", count, MAX_LABELS);
  char **labels = arena_array(card->arena, count, sizeof *labels);
  if (!labels)
    return error_memory(err, "the labels");
  const char *key;
  json_t *value;
  json_object_foreach ((json_t *)map, key, value) {
    int64_t index;
    if (!str_integer(key, &index) || index < 0 || (uint64_t)index >= count || labels[index])
      return error_set(err, ERROR_FAILED, "id2label: \"%.40s\" is not one of the indices 0..%zu, each once", key,
                       count - 1);
    const char *text = json_string_value(value);
    if (!text)
      return error_set(err, ERROR_FAILED, "id2label: the label of %s is not a text", key);
    if (!(labels[index] = arena_strdup(card->arena, text)))
      return error_memory(err, "the labels");
  }
  card->labels = labels;
  card->label_count = (int64_t)count;
  return true;
}

/* transformers' models end in logits and its pipeline applies the function that problem_type asks for, or, where it
 * asks for none, sigmoid for one class and softmax for more. Whether an exported graph already holds it is left to the
 * graph (activation_in_graph unset). */
static bool read_config(const json_t *config, struct card *card, struct error *err)
{
  const char *problem = NULL;
  if (!json_is_object(config))
    return error_set(err, ERROR_FAILED, "the file is not an object");
  if (!read_id2label(config, card, err) || !json_get_text(config, "", "problem_type", &problem, err))
    return false;
  if (!problem) {
    if (card->label_count > 0)
      card->activation = card->label_count == 1 ? ACTIVATION_SIGMOID : ACTIVATION_SOFTMAX;
  } else if (strcmp(problem, "multi_label_classification") == 0) {
    card->activation = ACTIVATION_SIGMOID;
  } else if (strcmp(problem, "single_label_classification") == 0) {
    card->activation = ACTIVATION_SOFTMAX;
  } else if (strcmp(problem, "regression") == 0) {
    card->activation = ACTIVATION_NONE;
  } else {
    return error_set(err, ERROR_FAILED,
                     "problem_type: \"%.60s\" is none of single_label_classification, "
                     "multi_label_classification, regression",
                     problem);
  }
  return true;
}

static bool read_preprocessor(const json_t *root, struct card *card, struct error *err)
{
  struct preprocessor p = {.root = root};
  if (!json_is_object(root))
    return error_set(err, ERROR_FAILED, "the file is not an object");
  return read_type(&p, err) && refuse_unknown(&p, err) && read_geometry(&p, card, err) &&
         read_resample(&p, card, err) && read_values(&p, card, err);
}

/* Load `path` and read it with `read`; errors begin with the path. */
static bool read_file(const char *path, bool (*read)(const json_t *, struct card *, struct error *), struct card *card,
                      struct error *err)
{
  json_t *root = json_load_path(path, CONFIG_BYTES, err);
  if (!root)
    return false;
  bool ok = read(root, card, err);
  json_decref(root);
  return ok ? true : error_prefix(err, "%s", path);
}

bool card_read_huggingface(struct card *card, const char *preprocessor_path, const char *config_path, struct error *err)
{
  if (!(card->path = arena_strdup(card->arena, preprocessor_path)))
    return error_memory(err, "the model card");
  return read_file(preprocessor_path, read_preprocessor, card, err) &&
         (!config_path || read_file(config_path, read_config, card, err));
}
