/* SPDX-License-Identifier: Apache-2.0 */
/* penumbra features: what excites the feature maps of a layer, over a folder of images. Results lie in OUT/LAYER/; a
 * search that is interrupted leaves OUT/.LAYER.state.json, from which the same command goes on. */
#include "base/files.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/args.h"
#include "cli/inputs.h"
#include "cli/manifest.h"
#include "cli/progress.h"
#include "cli/tables.h"
#include "penumbra.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { STATE_LIMIT = 1 << 30, CHECKPOINT = 20 /* s */, FOLDER_SIZE = 120 };

struct job {
  const struct args *args;
  const char *model_path, *out;
  penumbra_model *model;
  penumbra_features_request request;
  struct pictures pictures;
  char (*sha256)[65];   /* of each picture, "" while not known */
  bool *bad;            /* told to be no image */
  const char **layers;  /* what is asked for; "" for the default */
  const char **folders; /* of the layers done so far */
  int n_layers;
  bool resume, overwrite, quiet, json;
  struct manifest manifest;
  struct progress progress;
  json_t *results;
  int saved, skipped, failed;
};

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- what is asked ---------------------------------------------------------------------------------------------- */

static bool read_request(struct job *job, struct error *err)
{
  const struct args *args = job->args;
  int64_t threads = 0, top = 9, per_image = 1;
  penumbra_features_request *r = &job->request;
  *r = (penumbra_features_request){.size = sizeof *r,
                                   .feature_map = args_text(args, "feature-map"),
                                   .rule = args_text(args, "rule"),
                                   .scale = args_text(args, "scale")};
  if (!args_integer(args, "threads", 1, 4096, &threads, err) || !args_bytes(args, "memory", &r->memory, err) ||
      !args_integer(args, "top", 1, 64, &top, err) || !args_integer(args, "per-image", 1, 64, &per_image, err) ||
      !progress_init(&job->progress, args, err))
    return false;
  r->threads = (int)threads;
  r->top = (int)top;
  r->per_image = (int)per_image;
  r->progress = progress_step;
  r->progress_context = &job->progress;
  job->out = args_text(args, "out");
  if (!job->out)
    job->out = "penumbra-out";
  if (!*job->out || strcmp(job->out, "-") == 0)
    return error_set(err, ERROR_USAGE, "features: --out: '%s' is no folder; --json writes results to standard output",
                     job->out);
  if (args_has(args, "overwrite") && args_has(args, "no-resume"))
    return error_set(err, ERROR_USAGE, "features: --overwrite and --no-resume contradict each other");
  job->overwrite = args_has(args, "overwrite");
  job->resume = args_either(args, "resume", "no-resume", true);
  job->quiet = args_has(args, "quiet");
  job->json = args_has(args, "json");
  return true;
}

static int by_path(const void *a, const void *b)
{
  return strcmp(((const struct picture *)a)->path, ((const struct picture *)b)->path);
}

/* Sorted, so that of equal files the same one counts, however they were given. */
static bool read_pictures(struct job *job, struct error *err)
{
  const struct args *args = job->args;
  if (!inputs_pictures(args, args->words + 1, args->n_words - 1, &job->pictures, err))
    return false;
  for (int i = 0; i < job->pictures.count; i++)
    if (strcmp(job->pictures.all[i].path, "-") == 0)
      return error_set(err, ERROR_USAGE, "features: images are read twice, which standard input cannot be");
  qsort(job->pictures.all, (size_t)job->pictures.count, sizeof *job->pictures.all, by_path);
  job->sha256 = arena_array(args->arena, (size_t)job->pictures.count + 1, sizeof *job->sha256);
  job->bad = arena_array(args->arena, (size_t)job->pictures.count + 1, sizeof *job->bad);
  return (job->sha256 && job->bad) || error_memory(err, "the list of images");
}

