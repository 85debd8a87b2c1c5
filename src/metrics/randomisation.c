/* SPDX-License-Identifier: Apache-2.0 */
/* Model-parameter randomisation: Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim, "Sanity checks for saliency maps",
 * NeurIPS 2018. Weights are replaced from the output downwards, and the map that the method then gives is held against
 * the first: rank correlation of the maps, of their sizes, and structural similarity (both scaled to a largest size of
 * 1). A map that hardly changes when nothing of what was learned is left does not show what was learned. */
#include "metrics/agreement.h"
#include "metrics/metric.h"

#include "base/mem.h"
#include "model/reweight.h"

#include <math.h>
#include <stddef.h>

enum { MOST_DEPTHS = 4096, DEPTHS = 10 };

struct options {
  bool independent;
  int init_by;
  int64_t depths;
};

static const struct param params[] = {
    {"independent", PARAM_BOOL, offsetof(struct options, independent), "off", 0, 0, NULL, NULL, NULL,
     "one layer at a time, not all from the output down to it"},
    {"init-by", PARAM_CHOICE, offsetof(struct options, init_by), "permute", 0, 0, "permute|normal", NULL, "normal",
     "a layer's own weights in another order, or normal numbers of its mean and SD"},
    {"depths", PARAM_INT, offsetof(struct options, depths), "auto", 1, MOST_DEPTHS, NULL, "layers", NULL,
     "how many depths are tried, evenly spaced, the whole model last; auto: 10, or as many as there are layers"},
    PARAM_END,
};

struct randomisation {
  const struct measure *measure;
  const struct options *options;
  int layers, depths;
  int64_t pixels, evaluations;
  float *map, *scaled[2], *size[2];           /* [pixels]: the new map; first and new map scaled, and without signs */
  double *x, *spearman, *spearman_abs, *ssim; /* [depths + 1] */
};

static int layers_at(const struct randomisation *r, int depth)
{
  return (int)((int64_t)r->layers * depth / r->depths);
}

static void scale(const float *map, int64_t n, float *scaled, float *size)
{
  float most = 0;
  for (int64_t i = 0; i < n; i++)
    most = fmaxf(most, fabsf(map[i]));
  for (int64_t i = 0; i < n; i++) {
    scaled[i] = most > 0 ? map[i] / most : 0;
    size[i] = fabsf(scaled[i]);
  }
}

static bool compare(struct randomisation *r, int depth, struct error *err)
{
  const struct predictor *p = r->measure->explain->predictor;
  struct agreement of, sizes;
  scale(depth ? r->map : r->measure->map, r->pixels, r->scaled[1], r->size[1]);
  if (!agreement_of(r->scaled[0], r->scaled[1], p->height, p->width, &of, err) ||
      !agreement_of(r->size[0], r->size[1], p->height, p->width, &sizes, err))
    return false;
  r->x[depth] = layers_at(r, depth);
  r->spearman[depth] = of.spearman;
  r->spearman_abs[depth] = sizes.spearman;
  r->ssim[depth] = of.ssim;
  return true;
}

static bool explain_with(struct randomisation *r, const struct model *model, struct error *err)
{
  struct explain explain = *r->measure->method_explain;
  explain.model = model;
  explain.predictor = &model->predictor;
  return metric_rerun(r->measure, &explain, r->map, NULL, NULL, &r->evaluations, err);
}

/* Cascading: models below one another, each borrows from the one before and has more layers replaced. */
static bool descend(struct randomisation *r, const struct model *model, int depth, struct error *err)
{
  if (depth > r->depths)
    return true;
  const int done = layers_at(r, depth - 1), to = layers_at(r, depth);
  const bool independent = r->options->independent;
  struct model *other = model_reweighted(model, independent ? to - 1 : done, independent ? 1 : to - done,
                                         (enum reweight)r->options->init_by, r->measure->explain->seed, err);
  bool ok = other && explain_with(r, other, err) && compare(r, depth, err);
  if (independent) {
    model_reweighted_close(other);
    return ok && descend(r, model, depth + 1, err);
  }
  ok = ok && descend(r, other, depth + 1, err);
  model_reweighted_close(other);
  return ok;
}

static void report(const struct randomisation *r, struct measurement *out)
{
  const int last = r->depths;
  const double sizes[2] = {fabs(r->spearman[last]), fabs(r->spearman_abs[last])};
  const double most = fmax(sizes[0], sizes[1]); /* NAN only where both are */
  json_t *x = json_array();
  for (int i = 0; i <= r->depths; i++)
    json_array_append_new(x, json_real(r->x[i]));
  measurement_value(out, "similarity", most);
  measurement_value(out, "spearman", r->spearman[last]);
  measurement_value(out, "spearman_abs", r->spearman_abs[last]);
  measurement_value(out, "ssim", r->ssim[last]);
  measurement_curve(out, "spearman", r->spearman, NULL, r->depths + 1);
  measurement_curve(out, "spearman_abs", r->spearman_abs, NULL, r->depths + 1);
  measurement_curve(out, "ssim", r->ssim, NULL, r->depths + 1);
  measurement_detail(out, "x", x);
  measurement_detail(out, "layers", json_integer(r->layers));
  measurement_detail(out, "evaluations", json_integer((json_int_t)r->evaluations));
  if (most > 0.5 && !r->options->independent)
    measurement_warn(out, "model-independent",
                     "with all weights replaced the map still correlates by %.2f with itself: it "
                     "hardly depends on what the model learned",
                     most);
}

static bool run(const struct measure *measure, const void *options, struct measurement *out, struct error *err)
{
  const struct options *o = options;
  struct randomisation r = {.measure = measure, .options = o};
  r.layers = model_weight_layers(measure->method_explain->model);
  r.depths = o->depths == PARAM_AUTO_INT ? DEPTHS : (int)o->depths;
  r.depths = r.depths < r.layers ? r.depths : r.layers;
  r.pixels = (int64_t)measure->explain->predictor->height * measure->explain->predictor->width;
  if (r.layers < 1)
    return error_set(err, ERROR_FAILED, "randomisation: the model has no layer with weights");
  float *maps = mem_zero(5 * (size_t)r.pixels, sizeof *maps);
  double *curves = mem_zero(4 * ((size_t)r.depths + 1), sizeof *curves);
  bool ok = (maps && curves) || error_memory(err, "maps");
  if (ok) {
    r.map = maps;
    for (int i = 0; i < 2; i++) {
      r.scaled[i] = maps + (1 + i) * r.pixels;
      r.size[i] = maps + (3 + i) * r.pixels;
    }
    r.x = curves;
    r.spearman = r.x + r.depths + 1;
    r.spearman_abs = r.spearman + r.depths + 1;
    r.ssim = r.spearman_abs + r.depths + 1;
    scale(measure->map, r.pixels, r.scaled[0], r.size[0]);
    ok = compare(&r, 0, err) && descend(&r, measure->method_explain->model, 1, err);
  }
  if (ok)
    report(&r, out);
  mem_free(maps);
  mem_free(curves);
  return ok;
}

const struct metric metric_randomisation = {
    .name = "randomisation",
    .title = "Model-parameter randomisation",
    .summary = "whether the map changes when the model's weights are replaced, from the output downwards",
    .paper = "Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim: Sanity checks for saliency maps, NeurIPS 2018",
    .needs = METRIC_MAP | METRIC_METHOD | METRIC_WEIGHTS,
    .headline = "similarity",
    .less_is_better = true,
    .columns = "spearman,spearman_abs,ssim",
    .x_label = "layers replaced, from the output",
    .y_label = "similarity",
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
