/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/npy.h"
#include "base/rng.h"
#include "base/threads.h"
#include "fault.h"
#include "golden.h"
#include "image/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum interpolation filter_named(const char *name)
{
  static const char *const names[] = {"nearest", "bilinear", "bicubic", "lanczos"};
  for (int i = 0; i < 4; i++) {
    if (strcmp(name, names[i]) == 0)
      return (enum interpolation)i;
  }
  fail_msg("unknown filter %s", name);
  return INTERPOLATION_NEAREST;
}

static struct image make(int width, int height, int channels, enum pixel_type type)
{
  struct error err = {0};
  struct image image;
  assert_true(image_new(&image, width, height, channels, type, &err));
  return image;
}

static void set(struct image *image, size_t i, double v)
{
  if (image->type == PIXEL_U8)
    ((uint8_t *)image->data)[i] = (uint8_t)v;
  else if (image->type == PIXEL_U16)
    ((uint16_t *)image->data)[i] = (uint16_t)v;
  else
    ((float *)image->data)[i] = (float)v;
}

static double get(const struct image *image, size_t i)
{
  return image->type == PIXEL_U8    ? ((const uint8_t *)image->data)[i]
         : image->type == PIXEL_U16 ? ((const uint16_t *)image->data)[i]
                                    : ((const float *)image->data)[i];
}

static size_t count(const struct image *image)
{
  return (size_t)image->width * (size_t)image->height * (size_t)image->channels;
}

static double stored(const struct npy *array, size_t i)
{
  return array->type == NPY_F32 ? ((const float *)array->data)[i] : ((const int32_t *)array->data)[i];
}

/* Every case whose type is `type`; `as` is the picture's. */
static void compare(const char *type, const char *array_name, enum pixel_type as, double tolerance)
{
  struct error err = {0};
  struct npy array;
  assert_true(npy_read(golden_path("resize", array_name), 0, &array, &err));
  json_t *cases = golden_json("resize", "cases.json"), *c;
  size_t at = 0, index, tried = 0;
  json_array_foreach(cases, index, c)
  {
    const char *kind = json_string_value(json_object_get(c, "type"));
    const char *filter = json_string_value(json_object_get(c, "filter"));
    int h, w, channels, height, width;
    assert_int_equal(json_unpack(c, "{s:[iii],s:[ii]}", "in", &h, &w, &channels, "out", &height, &width), 0);
    bool eight = strcmp(kind, "u8") == 0;
    if (eight != (strcmp(array_name, "bytes.npy") == 0))
      continue; /* lies in the other file */
    size_t in_count = (size_t)(w * h * channels), out_count = (size_t)(width * height * channels);
    assert_true(at + in_count + out_count <= (size_t)npy_count(&array));
    if (strcmp(kind, type) == 0) {
      struct image in = make(w, h, channels, as), out;
      for (size_t i = 0; i < in_count; i++)
        set(&in, i, stored(&array, at + i));
      if (!image_resize(&in, width, height, filter_named(filter), &out, &err))
        fail_msg("%s", err.message);
      assert_int_equal(out.width, width);
      assert_int_equal(out.height, height);
      assert_int_equal(out.channels, channels);
      assert_int_equal(out.type, as == PIXEL_U8 ? PIXEL_U8 : PIXEL_F32);
      for (size_t i = 0; i < out_count; i++) {
        double wanted = stored(&array, at + in_count + i), got = get(&out, i);
        if (!(fabs(wanted - got) <= tolerance))
          fail_msg("%s %dx%dx%d to %dx%d %s: element %zu is %.9g, not %.9g", type, w, h, channels, width, height,
                   filter, i, got, wanted);
      }
      image_free(&in);
      image_free(&out);
      tried++;
    }
    at += in_count + out_count;
  }
  assert_int_equal(at, npy_count(&array));
  assert_true(tried >= 20);
  json_decref(cases);
  npy_free(&array);
}

static void eight_bits_as_pillow(void **state)
{
  (void)state;
  compare("u8", "bytes.npy", PIXEL_U8, 0);
}

static void floats_as_pillow(void **state)
{
  (void)state;
  compare("f32", "floats.npy", PIXEL_F32, 0);
}

static void floats_as_the_formula(void **state)
{
  (void)state;
  compare("real", "floats.npy", PIXEL_F32, 1e-5 * 65535);
}

static void sixteen_bits_as_the_formula(void **state)
{
  (void)state;
  compare("real", "floats.npy", PIXEL_U16, 1e-5 * 65535);
}

static struct image noise(int width, int height, int channels, enum pixel_type type)
{
  struct image image = make(width, height, channels, type);
  for (size_t i = 0; i < count(&image); i++)
    set(&image, i, rng_bits(3, RNG_NOISE, 0, i) & (type == PIXEL_U8 ? 255 : 65535));
  return image;
}

static void same_bits_for_any_threads(void **state)
{
  (void)state;
  struct error err = {0};
  for (enum pixel_type type = PIXEL_U8; type <= PIXEL_F32; type++) {
    struct image in = noise(701, 503, 3, type), one, many;
    for (enum interpolation how = INTERPOLATION_NEAREST; how <= INTERPOLATION_LANCZOS; how++) {
      threads_use(1);
      assert_true(image_resize(&in, 224, 333, how, &one, &err));
      for (int n = 2; n <= 5; n++) {
        threads_use(n);
        assert_true(image_resize(&in, 224, 333, how, &many, &err));
        assert_memory_equal(one.data, many.data, count(&one) * (type == PIXEL_U8 ? 1 : sizeof(float)));
        image_free(&many);
      }
      image_free(&one);
    }
    image_free(&in);
  }
  threads_use(0);
}

