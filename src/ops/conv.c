/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution over images: plain, grouped, depthwise, dilated. */
#include "ops/conv.h"

#include "base/mem.h"

#include <string.h>

bool conv_shape(struct node *node, struct arena *arena, struct error *err)
{
  const struct tensor *x = &node->in[0]->t, *w = &node->in[1]->t;
  if (x->dtype != DTYPE_F32 || w->dtype != DTYPE_F32)
    return node_error(node, err, "integer tensors are not supported");
  if (x->shape.rank != 4 || w->shape.rank != 4)
    return node_error(node, err, "input has rank %d and weights rank %d; only 2-D convolutions (rank 4) are supported",
                      x->shape.rank, w->shape.rank);
  if (!w->data)
    return node_error(node, err, "weights '%.60s' are computed from the image; only constant weights are supported",
                      node->in[1]->name);
  struct conv *c = arena_alloc(arena, sizeof *c);
  if (!c)
    return error_memory(err, "a convolution");
  node->params = c;
  if (!node_int(node, "group", 1, &c->groups, err))
    return false;
  c->ic = x->shape.dim[1];
  c->oc = w->shape.dim[0];
  if (c->groups < 1 || c->groups > c->ic || c->ic % c->groups || c->oc % c->groups || c->oc < 1)
    return node_error(node, err, "group %lld does not divide %lld input and %lld output channels", (long long)c->groups,
                      (long long)c->ic, (long long)c->oc);
  if (w->shape.dim[1] != c->ic / c->groups)
    return node_error(node, err, "weights take %lld channels a group, the input has %lld", (long long)w->shape.dim[1],
                      (long long)(c->ic / c->groups));
  if (!spatial_read(node, &w->shape.dim[2], &c->space, err))
    return false;
  if (node_has(node, 2)) {
    const struct tensor *b = &node->in[2]->t;
    if (!b->data || b->dtype != DTYPE_F32 || tensor_count(b) != c->oc)
      return node_error(node, err, "bias '%.60s' is not a constant of %lld values", node->in[2]->name,
                        (long long)c->oc);
    node->shift = b->data;
  }
  const int64_t dims[4] = {x->shape.dim[0], c->oc, c->space.out[0], c->space.out[1]};
  node->out[0]->t.shape = shape_of(4, dims);
  node->out[0]->t.dtype = DTYPE_F32;
  node->out[0]->t.layout = LAYOUT_CHANNELS_LAST;
  if (shape_count(&node->out[0]->t.shape) < 0)
    return node_error(node, err, "output is too large");
  return true;
}

struct conv_spec conv_spec_of(const struct node *node, int64_t n)
{
  const struct conv *c = node->params;
  const struct spatial *s = &c->space;
  /* Trailing pads may exceed what the last window reaches; the library wants them to agree exactly. */
  int64_t after[2];
  for (int a = 0; a < 2; a++)
    after[a] = (s->out[a] - 1) * s->stride[a] + (s->kernel[a] - 1) * s->dilation[a] + 1 - s->in[a] - s->before[a];
  struct conv_spec spec = {
      .n = n * node->in[0]->t.shape.dim[0],
      .ic = c->ic,
      .ih = s->in[0],
      .iw = s->in[1],
      .oc = c->oc,
      .oh = s->out[0],
      .ow = s->out[1],
      .kh = s->kernel[0],
      .kw = s->kernel[1],
      .sh = s->stride[0],
      .sw = s->stride[1],
      .dh = s->dilation[0],
      .dw = s->dilation[1],
      .pt = s->before[0],
      .pl = s->before[1],
      .pb = after[0],
      .pr = after[1],
      .src = node->in[0]->t.dtype == DTYPE_BF16 ? NUMBER_BF16 : NUMBER_F32,
      .dst = node->out[0]->t.dtype == DTYPE_BF16 ? NUMBER_BF16 : NUMBER_F32,
      .groups = c->groups,
      .bias = node->shift != NULL,
      .sum = node->residual != NULL,
      .n_post = node->n_post,
  };
  memcpy(spec.post, node->post, sizeof spec.post);
  spec.winograd = conv_in_tiles(&spec);
  return spec;
}

static bool conv_prepare(const struct node *node, int64_t n, struct compute *compute, struct prepared *out,
                         struct error *err)
{
  const struct conv_spec spec = conv_spec_of(node, n);
  struct kernel *k = kernel_conv(compute, &spec, node->weights, err);
  if (!k)
    return false;
  out->state = k;
  out->scratch = kernel_scratch(k);
  return true;
}

static void conv_release(void *state)
{
  kernel_free(state);
}

static bool conv_forward(const struct call *call, struct error *err)
{
  const struct node *node = call->node;
  if (call->residual && call->residual != call->out[0])
    memcpy(call->out[0], call->residual, (size_t)call->n * tensor_bytes(&node->out[0]->t));
  return kernel_run(call->state, call->in[0], NULL, node->shift, call->out[0], call->scratch, err);
}

static int64_t conv_macs(const struct node *node)
{
  const struct conv *c = node->params;
  return tensor_count(&node->out[0]->t) * (c->ic / c->groups) * c->space.kernel[0] * c->space.kernel[1];
}

static struct window_rule conv_window(const struct node *node)
{
  const struct conv *c = node->params;
  const struct spatial *s = &c->space;
  const bool point = s->kernel[0] == 1 && s->kernel[1] == 1 && s->stride[0] == 1 && s->stride[1] == 1 &&
                     s->before[0] == 0 && s->before[1] == 0 && s->out[0] == s->in[0] && s->out[1] == s->in[1];
  return (struct window_rule){point ? WINDOW_POINT : WINDOW_SLIDE, *s};
}

OP_TABLE(conv) = {
    {.type = "Conv",
     .since = 1,
     .min_in = 2,
     .max_in = 3,
     .max_out = 1,
     .layout = OP_CHANNELS_LAST,
     .flags = OP_FUSES | OP_WEIGHTS | OP_BF16,
     .shape = conv_shape,
     .prepare = conv_prepare,
     .release = conv_release,
     .forward = conv_forward,
     .macs = conv_macs,
     .window = conv_window,
     .backward = &backward_conv},
    {.type = NULL},
};
