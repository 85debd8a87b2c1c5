/* SPDX-License-Identifier: Apache-2.0 */
/* Quick shift: Vedaldi & Soatto, "Quick shift and kernel methods for mode seeking", ECCV 2008.
 *
 * A pixel is the vector (ratio * colour, row, column); d is the distance of two such vectors.
 *   density(p) = sum over q of exp(-d(p,q)^2 / (2 kernel^2))   parent(p) = the nearest q that is denser
 * q runs over the square window of radius ceil(3 kernel). A pixel without a denser one in its window, or whose parent
 * is farther than max_dist, is a root; each tree is a segment. Of two equally dense pixels the one that comes first
 * counts as denser (the paper leaves it open), which makes a plateau one segment.
 *
 * Densities are sums of whole numbers, so that neither the order of summation nor the position of a pixel can make
 * equal densities differ. */
#include "base/mem.h"
#include "base/threads.h"
#include "perturb/segment.h"
#include "tensor/simd.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

enum {
  LANES = 16,      /* rows are padded to whole vectors */
  MAX_KERNEL = 64, /* px */
};

#define FAR 1e9f /* colour of the padding: nothing is near it */

struct options {
  double kernel, max_dist, ratio;
};

static const struct param params[] = {
    {"kernel", PARAM_FLOAT, offsetof(struct options, kernel), "auto", 1, MAX_KERNEL, NULL, "px", NULL,
     "width of the Gaussian in which the density is measured; auto: 4 at 224"},
    {"max_dist", PARAM_FLOAT, offsetof(struct options, max_dist), "200", 0, 1e6, NULL, NULL, NULL,
     "farthest parent; smaller values give more segments"},
    {"ratio", PARAM_FLOAT, offsetof(struct options, ratio), "0.2", 0, 1, NULL, "px per unit of Lab", NULL,
     "weight of colour against place"},
    PARAM_END,
};

/* Planes have a margin of `radius` columns at the left and at least as many at the right, so that every row of every
 * shifted window is one run of whole vectors. */
struct shift {
  int height, width, channels, radius;
  int64_t stride, run; /* floats in a row; px of it that are computed, a multiple of LANES */
  const float *plane[CARD_MAX_CHANNELS];
  int32_t *density; /* likewise padded; -1 in the margins */
  int32_t *parent;  /* [height, width] */
  float falloff;    /* log2(e) / (2 kernel^2) */
  float unit;       /* density of two equal vectors */
  double max_dist;
};

/* 2^-x times `unit` as a whole number, 0 <= x; rounding noise apart the same on every machine. */
static inline __attribute__((always_inline)) int32_t weigh(float x, float unit)
{
  const float t = x < 60.0f ? -x : -60.0f;
  const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
  const float whole = (t + magic) - magic;
  const float f = t - whole; /* -0.5..0.5 */
  /* Taylor's series of 2^f, coefficients ln(2)^k / k!, to 2e-7 */
  const float power =
      1.0f +
      f * (0.693147181f + f * (0.240226507f + f * (0.0555041087f +
                                                   f * (0.00961812911f + f * (0.00133335581f + f * 0.000154035304f)))));
  const int32_t bits = ((int32_t)whole + 127) << 23;
  float scale;
  memcpy(&scale, &bits, sizeof scale);
  return (int32_t)(power * scale * unit + 0.5f);
}

/* Square of the colour distance of pixel i of one row and pixel i of another. */
static inline __attribute__((always_inline)) float apart(const float *const *p, const float *const *q, int channels,
                                                         int64_t i)
{
  float sum = 0;
  for (int c = 0; c < channels; c++) {
    const float t = p[c][i] - q[c][i];
    sum += t * t;
  }
  return sum;
}

static inline __attribute__((always_inline)) void add_weights_of(int32_t *restrict sum, const float *const *p,
                                                                 const float *const *q, int channels, int64_t n,
                                                                 float place, float falloff, float unit)
{
  const float *const p_[CARD_MAX_CHANNELS] = {p[0], p[1], p[2], p[3]};
  const float *const q_[CARD_MAX_CHANNELS] = {q[0], q[1], q[2], q[3]};
  for (int64_t i = 0; i < n; i++)
    sum[i] += weigh((apart(p_, q_, channels, i) + place) * falloff, unit);
}

