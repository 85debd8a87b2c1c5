/* SPDX-License-Identifier: Apache-2.0 */
/* Meaningful perturbation and minimal regions on classifiers whose best masks are known. */
#include "base/rng.h"
#include "golden.h"
#include "linear.h"
#include "methods/minimal_region.h"
#include "model/model.h"
#include "scratch.h"

static const json_t *game(const struct bench *b, size_t i)
{
  const json_t *games = json_object_get(b->out.details, "games");
  assert_non_null(json_array_get(games, i));
  return json_array_get(games, i);
}

static double figure(const json_t *object, const char *key)
{
  assert_true(json_is_number(json_object_get(object, key)));
  return json_number_value(json_object_get(object, key));
}

static void near(double value, double expected, double tolerance)
{
  if (!(fabs(value - expected) <= tolerance))
    fail_msg("%.12g, expected %.12g", value, expected);
}

/* ---- linear classifiers ---------------------------------------------------------------------------------------- */

static const struct box evidence = {20, 30, 44, 60};

/* MEA-P2 */
static void deletes_the_box(void **state)
{
  (void)state;
  static struct linear l;
  struct bench b;
  linear_bench(&b, &l, SIDE, SIDE);
  weigh_box(&l, evidence);
  bench_run(&b, "meaningful", "fill=zero tv=0 tolerance=0");
  const float *map = bench_array(&b, "map");
  const int margin = 2 * 3 + 3 * 2; /* two cells and three sigma at 84 px */
  double outside = 0, all = 0;
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++) {
      all += (double)map[y * SIDE + x];
      if (x < evidence.x0 - margin || x >= evidence.x1 + margin || y < evidence.y0 - margin ||
          y >= evidence.y1 + margin)
        outside += (double)map[y * SIDE + x];
    }
  assert_true(all > 0.5 * 24 * 30 && outside <= 1e-3 * all);

  bench_run(&b, "meaningful", "fill=zero");
  map = bench_array(&b, "map");
  double within = 0;
  int top = 0;
  for (int i = 0; i < MOST_PIXELS; i++) {
    const int y = i / SIDE, x = i % SIDE;
    if (x >= evidence.x0 && x < evidence.x1 && y >= evidence.y0 && y < evidence.y1)
      within += (double)map[i];
    top = map[i] > map[top] ? i : top;
  }
  assert_true(within / (24 * 30) >= 0.99);
  assert_true(top % SIDE >= evidence.x0 && top % SIDE < evidence.x1 && top / SIDE >= evidence.y0 &&
              top / SIDE < evidence.y1);
  assert_true(json_is_true(json_object_get(game(&b, 0), "converged")));
  assert_string_equal(b.out.stopped_by, "tolerance");
  assert_false(bench_warned(&b, "not-converged"));
  bench_close(&b);
}

/* Without TV, blur and jitter every cell decides for itself: deleted where it carries more score than it costs. */
static void closed_form_of_a_linear_model(void **state)
{
  (void)state;
  static struct linear l;
  struct bench b;
  enum { N = 28 };
  linear_bench(&b, &l, N, N); /* a cell a pixel */
  double sum = 0;
  for (int i = 0; i < N * N; i++)
    sum += (double)(l.weight[i] = (float)rng_uniform(3, RNG_WEIGHTS, 0, (uint64_t)i));
  for (int i = 0; i < N * N; i++)
    l.weight[i] /= (float)(100 * sum);
  bench_run(&b, "meaningful", "fill=zero tv=0 mask-blur=0 jitter=0 init=half l1=0.9 tolerance=0");
  const float *map = bench_array(&b, "map");
  double best = 0;
  for (int i = 0; i < N * N; i++) {
    const double carries = 100 * (double)l.weight[i], costs = 0.9 / (N * N);
    best += carries > costs ? costs : carries;
    if (fabs(carries - costs) > 0.02 * costs)
      assert_true(map[i] == (carries > costs ? 1 : 0));
  }
  near(figure(game(&b, 0), "objective"), best, 1e-5);
  bench_run(&b, "meaningful", "game=preserve fill=zero tv=0 mask-blur=0 jitter=0 init=half l1=0.9 tolerance=0");
  map = bench_array(&b, "map"); /* kept is what is worth its price: the same pixels */
  for (int i = 0; i < N * N; i++) {
    const double carries = 100 * (double)l.weight[i], costs = 0.9 / (N * N);
    if (fabs(carries - costs) > 0.02 * costs)
      assert_true(map[i] == (carries > costs ? 1 : 0));
  }
  bench_close(&b);
}

