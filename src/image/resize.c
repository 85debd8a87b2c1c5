/* SPDX-License-Identifier: Apache-2.0 */
/* Antialiased resize: a separable filter that is as wide as the output pixel when shrinking.
 *
 * Models are trained on pictures that Pillow resized, so its arithmetic is the definition here (its Resample.c and, for
 * nearest, Geometry.c; version 9.4):
 *   1 an output pixel's centre lies at (i + 0.5) * scale in the source; its filter reaches support * max(scale, 1) to
 *     either side and is sampled at the source's pixel centres, cut at the border and normalised to sum 1, in double;
 *   2 columns first, then rows; an axis that keeps its length is skipped;
 *   3 8-bit pictures: weights rounded (half away from zero) to 22 fractional bits, each pass summed in 32-bit integers,
 *     rounded and clipped to 8 bits; others: summed in double in the order of the taps, stored as float32.
 * Taken: all of it, to the last bit. Changed: the order of the work. Both passes are one operation, a weighted sum of
 * strips: the row pass adds whole rows, and the column pass first turns a block of rows on its side, so that its strips
 * are one column of several rows. Both run along memory for any number of channels. */
#include "base/mem.h"
#include "base/threads.h"
#include "image/image.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { FIXED_BITS = 32 - 8 - 2 }; /* of a weight's fraction; leaves room for 8 bits of pixel and overshoot */
enum { BLOCK = 16 };              /* rows turned on their side together: one vector of 8-bit pixels */
enum { GRAIN_OPERATIONS = 1 << 18 };

struct tap {
  int first, count; /* source pixels an output pixel is made of */
};

/* The weights of one axis. */
struct weights {
  int size;        /* most taps of any output pixel; stride of the tables */
  struct tap *tap; /* [out] */
  double *real;    /* [out, size] */
  int32_t *fixed;  /* [out, size], in units of 2^-FIXED_BITS */
};

static double triangle(double x)
{
  x = fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

/* Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. ASSP 29 (1981), with a = -0.5. */
static double cubic(double x)
{
  const double a = -0.5;
  x = fabs(x);
  if (x < 1.0)
    return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0)
    return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

static double sinc(double x)
{
  if (x == 0.0)
    return 1.0;
  x *= M_PI;
  return sin(x) / x;
}

static double lanczos(double x)
{
  return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0;
}

static const struct filter {
  double (*at)(double x);
  double support;
} filters[] = {
    [INTERPOLATION_BILINEAR] = {triangle, 1.0},
    [INTERPOLATION_BICUBIC] = {cubic, 2.0},
    [INTERPOLATION_LANCZOS] = {lanczos, 3.0},
};

static void weights_free(struct weights *w)
{
  mem_free(w->tap);
  mem_free(w->real);
  mem_free(w->fixed);
}

static bool weights_make(struct weights *w, int in, int out, const struct filter *filter, struct error *err)
{
  double scale = (double)in / out;
  double wide = scale < 1.0 ? 1.0 : scale;
  double support = filter->support * wide;
  w->size = (int)ceil(support) * 2 + 1;
  size_t count;
  if (!size_mul((size_t)w->size, (size_t)out, &count))
    return error_memory(err, "the weights of a resize");
  w->tap = mem_zero((size_t)out, sizeof *w->tap);
  w->real = mem_zero(count, sizeof *w->real);
  w->fixed = mem_zero(count, sizeof *w->fixed);
  if (!w->tap || !w->real || !w->fixed)
    return error_memory(err, "the weights of a resize");

  for (int i = 0; i < out; i++) {
    double *real = w->real + (size_t)i * w->size;
    int32_t *fixed = w->fixed + (size_t)i * w->size;
    double centre = (i + 0.5) * scale;
    double inverse = 1.0 / wide;
    int first = (int)(centre - support + 0.5);
    int last = (int)(centre + support + 0.5);
    first = first < 0 ? 0 : first;
    last = last > in ? in : last;
    double sum = 0.0;
    for (int x = first; x < last; x++) {
      real[x - first] = filter->at((x - centre + 0.5) * inverse);
      sum += real[x - first];
    }
    for (int x = 0; x < last - first; x++) {
      if (sum != 0.0)
        real[x] /= sum;
      fixed[x] = (int32_t)(real[x] * (1 << FIXED_BITS) + (real[x] < 0 ? -0.5 : 0.5));
    }
    w->tap[i] = (struct tap){first, last - first};
  }
  return true;
}

static uint8_t round_clip(uint32_t sum)
{
  int32_t v = (int32_t)(sum + (1u << (FIXED_BITS - 1))) >> FIXED_BITS;
  return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
}

#ifdef __SSE2__
/* Sixteen sums at once. A weight is split into high*2^15 + low, both of which fit the 16-bit multiply-add; the halves
 * are joined modulo 2^32, so that the result is the same integer. Returns how many sums were made. */
static int64_t combine_u8_vector(const uint8_t *strip, ptrdiff_t stride, int taps, const int32_t *weight, int64_t n,
                                 uint8_t *out)
{
  const __m128i zero = _mm_setzero_si128();
  const __m128i half = _mm_set1_epi32(1 << (FIXED_BITS - 1));
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m128i low[4] = {half, half, half, half};
    __m128i high[4] = {zero, zero, zero, zero};
    for (int t = 0; t < taps; t += 2) {
      bool pair = t + 1 < taps;
      int32_t w0 = weight[t], w1 = pair ? weight[t + 1] : 0;
      __m128i wl = _mm_set1_epi32((w0 & 0x7fff) | (w1 & 0x7fff) << 16);
      __m128i wh = _mm_set1_epi32((int32_t)(((uint32_t)(w0 >> 15) & 0xffff) | (uint32_t)(w1 >> 15) << 16));
      __m128i a = _mm_loadu_si128((const __m128i *)(strip + t * stride + i));
      __m128i b = pair ? _mm_loadu_si128((const __m128i *)(strip + (t + 1) * stride + i)) : zero;
      __m128i ab = _mm_unpacklo_epi8(a, b), cd = _mm_unpackhi_epi8(a, b);
      __m128i p[4] = {_mm_unpacklo_epi8(ab, zero), _mm_unpackhi_epi8(ab, zero), _mm_unpacklo_epi8(cd, zero),
                      _mm_unpackhi_epi8(cd, zero)};
      for (int k = 0; k < 4; k++) {
        low[k] = _mm_add_epi32(low[k], _mm_madd_epi16(p[k], wl));
        high[k] = _mm_add_epi32(high[k], _mm_madd_epi16(p[k], wh));
      }
    }
    for (int k = 0; k < 4; k++)
      low[k] = _mm_srai_epi32(_mm_add_epi32(low[k], _mm_slli_epi32(high[k], 15)), FIXED_BITS);
    __m128i ab = _mm_packs_epi32(low[0], low[1]), cd = _mm_packs_epi32(low[2], low[3]);
    _mm_storeu_si128((__m128i *)(out + i), _mm_packus_epi16(ab, cd));
  }
  return i;
}
#endif

