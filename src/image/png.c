/* SPDX-License-Identifier: Apache-2.0 */
/* PNG by libpng (W3C PNG specification, 2nd edition).
 *
 * Colours come out as Pillow's convert("RGB") or "L" gives them: palettes and packed grey are expanded, transparency
 * (alpha channel or tRNS) is dropped, gAMA, sRGB and iCCP are not applied. 16 bits stay 16 bits. Every chunk that is
 * not needed for that is skipped unread: an X-ray's text or profile is of no use here and may be a bomb. pHYs is among
 * them: it is a print resolution, not the detector's.
 *
 * libpng reports errors by longjmp. Whatever must survive that lives in a struct that the function with the setjmp
 * only has a pointer to, so no local is clobbered and the caller frees it on both ways out. */
#include "base/files.h"
#include "base/mem.h"
#include "image/image.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

/* Deflate stores at most 258 bytes in 2 bits (RFC 1951, section 3.2.5): 1032 bytes in one. */
enum { DEFLATE_RATIO = 1032 };
enum { SIGNATURE = 8, HEADER = 33 }; /* bytes of the signature, and of it with the IHDR chunk */

/* Allocation and error functions shared by reading and writing. */
struct trouble {
  char message[128];
  bool memory;
};

static void *allocate(png_structp png, png_alloc_size_t size)
{
  void *p = mem_alloc(size);
  if (!p)
    ((struct trouble *)png_get_mem_ptr(png))->memory = true;
  return p;
}

static void release(png_structp png, void *p)
{
  (void)png;
  mem_free(p);
}

static void fail(png_structp png, const char *message)
{
  struct trouble *trouble = png_get_error_ptr(png);
  (void)snprintf(trouble->message, sizeof trouble->message, "%s", message);
  png_longjmp(png, 1);
}

/* Warnings are about chunks that are not used, or are followed by an error. */
static void warn(png_structp png, const char *message)
{
  (void)png;
  (void)message;
}

static bool report(const struct trouble *trouble, struct error *err)
{
  if (trouble->memory)
    return error_memory(err, "a PNG file");
  return error_set(err, ERROR_FAILED, "PNG: %s", trouble->message);
}

struct reader {
  const unsigned char *bytes;
  size_t size, at;
  png_structp png;
  png_infop info;
  struct image *image;
  struct trouble trouble;
};

static bool detect(const unsigned char *bytes, size_t size)
{
  return size >= SIGNATURE && png_sig_cmp(bytes, 0, SIGNATURE) == 0;
}

static void take_bytes(png_structp png, png_bytep to, size_t count)
{
  struct reader *r = png_get_io_ptr(png);
  if (count > r->size - r->at)
    png_error(png, "the file ends too early");
  memcpy(to, r->bytes + r->at, count);
  r->at += count;
}

/* Sizes from the IHDR chunk, before libpng or anyone else allocates by them. */
static bool check_header(const unsigned char *bytes, size_t size, struct error *err)
{
  static const unsigned char ihdr[] = {0, 0, 0, 13, 'I', 'H', 'D', 'R'};
  if (size < HEADER)
    return error_set(err, ERROR_FAILED, "PNG: the file ends too early");
  if (memcmp(bytes + SIGNATURE, ihdr, sizeof ihdr) != 0)
    return error_set(err, ERROR_FAILED, "PNG: the first chunk is not IHDR");
  int64_t width = png_get_uint_32(bytes + 16), height = png_get_uint_32(bytes + 20);
  if (!image_check_size(width, height, err))
    return error_prefix(err, "PNG");
  int depth = bytes[24], colour = bytes[25];
  int samples = colour == PNG_COLOR_TYPE_RGB          ? 3
                : colour == PNG_COLOR_TYPE_RGB_ALPHA  ? 4
                : colour == PNG_COLOR_TYPE_GRAY_ALPHA ? 2
                                                      : 1;
  int64_t least = (width * depth * samples + 7) / 8 * height / DEFLATE_RATIO;
  if ((int64_t)size < least)
    return error_set(err, ERROR_FAILED, "PNG: %zu bytes are too few for %lldx%lld pixels: the file is cut short", size,
                     (long long)width, (long long)height);
  return true;
}

static bool read_pixels(struct reader *r, struct error *err)
{
  png_structp png = r->png;
  if (setjmp(png_jmpbuf(png)))
    return report(&r->trouble, err);
  png_set_read_fn(png, r, take_bytes);
  png_set_user_limits(png, IMAGE_MAX_SIDE, IMAGE_MAX_SIDE);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1); /* -1: all known ones that can be spared */
  png_read_info(png, r->info);

  int colour = png_get_color_type(png, r->info), depth = png_get_bit_depth(png, r->info);
  bool deep = depth == 16, transparent = png_get_valid(png, r->info, PNG_INFO_tRNS) != 0;
  if (colour == PNG_COLOR_TYPE_PALETTE)
    png_set_palette_to_rgb(png);
  else if (depth < 8)
    png_set_expand_gray_1_2_4_to_8(png);
  if (transparent || (colour & PNG_COLOR_MASK_ALPHA))
    png_set_strip_alpha(png);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  if (deep)
    png_set_swap(png);
