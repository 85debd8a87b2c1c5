/* SPDX-License-Identifier: Apache-2.0 */
/* One table holds every key of a card. The file, the options of the command line and the list of options are all read
 * through it: an option is turned into the JSON value the file would have had, and goes through the same checks. */
#include "model/card.h"

#include "base/files.h"
#include "base/json.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

enum { CARD_BYTES = 16 << 20, LABELS_BYTES = 16 << 20, MAX_LABELS = 1 << 20, ARENA_BYTES = 96 << 20 };

static const char *const channel_names[] = {NULL, "gray", "rgb", "bgr"};
static const char *const resize_names[] = {"stretch", "shortest-crop", "pad"};
static const char *const rounding_names[] = {"even", "down"};
static const char *const interpolation_names[] = {"nearest", "bilinear", "bicubic", "lanczos"};
static const char *const activation_names[] = {NULL, "none", "softmax", "sigmoid", "log_softmax"};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

bool card_init(struct card *card, struct error *err)
{
  *card = (struct card){
      .scale = 1, .interpolation = INTERPOLATION_BILINEAR, .activation_in_graph = -1, .normal = CARD_NORMAL_UNSET};
  for (int c = 0; c < CARD_MAX_CHANNELS; c++)
    card->std[c] = 1;
  card->arena = arena_new(ARENA_BYTES);
  return card->arena ? true : error_memory(err, "the model card");
}

void card_free(struct card *card)
{
  json_decref(card->source);
  json_decref(card->evaluation);
  arena_free(card->arena);
  *card = (struct card){0};
}

const char *card_channels_name(enum card_channels channels)
{
  return channel_names[channels];
}

const char *card_resize_name(enum card_resize resize)
{
  return resize_names[resize];
}

const char *card_rounding_name(enum card_rounding rounding)
{
  return rounding_names[rounding];
}

const char *card_interpolation_name(enum interpolation interpolation)
{
  return interpolation_names[interpolation];
}

const char *activation_name(enum activation activation)
{
  return activation_names[activation];
}

bool activation_parse(const char *text, enum activation *out)
{
  for (size_t i = ACTIVATION_NONE; i < COUNT(activation_names); i++)
    if (strcmp(text, activation_names[i]) == 0) {
      *out = (enum activation)i;
      return true;
    }
  return false;
}

/* Values of one key. `where` is the key's group ("input"), `key` its name there; the value is present and not null. */

static bool get_whole(const char *where, const char *key, double value, int max, int *out, struct error *err)
{
  if (!(value >= 1 && value <= max) || value != floor(value))
    return error_set(err, ERROR_FAILED, "%s.%s: %g is not a whole number of 1..%d px", where, key, value, max);
  *out = (int)value;
  return true;
}

/* A list of 1..max numbers, or one number in place of a list of one. */
static bool get_list(const json_t *object, const char *where, const char *key, double *out, size_t max, int *count,
                     struct error *err)
{
  size_t n = 1;
  if (json_is_number(json_object_get(object, key))) {
    if (!json_get_number(object, where, key, out, err))
      return false;
  } else if (!json_get_numbers(object, where, key, out, max, &n, err)) {
    return false;
  }
  if (n == 0)
    return error_set(err, ERROR_FAILED, "%s.%s: the list is empty", where, key);
  *count = (int)n;
  return true;
}

static bool get_choice(const json_t *object, const char *where, const char *key, const char *const *names, size_t count,
                       int *out, struct error *err)
{
  const char *text = NULL;
  if (!json_get_text(object, where, key, &text, err))
    return false;
  struct str list;
  str_init(&list, 128);
  for (size_t i = 0; i < count; i++) {
    if (!names[i]) /* stands for what is not set */
      continue;
    if (strcmp(names[i], text) == 0) {
      *out = (int)i;
      str_free(&list);
      return true;
    }
    str_printf(&list, "%s%s", list.length ? ", " : "", names[i]);
  }
  error_set(err, ERROR_FAILED, "%s.%s: \"%.60s\" is none of %s", where, key, text, list.failed ? "?" : list.text);
  str_free(&list);
  return false;
}

