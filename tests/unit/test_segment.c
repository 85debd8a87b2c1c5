/* SPDX-License-Identifier: Apache-2.0 */
#include "../support/scene.h"
#include "base/npy.h"
#include "base/threads.h"
#include "fault.h"
#include "golden.h"
#include "perturb/segment.h"
#include "scratch.h"
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A picture on the model grid, as the segments see it. */
struct picture {
  struct card card;
  struct input input;
  struct segment_scene scene;
};

static int64_t pixels_of(const struct picture *p)
{
  return (int64_t)p->input.geometry.height * p->input.geometry.width;
}

static struct picture *picture_new(int height, int width, int channels)
{
  struct picture *p = calloc(1, sizeof *p);
  assert_non_null(p);
  p->card.channel_count = channels;
  p->card.channels = channels == 1 ? CHANNELS_GRAY : channels == 3 ? CHANNELS_RGB : CHANNELS_UNSET;
  p->card.height = height;
  p->card.width = width;
  p->input.geometry = (struct geometry){width, height, width, height, 0, 0, width, height};
  p->input.channels = channels;
  p->input.hi = 255;
  p->input.u = calloc((size_t)height * (size_t)width * (size_t)channels, sizeof *p->input.u);
  assert_non_null(p->input.u);
  p->scene = (struct segment_scene){&p->card, &p->input};
  return p;
}

static void picture_free(struct picture *p)
{
  free(p->input.u);
  free(p);
}

static struct picture *picture_scene(uint32_t seed, int height, int width, int channels)
{
  struct picture *p = picture_new(height, width, channels);
  const int64_t n = pixels_of(p) * channels;
  uint8_t *codes = malloc((size_t)n);
  assert_non_null(codes);
  scene_draw(seed, height, width, channels, codes);
  for (int64_t i = 0; i < n; i++)
    p->input.u[i] = codes[i];
  free(codes);
  return p;
}

/* The labels, free(); checks that they are 0..count-1 in the order in which they first appear. */
static int32_t *cut(const struct picture *p, const char *text, const char *range, int64_t *count)
{
  struct error err = {0};
  int32_t *labels = malloc((size_t)pixels_of(p) * sizeof *labels);
  assert_non_null(labels);
  if (!segment_image(text, range, &p->scene, labels, count, &err))
    fail_msg("%s: %s", text, err.message);
  int32_t next = 0;
  for (int64_t i = 0; i < pixels_of(p); i++) {
    assert_in_range(labels[i], 0, next);
    next += labels[i] == next;
  }
  assert_int_equal(next, *count);
  return labels;
}

static void assert_same(const int32_t *a, const int32_t *b, int64_t n, const char *what)
{
  for (int64_t i = 0; i < n; i++)
    if (a[i] != b[i])
      fail_msg("%s: pixel %lld is in %d, not %d", what, (long long)i, a[i], b[i]);
}

/* Both pictures give the same segments. */
static void compare(const struct picture *a, const struct picture *b, const char *text, const char *range)
{
  int64_t na, nb;
  int32_t *la = cut(a, text, range, &na), *lb = cut(b, text, range, &nb);
  assert_int_equal(na, nb);
  assert_same(la, lb, pixels_of(a), text);
  free(la);
  free(lb);
}

static void refuse(const struct picture *p, const char *text, const char *range, enum error_code code, const char *part)
{
  struct error err = {0};
  int64_t count;
  int32_t *labels = malloc((size_t)pixels_of(p) * sizeof *labels);
  assert_non_null(labels);
  assert_false(segment_image(text, range, &p->scene, labels, &count, &err));
  free(labels);
  if (err.code != code || !strstr(err.message, part))
    fail_msg("%s: '%s' (%d) lacks '%s' (%d)", text, err.message, err.code, part, code);
}

