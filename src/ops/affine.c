/* SPDX-License-Identifier: Apache-2.0 */
/* y = post(x * scale[c] + shift[c] + residual): what is left of a batch norm, or of factors and offsets, that could not
 * be folded into the convolution before it. Made by graph_simplify, in no file. */
#include "ops/affine.h"

#include "base/bf16.h"
#include "base/mem.h"
#include "base/threads.h"
#include "ops/loop.h"
#include "ops/op.h"
#include "ops/output.h"
#include "tensor/simd.h"

#include <math.h>

static bool affine_shape(struct node *node, struct arena *arena, struct error *err)
{
  (void)arena;
  return output_like(node, 0, DTYPE_F32, err);
}

/* Channels run innermost: the last axis, or axis 1 of a channels-last tensor. */
static int64_t channels_of(const struct node *node)
{
  const struct tensor *t = &node->in[0]->t;
  return t->layout == LAYOUT_CHANNELS_LAST ? t->shape.dim[1] : t->shape.dim[t->shape.rank - 1];
}

/* Functions that are a pass of their own; Relu and Clip are part of the row. */
static bool separate(struct post post)
{
  return post.kind != UNARY_RELU && post.kind != UNARY_CLIP;
}

struct affine_state {
  struct kernel *kernel[MAX_POST];
};

static void affine_release(void *state)
{
  struct affine_state *s = state;
  for (int i = 0; i < MAX_POST; i++)
    kernel_free(s->kernel[i]);
  mem_free(s);
}

static bool affine_prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                           struct error *err)
{
  struct affine_state *s = mem_zero(1, sizeof *s);
  if (!s)
    return error_memory(err, "an affine map");
  for (int i = 0; i < node->n_post; i++)
    if (i > 0 || separate(node->post[i])) {
      s->kernel[i] = kernel_unary(compute, n * tensor_count(&node->out[0]->t), node->post[i], err);
      if (!s->kernel[i]) {
        affine_release(s);
        return false;
      }
    }
  out->state = s;
  return true;
}

struct affine_job {
  const float *x, *scale, *shift, *residual;
  float *y;
  int64_t c;
  float lo, hi;
};

SIMD_CLONES static void affine_rows(void *context, int64_t begin, int64_t end)
{
  const struct affine_job *j = context;
  const int64_t c = j->c;
  const float lo = j->lo, hi = j->hi;
  for (int64_t r = begin; r < end; r++) {
    const float *x = j->x + r * c, *add = j->residual ? j->residual + r * c : NULL;
    float *y = j->y + r * c;
    for (int64_t i = 0; i < c; i++) {
      float v = x[i] * (j->scale ? j->scale[i] : 1.0f) + (j->shift ? j->shift[i] : 0.0f);
      if (add)
        v += add[i];
      v = v < lo ? lo : v;
      y[i] = v > hi ? hi : v;
    }
  }
}

/* The same on bfloat16, without a residual. */
SIMD_CLONES static void affine_rows_bf16(void *context, int64_t begin, int64_t end)
{
  const struct affine_job *j = context;
  const int64_t c = j->c;
  const float lo = j->lo, hi = j->hi;
  for (int64_t r = begin; r < end; r++) {
    const uint16_t *x = (const uint16_t *)(const void *)j->x + r * c;
    uint16_t *y = (uint16_t *)(void *)j->y + r * c;
    for (int64_t i = 0; i < c; i++) {
      float v = bf16_to_float(x[i]) * (j->scale ? j->scale[i] : 1.0f) + (j->shift ? j->shift[i] : 0.0f);
      v = v < lo ? lo : v;
      y[i] = bf16_from_float(v > hi ? hi : v);
    }
  }
}

/* ---- while copying --------------------------------------------------------------------------------------------- */

static void bounds_of(const struct node *node, float *lo, float *hi)
{
  const bool bounded = node->n_post > 0 && !separate(node->post[0]);
  *lo = !bounded ? -INFINITY : node->post[0].kind == UNARY_RELU ? 0 : node->post[0].a;
  *hi = !bounded || node->post[0].kind == UNARY_RELU ? INFINITY : node->post[0].b;
}

