/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"
#include "perturb/fill.h"
#include "scratch.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SIDE = 4, PICTURES = 7 };

struct picture {
  struct card card;
  struct input input;
  float u[SIDE * SIDE], x[SIDE * SIDE];
};

static struct picture *picture_new(void)
{
  struct picture *p = calloc(1, sizeof *p);
  assert_non_null(p);
  p->card.channels = CHANNELS_GRAY;
  p->card.channel_count = 1;
  p->card.height = p->card.width = SIDE;
  p->card.scale = p->card.std[0] = 1;
  p->input = (struct input){.geometry = {SIDE, SIDE, SIDE, SIDE, 0, 0, SIDE, SIDE}, .channels = 1, .hi = 255,
                            .u = p->u, .x = p->x};
  return p;
}

/* A grey picture of one value, of any size. */
static void write_gray(const char *name, int side, unsigned char value)
{
  unsigned char codes[64];
  struct error err = {0};
  memset(codes, value, sizeof codes);
  const struct image image = {.width = side, .height = side, .channels = 1, .type = PIXEL_U8, .data = codes, .hi = 255};
  if (!image_write_png(&image, scratch_path(name), &err))
    fail_msg("%s", err.message);
}

static int setup(void **state)
{
  if (scratch_setup(state) != 0)
    return -1;
  for (int i = 0; i < PICTURES; i++) {
    const char name[] = {(char)('a' + i), '.', 'p', 'n', 'g', '\0'};
    write_gray(name, 3 + i % 3, (unsigned char)(10 * (i + 1)));
  }
  scratch_file(".hidden", "no picture", 10);
  return mkdir(scratch_path("folder.png"), 0777);
}

static const char *set_of(const char *folder)
{
  static char text[400];
  (void)snprintf(text, sizeof text, "set:%s", folder);
  return text;
}

static void draws(const struct picture *p, uint64_t seed, int *values, int count)
{
  const struct fill_scene scene = {&p->card, &p->input, seed};
  struct fill fill;
  struct error err = {0};
  float x[SIDE * SIDE];
  assert_true(fill_open(&fill, set_of(scratch), &scene, &err));
  assert_int_equal(fill_draws(&fill, 12), 12);
  for (int i = 0; i < count; i++) {
    if (!fill_values(&fill, (uint32_t)i, x, &err))
      fail_msg("%s", err.message);
    values[i] = (int)x[0];
    for (int k = 0; k < SIDE * SIDE; k++)
      assert_true(x[k] == x[0]);
  }
  fill_close(&fill);
}

static void draws_all_before_any_twice(void **state)
{
  (void)state;
  struct picture *p = picture_new();
  int first[2 * PICTURES], again[2 * PICTURES], other[2 * PICTURES], differ = 0;
  draws(p, 1, first, 2 * PICTURES);
  draws(p, 1, again, 2 * PICTURES);
  assert_memory_equal(first, again, sizeof first);
  assert_memory_equal(first, first + PICTURES, PICTURES * sizeof *first);
  int seen = 0;
  for (int i = 0; i < PICTURES; i++)
    seen |= 1 << first[i] / 10;
  assert_int_equal(seen, (1 << (PICTURES + 1)) - 2);
  for (uint64_t seed = 2; seed < 6; seed++) {
    draws(p, seed, other, PICTURES);
    differ += memcmp(first, other, PICTURES * sizeof *first) != 0;
  }
  assert_in_range(differ, 3, 4);
  free(p);
}

static void refuse(const struct picture *p, const char *text, const char *part)
{
  const struct fill_scene scene = {&p->card, &p->input, 0};
  struct fill fill;
  struct error err = {0};
  assert_false(fill_open(&fill, text, &scene, &err));
  if (!strstr(err.message, part))
    fail_msg("'%s' lacks '%s'", err.message, part);
}

static void refuses(void **state)
{
  (void)state;
  struct picture *p = picture_new();
  char empty[300];
  (void)snprintf(empty, sizeof empty, "set:%s", scratch_path("folder.png"));
  refuse(p, empty, "folder.png' holds no pictures");
  refuse(p, "set", "set:DIR");
  refuse(p, "set:", "set:DIR");
  refuse(p, set_of(scratch_path("absent")), "absent");
  refuse(p, set_of(scratch_path("a.png")), "a.png");
  free(p);
}

/* What cannot be read is named when it is drawn. */
static void names_the_file_that_is_no_picture(void **state)
{
  (void)state;
  struct picture *p = picture_new();
  const struct fill_scene scene = {&p->card, &p->input, 3};
  struct fill fill;
  struct error err = {0};
  float x[SIDE * SIDE];
  scratch_file("notes.txt", "no picture", 10);
  assert_true(fill_open(&fill, set_of(scratch), &scene, &err));
  int failed = 0;
  for (uint32_t i = 0; i <= PICTURES; i++) {
    err = (struct error){0};
    if (!fill_values(&fill, i, x, &err)) {
      assert_non_null(strstr(err.message, "notes.txt"));
      failed++;
    }
  }
  assert_int_equal(failed, 1);
  fill_close(&fill);
  free(p);
}

static bool open_and_draw(const struct picture *p, struct error *err)
{
  const struct fill_scene scene = {&p->card, &p->input, 0};
  struct fill fill;
  float x[SIDE * SIDE];
  if (!fill_open(&fill, set_of(scratch), &scene, err))
    return false;
  const bool ok = fill_values(&fill, 0, x, err);
  fill_close(&fill);
  return ok;
}

static void survives_want_of_memory(void **state)
{
  (void)state;
  struct picture *p = picture_new();
  FAULT_LOOP(open_and_draw(p, &err), (void)0);
  free(p);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(draws_all_before_any_twice, setup, scratch_teardown),
    cmocka_unit_test_setup_teardown(refuses, setup, scratch_teardown),
    cmocka_unit_test_setup_teardown(names_the_file_that_is_no_picture, setup, scratch_teardown),
    cmocka_unit_test_setup_teardown(survives_want_of_memory, setup, scratch_teardown),
  };
  return cmocka_run_group_tests_name("fill_set", tests, NULL, NULL);
}