/* MEA-P3, P4 */
static void a_price_too_high(void **state)
{
  (void)state;
  static struct linear l;
  struct bench b;
  linear_bench(&b, &l, SIDE, SIDE);
  weigh_box(&l, evidence);
  bench_run(&b, "meaningful", "fill=zero l1=10000");
  const float *map = bench_array(&b, "map"), *mask = bench_array(&b, "mask");
  for (int i = 0; i < MOST_PIXELS; i++)
    assert_true(map[i] < 1e-6F && fabsf(mask[i] + map[i] - 1) < 1e-6F);
  static const char *const starts[] = {"circle", "half", "ones", "random"};
  for (int i = 0; i < 4; i++) {
    char params[96];
    (void)snprintf(params, sizeof params, "fill=zero iterations=20 init=%s game=both", starts[i]);
    bench_run(&b, "meaningful", params);
    for (size_t k = 0; k < 2; k++)
      assert_true(figure(game(&b, k), "objective") <= figure(game(&b, k), "objective_start"));
    assert_true(bench_warned(&b, "not-converged"));
    assert_non_null(explanation_find(&b.out, "map_preserve"));
  }
  bench_close(&b);
}

/* MEA-P5: a mirrored picture and classifier, a mirrored mask. Forward differences prefer a side by a little, so that it
 * is exact to 0.01 without TV only. */
static void mirrors(void **state)
{
  (void)state;
  static const char *const settings[2] = {"fill=zero jitter=0 tolerance=0 tv=0", "fill=zero jitter=0 tolerance=0"};
  static struct linear l;
  struct bench b;
  linear_bench(&b, &l, SIDE, SIDE);
  for (int k = 0; k < 2; k++) {
    weigh_box(&l, (struct box){10, 50, 30, 70});
    bench_run(&b, "meaningful", settings[k]);
    float *before = bench_copy(&b, "map");
    weigh_box(&l, (struct box){SIDE - 30, 50, SIDE - 10, 70});
    bench_run(&b, "meaningful", settings[k]);
    const float *map = bench_array(&b, "map");
    double most = 0;
    for (int y = 0; y < SIDE; y++)
      for (int x = 0; x < SIDE; x++)
        most = fmax(most, fabs((double)map[y * SIDE + x] - (double)before[y * SIDE + SIDE - 1 - x]));
    near(most, 0, k ? 0.05 : 0.01);
    free(before);
  }
  bench_close(&b);
}

/* MEA-P7: the circle is the rule for maps, applied to minus the distance from the centre. */
static void circle_is_a_heat_map(void **state)
{
  (void)state;
  static struct linear l;
  struct bench b;
  static float heat[60 * 84];
  char params[256];
  struct error err = {0};
  linear_bench(&b, &l, 60, 84);
  weigh_box(&l, (struct box){40, 20, 60, 40});
  for (int i = 0; i < 60 * 84; i++)
    heat[i] = (float)-sqrt((i / 84 + 0.5 - 30) * (i / 84 + 0.5 - 30) + (i % 84 + 0.5 - 42) * (i % 84 + 0.5 - 42));
  const struct npy array = {NPY_F32, 2, {60, 84}, heat};
  assert_true(npy_write(scratch_path("heat.npy"), &array, &err));
  bench_run(&b, "meaningful", "fill=zero iterations=1");
  float *circle = bench_copy(&b, "mask_cells"), *trace = bench_copy(&b, "trace");
  (void)snprintf(params, sizeof params, "fill=zero iterations=1 init=%s", scratch_path("heat.npy"));
  bench_run(&b, "meaningful", params);
  bench_same(&b, "mask_cells", circle);
  bench_same(&b, "trace", trace);
  /* The disc that reaches 99 % here must cover the box's far corner but for its soft edge. */
  double deleted = 0;
  for (int i = 0; i < 28 * 39; i++)
    deleted += 1 - (double)circle[i];
  assert_true(deleted / (28 * 39) > 0.1 && deleted / (28 * 39) < 0.6);
  free(circle);
  free(trace);
  bench_close(&b);
}

/* ---- the same bits ----------------------------------------------------------------------------------------------- */

