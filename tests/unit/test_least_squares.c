/* SPDX-License-Identifier: Apache-2.0 */
/* Fits, their errors, masks and stopping rules, each against its definition or scikit-learn, lime. */
#include "base/mem.h"
#include "base/npy.h"
#include "base/rng.h"
#include "base/threads.h"
#include "fault.h"
#include "golden.h"
#include "methods/least_squares.h"
#include "methods/masks.h"
#include "methods/stopping.h"
#include "methods/surrogate.h"
#include "unit.h"

#include <math.h>
#include <string.h>

static void assert_near(double value, double expected, double tolerance, const char *what)
{
  if (!(fabs(value - expected) <= tolerance))
    fail_msg("%s: %.12g, expected %.12g", what, value, expected);
}

static struct npy read_golden(const char *name)
{
  struct npy array;
  struct error err = {0};
  if (!npy_read(golden_path("sampling", name), (size_t)1 << 24, &array, &err))
    fail_msg("%s", err.message);
  return array;
}

/* The lime package's masks and scores, with its weights. */
static void open_golden(struct design *d)
{
  struct npy masks = read_golden("lime_masks.npy"), scores = read_golden("lime_scores.npy");
  struct error err = {0};
  assert_true(design_open(d, masks.dim[0], masks.dim[1], scores.dim[1], &err));
  d->rows = masks.dim[0];
  for (int64_t i = 0; i < d->rows; i++) {
    for (int64_t s = 0; s < d->features; s++)
      if (((const int32_t *)masks.data)[i * d->features + s])
        mask_set(design_mask(d, i), s);
    memcpy(design_scores(d, i), (const float *)scores.data + i * d->targets, (size_t)d->targets * sizeof(float));
    d->weight[i] = surrogate_weight(mask_count(design_mask(d, i), d->features), d->features, 0.25);
  }
  npy_free(&masks);
  npy_free(&scores);
}

static void compare_list(const json_t *list, const double *values, double tolerance, const char *what)
{
  for (size_t i = 0; i < json_array_size(list); i++)
    assert_near(values[i], json_number_value(json_array_get(list, i)), tolerance, what);
}

static double number(const json_t *object, const char *key)
{
  return json_number_value(json_object_get(object, key));
}

/* LIM-R1 */
static void equals_ridge_of_scikit_learn(void **state)
{
  (void)state;
  json_t *golden = golden_json("sampling", "lime.json");
  struct design d;
  struct surrogate fit;
  struct error err = {0};
  open_golden(&d);
  assert_true(surrogate_open(&fit, d.features, d.targets, &err));
  size_t i;
  json_t *ridge;
  json_array_foreach (json_object_get(golden, "ridge"), i, ridge) {
    const struct surrogate_options options = {.alpha = number(ridge, "alpha"), .most = d.features};
    assert_true(surrogate_fit(&fit, &d, &options, true, &err));
    compare_list(json_object_get(ridge, "coefficients"), fit.beta, 1e-9, "coefficient");
    assert_near(fit.intercept[0], number(ridge, "intercept"), 1e-9, "intercept");
    assert_near(fit.r2[0], number(ridge, "r2"), 1e-9, "R2");
  }
  surrogate_close(&fit);
  design_close(&d);
  json_decref(golden);
}

