/* SPDX-License-Identifier: Apache-2.0 */
/* Extremal perturbation: its mask, area term and pyramid against formulas and differences; areas and boxes it must
 * find. */
#include "base/rng.h"
#include "linear.h"
#include "methods/area_mask.h"

static void near(double value, double expected, double tolerance, const char *what)
{
  if (!(fabs(value - expected) <= tolerance))
    fail_msg("%s: %.10g, expected %.10g", what, value, expected);
}

/* ---- parts ----------------------------------------------------------------------------------------------------- */

enum { H = 31, W = 44, PIXELS = H * W, STEP = 4, RADIUS = 9 };

static void mask_open(struct area_mask *mask)
{
  struct error err = {0};
  assert_true(area_mask_open(mask, H, W, STEP, RADIUS, &err));
}

static float *random_cells(const struct area_mask *mask)
{
  float *cells = malloc((size_t)area_mask_cells(mask) * sizeof *cells);
  assert_non_null(cells);
  for (int64_t i = 0; i < area_mask_cells(mask); i++) {
    const double u = rng_uniform(4, RNG_MASK, 0, (uint64_t)i);
    cells[i] = u < 0.3 ? 0 : (float)u;
  }
  return cells;
}

/* The smooth maximum by its definition, in double. */
static double smooth_maximum(const struct area_mask *a, const float *cells, int y, int x)
{
  double sum = 0, total = 0;
  const int by = y / STEP, bx = x / STEP;
  for (int i = by - a->reach; i <= by + a->reach; i++)
    for (int j = bx - a->reach; j <= bx + a->reach; j++) {
      const double dy = (i + 0.5) * STEP - (y + 0.5), dx = (j + 0.5) * STEP - (x + 0.5);
      const double z = fmax(sqrt(dy * dy + dx * dx) / RADIUS - 0.5, 0);
      const double v = (double)cells[(i + a->reach) * a->columns + j + a->reach] * exp(-2 * z * z);
      sum += exp(20 * v);
      total += exp(20 * v) * v;
    }
  return total / sum;
}

static void masks_are_smooth_maxima(void **state)
{
  (void)state;
  struct area_mask a;
  struct error err = {0};
  static float map[PIXELS];
  mask_open(&a);
  float *cells = random_cells(&a);
  assert_true(area_mask_up(&a, cells, map, &err));
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x++)
      near((double)map[y * W + x], smooth_maximum(&a, cells, y, x), 1e-5, "mask");
  memset(cells, 0, (size_t)area_mask_cells(&a) * sizeof *cells);
  assert_true(area_mask_up(&a, cells, map, &err));
  for (int i = 0; i < PIXELS; i++)
    assert_true(map[i] == 0);
  free(cells);
  area_mask_close(&a);
}

/* EXT-R1 and the derivative: everything after the cells, by its formula in double and by differences of that. */
struct whole {
  struct area_mask mask;
  struct area_levels levels;
  float *level;
  double weight[PIXELS];
};

enum { COUNT = PIXELS / 5 };
#define PRICE 37.0

