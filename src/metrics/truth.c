/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/truth.h"

#include "base/files.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "image/image.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { COCO_LIMIT = 256 << 20, PATH_LIMIT = 4095 };

static const char *base_name(const char *path)
{
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static void append_stem(struct str *s, const char *image)
{
  const char *name = base_name(image), *dot = strrchr(name, '.');
  str_append_bytes(s, name, dot && dot != name ? (size_t)(dot - name) : strlen(name));
}

static void append_folder(struct str *s, const char *image)
{
  const char *name = base_name(image);
  if (name == image)
    str_append(s, ".");
  else
    str_append_bytes(s, image, name - image > 1 ? (size_t)(name - image) - 1 : 1);
}

bool truth_path(const char *pattern, const char *image, const char *label, char *path, size_t size, struct error *err)
{
  struct str s;
  str_init(&s, PATH_LIMIT);
  for (const char *p = pattern; *p;) {
    if (strncmp(p, "{dir}", 5) == 0) {
      append_folder(&s, image);
      p += 5;
    } else if (strncmp(p, "{stem}", 6) == 0) {
      append_stem(&s, image);
      p += 6;
    } else if (strncmp(p, "{label}", 7) == 0) {
      str_append(&s, label);
      p += 7;
    } else {
      str_append_bytes(&s, p++, 1);
    }
  }
  if (!s.failed && s.text && file_is_dir(s.text)) {
    str_append(&s, "/");
    append_stem(&s, image);
    str_append(&s, ".png");
  }
  const bool ok = !s.failed && s.text && s.length < size;
  if (ok)
    memcpy(path, s.text, s.length + 1);
  str_free(&s);
  return ok || error_set(err, ERROR_USAGE, "truth: '%.60s' gives no path of at most %zu bytes", pattern, size - 1);
}

/* 0 where a pixel is black in all channels. */
static float *as_floats(const struct image *image, struct error *err)
{
  const size_t pixels = (size_t)image->width * (size_t)image->height, c = (size_t)image->channels;
  float *mask = mem_zero(pixels, sizeof *mask);
  if (!mask) {
    error_memory(err, "a mask");
    return NULL;
  }
  for (size_t i = 0; i < pixels * c; i++) {
    const bool set = image->type == PIXEL_U8    ? ((const uint8_t *)image->data)[i] > 0
                     : image->type == PIXEL_U16 ? ((const uint16_t *)image->data)[i] > 0
                                                : ((const float *)image->data)[i] > 0;
    if (set)
      mask[i / c] = 1;
  }
  return mask;
}

bool truth_mask(const char *path, const struct geometry *g, unsigned char *mask, struct error *err)
{
  struct image image;
  const size_t pixels = (size_t)g->height * (size_t)g->width;
  if (!image_read(path, &image, err))
    return false;
  const bool source = image.width == g->source_width && image.height == g->source_height;
  const bool model = image.width == g->width && image.height == g->height;
  bool ok = source || model ||
            error_set(err, ERROR_FAILED, "%.80s: a mask of %dx%d px; the image has %dx%d, the model grid %dx%d", path,
                      image.width, image.height, g->source_width, g->source_height, g->width, g->height);
  float *values = ok ? as_floats(&image, err) : NULL;
  float *placed = values ? mem_zero(pixels, sizeof *placed) : NULL;
  ok = placed != NULL || (ok && values && error_memory(err, "a mask"));
  if (ok && source)
    preprocess_to_model(g, values, placed, true);
  else if (ok)
    memcpy(placed, values, pixels * sizeof *placed);
  for (size_t i = 0; ok && i < pixels; i++)
    mask[i] = placed[i] > 0.5f;
  mem_free(values);
  mem_free(placed);
  image_free(&image);
  return ok;
}

/* ---- boxes ------------------------------------------------------------------------------------------------------ */

static json_int_t id_of(const json_t *object, const char *key)
{
  const json_t *id = json_object_get(object, key);
  return json_is_integer(id) ? json_integer_value(id) : -1;
}

static bool find_image(const json_t *coco, const char *path, const char *image, json_int_t *id, struct error *err)
{
  size_t i;
  const json_t *entry;
  json_array_foreach (json_object_get(coco, "images"), i, entry) {
    const char *name = json_string_value(json_object_get(entry, "file_name"));
    if (name && strcmp(base_name(name), base_name(image)) == 0) {
      *id = id_of(entry, "id");
      return true;
    }
  }
  return error_set(err, ERROR_FAILED, "%.80s: lists no image called %.80s", path, base_name(image));
}

static bool find_category(const json_t *coco, const char *path, const char *label, json_int_t *id, struct error *err)
{
  size_t i;
  const json_t *entry, *list = json_object_get(coco, "categories");
  json_array_foreach (list, i, entry) {
    const char *name = json_string_value(json_object_get(entry, "name"));
    if ((name && strcmp(name, label) == 0) || json_array_size(list) == 1) {
      *id = id_of(entry, "id");
      return true;
    }
  }
  return error_set(err, ERROR_FAILED, "%.80s: none of its %zu categories is called '%.60s'", path,
                   json_array_size(list), label);
}

/* Pixels whose centre lies in the box. */
static void draw_box(const double box[4], const struct geometry *g, float *mask)
{
  const double x0 = fmax(0, ceil(box[0] - 0.5)), y0 = fmax(0, ceil(box[1] - 0.5));
  const double x1 = fmin(g->source_width, ceil(box[0] + box[2] - 0.5));
  const double y1 = fmin(g->source_height, ceil(box[1] + box[3] - 0.5));
  for (int64_t y = (int64_t)y0; (double)y < y1; y++)
    for (int64_t x = (int64_t)x0; (double)x < x1; x++)
      mask[y * g->source_width + x] = 1;
}

static bool draw_boxes(const json_t *coco, const char *path, json_int_t image, json_int_t category,
                       const struct geometry *g, float *mask, struct error *err)
{
  size_t i;
  const json_t *entry;
  json_array_foreach (json_object_get(coco, "annotations"), i, entry) {
    double box[4];
    if (id_of(entry, "image_id") != image || id_of(entry, "category_id") != category)
      continue;
    const json_t *list = json_object_get(entry, "bbox");
    bool ok = json_array_size(list) == 4;
    for (size_t k = 0; ok && k < 4; k++) {
      box[k] = json_number_value(json_array_get(list, k));
      ok = json_is_number(json_array_get(list, k)) && fabs(box[k]) <= 1e9 && (k < 2 || box[k] >= 0);
    }
    if (!ok)
      return error_set(err, ERROR_FAILED, "%.80s: annotation %zu has no bbox [x, y, width, height]", path, i);
    draw_box(box, g, mask);
  }
  return true;
}

bool truth_boxes(const char *path, const char *image, const char *label, const struct geometry *g, unsigned char *mask,
                 struct error *err)
{
  const size_t pixels = (size_t)g->height * (size_t)g->width;
  json_t *coco = json_load_path(path, COCO_LIMIT, err);
  if (!coco)
    return false;
  json_int_t image_id = 0, category = 0;
  float *source = mem_zero((size_t)g->source_height, (size_t)g->source_width * sizeof *source);
  float *placed = mem_zero(pixels, sizeof *placed);
  bool ok = (source && placed) || error_memory(err, "a mask");
  ok = ok && find_image(coco, path, image, &image_id, err) && find_category(coco, path, label, &category, err) &&
       draw_boxes(coco, path, image_id, category, g, source, err);
  if (ok)
    preprocess_to_model(g, source, placed, true);
  for (size_t i = 0; ok && i < pixels; i++)
    mask[i] = placed[i] > 0.5f;
  mem_free(source);
  mem_free(placed);
  json_decref(coco);
  return ok;
}

bool truth_read(const char *pattern, const char *image, const char *label, const struct geometry *geometry,
                unsigned char *mask, struct error *err)
{
  char path[PATH_LIMIT + 1];
  if (!truth_path(pattern, image, label, path, sizeof path, err))
    return false;
  const size_t n = strlen(path);
  if (n >= 5 && strcmp(path + n - 5, ".json") == 0)
    return truth_boxes(path, image, label, geometry, mask, err);
  return truth_mask(path, geometry, mask, err);
}
