/* SPDX-License-Identifier: Apache-2.0 */
/* Infidelity: Yeh, Hsieh, Suggala, Inouye, Ravikumar, "On the (in)fidelity and sensitivity of explanations", NeurIPS
 * 2019. E[ (beta sum(m A) - (f(x) - f(x_m)))^2 ],   m random squares that are set to the fill, x_m the image under m
 * with beta = 1, for maps in units of the score, and with the best beta = E[sum(m A) df] / E[sum(m A)^2], for any map.
 * Taken from the paper: the squares. Changed: their sides are 1/16 to 1/4 of the image's. */
#include "metrics/metric.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum { FILL_DRAWS = 10 }; /* of random fills, each for a tenth of the samples */

struct options {
  int64_t samples;
  const char *fill;
};

static const struct param params[] = {
    {"samples", PARAM_INT, offsetof(struct options, samples), "1000", 2, 1000000, NULL, "squares", NULL,
     "random squares that are hidden, one at a time"},
    {"fill", PARAM_TEXT, offsetof(struct options, fill), "mean", 0, 0, NULL, NULL, NULL,
     "what hidden pixels become; see the list of fills"},
    PARAM_END,
};

struct infidelity {
  const struct measure *measure;
  const struct input *input;
  struct fill fill;
  int64_t samples, taken;
  int least, most; /* px, sides of the squares */
  float *filled;
  unsigned char *hidden;
  int64_t draw;  /* that `filled` holds, -1: none */
  double *a, *b; /* [samples] sum of the map under the square, fall of the score, the same for every map */
};

static void square_of(const struct infidelity *f, int64_t i, struct perturbation *p)
{
  const struct geometry *g = &f->input->geometry;
  const uint64_t seed = f->measure->explain->seed;
  const int side = f->least + (int)rng_below(seed, RNG_MASK, (uint32_t)i, 0, (uint32_t)(f->most - f->least + 1));
  p->y0 = (int)rng_below(seed, RNG_MASK, (uint32_t)i, 1, (uint32_t)(g->height - side + 1));
  p->x0 = (int)rng_below(seed, RNG_MASK, (uint32_t)i, 2, (uint32_t)(g->width - side + 1));
  p->y1 = p->y0 + side;
  p->x1 = p->x0 + side;
}

static void sum_under(struct infidelity *f, int64_t i)
{
  struct perturbation p;
  square_of(f, i, &p);
  for (int y = p.y0; y < p.y1; y++)
    for (int x = p.x0; x < p.x1; x++)
      f->a[i] += (double)f->measure->map[(int64_t)y * f->input->geometry.width + x];
}

static bool make_fill(struct infidelity *f, int64_t i, const struct perturbation *p, struct error *err)
{
  const int width = f->input->geometry.width;
  const int64_t draw = f->fill.kind->random ? i * FILL_DRAWS / f->samples : 0;
  if (f->fill.kind->needs_region) {
    memset(f->hidden, 0, (size_t)f->input->geometry.height * (size_t)width);
    for (int y = p->y0; y < p->y1; y++)
      memset(f->hidden + (int64_t)y * width + p->x0, 1, (size_t)(p->x1 - p->x0));
    return fill_hidden(&f->fill, 0, f->hidden, f->filled, err);
  }
  if (draw == f->draw)
    return true;
  f->draw = draw;
  return fill_values(&f->fill, (uint32_t)draw, f->filled, err);
}

static bool propose(void *context, int64_t i, struct perturbation *p, struct error *err)
{
  struct infidelity *f = context;
  const int width = f->input->geometry.width, c = f->input->channels;
  p->kind = PERTURB_RECT;
  square_of(f, i, p);
  if (!make_fill(f, i, p, err))
    return false;
  float *to = p->content;
  for (int y = p->y0; y < p->y1; y++) {
    const size_t row = (size_t)(p->x1 - p->x0) * (size_t)c;
    memcpy(to, f->filled + ((int64_t)y * width + p->x0) * c, row * sizeof *to);
    to += row;
  }
  return true;
}

static bool take(void *context, int64_t i, const float *scores, const float *activations, bool *stop, struct error *err)
{
  struct infidelity *f = context;
  const int64_t target = f->measure->target;
  (void)activations;
  (void)stop;
  (void)err;
  f->b[i] = (double)evaluator_scores(f->measure->evaluator)[target] - (double)scores[target];
  f->taken = i + 1;
  return true;
}

