/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "onnx/wire.h"
#include "proto.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

/* Bytes in an allocation of just their size, so that a read beyond them is seen. */
static struct proto exact(const struct proto *p)
{
  struct proto copy = {.bytes = malloc(p->size ? p->size : 1), .size = p->size};
  assert_non_null(copy.bytes);
  if (p->size)
    memcpy(copy.bytes, p->bytes, p->size);
  return copy;
}

static void reads_fields(void **state)
{
  (void)state;
  static const uint64_t numbers[] = {0, 1, 127, 128, 300, UINT32_MAX, INT64_MAX, UINT64_MAX};
  struct proto p = {0};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    put_varint(&p, 7, numbers[i]);
  put_float(&p, 2, 1.5f);
  put_double(&p, 536870911, -2.5); /* the greatest field number */
  put_text(&p, 3, "text");
  put_text(&p, 16, "");

  struct proto copy = exact(&p);
  struct wire wire = wire_of(copy.bytes, copy.size);
  struct wire_field field;
  struct error err = {0};
  size_t position = 0;
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    assert_true(wire_next(&wire, &field, &err));
    assert_int_equal(field.number, 7);
    assert_int_equal(field.type, WIRE_VARINT);
    assert_true(field.bits == numbers[i]);
    assert_int_equal(field.position, position);
    position = (size_t)(wire.at - wire.file);
  }
  float f;
  double d;
  assert_true(wire_next(&wire, &field, &err));
  assert_int_equal(field.type, WIRE_FIXED32);
  memcpy(&f, &field.bits, sizeof f);
  assert_true(f == 1.5f);
  assert_true(wire_next(&wire, &field, &err));
  assert_int_equal(field.number, 536870911);
  memcpy(&d, &field.bits, sizeof d);
  assert_true(d == -2.5);
  assert_true(wire_next(&wire, &field, &err));
  assert_true(wire_equals(&field.bytes, "text"));
  assert_false(wire_equals(&field.bytes, "tex"));
  assert_false(wire_equals(&field.bytes, "texts"));
  assert_true(wire_next(&wire, &field, &err));
  assert_int_equal(wire_size(&field.bytes), 0);
  assert_true(wire_equals(&field.bytes, ""));
  assert_false(wire_next(&wire, &field, &err));
  assert_false(wire_next(&wire, &field, &err));
  assert_int_equal(err.code, ERROR_NONE);
  proto_free(&copy);
  proto_free(&p);

  wire = wire_of(NULL, 0);
  assert_false(wire_next(&wire, &field, &err));
  assert_int_equal(err.code, ERROR_NONE);
}

