/* SPDX-License-Identifier: Apache-2.0 */
/* Region perturbation of one picture by a given map: MoRF, LeRF and random curves in lockstep.
 *
 *   bench-region MODEL PICTURE THREADS MAP.npy OUT.json windows|full TARGET STEPS DRAWS
 *
 * MAP [height, width] on the model's grid; the picture has the model's size; regions of 9 px, uniform noise, raw
 * scores. OUT.json gets the figures and curves. First line: {"first": s, "ratio", "curves", "steps", "peak_kib",
 * "resident_kib"}; then it serves requests (worker.h), each one evaluation of that picture, its opening included.
 *
 * "ratio" is what windows can save: multiply-accumulates of one full run and one for every step of every curve, over
 * those of one full run and of windows, clipped at the edges, around the very regions that are replaced. */
#include "api/object.h"
#include "base/files.h"
#include "base/mem.h"
#include "base/npy.h"
#include "metrics/order.h"
#include "window_macs.h"
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 9, MAX_MAP = 1 << 28, KINDS = 3 };

struct work {
  penumbra_model *model;
  penumbra_image *image;
  penumbra_request request;
  penumbra_subject subject;
  penumbra_evaluation_request evaluation;
  struct npy map;
  int steps, draws;
};

static bool failed(const penumbra_error *from, struct error *err)
{
  return error_set(err, from->code == PENUMBRA_USAGE ? ERROR_USAGE : ERROR_FAILED, "%s", from->message);
}

/* *text, where wanted, is the caller's. */
static bool judge(const struct work *w, char **text, struct error *err)
{
  penumbra_error own = {PENUMBRA_OK, ""};
  const penumbra_array map = {w->map.data, PENUMBRA_F32, 2, {w->map.dim[0], w->map.dim[1]}};
  penumbra_evaluation *e = penumbra_evaluation_new(w->model, &w->evaluation, &own);
  bool ok = e && penumbra_evaluation_add(e, w->image, &map, &own);
  if (ok && text) {
    *text = penumbra_evaluation_json(e, &own);
    ok = *text != NULL;
  }
  penumbra_evaluation_free(e);
  return ok || failed(&own, err);
}

static bool turn(void *context, struct error *err)
{
  return judge(context, NULL, err);
}

/* Multiply-accumulates of the windows of every region, in the order of the grid. */
static bool region_macs(const struct graph *graph, int rows, int columns, int top, int left, double *macs, double *full,
                        struct error *err)
{
  struct arena *arena = arena_new(0);
  struct graph *fused = graph_fused(graph, FUSE_ALL, NULL, 0, err);
  struct layer *layers = arena && fused ? layers_new(fused, SIDE, SIDE, arena, err) : NULL;
  struct rect *window = layers ? arena_array(arena, (size_t)fused->n_values + 1, sizeof *window) : NULL;
  const bool ok = window || (fused && error_memory(err, "windows"));
  for (int i = 0; ok && i < fused->n_nodes; i++)
    *full += (double)node_macs(fused->nodes[i]);
  for (int i = 0; ok && i < rows * columns; i++) {
    const int y = top + i / columns * SIDE, x = left + i % columns * SIDE;
    macs[i] = window_macs(fused, layers, (struct rect){y, x, y + SIDE, x + SIDE}, window);
  }
  arena_free(arena);
  graph_free(fused);
  return ok;
}

