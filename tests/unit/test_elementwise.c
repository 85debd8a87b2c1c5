/* SPDX-License-Identifier: Apache-2.0 */
/* unary.c, binary.c, cast.c and quantize.c. */
#include "operator.h"
#include "ops/output.h"
#include "ops/unary.h"

#define MAP4 .rank = 4, .dim = {1, 5, 6, 7}

/* Every function of one operand against libm, in both layouts. */
static double sigmoid(double x)
{
  return 1 / (1 + exp(-x));
}
static double softplus(double x)
{
  return log1p(exp(x));
}
static double mish(double x)
{
  return x * tanh(softplus(x));
}
static double gelu(double x)
{
  return 0.5 * x * (1 + erf(x / sqrt(2)));
}
static double relu(double x)
{
  return x > 0 ? x : 0;
}
static double softsign(double x)
{
  return x / (1 + fabs(x));
}
static double hard_swish(double x)
{
  return x * fmax(0, fmin(1, x / 6 + 0.5));
}
static double reciprocal(double x)
{
  return 1 / x;
}
static double negative(double x)
{
  return -x;
}
static double sign(double x)
{
  return (x > 0) - (x < 0);
}

static const struct unary_case {
  const char *type;
  double (*function)(double);
  double low, high;
} unary_cases[] = {
    {"Relu", relu, -4, 4},         {"Sigmoid", sigmoid, -9, 9},
    {"Tanh", tanh, -4, 4},         {"Softplus", softplus, -8, 8},
    {"Softsign", softsign, -4, 4}, {"Mish", mish, -6, 6},
    {"Gelu", gelu, -5, 5},         {"HardSwish", hard_swish, -5, 5},
    {"Exp", exp, -10, 10},         {"Log", log, 0.1, 9},
    {"Sqrt", sqrt, 0.01, 100},     {"Abs", fabs, -3, 3},
    {"Neg", negative, -3, 3},      {"Reciprocal", reciprocal, 0.5, 3},
    {"Floor", floor, -9, 9},       {"Ceil", ceil, -9, 9},
    {"Round", rint, -9, 9},        {"Sign", sign, -2, 2},
    {"Erf", erf, -4.5, 4.5},       {"Sin", sin, -7, 7},
    {"Cos", cos, -7, 7},           {"Tan", tan, -1, 1},
    {"Asin", asin, -0.9, 0.9},     {"Acos", acos, -0.9, 0.9},
    {"Atan", atan, -3, 3},         {"Sinh", sinh, -3, 3},
    {"Cosh", cosh, -3, 3},         {"Asinh", asinh, -3, 3},
    {"Acosh", acosh, 1.1, 5},      {"Atanh", atanh, -0.9, 0.9},
};

static void unary(void **state)
{
  (void)state;
  for (size_t k = 0; k < sizeof unary_cases / sizeof *unary_cases; k++) {
    const struct unary_case *c = &unary_cases[k];
    struct operator_spec spec = {
        .type = c->type, .opset = 20, .n_in = 1, .in = {{MAP4, .low = c->low, .high = c->high}}};
    struct operator_result results[OPERATOR_OUTPUTS];
    operator_check(&spec, 1e-6, results);
    for (int64_t i = 0; i < 3 * 210; i++) {
      const double x = operator_value(&spec.in[0], 0, i / 210, i % 210), expected = c->function(x);
      if (fabs(results[0].numbers[i] - expected) > 2e-6 * (1 + fabs(expected)))
        fail_msg("%s(%.9g) is %.9g, not %.9g", c->type, x, results[0].numbers[i], expected);
    }
    operator_free(results);
  }
}

/* The own error function, where its pieces meet and at the ends. */
static void error_function(void **state)
{
  (void)state;
  enum { N = 20001 };
  static double x[N];
  for (int i = 0; i < N; i++)
    x[i] = (double)(float)((i - N / 2) * 0.0006);
  struct operator_spec spec = {.type = "Erf", .n_in = 1, .in = {{.rank = 1, .dim = {N}, .values = x}}};
  struct operator_result results[OPERATOR_OUTPUTS];
  struct error err = {0};
  assert_true(operator_run(&spec, 0, 1, results, &err));
  for (int i = 0; i < N; i++)
    assert_true(fabs(results[0].numbers[i] - erf(x[i])) <= 3e-7 * fabs(erf(x[i])));
  operator_free(results);
}

