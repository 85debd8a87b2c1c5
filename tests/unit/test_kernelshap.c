/* SPDX-License-Identifier: Apache-2.0 */
/* KernelSHAP on games whose Shapley values are known. */
#include "base/rng.h"
#include "fault.h"
#include "golden.h"
#include "methods/masks.h"
#include "sampling.h"
#include "scratch.h"
#include "unit.h"

enum { MOST = 24 };

static void assert_near(double value, double expected, double tolerance, const char *what)
{
  if (!(fabs(value - expected) <= tolerance))
    fail_msg("%s: %.12g, expected %.12g", what, value, expected);
}

static double phi(const struct bench *b, int target, int64_t s)
{
  return bench_value(b, "kernelshap", target, "coefficients", s);
}

static double error_of(const struct bench *b, int target, int64_t s)
{
  return bench_value(b, "kernelshap", target, "stderr", s);
}

static bool is_exact(const struct bench *b)
{
  return json_is_true(json_object_get(json_object_get(b->out.documents, "kernelshap"), "exact"));
}

/* A game given by its value for every subset, by the bits of the players there. */
struct table {
  int players;
  float *value; /* [classes, 2^players] */
};

static double look_up(const void *context, int class, const double *there)
{
  const struct table *t = context;
  int64_t at = 0;
  for (int s = 0; s < t->players; s++)
    at |= (int64_t)(there[s] > 0.5) << s;
  return (double)t->value[((int64_t) class << t->players) + at];
}

static void open_table(struct bench *b, struct game *g, struct table *t, int players, int classes)
{
  t->players = players;
  t->value = malloc(((size_t)classes << players) * sizeof *t->value);
  assert_non_null(t->value);
  *g = (struct game){.players = players, .classes = classes, .value = look_up, .context = t};
  bench_open(b, 1, players, 1, classes, game_predict, g);
}

static void random_table(struct table *t, int classes, uint64_t seed)
{
  for (int64_t i = 0; i < (int64_t)classes << t->players; i++)
    t->value[i] = (float)rng_normal(seed, RNG_NOISE, 0, (uint64_t)i);
}

static void params_of(char *text, size_t size, int players, const char *more)
{
  (void)snprintf(text, size, "segments=grid:1x%d fill=zero %s", players, more);
}

/* The Shapley value written out: the mean over orders of what a player adds. */
static double shapley(const struct table *t, int class, int player)
{
  const int n = t->players;
  const float *v = t->value + ((int64_t) class << n);
  double sum = 0;
  for (int64_t set = 0; set < (int64_t)1 << n; set++) {
    if (set >> player & 1)
      continue;
    const int k = __builtin_popcountll((unsigned long long)set);
    sum += ((double)v[set | (int64_t)1 << player] - (double)v[set]) * exp(-log_binomial(n - 1, k)) / n;
  }
  return sum;
}

/* ---- all subsets ---------------------------------------------------------------------------------------------------
 */

/* KSH-R1 */
static void equals_the_shap_package(void **state)
{
  (void)state;
  json_t *golden = golden_json("sampling", "shap.json");
  size_t i, k;
  json_t *one, *value;
  json_array_foreach (golden, i, one) {
    struct bench b;
    struct game g;
    struct table t;
    char params[128];
    const int players = (int)json_integer_value(json_object_get(one, "players"));
    open_table(&b, &g, &t, players, 1);
    json_array_foreach (json_object_get(one, "table"), k, value)
      t.value[k] = (float)json_number_value(value);
    params_of(params, sizeof params, players, "");
    bench_run(&b, "kernelshap", params);
    json_array_foreach (json_object_get(one, "values"), k, value)
      assert_near(phi(&b, 0, (int64_t)k), json_number_value(value), 1e-5, "value");
    free(t.value);
    bench_close(&b);
  }
  json_decref(golden);
}

