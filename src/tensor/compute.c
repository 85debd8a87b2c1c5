/* SPDX-License-Identifier: Apache-2.0 */
/* oneDNN behind compute.h. The first part hides the differences between its v2 and v3 C API; below it there is one
 * source for both. Every image is dense NHWC: a strided source or destination would silently fall to the library's
 * reference code, hundreds of times slower. */
#include "tensor/compute.h"

#include "base/mem.h"

#include <dnnl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct compute {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
};

static bool failed(dnnl_status_t status, struct error *err, const char *what)
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

static void desc_free(struct desc *d)
{
#if DNNL_VERSION_MAJOR >= 3
  if (d->set)
    dnnl_memory_desc_destroy(d->md);
#endif
  d->set = false;
}

static dnnl_status_t desc_by_tag(struct desc *d, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
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

static dnnl_status_t desc_by_strides(struct desc *d, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
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

static dnnl_status_t desc_copy(struct desc *d, const_dnnl_primitive_desc_t pd, dnnl_query_t query, int index)
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

static dnnl_status_t append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t alg, float alpha, float beta)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_post_ops_append_eltwise(ops, alg, alpha, beta);
#else
  return dnnl_post_ops_append_eltwise(ops, 1.0f, alg, alpha, beta);
#endif
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
#if DNNL_VERSION_MAJOR >= 3
  return dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
#else
  return dnnl_post_ops_append_sum(ops, 1.0f);
#endif
}

static dnnl_status_t conv_pd(dnnl_primitive_desc_t *pd, struct compute *c, const struct desc *src, const struct desc *w,
                             const struct desc *bias, const struct desc *dst, const dnnl_dims_t strides,
                             const dnnl_dims_t dilates, const dnnl_dims_t before, const dnnl_dims_t after,
                             const_dnnl_primitive_attr_t attr)
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

static dnnl_status_t conv_backward_pd(dnnl_primitive_desc_t *pd, struct compute *c, const struct desc *src,
                                      const struct desc *w, const struct desc *dst, const dnnl_dims_t strides,
                                      const dnnl_dims_t dilates, const dnnl_dims_t before, const dnnl_dims_t after,
                                      const_dnnl_primitive_desc_t hint, const_dnnl_primitive_attr_t attr)
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

