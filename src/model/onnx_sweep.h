/* SPDX-License-Identifier: Apache-2.0 */
/* The sweeps back of a session on an ONNX model: a graph and plans for what was last asked. */
#ifndef PENUMBRA_MODEL_ONNX_SWEEP_H
#define PENUMBRA_MODEL_ONNX_SWEEP_H

#include "model/model.h"
#include "model/predictor.h"
#include "tensor/compute.h"

struct onnx_sweep;

/* For a model that outlives it. `limit`: bytes it may use, results and images of its callers included. In bf16 the
 * stem, scores and what a sweep ends at are float32 all the same. */
struct onnx_sweep *onnx_sweep_new(const struct model *model, struct compute *compute, enum score score,
                                  enum precision precision, size_t limit, struct error *err);
void onnx_sweep_free(struct onnx_sweep *sweep);

/* As session_ops has them. */
bool onnx_sweep_begin(struct onnx_sweep *sweep, const struct backward_request *request, struct backward_info *info,
                      struct error *err);
bool onnx_sweep_run(struct onnx_sweep *sweep, const float *images, int64_t n, float *results, float *scores,
                    struct error *err);
float *onnx_sweep_room(struct onnx_sweep *sweep, int64_t *n, struct error *err);
bool onnx_sweep_there(struct onnx_sweep *sweep, const float **results, float *scores, struct error *err);
bool onnx_sweep_stem(struct onnx_sweep *sweep, const float *image, float *stem, struct error *err);
bool onnx_sweep_stem_back(struct onnx_sweep *sweep, const float *signal, float *gradient, struct error *err);

#endif
