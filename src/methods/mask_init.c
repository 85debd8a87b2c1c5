/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/mask_init.h"

#include "base/files.h"
#include "base/mem.h"
#include "base/rng.h"
#include "methods/fills_each.h"
#include "methods/minimal_region.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { RADII = 34, RADIUS_STEP = 5, EDGE = 10 }; /* px where the shorter side is 224 */
#define REACHED 0.99                             /* of the drop under a full fill */

static double scaled(int height, int width, double px)
{
  return fmax(1, px * (height < width ? height : width) / 224);
}

static double distance(int height, int width, int64_t at)
{
  const double y = (double)(at / width) + 0.5 - height / 2.0, x = (double)(at % width) + 0.5 - width / 2.0;
  return sqrt(y * y + x * x);
}

/* ---- the map to start from ------------------------------------------------------------------------------------- */

/* Bilinear at pixel centres, edges repeated. */
static void resample(const float *from, int64_t h, int64_t w, float *to, int height, int width)
{
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++) {
      const double at_y = fmin(fmax((y + 0.5) * (double)h / height - 0.5, 0), (double)(h - 1));
      const double at_x = fmin(fmax((x + 0.5) * (double)w / width - 0.5, 0), (double)(w - 1));
      const int64_t y0 = (int64_t)at_y, x0 = (int64_t)at_x, y1 = y0 + (y0 + 1 < h), x1 = x0 + (x0 + 1 < w);
      const double v = at_y - (double)y0, u = at_x - (double)x0;
      *to++ = (float)((1 - v) * ((1 - u) * (double)from[y0 * w + x0] + u * (double)from[y0 * w + x1]) +
                      v * ((1 - u) * (double)from[y1 * w + x0] + u * (double)from[y1 * w + x1]));
    }
}

/* An array of one map or one for each class, on some grid, to the model's. */
static bool take_array(struct mask_init *init, const char *name, const struct npy *array, const struct explain *explain,
                       int64_t target, struct explanation *out, struct error *err)
{
  const struct geometry *g = &explain->input->geometry;
  const int rank = array->rank;
  const bool several = rank == 3 && array->dim[0] == explain->predictor->classes;
  if (array->type != NPY_F32 || !(rank == 2 || several || (rank == 3 && array->dim[0] == 1)) || npy_count(array) < 1)
    return error_set(err, ERROR_USAGE,
                     "init: %s is no float map [height, width] or [%" PRId64 " classes, height, width]", name,
                     explain->predictor->classes);
  const int64_t h = array->dim[rank - 2], w = array->dim[rank - 1];
  const float *map = (const float *)array->data + (several ? target * h * w : 0);
  bool flat = true;
  for (int64_t i = 0; i < h * w; i++) {
    if (!isfinite(map[i]))
      return error_set(err, ERROR_FAILED, "init: %s holds a value that is not finite", name);
    flat &= map[i] == map[0];
  }
  if (flat)
    return error_set(err, ERROR_FAILED, "init: %s is the same everywhere, there is nothing to refine (flat-map)", name);
  if (h == g->height && w == g->width) {
    memcpy(init->heat, map, (size_t)(h * w) * sizeof *map);
  } else if (h == g->source_height && w == g->source_width) {
    preprocess_to_model(g, map, init->heat, false);
  } else {
    resample(map, h, w, init->heat, g->height, g->width);
    explanation_warn(out, "init-resampled", "%s is %" PRId64 "x%" PRId64 ", it was resampled to %dx%d", name, h, w,
                     g->height, g->width);
  }
  return true;
}

static bool take_file(struct mask_init *init, const char *path, const struct explain *explain, int64_t target,
                      struct explanation *out, struct error *err)
{
  struct npy array = {.type = NPY_F32};
  const bool ok =
      npy_read(path, (size_t)1 << 30, &array, err) && take_array(init, path, &array, explain, target, out, err);
  npy_free(&array);
  return ok;
}

static bool take_method(struct mask_init *init, const struct method *method, const struct explain *explain,
                        int64_t target, struct explanation *out, struct error *err)
{
  struct explain inner = *explain;
  struct explanation e = {0};
  char number[24];
  void *options = mem_zero(1, method->options_size);
  (void)snprintf(number, sizeof number, "%" PRId64, target);
  inner.target = number;
  bool ok = options || error_memory(err, method->name);
  ok = ok && params_parse(method->params, method->name, NULL, options, err) && explanation_init(&e, err) &&
       method_run(&inner, method, options, &e, err) &&
       take_array(init, method->name, explanation_find(&e, "map"), explain, target, out, err);
  init->evaluations = e.evaluations;
  init->seconds = e.seconds;
  explanation_free(&e);
  mem_free(options);
  return ok;
}

