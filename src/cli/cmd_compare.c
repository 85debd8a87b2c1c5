/* SPDX-License-Identifier: Apache-2.0 */
/* penumbra compare: several methods on the same image, with the evidence for each. Maps lie in OUT/STEM/METHOD/, what
 * was measured of them in OUT/STEM/evidence/, and OUT/STEM/report.html shows all side by side. */
#include "base/files.h"
#include "base/npy.h"
#include "cli/explaining.h"
#include "cli/tables.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { MOST_METRICS = 32, MAP_LIMIT = 1 << 30 };

struct comparison {
  penumbra_evaluation *evaluation; /* NULL: nothing is measured */
  penumbra_subject subjects[EXPLAINING_METHODS];
  const char *metrics[MOST_METRICS + 1];
  penumbra_evaluation_request request;
};

/* ---- what is asked ---------------------------------------------------------------------------------------------- */

/* --metric: names, or none. */
static bool read_metrics(const struct args *args, struct comparison *c, struct error *err)
{
  const char *list = args_text(args, "metric");
  int n = 0;
  if (list && strcmp(list, "none") == 0)
    return true;
  for (const char *p = list ? list : "region,deletion,insertion";;) {
    const size_t length = strcspn(p, ",");
    if (n == MOST_METRICS)
      return error_set(err, ERROR_USAGE, "compare: --metric: more than %d metrics", MOST_METRICS);
    if (!(c->metrics[n++] = arena_strndup(args->arena, p, length)))
      return error_memory(err, "the metrics");
    if (!p[length])
      return true;
    p += length + 1;
  }
}

/* Metrics are checked here, before the first image costs time. */
static bool open_evaluation(struct explaining *job, struct error *err)
{
  struct comparison *c = job->context;
  penumbra_error cause = {0};
  if (!c->metrics[0])
    return true;
  for (int i = 0; i < job->n_methods; i++)
    c->subjects[i] = (penumbra_subject){.method = job->methods[i].name, .params = job->methods[i].params};
  c->request = (penumbra_evaluation_request){.size = sizeof c->request,
                                             .subjects = c->subjects,
                                             .subject_count = job->n_methods,
                                             .metrics = c->metrics,
                                             .request = &job->request};
  c->evaluation = penumbra_evaluation_new(job->model, &c->request, &cause);
  return c->evaluation || tables_error(&cause, err);
}

static void close_evaluation(struct explaining *job)
{
  struct comparison *c = job->context;
  penumbra_evaluation_free(c->evaluation);
}

/* ---- one image -------------------------------------------------------------------------------------------------- */

static const char *path_below(const struct explaining *job, const char *stem, const char *name, struct error *err)
{
  const char *path = arena_printf(job->args->arena, "%s/%s/%s", job->out, stem, name);
  if (!path)
    error_memory(err, "a path");
  return path;
}

static bool measure(struct explaining *job, const struct picture *picture, const penumbra_image *image, enum slot slot,
                    const char *dir, struct error *err)
{
  struct comparison *c = job->context;
  struct npy files[EXPLAINING_METHODS] = {{0}};
  penumbra_array maps[EXPLAINING_METHODS] = {{0}};
  penumbra_error cause = {0};
  bool ok = true;
  for (int i = 0; ok && i < job->n_methods; i++) {
    const char *path =
        arena_printf(job->args->arena, "%s/%s/%s/map.npy", job->out, picture->stem, job->methods[i].name);
    ok = path ? npy_read(path, MAP_LIMIT, &files[i], err) : error_memory(err, "a path");
    maps[i] = (penumbra_array){files[i].data, PENUMBRA_F32, files[i].rank, {0}};
    memcpy(maps[i].dims, files[i].dim, sizeof maps[i].dims);
  }
  job->progress.method = "evidence";
  ok = ok && (penumbra_evaluation_add(c->evaluation, image, maps, &cause) || tables_error(&cause, err));
  progress_clear(&job->progress);
  for (int i = 0; i < job->n_methods; i++)
    npy_free(&files[i]);
  return ok &&
         (penumbra_evaluation_save_image(c->evaluation, dir, slot == SLOT_REPLACE ? PENUMBRA_OVERWRITE : 0, &cause) ||
          tables_error(&cause, err));
}