static dnnl_status_t matmul_pd(dnnl_primitive_desc_t *pd, struct compute *c, const struct desc *src,
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

static dnnl_status_t eltwise_pd(dnnl_primitive_desc_t *pd, struct compute *c, dnnl_alg_kind_t alg,
                                const struct desc *data, float alpha, float beta, const_dnnl_primitive_attr_t attr)
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

static dnnl_status_t softmax_pd(dnnl_primitive_desc_t *pd, struct compute *c, bool logarithm, const struct desc *data,
                                int axis, const_dnnl_primitive_attr_t attr)
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

/* ---- engine ---------------------------------------------------------------------------------------------------- */

struct compute *compute_open(struct error *err)
{
  struct compute *c = mem_zero(1, sizeof *c);
  if (!c) {
    error_memory(err, "the compute engine");
    return NULL;
  }
  if (failed(dnnl_engine_create(&c->engine, dnnl_cpu, 0), err, "compute engine") ||
      failed(dnnl_stream_create(&c->stream, c->engine, dnnl_stream_default_flags), err, "compute stream")) {
    compute_close(c);
    return NULL;
  }
  return c;
}

void compute_close(struct compute *c)
{
  if (!c)
    return;
  if (c->stream)
    dnnl_stream_destroy(c->stream);
  if (c->engine)
    dnnl_engine_destroy(c->engine);
  mem_free(c);
}

bool compute_has_bf16(void)
{
  dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
  return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

void compute_version(char *text, size_t size)
{
  const dnnl_version_t *v = dnnl_version();
  (void)snprintf(text, size, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
}

/* ---- weights --------------------------------------------------------------------------------------------------- */

struct packed {
  struct packed *next;
  struct desc desc;
  bool adjoint; /* rows and columns have changed places */
  size_t bytes;
  void *data;
};

struct weights {
  const void *raw;
  const float *scale;
  pthread_mutex_t lock; /* guards `forms`; entries never change once they are listed */
  struct packed *forms;
};

struct weights *weights_new(const void *raw, const float *scale)
{
  struct weights *w = mem_zero(1, sizeof *w);
  if (!w)
    return NULL;
  w->raw = raw;
  w->scale = scale;
  pthread_mutex_init(&w->lock, NULL);
  return w;
}

void weights_free(struct weights *w)
{
  if (!w)
    return;
  for (struct packed *p = w->forms; p;) {
    struct packed *next = p->next;
    desc_free(&p->desc);
    mem_unmap(p->data, p->bytes);
    mem_free(p);
    p = next;
  }
  pthread_mutex_destroy(&w->lock);
  mem_free(w);
}

size_t weights_bytes(const struct weights *w)
{
  size_t sum = 0;
  for (const struct packed *p = w->forms; p; p = p->next)
    sum += p->bytes;
  return sum;
}

static bool reorder(struct compute *c, const struct desc *from, const void *src, const struct desc *to, void *dst,
                    struct error *err)
{
  dnnl_primitive_desc_t pd = NULL;
  dnnl_primitive_t primitive = NULL;
  dnnl_memory_t a = NULL, b = NULL;
  bool ok = !failed(dnnl_reorder_primitive_desc_create(&pd, MD(from), c->engine, MD(to), c->engine, NULL), err,
                    "packing weights") &&
            !failed(dnnl_primitive_create(&primitive, pd), err, "packing weights") &&
            !failed(dnnl_memory_create(&a, MD(from), c->engine, (void *)(uintptr_t)src), err, "packing weights") &&
            !failed(dnnl_memory_create(&b, MD(to), c->engine, dst), err, "packing weights");
  if (ok) {
    const dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, a}, {DNNL_ARG_TO, b}};
    ok = !failed(dnnl_primitive_execute(primitive, c->stream, 2, args), err, "packing weights") &&
         !failed(dnnl_stream_wait(c->stream), err, "packing weights");
  }
  if (a)
    dnnl_memory_destroy(a);
  if (b)
    dnnl_memory_destroy(b);
  if (primitive)
    dnnl_primitive_destroy(primitive);
  if (pd)
    dnnl_primitive_desc_destroy(pd);
  return ok;
}

/* Multiply every output channel by its factor. Channels are the rows of [channels, row], or the columns. */
static void scale_rows(float *w, const float *scale, int64_t channels, int64_t row)
{
  for (int64_t i = 0; i < channels; i++)
    for (int64_t j = 0; j < row; j++)
      w[i * row + j] *= scale[i];
}

static void scale_columns(float *w, const float *scale, int64_t rows, int64_t channels)
{
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < channels; j++)
      w[i * channels + j] *= scale[j];
}

/* The form described by `want`, made on first need. `raw` describes the file's order; channels run along rows of the
 * raw matrix when `by_rows`. */
static const void *weights_form(struct weights *w, struct compute *c, const struct desc *raw, const struct desc *want,
                                int64_t channels, int64_t others, bool by_rows, bool adjoint, struct error *err)
{
  pthread_mutex_lock(&w->lock);
  const void *found = NULL;
  for (struct packed *p = w->forms; p && !found; p = p->next)
    if (p->adjoint == adjoint && dnnl_memory_desc_equal(MD(&p->desc), MD(want)))
      found = p->data;
  float *scaled = NULL;
  size_t raw_bytes = (size_t)channels * (size_t)others * sizeof(float);
  struct packed *made = NULL;
  if (!found) {
    made = mem_zero(1, sizeof *made);
    if (made) {
      made->bytes = dnnl_memory_desc_get_size(MD(want));
      made->data = mem_map(made->bytes);
    }
    if (w->scale)
      scaled = mem_map(raw_bytes);
    if (!made || !made->data || (w->scale && !scaled)) {
      error_memory(err, "packed weights");
    } else {
      if (scaled) {
        memcpy(scaled, w->raw, raw_bytes);
        if (by_rows)
          scale_rows(scaled, w->scale, channels, others);
        else
          scale_columns(scaled, w->scale, others, channels);
      }
      if (reorder(c, raw, scaled ? scaled : w->raw, want, made->data, err)) {
#if DNNL_VERSION_MAJOR >= 3
        made->desc.set = dnnl_memory_desc_clone(&made->desc.md, want->md) == dnnl_success;
#else
        made->desc = *want;
#endif
        made->adjoint = adjoint;
        made->next = w->forms;
        w->forms = made;
        found = made->data;
      }
    }
  }
  if (made && !found) {
    mem_unmap(made->data, made->bytes);
    mem_free(made);
  }
  mem_unmap(scaled, raw_bytes);
  pthread_mutex_unlock(&w->lock);
  return found;
}