static void same_seed_same_bits(void **state)
{
  (void)state;
  struct bench b;
  struct error err = {0};
  float *map = NULL, *trace = NULL;
  struct model *model = model_open(golden_path("fixtures", "conv3_softmax.onnx"), &(struct model_options){0}, &err);
  assert_non_null(model);
  bench_open(&b, 23, 19, 3, 4, NULL, NULL);
  bench_scene(&b, 5);
  b.explain.predictor = &model->predictor;
  b.explain.model = model;
  b.card.scale = 1 / 255.0; /* scores that are neither 0 nor 1 */
  b.explain.target = "top";
  b.explain.seed = 3;
  for (int threads = 1; threads <= 4; threads *= 2) {
    b.explain.evaluate.session.threads = threads;
    bench_run(&b, "meaningful", "iterations=25 starts=2 jitter=4 fill=noise game=both raw-score=on");
    if (!map) {
      map = bench_copy(&b, "map");
      trace = bench_copy(&b, "trace");
    }
    bench_same(&b, "map", map);
    bench_same(&b, "trace", trace);
  }
  b.explain.seed = 4;
  bench_run(&b, "meaningful", "iterations=25 starts=2 jitter=4 fill=noise game=both raw-score=on");
  assert_memory_not_equal(bench_array(&b, "trace"), trace, sizeof(float) * 25 * 6);
  assert_int_equal(json_array_size(json_object_get(game(&b, 1), "starts")), 2);
  free(map);
  map = NULL;
  for (int threads = 1; threads <= 2; threads++) {
    b.explain.evaluate.session.threads = threads;
    bench_run(&b, "meaningful", "iterations=12 game=preserve init=gradient");
    assert_non_null(json_object_get(game(&b, 0), "refined"));
    map = map ? map : bench_copy(&b, "map");
    bench_same(&b, "map", map);
  }
  free(map);
  free(trace);
  bench_close(&b);
  model_close(model);
}

/* ---- bad input --------------------------------------------------------------------------------------------------- */

static void stops_at_what_is_not_a_number(void **state)
{
  (void)state;
  static struct linear l;
  struct bench b;
  linear_bench(&b, &l, SIDE, SIDE);
  weigh_box(&l, evidence);
  l.sick_after = 37;
  bench_run(&b, "meaningful", "fill=zero");
  assert_true(bench_warned(&b, "non-finite"));
  assert_string_equal(b.out.stopped_by, "non-finite");
  assert_true(figure(game(&b, 0), "objective") < figure(game(&b, 0), "objective_start"));
  assert_int_equal(figure(game(&b, 0), "iterations"), 37);
  const float *map = bench_array(&b, "map");
  for (int i = 0; i < MOST_PIXELS; i++)
    assert_true(isfinite(map[i]));
  bench_close(&b);
}

static void nothing_to_learn(void **state)
{
  (void)state;
  static struct linear l;
  struct bench b;
  linear_bench(&b, &l, SIDE, SIDE);
  l.constant = 0.4;
  bench_run(&b, "meaningful", "fill=zero iterations=12");
  assert_true(bench_warned(&b, "weak-fill"));
  weigh_box(&l, evidence);
  l.constant = -2; /* the fill scores less, and everything is below zero: no region holds 0.9 of that */
  bench_run(&b, "meaningful", "fill=zero iterations=12");
  assert_false(bench_warned(&b, "weak-fill"));
  assert_true(bench_warned(&b, "no-region"));
  bench_close(&b);
}

static void maps_to_refine(void **state)
{
  (void)state;
  static struct linear l;
  struct bench b;
  float map[20 * 10];
  char params[256];
  struct error err = {0};
  linear_bench(&b, &l, SIDE, SIDE);
  weigh_box(&l, evidence);
  for (int i = 0; i < 200; i++)
    map[i] = (float)(i % 10);
  struct npy array = {NPY_F32, 2, {20, 10}, map};
  assert_true(npy_write(scratch_path("small.npy"), &array, &err));
  (void)snprintf(params, sizeof params, "fill=zero iterations=5 init=%s", scratch_path("small.npy"));
  bench_run(&b, "meaningful", params);
  assert_true(bench_warned(&b, "init-resampled"));
  memset(map, 0, sizeof map);
  assert_true(npy_write(scratch_path("flat.npy"), &array, &err));
  (void)snprintf(params, sizeof params, "fill=zero init=%s", scratch_path("flat.npy"));
  bench_refuse(&b, "meaningful", params, "same everywhere");
  map[7] = NAN;
  assert_true(npy_write(scratch_path("nan.npy"), &array, &err));
  (void)snprintf(params, sizeof params, "fill=zero init=%s", scratch_path("nan.npy"));
  bench_refuse(&b, "meaningful", params, "not finite");
  bench_refuse(&b, "meaningful", "init=/nowhere.npy", "neither a method nor a file");
  bench_refuse(&b, "meaningful", "init=meaningful", "itself starts");
  bench_refuse(&b, "meaningful", "cells=85", "outside 4..84");
  bench_refuse(&b, "meaningful", "fill=inpaint", "inpaint");
  bench_scene(&b, 8); /* rise hides with the mean, which must be something else */
  bench_run(&b, "meaningful", "fill=zero iterations=5 init=rise");
  assert_true(b.out.evaluations > 4000); /* those of rise are counted */
  bench_close(&b);
}

