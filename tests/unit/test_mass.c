/* SPDX-License-Identifier: Apache-2.0 */
/* Mass, enrichment, precision and overlap of maps with masks; masks and boxes read from files. */
#include "measure.h"

#include "base/files.h"
#include "image/image.h"
#include "metrics/truth.h"
#include "scratch.h"

enum { H = 12, W = 16, N = H * W };

static float map[N];
static unsigned char truth[N];

static void open_bench(struct bench *b)
{
  static int classes = 1;
  bench_open(b, H, W, 1, 1, predict_constant, &classes);
  for (int i = 0; i < N; i++) {
    truth[i] = i / W < 3 && i % W >= 10; /* 18 px */
    map[i] = (float)rng_normal(4, RNG_NOISE, 0, (uint64_t)i);
  }
  b->truth = truth;
}

static void test_properties(void **state)
{
  static float flat[N], same[N];
  struct bench b;
  (void)state;
  open_bench(&b);
  double inside = 0, all = 0;
  for (int i = 0; i < N; i++) {
    flat[i] = 0.5f;
    same[i] = truth[i];
    all += map[i] > 0 ? (double)map[i] : 0;
    inside += truth[i] && map[i] > 0 ? (double)map[i] : 0;
  }
  struct measurement m = bench_run(&b, "mass", "", map);
  const double mass = value_in(&m, "mass");
  assert_near(mass, inside / all, 1e-12);
  assert_near(value_in(&m, "enrichment"), mass * N / 18, 1e-9);
  measurement_free(&m);
  m = bench_run(&b, "mass", "", flat);
  assert_near(value_in(&m, "enrichment"), 1, 1e-12);
  measurement_free(&m);
  m = bench_run(&b, "mass", "", same);
  assert_true(value_in(&m, "mass") == 1 && value_in(&m, "iou") == 1 && value_in(&m, "precision") == 1);
  measurement_free(&m);
  /* 9 of the 18 highest pixels are in the mask: precision 1/2, IoU 9/27 */
  for (int i = 0, n = 0; i < N; i++)
    if (truth[i] && n++ < 9)
      same[i] = 0;
  for (int i = 0; i < 9; i++)
    same[N - 1 - i] = 1;
  m = bench_run(&b, "mass", "", same);
  assert_near(value_in(&m, "precision"), 0.5, 1e-12);
  assert_near(value_in(&m, "iou"), 1 / 3.0, 1e-12);
  assert_near(value_in(&m, "mass"), 0.5, 1e-12);
  measurement_free(&m);
  for (int i = 0; i < N; i++)
    truth[i] = !truth[i];
  m = bench_run(&b, "mass", "", map);
  assert_near(value_in(&m, "mass") + mass, 1, 1e-12);
  measurement_free(&m);
  for (int i = 0; i < N; i++) {
    flat[i] = -1;
    truth[i] = 0;
  }
  m = bench_run(&b, "mass", "", flat);
  assert_true(isnan(value_in(&m, "mass")) && isnan(value_in(&m, "iou")));
  assert_true(warned_in(&m, "empty-truth") && warned_in(&m, "no-positive"));
  measurement_free(&m);
  bench_close(&b);
}

/* ---- truth ------------------------------------------------------------------------------------------------------ */

/* 40x30 px of the source, halved to 20x15 on the model grid. */
static const struct geometry half = {40, 30, 20, 15, 0, 0, 20, 15};

static void expect_path(const char *pattern, const char *image, const char *wanted)
{
  char path[256];
  struct error err = {0};
  assert_true(truth_path(pattern, image, "big nodule", path, sizeof path, &err));
  assert_string_equal(path, wanted);
}

static void test_paths(void **state)
{
  (void)state;
  expect_path("a/b.png", "x/film.jpeg", "a/b.png");
  expect_path("{dir}/mask_{label}.png", "x/y/film.jpeg", "x/y/mask_big nodule.png");
  expect_path("{dir}/{stem}.m.png", "film.a.jpeg", "./film.a.m.png");
  expect_path("{dir}/t.png", "/film", "//t.png");
  expect_path("{other}{", "film", "{other}{");
  char path[8];
  struct error err = {0};
  assert_false(truth_path("{stem}", "a-long-name.png", "", path, sizeof path, &err));
  assert_int_equal(err.code, ERROR_USAGE);
}

