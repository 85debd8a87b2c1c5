/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/stage.h"

#include "base/threads.h"
#include "graph/joined.h"
#include "ops/conv.h"
#include "ops/pool.h"

#include <string.h>

/* Kernels exist for these many windows, and for these many pixels; a remainder runs on the smaller ones. */
static const int window_chunk[] = {8, 4, 2, 1};
enum { POOLED_AT_ONCE = 8 }; /* windows that poolings gather */
const int stage_row_chunk[ROW_CHUNKS] = {2048, 512, 128, 32};

/* ---- making ---------------------------------------------------------------------------------------------------- */

bool stage_prefers_whole(const struct stage *stage, const struct layer_view *out, double area)
{
  return stage->rule.kind == WINDOW_SLIDE && area >= stage->real_share * out->height * out->width;
}

/* The same node on images of one pixel: what an element-wise operator needs to run on any number of them. */
static bool make_pixel_node(struct increment *inc, struct stage *stage, struct error *err)
{
  struct node *node = arena_alloc(inc->arena, sizeof *node);
  const struct node *whole = stage->node;
  struct value **refs = arena_array(inc->arena, (size_t)whole->n_in + 1, sizeof *refs);
  if (!node || !refs)
    return error_memory(err, "windows");
  *node = *whole;
  for (int i = 0; i <= whole->n_in; i++) {
    const struct value *value = i < whole->n_in ? whole->in[i] : whole->out[0];
    if (i < whole->n_in && !varies(value)) {
      refs[i] = whole->in[i];
      continue;
    }
    refs[i] = arena_alloc(inc->arena, sizeof *refs[i]);
    if (!refs[i])
      return error_memory(err, "windows");
    *refs[i] = *value;
    refs[i]->t.shape.dim[2] = refs[i]->t.shape.dim[3] = 1;
  }
  node->in = refs;
  node->out = &refs[whole->n_in];
  const float *scale = node->scale, *shift = node->shift;
  if (!node->op->shape(node, inc->arena, err))
    return false;
  node->scale = scale;
  node->shift = shift;
  node->out[0]->t.dtype = whole->out[0]->t.dtype; /* a run may store it in less than its operator says */
  stage->pixel = node;
  return true;
}

/* Upper ends of at most MAX_TOPS classes for these window sizes, least waste in all: tries every pair of cuts that are
 * a multiple of `step` less than the largest. */
static int choose_tops(const int *count, int largest, int step, int tops[MAX_TOPS])
{
  double best = -1;
  int n = 0;
  for (int a = 1 + (largest - 1) % step; a <= largest; a += step)
    for (int b = a; b <= largest; b += step) {
      double cost = 0;
      for (int s = 1; s <= largest; s++)
        cost += (double)count[s] * (s <= a ? a : s <= b ? b : largest);
      if (best >= 0 && cost >= best)
        continue;
      best = cost;
      n = 0;
      tops[n++] = a;
      if (b > a)
        tops[n++] = b;
      if (largest > b)
        tops[n++] = largest;
    }
  return n;
}

/* Size classes of a convolution's windows along an axis. Of all places, not of those that are asked for: kernels of
 * different sizes may add up in different orders, and a window's last bit must depend neither on the others nor on how
 * many are computed in one call. Classes differ from the map by multiples of the step, so that a window moved inwards
 * from the end of the map begins at one, too. */
static void make_classes(struct stage *stage, struct layer *layer, int a)
{
  const int extent = a == 0 ? layer->view.height : layer->view.width;
  const int *count = stage->step == 2 ? layer->even_sizes[a] : layer->sizes[a];
  int largest = extent;
  while (largest > 0 && count[largest] == 0)
    largest--;
  largest += (extent - largest) % stage->step;
  stage->n_tops[a] = choose_tops(count, largest, stage->step, stage->tops[a]);
  layer->bound[a] = largest;
}

