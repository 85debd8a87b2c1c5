/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences of changes: windows in lockstep and whole images give the same scores. */
#include "golden.h"

#include "base/mem.h"
#include "base/rng.h"
#include "image/image.h"
#include "model/callback_model.h"
#include "model/model.h"
#include "model/preprocess.h"
#include "perturb/sequence.h"

#include <math.h>
#include <string.h>

enum { MOST_SCORES = 64 * 64 };

/* Patches of noise that overlap, some of them empty; what every step scored. */
struct case_ {
  int height, width, channels, side, sequences, steps;
  int64_t classes;
  float lo, hi; /* of noise */
  float *scores;  /* [sequences, steps, classes] */
  int *calls;     /* [sequences, steps] */
  bool still;     /* every other change puts back what is there */
  const float *x;
};

static int below(int s, int k, int what, int n)
{
  return (int)rng_below(5, RNG_MASK, (uint32_t)s, (uint64_t)k * 8 + (uint64_t)what, (uint32_t)n);
}

static bool propose(void *context, int s, int k, struct rect *rect, float *content, struct error *err)
{
  const struct case_ *c = context;
  (void)err;
  if (c->still && k % 2 == 0) {
    *rect = (struct rect){3, 4, 3, 4};
    return true;
  }
  const int h = 1 + below(s, k, 0, c->side), w = 1 + below(s, k, 1, c->side);
  /* within a third of the image, so that steps overlap */
  rect->y0 = c->height / 3 + below(s, k, 2, c->height / 3 - h > 0 ? c->height / 3 - h : 1);
  rect->x0 = c->width / 3 + below(s, k, 3, c->width / 3 - w > 0 ? c->width / 3 - w : 1);
  rect->y1 = rect->y0 + h;
  rect->x1 = rect->x0 + w;
  for (int i = 0; i < h * w * c->channels; i++)
    content[i] = c->lo + (c->hi - c->lo) * (float)rng_uniform(6, RNG_NOISE, (uint32_t)(s * 1000 + k), (uint64_t)i);
  return true;
}

static bool take(void *context, int s, int k, const float *scores, struct error *err)
{
  struct case_ *c = context;
  (void)err;
  memcpy(c->scores + ((int64_t)s * c->steps + k) * c->classes, scores, (size_t)c->classes * sizeof *scores);
  c->calls[s * c->steps + k]++;
  assert_true(k == 0 || c->calls[s * c->steps + k - 1] == 1);
  return true;
}

static struct evaluated run(const struct predictor *predictor, const struct evaluate_options *options, struct case_ *c,
                            int64_t *count)
{
  struct error err = {0};
  struct evaluated end;
  c->height = predictor->height;
  c->width = predictor->width;
  c->channels = predictor->channels;
  c->classes = predictor->classes;
  c->scores = mem_zero((size_t)c->sequences * (size_t)c->steps, (size_t)c->classes * sizeof(float));
  c->calls = mem_zero((size_t)c->sequences * (size_t)c->steps, sizeof(int));
  struct evaluator *e = evaluator_open(predictor, options, c->x, &err);
  const struct sequences what = {.stage = "test", .count = c->sequences, .steps = c->steps, .height = c->side,
                                 .width = c->side, .context = c, .propose = propose, .result = take};
  if (!e || !evaluate_sequences(e, &what, &end, &err))
    fail_msg("%s", err.message);
  *count = evaluator_count(e);
  if (c->still) /* nothing has changed before the first real change */
    for (int s = 0; s < c->sequences; s++)
      for (int64_t i = 0; i < c->classes; i++)
        assert_true(fabsf(c->scores[(int64_t)s * c->steps * c->classes + i] - evaluator_scores(e)[i]) <= 1e-6f);
  evaluator_close(e);
  return end;
}

