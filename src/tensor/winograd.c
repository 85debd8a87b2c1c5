/* SPDX-License-Identifier: Apache-2.0 */
/* With d a tile's 4 x 4 inputs, g a 3 x 3 kernel and the matrices of Lavin & Gray,
 *
 *     Y = A' [ (G g G') * (B' d B) ] A        B' = 1  0 -1  0     G =  1   0   0     A' = 1 1  1  0
 *              `--U--'     `--V--'                  0  1  1  0         ½   ½   ½          0 1 -1 -1
 *                                                   0 -1  1  0         ½  -½   ½
 *                                                   0  1  0 -1         0   0   1
 *
 * where * multiplies element by element. Summed over channels that is a matrix product for each of the 16 elements:
 *
 *     M[f] [tiles, oc] = V[f] [tiles, ic] x U[f] [ic, oc]
 *
 * A thread transforms a block of tiles into V, which stays in its second cache, and for each 32 output channels
 * computes all 16 products, a group of up to 14 tiles at a time (28 accumulators in registers, one sum over the
 * channels in their order), and turns them into outputs while M is in that cache too. There is no fork or barrier
 * inside.
 *
 *     U  [oc / 32][16][ic][32]                     packed once
 *     V  [groups][16][ic / 16][tiles of the group][16]
 *     M  [16][tiles of the block][32] */
#include "tensor/winograd.h"

#include "base/threads.h"
#include "tensor/simd.h"

#include <string.h>

enum {
  ELEMENTS = 16, /* of a tile's transform */
  LANES = 16,
  WIDE = 2 * LANES,  /* output channels of a product */
  TALL = 14,         /* tiles of a product */
  AHEAD = 32 * WIDE, /* weights are asked for so much before they are used */
};

static int64_t parts_of(int64_t count, int64_t size)
{
  return (count + size - 1) / size;
}

/* ---- weights --------------------------------------------------------------------------------------------------- */

size_t winograd_weights_bytes(int64_t ic, int64_t oc)
{
  return (size_t)(parts_of(oc, WIDE) * ELEMENTS * ic * WIDE) * sizeof(float);
}

struct packing {
  const unsigned char *raw;
  const float *scale;
  int64_t ic, oc; /* of the product */
  bool adjoint;
  float *to;
};

/* G g G' for one input channel and 32 output channels, in double: g [9][32] to rows of 32, `step` floats apart. */
SIMD_CLONES static void transform_kernels(float g[9][WIDE], float *to, int64_t step)
{
  double half[4][3][WIDE];
  for (int x = 0; x < 3; x++)
    for (int o = 0; o < WIDE; o++) {
      const double a = g[x][o], b = g[3 + x][o], c = g[6 + x][o];
      half[0][x][o] = a;
      half[1][x][o] = (a + b + c) / 2;
      half[2][x][o] = (a - b + c) / 2;
      half[3][x][o] = c;
    }
  for (int y = 0; y < 4; y++, to += 4 * step)
    for (int o = 0; o < WIDE; o++) {
      const double a = half[y][0][o], b = half[y][1][o], c = half[y][2][o];
      to[o] = (float)a;
      to[step + o] = (float)((a + b + c) / 2);
      to[2 * step + o] = (float)((a - b + c) / 2);
      to[3 * step + o] = (float)c;
    }
}

/* Output channels in blocks of 32, zeros after the last. */
static void pack_channels(void *context, int64_t begin, int64_t end)
{
  const struct packing *p = context;
  for (int64_t b = begin; b < end; b++)
    for (int64_t i = 0; i < p->ic; i++) {
      float g[9][WIDE] = {{0}};
      for (int64_t o = b * WIDE; o < p->oc && o < (b + 1) * WIDE; o++) {
        /* The way back: channels have changed places, the kernel is turned by half a circle. */
        const int64_t pair = p->adjoint ? i * p->oc + o : o * p->ic + i;
        const float factor = p->scale ? p->scale[p->adjoint ? i : o] : 1;
        float raw[9];
        memcpy(raw, p->raw + (size_t)pair * sizeof raw, sizeof raw);
        for (int k = 0; k < 9; k++)
          g[k][o % WIDE] = raw[p->adjoint ? 8 - k : k] * factor;
      }
      transform_kernels(g, p->to + (b * ELEMENTS * p->ic + i) * WIDE, p->ic * WIDE);
    }
}

void winograd_pack(const void *raw, const float *scale, int64_t ic, int64_t oc, bool adjoint, float *to)
{
  struct packing p = {raw, scale, adjoint ? oc : ic, adjoint ? ic : oc, adjoint, to};
  threads_for(parts_of(p.oc, WIDE), 1, pack_channels, &p);
}

/* ---- how the work is cut --------------------------------------------------------------------------------------- */

