/* SPDX-License-Identifier: Apache-2.0 */
/* RISE: Petsiuk, Das & Saenko, "Randomized input sampling for explanation of black-box models", BMVC 2018.
 *
 * A mask is a grid of s x s cells, each kept with probability p, enlarged bilinearly to (s+1) cells of ceil(side/s) px
 * a side and cropped at a uniform offset within one cell:
 *
 *     +--+--+--+--+      enlarged grid, (s+1) ceil(H/s) high
 *     | .-----------.
 *     +-|+  image  +|    the crop moves by less than a cell, so that
 *     | |          ||    no pixel is tied to a cell's centre
 *     +-'-----------'
 *
 * The paper's map, mean of f_i M_i / p, carries the mean score everywhere. The map here is the slope of the score over
 * the mask, pixel by pixel: from hidden to kept, signed, in units of the score:
 *   A = sum (f_i - f)(M_i - M) / sum (M_i - M)^2        (f, M: means)
 *   stderr = sqrt(sum (e_i (M_i - M))^2) / sum (M_i - M)^2,   e_i = f_i - f - A (M_i - M)
 * from running moments: masks are made row by row when they are used and never stored. `raw` gives the paper's map. */
#include "methods/method.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/threads.h"
#include "methods/artifact_share.h"
#include "methods/stopping.h"
#include "methods/warnings.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum {
  MOST_CELLS = 64,
  BLOCK = 16,    /* masks whose moments are added together, while rows are in cache */
  TOLERANT = 16, /* times the default samples, as far as a tolerance may take a run */
  SAMPLES = 4000,
  PART = 8192, /* pixels that are worth a thread */
};

struct options {
  int64_t samples, cells;
  double keep_prob;
  const char *fill;
  int64_t draws;
  bool raw;
  const char *tolerance;
};

static const struct param params[] = {
    {"samples", PARAM_INT, offsetof(struct options, samples), "auto", 100, 10000000, NULL, NULL, "4000",
     "masks; auto: 4000"},
    {"cells", PARAM_INT, offsetof(struct options, cells), "7", 2, MOST_CELLS, NULL, NULL, NULL,
     "cells of a mask along each side"},
    {"keep-prob", PARAM_FLOAT, offsetof(struct options, keep_prob), "0.5", 0.05, 0.95, NULL, NULL, NULL,
     "probability of a cell to be kept"},
    {"fill", PARAM_TEXT, offsetof(struct options, fill), "mean", 0, 0, NULL, NULL, "zero",
     "what hidden pixels become; see the list of fills"},
    {"draws", PARAM_INT, offsetof(struct options, draws), "10", 1, 1000, NULL, NULL, NULL,
     "draws of a random fill that masks take in turn"},
    {"raw", PARAM_BOOL, offsetof(struct options, raw), "off", 0, 0, NULL, NULL, "on",
     "the paper's map, which is not centred"},
    {"tolerance", PARAM_TEXT, offsetof(struct options, tolerance), "", 0, 0, NULL, NULL, NULL,
     "stop when the largest standard error is this part of the largest value; stable:K: when the K strongest cells are "
     "apart"},
    PARAM_END,
};

/* ---- masks ----------------------------------------------------------------------------------------------------- */

/* A pixel of the enlarged grid lies between two cells. */
struct between {
  int low, high;
  float share; /* of `high` */
};

/* One axis of n px. */
struct axis {
  int n, cell, cells;
  struct between *at; /* [(cells+1) * cell] */
};

/* Pixel centres to cell centres, mirrored beyond the outermost ones. */
static bool axis_open(struct axis *a, int n, int cells, struct error *err)
{
  a->n = n;
  a->cells = cells;
  a->cell = (n + cells - 1) / cells;
  const int length = (cells + 1) * a->cell;
  a->at = mem_zero((size_t)length, sizeof *a->at);
  if (!a->at)
    return error_memory(err, "masks");
  for (int i = 0; i < length; i++) {
    double x = fabs((i + 0.5) * cells / length - 0.5);
    if (x > cells - 1)
      x = 2 * (cells - 1) - x;
    const int low = (int)x < cells - 1 ? (int)x : cells - 2;
    a->at[i] = (struct between){low, low + 1, (float)(x - low)};
  }
  return true;
}

