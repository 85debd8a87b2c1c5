/* SPDX-License-Identifier: Apache-2.0 */
/* Running an ONNX model: fused graph, plans per batch size, one memory. What a run has made (kernels, plans, memory)
 * stays with the model when its session is closed, and the next run with the same options takes it over: a folder of
 * pictures builds once. */
#ifndef PENUMBRA_MODEL_ONNX_SESSION_H
#define PENUMBRA_MODEL_ONNX_SESSION_H

#include "model/predictor.h"

extern const struct predictor_ops onnx_predictor_ops;

/* The session that waits for the next run; any number of threads may open and close sessions of a model. */
struct onnx_idle;

struct onnx_idle *onnx_idle_new(struct error *err);
void onnx_idle_free(struct onnx_idle *idle);

#endif
