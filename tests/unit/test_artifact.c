/* SPDX-License-Identifier: Apache-2.0 */
/* The artifact rate on black boxes that are fooled at places known beforehand. */
#include "measure.h"

#include "image/image.h"
#include "scratch.h"

enum { H = 16, W = 24, N = H * W };

/* Finding a: the share of black pixels in the left half, finding b: that of white ones anywhere. Both 0 on the picture.
 */
static bool predict_spots(void *context, const float *images, int n, float *scores, struct error *err)
{
  (void)context;
  (void)err;
  for (int i = 0; i < n; i++) {
    double black = 0, white = 0;
    for (int y = 0; y < H; y++)
      for (int x = 0; x < W; x++) {
        const float v = images[(i * H + y) * W + x];
        black += v == 0 && x < W / 2;
        white += v == 1;
      }
    scores[2 * i] = (float)fmin(1, black / 16);
    scores[2 * i + 1] = (float)fmin(1, white / 32);
  }
  return true;
}

static void open_bench(struct bench *b)
{
  struct error err = {0};
  bench_open(b, H, W, 1, 2, predict_spots, NULL);
  assert_true(card_set_text(&b->card, "normal=none above threshold", &err));
  b->card.normal = CARD_NORMAL_NONE_ABOVE;
  for (int i = 0; i < N; i++) /* nothing black or white in it */
    b->input.u[i] = b->input.x[i] = 0.25f + 0.5f * b->input.u[i];
}

/* 4x4 patches, stride 4: 4 x 6 positions, the 12 on the left blacken 16 px there: a at 1, above 0.5. */
static void test_rate(void **state)
{
  struct bench b;
  (void)state;
  open_bench(&b);
  struct measurement m = bench_run(&b, "artifact", "patch=4 stride=4 fill=black", NULL);
  assert_int_equal(detail_in(&m, "positions"), 24);
  assert_near(value_in(&m, "rate"), 0.5, 1e-12);
  assert_near(value_in(&m, "rise"), 0.5, 1e-12);
  assert_string_equal(json_string_value(json_object_get(m.details, "most_raised")), "a");
  assert_int_equal(json_integer_value(json_object_get(json_object_get(m.details, "crossed"), "a")), 12);
  const json_t *flips = json_object_get(m.details, "flips"), *data = json_object_get(flips, "data");
  for (int i = 0; i < 24; i++)
    assert_near(json_number_value(json_array_get(data, (size_t)i)), i % 6 < 3, 0);
  measurement_free(&m);
  /* white: b at 1/2 everywhere, on its threshold */
  m = bench_run(&b, "artifact", "patch=4 stride=4 fill=white", NULL);
  assert_near(value_in(&m, "rate"), 1, 1e-12);
  assert_near(value_in(&m, "rise"), 0.5, 1e-12);
  assert_string_equal(json_string_value(json_object_get(m.details, "most_crossed")), "b");
  measurement_free(&m);
  m = bench_run(&b, "artifact", "patch=4 stride=4 fill=0.3", NULL);
  assert_true(value_in(&m, "rate") == 0 && value_in(&m, "rise") == 0);
  assert_true(json_is_null(json_object_get(m.details, "most_raised")));
  measurement_free(&m);
  bench_close(&b);
}

/* On fixed images and positions lower thresholds never lower the rate. */
static void test_thresholds(void **state)
{
  struct bench b;
  double before = 0;
  (void)state;
  open_bench(&b);
  for (int i = 10; i >= 1; i--) {
    b.thresholds[0] = i / 10.0;
    b.thresholds[1] = 2;
    struct measurement m = bench_run(&b, "artifact", "patch=4x3 stride=1 fill=black", NULL);
    assert_true(value_in(&m, "rate") >= before);
    before = value_in(&m, "rate");
    measurement_free(&m);
  }
  assert_true(before > 0.4);
  bench_close(&b);
}

