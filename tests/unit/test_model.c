/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a classifier: what its graph and its card say of each other, its layers, its scores; and one that is a
 * function of the caller's. */
#include "engine.h"
#include "fault.h"
#include "model/callback_model.h"

#include <stdlib.h>

static const char *fixture_path(const char *name)
{
  char file[128];
  (void)snprintf(file, sizeof file, "%s.onnx", name);
  return golden_path("fixtures", file);
}

static struct model *open_with(const char *name, const char *const *settings, struct error *err)
{
  return model_open(fixture_path(name), &(struct model_options){.settings = settings}, err);
}

static struct model *open_well(const char *name, const char *const *settings)
{
  struct error err = {0};
  struct model *model = open_with(name, settings, &err);
  assert_ok(model != NULL, err);
  return model;
}

static void expect_message(const struct error *err, const char *first, const char *second)
{
  if (!strstr(err->message, first) || !strstr(err->message, second))
    print_message("# %s\n", err->message);
  assert_non_null(strstr(err->message, first));
  assert_non_null(strstr(err->message, second));
  assert_null(strchr(err->message, '\n'));
}

/* ---- what cannot be opened -------------------------------------------------------------------------------------- */

static void refuses_with_file_and_cause(void **state)
{
  (void)state;
  static const struct {
    const char *file, *cause;
  } cases[] = {
      {"two_inputs.onnx", "2 inputs"},
      {"rank2_input.onnx", "not that of an image"},
      {"unsupported_op.onnx", "FooBar"},
      {"cyclic.onnx", "cycle"},
      {"gemm_mismatch.onnx", "Gemm"},
      {"zero_group.onnx", "group"},
      {"huge_constant.onnx", "elements"},
      {"missing_output.onnx", "output"},
      {"missing_initializer.onnx", "w1"},
      {"empty.onnx", ""},
      {"truncated.onnx", ""},
      {"negative_dims.onnx", "w1"},
      {"overflow_dims.onnx", "w1"},
      {"short_raw_data.onnx", "w1"},
      {"external_data_escape.onnx", "w1"},
      {"lfs_pointer.onnx", "LFS"},
      {"nan_weights.onnx", "'w1' holds a value that is not a number"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char path[128];
    struct error err = {0};
    (void)snprintf(path, sizeof path, "bad/%s", cases[i].file);
    assert_null(model_open(shared_path(path), &(struct model_options){0}, &err));
    assert_int_equal(err.code, ERROR_FAILED);
    expect_message(&err, cases[i].file, cases[i].cause);
  }
}

static void refuses_bad_cards(void **state)
{
  (void)state;
  static const struct {
    const char *file, *cause;
  } cases[] = {
      {"card_broken_json", ""}, {"card_empty", ""},       {"card_wrong_types", "size"}, {"card_mean_length", "mean"},
      {"card_zero_std", "std"}, {"card_wrong_size", "9"}, {"card_labels_missing", ""},  {"card_deep_json", ""},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char path[128];
    struct error err = {0};
    (void)snprintf(path, sizeof path, "bad/%s.onnx", cases[i].file);
    assert_null(model_open(shared_path(path), &(struct model_options){0}, &err));
    assert_int_equal(err.code, ERROR_FAILED);
    expect_message(&err, cases[i].file, cases[i].cause);
  }
}

static void opens_the_sound_ones(void **state)
{
  (void)state;
  static const char *const names[] = {"bad/ok_model.onnx", "bad/float16_weights.onnx", "bad/dynamic_hw.onnx"};
  float scores[3][64];
  for (int i = 0; i < 3; i++) {
    struct error err = {0};
    struct model *model = engine_open(shared_path(names[i]), false);
    float image[8 * 8 * 3];
    assert_int_equal(model->predictor.height * model->predictor.width * model->predictor.channels, 192);
    assert_true(model->predictor.classes <= 64);
    noise_image(1, 192, image);
    struct session *session = session_open(&model->predictor, &(struct session_options){.threads = 1}, &err);
    assert_ok(session != NULL, err);
    assert_ok(session_predict(session, image, 1, scores[i], NULL, &err), err);
    assert_true(relative_error(scores[i], scores[0], model->predictor.classes) < (i == 1 ? 2e-2 : 1e-6));
    session_close(session);
    model_close(model);
  }
}

static void refuses_what_is_no_classifier(void **state)
{
  (void)state;
  struct error err = {0};
  assert_null(open_with("map_output", NULL, &err));
  expect_message(&err, "map_output.onnx", "not that of class scores");
  err = (struct error){0};
  assert_null(open_with("two_outputs", NULL, &err));
  expect_message(&err, "2 outputs", "--output");
  err = (struct error){0};
  assert_null(open_with("two_outputs", (const char *const[]){"output=nonsense", NULL}, &err));
  expect_message(&err, "'nonsense'", "gemm2");
  err = (struct error){0};
  assert_null(open_with("conv3_softmax", (const char *const[]){"channels=gray", NULL}, &err));
  expect_message(&err, "gray", "3 channels");
  err = (struct error){0};
  assert_null(open_with("conv3_softmax", (const char *const[]){"size=22x19", NULL}, &err));
  expect_message(&err, "22", "23");
  err = (struct error){0};
  assert_null(open_with("conv3_softmax", (const char *const[]){"nonsense=1", NULL}, &err));
  assert_int_equal(err.code, ERROR_USAGE);
  expect_message(&err, "nonsense", "no such key");
  err = (struct error){0};
  assert_null(
      open_with("conv3_softmax", (const char *const[]){"activation=sigmoid", "activation_in_graph=on", NULL}, &err));
  expect_message(&err, "sigmoid", "softmax");
  err = (struct error){0};
  assert_null(open_with("lin", (const char *const[]){"activation=softmax", "activation_in_graph=on", NULL}, &err));
  expect_message(&err, "softmax", "does not end in it");
  err = (struct error){0};
  assert_null(model_open("no/such.onnx", &(struct model_options){0}, &err));
  expect_message(&err, "no/such.onnx", "No such file");
}

/* ---- input and output ------------------------------------------------------------------------------------------- */

static void finds_the_grid(void **state)
{
  (void)state;
  struct model *model = open_well("win_nhwc", NULL);
  assert_int_equal(model->predictor.height, 40);
  assert_int_equal(model->predictor.width, 36);
  assert_int_equal(model->predictor.channels, 3);
  model_close(model);
  model = open_well("conv1_softmax", NULL);
  assert_int_equal(model->predictor.height, 23);
  assert_int_equal(model->predictor.width, 19);
  assert_int_equal(model->predictor.channels, 1);
  assert_int_equal(model->predictor.classes, 4);
  model_close(model);
  model = open_well("two_outputs", (const char *const[]){"output=gemm3", NULL});
  assert_int_equal(model->predictor.classes, 2);
  model_close(model);
}

static void predict_one(struct model *model, enum score score, float *scores)
{
  struct error err = {0};
  const int64_t floats = image_floats(&model->predictor);
  float *image = malloc((size_t)floats * sizeof *image);
  assert_non_null(image);
  noise_image(9, floats, image);
  struct session *session =
      session_open(&model->predictor, &(struct session_options){.score = score, .threads = 1}, &err);
  assert_ok(session != NULL, err);
  assert_ok(session_predict(session, image, 1, scores, NULL, &err), err);
  session_close(session);
  free(image);
}

/* Probabilities are the activation of the logits, wherever it is: in the graph or named by the card. */
static void applies_the_activation_once(void **state)
{
  (void)state;
  static const struct {
    const char *name, *setting;
    enum activation wanted;
    bool in_graph;
  } cases[] = {
      {"conv3_softmax", NULL, ACTIVATION_SOFTMAX, true},
      {"conv3_softmax", "activation=softmax", ACTIVATION_SOFTMAX, true},
      {"conv3_sigmoid", NULL, ACTIVATION_SIGMOID, true},
      {"lin", NULL, ACTIVATION_NONE, false},
      {"lin", "activation=none", ACTIVATION_NONE, false},
      {"lin", "activation=softmax", ACTIVATION_SOFTMAX, false},
      {"lin", "activation=log_softmax", ACTIVATION_LOG_SOFTMAX, false},
      {"lin", "activation=sigmoid", ACTIVATION_SIGMOID, false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    float logit[8], prob[8];
    double sum = 0;
    struct model *model = open_well(cases[i].name, (const char *const[]){cases[i].setting, NULL});
    assert_int_equal(model->activation, cases[i].wanted);
    assert_int_equal(model->ends_in != ACTIVATION_NONE, cases[i].in_graph);
    const int64_t k = model->predictor.classes;
    predict_one(model, SCORE_LOGIT, logit);
    predict_one(model, SCORE_PROB, prob);
    for (int64_t j = 0; j < k; j++)
      sum += exp((double)logit[j]);
    for (int64_t j = 0; j < k; j++) {
      const double z = (double)logit[j];
      const double expected = cases[i].wanted == ACTIVATION_SIGMOID ? 1 / (1 + exp(-z))
                              : cases[i].wanted == ACTIVATION_NONE  ? z
                                                                    : exp(z) / sum;
      assert_true(fabs((double)prob[j] - expected) <= 1e-6 * fmax(1, fabs(expected)));
    }
    model_close(model);
  }
}

/* A sigmoid whose card names what it is not has a second class. */
static void names_the_complement(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *model =
      model_open(shared_path("models/cxr_pneumonia_cnn150.onnx"),
                 &(struct model_options){.settings = (const char *const[]){"normal=healthy", NULL}}, &err);
  assert_ok(model != NULL, err);
  assert_int_equal(model->predictor.classes, 2);
  assert_int_equal(model->outputs, 1);
  float scores[2], logits[2];
  predict_one(model, SCORE_PROB, scores);
  predict_one(model, SCORE_LOGIT, logits);
  assert_true(fabs((double)(scores[0] + scores[1]) - 1) < 1e-6);
  assert_true(logits[0] == -logits[1]);
  model_close(model);
}

/* ---- layers ----------------------------------------------------------------------------------------------------- */

static void finds_layers(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *model = open_well("conv3_softmax", NULL);
  assert_string_equal(model->default_layer, "relu5"); /* after its activation, before global pooling */
  assert_string_equal(model_layer(model, "", &err)->name, "relu5");
  assert_string_equal(model_layer(model, "maxpool3", &err)->name, "maxpool3");
  assert_int_equal(err.code, ERROR_NONE);
  assert_null(model_layer(model, "relu6", &err));
  assert_int_equal(err.code, ERROR_USAGE);
  expect_message(&err, "no 'relu6'", "relu5");
  err = (struct error){0};
  assert_null(model_layer(model, "gemm8", &err));
  expect_message(&err, "gemm8", "1x4");
  model_close(model);

  err = (struct error){0};
  model = open_well("lin", NULL);
  assert_null(model->default_layer);
  assert_null(model_layer(model, "", &err));
  expect_message(&err, "layer", "no feature map");
  model_close(model);
}

/* The watched layer of a session is what a graph without any folding has there. */
static void sessions_show_layers(void **state)
{
  (void)state;
  static const char *const names[] = {"conv1_softmax", "res", "win_fire", "win_gate", "win_residual", "win_dense"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    struct error err = {0};
    struct model *model = open_well(names[i], NULL), *plain = engine_open(fixture_path(names[i]), true);
    const int64_t floats = image_floats(&model->predictor);
    float *images = malloc((size_t)(3 * floats) * sizeof *images);
    assert_non_null(images);
    noise_image(4, 3 * floats, images);
    for (int k = 0; k < model->graph->n_nodes; k++) {
      const char *name = model->graph->nodes[k]->out[0]->name;
      struct value *layer = model_layer(model, name, &err);
      if (!layer) {
        err = (struct error){0};
        continue;
      }
      struct session *session =
          session_open(&model->predictor, &(struct session_options){.threads = 1, .layer = name}, &err);
      assert_ok(session != NULL, err);
      const int64_t map = (int64_t)session->layer.height * session->layer.width * session->layer.channels;
      assert_int_equal(map, tensor_count(&layer->t));
      float *activations = malloc((size_t)(3 * map) * sizeof *activations), scores[3 * 8];
      assert_non_null(activations);
      assert_ok(session_predict(session, images, 3, scores, activations, &err), err);
      struct value *same = NULL;
      for (int v = 0; v < plain->graph->n_values; v++)
        if (strcmp(plain->graph->values[v]->name, name) == 0)
          same = plain->graph->values[v];
      struct engine e = engine_new(plain->graph, 3, true);
      engine_run(&e, images, 3 * floats);
      if (same && run_value(e.run, same))
        assert_true(relative_error(activations, run_value(e.run, same), 3 * map) <= 1e-5);
      engine_free(&e);
      free(activations);
      session_close(session);
    }
    free(images);
    model_close(plain);
    model_close(model);
  }
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static void batches_follow_the_memory_limit(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *model = open_well("win_residual", NULL);
  int64_t before = 64;
  int different = 0;
  for (size_t limit = (size_t)64 << 20; limit >= (size_t)1 << 18; limit /= 2) {
    struct session *session = session_open(&model->predictor, &(struct session_options){.memory = limit}, &err);
    if (!session)
      break;
    assert_true(session->batch >= 1 && session->batch <= before);
    assert_true(session->memory <= limit);
    different += session->batch < before;
    before = session->batch;
    session_close(session);
    err = (struct error){0};
  }
  assert_int_equal(before, 1);
  assert_true(different > 3);
  err = (struct error){0};
  assert_null(session_open(&model->predictor, &(struct session_options){.memory = 1000}, &err));
  assert_int_equal(err.code, ERROR_USAGE);
  expect_message(&err, "memory: ", "too little");
  model_close(model);
}

/* ---- between runs ---------------------------------------------------------------------------------------------- */

/* A session that is closed waits for the next run with the same options, and says what a new one says. */
static void sessions_are_taken_over(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *model = open_well("win_residual", NULL), *other = open_well("win_residual", NULL);
  const struct predictor *p = &model->predictor;
  const size_t image = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
  float *x = malloc(image * sizeof *x), scores[2][16];
  assert_true(x && p->classes <= 16);
  for (size_t i = 0; i < image; i++)
    x[i] = (float)(i % 17) / 17 - 0.5f;
  const struct session_options options = {.threads = 1, .layer = ""};
  struct session *first = session_open(p, &options, &err);
  assert_non_null(first);
  struct session *beside = session_open(p, &options, &err); /* two runs at once have a session each */
  assert_non_null(beside);
  assert_ptr_not_equal(first, beside);
  session_close(beside);
  session_close(first);
  const char name[] = ""; /* equal, not the same */
  struct session *again = session_open(p, &(struct session_options){.threads = 1, .layer = name}, &err);
  assert_ptr_equal(again, first);
  float *layer =
      malloc((size_t)again->layer.height * (size_t)again->layer.width * (size_t)again->layer.channels * sizeof *layer);
  assert_non_null(layer);
  assert_true(session_predict(again, x, 1, scores[0], layer, &err));
  struct session *fresh = session_open(&other->predictor, &options, &err);
  assert_true(fresh && session_predict(fresh, x, 1, scores[1], layer, &err));
  assert_memory_equal(scores[0], scores[1], (size_t)p->classes * sizeof *scores[0]);
  session_close(fresh);
  session_close(again);
  const struct session_options wanted[] = {
      {.threads = 1, .layer = NULL},
      {.threads = 2, .layer = NULL},
      {.threads = 2, .score = SCORE_LOGIT},
      {.threads = 2, .score = SCORE_LOGIT, .memory = 1 << 26},
      {.threads = 2, .score = SCORE_LOGIT, .memory = 1 << 26, .exact_full = true},
  };
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    struct session *session = session_open(p, &wanted[i], &err);
    assert_non_null(session);
    assert_true(session_predict(session, x, 1, scores[0], NULL, &err));
    assert_int_equal(session->layer.name != NULL, false);
    session_close(session);
  }
  free(layer);
  free(x);
  model_close(model);
  model_close(other);
}

enum { KINDS = 4, SIDE = 3, IMAGES = 9, CHANGES = 2, MOST_RESULTS = 1 << 16 };

/* One run that does one kind of work, in a session of its own or one that was left; what it gave and how much. */
static size_t work(const struct model *model, int kind, const float *x, float *results)
{
  struct error err = {0};
  const struct predictor *p = &model->predictor;
  const size_t image = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
  const float content[SIDE * SIDE * 4] = {0.25f, -1, 2}, *bases[CHANGES] = {x, x};
  const struct change changes[CHANGES] = {{{0, 0, SIDE, SIDE}, content}, {{2, 1, 2 + SIDE, 1 + SIDE}, content}};
  struct session *s = session_open(p, &(struct session_options){.threads = 1}, &err);
  assert_true(s && p->channels <= 4);
  const size_t classes = (size_t)p->classes;
  size_t given = classes;
  int n = 0;
  bool ok = session_predict(s, x, 1, results, NULL, &err); /* as every run begins */
  if (kind == 0) {
    const int64_t batch = s->batch < IMAGES ? s->batch : IMAGES;
    ok = ok && session_predict(s, x, batch, results + given, NULL, &err);
    given += (size_t)batch * classes;
  } else if (kind == 1) {
    ok = ok && session_begin_changes(s, x, SIDE, SIDE, &n, &err);
    assert_true(n >= CHANGES);
    ok = ok && session_predict_changes(s, changes, CHANGES, results + given, NULL, &err);
    given += CHANGES * classes;
  } else if (kind == 2) {
    ok = ok && session_begin_sequences(s, bases, CHANGES, SIDE, SIDE, &n, &err);
    assert_int_equal(n, CHANGES);
    for (int step = 0; ok && step < 2; step++, given += CHANGES * classes)
      ok = session_step_sequences(s, changes, CHANGES, results + given, &err);
  } else {
    struct backward_info info;
    ok = ok && session_begin_backward(s, &(struct backward_request){.target = 0}, &info, &err) &&
         session_backward(s, x, 1, results + given, NULL, &err);
    given += image;
  }
  if (!ok)
    fail_msg("kind %d: %s", kind, err.message);
  session_close(s);
  assert_true(given <= MOST_RESULTS);
  return given;
}

/* Whatever kinds of work follow one another on a model, each gives what it gives on a model that did nothing before. */
static void kinds_of_work_follow_one_another(void **state)
{
  (void)state;
  static float first[KINDS][MOST_RESULTS], later[MOST_RESULTS];
  size_t given[KINDS];
  struct model *model = open_well("win_residual", NULL);
  const struct predictor *p = &model->predictor;
  const size_t image = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
  float *x = malloc(IMAGES * image * sizeof *x);
  assert_non_null(x);
  for (size_t i = 0; i < IMAGES * image; i++)
    x[i] = (float)(i % 23) / 23 - 0.5f;
  for (int kind = 0; kind < KINDS; kind++) {
    struct model *fresh = open_well("win_residual", NULL);
    given[kind] = work(fresh, kind, x, first[kind]);
    model_close(fresh);
  }
  for (int before = 0; before < KINDS; before++)
    for (int kind = 0; kind < KINDS; kind++)
      for (int again = 0; again < 2; again++) {
        work(model, before, x, later);
        assert_memory_equal(later, first[before], given[before] * sizeof *later);
        work(model, kind, x, later);
        assert_memory_equal(later, first[kind], given[kind] * sizeof *later);
      }
  free(x);
  model_close(model);
}

/* ---- description ------------------------------------------------------------------------------------------------ */

static void describes_itself(void **state)
{
  (void)state;
  struct model *model = open_well("conv3_softmax", (const char *const[]){"scale=0.5", NULL});
  json_t *json = model_json(model);
  assert_non_null(json);
  assert_int_equal(json_integer_value(json_object_get(json, "opset")), 13);
  assert_string_equal(json_string_value(json_object_get(json, "default_layer")), "relu5");
  assert_string_equal(json_string_value(json_object_get(json, "activation")), "softmax");
  assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "output"), "classes")), 4);
  const json_t *shape = json_object_get(json_object_get(json, "input"), "shape");
  assert_int_equal(json_array_size(shape), 4);
  assert_int_equal(json_integer_value(json_array_get(shape, 2)), 23);
  const json_t *card = json_object_get(json_object_get(json_object_get(json, "card"), "input"), "scale");
  assert_true(json_number_value(card) == 0.5);
  /* 23x19 outputs of 3x3 taps on 3 channels to 6; 11x9 of 3x3 on 6 to 8; 8 to 4. */
  assert_int_equal(json_integer_value(json_object_get(json, "macs")), 23 * 19 * 9 * 3 * 6 + 11 * 9 * 9 * 6 * 8 + 8 * 4);
  assert_true(json_array_size(json_object_get(json, "layers")) >= 6);
  json_decref(json);
  model_close(model);
}

