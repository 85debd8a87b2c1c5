/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products: MatMul with NumPy's broadcasting, and Gemm. A constant right matrix is packed once; then all rows of
 * all samples are one product, whose rows do not depend on their number. */
#include "ops/matmul.h"

#include "base/mem.h"

#include <string.h>

static bool real_inputs(const struct node *node, struct error *err)
{
  for (int i = 0; i < node->n_in; i++)
    if (node_has(node, i) && node->in[i]->t.dtype != DTYPE_F32)
      return node_error(node, err, "integer tensors are not supported");
  return true;
}

static enum number number_of(const struct value *value)
{
  return value->t.dtype == DTYPE_BF16 ? NUMBER_BF16 : NUMBER_F32;
}

/* ---- MatMul ---------------------------------------------------------------------------------------------------- */

static bool matmul_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct shape a = node->in[0]->t.shape, b = node->in[1]->t.shape;
  if (!real_inputs(node, err))
    return false;
  if (a.rank < 1 || b.rank < 1)
    return node_error(node, err, "operands have ranks %d and %d, at least 1 is wanted", a.rank, b.rank);
  struct matmul *p = arena_alloc(arena, sizeof *p);
  if (!p)
    return error_memory(err, "a matrix product");
  node->params = p;
  const bool row = a.rank == 1, column = b.rank == 1;
  if (row)
    a = shape_of(2, (const int64_t[]){1, a.dim[0]});
  if (column)
    b = shape_of(2, (const int64_t[]){b.dim[0], 1});
  p->m = a.dim[a.rank - 2];
  p->k = a.dim[a.rank - 1];
  p->n = b.dim[b.rank - 1];
  if (b.dim[b.rank - 2] != p->k)
    return node_error(node, err, "left operand has %lld columns, right operand %lld rows", (long long)p->k,
                      (long long)b.dim[b.rank - 2]);
  const struct shape lead_a = shape_of(a.rank - 2, a.dim), lead_b = shape_of(b.rank - 2, b.dim);
  struct shape out;
  if (!shape_broadcast(&lead_a, &lead_b, &p->lead))
    return node_error(node, err, "leading dimensions do not fit each other");
  p->lead_a = lead_a;
  p->lead_b = lead_b;
  p->weights = node->in[1]->t.data && shape_count(&lead_b) == 1;
  out = p->lead;
  if (out.rank + 2 > TENSOR_MAX_RANK)
    return node_error(node, err, "result has rank %d, at most %d is supported", out.rank + 2, TENSOR_MAX_RANK);
  if (!row)
    out.dim[out.rank++] = p->m;
  if (!column)
    out.dim[out.rank++] = p->n;
  struct tensor *t = &node->out[0]->t;
  t->shape = out;
  t->dtype = DTYPE_F32;
  t->layout = LAYOUT_PLAIN;
  return shape_count(&out) >= 0 || node_error(node, err, "output is too large");
}

int64_t matmul_operand(const struct shape *own, const struct shape *all, int64_t index)
{
  int64_t offset = 0, stride = 1;
  for (int i = all->rank - 1; i >= 0; i--) {
    const int64_t at = index % all->dim[i];
    index /= all->dim[i];
    const int j = i - (all->rank - own->rank);
    if (j >= 0) {
      if (own->dim[j] > 1)
        offset += at * stride;
      stride *= own->dim[j];
    }
  }
  return offset;
}

enum matmul_way matmul_way(const struct node *node)
{
  const struct matmul *p = node->params;
  if (p->weights)
    return MATMUL_ONE;
  return !node->in[0]->t.data && !node->in[1]->t.data && shape_equal(&p->lead_a, &p->lead_b) ? MATMUL_BATCHED
                                                                                             : MATMUL_EACH;
}

static bool matmul_prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                           struct error *err)
{
  const struct matmul *p = node->params;
  const enum matmul_way way = matmul_way(node);
  const int64_t lead = shape_count(&p->lead);
  struct matmul_spec spec = {
      .b = way == MATMUL_BATCHED ? n * lead : 1,
      .m = way == MATMUL_ONE ? n * lead * p->m : p->m,
      .k = p->k,
      .n = p->n,
      .bias = node->shift != NULL,
      .sum = node->residual != NULL,
      .src = number_of(node->in[0]),
      .dst = number_of(node->out[0]),
      .n_post = node->n_post,
  };
  memcpy(spec.post, node->post, sizeof spec.post);
  struct kernel *k = kernel_matmul(compute, &spec, way == MATMUL_ONE ? node->weights : NULL, err);
  if (!k)
    return false;
  out->state = k;
  out->scratch = kernel_scratch(k);
  return true;
}

