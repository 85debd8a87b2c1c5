/* SPDX-License-Identifier: Apache-2.0 */
/* Extremal perturbation: Fong, Patrick & Vedaldi, "Understanding Deep Networks via Extremal Perturbations and Smooth
 * Masks", ICCV 2019.
 *
 * Among masks M of a given area a, the one that holds the score best:
 *   max  20 s(image(M)) - w_t mean((sort(M) - r_a)^2),   s = (f - f(blurred)) / (f(x) - f(blurred))
 * with r_a zeros and then a share a of ones, image(M) read from a pyramid of blurs, M a smooth maximum of kernels on
 * coarse cells; delete: -s(image(1 - M)) instead of s, dual: both. Gradient descent with damped momentum, w_t rising.
 * Taken from the paper: objective, masks, pyramid, descent. Changed: the score is a share of the drop and w_t rises
 * from 3 to 5000, so that classifiers with scores of size 1 are not ruled by the area term (schedule=paper: 300
 * * 1.0035^t and the plain score); areas are those of the visible image; no flips. */
#include "methods/method.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "methods/area_mask.h"
#include "methods/warnings.h"
#include "perturb/descend.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum { LEVELS = 8, MOST_AREAS = 16, TRACE = 4 };
enum { GAME_PRESERVE, GAME_DELETE, GAME_DUAL };
enum { SCHEDULE_SCALED, SCHEDULE_PAPER };
#define MOMENTUM     0.9
#define REWARD       20.0 /* what the whole score is worth */
#define FIRST_WEIGHT 3.0  /* of the area term */
#define LAST_WEIGHT  5000.0
#define MISSED       0.03 /* of the area: not converged */

struct options {
  const char *areas, *fill;
  int game, schedule;
  int64_t iterations;
  double rate, step, radius, keep;
};

static const struct param params[] = {
    {"areas", PARAM_TEXT, offsetof(struct options, areas), "0.025,0.05,0.1,0.2", 0, 0, NULL, NULL, "0.1",
     "shares of the image, with commas between: a mask for each"},
    {"game", PARAM_CHOICE, offsetof(struct options, game), "preserve", 0, 0, "preserve|delete|dual", NULL, NULL,
     "hold the score with the area alone, lose it without the area, or both"},
    {"iterations", PARAM_INT, offsetof(struct options, iterations), "800", 1, 10000, NULL, NULL, NULL,
     "steps for each area"},
    {"lr", PARAM_FLOAT, offsetof(struct options, rate), "0.01", 1e-9, 100, NULL, NULL, NULL, "learning rate"},
    {"step", PARAM_FLOAT, offsetof(struct options, step), "auto", 1, 1000, NULL, "px", NULL,
     "between cells of the mask; auto: 7 at 224 px"},
    {"radius", PARAM_FLOAT, offsetof(struct options, radius), "auto", 1, 1000, NULL, "px", NULL,
     "of a cell's kernel; auto: 21 at 224 px"},
    {"fill", PARAM_TEXT, offsetof(struct options, fill), "blur", 0, 0, NULL, NULL, NULL,
     "what is outside; blur: a pyramid of blurs up to sigma 20 px at 224 px (blur:N: up to N)"},
    {"schedule", PARAM_CHOICE, offsetof(struct options, schedule), "scaled", 0, 0, "scaled|paper", NULL, "paper",
     "weight of the area against a share of the score, or the paper's against the plain score"},
    {"keep", PARAM_FLOAT, offsetof(struct options, keep), "0.9", 0, 1, NULL, NULL, NULL,
     "share of the score that a sufficient area must hold"},
    PARAM_END,
};

