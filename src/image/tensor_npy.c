/* SPDX-License-Identifier: Apache-2.0 */
/* A model's input tensor as a picture: .npy of shape [C,H,W] or [1,C,H,W], floating point, C 1..4. Its values are what
 * the model is fed, so no preprocessing applies; black and white are its least and greatest value. */
#include "base/mem.h"
#include "base/npy.h"
#include "image/image.h"

#include <math.h>
#include <string.h>

enum { MAX_CHANNELS = 4 };

static bool detect(const unsigned char *bytes, size_t size)
{
  return size >= 6 && memcmp(bytes, "\x93NUMPY", 6) == 0;
}

static bool fill(const struct npy *array, const int64_t *dim, struct image *image, struct error *err)
{
  if (dim[0] < 1 || dim[0] > MAX_CHANNELS)
    return error_set(err, ERROR_FAILED, ".npy: channels: %lld is outside 1..%d (the shape wanted is [C,H,W])",
                     (long long)dim[0], MAX_CHANNELS);
  if (!image_check_size(dim[2], dim[1], err))
    return error_prefix(err, ".npy");
  int channels = (int)dim[0];
  if (!image_new(image, (int)dim[2], (int)dim[1], channels, PIXEL_F32, err))
    return false;
  const float *in = array->data;
  float *out = image->data;
  int64_t pixels = dim[1] * dim[2];
  float lo = INFINITY, hi = -INFINITY;
  for (int c = 0; c < channels; c++) {
    for (int64_t i = 0; i < pixels; i++) {
      float v = in[c * pixels + i];
      if (!isfinite(v))
        return error_set(err, ERROR_FAILED, ".npy: the value at [%d,%lld,%lld] is not finite", c,
                         (long long)(i / dim[2]), (long long)(i % dim[2]));
      out[i * channels + c] = v;
      lo = v < lo ? v : lo;
      hi = v > hi ? v : hi;
    }
  }
  image->lo = lo;
  image->hi = hi;
  image->preprocessed = true;
  return true;
}

static bool decode(const unsigned char *bytes, size_t size, struct image *image, struct error *err)
{
  struct npy array;
  if (!npy_decode(bytes, size, ".npy", (size_t)IMAGE_MAX_PIXELS * sizeof(float), &array, err))
    return false;
  bool done;
  if (array.type != NPY_F32)
    done = error_set(err, ERROR_FAILED, ".npy: the elements are whole numbers; a tensor is floating point");
  else if (array.rank == 3)
    done = fill(&array, array.dim, image, err);
  else if (array.rank == 4 && array.dim[0] == 1)
    done = fill(&array, array.dim + 1, image, err);
  else
    done = error_set(err, ERROR_FAILED, ".npy: the shape is neither [C,H,W] nor [1,C,H,W]");
  npy_free(&array);
  return done;
}

const struct codec codec_tensor_npy = {.name = ".npy", .detect = detect, .decode = decode};
