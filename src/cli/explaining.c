/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/explaining.h"

#include "base/files.h"
#include "base/str.h"
#include "cli/tables.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char *command_of(const struct explaining *job)
{
  return job->args->command->name;
}

/* ---- what is asked ---------------------------------------------------------------------------------------------- */

static const json_t *find_named(const json_t *list, const char *name)
{
  size_t i;
  const json_t *item;
  json_array_foreach (list, i, item) {
    const char *own = json_string_value(json_object_get(item, "name"));
    if (own && strcmp(own, name) == 0)
      return item;
  }
  return NULL;
}

static bool unknown_method(const struct explaining *job, const json_t *all, const char *name, struct error *err)
{
  const char *names[EXPLAINING_METHODS * 4 + 1];
  int n = 0;
  size_t i;
  const json_t *item;
  struct str list;
  str_init(&list, 160);
  json_array_foreach (all, i, item)
    if (n < EXPLAINING_METHODS * 4)
      names[n++] = json_string_value(json_object_get(item, "name"));
  names[n] = NULL;
  for (int k = 0; k < n; k++)
    str_printf(&list, "%s%s", k ? ", " : "", names[k]);
  const char *nearest = str_nearest(name, names);
  if (nearest)
    error_set(err, ERROR_USAGE, "%s: there is no method '%.60s'; did you mean '%s'?", command_of(job), name, nearest);
  else
    error_set(err, ERROR_USAGE, "%s: there is no method '%.60s'; there are: %s", command_of(job), name,
              list.length ? list.text : "see 'penumbra methods'");
  str_free(&list);
  return false;
}

static bool add_method(struct explaining *job, const json_t *all, const char *name, struct error *err)
{
  for (int i = 0; i < job->n_methods; i++)
    if (strcmp(job->methods[i].name, name) == 0)
      return true;
  if (!find_named(all, name))
    return unknown_method(job, all, name, err);
  if (job->n_methods == EXPLAINING_METHODS)
    return error_set(err, ERROR_USAGE, "%s: --method: more than %d methods", command_of(job), EXPLAINING_METHODS);
  struct explaining_method *m = &job->methods[job->n_methods++];
  *m = (struct explaining_method){
      .name = name, .params = arena_array(job->args->arena, (size_t)job->args->n_given + 2, sizeof *m->params)};
  return m->params != NULL || error_memory(err, "the parameters");
}

/* --method may be given several times, and hold several names. */
static bool read_methods(struct explaining *job, const json_t *all, struct error *err)
{
  const struct args *args = job->args;
  for (int i = 0; i < args->n_given; i++) {
    if (strcmp(args->given[i].option->name, "method") != 0)
      continue;
    for (const char *p = args->given[i].value;;) {
      size_t n = strcspn(p, ",");
      const char *name = arena_strndup(args->arena, p, n);
      if (!name)
        return error_memory(err, "the methods");
      if (!add_method(job, all, name, err))
        return false;
      if (!p[n])
        break;
      p += n + 1;
    }
  }
  for (const char *const *name = job->n_methods ? NULL : job->initial; name && *name; name++)
    if (find_named(all, *name) && !add_method(job, all, *name, err))
      return false;
  job->folders |= job->n_methods > 1;
  return true;
}

/* A parameter goes to every method that has it. */
static bool read_params(struct explaining *job, const json_t *all, struct error *err)
{
  const struct args *args = job->args;
  const char *defaults = args_text(args, "defaults");
  if (defaults && strcmp(defaults, "paper") != 0 && strcmp(defaults, "penumbra") != 0)
    return error_set(err, ERROR_USAGE, "%s: --defaults: '%.60s' is neither paper nor penumbra", command_of(job),
                     defaults);
  for (int k = 0; defaults && k < job->n_methods; k++) {
    struct explaining_method *m = &job->methods[k];
    if (!(m->params[m->n_params++] = arena_printf(args->arena, "defaults=%s", defaults)))
      return error_memory(err, "the parameters");
  }
  for (int i = 0; i < args->n_given; i++) {
    const struct given *g = &args->given[i];
    bool used = false;
    if (g->table != TABLE_METHODS)
      continue;
    for (int k = 0; k < job->n_methods; k++) {
      struct explaining_method *m = &job->methods[k];
      if (!find_named(json_object_get(find_named(all, m->name), "parameters"), g->option->key))
        continue;
      used = true;
      m->params[m->n_params] = *g->value || g->option->argument[0] != '['
                                   ? arena_printf(args->arena, "%s=%s", g->option->key, g->value)
                                   : g->option->key;
      if (!m->params[m->n_params++])
        return error_memory(err, "the parameters");
    }
    if (!used)
      return error_set(err, ERROR_USAGE, "%s: --%s: is no parameter of %s%s ('penumbra methods %s' lists them)",
                       command_of(job), g->option->name, job->methods[0].name,
                       job->n_methods > 1 ? " and the others" : "", job->methods[0].name);
  }
  return true;
}

