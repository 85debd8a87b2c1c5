/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/mask_objective.h"

#include "base/mem.h"
#include "perturb/fill.h"

#include <math.h>
#include <string.h>

/* ---- the grid -------------------------------------------------------------------------------------------------- */

/* Rows of the matrix cells -> pixels as they come out of blurring the bilinear weights along the axis. */
static bool axis_matrix(const struct mask_axis *a, double sigma, float *matrix, struct error *err)
{
  float *linear = mem_zero((size_t)a->n * (size_t)a->cells, sizeof *linear);
  if (!linear)
    return error_memory(err, "a mask");
  for (int i = 0; i < a->n; i++) {
    double at = (i + 0.5) * a->cells / a->n - 0.5; /* pixel centres */
    at = fmin(fmax(at, 0), a->cells - 1);
    const int low = (int)at, high = low + 1 < a->cells ? low + 1 : low;
    linear[(int64_t)i * a->cells + low] += (float)(1 - (at - low));
    linear[(int64_t)i * a->cells + high] += (float)(at - low);
  }
  /* A picture one pixel wide whose channels are the cells: reflected, truncated and scaled as every other blur. */
  const bool ok = blur_image(linear, a->n, 1, a->cells, sigma, matrix, err);
  mem_free(linear);
  return ok;
}

static bool axis_open(struct mask_axis *a, int n, int cells, double sigma, struct error *err)
{
  a->n = n;
  a->cells = cells;
  float *matrix = mem_zero((size_t)n * (size_t)cells, sizeof *matrix);
  a->first = mem_zero((size_t)n, sizeof *a->first);
  bool ok = (matrix && a->first) || error_memory(err, "a mask");
  ok = ok && axis_matrix(a, sigma, matrix, err);
  for (int i = 0; ok && i < n; i++) {
    const float *row = matrix + (int64_t)i * cells;
    int from = 0, to = cells;
    while (from < cells - 1 && row[from] == 0)
      from++;
    while (to > from + 1 && row[to - 1] == 0)
      to--;
    a->first[i] = from;
    a->band = to - from > a->band ? to - from : a->band;
  }
  if (ok) {
    a->weight = mem_zero((size_t)n * (size_t)a->band, sizeof *a->weight);
    ok = a->weight || error_memory(err, "a mask");
  }
  for (int i = 0; ok && i < n; i++) {
    double *weight = a->weight + (int64_t)i * a->band, sum = 0;
    if (a->first[i] + a->band > cells)
      a->first[i] = cells - a->band;
    for (int k = 0; k < a->band; k++)
      sum += weight[k] = (double)matrix[(int64_t)i * cells + a->first[i] + k];
    for (int k = 0; k < a->band; k++) /* a full mask must be 1, not nearly */
      weight[k] /= sum;
  }
  mem_free(matrix);
  return ok;
}

bool mask_grid_open(struct mask_grid *grid, int height, int width, int rows, int columns, double sigma_y,
                    double sigma_x, struct error *err)
{
  *grid = (struct mask_grid){0};
  grid->rows = mem_zero((size_t)height * (size_t)columns, sizeof *grid->rows);
  if (!grid->rows)
    return error_memory(err, "a mask");
  return axis_open(&grid->y, height, rows, sigma_y, err) && axis_open(&grid->x, width, columns, sigma_x, err);
}

void mask_grid_close(struct mask_grid *grid)
{
  mem_free(grid->y.first);
  mem_free(grid->y.weight);
  mem_free(grid->x.first);
  mem_free(grid->x.weight);
  mem_free(grid->rows);
  *grid = (struct mask_grid){0};
}

void mask_grid_up(const struct mask_grid *g, const double *cells, double *mask)
{
  const int columns = g->x.cells;
  for (int i = 0; i < g->y.n; i++) {
    double *row = g->rows + (int64_t)i * columns;
    const double *weight = g->y.weight + (int64_t)i * g->y.band;
    memset(row, 0, (size_t)columns * sizeof *row);
    for (int k = 0; k < g->y.band; k++) {
      const double *from = cells + (int64_t)(g->y.first[i] + k) * columns;
      for (int j = 0; j < columns; j++)
        row[j] += weight[k] * from[j];
    }
    for (int j = 0; j < g->x.n; j++) {
      const double *across = g->x.weight + (int64_t)j * g->x.band, *from = row + g->x.first[j];
      double sum = 0;
      for (int k = 0; k < g->x.band; k++)
        sum += across[k] * from[k];
      *mask++ = sum;
    }
  }
}

