/* SPDX-License-Identifier: Apache-2.0 */
/* penumbra evaluate: how good are the maps of these methods, or these maps? One record an image in OUT/STEM/, so that a
 * run can be continued; tables and curves over all of them in OUT/. */
#include "base/files.h"
#include "base/npy.h"
#include "base/str.h"
#include "cli/args.h"
#include "cli/help.h"
#include "cli/inputs.h"
#include "cli/manifest.h"
#include "cli/progress.h"
#include "cli/tables.h"
#include "penumbra.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_SUBJECTS = 64, MOST_METRICS = 32, MAP_LIMIT = 1 << 30, COLUMN = 24 };

struct subject {
  const char *file, *folder; /* of maps from elsewhere: --map, --maps */
  const char **params;       /* of a method */
  int n_params;
};

struct job {
  const struct args *args;
  const char *model_path, *out;
  penumbra_model *model;
  penumbra_evaluation *evaluation;
  penumbra_subject subjects[MOST_SUBJECTS];
  struct subject sources[MOST_SUBJECTS];
  int n_subjects;
  const char *metrics[MOST_METRICS + 1];
  int n_metrics;
  const char **params; /* of the metrics */
  int n_params;
  penumbra_request common;
  penumbra_evaluation_request request;
  const char *normals; /* folder of normal pictures, or NULL */
  char *artifact_rates;
  bool resume, quiet, json;
  struct manifest manifest;
  struct progress progress;
  struct tally tally;
};

/* ---- what is asked ---------------------------------------------------------------------------------------------- */

/* Call `add` for every entry of every comma-separated value of an option. */
static bool each_entry(struct job *job, const char *option, bool (*add)(struct job *, const char *, struct error *),
                       struct error *err)
{
  const struct args *args = job->args;
  for (int i = 0; i < args->n_given; i++) {
    if (strcmp(args->given[i].option->name, option) != 0)
      continue;
    for (const char *p = args->given[i].value;;) {
      size_t n = strcspn(p, ",");
      const char *name = arena_strndup(args->arena, p, n);
      if (!name)
        return error_memory(err, "the command line");
      if (!add(job, name, err))
        return false;
      if (!p[n])
        break;
      p += n + 1;
    }
  }
  return true;
}

static bool new_subject(struct job *job, const char *name, struct error *err)
{
  struct subject *s = &job->sources[job->n_subjects];
  if (job->n_subjects == MOST_SUBJECTS)
    return error_set(err, ERROR_USAGE, "evaluate: more than %d methods and maps", MOST_SUBJECTS);
  s->params = arena_array(job->args->arena, (size_t)job->args->n_given + 2, sizeof *s->params);
  job->subjects[job->n_subjects] = (penumbra_subject){.name = name, .params = s->params};
  job->n_subjects++;
  return s->params != NULL || error_memory(err, "the command line");
}

static bool add_method(struct job *job, const char *name, struct error *err)
{
  for (int i = 0; i < job->n_subjects; i++)
    if (job->subjects[i].method && strcmp(job->subjects[i].method, name) == 0)
      return true;
  if (!new_subject(job, name, err))
    return false;
  job->subjects[job->n_subjects - 1].method = name;
  return true;
}

static bool add_metric(struct job *job, const char *name, struct error *err)
{
  if (job->n_metrics == MOST_METRICS)
    return error_set(err, ERROR_USAGE, "evaluate: more than %d metrics", MOST_METRICS);
  job->metrics[job->n_metrics++] = name;
  return true;
}

/* "a/b/lime.npy" and "a/b/lime/" are called lime. */
static const char *name_of(struct arena *arena, const char *path, bool file)
{
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/')
    n--;
  size_t from = n;
  while (from > 0 && path[from - 1] != '/')
    from--;
  char *name = arena_strndup(arena, path + from, n - from);
  char *dot = name && file ? strrchr(name, '.') : NULL;
  if (dot && dot != name)
    *dot = '\0';
  if (name)
    str_clean(name);
  return name;
}

