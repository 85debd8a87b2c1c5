/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting out, bordering and repeating: Slice, Pad, Tile, Expand, Trilu. */
#include "base/threads.h"
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "ops/reverse.h"

#include <string.h>

/* ---- Slice ---- */

struct slice {
  int64_t start[TENSOR_MAX_RANK], step[TENSOR_MAX_RANK];
};

/* NumPy's rules: what is out of range is clamped, a negative index counts from the end. */
static void slice_axis(int64_t dim, int64_t start, int64_t end, int64_t step, int64_t *first, int64_t *count)
{
  if (start < 0)
    start = start < -dim ? -1 : start + dim; /* -1: before the first */
  if (end < 0)
    end = end < -dim ? -1 : end + dim;
  if (step > 0) {
    start = start < 0 ? 0 : (start > dim ? dim : start);
    end = end < 0 ? 0 : (end > dim ? dim : end);
    *count = end > start ? (end - start - 1) / step + 1 : 0;
  } else {
    start = start > dim - 1 ? dim - 1 : start;
    end = end > dim - 1 ? dim - 1 : end;
    *count = start > end ? (start - end - 1) / -step + 1 : 0;
  }
  *first = *count ? start : 0;
}

static bool slice_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  struct slice *s = params_new(node, arena, sizeof *s, err);
  int64_t starts[TENSOR_MAX_RANK], ends[TENSOR_MAX_RANK], axes[TENSOR_MAX_RANK], steps[TENSOR_MAX_RANK];
  int n_starts, n_ends, n_axes = 0, n_steps = 0;
  if (!s)
    return false;
  if (node->opset < 10) {
    if (!node_ints(node, "starts", starts, TENSOR_MAX_RANK, &n_starts, err) ||
        !node_ints(node, "ends", ends, TENSOR_MAX_RANK, &n_ends, err) ||
        !node_ints(node, "axes", axes, TENSOR_MAX_RANK, &n_axes, err))
      return false;
  } else {
    if (!node_has(node, 1) || !node_has(node, 2))
      return node_error(node, err, "starts or ends are missing");
    if (!node_const_ints(node, 1, starts, TENSOR_MAX_RANK, &n_starts, err) ||
        !node_const_ints(node, 2, ends, TENSOR_MAX_RANK, &n_ends, err) ||
        (node_has(node, 3) && !node_const_ints(node, 3, axes, TENSOR_MAX_RANK, &n_axes, err)) ||
        (node_has(node, 4) && !node_const_ints(node, 4, steps, TENSOR_MAX_RANK, &n_steps, err)))
      return false;
  }
  bool default_axes = node->opset < 10 ? !node_attr(node, "axes") : !node_has(node, 3);
  if (n_ends != n_starts || (!default_axes && n_axes != n_starts) || (n_steps && n_steps != n_starts))
    return node_error(node, err, "has %d starts, %d ends, %d axes and %d steps", n_starts, n_ends, n_axes, n_steps);
  struct shape shape = in->shape;
  for (int d = 0; d < TENSOR_MAX_RANK; d++)
    s->step[d] = 1;
  unsigned seen = 0;
  for (int k = 0; k < n_starts; k++) {
    int axis = 0;
    if (!axis_normal(node, default_axes ? k : axes[k], shape.rank, &axis, err))
      return false;
    if (seen >> axis & 1)
      return node_error(node, err, "axis %d is given twice", axis);
    seen |= 1u << axis;
    int64_t step = n_steps ? steps[k] : 1;
    if (step == 0)
      return node_error(node, err, "the step of axis %d is 0", axis);
    if (step < -OUTPUT_MAX_COUNT)
      step = -OUTPUT_MAX_COUNT;
    if (step > OUTPUT_MAX_COUNT)
      step = OUTPUT_MAX_COUNT;
    slice_axis(in->shape.dim[axis], starts[k], ends[k], step, &s->start[axis], &shape.dim[axis]);
    s->step[axis] = shape.dim[axis] > 1 ? step : 1;
  }
  return output_set(node, 0, in->dtype, &shape, in->layout, err);
}

static bool slice_is_view(const struct node *node)
{
  const struct slice *s = node->params;
  for (int d = 0; d < node->in[0]->t.shape.rank; d++)
    if (s->step[d] != 1 && node->in[0]->t.shape.dim[d] > 1)
      return false;
  return shape_equal(&node->in[0]->t.shape, &node->out[0]->t.shape);
}

