/* SPDX-License-Identifier: Apache-2.0 */
/* What a method hands back: named arrays, figures about itself, warnings. */
#ifndef PENUMBRA_METHODS_EXPLANATION_H
#define PENUMBRA_METHODS_EXPLANATION_H

#include "base/error.h"
#include "base/npy.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { EXPLANATION_MAX_ARRAYS = 32 };

struct named_array {
  const char *name; /* static; the file is NAME.npy */
  struct npy array; /* data owned */
};

struct explanation {
  struct named_array arrays[EXPLANATION_MAX_ARRAYS];
  int n_arrays;
  bool all_targets;      /* target "all": map is [classes, height, width] */
  int64_t target;        /* the class whose map is shown; with all, the top one */
  float *scores;         /* [classes] of the image; owned */
  int64_t classes;
  int64_t evaluations;
  double seconds;        /* of prediction */
  const char *stopped_by;
  json_t *quality;       /* object: what the method can say of itself */
  json_t *details;       /* object: further results for result.json */
  json_t *warnings;      /* array of {"id","message"} */
  json_t *documents;     /* object: what is under NAME becomes the file NAME.json */
};

bool explanation_init(struct explanation *e, struct error *err);
void explanation_free(struct explanation *e);

/* A zeroed array that the explanation owns; its data are returned. NULL when memory is out. */
float *explanation_floats(struct explanation *e, const char *name, int rank, const int64_t *dims, struct error *err);
int32_t *explanation_ints(struct explanation *e, const char *name, int rank, const int64_t *dims, struct error *err);
const struct npy *explanation_find(const struct explanation *e, const char *name);

/* A warning by its identifier ("flat-map") and a sentence; once per identifier. */
void explanation_warn(struct explanation *e, const char *id, const char *format, ...)
  __attribute__((format(printf, 3, 4)));

#endif
