/* SPDX-License-Identifier: Apache-2.0 */
/* Deletion and insertion on black boxes whose curves follow from arithmetic. */
#include "measure.h"

enum { H = 10, W = 13, N = H * W };

static float weights[N], map[N];
static struct linear lin = {weights, N, 1};

static void open_linear(struct bench *b)
{
  bench_open(b, H, W, 1, 1, predict_linear, &lin);
  for (int i = 0; i < N; i++) {
    weights[i] = (float)rng_normal(3, RNG_NOISE, 0, (uint64_t)i);
    map[i] = weights[i] * b->input.x[i];
  }
}

/* Contributions 4, 3, 2, 1 in two equal steps: f falls 10, 3, 0; the trapezoids are 6.5 and 1.5 wide 1/2. */
static void test_hand(void **state)
{
  static const float w[4] = {1, 4, 2, 3}, ones[4] = {1, 1, 1, 1};
  struct linear four = {w, 4, 1};
  struct bench b;
  (void)state;
  bench_open(&b, 2, 2, 1, 1, predict_linear, &four);
  memcpy(b.input.x, ones, sizeof ones);
  memcpy(b.input.u, ones, sizeof ones);
  struct measurement m = bench_run(&b, "deletion", "steps=2 fill=0", w);
  assert_near(value_in(&m, "auc"), (6.5 + 1.5) / 2, 1e-12);
  assert_near(value_in(&m, "auc_relative"), 0.4, 1e-12);
  assert_near(point_in(&m, "score", 1), 3, 1e-12);
  assert_int_equal(detail_in(&m, "evaluations"), 1 + 3);
  measurement_free(&m);
  m = bench_run(&b, "insertion", "steps=2 fill=0", w);
  assert_near(value_in(&m, "auc"), (3.5 + 8.5) / 2, 1e-12);
  measurement_free(&m);
  /* three steps of four pixels: 1, 1 and 2 pixels, with the widths they have */
  m = bench_run(&b, "deletion", "steps=3 fill=0", w);
  assert_near(value_in(&m, "auc"), (8.0 + 4.5 + 2 * 1.5) / 4, 1e-12);
  measurement_free(&m);
  m = bench_run(&b, "deletion", "steps=9 fill=0", w);
  assert_true(warned_in(&m, "few-pixels"));
  assert_int_equal(detail_in(&m, "steps"), 4);
  measurement_free(&m);
  bench_close(&b);
}

/* On a linear model what one removes the other adds: the areas add up to f(x) + f(b). */
static void test_sum(void **state)
{
  static const char *const fills[] = {"0", "white", "blur:2"};
  struct bench b;
  (void)state;
  open_linear(&b);
  for (int i = 0; i < 3; i++) {
    char arguments[64];
    (void)snprintf(arguments, sizeof arguments, "steps=17 fill=%s", fills[i]);
    struct measurement d = bench_run(&b, "deletion", arguments, map), n = bench_run(&b, "insertion", arguments, map);
    const double sum = point_in(&d, "score", 0) + point_in(&d, "score", 17);
    assert_near(value_in(&d, "auc") + value_in(&n, "auc"), sum, 1e-4);
    assert_near(point_in(&n, "score", 17), point_in(&d, "score", 0), 1e-6);
    assert_near(point_in(&n, "score", 0), point_in(&d, "score", 17), 1e-6);
    measurement_free(&d);
    measurement_free(&n);
  }
  bench_close(&b);
}

static void test_properties(void **state)
{
  static float monotone[N], worse[N];
  struct bench b;
  (void)state;
  open_linear(&b);
  for (int i = 0; i < N; i++) {
    monotone[i] = expf(map[i]) * 3 - 1;
    worse[i] = -map[i];
  }
  struct measurement m = bench_run(&b, "deletion", "steps=20 fill=0", map);
  struct measurement n = bench_run(&b, "deletion", "steps=20 fill=0", monotone);
  struct measurement w = bench_run(&b, "deletion", "steps=20 fill=0", worse);
  assert_true(json_equal(m.values, n.values) && json_equal(m.curves, n.curves));
  assert_true(value_in(&m, "auc") < value_in(&w, "auc"));
  measurement_free(&n);
  measurement_free(&w);
  measurement_free(&m);
  /* random fills: mean of draws with its spread; the same seed gives the same */
  m = bench_run(&b, "deletion", "steps=10 fill=uniform draws=6", map);
  n = bench_run(&b, "deletion", "steps=10 fill=uniform draws=6", map);
  assert_int_equal(detail_in(&m, "draws"), 6);
  assert_int_equal(detail_in(&m, "evaluations"), 1 + 6 * 11);
  assert_true(spread_in(&m, "auc") > 0);
  assert_true(json_equal(m.curves, n.curves));
  measurement_free(&n);
  b.explain.seed = 1;
  n = bench_run(&b, "deletion", "steps=10 fill=uniform draws=6", map);
  assert_false(json_equal(m.curves, n.curves));
  measurement_free(&n);
  measurement_free(&m);
  bench_refuses(&b, "deletion", "fill=inpaint", map, "fill-unavailable");
  bench_refuses(&b, "insertion", "steps=0", map, "steps: 0 is outside");
  bench_close(&b);
}

static void test_constant_model(void **state)
{
  int classes = 1;
  struct bench b;
  (void)state;
  bench_open(&b, H, W, 1, 1, predict_constant, &classes);
  struct measurement d = bench_run(&b, "deletion", "", map), n = bench_run(&b, "insertion", "", map);
  assert_true(value_in(&d, "auc") == 0.25 && value_in(&n, "auc") == 0.25);
  assert_true(value_in(&d, "auc_relative") == 1);
  assert_true(warned_in(&d, "weak-fill"));
  measurement_free(&d);
  measurement_free(&n);
  bench_close(&b);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_hand), cmocka_unit_test(test_sum), cmocka_unit_test(test_properties),
    cmocka_unit_test(test_constant_model),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
