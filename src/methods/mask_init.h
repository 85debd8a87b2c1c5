/* SPDX-License-Identifier: Apache-2.0 */
/* Where the search for a mask starts. */
#ifndef PENUMBRA_METHODS_MASK_INIT_H
#define PENUMBRA_METHODS_MASK_INIT_H

#include "methods/mask_objective.h"
#include "methods/method.h"

struct mask_init {
  enum { INIT_HEAT, INIT_ONES, INIT_HALF, INIT_RANDOM } kind;
  float *heat;         /* INIT_HEAT: [height, width], the most important pixels highest; owned */
  bool given;          /* that is a file's or a method's map */
  int64_t evaluations; /* spent on it by another method */
  double seconds;
};

/* "circle" (minus the distance from the centre), "ones", "half", "random", the name of a method, which is run with its
 * defaults, or a .npy file [height, width] or [classes, height, width] on the grid of the model or of the source;
 * others are resampled, with a warning. */
bool mask_init_open(struct mask_init *init, const char *text, const struct explain *explain, int64_t target,
                    struct explanation *out, struct error *err);
void mask_init_close(struct mask_init *init);

struct mask_start {
  struct evaluator *evaluator;
  const struct mask_scene *scene;
  const struct mask_grid *grid;
  const struct mask_objective *objective;
  int64_t target;
  uint64_t seed;
};

/* Cells of start `number`. Of a heat map: the smallest top fraction whose deletion reaches 99 % of the drop, or its
 * complement for preservation. Starts after the first are random. */
bool mask_init_cells(const struct mask_init *init, const struct mask_start *start, int64_t number, double *cells,
                     struct error *err);

#endif