/* out[i] = sum over t of weight[t] * strip[t * stride + i], for i < n. */
static void combine_u8(const uint8_t *strip, ptrdiff_t stride, int taps, const int32_t *weight, int64_t n, uint8_t *out)
{
  int64_t i = 0;
#ifdef __SSE2__
  i = combine_u8_vector(strip, stride, taps, weight, n, out);
#endif
  for (; i < n; i++) {
    uint32_t sum = 0;
    for (int t = 0; t < taps; t++)
      sum += (uint32_t)weight[t] * strip[t * stride + i];
    out[i] = round_clip(sum);
  }
}

static void combine_f32(const float *strip, ptrdiff_t stride, int taps, const double *weight, int64_t n, float *out)
{
  for (int64_t i = 0; i < n; i += BLOCK) {
    int m = n - i < BLOCK ? (int)(n - i) : BLOCK;
    double sum[BLOCK] = {0};
    if (m == BLOCK) {
      for (int t = 0; t < taps; t++) {
        for (int j = 0; j < BLOCK; j++)
          sum[j] += strip[t * stride + i + j] * weight[t];
      }
    } else {
      for (int t = 0; t < taps; t++) {
        for (int j = 0; j < m; j++)
          sum[j] += strip[t * stride + i + j] * weight[t];
      }
    }
    for (int j = 0; j < m; j++)
      out[i + j] = (float)sum[j];
  }
}

/* One pass over an image of `rows` rows of `row_in` elements, or rather what its workers share. */
struct pass {
  const struct weights *weights;
  const void *in;
  void *out;
  int64_t rows, row_in, row_out; /* elements */
  int channels, count;           /* `count`: output pixels along the axis */
  bool bytes;                    /* uint8_t elements, else float */
  void *scratch;                 /* column pass: BLOCK * row_in elements for each worker */
  atomic_int workers;            /* who have taken their piece of scratch */
};

