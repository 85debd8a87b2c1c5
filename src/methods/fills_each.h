/* SPDX-License-Identifier: Apache-2.0 */
/* Several fills: what a map owes to the fill it was made with shows when it is made with others. */
#ifndef PENUMBRA_METHODS_FILLS_EACH_H
#define PENUMBRA_METHODS_FILLS_EACH_H

#include "methods/method.h"

/* Bytes of the first fill in a list: up to a comma after which another fill begins. A file name may have others. */
size_t fills_first(const char *list);

/* Run a method. Where its parameter "fill" names several, separated by commas, it runs once for each, with equal shares
 * of --evals and --budget, and
 *   "map"          is the mean of their maps,
 *   "disagreement" their standard deviation (all of them, not a sample of them),
 *   "fill_maps"    [fills, height, width] their maps of the shown target,
 *   "stderr"       the mean of their standard errors, which that of the mean cannot exceed;
 * other arrays are the first fill's, and details "fills" says what each had to report. */
bool method_run(const struct explain *explain, const struct method *method, const void *options,
                struct explanation *out, struct error *err);

#endif
