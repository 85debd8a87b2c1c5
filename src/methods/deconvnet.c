/* SPDX-License-Identifier: Apache-2.0 */
/* Deconvnet: Zeiler & Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, section 2. What in the
 * image excited a feature map: its activity, all else of its layer set to 0, is sent back to the pixels. Convolutions
 * are transposed, maxima return to their places, rectifiers rectify the signal that comes back (whatever came through
 * on the way there). Taken from the paper: the projection. Changed: any operator that a classifier may hold on the way;
 * a class's logit can be the start (`start=class`). The result is a picture of excitation, not of evidence for a score:
 * its sum means nothing. */
#include "methods/slopes.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "methods/projection.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum start { START_LAYER, START_CLASS };

struct options {
  int start;
  const char *layer;
  int64_t feature_map;
  const char *unit;
  bool keep_channels;
};

static const struct param params[] = {
    {"start", PARAM_CHOICE, offsetof(struct options, start), "layer", 0, 0, "layer|class", NULL, NULL,
     "project a layer's activity, or go back from the target's logit"},
    {"layer", PARAM_TEXT, offsetof(struct options, layer), "", 0, 0, NULL, NULL, NULL,
     "layer whose activity is projected; empty: the last one before global pooling"},
    {"feature-map", PARAM_INT, offsetof(struct options, feature_map), "auto", 0, 1 << 20, NULL, NULL, NULL,
     "feature map; auto: the strongest on the image"},
    {"unit", PARAM_TEXT, offsetof(struct options, unit), "single", 0, 0, NULL, NULL, NULL,
     "single: the map's strongest unit; map: all of them; u,v: the one in row u, column v"},
    KEEP_CHANNELS_PARAM(struct options, keep_channels),
    PARAM_END,
};

/* "u,v" of a map of h x w. */
static bool read_unit(const char *text, int h, int w, struct projection *p)
{
  char row[16];
  const char *comma = strchr(text, ',');
  int64_t y, x;
  if (!comma || (size_t)(comma - text) >= sizeof row)
    return false;
  memcpy(row, text, (size_t)(comma - text));
  row[comma - text] = '\0';
  if (!str_integer(row, &y) || !str_integer(comma + 1, &x) || y < 0 || x < 0 || y >= h || x >= w)
    return false;
  p->y = (int)y;
  p->x = (int)x;
  return true;
}

static bool choose(const struct slopes *s, const struct options *o, struct projection *p, struct error *err)
{
  const struct session *session = evaluator_session(s->evaluator);
  const float *a = evaluator_activations(s->evaluator);
  const int h = session->layer.height, w = session->layer.width, c = session->layer.channels;
  p->map = o->feature_map == PARAM_AUTO_INT ? projection_strongest_map(a, h, w, c) : o->feature_map;
  if (p->map >= c)
    return error_set(err, ERROR_USAGE, "feature-map: %lld is outside 0..%d", (long long)p->map, c - 1);
  p->y = p->x = -1;
  if (strcmp(o->unit, "single") == 0)
    projection_strongest_unit(a, h, w, c, p);
  else if (strcmp(o->unit, "map") != 0 && !read_unit(o->unit, h, w, p))
    return error_set(err, ERROR_USAGE, "unit: '%.40s' is none of single, map, u,v with u in 0..%d and v in 0..%d",
                     o->unit, h - 1, w - 1);
  return true;
}

/* The layer's map as it is, for beside the projection. */
static bool keep_activity(struct slopes *s, int64_t map, struct error *err)
{
  const struct session *session = evaluator_session(s->evaluator);
  const int64_t dims[2] = {session->layer.height, session->layer.width};
  const float *a = evaluator_activations(s->evaluator);
  float *activity = explanation_floats(s->out, "activity", 2, dims, err);
  for (int64_t i = 0; activity && i < dims[0] * dims[1]; i++)
    activity[i] = a[i * session->layer.channels + map];
  return activity != NULL;
}

static bool from_layer(struct slopes *s, const struct options *o, float *signal, struct error *err)
{
  struct projection p = {.map = 0};
  const struct explain *explain = s->explain;
  if (!explain->model)
    return error_set(err, ERROR_USAGE, "this classifier only predicts, its layers cannot be seen (no-gradient)");
  if (!choose(s, o, &p, err) || !keep_activity(s, p.map, err) ||
      !projection_run(s->evaluator, explain->model, explain->input->x, o->layer, &p, signal, err))
    return false;
  s->info = p.info;
  json_t *projection =
      json_pack("{s:s, s:I, s:o, s:o, s:[i,i,i,i]}", "layer", evaluator_session(s->evaluator)->layer.name,
                "feature_map", (json_int_t)p.map, "unit", p.y < 0 ? json_null() : json_pack("[i,i]", p.y, p.x),
                "activation", json_number_or_null(p.value), "receptive_field", p.box[0], p.box[1], p.box[2], p.box[3]);
  json_object_set_new(s->out->details, "projection", projection);
  if (p.value <= 0)
    explanation_warn(s->out, "flat-map", "feature map %lld is not active on this image: there is nothing to project",
                     (long long)p.map);
  return true;
}

static bool maps(struct slopes *s, const struct options *o, struct error *err)
{
  const size_t n = s->pixels * s->channels;
  float *signal = mem_zero(n, sizeof *signal);
  double *a = mem_zero(n, sizeof *a);
  bool ok = (signal && a) || error_memory(err, "a projection");
  for (int64_t t = 0; ok && t < s->n_targets; t++) {
    if (o->start == START_CLASS) {
      const struct backward_request request = {.rule = RULE_DECONV, .target = s->targets[t], .logit = true};
      ok = slopes_once(s, "deconvnet", &request, t, signal, err);
    } else if (t == 0) { /* a layer's activity has no class */
      ok = from_layer(s, o, signal, err) || slopes_no_gradient(err);
    }
    for (size_t i = 0; ok && i < n; i++)
      a[i] = (double)signal[i];
    if (ok)
      slopes_put(s, t, a, REDUCE_SUM);
  }
  mem_free(signal);
  mem_free(a);
  return ok;
}

static bool run(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  const struct options *o = options;
  struct slopes s = {.explain = explain};
  const bool ok = slopes_open(&s, explain, o->start == START_LAYER ? o->layer : NULL, o->keep_channels, out, err) &&
                  maps(&s, o, err);
  if (ok) {
    slopes_rules(&s);
    slopes_report(&s, "complete", false);
  }
  slopes_close(&s);
  return ok;
}

const struct method method_deconvnet = {
    .name = "deconvnet",
    .title = "Deconvnet projection",
    .unit = "signal",
    .summary = "what in the image excited a feature map, projected back to pixels",
    .paper = "Zeiler, Fergus: Visualizing and Understanding Convolutional Networks, ECCV 2014",
    .needs = NEEDS_GRADIENT,
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