static void matmul_release(void *state)
{
  kernel_free(state);
}

static void start_from_residual(const struct call *call)
{
  if (call->residual && call->residual != call->out[0])
    memcpy(call->out[0], call->residual, (size_t)call->n * tensor_bytes(&call->node->out[0]->t));
}

static bool matmul_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct matmul *p = node->params;
  start_from_residual(call);
  if (matmul_way(node) != MATMUL_EACH)
    return kernel_run(call->state, call->in[0], call->in[1], node->shift, call->out[0], call->scratch, err);
  const int64_t lead = shape_count(&p->lead);
  const int64_t a_block = tensor_count(&node->in[0]->t), b_block = tensor_count(&node->in[1]->t);
  const float *a = call->in[0], *b = call->in[1];
  float *c = call->out[0];
  for (int64_t s = 0; s < call->n; s++)
    for (int64_t i = 0; i < lead; i++) {
      const float *left =
          a + (call->in_batched[0] ? s * a_block : 0) + matmul_operand(&p->lead_a, &p->lead, i) * p->m * p->k;
      const float *right =
          b + (call->in_batched[1] ? s * b_block : 0) + matmul_operand(&p->lead_b, &p->lead, i) * p->k * p->n;
      if (!kernel_run(call->state, left, right, node->shift, c + (s * lead + i) * p->m * p->n, call->scratch, err))
        return false;
    }
  return true;
}

static int64_t matmul_macs(const struct node *node)
{
  const struct matmul *p = node->params;
  return shape_count(&p->lead) * p->m * p->k * p->n;
}

/* ---- Gemm ------------------------------------------------------------------------------------------------------ */

/* C times beta as one value per column, where it broadcasts along the rows; NULL where it does not. */
static const float *column_bias(const struct node *node, const struct gemm *g, struct arena *arena)
{
  const struct tensor *c = &node->in[2]->t;
  const int64_t count = tensor_count(c);
  const bool per_column = c->shape.rank >= 1 && c->shape.dim[c->shape.rank - 1] == g->n && count == g->n;
  if (!c->data || !(per_column || count == 1))
    return NULL;
  float *bias = arena_array(arena, (size_t)g->n, sizeof *bias);
  for (int64_t i = 0; bias && i < g->n; i++)
    bias[i] = g->beta * ((const float *)c->data)[per_column ? i : 0];
  return bias;
}

static bool gemm_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct shape *a = &node->in[0]->t.shape, *b = &node->in[1]->t.shape;
  if (!real_inputs(node, err))
    return false;
  if (a->rank != 2 || b->rank != 2)
    return node_error(node, err, "operands have ranks %d and %d, 2 and 2 are wanted", a->rank, b->rank);
  struct gemm *g = arena_alloc(arena, sizeof *g);
  if (!g)
    return error_memory(err, "a matrix product");
  node->params = g;
  int64_t trans_a, trans_b;
  double alpha, beta;
  if (!node_int(node, "transA", 0, &trans_a, err) || !node_int(node, "transB", 0, &trans_b, err) ||
      !node_float(node, "alpha", 1, &alpha, err) || !node_float(node, "beta", 1, &beta, err))
    return false;
  g->trans_a = trans_a != 0;
  g->trans_b = trans_b != 0;
  g->alpha = (float)alpha;
  g->beta = (float)beta;
  g->m = a->dim[g->trans_a];
  g->k = a->dim[!g->trans_a];
  g->n = b->dim[!g->trans_b];
  if (b->dim[g->trans_b] != g->k)
    return node_error(node, err, "left operand has %lld columns, right operand %lld rows", (long long)g->k,
                      (long long)b->dim[g->trans_b]);
  g->weights = node->in[1]->t.data != NULL;
  const struct shape out = shape_of(2, (const int64_t[]){g->m, g->n});
  if (node_has(node, 2)) {
    struct shape both;
    if (!shape_broadcast(&node->in[2]->t.shape, &out, &both) || !shape_equal(&both, &out))
      return node_error(node, err, "the third operand does not broadcast to the product");
  }
  /* Rows of one sample are separate products then, and alpha is a scale of the columns. */
  if (g->weights && !g->trans_a) {
    if (node_has(node, 2)) {
      node->shift = column_bias(node, g, arena);
      g->plain_c = node->shift != NULL;
    }
    if (g->alpha != 1) {
      float *scale = arena_array(arena, (size_t)g->n, sizeof *scale);
      if (!scale)
        return error_memory(err, "a matrix product");
      for (int64_t i = 0; i < g->n; i++)
        scale[i] = g->alpha;
      node->scale = scale;
    }
  }
  struct tensor *t = &node->out[0]->t;
  t->shape = out;
  t->dtype = DTYPE_F32;
  t->layout = LAYOUT_PLAIN;
  return shape_count(&out) >= 0 || node_error(node, err, "output is too large");
}

