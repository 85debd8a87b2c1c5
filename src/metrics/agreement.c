/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/agreement.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/npy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct ranked {
  float value;
  int64_t index;
};

static int ascending(const void *a, const void *b)
{
  const struct ranked *p = a, *q = b;
  if (p->value != q->value)
    return p->value < q->value ? -1 : 1;
  return p->index < q->index ? -1 : p->index > q->index;
}

static struct ranked *sorted(const float *x, int64_t n, struct error *err)
{
  struct ranked *order = mem_alloc((size_t)n * sizeof *order);
  if (!order) {
    error_memory(err, "a ranking");
    return NULL;
  }
  for (int64_t i = 0; i < n; i++)
    order[i] = (struct ranked){x[i], i};
  qsort(order, (size_t)n, sizeof *order, ascending);
  return order;
}

bool ranks_of(const float *x, int64_t n, double *ranks, struct error *err)
{
  struct ranked *order = sorted(x, n, err);
  if (!order)
    return false;
  for (int64_t i = 0; i < n;) {
    int64_t j = i;
    while (j + 1 < n && order[j + 1].value == order[i].value)
      j++;
    for (int64_t k = i; k <= j; k++)
      ranks[order[k].index] = 0.5 * (double)(i + j) + 1;
    i = j + 1;
  }
  mem_free(order);
  return true;
}

static bool is_constant(const double *x, int64_t n)
{
  int64_t i = 1;
  while (i < n && x[i] == x[0])
    i++;
  return i >= n;
}

static double correlation(const double *a, const double *b, int64_t n)
{
  if (is_constant(a, n) || is_constant(b, n)) /* a mean that is rounded would leave a variance */
    return NAN;
  double ma = 0, mb = 0, aa = 0, bb = 0, ab = 0;
  for (int64_t i = 0; i < n; i++) {
    ma += a[i] / (double)n;
    mb += b[i] / (double)n;
  }
  for (int64_t i = 0; i < n; i++) {
    aa += (a[i] - ma) * (a[i] - ma);
    bb += (b[i] - mb) * (b[i] - mb);
    ab += (a[i] - ma) * (b[i] - mb);
  }
  return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : NAN;
}

/* Shared part of the two maps' highest 5 % of pixels. */
static bool top_overlap(const float *a, const float *b, int64_t n, double *out, struct error *err)
{
  const int64_t k = n / 20 > 0 ? n / 20 : 1;
  struct ranked *pa = sorted(a, n, err), *pb = pa ? sorted(b, n, err) : NULL;
  unsigned char *in = pb ? mem_zero((size_t)n, 1) : NULL;
  int64_t shared = 0;
  if (pb && !in)
    error_memory(err, "a ranking");
  for (int64_t i = 0; in && i < k; i++)
    in[pa[n - 1 - i].index] = 1;
  for (int64_t i = 0; in && i < k; i++)
    shared += in[pb[n - 1 - i].index];
  *out = (double)shared / (double)(2 * k - shared);
  const bool ok = in != NULL;
  mem_free(pa);
  mem_free(pb);
  mem_free(in);
  return ok;
}

