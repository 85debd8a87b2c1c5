/* SPDX-License-Identifier: Apache-2.0 */
/* Sensitivity (SENS-MAX): Yeh, Hsieh, Suggala, Inouye, Ravikumar, "On the (in)fidelity and sensitivity of
 * explanations", NeurIPS 2019. max over samples of |A(x + d) - A(x)| / |A(x)|,   d uniform in +-radius of the picture's
 * range, for every value The noise is added in image units, before scale, mean and std; the method's own seed is held.
 */
#include "metrics/metric.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

struct options {
  int64_t samples;
  double radius;
};

static const struct param params[] = {
    {"samples", PARAM_INT, offsetof(struct options, samples), "50", 1, 100000, NULL, "runs", NULL,
     "noisy pictures that are explained anew"},
    {"radius", PARAM_FLOAT, offsetof(struct options, radius), "0.02", 1e-6, 1, NULL, "of the range", NULL,
     "largest change of a value"},
    PARAM_END,
};

static double norm(const float *a, const float *b, int64_t n)
{
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    const double d = (double)a[i] - (b ? (double)b[i] : 0);
    sum += d * d;
  }
  return sqrt(sum);
}

/* The picture with noise of one sample. */
static void add_noise(const struct measure *measure, double amplitude, uint32_t sample, struct input *noisy)
{
  const struct input *input = measure->explain->input;
  const int64_t n = (int64_t)input->geometry.height * input->geometry.width * input->channels;
  for (int64_t i = 0; i < n; i++) {
    const double u = rng_uniform(measure->explain->seed, RNG_NOISE, sample, (uint64_t)i);
    noisy->u[i] = (float)((double)input->u[i] + amplitude * (2 * u - 1));
  }
  if (input->preprocessed)
    memcpy(noisy->x, noisy->u, (size_t)n * sizeof *noisy->x);
  else
    preprocess_values(measure->explain->card, input, noisy->u, noisy->x);
}

static bool shake(const struct measure *measure, const struct options *o, struct input *noisy, float *map,
                  struct measurement *out, struct error *err)
{
  const struct input *input = measure->explain->input;
  const int64_t pixels = (int64_t)input->geometry.height * input->geometry.width;
  const double size = norm(measure->map, NULL, pixels), amplitude = o->radius * (input->hi - input->lo);
  double most = 0, sum = 0;
  int64_t evaluations = 0;
  for (int64_t i = 0; i < o->samples && size > 0; i++) {
    struct explain explain = *measure->method_explain;
    explain.input = noisy;
    add_noise(measure, amplitude, (uint32_t)i, noisy);
    if (!metric_rerun(measure, &explain, map, NULL, NULL, &evaluations, err))
      return false;
    const double change = norm(map, measure->map, pixels) / size;
    most = fmax(most, change);
    sum += change;
  }
  if (!(size > 0))
    measurement_warn(out, "flat-map", "the map is zero everywhere: its relative change is not defined");
  measurement_value(out, "sensitivity", size > 0 ? most : NAN);
  measurement_value(out, "mean_change", size > 0 ? sum / (double)o->samples : NAN);
  measurement_detail(out, "samples", json_integer((json_int_t)o->samples));
  measurement_detail(out, "evaluations", json_integer((json_int_t)evaluations));
  return true;
}

static bool run(const struct measure *measure, const void *options, struct measurement *out, struct error *err)
{
  const struct input *input = measure->explain->input;
  const size_t pixels = (size_t)input->geometry.height * (size_t)input->geometry.width;
  struct input noisy = *input;
  noisy.u = mem_zero(pixels, (size_t)input->channels * sizeof *noisy.u);
  noisy.x = mem_zero(pixels, (size_t)input->channels * sizeof *noisy.x);
  float *map = mem_zero(pixels, sizeof *map);
  const bool ok = (noisy.u && noisy.x && map) ? shake(measure, options, &noisy, map, out, err)
                                              : error_memory(err, "a noisy picture");
  mem_free(noisy.u);
  mem_free(noisy.x);
  mem_free(map);
  return ok;
}

const struct metric metric_sensitivity = {
    .name = "sensitivity",
    .title = "Sensitivity",
    .summary = "how far the map moves when the picture changes by an invisible amount of noise",
    .paper =
        "Yeh, Hsieh, Suggala, Inouye, Ravikumar: On the (in)fidelity and sensitivity of explanations, NeurIPS 2019",
    .needs = METRIC_MAP | METRIC_METHOD,
    .headline = "sensitivity",
    .less_is_better = true,
    .columns = "mean_change",
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
