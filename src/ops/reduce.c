/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions over any set of axes, in any layout, and running sums. Reals are summed in double in the order they lie in
 * memory, so that a result depends neither on threads nor on the batch. */
#include "base/threads.h"
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "ops/reverse.h"
#include "tensor/simd.h"

#include <math.h>
#include <string.h>

enum kind {
  REDUCE_SUM, REDUCE_MEAN, REDUCE_MAX, REDUCE_MIN, REDUCE_PROD, REDUCE_L1, REDUCE_L2, REDUCE_SUM_SQUARE,
  REDUCE_LOG_SUM, REDUCE_LOG_SUM_EXP, REDUCE_KINDS
};

/* What an element adds to its accumulator of type A: over a run of elements, and for a row of neighbouring results.
 * `m` is what exponentials are taken relative to. */
#define FOLD(name, T, A, SIMD, expression)                                                                             \
  SIMD_CLONES static A run_##name(A a, const T *p, int64_t n, int64_t stride, A m)                                     \
  {                                                                                                                    \
    (void)m;                                                                                                           \
    if (stride == 1) {                                                                                                 \
      SIMD for (int64_t i = 0; i < n; i++)                                                                             \
      {                                                                                                                \
        const A x = p[i];                                                                                              \
        a = expression;                                                                                                \
      }                                                                                                                \
    } else {                                                                                                           \
      for (int64_t i = 0; i < n; i++) {                                                                                \
        const A x = p[i * stride];                                                                                     \
        a = expression;                                                                                                \
      }                                                                                                                \
    }                                                                                                                  \
    return a;                                                                                                          \
  }                                                                                                                    \
  SIMD_CLONES static void row_##name(A *acc, const T *p, int64_t n, const A *relative)                                 \
  {                                                                                                                    \
    (void)relative;                                                                                                    \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
      const A a = acc[i], x = p[i];                                                                                    \
      const A m = relative ? relative[i] : 0;                                                                          \
      (void)m;                                                                                                         \
      acc[i] = expression;                                                                                             \
    }                                                                                                                  \
  }
#define SUMS _Pragma("omp simd reduction(+ : a)")
FOLD(sum_f32, float, double, SUMS, a + x)
FOLD(max_f32, float, double, , x > a || x != x ? x : a)
FOLD(min_f32, float, double, , x < a || x != x ? x : a)
FOLD(prod_f32, float, double, , a *x)
FOLD(abs_f32, float, double, SUMS, a + fabs(x))
FOLD(square_f32, float, double, SUMS, a + x * x)
FOLD(exp_f32, float, double, , a + exp(x - m))
FOLD(sum_i64, int64_t, uint64_t, , a + x)
FOLD(max_i64, int64_t, uint64_t, , (int64_t)x > (int64_t)a ? x : a)
FOLD(min_i64, int64_t, uint64_t, , (int64_t)x < (int64_t)a ? x : a)
FOLD(prod_i64, int64_t, uint64_t, , a *x)
FOLD(abs_i64, int64_t, uint64_t, , a + ((int64_t)x < 0 ? 0 - x : x))
FOLD(square_i64, int64_t, uint64_t, , a + x * x)

/* Integers accumulate modulo 2^64 as unsigned numbers. */
struct fold_f32 {
  double start;
  double (*run)(double, const float *, int64_t, int64_t, double);
  void (*row)(double *, const float *, int64_t, const double *);
};
struct fold_i64 {
  uint64_t start;
  uint64_t (*run)(uint64_t, const int64_t *, int64_t, int64_t, uint64_t);
  void (*row)(uint64_t *, const int64_t *, int64_t, const uint64_t *);
};

