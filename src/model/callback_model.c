/* SPDX-License-Identifier: Apache-2.0 */
#include "model/callback_model.h"

#include "base/mem.h"

struct callback_session {
  struct session base;
  const struct callback_model *model;
};

static bool predict(struct session *base, const float *images, int64_t n, float *scores, float *activations,
                    struct error *err)
{
  const struct callback_model *model = ((struct callback_session *)base)->model;
  (void)activations;
  return model->predict(model->context, images, (int)n, scores, err) ||
         error_set(err, ERROR_FAILED, "the classifier's predict function failed without saying why");
}

static void close_session(struct session *base)
{
  mem_free(base);
}

static const struct session_ops session_ops = {.predict = predict, .close = close_session};

static struct session *open_session(const struct predictor *predictor, const struct session_options *options,
                                    struct error *err)
{
  const struct callback_model *model = (const struct callback_model *)predictor; /* its first member */
  const size_t image =
      (size_t)predictor->height * (size_t)predictor->width * (size_t)predictor->channels * sizeof(float);
  const size_t limit = options->memory ? options->memory : (size_t)1 << 30;
  if (options->layer) {
    error_set(err, ERROR_USAGE, "layer: this classifier shows no layers (no-layer)");
    return NULL;
  }
  if (options->score == SCORE_LOGIT) {
    error_set(err, ERROR_USAGE, "score: this classifier gives scores, not logits (no-logit)");
    return NULL;
  }
  if (image > limit) {
    error_set(err, ERROR_USAGE, "memory: %zu MiB is too little for one image of %zu MiB", limit >> 20,
              (image >> 20) + 1);
    return NULL;
  }
  struct callback_session *s = mem_zero(1, sizeof *s);
  if (!s) {
    error_memory(err, "a session");
    return NULL;
  }
  const size_t most = limit / image;
  s->base.ops = &session_ops;
  s->base.predictor = predictor;
  s->base.batch = (size_t)model->batch < most ? model->batch : (int64_t)most;
  s->base.memory = limit - (size_t)s->base.batch * image;
  s->model = model;
  return &s->base;
}

const struct predictor_ops callback_predictor_ops = {.open = open_session};
