/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/stopping.h"

#include "base/str.h"

#include <math.h>
#include <string.h>

static int64_t look_at(int j)
{
  return (int64_t)floor(256 * pow(2, j / 2.0) + 1e-6) & ~(int64_t)1;
}

/* x with P(|N(0,1)| > x) = level, by bisection. */
static double two_sided_quantile(double level)
{
  double low = 0, high = 40;
  for (int i = 0; i < 80; i++) {
    const double x = (low + high) / 2;
    if (erfc(x / sqrt(2)) > level)
      low = x;
    else
      high = x;
  }
  return high;
}

bool stopping_parse(const char *text, int64_t samples, struct stopping *s, struct error *err)
{
  *s = (struct stopping){.next = INT64_MAX};
  if (!*text)
    return true;
  if (strncmp(text, "stable:", 7) == 0) {
    if (!str_integer(text + 7, &s->leading) || s->leading < 1)
      return error_set(err, ERROR_USAGE, "tolerance: '%.40s' is not stable:K with K of at least 1", text);
    int looks = 1;
    while (look_at(looks) <= samples && looks < 60)
      looks++;
    s->quantile = two_sided_quantile(0.05 / looks);
  } else if (!str_number(text, &s->tolerance) || !(s->tolerance > 0)) {
    return error_set(err, ERROR_USAGE, "tolerance: '%.40s' is neither a number above 0 nor stable:K", text);
  }
  s->next = look_at(0);
  return true;
}

bool stopping_due(struct stopping *s, int64_t n)
{
  if (n < s->next)
    return false;
  for (int j = 0; s->next <= n; j++)
    s->next = look_at(j);
  return true;
}

bool stopping_reached(const struct stopping *s, const double *value, const double *error, int64_t n)
{
  double largest = 0, worst = 0;
  for (int64_t i = 0; i < n; i++) {
    largest = fmax(largest, fabs(value[i]));
    worst = fmax(worst, error[i]);
    if (isnan(error[i])) /* not known */
      return false;
  }
  if (s->tolerance > 0)
    return worst <= s->tolerance * largest;
  if (s->leading >= n)
    return true;
  /* The K-th largest |value| parts them; of equal ones the first leads. */
  for (int64_t i = 0; i < n; i++) {
    int64_t larger = 0;
    for (int64_t k = 0; k < n; k++)
      larger += fabs(value[k]) > fabs(value[i]) || (k < i && fabs(value[k]) == fabs(value[i]));
    if (larger != s->leading - 1)
      continue;
    const double bound = fabs(value[i]);
    double low = INFINITY, high = 0;
    for (int64_t k = 0; k < n; k++) {
      const bool leads = fabs(value[k]) > bound || (k <= i && fabs(value[k]) == bound);
      if (leads)
        low = fmin(low, fabs(value[k]) - s->quantile * error[k]);
      else
        high = fmax(high, fabs(value[k]) + s->quantile * error[k]);
    }
    return low > high;
  }
  return false;
}
