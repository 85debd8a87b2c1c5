/* SPDX-License-Identifier: Apache-2.0 */
#include "model/predictor.h"

#include "base/threads.h"

#include <math.h>

struct session *session_open(const struct predictor *predictor, const struct session_options *options,
                             struct error *err)
{
  threads_use(options->threads);
  return predictor->ops->open(predictor, options, err);
}

void session_close(struct session *session)
{
  if (session)
    session->ops->close(session);
}

/* Remember a failure. */
static bool noted(struct session *session, bool ok)
{
  session->failed = session->failed || !ok;
  return ok;
}

static bool check_scores(const struct session *session, const float *scores, int64_t n, struct error *err)
{
  const int64_t classes = session->predictor->classes;
  for (int64_t i = 0; i < n * classes; i++)
    if (!isfinite(scores[i]))
      return error_set(err, ERROR_FAILED, "the model's score of class %lld is not finite (image %lld of the batch)",
                       (long long)(i % classes), (long long)(i / classes));
  return true;
}

bool session_predict(struct session *session, const float *images, int64_t n, float *scores, float *activations,
                     struct error *err)
{
  return noted(session, session->ops->predict(session, images, n, scores, activations, err)) &&
         check_scores(session, scores, n, err);
}

bool session_begin_changes(struct session *session, const float *base, int height, int width, int *batch,
                           struct error *err)
{
  *batch = 0;
  return !session->ops->begin_changes ||
         noted(session, session->ops->begin_changes(session, base, height, width, batch, err));
}

bool session_predict_changes(struct session *session, const struct change *changes, int n, float *scores,
                             float *activations, struct error *err)
{
  return noted(session, session->ops->predict_changes(session, changes, n, scores, activations, err)) &&
         check_scores(session, scores, n, err);
}

bool session_begin_sequences(struct session *session, const float *const *bases, int n, int height, int width,
                             int *lockstep, struct error *err)
{
  *lockstep = 0;
  return !session->ops->begin_sequences ||
         noted(session, session->ops->begin_sequences(session, bases, n, height, width, lockstep, err));
}

bool session_step_sequences(struct session *session, const struct change *changes, int n, float *scores,
                            struct error *err)
{
  return noted(session, session->ops->step_sequences(session, changes, n, scores, err)) &&
         check_scores(session, scores, n, err);
}

bool session_begin_backward(struct session *session, const struct backward_request *request, struct backward_info *info,
                            struct error *err)
{
  *info = (struct backward_info){0};
  if (!session->ops->begin_backward)
    return error_set(err, ERROR_USAGE, "this classifier only predicts, it gives no gradients (no-gradient)");
  return noted(session, session->ops->begin_backward(session, request, info, err));
}

bool session_backward(struct session *session, const float *images, int64_t n, float *results, float *scores,
                      struct error *err)
{
  return noted(session, session->ops->backward(session, images, n, results, scores, err)) &&
         (!scores || check_scores(session, scores, n, err));
}

float *session_backward_room(struct session *session, int64_t *n, struct error *err)
{
  float *room = session->ops->backward_room ? session->ops->backward_room(session, n, err) : NULL;
  noted(session, room || err->code == ERROR_NONE);
  return room;
}

bool session_backward_there(struct session *session, int64_t n, const float **results, float *scores, struct error *err)
{
  return noted(session, session->ops->backward_there(session, results, scores, err)) &&
         check_scores(session, scores, n, err);
}

bool session_stem(struct session *session, const float *image, float *stem, struct error *err)
{
  return noted(session, session->ops->stem(session, image, stem, err));
}

bool session_stem_back(struct session *session, const float *signal, float *gradient, struct error *err)
{
  return noted(session, session->ops->stem_back(session, signal, gradient, err));
}
