/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that controls threads. oneDNN as packaged runs on OpenMP, so penumbra's own loops run on the same
 * team: a second pool would spin against it. A team belongs to the thread that calls. */
#ifndef PENUMBRA_BASE_THREADS_H
#define PENUMBRA_BASE_THREADS_H

#include <stdint.h>

/* Cores this process may use. */
int threads_available(void);

/* Threads used from now on by loops and primitives that the calling thread starts; n < 1 means threads_available().
 * To be called before the first oneDNN primitive is created: its cache is keyed by the number. */
void threads_use(int n);
int threads_used(void);

/* body(context, begin, end) over a static partition of [0, n) in at most threads_used() parts of at least `grain`
 * items. What a part computes must not depend on where the cuts are. */
void threads_for(int64_t n, int64_t grain, void (*body)(void *context, int64_t begin, int64_t end), void *context);

/* From here until threads_unflush of the result, numbers below the smallest normal one (1.2e-38 of a float) count as
 * zeros, in the calling thread and in its team, where the CPU can be told so. It multiplies them a hundred times more
 * slowly than others, and networks make them by the thousands where activations fade out. Nests. */
unsigned threads_flush(void);
void threads_unflush(unsigned state);

#endif