/* --layer NAME, "all" or nothing. */
static bool read_layers(struct job *job, struct error *err)
{
  struct arena *arena = job->args->arena;
  const char *asked = args_text(job->args, "layer");
  const bool all = asked && strcmp(asked, "all") == 0;
  penumbra_error cause = {0};
  json_t *model = all ? tables_json(penumbra_model_json(job->model, &cause), &cause, err) : NULL;
  const json_t *list = json_object_get(model, "layers"), *layer;
  size_t i;
  if (all && !model)
    return false;
  job->layers = arena_array(arena, json_array_size(list) + 1, sizeof *job->layers);
  job->folders = arena_array(arena, json_array_size(list) + 1, sizeof *job->folders);
  bool ok = job->layers && job->folders;
  json_array_foreach (list, i, layer)
    if (ok && json_is_true(json_object_get(layer, "feature_map")))
      ok = (job->layers[job->n_layers++] = arena_strdup(arena, json_string_value(json_object_get(layer, "name")))) !=
           NULL;
  if (ok && !all)
    job->layers[job->n_layers++] = asked ? asked : "";
  json_decref(model);
  if (!ok)
    return error_memory(err, "the list of layers");
  return job->n_layers > 0 ||
         error_set(err, ERROR_FAILED, "features: the model has no feature map after an activation function (no-layer)");
}

/* All that decides what the results are, but for the layer, which has a folder of its own. */
static json_t *settings_of(const struct job *job, struct error *err)
{
  char sha256[65] = "";
  struct file_map map;
  penumbra_error cause = {0};
  if (!file_map(job->model_path, 0, &map, err))
    return NULL;
  const bool hashed = file_sha256(map.data, map.size, sha256);
  file_unmap(&map);
  json_t *model = hashed ? tables_json(penumbra_model_json(job->model, &cause), &cause, err) : NULL;
  const penumbra_features_request *r = &job->request;
  json_t *settings =
      model ? json_pack("{s:s, s:s, s:o, s:i, s:i, s:o, s:o, s:s, s:O?}", "command", "features", "model", sha256,
                        "feature_map", tables_text(r->feature_map ? r->feature_map : "strongest:16"), "top", r->top,
                        "per_image", r->per_image, "scale", tables_text(r->scale ? r->scale : "own"), "rule",
                        tables_text(r->rule ? r->rule : "auto"), "version", penumbra_version(), "card",
                        json_object_get(model, "card"))
            : NULL;
  if (model && !settings)
    error_memory(err, "the manifest");
  json_decref(model);
  return settings;
}

/* ---- the images ------------------------------------------------------------------------------------------------- */

/* The bytes of picture i; their hash is kept. */
static bool load(struct job *job, int i, struct bytes *bytes, struct error *err)
{
  const struct picture *picture = &job->pictures.all[i];
  if (picture->unusable) {
    *err = picture->why;
    return false;
  }
  if (!inputs_load(picture->path, bytes, err))
    return false;
  if (file_sha256(bytes->data, bytes->size, job->sha256[i]))
    return true;
  inputs_unload(bytes);
  return error_memory(err, picture->path);
}

/* A picture that cannot be used is told once. False where the run ends with it. */
static bool tell(struct job *job, int i, struct error *failed, struct error *err)
{
  if (failed->code == ERROR_CANCELLED || failed->code == ERROR_USAGE || job->pictures.count == 1) {
    *err = *failed;
    return false;
  }
  job->bad[i] = true;
  job->failed++;
  str_clean(failed->message);
  progress_clear(&job->progress);
  fprintf(stderr, "penumbra: %s\n", failed->message);
  return true;
}

/* For penumbra_features_save. */
static penumbra_image *open_again(void *context, const char *name, const char *sha256, penumbra_error *err)
{
  const struct job *job = context;
  for (int i = 0; i < job->pictures.count; i++)
    if (strcmp(job->sha256[i], sha256) == 0)
      return penumbra_image_open(job->pictures.all[i].path, err);
  *err = (penumbra_error){PENUMBRA_FAILED, ""};
  (void)snprintf(err->message, sizeof err->message,
                 "%.120s: was looked at by an earlier run and is not among the images now; --overwrite begins anew",
                 name);
  return NULL;
}

