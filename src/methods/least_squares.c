/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/least_squares.h"

#include "base/mem.h"
#include "base/threads.h"

#include <math.h>
#include <string.h>

enum {
  BLOCK = 64,   /* rows that are unpacked at a time */
  TARGETS = 64, /* classes whose residuals are held at a time */
};

/* ---- designs --------------------------------------------------------------------------------------------------- */

bool design_open(struct design *d, int64_t capacity, int64_t features, int64_t targets, struct error *err)
{
  *d = (struct design){.capacity = capacity, .features = features, .targets = targets, .group = 1};
  d->words = (features + 63) / 64;
  size_t scores, bits;
  if (!size_mul((size_t)capacity, (size_t)targets, &scores) || !size_mul((size_t)capacity, (size_t)d->words, &bits))
    return error_memory(err, "samples");
  d->bits = mem_zero(bits, sizeof *d->bits);
  d->weight = mem_zero((size_t)capacity, sizeof *d->weight);
  d->y = mem_zero(scores, sizeof *d->y);
  if (d->bits && d->weight && d->y)
    return true;
  design_close(d);
  return error_memory(err, "samples");
}

void design_close(struct design *d)
{
  mem_free(d->bits);
  mem_free(d->weight);
  mem_free(d->y);
  *d = (struct design){0};
}

uint64_t *design_mask(const struct design *d, int64_t row)
{
  return d->bits + row * d->words;
}

float *design_scores(const struct design *d, int64_t row)
{
  return d->y + row * d->targets;
}

int64_t design_groups(const struct design *d)
{
  return d->rows <= d->single ? d->rows : d->single + (d->rows - d->single + d->group - 1) / d->group;
}

void design_group(const struct design *d, int64_t group, int64_t *begin, int64_t *end)
{
  if (group < d->single) {
    *begin = group;
    *end = group + 1;
    return;
  }
  *begin = d->single + (group - d->single) * d->group;
  *end = *begin + d->group < d->rows ? *begin + d->group : d->rows;
}

double mask_sum(const uint64_t *mask, int64_t words, const double *beta)
{
  double sum = 0;
  for (int64_t w = 0; w < words; w++)
    for (uint64_t left = mask[w]; left; left &= left - 1)
      sum += beta[w * 64 + __builtin_ctzll(left)];
  return sum;
}

/* ---- moments --------------------------------------------------------------------------------------------------- */

bool moments_open(struct moments *m, int64_t features, int64_t targets, struct error *err)
{
  const size_t s = (size_t)features, t = (size_t)targets;
  *m = (struct moments){.features = features, .targets = targets};
  m->z = mem_zero(s, sizeof(double));
  m->zz = mem_zero(s * s, sizeof(double));
  m->y = mem_zero(t, sizeof(double));
  m->zy = mem_zero(s * t, sizeof(double));
  if (m->z && m->zz && m->y && m->zy)
    return true;
  moments_close(m);
  return error_memory(err, "the sums of a fit");
}

void moments_close(struct moments *m)
{
  mem_free(m->z);
  mem_free(m->zz);
  mem_free(m->y);
  mem_free(m->zy);
  *m = (struct moments){0};
}

struct sums {
  struct moments *m;
  const struct design *d;
  const double *origin;
  const double *unpacked; /* [BLOCK,S] w z of the current rows */
  int64_t row, rows;
};

/* Rows begin..end-1 of zz, its upper triangle. */
static void sum_products(void *context, int64_t begin, int64_t end)
{
  const struct sums *j = context;
  const int64_t s = j->m->features;
  for (int64_t a = begin; a < end; a++) {
    double *to = j->m->zz + a * s;
    for (int64_t i = 0; i < j->rows; i++) {
      if (!mask_has(design_mask(j->d, j->row + i), a))
        continue;
      const double *from = j->unpacked + i * s;
      for (int64_t b = a; b < s; b++)
        to[b] += from[b];
    }
  }
}

