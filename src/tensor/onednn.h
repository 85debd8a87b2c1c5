/* SPDX-License-Identifier: Apache-2.0 */
/* oneDNN behind compute.h: hides the differences between its v2 and v3 C API, so that there is one source for both.
 * Internal to compute.c and weights.c, the only files that know the library. */
#ifndef PENUMBRA_TENSOR_ONEDNN_H
#define PENUMBRA_TENSOR_ONEDNN_H

#include "base/error.h"

#include <dnnl.h>
#include <stdbool.h>

struct compute {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
};

static inline bool failed(dnnl_status_t status, struct error *err, const char *what)
{
  if (status == dnnl_success)
    return false;
  if (status == dnnl_out_of_memory)
    error_memory(err, what);
  else
    error_set(err, ERROR_FAILED, "%s: the compute library answered %s", what,
              status == dnnl_unimplemented       ? "'not implemented'"
              : status == dnnl_invalid_arguments ? "'invalid arguments'"
                                                 : "with a runtime error");
  return true;
}

/* ---- v2 and v3 ------------------------------------------------------------------------------------------------- */

/* A descriptor that may be empty (`set` false). */
struct desc {
  bool set;
  dnnl_memory_desc_t md; /* v2: a struct by value; v3: an owned pointer */
};

#if DNNL_VERSION_MAJOR >= 3
#define MD(d)         ((d)->md)
#define MD_OR_NULL(d) ((d)->set ? (d)->md : NULL)
#else
#define MD(d)         (&(d)->md)
#define MD_OR_NULL(d) ((d)->set ? &(d)->md : NULL)
#endif

static inline void desc_free(struct desc *d)
{
#if DNNL_VERSION_MAJOR >= 3
  if (d->set)
    dnnl_memory_desc_destroy(d->md);
#endif
  d->set = false;
}

static inline dnnl_status_t desc_by_tag(struct desc *d, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
                                        dnnl_format_tag_t tag)
{
#if DNNL_VERSION_MAJOR >= 3
  dnnl_status_t status = dnnl_memory_desc_create_with_tag(&d->md, rank, dims, type, tag);
#else
  dnnl_status_t status = dnnl_memory_desc_init_by_tag(&d->md, rank, dims, type, tag);
#endif
  d->set = status == dnnl_success;
  return status;
}

static inline dnnl_status_t desc_by_strides(struct desc *d, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
                                            const dnnl_dims_t strides)
{
#if DNNL_VERSION_MAJOR >= 3
  dnnl_status_t status = dnnl_memory_desc_create_with_strides(&d->md, rank, dims, type, strides);
#else
  dnnl_status_t status = dnnl_memory_desc_init_by_strides(&d->md, rank, dims, type, strides);
#endif
  d->set = status == dnnl_success;
  return status;
}

static inline dnnl_status_t desc_copy(struct desc *d, const_dnnl_primitive_desc_t pd, dnnl_query_t query, int index)
{
#if DNNL_VERSION_MAJOR >= 3
  dnnl_status_t status = dnnl_memory_desc_clone(&d->md, dnnl_primitive_desc_query_md(pd, query, index));
#else
  const dnnl_memory_desc_t *md = dnnl_primitive_desc_query_md(pd, query, index);
  dnnl_status_t status = md ? dnnl_success : dnnl_invalid_arguments;
  if (md)
    d->md = *md;
#endif
  d->set = status == dnnl_success;
  return status;
}

static inline dnnl_status_t append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t alg, float alpha, float beta)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_post_ops_append_eltwise(ops, alg, alpha, beta);
#else
  return dnnl_post_ops_append_eltwise(ops, 1.0f, alg, alpha, beta);
#endif
}

static inline dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
#else
  return dnnl_post_ops_append_sum(ops, 1.0f);
#endif
}