/* ---- one layer -------------------------------------------------------------------------------------------------- */

struct layer {
  struct job *job;
  penumbra_features *features;
  const char *name, *folder;
  char dir[PATH_MAX], state[PATH_MAX];
  bool replace; /* what is in the folder may go */
  bool written; /* the state is there */
  double started, checkpoint;
};

/* "/features/features.18/Clip" becomes "features_features.18_Clip". */
static const char *folder_of(const struct job *job, const char *layer, int index)
{
  char text[FOLDER_SIZE];
  size_t n = 0;
  for (; *layer && n + 1 < sizeof text; layer++)
    if (isalnum((unsigned char)*layer) || *layer == '-' || (*layer == '.' && n))
      text[n++] = *layer;
    else if (n && text[n - 1] != '_')
      text[n++] = '_';
  text[n] = '\0';
  for (int i = 0; i < index; i++)
    if (strcmp(job->folders[i], text) == 0)
      return arena_printf(job->args->arena, "%s-%d", text, index + 1);
  return arena_strdup(job->args->arena, n ? text : "layer");
}

static bool save_state(struct layer *l, struct error *err)
{
  penumbra_error cause = {0};
  char *text = penumbra_features_state(l->features, &cause);
  if (!text)
    return tables_error(&cause, err);
  const bool ok = manifest_write(&l->job->manifest, err) && file_write(l->state, text, strlen(text), err);
  penumbra_text_free(text);
  l->written |= ok;
  l->checkpoint = now();
  return ok;
}

/* Go on from what an interrupted run left. A state that is of no use is passed over. */
static bool take_state(struct layer *l, struct error *err)
{
  struct job *job = l->job;
  struct file_map map;
  penumbra_error cause = {0};
  if (!job->manifest.known || !job->resume || job->overwrite || !file_exists(l->state))
    return true;
  if (!file_map(l->state, STATE_LIMIT, &map, err))
    return false;
  char *text = arena_strndup(job->args->arena, (const char *)map.data, map.size);
  file_unmap(&map);
  l->written = true;
  if (!text)
    return error_memory(err, "the state of an earlier run");
  if (!penumbra_features_restore(l->features, text, &cause) && !job->quiet)
    fprintf(stderr, "  note: %s: %s; begun anew\n", l->state, cause.message);
  return true;
}

static bool step(struct layer *l, int i, struct error *err)
{
  struct job *job = l->job;
  const double seconds = now() - l->started;
  const penumbra_progress p = {.done = i + 1,
                               .total = job->pictures.count,
                               .seconds = seconds,
                               .remaining = seconds * (job->pictures.count - i - 1) / (i + 1),
                               .stage = "search"};
  job->progress.image = job->pictures.all[i].path;
  if (!progress_step(&job->progress, &p))
    return error_set(err, ERROR_CANCELLED, "interrupted");
  return now() - l->checkpoint < CHECKPOINT || save_state(l, err);
}

static bool look_at(struct layer *l, int i, struct error *err)
{
  struct bytes bytes;
  penumbra_error cause = {0};
  if (!load(l->job, i, &bytes, err))
    return false;
  bool ok = true;
  if (!penumbra_features_has(l->features, l->job->sha256[i])) {
    penumbra_image *image = inputs_decode(&bytes, err);
    ok = image && (penumbra_features_add(l->features, image, &cause) || tables_error(&cause, err));
    penumbra_image_close(image);
  }
  inputs_unload(&bytes);
  return ok;
}

