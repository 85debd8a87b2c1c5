/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors of an ONNX file: every type in every encoding, and what is refused. */
#include "base/half.h"
#include "models.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Every number type, in raw data, in its typed field packed and unpacked, against values written down here. */
static const struct {
  int type;
  uint32_t field;
  char wire; /* of the typed field: v(arint), f(ixed32), d(ouble) */
  size_t size;
  uint64_t raw[4];
  double expected[4];
} encodings[] = {
    {FLOAT, 4, 'f', 4, {0x3f800000, 0xc0200000, 0x00000001, 0x7f800000}, {1, -2.5, 0x1p-149, INFINITY}},
    {UINT8, 5, 'v', 1, {0, 127, 128, 255}, {0, 127, 128, 255}},
    {INT8, 5, 'v', 1, {0, 127, 0x80, 0xff}, {0, 127, -128, -1}},
    {UINT16, 5, 'v', 2, {0, 1, 0x8000, 0xffff}, {0, 1, 32768, 65535}},
    {INT16, 5, 'v', 2, {0, 1, 0x8000, 0xffff}, {0, 1, -32768, -1}},
    {INT32, 5, 'v', 4, {0, 1, 0x80000000, 0xffffffff}, {0, 1, -2147483648.0, -1}},
    {INT64, 7, 'v', 8, {0, 1, 1ull << 52, UINT64_MAX}, {0, 1, 0x1p52, -1}},
    {BOOL, 5, 'v', 1, {0, 1, 1, 0}, {0, 1, 1, 0}},
    {FLOAT16, 5, 'v', 2, {0x3c00, 0xc100, 0x0001, 0x7bff}, {1, -2.5, 0x1p-24, 65504}},
    {DOUBLE, 10, 'd', 8, {0x3ff0000000000000, 0xc004000000000000, 0, 0x7ff0000000000000}, {1, -2.5, 0, INFINITY}},
    {UINT32, 11, 'v', 4, {0, 1, 0x80000000, 0xffffffff}, {0, 1, 2147483648.0, 4294967295.0}},
    {UINT64, 11, 'v', 8, {0, 1, 1ull << 52, 1ull << 62}, {0, 1, 0x1p52, 0x1p62}},
    {BFLOAT16, 5, 'v', 2, {0x3f80, 0xc020, 0x0001, 0x7f80}, {1, -2.5, 0x1p-133, INFINITY}},
};

static void reads_every_encoding(void **state)
{
  (void)state;
  enum { RAW, PACKED, UNPACKED, WAYS };
  for (size_t k = 0; k < sizeof encodings / sizeof *encodings; k++) {
    for (int way = 0; way < WAYS; way++) {
      struct proto tensor = tensor_new("t", encodings[k].type, 2, (int64_t[]){2, 2}), list = {0};
      for (int i = 0; i < 4; i++) {
        uint64_t bits = encodings[k].raw[i];
        /* Typed fields hold small signed numbers as numbers, sign and all. */
        if (way != RAW && encodings[k].field == 5 && encodings[k].expected[i] < 0 && bits != 0xc100 && bits != 0xc020)
          bits = (uint64_t)(int64_t)encodings[k].expected[i];
        if (way == RAW || (way == PACKED && encodings[k].wire != 'v')) {
          put_raw(&list, &bits, encodings[k].size);
        } else if (way == PACKED) {
          put_number(&list, bits);
        } else {
          put_number(&tensor, encodings[k].field << 3 | (encodings[k].wire == 'f' ? 5 : encodings[k].wire == 'd'));
          if (encodings[k].wire == 'v')
            put_number(&tensor, bits);
          else
            put_raw(&tensor, &bits, encodings[k].size);
        }
      }
      if (way != UNPACKED)
        put_bytes(&tensor, way == RAW ? 9 : encodings[k].field, list.bytes, list.size);
      proto_free(&list);
      struct model m = sound();
      put_message(&m.graph, 5, &tensor);
      struct proto bytes;
      struct onnx_model model;
      struct error err = {0};
      bool ok = load(&m, &bytes, &model, &err);
      if (!ok)
        print_message("# type %d: %s\n", encodings[k].type, err.message);
      assert_true(ok);
      const struct tensor *t = &value_named(model.graph, "t")->t;
      bool real = encodings[k].type == FLOAT || encodings[k].type == FLOAT16 || encodings[k].type == DOUBLE ||
                  encodings[k].type == BFLOAT16;
      assert_int_equal(t->dtype, real ? DTYPE_F32 : DTYPE_I64);
      assert_int_equal(t->element, encodings[k].type);
      for (int i = 0; i < 4; i++) {
        double value = real ? (double)((float *)t->data)[i] : (double)((int64_t *)t->data)[i];
        if (value != encodings[k].expected[i])
          print_message("# type %d way %d element %d: %g\n", encodings[k].type, way, i, value);
        assert_true(value == encodings[k].expected[i]);
      }
      onnx_unload(&model);
      proto_free(&bytes);
    }
  }
}

