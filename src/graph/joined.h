/* SPDX-License-Identifier: Apache-2.0 */
/* A 1x1 convolution whose input does not lie there as it wants it: it is gathered a block of pixels at a time. Where a
 * concatenation and an affine map (a batch norm with its rectifier) come before it, what they would have written is put
 * together on the way: DenseNet (Huang et al. 2017, arXiv 1608.06993) is made of these. Their results exist in no layer
 * and in no base.
 *
 * Where the joined values change on windows of different sizes, the convolution is run on differences,
 *
 *   y = post(base + sum over parts c of W_c (a_c - a_c,base))
 *
 * and a pixel takes only the parts that changed there: the smallest window all of them, the ring around it those whose
 * window reaches that far, and so on outwards. */
#ifndef PENUMBRA_GRAPH_JOINED_H
#define PENUMBRA_GRAPH_JOINED_H

#include "graph/stage.h"

/* Whether this is such a convolution. */
bool joined_can(const struct node *node);
/* Whether `node` takes nodes before it over, given that `visible` (or NULL) must exist: *affine and *join are the nodes
 * it takes over, either may be NULL but not both. */
bool joined_takes(const struct layer *layers, const struct node *node, const struct value *visible,
                  const struct node **affine, const struct node **join);

bool joined_make(struct stage *stage, const struct node *affine, const struct node *join, struct increment *inc,
                 struct error *err);
/* Neither: where the input lies as it is wanted, it need not be gathered. */
bool joined_is_plain(const struct stage *stage);
void joined_release(struct joined *joined);
/* Memory for a block of gathered pixels. */
size_t joined_gather_bytes(const struct increment *inc, const struct stage *stage);
size_t joined_bytes(const struct joined *joined); /* memory it holds itself */
/* After a base run: what differences are added to. */
bool joined_base(struct increment *inc, struct stage *stage, struct error *err);
bool joined_run(struct increment *inc, struct stage *stage, int n, struct error *err);

#endif