static void parameters(void **state)
{
  (void)state;
#define FIVE .rank = 1, .dim = {5}, .values = (const double[]){-3, -0.5, 0, 0.5, 3}
  operator_gives(
      &(struct operator_spec){
          .type = "LeakyRelu", .n_in = 1, .in = {{FIVE}}, .attrs = {FLOAT_ATTR("alpha", 0.25f)}, .n_attrs = 1},
      (const double[]){-0.75, -0.125, 0, 0.5, 3}, 5);
  operator_gives(&(struct operator_spec){.type = "HardSigmoid", .n_in = 1, .in = {{FIVE}}},
                 (const double[]){0, 0.4, 0.5, 0.6, 1}, 5);
  operator_gives(
      &(struct operator_spec){
          .type = "Elu", .n_in = 1, .in = {{FIVE}}, .attrs = {FLOAT_ATTR("alpha", 2)}, .n_attrs = 1},
      (const double[]){2 * expm1(-3), 2 * expm1(-0.5), 0, 0.5, 3}, 5);
  operator_gives(
      &(struct operator_spec){
          .type = "Celu", .n_in = 1, .in = {{FIVE}}, .attrs = {FLOAT_ATTR("alpha", 2)}, .n_attrs = 1},
      (const double[]){2 * expm1(-1.5), 2 * expm1(-0.25), 0, 0.5, 3}, 5);
  operator_gives(&(struct operator_spec){.type = "ThresholdedRelu", .n_in = 1, .in = {{FIVE}}},
                 (const double[]){0, 0, 0, 0, 3}, 5);
  operator_gives(
      &(struct operator_spec){
          .type = "Clip", .n_in = 3, .in = {{FIVE}, {.values = (const double[]){-1}}, {.values = (const double[]){2}}}},
      (const double[]){-1, -0.5, 0, 0.5, 2}, 5);
  operator_gives(
      &(struct operator_spec){
          .type = "Clip", .opset = 6, .n_in = 1, .in = {{FIVE}}, .attrs = {FLOAT_ATTR("max", 0.25f)}, .n_attrs = 1},
      (const double[]){-3, -0.5, 0, 0.25, 0.25}, 5);
  operator_refuses(
      &(struct operator_spec){.type = "Sigmoid", .n_in = 1, .in = {{.dtype = DTYPE_I64, .rank = 1, .dim = {2}}}},
      "must hold floating-point numbers");
  /* A bound that varies with the sample. */
  struct operator_spec clip = {.type = "Clip", .n_in = 2, .in = {{.rank = 1, .dim = {9}}, {.rank = 0}}};
  struct operator_result results[OPERATOR_OUTPUTS];
  operator_check(&clip, 0, results);
  operator_free(results);
}

/* Half-way cases go to the even neighbour. */
static void rounding(void **state)
{
  (void)state;
  operator_gives(
      &(struct operator_spec){
          .type = "Round",
          .n_in = 1,
          .in = {{.rank = 1, .dim = {6}, .values = (const double[]){-2.5, -1.5, -0.5, 0.5, 1.5, 2.5}}}},
      (const double[]){-2, -2, 0, 0, 2, 2}, 6);
}

/* ---- two operands ---- */

static double binary_expected(const char *type, double x, double y)
{
  if (strcmp(type, "Add") == 0)
    return x + y;
  if (strcmp(type, "Sub") == 0)
    return x - y;
  if (strcmp(type, "Mul") == 0)
    return x * y;
  if (strcmp(type, "Div") == 0)
    return x / y;
  if (strcmp(type, "Pow") == 0)
    return pow(x, y);
  if (strcmp(type, "Min") == 0)
    return fmin(x, y);
  if (strcmp(type, "Max") == 0)
    return fmax(x, y);
  if (strcmp(type, "Greater") == 0)
    return x > y;
  if (strcmp(type, "LessOrEqual") == 0)
    return x <= y;
  return x < 0 ? x * y : x; /* PRelu */
}

/* Element of an operand that meets element `e` of the result. */
static int64_t met(const struct shape *out, const struct operator_input *in, int64_t e)
{
  int64_t place = 0, step = 1;
  for (int d = out->rank - 1, k = in->rank - 1; k >= 0; d--, k--) {
    place += in->dim[k] == 1 ? 0 : e % out->dim[d] * step;
    step *= in->dim[k];
    e /= out->dim[d];
  }
  return place;
}