/* All 65536 halves: the value by its definition. */
static void converts_halves(void **state)
{
  (void)state;
  for (uint32_t bits = 0; bits < 65536; bits++) {
    int exponent = (int)(bits >> 10 & 31), fraction = (int)(bits & 1023), sign = bits >> 15 ? -1 : 1;
    float value = half_to_float((uint16_t)bits);
    if (exponent == 31 && fraction) {
      uint32_t word;
      memcpy(&word, &value, sizeof word);
      assert_int_equal(word, bits >> 15 << 31 | 0x7f800000 | (uint32_t)fraction << 13);
    } else if (exponent == 31) {
      assert_true(value == sign * INFINITY);
    } else {
      assert_true((double)value == sign * (exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24)));
      assert_int_equal(signbit(value) != 0, sign < 0);
    }
  }
}

static void leaves_big_weights_in_place(void **state)
{
  (void)state;
  enum { COUNT = 16384 }; /* 64 KB of floats */
  float *weights = calloc(COUNT, sizeof *weights);
  for (int i = 0; i < COUNT; i++)
    weights[i] = (float)i;
  struct model m = sound();
  struct proto big = tensor_new("big", FLOAT, 1, (int64_t[]){COUNT});
  put_bytes(&big, 9, weights, COUNT * sizeof *weights);
  put_message(&m.graph, 5, &big);
  struct proto small = tensor_new("small", FLOAT, 1, (int64_t[]){COUNT - 1});
  put_bytes(&small, 9, weights, (COUNT - 1) * sizeof *weights);
  put_message(&m.graph, 5, &small);
  struct proto bytes;
  struct onnx_model model;
  struct error err = {0};
  assert_true(load(&m, &bytes, &model, &err));
  const unsigned char *at = value_named(model.graph, "big")->t.data;
  assert_true(at > bytes.bytes && at < bytes.bytes + bytes.size);
  assert_memory_equal(at, weights, COUNT * sizeof *weights);
  at = value_named(model.graph, "small")->t.data;
  assert_false(at >= bytes.bytes && at < bytes.bytes + bytes.size);
  assert_int_equal((uintptr_t)at % MEM_ALIGN, 0);
  assert_memory_equal(at, weights, (COUNT - 1) * sizeof *weights);
  onnx_unload(&model);
  proto_free(&bytes);
  free(weights);
}

static void reads_empty_tensors_and_scalars(void **state)
{
  (void)state;
  struct model m = sound();
  struct proto tensor = tensor_new("empty", FLOAT, 2, (int64_t[]){0, (int64_t)1 << 62});
  put_message(&m.graph, 5, &tensor);
  tensor = tensor_new("empty_raw", INT64, 1, (int64_t[]){0});
  put_bytes(&tensor, 9, "", 0);
  put_message(&m.graph, 5, &tensor);
  tensor = tensor_new("scalar", INT64, 0, NULL);
  put_varint(&tensor, 7, 42);
  put_message(&m.graph, 5, &tensor);
  struct proto bytes;
  struct onnx_model model;
  struct error err = {0};
  assert_true(load(&m, &bytes, &model, &err));
  assert_non_null(value_named(model.graph, "empty")->t.data);
  assert_non_null(value_named(model.graph, "empty_raw")->t.data);
  const struct tensor *scalar = &value_named(model.graph, "scalar")->t;
  assert_int_equal(scalar->shape.rank, 0);
  assert_int_equal(*(int64_t *)scalar->data, 42);
  onnx_unload(&model);
  proto_free(&bytes);
}

