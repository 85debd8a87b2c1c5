/* SPDX-License-Identifier: Apache-2.0 */
/* Meaningful perturbation: Fong & Vedaldi, "Interpretable Explanations of Black Boxes by Meaningful Perturbation",
 * ICCV 2017.
 *
 * The smallest smooth mask whose deletion destroys the score of a class, or whose preservation holds it. Cells m in
 * [0,1], 1 keeps; M = G_sigma(bilinear(m)); image' = x M + b (1 - M); s = (f(image') - f(b)) / (f(x) - f(b)):
 *   delete     J =  max(s, 0) + l1 mean(1 - m) + tv mean((n/28 |grad m|)^beta)
 *   preserve   J = -min(s, 1) + l1 mean(m)     + tv mean((n/28 |grad m|)^beta)      n: cells along the shorter side
 * by Adam with jittered images; the mask with the least J without jitter is kept.
 * Taken from the paper: both games, blur, TV with beta 3, jitter, the start from a circle and from other maps. Changed:
 * the score is a share of the drop, and prices are means, so that they depend on neither image nor mask size (at 28
 * cells a side they are the paper's); a test of convergence; several starts; no flips; of a given map and its mask the
 * order with the smallest sufficient region is kept (refine.h). Without gradients: evolution.h.
 */
#include "methods/method.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "methods/evolution.h"
#include "methods/mask_init.h"
#include "methods/mask_objective.h"
#include "methods/refine.h"
#include "methods/warnings.h"
#include "perturb/descend.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK = 10, PATIENCE = 50, EARLIEST = 100 }; /* iterations: between looks at J, of no gain, before any end */
enum { TRACE = 6 };                                /* values a row: see trace_row */
#define SEARCH_SHARE 0.8                           /* of budget and evaluations; the rest finds the minimal region */

enum { GAME_DELETE, GAME_PRESERVE, GAME_BOTH };
enum { GRADIENT_AUTO, GRADIENT_OFF };

struct options {
  int game, gradient;
  int64_t iterations, cells, starts;
  double rate, l1, tv, beta, blur, jitter, keep, tolerance;
  const char *fill, *init;
  bool raw_score;
};

static const struct param params[] = {
    {"game", PARAM_CHOICE, offsetof(struct options, game), "delete", 0, 0, "delete|preserve|both", NULL, NULL,
     "delete little and lose the score, keep little and hold it, or both maps"},
    {"iterations", PARAM_INT, offsetof(struct options, iterations), "300", 0, 10000, NULL, NULL, NULL,
     "steps at most; 0: only the minimal region of the map given by init"},
    {"lr", PARAM_FLOAT, offsetof(struct options, rate), "0.1", 1e-9, 100, NULL, NULL, NULL, "learning rate of Adam"},
    {"l1", PARAM_FLOAT, offsetof(struct options, l1), "0.0784", 0, 1e9, NULL, NULL, NULL,
     "price of deleting (keeping) everything, in shares of the score"},
    {"tv", PARAM_FLOAT, offsetof(struct options, tv), "7.84", 0, 1e9, NULL, NULL, NULL, "price of uneven masks"},
    {"tv-beta", PARAM_FLOAT, offsetof(struct options, beta), "3", 1, 10, NULL, NULL, NULL, "exponent of that price"},
    {"cells", PARAM_INT, offsetof(struct options, cells), "auto", 4, 1024, NULL, NULL, NULL,
     "cells of the mask along the shorter side; auto: 28, or 7 without gradients"},
    {"mask-blur", PARAM_FLOAT, offsetof(struct options, blur), "auto", 0, 1000, NULL, "px", NULL,
     "sigma that smooths the mask; auto: 5 at 224 px"},
    {"jitter", PARAM_FLOAT, offsetof(struct options, jitter), "auto", 0, 1000, NULL, "px", NULL,
     "the image moves by up to half of this each step; auto: 4 at 224 px"},
    {"fill", PARAM_TEXT, offsetof(struct options, fill), "blur", 0, 0, NULL, NULL, NULL,
     "what deleted pixels become; random fills are drawn anew each step"},
    {"init", PARAM_TEXT, offsetof(struct options, init), "circle", 0, 0, NULL, NULL, NULL,
     "start: circle, ones, half, random, a .npy map or a method's name to refine its map; game=preserve then shows "
     "whatever suffices with least area: the mask, the map ordered by it, their product, or the map"},
    {"starts", PARAM_INT, offsetof(struct options, starts), "1", 1, 32, NULL, NULL, NULL,
     "searches; those after the first start at random"},
    {"keep", PARAM_FLOAT, offsetof(struct options, keep), "0.9", 0, 1, NULL, NULL, NULL,
     "share of the score that the minimal region must hold"},
    {"raw-score", PARAM_BOOL, offsetof(struct options, raw_score), "off", 0, 0, NULL, NULL, "on",
     "put the score itself into the objective, not its share of the drop"},
    {"tolerance", PARAM_FLOAT, offsetof(struct options, tolerance), "1e-3", 0, 1, NULL, NULL, "0",
     "converged when 50 steps gained less; 0: never"},
    {"gradient", PARAM_CHOICE, offsetof(struct options, gradient), "auto", 0, 0, "auto|off", NULL, NULL,
     "off: search without gradients, as for classifiers that only predict; slower"},
    PARAM_END,
};

