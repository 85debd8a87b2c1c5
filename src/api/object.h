/* SPDX-License-Identifier: Apache-2.0 */
/* What is behind the public header's opaque types. */
#ifndef PENUMBRA_API_OBJECT_H
#define PENUMBRA_API_OBJECT_H

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "image/image.h"
#include "methods/explanation.h"
#include "methods/method.h"
#include "model/callback_model.h"
#include "model/model.h"
#include "model/preprocess.h"
#include "penumbra.h"

#include <pthread.h>
#include <stdatomic.h>

struct penumbra_model {
  struct arena *arena;
  struct model *onnx;             /* NULL for a classifier of the caller's own */
  struct callback_model callback; /* used where onnx is NULL */
  penumbra_predictor user;
  struct card own_card; /* of a callback; an ONNX model has its own */
  const struct predictor *predictor;
  const struct card *card;
  const char **labels; /* [classes] */
  double *thresholds;  /* [classes] */
  const char *notes;
  pthread_mutex_t lock; /* guards sha256 */
  char sha256[65];      /* of the file, once somebody asked; "" before, and for a callback */
};

struct penumbra_image {
  atomic_int references; /* the caller's, and one of every explanation made of it */
  struct image image;
  char *name;
  char sha256[65]; /* of the file, or of the pixels */
};

struct penumbra_explanation {
  struct explanation e;
  struct penumbra_image *image;
  const char *method;
  char *label;    /* of the target */
  double scale;   /* value at the ends of the colours; 0: the map's largest */
  json_t *result; /* result.json */
};

/* Hand an error to the caller, who may not want it. Returns false. */
bool api_error(penumbra_error *to, const struct error *from);
/* JSON as a text the caller owns; the reference is consumed. */
char *api_text(json_t *json, penumbra_error *err);

/* A copy of a caller's struct, which begins with its size: what an older header did not have is zero, what a newer one
 * adds must be. `name` is for the message. */
bool api_struct(void *to, size_t size, const void *from, const char *name, struct error *err);

/* A request's fields, checked, into explain (whose evaluate.precision is there); zero means default. */
bool api_request(const penumbra_request *request, struct explain *explain, struct error *err);
/* The picture on the model's grid; messages about it begin with its file. */
bool api_preprocess(const struct penumbra_model *model, const struct penumbra_image *image, struct input *input,
                    struct error *err);

struct penumbra_image *image_reference(const struct penumbra_image *image);
const char *model_sha256(const struct penumbra_model *model);

/* How often a fill makes normal pictures look abnormal: what a request brings or the card records, NULL where there is
 * nothing. The reference is the caller's. */
bool artifact_rates(const struct penumbra_model *model, const penumbra_request *request, json_t **rates,
                    struct error *err);
/* The highest rate of the fills in a list; NAN where one of them was not measured, or there is none. */
double artifact_rate_of(const json_t *rates, const char *fills);

/* result.json's "trust": what the run itself measured, "not measured" for the rest; NULL on error. And as one line of
 * text. */
json_t *trust_json(const struct explanation *e, double artifact_rate, struct error *err);
void trust_line(const json_t *trust, struct str *line);

/* Pictures of an explanation into a folder being written: overlay.png and what its arrays allow. */
bool figures_write(const struct penumbra_explanation *explanation, const struct output *out, struct error *err);

/* The shown class's heat map, [height, width] of the picture; borrowed. */
const float *figures_heat(const struct penumbra_explanation *explanation);

/* report.html (PENUMBRA_NO_REPORT: nothing; PENUMBRA_REPORT_JSON: report.json) of one explanation, likewise. */
bool report_write(const struct penumbra_explanation *explanation, unsigned flags, const struct output *out,
                  struct error *err);

#endif