/* side[e, r] = in[r, e], r < BLOCK; rows that do not exist repeat the last one. */
static void turn_u8(const uint8_t *in, int64_t row, int rows, uint8_t *side)
{
  const uint8_t *line[BLOCK];
  for (int r = 0; r < BLOCK; r++)
    line[r] = in + (r < rows ? r : rows - 1) * row;
  int64_t e = 0;
#ifdef __SSE2__
  for (; e + 16 <= row; e += 16) { /* 16x16: four rounds of a perfect shuffle */
    __m128i a[16], b[16];
    for (int r = 0; r < 16; r++)
      a[r] = _mm_loadu_si128((const __m128i *)(line[r] + e));
    for (int round = 0; round < 4; round++) {
      for (int r = 0; r < 8; r++) {
        b[2 * r] = _mm_unpacklo_epi8(a[r], a[r + 8]);
        b[2 * r + 1] = _mm_unpackhi_epi8(a[r], a[r + 8]);
      }
      memcpy(a, b, sizeof a);
    }
    for (int r = 0; r < 16; r++)
      _mm_storeu_si128((__m128i *)(side + (e + r) * BLOCK), a[r]);
  }
#endif
  for (; e < row; e++) {
    for (int r = 0; r < BLOCK; r++)
      side[e * BLOCK + r] = line[r][e];
  }
}

static void turn_f32(const float *in, int64_t row, int rows, float *side)
{
  for (int r = 0; r < BLOCK; r++) {
    const float *line = in + (r < rows ? r : rows - 1) * row;
    for (int64_t e = 0; e < row; e++)
      side[e * BLOCK + r] = line[e];
  }
}

/* Blocks of rows [begin, end): every output pixel of a row from its neighbours in that row. */
static void pass_columns(void *context, int64_t begin, int64_t end)
{
  struct pass *p = context;
  const struct weights *w = p->weights;
  int c = p->channels;
  int64_t slot = atomic_fetch_add(&p->workers, 1) * BLOCK * p->row_in;
  for (int64_t block = begin; block < end; block++) {
    int64_t y = block * BLOCK;
    int rows = p->rows - y < BLOCK ? (int)(p->rows - y) : BLOCK;
    if (p->bytes) {
      uint8_t *side = (uint8_t *)p->scratch + slot;
      turn_u8((const uint8_t *)p->in + y * p->row_in, p->row_in, rows, side);
      for (int64_t e = 0; e < p->row_out; e++) {
        struct tap tap = w->tap[e / c];
        uint8_t sum[BLOCK];
        combine_u8(side + ((int64_t)tap.first * c + e % c) * BLOCK, (ptrdiff_t)c * BLOCK, tap.count,
                   w->fixed + e / c * w->size, BLOCK, sum);
        for (int r = 0; r < rows; r++)
          ((uint8_t *)p->out)[(y + r) * p->row_out + e] = sum[r];
      }
    } else {
      float *side = (float *)p->scratch + slot;
      turn_f32((const float *)p->in + y * p->row_in, p->row_in, rows, side);
      for (int64_t e = 0; e < p->row_out; e++) {
        struct tap tap = w->tap[e / c];
        float sum[BLOCK];
        combine_f32(side + ((int64_t)tap.first * c + e % c) * BLOCK, (ptrdiff_t)c * BLOCK, tap.count,
                    w->real + e / c * w->size, BLOCK, sum);
        for (int r = 0; r < rows; r++)
          ((float *)p->out)[(y + r) * p->row_out + e] = sum[r];
      }
    }
  }
}

/* Output rows [begin, end), each a weighted sum of input rows. */
static void pass_rows(void *context, int64_t begin, int64_t end)
{
  const struct pass *p = context;
  const struct weights *w = p->weights;
  for (int64_t y = begin; y < end; y++) {
    struct tap tap = w->tap[y];
    if (p->bytes)
      combine_u8((const uint8_t *)p->in + tap.first * p->row_in, p->row_in, tap.count, w->fixed + y * w->size,
                 p->row_in, (uint8_t *)p->out + y * p->row_in);
    else
      combine_f32((const float *)p->in + tap.first * p->row_in, p->row_in, tap.count, w->real + y * w->size, p->row_in,
                  (float *)p->out + y * p->row_in);
  }
}

/* Items a thread should have at least, when one costs `operations`. */
static int64_t grain(int64_t operations)
{
  return GRAIN_OPERATIONS / (operations + 1) + 1;
}

static bool resize_columns(const struct image *in, struct image *out, const struct filter *filter, struct error *err)
{
  struct weights w = {0};
  struct pass p = {.weights = &w,
                   .in = in->data,
                   .out = out->data,
                   .rows = in->height,
                   .channels = in->channels,
                   .row_in = (int64_t)in->width * in->channels,
                   .row_out = (int64_t)out->width * out->channels,
                   .bytes = in->type == PIXEL_U8};
  size_t size;
  bool done = weights_make(&w, in->width, out->width, filter, err);
  if (done) {
    if (size_mul((size_t)p.row_in * BLOCK * (p.bytes ? 1 : sizeof(float)), (size_t)threads_used(), &size))
      p.scratch = mem_alloc(size);
    done = p.scratch || error_memory(err, "a resize");
  }
  if (done)
    threads_for((in->height + BLOCK - 1) / BLOCK, grain(p.row_out * w.size * BLOCK), pass_columns, &p);
  mem_free(p.scratch);
  weights_free(&w);
  return done;
}

