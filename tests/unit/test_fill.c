/* SPDX-License-Identifier: Apache-2.0 */
/* Every fill against what it is said to be, number by number. */
#include "base/rng.h"
#include "engine.h"
#include "fault.h"
#include "model/preprocess.h"
#include "perturb/fill.h"
#include "scratch.h"

#include <stdlib.h>

enum { HEIGHT = 20, WIDTH = 24, PIXELS = HEIGHT * WIDTH, VALUES = PIXELS * 3 };

/* A colour picture for a model that subtracts and divides; `settings` are the card's. */
struct scene {
  struct card card;
  struct image image;
  struct input input;
};

static struct scene *scene_new(int width, int height, int channels, bool gray, enum pixel_type type,
                               const char *const *settings)
{
  struct error err = {0};
  struct scene *s = calloc(1, sizeof *s);
  assert_non_null(s);
  assert_ok(card_init(&s->card, &err), err);
  for (int i = 0; settings[i]; i++)
    assert_ok(card_set_text(&s->card, settings[i], &err), err);
  assert_ok(card_check(&s->card, channels, HEIGHT, WIDTH, 2, &err), err);
  assert_ok(image_new(&s->image, width, height, 3, type, &err), err);
  for (int i = 0; i < width * height * 3; i++) {
    const unsigned code = ((unsigned)(gray ? i / 3 : i) * 2654435761u) >> 24;
    if (type == PIXEL_U8)
      ((unsigned char *)s->image.data)[i] = (unsigned char)code;
    else
      ((uint16_t *)s->image.data)[i] = (uint16_t)(code * 257);
  }
  assert_ok(preprocess(&s->card, &s->image, &s->input, &err), err);
  return s;
}

static struct scene *plain_scene(void)
{
  return scene_new(
      WIDTH, HEIGHT, 3, false, PIXEL_U8,
      (const char *const[]){"scale=0.00392156862745098", "mean=0.485,0.456,0.406", "std=0.229,0.224,0.225", NULL});
}

static void scene_free(struct scene *s)
{
  input_free(&s->input);
  image_free(&s->image);
  card_free(&s->card);
  free(s);
}

/* The fill in the model's values. */
static float *filled(const struct scene *s, const char *text, uint64_t seed, uint32_t draw, const char **note)
{
  const struct fill_scene scene = {&s->card, &s->input, seed};
  struct fill fill;
  struct error err = {0};
  float *x = calloc(PIXELS * (size_t)s->input.channels, sizeof *x);
  assert_non_null(x);
  assert_ok(fill_open(&fill, text, &scene, &err), err);
  assert_ok(fill_values(&fill, draw, x, &err), err);
  if (note)
    *note = fill.note;
  fill_close(&fill);
  return x;
}

/* `code[c]` in image units everywhere, through the card's arithmetic done by hand. */
static void expect_codes(const struct scene *s, const char *text, const double *code, const char *note)
{
  const char *said = NULL;
  float *x = filled(s, text, 0, 0, &said);
  const struct card *card = &s->card;
  const double lo = s->input.lo, hi = s->input.hi;
  for (int i = 0; i < PIXELS * s->input.channels; i++) {
    const int c = i % s->input.channels;
    const double mean = card->mean_count ? card->mean[c] : 0, sd = card->std_count ? card->std[c] : 1;
    const double pixel = (code[c] - lo) / (hi - lo) * 255, expected = (pixel * card->scale - mean) / sd;
    if (fabs((double)x[i] - expected) > 1e-5 * fmax(1, fabs(expected)))
      fail_msg("%s, value %d: %g, not %g", text, i, (double)x[i], expected);
  }
  if (note)
    assert_string_equal(said, note);
  else
    assert_null(said);
  free(x);
}

/* ---- constants -------------------------------------------------------------------------------------------------- */

