/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/surrogate.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

enum { AUTO_FORWARD = 6 }; /* up to so many features `auto` selects them step by step, as the lime package does */

#define SELECTION_RIDGE 0.01 /* of highest-weights, likewise */

double surrogate_weight(int64_t kept, int64_t features, double width)
{
  const double d = 1 - sqrt((double)kept / (double)features);
  return exp(-d * d / (width * width) / 2);
}

bool surrogate_open(struct surrogate *s, int64_t features, int64_t targets, struct error *err)
{
  const size_t n = (size_t)features, t = (size_t)targets;
  *s = (struct surrogate){.features = features, .targets = targets};
  s->beta = mem_zero(n * t, sizeof(double));
  s->error = mem_zero(n * t, sizeof(double));
  s->intercept = mem_zero(t, sizeof(double));
  s->r2 = mem_zero(t, sizeof(double));
  s->origin = mem_zero(t, sizeof(double));
  s->inverse = mem_zero(n * n, sizeof(double));
  s->part = mem_zero(n * n, sizeof(double));
  s->work = mem_zero(n * n, sizeof(double));
  s->vectors = mem_zero(5 * n, sizeof(double));
  s->taken = mem_zero(n, sizeof *s->taken);
  s->chosen = mem_zero(n, sizeof *s->chosen);
  if (s->beta && s->error && s->intercept && s->r2 && s->origin && s->inverse && s->part && s->work && s->vectors &&
      s->taken && s->chosen)
    return moments_open(&s->moments, features, targets, err);
  return error_memory(err, "a fit");
}

void surrogate_close(struct surrogate *s)
{
  mem_free(s->beta);
  mem_free(s->error);
  mem_free(s->intercept);
  mem_free(s->r2);
  mem_free(s->origin);
  mem_free(s->inverse);
  mem_free(s->part);
  mem_free(s->work);
  mem_free(s->vectors);
  mem_free(s->taken);
  mem_free(s->chosen);
  moments_close(&s->moments);
  *s = (struct surrogate){0};
}

/* ---- selection: from centred sums, into s->chosen; the number of features is returned -----------------------------
 */

/* Least squares step by step: each time the feature that raises R2 most. With everything taken so far swept out, that
 * gain is zy^2 / zz of what is left. */
static int64_t select_forward(struct surrogate *s, const double *zy, int64_t most)
{
  const int64_t n = s->features;
  const double *zz = s->moments.zz;
  double *c = s->part, *y = s->vectors;
  memcpy(c, zz, (size_t)(n * n) * sizeof *c);
  memcpy(y, zy, (size_t)n * sizeof *y);
  for (int64_t count = 0; count < most; count++) {
    int64_t best = -1;
    double gain = 0;
    for (int64_t j = 0; j < n; j++) {
      /* A feature that those taken determine has nothing left to add. */
      if (s->taken[j] || !(c[j * n + j] > 1e-12 * zz[j * n + j]))
        continue;
      const double g = y[j] * y[j] / c[j * n + j];
      if (best < 0 || g > gain) {
        best = j;
        gain = g;
      }
    }
    if (best < 0)
      return count;
    s->chosen[count] = best;
    s->taken[best] = true;
    const double pivot = c[best * n + best], slope = y[best] / pivot, *row = c + best * n;
    for (int64_t j = 0; j < n; j++) {
      if (j == best)
        continue;
      const double f = c[j * n + best] / pivot;
      for (int64_t k = 0; k < n; k++)
        c[j * n + k] -= f * row[k];
      y[j] -= slope * row[j];
    }
  }
  return most;
}

static void multiply(const double *matrix, const double *x, int64_t n, double *y)
{
  memset(y, 0, (size_t)n * sizeof *y);
  for (int64_t a = 0; a < n; a++)
    for (int64_t b = 0; b < n; b++)
      y[b] += matrix[a * n + b] * x[a];
}

