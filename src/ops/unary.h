/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of one operand, as far as kernels can apply them to what they write. */
#ifndef PENUMBRA_OPS_UNARY_H
#define PENUMBRA_OPS_UNARY_H

#include "ops/node.h"

#include <stdbool.h>

/* The post that does what this node does, for fusion into its producer. False where no post can: other operators,
 * integers, bounds that are no constants. To be asked after the node's shape(). */
bool unary_post(const struct node *node, struct post *post);

#endif
