/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/precision.h"

#include "base/mem.h"
#include "tensor/compute.h"

#include <math.h>
#include <string.h>

enum { SIDE = 8, PROBES = SIDE * SIDE };
#define TOLERATED 0.01 /* of the largest change */

/* Scores of the image and of the probes [PROBES + 1, classes] in one precision. */
static bool score_probes(const struct predictor *p, const struct session_options *options, enum precision precision,
                         const float *x, float *images, float *scores, struct error *err)
{
  struct session_options own = *options;
  own.precision = precision;
  own.layer = NULL;
  struct session *session = session_open(p, &own, err);
  const size_t image = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
  const int patch = (p->height < p->width ? p->height : p->width) / 7 + 1;
  double mean = 0;
  for (size_t i = 0; i < image; i++)
    mean += (double)x[i] / (double)image;
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
  session_close(session);
  return ok;
}

bool precision_decide(const struct predictor *p, struct session_options *options, const float *x,
                      struct precision_check *check, struct error *err)
{
  options->precision = check->used = PRECISION_F32;
  if (!compute_has_bf16() || !p->layered)
    return true;
  const size_t image = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
  const size_t each = (size_t)(PROBES + 1) * (size_t)p->classes;
  float *images = mem_alloc(PROBES * image * sizeof *images);
  float *full = mem_alloc(2 * each * sizeof *full), *half = full ? full + each : NULL;
  bool ok = images && full;
  if (!ok)
    error_memory(err, "the check of bf16");
  ok = ok && score_probes(p, options, PRECISION_F32, x, images, full, err) &&
       score_probes(p, options, PRECISION_BF16, x, images, half, err);
  for (size_t i = 0; ok && i < each; i++) {
    check->deviation = fmax(check->deviation, fabs((double)half[i] - (double)full[i]));
    check->change = fmax(check->change, fabs((double)full[i] - (double)full[i % (size_t)p->classes]));
  }
  check->evaluations = PROBES + 1;
  if (ok && check->deviation < TOLERATED * check->change)
    options->precision = check->used = PRECISION_BF16;
  mem_free(images);
  mem_free(full);
  return ok;
}
