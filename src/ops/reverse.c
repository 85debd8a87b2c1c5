/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/reverse.h"

#include "base/bf16.h"
#include "base/threads.h"
#include "tensor/simd.h"

#include <string.h>

static void add_row(const void *context, int64_t n, char *const *p, const int64_t *stride)
{
  float *to = (float *)(void *)p[0];
  const float *from = (const float *)(const void *)p[1];
  (void)context;
  for (int64_t i = 0; i < n; i++)
    to[i * stride[0]] += from[i * stride[1]];
}

SIMD_CLONES static void add_dense(float *to, const float *from, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    to[i] += from[i];
}

static void add_some(const void *context, int64_t n, char *const *p, const int64_t *stride)
{
  if (stride[0] == 1 && stride[1] == 1)
    add_dense((float *)(void *)p[0], (const float *)(const void *)p[1], n);
  else
    add_row(context, n, p, stride);
}

SIMD_CLONES static void add_dense_bf16(uint16_t *to, const uint16_t *from, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    to[i] = bf16_from_float(bf16_to_float(to[i]) + bf16_to_float(from[i]));
}

static void add_some_bf16(const void *context, int64_t n, char *const *p, const int64_t *stride)
{
  uint16_t *to = (uint16_t *)(void *)p[0];
  const uint16_t *from = (const uint16_t *)(const void *)p[1];
  (void)context;
  if (stride[0] == 1 && stride[1] == 1)
    add_dense_bf16(to, from, n);
  else
    for (int64_t i = 0; i < n; i++)
      add_dense_bf16(to + i * stride[0], from + i * stride[1], 1);
}

static void move_bf16(const struct loop *loop, bool add, uint16_t *to, const uint16_t *from)
{
  if (loop_count(loop) == 0)
    return;
  if (add)
    loop_run(loop, (size_t[]){sizeof *to, sizeof *from}, (void *const[]){to, (void *)(uintptr_t)from}, LOOP_GRAIN,
             add_some_bf16, NULL);
  else
    loop_copy(loop, sizeof *to, to, from);
}

void reverse_move(const struct loop *loop, bool add, float *to, const float *from)
{
  if (loop_count(loop) == 0)
    return;
  if (add)
    loop_run(loop, (size_t[]){sizeof *to, sizeof *from}, (void *const[]){to, (void *)(uintptr_t)from}, LOOP_GRAIN,
             add_some, NULL);
  else
    loop_copy(loop, sizeof *to, to, from);
}

void reverse_box(const struct reverse *r, const struct loop_box *box, bool add, const struct tensor *to_tensor,
                 float *to, const struct tensor *from_tensor, const float *from)
{
  int order[TENSOR_MAX_RANK];
  struct loop loop;
  loop_order(to_tensor, order);
  loop_begin(&loop, 2);
  loop_push(&loop, r->n, (const int64_t[]){tensor_count(to_tensor), tensor_count(from_tensor)});
  for (int d = 0; d < to_tensor->shape.rank; d++)
    loop_push(&loop, box->dim[order[d]], (const int64_t[]){box->to[order[d]], box->from[order[d]]});
  if (to_tensor->dtype == DTYPE_BF16)
    move_bf16(&loop, add, (uint16_t *)(void *)to + box->to_offset,
              (const uint16_t *)(const void *)from + box->from_offset);
  else
    reverse_move(&loop, add, to + box->to_offset, from + box->from_offset);
}

void reverse_pass(bool add, float *to, const float *from, int64_t count)
{
  struct loop loop;
  if (to == from && !add)
    return;
  loop_begin(&loop, 2);
  loop_push(&loop, count, (const int64_t[]){1, 1});
  reverse_move(&loop, add, to, from);
}

void reverse_add(enum dtype type, void *to, const void *from, int64_t count)
{
  struct loop loop;
  loop_begin(&loop, 2);
  loop_push(&loop, count, (const int64_t[]){1, 1});
  if (type == DTYPE_BF16)
    move_bf16(&loop, true, to, from);
  else
    reverse_move(&loop, true, to, from);
}

void reverse_nothing(const struct reverse *r, int i)
{
  if (!r->add[i])
    memset(r->to[i], 0, (size_t)r->n * tensor_bytes(&r->node->in[i]->t));
}

void reverse_row_same(const void *context, int64_t n, const void *const *p, const int64_t *stride, float *t)
{
  const float *g = p[0];
  (void)context;
  if (stride[0] == 1)
    memcpy(t, g, (size_t)n * sizeof *t);
  else
    for (int64_t i = 0; i < n; i++)
      t[i] = g[i * stride[0]];
}

/* ---- sums ------------------------------------------------------------------------------------------------------ */

enum { CHUNK = 256 }; /* terms made at a time: they stay in the first cache */

struct sum {
  struct loop kept, summed; /* operand 0 is the target, the others are the sources */
  int sources;
  size_t size[REVERSE_SOURCES];
  const char *base[REVERSE_SOURCES];
  reverse_row *row;
  const void *context;
  float *to;
  bool add;
  bool across; /* neighbours in memory are summed, not kept */
  int64_t chunks, terms;
};

/* Offsets of element i of the first `rank` dimensions of a nest are added. */
static void offsets(const struct loop *loop, int rank, int64_t i, int64_t *offset)
{
  for (int d = rank - 1; d >= 0; d--) {
    const int64_t at = i % loop->dim[d];
    i /= loop->dim[d];
    for (int k = 0; k < loop->operands; k++)
      offset[k] += at * loop->stride[k][d];
  }
}

