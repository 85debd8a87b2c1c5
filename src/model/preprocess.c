/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of training pipelines: Pillow's resize (8-bit pictures stay 8-bit), then
 * value = (pixel * scale - mean) / std in double, stored as float32.
 *
 * Sizes and offsets, for a picture w x h and a model W x H:
 *   stretch        W x H
 *   shortest-crop  floor(side * max(W/w, H/h) + 0.5), the centre cut out at floor(rest / 2)
 *   pad            floor(side * min(W/w, H/h) + 0.5), centred at floor(rest / 2) on pixel 0
 *   resize_to N    torchvision's Resize(N) and CenterCrop: the short side N, the long side cut to a whole number,
 *                  crop at rest / 2 rounded half to even, pad at floor(rest / 2) where the picture is too small
 *                  (crop_rounding "down": crop at floor(rest / 2), pad at ceil(rest / 2), as transformers does)
 *   resize_to H,W  both sides, then the same crop */
#include "model/preprocess.h"

#include "base/json.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>

/* 1: G, from the picture to the model grid */

/* Where a centre crop, or the pad that stands in for it, puts a side of `resized` px on a grid of `side` px. */
static int centre_offset(enum card_rounding rounding, int resized, int side)
{
  if (rounding == ROUNDING_DOWN)
    return resized <= side ? (side - resized + 1) / 2 : -((resized - side) / 2);
  if (resized <= side)
    return (side - resized) / 2;
  int rest = resized - side;
  int half = rest / 2;
  return -(rest % 2 && half % 2 ? half + 1 : half);
}

static bool find_geometry(const struct card *card, int w, int h, struct geometry *g, struct error *err)
{
  int64_t rw = card->width, rh = card->height;
  *g = (struct geometry){.source_width = w, .source_height = h, .width = card->width, .height = card->height};
  if (card->resize_to[1]) {
    rh = card->resize_to[0];
    rw = card->resize_to[1];
  } else if (card->resize_to[0]) {
    int64_t n = card->resize_to[0];
    rw = w <= h ? n : n * w / h;
    rh = w <= h ? n * h / w : n;
  } else if (card->resize != RESIZE_STRETCH) {
    double kx = (double)card->width / w, ky = (double)card->height / h;
    double k = (card->resize == RESIZE_SHORTEST_CROP) == (kx > ky) ? kx : ky;
    rw = (int64_t)floor(w * k + 0.5);
    rh = (int64_t)floor(h * k + 0.5);
    rw = rw < 1 ? 1 : rw;
    rh = rh < 1 ? 1 : rh;
  }
  if (rw > IMAGE_MAX_SIDE || rh > IMAGE_MAX_SIDE || rw * rh > IMAGE_MAX_PIXELS)
    return error_set(err, ERROR_FAILED,
                     "a picture of %dx%d px would be resized to %lldx%lld px, more than %d a side or "
                     "%d in all",
                     w, h, (long long)rw, (long long)rh, IMAGE_MAX_SIDE, IMAGE_MAX_PIXELS);
  g->resized_width = (int)rw;
  g->resized_height = (int)rh;
  if (card->resize_to[0]) {
    g->offset_x = centre_offset(card->crop_rounding, g->resized_width, g->width);
    g->offset_y = centre_offset(card->crop_rounding, g->resized_height, g->height);
  } else if (card->resize == RESIZE_PAD) {
    g->offset_x = (g->width - g->resized_width) / 2;
    g->offset_y = (g->height - g->resized_height) / 2;
  } else {
    g->offset_x = -((g->resized_width - g->width) / 2);
    g->offset_y = -((g->resized_height - g->height) / 2);
  }
  return true;
}

/* The part [*first, *end) of the model's axis that shows the picture. */
static void covered(int offset, int resized, int side, int *first, int *end)
{
  *first = offset > 0 ? offset : 0;
  *end = offset + resized < side ? offset + resized : side;
}

static double pixel_at(const struct image *image, size_t i)
{
  switch (image->type) {
  case PIXEL_U8:
    return ((const uint8_t *)image->data)[i];
  case PIXEL_U16:
    return ((const uint16_t *)image->data)[i];
  default:
    return ((const float *)image->data)[i];
  }
}

/* Image units of another picture to those of this one: value * gain + shift. */
struct units {
  double gain, shift;
};

