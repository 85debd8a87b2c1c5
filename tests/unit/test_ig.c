/* SPDX-License-Identifier: Apache-2.0 */
/* Integrated gradients: completeness, exactness where the rule promises it, the stem's shortcut against its plain twin.
 * (Against Captum: test_slopes.c.) */
#include "methods/quadrature.h"
#include "subject.h"
#include "tensor/compute.h"

static void rules_integrate(void **state)
{
  (void)state;
  double node[4096], weight[4096];
  for (int n = 1; n <= 300; n += n < 20 ? 1 : 40)
    for (int rule = QUADRATURE_GAUSS; rule <= QUADRATURE_TRAPEZOID; rule++) {
      if (rule == QUADRATURE_TRAPEZOID && n < 2)
        continue;
      double sum = 0;
      quadrature((enum quadrature)rule, n, node, weight);
      for (int k = 0; k < n; k++) {
        assert_true(node[k] >= 0 && node[k] <= 1 && weight[k] > 0 && (k == 0 || node[k] > node[k - 1]));
        sum += weight[k];
      }
      assert_float_equal(sum, 1, 1e-12);
      /* Gauss: monomials up to degree 2n - 1. */
      for (int d = 1; rule == QUADRATURE_GAUSS && d < 2 * n && d < 40; d++) {
        double moment = 0;
        for (int k = 0; k < n; k++)
          moment += weight[k] * pow(node[k], d);
        assert_float_equal(moment, 1.0 / (d + 1), 1e-12);
      }
    }
  quadrature(QUADRATURE_GAUSS, 4096, node, weight);
  assert_true(node[0] > 0 && node[4095] < 1 && fabs(node[0] + node[4095] - 1) < 1e-12);
}

/* Kronrod's nodes lie between Gauss's, and all nine are exact to degree 13. */
static void rules_grow(void **state)
{
  (void)state;
  double node[9], weight[9], unused[4];
  quadrature(QUADRATURE_GAUSS, 4, node, unused);
  quadrature_old_weights(weight);
  quadrature_new_nodes(node + 4, weight + 4);
  for (int i = 0; i < 4; i++)
    assert_true(node[4 + i] < node[i] && node[i] < node[5 + i]);
  for (int d = 0; d <= 13; d++) {
    double moment = 0;
    for (int k = 0; k < 9; k++)
      moment += weight[k] * pow(node[k], d);
    assert_float_equal(moment, 1.0 / (d + 1), 1e-14);
  }
}

static int64_t pixels_of(const struct subject *s)
{
  return (int64_t)s->model->predictor.height * s->model->predictor.width;
}

static void attributions_add_up(void **state)
{
  (void)state;
  static const char *const nets[] = {"lin",      "pix",          "conv1_softmax", "conv3_sigmoid", "res",
                                     "win_gate", "win_branches", "win_deep",      "back_silu",     "back_attention"};
  for (size_t i = 0; i < sizeof nets / sizeof *nets; i++)
    for (int score = 0; score < 2; score++) {
      struct subject *s = subject_open(nets[i], false);
      s->explain.evaluate.session.score = score ? SCORE_LOGIT : SCORE_PROB;
      struct explanation out = subject_run(s, "ig", "fill=black");
      const double sum = subject_sum(subject_array(&out, "map"), pixels_of(s));
      const double difference = (double)out.scores[out.target] - subject_figure(&out, "score_full_fill");
      const double gap = subject_figure(&out, "completeness_gap_absolute");
      assert_true(json_is_true(json_object_get(out.quality, "converged")));
      if (!(fabs(sum - difference) <= gap + 1e-5 * fmax(1, fabs(difference))))
        fail_msg("%s: sum %g, difference %g, gap %g", nets[i], sum, difference, gap);
      assert_true(gap <= 0.01 * fmax(fabs(difference), 0.01) + 1e-9);
      assert_true(subject_figure(&out, "nodes") <= 512);
      explanation_free(&out);
      subject_close(s);
    }
}