bool affine_is_clip(const struct node *node, float *lo, float *hi)
{
  if (node->op->shape != affine_shape || node->residual || node->n_post > 1 ||
      (node->n_post == 1 && separate(node->post[0])))
    return false;
  bounds_of(node, lo, hi);
  return true;
}

/* Channels in blocks: a block's factors stay in registers over all pixels. */
enum { BLOCK = 16 };
#define INLINE static inline __attribute__((always_inline))

INLINE float clipped(const struct affine_clip *map, float x, int64_t channel)
{
  float v = x * map->scale[channel] + map->shift[channel];
  v = v < map->lo ? map->lo : v;
  return v > map->hi ? map->hi : v;
}

INLINE void put_block(const struct affine_clip *map, const float *x, int64_t n, int64_t c, float *to, int64_t pitch,
                      int64_t from, int some)
{
  for (int64_t p = 0; p < n; p++)
    for (int i = 0; i < some; i++)
      to[p * pitch + from + i] = clipped(map, x[p * c + from + i], from + i);
}

INLINE void put_block_bf16(const struct affine_clip *map, const uint16_t *x, int64_t n, int64_t c, uint16_t *to,
                           int64_t pitch, int64_t from, int some)
{
  for (int64_t p = 0; p < n; p++)
    for (int i = 0; i < some; i++)
      to[p * pitch + from + i] = bf16_from_float(clipped(map, bf16_to_float(x[p * c + from + i]), from + i));
}

INLINE void put_block_change(const struct affine_clip *map, const float *x, const float *base, int64_t n, int64_t c,
                             float *to, int64_t pitch, int64_t from, int some)
{
  for (int64_t p = 0; p < n; p++)
    for (int i = 0; i < some; i++)
      to[p * pitch + from + i] =
          clipped(map, x[p * c + from + i], from + i) - clipped(map, base[p * c + from + i], from + i);
}

SIMD_CLONES static void put(const struct affine_clip *given, const float *restrict x, int64_t n, int64_t c,
                            float *restrict to, int64_t pitch)
{
  const struct affine_clip map = *given;
  int64_t from = 0;
  for (; from + BLOCK <= c; from += BLOCK)
    put_block(&map, x, n, c, to, pitch, from, BLOCK);
  put_block(&map, x, n, c, to, pitch, from, (int)(c - from));
}

SIMD_CLONES static void put_bf16(const struct affine_clip *given, const uint16_t *restrict x, int64_t n, int64_t c,
                                 uint16_t *restrict to, int64_t pitch)
{
  const struct affine_clip map = *given;
  int64_t from = 0;
  for (; from + BLOCK <= c; from += BLOCK)
    put_block_bf16(&map, x, n, c, to, pitch, from, BLOCK);
  put_block_bf16(&map, x, n, c, to, pitch, from, (int)(c - from));
}

SIMD_CLONES static void put_change(const struct affine_clip *given, const float *restrict x, const float *restrict base,
                                   int64_t n, int64_t c, float *restrict to, int64_t pitch)
{
  const struct affine_clip map = *given;
  int64_t from = 0;
  for (; from + BLOCK <= c; from += BLOCK)
    put_block_change(&map, x, base, n, c, to, pitch, from, BLOCK);
  put_block_change(&map, x, base, n, c, to, pitch, from, (int)(c - from));
}

/* Clones cannot be hidden from those who use the library. */
void affine_put(const struct affine_clip *map, const float *restrict x, int64_t n, int64_t c, float *restrict to,
                int64_t pitch)
{
  put(map, x, n, c, to, pitch);
}

void affine_put_bf16(const struct affine_clip *map, const uint16_t *restrict x, int64_t n, int64_t c,
                     uint16_t *restrict to, int64_t pitch)
{
  put_bf16(map, x, n, c, to, pitch);
}

