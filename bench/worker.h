/* SPDX-License-Identifier: Apache-2.0 */
/* A measured program. bench.py starts one process per contender, and each waits on its standard input, so that
 * contenders can take turns on an otherwise idle machine:
 *
 *   -> run N            do the work N times
 *   <- {"wall": s, "cpu": s, "peak_kib": N}
 *
 * Memory is what the kernel has counted since the model was ready (VmHWM). The programs in Python speak the same. */
#ifndef PENUMBRA_BENCH_WORKER_H
#define PENUMBRA_BENCH_WORKER_H

#include "base/error.h"

#include <stdbool.h>

double worker_wall(void); /* s of a steady clock */
double worker_cpu(void);  /* s, of all threads of the process */

/* KiB of physical memory: at most so far, and now; -1 where the system does not say. */
long worker_peak(void);
long worker_resident(void);
/* Let the peak start anew from what is resident now. */
void worker_reset_peak(void);

/* Answer requests until standard input ends. False when `run` fails. */
bool worker_serve(bool (*run)(void *context, struct error *err), void *context, struct error *err);

/* Print "NAME: MESSAGE" and return the exit status for a failure. */
int worker_fail(const char *name, const struct error *err);

#endif
