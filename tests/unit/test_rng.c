/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>

/* Known answers published with the generator (Random123, kat_vectors, philox4x32 with 10 rounds). */
static void known_answers(void **state)
{
  (void)state;
  static const struct {
    uint32_t counter[4], key[2], out[4];
  } vectors[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
    uint32_t out[4];
    rng_philox(vectors[i].key, vectors[i].counter, out);
    assert_memory_equal(out, vectors[i].out, sizeof out);
  }
}

/* What a seed means may never change: the counter is (purpose, sample, element low, element high). */
static void seeds_keep_their_meaning(void **state)
{
  (void)state;
  const uint32_t key[2] = {0x89abcdef, 0x01234567}, counter[4] = {RNG_MASK, 5, 0x55667788, 0x11223344};
  uint32_t out[4];
  rng_philox(key, counter, out);
  assert_int_equal(rng_bits(0x0123456789abcdef, RNG_MASK, 5, 0x1122334455667788), out[0]);
  double u = rng_uniform(0x0123456789abcdef, RNG_MASK, 5, 0x1122334455667788);
  assert_true(u == (double)(out[0] >> 8) / 16777216.0);
  assert_int_equal(RNG_FILL, 1);
  assert_int_equal(RNG_MASK, 2);
  assert_int_equal(RNG_ORDER, 3);
  assert_int_equal(RNG_NOISE, 4);
  assert_int_equal(RNG_JITTER, 5);
  assert_int_equal(RNG_START, 6);
  assert_int_equal(RNG_PHANTOM, 7);
  assert_int_equal(RNG_TIES, 8);
  assert_int_equal(RNG_WEIGHTS, 9);
}

static void streams_differ(void **state)
{
  (void)state;
  uint32_t base = rng_bits(1, RNG_FILL, 0, 0);
  assert_int_not_equal(base, rng_bits(2, RNG_FILL, 0, 0));
  assert_int_not_equal(base, rng_bits(1, RNG_NOISE, 0, 0));
  assert_int_not_equal(base, rng_bits(1, RNG_FILL, 1, 0));
  assert_int_not_equal(base, rng_bits(1, RNG_FILL, 0, 1));
  assert_int_not_equal(base, rng_bits((uint64_t)1 << 32 | 1, RNG_FILL, 0, 0));
  assert_int_not_equal(base, rng_bits(1, RNG_FILL, 0, (uint64_t)1 << 32));
}

enum { DRAWS = 200000 };

static void uniform_is_uniform(void **state)
{
  (void)state;
  double sum = 0, squares = 0;
  int bins[16] = {0};
  for (uint64_t i = 0; i < DRAWS; i++) {
    double u = rng_uniform(7, RNG_NOISE, 0, i);
    assert_true(u >= 0 && u < 1);
    sum += u;
    squares += u * u;
    bins[(int)(u * 16)]++;
  }
  double mean = sum / DRAWS, variance = squares / DRAWS - mean * mean;
  assert_true(fabs(mean - 0.5) < 5 * sqrt(1.0 / 12 / DRAWS));
  assert_true(fabs(variance - 1.0 / 12) < 0.001);
  double chi2 = 0;
  for (int b = 0; b < 16; b++)
    chi2 += (bins[b] - DRAWS / 16.0) * (bins[b] - DRAWS / 16.0) / (DRAWS / 16.0);
  assert_true(chi2 < 44.3); /* 15 degrees of freedom, p = 1e-4 */
}

static void normal_is_normal(void **state)
{
  (void)state;
  double sum = 0, squares = 0, cubes = 0, fourths = 0;
  for (uint64_t i = 0; i < DRAWS; i++) {
    double z = rng_normal(7, RNG_NOISE, 1, i);
    assert_true(isfinite(z));
    sum += z;
    squares += z * z;
    cubes += z * z * z;
    fourths += z * z * z * z;
  }
  double n = DRAWS;
  assert_true(fabs(sum / n) < 5 / sqrt(n));
  assert_true(fabs(squares / n - 1) < 5 * sqrt(2 / n));
  assert_true(fabs(cubes / n) < 5 * sqrt(15 / n));
  assert_true(fabs(fourths / n - 3) < 5 * sqrt(96 / n));
}

static void below_stays_below(void **state)
{
  (void)state;
  int seen[7] = {0};
  for (uint64_t i = 0; i < 70000; i++) {
    uint32_t k = rng_below(3, RNG_ORDER, 0, i, 7);
    assert_true(k < 7);
    seen[k]++;
    assert_int_equal(rng_below(3, RNG_ORDER, 0, i, 1), 0);
    assert_true(rng_below(3, RNG_ORDER, 0, i, UINT32_MAX) < UINT32_MAX);
  }
  for (int k = 0; k < 7; k++)
    assert_true(abs(seen[k] - 10000) < 500);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(known_answers),    cmocka_unit_test(seeds_keep_their_meaning),
      cmocka_unit_test(streams_differ),   cmocka_unit_test(uniform_is_uniform),
      cmocka_unit_test(normal_is_normal), cmocka_unit_test(below_stays_below),
  };
  return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