static bool read_maps(struct job *job, struct error *err)
{
  const struct args *args = job->args;
  for (int i = 0; i < args->n_given; i++) {
    const struct given *g = &args->given[i];
    const bool file = strcmp(g->option->name, "map") == 0, folder = strcmp(g->option->name, "maps") == 0;
    if (!file && !folder)
      continue;
    const char *name = name_of(args->arena, g->value, file);
    if (!name)
      return error_memory(err, "the command line");
    if (folder && !file_is_dir(g->value))
      return error_set(err, ERROR_USAGE, "evaluate: --maps: '%.80s' is no folder; --map takes one file", g->value);
    if (!new_subject(job, name, err))
      return false;
    if (file)
      job->sources[job->n_subjects - 1].file = g->value;
    else
      job->sources[job->n_subjects - 1].folder = g->value;
  }
  return true;
}

/* --with NAME.PARAMETER=VALUE: of a method, or of a metric. */
static bool read_with(struct job *job, struct error *err)
{
  const struct args *args = job->args;
  for (int i = 0; i < args->n_given; i++) {
    const struct given *g = &args->given[i];
    const size_t dot = strcspn(g->value, ".=");
    bool used = false;
    if (strcmp(g->option->name, "with") != 0)
      continue;
    if (g->value[dot] != '.')
      return error_set(err, ERROR_USAGE, "evaluate: --with: '%.60s' is not NAME.PARAMETER=VALUE", g->value);
    for (int k = 0; k < job->n_subjects; k++)
      if (job->subjects[k].method && strlen(job->subjects[k].method) == dot &&
          memcmp(job->subjects[k].method, g->value, dot) == 0) {
        job->sources[k].params[job->sources[k].n_params++] = g->value + dot + 1;
        used = true;
      }
    for (int k = 0; k < job->n_metrics && !used; k++)
      used = strlen(job->metrics[k]) == dot && memcmp(job->metrics[k], g->value, dot) == 0;
    if (!used)
      return error_set(err, ERROR_USAGE, "evaluate: --with: '%.*s' is none of the methods and metrics asked for",
                       dot < 60 ? (int)dot : 60, g->value);
    if (!strchr(g->value + dot, '='))
      return error_set(err, ERROR_USAGE, "evaluate: --with: '%.60s' has no value", g->value);
    bool of_method = false;
    for (int k = 0; k < job->n_subjects; k++)
      of_method |=
          job->sources[k].n_params && job->sources[k].params[job->sources[k].n_params - 1] == g->value + dot + 1;
    if (!of_method)
      job->params[job->n_params++] = g->value;
  }
  return true;
}

/* Whether all metrics asked for do without maps. */
static bool without_maps(const struct job *job)
{
  penumbra_error cause = {0};
  struct error ignored = {0};
  bool without = job->n_metrics > 0;
  for (int i = 0; i < job->n_metrics && without; i++) {
    json_t *metric = tables_json(penumbra_metrics_json(job->metrics[i], &cause), &cause, &ignored);
    without = metric && json_array_size(json_object_get(json_array_get(metric, 0), "needs")) == 0;
    json_decref(metric);
  }
  return without;
}

static bool read_asked(struct job *job, struct error *err)
{
  const struct args *args = job->args;
  const char *const *settings = args_settings(args, TABLE_METRICS);
  job->params = arena_array(args->arena, 2 * (size_t)args->n_given + 2, sizeof *job->params);
  if (!job->params || !settings)
    return error_memory(err, "the command line");
  for (; *settings; settings++)
    job->params[job->n_params++] = *settings;
  if (!each_entry(job, "metric", add_metric, err) || !each_entry(job, "method", add_method, err) ||
      !read_maps(job, err))
    return false;
  if (job->n_metrics == 0) {
    static const char *const initial[] = {"region", "deletion", "insertion"};
    for (int i = 0; i < 3; i++)
      job->metrics[job->n_metrics++] = initial[i];
  }
  if (job->n_subjects == 0 && !without_maps(job) && !add_method(job, "occlusion", err))
    return false;
  const char *defaults = args_text(args, "defaults");
  if (defaults && strcmp(defaults, "paper") != 0 && strcmp(defaults, "penumbra") != 0)
    return error_set(err, ERROR_USAGE, "evaluate: --defaults: '%.60s' is neither paper nor penumbra", defaults);
  if (defaults) {
    const char *text = arena_printf(args->arena, "defaults=%s", defaults);
    if (!text)
      return error_memory(err, "the command line");
    job->params[job->n_params++] = text;
    for (int k = 0; k < job->n_subjects; k++)
      if (job->subjects[k].method)
        job->sources[k].params[job->sources[k].n_params++] = text;
  }
  return read_with(job, err);
}

