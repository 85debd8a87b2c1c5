/* SPDX-License-Identifier: Apache-2.0 */
/* penumbra explain: a saliency map for every image. Results lie in OUT/STEM/ (several methods: OUT/STEM/METHOD/); a
 * folder that was begun with the same settings is continued. */
#include "base/files.h"
#include "base/str.h"
#include "cli/args.h"
#include "cli/inputs.h"
#include "cli/manifest.h"
#include "cli/progress.h"
#include "cli/tables.h"
#include "penumbra.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { MOST_METHODS = 32 };

struct method {
  const char *name;
  const char **params; /* NULL-terminated "name=value" */
  int n_params;
};

struct job {
  const struct args *args;
  const char *model_path, *out;
  penumbra_model *model;
  struct method methods[MOST_METHODS];
  int n_methods;
  penumbra_request request; /* all but method, parameters and progress */
  bool resume, quiet, json;
  struct manifest manifest;
  struct progress progress;
  json_t *results; /* array, in the order of the images */
  int saved, skipped, failed;
};

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

static bool unknown_method(const json_t *all, const char *name, struct error *err)
{
  const char *names[MOST_METHODS * 4 + 1];
  int n = 0;
  size_t i;
  const json_t *item;
  struct str list;
  str_init(&list, 160);
  json_array_foreach (all, i, item)
    if (n < MOST_METHODS * 4)
      names[n++] = json_string_value(json_object_get(item, "name"));
  names[n] = NULL;
  for (int k = 0; k < n; k++)
    str_printf(&list, "%s%s", k ? ", " : "", names[k]);
  const char *nearest = str_nearest(name, names);
  if (nearest)
    error_set(err, ERROR_USAGE, "explain: there is no method '%.60s'; did you mean '%s'?", name, nearest);
  else
    error_set(err, ERROR_USAGE, "explain: there is no method '%.60s'; there are: %s", name,
              list.length ? list.text : "see 'penumbra methods'");
  str_free(&list);
  return false;
}

static bool add_method(struct job *job, const json_t *all, const char *name, struct error *err)
{
  for (int i = 0; i < job->n_methods; i++)
    if (strcmp(job->methods[i].name, name) == 0)
      return true;
  if (!find_named(all, name))
    return unknown_method(all, name, err);
  if (job->n_methods == MOST_METHODS)
    return error_set(err, ERROR_USAGE, "explain: --method: more than %d methods", MOST_METHODS);
  struct method *m = &job->methods[job->n_methods++];
  *m = (struct method){.name = name,
                       .params = arena_array(job->args->arena, (size_t)job->args->n_given + 2, sizeof *m->params)};
  return m->params != NULL || error_memory(err, "the parameters");
}

/* --method may be given several times, and hold several names. */
static bool read_methods(struct job *job, const json_t *all, struct error *err)
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
  return job->n_methods > 0 || add_method(job, all, "occlusion", err);
}

/* A parameter goes to every method that has it. */
static bool read_params(struct job *job, const json_t *all, struct error *err)
{
  const struct args *args = job->args;
  const char *defaults = args_text(args, "defaults");
  if (defaults && strcmp(defaults, "paper") != 0 && strcmp(defaults, "penumbra") != 0)
    return error_set(err, ERROR_USAGE, "explain: --defaults: '%.60s' is neither paper nor penumbra", defaults);
  for (int k = 0; defaults && k < job->n_methods; k++) {
    struct method *m = &job->methods[k];
    if (!(m->params[m->n_params++] = arena_printf(args->arena, "defaults=%s", defaults)))
      return error_memory(err, "the parameters");
  }
  for (int i = 0; i < args->n_given; i++) {
    const struct given *g = &args->given[i];
    bool used = false;
    if (g->table != TABLE_METHODS)
      continue;
    for (int k = 0; k < job->n_methods; k++) {
      struct method *m = &job->methods[k];
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
      return error_set(err, ERROR_USAGE, "explain: --%s: is no parameter of %s%s ('penumbra methods %s' lists them)",
                       g->option->name, job->methods[0].name, job->n_methods > 1 ? " and the others" : "",
                       job->methods[0].name);
  }
  return true;
}

static bool read_request(struct job *job, struct error *err)
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
      !args_number(args, "budget", 0, &r->budget, err) || !progress_init(&job->progress, args, err))
    return false;
  if (r->score && strcmp(r->score, "prob") != 0 && strcmp(r->score, "logit") != 0)
    return error_set(err, ERROR_USAGE, "explain: --score: '%.60s' is neither prob nor logit", r->score);
  r->seed = (uint64_t)seed;
  r->threads = (int)threads;
  r->progress = progress_step;
  r->progress_context = &job->progress;
  job->out = args_text(args, "out");
  if (!job->out)
    job->out = "penumbra-out";
  if (!*job->out || strcmp(job->out, "-") == 0)
    return error_set(err, ERROR_USAGE, "explain: --out: '%s' is no folder; --json writes results to standard output",
                     job->out);
  if (args_has(args, "overwrite") && args_has(args, "no-resume"))
    return error_set(err, ERROR_USAGE, "explain: --overwrite and --no-resume contradict each other");
  job->resume = args_either(args, "resume", "no-resume", true);
  job->quiet = args_has(args, "quiet");
  job->json = args_has(args, "json");
  return true;
}

