/* SPDX-License-Identifier: Apache-2.0 */
/* Region perturbation and its top-k variant on black boxes whose curves follow from arithmetic. */
#include "measure.h"

#include "metrics/order.h"
#include "metrics/student.h"
#include "metrics/summary.h"

enum { H = 8, W = 12, N = H * W };

static float weights[N], map[N], negative[N];

/* Black fill (0) on LIN: pixel i contributes weight * x, which is its exact attribution. */
static struct linear lin = {weights, N, 1};

static void open_linear(struct bench *b)
{
  bench_open(b, H, W, 1, 1, predict_linear, &lin);
  for (int i = 0; i < N; i++) {
    weights[i] = (float)rng_normal(3, RNG_NOISE, 0, (uint64_t)i);
    map[i] = weights[i] * b->input.x[i];
    negative[i] = -map[i];
  }
}

static int descending(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return x > y ? -1 : x < y;
}

/* The curve is the cumulative sum of the sorted region sums. */
static void test_linear_curve(void **state)
{
  struct bench b;
  double sums[8] = {0}, fall = 0, area = 0;
  (void)state;
  open_linear(&b);
  struct measurement m = bench_run(&b, "region", "region=4x3 fill=black draws=3", map);
  assert_int_equal(detail_in(&m, "steps"), 8);
  assert_true(warned_in(&m, "few-regions"));
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x++)
      sums[y / 4 * 4 + x / 3] += (double)map[y * W + x];
  qsort(sums, 8, sizeof *sums, descending);
  assert_int_equal(points_in(&m, "morf"), 9);
  for (int k = 0; k <= 8; k++) {
    assert_near(point_in(&m, "morf", 0) - point_in(&m, "morf", k), fall, 1e-5);
    area += fall / 9;
    fall += k < 8 ? sums[k] : 0;
  }
  assert_near(value_in(&m, "aopc_morf"), area, 1e-5);
  assert_near(value_in(&m, "abpc"), value_in(&m, "aopc_morf") - value_in(&m, "aopc_lerf"), 1e-9);
  assert_near(value_in(&m, "difference"), value_in(&m, "aopc_morf") - value_in(&m, "aopc_random"), 1e-9);
  /* a constant fill repeats MoRF and LeRF: one pass each, three random orders, the image itself */
  assert_int_equal(detail_in(&m, "evaluations"), 1 + 5 * 8);
  measurement_free(&m);
  bench_close(&b);
}

/* No order of the 6 regions has a larger AOPC than MoRF nor a smaller one than LeRF. */
static void test_enumeration(void **state)
{
  struct bench b;
  double sums[6] = {0}, most = -INFINITY, least = INFINITY;
  (void)state;
  open_linear(&b);
  struct measurement m = bench_run(&b, "region", "region=4 fill=black draws=1 steps=6", map);
  for (int y = 0; y < H; y++)
    for (int x = 0; x < W; x++)
      sums[y / 4 * 3 + x / 4] += (double)map[y * W + x];
  int count = 0;
  for (int code = 0; code < 46656; code++) { /* 6^6 words, of which 720 are permutations */
    int order[6], seen = 0;
    for (int i = 0, c = code; i < 6; i++, c /= 6) {
      order[i] = c % 6;
      seen |= 1 << order[i];
    }
    if (seen != 63)
      continue;
    double fall = 0, area = 0;
    for (int k = 0; k < 6; k++) {
      fall += sums[order[k]];
      area += fall / 7;
    }
    most = fmax(most, area);
    least = fmin(least, area);
    count++;
  }
  assert_int_equal(count, 720);
  assert_near(value_in(&m, "aopc_morf"), most, 1e-5);
  assert_near(value_in(&m, "aopc_lerf"), least, 1e-5);
  assert_true(most > least + 0.1);
  measurement_free(&m);
  bench_close(&b);
}

