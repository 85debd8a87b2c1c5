/* SPDX-License-Identifier: Apache-2.0 */
#include "phantom/exact.h"

static double sine(double r)
{
  double q = r * r, p = -1.0 / 1307674368000.0;
  p = p * q + 1.0 / 6227020800.0;
  p = p * q - 1.0 / 39916800;
  p = p * q + 1.0 / 362880;
  p = p * q - 1.0 / 5040;
  p = p * q + 1.0 / 120;
  p = p * q - 1.0 / 6;
  return r + r * q * p;
}

static double cosine(double r)
{
  double q = r * r, p = 1.0 / 20922789888000.0;
  p = p * q - 1.0 / 87178291200.0;
  p = p * q + 1.0 / 479001600;
  p = p * q - 1.0 / 3628800;
  p = p * q + 1.0 / 40320;
  p = p * q - 1.0 / 720;
  p = p * q + 1.0 / 24;
  p = p * q - 0.5;
  return 1.0 + q * p;
}

/* Sine of x plus `quarter` quarter turns. */
static double turn(double x, int quarter)
{
  double n = x * 0.63661977236758134308;
  int64_t k = (int64_t)(n < 0 ? n - 0.5 : n + 0.5);
  double r = x - (double)k * 1.57079632673412561417 - (double)k * 6.07710050650619224932e-11;
  switch ((k + quarter) & 3) {
  case 0:
    return sine(r);
  case 1:
    return cosine(r);
  case 2:
    return -sine(r);
  default:
    return -cosine(r);
  }
}

double exact_sin(double x)
{
  return turn(x, 0);
}

double exact_cos(double x)
{
  return turn(x, 1);
}
