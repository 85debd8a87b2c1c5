/* SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"
#include "unit.h"

#include <string.h>

#define SHAPE(...) shape_of((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})

static void counts(void **state)
{
  (void)state;
  struct shape scalar = {0}, image = SHAPE(1, 3, 224, 224), empty = SHAPE(3, 0, (int64_t)1 << 62, (int64_t)1 << 62);
  assert_int_equal(shape_count(&scalar), 1);
  assert_int_equal(shape_count(&image), 3 * 224 * 224);
  assert_int_equal(shape_count(&empty), 0);
  struct shape most = SHAPE((int64_t)1 << 20, (int64_t)1 << 20), more = SHAPE((int64_t)1 << 20, ((int64_t)1 << 20) + 1);
  assert_int_equal(shape_count(&most), (int64_t)1 << 40);
  assert_int_equal(shape_count(&more), -1);
  struct shape wraps = SHAPE((int64_t)1 << 32, (int64_t)1 << 31, 2, 3); /* 3 * 2^64 */
  assert_int_equal(shape_count(&wraps), -1);
  struct shape negative = SHAPE(-4, 3), hidden = SHAPE(0, -1);
  assert_int_equal(shape_count(&negative), -1);
  assert_int_equal(shape_count(&hidden), -1);

  assert_int_equal(shape_product(&image, 1, 3), 3 * 224);
  assert_int_equal(shape_product(&image, 2, 2), 1);

  struct tensor floats = {.shape = image, .dtype = DTYPE_F32}, integers = {.shape = image, .dtype = DTYPE_I64};
  assert_int_equal(tensor_count(&floats), 3 * 224 * 224);
  assert_int_equal(tensor_bytes(&floats), 4 * 3 * 224 * 224);
  assert_int_equal(tensor_bytes(&integers), 8 * 3 * 224 * 224);
  floats.shape = wraps;
  assert_true(tensor_bytes(&floats) == SIZE_MAX);
}

static void equals(void **state)
{
  (void)state;
  struct shape a = SHAPE(2, 3), b = SHAPE(2, 3), c = SHAPE(2, 3, 1), d = SHAPE(3, 2);
  assert_true(shape_equal(&a, &b));
  assert_false(shape_equal(&a, &c));
  assert_false(shape_equal(&a, &d));
  b.dim[5] = 7; /* beyond the rank: of no meaning */
  assert_true(shape_equal(&a, &b));
}

static void broadcasts(void **state)
{
  (void)state;
  struct shape scalar = {0}, row = SHAPE(5), column = SHAPE(4, 1), cube = SHAPE(2, 1, 5), odd = SHAPE(3),
               none = SHAPE(0);
  struct shape out, expected = SHAPE(2, 4, 5), matrix = SHAPE(4, 5);
  assert_true(shape_broadcast(&column, &cube, &out));
  assert_true(shape_equal(&out, &expected));
  assert_true(shape_broadcast(&cube, &column, &out));
  assert_true(shape_equal(&out, &expected));
  assert_true(shape_broadcast(&row, &column, &out));
  assert_true(shape_equal(&out, &matrix));
  assert_true(shape_broadcast(&scalar, &cube, &out));
  assert_true(shape_equal(&out, &cube));
  assert_true(shape_broadcast(&scalar, &scalar, &out));
  assert_true(shape_equal(&out, &scalar));
  assert_false(shape_broadcast(&row, &odd, &out));
  struct shape empty = SHAPE(4, 0);
  assert_true(shape_broadcast(&column, &none, &out)); /* as NumPy: (4,1) with (0,) is (4,0) */
  assert_true(shape_equal(&out, &empty));
  assert_false(shape_broadcast(&row, &none, &out));
  out = column; /* the result may replace an operand */
  assert_true(shape_broadcast(&out, &cube, &out));
  assert_true(shape_equal(&out, &expected));
}

static void texts(void **state)
{
  (void)state;
  char text[96];
  struct shape image = SHAPE(1, 3, 224, 224), scalar = {0}, row = SHAPE(7);
  assert_string_equal(shape_text(&image, text, sizeof text), "1x3x224x224");
  assert_string_equal(shape_text(&scalar, text, sizeof text), "scalar");
  assert_string_equal(shape_text(&row, text, sizeof text), "7");
  struct shape huge = SHAPE(INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN);
  assert_int_equal(strlen(shape_text(&huge, text, sizeof text)), sizeof text - 1);
  char small[4];
  assert_string_equal(shape_text(&image, small, sizeof small), "1x3");
}

/* Offset of an element by the meaning of the layout. */
static int64_t offset(const struct shape *s, enum layout layout, const int64_t at[4])
{
  if (layout == LAYOUT_CHANNELS_LAST)
    return ((at[0] * s->dim[2] + at[2]) * s->dim[3] + at[3]) * s->dim[1] + at[1];
  return ((at[0] * s->dim[1] + at[1]) * s->dim[2] + at[2]) * s->dim[3] + at[3];
}

static void strides_and_layouts(void **state)
{
  (void)state;
  int64_t cases[][4] = {{2, 3, 4, 5}, {1, 1, 4, 5}, {2, 3, 1, 1}, {1, 3, 1, 5}, {1, 3, 4, 1}, {3, 1, 1, 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct tensor plain = {.shape = shape_of(4, cases[i])}, last = {.shape = plain.shape};
    last.layout = LAYOUT_CHANNELS_LAST;
    int64_t a[TENSOR_MAX_RANK], b[TENSOR_MAX_RANK];
    tensor_strides(&plain, a);
    tensor_strides(&last, b);
    bool same = true;
    int64_t at[4];
    for (at[0] = 0; at[0] < cases[i][0]; at[0]++)
      for (at[1] = 0; at[1] < cases[i][1]; at[1]++)
        for (at[2] = 0; at[2] < cases[i][2]; at[2]++)
          for (at[3] = 0; at[3] < cases[i][3]; at[3]++) {
            int64_t here = offset(&plain.shape, LAYOUT_PLAIN, at),
                    there = offset(&plain.shape, LAYOUT_CHANNELS_LAST, at);
            assert_int_equal(at[0] * a[0] + at[1] * a[1] + at[2] * a[2] + at[3] * a[3], here);
            assert_int_equal(at[0] * b[0] + at[1] * b[1] + at[2] * b[2] + at[3] * b[3], there);
            same &= here == there;
          }
    assert_int_equal(layout_same_bytes(&plain.shape), same);
  }
  struct tensor cube = {.shape = SHAPE(2, 3, 4)};
  int64_t stride[TENSOR_MAX_RANK];
  tensor_strides(&cube, stride);
  assert_int_equal(stride[0], 12);
  assert_int_equal(stride[1], 4);
  assert_int_equal(stride[2], 1);
  assert_true(layout_same_bytes(&cube.shape));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(counts),
      cmocka_unit_test(equals),
      cmocka_unit_test(broadcasts),
      cmocka_unit_test(texts),
      cmocka_unit_test(strides_and_layouts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
