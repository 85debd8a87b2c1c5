/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/segment.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/threads.h"

#include <math.h>
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
    char *argument =
        named ? arena_strndup(arena, at, length) : arena_printf(arena, "%s=%.*s", kind->argument, (int)length, at);
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
  double lo, gain;          /* code = (u - lo) * gain */
  double black, white;      /* codes */
  double *light, *plain;    /* [CODES] of a code by the sRGB curve, 0..1, and without it */
  int first, second, third; /* channels that are red, green and blue */
};

/* Colours follow from whole numbers, so that a picture keeps its segments when it is stored on another scale. */
static int code_of(const struct colour_job *j, float u)
{
  const double code = ((double)u - j->lo) * j->gain;
  return code <= 0 ? 0 : code >= CODES - 1 ? CODES - 1 : (int)(code + 0.5);
}

/* The curve is that of IEC 61966-2-1. */
static void tabulate_codes(const struct colour_job *j)
{
  for (int i = 0; i < CODES; i++) {
    const double v = j->white > j->black ? fmin(fmax((i - j->black) / (j->white - j->black), 0), 1) : 0;
    j->plain[i] = v;
    j->light[i] = v > 0.04045 ? pow((v + 0.055) / 1.055, 2.4) : v / 12.92;
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
    j->colours->plane[0][i] = (float)(116 * lab_curve(j->light[code_of(j, j->input->u[i * j->input->channels])]) - 16);
}

static void convert_lab(void *context, int64_t begin, int64_t end)
{
  const struct colour_job *j = context;
  for (int64_t i = begin; i < end; i++) {
    const float *u = j->input->u + i * 3;
    const double r = j->light[code_of(j, u[j->first])];
    const double g = j->light[code_of(j, u[j->second])];
    const double b = j->light[code_of(j, u[j->third])];
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
      j->colours->plane[c][i] = (float)(100 * j->plain[code_of(j, j->input->u[i * channels + c])]);
}

/* The value below which the part q of n counted codes lies, between two of them by proportion. */
static double quantile(const int64_t *histogram, int64_t n, double q)
{
  const double at = q * (double)(n - 1);
  const int64_t before = (int64_t)at;
  int64_t seen = 0;
  int code = 0, next;
  while ((seen += histogram[code]) <= before)
    code++;
  for (next = code; next < CODES - 1 && seen <= before + 1; next++)
    seen += histogram[next + 1];
  return code + (next - code) * (at - (double)before);
}

/* Black and white from the percentiles of the picture, padding left out; all codes where it has one value only. */
static bool robust_range(struct colour_job *j, struct error *err)
{
  const struct input *input = j->input;
  const struct geometry *g = &input->geometry;
  const int y0 = g->offset_y > 0 ? g->offset_y : 0, x0 = g->offset_x > 0 ? g->offset_x : 0;
  const int y1 = g->offset_y + g->resized_height < g->height ? g->offset_y + g->resized_height : g->height;
  const int x1 = g->offset_x + g->resized_width < g->width ? g->offset_x + g->resized_width : g->width;
  int64_t *histogram = mem_zero(CODES, sizeof *histogram);
  if (!histogram)
    return error_memory(err, "percentiles");
  for (int64_t y = y0; y < y1; y++)
    for (int64_t i = (y * g->width + x0) * input->channels; i < (y * g->width + x1) * input->channels; i++)
      histogram[code_of(j, input->u[i])]++;
  const int64_t n = (int64_t)(y1 - y0) * (x1 - x0) * input->channels;
  const double low = quantile(histogram, n, 0.005), high = quantile(histogram, n, 0.995);
  if (low < high) {
    j->black = low;
    j->white = high;
  }
  mem_free(histogram);
  return true;
}

/* Least and greatest value, all of which must be finite, and whether the three channels are one. */
static bool survey(const struct input *input, double *least, double *greatest, bool *gray, struct error *err)
{
  const int channels = input->channels;
  const int64_t pixels = (int64_t)input->geometry.height * input->geometry.width;
  *least = INFINITY;
  *greatest = -INFINITY;
  *gray = channels == 1 || channels == 3;
  for (int64_t i = 0; i < pixels; i++) {
    const float *u = input->u + i * channels;
    for (int c = 0; c < channels; c++) {
      if (!isfinite(u[c]))
        return error_set(err, ERROR_FAILED,
                         "segments: the picture's value at [%lld,%lld,%d] is not finite (non-finite)",
                         (long long)(i / input->geometry.width), (long long)(i % input->geometry.width), c);
      *least = (double)u[c] < *least ? (double)u[c] : *least;
      *greatest = (double)u[c] > *greatest ? (double)u[c] : *greatest;
    }
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
  const bool bgr = scene->card->channels == CHANNELS_BGR;
  double lo = input->lo, hi = input->hi, least, greatest;
  bool gray;
  if (!survey(input, &least, &greatest, &gray, err))
    return false;
  if (robust) { /* what the declared range leaves out counts too */
    lo = least < lo ? least : lo;
    hi = greatest > hi ? greatest : hi;
  }
  colours->height = input->geometry.height;
  colours->width = input->geometry.width;
  colours->channels = gray ? 1 : input->channels;
  struct colour_job job = {
      .input = input,
      .colours = colours,
      .lo = lo,
      .gain = hi > lo ? (CODES - 1) / (hi - lo) : 0,
      .white = CODES - 1,
      .first = bgr ? 2 : 0,
      .second = 1,
      .third = bgr ? 0 : 2,
  };
  float *planes = mem_alloc((size_t)pixels * (size_t)colours->channels * sizeof *planes);
  double *tables = mem_alloc(2 * CODES * sizeof *tables);
  bool ok = planes && tables ? !robust || robust_range(&job, err) : error_memory(err, "colours");
  if (ok) {
    job.light = tables;
    job.plain = tables + CODES;
    for (int c = 0; c < colours->channels; c++)
      colours->plane[c] = planes + c * pixels;
    tabulate_codes(&job);
    threads_for(pixels, 1 << 16, gray ? convert_lightness : colours->channels == 3 ? convert_lab : convert_plain, &job);
  } else {
    mem_free(planes);
  }
  mem_free(tables);
  return ok;
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
