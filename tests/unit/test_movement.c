/* SPDX-License-Identifier: Apache-2.0 */
/* concat.c, slice.c, gather.c, extreme.c and resize.c: every element of a result is one of the input's, or a weighing
 * of a few. Results are compared with the place each element comes from, worked out one by one. */
#include "operator.h"

#define INTS(n, ...)                                                                                                   \
  {                                                                                                                    \
    .dtype = DTYPE_I64, .rank = 1, .dim = {n}, .values = (const double[])                                              \
    {                                                                                                                  \
      __VA_ARGS__                                                                                                      \
    }                                                                                                                  \
  }
#define MAP                                                                                                            \
  {                                                                                                                    \
    .rank = 4, .dim = { 1, 4, 5, 6 }                                                                                   \
  }

static void indices(const struct shape *shape, int64_t element, int64_t index[TENSOR_MAX_RANK])
{
  for (int d = shape->rank - 1; d >= 0; d--) {
    index[d] = element % shape->dim[d];
    element /= shape->dim[d];
  }
}

static double value_at(const struct operator_spec *spec, int input, int64_t sample, const int64_t *index)
{
  const struct operator_input *in = &spec->in[input];
  int64_t element = 0;
  for (int d = 0; d < in->rank; d++)
    element = element * in->dim[d] + index[d];
  return operator_value(in, input, sample, element);
}

/* Where element `index` of output `output` comes from: true, and input and index there; false: a constant. */
typedef bool origin(int output, int64_t *index, int *input, double *constant);

static void check_origin(const struct operator_spec *spec, origin *from)
{
  struct operator_result results[OPERATOR_OUTPUTS];
  operator_check(spec, 0, results);
  for (int o = 0; o < (spec->n_out ? spec->n_out : 1); o++) {
    const int64_t count = tensor_count(&results[o].t);
    for (int64_t i = 0; i < OPERATOR_SAMPLES * count; i++) {
      int64_t index[TENSOR_MAX_RANK];
      int input = 0;
      double expected = 0;
      indices(&results[o].t.shape, i % count, index);
      if (from(o, index, &input, &expected))
        expected = value_at(spec, input, i / count, index);
      if (results[o].numbers[i] != expected)
        fail_msg("%s: element %lld of output %d is %g, not %g", spec->type, (long long)i, o, results[o].numbers[i],
                 expected);
    }
  }
  operator_free(results);
}

/* ---- Concat, Split ---- */

static bool joined(int output, int64_t *index, int *input, double *constant)
{
  (void)output;
  (void)constant;
  static const int64_t starts[] = {0, 4, 6, 13};
  while (index[1] >= starts[*input + 1])
    ++*input;
  index[1] -= starts[*input];
  return true;
}

static bool parted(int output, int64_t *index, int *input, double *constant)
{
  (void)input;
  (void)constant;
  index[1] += (const int64_t[]){0, 1, 1}[output];
  return true;
}

static void concat(void **state)
{
  (void)state;
  for (int constant = 0; constant < 2; constant++)
    check_origin(
        &(struct operator_spec){
            .type = "Concat",
            .n_in = 3,
            .attrs = {INT_ATTR("axis", -3)},
            .n_attrs = 1,
            .in = {MAP, {.rank = 4, .dim = {1, 2, 5, 6}, .constant = constant}, {.rank = 4, .dim = {1, 7, 5, 6}}}},
        joined);
  operator_refuses(&(struct operator_spec){.type = "Concat",
                                           .n_in = 2,
                                           .in = {MAP, {.rank = 4, .dim = {1, 4, 5, 7}}},
                                           .attrs = {INT_ATTR("axis", 1)},
                                           .n_attrs = 1},
                   "shapes 1x4x5x6 and 1x4x5x7 differ outside axis 1");
  check_origin(&(struct operator_spec){.type = "Split",
                                       .n_in = 2,
                                       .n_out = 3,
                                       .in = {MAP, INTS(3, 1, 0, 3)},
                                       .attrs = {INT_ATTR("axis", 1)},
                                       .n_attrs = 1},
               parted);
  operator_refuses(&(struct operator_spec){.type = "Split",
                                           .n_in = 2,
                                           .n_out = 2,
                                           .in = {MAP, INTS(2, 1, 2)},
                                           .attrs = {INT_ATTR("axis", 1)},
                                           .n_attrs = 1},
                   "the parts leave 1 of axis 1 of 4");
  operator_refuses(
      &(struct operator_spec){
          .type = "Split", .n_in = 1, .n_out = 3, .in = {MAP}, .attrs = {INT_ATTR("axis", 1)}, .n_attrs = 1},
      "4 do not split into 3 equal parts");
}