/* KSH-P3, for few players and as many as are run through by default; all classes for one class's passes. */
static void all_subsets_are_exact(void **state)
{
  (void)state;
  static const int sizes[] = {2, 3, 5, 8, 11, 12};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    struct bench b;
    struct game g;
    struct table t;
    char params[128];
    const int n = sizes[i];
    open_table(&b, &g, &t, n, 3);
    random_table(&t, 3, 11);
    b.explain.target = "all";
    params_of(params, sizeof params, n, "");
    bench_run(&b, "kernelshap", params);
    assert_true(is_exact(&b));
    assert_int_equal(g.calls, (int64_t)1 << n); /* each subset once */
    for (int k = 0; k < 3; k++)
      for (int s = 0; s < n; s++) {
        assert_near(phi(&b, k, s), shapley(&t, k, s), 1e-9, "Shapley value");
        assert_true(error_of(&b, k, s) == 0);
      }
    params_of(params, sizeof params, n, "sampling=kernel samples=1000000");
    bench_run(&b, "kernelshap", params);
    assert_true(is_exact(&b));
    for (int s = 0; s < n; s++)
      assert_near(phi(&b, 0, s), shapley(&t, 0, s), 1e-9, "Shapley value");
    free(t.value);
    bench_close(&b);
  }
}

/* KSH-P2 */
static void dummies_and_equals(void **state)
{
  (void)state;
  enum { N = 9 };
  struct bench b;
  struct game g;
  struct table t;
  char params[128];
  double before[N];
  open_table(&b, &g, &t, N, 1);
  for (int set = 0; set < 1 << N; set++) { /* player 4 does nothing; 1 and 6 are as good as one another */
    const int count = (set >> 1 & 1) + (set >> 6 & 1);
    const int others = set & ~(1 << 4 | 1 << 1 | 1 << 6);
    t.value[set] = (float)(cos(others) + count * count * 0.3 + sin(others * 0.1 + count));
  }
  params_of(params, sizeof params, N, "");
  bench_run(&b, "kernelshap", params);
  for (int s = 0; s < N; s++)
    before[s] = phi(&b, 0, s);
  assert_near(before[4], 0, 1e-9, "a dummy");
  assert_near(before[1], before[6], 1e-9, "equal players");
  assert_true(fabs(before[1]) > 0.01);
  struct table moved = {N, malloc(sizeof(float) << N)}; /* player s is now player s + 2 */
  for (int set = 0; set < 1 << N; set++)
    moved.value[((set << 2) | (set >> (N - 2))) & ((1 << N) - 1)] = t.value[set];
  g.context = &moved;
  bench_run(&b, "kernelshap", params);
  for (int s = 0; s < N; s++)
    assert_near(phi(&b, 0, (s + 2) % N), before[s], 1e-9, "a player by another name");
  free(t.value);
  free(moved.value);
  bench_close(&b);
}

/* ---- samples
 * --------------------------------------------------------------------------------------------------------- */

/* Interactions of two and three, and a linear part. */
static double entangled(const void *context, int class, const double *there)
{
  const int n = *(const int *)context;
  double sum = 0.1 * class;
  for (int s = 0; s < n; s++)
    sum += 0.05 * (s % 4) * there[s] + 0.2 * cos(s) * there[s] * there[(s + 3) % n] +
           0.15 * sin(3 * s) * there[s] * there[(s + 1) % n] * there[(s + 5) % n];
  return sum;
}

/* The same game's values: an interaction is shared evenly among its players. */
static void entangled_values(int n, double *value)
{
  memset(value, 0, (size_t)n * sizeof *value);
  for (int s = 0; s < n; s++) {
    value[s] += 0.05 * (s % 4) + 0.2 * cos(s) / 2 + 0.15 * sin(3 * s) / 3;
    value[(s + 3) % n] += 0.2 * cos(s) / 2;
    value[(s + 1) % n] += 0.15 * sin(3 * s) / 3;
    value[(s + 5) % n] += 0.15 * sin(3 * s) / 3;
  }
}

static void open_entangled(struct bench *b, struct game *g, const int *players)
{
  *g = (struct game){.players = *players, .classes = 1, .value = entangled, .context = players};
  bench_open(b, 1, *players, 1, 1, game_predict, g);
}

