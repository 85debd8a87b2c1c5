/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/sequence.h"

#include "base/mem.h"
#include "perturb/evaluator.h"

#include <string.h>

struct walk {
  struct evaluator *e;
  const struct sequences *what;
  struct evaluated *end;
  struct evaluation progress; /* what reports say */
  bool stop;
};

/* Whether `n` more evaluations are allowed; else the run ends here. */
static bool may_go_on(struct walk *w, int n)
{
  const struct evaluate_options *o = &w->e->options;
  if (o->evals && w->e->count + n > o->evals)
    w->end->stopped_by = "evals";
  else if (o->budget > 0 && evaluator_now() - w->e->started >= o->budget)
    w->end->stopped_by = "budget";
  else
    return true;
  w->stop = true;
  return false;
}

static bool deliver(struct walk *w, int s, int k, const float *scores, struct error *err)
{
  w->end->count++;
  return w->what->result(w->what->context, s, k, scores, err);
}

/* ---- windows --------------------------------------------------------------------------------------------------- */

/* Change k of sequences first..first+n-1. */
static bool step_group(struct walk *w, int first, int n, int k, struct error *err)
{
  struct evaluator *e = w->e;
  const int64_t classes = e->session->predictor->classes;
  float *content = e->images;
  for (int i = 0; i < n; i++) {
    e->changes[i] = (struct change){.content = content};
    if (!w->what->propose(w->what->context, first + i, k, &e->changes[i].rect, content, err))
      return false;
    content += rect_area(&e->changes[i].rect) * e->session->predictor->channels;
  }
  const double from = evaluator_now();
  const bool ok = session_step_sequences(e->session, e->changes, n, e->batch_scores, err);
  e->predicting += evaluator_now() - from;
  e->count += n;
  for (int i = 0; ok && i < n; i++)
    if (!deliver(w, first + i, k, e->batch_scores + i * classes, err))
      return false;
  return ok && evaluator_report(e, &w->progress, w->end->count, err);
}

static bool walk_in_lockstep(struct walk *w, const float **bases, int lockstep, struct error *err)
{
  const struct sequences *what = w->what;
  const int groups = (what->count + lockstep - 1) / lockstep, even = (what->count + groups - 1) / groups;
  for (int first = 0; first < what->count && !w->stop; first += even) {
    const int n = what->count - first < even ? what->count - first : even;
    int begun = lockstep;
    if (first > 0 && !session_begin_sequences(w->e->session, bases, n, what->height, what->width, &begun, err))
      return false;
    for (int k = 0; k < what->steps && may_go_on(w, n); k++)
      if (!step_group(w, first, n, k, err))
        return false;
  }
  return true;
}

/* ---- whole images ---------------------------------------------------------------------------------------------- */

static void paste(const struct evaluator *e, const struct rect *r, const float *content, float *image)
{
  const struct predictor *p = e->session->predictor;
  const size_t c = (size_t)p->channels, width = (size_t)(r->x1 - r->x0) * c;
  if (rect_empty(r))
    return;
  for (int y = r->y0; y < r->y1; y++, content += width)
    memcpy(image + ((size_t)y * (size_t)p->width + (size_t)r->x0) * c, content, width * sizeof *image);
}

/* The steps first..first+n-1 of all, counted through sequence by sequence; the last image stays in e->content. */
static bool run_batch(struct walk *w, int64_t first, int n, float *change, struct error *err)
{
  struct evaluator *e = w->e;
  const int steps = w->what->steps;
  for (int i = 0; i < n; i++) {
    const int s = (int)((first + i) / steps), k = (int)((first + i) % steps);
    struct rect rect;
    if (k == 0)
      memcpy(e->content, e->x, e->image * sizeof *e->x);
    if (!w->what->propose(w->what->context, s, k, &rect, change, err))
      return false;
    paste(e, &rect, change, e->content);
    memcpy(e->images + (size_t)i * e->image, e->content, e->image * sizeof *e->x);
  }
  if (!evaluator_predict(e, e->images, n, e->batch_scores, NULL, err))
    return false;
  for (int i = 0; i < n; i++)
    if (!deliver(w, (int)((first + i) / steps), (int)((first + i) % steps),
                 e->batch_scores + i * e->session->predictor->classes, err))
      return false;
  return evaluator_report(e, &w->progress, w->end->count, err);
}

static bool walk_in_full(struct walk *w, struct error *err)
{
  const struct sequences *what = w->what;
  const int64_t all = (int64_t)what->count * what->steps, batch = w->e->session->batch;
  float *change = mem_alloc((size_t)what->height * (size_t)what->width * (size_t)w->e->session->predictor->channels *
                            sizeof *change);
  if (!change)
    return error_memory(err, "an evaluation");
  bool ok = true;
  for (int64_t done = 0; ok && done < all;) {
    int n = (int)(all - done < batch ? all - done : batch);
    const int64_t evals = w->e->options.evals, left = evals - w->e->count;
    if (evals && left > 0 && left < n)
      n = (int)left;
    if (!may_go_on(w, n))
      break;
    ok = run_batch(w, done, n, change, err);
    done += n;
  }
  mem_free(change);
  return ok;
}

bool evaluate_sequences(struct evaluator *e, const struct sequences *what, struct evaluated *end, struct error *err)
{
  struct walk w = {.e = e, .what = what, .end = end};
  *end = (struct evaluated){.stopped_by = "complete"};
  w.progress = (struct evaluation){.stage = what->stage, .count = (int64_t)what->count * what->steps};
  if (w.progress.count < 1)
    return true;
  const float **bases = mem_alloc((size_t)what->count * sizeof *bases);
  if (!bases)
    return error_memory(err, "an evaluation");
  for (int i = 0; i < what->count; i++)
    bases[i] = e->x;
  int lockstep = 0;
  bool ok = session_begin_sequences(e->session, bases, what->count, what->height, what->width, &lockstep, err);
  if (ok && lockstep)
    ok = evaluator_room(e, lockstep, what->height, what->width, err) && walk_in_lockstep(&w, bases, lockstep, err);
  else if (ok)
    ok = walk_in_full(&w, err);
  mem_free(bases);
  return ok;
}
