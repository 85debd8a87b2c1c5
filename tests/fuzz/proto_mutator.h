/* SPDX-License-Identifier: Apache-2.0 */
/* How libFuzzer changes protobuf messages: inside one, keeping the lengths around it true, else nearly every change
 * would end the parse there. To be included by one file of a target. */
#ifndef PENUMBRA_TESTS_PROTO_MUTATOR_H
#define PENUMBRA_TESTS_PROTO_MUTATOR_H

#include "onnx/wire.h"

#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));

enum { MOST_DEPTH = 8 };

static size_t write_varint(uint8_t *to, uint64_t value)
{
  size_t n = 0;
  for (; value > 127; value >>= 7)
    to[n++] = (uint8_t)(value | 128);
  to[n++] = (uint8_t)value;
  return n;
}

/* Where the length of a field begins, and its content. */
struct span {
  size_t length, begin, end;
};

/* A random field with bytes in data[begin, end); false where there is none. */
static bool pick_field(const uint8_t *data, size_t begin, size_t end, unsigned *random, struct span *span)
{
  struct wire wire = wire_of(data + begin, end - begin);
  struct wire_field field;
  struct error err = {0};
  unsigned seen = 0;
  while (wire_next(&wire, &field, &err)) {
    *random = *random * 1664525 + 1013904223;
    if (field.type != WIRE_BYTES || (*random >> 8) % ++seen)
      continue;
    uint8_t tag[10];
    span->length = begin + field.position + write_varint(tag, (uint64_t)field.number << 3);
    span->begin = (size_t)(field.bytes.at - data);
    span->end = (size_t)(field.bytes.end - data);
  }
  return seen > 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
  struct span path[MOST_DEPTH];
  int depth = 0;
  size_t begin = 0, end = size;
  while (depth < MOST_DEPTH && pick_field(data, begin, end, &seed, &path[depth])) {
    begin = path[depth].begin;
    end = path[depth++].end;
    seed = seed * 1664525 + 1013904223;
    if ((seed >> 12) % 4 == 0)
      break;
  }
  uint8_t *content = depth && (seed >> 16) % 8 ? malloc(max_size + 10) : NULL;
  if (!content)
    return LLVMFuzzerMutate(data, size, max_size);
  size_t inner = end - begin;
  memcpy(content, data + begin, inner);
  inner = LLVMFuzzerMutate(content, inner, max_size - (size - inner));
  /* From the inside out: the new content between what stands before it and behind it. */
  uint8_t *whole = malloc(max_size + 10 * MOST_DEPTH);
  for (int i = depth - 1; whole && i >= 0; i--) {
    size_t from = i ? path[i - 1].begin : 0, to = i ? path[i - 1].end : size;
    size_t before = path[i].length - from, behind = to - path[i].end;
    memcpy(whole, data + from, before);
    size_t n = before + write_varint(whole + before, inner);
    if (n + inner + behind > max_size)
      break;
    memcpy(whole + n, content, inner);
    memcpy(whole + n + inner, data + path[i].end, behind);
    inner = n + inner + behind;
    memcpy(content, whole, inner);
    if (i == 0) {
      memcpy(data, content, inner);
      size = inner;
    }
  }
  free(whole);
  free(content);
  return size;
}

#endif
