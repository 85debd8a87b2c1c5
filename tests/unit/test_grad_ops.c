/* SPDX-License-Identifier: Apache-2.0 */
/* Every operator's way back against central differences of its forward pass (Richardson: error of the fourth order),
 * and for linear ones the adjoint identity <A x, r> = <x, A' r>. A case is one node; inputs that vary are inputs of the
 * graph, the others constants. Values stay away from kinks, or the case says how near it may come. */
#include "base/mem.h"
#include "base/rng.h"
#include "base/threads.h"
#include "graph/grad.h"
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_INPUTS = 6, SAMPLES = 3 };

struct operand {
  enum { ABSENT, VARIES, CONSTANT, INTEGERS, CHOICES } kind; /* CHOICES: integers that vary, from 0 to hi - 1 */
  int rank;
  int64_t dim[6];
  double lo, hi;   /* range of values; lo == hi: all the same. 0, 0: -1 to 1 without (-0.1, 0.1) */
  int64_t ints[8]; /* INTEGERS */
};

struct test_case {
  const char *type;
  int opset;
  const char *attrs; /* "name=i:1 name=I:1,2 name=f:0.5 name=s:text" */
  struct operand in[MOST_INPUTS];
  bool linear, channels_last, no_difference; /* no_difference: a staircase, no difference quotient */
  int outputs;                               /* 0: one */
};

#define V(...)                                                                                                         \
  {                                                                                                                    \
    .kind = VARIES, .rank = sizeof((int64_t[]){__VA_ARGS__}) / 8, .dim = { __VA_ARGS__ }                               \
  }
#define C(...)                                                                                                         \
  {                                                                                                                    \
    .kind = CONSTANT, .rank = sizeof((int64_t[]){__VA_ARGS__}) / 8, .dim = { __VA_ARGS__ }                             \
  }
#define VR(l, h, ...)                                                                                                  \
  {                                                                                                                    \
    .kind = VARIES, .rank = sizeof((int64_t[]){__VA_ARGS__}) / 8, .dim = {__VA_ARGS__}, .lo = l, .hi = h               \
  }
#define CR(l, h, ...)                                                                                                  \
  {                                                                                                                    \
    .kind = CONSTANT, .rank = sizeof((int64_t[]){__VA_ARGS__}) / 8, .dim = {__VA_ARGS__}, .lo = l, .hi = h             \
  }
#define SCALAR(v)                                                                                                      \
  {                                                                                                                    \
    .kind = CONSTANT, .rank = 0, .lo = (v) + 1e-30, .hi = (v) + 1e-30                                                  \
  }
#define I(...)                                                                                                         \
  {                                                                                                                    \
    .kind = INTEGERS, .rank = 1, .dim = {sizeof((int64_t[]){__VA_ARGS__}) / 8}, .ints = { __VA_ARGS__ }                \
  }
#define PICK(h, ...)                                                                                                   \
  {                                                                                                                    \
    .kind = CHOICES, .rank = sizeof((int64_t[]){__VA_ARGS__}) / 8, .dim = {__VA_ARGS__}, .hi = h                       \
  }
#define NONE                                                                                                           \
  {                                                                                                                    \
    .kind = ABSENT                                                                                                     \
  }

static const struct test_case cases[] = {
#include "grad_cases.inc"
};

/* ---- building ---- */

static double draw(const struct operand *o, uint32_t sample, uint64_t element)
{
  const double u = rng_uniform(7, RNG_NOISE, sample, element);
  if (o->lo == 0 && o->hi == 0) {
    const double x = 2 * u - 1; /* kinks at 0 are kept clear of */
    return x + (x < 0 ? -0.1 : 0.1);
  }
  return o->lo + (o->hi - o->lo) * u;
}