/* Many columns at once is a vector's work, few are not: cut to any width, the rows' sums are the same. */
static void vector_equals_scalar(void **state)
{
  (void)state;
  struct error err = {0};
  for (int width = 1; width <= 40; width++) {
    struct image in = noise(width, 61, 1, PIXEL_U8), out;
    for (enum interpolation how = INTERPOLATION_BILINEAR; how <= INTERPOLATION_LANCZOS; how++) {
      assert_true(image_resize(&in, width, 17, how, &out, &err));
      for (int x = 0; x < width; x++) {
        struct image column = make(1, 61, 1, PIXEL_U8), alone;
        for (int y = 0; y < 61; y++)
          set(&column, (size_t)y, get(&in, (size_t)(y * width + x)));
        assert_true(image_resize(&column, 1, 17, how, &alone, &err));
        for (int y = 0; y < 17; y++)
          assert_int_equal((int)get(&alone, (size_t)y), (int)get(&out, (size_t)(y * width + x)));
        image_free(&column);
        image_free(&alone);
      }
      image_free(&out);
    }
    image_free(&in);
  }
}

/* Weights add up to one: a flat picture stays flat, at both ends of the range. */
static void flat_stays_flat(void **state)
{
  (void)state;
  struct error err = {0};
  static const int sizes[] = {1, 2, 7, 100, 333};
  for (int level = 0; level <= 255; level += 85) {
    for (size_t i = 0; i < 25; i++) {
      struct image in = make(97, 3, 3, PIXEL_U8), out;
      memset(in.data, level, count(&in));
      for (enum interpolation how = INTERPOLATION_NEAREST; how <= INTERPOLATION_LANCZOS; how++) {
        assert_true(image_resize(&in, sizes[i % 5], sizes[i / 5], how, &out, &err));
        for (size_t k = 0; k < count(&out); k++)
          assert_int_equal((int)get(&out, k), level);
        image_free(&out);
      }
      image_free(&in);
    }
  }
}

static void keeps_what_is_known(void **state)
{
  (void)state;
  struct error err = {0};
  struct image in = noise(40, 30, 2, PIXEL_F32), out;
  in.lo = -2;
  in.hi = 7;
  in.spacing_x = 0.5;
  in.spacing_y = 0.25;
  in.preprocessed = true;
  in.note = "something";
  assert_true(image_resize(&in, 20, 60, INTERPOLATION_BILINEAR, &out, &err));
  assert_true(out.lo == -2 && out.hi == 7 && out.preprocessed);
  assert_true(out.spacing_x == 1.0 && out.spacing_y == 0.125);
  assert_string_equal(out.note, "something");
  image_free(&out);
  image_free(&in);

  in = noise(5, 4, 1, PIXEL_U16); /* the same size: codes as they are, but wide enough for others */
  assert_true(image_resize(&in, 5, 4, INTERPOLATION_LANCZOS, &out, &err));
  assert_int_equal(out.type, PIXEL_F32);
  for (size_t i = 0; i < 20; i++)
    assert_true(get(&out, i) == get(&in, i));
  image_free(&out);
  image_free(&in);
}

static void refuses_impossible_sizes(void **state)
{
  (void)state;
  static const struct {
    int width, height;
    const char *message;
  } cases[] = {
      {0, 5, "width: 0 px is outside 1..32768"},
      {5, -1, "height: -1 px is outside 1..32768"},
      {32769, 1, "width: 32769 px is outside 1..32768"},
      {32768, 32768, "size: 32768x32768 is more than 67108864 pixels"},
  };
  struct image in = noise(4, 4, 1, PIXEL_U8), out;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct error err = {0};
    assert_false(image_resize(&in, cases[i].width, cases[i].height, INTERPOLATION_BILINEAR, &out, &err));
    assert_string_equal(err.message, cases[i].message);
    assert_null(out.data);
  }
  struct error err = {0};
  assert_true(image_resize(&in, IMAGE_MAX_SIDE, 1, INTERPOLATION_LANCZOS, &out, &err));
  image_free(&in);
  in = out;
  assert_true(image_resize(&in, 1, IMAGE_MAX_SIDE, INTERPOLATION_LANCZOS, &out, &err));
  image_free(&out);
  image_free(&in);
}

static void survives_lack_of_memory(void **state)
{
  (void)state;
  for (enum pixel_type type = PIXEL_U8; type <= PIXEL_F32; type++) {
    struct image in = noise(33, 21, 3, type), out;
    for (enum interpolation how = INTERPOLATION_NEAREST; how <= INTERPOLATION_LANCZOS; how++) {
      FAULT_LOOP(image_resize(&in, 10, 40, how, &out, &err), image_free(&out));
      FAULT_LOOP(image_resize(&in, 33, 40, how, &out, &err), image_free(&out));
      FAULT_LOOP(image_resize(&in, 33, 21, how, &out, &err), image_free(&out));
    }
    image_free(&in);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(eight_bits_as_pillow),      cmocka_unit_test(floats_as_pillow),
      cmocka_unit_test(floats_as_the_formula),     cmocka_unit_test(sixteen_bits_as_the_formula),
      cmocka_unit_test(same_bits_for_any_threads), cmocka_unit_test(vector_equals_scalar),
      cmocka_unit_test(flat_stays_flat),           cmocka_unit_test(keeps_what_is_known),
      cmocka_unit_test(refuses_impossible_sizes),  cmocka_unit_test(survives_lack_of_memory),
  };
  return cmocka_run_group_tests_name("resize", tests, NULL, NULL);
}
