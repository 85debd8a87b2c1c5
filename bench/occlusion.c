/* SPDX-License-Identifier: Apache-2.0 */
/* Occlusion maps of one image, by windows or in full.
 *
 *   bench-occlusion MODEL INPUT.npy THREADS GRID.npy PATCH STRIDE full|windows f32|bf16 [POSITIONS]
 *
 * INPUT [1, channels, height, width] in the model's values; the patch is 0 there. GRID gets the raw scores
 * [rows, columns] of the class with the largest (with POSITIONS, of so many positions only, in row-major order).
 * First line: {"load", "first": s, "positions", "target", "base": its raw score, "ratio", "peak_kib", "resident_kib"};
 * "first" is the first map with all that is built for it, "resident_kib" what the model takes before. Then it serves
 * requests (worker.h), each one map with its base run, on what has been built.
 *
 * "ratio" is what windows can save: multiply-accumulates of N + 1 full runs over those of one full run and N positions,
 * each with the tight windows, clipped at the edges, of its very place. */
#include "base/mem.h"
#include "base/npy.h"
#include "model/model.h"
#include "perturb/evaluate.h"
#include "window_macs.h"
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INPUT = 1 << 30 };

struct occlusion {
  const struct model *model;
  struct evaluator *evaluator;
  float *image; /* channels last */
  float *grid;
  int patch, stride, rows, columns;
  int64_t target, count;
};

static int positions_along(int extent, int patch, int stride)
{
  return (extent - patch + stride - 1) / stride + 1;
}

/* The patch at position i, cut off at the edge. */
static struct rect place(const struct occlusion *o, int64_t i)
{
  const struct predictor *p = &o->model->predictor;
  const int y0 = (int)(i / o->columns) * o->stride, x0 = (int)(i % o->columns) * o->stride;
  const int y1 = y0 + o->patch, x1 = x0 + o->patch;
  return (struct rect){y0, x0, y1 < p->height ? y1 : p->height, x1 < p->width ? x1 : p->width};
}

static bool propose(void *context, int64_t i, struct perturbation *p, struct error *err)
{
  const struct occlusion *o = context;
  const struct rect r = place(o, i);
  (void)err;
  p->kind = PERTURB_RECT;
  p->y0 = r.y0;
  p->x0 = r.x0;
  p->y1 = r.y1;
  p->x1 = r.x1;
  memset(p->content, 0, (size_t)(rect_area(&r) * o->model->predictor.channels) * sizeof(float));
  return true;
}

static bool result(void *context, int64_t i, const float *scores, const float *activations, bool *stop,
                   struct error *err)
{
  struct occlusion *o = context;
  (void)activations;
  (void)stop;
  (void)err;
  o->grid[i] = scores[o->target];
  return true;
}

static bool map(void *context, struct error *err)
{
  struct occlusion *o = context;
  struct evaluated end;
  const struct evaluation what = {
      .stage = "occlusion",
      .count = o->count,
      .local_height = o->patch,
      .local_width = o->patch,
      .context = o,
      .propose = propose,
      .result = result,
  };
  return evaluate(o->evaluator, &what, &end, err);
}

/* What windows can save on these positions, the base run counted on either side. */
static bool theoretical_ratio(const struct occlusion *o, double *ratio, struct error *err)
{
  struct arena *arena = arena_new(0);
  struct graph *graph = graph_fused(o->model->graph, FUSE_ALL, NULL, 0, err);
  struct layer *layers = arena && graph ? layers_new(graph, o->patch, o->patch, arena, err) : NULL;
  struct rect *window = layers ? arena_array(arena, (size_t)graph->n_values + 1, sizeof *window) : NULL;
  bool ok = window || (graph && error_memory(err, "windows"));
  if (ok) {
    const int64_t all = (int64_t)o->rows * o->columns;
    double full = 0, windows = 0;
    for (int i = 0; i < graph->n_nodes; i++)
      full += (double)node_macs(graph->nodes[i]);
    for (int64_t i = 0; i < all; i++)
      windows += window_macs(graph, layers, place(o, i), window);
    *ratio = (double)(all + 1) * full / (full + windows);
  }
  arena_free(arena);
  graph_free(graph);
  return ok;
}