static bool read_request(struct explaining *job, struct error *err)
{
  const struct args *args = job->args;
  int64_t seed = 0, threads = 0;
  penumbra_request *r = &job->request;
  *r = (penumbra_request){.size = sizeof *r,
                          .target = args_text(args, "target"),
                          .score = args_text(args, "score"),
                          .exact_full = args_has(args, "exact-full"),
                          .precision = args_text(args, "precision")};
  if (!args_integer(args, "seed", 0, INT64_MAX, &seed, err) || !args_integer(args, "threads", 1, 4096, &threads, err) ||
      !args_bytes(args, "memory", &r->memory, err) || !args_integer(args, "evals", 1, INT64_MAX, &r->evals, err) ||
      !args_number(args, "budget", 0, &r->budget, err) || !args_number(args, "map-scale", 1e-9, &r->scale, err) ||
      !progress_init(&job->progress, args, err))
    return false;
  if (r->score && strcmp(r->score, "prob") != 0 && strcmp(r->score, "logit") != 0)
    return error_set(err, ERROR_USAGE, "%s: --score: '%.60s' is neither prob nor logit", command_of(job), r->score);
  r->seed = (uint64_t)seed;
  r->threads = (int)threads;
  r->progress = progress_step;
  r->progress_context = &job->progress;
  job->normals = args_text(args, "normals");
  job->out = args_text(args, "out");
  if (!job->out)
    job->out = "penumbra-out";
  if (!*job->out || strcmp(job->out, "-") == 0)
    return error_set(err, ERROR_USAGE, "%s: --out: '%s' is no folder; --json writes results to standard output",
                     command_of(job), job->out);
  if (args_has(args, "overwrite") && args_has(args, "no-resume"))
    return error_set(err, ERROR_USAGE, "%s: --overwrite and --no-resume contradict each other", command_of(job));
  const char *report = args_text(args, "report");
  if (report && strcmp(report, "html") != 0 && strcmp(report, "json") != 0)
    return error_set(err, ERROR_USAGE, "%s: --report: '%.60s' is neither html nor json", command_of(job), report);
  if (report && args_has(args, "no-report"))
    return error_set(err, ERROR_USAGE, "%s: --report and --no-report contradict each other", command_of(job));
  job->report = args_has(args, "no-report")             ? PENUMBRA_NO_REPORT
                : report && strcmp(report, "json") == 0 ? PENUMBRA_REPORT_JSON
                                                        : 0;
  job->resume = args_either(args, "resume", "no-resume", true);
  job->quiet = args_has(args, "quiet");
  job->json = args_has(args, "json");
  return true;
}

/* ---- settings of the folder ------------------------------------------------------------------------------------- */

static json_t *params_object(const struct explaining_method *m)
{
  json_t *object = json_object();
  for (const char *const *p = m->params; *p; p++) {
    char name[64];
    size_t n = strcspn(*p, "=");
    (void)snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name - 1, *p);
    json_object_set_new(object, name, tables_text((*p)[n] ? *p + n + 1 : "on"));
  }
  return object;
}

/* All that decides what the results are; threads and memory do not. */
static json_t *settings_of(const struct explaining *job, struct error *err)
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
  json_t *methods = json_object();
  for (int i = 0; i < job->n_methods; i++)
    json_object_set_new(methods, job->methods[i].name, params_object(&job->methods[i]));
  const penumbra_request *r = &job->request;
  json_t *settings = json_pack("{s:s, s:o, s:o, s:o, s:s, s:I, s:f, s:s, s:s, s:O?}", "model", sha256, "methods",
                               methods, "target", tables_text(r->target ? r->target : "top"), "seed",
                               json_integer((json_int_t)r->seed), "score", r->score ? r->score : "prob", "evals",
                               (json_int_t)r->evals, "budget", r->budget, "version", penumbra_version(), "precision",
                               r->precision ? r->precision : "f32", "card", json_object_get(model, "card"));
  json_decref(model);
  if (!settings)
    error_memory(err, "the manifest");
  else if (job->normals) /* where there are none, manifests stay what they were */
    json_object_set_new(settings, "normals", tables_text(job->normals));
  if (settings && r->scale > 0)
    json_object_set_new(settings, "map-scale", json_real(r->scale));
  if (settings && job->settings)
    json_object_update(settings, job->settings);
  return settings;
}