/* What depends on no map is measured with the first of an image; the others' figures are the same as measured alone. */
static void test_shared(void **state)
{
  static const struct {
    const char *metric, *arguments;
    int64_t first, second; /* evaluations */
  } runs[] = {
      {"region", "region=4 draws=3 steps=5", 1 + 9 * 5, 1 + 6 * 5},
      {"region", "region=4 draws=2 steps=6 orders=random,morf fill=0", 1 + 3 * 6, 1 + 6},
      {"topk", "top=10,50 draws=4", 1 + 16, 1 + 8},
      {"infidelity", "samples=30 fill=uniform", 31, 1},
  };
  struct bench b;
  (void)state;
  open_linear(&b);
  for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
    struct shared_figures shared = {0};
    struct measurement alone = bench_run(&b, runs[i].metric, runs[i].arguments, negative);
    b.shared = &shared;
    struct measurement first = bench_run(&b, runs[i].metric, runs[i].arguments, map);
    struct measurement second = bench_run(&b, runs[i].metric, runs[i].arguments, negative);
    b.shared = NULL;
    assert_int_equal(detail_in(&alone, "evaluations"), runs[i].first);
    assert_int_equal(detail_in(&first, "evaluations"), runs[i].first);
    assert_int_equal(detail_in(&second, "evaluations"), runs[i].second);
    assert_true(json_equal(alone.values, second.values));
    assert_true(json_equal(alone.spread, second.spread));
    assert_true(json_equal(alone.curves, second.curves));
    assert_false(json_equal(alone.values, first.values));
    measurement_free(&alone);
    measurement_free(&first);
    measurement_free(&second);
    shared_free(&shared);
  }
  bench_close(&b);
}

/* By hand: 2x2 regions of one pixel each with contributions 1, 2, 3, 4. */
static void test_hand(void **state)
{
  static const float w[4] = {1, 2, 3, 4}, ones[4] = {1, 1, 1, 1};
  struct linear four = {w, 4, 1};
  struct bench b;
  (void)state;
  bench_open(&b, 2, 2, 1, 1, predict_linear, &four);
  memcpy(b.input.x, ones, sizeof ones);
  memcpy(b.input.u, ones, sizeof ones);
  struct measurement m = bench_run(&b, "region", "region=1 fill=0 draws=1 steps=3 orders=morf,lerf", w);
  /* MoRF falls 0 4 7 9, LeRF 0 1 3 6 */
  assert_near(value_in(&m, "aopc_morf"), 20.0 / 4, 1e-12);
  assert_near(value_in(&m, "aopc_lerf"), 10.0 / 4, 1e-12);
  assert_near(value_in(&m, "abpc"), 10.0 / 4, 1e-12);
  assert_null(json_object_get(m.values, "aopc_random"));
  assert_null(json_object_get(m.values, "difference"));
  measurement_free(&m);
  m = bench_run(&b, "topk", "top=25,50 fill=0 draws=40", w);
  assert_near(value_in(&m, "drop_25"), 4, 1e-12);
  assert_near(value_in(&m, "drop_50"), 7, 1e-12);
  assert_near(value_in(&m, "random_25"), 2.5, 0.6);
  assert_near(value_in(&m, "random_50"), 5, 0.8);
  assert_near(value_in(&m, "difference_50"), 7 - value_in(&m, "random_50"), 1e-12);
  assert_near(value_in(&m, "difference"), (value_in(&m, "difference_25") + value_in(&m, "difference_50")) / 2, 1e-12);
  assert_int_equal(detail_in(&m, "evaluations"), 1 + 40 * 2 * 2);
  measurement_free(&m);
  bench_close(&b);
}

static void expect_same(const struct measurement *a, const char *p, const struct measurement *b, const char *q)
{
  assert_int_equal(points_in(a, p), points_in(b, q));
  for (int k = 0; k < points_in(a, p); k++)
    assert_true(point_in(a, p, k) == point_in(b, q, k));
}