/* [H, W], or one number, which leaves v[1] as it is. */
static bool get_sides(const json_t *object, const char *where, const char *key, int v[2], struct error *err)
{
  double sides[2];
  int n;
  if (!get_list(object, where, key, sides, 2, &n, err))
    return false;
  if (n == 1 && !json_is_number(json_object_get(object, key)))
    return error_set(err, ERROR_FAILED, "%s.%s: [height, width] is wanted, 1 value is given", where, key);
  return get_whole(where, key, sides[0], IMAGE_MAX_SIDE, &v[0], err) &&
         (n == 1 || get_whole(where, key, sides[1], IMAGE_MAX_SIDE, &v[1], err));
}

static bool read_size(struct card *card, const json_t *object, const char *where, const char *key, struct error *err)
{
  int v[2] = {0};
  if (!get_sides(object, where, key, v, err))
    return false;
  card->height = v[0];
  card->width = v[1] ? v[1] : v[0];
  return true;
}

static bool read_channels(struct card *card, const json_t *object, const char *where, const char *key,
                          struct error *err)
{
  int i;
  if (!get_choice(object, where, key, channel_names, COUNT(channel_names), &i, err))
    return false;
  card->channels = (enum card_channels)i;
  return true;
}

static bool read_range(struct card *card, const json_t *object, const char *where, const char *key, struct error *err)
{
  double v[2];
  int n;
  if (!get_list(object, where, key, v, 2, &n, err))
    return false;
  if (n != 2)
    return error_set(err, ERROR_FAILED, "%s.%s: [lo, hi] is wanted, 1 value is given", where, key);
  if (!(v[0] < v[1]))
    return error_set(err, ERROR_FAILED, "%s.%s: lo %g is not below hi %g", where, key, v[0], v[1]);
  memcpy(card->range, v, sizeof v);
  card->has_range = true;
  return true;
}

static bool read_scale(struct card *card, const json_t *object, const char *where, const char *key, struct error *err)
{
  double v = 0;
  if (!json_get_number(object, where, key, &v, err))
    return false;
  if (v == 0)
    return error_set(err, ERROR_FAILED, "%s.%s: 0 would make every pixel the same", where, key);
  card->scale = v;
  return true;
}

static bool read_mean(struct card *card, const json_t *object, const char *where, const char *key, struct error *err)
{
  return get_list(object, where, key, card->mean, CARD_MAX_CHANNELS, &card->mean_count, err);
}

static bool read_std(struct card *card, const json_t *object, const char *where, const char *key, struct error *err)
{
  if (!get_list(object, where, key, card->std, CARD_MAX_CHANNELS, &card->std_count, err))
    return false;
  for (int c = 0; c < card->std_count; c++)
    if (!(card->std[c] > 0))
      return error_set(err, ERROR_FAILED, "%s.%s: %g (channel %d) is not above 0", where, key, card->std[c], c);
  return true;
}

static bool read_dataset_mean(struct card *card, const json_t *object, const char *where, const char *key,
                              struct error *err)
{
  card->has_dataset_mean = true;
  return get_list(object, where, key, card->dataset_mean, CARD_MAX_CHANNELS, &card->dataset_mean_count, err);
}

static bool read_dataset_std(struct card *card, const json_t *object, const char *where, const char *key,
                             struct error *err)
{
  if (!get_list(object, where, key, card->dataset_std, CARD_MAX_CHANNELS, &card->dataset_std_count, err))
    return false;
  for (int c = 0; c < card->dataset_std_count; c++)
    if (!(card->dataset_std[c] > 0))
      return error_set(err, ERROR_FAILED, "%s.%s: %g (channel %d) is not above 0", where, key, card->dataset_std[c], c);
  card->has_dataset_std = true;
  return true;
}

static bool read_resize(struct card *card, const json_t *object, const char *where, const char *key, struct error *err)
{
  int i;
  if (!get_choice(object, where, key, resize_names, COUNT(resize_names), &i, err))
    return false;
  card->resize = (enum card_resize)i;
  card->resize_said = SAID_BY_FILE;
  return true;
}