/* What one search came to. */
struct solution {
  double *cells;             /* with the least J */
  double value, start_value; /* J there, and where it began */
  double f;                  /* score there */
  float *trace;              /* [rows, TRACE] */
  int64_t rows;
  bool converged, finite;
};

struct meaningful {
  const struct explain *explain;
  const struct options *options;
  struct explanation *out;
  struct evaluator *evaluator;
  struct fill fill;
  float *fill_x, *fill_now; /* [H,W,C] draw 0, and this step's draw */
  float *image, *gradient;  /* [H,W,C] */
  double *mask, *signal;    /* [H,W] */
  double *cells, *slope;    /* [rows, columns] */
  struct mask_grid grid;
  struct mask_scene scene;
  struct mask_objective objective;
  struct adam adam;
  struct mask_init init;
  struct region region;          /* of the map that is shown; empty: not known yet */
  struct solution solutions[32]; /* of the game at hand, one a start */
  int64_t target;
  int64_t done, total; /* steps of all searches */
  int64_t others;      /* evaluations of the method that gave the start */
  double other_seconds;
  int jitter; /* px, to each side */
  bool differentiates;
  const char *stopped_by;
};

static int64_t cells_of(const struct meaningful *m)
{
  return (int64_t)m->objective.rows * m->objective.columns;
}

/* ---- steps ----------------------------------------------------------------------------------------------------- */

/* J of cells without jitter. */
static bool look(struct meaningful *m, const double *cells, struct mask_terms *terms, double *f, double *value,
                 bool *finite, struct error *err)
{
  mask_grid_up(&m->grid, cells, m->mask);
  mask_blend(&m->scene, 0, 0, m->mask, m->image);
  if (!evaluator_scores_of(m->evaluator, m->image, 1, m->target, f, finite, err))
    return false;
  *value = mask_value(&m->objective, *f, cells, terms);
  *finite = *finite && isfinite(*value);
  return true;
}

/* Keep what was looked at if it is the best so far. */
static void keep_best(struct meaningful *m, struct solution *s, const double *cells, double f, double value)
{
  if (!(value < s->value))
    return;
  s->value = value;
  s->f = f;
  memcpy(s->cells, cells, (size_t)cells_of(m) * sizeof *cells);
}

static void trace_row(struct solution *s, int64_t step, double value, const struct mask_terms *terms)
{
  float *row = s->trace + TRACE * s->rows++;
  row[0] = (float)step;
  row[1] = (float)value; /* with this step's jitter */
  row[2] = (float)terms->score;
  row[3] = (float)terms->area;
  row[4] = (float)terms->variation;
  row[5] = (float)s->value; /* least so far, without jitter */
}