/* Mean SSIM over 7x7 windows, with the joint range of the two maps as dynamic range (K1 = 0.01, K2 = 0.03). */
static double similarity(const float *a, const float *b, int64_t height, int64_t width)
{
  double lo = INFINITY, hi = -INFINITY, total = 0;
  for (int64_t i = 0; i < height * width; i++) {
    lo = fmin(lo, fmin((double)a[i], (double)b[i]));
    hi = fmax(hi, fmax((double)a[i], (double)b[i]));
  }
  if (!(hi > lo))
    return 1;
  const double c1 = 0.01 * (hi - lo) * 0.01 * (hi - lo), c2 = 0.03 * (hi - lo) * 0.03 * (hi - lo);
  const int64_t side_y = height < 7 ? height : 7, side_x = width < 7 ? width : 7;
  const double n = (double)(side_y * side_x);
  int64_t windows = 0;
  for (int64_t y = 0; y + side_y <= height; y++)
    for (int64_t x = 0; x + side_x <= width; x++, windows++) {
      double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
      for (int64_t i = y; i < y + side_y; i++)
        for (int64_t j = x; j < x + side_x; j++) {
          const double u = (double)a[i * width + j], v = (double)b[i * width + j];
          sa += u;
          sb += v;
          saa += u * u;
          sbb += v * v;
          sab += u * v;
        }
      const double ma = sa / n, mb = sb / n, va = saa / n - ma * ma, vb = sbb / n - mb * mb, cov = sab / n - ma * mb;
      total += (2 * ma * mb + c1) * (2 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
    }
  return total / (double)windows;
}

bool agreement_of(const float *a, const float *b, int64_t height, int64_t width, struct agreement *out,
                  struct error *err)
{
  const int64_t n = height * width;
  double *x = mem_alloc(2 * (size_t)n * sizeof *x), *y = x ? x + n : NULL;
  if (!x)
    return error_memory(err, "a comparison");
  for (int64_t i = 0; i < n; i++)
    if (!isfinite(a[i]) || !isfinite(b[i])) {
      mem_free(x);
      return error_set(err, ERROR_FAILED, "value %lld of the %s map is not finite", (long long)i,
                       isfinite(a[i]) ? "second" : "first");
    }
  out->max_abs_difference = 0;
  for (int64_t i = 0; i < n; i++) {
    x[i] = (double)a[i];
    y[i] = (double)b[i];
    out->max_abs_difference = fmax(out->max_abs_difference, fabs(x[i] - y[i]));
  }
  out->pearson = correlation(x, y, n);
  bool ok = ranks_of(a, n, x, err) && ranks_of(b, n, y, err);
  if (ok)
    out->spearman = correlation(x, y, n);
  ok = ok && top_overlap(a, b, n, &out->top5_jaccard, err);
  out->ssim = similarity(a, b, height, width);
  mem_free(x);
  return ok;
}

bool agreement_matrix(const float *const *maps, int count, int64_t n, double *matrix, struct error *err)
{
  double *ranks = mem_zero((size_t)count * (size_t)n, sizeof *ranks);
  if (!ranks)
    return error_memory(err, "ranks");
  bool ok = true;
  for (int i = 0; ok && i < count; i++)
    ok = ranks_of(maps[i], n, ranks + i * n, err);
  for (int i = 0; ok && i < count; i++)
    for (int j = 0; j <= i; j++)
      matrix[i * count + j] = matrix[j * count + i] = correlation(ranks + i * n, ranks + j * n, n);
  mem_free(ranks);
  return ok;
}

/* Integer arrays count as numbers. */
static float *as_floats(const struct npy *array, struct error *err)
{
  const int64_t n = npy_count(array);
  float *x = mem_alloc((size_t)n * sizeof *x);
  if (!x)
    error_memory(err, "a map");
  for (int64_t i = 0; x && i < n; i++)
    x[i] = array->type == NPY_F32 ? ((const float *)array->data)[i] : (float)((const int32_t *)array->data)[i];
  return x;
}

static json_t *agreement_of_arrays(const struct npy *a, const struct npy *b, const char *names[2], struct error *err)
{
  struct agreement r;
  bool same = a->rank == b->rank;
  for (int i = 0; same && i < a->rank; i++)
    same = a->dim[i] == b->dim[i];
  if (!same) {
    error_set(err, ERROR_FAILED, "%.80s and %.80s differ in shape", names[0], names[1]);
    return NULL;
  }
  const int64_t n = npy_count(a), width = a->rank > 0 ? a->dim[a->rank - 1] : 1;
  if (n < 1) {
    error_set(err, ERROR_FAILED, "%.80s is empty", names[0]);
    return NULL;
  }
  float *x = as_floats(a, err), *y = x ? as_floats(b, err) : NULL;
  json_t *json = NULL;
  if (y && agreement_of(x, y, n / width, width, &r, err)) {
    json_t *shape = json_array();
    for (int i = 0; i < a->rank; i++)
      json_array_append_new(shape, json_integer(a->dim[i]));
    json = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "spearman", json_number_or_null(r.spearman), "pearson",
                     json_number_or_null(r.pearson), "top5_jaccard", json_number_or_null(r.top5_jaccard), "ssim",
                     json_number_or_null(r.ssim), "max_abs_difference", json_number_or_null(r.max_abs_difference),
                     "shape", shape);
    if (!json)
      error_memory(err, "a comparison");
  }
  mem_free(x);
  mem_free(y);
  return json;
}

json_t *agreement_of_files(const char *a, const char *b, struct error *err)
{
  struct npy x = {0}, y = {0};
  json_t *json = NULL;
  if (npy_read(a, (size_t)1 << 31, &x, err) && npy_read(b, (size_t)1 << 31, &y, err))
    json = agreement_of_arrays(&x, &y, (const char *[]){a, b}, err);
  npy_free(&x);
  npy_free(&y);
  return json;
}
