/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/node.h"
#include "unit.h"

#include <string.h>

static const int64_t pads[] = {1, 2, 3, 4};
static const struct attr attrs[] = {
    {.name = "group", .type = ATTR_INT, .i = 32},
    {.name = "epsilon", .type = ATTR_FLOAT, .f = 0.5f},
    {.name = "auto_pad", .type = ATTR_STRING, .s = "SAME_UPPER"},
    {.name = "pads", .type = ATTR_INTS, .ints = pads, .count = 4},
};
static struct value result = {.name = "features"};
static struct value *results[] = {NULL, &result};

static struct node conv(void)
{
  return (struct node){.name = "layer1/conv",
                       .type = "Conv",
                       .domain = "",
                       .opset = 13,
                       .attrs = attrs,
                       .n_attrs = 4,
                       .out = results,
                       .n_out = 2};
}

/* `call` reports to `failure`. */
#define ASSERT_ERROR(call, text)                                                                                       \
  do {                                                                                                                 \
    struct error failure = {0};                                                                                        \
    assert_false(call);                                                                                                \
    assert_int_equal(failure.code, ERROR_FAILED);                                                                      \
    assert_string_equal(failure.message, text);                                                                        \
  } while (0)

static void attributes(void **state)
{
  (void)state;
  struct node node = conv();
  struct error err = {0};
  int64_t i;
  double f;
  const char *s;
  assert_ptr_equal(node_attr(&node, "auto_pad"), &attrs[2]);
  assert_null(node_attr(&node, "auto"));
  assert_true(node_int(&node, "group", 1, &i, &err));
  assert_int_equal(i, 32);
  assert_true(node_int(&node, "axis", -1, &i, &err));
  assert_int_equal(i, -1);
  assert_true(node_float(&node, "epsilon", 1e-5, &f, &err));
  assert_true(f == 0.5);
  assert_true(node_float(&node, "alpha", 0.01, &f, &err));
  assert_true(f == 0.01);
  assert_true(node_string(&node, "auto_pad", "NOTSET", &s, &err));
  assert_string_equal(s, "SAME_UPPER");
  assert_true(node_string(&node, "mode", "nearest", &s, &err));
  assert_string_equal(s, "nearest");
  assert_int_equal(err.code, ERROR_NONE);

  ASSERT_ERROR(node_int(&node, "pads", 0, &i, &failure),
               "Conv 'layer1/conv' (opset 13): attribute pads is not an integer");
  ASSERT_ERROR(node_float(&node, "group", 0, &f, &failure),
               "Conv 'layer1/conv' (opset 13): attribute group is not a real number");
  ASSERT_ERROR(node_string(&node, "group", "", &s, &failure),
               "Conv 'layer1/conv' (opset 13): attribute group is not a text");
}

static void lists(void **state)
{
  (void)state;
  struct node node = conv();
  struct error err = {0};
  int64_t list[4] = {0};
  int count = -1;
  assert_true(node_ints(&node, "pads", list, 4, &count, &err));
  assert_int_equal(count, 4);
  assert_memory_equal(list, pads, sizeof pads);
  assert_true(node_ints(&node, "strides", list, 4, &count, &err));
  assert_int_equal(count, 0);
  ASSERT_ERROR(node_ints(&node, "pads", list, 3, &count, &failure),
               "Conv 'layer1/conv' (opset 13): attribute pads has 4 values, at most 3 are allowed");
  ASSERT_ERROR(node_ints(&node, "group", list, 4, &count, &failure),
               "Conv 'layer1/conv' (opset 13): attribute group is not a list of integers");
}

static void constant_inputs(void **state)
{
  (void)state;
  struct node node = conv();
  float real[] = {1};
  int64_t list[4];
  int count;
  struct value values[] = {
      {.name = "sizes", .t = {.shape = {1, {4}}, .dtype = DTYPE_I64, .data = (void *)(uintptr_t)pads}},
      {.name = "axis", .t = {.shape = {0, {0}}, .dtype = DTYPE_I64, .data = (void *)(uintptr_t)pads}},
      {.name = "scale", .t = {.shape = {1, {1}}, .dtype = DTYPE_F32, .data = real}},
      {.name = "computed", .t = {.shape = {1, {4}}, .dtype = DTYPE_I64}},
      {.name = "table", .t = {.shape = {2, {2, 2}}, .dtype = DTYPE_I64, .data = (void *)(uintptr_t)pads}},
  };
  struct value *in[] = {&values[0], &values[1], &values[2], &values[3], &values[4], NULL};
  node.in = in;
  node.n_in = 6;
  struct error err = {0};
  assert_true(node_has(&node, 0));
  assert_false(node_has(&node, 5));
  assert_false(node_has(&node, 6));
  assert_true(node_const_ints(&node, 0, list, 4, &count, &err));
  assert_int_equal(count, 4);
  assert_memory_equal(list, pads, sizeof pads);
  assert_true(node_const_ints(&node, 1, list, 4, &count, &err));
  assert_int_equal(count, 1);
  assert_int_equal(list[0], 1);
  ASSERT_ERROR(node_const_ints(&node, 0, list, 3, &count, &failure),
               "Conv 'layer1/conv' (opset 13): input 0 ('sizes') has shape 4, at most 3 values in one row are allowed");
  ASSERT_ERROR(node_const_ints(&node, 2, list, 4, &count, &failure),
               "Conv 'layer1/conv' (opset 13): input 2 ('scale') does not hold integers");
  ASSERT_ERROR(node_const_ints(&node, 3, list, 4, &count, &failure),
               "Conv 'layer1/conv' (opset 13): input 3 ('computed') is computed from the image, only constants are "
               "supported here");
  ASSERT_ERROR(
      node_const_ints(&node, 4, list, 4, &count, &failure),
      "Conv 'layer1/conv' (opset 13): input 4 ('table') has shape 2x2, at most 4 values in one row are allowed");
  ASSERT_ERROR(node_const_ints(&node, 5, list, 4, &count, &failure),
               "Conv 'layer1/conv' (opset 13): input 5 is missing");
  ASSERT_ERROR(node_const_ints(&node, 9, list, 4, &count, &failure),
               "Conv 'layer1/conv' (opset 13): input 9 is missing");
}

static void names(void **state)
{
  (void)state;
  struct node node = conv();
  node.name = ""; /* then by what it makes */
  ASSERT_ERROR(node_error(&node, &failure, "group %d is outside 1..8", 9),
               "Conv 'features' (opset 13): group 9 is outside 1..8");
  node.domain = "com.example";
  node.n_out = 0;
  ASSERT_ERROR(node_error(&node, &failure, "unknown"), "com.example.Conv '' (opset 13): unknown");

  struct error err = {0};
  char long_name[1000];
  memset(long_name, 'x', sizeof long_name - 1);
  long_name[sizeof long_name - 1] = '\0';
  node = conv();
  node.name = node.type = long_name;
  assert_false(node_error(&node, &err, "the cause"));
  assert_non_null(strstr(err.message, "the cause")); /* is never pushed out by a long name */
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(attributes),
      cmocka_unit_test(lists),
      cmocka_unit_test(constant_inputs),
      cmocka_unit_test(names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
