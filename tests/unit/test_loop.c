/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/rng.h"
#include "base/threads.h"
#include "ops/loop.h"
#include "unit.h"

#include <string.h>

/* Neighbouring dimensions that all operands walk evenly become one. */
static void merges(void **state)
{
  (void)state;
  struct loop loop;
  loop_begin(&loop, 2);
  loop_push(&loop, 4, (const int64_t[]){60, 60});
  loop_push(&loop, 1, (const int64_t[]){7, 9});
  loop_push(&loop, 3, (const int64_t[]){20, 20});
  loop_push(&loop, 20, (const int64_t[]){1, 1});
  assert_int_equal(loop.rank, 1);
  assert_int_equal(loop.dim[0], 240);
  assert_int_equal(loop.stride[1][0], 1);

  loop_begin(&loop, 2); /* the second operand is repeated along the first dimension */
  loop_push(&loop, 4, (const int64_t[]){60, 0});
  loop_push(&loop, 3, (const int64_t[]){20, 20});
  loop_push(&loop, 20, (const int64_t[]){1, 1});
  assert_int_equal(loop.rank, 2);
  assert_int_equal(loop.dim[1], 60);
  assert_int_equal(loop_count(&loop), 240);

  loop_begin(&loop, 2);
  loop_push(&loop, 1, (const int64_t[]){1, 1});
  assert_int_equal(loop_count(&loop), 1);
  loop_push(&loop, 0, (const int64_t[]){1, 1});
  assert_int_equal(loop_count(&loop), 0);
}

/* A random permutation of a random shape, cut out of a larger tensor, against single elements. */
static void copy_case(uint64_t seed, size_t size)
{
  enum { RANK = 5 };
  int64_t dim[RANK], whole[RANK], from[RANK], to[RANK], count = 1, all = 1;
  int order[RANK] = {0, 1, 2, 3, 4};
  for (int d = 0; d < RANK; d++) {
    dim[d] = 1 + rng_below(seed, RNG_ORDER, 0, (uint64_t)d, d > 2 ? 40 : 5);
    whole[d] = dim[d] + rng_below(seed, RNG_ORDER, 1, (uint64_t)d, 3);
    count *= dim[d];
    all *= whole[d];
    const int other = (int)rng_below(seed, RNG_ORDER, 2, (uint64_t)d, RANK), kept = order[d];
    order[d] = order[other];
    order[other] = kept;
  }
  int64_t step = 1;
  for (int d = RANK - 1; d >= 0; d--) {
    from[d] = step;
    step *= whole[d];
  }
  step = 1;
  for (int k = RANK - 1; k >= 0; k--) {
    to[order[k]] = step;
    step *= dim[order[k]];
  }
  unsigned char *source = mem_zero((size_t)all, size), *result = mem_zero((size_t)count, size);
  assert_true(source && result);
  for (int64_t i = 0; i < all * (int64_t)size; i++)
    source[i] = (unsigned char)rng_bits(seed, RNG_NOISE, 0, (uint64_t)i);
  struct loop loop;
  loop_begin(&loop, 2);
  for (int k = 0; k < RANK; k++)
    loop_push(&loop, dim[order[k]], (const int64_t[]){to[order[k]], from[order[k]]});
  for (int threads = 1; threads <= 3; threads++) {
    memset(result, 0, (size_t)count * size);
    threads_use(threads);
    loop_copy(&loop, size, result, source);
    for (int64_t i = 0; i < count; i++) {
      int64_t rest = i, a = 0, b = 0;
      for (int d = RANK - 1; d >= 0; d--) {
        a += rest % dim[d] * to[d];
        b += rest % dim[d] * from[d];
        rest /= dim[d];
      }
      assert_memory_equal(result + a * (int64_t)size, source + b * (int64_t)size, size);
    }
  }
  threads_use(0);
  mem_free(source);
  mem_free(result);
}

static void copies(void **state)
{
  (void)state;
  for (uint64_t seed = 0; seed < 60; seed++)
    copy_case(seed, seed % 2 ? 4 : 8);
}

/* Reversed, repeated and spread out. */
static void strides(void **state)
{
  (void)state;
  const float source[] = {1, 2, 3, 4, 5, 6};
  float result[6] = {0};
  struct loop loop;
  loop_begin(&loop, 2);
  loop_push(&loop, 2, (const int64_t[]){3, 3});
  loop_push(&loop, 3, (const int64_t[]){1, -1});
  loop_copy(&loop, sizeof *result, result, source + 2);
  assert_memory_equal(result, ((float[]){3, 2, 1, 6, 5, 4}), sizeof result);
  loop_begin(&loop, 2);
  loop_push(&loop, 2, (const int64_t[]){1, 0});
  loop_push(&loop, 3, (const int64_t[]){2, 1});
  loop_copy(&loop, sizeof *result, result, source);
  assert_memory_equal(result, ((float[]){1, 1, 2, 2, 3, 3}), sizeof result);
  loop_fill(result, 6, sizeof *result, &source[4]);
  assert_memory_equal(result, ((float[]){5, 5, 5, 5, 5, 5}), sizeof result);
}

/* Rows may be cut anywhere: every element is met once, with the right operands. */
static void row_sum(const void *context, int64_t n, char *const *p, const int64_t *stride)
{
  (void)context;
  for (int64_t i = 0; i < n; i++)
    ((float *)(void *)p[0])[i * stride[0]] +=
        ((const float *)(const void *)p[1])[i * stride[1]] + 100 * ((const float *)(const void *)p[2])[i * stride[2]];
}

static void rows(void **state)
{
  (void)state;
  enum { A = 7, B = 5, C = 11 };
  static float out[A * B * C], left[A * B * C], right[B];
  for (int i = 0; i < A * B * C; i++)
    left[i] = (float)i;
  for (int i = 0; i < B; i++)
    right[i] = (float)(i + 1);
  for (int threads = 1; threads <= 5; threads++) {
    struct loop loop;
    memset(out, 0, sizeof out);
    loop_begin(&loop, 3);
    loop_push(&loop, A, (const int64_t[]){B * C, B * C, 0});
    loop_push(&loop, B, (const int64_t[]){C, C, 1});
    loop_push(&loop, C, (const int64_t[]){1, 1, 0});
    threads_use(threads);
    loop_run(&loop, (const size_t[]){4, 4, 4}, (void *const[]){out, left, right}, 1, row_sum, NULL);
    for (int i = 0; i < A * B * C; i++)
      assert_true(out[i] == (float)i + 100 * (float)(i / C % B + 1));
  }
  threads_use(0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(merges),
      cmocka_unit_test(copies),
      cmocka_unit_test(strides),
      cmocka_unit_test(rows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
