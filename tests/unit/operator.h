/* SPDX-License-Identifier: Apache-2.0 */
/* One operator by itself: described, shaped, prepared and run, with inputs that vary with the sample or are constant,
 * row-major or channels-last. Values are a fixed function of input, sample and element. */
#ifndef PENUMBRA_TESTS_OPERATOR_H
#define PENUMBRA_TESTS_OPERATOR_H

#include "base/mem.h"
#include "base/threads.h"
#include "ops/op.h"
#include "unit.h"

#include <math.h>
#include <string.h>

enum { OPERATOR_INPUTS = 8, OPERATOR_ATTRS = 8, OPERATOR_OUTPUTS = 4, OPERATOR_SAMPLES = 3 };

struct operator_input {
  enum dtype dtype;
  int rank;
  int64_t dim[TENSOR_MAX_RANK];
  const double *values; /* constant, in row-major order; NULL: made up */
  double low, high;     /* range of what is made up; both 0: -2..2 */
  bool constant, channels_last, absent;
};

struct operator_spec {
  const char *type, *domain;
  int opset;
  struct operator_input in[OPERATOR_INPUTS];
  int n_in, n_out; /* n_out 0: 1 */
  struct attr attrs[OPERATOR_ATTRS];
  int n_attrs;
};

/* One output of a run, in row-major order whatever its layout. */
struct operator_result {
  struct tensor t;
  double *numbers; /* samples blocks */
  bool is_view;
};

static inline double operator_value(const struct operator_input *in, int i, int64_t sample, int64_t element)
{
  if (in->values)
    return in->values[element];
  if (in->constant)
    sample = 0;
  const uint32_t mixed =
      (uint32_t)(1000003 * (i + 1) + 7919 * (sample + 1)) * 2654435761u + (uint32_t)element * 2246822519u;
  const double u = (double)((mixed ^ mixed >> 15) * 2654435761u >> 8) / 16777216.0;
  const bool given = in->low != 0 || in->high != 0;
  const double x = (given ? in->low : -2) + u * (given ? in->high - in->low : 4);
  return in->dtype == DTYPE_I64 ? floor(x) : (double)(float)x;
}

static inline int64_t operator_place(const struct tensor *t, int64_t element)
{
  int64_t stride[TENSOR_MAX_RANK], place = 0;
  tensor_strides(t, stride);
  for (int d = t->shape.rank - 1; d >= 0; d--) {
    place += element % t->shape.dim[d] * stride[d];
    element /= t->shape.dim[d];
  }
  return place;
}

static inline double operator_get(const struct tensor *t, const void *data, int64_t sample, int64_t element)
{
  const int64_t at = sample * tensor_count(t) + operator_place(t, element);
  return t->dtype == DTYPE_F32 ? (double)((const float *)data)[at] : (double)((const int64_t *)data)[at];
}

static inline void operator_put(const struct tensor *t, void *data, int64_t sample, int64_t element, double x)
{
  const int64_t at = sample * tensor_count(t) + operator_place(t, element);
  if (t->dtype == DTYPE_F32)
    ((float *)data)[at] = (float)x;
  else
    ((int64_t *)data)[at] = (int64_t)x;
}

static inline void operator_free(struct operator_result *results)
{
  for (int i = 0; i < OPERATOR_OUTPUTS; i++)
    mem_free(results[i].numbers);
}