/* Hubert & Arabie, "Comparing partitions", 1985. */
static double adjusted_rand(const int32_t *a, int64_t na, const int32_t *b, int64_t nb, int64_t n)
{
  int64_t *both = calloc((size_t)(na * nb), sizeof *both), *only_a = calloc((size_t)na, sizeof *only_a);
  int64_t *only_b = calloc((size_t)nb, sizeof *only_b);
  assert_true(both && only_a && only_b);
  for (int64_t i = 0; i < n; i++) {
    both[a[i] * nb + b[i]]++;
    only_a[a[i]]++;
    only_b[b[i]]++;
  }
  double pairs = 0, pairs_a = 0, pairs_b = 0;
  for (int64_t i = 0; i < na * nb; i++)
    pairs += (double)both[i] * (double)(both[i] - 1) / 2;
  for (int64_t i = 0; i < na; i++)
    pairs_a += (double)only_a[i] * (double)(only_a[i] - 1) / 2;
  for (int64_t i = 0; i < nb; i++)
    pairs_b += (double)only_b[i] * (double)(only_b[i] - 1) / 2;
  free(both);
  free(only_a);
  free(only_b);
  const double chance = pairs_a * pairs_b / ((double)n * (double)(n - 1) / 2);
  return (pairs - chance) / ((pairs_a + pairs_b) / 2 - chance);
}

/* ---- against scikit-image ---- */

static void compare_case(const struct picture *p, const json_t *c, double least)
{
  const char *file = json_string_value(json_object_get(c, "file"));
  char labels_of[1100];
  int64_t wanted_count, count;
  (void)snprintf(labels_of, sizeof labels_of, "file:%s", golden_path("segment", file));
  int32_t *wanted = cut(p, labels_of, "card", &wanted_count);
  int32_t *got = cut(p, json_string_value(json_object_get(c, "segments")), "card", &count);
  assert_int_equal(wanted_count, json_integer_value(json_object_get(c, "count")));
  const double index = adjusted_rand(got, count, wanted, wanted_count, pixels_of(p));
  if (index < least)
    fail_msg("%s: adjusted Rand index %.4f is below %g", file, index, least);
  assert_true(llabs(count - wanted_count) <= 2);
  free(wanted);
  free(got);
}

static void agrees_on_scenes(void **state)
{
  (void)state;
  json_t *cases = golden_json("segment", "cases.json"), *c;
  size_t i, seen = 0;
  json_array_foreach (cases, i, c) {
    int seed, height, width, channels;
    if (json_unpack(c, "{s:i, s:[iii]}", "seed", &seed, "shape", &height, &width, &channels) != 0)
      continue;
    struct picture *p = picture_scene((uint32_t)seed, height, width, channels);
    compare_case(p, c, 0.98);
    picture_free(p);
    seen++;
  }
  assert_int_equal(seen, 12);
  json_decref(cases);
}

/* As make.py made it: shrunk as Pillow does, its codes stretched to 0..255. */
static struct picture *picture_photo(const char *path, int height, int width)
{
  struct error err = {0};
  struct image photo, small;
  assert_true(image_read(path, &photo, &err));
  assert_true(image_resize(&photo, width, height, INTERPOLATION_BILINEAR, &small, &err));
  struct picture *p = picture_new(height, width, small.channels);
  const unsigned char *codes = small.data;
  const int64_t n = pixels_of(p) * small.channels;
  int least = 255, greatest = 0;
  for (int64_t i = 0; i < n; i++) {
    least = codes[i] < least ? codes[i] : least;
    greatest = codes[i] > greatest ? codes[i] : greatest;
  }
  for (int64_t i = 0; i < n; i++)
    p->input.u[i] = (float)((codes[i] - least) * 255 / (greatest - least));
  image_free(&photo);
  image_free(&small);
  return p;
}

static void agrees_on_a_photo(void **state)
{
  (void)state;
  const char *path = shared_path("images/photos/chelsea.png");
  json_t *cases = golden_json("segment", "cases.json"), *c;
  size_t i, seen = 0;
  struct picture *p = picture_photo(path, 128, 160);
  json_array_foreach (cases, i, c) {
    if (json_object_get(c, "photo")) {
      compare_case(p, c, 0.95);
      seen++;
    }
  }
  assert_int_equal(seen, 4);
  picture_free(p);
  json_decref(cases);
}