/* zy of targets begin..end-1. */
static void sum_scores(void *context, int64_t begin, int64_t end)
{
  const struct sums *j = context;
  const int64_t s = j->m->features;
  for (int64_t t = begin; t < end; t++) {
    double *to = j->m->zy + t * s;
    for (int64_t i = 0; i < j->rows; i++) {
      const double y = (double)design_scores(j->d, j->row + i)[t] - j->origin[t];
      const double *from = j->unpacked + i * s;
      j->m->y[t] += j->d->weight[j->row + i] * y;
      for (int64_t b = 0; b < s; b++)
        to[b] += from[b] * y;
    }
  }
}

bool moments_sum(struct moments *m, const struct design *d, const double *origin, struct error *err)
{
  const int64_t s = m->features, t = m->targets;
  double *unpacked = mem_zero((size_t)BLOCK * (size_t)s, sizeof *unpacked);
  if (!unpacked)
    return error_memory(err, "the sums of a fit");
  m->weight = 0;
  memset(m->z, 0, (size_t)s * sizeof *m->z);
  memset(m->zz, 0, (size_t)(s * s) * sizeof *m->zz);
  memset(m->y, 0, (size_t)t * sizeof *m->y);
  memset(m->zy, 0, (size_t)(s * t) * sizeof *m->zy);
  for (int64_t row = 0; row < d->rows; row += BLOCK) {
    struct sums job = {m, d, origin, unpacked, row, d->rows - row < BLOCK ? d->rows - row : BLOCK};
    for (int64_t i = 0; i < job.rows; i++) {
      const uint64_t *mask = design_mask(d, row + i);
      const double w = d->weight[row + i];
      m->weight += w;
      for (int64_t b = 0; b < s; b++) {
        unpacked[i * s + b] = mask_has(mask, b) ? w : 0;
        m->z[b] += unpacked[i * s + b];
      }
    }
    threads_for(s, 64, sum_products, &job);
    threads_for(t, 64, sum_scores, &job);
  }
  mem_free(unpacked);
  for (int64_t a = 0; a < s; a++)
    for (int64_t b = 0; b < a; b++)
      m->zz[a * s + b] = m->zz[b * s + a];
  return true;
}

void moments_centre(struct moments *m)
{
  const int64_t s = m->features;
  if (!(m->weight > 0))
    return;
  for (int64_t a = 0; a < s; a++)
    for (int64_t b = 0; b < s; b++)
      m->zz[a * s + b] -= m->z[a] * m->z[b] / m->weight;
  for (int64_t t = 0; t < m->targets; t++)
    for (int64_t b = 0; b < s; b++)
      m->zy[t * s + b] -= m->z[b] * m->y[t] / m->weight;
}

/* ---- inverse --------------------------------------------------------------------------------------------------- */

bool inverse_symmetric(const double *a, int64_t n, double ridge, double *inverse, double *work)
{
  double *u = inverse, largest = 0; /* A = U'U is made in place; rows are whole vectors throughout */
  memcpy(u, a, (size_t)(n * n) * sizeof *u);
  for (int64_t i = 0; i < n; i++) {
    u[i * n + i] += ridge;
    largest = fmax(largest, u[i * n + i]);
  }
  for (int64_t k = 0; k < n; k++) {
    double *row = u + k * n;
    if (!(row[k] > 1e-13 * (double)n * largest))
      return false;
    const double root = sqrt(row[k]);
    for (int64_t j = k; j < n; j++)
      row[j] /= root;
    for (int64_t i = k + 1; i < n; i++) {
      double *to = u + i * n;
      const double f = row[i];
      for (int64_t j = i; j < n; j++)
        to[j] -= f * row[j];
    }
  }
  /* work := U'^-1, lower triangular */
  for (int64_t i = 0; i < n; i++) {
    double *to = work + i * n;
    memset(to, 0, (size_t)n * sizeof *to);
    to[i] = 1;
    for (int64_t k = 0; k < i; k++) {
      const double f = u[k * n + i], *from = work + k * n;
      for (int64_t j = 0; j <= k; j++)
        to[j] -= f * from[j];
    }
    const double pivot = u[i * n + i];
    for (int64_t j = 0; j <= i; j++)
      to[j] /= pivot;
  }
  /* A^-1 = (U'^-1)' U'^-1 */
  memset(inverse, 0, (size_t)(n * n) * sizeof *inverse);
  for (int64_t k = 0; k < n; k++) {
    const double *from = work + k * n;
    for (int64_t i = 0; i <= k; i++) {
      const double f = from[i];
      double *to = inverse + i * n;
      for (int64_t j = 0; j <= i; j++)
        to[j] += f * from[j];
    }
  }
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < i; j++)
      inverse[j * n + i] = inverse[i * n + j];
  return true;
}