static bool read_image(const char *path, struct occlusion *o, struct error *err)
{
  const struct predictor *p = &o->model->predictor;
  const int64_t pixels = (int64_t)p->height * p->width;
  struct npy x = {.data = NULL};
  if (!npy_read(path, MAX_INPUT, &x, err))
    return false;
  bool ok = (x.type == NPY_F32 && x.rank == 4 && x.dim[0] == 1 && x.dim[1] == p->channels && x.dim[2] == p->height &&
             x.dim[3] == p->width) ||
            error_set(err, ERROR_USAGE, "%s: not float32 [1, %d, %d, %d]", path, p->channels, p->height, p->width);
  ok = ok && ((o->image = mem_alloc((size_t)npy_count(&x) * sizeof(float))) != NULL || error_memory(err, "the image"));
  for (int64_t k = 0; ok && k < pixels; k++)
    for (int64_t c = 0; c < p->channels; c++)
      o->image[k * p->channels + c] = ((const float *)x.data)[c * pixels + k];
  npy_free(&x);
  return ok;
}

static bool set_geometry(struct occlusion *o, const char *patch, const char *stride, const char *positions,
                         struct error *err)
{
  const struct predictor *p = &o->model->predictor;
  o->patch = atoi(patch);
  o->stride = atoi(stride);
  if (o->patch < 1 || o->patch > p->height || o->patch > p->width || o->stride < 1 || o->stride > o->patch * 4)
    return error_set(err, ERROR_USAGE, "patch %d and stride %d do not fit an image of %d x %d px", o->patch, o->stride,
                     p->height, p->width);
  o->rows = positions_along(p->height, o->patch, o->stride);
  o->columns = positions_along(p->width, o->patch, o->stride);
  o->count = (int64_t)o->rows * o->columns;
  o->grid = mem_zero((size_t)o->count, sizeof *o->grid);
  if (positions && atoll(positions) > 0 && atoll(positions) < o->count)
    o->count = atoll(positions);
  return o->grid != NULL || error_memory(err, "the map");
}

static bool work(struct occlusion *o, char **argv, const char *positions, double start, struct error *err)
{
  const double loaded = worker_wall();
  double ratio = 0;
  const struct evaluate_options options = {
      .session =
          {
              .score = SCORE_LOGIT,
              .threads = atoi(argv[3]),
              .exact_full = strcmp(argv[7], "full") == 0,
              .precision = strcmp(argv[8], "bf16") == 0 ? PRECISION_BF16 : PRECISION_F32,
          },
  };
  if (!set_geometry(o, argv[5], argv[6], positions, err) || !read_image(argv[2], o, err) ||
      !theoretical_ratio(o, &ratio, err))
    return false;
  worker_reset_peak();
  const long resident = worker_resident();
  const double from = worker_wall();
  if (!(o->evaluator = evaluator_open(&o->model->predictor, &options, o->image, err)))
    return false;
  const float *scores = evaluator_scores(o->evaluator);
  for (int64_t i = 1; i < o->model->predictor.classes; i++)
    o->target = scores[i] > scores[o->target] ? i : o->target;
  if (!map(o, err))
    return false;
  const double first = worker_wall() - from;
  const struct npy grid = {NPY_F32, 2, {o->rows, o->columns}, o->grid};
  if (!npy_write(argv[4], &grid, err))
    return false;
  printf("{\"load\": %.4f, \"first\": %.4f, \"positions\": %lld, \"target\": %lld, \"base\": %.9g, \"ratio\": %.4f, "
         "\"peak_kib\": %ld, \"resident_kib\": %ld}\n",
         loaded - start, first, (long long)o->count, (long long)o->target, (double)scores[o->target], ratio,
         worker_peak(), resident);
  (void)fflush(stdout);
  return worker_serve(map, o, err);
}

int main(int argc, char **argv)
{
  struct error err = {ERROR_NONE};
  struct occlusion o = {.model = NULL};
  if (argc < 9 || argc > 10) {
    (void)fputs("usage: bench-occlusion MODEL INPUT.npy THREADS GRID.npy PATCH STRIDE full|windows f32|bf16 "
                "[POSITIONS]\n",
                stderr);
    return 2;
  }
  const double start = worker_wall();
  struct model *model = model_open(argv[1], &(struct model_options){.card = NULL}, &err);
  o.model = model;
  const bool ok = model && work(&o, argv, argc > 9 ? argv[9] : NULL, start, &err);
  evaluator_close(o.evaluator);
  model_close(model);
  mem_free(o.image);
  mem_free(o.grid);
  return ok ? 0 : worker_fail("bench-occlusion", &err);
}