/* dJ/dm at m->cells for this step's image, into m->slope. */
static bool differentiate(struct meaningful *m, int dy, int dx, struct mask_terms *terms, double *value, bool *finite,
                          struct error *err)
{
  struct mask_scene scene = m->scene;
  double f;
  scene.fill = m->fill_now;
  mask_grid_up(&m->grid, m->cells, m->mask);
  mask_blend(&scene, dy, dx, m->mask, m->image);
  if (!evaluator_gradient(m->evaluator, m->image, m->gradient, &f, finite, err))
    return false;
  *value = mask_value(&m->objective, f, m->cells, terms);
  *finite = *finite && isfinite(*value);
  mask_blend_back(&scene, dy, dx, m->gradient, m->signal);
  mask_grid_down(&m->grid, m->signal, m->slope);
  const double slope = mask_slope(&m->objective, f);
  for (int64_t i = 0; i < cells_of(m); i++)
    m->slope[i] *= slope;
  mask_prices_back(&m->objective, m->cells, m->slope);
  return true;
}

static void preview(void *context, float *map)
{
  const struct meaningful *m = context;
  for (int64_t i = 0; i < (int64_t)m->scene.height * m->scene.width; i++)
    map[i] = (float)(m->objective.preserve ? m->mask[i] : 1 - m->mask[i]);
}

static int draw_shift(const struct meaningful *m, int64_t step, int64_t start, int axis)
{
  return (int)rng_below(m->explain->seed, RNG_JITTER, (uint32_t)step, (uint64_t)(2 * start + axis),
                        (uint32_t)(2 * m->jitter + 1)) -
         m->jitter;
}

static bool descend(struct meaningful *m, int64_t start, struct solution *s, struct error *err)
{
  const int64_t iterations = m->options->iterations;
  double recent[PATIENCE / LOOK] = {0}; /* best J at the last looks */
  struct mask_terms terms;
  double value, f;
  const struct evaluation what = {.stage = "meaningful", .count = m->total, .context = m, .preview = preview};
  adam_reset(&m->adam);
  for (int64_t step = 0; s->finite; step++) {
    const char *spent =
        step < iterations ? evaluator_spent(m->evaluator, GRADIENT_EVALUATIONS + 1, SEARCH_SHARE) : NULL;
    if (step % LOOK == 0 || step == iterations || spent) {
      if (!look(m, m->cells, &terms, &f, &value, &s->finite, err))
        return false;
      if (step == 0)
        s->start_value = value;
      if (s->finite)
        keep_best(m, s, m->cells, f, value);
    }
    if (spent)
      m->stopped_by = spent;
    if (step == iterations || spent || !s->finite)
      break;
    if (step % LOOK == 0) {
      double *before = &recent[step / LOOK % (PATIENCE / LOOK)];
      if (m->options->tolerance > 0 && step >= EARLIEST && *before - s->value < m->options->tolerance) {
        s->converged = true;
        m->stopped_by = "tolerance";
        break;
      }
      *before = s->value;
    }
    if (m->fill.kind->random && !fill_values(&m->fill, (uint32_t)step + 1, m->fill_now, err))
      return false;
    if (!differentiate(m, draw_shift(m, step, start, 0), draw_shift(m, step, start, 1), &terms, &value, &s->finite,
                       err))
      return false;
    if (!s->finite)
      break;
    trace_row(s, step, value, &terms);
    adam_step(&m->adam, m->slope, m->cells);
    if (!evaluator_step(m->evaluator, &what, ++m->done, err))
      return false;
  }
  return true;
}

/* ---- without gradients ----------------------------------------------------------------------------------------- */

static bool ask(void *context, const double *candidates, int n, double *values, bool *finite, struct error *err)
{
  struct meaningful *m = context;
  *finite = true;
  for (int i = 0; i < n; i++) {
    struct mask_terms terms;
    double f;
    bool number;
    if (!look(m, candidates + i * cells_of(m), &terms, &f, &values[i], &number, err))
      return false;
    *finite &= number;
  }
  return true;
}