static bool read_request(struct job *job, struct error *err)
{
  const struct args *args = job->args;
  int64_t seed = 0, threads = 0;
  penumbra_request *r = &job->common;
  *r = (penumbra_request){.size = sizeof *r,
                          .target = args_text(args, "target"),
                          .score = args_text(args, "score"),
                          .precision = args_text(args, "precision"),
                          .exact_full = args_has(args, "exact-full")};
  if (!args_integer(args, "seed", 0, INT64_MAX, &seed, err) || !args_integer(args, "threads", 1, 4096, &threads, err) ||
      !args_bytes(args, "memory", &r->memory, err) || !args_integer(args, "evals", 1, INT64_MAX, &r->evals, err) ||
      !args_number(args, "budget", 0, &r->budget, err) || !progress_init(&job->progress, args, err))
    return false;
  r->seed = (uint64_t)seed;
  r->threads = (int)threads;
  r->progress = progress_step;
  r->progress_context = &job->progress;
  job->normals = args_text(args, "normals");
  job->out = args_text(args, "out");
  if (!job->out)
    job->out = "penumbra-out";
  if (!*job->out || strcmp(job->out, "-") == 0)
    return error_set(err, ERROR_USAGE, "evaluate: --out: '%s' is no folder; --json writes results to standard output",
                     job->out);
  if (args_has(args, "overwrite") && args_has(args, "no-resume"))
    return error_set(err, ERROR_USAGE, "evaluate: --overwrite and --no-resume contradict each other");
  job->resume = args_either(args, "resume", "no-resume", true);
  job->quiet = args_has(args, "quiet");
  job->json = args_has(args, "json");
  job->request = (penumbra_evaluation_request){.size = sizeof job->request,
                                               .subjects = job->subjects,
                                               .subject_count = job->n_subjects,
                                               .metrics = job->metrics,
                                               .params = job->params,
                                               .truth = args_text(args, "truth"),
                                               .request = r};
  return true;
}

static json_t *texts(const char *const *list)
{
  json_t *array = json_array();
  for (; list && *list; list++)
    json_array_append_new(array, tables_text(*list));
  return array;
}

/* All that decides what the results are. */
static json_t *settings_of(const struct job *job, struct error *err)
{
  char sha256[65] = "";
  struct file_map map;
  penumbra_error cause = {0};
  if (!file_map(job->model_path, 0, &map, err))
    return NULL;
  bool ok = file_sha256(map.data, map.size, sha256);
  file_unmap(&map);
  json_t *model = ok ? tables_json(penumbra_model_json(job->model, &cause), &cause, err) : NULL;
  if (!model)
    return NULL;
  json_t *subjects = json_object();
  for (int i = 0; i < job->n_subjects; i++) {
    const struct subject *s = &job->sources[i];
    json_object_set_new(subjects, job->subjects[i].name,
                        s->file     ? json_string("map")
                        : s->folder ? json_string("maps")
                                    : texts(job->subjects[i].params));
  }
  const penumbra_request *r = &job->common;
  json_t *settings =
      json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:I, s:f, s:s, s:o, s:s, s:O?}", "command", "evaluate", "model",
                sha256, "subjects", subjects, "metrics", texts(job->metrics), "params", texts(job->params), "target",
                tables_text(r->target ? r->target : "top"), "score", r->score ? r->score : "prob", "evals",
                (json_int_t)r->evals, "budget", r->budget, "precision", r->precision ? r->precision : "f32", "truth",
                job->request.truth ? tables_text(job->request.truth) : json_null(), "version", penumbra_version(),
                "card", json_object_get(model, "card"));
  if (settings)
    json_object_set_new(settings, "seed", json_integer((json_int_t)r->seed));
  if (settings && job->normals)
    json_object_set_new(settings, "normals", tables_text(job->normals));
  json_decref(model);
  if (!settings)
    error_memory(err, "the manifest");
  return settings;
}