/* A resized picture onto the model grid; `outside` is the value of what it does not reach. */
static void place(const struct card *card, const struct geometry *g, const struct image *resized, struct units units,
                  double outside, float *u)
{
  int channels = card->channel_count, x0, x1, y0, y1;
  covered(g->offset_x, g->resized_width, g->width, &x0, &x1);
  covered(g->offset_y, g->resized_height, g->height, &y0, &y1);
  for (int y = 0; y < g->height; y++)
    for (int x = 0; x < g->width; x++, u += channels) {
      bool inside = x >= x0 && x < x1 && y >= y0 && y < y1;
      size_t at = inside ? ((size_t)(y - g->offset_y) * resized->width + (x - g->offset_x)) * resized->channels : 0;
      for (int c = 0; c < channels; c++) {
        int from = resized->channels == 1 ? 0 : card->channels == CHANNELS_BGR ? channels - 1 - c : c;
        u[c] = (float)(inside ? pixel_at(resized, at + from) * units.gain + units.shift : outside);
      }
    }
}

/* G: colours, resize, crop or pad. The geometry and the card are already known to fit. */
static bool apply_geometry(const struct card *card, const struct image *image, const struct geometry *g,
                           struct units units, double outside, float *u, struct error *err)
{
  struct image gray = {0}, resized = {0};
  const struct image *now = image;
  bool ok = true;
  if (card->channels == CHANNELS_GRAY && image->channels == 3) {
    ok = image_to_gray(image, &gray, err);
    now = &gray;
  }
  if (ok && (now->width != g->resized_width || now->height != g->resized_height)) {
    ok = image_resize(now, g->resized_width, g->resized_height, card->interpolation, &resized, err);
    now = &resized;
  }
  if (ok)
    place(card, g, now, units, outside, u);
  image_free(&gray);
  image_free(&resized);
  return ok;
}

static bool check_picture(const struct card *card, const struct image *image, struct error *err)
{
  if (card->channels == CHANNELS_UNSET)
    return error_set(err, ERROR_FAILED, "a model of %d channels takes only arrays (.npy [%d, H, W]), not pictures",
                     card->channel_count, card->channel_count);
  if (image->channels != 1 && image->channels != 3)
    return error_set(err, ERROR_FAILED, "a picture of %d channels: 1 or 3 are wanted", image->channels);
  return true;
}

static bool check_array(const struct card *card, const struct image *image, struct error *err)
{
  if (image->channels == card->channel_count && image->height == card->height && image->width == card->width)
    return true;
  return error_set(err, ERROR_FAILED, "an array of [%d, %d, %d]: the model takes [%d, %d, %d]", image->channels,
                   image->height, image->width, card->channel_count, card->height, card->width);
}

static float *grid_alloc(const struct card *card)
{
  size_t count;
  if (!size_mul((size_t)card->height * (size_t)card->width, (size_t)card->channel_count * sizeof(float), &count))
    return NULL;
  return mem_alloc(count);
}

static void copy_array(const struct image *image, float *u)
{
  size_t count = (size_t)image->height * image->width * image->channels;
  for (size_t i = 0; i < count; i++)
    u[i] = (float)pixel_at(image, i);
}

bool preprocess(const struct card *card, const struct image *image, struct input *input, struct error *err)
{
  *input = (struct input){
      .channels = card->channel_count, .lo = image->lo, .hi = image->hi, .preprocessed = image->preprocessed};
  struct geometry *g = &input->geometry;
  if (image->preprocessed) {
    if (!check_array(card, image, err))
      return false;
    *g = (struct geometry){image->width, image->height, image->width, image->height, 0, 0, image->width, image->height};
  } else {
    if (!check_picture(card, image, err) || !find_geometry(card, image->width, image->height, g, err))
      return false;
    if (card->has_range) {
      input->lo = card->range[0];
      input->hi = card->range[1];
    }
    if (!(input->lo < input->hi))
      return error_set(err, ERROR_FAILED, "the picture's black %g is not below its white %g", input->lo, input->hi);
  }
  input->spacing_x = image->spacing_x * g->source_width / g->resized_width;
  input->spacing_y = image->spacing_y * g->source_height / g->resized_height;

  input->u = grid_alloc(card);
  input->x = grid_alloc(card);
  bool ok = input->u && input->x ? true : error_memory(err, "the model's input");
  if (ok && image->preprocessed)
    copy_array(image, input->u);
  else if (ok)
    ok = apply_geometry(card, image, g, (struct units){1, 0}, input->lo, input->u, err);
  if (ok)
    preprocess_values(card, input, input->u, input->x);
  else
    input_free(input);
  return ok;
}

void input_free(struct input *input)
{
  mem_free(input->u);
  mem_free(input->x);
  *input = (struct input){0};
}

