/* SPDX-License-Identifier: Apache-2.0 */
/* Integrated gradients: Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", ICML 2017. Attributions
 * that add up to the score's difference from a baseline x':
 *   A = (x - x') o sum_k w_k df/dx(x' + a_k (x - x')),    a_k, w_k: nodes and weights on [0, 1]
 * Taken from the paper: the path integral. Changed: Gauss-Legendre nodes, which need fewer of them; by default as many
 * as it takes. The score is known exactly at the ends of a panel of the path, so each panel says by itself how far its
 * attributions miss its share of the difference:
 *   1  one panel of Gauss's 4 nodes
 *   2  until the gaps cancel to no more than the tolerance, and are not large in themselves: the panel with the largest
 *      gap gets Kronrod's 5 further nodes, between those it has; where it has them, it becomes two panels of 4 nodes
 * What a model does before its first non-linear function (its stem) is affine and the weights add up to 1: the stem
 * runs forward on the two ends alone, between which its output is interpolated, and backward on weighted sums.
 * (docs/design/gradients.md: why so.) */
#include "methods/slopes.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/threads.h"
#include "methods/quadrature.h"
#include "methods/warnings.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum { GAUSS_NODES = 4, MORE_NODES = 5, FIXED_NODES = 50, MOST_NODES = 4096, MOST_PANELS = MOST_NODES / GAUSS_NODES };
enum { PART = 8192 }; /* floats that are worth a thread */

/* Differences of scores below this are as good as none: tolerances are shares of at least this much. */
#define LEAST_DIFFERENCE 0.01
#define FIXED_GAP        0.05 /* relative gap above which a fixed rule has not converged */
#define LARGE_IN_SUM     4    /* tolerances that the sizes of the gaps of all panels may add up to */

struct options {
  int64_t steps, max_steps;
  int rule;
  double tolerance;
  const char *fill;
  int64_t draws;
  bool keep_channels;
};

static const struct param params[] = {
    {"steps", PARAM_INT, offsetof(struct options, steps), "auto", 1, MOST_NODES, NULL, NULL, "50",
     "nodes on the path; auto: as many as the tolerance takes (rules other than gauss: 50)"},
    {"max-steps", PARAM_INT, offsetof(struct options, max_steps), "512", GAUSS_NODES, MOST_NODES, NULL, NULL, NULL,
     "gradients that auto may take for one class and one baseline"},
    {"rule", PARAM_CHOICE, offsetof(struct options, rule), "gauss", 0, 0, "gauss|left|right|middle|trapezoid", NULL,
     "right", "nodes and weights"},
    {"tolerance", PARAM_FLOAT, offsetof(struct options, tolerance), "0.01", 1e-9, 1, NULL, "of the score difference",
     NULL, "gap of completeness at which auto is content"},
    {"fill", PARAM_TEXT, offsetof(struct options, fill), "mean", 0, 0, NULL, NULL, "black",
     "baseline the path starts from; see the list of fills"},
    {"draws", PARAM_INT, offsetof(struct options, draws), "10", 1, 1000, NULL, NULL, NULL,
     "baselines to average over, for random fills"},
    KEEP_CHANNELS_PARAM(struct options, keep_channels),
    PARAM_END,
};

/* A piece of the path with its own nodes. */
struct panel {
  double from, to, share, gap; /* share: sum of its attributions */
  double from_score, to_score;
  float *a;    /* [H,W,C] attributions */
  float *part; /* [H,W,C] of its Gauss nodes by Kronrod's weights; NULL once the others are there, or there are none */
  double part_share;
};

struct ig {
  struct explain explain; /* with what panels need taken from the memory */
  struct slopes s;
  const struct options *options;
  struct fill fill;
  int draws;
  size_t n, path;     /* floats of the image; of what the path runs through: image or stem */
  float *baseline;    /* [n] */
  float *start, *end; /* [path] */
  double *sum;        /* [path] of weighted gradients of a panel */
  double *second;     /* [path] by `other` weights */
  float *back;        /* [path], then [n] */
  double node[MOST_NODES], weight[MOST_NODES], other[GAUSS_NODES];
  bool two; /* sums */
  const struct panel *current;
  struct panel panels[MOST_PANELS];
  int n_panels;
  int64_t used;   /* gradients of this class and baseline */
  int64_t target; /* class */
  float *scores;  /* [classes] */
  const char *stopped_by;
  struct {
    double gap, absolute, nodes, worst, panels;
    bool converged;
  } figures; /* over baselines, of the shown class */
};

/* ---- panels ---------------------------------------------------------------------------------------------------- */