static bool slice_forward(const struct call *call, struct error *err)
{
  const struct slice *s = call->node->params;
  const struct tensor *in = &call->node->in[0]->t, *out = &call->node->out[0]->t;
  (void)err;
  struct loop_box box = {.to_offset = 0};
  memcpy(box.dim, out->shape.dim, sizeof box.dim);
  tensor_strides(out, box.to);
  tensor_strides(in, box.from);
  if (tensor_count(out) == 0)
    return true;
  for (int d = 0; d < out->shape.rank; d++) {
    box.from_offset += s->start[d] * box.from[d];
    box.from[d] *= s->step[d];
  }
  loop_box(call, &box, out, call->out[0], in, call->in[0], call->in_batched[0]);
  return true;
}

static bool slice_backward_run(const struct reverse *r, struct error *err)
{
  const struct slice *s = r->node->params;
  const struct tensor *in = &r->node->in[0]->t, *out = &r->node->out[0]->t;
  (void)err;
  struct loop_box box = {.to_offset = 0};
  reverse_nothing(r, 0);
  if (tensor_count(out) == 0)
    return true;
  memcpy(box.dim, out->shape.dim, sizeof box.dim);
  tensor_strides(in, box.to);
  tensor_strides(out, box.from);
  for (int d = 0; d < in->shape.rank; d++) {
    box.to_offset += s->start[d] * box.to[d];
    box.to[d] *= s->step[d];
  }
  reverse_box(r, &box, r->add[0], in, r->to[0], out, r->from[0]);
  return true;
}

static const struct backward slice_backward = {.flags = BACKWARD_ADDS, .run = slice_backward_run};

/* ---- Pad ---- */

enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };

struct pad {
  enum pad_mode mode;
  int64_t before[TENSOR_MAX_RANK]; /* negative: cut off */
  int64_t value;                   /* bits of the constant */
};

/* Pads of all axes: before[0..rank), after[0..rank). */
static bool pad_amounts(const struct node *node, int64_t pads[2 * TENSOR_MAX_RANK], struct error *err)
{
  const int rank = node->in[0]->t.shape.rank;
  int64_t given[2 * TENSOR_MAX_RANK], axes[TENSOR_MAX_RANK];
  int count, n_axes = rank;
  memset(pads, 0, 2 * TENSOR_MAX_RANK * sizeof *pads);
  const char *attribute = node->opset < 2 ? "paddings" : "pads";
  if (node->opset < 11 ? !node_ints(node, attribute, given, 2 * TENSOR_MAX_RANK, &count, err)
                       : !node_const_ints(node, 1, given, 2 * TENSOR_MAX_RANK, &count, err))
    return false;
  for (int d = 0; d < rank; d++)
    axes[d] = d;
  if (node_has(node, 3) && !node_const_ints(node, 3, axes, TENSOR_MAX_RANK, &n_axes, err))
    return false;
  if (count != 2 * n_axes)
    return node_error(node, err, "has %d pads for %d axes", count, n_axes);
  for (int k = 0; k < n_axes; k++) {
    int axis = 0;
    if (!axis_normal(node, axes[k], rank, &axis, err))
      return false;
    for (int side = 0; side < 2; side++) {
      int64_t amount = given[side * n_axes + k];
      if (amount < -OUTPUT_MAX_COUNT || amount > OUTPUT_MAX_COUNT)
        return node_error(node, err, "pad %lld is too large", (long long)amount);
      pads[side * rank + axis] = amount;
    }
  }
  return true;
}

static bool pad_value(const struct node *node, int64_t *bits, struct error *err)
{
  if (!node_has(node, 2)) {
    double value;
    if (!node_float(node, "value", 0, &value, err))
      return false;
    float f = (float)value;
    if (node->in[0]->t.dtype == DTYPE_F32)
      memcpy(bits, &f, sizeof f);
    else
      *bits = 0;
    return true;
  }
  const struct tensor *t = &node->in[2]->t;
  if (!input_is(node, 2, node->in[0]->t.dtype, err))
    return false;
  if (!t->data || tensor_count(t) > 1)
    return node_error(node, err, "the value to pad with is not one constant");
  if (tensor_count(t) == 1)
    memcpy(bits, t->data, dtype_size(t->dtype));
  return true;
}

