/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/quadrature.h"

#include <math.h>

/* Roots of the Legendre polynomial by Newton's method from the usual guess cos(pi (i + 3/4) / (n + 1/2)); polynomial
 * and derivative by the three-term recurrence. */
static void gauss(int n, double *node, double *weight)
{
  for (int i = 0; i < n; i++) {
    double x = cos(3.14159265358979323846 * (i + 0.75) / (n + 0.5)), slope = 1;
    for (int step = 0; step < 100; step++) {
      double p = 1, before = 0;
      for (int k = 1; k <= n; k++) {
        const double next = ((2 * k - 1) * x * p - (k - 1) * before) / k;
        before = p;
        p = next;
      }
      slope = n * (x * p - before) / (x * x - 1);
      const double change = p / slope;
      x -= change;
      if (fabs(change) < 1e-15)
        break;
    }
    node[n - 1 - i] = (1 + x) / 2;
    weight[n - 1 - i] = 1 / ((1 - x * x) * slope * slope);
  }
}

void quadrature(enum quadrature rule, int n, double *node, double *weight)
{
  if (rule == QUADRATURE_GAUSS) {
    gauss(n, node, weight);
    return;
  }
  for (int k = 0; k < n; k++) {
    node[k] = rule == QUADRATURE_LEFT     ? (double)k / n
              : rule == QUADRATURE_RIGHT  ? (k + 1.0) / n
              : rule == QUADRATURE_MIDDLE ? (k + 0.5) / n
                                          : (double)k / (n - 1);
    weight[k] = rule != QUADRATURE_TRAPEZOID ? 1.0 / n : k == 0 || k == n - 1 ? 0.5 / (n - 1) : 1.0 / (n - 1);
  }
}

void quadrature_old_weights(double weight[4])
{
  weight[0] = weight[3] = 0.08502680266786775;
  weight[1] = weight[2] = 0.16347459480071875;
}

void quadrature_new_nodes(double node[5], double weight[5])
{
  static const double at[3] = {0.01171987463121094, 0.17985689125184890, 0.5};
  static const double by[3] = {0.03148868683273302, 0.13339917022614353, 0.17322149094507445};
  for (int i = 0; i < 3; i++) {
    node[i] = at[i];
    node[4 - i] = 1 - at[i];
    weight[i] = weight[4 - i] = by[i];
  }
}