/* The largest coefficients of a ridge fit to all; of equal ones the lower number. */
static int64_t select_highest(struct surrogate *s, const double *zy, int64_t most)
{
  const int64_t n = s->features;
  double *beta = s->vectors;
  if (!inverse_symmetric(s->moments.zz, n, SELECTION_RIDGE, s->part, s->work))
    return 0;
  multiply(s->part, zy, n, beta);
  for (int64_t count = 0; count < most; count++) {
    int64_t best = -1;
    for (int64_t j = 0; j < n; j++)
      if (!s->taken[j] && (best < 0 || fabs(beta[j]) > fabs(beta[best])))
        best = j;
    s->chosen[count] = best;
    s->taken[best] = true;
  }
  return most;
}

/* The lasso's path (least angle regression with its modification: Efron, Hastie, Johnstone & Tibshirani 2004), on sums.
 * The active features' inverse is bordered when one enters and reduced when one leaves. */
struct path {
  const double *zz;
  int64_t n, count;
  double *inverse;                                         /* [n,n], the leading count x count is used */
  int64_t *active;                                         /* [n] */
  bool *closed;                                            /* [n] active, or determined by others and never to enter */
  double *beta, *correlation, *direction, *slope, *border; /* [n] */
};

static bool path_enter(struct path *p, int64_t j)
{
  const int64_t n = p->n, m = p->count;
  double left = p->zz[j * n + j];
  for (int64_t a = 0; a < m; a++) {
    p->border[a] = 0;
    for (int64_t b = 0; b < m; b++)
      p->border[a] += p->inverse[a * n + b] * p->zz[p->active[b] * n + j];
  }
  for (int64_t a = 0; a < m; a++)
    left -= p->border[a] * p->zz[p->active[a] * n + j];
  p->closed[j] = true;
  if (!(left > 1e-12 * p->zz[j * n + j]))
    return false;
  for (int64_t a = 0; a < m; a++) {
    for (int64_t b = 0; b < m; b++)
      p->inverse[a * n + b] += p->border[a] * p->border[b] / left;
    p->inverse[a * n + m] = p->inverse[m * n + a] = -p->border[a] / left;
  }
  p->inverse[m * n + m] = 1 / left;
  p->active[p->count++] = j;
  return true;
}

static void path_leave(struct path *p, int64_t at)
{
  const int64_t n = p->n, m = p->count;
  const double pivot = p->inverse[at * n + at];
  p->closed[p->active[at]] = false;
  for (int64_t a = 0; a < m; a++)
    p->border[a] = p->inverse[a * n + at];
  for (int64_t a = 0; a < m; a++)
    for (int64_t b = 0; b < m; b++)
      p->inverse[a * n + b] -= p->border[a] * p->border[b] / pivot;
  for (int64_t a = at; a + 1 < m; a++) { /* close the gap */
    memcpy(p->inverse + a * n, p->inverse + (a + 1) * n, (size_t)m * sizeof *p->inverse);
    p->active[a] = p->active[a + 1];
  }
  for (int64_t a = 0; a + 1 < m; a++)
    memmove(p->inverse + a * n + at, p->inverse + a * n + at + 1, (size_t)(m - at - 1) * sizeof *p->inverse);
  p->count--;
}

/* Go on to the next knot, where a feature enters, or one leaves: its active place is returned, else -1. `left` has just
 * left: it stands at the bound still, and moves away from it. */
static int64_t path_step(struct path *p, double largest, int64_t left)
{
  const int64_t n = p->n;
  /* With direction = inverse * signs all active correlations fall by 1 per unit of step. */
  memset(p->slope, 0, (size_t)n * sizeof *p->slope);
  for (int64_t a = 0; a < p->count; a++) {
    p->direction[a] = 0;
    for (int64_t b = 0; b < p->count; b++)
      p->direction[a] += p->inverse[a * n + b] * (p->correlation[p->active[b]] < 0 ? -1 : 1);
    for (int64_t j = 0; j < n; j++)
      p->slope[j] += p->zz[p->active[a] * n + j] * p->direction[a];
  }
  double step = largest;
  int64_t leaves = -1;
  for (int64_t j = 0; j < n; j++) {
    const double c = p->correlation[j], up = fmax(largest - c, 0), down = fmax(largest + c, 0);
    if (p->closed[j])
      continue;
    if (p->slope[j] < 1 && !(j == left && c > 0))
      step = fmin(step, up / (1 - p->slope[j]));
    if (p->slope[j] > -1 && !(j == left && c < 0))
      step = fmin(step, down / (1 + p->slope[j]));
  }
  for (int64_t a = 0; a < p->count; a++) {
    const double zero = -p->beta[p->active[a]] / p->direction[a];
    if (zero > 0 && zero < step) {
      step = zero;
      leaves = a;
    }
  }
  for (int64_t a = 0; a < p->count; a++)
    p->beta[p->active[a]] += step * p->direction[a];
  for (int64_t j = 0; j < n; j++)
    p->correlation[j] -= step * p->slope[j];
  return leaves;
}