/* ---- quick shift as its definition says, pixel by pixel in double ---- */

static double square_distance(const struct picture *p, double ratio, int64_t i, int64_t k)
{
  const int width = p->input.geometry.width;
  const double dy = (double)(i / width - k / width), dx = (double)(i % width - k % width);
  const double colour = 100 * ratio / 65535 * ((double)p->input.u[2 * i] - (double)p->input.u[2 * k]);
  const double other = 100 * ratio / 65535 * ((double)p->input.u[2 * i + 1] - (double)p->input.u[2 * k + 1]);
  return dy * dy + dx * dx + colour * colour + other * other;
}

static void plain_quickshift(const struct picture *p, double kernel, double max_dist, double ratio, int32_t *root)
{
  const int width = p->input.geometry.width, radius = (int)ceil(3 * kernel);
  const int64_t n = pixels_of(p);
  double *density = calloc((size_t)n, sizeof *density);
  assert_non_null(density);
  for (int pass = 0; pass < 2; pass++)
    for (int64_t i = 0; i < n; i++) {
      double nearest = INFINITY;
      for (int64_t k = 0; k < n; k++) {
        if (llabs(i / width - k / width) > radius || llabs(i % width - k % width) > radius)
          continue;
        const double d = square_distance(p, ratio, i, k);
        if (pass == 0) {
          density[i] += exp(-d / (2 * kernel * kernel));
        } else if ((density[k] > density[i] || (density[k] == density[i] && k < i)) && d < nearest) {
          nearest = d;
          root[i] = (int32_t)k;
        }
      }
      if (pass == 1 && !(sqrt(nearest) <= max_dist))
        root[i] = (int32_t)i;
    }
  for (int64_t i = 0; i < n; i++)
    while (root[root[i]] != root[i])
      root[i] = root[root[i]];
  free(density);
}

/* Two channels, which are compared as they are: no colour conversion stands between. Noise below the scene's codes
 * keeps two distances from being the same but for rounding. */
static void quickshift_is_its_definition(void **state)
{
  (void)state;
  static const double settings[][3] = {{2, 200, 0.2}, {1.3, 3, 1}, {5, 20, 0.05}};
  static const int sizes[][2] = {{25, 40}, {48, 17}, {3, 33}};
  for (int s = 0; s < 3; s++)
    for (int k = 0; k < 3; k++) {
      struct picture *p = picture_scene(60 + (uint32_t)s, sizes[s][0], sizes[s][1], 2);
      const int64_t n = pixels_of(p);
      char text[100];
      int64_t count, wanted = 0;
      for (int64_t i = 0; i < 2 * n; i++)
        p->input.u[i] = p->input.u[i] * 257 + (float)(scene_mix((uint32_t)i) & 255) - 128;
      p->input.lo = -128;
      p->input.hi = 65535 - 128;
      (void)snprintf(text, sizeof text, "quickshift:kernel=%g,max_dist=%g,ratio=%g", settings[k][0], settings[k][1],
                     settings[k][2]);
      int32_t *got = cut(p, text, "card", &count), *root = calloc((size_t)n, sizeof *root);
      assert_non_null(root);
      plain_quickshift(p, settings[k][0], settings[k][1], settings[k][2], root);
      for (int64_t i = 0; i < n; i++) {
        wanted += root[i] == i;
        assert_int_equal(got[i], got[root[i]]);
      }
      assert_int_equal(count, wanted);
      free(got);
      free(root);
      picture_free(p);
    }
}

/* ---- colours ---- */

static const char *const kinds_of_colour[] = {"quickshift:kernel=2", "slic:30", "slic:n=200,compactness=3"};

static struct picture *scaled(const struct picture *p, double gain, double shift)
{
  struct picture *q = picture_new(p->input.geometry.height, p->input.geometry.width, p->input.channels);
  for (int64_t i = 0; i < pixels_of(p) * p->input.channels; i++)
    q->input.u[i] = (float)((double)p->input.u[i] * gain + shift);
  q->input.lo = p->input.lo * gain + shift;
  q->input.hi = p->input.hi * gain + shift;
  return q;
}