static bool read_resize_to(struct card *card, const json_t *object, const char *where, const char *key,
                           struct error *err)
{
  card->resize_to_said = SAID_BY_FILE;
  card->resize_to[1] = 0;
  return get_sides(object, where, key, card->resize_to, err);
}

static bool read_crop_rounding(struct card *card, const json_t *object, const char *where, const char *key,
                               struct error *err)
{
  int i;
  if (!get_choice(object, where, key, rounding_names, COUNT(rounding_names), &i, err))
    return false;
  card->crop_rounding = (enum card_rounding)i;
  return true;
}

static bool read_interpolation(struct card *card, const json_t *object, const char *where, const char *key,
                               struct error *err)
{
  int i;
  if (!get_choice(object, where, key, interpolation_names, COUNT(interpolation_names), &i, err))
    return false;
  card->interpolation = (enum interpolation)i;
  return true;
}

static bool read_output_name(struct card *card, const json_t *object, const char *where, const char *key,
                             struct error *err)
{
  const char *text = NULL;
  if (!json_get_text(object, where, key, &text, err))
    return false;
  card->output_name = arena_strdup(card->arena, text);
  return card->output_name ? true : error_memory(err, "the model card");
}

static bool read_activation(struct card *card, const json_t *object, const char *where, const char *key,
                            struct error *err)
{
  int i;
  if (!get_choice(object, where, key, activation_names, COUNT(activation_names), &i, err))
    return false;
  card->activation = (enum activation)i;
  return true;
}

static bool read_activation_in_graph(struct card *card, const json_t *object, const char *where, const char *key,
                                     struct error *err)
{
  bool yes = false;
  if (!json_get_bool(object, where, key, &yes, err))
    return false;
  card->activation_in_graph = yes;
  return true;
}

static bool read_labels(struct card *card, const json_t *object, const char *where, const char *key, struct error *err)
{
  const json_t *list = json_object_get(object, key);
  size_t count = json_array_size(list);
  if (!json_is_array(list) || count == 0)
    return error_set(err, ERROR_FAILED, "%s.%s: a list of one text per class is wanted", where, key);
  if (count > MAX_LABELS)
    return error_set(err, ERROR_FAILED, "%s.%s: %zu labels, more than %d", where, key, count, MAX_LABELS);
  char **labels = arena_array(card->arena, count, sizeof *labels);
  if (!labels)
    return error_memory(err, "the labels");
  for (size_t i = 0; i < count; i++) {
    const char *text = json_string_value(json_array_get(list, i));
    if (!text)
      return error_set(err, ERROR_FAILED, "%s.%s: entry %zu is not a text", where, key, i);
    if (!(labels[i] = arena_strdup(card->arena, text)))
      return error_memory(err, "the labels");
  }
  card->labels = labels;
  card->label_count = (int64_t)count;
  return true;
}

/* One label per line. A byte order mark and carriage returns are left out; what follows the last line end is a label
 * only if there is something. */
static bool parse_labels(struct card *card, const struct file_map *file, struct error *err)
{
  const char *bytes = (const char *)file->data;
  size_t size = file->size;
  if (size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
    bytes += 3;
    size -= 3;
  }
  if (size == 0)
    return error_set(err, ERROR_FAILED, "the file is empty");
  if (memchr(bytes, 0, size))
    return error_set(err, ERROR_FAILED, "a zero byte: this is no text");
  size_t count = bytes[size - 1] != '\n';
  for (size_t i = 0; i < size; i++)
    count += bytes[i] == '\n';
  if (count > MAX_LABELS)
    return error_set(err, ERROR_FAILED, "%zu lines, more than %d", count, MAX_LABELS);
  char *text = arena_strndup(card->arena, bytes, size);
  char **labels = arena_array(card->arena, count, sizeof *labels);
  if (!text || !labels)
    return error_memory(err, "the labels");
  if (!str_is_utf8(text))
    return error_set(err, ERROR_FAILED, "the text is not UTF-8");
  for (size_t i = 0; i < count; i++) {
    labels[i] = text;
    char *end = strchr(text, '\n');
    if (!end)
      end = text + strlen(text);
    text = *end ? end + 1 : end;
    if (end > labels[i] && end[-1] == '\r')
      end--;
    *end = '\0';
  }
  card->labels = labels;
  card->label_count = (int64_t)count;
  return true;
}