static void constants(void **state)
{
  (void)state;
  struct scene *s = plain_scene();
  double mean[3] = {0};
  for (int i = 0; i < VALUES; i++)
    mean[i % 3] += ((const unsigned char *)s->image.data)[i] / (double)PIXELS;
  expect_codes(s, "black", (const double[]){0, 0, 0}, NULL);
  expect_codes(s, "white", (const double[]){255, 255, 255}, NULL);
  expect_codes(s, "128", (const double[]){128, 128, 128}, NULL);
  expect_codes(s, "-3.5", (const double[]){-3.5, -3.5, -3.5}, NULL);
  expect_codes(s, "mean", (const double[]){0.485 * 255, 0.456 * 255, 0.406 * 255}, NULL);
  expect_codes(s, "image-mean", mean, NULL);
  float *zero = filled(s, "zero", 0, 0, NULL);
  for (int i = 0; i < VALUES; i++)
    assert_true(fabs((double)zero[i]) < 1e-6);
  free(zero);
  scene_free(s);
}

static void the_mean_is_a_grey_or_the_image(void **state)
{
  (void)state;
  double mean[3] = {0};
  struct scene *s = scene_new(WIDTH, HEIGHT, 3, false, PIXEL_U8, (const char *const[]){"scale=0.5", NULL});
  for (int i = 0; i < VALUES; i++)
    mean[i % 3] += ((const unsigned char *)s->image.data)[i] / (double)PIXELS;
  expect_codes(s, "mean", mean, "fill-mean-missing"); /* no mean at all */
  scene_free(s);
  s = scene_new(WIDTH, HEIGHT, 3, false, PIXEL_U8, (const char *const[]){"mean=0", NULL});
  expect_codes(s, "mean", mean, "fill-mean-missing"); /* a constant of normalisation, no grey */
  scene_free(s);
  s = scene_new(WIDTH, HEIGHT, 3, false, PIXEL_U8, (const char *const[]){"mean=0", "dataset_mean=90,100,110", NULL});
  expect_codes(s, "mean", (const double[]){90, 100, 110}, NULL);
  scene_free(s);
  s = scene_new(WIDTH, HEIGHT, 3, false, PIXEL_U8,
                (const char *const[]){"channels=bgr", "mean=104,117,123", NULL}); /* in the model's order */
  expect_codes(s, "mean", (const double[]){104, 117, 123}, NULL);
  scene_free(s);
}

static void units_are_the_images(void **state)
{
  (void)state;
  struct scene *s =
      scene_new(WIDTH, HEIGHT, 3, false, PIXEL_U16, (const char *const[]){"scale=0.01", "mean=0.5", "std=0.25", NULL});
  assert_true(s->input.lo == 0 && s->input.hi == 65535);
  expect_codes(s, "white", (const double[]){65535, 65535, 65535}, NULL);
  expect_codes(s, "20000", (const double[]){20000, 20000, 20000}, NULL);
  const double grey = 0.5 / 0.01 / 255 * 65535;
  expect_codes(s, "mean", (const double[]){grey, grey, grey}, NULL);
  scene_free(s);
}

static void padding_is_no_part_of_the_mean(void **state)
{
  (void)state;
  struct scene *s =
      scene_new(48, 20, 3, false, PIXEL_U8, (const char *const[]){"resize=pad", NULL}); /* to 24x10 of 24x20 */
  const struct geometry *g = &s->input.geometry;
  assert_int_equal(g->resized_height, 10);
  assert_int_equal(g->offset_y, 5);
  double mean[3] = {0};
  for (int y = 5; y < 15; y++)
    for (int x = 0; x < WIDTH * 3; x++)
      mean[x % 3] += (double)s->input.u[y * WIDTH * 3 + x] / (10 * WIDTH);
  expect_codes(s, "image-mean", mean, NULL);
  assert_true(mean[0] > 60); /* black padding would have halved it */
  scene_free(s);
}

/* ---- blur and pictures ------------------------------------------------------------------------------------------ */

