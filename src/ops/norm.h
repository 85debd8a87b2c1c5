/* SPDX-License-Identifier: Apache-2.0 */
/* node->params of the normalisations, for their way back. */
#ifndef PENUMBRA_OPS_NORM_H
#define PENUMBRA_OPS_NORM_H

#include "ops/loop.h"
#include "ops/op.h"

#include <stdbool.h>
#include <stdint.h>

/* Channels of [N,C,...] as they lie in memory: [blocks, channels, run]. */
struct batch_norm {
  int64_t channels, run;
  const float *mean, *shift;
  float *scale; /* gamma / sqrt(variance + epsilon) */
};

struct layer_norm {
  int64_t row;               /* elements normalised together: the trailing axes */
  double epsilon;
  const float *scale, *shift; /* as many; shift may be NULL */
};

struct group_norm {
  int64_t channels, groups, pixels;
  double epsilon;
  const float *scale, *shift;
  bool per_group; /* scale and shift per group (GroupNormalization of opset 18), not per channel */
};

/* y = x / (bias + alpha / size * sum of squares over neighbouring channels) ^ beta
 * (Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", 2012). */
struct lrn {
  int64_t before, after; /* neighbours */
  double alpha, beta, bias;
  int64_t channels, step; /* between channels, elements */
  int64_t pixels;         /* places per block that have all channels */
};

struct span {
  unsigned mask;
  int64_t p; /* norm, or 0: mean and variance */
};

struct spans {
  const struct span *span;
  const float *in;
  float *out;
  struct loop kept, along;
};
/* The nests over n samples: places outside the span, and along it. */
struct spans spans_of(const struct node *node, int64_t n);
/* Offset of element i of a nest of one operand. */
int64_t spans_place(const struct loop *loop, int64_t i);

/* Sums over a run, in double. */
double norm_sum(const float *x, int64_t n);
double norm_squares(const float *x, int64_t n, double mean);

extern const struct backward backward_batch_norm, backward_layer_norm, backward_group_norm, backward_lrn, backward_span;

#endif
