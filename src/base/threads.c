/* SPDX-License-Identifier: Apache-2.0 */
#include "base/threads.h"

#include <omp.h>
#include <sched.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

int threads_available(void)
{
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0)
    return 1;
  int n = CPU_COUNT(&set);
  return n < 1 ? 1 : n;
}

void threads_use(int n)
{
  omp_set_dynamic(0);
  omp_set_num_threads(n < 1 ? threads_available() : n);
}

int threads_used(void)
{
  return omp_get_max_threads();
}

void threads_for(int64_t n, int64_t grain, void (*body)(void *context, int64_t begin, int64_t end), void *context)
{
  if (n <= 0)
    return;
  if (grain < 1)
    grain = 1;
  int64_t parts = (n + grain - 1) / grain;
  int64_t team = threads_used();
  if (parts > team)
    parts = team;
  if (parts <= 1) {
    body(context, 0, n);
    return;
  }
#pragma omp parallel for schedule(static, 1) num_threads((int)parts)
  for (int64_t p = 0; p < parts; p++)
    body(context, n * p / parts, n * (p + 1) / parts);
}

#if defined(__SSE2__)

enum { FLUSH_RESULTS = 0x8000, FLUSH_INPUTS = 0x40, FLUSH = FLUSH_RESULTS | FLUSH_INPUTS }; /* of MXCSR */

/* A worker's state is its own: every one of them has to be told. */
static void tell_team(unsigned state)
{
  if (threads_used() == 1) {
    _mm_setcsr(state);
    return;
  }
#pragma omp parallel
  _mm_setcsr(state);
}

unsigned threads_flush(void)
{
  const unsigned state = _mm_getcsr();
  if ((state & FLUSH) != FLUSH)
    tell_team(state | FLUSH);
  return state;
}

void threads_unflush(unsigned state)
{
  if ((state & FLUSH) != FLUSH)
    tell_team(state);
}

#else

unsigned threads_flush(void)
{
  return 0;
}

void threads_unflush(unsigned state)
{
  (void)state;
}

#endif