struct extremal {
  const struct explain *explain;
  const struct options *options;
  struct explanation *out;
  struct evaluator *evaluator;
  struct fill fill;
  struct area_mask mask;
  struct area_levels levels;
  float *pyramid;           /* [levels, H,W,C] */
  float *image, *gradient;  /* [H,W,C] */
  float *map, *signal;      /* [H,W] */
  float *cells;             /* [cells] */
  double *slope, *momentum; /* [cells] */
  double area[MOST_AREAS];
  int n_areas;
  int64_t target, done, total;
  double full, base, drop;                      /* f(x), f(all outside), their difference or 1 */
  double reached[MOST_AREAS], half[MOST_AREAS]; /* mean of the mask, share of pixels at 1/2 and above */
  double kept[MOST_AREAS], deleted[MOST_AREAS]; /* score with the area alone, with all but it */
  const char *stopped_by;
};

/* ---- geometry -------------------------------------------------------------------------------------------------- */

static int scaled(const struct extremal *e, double wanted, double px)
{
  const struct geometry *g = &e->explain->input->geometry;
  const int side = g->height < g->width ? g->height : g->width;
  const double value = isnan(wanted) ? px * side / 224 : wanted;
  return value < 1 ? 1 : (int)floor(value + 0.5);
}

static bool read_areas(struct extremal *e, struct error *err)
{
  const char *text = e->options->areas;
  for (bool more = true; more;) {
    char number[32];
    const size_t length = strcspn(text, ",");
    double *area = &e->area[e->n_areas];
    if (e->n_areas == MOST_AREAS)
      return error_set(err, ERROR_USAGE, "areas: more than %d", MOST_AREAS);
    if (length >= sizeof number)
      return error_set(err, ERROR_USAGE, "areas: '%.40s' is no number", text);
    memcpy(number, text, length);
    number[length] = '\0';
    if (!str_number(number, area) || !(*area >= 0.005 && *area <= 0.9))
      return error_set(err, ERROR_USAGE, "areas: '%s' is outside 0.005..0.9", number);
    e->n_areas++;
    more = text[length] == ',';
    text += length + more;
  }
  return true;
}

/* Blurs of growing width; any other fill is one step. */
static bool fill_levels(struct extremal *e, struct error *err)
{
  const struct input *input = e->explain->input;
  const struct geometry *g = &input->geometry;
  const size_t values = (size_t)e->levels.pixels * (size_t)input->channels;
  const bool blurred = strcmp(e->fill.kind->name, "blur") == 0;
  const double widest = strchr(e->options->fill, ':') ? e->fill.number : scaled(e, NAN, 20);
  e->levels.levels = blurred ? LEVELS : 2;
  e->pyramid = mem_alloc((size_t)e->levels.levels * values * sizeof(float));
  if (!e->pyramid)
    return error_memory(err, "the fill");
  e->levels.level = e->pyramid;
  memcpy(e->pyramid, input->x, values * sizeof(float));
  if (!blurred)
    return fill_values(&e->fill, 0, e->pyramid + values, err);
  for (int l = 1; l < LEVELS; l++) {
    if (!blur_image(input->u, g->height, g->width, input->channels, widest * l / (LEVELS - 1), e->image, err))
      return false;
    if (input->preprocessed)
      memcpy(e->pyramid + (size_t)l * values, e->image, values * sizeof(float));
    else
      preprocess_values(e->explain->card, input, e->image, e->pyramid + (size_t)l * values);
  }
  return true;
}

/* ---- descent --------------------------------------------------------------------------------------------------- */

static void preview(void *context, float *map)
{
  const struct extremal *e = context;
  memcpy(map, e->map, (size_t)e->levels.pixels * sizeof *map);
}

static double area_weight(const struct extremal *e, int64_t step)
{
  if (e->options->schedule == SCHEDULE_PAPER)
    return 300 * pow(1.0035, (double)step);
  const int64_t last = e->options->iterations > 1 ? e->options->iterations - 1 : 1;
  return FIRST_WEIGHT * pow(LAST_WEIGHT / FIRST_WEIGHT, (double)step / (double)last);
}