/* ---- kernels --------------------------------------------------------------------------------------------------- */

enum { ARG_SRC, ARG_WEIGHTS, ARG_BIAS, ARG_DST, ARG_SCRATCH, ARG_COUNT };

struct kernel {
  struct compute *compute;
  dnnl_primitive_t primitive;
  dnnl_memory_t memory[ARG_COUNT]; /* NULL where the kernel has no such argument */
  int id[ARG_COUNT];               /* the library's name of the argument */
  const void *packed;              /* constant weights, or NULL */
  size_t scratch;
  bool reference;
  struct kernel *then; /* run on dst afterwards, or NULL; owned */
};

void kernel_free(struct kernel *k)
{
  if (!k)
    return;
  for (int i = 0; i < ARG_COUNT; i++)
    if (k->memory[i])
      dnnl_memory_destroy(k->memory[i]);
  if (k->primitive)
    dnnl_primitive_destroy(k->primitive);
  kernel_free(k->then);
  mem_free(k);
}

size_t kernel_scratch(const struct kernel *k)
{
  return k->scratch;
}

bool kernel_is_reference(const struct kernel *k)
{
  return k->reference;
}

static bool bind(struct kernel *k, int arg, int id, const struct desc *desc, struct error *err)
{
  k->id[arg] = id;
  return !failed(dnnl_memory_create(&k->memory[arg], MD(desc), k->compute->engine, DNNL_MEMORY_NONE), err,
                 "kernel memory");
}

/* A primitive and its scratch from a descriptor, which is consumed. */
static struct kernel *kernel_make(struct compute *c, dnnl_primitive_desc_t pd, struct error *err)
{
  struct kernel *k = mem_zero(1, sizeof *k);
  const char *name = "";
  bool ok = k != NULL;
  if (!ok) {
    error_memory(err, "a kernel");
  } else {
    k->compute = c;
    (void)dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name);
    k->reference = strncmp(name, "ref", 3) == 0;
    ok = !failed(dnnl_primitive_create(&k->primitive, pd), err, "kernel");
    struct desc scratch = {.set = false};
    if (ok && desc_copy(&scratch, pd, dnnl_query_scratchpad_md, 0) == dnnl_success) {
      k->scratch = dnnl_memory_desc_get_size(MD(&scratch));
      ok = k->scratch == 0 || bind(k, ARG_SCRATCH, DNNL_ARG_SCRATCHPAD, &scratch, err);
    }
    desc_free(&scratch);
  }
  dnnl_primitive_desc_destroy(pd);
  if (!ok) {
    kernel_free(k);
    return NULL;
  }
  return k;
}

/* What a unary function is called in the library: one step, or two for the hard sigmoid. */
struct step {
  dnnl_alg_kind_t alg;
  float alpha, beta;
};

