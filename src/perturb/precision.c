/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/precision.h"

#include "base/mem.h"
#include "tensor/compute.h"

#include <math.h>
#include <string.h>

enum { SIDE = 8, PROBES = SIDE * SIDE };
#define TOLERATED       0.01 /* of the largest change */
#define TOLERATED_NOISE 0.05 /* length of the attributions' difference over their length */

/* Gauss's nodes and weights on [0, 1]. */
enum { NODES = 4 };
static const double node[NODES] = {0.06943184420297371, 0.33000947820757187, 0.66999052179242813, 0.93056815579702629};
static const double weight[NODES] = {0.17392742256872692, 0.32607257743127308, 0.32607257743127308,
                                     0.17392742256872692};

static double mean_of(const struct predictor *p, const float *x)
{
  const size_t n = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
  double mean = 0;
  for (size_t i = 0; i < n; i++)
    mean += (double)x[i] / (double)n;
  return mean;
}

/* Attributions [height, width] of a class. *known false: the model has no gradient, which is for others to say. */
static bool attribute(struct session *session, const float *x, int64_t target, float *images, double *map, bool *known,
                      struct error *err)
{
  const struct predictor *p = session->predictor;
  const size_t pixels = (size_t)p->height * (size_t)p->width, c = (size_t)p->channels;
  const double mean = mean_of(p, x);
  struct backward_info info;
  struct error none = {ERROR_NONE};
  float *image = images, *gradient = images + pixels * c;
  *known = session->ops->begin_backward != NULL &&
           session_begin_backward(session, &(struct backward_request){.target = target}, &info, &none);
  memset(map, 0, pixels * sizeof *map);
  for (int k = 0; *known && k < NODES; k++) {
    for (size_t i = 0; i < pixels * c; i++)
      image[i] = (float)(mean + node[k] * ((double)x[i] - mean));
    if (!session_backward(session, image, 1, gradient, NULL, err))
      return false;
    for (size_t i = 0; i < pixels * c; i++)
      map[i / c] += weight[k] * (double)gradient[i] * ((double)x[i] - mean);
  }
  return true;
}

/* What is compared: scores of the image and of the probes [PROBES + 1, classes], attributions of a class. */
struct answers {
  float *scores;
  double *map; /* NULL: not asked for */
};

static int64_t strongest(const float *scores, int64_t classes)
{
  int64_t best = 0;
  for (int64_t i = 1; i < classes; i++)
    if (scores[i] > scores[best])
      best = i;
  return best;
}

/* *target < 0: it becomes the strongest class of the image. */
static bool ask(const struct predictor *p, const struct session_options *options, enum precision precision,
                const float *x, float *images, const struct answers *answers, int64_t *target, bool *known,
                struct error *err)
{
  struct session_options own = *options;
  own.precision = precision;
  own.layer = NULL;
  struct session *session = session_open(p, &own, err);
  const size_t image = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
  const int patch = (p->height < p->width ? p->height : p->width) / 7 + 1;
  const double mean = mean_of(p, x);
  float *scores = answers->scores;
  bool ok = session && session_predict(session, x, 1, scores, NULL, err);
  const int batch = session && session->batch < PROBES ? (int)session->batch : PROBES;
  for (int done = 0; ok && done < PROBES; done += batch) {
    const int n = PROBES - done < batch ? PROBES - done : batch;
    for (int i = 0; i < n; i++) {
      const int y0 = (done + i) / SIDE * (p->height - patch) / (SIDE - 1);
      const int x0 = (done + i) % SIDE * (p->width - patch) / (SIDE - 1);
      float *to = images + (size_t)i * image;
      memcpy(to, x, image * sizeof *to);
      for (int y = y0; y < y0 + patch && y < p->height; y++)
        for (int k = x0 * p->channels; k < (x0 + patch) * p->channels && k < p->width * p->channels; k++)
          to[(size_t)y * (size_t)(p->width * p->channels) + (size_t)k] = (float)mean;
    }
    ok = session_predict(session, images, n, scores + (int64_t)(done + 1) * p->classes, NULL, err);
  }
  if (ok && *target < 0)
    *target = strongest(scores, p->classes);
  ok = ok && (!answers->map || attribute(session, x, *target, images, answers->map, known, err));
  session_close(session);
  return ok;
}

/* Relative; NAN where there is nothing, which is below no bound. */
static double length_of_difference(const double *a, const double *b, size_t n)
{
  double difference = 0, square = 0;
  for (size_t i = 0; i < n; i++) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    square += a[i] * a[i];
  }
  return sqrt(difference / square);
}

bool precision_decide(const struct predictor *p, struct session_options *options, const float *x, bool gradients,
                      struct precision_check *check, struct error *err)
{
  options->precision = check->used = PRECISION_F32;
  if (!compute_has_bf16() || !p->layered)
    return true;
  const size_t image = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
  const size_t each = (size_t)(PROBES + 1) * (size_t)p->classes;
  const size_t pixels = gradients ? (size_t)p->height * (size_t)p->width : 0;
  float *images = mem_alloc(PROBES * image * sizeof *images); /* and an image and its gradient */
  float *scores = mem_alloc(2 * each * sizeof *scores);
  double *maps = mem_alloc((2 * pixels + 1) * sizeof *maps);
  const struct answers full = {scores, gradients ? maps : NULL};
  const struct answers half = {scores + (scores ? each : 0), gradients && maps ? maps + pixels : NULL};
  int64_t target = -1;
  bool ok = (images && scores && maps) || error_memory(err, "the check of bf16"), known = gradients;
  ok = ok && ask(p, options, PRECISION_F32, x, images, &full, &target, &known, err) &&
       (!gradients || known ? ask(p, options, PRECISION_BF16, x, images, &half, &target, &known, err) : true);
  bool agree = ok && (!gradients || known);
  for (size_t i = 0; agree && i < each; i++) {
    check->deviation = fmax(check->deviation, fabs((double)half.scores[i] - (double)full.scores[i]));
    check->change = fmax(check->change, fabs((double)full.scores[i] - (double)full.scores[i % (size_t)p->classes]));
  }
  if (agree) {
    check->evaluations = PROBES + 1;
    check->gradients = gradients ? NODES : 0;
    check->gradient_deviation = gradients ? length_of_difference(full.map, half.map, pixels) : 0;
    agree = check->deviation < TOLERATED * check->change && (!gradients || check->gradient_deviation < TOLERATED_NOISE);
  }
  if (agree)
    options->precision = check->used = PRECISION_BF16;
  mem_free(images);
  mem_free(scores);
  mem_free(maps);
  return ok;
}