static bool read_labels_file(struct card *card, const json_t *object, const char *where, const char *key,
                             struct error *err)
{
  const char *name = NULL;
  if (!json_get_text(object, where, key, &name, err))
    return false;
  const char *path = card->path ? card->path : "";
  const char *slash = strrchr(path, '/');
  char *dir = slash ? arena_strndup(card->arena, path, slash == path ? 1 : (size_t)(slash - path))
                    : arena_strdup(card->arena, ".");
  if (!dir)
    return error_memory(err, "the labels");
  struct file_map file;
  if (!file_map_within(dir, name, false, &file, err))
    return error_prefix(err, "%s.%s", where, key);
  bool ok = file.size <= LABELS_BYTES
                ? parse_labels(card, &file, err)
                : error_set(err, ERROR_FAILED, "%zu bytes, more than %d", file.size, LABELS_BYTES);
  file_unmap(&file);
  return ok ? true : error_prefix(err, "%s.%s: %s", where, key, name);
}

static bool read_thresholds(struct card *card, const json_t *object, const char *where, const char *key,
                            struct error *err)
{
  const json_t *value = json_object_get(object, key);
  size_t count = json_is_number(value) ? 1 : json_array_size(value);
  if (count == 0)
    return error_set(err, ERROR_FAILED, "%s.%s: a number, or a list of one number per class, is wanted", where, key);
  if (count > MAX_LABELS)
    return error_set(err, ERROR_FAILED, "%s.%s: %zu values, more than %d", where, key, count, MAX_LABELS);
  double *thresholds = arena_array(card->arena, count, sizeof *thresholds);
  if (!thresholds)
    return error_memory(err, "the thresholds");
  for (size_t i = 0; i < count; i++) {
    const json_t *number = json_is_array(value) ? json_array_get(value, i) : value;
    if (!json_is_number(number))
      return error_set(err, ERROR_FAILED, "%s.%s: entry %zu is not a number", where, key, i);
    thresholds[i] = json_number_value(number);
    if (!(thresholds[i] >= 0 && thresholds[i] <= 1))
      return error_set(err, ERROR_FAILED, "%s.%s: %g (class %zu) is outside 0..1", where, key, thresholds[i], i);
  }
  card->thresholds = thresholds;
  card->threshold_count = (int64_t)count;
  return true;
}

static bool read_normal(struct card *card, const json_t *object, const char *where, const char *key, struct error *err)
{
  const json_t *value = json_object_get(object, key);
  card->normal_name = NULL;
  card->normal = CARD_NORMAL_UNSET;
  if (json_is_integer(value) && json_integer_value(value) >= 0) {
    card->normal = json_integer_value(value);
    return true;
  }
  if (!json_is_string(value) || !*json_string_value(value))
    return error_set(err, ERROR_FAILED, "%s.%s: a label, the index of a class, or \"%s\" is wanted", where, key,
                     CARD_NONE_ABOVE);
  card->normal_name = arena_strdup(card->arena, json_string_value(value));
  return card->normal_name ? true : error_memory(err, "the model card");
}

static bool read_source(struct card *card, const json_t *object, const char *where, const char *key, struct error *err)
{
  (void)where;
  (void)err;
  json_decref(card->source);
  card->source = json_incref(json_object_get(object, key));
  return true;
}

static bool read_evaluation(struct card *card, const json_t *object, const char *where, const char *key,
                            struct error *err)
{
  (void)where;
  (void)err;
  json_decref(card->evaluation);
  card->evaluation = json_incref(json_object_get(object, key));
  return true;
}

/* How the text of an option becomes a JSON value. */
enum text_kind { TEXT_NUMBERS, TEXT_NUMBER, TEXT_SIZE, TEXT_PLAIN, TEXT_BOOL, TEXT_FILE };

struct field {
  const char *group, *key; /* group NULL: at the top of the card */
  bool (*read)(struct card *card, const json_t *object, const char *where, const char *key, struct error *err);
  enum text_kind text;
  const char *option;
};

