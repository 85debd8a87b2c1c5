/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tables.h"

#include "base/str.h"
#include "cli/help.h"

#include <stdio.h>
#include <string.h>

enum { FACTS_LIMIT = 4096 };

bool tables_error(const penumbra_error *from, struct error *err)
{
  /* The codes of both are the same numbers. */
  return error_set(err, from->code ? (enum error_code)from->code : ERROR_FAILED, "%s",
                   from->message[0] ? from->message : "failed without a reason");
}

json_t *tables_json(char *text, const penumbra_error *from, struct error *err)
{
  if (!text) {
    tables_error(from, err);
    return NULL;
  }
  json_error_t cause;
  json_t *value = json_loads(text, JSON_DECODE_ANY, &cause);
  if (!value)
    error_set(err, ERROR_FAILED, "the library's description cannot be read: %s", cause.text);
  penumbra_text_free(text);
  return value;
}

json_t *tables_text(const char *text)
{
  char *clean = mem_strdup(text);
  if (!clean)
    return NULL;
  str_clean(clean);
  json_t *value = json_string(clean);
  mem_free(clean);
  return value;
}

void tables_print(const json_t *value)
{
  /* 9 digits hold a float32. */
  (void)json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9) | JSON_ENCODE_ANY);
  putchar('\n');
}

static const char *text_of(const json_t *object, const char *key)
{
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "";
}

/* As typed: hyphens. */
static char *option_name(struct arena *arena, const char *key)
{
  char *name = arena_strdup(arena, key);
  for (char *p = name; p && *p; p++)
    if (*p == '_')
      *p = '-';
  return name;
}

/* "size" -> "SIZE". */
static char *upper(struct arena *arena, const char *text)
{
  char *copy = arena_strdup(arena, text);
  for (char *p = copy; p && *p; p++)
    if (*p >= 'a' && *p <= 'z')
      *p -= 'a' - 'A';
  return copy;
}

static bool is_flag(const json_t *parameter)
{
  return strcmp(text_of(parameter, "type"), "bool") == 0;
}

const struct option *tables_card(struct arena *arena)
{
  struct error ignored = {0};
  json_t *list = tables_json(penumbra_card_options_json(), &(penumbra_error){0}, &ignored);
  size_t n = json_array_size(list), i;
  struct option *table = list ? arena_array(arena, n + 1, sizeof *table) : NULL;
  const json_t *item;
  json_array_foreach (list, i, item) {
    if (!table)
      break;
    const char *key = arena_strdup(arena, text_of(item, "name"));
    table[i] = (struct option){.name = key ? option_name(arena, key) : NULL,
                               .argument = "VALUE",
                               .summary = arena_strdup(arena, text_of(item, "summary")),
                               .group = "Model card",
                               .key = key};
    if (!table[i].name || !table[i].summary)
      table = NULL;
  }
  json_decref(list);
  return table;
}

char *tables_value(struct arena *arena, const json_t *value)
{
  if (json_is_string(value))
    return arena_strdup(arena, json_string_value(value));
  if (json_is_boolean(value))
    return arena_strdup(arena, json_is_true(value) ? "on" : "off");
  if (json_is_integer(value))
    return arena_printf(arena, "%lld", (long long)json_integer_value(value));
  if (json_is_number(value))
    return arena_printf(arena, "%.9g", json_number_value(value));
  return arena_strdup(arena, "none");
}

static void add_fact(struct str *s, const char *what, const char *value)
{
  str_printf(s, "%s%s%s", s->length ? ", " : "", what, value ? value : "");
}