static const struct fold_f32 folds_f32[REDUCE_KINDS] = {
  [REDUCE_SUM] = {0, run_sum_f32, row_sum_f32},
  [REDUCE_MEAN] = {0, run_sum_f32, row_sum_f32},
  [REDUCE_MAX] = {-INFINITY, run_max_f32, row_max_f32},
  [REDUCE_MIN] = {INFINITY, run_min_f32, row_min_f32},
  [REDUCE_PROD] = {1, run_prod_f32, row_prod_f32},
  [REDUCE_L1] = {0, run_abs_f32, row_abs_f32},
  [REDUCE_L2] = {0, run_square_f32, row_square_f32},
  [REDUCE_SUM_SQUARE] = {0, run_square_f32, row_square_f32},
  [REDUCE_LOG_SUM] = {0, run_sum_f32, row_sum_f32},
  [REDUCE_LOG_SUM_EXP] = {0, run_exp_f32, row_exp_f32},
};
static const struct fold_i64 folds_i64[REDUCE_KINDS] = {
  [REDUCE_SUM] = {0, run_sum_i64, row_sum_i64},
  [REDUCE_MEAN] = {0, run_sum_i64, row_sum_i64},
  [REDUCE_MAX] = {(uint64_t)INT64_MIN, run_max_i64, row_max_i64},
  [REDUCE_MIN] = {INT64_MAX, run_min_i64, row_min_i64},
  [REDUCE_PROD] = {1, run_prod_i64, row_prod_i64},
  [REDUCE_L1] = {0, run_abs_i64, row_abs_i64},
  [REDUCE_L2] = {0, run_square_i64, row_square_i64},
  [REDUCE_SUM_SQUARE] = {0, run_square_i64, row_square_i64},
};

static float finish_f32(enum kind kind, double a, double m, int64_t count)
{
  switch (kind) {
  case REDUCE_MEAN:
    return (float)(a / (double)count);
  case REDUCE_L2:
    return (float)sqrt(a);
  case REDUCE_LOG_SUM:
    return (float)log(a);
  case REDUCE_LOG_SUM_EXP:
    return (float)(log(a) + m);
  default:
    return (float)a;
  }
}

static int64_t finish_i64(enum kind kind, uint64_t a, uint64_t m, int64_t count)
{
  (void)m;
  if (kind == REDUCE_MEAN)
    return count ? (int64_t)a / count : 0;
  return kind == REDUCE_L2 ? (int64_t)sqrt((double)a) : (int64_t)a;
}

struct reduce {
  enum kind kind;
  unsigned mask; /* reduced axes */
};

/* ---- shapes ---- */

static bool reduce_shape(struct node *node, struct arena *arena, enum kind kind, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  struct reduce *r = params_new(node, arena, sizeof *r, err);
  int64_t keep, noop;
  bool given;
  if (!r || !node_int(node, "keepdims", 1, &keep, err) || !node_int(node, "noop_with_empty_axes", 0, &noop, err) ||
      !axes_read(node, 1, in->shape.rank, &r->mask, &given, err))
    return false;
  r->kind = kind;
  if ((kind == REDUCE_LOG_SUM || kind == REDUCE_LOG_SUM_EXP) && !input_is(node, 0, DTYPE_F32, err))
    return false;
  if (r->mask == 0 && !noop)
    r->mask = (1u << in->shape.rank) - 1;
  struct shape shape = {.rank = 0};
  for (int d = 0; d < in->shape.rank; d++) {
    bool reduced = r->mask >> d & 1;
    if (!reduced || keep)
      shape.dim[shape.rank++] = reduced ? 1 : in->shape.dim[d];
  }
  bool same_axes = keep || r->mask == 0;
  return output_set(node, 0, in->dtype, &shape, same_axes ? in->layout : LAYOUT_PLAIN, err);
}

#define SHAPE(name, kind)                                                                                              \
  static bool name##_shape(struct node *node, struct arena *arena, struct error *err)                                  \
  {                                                                                                                    \
    return reduce_shape(node, arena, kind, err);                                                                       \
  }
SHAPE(sum, REDUCE_SUM)
SHAPE(mean, REDUCE_MEAN)
SHAPE(max, REDUCE_MAX)
SHAPE(min, REDUCE_MIN)
SHAPE(prod, REDUCE_PROD)
SHAPE(l1, REDUCE_L1)
SHAPE(l2, REDUCE_L2)
SHAPE(sum_square, REDUCE_SUM_SQUARE)
SHAPE(log_sum, REDUCE_LOG_SUM)
SHAPE(log_sum_exp, REDUCE_LOG_SUM_EXP)

/* ---- running ---- */

enum { COLUMNS = 128 }; /* neighbouring results that are accumulated together */

struct nest {
  const struct reduce *reduce;
  const void *in;
  void *out;
  struct loop kept;    /* operands: out, in */
  struct loop reduced; /* operand: in */
  int64_t count;       /* elements that make one result */
  int64_t chunks;      /* 0: results one by one; else pieces of COLUMNS of the innermost kept dimension */
};

