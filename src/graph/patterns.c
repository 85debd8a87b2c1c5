/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/patterns.h"

#include "ops/op.h"

#include <math.h>
#include <string.h>

struct joining {
  struct graph *graph;
  const bool *pinned;
};

/* The node of this type that makes `value`, if `uses` reads are all it has and nobody wants to see it. */
static struct node *maker(const struct joining *j, const struct value *value, const char *type, int uses)
{
  struct node *node = value ? value->producer : NULL;
  return node && strcmp(node->type, type) == 0 && value->uses == uses && !j->pinned[value->id] && !node->residual &&
                 node->out[0] == value
             ? node
             : NULL;
}

static int64_t channels_of(const struct node *node)
{
  const struct tensor *t = &node->in[0]->t;
  return t->layout == LAYOUT_CHANNELS_LAST ? t->shape.dim[1] : t->shape.rank ? t->shape.dim[t->shape.rank - 1] : 1;
}

/* The one value of a per-channel list, NAN where it varies; `none` where there is no list. */
static float uniform(const float *list, int64_t n, float none)
{
  if (!list)
    return none;
  for (int64_t i = 1; i < n; i++)
    if (list[i] != list[0])
      return NAN;
  return list[0];
}

static bool near(float a, double b)
{
  return fabs((double)a - b) <= 1e-5 * fabs(b);
}

/* An Affine node that is value * scale + shift with these numbers, without functions. */
static struct node *affine_maker(const struct joining *j, const struct value *value, double scale, double shift)
{
  struct node *node = maker(j, value, "Affine", 1);
  if (!node || node->n_post)
    return NULL;
  const int64_t n = channels_of(node);
  const float s = uniform(node->scale, n, 1), t = uniform(node->shift, n, 0);
  return near(s, scale) && (shift == 0 ? t == 0 : near(t, shift)) ? node : NULL;
}

/* Turn `node` into post(x). */
static void become(struct node *node, struct value *x, struct post post)
{
  node->type = "Affine";
  node->domain = "penumbra";
  node->opset = 1;
  node->op = op_find(node->domain, node->type, 1);
  node->in[0] = x;
  node->n_in = 1;
  node->scale = node->shift = NULL;
  node->post[0] = post;
  node->n_post = 1;
}

static bool same_form(const struct value *a, const struct value *b)
{
  return shape_equal(&a->t.shape, &b->t.shape) && a->t.layout == b->t.layout && a->t.dtype == b->t.dtype;
}

/* x * sigmoid(x), x * hard_sigmoid(x): the two operands in either order. */
static bool join_gated(const struct joining *j, struct node *node)
{
  for (int k = 0; k < 2; k++) {
    struct value *x = node->in[k];
    const struct node *gate = maker(j, node->in[!k], "Sigmoid", 1);
    enum unary kind = UNARY_SILU;
    double alpha = 0.2, beta = 0.5;
    struct error ignored = {ERROR_NONE};
    if (!gate) {
      gate = maker(j, node->in[!k], "HardSigmoid", 1);
      kind = UNARY_HARD_SWISH;
      if (gate &&
          (!node_float(gate, "alpha", 0.2, &alpha, &ignored) || !node_float(gate, "beta", 0.5, &beta, &ignored) ||
           fabs(alpha - 1.0 / 6) > 1e-6 || fabs(beta - 0.5) > 1e-6))
        gate = NULL;
    }
    if (gate && gate->in[0] == x && same_form(x, node->out[0])) {
      become(node, x, (struct post){kind, 0, 0});
      return true;
    }
  }
  return false;
}

/* 1 + erf(x / sqrt 2) of some x, or NULL. */
static struct value *erf_gate(const struct joining *j, const struct value *value)
{
  const struct node *plus = affine_maker(j, value, 1, 1);
  const struct node *erf = plus ? maker(j, plus->in[0], "Erf", 1) : NULL;
  const struct node *scaled = erf ? affine_maker(j, erf->in[0], 0.70710678118654752, 0) : NULL;
  return scaled ? scaled->in[0] : NULL;
}

/* GELU, x * (1 + erf(x / sqrt 2)) / 2, halved at the end (node is the Affine) or at the beginning (node is the Mul). */
static bool join_gelu(const struct joining *j, struct node *node)
{
  const bool late = strcmp(node->type, "Affine") == 0;
  const struct node *product = node;
  if (late) {
    const int64_t n = channels_of(node);
    if (node->n_post || node->residual || !near(uniform(node->scale, n, 1), 0.5) || uniform(node->shift, n, 0) != 0)
      return false;
    product = maker(j, node->in[0], "Mul", 1);
  }
  for (int k = 0; product && k < 2; k++) {
    struct value *x = erf_gate(j, product->in[!k]);
    const struct node *half = late ? NULL : affine_maker(j, product->in[k], 0.5, 0);
    if (x && (late ? product->in[k] : half ? half->in[0] : NULL) == x && same_form(x, node->out[0])) {
      become(node, x, (struct post){UNARY_GELU_ERF, 0, 0});
      return true;
    }
  }
  return false;
}

