/* SPDX-License-Identifier: Apache-2.0 */
/* SLIC: Achanta, Shaji, Smith, Lucchi, Fua & Suesstrunk, "SLIC superpixels compared to state-of-the-art superpixel
 * methods", IEEE TPAMI 34(11), 2012.
 *
 * k-means of (colour, place) from centres on a grid of step S:  D^2 = (d_colour / compactness)^2 + (d_place / S)^2.
 * A centre sees pixels at most two grid steps away. As the centres have no colour yet, the first round goes by place
 * alone. Then pieces that are not connected are told apart, and those below half the mean size are merged into a
 * neighbour. Changed: ten rounds always; no centre is moved to the lowest gradient at the start. */
#include "base/mem.h"
#include "base/threads.h"
#include "perturb/segment.h"
#include "tensor/simd.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

enum {
  ROUNDS = 10,
  PART = 1 << 18, /* px a thread takes at least: a round of fewer is over before another has begun */
};

struct options {
  int64_t n;
  double compactness;
};

static const struct param params[] = {
  {"n", PARAM_INT, offsetof(struct options, n), "100", 1, 1 << 20, NULL, NULL, NULL,
   "number of superpixels aimed at"},
  {"compactness", PARAM_FLOAT, offsetof(struct options, compactness), "10", 1e-3, 1e6, NULL, NULL, NULL,
   "weight of place against colour; greater values give squarer superpixels"},
  PARAM_END,
};

struct centre {
  double y, x, colour[CARD_MAX_CHANNELS];
  int64_t size; /* px; 0: it has lost them all and takes no further part */
};

struct clusters {
  int height, width, channels;
  const float *plane[CARD_MAX_CHANNELS]; /* colour / compactness */
  struct centre *centre;
  int64_t count;
  int step_y, step_x;
  float place;     /* 1 / S^2 */
  bool colourless; /* the first round */
  float *nearest;  /* [height, width] D^2 of the label */
  int32_t *labels;
};

/* ---- grid ------------------------------------------------------------------------------------------------------ */

struct axis {
  int start, step;
};

static struct axis axis_of(double step)
{
  return (struct axis){(int)floor(step / 2), (int)fmax(1, nearbyint(step))};
}

static int64_t axis_count(const struct axis *axis, int side)
{
  return (side - axis->start + axis->step - 1) / axis->step;
}

/* About n points at equal distances; one line of them where the picture is too narrow for two. */
static void lay_grid(int height, int width, int64_t n, struct axis *y, struct axis *x)
{
  const double pixels = (double)height * width, step = sqrt(pixels / (double)n);
  const int narrow = height < width ? height : width, wide = height < width ? width : height;
  struct axis across = axis_of(step), along = across;
  if (pixels <= (double)n) {
    across = along = (struct axis){0, 1};
  } else if (narrow < step) {
    across = axis_of(narrow);
    along = axis_of((double)wide / (double)n);
  }
  *y = height < width ? across : along;
  *x = height < width ? along : across;
}

static bool place_centres(struct clusters *s, int64_t n, struct error *err)
{
  struct axis y, x;
  lay_grid(s->height, s->width, n, &y, &x);
  const int64_t rows = axis_count(&y, s->height), columns = axis_count(&x, s->width);
  s->count = rows * columns;
  s->centre = mem_zero((size_t)s->count, sizeof *s->centre);
  if (!s->centre)
    return error_memory(err, "superpixels");
  for (int64_t i = 0; i < s->count; i++) {
    s->centre[i].y = (double)(y.start + i / columns * y.step);
    s->centre[i].x = (double)(x.start + i % columns * x.step);
    s->centre[i].size = 1;
  }
  const int step = y.step > x.step ? y.step : x.step;
  s->place = (float)(1.0 / ((double)step * step));
  /* Centres are fewer than n where the grid does not fit, and then see a little farther. */
  lay_grid(s->height, s->width, s->count, &y, &x);
  s->step_y = y.step;
  s->step_x = x.step;
  return true;
}

/* ---- k-means --------------------------------------------------------------------------------------------------- */