static void binary(void **state)
{
  (void)state;
  static const char *const types[] = {"Add", "Sub", "Mul",     "Div",         "Pow",
                                      "Min", "Max", "Greater", "LessOrEqual", "PRelu"};
  static const struct operator_input rights[] = {
      {.rank = 4, .dim = {1, 5, 6, 7}}, {.rank = 4, .dim = {1, 5, 1, 1}}, {.rank = 3, .dim = {5, 1, 1}}, {.rank = 0},
      {.rank = 1, .dim = {7}},          {.rank = 4, .dim = {1, 1, 6, 1}}, {.rank = 2, .dim = {6, 7}},
  };
  for (size_t t = 0; t < sizeof types / sizeof *types; t++)
    for (size_t r = 0; r < sizeof rights / sizeof *rights; r++)
      for (int how = 0; how < 4; how++) { /* both vary, right constant, left constant, exchanged */
        struct operator_spec spec = {
            .type = types[t], .opset = 16, .n_in = 2, .in = {{MAP4, .low = 0.5, .high = 3}, rights[r]}};
        spec.in[1].low = 0.5;
        spec.in[1].high = 3;
        spec.in[1].constant = how == 1;
        spec.in[0].constant = how == 2;
        if (how == 3) {
          if (strcmp(types[t], "PRelu") == 0)
            continue; /* broadcasts to the left only */
          const struct operator_input swap = spec.in[0];
          spec.in[0] = spec.in[1];
          spec.in[1] = swap;
        }
        struct operator_result results[OPERATOR_OUTPUTS];
        operator_check(&spec, 0, results);
        const struct shape *out = &results[0].t.shape;
        for (int64_t i = 0; i < 3 * 210; i++) {
          const double x = operator_value(&spec.in[0], 0, i / 210, met(out, &spec.in[0], i % 210));
          const double y = operator_value(&spec.in[1], 1, i / 210, met(out, &spec.in[1], i % 210));
          const double e = binary_expected(types[t], x, y);
          if (fabs(results[0].numbers[i] - e) > 1e-6 * (1 + fabs(e)))
            fail_msg("%s of %.9g and %.9g is %.9g, not %.9g", types[t], x, y, results[0].numbers[i], e);
        }
        operator_free(results);
      }
  operator_refuses(
      &(struct operator_spec){.type = "Add", .n_in = 2, .in = {{.rank = 1, .dim = {3}}, {.rank = 1, .dim = {4}}}},
      "shapes 3 and 4 do not broadcast");
  operator_refuses(
      &(struct operator_spec){
          .type = "Add", .n_in = 2, .in = {{.rank = 1, .dim = {3}}, {.dtype = DTYPE_I64, .rank = 1, .dim = {3}}}},
      "must hold floating-point numbers");
}

/* Powers that have rows of their own. */
static void powers(void **state)
{
  (void)state;
  static const double exponents[] = {2, 3, 0.5, -0.5, 1.7};
  for (int k = 0; k < 5; k++) {
    struct operator_spec spec = {
        .type = "Pow", .n_in = 2, .in = {{.rank = 1, .dim = {40}, .low = 0.1, .high = 4}, {.values = &exponents[k]}}};
    struct operator_result results[OPERATOR_OUTPUTS];
    operator_check(&spec, 0, results);
    for (int64_t i = 0; i < 40; i++) {
      const double e = pow(operator_value(&spec.in[0], 0, 0, i), (double)(float)exponents[k]);
      assert_true(fabs(results[0].numbers[i] - e) < 1e-6 * (1 + e));
    }
    operator_free(results);
  }
}

#define INTEGERS(...)                                                                                                  \
  {                                                                                                                    \
    .dtype = DTYPE_I64, .rank = 1, .dim = {6}, .values = (const double[])                                              \
    {                                                                                                                  \
      __VA_ARGS__                                                                                                      \
    }                                                                                                                  \
  }

static void integers(void **state)
{
  (void)state;
  const struct operator_input x = INTEGERS(7, -7, 7, -7, 5, 0), y = INTEGERS(2, 2, -2, -2, 0, 3);
  operator_gives(&(struct operator_spec){.type = "Div", .n_in = 2, .in = {x, y}}, (const double[]){3, -3, -3, 3, 0, 0},
                 6);
  operator_gives(&(struct operator_spec){.type = "Mod", .n_in = 2, .in = {x, y}}, (const double[]){1, 1, -1, -1, 0, 0},
                 6);
  operator_gives(
      &(struct operator_spec){.type = "Mod", .n_in = 2, .in = {x, y}, .attrs = {INT_ATTR("fmod", 1)}, .n_attrs = 1},
      (const double[]){1, -1, 1, -1, 0, 0}, 6);
  operator_gives(&(struct operator_spec){.type = "Pow", .n_in = 2, .in = {x, INTEGERS(2, 3, 0, 1, 4, 2)}},
                 (const double[]){49, -343, 1, -7, 625, 0}, 6);
  operator_gives(&(struct operator_spec){.type = "And", .n_in = 2, .in = {x, y}}, (const double[]){1, 1, 1, 1, 0, 0},
                 6);
  operator_gives(&(struct operator_spec){.type = "Xor", .n_in = 2, .in = {x, y}}, (const double[]){0, 0, 0, 0, 1, 1},
                 6);
  operator_gives(&(struct operator_spec){.type = "Not", .n_in = 1, .in = {x}}, (const double[]){0, 0, 0, 0, 0, 1}, 6);
  /* What would trap in C. */
  const struct operator_input least = {
      .dtype = DTYPE_I64, .rank = 1, .dim = {1}, .values = (const double[]){(double)INT64_MIN}};
  const struct operator_input minus = {.dtype = DTYPE_I64, .rank = 1, .dim = {1}, .values = (const double[]){-1}};
  operator_gives(&(struct operator_spec){.type = "Div", .n_in = 2, .in = {least, minus}},
                 (const double[]){(double)INT64_MIN}, 1);
  operator_gives(&(struct operator_spec){.type = "Mod", .n_in = 2, .in = {least, minus}}, (const double[]){0}, 1);
}

