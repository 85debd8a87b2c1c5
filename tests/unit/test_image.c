/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/npy.h"
#include "fault.h"
#include "pictures.h"
#include "scratch.h"

#include <math.h>
#include <sys/resource.h>
#include <time.h>

static double luma(const struct image *image, size_t i)
{
  return 0.299 * picture_value(image, 3 * i) + 0.587 * picture_value(image, 3 * i + 1) +
         0.114 * picture_value(image, 3 * i + 2);
}

static void gray_from_rgb(void **state)
{
  (void)state;
  struct error err = {0};
  struct image rgb, gray;
  assert_true(image_new(&rgb, 64, 64 * 64, 3, PIXEL_U8, &err));
  uint8_t *p = rgb.data;
  for (int i = 0; i < 64 * 64 * 64; i++) {
    *p++ = (uint8_t)((i & 63) * 255 / 63);
    *p++ = (uint8_t)((i >> 6 & 63) * 255 / 63);
    *p++ = (uint8_t)((i >> 12) * 255 / 63);
  }
  rgb.spacing_x = 2;
  rgb.note = "something";
  assert_true(image_to_gray(&rgb, &gray, &err));
  assert_int_equal(gray.channels, 1);
  assert_true(gray.hi == 255 && gray.spacing_x == 2);
  assert_string_equal(gray.note, "something");
  for (size_t i = 0; i < 64 * 64 * 64; i++)
    assert_true(fabs(luma(&rgb, i) - picture_value(&gray, i)) < 0.506); /* weights rounded to 2^-16, then a half */
  image_free(&rgb);
  image_free(&gray);

  /* Pillow 9.4.0's convert("L") of these, where other ways of rounding differ */
  static const uint8_t colours[][4] = {{255, 255, 255, 255}, {0, 0, 0, 0}, {255, 0, 0, 76},     {0, 255, 0, 150},
                                       {0, 0, 255, 29},      {1, 2, 3, 2}, {200, 100, 50, 124}, {5, 250, 128, 163}};
  assert_true(image_new(&rgb, 8, 1, 3, PIXEL_U8, &err));
  for (int i = 0; i < 8; i++)
    memcpy((uint8_t *)rgb.data + 3 * i, colours[i], 3);
  assert_true(image_to_gray(&rgb, &gray, &err));
  for (size_t i = 0; i < 8; i++)
    assert_int_equal(picture_value(&gray, i), colours[i][3]);
  image_free(&rgb);
  image_free(&gray);

  assert_true(image_new(&rgb, 2, 1, 3, PIXEL_U16, &err));
  memcpy(rgb.data, (uint16_t[]){65535, 65535, 65535, 1000, 20000, 60000}, 12);
  assert_true(image_to_gray(&rgb, &gray, &err));
  assert_int_equal(gray.type, PIXEL_U16);
  assert_int_equal(picture_value(&gray, 0), 65535);
  assert_int_equal(picture_value(&gray, 1), 18879);
  image_free(&rgb);
  image_free(&gray);

  assert_true(image_new(&rgb, 1, 1, 3, PIXEL_F32, &err));
  memcpy(rgb.data, (float[]){-1.5f, 0.25f, 4.0f}, 12);
  assert_true(image_to_gray(&rgb, &gray, &err));
  assert_true(fabs(((float *)gray.data)[0] - (-1.5 * 0.299 + 0.25 * 0.587 + 4 * 0.114)) < 1e-7);
  image_free(&rgb);
  image_free(&gray);
}

