/* SPDX-License-Identifier: Apache-2.0 */
/* Running an ONNX model: fused graph, plans per batch size, one memory. */
#ifndef PENUMBRA_MODEL_ONNX_SESSION_H
#define PENUMBRA_MODEL_ONNX_SESSION_H

#include "model/predictor.h"

extern const struct predictor_ops onnx_predictor_ops;

#endif
