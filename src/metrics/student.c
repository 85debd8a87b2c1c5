/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/student.h"

#include <math.h>

/* P(|T| <= t) by the finite sums for whole degrees of freedom (Abramowitz & Stegun 26.7.3 and 26.7.4). */
static double within(double t, int64_t freedom)
{
  const double angle = atan(t / sqrt((double)freedom)), s = sin(angle), c = cos(angle);
  double term, sum;
  if (freedom % 2) {
    term = c;
    sum = freedom > 1 ? c : 0;
    for (int64_t i = 3; i < freedom; i += 2) {
      term *= c * c * (double)(i - 1) / (double)i;
      sum += term;
    }
    return 2 / 3.14159265358979323846 * (angle + s * sum);
  }
  term = sum = 1;
  for (int64_t i = 2; i < freedom; i += 2) {
    term *= c * c * (double)(i - 1) / (double)i;
    sum += term;
  }
  return s * sum;
}

double student_95(int64_t freedom)
{
  enum { NORMAL_FROM = 100000 }; /* the difference to the normal distribution is below 3e-5 from here on */
  if (freedom >= NORMAL_FROM)
    return 1.959963984540054;
  double lo = 0, hi = 16;
  for (int i = 0; i < 80; i++) {
    const double t = (lo + hi) / 2;
    if (within(t, freedom) < 0.95)
      lo = t;
    else
      hi = t;
  }
  return (lo + hi) / 2;
}