/* ---- Slice, Pad, Tile, Expand, Trilu ---- */

static bool sliced(int output, int64_t *index, int *input, double *constant)
{
  (void)output;
  (void)input;
  (void)constant;
  index[1] += 1;
  index[2] = 4 - 2 * index[2];
  index[3] += 3;
  return true;
}

static int64_t reflected(int64_t i, int64_t n)
{
  while (i < 0 || i >= n)
    i = i < 0 ? -i : 2 * (n - 1) - i;
  return i;
}

static const char *pad_mode;
static bool padded(int output, int64_t *index, int *input, double *constant)
{
  (void)output;
  (void)input;
  const int64_t before[4] = {0, 1, 2, -1}, dim[4] = {1, 4, 5, 6};
  for (int d = 0; d < 4; d++) {
    index[d] -= before[d];
    if (*pad_mode == 'c' && (index[d] < 0 || index[d] >= dim[d])) {
      *constant = 2.5;
      return false;
    }
    index[d] = *pad_mode == 'r'     ? reflected(index[d], dim[d])
               : *pad_mode == 'w'   ? (index[d] + 10 * dim[d]) % dim[d]
               : index[d] < 0       ? 0
               : index[d] >= dim[d] ? dim[d] - 1
                                    : index[d];
  }
  return true;
}

static bool tiled(int output, int64_t *index, int *input, double *constant)
{
  (void)output;
  (void)input;
  (void)constant;
  index[0] = 0;
  index[1] %= 4;
  index[2] %= 5;
  index[3] %= 6;
  return true;
}

static bool expanded(int output, int64_t *index, int *input, double *constant)
{
  (void)output;
  (void)input;
  (void)constant;
  index[0] = index[1];
  index[1] = 0;
  index[2] = 0;
  return true;
}

static bool upper(int output, int64_t *index, int *input, double *constant)
{
  (void)output;
  (void)input;
  *constant = 0;
  return index[2] >= index[1] + 1;
}

static void slice(void **state)
{
  (void)state;
  check_origin(
      &(struct operator_spec){.type = "Slice",
                              .n_in = 5,
                              .in = {MAP, INTS(3, 1, -1, 3), INTS(3, 3, -9, 99), INTS(3, 1, 2, -1), INTS(3, 1, -2, 1)}},
      sliced);
  operator_refuses(
      &(struct operator_spec){.type = "Slice", .n_in = 5, .in = {MAP, INTS(1, 0), INTS(1, 1), INTS(1, 1), INTS(1, 0)}},
      "the step of axis 1 is 0");
  static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
  for (int m = 0; m < 4; m++) {
    pad_mode = modes[m];
    check_origin(
        &(struct operator_spec){.type = "Pad",
                                .opset = 19,
                                .n_in = 3,
                                .attrs = {TEXT_ATTR("mode", modes[m])},
                                .n_attrs = 1,
                                .in = {MAP, INTS(8, 0, 1, 2, -1, 0, 2, 3, 4), {.values = (const double[]){2.5}}}},
        padded);
  }
  operator_refuses(&(struct operator_spec){.type = "Pad", .n_in = 2, .in = {MAP, INTS(8, 0, 0, -3, 0, 0, 0, -3, 0)}},
                   "pads -3 and -3 leave nothing of axis 2 of 5");
  operator_refuses(&(struct operator_spec){.type = "Pad",
                                           .n_in = 2,
                                           .in = {MAP, INTS(8, 0, 0, 5, 0, 0, 0, 0, 0)},
                                           .attrs = {TEXT_ATTR("mode", "reflect")},
                                           .n_attrs = 1},
                   "reflect more than axis 2 of 5 holds");
  check_origin(&(struct operator_spec){.type = "Tile", .n_in = 2, .in = {MAP, INTS(4, 2, 3, 1, 2)}}, tiled);
  check_origin(
      &(struct operator_spec){.type = "Expand", .n_in = 2, .in = {{.rank = 3, .dim = {5, 1, 1}}, INTS(4, 2, 1, 3, 4)}},
      expanded);
  check_origin(&(struct operator_spec){.type = "Trilu",
                                       .opset = 14,
                                       .n_in = 2,
                                       .in = {{.rank = 3, .dim = {2, 4, 5}},
                                              {.dtype = DTYPE_I64, .values = (const double[]){1}}}},
               upper);
}