/* ---- settings of the folder ------------------------------------------------------------------------------------- */

static json_t *params_object(const struct method *m)
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
  json_t *methods = json_object();
  for (int i = 0; i < job->n_methods; i++)
    json_object_set_new(methods, job->methods[i].name, params_object(&job->methods[i]));
  const penumbra_request *r = &job->request;
  json_t *settings =
      json_pack("{s:s, s:o, s:o, s:o, s:s, s:I, s:f, s:s, s:s, s:O?}", "model", sha256, "methods", methods, "target",
                tables_text(r->target ? r->target : "top"), "seed", json_integer((json_int_t)r->seed), "score",
                r->score ? r->score : "prob", "evals", (json_int_t)r->evals, "budget", r->budget, "version",
                penumbra_version(), "precision", r->precision ? r->precision : "f32", "card", json_object_get(model, "card"));
  json_decref(model);
  if (!settings)
    error_memory(err, "the manifest");
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
static void print_summary(const struct job *job, const struct picture *picture, const struct method *method,
                          const json_t *result, const char *dir)
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
static bool save(struct job *job, const struct picture *picture, const struct method *method,
                 const penumbra_explanation *e, const char *dir, enum slot slot, struct error *err)
{
  penumbra_error cause = {0};
  json_t *result = tables_json(penumbra_explanation_json(e, &cause), &cause, err);
  if (!result)
    return false;
  bool ok = (job->n_methods == 1 || manifest_make_room(&job->manifest, picture->stem, err)) &&
            manifest_write(&job->manifest, err);
  if (ok && !penumbra_explanation_save(e, dir, slot == SLOT_REPLACE ? PENUMBRA_OVERWRITE : 0, &cause)) {
    if (!job->saved)
      manifest_undo(&job->manifest);
    ok = tables_error(&cause, err);
  }
  progress_clear(&job->progress);
  if (ok && !job->quiet)
    print_summary(job, picture, method, result, dir);
  if (ok)
    job->saved++;
  if (ok && job->json)
    json_array_append(job->results, result);
  json_decref(result);
  return ok;
}

