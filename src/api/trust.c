/* SPDX-License-Identifier: Apache-2.0 */
/* What a run itself measured of how far its map can be trusted; everything else reads "not measured". */
#include "api/object.h"
#include "base/json.h"
#include "base/str.h"
#include "metrics/agreement.h"
#include "render/text.h"

#include <math.h>
#include <string.h>

static const char not_measured[] = "not measured";

/* A figure that the method left: of a run over several fills their mean, if all have it. */
static double quality_of(const struct explanation *e, const char *key)
{
  const json_t *fills = json_object_get(e->details, "fills"), *fill, *value = json_object_get(e->quality, key);
  double sum = 0;
  size_t i;
  if (!fills)
    return json_is_number(value) ? json_number_value(value) : NAN;
  json_array_foreach (fills, i, fill) {
    value = json_object_get(json_object_get(fill, "quality"), key);
    sum += json_is_number(value) ? json_number_value(value) : NAN;
  }
  return sum / (double)i;
}

/* By what share of the score's change the map's values miss it in sum; of methods that only know the difference, that
 * is set against the change under full fill as integrated gradients do it. */
static double completeness_gap(const struct explanation *e)
{
  const double known = quality_of(e, "completeness_gap");
  const double change = (double)e->scores[e->target] - quality_of(e, "score_full_fill");
  if (isfinite(known) || !isfinite(change))
    return known;
  return fabs(quality_of(e, "efficiency_gap")) / fmax(fabs(change), 0.01);
}

/* The largest standard error anywhere in the shown map. */
static double standard_error(const struct explanation *e)
{
  const struct npy *error = explanation_find(e, "stderr");
  double most = 0;
  if (!error)
    return NAN;
  const int64_t pixels = error->dim[error->rank - 1] * error->dim[error->rank - 2];
  const float *x = (const float *)error->data + (error->rank == 3 ? e->target * pixels : 0);
  for (int64_t i = 0; i < pixels; i++)
    most = (double)x[i] > most || isnan((double)x[i]) ? (double)x[i] : most;
  return most;
}

/* Mean rank correlation between the maps of every two fills; NAN for one fill, and where a map is flat. */
static bool stability(const struct explanation *e, double *mean, struct error *err)
{
  enum { MOST = 64 };
  const struct npy *array = explanation_find(e, "fill_maps");
  const int n = array && array->dim[0] < MOST ? (int)array->dim[0] : 0;
  const float *maps[MOST];
  double matrix[MOST * MOST], sum = 0;
  *mean = NAN;
  if (n < 2)
    return true;
  const int64_t pixels = array->dim[1] * array->dim[2];
  for (int i = 0; i < n; i++)
    maps[i] = (const float *)array->data + i * pixels;
  if (!agreement_matrix(maps, n, pixels, matrix, err))
    return false;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < i; j++)
      sum += matrix[i * n + j];
  *mean = sum / (n * (n - 1) / 2.0);
  return true;
}

static void put(json_t *trust, const char *key, double value)
{
  json_object_set_new(trust, key, isfinite(value) ? json_real(value) : json_string(not_measured));
}

json_t *trust_json(const struct explanation *e, double artifact_rate, struct error *err)
{
  double fills;
  if (!stability(e, &fills, err))
    return NULL;
  json_t *trust = json_object();
  put(trust, "aopc_above_random", NAN);
  put(trust, "completeness_gap", completeness_gap(e));
  put(trust, "standard_error", standard_error(e));
  put(trust, "r2", quality_of(e, "r2"));
  put(trust, "stability", fills);
  put(trust, "artifact_share", quality_of(e, "artifact_share"));
  put(trust, "artifact_rate", artifact_rate);
  if (json_object_size(trust) == 7)
    return trust;
  json_decref(trust);
  error_memory(err, "an explanation");
  return NULL;
}

void trust_line(const json_t *trust, struct str *line)
{
  static const char *const names[][2] = {
      {"aopc_above_random", "AOPC above random"}, {"completeness_gap", "completeness gap"},
      {"standard_error", "standard error"},       {"r2", "R2"},
      {"stability", "stability over fills"},      {"artifact_share", "artifact share"},
      {"artifact_rate", "artifact rate"},
  };
  enum { NAMES = sizeof names / sizeof *names };
  char number[TEXT_NUMBER];
  for (int pass = 0; pass < 2; pass++) { /* what was measured, then what was not */
    int n = 0;
    for (int i = 0; i < NAMES; i++) {
      const json_t *value = json_object_get(trust, names[i][0]);
      if (json_is_number(value) != (pass == 0))
        continue;
      str_printf(line, "%s%s",
                 n++            ? ", "
                 : pass == 0    ? "Trust: "
                 : line->length ? "; not measured: "
                                : "Not measured: ",
                 names[i][1]);
      if (pass == 0)
        str_printf(line, " %s", text_number(json_number_value(value), 3, false, number));
    }
  }
}