/* ---- maps from elsewhere ---------------------------------------------------------------------------------------- */

/* FOLDER/STEM.npy, or what penumbra explain left in FOLDER/STEM/. */
static const char *map_path(const struct job *job, const struct subject *s, const char *stem)
{
  struct arena *arena = job->args->arena;
  if (s->file)
    return s->file;
  const char *path = arena_printf(arena, "%s/%s.npy", s->folder, stem);
  if (path && file_exists(path))
    return path;
  const char *inside = arena_printf(arena, "%s/%s/map.npy", s->folder, stem);
  return inside && file_exists(inside) ? inside : path;
}

static bool load_maps(const struct job *job, const char *stem, struct npy *files, penumbra_array *maps,
                      struct error *err)
{
  for (int i = 0; i < job->n_subjects; i++) {
    files[i] = (struct npy){0};
    maps[i] = (penumbra_array){0};
  }
  for (int i = 0; i < job->n_subjects; i++) {
    if (job->subjects[i].method)
      continue;
    const char *path = map_path(job, &job->sources[i], stem);
    if (!path)
      return error_memory(err, "a map");
    if (!npy_read(path, MAP_LIMIT, &files[i], err))
      return false;
    maps[i] =
        (penumbra_array){files[i].data, files[i].type == NPY_F32 ? PENUMBRA_F32 : PENUMBRA_I32, files[i].rank, {0}};
    memcpy(maps[i].dims, files[i].dim, sizeof maps[i].dims);
  }
  return true;
}

/* A result that is there was made of these maps. */
static bool same_maps(const struct job *job, const char *name, const json_t *result, const struct npy *files,
                      struct error *err)
{
  for (int i = 0; i < job->n_subjects; i++) {
    char sha256[65];
    if (job->subjects[i].method)
      continue;
    const json_t *of = json_object_get(json_object_get(result, "subjects"), job->subjects[i].name);
    const char *before = json_string_value(json_object_get(of, "sha256"));
    if (!file_sha256(files[i].data, (size_t)npy_count(&files[i]) * 4, sha256))
      return error_memory(err, "a map");
    if (!before || strcmp(before, sha256) != 0)
      return error_set(err, ERROR_FAILED, "%.80s/%.80s: was made of another map of %.60s; --overwrite replaces it",
                       job->out, name, job->subjects[i].name);
  }
  return true;
}

/* ---- one image -------------------------------------------------------------------------------------------------- */

static bool take_over(struct job *job, const char *name, const json_t *result, struct error *err)
{
  penumbra_error cause = {0};
  if (!job->resume)
    return error_set(err, ERROR_FAILED, "%s/%s: is there already; --overwrite replaces it, --resume skips it", job->out,
                     name);
  char *text = json_dumps(result, JSON_COMPACT | JSON_REAL_PRECISION(15));
  bool ok = text ? penumbra_evaluation_restore(job->evaluation, text, &cause) || tables_error(&cause, err)
                 : error_memory(err, "a result");
  penumbra_text_free(text);
  if (!ok)
    return error_prefix(err, "%.80s/%.80s", job->out, name);
  job->tally.skipped++;
  return true;
}