/* Every way of selection, coefficients, intercept and R2 as the lime package gives them. */
static void equals_the_lime_package(void **state)
{
  (void)state;
  static const char *const names[] = {"none", "auto", "forward_selection", "highest_weights", "lasso_path"};
  json_t *golden = golden_json("sampling", "lime.json");
  struct design d;
  struct surrogate fit;
  struct error err = {0};
  open_golden(&d);
  assert_true(surrogate_open(&fit, d.features, d.targets, &err));
  size_t i;
  json_t *one;
  json_array_foreach (json_object_get(golden, "cases"), i, one) {
    const char *select = json_string_value(json_object_get(one, "select"));
    struct surrogate_options options = {.alpha = 1, .most = (int64_t)number(one, "most")};
    while (strcmp(names[options.select], select) != 0)
      options.select++;
    const int64_t target = (int64_t)number(one, "target");
    assert_true(surrogate_fit(&fit, &d, &options, true, &err));
    compare_list(json_object_get(one, "coefficients"), fit.beta + target * d.features, 1e-6, select);
    assert_near(fit.intercept[target], number(one, "intercept"), 1e-6, "intercept");
    assert_near(fit.r2[target], number(one, "r2"), 1e-6, "R2");
    assert_near(fit.intercept[target] + mask_sum(design_mask(&d, 0), d.words, fit.beta + target * d.features),
                number(one, "local_prediction"), 1e-6, "local prediction");
    for (int64_t s = 0; s < d.features; s++)
      assert_true((fit.error[target * d.features + s] > 0) == (fit.beta[target * d.features + s] != 0));
  }
  surrogate_close(&fit);
  design_close(&d);
  json_decref(golden);
}

static void equals_the_sandwich_written_out(void **state)
{
  (void)state;
  json_t *golden = golden_json("sampling", "lime.json");
  const json_t *errors = json_object_get(golden, "stderr");
  struct design d;
  struct surrogate fit;
  struct error err = {0};
  open_golden(&d);
  assert_true(surrogate_open(&fit, d.features, d.targets, &err));
  const struct surrogate_options options = {.alpha = 1, .most = d.features};
  d.single = 1;
  assert_true(surrogate_fit(&fit, &d, &options, true, &err));
  compare_list(json_object_get(errors, "rows"), fit.error, 1e-10, "error by rows");
  d.group = 2;
  assert_true(surrogate_fit(&fit, &d, &options, true, &err));
  compare_list(json_object_get(errors, "pairs"), fit.error, 1e-10, "error by pairs");
  surrogate_close(&fit);
  design_close(&d);
  json_decref(golden);
}

/* LIM-P2: columns in another order give coefficients in that order. */
static void permutes_with_labels(void **state)
{
  (void)state;
  struct design d, p;
  struct surrogate a, b;
  struct error err = {0};
  open_golden(&d);
  assert_true(design_open(&p, d.rows, d.features, d.targets, &err));
  assert_true(surrogate_open(&a, d.features, d.targets, &err) && surrogate_open(&b, d.features, d.targets, &err));
  p.rows = d.rows;
  memcpy(p.weight, d.weight, (size_t)d.rows * sizeof *d.weight);
  memcpy(p.y, d.y, (size_t)(d.rows * d.targets) * sizeof *d.y);
  for (int64_t i = 0; i < d.rows; i++)
    for (int64_t s = 0; s < d.features; s++)
      if (mask_has(design_mask(&d, i), s))
        mask_set(design_mask(&p, i), s * 7 % d.features); /* 7 and 20 have no common divisor */
  const enum selection ways[] = {SELECT_NONE, SELECT_FORWARD, SELECT_HIGHEST, SELECT_LASSO};
  for (int w = 0; w < 4; w++) {
    const struct surrogate_options options = {.alpha = 1, .select = ways[w], .most = 8};
    assert_true(surrogate_fit(&a, &d, &options, true, &err) && surrogate_fit(&b, &p, &options, true, &err));
    for (int64_t s = 0; s < d.features; s++) {
      assert_near(b.beta[s * 7 % d.features], a.beta[s], 1e-9, "coefficient");
      assert_near(b.error[s * 7 % d.features], a.error[s], 1e-9, "error");
    }
  }
  surrogate_close(&a);
  surrogate_close(&b);
  design_close(&d);
  design_close(&p);
}

