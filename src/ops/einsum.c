/* SPDX-License-Identifier: Apache-2.0 */
/* Einsum: sums of products over named axes. Two operands that form a batched matrix product, which is what attention
 * is written as, are permuted to [batch, m, k] and [batch, k, n] and multiplied by a kernel; everything else is a plain
 * nest of loops with sums in double. */
#include "base/mem.h"
#include "base/threads.h"
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "ops/reverse.h"

#include <ctype.h>
#include <string.h>

enum { MAX_LABELS = 2 * TENSOR_MAX_RANK, MAX_TERMS = LOOP_OPERANDS - 1 };

struct term {
  int rank;
  int label[TENSOR_MAX_RANK];
};

struct einsum {
  int terms, labels;
  int64_t dim[MAX_LABELS]; /* per label */
  struct term in[MAX_TERMS], out;
  bool product;            /* a batched matrix product, by the three groups of labels */
  int group[3][MAX_LABELS], grouped[3];
  int summed[MAX_LABELS], n_summed;
  int kept[MAX_LABELS], n_kept; /* labels of the result, each once */
};

enum { BATCH, LEFT, RIGHT };

struct names {
  char name[MAX_LABELS]; /* of each label; '0'..'7' for the axes an ellipsis stands for, counted from the right */
  int count;
};

static int label_of(struct names *names, char name)
{
  for (int l = 0; l < names->count; l++)
    if (names->name[l] == name)
      return l;
  if (names->count == MAX_LABELS)
    return -1;
  names->name[names->count] = name;
  return names->count++;
}

static bool term_push(struct node *node, struct term *term, struct names *names, char name, struct error *err)
{
  int label = label_of(names, name);
  if (label < 0 || term->rank == TENSOR_MAX_RANK)
    return node_error(node, err, "the equation has too many axes");
  term->label[term->rank++] = label;
  return true;
}

/* One term of the equation; `hidden` axes stand behind an ellipsis. Leaves *text at what follows. */
static bool term_parse(struct node *node, const char **text, int hidden, struct term *term, struct names *names,
                       bool *ellipsis, struct error *err)
{
  term->rank = 0;
  *ellipsis = false;
  for (; **text && **text != ',' && **text != '-'; ++*text) {
    if (**text == ' ')
      continue;
    if (strncmp(*text, "...", 3) == 0) {
      if (*ellipsis)
        return node_error(node, err, "a term has two ellipses");
      *ellipsis = true;
      *text += 2;
      for (int k = hidden - 1; k >= 0; k--)
        if (!term_push(node, term, names, (char)('0' + k), err))
          return false;
    } else if (!isalpha((unsigned char)**text)) {
      return node_error(node, err, "'%c' is no axis", **text);
    } else if (!term_push(node, term, names, **text, err)) {
      return false;
    }
  }
  return true;
}

/* Letters of the term that begins at `text`. */
static int letters(const char *text)
{
  int count = 0;
  for (; *text && *text != ',' && *text != '-'; text++)
    count += isalpha((unsigned char)*text) != 0;
  return count;
}

static bool parse(struct node *node, struct einsum *e, struct error *err)
{
  const char *text;
  struct names names = {.count = 0};
  int hidden = 0;
  bool ellipsis;
  if (!node_string(node, "equation", "", &text, err))
    return false;
  e->terms = node->n_in;
  for (int l = 0; l < MAX_LABELS; l++)
    e->dim[l] = 1;
  for (int t = 0; t < e->terms; t++) {
    const struct shape *shape = &node->in[t]->t.shape;
    const int behind = shape->rank - letters(text);
    if (behind < 0)
      return node_error(node, err, "a term has more axes than shape %s", INPUT_SHAPE(node, t));
    if (!term_parse(node, &text, behind, &e->in[t], &names, &ellipsis, err))
      return false;
    if (e->in[t].rank != shape->rank)
      return node_error(node, err, "a term has %d axes, its operand shape %s", e->in[t].rank, INPUT_SHAPE(node, t));
    hidden = ellipsis && behind > hidden ? behind : hidden;
    for (int d = 0; d < shape->rank; d++) {
      int64_t *dim = &e->dim[e->in[t].label[d]];
      if (*dim == 1)
        *dim = shape->dim[d];
      else if (shape->dim[d] != *dim && shape->dim[d] != 1)
        return node_error(node, err, "an axis is %lld in one operand and %lld in another", (long long)*dim,
                          (long long)shape->dim[d]);
    }
    if (t + 1 < e->terms && *text++ != ',')
      return node_error(node, err, "the equation has fewer terms than there are operands");
  }
  e->labels = names.count;
  for (; *text == ' '; text++)
    ;
  if (strncmp(text, "->", 2) == 0) {
    text += 2;
    if (!term_parse(node, &text, hidden, &e->out, &names, &ellipsis, err))
      return false;
    if (*text || names.count != e->labels)
      return node_error(node, err, "the result has an axis that no operand has");
    for (int a = 0; a < e->out.rank; a++)
      for (int b = a + 1; b < e->out.rank; b++)
        if (e->out.label[a] == e->out.label[b])
          return node_error(node, err, "the result has an axis twice");
    return true;
  }
  if (*text)
    return node_error(node, err, "the equation has more terms than there are operands");
  /* No result given: the ellipsis, then what occurs once, by alphabet. */
  for (int k = hidden - 1; k >= 0; k--)
    if (!term_push(node, &e->out, &names, (char)('0' + k), err))
      return false;
  for (int c = 'A'; c <= 'z'; c++) {
    int uses = 0;
    for (int t = 0; t < e->terms; t++)
      for (int d = 0; d < e->in[t].rank; d++)
        uses += names.name[e->in[t].label[d]] == c;
    if (uses == 1 && !term_push(node, &e->out, &names, (char)c, err))
      return false;
  }
  return true;
}