/* The reward of one side of the game, its derivative into the signal; *share is what this side's score is worth. */
static bool side(struct extremal *e, bool invert, double *share, bool *finite, struct error *err)
{
  const bool paper = e->options->schedule == SCHEDULE_PAPER;
  const double unit = paper ? 1 : REWARD / e->drop, sign = invert ? 1 : -1; /* of the loss: held inside, lost outside */
  double f;
  area_read(&e->levels, e->map, invert, e->image);
  if (!evaluator_gradient(e->evaluator, e->image, e->gradient, &f, finite, err))
    return false;
  *share += sign * (paper ? f : REWARD * (f - e->base) / e->drop);
  area_read_back(&e->levels, e->map, invert, e->gradient, sign * unit, e->signal);
  return true;
}

static bool step_once(struct extremal *e, int64_t step, int64_t count, float *row, bool *finite, struct error *err)
{
  const int game = e->options->game;
  double loss = 0;
  *finite = true;
  memset(e->signal, 0, (size_t)e->levels.pixels * sizeof *e->signal);
  if (!area_mask_up(&e->mask, e->cells, e->map, err) || (game != GAME_DELETE && !side(e, false, &loss, finite, err)) ||
      (*finite && game != GAME_PRESERVE && !side(e, true, &loss, finite, err)))
    return false;
  if (!*finite)
    return true;
  const double weight = area_weight(e, step),
               price = weight * area_price(e->map, e->levels.pixels, count, weight, e->signal);
  double area = 0;
  for (int64_t i = 0; i < e->levels.pixels; i++)
    area += (double)e->map[i];
  row[0] = (float)step;
  row[1] = (float)-loss;
  row[2] = (float)price;
  row[3] = (float)(area / (double)e->levels.pixels);
  if (!area_mask_down(&e->mask, e->cells, e->map, e->signal, e->slope, err))
    return false;
  for (int64_t i = 0; i < area_mask_cells(&e->mask); i++) {
    e->momentum[i] = MOMENTUM * e->momentum[i] + (1 - MOMENTUM) * e->slope[i];
    e->cells[i] = (float)fmin(fmax((double)e->cells[i] - e->options->rate * e->momentum[i], 0), 1);
  }
  return true;
}

static bool solve_area(struct extremal *e, int a, double share, float *trace, struct error *err)
{
  const struct options *o = e->options;
  const int64_t cells = area_mask_cells(&e->mask), pixels = e->levels.pixels;
  const int64_t count = (int64_t)floor(e->area[a] * (double)pixels + 0.5);
  const int cost = GRADIENT_EVALUATIONS * (o->game == GAME_DUAL ? 2 : 1) + 2;
  const struct evaluation what = {.stage = "extremal", .count = e->total, .context = e, .preview = preview};
  bool finite = true;
  for (int64_t i = 0; i < cells; i++)
    e->cells[i] = 1;
  memset(e->momentum, 0, (size_t)cells * sizeof *e->momentum);
  for (int64_t step = 0; step < o->iterations; step++) {
    const char *spent = evaluator_spent(e->evaluator, cost, share);
    if (spent)
      e->stopped_by = spent;
    if (spent)
      break;
    if (!step_once(e, step, count, trace + step * TRACE, &finite, err))
      return false;
    if (!finite) {
      e->stopped_by = "non-finite";
      explanation_warn(e->out, "non-finite",
                       "for area %g the objective was not a number after %lld steps; the mask before that is shown",
                       e->area[a], (long long)step);
      break;
    }
    if (!evaluator_step(e->evaluator, &what, ++e->done, err))
      return false;
  }
  /* What the mask is worth: the area alone, and all but the area. */
  if (!area_mask_up(&e->mask, e->cells, e->map, err))
    return false;
  area_read(&e->levels, e->map, false, e->image);
  if (!evaluator_scores_of(e->evaluator, e->image, 1, e->target, &e->kept[a], &finite, err))
    return false;
  area_read(&e->levels, e->map, true, e->image);
  if (!evaluator_scores_of(e->evaluator, e->image, 1, e->target, &e->deleted[a], &finite, err))
    return false;
  e->reached[a] = e->half[a] = 0;
  for (int64_t i = 0; i < pixels; i++) {
    e->reached[a] += (double)e->map[i] / (double)pixels;
    e->half[a] += (e->map[i] >= 0.5F ? 1 : 0) / (double)pixels;
  }
  return true;
}