bool stage_make(struct stage *stage, const struct node *node, struct increment *inc, struct error *err)
{
  const struct node *affine, *join;
  stage->node = node;
  stage->in = node->in;
  stage->n_in = node->n_in;
  stage->rule = window_rule_of(node);
  stage->real_share = 1;
  stage->step = 1;
  joined_takes(inc->layers, node, inc->options.layer, &affine, &join);
  if (joined_can(node))
    return joined_make(stage, affine, join, inc, err);
  if (stage->rule.kind == WINDOW_SLIDE && (node->op->flags & OP_WEIGHTS)) {
    if (conv_spec_of(node, 1).winograd)
      stage->step = 2; /* skips no tap on padding, either */
    else
      stage->real_share = window_real_share(&stage->rule.space);
    for (int a = 0; a < 2; a++)
      make_classes(stage, &inc->layers[node->out[0]->id], a);
  } else if (stage->rule.kind == WINDOW_SLIDE) {
    stage->real_share = window_real_share(&stage->rule.space);
  }
  return stage->rule.kind != WINDOW_POINT || (node->op->flags & OP_WEIGHTS) || make_pixel_node(inc, stage, err);
}

void stage_release(struct stage *stage)
{
  joined_release(stage->joined);
  for (struct window_kernel *k = stage->kernels; k; k = k->next)
    kernel_free(k->kernel);
  for (int r = 0; r < ROW_CHUNKS; r++) {
    kernel_free(stage->rows[r]);
    if (stage->pixel_state[r])
      stage->node->op->release(stage->pixel_state[r]);
  }
}