bool preprocess_place(const struct card *card, const struct image *image, const struct input *like, float *u,
                      struct error *err)
{
  if (image->preprocessed && !like->preprocessed)
    return error_set(err, ERROR_FAILED, "an array of model values cannot stand in for pixels of a picture");
  if (image->preprocessed) {
    if (!check_array(card, image, err))
      return false;
    copy_array(image, u);
    return true;
  }
  if (like->preprocessed) { /* the grid holds model values, so the picture's are needed */
    struct input other;
    if (!preprocess(card, image, &other, err))
      return false;
    memcpy(u, other.x, (size_t)card->height * card->width * card->channel_count * sizeof *u);
    input_free(&other);
    return true;
  }
  struct geometry g;
  if (!check_picture(card, image, err) || !find_geometry(card, image->width, image->height, &g, err))
    return false;
  struct units units = {1, 0};
  if (!card->has_range && (image->lo != like->lo || image->hi != like->hi)) { /* black to black, white to white */
    if (!(image->lo < image->hi))
      return error_set(err, ERROR_FAILED, "the picture's black %g is not below its white %g", image->lo, image->hi);
    units.gain = (like->hi - like->lo) / (image->hi - image->lo);
    units.shift = like->lo - image->lo * units.gain;
  }
  return apply_geometry(card, image, &g, units, like->lo, u, err);
}

/* 2: V, from image units to the model's values */

float preprocess_value(const struct card *card, const struct input *input, int c, double u)
{
  if (input->preprocessed)
    return (float)u;
  double pixel = (u - input->lo) * 255.0 / (input->hi - input->lo); /* exactly u where the range is 0..255 */
  return (float)((pixel * card->scale - card->mean[c]) / card->std[c]);
}

void preprocess_values(const struct card *card, const struct input *input, const float *u, float *x)
{
  size_t pixels = (size_t)input->geometry.height * input->geometry.width;
  for (size_t i = 0; i < pixels; i++)
    for (int c = 0; c < input->channels; c++, u++, x++)
      *x = preprocess_value(card, input, c, *u);
}

/* 3: maps back and forth */

/* A position between two neighbours: value = a[first] * (1 - part) + a[second] * part. */
struct between {
  int first, second;
  double part;
};

/* `at` is a position in px from the axis' left end; what lies beyond the outermost pixel centres of [first, end)
 * takes their value. */
static struct between interpolate(double at, int first, int end)
{
  double index = at - 0.5;
  if (index <= first)
    return (struct between){first, first, 0};
  if (index >= end - 1)
    return (struct between){end - 1, end - 1, 0};
  double below = floor(index);
  return (struct between){(int)below, (int)below + 1, index - below};
}

static float bilinear(const float *map, int width, struct between y, struct between x)
{
  const float *top = map + (size_t)y.first * width, *bottom = map + (size_t)y.second * width;
  double a = top[x.first] + ((double)top[x.second] - top[x.first]) * x.part;
  double b = bottom[x.first] + ((double)bottom[x.second] - bottom[x.first]) * x.part;
  return (float)(a + (b - a) * y.part);
}

/* Where the centre of source pixel `i` lies on the model's axis, in px from its left end. */
static double source_to_model(int i, int source, int resized, int offset)
{
  return (i + 0.5) * resized / source + offset;
}

/* The source pixels [*first, *end) whose centres lie on the model grid: in whole numbers, so that no rounding moves
 * the edge of the crop. */
static void seen(int source, int resized, int offset, int side, int *first, int *end)
{
  int64_t s = source, r = resized, begin = -2 * s * offset, stop = begin + 2 * s * side;
  /* the centre of pixel i is (2 i + 1) r in units of 1 / (2 s) px */
  int64_t low = begin > r ? (begin - r + 2 * r - 1) / (2 * r) : 0;
  int64_t high = stop > r ? (stop - r + 2 * r - 1) / (2 * r) : 0;
  *first = (int)(low < s ? low : s);
  *end = (int)(high < s ? high : s);
}

void preprocess_to_source(const struct geometry *g, const float *map, float *heat, unsigned char *coverage)
{
  int x0, x1, y0, y1, left, right, top, bottom;
  covered(g->offset_x, g->resized_width, g->width, &x0, &x1);
  covered(g->offset_y, g->resized_height, g->height, &y0, &y1);
  seen(g->source_width, g->resized_width, g->offset_x, g->width, &left, &right);
  seen(g->source_height, g->resized_height, g->offset_y, g->height, &top, &bottom);
  for (int y = 0; y < g->source_height; y++) {
    struct between by = interpolate(source_to_model(y, g->source_height, g->resized_height, g->offset_y), y0, y1);
    for (int x = 0; x < g->source_width; x++, heat++) {
      bool inside = y >= top && y < bottom && x >= left && x < right;
      *heat = 0;
      if (inside)
        *heat = bilinear(map, g->width, by,
                         interpolate(source_to_model(x, g->source_width, g->resized_width, g->offset_x), x0, x1));
      if (coverage)
        *coverage++ = inside;
    }
  }
}