/* ---- errors ---------------------------------------------------------------------------------------------------- */

struct variance_job {
  const struct sandwich *s;
  const struct design *d;
  const double *residual; /* [rows,n] w e */
  const double *shift;    /* [S] inverse * mean, or NULL */
  const int64_t *order;   /* groups by stratum, or NULL */
  const int64_t *last;    /* [strata] end of a stratum in `order` */
  int64_t n;
  double *variance; /* [n,S] */
  double *work;     /* [2n+2,S] */
};

/* u := inverse (z - mean) of a row, features begin..end-1. */
static void influence(const struct variance_job *j, int64_t row, double *u, int64_t begin, int64_t end)
{
  const int64_t s = j->d->features;
  const uint64_t *mask = design_mask(j->d, row);
  for (int64_t b = begin; b < end; b++)
    u[b] = j->shift ? -j->shift[b] : 0;
  for (int64_t w = 0; w < j->d->words; w++)
    for (uint64_t left = mask[w]; left; left &= left - 1) {
      const double *from = j->s->inverse + (w * 64 + __builtin_ctzll(left)) * s;
      for (int64_t b = begin; b < end; b++)
        u[b] += from[b];
    }
}

/* Columns begin..end-1 of the variances. Groups run stratum by stratum: of each the sum of u_g and of its square, where
 * u_g = inverse q_g. */
static void add_variance(void *context, int64_t begin, int64_t end)
{
  const struct variance_job *j = context;
  const struct design *d = j->d;
  const int64_t s = d->features, groups = design_groups(d);
  double *total = j->work, *square = total + j->n * s, *first = square + j->n * s, *second = first + s;
  const int strata = j->s->stratum ? j->s->strata : 1;
  int64_t at = 0;
  for (int k = 0; k < strata; k++) {
    const int64_t last = j->last ? j->last[k] : groups, size = last - at;
    for (int64_t t = 0; t < j->n; t++) {
      memset(total + t * s + begin, 0, (size_t)(end - begin) * sizeof *total);
      memset(square + t * s + begin, 0, (size_t)(end - begin) * sizeof *square);
    }
    for (; at < last; at++) {
      int64_t from, to;
      design_group(d, j->order ? j->order[at] : at, &from, &to);
      influence(j, from, first, begin, end);
      if (to - from > 1)
        influence(j, from + 1, second, begin, end);
      else
        memset(second + begin, 0, (size_t)(end - begin) * sizeof *second);
      for (int64_t t = 0; t < j->n; t++) {
        const double e1 = j->residual[from * j->n + t], e2 = to - from > 1 ? j->residual[(from + 1) * j->n + t] : 0;
        for (int64_t b = begin; b < end; b++) {
          const double u = e1 * first[b] + e2 * second[b];
          total[t * s + b] += u;
          square[t * s + b] += u * u;
        }
      }
    }
    /* A stratum of one has no spread of its own: its square stands for it. */
    const double share = j->s->stratum ? j->s->share[k] : 1;
    const bool centred = j->s->stratum && size > 1;
    const double factor = centred ? share * (double)size / (double)(size - 1) : share;
    for (int64_t t = 0; t < j->n; t++)
      for (int64_t b = begin; b < end; b++) {
        const double sum = total[t * s + b];
        const double v = square[t * s + b] - (centred ? sum * sum / (double)size : 0);
        j->variance[t * s + b] += factor * fmax(v, 0);
      }
  }
}

