/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/tensor_proto.h"
#include "base/half.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* TensorProto.DataType */
enum {
  TYPE_FLOAT = 1,
  TYPE_UINT8,
  TYPE_INT8,
  TYPE_UINT16,
  TYPE_INT16,
  TYPE_INT32,
  TYPE_INT64,
  TYPE_STRING,
  TYPE_BOOL,
  TYPE_FLOAT16,
  TYPE_DOUBLE,
  TYPE_UINT32,
  TYPE_UINT64,
  TYPE_COMPLEX64,
  TYPE_COMPLEX128,
  TYPE_BFLOAT16,
};

/* Fields of TensorProto that hold numbers. */
enum { FLOAT_DATA = 4, INT32_DATA = 5, INT64_DATA = 7, DOUBLE_DATA = 10, UINT64_DATA = 11 };

static const struct element {
  const char *name;
  size_t size; /* bytes of one element in raw data; 0: penumbra has no use for the type */
  enum dtype dtype;
  uint32_t field; /* where its numbers lie if not in raw data */
  enum wire_type wire;
} elements[] = {
    [TYPE_FLOAT] = {"float", 4, DTYPE_F32, FLOAT_DATA, WIRE_FIXED32},
    [TYPE_UINT8] = {"uint8", 1, DTYPE_I64, INT32_DATA, WIRE_VARINT},
    [TYPE_INT8] = {"int8", 1, DTYPE_I64, INT32_DATA, WIRE_VARINT},
    [TYPE_UINT16] = {"uint16", 2, DTYPE_I64, INT32_DATA, WIRE_VARINT},
    [TYPE_INT16] = {"int16", 2, DTYPE_I64, INT32_DATA, WIRE_VARINT},
    [TYPE_INT32] = {"int32", 4, DTYPE_I64, INT32_DATA, WIRE_VARINT},
    [TYPE_INT64] = {"int64", 8, DTYPE_I64, INT64_DATA, WIRE_VARINT},
    [TYPE_STRING] = {"string"},
    [TYPE_BOOL] = {"bool", 1, DTYPE_I64, INT32_DATA, WIRE_VARINT},
    [TYPE_FLOAT16] = {"float16", 2, DTYPE_F32, INT32_DATA, WIRE_VARINT},
    [TYPE_DOUBLE] = {"double", 8, DTYPE_F32, DOUBLE_DATA, WIRE_FIXED64},
    [TYPE_UINT32] = {"uint32", 4, DTYPE_I64, UINT64_DATA, WIRE_VARINT},
    [TYPE_UINT64] = {"uint64", 8, DTYPE_I64, UINT64_DATA, WIRE_VARINT},
    [TYPE_COMPLEX64] = {"complex64"},
    [TYPE_COMPLEX128] = {"complex128"},
    [TYPE_BFLOAT16] = {"bfloat16", 2, DTYPE_F32, INT32_DATA, WIRE_VARINT},
};

static const struct element *element_of(int64_t data_type, struct error *err)
{
  if (data_type < 0 || data_type >= (int64_t)(sizeof elements / sizeof *elements)) {
    error_set(err, ERROR_FAILED, "data type %" PRId64 " is not supported (float8, int4 and the like)", data_type);
    return NULL;
  }
  const struct element *element = &elements[data_type];
  if (data_type == 0) {
    error_set(err, ERROR_FAILED, "no data type is given");
    return NULL;
  }
  if (element->size == 0) {
    error_set(err, ERROR_FAILED, "data type %s is not supported", element->name);
    return NULL;
  }
  return element;
}

bool tensor_proto_dtype(int64_t data_type, enum dtype *dtype, struct error *err)
{
  const struct element *element = element_of(data_type, err);
  if (element)
    *dtype = element->dtype;
  return element;
}

/* Float data from here on are not copied out of the file. */
enum { IN_PLACE_BYTES = 64 << 10 };

/* A message as its fields were met; the last one of each wins. */
struct proto {
  struct wire message;
  const char *name;
  int64_t data_type;
  bool has_raw, external, in_segment;
  struct wire raw;
  const char *location; /* NULL: not given */
  bool has_length;
  uint64_t offset, length;
};

