/* SPDX-License-Identifier: Apache-2.0 */
/* The compute kernels: a thin face over oneDNN (onednn.h: its v2 and v3 C API both) and over our own winograd.h.
 * Data are dense: images NHWC, matrices row-major. A kernel is one primitive for fixed shapes; it may be run by one
 * thread at a time. All kernels of one `struct compute` use the thread count that was set when it was opened. */
#ifndef PENUMBRA_TENSOR_COMPUTE_H
#define PENUMBRA_TENSOR_COMPUTE_H

#include "base/error.h"
#include "base/files.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct compute; /* engine and stream */
struct compute *compute_open(struct error *err);
void compute_close(struct compute *compute);

/* "bf16" kernels keep float32 interfaces only where said; false where the CPU lacks AVX512-BF16 or AMX. */
bool compute_has_bf16(void);
/* Library and version for `penumbra --version`, e.g. "oneDNN 2.6.3". */
void compute_version(char *text, size_t size);

/* Element-wise functions that a kernel can apply to what it writes, in this order. */
enum unary {
  UNARY_NONE,
  UNARY_RELU,
  UNARY_CLIP /* a..b */,
  UNARY_LEAKY_RELU /* slope a */,
  UNARY_ELU /* a */,
  UNARY_SIGMOID,
  UNARY_TANH,
  UNARY_HARD_SIGMOID /* max(0,min(1,a x+b)) */,
  UNARY_HARD_SWISH,
  UNARY_SILU,
  UNARY_GELU_ERF,
  UNARY_GELU_TANH,
  UNARY_MISH,
  UNARY_EXP,
  UNARY_LOG,
  UNARY_SQRT,
  UNARY_ABS,
  UNARY_LINEAR /* a x + b */,
};
enum { MAX_POST = 2 };
struct post {
  enum unary kind;
  float a, b;
};

struct kernel;
void kernel_free(struct kernel *kernel);
size_t kernel_scratch(const struct kernel *kernel);    /* bytes of scratch a run needs */
bool kernel_is_reference(const struct kernel *kernel); /* true: the slow fallback of the library */

enum number { NUMBER_F32, NUMBER_BF16 }; /* bf16: the upper half of a float32 */

/* A constant in the forms kernels want it packed; shared by all kernels of a node, any number of runs. */
struct weights;
/* `raw` (may be unaligned) must outlive the weights. Conv: [oc, ic/groups, kh, kw]; matrix: [k, n], or [n, k] with
 * weights_transposed. Output channel i is multiplied by scale[i] (NULL: 1). */
struct weights *weights_new(const void *raw, const float *scale);
/* `raw` may lie in this mapping of a file: pages that have been packed are handed back. */
void weights_in_file(struct weights *weights, const struct file_map *file);
void weights_free(struct weights *weights);
size_t weights_bytes(const struct weights *weights); /* held in packed forms */

struct conv_spec {
  int64_t n, ic, ih, iw, oc, oh, ow; /* samples, channels, px */
  int64_t kh, kw, sh, sw, dh, dw;    /* kernel, stride, dilation (1 = dense) */
  int64_t pt, pl, pb, pr;            /* pads, px */
  int64_t groups;
  bool bias, sum;       /* add bias[oc]; add to what dst holds */
  enum number src, dst; /* bias is float32 */
  struct post post[MAX_POST];
  int n_post;
  bool winograd; /* by fewer multiplications, in tiles of 2 x 2 outputs: what conv_in_tiles says of the whole map */
};

/* Whether a layer, given by its whole map, is computed in tiles. All that computes a part of its map has to follow,
 * and to begin at even outputs: then it gives the bits of the whole map. Depends on neither batch nor threads. */
bool conv_in_tiles(const struct conv_spec *spec);

/* dst [n,oh,ow,oc] = post(conv(src [n,ih,iw,ic], weights) + bias + dst). Weights are packed on first need. */
struct kernel *kernel_conv(struct compute *compute, const struct conv_spec *spec, struct weights *weights,
                           struct error *err);
/* The adjoint with respect to src: src_grad [n,ih,iw,ic] from dst_grad [n,oh,ow,oc]; no bias, sum or post. */
struct kernel *kernel_conv_backward(struct compute *compute, const struct conv_spec *spec, struct weights *weights,
                                    struct error *err);

/* dst [b,m,n] = post(src [b,m,k] x weights [b|1, k, n] + bias[n] + dst). */
struct matmul_spec {
  int64_t b, m, k, n;
  bool weights_shared;     /* one weight matrix for all b */
  bool src_transposed;     /* src is [b,k,m] */
  bool weights_transposed; /* weights are [.., n, k] */
  bool adjoint;            /* constant weights are those of the product [m, n] x [n, k], whose adjoint this is: `raw` is
                            * its right operand, and their scale belongs to the rows of this one */
  bool bias, sum;
  enum number src, dst;
  struct post post[MAX_POST];
  int n_post;
};
/* With `weights` the right operand is that constant, packed; with NULL it is given to each run, of the type of src. */
struct kernel *kernel_matmul(struct compute *compute, const struct matmul_spec *spec, struct weights *weights,
                             struct error *err);

/* Run a convolution or matrix product; `right`: the second matrix where it is not constant; `bias` NULL without. */
bool kernel_run(struct kernel *kernel, const void *src, const void *right, const float *bias, void *dst, void *scratch,
                struct error *err);

/* Unary functions and softmax run by kernel_run with right and bias NULL. */

/* dst[i] = post(src[i]) for `count` elements; src may be dst. */
struct kernel *kernel_unary(struct compute *compute, int64_t count, struct post post, struct error *err);

/* Softmax (or its logarithm) along the middle axis of [outer, axis, inner]. */
struct kernel *kernel_softmax(struct compute *compute, int64_t outer, int64_t axis, int64_t inner, bool logarithm,
                              struct error *err);

#endif
