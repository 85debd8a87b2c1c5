/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/curve.h"

#include "base/mem.h"
#include "metrics/order.h"

#include <math.h>
#include <string.h>

struct curve {
  const struct measure *measure;
  const struct input *input;
  bool reveal;
  struct fill fill;
  int64_t pixels;
  int steps, draws;
  int32_t *order;        /* [pixels] */
  float *filled, *image; /* the fill of the draw at hand; the image as it is by now */
  int64_t at;            /* pixels of `image` that have changed sides */
  double *score;         /* [draws, steps + 1] */
  int64_t taken;
};

static int64_t share_at(const struct curve *c, int k)
{
  return c->pixels * k / c->steps;
}

/* Evaluation i is step i % (steps + 1) of draw i / (steps + 1), in order: each adds its share to the one before. */
static bool propose(void *context, int64_t i, struct perturbation *p, struct error *err)
{
  struct curve *c = context;
  const int k = (int)(i % (c->steps + 1));
  const size_t channels = (size_t)c->input->channels, bytes = channels * sizeof(float);
  p->kind = PERTURB_IMAGE;
  if (k == 0) {
    if ((i == 0 || c->fill.kind->random) && !fill_values(&c->fill, (uint32_t)(i / (c->steps + 1)), c->filled, err))
      return false;
    memcpy(c->image, c->reveal ? c->filled : c->input->x, (size_t)c->pixels * bytes);
    c->at = 0;
  }
  const float *from = c->reveal ? c->input->x : c->filled;
  for (const int64_t end = share_at(c, k); c->at < end; c->at++) {
    const size_t pixel = (size_t)c->order[c->at] * channels;
    memcpy(c->image + pixel, from + pixel, bytes);
  }
  memcpy(p->content, c->image, (size_t)c->pixels * bytes);
  return true;
}

static bool take(void *context, int64_t i, const float *scores, const float *activations, bool *stop, struct error *err)
{
  struct curve *c = context;
  (void)activations;
  (void)stop;
  (void)err;
  c->score[i] = (double)scores[c->measure->target];
  c->taken = i + 1;
  return true;
}

static double area(const struct curve *c, const double *f)
{
  double sum = 0;
  for (int k = 0; k < c->steps; k++)
    sum += (f[k] + f[k + 1]) / 2 * (double)(share_at(c, k + 1) - share_at(c, k));
  return sum / (double)c->pixels;
}

static bool report(const struct curve *c, const struct evaluated *end, struct measurement *out, struct error *err)
{
  const int points = c->steps + 1, draws = (int)(c->taken / points);
  const double start = (double)evaluator_scores(c->measure->evaluator)[c->measure->target];
  double *work = mem_zero(2 * (size_t)points + 2 * (size_t)c->draws, sizeof *work);
  if (!work)
    return error_memory(err, "a curve");
  double *mean = work, *error = work + points, *areas = error + points, *column = areas + c->draws;
  for (int d = 0; d < draws; d++)
    areas[d] = area(c, c->score + (int64_t)d * points);
  for (int k = 0; k < points; k++) {
    for (int d = 0; d < draws; d++)
      column[d] = c->score[(int64_t)d * points + k];
    mean[k] = mean_of(column, draws);
    error[k] = deviation_of(column, draws) / sqrt(draws);
  }
  if (draws < c->draws)
    measurement_warn(out, "partial", "stopped by %s after %d of %d draws", end->stopped_by, draws, c->draws);
  const double auc = mean_of(areas, draws);
  measurement_value(out, "auc", auc);
  measurement_value(out, "auc_relative", start > 0 ? auc / start : NAN);
  if (draws > 1)
    measurement_spread(out, "auc", deviation_of(areas, draws), draws, false);
  if (draws)
    measurement_curve(out, "score", mean, draws > 1 ? error : NULL, points);
  measurement_abscissa(out, 1.0 / c->steps, points);
  measurement_detail(out, "steps", json_integer(c->steps));
  measurement_detail(out, "draws", json_integer(draws));
  measurement_detail(out, "fill", json_string(c->fill.text));
  if (draws && fabs(mean[0] - mean[c->steps]) < 0.05 && c->measure->explain->evaluate.session.score == SCORE_PROB)
    measurement_warn(out, "weak-fill", "hiding the whole image with '%s' moves the score by %.3f only", c->fill.text,
                     fabs(mean[0] - mean[c->steps]));
  mem_free(work);
  return true;
}

static bool follow(struct curve *c, const struct curve_options *options, const char *fill, struct measurement *out,
                   struct error *err)
{
  const struct explain *explain = c->measure->explain;
  const struct fill_scene scene = {explain->card, explain->input, explain->seed};
  struct evaluated end;
  if (!fill_open(&c->fill, fill, &scene, err))
    return false;
  c->draws = fill_draws(&c->fill, options->draws);
  c->steps = (int)(options->steps < c->pixels ? options->steps : c->pixels);
  if (options->steps > c->pixels)
    measurement_warn(out, "few-pixels", "%lld steps, but the image has %lld pixels: %d steps",
                     (long long)options->steps, (long long)c->pixels, c->steps);
  const size_t image = (size_t)c->pixels * (size_t)c->input->channels;
  c->order = mem_zero((size_t)c->pixels, sizeof *c->order);
  c->filled = mem_zero(image, sizeof *c->filled);
  c->image = mem_zero(image, sizeof *c->image);
  c->score = mem_zero((size_t)c->draws * ((size_t)c->steps + 1), sizeof *c->score);
  if (!c->order || !c->filled || !c->image || !c->score)
    return error_memory(err, "a curve");
  metric_flat(c->measure, out);
  const struct evaluation what = {
      .stage = c->reveal ? "insertion" : "deletion",
      .count = (int64_t)c->draws * (c->steps + 1),
      .context = c,
      .propose = propose,
      .result = take,
  };
  return order_pixels(ORDER_MORF, c->measure->map, c->pixels, explain->seed, 0, c->order, err) &&
         evaluate(c->measure->evaluator, &what, &end, err) && report(c, &end, out, err);
}

bool curve_run(const struct measure *measure, const struct curve_options *options, bool reveal, const char *fill,
               struct measurement *out, struct error *err)
{
  const struct input *input = measure->explain->input;
  struct curve c = {.measure = measure,
                    .input = input,
                    .reveal = reveal,
                    .pixels = (int64_t)input->geometry.height * input->geometry.width};
  const bool ok = follow(&c, options, fill, out, err);
  fill_close(&c.fill);
  mem_free(c.order);
  mem_free(c.filled);
  mem_free(c.image);
  mem_free(c.score);
  return ok;
}