static bool has(const struct term *term, int label)
{
  for (int d = 0; d < term->rank; d++)
    if (term->label[d] == label)
      return true;
  return false;
}

/* Sort the labels into groups; false where the two operands are no matrix product. */
static bool is_product(const struct node *node, struct einsum *e)
{
  if (e->terms != 2 || node->in[0]->t.dtype != DTYPE_F32)
    return false;
  for (int t = 0; t < 2; t++)
    for (int d = 0; d < e->in[t].rank; d++) {
      if (node->in[t]->t.shape.dim[d] != e->dim[e->in[t].label[d]])
        return false; /* broadcast */
      for (int c = 0; c < d; c++)
        if (e->in[t].label[c] == e->in[t].label[d])
          return false; /* diagonal */
    }
  int order[MAX_LABELS], count = 0; /* as in the result, so that it comes out right where it can */
  for (int d = 0; d < e->out.rank; d++)
    order[count++] = e->out.label[d];
  for (int l = 0; l < e->labels; l++)
    if (!has(&e->out, l))
      order[count++] = l;
  for (int k = 0; k < count; k++) {
    const int l = order[k];
    const bool a = has(&e->in[0], l), b = has(&e->in[1], l);
    if (has(&e->out, l)) {
      const int g = a && b ? BATCH : (a ? LEFT : RIGHT);
      e->group[g][e->grouped[g]++] = l;
    } else if (!(a && b)) {
      return false;
    }
    if (!a && !b)
      return false;
  }
  return e->n_summed > 0;
}

static bool einsum_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct einsum *e = params_new(node, arena, sizeof *e, err);
  if (!e)
    return false;
  if (node->n_in > MAX_TERMS)
    return node_error(node, err, "has %d operands, at most %d are supported", node->n_in, MAX_TERMS);
  for (int i = 0; i < node->n_in; i++)
    if (!node->in[i])
      return node_error(node, err, "input %d is missing", i);
    else if (!input_is(node, i, node->in[0]->t.dtype, err))
      return false;
  if (!parse(node, e, err))
    return false;
  struct shape shape = {.rank = e->out.rank};
  for (int d = 0; d < shape.rank; d++)
    shape.dim[d] = e->dim[e->out.label[d]];
  double work = 1;
  for (int l = 0; l < e->labels; l++) {
    work *= (double)e->dim[l];
    if (!has(&e->out, l))
      e->summed[e->n_summed++] = l;
  }
  e->n_kept = e->out.rank;
  memcpy(e->kept, e->out.label, sizeof e->out.label);
  if (!output_set(node, 0, node->in[0]->t.dtype, &shape, LAYOUT_PLAIN, err))
    return false;
  e->product = tensor_count(&node->out[0]->t) > 0 && is_product(node, e);
  /* What a kernel does in a minute or so, or the plain nest; only a hostile file asks for more. */
  if (work > (e->product ? 0x1p42 : 0x1p32))
    return node_error(node, err, "takes %g products", work);
  return true;
}

static int64_t einsum_macs(const struct node *node)
{
  const struct einsum *e = node->params;
  int64_t macs = 1;
  for (int l = 0; l < e->labels; l++)
    macs *= e->dim[l];
  return e->product ? macs : 0;
}

