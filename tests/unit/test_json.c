/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "fault.h"
#include "scratch.h"

#include <math.h>

static json_t *load(const char *text, size_t size, struct error *err)
{
  scratch_file("a.json", text, size);
  return json_load_path(scratch_path("a.json"), 1 << 20, err);
}

static void loads_strictly(void **state)
{
  (void)state;
  struct error err = {0};
  json_t *value = load("{\"a\": [1, 2.5, \"ü\", null, true]}", 33, &err);
  assert_non_null(value);
  assert_int_equal(json_array_size(json_object_get(value, "a")), 5);
  json_decref(value);

  static const struct {
    const char *text, *message;
  } bad[] = {
      {"", "is empty"},
      {"{", "line 1, column 1"},
      {"{\n\"a\": 1,\n\"b\": x}", "line 3, column 6"},
      {"{\"a\": 1, \"a\": 2}", "duplicate"},
      {"{\"a\": \"\xff\"}", "unable to decode byte 0xff"},
      {"{\"a\": 1} x", "end of file expected"},
      {"{\"a\": NaN}", "line 1"},
      {"{\"a\": 1e999}", "line 1"},
      {"{\"a\": 99999999999999999999}", "line 1"},
      {"{'a': 1}", "line 1"},
      {"12", "line 1"},
      {"{\"a\": 1,}", "line 1"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct error e = {0};
    assert_null(load(bad[i].text, strlen(bad[i].text), &e));
    assert_int_equal(e.code, ERROR_FAILED);
    assert_non_null(strstr(e.message, "a.json: "));
    if (!strstr(e.message, bad[i].message))
      fail_msg("%s: %s", bad[i].text, e.message);
  }
  struct error nul = {0};
  assert_null(load("{\"a\": \"x\\u0000y\"}", 17, &nul));
}

static void hostile_files(void **state)
{
  (void)state;
  enum { DEEP = 200000 };
  static char deep[DEEP];
  memset(deep, '[', sizeof deep);
  struct error nested = {0}, big = {0}, missing = {0};
  assert_null(load(deep, sizeof deep, &nested)); /* and the stack holds */
  assert_int_equal(nested.code, ERROR_FAILED);
  assert_null(json_load_path(scratch_path("a.json"), DEEP - 1, &big));
  assert_non_null(strstr(big.message, "more than the limit"));
  assert_null(json_load_path(scratch_path("none.json"), 0, &missing));
  assert_non_null(strstr(missing.message, "No such file"));
}

static void numbers_or_null(void **state)
{
  (void)state;
  json_t *n = json_number_or_null(0.25);
  assert_true(json_is_real(n) && json_real_value(n) == 0.25);
  json_decref(n);
  assert_true(json_is_null(json_number_or_null(NAN)));
  assert_true(json_is_null(json_number_or_null(INFINITY)));
  assert_true(json_is_null(json_number_or_null(-INFINITY)));
}

static void unknown_keys(void **state)
{
  (void)state;
  static const char *const known[] = {"size", "channels", "scale", NULL};
  json_t *object = json_pack("{s:i, s:i}", "size", 1, "scale", 2);
  struct error none = {0}, near = {0}, far = {0}, top = {0};
  assert_true(json_only_keys(object, "input", known, &none));
  json_object_set_new(object, "chanels", json_null());
  assert_false(json_only_keys(object, "input", known, &near));
  assert_string_equal(near.message, "input.chanels: is no known key; did you mean 'channels'?");
  json_object_del(object, "chanels");
  json_object_set_new(object, "wavelength\n", json_null());
  assert_false(json_only_keys(object, "input", known, &far));
  assert_string_equal(far.message, "input.wavelength?: is no known key");
  assert_false(json_only_keys(object, "", known, &top));
  assert_string_equal(top.message, "wavelength?: is no known key");
  json_decref(object);
}

static void typed_members(void **state)
{
  (void)state;
  json_t *o = json_pack("{s:s, s:i, s:f, s:b, s:n, s:[i,f], s:[i,s], s:{}}", "text", "lung", "int", 3, "real", 0.5,
                        "yes", 1, "null", "list", 1, 2.5, "mixed", 1, "x", "object");
  assert_non_null(o);
  struct error err = {0};
  const char *text = "kept";
  double number = -1, numbers[2] = {-1, -1};
  bool truth = false;
  size_t count = 77;
  assert_true(json_get_text(o, "in", "none", &text, &err));
  assert_true(json_get_text(o, "in", "null", &text, &err));
  assert_true(json_get_number(o, "in", "none", &number, &err));
  assert_true(json_get_bool(o, "in", "null", &truth, &err));
  assert_true(json_get_numbers(o, "in", "none", numbers, 2, &count, &err));
  assert_string_equal(text, "kept");
  assert_true(number == -1 && !truth && count == 77);

  assert_true(json_get_text(o, "in", "text", &text, &err));
  assert_string_equal(text, "lung");
  assert_true(json_get_number(o, "in", "int", &number, &err) && number == 3);
  assert_true(json_get_number(o, "in", "real", &number, &err) && number == 0.5);
  assert_true(json_get_bool(o, "in", "yes", &truth, &err) && truth);
  assert_true(json_get_numbers(o, "in", "list", numbers, 2, &count, &err));
  assert_true(count == 2 && numbers[0] == 1 && numbers[1] == 2.5);

  struct error e[8] = {0};
  assert_false(json_get_text(o, "in", "int", &text, &e[0]));
  assert_string_equal(e[0].message, "in.int: is a number, not a text");
  assert_false(json_get_number(o, "", "text", &number, &e[1]));
  assert_string_equal(e[1].message, "text: is a text, not a number");
  assert_false(json_get_bool(o, "in", "object", &truth, &e[2]));
  assert_string_equal(e[2].message, "in.object: is an object, not true or false");
  assert_false(json_get_numbers(o, "in", "yes", numbers, 2, &count, &e[3]));
  assert_string_equal(e[3].message, "in.yes: is true or false, not a list of numbers");
  assert_false(json_get_numbers(o, "in", "mixed", numbers, 2, &count, &e[4]));
  assert_string_equal(e[4].message, "in.mixed[1]: is a text, not a number");
  assert_false(json_get_numbers(o, "in", "list", numbers, 1, &count, &e[5]));
  assert_string_equal(e[5].message, "in.list: has 2 numbers, more than 1");
  assert_false(json_get_number(o, "in", "list", &number, &e[6]));
  assert_string_equal(e[6].message, "in.list: is a list, not a number");
  json_decref(o);
}

static void writes_readably(void **state)
{
  (void)state;
  struct error err = {0};
  json_t *value = json_pack("{s:f, s:f, s:[i], s:s}", "tenth", 0.1, "score", (double)0.75f, "list", 1, "ü", "肺");
  assert_true(json_write_path(value, scratch_path("b.json"), &err));
  char text[256] = "";
  FILE *file = fopen(scratch_path("b.json"), "rb");
  assert_non_null(file);
  assert_true(fread(text, 1, sizeof text - 1, file) > 0);
  (void)fclose(file);
  assert_string_equal(text,
                      "{\n  \"tenth\": 0.1,\n  \"score\": 0.75,\n  \"list\": [\n    1\n  ],\n  \"ü\": \"肺\"\n}\n");
  json_t *again = json_load_path(scratch_path("b.json"), 0, &err);
  assert_true(json_equal(value, again));
  json_decref(again);
  assert_false(json_write_path(value, scratch_path("none/b.json"), &err));
  json_decref(value);
}

static bool load_and_write(struct error *err)
{
  json_t *value = json_load_path(scratch_path("a.json"), 1 << 20, err);
  bool ok = value && json_write_path(value, scratch_path("b.json"), err);
  json_decref(value);
  return ok;
}

static void survives_want_of_memory(void **state)
{
  (void)state;
  static const char text[] = "{\"a\": [1, 2.5, \"some text\", {\"b\": true}], \"c\": \"d\"}";
  scratch_file("a.json", text, sizeof text - 1);
  FAULT_LOOP(load_and_write(&err), (void)0);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

static void shortens(void **state)
{
  (void)state;
  char buffer[16];
  json_t *value = json_pack("{s:s, s:[f]}", "name", "a longer text", "list", 0.5);
  json_brief(value, JSON_COMPACT, buffer, sizeof buffer);
  assert_string_equal(buffer, "{\"name\":\"a l...");
  json_brief(json_object_get(value, "list"), 0, buffer, sizeof buffer);
  assert_string_equal(buffer, "[0.5]");
  json_decref(value);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      IN_SCRATCH(loads_strictly),     IN_SCRATCH(hostile_files),           cmocka_unit_test(numbers_or_null),
      cmocka_unit_test(unknown_keys), cmocka_unit_test(typed_members),     IN_SCRATCH(writes_readably),
      cmocka_unit_test(shortens),     IN_SCRATCH(survives_want_of_memory),
  };
  fault_include_jansson();
  return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