/* Groups sorted by stratum, in order within one. */
static bool sort_groups(const struct sandwich *s, int64_t groups, int64_t **order, int64_t **last, struct error *err)
{
  *order = mem_zero((size_t)groups + 1, sizeof **order);
  *last = mem_zero((size_t)s->strata + 1, sizeof **last);
  if (!*order || !*last)
    return error_memory(err, "the error of a fit");
  int64_t *end = *last + 1; /* first counts, then ends of the strata before */
  for (int64_t g = 0; g < groups; g++)
    end[s->stratum[g]]++;
  for (int k = 1; k < s->strata; k++)
    end[k] += end[k - 1];
  end--;
  for (int64_t g = 0; g < groups; g++)
    (*order)[end[s->stratum[g]]++] = g;
  return true;
}

static bool prepare_job(struct variance_job *j, double **residual, double **shift, int64_t **order, int64_t **last,
                        struct error *err)
{
  const int64_t s = j->d->features, most = j->n < TARGETS ? j->n : TARGETS;
  *residual = mem_zero((size_t)j->d->rows * (size_t)most, sizeof **residual);
  j->work = mem_zero((2 * (size_t)most + 2) * (size_t)s, sizeof *j->work);
  if (!*residual || !j->work)
    return error_memory(err, "the error of a fit");
  j->residual = *residual;
  if (j->s->mean) {
    *shift = mem_zero((size_t)s, sizeof **shift);
    if (!*shift)
      return error_memory(err, "the error of a fit");
    for (int64_t a = 0; a < s; a++)
      for (int64_t b = 0; b < s; b++)
        (*shift)[b] += j->s->inverse[a * s + b] * j->s->mean[a];
    j->shift = *shift;
  }
  if (j->s->stratum && !sort_groups(j->s, design_groups(j->d), order, last, err))
    return false;
  j->order = *order;
  j->last = *last;
  return true;
}

bool sandwich_variance(const struct sandwich *s, const struct design *d, int64_t first, int64_t n, const double *beta,
                       const double *intercept, double *variance, struct error *err)
{
  struct variance_job job = {.s = s, .d = d, .n = n};
  double *residual = NULL, *shift = NULL;
  int64_t *order = NULL, *last = NULL;
  const bool ok = prepare_job(&job, &residual, &shift, &order, &last, err);
  const int64_t groups = design_groups(d);
  const double freedom = (double)(groups - s->fitted);
  const double factor = freedom >= 1 ? (double)groups / freedom : NAN;
  for (int64_t from = 0; ok && from < n; from += TARGETS) {
    job.n = n - from < TARGETS ? n - from : TARGETS;
    job.variance = variance + from * d->features;
    for (int64_t i = 0; i < d->rows; i++)
      for (int64_t t = 0; t < job.n; t++) {
        const double y = (double)design_scores(d, i)[first + from + t] - intercept[from + t];
        const double fitted = mask_sum(design_mask(d, i), d->words, beta + (from + t) * d->features);
        residual[i * job.n + t] = d->weight[i] * (y - fitted);
      }
    memset(job.variance, 0, (size_t)(job.n * d->features) * sizeof *variance);
    threads_for(d->features, 64, add_variance, &job);
    for (int64_t i = 0; i < job.n * d->features; i++)
      job.variance[i] *= factor;
  }
  mem_free(residual);
  mem_free(shift);
  mem_free(order);
  mem_free(last);
  mem_free(job.work);
  return ok;
}
