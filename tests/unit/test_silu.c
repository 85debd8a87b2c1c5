/* SPDX-License-Identifier: Apache-2.0 */
/* The vectorised SiLU beside its plain twin in double, and wherever it is used the same bits. */
#include "unit.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/threads.h"
#include "tensor/compute.h"
#include "tensor/silu.h"

#include <math.h>
#include <string.h>

enum { MOST = 100003 };

static void skip_elsewhere(void)
{
  if (!silu_here())
    skip();
}

static double plain(double x)
{
  return x / (1 + exp(-x));
}

static float *noise(size_t count, float scale, uint32_t stream)
{
  float *x = mem_alloc((count + 1) * sizeof *x);
  assert_non_null(x);
  for (size_t i = 0; i < count; i++)
    x[i] = scale * (float)rng_normal(11, RNG_NOISE, stream, i);
  return x;
}

static void is_near_its_twin(void **state)
{
  (void)state;
  skip_elsewhere();
  float *x = mem_alloc(MOST * sizeof *x), *y = mem_alloc(MOST * sizeof *y);
  assert_non_null(x);
  assert_non_null(y);
  for (int i = 0; i < MOST; i++)
    x[i] = -86 + 172.0f * (float)i / (MOST - 1);
  silu_run(MOST, x, y);
  for (int i = 0; i < MOST; i++) {
    const double right = plain((double)x[i]);
    /* the rounding of x log2(e) grows with x where e^-x counts */
    const double bound = 3e-7 + (x[i] < 0 ? 1.2e-7 * fabs((double)x[i]) : 0);
    if (!(fabs((double)y[i] - right) <= bound * fabs(right)))
      fail_msg("silu(%g) = %g, not %g", (double)x[i], (double)y[i], right);
  }
  mem_free(x);
  mem_free(y);
}

static void ends_where_it_should(void **state)
{
  (void)state;
  skip_elsewhere();
  const float ends[] = {0, 1000, -1000, INFINITY, 3e38f, -3e38f, NAN};
  float y[7];
  silu_run(7, ends, y);
  assert_true(y[0] == 0);
  assert_true(y[1] == 1000);
  assert_true(y[2] <= 0 && y[2] > -1e-34f);
  assert_true(y[3] == INFINITY);
  assert_true(y[4] == 3e38f);
  assert_true(y[5] <= 0 && y[5] > -10);
  assert_true(isnan(y[6]));
}

/* Any length, any beginning, any threads, in place: an element has one answer, and nothing beside is touched. */
static void bits_follow_from_the_value(void **state)
{
  (void)state;
  skip_elsewhere();
  float *x = noise(MOST, 5, 1), *all = mem_alloc(MOST * sizeof *all), *part = mem_alloc(MOST * sizeof *part);
  assert_non_null(all);
  assert_non_null(part);
  threads_use(1);
  silu_run(MOST, x, all);
  for (int threads = 1; threads <= 3; threads++) {
    threads_use(threads);
    for (int64_t count = 0; count <= MOST; count = count < 200 ? count + 1 : 7 * count + 1)
      for (int64_t first = 0; first < 3 && first + count < MOST; first++) {
        memcpy(part, x, MOST * sizeof *part);
        silu_run(count, part + first, part + first);
        assert_memory_equal(part, x, (size_t)first * sizeof *x);
        assert_memory_equal(part + first, all + first, (size_t)count * sizeof *x);
        assert_memory_equal(part + first + count, x + first + count, (size_t)(MOST - first - count) * sizeof *x);
      }
  }
  threads_use(0);
  mem_free(x);
  mem_free(all);
  mem_free(part);
}

static void convolve(const float *src, const float *raw, int n_post, const struct post *post, float *dst)
{
  const struct conv_spec spec = {.n = 2,
                                 .ic = 5,
                                 .ih = 7,
                                 .iw = 9,
                                 .oc = 19,
                                 .oh = 7,
                                 .ow = 9,
                                 .kh = 1,
                                 .kw = 1,
                                 .sh = 1,
                                 .sw = 1,
                                 .dh = 1,
                                 .dw = 1,
                                 .groups = 1,
                                 .sum = true,
                                 .post = {post[0], post[1]},
                                 .n_post = n_post};
  struct error err = {ERROR_NONE};
  struct compute *compute = compute_open(&err);
  struct weights *weights = weights_new(raw, NULL);
  assert_non_null(compute);
  assert_non_null(weights);
  struct kernel *k = kernel_conv(compute, &spec, weights, &err);
  if (!k)
    fail_msg("%s", err.message);
  void *scratch = mem_map(kernel_scratch(k) + 1);
  assert_true(kernel_run(k, src, NULL, NULL, dst, scratch, &err));
  mem_unmap(scratch, kernel_scratch(k) + 1);
  kernel_free(k);
  weights_free(weights);
  compute_close(compute);
}

/* Alone, behind another function and before one: what is said in one step is what it is step by step. */
static void follows_a_convolution(void **state)
{
  (void)state;
  skip_elsewhere();
  enum { SRC = 2 * 7 * 9 * 5, DST = 2 * 7 * 9 * 19 };
  static const struct post silu = {UNARY_SILU, 0, 0}, clip = {UNARY_CLIP, -0.5f, 1.5f};
  const struct post orders[3][2] = {{silu}, {clip, silu}, {silu, clip}};
  float *src = noise(SRC, 1, 2), *raw = noise((size_t)19 * 5, 1, 3), *before = noise(DST, 1, 4);
  float *once = mem_alloc(DST * sizeof *once), *steps = mem_alloc(DST * sizeof *steps);
  assert_non_null(once);
  assert_non_null(steps);
  for (int i = 0; i < 3; i++) {
    const int n_post = i == 0 ? 1 : 2;
    memcpy(once, before, DST * sizeof *once);
    memcpy(steps, before, DST * sizeof *steps);
    convolve(src, raw, n_post, orders[i], once);
    convolve(src, raw, 0, orders[i], steps);
    for (int p = 0; p < n_post; p++) {
      if (orders[i][p].kind == UNARY_SILU)
        silu_run(DST, steps, steps);
      else
        for (int k = 0; k < DST; k++)
          steps[k] = fminf(clip.b, fmaxf(clip.a, steps[k]));
    }
    assert_memory_equal(once, steps, DST * sizeof *once);
  }
  mem_free(src);
  mem_free(raw);
  mem_free(before);
  mem_free(once);
  mem_free(steps);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(is_near_its_twin),
      cmocka_unit_test(ends_where_it_should),
      cmocka_unit_test(bits_follow_from_the_value),
      cmocka_unit_test(follows_a_convolution),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