static int64_t tiles_of(const struct winograd *w)
{
  return w->n * parts_of(w->oh, 2) * parts_of(w->ow, 2);
}

/* Floats from one element of V to the next: a line more than there are channels, or all 16 would want the same lines
 * of the first cache. */
static int64_t v_plane(const struct winograd *w, int64_t tiles)
{
  return parts_of(w->ic, LANES) * LANES * tiles + LANES;
}

static int64_t m_plane(int64_t tiles)
{
  return tiles * WIDE + LANES;
}

static int64_t group_floats(const struct winograd *w)
{
  return ELEMENTS * v_plane(w, TALL);
}

/* Groups of tiles in a block. Weights that stay in a second cache of 2 MiB want little beside them; others stream
 * through it, once a block, and want large blocks. */
static int64_t block_groups(const struct winograd *w)
{
  const int64_t budget = winograd_weights_bytes(w->ic, w->oc) <= (size_t)1 << 20 ? 192 << 10 : 1 << 20;
  const int64_t groups = budget / ((group_floats(w) + ELEMENTS * m_plane(TALL)) * (int64_t)sizeof(float));
  return groups < 1 ? 1 : groups;
}

/* A pixel beside the map. */
static int64_t zeros_floats(const struct winograd *w)
{
  return parts_of(w->ic, LANES) * LANES;
}

static int64_t m_floats(const struct winograd *w)
{
  return ELEMENTS * m_plane(block_groups(w) * TALL);
}

static int64_t thread_floats(const struct winograd *w)
{
  return zeros_floats(w) + m_floats(w) + block_groups(w) * group_floats(w);
}

size_t winograd_scratch(const struct winograd *w, int threads)
{
  return (size_t)threads * (size_t)thread_floats(w) * sizeof(float);
}

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define AVX512        __attribute__((target("avx512f")))
#define AVX512_INLINE static inline __attribute__((always_inline, target("avx512f")))

bool winograd_here(void)
{
  return __builtin_cpu_supports("avx512f");
}

/* ---- products -------------------------------------------------------------------------------------------------- */

/* [rows, ic] x [ic, 32]; `rows` is a constant wherever this is put. */
AVX512_INLINE void multiply(const int rows, const float *v, const float *u, int64_t ic, float *m)
{
  __m512 sum[TALL][2];
  for (int r = 0; r < rows; r++)
    sum[r][0] = sum[r][1] = _mm512_setzero_ps();
  for (int64_t done = 0; done < ic; done += LANES, v += rows * LANES) {
    const int64_t count = ic - done < LANES ? ic - done : LANES;
    for (int64_t c = 0; c < count; c++, u += WIDE) {
      const __m512 left = _mm512_load_ps(u), right = _mm512_load_ps(u + LANES);
      _mm_prefetch((const char *)(u + AHEAD), _MM_HINT_T0);
      _mm_prefetch((const char *)(u + AHEAD + LANES), _MM_HINT_T0);
      for (int r = 0; r < rows; r++) {
        const __m512 x = _mm512_set1_ps(v[r * LANES + c]);
        sum[r][0] = _mm512_fmadd_ps(x, left, sum[r][0]);
        sum[r][1] = _mm512_fmadd_ps(x, right, sum[r][1]);
      }
    }
  }
  for (int r = 0; r < rows; r++) {
    _mm512_store_ps(m + r * WIDE, sum[r][0]);
    _mm512_store_ps(m + r * WIDE + LANES, sum[r][1]);
  }
}

typedef void multiply_fn(const float *v, const float *u, int64_t ic, float *m);

#define MULTIPLY(ROWS)                                                                                                 \
  AVX512 static void multiply_##ROWS(const float *v, const float *u, int64_t ic, float *m)                             \
  {                                                                                                                    \
    multiply(ROWS, v, u, ic, m);                                                                                       \
  }
MULTIPLY(1)
MULTIPLY(2)
MULTIPLY(3)
MULTIPLY(4)
MULTIPLY(5)
MULTIPLY(6)
MULTIPLY(7)
MULTIPLY(8)
MULTIPLY(9)
MULTIPLY(10)
MULTIPLY(11)
MULTIPLY(12)
MULTIPLY(13)
MULTIPLY(14)

static multiply_fn *const multiply_tiles[TALL + 1] = {
    NULL,       multiply_1, multiply_2,  multiply_3,  multiply_4,  multiply_5,  multiply_6,  multiply_7,
    multiply_8, multiply_9, multiply_10, multiply_11, multiply_12, multiply_13, multiply_14,
};

/* ---- transforms ------------------------------------------------------------------------------------------------ */

/* Where a tile lies: its sample and its first output. */
struct place {
  int64_t sample, y, x;
};