struct blend {
  const struct ig *g;
  double alpha;
  float *image;
};

static void blend_part(void *context, int64_t begin, int64_t end)
{
  const struct blend *b = context;
  const float *from = b->g->start, *to = b->g->end;
  for (int64_t k = begin; k < end; k++)
    b->image[k] = (float)((double)from[k] + b->alpha * ((double)to[k] - (double)from[k]));
}

static bool propose(void *context, int64_t i, float *image, struct error *err)
{
  const struct ig *g = context;
  const struct panel *p = g->current;
  struct blend blend = {g, p->from + (p->to - p->from) * g->node[i], image};
  (void)err;
  threads_for((int64_t)g->path, PART, blend_part, &blend);
  return true;
}

struct weighting {
  double weight, *sum;
  const float *gradient;
};

static void add_part(void *context, int64_t begin, int64_t end)
{
  const struct weighting *w = context;
  for (int64_t k = begin; k < end; k++)
    w->sum[k] += w->weight * (double)w->gradient[k];
}

static bool result(void *context, int64_t i, const float *scores, const float *gradient, bool *stop, struct error *err)
{
  const struct ig *g = context;
  const double length = g->current->to - g->current->from;
  struct weighting w = {g->weight[i] * length, g->sum, gradient};
  (void)scores;
  (void)stop;
  (void)err;
  threads_for((int64_t)g->path, PART, add_part, &w);
  if (g->two) {
    w = (struct weighting){g->other[i] * length, g->second, gradient};
    threads_for((int64_t)g->path, PART, add_part, &w);
  }
  return true;
}

static struct backward_request request_of(const struct ig *g)
{
  return (struct backward_request){.target = g->target, .stem = !g->s.explain->evaluate.session.exact_full};
}

/* Sum the gradients at the nodes of a panel. *done false: budgets ended the run before. */
static bool sweep(struct ig *g, const struct panel *p, int nodes, bool two, int64_t total, bool *done,
                  struct error *err)
{
  struct evaluated end;
  const struct gradients what = {
      .stage = "integrated gradients",
      .count = nodes,
      .request = request_of(g),
      .context = g,
      .propose = propose,
      .result = result,
      .before = g->used,
      .total = total,
  };
  memset(g->sum, 0, g->path * sizeof *g->sum);
  if (two)
    memset(g->second, 0, g->path * sizeof *g->second);
  g->current = p;
  g->two = two;
  if (!slopes_run(&g->s, &what, &end, err))
    return false;
  g->used += end.count;
  *done = end.count == nodes;
  g->stopped_by = end.stopped_by;
  return true;
}

/* Attributions [H,W,C] from a sum of gradients, and what they add up to. */
static bool attributions(struct ig *g, const double *sum, float *a, double *share, struct error *err)
{
  const float *x = g->s.explain->input->x;
  *share = 0;
  for (size_t k = 0; k < g->path; k++) {
    *share += sum[k] * ((double)g->end[k] - (double)g->start[k]);
    g->back[k] = (float)sum[k];
  }
  if (!g->s.info.stem)
    memcpy(a, g->back, g->n * sizeof *a);
  else if (!gradients_stem_back(g->s.evaluator, g->back, a, err))
    return false;
  for (size_t k = 0; k < g->n; k++)
    a[k] = (float)((double)a[k] * ((double)x[k] - (double)g->baseline[k]));
  return true;
}

static void close_panel(struct panel *p)
{
  mem_free(p->a);
  mem_free(p->part);
  p->a = p->part = NULL;
}

/* Integrate over a panel; `grows`: by Gauss's nodes, to which others may be added. */
static bool integrate(struct ig *g, struct panel *p, int nodes, bool grows, int64_t total, bool *done,
                      struct error *err)
{
  p->a = mem_alloc(g->n * sizeof *p->a);
  p->part = grows ? mem_alloc(g->n * sizeof *p->part) : NULL;
  if (!p->a || (grows && !p->part))
    return error_memory(err, "attributions");
  quadrature((enum quadrature)g->options->rule, nodes, g->node, g->weight);
  if (grows)
    quadrature_old_weights(g->other);
  if (!sweep(g, p, nodes, grows, total, done, err))
    return false;
  if (!*done)
    return true;
  if (!attributions(g, g->sum, p->a, &p->share, err) ||
      (grows && !attributions(g, g->second, p->part, &p->part_share, err)))
    return false;
  p->gap = p->share - (p->to_score - p->from_score);
  return true;
}

