/* SPDX-License-Identifier: Apache-2.0 */
#include "phantom/scene.h"

#include "base/mem.h"
#include "base/threads.h"

#define LEAST_INDEX 12.0

static void fill_rows(void *context, int64_t begin, int64_t end)
{
  struct scene *s = context;
  const struct chest *c = &s->chest;
  for (int64_t row = begin; row < end; row++)
    for (int64_t column = 0; column < s->n; column++) {
      int64_t i = row * s->n + column;
      double x, y;
      struct passage p;
      pose_to_patient(&c->pose, (double)column, (double)row, &x, &y);
      chest_pass(c, x, y, &p);
      double open = passage_lung(&p, 0);
      double lung = open > 0 ? passage_lung(&p, heart_thickness(&s->heart, x, y)) : 0;
      double dense = 0;
      if (open > 0) {
        double haze = 1;
        for (int k = 0; k < 3; k++)
          haze += c->haze_weight[k] * 2 * texture_at(&c->haze[k], x, y);
        dense = c->lung_density * haze;
      }
      double gas = 0;
      if (c->stomach_a > 0) {
        double u = (x - c->stomach_x) / c->stomach_a, v = (y - c->stomach_y) / c->stomach_b;
        double q = u * u + v * v;
        if (q < 1 && y < c->stomach_level)
          gas = 70 * sqrt(1 - q);
      }
      /* The bones and tubes are in base already. */
      float tube = s->vessel[i] * (float)exact_clamp(lung / 40, 0, 1);
      s->vessel[i] = tube;
      s->lung[i] = (float)lung;
      s->open[i] = (float)open;
      s->dense[i] = (float)dense;
      double body = p.tissue > gas ? p.tissue - gas : 0;
      double bone = (double)s->base[i] * (p.tissue < 30 ? p.tissue / 30 : 1);
      double sum = CHEST_TISSUE * (body - lung * (1 - dense)) + p.bone + bone + (double)tube;
      s->base[i] = (float)(sum > 0 ? sum : 0);
      s->region[i] = (unsigned char)((p.field ? SCENE_FIELD : 0) | (p.thorax ? SCENE_THORAX : 0) |
                                     (p.field && lung > 60 ? SCENE_AIRY : 0));
    }
}

bool scene_draw(struct scene *s, uint64_t seed, int size, struct error *err)
{
  size_t count = (size_t)size * (size_t)size; /* the size was checked against PHANTOM_MAX_SIZE */
  s->seed = seed;
  s->n = size;
  chest_draw(&s->chest, seed, size);
  s->heart = chest_heart(&s->chest, s->chest.heart.ratio);
  float **field[] = {&s->base, &s->vessel, &s->lung, &s->open, &s->dense, &s->scatter};
  for (size_t i = 0; i < sizeof field / sizeof *field; i++)
    if (!(*field[i] = mem_zero(count, sizeof(float))))
      return error_memory(err, "the phantom");
  if (!(s->region = mem_zero(count, 1)))
    return error_memory(err, "the phantom");

  struct stroke stroke = {0};
  skeleton_draw(&s->chest, seed, &stroke);
  airways_draw(&s->chest, &stroke);
  bool ok = stroke_draw(&stroke, s->base, size, &s->chest.pose, err);
  stroke.count = 0;
  vessels_draw(&s->chest, seed, &stroke);
  ok = ok && stroke_draw(&stroke, s->vessel, size, &s->chest.pose, err);
  stroke_free(&stroke);
  if (!ok)
    return false;
  threads_for(size, 16, fill_rows, s);
  return exposure_scatter(s, err);
}

void scene_free(struct scene *s)
{
  mem_free(s->base);
  mem_free(s->vessel);
  mem_free(s->lung);
  mem_free(s->open);
  mem_free(s->dense);
  mem_free(s->scatter);
  mem_free(s->region);
}

double scene_room(const struct scene *s, size_t i)
{
  double lung = s->lung[i], open = s->open[i];
  return lung > 0 ? exact_step(5, 19, lung) * exact_step(0.5, 0.7, lung / open) : 0;
}

struct lesion *lesion_new(int n, struct error *err)
{
  size_t count = (size_t)n * (size_t)n;
  struct lesion *l = mem_zero(1, sizeof *l);
  if (l) {
    l->delta = mem_zero(count, sizeof(float));
    l->veil = mem_zero(count, sizeof(float));
    l->mask = mem_zero(count, 1);
  }
  if (!l || !l->delta || !l->veil || !l->mask) {
    lesion_free(l);
    error_memory(err, "a finding of the phantom");
    return NULL;
  }
  return l;
}

