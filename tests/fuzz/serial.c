/* SPDX-License-Identifier: Apache-2.0 */
/* threads.h with one thread, for fuzzers, whose compiler may lack OpenMP. */
#include "base/threads.h"

int threads_available(void)
{
  return 1;
}

void threads_use(int n)
{
  (void)n;
}

int threads_used(void)
{
  return 1;
}

void threads_for(int64_t n, int64_t grain, void (*body)(void *context, int64_t begin, int64_t end), void *context)
{
  (void)grain;
  if (n > 0)
    body(context, 0, n);
}