static bool search(struct layer *l, struct error *err)
{
  struct job *job = l->job;
  int good = 0;
  l->started = l->checkpoint = now();
  for (int i = 0; i < job->pictures.count; i++) {
    struct error failed = {0};
    if (job->bad[i])
      continue;
    if (look_at(l, i, &failed))
      good++;
    else if (!tell(job, i, &failed, err))
      return false;
    if (!step(l, i, err)) {
      struct error ignored = {0};
      if (good && err->code == ERROR_CANCELLED && save_state(l, &ignored)) {
        *err = (struct error){ERROR_NONE, ""};
        error_set(err, ERROR_CANCELLED,
                  "interrupted; %d of %d images are noted in %.80s, the same command goes on from there", good,
                  job->pictures.count, job->out);
      }
      return false;
    }
  }
  return good > 0 || error_set(err, ERROR_FAILED, "%d of %d images failed", job->failed, job->pictures.count);
}

/* Whether a result in the folder is of exactly these images. */
static bool same_images(struct layer *l, const json_t *found, bool *same, struct error *err)
{
  struct job *job = l->job;
  json_t *left = json_object();
  size_t k;
  const json_t *image;
  if (!left)
    return error_memory(err, "the list of images");
  json_array_foreach (json_object_get(found, "images"), k, image) {
    const char *sha = json_string_value(json_object_get(image, "sha256"));
    if (sha)
      json_object_set_new(left, sha, json_false()); /* not met yet */
  }
  bool ok = true;
  *same = true;
  for (int i = 0; ok && *same && i < job->pictures.count; i++) {
    struct bytes bytes;
    struct error failed = {0};
    if (job->bad[i])
      continue;
    bool good = load(job, i, &bytes, &failed);
    if (good && !json_object_get(left, job->sha256[i])) {
      penumbra_image *other = inputs_decode(&bytes, &failed);
      good = other != NULL;
      *same = !other;
      penumbra_image_close(other);
    } else if (good) {
      json_object_set_new(left, job->sha256[i], json_true());
    }
    if (good)
      inputs_unload(&bytes);
    else
      ok = tell(job, i, &failed, err);
  }
  const char *sha;
  json_t *met;
  json_object_foreach (left, sha, met)
    *same &= json_is_true(met);
  json_decref(left);
  return ok;
}

/* What stands in the layer's folder already: *done where it is the result that is asked for, which is taken over. */
static bool look_for_result(struct layer *l, bool *done, struct error *err)
{
  struct job *job = l->job;
  const char *path = arena_printf(job->args->arena, "%s/features.json", l->dir);
  bool same = false;
  *done = false;
  l->replace = job->overwrite;
  if (!path)
    return error_memory(err, "a path");
  if (job->overwrite || !file_exists(path))
    return true;
  if (!job->manifest.known)
    return error_set(err, ERROR_FAILED,
                     "%.80s: holds a result of unknown settings (no manifest.json); --overwrite replaces it", l->dir);
  json_t *found = json_load_path(path, STATE_LIMIT, err);
  if (!found)
    return false;
  const char *layer = json_string_value(json_object_get(json_object_get(found, "layer"), "name"));
  const char *model = json_string_value(json_object_get(json_object_get(found, "model"), "sha256"));
  json_t *settings = json_object_get(found, "settings"), *own = job->manifest.settings;
  bool current = model && strcmp(model, json_string_value(json_object_get(own, "model"))) == 0;
  for (const char *const *key = (const char *const[]){"feature_map", "top", "per_image", "scale", "rule", NULL}; *key;
       key++)
    current = current && json_equal(json_object_get(settings, *key), json_object_get(own, *key));
  bool ok = true;
  if (!current) {
    l->replace = true; /* left by settings that --overwrite gave up */
  } else if (!layer || strcmp(layer, l->name) != 0) {
    ok = error_set(err, ERROR_FAILED, "%.80s: holds the features of layer '%.60s'; choose another folder", l->dir,
                   layer ? layer : "?");
  } else if (!job->resume) {
    ok = error_set(err, ERROR_FAILED, "%.80s: is there already; --overwrite replaces it, --resume skips it", l->dir);
  } else {
    ok = same_images(l, found, &same, err);
    if (ok && !same)
      ok = error_set(err, ERROR_FAILED, "%.80s: holds the features of other images; --overwrite replaces it", l->dir);
    *done = ok;
  }
  if (ok && *done) {
    job->skipped++;
    if (job->json)
      json_array_append(job->results, found);
  }
  json_decref(found);
  return ok;
}