/* sum += weights of the pairs of a row and a shifted row; `place` is the square of the shift. */
SIMD_CLONES static void add_weights(int32_t *restrict sum, const float *const *p, const float *const *q, int channels,
                                    int64_t n, float place, float falloff, float unit)
{
  if (channels == 1)
    add_weights_of(sum, p, q, 1, n, place, falloff, unit);
  else if (channels == 2)
    add_weights_of(sum, p, q, 2, n, place, falloff, unit);
  else if (channels == 3)
    add_weights_of(sum, p, q, 3, n, place, falloff, unit);
  else
    add_weights_of(sum, p, q, 4, n, place, falloff, unit);
}

static inline __attribute__((always_inline)) void take_nearer_of(float *restrict best, int32_t *restrict where,
                                                                 const float *const *p, const float *const *q,
                                                                 const int32_t *own, const int32_t *other, int channels,
                                                                 int64_t n, float place, int32_t earlier, int32_t step)
{
  const float *const p_[CARD_MAX_CHANNELS] = {p[0], p[1], p[2], p[3]};
  const float *const q_[CARD_MAX_CHANNELS] = {q[0], q[1], q[2], q[3]};
  for (int64_t i = 0; i < n; i++) {
    const float d = apart(p_, q_, channels, i) + place;
    const float nearest = best[i];
    const bool better = (other[i] + earlier > own[i]) & (d < nearest);
    best[i] = better ? d : nearest;
    where[i] = better ? step : where[i];
  }
}

/* Where the shifted row's pixel is denser and nearer than what was found so far, take it. `earlier` is 1 where it comes
 * first in order. */
SIMD_CLONES static void take_nearer(float *restrict best, int32_t *restrict where, const float *const *p,
                                    const float *const *q, const int32_t *own, const int32_t *other, int channels,
                                    int64_t n, float place, int32_t earlier, int32_t step)
{
  if (channels == 1)
    take_nearer_of(best, where, p, q, own, other, 1, n, place, earlier, step);
  else if (channels == 2)
    take_nearer_of(best, where, p, q, own, other, 2, n, place, earlier, step);
  else if (channels == 3)
    take_nearer_of(best, where, p, q, own, other, 3, n, place, earlier, step);
  else
    take_nearer_of(best, where, p, q, own, other, 4, n, place, earlier, step);
}

static void rows_at(const struct shift *s, int64_t at, const float **rows)
{
  for (int c = 0; c < CARD_MAX_CHANNELS; c++)
    rows[c] = s->plane[c < s->channels ? c : 0] + at;
}

static void measure_density(void *context, int64_t begin, int64_t end)
{
  const struct shift *s = context;
  const float *p[CARD_MAX_CHANNELS], *q[CARD_MAX_CHANNELS];
  for (int64_t y = begin; y < end; y++) {
    int32_t *sum = s->density + y * s->stride + s->radius;
    memset(sum, 0, (size_t)s->run * sizeof *sum);
    rows_at(s, y * s->stride + s->radius, p);
    for (int64_t v = y < s->radius ? 0 : y - s->radius; v <= y + s->radius && v < s->height; v++)
      for (int dx = -s->radius; dx <= s->radius; dx++) {
        const float place = (float)((y - v) * (y - v) + (int64_t)dx * dx);
        rows_at(s, v * s->stride + s->radius + dx, q);
        add_weights(sum, p, q, s->channels, s->run, place, s->falloff, s->unit);
      }
    for (int64_t x = s->width; x < s->run; x++)
      sum[x] = -1;
  }
}

struct search {
  const struct shift *shift;
  float *best;    /* [height, run] */
  int32_t *where; /* [height, run]: step from a pixel to its parent */
};