/* Mean square of beta a - b, with its standard error over samples. */
static void report(const struct infidelity *f, const char *name, double beta, double *work, struct measurement *out)
{
  for (int64_t i = 0; i < f->taken; i++) {
    const double d = beta * f->a[i] - f->b[i];
    work[i] = d * d;
  }
  measurement_value(out, name, mean_of(work, f->taken));
  measurement_spread(out, name, deviation_of(work, f->taken), f->taken, false);
}

/* Falls of the score, which the first map of an image leaves to the others. */
static bool find_falls(struct infidelity *f, struct error *err)
{
  const double *known = metric_shared(f->measure, (size_t)f->samples);
  const struct evaluation what = {
      .stage = "infidelity",
      .count = f->samples,
      .local_height = f->most,
      .local_width = f->most,
      .context = f,
      .propose = propose,
      .result = take,
  };
  struct evaluated end;
  if (known) {
    memcpy(f->b, known, (size_t)f->samples * sizeof *known);
    f->taken = f->samples;
    return true;
  }
  if (!evaluate(f->measure->evaluator, &what, &end, err))
    return false;
  if (f->taken == f->samples)
    metric_share(f->measure, f->b, (size_t)f->samples);
  return true;
}

static bool hide(struct infidelity *f, const struct options *o, struct measurement *out, struct error *err)
{
  const struct explain *explain = f->measure->explain;
  const struct fill_scene scene = {explain->card, f->input, explain->seed};
  const struct geometry *g = &f->input->geometry;
  const int side = g->height < g->width ? g->height : g->width;
  if (!fill_open(&f->fill, o->fill, &scene, err))
    return false;
  f->samples = o->samples;
  f->least = side / 16 > 1 ? side / 16 : 1;
  f->most = side / 4 > f->least ? side / 4 : f->least;
  f->filled = mem_zero((size_t)g->height * (size_t)g->width, (size_t)f->input->channels * sizeof *f->filled);
  f->hidden = mem_zero((size_t)g->height, (size_t)g->width);
  f->a = mem_zero((size_t)f->samples, sizeof *f->a);
  f->b = mem_zero((size_t)f->samples, sizeof *f->b);
  double *work = mem_zero((size_t)f->samples, sizeof *work);
  bool ok = (f->filled && f->hidden && f->a && f->b && work) || error_memory(err, "squares");
  ok = ok && find_falls(f, err);
  if (ok) {
    double ab = 0, aa = 0;
    for (int64_t i = 0; i < f->taken; i++) {
      sum_under(f, i);
      ab += f->a[i] * f->b[i];
      aa += f->a[i] * f->a[i];
    }
    const double beta = aa > 0 ? ab / aa : 0;
    report(f, "infidelity", 1, work, out);
    report(f, "infidelity_scaled", beta, work, out);
    measurement_value(out, "beta", aa > 0 ? beta : NAN);
    measurement_detail(out, "samples", json_integer((json_int_t)f->taken));
    measurement_detail(out, "sides", json_pack("[i,i]", f->least, f->most));
    measurement_detail(out, "fill", json_string(f->fill.text));
  }
  mem_free(work);
  return ok;
}

static bool run(const struct measure *measure, const void *options, struct measurement *out, struct error *err)
{
  struct infidelity f = {.measure = measure, .input = measure->explain->input, .draw = -1};
  const bool ok = hide(&f, options, out, err);
  fill_close(&f.fill);
  mem_free(f.filled);
  mem_free(f.hidden);
  mem_free(f.a);
  mem_free(f.b);
  return ok;
}

const struct metric metric_infidelity = {
    .name = "infidelity",
    .title = "Infidelity",
    .summary = "how far the map's sum over random squares is from the fall of the score when they are hidden",
    .paper =
        "Yeh, Hsieh, Suggala, Inouye, Ravikumar: On the (in)fidelity and sensitivity of explanations, NeurIPS 2019",
    .needs = METRIC_MAP,
    .headline = "infidelity_scaled",
    .less_is_better = true,
    .columns = "infidelity,beta",
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
