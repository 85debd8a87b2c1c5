/* SPDX-License-Identifier: Apache-2.0 */
/* A classifier read from an ONNX file together with its card. */
#ifndef PENUMBRA_MODEL_MODEL_H
#define PENUMBRA_MODEL_MODEL_H

#include "graph/graph.h"
#include "model/card.h"
#include "model/predictor.h"
#include "onnx/load.h"

#include <jansson.h>

struct model_options {
  const char *card;           /* file, or NULL: what lies beside the model */
  const char *const *settings; /* NULL-terminated "key=value" for card_set, or NULL */
  bool external_symlinks;
  bool verbatim;              /* no folding of batch norms: every layer of the file can be read */
};

struct model {
  struct predictor predictor;
  char *path;
  struct onnx_model onnx;
  json_t *in_file;            /* operators of the file and how many of each */
  struct graph *graph;        /* built and simplified; ends at `raw` */
  struct card card;
  bool card_found;            /* false: defaults only */
  enum activation activation; /* from raw output to probability; NONE: scores are raw outputs */
  enum activation ends_in;    /* what the graph itself ends in */
  struct value *raw;          /* the tensor before that activation: logits, one per class */
  int64_t outputs;            /* values of raw; classes is one more where a complement is named */
  const char *default_layer;  /* last rank-4 activation with spatial extent before pooling, or NULL */
  struct weights **own_weights; /* of a copy by model_reweighted */
  int n_own_weights;
  struct onnx_idle *idle;     /* see onnx_session.h */
};

struct model *model_open(const char *path, const struct model_options *options, struct error *err);
void model_close(struct model *model);

/* The value a user means by a layer's name; an error offers the nearest names. `name` "" is the default layer. */
struct value *model_layer(const struct model *model, const char *name, struct error *err);

/* {"card", "notes"}: a card to begin with, from the graph alone. */
json_t *model_draft_card(const char *path, struct error *err);

/* What `inspect` prints. */
json_t *model_json(const struct model *model);

#endif
