/* SPDX-License-Identifier: Apache-2.0 */
/* penumbra metrics: how maps can be judged, read from the library's own tables. */
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

static void print_metric(const struct args *args, const json_t *metric)
{
  size_t i;
  const json_t *need, *p;
  printf("%s\n", text_of(metric, "name"));
  help_wrap(stdout, text_of(metric, "summary"), 0, 2);
  if (*text_of(metric, "paper"))
    help_wrap(stdout, text_of(metric, "paper"), 0, 2);
  json_array_foreach (json_object_get(metric, "needs"), i, need)
    printf("%s%s", i ? ", " : "  needs ", json_string_value(need));
  printf("%s  ranked by %s: %s is better\n", i ? "\n" : "", text_of(metric, "headline"), text_of(metric, "better"));
  printf("\nParameters:\n");
  json_array_foreach (json_object_get(metric, "parameters"), i, p) {
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
  json_t *metrics = tables_json(penumbra_metrics_json(name, &cause), &cause, err);
  size_t i;
  const json_t *item;
  if (metrics && args_has(args, "json")) {
    tables_print(metrics);
  } else if (metrics && name) {
    print_metric(args, json_array_get(metrics, 0));
  } else if (metrics) {
    printf("Metrics (--metric; 'penumbra metrics NAME' lists the parameters of one):\n");
    json_array_foreach (metrics, i, item) {
      int used = printf("  %s", text_of(item, "name"));
      help_wrap(stdout, text_of(item, "summary"), used, NAME_COLUMN);
    }
  }
  bool ok = metrics != NULL;
  json_decref(metrics);
  return ok;
}

static const struct option options[] = {
    {"json", 0, NULL, "print the tables as JSON", "Output", NULL},
    OPTION_END,
};

const struct command command_metrics = {
    .name = "metrics",
    .summary = "List the metrics, or the parameters of one",
    .usage = "[NAME]",
    .max_words = 1,
    .options = options,
    .run = run,
};
