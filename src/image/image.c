/* SPDX-License-Identifier: Apache-2.0 */
#include "image/image.h"

#include "base/files.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <string.h>

#define CODEC(name) extern const struct codec codec_##name;
#include "image/codecs.def"
#undef CODEC

static const struct codec *const codecs[] = {
#define CODEC(name) &codec_##name,
#include "image/codecs.def"
#undef CODEC
};

enum { CODECS = sizeof codecs / sizeof *codecs };

/* Largest file that is looked at: the largest picture, 16 bit and uncompressed, and as much again of other data. */
static const size_t max_file = (size_t)IMAGE_MAX_PIXELS * 3 * sizeof(uint16_t) * 2;

bool image_check_size(int64_t width, int64_t height, struct error *err)
{
  if (width < 1 || width > IMAGE_MAX_SIDE)
    return error_set(err, ERROR_FAILED, "width: %lld px is outside 1..%d", (long long)width, IMAGE_MAX_SIDE);
  if (height < 1 || height > IMAGE_MAX_SIDE)
    return error_set(err, ERROR_FAILED, "height: %lld px is outside 1..%d", (long long)height, IMAGE_MAX_SIDE);
  if (width * height > IMAGE_MAX_PIXELS)
    return error_set(err, ERROR_FAILED, "size: %lldx%lld is more than %d pixels", (long long)width, (long long)height,
                     IMAGE_MAX_PIXELS);
  return true;
}

static size_t pixel_bytes(enum pixel_type type)
{
  return type == PIXEL_U8 ? sizeof(uint8_t) : type == PIXEL_U16 ? sizeof(uint16_t) : sizeof(float);
}

bool image_new(struct image *image, int width, int height, int channels, enum pixel_type type, struct error *err)
{
  *image = (struct image){0};
  if (!image_check_size(width, height, err))
    return false;
  size_t bytes;
  if (!size_mul((size_t)width * (size_t)height, (size_t)channels * pixel_bytes(type), &bytes))
    return error_memory(err, "a picture");
  void *data = mem_alloc(bytes);
  if (!data)
    return error_set(err, ERROR_MEMORY, "out of memory for a picture of %dx%d", width, height);
  *image = (struct image){.width = width,
                          .height = height,
                          .channels = channels,
                          .type = type,
                          .data = data,
                          .hi = type == PIXEL_U8    ? UINT8_MAX
                                : type == PIXEL_U16 ? UINT16_MAX
                                                    : 1.0};
  return true;
}

void image_free(struct image *image)
{
  mem_free(image->data);
  *image = (struct image){0};
}

static bool unknown_format(struct error *err)
{
  struct str names;
  str_init(&names, sizeof err->message);
  for (int i = 0; i < CODECS; i++)
    str_printf(&names, "%s%s", i == 0 ? "" : i == CODECS - 1 ? " or " : ", ", codecs[i]->name);
  if (names.failed)
    error_memory(err, "the names of picture formats");
  else
    error_set(err, ERROR_FAILED, "not a picture in a known format (%s)", names.text);
  str_free(&names);
  return false;
}

static bool decode(const unsigned char *bytes, size_t size, struct image *image, struct error *err)
{
  if (size == 0)
    return error_set(err, ERROR_FAILED, "the file is empty");
  for (int i = 0; i < CODECS; i++) {
    if (codecs[i]->detect(bytes, size))
      return codecs[i]->decode(bytes, size, image, err);
  }
  return unknown_format(err);
}

bool image_decode(const void *bytes, size_t size, const char *name, struct image *image, struct error *err)
{
  *image = (struct image){0};
  if (decode(bytes, size, image, err))
    return true;
  image_free(image);
  return error_prefix(err, "%s", name);
}

bool image_read(const char *path, struct image *image, struct error *err)
{
  struct file_map map;
  *image = (struct image){0};
  if (!file_map(path, max_file, &map, err))
    return false;
  bool done = image_decode(map.data, map.size, path, image, err);
  file_unmap(&map);
  return done;
}

/* A picture like `image` in all but its channels. */
static bool new_like(const struct image *image, int channels, struct image *out, struct error *err)
{
  *out = (struct image){0};
  if (image->channels != 1 && image->channels != 3)
    return error_set(err, ERROR_FAILED, "channels: a picture of %d is neither grey (1) nor RGB (3)", image->channels);
  if (!image_new(out, image->width, image->height, channels, image->type, err))
    return false;
  out->lo = image->lo;
  out->hi = image->hi;
  out->spacing_y = image->spacing_y;
  out->spacing_x = image->spacing_x;
  out->preprocessed = image->preprocessed;
  out->note = image->note;
  return true;
}

static void copy_pixels(const struct image *image, struct image *out)
{
  size_t count = (size_t)image->width * (size_t)image->height * (size_t)image->channels;
  memcpy(out->data, image->data, count * pixel_bytes(image->type));
}

static double luma(double r, double g, double b)
{
  return (299 * r + 587 * g + 114 * b) / 1000;
}

bool image_to_gray(const struct image *image, struct image *gray, struct error *err)
{
  if (!new_like(image, 1, gray, err))
    return false;
  size_t count = (size_t)image->width * (size_t)image->height;
  if (image->channels == 1) {
    copy_pixels(image, gray);
  } else if (image->type == PIXEL_U8) {
    const uint8_t *p = image->data;
    uint8_t *out = gray->data;
    for (size_t i = 0; i < count; i++, p += 3) /* the three weights in units of 2^-16, which add up to one */
      out[i] = (uint8_t)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16);
  } else if (image->type == PIXEL_U16) {
    const uint16_t *p = image->data;
    uint16_t *out = gray->data;
    for (size_t i = 0; i < count; i++, p += 3)
      out[i] = (uint16_t)floor(luma(p[0], p[1], p[2]) + 0.5);
  } else {
    const float *p = image->data;
    float *out = gray->data;
    for (size_t i = 0; i < count; i++, p += 3)
      out[i] = (float)luma(p[0], p[1], p[2]);
  }
  return true;
}

bool image_to_rgb(const struct image *image, struct image *rgb, struct error *err)
{
  if (!new_like(image, 3, rgb, err))
    return false;
  size_t count = (size_t)image->width * (size_t)image->height;
  if (image->channels == 3) {
    copy_pixels(image, rgb);
  } else if (image->type == PIXEL_U8) {
    const uint8_t *p = image->data;
    uint8_t *out = rgb->data;
    for (size_t i = 0; i < count; i++)
      out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = p[i];
  } else if (image->type == PIXEL_U16) {
    const uint16_t *p = image->data;
    uint16_t *out = rgb->data;
    for (size_t i = 0; i < count; i++)
      out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = p[i];
  } else {
    const float *p = image->data;
    float *out = rgb->data;
    for (size_t i = 0; i < count; i++)
      out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = p[i];
  }
  return true;
}
