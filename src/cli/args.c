/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/args.h"

#include "base/str.h"
#include "cli/tables.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ARENA_LIMIT = 256 << 20, NAMES = 512 };

static const struct option common_options[] = {
    {"help", 'h', NULL, "show this help", "Other", NULL},
    OPTION_END,
};

/* Whether the first `n` bytes of `typed` are the option's name; '_' counts as '-'. */
static bool is_name(const char *name, const char *typed, size_t n)
{
  if (strlen(name) != n)
    return false;
  for (size_t i = 0; i < n; i++)
    if (name[i] != (typed[i] == '_' ? '-' : typed[i]))
      return false;
  return true;
}

static const struct option *find_long(const struct args *args, const char *typed, size_t n, enum args_table *table)
{
  for (int t = 0; t < ARGS_TABLES; t++)
    for (const struct option *o = args->tables[t]; o && o->name; o++)
      if (is_name(o->name, typed, n)) {
        *table = t;
        return o;
      }
  return NULL;
}

static const struct option *find_letter(const struct args *args, char letter, enum args_table *table)
{
  for (int t = 0; t < ARGS_TABLES; t++)
    for (const struct option *o = args->tables[t]; o && o->name; o++)
      if (letter && o->letter == letter) {
        *table = t;
        return o;
      }
  return NULL;
}

static bool unknown_long(const struct args *args, const char *typed, size_t n, struct error *err)
{
  const char *names[NAMES + 1];
  int count = 0;
  char name[64];
  (void)snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name - 1, typed);
  str_clean(name);
  for (int t = 0; t < ARGS_TABLES; t++)
    for (const struct option *o = args->tables[t]; o && o->name && count < NAMES; o++)
      names[count++] = o->name;
  names[count] = NULL;
  const char *nearest = str_nearest(name, names);
  if (nearest)
    return error_set(err, ERROR_USAGE, "%s: there is no option --%s; did you mean --%s?", args->command->name, name,
                     nearest);
  return error_set(err, ERROR_USAGE, "%s: there is no option --%s; 'penumbra %s --help' lists the options",
                   args->command->name, name, args->command->name);
}

static bool is_optional(const struct option *option)
{
  return option->argument && option->argument[0] == '[';
}

static bool needs_value(const struct option *option)
{
  return option->argument && !is_optional(option);
}

static bool add(struct args *args, const struct option *option, enum args_table table, const char *value)
{
  args->given[args->n_given++] = (struct given){.option = option, .table = table, .value = value, .next = -1};
  return true;
}

/* Whether a word is an option of this command, so that it cannot have been meant as the value of the one before. */
static bool is_option(const struct args *args, const char *word)
{
  enum args_table table;
  if (strncmp(word, "--", 2) == 0 && word[2])
    return find_long(args, word + 2, strcspn(word + 2, "="), &table) != NULL;
  return word[0] == '-' && word[1] && !word[2] && find_letter(args, word[1], &table);
}

/* The value of an option that needs one: the next word. */
static const char *next_word(const struct args *args, const struct option *option, char **argv, struct error *err)
{
  if (argv[1] && !is_option(args, argv[1]))
    return argv[1];
  if (argv[1])
    error_set(err, ERROR_USAGE, "%s: --%s: has no value (%.40s follows); write --%s=%s", args->command->name,
              option->name, argv[1], option->name, option->argument);
  else
    error_set(err, ERROR_USAGE, "%s: --%s: has no value; write --%s=%s", args->command->name, option->name,
              option->name, option->argument);
  return NULL;
}

/* "--name", "--name=value" or "--name value"; *used is the number of words read. */
static bool read_long(struct args *args, char **argv, int *used, struct error *err)
{
  const char *typed = argv[0] + 2;
  size_t n = strcspn(typed, "=");
  enum args_table table = TABLE_OWN;
  const struct option *option = find_long(args, typed, n, &table);
  if (!option)
    return unknown_long(args, typed, n, err);
  if (typed[n]) {
    if (!option->argument)
      return error_set(err, ERROR_USAGE, "%s: --%s: takes no value, '%.60s' is given", args->command->name,
                       option->name, typed + n + 1);
    return add(args, option, table, typed + n + 1);
  }
  if (!needs_value(option))
    return add(args, option, table, "");
  const char *value = next_word(args, option, argv, err);
  *used = 2;
  return value && add(args, option, table, value);
}

/* "-abc": switches, the last of which may need a value: the rest of the word or the next one. */
static bool read_short(struct args *args, char **argv, int *used, struct error *err)
{
  for (const char *p = argv[0] + 1; *p; p++) {
    enum args_table table = TABLE_OWN;
    const struct option *option = find_letter(args, *p, &table);
    if (!option)
      return error_set(err, ERROR_USAGE, "%s: there is no option -%c; 'penumbra %s --help' lists the options",
                       args->command->name, *p > ' ' && *p < 0x7f ? *p : '?', args->command->name);
    if (!needs_value(option)) {
      add(args, option, table, "");
      continue;
    }
    if (p[1])
      return add(args, option, table, p[1] == '=' ? p + 2 : p + 1);
    const char *value = next_word(args, option, argv, err);
    *used = 2;
    return value && add(args, option, table, value);
  }
  return true;
}

static bool check_words(const struct args *args, struct error *err)
{
  const struct command *command = args->command;
  if (args->n_words < command->min_words)
    return error_set(err, ERROR_USAGE, "%s: too few arguments; usage: penumbra %s [option…] %s", command->name,
                     command->name, command->usage);
  if (command->max_words >= 0 && args->n_words > command->max_words)
    return error_set(err, ERROR_USAGE, "%s: '%.60s' is one argument too many; usage: penumbra %s [option…] %s",
                     command->name, args->words[command->max_words], command->name, command->usage);
  for (int i = 0; i < args->n_words; i++)
    if (!*args->words[i])
      return error_set(err, ERROR_USAGE, "%s: argument %d is empty", command->name, i + 1);
  return true;
}