static void stops_by_evaluations(void **state)
{
  (void)state;
  static struct linear l;
  struct bench b;
  linear_bench(&b, &l, SIDE, SIDE);
  weigh_box(&l, evidence);
  b.explain.evaluate.evals = 400;
  bench_run(&b, "meaningful", "fill=zero tolerance=0");
  assert_string_equal(b.out.stopped_by, "evals");
  assert_true(b.out.evaluations <= 400 && b.out.evaluations > 300);
  bench_close(&b);
}

/* ---- refinement -------------------------------------------------------------------------------------------------- */

/* Refine a map of SIDE x SIDE; what came of it. */
static const json_t *refine(struct bench *b, const float *start, const char *more)
{
  const struct npy array = {NPY_F32, 2, {SIDE, SIDE}, (void *)(uintptr_t)start};
  struct error err = {0};
  char params[512];
  assert_true(npy_write(scratch_path("start.npy"), &array, &err));
  (void)snprintf(params, sizeof params, "fill=zero game=preserve init=%s %s", scratch_path("start.npy"), more);
  bench_run(b, "meaningful", params);
  const float *map = bench_array(b, "map");
  for (int i = 0; i < MOST_PIXELS; i++)
    assert_true(map[i] >= 0 && map[i] <= 1);
  const json_t *refined = json_object_get(game(b, 0), "refined");
  assert_non_null(refined);
  return refined;
}

/* Area that a map needs as it is; 0: there is none. */
static int64_t needs(struct bench *b, const float *map)
{
  const struct npy array = {NPY_F32, 2, {SIDE, SIDE}, (void *)(uintptr_t)map};
  struct error err = {0};
  char params[512];
  assert_true(npy_write(scratch_path("judged.npy"), &array, &err));
  (void)snprintf(params, sizeof params, "fill=zero iterations=0 init=%s", scratch_path("judged.npy"));
  bench_run(b, "meaningful", params);
  return json_integer_value(json_object_get(json_object_get(b->out.details, "minimal_region"), "area_px"));
}

static void won_by(struct bench *b, const json_t *refined, const char *name, int64_t before, int64_t after)
{
  assert_string_equal(json_string_value(json_object_get(refined, "by")), name);
  assert_int_equal(figure(refined, "before_px"), before);
  assert_int_equal(figure(refined, "after_px"), after);
  assert_int_equal(figure(json_object_get(refined, "candidates_px"), name), after);
  assert_int_equal(figure(json_object_get(b->out.details, "minimal_region"), "area_px"), after);
  assert_int_equal(bench_warned(b, "not-refined"), strcmp(name, "start") == 0);
  float *map = bench_copy(b, "map");
  assert_int_equal(needs(b, map), after); /* what is written is what was judged */
  free(map);
}

