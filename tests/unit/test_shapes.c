/* SPDX-License-Identifier: Apache-2.0 */
/* reshape.c, constant.c, transpose.c and output.c: what follows from shapes alone. */
#include "operator.h"
#include "ops/output.h"

#define INTS(n, ...)                                                                                                   \
  {                                                                                                                    \
    .dtype = DTYPE_I64, .rank = 1, .dim = {n}, .values = (const double[])                                              \
    {                                                                                                                  \
      __VA_ARGS__                                                                                                      \
    }                                                                                                                  \
  }

static void expect_shape(const struct operator_spec *spec, bool view, int rank, const int64_t *dim)
{
  struct operator_result results[OPERATOR_OUTPUTS];
  struct error err = {0};
  if (!operator_run(spec, 0, 2, results, &err))
    fail_msg("%s", err.message);
  const struct shape expected = shape_of(rank, dim);
  char a[96], b[96];
  if (!shape_equal(&results[0].t.shape, &expected))
    fail_msg("%s: %s, not %s", spec->type, shape_text(&results[0].t.shape, a, sizeof a),
             shape_text(&expected, b, sizeof b));
  assert_int_equal(results[0].is_view, view);
  operator_free(results);
}
#define DIMS(...)                                                                                                      \
  (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[])                                   \
  {                                                                                                                    \
    __VA_ARGS__                                                                                                        \
  }
#define IN234                                                                                                          \
  {                                                                                                                    \
    .rank = 3, .dim = { 2, 3, 4 }                                                                                      \
  }

static void reshape(void **state)
{
  (void)state;
  expect_shape(&(struct operator_spec){.type = "Reshape", .n_in = 2, .in = {IN234, INTS(2, 4, 6)}}, true, DIMS(4, 6));
  expect_shape(&(struct operator_spec){.type = "Reshape", .n_in = 2, .in = {IN234, INTS(3, 0, -1, 2)}}, true,
               DIMS(2, 6, 2));
  expect_shape(&(struct operator_spec){.type = "Reshape",
                                       .n_in = 2,
                                       .in = {{.rank = 2, .dim = {0, 3}}, INTS(2, 3, 0)},
                                       .attrs = {INT_ATTR("allowzero", 1)},
                                       .n_attrs = 1,
                                       .opset = 14},
               true, DIMS(3, 0));
  operator_refuses(&(struct operator_spec){.type = "Reshape", .n_in = 2, .in = {IN234, INTS(2, 5, 5)}},
                   "2x3x4 cannot become 5x5");
  operator_refuses(&(struct operator_spec){.type = "Reshape", .n_in = 2, .in = {IN234, INTS(2, -1, 7)}},
                   "2x3x4 cannot be divided into the new shape: 24 elements by 7");
  operator_refuses(&(struct operator_spec){.type = "Reshape", .n_in = 2, .in = {IN234, INTS(2, -1, -1)}},
                   "dimension 1 of the new shape is -1");
  operator_refuses(&(struct operator_spec){.type = "Reshape", .n_in = 2, .in = {IN234, INTS(4, 2, 3, 4, 0)}},
                   "dimension 3 is to be kept, but the input has shape 2x3x4");
  operator_refuses(&(struct operator_spec){.type = "Reshape", .n_in = 2, .in = {IN234, INTS(3, 4e18, 4e18, 4e18)}},
                   "the new shape is too large");
  operator_refuses(
      &(struct operator_spec){.type = "Reshape", .n_in = 2, .in = {IN234, {.dtype = DTYPE_I64, .rank = 1, .dim = {2}}}},
      "is computed from the image, only constants are supported here");
  expect_shape(&(struct operator_spec){.type = "Flatten", .n_in = 1, .in = {IN234}}, true, DIMS(2, 12));
  expect_shape(
      &(struct operator_spec){
          .type = "Flatten", .n_in = 1, .in = {IN234}, .attrs = {INT_ATTR("axis", -1)}, .n_attrs = 1},
      true, DIMS(6, 4));
  operator_refuses(
      &(struct operator_spec){
          .type = "Flatten", .n_in = 1, .in = {IN234}, .attrs = {INT_ATTR("axis", 4)}, .n_attrs = 1},
      "axis 4 is outside -3..3");
}

