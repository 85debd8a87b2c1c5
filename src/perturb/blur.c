/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/fill.h"

#include "base/mem.h"
#include "base/threads.h"
#include "tensor/simd.h"

#include <math.h>
#include <string.h>

/* Index i mirrored into [0, n): the edge pixel is repeated (… 1 0 0 1 … n-1 n-1 …). */
static int reflected(int i, int n)
{
  const int period = 2 * n;
  i %= period;
  if (i < 0)
    i += period;
  return i < n ? i : period - 1 - i;
}

struct blur_job {
  const float *src;
  float *dst;
  int length, step; /* lines of `length` samples of `step` floats each */
  int radius;
  const float *weight;    /* [2 radius + 1] */
};

SIMD_CLONES static void add_scaled(float *restrict to, const float *restrict from, float weight, int n)
{
  for (int i = 0; i < n; i++)
    to[i] += from[i] * weight;
}

static void blur_lines(void *context, int64_t begin, int64_t end)
{
  const struct blur_job *j = context;
  for (int64_t line = begin; line < end; line++) {
    const float *src = j->src + line * j->length * j->step;
    float *dst = j->dst + line * j->length * j->step;
    for (int i = 0; i < j->length; i++) {
      float *to = dst + (int64_t)i * j->step;
      memset(to, 0, (size_t)j->step * sizeof *to);
      for (int k = -j->radius; k <= j->radius; k++)
        add_scaled(to, src + (int64_t)reflected(i + k, j->length) * j->step, j->weight[k + j->radius], j->step);
    }
  }
}

/* Rows of an image cut into samples of one pixel, or the image as one line of samples of one row. */
bool blur_image(const float *src, int height, int width, int channels, double sigma, float *dst, struct error *err)
{
  const size_t count = (size_t)height * (size_t)width * (size_t)channels;
  if (sigma <= 0) {
    memcpy(dst, src, count * sizeof *dst);
    return true;
  }
  const int radius = (int)floor(4 * sigma + 0.5);
  const size_t taps = 2 * (size_t)radius + 1;
  float *between = mem_alloc(count * sizeof *between);
  float *weight = mem_alloc(taps * sizeof *weight);
  if (!between || !weight) {
    mem_free(between);
    mem_free(weight);
    return error_memory(err, "a blur");
  }
  double sum = 0;
  for (int k = -radius; k <= radius; k++)
    sum += exp(-0.5 * k * k / (sigma * sigma));
  for (int k = -radius; k <= radius; k++)
    weight[k + radius] = (float)(exp(-0.5 * k * k / (sigma * sigma)) / sum);
  struct blur_job job = {src, between, height, width * channels, radius, weight};
  blur_lines(&job, 0, 1);
  job = (struct blur_job){between, dst, width, channels, radius, weight};
  threads_for(height, 8, blur_lines, &job);
  mem_free(between);
  mem_free(weight);
  return true;
}
