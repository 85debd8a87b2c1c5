/* SPDX-License-Identifier: Apache-2.0 */
/* reduce.c, softmax.c, norm.c and einsum.c: sums over axes, against plain loops in double. */
#include "operator.h"

#define INTS(n, ...)                                                                                                   \
  {                                                                                                                    \
    .dtype = DTYPE_I64, .rank = 1, .dim = {n}, .values = (const double[])                                              \
    {                                                                                                                  \
      __VA_ARGS__                                                                                                      \
    }                                                                                                                  \
  }

static void indices(const int64_t *dim, int rank, int64_t element, int64_t index[TENSOR_MAX_RANK])
{
  for (int d = rank - 1; d >= 0; d--) {
    index[d] = element % dim[d];
    element /= dim[d];
  }
}

/* ---- Reduce* ---- */

enum { SUM, MEAN, MAX, MIN, PROD, L1, L2, SUM_SQUARE, LOG_SUM, LOG_SUM_EXP, KINDS };
static const char *const kinds[KINDS] = {"ReduceSum",    "ReduceMean",     "ReduceMax", "ReduceMin",
                                         "ReduceProd",   "ReduceL1",       "ReduceL2",  "ReduceSumSquare",
                                         "ReduceLogSum", "ReduceLogSumExp"};

static double reduced(int kind, const struct operator_input *in, int64_t sample, unsigned mask, const int64_t *kept)
{
  int64_t count = 1, used = 0;
  double a = kind == PROD ? 1 : (kind == MAX ? -INFINITY : (kind == MIN ? INFINITY : 0));
  for (int d = 0; d < in->rank; d++)
    count *= in->dim[d];
  for (int64_t e = 0; e < count; e++) {
    int64_t index[TENSOR_MAX_RANK];
    bool ours = true;
    indices(in->dim, in->rank, e, index);
    for (int d = 0; d < in->rank; d++)
      ours = ours && (mask >> d & 1 || index[d] == kept[d]);
    if (!ours)
      continue;
    const double x = operator_value(in, 0, sample, e);
    used++;
    switch (kind) {
    case MAX:
      a = fmax(a, x);
      break;
    case MIN:
      a = fmin(a, x);
      break;
    case PROD:
      a *= x;
      break;
    case L1:
      a += fabs(x);
      break;
    case L2:
    case SUM_SQUARE:
      a += x * x;
      break;
    case LOG_SUM_EXP:
      a += exp(x);
      break;
    default:
      a += x;
    }
  }
  return kind == MEAN ? a / (double)used : kind == L2 ? sqrt(a) : kind == LOG_SUM || kind == LOG_SUM_EXP ? log(a) : a;
}

static void reduce_case(int kind, unsigned mask, bool keep, bool integers)
{
  int64_t axes[4];
  int n_axes = 0, kept_rank = 0;
  for (int d = 0; d < 4; d++)
    if (mask >> d & 1)
      axes[n_axes++] = d % 2 ? d - 4 : d;
  struct operator_spec spec = {
      .type = kinds[kind],
      .n_in = 1,
      .n_attrs = 2,
      .opset = kind == SUM ? 12 : 13,
      .attrs = {{.name = "axes", .type = ATTR_INTS, .ints = axes, .count = (size_t)n_axes}, INT_ATTR("keepdims", keep)},
      .in = {{.rank = 4,
              .dim = {2, 140, 3, 4},
              .low = 0.5,
              .high = integers ? 4 : 1.6,
              .dtype = integers ? DTYPE_I64 : DTYPE_F32}}};
  if (kind == PROD && (mask & 2))
    spec.in[0].dim[1] = 5; /* a product of thousands is zero or infinite */
  struct operator_result results[OPERATOR_OUTPUTS];
  operator_check(&spec, 1e-6, results);
  int64_t dim[TENSOR_MAX_RANK];
  for (int d = 0; d < 4; d++)
    if (!(mask >> d & 1) || keep)
      dim[kept_rank++] = mask >> d & 1 ? 1 : spec.in[0].dim[d];
  const struct shape expected = shape_of(kept_rank, dim);
  assert_true(shape_equal(&results[0].t.shape, &expected));
  const int64_t count = tensor_count(&results[0].t);
  const int64_t step = count > 100 ? count / 37 : 1; /* a sample of the many */
  for (int64_t i = 0; i < count; i += step) {
    int64_t index[TENSOR_MAX_RANK] = {0}, kept[TENSOR_MAX_RANK] = {0};
    indices(dim, kept_rank, i, index);
    for (int d = 0, k = 0; d < 4; d++)
      if (!(mask >> d & 1) || keep)
        kept[d] = index[k++];
    const double e = reduced(kind, &spec.in[0], 1, mask, kept);
    if (fabs(results[0].numbers[count + i] - e) > 2e-6 * (1 + fabs(e)))
      fail_msg("%s over %x: element %lld is %.9g, not %.9g", kinds[kind], mask, (long long)i,
               results[0].numbers[count + i], e);
  }
  operator_free(results);
}