/* "features.18: 16 feature maps over 11 images in 3.2 s", where the sheets are, what there is to know. */
static bool tell_result(struct layer *l, struct error *err)
{
  struct job *job = l->job;
  const char *path = arena_printf(job->args->arena, "%s/features.json", l->dir);
  json_t *result = path ? json_load_path(path, STATE_LIMIT, err) : NULL;
  size_t i;
  const json_t *item;
  if (!result)
    return path ? false : error_memory(err, "a path");
  if (!job->quiet) {
    fprintf(stderr, "%s: %zu feature map%s over %zu image%s in %.3g s\n", l->name,
            json_array_size(json_object_get(result, "maps")),
            json_array_size(json_object_get(result, "maps")) == 1 ? "" : "s",
            json_array_size(json_object_get(result, "images")),
            json_array_size(json_object_get(result, "images")) == 1 ? "" : "s", now() - l->started);
    json_array_foreach (json_object_get(result, "sheets"), i, item)
      fprintf(stderr, "  %s/%s\n", l->dir, json_string_value(item));
    json_array_foreach (json_object_get(result, "warnings"), i, item)
      fprintf(stderr, "  warning: %s\n", json_string_value(json_object_get(item, "message")));
  }
  if (job->json)
    json_array_append(job->results, result);
  json_decref(result);
  return true;
}

static bool save(struct layer *l, struct error *err)
{
  struct job *job = l->job;
  penumbra_error cause = {0};
  job->progress.image = l->name;
  bool ok = manifest_write(&job->manifest, err);
  if (ok &&
      !penumbra_features_save(l->features, l->dir, l->replace ? PENUMBRA_OVERWRITE : 0, open_again, job, &cause)) {
    ok = tables_error(&cause, err);
    struct error ignored = {0};
    if (err->code == ERROR_CANCELLED && save_state(l, &ignored))
      *err = (struct error){ERROR_CANCELLED,
                            "interrupted; the images seen are noted, the same command goes on from there"};
    else if (!job->saved && !l->written)
      manifest_undo(&job->manifest);
  }
  progress_clear(&job->progress);
  if (!ok)
    return false;
  if (l->written)
    (void)unlink(l->state);
  job->saved++;
  return tell_result(l, err);
}