/* KSH-P1: the values sum to f(x) - f(b) however few samples there are. */
static void efficiency_at_any_budget(void **state)
{
  (void)state;
  static const int budgets[] = {2, 3, 10, 37, 38, 100, 1000, 4000};
  static const char *const samplings[] = {"", "sampling=kernel"};
  const int n = 20;
  struct bench b;
  struct game g;
  open_entangled(&b, &g, &n);
  for (size_t i = 0; i < 2 * sizeof budgets / sizeof *budgets; i++) {
    char params[128];
    params_of(params, sizeof params, n, samplings[i % 2]);
    b.explain.evaluate.evals = budgets[i / 2];
    bench_run(&b, "kernelshap", params);
    double sum = 0;
    for (int s = 0; s < n; s++)
      sum += phi(&b, 0, s);
    assert_near(sum, (double)b.out.scores[0] - bench_number(&b, "kernelshap", 0, "score_full_fill"), 1e-9,
                "efficiency");
    assert_true(bench_warned(&b, "few-samples") == (budgets[i / 2] - 2 < 2 * n));
  }
  bench_close(&b);
}

/* Errors against the values known in closed form. */
static void check_errors(int n, const char *more)
{
  struct bench b;
  struct game g;
  char params[128];
  double value[MOST], sum = 0, square = 0;
  int covered = 0, all = 0;
  open_entangled(&b, &g, &n);
  params_of(params, sizeof params, n, more);
  entangled_values(n, value);
  for (int seed = 0; seed < 200; seed++) {
    b.explain.seed = (uint64_t)seed;
    bench_run(&b, "kernelshap", params);
    for (int s = 0; s < n; s++, all++) {
      const double z = (phi(&b, 0, s) - value[s]) / error_of(&b, 0, s);
      covered += fabs(z) <= 1.96;
      sum += z;
      square += z * z;
    }
  }
  const double share = (double)covered / all, sd = sqrt(square / all - sum / all * sum / all);
  print_message("# %d superpixels, %s: coverage %.3f, SD of z %.3f\n", n, more, share, sd);
  assert_true(share >= 0.90 && share <= 0.99);
  assert_true(sd >= 0.85 && sd <= 1.15);
  bench_close(&b);
}

static void errors_are_honest(void **state)
{
  (void)state;
  check_errors(20, "samples=400");
  check_errors(20, "samples=400 sampling=kernel");
  check_errors(13, "samples=2000"); /* small sizes are seen out, others nearly */
  check_errors(13, "samples=6000"); /* most of all there are */
}

/* The mean over seeds is the Shapley value, also where sizes run out. */
static void samples_are_fair(void **state)
{
  (void)state;
  const int n = 14;
  static const char *const ways[] = {"samples=300", "samples=300 sampling=kernel", "samples=3000"};
  double value[MOST];
  entangled_values(n, value);
  for (int w = 0; w < 3; w++) {
    struct bench b;
    struct game g;
    char params[128];
    double sum[MOST] = {0}, square[MOST] = {0};
    open_entangled(&b, &g, &n);
    params_of(params, sizeof params, n, ways[w]);
    for (int seed = 0; seed < 300; seed++) {
      b.explain.seed = (uint64_t)seed;
      bench_run(&b, "kernelshap", params);
      for (int s = 0; s < n; s++) {
        sum[s] += phi(&b, 0, s);
        square[s] += phi(&b, 0, s) * phi(&b, 0, s);
      }
    }
    for (int s = 0; s < n; s++) {
      const double mean = sum[s] / 300, sd = sqrt(square[s] / 300 - mean * mean);
      assert_near(mean, value[s], 4.5 * sd / sqrt(300) + 1e-6, ways[w]);
    }
    bench_close(&b);
  }
}

static double only_last(const void *context, int class, const double *there)
{
  const int n = *(const int *)context;
  (void)class;
  return 0.5 + 0.25 * there[n - 1];
}

