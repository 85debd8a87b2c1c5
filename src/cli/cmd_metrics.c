/* SPDX-License-Identifier: Apache-2.0 */
/* penumbra metrics: how maps can be judged, read from the library's own tables. */
#include "cli/args.h"
#include "cli/help.h"
#include "cli/tables.h"
#include "penumbra.h"

#include <stdio.h>
#include <string.h>

static void print_metric(const struct args *args, const json_t *metric)
{
  size_t i;
  const json_t *need;
  printf("%s\n", tables_member(metric, "name"));
  help_wrap(stdout, tables_member(metric, "summary"), 0, 2);
  if (*tables_member(metric, "paper"))
    help_wrap(stdout, tables_member(metric, "paper"), 0, 2);
  json_array_foreach (json_object_get(metric, "needs"), i, need)
    printf("%s%s", i ? ", " : "  needs ", json_string_value(need));
  printf("%s  ranked by %s: %s is better\n", i ? "\n" : "", tables_member(metric, "headline"),
         tables_member(metric, "better"));
  tables_print_parameters(args->arena, metric);
}

static bool run(const struct args *args, struct error *err)
{
  const char *name = args->words[0];
  penumbra_error cause = {0};
  json_t *metrics = tables_json(penumbra_metrics_json(name, &cause), &cause, err);
  if (metrics && args_has(args, "json")) {
    tables_print(metrics);
  } else if (metrics && name) {
    print_metric(args, json_array_get(metrics, 0));
  } else if (metrics) {
    printf("Metrics (--metric; 'penumbra metrics NAME' lists the parameters of one):\n");
    tables_print_list(metrics);
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