static void linear_models_are_exact_at_any_number_of_nodes(void **state)
{
  (void)state;
  struct subject *s = subject_open("lin", false);
  const float *w = subject_weights(s);
  const int64_t pixels = pixels_of(s);
  s->explain.target = "1";
  static const char *const params[] = {
      "steps=1 fill=black keep-channels=on", "steps=5 rule=left fill=black keep-channels=on",
      "steps=2 rule=trapezoid fill=black keep-channels=on", "fill=black keep-channels=on"};
  const float black = preprocess_value(&s->model->card, &s->input, 0, 0);
  for (int k = 0; k < 4; k++) {
    struct explanation out = subject_run(s, "ig", params[k]);
    const float *a = subject_array(&out, "channels");
    for (int64_t i = 0; i < 3 * pixels; i++)
      assert_float_equal(a[i], w[3 * pixels + i] * (s->input.x[i % pixels * 3 + i / pixels] - black), 1e-5);
    explanation_free(&out);
  }
  subject_close(s);
}

/* A cube: two Gauss nodes are enough, one is not. */
static void powers_are_exact_at_half_their_degree(void **state)
{
  (void)state;
  struct subject *s = subject_open("back_power", false);
  struct explanation two = subject_run(s, "ig", "steps=2 fill=black"), one = subject_run(s, "ig", "steps=1 fill=black");
  assert_true(subject_figure(&two, "completeness_gap") < 1e-5);
  assert_true(subject_figure(&one, "completeness_gap") > 1e-3);
  explanation_free(&two);
  explanation_free(&one);
  subject_close(s);
}

static void unread_pixels_get_nothing(void **state)
{
  (void)state;
  struct subject *s = subject_open("pix", false);
  struct explanation out = subject_run(s, "ig", "fill=black");
  const float *map = subject_array(&out, "map");
  for (int64_t i = 0; i < pixels_of(s); i++)
    if (i == 5 * 19 + 13)
      assert_true(map[i] != 0);
    else
      assert_float_equal(map[i], 0, 0);
  explanation_free(&out);
  subject_close(s);
}

static void the_baseline_itself_gets_nothing(void **state)
{
  (void)state;
  struct subject *s = subject_open("res", false);
  const float black = preprocess_value(&s->model->card, &s->input, 0, 0);
  for (int64_t i = 0; i < image_floats(&s->model->predictor); i++)
    s->input.x[i] = black;
  struct explanation out = subject_run(s, "ig", "fill=black");
  assert_float_equal(largest_of(subject_array(&out, "map"), pixels_of(s)), 0, 0);
  assert_true(subject_warned(&out, "flat-map"));
  assert_float_equal(subject_figure(&out, "nodes"), 4, 0);
  explanation_free(&out);
  subject_close(s);
}

static void folding_does_not_matter(void **state)
{
  (void)state;
  struct explanation out[2];
  int64_t n = 0;
  for (int verbatim = 0; verbatim < 2; verbatim++) {
    struct subject *s = subject_open("win_residual", verbatim);
    n = pixels_of(s);
    out[verbatim] = subject_run(s, "ig", "steps=20 fill=black");
    subject_close(s);
  }
  assert_true(relative_error(subject_array(&out[0], "map"), subject_array(&out[1], "map"), n) <= 1e-4);
  explanation_free(&out[0]);
  explanation_free(&out[1]);
}

/* Beginning behind the stem is the same sum as going all the way at every node. */
static void stems_are_a_shortcut_only(void **state)
{
  (void)state;
  static const char *const nets[] = {"conv1_softmax", "conv3_sigmoid", "res",     "win_residual",
                                     "win_dense",     "win_fire",      "win_nhwc"};
  for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
    struct subject *s = subject_open(nets[i], false);
    struct explanation fast = subject_run(s, "ig", "steps=12 fill=black keep-channels=on");
    if (!json_is_true(json_object_get(fast.details, "stem")))
      fail_msg("%s: no stem was found", nets[i]);
    s->explain.evaluate.session.exact_full = true;
    struct explanation plain = subject_run(s, "ig", "steps=12 fill=black keep-channels=on");
    assert_false(json_is_true(json_object_get(plain.details, "stem")));
    const double error = relative_error(subject_array(&fast, "channels"), subject_array(&plain, "channels"),
                                        image_floats(&s->model->predictor));
    if (!(error <= 1e-4))
      fail_msg("%s: %g", nets[i], error);
    explanation_free(&fast);
    explanation_free(&plain);
    subject_close(s);
  }
}