/* A NaN is not hidden by functions that compare. */
static void not_a_number(void **state)
{
  (void)state;
  const struct operator_input nan = {.rank = 1, .dim = {1}, .values = (const double[]){NAN}};
  const struct operator_input one = {.rank = 1, .dim = {1}, .values = (const double[]){1}};
  static const char *const types[] = {"Relu", "HardSwish", "ThresholdedRelu", "Sign", "Erf", "HardSigmoid"};
  for (int k = 0; k < 6; k++)
    operator_gives(&(struct operator_spec){.type = types[k], .opset = 14, .n_in = 1, .in = {nan}},
                   (const double[]){NAN}, 1);
  static const char *const pairs[] = {"Max", "Min"};
  for (int k = 0; k < 2; k++) {
    operator_gives(&(struct operator_spec){.type = pairs[k], .n_in = 2, .in = {nan, one}}, (const double[]){NAN}, 1);
    operator_gives(&(struct operator_spec){.type = pairs[k], .n_in = 2, .in = {one, nan}}, (const double[]){NAN}, 1);
  }
}

static void many_operands(void **state)
{
  (void)state;
  static const char *const types[] = {"Sum", "Mean", "Max", "Min"};
  for (int k = 0; k < 4; k++)
    for (int n = 1; n <= 4; n++) {
      struct operator_spec spec = {
          .type = types[k],
          .n_in = n,
          .in = {{MAP4}, {.rank = 4, .dim = {1, 5, 1, 1}}, {.rank = 1, .dim = {7}, .constant = true}, {MAP4}}};
      struct operator_result results[OPERATOR_OUTPUTS];
      operator_check(&spec, 0, results);
      for (int64_t i = 0; i < 3 * 210; i++) {
        double e = 0;
        for (int j = 0; j < n; j++) {
          const double x = operator_value(&spec.in[j], j, i / 210, met(&results[0].t.shape, &spec.in[j], i % 210));
          e = j == 0 ? x : (k < 2 ? e + x : (k == 2 ? fmax(e, x) : fmin(e, x)));
        }
        assert_true(fabs(results[0].numbers[i] - (k == 1 ? e / n : e)) < 1e-6 * (1 + fabs(e)));
      }
      operator_free(results);
    }
}

static void where(void **state)
{
  (void)state;
  struct operator_spec spec = {
      .type = "Where",
      .n_in = 3,
      .in = {{.dtype = DTYPE_I64, MAP4, .low = 0, .high = 2}, {MAP4}, {.rank = 3, .dim = {5, 1, 1}}}};
  struct operator_result results[OPERATOR_OUTPUTS];
  operator_check(&spec, 0, results);
  for (int64_t i = 0; i < 3 * 210; i++) {
    const bool c = operator_value(&spec.in[0], 0, i / 210, i % 210) != 0;
    const double e =
        c ? operator_value(&spec.in[1], 1, i / 210, i % 210) : operator_value(&spec.in[2], 2, i / 210, i % 210 / 42);
    assert_true(results[0].numbers[i] == e);
  }
  operator_free(results);
}

/* ---- casts, quantisation ---- */