/* ---- one result ------------------------------------------------------------------------------------------------- */

static int top_class(const json_t *scores)
{
  int best = 0;
  for (int i = 1; i < (int)json_array_size(scores); i++)
    if (json_number_value(json_array_get(scores, (size_t)i)) > json_number_value(json_array_get(scores, (size_t)best)))
      best = i;
  return best;
}

/* "film.png: occlusion: Pneumonia, score 0.973, strongest evidence at x 212, y 340; 626 evaluations in 1.2 s",
 * where the picture is, and what the method warns of. */
static void print_summary(const struct explaining *job, const struct picture *picture,
                          const struct explaining_method *method, const json_t *result, const char *dir)
{
  const json_t *target = json_object_get(result, "target"), *map = json_object_get(result, "map"), *warning;
  const json_t *scores = json_object_get(result, "scores"), *at = json_object_get(map, "strongest");
  const int top = top_class(scores);
  const char *label = json_string_value(json_object_get(target, "label"));
  fprintf(stderr, "%s: %s: %s, score %.4g", picture->path, method->name, label ? label : "?",
          json_number_value(json_object_get(target, "score")));
  if (json_integer_value(json_object_get(target, "index")) != top)
    fprintf(stderr, " (the top class is %s, %.4g)", penumbra_model_label(job->model, top),
            json_number_value(json_array_get(scores, (size_t)top)));
  if (json_number_value(json_object_get(map, "max")) > 0)
    fprintf(stderr, ", strongest evidence at x %lld, y %lld px", (long long)json_integer_value(json_array_get(at, 0)),
            (long long)json_integer_value(json_array_get(at, 1)));
  else
    fputs(", nothing in the image speaks for it", stderr);
  fprintf(stderr, "; %lld evaluations in %.3g s\n  %s/overlay.png\n",
          (long long)json_integer_value(json_object_get(json_object_get(result, "method"), "evaluations")),
          json_number_value(json_object_get(json_object_get(result, "timing"), "total_s")), dir);
  size_t i;
  json_array_foreach (json_object_get(result, "warnings"), i, warning) {
    const char *message = json_string_value(json_object_get(warning, "message"));
    fprintf(stderr, "  warning: %s\n", message ? message : "?");
  }
}

/* Save, tell, and keep the result for --json (which takes over `result`). */
static bool save(struct explaining *job, const struct picture *picture, const struct explaining_method *method,
                 const penumbra_explanation *e, const char *dir, enum slot slot, struct error *err)
{
  penumbra_error cause = {0};
  json_t *result = tables_json(penumbra_explanation_json(e, &cause), &cause, err);
  if (!result)
    return false;
  bool ok =
      (!job->folders || manifest_make_room(&job->manifest, picture->stem, err)) && manifest_write(&job->manifest, err);
  if (ok &&
      !penumbra_explanation_save(e, dir, job->report | (slot == SLOT_REPLACE ? PENUMBRA_OVERWRITE : 0u), &cause)) {
    if (!job->tally.saved)
      manifest_undo(&job->manifest);
    ok = tables_error(&cause, err);
  }
  progress_clear(&job->progress);
  if (ok && !job->quiet)
    print_summary(job, picture, method, result, dir);
  if (ok)
    job->tally.saved++;
  if (ok && job->json)
    json_array_append(job->results, result);
  json_decref(result);
  return ok;
}

/* Before the first map of this run. */
static bool measure_normals(struct explaining *job, struct error *err)
{
  penumbra_subject methods[EXPLAINING_METHODS];
  for (int i = 0; i < job->n_methods; i++)
    methods[i] = (penumbra_subject){.method = job->methods[i].name, .params = job->methods[i].params};
  job->progress.method = "normal images";
  job->artifact_rates =
      inputs_normals(job->args, job->model, job->normals, methods, job->n_methods, &job->request, err);
  job->request.artifact_rates = job->artifact_rates;
  progress_clear(&job->progress);
  return job->artifact_rates != NULL;
}

