/* SPDX-License-Identifier: Apache-2.0 */
/* Writing protobuf messages, right or wrong ones, for tests of what reads them. */
#ifndef PENUMBRA_TESTS_PROTO_H
#define PENUMBRA_TESTS_PROTO_H

#include "unit.h"

#include <stdlib.h>
#include <string.h>

struct proto {
  unsigned char *bytes;
  size_t size, capacity;
};

static inline void proto_free(struct proto *p)
{
  free(p->bytes);
  *p = (struct proto){0};
}

static inline void put_raw(struct proto *p, const void *bytes, size_t size)
{
  if (p->size + size > p->capacity) {
    p->capacity = 2 * (p->size + size) + 64;
    p->bytes = realloc(p->bytes, p->capacity);
    assert_non_null(p->bytes);
  }
  if (size)
    memcpy(p->bytes + p->size, bytes, size);
  p->size += size;
}

static inline void put_number(struct proto *p, uint64_t value)
{
  do {
    unsigned char byte = (unsigned char)((value & 127) | (value > 127 ? 128 : 0));
    put_raw(p, &byte, 1);
    value >>= 7;
  } while (value);
}

static inline void put_varint(struct proto *p, uint32_t field, uint64_t value)
{
  put_number(p, (uint64_t)field << 3);
  put_number(p, value);
}

static inline void put_bytes(struct proto *p, uint32_t field, const void *bytes, size_t size)
{
  put_number(p, (uint64_t)field << 3 | 2);
  put_number(p, size);
  put_raw(p, bytes, size);
}

static inline void put_text(struct proto *p, uint32_t field, const char *text)
{
  put_bytes(p, field, text, strlen(text));
}

static inline void put_float(struct proto *p, uint32_t field, float value)
{
  put_number(p, (uint64_t)field << 3 | 5);
  put_raw(p, &value, sizeof value);
}

static inline void put_double(struct proto *p, uint32_t field, double value)
{
  put_number(p, (uint64_t)field << 3 | 1);
  put_raw(p, &value, sizeof value);
}

/* The inner message is spent. */
static inline void put_message(struct proto *p, uint32_t field, struct proto *inner)
{
  put_bytes(p, field, inner->bytes, inner->size);
  proto_free(inner);
}

#endif