/* The ratio for the orders that the metric follows: the map's up and down, and a random one of each draw. */
static bool count(const struct work *w, double *ratio, struct error *err)
{
  const int height = (int)w->map.dim[0], width = (int)w->map.dim[1];
  const int rows = height / SIDE, columns = width / SIDE, n = rows * columns;
  const int top = height % SIDE / 2, left = width % SIDE / 2;
  const float *map = w->map.data;
  double *sums = mem_zero(2 * (size_t)n, sizeof *sums), full = 0, all = 0;
  int32_t *order = mem_zero((size_t)n, sizeof *order);
  bool ok = (sums && order) || error_memory(err, "orders");
  double *macs = sums + n;
  ok = ok && region_macs(w->model->onnx->graph, rows, columns, top, left, macs, &full, err);
  for (int i = 0; ok && i < n; i++)
    for (int y = 0; y < SIDE; y++)
      for (int x = 0; x < SIDE; x++)
        sums[i] += (double)map[(top + i / columns * SIDE + y) * width + left + i % columns * SIDE + x];
  for (int d = 0; ok && d < w->draws; d++)
    for (int k = 0; ok && k < KINDS; k++) {
      ok = order_make((enum order)k, sums, n, w->request.seed, (uint32_t)d, order, err);
      for (int i = 0; ok && i < w->steps && i < n; i++)
        all += macs[order[i]];
    }
  const double runs = (double)w->draws * KINDS * (w->steps < n ? w->steps : n);
  *ratio = ok ? (runs + 1) * full / (full + all) : 0;
  mem_free(sums);
  mem_free(order);
  return ok;
}

static bool work(struct work *w, const char *out, struct error *err)
{
  double ratio;
  char *text = NULL;
  if (!count(w, &ratio, err))
    return false;
  worker_reset_peak();
  const long resident = worker_resident();
  const double from = worker_wall();
  if (!judge(w, &text, err))
    return false;
  const double first = worker_wall() - from;
  const bool ok = file_write(out, text, strlen(text), err);
  penumbra_text_free(text);
  if (!ok)
    return false;
  printf(
      "{\"first\": %.4f, \"ratio\": %.4f, \"curves\": %d, \"steps\": %d, \"peak_kib\": %ld, \"resident_kib\": %ld}\n",
      first, ratio, w->draws * KINDS, w->steps, worker_peak(), resident);
  (void)fflush(stdout);
  return worker_serve(turn, w, err);
}

int main(int argc, char **argv)
{
  struct error err = {ERROR_NONE};
  penumbra_error own = {PENUMBRA_OK, ""};
  if (argc != 10) {
    (void)fputs("usage: bench-region MODEL PICTURE THREADS MAP.npy OUT.json windows|full TARGET STEPS DRAWS\n", stderr);
    return 2;
  }
  static const char *const settings[] = {"resize=stretch", NULL}, *const metrics[] = {"region", NULL};
  char steps[32], draws[32];
  (void)snprintf(steps, sizeof steps, "region.steps=%d", atoi(argv[8]));
  (void)snprintf(draws, sizeof draws, "region.draws=%d", atoi(argv[9]));
  const char *const params[] = {"region.region=9", steps, draws, NULL};
  const penumbra_model_options options = {.size = sizeof options, .settings = settings};
  struct work w = {.steps = atoi(argv[8]), .draws = atoi(argv[9])};
  w.request = (penumbra_request){
      .size = sizeof w.request,
      .target = argv[7],
      .score = "logit",
      .threads = atoi(argv[3]),
      .exact_full = strcmp(argv[6], "full") == 0,
  };
  w.subject = (penumbra_subject){.name = "map"};
  w.evaluation = (penumbra_evaluation_request){
      .size = sizeof w.evaluation,
      .subjects = &w.subject,
      .subject_count = 1,
      .metrics = metrics,
      .params = params,
      .request = &w.request,
  };
  w.model = penumbra_model_open(argv[1], &options, &own);
  w.image = w.model ? penumbra_image_open(argv[2], &own) : NULL;
  bool ok = w.image || failed(&own, &err);
  ok = ok && npy_read(argv[4], MAX_MAP, &w.map, &err);
  if (ok && (w.map.type != NPY_F32 || w.map.rank != 2 || w.map.dim[0] != w.model->predictor->height ||
             w.map.dim[1] != w.model->predictor->width))
    ok = error_set(&err, ERROR_USAGE, "%s: not float32 [%d, %d]", argv[4], w.model->predictor->height,
                   w.model->predictor->width);
  ok = ok && work(&w, argv[5], &err);
  npy_free(&w.map);
  penumbra_image_close(w.image);
  penumbra_model_close(w.model);
  return ok ? 0 : worker_fail("bench-region", &err);
}
