/* SPDX-License-Identifier: Apache-2.0 */
/* Warnings that methods have in common. */
#ifndef PENUMBRA_METHODS_WARNINGS_H
#define PENUMBRA_METHODS_WARNINGS_H

#include "methods/method.h"

/* `flat-map` and `saturated`, from the shown target's part of "map". */
void warn_of_map(const struct explain *explain, struct explanation *out);
/* `weak-fill`, and the fill's own note; notes the score with everything hidden in the quality figures. */
void warn_of_fill(const struct explain *explain, const char *fill, const char *note, double full,
                  struct explanation *out);

#endif
