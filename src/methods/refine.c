/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/refine.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

enum { SMOOTH = 5 }; /* px where the shorter side is 224, as the mask's own blur */

struct material {
  const float *start, *mask; /* [pixels] */
  const struct region *before;
  float *all, *positive; /* [pixels] the start, and what of it is above 0, smoothed and in [0,1] */
  bool two;              /* these differ in more than scale, and `positive` is not empty */
  float least, most;     /* values of the start that are written as 0 and as 1 */
  int64_t pixels;
};

/* The start in [0,1]. Where all of its region is above 0, so is all that is drawn: what lowers the score is no part of
 * what holds it. */
static float unit(const struct material *m, int64_t i)
{
  return (float)fmin(fmax(((double)m->start[i] - (double)m->least) / ((double)m->most - (double)m->least), 0), 1);
}

static void write_mask(const struct material *m, float *map)
{
  memcpy(map, m->mask, (size_t)m->pixels * sizeof *map);
}

/* The start, with its region lifted above the rest and ordered by the mask: beyond the region all is as it was, so that
 * this order never needs more than the start's. */
static void write_inside(const struct material *m, float *map)
{
  for (int64_t i = 0; i < m->pixels; i++) {
    const int64_t at = m->before->order[i];
    map[at] = i < m->before->count ? (1 + m->mask[at]) / 2 : fminf(unit(m, at) / 2, nextafterf(0.5F, 0));
  }
}

static void write_product(const struct material *m, float *map)
{
  for (int64_t i = 0; i < m->pixels; i++)
    map[i] = m->all[i] * m->mask[i];
}

static void write_positive(const struct material *m, float *map)
{
  for (int64_t i = 0; i < m->pixels; i++)
    map[i] = m->positive[i] * m->mask[i];
}

static void write_start(const struct material *m, float *map)
{
  for (int64_t i = 0; i < m->pixels; i++)
    map[i] = unit(m, i);
}

static bool has_region(const struct material *m)
{
  return m->before->count > 0;
}

static bool has_two(const struct material *m)
{
  return m->two;
}

static const struct candidate {
  const char *name;
  void (*write)(const struct material *material, float *map);
  bool (*applies)(const struct material *material); /* NULL: always */
} candidates[] = {
    {"mask", write_mask, NULL},         {"inside", write_inside, has_region},
    {"product", write_product, NULL},   {"positive-product", write_positive, has_two},
    {"start", write_start, has_region},
};

enum { CANDIDATES = sizeof candidates / sizeof *candidates, START = CANDIDATES - 1 };

/* In place, to [0,1]. */
static void spread(float *map, int64_t pixels)
{
  double least = INFINITY, most = -INFINITY;
  for (int64_t i = 0; i < pixels; i++) {
    least = fmin(least, (double)map[i]);
    most = fmax(most, (double)map[i]);
  }
  for (int64_t i = 0; i < pixels; i++)
    map[i] = most > least ? (float)(((double)map[i] - least) / (most - least)) : 1;
}

/* Masks are smooth. Starts of gradients are not, and a product with them would be in pieces. */
static bool smooth(const struct material *m, const struct geometry *g, bool positive, float *scratch, float *out,
                   struct error *err)
{
  const double sigma = fmax(1, (double)SMOOTH * (g->height < g->width ? g->height : g->width) / 224);
  for (int64_t i = 0; i < m->pixels; i++)
    scratch[i] = positive ? fmaxf(m->start[i], 0) : m->start[i];
  if (!blur_image(scratch, g->height, g->width, 1, sigma, out, err))
    return false;
  spread(out, m->pixels);
  return true;
}

static bool prepare(struct material *m, const struct region_request *request, float *scratch, struct error *err)
{
  const struct geometry *g = &request->explain->input->geometry;
  const struct region *before = m->before;
  m->most = m->start[before->order[0]];
  m->least = m->start[before->order[m->pixels - 1]];
  m->two = m->least < 0 && m->most > 0;
  if (m->least < 0 && m->start[before->order[before->count > 0 ? before->count - 1 : 0]] > 0)
    m->least = 0;
  return smooth(m, g, false, scratch, m->all, err) && smooth(m, g, true, scratch, m->positive, err);
}

/* The start's own region is known. */
static bool copy_region(const struct region *from, int64_t pixels, struct region *to, struct error *err)
{
  *to = *from;
  to->order = mem_alloc((size_t)pixels * sizeof *to->order);
  if (!to->order)
    return error_memory(err, "a region");
  memcpy(to->order, from->order, (size_t)pixels * sizeof *to->order);
  return true;
}

static bool judge(const struct material *m, const struct region_request *request, float *map, struct region *found,
                  json_t *areas, int *best, struct error *err)
{
  struct region_request question = *request;
  question.map = map;
  for (int i = 0; i < CANDIDATES; i++) {
    const struct candidate *c = &candidates[i];
    struct region region = {0};
    /* The start gives way to a mask that needs as much, and otherwise to what needs less; so does the best so far. */
    int64_t most = m->before->count > 0 ? m->before->count - (i > 0) : m->pixels;
    most = found->count > 0 && found->count <= most ? found->count - 1 : most;
    if ((c->applies && !c->applies(m)) || (i == START && found->count > 0))
      continue;
    c->write(m, map);
    if (!(i == START ? copy_region(m->before, m->pixels, &region, err) : region_find(&question, most, &region, err))) {
      region_close(&region);
      return false;
    }
    json_object_set_new(areas, c->name, region.count > 0 ? json_integer(region.count) : json_null());
    if (i == 0 || region.count > 0) {
      region_close(found);
      *found = region;
      *best = i;
    } else {
      region_close(&region);
    }
  }
  candidates[*best].write(m, map);
  return true;
}

bool refine_map(const struct region_request *request, const struct region *before, const float *mask, float *map,
                struct region *found, json_t **about, struct error *err)
{
  const struct geometry *g = &request->explain->input->geometry;
  struct material m = {.start = request->map, .mask = mask, .before = before};
  json_t *areas = json_object();
  int best = 0;
  *found = (struct region){.score = NAN};
  m.pixels = (int64_t)g->height * g->width;
  m.all = mem_alloc(2 * (size_t)m.pixels * sizeof *m.all);
  bool ok = m.all || error_memory(err, "a refinement");
  if (ok) {
    m.positive = m.all + m.pixels;
    ok = prepare(&m, request, map, err) && judge(&m, request, map, found, areas, &best, err);
  }
  mem_free(m.all);
  if (!ok) {
    json_decref(areas);
    return false;
  }
  *about = json_pack("{s:s, s:o, s:o, s:o}", "by", candidates[best].name, "before_px",
                     before->count > 0 ? json_integer(before->count) : json_null(), "after_px",
                     found->count > 0 ? json_integer(found->count) : json_null(), "candidates_px", areas);
  return true;
}