static void rgb_from_gray_and_back(void **state)
{
  (void)state;
  for (enum pixel_type type = PIXEL_U8; type <= PIXEL_F32; type++) {
    struct error err = {0};
    struct image gray, rgb, copy, back;
    assert_true(image_new(&gray, 16, 16, 1, type, &err));
    for (int i = 0; i < 256; i++) {
      if (type == PIXEL_U8)
        ((uint8_t *)gray.data)[i] = (uint8_t)i;
      else if (type == PIXEL_U16)
        ((uint16_t *)gray.data)[i] = (uint16_t)(i * 257);
      else
        ((float *)gray.data)[i] = (float)(i - 100) / 3;
    }
    size_t bytes = type == PIXEL_U8 ? 256 : type == PIXEL_U16 ? 512 : 1024;
    assert_true(image_to_rgb(&gray, &rgb, &err));
    assert_true(image_to_rgb(&rgb, &copy, &err));
    assert_memory_equal(copy.data, rgb.data, 3 * bytes);
    assert_true(image_to_gray(&rgb, &back, &err));
    if (type == PIXEL_F32) {
      for (int i = 0; i < 256; i++)
        assert_true(fabsf(((float *)back.data)[i] - ((float *)gray.data)[i]) < 1e-5f);
    } else {
      assert_memory_equal(back.data, gray.data, bytes);
    }
    image_free(&back);
    assert_true(image_to_gray(&gray, &back, &err));
    assert_memory_equal(back.data, gray.data, bytes);
    image_free(&back);
    image_free(&copy);
    image_free(&rgb);
    image_free(&gray);
  }
  struct error err = {0};
  struct image two, out;
  assert_true(image_new(&two, 2, 2, 2, PIXEL_F32, &err));
  assert_false(image_to_gray(&two, &out, &err));
  assert_string_equal(err.message, "channels: a picture of 2 is neither grey (1) nor RGB (3)");
  assert_null(out.data);
  image_free(&two);
}

static const char *write_npy(const char *name, int rank, const int64_t *dim, enum npy_type type, void *data)
{
  struct error err = {0};
  struct npy array = {.type = type, .rank = rank, .data = data};
  memcpy(array.dim, dim, (size_t)rank * sizeof *dim);
  const char *path = scratch_path(name);
  assert_true(npy_write(path, &array, &err));
  return path;
}

static void tensor_as_picture(void **state)
{
  (void)state;
  float data[4 * 2 * 3];
  for (int i = 0; i < 24; i++)
    data[i] = (float)i - 7.5f;
  for (int rank = 3; rank <= 4; rank++) {
    for (int channels = 1; channels <= 4; channels++) {
      struct error err = {0};
      struct image image;
      const int64_t dim[] = {1, channels, 2, 3};
      const char *path = write_npy("t.npy", rank, dim + 4 - rank, NPY_F32, data);
      if (!image_read(path, &image, &err))
        fail_msg("%s", err.message);
      assert_true(image.preprocessed && image.type == PIXEL_F32 && image.channels == channels);
      assert_true(image.width == 3 && image.height == 2);
      assert_true(image.lo == -7.5 && image.hi == channels * 6 - 1 - 7.5);
      for (int i = 0; i < 6; i++) {
        for (int c = 0; c < channels; c++)
          assert_true(((float *)image.data)[i * channels + c] == data[c * 6 + i]);
      }
      image_free(&image);
    }
  }
}

static void refused_npy(const char *path, const char *message)
{
  struct error err = {0};
  struct image image;
  assert_false(image_read(path, &image, &err));
  assert_non_null(strstr(err.message, message));
  assert_int_equal(strncmp(err.message, path, strlen(path)), 0);
  assert_null(image.data);
}