/* ---- indices ---- */

static void gather(void **state)
{
  (void)state;
  const struct operator_input table = {.rank = 2, .dim = {3, 2}, .values = (const double[]){0, 1, 2, 3, 4, 5}};
  operator_gives(&(struct operator_spec){.type = "Gather", .n_in = 2, .in = {table, INTS(2, -1, 0)}},
                 (const double[]){4, 5, 0, 1}, 4);
  operator_refuses(&(struct operator_spec){.type = "Gather", .n_in = 2, .in = {table, INTS(2, 0, 3)}},
                   "index 3 is outside -3..2");
  operator_gives(
      &(struct operator_spec){
          .type = "GatherElements",
          .n_in = 2,
          .in = {table, {.dtype = DTYPE_I64, .rank = 2, .dim = {1, 2}, .values = (const double[]){2, -2}}}},
      (const double[]){4, 3}, 2);
  operator_gives(
      &(struct operator_spec){
          .type = "GatherND",
          .n_in = 2,
          .in = {table, {.dtype = DTYPE_I64, .rank = 2, .dim = {2, 2}, .values = (const double[]){0, 1, -1, 0}}}},
      (const double[]){1, 4}, 2);
  operator_refuses(
      &(struct operator_spec){
          .type = "GatherND",
          .n_in = 2,
          .in = {table, {.dtype = DTYPE_I64, .rank = 2, .dim = {1, 2}, .values = (const double[]){0, 2}}}},
      "row 0 of the indices is out of range");
  operator_gives(
      &(struct operator_spec){.type = "ScatterElements",
                              .n_in = 3,
                              .opset = 16,
                              .attrs = {TEXT_ATTR("reduction", "add")},
                              .n_attrs = 1,
                              .in = {table,
                                     {.dtype = DTYPE_I64, .rank = 2, .dim = {2, 1}, .values = (const double[]){1, 1}},
                                     {.rank = 2, .dim = {2, 1}, .values = (const double[]){10, 20}}}},
      (const double[]){0, 1, 32, 3, 4, 5}, 6);
  operator_gives(&(struct operator_spec){.type = "OneHot",
                                         .n_in = 3,
                                         .in = {INTS(3, 1, -1, 7),
                                                {.dtype = DTYPE_I64, .values = (const double[]){3}},
                                                {.rank = 1, .dim = {2}, .values = (const double[]){0, 9}}}},
                 (const double[]){0, 9, 0, 0, 0, 9, 0, 0, 0}, 9);
  /* Indices that vary with the sample, of data that do not, and the reverse. */
  for (int constant = 0; constant < 3; constant++) {
    struct operator_spec spec = {
        .type = "Gather",
        .n_in = 2,
        .attrs = {INT_ATTR("axis", 1)},
        .n_attrs = 1,
        .in = {{.rank = 3, .dim = {2, 7, 3}, .constant = constant == 1},
               {.dtype = DTYPE_I64, .rank = 2, .dim = {2, 2}, .low = -7, .high = 7, .constant = constant == 2}}};
    struct operator_result results[OPERATOR_OUTPUTS];
    operator_check(&spec, 0, results);
    for (int64_t i = 0; i < 3 * 24; i++) {
      const int64_t s = i / 24, outer = i % 24 / 12, k = i % 12 / 3;
      int64_t row = (int64_t)operator_value(&spec.in[1], 1, s, k);
      row += row < 0 ? 7 : 0;
      assert_true(results[0].numbers[i] == operator_value(&spec.in[0], 0, s, (outer * 7 + row) * 3 + i % 3));
    }
    operator_free(results);
  }
}