static bool evolve(struct meaningful *m, int64_t start, struct solution *s, struct error *err)
{
  const int64_t n = cells_of(m), iterations = m->options->iterations;
  struct evolution e;
  struct mask_terms terms;
  double value, f, recent[PATIENCE] = {0};
  const struct evaluation what = {.stage = "meaningful", .count = m->total, .context = m, .preview = preview};
  if (!look(m, m->cells, &terms, &f, &value, &s->finite, err))
    return false;
  s->start_value = value;
  if (s->finite)
    keep_best(m, s, m->cells, f, value);
  bool ok = evolution_open(&e, m->cells, n, m->explain->seed, (uint32_t)start, err);
  for (int64_t step = 0; ok && s->finite && step < iterations; step++) {
    const char *spent = evaluator_spent(m->evaluator, e.offspring + 1, SEARCH_SHARE);
    if (spent) {
      m->stopped_by = spent;
      break;
    }
    if (m->options->tolerance > 0 && step >= EARLIEST && recent[step % PATIENCE] - s->value < m->options->tolerance) {
      s->converged = true;
      m->stopped_by = "tolerance";
      break;
    }
    recent[step % PATIENCE] = s->value;
    ok = evolution_step(&e, ask, m, &s->finite, err);
    if (!ok || !s->finite)
      break;
    if (e.best_value < s->value) /* again, for its score */
      ok = look(m, e.best, &terms, &f, &value, &s->finite, err);
    if (ok && s->finite) {
      keep_best(m, s, e.best, f, value);
      trace_row(s, step, e.best_value, &terms);
      ok = evaluator_step(m->evaluator, &what, ++m->done, err);
    }
  }
  evolution_close(&e);
  return ok;
}

/* ---- searches -------------------------------------------------------------------------------------------------- */

static bool search(struct meaningful *m, int64_t start, struct error *err)
{
  struct solution *s = &m->solutions[start];
  const struct mask_start where = {m->evaluator, &m->scene, &m->grid, &m->objective, m->target, m->explain->seed};
  s->value = s->start_value = INFINITY;
  s->f = NAN;
  s->rows = 0;
  s->converged = false;
  s->finite = true;
  if (!mask_init_cells(&m->init, &where, start, m->cells, err))
    return false;
  memcpy(s->cells, m->cells, (size_t)cells_of(m) * sizeof *s->cells);
  return m->differentiates ? descend(m, start, s, err) : evolve(m, start, s, err);
}

struct ranked {
  double value;
  int64_t at;
};

static int by_value(const void *a, const void *b)
{
  const struct ranked *p = a, *q = b;
  return p->value != q->value ? (p->value > q->value) - (p->value < q->value) : (p->at > q->at) - (p->at < q->at);
}

/* Ranks with ties averaged, less their mean. */
static void ranks(const double *x, int64_t n, struct ranked *scratch, double *rank)
{
  for (int64_t i = 0; i < n; i++)
    scratch[i] = (struct ranked){x[i], i};
  qsort(scratch, (size_t)n, sizeof *scratch, by_value);
  for (int64_t i = 0, end; i < n; i = end) {
    for (end = i + 1; end < n && scratch[end].value == scratch[i].value;)
      end++;
    for (int64_t k = i; k < end; k++)
      rank[scratch[k].at] = (double)(i + end - n) / 2;
  }
}

/* Spearman's correlation; NAN where a mask is constant. */
static bool rank_correlation(const double *a, const double *b, int64_t n, double *out, struct error *err)
{
  struct ranked *scratch = mem_alloc((size_t)n * sizeof *scratch);
  double *rank = mem_alloc(2 * (size_t)n * sizeof *rank), ab = 0, aa = 0, bb = 0;
  const bool ok = (scratch && rank) || error_memory(err, "the agreement of starts");
  if (ok) {
    ranks(a, n, scratch, rank);
    ranks(b, n, scratch, rank + n);
    for (int64_t i = 0; i < n; i++) {
      ab += rank[i] * rank[n + i];
      aa += rank[i] * rank[i];
      bb += rank[n + i] * rank[n + i];
    }
    *out = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : NAN;
  }
  mem_free(scratch);
  mem_free(rank);
  return ok;
}