static bool resize_rows(const struct image *in, struct image *out, const struct filter *filter, struct error *err)
{
  struct weights w = {0};
  struct pass p = {.weights = &w,
                   .in = in->data,
                   .out = out->data,
                   .row_in = (int64_t)in->width * in->channels,
                   .bytes = in->type == PIXEL_U8};
  bool done = weights_make(&w, in->height, out->height, filter, err);
  if (done)
    threads_for(out->height, grain(p.row_in * w.size), pass_rows, &p);
  weights_free(&w);
  return done;
}

/* Nearest: the source pixel under the output pixel's centre. The centre is advanced by adding, as Pillow's affine
 * transform does: where it meets the border of two pixels, the accumulated rounding decides. */
static bool resize_nearest(const struct image *in, struct image *out, struct error *err)
{
  int *column = mem_zero((size_t)out->width, sizeof *column);
  if (!column)
    return error_memory(err, "a resize");
  double step = (double)in->width / out->width, at = step * 0.5;
  for (int x = 0; x < out->width; x++, at += step)
    column[x] = (int)at < in->width ? (int)at : in->width - 1;
  int c = in->channels;
  step = (double)in->height / out->height;
  at = step * 0.5;
  for (int y = 0; y < out->height; y++, at += step) {
    int64_t from = (int64_t)((int)at < in->height ? (int)at : in->height - 1) * in->width;
    int64_t to = (int64_t)y * out->width;
    for (int x = 0; x < out->width; x++) {
      for (int k = 0; k < c; k++) {
        if (in->type == PIXEL_U8)
          ((uint8_t *)out->data)[(to + x) * c + k] = ((const uint8_t *)in->data)[(from + column[x]) * c + k];
        else
          ((float *)out->data)[(to + x) * c + k] = ((const float *)in->data)[(from + column[x]) * c + k];
      }
    }
  }
  mem_free(column);
  return true;
}

/* `image`, 8 bits as they are, anything else as float32. */
static bool copy_wide(const struct image *image, struct image *copy, struct error *err)
{
  if (!image_new(copy, image->width, image->height, image->channels, image->type == PIXEL_U8 ? PIXEL_U8 : PIXEL_F32,
                 err))
    return false;
  size_t count = (size_t)image->width * (size_t)image->height * (size_t)image->channels;
  if (image->type == PIXEL_U16) {
    for (size_t i = 0; i < count; i++)
      ((float *)copy->data)[i] = ((const uint16_t *)image->data)[i];
  } else {
    memcpy(copy->data, image->data, count * (image->type == PIXEL_U8 ? 1 : sizeof(float)));
  }
  return true;
}

bool image_resize(const struct image *image, int width, int height, enum interpolation how, struct image *out,
                  struct error *err)
{
  struct image wide = {0};   /* a 16-bit source as float */
  struct image middle = {0}; /* after the columns */
  const struct image *in = image;
  bool across = width != image->width, down = height != image->height;
  *out = (struct image){0};
  if (!image_check_size(width, height, err))
    return false;
  bool done = true;
  if (!across && !down) {
    done = copy_wide(image, out, err);
  } else {
    if (image->type == PIXEL_U16) {
      done = copy_wide(image, &wide, err);
      in = &wide;
    }
    done = done && image_new(out, width, height, in->channels, in->type, err);
    if (done && how == INTERPOLATION_NEAREST) {
      done = resize_nearest(in, out, err);
    } else if (done) {
      const struct filter *filter = &filters[how];
      if (across && down) {
        done = image_new(&middle, width, in->height, in->channels, in->type, err) &&
               resize_columns(in, &middle, filter, err) && resize_rows(&middle, out, filter, err);
      } else {
        done = across ? resize_columns(in, out, filter, err) : resize_rows(in, out, filter, err);
      }
    }
  }
  image_free(&wide);
  image_free(&middle);
  if (!done) {
    image_free(out);
    return false;
  }
  out->lo = image->lo;
  out->hi = image->hi;
  out->spacing_y = image->spacing_y * image->height / height;
  out->spacing_x = image->spacing_x * image->width / width;
  out->preprocessed = image->preprocessed;
  out->note = image->note;
  return true;
}