/* ---- results --------------------------------------------------------------------------------------------------- */

static void describe(struct extremal *e)
{
  json_t *areas = json_array();
  double smallest = NAN;
  for (int a = 0; a < e->n_areas; a++) {
    json_array_append_new(areas, json_pack("{s:f, s:f, s:f, s:o, s:o}", "area", e->area[a], "reached", e->reached[a],
                                           "area_at_half", e->half[a], "score_kept", json_number_or_null(e->kept[a]),
                                           "score_deleted", json_number_or_null(e->deleted[a])));
    if (e->kept[a] >= e->options->keep * e->full && !(smallest <= e->area[a]))
      smallest = e->area[a];
    if (fabs(e->reached[a] - e->area[a]) > MISSED)
      explanation_warn(e->out, "not-converged", "the mask for area %g has area %.3f", e->area[a], e->reached[a]);
  }
  json_object_set_new(e->out->details, "extremal",
                      json_pack("{s:o, s:o, s:f, s:[i,i], s:i, s:s}", "areas", areas, "smallest_sufficient_area",
                                json_number_or_null(smallest), "keep", e->options->keep, "cells", e->mask.rows,
                                e->mask.columns, "step", e->mask.step, "fill", e->options->fill));
}

static bool solve_target(struct extremal *e, int64_t number, int64_t targets, float *map, struct error *err)
{
  const int64_t pixels = e->levels.pixels, dims[3] = {e->n_areas, e->mask.height, e->mask.width};
  const int64_t rows[3] = {e->n_areas, e->options->iterations, TRACE};
  const bool shown = e->target == e->out->target;
  float *masks = shown ? explanation_floats(e->out, "masks", 3, dims, err) : NULL;
  float *trace =
      shown ? explanation_floats(e->out, "trace", 3, rows, err) : mem_alloc((size_t)(rows[1] * TRACE) * sizeof *trace);
  bool ok = (!shown || masks) && (trace || error_memory(err, "a trace"));
  for (int64_t i = 0; ok && shown && i < rows[0] * rows[1] * TRACE; i++)
    trace[i] = NAN; /* steps that were not taken */
  for (int a = 0; ok && a < e->n_areas; a++) {
    const double share = (double)(number * e->n_areas + a + 1) / (double)(targets * e->n_areas);
    ok = solve_area(e, a, share, shown ? trace + a * rows[1] * TRACE : trace, err);
    if (ok && shown)
      memcpy(masks + a * pixels, e->map, (size_t)pixels * sizeof *masks);
    for (int64_t i = 0; ok && i < pixels; i++)
      map[i] += e->map[i] / (float)e->n_areas;
  }
  if (!shown)
    mem_free(trace);
  if (ok && shown)
    describe(e);
  return ok;
}

static bool solve(struct extremal *e, int64_t *targets, struct error *err)
{
  const struct explain *explain = e->explain;
  struct explanation *out = e->out;
  const int64_t values = e->levels.pixels * e->levels.channels;
  const float *last = e->pyramid + (e->levels.levels - 1) * values;
  int64_t n;
  double base = NAN;
  bool finite;
  if (!explain_targets(explain, evaluator_scores(e->evaluator), targets, &n, out, err))
    return false;
  const int64_t dims[3] = {n, e->mask.height, e->mask.width};
  float *map = explanation_floats(out, "map", out->all_targets ? 3 : 2, out->all_targets ? dims : dims + 1, err);
  if (!map)
    return false;
  e->total = e->options->iterations * e->n_areas * n;
  for (int64_t t = 0; t < n; t++) {
    e->target = targets[t];
    e->full = (double)evaluator_scores(e->evaluator)[e->target];
    if (!evaluator_scores_of(e->evaluator, last, 1, e->target, &e->base, &finite, err))
      return false;
    if (!finite)
      return error_set(err, ERROR_FAILED, "the score of the fill '%s' is not finite (non-finite)", e->options->fill);
    const bool learnable = e->full - e->base > 1e-6 * fmax(1, fabs(e->full));
    e->drop = learnable ? e->full - e->base : 1;
    if (e->target == out->target) {
      base = e->base;
      if (!learnable)
        explanation_warn(out, "weak-fill",
                         "hiding everything with '%s' moves the score from %.4g to %.4g: there is nothing to learn",
                         e->options->fill, e->full, e->base);
    }
    if (!evaluator_begin_gradient(e->evaluator, e->target, err) ||
        !solve_target(e, t, n, map + t * e->levels.pixels, err))
      return false;
  }
  out->evaluations = evaluator_count(e->evaluator);
  out->seconds = evaluator_seconds(e->evaluator);
  out->stopped_by = e->stopped_by;
  warn_of_fill(explain, e->options->fill, e->fill.note, base, out);
  warn_of_map(explain, out);
  return true;
}

