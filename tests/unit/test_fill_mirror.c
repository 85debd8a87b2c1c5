/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"
#include "perturb/fill.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HEIGHT = 12, WIDTH = 40, CHANNELS = 3, VALUES = HEIGHT * WIDTH * CHANNELS };

/* A model that takes values as they are. The picture has margins of padding where the geometry says so. */
struct picture {
  struct card card;
  struct input input;
  float u[VALUES], x[VALUES];
};

static struct picture *picture_new(void)
{
  struct picture *p = calloc(1, sizeof *p);
  assert_non_null(p);
  p->card.channel_count = CHANNELS;
  p->card.scale = 1;
  for (int c = 0; c < CARD_MAX_CHANNELS; c++)
    p->card.std[c] = 1;
  p->input = (struct input){.geometry = {WIDTH, HEIGHT, WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT}, .channels = CHANNELS,
                            .hi = 255, .u = p->u, .x = p->x};
  for (int i = 0; i < VALUES; i++)
    p->u[i] = (float)((uint32_t)i * 2654435761u >> 24);
  return p;
}

static float *mirrored(const struct picture *p, const char *text)
{
  const struct fill_scene scene = {&p->card, &p->input, 0};
  struct fill fill;
  struct error err = {0};
  float *x = malloc(VALUES * sizeof *x);
  assert_non_null(x);
  if (!fill_open(&fill, text, &scene, &err) || !fill_values(&fill, 0, x, &err))
    fail_msg("%s: %s", text, err.message);
  assert_int_equal(fill_draws(&fill, 10), 1);
  fill_close(&fill);
  return x;
}

/* Twice the axis; pixels in [x0, x1) are the picture. */
static void check(const struct picture *p, const char *text, int twice, int x0, int x1)
{
  float *x = mirrored(p, text);
  for (int i = 0; i < VALUES; i++) {
    const int column = i / CHANNELS % WIDTH;
    int from = twice - column;
    from = from < x0 ? x0 : from > x1 - 1 ? x1 - 1 : from;
    if (column < x0 || column >= x1)
      from = column;
    if (x[i] != p->u[i + (from - column) * CHANNELS])
      fail_msg("%s: value %d is not that of column %d", text, i, from);
  }
  free(x);
}

static void about_the_centre(void **state)
{
  (void)state;
  struct picture *p = picture_new();
  check(p, "mirror", WIDTH - 1, 0, WIDTH);
  p->input.geometry.offset_x = 6; /* a picture of 20 columns in padding */
  p->input.geometry.resized_width = 20;
  check(p, "mirror", 6 + 25, 6, 26);
  p->input.geometry.offset_x = -30; /* the middle of a wider one */
  p->input.geometry.resized_width = 100;
  check(p, "mirror", WIDTH - 1, 0, WIDTH);
  free(p);
}

static void about_a_column(void **state)
{
  (void)state;
  struct picture *p = picture_new();
  check(p, "mirror:0", 0, 0, WIDTH);
  check(p, "mirror:14", 28, 0, WIDTH);
  check(p, "mirror:14.5", 29, 0, WIDTH);
  check(p, "mirror:39", 78, 0, WIDTH);
  free(p);
}

/* The axis is found where the picture is its own mirror image, but for noise; never outside the middle fifth. */
static void finds_the_axis(void **state)
{
  (void)state;
  struct picture *p = picture_new();
  for (int twice = WIDTH - 1 - 8; twice <= WIDTH - 1 + 8; twice++) {
    for (int i = 0; i < VALUES; i++) {
      const int row = i / CHANNELS / WIDTH, far = abs(2 * (i / CHANNELS % WIDTH) - twice);
      const uint32_t pattern = ((uint32_t)(row * 100 + far) * 2654435761u) >> 24;
      p->u[i] = (float)pattern + (float)(((uint32_t)i * 40503u >> 7) % 9);
    }
    check(p, "mirror:auto", twice, 0, WIDTH);
  }
  for (int i = 0; i < VALUES; i++) /* all axes are the same: the centre */
    p->u[i] = 5;
  float *x = mirrored(p, "mirror:auto");
  for (int i = 0; i < VALUES; i++)
    assert_true(x[i] == 5);
  free(x);
  free(p);
}

static void refuses(void **state)
{
  (void)state;
  static const char *const texts[] = {"mirror:40", "mirror:-1", "mirror:left", "mirror:", "mirror:nan"};
  struct picture *p = picture_new();
  const struct fill_scene scene = {&p->card, &p->input, 0};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct fill fill;
    struct error err = {0};
    assert_false(fill_open(&fill, texts[i], &scene, &err));
    assert_int_equal(err.code, ERROR_USAGE);
    assert_non_null(strstr(err.message, "neither auto nor a column in 0..39"));
  }
  free(p);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(about_the_centre),
    cmocka_unit_test(about_a_column),
    cmocka_unit_test(finds_the_axis),
    cmocka_unit_test(refuses),
  };
  return cmocka_run_group_tests_name("fill_mirror", tests, NULL, NULL);
}