void mask_grid_down(const struct mask_grid *g, const double *signal, double *cells)
{
  const int columns = g->x.cells;
  memset(cells, 0, (size_t)g->y.cells * (size_t)columns * sizeof *cells);
  for (int i = 0; i < g->y.n; i++) {
    double *row = g->rows + (int64_t)i * columns;
    const double *weight = g->y.weight + (int64_t)i * g->y.band;
    memset(row, 0, (size_t)columns * sizeof *row);
    for (int j = 0; j < g->x.n; j++, signal++) {
      const double *across = g->x.weight + (int64_t)j * g->x.band;
      double *to = row + g->x.first[j];
      for (int k = 0; k < g->x.band; k++)
        to[k] += across[k] * *signal;
    }
    for (int k = 0; k < g->y.band; k++) {
      double *to = cells + (int64_t)(g->y.first[i] + k) * columns;
      for (int j = 0; j < columns; j++)
        to[j] += weight[k] * row[j];
    }
  }
}

void mask_grid_average(const struct mask_grid *g, const double *mask, double *cells)
{
  for (int i = 0; i < g->y.cells; i++)
    for (int j = 0; j < g->x.cells; j++) {
      const int y0 = (int)((int64_t)i * g->y.n / g->y.cells), y1 = (int)((int64_t)(i + 1) * g->y.n / g->y.cells);
      const int x0 = (int)((int64_t)j * g->x.n / g->x.cells), x1 = (int)((int64_t)(j + 1) * g->x.n / g->x.cells);
      double sum = 0;
      for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++)
          sum += mask[(int64_t)y * g->x.n + x];
      *cells++ = sum / ((double)(y1 - y0) * (x1 - x0));
    }
}

/* ---- the image ------------------------------------------------------------------------------------------------- */

static int within(int i, int n)
{
  return i < 0 ? 0 : i < n ? i : n - 1;
}

void mask_blend(const struct mask_scene *s, int dy, int dx, const double *mask, float *image)
{
  for (int y = 0; y < s->height; y++) {
    const int64_t row = (int64_t)within(y - dy, s->height) * s->width;
    for (int x = 0; x < s->width; x++) {
      const float m = (float)*mask++;
      const int64_t at = (row + within(x - dx, s->width)) * s->channels;
      for (int c = 0; c < s->channels; c++)
        *image++ = s->x[at + c] * m + s->fill[at + c] * (1 - m);
    }
  }
}

void mask_blend_back(const struct mask_scene *s, int dy, int dx, const float *gradient, double *signal)
{
  for (int y = 0; y < s->height; y++) {
    const int64_t row = (int64_t)within(y - dy, s->height) * s->width;
    for (int x = 0; x < s->width; x++) {
      const int64_t at = (row + within(x - dx, s->width)) * s->channels;
      double sum = 0;
      for (int c = 0; c < s->channels; c++)
        sum += (double)*gradient++ * ((double)s->x[at + c] - (double)s->fill[at + c]);
      *signal++ = sum;
    }
  }
}

/* ---- the objective --------------------------------------------------------------------------------------------- */

bool mask_learnable(const struct mask_objective *o)
{
  return o->full - o->base > 1e-6 * fmax(1, fabs(o->full));
}

static double drop_of(const struct mask_objective *o)
{
  return mask_learnable(o) ? o->full - o->base : 1;
}

double mask_share(const struct mask_objective *o, double f)
{
  return (f - o->base) / drop_of(o);
}

