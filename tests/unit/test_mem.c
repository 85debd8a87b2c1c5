/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "unit.h"

#include <string.h>

static void allocates_and_zeroes(void **state)
{
  (void)state;
  unsigned char *p = mem_zero(100, 3);
  assert_non_null(p);
  for (int i = 0; i < 300; i++)
    assert_int_equal(p[i], 0);
  p = mem_grow(p, 5000);
  assert_non_null(p);
  memset(p, 1, 5000);
  mem_free(p);
  mem_free(NULL);
  void *empty = mem_alloc(0); /* nothing is something: NULL always means failure */
  assert_non_null(empty);
  mem_free(empty);
  empty = mem_zero(0, 8);
  assert_non_null(empty);
  mem_free(empty);
  char *copy = mem_strdup("penumbra");
  assert_string_equal(copy, "penumbra");
  mem_free(copy);
}

static void sizes_are_checked(void **state)
{
  (void)state;
  size_t out = 7;
  assert_true(size_mul(6, 7, &out));
  assert_int_equal(out, 42);
  assert_true(size_add(6, 7, &out));
  assert_int_equal(out, 13);
  assert_false(size_mul(SIZE_MAX / 2, 3, &out));
  assert_false(size_add(SIZE_MAX, 1, &out));
  assert_true(size_mul(SIZE_MAX, 1, &out));
  assert_true(size_add(SIZE_MAX, 0, &out));
  volatile size_t huge = SIZE_MAX / 2; /* hidden from the compiler, which would warn */
  assert_null(mem_zero(huge, 3));
  assert_null(mem_alloc(huge));
  struct arena *arena = arena_new(0);
  assert_null(arena_array(arena, SIZE_MAX / 2, 3));
  assert_null(arena_alloc(arena, SIZE_MAX));
  assert_null(arena_alloc(arena, SIZE_MAX - 20));
  assert_null(arena_strndup(arena, "", SIZE_MAX));
  arena_free(arena);
}

static void nth_allocation_fails(void **state)
{
  (void)state;
  mem_fail_after(3);
  void *a = mem_alloc(8), *b = mem_zero(1, 8);
  assert_non_null(a);
  assert_non_null(b);
  assert_null(mem_alloc(8));
  assert_null(mem_zero(1, 8));
  assert_null(mem_grow(a, 16)); /* `a` stays valid */
  assert_null(mem_strdup("x"));
  assert_null(mem_map(4096));
  assert_null(arena_new(0));
  mem_fail_after(0);
  mem_free(a);
  mem_free(b);
  a = mem_alloc(8);
  assert_non_null(a);
  mem_free(a);
}

static void maps_are_aligned_and_zero(void **state)
{
  (void)state;
  size_t bytes = ((size_t)4 << 20) + 12345;
  unsigned char *p = mem_map(bytes);
  assert_non_null(p);
  assert_int_equal((uintptr_t)p % MEM_ALIGN, 0);
  for (size_t i = 0; i < bytes; i += 4096)
    assert_int_equal(p[i], 0);
  p[bytes - 1] = 1;
  mem_unmap(p, bytes);
  mem_unmap(NULL, 0);
  assert_null(mem_map(0));
}

static void arena_gives_aligned_zeroed_separate_memory(void **state)
{
  (void)state;
  enum { COUNT = 500 };
  struct arena *arena = arena_new(0);
  assert_non_null(arena);
  unsigned char *p[COUNT];
  size_t size[COUNT];
  for (size_t i = 0; i < COUNT; i++) { /* small and large ones, so that blocks are shared and not */
    size[i] = (i * 7919) % (i % 50 == 0 ? 100000 : 300);
    p[i] = arena_alloc(arena, size[i]);
    assert_non_null(p[i]);
    assert_int_equal((uintptr_t)p[i] % 16, 0);
    for (size_t k = 0; k < size[i]; k++)
      assert_int_equal(p[i][k], 0);
    memset(p[i], (int)(i & 255), size[i]);
  }
  for (size_t i = 0; i < COUNT; i++)
    for (size_t k = 0; k < size[i]; k++)
      assert_int_equal(p[i][k], i & 255);
  assert_true(arena_bytes(arena) > 0);
  arena_free(arena);
  arena_free(NULL);
}

static void arena_copies_texts(void **state)
{
  (void)state;
  struct arena *arena = arena_new(0);
  assert_string_equal(arena_strdup(arena, "lung"), "lung");
  assert_string_equal(arena_strndup(arena, "lungs", 4), "lung");
  assert_string_equal(arena_printf(arena, "%s-%d", "lobe", 3), "lobe-3");
  arena_free(arena);
}

static void arena_keeps_its_limit(void **state)
{
  (void)state;
  enum { LIMIT = 1 << 20 };
  struct arena *arena = arena_new(LIMIT);
  assert_null(arena_alloc(arena, LIMIT + 1));
  assert_null(arena_alloc(arena, LIMIT)); /* the block's own header counts */
  size_t given = 0;
  while (arena_alloc(arena, 1000)) {
    given += 1000;
    assert_true(given <= LIMIT);
  }
  assert_true(given > LIMIT / 2);
  assert_true(arena_bytes(arena) <= LIMIT);
  arena_free(arena);
}

static void arena_survives_failure(void **state)
{
  (void)state;
  struct arena *arena = arena_new(0);
  assert_non_null(arena_alloc(arena, 10));
  mem_fail_after(1);
  assert_null(arena_alloc(arena, 1 << 20));
  mem_fail_after(0);
  assert_non_null(arena_alloc(arena, 1 << 20));
  arena_free(arena);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(allocates_and_zeroes),
      cmocka_unit_test(sizes_are_checked),
      cmocka_unit_test(nth_allocation_fails),
      cmocka_unit_test(maps_are_aligned_and_zero),
      cmocka_unit_test(arena_gives_aligned_zeroed_separate_memory),
      cmocka_unit_test(arena_copies_texts),
      cmocka_unit_test(arena_keeps_its_limit),
      cmocka_unit_test(arena_survives_failure),
  };
  return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
