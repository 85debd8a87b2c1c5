/* SPDX-License-Identifier: Apache-2.0 */
/* What can be asked of any classifier. A predictor is immutable and may be shared by threads; a session on it belongs
 * to one run. ONNX models offer everything, a callback or a server only predict. */
#ifndef PENUMBRA_MODEL_PREDICTOR_H
#define PENUMBRA_MODEL_PREDICTOR_H

#include "base/error.h"
#include "graph/increment.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum score { SCORE_PROB, SCORE_LOGIT };

/* Of the kernels: bfloat16 operands with float32 sums are twice as fast where the CPU has them. */
enum precision { PRECISION_F32, PRECISION_BF16 };

struct predictor;
struct session;

struct session_options {
  enum score score;
  int threads;        /* < 1: all */
  size_t memory;      /* bytes a run may use beyond the model's weights; 0: 1 GiB */
  enum precision precision;
  bool exact_full;    /* never run on windows: the plain twin of predict_changes */
  const char *layer;  /* rank-4 value whose activations are wanted; "" for the default layer, NULL for none */
};

struct predictor_ops {
  /* A session ready to predict; NULL on failure. */
  struct session *(*open)(const struct predictor *predictor, const struct session_options *options, struct error *err);
};

struct predictor {
  const struct predictor_ops *ops;
  int height, width, channels; /* of the input grid, px */
  int64_t classes;
  bool layered; /* runs on penumbra's engine: layers, windows and precisions can be asked for */
};

struct session_ops {
  /* scores [n, classes] of images [n, height, width, channels], 1 <= n <= session->batch; `activations`
   * [n, layer.height, layer.width, layer.channels] where the session was opened with a layer, else NULL. Scores of an
   * image do not depend on its neighbours, bit for bit. */
  bool (*predict)(struct session *session, const float *images, int64_t n, float *scores, float *activations,
                  struct error *err);
  /* Optional, both or none. begin_changes runs a base image and gets ready for changes of at most height x width px;
   * *batch is how many predict_changes takes at once, 0 where windows would save too little to be worth it.
   * predict_changes scores the base with each of n changes on its own, as predict would score the changed images. */
  bool (*begin_changes)(struct session *session, const float *base, int height, int width, int *batch,
                        struct error *err);
  bool (*predict_changes)(struct session *session, const struct change *changes, int n, float *scores,
                          float *activations, struct error *err);
  /* Optional, both or none: images that change step by step, each from where it has come to. begin_sequences takes n
   * images and gets ready for changes of at most height x width px; the first *lockstep of them have begun (fewer than
   * n where memory ends), none where windows would save too little. step_sequences makes change i in sequence i, for
   * the first n, and scores what they have become. An empty rectangle changes nothing. */
  bool (*begin_sequences)(struct session *session, const float *const *bases, int n, int height, int width,
                          int *lockstep, struct error *err);
  bool (*step_sequences)(struct session *session, const struct change *changes, int n, float *scores,
                         struct error *err);
  void (*close)(struct session *session);
};

struct session {
  const struct session_ops *ops;
  const struct predictor *predictor;
  int64_t batch; /* images a call takes at most, and best */
  size_t memory; /* bytes the caller may use for its own images and masks within the limit */
  struct {
    const char *name; /* NULL: no layer */
    int height, width, channels;
  } layer;
};

struct session *session_open(const struct predictor *predictor, const struct session_options *options,
                             struct error *err);
void session_close(struct session *session);
bool session_predict(struct session *session, const float *images, int64_t n, float *scores, float *activations,
                     struct error *err);
/* *batch 0 also where the predictor knows no windows. */
bool session_begin_changes(struct session *session, const float *base, int height, int width, int *batch,
                           struct error *err);
bool session_predict_changes(struct session *session, const struct change *changes, int n, float *scores,
                             float *activations, struct error *err);
/* *lockstep 0 also where the predictor knows no windows. */
bool session_begin_sequences(struct session *session, const float *const *bases, int n, int height, int width,
                             int *lockstep, struct error *err);
bool session_step_sequences(struct session *session, const struct change *changes, int n, float *scores,
                            struct error *err);

#endif
