/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/str.h"
#include "unit.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

static void grows(void **state)
{
  (void)state;
  struct str s;
  str_init(&s, 1 << 20);
  char expected[6000] = "";
  for (int i = 0; i < 1000; i++) {
    assert_true(str_printf(&s, "%d,", i));
    size_t n = strlen(expected);
    (void)snprintf(expected + n, sizeof expected - n, "%d,", i);
  }
  assert_string_equal(s.text, expected);
  assert_int_equal(s.length, strlen(expected));
  assert_true(str_append(&s, ""));
  assert_true(str_append_bytes(&s, "a\0b", 3));
  assert_int_equal(s.length, strlen(expected) + 3);
  assert_memory_equal(s.text + s.length - 3, "a\0b", 4);
  str_free(&s);
  assert_null(s.text);
}

static void stops_at_its_limit(void **state)
{
  (void)state;
  struct str s;
  str_init(&s, 10);
  assert_true(str_append(&s, "0123456789"));
  assert_false(s.failed);
  assert_false(str_append(&s, "x"));
  assert_true(s.failed);
  assert_null(s.text);
  assert_false(str_append(&s, "y")); /* stays empty-handed */
  assert_false(str_printf(&s, "%d", 1));
  assert_null(s.text);
  str_free(&s);

  str_init(&s, 10);
  assert_false(str_append_bytes(&s, "", SIZE_MAX));
  str_free(&s);
  str_init(&s, 4);
  assert_false(str_printf(&s, "%s", "12345"));
  str_free(&s);
}

static void fails_without_memory(void **state)
{
  (void)state;
  struct str s;
  str_init(&s, 1 << 20);
  assert_true(str_append(&s, "some"));
  mem_fail_after(1);
  char more[200];
  memset(more, 'm', sizeof more);
  assert_false(str_append_bytes(&s, more, sizeof more));
  mem_fail_after(0);
  assert_true(s.failed);
  assert_null(s.text);
  str_free(&s);
}

static void distances(void **state)
{
  (void)state;
  assert_int_equal(str_distance("", ""), 0);
  assert_int_equal(str_distance("patch", "patch"), 0);
  assert_int_equal(str_distance("patch", ""), 5);
  assert_int_equal(str_distance("", "patch"), 5);
  assert_int_equal(str_distance("kitten", "sitting"), 3);
  assert_int_equal(str_distance("ptach", "patch"), 2);
  assert_int_equal(str_distance("stride", "strides"), 1);
  char a[200], b[200];
  memset(a, 'a', sizeof a);
  memset(b, 'b', sizeof b);
  a[199] = b[199] = '\0';
  assert_int_equal(str_distance(a, b), 63);
}

static void nearest(void **state)
{
  (void)state;
  static const char *const names[] = {"occlusion", "rise", "lime", "kernelshap", NULL};
  assert_string_equal(str_nearest("oclusion", names), "occlusion");
  assert_string_equal(str_nearest("rice", names), "rise");
  assert_string_equal(str_nearest("lim", names), "lime");
  assert_string_equal(str_nearest("kernel-shap", names), "kernelshap");
  assert_null(str_nearest("gradcam", names));
  assert_null(str_nearest("x", names));
}

static void numbers(void **state)
{
  (void)state;
  double d = 42;
  assert_true(str_number("-1.5e3", &d) && d == -1500);
  assert_true(str_number("0", &d) && d == 0);
  assert_true(str_number(".5", &d) && d == 0.5);
  assert_true(str_number("+7.", &d) && d == 7);
  d = 42;
  static const char *const bad[] = {"", " 1", "1 ", "1x", "0x10", "inf", "nan", "1e999", "1,5", "--1", "e", ".", "1e"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_false(str_number(bad[i], &d));
  assert_true(d == 42);

  int64_t n = 42;
  assert_true(str_integer("-17", &n) && n == -17);
  assert_true(str_integer("9223372036854775807", &n) && n == INT64_MAX);
  assert_true(str_integer("-9223372036854775808", &n) && n == INT64_MIN);
  n = 42;
  static const char *const no_integer[] = {"", " 1", "1 ", "1.0", "9223372036854775808", "0x1", "+", "1-"};
  for (size_t i = 0; i < sizeof no_integer / sizeof *no_integer; i++)
    assert_false(str_integer(no_integer[i], &n));
  assert_int_equal(n, 42);
}

/* A host program may have set a locale whose decimal separator is a comma. */
static void numbers_are_the_same_in_every_locale(void **state)
{
  (void)state;
  static const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8", "de_DE"};
  bool set = false;
  for (size_t i = 0; !set && i < sizeof locales / sizeof *locales; i++)
    set = setlocale(LC_ALL, locales[i]) != NULL;
  if (!set)
    skip();
  double d = 0;
  bool ok = str_number("0.5", &d);
  setlocale(LC_ALL, "C");
  assert_true(ok);
  assert_true(d == 0.5);
}

static void check_clean(const char *text, const char *expected)
{
  char buffer[64];
  (void)snprintf(buffer, sizeof buffer, "%s", text);
  str_clean(buffer);
  assert_string_equal(buffer, expected);
}

static void cleans(void **state)
{
  (void)state;
  check_clean("", "");
  check_clean("Pneumothorax, großer Herzschatten 肺 🫁", "Pneumothorax, großer Herzschatten 肺 🫁");
  check_clean("\x01\x1b[0m\x7f\t", "??[0m??");
  check_clean("\xC2\x85", "??");       /* C1 control */
  check_clean("\xC2\xA0", "\xC2\xA0"); /* the first that is none */
  check_clean("\xFF\xFE", "??");
  check_clean("\xC0\xAF", "??"); /* overlong '/' */
  check_clean("\xE0\x80\xAF", "???");
  check_clean("\xED\xA0\x80", "???");      /* surrogate */
  check_clean("\xF4\x90\x80\x80", "????"); /* beyond U+10FFFF */
  check_clean("\xE8\x82", "??");           /* cut short */
  check_clean("a\xC3", "a?");
}

static void shortens(void **state)
{
  (void)state;
  static const struct {
    const char *text, *brief;
  } cases[] = {
      {"", ""},
      {"nodule", "nodule"},
      {"1234567", "1234567"},
      {"12345678", "1234..."},
      {"123ü5678", "123..."},
      {"12ü5678", "12ü..."},
      {"üüüüü", "üü..."},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char buffer[8];
    memset(buffer, 'x', sizeof buffer);
    str_brief(cases[i].text, buffer, sizeof buffer);
    assert_string_equal(buffer, cases[i].brief);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(grows),
      cmocka_unit_test(stops_at_its_limit),
      cmocka_unit_test(fails_without_memory),
      cmocka_unit_test(distances),
      cmocka_unit_test(nearest),
      cmocka_unit_test(numbers),
      cmocka_unit_test(numbers_are_the_same_in_every_locale),
      cmocka_unit_test(cleans),
      cmocka_unit_test(shortens),
  };
  return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