static bool write_report(const struct explaining *job, const struct picture *picture, const penumbra_image *image,
                         const char *evidence, const char *path, struct error *err)
{
  const char *dirs[EXPLAINING_METHODS + 1] = {NULL};
  penumbra_error cause = {0};
  for (int i = 0; i < job->n_methods; i++)
    if (!(dirs[i] = path_below(job, picture->stem, job->methods[i].name, err)))
      return false;
  if (!penumbra_report(image, dirs, evidence, path, job->report, &cause))
    return tables_error(&cause, err);
  if (!job->quiet)
    fprintf(stderr, "%s: %d method%s compared\n  %s\n", picture->path, job->n_methods, job->n_methods == 1 ? "" : "s",
            path);
  return true;
}

/* The report is made again whenever one of its parts was, and when it is missing. */
static bool finish(struct explaining *job, const struct picture *picture, const struct bytes *bytes, const char *sha256,
                   penumbra_image **image, struct error *err)
{
  const struct comparison *c = job->context;
  const char *report =
      path_below(job, picture->stem, job->report & PENUMBRA_REPORT_JSON ? "report.json" : "report.html", err);
  const char *evidence = report && c->evaluation ? path_below(job, picture->stem, "evidence", err) : NULL;
  const char *name = evidence ? arena_printf(job->args->arena, "%s/evidence", picture->stem) : NULL;
  enum slot slot = SLOT_FREE;
  json_t *result = NULL;
  if (!report || (c->evaluation && !evidence) || (evidence && !name && !error_memory(err, "a path")))
    return false;
  if (evidence && !manifest_slot(&job->manifest, name, sha256, &slot, &result, err))
    return false;
  json_decref(result);
  const bool made = *image != NULL; /* a map of this run */
  if (!made && (slot == SLOT_DONE || !evidence) && (job->report & PENUMBRA_NO_REPORT || file_exists(report)))
    return true;
  if (!*image && !(*image = inputs_decode(bytes, err)))
    return false;
  if (evidence && (made || slot != SLOT_DONE) &&
      !measure(job, picture, *image, slot == SLOT_DONE ? SLOT_REPLACE : slot, evidence, err))
    return false;
  return (job->report & PENUMBRA_NO_REPORT) || write_report(job, picture, *image, evidence, report, err);
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static bool run(const struct args *args, struct error *err)
{
  static const char *const initial[] = {"occlusion", "lime", "ig", "rise", "kernelshap", "meaningful", NULL};
  struct comparison c = {0};
  struct explaining job = {.args = args,
                           .initial = initial,
                           .folders = true,
                           .open = open_evaluation,
                           .close = close_evaluation,
                           .finish = finish,
                           .context = &c};
  const char *target = args_text(args, "target");
  if (target && strcmp(target, "all") == 0)
    return error_set(err, ERROR_USAGE, "compare: --target: maps of one class are compared, not of all");
  if (!read_metrics(args, &c, err))
    return false;
  json_t *metrics = json_array();
  for (const char *const *m = c.metrics; *m; m++)
    json_array_append_new(metrics, tables_text(*m));
  job.settings = json_pack("{s:s, s:o}", "command", "compare", "metrics", metrics);
  const bool ok = job.settings ? explaining_run(&job, err) : error_memory(err, "the settings");
  json_decref(job.settings);
  return ok;
}

static const struct option options[] = {
    {"method", 'm', "METHOD[,METHOD…]",
     "what to compare (default occlusion, lime, ig, rise, kernelshap and meaningful); 'penumbra methods' lists them",
     "Explanation", NULL},
    {"metric", 0, "METRIC[,METRIC…]",
     "what is measured of each map (default region, deletion, insertion; none: nothing); 'penumbra metrics' lists them",
     "Explanation", NULL},
    EXPLAINING_OPTIONS,
    OPTION_END,
};

const struct command command_compare = {
    .name = "compare",
    .summary = "Put methods side by side, each with the evidence for its map",
    .usage = "MODEL IMAGE…",
    .details =
        "MODEL and IMAGE are as for explain.\n"
        "Each image gets a folder DIR/STEM with report.html, one page for all methods; DIR/STEM/METHOD holds what "
        "explain writes, DIR/STEM/evidence what was measured. An interrupted run is continued by the same command.\n"
        "The figures of one image tell about that image. 'penumbra evaluate' ranks methods over many.",
    .min_words = 2,
    .max_words = -1,
    .uses = USES_CARD | USES_METHODS,
    .options = options,
    .run = run,
};
