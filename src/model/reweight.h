/* SPDX-License-Identifier: Apache-2.0 */
/* The same network with other weights: what is left of an explanation when the model has learned nothing? The original
 * is not touched. */
#ifndef PENUMBRA_MODEL_REWEIGHT_H
#define PENUMBRA_MODEL_REWEIGHT_H

#include "model/model.h"

/* How weights are replaced: their own values in another order, or normal numbers of the layer's mean and SD. */
enum reweight { REWEIGHT_PERMUTE, REWEIGHT_NORMAL };

/* Layers that have weights: convolutions and matrix products. */
int model_weight_layers(const struct model *model);

/* A copy of `model` in which `count` layers from number `first` on, counted from the output (0), have other weights,
 * biases and scales. It borrows everything else: close it before `model`, which may be such a copy itself. A layer's
 * new weights depend on seed and layer only. */
struct model *model_reweighted(const struct model *model, int first, int count, enum reweight how, uint64_t seed,
                               struct error *err);
void model_reweighted_close(struct model *model);

#endif
