/* SPDX-License-Identifier: Apache-2.0 */
/* Other weights in the same network, and what becomes of maps then. */
#include "golden.h"

#include "base/mem.h"
#include "image/image.h"
#include "measure.h"
#include "model/model.h"
#include "model/reweight.h"

enum { MOST_CLASSES = 16 };

struct shared {
  struct model *model;
  struct image image;
  struct input input;
};

static void open_shared(struct shared *s, const char *name, const char *picture)
{
  struct error err = {0};
  *s = (struct shared){.model = NULL};
  s->model = model_open(shared_path(name), &(struct model_options){0}, &err);
  if (!s->model || !image_read(shared_path(picture), &s->image, &err) ||
      !preprocess(&s->model->card, &s->image, &s->input, &err))
    fail_msg("%s", err.message);
}

static void close_shared(struct shared *s)
{
  input_free(&s->input);
  image_free(&s->image);
  model_close(s->model);
}

static void predict(const struct model *model, const float *x, float *scores)
{
  struct error err = {0};
  struct session *session = session_open(&model->predictor, &(struct session_options){.score = SCORE_LOGIT}, &err);
  if (!session || !session_predict(session, x, 1, scores, NULL, &err))
    fail_msg("%s", err.message);
  session_close(session);
}

static struct model *reweighted(const struct model *model, int first, int count, enum reweight how, uint64_t seed)
{
  struct error err = {0};
  struct model *other = model_reweighted(model, first, count, how, seed, &err);
  if (!other)
    fail_msg("%s", err.message);
  return other;
}

/* The original stays as it is; what was replaced in steps is what was replaced at once; seeds and ways differ. */
static void test_models(void **state)
{
  struct shared s;
  float before[MOST_CLASSES], after[MOST_CLASSES], once[MOST_CLASSES], steps[MOST_CLASSES], other[MOST_CLASSES];
  (void)state;
  open_shared(&s, "models/resnet20_cifar10_bn.onnx", "images/photos/owl.jpg");
  const size_t bytes = (size_t)s.model->predictor.classes * sizeof(float);
  const int layers = model_weight_layers(s.model);
  assert_true(layers >= 20);
  predict(s.model, s.input.x, before);
  struct model *all = reweighted(s.model, 0, layers, REWEIGHT_PERMUTE, 7);
  predict(all, s.input.x, once);
  struct model *a = reweighted(s.model, 0, 4, REWEIGHT_PERMUTE, 7),
               *b = reweighted(a, 4, layers - 4, REWEIGHT_PERMUTE, 7);
  predict(b, s.input.x, steps);
  assert_memory_equal(once, steps, bytes);
  model_reweighted_close(b);
  model_reweighted_close(a);
  assert_true(memcmp(once, before, bytes) != 0);
  a = reweighted(s.model, 0, layers, REWEIGHT_PERMUTE, 8);
  predict(a, s.input.x, other);
  assert_true(memcmp(once, other, bytes) != 0);
  model_reweighted_close(a);
  a = reweighted(s.model, 0, layers, REWEIGHT_NORMAL, 7);
  predict(a, s.input.x, other);
  assert_true(memcmp(once, other, bytes) != 0);
  model_reweighted_close(a);
  a = reweighted(s.model, 0, 0, REWEIGHT_PERMUTE, 7);
  predict(a, s.input.x, other);
  assert_memory_equal(other, before, bytes);
  model_reweighted_close(a);
  for (int i = 0; i < layers; i++) { /* every layer matters */
    a = reweighted(s.model, i, 1, REWEIGHT_PERMUTE, 7);
    predict(a, s.input.x, other);
    assert_true(memcmp(other, before, bytes) != 0);
    model_reweighted_close(a);
  }
  model_reweighted_close(all);
  predict(s.model, s.input.x, after);
  assert_memory_equal(before, after, bytes);
  close_shared(&s);
}

/* ---- the metric ------------------------------------------------------------------------------------------------- */