/* Kronrod's further nodes. *done false: budgets ended the run before, and nothing has changed. */
static bool grow(struct ig *g, struct panel *p, bool *done, struct error *err)
{
  quadrature_new_nodes(g->node, g->weight);
  if (!sweep(g, p, MORE_NODES, false, g->options->max_steps, done, err))
    return false;
  if (!*done)
    return true;
  if (!attributions(g, g->sum, p->a, &p->share, err))
    return false;
  for (size_t k = 0; k < g->n; k++)
    p->a[k] = (float)((double)p->a[k] + (double)p->part[k]);
  p->share += p->part_share;
  p->gap = p->share - (p->to_score - p->from_score);
  mem_free(p->part);
  p->part = NULL;
  return true;
}

static bool score_at(struct ig *g, double alpha, double *score, struct error *err)
{
  const float *x = g->s.explain->input->x;
  for (size_t k = 0; k < g->n; k++)
    g->back[k] = (float)((double)g->baseline[k] + alpha * ((double)x[k] - (double)g->baseline[k]));
  if (!evaluator_score(g->s.evaluator, g->back, g->scores, err))
    return false;
  *score = (double)g->scores[g->target];
  return true;
}

/* Gaps that cancel leave the sum complete; gaps that are large in themselves say that it came about by luck. */
static bool content(const struct ig *g, double allowed)
{
  double sum = 0, sizes = 0;
  for (int i = 0; i < g->n_panels; i++) {
    sum += g->panels[i].gap;
    sizes += fabs(g->panels[i].gap);
  }
  return fabs(sum) <= allowed && sizes <= LARGE_IN_SUM * allowed;
}

/* Two panels instead of one. *done false: budgets ended the run before, and nothing has changed. */
static bool halve(struct ig *g, struct panel *old, bool *done, struct error *err)
{
  struct panel halves[2] = {*old, *old};
  double middle = 0;
  halves[0].a = halves[0].part = halves[1].a = halves[1].part = NULL;
  halves[0].to = halves[1].from = (old->from + old->to) / 2;
  bool ok = score_at(g, halves[0].to, &middle, err);
  halves[0].to_score = halves[1].from_score = middle;
  *done = true;
  for (int i = 0; ok && *done && i < 2; i++)
    ok = integrate(g, &halves[i], GAUSS_NODES, true, g->options->max_steps, done, err);
  if (!ok || !*done) {
    close_panel(&halves[0]);
    close_panel(&halves[1]);
    return ok;
  }
  close_panel(old);
  *old = halves[1];
  g->panels[g->n_panels++] = halves[0];
  return true;
}

/* The panel with the largest gap, the leftmost of equals, gets more nodes. *room false: more than there may be. */
static bool refine(struct ig *g, bool *done, bool *room, struct error *err)
{
  struct panel *worst = &g->panels[0];
  for (int i = 1; i < g->n_panels; i++) {
    struct panel *p = &g->panels[i];
    if (fabs(p->gap) > fabs(worst->gap) || (fabs(p->gap) == fabs(worst->gap) && p->from < worst->from))
      worst = p;
  }
  *room = g->used + (worst->part ? MORE_NODES : 2 * GAUSS_NODES) <= g->options->max_steps &&
          (worst->part || g->n_panels < MOST_PANELS);
  return !*room || (worst->part ? grow(g, worst, done, err) : halve(g, worst, done, err));
}

/* Attributions of one class over one baseline are the sum of the panels. *converged tells whether the gap is small. */
static bool attribute(struct ig *g, double from_score, double to_score, bool *converged, struct error *err)
{
  const struct options *o = g->options;
  const bool automatic = o->steps == PARAM_AUTO_INT && o->rule == QUADRATURE_GAUSS;
  const int64_t fixed = o->steps == PARAM_AUTO_INT ? FIXED_NODES : o->steps;
  const double scale = fmax(fabs(to_score - from_score), LEAST_DIFFERENCE);
  struct panel *first = &g->panels[0];
  bool done = true;
  for (int i = 0; i < g->n_panels; i++)
    close_panel(&g->panels[i]);
  g->used = 0;
  g->n_panels = 1;
  *first = (struct panel){.to = 1, .from_score = from_score, .to_score = to_score};
  if (!integrate(g, first, automatic ? GAUSS_NODES : (int)fixed, automatic, automatic ? o->max_steps : fixed, &done,
                 err))
    return false;
  if (!done)
    return error_set(err, ERROR_USAGE,
                     "ig: ended by '%s' after %lld gradients, before the first attributions were there", g->stopped_by,
                     (long long)g->used);
  if (!automatic) {
    *converged = fabs(first->gap) <= FIXED_GAP * scale;
    return true;
  }
  bool room = true;
  while (done && room && !content(g, o->tolerance * scale))
    if (!refine(g, &done, &room, err))
      return false;
  *converged = content(g, o->tolerance * scale);
  return true;
}