static int steps_of(struct post p, struct step out[2])
{
  static const dnnl_alg_kind_t algorithm[] = {
      [UNARY_RELU] = dnnl_eltwise_relu,
      [UNARY_CLIP] = dnnl_eltwise_clip,
      [UNARY_LEAKY_RELU] = dnnl_eltwise_relu,
      [UNARY_ELU] = dnnl_eltwise_elu,
      [UNARY_SIGMOID] = dnnl_eltwise_logistic,
      [UNARY_TANH] = dnnl_eltwise_tanh,
      [UNARY_HARD_SIGMOID] = dnnl_eltwise_linear,
      [UNARY_HARD_SWISH] = dnnl_eltwise_hardswish,
      [UNARY_SILU] = dnnl_eltwise_swish,
      [UNARY_GELU_ERF] = dnnl_eltwise_gelu_erf,
      [UNARY_GELU_TANH] = dnnl_eltwise_gelu_tanh,
      [UNARY_MISH] = dnnl_eltwise_mish,
      [UNARY_EXP] = dnnl_eltwise_exp,
      [UNARY_LOG] = dnnl_eltwise_log,
      [UNARY_SQRT] = dnnl_eltwise_sqrt,
      [UNARY_ABS] = dnnl_eltwise_abs,
      [UNARY_LINEAR] = dnnl_eltwise_linear,
  };
  if (p.kind == UNARY_NONE)
    return 0;
  out[0] = (struct step){algorithm[p.kind], p.a, p.b};
  switch (p.kind) {
  case UNARY_RELU:
    out[0].alpha = 0;
    break;
  case UNARY_SILU:
    out[0].alpha = 1;
    break;
  case UNARY_HARD_SWISH: /* v2 has these constants built in and ignores them */
    out[0].alpha = 1.0f / 6.0f;
    out[0].beta = 0.5f;
    break;
  case UNARY_HARD_SIGMOID:
    out[1] = (struct step){dnnl_eltwise_clip, 0, 1};
    return 2;
  default:
    break;
  }
  return 1;
}

/* Attributes: scratch memory from the caller, then sum, then the functions in order. */
static dnnl_primitive_attr_t attributes(bool sum, const struct post *post, int n_post, struct error *err)
{
  dnnl_primitive_attr_t attr = NULL;
  dnnl_post_ops_t ops = NULL;
  bool ok =
      !failed(dnnl_primitive_attr_create(&attr), err, "kernel attributes") &&
      !failed(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user), err, "kernel attributes") &&
      !failed(dnnl_post_ops_create(&ops), err, "kernel attributes") &&
      (!sum || !failed(append_sum(ops), err, "kernel attributes"));
  for (int i = 0; ok && i < n_post; i++) {
    struct step step[2];
    for (int j = 0, n = steps_of(post[i], step); ok && j < n; j++)
      ok = !failed(append_eltwise(ops, step[j].alg, step[j].alpha, step[j].beta), err, "kernel attributes");
  }
  ok = ok && !failed(dnnl_primitive_attr_set_post_ops(attr, ops), err, "kernel attributes");
  if (ops)
    dnnl_post_ops_destroy(ops);
  if (!ok && attr) {
    dnnl_primitive_attr_destroy(attr);
    attr = NULL;
  }
  return attr;
}

static dnnl_data_type_t data_type(enum number n)
{
  return n == NUMBER_BF16 ? dnnl_bf16 : dnnl_f32;
}

/* Descriptors of a convolution; weights in any order, and in the file's. */
struct conv_descs {
  struct desc src, dst, bias, any, raw;
  dnnl_dims_t strides, dilates, before, after;
};

static void conv_descs_free(struct conv_descs *d)
{
  desc_free(&d->src);
  desc_free(&d->dst);
  desc_free(&d->bias);
  desc_free(&d->any);
  desc_free(&d->raw);
}