/* X(group, key, read, kind of text, option, summary) */
/* clang-format off */
#define FIELDS(X) \
  X("input", "size", read_size, TEXT_SIZE, "size", "HxW or N: the model's input, px") \
  X("input", "channels", read_channels, TEXT_PLAIN, "channels", "gray, rgb or bgr") \
  X("input", "range", read_range, TEXT_NUMBERS, "range", "LO,HI: source codes that map to 0..255") \
  X("input", "scale", read_scale, TEXT_NUMBER, "scale", "value = (pixel * scale - mean) / std") \
  X("input", "mean", read_mean, TEXT_NUMBERS, "mean", "one number, or one per channel") \
  X("input", "std", read_std, TEXT_NUMBERS, "std", "one number, or one per channel") \
  X("input", "resize", read_resize, TEXT_PLAIN, "resize", "stretch, shortest-crop or pad") \
  X("input", "resize_to", read_resize_to, TEXT_SIZE, "resize_to", \
    "N: shortest side to N px before the centre crop; HxW: both sides") \
  X("input", "crop_rounding", read_crop_rounding, TEXT_PLAIN, "crop_rounding", \
    "even (torchvision) or down (transformers): half a pixel of the crop after resize_to") \
  X("input", "interpolation", read_interpolation, TEXT_PLAIN, "interpolation", \
    "nearest, bilinear, bicubic or lanczos") \
  X("input", "dataset_mean", read_dataset_mean, TEXT_NUMBERS, "dataset_mean", \
    "mean of the training images in source units, for fills") \
  X("input", "dataset_std", read_dataset_std, TEXT_NUMBERS, "dataset_std", \
    "standard deviation of the training images in source units, for fills") \
  X("output", "name", read_output_name, TEXT_PLAIN, "output", "name of the graph's output that holds the scores") \
  X("output", "activation", read_activation, TEXT_PLAIN, "activation", "softmax, sigmoid, log_softmax or none") \
  X("output", "activation_in_graph", read_activation_in_graph, TEXT_BOOL, "activation_in_graph", \
    "on or off: whether the graph applies it itself") \
  X("output", "labels", read_labels, TEXT_FILE, "labels", "FILE with one label per line, UTF-8") \
  X("output", "thresholds", read_thresholds, TEXT_NUMBERS, "thresholds", "one number, or one per class, 0..1") \
  X("output", "normal", read_normal, TEXT_PLAIN, "normal", \
    "label or index of the class that counts as healthy, or \"none above threshold\"") \
  X(NULL, "source", read_source, TEXT_PLAIN, "source", "where the model is from") \
  X(NULL, "evaluation", read_evaluation, TEXT_PLAIN, "evaluation", "how good the model is")
/* clang-format on */

#define FIELD(group, key, read, text, option, summary)  {group, key, read, text, option},
#define OPTION(group, key, read, text, option, summary) {option, summary},

static const struct field fields[] = {
    FIELDS(FIELD)
    /* A file may name another one beside it; on the command line that is what `labels` means. */
    {"output", "labels_file", read_labels_file, TEXT_FILE, NULL},
};

const struct card_option card_options[] = {FIELDS(OPTION){NULL, NULL}};

static bool in_group(const struct field *f, const char *group)
{
  return group && f->group ? strcmp(f->group, group) == 0 : group == f->group;
}

/* Everything of one object of the card; `group` NULL is the card itself. */
static bool read_group(struct card *card, const json_t *object, const char *group, struct error *err)
{
  const char *known[COUNT(fields) + 3];
  size_t count = 0;
  if (!group) {
    known[count++] = "input";
    known[count++] = "output";
  }
  for (size_t i = 0; i < COUNT(fields); i++)
    if (in_group(&fields[i], group))
      known[count++] = fields[i].key;
  known[count] = NULL;
  const char *where = group ? group : "";
  if (!json_is_object(object))
    return error_set(err, ERROR_FAILED, "%s: is not an object", group ? group : "the card");
  if (!json_only_keys(object, where, known, err))
    return false;
  for (size_t i = 0; i < COUNT(fields); i++) {
    const struct field *f = &fields[i];
    const json_t *value = json_object_get(object, f->key);
    if (in_group(f, group) && value && !json_is_null(value) && !f->read(card, object, where, f->key, err))
      return false;
  }
  return true;
}