/* ---- baselines and classes ------------------------------------------------------------------------------------- */

static bool set_baseline(struct ig *g, int draw, struct error *err)
{
  if (!fill_values(&g->fill, (uint32_t)draw, g->baseline, err))
    return false;
  if (!g->s.info.stem) {
    memcpy(g->start, g->baseline, g->n * sizeof *g->start);
    memcpy(g->end, g->s.explain->input->x, g->n * sizeof *g->end);
    return true;
  }
  return gradients_stem(g->s.evaluator, g->baseline, g->start, err) &&
         gradients_stem(g->s.evaluator, g->s.explain->input->x, g->end, err);
}

/* What is said of the class that is shown: the mean over baselines, and how the worst of them did. */
static void note(struct ig *g, double from_score, double to_score, bool converged)
{
  const double difference = to_score - from_score;
  double gap = 0;
  for (int i = 0; i < g->n_panels; i++)
    gap += g->panels[i].gap;
  const double relative = fabs(gap) / fmax(fabs(difference), LEAST_DIFFERENCE);
  g->figures.absolute += fabs(gap) / g->draws;
  g->figures.gap += relative / g->draws;
  g->figures.worst = fmax(g->figures.worst, relative);
  g->figures.nodes += (double)g->used / g->draws;
  g->figures.panels += (double)g->n_panels / g->draws;
  g->figures.converged &= converged;
}

static bool class_map(struct ig *g, int64_t t, double *mean, double *square, double *full, struct error *err)
{
  const double to_score = (double)evaluator_scores(g->s.evaluator)[g->s.targets[t]];
  const bool shown = g->s.targets[t] == g->s.out->target;
  const size_t c = g->s.channels;
  memset(mean, 0, g->n * sizeof *mean);
  memset(square, 0, 2 * g->s.pixels * sizeof *square);
  g->target = g->s.targets[t];
  for (int d = 0; d < g->draws; d++) {
    double from_score;
    bool converged;
    const struct backward_request request = request_of(g);
    if (!gradients_begin(g->s.evaluator, &request, &g->s.info, err) || !set_baseline(g, d, err) ||
        !score_at(g, 0, &from_score, err) || !attribute(g, from_score, to_score, &converged, err))
      return false;
    for (size_t p = 0; p < g->s.pixels; p++) {
      double value = 0;
      for (size_t k = p * c; k < (p + 1) * c; k++) {
        double a = 0;
        for (int i = 0; i < g->n_panels; i++)
          a += (double)g->panels[i].a[k];
        mean[k] += a / g->draws;
        value += a;
      }
      const double before = value - square[g->s.pixels + p]; /* running mean and squares (Welford) */
      square[g->s.pixels + p] += before / (d + 1);
      square[p] += before * (value - square[g->s.pixels + p]);
    }
    if (shown) {
      *full += from_score / g->draws;
      note(g, from_score, to_score, converged);
    }
  }
  slopes_put(&g->s, t, mean, REDUCE_SUM);
  return true;
}

static bool rooms(struct ig *g, struct error *err)
{
  /* The request is begun once before: it tells whether there is a stem. */
  const struct backward_request request = request_of(g);
  if (!gradients_begin(g->s.evaluator, &request, &g->s.info, err))
    return slopes_no_gradient(err);
  g->n = g->s.pixels * g->s.channels;
  g->path = g->s.info.stem ? (size_t)g->s.info.stem : g->n;
  g->baseline = mem_zero(g->n, sizeof(float));
  g->start = mem_zero(g->path, sizeof(float));
  g->end = mem_zero(g->path, sizeof(float));
  g->sum = mem_zero(g->path, sizeof *g->sum);
  g->second = mem_zero(g->path, sizeof *g->second);
  g->back = mem_zero(g->path > g->n ? g->path : g->n, sizeof(float));
  g->scores = mem_zero((size_t)g->s.explain->predictor->classes, sizeof(float));
  return (g->baseline && g->start && g->end && g->sum && g->second && g->back && g->scores) ||
         error_memory(err, "a path");
}

