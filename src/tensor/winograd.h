/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions of 3 x 3 with stride 1 at 4/9 of the multiplications: Winograd's F(2x2, 3x3), as in A. Lavin, S. Gray,
 * "Fast Algorithms for Convolutional Neural Networks", CVPR 2016. docs/design/winograd.md says why this one and where.
 *
 * A tile is 2 x 2 outputs from 4 x 4 inputs, counted from the first output. The bits of an output follow from its nine
 * inputs alone: never from the batch, the threads, or what else is computed, as long as tiles begin at even outputs.
 * Needs AVX-512; knows nothing of oneDNN. */
#ifndef PENUMBRA_TENSOR_WINOGRAD_H
#define PENUMBRA_TENSOR_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the CPU has what the code needs. */
bool winograd_here(void);

/* Packed weights of ic -> oc channels, bytes. */
size_t winograd_weights_bytes(int64_t ic, int64_t oc);
/* From raw [oc, ic, 3, 3], which may be unaligned, rows multiplied by scale [oc] (NULL: 1). adjoint: for the way back,
 * from oc to ic channels. `to` is aligned to MEM_ALIGN. */
void winograd_pack(const void *raw, const float *scale, int64_t ic, int64_t oc, bool adjoint, float *to);

struct winograd {
  int64_t n, ic, ih, iw, oc, oh, ow; /* samples, channels, px */
  int64_t pt, pl;                    /* pads, px; what lies below and right of the input counts as zeros */
  bool sum;                          /* add to what dst holds */
  float floor, ceiling, slope;       /* finally clip to floor..ceiling; what is below zero times slope before */
};

/* Bytes of scratch on this many threads. */
size_t winograd_scratch(const struct winograd *w, int threads);
/* dst [n,oh,ow,oc] = post(conv(src [n,ih,iw,ic]) + bias + dst); bias [oc] or NULL; scratch aligned to MEM_ALIGN. */
void winograd_run(const struct winograd *w, const float *src, const float *packed, const float *bias, float *dst,
                  void *scratch, int threads);

#endif