static bool read_root(struct card *card, const json_t *root, struct error *err)
{
  if (!read_group(card, root, NULL, err))
    return false;
  const json_t *input = json_object_get(root, "input"), *output = json_object_get(root, "output");
  if (input && !json_is_null(input) && !read_group(card, input, "input", err))
    return false;
  if (!output || json_is_null(output))
    return true;
  if (json_is_array(json_object_get(output, "labels")) && json_is_string(json_object_get(output, "labels_file")))
    return error_set(err, ERROR_FAILED, "output.labels and output.labels_file are both given, one is wanted");
  return read_group(card, output, "output", err);
}

/* The first `length` bytes of `path` followed by `name`. */
static char *path_beside(struct card *card, const char *path, size_t length, const char *name)
{
  size_t tail = strlen(name) + 1;
  char *joined = arena_alloc(card->arena, length + tail);
  if (joined) {
    memcpy(joined, path, length);
    memcpy(joined + length, name, tail);
  }
  return joined;
}

/* Bytes of `path` up to and with the last slash. */
static size_t folder_length(const char *path)
{
  const char *slash = strrchr(path, '/');
  return slash ? (size_t)(slash + 1 - path) : 0;
}

/* preprocessor_config.json with the config.json beside it, if there is one. */
static bool read_huggingface(struct card *card, const char *path, struct error *err)
{
  const char *config = path_beside(card, path, folder_length(path), "config.json");
  if (!config)
    return error_memory(err, "the model card");
  return card_read_huggingface(card, path, file_exists(config) ? config : NULL, err);
}

bool card_read(struct card *card, const char *path, struct error *err)
{
  if (strcmp(path + folder_length(path), "preprocessor_config.json") == 0)
    return read_huggingface(card, path, err);
  if (!(card->path = arena_strdup(card->arena, path)))
    return error_memory(err, "the model card");
  json_t *root = json_load_path(path, CARD_BYTES, err);
  if (!root)
    return false;
  bool ok = read_root(card, root, err);
  json_decref(root);
  return ok ? true : error_prefix(err, "%s", path);
}

bool card_find(struct card *card, const char *model_path, bool *found, struct error *err)
{
  *found = false;
  size_t folder = folder_length(model_path), stem = strlen(model_path);
  const char *dot = strrchr(model_path + folder, '.');
  if (dot && dot != model_path + folder)
    stem = (size_t)(dot - model_path);
  const char *own = path_beside(card, model_path, stem, ".json");
  if (!own)
    return error_memory(err, "the model card");
  if (file_exists(own)) {
    *found = true;
    return card_read(card, own, err);
  }
  /* Repositories of exported models keep the graph in a folder "onnx" below the configuration. */
  bool below = folder >= 5 && strncmp(model_path + folder - 5, "onnx/", 5) == 0 &&
               (folder == 5 || model_path[folder - 6] == '/');
  static const char *const places[] = {"preprocessor_config.json", "../preprocessor_config.json"};
  for (int i = 0; i < (below ? 2 : 1) && !*found; i++) {
    const char *path = path_beside(card, model_path, folder, places[i]);
    if (!path)
      return error_memory(err, "the model card");
    if (file_exists(path)) {
      *found = true;
      return read_huggingface(card, path, err);
    }
  }
  return true;
}

/* Options */

/* "1,2.5,3" as a list; *ok is false where that is not what the text holds, NULL without *ok = false where memory is
 * out. */
static json_t *numbers_of_text(const char *text, char separator, bool *ok)
{
  json_t *list = json_array();
  while (list) {
    const char *end = strchrnul(text, separator);
    char piece[64] = "";
    double v;
    if ((size_t)(end - text) < sizeof piece)
      memcpy(piece, text, (size_t)(end - text));
    *ok = str_number(piece, &v);
    if (!*ok || json_array_append_new(list, json_real(v)) != 0)
      break;
    if (!*end)
      return list;
    text = end + 1;
  }
  json_decref(list);
  return NULL;
}

