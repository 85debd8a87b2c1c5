/* SPDX-License-Identifier: Apache-2.0 */
/* What can be asked of any classifier. A predictor is immutable and may be shared by threads; a session on it belongs
 * to one run. ONNX models offer everything, a callback or a server only predict. */
#ifndef PENUMBRA_MODEL_PREDICTOR_H
#define PENUMBRA_MODEL_PREDICTOR_H

#include "base/error.h"
#include "graph/increment.h"
#include "ops/op.h"

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
  int threads;   /* < 1: all */
  size_t memory; /* bytes a run may use beyond the model's weights; 0: 1 GiB */
  enum precision precision;
  bool exact_full;   /* never run on windows: the plain twin of predict_changes */
  const char *layer; /* rank-4 value whose activations are wanted; "" for the default layer, NULL for none */
};

/* A sweep back. All zero: the gradient of class 0's score with respect to the image. */
struct backward_request {
  enum rule rule;
  int64_t target;   /* class whose score the signal starts from … */
  bool logit;       /* … its logit, whatever score the session was opened with */
  const char *from; /* layer the signal starts from instead ("" the default layer), by `seed`; NULL: the scores */
  /* Signal of image i of a call at that layer: activations and signal are [height, width, channels], signal is 0. */
  bool (*seed)(void *context, int64_t i, const float *activations, float *signal, struct error *err);
  void *context;
  const char *to; /* layer whose gradient is wanted; NULL: the image */
  bool stem;      /* between images and scores: begin behind the stem, see backward_info */
};

struct backward_info {
  int64_t batch;                              /* images a call takes at most */
  int height, width, channels;                /* of a result */
  int from_height, from_width, from_channels; /* of the layer the signal starts from; 0: the scores */
  /* The stem: what the model does to an image before its first non-linear function, an affine map. A request that says
   * so is run from the stem's output on ("images" are blocks of `stem` floats) and back to it. 0: there is no stem, or
   * the request does not ask; images are images. */
  int64_t stem;
  int rectifiers, activations; /* on the way: Relu and Clip; other activations, treated as such by the rules */
  const char *activation;      /* operator of one of these, or NULL */
  bool straight;               /* rounding of quantised values is passed as if it were none */
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
  /* Optional, all or none. begin_backward gets ready for a request, until the next one; an operator without a
   * derivative on the way is an error that names it. backward runs 1 <= n <= info.batch images there and back:
   * results [n, height, width, channels] (or [n, stem]); scores [n, classes], NULL where they are not wanted, as they
   * must be where the signal starts from a layer. A result does not depend on its neighbours, bit for bit. */
  bool (*begin_backward)(struct session *session, const struct backward_request *request, struct backward_info *info,
                         struct error *err);
  bool (*backward)(struct session *session, const float *images, int64_t n, float *results, float *scores,
                   struct error *err);
  /* Optional, both or none: the same without copies, for requests from scores. backward_room gives the place where the
   * images of the next call are written, and brings *n, at least 1, down to how many it takes; backward_there runs
   * them: *results is valid until the next call. */
  float *(*backward_room)(struct session *session, int64_t *n, struct error *err);
  bool (*backward_there)(struct session *session, const float **results, float *scores, struct error *err);
  /* Through the stem of the request begun: an image to what it becomes, and a signal there to one at the image. */
  bool (*stem)(struct session *session, const float *image, float *stem, struct error *err);
  bool (*stem_back)(struct session *session, const float *signal, float *gradient, struct error *err);
  void (*close)(struct session *session);
};

struct session {
  const struct session_ops *ops;
  const struct predictor *predictor;
  int64_t batch; /* images a call takes at most, and best */
  size_t memory; /* bytes the caller may use for its own images and masks within the limit */
  bool failed;   /* a call has failed: nothing of this session is used again */
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
/* An error where the predictor offers no gradients. */
bool session_begin_backward(struct session *session, const struct backward_request *request, struct backward_info *info,
                            struct error *err);
bool session_backward(struct session *session, const float *images, int64_t n, float *results, float *scores,
                      struct error *err);
/* NULL without an error where images have to be handed over. */
float *session_backward_room(struct session *session, int64_t *n, struct error *err);
bool session_backward_there(struct session *session, int64_t n, const float **results, float *scores,
                            struct error *err);
bool session_stem(struct session *session, const float *image, float *stem, struct error *err);
bool session_stem_back(struct session *session, const float *signal, float *gradient, struct error *err);

#endif