static bool parse_decimal(const struct wire *text, const char *what, uint64_t *out, struct error *err)
{
  uint64_t value = 0;
  for (const unsigned char *p = text->at; p < text->end; p++) {
    if (*p < '0' || *p > '9' || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
        __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
      return error_set(err, ERROR_FAILED, "%s of the external data is no number of bytes", what);
  }
  if (wire_size(text) == 0)
    return error_set(err, ERROR_FAILED, "%s of the external data is empty", what);
  *out = value;
  return true;
}

/* One key and value of external_data. Keys that do not say where the bytes are (checksum, …) are passed over. */
static bool read_external_entry(struct reader *reader, struct wire entry, struct proto *proto, struct error *err)
{
  struct wire_field field, key = {0}, value = {0};
  key.bytes = value.bytes = wire_of(NULL, 0);
  while (wire_next(&entry, &field, err)) {
    if (field.number != 1 && field.number != 2)
      continue;
    if (!wire_expect(&field, WIRE_BYTES, "external_data of a tensor", err))
      return false;
    *(field.number == 1 ? &key : &value) = field;
  }
  if (err->code)
    return false;
  if (wire_equals(&key.bytes, "location")) {
    if (wire_size(&value.bytes) == 0)
      return error_set(err, ERROR_FAILED, "the location of the external data is empty");
    proto->location = wire_text(&value, reader->arena, "location of external data", err);
    return proto->location;
  }
  if (wire_equals(&key.bytes, "offset"))
    return parse_decimal(&value.bytes, "the offset", &proto->offset, err);
  if (wire_equals(&key.bytes, "length"))
    return proto->has_length = parse_decimal(&value.bytes, "the length", &proto->length, err);
  return true;
}

static bool read_fields(struct reader *reader, struct wire message, struct proto *proto, struct error *err)
{
  struct wire_field field;
  while (wire_next(&message, &field, err)) {
    bool ok = true;
    switch (field.number) {
    case 2:
      ok = wire_expect(&field, WIRE_VARINT, "data_type of a tensor", err);
      proto->data_type = (int64_t)field.bits;
      break;
    case 3:
      proto->in_segment = true;
      break;
    case 8:
      proto->name = wire_text(&field, reader->arena, "name of a tensor", err);
      ok = proto->name;
      break;
    case 9:
      ok = wire_expect(&field, WIRE_BYTES, "raw_data of a tensor", err);
      proto->has_raw = true;
      proto->raw = field.bytes;
      break;
    case 13:
      ok = wire_expect(&field, WIRE_BYTES, "external_data of a tensor", err) &&
           read_external_entry(reader, field.bytes, proto, err);
      break;
    case 14:
      ok = wire_expect(&field, WIRE_VARINT, "data_location of a tensor", err);
      proto->external = field.bits == 1;
      if (ok && field.bits > 1)
        ok = error_set(err, ERROR_FAILED, "data_location %" PRIu64 " is unknown", field.bits);
      break;
    default:
      break;
    }
    if (!ok)
      return false;
  }
  return err->code == ERROR_NONE;
}

static bool read_shape(struct wire message, struct shape *shape, struct error *err)
{
  struct wire_numbers dims = wire_numbers(message, 1, WIRE_VARINT, "dims of a tensor");
  uint64_t bits;
  *shape = (struct shape){0};
  while (wire_number(&dims, &bits, err)) {
    int64_t dim = (int64_t)bits;
    if (shape->rank == TENSOR_MAX_RANK)
      return error_set(err, ERROR_FAILED, "more than %d dimensions", TENSOR_MAX_RANK);
    if (dim < 0)
      return error_set(err, ERROR_FAILED, "dimension %d is %" PRId64 ", at least 0 is needed", shape->rank, dim);
    shape->dim[shape->rank++] = dim;
  }
  if (err->code)
    return false;
  char text[96];
  if (shape_count(shape) < 0)
    return error_set(err, ERROR_FAILED, "shape %s has more than 2^40 elements", shape_text(shape, text, sizeof text));
  return true;
}

/* Little-endian elements as they lie in raw or external data. */
static bool convert_raw(const unsigned char *bytes, int64_t data_type, size_t count, void *out, struct error *err)
{
  float *f = out;
  int64_t *n = out;
  switch (data_type) {
  case TYPE_FLOAT:
    memcpy(f, bytes, count * sizeof *f);
    return true;
  case TYPE_DOUBLE:
    for (size_t i = 0; i < count; i++) {
      double value;
      memcpy(&value, bytes + 8 * i, sizeof value);
      f[i] = (float)value;
    }
    return true;
  case TYPE_FLOAT16:
  case TYPE_BFLOAT16:
    for (size_t i = 0; i < count; i++) {
      uint16_t half;
      memcpy(&half, bytes + 2 * i, sizeof half);
      uint32_t word = (uint32_t)half << 16; /* bfloat16 is the upper half of a float */
      if (data_type == TYPE_FLOAT16)
        f[i] = half_to_float(half);
      else
        memcpy(&f[i], &word, sizeof word);
    }
    return true;
  case TYPE_INT64:
    memcpy(n, bytes, count * sizeof *n);
    return true;
  case TYPE_UINT64:
    memcpy(n, bytes, count * sizeof *n);
    for (size_t i = 0; i < count; i++) {
      if (n[i] < 0)
        return error_set(err, ERROR_FAILED, "element %zu is %" PRIu64 ", more than the %" PRId64 " that is supported",
                         i, (uint64_t)n[i], INT64_MAX);
    }
    return true;
  default:
    break;
  }
  size_t size = elements[data_type].size;
  bool is_signed = data_type == TYPE_INT8 || data_type == TYPE_INT16 || data_type == TYPE_INT32;
  unsigned spare = 64 - 8 * (unsigned)size;
  for (size_t i = 0; i < count; i++) {
    uint64_t bits = 0;
    memcpy(&bits, bytes + size * i, size);
    if (data_type == TYPE_BOOL)
      n[i] = bits != 0;
    else
      n[i] = is_signed ? (int64_t)(bits << spare) >> spare : (int64_t)bits;
  }
  return true;
}

/* One number of int32_data, int64_data, …; false where it does not fit the type. */
static bool convert_typed(int64_t data_type, uint64_t bits, void *out, size_t i)
{
  static const int64_t low[] = {[TYPE_INT8] = INT8_MIN, [TYPE_INT16] = INT16_MIN, [TYPE_INT32] = INT32_MIN};
  static const int64_t high[] = {
      [TYPE_UINT8] = UINT8_MAX, [TYPE_INT8] = INT8_MAX,     [TYPE_UINT16] = UINT16_MAX, [TYPE_INT16] = INT16_MAX,
      [TYPE_INT32] = INT32_MAX, [TYPE_UINT32] = UINT32_MAX, [TYPE_UINT64] = INT64_MAX};
  float *f = out;
  int64_t *n = out;
  int64_t value = (int64_t)bits;
  if (elements[data_type].field == INT32_DATA)
    value = (int32_t)(uint32_t)bits; /* negative numbers come in 5 or 10 bytes */
  switch (data_type) {
  case TYPE_FLOAT:
    memcpy(&f[i], &bits, sizeof *f);
    return true;
  case TYPE_DOUBLE: {
    double wide;
    memcpy(&wide, &bits, sizeof wide);
    f[i] = (float)wide;
    return true;
  }
  case TYPE_FLOAT16:
  case TYPE_BFLOAT16: {
    uint32_t word = (uint32_t)value << 16;
    if (data_type == TYPE_FLOAT16)
      f[i] = half_to_float((uint16_t)value);
    else
      memcpy(&f[i], &word, sizeof word);
    return value >= INT16_MIN && value <= UINT16_MAX;
  }
  case TYPE_BOOL:
    n[i] = value != 0;
    return true;
  case TYPE_INT64:
    n[i] = value;
    return true;
  default:
    n[i] = value;
    return value >= (data_type < (int64_t)(sizeof low / sizeof *low) ? low[data_type] : 0) && value <= high[data_type];
  }
}

static bool read_typed(const struct proto *proto, const struct element *element, size_t count, void *out,
                       struct error *err)
{
  struct wire_numbers numbers = wire_numbers(proto->message, element->field, element->wire, "data of a tensor");
  uint64_t bits;
  for (size_t i = 0; i < count && wire_number(&numbers, &bits, err); i++) {
    if (!convert_typed(proto->data_type, bits, out, i))
      return error_set(err, ERROR_FAILED, "element %zu is %" PRId64 ", outside %s", i, (int64_t)bits, element->name);
  }
  return err->code == ERROR_NONE;
}

static bool size_error(const struct shape *shape, const struct element *element, size_t needed, size_t present,
                       const char *unit, struct error *err)
{
  char text[96];
  return error_set(err, ERROR_FAILED, "shape %s of %s needs %zu %s, the file holds %zu",
                   shape_text(shape, text, sizeof text), element->name, needed, unit, present);
}

/* The bytes of a tensor that is stored outside of the model. */
static bool find_external(struct reader *reader, const struct proto *proto, size_t needed, struct wire *bytes,
                          struct error *err)
{
  if (!proto->location)
    return error_set(err, ERROR_FAILED, "external data without a location");
  struct file_map map;
  if (!reader_external(reader, proto->location, &map, err))
    return false;
  if (proto->has_length && proto->length != needed)
    return error_set(err, ERROR_FAILED, "external data of %" PRIu64 " bytes, the shape needs %zu", proto->length,
                     needed);
  if (proto->offset > map.size || needed > map.size - proto->offset)
    return error_set(err, ERROR_FAILED, "%zu bytes from byte %" PRIu64 " on are not in '%.70s', which has %zu bytes",
                     needed, proto->offset, proto->location, map.size);
  *bytes = map.size ? wire_of(map.data + proto->offset, needed) : wire_of(NULL, 0);
  return true;
}

static bool read_tensor(struct reader *reader, const struct proto *proto, struct tensor *tensor, struct error *err)
{
  const struct element *element = element_of(proto->data_type, err);
  if (!element || !read_shape(proto->message, &tensor->shape, err))
    return false;
  if (proto->in_segment)
    return error_set(err, ERROR_FAILED, "data in segments are not supported");
  tensor->dtype = element->dtype;
  tensor->element = (int)proto->data_type;
  size_t count = (size_t)shape_count(&tensor->shape);
  size_t needed = count * element->size; /* both are bounded: no overflow */

  struct wire bytes = proto->raw;
  if (proto->external) {
    if (!find_external(reader, proto, needed, &bytes, err))
      return false;
  } else if (proto->has_raw) {
    if (wire_size(&bytes) != needed)
      return size_error(&tensor->shape, element, needed, wire_size(&bytes), "bytes", err);
  } else {
    size_t present;
    struct wire_numbers numbers = wire_numbers(proto->message, element->field, element->wire, "data of a tensor");
    if (!wire_count(numbers, &present, err))
      return false;
    if (present != count)
      return size_error(&tensor->shape, element, count, present, "numbers", err);
  }

  bool bytewise = proto->external || proto->has_raw;
  if (bytewise && proto->data_type == TYPE_FLOAT && needed >= IN_PLACE_BYTES) {
    tensor->data = (void *)(uintptr_t)bytes.at; /* constant data are never written to */
    return true;
  }
  tensor->data = reader_alloc(reader, count, dtype_size(tensor->dtype), "the weights", err);
  if (!tensor->data)
    return false;
  if (bytewise)
    return convert_raw(bytes.at, proto->data_type, count, tensor->data, err);
  return read_typed(proto, element, count, tensor->data, err);
}

bool tensor_proto_read(struct reader *reader, struct wire message, struct tensor *tensor, const char **name,
                       struct error *err)
{
  struct proto proto = {.message = message, .name = ""};
  *tensor = (struct tensor){0};
  bool ok = read_fields(reader, message, &proto, err) && read_tensor(reader, &proto, tensor, err);
  *name = proto.name;
  if (!ok && proto.name && *proto.name)
    return error_prefix(err, "tensor '%.70s'", proto.name);
  return ok;
}