static bool run_layer(struct job *job, int index, struct error *err)
{
  struct layer l = {.job = job, .started = now()};
  penumbra_error cause = {0};
  bool done = false;
  job->request.layer = job->layers[index];
  l.features = penumbra_features_new(job->model, &job->request, &cause);
  if (!l.features)
    return tables_error(&cause, err);
  l.name = penumbra_features_layer(l.features);
  l.folder = job->folders[index] = folder_of(job, l.name, index);
  bool ok = l.folder != NULL || error_memory(err, "a path");
  if (ok) {
    const int a = snprintf(l.dir, sizeof l.dir, "%s/%s", job->out, l.folder);
    const int b = snprintf(l.state, sizeof l.state, "%s/.%s.state.json", job->out, l.folder);
    ok = (a > 0 && b > 0 && (size_t)b < sizeof l.state) ||
         error_set(err, ERROR_FAILED, "%.60s: the path is longer than %d bytes", l.folder, PATH_MAX);
  }
  ok = ok && look_for_result(&l, &done, err);
  if (ok && !done)
    ok = take_state(&l, err) && search(&l, err) && save(&l, err);
  progress_clear(&job->progress);
  penumbra_features_free(l.features);
  return ok;
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static bool run_all(struct job *job, struct error *err)
{
  job->progress.method = "features";
  for (int i = 0; i < job->n_layers; i++) {
    if (interrupt_seen())
      return error_set(err, ERROR_CANCELLED, "interrupted");
    job->progress.index = i + 1;
    job->progress.count = job->n_layers;
    if (!run_layer(job, i, err))
      return false;
  }
  if (job->skipped && !job->quiet)
    fprintf(stderr, "%d layer%s already there in %s, skipped (--overwrite makes them anew)\n", job->skipped,
            job->skipped == 1 ? " was" : "s were", job->out);
  return job->failed == 0 || error_set(err, ERROR_FAILED, "%d of %d images failed", job->failed, job->pictures.count);
}

static bool run(const struct args *args, struct error *err)
{
  struct job job = {.args = args, .model_path = args->words[0], .results = json_array()};
  json_t *settings = NULL;
  bool ok = (job.results || error_memory(err, "the results")) && read_request(&job, err) && read_pictures(&job, err) &&
            (job.model = inputs_model(args, job.model_path, err)) != NULL && read_layers(&job, err);
  if (ok && !job.quiet)
    inputs_notes(job.model, job.model_path);
  ok = ok && (settings = settings_of(&job, err)) != NULL &&
       manifest_open(&job.manifest, job.out, settings, job.overwrite, err);
  if (ok) {
    interrupt_watch();
    ok = run_all(&job, err);
    if (job.json && err->code != ERROR_USAGE)
      tables_print(job.results);
  }
  manifest_close(&job.manifest);
  penumbra_model_close(job.model);
  json_decref(job.results);
  return ok;
}

static const struct option options[] = {
    {"layer", 0, "NAME|all",
     "layer whose maps are looked at (default: the last one before global pooling), or every one after an activation "
     "function; 'penumbra inspect' lists layers",
     "Features", NULL},
    {"feature-map", 0, "strongest:N|K,…|all",
     "the N feature maps with the largest total activation over all images (default strongest:16), chosen ones, or all",
     "Features", NULL},
    {"top", 0, "N", "strongest activations of each feature map, 1..64 (default 9)", "Features", NULL},
    {"per-image", 0, "N", "of them at most so many of one image (default 1)", "Features", NULL},
    {"rule", 0, "auto|deconvnet|guided",
     "how to project: the paper's deconvnet, guided backpropagation (Springenberg et al. 2015), or auto (default): "
     "guided where no max pooling lies before the layer, for there the deconvnet projects the same for every image",
     "Features", NULL},
    {"scale", 0, "own|common|X",
     "of the projections' pictures: each its own (default), one for all of a feature map, or a number", "Features",
     NULL},
    {"threads", 0, "N", "processor cores used (default all); the result does not depend on it", "Limits", NULL},
    {"memory", 0, "SIZE", "memory used beyond the model's weights, such as 500M or 2G (default 1G)", "Limits", NULL},
    {"out", 'o', "DIR", "folder of the results (default penumbra-out)", "Output", NULL},
    {"overwrite", 0, NULL, "replace results that are there", "Output", NULL},
    {"resume", 0, NULL, "skip layers that are there, go on from an interrupted search (default)", "Output", NULL},
    {"no-resume", 0, NULL, "a layer that is there is an error", "Output", NULL},
    {"json", 0, NULL, "print the results (features.json of each layer) to standard output as a JSON array", "Output",
     NULL},
    OPTION_PROGRESS,
    {"quiet", 'q', NULL, "print errors only", "Output", NULL},
    OPTION_CARD,
    OPTION_END,
};

const struct command command_features = {
    .name = "features",
    .summary = "Show what excites the feature maps of a layer, over a folder of images",
    .usage = "MODEL IMAGE…",
    .details =
        "Looks at every image and keeps, for each feature map, its strongest activations. These are projected back to "
        "the pixels (Zeiler & Fergus 2014) and shown beside that part of the image.\n"
        "DIR/LAYER/ gets the contact sheet features.png, features.json, and as arrays map-K.npy (the projections "
        "[n,C,h,w] of map K's strongest activations within their receptive fields) and activity-K.npy (the map on "
        "those images).",
    .min_words = 2,
    .max_words = -1,
    .uses = USES_CARD,
    .options = options,
    .run = run,
};