static bool explain_one(struct explaining *job, const struct picture *picture, const struct explaining_method *method,
                        const penumbra_image *image, const char *name, enum slot slot, struct error *err)
{
  char dir[PATH_MAX];
  penumbra_error cause = {0};
  if (job->normals && !job->artifact_rates && !measure_normals(job, err))
    return false;
  penumbra_request request = job->request;
  request.method = method->name;
  request.params = method->params;
  job->progress.method = method->name;
  int n = snprintf(dir, sizeof dir, "%s/%s", job->out, name);
  if (n < 0 || (size_t)n >= sizeof dir)
    return error_set(err, ERROR_FAILED, "%.60s: the path is longer than %d bytes", name, PATH_MAX);
  penumbra_explanation *e = penumbra_explain(job->model, image, &request, &cause);
  bool ok = e ? save(job, picture, method, e, dir, slot, err) : tables_error(&cause, err);
  progress_clear(&job->progress);
  penumbra_explanation_free(e);
  return ok;
}

/* Take over the result that is there already. */
static bool skip(struct explaining *job, const char *name, json_t *result, struct error *err)
{
  if (!job->resume) {
    json_decref(result);
    return error_set(err, ERROR_FAILED, "%s/%s: is there already; --overwrite replaces it, --resume skips it", job->out,
                     name);
  }
  if (job->json)
    json_array_append(job->results, result);
  json_decref(result);
  job->tally.skipped++;
  return true;
}

/* All methods of one image; it is decoded only if one of them is still to be done. */
static bool explain_picture(void *context, const struct picture *picture, struct error *err)
{
  struct explaining *job = context;
  struct bytes bytes;
  char sha256[65];
  if (picture->unusable) {
    *err = picture->why;
    return false;
  }
  if (!inputs_load(picture->path, &bytes, err))
    return false;
  bool ok = file_sha256(bytes.data, bytes.size, sha256) || error_memory(err, picture->path);
  penumbra_image *image = NULL;
  for (int k = 0; ok && k < job->n_methods; k++) {
    const struct explaining_method *method = &job->methods[k];
    enum slot slot = SLOT_FREE;
    json_t *result = NULL;
    const char *name =
        !job->folders ? picture->stem : arena_printf(job->args->arena, "%s/%s", picture->stem, method->name);
    if (!name)
      ok = error_memory(err, picture->path);
    else if (!manifest_slot(&job->manifest, name, sha256, &slot, &result, err))
      ok = false;
    else if (slot == SLOT_DONE)
      ok = skip(job, name, result, err);
    else
      ok = (image || (image = inputs_decode(&bytes, err))) && explain_one(job, picture, method, image, name, slot, err);
  }
  ok = ok && (!job->finish || job->finish(job, picture, &bytes, sha256, &image, err));
  penumbra_image_close(image);
  inputs_unload(&bytes);
  return ok;
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static bool explain_all(struct explaining *job, const struct pictures *pictures, struct error *err)
{
  return inputs_each(pictures, &job->progress, &job->tally, job->out, explain_picture, job, err) &&
         (!job->tally.failed ||
          error_set(err, ERROR_FAILED, "%d of %d images failed", job->tally.failed, pictures->count));
}

static bool prepare(struct explaining *job, struct error *err)
{
  penumbra_error cause = {0};
  json_t *all = tables_json(penumbra_methods_json(NULL, &cause), &cause, err);
  bool ok = all && read_methods(job, all, err) && read_params(job, all, err) && read_request(job, err);
  json_decref(all);
  return ok;
}

bool explaining_run(struct explaining *job, struct error *err)
{
  const struct args *args = job->args;
  struct pictures pictures = {0};
  json_t *settings = NULL;
  job->model_path = args->words[0];
  job->results = json_array();
  bool ok = job->results ? prepare(job, err) : error_memory(err, "the results");
  ok = ok && inputs_pictures(args, args->words + 1, args->n_words - 1, &pictures, err);
  ok = ok && (job->model = inputs_model(args, job->model_path, err)) != NULL;
  if (ok && !job->quiet)
    inputs_notes(job->model, job->model_path);
  ok = ok && (!job->open || job->open(job, err));
  ok = ok && (settings = settings_of(job, err)) != NULL &&
       manifest_open(&job->manifest, job->out, settings, args_has(args, "overwrite"), err);
  if (ok) {
    interrupt_watch();
    ok = explain_all(job, &pictures, err);
    if (job->tally.skipped && !job->quiet)
      fprintf(stderr, "%d result%s already there in %s, skipped (--overwrite makes them anew)\n", job->tally.skipped,
              job->tally.skipped == 1 ? " was" : "s were", job->out);
    if (job->json && err->code != ERROR_USAGE)
      tables_print(job->results);
  }
  manifest_close(&job->manifest);
  if (job->close)
    job->close(job);
  penumbra_model_close(job->model);
  penumbra_text_free(job->artifact_rates);
  json_decref(job->results);
  return ok;
}