static void refuses(void **state)
{
  (void)state;
  static const struct {
    const char *bytes;
    size_t size;
    const char *message;
  } cases[] = {
      {"\x08", 1, "byte 1: a number is cut off: the file is truncated or damaged"},
      {"\x08\x80", 2, "byte 1: a number is cut off: the file is truncated or damaged"},
      {"\x88", 1, "byte 0: a number is cut off: the file is truncated or damaged"},
      {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11,
       "byte 1: a number has more than 64 bits: this is no protobuf, or a damaged one"},
      {"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12,
       "byte 1: a number has more than 64 bits: this is no protobuf, or a damaged one"},
      {"\x00\x00", 2, "byte 0: no protobuf field starts with 0"},
      {"\x80\x80\x80\x80\x10\x00", 6, "byte 0: no protobuf field starts with 4294967296"},
      {"\x0b\x0c", 2, "byte 0: field 1 has wire type 3: this is no ONNX model, or a damaged one"},
      {"\x0c", 1, "byte 0: field 1 has wire type 4: this is no ONNX model, or a damaged one"},
      {"\x0e", 1, "byte 0: field 1 has wire type 6: this is no ONNX model, or a damaged one"},
      {"\x0f", 1, "byte 0: field 1 has wire type 7: this is no ONNX model, or a damaged one"},
      {"\x0d\x00\x00\x00", 4, "byte 1: a number of 4 bytes is cut off: the file is truncated or damaged"},
      {"\x09\x00\x00\x00\x00\x00\x00\x00", 8,
       "byte 1: a number of 8 bytes is cut off: the file is truncated or damaged"},
      {"\x0a\x03xx", 4, "byte 1: a field of 3 bytes where 2 are left: the file is truncated or damaged"},
      {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", 12,
       "byte 1: a field of 18446744073709551615 bytes where 1 are left: the file is truncated or damaged"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct proto p = {.bytes = (unsigned char *)(uintptr_t)cases[i].bytes, .size = cases[i].size}, copy = exact(&p);
    struct wire wire = wire_of(copy.bytes, copy.size);
    struct wire_field field;
    struct error err = {0};
    assert_false(wire_next(&wire, &field, &err));
    assert_int_equal(err.code, ERROR_FAILED);
    assert_string_equal(err.message, cases[i].message);
    assert_false(wire_next(&wire, &field, &err)); /* there is no going on */
    proto_free(&copy);
  }
}

static void reads_texts(void **state)
{
  (void)state;
  struct proto p = {0};
  put_text(&p, 1, "conv1");
  put_bytes(&p, 1, "con\0v1", 6);
  put_text(&p, 1, "");
  put_bytes(&p, 1, "\xff\xfe", 2); /* no UTF-8, and none is asked for */
  put_varint(&p, 1, 5);
  struct wire wire = wire_of(p.bytes, p.size);
  struct wire_field field;
  struct arena *arena = arena_new(0);
  struct error err = {0};
  assert_true(wire_next(&wire, &field, &err));
  assert_string_equal(wire_text(&field, arena, "name", &err), "conv1");
  assert_true(wire_next(&wire, &field, &err));
  assert_null(wire_text(&field, arena, "name of a node", &err));
  assert_string_equal(err.message, "byte 7: name of a node holds a zero byte");
  err = (struct error){0};
  assert_true(wire_next(&wire, &field, &err));
  assert_string_equal(wire_text(&field, arena, "name", &err), "");
  assert_true(wire_next(&wire, &field, &err));
  assert_string_equal(wire_text(&field, arena, "name", &err), "\xff\xfe");
  assert_true(wire_next(&wire, &field, &err));
  assert_null(wire_text(&field, arena, "name of a node", &err));
  assert_string_equal(err.message, "byte 21: name of a node has wire type 0, not 2");
  arena_free(arena);
  proto_free(&p);
}

static void reads_packed_and_unpacked_numbers(void **state)
{
  (void)state;
  struct proto p = {0}, packed = {0};
  put_varint(&p, 8, 1);
  put_number(&packed, 300);
  put_number(&packed, UINT64_MAX);
  put_message(&p, 8, &packed);
  put_text(&p, 8, ""); /* an empty packed list */
  put_text(&p, 9, "another field");
  put_varint(&p, 8, 4);

  struct error err = {0};
  struct wire_numbers numbers = wire_numbers(wire_of(p.bytes, p.size), 8, WIRE_VARINT, "ints");
  size_t count;
  assert_true(wire_count(numbers, &count, &err));
  assert_int_equal(count, 4);
  static const uint64_t expected[] = {1, 300, UINT64_MAX, 4};
  uint64_t bits;
  for (int i = 0; i < 4; i++) {
    assert_true(wire_number(&numbers, &bits, &err));
    assert_true(bits == expected[i]);
  }
  assert_false(wire_number(&numbers, &bits, &err));
  assert_int_equal(err.code, ERROR_NONE);
  proto_free(&p);

  put_float(&p, 4, 0.5f);
  float floats[] = {1, 2, 3};
  put_bytes(&p, 4, floats, sizeof floats);
  numbers = wire_numbers(wire_of(p.bytes, p.size), 4, WIRE_FIXED32, "float_data");
  assert_true(wire_count(numbers, &count, &err));
  assert_int_equal(count, 4);
  put_bytes(&p, 4, floats, 7); /* no whole number of floats */
  numbers = wire_numbers(wire_of(p.bytes, p.size), 4, WIRE_FIXED32, "float_data");
  assert_false(wire_count(numbers, &count, &err));
  assert_int_equal(count, 5);
  assert_non_null(strstr(err.message, "a number of 4 bytes is cut off"));
  proto_free(&p);

  err = (struct error){0};
  put_double(&p, 4, 1);
  numbers = wire_numbers(wire_of(p.bytes, p.size), 4, WIRE_FIXED32, "float_data");
  assert_false(wire_number(&numbers, &bits, &err));
  assert_string_equal(err.message, "byte 0: float_data has wire type 1, not 5");
  proto_free(&p);
}

/* Whatever the bytes, reading ends, and stays inside them. */
static void survives_noise(void **state)
{
  (void)state;
  for (uint64_t seed = 0; seed < 20000; seed++) {
    struct proto p = {0};
    uint32_t size = rng_below(seed, RNG_NOISE, 0, 0, 40);
    for (uint32_t i = 0; i < size; i++) {
      unsigned char byte = (unsigned char)rng_bits(seed, RNG_NOISE, 1, i);
      if (rng_below(seed, RNG_NOISE, 2, i, 2))
        byte &= 0x1f; /* more often something that begins a field */
      put_raw(&p, &byte, 1);
    }
    struct proto copy = exact(&p);
    struct wire wire = wire_of(copy.bytes, copy.size);
    struct wire_field field;
    struct error err = {0};
    const unsigned char *before = wire.at;
    while (wire_next(&wire, &field, &err)) {
      assert_true(wire.at > before && wire.at <= wire.end);
      if (field.type == WIRE_BYTES)
        assert_true(field.bytes.at >= before && field.bytes.end <= wire.at && field.bytes.at <= field.bytes.end);
      before = wire.at;
    }
    static const enum wire_type types[] = {WIRE_VARINT, WIRE_FIXED32, WIRE_FIXED64};
    for (int t = 0; t < 3; t++) {
      err = (struct error){0};
      size_t count;
      (void)wire_count(wire_numbers(wire_of(copy.bytes, copy.size), 1, types[t], "numbers"), &count, &err);
      assert_true(count <= copy.size);
    }
    proto_free(&copy);
    proto_free(&p);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_fields),   cmocka_unit_test(refuses),
      cmocka_unit_test(reads_texts),    cmocka_unit_test(reads_packed_and_unpacked_numbers),
      cmocka_unit_test(survives_noise),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
