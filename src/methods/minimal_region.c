/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/minimal_region.h"

#include "base/json.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BISECTIONS = 16, MOST_CORNERS = 20000 };

/* ---- order ----------------------------------------------------------------------------------------------------- */

struct keyed {
  float value, around;
  int32_t at;
};

static int descending(const void *a, const void *b)
{
  const struct keyed *p = a, *q = b;
  if (p->value != q->value)
    return p->value < q->value ? 1 : -1;
  if (p->around != q->around)
    return p->around < q->around ? 1 : -1;
  return (p->at > q->at) - (p->at < q->at);
}

bool region_order(const float *map, int height, int width, int32_t *order, struct error *err)
{
  const size_t n = (size_t)height * (size_t)width;
  const double sigma = fmax(1, 10.0 * (height < width ? height : width) / 224);
  struct keyed *key = mem_alloc(n * sizeof *key);
  float *around = mem_alloc(n * sizeof *around);
  bool ok = (key && around) || error_memory(err, "an order of pixels");
  ok = ok && blur_image(map, height, width, 1, sigma, around, err);
  if (ok) {
    for (size_t i = 0; i < n; i++)
      key[i] = (struct keyed){map[i], around[i], (int32_t)i};
    qsort(key, n, sizeof *key, descending);
    for (size_t i = 0; i < n; i++)
      order[i] = key[i].at;
  }
  mem_free(key);
  mem_free(around);
  return ok;
}

/* ---- ladder ---------------------------------------------------------------------------------------------------- */

struct ladder {
  const struct region_request *request;
  const int32_t *order;
  int64_t pixels, from; /* px of the picture; the first rung that is asked for */
  int64_t rung[REGION_RUNGS];
  float *kept, *hidden; /* [REGION_RUNGS] scores; NAN: not known */
  double wanted, answer;
  int64_t asked; /* area of the bisection's question */
};

static void write_mask(const struct ladder *l, int64_t count, bool keep, struct perturbation *p)
{
  p->kind = PERTURB_MASK;
  p->fill = l->request->fill;
  for (int64_t i = 0; i < l->pixels; i++)
    p->mask[l->order[i]] = (i < count) == keep ? 1 : 0;
}

/* Rungs from l->from on: first what is kept of each, then what is hidden. */
static bool propose_rung(void *context, int64_t i, struct perturbation *p, struct error *err)
{
  const struct ladder *l = context;
  const int64_t at = l->from + i;
  (void)err;
  write_mask(l, l->rung[at % REGION_RUNGS], at < REGION_RUNGS, p);
  return true;
}

static bool take_rung(void *context, int64_t i, const float *scores, const float *activations, bool *stop,
                      struct error *err)
{
  struct ladder *l = context;
  const int64_t at = l->from + i;
  (void)activations;
  (void)stop;
  (void)err;
  (at < REGION_RUNGS ? l->kept : l->hidden)[at % REGION_RUNGS] = scores[l->request->target];
  return true;
}

/* The first that suffices ends the climb. */
static bool climb_rung(void *context, int64_t i, const float *scores, const float *activations, bool *stop,
                       struct error *err)
{
  const struct ladder *l = context;
  *stop = (double)scores[l->request->target] >= l->wanted;
  return take_rung(context, i, scores, activations, stop, err);
}

static bool propose_asked(void *context, int64_t i, struct perturbation *p, struct error *err)
{
  const struct ladder *l = context;
  (void)i;
  (void)err;
  write_mask(l, l->asked, true, p);
  return true;
}

static bool take_asked(void *context, int64_t i, const float *scores, const float *activations, bool *stop,
                       struct error *err)
{
  struct ladder *l = context;
  (void)i;
  (void)activations;
  (void)stop;
  (void)err;
  l->answer = (double)scores[l->request->target];
  return true;
}

/* Areas in equal ratios up to the whole image: an eighth of a doubling apart, from 0.4 %. */
static struct ladder ladder_of(const struct region_request *request, struct region *region, float *hidden)
{
  const struct geometry *g = &request->explain->input->geometry;
  struct ladder l = {.request = request, .order = region->order, .kept = region->kept, .hidden = hidden};
  l.pixels = (int64_t)g->height * g->width;
  l.wanted = request->keep * (double)evaluator_scores(request->evaluator)[request->target];
  for (int k = 0; k < REGION_RUNGS; k++) {
    const int64_t count = (int64_t)floor((double)l.pixels * exp2((k - (REGION_RUNGS - 1)) / 8.0) + 0.5);
    l.rung[k] = count < 1 ? 1 : count;
  }
  return l;
}