/* The cap is kept, and neither memory (which sets the batch) nor threads change a bit. */
static void halving_is_bounded_and_independent(void **state)
{
  (void)state;
  struct explanation first = {0};
  int64_t n = 0;
  for (int k = 0; k < 3; k++) {
    struct subject *s = subject_open("win_deep", false);
    n = pixels_of(s);
    s->explain.evaluate.session.score = SCORE_PROB;
    s->explain.evaluate.session.threads = k == 1 ? 1 : 2;
    s->explain.evaluate.session.memory = k == 2 ? (size_t)6 << 20 : 0;
    struct explanation out = subject_run(s, "ig", "fill=white tolerance=0.00001 max-steps=60");
    assert_true(subject_figure(&out, "nodes") <= 60);
    assert_true(subject_figure(&out, "nodes") > 60 - 8); /* as far as the cap goes: a halving takes 8 */
    assert_true(subject_warned(&out, "not-converged"));
    if (k == 0) {
      first = out;
    } else {
      assert_memory_equal(subject_array(&first, "map"), subject_array(&out, "map"), (size_t)n * sizeof(float));
      explanation_free(&out);
    }
    subject_close(s);
  }
  explanation_free(&first);
}

/* What auto says it did is what it measured. */
static void precision_is_checked_on_gradients(void **state)
{
  (void)state;
  if (!compute_has_bf16())
    skip();
  static const char *const nets[] = {"conv3_softmax", "res", "win_deep"};
  for (int i = 0; i < 3; i++) {
    struct subject *s = subject_open(nets[i], false);
    struct precision_check check = {.automatic = true};
    s->explain.evaluate.precision = &check;
    struct explanation out = subject_run(s, "ig", "steps=8 fill=black");
    assert_int_equal(check.evaluations, 65);
    assert_int_equal(check.gradients, 4);
    assert_true(check.gradient_deviation > 0);
    assert_int_equal(check.used == PRECISION_BF16,
                     check.deviation < 0.01 * check.change && check.gradient_deviation < 0.05);
    explanation_free(&out);
    subject_close(s);
  }
}

static void random_baselines_are_averaged(void **state)
{
  (void)state;
  struct subject *s = subject_open("conv3_softmax", false);
  struct explanation out = subject_run(s, "ig", "fill=uniform draws=4");
  const float *error = subject_array(&out, "stderr");
  assert_true(largest_of(error, pixels_of(s)) > 0);
  assert_float_equal(subject_figure(&out, "baselines"), 4, 0);
  const double sum = subject_sum(subject_array(&out, "map"), pixels_of(s));
  const double difference = (double)out.scores[out.target] - subject_figure(&out, "score_full_fill");
  assert_float_equal(sum, difference, 0.02 * fmax(0.01, fabs(difference)));
  explanation_free(&out);
  subject_close(s);
}

static void a_ceiling_on_evaluations_ends_a_run(void **state)
{
  (void)state;
  struct subject *s = subject_open("win_deep", false);
  s->explain.evaluate.evals = 60;
  struct explanation out = subject_run(s, "ig", "tolerance=0.000001");
  assert_string_equal(out.stopped_by, "evals");
  assert_true(out.evaluations <= 62); /* scores at ends of panels are not refused */
  explanation_free(&out);
  subject_close(s);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(rules_integrate),
      cmocka_unit_test(rules_grow),
      cmocka_unit_test(attributions_add_up),
      cmocka_unit_test(linear_models_are_exact_at_any_number_of_nodes),
      cmocka_unit_test(powers_are_exact_at_half_their_degree),
      cmocka_unit_test(unread_pixels_get_nothing),
      cmocka_unit_test(the_baseline_itself_gets_nothing),
      cmocka_unit_test(folding_does_not_matter),
      cmocka_unit_test(stems_are_a_shortcut_only),
      cmocka_unit_test(halving_is_bounded_and_independent),
      cmocka_unit_test(precision_is_checked_on_gradients),
      cmocka_unit_test(random_baselines_are_averaged),
      cmocka_unit_test(a_ceiling_on_evaluations_ends_a_run),
  };
  return cmocka_run_group_tests_name("ig", tests, NULL, NULL);
}