static void terms_at(const struct sum *s, const int64_t *offset, const int64_t stride[][LOOP_MAX_RANK], int d,
                     int64_t n, float *t)
{
  const void *p[REVERSE_SOURCES];
  int64_t step[REVERSE_SOURCES];
  for (int k = 0; k < s->sources; k++) {
    p[k] = s->base[k] + offset[1 + k] * (int64_t)s->size[k];
    step[k] = stride[1 + k][d];
  }
  s->row(s->context, n, p, step, t);
}

SIMD_CLONES static void accumulate(double *sum, const float *t, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    sum[i] += (double)t[i];
}

/* Pieces of rows of the target, whose neighbours are neighbours in the sources. */
static void sum_rows(void *context, int64_t begin, int64_t end)
{
  const struct sum *s = context;
  const int last = s->kept.rank - 1;
  const int64_t width = s->kept.dim[last], step = s->kept.stride[0][last];
  float t[CHUNK];
  double sum[CHUNK];
  for (int64_t i = begin; i < end; i++) {
    const int64_t column = i % s->chunks * CHUNK, n = width - column < CHUNK ? width - column : CHUNK;
    int64_t offset[LOOP_OPERANDS] = {0};
    offsets(&s->kept, last, i / s->chunks, offset);
    for (int k = 0; k <= s->sources; k++)
      offset[k] += column * s->kept.stride[k][last];
    float *to = s->to + offset[0];
    if (s->terms == 1 && step == 1 && !s->add) {
      terms_at(s, offset, s->kept.stride, last, n, to);
      continue;
    }
    if (s->terms == 1) {
      terms_at(s, offset, s->kept.stride, last, n, t);
    } else {
      memset(sum, 0, (size_t)n * sizeof *sum);
      for (int64_t j = 0; j < s->terms; j++) {
        int64_t at[LOOP_OPERANDS];
        memcpy(at, offset, sizeof at);
        offsets(&s->summed, s->summed.rank, j, at);
        terms_at(s, at, s->kept.stride, last, n, t);
        accumulate(sum, t, n);
      }
      for (int64_t j = 0; j < n; j++)
        t[j] = (float)sum[j];
    }
    for (int64_t j = 0; j < n; j++)
      to[j * step] = s->add ? to[j * step] + t[j] : t[j];
  }
}

/* Elements of the target one by one: what is summed are runs in memory. */
static void sum_runs(void *context, int64_t begin, int64_t end)
{
  const struct sum *s = context;
  const int last = s->summed.rank - 1;
  const int64_t run = s->summed.dim[last];
  float t[CHUNK];
  for (int64_t i = begin; i < end; i++) {
    int64_t offset[LOOP_OPERANDS] = {0};
    double sum = 0;
    offsets(&s->kept, s->kept.rank, i, offset);
    for (int64_t j = 0; j < s->terms / run; j++)
      for (int64_t c = 0; c < run; c += CHUNK) {
        const int64_t n = run - c < CHUNK ? run - c : CHUNK;
        int64_t at[LOOP_OPERANDS];
        memcpy(at, offset, sizeof at);
        offsets(&s->summed, last, j, at);
        for (int k = 0; k <= s->sources; k++)
          at[k] += c * s->summed.stride[k][last];
        terms_at(s, at, s->summed.stride, last, n, t);
        for (int64_t e = 0; e < n; e++)
          sum += (double)t[e];
      }
    s->to[offset[0]] = s->add ? s->to[offset[0]] + (float)sum : (float)sum;
  }
}

void reverse_sum(const struct reverse *r, const struct tensor *space, const struct tensor *target, float *to, bool add,
                 int sources, const struct reverse_source *source, reverse_row *row, const void *context)
{
  struct sum s = {.sources = sources, .row = row, .context = context, .to = to, .add = add};
  int64_t stride[LOOP_OPERANDS][TENSOR_MAX_RANK], step[LOOP_OPERANDS];
  int order[TENSOR_MAX_RANK];
  if (tensor_count(target) == 0)
    return;
  loop_order(space, order);
  loop_broadcast(target, &space->shape, stride[0]);
  step[0] = tensor_count(target);
  for (int k = 0; k < sources; k++) {
    loop_broadcast(source[k].tensor, &space->shape, stride[1 + k]);
    step[1 + k] = source[k].batched ? tensor_count(source[k].tensor) : 0;
    s.size[k] = dtype_size(source[k].tensor->dtype);
    s.base[k] = source[k].data;
  }
  loop_begin(&s.kept, 1 + sources);
  loop_begin(&s.summed, 1 + sources);
  loop_push(&s.kept, r->n, step);
  for (int d = 0; d < space->shape.rank; d++) {
    const int64_t dim = space->shape.dim[order[d]];
    for (int k = 0; k <= sources; k++)
      step[k] = stride[k][order[d]];
    if (dim == 1)
      continue;
    s.across = step[0] == 0;
    loop_push(s.across ? &s.summed : &s.kept, dim, step);
  }
  s.terms = loop_count(&s.summed);
  if (s.across && s.terms > 0) {
    threads_for(loop_count(&s.kept), 1 + LOOP_GRAIN / s.terms, sum_runs, &s);
    return;
  }
  const int64_t width = s.kept.dim[s.kept.rank - 1];
  s.chunks = (width + CHUNK - 1) / CHUNK;
  threads_for(loop_count(&s.kept) / width * s.chunks, 1 + LOOP_GRAIN / (CHUNK * (s.terms + 1)), sum_rows, &s);
}

bool reverse_gradient_only(const struct node *node, enum rule rule, unsigned *inputs, struct error *err)
{
  (void)inputs;
  return rule == RULE_GRADIENT ||
         node_error(node, err,
                    "the rules of deconvnet and guided-backprop are not defined for it (deconv-unsupported)");
}