/* Forward differences and their length at a cell, in mask steps per cell of a 28-cell side. */
static double variation_at(const struct mask_objective *o, const double *m, int i, int j, double *dy, double *dx)
{
  const int64_t at = (int64_t)i * o->columns + j;
  const double scale = (o->rows < o->columns ? o->rows : o->columns) / 28.0;
  *dy = i + 1 < o->rows ? scale * (m[at + o->columns] - m[at]) : 0;
  *dx = j + 1 < o->columns ? scale * (m[at + 1] - m[at]) : 0;
  return sqrt(*dx * *dx + *dy * *dy);
}

double mask_value(const struct mask_objective *o, double f, const double *m, struct mask_terms *terms)
{
  const int64_t n = (int64_t)o->rows * o->columns;
  const double share = mask_share(o, f);
  double sum = 0, variation = 0, dy, dx;
  for (int64_t i = 0; i < n; i++)
    sum += o->preserve ? m[i] : 1 - m[i];
  for (int i = 0; i < o->rows; i++)
    for (int j = 0; j < o->columns; j++)
      variation += pow(variation_at(o, m, i, j, &dy, &dx), o->beta);
  if (o->raw)
    terms->score = o->preserve ? -f : f;
  else /* not fmin, fmax: they would hide what is not a number */
    terms->score = o->preserve ? (share > 1 ? -1 : -share) : share < 0 ? 0 : share;
  terms->area = o->l1 * sum / (double)n;
  terms->variation = o->tv * variation / (double)n;
  return terms->score + terms->area + terms->variation;
}

double mask_slope(const struct mask_objective *o, double f)
{
  const double share = mask_share(o, f), sign = o->preserve ? -1 : 1;
  if (o->raw)
    return sign;
  return (o->preserve ? share > 1 : share < 0) ? 0 : sign / drop_of(o);
}

void mask_prices_back(const struct mask_objective *o, const double *m, double *gradient)
{
  const double n = (double)o->rows * o->columns, scale = (o->rows < o->columns ? o->rows : o->columns) / 28.0;
  const double area = (o->preserve ? o->l1 : -o->l1) / n;
  for (int i = 0; i < o->rows; i++)
    for (int j = 0; j < o->columns; j++) {
      const int64_t at = (int64_t)i * o->columns + j;
      double dy, dx;
      const double r = variation_at(o, m, i, j, &dy, &dx);
      gradient[at] += area;
      if (!(r > 0)) /* for beta < 2 the length has a kink at 0: the middle of its slopes */
        continue;
      const double k = o->tv / n * o->beta * pow(r, o->beta - 2) * scale;
      gradient[at] -= k * (dy + dx);
      if (i + 1 < o->rows)
        gradient[at + o->columns] += k * dy;
      if (j + 1 < o->columns)
        gradient[at + 1] += k * dx;
    }
}

/* ---- Adam ------------------------------------------------------------------------------------------------------ */

bool adam_open(struct adam *a, int64_t n, double rate, struct error *err)
{
  *a = (struct adam){.n = n, .rate = rate};
  a->mean = mem_zero(2 * (size_t)n, sizeof *a->mean);
  a->square = a->mean ? a->mean + n : NULL;
  return a->mean || error_memory(err, "an optimiser");
}

void adam_close(struct adam *a)
{
  mem_free(a->mean);
  *a = (struct adam){0};
}

void adam_reset(struct adam *a)
{
  memset(a->mean, 0, 2 * (size_t)a->n * sizeof *a->mean);
  a->step = 0;
}

void adam_step(struct adam *a, const double *gradient, double *cells)
{
  const double forget = 0.9, forget_square = 0.999, small = 1e-8;
  a->step++;
  const double mean_scale = 1 - pow(forget, (double)a->step), square_scale = 1 - pow(forget_square, (double)a->step);
  for (int64_t i = 0; i < a->n; i++) {
    a->mean[i] = forget * a->mean[i] + (1 - forget) * gradient[i];
    a->square[i] = forget_square * a->square[i] + (1 - forget_square) * gradient[i] * gradient[i];
    const double step = a->rate * (a->mean[i] / mean_scale) / (sqrt(a->square[i] / square_scale) + small);
    cells[i] = fmin(fmax(cells[i] - step, 0), 1);
  }
}