static void units_do_not_matter(void **state)
{
  (void)state;
  static const double other[][2] = {{1.0 / 255, 0}, {257, 0}, {8, -1000}, {255, 0}};
  for (int channels = 1; channels <= 4; channels++) {
    struct picture *p = picture_scene(11, 50, 71, channels);
    for (int k = 0; k < 4; k++) {
      struct picture *q = scaled(p, other[k][0], other[k][1]);
      for (int i = 0; i < 3; i++) {
        compare(p, q, kinds_of_colour[i], "card");
        compare(p, q, kinds_of_colour[i], "robust");
      }
      picture_free(q);
    }
    picture_free(p);
  }
}

static void gray_is_gray_as_rgb(void **state)
{
  (void)state;
  struct picture *gray = picture_scene(12, 61, 40, 1), *rgb = picture_new(61, 40, 3);
  for (int64_t i = 0; i < pixels_of(gray) * 3; i++)
    rgb->input.u[i] = gray->input.u[i / 3];
  for (int i = 0; i < 3; i++)
    compare(gray, rgb, kinds_of_colour[i], "card");
  picture_free(gray);
  picture_free(rgb);
}

static void channel_order_does_not_matter(void **state)
{
  (void)state;
  struct picture *rgb = picture_scene(13, 44, 60, 3), *bgr = picture_new(44, 60, 3);
  bgr->card.channels = CHANNELS_BGR;
  for (int64_t i = 0; i < pixels_of(rgb); i++)
    for (int c = 0; c < 3; c++)
      bgr->input.u[i * 3 + c] = rgb->input.u[i * 3 + 2 - c];
  for (int i = 0; i < 3; i++)
    compare(rgb, bgr, kinds_of_colour[i], "card");
  picture_free(rgb);
  picture_free(bgr);
}

/* A few hot pixels change nothing when black and white are percentiles; padding is not counted among them. */
static void robust_range_ignores_outliers(void **state)
{
  (void)state;
  struct picture *p = picture_new(40, 50, 1), *hot = picture_new(40, 50, 1), *padded = picture_new(60, 50, 1);
  for (int64_t i = 0; i < 2000; i++)
    p->input.u[i] = (float)(50 + 100 * (i % 50 >= 25) + i % 3);
  memcpy(hot->input.u, p->input.u, 2000 * sizeof(float));
  hot->input.u[1234] = 255;
  hot->input.u[77] = 0;
  memcpy(padded->input.u + 500, p->input.u, 2000 * sizeof(float));
  padded->input.geometry = (struct geometry){50, 40, 50, 40, 0, 10, 50, 60};
  int64_t n, n_hot, n_padded;
  int32_t *a = cut(p, "slic:8", "robust", &n), *b = cut(hot, "slic:8", "robust", &n_hot);
  int32_t *c = cut(padded, "quickshift:kernel=2,max_dist=9", "robust", &n_padded);
  assert_true(adjusted_rand(a, n, b, n_hot, 2000) > 0.9);
  /* 50 and 150 of 0..255 are 0 and 100 of lightness here: much farther apart than max_dist */
  int64_t n_card;
  int32_t *d = cut(padded, "quickshift:kernel=2,max_dist=9", "card", &n_card);
  assert_int_not_equal(c[30 * 50 + 24], c[30 * 50 + 25]);
  free(a);
  free(b);
  free(c);
  free(d);
  picture_free(p);
  picture_free(hot);
  picture_free(padded);
}

static void constant_pictures(void **state)
{
  (void)state;
  for (int channels = 1; channels <= 4; channels++) {
    struct picture *p = picture_new(40, 60, channels);
    for (int64_t i = 0; i < pixels_of(p) * channels; i++)
      p->input.u[i] = 77;
    for (int flat = 0; flat < 2; flat++) { /* black = white, as an array of one value has it */
      int64_t count;
      free(cut(p, "quickshift", "card", &count));
      assert_int_equal(count, 1);
      free(cut(p, "slic:24", "robust", &count));
      assert_int_equal(count, 24);
      p->input.lo = p->input.hi = 77;
    }
    picture_free(p);
  }
}