/* Between the last rung that fails and what suffices above it. */
static bool bisect(struct ladder *l, struct region *region, int64_t fails, struct error *err)
{
  struct evaluated end;
  const struct evaluation question = {
      .stage = "minimal region",
      .count = 1,
      .context = l,
      .propose = propose_asked,
      .result = take_asked,
  };
  for (int i = 0; i < BISECTIONS && region->count - fails > 1; i++) {
    l->asked = fails + (region->count - fails) / 2;
    if (!evaluate(l->request->evaluator, &question, &end, err))
      return false;
    if (end.count == 0) /* no time for more: what passed so far stands */
      break;
    if (l->answer >= l->wanted) {
      region->count = l->asked;
      region->score = l->answer;
    } else {
      fails = l->asked;
    }
  }
  return true;
}

bool region_find(const struct region_request *request, int64_t most, struct region *region, struct error *err)
{
  const struct geometry *g = &request->explain->input->geometry;
  *region = (struct region){.score = NAN};
  for (int k = 0; k < REGION_RUNGS; k++)
    region->kept[k] = NAN;
  region->order = mem_alloc((size_t)g->height * (size_t)g->width * sizeof *region->order);
  if (!region->order)
    return error_memory(err, "a region");
  if (!region_order(request->map, g->height, g->width, region->order, err))
    return false;
  struct ladder l = ladder_of(request, region, NULL);
  struct evaluated end;
  int64_t rungs = 1; /* up to the first that is not below `most`: halving may lead from there to less */
  while (rungs < REGION_RUNGS && l.rung[rungs - 1] < most)
    rungs++;
  const struct evaluation climb = {
      .stage = "minimal region", .count = rungs, .context = &l, .propose = propose_rung, .result = climb_rung};
  if (!evaluate(request->evaluator, &climb, &end, err))
    return false;
  region->rungs = (int)end.count;
  const int last = region->rungs - 1;
  if (last < 0 || !((double)region->kept[last] >= l.wanted))
    return true;
  region->count = l.rung[last];
  region->score = (double)region->kept[last];
  if (!bisect(&l, region, last > 0 ? l.rung[last - 1] : 0, err))
    return false;
  if (region->count > most) {
    region->count = 0;
    region->score = NAN;
  }
  return true;
}

void region_close(struct region *region)
{
  mem_free(region->order);
  *region = (struct region){0};
}

/* ---- outline --------------------------------------------------------------------------------------------------- */

struct outline {
  const int32_t *region;
  int height, width;
  unsigned char *seen; /* [height, width] whether the upper edge of a pixel was walked along */
};

static bool inside(const struct outline *o, int x, int y)
{
  return x >= 0 && y >= 0 && x < o->width && y < o->height && o->region[(int64_t)y * o->width + x];
}

/* Walk round from the upper edge of pixel (x, y), the region to the right; corners are added to a new polygon. */
static json_t *walk(struct outline *o, int x, int y, int64_t *corners)
{
  /* East, south, west, north; the pixel ahead to the left and to the right of a lattice point, by direction. */
  static const int step[4][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};
  static const int left[4][2] = {{0, -1}, {0, 0}, {-1, 0}, {-1, -1}},
                   right[4][2] = {{0, 0}, {-1, 0}, {-1, -1}, {0, -1}};
  json_t *polygon = json_array();
  int at_x = x, at_y = y, direction = 0;
  do {
    if (direction == 0)
      o->seen[(int64_t)at_y * o->width + at_x] = 1;
    at_x += step[direction][0];
    at_y += step[direction][1];
    int turn = 0;
    if (!inside(o, at_x + right[direction][0], at_y + right[direction][1]))
      turn = 1;
    else if (inside(o, at_x + left[direction][0], at_y + left[direction][1]))
      turn = 3;
    if (turn) {
      json_array_append_new(polygon, json_pack("[i,i]", at_x, at_y));
      ++*corners;
    }
    direction = (direction + turn) % 4;
  } while (at_x != x || at_y != y || direction != 0);
  return polygon;
}

