/* SPDX-License-Identifier: Apache-2.0 */
/* penumbra diff: how two maps agree. */
#include "cli/args.h"
#include "cli/tables.h"
#include "penumbra.h"

#include <math.h>
#include <stdio.h>

static void print_figure(const json_t *result, const char *key, const char *what)
{
  const json_t *value = json_object_get(result, key);
  if (json_is_number(value))
    printf("  %-24s %.9g\n", what, json_number_value(value));
  else
    printf("  %-24s not defined: a map is constant\n", what);
}

static bool run(const struct args *args, struct error *err)
{
  double tolerance = INFINITY;
  penumbra_error cause = {0};
  if (!args_number(args, "tolerance", 0, &tolerance, err))
    return false;
  json_t *result = tables_json(penumbra_diff_json(args->words[0], args->words[1], &cause), &cause, err);
  if (!result)
    return false;
  const json_t *difference = json_object_get(result, "max_abs_difference");
  if (args_has(args, "json")) {
    tables_print(result);
  } else {
    print_figure(result, "max_abs_difference", "greatest difference");
    print_figure(result, "spearman", "rank correlation");
    print_figure(result, "pearson", "correlation");
    print_figure(result, "top5_jaccard", "overlap of the top 5 %");
    print_figure(result, "ssim", "structural similarity");
  }
  bool ok = true;
  /* A difference that is no number (a map holds NaN) is beyond every tolerance. */
  if (isfinite(tolerance) && !(json_is_number(difference) && json_number_value(difference) <= tolerance))
    ok = error_set(err, ERROR_FAILED, "the maps differ by %.9g, more than the tolerance of %g",
                   json_is_number(difference) ? json_number_value(difference) : NAN, tolerance);
  json_decref(result);
  return ok;
}

static const struct option options[] = {
    {"tolerance", 0, "X", "fail if a value differs by more than X", "Comparison", NULL},
    {"json", 0, NULL, "print the figures as JSON", "Output", NULL},
    OPTION_END,
};

const struct command command_diff = {
    .name = "diff",
    .summary = "Compare two maps: greatest difference, correlations, overlap, similarity",
    .usage = "A.npy B.npy",
    .min_words = 2,
    .max_words = 2,
    .options = options,
    .run = run,
};
