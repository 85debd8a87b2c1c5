/* SPDX-License-Identifier: Apache-2.0 */
/* penumbra predict: the scores of images, and the tensor the model is fed. */
#include "base/mem.h"
#include "base/npy.h"
#include "base/str.h"
#include "cli/args.h"
#include "cli/help.h"
#include "cli/inputs.h"
#include "cli/tables.h"
#include "penumbra.h"

#include <stdio.h>

struct job {
  const struct args *args;
  penumbra_model *model;
  int64_t top, threads;
  const char *save_input;
  json_t *results; /* with --json, else NULL */
  float *scores;   /* [classes] */
};

/* What the model is fed, float32 [C,H,W]. */
static bool save_input(const struct job *job, const penumbra_image *image, struct error *err)
{
  int dims[3];
  penumbra_error cause = {0};
  penumbra_model_input(job->model, dims);
  const size_t count = (size_t)dims[0] * (size_t)dims[1] * (size_t)dims[2];
  struct npy array = {
      .type = NPY_F32, .rank = 3, .dim = {dims[2], dims[0], dims[1]}, .data = mem_zero(count, sizeof(float))};
  bool ok = array.data ? penumbra_preprocess(job->model, image, array.data, &cause) || tables_error(&cause, err)
                       : error_memory(err, "the input");
  ok = ok && npy_write(job->save_input, &array, err);
  npy_free(&array);
  return ok;
}

/* The class that comes after class `previous` (-1: the first) by falling score; equal scores by number. */
static int next_class(const struct job *job, int classes, int previous)
{
  const float *scores = job->scores;
  int best = -1;
  for (int i = 0; i < classes; i++) {
    bool after = previous < 0 || scores[i] < scores[previous] || (i > previous && scores[i] == scores[previous]);
    if (after && (best < 0 || scores[i] > scores[best]))
      best = i;
  }
  return best;
}

static void print_table(const struct job *job, const char *path, int classes)
{
  const int shown = job->top < classes ? (int)job->top : classes;
  int widest = 0;
  for (int k = 0, i = next_class(job, classes, -1); k < shown && i >= 0; k++, i = next_class(job, classes, i)) {
    int n = help_columns(penumbra_model_label(job->model, i));
    widest = n > widest ? n : widest;
  }
  printf("%s\n", path);
  for (int k = 0, i = next_class(job, classes, -1); k < shown && i >= 0; k++, i = next_class(job, classes, i)) {
    const char *label = penumbra_model_label(job->model, i);
    printf("  %5d  %s%*s  %.6f\n", i, label, widest - help_columns(label), "", (double)job->scores[i]);
  }
}

static json_t *scores_json(const struct job *job, const char *path, int classes)
{
  json_t *list = json_array();
  for (int i = 0; i < classes; i++)
    json_array_append_new(list, json_pack("{s:i, s:s, s:f}", "index", i, "label", penumbra_model_label(job->model, i),
                                          "score", (double)job->scores[i]));
  return json_pack("{s:o, s:o}", "image", tables_text(path), "scores", list);
}

static bool predict_one(const struct job *job, const struct picture *picture, struct error *err)
{
  struct bytes bytes;
  penumbra_error cause = {0};
  if (picture->unusable) {
    *err = picture->why;
    return false;
  }
  if (!inputs_load(picture->path, &bytes, err))
    return false;
  penumbra_image *image = inputs_decode(&bytes, err);
  bool ok = image && (!job->save_input || save_input(job, image, err));
  ok = ok && (penumbra_predict(job->model, image, (int)job->threads, job->scores, &cause) || tables_error(&cause, err));
  const int classes = penumbra_model_classes(job->model);
  if (ok && !job->results)
    print_table(job, picture->path, classes);
  if (ok && job->results && json_array_append_new(job->results, scores_json(job, picture->path, classes)) != 0)
    ok = error_memory(err, "the scores");
  penumbra_image_close(image);
  inputs_unload(&bytes);
  return ok;
}

static bool predict_all(const struct job *job, const struct pictures *pictures, struct error *err)
{
  int failed = 0;
  if (job->save_input && pictures->count != 1)
    return error_set(err, ERROR_USAGE, "predict: --save-input: takes one image, %d are given", pictures->count);
  for (int i = 0; i < pictures->count; i++) {
    struct error own = {0};
    if (predict_one(job, &pictures->all[i], &own))
      continue;
    failed++;
    if (own.code == ERROR_USAGE || pictures->count == 1) {
      *err = own;
      return false;
    }
    str_clean(own.message);
    fflush(stdout);
    fprintf(stderr, "penumbra: %s\n", own.message);
  }
  return failed ? error_set(err, ERROR_FAILED, "%d of %d images failed", failed, pictures->count) : true;
}

static bool run(const struct args *args, struct error *err)
{
  struct job job = {.args = args, .top = 5, .save_input = args_text(args, "save-input")};
  struct pictures pictures;
  if (!args_integer(args, "top", 1, INT32_MAX, &job.top, err) ||
      !args_integer(args, "threads", 1, 4096, &job.threads, err) ||
      !inputs_pictures(args, args->words + 1, args->n_words - 1, &pictures, err))
    return false;
  job.model = inputs_model(args, args->words[0], err);
  if (!job.model)
    return false;
  inputs_notes(job.model, args->words[0]);
  const size_t classes = (size_t)penumbra_model_classes(job.model);
  job.scores = arena_array(args->arena, classes, sizeof *job.scores);
  if (args_has(args, "json"))
    job.results = json_array();
  bool ok = job.scores ? predict_all(&job, &pictures, err) : error_memory(err, "the scores");
  if (job.results && err->code != ERROR_USAGE)
    tables_print(job.results);
  json_decref(job.results);
  penumbra_model_close(job.model);
  return ok;
}

static const struct option options[] = {
    {"top", 0, "N", "classes printed, highest score first (default 5)", "Output", NULL},
    {"json", 0, NULL, "print all scores, in the order of the classes, as JSON", "Output", NULL},
    {"save-input", 0, "FILE", "write what the model is fed: .npy, float32 [C,H,W]; for one image", "Output", NULL},
    {"threads", 0, "N", "processor cores used (default all)", "Limits", NULL},
    OPTION_CARD,
    OPTION_END,
};

const struct command command_predict = {
    .name = "predict",
    .summary = "Print the scores of images",
    .usage = "MODEL IMAGE…",
    .details = "MODEL is an ONNX file. An IMAGE is a PNG or JPEG file, a .npy array [C,H,W] that is the model's input "
               "already, "
               "- for standard input, or a folder, of which all such files are taken.",
    .min_words = 2,
    .max_words = -1,
    .uses = USES_CARD,
    .options = options,
    .run = run,
};