static size_t up(size_t bytes)
{
  return (bytes + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
}

size_t stage_pixel_bytes(int64_t count, size_t pixel)
{
  return up((size_t)(count + stage_row_chunk[ROW_CHUNKS - 1]) * pixel);
}

/* Input pixels that an output window of these sides reads. */
static int64_t context_area(const struct spatial *s, int64_t h, int64_t w)
{
  return ((h - 1) * s->stride[0] + (s->kernel[0] - 1) * s->dilation[0] + 1) *
         ((w - 1) * s->stride[1] + (s->kernel[1] - 1) * s->dilation[1] + 1);
}

size_t stage_gather_bytes(const struct increment *inc, const struct stage *stage)
{
  const struct node *node = stage->node;
  const struct layer *out = &inc->layers[node->out[0]->id];
  const int64_t batch = inc->options.batch;
  size_t need = 0;
  if (stage->joined)
    return joined_gather_bytes(inc, stage);
  if (stage->rule.kind == WINDOW_SLIDE) {
    const struct layer *in = layer_of(inc, node->in[0]);
    const bool conv = (node->op->flags & OP_WEIGHTS) != 0;
    int64_t area = context_area(&stage->rule.space, out->bound[0], out->bound[1]);
    const int64_t whole = (int64_t)in->view.height * in->view.width;
    if (!conv && area > whole)
      area = whole;
    if (conv && area < whole && area_of_bound(out) == (int64_t)out->view.height * out->view.width)
      area = whole; /* that may be gathered instead */
    const int64_t most = conv ? window_chunk[0] : POOLED_AT_ONCE;
    return stage_pixel_bytes((batch < most ? batch : most) * area, in->view.pixel);
  }
  if (stage->rule.kind == WINDOW_POINT)
    for (int k = 0; k < node->n_in; k++)
      if (varies(node->in[k]))
        need += stage_pixel_bytes(batch * area_of_bound(out), layer_of(inc, node->in[k])->view.pixel);
  if (node->residual)
    need += stage_pixel_bytes(batch * area_of_bound(out), out->view.pixel);
  return need;
}

/* ---- kernels --------------------------------------------------------------------------------------------------- */

bool stage_need_scratch(struct increment *inc, size_t scratch, struct error *err)
{
  if (scratch <= inc->scratch_bytes)
    return true;
  void *larger = mem_map(up(scratch));
  if (!larger)
    return error_memory(err, "windows");
  mem_unmap(inc->scratch, inc->scratch_bytes);
  inc->scratch = larger;
  inc->scratch_bytes = up(scratch);
  return true;
}

/* A convolution over n windows of h x w outputs, or over n whole maps (h = 0). */
static struct kernel *window_kernel(struct increment *inc, struct stage *stage, int h, int w, int n, struct error *err)
{
  for (struct window_kernel *k = stage->kernels; k; k = k->next)
    if (k->h == h && k->w == w && k->n == n)
      return k->kernel;
  struct conv_spec spec = conv_spec_of(stage->node, n);
  if (h > 0) {
    spec.oh = h;
    spec.ow = w;
    spec.ih = (h - 1) * spec.sh + (spec.kh - 1) * spec.dh + 1;
    spec.iw = (w - 1) * spec.sw + (spec.kw - 1) * spec.dw + 1;
    spec.pt = spec.pl = spec.pb = spec.pr = 0;
  }
  struct window_kernel *made = arena_alloc(inc->arena, sizeof *made);
  if (!made) {
    error_memory(err, "windows");
    return NULL;
  }
  made->kernel = kernel_conv(inc->compute, &spec, stage->node->weights, err);
  if (!made->kernel || !stage_need_scratch(inc, kernel_scratch(made->kernel), err)) {
    kernel_free(made->kernel);
    return NULL;
  }
  made->h = h;
  made->w = w;
  made->n = n;
  made->next = stage->kernels;
  stage->kernels = made;
  return made->kernel;
}

/* ---- size classes ---------------------------------------------------------------------------------------------- */

/* Rectangle of the class a window falls into, moved inwards at the edges; the whole map where that is cheaper. */
static struct rect class_rect(const struct stage *stage, const struct layer_view *map, const struct rect *tight)
{
  const int y = tight->y0 - tight->y0 % stage->step, x = tight->x0 - tight->x0 % stage->step;
  const int size[2] = {tight->y1 - y, tight->x1 - x};
  int top[2] = {0, 0};
  for (int a = 0; a < 2; a++)
    for (int i = 0; i < stage->n_tops[a] && !top[a]; i++)
      if (size[a] <= stage->tops[a][i])
        top[a] = stage->tops[a][i];
  if (!top[0] || !top[1] || stage_prefers_whole(stage, map, (double)top[0] * top[1]))
    return (struct rect){0, 0, map->height, map->width};
  const int y0 = y + top[0] > map->height ? map->height - top[0] : y;
  const int x0 = x + top[1] > map->width ? map->width - top[1] : x;
  return (struct rect){y0, x0, y0 + top[0], x0 + top[1]};
}

/* ---- stages ---------------------------------------------------------------------------------------------------- */

/* Where the output of a node may differ for position p. */
static struct rect tight_of(const struct increment *inc, const struct stage *stage, int p)
{
  const struct node *node = stage->node;
  struct rect all = {0, 0, 0, 0};
  for (int k = 0; k < stage->n_in; k++)
    if (varies(stage->in[k])) {
      const struct rect *in = &layer_of(inc, stage->in[k])->window[p].tight;
      all = rect_union(&all, in);
    }
  if (stage->rule.kind == WINDOW_SLIDE && !rect_empty(&all)) {
    struct rect out;
    window_outputs(&stage->rule.space, 0, all.y0, all.y1, &out.y0, &out.y1);
    window_outputs(&stage->rule.space, 1, all.x0, all.x1, &out.x0, &out.x1);
    all = rect_empty(&out) ? (struct rect){0, 0, 0, 0} : out;
  }
  if (node->residual)
    all = rect_union(&all, &layer_of(inc, node->residual)->window[p].tight);
  return all;
}

void stage_lay_out(const struct increment *inc, struct layer *out, const int *list, int n)
{
  unsigned char *to = inc->memory + out->offset;
  out->n_order = 0;
  out->packed = true;
  for (int i = 0; i < n; i++) {
    struct window *o = &out->window[list[i]];
    if (rect_empty(&o->tight))
      continue;
    o->data = to;
    to += (size_t)rect_area(&o->held) * out->view.pixel;
    out->order[out->n_order++] = list[i];
  }
}

struct gather_job {
  const struct increment *inc;
  const struct stage *stage;
  const int *list;
  unsigned char *to; /* gathered inputs */
  size_t pitch;      /* bytes a position */
};

static struct rect context_of(const struct stage *stage, const struct rect *out)
{
  struct rect in;
  window_inputs(&stage->rule.space, 0, out->y0, out->y1, &in.y0, &in.y1);
  window_inputs(&stage->rule.space, 1, out->x0, out->x1, &in.x0, &in.x1);
  return in;
}

/* Inputs of a chunk of windows side by side, and the residual where the result will be added to it. */
static void gather_windows(void *context, int64_t begin, int64_t end)
{
  const struct gather_job *j = context;
  const struct node *node = j->stage->node;
  const struct layer *in = layer_of(j->inc, node->in[0]), *out = &j->inc->layers[node->out[0]->id];
  for (int64_t i = begin; i < end; i++) {
    const int p = j->list[i];
    const struct window *o = &out->window[p];
    const bool whole = rect_area(&o->held) == (int64_t)out->view.height * out->view.width;
    const struct layer_view view = view_at(j->inc, in, p);
    const struct rect want =
        whole ? (struct rect){0, 0, in->view.height, in->view.width} : context_of(j->stage, &o->held);
    window_gather(&view, &in->window[p], &want, j->to + (size_t)i * j->pitch, in->view.pixel);
    if (node->residual) {
      const struct layer *add = layer_of(j->inc, node->residual);
      const struct layer_view base = view_at(j->inc, add, p);
      window_gather(&base, &add->window[p], &o->held, o->data, add->view.pixel);
    }
  }
}

/* What a window holds around the change is the base's, to the bit, though a kernel of another size has computed it
 * anew (tiles come out the same by themselves): nothing later may depend on how much more than the change a window
 * holds. */
static void restore_rims(void *context, int64_t begin, int64_t end)
{
  const struct gather_job *j = context;
  const struct layer *out = &j->inc->layers[j->stage->node->out[0]->id];
  const size_t c = out->view.pixel;
  for (int64_t i = begin; i < end; i++) {
    const struct window *o = &out->window[j->list[i]];
    const struct layer_view view = view_at(j->inc, out, j->list[i]);
    const struct rect *h = &o->held, *t = &o->tight;
    const size_t width = (size_t)(h->x1 - h->x0), left = (size_t)(t->x0 - h->x0), right = (size_t)(h->x1 - t->x1);
    for (int y = h->y0; y < h->y1; y++) {
      const unsigned char *base = view.base + ((size_t)y * (size_t)view.width + (size_t)h->x0) * c;
      unsigned char *row = o->data + (size_t)(y - h->y0) * width * c;
      const bool inside = y >= t->y0 && y < t->y1;
      memcpy(row, base, (inside ? left : width) * c);
      if (inside)
        memcpy(row + (width - right) * c, base + (width - right) * c, right * c);
    }
  }
}

/* Windows of one class, in chunks. */
static bool convolve_class(struct increment *inc, struct stage *stage, const int *list, int n, struct error *err)
{
  const struct node *node = stage->node;
  const struct layer *out = &inc->layers[node->out[0]->id], *in = layer_of(inc, node->in[0]);
  const struct rect held = out->window[list[0]].held;
  const bool whole = rect_area(&held) == (int64_t)out->view.height * out->view.width;
  const int h = held.y1 - held.y0, w = held.x1 - held.x0;
  const int64_t area = whole ? (int64_t)in->view.height * in->view.width : context_area(&stage->rule.space, h, w);
  for (int done = 0; done < n;) {
    int c = 0;
    while (window_chunk[c] > n - done)
      c++;
    const int m = window_chunk[c];
    struct kernel *kernel = window_kernel(inc, stage, whole ? 0 : h, whole ? 0 : w, m, err);
    if (!kernel)
      return false;
    struct gather_job job = {inc, stage, list + done, inc->memory + inc->gather_offset, (size_t)area * in->view.pixel};
    threads_for(m, 131072 / ((int64_t)job.pitch + 1) + 1, gather_windows, &job);
    if (!kernel_run(kernel, job.to, NULL, node->shift, out->window[list[done]].data, inc->scratch, err))
      return false;
    if (!whole && stage->step == 1)
      threads_for(m, 131072 / ((int64_t)job.pitch + 1) + 1, restore_rims, &job);
    done += m;
  }
  return true;
}

static int64_t class_key(const struct window *o)
{
  return (int64_t)(o->held.y1 - o->held.y0) << 32 | (o->held.x1 - o->held.x0);
}

/* Positions that changed, windows of equal size side by side, in the order of their first appearance. */
static int sort_by_class(struct increment *inc, const struct layer *out, int n)
{
  int listed = 0;
  for (int p = 0; p < n; p++)
    inc->bucket[p] = rect_empty(&out->window[p].tight);
  for (int p = 0; p < n; p++) {
    if (inc->bucket[p])
      continue;
    const int64_t key = class_key(&out->window[p]);
    for (int q = p; q < n; q++)
      if (!inc->bucket[q] && class_key(&out->window[q]) == key) {
        inc->bucket[q] = 1;
        inc->list[listed++] = q;
      }
  }
  return listed;
}

static bool run_convolution(struct increment *inc, struct stage *stage, int n, struct error *err)
{
  struct layer *out = &inc->layers[stage->node->out[0]->id];
  for (int p = 0; p < n; p++) {
    out->window[p].tight = tight_of(inc, stage, p);
    out->window[p].held = class_rect(stage, &out->view, &out->window[p].tight);
  }
  const int listed = sort_by_class(inc, out, n);
  stage_lay_out(inc, out, inc->list, listed);
  for (int from = 0; from < listed;) {
    int to = from;
    while (to < listed && class_key(&out->window[inc->list[to]]) == class_key(&out->window[inc->list[from]]))
      to++;
    if (!convolve_class(inc, stage, inc->list + from, to - from, err))
      return false;
    from = to;
  }
  return true;
}

/* Pooling on windows of any size, each on its own. */
static void pool_windows(void *context, int64_t begin, int64_t end)
{
  const struct gather_job *j = context;
  const struct node *node = j->stage->node;
  const struct layer *in = layer_of(j->inc, node->in[0]), *out = &j->inc->layers[node->out[0]->id];
  for (int64_t i = begin; i < end; i++) {
    const int p = j->list[i];
    const struct window *o = &out->window[p];
    struct rect want = context_of(j->stage, &o->held);
    want.y0 = want.y0 < 0 ? 0 : want.y0;
    want.x0 = want.x0 < 0 ? 0 : want.x0;
    want.y1 = want.y1 > in->view.height ? in->view.height : want.y1;
    want.x1 = want.x1 > in->view.width ? in->view.width : want.x1;
    const struct layer_view view = view_at(j->inc, in, p);
    unsigned char *src = j->to + (size_t)i * j->pitch;
    window_gather(&view, &in->window[p], &want, src, in->view.pixel);
    pool_window(node->params, in->view.channels, (const float *)(const void *)src, want.y0, want.x0, want.x1 - want.x0,
                o->held.y0, o->held.y1, o->held.x0, o->held.x1, (float *)(void *)o->data);
  }
}

int stage_take_tight(struct increment *inc, struct stage *stage, int n)
{
  struct layer *out = &inc->layers[stage->node->out[0]->id];
  int listed = 0;
  for (int p = 0; p < n; p++) {
    out->window[p].tight = out->window[p].held = tight_of(inc, stage, p);
    if (!rect_empty(&out->window[p].tight))
      inc->list[listed++] = p;
  }
  stage_lay_out(inc, out, inc->list, listed);
  return listed;
}

static bool run_pooling(struct increment *inc, struct stage *stage, int n)
{
  const struct layer *out = &inc->layers[stage->node->out[0]->id], *in = layer_of(inc, stage->node->in[0]);
  const int listed = stage_take_tight(inc, stage, n);
  int64_t area = context_area(&stage->rule.space, out->bound[0], out->bound[1]);
  const int64_t whole = (int64_t)in->view.height * in->view.width;
  struct gather_job job = {inc, stage, inc->list, inc->memory + inc->gather_offset,
                           (size_t)(area < whole ? area : whole) * in->view.pixel};
  for (; job.list < inc->list + listed; job.list += POOLED_AT_ONCE) {
    const int64_t left = inc->list + listed - job.list;
    threads_for(left < POOLED_AT_ONCE ? left : POOLED_AT_ONCE, 1, pool_windows, &job);
  }
  return true;
}

/* Channels side by side. */
static void join_windows(void *context, int64_t begin, int64_t end)
{
  const struct gather_job *j = context;
  const struct node *node = j->stage->node;
  const struct layer *out = &j->inc->layers[node->out[0]->id];
  for (int64_t i = begin; i < end; i++) {
    const struct window *o = &out->window[j->list[i]];
    size_t channel = 0; /* as bytes */
    for (int k = 0; k < node->n_in; k++) {
      const struct layer *in = layer_of(j->inc, node->in[k]);
      const struct layer_view view = view_at(j->inc, in, j->list[i]);
      window_gather(&view, &in->window[j->list[i]], &o->held, o->data + channel, out->view.pixel);
      channel += in->view.pixel;
    }
  }
}

/* Whether the windows of `in` can be used where they lie as the windows of this node's output. */
static bool can_take_over(const struct increment *inc, const struct stage *stage, const struct layer *in, int n)
{
  const struct layer *out = &inc->layers[stage->node->out[0]->id];
  int64_t held = 0, tight = 0;
  if (!in->packed)
    return false;
  for (int p = 0; p < n; p++) {
    const struct window *o = &in->window[p];
    if (rect_empty(&out->window[p].tight))
      continue;
    if (rect_empty(&o->tight) || !rect_within(&out->window[p].tight, &o->held))
      return false;
    held += rect_area(&o->held);
    tight += rect_area(&out->window[p].tight);
  }
  return held <= tight + tight / 8;
}

struct row_gather {
  const struct increment *inc;
  const struct layer *in, *out;
  const int *list;
  unsigned char *to;
};

/* An input of a point-wise node at the windows of its output, as rows of pixels in their order. */
static void gather_rows(void *context, int64_t begin, int64_t end)
{
  const struct row_gather *j = context;
  const unsigned char *first = j->out->window[j->list[0]].data;
  for (int64_t i = begin; i < end; i++) {
    const struct window *o = &j->out->window[j->list[i]];
    const size_t row = (size_t)(o->data - first) / j->out->view.pixel;
    const struct layer_view view = view_at(j->inc, j->in, j->list[i]);
    window_gather(&view, &j->in->window[j->list[i]], &o->held, j->to + row * j->in->view.pixel, j->in->view.pixel);
  }
}

void stage_gather_residual(const struct increment *inc, const struct stage *stage, int listed)
{
  if (!stage->node->residual)
    return;
  const struct layer *out = &inc->layers[stage->node->out[0]->id];
  struct row_gather job = {inc, layer_of(inc, stage->node->residual), out, inc->list, out->window[inc->list[0]].data};
  threads_for(listed, 1, gather_rows, &job);
}

struct kernel *stage_row_kernel(struct increment *inc, struct stage *stage, int r, struct error *err)
{
  if (!stage->rows[r]) {
    struct conv_spec spec = conv_spec_of(stage->node, 1);
    spec.ih = spec.oh = 1;
    spec.iw = spec.ow = stage_row_chunk[r];
    stage->rows[r] = kernel_conv(inc->compute, &spec, stage->node->weights, err);
  }
  return stage->rows[r] && stage_need_scratch(inc, kernel_scratch(stage->rows[r]), err) ? stage->rows[r] : NULL;
}

/* Run a point-wise node on `rows` pixels. in[k]: rows of the k-th input (constants as they are). */
static bool run_rows(struct increment *inc, struct stage *stage, int64_t rows, const unsigned char *const *in,
                     const size_t *pitch, const unsigned char *residual, unsigned char *dst, struct error *err)
{
  const struct node *node = stage->node;
  const size_t c = inc->layers[node->out[0]->id].view.pixel;
  for (int64_t done = 0; done < rows;) {
    int r = ROW_CHUNKS - 1; /* the last chunk may run over the end, into spare room */
    for (int i = 0; i < ROW_CHUNKS; i++)
      if (rows - done >= stage_row_chunk[i]) {
        r = i;
        break;
      }
    const int64_t m = stage_row_chunk[r];
    unsigned char *to = dst + (size_t)done * c;
    if (node->op->flags & OP_WEIGHTS) {
      struct kernel *kernel = stage_row_kernel(inc, stage, r, err);
      if (!kernel || !kernel_run(kernel, in[0] + (size_t)done * pitch[0], NULL, node->shift, to, inc->scratch, err))
        return false;
    } else {
      const void *inputs[MAX_VARYING + 8];
      bool batched[MAX_VARYING + 8];
      for (int k = 0; k < node->n_in; k++) {
        batched[k] = varies(node->in[k]);
        inputs[k] = !node->in[k] ? NULL : batched[k] ? in[k] + (size_t)done * pitch[k] : node->in[k]->t.data;
      }
      if (node->op->prepare && !stage->pixel_state[r]) {
        struct prepared prepared = {.state = NULL};
        if (!node->op->prepare(stage->pixel, m, inc->compute, &prepared, err))
          return false;
        stage->pixel_state[r] = prepared.state;
      }
      void *outputs[1] = {to};
      const struct call call = {
          .node = stage->pixel,
          .n = m,
          .in = inputs,
          .in_batched = batched,
          .out = outputs,
          .state = stage->pixel_state[r],
          .residual = residual ? residual + (size_t)done * c : NULL,
          .compute = inc->compute,
      };
      if (!node->op->forward(&call, err))
        return false;
    }
    done += m;
  }
  return true;
}

static bool run_pointwise(struct increment *inc, struct stage *stage, int n, struct error *err)
{
  const struct node *node = stage->node;
  struct layer *out = &inc->layers[node->out[0]->id];
  const bool conv = (node->op->flags & OP_WEIGHTS) != 0;
  const struct layer *first = NULL;
  for (int k = 0; k < node->n_in && !first; k++)
    first = varies(node->in[k]) ? layer_of(inc, node->in[k]) : NULL;
  if (!first)
    return error_set(err, ERROR_FAILED, "windows: a node of the head has no input that varies");
  for (int p = 0; p < n; p++)
    out->window[p].tight = tight_of(inc, stage, p);
  /* 1: whose windows: the first input's as they lie, or tight ones. */
  const bool direct = can_take_over(inc, stage, first, n);
  if (stage->joined && !direct)
    return joined_run(inc, stage, n, err);
  int listed = 0;
  for (int i = 0; i < (direct ? first->n_order : n); i++) {
    const int p = direct ? first->order[i] : i;
    if (rect_empty(&out->window[p].tight) && !direct)
      continue;
    out->window[p].held = direct ? first->window[p].held : out->window[p].tight;
    if (direct && rect_empty(&out->window[p].tight))
      out->window[p].tight = first->window[p].tight;
    inc->list[listed++] = p;
  }
  stage_lay_out(inc, out, inc->list, listed);
  if (!listed)
    return true;
  const struct window *end = &out->window[inc->list[listed - 1]];
  unsigned char *dst = out->window[inc->list[0]].data;
  const int64_t rows = (int64_t)((size_t)(end->data - dst) / out->view.pixel) + rect_area(&end->held);
  /* 2: inputs as rows of pixels. */
  const unsigned char *in[MAX_VARYING + 8] = {NULL};
  size_t pitch[MAX_VARYING + 8] = {0};
  size_t used = inc->gather_offset;
  const unsigned char *residual = NULL;
  for (int k = 0; k <= node->n_in; k++) {
    const struct value *value = k < node->n_in ? node->in[k] : node->residual;
    if (!varies(value))
      continue;
    const struct layer *from = layer_of(inc, value);
    const size_t c = from->view.pixel;
    struct row_gather job = {inc, from, out, inc->list, NULL};
    if (k < node->n_in && direct && from == first) {
      in[k] = first->window[first->order[0]].data;
      pitch[k] = c;
      continue;
    }
    if (k == node->n_in && conv) {
      job.to = dst; /* the product is added to it */
    } else {
      job.to = inc->memory + used;
      used += stage_pixel_bytes(rows, c);
    }
    threads_for(listed, 1, gather_rows, &job);
    if (k == node->n_in) {
      residual = job.to;
    } else {
      in[k] = job.to;
      pitch[k] = c;
    }
  }
  /* 3: the node itself. */
  return run_rows(inc, stage, rows, in, pitch, residual, dst, err);
}

bool stage_run(struct increment *inc, struct stage *stage, int n, struct error *err)
{
  switch (stage->rule.kind) {
  case WINDOW_SLIDE:
    return (stage->node->op->flags & OP_WEIGHTS) ? run_convolution(inc, stage, n, err) : run_pooling(inc, stage, n);
  case WINDOW_POINT:
    return stage->joined && !joined_is_plain(stage) ? joined_run(inc, stage, n, err)
                                                    : run_pointwise(inc, stage, n, err);
  case WINDOW_JOIN: {
    const int listed = stage_take_tight(inc, stage, n);
    struct gather_job job = {inc, stage, inc->list, NULL, 0};
    threads_for(listed, 1, join_windows, &job);
    return true;
  }
  case WINDOW_SPREADS:
    break;
  }
  return error_set(err, ERROR_FAILED, "windows: a node of the head spreads everywhere");
}