/* Stride of a label in an operand, 0 where it is broadcast; a label that occurs twice walks the diagonal. */
static int64_t label_stride(const struct tensor *t, const struct term *term, int label)
{
  int64_t stride[TENSOR_MAX_RANK], sum = 0;
  tensor_strides(t, stride);
  for (int d = 0; d < term->rank; d++)
    if (term->label[d] == label && t->shape.dim[d] > 1)
      sum += stride[d];
  return sum;
}

/* ---- the matrix product ---- */

static int64_t group_size(const struct einsum *e, const int *labels, int count)
{
  int64_t size = 1;
  for (int k = 0; k < count; k++)
    size *= e->dim[labels[k]];
  return size;
}

struct product {
  struct kernel *kernel;
  int64_t batch, m, k, n;
  size_t left, right, out; /* floats of the three permuted tensors, all samples */
};

static struct product product_sizes(const struct einsum *e, int64_t samples)
{
  struct product p = {
    .batch = samples * group_size(e, e->group[BATCH], e->grouped[BATCH]),
    .m = group_size(e, e->group[LEFT], e->grouped[LEFT]),
    .n = group_size(e, e->group[RIGHT], e->grouped[RIGHT]),
    .k = group_size(e, e->summed, e->n_summed),
  };
  p.left = (size_t)(p.batch * p.m * p.k + 15) & ~(size_t)15;
  p.right = (size_t)(p.batch * p.k * p.n + 15) & ~(size_t)15;
  p.out = (size_t)(p.batch * p.m * p.n + 15) & ~(size_t)15;
  return p;
}

static void product_release(void *state)
{
  struct product *p = state;
  if (p)
    kernel_free(p->kernel);
  mem_free(p);
}

static bool einsum_prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                           struct error *err)
{
  const struct einsum *e = node->params;
  if (!e->product)
    return true;
  struct product *p = mem_zero(1, sizeof *p);
  if (!p)
    return error_memory(err, "a matrix product");
  *p = product_sizes(e, n);
  struct matmul_spec spec = {.b = p->batch, .m = p->m, .k = p->k, .n = p->n};
  p->kernel = kernel_matmul(compute, &spec, NULL, err);
  if (!p->kernel) {
    mem_free(p);
    return false;
  }
  out->state = p;
  out->scratch = (p->left + p->right + p->out) * sizeof(float) + kernel_scratch(p->kernel);
  return true;
}

/* Copy between a tensor and its form [batch, rows, columns]; `to_form` tells the direction. */
static void permute(const struct call *call, const struct tensor *t, const struct term *term, void *tensor,
                    bool batched, float *form, const int *rows, int n_rows, const int *columns, int n_columns,
                    bool to_form)
{
  const struct einsum *e = call->node->params;
  int labels[3 * MAX_LABELS], count = 0;
  int64_t inside[3 * MAX_LABELS], step = 1;
  for (int k = 0; k < e->grouped[BATCH]; k++)
    labels[count++] = e->group[BATCH][k];
  for (int k = 0; k < n_rows; k++)
    labels[count++] = rows[k];
  for (int k = 0; k < n_columns; k++)
    labels[count++] = columns[k];
  for (int k = count - 1; k >= 0; k--) {
    inside[k] = step;
    step *= e->dim[labels[k]];
  }
  struct loop loop;
  loop_begin(&loop, 2);
  const int64_t whole = batched ? tensor_count(t) : 0;
  if (to_form) {
    loop_push(&loop, call->n, (const int64_t[]){step, whole});
    for (int k = 0; k < count; k++)
      loop_push(&loop, e->dim[labels[k]], (const int64_t[]){inside[k], label_stride(t, term, labels[k])});
    loop_copy(&loop, sizeof(float), form, tensor);
    return;
  }
  loop_push(&loop, call->n, (const int64_t[]){whole, step});
  for (int d = 0; d < term->rank; d++)
    for (int k = 0; k < count; k++)
      if (labels[k] == term->label[d])
        loop_push(&loop, e->dim[labels[k]], (const int64_t[]){label_stride(t, term, labels[k]), inside[k]});
  loop_copy(&loop, sizeof(float), tensor, form);
}

