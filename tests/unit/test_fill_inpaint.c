/* SPDX-License-Identifier: Apache-2.0 */
#include "../support/scene.h"
#include "fault.h"
#include "perturb/fill.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A model that takes values as they are, 0..255. */
struct picture {
  struct card card;
  struct input input;
  unsigned char *hidden;
  int height, width, channels;
};

static struct picture *picture_new(int height, int width, int channels)
{
  struct picture *p = calloc(1, sizeof *p);
  assert_non_null(p);
  p->height = height;
  p->width = width;
  p->channels = channels;
  p->card.channel_count = channels;
  p->card.scale = 1;
  for (int c = 0; c < CARD_MAX_CHANNELS; c++)
    p->card.std[c] = 1;
  p->input = (struct input){.geometry = {width, height, width, height, 0, 0, width, height}, .channels = channels,
                            .hi = 255};
  const size_t n = (size_t)height * (size_t)width;
  p->input.u = calloc(n * (size_t)channels, sizeof(float));
  p->input.x = calloc(n * (size_t)channels, sizeof(float));
  p->hidden = calloc(n, 1);
  assert_true(p->input.u && p->input.x && p->hidden);
  return p;
}

static void picture_free(struct picture *p)
{
  free(p->input.u);
  free(p->input.x);
  free(p->hidden);
  free(p);
}

static void draw(struct picture *p, uint32_t seed)
{
  const size_t n = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
  uint8_t *codes = malloc(n);
  assert_non_null(codes);
  scene_draw(seed, p->height, p->width, p->channels, codes);
  for (size_t i = 0; i < n; i++)
    p->input.x[i] = p->input.u[i] = codes[i];
  free(codes);
}

static void hide(struct picture *p, int y0, int x0, int y1, int x1)
{
  for (int y = y0; y < y1; y++)
    memset(p->hidden + y * p->width + x0, 1, (size_t)(x1 - x0));
}

static bool try_fill(const struct picture *p, const char *text, float *x, struct error *err)
{
  const struct fill_scene scene = {&p->card, &p->input, 0};
  struct fill fill;
  if (!fill_open(&fill, text, &scene, err))
    return false;
  const bool ok = fill_hidden(&fill, 0, p->hidden, x, err);
  fill_close(&fill);
  return ok;
}

/* The picture with its hidden pixels filled, free(); checks that the others are as they were. */
static float *filled(const struct picture *p, const char *text)
{
  struct error err = {0};
  float *x = malloc((size_t)p->height * (size_t)p->width * (size_t)p->channels * sizeof *x);
  assert_non_null(x);
  if (!try_fill(p, text, x, &err))
    fail_msg("%s: %s", text, err.message);
  for (int i = 0; i < p->height * p->width * p->channels; i++)
    if (!p->hidden[i / p->channels])
      assert_true(x[i] == p->input.u[i]);
  return x;
}

/* ---- against elimination ---- */

/* L u at a pixel, as the method defines it. */
static double laplacian(const struct picture *p, const double *u, int y, int x)
{
  const double own = u[y * p->width + x];
  double sum = 0;
  sum += y > 0 ? own - u[(y - 1) * p->width + x] : 0;
  sum += y + 1 < p->height ? own - u[(y + 1) * p->width + x] : 0;
  sum += x > 0 ? own - u[y * p->width + x - 1] : 0;
  sum += x + 1 < p->width ? own - u[y * p->width + x + 1] : 0;
  return sum;
}

static void laplacian_of(const struct picture *p, bool twice, const double *u, double *to)
{
  double *once = malloc((size_t)p->height * (size_t)p->width * sizeof *once);
  assert_non_null(once);
  for (int i = 0; i < p->height * p->width; i++)
    once[i] = laplacian(p, u, i / p->width, i % p->width);
  for (int i = 0; i < p->height * p->width; i++)
    to[i] = twice ? laplacian(p, once, i / p->width, i % p->width) : once[i];
  free(once);
}

