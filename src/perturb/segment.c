/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/segment.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/threads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT(name) extern const struct segment_kind segment_##name;
#include "perturb/segments.def"
#undef SEGMENT

static const struct segment_kind *const kinds[] = {
#define SEGMENT(name) &segment_##name,
#include "perturb/segments.def"
#undef SEGMENT
};

enum {
  N_KINDS = sizeof kinds / sizeof *kinds,
  MAX_ARGUMENTS = 16,
  CODES = 65536, /* grey levels that are told apart; 8-bit and 16-bit codes both lie exactly on them */
};

/* ---- what is asked --------------------------------------------------------------------------------------------- */

static const struct segment_kind *kind_named(const char *text, size_t length, struct error *err)
{
  for (int i = 0; i < N_KINDS; i++)
    if (strlen(kinds[i]->name) == length && memcmp(kinds[i]->name, text, length) == 0)
      return kinds[i];
  struct str names;
  str_init(&names, 160);
  for (int i = 0; i < N_KINDS; i++)
    (void)str_printf(&names, "%s%s", i ? ", " : "", kinds[i]->name);
  error_set(err, ERROR_USAGE, "segments: '%.40s' is none of %s", text, names.text ? names.text : "");
  str_free(&names);
  return NULL;
}

/* What follows the colon, as options of the kind; both live in the arena. */
static void *parse_options(const struct segment_kind *kind, const char *text, struct arena *arena, struct error *err)
{
  const char *arguments[MAX_ARGUMENTS + 1] = {NULL};
  const char *colon = strchr(text, ':');
  int n = 0;
  for (const char *at = colon ? colon + 1 : NULL; at; n++) {
    const size_t length = kind->verbatim ? strlen(at) : strcspn(at, ",");
    const bool named = !kind->verbatim && memchr(at, '=', length);
    if (n == MAX_ARGUMENTS) {
      error_set(err, ERROR_USAGE, "segments: '%.40s' has more than %d parameters", text, MAX_ARGUMENTS);
      return NULL;
    }
    if (!named && (n > 0 || !kind->argument)) {
      error_set(err, ERROR_USAGE, "segments: '%.40s': a parameter is wanted as name=value", at);
      return NULL;
    }
    char *argument = named ? arena_strndup(arena, at, length)
                           : arena_printf(arena, "%s=%.*s", kind->argument, (int)length, at);
    if (!argument) {
      error_memory(err, "parameters of segments");
      return NULL;
    }
    arguments[n] = argument;
    at = at[length] ? at + length + 1 : NULL;
  }
  void *options = arena_alloc(arena, kind->options_size);
  if (!options) {
    error_memory(err, "parameters of segments");
    return NULL;
  }
  return params_parse(kind->params, kind->name, arguments, options, err) ? options : NULL;
}

/* ---- colours --------------------------------------------------------------------------------------------------- */

struct colour_job {
  const struct input *input;
  const struct segment_colours *colours;
  double lo, gain;       /* code = (u - lo) * gain */
  const double *linear;  /* [CODES] light of a code by the sRGB curve */
  int first, second, third; /* channels that are red, green and blue */
};

static int code_of(const struct colour_job *j, float u)
{
  const double code = ((double)u - j->lo) * j->gain;
  return code <= 0 ? 0 : code >= CODES - 1 ? CODES - 1 : (int)(code + 0.5);
}

/* IEC 61966-2-1. */
static void tabulate_light(void *context, int64_t begin, int64_t end)
{
  double *linear = context;
  for (int64_t i = begin; i < end; i++) {
    const double v = (double)i / (CODES - 1);
    linear[i] = v > 0.04045 ? pow((v + 0.055) / 1.055, 2.4) : v / 12.92;
  }
}

/* CIE 15, in the decimals that image libraries use. */
static double lab_curve(double t)
{
  return t > 0.008856 ? cbrt(t) : 7.787 * t + 16.0 / 116;
}

