/* SPDX-License-Identifier: Apache-2.0 */
/* penumbra inspect: what a model takes, gives and consists of; and the draft of a card. */
#include "base/files.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/args.h"
#include "cli/help.h"
#include "cli/inputs.h"
#include "cli/tables.h"
#include "penumbra.h"

#include <stdio.h>
#include <string.h>

enum { CARD_LIMIT = 16 << 20, MOST_LABELS = 8 };

/* ---- writing a card --------------------------------------------------------------------------------------------- */

/* MODEL.onnx -> MODEL.json, beside it. */
static const char *beside(const struct args *args, const char *model)
{
  const char *name = strrchr(model, '/'), *dot = strrchr(name ? name + 1 : model, '.');
  int n = dot && dot != (name ? name + 1 : model) ? (int)(dot - model) : (int)strlen(model);
  return arena_printf(args->arena, "%.*s.json", n, model);
}

static bool write_card(const struct args *args, const char *model, const char *path, struct error *err)
{
  penumbra_error cause = {0};
  if (!path)
    path = beside(args, model);
  if (!path)
    return error_memory(err, "the card");
  bool to_stdout = strcmp(path, "-") == 0;
  if (!to_stdout && file_exists(path) && !args_has(args, "overwrite"))
    return error_set(err, ERROR_FAILED, "%s: exists; --overwrite replaces it", path);
  json_t *draft = tables_json(penumbra_draft_card_json(model, &cause), &cause, err);
  if (!draft)
    return false;
  const json_t *card = json_object_get(draft, "card"), *note;
  bool ok = true;
  size_t i;
  if (to_stdout)
    tables_print(card);
  else
    ok = json_write_path(card, path, err);
  if (ok && !to_stdout)
    fprintf(stderr, "%s: written; check what the graph does not say:\n", path);
  json_array_foreach (json_object_get(draft, "notes"), i, note)
    if (ok) {
      fputs("  ", stderr);
      help_wrap(stderr, json_string_value(note), 2, 4);
    }
  json_decref(draft);
  return ok;
}

/* ---- the report ------------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "?";
}

/* "1x3x224x224". */
static const char *shape_text(const json_t *shape, char *buffer, size_t size)
{
  size_t i, used = 0;
  const json_t *dim;
  buffer[0] = '\0';
  json_array_foreach (shape, i, dim) {
    int n = snprintf(buffer + used, size - used, "%s%lld", i ? "x" : "", (long long)json_integer_value(dim));
    if (n < 0 || (size_t)n >= size - used)
      break;
    used += (size_t)n;
  }
  return buffer;
}

/* Where the card lies: --card, or MODEL.json; NULL where there is neither, or it is Hugging Face's. */
static const char *card_path(const struct args *args, const char *model)
{
  const char *path = args_text(args, "card");
  const char *name = path ? strrchr(path, '/') : NULL;
  if (path)
    return strcmp(name ? name + 1 : path, "preprocessor_config.json") == 0 ? NULL : path;
  path = beside(args, model);
  return path && file_exists(path) ? path : NULL;
}

static bool was_set(const struct args *args, const char *key)
{
  for (int i = 0; i < args->n_given; i++)
    if (args->given[i].table == TABLE_CARD && strcmp(args->given[i].option->key, key) == 0)
      return true;
  return false;
}

/* Who said a field of the card. */
static const char *origin(const struct args *args, const json_t *file, bool card_found, const char *group,
                          const char *key, const json_t *value)
{
  const json_t *part = group ? json_object_get(file, group) : file;
  const json_t *said = json_object_get(part, key);
  if (was_set(args, strcmp(key, "name") == 0 ? "output" : key))
    return "option";
  if (said && !json_is_null(said))
    return "card";
  if (strcmp(key, "labels") == 0 && json_object_get(part, "labels_file"))
    return "card";
  if (json_is_null(value))
    return "not said";
  if (card_found && !file)
    return "Hugging Face's configuration, or default";
  if (strcmp(key, "size") == 0 || strcmp(key, "channels") == 0)
    return "graph";
  return "default";
}

static void print_field(const struct args *args, const json_t *file, bool card_found, const char *group,
                        const char *key, const json_t *value)
{
  char name[64], text[160];
  (void)snprintf(name, sizeof name, "%s%s%s", group ? group : "", group ? "." : "", key);
  if (json_array_size(value) > MOST_LABELS) {
    (void)snprintf(text, sizeof text, "%zu values", json_array_size(value));
  } else {
    json_brief(value, 0, text, sizeof text);
  }
  const char *from = origin(args, file, card_found, group, key, value);
  if (json_is_null(value))
    printf("  %-26s %s\n", name, from);
  else
    printf("  %-26s %s  (%s)\n", name, text, from);
}

static void print_card(const struct args *args, const json_t *card, const json_t *file, bool card_found)
{
  const char *key, *inner;
  json_t *value, *field;
  json_object_foreach ((json_t *)card, key, value) {
    bool group = strcmp(key, "input") == 0 || strcmp(key, "output") == 0;
    if (!group)
      print_field(args, file, card_found, NULL, key, value);
    else
      json_object_foreach (value, inner, field)
        print_field(args, file, card_found, key, inner, field);
  }
}