/* More columns than one word of a mask, several targets, 1 to 4 threads: the same bits. */
static void same_bits_for_any_threads(void **state)
{
  (void)state;
  enum { S = 150, T = 70, N = 700 };
  struct design d;
  struct surrogate fit;
  struct error err = {0};
  assert_true(design_open(&d, N, S, T, &err) && surrogate_open(&fit, S, T, &err));
  d.rows = N;
  for (int64_t i = 0; i < N; i++) {
    mask_draw(1, (uint32_t)i, 0, S, design_mask(&d, i));
    d.weight[i] = rng_uniform(2, RNG_NOISE, (uint32_t)i, 0);
    for (int64_t t = 0; t < T; t++)
      design_scores(&d, i)[t] =
          (float)(rng_normal(3, RNG_NOISE, (uint32_t)i, (uint64_t)t) + mask_has(design_mask(&d, i), t));
  }
  const struct surrogate_options options = {.alpha = 1, .most = S};
  double *beta = mem_alloc(S * T * sizeof *beta), *error = mem_alloc(S * T * sizeof *error);
  for (int threads = 1; threads <= 4; threads++) {
    threads_use(threads);
    assert_true(surrogate_fit(&fit, &d, &options, true, &err));
    if (threads == 1) {
      memcpy(beta, fit.beta, S * T * sizeof *beta);
      memcpy(error, fit.error, S * T * sizeof *error);
    }
    assert_memory_equal(beta, fit.beta, S * T * sizeof *beta);
    assert_memory_equal(error, fit.error, S * T * sizeof *error);
  }
  for (int64_t t = 0; t < T; t++) {
    assert_near(fit.beta[t * S + t], 1, 0.5, "the score's own column");
    assert_true(fit.error[t * S + t] > 0);
  }
  mem_free(beta);
  mem_free(error);
  surrogate_close(&fit);
  design_close(&d);
}

static void inverts_or_says_singular(void **state)
{
  (void)state;
  enum { N = 40 };
  double *a = mem_zero(N * N, sizeof *a), *inverse = mem_zero(N * N, sizeof *a), *work = mem_zero(N * N, sizeof *a);
  for (int r = 0; r < 2 * N; r++)
    for (int i = 0; i < N; i++)
      for (int j = 0; j < N; j++)
        a[i * N + j] +=
            rng_normal(5, RNG_NOISE, (uint32_t)r, (uint64_t)i) * rng_normal(5, RNG_NOISE, (uint32_t)r, (uint64_t)j);
  assert_true(inverse_symmetric(a, N, 0.5, inverse, work));
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      double sum = 0;
      for (int k = 0; k < N; k++)
        sum += (a[i * N + k] + (i == k ? 0.5 : 0)) * inverse[k * N + j];
      assert_near(sum, i == j, 1e-10, "A times its inverse");
    }
  for (int j = 0; j < N; j++) /* a row that is another's double */
    a[7 * N + j] = a[j * N + 7] = 2 * a[3 * N + j];
  a[7 * N + 7] = 4 * a[3 * N + 3];
  a[3 * N + 7] = a[7 * N + 3] = 2 * a[3 * N + 3];
  assert_false(inverse_symmetric(a, N, 0, inverse, work));
  memset(a, 0, N * N * sizeof *a);
  assert_false(inverse_symmetric(a, N, 0, inverse, work));
  assert_true(inverse_symmetric(a, N, 1, inverse, work));
  mem_free(a);
  mem_free(inverse);
  mem_free(work);
}

