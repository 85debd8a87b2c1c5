/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics that run the method again: sensitivity to noise, stability over seeds, on methods made for it. */
#include "measure.h"

enum { H = 16, W = 20, N = H * W };

static bool give(const struct explain *explain, struct explanation *out, const float *map, const float *error,
                 struct error *err)
{
  const int64_t dims[2] = {H, W};
  float *to = explanation_floats(out, "map", 2, dims, err);
  assert_string_equal(explain->target, "0");
  memcpy(to, map, N * sizeof *to);
  if (error)
    memcpy(explanation_floats(out, "stderr", 2, dims, err), error, N * sizeof *to);
  out->evaluations = 3;
  return true;
}

/* The picture itself. */
static bool run_picture(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  (void)options;
  return give(explain, out, explain->input->x, NULL, err);
}

static bool run_still(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  static float map[N];
  (void)options;
  for (int i = 0; i < N; i++)
    map[i] = (float)(i % 7);
  return give(explain, out, map, NULL, err);
}

/* A fixed map and noise of SD 1 that follows the seed; reports what said_error says. */
static float said_error = 1;

static bool run_noisy(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  static float map[N], error[N];
  (void)options;
  for (int i = 0; i < N; i++) {
    map[i] = (float)(i % 7) * 2 + (float)rng_normal(explain->seed, RNG_START, 0, (uint64_t)i);
    error[i] = said_error;
  }
  return give(explain, out, map, error, err);
}

static const struct param no_params[] = {PARAM_END};
static const struct method picture = {.name = "picture", .params = no_params, .options_size = 1, .run = run_picture};
static const struct method still = {.name = "still", .params = no_params, .options_size = 1, .run = run_still};
static const struct method noisy = {.name = "noisy", .params = no_params, .options_size = 1, .run = run_noisy};

static void open_bench(struct bench *b, const struct method *method)
{
  static int classes = 1;
  bench_open(b, H, W, 1, 1, predict_constant, &classes);
  b->method = method;
  b->method_options = "";
}

/* |d| / |x| by hand, and monotone in the number of samples. */
static void test_sensitivity(void **state)
{
  struct bench b;
  double most = 0, size = 0;
  (void)state;
  open_bench(&b, &picture);
  for (int i = 0; i < N; i++)
    size += (double)b.input.x[i] * (double)b.input.x[i];
  double before = 0;
  for (int samples = 1; samples <= 8; samples++) {
    char arguments[32];
    double square = 0;
    for (int i = 0; i < N; i++) {
      const double u = rng_uniform(0, RNG_NOISE, (uint32_t)(samples - 1), (uint64_t)i);
      const double d = (double)(float)((double)b.input.u[i] + 0.02 * (2 * u - 1)) - (double)b.input.x[i];
      square += d * d;
    }
    most = fmax(most, sqrt(square / size));
    (void)snprintf(arguments, sizeof arguments, "samples=%d", samples);
    struct measurement m = bench_run(&b, "sensitivity", arguments, b.input.x);
    assert_near(value_in(&m, "sensitivity"), most, 1e-9);
    assert_true(value_in(&m, "sensitivity") >= before);
    assert_true(value_in(&m, "mean_change") <= value_in(&m, "sensitivity"));
    before = value_in(&m, "sensitivity");
    measurement_free(&m);
  }
  assert_true(before > 0.01 && before < 0.04);
  bench_close(&b);
}

static void test_insensitive(void **state)
{
  static float map[N], zero[N];
  struct bench b;
  (void)state;
  open_bench(&b, &still);
  for (int i = 0; i < N; i++)
    map[i] = (float)(i % 7);
  struct measurement m = bench_run(&b, "sensitivity", "samples=3", map);
  assert_true(value_in(&m, "sensitivity") == 0);
  measurement_free(&m);
  m = bench_run(&b, "sensitivity", "samples=3", zero);
  assert_true(isnan(value_in(&m, "sensitivity")));
  assert_true(warned_in(&m, "flat-map"));
  measurement_free(&m);
  bench_refuses(&b, "sensitivity", "radius=2", map, "radius: 2 is outside");
  bench_close(&b);
}

static void test_stability(void **state)
{
  static float map[N];
  struct bench b;
  (void)state;
  open_bench(&b, &still);
  struct measurement m = bench_run(&b, "stability", "", map);
  assert_near(value_in(&m, "spearman"), 1, 1e-12);
  assert_true(value_in(&m, "jaccard") == 1);
  assert_true(isnan(value_in(&m, "error_ratio")));
  measurement_free(&m);
  b.method = &noisy;
  for (int i = 0; i < 2; i++) {
    said_error = i ? 2 : 1; /* the truth is 1 */
    m = bench_run(&b, "stability", "seeds=8", map);
    assert_near(value_in(&m, "error_ratio") * (i ? 2 : 1), 1, 0.06);
    assert_true(value_in(&m, "spearman") > 0.85 && value_in(&m, "spearman") < 0.97);
    assert_true(value_in(&m, "jaccard") > 0 && value_in(&m, "jaccard") < 1);
    measurement_free(&m);
  }
  bench_close(&b);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_sensitivity), cmocka_unit_test(test_insensitive), cmocka_unit_test(test_stability),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