/* A negated map exchanges the orders, a factor changes nothing, steps do not depend on how many follow. */
static void test_maps_and_steps(void **state)
{
  static float twice[N], flat[N], shifted[N];
  struct bench b;
  (void)state;
  open_linear(&b);
  struct measurement m = bench_run(&b, "region", "region=2 draws=4 steps=20", map);
  struct measurement n = bench_run(&b, "region", "region=2 draws=4 steps=20", negative);
  assert_int_equal(detail_in(&m, "evaluations"), 1 + 3 * 4 * 20);
  expect_same(&m, "morf", &n, "lerf");
  expect_same(&m, "lerf", &n, "morf");
  expect_same(&m, "random", &n, "random");
  measurement_free(&n);
  for (int i = 0; i < N; i++) {
    twice[i] = 2 * map[i];
    shifted[i] = map[i] + 1.5f;
  }
  n = bench_run(&b, "region", "region=2 draws=4 steps=20", twice);
  assert_true(json_equal(m.values, n.values) && json_equal(m.curves, n.curves));
  measurement_free(&n);
  n = bench_run(&b, "region", "region=2 draws=4 steps=20", shifted);
  expect_same(&m, "morf", &n, "morf");
  measurement_free(&n);
  n = bench_run(&b, "region", "region=2 draws=4 steps=7", map);
  for (int k = 0; k <= 7; k++)
    for (int c = 0; c < 3; c++) {
      static const char *const names[] = {"morf", "lerf", "random"};
      assert_true(point_in(&m, names[c], k) == point_in(&n, names[c], k));
    }
  measurement_free(&n);
  n = bench_run(&b, "region", "region=2 draws=4 steps=20", flat);
  assert_true(warned_in(&n, "flat-map"));
  measurement_free(&n);
  measurement_free(&m);
  bench_close(&b);
}

static void test_constant_model(void **state)
{
  int classes = 1;
  struct bench b;
  (void)state;
  bench_open(&b, H, W, 1, 1, predict_constant, &classes);
  struct measurement m = bench_run(&b, "region", "region=2", map);
  assert_true(value_in(&m, "aopc_morf") == 0 && value_in(&m, "aopc_lerf") == 0 && value_in(&m, "aopc_random") == 0);
  assert_true(value_in(&m, "difference") == 0 && spread_in(&m, "difference") == 0);
  assert_true(warned_in(&m, "weak-fill"));
  measurement_free(&m);
  m = bench_run(&b, "topk", "", map);
  assert_true(value_in(&m, "difference") == 0 && value_in(&m, "drop_20") == 0);
  measurement_free(&m);
  bench_close(&b);
}

/* One side divisible by the region, the other not: full regions only, centred, the border untouched. */
static bool predict_border(void *context, const float *images, int n, float *scores, struct error *err)
{
  (void)err;
  for (int i = 0; i < n; i++) {
    const float *x = images + (int64_t)i * 224 * 225;
    double sum = 0;
    for (int y = 0; y < 224; y++)
      for (int c = 0; c < 225; c++)
        if (y < 4 || y >= 4 + 24 * 9)
          sum += (double)x[y * 225 + c];
    scores[i] = (float)sum;
  }
  ++*(int *)context;
  return true;
}

static void test_border(void **state)
{
  static float large[224 * 225];
  int calls = 0;
  struct bench b;
  (void)state;
  bench_open(&b, 224, 225, 1, 1, predict_border, &calls);
  for (int i = 0; i < 224 * 225; i++)
    large[i] = (float)rng_uniform(4, RNG_NOISE, 0, (uint64_t)i);
  struct measurement m = bench_run(&b, "region", "draws=1 steps=24", large);
  int cells[2], side[2];
  assert_int_equal(json_unpack(json_object_get(m.details, "grid"), "[ii]", &cells[0], &cells[1]), 0);
  assert_int_equal(json_unpack(json_object_get(m.details, "region"), "[ii]", &side[0], &side[1]), 0);
  assert_true(cells[0] == 24 && cells[1] == 25 && side[0] == 9 && side[1] == 9);
  assert_near(json_number_value(json_object_get(m.details, "border_share")), 1 - 24 * 9 / 224.0, 1e-12);
  for (int k = 0; k <= 24; k++)
    assert_true(point_in(&m, "morf", k) == point_in(&m, "morf", 0));
  assert_true(calls > 3);
  measurement_free(&m);
  bench_close(&b);
}

/* Fills made from a region's rim, and a step count that orders share. */
static void test_inpaint(void **state)
{
  struct bench b;
  (void)state;
  open_linear(&b);
  struct measurement m = bench_run(&b, "region", "region=2 fill=inpaint draws=2 steps=24", map);
  expect_same(&m, "morf", &m, "morf");
  /* all regions replaced: no order is left in the result */
  assert_near(point_in(&m, "morf", 24), point_in(&m, "lerf", 24), 1e-5);
  assert_near(point_in(&m, "morf", 24), point_in(&m, "random", 24), 1e-5);
  assert_true(fabs(point_in(&m, "morf", 24) - point_in(&m, "morf", 0)) > 1e-3);
  measurement_free(&m);
  bench_close(&b);
}

