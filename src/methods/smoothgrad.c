/* SPDX-License-Identifier: Apache-2.0 */
/* SmoothGrad: Smilkov, Thorat, Kim, Viegas & Wattenberg, "SmoothGrad: removing noise by adding noise", 2017. Gradients
 * at x + N(0, s^2), s = noise (max x - min x), averaged; `square` averages their squares, `var` takes their variance
 * (Adebayo et al., "Local explanation methods for deep neural networks lack sensitivity to parameter values", 2018).
 * Taken from the paper: the average and the scale of the noise. Changed: a standard error, and a run that may end when
 * it is small. The noise of a value depends on seed, sample and place alone. */
#include "methods/slopes.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/threads.h"
#include "methods/stopping.h"

#include <math.h>
#include <stddef.h>

enum variant { VARIANT_MEAN, VARIANT_SQUARE, VARIANT_VAR };
enum {
  DRAWS_GRAIN = 2048,
  TOLERANT = 20
}; /* TOLERANT: times the default samples, as far as a tolerance may take a run */

struct options {
  double noise;
  int64_t samples;
  int variant;
  const char *tolerance;
  bool keep_channels;
};

static const struct param params[] = {
    {"noise", PARAM_FLOAT, offsetof(struct options, noise), "0.15", 0, 1, NULL, "of the range", NULL,
     "standard deviation of the noise, as a share of the greatest less the smallest input value"},
    {"samples", PARAM_INT, offsetof(struct options, samples), "auto", 2, 1000000, NULL, NULL, "50",
     "noisy images; auto: 50, or as many as the tolerance takes"},
    {"variant", PARAM_CHOICE, offsetof(struct options, variant), "mean", 0, 0, "mean|square|var", NULL, NULL,
     "mean of gradients, mean of their squares, or their variance"},
    {"tolerance", PARAM_TEXT, offsetof(struct options, tolerance), "", 0, 0, NULL, NULL, NULL,
     "stop when the largest standard error is this part of the largest value; stable:K: when the K strongest pixels "
     "are apart"},
    KEEP_CHANNELS_PARAM(struct options, keep_channels),
    PARAM_END,
};

struct smooth {
  struct slopes s;
  const struct options *options;
  double sigma;
  int64_t target, n, samples; /* place of the current target; samples taken so far; wanted */
  double *mean, *m2;          /* [H,W,C] of the gradients (Welford) */
  double *sum, *sum2;         /* [H,W] likewise of the pixel's value, whose standard error is wanted */
  double *a;                  /* [H,W,C] */
  struct stopping stopping;
};

struct noisy {
  const struct smooth *m;
  int64_t sample;
  float *image;
};

static void noise_part(void *context, int64_t begin, int64_t end)
{
  const struct noisy *n = context;
  const struct explain *explain = n->m->s.explain;
  for (int64_t i = begin; i < end; i++) {
    const double z = rng_normal(explain->seed, RNG_NOISE, (uint32_t)n->sample, (uint64_t)i);
    n->image[i] = (float)((double)explain->input->x[i] + n->m->sigma * z);
  }
}

static bool propose(void *context, int64_t i, float *image, struct error *err)
{
  const struct smooth *m = context;
  struct noisy noisy = {m, i, image};
  (void)err;
  threads_for((int64_t)(m->s.pixels * m->s.channels), DRAWS_GRAIN, noise_part, &noisy);
  return true;
}

/* Attributions per channel so far. */
static const double *attributions(const struct smooth *m)
{
  const double n = (double)m->n;
  for (size_t i = 0; i < m->s.pixels * m->s.channels; i++) {
    const double variance = m->m2[i] / n;
    m->a[i] = m->options->variant == VARIANT_MEAN     ? m->mean[i]
              : m->options->variant == VARIANT_SQUARE ? variance + m->mean[i] * m->mean[i]
                                                      : variance;
  }
  return m->a;
}

static bool enough(struct smooth *m, bool *stop, struct error *err)
{
  double *error = mem_zero(m->s.pixels, sizeof *error);
  if (!error)
    return error_memory(err, "standard errors");
  for (size_t i = 0; i < m->s.pixels; i++)
    error[i] = sqrt(m->sum2[i] / (double)(m->n - 1) / (double)m->n);
  *stop = stopping_reached(&m->stopping, m->sum, error, (int64_t)m->s.pixels);
  mem_free(error);
  return true;
}