static void report(struct ig *g, double full)
{
  struct explanation *out = g->s.out;
  const struct options *o = g->options;
  json_object_set_new(out->quality, "completeness_gap", json_number_or_null(g->figures.gap));
  json_object_set_new(out->quality, "completeness_gap_absolute", json_number_or_null(g->figures.absolute));
  json_object_set_new(out->quality, "completeness_gap_worst", json_number_or_null(g->figures.worst));
  json_object_set_new(out->quality, "nodes", json_number_or_null(g->figures.nodes));
  json_object_set_new(out->quality, "panels", json_number_or_null(g->figures.panels));
  json_object_set_new(out->quality, "converged", json_boolean(g->figures.converged));
  json_object_set_new(out->quality, "baselines", json_integer(g->draws));
  json_object_set_new(out->details, "stem", json_boolean(g->s.info.stem != 0));
  if (!g->figures.converged)
    explanation_warn(out, "not-converged", "attributions miss the score difference by %.1f %%%s",
                     100 * g->figures.worst,
                     o->steps == PARAM_AUTO_INT ? "; raise --max-steps" : "; raise --steps or leave it to auto");
  slopes_report(&g->s, g->stopped_by, true);
  warn_of_fill(g->s.explain, g->fill.text, g->fill.note, full, out);
}

static bool explain_classes(struct ig *g, struct error *err)
{
  const struct input *input = g->s.explain->input;
  const int64_t dims[2] = {input->geometry.height, input->geometry.width};
  double full = 0;
  const struct fill_scene scene = {g->s.explain->card, input, g->s.explain->seed};
  if (g->options->rule == QUADRATURE_TRAPEZOID && g->options->steps == 1)
    return error_set(err, ERROR_USAGE, "steps: the trapezoid rule wants at least 2");
  if (!fill_open(&g->fill, g->options->fill, &scene, err))
    return false;
  g->draws = fill_draws(&g->fill, g->options->draws);
  if (!slopes_open(&g->s, g->s.explain, NULL, g->options->keep_channels, g->s.out, err) || !rooms(g, err))
    return false;
  float *error = g->draws > 1 && g->s.n_targets == 1 ? explanation_floats(g->s.out, "stderr", 2, dims, err) : NULL;
  double *mean = mem_zero(g->n + 2 * g->s.pixels, sizeof *mean), *square = mean ? mean + g->n : NULL;
  bool ok = (mean || error_memory(err, "attributions")) && (error || g->draws == 1 || g->s.n_targets > 1);
  g->figures.converged = true;
  for (int64_t t = 0; ok && t < g->s.n_targets; t++)
    ok = class_map(g, t, mean, square, &full, err);
  for (size_t p = 0; ok && error && p < g->s.pixels; p++)
    error[p] = (float)sqrt(square[p] / (g->draws - 1) / g->draws);
  mem_free(mean);
  if (ok)
    report(g, full);
  return ok;
}

/* Attributions of every panel are held until the end, those that may grow twice: not more than half of the memory. */
static void reserve(struct ig *g)
{
  const struct input *input = g->explain.input;
  const size_t image =
      (size_t)input->geometry.height * (size_t)input->geometry.width * (size_t)input->channels * sizeof(float);
  size_t *memory = &g->explain.evaluate.session.memory;
  const size_t limit = *memory ? *memory : (size_t)1 << 30;
  const bool automatic = g->options->steps == PARAM_AUTO_INT && g->options->rule == QUADRATURE_GAUSS;
  const size_t panels = automatic ? (size_t)g->options->max_steps / GAUSS_NODES + 1 : 1;
  const size_t wanted = panels * image;
  *memory = wanted < limit / 2 ? limit - wanted : limit / 2;
}

static bool run(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  struct ig *g = mem_zero(1, sizeof *g);
  if (!g)
    return error_memory(err, "a path");
  g->explain = *explain;
  g->options = options;
  g->s = (struct slopes){.explain = &g->explain, .out = out};
  reserve(g);
  g->stopped_by = "complete";
  const bool ok = explain_classes(g, err);
  for (int i = 0; i < g->n_panels; i++)
    close_panel(&g->panels[i]);
  mem_free(g->baseline);
  mem_free(g->start);
  mem_free(g->end);
  mem_free(g->sum);
  mem_free(g->second);
  mem_free(g->back);
  mem_free(g->scores);
  fill_close(&g->fill);
  slopes_close(&g->s);
  mem_free(g);
  return ok;
}

const struct method method_ig = {
    .name = "ig",
    .title = "Integrated gradients",
    .unit = "score",
    .summary = "attributions that add up to the score's difference from a baseline",
    .paper = "Sundararajan, Taly, Yan: Axiomatic Attribution for Deep Networks, ICML 2017",
    .needs = NEEDS_GRADIENT,
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
