/* SPDX-License-Identifier: Apache-2.0 */
/* Grad-CAM: Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization", ICCV
 * 2017. Feature maps a_k of a layer, weighted by the mean of the score's slope over each:
 *   w_k = mean_uv df/da_k      L = sum_k w_k a_k, bilinear to the image's grid at pixel centres.
 * Taken from the paper: weights and sum. Changed: signed (`relu` gives the paper's positive part); any layer with
 * spatial extent. With a global average and one matrix behind the layer the sum of L is the logit less its bias. */
#include "methods/slopes.h"

#include "base/json.h"
#include "base/mem.h"

#include <math.h>
#include <stddef.h>

struct options {
  const char *layer;
  bool relu;
};

static const struct param params[] = {
    {"layer", PARAM_TEXT, offsetof(struct options, layer), "", 0, 0, NULL, NULL, NULL,
     "layer whose feature maps are weighed; empty: the last one before global pooling"},
    {"relu", PARAM_BOOL, offsetof(struct options, relu), "off", 0, 0, NULL, NULL, "on",
     "only evidence for the class, as in the paper"},
    PARAM_END,
};

/* Value of row [n] at the centre of pixel i of `of`. */
static void place(int i, int of, int n, int *low, int *high, double *weight)
{
  double at = (i + 0.5) * n / of - 0.5;
  at = at < 0 ? 0 : at > n - 1 ? n - 1 : at;
  *low = (int)at;
  *high = *low + 1 < n ? *low + 1 : *low;
  *weight = at - *low;
}

static void enlarge(const double *small, int h, int w, int height, int width, float *map)
{
  for (int y = 0; y < height; y++) {
    int y0, y1, x0, x1;
    double wy, wx;
    place(y, height, h, &y0, &y1, &wy);
    for (int x = 0; x < width; x++) {
      place(x, width, w, &x0, &x1, &wx);
      const double top = small[y0 * w + x0] * (1 - wx) + small[y0 * w + x1] * wx;
      const double bottom = small[y1 * w + x0] * (1 - wx) + small[y1 * w + x1] * wx;
      map[y * width + x] = (float)(top * (1 - wy) + bottom * wy);
    }
  }
}

static bool maps(struct slopes *s, const struct options *o, struct error *err)
{
  const struct session *session = evaluator_session(s->evaluator);
  const struct geometry *g = &s->explain->input->geometry;
  const int h = session->layer.height, w = session->layer.width, c = session->layer.channels;
  const int64_t cells = (int64_t)h * w, dims[3] = {s->n_targets, h, w};
  const bool one = !s->out->all_targets;
  const float *a = evaluator_activations(s->evaluator);
  float *slope = mem_zero((size_t)(cells * c), sizeof *slope);
  double *sum = mem_zero((size_t)cells, sizeof *sum), *weight = mem_zero((size_t)c, sizeof *weight);
  float *coarse = explanation_floats(s->out, "gradcam_layer", one ? 2 : 3, one ? dims + 1 : dims, err);
  bool ok = coarse && ((slope && sum && weight) || error_memory(err, "gradients"));
  for (int64_t t = 0; ok && t < s->n_targets; t++) {
    const struct backward_request request = {.target = s->targets[t], .to = o->layer};
    ok = slopes_once(s, "gradcam", &request, t, slope, err);
    if (!ok)
      break;
    for (int k = 0; k < c; k++) {
      double total = 0;
      for (int64_t i = 0; i < cells; i++)
        total += (double)slope[i * c + k];
      weight[k] = total / (double)cells;
    }
    for (int64_t i = 0; i < cells; i++) {
      double total = 0;
      for (int k = 0; k < c; k++)
        total += weight[k] * (double)a[i * c + k];
      sum[i] = o->relu && total < 0 ? 0 : total;
      coarse[t * cells + i] = (float)sum[i];
    }
    enlarge(sum, h, w, g->height, g->width, s->map + (size_t)t * s->pixels);
  }
  json_object_set_new(s->out->details, "layer", json_string(session->layer.name));
  mem_free(slope);
  mem_free(sum);
  mem_free(weight);
  return ok;
}

static bool run(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  const struct options *o = options;
  struct slopes s = {.explain = explain};
  const bool ok = slopes_open(&s, explain, o->layer, false, out, err) && maps(&s, o, err);
  if (ok)
    slopes_report(&s, "complete", true);
  slopes_close(&s);
  return ok;
}

const struct method method_gradcam = {
    .name = "gradcam",
    .title = "Grad-CAM",
    .unit = "signal",
    .summary = "a layer's feature maps, weighed by what they mean to the class",
    .paper = "Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: Grad-CAM, ICCV 2017",
    .needs = NEEDS_GRADIENT,
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