static bool conv_describe(const struct conv_spec *s, struct conv_descs *d, struct error *err)
{
  const int64_t g = s->groups;
  const int w_rank = g > 1 ? 5 : 4;
  const dnnl_dims_t src = {s->n, s->ic, s->ih, s->iw}, dst = {s->n, s->oc, s->oh, s->ow}, bias = {s->oc};
  const dnnl_dims_t dense = {s->oc, s->ic, s->kh, s->kw}, grouped = {g, s->oc / g, s->ic / g, s->kh, s->kw};
  const dnnl_dims_t strides = {s->sh, s->sw}, dilates = {s->dh - 1, s->dw - 1};
  const dnnl_dims_t before = {s->pt, s->pl}, after = {s->pb, s->pr};
  memcpy(d->strides, strides, sizeof strides);
  memcpy(d->dilates, dilates, sizeof dilates);
  memcpy(d->before, before, sizeof before);
  memcpy(d->after, after, sizeof after);
  const char *what = "convolution";
  return !failed(desc_by_tag(&d->src, 4, src, data_type(s->src), dnnl_nhwc), err, what) &&
         !failed(desc_by_tag(&d->dst, 4, dst, data_type(s->dst), dnnl_nhwc), err, what) &&
         (!s->bias || !failed(desc_by_tag(&d->bias, 1, bias, dnnl_f32, dnnl_a), err, what)) &&
         !failed(desc_by_tag(&d->any, w_rank, g > 1 ? grouped : dense, data_type(s->src), dnnl_format_tag_any), err,
                 what) &&
         !failed(desc_by_tag(&d->raw, w_rank, g > 1 ? grouped : dense, dnnl_f32, g > 1 ? dnnl_goihw : dnnl_oihw), err,
                 what);
}

struct kernel *kernel_conv(struct compute *c, const struct conv_spec *s, struct weights *weights, struct error *err)
{
  struct conv_descs d = {.src.set = false};
  struct desc chosen = {.set = false};
  struct kernel *k = NULL;
  dnnl_primitive_desc_t pd = NULL;
  dnnl_primitive_attr_t attr = attributes(s->sum, s->post, s->n_post, err);
  bool ok = attr && conv_describe(s, &d, err) &&
            !failed(conv_pd(&pd, c, &d.src, &d.any, &d.bias, &d.dst, d.strides, d.dilates, d.before, d.after, attr),
                    err, "convolution") &&
            !failed(desc_copy(&chosen, pd, dnnl_query_weights_md, 0), err, "convolution");
  if (ok)
    k = kernel_make(c, pd, err);
  if (k) {
    k->packed = weights_form(weights, c, &d.raw, &chosen, s->oc, s->ic / s->groups * s->kh * s->kw, true, false, err);
    ok = k->packed && bind(k, ARG_SRC, DNNL_ARG_SRC, &d.src, err) &&
         bind(k, ARG_WEIGHTS, DNNL_ARG_WEIGHTS, &chosen, err) &&
         (!s->bias || bind(k, ARG_BIAS, DNNL_ARG_BIAS, &d.bias, err)) && bind(k, ARG_DST, DNNL_ARG_DST, &d.dst, err);
    if (!ok) {
      kernel_free(k);
      k = NULL;
    }
  }
  desc_free(&chosen);
  conv_descs_free(&d);
  if (attr)
    dnnl_primitive_attr_destroy(attr);
  return k;
}

struct kernel *kernel_conv_backward(struct compute *c, const struct conv_spec *s, struct weights *weights,
                                    struct error *err)
{
  struct conv_descs d = {.src.set = false};
  struct desc chosen = {.set = false}, none = {.set = false};
  struct kernel *k = NULL;
  dnnl_primitive_desc_t hint = NULL, pd = NULL;
  dnnl_primitive_attr_t attr = attributes(false, NULL, 0, err);
  bool ok =
      attr && conv_describe(s, &d, err) &&
      !failed(conv_pd(&hint, c, &d.src, &d.any, &none, &d.dst, d.strides, d.dilates, d.before, d.after, attr), err,
              "convolution") &&
      !failed(conv_backward_pd(&pd, c, &d.src, &d.any, &d.dst, d.strides, d.dilates, d.before, d.after, hint, attr),
              err, "reverse convolution") &&
      !failed(desc_copy(&chosen, pd, dnnl_query_weights_md, 0), err, "reverse convolution");
  if (ok)
    k = kernel_make(c, pd, err);
  if (k) {
    k->packed = weights_form(weights, c, &d.raw, &chosen, s->oc, s->ic / s->groups * s->kh * s->kw, true, false, err);
    ok = k->packed && bind(k, ARG_SRC, DNNL_ARG_DIFF_DST, &d.dst, err) &&
         bind(k, ARG_WEIGHTS, DNNL_ARG_WEIGHTS, &chosen, err) && bind(k, ARG_DST, DNNL_ARG_DIFF_SRC, &d.src, err);
    if (!ok) {
      kernel_free(k);
      k = NULL;
    }
  }
  desc_free(&chosen);
  conv_descs_free(&d);
  if (hint)
    dnnl_primitive_desc_destroy(hint);
  if (attr)
    dnnl_primitive_attr_destroy(attr);
  return k;
}