bool gemm_flat(const struct gemm *g)
{
  return g->weights && !g->trans_a;
}

static bool gemm_prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                         struct error *err)
{
  const struct gemm *g = node->params;
  struct matmul_spec spec = {
      .b = 1,
      .m = gemm_flat(g) ? n * g->m : g->m,
      .k = g->k,
      .n = g->n,
      .src_transposed = g->trans_a,
      .weights_transposed = g->trans_b,
      .bias = node->shift != NULL,
      .sum = node->residual != NULL,
      .src = number_of(node->in[0]),
      .dst = number_of(node->out[0]),
      .n_post = node->n_post,
  };
  memcpy(spec.post, node->post, sizeof spec.post);
  struct kernel *k = kernel_matmul(compute, &spec, gemm_flat(g) ? node->weights : NULL, err);
  if (!k)
    return false;
  out->state = k;
  out->scratch = kernel_scratch(k);
  return true;
}

/* y = alpha*y + beta*C with C broadcast, for what could not be folded into the product. */
static void add_third(const struct node *node, const float *c, float *y)
{
  const struct gemm *g = node->params;
  const struct shape *s = node_has(node, 2) ? &node->in[2]->t.shape : NULL;
  const int64_t row_step = s && s->rank == 2 && s->dim[0] > 1 ? s->dim[1] : 0;
  const int64_t column_step = s && s->rank >= 1 && s->dim[s->rank - 1] > 1;
  const float alpha = gemm_flat(g) ? 1 : g->alpha;
  for (int64_t i = 0; i < g->m; i++)
    for (int64_t j = 0; j < g->n; j++) {
      float *at = &y[i * g->n + j];
      *at = alpha * *at + (c ? g->beta * c[i * row_step + j * column_step] : 0);
    }
}

static bool gemm_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct gemm *g = node->params;
  start_from_residual(call);
  if (gemm_flat(g)) {
    if (!kernel_run(call->state, call->in[0], NULL, node->shift, call->out[0], call->scratch, err))
      return false;
  }
  const float *a = call->in[0], *b = call->in[1];
  for (int64_t s = 0; s < call->n; s++) {
    float *y = (float *)call->out[0] + s * g->m * g->n;
    if (!gemm_flat(g) && !kernel_run(call->state, a + (call->in_batched[0] ? s * g->m * g->k : 0),
                                     b + (call->in_batched[1] ? s * g->k * g->n : 0), NULL, y, call->scratch, err))
      return false;
    if (!gemm_flat(g) || (node_has(node, 2) && !g->plain_c)) {
      const float *c = node_has(node, 2) ? call->in[2] : NULL;
      add_third(node, c ? c + (call->in_batched[2] ? s * tensor_count(&node->in[2]->t) : 0) : NULL, y);
    }
  }
  return true;
}

static int64_t gemm_macs(const struct node *node)
{
  const struct gemm *g = node->params;
  return g->m * g->k * g->n;
}

bool matmul_fuses(const struct node *node)
{
  if (node->op->shape == gemm_shape) {
    const struct gemm *g = node->params;
    return gemm_flat(g) && (!node_has(node, 2) || g->plain_c);
  }
  return matmul_way(node) == MATMUL_ONE;
}

OP_TABLE(matmul) = {
    {.type = "MatMul",
     .since = 1,
     .min_in = 2,
     .max_in = 2,
     .max_out = 1,
     .layout = OP_PLAIN,
     .flags = OP_FUSES | OP_WEIGHTS | OP_BF16,
     .shape = matmul_shape,
     .prepare = matmul_prepare,
     .release = matmul_release,
     .forward = matmul_forward,
     .macs = matmul_macs,
     .fuses = matmul_fuses,
     .backward = &backward_matmul},
    {.type = "Gemm",
     .since = 1,
     .min_in = 2,
     .max_in = 3,
     .max_out = 1,
     .layout = OP_PLAIN,
     .flags = OP_FUSES | OP_WEIGHTS | OP_BF16,
     .shape = gemm_shape,
     .prepare = gemm_prepare,
     .release = matmul_release,
     .forward = gemm_forward,
     .macs = gemm_macs,
     .fuses = matmul_fuses,
     .backward = &backward_gemm},
    {.type = NULL},
};