/* J of every start and how its mask agrees with the best one's. */
static bool agree(struct meaningful *m, int64_t best, json_t *about, struct error *err)
{
  json_t *list = json_array();
  for (int64_t i = 0; i < m->options->starts; i++) {
    const struct solution *s = &m->solutions[i], *b = &m->solutions[best];
    double correlation;
    if (!rank_correlation(s->cells, b->cells, cells_of(m), &correlation, err)) {
      json_decref(list);
      return false;
    }
    json_array_append_new(list, json_pack("{s:o, s:o, s:b, s:o}", "start", json_number_or_null(s->start_value),
                                          "objective", json_number_or_null(s->value), "converged", s->converged,
                                          "rank_correlation", json_number_or_null(correlation)));
    if (i != best && s->value - b->value <= 0.05 * fmax(fabs(b->value), 0.05) && correlation < 0.5)
      explanation_warn(
          m->out, "starts-disagree",
          "starts reach objectives of %.4g and %.4g with masks that correlate by %.2f: the answer is not unique",
          b->value, s->value, correlation);
  }
  json_object_set_new(about, "starts", list);
  return true;
}

/* ---- results --------------------------------------------------------------------------------------------------- */

static bool add_arrays(struct meaningful *m, const struct solution *s, bool second, struct error *err)
{
  const int64_t grid[2] = {m->objective.rows, m->objective.columns}, trace[2] = {s->rows, TRACE};
  const int64_t dims[2] = {m->scene.height, m->scene.width};
  float *mask = explanation_floats(m->out, second ? "mask_preserve" : "mask", 2, dims, err);
  float *cells = explanation_floats(m->out, second ? "mask_cells_preserve" : "mask_cells", 2, grid, err);
  float *rows = explanation_floats(m->out, second ? "trace_preserve" : "trace", 2, trace, err);
  if (!mask || !cells || !rows)
    return false;
  mask_grid_up(&m->grid, s->cells, m->mask);
  for (int64_t i = 0; i < dims[0] * dims[1]; i++)
    mask[i] = (float)m->mask[i];
  for (int64_t i = 0; i < cells_of(m); i++)
    cells[i] = (float)s->cells[i];
  memcpy(rows, s->trace, (size_t)(s->rows * TRACE) * sizeof *rows);
  return true;
}

static json_t *describe(const struct meaningful *m, const struct solution *s, const float *map)
{
  const int64_t pixels = (int64_t)m->scene.height * m->scene.width;
  double area = 0;
  int64_t half = 0;
  for (int64_t i = 0; i < pixels; i++) {
    area += (double)map[i];
    half += map[i] >= 0.5F;
  }
  return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:b, s:I}", "game",
                   m->objective.preserve ? "preserve" : "delete", "objective", json_number_or_null(s->value),
                   "objective_start", json_number_or_null(s->start_value), "score",
                   json_number_or_null(m->objective.full), "score_after", json_number_or_null(s->f), "score_full_fill",
                   json_number_or_null(m->objective.base), "area", area / (double)pixels, "area_at_half",
                   (double)half / (double)pixels, "converged", s->converged, "iterations", (json_int_t)s->rows);
}

/* In place of the mask, the best that it and the map it started from give together; before is the latter's region. */
static bool refine(struct meaningful *m, const struct region_request *start, const struct region *before, bool second,
                   float *map, json_t **about, struct error *err)
{
  const int64_t pixels = (int64_t)m->scene.height * m->scene.width;
  struct region found = {0};
  float *mask = mem_alloc((size_t)pixels * sizeof *mask);
  if (!mask)
    return error_memory(err, "a refinement");
  memcpy(mask, map, (size_t)pixels * sizeof *mask);
  const bool ok = refine_map(start, before, mask, map, &found, about, err);
  mem_free(mask);
  if (ok && !second && m->target == m->out->target)
    m->region = found;
  else
    region_close(&found);
  return ok;
}

static void say_refined(struct meaningful *m, json_t *about, json_t *refined)
{
  json_object_set_new(about, "refined", refined);
  if (strcmp(json_string_value(json_object_get(refined, "by")), "start") == 0)
    explanation_warn(
        m->out, "not-refined",
        "the optimisation found no smaller region than the %lld px that the map it started from needs: that "
        "map is shown",
        (long long)json_integer_value(json_object_get(refined, "before_px")));
}

