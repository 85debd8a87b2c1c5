/* SPDX-License-Identifier: Apache-2.0 */
#include "base/threads.h"
#include "unit.h"

#include <float.h>
#include <string.h>

enum { MOST = 1000 };

static void mark(void *context, int64_t begin, int64_t end)
{
  unsigned char *hits = context;
  for (int64_t i = begin; i < end; i++)
    hits[i]++;
}

static void every_item_once(void **state)
{
  (void)state;
  static const int64_t counts[] = {0, 1, 2, 3, 7, 64, 999, MOST}, grains[] = {-1, 0, 1, 5, 64, 5000};
  for (int threads = 1; threads <= 5; threads++) {
    threads_use(threads);
    assert_int_equal(threads_used(), threads);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
      for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
        unsigned char hits[MOST + 1] = {0};
        threads_for(counts[c], grains[g], mark, hits);
        for (int64_t i = 0; i <= MOST; i++)
          assert_int_equal(hits[i], i < counts[c]);
      }
  }
  unsigned char none[1] = {0};
  threads_for(-5, 1, mark, none);
  assert_int_equal(none[0], 0);
}

static void count_parts(void *context, int64_t begin, int64_t end)
{
  (void)begin;
  (void)end;
  __atomic_add_fetch((int *)context, 1, __ATOMIC_RELAXED);
}

static void parts_are_no_smaller_than_the_grain(void **state)
{
  (void)state;
  threads_use(4);
  int parts = 0;
  threads_for(100, 1, count_parts, &parts);
  assert_int_equal(parts, 4);
  parts = 0;
  threads_for(100, 50, count_parts, &parts);
  assert_int_equal(parts, 2);
  parts = 0;
  threads_for(100, 100, count_parts, &parts);
  assert_int_equal(parts, 1);
}

static void default_is_what_is_there(void **state)
{
  (void)state;
  assert_true(threads_available() >= 1);
  threads_use(0);
  assert_int_equal(threads_used(), threads_available());
}

struct halving {
  const volatile float *small;
  float half[8];
};

static void halve(void *context, int64_t begin, int64_t end)
{
  struct halving *h = context;
  for (int64_t i = begin; i < end; i++)
    h->half[i] = *h->small * 0.5f;
}

static void halves_are(float expected, const volatile float *small)
{
  struct halving h = {.small = small};
  threads_for(8, 1, halve, &h);
  for (int i = 0; i < 8; i++)
    assert_true(h.half[i] == expected);
}

/* Numbers below the normal ones: zeros in between, in every thread, and themselves again afterwards. */
static void flushes_what_is_too_small(void **state)
{
  (void)state;
#if defined(__SSE2__)
  const volatile float small = FLT_MIN;
  for (int threads = 1; threads <= 4; threads++) {
    threads_use(threads);
    halves_are(FLT_MIN / 2, &small);
    const unsigned outer = threads_flush(), inner = threads_flush();
    halves_are(0, &small);
    threads_unflush(inner);
    halves_are(0, &small);
    threads_unflush(outer);
    halves_are(FLT_MIN / 2, &small);
  }
#else
  skip();
#endif
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_item_once),
      cmocka_unit_test(flushes_what_is_too_small),
      cmocka_unit_test(parts_are_no_smaller_than_the_grain),
      cmocka_unit_test(default_is_what_is_there),
  };
  return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
