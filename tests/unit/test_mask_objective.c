/* SPDX-License-Identifier: Apache-2.0 */
/* The objective of masks: values against numpy, derivatives against differences, adjoints, one step of Adam. */
#include "methods/mask_objective.h"

#include "base/npy.h"
#include "base/rng.h"
#include "golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { H = 45, W = 58, C = 3, ROWS = 9, COLUMNS = 12, CELLS = ROWS * COLUMNS, PIXELS = H * W };

struct fixture {
  struct npy x, fill, weights, cells, mask;
  double m[CELLS];
  struct mask_scene scene;
};

static void read_array(const char *name, struct npy *array)
{
  struct error err = {0};
  if (!npy_read(golden_path("mask", name), 1 << 24, array, &err))
    fail_msg("%s", err.message);
}

static void fixture_open(struct fixture *f)
{
  read_array("x.npy", &f->x);
  read_array("fill.npy", &f->fill);
  read_array("weights.npy", &f->weights);
  read_array("cells.npy", &f->cells);
  read_array("mask.npy", &f->mask);
  for (int i = 0; i < CELLS; i++)
    f->m[i] = (double)((const float *)f->cells.data)[i];
  f->scene = (struct mask_scene){f->x.data, f->fill.data, H, W, C};
}

static void fixture_close(struct fixture *f)
{
  npy_free(&f->x);
  npy_free(&f->fill);
  npy_free(&f->weights);
  npy_free(&f->cells);
  npy_free(&f->mask);
}

static void grid_open(struct mask_grid *grid, double sigma)
{
  struct error err = {0};
  assert_true(mask_grid_open(grid, H, W, ROWS, COLUMNS, sigma, sigma, &err));
}

/* The linear score in double, the image never rounded. */
static double score_of(const struct fixture *f, const struct mask_grid *grid, const double *cells)
{
  static double mask[PIXELS];
  const float *x = f->x.data, *b = f->fill.data, *w = f->weights.data;
  double sum = 0;
  mask_grid_up(grid, cells, mask);
  for (int i = 0; i < PIXELS; i++)
    for (int c = 0; c < C; c++)
      sum += (double)w[i * C + c] * ((double)x[i * C + c] * mask[i] + (double)b[i * C + c] * (1 - mask[i]));
  return sum;
}

static void assert_close(double value, double expected, double tolerance, const char *what)
{
  if (!(fabs(value - expected) <= tolerance))
    fail_msg("%s: %.12g, expected %.12g", what, value, expected);
}

static double number(const json_t *object, const char *key)
{
  return json_number_value(json_object_get(object, key));
}