/* One game of one class: searches, map, and for the class that is shown all that is said of it. */
static bool play(struct meaningful *m, bool preserve, bool second, float *map, struct error *err)
{
  const int64_t pixels = (int64_t)m->scene.height * m->scene.width, starts = m->options->starts;
  const struct region_request start = {m->explain, m->evaluator, m->init.heat, m->fill_x, m->target, m->options->keep};
  const bool refines = preserve && m->init.given && m->options->iterations > 0;
  struct region before = {0};
  json_t *refined = NULL;
  int64_t best = 0;
  m->objective.preserve = preserve;
  bool ok = !refines || region_find(&start, pixels, &before, err);
  for (int64_t i = 0; ok && i < starts; i++) {
    ok = search(m, i, err);
    if (ok && m->solutions[i].value < m->solutions[best].value)
      best = i;
  }
  if (!ok) {
    region_close(&before);
    return false;
  }
  const struct solution *s = &m->solutions[best];
  mask_grid_up(&m->grid, s->cells, m->mask);
  preview(m, map);
  if (m->options->iterations == 0 && m->init.heat) /* the map as it was given: there is nothing else to say of it */
    memcpy(map, m->init.heat, (size_t)pixels * sizeof *map);
  json_t *about = describe(m, s, map);
  ok = !refines || refine(m, &start, &before, second, map, &refined, err);
  region_close(&before);
  if (!ok || m->target != m->out->target) {
    json_decref(about);
    json_decref(refined);
    return ok;
  }
  json_array_append_new(json_object_get(m->out->details, "games"), about);
  if (m->options->iterations == 0)
    return true;
  if (refined)
    say_refined(m, about, refined);
  if (starts > 1 && !agree(m, best, about, err))
    return false;
  for (int64_t i = 0; i < starts; i++)
    if (!m->solutions[i].finite) {
      m->stopped_by = "non-finite";
      explanation_warn(
          m->out, "non-finite",
          "the objective of start %lld was not a number after %lld steps; the best mask before that is shown",
          (long long)i, (long long)m->solutions[i].rows);
    }
  if (!s->converged && m->options->tolerance > 0 && s->finite)
    explanation_warn(m->out, "not-converged", "the objective still fell by more than %g in %d steps after %lld steps",
                     m->options->tolerance, PATIENCE, (long long)s->rows);
  return add_arrays(m, s, second, err);
}

/* ---- the run --------------------------------------------------------------------------------------------------- */

static double scaled(const struct meaningful *m, double wanted, double px)
{
  const int side = m->scene.height < m->scene.width ? m->scene.height : m->scene.width;
  return isnan(wanted) ? fmax(1, floor(px * side / 224 + 0.5)) : wanted;
}

static bool open_mask(struct meaningful *m, struct error *err)
{
  const struct options *o = m->options;
  const int height = m->scene.height, width = m->scene.width, side = height < width ? height : width;
  int64_t cells = o->cells == PARAM_AUTO_INT ? (m->differentiates ? 28 : 7) : o->cells;
  if (o->cells == PARAM_AUTO_INT)
    cells = cells < side ? cells : side;
  if (cells > side)
    return error_set(err, ERROR_USAGE, "cells: %lld is outside 4..%d", (long long)cells, side);
  m->objective.rows = (int)floor((double)cells * height / side + 0.5);
  m->objective.columns = (int)floor((double)cells * width / side + 0.5);
  m->objective.l1 = o->l1;
  m->objective.tv = o->tv;
  m->objective.beta = o->beta;
  m->objective.raw = o->raw_score;
  const double blur = scaled(m, o->blur, 5), jitter = scaled(m, o->jitter, 4);
  if (blur > side || jitter > side)
    return error_set(err, ERROR_USAGE, "%s: %g is outside 0..%d", blur > side ? "mask-blur" : "jitter",
                     blur > side ? blur : jitter, side);
  m->jitter = (int)floor(jitter / 2);
  return mask_grid_open(&m->grid, height, width, m->objective.rows, m->objective.columns, blur, blur, err);
}