static bool measure(struct job *job, const struct bytes *bytes, const penumbra_array *maps, const char *name,
                    enum slot slot, struct error *err)
{
  char dir[PATH_MAX];
  penumbra_error cause = {0};
  int n = snprintf(dir, sizeof dir, "%s/%s", job->out, name);
  if (n < 0 || (size_t)n >= sizeof dir)
    return error_set(err, ERROR_FAILED, "%.60s: the path is longer than %d bytes", name, PATH_MAX);
  penumbra_image *image = inputs_decode(bytes, err);
  bool ok = image && (penumbra_evaluation_add(job->evaluation, image, maps, &cause) || tables_error(&cause, err));
  progress_clear(&job->progress);
  penumbra_image_close(image);
  ok = ok && manifest_write(&job->manifest, err);
  if (ok &&
      !penumbra_evaluation_save_image(job->evaluation, dir, slot == SLOT_REPLACE ? PENUMBRA_OVERWRITE : 0, &cause)) {
    if (!job->tally.saved)
      manifest_undo(&job->manifest);
    ok = tables_error(&cause, err);
  }
  job->tally.saved += ok;
  return ok;
}

static bool evaluate_picture(void *context, const struct picture *picture, struct error *err)
{
  struct job *job = context;
  struct bytes bytes;
  char sha256[65];
  struct npy files[MOST_SUBJECTS];
  penumbra_array maps[MOST_SUBJECTS];
  enum slot slot = SLOT_FREE;
  json_t *result = NULL;
  if (picture->unusable) {
    *err = picture->why;
    return false;
  }
  if (!inputs_load(picture->path, &bytes, err))
    return false;
  bool ok = load_maps(job, picture->stem, files, maps, err) &&
            (file_sha256(bytes.data, bytes.size, sha256) || error_memory(err, picture->path)) &&
            manifest_slot(&job->manifest, picture->stem, sha256, &slot, &result, err);
  if (ok && slot == SLOT_DONE)
    ok = same_maps(job, picture->stem, result, files, err) && take_over(job, picture->stem, result, err);
  else if (ok)
    ok = measure(job, &bytes, maps, picture->stem, slot, err);
  json_decref(result);
  for (int i = 0; i < job->n_subjects; i++)
    npy_free(&files[i]);
  inputs_unload(&bytes);
  return ok;
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static double number_of(const json_t *value)
{
  return json_is_number(value) ? json_number_value(value) : NAN;
}

/* "0.412 [0.377, 0.447]", "-" where undefined. */
static const char *interval_text(const json_t *of, char *text, size_t size)
{
  const double mean = number_of(json_object_get(of, "mean")), lo = number_of(json_object_get(of, "lo")),
               hi = number_of(json_object_get(of, "hi"));
  if (isnan(mean))
    (void)snprintf(text, size, "-");
  else if (isnan(lo))
    (void)snprintf(text, size, "%.4g", mean);
  else
    (void)snprintf(text, size, "%.4g [%.4g, %.4g]", mean, lo, hi);
  return text;
}

static void pad(int used, int column)
{
  printf("%*s", used < column ? column - used : 1, "");
}

static void print_cell(const char *text)
{
  fputs(text, stdout);
  pad(help_columns(text), COLUMN + 4);
}

/* The name that was counted most often, with its share. */
static void print_most(const json_t *counts)
{
  const char *name, *most = NULL;
  json_t *count;
  json_int_t best = 0, all = 0;
  json_object_foreach ((json_t *)counts, name, count) {
    all += json_integer_value(count);
    if (json_integer_value(count) > best) {
      best = json_integer_value(count);
      most = name;
    }
  }
  if (most)
    printf("  mostly %s (%.0f %%)", most, 100.0 * (double)best / (double)all);
}

static void print_row(const json_t *summary, const json_t *entry)
{
  char text[96];
  size_t i;
  const json_t *column, *rank = json_object_get(entry, "rank");
  const char *subject = json_string_value(json_object_get(entry, "subject"));
  const json_t *of = json_object_get(json_object_get(summary, "subjects"), subject);
  const json_t *values = json_object_get(of, "values");
  if (json_is_integer(rank))
    printf("  %4lld  ", (long long)json_integer_value(rank));
  else
    printf("  %4s  ", "-");
  fputs(subject, stdout);
  pad(help_columns(subject), COLUMN);
  print_cell(interval_text(entry, text, sizeof text));
  json_array_foreach (json_object_get(summary, "columns"), i, column)
    print_cell(interval_text(json_object_get(values, json_string_value(column)), text, sizeof text));
  const double mean_rank = number_of(json_object_get(entry, "mean_rank"));
  if (isnan(mean_rank))
    printf("%9s", "-");
  else
    printf("%9.2f", mean_rank);
  printf("  %8lld  %7.2f", (long long)json_integer_value(json_object_get(of, "evaluations")),
         json_number_value(json_object_get(of, "seconds")));
  print_most(json_object_get(of, "counts"));
  if (json_integer_value(json_object_get(of, "skipped")))
    printf("  (%lld skipped)", (long long)json_integer_value(json_object_get(of, "skipped")));
  putchar('\n');
}

static void print_pairs(const json_t *summary)
{
  size_t i;
  const json_t *pair;
  json_array_foreach (json_object_get(summary, "pairs"), i, pair) {
    char text[96];
    json_t *interval = json_pack("{s:O?, s:O?, s:O?}", "mean", json_object_get(pair, "difference"), "lo",
                                 json_object_get(pair, "lo"), "hi", json_object_get(pair, "hi"));
    const json_t *significant = json_object_get(pair, "significant");
    printf("  %s - %s: %s: %s\n", json_string_value(json_object_get(pair, "a")),
           json_string_value(json_object_get(pair, "b")), interval_text(interval, text, sizeof text),
           json_is_true(significant)    ? "significant"
           : json_is_false(significant) ? "not significant"
                                        : "cannot be tested on one image");
    json_decref(interval);
  }
}

static void print_metric(const char *name, const json_t *summary)
{
  size_t i;
  const json_t *item;
  const char *headline = json_string_value(json_object_get(summary, "headline"));
  const long long images = json_integer_value(json_object_get(summary, "images"));
  printf("%s (%s), %lld image%s; ranked by %s, %s is better\n", name,
         json_string_value(json_object_get(summary, "title")), images, images == 1 ? "" : "s", headline,
         json_string_value(json_object_get(summary, "better")));
  printf("  rank  subject");
  pad(7, COLUMN);
  print_cell(headline);
  json_array_foreach (json_object_get(summary, "columns"), i, item)
    print_cell(json_string_value(item));
  printf("mean rank    passes  seconds\n");
  json_array_foreach (json_object_get(summary, "ranking"), i, item)
    print_row(summary, item);
  print_pairs(summary);
}

static void print_costs(const json_t *all)
{
  const char *name;
  json_t *cost;
  const size_t images = json_array_size(json_object_get(all, "images"));
  json_object_foreach (json_object_get(all, "explained"), name, cost)
    printf("maps by %s: %.0f passes and %.3g s an image\n", name,
           (double)json_integer_value(json_object_get(cost, "evaluations")) / (double)images,
           json_number_value(json_object_get(cost, "seconds")) / (double)images);
}

/* How often each fill looks like a finding, where that is known. */
static void print_artifacts(const json_t *artifacts)
{
  const char *fill;
  json_t *of;
  const char *source = json_string_value(json_object_get(artifacts, "source"));
  json_object_foreach (json_object_get(artifacts, "fills"), fill, of) {
    char text[96];
    json_t *interval = json_pack("{s:O?, s:O?, s:O?}", "mean", json_object_get(of, "rate"), "lo",
                                 json_object_get(of, "lo"), "hi", json_object_get(of, "hi"));
    printf("a patch of '%s' on a normal image is called a finding: %s (%s, %lld images)\n", fill,
           interval_text(interval, text, sizeof text),
           strcmp(source ? source : "", "card") == 0 ? "the card" : "measured",
           (long long)json_integer_value(json_object_get(of, "images")));
    json_decref(interval);
  }
}

/* The tables, or all as JSON; warnings to standard error. */
static bool print_results(const struct job *job, struct error *err)
{
  penumbra_error cause = {0};
  json_t *all = tables_json(penumbra_evaluation_json(job->evaluation, &cause), &cause, err);
  const char *name;
  json_t *summary;
  size_t i;
  const json_t *warning;
  if (!all)
    return false;
  if (job->json)
    tables_print(all);
  json_object_foreach (json_object_get(all, "metrics"), name, summary) {
    if (!job->json)
      print_metric(name, summary);
    json_array_foreach (json_object_get(summary, "warnings"), i, warning)
      if (!job->quiet)
        fprintf(stderr, "  warning: %s of %s: %s (%lld image%s)\n", name,
                json_string_value(json_object_get(warning, "subject")),
                json_string_value(json_object_get(warning, "message")),
                (long long)json_integer_value(json_object_get(warning, "images")),
                json_integer_value(json_object_get(warning, "images")) == 1 ? "" : "s");
  }
  if (!job->json) {
    print_costs(all);
    print_artifacts(json_object_get(all, "artifacts"));
  }
  json_array_foreach (json_object_get(all, "images"), i, warning) {
    size_t k;
    const json_t *said;
    json_array_foreach (json_object_get(warning, "warnings"), k, said)
      if (!job->quiet)
        fprintf(stderr, "  note: %s: %s\n",
                json_string_value(json_object_get(json_object_get(warning, "image"), "path")),
                json_string_value(json_object_get(said, "message")));
  }
  json_decref(all);
  return true;
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static bool evaluate_all(struct job *job, const struct pictures *pictures, struct error *err)
{
  job->progress.method = "evaluate";
  return inputs_each(pictures, &job->progress, &job->tally, job->out, evaluate_picture, job, err) &&
         (job->tally.saved + job->tally.skipped > 0 ||
          error_set(err, ERROR_FAILED, "%d of %d images failed", job->tally.failed, pictures->count));
}

static bool finish(struct job *job, const struct pictures *pictures, struct error *err)
{
  penumbra_error cause = {0};
  if (!penumbra_evaluation_save(job->evaluation, job->out, &cause))
    return tables_error(&cause, err);
  if (job->tally.skipped && !job->quiet)
    fprintf(stderr, "%d result%s already there in %s, taken over (--overwrite makes them anew)\n", job->tally.skipped,
            job->tally.skipped == 1 ? " was" : "s were", job->out);
  if (!print_results(job, err))
    return false;
  if (!job->quiet)
    fprintf(stderr, "  %s/metrics.json, metrics.csv, images.csv\n", job->out);
  return job->tally.failed == 0 ||
         error_set(err, ERROR_FAILED, "%d of %d images failed", job->tally.failed, pictures->count);
}

static bool measure_normals(struct job *job, struct error *err)
{
  if (!job->normals)
    return true;
  job->progress.method = "normal images";
  job->artifact_rates =
      inputs_normals(job->args, job->model, job->normals, job->subjects, job->n_subjects, &job->common, err);
  job->common.artifact_rates = job->artifact_rates;
  progress_clear(&job->progress);
  return job->artifact_rates != NULL;
}

static bool run(const struct args *args, struct error *err)
{
  struct job job = {.args = args, .model_path = args->words[0]};
  struct pictures pictures = {0};
  penumbra_error cause = {0};
  json_t *settings = NULL;
  bool ok = read_asked(&job, err) && read_request(&job, err) &&
            inputs_pictures(args, args->words + 1, args->n_words - 1, &pictures, err);
  for (int i = 0; ok && i < job.n_subjects; i++)
    if (job.sources[i].file && pictures.count > 1)
      ok =
          error_set(err, ERROR_USAGE,
                    "evaluate: --map is the map of one image, and there are %d; --maps takes a folder", pictures.count);
  ok = ok && (job.model = inputs_model(args, job.model_path, err)) != NULL;
  if (ok && !(job.evaluation = penumbra_evaluation_new(job.model, &job.request, &cause)))
    ok = tables_error(&cause, err);
  if (ok && !job.quiet)
    inputs_notes(job.model, job.model_path);
  ok = ok && (settings = settings_of(&job, err)) != NULL &&
       manifest_open(&job.manifest, job.out, settings, args_has(args, "overwrite"), err);
  if (ok) {
    interrupt_watch();
    ok = measure_normals(&job, err) && evaluate_all(&job, &pictures, err) && finish(&job, &pictures, err);
  }
  manifest_close(&job.manifest);
  penumbra_evaluation_free(job.evaluation);
  penumbra_text_free(job.artifact_rates);
  penumbra_model_close(job.model);
  return ok;
}

static const struct option options[] = {
    {"method", 'm', "METHOD[,METHOD…]", "judge the maps of these methods (default occlusion)", "Evaluation", NULL},
    {"map", 0, "FILE", "judge this map (.npy, on the model's or the image's grid), of one image", "Evaluation", NULL},
    {"maps", 0, "DIR", "judge the maps DIR/STEM.npy, one for each image", "Evaluation", NULL},
    {"metric", 0, "METRIC[,METRIC…]",
     "by these metrics (default region,deletion,insertion); 'penumbra metrics' lists them", "Evaluation", NULL},
    {"with", 0, "NAME.PARAMETER=VALUE", "a parameter of one method or metric, such as lime.samples=500", "Evaluation",
     NULL},
    {"truth", 0, "PATH",
     "where the truth is: a mask as large as the image, a folder of STEM.png, or boxes in COCO's JSON; {dir}, {stem} "
     "and "
     "{label} stand for the image's folder and name and the target's label",
     "Evaluation", NULL},
    {"normals", 0, "DIR",
     "normal images on which is measured how often the fills used look like a finding; without it what the card "
     "records",
     "Evaluation", NULL},
    {"target", 't', "CLASS", "label or number of the class, top (default)", "Evaluation", NULL},
    {"score", 0, "prob|logit", "what is watched: the probability (default) or what enters the last activation",
     "Evaluation", NULL},
    {"defaults", 0, "paper", "use the parameters of the papers wherever they differ", "Evaluation", NULL},
    {"seed", 0, "N", "fixes everything random (default 0)", "Evaluation", NULL},
    {"exact-full", 0, NULL, "run the whole model for every perturbation, never on windows: for comparison", "Limits",
     NULL},
    {"evals", 0, "N", "stop each explanation after so many evaluations of the model", "Limits", NULL},
    {"budget", 0, "S", "stop each explanation after so many seconds", "Limits", NULL},
    {"precision", 0, "f32|bf16|auto", "of explanations (default f32); metrics are always measured in f32", "Limits",
     NULL},
    {"threads", 0, "N", "processor cores used (default all); the result does not depend on it", "Limits", NULL},
    {"memory", 0, "SIZE",
     "memory used beyond the model's weights, such as 500M or 2G (default 1G); the result does not "
     "depend on it",
     "Limits", NULL},
    {"out", 'o', "DIR", "folder of the results (default penumbra-out)", "Output", NULL},
    {"overwrite", 0, NULL, "replace results that are there", "Output", NULL},
    {"resume", 0, NULL, "take over images whose result is there, made with the same settings (default)", "Output",
     NULL},
    {"no-resume", 0, NULL, "an image whose result is there is an error", "Output", NULL},
    {"json", 0, NULL, "print metrics.json to standard output instead of the tables", "Output", NULL},
    OPTION_PROGRESS,
    {"quiet", 'q', NULL, "no warnings, notes or progress", "Output", NULL},
    OPTION_CARD,
    OPTION_END,
};

const struct command command_evaluate = {
    .name = "evaluate",
    .summary = "Measure how good maps are, and rank methods",
    .usage = "MODEL IMAGE…",
    .details =
        "Explains every image by the methods given (or takes maps from elsewhere) and measures each map. Prints a "
        "ranking with 95 % intervals; methods whose paired difference may be chance share a rank.\n"
        "DIR gets metrics.json, metrics.csv (means), images.csv (every image), the curves, and for each image a "
        "folder, so that an interrupted run is continued by the same command.\n"
        "Parameters of metrics are options; those of methods are given by --with.",
    .min_words = 2,
    .max_words = -1,
    .uses = USES_CARD | USES_METRICS,
    .options = options,
    .run = run,
};
