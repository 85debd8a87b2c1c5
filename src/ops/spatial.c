/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/spatial.h"

#include <string.h>

enum { MAX_EXTENT = 1 << 20 };

static bool read_pair(const struct node *node, const char *name, int64_t fallback, int64_t least, int64_t out[2],
                      struct error *err)
{
  int count;
  out[0] = out[1] = fallback;
  if (!node_ints(node, name, out, 2, &count, err))
    return false;
  if (count != 0 && count != 2)
    return node_error(node, err, "%s has %d values, 2 are wanted", name, count);
  for (int i = 0; i < 2; i++)
    if (out[i] < least || out[i] > MAX_EXTENT)
      return node_error(node, err, "%s %lld is outside %lld..%d", name, (long long)out[i], (long long)least,
                        MAX_EXTENT);
  return true;
}

bool spatial_read(const struct node *node, const int64_t *kernel, struct spatial *s, struct error *err)
{
  const struct shape *in = &node->in[0]->t.shape;
  if (in->rank != 4)
    return node_error(node, err, "input has rank %d; only images (rank 4) are supported", in->rank);
  int64_t pads[4] = {0}, ceil_mode;
  int n_pads;
  const char *auto_pad;
  if (!read_pair(node, "kernel_shape", 0, kernel ? 0 : 1, s->kernel, err) ||
      !read_pair(node, "strides", 1, 1, s->stride, err) || !read_pair(node, "dilations", 1, 1, s->dilation, err) ||
      !node_ints(node, "pads", pads, 4, &n_pads, err) || !node_int(node, "ceil_mode", 0, &ceil_mode, err) ||
      !node_string(node, "auto_pad", "NOTSET", &auto_pad, err))
    return false;
  if (n_pads != 0 && n_pads != 4)
    return node_error(node, err, "pads has %d values, 4 are wanted", n_pads);
  bool same_upper = strcmp(auto_pad, "SAME_UPPER") == 0, same_lower = strcmp(auto_pad, "SAME_LOWER") == 0;
  bool valid = strcmp(auto_pad, "VALID") == 0;
  if (!same_upper && !same_lower && !valid && strcmp(auto_pad, "NOTSET") != 0 && *auto_pad)
    return node_error(node, err, "auto_pad '%.40s' is unknown", auto_pad);
  for (int a = 0; a < 2; a++) {
    if (kernel) {
      if (s->kernel[a] != 0 && s->kernel[a] != kernel[a])
        return node_error(node, err, "kernel_shape %lld differs from the weights' %lld", (long long)s->kernel[a],
                          (long long)kernel[a]);
      s->kernel[a] = kernel[a];
    }
    if (s->kernel[a] < 1 || s->kernel[a] > MAX_EXTENT)
      return node_error(node, err, "kernel extent %lld is outside 1..%d", (long long)s->kernel[a], MAX_EXTENT);
    const int64_t extent = (s->kernel[a] - 1) * s->dilation[a] + 1;
    s->in[a] = in->dim[2 + a];
    s->before[a] = valid ? 0 : pads[a];
    s->after[a] = valid ? 0 : pads[2 + a];
    if (s->before[a] < 0 || s->after[a] < 0 || s->before[a] > MAX_EXTENT || s->after[a] > MAX_EXTENT)
      return node_error(node, err, "pad %lld, %lld is outside 0..%d", (long long)s->before[a], (long long)s->after[a],
                        MAX_EXTENT);
    if (same_upper || same_lower) {
      s->out[a] = (s->in[a] + s->stride[a] - 1) / s->stride[a];
      int64_t total = (s->out[a] - 1) * s->stride[a] + extent - s->in[a];
      if (total < 0)
        total = 0;
      s->before[a] = same_upper ? total / 2 : total - total / 2;
      s->after[a] = total - s->before[a];
      continue;
    }
    const int64_t room = s->in[a] + s->before[a] + s->after[a] - extent;
    if (room < 0)
      return node_error(node, err, "kernel extent %lld exceeds the padded input's %lld", (long long)extent,
                        (long long)(room + extent));
    s->out[a] = (ceil_mode ? room + s->stride[a] - 1 : room) / s->stride[a] + 1;
    /* A last window that would begin in the trailing pad is dropped (as every exporter's framework does). */
    if (ceil_mode && (s->out[a] - 1) * s->stride[a] >= s->in[a] + s->before[a])
      s->out[a]--;
  }
  return true;
}