static struct attr *read_attrs(struct arena *arena, const char *text, int *count)
{
  struct attr *attrs = arena_array(arena, 12, sizeof *attrs);
  char copy[400], *save = NULL;
  *count = 0;
  (void)snprintf(copy, sizeof copy, "%s", text ? text : "");
  for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
    struct attr *a = &attrs[(*count)++];
    char *value = strchr(word, '=');
    assert_non_null(value);
    *value++ = '\0';
    const char kind = *value;
    value += 2;
    a->name = arena_strdup(arena, word);
    if (kind == 'i') {
      a->type = ATTR_INT;
      a->i = strtoll(value, NULL, 10);
    } else if (kind == 'f') {
      a->type = ATTR_FLOAT;
      a->f = strtof(value, NULL);
    } else if (kind == 's') {
      a->type = ATTR_STRING;
      a->s = arena_strdup(arena, value);
    } else {
      int64_t *list = arena_array(arena, 16, sizeof *list);
      a->type = ATTR_INTS;
      for (char *p = value; *p; a->count++) {
        list[a->count] = strtoll(p, &p, 10);
        p += *p == ',';
      }
      a->ints = list;
    }
  }
  return attrs;
}

struct built {
  struct graph *graph, *fused;
  struct value *in[MOST_INPUTS]; /* of the graph */
  struct value *seed;            /* of the fused one */
};

static struct built build(const struct test_case *c, enum fusion fusion)
{
  struct built b = {.graph = graph_new()};
  int n_in = MOST_INPUTS;
  while (n_in > 0 && c->in[n_in - 1].kind == ABSENT)
    n_in--;
  const int n_out = c->outputs ? c->outputs : 1;
  struct node *node = graph_node(b.graph, c->type, c->type, n_in, n_out);
  node->opset = c->opset;
  node->attrs = read_attrs(b.graph->arena, c->attrs, &node->n_attrs);
  for (int i = 0; i < n_in; i++) {
    const struct operand *o = &c->in[i];
    const struct shape shape = shape_of(o->rank, o->dim);
    char name[16];
    (void)snprintf(name, sizeof name, "in%d", i);
    if (o->kind == ABSENT)
      continue;
    if (o->kind == VARIES || o->kind == CHOICES) {
      b.in[i] = graph_value(b.graph, name);
      b.in[i]->t = (struct tensor){.shape = shape, .dtype = o->kind == VARIES ? DTYPE_F32 : DTYPE_I64};
      if (o->rank == 4 && c->channels_last)
        b.in[i]->t.layout = LAYOUT_CHANNELS_LAST;
      graph_input(b.graph, b.in[i]);
    } else {
      b.in[i] = graph_constant(b.graph, name, o->kind == INTEGERS ? DTYPE_I64 : DTYPE_F32, &shape);
      for (int64_t k = 0; k < shape_count(&shape); k++)
        if (o->kind == INTEGERS)
          ((int64_t *)b.in[i]->t.data)[k] = o->ints[k];
        else
          ((float *)b.in[i]->t.data)[k] = (float)draw(o, 100 + (uint32_t)i, (uint64_t)k);
    }
    node->in[i] = b.in[i];
  }
  for (int i = 0; i < n_out; i++) {
    node->out[i] = graph_value(b.graph, i ? "more" : "out");
    graph_output(b.graph, node->out[i]);
  }
  struct error err = {0};
  if (!graph_build(b.graph, &err) || !graph_simplify(b.graph, &err) ||
      !(b.fused = graph_fused(b.graph, fusion, NULL, 0, &err)))
    fail_msg("%s: %s", c->type, err.message);
  b.seed = b.fused->outputs[0];
  return b;
}

static void unbuild(struct built *b)
{
  graph_free(b->fused);
  graph_free(b->graph);
}

/* ---- running ---- */

struct attempt {
  struct grad *grad;
  void *memory;
  size_t bytes;
};

static struct attempt attempt(const struct test_case *c, const struct built *b, struct compute *compute, int to,
                              int64_t n)
{
  struct error err = {0};
  const struct grad_options options = {.from = b->seed, .to = b->fused->values[b->in[to]->id]};
  struct attempt a = {.grad = grad_new(b->fused, compute, n, &options, &err)};
  if (!a.grad)
    fail_msg("%s: %s", c->type, err.message);
  a.bytes = grad_bytes(a.grad);
  a.memory = mem_map(a.bytes);
  memset(a.memory, 0xff, a.bytes); /* NaN: what is read must have been written */
  grad_bind(a.grad, a.memory);
  return a;
}

static void done(struct attempt *a)
{
  grad_free(a->grad);
  mem_unmap(a->memory, a->bytes);
}