static bool pad_shape(struct node *node, struct arena *arena, struct error *err)
{
  static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
  const struct tensor *in = &node->in[0]->t;
  struct pad *p = params_new(node, arena, sizeof *p, err);
  const char *mode;
  int64_t pads[2 * TENSOR_MAX_RANK];
  if (!p || !node_string(node, "mode", "constant", &mode, err) || !pad_amounts(node, pads, err) ||
      !pad_value(node, &p->value, err))
    return false;
  int m = 0;
  while (m < 4 && strcmp(mode, modes[m]) != 0)
    m++;
  if (m == 4)
    return node_error(node, err, "mode is '%.40s', not constant, reflect, edge or wrap", mode);
  p->mode = (enum pad_mode)m;
  struct shape shape = in->shape;
  for (int d = 0; d < shape.rank; d++) {
    int64_t before = pads[d], after = pads[shape.rank + d];
    p->before[d] = before;
    shape.dim[d] += before + after;
    if (shape.dim[d] < 0)
      return node_error(node, err, "pads %lld and %lld leave nothing of axis %d of %lld", (long long)before,
                        (long long)after, d, (long long)in->shape.dim[d]);
    if (p->mode != PAD_CONSTANT && in->shape.dim[d] == 0 && shape.dim[d] > 0)
      return node_error(node, err, "axis %d is empty: nothing to repeat", d);
    if (p->mode == PAD_REFLECT && (before > 0 || after > 0) &&
        (before >= in->shape.dim[d] || after >= in->shape.dim[d]))
      return node_error(node, err, "pads %lld and %lld reflect more than axis %d of %lld holds", (long long)before,
                        (long long)after, d, (long long)in->shape.dim[d]);
  }
  return output_set(node, 0, in->dtype, &shape, in->layout, err);
}

static bool pad_is_view(const struct node *node)
{
  const struct pad *p = node->params;
  for (int d = 0; d < node->in[0]->t.shape.rank; d++)
    if (p->before[d] != 0)
      return false;
  return shape_equal(&node->in[0]->t.shape, &node->out[0]->t.shape);
}

/* Where index i of an axis of n, which may lie outside, is taken from. */
static int64_t pad_source(enum pad_mode mode, int64_t i, int64_t n)
{
  if (i >= 0 && i < n)
    return i;
  if (mode == PAD_EDGE)
    return i < 0 ? 0 : n - 1;
  if (mode == PAD_WRAP)
    return (i % n + n) % n;
  int64_t period = n > 1 ? 2 * (n - 1) : 1;
  i = (i % period + period) % period;
  return i < n ? i : period - i;
}

struct pad_rows {
  const struct call *call;
  int order[TENSOR_MAX_RANK];
  int64_t from[TENSOR_MAX_RANK];
  size_t size;
};

/* Rows of the result along its innermost axis, whose inside is one run of the input. */
static void pad_part(void *context, int64_t begin, int64_t end)
{
  const struct pad_rows *rows = context;
  const struct call *call = rows->call;
  const struct pad *p = call->node->params;
  const struct tensor *in = &call->node->in[0]->t, *out = &call->node->out[0]->t;
  const int last = rows->order[out->shape.rank - 1];
  const int64_t n = in->shape.dim[last], length = out->shape.dim[last], before = p->before[last];
  const size_t size = rows->size;
  for (int64_t r = begin; r < end; r++) {
    int64_t rest = r, offset = 0;
    for (int k = out->shape.rank - 2; k >= 0; k--) {
      int d = rows->order[k];
      offset += pad_source(p->mode, rest % out->shape.dim[d] - p->before[d], in->shape.dim[d]) * rows->from[d];
      rest /= out->shape.dim[d];
    }
    if (call->in_batched[0])
      offset += rest * tensor_count(in);
    const char *from = (const char *)call->in[0] + offset * (int64_t)size;
    char *to = (char *)call->out[0] + r * length * (int64_t)size;
    int64_t inside = before > 0 ? before : 0, inside_end = before + n < length ? before + n : length;
    if (inside > length)
      inside = length;
    for (int64_t i = 0; i < inside; i++)
      memcpy(to + i * (int64_t)size, from + pad_source(p->mode, i - before, n) * (int64_t)size, size);
    if (inside_end > inside)
      memcpy(to + inside * (int64_t)size, from + (inside - before) * (int64_t)size,
             (size_t)(inside_end - inside) * size);
    for (int64_t i = inside_end > inside ? inside_end : inside; i < length; i++)
      memcpy(to + i * (int64_t)size, from + pad_source(p->mode, i - before, n) * (int64_t)size, size);
  }
}