/* Samples first to first + n - 1 in one call. False with err set where the operator refuses. */
static inline bool operator_run(const struct operator_spec *spec, int64_t first, int64_t n,
                                struct operator_result results[OPERATOR_OUTPUTS], struct error *err)
{
  struct value in[OPERATOR_INPUTS] = {{0}}, out[OPERATOR_OUTPUTS] = {{0}};
  struct value *ins[OPERATOR_INPUTS], *outs[OPERATOR_OUTPUTS];
  void *data[OPERATOR_INPUTS] = {NULL}, *made[OPERATOR_OUTPUTS] = {NULL};
  bool batched[OPERATOR_INPUTS];
  struct arena *arena = arena_new(0);
  memset(results, 0, OPERATOR_OUTPUTS * sizeof *results);
  assert_non_null(arena);
  for (int i = 0; i < spec->n_in; i++) {
    const struct operator_input *from = &spec->in[i];
    struct tensor *t = &in[i].t;
    in[i].name = "in";
    ins[i] = from->absent ? NULL : &in[i];
    batched[i] = !from->constant && !from->values;
    t->dtype = from->dtype;
    t->shape = shape_of(from->rank, from->dim);
    t->layout = from->channels_last && from->rank == 4 ? LAYOUT_CHANNELS_LAST : LAYOUT_PLAIN;
    const int64_t count = tensor_count(t), blocks = batched[i] ? n : 1;
    assert_true(count >= 0);
    data[i] = mem_zero((size_t)(count * blocks) + 1, sizeof(int64_t));
    assert_non_null(data[i]);
    for (int64_t s = 0; s < blocks; s++)
      for (int64_t e = 0; e < count; e++)
        operator_put(t, data[i], s, e, operator_value(from, i, first + s, e));
    t->data = batched[i] ? NULL : data[i];
  }
  const int n_out = spec->n_out ? spec->n_out : 1;
  for (int i = 0; i < n_out; i++) {
    out[i].name = "out";
    out[i].uses = 1;
    outs[i] = &out[i];
  }
  struct node node = {.name = "test",
                      .type = spec->type,
                      .domain = spec->domain ? spec->domain : "",
                      .opset = spec->opset ? spec->opset : 13,
                      .in = ins,
                      .n_in = spec->n_in,
                      .out = outs,
                      .n_out = n_out,
                      .attrs = spec->attrs,
                      .n_attrs = spec->n_attrs};
  node.op = op_find(node.domain, node.type, node.opset);
  assert_non_null(node.op);
  bool ok = node.op->shape(&node, arena, err);
  if (ok) {
    struct compute *compute = compute_open(err);
    struct prepared prepared = {.state = NULL};
    assert_non_null(compute);
    for (int i = 0; i < n_out; i++) {
      made[i] = mem_zero((size_t)(tensor_count(&out[i].t) * n) + 1, sizeof(int64_t));
      assert_non_null(made[i]);
    }
    if (node.op->prepare)
      assert_true(node.op->prepare(&node, n, compute, &prepared, err));
    void *scratch = prepared.scratch ? mem_map(prepared.scratch) : NULL;
    const struct call call = {.node = &node,
                              .n = n,
                              .in = (const void *const *)data,
                              .in_batched = batched,
                              .out = made,
                              .state = prepared.state,
                              .scratch = scratch,
                              .compute = compute};
    results[0].is_view = node.op->flags & OP_VIEW || (node.op->is_view && node.op->is_view(&node));
    if (out[0].t.data) { /* known without running */
      const struct tensor *t = &out[0].t;
      for (int64_t s = 0; s < n; s++)
        memcpy((char *)made[0] + (size_t)s * tensor_bytes(t), t->data, tensor_bytes(t));
    } else {
      ok = node.op->forward(&call, err);
    }
    if (prepared.state)
      node.op->release(prepared.state);
    if (scratch)
      mem_unmap(scratch, prepared.scratch);
    compute_close(compute);
  }
  for (int i = 0; ok && i < n_out; i++) {
    const int64_t count = tensor_count(&out[i].t);
    results[i].t = out[i].t;
    results[i].t.data = NULL;
    results[i].numbers = mem_zero((size_t)(count * n) + 1, sizeof(double));
    assert_non_null(results[i].numbers);
    for (int64_t s = 0; s < n; s++)
      for (int64_t e = 0; e < count; e++)
        results[i].numbers[s * count + e] = operator_get(&out[i].t, made[i], s, e);
    if (i == 0 && results[0].is_view) { /* then the bytes must be those of the input */
      const size_t bytes = (size_t)(batched[0] ? n : 1) * tensor_bytes(&in[0].t);
      assert_memory_equal(made[0], data[0], bytes);
    }
  }
  for (int i = 0; i < spec->n_in; i++)
    mem_free(data[i]);
  for (int i = 0; i < n_out; i++)
    mem_free(made[i]);
  arena_free(arena);
  return ok;
}