/* The features of the last knot at which at most `most` coefficients are not 0. */
static int64_t walk_path(struct path *p, int64_t most, int64_t *chosen)
{
  int64_t count = 0, left = -1;
  double first = 0;
  for (int64_t knot = 0; knot < 8 * p->n; knot++) {
    int64_t enters = -1;
    double largest = 0;
    for (int64_t j = 0; j < p->n; j++) {
      const double c = fabs(p->correlation[j]);
      if (!p->closed[j] && j != left && (enters < 0 || c > fabs(p->correlation[enters])))
        enters = j;
    }
    for (int64_t a = 0; a < p->count; a++)
      largest = fmax(largest, fabs(p->correlation[p->active[a]]));
    if (p->count == 0 && enters >= 0)
      largest = fabs(p->correlation[enters]);
    if (knot == 0)
      first = largest;
    if (!(largest > 1e-12 * first))
      break;
    /* After one has left, the others go on alone. */
    if (left < 0 && enters >= 0 && !path_enter(p, enters))
      continue;
    const int64_t leaves = path_step(p, largest, left);
    left = -1;
    if (leaves >= 0) {
      left = p->active[leaves];
      p->beta[left] = 0;
      path_leave(p, leaves);
    }
    int64_t here = 0;
    for (int64_t a = 0; a < p->count; a++)
      here += p->beta[p->active[a]] != 0;
    if (here == 0 || here > most)
      continue;
    count = 0;
    for (int64_t a = 0; a < p->count; a++)
      if (p->beta[p->active[a]] != 0)
        chosen[count++] = p->active[a];
  }
  return count;
}

static int64_t select_lasso(struct surrogate *s, const double *zy, int64_t most, struct error *err)
{
  const int64_t n = s->features;
  double *v = s->vectors;
  struct path p = {
      .zz = s->moments.zz,
      .n = n,
      .inverse = s->part,
      .closed = s->taken,
      .beta = v,
      .correlation = v + n,
      .direction = v + 2 * n,
      .slope = v + 3 * n,
      .border = v + 4 * n,
  };
  p.active = mem_zero((size_t)n, sizeof *p.active);
  if (!p.active) {
    error_memory(err, "a selection");
    return -1;
  }
  memset(p.beta, 0, (size_t)n * sizeof *p.beta);
  memcpy(p.correlation, zy, (size_t)n * sizeof *zy);
  const int64_t count = walk_path(&p, most, s->chosen);
  mem_free(p.active);
  return count;
}

/* -1 when memory is out. */
static int64_t choose(struct surrogate *s, const struct surrogate_options *o, const double *zy, struct error *err)
{
  enum selection select = o->select;
  if (select == SELECT_AUTO)
    select = o->most <= AUTO_FORWARD ? SELECT_FORWARD : SELECT_HIGHEST;
  memset(s->taken, 0, (size_t)s->features * sizeof *s->taken);
  if (select == SELECT_FORWARD)
    return select_forward(s, zy, o->most);
  if (select == SELECT_HIGHEST)
    return select_highest(s, zy, o->most);
  return select_lasso(s, zy, o->most, err);
}

/* ---- the fit ---------------------------------------------------------------------------------------------------- */