static void compare_on(const char *name, const char *picture, int side, int sequences, int steps, size_t memory)
{
  struct error err = {0};
  struct model *model = model_open(shared_path(name), &(struct model_options){0}, &err);
  struct image image;
  struct input input;
  if (!model || !image_read(shared_path(picture), &image, &err) || !preprocess(&model->card, &image, &input, &err))
    fail_msg("%s", err.message);
  struct case_ fast = {.side = side, .sequences = sequences, .steps = steps, .x = input.x, .still = true,
                       .lo = preprocess_value(&model->card, &input, 0, input.lo),
                       .hi = preprocess_value(&model->card, &input, 0, input.hi)};
  struct case_ plain = fast;
  struct evaluate_options options = {.session = {.memory = memory}};
  int64_t counts[2];
  assert_string_equal(run(&model->predictor, &options, &fast, &counts[0]).stopped_by, "complete");
  options.session.exact_full = true;
  assert_string_equal(run(&model->predictor, &options, &plain, &counts[1]).stopped_by, "complete");
  assert_int_equal(counts[0], 1 + sequences * steps);
  assert_int_equal(counts[0], counts[1]);
  double most = 0, moved = 0;
  for (int64_t i = 0; i < (int64_t)sequences * steps * fast.classes; i++)
    most = fmax(most, fabs((double)(fast.scores[i] - plain.scores[i])));
  for (int64_t i = 0; i < fast.classes; i++)
    moved = fmax(moved, fabs((double)(plain.scores[i] - plain.scores[(int64_t)(steps - 1) * plain.classes + i])));
  print_message("# %s: largest difference %g, largest movement %g\n", name, most, moved);
  assert_true(most <= 1e-5);
  assert_true(moved > 1e-4); /* else the comparison says nothing */
  for (int i = 0; i < sequences * steps; i++)
    assert_true(fast.calls[i] == 1 && plain.calls[i] == 1);
  mem_free(fast.scores);
  mem_free(fast.calls);
  mem_free(plain.scores);
  mem_free(plain.calls);
  input_free(&input);
  image_free(&image);
  model_close(model);
}

static void test_windows_equal_whole_images(void **state)
{
  (void)state;
  compare_on("models/cxr_pneumonia_cnn150.onnx", "images/xray/pneumonia_person724_virus_1343.jpeg", 9, 7, 6, 0);
  compare_on("models/resnet20_cifar10_bn.onnx", "images/photos/owl.jpg", 5, 5, 8, 0);
  compare_on("models/squeezenet_v1.0.onnx", "images/photos/chelsea.png", 9, 4, 5, 0);
}

/* How many sequences a session takes at once: windows are used at all, and memory bounds them. */
static int lockstep_of(const struct model *model, const float *x, size_t memory, int n)
{
  struct error err = {0};
  const float *bases[40];
  int lockstep = 0;
  for (int i = 0; i < 40; i++)
    bases[i] = x;
  struct session *session = session_open(&model->predictor, &(struct session_options){.memory = memory}, &err);
  if (!session || !session_begin_sequences(session, bases, n, 9, 9, &lockstep, &err))
    fail_msg("%s", err.message);
  session_close(session);
  return lockstep;
}

static void test_lockstep(void **state)
{
  struct error err = {0};
  (void)state;
  struct model *model = model_open(shared_path("models/squeezenet_v1.0.onnx"), &(struct model_options){0}, &err);
  assert_non_null(model);
  float *x = mem_zero((size_t)model->predictor.height * (size_t)model->predictor.width * 3, sizeof *x);
  assert_int_equal(lockstep_of(model, x, 0, 1), 1);
  assert_int_equal(lockstep_of(model, x, 0, 7), 7);
  assert_true(lockstep_of(model, x, (size_t)4 << 30, 40) == 32);
  const int few = lockstep_of(model, x, (size_t)160 << 20, 30);
  print_message("# in 160 MiB: %d in lockstep\n", few);
  assert_true(few >= 2 && few < 30);
  assert_int_equal(lockstep_of(model, x, (size_t)40 << 20, 30), 0);
  mem_free(x);
  model_close(model);
}

/* Little memory: fewer sequences at once, or whole images; the same scores. */
static void test_little_memory(void **state)
{
  (void)state;
  compare_on("models/squeezenet_v1.0.onnx", "images/photos/chelsea.png", 9, 9, 4, (size_t)160 << 20);
  compare_on("models/squeezenet_v1.0.onnx", "images/photos/chelsea.png", 9, 3, 2, (size_t)40 << 20);
}

