/* SPDX-License-Identifier: Apache-2.0 */
#include "base/params.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_auto(const char *text)
{
  return strcmp(text, "auto") == 0;
}

/* "auto" is a value where the table itself uses it. */
static bool may_be_auto(const struct param *p)
{
  return (p->initial && is_auto(p->initial)) || (p->paper && is_auto(p->paper));
}

/* "1..224 px", "at least 0", "at most 1" or "any number": the range as errors and help name it. */
static const char *range_text(const struct param *p, char *buffer, size_t size)
{
  const char *gap = p->unit ? " " : "", *unit = p->unit ? p->unit : "";
  if (isinf(p->min) && isinf(p->max))
    return "any number";
  if (isinf(p->max))
    (void)snprintf(buffer, size, "at least %.15g%s%s", p->min, gap, unit);
  else if (isinf(p->min))
    (void)snprintf(buffer, size, "at most %.15g%s%s", p->max, gap, unit);
  else
    (void)snprintf(buffer, size, "%.15g..%.15g%s%s", p->min, p->max, gap, unit);
  return buffer;
}

static bool not_a(const struct param *p, const char *owner, const char *text, const char *wanted, struct error *err)
{
  char range[96];
  return error_set(err, ERROR_USAGE, "%s: %s: '%.60s' is not %s of %s%s", owner, p->name, text, wanted,
                   range_text(p, range, sizeof range), may_be_auto(p) ? ", nor auto" : "");
}

static bool outside(const struct param *p, const char *owner, const char *text, struct error *err)
{
  char range[96];
  bool open = isinf(p->min) || isinf(p->max);
  return error_set(err, ERROR_USAGE, "%s: %s: %.60s is %s%s", owner, p->name, text, open ? "not " : "outside ",
                   range_text(p, range, sizeof range));
}

static bool in_range(const struct param *p, double value)
{
  return value >= p->min && value <= p->max;
}

static bool parse_bool(const struct param *p, const char *owner, const char *text, bool *out, struct error *err)
{
  static const char *const on[] = {"", "on", "true", "1"}, *const off[] = {"off", "false", "0"};
  for (size_t i = 0; i < sizeof on / sizeof *on; i++)
    if (strcmp(text, on[i]) == 0)
      return *out = true;
  for (size_t i = 0; i < sizeof off / sizeof *off; i++)
    if (strcmp(text, off[i]) == 0)
      return !(*out = false);
  return error_set(err, ERROR_USAGE, "%s: %s: '%.60s' is neither on nor off", owner, p->name, text);
}

/* Length of the first of "a|b|c". */
static size_t choice_length(const char *choices)
{
  return strcspn(choices, "|");
}

static bool parse_choice(const struct param *p, const char *owner, const char *text, int *out, struct error *err)
{
  int i = 0;
  for (const char *c = p->choices;; i++) {
    size_t n = choice_length(c);
    if (strlen(text) == n && memcmp(c, text, n) == 0) {
      *out = i;
      return true;
    }
    if (!c[n])
      break;
    c += n + 1;
  }
  return error_set(err, ERROR_USAGE, "%s: %s: '%.60s' is not one of %s", owner, p->name, text, p->choices);
}

/* "16", "16px", "16x8", "12.5mm", "12x8mm" (height x width), "auto". */
static bool parse_length(const struct param *p, const char *owner, const char *text, struct length *out,
                         struct error *err)
{
  static const char wanted[] = "a length (16, 16x8, 5mm)";
  struct length value = {0};
  char number[64];
  size_t n = strlen(text);
  if (n >= 2 && strcmp(text + n - 2, "mm") == 0)
    value.millimetres = true;
  if (value.millimetres || (n >= 2 && strcmp(text + n - 2, "px") == 0))
    n -= 2;
  if (n >= sizeof number)
    return not_a(p, owner, text, wanted, err);
  memcpy(number, text, n);
  number[n] = '\0';
  char *by = strchr(number, 'x');
  if (by)
    *by++ = '\0';
  if (!str_number(number, &value.y) || !str_number(by ? by : number, &value.x))
    return not_a(p, owner, text, wanted, err);
  if (value.millimetres && (value.y < 0 || value.x < 0 || (p->min > 0 && (value.y == 0 || value.x == 0))))
    return error_set(err, ERROR_USAGE, "%s: %s: %.60s is not greater than 0 mm", owner, p->name, text);
  if (!value.millimetres && (!in_range(p, value.y) || !in_range(p, value.x)))
    return outside(p, owner, text, err);
  *out = value;
  return true;
}

