/* SPDX-License-Identifier: Apache-2.0 */
/* Decoded pictures. Rows top to bottom, channels interleaved, one (grey) or three (RGB) channels. */
#ifndef PENUMBRA_IMAGE_IMAGE_H
#define PENUMBRA_IMAGE_IMAGE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pixel_type { PIXEL_U8, PIXEL_U16, PIXEL_F32 };

enum { IMAGE_MAX_SIDE = 32768, IMAGE_MAX_PIXELS = 1 << 26 }; /* ceilings checked before anything is decoded */

struct image {
  int width, height; /* px */
  int channels;      /* 1 grey, 3 RGB; 2 and 4 only from .npy */
  enum pixel_type type;
  void *data;                  /* [height, width, channels]; owned (mem_free) */
  double lo, hi;               /* codes of black and white: 0..255, 0..65535, or as the source states */
  double spacing_y, spacing_x; /* mm per px; 0 where not known */
  bool preprocessed;           /* came from a .npy [C,H,W]: values are the model's own, no preprocessing applies */
  const char *note;            /* what was lost in decoding ("transparency ignored"), static text, or NULL */
};

/* Decode a file by its content (not its name): PNG, JPEG, .npy. Errors begin with the path.
 * A format that is recognised but not built in (DICOM) is an error that says so. */
bool image_read(const char *path, struct image *image, struct error *err);
/* The same from memory; `name` is for messages. */
bool image_decode(const void *bytes, size_t size, const char *name, struct image *image, struct error *err);
void image_free(struct image *image);

/* Fails unless both sides are in 1..IMAGE_MAX_SIDE and their product is at most IMAGE_MAX_PIXELS. */
bool image_check_size(int64_t width, int64_t height, struct error *err);
/* A picture of that size with undefined pixels, lo and hi 0 and the type's greatest code (1 for PIXEL_F32). */
bool image_new(struct image *image, int width, int height, int channels, enum pixel_type type, struct error *err);

/* PNG: 8 or 16 bit, 1 or 3 channels, by type and channels of the image. Appears whole or not at all. */
bool image_write_png(const struct image *image, const char *path, struct error *err);
/* The same into memory; *bytes is owned by the caller (mem_free). */
bool image_encode_png(const struct image *image, void **bytes, size_t *size, struct error *err);

/* Luma of Rec. 601, 0.299 R + 0.587 G + 0.114 B: for 8 bit as Pillow's convert("L") rounds it, else in double (16-bit
 * codes rounded to the nearest). The type stays; a grey picture is copied. */
bool image_to_gray(const struct image *image, struct image *gray, struct error *err);
/* Grey three times; an RGB picture is copied. Both fail on 2 or 4 channels. */
bool image_to_rgb(const struct image *image, struct image *rgb, struct error *err);

enum interpolation { INTERPOLATION_NEAREST, INTERPOLATION_BILINEAR, INTERPOLATION_BICUBIC, INTERPOLATION_LANCZOS };

/* Antialiased resize as Pillow does it: the filter widens when shrinking, columns first, then rows.
 * 8-bit images: bit for bit Pillow's result, each pass rounded to 8 bits. Others: double sums, each pass stored as
 * float32 (PIXEL_F32), which is Pillow's result for mode "F". */
bool image_resize(const struct image *image, int width, int height, enum interpolation how, struct image *out,
                  struct error *err);

/* Codecs, one file each, listed in codecs.def. `decode` gets bytes that `detect` accepted; on failure it may leave a
 * picture behind, which the caller frees. */
struct codec {
  const char *name; /* as people write it: "PNG" */
  bool (*detect)(const unsigned char *bytes, size_t size);
  bool (*decode)(const unsigned char *bytes, size_t size, struct image *image, struct error *err);
};

#endif
