/* SPDX-License-Identifier: Apache-2.0 */
/* Counter-based random numbers (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 * A value is a function of (seed, purpose, sample, element) and of nothing else: no state, no order. */
#ifndef PENUMBRA_BASE_RNG_H
#define PENUMBRA_BASE_RNG_H

#include <stdint.h>

/* Why a number is drawn; keeps the streams of one seed apart. Append only: the values are part of what a seed means. */
enum rng_purpose {
  RNG_FILL = 1,
  RNG_MASK = 2,
  RNG_ORDER = 3,
  RNG_NOISE = 4,
  RNG_JITTER = 5,
  RNG_START = 6,
  RNG_PHANTOM = 7,
  RNG_TIES = 8,
  RNG_WEIGHTS = 9,
};

/* Philox4x32-10: 128 bits out of a 64-bit key and a 128-bit counter. */
void rng_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

/* 32 random bits of element `element` of sample `sample`. */
uint32_t rng_bits(uint64_t seed, enum rng_purpose purpose, uint32_t sample, uint64_t element);

/* Uniform in [0,1): the upper 24 bits times 2^-24. */
double rng_uniform(uint64_t seed, enum rng_purpose purpose, uint32_t sample, uint64_t element);

/* Standard normal by Box-Muller in double. */
double rng_normal(uint64_t seed, enum rng_purpose purpose, uint32_t sample, uint64_t element);

/* Uniform integer in [0,n), n >= 1, without modulo bias beyond 2^-32. */
uint32_t rng_below(uint64_t seed, enum rng_purpose purpose, uint32_t sample, uint64_t element, uint32_t n);

#endif
