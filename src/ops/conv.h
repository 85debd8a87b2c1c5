/* SPDX-License-Identifier: Apache-2.0 */
/* A convolution's geometry, for those who run it on windows or backwards. */
#ifndef PENUMBRA_OPS_CONV_H
#define PENUMBRA_OPS_CONV_H

#include "ops/op.h"
#include "ops/spatial.h"

struct conv {
  int64_t ic, oc, groups;
  struct spatial space;
};

bool conv_shape(struct node *node, struct arena *arena, struct error *err);
/* The whole map at batch n, with what is fused into the node. */
struct conv_spec conv_spec_of(const struct node *node, int64_t n);

extern const struct backward backward_conv;

#endif
