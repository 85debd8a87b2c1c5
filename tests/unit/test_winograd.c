/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions in tiles beside a plain twin (the same bits), direct convolution and sums in double. */
#include "unit.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/threads.h"
#include "tensor/compute.h"
#include "tensor/winograd.h"

#include <math.h>
#include <string.h>

struct problem {
  struct conv_spec spec;
  float *src, *raw, *scale, *bias, *residual; /* residual: what dst holds before */
  size_t n_src, n_dst;
};

static float *noise(size_t count, uint32_t stream)
{
  float *x = mem_alloc((count + 1) * sizeof *x);
  assert_non_null(x);
  for (size_t i = 0; i < count; i++)
    x[i] = (float)rng_normal(7, RNG_NOISE, stream, i);
  return x;
}

static struct problem problem_of(int64_t n, int64_t ic, int64_t ih, int64_t iw, int64_t oc, int64_t pt, int64_t pl,
                                 int64_t pb, int64_t pr)
{
  struct problem p = {.spec = {.n = n,
                               .ic = ic,
                               .ih = ih,
                               .iw = iw,
                               .oc = oc,
                               .oh = ih + pt + pb - 2,
                               .ow = iw + pl + pr - 2,
                               .kh = 3,
                               .kw = 3,
                               .sh = 1,
                               .sw = 1,
                               .dh = 1,
                               .dw = 1,
                               .pt = pt,
                               .pl = pl,
                               .pb = pb,
                               .pr = pr,
                               .groups = 1,
                               .bias = true,
                               .sum = true,
                               .post = {{UNARY_RELU, 0, 0}},
                               .n_post = 1}};
  p.n_src = (size_t)(n * ih * iw * ic);
  p.n_dst = (size_t)(n * p.spec.oh * p.spec.ow * oc);
  p.src = noise(p.n_src, 1);
  p.raw = noise((size_t)(oc * ic * 9), 2);
  p.scale = noise((size_t)oc, 3);
  p.bias = noise((size_t)oc, 4);
  p.residual = noise(p.n_dst, 5);
  return p;
}

static void problem_free(struct problem *p)
{
  mem_free(p->src);
  mem_free(p->raw);
  mem_free(p->scale);
  mem_free(p->bias);
  mem_free(p->residual);
}

/* The library's or ours, there or back; the caller frees. */
static float *answer(const struct problem *p, bool in_tiles, bool back, int threads)
{
  struct error err = {ERROR_NONE};
  struct conv_spec spec = p->spec;
  spec.winograd = in_tiles;
  const size_t count = back ? p->n_src : p->n_dst;
  threads_use(threads);
  struct compute *compute = compute_open(&err);
  struct weights *weights = weights_new(p->raw, p->scale);
  assert_non_null(compute);
  assert_non_null(weights);
  struct kernel *k =
      back ? kernel_conv_backward(compute, &spec, weights, &err) : kernel_conv(compute, &spec, weights, &err);
  if (!k)
    fail_msg("%s", err.message);
  void *scratch = mem_map(kernel_scratch(k) + 1);
  float *dst = mem_alloc((count + 1) * sizeof *dst);
  assert_non_null(dst);
  memcpy(dst, back ? p->src : p->residual, count * sizeof *dst);
  assert_true(
      kernel_run(k, back ? p->residual : p->src, NULL, back || !spec.bias ? NULL : p->bias, dst, scratch, &err));
  mem_unmap(scratch, kernel_scratch(k) + 1);
  kernel_free(k);
  weights_free(weights);
  compute_close(compute);
  threads_use(0);
  return dst;
}

/* ---- the plain twin -------------------------------------------------------------------------------------------- */

static const float zero;

static const float *pixel(const struct problem *p, int64_t n, int64_t y, int64_t x, int64_t c)
{
  const struct conv_spec *s = &p->spec;
  const bool there = y >= 0 && y < s->ih && x >= 0 && x < s->iw;
  return there ? p->src + ((n * s->ih + y) * s->iw + x) * s->ic + c : &zero;
}

static void transform_weights(const float g[9], float u[4][4])
{
  static const double half[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) {
      double sum = 0;
      for (int y = 0; y < 3; y++)
        for (int x = 0; x < 3; x++)
          sum += half[i][y] * half[j][x] * (double)g[3 * y + x];
      u[i][j] = (float)sum;
    }
}

/* One row or column of B' d: in the order of the paper, no sums contracted. */
static void spread(const float d[4], float to[4])
{
  to[0] = d[0] - d[2];
  to[1] = d[1] + d[2];
  to[2] = d[2] - d[1];
  to[3] = d[1] - d[3];
}