static void tensors_that_are_none(void **state)
{
  (void)state;
  float data[25] = {0};
  refused_npy(write_npy("a.npy", 2, (int64_t[]){5, 5}, NPY_F32, data), ".npy: the shape is neither [C,H,W] nor");
  refused_npy(write_npy("b.npy", 4, (int64_t[]){2, 1, 3, 4}, NPY_F32, data), ".npy: the shape is neither");
  refused_npy(write_npy("c.npy", 3, (int64_t[]){5, 5, 1}, NPY_F32, data), ".npy: channels: 5 is outside 1..4");
  refused_npy(write_npy("d.npy", 3, (int64_t[]){1, 5, 0}, NPY_F32, data), ".npy: width: 0 px is outside 1..32768");
  refused_npy(write_npy("e.npy", 3, (int64_t[]){1, 5, 5}, NPY_I32, data), ".npy: the elements are whole numbers");
  data[13] = NAN;
  refused_npy(write_npy("f.npy", 3, (int64_t[]){1, 5, 5}, NPY_F32, data), ".npy: the value at [0,2,3] is not finite");
  picture_refused("\x93NUMPY", 6, NULL);
}

static void names_what_it_does_not_read(void **state)
{
  (void)state;
  char dicom[200] = {0};
  memcpy(dicom + 128, "DICM", 4);
  picture_refused(dicom, sizeof dicom, "x: a DICOM file, which this build does not read; convert it to PNG");
  picture_refused(dicom, 131, "x: not a picture in a known format (PNG, JPEG, DICOM or .npy)");
  picture_refused("", 0, "x: the file is empty");
  picture_refused("hello", 5, "x: not a picture in a known format (PNG, JPEG, DICOM or .npy)");
  picture_refused("\x89PNG\r\n\x1a\n", 8, "x: PNG: the file ends too early");
  struct error err = {0};
  struct image image;
  assert_false(image_read(scratch_path("absent.png"), &image, &err));
  assert_non_null(strstr(err.message, "absent.png"));
}

/* Bytes of a picture replaced at random: right or refused, never a crash. */
static void damaged_files(void **state)
{
  (void)state;
  static const char *const files[][2] = {{"png", "rgba16_interlaced.png"},
                                         {"png", "palette8_trns.png"},
                                         {"jpeg", "rgb420_progressive.jpg"},
                                         {"jpeg", "cmyk.jpg"},
                                         {"jpeg", "orientation5.jpg"}};
  for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
    size_t size;
    unsigned char *bytes = picture_bytes(golden_path(files[f][0], files[f][1]), &size);
    unsigned char *copy = malloc(size);
    assert_non_null(copy);
    uint32_t bits = 12345;
    for (int round = 0; round < 400; round++) {
      memcpy(copy, bytes, size);
      for (int k = 0; k < 1 + round % 4; k++) {
        bits = bits * 1664525u + 1013904223u;
        size_t at = (bits >> 8) % size;
        copy[at] = (unsigned char)(bits >> 3);
      }
      struct error err = {0};
      struct image image;
      if (image_decode(copy, size, "x", &image, &err)) {
        assert_true(image.width >= 1 && image.height >= 1 && image.data);
        image_free(&image);
      } else {
        assert_int_equal(strncmp(err.message, "x: ", 3), 0);
        assert_null(image.data);
      }
    }
    free(copy);
    free(bytes);
  }
}

static void shared_pictures_as_pillow(void **state)
{
  (void)state;
  shared_path("images"); /* or skip */
  json_t *cases = golden_json("images", "images.json"), *c;
  size_t index;
  json_array_foreach(cases, index, c)
  {
    struct error err = {0};
    struct image image;
    const char *file = json_string_value(json_object_get(c, "file"));
    int height, width, channels;
    assert_int_equal(json_unpack(c, "{s:[iii]}", "shape", &height, &width, &channels), 0);
    if (!image_read(shared_path(file), &image, &err))
      fail_msg("%s", err.message);
    assert_true(image.height == height && image.width == width && image.channels == channels);
    char hex[65];
    assert_true(file_sha256(image.data, (size_t)width * (size_t)height * (size_t)channels, hex));
    if (strcmp(hex, json_string_value(json_object_get(c, "sha256"))) != 0) {
      assert_null(strstr(file, ".png")); /* lossless: no excuse */
      json_t *means = json_object_get(c, "means");
      for (int cell = 0; cell < 16; cell++) {
        int64_t sum = 0, n = 0;
        for (int y = cell / 4 * height / 4; y < (cell / 4 + 1) * height / 4; y++) {
          for (int x = cell % 4 * width / 4; x < (cell % 4 + 1) * width / 4; x++, n++)
            sum += picture_value(&image, (size_t)((y * width + x) * channels));
        }
        double wanted = json_number_value(json_array_get(means, (size_t)cell));
        if (fabs((double)sum / (double)n - wanted) > 1)
          fail_msg("%s: cell %d has mean %.2f, not %.2f", file, cell, (double)sum / (double)n, wanted);
      }
      print_message("# %s: not the same bits: another JPEG library\n", file);
    }
    image_free(&image);
  }
  assert_true(index > 10);
  json_decref(cases);
}