struct kernel *kernel_matmul(struct compute *c, const struct matmul_spec *s, struct weights *weights, struct error *err)
{
  const int rank = s->b > 1 ? 3 : 2, o = 3 - rank; /* o: dims below are written for rank 3, cut to 2 */
  const int64_t wb = s->weights_shared ? 1 : s->b;
  const dnnl_dims_t src3 = {s->b, s->m, s->k}, w3 = {wb, s->k, s->n}, dst3 = {s->b, s->m, s->n}, bias3 = {1, 1, s->n};
  const dnnl_dims_t src_t3 = {s->m * s->k, 1, s->m}, w_t3 = {s->k * s->n, 1, s->k};
  dnnl_dims_t src = {0}, w = {0}, dst = {0}, bias = {0}, src_t = {0}, w_t = {0};
  for (int i = 0; i < rank; i++) {
    src[i] = src3[i + o];
    w[i] = w3[i + o];
    dst[i] = dst3[i + o];
    bias[i] = bias3[i + o];
    src_t[i] = src_t3[i + o];
    w_t[i] = w_t3[i + o];
  }
  const dnnl_format_tag_t plain = rank == 3 ? dnnl_abc : dnnl_ab;
  const char *what = "matrix product";
  struct desc d_src = {.set = false}, d_w = {.set = false}, d_raw = {.set = false}, d_dst = {.set = false},
              d_bias = {.set = false}, chosen = {.set = false};
  struct kernel *k = NULL;
  dnnl_primitive_desc_t pd = NULL;
  dnnl_primitive_attr_t attr = attributes(s->sum, s->post, s->n_post, err);
  bool ok = attr &&
            !failed(s->src_transposed ? desc_by_strides(&d_src, rank, src, data_type(s->src), src_t)
                                      : desc_by_tag(&d_src, rank, src, data_type(s->src), plain),
                    err, what) &&
            !failed(weights                 ? desc_by_tag(&d_w, rank, w, data_type(s->src), dnnl_format_tag_any)
                    : s->weights_transposed ? desc_by_strides(&d_w, rank, w, data_type(s->src), w_t)
                                            : desc_by_tag(&d_w, rank, w, data_type(s->src), plain),
                    err, what) &&
            (!weights || !failed(s->weights_transposed ? desc_by_strides(&d_raw, rank, w, dnnl_f32, w_t)
                                                       : desc_by_tag(&d_raw, rank, w, dnnl_f32, plain),
                                 err, what)) &&
            !failed(desc_by_tag(&d_dst, rank, dst, data_type(s->dst), plain), err, what) &&
            (!s->bias || !failed(desc_by_tag(&d_bias, rank, bias, dnnl_f32, plain), err, what)) &&
            !failed(matmul_pd(&pd, c, &d_src, &d_w, &d_bias, &d_dst, attr), err, what) &&
            !failed(desc_copy(&chosen, pd, dnnl_query_weights_md, 0), err, what);
  if (ok)
    k = kernel_make(c, pd, err);
  if (k) {
    if (weights)
      k->packed = weights_form(weights, c, &d_raw, &chosen, s->adjoint ? s->k : s->n, (s->adjoint ? s->n : s->k) * wb,
                               s->weights_transposed != s->adjoint, s->adjoint, err);
    ok = (k->packed || !weights) && bind(k, ARG_SRC, DNNL_ARG_SRC, &d_src, err) &&
         bind(k, ARG_WEIGHTS, DNNL_ARG_WEIGHTS, &chosen, err) &&
         (!s->bias || bind(k, ARG_BIAS, DNNL_ARG_BIAS, &d_bias, err)) && bind(k, ARG_DST, DNNL_ARG_DST, &d_dst, err);
    if (!ok) {
      kernel_free(k);
      k = NULL;
    }
  }
  desc_free(&d_src);
  desc_free(&d_w);
  desc_free(&d_raw);
  desc_free(&d_dst);
  desc_free(&d_bias);
  desc_free(&chosen);
  if (attr)
    dnnl_primitive_attr_destroy(attr);
  return k;
}