static void reduce(void **state)
{
  (void)state;
  for (int kind = 0; kind < KINDS; kind++)
    for (unsigned mask = 1; mask < 16; mask++)
      reduce_case(kind, mask, (mask + (unsigned)kind) % 2, false);
  for (unsigned mask = 1; mask < 16; mask += 3) {
    reduce_case(SUM, mask, true, true);
    reduce_case(MAX, mask, false, true);
    reduce_case(SUM_SQUARE, mask, true, true);
  }
  const struct operator_input in = {.rank = 2, .dim = {2, 3}, .values = (const double[]){1, 2, 3, 4, 5, 6}};
  operator_gives(&(struct operator_spec){.type = "ReduceSum", .n_in = 1, .in = {in}}, (const double[]){21}, 1);
  operator_gives(
      &(struct operator_spec){
          .type = "ReduceSum", .n_in = 1, .in = {in}, .attrs = {INT_ATTR("noop_with_empty_axes", 1)}, .n_attrs = 1},
      (const double[]){1, 2, 3, 4, 5, 6}, 6);
  operator_gives(&(struct operator_spec){.type = "ReduceMean", .opset = 18, .n_in = 2, .in = {in, INTS(1, -2)}},
                 (const double[]){2.5, 3.5, 4.5}, 3);
  operator_gives(&(struct operator_spec){.type = "ReduceLogSumExp",
                                         .n_in = 1,
                                         .in = {{.rank = 1, .dim = {2}, .values = (const double[]){1000, 1000}}}},
                 (const double[]){1000 + log(2)}, 1);
  operator_refuses(
      &(struct operator_spec){
          .type = "ReduceMax", .n_in = 1, .in = {in}, .attrs = {INTS_ATTR("axes", 2, 1, -1)}, .n_attrs = 1},
      "axis 1 is given twice");
  operator_gives(&(struct operator_spec){.type = "CumSum",
                                         .n_in = 2,
                                         .in = {in, {.dtype = DTYPE_I64, .values = (const double[]){1}}},
                                         .n_attrs = 2,
                                         .attrs = {INT_ATTR("exclusive", 1), INT_ATTR("reverse", 1)}},
                 (const double[]){5, 3, 0, 11, 6, 0}, 6);
}

/* ---- Softmax ---- */

static void softmax(void **state)
{
  (void)state;
  for (int logarithm = 0; logarithm < 2; logarithm++)
    for (int opset = 12; opset <= 13; opset++)
      for (int axis = 1; axis < 4; axis++) {
        static const int64_t dim[4] = {1, 6, 5, 7};
        struct operator_spec spec = {.type = logarithm ? "LogSoftmax" : "Softmax",
                                     .opset = opset,
                                     .n_in = 1,
                                     .in = {{.rank = 4, .dim = {1, 6, 5, 7}, .low = -20, .high = 20}},
                                     .attrs = {INT_ATTR("axis", axis)},
                                     .n_attrs = 1};
        struct operator_result results[OPERATOR_OUTPUTS];
        operator_check(&spec, 1e-6, results);
        for (int64_t i = 0; i < 210; i++) {
          int64_t mine[TENSOR_MAX_RANK];
          double sum = 0;
          indices(dim, 4, i, mine);
          for (int64_t e = 0; e < 210; e++) {
            int64_t other[TENSOR_MAX_RANK];
            bool same = true;
            indices(dim, 4, e, other);
            for (int d = 0; d < 4; d++) /* up to opset 12 everything behind the axis is summed */
              same = same && (opset == 13 ? d == axis || mine[d] == other[d] : d >= axis || mine[d] == other[d]);
            sum += same ? exp(operator_value(&spec.in[0], 0, 2, e)) : 0;
          }
          const double x = operator_value(&spec.in[0], 0, 2, i), expected = logarithm ? x - log(sum) : exp(x) / sum;
          if (fabs(results[0].numbers[2 * 210 + i] - expected) > 3e-6 * (1 + fabs(expected)))
            fail_msg("%s (opset %d) over %d: element %lld is %.9g, not %.9g", spec.type, opset, axis, (long long)i,
                     results[0].numbers[2 * 210 + i], expected);
        }
        operator_free(results);
      }
}

