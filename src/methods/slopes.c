/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/slopes.h"

#include "base/mem.h"
#include "base/str.h"
#include "methods/warnings.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool slopes_open(struct slopes *s, const struct explain *explain, const char *layer, bool keep_channels,
                 struct explanation *out, struct error *err)
{
  const struct input *input = explain->input;
  const int64_t h = input->geometry.height, w = input->geometry.width, c = input->channels;
  struct evaluate_options options = explain->evaluate;
  options.session.layer = layer;
  options.use.gradients = true;
  *s = (struct slopes){.explain = explain, .out = out, .pixels = (size_t)(h * w), .channels = (size_t)c};
  s->targets = mem_zero((size_t)explain->predictor->classes, sizeof *s->targets);
  if (!s->targets)
    return error_memory(err, "targets");
  s->evaluator = evaluator_open(explain->predictor, &options, input->x, err);
  if (!s->evaluator || !explain_targets(explain, evaluator_scores(s->evaluator), s->targets, &s->n_targets, out, err))
    return false;
  const int64_t dims[4] = {s->n_targets, c, h, w}, maps[3] = {s->n_targets, h, w};
  const bool one = !out->all_targets;
  s->map = explanation_floats(out, "map", one ? 2 : 3, one ? maps + 1 : maps, err);
  if (s->map && keep_channels)
    s->each = explanation_floats(out, "channels", one ? 3 : 4, one ? dims + 1 : dims, err);
  return s->map && (s->each || !keep_channels);
}

void slopes_close(struct slopes *s)
{
  evaluator_close(s->evaluator);
  mem_free(s->targets);
}

/* Whoever cannot have a gradient is told what needs none. */
bool slopes_no_gradient(struct error *err)
{
  struct str names;
  if (!strstr(err->message, "(no-gradient)"))
    return false;
  str_init(&names, 80);
  for (int i = 0; method_at(i); i++)
    if (method_at(i)->needs == NEEDS_PREDICT)
      str_printf(&names, "%s%s", names.length ? ", " : "", method_at(i)->name);
  const size_t used = strlen(err->message);
  if (names.text && used + names.length + 24 < sizeof err->message)
    (void)snprintf(err->message + used, sizeof err->message - used, "; these need none: %s", names.text);
  str_free(&names);
  return false;
}

bool slopes_run(struct slopes *s, const struct gradients *what, struct evaluated *end, struct error *err)
{
  if (!gradients_begin(s->evaluator, &what->request, &s->info, err) || !gradients(s->evaluator, what, end, err))
    return slopes_no_gradient(err);
  if (end->count == 0 && what->before == 0 && what->count > 0)
    return error_set(err, ERROR_USAGE, "%s: ended by '%s' before the first gradient, which counts %d evaluations",
                     what->stage, end->stopped_by, GRADIENT_EVALUATIONS);
  return true;
}

struct once {
  const struct slopes *s;
  float *gradient;
};

static bool propose(void *context, int64_t i, float *image, struct error *err)
{
  const struct once *once = context;
  (void)i;
  (void)err;
  memcpy(image, once->s->explain->input->x, once->s->pixels * once->s->channels * sizeof *image);
  return true;
}

static bool result(void *context, int64_t i, const float *scores, const float *gradient, bool *stop, struct error *err)
{
  const struct once *once = context;
  const struct backward_info *info = &once->s->info;
  (void)i;
  (void)scores;
  (void)stop;
  (void)err;
  memcpy(once->gradient, gradient,
         (size_t)info->height * (size_t)info->width * (size_t)info->channels * sizeof *gradient);
  return true;
}

bool slopes_once(struct slopes *s, const char *stage, const struct backward_request *request, int64_t t,
                 float *gradient, struct error *err)
{
  struct once once = {s, gradient};
  struct evaluated end = {0};
  const struct gradients what = {.stage = stage,
                                 .count = 1,
                                 .request = *request,
                                 .context = &once,
                                 .propose = propose,
                                 .result = result,
                                 .before = t,
                                 .total = s->n_targets};
  if (!slopes_run(s, &what, &end, err))
    return false;
  if (end.count == 0)
    return error_set(err, ERROR_USAGE, "%s: ended by '%s' after %lld of %lld classes", stage, end.stopped_by,
                     (long long)t, (long long)s->n_targets);
  return true;
}

void slopes_put(struct slopes *s, int64_t t, const double *a, enum reduce reduce)
{
  float *map = s->map + (size_t)t * s->pixels;
  for (size_t i = 0; i < s->pixels; i++) {
    double value = 0;
    for (size_t k = 0; k < s->channels; k++) {
      const double one = a[i * s->channels + k];
      value = reduce == REDUCE_SUM ? value + one : reduce == REDUCE_L2 ? value + one * one : fmax(value, fabs(one));
      if (s->each)
        s->each[((size_t)t * s->channels + k) * s->pixels + i] = (float)one;
    }
    map[i] = (float)(reduce == REDUCE_L2 ? sqrt(value) : value);
  }
}

bool slopes_maps(struct slopes *s, const char *stage, enum rule rule, enum reduce reduce, struct error *err)
{
  const size_t n = s->pixels * s->channels;
  float *g = mem_zero(n, sizeof *g);
  double *a = mem_zero(n, sizeof *a);
  bool ok = (g && a) || error_memory(err, "gradients");
  for (int64_t t = 0; ok && t < s->n_targets; t++) {
    ok = slopes_once(s, stage, &(struct backward_request){.rule = rule, .target = s->targets[t]}, t, g, err);
    for (size_t i = 0; ok && i < n; i++)
      a[i] = (double)g[i];
    if (ok)
      slopes_put(s, t, a, reduce);
  }
  mem_free(g);
  mem_free(a);
  return ok;
}

void slopes_rules(struct slopes *s)
{
  json_object_set_new(s->out->quality, "rectifiers", json_integer(s->info.rectifiers));
  if (s->info.activations > 0)
    explanation_warn(
        s->out, "deconv-activation",
        "%d activations on the way are no Relu (%s, …): the rule is defined for Relu and takes them for one",
        s->info.activations, s->info.activation);
}

void slopes_report(struct slopes *s, const char *stopped_by, bool of_score)
{
  struct explanation *out = s->out;
  out->evaluations = evaluator_count(s->evaluator);
  out->seconds = evaluator_seconds(s->evaluator);
  out->stopped_by = stopped_by;
  if (s->info.straight)
    explanation_warn(
        out, "quantised-gradient",
        "the model rounds to integers: its gradient is that of the slope of the staircase, inside its range");
  if (of_score)
    warn_of_map(s->explain, out);
}