static void print_layers(const json_t *layers)
{
  size_t i;
  const json_t *layer;
  int widest = 4, ops = 2;
  char shape[96];
  json_array_foreach (layers, i, layer) {
    int n = help_columns(text_of(layer, "name")), m = help_columns(text_of(layer, "op"));
    widest = n > widest && n <= 60 ? n : widest;
    ops = m > ops ? m : ops;
  }
  printf("  %4s  %-*s  %-*s  %-16s  %10s\n", "", widest, "name", ops, "op", "shape", "MMAC");
  json_array_foreach (layers, i, layer)
    printf("  %4zu  %-*s  %-*s  %-16s  %10.3f\n", i, widest, text_of(layer, "name"), ops, text_of(layer, "op"),
           shape_text(json_object_get(layer, "shape"), shape, sizeof shape),
           json_number_value(json_object_get(layer, "macs")) * 1e-6);
}

/* "in file     447 operators: 98 Add, 72 MatMul …" */
static void print_operators(const char *what, const json_t *counts)
{
  const char *type;
  json_t *count;
  json_int_t total = 0;
  json_object_foreach ((json_t *)(uintptr_t)counts, type, count)
    total += json_integer_value(count);
  printf("  %-11s %lld operators:", what, (long long)total);
  const char *between = " ";
  json_object_foreach ((json_t *)(uintptr_t)counts, type, count) {
    printf("%s%lld %s", between, (long long)json_integer_value(count), type);
    between = ", ";
  }
  putchar('\n');
}

static void print_report(const struct args *args, const char *path, const json_t *model, const json_t *file)
{
  char shape[96];
  const json_t *input = json_object_get(model, "input"), *output = json_object_get(model, "output");
  const json_t *layers = json_object_get(model, "layers");
  bool card_found = json_is_true(json_object_get(model, "card_found"));
  printf("%s\n", path);
  printf("  format      ONNX, IR %lld, opset %lld, by %s\n",
         (long long)json_integer_value(json_object_get(model, "ir_version")),
         (long long)json_integer_value(json_object_get(model, "opset")),
         *text_of(model, "producer") ? text_of(model, "producer") : "an unnamed program");
  printf("  input       %s %s\n", text_of(input, "name"),
         shape_text(json_object_get(input, "shape"), shape, sizeof shape));
  printf("  output      %s, %lld class%s\n", text_of(output, "name"),
         (long long)json_integer_value(json_object_get(output, "classes")),
         json_integer_value(json_object_get(output, "classes")) == 1 ? "" : "es");
  printf("  activation  %s (the graph ends in %s)\n", text_of(model, "activation"), text_of(model, "ends_in"));
  printf("  layer       %s (watched unless --layer says another)\n", text_of(model, "default_layer"));
  print_operators("in file", json_object_get(json_object_get(model, "operators"), "file"));
  print_operators("run", json_object_get(json_object_get(model, "operators"), "run"));
  printf("  work        %.3f MMAC for one image\n", json_number_value(json_object_get(model, "macs")) * 1e-6);
  printf("\nCard (%s):\n", args_has(args, "card") ? args_text(args, "card")
                           : file                 ? card_path(args, path)
                           : card_found           ? "Hugging Face's configuration"
                                                  : "none; --write-card drafts one");
  print_card(args, json_object_get(model, "card"), file, card_found);
  printf("\nLayers (%zu):\n", json_array_size(layers));
  print_layers(layers);
}

static bool report(const struct args *args, const char *path, struct error *err)
{
  penumbra_error cause = {0};
  json_t *json = NULL, *file = NULL;
  penumbra_model *model = inputs_model(args, path, err);
  bool ok = model && (json = tables_json(penumbra_model_json(model, &cause), &cause, err)) != NULL;
  if (ok)
    inputs_notes(model, path);
  if (ok && args_has(args, "json")) {
    tables_print(json);
  } else if (ok) {
    const char *card = card_path(args, path);
    struct error ignored = {0}; /* the library has read it */
    file = card ? json_load_path(card, CARD_LIMIT, &ignored) : NULL;
    print_report(args, path, json, file);
  }
  json_decref(file);
  json_decref(json);
  penumbra_model_close(model);
  return ok;
}

static bool run(const struct args *args, struct error *err)
{
  const char *model = args->words[0], *file = args_text(args, "write-card");
  int follows = -1; /* the word after --write-card, which is its FILE where two words are given */
  for (int i = 0; i < args->n_given; i++)
    if (strcmp(args->given[i].option->name, "write-card") == 0)
      follows = args->given[i].next;
  if (args->n_words == 2) {
    if (!file || *file || follows < 0)
      return error_set(err, ERROR_USAGE,
                       "inspect: '%.60s' is one argument too many; usage: penumbra inspect [option…] MODEL",
                       args->words[1]);
    file = args->words[follows];
    model = args->words[1 - follows];
  }
  if (args_has(args, "write-card"))
    return write_card(args, model, file && *file ? file : NULL, err);
  return report(args, model, err);
}

static const struct option options[] = {
    {"json", 0, NULL, "print all of it as JSON", "Output", NULL},
    {"write-card", 0, "[FILE]",
     "draft a model card (default MODEL.json, - for standard output) and say what is guessed", "Output", NULL},
    {"overwrite", 0, NULL, "replace a card that is there", "Output", NULL},
    OPTION_CARD,
    OPTION_END,
};

const struct command command_inspect = {
    .name = "inspect",
    .summary = "Print what a model takes, gives and consists of, or draft its card",
    .usage = "MODEL",
    .details = "Each field of the card is printed with where it comes from: an option, the card's file, the graph, or "
               "a default.",
    .min_words = 1,
    .max_words = 2,
    .uses = USES_CARD,
    .options = options,
    .run = run,
};
