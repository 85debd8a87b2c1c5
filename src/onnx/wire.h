/* SPDX-License-Identifier: Apache-2.0 */
/* The protobuf wire format, read in place: a message is a range of bytes, its fields are met one by one, nothing is
 * copied and nothing is trusted (https://protobuf.dev/programming-guides/encoding/). */
#ifndef PENUMBRA_ONNX_WIRE_H
#define PENUMBRA_ONNX_WIRE_H

#include "base/error.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message, text or packed list, and how far it has been read. */
struct wire {
  const unsigned char *at, *end;
  const unsigned char *file; /* first byte of all: errors give positions from here */
};

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_field {
  uint32_t number;
  enum wire_type type;
  uint64_t bits;     /* of a varint or fixed number */
  struct wire bytes; /* of a WIRE_BYTES field */
  size_t position;   /* of the field, in bytes from the first of the file */
};

struct wire wire_of(const void *bytes, size_t size);
static inline size_t wire_size(const struct wire *wire)
{
  return (size_t)(wire->end - wire->at);
}

/* The next field; false at the end and on an error, which err->code tells, and once err is set. Groups are an error. */
bool wire_next(struct wire *wire, struct wire_field *field, struct error *err);

/* That a field has the wire type its schema says. `what` names it: "raw_data of a tensor". */
bool wire_expect(const struct wire_field *field, enum wire_type type, const char *what, struct error *err);

/* The bytes of a text field as a text of the arena; NULL on an error. A NUL inside is one: it would cut a name short
 * and make it equal to another. */
const char *wire_text(const struct wire_field *field, struct arena *arena, const char *what, struct error *err);
/* True where the bytes are this text. */
bool wire_equals(const struct wire *bytes, const char *text);

/* A repeated number of a message, packed or one by one or both, as protobuf allows. */
struct wire_numbers {
  struct wire message, packed;
  uint32_t number;
  enum wire_type type;
  const char *what;
};
struct wire_numbers wire_numbers(struct wire message, uint32_t number, enum wire_type type, const char *what);
/* The bits of the next one; false at the end and on an error. */
bool wire_number(struct wire_numbers *numbers, uint64_t *bits, struct error *err);
/* How many there are; false on an error. */
bool wire_count(struct wire_numbers numbers, size_t *count, struct error *err);

#endif