/* Pixels x0.. of a row: those nearer to a centre than to any before it become its own. */
static inline __attribute__((always_inline)) void claim_of(float *restrict nearest, int32_t *restrict labels,
                                                           const float *const *p, const float *colour, int channels,
                                                           int x0, int n, float cx, float dy2, float place,
                                                           int32_t label)
{
  const float *const p_[CARD_MAX_CHANNELS] = {p[0], p[1], p[2], p[3]};
  for (int i = 0; i < n; i++) {
    const float dx = (float)(x0 + i) - cx, best = nearest[i];
    float d = (dy2 + dx * dx) * place;
    for (int c = 0; c < channels; c++) {
      const float t = p_[c][i] - colour[c];
      d += t * t;
    }
    const bool better = d < best;
    nearest[i] = better ? d : best;
    labels[i] = better ? label : labels[i];
  }
}

SIMD_CLONES static void claim(float *restrict nearest, int32_t *restrict labels, const float *const *p,
                              const float *colour, int channels, int x0, int n, float cx, float dy2, float place,
                              int32_t label)
{
  if (channels == 0)
    claim_of(nearest, labels, p, colour, 0, x0, n, cx, dy2, place, label);
  else if (channels == 1)
    claim_of(nearest, labels, p, colour, 1, x0, n, cx, dy2, place, label);
  else if (channels == 2)
    claim_of(nearest, labels, p, colour, 2, x0, n, cx, dy2, place, label);
  else if (channels == 3)
    claim_of(nearest, labels, p, colour, 3, x0, n, cx, dy2, place, label);
  else
    claim_of(nearest, labels, p, colour, 4, x0, n, cx, dy2, place, label);
}

/* The part [*begin, *end) of an axis that a centre sees. */
static void window(double centre, int step, int side, int64_t *begin, int64_t *end)
{
  *begin = (int64_t)fmax(centre - 2.0 * step, 0);
  *end = (int64_t)fmin(centre + 2.0 * step + 1, side);
}

/* Rows [begin, end): pixels that no centre sees keep the label they had. */
static void assign(void *context, int64_t begin, int64_t end)
{
  const struct clusters *s = context;
  for (int64_t i = begin * s->width; i < end * s->width; i++)
    s->nearest[i] = FLT_MAX;
  for (int64_t k = 0; k < s->count; k++) {
    const struct centre *centre = &s->centre[k];
    int64_t y0, y1, x0, x1;
    window(centre->y, s->step_y, s->height, &y0, &y1);
    window(centre->x, s->step_x, s->width, &x0, &x1);
    y0 = y0 > begin ? y0 : begin;
    y1 = y1 < end ? y1 : end;
    if (centre->size == 0)
      continue;
    float colour[CARD_MAX_CHANNELS];
    for (int c = 0; c < CARD_MAX_CHANNELS; c++)
      colour[c] = (float)centre->colour[c];
    for (int64_t y = y0; y < y1; y++) {
      const int64_t at = y * s->width + x0;
      const float *p[CARD_MAX_CHANNELS];
      for (int c = 0; c < CARD_MAX_CHANNELS; c++)
        p[c] = s->plane[c < s->channels ? c : 0] + at;
      const double dy = (double)y - centre->y;
      claim(s->nearest + at, s->labels + at, p, colour, s->colourless ? 0 : s->channels, (int)x0, (int)(x1 - x0),
            (float)centre->x, (float)(dy * dy), s->place, (int32_t)k);
    }
  }
}

/* Centres become the means of their pixels, summed row by row. */
static void move_centres(struct clusters *s)
{
  memset(s->centre, 0, (size_t)s->count * sizeof *s->centre);
  for (int64_t y = 0; y < s->height; y++) {
    const int32_t *labels = s->labels + y * s->width;
    for (int64_t x = 0, end; x < s->width; x = end) {
      struct centre *centre = &s->centre[labels[x]];
      for (end = x + 1; end < s->width && labels[end] == labels[x]; end++)
        ;
      centre->size += end - x;
      centre->y += (double)(y * (end - x));
      centre->x += (double)((x + end - 1) * (end - x)) / 2;
      for (int c = 0; c < s->channels; c++) {
        double sum = 0;
        for (int64_t i = x; i < end; i++)
          sum += (double)s->plane[c][y * s->width + i];
        centre->colour[c] += sum;
      }
    }
  }
  for (int64_t k = 0; k < s->count; k++) {
    struct centre *centre = &s->centre[k];
    if (centre->size == 0)
      continue;
    const double size = (double)centre->size;
    centre->y /= size;
    centre->x /= size;
    for (int c = 0; c < s->channels; c++)
      centre->colour[c] /= size;
  }
}