/* Offset in the input of reduced row `r` (all but the innermost reduced dimension). */
static int64_t reduced_offset(const struct loop *loop, int rank, int64_t r)
{
  int64_t offset = 0;
  for (int d = rank - 1; d >= 0; d--) {
    offset += r % loop->dim[d] * loop->stride[0][d];
    r /= loop->dim[d];
  }
  return offset;
}

#define REDUCE_PART(S, T, A)                                                                                           \
  /* Results [begin, end), each a fold over runs. */                                                                   \
  static void reduce_runs_##S(void *context, int64_t begin, int64_t end)                                               \
  {                                                                                                                    \
    const struct nest *nest = context;                                                                                 \
    const enum kind kind = nest->reduce->kind;                                                                         \
    const struct fold_##S *fold = &folds_##S[kind];                                                                    \
    const int last = nest->reduced.rank - 1;                                                                           \
    const int64_t run = nest->reduced.dim[last], stride = nest->reduced.stride[0][last];                               \
    const int64_t runs = run ? nest->count / run : 0;                                                                  \
    for (int64_t i = begin; i < end; i++) {                                                                            \
      int64_t rest = i, to = 0, from = 0;                                                                              \
      for (int d = nest->kept.rank - 1; d >= 0; d--) {                                                                 \
        to += rest % nest->kept.dim[d] * nest->kept.stride[0][d];                                                      \
        from += rest % nest->kept.dim[d] * nest->kept.stride[1][d];                                                    \
        rest /= nest->kept.dim[d];                                                                                     \
      }                                                                                                                \
      const T *p = (const T *)nest->in + from;                                                                         \
      A m = 0, a = fold->start;                                                                                        \
      if (kind == REDUCE_LOG_SUM_EXP) {                                                                                \
        m = folds_##S[REDUCE_MAX].start;                                                                               \
        for (int64_t r = 0; r < runs; r++)                                                                             \
          m = run_max_##S(m, p + reduced_offset(&nest->reduced, last, r), run, stride, 0);                             \
        m = m - m == 0 ? m : 0; /* infinite: relative to nothing */                                                    \
      }                                                                                                                \
      for (int64_t r = 0; r < runs; r++)                                                                               \
        a = fold->run(a, p + reduced_offset(&nest->reduced, last, r), run, stride, m);                                 \
      ((T *)nest->out)[to] = finish_##S(kind, a, m, nest->count);                                                      \
    }                                                                                                                  \
  }                                                                                                                    \
  /* The same for pieces of neighbouring results, which are neighbours in the input too. */                            \
  static void reduce_rows_##S(void *context, int64_t begin, int64_t end)                                               \
  {                                                                                                                    \
    const struct nest *nest = context;                                                                                 \
    const enum kind kind = nest->reduce->kind;                                                                         \
    const struct fold_##S *fold = &folds_##S[kind];                                                                    \
    const int inner = nest->kept.rank - 1;                                                                             \
    const int64_t width = nest->kept.dim[inner], step = nest->kept.stride[0][inner];                                   \
    A a[COLUMNS], m[COLUMNS];                                                                                          \
    for (int64_t i = begin; i < end; i++) {                                                                            \
      int64_t rest = i / nest->chunks, column = i % nest->chunks * COLUMNS, to = column * step, from = column;         \
      for (int d = inner - 1; d >= 0; d--) {                                                                           \
        to += rest % nest->kept.dim[d] * nest->kept.stride[0][d];                                                      \
        from += rest % nest->kept.dim[d] * nest->kept.stride[1][d];                                                    \
        rest /= nest->kept.dim[d];                                                                                     \
      }                                                                                                                \
      const int64_t n = width - column < COLUMNS ? width - column : COLUMNS;                                           \
      const T *p = (const T *)nest->in + from;                                                                         \
      for (int64_t k = 0; k < n; k++) {                                                                                \
        a[k] = fold->start;                                                                                            \
        m[k] = folds_##S[REDUCE_MAX].start;                                                                            \
      }                                                                                                                \
      if (kind == REDUCE_LOG_SUM_EXP) {                                                                                \
        for (int64_t r = 0; r < nest->count; r++)                                                                      \
          row_max_##S(m, p + reduced_offset(&nest->reduced, nest->reduced.rank, r), n, NULL);                          \
        for (int64_t k = 0; k < n; k++)                                                                                \
          m[k] = m[k] - m[k] == 0 ? m[k] : 0;                                                                          \
      }                                                                                                                \
      for (int64_t r = 0; r < nest->count; r++)                                                                        \
        fold->row(a, p + reduced_offset(&nest->reduced, nest->reduced.rank, r), n,                                     \
                  kind == REDUCE_LOG_SUM_EXP ? m : NULL);                                                              \
      for (int64_t k = 0; k < n; k++)                                                                                  \
        ((T *)nest->out)[to + k * step] = finish_##S(kind, a[k], m[k], nest->count);                                   \
    }                                                                                                                  \
  }
