/* SPDX-License-Identifier: Apache-2.0 */
/* GraphProto: values, nodes, inputs and outputs, each name defined once and everything that is read defined. */
#ifndef PENUMBRA_ONNX_GRAPH_PROTO_H
#define PENUMBRA_ONNX_GRAPH_PROTO_H

#include "graph/graph.h"
#include "onnx/reader.h"
#include "onnx/wire.h"

#include <stdbool.h>

struct opset {
  const char *domain; /* "" for ai.onnx */
  int version;
};

/* Fill an empty graph. Nodes stay in the order of the file, which need not be one of execution. */
bool graph_proto_read(struct reader *reader, const struct opset *opsets, int n_opsets, struct wire message,
                      struct graph *graph, struct error *err);

#endif
