/* SPDX-License-Identifier: Apache-2.0 */
/* x / (1 + e^-x), as a pass of its own: sooner done than by the library on the write of a convolution, whose
 * exponentials and quotients take longer than reading the result again. Needs AVX-512. */
#ifndef PENUMBRA_TENSOR_SILU_H
#define PENUMBRA_TENSOR_SILU_H

#include <stdbool.h>
#include <stdint.h>

/* Whether the CPU has what the code needs. */
bool silu_here(void);
/* dst[i] = x / (1 + e^-x) of x = src[i]; src may be dst. An element's bits follow from its value alone. */
void silu_run(int64_t count, const float *src, float *dst);

#endif