static bool product_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct einsum *e = node->params;
  const struct product *p = call->state;
  float *left = call->scratch, *right = left + p->left, *out = right + p->right;
  permute(call, &node->in[0]->t, &e->in[0], (void *)call->in[0], call->in_batched[0], left, e->group[LEFT],
          e->grouped[LEFT], e->summed, e->n_summed, true);
  permute(call, &node->in[1]->t, &e->in[1], (void *)call->in[1], call->in_batched[1], right, e->summed, e->n_summed,
          e->group[RIGHT], e->grouped[RIGHT], true);
  if (!kernel_run(p->kernel, left, right, NULL, out, out + p->out, err))
    return false;
  permute(call, &node->out[0]->t, &e->out, call->out[0], true, out, e->group[LEFT], e->grouped[LEFT], e->group[RIGHT],
          e->grouped[RIGHT], false);
  return true;
}

/* ---- the plain nest ---- */

struct nest {
  const struct call *call;
  struct loop kept, summed; /* operands: out, terms */
};

static void nest_offsets(const struct loop *loop, int64_t i, int64_t offset[LOOP_OPERANDS])
{
  for (int d = loop->rank - 1; d >= 0; d--) {
    for (int k = 0; k < loop->operands; k++)
      offset[k] += i % loop->dim[d] * loop->stride[k][d];
    i /= loop->dim[d];
  }
}

static void nest_part(void *context, int64_t begin, int64_t end)
{
  const struct nest *nest = context;
  const struct call *call = nest->call;
  const struct einsum *e = call->node->params;
  const bool real = call->node->out[0]->t.dtype == DTYPE_F32;
  const int64_t terms = loop_count(&nest->summed);
  for (int64_t i = begin; i < end; i++) {
    int64_t base[LOOP_OPERANDS] = {0};
    double sum = 0;
    uint64_t whole = 0;
    nest_offsets(&nest->kept, i, base);
    for (int64_t s = 0; s < terms; s++) {
      int64_t at[LOOP_OPERANDS];
      double product = 1;
      uint64_t factor = 1;
      memcpy(at, base, sizeof at);
      nest_offsets(&nest->summed, s, at);
      for (int t = 0; t < e->terms; t++)
        if (real)
          product *= (double)((const float *)call->in[t])[at[1 + t]];
        else
          factor *= (uint64_t)((const int64_t *)call->in[t])[at[1 + t]];
      sum += product;
      whole += factor;
    }
    if (real)
      ((float *)call->out[0])[base[0]] = (float)sum;
    else
      ((int64_t *)call->out[0])[base[0]] = (int64_t)whole;
  }
}

static bool einsum_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct einsum *e = node->params;
  if (call->state)
    return product_forward(call, err);
  struct nest nest = {.call = call};
  int64_t step[LOOP_OPERANDS];
  loop_begin(&nest.kept, 1 + e->terms);
  loop_begin(&nest.summed, 1 + e->terms);
  step[0] = tensor_count(&node->out[0]->t);
  for (int t = 0; t < e->terms; t++)
    step[1 + t] = call->in_batched[t] ? tensor_count(&node->in[t]->t) : 0;
  loop_push(&nest.kept, call->n, step);
  for (int k = 0; k < e->n_kept + e->n_summed; k++) {
    const int label = k < e->n_kept ? e->kept[k] : e->summed[k - e->n_kept];
    step[0] = label_stride(&node->out[0]->t, &e->out, label);
    for (int t = 0; t < e->terms; t++)
      step[1 + t] = label_stride(&node->in[t]->t, &e->in[t], label);
    loop_push(k < e->n_kept ? &nest.kept : &nest.summed, e->dim[label], step);
  }
  threads_for(loop_count(&nest.kept), 1 + LOOP_GRAIN_COSTLY / (loop_count(&nest.summed) + 1), nest_part, &nest);
  return true;
}

/* ---- backward: the signal of an operand is the Einsum of the result's signal and of the other operands ---- */

struct adjoint {
  struct einsum e;
  struct node node;
  struct value *in[MAX_TERMS], *out[1];
  int operand[MAX_TERMS]; /* input of the node that is in[t]; -1: the signal */
  void *state;            /* of the product, or NULL */
};

struct adjoints {
  struct adjoint *of[MAX_TERMS]; /* per input; NULL: constant */
};

static void adjoints_release(void *state)
{
  struct adjoints *a = state;
  for (int t = 0; a && t < MAX_TERMS; t++) {
    if (a->of[t])
      product_release(a->of[t]->state);
    mem_free(a->of[t]);
  }
  mem_free(a);
}