static inline dnnl_status_t conv_pd(dnnl_primitive_desc_t *pd, struct compute *c, const struct desc *src,
                                    const struct desc *w, const struct desc *bias, const struct desc *dst,
                                    const dnnl_dims_t strides, const dnnl_dims_t dilates, const dnnl_dims_t before,
                                    const dnnl_dims_t after, const_dnnl_primitive_attr_t attr)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_convolution_forward_primitive_desc_create(pd, c->engine, dnnl_forward_inference, dnnl_convolution_direct,
                                                        MD(src), MD(w), MD_OR_NULL(bias), MD(dst), strides, dilates,
                                                        before, after, attr);
#else
  dnnl_convolution_desc_t op;
  dnnl_status_t status =
      dnnl_dilated_convolution_forward_desc_init(&op, dnnl_forward_inference, dnnl_convolution_direct, MD(src), MD(w),
                                                 MD_OR_NULL(bias), MD(dst), strides, dilates, before, after);
  return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &op, attr, c->engine, NULL);
#endif
}

static inline dnnl_status_t conv_backward_pd(dnnl_primitive_desc_t *pd, struct compute *c, const struct desc *src,
                                             const struct desc *w, const struct desc *dst, const dnnl_dims_t strides,
                                             const dnnl_dims_t dilates, const dnnl_dims_t before,
                                             const dnnl_dims_t after, const_dnnl_primitive_desc_t hint,
                                             const_dnnl_primitive_attr_t attr)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_convolution_backward_data_primitive_desc_create(pd, c->engine, dnnl_convolution_direct, MD(src), MD(w),
                                                              MD(dst), strides, dilates, before, after, hint, attr);
#else
  dnnl_convolution_desc_t op;
  dnnl_status_t status = dnnl_dilated_convolution_backward_data_desc_init(&op, dnnl_convolution_direct, MD(src), MD(w),
                                                                          MD(dst), strides, dilates, before, after);
  return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &op, attr, c->engine, hint);
#endif
}

static inline dnnl_status_t matmul_pd(dnnl_primitive_desc_t *pd, struct compute *c, const struct desc *src,
                                      const struct desc *w, const struct desc *bias, const struct desc *dst,
                                      const_dnnl_primitive_attr_t attr)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_matmul_primitive_desc_create(pd, c->engine, MD(src), MD(w), MD_OR_NULL(bias), MD(dst), attr);
#else
  dnnl_matmul_desc_t op;
  dnnl_status_t status = dnnl_matmul_desc_init(&op, MD(src), MD(w), MD_OR_NULL(bias), MD(dst));
  return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &op, attr, c->engine, NULL);
#endif
}

static inline dnnl_status_t eltwise_pd(dnnl_primitive_desc_t *pd, struct compute *c, dnnl_alg_kind_t alg,
                                       const struct desc *data, float alpha, float beta,
                                       const_dnnl_primitive_attr_t attr)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_eltwise_forward_primitive_desc_create(pd, c->engine, dnnl_forward_inference, alg, MD(data), MD(data),
                                                    alpha, beta, attr);
#else
  dnnl_eltwise_desc_t op;
  dnnl_status_t status = dnnl_eltwise_forward_desc_init(&op, dnnl_forward_inference, alg, MD(data), alpha, beta);
  return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &op, attr, c->engine, NULL);
#endif
}

static inline dnnl_status_t softmax_pd(dnnl_primitive_desc_t *pd, struct compute *c, bool logarithm,
                                       const struct desc *data, int axis, const_dnnl_primitive_attr_t attr)
{
  dnnl_alg_kind_t alg = logarithm ? dnnl_softmax_log : dnnl_softmax_accurate;
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_softmax_forward_primitive_desc_create(pd, c->engine, dnnl_forward_inference, alg, MD(data), MD(data),
                                                    axis, attr);
#else
  dnnl_softmax_v2_desc_t op;
  dnnl_status_t status = dnnl_softmax_v2_forward_desc_init(&op, dnnl_forward_inference, alg, MD(data), MD(data), axis);
  return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &op, attr, c->engine, NULL);
#endif
}

#endif
