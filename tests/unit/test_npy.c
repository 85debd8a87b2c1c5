/* SPDX-License-Identifier: Apache-2.0 */
#include "base/npy.h"
#include "fault.h"
#include "scratch.h"

#include <math.h>

static const char *golden(const char *name)
{
  static char path[1024];
  const char *source = getenv("PENUMBRA_SOURCE");
  (void)snprintf(path, sizeof path, "%s/tests/golden/npy/%s", source ? source : ".", name);
  return path;
}

/* What tests/golden/npy/make.py put into every file named after a type. */
static void check_golden(const char *name, char kind)
{
  struct error err = {0};
  struct npy a;
  if (!npy_read(golden(name), 0, &a, &err))
    fail_msg("%s", err.message);
  assert_int_equal(a.type, kind == 'f' ? NPY_F32 : NPY_I32);
  assert_int_equal(a.rank, 3);
  assert_int_equal(a.dim[0], 2);
  assert_int_equal(a.dim[1], 3);
  assert_int_equal(a.dim[2], 4);
  for (int i = 0; i < 24; i++) {
    int whole = kind == 'u' ? i : kind == 'b' ? i % 3 == 0 : i - 4;
    if (kind == 'f')
      assert_true(((float *)a.data)[i] == (float)whole / 2);
    else
      assert_int_equal(((int32_t *)a.data)[i], whole);
  }
  npy_free(&a);
  assert_null(a.data);
}

static void reads_every_type(void **state)
{
  (void)state;
  static const struct {
    char kind;
    int from, to; /* sizes, by doubling */
  } types[] = {{'f', 2, 8}, {'i', 1, 8}, {'u', 1, 8}, {'b', 1, 1}};
  int files = 0;
  for (size_t t = 0; t < sizeof types / sizeof *types; t++)
    for (int size = types[t].from; size <= types[t].to; size *= 2)
      for (int order = 0; order < (size > 1 ? 2 : 1); order++)
        for (int memory = 0; memory < 2; memory++) {
          char name[32];
          (void)snprintf(name, sizeof name, "%c%d_%s_%c.npy", types[t].kind, size,
                         size == 1 ? "1"
                         : order   ? "be"
                                   : "le",
                         "CF"[memory]);
          check_golden(name, types[t].kind);
          files++;
        }
  assert_int_equal(files, 42);
  check_golden("version2.npy", 'f');
  check_golden("version3.npy", 'f');
}

static void reads_odd_shapes(void **state)
{
  (void)state;
  struct error err = {0};
  struct npy a;
  assert_true(npy_read(golden("scalar.npy"), 0, &a, &err));
  assert_int_equal(a.rank, 0);
  assert_int_equal(npy_count(&a), 1);
  assert_true(*(float *)a.data == 2.5f);
  npy_free(&a);
  assert_true(npy_read(golden("empty.npy"), 0, &a, &err));
  assert_int_equal(a.rank, 3);
  assert_int_equal(npy_count(&a), 0);
  npy_free(&a);
  assert_true(npy_read(golden("vector.npy"), 0, &a, &err));
  assert_int_equal(a.rank, 1);
  const int32_t vector[] = {1, -2, 3};
  assert_memory_equal(a.data, vector, sizeof vector);
  npy_free(&a);
}

static void reads_half_precision(void **state)
{
  (void)state;
  struct error err = {0};
  struct npy a;
  assert_true(npy_read(golden("half.npy"), 0, &a, &err));
  const float *v = a.data;
  assert_true(v[0] == 0 && !signbit(v[0]));
  assert_true(v[1] == 0 && signbit(v[1]));
  assert_true(v[2] == 0x1p-24f); /* smallest subnormal */
  assert_true(v[3] == 1023 * 0x1p-24f);
  assert_true(v[4] == 0x1p-14f);
  assert_true(v[5] == 1);
  assert_true(v[6] == 65504);
  assert_true(isinf(v[7]) && v[7] > 0);
  assert_true(isinf(v[8]) && v[8] < 0);
  assert_true(isnan(v[9]));
  npy_free(&a);
}

