/* SPDX-License-Identifier: Apache-2.0 */
#include "../support/scene.h"
#include "base/threads.h"
#include "engine.h"
#include "fault.h"
#include "perturb/fill.h"

#include <stdlib.h>

struct picture {
  int height, width, channels;
  float *u, *blurred;
  int64_t floats;
};

static struct picture picture_new(int height, int width, int channels)
{
  struct picture p = {
      .height = height, .width = width, .channels = channels, .floats = (int64_t)height * width * channels};
  unsigned char *codes = malloc((size_t)p.floats);
  p.u = malloc((size_t)p.floats * sizeof *p.u);
  p.blurred = calloc((size_t)p.floats, sizeof *p.blurred);
  assert_true(codes && p.u && p.blurred);
  scene_draw(7, height, width, channels, codes);
  for (int64_t i = 0; i < p.floats; i++)
    p.u[i] = codes[i];
  free(codes);
  return p;
}

static void picture_free(struct picture *p)
{
  free(p->u);
  free(p->blurred);
}

static void blur(struct picture *p, double sigma)
{
  struct error err = {0};
  assert_ok(blur_image(p->u, p->height, p->width, p->channels, sigma, p->blurred, &err), err);
}

static void equals_scipy(void **state)
{
  (void)state;
  static const struct {
    const char *name;
    int height, width, channels;
    double sigma;
  } cases[] = {{"small.npy", 23, 31, 3, 0.5},
               {"gray.npy", 23, 19, 1, 1},
               {"wide.npy", 9, 40, 3, 3.3},
               {"beyond.npy", 12, 7, 1, 10}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct picture p = picture_new(cases[i].height, cases[i].width, cases[i].channels);
    struct npy golden = npy_open(golden_path("blur", cases[i].name));
    assert_int_equal(npy_count(&golden), p.floats);
    blur(&p, cases[i].sigma);
    const double error = relative_error(p.blurred, golden.data, p.floats);
    if (error > 2e-6)
      print_message("# %s: %.2e\n", cases[i].name, error);
    assert_true(error <= 2e-6);
    npy_free(&golden);
    picture_free(&p);
  }
}

static void zero_sigma_is_the_image(void **state)
{
  (void)state;
  struct picture p = picture_new(8, 9, 3);
  blur(&p, 0);
  assert_memory_equal(p.blurred, p.u, (size_t)p.floats * sizeof *p.u);
  picture_free(&p);
}

/* One bright pixel spreads to the same on all four sides, as the Gaussian says, and to nothing beyond four sigma. */
static void spreads_a_pixel(void **state)
{
  (void)state;
  enum { SIDE = 41, MIDDLE = 20 };
  struct picture p = picture_new(SIDE, SIDE, 1);
  memset(p.u, 0, (size_t)p.floats * sizeof *p.u);
  p.u[MIDDLE * SIDE + MIDDLE] = 1000;
  const double sigma = 2, radius = 8;
  blur(&p, sigma);
  double norm = 0, sum = 0;
  for (int k = -8; k <= 8; k++)
    norm += exp(-k * k / (2 * sigma * sigma));
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++) {
      const int dy = y - MIDDLE, dx = x - MIDDLE;
      const double inside = abs(dy) <= radius && abs(dx) <= radius;
      const double expected = inside * 1000 * exp(-(dy * dy + dx * dx) / (2 * sigma * sigma)) / norm / norm;
      assert_true(fabs((double)p.blurred[y * SIDE + x] - expected) < 1e-4);
      sum += (double)p.blurred[y * SIDE + x];
    }
  assert_true(fabs(sum - 1000) < 1e-2);
  picture_free(&p);
}

static void any_threads_same_bits(void **state)
{
  (void)state;
  struct picture p = picture_new(64, 50, 3), q = picture_new(64, 50, 3);
  threads_use(1);
  blur(&p, 5);
  threads_use(4);
  blur(&q, 5);
  assert_memory_equal(p.blurred, q.blurred, (size_t)p.floats * sizeof *p.u);
  picture_free(&p);
  picture_free(&q);
}

static void fails_without_memory(void **state)
{
  (void)state;
  struct picture p = picture_new(8, 8, 1);
  FAULT_LOOP(blur_image(p.u, 8, 8, 1, 2, p.blurred, &err), (void)0);
  picture_free(&p);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equals_scipy),         cmocka_unit_test(zero_sigma_is_the_image),
      cmocka_unit_test(spreads_a_pixel),      cmocka_unit_test(any_threads_same_bits),
      cmocka_unit_test(fails_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