static void extremes(void **state)
{
  (void)state;
  const struct operator_input row = {.rank = 1, .dim = {6}, .values = (const double[]){1, 5, -2, 5, 0, -2}};
  operator_gives(&(struct operator_spec){.type = "ArgMax", .n_in = 1, .in = {row}}, (const double[]){1}, 1);
  operator_gives(
      &(struct operator_spec){
          .type = "ArgMax", .n_in = 1, .in = {row}, .attrs = {INT_ATTR("select_last_index", 1)}, .n_attrs = 1},
      (const double[]){3}, 1);
  operator_gives(&(struct operator_spec){.type = "ArgMin", .n_in = 1, .in = {row}}, (const double[]){2}, 1);
  operator_gives(&(struct operator_spec){.type = "TopK", .n_in = 2, .n_out = 2, .in = {row, INTS(1, 3)}},
                 (const double[]){5, 5, 1}, 3);
  struct operator_spec spec = {.type = "TopK",
                               .n_in = 2,
                               .n_out = 2,
                               .in = {{.rank = 3, .dim = {2, 9, 4}}, INTS(1, 4)},
                               .attrs = {INT_ATTR("axis", 1), INT_ATTR("largest", 0)},
                               .n_attrs = 2};
  struct operator_result results[OPERATOR_OUTPUTS];
  operator_check(&spec, 0, results);
  for (int64_t i = 0; i < 3 * 32; i++) { /* in order, and where the index says */
    const int64_t s = i / 32, outer = i % 32 / 16, k = i % 16 / 4, inner = i % 4;
    assert_true(k == 0 || results[0].numbers[i] >= results[0].numbers[i - 4]);
    assert_true(results[0].numbers[i] ==
                operator_value(&spec.in[0], 0, s, (outer * 9 + (int64_t)results[1].numbers[i]) * 4 + inner));
  }
  operator_free(results);
  operator_refuses(&(struct operator_spec){.type = "TopK", .n_in = 2, .in = {row, INTS(1, 7)}}, "k 7 is outside 0..6");
}

/* ---- Resize and blocks ---- */

static bool doubled(int output, int64_t *index, int *input, double *constant)
{
  (void)output;
  (void)input;
  (void)constant;
  index[2] /= 2;
  index[3] /= 3;
  return true;
}

static bool blocks_dcr(int output, int64_t *index, int *input, double *constant)
{
  (void)output;
  (void)input;
  (void)constant;
  index[1] = (index[2] % 2 * 2 + index[3] % 2) * 2 + index[1];
  index[2] /= 2;
  index[3] /= 2;
  return true;
}

static bool blocks_crd(int output, int64_t *index, int *input, double *constant)
{
  (void)output;
  (void)input;
  (void)constant;
  index[1] = index[1] * 4 + index[2] % 2 * 2 + index[3] % 2;
  index[2] /= 2;
  index[3] /= 2;
  return true;
}

static bool blocks_back(int output, int64_t *index, int *input, double *constant)
{
  (void)output;
  (void)input;
  (void)constant;
  const int64_t place = index[1] / 3;
  index[1] %= 3;
  index[2] = index[2] * 2 + place / 2;
  index[3] = index[3] * 2 + place % 2;
  return true;
}

