/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "unit.h"

#include <string.h>

static void first_error_wins(void **state)
{
  (void)state;
  struct error err = {0};
  assert_false(error_set(&err, ERROR_USAGE, "patch: %d is outside %d..%d", 0, 1, 224));
  assert_false(error_set(&err, ERROR_FAILED, "later"));
  assert_false(error_memory(&err, "later still"));
  assert_int_equal(err.code, ERROR_USAGE);
  assert_string_equal(err.message, "patch: 0 is outside 1..224");
}

static void memory_names_what(void **state)
{
  (void)state;
  struct error err = {0};
  assert_false(error_memory(&err, "the map"));
  assert_int_equal(err.code, ERROR_MEMORY);
  assert_string_equal(err.message, "out of memory for the map");
}

static void prefix_goes_before(void **state)
{
  (void)state;
  struct error err = {0};
  error_set(&err, ERROR_FAILED, "no pixels");
  assert_false(error_prefix(&err, "image %d", 3));
  assert_string_equal(err.message, "image 3: no pixels");
}

static void long_messages_are_cut(void **state)
{
  (void)state;
  struct error err = {0};
  char text[600];
  memset(text, 'a', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  error_set(&err, ERROR_FAILED, "%s", text);
  assert_int_equal(strlen(err.message), sizeof err.message - 1);
  error_prefix(&err, "%s", text);
  assert_int_equal(strlen(err.message), sizeof err.message - 1);

  /* The cut falls into the middle of a two-byte character: no half of one is left. */
  struct error half = {0};
  memset(text, 'a', 250);
  memcpy(text + 250, "\xC3\xA9", 3);
  error_set(&half, ERROR_FAILED, "%s", text);
  assert_int_equal(strlen(half.message), 251);
  assert_int_equal(half.message[250], '?');
}

static void control_characters_are_taken_out(void **state)
{
  (void)state;
  struct error err = {0};
  error_set(&err, ERROR_FAILED, "a\nb\033[31mc\xC2\x9B\x80é");
  assert_string_equal(err.message, "a?b?[31mc???é");
  error_prefix(&err, "x\ty");
  assert_string_equal(err.message, "x?y: a?b?[31mc???é");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(first_error_wins),
      cmocka_unit_test(memory_names_what),
      cmocka_unit_test(prefix_goes_before),
      cmocka_unit_test(long_messages_are_cut),
      cmocka_unit_test(control_characters_are_taken_out),
  };
  return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