static void convert_lightness(void *context, int64_t begin, int64_t end)
{
  const struct colour_job *j = context;
  for (int64_t i = begin; i < end; i++)
    j->colours->plane[0][i] =
      (float)(116 * lab_curve(j->linear[code_of(j, j->input->u[i * j->input->channels])]) - 16);
}

static void convert_lab(void *context, int64_t begin, int64_t end)
{
  const struct colour_job *j = context;
  for (int64_t i = begin; i < end; i++) {
    const float *u = j->input->u + i * 3;
    const double r = j->linear[code_of(j, u[j->first])];
    const double g = j->linear[code_of(j, u[j->second])];
    const double b = j->linear[code_of(j, u[j->third])];
    const double x = lab_curve((0.412453 * r + 0.357580 * g + 0.180423 * b) / 0.95047);
    const double y = lab_curve(0.212671 * r + 0.715160 * g + 0.072169 * b);
    const double z = lab_curve((0.019334 * r + 0.119193 * g + 0.950227 * b) / 1.08883);
    j->colours->plane[0][i] = (float)(116 * y - 16);
    j->colours->plane[1][i] = (float)(500 * (x - y));
    j->colours->plane[2][i] = (float)(200 * (y - z));
  }
}

static void convert_plain(void *context, int64_t begin, int64_t end)
{
  const struct colour_job *j = context;
  const int channels = j->input->channels;
  for (int64_t i = begin; i < end; i++)
    for (int c = 0; c < channels; c++)
      j->colours->plane[c][i] = (float)(100.0 / (CODES - 1) * code_of(j, j->input->u[i * channels + c]));
}

