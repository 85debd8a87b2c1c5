/* SPDX-License-Identifier: Apache-2.0 */
/* Elementary functions built from + - * / and sqrt alone, which IEEE 754 rounds in one way only, so that a picture has
 * the same bytes on every machine; the C library's own functions differ in their last bits. Accurate to about 1e-11
 * over the ranges stated, far finer than a code of 16 bits. */
#ifndef PENUMBRA_PHANTOM_EXACT_H
#define PENUMBRA_PHANTOM_EXACT_H

#include "base/rng.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* gcc never fuses a multiply and an add in ISO mode; clang has to be told. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif
_Static_assert(FLT_EVAL_METHOD == 0, "the phantom needs float and double evaluated in their own precision");

/* e^x for |x| <= 700; outside the argument is clamped. */
static inline double exact_exp(double x)
{
  x = x < -700.0 ? -700.0 : x > 700.0 ? 700.0 : x;
  double scaled = x * 1.4426950408889634 + 6755399441055744.0; /* rounds to an integer in the low bits */
  double n = scaled - 6755399441055744.0;
  double r = x - n * 0.693147180369123816490 - n * 1.90821492927058770002e-10;
  double p = 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  uint64_t bits = (uint64_t)((int64_t)n + 1023) << 52;
  double power;
  memcpy(&power, &bits, sizeof power);
  return p * power;
}

/* Natural logarithm of a positive normal number. */
static inline double exact_log(double x)
{
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  /* m in [sqrt 1/2, sqrt 2): the exponent is counted from there. */
  int64_t n = (int64_t)(bits - 0x3fe6a09e667f3bcdu) >> 52;
  bits -= (uint64_t)n << 52;
  double m;
  memcpy(&m, &bits, sizeof m);
  double s = (m - 1.0) / (m + 1.0), q = s * s;
  double p = 1.0 / 13;
  p = p * q + 1.0 / 11;
  p = p * q + 1.0 / 9;
  p = p * q + 1.0 / 7;
  p = p * q + 1.0 / 5;
  p = p * q + 1.0 / 3;
  return (double)n * 0.693147180559945309417 + 2.0 * s * (1.0 + q * p);
}

/* Sine and cosine of an angle in radians, |x| <= 1e5. */
double exact_sin(double x);
double exact_cos(double x);

/* x^y for x >= 0. */
static inline double exact_pow(double x, double y)
{
  return x < 1e-300 ? 0.0 : exact_exp(y * exact_log(x));
}

static inline double exact_clamp(double x, double lo, double hi)
{
  return x < lo ? lo : x > hi ? hi : x;
}

/* 0 below `a`, 1 above `b`, a cubic between. */
static inline double exact_step(double a, double b, double x)
{
  double t = exact_clamp((x - a) / (b - a), 0.0, 1.0);
  return t * t * (3.0 - 2.0 * t);
}

/* A soft maximum of two lengths that is 0 where both are: (a^4 + b^4)^(1/4). */
static inline double exact_union(double a, double b)
{
  double a2 = a * a, b2 = b * b;
  return sqrt(sqrt(a2 * a2 + b2 * b2));
}

static inline double exact_union4(double a, double b, double c, double d)
{
  double a2 = a * a, b2 = b * b, c2 = c * c, d2 = d * d;
  return sqrt(sqrt((a2 * a2 + b2 * b2) + (c2 * c2 + d2 * d2)));
}

/* One element's own random numbers, drawn one after the other. */
struct stream {
  uint64_t seed;
  uint32_t element;
  uint64_t drawn;
};

/* Elements of the picture. The numbers are part of what a seed means: append only. */
enum stream_element {
  STREAM_POSE = 1,
  STREAM_BODY,
  STREAM_LUNGS,
  STREAM_HEART,
  STREAM_MEDIASTINUM,
  STREAM_DIAPHRAGM,
  STREAM_RIBS,
  STREAM_CLAVICLES,
  STREAM_SCAPULAE,
  STREAM_SPINE,
  STREAM_VESSELS,
  STREAM_TEXTURE,
  STREAM_BREASTS,
  STREAM_STOMACH,
  STREAM_EXPOSURE,
  STREAM_NOISE,
  STREAM_MARKER,
  STREAM_COLLIMATION,
  STREAM_FINDINGS,           /* which findings are present */
  STREAM_FIRST_FINDING = 64, /* + 8 * number of the finding, + 0..7 */
};

static inline struct stream stream_open(uint64_t seed, uint32_t element)
{
  return (struct stream){seed, element, 0};
}

static inline double stream_uniform(struct stream *s, double lo, double hi)
{
  return lo + (hi - lo) * rng_uniform(s->seed, RNG_PHANTOM, s->element, s->drawn++);
}

/* Near-normal with mean 0 and SD 1: the sum of twelve uniform numbers less six. */
static inline double stream_normal(struct stream *s)
{
  double sum = -6.0;
  for (int i = 0; i < 12; i++)
    sum += stream_uniform(s, 0.0, 1.0);
  return sum;
}

#endif
