/* SPDX-License-Identifier: Apache-2.0 */
/* IEEE 754 binary16 to float: exact, payloads of NaN included. */
#ifndef PENUMBRA_BASE_HALF_H
#define PENUMBRA_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float half_to_float(uint16_t half)
{
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7fff, bits;
  if (rest >= 0x7c00) { /* infinity, NaN */
    bits = 0x7f800000 | (rest & 0x3ff) << 13;
  } else if (rest >= 0x400) {
    bits = (rest << 13) + (112u << 23);
  } else { /* zero, subnormal: a whole number of 2^-24 */
    float value = (float)rest * 0x1p-24f;
    memcpy(&bits, &value, sizeof bits);
  }
  bits |= sign;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

#endif
