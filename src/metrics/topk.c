/* SPDX-License-Identifier: Apache-2.0 */
/* The k pixels of highest map value are varied at random in one go, and the fall of the score is held against that of k
 * random pixels with the same replacement: "select the top k pixels by attribution, vary them randomly, measure the
 * drop", after Samek et al. 2017 and DeYoung et al., "ERASER", ACL 2020 (comprehensiveness). */
#include "metrics/metric.h"
#include "metrics/order.h"

#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { MOST_SHARES = 32 };

struct options {
  const char *top;
  const char *fill;
  int64_t draws;
};

static const struct param params[] = {
    {"top", PARAM_TEXT, offsetof(struct options, top), "1,2,5,10,20", 0, 0, NULL, "%", NULL,
     "shares of the pixels that are varied"},
    {"fill", PARAM_TEXT, offsetof(struct options, fill), "uniform", 0, 0, NULL, NULL, NULL,
     "what varied pixels become; see the list of fills"},
    {"draws", PARAM_INT, offsetof(struct options, draws), "10", 1, 1000, NULL, NULL, NULL,
     "repetitions, each with its own replacement and its own random pixels"},
    PARAM_END,
};

struct topk {
  const struct measure *measure;
  const struct options *options;
  struct fill fill;
  int64_t pixels;
  int shares, draws;
  double share[MOST_SHARES]; /* % */
  int64_t k[MOST_SHARES];
  int32_t *top, *random; /* [pixels] orders of the draw at hand */
  float *filled;
  unsigned char *hidden;
  double *drop;        /* [draws, shares, 2]: top, random */
  const double *known; /* [draws, shares] falls with random pixels, found with another map of this image, or NULL */
  int kinds;           /* that are still to be evaluated: 2, or 1 where those are known */
  int64_t taken;
};

static bool parse_shares(struct topk *t, struct error *err)
{
  for (const char *p = t->options->top;;) {
    const size_t n = strcspn(p, ",");
    char number[32] = "";
    double value;
    if (n < sizeof number)
      memcpy(number, p, n);
    if (n == 0 || n >= sizeof number || !str_number(number, &value) || !(value > 0 && value <= 100))
      return error_set(err, ERROR_USAGE, "top: '%.60s' is no list of percentages above 0 and up to 100",
                       t->options->top);
    if (t->shares == MOST_SHARES)
      return error_set(err, ERROR_USAGE, "top: more than %d shares", MOST_SHARES);
    const double k = floor(value / 100 * (double)t->pixels + 0.5);
    t->share[t->shares] = value;
    t->k[t->shares++] = k < 1 ? 1 : (int64_t)k;
    if (!p[n])
      return true;
    p += n + 1;
  }
}

/* Evaluation i: draw, share, top or random, the last fastest. With known figures there is no random. */
static bool propose(void *context, int64_t i, struct perturbation *p, struct error *err)
{
  struct topk *t = context;
  const struct input *input = t->measure->explain->input;
  const size_t channels = (size_t)input->channels;
  const uint32_t draw = (uint32_t)(i / (t->kinds * t->shares));
  const int64_t k = t->k[i / t->kinds % t->shares];
  const int32_t *order = i % t->kinds ? t->random : t->top;
  p->kind = PERTURB_IMAGE;
  if (i % (t->kinds * t->shares) == 0) {
    const uint64_t seed = t->measure->explain->seed;
    if ((!t->fill.kind->needs_region && (i == 0 || t->fill.kind->random) &&
         !fill_values(&t->fill, draw, t->filled, err)) ||
        !order_pixels(ORDER_MORF, t->measure->map, t->pixels, seed, draw, t->top, err) ||
        (!t->known && !order_pixels(ORDER_RANDOM, t->measure->map, t->pixels, seed, draw, t->random, err)))
      return false;
  }
  if (t->fill.kind->needs_region) {
    memset(t->hidden, 0, (size_t)t->pixels);
    for (int64_t j = 0; j < k; j++)
      t->hidden[order[j]] = 1;
    return fill_hidden(&t->fill, draw, t->hidden, p->content, err);
  }
  memcpy(p->content, input->x, (size_t)t->pixels * channels * sizeof(float));
  for (int64_t j = 0; j < k; j++)
    memcpy(p->content + (size_t)order[j] * channels, t->filled + (size_t)order[j] * channels, channels * sizeof(float));
  return true;
}

static bool take(void *context, int64_t i, const float *scores, const float *activations, bool *stop, struct error *err)
{
  struct topk *t = context;
  const int64_t target = t->measure->target;
  (void)activations;
  (void)stop;
  (void)err;
  t->drop[i * 2 / t->kinds] = (double)evaluator_scores(t->measure->evaluator)[target] - (double)scores[target];
  t->taken = i + 1;
  return true;
}

