/* SPDX-License-Identifier: Apache-2.0 */
/* Smooth random fields: values on a lattice, joined by cubic steps. */
#ifndef PENUMBRA_PHANTOM_TEXTURE_H
#define PENUMBRA_PHANTOM_TEXTURE_H

#include <stdint.h>

enum { TEXTURE_SIDE = 64 }; /* lattice points per side; the field repeats beyond, far outside the picture */

struct texture {
  float value[TEXTURE_SIDE * TEXTURE_SIDE]; /* -1..1 */
  double spacing;                           /* mm between lattice points */
};

/* Draw the lattice from the element's stream of its own, layer `layer`. */
void texture_draw(struct texture *t, uint64_t seed, uint32_t element, uint32_t layer, double spacing);
double texture_at(const struct texture *t, double x, double y);

#endif
