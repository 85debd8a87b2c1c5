/* SPDX-License-Identifier: Apache-2.0 */
/* An ONNX model as a graph (https://onnx.ai/onnx/repo-docs/IR.html): values, nodes with their attributes, constants,
 * inputs and outputs, as in the file and not yet built. Every length, offset and reference of the file is checked; time
 * and memory are bounded by its size. */
#ifndef PENUMBRA_ONNX_LOAD_H
#define PENUMBRA_ONNX_LOAD_H

#include "base/error.h"
#include "base/files.h"
#include "graph/graph.h"
#include "onnx/reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct onnx_options {
  bool external_symlinks; /* external data may be reached through symbolic links, as model hubs' caches keep them */
};

struct onnx_property {
  const char *key, *value;
};

struct onnx_model {
  struct graph *graph;  /* big constants point into the map */
  struct file_map map;  /* the file; empty after onnx_load_bytes */
  struct reader reader; /* keeps the external data mapped */
  char *dir;            /* folder of the file, "." where the path has none; NULL after onnx_load_bytes */
  int64_t ir_version;
  int64_t opset;                           /* of the domain ai.onnx */
  const char *producer, *producer_version; /* "" where the file does not say */
  const struct onnx_property *metadata;    /* metadata_props, in the order of the file */
  int n_metadata;
};

/* Read `path` (options NULL: defaults). An input's leading dimension is 1 where the file leaves it open, any other open
 * dimension 0: to be filled in before graph_build. A fixed leading dimension stays. Release with onnx_unload. */
bool onnx_load(const char *path, const struct onnx_options *options, struct onnx_model *model, struct error *err);
/* The same of bytes, which must stay as long as the model; external data are refused. */
bool onnx_load_bytes(const void *bytes, size_t size, struct onnx_model *model, struct error *err);
void onnx_unload(struct onnx_model *model);

#endif