static void refinement_keeps_the_best(void **state)
{
  (void)state;
  static struct linear l;
  struct bench b;
  static float start[MOST_PIXELS];
  linear_bench(&b, &l, SIDE, SIDE);
  weigh_box(&l, evidence);

  /* Nothing orders a linear model's pixels better than its weights. */
  for (int i = 0; i < MOST_PIXELS; i++)
    start[i] = 3 * l.weight[i] - 1;
  won_by(&b, refine(&b, start, ""), "start", 648, 648);

  /* The worst order there is: all before the evidence. The mask is better, within the start's region or not. */
  for (int i = 0; i < MOST_PIXELS; i++)
    start[i] = -l.weight[i];
  const json_t *refined = refine(&b, start, "");
  const int64_t mask = json_integer_value(json_object_get(refined, "after_px"));
  assert_true(mask >= 648 && mask < 1000);
  won_by(&b, refined, "mask", MOST_PIXELS - 72, mask);

  /* Every other column of the box counts. A mask cannot be as fine as the start, and the start knows no box. */
  for (int i = 0; i < MOST_PIXELS; i++) {
    l.weight[i] *= i % 2 ? 0 : 2;
    start[i] = i % 2 ? -1 : (float)(i / SIDE);
  }
  refined = refine(&b, start, "");
  const int64_t inside = json_integer_value(json_object_get(refined, "after_px"));
  assert_true(inside >= 324 && inside < 600);
  assert_true(inside < figure(json_object_get(refined, "candidates_px"), "mask"));
  won_by(&b, refined, "inside", json_integer_value(json_object_get(refined, "before_px")), inside);

  /* A mask too coarse to see the box's edges, and a start that does, but noisily and with a false peak elsewhere. */
  weigh_box(&l, evidence);
  for (int i = 0; i < MOST_PIXELS; i++) {
    const int y = i / SIDE, x = i % SIDE;
    const double noise = rng_uniform(5, RNG_WEIGHTS, 0, (uint64_t)i);
    start[i] = (float)(l.weight[i] > 0 ? 0.5 + noise / 2 : y < 20 && x > 60 ? 1 : 0.2 + noise / 2);
  }
  refined = refine(&b, start, "cells=4");
  won_by(&b, refined, "product", json_integer_value(json_object_get(refined, "before_px")),
         json_integer_value(json_object_get(refined, "after_px")));
  bench_close(&b);
}

/* Where hiding helps as often as it hurts, and starts are noise, as many pixels as before are enough. */
static void refinement_never_needs_more(void **state)
{
  (void)state;
  static struct linear l;
  struct bench b;
  static float start[MOST_PIXELS];
  int started = 0;
  linear_bench(&b, &l, SIDE, SIDE);
  for (uint32_t k = 0; k < 12; k++) {
    b.explain.evaluate.evals = k % 4 == 3 ? 250 : 0;
    for (int i = 0; i < MOST_PIXELS; i++) {
      l.weight[i] = (float)(rng_uniform(7, RNG_WEIGHTS, k, (uint64_t)i) - 0.47) * 1e-4F;
      start[i] = k % 2 ? (float)rng_uniform(8, RNG_WEIGHTS, k, (uint64_t)i) - 0.5F
                       : l.weight[i] + (float)rng_uniform(8, RNG_WEIGHTS, k, (uint64_t)i) * 2e-4F;
    }
    const int64_t before = needs(&b, start);
    const json_t *refined = refine(&b, start, "iterations=20");
    started += before > 0;
    assert_int_equal(json_integer_value(json_object_get(refined, "before_px")), before);
    if (before > 0)
      assert_in_range(json_integer_value(json_object_get(refined, "after_px")), 1, before);
    if (b.explain.evaluate.evals)
      assert_true(b.out.evaluations <= 250);
  }
  assert_true(started >= 10);
  bench_close(&b);
}

/* ---- without gradients ------------------------------------------------------------------------------------------- */

static void black_boxes(void **state)
{
  (void)state;
  static struct linear l;
  struct bench b;
  linear_bench(&b, &l, SIDE, SIDE);
  weigh_box(&l, evidence);
  bench_run(&b, "meaningful", "fill=zero cells=7 tolerance=0");
  const double with = figure(game(&b, 0), "objective");
  b.explain.predictor = &b.model.predictor; /* the callback */
  bench_run(&b, "meaningful", "fill=zero tolerance=0");
  assert_true(bench_warned(&b, "black-box"));
  const double without = figure(game(&b, 0), "objective");
  assert_true(without < figure(game(&b, 0), "objective_start"));
  if (!(without <= 1.05 * with))
    fail_msg("objective %.4f without gradients, %.4f with", without, with);
  float *map = bench_copy(&b, "map");
  b.explain.predictor = &l.predictor;
  bench_run(&b, "meaningful", "fill=zero tolerance=0 gradient=off");
  bench_same(&b, "map", map);
  free(map);
  bench_close(&b);
}

/* ---- the smallest region ----------------------------------------------------------------------------------------- */

