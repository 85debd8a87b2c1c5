/* SPDX-License-Identifier: Apache-2.0 */
/* What convolutions and poolings share: a kernel sliding over the two spatial axes of a [N,C,H,W] tensor. */
#ifndef PENUMBRA_OPS_SPATIAL_H
#define PENUMBRA_OPS_SPATIAL_H

#include "ops/node.h"

/* Per axis: 0 = rows, 1 = columns. */
struct spatial {
  int64_t kernel[2], stride[2], dilation[2];
  int64_t before[2], after[2]; /* pads; `after` may be less than the file says where the last window does not reach */
  int64_t in[2], out[2];       /* extent of the map */
};

/* Read kernel_shape (or take `kernel` where not NULL), strides, dilations, pads, auto_pad and ceil_mode of a node whose
 * in[0] has rank 4, and work out the output's extent. */
bool spatial_read(const struct node *node, const int64_t *kernel, struct spatial *s, struct error *err);

#endif