static void gather(const float m[4], float to[2])
{
  const float a = m[0] + m[1], b = m[1] - m[2];
  to[0] = a + m[2];
  to[1] = b - m[3];
}

static void twin_tile(const struct problem *p, int64_t n, int64_t y, int64_t x, int64_t o, float out[2][2])
{
  const struct conv_spec *s = &p->spec;
  float m[4][4] = {{0}};
  for (int64_t c = 0; c < s->ic; c++) {
    float g[9], u[4][4], half[4][4], v[4][4];
    for (int k = 0; k < 9; k++)
      g[k] = p->raw[(o * s->ic + c) * 9 + k] * p->scale[o];
    transform_weights(g, u);
    for (int j = 0; j < 4; j++) {
      float column[4], spread_out[4];
      for (int i = 0; i < 4; i++)
        column[i] = *pixel(p, n, y - s->pt + i, x - s->pl + j, c);
      spread(column, spread_out);
      for (int i = 0; i < 4; i++)
        half[i][j] = spread_out[i];
    }
    for (int i = 0; i < 4; i++) {
      spread(half[i], v[i]);
      for (int j = 0; j < 4; j++)
        m[i][j] = fmaf(v[i][j], u[i][j], m[i][j]);
    }
  }
  float half[2][4];
  for (int j = 0; j < 4; j++) {
    const float column[4] = {m[0][j], m[1][j], m[2][j], m[3][j]};
    float two[2];
    gather(column, two);
    half[0][j] = two[0];
    half[1][j] = two[1];
  }
  gather(half[0], out[0]);
  gather(half[1], out[1]);
}

static float finish(const struct conv_spec *s, float y)
{
  if (s->n_post == 0)
    return y;
  const struct post post = s->post[0];
  switch (post.kind) {
  case UNARY_RELU:
    return y > 0 ? y : 0;
  case UNARY_CLIP:
    return y < post.a ? post.a : y > post.b ? post.b : y;
  case UNARY_LEAKY_RELU:
    return y < 0 ? y * post.a : y;
  default:
    fail_msg("no twin of function %d", post.kind);
    return 0;
  }
}

static float *twin(const struct problem *p)
{
  const struct conv_spec *s = &p->spec;
  float *dst = mem_alloc((p->n_dst + 1) * sizeof *dst);
  assert_non_null(dst);
  for (int64_t n = 0; n < s->n; n++)
    for (int64_t y = 0; y < s->oh; y += 2)
      for (int64_t x = 0; x < s->ow; x += 2)
        for (int64_t o = 0; o < s->oc; o++) {
          float out[2][2];
          twin_tile(p, n, y, x, o, out);
          for (int i = 0; i < 2 && y + i < s->oh; i++)
            for (int j = 0; j < 2 && x + j < s->ow; j++) {
              const int64_t at = ((n * s->oh + y + i) * s->ow + x + j) * s->oc + o;
              float v = out[i][j] + (s->bias ? p->bias[o] : 0);
              if (s->sum)
                v += p->residual[at];
              dst[at] = finish(s, v);
            }
        }
  return dst;
}

/* ---- in double ------------------------------------------------------------------------------------------------- */

/* Largest and mean error of a plain convolution (no residual, no function) over the largest result. */
static void error_of(const struct problem *p, const float *dst, double *largest, double *mean)
{
  const struct conv_spec *s = &p->spec;
  double top = 0, worst = 0, sum = 0;
  for (int64_t n = 0; n < s->n; n++)
    for (int64_t y = 0; y < s->oh; y++)
      for (int64_t x = 0; x < s->ow; x++)
        for (int64_t o = 0; o < s->oc; o++) {
          double want = s->bias ? (double)p->bias[o] : 0;
          for (int k = 0; k < 9; k++)
            for (int64_t c = 0; c < s->ic; c++)
              want += (double)*pixel(p, n, y - s->pt + k / 3, x - s->pl + k % 3, c) *
                      (double)(p->raw[(o * s->ic + c) * 9 + k] * p->scale[o]);
          const double e = fabs((double)dst[((n * s->oh + y) * s->ow + x) * s->oc + o] - want);
          worst = fmax(worst, e);
          top = fmax(top, fabs(want));
          sum += e;
        }
  *largest = worst / top;
  *mean = sum / (double)p->n_dst / top;
}

static double apart(const float *a, const float *b, size_t count)
{
  double top = 0, worst = 0;
  for (size_t i = 0; i < count; i++) {
    worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    top = fmax(top, fabs((double)b[i]));
  }
  return top > 0 ? worst / top : worst;
}

