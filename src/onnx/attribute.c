/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/attribute.h"
#include "onnx/tensor_proto.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_DEPTH = 64, MAX_VALUES = 1 << 20 };

/* Fields of AttributeProto, and the values of its field `type`. */
enum { NAME = 1, F = 2, I = 3, S = 4, T = 5, G = 6, FLOATS = 7, INTS = 8, STRINGS = 9, GRAPHS = 11, TYPE = 20 };
enum { TYPE_FLOAT = 1, TYPE_INT, TYPE_STRING, TYPE_TENSOR, TYPE_GRAPH, TYPE_FLOATS, TYPE_INTS, TYPE_STRINGS };

/* What `type` is for a set field, for files from before it was required. */
static const int type_of_field[] = {
    [F] = TYPE_FLOAT, [I] = TYPE_INT,         [S] = TYPE_STRING,  [T] = TYPE_TENSOR,
    [G] = TYPE_GRAPH, [FLOATS] = TYPE_FLOATS, [INTS] = TYPE_INTS, [STRINGS] = TYPE_STRINGS};

/* The fields of a message that are nested messages on the way from a graph to the graphs inside: graph -> node (1) ->
 * attribute (5) -> g (6), graphs (11). */
static bool check_graph(struct wire graph, int depth, struct error *err)
{
  if (depth > MAX_DEPTH)
    return error_set(err, ERROR_FAILED, "graphs are nested more than %d deep", MAX_DEPTH);
  struct wire_field node, attribute, inner;
  while (wire_next(&graph, &node, err)) {
    if (node.number != 1 || node.type != WIRE_BYTES)
      continue;
    while (wire_next(&node.bytes, &attribute, err)) {
      if (attribute.number != 5 || attribute.type != WIRE_BYTES)
        continue;
      while (wire_next(&attribute.bytes, &inner, err)) {
        bool nested = (inner.number == G || inner.number == GRAPHS) && inner.type == WIRE_BYTES;
        if (nested && !check_graph(inner.bytes, depth + 1, err))
          return false;
      }
    }
  }
  return err->code == ERROR_NONE;
}

/* Copy the text of a field into *out; one with a zero byte inside is data of some tool, not a text: *out is NULL. */
static bool copy_text(struct reader *reader, const struct wire *bytes, const char **out, struct error *err)
{
  *out = NULL;
  if (memchr(bytes->at, '\0', wire_size(bytes)))
    return true;
  *out = arena_strndup(reader->arena, (const char *)bytes->at, wire_size(bytes));
  return *out || error_memory(err, "an attribute");
}

static bool count_values(size_t count, struct error *err)
{
  return count <= MAX_VALUES || error_set(err, ERROR_FAILED, "%zu values, at most %d are supported", count, MAX_VALUES);
}

static bool read_ints(struct reader *reader, struct wire message, struct attr *attr, struct error *err)
{
  struct wire_numbers numbers = wire_numbers(message, INTS, WIRE_VARINT, "ints of an attribute");
  if (!wire_count(numbers, &attr->count, err) || !count_values(attr->count, err))
    return false;
  int64_t *ints = reader_alloc(reader, attr->count, sizeof *ints, "an attribute", err);
  if (!ints)
    return false;
  uint64_t bits;
  for (size_t i = 0; i < attr->count && wire_number(&numbers, &bits, err); i++)
    ints[i] = (int64_t)bits;
  attr->ints = ints;
  return err->code == ERROR_NONE;
}

static bool read_floats(struct reader *reader, struct wire message, struct attr *attr, struct error *err)
{
  struct wire_numbers numbers = wire_numbers(message, FLOATS, WIRE_FIXED32, "floats of an attribute");
  if (!wire_count(numbers, &attr->count, err) || !count_values(attr->count, err))
    return false;
  float *floats = reader_alloc(reader, attr->count, sizeof *floats, "an attribute", err);
  if (!floats)
    return false;
  uint64_t bits;
  for (size_t i = 0; i < attr->count && wire_number(&numbers, &bits, err); i++)
    memcpy(&floats[i], &bits, sizeof *floats);
  attr->floats = floats;
  return err->code == ERROR_NONE;
}