static void test_limits(void **state)
{
  struct bench b;
  (void)state;
  open_linear(&b);
  bench_refuses(&b, "region", "region=5", map, "region: 5 px is outside 1..4, half of the image");
  bench_refuses(&b, "region", "orders=morf,best", map, "orders: 'morf,best' is no list of morf, lerf and random");
  bench_refuses(&b, "region", "orders=morf,morf", map, "each once");
  bench_refuses(&b, "region", "fill=pink", map, "fill: 'pink' is none of");
  bench_refuses(&b, "region", "draws=0", map, "draws: 0 is outside 1..1000");
  bench_refuses(&b, "region", "region=5mm", map, "no-spacing");
  bench_refuses(&b, "topk", "top=5,,10", map, "top: '5,,10' is no list of percentages");
  bench_refuses(&b, "topk", "top=101", map, "no list of percentages");
  /* a run that ends early counts whole draws */
  b.explain.evaluate.evals = 1 + 2 * 3 * 24 + 5;
  struct measurement m = bench_run(&b, "region", "region=2 draws=4 steps=24", map);
  assert_int_equal(detail_in(&m, "draws"), 2);
  assert_true(warned_in(&m, "partial"));
  measurement_free(&m);
  bench_close(&b);
}

static json_t *record_of(const char *label, const char *subjects[], const struct measurement *m, int n)
{
  json_t *all = json_object();
  for (int i = 0; i < n; i++)
    json_object_set_new(all, subjects[i], measurement_json(&m[i]));
  return json_pack("{s:{s:s}, s:{s:o}}", "target", "label", label, "metrics", "region", all);
}

/* A map that knows nothing: the interval over images of AOPC above random contains 0 as often as it says; so does the
 * interval of one image. */
static void test_random_maps(void **state)
{
  enum { SEEDS = 200, IMAGES = 8 };
  static float noise[N];
  struct bench b;
  struct error err = {0};
  int over_images = 0, one_image = 0;
  (void)state;
  open_linear(&b);
  for (int seed = 0; seed < SEEDS; seed++) {
    json_t *records = json_array();
    for (int image = 0; image < IMAGES; image++) {
      const uint32_t which = (uint32_t)(seed * IMAGES + image);
      for (int i = 0; i < N; i++) {
        noise[i] = (float)rng_uniform(11, RNG_NOISE, which, (uint64_t)i);
        b.input.x[i] = b.input.u[i] = (float)rng_uniform(12, RNG_NOISE, which, (uint64_t)i);
      }
      b.explain.seed = which;
      struct measurement m = bench_run(&b, "region", "region=2 steps=12 orders=morf,random", noise);
      json_array_append_new(records, record_of("a", (const char *[]){"noise"}, &m, 1));
      measurement_free(&m);
    }
    for (int n = 0; n < 2; n++) {
      json_t *one = json_pack("[O]", json_array_get(records, 0));
      json_t *summary = summary_make(metric_require("region", &err), n ? one : records, &err), *value;
      assert_non_null(summary);
      value = json_object_get(json_object_get(json_object_get(json_object_get(summary, "subjects"), "noise"), "values"),
                              "difference");
      const double lo = json_number_value(json_object_get(value, "lo")),
                   hi = json_number_value(json_object_get(value, "hi"));
      assert_true(lo < hi);
      *(n ? &one_image : &over_images) += lo <= 0 && hi >= 0;
      json_decref(summary);
      json_decref(one);
    }
    json_decref(records);
  }
  print_message("# of %d seeds the interval holds 0 in %d over %d images, in %d on one\n", SEEDS, over_images, IMAGES,
                one_image);
  assert_true(over_images >= 180 && over_images < SEEDS);
  assert_true(one_image >= 180);
  bench_close(&b);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_hand),           cmocka_unit_test(test_linear_curve),   cmocka_unit_test(test_enumeration),
      cmocka_unit_test(test_maps_and_steps), cmocka_unit_test(test_constant_model), cmocka_unit_test(test_border),
      cmocka_unit_test(test_inpaint),        cmocka_unit_test(test_limits),         cmocka_unit_test(test_random_maps),
      cmocka_unit_test(test_shared),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
