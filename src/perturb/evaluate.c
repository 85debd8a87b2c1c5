/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/evaluate.h"

#include "base/mem.h"
#include "perturb/evaluator.h"

#include <string.h>
#include <time.h>

/* s between two reports: more often is no use to an eye, and previews cost time. */
#define REPORT_INTERVAL 0.05

double evaluator_now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

bool evaluator_predict(struct evaluator *e, const float *images, int64_t n, float *scores, float *activations,
                       struct error *err)
{
  const double from = evaluator_now();
  const bool ok = session_predict(e->session, images, n, scores, activations, err);
  e->predicting += evaluator_now() - from;
  e->count += n;
  return ok;
}

struct evaluator *evaluator_open(const struct predictor *predictor, const struct evaluate_options *options,
                                 const float *x, struct error *err)
{
  struct evaluator *e = mem_zero(1, sizeof *e);
  if (!e) {
    error_memory(err, "an evaluation");
    return NULL;
  }
  e->options = *options;
  e->x = x;
  e->started = evaluator_now();
  e->image = (size_t)predictor->height * (size_t)predictor->width * (size_t)predictor->channels;
  struct precision_check *check = options->precision;
  if (check && check->automatic) {
    check->automatic = false; /* once for an explanation, however many evaluators it opens */
    if (!precision_decide(predictor, &e->options.session, x, &options->use, check, err)) {
      evaluator_close(e);
      return NULL;
    }
  } else if (check) {
    e->options.session.precision = check->used;
  }
  e->session = session_open(predictor, &e->options.session, err);
  if (e->session) {
    const struct session *s = e->session;
    const size_t classes = (size_t)predictor->classes, batch = (size_t)s->batch;
    const size_t pixels = (size_t)predictor->height * (size_t)predictor->width;
    e->layer = s->layer.name ? (size_t)s->layer.height * (size_t)s->layer.width * (size_t)s->layer.channels : 0;
    e->scores = mem_zero(classes, sizeof(float));
    e->batch_scores = mem_zero(batch * classes, sizeof(float));
    e->images = mem_zero(batch * e->image, sizeof(float));
    e->content = mem_zero(e->image, sizeof(float));
    e->mask = mem_zero(pixels, sizeof(float));
    e->preview = mem_zero(pixels, sizeof(float));
    if (e->layer) {
      e->activations = mem_zero(e->layer, sizeof(float));
      e->batch_activations = mem_zero(batch * e->layer, sizeof(float));
    }
    if (!e->scores || !e->batch_scores || !e->images || !e->content || !e->mask || !e->preview ||
        (e->layer && (!e->activations || !e->batch_activations)))
      error_memory(err, "an evaluation");
    else if (evaluator_predict(e, x, 1, e->scores, e->activations, err))
      return e;
  }
  evaluator_close(e);
  return NULL;
}

void evaluator_close(struct evaluator *e)
{
  if (!e)
    return;
  session_close(e->session);
  mem_free(e->scores);
  mem_free(e->activations);
  mem_free(e->images);
  mem_free(e->changes);
  mem_free(e->batch_scores);
  mem_free(e->batch_activations);
  mem_free(e->content);
  mem_free(e->mask);
  mem_free(e->preview);
  mem_free(e);
}

const struct session *evaluator_session(const struct evaluator *e)
{
  return e->session;
}

const float *evaluator_scores(const struct evaluator *e)
{
  return e->scores;
}

const float *evaluator_activations(const struct evaluator *e)
{
  return e->activations;
}

int64_t evaluator_count(const struct evaluator *e)
{
  return e->count;
}

double evaluator_seconds(const struct evaluator *e)
{
  return e->predicting;
}

bool evaluator_score(struct evaluator *e, const float *x, float *scores, struct error *err)
{
  return evaluator_predict(e, x, 1, scores, NULL, err);
}

void perturbation_apply(const struct predictor *predictor, const float *x, const struct perturbation *p, float *image)
{
  const size_t c = (size_t)predictor->channels, row = (size_t)predictor->width * c;
  const size_t pixels = (size_t)predictor->height * (size_t)predictor->width;
  switch (p->kind) {
  case PERTURB_IMAGE:
    memcpy(image, p->content, pixels * c * sizeof *image);
    break;
  case PERTURB_RECT: {
    const size_t width = (size_t)(p->x1 - p->x0) * c;
    memcpy(image, x, pixels * c * sizeof *image);
    for (int y = p->y0; y < p->y1; y++)
      memcpy(image + (size_t)y * row + (size_t)p->x0 * c, p->content + (size_t)(y - p->y0) * width,
             width * sizeof *image);
    break;
  }
  case PERTURB_MASK:
    for (size_t i = 0, k = 0; i < pixels; i++)
      for (size_t j = 0; j < c; j++, k++)
        image[k] = x[k] * p->mask[i] + p->fill[k] * (1.0f - p->mask[i]);
    break;
  }
}

