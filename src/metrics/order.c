/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics/order.h"

#include "base/mem.h"
#include "base/rng.h"

#include <stdlib.h>

struct entry {
  double value;
  uint32_t key; /* random: what decides between equals */
  int32_t index;
};

/* Descending. */
static int compare(const void *a, const void *b)
{
  const struct entry *p = a, *q = b;
  if (p->value != q->value)
    return p->value > q->value ? -1 : 1;
  if (p->key != q->key)
    return p->key < q->key ? -1 : 1;
  return (p->index > q->index) - (p->index < q->index);
}

static bool sort(enum order kind, struct entry *entries, int64_t n, uint64_t seed, uint32_t draw, int32_t *order)
{
  const enum rng_purpose purpose = kind == ORDER_RANDOM ? RNG_ORDER : RNG_TIES;
  for (int64_t i = 0; i < n; i++) {
    entries[i].key = rng_bits(seed, purpose, draw, (uint64_t)i);
    entries[i].index = (int32_t)i;
    if (kind != ORDER_MORF)
      entries[i].value = kind == ORDER_RANDOM ? 0 : -entries[i].value;
  }
  qsort(entries, (size_t)n, sizeof *entries, compare);
  for (int64_t i = 0; i < n; i++)
    order[i] = entries[i].index;
  mem_free(entries);
  return true;
}

bool order_make(enum order kind, const double *value, int64_t n, uint64_t seed, uint32_t draw, int32_t *order,
                struct error *err)
{
  struct entry *entries = mem_zero((size_t)n, sizeof *entries);
  if (!entries)
    return error_memory(err, "an order");
  for (int64_t i = 0; i < n && kind != ORDER_RANDOM; i++)
    entries[i].value = value[i];
  return sort(kind, entries, n, seed, draw, order);
}

bool order_pixels(enum order kind, const float *map, int64_t n, uint64_t seed, uint32_t draw, int32_t *order,
                  struct error *err)
{
  struct entry *entries = mem_zero((size_t)n, sizeof *entries);
  if (!entries)
    return error_memory(err, "an order");
  for (int64_t i = 0; i < n && kind != ORDER_RANDOM; i++)
    entries[i].value = (double)map[i];
  return sort(kind, entries, n, seed, draw, order);
}