static int ascending(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double loss_of(const struct whole *w, const float *cells, bool invert)
{
  static double map[PIXELS];
  double score = 0, price = 0;
  for (int i = 0; i < PIXELS; i++) {
    map[i] = smooth_maximum(&w->mask, cells, i / W, i % W);
    const double at = (invert ? map[i] : 1 - map[i]) * (w->levels.levels - 1);
    const int low = at < w->levels.levels - 1 ? (int)at : w->levels.levels - 2;
    score += w->weight[i] * ((double)w->level[low * PIXELS + i] * (low + 1 - at) +
                             (double)w->level[(low + 1) * PIXELS + i] * (at - low));
  }
  qsort(map, PIXELS, sizeof *map, ascending);
  for (int i = 0; i < PIXELS; i++)
    price += pow(map[i] - (i >= PIXELS - COUNT), 2) / PIXELS;
  return (invert ? score : -score) + PRICE * price;
}

static void objective_and_its_derivative(void **state)
{
  (void)state;
  static struct whole w;
  static float map[PIXELS], image[PIXELS], gradient[PIXELS], signal[PIXELS];
  struct error err = {0};
  mask_open(&w.mask);
  w.level = malloc(sizeof(float) * 4 * PIXELS);
  assert_non_null(w.level);
  for (int i = 0; i < 4 * PIXELS; i++)
    w.level[i] = (float)rng_normal(5, RNG_NOISE, 0, (uint64_t)i);
  for (int i = 0; i < PIXELS; i++)
    gradient[i] = (float)(w.weight[i] = (double)(float)(rng_normal(5, RNG_WEIGHTS, 0, (uint64_t)i) / 20));
  w.levels = (struct area_levels){w.level, 4, 1, PIXELS};
  const int64_t n = area_mask_cells(&w.mask);
  double *slope = malloc((size_t)n * sizeof *slope);
  assert_non_null(slope);
  float *cells = random_cells(&w.mask);
  for (int invert = 0; invert < 2; invert++) {
    const double sign = invert ? 1 : -1;
    double loss = 0, largest = 0;
    memset(signal, 0, sizeof signal);
    assert_true(area_mask_up(&w.mask, cells, map, &err));
    area_read(&w.levels, map, invert, image);
    for (int i = 0; i < PIXELS; i++)
      loss += sign * w.weight[i] * (double)image[i];
    area_read_back(&w.levels, map, invert, gradient, sign, signal);
    loss += PRICE * area_price(map, PIXELS, COUNT, PRICE, signal);
    near(loss, loss_of(&w, cells, invert), 1e-5 * fabs(loss) + 1e-4, "objective");
    assert_true(area_mask_down(&w.mask, cells, map, signal, slope, &err));
    for (int64_t i = 0; i < n; i++)
      largest = fmax(largest, fabs(slope[i]));
    for (int64_t i = 0; i < n; i += 1 + n / 40) { /* border and invisible cells are among them */
      const float middle = cells[i], h = 1.0F / 4096;
      cells[i] = middle + h;
      double difference = loss_of(&w, cells, invert);
      cells[i] = middle - h;
      difference -= loss_of(&w, cells, invert);
      cells[i] = middle;
      near(slope[i], difference / (2 * (double)h), 0.02 * largest, "derivative"); /* the pyramid has kinks */
    }
  }
  free(cells);
  free(slope);
  free(w.level);
  area_mask_close(&w.mask);
}

static void areas_with_ties(void **state)
{
  (void)state;
  float map[8] = {0.5F, 1, 0.5F, 0, 0.5F, 0.25F, 0.5F, 0}, signal[8] = {0};
  /* top three: 1 and the first two of the halves */
  near(area_price(map, 8, 3, 8, signal), (0 + 2 * 0.25 + 2 * 0.25 + 0.0625) / 8, 1e-7, "price");
  static const double expected[8] = {-1, 0, -1, 0, 1, 0.5, 1, 0};
  for (int i = 0; i < 8; i++)
    near((double)signal[i], expected[i], 1e-6, "signal");
  near(area_price(map, 8, 0, 0, signal), (1 + 4 * 0.25 + 0.0625) / 8, 1e-7, "no area");
}

/* ---- the method -------------------------------------------------------------------------------------------------- */

static const json_t *area_at(const struct bench *b, size_t i)
{
  const json_t *areas = json_object_get(json_object_get(b->out.details, "extremal"), "areas");
  assert_non_null(json_array_get(areas, i));
  return json_array_get(areas, i);
}

static double figure(const json_t *object, const char *key)
{
  assert_true(json_is_number(json_object_get(object, key)));
  return json_number_value(json_object_get(object, key));
}

/* EXT-P1, P2: boxes of 64 x 64 px at 224, in the middle and in a corner. */
static void finds_boxes(void **state)
{
  (void)state;
  enum { BOX = 24 };
  static const struct box boxes[2] = {{30, 25, 30 + BOX, 25 + BOX}, {SIDE - BOX, SIDE - BOX, SIDE, SIDE}};
  static struct linear l;
  struct bench b;
  char params[128];
  linear_bench(&b, &l, SIDE, SIDE);
  b.explain.evaluate.session.threads = 1; /* little work a step: a team would mostly wait */
  for (int k = 0; k < 2; k++) {
    const struct box box = boxes[k];
    const double area = (double)BOX * BOX / MOST_PIXELS;
    weigh_box(&l, box);
    (void)snprintf(params, sizeof params, "fill=zero areas=%.4f", area);
    bench_run(&b, "extremal", params);
    near(figure(area_at(&b, 0), "area_at_half"), area, 0.02, "area");
    near(figure(area_at(&b, 0), "reached"), area, 0.03, "mean of the mask"); /* its soft edge is outside */
    assert_false(bench_warned(&b, "not-converged"));
    const float *map = bench_array(&b, "map");
    int both = 0, either = 0;
    for (int i = 0; i < MOST_PIXELS; i++) {
      const int x = i % SIDE, y = i / SIDE;
      const bool in = x >= box.x0 && x < box.x1 && y >= box.y0 && y < box.y1, top = map[i] >= 0.5F;
      both += in && top;
      either += in || top;
    }
    if (!((double)both / either >= 0.75))
      fail_msg("box %d: IoU %.3f", k, (double)both / either);
  }
  bench_close(&b);
}

static void several_areas(void **state)
{
  (void)state;
  static struct linear l;
  struct bench b;
  linear_bench(&b, &l, SIDE, SIDE);
  weigh_box(&l, (struct box){30, 30, 50, 50});
  bench_run(&b, "extremal", "fill=zero iterations=40");
  for (size_t i = 1; i < 4; i++) /* more area holds more */
    assert_true(figure(area_at(&b, i), "score_kept") >= figure(area_at(&b, i - 1), "score_kept") - 1e-3);
  const float *masks = bench_array(&b, "masks"), *map = bench_array(&b, "map");
  for (int i = 0; i < MOST_PIXELS; i++)
    near((double)map[i],
         ((double)masks[i] + (double)masks[MOST_PIXELS + i] + (double)masks[2 * MOST_PIXELS + i] +
          (double)masks[3 * MOST_PIXELS + i]) /
             4,
         1e-6, "mean map");
  float *before = bench_copy(&b, "masks");
  b.explain.evaluate.session.threads = 1;
  bench_run(&b, "extremal", "fill=zero iterations=40");
  bench_same(&b, "masks", before);
  free(before);
  bench_run(&b, "extremal", "fill=zero game=dual iterations=3 areas=0.1");
  bench_run(&b, "extremal", "game=delete iterations=3 areas=0.1"); /* the pyramid of blurs */
  bench_refuse(&b, "extremal", "areas=0.1,2", "outside 0.005..0.9");
  bench_refuse(&b, "extremal", "areas=0.1,", "outside");
  l.sweeps = 0;
  l.sick_after = 9;
  bench_run(&b, "extremal", "fill=zero areas=0.1");
  assert_true(bench_warned(&b, "non-finite"));
  b.explain.predictor = &b.model.predictor;
  bench_refuse(&b, "extremal", "fill=zero", "no-gradient");
  bench_close(&b);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(masks_are_smooth_maxima), cmocka_unit_test(objective_and_its_derivative),
      cmocka_unit_test(areas_with_ties),         cmocka_unit_test(finds_boxes),
      cmocka_unit_test(several_areas),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