/* Source and destination around a descriptor that is consumed: what unary functions and softmax share. */
static struct kernel *kernel_simple(struct compute *c, dnnl_primitive_desc_t pd, const struct desc *src,
                                    const struct desc *dst, struct error *err)
{
  struct kernel *k = kernel_make(c, pd, err);
  if (k && !(bind(k, ARG_SRC, DNNL_ARG_SRC, src, err) && bind(k, ARG_DST, DNNL_ARG_DST, dst, err))) {
    kernel_free(k);
    k = NULL;
  }
  return k;
}

struct kernel *kernel_unary(struct compute *c, int64_t count, struct post post, struct error *err)
{
  const dnnl_dims_t dims = {count};
  struct step step[2];
  struct desc d = {.set = false};
  struct kernel *first = NULL, **link = &first;
  dnnl_primitive_attr_t attr = attributes(false, NULL, 0, err);
  bool ok = attr && !failed(desc_by_tag(&d, 1, dims, dnnl_f32, dnnl_a), err, "element-wise function");
  for (int i = 0, n = steps_of(post, step); ok && i < n; i++) {
    dnnl_primitive_desc_t pd = NULL;
    ok =
        !failed(eltwise_pd(&pd, c, step[i].alg, &d, step[i].alpha, step[i].beta, attr), err, "element-wise function") &&
        (*link = kernel_simple(c, pd, &d, &d, err)) != NULL;
    if (ok)
      link = &(*link)->then;
  }
  desc_free(&d);
  if (attr)
    dnnl_primitive_attr_destroy(attr);
  if (!ok) {
    kernel_free(first);
    return NULL;
  }
  return first;
}

struct kernel *kernel_softmax(struct compute *c, int64_t outer, int64_t axis, int64_t inner, bool logarithm,
                              struct error *err)
{
  const dnnl_dims_t dims = {outer, axis, inner};
  struct desc d = {.set = false};
  struct kernel *k = NULL;
  dnnl_primitive_desc_t pd = NULL;
  dnnl_primitive_attr_t attr = attributes(false, NULL, 0, err);
  if (attr &&
      !failed(desc_by_tag(&d, inner > 1 ? 3 : 2, dims, dnnl_f32, inner > 1 ? dnnl_abc : dnnl_ab), err, "softmax") &&
      !failed(softmax_pd(&pd, c, logarithm, &d, 1, attr), err, "softmax"))
    k = kernel_simple(c, pd, &d, &d, err);
  desc_free(&d);
  if (attr)
    dnnl_primitive_attr_destroy(attr);
  return k;
}

bool kernel_run(struct kernel *k, const void *src, const void *right, const float *bias, void *dst, void *scratch,
                struct error *err)
{
  /* The library takes plain pointers for what it only reads. */
  void *const handle[ARG_COUNT] = {(void *)(uintptr_t)src, (void *)(uintptr_t)(k->packed ? k->packed : right),
                                   (void *)(uintptr_t)bias, dst, scratch};
  dnnl_exec_arg_t args[ARG_COUNT];
  int count = 0;
  for (int i = 0; i < ARG_COUNT; i++)
    if (k->memory[i]) {
      if (failed(dnnl_memory_set_data_handle(k->memory[i], handle[i]), err, "kernel"))
        return false;
      args[count++] = (dnnl_exec_arg_t){k->id[i], k->memory[i]};
    }
  return !failed(dnnl_primitive_execute(k->primitive, k->compute->stream, count, args), err, "kernel") &&
         !failed(dnnl_stream_wait(k->compute->stream), err, "kernel") &&
         (!k->then || kernel_run(k->then, dst, NULL, NULL, dst, NULL, err));
}