static void report(struct topk *t, const struct evaluated *end, double *work, struct measurement *out)
{
  const int draws = (int)(t->taken / (t->kinds * t->shares));
  double total = 0, totals[3][MOST_SHARES];
  json_t *x = json_array();
  if (draws < t->draws)
    measurement_warn(out, "partial", "stopped by %s after %d of %d draws", end->stopped_by, draws, t->draws);
  for (int s = 0; s < t->shares; s++) {
    static const char *const names[] = {"drop", "random", "difference"};
    char name[64];
    json_array_append_new(x, json_real(t->share[s]));
    for (int what = 0; what < 3; what++) {
      for (int d = 0; d < draws; d++) {
        const double *pair = t->drop + 2 * (d * t->shares + s);
        work[d] = what == 0 ? pair[0] : what == 1 ? pair[1] : pair[0] - pair[1];
      }
      (void)snprintf(name, sizeof name, "%s_%g", names[what], t->share[s]);
      totals[what][s] = mean_of(work, draws);
      measurement_value(out, name, totals[what][s]);
      if (draws > 1)
        measurement_spread(out, name, deviation_of(work, draws), draws, what == 2);
    }
  }
  for (int d = 0; d < draws; d++) {
    work[d] = 0;
    for (int s = 0; s < t->shares; s++)
      work[d] += (t->drop[2 * (d * t->shares + s)] - t->drop[2 * (d * t->shares + s) + 1]) / t->shares;
  }
  total = mean_of(work, draws);
  measurement_value(out, "difference", total);
  if (draws > 1)
    measurement_spread(out, "difference", deviation_of(work, draws), draws, true);
  measurement_curve(out, "drop", totals[0], NULL, t->shares);
  measurement_curve(out, "random", totals[1], NULL, t->shares);
  measurement_detail(out, "x", x);
  measurement_detail(out, "draws", json_integer(draws));
  measurement_detail(out, "fill", json_string(t->fill.text));
}

/* What is known goes to its place; what all maps share is left to the next. */
static void recall_random(struct topk *t)
{
  t->known = metric_shared(t->measure, (size_t)t->draws * (size_t)t->shares);
  t->kinds = t->known ? 1 : 2;
  for (int i = 0; t->known && i < t->draws * t->shares; i++)
    t->drop[2 * i + 1] = t->known[i];
}

static void share_random(const struct topk *t, double *work)
{
  if (t->known || t->taken < 2 * (int64_t)t->draws * t->shares)
    return;
  for (int i = 0; i < t->draws * t->shares; i++)
    work[i] = t->drop[2 * i + 1];
  metric_share(t->measure, work, (size_t)t->draws * (size_t)t->shares);
}

static bool vary(struct topk *t, struct measurement *out, struct error *err)
{
  const struct explain *explain = t->measure->explain;
  const struct fill_scene scene = {explain->card, explain->input, explain->seed};
  struct evaluated end;
  t->draws = (int)t->options->draws;
  if (!parse_shares(t, err) || !fill_open(&t->fill, t->options->fill, &scene, err))
    return false;
  t->top = mem_zero((size_t)t->pixels, sizeof *t->top);
  t->random = mem_zero((size_t)t->pixels, sizeof *t->random);
  t->filled = mem_zero((size_t)t->pixels * (size_t)explain->input->channels, sizeof *t->filled);
  t->hidden = mem_zero((size_t)t->pixels, 1);
  t->drop = mem_zero(2 * (size_t)t->draws * (size_t)t->shares, sizeof *t->drop);
  double *work = mem_zero((size_t)t->draws * (size_t)t->shares, sizeof *work);
  bool ok = (t->top && t->random && t->filled && t->hidden && t->drop && work) || error_memory(err, "top pixels");
  if (ok)
    recall_random(t);
  const struct evaluation what = {
      .stage = "topk",
      .count = (int64_t)t->kinds * t->draws * t->shares,
      .context = t,
      .propose = propose,
      .result = take,
  };
  metric_flat(t->measure, out);
  ok = ok && evaluate(t->measure->evaluator, &what, &end, err);
  if (ok) {
    share_random(t, work);
    report(t, &end, work, out);
  }
  mem_free(work);
  return ok;
}

static bool run(const struct measure *measure, const void *options, struct measurement *out, struct error *err)
{
  const struct geometry *g = &measure->explain->input->geometry;
  struct topk t = {.measure = measure, .options = options, .pixels = (int64_t)g->height * g->width};
  const bool ok = vary(&t, out, err);
  fill_close(&t.fill);
  mem_free(t.top);
  mem_free(t.random);
  mem_free(t.filled);
  mem_free(t.hidden);
  mem_free(t.drop);
  return ok;
}

const struct metric metric_topk = {
    .name = "topk",
    .title = "Top-k pixels",
    .summary = "vary the k highest pixels at random in one go: the fall of the score beside that of k random pixels",
    .paper = "after Samek, Binder, Montavon, Lapuschkin, Müller, IEEE TNNLS 2017",
    .needs = METRIC_MAP,
    .headline = "difference",
    .x_label = "% of pixels varied",
    .y_label = "fall of the score",
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