/* KSH-P4: labels from 0, from 1, with gaps. */
static void finds_a_signal_in_the_highest_label(void **state)
{
  (void)state;
  static const int first[] = {0, 1, 3}, step[] = {1, 1, 4};
  const int n = 16;
  struct game g = {.players = n, .classes = 1, .value = only_last, .context = &n};
  struct bench b;
  bench_open(&b, 2, 8, 1, 1, game_predict, &g);
  for (int i = 0; i < 3; i++) {
    int32_t labels[16];
    struct npy array = {.type = NPY_I32, .rank = 2, .dim = {2, 8}, .data = labels};
    char path[300], params[400];
    for (int s = 0; s < n; s++)
      labels[s] = first[i] + step[i] * s;
    (void)snprintf(path, sizeof path, "%s/labels%d.npy", scratch, i);
    assert_true(npy_write(path, &array, &b.err));
    (void)snprintf(params, sizeof params, "segments=file:%s fill=zero", path);
    bench_run(&b, "kernelshap", params);
    for (int s = 0; s < n; s++) {
      assert_near((double)bench_array(&b, "map")[s], s == n - 1 ? 0.25 : 0, 1e-6, "map");
      assert_true(bench_array(&b, "stderr")[s] < 1e-6f);
    }
  }
  bench_close(&b);
}

/* An additive score is met at once, by any way of sampling. */
static void recovers_an_additive_score(void **state)
{
  (void)state;
  static const char *const ways[] = {"segments=slic:30 samples=200", "segments=slic:30 samples=200 sampling=kernel"};
  struct bench b;
  int values = 24 * 30;
  bench_open(&b, 24, 30, 1, 1, sum_pixels, &values);
  bench_scene(&b, 8);
  for (int w = 0; w < 2; w++) {
    char params[128];
    (void)snprintf(params, sizeof params, "%s fill=40", ways[w]);
    bench_run(&b, "kernelshap", params);
    const int32_t *segments = explanation_find(&b.out, "segments")->data;
    const float *map = bench_array(&b, "map"), *picture = b.image.data;
    for (int i = 0; i < values; i++) {
      double expected = 0;
      for (int k = 0; k < values; k++)
        if (segments[k] == segments[i])
          expected += ((double)picture[k] - 40) * cos(k) / values;
      assert_near((double)map[i], expected, 2e-6, "map");
    }
  }
  bench_close(&b);
}

/* ---- determinism, stopping, what must be said ----------------------------------------------------------------------
 */

static void a_seed_fixes_everything(void **state)
{
  (void)state;
  static const char *const ways[] = {"segments=quickshift:kernel=1 samples=300",
                                     "segments=slic:30 fill=uniform samples=400",
                                     "segments=grid:4x5 tolerance=0.2 sampling=kernel"};
  static const int threads[] = {1, 2, 4, 2, 2}, batch[] = {32, 32, 32, 1, 7};
  struct bench b;
  int values = 21 * 30 * 3;
  bench_open(&b, 21, 30, 3, 2, waves_predict, &values);
  bench_scene(&b, 77);
  b.explain.target = "all";
  for (int w = 0; w < 3; w++) {
    float *map = NULL, *error = NULL;
    b.explain.seed = 3;
    for (int i = 0; i < 5; i++) {
      b.explain.evaluate.session.threads = threads[i];
      b.model.batch = batch[i];
      bench_run(&b, "kernelshap", ways[w]);
      if (!map) {
        map = bench_copy(&b, "map");
        error = bench_copy(&b, "stderr");
      }
      bench_same(&b, "map", map);
      bench_same(&b, "stderr", error);
    }
    free(map);
    free(error);
  }
  bench_close(&b);
}

static void stops_when_precise_enough(void **state)
{
  (void)state;
  const int n = 20;
  struct bench b;
  struct game g;
  char params[128];
  open_entangled(&b, &g, &n);
  params_of(params, sizeof params, n, "tolerance=0.03");
  bench_run(&b, "kernelshap", params);
  assert_string_equal(b.out.stopped_by, "tolerance");
  const int64_t samples = b.out.evaluations - 2;
  double largest = 0, worst = 0;
  for (int s = 0; s < n; s++) {
    largest = fmax(largest, fabs(phi(&b, 0, s)));
    worst = fmax(worst, error_of(&b, 0, s));
  }
  assert_true(worst <= 0.03 * largest);
  float *map = bench_copy(&b, "map");
  b.explain.evaluate.evals = samples + 2;
  params_of(params, sizeof params, n, "samples=100000");
  bench_run(&b, "kernelshap", params);
  assert_string_equal(b.out.stopped_by, "evals");
  bench_same(&b, "map", map);
  free(map);
  b.explain.evaluate.evals = 0;
  params_of(params, sizeof params, n, "tolerance=1e-12 samples=500");
  bench_run(&b, "kernelshap", params);
  assert_true(bench_warned(&b, "not-converged"));
  bench_close(&b);
}

