/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/window.h"

#include <string.h>

bool rect_within(const struct rect *inner, const struct rect *outer)
{
  return rect_empty(inner) ||
         (inner->y0 >= outer->y0 && inner->y1 <= outer->y1 && inner->x0 >= outer->x0 && inner->x1 <= outer->x1);
}

struct rect rect_union(const struct rect *a, const struct rect *b)
{
  if (rect_empty(a))
    return *b;
  if (rect_empty(b))
    return *a;
  return (struct rect){
      a->y0 < b->y0 ? a->y0 : b->y0,
      a->x0 < b->x0 ? a->x0 : b->x0,
      a->y1 > b->y1 ? a->y1 : b->y1,
      a->x1 > b->x1 ? a->x1 : b->x1,
  };
}

static bool is_image(const struct value *value)
{
  return value->t.shape.rank == 4 && value->t.shape.dim[0] == 1 && value->t.dtype != DTYPE_I64 &&
         value->t.layout == LAYOUT_CHANNELS_LAST;
}

/* A constant that is the same at every pixel: a scalar, or one value per channel. */
static bool same_everywhere(const struct value *constant, const struct value *image)
{
  const struct shape *s = &constant->t.shape;
  const int64_t count = tensor_count(&constant->t);
  return count == 1 || (count == image->t.shape.dim[1] && s->rank >= 3 && s->dim[s->rank - 3] == count);
}

struct window_rule window_rule_of(const struct node *node)
{
  const struct window_rule spreads = {WINDOW_SPREADS, {.in = {0}}};
  const struct value *out = node->out[0];
  if (node->n_out != 1 || !is_image(out) || (node->residual && !is_image(node->residual)))
    return spreads;
  const bool pointwise = !node->op->window && (node->op->flags & OP_POINTWISE);
  for (int i = 0; i < node->n_in; i++) {
    const struct value *in = node->in[i];
    if (!in)
      continue;
    if (in->t.data) {
      if (pointwise && (in->t.dtype != DTYPE_F32 || !same_everywhere(in, out)))
        return spreads;
    } else if (!is_image(in) || (pointwise && !shape_equal(&in->t.shape, &out->t.shape))) {
      return spreads;
    }
  }
  if (pointwise)
    return (struct window_rule){WINDOW_POINT, {.in = {0}}};
  const struct window_rule rule = node->op->window ? node->op->window(node) : spreads;
  for (int i = 0; i < node->n_in && rule.kind == WINDOW_JOIN; i++)
    if (node->in[i]->t.data) /* a map of its own, in no base */
      return spreads;
  return rule;
}

static int64_t floor_div(int64_t a, int64_t b)
{
  return a >= 0 ? a / b : -((-a + b - 1) / b);
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
  return v < lo ? lo : v > hi ? hi : v;
}

void window_outputs(const struct spatial *s, int a, int from, int to, int *out_from, int *out_to)
{
  const int64_t extent = (s->kernel[a] - 1) * s->dilation[a] + 1, pad = s->before[a], stride = s->stride[a];
  if (from >= to) {
    *out_from = *out_to = 0;
    return;
  }
  *out_from = (int)clamp(floor_div(from + pad - extent + 1 + stride - 1, stride), 0, s->out[a]);
  *out_to = (int)clamp(floor_div(to - 1 + pad, stride) + 1, 0, s->out[a]);
}

void window_inputs(const struct spatial *s, int a, int from, int to, int *in_from, int *in_to)
{
  const int64_t extent = (s->kernel[a] - 1) * s->dilation[a] + 1;
  *in_from = (int)(from * s->stride[a] - s->before[a]);
  *in_to = (int)((to - 1) * s->stride[a] - s->before[a] + extent);
}

double window_real_share(const struct spatial *s)
{
  double share = 1;
  for (int a = 0; a < 2; a++) {
    int64_t real = 0;
    for (int64_t o = 0; o < s->out[a]; o++)
      for (int64_t k = 0; k < s->kernel[a]; k++) {
        const int64_t i = o * s->stride[a] - s->before[a] + k * s->dilation[a];
        real += i >= 0 && i < s->in[a];
      }
    share *= (double)real / (double)(s->out[a] * s->kernel[a]);
  }
  return share;
}

/* `n` pixels of `size` bytes, to `pitch` bytes a pixel; from NULL: zeros. */
static unsigned char *put(unsigned char *to, size_t pitch, const unsigned char *from, int n, size_t size)
{
  if (n <= 0)
    return to;
  if (pitch == size && from)
    memcpy(to, from, (size_t)n * size);
  else if (pitch == size)
    memset(to, 0, (size_t)n * size);
  else
    for (size_t i = 0; i < (size_t)n; i++) {
      if (from)
        memcpy(to + i * pitch, from + i * size, size);
      else
        memset(to + i * pitch, 0, size);
    }
  return to + (size_t)n * pitch;
}

void window_gather(const struct layer_view *view, const struct window *o, const struct rect *want, unsigned char *to,
                   size_t pitch)
{
  const size_t size = view->pixel;
  const int width = want->x1 - want->x0;
  const int left = want->x0 < 0 ? 0 : want->x0, right = want->x1 > view->width ? view->width : want->x1;
  const bool changed = !rect_empty(&o->tight) && o->held.x0 < right && o->held.x1 > left;
  const int from = changed && o->held.x0 > left ? o->held.x0 : left;
  const int until = changed && o->held.x1 < right ? o->held.x1 : right;
  for (int y = want->y0; y < want->y1; y++) {
    if (y < 0 || y >= view->height || right <= left) {
      to = put(to, pitch, NULL, width, size);
      continue;
    }
    const unsigned char *row = view->base + (size_t)y * (size_t)view->width * size;
    to = put(to, pitch, NULL, left - want->x0, size);
    if (changed && y >= o->held.y0 && y < o->held.y1) {
      const size_t held = (size_t)(o->held.x1 - o->held.x0);
      const unsigned char *line = o->data + (size_t)(y - o->held.y0) * held * size;
      to = put(to, pitch, row + (size_t)left * size, from - left, size);
      to = put(to, pitch, line + (size_t)(from - o->held.x0) * size, until - from, size);
      to = put(to, pitch, row + (size_t)until * size, right - until, size);
    } else {
      to = put(to, pitch, row + (size_t)left * size, right - left, size);
    }
    to = put(to, pitch, NULL, want->x1 - right, size);
  }
}
