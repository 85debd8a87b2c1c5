/* SPDX-License-Identifier: Apache-2.0 */
/* Whether bfloat16 is kept or not, on classifiers whose deviations are known. */
#include "perturb/precision.h"
#include "sampling.h"
#include "tensor/compute.h"

enum { ROWS = 4, COLUMNS = 5, PLAYERS = ROWS * COLUMNS };

/* A game that is played differently in bfloat16. */
struct rounded {
  double common, slope, noise; /* added to a score: always; for superpixel 3; by the picture's own chance */
  enum precision precision;    /* of the session that was opened last */
};

static double chance(const double *there, double frequency)
{
  double phase = 0.5;
  for (int s = 0; s < PLAYERS; s++)
    phase += there[s] * (1 + s * s % 17) * frequency;
  return sin(phase);
}

static double play(const struct rounded *r, const double *there)
{
  double sum = 0.4 * chance(there, 2.3);
  for (int s = 0; s < PLAYERS; s++)
    sum += 0.05 * (s % 5) * there[s];
  return r->precision == PRECISION_F32 ? sum : sum + r->common + r->slope * there[3] + r->noise * chance(there, 7.1);
}

static bool play_all(void *context, const float *images, int n, float *scores, struct error *err)
{
  (void)err;
  for (int i = 0; i < n; i++) {
    double there[PLAYERS];
    for (int s = 0; s < PLAYERS; s++)
      there[s] = (double)images[i * PLAYERS + s] / 100;
    scores[i] = (float)play(context, there);
  }
  return true;
}

static struct session *open_in_precision(const struct predictor *predictor, const struct session_options *options,
                                         struct error *err)
{
  ((struct rounded *)((const struct callback_model *)predictor)->context)->precision = options->precision;
  return callback_predictor_ops.open(predictor, options, err);
}

static const struct predictor_ops ops = {.open = open_in_precision};

static void open_rounded(struct bench *b, struct rounded *r)
{
  bench_open(b, ROWS, COLUMNS, 1, 1, play_all, r);
  b->model.predictor.ops = &ops;
  b->model.predictor.layered = true;
}

/* What the check says, and what deviations did: root mean squares of the map's change and of its error. */
static struct precision_check run_checked(struct bench *b, const char *method, const char *params, double *change,
                                          double *error)
{
  struct precision_check plain = {.used = PRECISION_F32}, half = {.used = PRECISION_BF16}, check = {.automatic = true};
  b->explain.evaluate.precision = &plain;
  bench_run(b, method, params);
  float *map = bench_copy(b, "map");
  *change = *error = 0;
  for (int i = 0; i < PLAYERS; i++)
    *error += (double)bench_array(b, "stderr")[i] * (double)bench_array(b, "stderr")[i] / PLAYERS;
  b->explain.evaluate.precision = &half;
  bench_run(b, method, params);
  for (int i = 0; i < PLAYERS; i++)
    *change += pow((double)bench_array(b, "map")[i] - (double)map[i], 2) / PLAYERS;
  *change = sqrt(*change);
  *error = sqrt(*error);
  b->explain.evaluate.precision = &check;
  bench_run(b, method, params);
  if (check.used == PRECISION_F32) /* the run is that of float32, bit for bit */
    bench_same(b, "map", map);
  free(map);
  assert_true(check.sampled && check.evaluations == 65 && !check.automatic);
  return check;
}

static bool lacks_bf16(void)
{
  if (!compute_has_bf16())
    print_message("# this CPU has no bf16\n");
  return !compute_has_bf16();
}

#define LIME "segments=grid:4x5 fill=zero samples=1000"
#define RISE "fill=zero samples=1000 cells=4"

static void keeps_what_moves_no_coefficient(void **state)
{
  (void)state;
  static const struct rounded harmless[] = {{.common = 5}, {.noise = 0.002}, {.common = -1, .slope = 1e-4}};
  if (lacks_bf16())
    skip();
  for (int i = 0; i < 3; i++)
    for (int m = 0; m < 2; m++) {
      struct rounded r = harmless[i];
      struct bench b;
      double change, error;
      open_rounded(&b, &r);
      const struct precision_check check = run_checked(&b, m ? "rise" : "lime", m ? RISE : LIME, &change, &error);
      print_message("# %s %d: share %.3f, found %.3f\n", m ? "rise" : "lime", i, check.share, change / error);
      assert_int_equal(check.used, PRECISION_BF16);
      assert_true(check.share < 0.1 && change < 0.1 * error);
      bench_close(&b);
    }
}

static void falls_back_where_coefficients_move(void **state)
{
  (void)state;
  static const struct rounded harmful[] = {{.slope = 0.1}, {.noise = 0.2}, {.common = 1, .slope = 0.05, .noise = 0.05}};
  if (lacks_bf16())
    skip();
  for (int i = 0; i < 3; i++)
    for (int m = 0; m < 2; m++) {
      struct rounded r = harmful[i];
      struct bench b;
      double change, error;
      open_rounded(&b, &r);
      const struct precision_check check = run_checked(&b, m ? "rise" : "lime", m ? RISE : LIME, &change, &error);
      print_message("# %s %d: share %.3f, found %.3f\n", m ? "rise" : "lime", i, check.share, change / error);
      assert_int_equal(check.used, PRECISION_F32);
      assert_true(check.share >= 0.1);
      bench_close(&b);
    }
}

/* The figure is an estimate that errs upwards, no bound: above a numerator at the upper end of its 95 % interval stands
 * a denominator of 8 squares, known to about a quarter. So most runs move less than it says, and none much more. */
static void the_share_errs_upwards(void **state)
{
  (void)state;
  enum { SEEDS = 60 };
  int above = 0;
  double mean = 0, least = INFINITY, most = 0;
  if (lacks_bf16())
    skip();
  for (int seed = 0; seed < SEEDS; seed++) {
    struct rounded r = {.common = 0.3, .slope = 0.02, .noise = 0.01};
    struct bench b;
    double change, error;
    open_rounded(&b, &r);
    b.explain.seed = (uint64_t)seed;
    const struct precision_check check = run_checked(&b, "lime", LIME, &change, &error);
    const double ratio = check.share * error / change;
    above += ratio >= 1;
    mean += ratio / SEEDS;
    least = fmin(least, ratio);
    most = fmax(most, ratio);
    bench_close(&b);
  }
  print_message("# %d of %d at least what was found; %.2f to %.2f times it, on average %.2f\n", above, SEEDS, least,
                most, mean);
  assert_true(above >= 0.8 * SEEDS);
  assert_true(least > 0.6);
  assert_true(mean < 2 && most < 4);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(keeps_what_moves_no_coefficient),
      cmocka_unit_test(falls_back_where_coefficients_move),
      cmocka_unit_test(the_share_errs_upwards),
  };
  return cmocka_run_group_tests_name("precision", tests, NULL, NULL);
}
