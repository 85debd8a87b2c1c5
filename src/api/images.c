/* SPDX-License-Identifier: Apache-2.0 */
#include "api/object.h"
#include "base/files.h"

#include <string.h>

static struct penumbra_image *image_object(const char *name, struct error *err)
{
  struct penumbra_image *image = mem_zero(1, sizeof *image);
  if (!image || !(image->name = mem_strdup(name))) {
    mem_free(image);
    error_memory(err, "an image");
    return NULL;
  }
  atomic_init(&image->references, 1);
  return image;
}

static struct penumbra_image *decode(const void *bytes, size_t size, const char *name, struct error *err)
{
  struct penumbra_image *image = image_object(name, err);
  if (!image)
    return NULL;
  if (!image_decode(bytes, size, name, &image->image, err) || !file_sha256(bytes, size, image->sha256)) {
    penumbra_image_close(image);
    return NULL;
  }
  return image;
}

penumbra_image *penumbra_image_open(const char *path, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  struct file_map map;
  struct penumbra_image *image = NULL;
  if (file_map(path, 0, &map, &failed)) {
    image = decode(map.data, map.size, path, &failed);
    file_unmap(&map);
  }
  if (!image)
    api_error(err, &failed);
  return image;
}

penumbra_image *penumbra_image_decode(const void *bytes, size_t size, const char *name, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  struct penumbra_image *image = decode(bytes, size, name, &failed);
  if (!image)
    api_error(err, &failed);
  return image;
}

penumbra_image *penumbra_image_new(int width, int height, int channels, int bits, const void *pixels,
                                   penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  struct penumbra_image *image = image_object("pixels", &failed);
  bool ok = image != NULL;
  if (ok && ((bits != 8 && bits != 16) || (channels != 1 && channels != 3)))
    ok = error_set(&failed, ERROR_USAGE, "pixels: %d bits and %d channels; 8 or 16 bits and 1 or 3 channels are wanted",
                   bits, channels);
  ok = ok && image_new(&image->image, width, height, channels, bits == 8 ? PIXEL_U8 : PIXEL_U16, &failed);
  if (ok) {
    const size_t bytes = (size_t)width * (size_t)height * (size_t)channels * (size_t)(bits / 8);
    memcpy(image->image.data, pixels, bytes);
    ok = file_sha256(pixels, bytes, image->sha256);
  }
  if (ok)
    return image;
  penumbra_image_close(image);
  api_error(err, &failed);
  return NULL;
}

struct penumbra_image *image_reference(const struct penumbra_image *image)
{
  struct penumbra_image *shared = (struct penumbra_image *)(uintptr_t)image; /* only the count is touched */
  atomic_fetch_add(&shared->references, 1);
  return shared;
}

void penumbra_image_close(penumbra_image *image)
{
  if (!image || atomic_fetch_sub(&image->references, 1) > 1)
    return;
  image_free(&image->image);
  mem_free(image->name);
  mem_free(image);
}

void penumbra_image_size(const penumbra_image *image, int *width, int *height)
{
  *width = image->image.width;
  *height = image->image.height;
}
