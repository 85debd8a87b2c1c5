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
/* Every feature in exactly half of a block of 2^order samples, and any two of them in exactly a quarter: rows of
 * Sylvester's Hadamard matrix (the parity of the bits that row and column share), whose columns but the first are dealt
 * to features at random and complemented at random. Sample `row` is one of block row / 2^order, whose rows come in
 * random order; 2^order > features. A mask alone is distributed as by mask_draw. order: scratch of 2^order. */
int mask_balanced_order(int64_t features);
void mask_draw_balanced(uint64_t seed, uint32_t row, int64_t features, uint64_t *mask, int32_t *order);
/* The logarithm of the number of subsets. */
double log_binomial(int64_t n, int64_t k);

#endif