static void squeeze(void **state)
{
  (void)state;
  const struct operator_input in = {.rank = 4, .dim = {1, 3, 1, 2}};
  expect_shape(&(struct operator_spec){.type = "Squeeze", .n_in = 1, .in = {in}}, true, DIMS(3, 2));
  expect_shape(&(struct operator_spec){.type = "Squeeze", .n_in = 2, .in = {in, INTS(1, -2)}}, true, DIMS(1, 3, 2));
  expect_shape(
      &(struct operator_spec){
          .type = "Squeeze", .opset = 11, .n_in = 1, .in = {in}, .attrs = {INTS_ATTR("axes", 1, 0)}, .n_attrs = 1},
      true, DIMS(3, 1, 2));
  operator_refuses(&(struct operator_spec){.type = "Squeeze", .n_in = 2, .in = {in, INTS(1, 1)}},
                   "axis 1 of shape 1x3x1x2 is not 1");
  expect_shape(&(struct operator_spec){.type = "Unsqueeze", .n_in = 2, .in = {IN234, INTS(2, 0, -1)}}, true,
               DIMS(1, 2, 3, 4, 1));
  operator_refuses(&(struct operator_spec){.type = "Unsqueeze", .n_in = 2, .in = {IN234, INTS(2, 1, 1)}},
                   "axis 1 is given twice");
}

/* Dropout's mask is made only where somebody reads it. */
static void dropout(void **state)
{
  (void)state;
  struct operator_result results[OPERATOR_OUTPUTS];
  struct operator_spec spec = {.type = "Dropout", .n_in = 1, .in = {IN234}};
  expect_shape(&spec, true, DIMS(2, 3, 4));
  spec.n_out = 2;
  operator_check(&spec, 0, results);
  for (int i = 0; i < 72; i++)
    assert_true(results[1].numbers[i] == 1);
  operator_free(results);
  operator_refuses(
      &(struct operator_spec){.type = "Dropout",
                              .n_in = 3,
                              .in = {IN234, {.absent = true}, {.dtype = DTYPE_I64, .values = (const double[]){1}}}},
      "training mode is not supported");
}

static void constants(void **state)
{
  (void)state;
  const struct operator_input map = {.rank = 4, .dim = {1, 8, 5, 6}, .channels_last = true};
  operator_gives(&(struct operator_spec){.type = "Shape", .n_in = 1, .in = {map}}, (const double[]){1, 8, 5, 6}, 4);
  operator_gives(&(struct operator_spec){.type = "Shape",
                                         .opset = 15,
                                         .n_in = 1,
                                         .in = {map},
                                         .n_attrs = 2,
                                         .attrs = {INT_ATTR("start", -3), INT_ATTR("end", -1)}},
                 (const double[]){8, 5}, 2);
  operator_gives(&(struct operator_spec){.type = "Size", .n_in = 1, .in = {map}}, (const double[]){240}, 1);
  operator_gives(
      &(struct operator_spec){.type = "Constant", .attrs = {INTS_ATTR("value_ints", 2, 5, -6)}, .n_attrs = 1},
      (const double[]){5, -6}, 2);
  operator_gives(&(struct operator_spec){.type = "ConstantOfShape", .n_in = 1, .in = {INTS(2, 2, 2)}},
                 (const double[]){0, 0, 0, 0}, 4);
  /* A hundred bytes of file may not ask for a machine full of memory. */
  operator_refuses(&(struct operator_spec){.type = "ConstantOfShape", .n_in = 1, .in = {INTS(2, 200000, 200000)}},
                   "output 200000x200000 has more than 2147483648 elements");
  operator_refuses(&(struct operator_spec){.type = "ConstantOfShape", .n_in = 1, .in = {INTS(3, 0, 4e9, 4e9)}},
                   "output 0x4000000000x4000000000 has more than 2147483648 elements");
  const struct operator_input start = {.values = (const double[]){1}}, end = {.values = (const double[]){2.6}},
                              step = {.values = (const double[]){0.5}}, zero = {.values = (const double[]){0}};
  operator_gives(&(struct operator_spec){.type = "Range", .n_in = 3, .in = {start, end, step}},
                 (const double[]){1, 1.5, 2, 2.5}, 4);
  operator_gives(&(struct operator_spec){.type = "Range", .n_in = 3, .in = {end, start, step}}, NULL, 0);
  operator_refuses(&(struct operator_spec){.type = "Range", .n_in = 3, .in = {start, end, zero}},
                   "in steps of 0 is no range");
  /* From end to end of the integers: the third multiple of the step is none of them. */
  operator_gives(&(struct operator_spec){.type = "Range",
                                         .n_in = 3,
                                         .in = {{.dtype = DTYPE_I64, .values = (const double[]){-0x1p63}},
                                                {.dtype = DTYPE_I64, .values = (const double[]){0x1.fffffffffffffp62}},
                                                {.dtype = DTYPE_I64, .values = (const double[]){0x1p62}}}},
                 (const double[]){-0x1p63, -0x1p62, 0, 0x1p62}, 4);
  operator_gives(
      &(struct operator_spec){
          .type = "EyeLike", .n_in = 1, .in = {{.rank = 2, .dim = {2, 3}}}, .attrs = {INT_ATTR("k", 1)}, .n_attrs = 1},
      (const double[]){0, 1, 0, 0, 0, 1}, 6);
}