static bool pad_forward(const struct call *call, struct error *err)
{
  const struct pad *p = call->node->params;
  const struct tensor *in = &call->node->in[0]->t, *out = &call->node->out[0]->t;
  const size_t size = dtype_size(out->dtype);
  const int64_t count = tensor_count(out);
  (void)err;
  if (count == 0)
    return true;
  if (p->mode != PAD_CONSTANT && out->shape.rank > 0) {
    struct pad_rows rows = {.call = call, .size = size};
    loop_order(out, rows.order);
    tensor_strides(in, rows.from);
    int64_t length = out->shape.dim[rows.order[out->shape.rank - 1]];
    threads_for(call->n * count / length, 1 + LOOP_GRAIN / length, pad_part, &rows);
    return true;
  }
  struct loop_box box = {.to_offset = 0};
  int64_t inside = 1;
  tensor_strides(out, box.to);
  tensor_strides(in, box.from);
  for (int d = 0; d < out->shape.rank; d++) {
    int64_t first = p->before[d] < 0 ? -p->before[d] : 0, place = p->before[d] > 0 ? p->before[d] : 0;
    int64_t left = in->shape.dim[d] - first, room = out->shape.dim[d] - place;
    box.dim[d] = left < room ? left : room;
    if (box.dim[d] < 0)
      box.dim[d] = 0;
    inside *= box.dim[d];
    box.from_offset += first * box.from[d];
    box.to_offset += place * box.to[d];
  }
  if (inside < count)
    loop_fill(call->out[0], call->n * count, size, &p->value);
  if (inside > 0)
    loop_box(call, &box, out, call->out[0], in, call->in[0], call->in_batched[0]);
  return true;
}

/* Samples one by one: several places of the border may stand for one of the inside. */
static void pad_backward_part(void *context, int64_t begin, int64_t end)
{
  const struct reverse *r = context;
  const struct pad *p = r->node->params;
  const struct tensor *in = &r->node->in[0]->t, *out = &r->node->out[0]->t;
  const int64_t count = tensor_count(out);
  int64_t to[TENSOR_MAX_RANK];
  int order[TENSOR_MAX_RANK];
  tensor_strides(in, to);
  loop_order(out, order);
  for (int64_t s = begin; s < end; s++)
    for (int64_t i = 0; i < count; i++) {
      int64_t rest = i, at = s * tensor_count(in);
      for (int k = out->shape.rank - 1; k >= 0; k--) {
        const int d = order[k];
        at += pad_source(p->mode, rest % out->shape.dim[d] - p->before[d], in->shape.dim[d]) * to[d];
        rest /= out->shape.dim[d];
      }
      r->to[0][at] += r->from[0][s * count + i];
    }
}

static bool pad_backward_run(const struct reverse *r, struct error *err)
{
  const struct pad *p = r->node->params;
  const struct tensor *in = &r->node->in[0]->t, *out = &r->node->out[0]->t;
  (void)err;
  reverse_nothing(r, 0);
  if (p->mode != PAD_CONSTANT) {
    threads_for(r->n, 1, pad_backward_part, (void *)(uintptr_t)r);
    return true;
  }
  struct loop_box box = {.to_offset = 0};
  tensor_strides(in, box.to);
  tensor_strides(out, box.from);
  for (int d = 0; d < out->shape.rank; d++) {
    const int64_t first = p->before[d] < 0 ? -p->before[d] : 0, place = p->before[d] > 0 ? p->before[d] : 0;
    const int64_t left = in->shape.dim[d] - first, room = out->shape.dim[d] - place;
    box.dim[d] = left < room ? left : room;
    if (box.dim[d] < 0)
      box.dim[d] = 0;
    box.to_offset += first * box.to[d];
    box.from_offset += place * box.from[d];
  }
  reverse_box(r, &box, r->add[0], in, r->to[0], out, r->from[0]);
  return true;
}

static const struct backward pad_backward = {.flags = BACKWARD_ADDS, .run = pad_backward_run};

/* ---- Tile, Expand ---- */