#endif
  int passes = png_set_interlace_handling(png);
  png_read_update_info(png, r->info);

  int channels = png_get_channels(png, r->info);
  if (!image_new(r->image, (int)png_get_image_width(png, r->info), (int)png_get_image_height(png, r->info), channels,
                 deep ? PIXEL_U16 : PIXEL_U8, err))
    return false;
  size_t row = png_get_rowbytes(png, r->info);
  if (row != (size_t)r->image->width * (size_t)channels * (deep ? 2 : 1))
    return error_set(err, ERROR_FAILED, "PNG: %d channels of %d bits are not supported", channels, depth);
  for (int pass = 0; pass < passes; pass++) {
    for (int y = 0; y < r->image->height; y++)
      png_read_row(png, (png_bytep)r->image->data + (size_t)y * row, NULL);
  }
  png_read_end(png, NULL); /* checks the last checksum, and that the file is whole */
  if (transparent || (colour & PNG_COLOR_MASK_ALPHA))
    r->image->note = "transparency ignored";
  return true;
}

static bool decode(const unsigned char *bytes, size_t size, struct image *image, struct error *err)
{
  if (!check_header(bytes, size, err))
    return false;
  struct reader r = {.bytes = bytes, .size = size, .image = image};
  r.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &r.trouble, fail, warn, &r.trouble, allocate, release);
  if (r.png)
    r.info = png_create_info_struct(r.png);
  bool done = r.info ? read_pixels(&r, err) : error_memory(err, "a PNG file");
  png_destroy_read_struct(&r.png, &r.info, NULL);
  return done;
}

struct writer {
  const struct image *image;
  unsigned char *bytes;
  size_t size, capacity;
  png_structp png;
  png_infop info;
  struct trouble trouble;
};

static void put_bytes(png_structp png, png_bytep from, size_t count)
{
  struct writer *w = png_get_io_ptr(png);
  size_t need;
  if (!size_add(w->size, count, &need) || !size_add(need, need / 2, &need))
    png_error(png, "too large");
  if (w->size + count > w->capacity) {
    unsigned char *grown = mem_grow(w->bytes, need);
    if (!grown) {
      w->trouble.memory = true;
      png_error(png, "out of memory");
    }
    w->bytes = grown;
    w->capacity = need;
  }
  memcpy(w->bytes + w->size, from, count);
  w->size += count;
}

static void flush_nothing(png_structp png)
{
  (void)png;
}

static bool write_pixels(struct writer *w, struct error *err)
{
  png_structp png = w->png;
  const struct image *image = w->image;
  bool deep = image->type == PIXEL_U16;
  if (setjmp(png_jmpbuf(png)))
    return report(&w->trouble, err);
  png_set_write_fn(png, w, put_bytes, flush_nothing);
  png_set_IHDR(png, w->info, (png_uint_32)image->width, (png_uint_32)image->height, deep ? 16 : 8,
               image->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, w->info);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  if (deep)
    png_set_swap(png);
#endif
  size_t row = (size_t)image->width * (size_t)image->channels * (deep ? 2 : 1);
  for (int y = 0; y < image->height; y++)
    png_write_row(png, (png_const_bytep)image->data + (size_t)y * row);
  png_write_end(png, NULL);
  return true;
}

bool image_encode_png(const struct image *image, void **bytes, size_t *size, struct error *err)
{
  *bytes = NULL;
  *size = 0;
  if (image->type == PIXEL_F32)
    return error_set(err, ERROR_FAILED, "PNG: floating-point pixels cannot be written");
  if (image->channels != 1 && image->channels != 3)
    return error_set(err, ERROR_FAILED, "PNG: channels: %d is neither 1 nor 3", image->channels);
  struct writer w = {.image = image};
  w.png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &w.trouble, fail, warn, &w.trouble, allocate, release);
  if (w.png)
    w.info = png_create_info_struct(w.png);
  bool done = w.info ? write_pixels(&w, err) : error_memory(err, "a PNG file");
  png_destroy_write_struct(&w.png, &w.info);
  if (!done) {
    mem_free(w.bytes);
    return false;
  }
  *bytes = w.bytes;
  *size = w.size;
  return true;
}

bool image_write_png(const struct image *image, const char *path, struct error *err)
{
  void *bytes;
  size_t size;
  if (!image_encode_png(image, &bytes, &size, err))
    return error_prefix(err, "%s", path);
  bool done = file_write(path, bytes, size, err);
  mem_free(bytes);
  return done;
}

const struct codec codec_png = {.name = "PNG", .detect = detect, .decode = decode};