/* ---- normalisations ---- */

#define ROW(n, v)                                                                                                      \
  {                                                                                                                    \
    .rank = 1, .dim = {n}, .values = v                                                                                 \
  }
static const double six_a[] = {0.5, 1, 1.5, 2, -1, 0.25}, six_b[] = {0, 1, -1, 2, 0.5, -0.25},
                    six_m[] = {0.1, 0.2, -0.3, 0, 1, -1}, six_v[] = {1, 2, 0.5, 4, 0.1, 3};

/* (x - mean) / sqrt(variance + epsilon) * a + b, mean and variance over what `group` says. */
static void check_norm(const struct operator_spec *spec, double epsilon, int64_t (*group)(const int64_t *),
                       int (*parameter)(const int64_t *), const double *a, const double *b)
{
  struct operator_result results[OPERATOR_OUTPUTS];
  operator_check(spec, 2e-6, results);
  const struct operator_input *in = &spec->in[0];
  const int64_t count = tensor_count(&results[0].t);
  for (int64_t i = 0; i < count; i++) {
    int64_t mine[TENSOR_MAX_RANK], n = 0;
    double sum = 0, squares = 0;
    indices(in->dim, in->rank, i, mine);
    for (int64_t e = 0; e < count; e++) {
      int64_t other[TENSOR_MAX_RANK];
      indices(in->dim, in->rank, e, other);
      if (group(other) != group(mine))
        continue;
      const double x = operator_value(in, 0, 1, e);
      sum += x;
      squares += x * x;
      n++;
    }
    const double mean = sum / (double)n, variance = squares / (double)n - mean * mean;
    const int p = parameter(mine);
    const double e = (operator_value(in, 0, 1, i) - mean) / sqrt(variance + epsilon) * a[p] + b[p];
    if (fabs(results[0].numbers[count + i] - e) > 3e-6 * (1 + fabs(e)))
      fail_msg("%s: element %lld is %.9g, not %.9g", spec->type, (long long)i, results[0].numbers[count + i], e);
  }
  operator_free(results);
}

static int64_t by_channel(const int64_t *index)
{
  return index[1];
}
static int64_t by_pair(const int64_t *index)
{
  return index[1] / 2;
}
static int64_t by_row(const int64_t *index)
{
  return index[0] * 100 + index[1];
}
static int channel(const int64_t *index)
{
  return (int)index[1];
}
static int channel_pair(const int64_t *index)
{
  return (int)index[1] / 2;
}
static int last(const int64_t *index)
{
  return (int)index[2];
}

