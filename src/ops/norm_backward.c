/* SPDX-License-Identifier: Apache-2.0 */
/* The way back through normalisations. With xhat = (x - mean) / deviation and h = g * scale over what was normalised
 * together: (h - mean(h) - xhat * mean(h xhat)) / deviation. Under the rules for rectifiers the deviation is a constant
 * (what Zeiler & Fergus' networks divide by is not what excited a unit) and the last term is left out. */
#include "ops/norm.h"

#include "base/threads.h"
#include "ops/reverse.h"

#include <math.h>
#include <string.h>

static inline void put(const struct reverse *r, int64_t at, double value)
{
  r->to[0][at] = r->add[0] ? r->to[0][at] + (float)value : (float)value;
}

/* ---- BatchNormalization ---- */

static void batch_norm_part(void *context, int64_t begin, int64_t end)
{
  const struct reverse *r = context;
  const struct batch_norm *b = r->node->params;
  for (int64_t i = begin; i < end; i++) {
    const float v = r->from[0][i] * b->scale[i / b->run % b->channels];
    r->to[0][i] = r->add[0] ? r->to[0][i] + v : v;
  }
}

static bool batch_norm_run(const struct reverse *r, struct error *err)
{
  (void)err;
  threads_for(r->n * tensor_count(&r->node->in[0]->t), LOOP_GRAIN, batch_norm_part, (void *)(uintptr_t)r);
  return true;
}

/* ---- LayerNormalization ---- */

static void layer_norm_part(void *context, int64_t begin, int64_t end)
{
  const struct reverse *r = context;
  const struct layer_norm *l = r->node->params;
  const int64_t n = l->row;
  for (int64_t row = begin; row < end; row++) {
    const float *x = (const float *)r->in[0] + row * n, *g = r->from[0] + row * n;
    const double mean = norm_sum(x, n) / (double)n;
    const double inverse = 1 / sqrt(norm_squares(x, n, mean) / (double)n + l->epsilon);
    double sum = 0, along = 0;
    for (int64_t i = 0; i < n; i++) {
      const double h = (double)g[i] * (double)l->scale[i];
      sum += h;
      along += h * ((double)x[i] - mean);
    }
    sum /= (double)n;
    along = r->rule == RULE_GRADIENT ? along * inverse * inverse / (double)n : 0;
    for (int64_t i = 0; i < n; i++)
      put(r, row * n + i, inverse * ((double)g[i] * (double)l->scale[i] - sum - ((double)x[i] - mean) * along));
  }
}

static bool layer_norm_run(const struct reverse *r, struct error *err)
{
  const struct layer_norm *l = r->node->params;
  const int64_t count = r->n * tensor_count(&r->node->in[0]->t);
  for (int i = 1; i < r->node->n_out; i++)
    if (r->from[i])
      return node_error(r->node, err, "the signal of its mean or deviation has no way back (no-gradient)");
  if (count > 0)
    threads_for(count / l->row, 1 + LOOP_GRAIN_COSTLY / l->row, layer_norm_part, (void *)(uintptr_t)r);
  return true;
}

/* ---- InstanceNormalization, GroupNormalization ---- */

static void group_norm_part(void *context, int64_t begin, int64_t end)
{
  const struct reverse *r = context;
  const struct group_norm *g = r->node->params;
  const bool last = r->node->in[0]->t.layout == LAYOUT_CHANNELS_LAST;
  const int64_t width = g->channels / g->groups, count = width * g->pixels;
  const int64_t pixel = last ? g->channels : 1, channel = last ? 1 : g->pixels;
  for (int64_t i = begin; i < end; i++) {
    const int64_t group = i % g->groups, at = i / g->groups * g->channels * g->pixels + group * width * channel;
    const float *x = (const float *)r->in[0] + at, *from = r->from[0] + at;
    double mean = 0, squares = 0, sum = 0, along = 0;
    for (int64_t c = 0; c < width; c++)
      for (int64_t p = 0; p < g->pixels; p++)
        mean += (double)x[c * channel + p * pixel];
    mean /= (double)count;
    for (int64_t c = 0; c < width; c++) {
      const double scale = (double)g->scale[g->per_group ? group : group * width + c];
      for (int64_t p = 0; p < g->pixels; p++) {
        const double d = (double)x[c * channel + p * pixel] - mean, h = scale * (double)from[c * channel + p * pixel];
        squares += d * d;
        sum += h;
        along += h * d;
      }
    }
    const double inverse = 1 / sqrt(squares / (double)count + g->epsilon);
    sum /= (double)count;
    along = r->rule == RULE_GRADIENT ? along * inverse * inverse / (double)count : 0;
    for (int64_t c = 0; c < width; c++) {
      const double scale = (double)g->scale[g->per_group ? group : group * width + c];
      for (int64_t p = 0; p < g->pixels; p++) {
        const int64_t k = c * channel + p * pixel;
        put(r, at + k, inverse * (scale * (double)from[k] - sum - ((double)x[k] - mean) * along));
      }
    }
  }
}

static bool group_norm_run(const struct reverse *r, struct error *err)
{
  const struct group_norm *g = r->node->params;
  const struct tensor *in = &r->node->in[0]->t;
  (void)err;
  if (tensor_count(in) > 0)
    threads_for(r->n * in->shape.dim[0] * g->groups, 1 + LOOP_GRAIN_COSTLY / (g->channels / g->groups * g->pixels),
                group_norm_part, (void *)(uintptr_t)r);
  return true;
}

/* ---- LRN: with s = bias + alpha * sum of squares of neighbours, y = x s^-beta ---- */

