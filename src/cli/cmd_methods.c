/* SPDX-License-Identifier: Apache-2.0 */
/* penumbra methods: what can be asked for, read from the library's own tables. */
#include "cli/args.h"
#include "cli/help.h"
#include "cli/tables.h"
#include "penumbra.h"

#include <stdio.h>
#include <string.h>

enum { NAME_COLUMN = 20, PARAMETER_COLUMN = 26 };

static const char *text_of(const json_t *object, const char *key)
{
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "";
}

static void print_list(const json_t *list)
{
  size_t i;
  const json_t *item;
  json_array_foreach (list, i, item) {
    int used = printf("  %s", text_of(item, "name"));
    help_wrap(stdout, text_of(item, "summary"), used, NAME_COLUMN);
  }
}

static void print_method(const struct args *args, const json_t *method)
{
  size_t i;
  const json_t *parameters = json_object_get(method, "parameters"), *p;
  printf("%s\n", text_of(method, "name"));
  help_wrap(stdout, text_of(method, "summary"), 0, 2);
  if (*text_of(method, "paper"))
    help_wrap(stdout, text_of(method, "paper"), 0, 2);
  if (*text_of(method, "needs"))
    printf("  needs %s\n", text_of(method, "needs"));
  printf("\nParameters:\n");
  json_array_foreach (parameters, i, p) {
    const char *facts = tables_facts(args->arena, p);
    const char *text =
        facts && *facts ? arena_printf(args->arena, "%s (%s)", text_of(p, "summary"), facts) : text_of(p, "summary");
    int used = printf("  --%s", text_of(p, "name"));
    help_wrap(stdout, text ? text : "", used, PARAMETER_COLUMN);
  }
}

static bool run(const struct args *args, struct error *err)
{
  const char *name = args->words[0];
  penumbra_error cause = {0};
  json_t *methods = tables_json(penumbra_methods_json(name, &cause), &cause, err);
  json_t *fills = methods ? tables_json(penumbra_fills_json(), &(penumbra_error){0}, err) : NULL;
  if (fills && args_has(args, "json")) {
    tables_print(methods);
  } else if (fills && name) {
    print_method(args, json_array_get(methods, 0));
  } else if (fills) {
    printf("Methods (-m; 'penumbra methods NAME' lists the parameters of one):\n");
    print_list(methods);
    printf("\nFills, which take the place of pixels (--fill):\n");
    print_list(fills);
  }
  bool ok = fills != NULL;
  json_decref(methods);
  json_decref(fills);
  return ok;
}

static const struct option options[] = {
    {"json", 0, NULL, "print the tables as JSON", "Output", NULL},
    OPTION_END,
};

const struct command command_methods = {
    .name = "methods",
    .summary = "List the methods, or the parameters of one",
    .usage = "[NAME]",
    .max_words = 1,
    .options = options,
    .run = run,
};