/* ---- a black box ------------------------------------------------------------------------------------------------ */

static bool sum_of_pixels(void *context, const float *images, int n, float *scores, struct error *err)
{
  (void)context;
  (void)err;
  for (int i = 0; i < n; i++) {
    double sum = 0;
    for (int k = 0; k < 24 * 18; k++)
      sum += (double)images[i * 24 * 18 + k];
    scores[i] = (float)sum;
  }
  return true;
}

static const struct callback_model box = {
  .predictor = {&callback_predictor_ops, 24, 18, 1, 1}, .predict = sum_of_pixels, .batch = 7,
};

static void test_black_box(void **state)
{
  static float x[24 * 18];
  int64_t count;
  (void)state;
  struct case_ c = {.side = 3, .sequences = 3, .steps = 11, .x = x, .lo = 0, .hi = 1, .still = true};
  assert_string_equal(run(&box.predictor, &(struct evaluate_options){0}, &c, &count).stopped_by, "complete");
  assert_int_equal(count, 34);
  /* pixel by pixel, by hand */
  for (int s = 0; s < 3; s++) {
    static float image[24 * 18], content[9];
    memcpy(image, x, sizeof image);
    for (int k = 0; k < 11; k++) {
      struct rect r;
      double sum = 0;
      propose(&c, s, k, &r, content, NULL);
      for (int y = r.y0; y < r.y1; y++)
        for (int xx = r.x0; xx < r.x1; xx++)
          image[y * 18 + xx] = content[(y - r.y0) * (r.x1 - r.x0) + xx - r.x0];
      for (int i = 0; i < 24 * 18; i++)
        sum += (double)image[i];
      assert_true(c.scores[s * 11 + k] == (float)sum);
    }
  }
  mem_free(c.scores);
  mem_free(c.calls);
}

static void test_limits(void **state)
{
  static float x[24 * 18];
  int64_t count;
  (void)state;
  struct case_ c = {.side = 3, .sequences = 3, .steps = 11, .x = x, .hi = 1};
  struct evaluated end = run(&box.predictor, &(struct evaluate_options){.evals = 20}, &c, &count);
  assert_string_equal(end.stopped_by, "evals");
  assert_int_equal(count, 20);
  assert_int_equal(end.count, 19);
  assert_int_equal(c.calls[18], 1);
  assert_int_equal(c.calls[19], 0);
  mem_free(c.scores);
  mem_free(c.calls);
  end = run(&box.predictor, &(struct evaluate_options){.budget = 1e-9}, &c, &count);
  assert_string_equal(end.stopped_by, "budget");
  assert_int_equal(end.count, 0);
  mem_free(c.scores);
  mem_free(c.calls);
}

static bool stop_at_once(void *context, const struct progress *progress)
{
  int *calls = context;
  assert_int_equal(progress->total, 33);
  assert_string_equal(progress->stage, "test");
  ++*calls;
  return false;
}

static void test_cancel(void **state)
{
  static float x[24 * 18];
  struct error err = {0};
  struct evaluated end;
  int calls = 0;
  float scores[33];
  int taken[33] = {0};
  (void)state;
  struct case_ c = {.height = 24, .width = 18, .channels = 1, .classes = 1, .side = 3, .sequences = 3, .steps = 11,
                    .x = x, .scores = scores, .calls = taken};
  const struct sequences what = {.stage = "test", .count = 3, .steps = 11, .height = 3, .width = 3, .context = &c,
                                 .propose = propose, .result = take};
  struct evaluator *e = evaluator_open(&box.predictor, &(struct evaluate_options){.progress = stop_at_once,
                                       .progress_context = &calls}, x, &err);
  assert_non_null(e);
  assert_false(evaluate_sequences(e, &what, &end, &err));
  assert_int_equal(err.code, ERROR_CANCELLED);
  assert_int_equal(calls, 1);
  evaluator_close(e);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_windows_equal_whole_images), cmocka_unit_test(test_lockstep),
    cmocka_unit_test(test_little_memory),
    cmocka_unit_test(test_black_box), cmocka_unit_test(test_limits), cmocka_unit_test(test_cancel),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