/* ---- shapes ---- */

static void any_size_and_channels(void **state)
{
  (void)state;
  static const int sizes[][2] = {{1, 1}, {1, 2}, {1, 37}, {53, 1}, {2, 2}, {5, 3}, {16, 16}, {17, 90}, {7, 2048}};
  static const char *const texts[] = {"quickshift", "quickshift:kernel=9,max_dist=12", "slic", "slic:1", "slic:100000",
                                      "grid:1"};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (int channels = 1; channels <= 4; channels++) {
      struct picture *p = picture_scene(21, sizes[s][0], sizes[s][1], channels);
      for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
        int64_t count;
        free(cut(p, texts[t], "card", &count));
        assert_in_range(count, 1, pixels_of(p));
      }
      picture_free(p);
    }
}

static void same_for_any_number_of_threads(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    int height, width; /* large enough for the work to be shared */
  } cases[] = {{"quickshift", 101, 83}, {"slic:60", 701, 1130}};
  for (int k = 0; k < 2; k++) {
    struct picture *p = picture_scene(22, cases[k].height, cases[k].width, 3);
    int64_t count, again;
    threads_use(1);
    int32_t *one = cut(p, cases[k].text, "robust", &count);
    for (int threads = 2; threads <= 3; threads++) {
      threads_use(threads);
      int32_t *more = cut(p, cases[k].text, "robust", &again);
      assert_int_equal(again, count);
      assert_same(one, more, pixels_of(p), cases[k].text);
      free(more);
    }
    free(one);
    picture_free(p);
  }
  threads_use(0);
}

/* Size of the 4-connected piece around pixel `at`, whose labels become -1. */
static int64_t flood(int32_t *labels, int height, int width, int64_t at)
{
  int64_t *queue = malloc((size_t)height * (size_t)width * sizeof *queue), size = 1;
  assert_non_null(queue);
  const int32_t label = labels[at];
  queue[0] = at;
  labels[at] = -1;
  for (int64_t i = 0; i < size; i++)
    for (int side = 0; side < 4; side++) {
      const int64_t y = queue[i] / width + (side == 0) - (side == 1), x = queue[i] % width + (side == 2) - (side == 3);
      if (y >= 0 && y < height && x >= 0 && x < width && labels[y * width + x] == label) {
        labels[y * width + x] = -1;
        queue[size++] = y * width + x;
      }
    }
  free(queue);
  return size;
}

static void slic_pieces_are_whole_and_of_some_size(void **state)
{
  (void)state;
  static const int sizes[][2] = {{96, 128}, {50, 200}, {224, 224}};
  for (int s = 0; s < 3; s++) {
    const int height = sizes[s][0], width = sizes[s][1];
    struct picture *p = picture_scene(31, height, width, 3);
    int64_t count, pieces = 0, small = 0;
    int32_t *labels = cut(p, "slic:80", "card", &count);
    for (int64_t i = 0; i < pixels_of(p); i++)
      if (labels[i] >= 0) {
        pieces++;
        small += flood(labels, height, width, i) < pixels_of(p) / 80 / 3;
      }
    assert_int_equal(pieces, count);
    assert_int_equal(small, 0);
    assert_in_range(count, 50, 110);
    free(labels);
    picture_free(p);
  }
}

static void grid_cells(void **state)
{
  (void)state;
  static const struct {
    const char *text;
    int rows, columns;
  } cases[] = {{"grid", 8, 8}, {"grid:3x5", 3, 5}, {"grid:4", 4, 4}, {"grid:37x29", 37, 29}, {"grid:1x1", 1, 1}};
  struct picture *p = picture_new(37, 29, 1);
  for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
    int64_t count;
    int32_t *labels = cut(p, cases[k].text, "card", &count);
    assert_int_equal(count, cases[k].rows * cases[k].columns);
    for (int y = 0; y < 37; y++)
      for (int x = 0; x < 29; x++)
        assert_int_equal(labels[y * 29 + x], y * cases[k].rows / 37 * cases[k].columns + x * cases[k].columns / 29);
    free(labels);
  }
  picture_free(p);
}

