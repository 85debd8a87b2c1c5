/* SPDX-License-Identifier: Apache-2.0 */
/* The compute kernels: a thin face over oneDNN, whose header only compute.c includes (its v2 and v3 C API both).
 * Data are dense: images NHWC, matrices row-major. A kernel is one primitive for fixed shapes; it may be run by one
 * thread at a time. All kernels of one `struct compute` use the thread count that was set when it was opened. */
#ifndef PENUMBRA_TENSOR_COMPUTE_H
#define PENUMBRA_TENSOR_COMPUTE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct compute; /* engine and stream */
struct compute *compute_open(struct error *err);
void compute_close(struct compute *compute);

/* "bf16" kernels keep float32 interfaces only where said; false where the CPU lacks AVX512-BF16 or AMX. */
bool compute_has_bf16(void);
/* Library and version for `penumbra --version`. */
const char *compute_version(void);

/* Element-wise functions that a kernel can apply to what it writes, in this order. */
enum unary {
  UNARY_NONE, UNARY_RELU, UNARY_CLIP /* a..b */, UNARY_LEAKY_RELU /* slope a */, UNARY_ELU /* a */, UNARY_SIGMOID,
  UNARY_TANH, UNARY_HARD_SIGMOID /* max(0,min(1,a x+b)) */, UNARY_HARD_SWISH, UNARY_SILU, UNARY_GELU_ERF,
  UNARY_GELU_TANH, UNARY_SOFTPLUS, UNARY_MISH, UNARY_EXP, UNARY_LOG, UNARY_SQRT, UNARY_ABS, UNARY_LINEAR /* a x + b */,
};
enum { MAX_POST = 2 };
struct post { enum unary kind; float a, b; };


struct kernel;
void kernel_free(struct kernel *kernel);
size_t kernel_scratch(const struct kernel *kernel); /* bytes of scratch a run needs */
bool kernel_is_reference(const struct kernel *kernel); /* true: the slow fallback of the library */

struct conv_spec {
  int64_t n, ic, ih, iw, oc, oh, ow; /* samples, channels, px */
  int64_t kh, kw, sh, sw, dh, dw;    /* kernel, stride, dilation (1 = dense) */
  int64_t pt, pl, pb, pr;            /* pads, px */
  int64_t groups;
  bool bias, sum;                    /* add bias[oc]; add to what dst holds */
  struct post post[MAX_POST];
  int n_post;
};

/* dst [n,oh,ow,oc] = post(conv(src [n,ih,iw,ic], weights) + bias + dst). Weights are those kernel_pack_weights made. */
struct kernel *kernel_conv(struct compute *compute, const struct conv_spec *spec, struct error *err);
/* Packed weights from the ONNX order [oc, ic/groups, kh, kw], each output channel times scale[oc] (NULL: 1). Source may
 * be unaligned. The result is MEM_ALIGN-aligned and owned by the caller; *bytes tells its size. */
void *kernel_pack_weights(struct compute *compute, const struct kernel *kernel, const void *weights, const float *scale,
                          size_t *bytes, struct error *err);
/* Two kernels with equal keys use the same packed weights. */
uint64_t kernel_weights_key(const struct kernel *kernel);
bool kernel_run_conv(struct kernel *kernel, const float *src, const void *weights, const float *bias, float *dst,
                     void *scratch, struct error *err);

/* dst [b,m,n] = post(src [b,m,k] x weights [b|1, k, n] + bias[n] + dst). */
struct matmul_spec {
  int64_t b, m, k, n;
  bool weights_shared;    /* one weight matrix for all b */
  bool src_transposed;    /* src is [b,k,m] */
  bool weights_transposed; /* weights are [.., n, k] */
  bool constant_weights;  /* may be packed: run with what kernel_pack_weights made from [k,n] or [n,k] */
  bool bias, sum;
  struct post post[MAX_POST];
  int n_post;
};
struct kernel *kernel_matmul(struct compute *compute, const struct matmul_spec *spec, struct error *err);
bool kernel_run_matmul(struct kernel *kernel, const float *src, const void *weights, const float *bias, float *dst,
                       void *scratch, struct error *err);

enum pool_kind { POOL_MAX, POOL_AVERAGE_INSIDE /* divisor: cells inside the map */, POOL_AVERAGE_ALL };
struct pool_spec {
  enum pool_kind kind;
  int64_t n, c, ih, iw, oh, ow, kh, kw, sh, sw, dh, dw, pt, pl, pb, pr;
};
struct kernel *kernel_pool(struct compute *compute, const struct pool_spec *spec, struct error *err);
bool kernel_run_pool(struct kernel *kernel, const float *src, float *dst, void *scratch, struct error *err);

/* dst[i] = post(src[i]) for `count` elements; src may be dst. */
struct kernel *kernel_unary(struct compute *compute, int64_t count, struct post post, struct error *err);
bool kernel_run_unary(struct kernel *kernel, const float *src, float *dst, struct error *err);

/* Softmax (or its logarithm) along the middle axis of [outer, axis, inner]. */
struct kernel *kernel_softmax(struct compute *compute, int64_t outer, int64_t axis, int64_t inner, bool logarithm,
                              struct error *err);
bool kernel_run_softmax(struct kernel *kernel, const float *src, float *dst, struct error *err);

#endif
