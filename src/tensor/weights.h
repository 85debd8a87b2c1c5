/* SPDX-License-Identifier: Apache-2.0 */
/* Constants in the forms that kernels want them. Internal to compute.c. */
#ifndef PENUMBRA_TENSOR_WEIGHTS_H
#define PENUMBRA_TENSOR_WEIGHTS_H

#include "tensor/compute.h"
#include "tensor/onednn.h"

/* The form described by `want`, made on first need. `raw` describes the file's order; channels run along rows of the
 * raw matrix when `by_rows`; adjoint: rows and columns have changed places. */
const void *weights_form(struct weights *w, struct compute *c, const struct desc *raw, const struct desc *want,
                         int64_t channels, int64_t others, bool by_rows, bool adjoint, struct error *err);
/* What winograd_pack makes of them. */
const float *weights_winograd(struct weights *w, int64_t ic, int64_t oc, bool adjoint, struct error *err);

#endif