static bool lrn_prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                        struct error *err)
{
  (void)compute;
  (void)err;
  out->scratch = 2 * (size_t)n * tensor_bytes(&node->in[0]->t);
  return true;
}

static void lrn_part(void *context, int64_t begin, int64_t end)
{
  const struct reverse *r = context;
  const struct lrn *l = r->node->params;
  float *own = r->scratch, *others = own + r->n * tensor_count(&r->node->in[0]->t); /* s^-beta; g x s^(-beta-1) */
  for (int64_t i = begin; i < end; i++) {
    const int64_t at = i / l->pixels * l->channels * l->pixels + i % l->pixels * (l->step == 1 ? l->channels : 1);
    const float *x = (const float *)r->in[0] + at, *g = r->from[0] + at;
    double sum = 0;
    for (int64_t c = 0; c < l->after && c < l->channels; c++)
      sum += (double)x[c * l->step] * (double)x[c * l->step];
    for (int64_t c = 0; c < l->channels; c++) {
      if (c + l->after < l->channels)
        sum += (double)x[(c + l->after) * l->step] * (double)x[(c + l->after) * l->step];
      if (c - l->before - 1 >= 0)
        sum -= (double)x[(c - l->before - 1) * l->step] * (double)x[(c - l->before - 1) * l->step];
      const double s = l->bias + l->alpha * (sum > 0 ? sum : 0), power = pow(s, -l->beta);
      own[at + c * l->step] = (float)power;
      others[at + c * l->step] = (float)((double)g[c * l->step] * (double)x[c * l->step] * power / s);
    }
    for (int64_t c = 0; c < l->channels; c++) {
      const int64_t first = c - l->after < 0 ? 0 : c - l->after;
      const int64_t last = c + l->before >= l->channels ? l->channels - 1 : c + l->before;
      double around = 0;
      for (int64_t j = first; j <= last && r->rule == RULE_GRADIENT; j++)
        around += (double)others[at + j * l->step];
      put(r, at + c * l->step,
          (double)g[c * l->step] * (double)own[at + c * l->step] -
              2 * l->alpha * l->beta * (double)x[c * l->step] * around);
    }
  }
}

static bool lrn_run(const struct reverse *r, struct error *err)
{
  const struct lrn *l = r->node->params;
  const struct tensor *in = &r->node->in[0]->t;
  (void)err;
  if (tensor_count(in) > 0)
    threads_for(r->n * in->shape.dim[0] * l->pixels, 1 + LOOP_GRAIN_COSTLY / l->channels, lrn_part,
                (void *)(uintptr_t)r);
  return true;
}

/* ---- LpNormalization, MeanVarianceNormalization ---- */

struct span_job {
  const struct reverse *r;
  struct spans s;
};

static void span_part(void *context, int64_t begin, int64_t end)
{
  const struct span_job *job = context;
  const struct reverse *r = job->r;
  const struct spans *s = &job->s;
  const float *x = r->in[0], *g = r->from[0];
  const int64_t count = loop_count(&s->along), p = s->span->p;
  const bool frozen = r->rule != RULE_GRADIENT;
  for (int64_t i = begin; i < end; i++) {
    const int64_t at = spans_place(&s->kept, i);
    double mean = 0, norm = 0, sum = 0, along = 0;
    for (int64_t k = 0; k < count && p == 0; k++) {
      mean += (double)x[at + spans_place(&s->along, k)] / (double)count;
      sum += (double)g[at + spans_place(&s->along, k)] / (double)count;
    }
    for (int64_t k = 0; k < count; k++) {
      const int64_t there = at + spans_place(&s->along, k);
      const double d = (double)x[there] - mean;
      norm += p == 1 ? fabs(d) : d * d;
      along += (double)g[there] * d;
    }
    /* y = d / (root + tiny): the derivative of the root is d / (root * count), of a norm d / root or the sign. */
    const double root = p == 1 ? norm : sqrt(p == 0 ? norm / (double)count : norm);
    const double inverse = p == 0 ? 1 / (root + 1e-9) : root > 0 ? 1 / root : 0;
    for (int64_t k = 0; k < count; k++) {
      const int64_t there = at + spans_place(&s->along, k);
      const double d = (double)x[there] - mean;
      const double slope = p == 1 ? (d > 0) - (d < 0) : root > 0 ? d / root / (p == 0 ? (double)count : 1) : 0;
      put(r, there, inverse * ((double)g[there] - sum - (frozen ? 0 : slope * along * inverse)));
    }
  }
}

static bool span_run(const struct reverse *r, struct error *err)
{
  struct span_job job = {r, spans_of(r->node, r->n)};
  (void)err;
  if (tensor_count(&r->node->in[0]->t) > 0)
    threads_for(loop_count(&job.s.kept), 1 + LOOP_GRAIN_COSTLY / loop_count(&job.s.along), span_part, &job);
  return true;
}

const struct backward backward_batch_norm = {.flags = BACKWARD_ADDS | BACKWARD_INPLACE, .run = batch_norm_run};
const struct backward backward_layer_norm = {.flags = BACKWARD_ADDS, .keeps = BACKWARD_IN(0), .run = layer_norm_run};
const struct backward backward_group_norm = {.flags = BACKWARD_ADDS, .keeps = BACKWARD_IN(0), .run = group_norm_run};
const struct backward backward_lrn = {
    .flags = BACKWARD_ADDS, .keeps = BACKWARD_IN(0), .prepare = lrn_prepare, .run = lrn_run};
const struct backward backward_span = {.flags = BACKWARD_ADDS, .keeps = BACKWARD_IN(0), .run = span_run};