/* ---- label images ---- */

static const char *file_text(const char *name)
{
  static char text[600];
  (void)snprintf(text, sizeof text, "file:%s", scratch_path(name));
  return text;
}

static void write_npy(const char *name, enum npy_type type, int64_t height, int64_t width, void *data)
{
  struct error err = {0};
  const struct npy array = {.type = type, .rank = 2, .dim = {height, width}, .data = data};
  if (!npy_write(scratch_path(name), &array, &err))
    fail_msg("%s", err.message);
}

static void labels_of_any_numbers(void **state)
{
  (void)state;
  static int32_t numbers[] = {5, 5, -7, 2000000000, 5, -7, 2000000000, -2147483647 - 1};
  static float same[] = {1, 1, -3, 0, 1, -3, 0, 1e9f};
  static const int32_t wanted[] = {0, 0, 1, 2, 0, 1, 2, 3};
  struct picture *p = picture_new(2, 4, 1);
  write_npy("whole.npy", NPY_I32, 2, 4, numbers);
  write_npy("real.npy", NPY_F32, 2, 4, same);
  for (int k = 0; k < 2; k++) {
    int64_t count;
    int32_t *labels = cut(p, file_text(k ? "real.npy" : "whole.npy"), "card", &count);
    assert_int_equal(count, 4);
    assert_same(labels, wanted, 8, "labels");
    free(labels);
  }
  picture_free(p);
}

static void labels_from_pictures(void **state)
{
  (void)state;
  static uint8_t gray[] = {9, 9, 200, 0, 9, 200};
  static uint16_t deep[] = {9, 9, 265, 65535, 9, 265}; /* 9 and 265 are equal modulo 256 */
  static uint8_t colour[] = {1, 2, 3, 1, 2, 3, 3, 2, 1, 0, 0, 0, 1, 2, 3, 3, 2, 1};
  static const int32_t wanted[] = {0, 0, 1, 2, 0, 1};
  const struct image pictures[] = {{.width = 3, .height = 2, .channels = 1, .type = PIXEL_U8, .data = gray},
                                   {.width = 3, .height = 2, .channels = 1, .type = PIXEL_U16, .data = deep},
                                   {.width = 3, .height = 2, .channels = 3, .type = PIXEL_U8, .data = colour}};
  struct picture *p = picture_new(2, 3, 3);
  for (int k = 0; k < 3; k++) {
    struct error err = {0};
    int64_t count;
    assert_true(image_write_png(&pictures[k], scratch_path("labels.png"), &err));
    int32_t *labels = cut(p, file_text("labels.png"), "card", &count);
    assert_int_equal(count, 3);
    assert_same(labels, wanted, 6, "labels");
    free(labels);
  }
  picture_free(p);
}

/* On the source's grid: enlarged twice, one model row cut off above, two columns of padding at the left. */
static void labels_on_the_source(void **state)
{
  (void)state;
  static int32_t numbers[] = {INT32_MIN, 16777217, 16777216, 3, 3, INT32_MAX};
  static const int32_t wanted[] = {
      0, 0, 1, 1, 2, 2, 3, 3, /* row 0 of the source, its second half */
      0, 0, 4, 4, 4, 4, 5, 5, 0, 0, 4, 4, 4, 4, 5, 5,
  };
  struct picture *p = picture_new(3, 8, 1);
  p->input.geometry = (struct geometry){3, 2, 6, 4, 2, -1, 8, 3};
  write_npy("source.npy", NPY_I32, 2, 3, numbers);
  int64_t count;
  int32_t *labels = cut(p, file_text("source.npy"), "card", &count);
  assert_int_equal(count, 6);
  assert_same(labels, wanted, 24, "labels");
  free(labels);
  picture_free(p);
}

