/* SPDX-License-Identifier: Apache-2.0 */
/* JPEG (ITU-T T.81) by the TurboJPEG API, with the accurate DCT and fancy upsampling, as Pillow decodes.
 *
 * The headers are read here first: the size, to check it before anything is allocated (tjDecompressHeader3 would
 * refuse unusual but decodable subsamplings); the number of scans, since each goes over the whole picture whatever
 * little data it has; and Exif's orientation (CIPA DC-008, tag 274), which is applied. CMYK is taken to be stored
 * inverted, as Adobe's programs do and Pillow assumes, and turned to RGB by Pillow's formula.
 *
 * Data that the decoder can only guess at is an error: a guess is not evidence. Harmless irregularities, such as
 * stray bytes between segments, are passed over with a note. */
#include "base/mem.h"
#include "image/image.h"

#include <stdio.h>
#include <string.h>
#include <turbojpeg.h>

enum {
  SOF0 = 0xC0,
  SOF15 = 0xCF,
  DHT = 0xC4,
  JPG = 0xC8,
  DAC = 0xCC,
  RST0 = 0xD0,
  RST7 = 0xD7,
  SOI = 0xD8,
  EOI = 0xD9,
  SOS = 0xDA,
  APP1 = 0xE1,
  TEM = 0x01,
};

/* Scans times pixels: 32 scans of the largest picture; an encoder's progressive picture has about 10. */
static const int64_t max_scan_pixels = (int64_t)IMAGE_MAX_PIXELS * 32;

struct headers {
  int64_t width, height;
  int components;
  int orientation; /* 1..8; 1 is upright */
  int64_t scans;
  bool complete; /* an end marker follows the last scan's header */
};

static bool detect(const unsigned char *bytes, size_t size)
{
  return size >= 3 && bytes[0] == 0xFF && bytes[1] == SOI && bytes[2] == 0xFF;
}

static uint32_t number(const unsigned char *p, int bytes, bool big_endian)
{
  uint32_t n = 0;
  for (int i = 0; i < bytes; i++)
    n = n << 8 | p[big_endian ? i : bytes - 1 - i];
  return n;
}

/* Orientation from a TIFF structure: "II" or "MM", 42, offset of the first directory; there a count of entries, each
 * of tag, type, count and value. 1 where there is none or it makes no sense. */
static int exif_orientation(const unsigned char *tiff, size_t size)
{
  enum { ORIENTATION = 274, SHORT = 3, LONG = 4, ENTRY = 12 };
  if (size < 8 || (memcmp(tiff, "II", 2) != 0 && memcmp(tiff, "MM", 2) != 0))
    return 1;
  bool big = tiff[0] == 'M';
  size_t at = number(tiff + 4, 4, big);
  if (number(tiff + 2, 2, big) != 42 || at > size - 2)
    return 1;
  size_t entries = number(tiff + at, 2, big);
  for (at += 2; entries > 0 && size - at >= ENTRY; entries--, at += ENTRY) {
    uint32_t type = number(tiff + at + 2, 2, big);
    if (number(tiff + at, 2, big) != ORIENTATION || (type != SHORT && type != LONG) ||
        number(tiff + at + 4, 4, big) != 1)
      continue;
    uint32_t value = number(tiff + at + 8, type == SHORT ? 2 : 4, big);
    return value >= 1 && value <= 8 ? (int)value : 1;
  }
  return 1;
}

/* Count scans from the first one's marker on. In compressed data 0xFF is followed by 0 or a restart marker only. */
static void read_scans(const unsigned char *bytes, size_t size, struct headers *h)
{
  const unsigned char *p = bytes, *end = bytes + size;
  while (end - p >= 2 && (p = memchr(p, 0xFF, (size_t)(end - p - 1))) != NULL) {
    p++;
    if (*p == SOS) {
      h->scans++;
      h->complete = false;
    } else if (*p == EOI) {
      h->complete = true;
    }
  }
}

static bool read_headers(const unsigned char *bytes, size_t size, struct headers *h, struct error *err)
{
  *h = (struct headers){.orientation = 1};
  bool framed = false, exif = false;
  size_t at = 2;
  for (;;) {
    while (at < size && bytes[at] != 0xFF) /* stray bytes, which the decoder skips too */
      at++;
    while (at < size && bytes[at] == 0xFF) /* the marker's own 0xFF and fill bytes */
      at++;
    if (at >= size)
      return error_set(err, ERROR_FAILED, "JPEG: the file ends before the picture begins");
    int marker = bytes[at++];
    if (marker == 0 || marker == TEM || (marker >= RST0 && marker <= RST7))
      continue;
    if (marker == EOI || marker == SOI)
      return error_set(err, ERROR_FAILED, "JPEG: the file holds no picture");
    if (marker == SOS)
      break;
    size_t length = size - at >= 2 ? number(bytes + at, 2, true) : 0;
    if (length < 2 || length > size - at)
      return error_set(err, ERROR_FAILED, "JPEG: the file ends within its headers");
    const unsigned char *body = bytes + at + 2;
    if (marker >= SOF0 && marker <= SOF15 && marker != DHT && marker != JPG && marker != DAC) {
      if (framed || length < 8)
        return error_set(err, ERROR_FAILED, "JPEG: a broken frame header");
      framed = true;
      h->height = number(body + 1, 2, true);
      h->width = number(body + 3, 2, true);
      h->components = body[5];
      if (!image_check_size(h->width, h->height, err))
        return error_prefix(err, "JPEG");
    } else if (marker == APP1 && !exif && length >= 8 && memcmp(body, "Exif\0\0", 6) == 0) {
      exif = true;
      h->orientation = exif_orientation(body + 6, length - 8);
    }
    at += length;
  }
  if (!framed)
    return error_set(err, ERROR_FAILED, "JPEG: a scan without a frame header");
  read_scans(bytes + at - 2, size - at + 2, h);
  return true;
}