static void norm(void **state)
{
  (void)state;
  const struct operator_input map = {.rank = 4, .dim = {1, 6, 5, 7}};
  check_norm(
      &(struct operator_spec){.type = "InstanceNormalization", .n_in = 3, .in = {map, ROW(6, six_a), ROW(6, six_b)}},
      1e-5, by_channel, channel, six_a, six_b);
  check_norm(&(struct operator_spec){.type = "GroupNormalization",
                                     .opset = 21,
                                     .n_in = 3,
                                     .in = {map, ROW(6, six_a), ROW(6, six_b)},
                                     .attrs = {INT_ATTR("num_groups", 3), FLOAT_ATTR("epsilon", 0.01f)},
                                     .n_attrs = 2},
             0.01, by_pair, channel, six_a, six_b);
  check_norm(&(struct operator_spec){.type = "GroupNormalization",
                                     .opset = 18,
                                     .n_in = 3,
                                     .in = {map, ROW(3, six_a), ROW(3, six_b)},
                                     .attrs = {INT_ATTR("num_groups", 3)},
                                     .n_attrs = 1},
             1e-5, by_pair, channel_pair, six_a, six_b);
  check_norm(&(struct operator_spec){.type = "LayerNormalization",
                                     .opset = 17,
                                     .n_in = 3,
                                     .in = {{.rank = 3, .dim = {2, 9, 6}}, ROW(6, six_a), ROW(6, six_b)}},
             1e-5, by_row, last, six_a, six_b);
  operator_refuses(&(struct operator_spec){.type = "GroupNormalization",
                                           .opset = 21,
                                           .n_in = 3,
                                           .in = {map, ROW(6, six_a), ROW(6, six_b)},
                                           .attrs = {INT_ATTR("num_groups", 4)},
                                           .n_attrs = 1},
                   "6 channels do not divide into 4 groups");
  /* Batch norm: stored statistics. */
  for (int rank = 2; rank <= 5; rank++) {
    struct operator_spec spec = {
        .type = "BatchNormalization",
        .opset = 15,
        .n_in = 5,
        .in = {{.rank = rank, .dim = {1, 6, 3, 4, 2}}, ROW(6, six_a), ROW(6, six_b), ROW(6, six_m), ROW(6, six_v)}};
    struct operator_result results[OPERATOR_OUTPUTS];
    operator_check(&spec, 1e-6, results);
    const int64_t count = tensor_count(&results[0].t), inner = count / 6;
    for (int64_t i = 0; i < 3 * count; i++) {
      const int64_t c = i % count / inner;
      const double e =
          (operator_value(&spec.in[0], 0, i / count, i % count) - six_m[c]) / sqrt(six_v[c] + 1e-5) * six_a[c] +
          six_b[c];
      assert_true(fabs(results[0].numbers[i] - e) < 1e-6 * (1 + fabs(e)));
    }
    operator_free(results);
  }
}

static void neighbours(void **state)
{
  (void)state;
  for (int size = 1; size <= 6; size++) {
    struct operator_spec spec = {.type = "LRN",
                                 .n_in = 1,
                                 .in = {{.rank = 4, .dim = {1, 9, 2, 3}}},
                                 .n_attrs = 4,
                                 .attrs = {INT_ATTR("size", size), FLOAT_ATTR("alpha", 0.5f),
                                           FLOAT_ATTR("beta", size % 2 ? 0.75f : 0.6f), FLOAT_ATTR("bias", 2)}};
    struct operator_result results[OPERATOR_OUTPUTS];
    operator_check(&spec, 1e-6, results);
    for (int64_t i = 0; i < 54; i++) {
      double squares = 0;
      for (int64_t c = i / 6 - (size - 1) / 2; c <= i / 6 + size / 2; c++)
        if (c >= 0 && c < 9)
          squares += pow(operator_value(&spec.in[0], 0, 1, c * 6 + i % 6), 2);
      const double e =
          operator_value(&spec.in[0], 0, 1, i) / pow(2 + 0.5 / size * squares, size % 2 ? 0.75 : (double)0.6f);
      assert_true(fabs(results[0].numbers[54 + i] - e) < 1e-6);
    }
    operator_free(results);
  }
}

static void unit_length(void **state)
{
  (void)state;
  for (int p = 1; p <= 2; p++) {
    struct operator_spec spec = {.type = "LpNormalization",
                                 .n_in = 1,
                                 .in = {{.rank = 4, .dim = {1, 6, 5, 7}}},
                                 .n_attrs = 2,
                                 .attrs = {INT_ATTR("axis", 1), INT_ATTR("p", p)}};
    struct operator_result results[OPERATOR_OUTPUTS];
    operator_check(&spec, 1e-6, results);
    for (int i = 0; i < 35; i++) {
      double sum = 0;
      for (int c = 0; c < 6; c++)
        sum += pow(fabs(results[0].numbers[c * 35 + i]), p);
      assert_true(fabs(sum - 1) < 1e-6);
    }
    operator_free(results);
  }
}

/* ---- Einsum ---- */