REDUCE_PART(f32, float, double)
REDUCE_PART(i64, int64_t, uint64_t)

static bool reduce_is_view(const struct node *node)
{
  return ((const struct reduce *)node->params)->mask == 0;
}

/* The nest of a node over n samples. */
static struct nest nest_of(const struct node *node, int64_t n)
{
  const struct reduce *r = node->params;
  const struct tensor *in = &node->in[0]->t, *out = &node->out[0]->t;
  struct nest nest = {.reduce = r, .count = 1};
  int64_t from[TENSOR_MAX_RANK], to[TENSOR_MAX_RANK], step[TENSOR_MAX_RANK] = {0};
  int order[TENSOR_MAX_RANK];
  tensor_strides(in, from);
  tensor_strides(out, to);
  bool keeps = out->shape.rank == in->shape.rank;
  for (int d = 0, k = 0; d < in->shape.rank; d++) /* strides of the result per axis of the input */
    if (!(r->mask >> d & 1))
      step[d] = to[keeps ? d : k++];
  loop_order(in, order);
  loop_begin(&nest.kept, 2);
  loop_begin(&nest.reduced, 1);
  loop_push(&nest.kept, n, (const int64_t[]){tensor_count(out), tensor_count(in)});
  for (int k = 0; k < in->shape.rank; k++) {
    int d = order[k];
    if (r->mask >> d & 1) {
      nest.count *= in->shape.dim[d];
      loop_push(&nest.reduced, in->shape.dim[d], &from[d]);
    } else {
      loop_push(&nest.kept, in->shape.dim[d], (const int64_t[]){step[d], from[d]});
    }
  }
  return nest;
}

static bool reduce_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct reduce *r = node->params;
  const struct tensor *in = &node->in[0]->t;
  (void)err;
  if (r->mask == 0) {
    memcpy(call->out[0], call->in[0], (size_t)call->n * tensor_bytes(in));
    return true;
  }
  struct nest nest = nest_of(node, call->n);
  nest.in = call->in[0];
  nest.out = call->out[0];
  bool real = in->dtype == DTYPE_F32;
  int inner = nest.kept.rank - 1;
  int64_t results = loop_count(&nest.kept);
  if (nest.kept.dim[inner] > 1 && nest.kept.stride[1][inner] == 1) {
    nest.chunks = (nest.kept.dim[inner] + COLUMNS - 1) / COLUMNS;
    threads_for(results / nest.kept.dim[inner] * nest.chunks, 1 + LOOP_GRAIN / (COLUMNS * (nest.count + 1)),
                real ? reduce_rows_f32 : reduce_rows_i64, &nest);
  } else {
    threads_for(results, 1 + LOOP_GRAIN / (nest.count + 1), real ? reduce_runs_f32 : reduce_runs_i64, &nest);
  }
  return true;
}

/* ---- backward ---- */

#define TERM(name, expression)                                                                                         \
  static void name(const void *context, int64_t n, const void *const *p, const int64_t *stride, float *t)              \
  {                                                                                                                    \
    const float *gs = p[0], *xs = p[1], *ys = p[2];                                                                    \
    (void)context;                                                                                                     \
    for (int64_t i = 0; i < n; i++) {                                                                                  \
      const float g = gs[i * stride[0]], x = xs[i * stride[1]], y = ys[i * stride[2]];                                 \
      (void)x;                                                                                                         \
      (void)y;                                                                                                         \
      t[i] = expression;                                                                                               \
    }                                                                                                                  \
  }
TERM(l1_term, x > 0 ? g : (x < 0 ? -g : 0))
TERM(l2_term, y > 0 ? g * (x / y) : 0)
TERM(sum_square_term, 2 * g * x)
TERM(log_sum_term, g *expf(-y))
TERM(log_sum_exp_term, g *expf(x - y))