static void drafts_a_card(void **state)
{
  (void)state;
  struct error err = {0};
  json_t *draft = model_draft_card(fixture_path("conv1_sigmoid"), &err);
  assert_ok(draft != NULL, err);
  const json_t *card = json_object_get(draft, "card");
  assert_string_equal(json_string_value(json_object_get(json_object_get(card, "output"), "activation")), "sigmoid");
  assert_string_equal(json_string_value(json_object_get(json_object_get(card, "input"), "channels")), "gray");
  assert_true(json_array_size(json_object_get(draft, "notes")) > 0);
  json_decref(draft);
  draft = model_draft_card(shared_path("bad/dynamic_hw.onnx"), &err); /* where the model needs a card to be opened */
  assert_ok(draft != NULL, err);
  json_decref(draft);
  assert_null(model_draft_card(shared_path("bad/two_inputs.onnx"), &err));
  expect_message(&err, "two_inputs.onnx", "2 inputs");
}

/* ---- a classifier of the caller's ------------------------------------------------------------------------------- */

struct caller {
  int calls, largest, fails, says;
  bool nan;
};

static bool sum_up(void *context, const float *images, int n, float *scores, struct error *err)
{
  struct caller *c = context;
  c->calls++;
  c->largest = n > c->largest ? n : c->largest;
  if (c->says)
    return error_set(err, ERROR_CANCELLED, "no more");
  if (c->fails)
    return false;
  for (int i = 0; i < n; i++) {
    scores[2 * i] = images[4 * i] + images[4 * i + 3];
    scores[2 * i + 1] = c->nan ? NAN : 1;
  }
  return true;
}