static bool prepare(struct extremal *e, struct error *err)
{
  const struct explain *explain = e->explain;
  const struct input *input = explain->input;
  const struct geometry *g = &input->geometry;
  const struct fill_scene scene = {explain->card, input, explain->seed};
  const size_t pixels = (size_t)g->height * (size_t)g->width, values = pixels * (size_t)input->channels;
  const int step = scaled(e, e->options->step, 7), radius = scaled(e, e->options->radius, 21);
  const int most = g->height < g->width ? g->height : g->width;
  e->levels.pixels = (int64_t)pixels;
  e->levels.channels = input->channels;
  if (step > most || radius > most || radius > 16 * step)
    return error_set(err, ERROR_USAGE, "%s: %d is outside 1..%d", step > most ? "step" : "radius",
                     step > most ? step : radius, step > most || 16 * step > most ? most : 16 * step);
  if (!read_areas(e, err) || !fill_open(&e->fill, e->options->fill, &scene, err) ||
      !area_mask_open(&e->mask, g->height, g->width, step, radius, err))
    return false;
  const size_t cells = (size_t)area_mask_cells(&e->mask);
  e->image = mem_alloc(values * sizeof(float));
  e->gradient = mem_alloc(values * sizeof(float));
  e->map = mem_zero(pixels, sizeof(float));
  e->signal = mem_zero(pixels, sizeof(float));
  e->cells = mem_zero(cells, sizeof(float));
  e->slope = mem_zero(cells, sizeof(double));
  e->momentum = mem_zero(cells, sizeof(double));
  if (!e->image || !e->gradient || !e->map || !e->signal || !e->cells || !e->slope || !e->momentum)
    return error_memory(err, "a mask");
  if (!fill_levels(e, err))
    return false;
  struct evaluate_options evaluate = explain->evaluate;
  evaluate.use.gradients = true;
  e->evaluator = evaluator_open(explain->predictor, &evaluate, input->x, err);
  return e->evaluator != NULL;
}

static bool run(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  struct extremal e = {.explain = explain, .options = options, .out = out, .stopped_by = "complete"};
  int64_t *targets = mem_zero((size_t)explain->predictor->classes, sizeof *targets);
  const bool ok = (targets || error_memory(err, "extremal")) && prepare(&e, err) && solve(&e, targets, err);
  evaluator_close(e.evaluator);
  fill_close(&e.fill);
  area_mask_close(&e.mask);
  mem_free(e.pyramid);
  mem_free(e.image);
  mem_free(e.gradient);
  mem_free(e.map);
  mem_free(e.signal);
  mem_free(e.cells);
  mem_free(e.slope);
  mem_free(e.momentum);
  mem_free(targets);
  return ok;
}

const struct method method_extremal = {
    .name = "extremal",
    .title = "Extremal perturbation",
    .unit = "mask",
    .summary = "for each of several areas, learn the mask of that area that holds (or loses) the score best",
    .paper =
        "Fong, Patrick, Vedaldi: Understanding Deep Networks via Extremal Perturbations and Smooth Masks, ICCV 2019",
    .needs = NEEDS_GRADIENT,
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
