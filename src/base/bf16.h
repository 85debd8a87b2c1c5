/* SPDX-License-Identifier: Apache-2.0 */
/* bfloat16: the upper half of a float32, rounded to nearest, ties to even. */
#ifndef PENUMBRA_BASE_BF16_H
#define PENUMBRA_BASE_BF16_H

#include <stdint.h>
#include <string.h>

static inline float bf16_to_float(uint16_t b)
{
  const uint32_t bits = (uint32_t)b << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* NaN stays NaN. */
static inline uint16_t bf16_from_float(float value)
{
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
  return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? (bits >> 16) | 0x40 : rounded >> 16);
}

#endif