static void expect_tensor_error(struct proto *tensor, const char *message)
{
  struct model m = sound();
  put_message(&m.graph, 5, tensor);
  expect_error(&m, message);
}

static void refuses_tensors(void **state)
{
  (void)state;
  struct proto t = tensor_new("t", FLOAT, 2, (int64_t[]){2, 3});
  put_bytes(&t, 9, "1234", 4);
  expect_tensor_error(&t, "tensor 't': shape 2x3 of float needs 24 bytes, the file holds 4");
  t = tensor_new("t", FLOAT, 2, (int64_t[]){2, 3});
  put_float(&t, 4, 1);
  expect_tensor_error(&t, "tensor 't': shape 2x3 of float needs 6 numbers, the file holds 1");
  t = tensor_new("t", INT8, 1, (int64_t[]){1});
  put_varint(&t, 5, 128);
  expect_tensor_error(&t, "tensor 't': element 0 is 128, outside int8");
  t = tensor_new("t", UINT8, 1, (int64_t[]){1});
  put_varint(&t, 5, (uint64_t)-1);
  expect_tensor_error(&t, "tensor 't': element 0 is -1, outside uint8");
  t = tensor_new("t", UINT64, 1, (int64_t[]){2});
  put_bytes(&t, 9, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x80", 16);
  expect_tensor_error(&t, "tensor 't': element 1 is 9223372036854775808, more than the 9223372036854775807 that is "
                          "supported");
  t = tensor_new("t", STRING, 1, (int64_t[]){1});
  put_text(&t, 6, "text");
  expect_tensor_error(&t, "tensor 't': data type string is not supported");
  t = tensor_new("t", COMPLEX128, 1, (int64_t[]){0});
  expect_tensor_error(&t, "tensor 't': data type complex128 is not supported");
  t = tensor_new("t", 17, 1, (int64_t[]){0});
  expect_tensor_error(&t, "tensor 't': data type 17 is not supported (float8, int4 and the like)");
  t = tensor_new("t", -1, 1, (int64_t[]){0});
  expect_tensor_error(&t, "tensor 't': data type -1 is not supported (float8, int4 and the like)");
  t = tensor_new("t", 0, 1, (int64_t[]){0});
  expect_tensor_error(&t, "tensor 't': no data type is given");
  t = tensor_new(NULL, FLOAT, 1, (int64_t[]){0});
  expect_tensor_error(&t, "initializer 1: no name is given");
  t = tensor_new("t", FLOAT, 9, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1});
  expect_tensor_error(&t, "tensor 't': more than 8 dimensions");
  t = tensor_new("t", FLOAT, 2, (int64_t[]){3, -4});
  expect_tensor_error(&t, "tensor 't': dimension 1 is -4, at least 0 is needed");
  t = tensor_new("t", FLOAT, 2, (int64_t[]){(int64_t)1 << 33, (int64_t)1 << 33});
  expect_tensor_error(&t, "tensor 't': shape 8589934592x8589934592 has more than 2^40 elements");
  t = tensor_new("t", FLOAT, 1, (int64_t[]){0});
  put_text(&t, 3, "");
  expect_tensor_error(&t, "tensor 't': data in segments are not supported");
  t = tensor_new("t", FLOAT, 1, (int64_t[]){0});
  put_varint(&t, 14, 2);
  expect_tensor_error(&t, "tensor 't': data_location 2 is unknown");
  t = tensor_new("t", FLOAT, 1, (int64_t[]){0});
  put_varint(&t, 14, 1);
  expect_tensor_error(&t, "tensor 't': external data without a location");
  t = tensor_new("t", FLOAT, 1, (int64_t[]){0});
  struct proto entry = {0};
  put_text(&entry, 1, "location"), put_text(&entry, 2, "weights.bin"), put_message(&t, 13, &entry);
  put_varint(&t, 14, 1);
  expect_tensor_error(&t, "tensor 't': external data ('weights.bin') are read only for a model that is a local file");
  struct model m = sound();
  put_text(&m.graph, 15, "");
  expect_error(&m, "sparse initializers are not supported");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_every_encoding),
      cmocka_unit_test(converts_halves),
      cmocka_unit_test(leaves_big_weights_in_place),
      cmocka_unit_test(reads_empty_tensors_and_scalars),
      cmocka_unit_test(refuses_tensors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