struct grid {
  int y, x;                            /* offset of the crop, px */
  float keep[MOST_CELLS * MOST_CELLS]; /* [cells, cells] 0 or 1 */
};

static void draw_grid(const struct axis *y, const struct axis *x, uint64_t seed, uint32_t sample, double keep,
                      struct grid *grid)
{
  const int cells = y->cells * x->cells;
  for (int i = 0; i < cells; i++)
    grid->keep[i] = rng_uniform(seed, RNG_MASK, sample, (uint64_t)i) < keep;
  grid->y = (int)rng_below(seed, RNG_MASK, sample, (uint64_t)cells, (uint32_t)y->cell);
  grid->x = (int)rng_below(seed, RNG_MASK, sample, (uint64_t)cells + 1, (uint32_t)x->cell);
}

/* Row `row` of the mask, [x->n]. */
static void mask_row(const struct axis *y, const struct axis *x, const struct grid *grid, int row, float *mask)
{
  const struct between *v = &y->at[row + grid->y], *h = &x->at[grid->x];
  const float *low = grid->keep + v->low * x->cells, *high = grid->keep + v->high * x->cells;
  float line[MOST_CELLS] = {0};
  for (int i = 0; i < x->cells; i++)
    line[i] = low[i] + (high[i] - low[i]) * v->share;
  for (int i = 0; i < x->n; i++)
    mask[i] = line[h[i].low] + (line[h[i].high] - line[h[i].low]) * h[i].share;
}

/* ---- moments --------------------------------------------------------------------------------------------------- */

/* Sums over masks at a pixel, with b = M - p and a = f - f(image): near their means, so that centring loses nothing. */
enum moment { B, BB, BBB, BBBB, AB, ABB, ABBB, AAB, AABB, MOMENTS };

struct rise {
  const struct explain *explain;
  const struct options *options;
  struct explanation *out;
  struct evaluator *evaluator;
  struct fill fill;
  int64_t draws;
  float *fills; /* [draws,H,W,C] */
  bool *filled; /* [draws] */
  struct axis y, x;
  struct stopping stopping;
  struct artifact_share share;
  int64_t samples;
  int64_t *targets, n_targets;

  struct grid *block;   /* [BLOCK] of the masks whose scores are in */
  double *block_scores; /* [BLOCK, targets] less origin */
  int in_block;
  double *origin;  /* [targets] */
  double *moments; /* [H, MOMENTS, W] of the shown target */
  double *others;  /* [targets, H, W] sums of a b, where all targets are wanted */
  double *sum;     /* [targets] of a */
  double square;   /* of a, shown target */
  int64_t shown;   /* place of the shown target */
  int64_t n;       /* masks in the moments */
  float *rows;     /* [H, W] scratch: a mask row for each row of pixels */
};

static void add_pixels(const float *mask, double a, double p, int width, double *m)
{
  double *b1 = m + B * width, *b2 = m + BB * width, *b3 = m + BBB * width, *b4 = m + BBBB * width;
  double *ab = m + AB * width, *abb = m + ABB * width, *abbb = m + ABBB * width;
  double *aab = m + AAB * width, *aabb = m + AABB * width;
  for (int i = 0; i < width; i++) {
    const double b = (double)mask[i] - p, bb = b * b, t = a * b;
    b1[i] += b;
    b2[i] += bb;
    b3[i] += b * bb;
    b4[i] += bb * bb;
    ab[i] += t;
    abb[i] += t * b;
    abbb[i] += t * bb;
    aab[i] += a * t;
    aabb[i] += t * t;
  }
}

/* The block's masks into the moments of rows begin..end-1, in their order. */
static void add_rows(void *context, int64_t begin, int64_t end)
{
  struct rise *r = context;
  const int width = r->x.n, height = r->y.n;
  for (int64_t y = begin; y < end; y++)
    for (int k = 0; k < r->in_block; k++) {
      float *mask = r->rows + y * width;
      const double *scores = r->block_scores + k * r->n_targets;
      mask_row(&r->y, &r->x, &r->block[k], (int)y, mask);
      add_pixels(mask, scores[r->shown], r->options->keep_prob, width, r->moments + y * MOMENTS * width);
      for (int64_t t = 0; r->others && t < r->n_targets; t++) {
        double *to = r->others + (t * height + y) * width;
        const double a = scores[t];
        for (int i = 0; i < width; i++)
          to[i] += a * ((double)mask[i] - r->options->keep_prob);
      }
    }
}

