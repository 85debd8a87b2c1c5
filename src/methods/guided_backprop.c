/* SPDX-License-Identifier: Apache-2.0 */
/* Guided backpropagation: Springenberg, Dosovitskiy, Brox & Riedmiller, "Striving for simplicity: the all convolutional
 * net", ICLR workshop 2015. The way back from the score on which a rectifier lets pass what is positive and came
 * through it on the way there: r_in = r [r > 0] [input > 0]. Taken from the paper: the rule. Changed: other activations
 * count as rectifiers (with a warning, the paper knows only Relu). Published tests find the picture nearly independent
 * of the weights (Adebayo et al., "Sanity checks for saliency maps", 2018): it shows edges that excite, not what the
 * class is about. */
#include "methods/slopes.h"

#include <stddef.h>

struct options {
  bool keep_channels;
};

static const struct param params[] = {
    KEEP_CHANNELS_PARAM(struct options, keep_channels),
    PARAM_END,
};

static bool run(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  const struct options *o = options;
  struct slopes s = {.explain = explain};
  const bool ok = slopes_open(&s, explain, NULL, o->keep_channels, out, err) &&
                  slopes_maps(&s, "guided backpropagation", RULE_GUIDED, REDUCE_SUM, err);
  if (ok) {
    slopes_rules(&s);
    slopes_report(&s, "complete", true);
    explanation_warn(
        out, "model-independent",
        "maps of this kind hardly change when weights are randomised: compare with --metric randomisation");
  }
  slopes_close(&s);
  return ok;
}

const struct method method_guided_backprop = {
    .name = "guided-backprop",
    .title = "Guided backpropagation",
    .unit = "signal",
    .summary = "a sharp picture of what excites the units on the way to the class",
    .paper = "Springenberg, Dosovitskiy, Brox, Riedmiller: Striving for Simplicity, ICLR workshop 2015",
    .needs = NEEDS_GRADIENT,
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