/* The pixel of [first, end) that holds the position. */
static int nearest_pixel(double at, int first, int end)
{
  double i = floor(at);
  return i < first ? first : i >= end ? end - 1 : (int)i;
}

void preprocess_labels_to_source(const struct geometry *g, const int32_t *labels, int32_t *out, int32_t outside)
{
  int x0, x1, y0, y1, left, right, top, bottom;
  covered(g->offset_x, g->resized_width, g->width, &x0, &x1);
  covered(g->offset_y, g->resized_height, g->height, &y0, &y1);
  seen(g->source_width, g->resized_width, g->offset_x, g->width, &left, &right);
  seen(g->source_height, g->resized_height, g->offset_y, g->height, &top, &bottom);
  for (int y = 0; y < g->source_height; y++) {
    int my = nearest_pixel(source_to_model(y, g->source_height, g->resized_height, g->offset_y), y0, y1);
    for (int x = 0; x < g->source_width; x++) {
      bool inside = y >= top && y < bottom && x >= left && x < right;
      int mx = nearest_pixel(source_to_model(x, g->source_width, g->resized_width, g->offset_x), x0, x1);
      *out++ = inside ? labels[(size_t)my * g->width + mx] : outside;
    }
  }
}

/* Where the centre of model pixel `i` lies on the source's axis, in px from its left end. */
static double model_to_source(int i, int source, int resized, int offset)
{
  return (i - offset + 0.5) * source / resized;
}

void preprocess_to_model(const struct geometry *g, const float *source, float *map, bool nearest)
{
  int x0, x1, y0, y1;
  covered(g->offset_x, g->resized_width, g->width, &x0, &x1);
  covered(g->offset_y, g->resized_height, g->height, &y0, &y1);
  for (int y = 0; y < g->height; y++) {
    double at_y = model_to_source(y, g->source_height, g->resized_height, g->offset_y);
    for (int x = 0; x < g->width; x++, map++) {
      double at_x = model_to_source(x, g->source_width, g->resized_width, g->offset_x);
      if (x < x0 || x >= x1 || y < y0 || y >= y1)
        *map = 0;
      else if (nearest)
        *map = source[(size_t)nearest_pixel(at_y, 0, g->source_height) * g->source_width +
                      nearest_pixel(at_x, 0, g->source_width)];
      else
        *map = bilinear(source, g->source_width, interpolate(at_y, 0, g->source_height),
                        interpolate(at_x, 0, g->source_width));
    }
  }
}

/* 4: the record */

static json_t *pair(double a, double b)
{
  return json_pack("[o,o]", json_number_or_null(a), json_number_or_null(b));
}

static json_t *channel_values(const double *values, int count)
{
  json_t *list = json_array();
  for (int c = 0; c < count; c++)
    json_array_append_new(list, json_number_or_null(values[c]));
  return list;
}

json_t *preprocess_json(const struct card *card, const struct input *input)
{
  const struct geometry *g = &input->geometry;
  json_t *size = json_pack("{s:[i,i],s:[i,i],s:b}", "source_size", g->source_height, g->source_width, "size", g->height,
                           g->width, "preprocessed", input->preprocessed);
  if (!size || input->preprocessed)
    return size;
  const char *channels = card_channels_name(card->channels);
  json_t *rest =
      json_pack("{s:s,s:s,s:[i,i],s:[i,i],s:s,s:o,s:f,s:o,s:o,s:o}", "channels", channels, "resize",
                card_resize_name(card->resize), "resized", g->resized_height, g->resized_width, "offset", g->offset_y,
                g->offset_x, "interpolation", card_interpolation_name(card->interpolation), "range",
                pair(input->lo, input->hi), "scale", card->scale, "mean", channel_values(card->mean, input->channels),
                "std", channel_values(card->std, input->channels), "spacing",
                input->spacing_x > 0 && input->spacing_y > 0 ? pair(input->spacing_y, input->spacing_x) : json_null());
  if (!rest || json_object_update(size, rest) != 0) {
    json_decref(size);
    size = NULL;
  }
  json_decref(rest);
  return size;
}