void affine_put_change(const struct affine_clip *map, const float *restrict x, const float *restrict base, int64_t n,
                       int64_t c, float *restrict to, int64_t pitch)
{
  put_change(map, x, base, n, c, to, pitch);
}

/* ---- as a node ------------------------------------------------------------------------------------------------- */

static bool affine_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  const struct affine_state *s = call->state;
  const int64_t c = channels_of(node), count = call->n * tensor_count(&node->out[0]->t);
  struct affine_job job = {call->in[0], node->scale, node->shift, call->residual, call->out[0], c, 0, 0};
  bounds_of(node, &job.lo, &job.hi);
  threads_for(count / c, LOOP_GRAIN / c + 1, node->out[0]->t.dtype == DTYPE_BF16 ? affine_rows_bf16 : affine_rows,
              &job);
  for (int i = 0; i < node->n_post; i++)
    if (s->kernel[i] && !kernel_run(s->kernel[i], call->out[0], NULL, NULL, call->out[0], NULL, err))
      return false;
  return true;
}

struct backward_job {
  const float *scale, *g, *y; /* y: where it is not above 0 nothing passes; NULL: everything does */
  float *to;
  int64_t c;
  bool add;
};

SIMD_CLONES static void backward_rows(void *context, int64_t begin, int64_t end)
{
  const struct backward_job *j = context;
  const int64_t c = j->c;
  for (int64_t r = begin; r < end; r++) {
    const float *g = j->g + r * c, *y = j->y ? j->y + r * c : NULL;
    float *to = j->to + r * c;
    for (int64_t i = 0; i < c; i++) {
      float v = g[i] * (j->scale ? j->scale[i] : 1.0f);
      if (y)
        v *= y[i] > 0.0f ? 1.0f : 0.0f;
      to[i] = j->add ? to[i] + v : v;
    }
  }
}

SIMD_CLONES static void backward_rows_bf16(void *context, int64_t begin, int64_t end)
{
  const struct backward_job *j = context;
  const int64_t c = j->c;
  for (int64_t r = begin; r < end; r++) {
    const uint16_t *g = (const uint16_t *)(const void *)j->g + r * c;
    const uint16_t *y = j->y ? (const uint16_t *)(const void *)j->y + r * c : NULL;
    uint16_t *to = (uint16_t *)(void *)j->to + r * c;
    for (int64_t i = 0; i < c; i++) {
      float v = bf16_to_float(g[i]) * (j->scale ? j->scale[i] : 1.0f);
      if (y)
        v *= bf16_to_float(y[i]) > 0.0f ? 1.0f : 0.0f;
      to[i] = bf16_from_float(j->add ? bf16_to_float(to[i]) + v : v);
    }
  }
}

static bool backward_run(const struct reverse *r, struct error *err)
{
  const int64_t c = channels_of(r->node), count = r->n * tensor_count(&r->node->out[0]->t);
  struct backward_job job = {.scale = r->node->scale, .g = r->from[0], .to = r->to[0], .c = c, .add = r->add[0]};
  if (r->posts)
    job.y = r->out[0];
  (void)err;
  threads_for(count / c, LOOP_GRAIN / c + 1,
              r->node->out[0]->t.dtype == DTYPE_BF16 ? backward_rows_bf16 : backward_rows, &job);
  return true;
}

static const struct backward affine_backward = {
    .flags = BACKWARD_ADDS | BACKWARD_INPLACE | BACKWARD_BF16 | BACKWARD_POST, .run = backward_run};

OP_TABLE(affine) = {
    {.type = "Affine",
     .domain = "penumbra",
     .since = 1,
     .min_in = 1,
     .max_in = 1,
     .max_out = 1,
     .flags = OP_FUSES | OP_INPLACE | OP_POINTWISE | OP_BF16,
     .shape = affine_shape,
     .prepare = affine_prepare,
     .release = affine_release,
     .forward = affine_forward,
     .backward = &affine_backward},
    {.type = NULL},
};
