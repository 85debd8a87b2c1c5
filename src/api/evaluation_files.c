/* SPDX-License-Identifier: Apache-2.0 */
/* An evaluation as files: tables for spreadsheets, curves for plots, places of artifacts as pictures. */
#include "api/evaluation.h"

#include "base/files.h"
#include "base/json.h"
#include "base/npy.h"
#include "base/str.h"
#include "render/render.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TABLE_LIMIT = 1 << 30, PLOT_LIMIT = 64 << 20, MOST_PLOTTED = 8, PATH_SIZE = 4096, PANEL_SIDE = 240 };

static const char *const edges[] = {"y", "lo", "hi"};

static double number_of(const json_t *value)
{
  return json_is_number(value) ? json_number_value(value) : NAN;
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

/* RFC 4180; the first cell of a line is preceded by nothing. */
static void cell(struct str *s, const char *text)
{
  if (s->length && s->text[s->length - 1] != '\n')
    str_append(s, ",");
  if (!strpbrk(text, ",\"\r\n")) {
    str_append(s, text);
    return;
  }
  str_append(s, "\"");
  for (const char *p = text; *p; p++)
    str_append_bytes(s, *p == '"' ? "\"\"" : p, *p == '"' ? 2 : 1);
  str_append(s, "\"");
}

/* Empty where undefined. */
static void number_cell(struct str *s, const json_t *value)
{
  char text[32] = "";
  if (json_is_integer(value))
    (void)snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
  else if (json_is_number(value))
    (void)snprintf(text, sizeof text, "%.9g", json_number_value(value));
  cell(s, text);
}

static bool write_text(const char *dir, const char *name, struct str *s, struct error *err)
{
  char path[PATH_SIZE];
  const int n = snprintf(path, sizeof path, "%s/%s", dir, name);
  bool ok = n > 0 && n < PATH_SIZE;
  if (!ok)
    error_set(err, ERROR_FAILED, "%.80s: the path is longer than %d bytes", name, PATH_SIZE - 1);
  else if (s->failed)
    ok = error_memory(err, name);
  else
    ok = file_write(path, s->text ? s->text : "", s->length, err);
  str_free(s);
  return ok;
}

static const json_t *rank_of(const json_t *summary, const char *subject)
{
  size_t i;
  const json_t *entry;
  json_array_foreach (json_object_get(summary, "ranking"), i, entry)
    if (strcmp(json_string_value(json_object_get(entry, "subject")), subject) == 0)
      return json_object_get(entry, "rank");
  return NULL;
}

static bool write_means(const json_t *all, const char *dir, struct error *err)
{
  struct str s;
  const char *metric, *subject, *name;
  json_t *summary, *of, *value;
  str_init(&s, TABLE_LIMIT);
  str_append(&s, "metric,subject,value,mean,lo,hi,n,undefined,rank\n");
  json_object_foreach (json_object_get(all, "metrics"), metric, summary) {
    const char *headline = json_string_value(json_object_get(summary, "headline"));
    json_object_foreach (json_object_get(summary, "subjects"), subject, of) {
      json_object_foreach (json_object_get(of, "values"), name, value) {
        cell(&s, metric);
        cell(&s, subject);
        cell(&s, name);
        static const char *const columns[] = {"mean", "lo", "hi", "n", "undefined"};
        for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
          number_cell(&s, json_object_get(value, columns[i]));
        number_cell(&s, strcmp(name, headline) == 0 ? rank_of(summary, subject) : NULL);
        str_append(&s, "\n");
      }
    }
  }
  return write_text(dir, "metrics.csv", &s, err);
}

static bool write_images(const struct penumbra_evaluation *e, const char *dir, struct error *err)
{
  struct str s;
  size_t i;
  const json_t *record;
  str_init(&s, TABLE_LIMIT);
  str_append(&s, "image,target,metric,subject,value,number\n");
  json_array_foreach (e->records, i, record) {
    const char *path = json_string_value(json_object_get(json_object_get(record, "image"), "path"));
    const char *label = json_string_value(json_object_get(json_object_get(record, "target"), "label"));
    const char *metric, *subject, *name;
    json_t *of, *measured, *value;
    json_object_foreach (json_object_get(record, "metrics"), metric, of) {
      json_object_foreach (of, subject, measured) {
        json_object_foreach (json_object_get(measured, "values"), name, value) {
          cell(&s, path ? path : "");
          cell(&s, label ? label : "");
          cell(&s, metric);
          cell(&s, subject);
          cell(&s, name);
          number_cell(&s, value);
          str_append(&s, "\n");
        }
      }
    }
  }
  return write_text(dir, "images.csv", &s, err);
}

/* ---- curves ----------------------------------------------------------------------------------------------------- */

struct curve_set {
  const json_t *x; /* abscissae */
  size_t points, n;
  struct {
    const char *subject, *name;
    const json_t *curve;
  } * of;
};

/* All curves of a metric with the most frequent length: that of the first. */
static bool collect(const json_t *summary, struct curve_set *set, struct error *err)
{
  const char *subject, *name;
  json_t *of, *curve;
  size_t most = 0;
  json_object_foreach (json_object_get(summary, "subjects"), subject, of)
    most += json_object_size(json_object_get(of, "curves"));
  *set = (struct curve_set){.of = mem_zero(most + 1, sizeof *set->of)};
  if (!set->of)
    return error_memory(err, "curves");
  json_object_foreach (json_object_get(summary, "subjects"), subject, of) {
    json_object_foreach (json_object_get(of, "curves"), name, curve) {
      const size_t points = json_array_size(json_object_get(curve, "y"));
      if (!set->n && points) {
        set->points = points;
        set->x = json_object_get(of, "x");
      }
      if (points != set->points || !points)
        continue;
      set->of[set->n].subject = subject;
      set->of[set->n].name = name;
      set->of[set->n++].curve = curve;
    }
  }
  return true;
}

static bool write_curve_table(const struct curve_set *set, const char *dir, const char *file, struct error *err)
{
  struct str s;
  str_init(&s, TABLE_LIMIT);
  str_append(&s, "subject,curve,x,mean,lo,hi\n");
  for (size_t i = 0; i < set->n; i++)
    for (size_t k = 0; k < set->points; k++) {
      cell(&s, set->of[i].subject);
      cell(&s, set->of[i].name);
      number_cell(&s, json_array_get(set->x, k));
      for (int b = 0; b < 3; b++)
        number_cell(&s, json_array_get(json_object_get(set->of[i].curve, edges[b]), k));
      str_append(&s, "\n");
    }
  return write_text(dir, file, &s, err);
}

/* [curves, 3, points]: mean and the ends of the interval, in the order of the table. */
static bool write_curve_array(const struct curve_set *set, const char *dir, const char *file, struct error *err)
{
  char path[PATH_SIZE];
  float *data = mem_zero(set->n * 3 * set->points, sizeof *data);
  if (!data)
    return error_memory(err, "curves");
  for (size_t i = 0; i < set->n; i++)
    for (size_t b = 0; b < 3; b++)
      for (size_t k = 0; k < set->points; k++)
        data[(i * 3 + b) * set->points + k] =
            (float)number_of(json_array_get(json_object_get(set->of[i].curve, edges[b]), k));
  const struct npy array = {NPY_F32, 3, {(int64_t)set->n, 3, (int64_t)set->points}, data};
  const int n = snprintf(path, sizeof path, "%s/%s", dir, file);
  const bool ok = n < PATH_SIZE
                      ? npy_write(path, &array, err)
                      : error_set(err, ERROR_FAILED, "%s: the path is longer than %d bytes", file, PATH_SIZE - 1);
  mem_free(data);
  return ok;
}

/* Of one subject all curves; of several the first of each, and of the others what they are held against. */
static size_t choose_plotted(const struct curve_set *set, size_t *chosen)
{
  size_t n = 0, subjects = 0;
  for (size_t i = 0; i < set->n; i++)
    subjects += i == 0 || strcmp(set->of[i].subject, set->of[i - 1].subject) != 0;
  for (size_t i = 0; i < set->n && n < MOST_PLOTTED; i++)
    if (subjects == 1 || i == 0 || strcmp(set->of[i].subject, set->of[i - 1].subject) != 0)
      chosen[n++] = i;
  for (size_t i = 0; subjects > 1 && i < set->n && n < MOST_PLOTTED; i++)
    if (strcmp(set->of[i].name, "random") == 0) {
      chosen[n++] = i;
      break;
    }
  return n;
}

static bool write_plot(const struct curve_set *set, const struct metric *metric, const char *dir, const char *file,
                       struct error *err)
{
  size_t chosen[MOST_PLOTTED];
  const size_t n = choose_plotted(set, chosen);
  char names[MOST_PLOTTED][160];
  struct curve curves[MOST_PLOTTED];
  double *data = mem_zero((3 * n + 1) * set->points, sizeof *data);
  struct str svg;
  if (!data)
    return error_memory(err, "a plot");
  double *x = data + 3 * n * set->points;
  for (size_t k = 0; k < set->points; k++)
    x[k] = number_of(json_array_get(set->x, k));
  for (size_t i = 0; i < n; i++) {
    const size_t c = chosen[i];
    bool band = true;
    double *values[3];
    for (size_t b = 0; b < 3; b++) {
      values[b] = data + (3 * i + b) * set->points;
      for (size_t k = 0; k < set->points; k++) {
        values[b][k] = number_of(json_array_get(json_object_get(set->of[c].curve, edges[b]), k));
        band &= b == 0 || isfinite(values[b][k]);
      }
    }
    const bool baseline = strcmp(set->of[c].name, "random") == 0;
    if (baseline)
      (void)snprintf(names[i], sizeof names[i], "random order");
    else
      (void)snprintf(names[i], sizeof names[i], "%.70s, %.60s", set->of[c].subject, set->of[c].name);
    curves[i] = (struct curve){names[i],
                               x,
                               values[0],
                               band ? values[1] : NULL,
                               band ? values[2] : NULL,
                               set->points,
                               baseline ? "#888888" : NULL};
  }
  str_init(&svg, PLOT_LIMIT);
  bool ok = plot_svg(curves, n, metric->title, metric->x_label, metric->y_label, &svg) || error_memory(err, "a plot");
  mem_free(data);
  if (ok)
    return write_text(dir, file, &svg, err);
  str_free(&svg);
  return false;
}

static bool write_curves(const json_t *summary, const struct metric *metric, const char *dir, struct error *err)
{
  struct curve_set set;
  char file[3][96];
  static const char *const endings[] = {"csv", "npy", "svg"};
  for (int i = 0; i < 3; i++)
    (void)snprintf(file[i], sizeof file[i], "curves-%s.%s", metric->name, endings[i]);
  bool ok = collect(summary, &set, err);
  if (ok && set.n)
    ok = write_curve_table(&set, dir, file[0], err) && write_curve_array(&set, dir, file[1], err) &&
         write_plot(&set, metric, dir, file[2], err);
  mem_free(set.of);
  return ok;
}

/* ---- where artifacts arise -------------------------------------------------------------------------------------- */

/* The grid of one variant, averaged over the images that have it; NULL where there is none. */
static float *mean_flips(const struct penumbra_evaluation *e, const char *metric, const char *variant, int *rows,
                         int *columns)
{
  float *mean = NULL;
  double n = 0;
  size_t i, cells = 0;
  const json_t *record;
  json_array_foreach (e->records, i, record) {
    const json_t *of = json_object_get(json_object_get(json_object_get(record, "metrics"), metric), variant);
    const json_t *flips = json_object_get(json_object_get(of, "details"), "flips"),
                 *data = json_object_get(flips, "data");
    int r, c;
    if (!flips || json_unpack(json_object_get(flips, "shape"), "[ii]", &r, &c) != 0 || r < 1 || c < 1 ||
        json_array_size(data) != (size_t)r * (size_t)c)
      continue;
    if (!mean) {
      cells = (size_t)r * (size_t)c;
      *rows = r;
      *columns = c;
      mean = mem_zero(cells, sizeof *mean);
    }
    if (!mean || r != *rows || c != *columns)
      continue;
    n++;
    for (size_t k = 0; k < cells; k++) { /* below 0: never visited */
      const double flip = number_of(json_array_get(data, k));
      mean[k] += (float)(flip > 0 ? flip : 0);
    }
  }
  for (size_t k = 0; mean && k < cells; k++)
    mean[k] /= (float)n;
  return mean;
}

/* Letters, digits, '.', '-' and '_' stay. */
static void file_name(const char *text, char *out, size_t size)
{
  size_t n = 0;
  for (; *text && n + 1 < size; text++)
    out[n++] = (char)(isalnum((unsigned char)*text) || strchr(".-_", *text) ? *text : '_');
  out[n] = '\0';
}

struct flips {
  struct image images[MOST_PLOTTED];
  char captions[MOST_PLOTTED][160];
  struct panel panels[MOST_PLOTTED];
  size_t n;
};

static bool write_flips_of(const struct penumbra_evaluation *e, const json_t *of, const char *metric,
                           const char *variant, const char *dir, struct flips *all, struct error *err)
{
  int rows = 0, columns = 0;
  char name[96], path[PATH_SIZE];
  float *mean = mean_flips(e, metric, variant, &rows, &columns);
  if (!mean)
    return true;
  file_name(variant, name, sizeof name);
  const struct npy array = {NPY_F32, 2, {rows, columns}, mean};
  const int n = snprintf(path, sizeof path, "%s/flips-%s.npy", dir, name);
  bool ok = n < PATH_SIZE ? npy_write(path, &array, err)
                          : error_set(err, ERROR_FAILED, "%s: the path is longer than %d bytes", name, PATH_SIZE - 1);
  if (ok && all->n < MOST_PLOTTED) {
    const int side = rows > columns ? rows : columns, factor = side >= PANEL_SIDE ? 1 : PANEL_SIDE / side;
    const double rate = number_of(json_object_get(json_object_get(json_object_get(of, "values"), "rate"), "mean"));
    (void)snprintf(all->captions[all->n], sizeof all->captions[all->n], "%.80s: %.2f %% of positions", variant,
                   100 * rate);
    ok = render_map(mean, rows, columns, 1, colormap_find("inferno"), factor, &all->images[all->n], err);
    all->panels[all->n] = (struct panel){&all->images[all->n], all->captions[all->n]};
    all->n++;
  }
  mem_free(mean);
  return ok;
}

static bool write_flips(const struct penumbra_evaluation *e, const json_t *summary, const char *metric, const char *dir,
                        struct error *err)
{
  struct flips all = {.n = 0};
  struct image sheet = {0};
  char path[PATH_SIZE];
  const char *variant;
  json_t *of;
  bool ok = true;
  json_object_foreach (json_object_get(summary, "subjects"), variant, of)
    ok = ok && write_flips_of(e, of, metric, variant, dir, &all, err);
  if (ok && all.n)
    ok = render_sheet(all.panels, all.n, 4, "Where the patch makes a normal image look abnormal (share of images)",
                      &sheet, err) &&
         (snprintf(path, sizeof path, "%s/flips.png", dir) < PATH_SIZE) && image_write_png(&sheet, path, err);
  for (size_t i = 0; i < all.n; i++)
    image_free(&all.images[i]);
  image_free(&sheet);
  return ok;
}

/* ---- all -------------------------------------------------------------------------------------------------------- */

bool penumbra_evaluation_save(const penumbra_evaluation *e, const char *dir, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  char path[PATH_SIZE];
  json_t *all = evaluation_summary(e, &failed);
  bool ok = all != NULL;
  if (ok && snprintf(path, sizeof path, "%s/metrics.json", dir) >= PATH_SIZE)
    ok = error_set(&failed, ERROR_FAILED, "%.80s: the path is longer than %d bytes", dir, PATH_SIZE - 1);
  ok = ok && json_write_path(all, path, &failed) && write_means(all, dir, &failed) && write_images(e, dir, &failed);
  for (int i = 0; ok && i < e->n_metrics; i++) {
    const struct metric *metric = e->metrics[i].metric;
    const json_t *summary = json_object_get(json_object_get(all, "metrics"), metric->name);
    ok = metric->variant ? write_flips(e, summary, metric->name, dir, &failed)
                         : write_curves(summary, metric, dir, &failed);
  }
  json_decref(all);
  return ok || api_error(err, &failed);
}

bool penumbra_evaluation_save_image(const penumbra_evaluation *e, const char *dir, unsigned flags, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  struct output out = {0};
  char path[PATH_SIZE], name[256];
  const json_t *record = json_array_get(e->records, json_array_size(e->records) - 1);
  bool ok = (record || error_set(&failed, ERROR_USAGE, "no image was added yet")) &&
            output_begin(&out, dir, (flags & PENUMBRA_OVERWRITE) != 0, &failed);
  for (int i = 0; ok && i < e->n_subjects; i++) {
    char safe[200];
    file_name(e->subjects[i].name, safe, sizeof safe);
    (void)snprintf(name, sizeof name, "%d-%s.npy", i + 1, safe);
    const struct npy array = {NPY_F32, 2, {e->height, e->width}, e->subjects[i].map};
    ok = output_path(&out, name, path, sizeof path, &failed) && npy_write(path, &array, &failed);
  }
  ok = ok && output_path(&out, "result.json", path, sizeof path, &failed) && json_write_path(record, path, &failed) &&
       output_commit(&out, &failed);
  output_end(&out);
  return ok || api_error(err, &failed);
}
