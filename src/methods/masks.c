/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/masks.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

/* Numbers of one sample: words of independent bits from 0, picks of a subset from PICKS; an attempt's from its own. */
#define PICKS   ((uint64_t)1 << 24)
#define ATTEMPT ((uint64_t)1 << 25)
/* Of a block of balanced masks: the order of its rows, its features' columns, and which are complemented. */
#define ROWS    ((uint64_t)1 << 26)
#define COLUMNS ((uint64_t)1 << 27)
#define SIGNS   UINT32_MAX /* attempt; others are few */

int64_t mask_words(int64_t features)
{
  return (features + 63) / 64;
}

bool mask_has(const uint64_t *mask, int64_t feature)
{
  return mask[feature / 64] >> (feature % 64) & 1;
}

void mask_set(uint64_t *mask, int64_t feature)
{
  mask[feature / 64] |= (uint64_t)1 << (feature % 64);
}

int64_t mask_count(const uint64_t *mask, int64_t features)
{
  int64_t count = 0;
  for (int64_t w = 0; w < mask_words(features); w++)
    count += __builtin_popcountll(mask[w]);
  return count;
}

/* Bits past the last feature are 0 in every mask. */
static void trim(uint64_t *mask, int64_t features)
{
  if (features % 64)
    mask[features / 64] &= ((uint64_t)1 << (features % 64)) - 1;
}

void mask_complement(const uint64_t *mask, int64_t features, uint64_t *complement)
{
  for (int64_t w = 0; w < mask_words(features); w++)
    complement[w] = ~mask[w];
  trim(complement, features);
}

void mask_draw(uint64_t seed, uint32_t sample, uint32_t attempt, int64_t features, uint64_t *mask)
{
  const uint64_t base = attempt * ATTEMPT;
  for (int64_t w = 0; w < mask_words(features); w++)
    mask[w] = rng_bits(seed, RNG_MASK, sample, base + 2 * (uint64_t)w) |
              (uint64_t)rng_bits(seed, RNG_MASK, sample, base + 2 * (uint64_t)w + 1) << 32;
  trim(mask, features);
}

void mask_draw_subset(uint64_t seed, uint32_t sample, uint32_t attempt, int64_t features, int64_t size, uint64_t *mask,
                      int32_t *order)
{
  const uint64_t base = attempt * ATTEMPT + PICKS;
  const int64_t picks = size <= features - size ? size : features - size; /* the smaller side is picked */
  memset(mask, 0, (size_t)mask_words(features) * sizeof *mask);
  for (int64_t i = 0; i < features; i++)
    order[i] = (int32_t)i;
  for (int64_t i = 0; i < picks; i++) { /* Fisher and Yates' shuffle, as far as it is wanted */
    const int64_t at = i + rng_below(seed, RNG_MASK, sample, base + (uint64_t)i, (uint32_t)(features - i));
    const int32_t picked = order[at];
    order[at] = order[i];
    order[i] = picked;
    mask_set(mask, picked);
  }
  if (picks < size)
    mask_complement(mask, features, mask);
}

int mask_balanced_order(int64_t features)
{
  int order = 2;
  while ((int64_t)1 << order <= features)
    order++;
  return order;
}

/* The first `wanted` of a random order of 0..count-1, by numbers of `block` from `base` on. */
static void deal(uint64_t seed, uint32_t block, uint64_t base, int64_t count, int64_t wanted, int32_t *order)
{
  for (int64_t i = 0; i < count; i++)
    order[i] = (int32_t)i;
  for (int64_t i = 0; i < wanted; i++) {
    const int64_t at = i + rng_below(seed, RNG_ORDER, block, base + (uint64_t)i, (uint32_t)(count - i));
    const int32_t dealt = order[at];
    order[at] = order[i];
    order[i] = dealt;
  }
}

void mask_draw_balanced(uint64_t seed, uint32_t row, int64_t features, uint64_t *mask, int32_t *order)
{
  const int64_t count = (int64_t)1 << mask_balanced_order(features);
  const uint32_t block = (uint32_t)(row / count), place = (uint32_t)(row % count);
  deal(seed, block, ROWS, count, place + 1, order);
  const uint32_t chosen = (uint32_t)order[place];
  deal(seed, block, COLUMNS, count - 1, features, order);
  mask_draw(seed, block, SIGNS, features, mask);
  for (int64_t s = 0; s < features; s++)
    mask[s / 64] ^= (uint64_t)__builtin_parity(chosen & (uint32_t)(order[s] + 1)) << (s % 64);
}

double log_binomial(int64_t n, int64_t k)
{
  return lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1);
}