static bool tile_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  int64_t repeats[TENSOR_MAX_RANK];
  int count;
  (void)arena;
  if (!node_const_ints(node, 1, repeats, TENSOR_MAX_RANK, &count, err))
    return false;
  if (count != in->shape.rank)
    return node_error(node, err, "has %d repeats for shape %s", count, INPUT_SHAPE(node, 0));
  struct shape shape = in->shape;
  for (int d = 0; d < count; d++)
    if (repeats[d] < 0 || __builtin_mul_overflow(shape.dim[d], repeats[d], &shape.dim[d]))
      return node_error(node, err, "axis %d is repeated %lld times", d, (long long)repeats[d]);
  return output_set(node, 0, in->dtype, &shape, in->layout, err);
}

static bool same_shape_is_view(const struct node *node)
{
  return shape_equal(&node->in[0]->t.shape, &node->out[0]->t.shape);
}

static bool tile_forward(const struct call *call, struct error *err)
{
  const struct tensor *in = &call->node->in[0]->t, *out = &call->node->out[0]->t;
  int64_t from[TENSOR_MAX_RANK], to[TENSOR_MAX_RANK];
  int order[TENSOR_MAX_RANK];
  struct loop loop;
  (void)err;
  if (tensor_count(out) == 0)
    return true;
  tensor_strides(in, from);
  tensor_strides(out, to);
  loop_order(out, order);
  loop_begin(&loop, 2);
  loop_push(&loop, call->n, (const int64_t[]){tensor_count(out), call->in_batched[0] ? tensor_count(in) : 0});
  for (int k = 0; k < out->shape.rank; k++) {
    int d = order[k];
    int64_t dim = in->shape.dim[d];
    loop_push(&loop, out->shape.dim[d] / dim, (const int64_t[]){dim * to[d], 0});
    loop_push(&loop, dim, (const int64_t[]){to[d], from[d]});
  }
  loop_copy(&loop, dtype_size(out->dtype), call->out[0], call->in[0]);
  return true;
}

/* A repetition at a time. */
static bool tile_backward_run(const struct reverse *r, struct error *err)
{
  const struct tensor *in = &r->node->in[0]->t, *out = &r->node->out[0]->t;
  int64_t repeats = 1;
  (void)err;
  if (tensor_count(out) == 0) {
    reverse_nothing(r, 0);
    return true;
  }
  for (int d = 0; d < in->shape.rank; d++)
    repeats *= out->shape.dim[d] / in->shape.dim[d];
  for (int64_t k = 0; k < repeats; k++) {
    struct loop_box box = {.to_offset = 0};
    int64_t rest = k;
    memcpy(box.dim, in->shape.dim, sizeof box.dim);
    tensor_strides(in, box.to);
    tensor_strides(out, box.from);
    for (int d = 0; d < in->shape.rank; d++) {
      const int64_t times = out->shape.dim[d] / in->shape.dim[d];
      box.from_offset += rest % times * in->shape.dim[d] * box.from[d];
      rest /= times;
    }
    reverse_box(r, &box, r->add[0] || k > 0, in, r->to[0], out, r->from[0]);
  }
  return true;
}

static const struct backward tile_backward = {.flags = BACKWARD_ADDS, .run = tile_backward_run};

static bool expand_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *in = &node->in[0]->t;
  struct shape wanted, shape;
  (void)arena;
  if (!node_const_ints(node, 1, wanted.dim, TENSOR_MAX_RANK, &wanted.rank, err))
    return false;
  if (!shape_broadcast(&in->shape, &wanted, &shape)) {
    char text[96];
    return node_error(node, err, "shape %s does not broadcast to %s", INPUT_SHAPE(node, 0),
                      shape_text(&wanted, text, sizeof text));
  }
  return output_set(node, 0, in->dtype, &shape, in->layout, err);
}

static bool expand_forward(const struct call *call, struct error *err)
{
  struct loop loop;
  (void)err;
  loop_elementwise(&loop, call, 1);
  loop_copy(&loop, dtype_size(call->node->out[0]->t.dtype), call->out[0], call->in[0]);
  return true;
}

static bool expand_backward_run(const struct reverse *r, struct error *err)
{
  const struct tensor *in = &r->node->in[0]->t, *out = &r->node->out[0]->t;
  const struct reverse_source source = {out, r->from[0], true};
  (void)err;
  reverse_sum(r, out, in, r->to[0], r->add[0], 1, &source, reverse_row_same, NULL);
  return true;
}