static void flush(struct rise *r)
{
  threads_for(r->y.n, 1 + PART / r->x.n, add_rows, r);
  for (int k = 0; k < r->in_block; k++) {
    const double *a = r->block_scores + k * r->n_targets;
    for (int64_t t = 0; t < r->n_targets; t++)
      r->sum[t] += a[t];
    r->square += a[r->shown] * a[r->shown];
  }
  r->n += r->in_block;
  r->in_block = 0;
}

/* Value and standard error at one pixel from sums of the shown target. */
static void estimate(const struct rise *r, const double *m, double *value, double *error)
{
  const double n = (double)r->n;
  const double f = r->sum[r->shown] / n, b = m[B] / n; /* means */
  if (r->options->raw) {
    /* mean of f M / p with f = origin + a, M = p + b, and the standard error of that mean */
    const double p = r->options->keep_prob, o = r->origin[r->shown];
    const double mean = o * p + o * b + p * f + m[AB] / n;
    const double mm = p * p * n + 2 * p * m[B] + m[BB];
    const double amm = p * p * r->sum[r->shown] + 2 * p * m[AB] + m[ABB];
    const double aamm = p * p * r->square + 2 * p * m[AAB] + m[AABB];
    const double second = (o * o * mm + 2 * o * amm + aamm) / n;
    *value = mean / p;
    *error = n > 1 ? sqrt(fmax(second - mean * mean, 0) / (n - 1)) / p : NAN;
    return;
  }
  const double sxx = m[BB] - n * b * b;
  const double sxy = m[AB] - n * f * b;
  if (!(sxx > 0)) {
    *value = 0;
    *error = n > 1 ? 0 : NAN;
    return;
  }
  const double slope = sxy / sxx;
  /* With u = b - mean, v = a - mean: sum (v - slope u)^2 u^2 = V2U2 - 2 slope VU3 + slope^2 U4. */
  const double u3 = m[BBB] - 3 * b * m[BB] + 2 * n * b * b * b;
  const double u4 = m[BBBB] - 4 * b * m[BBB] + 6 * b * b * m[BB] - 3 * n * b * b * b * b;
  const double au3 = m[ABBB] - 3 * b * m[ABB] + 3 * b * b * m[AB] - b * b * b * r->sum[r->shown];
  const double vu3 = au3 - f * u3;
  const double au2 = m[ABB] - 2 * b * m[AB] + b * b * r->sum[r->shown];
  const double aau2 = m[AABB] - 2 * b * m[AAB] + b * b * r->square;
  const double v2u2 = aau2 - 2 * f * au2 + f * f * sxx;
  *value = slope;
  *error = sqrt(fmax(v2u2 - 2 * slope * vu3 + slope * slope * u4, 0)) / sxx;
}

static void estimate_at(const struct rise *r, int y, int x, double *value, double *error)
{
  double m[MOMENTS];
  for (int k = 0; k < MOMENTS; k++)
    m[k] = r->moments[((int64_t)y * MOMENTS + k) * r->x.n + x];
  estimate(r, m, value, error);
}

/* ---- passes ---------------------------------------------------------------------------------------------------- */

static bool propose(void *context, int64_t i, struct perturbation *p, struct error *err)
{
  struct rise *r = context;
  const struct input *input = r->explain->input;
  const size_t values = (size_t)r->y.n * (size_t)r->x.n * (size_t)input->channels;
  const int64_t draw = i % r->draws;
  float *fill = r->fills + (size_t)draw * values;
  struct grid grid;
  if (!r->filled[draw] && !(r->filled[draw] = fill_values(&r->fill, (uint32_t)draw, fill, err)))
    return false;
  draw_grid(&r->y, &r->x, r->explain->seed, (uint32_t)i, r->options->keep_prob, &grid);
  p->kind = PERTURB_MASK;
  p->fill = fill;
  for (int y = 0; y < r->y.n; y++)
    mask_row(&r->y, &r->x, &grid, y, p->mask + (size_t)y * (size_t)r->x.n);
  return true;
}

static int64_t trial_target(void *context, const float *scores)
{
  const struct rise *r = context;
  return explain_one_target(r->explain, scores);
}

