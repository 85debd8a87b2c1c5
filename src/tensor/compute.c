/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels of oneDNN and, for some convolutions, our own. Every image is dense NHWC: a strided source or destination
 * would silently fall to the library's reference code, hundreds of times slower. */
#include "tensor/compute.h"

#include "base/mem.h"
#include "base/threads.h"
#include "tensor/onednn.h"
#include "tensor/silu.h"
#include "tensor/weights.h"
#include "tensor/winograd.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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
  bool in_tiles; /* there is no primitive, but: */
  struct winograd winograd;
  int threads;
  int64_t silu;        /* nor is there one where this counts elements of our own function */
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

static struct kernel *kernel_new(struct compute *c, struct error *err)
{
  struct kernel *k = mem_zero(1, sizeof *k);
  if (k)
    k->compute = c;
  else
    error_memory(err, "a kernel");
  return k;
}

/* A primitive and its scratch from a descriptor, which is consumed. */
static struct kernel *kernel_make(struct compute *c, dnnl_primitive_desc_t pd, struct error *err)
{
  struct kernel *k = kernel_new(c, err);
  const char *name = "";
  bool ok = k != NULL;
  if (ok) {
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

/* Functions that ride on the write, the first of n; what is left is faster as a pass of its own. */
static int riding_posts(const struct post *post, int n, enum number dst)
{
  for (int i = 0; i < n; i++)
    if (post[i].kind == UNARY_SILU && dst == NUMBER_F32 && silu_here())
      return i;
  return n;
}

/* Functions one after the other, each a pass over `count` elements. */
static struct kernel *chain_of_steps(struct compute *c, int64_t count, const struct post *post, int n_post,
                                     struct error *err);

/* ---- convolutions in tiles ------------------------------------------------------------------------------------- */

bool conv_in_tiles(const struct conv_spec *s)
{
  /* Measured on one thread, batch 1 and 16, beside direct convolution: 64 channels of 56 x 56, 128 of 28 x 28 and 256
   * of 14 x 14 are 1.4 to 1.9 times as fast, 512 of 7 x 7 1.0 to 1.4 times. The bounds are estimates: fewer channels
   * than a vector, or maps whose last tiles are mostly outside, should leave nothing of that. */
  const int64_t least_channels = 16, covered = (s->oh + s->oh % 2) * (s->ow + s->ow % 2);
  return winograd_here() && s->kh == 3 && s->kw == 3 && s->sh == 1 && s->sw == 1 && s->dh == 1 && s->dw == 1 &&
         s->groups == 1 && s->src == NUMBER_F32 && s->dst == NUMBER_F32 && s->ic >= least_channels &&
         s->oc >= least_channels && 2 * covered <= 3 * s->oh * s->ow;
}

/* What can ride on the write; the rest is left to passes of their own. */
static bool post_in_tiles(const struct conv_spec *s, struct winograd *w)
{
  if (s->n_post != 1)
    return s->n_post == 0;
  switch (s->post[0].kind) {
  case UNARY_RELU:
    w->floor = 0;
    return true;
  case UNARY_CLIP:
    w->floor = s->post[0].a;
    w->ceiling = s->post[0].b;
    return true;
  case UNARY_LEAKY_RELU:
    w->slope = s->post[0].a;
    return true;
  default:
    return false;
  }
}

static struct kernel *kernel_in_tiles(struct compute *c, const struct conv_spec *s, struct weights *weights,
                                      bool adjoint, struct error *err)
{
  struct kernel *k = kernel_new(c, err);
  if (!k)
    return NULL;
  k->in_tiles = true;
  k->threads = threads_used();
  k->winograd = (struct winograd){
      .n = s->n,
      .ic = adjoint ? s->oc : s->ic,
      .ih = adjoint ? s->oh : s->ih,
      .iw = adjoint ? s->ow : s->iw,
      .oc = adjoint ? s->ic : s->oc,
      .oh = adjoint ? s->ih : s->oh,
      .ow = adjoint ? s->iw : s->ow,
      .pt = adjoint ? 2 - s->pt : s->pt,
      .pl = adjoint ? 2 - s->pl : s->pl,
      .sum = !adjoint && s->sum,
      .floor = -INFINITY,
      .ceiling = INFINITY,
      .slope = 1,
  };
  const bool rides = adjoint || post_in_tiles(s, &k->winograd);
  k->scratch = winograd_scratch(&k->winograd, k->threads);
  k->packed = weights_winograd(weights, s->ic, s->oc, adjoint, err);
  if (!k->packed || (!rides && !(k->then = chain_of_steps(c, s->n * s->oh * s->ow * s->oc, s->post, s->n_post, err)))) {
    kernel_free(k);
    return NULL;
  }
  return k;
}

/* ---- convolutions of the library ------------------------------------------------------------------------------- */

struct kernel *kernel_conv(struct compute *c, const struct conv_spec *s, struct weights *weights, struct error *err)
{
  if (s->winograd)
    return kernel_in_tiles(c, s, weights, false, err);
  struct conv_descs d = {.src.set = false};
  struct desc chosen = {.set = false};
  struct kernel *k = NULL;
  dnnl_primitive_desc_t pd = NULL;
  const int riding = riding_posts(s->post, s->n_post, s->dst);
  dnnl_primitive_attr_t attr = attributes(s->sum, s->post, riding, err);
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
    const int64_t count = s->n * s->oh * s->ow * s->oc;
    if (ok && riding < s->n_post)
      ok = (k->then = chain_of_steps(c, count, s->post + riding, s->n_post - riding, err)) != NULL;
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
  if (s->winograd)
    return kernel_in_tiles(c, s, weights, true, err);
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

static struct kernel *kernel_silu(struct compute *c, int64_t count, struct error *err)
{
  struct kernel *k = kernel_new(c, err);
  if (k)
    k->silu = count;
  return k;
}

static struct kernel *chain_of_steps(struct compute *c, int64_t count, const struct post *post, int n_post,
                                     struct error *err)
{
  const dnnl_dims_t dims = {count};
  struct desc d = {.set = false};
  struct kernel *first = NULL, **link = &first;
  dnnl_primitive_attr_t attr = attributes(false, NULL, 0, err);
  bool ok = attr && !failed(desc_by_tag(&d, 1, dims, dnnl_f32, dnnl_a), err, "element-wise function");
  for (int p = 0; ok && p < n_post; p++) {
    struct step step[2];
    if (post[p].kind == UNARY_SILU && silu_here()) {
      ok = (*link = kernel_silu(c, count, err)) != NULL;
      link = ok ? &(*link)->then : link;
      continue;
    }
    for (int i = 0, n = steps_of(post[p], step); ok && i < n; i++) {
      dnnl_primitive_desc_t pd = NULL;
      ok = !failed(eltwise_pd(&pd, c, step[i].alg, &d, step[i].alpha, step[i].beta, attr), err,
                   "element-wise function") &&
           (*link = kernel_simple(c, pd, &d, &d, err)) != NULL;
      if (ok)
        link = &(*link)->then;
    }
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

struct kernel *kernel_unary(struct compute *c, int64_t count, struct post post, struct error *err)
{
  return chain_of_steps(c, count, &post, 1, err);
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

static bool run_primitive(struct kernel *k, const void *src, const void *right, const float *bias, void *dst,
                          void *scratch, struct error *err)
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
         !failed(dnnl_stream_wait(k->compute->stream), err, "kernel");
}

bool kernel_run(struct kernel *k, const void *src, const void *right, const float *bias, void *dst, void *scratch,
                struct error *err)
{
  bool ok = true;
  if (k->in_tiles)
    winograd_run(&k->winograd, src, k->packed, bias, dst, scratch, k->threads);
  else if (k->silu > 0)
    silu_run(k->silu, src, dst);
  else
    ok = run_primitive(k, src, right, bias, dst, scratch, err);
  return ok && (!k->then || kernel_run(k->then, dst, NULL, NULL, dst, NULL, err));
}