static inline void operator_same(const double *a, const double *b, int64_t count, double tolerance, const char *type,
                                 const char *how)
{
  for (int64_t i = 0; i < count; i++)
    if (!(fabs(a[i] - b[i]) <= tolerance * (1 + fabs(b[i])) || (isnan(a[i]) && isnan(b[i])) || a[i] == b[i]))
      fail_msg("%s, %s: element %lld is %.9g, not %.9g", type, how, (long long)i, a[i], b[i]);
}

/* The operator gives the same numbers sample by sample and in one batch, for one thread and for two (the same bits),
 * and, up to `tolerance`, for images in the other layout. `results` are those of the batch, to be freed by
 * operator_free. */
static inline void operator_check(const struct operator_spec *spec, double tolerance,
                                  struct operator_result results[OPERATOR_OUTPUTS])
{
  struct error err = {0};
  threads_use(2);
  if (!operator_run(spec, 0, OPERATOR_SAMPLES, results, &err))
    fail_msg("%s", err.message);
  const int n_out = spec->n_out ? spec->n_out : 1;
  for (int how = 0; how < 3; how++) {
    struct operator_spec other = *spec;
    bool differs = how == 0;
    for (int i = 0; how == 2 && i < spec->n_in; i++)
      if (spec->in[i].rank == 4 && !spec->in[i].constant && !spec->in[i].values)
        differs = other.in[i].channels_last = true;
    const enum op_layout wants =
        op_find(spec->domain ? spec->domain : "", spec->type, spec->opset ? spec->opset : 13)->layout;
    if (how == 2 && (!differs || wants == OP_PLAIN))
      continue;
    threads_use(how == 1 ? 1 : 2);
    for (int64_t s = 0; s < (how == 0 ? OPERATOR_SAMPLES : 1); s++) {
      struct operator_result again[OPERATOR_OUTPUTS];
      const int64_t n = how == 0 ? 1 : OPERATOR_SAMPLES;
      if (!operator_run(&other, s, n, again, &err))
        fail_msg("%s", err.message);
      for (int i = 0; i < n_out; i++) {
        static const char *const hows[] = {"sample by sample", "one thread", "channels-last"};
        const int64_t count = tensor_count(&results[i].t);
        assert_true(shape_equal(&again[i].t.shape, &results[i].t.shape));
        operator_same(again[i].numbers, results[i].numbers + s * count, n * count, how == 2 ? tolerance : 0, spec->type,
                      hows[how]);
      }
      operator_free(again);
    }
  }
  threads_use(0);
}

/* The operator refuses, and the message ends in `text`. */
static inline void operator_refuses(const struct operator_spec *spec, const char *text)
{
  struct operator_result results[OPERATOR_OUTPUTS];
  struct error err = {0};
  if (operator_run(spec, 0, 1, results, &err))
    fail_msg("%s: not refused: %s", spec->type, text);
  assert_non_null(strstr(err.message, text));
}

/* The numbers of one sample are these. */
static inline void operator_gives(const struct operator_spec *spec, const double *expected, int64_t count)
{
  struct operator_result results[OPERATOR_OUTPUTS];
  struct error err = {0};
  if (!operator_run(spec, 0, 1, results, &err))
    fail_msg("%s", err.message);
  assert_int_equal(tensor_count(&results[0].t), count);
  operator_same(results[0].numbers, expected, count, 1e-6, spec->type, "expected");
  operator_free(results);
}

#define INT_ATTR(n, v)                                                                                                 \
  {                                                                                                                    \
    .name = n, .type = ATTR_INT, .i = v                                                                                \
  }
#define FLOAT_ATTR(n, v)                                                                                               \
  {                                                                                                                    \
    .name = n, .type = ATTR_FLOAT, .f = v                                                                              \
  }
#define TEXT_ATTR(n, v)                                                                                                \
  {                                                                                                                    \
    .name = n, .type = ATTR_STRING, .s = v                                                                             \
  }
#define INTS_ATTR(n, c, ...)                                                                                           \
  {                                                                                                                    \
    .name = n, .type = ATTR_INTS, .ints = (const int64_t[]){__VA_ARGS__}, .count = c                                   \
  }

#endif
