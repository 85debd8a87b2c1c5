/* SPDX-License-Identifier: Apache-2.0 */
#include "engine.h"
#include "fault.h"
#include "metrics/agreement.h"
#include "scratch.h"

#include <stdlib.h>

static const char *const names[] = {"noisy", "ties", "opposite", "shifted", "small", "stack"};
enum { N_NAMES = sizeof names / sizeof *names };

static char *pair_path(const char *name, char which)
{
  char file[64];
  (void)snprintf(file, sizeof file, "%s.%c.npy", name, which);
  return (char *)(uintptr_t)golden_path("agreement", file);
}

static double number(const json_t *object, const char *name)
{
  const json_t *value = json_object_get(object, name);
  assert_true(json_is_number(value));
  return json_number_value(value);
}

static void near(const json_t *ours, const json_t *golden, const char *name, const char *field)
{
  const double a = number(ours, field), b = number(golden, field);
  if (fabs(a - b) > 1e-6)
    print_message("# %s, %s: %.9f, not %.9f\n", name, field, a, b);
  assert_true(fabs(a - b) <= 1e-6);
}

static void equals_scipy_and_skimage(void **state)
{
  (void)state;
  json_t *golden = golden_json("agreement", "agreement.json");
  for (int i = 0; i < N_NAMES; i++) {
    struct error err = {0};
    json_t *ours = agreement_of_files(pair_path(names[i], 'a'), pair_path(names[i], 'b'), &err);
    assert_ok(ours != NULL, err);
    const json_t *expected = json_object_get(golden, names[i]);
    static const char *const fields[] = {"spearman", "pearson", "top5_jaccard", "ssim", "max_abs_difference"};
    for (int f = 0; f < 5; f++)
      near(ours, expected, names[i], fields[f]);
    assert_int_equal(json_array_size(json_object_get(ours, "shape")), strcmp(names[i], "stack") == 0 ? 3 : 2);
    json_decref(ours);
  }
  json_decref(golden);
}

static void ranks_average_ties(void **state)
{
  (void)state;
  json_t *golden = golden_json("agreement", "agreement.json");
  const json_t *of = json_object_get(json_object_get(golden, "ranks"), "of"),
               *are = json_object_get(json_object_get(golden, "ranks"), "are");
  float x[16];
  double ranks[16];
  struct error err = {0};
  const size_t n = json_array_size(of);
  for (size_t i = 0; i < n; i++)
    x[i] = (float)json_number_value(json_array_get(of, i));
  assert_ok(ranks_of(x, (int64_t)n, ranks, &err), err);
  for (size_t i = 0; i < n; i++)
    assert_true(ranks[i] == json_number_value(json_array_get(are, i)));
  json_decref(golden);
}

/* A map with itself: 1, 1, 1, 1, 0; either order the same. */
static void is_symmetric_and_reflexive(void **state)
{
  (void)state;
  for (int i = 0; i < N_NAMES; i++) {
    struct error err = {0};
    struct npy a = npy_open(pair_path(names[i], 'a')), b = npy_open(pair_path(names[i], 'b'));
    const int64_t width = a.dim[a.rank - 1], height = npy_count(&a) / width;
    struct agreement ab, ba, aa;
    assert_ok(agreement_of(a.data, b.data, height, width, &ab, &err), err);
    assert_ok(agreement_of(b.data, a.data, height, width, &ba, &err), err);
    assert_ok(agreement_of(a.data, a.data, height, width, &aa, &err), err);
    assert_true(fabs(ab.spearman - ba.spearman) < 1e-12 && fabs(ab.pearson - ba.pearson) < 1e-12);
    assert_true(ab.top5_jaccard == ba.top5_jaccard && fabs(ab.ssim - ba.ssim) < 1e-12);
    assert_true(ab.max_abs_difference == ba.max_abs_difference);
    assert_true(fabs(aa.spearman - 1) < 1e-12 && fabs(aa.pearson - 1) < 1e-12 && aa.top5_jaccard == 1);
    assert_true(fabs(aa.ssim - 1) < 1e-12 && aa.max_abs_difference == 0);
    npy_free(&a);
    npy_free(&b);
  }
}

