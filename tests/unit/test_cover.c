/* SPDX-License-Identifier: Apache-2.0 */
/* Covering the truth on a classifier whose score is the mean of some pixels. */
#include "measure.h"

enum { H = 8, W = 12, N = H * W };

/* The mean of the first row. */
static bool predict_row(void *context, const float *images, int n, float *scores, struct error *err)
{
  (void)context;
  (void)err;
  for (int i = 0; i < n; i++) {
    double sum = 0;
    for (int x = 0; x < W; x++)
      sum += (double)images[i * N + x];
    scores[i] = (float)(sum / W);
  }
  return true;
}

static void test_drop(void **state)
{
  struct bench b;
  unsigned char truth[N] = {0};
  (void)state;
  bench_open(&b, H, W, 1, 1, predict_row, NULL);
  b.truth = truth;
  double whole = 0, left = 0;
  for (int i = 0; i < N; i++)
    b.input.x[i] = b.input.u[i];
  for (int x = 0; x < W; x++)
    whole += (double)b.input.x[x] / W;
  for (int x = 6; x < W; x++)
    left += (double)b.input.x[x] / W;
  for (int y = 0; y < 2; y++)
    memset(truth + y * W, 1, 6); /* the left half of two rows, of which the model sees one */
  struct measurement m = bench_run(&b, "cover", "fill=0", NULL);
  assert_near(value_in(&m, "drop"), whole - left, 1e-6);
  assert_near(value_in(&m, "share"), 1 - left / whole, 1e-6);
  assert_near(value_in(&m, "covered"), left, 1e-6);
  measurement_free(&m);
  m = bench_run(&b, "cover", "fill=1", NULL);
  assert_near(value_in(&m, "covered"), left + 0.5, 1e-6);
  measurement_free(&m);

  /* The second of several fills; random ones: the mean over draws tends to the fill's own mean. */
  struct error err = {0};
  char name[64];
  const char *const fills[] = {"fill=0,uniform,inpaint", "draws=400", NULL};
  const struct metric *metric = metric_require("cover", &err);
  void *options = mem_zero(1, metric->options_size);
  assert_true(params_parse(metric->params, "cover", fills, options, &err));
  assert_true(metric->variant(options, 1, name, sizeof name));
  assert_string_equal(name, "uniform");
  assert_true(metric->variant(options, 2, name, sizeof name));
  assert_string_equal(name, "inpaint");
  assert_false(metric->variant(options, 3, name, sizeof name));
  mem_free(options);
  m = bench_run(&b, "cover", "fill=uniform draws=400", NULL);
  assert_near(value_in(&m, "covered"), left + 0.25, 0.02);
  measurement_free(&m);

  /* Nothing there: undefined, and said. */
  memset(truth, 0, sizeof truth);
  m = bench_run(&b, "cover", "fill=0", NULL);
  assert_true(json_is_null(json_object_get(m.values, "drop")));
  assert_int_equal(json_array_size(m.warnings), 1);
  measurement_free(&m);
  bench_close(&b);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_drop)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
