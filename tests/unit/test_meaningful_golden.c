/* SPDX-License-Identifier: Apache-2.0 */
/* Meaningful perturbation with the published settings against a plain PyTorch run from the same start with the same
 * jitter (tests/golden/meaningful). */
#include "subject.h"

/* MEA-R3, R5 */
static void equals_pytorch(void **state)
{
  (void)state;
  json_error_t cause;
  json_t *cases = json_load_file(golden_path("meaningful", "cases.json"), 0, &cause), *c;
  size_t i;
  assert_int_equal(json_array_size(cases), 5);
  json_array_foreach (cases, i, c) {
    struct subject *s = subject_open(json_string_value(json_object_get(c, "net")), false);
    s->explain.evaluate.session.score = SCORE_PROB;
    struct explanation out = subject_run(s, "meaningful", json_string_value(json_object_get(c, "params")));
    assert_int_equal(out.target, json_integer_value(json_object_get(c, "target")));
    const json_t *game = json_array_get(json_object_get(out.details, "games"), 0);
    const double wanted = json_number_value(json_object_get(c, "objective"));
    const double start = json_number_value(json_object_get(c, "start"));
    const double value = json_number_value(json_object_get(game, "objective"));
    assert_true(fabs(json_number_value(json_object_get(game, "objective_start")) - start) <= 1e-5);
    assert_true(wanted < start - 0.01); /* there was something to find */
    struct npy golden;
    struct error err = {0};
    assert_ok(
        npy_read(golden_path("meaningful", json_string_value(json_object_get(c, "mask"))), 1 << 20, &golden, &err),
        err);
    const float *mask = subject_array(&out, "mask"), *peer = golden.data;
    double most = 0;
    for (int64_t k = 0; k < npy_count(&golden); k++)
      most = fmax(most, fabs((double)mask[k] - (double)peer[k]));
    if (!(fabs(value - wanted) <= fmin(0.02 * fabs(wanted), 1e-3) && most <= 0.01))
      fail_msg("case %zu: objective %.6f, expected %.6f; masks differ by %.4f", i, value, wanted, most);
    npy_free(&golden);
    explanation_free(&out);
    subject_close(s);
  }
  json_decref(cases);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(equals_pytorch)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