static struct place place_of(const struct winograd *w, int64_t tile)
{
  const int64_t across = parts_of(w->ow, 2), down = parts_of(w->oh, 2);
  return (struct place){tile / (across * down), tile / across % down * 2, tile % across * 2};
}

AVX512_INLINE __mmask16 lanes_of(int64_t channels)
{
  return channels >= LANES ? (__mmask16)0xffff : (__mmask16)((1u << channels) - 1);
}

/* B' d B for all channels of one tile: element f at to + f * plane, 16 channels at a time `step` floats apart. */
AVX512 static void transform_input(const struct winograd *w, const float *src, const float *zeros, int64_t tile,
                                   float *to, int64_t plane, int64_t step)
{
  const struct place p = place_of(w, tile);
  const float *from[4][4];
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) {
      const int64_t y = p.y - w->pt + i, x = p.x - w->pl + j;
      const bool there = y >= 0 && y < w->ih && x >= 0 && x < w->iw;
      from[i][j] = there ? src + ((p.sample * w->ih + y) * w->iw + x) * w->ic : zeros;
    }
  for (int64_t c = 0; c < w->ic; c += LANES, to += step) {
    const __mmask16 lanes = lanes_of(w->ic - c);
    __m512 half[4][4];
    for (int j = 0; j < 4; j++) {
      const __m512 d0 = _mm512_maskz_loadu_ps(lanes, from[0][j] + c), d1 = _mm512_maskz_loadu_ps(lanes, from[1][j] + c);
      const __m512 d2 = _mm512_maskz_loadu_ps(lanes, from[2][j] + c), d3 = _mm512_maskz_loadu_ps(lanes, from[3][j] + c);
      half[0][j] = _mm512_sub_ps(d0, d2);
      half[1][j] = _mm512_add_ps(d1, d2);
      half[2][j] = _mm512_sub_ps(d2, d1);
      half[3][j] = _mm512_sub_ps(d1, d3);
    }
    for (int i = 0; i < 4; i++) {
      float *row = to + 4 * i * plane;
      _mm512_store_ps(row, _mm512_sub_ps(half[i][0], half[i][2]));
      _mm512_store_ps(row + plane, _mm512_add_ps(half[i][1], half[i][2]));
      _mm512_store_ps(row + 2 * plane, _mm512_sub_ps(half[i][2], half[i][1]));
      _mm512_store_ps(row + 3 * plane, _mm512_sub_ps(half[i][1], half[i][3]));
    }
  }
}

AVX512_INLINE __m512 finish(const struct winograd *w, __m512 y)
{
  if (w->slope != 1)
    y = _mm512_mask_mul_ps(y, _mm512_cmp_ps_mask(y, _mm512_setzero_ps(), _CMP_LT_OQ), y, _mm512_set1_ps(w->slope));
  /* The second operand is the answer where one is not a number. */
  return _mm512_min_ps(_mm512_set1_ps(w->ceiling), _mm512_max_ps(_mm512_set1_ps(w->floor), y));
}

/* A' M A of one tile and 16 output channels, and what follows. m: elements `plane` floats apart. */
AVX512_INLINE void transform_output(const struct winograd *w, const float *m, int64_t plane, __m512 bias,
                                    __mmask16 lanes, const struct place *p, float *dst)
{
  __m512 half[2][4];
  for (int j = 0; j < 4; j++) {
    const __m512 m0 = _mm512_load_ps(m + (0 + j) * plane), m1 = _mm512_load_ps(m + (4 + j) * plane);
    const __m512 m2 = _mm512_load_ps(m + (8 + j) * plane), m3 = _mm512_load_ps(m + (12 + j) * plane);
    half[0][j] = _mm512_add_ps(_mm512_add_ps(m0, m1), m2);
    half[1][j] = _mm512_sub_ps(_mm512_sub_ps(m1, m2), m3);
  }
  for (int i = 0; i < 2 && p->y + i < w->oh; i++) {
    const __m512 *h = half[i];
    const __m512 y[2] = {_mm512_add_ps(_mm512_add_ps(h[0], h[1]), h[2]),
                         _mm512_sub_ps(_mm512_sub_ps(h[1], h[2]), h[3])};
    float *row = dst + i * w->ow * w->oc;
    for (int j = 0; j < 2 && p->x + j < w->ow; j++) {
      __m512 out = _mm512_add_ps(y[j], bias);
      if (w->sum)
        out = _mm512_add_ps(out, _mm512_maskz_loadu_ps(lanes, row + j * w->oc));
      _mm512_mask_storeu_ps(row + j * w->oc, lanes, finish(w, out));
    }
  }
}

/* ---- a thread's part ------------------------------------------------------------------------------------------- */

struct job {
  const struct winograd *w;
  const float *src, *packed, *bias;
  float *dst, *scratch;
  int64_t tile_parts, channel_parts;
};