static void blurs_in_image_units(void **state)
{
  (void)state;
  struct scene *s = plain_scene();
  struct error err = {0};
  float *u = malloc(VALUES * sizeof *u), *expected = malloc(VALUES * sizeof *expected);
  assert_true(u && expected);
  static const struct {
    const char *text;
    double sigma;
  } cases[] = {{"blur", 1}, {"blur:2.5", 2.5}, {"blur:0", 0}}; /* 10 px at 224: a pixel here */
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_ok(blur_image(s->input.u, HEIGHT, WIDTH, 3, cases[i].sigma, u, &err), err);
    preprocess_values(&s->card, &s->input, u, expected);
    float *x = filled(s, cases[i].text, 0, 0, NULL);
    assert_memory_equal(x, expected, VALUES * sizeof *x);
    free(x);
  }
  free(u);
  free(expected);
  scene_free(s);
}

static void takes_another_picture(void **state)
{
  (void)state;
  struct error err = {0};
  struct scene *s = plain_scene(), *other = plain_scene();
  char text[600];
  for (int i = 0; i < VALUES; i++)
    ((unsigned char *)other->image.data)[i] ^= 0x55;
  input_free(&other->input);
  assert_ok(preprocess(&other->card, &other->image, &other->input, &err), err);
  assert_ok(image_write_png(&other->image, scratch_path("a,b=c:d.png"), &err), err);
  (void)snprintf(text, sizeof text, "image:%s", scratch_path("a,b=c:d.png"));
  const char *note = "";
  float *x = filled(s, text, 0, 0, &note);
  assert_null(note);
  assert_memory_equal(x, other->input.x, VALUES * sizeof *x);
  free(x);
  scene_free(other);
  other = scene_new(50, 20, 3, false, PIXEL_U8, (const char *const[]){"scale=1", NULL});
  assert_ok(image_write_png(&other->image, scratch_path("wide.png"), &err), err);
  (void)snprintf(text, sizeof text, "image:%s", scratch_path("wide.png"));
  free(filled(s, text, 0, 0, &note));
  assert_string_equal(note, "fill-aspect");
  assert_non_null(strstr(fill_note_sentence(note), "aspect"));
  assert_non_null(strstr(fill_note_sentence("fill-mean-missing"), "mean"));
  scene_free(other);
  scene_free(s);
}

/* ---- random fills ----------------------------------------------------------------------------------------------- */

static void noise_is_keyed_by_seed_draw_and_pixel(void **state)
{
  (void)state;
  struct scene *s = scene_new(WIDTH, HEIGHT, 3, false, PIXEL_U8,
                              (const char *const[]){"dataset_mean=100,110,120", "dataset_std=20,30,40", NULL});
  for (uint32_t draw = 0; draw < 2; draw++) {
    static const char *const texts[] = {"noise", "noise:12.5"};
    for (int t = 0; t < 2; t++) {
      float *x = filled(s, texts[t], 42, draw, NULL);
      for (int i = 0; i < VALUES; i++) {
        const double mean = 100 + 10 * (i % 3), sd = t ? 12.5 : 20 + 10 * (i % 3);
        const double v = mean + sd * rng_normal(42, RNG_FILL, draw, (uint64_t)i);
        assert_true(fabs((double)x[i] - fmin(fmax(v, 0), 255)) < 1e-3); /* scale 1: image units */
      }
      free(x);
    }
  }
  float *a = filled(s, "noise", 42, 0, NULL), *b = filled(s, "noise", 43, 0, NULL),
        *c = filled(s, "noise", 42, 1, NULL);
  assert_true(memcmp(a, b, VALUES * sizeof *a) != 0 && memcmp(a, c, VALUES * sizeof *a) != 0);
  free(a);
  free(b);
  free(c);
  scene_free(s);
  s = scene_new(WIDTH, HEIGHT, 3, false, PIXEL_U8,
                (const char *const[]){"mean=127.5", NULL}); /* a quarter of the range */
  a = filled(s, "noise", 1, 0, NULL);
  double square = 0;
  int clipped = 0;
  for (int i = 0; i < VALUES; i++) {
    square += (double)(a[i] * a[i]);
    clipped += a[i] == -127.5f || a[i] == 127.5f;
    assert_true(a[i] >= -127.5f && a[i] <= 127.5f);
  }
  assert_true(sqrt(square / VALUES) > 55 && sqrt(square / VALUES) < 67);
  assert_true(clipped > 20 && clipped < 130); /* 4.6 % of 1440 lie beyond two SD */
  free(a);
  scene_free(s);
}