static bool result(void *context, int64_t i, const float *scores, const float *gradient, bool *stop, struct error *err)
{
  struct smooth *m = context;
  const size_t c = m->s.channels;
  const double n = (double)++m->n;
  (void)i;
  (void)scores;
  for (size_t p = 0; p < m->s.pixels; p++) {
    double value = 0;
    for (size_t k = p * c; k < (p + 1) * c; k++) {
      const double g = (double)gradient[k], before = g - m->mean[k];
      m->mean[k] += before / n;
      m->m2[k] += before * (g - m->mean[k]);
      value += m->options->variant == VARIANT_MEAN ? g : g * g;
    }
    const double before = value - m->sum[p];
    m->sum[p] += before / n;
    m->sum2[p] += before * (value - m->sum[p]);
  }
  return !stopping_due(&m->stopping, m->n) || m->options->variant == VARIANT_VAR || enough(m, stop, err);
}

static void preview(void *context, float *map)
{
  const struct smooth *m = context;
  for (size_t i = 0; i < m->s.pixels; i++)
    map[i] = (float)m->sum[i];
}

static bool one_target(struct smooth *m, int64_t t, float *error, struct evaluated *end, struct error *err)
{
  const size_t n = m->s.pixels * m->s.channels;
  const int64_t samples = m->samples;
  for (size_t i = 0; i < n; i++)
    m->mean[i] = m->m2[i] = 0;
  for (size_t i = 0; i < m->s.pixels; i++)
    m->sum[i] = m->sum2[i] = 0;
  m->n = 0;
  const struct gradients what = {
      .stage = "smoothgrad",
      .count = samples,
      .request = {.target = m->s.targets[t]},
      .context = m,
      .propose = propose,
      .result = result,
      .preview = preview,
      .before = t * samples,
      .total = m->s.n_targets * samples,
  };
  if (!stopping_parse(m->options->tolerance, samples, &m->stopping, err) || !slopes_run(&m->s, &what, end, err))
    return false;
  if (m->n < 2)
    return error_set(err, ERROR_USAGE, "smoothgrad: ended by '%s' after %lld of %lld samples", end->stopped_by,
                     (long long)m->n, (long long)samples);
  slopes_put(&m->s, t, attributions(m), REDUCE_SUM);
  for (size_t i = 0; error && i < m->s.pixels; i++)
    error[i] = (float)sqrt(m->sum2[i] / (double)(m->n - 1) / (double)m->n);
  return true;
}

static bool maps(struct smooth *m, struct evaluated *end, struct error *err)
{
  const struct input *input = m->s.explain->input;
  const size_t n = m->s.pixels * m->s.channels;
  const int64_t dims[2] = {input->geometry.height, input->geometry.width};
  const bool has_error = m->options->variant != VARIANT_VAR && m->s.n_targets == 1;
  float *error = has_error ? explanation_floats(m->s.out, "stderr", 2, dims, err) : NULL;
  double lo = (double)input->x[0], hi = lo;
  m->mean = mem_zero(3 * n + 2 * m->s.pixels, sizeof *m->mean);
  if (!m->mean || (has_error && !error))
    return m->mean ? false : error_memory(err, "gradients");
  m->m2 = m->mean + n;
  m->a = m->m2 + n;
  m->sum = m->a + n;
  m->sum2 = m->sum + m->s.pixels;
  for (size_t i = 1; i < n; i++) {
    lo = fmin(lo, (double)input->x[i]);
    hi = fmax(hi, (double)input->x[i]);
  }
  m->sigma = m->options->noise * (hi - lo);
  for (int64_t t = 0; t < m->s.n_targets; t++)
    if (!one_target(m, t, error, end, err))
      return false;
  return true;
}

static bool run(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  struct smooth m = {.options = options};
  struct evaluated end = {.stopped_by = "complete"};
  m.samples = m.options->samples != PARAM_AUTO_INT ? m.options->samples : *m.options->tolerance ? 50 * TOLERANT : 50;
  const bool ok = slopes_open(&m.s, explain, NULL, m.options->keep_channels, out, err) && maps(&m, &end, err);
  if (ok) {
    json_object_set_new(out->quality, "samples", json_integer(m.n));
    json_object_set_new(out->details, "sigma", json_number_or_null(m.sigma));
    slopes_report(&m.s, end.stopped_by, true);
  }
  mem_free(m.mean);
  slopes_close(&m.s);
  return ok;
}

const struct method method_smoothgrad = {
    .name = "smoothgrad",
    .title = "SmoothGrad",
    .unit = "slope",
    .summary = "the gradient, averaged over noisy copies of the image",
    .paper = "Smilkov, Thorat, Kim, Viegas, Wattenberg: SmoothGrad: Removing Noise by Adding Noise, 2017",
    .needs = NEEDS_GRADIENT,
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