/* ---- tests ----------------------------------------------------------------------------------------------------- */

static void skip_elsewhere(void)
{
  if (!winograd_here())
    skip();
}

/* n, ic, ih, iw, oc, pt, pl, pb, pr */
static const int64_t shapes[][9] = {
    {1, 16, 4, 4, 16, 1, 1, 1, 1},  {1, 16, 1, 1, 16, 1, 1, 1, 1},   {1, 17, 3, 3, 33, 0, 0, 0, 0},
    {2, 33, 5, 7, 48, 1, 1, 1, 1},  {3, 1, 6, 6, 1, 1, 1, 1, 1},     {1, 64, 14, 14, 64, 1, 1, 1, 1},
    {17, 24, 7, 7, 40, 1, 1, 1, 1}, {2, 20, 9, 6, 31, 0, 1, 1, 0},   {1, 128, 11, 2, 32, 1, 0, 0, 1},
    {5, 48, 12, 3, 96, 2, 2, 2, 2}, {1, 300, 8, 8, 288, 1, 1, 1, 1}, {1, 16, 3, 40, 16, 0, 0, 0, 0},
    {4, 512, 7, 7, 64, 1, 1, 1, 1},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static struct problem shape_at(int i)
{
  const int64_t *s = shapes[i];
  return problem_of(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8]);
}

static void gives_the_bits_of_its_twin(void **state)
{
  (void)state;
  skip_elsewhere();
  static const struct post posts[] = {
      {UNARY_NONE, 0, 0}, {UNARY_RELU, 0, 0}, {UNARY_CLIP, -0.5f, 6}, {UNARY_LEAKY_RELU, 0.1f, 0}};
  for (int i = 0; i < N_SHAPES; i++) {
    struct problem p = shape_at(i);
    p.spec.post[0] = posts[i % 4];
    p.spec.n_post = i % 4 > 0;
    p.spec.bias = i % 3 > 0;
    p.spec.sum = i % 5 > 0;
    float *got = answer(&p, true, false, 1 + i % 3), *want = twin(&p);
    for (size_t k = 0; k < p.n_dst; k++)
      if (got[k] != want[k])
        fail_msg("shape %d, value %zu: %a, not %a", i, k, (double)got[k], (double)want[k]);
    mem_free(got);
    mem_free(want);
    problem_free(&p);
  }
}

static void is_near_direct_convolution(void **state)
{
  (void)state;
  skip_elsewhere();
  for (int back = 0; back < 2; back++)
    for (int i = 0; i < N_SHAPES; i++) {
      struct problem p = shape_at(i);
      float *got = answer(&p, true, back, 2), *want = answer(&p, false, back, 2);
      const double e = apart(got, want, back ? p.n_src : p.n_dst);
      if (!(e < 4e-6))
        fail_msg("shape %d %s: off by %g of the largest", i, back ? "back" : "there", e);
      mem_free(got);
      mem_free(want);
      problem_free(&p);
    }
}

static void functions_that_do_not_ride_follow(void **state)
{
  (void)state;
  skip_elsewhere();
  struct problem p = shape_at(3);
  p.spec.n_post = 2;
  p.spec.post[0] = (struct post){UNARY_HARD_SIGMOID, 0.3f, 0.4f};
  p.spec.post[1] = (struct post){UNARY_SILU, 0, 0};
  float *got = answer(&p, true, false, 2), *want = answer(&p, false, false, 2);
  /* sums of up to 60 go in, at most 1 comes out */
  assert_true(apart(got, want, p.n_dst) < 3e-5);
  mem_free(got);
  mem_free(want);
  problem_free(&p);
}

/* The paper finds F(2x2, 3x3) as exact as direct convolution. */
static void rounds_no_worse_than_twice_direct_convolution(void **state)
{
  (void)state;
  skip_elsewhere();
  for (int i = 0; i < N_SHAPES; i++) {
    struct problem p = shape_at(i);
    p.spec.sum = false;
    p.spec.n_post = 0;
    float *ours = answer(&p, true, false, 2), *direct = answer(&p, false, false, 2);
    double worst, mean, worst_direct, mean_direct;
    error_of(&p, ours, &worst, &mean);
    error_of(&p, direct, &worst_direct, &mean_direct);
    print_message("# ic %lld, %lldx%lld: largest error %.1e, direct %.1e; mean %.1e, direct %.1e\n",
                  (long long)p.spec.ic, (long long)p.spec.ih, (long long)p.spec.iw, worst, worst_direct, mean,
                  mean_direct);
    /* a few units in the last place are nobody's fault where only few numbers are summed */
    assert_true(mean <= 2 * mean_direct + 1e-8);
    assert_true(worst <= 2 * worst_direct + 2.5e-7);
    mem_free(ours);
    mem_free(direct);
    problem_free(&p);
  }
}

