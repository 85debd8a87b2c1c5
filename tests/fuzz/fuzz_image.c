/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a picture: decoded and, where that works and it is not large, turned to grey and resized. */
#include "base/mem.h"
#include "image/image.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));

enum { SMALL = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct error err = {0};
  struct image image, other;
  if (!image_decode(data, size, "input", &image, &err)) {
    if (image.data || err.code == ERROR_NONE || strncmp(err.message, "input: ", 7) != 0)
      abort();
    return 0;
  }
  if (err.code != ERROR_NONE || image.width < 1 || image.height < 1)
    abort();
  if ((int64_t)image.width * image.height <= SMALL) {
    if (image_resize(&image, 1 + image.height % 40, 1 + image.width % 40, (enum interpolation)(size % 4), &other, &err))
      image_free(&other);
    if (image_to_gray(&image, &other, &err))
      image_free(&other);
    if (image_to_rgb(&image, &other, &err))
      image_free(&other);
    void *png;
    size_t bytes;
    if (image_encode_png(&image, &png, &bytes, &err))
      mem_free(png);
  }
  image_free(&image);
  return 0;
}

static uint32_t get32(const uint8_t *p)
{
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* A changed PNG gets true checksums again, else libpng would look no further than the first chunk. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
  size = LLVMFuzzerMutate(data, size, max_size);
  if (size < 8 || memcmp(data, "\x89PNG\r\n\x1a\n", 8) != 0 || seed % 16 == 0)
    return size;
  for (size_t at = 8; size - at >= 12;) {
    uint32_t length = get32(data + at);
    if (length > size - at - 12)
      break;
    uint32_t sum = (uint32_t)crc32(0, data + at + 4, (uInt)(4 + length));
    for (size_t i = 0; i < 4; i++)
      data[at + 8 + length + i] = (uint8_t)(sum >> (24 - 8 * i));
    at += 12 + length;
  }
  return size;
}