static bool read_strings(struct reader *reader, struct wire message, struct attr *attr, struct error *err)
{
  struct wire_field field;
  struct wire rest = message;
  while (wire_next(&rest, &field, err)) {
    if (field.number == STRINGS && !wire_expect(&field, WIRE_BYTES, "strings of an attribute", err))
      return false;
    attr->count += field.number == STRINGS;
  }
  if (err->code || !count_values(attr->count, err))
    return false;
  const char **strings = reader_alloc(reader, attr->count, sizeof *strings, "an attribute", err);
  if (!strings)
    return false;
  size_t i = 0;
  while (wire_next(&message, &field, err)) {
    if (field.number != STRINGS)
      continue;
    if (!copy_text(reader, &field.bytes, &strings[i], err))
      return false;
    if (!strings[i++])
      attr->type = ATTR_OTHER;
  }
  attr->strings = strings;
  return true;
}

/* The value, by `type`; `last` holds the last field of each number below STRINGS. */
static bool read_value(struct reader *reader, struct wire message, int64_t type, const struct wire_field *last,
                       struct attr *attr, struct error *err)
{
  const char *name;
  switch (type) {
  case TYPE_FLOAT: {
    attr->type = ATTR_FLOAT;
    uint32_t word = (uint32_t)last[F].bits;
    memcpy(&attr->f, &word, sizeof word);
    return true;
  }
  case TYPE_INT:
    attr->type = ATTR_INT;
    attr->i = (int64_t)last[I].bits;
    return true;
  case TYPE_STRING: {
    struct wire text = last[S].number ? last[S].bytes : wire_of(NULL, 0);
    attr->type = ATTR_STRING;
    if (!copy_text(reader, &text, &attr->s, err))
      return false;
    if (!attr->s)
      attr->type = ATTR_OTHER;
    return true;
  }
  case TYPE_TENSOR:
    attr->type = ATTR_TENSOR;
    if (!last[T].number)
      return error_set(err, ERROR_FAILED, "no tensor is given");
    return tensor_proto_read(reader, last[T].bytes, &attr->tensor, &name, err);
  case TYPE_FLOATS:
    attr->type = ATTR_FLOATS;
    return read_floats(reader, message, attr, err);
  case TYPE_INTS:
    attr->type = ATTR_INTS;
    return read_ints(reader, message, attr, err);
  case TYPE_STRINGS:
    attr->type = ATTR_STRINGS;
    return read_strings(reader, message, attr, err);
  default:
    attr->type = ATTR_OTHER;
    return true;
  }
}

bool attribute_read(struct reader *reader, struct wire message, struct attr *attr, struct error *err)
{
  static const enum wire_type wanted[STRINGS] = {
      [F] = WIRE_FIXED32, [I] = WIRE_VARINT, [S] = WIRE_BYTES, [T] = WIRE_BYTES};
  struct wire_field field, last[STRINGS] = {{0}};
  struct wire rest = message;
  int64_t type = 0, found = 0;
  *attr = (struct attr){.name = ""};
  while (wire_next(&rest, &field, err)) {
    bool ok = true;
    switch (field.number) {
    case NAME:
      attr->name = wire_text(&field, reader->arena, "name of an attribute", err);
      ok = attr->name;
      break;
    case F:
    case I:
    case S:
    case T:
      ok = wire_expect(&field, wanted[field.number], "value of an attribute", err);
      last[field.number] = field;
      break;
    case G:
    case GRAPHS:
      ok = wire_expect(&field, WIRE_BYTES, "graph of an attribute", err) && check_graph(field.bytes, 1, err);
      break;
    case TYPE:
      ok = wire_expect(&field, WIRE_VARINT, "type of an attribute", err);
      type = (int64_t)field.bits;
      break;
    default:
      break;
    }
    if (!ok)
      return attr->name && *attr->name ? error_prefix(err, "attribute %.70s", attr->name) : false;
    if (field.number < sizeof type_of_field / sizeof *type_of_field && type_of_field[field.number])
      found = type_of_field[field.number];
  }
  if (err->code)
    return false;
  if (!*attr->name)
    return error_set(err, ERROR_FAILED, "an attribute has no name");
  if (!read_value(reader, message, type ? type : found, last, attr, err))
    return error_prefix(err, "attribute %.70s", attr->name);
  return true;
}
