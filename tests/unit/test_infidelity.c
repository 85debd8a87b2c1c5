/* SPDX-License-Identifier: Apache-2.0 */
/* Infidelity on a linear black box: the exact attribution has none, and its figures follow from the formula. */
#include "measure.h"

enum { H = 24, W = 32, N = H * W };

static float weights[N], map[N];
static struct linear lin = {weights, N, 1};

static void test_linear(void **state)
{
  static float scaled[N], zero[N];
  struct bench b;
  (void)state;
  bench_open(&b, H, W, 1, 1, predict_linear, &lin);
  for (int i = 0; i < N; i++) {
    weights[i] = (float)rng_normal(3, RNG_NOISE, 0, (uint64_t)i);
    map[i] = weights[i] * b.input.x[i]; /* hidden by 0: the exact fall of the score */
    scaled[i] = 3 * map[i];
  }
  struct measurement m = bench_run(&b, "infidelity", "fill=0 samples=300", map);
  assert_near(value_in(&m, "infidelity"), 0, 1e-8);
  assert_near(value_in(&m, "infidelity_scaled"), 0, 1e-8);
  assert_near(value_in(&m, "beta"), 1, 1e-5);
  assert_int_equal(detail_in(&m, "evaluations"), 301);
  measurement_free(&m);
  /* three times the map: 2 sum(mA) is left without scaling, nothing with */
  m = bench_run(&b, "infidelity", "fill=0 samples=300", scaled);
  struct measurement z = bench_run(&b, "infidelity", "fill=0 samples=300", zero);
  assert_near(value_in(&m, "beta"), 1 / 3.0, 1e-6);
  assert_near(value_in(&m, "infidelity_scaled"), 0, 1e-8);
  assert_near(value_in(&m, "infidelity") / value_in(&z, "infidelity"), 4, 1e-4); /* zero map: E[df^2] */
  assert_near(value_in(&z, "infidelity"), value_in(&z, "infidelity_scaled"), 0);
  assert_true(isnan(value_in(&z, "beta")));
  assert_true(value_in(&z, "infidelity") > 0.1 && spread_in(&z, "infidelity") > 0);
  measurement_free(&m);
  measurement_free(&z);
  /* a wrong map, against the formula with the same squares */
  m = bench_run(&b, "infidelity", "fill=mean samples=50", weights);
  z = bench_run(&b, "infidelity", "fill=mean samples=50", scaled);
  assert_true(value_in(&m, "infidelity_scaled") <= value_in(&m, "infidelity"));
  assert_true(value_in(&z, "infidelity_scaled") <= value_in(&z, "infidelity"));
  measurement_free(&m);
  measurement_free(&z);
  for (int i = 0; i < 2; i++) {
    m = bench_run(&b, "infidelity", i ? "fill=inpaint samples=20" : "fill=uniform samples=40", map);
    assert_true(value_in(&m, "infidelity_scaled") >= 0);
    measurement_free(&m);
  }
  bench_close(&b);
}

/* The same sums, square by square. */
static void test_formula(void **state)
{
  enum { SAMPLES = 40 };
  struct bench b;
  double a[SAMPLES], f[SAMPLES], ab = 0, aa = 0, plain = 0, best = 0;
  (void)state;
  bench_open(&b, H, W, 1, 1, predict_linear, &lin);
  b.explain.seed = 5;
  struct measurement m = bench_run(&b, "infidelity", "fill=0 samples=40", b.input.x);
  for (int i = 0; i < SAMPLES; i++) {
    const int side = 1 + (int)rng_below(5, RNG_MASK, (uint32_t)i, 0, 6); /* 24/16 .. 24/4 px */
    const int y0 = (int)rng_below(5, RNG_MASK, (uint32_t)i, 1, (uint32_t)(H - side + 1));
    const int x0 = (int)rng_below(5, RNG_MASK, (uint32_t)i, 2, (uint32_t)(W - side + 1));
    a[i] = f[i] = 0;
    for (int y = y0; y < y0 + side; y++)
      for (int x = x0; x < x0 + side; x++) {
        a[i] += (double)b.input.x[y * W + x];
        f[i] += (double)weights[y * W + x] * (double)b.input.x[y * W + x];
      }
    ab += a[i] * f[i];
    aa += a[i] * a[i];
  }
  for (int i = 0; i < SAMPLES; i++) {
    plain += (a[i] - f[i]) * (a[i] - f[i]) / SAMPLES;
    best += (ab / aa * a[i] - f[i]) * (ab / aa * a[i] - f[i]) / SAMPLES;
  }
  assert_near(value_in(&m, "infidelity"), plain, 1e-5 * plain);
  assert_near(value_in(&m, "infidelity_scaled"), best, 1e-5 * best);
  assert_near(value_in(&m, "beta"), ab / aa, 1e-5);
  measurement_free(&m);
  bench_close(&b);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_linear), cmocka_unit_test(test_formula)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