static void refuses_label_images(void **state)
{
  (void)state;
  static int32_t numbers[12];
  static float fraction[] = {0, 1, 2, 3, 0.5f, 0}, nothing[] = {0, 1, NAN, 3, 4, 5}, huge[] = {0, 0, 0, 0, 0, 3e9f};
  struct picture *p = picture_new(2, 3, 1);
  struct error err = {0};
  p->input.geometry.source_height = 20;
  p->input.geometry.source_width = 30;
  write_npy("size.npy", NPY_I32, 3, 4, numbers);
  refuse(p, file_text("size.npy"), "card", ERROR_FAILED, "size.npy: labels of 3x4");
  refuse(p, file_text("size.npy"), "card", ERROR_FAILED, "the source's 20x30 nor the model's 2x3 (segments-shape)");
  write_npy("turned.npy", NPY_I32, 3, 2, numbers);
  refuse(p, file_text("turned.npy"), "card", ERROR_FAILED, "(segments-shape)");
  write_npy("fraction.npy", NPY_F32, 2, 3, fraction);
  refuse(p, file_text("fraction.npy"), "card", ERROR_FAILED, "the label at [1,1] is 0.5, not a whole number");
  write_npy("nan.npy", NPY_F32, 2, 3, nothing);
  refuse(p, file_text("nan.npy"), "card", ERROR_FAILED, "the label at [0,2] is nan");
  write_npy("huge.npy", NPY_F32, 2, 3, huge);
  refuse(p, file_text("huge.npy"), "card", ERROR_FAILED, "the label at [1,2] is 3e+09");
  const struct npy line = {.type = NPY_I32, .rank = 1, .dim = {6}, .data = numbers};
  assert_true(npy_write(scratch_path("line.npy"), &line, &err));
  refuse(p, file_text("line.npy"), "card", ERROR_FAILED, "rank 1");
  const struct npy empty = {.type = NPY_I32, .rank = 2, .dim = {0, 3}, .data = numbers};
  assert_true(npy_write(scratch_path("empty.npy"), &empty, &err));
  refuse(p, file_text("empty.npy"), "card", ERROR_FAILED, "empty.npy");
  scratch_file("text.txt", "0 1 2", 5);
  refuse(p, file_text("text.txt"), "card", ERROR_FAILED, "PNG or NPY");
  scratch_file("none", "", 0);
  refuse(p, file_text("none"), "card", ERROR_FAILED, "PNG or NPY");
  scratch_file("broken.png", "\x89PNG\r\n\x1a\n....", 12);
  refuse(p, file_text("broken.png"), "card", ERROR_FAILED, "broken.png");
  refuse(p, file_text("absent.npy"), "card", ERROR_FAILED, "absent.npy");
  refuse(p, "file", "card", ERROR_USAGE, "file:LABELS");
  refuse(p, "file:", "card", ERROR_USAGE, "file:LABELS");
  picture_free(p);
}

/* ---- what is asked ---- */