/* The value that the file would have had; NULL with an error. */
static json_t *json_of_text(const struct field *f, const char *text, struct error *err)
{
  static const char *const yes[] = {"on", "true", "1", ""}, *const no[] = {"off", "false", "0"};
  const char *wanted = "UTF-8";
  json_t *value = NULL;
  bool ok = true;
  switch (f->text) {
  case TEXT_NUMBERS:
    wanted = "a list of numbers";
    value = numbers_of_text(text, ',', &ok);
    break;
  case TEXT_NUMBER:
    wanted = "a number";
    double v;
    if ((ok = str_number(text, &v)))
      value = json_real(v);
    break;
  case TEXT_SIZE:
    wanted = "a size like 224x224 or 224";
    value = numbers_of_text(text, 'x', &ok);
    if (json_array_size(value) == 1) { /* one number is not written as a list */
      json_t *number = json_incref(json_array_get(value, 0));
      json_decref(value);
      value = number;
    }
    break;
  case TEXT_BOOL:
    wanted = "on or off";
    for (size_t i = 0; i < COUNT(yes) && !value; i++)
      value = strcmp(text, yes[i]) == 0 ? json_true() : NULL;
    for (size_t i = 0; i < COUNT(no) && !value; i++)
      value = strcmp(text, no[i]) == 0 ? json_false() : NULL;
    ok = value != NULL;
    break;
  case TEXT_PLAIN:
  case TEXT_FILE:
    ok = str_is_utf8(text);
    value = json_string(text);
    break;
  }
  if (!ok)
    error_set(err, ERROR_USAGE, "%s: \"%.60s\" is not %s", f->option, text, wanted);
  else if (!value)
    error_memory(err, "the model card");
  return value;
}

static bool set_labels(struct card *card, const char *path, struct error *err)
{
  struct file_map file;
  if (!file_map(path, LABELS_BYTES, &file, err))
    return false;
  bool ok = parse_labels(card, &file, err);
  file_unmap(&file);
  return ok ? true : error_prefix(err, "%s", path);
}

static const struct field *field_of_option(const char *option)
{
  for (size_t i = 0; i < COUNT(fields); i++)
    if (fields[i].option && strcmp(fields[i].option, option) == 0)
      return &fields[i];
  return NULL;
}

bool card_set(struct card *card, const char *key, const char *value, struct error *err)
{
  char option[64];
  size_t length = strlen(key);
  if (length >= sizeof option)
    length = sizeof option - 1;
  for (size_t i = 0; i < length; i++)
    option[i] = key[i] == '-' ? '_' : key[i];
  option[length] = '\0';
  const struct field *f = field_of_option(option);
  if (!f) {
    const char *names[COUNT(card_options)];
    for (size_t i = 0; i < COUNT(card_options); i++)
      names[i] = card_options[i].name;
    const char *nearest = str_nearest(option, names);
    return error_set(err, ERROR_USAGE, "%.63s: no such key of the model card%s%s%s", key,
                     nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
  }
  if (f->read == read_labels)
    return set_labels(card, value, err);
  json_t *item = json_of_text(f, value, err);
  if (!item)
    return false;
  json_t *object = json_object();
  if (json_object_set_new(object, f->key, item) != 0) {
    json_decref(object);
    return error_memory(err, "the model card");
  }
  /* An index is written without quotes in a file; here every value is text, which card_check resolves. */
  bool ok = f->read(card, object, f->group ? f->group : "", f->key, err);
  json_decref(object);
  if (f->read == read_resize)
    card->resize_said = SAID_BY_OPTION;
  if (f->read == read_resize_to)
    card->resize_to_said = SAID_BY_OPTION;
  if (!ok && err->code == ERROR_FAILED)
    err->code = ERROR_USAGE;
  return ok;
}

bool card_set_text(struct card *card, const char *text, struct error *err)
{
  char key[64];
  const char *equals = strchr(text, '=');
  if (!equals || (size_t)(equals - text) >= sizeof key)
    return error_set(err, ERROR_USAGE, "model setting '%.60s' is not KEY=VALUE", text);
  memcpy(key, text, (size_t)(equals - text));
  key[equals - text] = '\0';
  return card_set(card, key, equals + 1, err);
}