static void uniform_covers_the_range(void **state)
{
  (void)state;
  struct scene *s = scene_new(WIDTH, HEIGHT, 3, false, PIXEL_U8, (const char *const[]){"scale=1", NULL});
  struct scene *gray = scene_new(WIDTH, HEIGHT, 3, true, PIXEL_U8, (const char *const[]){"scale=1", NULL});
  float *x = filled(s, "uniform", 7, 3, NULL), *y = filled(gray, "uniform", 7, 3, NULL);
  double least = 255, most = 0;
  for (int i = 0; i < VALUES; i++) {
    assert_true(fabs((double)x[i] - 255 * rng_uniform(7, RNG_FILL, 3, (uint64_t)i)) < 1e-3);
    assert_true(fabs((double)y[i] - 255 * rng_uniform(7, RNG_FILL, 3, (uint64_t)(i / 3))) < 1e-3); /* drawn once */
    least = fmin(least, (double)x[i]);
    most = fmax(most, (double)x[i]);
  }
  assert_true(least < 2 && most > 253);
  free(x);
  free(y);
  scene_free(s);
  scene_free(gray);
}

static void draws_are_for_random_fills(void **state)
{
  (void)state;
  struct scene *s = plain_scene();
  const struct fill_scene scene = {&s->card, &s->input, 0};
  static const struct {
    const char *text;
    int draws;
  } cases[] = {{"mean", 1}, {"blur", 1}, {"0", 1}, {"noise", 10}, {"uniform", 10}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct fill fill;
    struct error err = {0};
    assert_ok(fill_open(&fill, cases[i].text, &scene, &err), err);
    assert_int_equal(fill_draws(&fill, 10), cases[i].draws);
    assert_string_equal(fill.text, cases[i].text);
    fill_close(&fill);
  }
  scene_free(s);
}

/* ---- hidden pixels ---------------------------------------------------------------------------------------------- */

static void hides_what_is_asked_for(void **state)
{
  (void)state;
  struct scene *s = plain_scene();
  const struct fill_scene scene = {&s->card, &s->input, 5};
  static const char *const texts[] = {"mean", "uniform", "blur:3", "zero", "noise"};
  unsigned char hidden[PIXELS];
  float *x = malloc(VALUES * sizeof *x);
  assert_non_null(x);
  for (int i = 0; i < PIXELS; i++)
    hidden[i] = (unsigned char)((i * 7 / 3) % 5 == 0);
  for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
    struct fill fill;
    struct error err = {0};
    assert_ok(fill_open(&fill, texts[t], &scene, &err), err);
    assert_ok(fill_hidden(&fill, 2, hidden, x, &err), err);
    float *all = filled(s, texts[t], 5, 2, NULL);
    for (int i = 0; i < VALUES; i++)
      assert_true(x[i] == (hidden[i / 3] ? all[i] : s->input.x[i])); /* to the bit */
    free(all);
    fill_close(&fill);
  }
  free(x);
  scene_free(s);
}

/* ---- errors ----------------------------------------------------------------------------------------------------- */

