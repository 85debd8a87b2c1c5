/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/fill.h"

#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FILL(name) extern const struct fill_kind fill_##name;
#include "perturb/fills.def"
#undef FILL

static const struct fill_kind *const kinds[] = {
#define FILL(name) &fill_##name,
#include "perturb/fills.def"
#undef FILL
};

enum { N_KINDS = sizeof kinds / sizeof *kinds };

/* A plain number: that value in image units everywhere. In no list, since its name is its value. */
static bool constant_image(const struct fill *fill, uint32_t draw, float *u, struct error *err)
{
  (void)draw;
  (void)err;
  const struct input *input = fill->scene.input;
  const int64_t count = (int64_t)input->geometry.height * input->geometry.width * input->channels;
  for (int64_t i = 0; i < count; i++)
    u[i] = (float)fill->number;
  return true;
}

static const struct fill_kind fill_constant = {
    .name = "constant",
    .summary = "a value in image units",
    .image = constant_image,
};

static const struct fill_kind *kind_named(const char *name, size_t length)
{
  for (int i = 0; i < N_KINDS; i++)
    if (strlen(kinds[i]->name) == length && memcmp(kinds[i]->name, name, length) == 0)
      return kinds[i];
  return NULL;
}

bool fill_known(const char *text, size_t length)
{
  char number[32];
  if (kind_named(text, length))
    return true;
  if (length == 0 || length >= sizeof number)
    return false;
  memcpy(number, text, length);
  number[length] = '\0';
  double ignored;
  return str_number(number, &ignored);
}

static bool unknown(const char *text, struct error *err)
{
  struct str names;
  str_init(&names, 160);
  for (int i = 0; i < N_KINDS; i++)
    str_printf(&names, "%s%s", i ? ", " : "", kinds[i]->name);
  error_set(err, ERROR_USAGE, "fill: '%.40s' is none of %s, and no number", text, names.text ? names.text : "");
  str_free(&names);
  return false;
}

bool fill_open(struct fill *fill, const char *text, const struct fill_scene *scene, struct error *err)
{
  const char *colon = strchr(text, ':');
  *fill = (struct fill){.scene = *scene};
  fill->kind = kind_named(text, colon ? (size_t)(colon - text) : strlen(text));
  if (!fill->kind) {
    if (!str_number(text, &fill->number))
      return unknown(text, err);
    fill->kind = &fill_constant;
  } else if (colon && !fill->kind->argument) {
    return error_set(err, ERROR_USAGE, "fill: '%s' takes no argument (':%.40s')", fill->kind->name, colon + 1);
  }
  fill->text = mem_strdup(text);
  if (!fill->text)
    return error_memory(err, "a fill");
  if (fill->kind->open && !fill->kind->open(fill, colon ? colon + 1 : NULL, err)) {
    fill_close(fill);
    return false;
  }
  return true;
}

void fill_close(struct fill *fill)
{
  if (fill->kind && fill->kind->close)
    fill->kind->close(fill);
  mem_free(fill->text);
  *fill = (struct fill){0};
}

static size_t values_of(const struct fill *fill)
{
  const struct input *input = fill->scene.input;
  return (size_t)input->geometry.height * (size_t)input->geometry.width * (size_t)input->channels;
}

bool fill_values(const struct fill *fill, uint32_t draw, float *x, struct error *err)
{
  if (fill->kind->needs_region)
    return error_set(err, ERROR_USAGE,
                     "fill: '%s' is made from the rim of a region and cannot fill a whole image (fill-unavailable)",
                     fill->kind->name);
  float *u = mem_alloc(values_of(fill) * sizeof *u);
  if (!u)
    return error_memory(err, "a fill");
  const bool ok = fill->kind->image(fill, draw, u, err);
  if (ok)
    preprocess_values(fill->scene.card, fill->scene.input, u, x);
  mem_free(u);
  return ok;
}