static bool explain_one(struct job *job, const struct picture *picture, const struct method *method,
                        const penumbra_image *image, const char *name, enum slot slot, struct error *err)
{
  char dir[PATH_MAX];
  penumbra_request request = job->request;
  penumbra_error cause = {0};
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
static bool skip(struct job *job, const char *name, json_t *result, struct error *err)
{
  if (!job->resume) {
    json_decref(result);
    return error_set(err, ERROR_FAILED, "%s/%s: is there already; --overwrite replaces it, --resume skips it", job->out,
                     name);
  }
  if (job->json)
    json_array_append(job->results, result);
  json_decref(result);
  job->skipped++;
  return true;
}

/* All methods of one image; it is decoded only if one of them is still to be done. */
static bool explain_picture(struct job *job, const struct picture *picture, struct error *err)
{
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
    const struct method *method = &job->methods[k];
    enum slot slot = SLOT_FREE;
    json_t *result = NULL;
    const char *name =
        job->n_methods == 1 ? picture->stem : arena_printf(job->args->arena, "%s/%s", picture->stem, method->name);
    if (!name)
      ok = error_memory(err, picture->path);
    else if (!manifest_slot(&job->manifest, name, sha256, &slot, &result, err))
      ok = false;
    else if (slot == SLOT_DONE)
      ok = skip(job, name, result, err);
    else
      ok = (image || (image = inputs_decode(&bytes, err))) && explain_one(job, picture, method, image, name, slot, err);
  }
  penumbra_image_close(image);
  inputs_unload(&bytes);
  return ok;
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static bool explain_all(struct job *job, const struct pictures *pictures, struct error *err)
{
  job->progress.count = pictures->count;
  for (int i = 0; i < pictures->count; i++) {
    const struct picture *picture = &pictures->all[i];
    struct error failed = {0};
    job->progress.image = picture->path;
    job->progress.index = i + 1;
    if (interrupt_seen())
      error_set(&failed, ERROR_CANCELLED, "interrupted");
    else if (explain_picture(job, picture, &failed))
      continue;
    if (failed.code == ERROR_CANCELLED) {
      if (job->saved + job->skipped)
        return error_set(err, ERROR_CANCELLED,
                         "interrupted; %d results are complete in %.80s, the same command goes on from there",
                         job->saved + job->skipped, job->out);
      return error_set(err, ERROR_CANCELLED, "interrupted; nothing was written");
    }
    job->failed++;
    if (failed.code == ERROR_USAGE || pictures->count == 1) {
      *err = failed;
      return false;
    }
    str_clean(failed.message);
    fprintf(stderr, "penumbra: %s\n", failed.message);
  }
  if (job->failed)
    return error_set(err, ERROR_FAILED, "%d of %d images failed", job->failed, pictures->count);
  return true;
}

static bool prepare(struct job *job, struct error *err)
{
  penumbra_error cause = {0};
  json_t *all = tables_json(penumbra_methods_json(NULL, &cause), &cause, err);
  bool ok = all && read_methods(job, all, err) && read_params(job, all, err) && read_request(job, err);
  json_decref(all);
  return ok;
}

static bool run(const struct args *args, struct error *err)
{
  struct job job = {.args = args, .model_path = args->words[0], .results = json_array()};
  struct pictures pictures = {0};
  json_t *settings = NULL;
  bool ok = job.results ? prepare(&job, err) : error_memory(err, "the results");
  ok = ok && inputs_pictures(args, args->words + 1, args->n_words - 1, &pictures, err);
  ok = ok && (job.model = inputs_model(args, job.model_path, err)) != NULL;
  if (ok && !job.quiet)
    inputs_notes(job.model, job.model_path);
  ok = ok && (settings = settings_of(&job, err)) != NULL &&
       manifest_open(&job.manifest, job.out, settings, args_has(args, "overwrite"), err);
  if (ok) {
    interrupt_watch();
    ok = explain_all(&job, &pictures, err);
    if (job.skipped && !job.quiet)
      fprintf(stderr, "%d result%s already there in %s, skipped (--overwrite makes them anew)\n", job.skipped,
              job.skipped == 1 ? " was" : "s were", job.out);
    if (job.json && err->code != ERROR_USAGE)
      tables_print(job.results);
  }
  manifest_close(&job.manifest);
  penumbra_model_close(job.model);
  json_decref(job.results);
  return ok;
}

static const struct option options[] = {
    {"method", 'm', "METHOD[,METHOD…]", "how to explain (default occlusion); 'penumbra methods' lists them",
     "Explanation", NULL},
    {"target", 't', "CLASS", "label or number of the class to explain, top (default) or all", "Explanation", NULL},
    {"score", 0, "prob|logit", "what is watched: the probability (default) or what enters the last activation",
     "Explanation", NULL},
    {"defaults", 0, "paper", "use the parameters of the paper wherever they differ", "Explanation", NULL},
    {"seed", 0, "N", "fixes everything random (default 0)", "Explanation", NULL},
    {"precision", 0, "f32|bf16|auto",
     "of the arithmetic: f32 (default), bf16 where the CPU has it, auto: bf16 where it is checked to make no difference",
     "Limits", NULL},
    {"exact-full", 0, NULL, "run the whole model for every perturbation, never on windows: for comparison", "Limits",
     NULL},
    {"evals", 0, "N", "stop after so many evaluations of the model", "Limits", NULL},
    {"budget", 0, "S", "stop after so many seconds, with what is known by then", "Limits", NULL},
    {"threads", 0, "N", "processor cores used (default all); the result does not depend on it", "Limits", NULL},
    {"memory", 0, "SIZE",
     "memory used beyond the model's weights, such as 500M or 2G (default 1G); the result does not "
     "depend on it",
     "Limits", NULL},
    {"out", 'o', "DIR", "folder of the results (default penumbra-out)", "Output", NULL},
    {"overwrite", 0, NULL, "replace results that are there", "Output", NULL},
    {"resume", 0, NULL, "skip images whose result is there, made with the same settings (default)", "Output", NULL},
    {"no-resume", 0, NULL, "an image whose result is there is an error", "Output", NULL},
    {"json", 0, NULL, "print the results to standard output as a JSON array", "Output", NULL},
    OPTION_PROGRESS,
    {"quiet", 'q', NULL, "print errors only", "Output", NULL},
    OPTION_CARD,
    OPTION_END,
};

const struct command command_explain = {
    .name = "explain",
    .summary = "Draw what in an image the model's score rests on",
    .usage = "MODEL IMAGE…",
    .details = "MODEL is an ONNX file. An IMAGE is a PNG or JPEG file, a .npy array [C,H,W] that is the model's input "
               "already, "
               "- for standard input, or a folder, of which all such files are taken.\n"
               "Each image gets a folder DIR/STEM (several methods: DIR/STEM/METHOD) with heatmap.npy, overlay.png, "
               "result.json and what the method adds. An interrupted run is continued by the same command; other "
               "settings in the same folder are an error, unless --overwrite is given.",
    .min_words = 2,
    .max_words = -1,
    .uses = USES_CARD | USES_METHODS,
    .options = options,
    .run = run,
};