/* ---- connectivity ---------------------------------------------------------------------------------------------- */

/* The connected piece of one label around pixel `seed` gets the number `own` and is listed in `queue`. *neighbour
 * becomes the number of a piece beside it that was numbered before, the last one met; unchanged if there is none. */
static int64_t flood(const int32_t *labels, int height, int width, int64_t seed, int32_t own, int32_t *pieces,
                     int32_t *queue, int32_t *neighbour)
{
  int64_t size = 1;
  pieces[seed] = own;
  queue[0] = (int32_t)seed;
  for (int64_t done = 0; done < size; done++) {
    const int32_t at = queue[done];
    const int x = at % width, y = at / width;
    const bool inside[4] = {x + 1 < width, x > 0, y + 1 < height, y > 0};
    const int32_t beside[4] = {at + 1, at - 1, at + width, at - width};
    for (int i = 0; i < 4; i++) {
      if (!inside[i])
        continue;
      const int32_t next = beside[i];
      if (pieces[next] < 0 && labels[next] == labels[seed]) {
        pieces[next] = own;
        queue[size++] = next;
      } else if (pieces[next] >= 0 && pieces[next] != own) {
        *neighbour = pieces[next];
      }
    }
  }
  return size;
}

/* Labels become connected pieces; those smaller than `least` px join a neighbour. */
static bool connect(int32_t *labels, int height, int width, int64_t least, struct error *err)
{
  const int64_t pixels = (int64_t)height * width;
  int32_t *pieces = mem_alloc((size_t)pixels * sizeof *pieces), *queue = mem_alloc((size_t)pixels * sizeof *queue);
  if (!pieces || !queue) {
    mem_free(pieces);
    mem_free(queue);
    return error_memory(err, "superpixels");
  }
  memset(pieces, -1, (size_t)pixels * sizeof *pieces);
  int32_t next = 0;
  for (int64_t i = 0; i < pixels; i++) {
    if (pieces[i] >= 0)
      continue;
    int32_t neighbour = next;
    const int64_t size = flood(labels, height, width, i, next, pieces, queue, &neighbour);
    for (int64_t k = 0; size < least && k < size; k++)
      pieces[queue[k]] = neighbour;
    next += size >= least;
  }
  memcpy(labels, pieces, (size_t)pixels * sizeof *labels);
  mem_free(pieces);
  mem_free(queue);
  return true;
}

/* ---- all of it ------------------------------------------------------------------------------------------------- */

static bool cut(const struct segment_scene *scene, const struct segment_colours *colours, const void *options,
                int32_t *labels, struct error *err)
{
  const struct options *o = options;
  const size_t pixels = (size_t)colours->height * (size_t)colours->width;
  struct clusters s = {
    .height = colours->height, .width = colours->width, .channels = colours->channels, .labels = labels,
  };
  (void)scene;
  float *planes = mem_alloc(pixels * (size_t)s.channels * sizeof *planes);
  s.nearest = mem_alloc(pixels * sizeof *s.nearest);
  bool ok = planes && s.nearest ? place_centres(&s, o->n, err) : error_memory(err, "superpixels");
  if (ok) {
    for (int c = 0; c < s.channels; c++) {
      float *plane = planes + (size_t)c * pixels;
      for (size_t i = 0; i < pixels; i++)
        plane[i] = (float)((double)colours->plane[c][i] / o->compactness);
      s.plane[c] = plane;
    }
    memset(labels, 0, pixels * sizeof *labels);
    for (int i = 0; i < ROUNDS; i++) {
      s.colourless = i == 0;
      threads_for(s.height, (PART + s.width - 1) / s.width, assign, &s);
      if (i + 1 < ROUNDS)
        move_centres(&s);
    }
    ok = connect(labels, s.height, s.width, (int64_t)(pixels / 2 / (size_t)s.count), err);
  }
  mem_free(planes);
  mem_free(s.nearest);
  mem_free(s.centre);
  return ok;
}

const struct segment_kind segment_slic = {
  .name = "slic", .summary = "compact superpixels of about equal size, by k-means from a grid", .argument = "n",
  .params = params, .options_size = sizeof(struct options), .cut = cut,
};