/* For the check of bfloat16: its first masks, with other cells. */
static bool trial_propose(void *context, const unsigned char *keep, int64_t draw, struct perturbation *p,
                          struct error *err)
{
  struct rise *r = context;
  struct grid grid;
  if (!propose(r, draw, p, err))
    return false;
  draw_grid(&r->y, &r->x, r->explain->seed, (uint32_t)draw, r->options->keep_prob, &grid);
  for (int i = 0; i < r->y.cells * r->x.cells; i++)
    grid.keep[i] = keep[i];
  for (int y = 0; y < r->y.n; y++)
    mask_row(&r->y, &r->x, &grid, y, p->mask + (size_t)y * (size_t)r->x.n);
  return true;
}

/* Whether the map is known well enough: pixel by pixel, or by the pixels at the centres of cells. */
static bool is_known(const struct rise *r, struct error *err, bool *known)
{
  const bool by_cell = r->stopping.leading > 0;
  const int64_t height = by_cell ? r->y.cells : r->y.n, width = by_cell ? r->x.cells : r->x.n;
  double *value = mem_zero(2 * (size_t)(height * width), sizeof *value);
  if (!value)
    return error_memory(err, "the map");
  double *error = value + height * width;
  for (int64_t y = 0; y < height; y++)
    for (int64_t x = 0; x < width; x++) {
      const int row = by_cell ? (int)((2 * y + 1) * r->y.n / (2 * height)) : (int)y;
      const int column = by_cell ? (int)((2 * x + 1) * r->x.n / (2 * width)) : (int)x;
      estimate_at(r, row, column, &value[y * width + x], &error[y * width + x]);
    }
  *known = stopping_reached(&r->stopping, value, error, height * width);
  mem_free(value);
  return true;
}

static bool result(void *context, int64_t i, const float *scores, const float *activations, bool *stop,
                   struct error *err)
{
  struct rise *r = context;
  (void)activations;
  artifact_share_take(&r->share, scores);
  draw_grid(&r->y, &r->x, r->explain->seed, (uint32_t)i, r->options->keep_prob, &r->block[r->in_block]);
  for (int64_t t = 0; t < r->n_targets; t++)
    r->block_scores[r->in_block * r->n_targets + t] = (double)scores[r->targets[t]] - r->origin[t];
  if (++r->in_block == BLOCK)
    flush(r);
  if (!stopping_due(&r->stopping, i + 1))
    return true;
  flush(r);
  return is_known(r, err, stop);
}

static void preview(void *context, float *map)
{
  struct rise *r = context;
  double error, value;
  for (int y = 0; r->n > 1 && y < r->y.n; y++)
    for (int x = 0; x < r->x.n; x++) {
      estimate_at(r, y, x, &value, &error);
      map[y * r->x.n + x] = (float)value;
    }
}

/* ---- results --------------------------------------------------------------------------------------------------- */

/* Map of another target, whose own error is not kept. */
static void other_map(const struct rise *r, int64_t t, float *map)
{
  const int64_t width = r->x.n, n = r->n;
  const double p = r->options->keep_prob, f = r->sum[t] / (double)n, o = r->origin[t];
  for (int64_t y = 0; y < r->y.n; y++)
    for (int64_t x = 0; x < width; x++) {
      const double *m = r->moments + y * MOMENTS * width + x;
      const double b = m[B * width] / (double)n, ab = r->others[(t * r->y.n + y) * width + x];
      const double sxx = m[BB * width] - (double)n * b * b;
      map[y * width + x] = (float)(r->options->raw ? (o * (p + b) + p * f + ab / (double)n) / p
                                   : sxx > 0       ? (ab - (double)n * f * b) / sxx
                                                   : 0);
    }
}

static bool make_maps(struct rise *r, struct error *err)
{
  const int64_t dims[3] = {r->n_targets, r->y.n, r->x.n}, pixels = dims[1] * dims[2];
  const bool one = !r->out->all_targets;
  float *map = explanation_floats(r->out, "map", one ? 2 : 3, one ? dims + 1 : dims, err);
  float *spread = explanation_floats(r->out, "stderr", 2, dims + 1, err);
  if (!map || !spread)
    return false;
  if (r->n == 0)
    return true;
  for (int64_t t = 0; t < r->n_targets; t++)
    if (t != r->shown)
      other_map(r, t, map + t * pixels);
  double value, error;
  for (int y = 0; y < r->y.n; y++)
    for (int x = 0; x < r->x.n; x++) {
      const int64_t at = (int64_t)y * r->x.n + x;
      estimate_at(r, y, x, &value, &error);
      map[r->shown * pixels + at] = (float)value;
      spread[at] = (float)error;
    }
  return true;
}