static void casts(void **state)
{
  (void)state;
#define CAST(e, ...)                                                                                                   \
  (struct operator_spec){.type = "Cast",                                                                               \
                         .n_in = 1,                                                                                    \
                         .in = {{.rank = 1, .dim = {6}, .values = (const double[]){__VA_ARGS__}}},                     \
                         .attrs = {INT_ATTR("to", e)},                                                                 \
                         .n_attrs = 1}
  operator_gives(&CAST(ELEMENT_INT64, -1.9, 1.9, NAN, 1e30, -1e30, 0),
                 (const double[]){-1, 1, 0, (double)INT64_MAX, (double)INT64_MIN, 0}, 6);
  operator_gives(&CAST(ELEMENT_UINT8, -1.9, 1.9, 300, 255, 0, 7.5), (const double[]){0, 1, 255, 255, 0, 7}, 6);
  operator_gives(&CAST(ELEMENT_BOOL, -0.5, 0, 2, 1, 0, 1e-9), (const double[]){1, 0, 1, 1, 0, 1}, 6);
  operator_gives(&CAST(ELEMENT_FLOAT16, 1.0 + 1.0 / 2048, 1.0 + 3.0 / 2048, 70000, 1e-8, 0x1p-24, -2049),
                 (const double[]){1, 1 + 2.0 / 1024, INFINITY, 0, 0x1p-24, -2048}, 6);
  operator_gives(&CAST(ELEMENT_BFLOAT16, 1 + 1.0 / 256, 1 + 3.0 / 256, -3, 0, 1e30, 257),
                 (const double[]){1, 1 + 2.0 / 128, -3, 0, 1.00025554e30, 256}, 6);
  struct operator_spec narrow = CAST(ELEMENT_INT8, 200, -129, 127, 0, 1, 2);
  narrow.in[0].dtype = DTYPE_I64;
  operator_gives(&narrow, (const double[]){-56, 127, 127, 0, 1, 2}, 6);
  operator_refuses(&CAST(ELEMENT_STRING, 0, 0, 0, 0, 0, 0), "a cast to element type 8 is not supported");
}

static void quantisation(void **state)
{
  (void)state;
  const struct operator_input x = {
      .rank = 1, .dim = {6}, .values = (const double[]){-300, -0.25, 0.25, 0.75, 1.25, 300}};
  const struct operator_input half = {.values = (const double[]){0.5}};
  operator_gives(&(struct operator_spec){.type = "QuantizeLinear",
                                         .n_in = 3,
                                         .in = {x, half, {.dtype = DTYPE_I64, .values = (const double[]){128}}}},
                 (const double[]){0, 128, 128, 130, 130, 255}, 6);
  operator_gives(&(struct operator_spec){.type = "QuantizeLinear",
                                         .opset = 21,
                                         .n_in = 2,
                                         .in = {x, half},
                                         .attrs = {INT_ATTR("output_dtype", ELEMENT_INT8)},
                                         .n_attrs = 1},
                 (const double[]){-128, 0, 0, 2, 2, 127}, 6);
  /* Per channel, there and back, in both layouts. */
  static const double scales[] = {0.01, 0.02, 0.03, 0.04, 0.05}, zeros[] = {120, 125, 130, 135, 140};
  struct operator_spec spec = {.type = "QuantizeLinear",
                               .n_in = 3,
                               .in = {{MAP4, .low = -1, .high = 1},
                                      {.rank = 1, .dim = {5}, .values = scales},
                                      {.dtype = DTYPE_I64, .rank = 1, .dim = {5}, .values = zeros}}};
  struct operator_result results[OPERATOR_OUTPUTS];
  operator_check(&spec, 0, results);
  for (int64_t i = 0; i < 3 * 210; i++) {
    const int64_t c = i % 210 / 42;
    const float v = rintf((float)operator_value(&spec.in[0], 0, i / 210, i % 210) / (float)scales[c]) + (float)zeros[c];
    assert_true(results[0].numbers[i] == fmin(fmax((double)v, 0), 255));
  }
  spec.type = "DequantizeLinear";
  spec.in[0] = (struct operator_input){.dtype = DTYPE_I64, MAP4, .low = 0, .high = 255};
  operator_free(results);
  operator_check(&spec, 0, results);
  for (int64_t i = 0; i < 3 * 210; i++) {
    const int64_t c = i % 210 / 42;
    const double e = (operator_value(&spec.in[0], 0, i / 210, i % 210) - zeros[c]) * scales[c];
    assert_true(fabs(results[0].numbers[i] - e) < 1e-6 * (1 + fabs(e)));
  }
  operator_free(results);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(unary),    cmocka_unit_test(error_function), cmocka_unit_test(parameters),
      cmocka_unit_test(rounding), cmocka_unit_test(binary),         cmocka_unit_test(powers),
      cmocka_unit_test(integers), cmocka_unit_test(not_a_number),   cmocka_unit_test(many_operands),
      cmocka_unit_test(where),    cmocka_unit_test(casts),          cmocka_unit_test(quantisation),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
