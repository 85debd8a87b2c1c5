/* SPDX-License-Identifier: Apache-2.0 */
/* Reports: of one explanation, among its files; and of several of one image, read from the folders they were saved in.
 */
#include "api/object.h"
#include "base/files.h"
#include "base/json.h"
#include "metrics/agreement.h"
#include "render/report.h"

#include <stdio.h>
#include <string.h>

enum { RESULT_LIMIT = 64 << 20, MAP_LIMIT = 1 << 30 };

/* {"schema", "maps": [{"result", "metrics"}], "agreement"}: what the page shows, for programs. */
static json_t *report_json(const struct report *report)
{
  json_t *maps = json_array();
  for (int i = 0; i < report->count; i++)
    json_array_append_new(
        maps,
        json_pack("{s:O, s:o}", "result", report->maps[i].result, "metrics",
                  report->maps[i].metrics ? json_incref((json_t *)(uintptr_t)report->maps[i].metrics) : json_null()));
  return json_pack("{s:s, s:o, s:o}", "schema", "penumbra-report/1", "maps", maps, "agreement",
                   report->agreement ? json_incref((json_t *)(uintptr_t)report->agreement) : json_null());
}

static bool write_file(const struct report *report, bool json, const char *path, struct error *err)
{
  if (json) {
    json_t *value = report_json(report);
    const bool ok = value ? json_write_path(value, path, err) : error_memory(err, "the report");
    json_decref(value);
    return ok;
  }
  struct str html;
  str_init(&html, REPORT_LIMIT);
  const bool ok = report_html(report, &html, err) && file_write(path, html.text, html.length, err);
  str_free(&html);
  return ok;
}

bool report_write(const struct penumbra_explanation *x, unsigned flags, const struct output *out, struct error *err)
{
  char path[4096];
  const bool json = (flags & PENUMBRA_REPORT_JSON) != 0;
  const struct npy *coverage = explanation_find(&x->e, "coverage");
  const struct report_map map = {
      .result = x->result, .heat = figures_heat(x), .coverage = coverage ? coverage->data : NULL};
  const struct report report = {.picture = &x->image->image, .maps = &map, .count = 1};
  return (flags & PENUMBRA_NO_REPORT) ||
         (output_path(out, json ? "report.json" : "report.html", path, sizeof path, err) &&
          write_file(&report, json, path, err));
}

/* ---- of folders ------------------------------------------------------------------------------------------------- */

/* What one folder holds. */
struct saved {
  json_t *result, *metrics;
  struct npy heat, map, coverage;
};

static void close_saved(struct saved *s)
{
  json_decref(s->result);
  json_decref(s->metrics);
  npy_free(&s->heat);
  npy_free(&s->map);
  npy_free(&s->coverage);
}

/* An array of [height, width], or of that for every class; `height` 0: whatever they are. */
static bool read_array(const char *dir, const char *name, enum npy_type type, int height, int width, struct npy *array,
                       struct error *err)
{
  char path[4096];
  const int n = snprintf(path, sizeof path, "%s/%s", dir, name);
  if (n < 0 || (size_t)n >= sizeof path)
    return error_set(err, ERROR_FAILED, "%.60s: the path is longer than %zu bytes", dir, sizeof path);
  if (!npy_read(path, MAP_LIMIT, array, err))
    return false;
  if (array->type != type || array->rank < 2 || array->rank > 3 || npy_count(array) < 1 ||
      (height && (array->dim[array->rank - 2] != height || array->dim[array->rank - 1] != width)))
    return error_set(err, ERROR_FAILED, "%.200s: is no map of this image", path);
  return true;
}

static bool has_file(const char *dir, const char *name)
{
  char path[4096];
  const int n = snprintf(path, sizeof path, "%s/%s", dir, name);
  return n > 0 && (size_t)n < sizeof path && file_exists(path);
}

static json_t *read_object(const char *dir, const char *name, struct error *err)
{
  char path[4096];
  const int n = snprintf(path, sizeof path, "%s/%s", dir, name);
  if (n < 0 || (size_t)n >= sizeof path) {
    error_set(err, ERROR_FAILED, "%.60s: the path is longer than %zu bytes", dir, sizeof path);
    return NULL;
  }
  json_t *value = json_load_path(path, RESULT_LIMIT, err);
  if (value && !json_is_object(value)) {
    error_set(err, ERROR_FAILED, "%.200s: is no JSON object", path);
    json_decref(value);
    return NULL;
  }
  return value;
}

/* The shown class's part of an array that may hold all classes'. */
static const float *part_of(const struct npy *array, const json_t *result)
{
  const int64_t pixels = array->dim[array->rank - 1] * array->dim[array->rank - 2];
  const int64_t target = json_integer_value(json_object_get(json_object_get(result, "target"), "index"));
  const bool all = array->rank == 3 && target >= 0 && target < array->dim[0];
  return (const float *)array->data + (all ? target * pixels : 0);
}