/* Room for any parameter's value. */
union value {
  int64_t integer;
  double number;
  bool truth;
  int choice;
  const char *text;
  struct length length;
};

/* Write the value that `text` stands for to `to`, whose type is the parameter's. */
static bool parse_value(const struct param *p, const char *owner, const char *text, void *to, struct error *err)
{
  bool automatic = text && is_auto(text) && may_be_auto(p);
  switch (p->type) {
  case PARAM_INT: {
    int64_t value = PARAM_AUTO_INT;
    if (!automatic && !str_integer(text, &value))
      return not_a(p, owner, text, "a whole number", err);
    if (!automatic && !in_range(p, (double)value))
      return outside(p, owner, text, err);
    *(int64_t *)to = value;
    return true;
  }
  case PARAM_FLOAT: {
    double value = NAN;
    if (!automatic && !str_number(text, &value))
      return not_a(p, owner, text, "a number", err);
    if (!automatic && !in_range(p, value))
      return outside(p, owner, text, err);
    *(double *)to = value;
    return true;
  }
  case PARAM_BOOL:
    return parse_bool(p, owner, text, to, err);
  case PARAM_CHOICE:
    return parse_choice(p, owner, text, to, err);
  case PARAM_TEXT:
    *(const char **)to = text;
    return true;
  case PARAM_LENGTH:
    if (!automatic)
      return parse_length(p, owner, text, to, err);
    *(struct length *)to = (struct length){.automatic = true};
    return true;
  }
  return false;
}

/* The parameter of an argument "name=value" or "name"; *value is the text after the '=', "" where there is none. */
static const struct param *find(const struct param *table, const char *argument, const char **value)
{
  size_t n = strcspn(argument, "=");
  *value = argument[n] ? argument + n + 1 : "";
  for (const struct param *p = table; p->name; p++)
    if (strlen(p->name) == n && memcmp(p->name, argument, n) == 0)
      return p;
  return NULL;
}

static bool unknown(const struct param *table, const char *owner, const char *argument, struct error *err)
{
  char name[64];
  size_t n = strcspn(argument, "=");
  (void)snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name - 1, argument);
  const char *nearest = NULL;
  for (const struct param *p = table; p->name; p++) {
    const char *const pair[] = {p->name, nearest, NULL};
    nearest = str_nearest(name, pair);
  }
  if (nearest)
    return error_set(err, ERROR_USAGE, "%s: there is no parameter '%s'; did you mean '%s'?", owner, name, nearest);
  struct str names;
  str_init(&names, 200);
  for (const struct param *p = table; p->name; p++)
    (void)str_printf(&names, "%s%s", p == table ? "" : ", ", p->name);
  error_set(err, ERROR_USAGE, "%s: there is no parameter '%s'%s%s", owner, name, names.length ? "; it has " : "",
            names.length ? names.text : "");
  str_free(&names);
  return false;
}

static bool is_defaults(const char *argument)
{
  return strncmp(argument, "defaults", 8) == 0 && (argument[8] == '=' || !argument[8]);
}

bool params_parse(const struct param *table, const char *owner, const char *const *arguments, void *options,
                  struct error *err)
{
  static const char *const none[] = {NULL};
  if (!arguments)
    arguments = none;
  bool paper = false;
  for (const char *const *a = arguments; *a; a++) {
    if (!is_defaults(*a))
      continue;
    paper = strcmp(*a, "defaults=paper") == 0;
    if (!paper && strcmp(*a, "defaults=penumbra") != 0)
      return error_set(err, ERROR_USAGE, "%s: '%.60s' is neither defaults=paper nor defaults=penumbra", owner, *a);
  }
  for (const struct param *p = table; p->name; p++)
    if (!parse_value(p, owner, paper && p->paper ? p->paper : p->initial, (char *)options + p->offset, err))
      return false;
  for (const char *const *a = arguments; *a; a++) {
    if (is_defaults(*a))
      continue;
    const char *value;
    const struct param *p = find(table, *a, &value);
    if (!p)
      return unknown(table, owner, *a, err);
    if (p->type != PARAM_BOOL && !strchr(*a, '='))
      return error_set(err, ERROR_USAGE, "%s: %s: has no value; write %s=VALUE", owner, p->name, p->name);
    if (!parse_value(p, owner, value, (char *)options + p->offset, err))
      return false;
  }
  return true;
}