static void mean_term(const void *context, int64_t n, const void *const *p, const int64_t *stride, float *t)
{
  const float *g = p[0], share = *(const float *)context;
  for (int64_t i = 0; i < n; i++)
    t[i] = share * g[i * stride[0]];
}

struct chosen {
  const struct reverse *r;
  struct nest nest;
};

/* Max, Min: the first extreme in memory takes the signal. Prod: each gets the product of the others. */
static void chosen_part(void *context, int64_t begin, int64_t end)
{
  const struct chosen *c = context;
  const struct nest *nest = &c->nest;
  const bool product = nest->reduce->kind == REDUCE_PROD;
  for (int64_t i = begin; i < end; i++) {
    int64_t rest = i, out = 0, in = 0, zeros = 0;
    for (int d = nest->kept.rank - 1; d >= 0; d--) {
      out += rest % nest->kept.dim[d] * nest->kept.stride[0][d];
      in += rest % nest->kept.dim[d] * nest->kept.stride[1][d];
      rest /= nest->kept.dim[d];
    }
    const float *x = (const float *)c->r->in[0] + in, y = ((const float *)c->r->out[0])[out], g = c->r->from[0][out];
    float *to = c->r->to[0] + in;
    double others = 1;
    for (int64_t k = 0; k < nest->count; k++) {
      const int64_t at = reduced_offset(&nest->reduced, nest->reduced.rank, k);
      if (!product && x[at] == y) {
        to[at] += g;
        break;
      }
      zeros += x[at] == 0;
      others *= x[at] == 0 ? 1 : (double)x[at];
    }
    for (int64_t k = 0; product && zeros < 2 && k < nest->count; k++) {
      const int64_t at = reduced_offset(&nest->reduced, nest->reduced.rank, k);
      if (zeros == 0 || x[at] == 0)
        to[at] += (float)((double)g * (zeros ? others : others / (double)x[at]));
    }
  }
}

static unsigned reduce_keeps(const struct node *node, enum rule rule, unsigned wanted)
{
  const enum kind kind = ((const struct reduce *)node->params)->kind;
  (void)rule;
  (void)wanted;
  return kind == REDUCE_SUM || kind == REDUCE_MEAN ? 0 : BACKWARD_IN(0) | BACKWARD_OUT;
}

/* Sums, means and extremes are what pooling is made of; the rules have no word for the others. */
static bool reduce_sends(const struct node *node, enum rule rule, unsigned *inputs, struct error *err)
{
  const enum kind kind = ((const struct reduce *)node->params)->kind;
  *inputs &= BACKWARD_IN(0);
  return kind <= REDUCE_MIN || reverse_gradient_only(node, rule, inputs, err);
}

static bool reduce_backward_run(const struct reverse *r, struct error *err)
{
  static reverse_row *const terms[REDUCE_KINDS] = {
    [REDUCE_SUM] = reverse_row_same, [REDUCE_MEAN] = mean_term,       [REDUCE_L1] = l1_term,
    [REDUCE_L2] = l2_term,           [REDUCE_SUM_SQUARE] = sum_square_term, [REDUCE_LOG_SUM] = log_sum_term,
    [REDUCE_LOG_SUM_EXP] = log_sum_exp_term,
  };
  const struct node *node = r->node;
  const struct reduce *reduce = node->params;
  const struct tensor *in = &node->in[0]->t;
  (void)err;
  if (!terms[reduce->kind]) {
    struct chosen chosen = {r, nest_of(node, r->n)};
    reverse_nothing(r, 0);
    threads_for(loop_count(&chosen.nest.kept), 1 + LOOP_GRAIN_COSTLY / (chosen.nest.count + 1), chosen_part, &chosen);
    return true;
  }
  /* The result as it is broadcast back to the operand. */
  struct tensor out = node->out[0]->t;
  int64_t count = 1;
  out.shape = in->shape;
  for (int d = 0; d < in->shape.rank; d++)
    if (reduce->mask >> d & 1) {
      count *= in->shape.dim[d];
      out.shape.dim[d] = 1;
    }
  const float share = 1 / (float)count;
  const bool linear = reduce->kind == REDUCE_SUM || reduce->kind == REDUCE_MEAN;
  const struct reverse_source source[3] = {{&out, r->from[0], true}, {in, r->in[0], true}, {&out, r->out[0], true}};
  reverse_sum(r, in, in, r->to[0], r->add[0], linear ? 1 : 3, source, terms[reduce->kind], &share);
  return true;
}

