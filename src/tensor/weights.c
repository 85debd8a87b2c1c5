/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/weights.h"

#include "base/mem.h"
#include "tensor/winograd.h"

#include <pthread.h>
#include <string.h>

struct packed {
  struct packed *next;
  struct desc desc; /* not set: Winograd's */
  bool adjoint;     /* rows and columns have changed places */
  size_t bytes;
  void *data;
};

struct weights {
  const void *raw;
  struct file_map file; /* that raw may lie in */
  const float *scale;
  pthread_mutex_t lock; /* guards `forms`; entries never change once they are listed */
  struct packed *forms;
};

struct weights *weights_new(const void *raw, const float *scale)
{
  struct weights *w = mem_zero(1, sizeof *w);
  if (!w)
    return NULL;
  w->raw = raw;
  w->scale = scale;
  pthread_mutex_init(&w->lock, NULL);
  return w;
}

void weights_in_file(struct weights *w, const struct file_map *file)
{
  w->file = *file;
}

void weights_free(struct weights *w)
{
  if (!w)
    return;
  for (struct packed *p = w->forms; p;) {
    struct packed *next = p->next;
    desc_free(&p->desc);
    mem_unmap(p->data, p->bytes);
    mem_free(p);
    p = next;
  }
  pthread_mutex_destroy(&w->lock);
  mem_free(w);
}

size_t weights_bytes(const struct weights *w)
{
  size_t sum = 0;
  for (const struct packed *p = w->forms; p; p = p->next)
    sum += p->bytes;
  return sum;
}

static bool reorder(struct compute *c, const struct desc *from, const void *src, const struct desc *to, void *dst,
                    struct error *err)
{
  dnnl_primitive_desc_t pd = NULL;
  dnnl_primitive_t primitive = NULL;
  dnnl_memory_t a = NULL, b = NULL;
  bool ok = !failed(dnnl_reorder_primitive_desc_create(&pd, MD(from), c->engine, MD(to), c->engine, NULL), err,
                    "packing weights") &&
            !failed(dnnl_primitive_create(&primitive, pd), err, "packing weights") &&
            !failed(dnnl_memory_create(&a, MD(from), c->engine, (void *)(uintptr_t)src), err, "packing weights") &&
            !failed(dnnl_memory_create(&b, MD(to), c->engine, dst), err, "packing weights");
  if (ok) {
    const dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, a}, {DNNL_ARG_TO, b}};
    ok = !failed(dnnl_primitive_execute(primitive, c->stream, 2, args), err, "packing weights") &&
         !failed(dnnl_stream_wait(c->stream), err, "packing weights");
  }
  if (a)
    dnnl_memory_destroy(a);
  if (b)
    dnnl_memory_destroy(b);
  if (primitive)
    dnnl_primitive_destroy(primitive);
  if (pd)
    dnnl_primitive_desc_destroy(pd);
  return ok;
}

/* Multiply every output channel by its factor. Channels are the rows of [channels, row], or the columns. */
static void scale_rows(float *w, const float *scale, int64_t channels, int64_t row)
{
  for (int64_t i = 0; i < channels; i++)
    for (int64_t j = 0; j < row; j++)
      w[i * row + j] *= scale[i];
}

static void scale_columns(float *w, const float *scale, int64_t rows, int64_t channels)
{
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < channels; j++)
      w[i * channels + j] *= scale[j];
}

const void *weights_form(struct weights *w, struct compute *c, const struct desc *raw, const struct desc *want,
                         int64_t channels, int64_t others, bool by_rows, bool adjoint, struct error *err)
{
  pthread_mutex_lock(&w->lock);
  const void *found = NULL;
  for (struct packed *p = w->forms; p && !found; p = p->next)
    if (p->desc.set && p->adjoint == adjoint && dnnl_memory_desc_equal(MD(&p->desc), MD(want)))
      found = p->data;
  float *scaled = NULL;
  size_t raw_bytes = (size_t)channels * (size_t)others * sizeof(float);
  struct packed *made = NULL;
  if (!found) {
    made = mem_zero(1, sizeof *made);
    if (made) {
      made->bytes = dnnl_memory_desc_get_size(MD(want));
      made->data = mem_map(made->bytes);
    }
    if (w->scale)
      scaled = mem_map(raw_bytes);
    if (!made || !made->data || (w->scale && !scaled)) {
      error_memory(err, "packed weights");
    } else {
      if (scaled) {
        memcpy(scaled, w->raw, raw_bytes);
        if (by_rows)
          scale_rows(scaled, w->scale, channels, others);
        else
          scale_columns(scaled, w->scale, others, channels);
      }
      if (reorder(c, raw, scaled ? scaled : w->raw, want, made->data, err)) {
#if DNNL_VERSION_MAJOR >= 3
        made->desc.set = dnnl_memory_desc_clone(&made->desc.md, want->md) == dnnl_success;
#else
        made->desc = *want;
#endif
        made->adjoint = adjoint;
        made->next = w->forms;
        w->forms = made;
        found = made->data;
      }
      file_release(&w->file, w->raw, raw_bytes);
    }
  }
  if (made && !found) {
    mem_unmap(made->data, made->bytes);
    mem_free(made);
  }
  mem_unmap(scaled, raw_bytes);
  pthread_mutex_unlock(&w->lock);
  return found;
}

const float *weights_winograd(struct weights *w, int64_t ic, int64_t oc, bool adjoint, struct error *err)
{
  pthread_mutex_lock(&w->lock);
  const float *found = NULL;
  for (struct packed *p = w->forms; p && !found; p = p->next)
    if (!p->desc.set && p->adjoint == adjoint)
      found = p->data;
  struct packed *made = found ? NULL : mem_zero(1, sizeof *made);
  if (made) {
    made->bytes = winograd_weights_bytes(adjoint ? oc : ic, adjoint ? ic : oc);
    made->data = mem_map(made->bytes);
  }
  if (made && made->data) {
    winograd_pack(w->raw, w->scale, ic, oc, adjoint, made->data);
    file_release(&w->file, w->raw, (size_t)(ic * oc) * 9 * sizeof(float));
    made->adjoint = adjoint;
    made->next = w->forms;
    w->forms = made;
    found = made->data;
  } else {
    mem_free(made);
  }
  pthread_mutex_unlock(&w->lock);
  if (!found)
    error_memory(err, "packed weights");
  return found;
}
