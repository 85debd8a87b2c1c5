/* SPDX-License-Identifier: Apache-2.0 */
/* The share of a run's own perturbations that raised another finding over its threshold: there the covering itself
 * looks like something. The healthy class is no finding. */
#ifndef PENUMBRA_METHODS_ARTIFACT_SHARE_H
#define PENUMBRA_METHODS_ARTIFACT_SHARE_H

#include "methods/method.h"

struct artifact_share {
  const struct explain *explain;
  const float *base; /* [classes] of the image; borrowed */
  int64_t target;    /* the shown one */
  int64_t count, raised;
};

/* Once the target is known. */
struct artifact_share artifact_share_of(const struct explain *explain, const float *base, int64_t target);
/* Scores [classes] of one perturbation. */
void artifact_share_take(struct artifact_share *share, const float *scores);
/* Into the quality figures: "artifact_share". Undefined, and left out, where nothing was perturbed, where there is no
 * other finding, and for softmax's logits, which have no thresholds. */
void artifact_share_note(const struct artifact_share *share, struct explanation *out);

#endif
