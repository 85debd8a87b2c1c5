/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/silu.h"

#include "base/threads.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define AVX512_INLINE static inline __attribute__((always_inline, target("avx512f")))

enum { LANES = 16, GROUP = 4 * LANES, GRAIN = 8192 / GROUP };

/* 2^f for |f| <= 1/2 as a polynomial, times the power of two of what is left, is e^-x; of the quotient an estimate of
 * 14 bits takes one step of Newton's. */
AVX512_INLINE __m512 silu(__m512 x)
{
  /* Of min and max the second operand is the answer where one is not a number. */
  const __m512 in = _mm512_min_ps(_mm512_set1_ps(87), _mm512_max_ps(_mm512_set1_ps(-87), x));
  const __m512 t = _mm512_mul_ps(in, _mm512_set1_ps(-1.44269504f));
  const __m512 n = _mm512_roundscale_ps(t, 0);
  const __m512 f = _mm512_sub_ps(t, n);
  __m512 p = _mm512_set1_ps(1.535336188319500e-4f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.339887440266574e-3f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.618437357674640e-3f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.550332471162809e-2f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.402264791363012e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.931472028550421e-1f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1));
  const __m512 d = _mm512_add_ps(_mm512_scalef_ps(p, n), _mm512_set1_ps(1));
  const __m512 guess = _mm512_rcp14_ps(d);
  return _mm512_mul_ps(_mm512_mul_ps(x, guess), _mm512_fnmadd_ps(d, guess, _mm512_set1_ps(2)));
}

struct job {
  int64_t count;
  const float *src;
  float *dst;
};

/* Items are groups of elements, so that parts begin where vectors do. */
__attribute__((target("avx512f"))) static void part(void *context, int64_t begin, int64_t end)
{
  const struct job *j = context;
  const int64_t until = end * GROUP < j->count ? end * GROUP : j->count;
  int64_t i = begin * GROUP;
  for (; i + GROUP <= until; i += GROUP)
    for (int k = 0; k < GROUP; k += LANES)
      _mm512_storeu_ps(j->dst + i + k, silu(_mm512_loadu_ps(j->src + i + k)));
  for (; i < until; i += LANES) {
    const __mmask16 lanes = until - i >= LANES ? (__mmask16)0xffff : (__mmask16)((1u << (until - i)) - 1);
    _mm512_mask_storeu_ps(j->dst + i, lanes, silu(_mm512_maskz_loadu_ps(lanes, j->src + i)));
  }
}

bool silu_here(void)
{
  return __builtin_cpu_supports("avx512f");
}

void silu_run(int64_t count, const float *src, float *dst)
{
  struct job job = {count, src, dst};
  threads_for((count + GROUP - 1) / GROUP, GRAIN, part, &job);
}

#else

bool silu_here(void)
{
  return false;
}

void silu_run(int64_t count, const float *src, float *dst)
{
  (void)count, (void)src, (void)dst; /* nobody asks where silu_here is false */
}

#endif
