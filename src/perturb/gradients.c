/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/gradients.h"

#include "base/mem.h"
#include "perturb/evaluator.h"

bool gradients_begin(struct evaluator *e, const struct backward_request *request, struct backward_info *info,
                     struct error *err)
{
  return session_begin_backward(e->session, request, info, err);
}

/* Images in, results and scores out: in the session where it has room for them, or in memory of the run's own. */
struct batch {
  float *images, *results, *scores;
  bool there;
  size_t image, result; /* floats of each */
};

static void batch_free(struct batch *b)
{
  mem_free(b->images);
  mem_free(b->results);
  mem_free(b->scores);
}

static bool batch_make(struct batch *b, const struct evaluator *e, const struct gradients *what,
                       const struct backward_info *info, int64_t n, struct error *err)
{
  const size_t each = (size_t)n;
  b->image = info->stem ? (size_t)info->stem : e->image;
  b->result = info->stem ? (size_t)info->stem : (size_t)info->height * (size_t)info->width * (size_t)info->channels;
  b->there = e->session->ops->backward_room && !what->request.from;
  if (!b->there) {
    b->images = mem_zero(each * b->image, sizeof(float));
    b->results = mem_zero(each * b->result, sizeof(float));
  }
  b->scores = what->request.from ? NULL : mem_zero(each * (size_t)e->session->predictor->classes, sizeof(float));
  return (((b->images && b->results) || b->there) && (b->scores || what->request.from)) ||
         error_memory(err, "gradients");
}

static bool run(struct evaluator *e, const struct gradients *what, struct batch *b, int64_t batch, int64_t count,
                struct evaluated *end, struct error *err)
{
  const int64_t classes = e->session->predictor->classes;
  const int64_t total = what->total ? what->total : what->count;
  bool stop = false;
  while (end->count < count && !stop) {
    if (e->options.budget > 0 && evaluator_now() - e->started >= e->options.budget) {
      end->stopped_by = "budget";
      break;
    }
    int64_t n = count - end->count < batch ? count - end->count : batch;
    float *images = b->there ? session_backward_room(e->session, &n, err) : b->images;
    const float *results = b->results;
    for (int64_t i = 0; images && i < n; i++)
      if (!what->propose(what->context, end->count + i, images + (size_t)i * b->image, err))
        return false;
    const double from = evaluator_now();
    const bool ok = images && (b->there ? session_backward_there(e->session, n, &results, b->scores, err)
                                        : session_backward(e->session, images, n, b->results, b->scores, err));
    e->predicting += evaluator_now() - from;
    if (!ok)
      return false;
    int64_t taken = 0;
    for (; taken < n && !stop; taken++)
      if (!what->result(what->context, end->count + taken, b->scores ? b->scores + taken * classes : NULL,
                        results + (size_t)taken * b->result, &stop, err))
        return false;
    end->count += taken;
    e->count += GRADIENT_EVALUATIONS * taken;
    if (stop)
      end->stopped_by = "tolerance";
    const struct evaluation report = {.stage = what->stage,
                                      .count = GRADIENT_EVALUATIONS * total,
                                      .context = what->context,
                                      .preview = what->preview};
    if (!evaluator_report(e, &report, GRADIENT_EVALUATIONS * (what->before + end->count), err))
      return false;
  }
  return true;
}

bool gradients(struct evaluator *e, const struct gradients *what, struct evaluated *end, struct error *err)
{
  struct backward_info info;
  struct batch b = {.images = NULL};
  int64_t count = what->count;
  *end = (struct evaluated){.stopped_by = "complete"};
  if (e->options.evals && GRADIENT_EVALUATIONS * count > e->options.evals - e->count) {
    count = e->options.evals > e->count ? (e->options.evals - e->count) / GRADIENT_EVALUATIONS : 0;
    end->stopped_by = "evals";
  }
  if (!gradients_begin(e, &what->request, &info, err))
    return false;
  const int64_t n = count < info.batch ? count : info.batch;
  const bool ok = n == 0 || (batch_make(&b, e, what, &info, n, err) && run(e, what, &b, n, count, end, err));
  batch_free(&b);
  return ok;
}

bool gradients_stem(struct evaluator *e, const float *image, float *stem, struct error *err)
{
  const double from = evaluator_now();
  const bool ok = session_stem(e->session, image, stem, err);
  e->predicting += evaluator_now() - from;
  return ok;
}

bool gradients_stem_back(struct evaluator *e, const float *signal, float *gradient, struct error *err)
{
  const double from = evaluator_now();
  const bool ok = session_stem_back(e->session, signal, gradient, err);
  e->predicting += evaluator_now() - from;
  return ok;
}
