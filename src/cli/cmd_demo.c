/* SPDX-License-Identifier: Apache-2.0 */
/* penumbra demo: the whole way once, with the model and the radiographs that penumbra brings along. */
#include "base/files.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/args.h"
#include "cli/help.h"
#include "cli/progress.h"
#include "cli/tables.h"
#include "penumbra.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATIENT_SEED = 7, HEALTHY_SEED = 8, TRUTH_LIMIT = 1 << 20 };

#define PATIENT_FINDINGS "nodule,effusion"

static const char model_name[] = "phantom.onnx";

/* ---- where the model is ----------------------------------------------------------------------------------------- */

/* $PENUMBRA_SHARE, then near the program (PREFIX/bin -> PREFIX/share, or beside it in a build folder), then where it
 * was to be installed. */
static const char *find_model(const struct args *args, struct error *err)
{
  static const char *const below[] = {"../share/penumbra", "."};
  const char *path, *said = getenv("PENUMBRA_SHARE");
  char program[PATH_MAX];
  if (said && *said) {
    path = arena_printf(args->arena, "%s/%s", said, model_name);
    if (path && !file_exists(path)) {
      error_set(err, ERROR_FAILED, "%s: does not exist; PENUMBRA_SHARE names the folder that holds it", path);
      return NULL;
    }
    return path;
  }
  ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
  program[n > 0 ? n : 0] = '\0';
  char *slash = strrchr(program, '/');
  for (size_t i = 0; slash && i < sizeof below / sizeof *below; i++) {
    path = arena_printf(args->arena, "%.*s/%s/%s", (int)(slash - program), program, below[i], model_name);
    if (path && file_exists(path))
      return path;
  }
  path = arena_printf(args->arena, "%s/%s", PENUMBRA_DATADIR, model_name);
  if (path && !file_exists(path)) {
    error_set(err, ERROR_FAILED, "%s: the demo's model is not installed; PENUMBRA_SHARE may name its folder", path);
    return NULL;
  }
  return path;
}

/* ---- steps ------------------------------------------------------------------------------------------------------ */

struct demo {
  const struct args *args;
  const char *out;
  penumbra_model *model;
  float *scores; /* [classes] of the picture at hand */
  struct progress progress;
};

/* What an earlier demo left may be replaced, and nothing else. */
static unsigned replace_own(struct arena *arena, const char *dir, const char *mark)
{
  const char *path = arena_printf(arena, "%s/%s", dir, mark);
  return path && file_exists(path) ? PENUMBRA_OVERWRITE : 0;
}

static bool draw(const struct demo *demo, const char *dir, uint64_t seed, const char *findings, struct error *err)
{
  const penumbra_phantom_request request = {.size = sizeof request, .seed = seed, .findings = findings};
  penumbra_error cause = {0};
  return penumbra_phantom(&request, dir, replace_own(demo->args->arena, dir, "truth.json"), &cause) ||
         tables_error(&cause, err);
}

/* Where the strongest point lies: in the box of the finding, as the phantom's truth knows it, or outside. */
static const char *verdict(const struct demo *demo, const char *picture_dir, const char *label, int x, int y)
{
  struct error ignored = {0};
  const char *path = arena_printf(demo->args->arena, "%s/truth.json", picture_dir), *answer = "";
  json_t *truth = path ? json_load_path(path, TRUTH_LIMIT, &ignored) : NULL;
  const json_t *finding = json_object_get(json_object_get(truth, "findings"), label);
  const json_t *box = json_object_get(json_object_get(finding, "place"), "box_px");
  if (json_array_size(box) == 4) {
    bool inside = x >= json_integer_value(json_array_get(box, 0)) && y >= json_integer_value(json_array_get(box, 1)) &&
                  x < json_integer_value(json_array_get(box, 2)) && y < json_integer_value(json_array_get(box, 3));
    answer = inside ? ", which is where it was drawn" : ", which is not where it was drawn";
  }
  json_decref(truth);
  return answer;
}

/* "nodule 0.973 falls most when x 212, y 340 is covered, which is where it was drawn (0.61 s)". */
static void tell(const struct demo *demo, const json_t *result, const char *picture_dir)
{
  const json_t *aim = json_object_get(result, "target"), *map = json_object_get(result, "map");
  const json_t *at = json_object_get(map, "strongest");
  const char *label = json_string_value(json_object_get(aim, "label"));
  const int x = (int)json_integer_value(json_array_get(at, 0)), y = (int)json_integer_value(json_array_get(at, 1));
  const double score = json_number_value(json_object_get(aim, "score"));
  const double seconds = json_number_value(json_object_get(json_object_get(result, "timing"), "total_s"));
  char text[256];
  if (json_number_value(json_object_get(map, "max")) > 0)
    (void)snprintf(text, sizeof text, "%s %.3f falls most when x %d, y %d is covered%s (%.2f s)", label ? label : "?",
                   score, x, y, verdict(demo, picture_dir, label ? label : "", x, y), seconds);
  else
    (void)snprintf(text, sizeof text,
                   "%s %.3f does not fall, whatever is covered: nothing in the picture speaks for it "
                   "(%.2f s)",
                   label ? label : "?", score, seconds);
  help_wrap(stdout, text, 0, 6);
  fflush(stdout);
}

