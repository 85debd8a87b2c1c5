/* SPDX-License-Identifier: Apache-2.0 */
/* Superpixels of the user's own: a label image on the model's grid or on the source's (which wins only where the sizes
 * differ). Equal labels are one segment, whatever the numbers. Model pixels that show nothing of the source (padding)
 * are a segment of their own. */
#include "base/files.h"
#include "base/mem.h"
#include "base/npy.h"
#include "perturb/segment.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct options {
  const char *path;
};

static const struct param params[] = {
    {"path", PARAM_TEXT, offsetof(struct options, path), "", 0, 0, NULL, NULL, NULL,
     "PNG or NPY [H,W] of whole numbers, of the size of the source or of the model's input"},
    PARAM_END,
};

struct label_image {
  int64_t height, width;
  int64_t *label; /* [height, width]; owned */
};

static bool new_labels(struct label_image *image, int64_t height, int64_t width, struct error *err)
{
  if (!image_check_size(width, height, err))
    return false;
  *image = (struct label_image){height, width, mem_alloc((size_t)height * (size_t)width * sizeof *image->label)};
  return image->label ? true : error_memory(err, "labels");
}

static bool copy_npy(const struct npy *array, struct label_image *image, struct error *err)
{
  if (array->rank != 2)
    return error_set(err, ERROR_FAILED, "labels of rank %d: [H,W] is wanted (segments-shape)", array->rank);
  if (!new_labels(image, array->dim[0], array->dim[1], err))
    return false;
  for (int64_t i = 0; i < image->height * image->width; i++) {
    if (array->type == NPY_I32) {
      image->label[i] = ((const int32_t *)array->data)[i];
      continue;
    }
    const double v = (double)((const float *)array->data)[i];
    if (!(v == floor(v) && fabs(v) <= 2147483648.0)) /* NaN and infinity too */
      return error_set(err, ERROR_FAILED, "the label at [%lld,%lld] is %g, not a whole number of 32 bits",
                       (long long)(i / image->width), (long long)(i % image->width), v);
    image->label[i] = (int64_t)v;
  }
  return true;
}

/* A colour is a label as good as any. */
static bool copy_picture(const struct image *picture, struct label_image *image, struct error *err)
{
  if (!new_labels(image, picture->height, picture->width, err))
    return false;
  for (int64_t i = 0; i < image->height * image->width; i++) {
    image->label[i] = 0;
    for (int c = 0; c < picture->channels; c++) {
      const int64_t at = i * picture->channels + c;
      image->label[i] = (image->label[i] << 16) + (picture->type == PIXEL_U8 ? ((const uint8_t *)picture->data)[at]
                                                                             : ((const uint16_t *)picture->data)[at]);
    }
  }
  return true;
}

static bool decode_labels(const struct file_map *map, const char *name, struct label_image *image, struct error *err)
{
  bool ok;
  if (map->size >= 6 && memcmp(map->data, "\x93NUMPY", 6) == 0) {
    struct npy array;
    if (!npy_decode(map->data, map->size, name, (size_t)IMAGE_MAX_PIXELS * sizeof(float), &array, err))
      return false;
    ok = copy_npy(&array, image, err);
    npy_free(&array);
  } else if (map->size >= 4 && memcmp(map->data, "\x89PNG", 4) == 0) {
    struct image picture;
    if (!image_decode(map->data, map->size, name, &picture, err))
      return false;
    ok = copy_picture(&picture, image, err);
    image_free(&picture);
  } else {
    ok = error_set(err, ERROR_FAILED, "labels are wanted as PNG or NPY");
  }
  return ok ? true : error_prefix(err, "%s", name);
}

static bool read_labels(const char *path, struct label_image *image, struct error *err)
{
  struct file_map map;
  if (!file_map(path, 0, &map, err))
    return false;
  const bool ok = decode_labels(&map, path, image, err);
  file_unmap(&map);
  return ok;
}

static int compare_labels(const void *a, const void *b)
{
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

/* Any labels -> their rank among those that occur; `sorted` is room for a copy. */
static void rank_labels(const int64_t *label, int64_t n, int64_t *sorted, int32_t *ranks)
{
  int64_t distinct = 0;
  memcpy(sorted, label, (size_t)n * sizeof *sorted);
  qsort(sorted, (size_t)n, sizeof *sorted, compare_labels);
  for (int64_t i = 0; i < n; i++)
    if (i == 0 || sorted[i] != sorted[distinct - 1])
      sorted[distinct++] = sorted[i];
  for (int64_t i = 0; i < n; i++) {
    const int64_t *found = bsearch(&label[i], sorted, (size_t)distinct, sizeof *sorted, compare_labels);
    ranks[i] = (int32_t)(found - sorted);
  }
}

/* From the source's grid to the model's; padding gets a label that no file holds. The resampling is that of maps, in
 * float32, so a label goes in three parts of 16 bits. */
static bool carry_to_model(const struct geometry *g, const struct label_image *image, int64_t *label, struct error *err)
{
  const int64_t from = image->height * image->width, to = (int64_t)g->height * g->width;
  float *part = mem_alloc((size_t)from * sizeof *part), *carried = mem_alloc((size_t)to * sizeof *carried);
  const bool ok = part && carried;
  memset(label, 0, (size_t)to * sizeof *label);
  for (int shift = 0; ok && shift < 64; shift += 16) {
    for (int64_t i = 0; i < from; i++)
      part[i] = shift < 48 ? (float)((uint64_t)image->label[i] >> shift & 0xffff) : 1;
    preprocess_to_model(g, part, carried, true);
    for (int64_t i = 0; i < to; i++)
      label[i] |= (int64_t)((uint64_t)carried[i] << shift); /* the last part tells picture from padding */
  }
  mem_free(part);
  mem_free(carried);
  return ok ? true : error_memory(err, "labels");
}

static bool cut(const struct segment_scene *scene, const struct segment_colours *colours, const void *options,
                int32_t *labels, struct error *err)
{
  const struct options *o = options;
  const struct geometry *g = &scene->input->geometry;
  const int64_t pixels = (int64_t)g->height * g->width;
  struct label_image image = {0};
  (void)colours;
  if (!*o->path)
    return error_set(err, ERROR_USAGE, "segments: 'file' wants a label image, as in file:LABELS.png");
  bool ok = read_labels(o->path, &image, err);
  const bool on_model = image.height == g->height && image.width == g->width;
  const bool on_source = image.height == g->source_height && image.width == g->source_width;
  if (ok && !on_model && !on_source)
    ok = error_set(err, ERROR_FAILED,
                   "%s: labels of %lldx%lld: neither the source's %dx%d nor the model's %dx%d (segments-shape)",
                   o->path, (long long)image.height, (long long)image.width, g->source_height, g->source_width,
                   g->height, g->width);
  int64_t *label = ok ? mem_alloc(2 * (size_t)pixels * sizeof *label) : NULL;
  if (ok && !label)
    ok = error_memory(err, "labels");
  if (ok && on_model)
    memcpy(label, image.label, (size_t)pixels * sizeof *label);
  else if (ok)
    ok = carry_to_model(g, &image, label, err);
  if (ok)
    rank_labels(label, pixels, label + pixels, labels);
  mem_free(image.label);
  mem_free(label);
  return ok;
}

const struct segment_kind segment_file = {
    .name = "file",
    .summary = "a label image of your own",
    .argument = "path",
    .verbatim = true,
    .by_place = true,
    .params = params,
    .options_size = sizeof(struct options),
    .cut = cut,
};