/* The name of a choice as a JSON text. */
static json_t *choice_json(const char *choices, int index)
{
  for (; index > 0; index--)
    choices += choice_length(choices) + 1;
  return json_stringn(choices, choice_length(choices));
}

static json_t *text_json(const char *text)
{
  if (!text)
    return json_null();
  char *clean = mem_strdup(text); /* an argument need not be UTF-8, JSON must be */
  if (!clean)
    return NULL;
  str_clean(clean);
  json_t *json = json_string(clean);
  mem_free(clean);
  return json;
}

/* As params_parse would read it back: a number where both axes are equal pixels, else a text. */
static json_t *length_json(const struct length *length)
{
  if (length->automatic)
    return json_string("auto");
  bool square = length->y == length->x;
  if (square && !length->millimetres)
    return json_real(length->y);
  const char *unit = length->millimetres ? "mm" : "";
  return square ? json_sprintf("%.15g%s", length->y, unit) : json_sprintf("%.15gx%.15g%s", length->y, length->x, unit);
}

static json_t *value_json(const struct param *p, const void *value)
{
  switch (p->type) {
  case PARAM_INT:
    return *(const int64_t *)value == PARAM_AUTO_INT ? json_string("auto") : json_integer(*(const int64_t *)value);
  case PARAM_FLOAT:
    return isnan(*(const double *)value) ? json_string("auto") : json_number_or_null(*(const double *)value);
  case PARAM_BOOL:
    return json_boolean(*(const bool *)value);
  case PARAM_CHOICE:
    return choice_json(p->choices, *(const int *)value);
  case PARAM_TEXT:
    return text_json(*(const char *const *)value);
  case PARAM_LENGTH:
    return length_json(value);
  }
  return NULL;
}

json_t *params_json(const struct param *table, const void *options)
{
  json_t *object = json_object();
  for (const struct param *p = table; object && p->name; p++)
    if (json_object_set_new(object, p->name, value_json(p, (const char *)options + p->offset)) != 0) {
      json_decref(object);
      return NULL;
    }
  return object;
}

/* A default, of the type the parameter has. */
static json_t *default_json(const struct param *p, const char *text)
{
  union value value;
  struct error ignored = {0}; /* a table whose defaults do not parse fails in params_parse, by name */
  if (!text || !parse_value(p, "", text, &value, &ignored))
    return json_null();
  return value_json(p, &value);
}

static json_t *choices_json(const char *choices)
{
  if (!choices)
    return json_null();
  json_t *list = json_array();
  for (const char *c = choices; list; c += choice_length(c) + 1) {
    if (json_array_append_new(list, json_stringn(c, choice_length(c))) != 0) {
      json_decref(list);
      return NULL;
    }
    if (!c[choice_length(c)])
      break;
  }
  return list;
}

static json_t *describe(const struct param *p)
{
  static const char *const types[] = {[PARAM_INT] = "int",       [PARAM_FLOAT] = "float", [PARAM_BOOL] = "bool",
                                      [PARAM_CHOICE] = "choice", [PARAM_TEXT] = "text",   [PARAM_LENGTH] = "length"};
  bool ranged = p->type == PARAM_INT || p->type == PARAM_FLOAT || p->type == PARAM_LENGTH;
  return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name", p->name, "type", types[p->type], "default",
                   default_json(p, p->initial), "min", ranged ? json_number_or_null(p->min) : json_null(), "max",
                   ranged ? json_number_or_null(p->max) : json_null(), "choices", choices_json(p->choices), "unit",
                   text_json(p->unit), "paper", default_json(p, p->paper), "summary", text_json(p->summary));
}

json_t *params_describe(const struct param *table)
{
  json_t *list = json_array();
  for (const struct param *p = table; list && p->name; p++)
    if (json_array_append_new(list, describe(p)) != 0) {
      json_decref(list);
      return NULL;
    }
  return list;
}