/* Strata: what is subtracted is their own mean, and their share counts. */
static void sandwich_by_strata(void **state)
{
  (void)state;
  enum { N = 9, S = 3 };
  const int stratum[N] = {1, 0, 2, 1, 1, 0, 2, 2, 0};
  const double share[3] = {0.5, 1, 0.25}, inverse[S * S] = {2, -1, 0.5, -1, 3, 0.25, 0.5, 0.25, 1};
  const double beta[S] = {0.3, -0.2, 0.1}, intercept = 0.05;
  struct design d;
  struct error err = {0};
  double variance[S], u[N][S];
  assert_true(design_open(&d, N, S, 1, &err));
  d.rows = N;
  for (int i = 0; i < N; i++) {
    mask_draw(9, (uint32_t)i, 0, S, design_mask(&d, i));
    d.weight[i] = 1 + 0.1 * i;
    design_scores(&d, i)[0] = (float)sin(i);
    const double e = (double)design_scores(&d, i)[0] - intercept - mask_sum(design_mask(&d, i), 1, beta);
    for (int s = 0; s < S; s++) {
      u[i][s] = 0;
      for (int k = 0; k < S; k++)
        u[i][s] += d.weight[i] * e * inverse[s * S + k] * mask_has(design_mask(&d, i), k);
    }
  }
  const struct sandwich sandwich = {.inverse = inverse, .stratum = stratum, .strata = 3, .share = share, .fitted = 2};
  assert_true(sandwich_variance(&sandwich, &d, 0, 1, beta, &intercept, variance, &err));
  for (int s = 0; s < S; s++) {
    double expected = 0;
    for (int k = 0; k < 3; k++) {
      double mean = 0, square = 0;
      for (int i = 0; i < N; i++)
        mean += stratum[i] == k ? u[i][s] / 3 : 0;
      for (int i = 0; i < N; i++)
        square += stratum[i] == k ? (u[i][s] - mean) * (u[i][s] - mean) : 0;
      expected += share[k] * square * 3 / 2;
    }
    assert_near(variance[s], expected * N / (N - 2), 1e-12, "variance");
  }
  const struct sandwich none_left = {.inverse = inverse, .fitted = N};
  assert_true(sandwich_variance(&none_left, &d, 0, 1, beta, &intercept, variance, &err));
  assert_true(isnan(variance[0]));
  design_close(&d);
}

static void draws_masks_evenly(void **state)
{
  (void)state;
  enum { S = 70, N = 4000 };
  int of[S] = {0}, subset[S] = {0}, together = 0;
  int32_t order[S];
  uint64_t mask[2], other[2];
  for (uint32_t i = 0; i < N; i++) {
    mask_draw(7, i, 0, S, mask);
    assert_int_equal(mask[1] >> (S - 64), 0);
    mask_complement(mask, S, other);
    assert_int_equal(mask_count(mask, S) + mask_count(other, S), S);
    for (int s = 0; s < S; s++) {
      assert_true(mask_has(mask, s) != mask_has(other, s));
      of[s] += mask_has(mask, s);
    }
    mask_draw_subset(7, i, 0, S, i % 2 ? 20 : 50, mask, order);
    assert_int_equal(mask_count(mask, S), i % 2 ? 20 : 50);
    for (int s = 0; s < S; s++)
      subset[s] += mask_has(mask, s) == (i % 2);
    together += mask_has(mask, 3) && mask_has(mask, 66);
  }
  for (int s = 0; s < S; s++) { /* 4.5 standard deviations of a binomial */
    assert_near(of[s], N / 2.0, 4.5 * sqrt(N / 4.0), "times kept");
    assert_near(subset[s], N * 20.0 / S, 4.5 * sqrt(N * 20.0 / S * (1 - 20.0 / S)), "times in the subset");
  }
  const double expected = N / 2.0 * (20.0 * 19 + 50.0 * 49) / (S * (S - 1.0));
  assert_near(together, expected, 4.5 * sqrt(expected), "times together");
  uint64_t again[2];
  mask_draw(7, 12, 1, S, other);
  mask_draw(7, 12, 0, S, again);
  assert_memory_not_equal(other, again, sizeof again);
  assert_near(log_binomial(10, 3), log(120), 1e-12, "ln C(10,3)");
}