static int compare_floats(const void *a, const void *b)
{
  const float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* The value below which the part q of n sorted values lies, between two by proportion. */
static double quantile(const float *sorted, int64_t n, double q)
{
  const double at = q * (double)(n - 1);
  const int64_t i = (int64_t)at;
  const double next = i + 1 < n ? (double)sorted[i + 1] : (double)sorted[i];
  return (double)sorted[i] + ((double)next - (double)sorted[i]) * (at - (double)i);
}

/* Percentiles of the picture, padding left out; lo..hi stay where the picture has one value only. */
static bool robust_range(const struct input *input, double *lo, double *hi, struct error *err)
{
  const struct geometry *g = &input->geometry;
  const int y0 = g->offset_y > 0 ? g->offset_y : 0, x0 = g->offset_x > 0 ? g->offset_x : 0;
  const int y1 = g->offset_y + g->resized_height < g->height ? g->offset_y + g->resized_height : g->height;
  const int x1 = g->offset_x + g->resized_width < g->width ? g->offset_x + g->resized_width : g->width;
  const size_t row = (size_t)(x1 - x0) * (size_t)input->channels;
  const size_t n = (size_t)(y1 - y0) * row;
  float *values = mem_alloc(n * sizeof *values);
  if (!values)
    return error_memory(err, "percentiles");
  for (int y = y0; y < y1; y++)
    memcpy(values + (size_t)(y - y0) * row, input->u + ((size_t)y * g->width + x0) * input->channels, row * sizeof *values);
  qsort(values, n, sizeof *values, compare_floats);
  const double low = quantile(values, (int64_t)n, 0.005), high = quantile(values, (int64_t)n, 0.995);
  if (low < high) {
    *lo = low;
    *hi = high;
  }
  mem_free(values);
  return true;
}

/* Whether all values are finite, and whether the three channels are one. */
static bool survey(const struct input *input, bool *gray, struct error *err)
{
  const int channels = input->channels;
  const int64_t pixels = (int64_t)input->geometry.height * input->geometry.width;
  *gray = channels == 1 || channels == 3;
  for (int64_t i = 0; i < pixels; i++) {
    const float *u = input->u + i * channels;
    for (int c = 0; c < channels; c++)
      if (!isfinite(u[c]))
        return error_set(err, ERROR_FAILED, "segments: the picture's value at [%lld,%lld,%d] is not finite (non-finite)",
                         (long long)(i / input->geometry.width), (long long)(i % input->geometry.width), c);
    *gray &= u[channels - 1] == u[0] && u[channels / 2] == u[0];
  }
  return true;
}

static void free_colours(struct segment_colours *colours)
{
  mem_free(colours->plane[0]); /* the planes are one block */
}

static bool make_colours(const struct segment_scene *scene, bool robust, struct segment_colours *colours,
                         struct error *err)
{
  const struct input *input = scene->input;
  const int64_t pixels = (int64_t)input->geometry.height * input->geometry.width;
  double lo = input->lo, hi = input->hi;
  bool gray;
  if (!survey(input, &gray, err) || (robust && !robust_range(input, &lo, &hi, err)))
    return false;
  colours->height = input->geometry.height;
  colours->width = input->geometry.width;
  colours->channels = gray ? 1 : input->channels;
  float *planes = mem_alloc((size_t)pixels * (size_t)colours->channels * sizeof *planes);
  double *linear = mem_alloc(CODES * sizeof *linear);
  if (!planes || !linear) {
    mem_free(planes);
    mem_free(linear);
    return error_memory(err, "colours");
  }
  for (int c = 0; c < colours->channels; c++)
    colours->plane[c] = planes + c * pixels;
  const bool bgr = scene->card->channels == CHANNELS_BGR;
  struct colour_job job = {
    .input = input, .colours = colours, .lo = lo, .gain = hi > lo ? (CODES - 1) / (hi - lo) : 0, .linear = linear,
    .first = bgr ? 2 : 0, .second = 1, .third = bgr ? 0 : 2,
  };
  threads_for(CODES, 1024, tabulate_light, linear);
  threads_for(pixels, 4096, gray ? convert_lightness : colours->channels == 3 ? convert_lab : convert_plain, &job);
  mem_free(linear);
  return true;
}

/* ---- segments -------------------------------------------------------------------------------------------------- */

/* Labels below `pixels` to 0..count-1 in the order in which they first appear. */
static bool renumber(int32_t *labels, int64_t pixels, int64_t *count, struct error *err)
{
  int32_t *number = mem_alloc((size_t)pixels * sizeof *number);
  if (!number)
    return error_memory(err, "segments");
  memset(number, -1, (size_t)pixels * sizeof *number);
  int32_t next = 0;
  for (int64_t i = 0; i < pixels; i++) {
    int32_t *n = &number[labels[i]];
    if (*n < 0)
      *n = next++;
    labels[i] = *n;
  }
  mem_free(number);
  *count = next;
  return true;
}

bool segment_image(const char *text, const char *range, const struct segment_scene *scene, int32_t *labels,
                   int64_t *count, struct error *err)
{
  const bool robust = strcmp(range, "robust") == 0;
  if (!robust && strcmp(range, "card") != 0)
    return error_set(err, ERROR_USAGE, "segment-range: '%.40s' is neither card nor robust", range);
  const struct segment_kind *kind = kind_named(text, strcspn(text, ":"), err);
  if (!kind)
    return false;
  struct arena *arena = arena_new(0);
  if (!arena)
    return error_memory(err, "parameters of segments");
  const void *options = parse_options(kind, text, arena, err);
  struct segment_colours colours = {0};
  bool ok = options && (kind->by_place || make_colours(scene, robust, &colours, err)) &&
            kind->cut(scene, kind->by_place ? NULL : &colours, options, labels, err) &&
            renumber(labels, (int64_t)scene->input->geometry.height * scene->input->geometry.width, count, err);
  free_colours(&colours);
  arena_free(arena);
  return ok;
}

json_t *segments_json(void)
{
  json_t *list = json_array();
  for (int i = 0; list && i < N_KINDS; i++) {
    json_t *kind = json_pack("{s:s, s:s, s:s?, s:o}", "name", kinds[i]->name, "summary", kinds[i]->summary, "argument",
                             kinds[i]->argument, "parameters", params_describe(kinds[i]->params));
    if (json_array_append_new(list, kind) != 0) {
      json_decref(list);
      list = NULL;
    }
  }
  return list;
}