/* An image that is not normal is skipped; a classifier whose decision cannot be read is refused. */
static void test_decisions(void **state)
{
  struct bench b;
  (void)state;
  open_bench(&b);
  b.thresholds[0] = 0;
  struct measurement m = bench_run(&b, "artifact", "", NULL);
  assert_true(isnan(value_in(&m, "rate")) && json_object_get(m.details, "skipped"));
  measurement_free(&m);
  b.thresholds[0] = 0.5;
  b.card.normal = CARD_NORMAL_UNSET;
  bench_refuses(&b, "artifact", "", NULL, "names no normal class");
  b.card.normal = 1; /* softmax-like: class b on top is normal */
  m = bench_run(&b, "artifact", "patch=4", NULL);
  assert_non_null(json_object_get(m.details, "skipped")); /* both are 0: a is on top */
  measurement_free(&m);
  b.card.normal = CARD_NORMAL_NONE_ABOVE;
  b.explain.evaluate.session.score = SCORE_PROB;
  bench_refuses(&b, "artifact", "patch=17", NULL, "patch: 17 is outside 1..16");
  bench_refuses(&b, "artifact", "patch=4 stride=5", NULL, "stride-gap");
  bench_refuses(&b, "artifact", "fill=pink", NULL, "fill: 'pink' is none of");
  bench_close(&b);
}

static void test_variants(void **state)
{
  static const char *const wanted[] = {"black, patch 4",    "black, patch 8x6", "blur:2, patch 4",
                                       "blur:2, patch 8x6", "set:a,b, patch 4", "set:a,b, patch 8x6"};
  struct error err = {0};
  char name[128];
  (void)state;
  const struct metric *metric = metric_require("artifact", &err);
  void *options = mem_zero(1, metric->options_size);
  assert_true(params_parse(metric->params, "artifact",
                           (const char *const[]){"fill=black,blur:2,set:a,b", "patch=4,8x6", NULL}, options, &err));
  for (int i = 0; i < 6; i++) {
    assert_true(metric->variant(options, i, name, sizeof name));
    assert_string_equal(name, wanted[i]);
  }
  assert_false(metric->variant(options, 6, name, sizeof name));
  assert_true(params_parse(metric->params, "artifact", NULL, options, &err));
  assert_true(metric->variant(options, 4, name, sizeof name));
  assert_string_equal(name, "inpaint");
  assert_false(metric->variant(options, 5, name, sizeof name));
  mem_free(options);
}

/* Patches whose centre lies in the mask. */
static void test_within(void **state)
{
  struct bench b;
  struct image mask;
  struct error err = {0};
  char arguments[400];
  (void)state;
  open_bench(&b);
  assert_true(image_new(&mask, W, H, 1, PIXEL_U8, &err));
  for (int i = 0; i < N; i++)
    ((unsigned char *)mask.data)[i] = i % W < 8 ? 255 : 0;
  assert_true(image_write_png(&mask, scratch_path("film.lungs.png"), &err));
  (void)snprintf(arguments, sizeof arguments, "patch=4 stride=4 fill=black within=%s/{stem}.lungs.png", scratch);
  struct measurement m = bench_run(&b, "artifact", arguments, NULL);
  assert_int_equal(detail_in(&m, "positions"), 8);
  assert_near(value_in(&m, "rate"), 1, 1e-12);
  measurement_free(&m);
  memset(mask.data, 0, N);
  assert_true(image_write_png(&mask, scratch_path("film.lungs.png"), &err));
  bench_refuses(&b, "artifact", arguments, NULL, "holds no patch's centre");
  image_free(&mask);
  bench_close(&b);
}

/* What covers the image with itself changes nothing. */
static void test_self(void **state)
{
  struct bench b;
  struct image same;
  struct error err = {0};
  char arguments[400];
  (void)state;
  open_bench(&b);
  b.thresholds[0] = 0.01;
  assert_true(image_new(&same, W, H, 1, PIXEL_U8, &err));
  same.lo = 0;
  same.hi = 255;
  for (int i = 0; i < N; i++) {
    ((unsigned char *)same.data)[i] = (unsigned char)(60 + i % 100);
    b.input.u[i] = b.input.x[i] = (float)(60 + i % 100);
  }
  b.input.lo = 0;
  b.input.hi = 255;
  b.input.preprocessed = false;
  assert_true(image_write_png(&same, scratch_path("self.png"), &err));
  (void)snprintf(arguments, sizeof arguments, "patch=4 fill=image:%s", scratch_path("self.png"));
  struct measurement m = bench_run(&b, "artifact", arguments, NULL);
  assert_true(value_in(&m, "rate") == 0 && value_in(&m, "rise") == 0);
  measurement_free(&m);
  image_free(&same);
  bench_close(&b);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rate),
      cmocka_unit_test(test_thresholds),
      cmocka_unit_test(test_decisions),
      cmocka_unit_test(test_variants),
      cmocka_unit_test_setup_teardown(test_within, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(test_self, scratch_setup, scratch_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