bool fill_hidden(const struct fill *fill, uint32_t draw, const unsigned char *hidden, float *x, struct error *err)
{
  const struct input *input = fill->scene.input;
  const size_t n = values_of(fill), c = (size_t)input->channels;
  float *u = mem_alloc(2 * n * sizeof *u), *filled = u ? u + n : NULL;
  if (!u)
    return error_memory(err, "a fill");
  memcpy(u, input->u, n * sizeof *u);
  bool ok;
  if (fill->kind->needs_region) {
    ok = fill->kind->region(fill, draw, hidden, u, err);
  } else {
    ok = fill->kind->image(fill, draw, filled, err);
    for (size_t i = 0; ok && i < n / c; i++)
      if (hidden[i])
        memcpy(u + i * c, filled + i * c, c * sizeof *u);
  }
  if (ok) {
    preprocess_values(fill->scene.card, input, u, x);
    for (size_t i = 0; i < n / c; i++) /* what is kept stays as it was, to the bit */
      if (!hidden[i])
        memcpy(x + i * c, input->x + i * c, c * sizeof *x);
  }
  mem_free(u);
  return ok;
}

int fill_draws(const struct fill *fill, int64_t wanted)
{
  return fill->kind->random ? (int)wanted : 1;
}

const char *fill_note_sentence(const char *note)
{
  return strcmp(note, "fill-aspect") == 0
             ? "the fill's picture has another aspect ratio: it is stretched or cut in another way than the image"
             : "the card gives no data-set mean: the mean of this image is the fill";
}

json_t *fills_json(void)
{
  json_t *list = json_array();
  for (int i = 0; i < N_KINDS; i++)
    json_array_append_new(list, json_pack("{s:s, s:s, s:s?, s:b, s:b}", "name", kinds[i]->name, "summary",
                                          kinds[i]->summary, "argument", kinds[i]->argument, "random", kinds[i]->random,
                                          "region", kinds[i]->needs_region));
  return list;
}

/* ---- what several kinds share ---------------------------------------------------------------------------------- */

void fill_per_channel(const struct fill *fill, const double *value, float *u)
{
  const struct input *input = fill->scene.input;
  const int64_t pixels = (int64_t)input->geometry.height * input->geometry.width;
  for (int64_t i = 0; i < pixels; i++)
    for (int c = 0; c < input->channels; c++)
      u[i * input->channels + c] = (float)value[c];
}

bool scene_dataset_mean(const struct fill *fill, double *mean)
{
  const struct card *card = fill->scene.card;
  const struct input *input = fill->scene.input;
  bool all_zero = true;
  for (int c = 0; c < input->channels; c++)
    all_zero &= card->mean_count == 0 || card->mean[c] == 0;
  const double *range = card->has_range ? card->range : (const double[]){input->lo, input->hi};
  for (int c = 0; c < input->channels; c++) {
    if (card->dataset_mean_count > 0)
      mean[c] = card->dataset_mean[c];
    else if (!all_zero && card->scale != 0) /* value = (pixel * scale - mean) / std, pixel = 0..255 over the range */
      mean[c] = range[0] + card->mean[c] / card->scale / 255 * (range[1] - range[0]);
    else
      return false;
  }
  return true;
}

void scene_image_mean(const struct fill *fill, double *mean)
{
  const struct input *input = fill->scene.input;
  const struct geometry *g = &input->geometry;
  /* Padding is no part of the picture. */
  const int y0 = g->offset_y > 0 ? g->offset_y : 0, x0 = g->offset_x > 0 ? g->offset_x : 0;
  const int y1 = g->offset_y > 0 && y0 + g->resized_height < g->height ? y0 + g->resized_height : g->height;
  const int x1 = g->offset_x > 0 && x0 + g->resized_width < g->width ? x0 + g->resized_width : g->width;
  for (int c = 0; c < input->channels; c++) {
    double sum = 0;
    for (int y = y0; y < y1; y++)
      for (int x = x0; x < x1; x++)
        sum += (double)input->u[((int64_t)y * g->width + x) * input->channels + c];
    mean[c] = sum / ((double)(y1 - y0) * (x1 - x0));
  }
}

bool fill_number(const char *argument, const char *name, double least, double most, double *out, struct error *err)
{
  if (!str_number(argument, out) || *out < least || *out > most)
    return error_set(err, ERROR_USAGE, "fill: '%s:%.40s' is outside %s:%g..%g", name, argument, name, least, most);
  return true;
}
