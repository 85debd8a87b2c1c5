/* SPDX-License-Identifier: Apache-2.0 */
/* The same figures as Quantus, Captum and numpy (tests/golden/metrics/make.py). */
#include "golden.h"

#include "base/npy.h"
#include "measure.h"

enum { H = 24, W = 32, N = H * W, STEPS = 48 };

struct box {
  struct npy x, w, v, map;
};

static bool predict(void *context, const float *images, int n, float *scores, struct error *err)
{
  const struct box *box = context;
  const float *w = box->w.data, *v = box->v.data;
  (void)err;
  for (int i = 0; i < n; i++) {
    double a = 0, b = 0;
    for (int k = 0; k < N; k++) {
      a += (double)w[k] * (double)images[i * N + k];
      b += (double)v[k] * (double)images[i * N + k];
    }
    scores[i] = (float)(1 / (1 + exp(-(a + 0.3 * b * b - 1))));
  }
  return true;
}

static void read(const char *name, struct npy *array)
{
  struct error err = {0};
  if (!npy_read(golden_path("metrics", name), 0, array, &err))
    fail_msg("%s", err.message);
  assert_int_equal(npy_count(array), N);
}

static void open_box(struct box *box, struct bench *b)
{
  read("x.npy", &box->x);
  read("w.npy", &box->w);
  read("v.npy", &box->v);
  read("map.npy", &box->map);
  bench_open(b, H, W, 1, 1, predict, box);
  memcpy(b->input.x, box->x.data, N * sizeof(float));
  memcpy(b->input.u, box->x.data, N * sizeof(float));
  b->explain.seed = 5;
}

static void close_box(struct box *box, struct bench *b)
{
  bench_close(b);
  npy_free(&box->x);
  npy_free(&box->w);
  npy_free(&box->v);
  npy_free(&box->map);
}

static void expect_curve(const struct measurement *m, const char *curve, const json_t *wanted, bool falls)
{
  const double start = point_in(m, curve, 0);
  assert_int_equal(points_in(m, curve), json_array_size(wanted) + falls);
  for (size_t k = 0; k < json_array_size(wanted); k++) {
    const double got = falls ? start - point_in(m, curve, (int)k + 1) : point_in(m, curve, (int)k);
    assert_near(got, json_number_value(json_array_get(wanted, k)), 1e-5);
  }
}

static double mean_fall(const json_t *falls)
{
  double sum = 0;
  for (size_t k = 0; k < json_array_size(falls); k++)
    sum += json_number_value(json_array_get(falls, k));
  return sum / (double)(json_array_size(falls) + 1);
}

/* Quantus gives f(x) - f(x_k) for k = 1 … L; AOPC divides their sum by L + 1. */
static void test_region(void **state)
{
  struct box box;
  struct bench b;
  (void)state;
  open_box(&box, &b);
  json_t *figures = golden_json("metrics", "figures.json");
  struct measurement m = bench_run(&b, "region", "region=4 fill=0 steps=48 draws=2", box.map.data);
  assert_near(point_in(&m, "morf", 0), json_number_value(json_object_get(figures, "score")), 1e-6);
  assert_int_equal(json_array_size(json_object_get(figures, "morf")), STEPS);
  expect_curve(&m, "morf", json_object_get(figures, "morf"), true);
  expect_curve(&m, "lerf", json_object_get(figures, "lerf"), true);
  assert_near(value_in(&m, "aopc_morf"), mean_fall(json_object_get(figures, "morf")), 1e-5);
  assert_near(value_in(&m, "aopc_lerf"), mean_fall(json_object_get(figures, "lerf")), 1e-5);
  measurement_free(&m);
  json_decref(figures);
  close_box(&box, &b);
}

static void test_curves(void **state)
{
  struct box box;
  struct bench b;
  (void)state;
  open_box(&box, &b);
  json_t *figures = golden_json("metrics", "figures.json");
  struct measurement m = bench_run(&b, "deletion", "steps=96 fill=0", box.map.data);
  expect_curve(&m, "score", json_object_get(figures, "deletion"), false);
  assert_near(value_in(&m, "auc"), json_number_value(json_object_get(figures, "deletion_auc")), 1e-5);
  measurement_free(&m);
  m = bench_run(&b, "insertion", "steps=96 fill=0.5", box.map.data);
  expect_curve(&m, "score", json_object_get(figures, "insertion"), false);
  assert_near(value_in(&m, "auc"), json_number_value(json_object_get(figures, "insertion_auc")), 1e-5);
  measurement_free(&m);
  json_decref(figures);
  close_box(&box, &b);
}

/* The map w x^2. */
static bool run_square(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  const struct box *box = options;
  const int64_t dims[2] = {H, W};
  float *map = explanation_floats(out, "map", 2, dims, err);
  for (int i = 0; map && i < N; i++)
    map[i] =
        (float)((double)((const float *)box->w.data)[i] * (double)explain->input->x[i] * (double)explain->input->x[i]);
  return map != NULL;
}

static const struct param no_params[] = {PARAM_END};
static const struct method square = {.name = "square", .params = no_params, .options_size = 1, .run = run_square};

static void test_captum(void **state)
{
  static float map[N];
  struct box box;
  struct bench b;
  (void)state;
  open_box(&box, &b);
  json_t *figures = golden_json("metrics", "figures.json");
  const double plain = json_number_value(json_object_get(figures, "infidelity"));
  const double scaled = json_number_value(json_object_get(figures, "infidelity_scaled"));
  struct measurement m = bench_run(&b, "infidelity", "samples=200 fill=0.25", box.map.data);
  assert_near(value_in(&m, "infidelity"), plain, 1e-5 * plain);
  assert_near(value_in(&m, "infidelity_scaled"), scaled, 1e-5);
  measurement_free(&m);
  b.method = &square;
  b.method_options = &box;
  for (int i = 0; i < N; i++)
    map[i] = (float)((double)((const float *)box.w.data)[i] * (double)b.input.x[i] * (double)b.input.x[i]);
  m = bench_run(&b, "sensitivity", "samples=6", map);
  assert_near(value_in(&m, "sensitivity"), json_number_value(json_object_get(figures, "sensitivity")), 1e-4);
  measurement_free(&m);
  json_decref(figures);
  close_box(&box, &b);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_region),
      cmocka_unit_test(test_curves),
      cmocka_unit_test(test_captum),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
