/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of superpixels as bits: superpixel s is bit s % 64 of word s / 64. */
#ifndef PENUMBRA_METHODS_MASKS_H
#define PENUMBRA_METHODS_MASKS_H

#include <stdbool.h>
#include <stdint.h>

int64_t mask_words(int64_t features);
bool mask_has(const uint64_t *mask, int64_t feature);
void mask_set(uint64_t *mask, int64_t feature);
int64_t mask_count(const uint64_t *mask, int64_t features);
/* complement := features that are not in mask */
void mask_complement(const uint64_t *mask, int64_t features, uint64_t *complement);

/* Random masks; the same arguments give the same mask. `attempt` tells draws for one sample apart. */
/* Every feature with probability 1/2. */
void mask_draw(uint64_t seed, uint32_t sample, uint32_t attempt, int64_t features, uint64_t *mask);
/* `size` features, every subset equally likely; order [features] is scratch. */
void mask_draw_subset(uint64_t seed, uint32_t sample, uint32_t attempt, int64_t features, int64_t size, uint64_t *mask,
                      int32_t *order);
/* The logarithm of the number of subsets. */
double log_binomial(int64_t n, int64_t k);

#endif