/* A block: tiles first..first + count - 1, in groups of nearly equal size, since a product of few tiles is not worth
 * its loads. */
struct block {
  int64_t first, count, groups;
};

static int64_t group_begin(const struct block *b, int64_t g)
{
  return b->count * g / b->groups;
}

static void make_v(const struct job *j, const struct block *b, const float *zeros, float *v)
{
  const struct winograd *w = j->w;
  for (int64_t g = 0; g < b->groups; g++, v += group_floats(w)) {
    const int64_t from = group_begin(b, g), tiles = group_begin(b, g + 1) - from;
    for (int64_t t = 0; t < tiles; t++)
      transform_input(w, j->src, zeros, b->first + from + t, v + t * LANES, v_plane(w, tiles), tiles * LANES);
  }
}

static void make_m(const struct job *j, const struct block *b, int64_t channel, const float *v, float *m)
{
  const struct winograd *w = j->w;
  const float *u = j->packed + channel * ELEMENTS * w->ic;
  for (int f = 0; f < ELEMENTS; f++, u += w->ic * WIDE, m += m_plane(b->count))
    for (int64_t g = 0; g < b->groups; g++) {
      const int64_t from = group_begin(b, g), tiles = group_begin(b, g + 1) - from;
      multiply_tiles[tiles](v + g * group_floats(w) + f * v_plane(w, tiles), u, w->ic, m + from * WIDE);
    }
}

AVX512 static void write_tiles(const struct job *j, const struct block *b, int64_t channel, const float *m)
{
  const struct winograd *w = j->w;
  const int64_t left = w->oc - channel;
  const __mmask16 lanes[2] = {lanes_of(left), lanes_of(left > LANES ? left - LANES : 0)};
  __m512 bias[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for (int h = 0; h < 2 && j->bias; h++)
    bias[h] = _mm512_maskz_loadu_ps(lanes[h], j->bias + channel + h * LANES);
  for (int64_t t = 0; t < b->count; t++) {
    const struct place p = place_of(w, b->first + t);
    float *dst = j->dst + ((p.sample * w->oh + p.y) * w->ow + p.x) * w->oc + channel;
    for (int h = 0; h < 2; h++)
      if (lanes[h])
        transform_output(w, m + t * WIDE + h * LANES, m_plane(b->count), bias[h], lanes[h], &p, dst + h * LANES);
  }
}

static void run_part(const struct job *j, int64_t part)
{
  const struct winograd *w = j->w;
  const int64_t tiles = tiles_of(w), wide = parts_of(w->oc, WIDE);
  const int64_t tp = part % j->tile_parts, cp = part / j->tile_parts;
  const int64_t from = tiles * tp / j->tile_parts, count = tiles * (tp + 1) / j->tile_parts - from;
  const int64_t wide_from = wide * cp / j->channel_parts, wide_to = wide * (cp + 1) / j->channel_parts;
  float *zeros = j->scratch + part * thread_floats(w), *m = zeros + zeros_floats(w), *v = m + m_floats(w);
  memset(zeros, 0, (size_t)zeros_floats(w) * sizeof *zeros);
  const int64_t blocks = parts_of(count, block_groups(w) * TALL);
  for (int64_t i = 0; i < blocks; i++) {
    struct block b = {.first = from + count * i / blocks};
    b.count = from + count * (i + 1) / blocks - b.first;
    b.groups = parts_of(b.count, TALL);
    make_v(j, &b, zeros, v);
    for (int64_t k = wide_from; k < wide_to; k++) {
      make_m(j, &b, k * WIDE, v, m);
      write_tiles(j, &b, k * WIDE, m);
    }
  }
}

static void run_parts(void *context, int64_t begin, int64_t end)
{
  for (int64_t part = begin; part < end; part++)
    run_part(context, part);
}

void winograd_run(const struct winograd *w, const float *src, const float *packed, const float *bias, float *dst,
                  void *scratch, int threads)
{
  /* Every thread reads all of what is not cut: the smaller of U and V. */
  const int64_t wide = parts_of(w->oc, WIDE);
  int64_t channel_parts = w->oc <= tiles_of(w) ? 1 : wide < threads ? wide : threads;
  while (threads % channel_parts)
    channel_parts--;
  struct job j = {w, src, packed, bias, dst, scratch, threads / channel_parts, channel_parts};
  threads_for(threads, 1, run_parts, &j);
}

#else

bool winograd_here(void)
{
  return false;
}

void winograd_run(const struct winograd *w, const float *src, const float *packed, const float *bias, float *dst,
                  void *scratch, int threads)
{
  /* Nobody asks where winograd_here is false. */
  (void)w, (void)src, (void)packed, (void)bias, (void)dst, (void)scratch, (void)threads;
}

#endif