/* The hidden values of channel c by Gauss's elimination of the whole system; u [height, width]. */
static void eliminate(const struct picture *p, bool twice, int c, double *u)
{
  const int n = p->height * p->width;
  double *unit = calloc((size_t)n, sizeof *unit), *column = calloc((size_t)n, sizeof *column);
  int *place = calloc((size_t)n, sizeof *place), m = 0;
  assert_true(unit && column && place);
  for (int i = 0; i < n; i++) {
    u[i] = p->hidden[i] ? 0 : (double)p->input.u[i * p->channels + c];
    if (p->hidden[i])
      place[m++] = i;
  }
  double *a = calloc((size_t)m * (size_t)(m + 1), sizeof *a);
  assert_non_null(a);
  laplacian_of(p, twice, u, column);
  for (int k = 0; k < m; k++)
    a[k * (m + 1) + m] = -column[place[k]];
  for (int j = 0; j < m; j++) {
    unit[place[j]] = 1;
    laplacian_of(p, twice, unit, column);
    unit[place[j]] = 0;
    for (int k = 0; k < m; k++)
      a[k * (m + 1) + j] = column[place[k]];
  }
  for (int j = 0; j < m; j++) /* positive definite: no pivoting */
    for (int k = j + 1; k < m; k++) {
      const double f = a[k * (m + 1) + j] / a[j * (m + 1) + j];
      for (int i = j; f != 0 && i <= m; i++)
        a[k * (m + 1) + i] -= f * a[j * (m + 1) + i];
    }
  for (int j = m - 1; j >= 0; j--) {
    double v = a[j * (m + 1) + m];
    for (int i = j + 1; i < m; i++)
      v -= a[j * (m + 1) + i] * u[place[i]];
    u[place[j]] = v / a[j * (m + 1) + j];
  }
  free(unit);
  free(column);
  free(place);
  free(a);
}

static void compare_with_elimination(const struct picture *p)
{
  double *u = malloc((size_t)p->height * (size_t)p->width * sizeof *u);
  assert_non_null(u);
  for (int twice = 0; twice < 2; twice++) {
    float *x = filled(p, twice ? "inpaint:bi" : "inpaint");
    for (int c = 0; c < p->channels; c++) {
      eliminate(p, twice, c, u);
      for (int i = 0; i < p->height * p->width; i++) {
        const double wanted = fmin(fmax(u[i], 0), 255), got = (double)x[i * p->channels + c];
        if (fabs(got - wanted) > 0.0255)
          fail_msg("%s: pixel %d, channel %d: %.4f, not %.4f", twice ? "biharmonic" : "harmonic", i, c, got, wanted);
      }
    }
    free(x);
  }
  free(u);
}

static void solves_its_equations(void **state)
{
  (void)state;
  for (int channels = 1; channels <= 4; channels++) {
    struct picture *p = picture_new(21, 26, channels);
    draw(p, 5);
    hide(p, 6, 7, 15, 19); /* inside */
    compare_with_elimination(p);
    hide(p, 0, 20, 9, 26); /* a corner as well */
    hide(p, 20, 0, 21, 1);
    compare_with_elimination(p);
    memset(p->hidden, 0, 21 * 26);
    hide(p, 0, 4, 21, 12); /* from edge to edge */
    compare_with_elimination(p);
    for (int i = 0; i < 21 * 26; i++) /* any pixels at all */
      p->hidden[i] = scene_mix((uint32_t)i + 77) % 3 != 0;
    compare_with_elimination(p);
    memset(p->hidden, 1, 21 * 26); /* all but one */
    p->hidden[5 * 26 + 3] = 0;
    compare_with_elimination(p);
    picture_free(p);
  }
}

static void thin_pictures(void **state)
{
  (void)state;
  static const int sizes[][2] = {{1, 2}, {2, 1}, {1, 40}, {33, 1}, {2, 17}, {3, 3}};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    struct picture *p = picture_new(sizes[s][0], sizes[s][1], 1);
    draw(p, 9);
    for (int i = 0; i < p->height * p->width; i++)
      p->hidden[i] = i % 5 != 1;
    compare_with_elimination(p);
    picture_free(p);
  }
}

/* ---- what must hold for any region ---- */

/* A plane is both a membrane and a plate. */
static void continues_a_slope(void **state)
{
  (void)state;
  struct picture *p = picture_new(80, 64, 2);
  for (int i = 0; i < 80 * 64; i++)
    for (int c = 0; c < 2; c++)
      p->input.u[2 * i + c] = p->input.x[2 * i + c] = (float)(20 + 1.5 * (i / 64) + (c ? 1.25 : -0.25) * (i % 64));
  hide(p, 20, 15, 60, 50);
  for (int k = 0; k < 2; k++) {
    float *x = filled(p, k ? "inpaint:bi" : "inpaint");
    for (int i = 0; i < 80 * 64 * 2; i++)
      assert_true(fabs((double)x[i] - (double)p->input.u[i]) < 0.0255);
    free(x);
  }
  picture_free(p);
}

