/* SPDX-License-Identifier: Apache-2.0 */
/* The pointing game on masks small enough to count by hand. */
#include "measure.h"

enum { H = 20, W = 30, N = H * W };

static float map[N];
static unsigned char truth[N];

static struct bench *open_bench(struct bench *b)
{
  static int classes = 1;
  bench_open(b, H, W, 1, 1, predict_constant, &classes);
  memset(truth, 0, sizeof truth);
  memset(map, 0, sizeof map);
  truth[10 * W + 10] = 1;
  b->truth = truth;
  return b;
}

static double hit(struct bench *b, int y, int x, const char *arguments)
{
  memset(map, 0, sizeof map);
  map[y * W + x] = 1;
  struct measurement m = bench_run(b, "pointing", arguments, map);
  const double value = value_in(&m, "hit");
  measurement_free(&m);
  return value;
}

/* The distance must be below the radius: 3-4-5 triangles are out at 5 and in at 6. */
static void test_distance(void **state)
{
  struct bench b;
  (void)state;
  open_bench(&b);
  assert_true(hit(&b, 10, 10, "radius=1") == 1);
  assert_true(hit(&b, 10, 11, "radius=1") == 0);
  assert_true(hit(&b, 10, 11, "radius=2") == 1);
  assert_true(hit(&b, 13, 14, "radius=5") == 0);
  assert_true(hit(&b, 7, 6, "radius=6") == 1);
  assert_true(hit(&b, 6, 7, "radius=5") == 0);
  assert_true(hit(&b, 10, 15, "radius=8x5") == 0);
  assert_true(hit(&b, 17, 10, "radius=8x5") == 1);
  bench_close(&b);
}

/* Chance by counting; a uniform map scores exactly that; a radius beyond the diagonal scores 1. */
static void test_chance(void **state)
{
  struct bench b;
  double count = 0;
  (void)state;
  open_bench(&b);
  truth[2 * W + 28] = 1;
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x++) {
      const int a = (y - 10) * (y - 10) + (x - 10) * (x - 10), c = (y - 2) * (y - 2) + (x - 28) * (x - 28);
      count += a < 49 || c < 49;
    }
  struct measurement m = bench_run(&b, "pointing", "radius=7", map);
  assert_near(value_in(&m, "chance"), count / N, 1e-12);
  assert_near(value_in(&m, "hit"), count / N, 1e-12);
  measurement_free(&m);
  m = bench_run(&b, "pointing", "radius=60", map);
  assert_true(value_in(&m, "hit") == 1 && value_in(&m, "chance") == 1);
  measurement_free(&m);
  /* two tied maxima, one of them at the truth */
  map[10 * W + 10] = map[19 * W] = 2;
  m = bench_run(&b, "pointing", "radius=3", map);
  assert_true(value_in(&m, "hit") == 0.5);
  measurement_free(&m);
  memset(truth, 0, sizeof truth);
  m = bench_run(&b, "pointing", "", map);
  assert_true(isnan(value_in(&m, "hit")) && isnan(value_in(&m, "chance")));
  assert_true(warned_in(&m, "empty-truth"));
  measurement_free(&m);
  bench_close(&b);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_distance), cmocka_unit_test(test_chance)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