static const struct backward reduce_backward = {
  .flags = BACKWARD_ADDS, .keeps_of = reduce_keeps, .sends = reduce_sends, .run = reduce_backward_run};

/* ---- CumSum ---- */

struct cumulate {
  int axis;
  bool exclusive, reverse;
};

static bool cumsum_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct cumulate *c = params_new(node, arena, sizeof *c, err);
  int64_t axis, exclusive, reverse;
  int count;
  if (!c || !node_const_ints(node, 1, &axis, 1, &count, err))
    return false;
  if (count != 1)
    return node_error(node, err, "the axis is not one number");
  if (!axis_normal(node, axis, node->in[0]->t.shape.rank, &c->axis, err) ||
      !node_int(node, "exclusive", 0, &exclusive, err) || !node_int(node, "reverse", 0, &reverse, err))
    return false;
  c->exclusive = exclusive != 0;
  c->reverse = reverse != 0;
  return output_like(node, 0, node->in[0]->t.dtype, err);
}

#define CUMULATE(T, A)                                                                                                 \
  static void cumulate_##T(const struct cumulate *c, int64_t dim, int64_t step, const T *from, T *to)                  \
  {                                                                                                                    \
    A sum = 0;                                                                                                         \
    for (int64_t k = 0; k < dim; k++) {                                                                                \
      int64_t i = (c->reverse ? dim - 1 - k : k) * step;                                                               \
      A x = (A)from[i];                                                                                                \
      to[i] = (T)(c->exclusive ? sum : sum + x);                                                                       \
      sum += x;                                                                                                        \
    }                                                                                                                  \
  }
CUMULATE(float, double)
CUMULATE(int64_t, uint64_t)

static bool cumsum_forward(const struct call *call, struct error *err)
{
  const struct cumulate *c = call->node->params;
  const struct tensor *in = &call->node->in[0]->t;
  const int64_t dim = in->shape.dim[c->axis], inner = shape_product(&in->shape, c->axis + 1, in->shape.rank);
  const int64_t outer = call->n * shape_product(&in->shape, 0, c->axis);
  (void)err;
  for (int64_t o = 0; o < outer; o++)
    for (int64_t i = 0; i < inner; i++) {
      int64_t at = o * dim * inner + i;
      if (in->dtype == DTYPE_F32)
        cumulate_float(c, dim, inner, (const float *)call->in[0] + at, (float *)call->out[0] + at);
      else
        cumulate_int64_t(c, dim, inner, (const int64_t *)call->in[0] + at, (int64_t *)call->out[0] + at);
    }
  return true;
}

/* The sum runs the other way. */
static bool cumsum_backward_run(const struct reverse *r, struct error *err)
{
  struct cumulate c = *(const struct cumulate *)r->node->params;
  struct node node = *r->node;
  c.reverse = !c.reverse;
  node.params = &c;
  const struct call call = {
    .node = &node, .n = r->n, .in = (const void *const[]){r->from[0]}, .out = (void *const[]){r->to[0]}};
  return cumsum_forward(&call, err);
}

static const struct backward cumsum_backward = {.run = cumsum_backward_run};

#define REDUCE_OP(name, lower)                                                                                         \
  {                                                                                                                    \
    .type = name, .since = 1, .min_in = 1, .max_in = 2, .max_out = 1, .shape = lower##_shape,                          \
    .forward = reduce_forward, .is_view = reduce_is_view, .backward = &reduce_backward,                                \
  }

OP_TABLE(reduce) = {
  REDUCE_OP("ReduceSum", sum),
  REDUCE_OP("ReduceMean", mean),
  REDUCE_OP("ReduceMax", max),
  REDUCE_OP("ReduceMin", min),
  REDUCE_OP("ReduceProd", prod),
  REDUCE_OP("ReduceL1", l1),
  REDUCE_OP("ReduceL2", l2),
  REDUCE_OP("ReduceSumSquare", sum_square),
  REDUCE_OP("ReduceLogSum", log_sum),
  REDUCE_OP("ReduceLogSumExp", log_sum_exp),
  {.type = "CumSum", .since = 11, .min_in = 2, .max_in = 2, .max_out = 1, .layout = OP_PLAIN, .shape = cumsum_shape,
   .forward = cumsum_forward, .backward = &cumsum_backward},
  {.type = NULL},
};
