/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"

#include <math.h>

void rng_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
  uint32_t k0 = key[0], k1 = key[1];
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c0;
    uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
    c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)p1;
    c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/* The four words of the block that holds `block`; counter = (purpose, sample, block low, block high). */
static void draw(uint64_t seed, enum rng_purpose purpose, uint32_t sample, uint64_t block, uint32_t out[4])
{
  const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  const uint32_t counter[4] = {(uint32_t)purpose, sample, (uint32_t)block, (uint32_t)(block >> 32)};
  rng_philox(key, counter, out);
}

uint32_t rng_bits(uint64_t seed, enum rng_purpose purpose, uint32_t sample, uint64_t element)
{
  uint32_t out[4];
  draw(seed, purpose, sample, element, out);
  return out[0];
}

double rng_uniform(uint64_t seed, enum rng_purpose purpose, uint32_t sample, uint64_t element)
{
  return (double)(rng_bits(seed, purpose, sample, element) >> 8) * 0x1p-24;
}

double rng_normal(uint64_t seed, enum rng_purpose purpose, uint32_t sample, uint64_t element)
{
  static const double two_pi = 6.283185307179586476925286766559;
  uint32_t out[4];
  draw(seed, purpose, sample, element, out);
  double u = ((double)(out[0] >> 8) + 0.5) * 0x1p-24; /* never 0 */
  double v = (double)(out[1] >> 8) * 0x1p-24;
  return sqrt(-2.0 * log(u)) * cos(two_pi * v);
}

uint32_t rng_below(uint64_t seed, enum rng_purpose purpose, uint32_t sample, uint64_t element, uint32_t n)
{
  return (uint32_t)(((uint64_t)rng_bits(seed, purpose, sample, element) * n) >> 32);
}