static void refuses(void **state)
{
  (void)state;
  struct picture *p = picture_new(10, 12, 3);
  refuse(p, "felzenszwalb", "card", ERROR_USAGE, "'felzenszwalb' is none of quickshift, slic, grid, file");
  refuse(p, "", "card", ERROR_USAGE, "is none of");
  refuse(p, "slic", "wide", ERROR_USAGE, "'wide' is neither card nor robust");
  refuse(p, "slic:0", "card", ERROR_USAGE, "slic: n: 0 is outside 1..");
  refuse(p, "slic:many", "card", ERROR_USAGE, "slic: n: 'many'");
  refuse(p, "slic:", "card", ERROR_USAGE, "slic: n: ''");
  refuse(p, "slic:n=5,10", "card", ERROR_USAGE, "name=value");
  refuse(p, "slic:n=5,compact=10", "card", ERROR_USAGE, "slic: there is no parameter 'compact'");
  refuse(p, "quickshift:4", "card", ERROR_USAGE, "name=value");
  refuse(p, "quickshift:kernel=0.5", "card", ERROR_USAGE, "quickshift: kernel: 0.5 is outside 1..");
  refuse(p, "quickshift:ratio=nan", "card", ERROR_USAGE, "quickshift: ratio");
  refuse(p, "slic:n=1,n=1,n=1,n=1,n=1,n=1,n=1,n=1,n=1,n=1,n=1,n=1,n=1,n=1,n=1,n=1,n=1", "card", ERROR_USAGE,
         "more than 16");
  refuse(p, "grid:11x2", "card", ERROR_USAGE, "11x2 is outside 1x1..10x12");
  refuse(p, "grid:0x2", "card", ERROR_USAGE, "outside 1x1..10x12");
  refuse(p, "grid:2x", "card", ERROR_USAGE, "'2x' is not RxC");
  refuse(p, "grid:99999999999999999999999999999999999", "card", ERROR_USAGE, "is not RxC");
  p->input.u[3 * 12 * 3 + 4 * 3 + 1] = NAN;
  refuse(p, "slic", "card", ERROR_FAILED, "value at [3,4,1] is not finite");
  refuse(p, "quickshift", "robust", ERROR_FAILED, "(non-finite)");
  picture_free(p);
}

static void kinds_as_json(void **state)
{
  (void)state;
  static const char *const names[] = {"quickshift", "slic", "grid", "file"};
  json_t *kinds = segments_json();
  assert_int_equal(json_array_size(kinds), 4);
  for (size_t i = 0; i < 4; i++) {
    const json_t *kind = json_array_get(kinds, i);
    assert_string_equal(json_string_value(json_object_get(kind, "name")), names[i]);
    assert_true(json_array_size(json_object_get(kind, "parameters")) > 0);
  }
  assert_true(json_is_null(json_object_get(json_array_get(kinds, 0), "argument")));
  assert_string_equal(json_string_value(json_object_get(json_array_get(kinds, 1), "argument")), "n");
  json_decref(kinds);
}

static bool describe(struct error *err)
{
  json_t *kinds = segments_json();
  json_decref(kinds);
  return kinds || error_memory(err, "kinds");
}

static void survives_want_of_memory(void **state)
{
  (void)state;
  struct picture *p = picture_scene(41, 12, 9, 3);
  int32_t numbers[24] = {0}, labels[108];
  int64_t count;
  write_npy("source.npy", NPY_I32, 4, 6, numbers);
  p->input.geometry = (struct geometry){6, 4, 9, 12, 0, 0, 9, 12};
  const char *const texts[] = {"quickshift:kernel=1", "slic:n=5,compactness=7", "grid:2", file_text("source.npy")};
  for (int i = 0; i < 4; i++)
    FAULT_LOOP(segment_image(texts[i], "robust", &p->scene, labels, &count, &err), (void)0);
  FAULT_LOOP(describe(&err), (void)0);
  picture_free(p);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(agrees_on_scenes),
      cmocka_unit_test(agrees_on_a_photo),
      cmocka_unit_test(quickshift_is_its_definition),
      cmocka_unit_test(units_do_not_matter),
      cmocka_unit_test(gray_is_gray_as_rgb),
      cmocka_unit_test(channel_order_does_not_matter),
      cmocka_unit_test(robust_range_ignores_outliers),
      cmocka_unit_test(constant_pictures),
      cmocka_unit_test(any_size_and_channels),
      cmocka_unit_test(same_for_any_number_of_threads),
      cmocka_unit_test(slic_pieces_are_whole_and_of_some_size),
      cmocka_unit_test(grid_cells),
      cmocka_unit_test_setup_teardown(labels_of_any_numbers, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(labels_from_pictures, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(labels_on_the_source, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(refuses_label_images, scratch_setup, scratch_teardown),
      cmocka_unit_test(refuses),
      cmocka_unit_test(kinds_as_json),
      cmocka_unit_test_setup_teardown(survives_want_of_memory, scratch_setup, scratch_teardown),
  };
  fault_include_jansson();
  return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