/* inverse := that of the chosen features' sums, 0 elsewhere; count < 0 means all. */
static bool invert(struct surrogate *s, double alpha, int64_t count, struct error *err)
{
  const int64_t n = s->features;
  const bool all = count < 0;
  double *to = all ? s->inverse : s->part;
  if (!all) {
    for (int64_t a = 0; a < count; a++) /* gathered in `inverse`, inverted in `part` */
      for (int64_t b = 0; b < count; b++)
        s->inverse[a * count + b] = s->moments.zz[s->chosen[a] * n + s->chosen[b]];
  }
  if (!inverse_symmetric(all ? s->moments.zz : s->inverse, all ? n : count, alpha, to, s->work))
    return error_set(err, ERROR_FAILED,
                     "alpha: %g leaves the fit singular: these samples do not determine %lld superpixels", alpha,
                     (long long)(all ? n : count));
  if (!all) {
    memset(s->inverse, 0, (size_t)(n * n) * sizeof *s->inverse);
    for (int64_t a = 0; a < count; a++)
      for (int64_t b = 0; b < count; b++)
        s->inverse[s->chosen[a] * n + s->chosen[b]] = s->part[a * count + b];
  }
  return true;
}

/* Coefficients of targets first..first+n-1 by the inverse at hand. */
static void solve(struct surrogate *s, int64_t first, int64_t n)
{
  const struct moments *m = &s->moments;
  for (int64_t t = first; t < first + n; t++) {
    double *beta = s->beta + t * s->features, sum = m->y[t];
    multiply(s->inverse, m->zy + t * s->features, s->features, beta);
    for (int64_t b = 0; b < s->features; b++)
      sum -= m->z[b] * beta[b];
    s->intercept[t] = s->origin[t] + sum / m->weight;
  }
}

static bool find_errors(struct surrogate *s, const struct design *d, int64_t first, int64_t n, int64_t fitted,
                        struct error *err)
{
  const int64_t features = s->features;
  double *mean = s->vectors;
  for (int64_t b = 0; b < features; b++)
    mean[b] = s->moments.z[b] / s->moments.weight;
  const struct sandwich sandwich = {.inverse = s->inverse, .mean = mean, .fitted = fitted + 1};
  double *error = s->error + first * features;
  if (!sandwich_variance(&sandwich, d, first, n, s->beta + first * features, s->intercept + first, error, err))
    return false;
  for (int64_t i = 0; i < n * features; i++)
    error[i] = sqrt(error[i]);
  return true;
}

static void find_r2(struct surrogate *s, const struct design *d)
{
  for (int64_t t = 0; t < s->targets; t++) {
    const double mean = s->origin[t] + s->moments.y[t] / s->moments.weight;
    double left = 0, total = 0;
    for (int64_t i = 0; i < d->rows; i++) {
      const double y = (double)design_scores(d, i)[t];
      const double fitted = s->intercept[t] + mask_sum(design_mask(d, i), d->words, s->beta + t * s->features);
      left += d->weight[i] * (y - fitted) * (y - fitted);
      total += d->weight[i] * (y - mean) * (y - mean);
    }
    s->r2[t] = total > 0 ? 1 - left / total : NAN;
  }
}

bool surrogate_fit(struct surrogate *s, const struct design *d, const struct surrogate_options *options, bool whole,
                   struct error *err)
{
  const int64_t n = s->features;
  for (int64_t t = 0; t < s->targets; t++)
    s->origin[t] = (double)design_scores(d, 0)[t];
  if (!moments_sum(&s->moments, d, s->origin, err))
    return false;
  moments_centre(&s->moments);
  if (options->select == SELECT_NONE || options->most >= n) {
    if (!invert(s, options->alpha, -1, err))
      return false;
    solve(s, 0, s->targets);
    if (whole && !find_errors(s, d, 0, s->targets, n, err))
      return false;
  } else {
    for (int64_t t = 0; t < s->targets; t++) {
      const int64_t count = choose(s, options, s->moments.zy + t * n, err);
      if (count < 0 || !invert(s, options->alpha, count, err))
        return false;
      solve(s, t, 1);
      if (whole && !find_errors(s, d, t, 1, count, err))
        return false;
    }
  }
  if (whole)
    find_r2(s, d);
  return true;
}
