/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/evolution.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

#define FIRST_STEP 0.3 /* of the range [0,1] */

bool evolution_open(struct evolution *e, const double *start, int64_t n, uint64_t seed, uint32_t stream,
                    struct error *err)
{
  *e = (struct evolution){.n = n, .seed = seed, .stream = stream, .step = FIRST_STEP, .best_value = INFINITY};
  e->offspring = 4 + (int)floor(3 * log((double)n));
  e->parents = e->offspring / 2;
  const size_t count = (size_t)n, offspring = (size_t)e->offspring;
  e->weight = mem_zero((size_t)e->parents, sizeof(double));
  e->mean = mem_zero(6 * count, sizeof(double));
  e->candidates = mem_zero(offspring * count, sizeof(double));
  e->values = mem_zero(offspring, sizeof(double));
  e->order = mem_zero(offspring, sizeof(int));
  if (!e->weight || !e->mean || !e->candidates || !e->values || !e->order)
    return error_memory(err, "an optimiser");
  e->variance = e->mean + n;
  e->path = e->variance + n;
  e->step_path = e->path + n;
  e->best = e->step_path + n;
  e->before = e->best + n;
  memcpy(e->mean, start, count * sizeof *start);
  memcpy(e->best, start, count * sizeof *start);
  for (int64_t i = 0; i < n; i++)
    e->variance[i] = 1;
  double sum = 0, square = 0;
  for (int i = 0; i < e->parents; i++)
    sum += e->weight[i] = log((e->offspring + 1) / 2.0) - log(i + 1.0);
  for (int i = 0; i < e->parents; i++) {
    e->weight[i] /= sum;
    square += e->weight[i] * e->weight[i];
  }
  e->parents_mass = 1 / square;
  return true;
}

void evolution_close(struct evolution *e)
{
  mem_free(e->weight);
  mem_free(e->mean);
  mem_free(e->candidates);
  mem_free(e->values);
  mem_free(e->order);
  *e = (struct evolution){0};
}

/* Candidates round the mean, put back to the nearest point of the box: what is learnt is learnt from where they are. */
static void breed(struct evolution *e)
{
  for (int k = 0; k < e->offspring; k++)
    for (int64_t i = 0; i < e->n; i++) {
      const uint64_t element = ((uint64_t)e->stream << 40) + (uint64_t)k * (uint64_t)e->n + (uint64_t)i;
      const double z = rng_normal(e->seed, RNG_NOISE, (uint32_t)e->generation, element);
      e->candidates[k * e->n + i] = fmin(fmax(e->mean[i] + e->step * sqrt(e->variance[i]) * z, 0), 1);
    }
}

static void rank(struct evolution *e)
{
  for (int k = 0; k < e->offspring; k++) {
    int at = k;
    for (; at > 0 && e->values[e->order[at - 1]] > e->values[k]; at--)
      e->order[at] = e->order[at - 1];
    e->order[at] = k;
  }
}

/* Hansen's rates; those of the covariance are larger by (n + 2) / 3, as there are only n variances to learn. */
static void learn(struct evolution *e)
{
  const double n = (double)e->n, mass = e->parents_mass;
  const double step_rate = (mass + 2) / (n + mass + 5), path_rate = (4 + mass / n) / (n + 4 + 2 * mass / n);
  const double damping = 1 + 2 * fmax(0, sqrt((mass - 1) / (n + 1)) - 1) + step_rate;
  const double faster = (n + 2) / 3, one = fmin(1, faster * 2 / ((n + 1.3) * (n + 1.3) + mass));
  const double many = fmin(1 - one, faster * 2 * (mass - 2 + 1 / mass) / ((n + 2) * (n + 2) + mass));
  const double expected = sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n)); /* length of a normal vector */
  double length = 0;
  memcpy(e->before, e->mean, (size_t)e->n * sizeof *e->mean);
  for (int64_t i = 0; i < e->n; i++) {
    e->mean[i] = 0;
    for (int k = 0; k < e->parents; k++)
      e->mean[i] += e->weight[k] * e->candidates[e->order[k] * e->n + i];
    const double move = (e->mean[i] - e->before[i]) / e->step;
    e->step_path[i] = (1 - step_rate) * e->step_path[i] +
                      sqrt(step_rate * (2 - step_rate) * mass) * move / sqrt(e->variance[i]);
    length += e->step_path[i] * e->step_path[i];
  }
  length = sqrt(length);
  const double grown = 1 - pow(1 - step_rate, 2 * (double)(e->generation + 1));
  const bool stalled = length / sqrt(grown) >= (1.4 + 2 / (n + 1)) * expected;
  for (int64_t i = 0; i < e->n; i++) {
    const double move = (e->mean[i] - e->before[i]) / e->step;
    e->path[i] = (1 - path_rate) * e->path[i] + (stalled ? 0 : sqrt(path_rate * (2 - path_rate) * mass) * move);
    double spread = 0;
    for (int k = 0; k < e->parents; k++) {
      const double y = (e->candidates[e->order[k] * e->n + i] - e->before[i]) / e->step;
      spread += e->weight[k] * y * y;
    }
    e->variance[i] = fmax((1 - one - many) * e->variance[i] + one * e->path[i] * e->path[i] + many * spread, 1e-12);
  }
  e->step = fmin(e->step * exp(fmin(1, step_rate / damping * (length / expected - 1))), 1);
}

bool evolution_step(struct evolution *e, evolution_ask *ask, void *context, bool *finite, struct error *err)
{
  breed(e);
  if (!ask(context, e->candidates, e->offspring, e->values, finite, err))
    return false;
  if (!*finite)
    return true;
  rank(e);
  if (e->values[e->order[0]] < e->best_value) {
    e->best_value = e->values[e->order[0]];
    memcpy(e->best, e->candidates + e->order[0] * e->n, (size_t)e->n * sizeof *e->best);
  }
  learn(e);
  e->generation++;
  return true;
}