/* A random fill leaves its noise in the error, even when every subset has been seen. */
static void random_fills_are_not_exact(void **state)
{
  (void)state;
  struct bench b;
  int values = 20 * 24 * 3;
  bench_open(&b, 20, 24, 3, 2, waves_predict, &values);
  bench_scene(&b, 4);
  bench_run(&b, "kernelshap", "segments=grid:2x4 fill=noise");
  assert_false(is_exact(&b));
  for (int s = 0; s < 8; s++)
    assert_true(error_of(&b, 0, s) > 0);
  bench_run(&b, "kernelshap", "segments=grid:2x4 fill=segment-mean");
  assert_true(is_exact(&b));
  bench_run(&b, "kernelshap", "segments=grid:2x4 fill=mean,blur:2,noise");
  assert_non_null(bench_array(&b, "disagreement"));
  bench_close(&b);
}

static double constant(const void *context, int class, const double *there)
{
  (void)context;
  (void)class;
  (void)there;
  return 0.7;
}

static void says_what_is_wrong(void **state)
{
  (void)state;
  const int n = 16;
  struct bench b;
  struct game g;
  open_entangled(&b, &g, &n);
  bench_refuse(&b, "kernelshap", "segments=grid:1x1", "one-segment");
  bench_refuse(&b, "kernelshap", "segments=grid:1x16 fill=inpaint", "fill-unavailable");
  bench_refuse(&b, "kernelshap", "segments=grid:1x16 samples=1", "samples");
  bench_refuse(&b, "kernelshap", "segments=grid:1x16 sampling=all", "leverage|kernel");
  bench_refuse(&b, "kernelshap", "segments=grid:1x16 tolerance=stable:-2", "tolerance");
  bench_run(&b, "kernelshap", "segments=grid:1x16 fill=zero samples=20");
  assert_true(bench_warned(&b, "few-samples"));
  bench_run(&b, "kernelshap", "segments=grid:1x16 fill=100");
  assert_true(bench_warned(&b, "no-change"));
  g.value = constant;
  bench_run(&b, "kernelshap", "segments=grid:1x16 fill=zero");
  assert_true(bench_warned(&b, "flat-map"));
  for (int s = 0; s < n; s++)
    assert_true(bench_array(&b, "map")[s] == 0 && bench_array(&b, "stderr")[s] == 0);
  bench_close(&b);
}

static bool run_once(struct bench *b, struct error *err)
{
  const bool ok = bench_try(b, "kernelshap", "segments=grid:1x14 samples=40 fill=zero,20");
  *err = b->err;
  return ok;
}

static void survives_failing_allocations(void **state)
{
  (void)state;
  const int n = 14;
  struct bench b;
  struct game g;
  open_entangled(&b, &g, &n);
  FAULT_LOOP(run_once(&b, &err), (void)0);
  bench_close(&b);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equals_the_shap_package),
      cmocka_unit_test(all_subsets_are_exact),
      cmocka_unit_test(dummies_and_equals),
      cmocka_unit_test(efficiency_at_any_budget),
      cmocka_unit_test(errors_are_honest),
      cmocka_unit_test(samples_are_fair),
      cmocka_unit_test_setup_teardown(finds_a_signal_in_the_highest_label, scratch_setup, scratch_teardown),
      cmocka_unit_test(recovers_an_additive_score),
      cmocka_unit_test(a_seed_fixes_everything),
      cmocka_unit_test(stops_when_precise_enough),
      cmocka_unit_test(random_fills_are_not_exact),
      cmocka_unit_test(says_what_is_wrong),
      cmocka_unit_test(survives_failing_allocations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