/* ---- Transpose ---- */

static void check_transpose(const int64_t *dim, const int64_t *perm, bool channels_last, bool view, enum layout layout)
{
  struct operator_spec spec = {.type = "Transpose",
                               .n_in = 1,
                               .attrs = {{.name = "perm", .type = ATTR_INTS, .ints = perm, .count = 4}},
                               .n_attrs = 1,
                               .in = {{.rank = 4, .channels_last = channels_last}}};
  struct operator_result results[OPERATOR_OUTPUTS];
  struct error err = {0};
  int64_t count = 1;
  for (int d = 0; d < 4; d++)
    count *= spec.in[0].dim[d] = dim[d];
  assert_true(operator_run(&spec, 0, 2, results, &err));
  assert_int_equal(results[0].is_view, view);
  assert_int_equal(results[0].t.layout, layout);
  for (int64_t i = 0; i < 2 * count; i++) {
    int64_t rest = i % count, index[4], from = 0;
    for (int d = 3; d >= 0; d--) {
      index[perm[d]] = rest % dim[perm[d]];
      rest /= dim[perm[d]];
    }
    for (int d = 0; d < 4; d++)
      from = from * dim[d] + index[d];
    assert_true(results[0].numbers[i] == operator_value(&spec.in[0], 0, i / count, from));
  }
  operator_free(results);
}

static void transpose(void **state)
{
  (void)state;
  const int64_t map[] = {2, 3, 4, 5}, vector[] = {1, 6, 1, 1};
  const int64_t to_last[] = {0, 2, 3, 1}, to_first[] = {0, 3, 1, 2}, heads[] = {0, 2, 1, 3}, turned[] = {3, 2, 1, 0};
  /* Exchanges of layout cost nothing. */
  check_transpose(map, to_last, true, true, LAYOUT_PLAIN);
  check_transpose(map, to_first, false, true, LAYOUT_CHANNELS_LAST);
  check_transpose(map, to_last, false, false, LAYOUT_PLAIN);
  check_transpose(map, to_first, true, false, LAYOUT_PLAIN);
  check_transpose(map, heads, false, false, LAYOUT_PLAIN);
  check_transpose(map, turned, true, false, LAYOUT_PLAIN);
  check_transpose(vector, turned, false, true, LAYOUT_PLAIN); /* only axes of one move */
  operator_refuses(
      &(struct operator_spec){
          .type = "Transpose", .n_in = 1, .in = {IN234}, .attrs = {INTS_ATTR("perm", 3, 0, 1, 1)}, .n_attrs = 1},
      "perm is no permutation of 0..2");
  operator_refuses(
      &(struct operator_spec){
          .type = "Transpose", .n_in = 1, .in = {IN234}, .attrs = {INTS_ATTR("perm", 2, 0, 1)}, .n_attrs = 1},
      "perm has 2 entries for shape 2x3x4");
}

static void change_layout(void **state)
{
  (void)state;
  for (int last = 0; last < 2; last++)
    for (int narrow = 0; narrow < 2; narrow++) {
      struct operator_spec spec = {
          .type = "ChangeLayout",
          .domain = "penumbra",
          .n_in = 1,
          .in = {{.rank = 4, .dim = {2, 19, narrow ? 1 : 9, narrow ? 1 : 33}, .channels_last = last}}};
      struct operator_result results[OPERATOR_OUTPUTS];
      struct error err = {0};
      assert_true(operator_run(&spec, 0, 3, results, &err));
      assert_int_equal(results[0].is_view, narrow);
      assert_int_equal(results[0].t.layout, last ? LAYOUT_PLAIN : LAYOUT_CHANNELS_LAST);
      const int64_t count = tensor_count(&results[0].t);
      for (int64_t i = 0; i < 3 * count; i++)
        assert_true(results[0].numbers[i] == operator_value(&spec.in[0], 0, i / count, i % count));
      operator_free(results);
    }
}

/* The registry: domains are kept apart, opsets choose among entries. */
static void registry(void **state)
{
  (void)state;
  assert_non_null(op_find("", "Relu", 7));
  assert_ptr_equal(op_find("ai.onnx", "Relu", 7), op_find("", "Relu", 7));
  assert_null(op_find("", "ChangeLayout", 1));
  assert_null(op_find("com.microsoft", "Relu", 1));
  assert_null(op_find("", "Gelu", 19));
  assert_non_null(op_find("", "Gelu", 20));
  assert_ptr_not_equal(op_find("", "Softmax", 12), op_find("", "Softmax", 13));
  assert_null(op_find("", "Loop", 13));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reshape),   cmocka_unit_test(squeeze),   cmocka_unit_test(dropout),
      cmocka_unit_test(constants), cmocka_unit_test(transpose), cmocka_unit_test(change_layout),
      cmocka_unit_test(registry),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