static void calls_back(void **state)
{
  (void)state;
  struct error err = {0};
  struct caller caller = {0};
  const struct callback_model model = {
      .predictor = {&callback_predictor_ops, 2, 2, 1, 2},
      .predict = sum_up,
      .context = &caller,
      .batch = 5,
  };
  float images[8] = {1, 2, 3, 4, 5, 6, 7, 8}, scores[4];
  struct session *session = session_open(&model.predictor, &(struct session_options){0}, &err);
  assert_ok(session != NULL, err);
  assert_int_equal(session->batch, 5);
  assert_null(session->layer.name);
  assert_ok(session_predict(session, images, 2, scores, NULL, &err), err);
  assert_true(scores[0] == 5 && scores[1] == 1 && scores[2] == 13 && scores[3] == 1);
  int batch = -1;
  assert_ok(session_begin_changes(session, images, 1, 1, &batch, &err), err);
  assert_int_equal(batch, 0);
  caller.nan = true;
  assert_false(session_predict(session, images, 2, scores, NULL, &err));
  expect_message(&err, "class 1", "image 0");
  caller.nan = false;
  caller.fails = 1;
  err = (struct error){0};
  assert_false(session_predict(session, images, 2, scores, NULL, &err));
  expect_message(&err, "without saying why", "predict");
  caller.says = 1;
  err = (struct error){0};
  assert_false(session_predict(session, images, 2, scores, NULL, &err));
  assert_int_equal(err.code, ERROR_CANCELLED);
  assert_string_equal(err.message, "no more");
  session_close(session);

  session = session_open(&model.predictor, &(struct session_options){.memory = 33}, &(struct error){0});
  assert_non_null(session);
  assert_int_equal(session->batch, 2); /* of 16 bytes each */
  session_close(session);
  static const struct {
    struct session_options options;
    const char *message;
  } wrong[] = {
      {{.layer = ""}, "no-layer"},
      {{.score = SCORE_LOGIT}, "no-logit"},
      {{.memory = 15}, "too little"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    err = (struct error){0};
    assert_null(session_open(&model.predictor, &wrong[i].options, &err));
    assert_int_equal(err.code, ERROR_USAGE);
    expect_message(&err, wrong[i].message, "");
  }
}

/* ---- faults ----------------------------------------------------------------------------------------------------- */

static bool open_and_predict(const char *name, struct error *err)
{
  float image[23 * 19 * 3] = {0}, scores[8];
  int batch = 0;
  struct model *model = open_with(name, NULL, err);
  struct session *session =
      model ? session_open(&model->predictor, &(struct session_options){.threads = 1, .layer = ""}, err) : NULL;
  float *layer = session ? malloc((size_t)session->layer.height * (size_t)session->layer.width *
                                  (size_t)session->layer.channels * sizeof *layer)
                         : NULL;
  const struct change change = {{4, 5, 6, 7}, image};
  const bool ok = session && session_predict(session, image, 1, scores, layer, err) &&
                  session_begin_changes(session, image, 2, 2, &batch, err) &&
                  (!batch || session_predict_changes(session, &change, 1, scores, layer, err));
  free(layer);
  session_close(session);
  model_close(model);
  return ok;
}

static void fails_without_memory(void **state)
{
  (void)state;
  threads_use(1);
  FAULT_LOOP(open_and_predict("conv3_softmax", &err), (void)0);
  FAULT_LOOP(open_and_predict("res", &err), (void)0);
}

static void drafts_fail_without_memory(void **state)
{
  (void)state;
  json_t *draft = NULL;
  FAULT_LOOP((draft = model_draft_card(fixture_path("conv1_sigmoid"), &err)) != NULL, json_decref(draft));
}

int main(void)
{
  fault_include_jansson();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(refuses_with_file_and_cause),
      cmocka_unit_test(refuses_bad_cards),
      cmocka_unit_test(opens_the_sound_ones),
      cmocka_unit_test(refuses_what_is_no_classifier),
      cmocka_unit_test(finds_the_grid),
      cmocka_unit_test(applies_the_activation_once),
      cmocka_unit_test(names_the_complement),
      cmocka_unit_test(finds_layers),
      cmocka_unit_test(sessions_show_layers),
      cmocka_unit_test(batches_follow_the_memory_limit),
      cmocka_unit_test(sessions_are_taken_over),
      cmocka_unit_test(kinds_of_work_follow_one_another),
      cmocka_unit_test(describes_itself),
      cmocka_unit_test(drafts_a_card),
      cmocka_unit_test(calls_back),
      cmocka_unit_test(fails_without_memory),
      cmocka_unit_test(drafts_fail_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
