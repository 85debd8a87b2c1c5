/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/area_mask.h"

#include "base/mem.h"
#include "base/threads.h"
#include "tensor/simd.h"

#include <math.h>
#include <string.h>

#define SHARPNESS 20.0F /* of the smooth maximum */

bool area_mask_open(struct area_mask *a, int height, int width, int step, int radius, struct error *err)
{
  *a = (struct area_mask){.height = height, .width = width, .step = step, .reach = 1 + (radius + step - 1) / step};
  a->blocks_y = (height + step - 1) / step;
  a->blocks_x = (width + step - 1) / step;
  a->rows = a->blocks_y + 2 * a->reach;
  a->columns = a->blocks_x + 2 * a->reach;
  const int side = 2 * a->reach + 1, block = step * step;
  a->kernel = mem_zero((size_t)side * (size_t)side, (size_t)block * sizeof *a->kernel);
  if (!a->kernel)
    return error_memory(err, "a mask");
  for (int j = 0; j < side * side; j++)
    for (int p = 0; p < block; p++) { /* from the pixel's centre to the cell's */
      const double y = (j / side - a->reach) * step + step / 2.0 - (p / step + 0.5);
      const double x = (j % side - a->reach) * step + step / 2.0 - (p % step + 0.5);
      const double z = fmax(sqrt(y * y + x * x) / radius - 0.5, 0);
      a->kernel[j * block + p] = (float)exp(-2 * z * z);
    }
  return true;
}

void area_mask_close(struct area_mask *a)
{
  mem_free(a->kernel);
  *a = (struct area_mask){0};
}

int64_t area_mask_cells(const struct area_mask *a)
{
  return (int64_t)a->rows * a->columns;
}

/* e^x for x in [0, 20], to 1e-6 relative: 2^whole by the exponent's bits, 2^rest by its series. */
static inline float exp_of(float x)
{
  const float t = x * 1.44269504F;
  const int whole = (int)t;
  const float r = (t - (float)whole) * 0.693147181F;
  const float series = 1 + r * (1 + r * (0.5F + r * (0.166666667F + r * (0.0416666667F + r * (0.00833333333F +
                       r * (0.00138888889F + r * 0.000198412698F))))));
  const union {
    int32_t bits;
    float value;
  } power = {.bits = (whole + 127) << 23};
  return series * power.value;
}

/* One cell's share in the sums of a block's pixels. */
SIMD_CLONES static void add_cell(float cell, const float *restrict kernel, int n, float *restrict sum,
                                 float *restrict total)
{
  for (int p = 0; p < n; p++) {
    const float v = cell * kernel[p], e = exp_of(SHARPNESS * v);
    sum[p] += e;
    total[p] += e * v;
  }
}

/* d map / d cell times the signal, for a block's pixels. */
SIMD_CLONES static void cell_terms(float cell, const float *restrict kernel, int n, const float *restrict sum,
                                   const float *restrict map, const float *restrict signal, float *restrict terms)
{
  for (int p = 0; p < n; p++) {
    const float v = cell * kernel[p], e = exp_of(SHARPNESS * v);
    terms[p] = signal[p] * (e / sum[p]) * (1 + SHARPNESS * (v - map[p])) * kernel[p];
  }
}

struct up_job {
  const struct area_mask *mask;
  const float *cells;
  float *map;
  float *sums; /* [blocks_y, 2, step^2]: each row of blocks its own */
};

static void block_sums(const struct area_mask *a, const float *cells, int by, int bx, float *sum, float *total)
{
  const int side = 2 * a->reach + 1, block = a->step * a->step;
  float still = 0; /* cells of 0 weigh 1 and add nothing */
  memset(sum, 0, (size_t)block * sizeof *sum);
  memset(total, 0, (size_t)block * sizeof *total);
  for (int j = 0; j < side * side; j++) {
    const float cell = cells[(int64_t)(by + j / side) * a->columns + bx + j % side];
    if (cell == 0)
      still += 1;
    else
      add_cell(cell, a->kernel + (int64_t)j * block, block, sum, total);
  }
  for (int p = 0; p < block; p++)
    sum[p] += still;
}

static void up_rows(void *context, int64_t begin, int64_t end)
{
  const struct up_job *job = context;
  const struct area_mask *a = job->mask;
  const int block = a->step * a->step;
  for (int by = (int)begin; by < end; by++) {
    float *sum = job->sums + (int64_t)by * 2 * block, *total = sum + block;
    for (int bx = 0; bx < a->blocks_x; bx++) {
      block_sums(a, job->cells, by, bx, sum, total);
      for (int p = 0; p < block; p++) {
        const int y = by * a->step + p / a->step, x = bx * a->step + p % a->step;
        if (y < a->height && x < a->width) {
          const float v = total[p] / sum[p];
          job->map[(int64_t)y * a->width + x] = v < 0 ? 0 : v > 1 ? 1 : v;
        }
      }
    }
  }
}