bool args_read(struct args *args, const struct command *command, int argc, char **argv, struct error *err)
{
  *args = (struct args){.command = command, .arena = arena_new(ARENA_LIMIT)};
  if (!args->arena)
    return error_memory(err, "the command line");
  args->tables[TABLE_OWN] = command->options;
  args->tables[TABLE_COMMON] = common_options;
  if ((command->uses & USES_CARD) && !(args->tables[TABLE_CARD] = tables_card(args->arena)))
    return error_memory(err, "the command line");
  if ((command->uses & USES_METHODS) && !(args->tables[TABLE_METHODS] = tables_methods(args->arena)))
    return error_memory(err, "the command line");
  if ((command->uses & USES_METRICS) && !(args->tables[TABLE_METRICS] = tables_metrics(args->arena)))
    return error_memory(err, "the command line");
  size_t letters = 0; /* one word may hold as many options as letters */
  for (int i = 0; i < argc; i++)
    letters += strlen(argv[i]) + 1;
  args->given = arena_array(args->arena, letters + 1, sizeof *args->given);
  args->words = arena_array(args->arena, (size_t)argc + 1, sizeof *args->words);
  if (!args->given || !args->words)
    return error_memory(err, "the command line");
  bool words_only = false;
  for (int i = 0, used; i < argc; i += used) {
    used = 1;
    const char *word = argv[i];
    if (words_only || word[0] != '-' || !word[1]) {
      if (!words_only && args->n_given && i && argv[i - 1][0] == '-' &&
          is_optional(args->given[args->n_given - 1].option))
        args->given[args->n_given - 1].next = args->n_words;
      args->words[args->n_words++] = word;
    } else if (strcmp(word, "--") == 0) {
      words_only = true;
    } else if (!(word[1] == '-' ? read_long(args, argv + i, &used, err) : read_short(args, argv + i, &used, err))) {
      return false;
    }
  }
  return args_has(args, "help") || check_words(args, err);
}

void args_close(struct args *args)
{
  arena_free(args->arena);
  *args = (struct args){0};
}

static const struct given *find(const struct args *args, const char *name)
{
  for (int i = args->n_given - 1; i >= 0; i--)
    if (strcmp(args->given[i].option->name, name) == 0)
      return &args->given[i];
  return NULL;
}

const char *args_text(const struct args *args, const char *name)
{
  const struct given *given = find(args, name);
  return given ? given->value : NULL;
}

bool args_has(const struct args *args, const char *name)
{
  return find(args, name) != NULL;
}

bool args_either(const struct args *args, const char *yes, const char *no, bool initial)
{
  const struct given *y = find(args, yes), *n = find(args, no);
  return y || n ? y > n : initial;
}

bool args_integer(const struct args *args, const char *name, int64_t min, int64_t max, int64_t *out, struct error *err)
{
  const char *text = args_text(args, name);
  int64_t value;
  if (!text)
    return true;
  const char *fault = !str_integer(text, &value)   ? "is not a whole number of"
                      : value < min || value > max ? "is outside"
                                                   : NULL;
  if (fault && max == INT64_MAX)
    return error_set(err, ERROR_USAGE, "%s: --%s: '%.60s' is not a whole number of at least %lld", args->command->name,
                     name, text, (long long)min);
  if (fault)
    return error_set(err, ERROR_USAGE, "%s: --%s: '%.60s' %s %lld..%lld", args->command->name, name, text, fault,
                     (long long)min, (long long)max);
  *out = value;
  return true;
}

bool args_number(const struct args *args, const char *name, double min, double *out, struct error *err)
{
  const char *text = args_text(args, name);
  double value;
  if (!text)
    return true;
  if (!str_number(text, &value) || value < min)
    return error_set(err, ERROR_USAGE, "%s: --%s: '%.60s' is not a number of at least %g", args->command->name, name,
                     text, min);
  *out = value;
  return true;
}

bool args_bytes(const struct args *args, const char *name, size_t *out, struct error *err)
{
  static const char units[] = "KMGT";
  const char *text = args_text(args, name);
  if (!text)
    return true;
  char number[64];
  size_t n = strspn(text, "0123456789.");
  double value = 0;
  bool ok = n > 0 && n < sizeof number;
  if (ok) {
    memcpy(number, text, n);
    number[n] = '\0';
    ok = str_number(number, &value);
  }
  const char *unit = text + n, *power = *unit ? strchr(units, *unit >= 'a' ? *unit - 'a' + 'A' : *unit) : NULL;
  if (power) {
    value = ldexp(value, 10 * (int)(power - units + 1));
    unit++;
  }
  if (*unit && strcmp(unit, "B") != 0 && !(power && strcmp(unit, "iB") == 0))
    ok = false;
  if (!ok || !(value >= 1 << 20) || value >= ldexp(1, 48))
    return error_set(err, ERROR_USAGE, "%s: --%s: '%.60s' is not an amount of memory of 1M..256T, such as 500M or 2G",
                     args->command->name, name, text);
  *out = (size_t)value;
  return true;
}

const char *const *args_settings(const struct args *args, enum args_table table)
{
  const char **list = arena_array(args->arena, (size_t)args->n_given + 1, sizeof *list);
  int n = 0;
  for (int i = 0; list && i < args->n_given; i++)
    if (args->given[i].table == table &&
        !(list[n++] = arena_printf(args->arena, "%s=%s", args->given[i].option->key, args->given[i].value)))
      return NULL;
  return list;
}