/* Share of pixels that the fill hardly changes: within 1 % of the range. */
static double share_unchanged(const struct rise *r)
{
  const struct input *input = r->explain->input;
  const size_t c = (size_t)input->channels, pixels = (size_t)r->y.n * (size_t)r->x.n;
  const double range = fabs((double)preprocess_value(r->explain->card, input, 0, input->hi) -
                            (double)preprocess_value(r->explain->card, input, 0, input->lo));
  size_t unchanged = 0;
  for (size_t i = 0; i < pixels; i++) {
    bool same = true;
    for (size_t k = 0; k < c; k++)
      same &= fabs((double)r->fills[i * c + k] - (double)input->x[i * c + k]) <= 0.01 * range;
    unchanged += same;
  }
  return (double)unchanged / (double)pixels;
}

static void report(struct rise *r, double full, const struct evaluated *end)
{
  struct explanation *out = r->out;
  out->evaluations = evaluator_count(r->evaluator);
  out->seconds = evaluator_seconds(r->evaluator);
  out->stopped_by = end->stopped_by;
  const double mean = r->n > 0 ? r->origin[r->shown] + r->sum[r->shown] / (double)r->n : NAN;
  json_object_set_new(out->details, "rise",
                      json_pack("{s:I, s:i, s:f, s:s, s:I, s:b, s:o}", "samples", (json_int_t)r->n, "cells", r->y.cells,
                                "keep_prob", r->options->keep_prob, "fill", r->options->fill, "draws",
                                (json_int_t)r->draws, "raw", r->options->raw, "mean_score", json_number_or_null(mean)));
  artifact_share_note(&r->share, out);
  const double unchanged = share_unchanged(r);
  if (unchanged > 0.95)
    explanation_warn(out, "no-change",
                     "%.0f %% of the image is within 1 %% of the fill '%s' already: hiding it shows "
                     "nothing",
                     100 * unchanged, r->options->fill);
  if (r->n < 100)
    explanation_warn(out, "few-samples", "%lld masks only", (long long)r->n);
  if (*r->options->tolerance && strcmp(end->stopped_by, "tolerance") != 0)
    explanation_warn(out, "not-converged", "stopped by %s after %lld masks, before tolerance %s was reached",
                     end->stopped_by, (long long)r->n, r->options->tolerance);
  warn_of_fill(r->explain, r->options->fill, r->fill.note, full, out);
  warn_of_map(r->explain, out);
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static bool open_fills(struct rise *r, struct error *err)
{
  const struct explain *explain = r->explain;
  const struct fill_scene scene = {explain->card, explain->input, explain->seed};
  const struct geometry *g = &explain->input->geometry;
  const size_t image = (size_t)g->height * (size_t)g->width * (size_t)explain->input->channels * sizeof(float);
  if (!fill_open(&r->fill, r->options->fill, &scene, err))
    return false;
  r->draws = fill_draws(&r->fill, r->options->draws);
  if ((size_t)r->draws > ((size_t)1 << 30) / image)
    return error_set(err, ERROR_USAGE, "draws: %lld fill images of %zu KiB are more than 1 GiB", (long long)r->draws,
                     image >> 10);
  r->fills = mem_alloc((size_t)r->draws * image);
  r->filled = mem_zero((size_t)r->draws, sizeof *r->filled);
  if (!r->fills || !r->filled)
    return error_memory(err, "the fill");
  /* A soft mask hides part of every pixel: there is no rim to make a fill from, and this says so. */
  r->filled[0] = fill_values(&r->fill, 0, r->fills, err);
  return r->filled[0];
}

static bool open_moments(struct rise *r, struct error *err)
{
  const size_t targets = (size_t)r->n_targets, pixels = (size_t)r->y.n * (size_t)r->x.n;
  const size_t limit = r->explain->evaluate.session.memory ? r->explain->evaluate.session.memory : (size_t)1 << 30;
  if (r->out->all_targets) {
    if (targets > limit / (pixels * sizeof(double)))
      return error_set(err, ERROR_USAGE, "memory: sums of %zu maps take %zu MiB, more than %zu MiB; choose one target",
                       targets, targets * (pixels * sizeof(double) >> 10) >> 10, limit >> 20);
    r->others = mem_zero(targets * pixels, sizeof *r->others);
  }
  r->block = mem_zero(BLOCK, sizeof *r->block);
  r->block_scores = mem_zero(BLOCK * targets, sizeof *r->block_scores);
  r->origin = mem_zero(targets, sizeof *r->origin);
  r->sum = mem_zero(targets, sizeof *r->sum);
  r->moments = mem_zero(MOMENTS * pixels, sizeof *r->moments);
  r->rows = mem_zero(pixels, sizeof *r->rows);
  if (!r->block || !r->block_scores || !r->origin || !r->sum || !r->moments || !r->rows ||
      (r->out->all_targets && !r->others))
    return error_memory(err, "the map");
  for (size_t t = 0; t < targets; t++)
    r->origin[t] = (double)evaluator_scores(r->evaluator)[r->targets[t]];
  return true;
}

/* The score with everything hidden, by the first draw. */
static bool score_full(struct rise *r, double *full, struct error *err)
{
  float *scores = mem_zero((size_t)r->explain->predictor->classes, sizeof *scores);
  const bool ok = scores ? evaluator_score(r->evaluator, r->fills, scores, err) : error_memory(err, "scores");
  *full = ok ? (double)scores[r->out->target] : NAN;
  mem_free(scores);
  return ok;
}

static bool sample(struct rise *r, struct error *err)
{
  const struct explain *explain = r->explain;
  const struct geometry *g = &explain->input->geometry;
  const int cells = (int)r->options->cells;
  struct evaluated end;
  double full;

  /* 1: the image itself, everything hidden. */
  r->samples = r->options->samples;
  if (r->samples == PARAM_AUTO_INT)
    r->samples = SAMPLES * (*r->options->tolerance ? TOLERANT : 1);
  if (!stopping_parse(r->options->tolerance, r->samples, &r->stopping, err) || !open_fills(r, err) ||
      !axis_open(&r->y, g->height, cells, err) || !axis_open(&r->x, g->width, cells, err))
    return false;
  const struct precision_trial trial = {
      .seed = explain->seed,
      .samples = r->samples,
      .features = (int64_t)cells * cells,
      .context = r,
      .target = trial_target,
      .propose = trial_propose,
  };
  struct evaluate_options options = explain->evaluate;
  options.use.trial = &trial;
  r->evaluator = evaluator_open(explain->predictor, &options, explain->input->x, err);
  r->targets = mem_zero((size_t)explain->predictor->classes, sizeof *r->targets);
  if (!r->evaluator || !r->targets)
    return r->evaluator ? error_memory(err, "rise") : false;
  if (!explain_targets(explain, evaluator_scores(r->evaluator), r->targets, &r->n_targets, r->out, err) ||
      !open_moments(r, err) || !score_full(r, &full, err))
    return false;
  r->shown = r->out->all_targets ? r->out->target : 0;
  r->share = artifact_share_of(explain, evaluator_scores(r->evaluator), r->out->target);

  /* 2: masks, into moments as their scores come in. */
  const struct evaluation what = {
      .stage = "rise",
      .count = r->samples,
      .context = r,
      .propose = propose,
      .result = result,
      .preview = preview,
  };
  if (!evaluate(r->evaluator, &what, &end, err))
    return false;
  flush(r);

  /* 3: maps. */
  if (!make_maps(r, err))
    return false;
  report(r, full, &end);
  return true;
}

static bool run(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  struct rise r = {.explain = explain, .options = options, .out = out};
  const bool ok = sample(&r, err);
  evaluator_close(r.evaluator);
  fill_close(&r.fill);
  mem_free(r.fills);
  mem_free(r.filled);
  mem_free(r.y.at);
  mem_free(r.x.at);
  mem_free(r.targets);
  mem_free(r.block);
  mem_free(r.block_scores);
  mem_free(r.origin);
  mem_free(r.moments);
  mem_free(r.others);
  mem_free(r.sum);
  mem_free(r.rows);
  return ok;
}

const struct method method_rise = {
    .name = "rise",
    .title = "RISE",
    .unit = "score drop",
    .summary = "hide random soft parts of the image and see how the score follows each pixel",
    .paper = "Petsiuk, Das, Saenko: RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC 2018",
    .needs = NEEDS_PREDICT,
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