static struct mask_objective objective_of(const json_t *setting)
{
  return (struct mask_objective){
      .preserve = json_is_true(json_object_get(setting, "preserve")),
      .raw = json_is_true(json_object_get(setting, "raw")),
      .full = number(setting, "full"),
      .base = number(setting, "base"),
      .l1 = number(setting, "l1"),
      .tv = number(setting, "tv"),
      .beta = number(setting, "beta"),
      .rows = ROWS,
      .columns = COLUMNS,
  };
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

/* MEA-R1 */
static void equals_numpy(void **state)
{
  (void)state;
  struct fixture f;
  fixture_open(&f);
  json_t *settings = golden_json("mask", "terms.json"), *setting;
  size_t i;
  json_array_foreach (settings, i, setting) {
    struct mask_grid grid;
    struct mask_terms terms;
    const struct mask_objective o = objective_of(setting);
    static float image[PIXELS * C];
    static double mask[PIXELS];
    grid_open(&grid, number(setting, "sigma"));
    mask_grid_up(&grid, f.m, mask);
    mask_blend(&f.scene, 0, 0, mask, image);
    double score = 0;
    for (int k = 0; k < PIXELS * C; k++)
      score += (double)((const float *)f.weights.data)[k] * (double)image[k];
    const double drop = o.raw ? 1 : o.full - o.base, value = mask_value(&o, score, f.m, &terms);
    assert_close(score, number(setting, "f"), 1e-6, "score");
    assert_close(terms.score, number(setting, "score"), 1e-6 / drop + 1e-9, "score term");
    assert_close(terms.area, number(setting, "area"), 1e-9, "area term");
    assert_close(terms.variation, number(setting, "variation"), 1e-9, "variation term");
    assert_close(value, number(setting, "objective"), 1e-6, "objective");
    if (number(setting, "sigma") == 2.5)
      for (int k = 0; k < PIXELS; k++)
        assert_close(mask[k], (double)((const float *)f.mask.data)[k], 1e-6, "mask");
    mask_grid_close(&grid);
  }
  json_decref(settings);
  fixture_close(&f);
}

/* MEA-P1: all kept is the image, all deleted the fill, to the bit; also of a grid that divides nothing evenly. */
static void full_masks_change_nothing(void **state)
{
  (void)state;
  struct fixture f;
  fixture_open(&f);
  for (int k = 0; k < 4; k++) {
    struct mask_grid grid;
    double cells[CELLS], mask[PIXELS];
    static float image[PIXELS * C];
    grid_open(&grid, 1.7 * k);
    for (int one = 0; one < 2; one++) {
      for (int i = 0; i < CELLS; i++)
        cells[i] = one;
      mask_grid_up(&grid, cells, mask);
      mask_blend(&f.scene, 0, 0, mask, image);
      assert_memory_equal(image, one ? f.x.data : f.fill.data, sizeof image);
    }
    mask_grid_close(&grid);
  }
  fixture_close(&f);
}

static void clips_as_stated(void **state)
{
  (void)state;
  struct mask_terms terms;
  const double m[4] = {1, 1, 1, 1};
  struct mask_objective o = {.full = 0.9, .base = 0.1, .rows = 2, .columns = 2, .beta = 3};
  assert_close(mask_value(&o, 0.5, m, &terms), 0.5, 1e-12, "half the drop");
  assert_close(mask_slope(&o, 0.5), 1.25, 1e-12, "slope");
  assert_true(mask_value(&o, 0.05, m, &terms) == 0 && mask_slope(&o, 0.05) == 0);
  o.preserve = true;
  assert_true(mask_value(&o, 0.95, m, &terms) == -1 && mask_slope(&o, 0.95) == 0);
  assert_close(mask_slope(&o, 0.5), -1.25, 1e-12, "slope");
  assert_true(isnan(mask_value(&o, NAN, m, &terms)));
  o.full = o.base; /* nothing to learn: differences, not shares of nothing */
  assert_false(mask_learnable(&o));
  assert_close(mask_share(&o, 0.3), 0.2, 1e-12, "difference");
}

/* ---- derivatives ----------------------------------------------------------------------------------------------- */

/* MEA-R2, every setting; the border's cells are among those. */
static void derivatives_equal_differences(void **state)
{
  (void)state;
  static const int at[20] = {0, 5, 11, 12, 23, 37, 40, 48, 53, 59, 60, 64, 71, 77, 84, 90, 96, 97, 103, 107};
  struct fixture f;
  fixture_open(&f);
  json_t *settings = golden_json("mask", "terms.json"), *setting;
  size_t i;
  json_array_foreach (settings, i, setting) {
    struct mask_grid grid;
    struct mask_terms terms;
    static double signal[PIXELS];
    double gradient[CELLS], largest = 0;
    const struct mask_objective o = objective_of(setting);
    grid_open(&grid, number(setting, "sigma"));
    const double score = score_of(&f, &grid, f.m);
    mask_blend_back(&f.scene, 0, 0, f.weights.data, signal); /* the score's gradient is its weights */
    mask_grid_down(&grid, signal, gradient);
    for (int k = 0; k < CELLS; k++)
      gradient[k] *= mask_slope(&o, score);
    mask_prices_back(&o, f.m, gradient);
    for (int k = 0; k < CELLS; k++)
      largest = fmax(largest, fabs(gradient[k]));
    assert_true(largest > 1e-4);
    for (int k = 0; k < 20; k++) {
      const double h = 1e-5, middle = f.m[at[k]];
      double value[2];
      for (int s = 0; s < 2; s++) {
        f.m[at[k]] = middle + (s ? h : -h);
        value[s] = mask_value(&o, score_of(&f, &grid, f.m), f.m, &terms);
      }
      f.m[at[k]] = middle;
      assert_close(gradient[at[k]], (value[1] - value[0]) / (2 * h), 1e-6 * largest + 1e-3 * fabs(gradient[at[k]]),
                   "derivative");
    }
    mask_grid_close(&grid);
  }
  json_decref(settings);
  fixture_close(&f);
}

/* <up(m), s> = <m, down(s)> */
static void down_is_adjoint_to_up(void **state)
{
  (void)state;
  for (int k = 0; k < 3; k++) {
    struct mask_grid grid;
    static double mask[PIXELS], signal[PIXELS];
    double cells[CELLS], back[CELLS], left = 0, right = 0;
    grid_open(&grid, 3.1 * k);
    for (int i = 0; i < CELLS; i++)
      cells[i] = rng_normal(1, RNG_NOISE, 0, (uint64_t)i);
    for (int i = 0; i < PIXELS; i++)
      signal[i] = rng_normal(1, RNG_NOISE, 1, (uint64_t)i);
    mask_grid_up(&grid, cells, mask);
    mask_grid_down(&grid, signal, back);
    for (int i = 0; i < PIXELS; i++)
      left += mask[i] * signal[i];
    for (int i = 0; i < CELLS; i++)
      right += cells[i] * back[i];
    assert_close(left, right, 1e-10 * (1 + fabs(left)), "product");
    mask_grid_close(&grid);
  }
}

/* A moved image with repeated edges, and the derivative for it. */
static void moves_the_image_not_the_mask(void **state)
{
  (void)state;
  struct fixture f;
  fixture_open(&f);
  static double mask[PIXELS], signal[PIXELS];
  static float image[PIXELS * C];
  const float *x = f.x.data, *b = f.fill.data, *w = f.weights.data;
  for (int i = 0; i < PIXELS; i++)
    mask[i] = rng_uniform(2, RNG_MASK, 0, (uint64_t)i);
  mask_blend(&f.scene, 2, -1, mask, image);
  mask_blend_back(&f.scene, 2, -1, w, signal);
  for (int y = 0; y < H; y++)
    for (int column = 0; column < W; column++) {
      const int from_y = y < 2 ? 0 : y - 2, from_x = column == W - 1 ? W - 1 : column + 1;
      double sum = 0;
      for (int c = 0; c < C; c++) {
        const int at = (from_y * W + from_x) * C + c, to = (y * W + column) * C + c;
        const double m = mask[y * W + column];
        assert_close((double)image[to], (double)x[at] * m + (double)b[at] * (1 - m), 1e-6, "image");
        sum += (double)w[to] * ((double)x[at] - (double)b[at]);
      }
      assert_close(signal[y * W + column], sum, 1e-12, "signal");
    }
  fixture_close(&f);
}

static void averages_cells(void **state)
{
  (void)state;
  struct mask_grid grid;
  struct error err = {0};
  double mask[12 * 10], cells[4 * 5];
  assert_true(mask_grid_open(&grid, 12, 10, 4, 5, 0, 0, &err));
  for (int i = 0; i < 120; i++)
    mask[i] = i;
  mask_grid_average(&grid, mask, cells);
  assert_close(cells[0], 10.5, 1e-12, "first cell");
  assert_close(cells[19], 119 - 10.5, 1e-12, "last cell");
  mask_grid_close(&grid);
}

/* ---- MEA-R4 ------------------------------------------------------------------------------------------------------ */

static void adam_by_hand(void **state)
{
  (void)state;
  struct adam adam;
  struct error err = {0};
  double m[3] = {0.5, 0.05, 0.95};
  assert_true(adam_open(&adam, 3, 0.1, &err));
  /* First step: mean 0.1 g / 0.1, square 0.001 g^2 / 0.001: 0.1 against the sign, and then the bounds. */
  adam_step(&adam, (const double[]){2, 3, -1}, m);
  assert_close(m[0], 0.5 - 0.1 * 2 / (2 + 1e-8), 1e-15, "first step");
  assert_true(m[1] == 0 && m[2] == 1);
  /* Second, g = -1: mean (0.9 * 0.2 - 0.1) / 0.19, square (0.999 * 0.004 + 0.001) / 0.001999. */
  const double before = m[0];
  adam_step(&adam, (const double[]){-1, 0, 0}, m);
  assert_close(m[0], before - 0.1 * (0.08 / 0.19) / (sqrt(0.004996 / 0.001999) + 1e-8), 1e-14, "second step");
  adam_reset(&adam);
  m[0] = 0.5;
  adam_step(&adam, (const double[]){-4, 0, 0}, m);
  assert_close(m[0], 0.6, 1e-8, "after a reset");
  adam_close(&adam);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equals_numpy),          cmocka_unit_test(full_masks_change_nothing),
      cmocka_unit_test(clips_as_stated),       cmocka_unit_test(derivatives_equal_differences),
      cmocka_unit_test(down_is_adjoint_to_up), cmocka_unit_test(moves_the_image_not_the_mask),
      cmocka_unit_test(averages_cells),        cmocka_unit_test(adam_by_hand),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