static void bits_depend_on_neither_batch_nor_threads(void **state)
{
  (void)state;
  skip_elsewhere();
  for (int64_t channels = 24; channels <= 280; channels += 256) { /* cut along tiles, and along channels */
    struct problem p = problem_of(17, channels, 7, 9, 40 + channels, 1, 1, 1, 1);
    float *want = answer(&p, true, false, 1);
    for (int64_t n = 17; n >= 1; n -= 8) {
      p.spec.n = n;
      p.n_dst = (size_t)(n * p.spec.oh * p.spec.ow * p.spec.oc);
      for (int threads = 1; threads <= 5; threads++) {
        float *got = answer(&p, true, false, threads);
        assert_memory_equal(got, want, p.n_dst * sizeof *got);
        mem_free(got);
      }
    }
    mem_free(want);
    problem_free(&p);
  }
}

/* Rectangle [y0, y1) x [x0, x1) of the padded map as a convolution of its own. */
static void check_window(const struct problem *p, const float *whole, int64_t y0, int64_t x0, int64_t y1, int64_t x1)
{
  const struct conv_spec *s = &p->spec;
  struct problem part = problem_of(1, s->ic, y1 - y0 + 2, x1 - x0 + 2, s->oc, 0, 0, 0, 0);
  memcpy(part.raw, p->raw, (size_t)(s->oc * s->ic * 9) * sizeof(float));
  part.spec.sum = s->sum;
  for (int64_t y = 0; y < part.spec.ih; y++)
    for (int64_t x = 0; x < part.spec.iw; x++)
      for (int64_t c = 0; c < s->ic; c++)
        part.src[(y * part.spec.iw + x) * s->ic + c] = *pixel(p, 0, y0 - s->pt + y, x0 - s->pl + x, c);
  float *got = answer(&part, true, false, 2);
  for (int64_t y = y0; y < y1; y++)
    assert_memory_equal(got + (y - y0) * (x1 - x0) * s->oc, whole + (y * s->ow + x0) * s->oc,
                        (size_t)((x1 - x0) * s->oc) * sizeof *got);
  mem_free(got);
  problem_free(&part);
}

static void windows_from_even_places_give_the_bits_of_the_map(void **state)
{
  (void)state;
  skip_elsewhere();
  struct problem p = problem_of(1, 40, 13, 14, 48, 1, 1, 1, 1);
  p.spec.sum = false;
  float *whole = answer(&p, true, false, 2);
  for (int64_t y = 0; y < 13; y += 4)
    for (int64_t x = 0; x < 14; x += 6)
      for (int64_t size = 1; size <= 5; size++)
        check_window(&p, whole, y, x, y + size < 13 ? y + size : 13, x + 2 * size < 14 ? x + 2 * size : 14);
  mem_free(whole);
  problem_free(&p);
}

static void is_chosen_by_the_layer_alone(void **state)
{
  (void)state;
  struct problem p = shape_at(5);
  for (p.spec.n = 1; p.spec.n <= 16; p.spec.n += 15)
    assert_int_equal(conv_in_tiles(&p.spec), winograd_here());
  const struct conv_spec good = p.spec;
  struct conv_spec bad[8];
  for (int i = 0; i < 8; i++)
    bad[i] = good;
  bad[0].sh = 2;
  bad[1].dw = 2;
  bad[2].groups = 2;
  bad[3].kw = 1;
  bad[4].src = NUMBER_BF16;
  bad[5].dst = NUMBER_BF16;
  bad[6].ic = 3;
  bad[7].oh = bad[7].ow = 3;
  for (int i = 0; i < 8; i++)
    assert_false(conv_in_tiles(&bad[i]));
  problem_free(&p);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gives_the_bits_of_its_twin),
      cmocka_unit_test(is_near_direct_convolution),
      cmocka_unit_test(functions_that_do_not_ride_follow),
      cmocka_unit_test(rounds_no_worse_than_twice_direct_convolution),
      cmocka_unit_test(bits_depend_on_neither_batch_nor_threads),
      cmocka_unit_test(windows_from_even_places_give_the_bits_of_the_map),
      cmocka_unit_test(is_chosen_by_the_layer_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