static void find_parents(void *context, int64_t begin, int64_t end)
{
  const struct search *search = context;
  const struct shift *s = search->shift;
  const float *p[CARD_MAX_CHANNELS], *q[CARD_MAX_CHANNELS];
  for (int64_t y = begin; y < end; y++) {
    const int64_t row = y * s->stride + s->radius;
    float *best = search->best + y * s->run;
    int32_t *where = search->where + y * s->run;
    for (int64_t x = 0; x < s->run; x++) {
      best[x] = FLT_MAX;
      where[x] = 0;
    }
    rows_at(s, row, p);
    for (int64_t v = y < s->radius ? 0 : y - s->radius; v <= y + s->radius && v < s->height; v++)
      for (int dx = -s->radius; dx <= s->radius; dx++) {
        const int64_t other = v * s->stride + s->radius + dx;
        const float place = (float)((y - v) * (y - v) + (int64_t)dx * dx);
        rows_at(s, other, q);
        take_nearer(best, where, p, q, s->density + row, s->density + other, s->channels, s->run, place,
                    v < y || (v == y && dx < 0), (int32_t)((v - y) * s->width + dx));
      }
    for (int64_t x = 0; x < s->width; x++)
      s->parent[y * s->width + x] = (int32_t)(y * s->width + x) + (sqrt((double)best[x]) > s->max_dist ? 0 : where[x]);
  }
}

/* Each pixel's parent becomes the root of its tree. */
static void find_roots(int32_t *parent, int64_t pixels)
{
  for (int64_t i = 0; i < pixels; i++) {
    int32_t root = (int32_t)i;
    while (parent[root] != root)
      root = parent[root];
    for (int32_t at = (int32_t)i; at != root;) {
      const int32_t next = parent[at];
      parent[at] = root;
      at = next;
    }
  }
}

/* Colours times ratio, with margins. */
static void pad_plane(const struct shift *s, const float *from, float ratio, float *to)
{
  for (int y = 0; y < s->height; y++, to += s->stride) {
    for (int64_t x = 0; x < s->stride; x++)
      to[x] = FAR;
    for (int x = 0; x < s->width; x++)
      to[s->radius + x] = from[(int64_t)y * s->width + x] * ratio;
  }
}

/* The greatest power of two for which no density reaches 2^30. */
static float unit_of(double kernel, int radius)
{
  double line = exp(-0.5 * radius * radius / (kernel * kernel));
  for (int k = 1 - radius; k <= radius; k++)
    line += exp(-0.5 * k * k / (kernel * kernel));
  return (float)exp2(floor(29 - log2(line * line)));
}

static bool cut(const struct segment_scene *scene, const struct segment_colours *colours, const void *options,
                int32_t *labels, struct error *err)
{
  const struct options *o = options;
  const int side = colours->height < colours->width ? colours->height : colours->width;
  double kernel = o->kernel;
  (void)scene;
  if (isnan(kernel)) {
    kernel = floor(4.0 * side / 224 + 0.5);
    kernel = kernel < 1 ? 1 : kernel > MAX_KERNEL ? MAX_KERNEL : kernel;
  }
  struct shift s = {
      .height = colours->height,
      .width = colours->width,
      .channels = colours->channels,
      .radius = (int)ceil(3 * kernel),
      .falloff = (float)(1.4426950408889634 / (2 * kernel * kernel)),
      .parent = labels,
      .max_dist = o->max_dist,
  };
  s.unit = unit_of(kernel, s.radius);
  s.run = (s.width + LANES - 1) / LANES * LANES;
  s.stride = s.run + 2 * s.radius;
  const size_t padded = (size_t)s.height * (size_t)s.stride, runs = (size_t)s.height * (size_t)s.run;
  float *planes = mem_alloc(padded * (size_t)s.channels * sizeof *planes);
  float *best = mem_alloc(runs * sizeof *best);
  int32_t *where = mem_alloc(runs * sizeof *where);
  s.density = mem_alloc(padded * sizeof *s.density);
  const bool ok = planes && best && where && s.density;
  if (ok) {
    for (int c = 0; c < s.channels; c++) {
      pad_plane(&s, colours->plane[c], (float)o->ratio, planes + (size_t)c * padded);
      s.plane[c] = planes + (size_t)c * padded;
    }
    memset(s.density, -1, padded * sizeof *s.density);
    threads_for(s.height, 8, measure_density, &s);
    struct search search = {&s, best, where};
    threads_for(s.height, 8, find_parents, &search);
    find_roots(labels, (int64_t)s.height * s.width);
  }
  mem_free(planes);
  mem_free(best);
  mem_free(where);
  mem_free(s.density);
  return ok ? true : error_memory(err, "quick shift");
}

const struct segment_kind segment_quickshift = {
    .name = "quickshift",
    .summary = "trees of pixels that climb to the densest colour nearby",
    .params = params,
    .options_size = sizeof(struct options),
    .cut = cut,
};
