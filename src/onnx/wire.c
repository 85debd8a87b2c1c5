/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/wire.h"

#include <string.h>

_Static_assert(sizeof(size_t) == 8, "tensors of 2^40 elements have sizes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers in the file are little-endian and read in place");

struct wire wire_of(const void *bytes, size_t size)
{
  static const unsigned char nothing[1];
  const unsigned char *first = bytes ? bytes : nothing;
  return (struct wire){.at = first, .end = first + (bytes ? size : 0), .file = first};
}

static size_t position(const struct wire *wire)
{
  return (size_t)(wire->at - wire->file);
}

static bool read_varint(struct wire *wire, uint64_t *out, struct error *err)
{
  uint64_t value = 0;
  const unsigned char *p = wire->at;
  for (int shift = 0; shift < 64; shift += 7, p++) {
    if (p == wire->end)
      return error_set(err, ERROR_FAILED, "byte %zu: a number is cut off: the file is truncated or damaged",
                       position(wire));
    value |= (uint64_t)(*p & 0x7f) << shift;
    if (shift == 63 && *p > 1)
      break;
    if (!(*p & 0x80)) {
      wire->at = p + 1;
      *out = value;
      return true;
    }
  }
  return error_set(err, ERROR_FAILED, "byte %zu: a number has more than 64 bits: this is no protobuf, or a damaged one",
                   position(wire));
}

static bool read_fixed(struct wire *wire, size_t size, uint64_t *out, struct error *err)
{
  if (wire_size(wire) < size)
    return error_set(err, ERROR_FAILED, "byte %zu: a number of %zu bytes is cut off: the file is truncated or damaged",
                     position(wire), size);
  *out = 0;
  memcpy(out, wire->at, size);
  wire->at += size;
  return true;
}

static bool read_bytes(struct wire *wire, struct wire *out, struct error *err)
{
  size_t start = position(wire);
  uint64_t length;
  if (!read_varint(wire, &length, err))
    return false;
  if (length > wire_size(wire))
    return error_set(err, ERROR_FAILED,
                     "byte %zu: a field of %llu bytes where %zu are left: the file is truncated or damaged", start,
                     (unsigned long long)length, wire_size(wire));
  *out = (struct wire){.at = wire->at, .end = wire->at + length, .file = wire->file};
  wire->at += length;
  return true;
}

bool wire_next(struct wire *wire, struct wire_field *field, struct error *err)
{
  if (err->code || wire->at == wire->end)
    return false;
  *field = (struct wire_field){.position = position(wire)};
  uint64_t tag;
  if (!read_varint(wire, &tag, err))
    return false;
  if (tag > UINT32_MAX || tag >> 3 == 0)
    return error_set(err, ERROR_FAILED, "byte %zu: no protobuf field starts with %llu", field->position,
                     (unsigned long long)tag);
  field->number = (uint32_t)(tag >> 3);
  switch (tag & 7) {
  case WIRE_VARINT:
    field->type = WIRE_VARINT;
    return read_varint(wire, &field->bits, err);
  case WIRE_FIXED64:
    field->type = WIRE_FIXED64;
    return read_fixed(wire, 8, &field->bits, err);
  case WIRE_BYTES:
    field->type = WIRE_BYTES;
    return read_bytes(wire, &field->bytes, err);
  case WIRE_FIXED32:
    field->type = WIRE_FIXED32;
    return read_fixed(wire, 4, &field->bits, err);
  default: /* 3 and 4 are groups, which ONNX does not use; 6 and 7 do not exist */
    return error_set(err, ERROR_FAILED, "byte %zu: field %u has wire type %u: this is no ONNX model, or a damaged one",
                     field->position, field->number, (unsigned)(tag & 7));
  }
}

bool wire_expect(const struct wire_field *field, enum wire_type type, const char *what, struct error *err)
{
  if (field->type == type)
    return true;
  return error_set(err, ERROR_FAILED, "byte %zu: %s has wire type %d, not %d", field->position, what, (int)field->type,
                   (int)type);
}

const char *wire_text(const struct wire_field *field, struct arena *arena, const char *what, struct error *err)
{
  if (!wire_expect(field, WIRE_BYTES, what, err))
    return NULL;
  size_t size = wire_size(&field->bytes);
  if (memchr(field->bytes.at, '\0', size)) {
    error_set(err, ERROR_FAILED, "byte %zu: %s holds a zero byte", field->position, what);
    return NULL;
  }
  char *text = arena_strndup(arena, (const char *)field->bytes.at, size);
  if (!text)
    error_memory(err, what);
  return text;
}

bool wire_equals(const struct wire *bytes, const char *text)
{
  return wire_size(bytes) == strlen(text) && memcmp(bytes->at, text, wire_size(bytes)) == 0;
}

struct wire_numbers wire_numbers(struct wire message, uint32_t number, enum wire_type type, const char *what)
{
  return (struct wire_numbers){.message = message,
                               .packed = {.at = message.end, .end = message.end, .file = message.file},
                               .number = number,
                               .type = type,
                               .what = what};
}

bool wire_number(struct wire_numbers *numbers, uint64_t *bits, struct error *err)
{
  while (numbers->packed.at == numbers->packed.end) {
    struct wire_field field;
    do {
      if (!wire_next(&numbers->message, &field, err))
        return false;
    } while (field.number != numbers->number);
    if (field.type == WIRE_BYTES) {
      numbers->packed = field.bytes;
    } else if (wire_expect(&field, numbers->type, numbers->what, err)) {
      *bits = field.bits;
      return true;
    } else {
      return false;
    }
  }
  if (numbers->type == WIRE_VARINT)
    return read_varint(&numbers->packed, bits, err);
  return read_fixed(&numbers->packed, numbers->type == WIRE_FIXED32 ? 4 : 8, bits, err);
}

bool wire_count(struct wire_numbers numbers, size_t *count, struct error *err)
{
  uint64_t bits;
  *count = 0;
  while (wire_number(&numbers, &bits, err))
    ++*count;
  return err->code == ERROR_NONE;
}