static void adjoint_describe(const struct node *node, int t, struct adjoint *a)
{
  const struct einsum *e = node->params;
  int terms = 0;
  a->e = (struct einsum){.terms = e->terms, .labels = e->labels, .out = e->in[t]};
  memcpy(a->e.dim, e->dim, sizeof a->e.dim);
  a->node = *node;
  a->node.in = a->in;
  a->node.out = a->out;
  a->node.params = &a->e;
  a->out[0] = node->in[t];
  a->in[terms] = node->out[0];
  a->operand[terms] = -1;
  a->e.in[terms++] = e->out;
  for (int k = 0; k < e->terms; k++)
    if (k != t) {
      a->in[terms] = node->in[k];
      a->operand[terms] = k;
      a->e.in[terms++] = e->in[k];
    }
  /* What was broadcast is summed; a diagonal is walked once. */
  bool kept[MAX_LABELS] = {false};
  for (int d = 0; d < e->in[t].rank; d++) {
    const int label = e->in[t].label[d];
    if (!kept[label] && node->in[t]->t.shape.dim[d] == e->dim[label])
      a->e.kept[a->e.n_kept++] = label;
    kept[label] |= node->in[t]->t.shape.dim[d] == e->dim[label];
  }
  for (int l = 0; l < e->labels; l++)
    if (!kept[l])
      a->e.summed[a->e.n_summed++] = l;
  bool whole = a->e.n_kept == e->in[t].rank;
  a->e.product = whole && tensor_count(&node->in[t]->t) > 0 && is_product(&a->node, &a->e);
}

static bool adjoints_prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                             struct error *err)
{
  struct adjoints *all = mem_zero(1, sizeof *all);
  if (!all)
    return error_memory(err, "a matrix product");
  for (int t = 0; t < node->n_in; t++) {
    if (node->in[t]->t.data)
      continue;
    struct adjoint *a = all->of[t] = mem_zero(1, sizeof *a);
    struct prepared prepared = {.state = NULL};
    bool ok = a != NULL;
    if (ok) {
      adjoint_describe(node, t, a);
      ok = einsum_prepare(&a->node, n, compute, &prepared, err);
      a->state = prepared.state;
    }
    if (!ok) {
      adjoints_release(all);
      return error_memory(err, "a matrix product");
    }
    if (prepared.scratch > out->scratch)
      out->scratch = prepared.scratch;
  }
  out->state = all;
  return true;
}

static unsigned adjoints_keep(const struct node *node, enum rule rule, unsigned wanted)
{
  (void)rule;
  /* An operand's own value is not needed for its signal. */
  return wanted & (wanted - 1) || node->n_in == 1 ? BACKWARD_INS : BACKWARD_INS & ~wanted;
}

static bool adjoints_send(const struct node *node, enum rule rule, unsigned *inputs, struct error *err)
{
  int varying = 0;
  for (int t = 0; t < node->n_in; t++)
    varying += !node->in[t]->t.data;
  return varying < 2 || reverse_gradient_only(node, rule, inputs, err);
}

static bool adjoints_run(const struct reverse *r, struct error *err)
{
  const struct adjoints *all = r->state;
  for (int t = 0; t < r->node->n_in; t++) {
    if (!r->to[t])
      continue;
    const struct adjoint *a = all->of[t];
    const void *in[MAX_TERMS] = {NULL};
    bool batched[MAX_TERMS] = {false};
    for (int k = 0; k < a->e.terms; k++) {
      in[k] = a->operand[k] < 0 ? (const void *)r->from[0] : r->in[a->operand[k]];
      batched[k] = a->operand[k] < 0 || r->in_batched[a->operand[k]];
    }
    const struct call call = {.node = &a->node, .n = r->n, .in = in, .in_batched = batched,
                              .out = (void *const[]){r->to[t]}, .state = a->state, .scratch = r->scratch,
                              .compute = r->compute};
    memset(r->to[t], 0, (size_t)r->n * tensor_bytes(&r->node->in[t]->t)); /* off a diagonal nothing moves */
    if (!einsum_forward(&call, err))
      return false;
  }
  return true;
}

static const struct backward einsum_backward = {
  .keeps_of = adjoints_keep, .sends = adjoints_send, .prepare = adjoints_prepare, .release = adjoints_release,
  .run = adjoints_run};

OP_TABLE(einsum) = {
  {.type = "Einsum", .since = 12, .min_in = 1, .max_in = -1, .max_out = 1, .layout = OP_PLAIN, .shape = einsum_shape,
   .prepare = einsum_prepare, .release = product_release, .forward = einsum_forward, .macs = einsum_macs,
   .backward = &einsum_backward},
  {.type = NULL},
};
