/* SPDX-License-Identifier: Apache-2.0 */
#include "phantom/texture.h"

#include "phantom/exact.h"

void texture_draw(struct texture *t, uint64_t seed, uint32_t element, uint32_t layer, double spacing)
{
  for (int i = 0; i < TEXTURE_SIDE * TEXTURE_SIDE; i++) {
    uint64_t number = ((uint64_t)(layer + 1) << 32) + (uint64_t)i;
    t->value[i] = (float)(2.0 * rng_uniform(seed, RNG_PHANTOM, element, number) - 1.0);
  }
  t->spacing = spacing;
}

double texture_at(const struct texture *t, double x, double y)
{
  double u = x / t->spacing + 4096.5, v = y / t->spacing + 4096.5;
  int64_t i = (int64_t)u, j = (int64_t)v;
  double a = u - (double)i, b = v - (double)j;
  a = a * a * (3.0 - 2.0 * a);
  b = b * b * (3.0 - 2.0 * b);
  const float *row0 = t->value + (j & (TEXTURE_SIDE - 1)) * TEXTURE_SIDE;
  const float *row1 = t->value + ((j + 1) & (TEXTURE_SIDE - 1)) * TEXTURE_SIDE;
  int64_t i0 = i & (TEXTURE_SIDE - 1), i1 = (i + 1) & (TEXTURE_SIDE - 1);
  double top = row0[i0] + (row0[i1] - row0[i0]) * a;
  double bottom = row1[i0] + (row1[i1] - row1[i0]) * a;
  return top + (bottom - top) * b;
}
