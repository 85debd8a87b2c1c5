/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/rng.h"
#include "fault.h"
#include "pictures.h"
#include "scratch.h"

#include <zlib.h>

static void check(const json_t *c, const struct image *image)
{
  bool deep = json_is_true(json_object_get(c, "deep"));
  assert_int_equal(image->type, deep ? PIXEL_U16 : PIXEL_U8);
  assert_true(image->lo == 0 && image->hi == (deep ? 65535 : 255));
  assert_true(image->spacing_x == 0 && image->spacing_y == 0);
  if (json_is_true(json_object_get(c, "transparent")))
    assert_string_equal(image->note, "transparency ignored");
  else
    assert_null(image->note);
}

static void decodes_every_kind(void **state)
{
  (void)state;
  pictures_compare("png", check);
}

static void put_uint32(unsigned char *p, uint32_t v)
{
  for (int i = 0; i < 4; i++)
    p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* A PNG file of an 8-bit RGB header and one IDAT chunk, or with the chunk `extra` before that. */
static size_t build(unsigned char *out, uint32_t width, uint32_t height, const char *kind, const void *body,
                    size_t size)
{
  size_t n = 0;
  memcpy(out, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
  put_uint32(out + 16, width);
  put_uint32(out + 20, height);
  memcpy(out + 24, "\x08\x02\0\0\0", 5);
  put_uint32(out + 29, (uint32_t)crc32(0, out + 12, 17));
  n = 33;
  put_uint32(out + n, (uint32_t)size);
  memcpy(out + n + 4, kind, 4);
  memcpy(out + n + 8, body, size);
  put_uint32(out + n + 8 + size, (uint32_t)crc32(0, out + n + 4, (uInt)(4 + size)));
  return n + 12 + size;
}

static void checks_the_size_first(void **state)
{
  (void)state;
  unsigned char png[100];
  size_t n = build(png, 0, 5, "IDAT", "", 0);
  picture_refused(png, n, "x: PNG: width: 0 px is outside 1..32768");
  n = build(png, 40000, 5, "IDAT", "", 0);
  picture_refused(png, n, "x: PNG: width: 40000 px is outside 1..32768");
  n = build(png, 1, 0xffffffff, "IDAT", "", 0);
  picture_refused(png, n, "x: PNG: height: 4294967295 px is outside 1..32768");
  n = build(png, 30000, 30000, "IDAT", "", 0);
  picture_refused(png, n, "x: PNG: size: 30000x30000 is more than 67108864 pixels");
  n = build(png, 8192, 8192, "IDAT", "", 0); /* allowed, but 45 bytes cannot hold it */
  picture_refused(png, n, "x: PNG: 45 bytes are too few for 8192x8192 pixels: the file is cut short");
  memcpy(png + 12, "IDAT", 4);
  picture_refused(png, n, "x: PNG: the first chunk is not IHDR");
}

static void refuses_cut_files(void **state)
{
  (void)state;
  static const char *const files[] = {"rgb8.png", "gray16_interlaced.png", "palette4.png", "gray_alpha8.png"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    picture_refused_if_cut(golden_path("png", files[i]), 0);
}

static void refuses_changed_bytes(void **state)
{
  (void)state;
  size_t size;
  unsigned char *bytes = picture_bytes(golden_path("png", "rgb8.png"), &size);
  for (size_t i = 8; i < size; i++) { /* every chunk has a checksum */
    bytes[i] ^= 0x10;
    picture_refused(bytes, size, NULL);
    bytes[i] ^= 0x10;
  }
  free(bytes);
}

/* A text of 100 MB in 100 kB, a profile of the same kind and a chunk that nobody knows: skipped, not unpacked. */
static void skips_what_is_not_needed(void **state)
{
  (void)state;
  enum { PLAIN = 100 << 20, ROOM = 200 << 10 };
  size_t size;
  unsigned char *plain = calloc(1, PLAIN), *body = malloc(ROOM), *png = malloc(2 * ROOM);
  unsigned char *good = picture_bytes(golden_path("png", "rgb8.png"), &size);
  assert_true(plain && body && png);
  static const char *const kinds[] = {"zTXt", "iCCP", "qqQq"};
  for (size_t i = 0; i < 3; i++) {
    memcpy(body, "name\0\0", 6);
    uLongf packed = ROOM - 6;
    assert_int_equal(compress2(body + 6, &packed, plain, PLAIN, 9), Z_OK);
    size_t n = build(png, 13, 11, kinds[i], body, packed + 6);
    memcpy(png + n, good + 33, size - 33);
    struct error err = {0};
    struct image image;
    if (!image_decode(png, n + size - 33, "x", &image, &err))
      fail_msg("%s: %s", kinds[i], err.message);
    assert_int_equal(image.width, 13);
    image_free(&image);
  }
  free(good);
  free(png);
  free(body);
  free(plain);
}

static struct image noise(int width, int height, int channels, enum pixel_type type)
{
  struct error err = {0};
  struct image image;
  assert_true(image_new(&image, width, height, channels, type, &err));
  for (int i = 0; i < width * height * channels; i++) {
    uint32_t bits = rng_bits(9, RNG_NOISE, 0, (uint64_t)i);
    if (type == PIXEL_U8)
      ((uint8_t *)image.data)[i] = (uint8_t)bits;
    else if (type == PIXEL_U16)
      ((uint16_t *)image.data)[i] = (uint16_t)bits;
    else
      ((float *)image.data)[i] = (float)bits;
  }
  return image;
}

static void writes_what_it_reads(void **state)
{
  (void)state;
  static const int widths[] = {1, 2, 17, 300};
  for (int i = 0; i < 16; i++) {
    struct error err = {0};
    struct image image = noise(widths[i / 4], 1 + 20 * (i / 4), i & 1 ? 3 : 1, i & 2 ? PIXEL_U16 : PIXEL_U8), back;
    size_t bytes = (size_t)(image.width * image.height * image.channels) * (i & 2 ? 2 : 1);
    void *png;
    size_t size;
    assert_true(image_encode_png(&image, &png, &size, &err));
    assert_true(image_decode(png, size, "x", &back, &err));
    assert_int_equal(back.type, image.type);
    assert_int_equal(back.channels, image.channels);
    assert_memory_equal(back.data, image.data, bytes);
    image_free(&back);

    assert_true(image_write_png(&image, scratch_path("a.png"), &err));
    assert_true(image_read(scratch_path("a.png"), &back, &err));
    assert_memory_equal(back.data, image.data, bytes);
    image_free(&back);
    mem_free(png);
    image_free(&image);
  }
}

static void says_what_it_cannot_write(void **state)
{
  (void)state;
  struct error err = {0};
  struct image image = noise(3, 3, 1, PIXEL_F32);
  void *png;
  size_t size;
  assert_false(image_write_png(&image, scratch_path("b.png"), &err));
  assert_non_null(strstr(err.message, "b.png: PNG: floating-point pixels cannot be written"));
  image_free(&image);
  image = noise(3, 3, 4, PIXEL_U8);
  err = (struct error){0};
  assert_false(image_encode_png(&image, &png, &size, &err));
  assert_string_equal(err.message, "PNG: channels: 4 is neither 1 nor 3");
  assert_null(png);
  image.channels = 1;
  err = (struct error){0};
  assert_false(image_write_png(&image, scratch_path("no/such/folder.png"), &err));
  assert_non_null(strstr(err.message, "no/such/folder.png"));
  image_free(&image);
}

static void survives_lack_of_memory(void **state)
{
  (void)state;
  static const char *const files[] = {"rgb8.png", "gray16_interlaced.png", "palette8_trns.png"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    struct image image;
    FAULT_LOOP(image_read(golden_path("png", files[i]), &image, &err), image_free(&image));
  }
  struct image image = noise(200, 100, 3, PIXEL_U8);
  void *png;
  size_t size;
  FAULT_LOOP(image_encode_png(&image, &png, &size, &err), mem_free(png));
  FAULT_LOOP(image_write_png(&image, scratch_path("c.png"), &err), );
  image_free(&image);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(decodes_every_kind),
      cmocka_unit_test(checks_the_size_first),
      cmocka_unit_test(refuses_cut_files),
      cmocka_unit_test(refuses_changed_bytes),
      cmocka_unit_test(skips_what_is_not_needed),
      cmocka_unit_test_setup_teardown(writes_what_it_reads, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(says_what_it_cannot_write, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(survives_lack_of_memory, scratch_setup, scratch_teardown),
  };
  return cmocka_run_group_tests_name("png", tests, NULL, NULL);
}
