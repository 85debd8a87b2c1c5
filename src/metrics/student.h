/* SPDX-License-Identifier: Apache-2.0 */
/* Student's t distribution, for intervals. */
#ifndef PENUMBRA_METRICS_STUDENT_H
#define PENUMBRA_METRICS_STUDENT_H

#include <stdint.h>

/* t with P(T <= t) = 0.975 for `freedom` >= 1 degrees: 12.706, 4.303, 3.182 …, 1.960. */
double student_95(int64_t freedom);

#endif
