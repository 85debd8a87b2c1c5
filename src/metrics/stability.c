/* SPDX-License-Identifier: Apache-2.0 */
/* Stability: the same explanation with other seeds. Mean rank correlation and overlap of the top 5 % over all pairs,
 * and whether the standard error that the method reports is the scatter that is seen (0.8 to 1.25 is honest). A method
 * without randomness gives 1, 1 and no ratio. */
#include "metrics/agreement.h"
#include "metrics/metric.h"

#include "base/mem.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

struct options {
  int64_t seeds;
};

static const struct param params[] = {
    {"seeds", PARAM_INT, offsetof(struct options, seeds), "5", 2, 1000, NULL, "runs", NULL, "seeds that are tried"},
    PARAM_END,
};

struct stability {
  const struct measure *measure;
  int64_t seeds, pixels, evaluations;
  float *maps;    /* [seeds, pixels] */
  float *error;   /* [pixels] of the run at hand */
  double *square; /* [pixels] squared standard errors, summed over runs */
  int64_t errors; /* runs that reported one */
};

static bool repeat(struct stability *s, struct error *err)
{
  for (int64_t i = 0; i < s->seeds; i++) {
    struct explain explain = *s->measure->method_explain;
    bool has_error = false;
    explain.seed += (uint64_t)i;
    if (!metric_rerun(s->measure, &explain, s->maps + i * s->pixels, s->error, &has_error, &s->evaluations, err))
      return false;
    s->errors += has_error;
    for (int64_t k = 0; has_error && k < s->pixels; k++)
      s->square[k] += (double)s->error[k] * (double)s->error[k];
  }
  return true;
}

/* Root mean square over pixels of the scatter over seeds, and of the reported error. */
static double error_ratio(const struct stability *s)
{
  double seen = 0, said = 0;
  if (s->errors < s->seeds)
    return NAN;
  for (int64_t k = 0; k < s->pixels; k++) {
    double mean = 0, square = 0;
    for (int64_t i = 0; i < s->seeds; i++)
      mean += (double)s->maps[i * s->pixels + k] / (double)s->seeds;
    for (int64_t i = 0; i < s->seeds; i++) {
      const double d = (double)s->maps[i * s->pixels + k] - mean;
      square += d * d;
    }
    seen += square / (double)(s->seeds - 1);
    said += s->square[k] / (double)s->errors;
  }
  return said > 0 ? sqrt(seen / said) : NAN;
}

static bool compare(const struct stability *s, struct measurement *out, struct error *err)
{
  const struct predictor *p = s->measure->explain->predictor;
  double spearman = 0, jaccard = 0;
  int64_t pairs = 0;
  for (int64_t i = 0; i < s->seeds; i++)
    for (int64_t k = i + 1; k < s->seeds; k++, pairs++) {
      struct agreement a;
      if (!agreement_of(s->maps + i * s->pixels, s->maps + k * s->pixels, p->height, p->width, &a, err))
        return false;
      spearman += a.spearman;
      jaccard += a.top5_jaccard;
    }
  measurement_value(out, "spearman", spearman / (double)pairs);
  measurement_value(out, "jaccard", jaccard / (double)pairs);
  measurement_value(out, "error_ratio", error_ratio(s));
  measurement_detail(out, "seeds", json_integer((json_int_t)s->seeds));
  measurement_detail(out, "evaluations", json_integer((json_int_t)s->evaluations));
  return true;
}

static bool run(const struct measure *measure, const void *options, struct measurement *out, struct error *err)
{
  const struct options *o = options;
  const struct predictor *p = measure->explain->predictor;
  struct stability s = {.measure = measure, .seeds = o->seeds, .pixels = (int64_t)p->height * p->width};
  s.maps = mem_zero((size_t)s.seeds * (size_t)s.pixels, sizeof *s.maps);
  s.error = mem_zero((size_t)s.pixels, sizeof *s.error);
  s.square = mem_zero((size_t)s.pixels, sizeof *s.square);
  bool ok = (s.maps && s.error && s.square) || error_memory(err, "maps");
  ok = ok && repeat(&s, err) && compare(&s, out, err);
  mem_free(s.maps);
  mem_free(s.error);
  mem_free(s.square);
  return ok;
}

const struct metric metric_stability = {
    .name = "stability",
    .title = "Stability",
    .summary = "how much the map depends on the seed, and whether the reported standard error says so",
    .paper = "",
    .needs = METRIC_MAP | METRIC_METHOD,
    .headline = "spearman",
    .columns = "jaccard,error_ratio",
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