static bool allocate(struct meaningful *m, struct error *err)
{
  const size_t pixels = (size_t)m->scene.height * (size_t)m->scene.width, image = pixels * (size_t)m->scene.channels;
  const size_t cells = (size_t)cells_of(m), rows = (size_t)m->options->iterations + 1;
  m->fill_now = m->fill.kind->random ? mem_alloc(image * sizeof(float)) : m->fill_x;
  m->image = mem_alloc(image * sizeof(float));
  m->gradient = mem_alloc(image * sizeof(float));
  m->mask = mem_zero(pixels, sizeof(double));
  m->signal = mem_zero(pixels, sizeof(double));
  m->cells = mem_zero(cells, sizeof(double));
  m->slope = mem_zero(cells, sizeof(double));
  bool ok = m->fill_now && m->image && m->gradient && m->mask && m->signal && m->cells && m->slope;
  for (int64_t i = 0; i < m->options->starts; i++) {
    m->solutions[i].cells = mem_zero(cells, sizeof(double));
    m->solutions[i].trace = mem_zero(rows * TRACE, sizeof(float));
    ok = ok && m->solutions[i].cells && m->solutions[i].trace;
  }
  return (ok || error_memory(err, "a mask")) && adam_open(&m->adam, (int64_t)cells, m->options->rate, err);
}

/* The class's start, gradient and objective. */
static bool aim(struct meaningful *m, int64_t target, const double *base, struct error *err)
{
  m->target = target;
  m->objective.full = (double)evaluator_scores(m->evaluator)[target];
  m->objective.base = base[target];
  mask_init_close(&m->init);
  if (!mask_init_open(&m->init, m->options->init, m->explain, target, m->out, err))
    return false;
  m->others += m->init.evaluations;
  m->other_seconds += m->init.seconds;
  if (!m->differentiates || m->options->iterations == 0)
    return true;
  return evaluator_begin_gradient(m->evaluator, target, err) ||
         error_prefix(err, "no-gradient (gradient=off searches without)");
}

static void report(struct meaningful *m, struct explanation *out)
{
  const struct mask_objective *o = &m->objective;
  out->evaluations = evaluator_count(m->evaluator) + m->others;
  out->seconds = evaluator_seconds(m->evaluator) + m->other_seconds;
  out->stopped_by = m->stopped_by;
  json_object_set_new(out->details, "mask",
                      json_pack("{s:[i,i], s:i, s:b, s:s, s:s}", "cells", o->rows, o->columns, "jitter", m->jitter,
                                "gradient", m->differentiates, "init", m->options->init, "fill", m->options->fill));
  if (!m->differentiates && m->options->iterations > 0)
    explanation_warn(out, "black-box", "searched without gradients on %dx%d cells: slower, and coarser", o->rows,
                     o->columns);
}

static bool solve(struct meaningful *m, int64_t *targets, double *base, struct error *err)
{
  const struct explain *explain = m->explain;
  const struct options *o = m->options;
  struct explanation *out = m->out;
  const int64_t pixels = (int64_t)m->scene.height * m->scene.width;
  int64_t n_targets;
  bool finite;

  /* 1: the image itself, everything deleted. */
  if (!explain_targets(explain, evaluator_scores(m->evaluator), targets, &n_targets, out, err))
    return false;
  for (int64_t t = 0; t < n_targets; t++)
    if (!evaluator_scores_of(m->evaluator, m->fill_x, 1, targets[t], &base[targets[t]], &finite, err))
      return false;
    else if (!finite)
      return error_set(err, ERROR_FAILED, "the score of the fill '%s' is not finite (non-finite)", o->fill);

  /* 2 to 6: the searches of every class and game. */
  const bool one = !out->all_targets;
  const int64_t dims[3] = {n_targets, m->scene.height, m->scene.width};
  float *map = explanation_floats(out, "map", one ? 2 : 3, one ? dims + 1 : dims, err);
  float *kept =
      o->game == GAME_BOTH ? explanation_floats(out, "map_preserve", one ? 2 : 3, one ? dims + 1 : dims, err) : NULL;
  if (!map || (o->game == GAME_BOTH && !kept))
    return false;
  json_object_set_new(out->details, "games", json_array());
  m->total = o->iterations * o->starts * n_targets * (kept ? 2 : 1);
  for (int64_t t = 0; t < n_targets; t++) {
    if (!aim(m, targets[t], base, err))
      return false;
    if (targets[t] == out->target && !mask_learnable(&m->objective))
      explanation_warn(out, "weak-fill",
                       "deleting everything with '%s' moves the score from %.4g to %.4g: there is nothing to learn",
                       o->fill, m->objective.full, m->objective.base);
    if (!play(m, o->game == GAME_PRESERVE, false, map + t * pixels, err) ||
        (kept && !play(m, true, true, kept + t * pixels, err)))
      return false;
  }

  /* 7: what suffices, and what there is to say. */
  const int64_t shown = one ? 0 : out->target;
  const struct region_request region = {explain, m->evaluator, map + shown * pixels, m->fill_x, out->target, o->keep};
  if ((!m->region.order && !region_find(&region, pixels, &m->region, err)) ||
      !minimal_region(&region, &m->region, out, err))
    return false;
  report(m, out);
  warn_of_fill(explain, o->fill, m->fill.note, base[out->target], out);
  warn_of_map(explain, out);
  return true;
}