static const struct backward expand_backward = {.flags = BACKWARD_ADDS, .run = expand_backward_run};

/* ---- Trilu ---- */

struct triangle {
  bool upper;
  int64_t k; /* diagonal that bounds what is kept */
};

static bool triangle_shape(struct node *node, struct arena *arena, struct error *err)
{
  struct triangle *t = params_new(node, arena, sizeof *t, err);
  int64_t upper, k = 0;
  int count = 1;
  if (!t || !node_int(node, "upper", 1, &upper, err) ||
      (node_has(node, 1) && !node_const_ints(node, 1, &k, 1, &count, err)))
    return false;
  if (node->in[0]->t.shape.rank < 2 || count != 1)
    return node_error(node, err, "shape %s holds no matrices, or k is not one number", INPUT_SHAPE(node, 0));
  t->upper = upper != 0;
  t->k = k < -OUTPUT_MAX_COUNT ? -OUTPUT_MAX_COUNT : (k > OUTPUT_MAX_COUNT ? OUTPUT_MAX_COUNT : k);
  return output_like(node, 0, node->in[0]->t.dtype, err);
}

static void triangle_part(void *context, int64_t begin, int64_t end)
{
  const struct call *call = context;
  const struct triangle *t = call->node->params;
  const struct shape *shape = &call->node->out[0]->t.shape;
  const int64_t rows = shape->dim[shape->rank - 2], columns = shape->dim[shape->rank - 1];
  const size_t size = dtype_size(call->node->out[0]->t.dtype);
  for (int64_t r = begin; r < end; r++) {
    const char *from = (const char *)call->in[0] + (size_t)(r * columns) * size;
    char *to = (char *)call->out[0] + (size_t)(r * columns) * size;
    /* The upper triangle keeps columns from r + k on, the lower those up to and including it. */
    int64_t cut = r % rows + t->k + (t->upper ? 0 : 1);
    size_t left = (size_t)(cut < 0 ? 0 : (cut > columns ? columns : cut)) * size, all = (size_t)columns * size;
    if (t->upper) {
      memset(to, 0, left);
      memcpy(to + left, from + left, all - left);
    } else {
      memcpy(to, from, left);
      memset(to + left, 0, all - left);
    }
  }
}

static bool triangle_forward(const struct call *call, struct error *err)
{
  const struct shape *shape = &call->node->out[0]->t.shape;
  int64_t columns = shape->dim[shape->rank - 1];
  (void)err;
  if (shape_count(shape) > 0)
    threads_for(call->n * shape_count(shape) / columns, 1 + LOOP_GRAIN / columns, triangle_part, (void *)call);
  return true;
}

static bool triangle_backward_run(const struct reverse *r, struct error *err)
{
  /* The signal is cut as the tensor was. */
  const struct call call = {
    .node = r->node, .n = r->n, .in = (const void *const[]){r->from[0]}, .out = (void *const[]){r->to[0]}};
  return triangle_forward(&call, err);
}

static const struct backward triangle_backward = {.run = triangle_backward_run};

OP_TABLE(slice) = {
  {.type = "Slice", .since = 1, .min_in = 1, .max_in = 5, .max_out = 1, .shape = slice_shape, .forward = slice_forward,
   .backward = &slice_backward,
   .is_view = slice_is_view},
  {.type = "Pad", .since = 1, .min_in = 1, .max_in = 4, .max_out = 1, .shape = pad_shape, .forward = pad_forward,
   .backward = &pad_backward,
   .is_view = pad_is_view},
  {.type = "Tile", .since = 6, .min_in = 2, .max_in = 2, .max_out = 1, .shape = tile_shape, .forward = tile_forward,
   .backward = &tile_backward,
   .is_view = same_shape_is_view},
  {.type = "Expand", .since = 8, .min_in = 2, .max_in = 2, .max_out = 1, .shape = expand_shape,
   .forward = expand_forward, .backward = &expand_backward, .is_view = same_shape_is_view},
  {.type = "Trilu", .since = 14, .min_in = 1, .max_in = 2, .max_out = 1, .layout = OP_PLAIN, .shape = triangle_shape,
   .forward = triangle_forward, .backward = &triangle_backward},
  {.type = NULL},
};