static bool check_headers(const struct headers *h, struct error *err)
{
  if (h->components != 1 && h->components != 3 && h->components != 4)
    return error_set(err, ERROR_FAILED, "JPEG: %d colour components are not supported (1, 3 and 4 are)", h->components);
  if (h->scans * h->width * h->height > max_scan_pixels)
    return error_set(err, ERROR_FAILED, "JPEG: %lld scans of %lldx%lld pixels are more than %lld", (long long)h->scans,
                     (long long)h->width, (long long)h->height, (long long)(max_scan_pixels / (h->width * h->height)));
  return true;
}

/* Warnings of the library after which the pixels are still what the encoder meant. */
static bool harmless(const char *warning)
{
  static const char *const texts[] = {"extraneous bytes before marker", "unknown JFIF revision",
                                      "Unknown Adobe color transform", "Invalid SOS parameters"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    if (strstr(warning, texts[i]))
      return true;
  }
  return false;
}

/* Into [height, width, components of `format`]. */
static bool decompress(const unsigned char *bytes, size_t size, const struct headers *h, int format, void *pixels,
                       const char **note, struct error *err)
{
  tjhandle handle = tjInitDecompress();
  if (!handle)
    return error_memory(err, "the JPEG decoder");
  const int flags = TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS;
  bool done = tjDecompress2(handle, bytes, size, pixels, (int)h->width, 0, (int)h->height, format,
                            flags | TJFLAG_STOPONWARNING) == 0;
  if (!done && tjGetErrorCode(handle) == TJERR_WARNING && harmless(tjGetErrorStr2(handle)) && h->complete) {
    done = tjDecompress2(handle, bytes, size, pixels, (int)h->width, 0, (int)h->height, format, flags) == 0 ||
           tjGetErrorCode(handle) == TJERR_WARNING;
    *note = "the JPEG data are irregular";
  }
  if (!done)
    error_set(err, ERROR_FAILED, "JPEG: %s", tjGetErrorStr2(handle));
  tjDestroy(handle);
  return done;
}

/* a * b / 255, rounded. */
static int scale_byte(int a, int b)
{
  int product = a * b + 128;
  return (product + (product >> 8)) >> 8;
}

/* Stored (inverted) C, M, Y, K to RGB: the ink that is missing, darkened by black. */
static void cmyk_to_rgb(const unsigned char *cmyk, size_t pixels, unsigned char *rgb)
{
  for (size_t i = 0; i < pixels; i++, cmyk += 4, rgb += 3) {
    int light = cmyk[3];
    for (int c = 0; c < 3; c++)
      rgb[c] = (unsigned char)(light - scale_byte(255 - cmyk[c], light));
  }
}

/* Turn a picture upright in place of itself. */
static bool orient(struct image *image, int orientation, struct error *err)
{
  if (orientation == 1)
    return true;
  bool swap = orientation >= 5; /* rows become columns */
  bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  struct image turned;
  int64_t w = image->width, h = image->height;
  int c = image->channels;
  if (!image_new(&turned, (int)(swap ? h : w), (int)(swap ? w : h), c, image->type, err))
    return false;
  int64_t origin = (from_bottom ? (h - 1) * w : 0) + (from_right ? w - 1 : 0);
  int64_t by_row = from_bottom ? -w : w, by_column = from_right ? -1 : 1;
  int64_t down = swap ? by_column : by_row, across = swap ? by_row : by_column; /* in source pixels */
  const unsigned char *in = image->data;
  unsigned char *out = turned.data;
  for (int y = 0; y < turned.height; y++) {
    int64_t from = origin + y * down;
    for (int x = 0; x < turned.width; x++, from += across) {
      for (int k = 0; k < c; k++)
        *out++ = in[from * c + k];
    }
  }
  turned.note = image->note;
  image_free(image);
  *image = turned;
  return true;
}

static bool decode(const unsigned char *bytes, size_t size, struct image *image, struct error *err)
{
  struct headers h;
  if (!read_headers(bytes, size, &h, err) || !check_headers(&h, err))
    return false;
  if (!image_new(image, (int)h.width, (int)h.height, h.components == 1 ? 1 : 3, PIXEL_U8, err))
    return false;
  bool done;
  if (h.components == 4) {
    size_t pixels = (size_t)h.width * (size_t)h.height;
    unsigned char *cmyk = mem_alloc(pixels * 4); /* image_new has checked the size */
    done = cmyk ? decompress(bytes, size, &h, TJPF_CMYK, cmyk, &image->note, err) : error_memory(err, "a CMYK picture");
    if (done)
      cmyk_to_rgb(cmyk, pixels, image->data);
    mem_free(cmyk);
  } else {
    done = decompress(bytes, size, &h, h.components == 1 ? TJPF_GRAY : TJPF_RGB, image->data, &image->note, err);
  }
  return done && orient(image, h.orientation, err);
}

const struct codec codec_jpeg = {.name = "JPEG", .detect = detect, .decode = decode};