/* Inputs of samples first..first+n-1. */
static void feed(const struct test_case *c, const struct built *b, struct run *run, int64_t first, int64_t n)
{
  for (int i = 0, k = 0; i < MOST_INPUTS; i++) {
    const struct operand *o = &c->in[i];
    if (o->kind != VARIES && o->kind != CHOICES)
      continue;
    const int64_t count = tensor_count(&b->in[i]->t);
    void *data = run_input(run, k++);
    for (int64_t s = 0; s < n; s++)
      for (int64_t e = 0; e < count; e++) {
        const double x = draw(o, (uint32_t)(first + s) * MOST_INPUTS + (uint32_t)i, (uint64_t)e);
        if (o->kind == CHOICES)
          ((int64_t *)data)[s * count + e] =
              (int64_t)(rng_uniform(9, RNG_NOISE, (uint32_t)(first + s), (uint64_t)e) * o->hi);
        else
          ((float *)data)[s * count + e] = (float)x;
      }
  }
}

static void fill_seed(float *seed, int64_t count, int64_t first, int64_t n)
{
  for (int64_t s = 0; s < n; s++)
    for (int64_t e = 0; e < count; e++)
      seed[s * count + e] = (float)(2 * rng_uniform(8, RNG_NOISE, (uint32_t)(first + s), (uint64_t)e) - 1);
}

static void execute(const struct test_case *c, const struct built *b, struct attempt *a, int64_t first, int64_t n)
{
  struct error err = {0};
  feed(c, b, grad_run(a->grad), first, n);
  if (!run_execute(grad_run(a->grad), &err))
    fail_msg("%s: %s", c->type, err.message);
  fill_seed(grad_seed(a->grad), tensor_count(&b->seed->t), first, n);
  if (!grad_execute(a->grad, &err))
    fail_msg("%s: %s", c->type, err.message);
}

/* <out, seed> of the first sample. */
static double objective(const struct built *b, struct run *run, const float *seed)
{
  struct error err = {0};
  double sum = 0;
  assert_true(run_execute(run, &err));
  const float *out = run_value(run, b->seed);
  for (int64_t e = 0; e < tensor_count(&b->seed->t); e++)
    sum += (double)out[e] * (double)seed[e];
  return sum;
}

/* Central differences of every element, or of every seventh of many. */
static void compare_differences(const struct test_case *c, const struct built *b, struct compute *compute, int to,
                                const float *gradient)
{
  const int64_t count = tensor_count(&b->in[to]->t), outs = tensor_count(&b->seed->t);
  const float step = 0.015625f;
  struct error err = {0};
  struct run *run = run_new(b->fused, compute, 1, NULL, 0, false, &err);
  float *seed = mem_alloc((size_t)outs * sizeof *seed);
  void *memory = mem_map(run_bytes(run));
  run_bind(run, memory);
  feed(c, b, run, 0, 1);
  fill_seed(seed, outs, 0, 1);
  int which = 0;
  for (int i = 0; i < to; i++)
    which += c->in[i].kind == VARIES || c->in[i].kind == CHOICES;
  double largest = 0, worst = 0;
  for (int64_t e = 0; e < count; e++)
    largest = fmax(largest, fabs((double)gradient[e]));
  if (c->no_difference)
    largest = 0;
  for (int64_t e = 0; e < count && !c->no_difference; e += count > 300 ? 7 : 1) {
    double f[4];
    for (int k = 0; k < 4; k++) {
      static const float steps[4] = {-2, -1, 1, 2};
      feed(c, b, run, 0, 1); /* a run may write over its inputs */
      float *x = (float *)run_input(run, which) + e;
      *x += steps[k] * step;
      f[k] = objective(b, run, seed);
    }
    const double slope = (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * (double)step);
    worst = fmax(worst, fabs(slope - (double)gradient[e]));
    largest = fmax(largest, fabs(slope));
  }
  if (!(worst <= 1e-4 * largest + 2e-5))
    fail_msg("%s (%s), input %d: worst %g of %g", c->type, c->attrs ? c->attrs : "", to, worst, largest);
  mem_unmap(memory, run_bytes(run));
  mem_free(seed);
  run_free(run);
}