bool evaluator_report(struct evaluator *e, const struct evaluation *what, int64_t done, struct error *err)
{
  if (!e->options.progress)
    return true;
  const double time = evaluator_now(), seconds = time - e->started;
  if (done < what->count && time - e->reported < REPORT_INTERVAL)
    return true;
  e->reported = time;
  const struct predictor *predictor = e->session->predictor;
  struct progress progress = {
      .done = done,
      .total = what->count,
      .seconds = seconds,
      .stage = what->stage,
      .remaining = done > 0 ? seconds / (double)done * (double)(what->count - done) : -1,
  };
  if (what->preview) {
    what->preview(what->context, e->preview);
    progress.map = e->preview;
    progress.height = predictor->height;
    progress.width = predictor->width;
  }
  return e->options.progress(e->options.progress_context, &progress) ||
         error_set(err, ERROR_CANCELLED, "cancelled after %lld of %lld evaluations", (long long)done,
                   (long long)what->count);
}

bool evaluator_room(struct evaluator *e, int n, int height, int width, struct error *err)
{
  const size_t each = (size_t)height * (size_t)width * (size_t)e->session->predictor->channels;
  const size_t batch = (size_t)(n > e->session->batch ? n : e->session->batch);
  const size_t floats = (size_t)n * each > batch * e->image ? (size_t)n * each : batch * e->image;
  float *images = mem_grow(e->images, floats * sizeof *images);
  e->images = images ? images : e->images;
  struct change *changes = mem_grow(e->changes, (size_t)n * sizeof *changes);
  e->changes = changes ? changes : e->changes;
  float *scores = mem_grow(e->batch_scores, batch * (size_t)e->session->predictor->classes * sizeof *scores);
  e->batch_scores = scores ? scores : e->batch_scores;
  float *activations = e->layer ? mem_grow(e->batch_activations, batch * e->layer * sizeof *activations) : NULL;
  e->batch_activations = activations ? activations : e->batch_activations;
  return (images && changes && scores && (activations || !e->layer)) || error_memory(err, "an evaluation");
}

/* Perturbations from..from+n-1 as rectangles over the base. */
static bool evaluate_changes(struct evaluator *e, const struct evaluation *what, int64_t from, int64_t n,
                             float *activations, struct error *err)
{
  float *content = e->images;
  for (int64_t i = 0; i < n; i++) {
    struct perturbation p = {.kind = PERTURB_RECT, .content = content, .mask = e->mask};
    if (!what->propose(what->context, from + i, &p, err))
      return false;
    e->changes[i] = (struct change){{p.y0, p.x0, p.y1, p.x1}, content};
    content += rect_area(&e->changes[i].rect) * e->session->predictor->channels;
  }
  const double started = evaluator_now();
  const bool ok = session_predict_changes(e->session, e->changes, (int)n, e->batch_scores, activations, err);
  e->predicting += evaluator_now() - started;
  e->count += n;
  return ok;
}

/* The same as whole images. */
static bool evaluate_images(struct evaluator *e, const struct evaluation *what, int64_t from, int64_t n,
                            float *activations, struct error *err)
{
  for (int64_t i = 0; i < n; i++) {
    struct perturbation p = {.kind = PERTURB_RECT, .content = e->content, .mask = e->mask};
    if (!what->propose(what->context, from + i, &p, err))
      return false;
    perturbation_apply(e->session->predictor, e->x, &p, e->images + (size_t)i * e->image);
  }
  return evaluator_predict(e, e->images, n, e->batch_scores, activations, err);
}

bool evaluate(struct evaluator *e, const struct evaluation *what, struct evaluated *end, struct error *err)
{
  const int64_t classes = e->session->predictor->classes;
  int64_t count = what->count, batch = e->session->batch;
  int changes = 0;
  bool stop = false;
  *end = (struct evaluated){.stopped_by = "complete"};
  if (e->options.evals && count > e->options.evals - e->count) {
    count = e->options.evals > e->count ? e->options.evals - e->count : 0;
    end->stopped_by = "evals";
  }
  if (what->local_height && count > 1 &&
      (!session_begin_changes(e->session, e->x, what->local_height, what->local_width, &changes, err) ||
       (changes && !evaluator_room(e, changes, what->local_height, what->local_width, err))))
    return false;
  batch = changes ? changes : batch;
  while (end->count < count && !stop) {
    if (e->options.budget > 0 && evaluator_now() - e->started >= e->options.budget) {
      end->stopped_by = "budget";
      break;
    }
    const int64_t n = count - end->count < batch ? count - end->count : batch;
    float *activations = what->activations ? e->batch_activations : NULL;
    if (!(changes ? evaluate_changes : evaluate_images)(e, what, end->count, n, activations, err))
      return false;
    int64_t taken = 0;
    for (; taken < n && !stop; taken++)
      if (!what->result(what->context, end->count + taken, e->batch_scores + taken * classes,
                        activations ? activations + (size_t)taken * e->layer : NULL, &stop, err))
        return false;
    end->count += taken;
    e->count -= n - taken;
    if (stop)
      end->stopped_by = "tolerance";
    if (!evaluator_report(e, what, end->count, err))
      return false;
  }
  return true;
}