bool mask_init_open(struct mask_init *init, const char *text, const struct explain *explain, int64_t target,
                    struct explanation *out, struct error *err)
{
  static const char *const plain[] = {"circle", "ones", "half", "random"};
  const struct geometry *g = &explain->input->geometry;
  const struct method *method = method_find(text);
  *init = (struct mask_init){.kind = INIT_HEAT};
  for (int i = 0; i < 4; i++)
    if (strcmp(text, plain[i]) == 0) {
      init->kind = i == 0 ? INIT_HEAT : i == 1 ? INIT_ONES : i == 2 ? INIT_HALF : INIT_RANDOM;
      if (i > 0)
        return true;
    }
  init->heat = mem_alloc((size_t)g->height * (size_t)g->width * sizeof *init->heat);
  if (!init->heat)
    return error_memory(err, "a start");
  if (strcmp(text, "circle") == 0) {
    for (int64_t i = 0; i < (int64_t)g->height * g->width; i++)
      init->heat[i] = (float)-distance(g->height, g->width, i);
    return true;
  }
  init->given = true;
  if (method) {
    for (const struct param *p = method->params; p->name; p++)
      if (strcmp(p->name, "init") == 0)
        return error_set(err, ERROR_USAGE, "init: %s itself starts from another map", text);
    return take_method(init, method, explain, target, out, err);
  }
  if (!file_exists(text))
    return error_set(err, ERROR_USAGE,
                     "init: '%.80s' is none of circle, ones, half, random, and neither a method nor a file", text);
  return take_file(init, text, explain, target, out, err);
}

void mask_init_close(struct mask_init *init)
{
  mem_free(init->heat);
  *init = (struct mask_init){0};
}

/* ---- the smallest top fraction that deletes the score ------------------------------------------------------------ */

struct search {
  const struct mask_start *start;
  int32_t *order;
  int64_t count[RADII];
  float *hard, *soft; /* [height, width] */
  int reached;        /* rung, or RADII */
};

/* Share of each pixel that is deleted. */
static bool soften(const struct search *s, int64_t count, struct error *err)
{
  const struct mask_scene *scene = s->start->scene;
  memset(s->hard, 0, (size_t)scene->height * (size_t)scene->width * sizeof *s->hard);
  for (int64_t i = 0; i < count; i++)
    s->hard[s->order[i]] = 1;
  return blur_image(s->hard, scene->height, scene->width, 1, scaled(scene->height, scene->width, EDGE), s->soft, err);
}

static bool propose(void *context, int64_t i, struct perturbation *p, struct error *err)
{
  const struct search *s = context;
  const struct mask_scene *scene = s->start->scene;
  if (!soften(s, s->count[i], err))
    return false;
  p->kind = PERTURB_MASK;
  p->fill = scene->fill;
  for (int64_t k = 0; k < (int64_t)scene->height * scene->width; k++)
    p->mask[k] = 1 - s->soft[k];
  return true;
}

static bool take(void *context, int64_t i, const float *scores, const float *activations, bool *stop, struct error *err)
{
  struct search *s = context;
  const struct mask_start *start = s->start;
  (void)activations;
  (void)err;
  if (start->objective->full - (double)scores[start->target] >=
      REACHED * (start->objective->full - start->objective->base)) {
    s->reached = (int)i;
    *stop = true;
  }
  return true;
}

/* Pixels of the centred discs of growing radius: the ladder for circles and maps alike. */
static void count_discs(struct search *s)
{
  const struct mask_scene *scene = s->start->scene;
  const double unit = (scene->height < scene->width ? scene->height : scene->width) / 224.0;
  for (int64_t i = 0; i < (int64_t)scene->height * scene->width; i++) {
    const double d = distance(scene->height, scene->width, i);
    for (int k = 0; k < RADII; k++)
      s->count[k] += d <= (k + 1) * RADIUS_STEP * unit;
  }
}

static bool from_heat(const struct mask_init *init, const struct mask_start *start, double *cells, struct error *err)
{
  const struct mask_scene *scene = start->scene;
  const size_t pixels = (size_t)scene->height * (size_t)scene->width;
  struct search s = {.start = start, .reached = RADII};
  struct evaluated end;
  const struct evaluation what = {.stage = "start", .count = RADII, .context = &s, .propose = propose, .result = take};
  s.order = mem_alloc(pixels * sizeof *s.order);
  s.hard = mem_alloc(2 * pixels * sizeof *s.hard);
  double *kept = mem_alloc(pixels * sizeof *kept);
  bool ok = (s.order && s.hard && kept) || error_memory(err, "a start");
  if (ok) {
    s.soft = s.hard + pixels;
    count_discs(&s);
  }
  ok = ok && region_order(init->heat, scene->height, scene->width, s.order, err) &&
       evaluate(start->evaluator, &what, &end, err) &&
       soften(&s, s.reached < RADII ? s.count[s.reached] : (int64_t)pixels, err);
  if (ok) {
    for (size_t i = 0; i < pixels; i++)
      kept[i] = fmin(fmax(1 - (double)s.soft[i], 0), 1);
    mask_grid_average(start->grid, kept, cells);
  }
  mem_free(s.order);
  mem_free(s.hard);
  mem_free(kept);
  return ok;
}

bool mask_init_cells(const struct mask_init *init, const struct mask_start *start, int64_t number, double *cells,
                     struct error *err)
{
  const int64_t n = (int64_t)start->objective->rows * start->objective->columns;
  if (number > 0 || init->kind == INIT_RANDOM) {
    for (int64_t i = 0; i < n; i++)
      cells[i] = rng_uniform(start->seed, RNG_START, (uint32_t)number, (uint64_t)i);
    return true;
  }
  if (init->kind != INIT_HEAT) {
    for (int64_t i = 0; i < n; i++)
      cells[i] = init->kind == INIT_ONES ? 1 : 0.5;
    return true;
  }
  if (!from_heat(init, start, cells, err))
    return false;
  for (int64_t i = 0; start->objective->preserve && i < n; i++)
    cells[i] = 1 - cells[i];
  return true;
}