/* Mean over the last axis, kept. */
static bool is_last_mean(const struct node *node, const struct value *x)
{
  const struct shape *in = &x->t.shape, *out = &node->out[0]->t.shape;
  if (node->in[0] != x || in->rank != out->rank || in->rank < 1 || out->dim[in->rank - 1] != 1 ||
      in->dim[in->rank - 1] < 2)
    return false;
  for (int i = 0; i < in->rank - 1; i++)
    if (in->dim[i] != out->dim[i])
      return false;
  return x->t.layout == LAYOUT_PLAIN;
}

static bool is_square(const struct node *node, const struct value *x)
{
  if (strcmp(node->type, "Mul") == 0)
    return node->in[0] == x && node->in[1] == x;
  const struct value *two = node->in[1];
  return strcmp(node->type, "Pow") == 0 && node->in[0] == x && two->t.data && two->t.dtype == DTYPE_F32 &&
         tensor_count(&two->t) == 1 && *(const float *)two->t.data == 2;
}

static struct value *constant_list(struct graph *graph, const float *list, int64_t n, float none)
{
  const struct shape shape = shape_of(1, &n);
  struct value *value = graph_constant(graph, "", DTYPE_F32, &shape);
  for (int64_t i = 0; value && i < n; i++)
    ((float *)value->t.data)[i] = list ? list[i] : none;
  return value;
}

/* (x - mean) / sqrt(mean((x - mean)^2) + epsilon) * gamma + beta, the last step being `node`. */
static bool join_layer_norm(const struct joining *j, struct node *node, struct error *err)
{
  const struct node *div = node->n_post || node->residual ? NULL : maker(j, node->in[0], "Div", 1);
  const struct value *centred = div ? div->in[0] : NULL;
  const struct node *sub = centred ? maker(j, centred, "Sub", 2) : NULL;
  if (div && !sub) /* x * x in place of x ^ 2 reads it once more */
    sub = maker(j, centred, "Sub", 3);
  const struct node *root = sub ? maker(j, div->in[1], "Sqrt", 1) : NULL;
  const struct node *shifted = root ? maker(j, root->in[0], "Affine", 1) : NULL;
  const struct node *variance =
      shifted && !shifted->scale && !shifted->n_post ? maker(j, shifted->in[0], "ReduceMean", 1) : NULL;
  const struct node *square = variance && variance->in[0]->producer ? variance->in[0]->producer : NULL;
  struct value *x = sub ? sub->in[0] : NULL;
  const struct node *mean = square ? maker(j, sub->in[1], "ReduceMean", 1) : NULL;
  if (!mean || !is_last_mean(mean, x) || !is_square(square, centred) || !is_last_mean(variance, square->out[0]) ||
      !shifted->shift || !same_form(x, node->out[0]))
    return false;
  struct graph *graph = j->graph;
  const int64_t n = x->t.shape.dim[x->t.shape.rank - 1];
  struct attr *epsilon = arena_alloc(graph->arena, sizeof *epsilon);
  struct value **in = arena_array(graph->arena, 3, sizeof *in);
  if (!epsilon || !in || !(in[1] = constant_list(graph, node->scale, n, 1)) ||
      !(in[2] = constant_list(graph, node->shift, n, 0)))
    return error_memory(err, "the graph");
  *epsilon = (struct attr){.name = "epsilon", .type = ATTR_FLOAT, .f = shifted->shift[0]};
  in[0] = x;
  node->type = "LayerNormalization";
  node->domain = "";
  node->opset = 17;
  node->op = op_find(node->domain, node->type, node->opset);
  node->in = in;
  node->n_in = 3;
  node->attrs = epsilon;
  node->n_attrs = 1;
  node->scale = node->shift = NULL;
  return node->op->shape(node, graph->arena, err);
}

/* A product times one number: attention's scale. */
static bool join_scaled_product(const struct joining *j, struct node *node)
{
  const int64_t n = channels_of(node);
  const float scale = uniform(node->scale, n, 1), shift = uniform(node->shift, n, 0);
  struct node *product = maker(j, node->in[0], "MatMul", 1);
  if (!product || product->n_post || node->n_post || node->residual || isnan(scale) || isnan(shift))
    return false;
  product->post[product->n_post++] = (struct post){UNARY_LINEAR, scale, shift};
  product->out[0] = node->out[0];
  node->out[0]->producer = product;
  return true;
}

bool patterns_join(struct graph *graph, const bool *pinned, struct error *err)
{
  const struct joining j = {graph, pinned};
  const int n = graph->n_nodes;
  for (int i = 0; i < n; i++) {
    struct node *node = graph->nodes[i];
    const bool affine = strcmp(node->type, "Affine") == 0;
    if (strcmp(node->type, "Mul") == 0 && node->n_in == 2) {
      if (!join_gated(&j, node))
        (void)join_gelu(&j, node);
    } else if (affine && !join_gelu(&j, node)) {
      if (!join_layer_norm(&j, node, err) && err->code)
        return false;
      if (strcmp(node->type, "Affine") == 0)
        (void)join_scaled_product(&j, node);
    }
  }
  graph_prune(graph);
  return true;
}