static void constants_have_no_correlation(void **state)
{
  (void)state;
  struct error err = {0};
  const float flat[12] = {0}, slope[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, one[1] = {5};
  struct agreement r;
  assert_ok(agreement_of(flat, flat, 3, 4, &r, &err), err);
  assert_true(isnan(r.spearman) && isnan(r.pearson) && r.top5_jaccard == 1 && r.ssim == 1 && r.max_abs_difference == 0);
  assert_ok(agreement_of(flat, slope, 3, 4, &r, &err), err);
  assert_true(isnan(r.spearman) && isnan(r.pearson) && r.max_abs_difference == 11);
  assert_ok(agreement_of(one, one, 1, 1, &r, &err), err);
  assert_true(r.ssim == 1);
}

static void refuses_what_is_not_finite(void **state)
{
  (void)state;
  struct error err = {0};
  const float good[4] = {0, 1, 2, 3}, bad[4] = {0, 1, NAN, 3}, worse[4] = {INFINITY, 1, 2, 3};
  struct agreement r;
  assert_false(agreement_of(good, bad, 2, 2, &r, &err));
  assert_string_equal(err.message, "value 2 of the second map is not finite");
  err = (struct error){0};
  assert_false(agreement_of(worse, good, 2, 2, &r, &err));
  assert_string_equal(err.message, "value 0 of the first map is not finite");
}

static void refuses_other_files(void **state)
{
  (void)state;
  struct error err = {0};
  assert_null(agreement_of_files(pair_path("noisy", 'a'), pair_path("small", 'a'), &err));
  assert_non_null(strstr(err.message, "differ in shape"));
  err = (struct error){0};
  assert_null(agreement_of_files(pair_path("noisy", 'a'), pair_path("stack", 'a'), &err));
  assert_non_null(strstr(err.message, "differ in shape"));
  err = (struct error){0};
  assert_null(agreement_of_files("no/such.npy", pair_path("small", 'a'), &err));
  assert_non_null(strstr(err.message, "no/such.npy"));
  err = (struct error){0};
  const struct npy empty = {NPY_F32, 1, {0}, NULL};
  assert_ok(npy_write(scratch_path("empty.npy"), &empty, &err), err);
  assert_null(agreement_of_files(scratch_path("empty.npy"), scratch_path("empty.npy"), &err));
  assert_non_null(strstr(err.message, "is empty"));
}

static void integers_are_numbers(void **state)
{
  (void)state;
  struct error err = {0};
  int32_t a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {1, 2, 3, 4, 6, 5};
  const struct npy first = {NPY_I32, 2, {2, 3}, a}, second = {NPY_I32, 2, {2, 3}, b};
  assert_ok(npy_write(scratch_path("a.npy"), &first, &err) && npy_write(scratch_path("b.npy"), &second, &err), err);
  json_t *r = agreement_of_files(scratch_path("a.npy"), scratch_path("b.npy"), &err);
  assert_ok(r != NULL, err);
  assert_true(fabs(number(r, "spearman") - (1 - 6.0 * 2 / (6 * 35))) < 1e-12);
  assert_true(number(r, "max_abs_difference") == 1);
  json_decref(r);
}

static void fails_without_memory(void **state)
{
  (void)state;
  json_t *r = NULL;
  FAULT_LOOP((r = agreement_of_files(pair_path("small", 'a'), pair_path("small", 'b'), &err)) != NULL, json_decref(r));
}

int main(void)
{
  fault_include_jansson();
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(equals_scipy_and_skimage),
    cmocka_unit_test(ranks_average_ties),
    cmocka_unit_test(is_symmetric_and_reflexive),
    cmocka_unit_test(constants_have_no_correlation),
    cmocka_unit_test(refuses_what_is_not_finite),
    cmocka_unit_test_setup_teardown(refuses_other_files, scratch_setup, scratch_teardown),
    cmocka_unit_test_setup_teardown(integers_are_numbers, scratch_setup, scratch_teardown),
    cmocka_unit_test(fails_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