static void shared_hostile_files(void **state)
{
  (void)state;
  static const char *const cases[][2] = {
      {"bad/truncated.png", "the file ends too early"},
      {"bad/truncated.jpg", "Premature end"},
      {"bad/truncated.dcm", "DICOM"},
      {"bad/empty.png", "empty"},
      {"bad/empty.jpg", "empty"},
      {"bad/empty.dcm", "empty"},
      {"bad/huge_60000x60000.png", "width: 60000 px is outside 1..32768"},
      {"bad/huge_65500x65500.jpg", "width: 65500 px is outside 1..32768"},
      {"bad/bad_crc.png", "CRC"},
      {"bad/zero_width.png", "width: 0 px is outside 1..32768"},
      {"bad/text.jpg", "not a picture in a known format"},
      {"bad/huge_rows.dcm", "DICOM"},
      {"bad/pixel_length_4g.dcm", "DICOM"},
      {"bad/nested_sequences.dcm", "DICOM"},
  };
  shared_path("bad/MANIFEST.tsv"); /* or skip */
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct error err = {0};
    struct image image;
    const char *path = shared_path(cases[i][0]);
    assert_false(image_read(path, &image, &err));
    assert_null(image.data);
    assert_int_equal(strncmp(err.message, path, strlen(path)), 0);
    if (!strstr(err.message, cases[i][1]))
      fail_msg("%s: expected %s", err.message, cases[i][1]);
  }
  clock_gettime(CLOCK_MONOTONIC, &to);
  assert_true(to.tv_sec - from.tv_sec <= 1);
  struct rusage usage;
  assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
  assert_true(usage.ru_maxrss < 300 << 10); /* in units of 1024 bytes */
}

static void survives_lack_of_memory(void **state)
{
  (void)state;
  float data[6] = {1, 2, 3, 4, 5, 6};
  struct image image = {.width = 3, .height = 2, .channels = 1, .type = PIXEL_F32, .data = data}, other;
  FAULT_LOOP(image_to_rgb(&image, &other, &err), image_free(&other));
  FAULT_LOOP(image_to_gray(&image, &other, &err), image_free(&other));
  const char *path = write_npy("g.npy", 3, (int64_t[]){1, 2, 3}, NPY_F32, data);
  FAULT_LOOP(image_read(path, &other, &err), image_free(&other));
  struct error err = {0};
  mem_fail_after(1);
  assert_false(image_decode("hello", 5, "x", &other, &err));
  mem_fail_after(0);
  assert_int_equal(err.code, ERROR_MEMORY);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gray_from_rgb),
      cmocka_unit_test(rgb_from_gray_and_back),
      cmocka_unit_test_setup_teardown(tensor_as_picture, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(tensors_that_are_none, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(names_what_it_does_not_read, scratch_setup, scratch_teardown),
      cmocka_unit_test(damaged_files),
      cmocka_unit_test(shared_pictures_as_pillow),
      cmocka_unit_test(shared_hostile_files),
      cmocka_unit_test_setup_teardown(survives_lack_of_memory, scratch_setup, scratch_teardown),
  };
  return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