json_t *region_contours(const int32_t *region, int height, int width, int64_t most, struct error *err)
{
  struct outline o = {region, height, width, mem_zero((size_t)height * (size_t)width, 1)};
  json_t *list = json_array();
  int64_t corners = 0;
  if (!o.seen || !list) {
    mem_free(o.seen);
    json_decref(list);
    error_memory(err, "an outline");
    return NULL;
  }
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      if (corners < most && inside(&o, x, y) && !inside(&o, x, y - 1) && !o.seen[(int64_t)y * width + x])
        json_array_append_new(list, walk(&o, x, y, &corners));
  mem_free(o.seen);
  return list;
}

/* ---- result ---------------------------------------------------------------------------------------------------- */

static double to_source(double at, int source, int resized, int offset)
{
  return fmin(fmax((at - offset) * source / resized, 0), source);
}

static json_t *describe(const struct region_request *r, const int32_t *region, int64_t count, double score,
                        double wanted, struct error *err)
{
  const struct input *input = r->explain->input;
  const struct geometry *g = &input->geometry;
  int x0 = g->width, y0 = g->height, x1 = 0, y1 = 0;
  double sum_x = 0, sum_y = 0;
  if (count == 0)
    return json_pack("{s:b, s:f, s:o}", "found", 0, "keep", r->keep, "wanted", json_number_or_null(wanted));
  for (int y = 0; y < g->height; y++)
    for (int x = 0; x < g->width; x++)
      if (region[(int64_t)y * g->width + x]) {
        x0 = x < x0 ? x : x0;
        y0 = y < y0 ? y : y0;
        x1 = x + 1 > x1 ? x + 1 : x1;
        y1 = y + 1;
        sum_x += x + 0.5;
        sum_y += y + 0.5;
      }
  const double n = (double)count, cx = sum_x / n, cy = sum_y / n;
  json_t *contour = region_contours(region, g->height, g->width, MOST_CORNERS, err);
  if (!contour)
    return NULL;
  const bool spaced = input->spacing_x > 0 && input->spacing_y > 0;
  const int sw = g->source_width, sh = g->source_height;
  return json_pack("{s:b, s:f, s:o, s:o, s:I, s:f, s:o, s:[i,i,i,i], s:[f,f], s:[f,f,f,f], s:[f,f], s:o}", "found", 1,
                   "keep", r->keep, "wanted", json_number_or_null(wanted), "score", json_number_or_null(score),
                   "area_px", (json_int_t)count, "area", n / ((double)g->width * g->height), "area_mm2",
                   spaced ? json_real(n * input->spacing_x * input->spacing_y) : json_null(), "box", x0, y0, x1, y1,
                   "centroid", cx, cy, "source_box", to_source(x0, sw, g->resized_width, g->offset_x),
                   to_source(y0, sh, g->resized_height, g->offset_y), to_source(x1, sw, g->resized_width, g->offset_x),
                   to_source(y1, sh, g->resized_height, g->offset_y), "source_centroid",
                   to_source(cx, sw, g->resized_width, g->offset_x), to_source(cy, sh, g->resized_height, g->offset_y),
                   "contour", contour);
}

bool minimal_region(const struct region_request *r, struct region *found, struct explanation *out, struct error *err)
{
  const struct geometry *g = &r->explain->input->geometry;
  const int64_t curve[2] = {REGION_RUNGS, 3}, dims[2] = {g->height, g->width};
  float hidden[REGION_RUNGS];
  struct ladder l = ladder_of(r, found, hidden);
  struct evaluated end;
  l.from = found->rungs;
  const struct evaluation rest = {.stage = "minimal region",
                                  .count = 2 * REGION_RUNGS - found->rungs,
                                  .context = &l,
                                  .propose = propose_rung,
                                  .result = take_rung};
  for (int k = 0; k < REGION_RUNGS; k++)
    hidden[k] = NAN;
  int32_t *region = explanation_ints(out, "region", 2, dims, err);
  float *row = explanation_floats(out, "region_curve", 2, curve, err);
  if (!region || !row || !evaluate(r->evaluator, &rest, &end, err))
    return false;
  for (int k = 0; k < REGION_RUNGS; k++) {
    *row++ = (float)((double)l.rung[k] / (double)l.pixels);
    *row++ = found->kept[k];
    *row++ = hidden[k];
  }
  for (int64_t i = 0; i < found->count; i++)
    region[found->order[i]] = 1;
  json_t *about = describe(r, region, found->count, found->score, l.wanted, err);
  if (!about)
    return false;
  json_object_set_new(out->details, "minimal_region", about);
  if (found->count == 0)
    explanation_warn(out, "no-region", "no part of the image was found that alone scores %.4g, %.2g of the whole",
                     l.wanted, r->keep);
  return true;
}
