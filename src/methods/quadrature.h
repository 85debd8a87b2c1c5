/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes and weights on [0, 1]. */
#ifndef PENUMBRA_METHODS_QUADRATURE_H
#define PENUMBRA_METHODS_QUADRATURE_H

enum quadrature { QUADRATURE_GAUSS, QUADRATURE_LEFT, QUADRATURE_RIGHT, QUADRATURE_MIDDLE, QUADRATURE_TRAPEZOID };

/* n nodes in rising order and their weights, which add up to 1. Gauss-Legendre is exact for polynomials of degree 2n
 * - 1. The trapezoid wants n >= 2. */
void quadrature(enum quadrature rule, int n, double *node, double *weight);

/* Kronrod's extension of Gauss's rule of 4 nodes to 9, exact to degree 13 (Kronrod, "Nodes and weights of quadrature
 * formulas", 1965): the weights that the 4 then have, and the other 5 nodes and their weights. */
void quadrature_old_weights(double weight[4]);
void quadrature_new_nodes(double node[5], double weight[5]);

#endif