static void finds_the_smallest_region(void **state)
{
  (void)state;
  static struct linear l;
  struct bench b;
  static float heat[MOST_PIXELS];
  char params[256];
  struct error err = {0};
  linear_bench(&b, &l, SIDE, SIDE);
  weigh_box(&l, evidence);
  for (int i = 0; i < MOST_PIXELS; i++) /* first the box column by column, then the rest */
    heat[i] = l.weight[i] > 0 ? (float)(100 - i % SIDE) : (float)-(i % 7);
  const struct npy array = {NPY_F32, 2, {SIDE, SIDE}, heat};
  assert_true(npy_write(scratch_path("heat.npy"), &array, &err));
  (void)snprintf(params, sizeof params, "fill=zero iterations=0 keep=0.5 init=%s", scratch_path("heat.npy"));
  bench_run(&b, "meaningful", params);
  assert_memory_equal(bench_array(&b, "map"), heat, sizeof heat);
  const json_t *about = json_object_get(b.out.details, "minimal_region");
  assert_true(json_is_true(json_object_get(about, "found")));
  assert_int_equal(figure(about, "area_px"), 360); /* half of the box: 12 of its 24 columns, to the pixel */
  static const int64_t box[4] = {20, 30, 32, 60};
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(json_integer_value(json_array_get(json_object_get(about, "box"), i)), box[i]);
  const json_t *centre = json_object_get(about, "centroid"), *contour = json_object_get(about, "contour");
  near(json_number_value(json_array_get(centre, 0)), 26, 1e-9);
  near(json_number_value(json_array_get(centre, 1)), 45, 1e-9);
  assert_int_equal(json_array_size(contour), 1);
  assert_int_equal(json_array_size(json_array_get(contour, 0)), 4);
  assert_true(json_is_null(json_object_get(about, "area_mm2")));
  const struct npy *curve = explanation_find(&b.out, "region_curve");
  const float *row = curve->data;
  for (int k = 0; k < 64; k++, row += 3) { /* what is kept and what is hidden make up the whole */
    assert_true(fabsf(row[1] + row[2] - 1) < 1e-5F);
    assert_true(k == 0 || row[0] >= row[-3]);
  }
  b.image.spacing_y = 0.5;
  b.image.spacing_x = 0.25;
  bench_run(&b, "meaningful", params);
  near(figure(json_object_get(b.out.details, "minimal_region"), "area_mm2"), 45, 1e-9);
  bench_close(&b);
}

static void outlines(void **state)
{
  (void)state;
  static const int32_t region[5 * 6] = {
      1, 1, 1, 0, 0, 0, /* a ring, */
      1, 0, 1, 0, 0, 0, /**/
      1, 1, 1, 0, 0, 0, /**/
      0, 0, 0, 1, 0, 0, /* and two pixels that touch it and each other at corners */
      0, 0, 0, 0, 1, 0,
  };
  struct error err = {0};
  json_t *contours = region_contours(region, 5, 6, 1000, &err);
  assert_int_equal(json_array_size(contours), 4);
  for (size_t i = 0; i < 4; i++) {
    double area = 0; /* twice, signed: positive clockwise on the screen */
    const json_t *polygon = json_array_get(contours, i);
    const size_t n = json_array_size(polygon);
    assert_int_equal(n, 4);
    for (size_t k = 0; k < n; k++) {
      const json_t *p = json_array_get(polygon, k), *q = json_array_get(polygon, (k + 1) % n);
      area += json_number_value(json_array_get(p, 0)) * json_number_value(json_array_get(q, 1)) -
              json_number_value(json_array_get(q, 0)) * json_number_value(json_array_get(p, 1));
    }
    static const double expected[4] = {18, -2, 2, 2};
    near(area, expected[i], 1e-12);
  }
  json_decref(contours);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(deletes_the_box),
      cmocka_unit_test(closed_form_of_a_linear_model),
      cmocka_unit_test(a_price_too_high),
      cmocka_unit_test(mirrors),
      cmocka_unit_test(circle_is_a_heat_map),
      cmocka_unit_test(same_seed_same_bits),
      cmocka_unit_test(stops_at_what_is_not_a_number),
      cmocka_unit_test(nothing_to_learn),
      cmocka_unit_test(maps_to_refine),
      cmocka_unit_test(stops_by_evaluations),
      cmocka_unit_test(refinement_keeps_the_best),
      cmocka_unit_test(refinement_never_needs_more),
      cmocka_unit_test(black_boxes),
      cmocka_unit_test(finds_the_smallest_region),
      cmocka_unit_test(outlines),
  };
  return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
