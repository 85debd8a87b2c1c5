/* SPDX-License-Identifier: Apache-2.0 */
/* AttributeProto: a named constant of a node. */
#ifndef PENUMBRA_ONNX_ATTRIBUTE_H
#define PENUMBRA_ONNX_ATTRIBUTE_H

#include "onnx/reader.h"
#include "onnx/wire.h"
#include "ops/node.h"

#include <stdbool.h>

/* Graphs (the bodies of If, Loop and Scan), sparse tensors, types and lists of tensors become ATTR_OTHER: no operator
 * of an image classifier reads them, so only name and kind are kept; graphs inside are walked for damage, to a depth
 * of 64. */
bool attribute_read(struct reader *reader, struct wire message, struct attr *attr, struct error *err);

#endif