/* A map that looks at the picture and never at the model. */
static bool run_blind(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  const struct geometry *g = &explain->input->geometry;
  const int64_t dims[2] = {g->height, g->width};
  float *map = explanation_floats(out, "map", 2, dims, err);
  (void)options;
  for (int64_t i = 0; map && i < dims[0] * dims[1]; i++)
    map[i] = explain->input->u[i * explain->input->channels];
  return map != NULL;
}

static const struct param no_params[] = {PARAM_END};
static const struct method blind = {.name = "blind", .params = no_params, .options_size = 1, .run = run_blind};

static struct measurement measure_with(struct shared *s, const struct method *method, const char *arguments, float *map)
{
  struct bench b = {.card = s->model->card, .input = s->input};
  static const char *const labels[MOST_CLASSES] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
  struct error err = {0};
  static const double thresholds[MOST_CLASSES] = {0};
  void *options = mem_zero(1, method->options_size);
  b.explain = (struct explain){.predictor = &s->model->predictor,
                               .model = s->model,
                               .card = &b.card,
                               .input = &b.input,
                               .labels = labels,
                               .thresholds = thresholds,
                               .target = "0",
                               .evaluate.session.score = SCORE_LOGIT};
  b.method = method;
  b.method_options = options;
  assert_true(params_parse(method->params, method->name, NULL, options, &err));
  const struct measure probe = {
      .explain = &b.explain, .method = method, .method_options = options, .method_explain = &b.explain};
  int64_t evaluations = 0;
  if (!metric_rerun(&probe, &b.explain, map, NULL, NULL, &evaluations, &err))
    fail_msg("%s", err.message);
  struct measurement m = bench_run(&b, "randomisation", arguments, map);
  mem_free(options);
  return m;
}

static void test_blind_map(void **state)
{
  static float map[32 * 32];
  struct shared s;
  (void)state;
  open_shared(&s, "models/resnet20_cifar10_bn.onnx", "images/photos/owl.jpg");
  struct measurement m = measure_with(&s, &blind, "depths=4", map);
  assert_int_equal(points_in(&m, "spearman"), 5);
  for (int i = 0; i <= 4; i++) {
    assert_near(point_in(&m, "spearman", i), 1, 1e-12);
    assert_near(point_in(&m, "spearman_abs", i), 1, 1e-12);
    assert_near(point_in(&m, "ssim", i), 1, 1e-9);
  }
  assert_near(value_in(&m, "similarity"), 1, 1e-12);
  assert_true(warned_in(&m, "model-independent"));
  measurement_free(&m);
  close_shared(&s);
}

/* Occlusion and, where it is there, the gradient depend on the model: depth 0 is the map itself, full depth is not. */
static void test_methods(void **state)
{
  static const char *const names[] = {"occlusion", "gradient"};
  static float map[32 * 32];
  struct shared s;
  (void)state;
  open_shared(&s, "models/resnet20_cifar10_bn.onnx", "images/photos/owl.jpg");
  for (int i = 0; i < 2; i++) {
    const struct method *method = method_find(names[i]);
    if (!method)
      continue;
    struct measurement m = measure_with(&s, method, "depths=3", map);
    print_message("# %s: spearman %g, of sizes %g, ssim %g\n", names[i], value_in(&m, "spearman"),
                  value_in(&m, "spearman_abs"), value_in(&m, "ssim"));
    assert_near(point_in(&m, "spearman", 0), 1, 1e-12);
    assert_near(point_in(&m, "ssim", 0), 1, 1e-9);
    assert_true(fabs(value_in(&m, "spearman")) < 0.9);
    if (i == 1)
      assert_true(value_in(&m, "similarity") < 0.5 && !warned_in(&m, "model-independent"));
    struct measurement n = measure_with(&s, method, "depths=3", map),
                       o = measure_with(&s, method, "depths=3 independent", map);
    assert_true(json_equal(m.values, n.values));
    assert_false(json_equal(m.curves, o.curves));
    measurement_free(&m);
    measurement_free(&n);
    measurement_free(&o);
  }
  close_shared(&s);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_models),
      cmocka_unit_test(test_blind_map),
      cmocka_unit_test(test_methods),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