static void keeps_to_int32_and_float32(void **state)
{
  (void)state;
  struct error err = {0};
  struct npy a;
  assert_true(npy_read(golden("int_limits.npy"), 0, &a, &err));
  assert_int_equal(((int32_t *)a.data)[0], INT32_MIN);
  assert_int_equal(((int32_t *)a.data)[1], INT32_MAX);
  npy_free(&a);
  static const char *const names[] = {"int_too_big.npy", "int_too_small.npy", "uint_too_big.npy", "double_too_big.npy"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    struct error bad = {0};
    assert_false(npy_read(golden(names[i]), 0, &a, &bad));
    assert_non_null(strstr(bad.message, "does not fit"));
    assert_null(a.data);
  }
}

static void refuses_other_types(void **state)
{
  (void)state;
  static const char *const names[] = {"complex.npy", "text.npy",   "date.npy",
                                      "record.npy",  "object.npy", "long_double.npy"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    struct error err = {0};
    struct npy a;
    assert_false(npy_read(golden(names[i]), 0, &a, &err));
    assert_int_equal(err.code, ERROR_FAILED);
    assert_non_null(strstr(err.message, "not supported"));
  }
  struct error err = {0};
  struct npy a;
  assert_false(npy_read(golden("nine_dimensions.npy"), 0, &a, &err));
  assert_non_null(strstr(err.message, "more than 8 dimensions"));
}

static void keeps_its_limit(void **state)
{
  (void)state;
  struct error err = {0};
  struct npy a;
  assert_true(npy_read(golden("f8_le_C.npy"), 24 * 4, &a, &err));
  npy_free(&a);
  assert_false(npy_read(golden("f8_le_C.npy"), 24 * 4 - 1, &a, &err));
  assert_non_null(strstr(err.message, "more than the limit of 95 bytes"));
}

static void every_cut_is_noticed(void **state)
{
  (void)state;
  FILE *file = fopen(golden("f4_be_F.npy"), "rb");
  assert_non_null(file);
  char bytes[512];
  size_t size = fread(bytes, 1, sizeof bytes, file);
  (void)fclose(file);
  assert_int_equal(size, 128 + 96);
  for (size_t n = 0; n < size; n++) {
    struct error err = {0};
    struct npy a;
    scratch_file("cut.npy", bytes, n);
    assert_false(npy_read(scratch_path("cut.npy"), 0, &a, &err));
    assert_int_equal(err.code, ERROR_FAILED);
    assert_null(a.data);
  }
}

/* A version 1 file with this header and `data` zero bytes. */
static bool read_with_header(const char *header, size_t data, struct npy *a, struct error *err)
{
  char bytes[4096] = "\x93NUMPY\x01";
  size_t n = strlen(header);
  assert_true(10 + n + data <= sizeof bytes);
  bytes[8] = (char)(n & 255);
  bytes[9] = (char)(n >> 8);
  memcpy(bytes + 10, header, n);
  scratch_file("made.npy", bytes, 10 + n + data);
  return npy_read(scratch_path("made.npy"), 1 << 20, a, err);
}

static void reads_headers_others_write(void **state)
{
  (void)state;
  static const char *const good[] = {
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
      "{'descr':'<f4','fortran_order':False,'shape':(2,3)}",
      "{\"shape\": (2, 3,), \"fortran_order\": True, \"descr\": \"<f4\"}   \n",
      "  { 'shape' : ( 2L , 3L ) , 'descr' : '=f4' , 'fortran_order' : False }\n",
      "{'descr': 'f4', 'fortran_order': False, 'shape': (6,)}",
      "{'descr': '|u4', 'fortran_order': False, 'shape': (6,)}",
  };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    struct error err = {0};
    struct npy a;
    if (!read_with_header(good[i], 24, &a, &err))
      fail_msg("%s: %s", good[i], err.message);
    assert_int_equal(npy_count(&a), 6);
    npy_free(&a);
  }
}

