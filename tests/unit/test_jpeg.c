/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "fault.h"
#include "pictures.h"

#include <time.h>

static void check(const json_t *c, const struct image *image)
{
  assert_int_equal(image->type, PIXEL_U8);
  assert_true(image->lo == 0 && image->hi == 255);
  if (json_is_true(json_object_get(c, "irregular")))
    assert_string_equal(image->note, "the JPEG data are irregular");
  else
    assert_null(image->note);
}

static void decodes_every_kind(void **state)
{
  (void)state;
  pictures_compare("jpeg", check);
}

static void refuses_cut_files(void **state)
{
  (void)state;
  static const char *const files[] = {"rgb420.jpg", "gray_progressive.jpg", "cmyk.jpg", "orientation6.jpg",
                                      "stray_bytes.jpg"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    picture_refused_if_cut(golden_path("jpeg", files[i]), 0);
}

/* Offset of the first segment with this marker. */
static size_t segment(const unsigned char *bytes, size_t size, int marker)
{
  for (size_t at = 2; at + 4 <= size; at += 2 + (size_t)(bytes[at + 2] << 8 | bytes[at + 3])) {
    assert_int_equal(bytes[at], 0xFF);
    if (bytes[at + 1] == marker)
      return at;
  }
  fail_msg("no segment %02x", marker);
  return 0;
}

static void checks_the_size_first(void **state)
{
  (void)state;
  size_t size;
  unsigned char *bytes = picture_bytes(golden_path("jpeg", "rgb444.jpg"), &size);
  unsigned char *frame = bytes + segment(bytes, size, 0xC0);
  memcpy(frame + 5, "\xff\xff\0\x10", 4);
  picture_refused(bytes, size, "x: JPEG: height: 65535 px is outside 1..32768");
  memcpy(frame + 5, "\0\x10\0\0", 4);
  picture_refused(bytes, size, "x: JPEG: width: 0 px is outside 1..32768");
  memcpy(frame + 5, "\x70\0\x70\0", 4);
  picture_refused(bytes, size, "x: JPEG: size: 28672x28672 is more than 67108864 pixels");
  memcpy(frame + 5, "\0\x10\0\x10", 4);
  frame[9] = 2;
  picture_refused(bytes, size, "x: JPEG: 2 colour components are not supported (1, 3 and 4 are)");
  frame[9] = 3;
  frame[1] = 0xC3; /* lossless */
  picture_refused(bytes, size, "x: JPEG: Unsupported JPEG process: SOF type 0xc3");
  free(bytes);
}

/* The last scan of a progressive picture again and again, each time over the whole picture. */
static void bounds_the_scans(void **state)
{
  (void)state;
  size_t size, last = 0;
  unsigned char *bytes = picture_bytes(golden_path("jpeg", "gray_progressive.jpg"), &size);
  for (size_t i = 0; i + 2 < size; i++)
    last = bytes[i] == 0xFF && bytes[i + 1] == 0xDA ? i : last;
  size_t scan = size - 2 - last;
  assert_memory_equal(bytes + size - 2, "\xff\xd9", 2);
  enum { REPEATS = 600 };
  unsigned char *bomb = malloc(size + REPEATS * scan);
  assert_non_null(bomb);
  memcpy(bomb, bytes, size - 2);
  for (size_t i = 0; i < REPEATS; i++)
    memcpy(bomb + size - 2 + i * scan, bytes + last, scan);
  memcpy(bomb + size - 2 + REPEATS * scan, "\xff\xd9", 2);
  picture_refused(bomb, size + REPEATS * scan, NULL); /* too many by any measure */

  unsigned char *frame = bomb + segment(bomb, size, 0xC2);
  memcpy(frame + 5, "\x20\0\x20\0", 4); /* 8192x8192 */
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  picture_refused(bomb, size + REPEATS * scan, "x: JPEG: 606 scans of 8192x8192 pixels are more than 32");
  clock_gettime(CLOCK_MONOTONIC, &to);
  assert_true(to.tv_sec - from.tv_sec <= 1);
  free(bomb);
  free(bytes);
}

/* Exif that lies about its own layout is no orientation, and is not followed out of its segment. */
static void distrusts_exif(void **state)
{
  (void)state;
  static const struct {
    size_t at; /* from the start of the TIFF structure */
    const char *bytes;
    size_t size;
  } lies[] = {
      {0, "XX", 2},                                                                /* byte order */
      {2, "\0\x2b", 2},                                                            /* BigTIFF */
      {4, "\xff\xff\xff\xff", 4},                                                  /* directory far outside */
      {4, "\0\0\0\x2d", 4},                                                        /* directory over the end */
      {8, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16}, /* 65535 entries of other tags */
      {22, "\x01\x13", 2},                                                         /* another tag */
      {24, "\0\x02", 2},                                                           /* text */
      {26, "\0\0\0\x02", 4},                                                       /* two values */
      {30, "\0\x63", 2},                                                           /* 99 */
      {30, "\0\0", 2},
  };
  for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
    size_t size;
    unsigned char *bytes = picture_bytes(golden_path("jpeg", "orientation6.jpg"), &size);
    unsigned char *tiff = bytes + segment(bytes, size, 0xE1) + 10;
    assert_memory_equal(tiff, "MM\0\x2a\0\0\0\x08", 8);
    memcpy(tiff + lies[i].at, lies[i].bytes, lies[i].size);
    struct error err = {0};
    struct image image;
    if (!image_decode(bytes, size, "x", &image, &err))
      fail_msg("%zu: %s", i, err.message);
    assert_int_equal(image.width, 45); /* upright as stored */
    assert_int_equal(image.height, 34);
    image_free(&image);
    free(bytes);
  }
}

static void refuses_what_is_no_picture(void **state)
{
  (void)state;
  picture_refused("\xff\xd8\xff", 3, "x: JPEG: the file ends before the picture begins");
  picture_refused("\xff\xd8\xff\xd9", 4, "x: JPEG: the file holds no picture");
  picture_refused("\xff\xd8\xff\xda\0\x08", 6, "x: JPEG: a scan without a frame header");
  picture_refused("\xff\xd8\xff\xe0\xff\xff", 6, "x: JPEG: the file ends within its headers");
  picture_refused("\xff\xd8\xff\xc0\0\x07\x08\0\x10\0\x10", 11, "x: JPEG: a broken frame header");
}

static void survives_lack_of_memory(void **state)
{
  (void)state;
  static const char *const files[] = {"rgb420.jpg", "orientation6.jpg", "cmyk.jpg"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    struct image image;
    FAULT_LOOP(image_read(golden_path("jpeg", files[i]), &image, &err), image_free(&image));
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(decodes_every_kind),      cmocka_unit_test(refuses_cut_files),
      cmocka_unit_test(checks_the_size_first),   cmocka_unit_test(bounds_the_scans),
      cmocka_unit_test(distrusts_exif),          cmocka_unit_test(refuses_what_is_no_picture),
      cmocka_unit_test(survives_lack_of_memory),
  };
  return cmocka_run_group_tests_name("jpeg", tests, NULL, NULL);
}
