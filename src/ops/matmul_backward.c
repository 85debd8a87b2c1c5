/* SPDX-License-Identifier: Apache-2.0 */
/* The way back through matrix products C = A B: dA = dC B^T, dB = A^T dC. A product with a constant is one product for
 * all samples, with the constant turned round when it is packed. */
#include "ops/matmul.h"

#include "base/mem.h"
#include "ops/reverse.h"

#include <string.h>

struct products {
  struct kernel *left, *right; /* of dA and dB; NULL: not wanted */
};

static void release(void *state)
{
  struct products *p = state;
  if (!p)
    return;
  kernel_free(p->left);
  kernel_free(p->right);
  mem_free(p);
}

static enum number number_of(const struct value *value)
{
  return value->t.dtype == DTYPE_BF16 ? NUMBER_BF16 : NUMBER_F32;
}

static bool varies(const struct node *node, int i)
{
  return node_has(node, i) && !node->in[i]->t.data;
}

/* Kernels for the two; NULL: not wanted. */
static bool make(struct compute *compute, const struct matmul_spec *left, struct weights *weights,
                 const struct matmul_spec *right, struct prepared *out, struct error *err)
{
  struct products *p = mem_zero(1, sizeof *p);
  if (!p)
    return error_memory(err, "a matrix product");
  if ((left && !(p->left = kernel_matmul(compute, left, weights, err))) ||
      (right && !(p->right = kernel_matmul(compute, right, NULL, err)))) {
    release(p);
    return false;
  }
  const size_t a = p->left ? kernel_scratch(p->left) : 0, b = p->right ? kernel_scratch(p->right) : 0;
  out->state = p;
  out->scratch = a > b ? a : b;
  return true;
}

/* Two signals meet in attention: the rules for rectifiers say nothing about that. */
static bool sends(const struct node *node, enum rule rule, unsigned *inputs, struct error *err)
{
  if (rule != RULE_GRADIENT && varies(node, 0) && varies(node, 1))
    return node_error(node, err, "multiplies two signals, as attention does (deconv-unsupported)");
  (void)inputs;
  return true;
}

static unsigned keeps_of(const struct node *node, enum rule rule, unsigned wanted)
{
  (void)rule;
  return (wanted & BACKWARD_IN(0) && varies(node, 1) ? BACKWARD_IN(1) : 0) |
         (wanted & BACKWARD_IN(1) && varies(node, 0) ? BACKWARD_IN(0) : 0);
}

/* ---- MatMul ---------------------------------------------------------------------------------------------------- */

static bool matmul_prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                           struct error *err)
{
  const struct matmul *p = node->params;
  const int64_t lead = shape_count(&p->lead);
  const enum matmul_way way = matmul_way(node);
  struct matmul_spec left = {.b = 1, .m = p->m, .k = p->n, .n = p->k, .weights_transposed = true};
  struct matmul_spec right = {.b = 1, .m = p->k, .k = p->m, .n = p->n, .src_transposed = true};
  if (way == MATMUL_ONE) {
    left.m *= n * lead;
    left.adjoint = true;
    left.src = number_of(node->out[0]);
    left.dst = number_of(node->in[0]);
    return make(compute, &left, node->weights, NULL, out, err);
  }
  if (way == MATMUL_BATCHED)
    left.b = right.b = n * lead;
  else
    left.sum = right.sum = true; /* what was broadcast collects the signals of its copies */
  return make(compute, varies(node, 0) ? &left : NULL, NULL, varies(node, 1) ? &right : NULL, out, err);
}

static bool matmul_run(const struct reverse *r, struct error *err)
{
  const struct node *node = r->node;
  const struct matmul *p = node->params;
  const struct products *k = r->state;
  const int64_t lead = shape_count(&p->lead);
  if (matmul_way(node) != MATMUL_EACH)
    return (!r->to[0] || kernel_run(k->left, r->from[0], r->in[1], NULL, r->to[0], r->scratch, err)) &&
           (!r->to[1] || kernel_run(k->right, r->in[0], r->from[0], NULL, r->to[1], r->scratch, err));
  const int64_t a_block = tensor_count(&node->in[0]->t), b_block = tensor_count(&node->in[1]->t);
  for (int i = 0; i < 2; i++)
    if (r->to[i])
      memset(r->to[i], 0, (size_t)r->n * tensor_bytes(&node->in[i]->t));
  for (int64_t s = 0; s < r->n; s++)
    for (int64_t i = 0; i < lead; i++) {
      const int64_t a = (r->in_batched[0] ? s * a_block : 0) + matmul_operand(&p->lead_a, &p->lead, i) * p->m * p->k;
      const int64_t b = (r->in_batched[1] ? s * b_block : 0) + matmul_operand(&p->lead_b, &p->lead, i) * p->k * p->n;
      const float *g = r->from[0] + (s * lead + i) * p->m * p->n;
      if (r->to[0] && !kernel_run(k->left, g, (const float *)r->in[1] + b, NULL, r->to[0] + a, r->scratch, err))
        return false;
      if (r->to[1] && !kernel_run(k->right, (const float *)r->in[0] + a, g, NULL, r->to[1] + b, r->scratch, err))
        return false;
    }
  return true;
}

