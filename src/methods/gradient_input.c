/* SPDX-License-Identifier: Apache-2.0 */
/* Gradient times input: Shrikumar, Greenside, Shcherbina & Kundaje, "Not just a black box", arXiv 1605.01713, 2016. To
 * first order, what each pixel adds to the score over a reference: A = (x - b) df/dx.
 * Taken from the paper: the product. Changed: any fill as the reference (`from`); the literal form has b = 0 after
 * preprocessing, which is where the preprocessing happens to put it. */
#include "methods/slopes.h"

#include "base/json.h"
#include "base/mem.h"

#include <stddef.h>

struct options {
  const char *from;
  int64_t draws;
  bool keep_channels;
};

static const struct param params[] = {
  {"from", PARAM_TEXT, offsetof(struct options, from), "", 0, 0, NULL, NULL, NULL,
   "fill that pixels are compared with; empty: zero after preprocessing, as in the paper"},
  {"draws", PARAM_INT, offsetof(struct options, draws), "10", 1, 1000, NULL, NULL, NULL,
   "draws whose mean is the reference, for random fills"},
  KEEP_CHANNELS_PARAM(struct options, keep_channels),
  PARAM_END,
};

/* b [H,W,C], added to zeros. */
static bool reference(const struct explain *explain, const struct options *o, size_t n, double *b, struct error *err)
{
  struct fill fill;
  if (!*o->from)
    return true;
  if (!fill_open(&fill, o->from, &(struct fill_scene){explain->card, explain->input, explain->seed}, err))
    return false;
  float *x = mem_zero(n, sizeof *x);
  const int draws = fill_draws(&fill, o->draws);
  bool ok = x || error_memory(err, "a fill");
  for (int d = 0; ok && d < draws; d++) {
    ok = fill_values(&fill, (uint32_t)d, x, err);
    for (size_t i = 0; ok && i < n; i++)
      b[i] += (double)x[i] / draws;
  }
  mem_free(x);
  fill_close(&fill);
  return ok;
}

static bool maps(struct slopes *s, const struct options *o, struct error *err)
{
  const size_t n = s->pixels * s->channels;
  float *g = mem_zero(n, sizeof *g);
  double *a = mem_zero(2 * n, sizeof *a), *b = a ? a + n : NULL;
  bool ok = ((g && a) || error_memory(err, "gradients")) && reference(s->explain, o, n, b, err);
  for (int64_t t = 0; ok && t < s->n_targets; t++) {
    ok = slopes_once(s, "gradient", &(struct backward_request){.target = s->targets[t]}, t, g, err);
    for (size_t i = 0; ok && i < n; i++)
      a[i] = ((double)s->explain->input->x[i] - b[i]) * (double)g[i];
    if (ok)
      slopes_put(s, t, a, REDUCE_SUM);
  }
  mem_free(g);
  mem_free(a);
  return ok;
}

static bool run(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  const struct options *o = options;
  struct slopes s = {.explain = explain};
  const bool ok = slopes_open(&s, explain, NULL, o->keep_channels, out, err) && maps(&s, o, err);
  if (ok) {
    json_object_set_new(out->details, "reference", json_string(*o->from ? o->from : "zero after preprocessing"));
    slopes_report(&s, "complete", true);
  }
  slopes_close(&s);
  return ok;
}

const struct method method_gradient_input = {
  .name = "gradient-input",
  .title = "Gradient x input",
  .unit = "score",
  .summary = "what each pixel adds to the score to first order",
  .paper = "Shrikumar, Greenside, Shcherbina, Kundaje: Not Just a Black Box, arXiv 1605.01713, 2016",
  .needs = NEEDS_GRADIENT,
  .params = params,
  .options_size = sizeof(struct options),
  .run = run,
};