static bool open_saved(const struct penumbra_image *image, const char *dir, struct saved *s, struct error *err)
{
  s->result = read_object(dir, "result.json", err);
  if (!s->result)
    return false;
  const char *sha256 = json_string_value(json_object_get(json_object_get(s->result, "image"), "sha256"));
  if (!sha256 || strcmp(sha256, image->sha256) != 0)
    return error_set(err, ERROR_FAILED, "%.120s: holds the result of another image than %.80s", dir, image->name);
  const int height = image->image.height, width = image->image.width;
  if (!read_array(dir, "heatmap.npy", NPY_F32, height, width, &s->heat, err) ||
      !read_array(dir, "map.npy", NPY_F32, 0, 0, &s->map, err) ||
      (has_file(dir, "coverage.npy") && !read_array(dir, "coverage.npy", NPY_I32, height, width, &s->coverage, err)))
    return false;
  return true;
}

static const char *method_of(const struct saved *s)
{
  const char *name = json_string_value(json_object_get(json_object_get(s->result, "method"), "name"));
  return name ? name : "";
}

/* What was measured of the map of that name: METRIC -> measurement. The record has METRIC -> SUBJECT -> measurement. */
static json_t *metrics_of(const json_t *record, const char *subject)
{
  const char *metric;
  json_t *subjects, *found, *metrics = json_object();
  json_object_foreach (json_object_get(record, "metrics"), metric, subjects)
    if ((found = json_object_get(subjects, subject)))
      json_object_set(metrics, metric, found);
  return metrics;
}

/* Maps of equal size on the model grid are compared there; NULL and no error where sizes differ. */
static json_t *agreement_json(const struct saved *saved, int count, struct error *err)
{
  const float *maps[REPORT_MAX_MAPS];
  double matrix[REPORT_MAX_MAPS * REPORT_MAX_MAPS];
  const struct npy *first = &saved[0].map;
  const int64_t height = first->dim[first->rank - 2], width = first->dim[first->rank - 1];
  for (int i = 0; i < count; i++) {
    const struct npy *map = &saved[i].map;
    if (map->dim[map->rank - 2] != height || map->dim[map->rank - 1] != width)
      return NULL;
    maps[i] = part_of(map, saved[i].result);
  }
  if (!agreement_matrix(maps, count, height * width, matrix, err))
    return NULL;
  json_t *rows = json_array();
  for (int i = 0; i < count; i++) {
    json_t *row = json_array();
    for (int j = 0; j < count; j++)
      json_array_append_new(row, json_number_or_null(matrix[i * count + j]));
    json_array_append_new(rows, row);
  }
  return rows;
}

static bool report_saved(const struct penumbra_image *image, const struct saved *saved, int count, bool json,
                         const char *path, struct error *err)
{
  struct report_map maps[REPORT_MAX_MAPS];
  for (int i = 0; i < count; i++)
    maps[i] = (struct report_map){.result = saved[i].result,
                                  .metrics = saved[i].metrics,
                                  .heat = part_of(&saved[i].heat, saved[i].result),
                                  .coverage = saved[i].coverage.data};
  json_t *agreement = count > 1 ? agreement_json(saved, count, err) : NULL;
  const struct report report = {.picture = &image->image, .maps = maps, .count = count, .agreement = agreement};
  const bool ok = err->code == ERROR_NONE && write_file(&report, json, path, err);
  json_decref(agreement);
  return ok;
}

bool penumbra_report(const penumbra_image *image, const char *const *dirs, const char *evaluation, const char *path,
                     unsigned flags, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  struct saved *saved = mem_zero(REPORT_MAX_MAPS, sizeof *saved);
  int n = 0;
  bool ok = saved || error_memory(&failed, "the report");
  for (; ok && dirs[n]; n++)
    ok = n < REPORT_MAX_MAPS ? open_saved(image, dirs[n], &saved[n], &failed)
                             : error_set(&failed, ERROR_USAGE, "report: more than %d maps", REPORT_MAX_MAPS);
  if (ok && n == 0)
    ok = error_set(&failed, ERROR_USAGE, "report: no folder is named");
  json_t *record = ok && evaluation ? read_object(evaluation, "result.json", &failed) : NULL;
  ok = ok && (record || !evaluation);
  for (int i = 0; ok && record && i < n; i++)
    ok = (saved[i].metrics = metrics_of(record, method_of(&saved[i]))) || error_memory(&failed, "the report");
  ok = ok && report_saved(image, saved, n, (flags & PENUMBRA_REPORT_JSON) != 0, path, &failed);
  json_decref(record);
  for (int i = 0; saved && i < REPORT_MAX_MAPS; i++)
    close_saved(&saved[i]);
  mem_free(saved);
  return ok || api_error(err, &failed);
}