static void refuses_hostile_headers(void **state)
{
  (void)state;
  static const char *const bad[] = {
      "",
      " ",
      "{",
      "}",
      "{}",
      "[]",
      "{'descr'",
      "{'descr':",
      "{'descr': '<f4",
      "{'descr': '<f4'",
      "{'descr': '<f4', 'fortran_order': False}",
      "{'descr': '<f4', 'shape': (6,)}",
      "{'fortran_order': False, 'shape': (6,)}",
      "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (6,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'x': 1}",
      "{'descr': '<f4' 'fortran_order': False, 'shape': (6,)}",
      "{,'descr': '<f4', 'fortran_order': False, 'shape': (6,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (6,)} x",
      "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (6,)}",
      "{'descr': '<f4', 'fortran_order': 0, 'shape': (6,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': 6}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (6)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (6,}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (-6,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (6.0,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (7,)}",
      "{'descr': '<f3', 'fortran_order': False, 'shape': (6,)}",
      "{'descr': '<f1', 'fortran_order': False, 'shape': (6,)}",
      "{'descr': '<f', 'fortran_order': False, 'shape': (6,)}",
      "{'descr': '<i0', 'fortran_order': False, 'shape': (6,)}",
      "{'descr': '<b2', 'fortran_order': False, 'shape': (6,)}",
      "{'descr': '', 'fortran_order': False, 'shape': (6,)}",
      "{'descr': '<', 'fortran_order': False, 'shape': (6,)}",
      "{'descr': '|O', 'fortran_order': False, 'shape': (6,)}",
      "{'descr': 4, 'fortran_order': False, 'shape': (6,)}",
      "{'descr': '<f4 and a type name longer than any', 'fortran_order': False, 'shape': (6,)}",
      "{'d\\x65scr': '<f4', 'fortran_order': False, 'shape': (6,)}",
      "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 6)}",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct error err = {0};
    struct npy a;
    if (read_with_header(bad[i], 24, &a, &err))
      fail_msg("accepted: %s", bad[i]);
    assert_int_equal(err.code, ERROR_FAILED);
    assert_null(a.data);
  }
  struct error err = {0};
  struct npy a; /* nothing to read, whatever the other dimensions say */
  assert_true(read_with_header("{'descr': '<f8', 'fortran_order': False, "
                               "'shape': (0, 9223372036854775807, 9223372036854775807)}",
                               0, &a, &err));
  assert_int_equal(npy_count(&a), 0);
  npy_free(&a);
}

static void refuses_other_files(void **state)
{
  (void)state;
  static const struct {
    const char *bytes, *message;
    size_t size;
  } files[] = {
      {"", "no .npy file", 0},
      {"\x89PNG\r\n\x1a\n....", "no .npy file", 12},
      {"\x93NUMPY\x00\x00\x00\x00\x00\x00", "version 0.0", 12},
      {"\x93NUMPY\x04\x00\x00\x00\x00\x00", "version 4.0", 12},
      {"\x93NUMPY\x01\x00\xff\xff{}", "ends within its header", 12},
      {"\x93NUMPY\x02\x00\xff\xff", "ends within its header", 10},
      {"\x93NUMPY\x02\x00\xff\xff\xff\xff", "ends within its header", 12},
  };
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    struct error err = {0};
    struct npy a;
    scratch_file("other.npy", files[i].bytes, files[i].size);
    assert_false(npy_read(scratch_path("other.npy"), 0, &a, &err));
    if (!strstr(err.message, files[i].message))
      fail_msg("%s", err.message);
  }
  /* A header of more than a mebibyte that is really there. */
  static char long_header[(1 << 20) + 64] = "\x93NUMPY\x02";
  long_header[8] = 1;
  long_header[10] = 0x10;
  struct error err = {0};
  struct npy a;
  scratch_file("long.npy", long_header, sizeof long_header);
  assert_false(npy_read(scratch_path("long.npy"), 0, &a, &err));
  assert_non_null(strstr(err.message, "a header of 1048577 bytes is more than the limit"));
  struct error missing = {0};
  assert_false(npy_read(scratch_path("none.npy"), 0, &a, &missing));
}

