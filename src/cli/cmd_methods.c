/* SPDX-License-Identifier: Apache-2.0 */
/* penumbra methods: what can be asked for, read from the library's own tables. */
#include "cli/args.h"
#include "cli/help.h"
#include "cli/tables.h"
#include "penumbra.h"

#include <stdio.h>
#include <string.h>

static void print_method(const struct args *args, const json_t *method)
{
  printf("%s\n", tables_member(method, "name"));
  help_wrap(stdout, tables_member(method, "summary"), 0, 2);
  if (*tables_member(method, "paper"))
    help_wrap(stdout, tables_member(method, "paper"), 0, 2);
  if (*tables_member(method, "needs"))
    printf("  needs %s\n", tables_member(method, "needs"));
  tables_print_parameters(args->arena, method);
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
    tables_print_list(methods);
    printf("\nFills, which take the place of pixels (--fill):\n");
    tables_print_list(fills);
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