/* A parabola is a plate, and no membrane. */
static void plate_continues_a_curve(void **state)
{
  (void)state;
  struct picture *p = picture_new(48, 48, 1);
  for (int i = 0; i < 48 * 48; i++)
    p->input.u[i] = p->input.x[i] = (float)((i % 48 - 20) * (i % 48 - 20) * 0.3);
  hide(p, 12, 12, 36, 36);
  float *plate = filled(p, "inpaint:bi"), *membrane = filled(p, "inpaint");
  double off = 0;
  for (int i = 0; i < 48 * 48; i++) {
    assert_true(fabs((double)plate[i] - (double)p->input.u[i]) < 0.0255);
    off = fmax(off, fabs((double)membrane[i] - (double)p->input.u[i]));
  }
  assert_true(off > 10);
  free(plate);
  free(membrane);
  picture_free(p);
}

/* A large picture with many regions: within the values of the rim, and each value the mean of its neighbours. */
static void membrane_stays_within_its_rim(void **state)
{
  (void)state;
  struct picture *p = picture_new(224, 300, 3);
  draw(p, 6);
  for (int i = 0; i < 224 * 300; i++)
    p->hidden[i] = scene_hash(1, 2, (uint32_t)(i / 300 / 17), (uint32_t)(i % 300 / 23)) & 1;
  float *x = filled(p, "inpaint");
  float lo[3] = {255, 255, 255}, hi[3] = {0, 0, 0};
  double *u = malloc(224 * 300 * sizeof *u);
  assert_non_null(u);
  for (int i = 0; i < 224 * 300 * 3; i++)
    if (!p->hidden[i / 3]) {
      lo[i % 3] = fminf(lo[i % 3], x[i]);
      hi[i % 3] = fmaxf(hi[i % 3], x[i]);
    }
  for (int c = 0; c < 3; c++) {
    for (int i = 0; i < 224 * 300; i++) {
      u[i] = (double)x[3 * i + c];
      assert_true(x[3 * i + c] >= lo[c] - 0.0255f && x[3 * i + c] <= hi[c] + 0.0255f);
    }
    for (int i = 0; i < 224 * 300; i++)
      if (p->hidden[i])
        assert_true(fabs(laplacian(p, u, i / 300, i % 300)) <= 0.0255);
  }
  free(u);
  free(x);
  picture_free(p);
}

static void nothing_hidden_or_nothing_to_fill(void **state)
{
  (void)state;
  struct picture *p = picture_new(20, 30, 3);
  draw(p, 7);
  free(filled(p, "inpaint"));
  for (int i = 0; i < 20 * 30 * 3; i++)
    p->input.u[i] = p->input.x[i] = 7;
  p->input.lo = p->input.hi = 7; /* an array of one value */
  p->input.preprocessed = true;
  hide(p, 3, 3, 15, 15);
  for (int k = 0; k < 2; k++) {
    float *x = filled(p, k ? "inpaint:bi" : "inpaint");
    for (int i = 0; i < 20 * 30 * 3; i++)
      assert_true(x[i] == 7);
    free(x);
  }
  picture_free(p);
}

static void refuses(void **state)
{
  (void)state;
  struct picture *p = picture_new(6, 5, 1);
  const struct fill_scene scene = {&p->card, &p->input, 0};
  struct fill fill;
  struct error err = {0};
  float x[30];
  hide(p, 0, 0, 6, 5);
  assert_false(try_fill(p, "inpaint", x, &err));
  assert_int_equal(err.code, ERROR_FAILED);
  assert_non_null(strstr(err.message, "all 6x5 pixels are hidden (fill-unavailable)"));
  err = (struct error){0};
  assert_false(try_fill(p, "inpaint:tri", x, &err));
  assert_int_equal(err.code, ERROR_USAGE);
  assert_non_null(strstr(err.message, "inpaint:tri"));
  err = (struct error){0};
  assert_true(fill_open(&fill, "inpaint", &scene, &err));
  assert_false(fill_values(&fill, 0, x, &err));
  assert_non_null(strstr(err.message, "fill-unavailable"));
  fill_close(&fill);
  picture_free(p);
}

static void survives_want_of_memory(void **state)
{
  (void)state;
  struct picture *p = picture_new(9, 9, 1);
  float x[81];
  draw(p, 8);
  hide(p, 2, 2, 6, 6);
  FAULT_LOOP(try_fill(p, "inpaint:bi", x, &err), (void)0);
  picture_free(p);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(solves_its_equations),
    cmocka_unit_test(thin_pictures),
    cmocka_unit_test(continues_a_slope),
    cmocka_unit_test(plate_continues_a_curve),
    cmocka_unit_test(membrane_stays_within_its_rim),
    cmocka_unit_test(nothing_hidden_or_nothing_to_fill),
    cmocka_unit_test(refuses),
    cmocka_unit_test(survives_want_of_memory),
  };
  return cmocka_run_group_tests_name("fill_inpaint", tests, NULL, NULL);
}
