/* SPDX-License-Identifier: Apache-2.0 */
/* What is behind penumbra_evaluation; shared by evaluation.c, which measures, and evaluation_files.c, which writes. */
#ifndef PENUMBRA_API_EVALUATION_H
#define PENUMBRA_API_EVALUATION_H

#include "api/object.h"
#include "metrics/metric.h"

struct subject {
  const char *name;
  const struct method *method; /* NULL: maps from elsewhere */
  void *options;               /* of the method; owned */
  float *map;                  /* [height, width] on the model grid, of the image at hand; owned */
};

struct chosen_metric {
  const struct metric *metric;
  void *options; /* owned */
};

struct penumbra_evaluation {
  const struct penumbra_model *model;
  const penumbra_evaluation_request *request;
  const penumbra_request *common;
  struct subject *subjects;
  int n_subjects;
  struct chosen_metric *metrics;
  int n_metrics;
  const char **arguments; /* texts that the metrics' options borrow */
  json_t *records;        /* array: one result.json an image */
  int height, width;      /* px of the maps */
};

/* {"schema", "tool", "model", "settings", "images", "explained": {SUBJECT: cost}, "metrics": {METRIC: summary}}; NULL
 * on error. */
json_t *evaluation_summary(const struct penumbra_evaluation *evaluation, struct error *err);

#endif