static void writes_what_it_reads(void **state)
{
  (void)state;
  static const struct npy shapes[] = {
      {.type = NPY_F32, .rank = 0},
      {.type = NPY_F32, .rank = 1, .dim = {5}},
      {.type = NPY_I32, .rank = 2, .dim = {3, 4}},
      {.type = NPY_F32, .rank = 3, .dim = {2, 0, 7}},
      {.type = NPY_I32, .rank = 8, .dim = {1, 2, 1, 2, 1, 2, 1, 3}},
  };
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    struct error err = {0};
    float floats[64];
    int32_t ints[64];
    for (int i = 0; i < 64; i++) {
      floats[i] = (float)i / 3 - 5;
      ints[i] = i * 1000003 - 7;
    }
    floats[0] = NAN;
    struct npy out = shapes[s], in;
    out.data = out.type == NPY_F32 ? (void *)floats : (void *)ints;
    assert_true(npy_write(scratch_path("a.npy"), &out, &err));
    assert_true(npy_read(scratch_path("a.npy"), 0, &in, &err));
    assert_int_equal(in.type, out.type);
    assert_int_equal(in.rank, out.rank);
    assert_memory_equal(in.dim, out.dim, sizeof in.dim);
    if (npy_count(&out))
      assert_memory_equal(in.data, out.data, (size_t)npy_count(&out) * 4);
    npy_free(&in);
  }
}

/* Byte for byte what NumPy wrote. */
static void writes_as_numpy_does(void **state)
{
  (void)state;
  struct error err = {0};
  int32_t vector[] = {1, -2, 3};
  const struct npy out = {.type = NPY_I32, .rank = 1, .dim = {3}, .data = vector};
  assert_true(npy_write(scratch_path("vector.npy"), &out, &err));
  char ours[256], theirs[256];
  FILE *a = fopen(scratch_path("vector.npy"), "rb"), *b = fopen(golden("vector.npy"), "rb");
  assert_non_null(a);
  assert_non_null(b);
  size_t n = fread(ours, 1, sizeof ours, a), m = fread(theirs, 1, sizeof theirs, b);
  (void)fclose(a);
  (void)fclose(b);
  /* NumPy leaves room for a longer shape, so the blanks before the elements may differ in number. */
  assert_true(n % 64 == 12 && m % 64 == 12);
  assert_memory_equal(ours, theirs, 8);
  assert_memory_equal(ours + 10, theirs + 10, strlen("{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }"));
  assert_memory_equal(ours + n - 13, theirs + m - 13, 13);
}

static void refuses_to_write_nonsense(void **state)
{
  (void)state;
  static const struct npy bad[] = {
      {.rank = 9}, {.rank = -1}, {.rank = 1, .dim = {-1}}, {.rank = 2, .dim = {INT64_MAX, 2}}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct error err = {0};
    assert_false(npy_write(scratch_path("bad.npy"), &bad[i], &err));
    assert_int_equal(err.code, ERROR_FAILED);
  }
}

static void survives_want_of_memory(void **state)
{
  (void)state;
  struct npy a;
  FAULT_LOOP(npy_read(golden("f8_be_F.npy"), 0, &a, &err), npy_free(&a));
  float data[4] = {0};
  const struct npy out = {.type = NPY_F32, .rank = 1, .dim = {4}, .data = data};
  FAULT_LOOP(npy_write(scratch_path("a.npy"), &out, &err), (void)0);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_every_type),     cmocka_unit_test(reads_odd_shapes),
      cmocka_unit_test(reads_half_precision), cmocka_unit_test(keeps_to_int32_and_float32),
      cmocka_unit_test(refuses_other_types),  cmocka_unit_test(keeps_its_limit),
      IN_SCRATCH(every_cut_is_noticed),       IN_SCRATCH(reads_headers_others_write),
      IN_SCRATCH(refuses_hostile_headers),    IN_SCRATCH(refuses_other_files),
      IN_SCRATCH(writes_what_it_reads),       IN_SCRATCH(writes_as_numpy_does),
      IN_SCRATCH(refuses_to_write_nonsense),  IN_SCRATCH(survives_want_of_memory),
  };
  return cmocka_run_group_tests_name("npy", tests, NULL, NULL);
}