static bool prepare(struct meaningful *m, struct error *err)
{
  const struct explain *explain = m->explain;
  const struct input *input = explain->input;
  const struct fill_scene scene = {explain->card, input, explain->seed};
  m->scene = (struct mask_scene){input->x, NULL, input->geometry.height, input->geometry.width, input->channels};
  m->fill_x = mem_alloc((size_t)m->scene.height * (size_t)m->scene.width * (size_t)m->scene.channels * sizeof(float));
  if (!m->fill_x)
    return error_memory(err, "a fill");
  m->scene.fill = m->fill_x;
  if (!fill_open(&m->fill, m->options->fill, &scene, err) || !fill_values(&m->fill, 0, m->fill_x, err))
    return false;
  struct evaluate_options evaluate = explain->evaluate;
  evaluate.use.gradients = m->options->gradient == GRADIENT_AUTO;
  m->evaluator = evaluator_open(explain->predictor, &evaluate, input->x, err);
  if (!m->evaluator)
    return false;
  m->differentiates = m->options->gradient == GRADIENT_AUTO && evaluator_differentiates(m->evaluator);
  return open_mask(m, err) && allocate(m, err);
}

static bool run(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  struct meaningful m = {.explain = explain, .options = options, .out = out, .stopped_by = "complete"};
  const size_t classes = (size_t)explain->predictor->classes;
  int64_t *targets = mem_zero(classes, sizeof *targets);
  double *base = mem_zero(classes, sizeof *base);
  bool ok = (targets && base) || error_memory(err, "meaningful");
  ok = ok && prepare(&m, err) && solve(&m, targets, base, err);
  evaluator_close(m.evaluator);
  fill_close(&m.fill);
  mask_grid_close(&m.grid);
  mask_init_close(&m.init);
  region_close(&m.region);
  adam_close(&m.adam);
  if (m.fill_now != m.fill_x)
    mem_free(m.fill_now);
  mem_free(m.fill_x);
  mem_free(m.image);
  mem_free(m.gradient);
  mem_free(m.mask);
  mem_free(m.signal);
  mem_free(m.cells);
  mem_free(m.slope);
  for (size_t i = 0; i < sizeof m.solutions / sizeof *m.solutions; i++) {
    mem_free(m.solutions[i].cells);
    mem_free(m.solutions[i].trace);
  }
  mem_free(targets);
  mem_free(base);
  return ok;
}

const struct method method_meaningful = {
    .name = "meaningful",
    .title = "Meaningful perturbation",
    .unit = "mask",
    .summary =
        "learn the smallest smooth mask that destroys the score, or the smallest region that holds it; refine any map",
    .paper = "Fong, Vedaldi: Interpretable Explanations of Black Boxes by Meaningful Perturbation, ICCV 2017",
    .needs = NEEDS_PREDICT,
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