static void refuses(void **state)
{
  (void)state;
  struct scene *s = plain_scene();
  const struct fill_scene scene = {&s->card, &s->input, 0};
  static const struct {
    const char *text, *first, *second;
  } cases[] = {
      {"nonsense", "'nonsense'", "image-mean"},
      {"", "''", "mean"},
      {"mean:3", "mean", "no argument"},
      {"black:1", "black", "no argument"},
      {"blur:x", "blur:x", "1000"},
      {"blur:-1", "-1", "0..1000"},
      {"blur:1e9", "1e9", "1000"},
      {"noise:300", "300", "255"},
      {"nan", "nan", "none of"},
      {"inf", "inf", "none of"},
      {"1,5", "1,5", "none of"},
      {"12px", "12px", "none of"},
      {"image", "wants a file", "image:FILE"},
      {"image:", "wants a file", "image:FILE"},
      {"image:no/such.png", "no/such.png", "No such file"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct fill fill;
    struct error err = {0};
    assert_false(fill_open(&fill, cases[i].text, &scene, &err));
    if (!strstr(err.message, cases[i].first) || !strstr(err.message, cases[i].second))
      print_message("# %s: %s\n", cases[i].text, err.message);
    assert_non_null(strstr(err.message, cases[i].first));
    assert_non_null(strstr(err.message, cases[i].second));
    if (!strstr(cases[i].text, "image:no"))
      assert_int_equal(err.code, ERROR_USAGE);
  }
  scene_free(s);
}

static void knows_names(void **state)
{
  (void)state;
  assert_true(fill_known("mean,blur", 4));
  assert_true(fill_known("128", 3) && fill_known("-1.5e2", 6));
  assert_false(fill_known("means", 5) || fill_known("", 0) || fill_known("12x", 3));
}

static void lists_itself(void **state)
{
  (void)state;
  static const char *const wanted[] = {"mean", "zero",  "black",   "white", "image-mean",
                                       "blur", "noise", "uniform", "image"};
  json_t *list = fills_json();
  assert_non_null(list);
  for (size_t w = 0; w < sizeof wanted / sizeof *wanted; w++) {
    size_t i, found = 0;
    json_t *entry;
    json_array_foreach (list, i, entry)
      if (strcmp(json_string_value(json_object_get(entry, "name")), wanted[w]) == 0) {
        found++;
        assert_true(strlen(json_string_value(json_object_get(entry, "summary"))) > 5);
        const bool random = strcmp(wanted[w], "noise") == 0 || strcmp(wanted[w], "uniform") == 0;
        assert_int_equal(json_is_true(json_object_get(entry, "random")), random);
      }
    assert_int_equal(found, 1);
  }
  json_decref(list);
}

static bool open_and_fill(const struct scene *s, const char *text, float *x, struct error *err)
{
  const struct fill_scene scene = {&s->card, &s->input, 0};
  static const unsigned char hidden[PIXELS] = {1, 0, 1};
  struct fill fill = {0};
  const bool ok =
      fill_open(&fill, text, &scene, err) && fill_values(&fill, 0, x, err) && fill_hidden(&fill, 0, hidden, x, err);
  fill_close(&fill);
  return ok;
}

static void fails_without_memory(void **state)
{
  (void)state;
  struct scene *s = plain_scene();
  struct error before = {0};
  char text[600];
  float x[VALUES];
  assert_ok(image_write_png(&s->image, scratch_path("fill.png"), &before), before);
  (void)snprintf(text, sizeof text, "image:%s", scratch_path("fill.png"));
  const char *const texts[] = {"mean", "blur:2", "uniform", text};
  for (int i = 0; i < 4; i++)
    FAULT_LOOP(open_and_fill(s, texts[i], x, &err), (void)0);
  scene_free(s);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(constants),
      cmocka_unit_test(the_mean_is_a_grey_or_the_image),
      cmocka_unit_test(units_are_the_images),
      cmocka_unit_test(padding_is_no_part_of_the_mean),
      cmocka_unit_test(blurs_in_image_units),
      cmocka_unit_test_setup_teardown(takes_another_picture, scratch_setup, scratch_teardown),
      cmocka_unit_test(noise_is_keyed_by_seed_draw_and_pixel),
      cmocka_unit_test(uniform_covers_the_range),
      cmocka_unit_test(draws_are_for_random_fills),
      cmocka_unit_test(hides_what_is_asked_for),
      cmocka_unit_test(refuses),
      cmocka_unit_test(knows_names),
      cmocka_unit_test(lists_itself),
      cmocka_unit_test_setup_teardown(fails_without_memory, scratch_setup, scratch_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