/* ---- Gemm ------------------------------------------------------------------------------------------------------ */

static bool gemm_prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                         struct error *err)
{
  const struct gemm *g = node->params;
  if (gemm_flat(g)) {
    const struct matmul_spec left = {.b = 1,
                                     .m = n * g->m,
                                     .k = g->n,
                                     .n = g->k,
                                     .weights_transposed = !g->trans_b,
                                     .adjoint = true,
                                     .src = number_of(node->out[0]),
                                     .dst = number_of(node->in[0])};
    return make(compute, varies(node, 0) ? &left : NULL, node->weights, NULL, out, err);
  }
  /* A is [m,k], or [k,m] where it is transposed: then its signal is B dC^T. */
  struct matmul_spec left = {.b = 1, .m = g->m, .k = g->n, .n = g->k, .weights_transposed = !g->trans_b};
  if (g->trans_a)
    left = (struct matmul_spec){
        .b = 1, .m = g->k, .k = g->n, .n = g->m, .src_transposed = g->trans_b, .weights_transposed = true};
  /* B is [k,n], or [n,k]: then its signal is dC^T A. */
  struct matmul_spec right = {.b = 1, .m = g->k, .k = g->m, .n = g->n, .src_transposed = !g->trans_a};
  if (g->trans_b)
    right = (struct matmul_spec){
        .b = 1, .m = g->n, .k = g->m, .n = g->k, .src_transposed = true, .weights_transposed = g->trans_a};
  return make(compute, varies(node, 0) ? &left : NULL, NULL, varies(node, 1) ? &right : NULL, out, err);
}

static void scale(float *x, float by, int64_t count)
{
  for (int64_t i = 0; i < count && by != 1; i++)
    x[i] *= by;
}

static void beta_term(const void *context, int64_t n, const void *const *p, const int64_t *stride, float *t)
{
  const float *g = p[0], beta = *(const float *)context;
  for (int64_t i = 0; i < n; i++)
    t[i] = beta * g[i * stride[0]];
}

static bool gemm_run(const struct reverse *r, struct error *err)
{
  const struct node *node = r->node;
  const struct gemm *g = node->params;
  const struct products *k = r->state;
  const struct tensor *out = &node->out[0]->t;
  if (node->n_in > 2 && r->to[2]) {
    const struct reverse_source source = {out, r->from[0], true};
    reverse_sum(r, out, &node->in[2]->t, r->to[2], false, 1, &source, beta_term, &g->beta);
  }
  if (gemm_flat(g))
    return !r->to[0] || kernel_run(k->left, r->from[0], NULL, NULL, r->to[0], r->scratch, err);
  for (int64_t s = 0; s < r->n; s++) {
    /* An operand whose partner's signal is not wanted is not there. */
    const float *a = r->to[1] ? (const float *)r->in[0] + (r->in_batched[0] ? s * g->m * g->k : 0) : NULL;
    const float *b = r->to[0] ? (const float *)r->in[1] + (r->in_batched[1] ? s * g->k * g->n : 0) : NULL;
    const float *c = r->from[0] + s * g->m * g->n;
    float *da = r->to[0] ? r->to[0] + s * g->m * g->k : NULL, *db = r->to[1] ? r->to[1] + s * g->k * g->n : NULL;
    if ((da && !kernel_run(k->left, g->trans_a ? b : c, g->trans_a ? c : b, NULL, da, r->scratch, err)) ||
        (db && !kernel_run(k->right, g->trans_b ? c : a, g->trans_b ? a : c, NULL, db, r->scratch, err)))
      return false;
    if (da)
      scale(da, g->alpha, g->m * g->k);
    if (db)
      scale(db, g->alpha, g->k * g->n);
  }
  return true;
}

const struct backward backward_matmul = {.flags = BACKWARD_BF16,
                                         .keeps_of = keeps_of,
                                         .sends = sends,
                                         .prepare = matmul_prepare,
                                         .release = release,
                                         .run = matmul_run};
const struct backward backward_gemm = {.flags = BACKWARD_BF16,
                                       .keeps_of = keeps_of,
                                       .sends = sends,
                                       .prepare = gemm_prepare,
                                       .release = release,
                                       .run = gemm_run};