/* By single-letter terms over a, b, c … with dimensions from `dims`. */
static void einsum_case(const char *equation, int operands, bool constant)
{
  static const int64_t dims[] = {2, 3, 4, 5, 6};
  struct operator_spec spec = {
      .type = "Einsum", .n_in = operands, .attrs = {TEXT_ATTR("equation", equation)}, .n_attrs = 1};
  const char *at = equation;
  const char *terms[4];
  for (int t = 0; t < operands; t++, at++) {
    terms[t] = at;
    for (; *at != ',' && *at != '-'; at++)
      spec.in[t].dim[spec.in[t].rank++] = dims[*at - 'a'];
  }
  spec.in[operands - 1].constant = constant;
  const char *out = strchr(equation, '>') + 1;
  struct operator_result results[OPERATOR_OUTPUTS];
  operator_check(&spec, 2e-6, results);
  const int64_t count = tensor_count(&results[0].t);
  double *expected = mem_zero((size_t)count + 1, sizeof *expected);
  assert_non_null(expected);
  for (int64_t e = 0; e < 2 * 3 * 4 * 5 * 6; e++) {
    int64_t index[TENSOR_MAX_RANK], place = 0;
    bool used = true;
    indices(dims, 5, e, index);
    for (int l = 0; l < 5; l++) /* letters that do not occur stay at 0 */
      used = used && (index[l] == 0 || memchr(equation, 'a' + l, (size_t)(out - equation)));
    if (!used)
      continue;
    double product = 1;
    for (int t = 0; t < operands; t++) {
      int64_t element = 0;
      for (int d = 0; d < spec.in[t].rank; d++)
        element = element * spec.in[t].dim[d] + index[terms[t][d] - 'a'];
      product *= operator_value(&spec.in[t], t, 1, element);
    }
    for (const char *c = out; *c; c++)
      place = place * dims[*c - 'a'] + index[*c - 'a'];
    expected[place] += product;
  }
  operator_same(results[0].numbers + count, expected, count, 1e-5, equation, "expected");
  mem_free(expected);
  operator_free(results);
}

static void einsum(void **state)
{
  (void)state;
  static const char *const equations[] = {
      "abc,abd->acd", "abcd,abed->abce", "ab,bc->ca", "abc,cde->abde", "acbe,aecd->abcd",
      "abc,abc->a",   "ab,cd->abcd",     "ab,ab->ab", "dc,ebc->bed",
  };
  for (size_t k = 0; k < sizeof equations / sizeof *equations; k++) {
    einsum_case(equations[k], 2, false);
    einsum_case(equations[k], 2, true);
  }
  einsum_case("aab->ba", 1, false);
  einsum_case("abcde->ce", 1, false);
  einsum_case("ab,bc,cd->ad", 3, false);
  const struct operator_input two = {.rank = 2, .dim = {2, 2}, .values = (const double[]){1, 2, 3, 4}};
  operator_gives(
      &(struct operator_spec){
          .type = "Einsum", .n_in = 2, .in = {two, two}, .attrs = {TEXT_ATTR("equation", "ij, jk")}, .n_attrs = 1},
      (const double[]){7, 10, 15, 22}, 4);
  operator_gives(&(struct operator_spec){.type = "Einsum",
                                         .n_in = 2,
                                         .in = {two, two},
                                         .attrs = {TEXT_ATTR("equation", "...i,...i->...")},
                                         .n_attrs = 1},
                 (const double[]){5, 25}, 2);
  operator_refuses(&(struct operator_spec){.type = "Einsum",
                                           .n_in = 2,
                                           .in = {two, {.rank = 2, .dim = {3, 2}}},
                                           .attrs = {TEXT_ATTR("equation", "ij,jk->ik")},
                                           .n_attrs = 1},
                   "an axis is 2 in one operand and 3 in another");
  operator_refuses(&(struct operator_spec){.type = "Einsum",
                                           .n_in = 2,
                                           .in = {two, {.rank = 2, .dim = {0, 2}}},
                                           .attrs = {TEXT_ATTR("equation", "ij,jk->ik")},
                                           .n_attrs = 1},
                   "an axis is 2 in one operand and 0 in another");
  operator_refuses(
      &(struct operator_spec){
          .type = "Einsum", .n_in = 1, .in = {two}, .attrs = {TEXT_ATTR("equation", "ij->ik")}, .n_attrs = 1},
      "the result has an axis that no operand has");
  operator_refuses(
      &(struct operator_spec){
          .type = "Einsum", .n_in = 1, .in = {two}, .attrs = {TEXT_ATTR("equation", "i->i")}, .n_attrs = 1},
      "a term has 1 axes, its operand shape 2x2");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reduce),     cmocka_unit_test(softmax),     cmocka_unit_test(norm),
      cmocka_unit_test(neighbours), cmocka_unit_test(unit_length), cmocka_unit_test(einsum),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
