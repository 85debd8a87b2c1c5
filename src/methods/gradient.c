/* SPDX-License-Identifier: Apache-2.0 */
/* Plain gradients: Simonyan, Vedaldi & Zisserman, "Deep inside convolutional networks: visualising image classification
 * models and saliency maps", arXiv 2013. The slope of a class's score at the image, A = df/dx.
 * Taken from the paper: the gradient. Changed: signed, channels summed (the paper takes the largest magnitude over
 * channels: reduce=absmax). */
#include "methods/slopes.h"

#include <stddef.h>

struct options {
  int reduce;
  bool keep_channels;
};

static const struct param params[] = {
    {"reduce", PARAM_CHOICE, offsetof(struct options, reduce), "sum", 0, 0, "sum|absmax|l2", NULL, "absmax",
     "how the channels of a pixel become one value: signed sum, largest magnitude, length"},
    KEEP_CHANNELS_PARAM(struct options, keep_channels),
    PARAM_END,
};

static bool run(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  const struct options *o = options;
  struct slopes s = {.explain = explain};
  const bool ok = slopes_open(&s, explain, NULL, o->keep_channels, out, err) &&
                  slopes_maps(&s, "gradient", RULE_GRADIENT, (enum reduce)o->reduce, err);
  if (ok)
    slopes_report(&s, "complete", true);
  slopes_close(&s);
  return ok;
}

const struct method method_gradient = {
    .name = "gradient",
    .title = "Gradient",
    .unit = "slope",
    .summary = "how the score moves with each pixel, by itself and very little",
    .paper = "Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks, arXiv 1312.6034, 2013",
    .needs = NEEDS_GRADIENT,
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