/* <A x - A 0, r> = <x, A' r>, to rounding. */
static void compare_adjoint(const struct test_case *c, const struct built *b, struct compute *compute,
                            const float *gradient)
{
  const int64_t count = tensor_count(&b->in[0]->t), outs = tensor_count(&b->seed->t);
  struct error err = {0};
  struct run *run = run_new(b->fused, compute, 1, NULL, 0, false, &err);
  float *seed = mem_alloc((size_t)outs * sizeof *seed);
  void *memory = mem_map(run_bytes(run));
  run_bind(run, memory);
  fill_seed(seed, outs, 0, 1);
  feed(c, b, run, 0, 1);
  double right = 0, scale = 0;
  for (int64_t e = 0; e < count; e++) {
    const double p = (double)((const float *)run_input(run, 0))[e] * (double)gradient[e];
    right += p;
    scale += fabs(p);
  }
  double left = objective(b, run, seed);
  memset(run_input(run, 0), 0, (size_t)count * sizeof(float));
  left -= objective(b, run, seed);
  if (!(fabs(left - right) <= 1e-5 * scale))
    fail_msg("%s (%s): adjoint %g, %g", c->type, c->attrs ? c->attrs : "", left, right);
  mem_unmap(memory, run_bytes(run));
  mem_free(seed);
  run_free(run);
}

static void check(const struct test_case *c, int to)
{
  struct error err = {0};
  struct compute *compute = compute_open(&err);
  struct built b = build(c, FUSE_REVERSIBLE);
  const int64_t count = tensor_count(&b.in[to]->t);
  float *alone = mem_alloc((size_t)(SAMPLES * count) * sizeof *alone);
  struct attempt one = attempt(c, &b, compute, to, 1), all = attempt(c, &b, compute, to, SAMPLES);
  for (int s = 0; s < SAMPLES; s++) {
    execute(c, &b, &one, s, 1);
    memcpy(alone + s * count, grad_result(one.grad), (size_t)count * sizeof *alone);
  }
  execute(c, &b, &all, 0, SAMPLES);
  for (int64_t e = 0; e < SAMPLES * count; e++)
    if (memcmp(&alone[e], grad_result(all.grad) + e, sizeof *alone) != 0)
      fail_msg("%s (%s), input %d: element %d is %g alone and %g in a batch", c->type, c->attrs ? c->attrs : "", to,
               (int)e, (double)alone[e], (double)grad_result(all.grad)[e]);
  compare_differences(c, &b, compute, to, alone);
  if (c->linear)
    compare_adjoint(c, &b, compute, alone);
  mem_free(alone);
  done(&one);
  done(&all);
  unbuild(&b);
  compute_close(compute);
}

static void every_operator(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int to = 0; to < MOST_INPUTS; to++)
      if (cases[i].in[to].kind == VARIES) {
        check(&cases[i], to);
      }
}

/* The same bits with one thread and with two. */
static void threads_do_not_matter(void **state)
{
  (void)state;
  struct error err = {0};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const struct test_case *c = &cases[i];
    int to = 0;
    while (c->in[to].kind != VARIES)
      to++;
    float *first = NULL;
    for (int threads = 1; threads <= 3; threads += 2) {
      threads_use(threads);
      struct compute *compute = compute_open(&err);
      struct built b = build(c, FUSE_REVERSIBLE);
      struct attempt a = attempt(c, &b, compute, to, SAMPLES);
      const size_t bytes = SAMPLES * tensor_bytes(&b.in[to]->t);
      execute(c, &b, &a, 0, SAMPLES);
      if (!first) {
        first = mem_alloc(bytes);
        memcpy(first, grad_result(a.grad), bytes);
      } else {
        if (memcmp(first, grad_result(a.grad), bytes) != 0)
          fail_msg("%s (%s): other bits with %d threads", c->type, c->attrs ? c->attrs : "", threads);
        mem_free(first);
      }
      done(&a);
      unbuild(&b);
      compute_close(compute);
    }
  }
  threads_use(0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_operator),
      cmocka_unit_test(threads_do_not_matter),
  };
  return cmocka_run_group_tests_name("grad_ops", tests, NULL, NULL);
}
