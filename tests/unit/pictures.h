/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the tests of the picture codecs: read a golden file, compare its pixels. */
#ifndef PENUMBRA_TESTS_PICTURES_H
#define PENUMBRA_TESTS_PICTURES_H

#include "base/files.h"
#include "base/npy.h"
#include "golden.h"
#include "image/image.h"

#include <stdlib.h>
#include <string.h>

/* A file's bytes in memory of exactly their size, so that a sanitizer sees every step too far; free(). */
static inline unsigned char *picture_bytes(const char *path, size_t *size)
{
  struct error err = {0};
  struct file_map map;
  if (!file_map(path, 0, &map, &err))
    fail_msg("%s", err.message);
  unsigned char *bytes = malloc(map.size ? map.size : 1);
  assert_non_null(bytes);
  if (map.size)
    memcpy(bytes, map.data, map.size);
  *size = map.size;
  file_unmap(&map);
  return bytes;
}

static inline int picture_value(const struct image *image, size_t i)
{
  return image->type == PIXEL_U8 ? ((const uint8_t *)image->data)[i] : ((const uint16_t *)image->data)[i];
}

/* Decode every case of tests/golden/FOLDER and compare with its pixels.npy; `check` looks at the rest. */
static inline void pictures_compare(const char *folder, void (*check)(const json_t *c, const struct image *image))
{
  struct error err = {0};
  struct npy pixels;
  assert_true(npy_read(golden_path(folder, "pixels.npy"), 0, &pixels, &err));
  json_t *cases = golden_json(folder, "cases.json"), *c;
  size_t index, at = 0;
  json_array_foreach(cases, index, c)
  {
    const char *file = json_string_value(json_object_get(c, "file"));
    int height, width, channels;
    assert_int_equal(json_unpack(c, "{s:[iii]}", "shape", &height, &width, &channels), 0);
    struct image image;
    if (!image_read(golden_path(folder, file), &image, &err))
      fail_msg("%s", err.message);
    assert_int_equal(image.width, width);
    assert_int_equal(image.height, height);
    assert_int_equal(image.channels, channels);
    for (int i = 0; i < width * height * channels; i++) {
      int wanted = ((const int32_t *)pixels.data)[at++], got = picture_value(&image, (size_t)i);
      if (wanted != got)
        fail_msg("%s: element %d is %d, not %d", file, i, got, wanted);
    }
    assert_false(image.preprocessed);
    check(c, &image);
    image_free(&image);
  }
  assert_true(index >= 20);
  assert_int_equal(at, npy_count(&pixels));
  json_decref(cases);
  npy_free(&pixels);
}

/* Decode bytes that must be refused with exactly this message (NULL: any). */
static inline void picture_refused(const void *bytes, size_t size, const char *message)
{
  struct error err = {0};
  struct image image;
  if (image_decode(bytes, size, "x", &image, &err))
    fail_msg("decoded, where this was expected: %s", message ? message : "an error");
  assert_null(image.data);
  assert_int_equal(strncmp(err.message, "x: ", 3), 0);
  if (message)
    assert_string_equal(err.message, message);
}

/* Every beginning of a file is an error, whatever is cut off, down to `harmless` bytes at its end. */
static inline void picture_refused_if_cut(const char *path, size_t harmless)
{
  size_t size;
  unsigned char *bytes = picture_bytes(path, &size);
  for (size_t n = 0; n + harmless < size; n++) {
    unsigned char *cut = malloc(n ? n : 1);
    assert_non_null(cut);
    memcpy(cut, bytes, n);
    picture_refused(cut, n, NULL);
    free(cut);
  }
  free(bytes);
}

#endif
