/* SPDX-License-Identifier: Apache-2.0 */
/* The way back through a convolution: the library's, but for first layers, whose three channels leave its kernels idle.
 * There the signal of a few rows is multiplied by the weights, [pixels, oc] x [oc, kh*kw*ic], and each row of the
 * product added to the places the window covered: kw*ic neighbours in memory for each row of the window.
 *
 *     signal        product               image
 *     [ox] --W-->  [ky][kx][c]  ky=0 -->  ....[kx,c].....   row oy*s - p
 *                               ky=1 -->  ....[kx,c].....   row oy*s - p + 1 */
#include "ops/conv.h"

#include "base/mem.h"
#include "base/threads.h"
#include "ops/reverse.h"

#include <string.h>

enum { FEW_CHANNELS = 4, TILE_ROWS = 16 };

struct state {
  struct kernel *kernel;
  /* Few channels alone: */
  struct weights *weights; /* of `turned` */
  float *turned;           /* [oc, kh, kw, ic], scaled */
  int64_t rows;            /* of the output in a tile: a divisor of its height */
};

static void release(void *state)
{
  struct state *s = state;
  if (!s)
    return;
  kernel_free(s->kernel);
  weights_free(s->weights);
  mem_free(s->turned);
  mem_free(s);
}

static bool few_channels(const struct node *node)
{
  const struct conv *c = node->params;
  const struct spatial *s = &c->space;
  return c->groups == 1 && c->ic <= FEW_CHANNELS && s->kernel[0] * s->kernel[1] > 1 && s->dilation[0] == 1 &&
         s->dilation[1] == 1;
}

/* [oc, ic, kh, kw] to [oc, kh, kw, ic], times the factor of each output channel. */
static bool turn_weights(const struct node *node, struct state *s, struct error *err)
{
  const struct conv *c = node->params;
  const int64_t area = c->space.kernel[0] * c->space.kernel[1];
  const float *raw = node->in[1]->t.data;
  s->turned = mem_alloc((size_t)(c->oc * c->ic * area) * sizeof(float));
  if (!s->turned)
    return error_memory(err, "turned weights");
  for (int64_t o = 0; o < c->oc; o++)
    for (int64_t i = 0; i < c->ic; i++)
      for (int64_t k = 0; k < area; k++) {
        float w; /* big weights may lie unaligned in the file */
        memcpy(&w, raw + (o * c->ic + i) * area + k, sizeof w);
        s->turned[(o * area + k) * c->ic + i] = w * (node->scale ? node->scale[o] : 1);
      }
  s->weights = weights_new(s->turned, NULL);
  return s->weights || error_memory(err, "turned weights");
}

static bool prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                    struct error *err)
{
  const struct conv *c = node->params;
  const struct spatial *space = &c->space;
  struct state *s = mem_zero(1, sizeof *s);
  if (!s)
    return error_memory(err, "a convolution");
  bool ok = true;
  if (few_channels(node) && node->in[0]->t.dtype == DTYPE_F32) {
    for (s->rows = TILE_ROWS < space->out[0] ? TILE_ROWS : space->out[0]; space->out[0] % s->rows; s->rows--)
      ;
    const int64_t columns = space->kernel[0] * space->kernel[1] * c->ic, pixels = s->rows * space->out[1];
    const struct matmul_spec spec = {.b = 1, .m = pixels, .k = c->oc, .n = columns};
    ok = turn_weights(node, s, err) && (s->kernel = kernel_matmul(compute, &spec, s->weights, err)) != NULL;
    out->scratch = (size_t)(pixels * columns) * sizeof(float) + MEM_ALIGN;
  } else {
    const struct conv_spec spec = conv_spec_of(node, n);
    s->kernel = kernel_conv_backward(compute, &spec, node->weights, err);
    ok = s->kernel != NULL;
  }
  if (!ok) {
    release(s);
    return false;
  }
  out->scratch += kernel_scratch(s->kernel);
  out->state = s;
  return true;
}

struct tile {
  const struct conv *conv;
  int64_t oy, rows;     /* of the output */
  const float *product; /* [rows, ow, kh, kw, ic] */
  float *to;            /* one image */
};

static void add_run(float *to, const float *from, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    to[i] += from[i];
}

/* Rows of the image that the tile reaches, each by itself: output rows in order. */
static void spread_rows(void *context, int64_t begin, int64_t end)
{
  const struct tile *t = context;
  const struct spatial *s = &t->conv->space;
  const int64_t c = t->conv->ic, run = s->kernel[1] * c, window = s->kernel[0] * run;
  const int64_t first = t->oy * s->stride[0] - s->before[0];
  for (int64_t y = first + begin; y < first + end; y++) {
    if (y < 0 || y >= s->in[0])
      continue;
    float *row = t->to + y * s->in[1] * c;
    for (int64_t r = 0; r < t->rows; r++) {
      const int64_t ky = y - (t->oy + r) * s->stride[0] + s->before[0];
      if (ky < 0 || ky >= s->kernel[0])
        continue;
      for (int64_t ox = 0; ox < s->out[1]; ox++) {
        const int64_t x = ox * s->stride[1] - s->before[1];
        const int64_t cut = x < 0 ? -x : 0, over = x + s->kernel[1] > s->in[1] ? x + s->kernel[1] - s->in[1] : 0;
        const float *from = t->product + (r * s->out[1] + ox) * window + ky * run;
        if (cut + over < s->kernel[1])
          add_run(row + (x + cut) * c, from + cut * c, (s->kernel[1] - cut - over) * c);
      }
    }
  }
}

static bool run_few(const struct reverse *r, const struct state *s, struct error *err)
{
  const struct conv *c = r->node->params;
  const struct spatial *space = &c->space;
  const int64_t images = r->n * r->node->in[0]->t.shape.dim[0], pixels = s->rows * space->out[1];
  const int64_t columns = space->kernel[0] * space->kernel[1] * c->ic,
                reach = (s->rows - 1) * space->stride[0] + space->kernel[0];
  float *product = r->scratch;
  unsigned char *scratch = (unsigned char *)r->scratch +
                           ((size_t)(pixels * columns) * sizeof(float) + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
  memset(r->to[0], 0, (size_t)r->n * tensor_bytes(&r->node->in[0]->t));
  for (int64_t i = 0; i < images; i++)
    for (int64_t oy = 0; oy < space->out[0]; oy += s->rows) {
      const float *g = r->from[0] + (i * space->out[0] + oy) * space->out[1] * c->oc;
      struct tile tile = {c, oy, s->rows, product, r->to[0] + i * space->in[0] * space->in[1] * c->ic};
      if (!kernel_run(s->kernel, g, NULL, NULL, product, scratch, err))
        return false;
      threads_for(reach, 4, spread_rows, &tile);
    }
  return true;
}

static bool run(const struct reverse *r, struct error *err)
{
  const struct state *s = r->state;
  return s->turned ? run_few(r, s, err) : kernel_run(s->kernel, r->from[0], NULL, NULL, r->to[0], r->scratch, err);
}

const struct backward backward_conv = {.flags = BACKWARD_BF16, .prepare = prepare, .release = release, .run = run};