static bool explain(struct demo *demo, const penumbra_image *image, const char *picture_dir, const char *target,
                    const char *dir, struct error *err)
{
  penumbra_error cause = {0};
  const penumbra_request request = {
      .size = sizeof request, .target = target, .progress = progress_step, .progress_context = &demo->progress};
  demo->progress.image = picture_dir;
  demo->progress.method = "occlusion";
  penumbra_explanation *e = penumbra_explain(demo->model, image, &request, &cause);
  json_t *result = e ? tables_json(penumbra_explanation_json(e, &cause), &cause, err) : NULL;
  progress_clear(&demo->progress);
  bool ok = result && penumbra_explanation_save(e, dir, replace_own(demo->args->arena, dir, "result.json"), &cause);
  if (ok) {
    printf("    %s/overlay.png\n", dir);
    tell(demo, result, picture_dir);
  } else if (!err->code) {
    tables_error(&cause, err);
  }
  json_decref(result);
  penumbra_explanation_free(e);
  return ok;
}

static bool open_picture(struct demo *demo, const char *dir, penumbra_image **image, struct error *err)
{
  penumbra_error cause = {0};
  const char *path = arena_printf(demo->args->arena, "%s/phantom.png", dir);
  if (!path)
    return error_memory(err, "a path");
  *image = penumbra_image_open(path, &cause);
  return (*image && penumbra_predict(demo->model, *image, 0, demo->scores, &cause)) || tables_error(&cause, err);
}

static void print_scores(const struct demo *demo)
{
  const int classes = penumbra_model_classes(demo->model);
  printf("    the model says:");
  for (int i = 0; i < classes; i++)
    printf("%s %s %.3f", i ? "," : "", penumbra_model_label(demo->model, i), (double)demo->scores[i]);
  putchar('\n');
}

/* The patient: a map for each finding that was drawn. */
static bool show_patient(struct demo *demo, struct error *err)
{
  struct arena *arena = demo->args->arena;
  const char *dir = arena_printf(arena, "%s/patient", demo->out);
  penumbra_image *image = NULL;
  bool ok = dir ? draw(demo, dir, PATIENT_SEED, PATIENT_FINDINGS, err) && open_picture(demo, dir, &image, err)
                : error_memory(err, "a path");
  if (ok) {
    printf("\n  %s/phantom.png: drawn with %s\n", dir, PATIENT_FINDINGS);
    print_scores(demo);
  }
  for (const char *p = PATIENT_FINDINGS; ok && *p;) {
    size_t n = strcspn(p, ",");
    const char *label = arena_strndup(arena, p, n),
               *to = label ? arena_printf(arena, "%s/patient-%s", demo->out, label) : NULL;
    ok = to ? explain(demo, image, dir, label, to, err) : error_memory(err, "a path");
    p += n + (p[n] == ',');
  }
  penumbra_image_close(image);
  return ok;
}

/* The healthy one: a map of what comes nearest to a finding. */
static bool show_healthy(struct demo *demo, struct error *err)
{
  const char *dir = arena_printf(demo->args->arena, "%s/healthy", demo->out);
  const char *to = arena_printf(demo->args->arena, "%s/healthy-top", demo->out);
  penumbra_image *image = NULL;
  bool ok = dir && to ? draw(demo, dir, HEALTHY_SEED, "none", err) && open_picture(demo, dir, &image, err)
                      : error_memory(err, "a path");
  if (ok) {
    printf("\n  %s/phantom.png: drawn without findings\n", dir);
    print_scores(demo);
    ok = explain(demo, image, dir, "top", to, err);
  }
  penumbra_image_close(image);
  return ok;
}

static bool run(const struct args *args, struct error *err)
{
  struct demo demo = {.args = args, .out = args_text(args, "out")};
  penumbra_error cause = {0};
  const char *path = find_model(args, err);
  if (!demo.out || !*demo.out)
    demo.out = "penumbra-demo";
  if (!path)
    return error_memory(err, "a path");
  if (!progress_init(&demo.progress, args, err))
    return false;
  demo.progress.count = 1;
  demo.model = penumbra_model_open(path, NULL, &cause);
  if (!demo.model)
    return tables_error(&cause, err);
  interrupt_watch();
  demo.scores = arena_array(args->arena, (size_t)penumbra_model_classes(demo.model), sizeof *demo.scores);
  bool ok = demo.scores != NULL || error_memory(err, "the scores");
  if (ok)
    help_wrap(stdout,
              "penumbra draws two chest radiographs, asks a small model what it sees in them, and covers each picture "
              "piece by piece to find what the answers rest on. Not for clinical use.",
              0, 0);
  ok = ok && show_patient(&demo, err) && show_healthy(&demo, err);
  if (ok)
    printf(
        "\nRed is evidence for the finding named above the map, blue speaks against it. The same with a file of your "
        "own:\n  penumbra explain MODEL.onnx IMAGE.png -t CLASS\n");
  penumbra_model_close(demo.model);
  return ok;
}

static const struct option options[] = {
    {"out", 'o', "DIR", "folder of the pictures (default penumbra-demo)", "Output", NULL},
    OPTION_PROGRESS,
    OPTION_END,
};

const struct command command_demo = {
    .name = "demo",
    .summary = "Draw two radiographs and explain what a small model sees in them; needs no file",
    .usage = "",
    .details = "Not for clinical use.",
    .max_words = 0,
    .options = options,
    .run = run,
};