bool area_mask_up(const struct area_mask *a, const float *cells, float *map, struct error *err)
{
  struct up_job job = {a, cells, map, mem_alloc((size_t)a->blocks_y * 2 * (size_t)(a->step * a->step) * sizeof(float))};
  if (!job.sums)
    return error_memory(err, "a mask");
  threads_for(a->blocks_y, 1, up_rows, &job);
  mem_free(job.sums);
  return true;
}

bool area_mask_down(const struct area_mask *a, const float *cells, const float *map, const float *signal,
                    double *gradient, struct error *err)
{
  const int side = 2 * a->reach + 1, block = a->step * a->step;
  float *sum = mem_alloc(5 * (size_t)block * sizeof *sum);
  if (!sum)
    return error_memory(err, "a mask");
  float *total = sum + block, *there = total + block, *wanted = there + block, *terms = wanted + block;
  memset(gradient, 0, (size_t)area_mask_cells(a) * sizeof *gradient);
  for (int by = 0; by < a->blocks_y; by++)
    for (int bx = 0; bx < a->blocks_x; bx++) {
      block_sums(a, cells, by, bx, sum, total);
      for (int p = 0; p < block; p++) {
        const int y = by * a->step + p / a->step, x = bx * a->step + p % a->step;
        const bool visible = y < a->height && x < a->width;
        there[p] = visible ? map[(int64_t)y * a->width + x] : 0;
        wanted[p] = visible ? signal[(int64_t)y * a->width + x] : 0;
      }
      for (int j = 0; j < side * side; j++) {
        const int64_t at = (int64_t)(by + j / side) * a->columns + bx + j % side;
        double all = 0;
        cell_terms(cells[at], a->kernel + (int64_t)j * block, block, sum, there, wanted, terms);
        for (int p = 0; p < block; p++)
          all += (double)terms[p];
        gradient[at] += all;
      }
    }
  mem_free(sum);
  return true;
}

/* ---- area ------------------------------------------------------------------------------------------------------ */

static uint32_t bits_of(float x)
{
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

/* The bits of the value that is `count`-th from the top (bits of values >= 0 are in their order), found a byte at a
 * time; *above is how many are greater. */
static uint32_t select_bits(const float *map, int64_t pixels, int64_t count, int64_t *above)
{
  uint32_t found = 0, mask = 0;
  *above = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    int64_t histogram[256] = {0};
    for (int64_t i = 0; i < pixels; i++) {
      const uint32_t bits = bits_of(map[i]);
      histogram[bits >> shift & 255] += (bits & mask) == found;
    }
    int byte = 255;
    while (byte > 0 && *above + histogram[byte] < count)
      *above += histogram[byte--];
    found |= (uint32_t)byte << shift;
    mask |= (uint32_t)255 << shift;
  }
  return found;
}

double area_price(const float *map, int64_t pixels, int64_t count, double weight, float *signal)
{
  int64_t above = 0;
  const uint32_t least = count > 0 ? select_bits(map, pixels, count, &above) : UINT32_MAX;
  int64_t equals = count - above; /* of those that tie, the first ones are on top */
  double sum = 0;
  for (int64_t i = 0; i < pixels; i++) {
    const uint32_t bits = bits_of(map[i]);
    const bool top = bits > least || (bits == least && equals-- > 0);
    const double d = (double)map[i] - (top ? 1 : 0);
    sum += d * d;
    signal[i] += (float)(weight * 2 * d / (double)pixels);
  }
  return sum / (double)pixels;
}

/* ---- the image ------------------------------------------------------------------------------------------------- */

/* Between which levels a pixel is, and how far. */
static float place(const struct area_levels *l, float m, bool invert, int *low)
{
  const float at = (invert ? m : 1 - m) * (float)(l->levels - 1);
  *low = (int)at;
  *low = *low > l->levels - 2 ? l->levels - 2 : *low;
  return at - (float)*low;
}

void area_read(const struct area_levels *l, const float *map, bool invert, float *image)
{
  const int64_t each = l->pixels * l->channels;
  for (int64_t i = 0; i < l->pixels; i++) {
    int low;
    const float t = place(l, map[i], invert, &low);
    const float *from = l->level + low * each + i * l->channels;
    for (int c = 0; c < l->channels; c++)
      *image++ = from[c] * (1 - t) + from[each + c] * t;
  }
}

void area_read_back(const struct area_levels *l, const float *map, bool invert, const float *gradient, double factor,
                    float *signal)
{
  const int64_t each = l->pixels * l->channels;
  const double slope = (invert ? 1 : -1) * (l->levels - 1) * factor;
  for (int64_t i = 0; i < l->pixels; i++) {
    int low;
    (void)place(l, map[i], invert, &low);
    const float *from = l->level + low * each + i * l->channels;
    double sum = 0;
    for (int c = 0; c < l->channels; c++)
      sum += (double)*gradient++ * ((double)from[each + c] - (double)from[c]);
    signal[i] += (float)(slope * sum);
  }
}