void lesion_free(struct lesion *l)
{
  if (!l)
    return;
  mem_free(l->delta);
  mem_free(l->veil);
  mem_free(l->mask);
  mem_free(l->excess);
  mem_free(l);
}

void lesion_note(struct lesion *l, const char *name, const char *unit, double value)
{
  if (l->truth_count < PHANTOM_MAX_TRUTH)
    l->truth[l->truth_count++] = (struct phantom_truth){name, unit, value};
}

bool lesion_trim(const struct scene *s, float *weight, struct lesion *l, struct error *err)
{
  int n = s->n, reach = (int)(7 / s->chest.pose.mm);
  unsigned char *wide = mem_zero((size_t)n * (size_t)n, 1); /* the mask, widened along its rows */
  if (!wide)
    return error_memory(err, "a finding of the phantom");
  for (int y = 0; y < n; y++) {
    int last = -n; /* the last mask pixel seen from this side */
    for (int x = 0; x < n; x++) {
      last = l->mask[(int64_t)y * n + x] ? x : last;
      wide[(int64_t)y * n + x] = x - last <= reach;
    }
    last = 2 * n;
    for (int x = n - 1; x >= 0; x--) {
      last = l->mask[(int64_t)y * n + x] ? x : last;
      wide[(int64_t)y * n + x] |= last - x <= reach;
    }
  }
  for (int x = 0; x < n; x++) {
    int above = -n, below = -1; /* rows of the nearest widened pixels */
    for (int y = 0; y < n; y++) {
      above = wide[(int64_t)y * n + x] ? y : above;
      if (below < y)
        for (below = y; below < n && !wide[(int64_t)below * n + x]; below++)
          ;
      if (y - above > reach && (below == n || below - y > reach))
        weight[(int64_t)y * n + x] = l->veil[(int64_t)y * n + x] = 0;
    }
  }
  mem_free(wide);
  return true;
}

double lesion_contrast(const struct scene *s, int surroundings, const float *weight, double index, double lo, double hi,
                       struct lesion *l)
{
  /* A sample about every 2 mm will do, and the same at every size. */
  int n = s->n, step = n / 200 > 1 ? n / 200 : 1;
  double area = 0, direct = 0;
  int left = n, right = -1, top = n, bottom = -1;
  for (int y = 0; y < n; y += step)
    for (int x = 0; x < n; x += step) {
      int64_t i = (int64_t)y * n + x;
      if (weight[i] <= 0.5f)
        continue;
      double primary = exact_exp(-(double)s->base[i]);
      direct += primary / (primary + s->exposure.scatter * (double)s->scatter[i]);
      area += step * step;
      left = x < left ? x : left;
      right = x > right ? x : right;
      top = y < top ? y : top;
      bottom = y > bottom ? y : bottom;
    }
  if (area <= 0) {
    lesion_note(l, "index", "", 0);
    return lo;
  }
  direct /= area / (step * step);
  /* Surroundings: what lies in the region, in the box about the finding, 10 mm wider. */
  int more = (int)(10 / s->chest.pose.mm);
  double sum = 0, square = 0, seen = 0;
  for (int y = top - more; y <= bottom + more; y += step)
    for (int x = left - more; x <= right + more; x += step) {
      if (x < 0 || y < 0 || x >= n || y >= n || !(s->region[(int64_t)y * n + x] & surroundings))
        continue;
      int64_t i = (int64_t)y * n + x;
      double v = -exact_log(exact_exp(-(double)s->base[i]) + s->exposure.scatter * (double)s->scatter[i]);
      sum += v;
      square += v * v;
      seen += 1;
    }
  double mean = seen > 0 ? sum / seen : 0, variance = seen > 0 ? square / seen - mean * mean : 0;
  double sd = variance > 1e-6 ? sqrt(variance) : 1e-3;
  double root = sqrt(area) * 224 / n;
  double unit = sd / root / direct, added = exact_clamp(fabs(index) * unit, lo, hi);
  /* Denser than is usual rather than hidden. */
  if (added < LEAST_INDEX * unit)
    added = LEAST_INDEX * unit < 1.3 * hi ? LEAST_INDEX * unit : 1.3 * hi;
  lesion_note(l, "index", "", added * direct * root / sd);
  return added;
}