static void test_mask_files(void **state)
{
  (void)state;
  struct error err = {0};
  const char *dir = scratch;
  char path[512];
  unsigned char mask[20 * 15];
  struct image picture;
  assert_true(image_new(&picture, 40, 30, 3, PIXEL_U8, &err));
  memset(picture.data, 0, 40 * 30 * 3);
  for (int y = 10; y < 20; y++)
    for (int x = 4; x < 8; x++)
      ((unsigned char *)picture.data)[(y * 40 + x) * 3 + 1] = 1; /* any channel, any value */
  (void)snprintf(path, sizeof path, "%s/film.png", dir);
  assert_true(image_write_png(&picture, path, &err));
  assert_true(truth_read(dir, "elsewhere/film.jpeg", "x", &half, mask, &err));
  for (int y = 0; y < 15; y++)
    for (int x = 0; x < 20; x++)
      assert_int_equal(mask[y * 20 + x], y >= 5 && y < 10 && x >= 2 && x < 4);
  const struct geometry other = {41, 30, 20, 15, 0, 0, 20, 15};
  assert_false(truth_read(path, "film.jpeg", "x", &other, mask, &err));
  assert_non_null(strstr(err.message, "a mask of 40x30 px; the image has 41x30, the model grid 20x15"));
  image_free(&picture);
}

static const char coco[] =
    "{\"images\": [{\"id\": 3, \"file_name\": \"sub/other.png\"}, {\"id\": 7, \"file_name\": "
    "\"film.png\"}], \"categories\": [{\"id\": 1, \"name\": \"nodule\"}, {\"id\": 2, \"name\": "
    "\"mass\"}], \"annotations\": [{\"image_id\": 7, \"category_id\": 1, \"bbox\": [4, 10, 4, 10]}, "
    "{\"image_id\": 7, \"category_id\": 2, \"bbox\": [0, 0, 40, 30]}, {\"image_id\": 3, "
    "\"category_id\": 1, \"bbox\": [0, 0, 2, 2]}, {\"image_id\": 7, \"category_id\": 1, \"bbox\": "
    "[36, 28, 100, 100]}]}";

static void test_boxes(void **state)
{
  (void)state;
  struct error err = {0};
  const char *dir = scratch;
  char path[512];
  unsigned char mask[20 * 15];
  (void)snprintf(path, sizeof path, "%s/boxes.json", dir);
  assert_true(file_write(path, coco, sizeof coco - 1, &err));
  assert_true(truth_read(path, "in/film.png", "nodule", &half, mask, &err));
  for (int y = 0; y < 15; y++)
    for (int x = 0; x < 20; x++)
      assert_int_equal(mask[y * 20 + x], (y >= 5 && y < 10 && x >= 2 && x < 4) || (y == 14 && x >= 18));
  assert_false(truth_read(path, "film.png", "effusion", &half, mask, &err));
  assert_non_null(strstr(err.message, "none of its 2 categories is called 'effusion'"));
  err = (struct error){0};
  assert_false(truth_read(path, "absent.png", "nodule", &half, mask, &err));
  assert_non_null(strstr(err.message, "lists no image called absent.png"));
  static const char *const broken[] = {
      "[]",
      "{\"images\": [{\"file_name\": \"film.png\", \"id\": 1}], \"categories\": [{\"id\": 1, \"name\": \"a\"}], "
      "\"annotations\": [{\"image_id\": 1, \"category_id\": 1, \"bbox\": [1, 2, -3, 4]}]}",
      "{\"images\": [{\"file_name\": \"film.png\", \"id\": 1}], \"categories\": [{\"id\": 1, \"name\": \"a\"}], "
      "\"annotations\": [{\"image_id\": 1, \"category_id\": 1, \"bbox\": [1, 2, 1e300, \"4\"]}]}",
  };
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    err = (struct error){0};
    assert_true(file_write(path, broken[i], strlen(broken[i]), &err));
    assert_false(truth_read(path, "film.png", "a", &half, mask, &err));
    assert_int_equal(err.code, ERROR_FAILED);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_properties),
      cmocka_unit_test(test_paths),
      cmocka_unit_test_setup_teardown(test_mask_files, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(test_boxes, scratch_setup, scratch_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