static void resize(void **state)
{
  (void)state;
  const struct operator_input scales = {.rank = 1, .dim = {4}, .values = (const double[]){1, 1, 2, 3}};
  check_origin(&(struct operator_spec){.type = "Resize",
                                       .n_in = 3,
                                       .in = {MAP, {.absent = true}, scales},
                                       .n_attrs = 2,
                                       .attrs = {TEXT_ATTR("coordinate_transformation_mode", "asymmetric"),
                                                 TEXT_ATTR("nearest_mode", "floor")}},
               doubled);
  check_origin(&(struct operator_spec){.type = "Upsample", .opset = 9, .n_in = 2, .in = {MAP, scales}}, doubled);
  /* Linear and cubic (with a = -0.5 it reproduces ramps): a ramp stays one inside, whatever shrinks or grows. */
  static const char *const modes[] = {"linear", "cubic"};
  for (int m = 0; m < 2; m++)
    for (int antialias = 0; antialias < 2; antialias++) {
      struct operator_spec spec = {
          .type = "Resize",
          .opset = 18,
          .n_in = 4,
          .n_attrs = 3,
          .attrs = {TEXT_ATTR("mode", modes[m]), INT_ATTR("antialias", antialias), FLOAT_ATTR("cubic_coeff_a", -0.5f)},
          .in = {{.rank = 4, .dim = {1, 3, 24, 20}}, {.absent = true}, {.absent = true}, INTS(4, 1, 3, 8, 40)}};
      static double ramp[3 * 24 * 20];
      for (int i = 0; i < 3 * 24 * 20; i++)
        ramp[i] = i / 480 + 0.5 * (i % 480 / 20) - 0.25 * (i % 20);
      struct operator_result results[OPERATOR_OUTPUTS];
      operator_check(&spec, 1e-6, results);
      operator_free(results);
      spec.in[0].values = ramp;
      struct error err = {0};
      assert_true(operator_run(&spec, 0, 1, results, &err));
      for (int c = 0; c < 3; c++)
        for (int y = 2; y < 6; y++)
          for (int x = 8; x < 32; x++) {
            const double e = c + 0.5 * ((y + 0.5) * 3 - 0.5) - 0.25 * ((x + 0.5) / 2 - 0.5);
            assert_true(fabs(results[0].numbers[(c * 8 + y) * 40 + x] - e) < 1e-5);
          }
      operator_free(results);
    }
  operator_refuses(&(struct operator_spec){.type = "Resize",
                                           .n_in = 3,
                                           .in = {MAP, {.absent = true}, scales},
                                           .attrs = {TEXT_ATTR("coordinate_transformation_mode", "tf_crop_and_resize")},
                                           .n_attrs = 1},
                   "resizing a region of interest (tf_crop_and_resize) is not supported");
  operator_refuses(
      &(struct operator_spec){
          .type = "Resize",
          .n_in = 3,
          .in = {MAP, {.absent = true}, {.rank = 1, .dim = {4}, .values = (const double[]){1, 1, 1e9, 1e9}}}},
      "scale 1e+09 of axis 2 is out of range");
  const struct operator_input deep = {.rank = 4, .dim = {1, 8, 3, 5}};
  check_origin(
      &(struct operator_spec){
          .type = "DepthToSpace", .n_in = 1, .in = {deep}, .attrs = {INT_ATTR("blocksize", 2)}, .n_attrs = 1},
      blocks_dcr);
  check_origin(&(struct operator_spec){.type = "DepthToSpace",
                                       .n_in = 1,
                                       .in = {deep},
                                       .attrs = {INT_ATTR("blocksize", 2), TEXT_ATTR("mode", "CRD")},
                                       .n_attrs = 2},
               blocks_crd);
  check_origin(&(struct operator_spec){.type = "SpaceToDepth",
                                       .n_in = 1,
                                       .in = {{.rank = 4, .dim = {1, 3, 6, 8}}},
                                       .attrs = {INT_ATTR("blocksize", 2)},
                                       .n_attrs = 1},
               blocks_back);
  operator_refuses(
      &(struct operator_spec){
          .type = "DepthToSpace", .n_in = 1, .in = {deep}, .attrs = {INT_ATTR("blocksize", 3)}, .n_attrs = 1},
      "8 channels do not divide by 3 x 3");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(concat),   cmocka_unit_test(slice),  cmocka_unit_test(gather),
      cmocka_unit_test(extremes), cmocka_unit_test(resize),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