static void looks_at_fixed_counts(void **state)
{
  (void)state;
  struct stopping s;
  struct error err = {0};
  const int64_t expected[] = {256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096};
  int n = 0;
  assert_true(stopping_parse("0.1", 5000, &s, &err));
  for (int64_t i = 1; i <= 5000; i++)
    if (stopping_due(&s, i))
      assert_int_equal(i, expected[n++]);
  assert_int_equal(n, 9);
  assert_true(stopping_parse("", 5000, &s, &err));
  for (int64_t i = 1; i <= 5000; i++)
    assert_false(stopping_due(&s, i));
  const char *const wrong[] = {"0", "-1", "nan", "much", "stable", "stable:", "stable:0", "stable:x", "0.1x"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    err = (struct error){0};
    assert_false(stopping_parse(wrong[i], 5000, &s, &err));
    assert_non_null(strstr(err.message, wrong[i]));
    assert_int_equal(err.code, ERROR_USAGE);
  }
}

static void stops_when_known(void **state)
{
  (void)state;
  struct stopping s;
  struct error err = {0};
  const double value[] = {0.1, -1, 0.5, 0.2};
  assert_true(stopping_parse("0.1", 5000, &s, &err));
  assert_true(stopping_reached(&s, value, (const double[]){0.1, 0.05, 0.01, 0}, 4));
  assert_false(stopping_reached(&s, value, (const double[]){0.11, 0.05, 0.01, 0}, 4));
  assert_false(stopping_reached(&s, value, (const double[]){NAN, 0.05, 0.01, 0}, 4));
  assert_true(stopping_reached(&s, (const double[]){0, 0}, (const double[]){0, 0}, 2));
  /* 9 looks up to 5000: 5 % / 9 is 2.77 standard errors to each side */
  assert_true(stopping_parse("stable:2", 5000, &s, &err));
  assert_near(s.quantile, 2.7729, 1e-3, "quantile");
  assert_true(stopping_reached(&s, value, (const double[]){0.01, 0.1, 0.05, 0.05}, 4)); /* 0.5 - 0.139 > 0.2 + 0.139 */
  assert_false(stopping_reached(&s, value, (const double[]){0.01, 0.1, 0.06, 0.06}, 4));
  assert_true(stopping_parse("stable:4", 5000, &s, &err));
  assert_true(stopping_reached(&s, value, (const double[]){9, 9, 9, 9}, 4));
  assert_true(stopping_parse("stable:1", 5000, &s, &err));
  assert_false(stopping_reached(&s, (const double[]){1, 1, 1}, (const double[]){0, 0, 0}, 3));
}

static bool fit_all(struct error *err)
{
  struct design d = {0};
  struct surrogate fit = {0};
  bool ok = design_open(&d, 20, 4, 2, err) && surrogate_open(&fit, 4, 2, err);
  if (ok) {
    d.rows = 20;
    for (int64_t i = 0; i < d.rows; i++) {
      mask_draw(1, (uint32_t)i, 0, 4, design_mask(&d, i));
      d.weight[i] = 1;
      design_scores(&d, i)[0] = (float)i;
    }
    const struct surrogate_options options = {.alpha = 1, .select = SELECT_LASSO, .most = 2};
    ok = surrogate_fit(&fit, &d, &options, true, err);
  }
  surrogate_close(&fit);
  design_close(&d);
  return ok;
}

static void survives_failing_allocations(void **state)
{
  (void)state;
  FAULT_LOOP(fit_all(&err), (void)0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equals_ridge_of_scikit_learn),
      cmocka_unit_test(equals_the_lime_package),
      cmocka_unit_test(equals_the_sandwich_written_out),
      cmocka_unit_test(permutes_with_labels),
      cmocka_unit_test(same_bits_for_any_threads),
      cmocka_unit_test(inverts_or_says_singular),
      cmocka_unit_test(sandwich_by_strata),
      cmocka_unit_test(draws_masks_evenly),
      cmocka_unit_test(looks_at_fixed_counts),
      cmocka_unit_test(stops_when_known),
      cmocka_unit_test(survives_failing_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