char *tables_facts(struct arena *arena, const json_t *parameter)
{
  struct str s;
  str_init(&s, FACTS_LIMIT);
  const json_t *min = json_object_get(parameter, "min"), *max = json_object_get(parameter, "max");
  const json_t *choices = json_object_get(parameter, "choices"), *choice;
  const json_t *initial = json_object_get(parameter, "default"), *paper = json_object_get(parameter, "paper");
  const char *unit = json_string_value(json_object_get(parameter, "unit"));
  size_t i;
  json_array_foreach (choices, i, choice)
    str_printf(&s, "%s%s", i ? " | " : "", json_string_value(choice));
  if (unit)
    add_fact(&s, "", unit);
  if (json_is_number(min) && json_is_number(max))
    add_fact(&s, "", arena_printf(arena, "%.9g..%.9g", json_number_value(min), json_number_value(max)));
  else if (json_is_number(min))
    add_fact(&s, "at least ", tables_value(arena, min));
  else if (json_is_number(max))
    add_fact(&s, "at most ", tables_value(arena, max));
  if (initial && !json_is_null(initial) && !(json_is_string(initial) && !*json_string_value(initial)))
    add_fact(&s, "default ", tables_value(arena, initial));
  if (paper && !json_is_null(paper))
    add_fact(&s, "paper ", tables_value(arena, paper));
  char *facts = s.failed ? NULL : arena_strdup(arena, s.text ? s.text : "");
  str_free(&s);
  return facts;
}

/* The options of one method or metric, from table[*n] on. */
static bool add_method(struct arena *arena, const json_t *method, struct option *table, size_t *n)
{
  const json_t *parameters = json_object_get(method, "parameters"), *p;
  const char *group = arena_printf(arena, "Parameters of %s", text_of(method, "name"));
  size_t i;
  json_array_foreach (parameters, i, p) {
    const char *key = arena_strdup(arena, text_of(p, "name"));
    const char *facts = tables_facts(arena, p);
    struct option *o = &table[(*n)++];
    *o = (struct option){.name = key ? option_name(arena, key) : NULL,
                         .argument = is_flag(p) ? "[on|off]" : upper(arena, text_of(p, "type")),
                         .summary = !facts   ? NULL
                                    : *facts ? arena_printf(arena, "%s (%s)", text_of(p, "summary"), facts)
                                             : arena_strdup(arena, text_of(p, "summary")),
                         .group = group,
                         .key = key};
    if (!o->name || !o->argument || !o->summary || !group)
      return false;
  }
  return true;
}

/* Every parameter of every entry of a registry; the text is the library's. */
static const struct option *parameters(struct arena *arena, char *text, const penumbra_error *cause)
{
  struct error ignored = {0};
  json_t *list = tables_json(text, cause, &ignored);
  const json_t *item;
  size_t n = 0, i;
  json_array_foreach (list, i, item)
    n += json_array_size(json_object_get(item, "parameters"));
  struct option *table = list ? arena_array(arena, n + 1, sizeof *table) : NULL;
  n = 0;
  json_array_foreach (list, i, item)
    if (table && !add_method(arena, item, table, &n))
      table = NULL;
  json_decref(list);
  return table;
}

const struct option *tables_methods(struct arena *arena)
{
  penumbra_error cause = {0};
  return parameters(arena, penumbra_methods_json(NULL, &cause), &cause);
}

const struct option *tables_metrics(struct arena *arena)
{
  penumbra_error cause = {0};
  return parameters(arena, penumbra_metrics_json(NULL, &cause), &cause);
}

/* ---- to be read ------------------------------------------------------------------------------------------------- */

enum { NAME_COLUMN = 20, PARAMETER_COLUMN = 26 };

const char *tables_member(const json_t *table, const char *key)
{
  const char *text = json_string_value(json_object_get(table, key));
  return text ? text : "";
}

void tables_print_list(const json_t *list)
{
  size_t i;
  const json_t *item;
  json_array_foreach (list, i, item) {
    int used = printf("  %s", tables_member(item, "name"));
    help_wrap(stdout, tables_member(item, "summary"), used, NAME_COLUMN);
  }
}

void tables_print_parameters(struct arena *arena, const json_t *table)
{
  size_t i;
  const json_t *p;
  printf("\nParameters:\n");
  json_array_foreach (json_object_get(table, "parameters"), i, p) {
    const char *facts = tables_facts(arena, p), *summary = tables_member(p, "summary");
    const char *text = facts && *facts ? arena_printf(arena, "%s (%s)", summary, facts) : summary;
    int used = printf("  --%s", tables_member(p, "name"));
    help_wrap(stdout, text ? text : "", used, PARAMETER_COLUMN);
  }
}
