/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients of whole models by a session: against float64 autograd (stored), against differences of its own
 * predictions, and the same bits at any batch and on any number of threads. */
#include "../support/scene.h"
#include "base/files.h"
#include "engine.h"
#include "tensor/compute.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const real_models[] = {
    "cxr_pneumonia_cnn150", "mnist_cnn_opset11", "mobilenet_v1_0.5_160", "mobilenet_v2_224", "resnet20_cifar10_bn",
    "squeezenet_v1.0",      "vit_mnist"};
static const char *const topologies[] = {"resnet18",           "resnet50",      "vgg16",        "densenet121",
                                         "mobilenet_v2",       "squeezenet1_1", "inception_v3", "efficientnet_b0",
                                         "mobilenet_v3_small", "convnext_tiny", "swin_tiny",    "vit_tiny"};
enum { SAMPLES = 4096, BLOCKS = 28 };

static struct session *open_in(const struct model *model, enum precision precision, enum score score, int threads,
                               size_t memory)
{
  struct error err = {0};
  const struct session_options options = {.score = score, .threads = threads, .memory = memory, .precision = precision};
  struct session *session = session_open(&model->predictor, &options, &err);
  assert_ok(session != NULL, err);
  return session;
}

static struct session *open(const struct model *model, enum score score, int threads, size_t memory)
{
  return open_in(model, PRECISION_F32, score, threads, memory);
}

/* Scene 201 prepared as tests/golden/oracle.py does: [H, W, C]. */
static float *prepare_scene(const struct model *model)
{
  const struct predictor *p = &model->predictor;
  const struct card *card = &model->card;
  const int64_t floats = image_floats(p), c = p->channels;
  unsigned char *codes = malloc((size_t)floats);
  float *x = malloc((size_t)floats * sizeof *x);
  assert_true(codes && x);
  scene_draw(201, p->height, p->width, p->channels, codes);
  for (int64_t i = 0; i < floats; i++) {
    const int64_t k = i % c, from = card->channels == CHANNELS_BGR ? i - k + c - 1 - k : i;
    const double mean = card->mean_count > 1 ? card->mean[k] : card->mean_count ? card->mean[0] : 0;
    const double sd = card->std_count > 1 ? card->std[k] : card->std_count ? card->std[0] : 1;
    x[i] = (float)((codes[from] * card->scale - mean) / sd);
  }
  free(codes);
  return x;
}

static double l2_error(const float *a, const float *b, int64_t n)
{
  double difference = 0, square = 0;
  for (int64_t i = 0; i < n; i++) {
    difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    square += (double)b[i] * (double)b[i];
  }
  return sqrt(difference / square);
}

/* ---- against autograd ------------------------------------------------------------------------------------------ */

/* Sums over channels and blocks of pixels, as make.py takes them. */
static void sum_blocks(const float *g, int h, int w, int c, float *out)
{
  for (int i = 0; i < BLOCKS; i++)
    for (int j = 0; j < BLOCKS; j++) {
      double sum = 0;
      for (int y = h * i / BLOCKS; y < h * (i + 1) / BLOCKS; y++)
        for (int x = w * j / BLOCKS; x < w * (j + 1) / BLOCKS; x++)
          for (int k = 0; k < c; k++)
            sum += (double)g[(y * w + x) * c + k];
      out[i * BLOCKS + j] = (float)sum;
    }
}

static void check_golden(const json_t *models, const char *name, const char *path)
{
  const json_t *golden = json_object_get(models, name), *errors = json_object_get(golden, "float32_errors"), *pair;
  char file[128], digest[65];
  struct error err = {0};
  assert_non_null(golden);
  struct file_map map;
  assert_ok(file_map(path, 0, &map, &err), err);
  assert_true(file_sha256(map.data, map.size, digest));
  file_unmap(&map);
  assert_string_equal(digest,
                      json_string_value(json_object_get(golden, "file_sha256"))); /* else: make golden data anew */
  double allowed = 0;
  size_t trial;
  json_array_foreach (errors, trial, pair)
    for (size_t k = 0; k < 2; k++)
      allowed = fmax(allowed, json_number_value(json_array_get(pair, k)));
  allowed = fmax(2 * allowed, 1e-4);

  struct model *model = engine_open(path, false);
  const struct predictor *p = &model->predictor;
  struct session *session = open(model, SCORE_LOGIT, 0, (size_t)3 << 30);
  float *x = prepare_scene(model), *g = malloc((size_t)image_floats(p) * sizeof *g);
  float *scores = malloc((size_t)p->classes * sizeof *scores);
  const struct backward_request request = {.target = json_integer_value(json_object_get(golden, "target"))};
  struct backward_info info;
  assert_ok(session_begin_backward(session, &request, &info, &err), err);
  assert_ok(session_backward(session, x, 1, g, scores, &err), err);
  const double logit = json_number_value(json_object_get(golden, "logit"));
  assert_true(fabs((double)scores[request.target] - logit) <= 1e-3 * fmax(1, fabs(logit)));

  (void)snprintf(file, sizeof file, "%s.samples.npy", name);
  struct npy samples = npy_open(golden_path("gradients", file));
  (void)snprintf(file, sizeof file, "%s.blocks.npy", name);
  struct npy blocks = npy_open(golden_path("gradients", file));
  const int64_t n = npy_count(&samples), floats = image_floats(p), pixels = floats / p->channels;
  float *ours = malloc((size_t)n * sizeof *ours), sums[BLOCKS * BLOCKS];
  for (int64_t j = 0; j < n; j++) {
    const int64_t at = floats <= SAMPLES ? j : scene_position((uint32_t)j, floats);
    ours[j] = g[at % pixels * p->channels + at / pixels];
  }
  sum_blocks(g, p->height, p->width, p->channels, sums);
  double square = 0;
  for (int64_t i = 0; i < floats; i++)
    square += (double)g[i] * (double)g[i];
  const double l2 = json_number_value(json_object_get(golden, "l2"));
  const double error = l2_error(ours, samples.data, n), block_error = l2_error(sums, blocks.data, BLOCKS * BLOCKS);
  print_message("# %-22s L2 error %.1e, of block sums %.1e, allowed %.1e\n", name, error, block_error, allowed);
  assert_true(error <= allowed);
  assert_true(block_error <= 2 * allowed); /* sums of both signs */
  assert_true(fabs(sqrt(square) / l2 - 1) <= allowed);

  npy_free(&samples);
  npy_free(&blocks);
  free(ours);
  free(scores);
  free(x);
  free(g);
  session_close(session);
  model_close(model);
}

static void agrees_with_autograd_on_real_models(void **state)
{
  (void)state;
  (void)shared_path("models"); /* or skip */
  json_t *index = golden_json("gradients", "gradients.json");
  for (size_t i = 0; i < sizeof real_models / sizeof *real_models; i++) {
    char name[128];
    (void)snprintf(name, sizeof name, "models/%s.onnx", real_models[i]);
    check_golden(json_object_get(index, "models"), real_models[i], shared_path(name));
  }
  json_decref(index);
}

static void agrees_with_autograd_on_topologies(void **state)
{
  (void)state;
  (void)models_path("resnet18.onnx"); /* or skip */
  json_t *index = golden_json("gradients", "gradients.json");
  for (size_t i = 0; i < sizeof topologies / sizeof *topologies; i++) {
    char name[128];
    (void)snprintf(name, sizeof name, "%s.onnx", topologies[i]);
    check_golden(json_object_get(index, "models"), topologies[i], models_path(name));
  }
  json_decref(index);
}

/* ---- on fixtures ----------------------------------------------------------------------------------------------- */

static const char *const fixtures[] = {"lin",         "pix",          "conv1_softmax", "conv3_sigmoid", "conv3_softmax",
                                       "res",         "win_gate",     "win_dense",     "win_groups",    "win_nhwc",
                                       "win_maxpool", "win_branches", "win_wide",      "win_deep"};
enum { N_FIXTURES = sizeof fixtures / sizeof *fixtures };

/* A directional derivative of every class, for probability and logit, by differences of predictions in float32. */
static void agrees_with_differences(void **state)
{
  (void)state;
  for (int f = 0; f < N_FIXTURES; f++)
    for (int s = 0; s < 2; s++) {
      struct error err = {0};
      struct model *model = engine_fixture(fixtures[f]);
      const struct predictor *p = &model->predictor;
      const int64_t n = image_floats(p), k = p->classes;
      struct session *session = open(model, s ? SCORE_LOGIT : SCORE_PROB, 0, 0);
      float *x = malloc((size_t)n * sizeof *x), *d = malloc((size_t)n * sizeof *d), *g = malloc((size_t)n * sizeof *g);
      float *at = malloc((size_t)n * sizeof *at), *scores = malloc((size_t)(5 * k) * sizeof *scores);
      noise_image(11, n, x);
      noise_image(12, n, d);
      const double step = 1e-3; /* small, so that few rectifiers turn over on the way */
      for (int j = -2; j <= 2; j++) {
        for (int64_t i = 0; i < n; i++)
          at[i] = (float)((double)x[i] + j * step * (double)d[i]);
        assert_ok(session_predict(session, at, 1, scores + (j + 2) * k, NULL, &err), err);
      }
      for (int64_t c = 0; c < k; c++) {
        struct backward_info info;
        const struct backward_request request = {.target = c};
        assert_ok(session_begin_backward(session, &request, &info, &err), err);
        assert_ok(session_backward(session, x, 1, g, NULL, &err), err);
        double ours = 0, square = 0;
        for (int64_t i = 0; i < n; i++) {
          ours += (double)g[i] * (double)d[i];
          square += (double)g[i] * (double)g[i];
        }
        const double slope = ((double)scores[3 * k + c] - (double)scores[k + c]) / (2 * step);
        const double wide = ((double)scores[4 * k + c] - (double)scores[c]) / (4 * step);
        const double scale = sqrt(square * (double)n); /* of a directional derivative along such noise */
        if (!(fabs(ours - slope) <= 2e-3 * scale + 2 * fabs(slope - wide) + 2e-4))
          fail_msg("%s, class %d, score %d: %g, differences %g and %g", fixtures[f], (int)c, s, ours, slope, wide);
      }
      free(x);
      free(d);
      free(g);
      free(at);
      free(scores);
      session_close(session);
      model_close(model);
    }
}

/* Seven images at once, in calls of other sizes, on other numbers of threads: the bits of each alone. */
static void batches_and_threads_do_not_matter_in(enum precision precision)
{
  enum { IMAGES = 7 };
  for (int f = 0; f < N_FIXTURES; f++) {
    struct error err = {0};
    struct model *model = engine_fixture(fixtures[f]);
    const int64_t n = image_floats(&model->predictor);
    float *x = malloc((size_t)(IMAGES * n) * sizeof *x), *alone = malloc((size_t)(IMAGES * n) * sizeof *x);
    float *together = malloc((size_t)(IMAGES * n) * sizeof *x);
    noise_image(21, IMAGES * n, x);
    for (int threads = 1; threads <= 3; threads++) {
      struct session *session = open_in(model, precision, SCORE_PROB, threads, 0);
      struct backward_info info;
      assert_ok(session_begin_backward(session, &(struct backward_request){.target = 1}, &info, &err), err);
      assert_true(info.batch >= IMAGES);
      for (int i = 0; i < IMAGES && threads == 1; i++)
        assert_ok(session_backward(session, x + i * n, 1, alone + i * n, NULL, &err), err);
      assert_ok(session_backward(session, x, IMAGES, together, NULL, &err), err);
      if (memcmp(alone, together, (size_t)(IMAGES * n) * sizeof *x) != 0)
        fail_msg("%s: other bits on %d threads", fixtures[f], threads);
      session_close(session);
    }
    free(x);
    free(alone);
    free(together);
    model_close(model);
  }
}

static void batches_and_threads_do_not_matter(void **state)
{
  (void)state;
  batches_and_threads_do_not_matter_in(PRECISION_F32);
  if (compute_has_bf16())
    batches_and_threads_do_not_matter_in(PRECISION_BF16);
}

/* ---- bfloat16 beside float32 ------------------------------------------------------------------------------------- */

/* Attributions of the strongest class by 16 nodes between zeros and x, [H, W]. */
static float *attributions(const struct model *model, enum precision precision, enum rule rule, const float *x)
{
  enum { NODES = 16 };
  const struct predictor *p = &model->predictor;
  const int64_t n = image_floats(p), pixels = n / p->channels;
  struct error err = {0};
  struct session *session = open_in(model, precision, SCORE_LOGIT, 0, 0);
  float *image = malloc((size_t)n * sizeof *image), *g = malloc((size_t)n * sizeof *g);
  float *map = calloc((size_t)pixels, sizeof *map), *scores = malloc((size_t)p->classes * sizeof *scores);
  struct session *plain = open(model, SCORE_LOGIT, 0, 0); /* the same class in both precisions */
  assert_ok(session_predict(plain, x, 1, scores, NULL, &err), err);
  session_close(plain);
  struct backward_request request = {.rule = rule};
  struct backward_info info;
  for (int64_t c = 0; c < p->classes; c++)
    if (scores[c] > scores[request.target])
      request.target = c;
  assert_ok(session_begin_backward(session, &request, &info, &err), err);
  for (int k = 0; k < NODES; k++) {
    for (int64_t i = 0; i < n; i++)
      image[i] = x[i] * ((float)k + 0.5F) / NODES;
    assert_ok(session_backward(session, image, 1, g, scores, &err), err);
    for (int64_t i = 0; i < n; i++)
      map[i / p->channels] += g[i] * x[i] / NODES;
  }
  session_close(session);
  free(image);
  free(g);
  free(scores);
  return map;
}

/* Length of the error over the length: what bf16 may cost depends on the depth of a net, which magnifies rounding. */
static double bf16_error(const struct model *model, enum rule rule, const float *x)
{
  float *full = attributions(model, PRECISION_F32, rule, x), *half = attributions(model, PRECISION_BF16, rule, x);
  const double error = l2_error(half, full, image_floats(&model->predictor) / model->predictor.channels);
  free(full);
  free(half);
  return error;
}

static void bf16_stays_near_on_fixtures(void **state)
{
  (void)state;
  if (!compute_has_bf16())
    skip();
  double worst = 0, sum = 0;
  for (int f = 0; f < N_FIXTURES; f++)
    for (int rule = RULE_GRADIENT; rule <= RULE_DECONV; rule++) {
      struct model *model = engine_fixture(fixtures[f]);
      const int64_t n = image_floats(&model->predictor);
      float *x = malloc((size_t)n * sizeof *x);
      noise_image(61, n, x);
      const double error = bf16_error(model, (enum rule)rule, x);
      if (!(error <= 0.2))
        fail_msg("%s, rule %d: %g", fixtures[f], rule, error);
      worst = fmax(worst, error);
      sum += error;
      free(x);
      model_close(model);
    }
  assert_true(sum > 0); /* else nothing ran in bf16 */
  print_message("# bf16 on fixtures: at most %.4f\n", worst);
}

static void bf16_stays_near_on_real_models(void **state)
{
  (void)state;
  (void)shared_path("models"); /* or skip */
  if (!compute_has_bf16())
    skip();
  for (size_t i = 0; i < sizeof real_models / sizeof *real_models; i++) {
    char name[128];
    (void)snprintf(name, sizeof name, "models/%s.onnx", real_models[i]);
    struct model *model = engine_open(shared_path(name), false);
    float *x = prepare_scene(model);
    const double error = bf16_error(model, RULE_GRADIENT, x);
    print_message("# %-22s bf16 beside float32: %.3f\n", real_models[i], error);
    assert_true(error <= 0.5); /* a correlation of 0.9 */
    free(x);
    model_close(model);
  }
}

/* Folding batch norms away changes no gradient but by rounding. */
static void folding_does_not_matter(void **state)
{
  (void)state;
  static const char *const with_norms[] = {"res", "win_dense"};
  for (int f = 0; f < 2; f++) {
    struct error err = {0};
    float *g[2];
    int64_t n = 0;
    for (int verbatim = 0; verbatim < 2; verbatim++) {
      char file[64];
      (void)snprintf(file, sizeof file, "%s.onnx", with_norms[f]);
      struct model *model = engine_open(golden_path("fixtures", file), verbatim);
      struct session *session = open(model, SCORE_LOGIT, 0, 0);
      struct backward_info info;
      n = image_floats(&model->predictor);
      float *x = malloc((size_t)n * sizeof *x);
      g[verbatim] = malloc((size_t)n * sizeof *x);
      noise_image(31, n, x);
      assert_ok(session_begin_backward(session, &(struct backward_request){.target = 2}, &info, &err), err);
      assert_ok(session_backward(session, x, 1, g[verbatim], NULL, &err), err);
      free(x);
      session_close(session);
      model_close(model);
    }
    assert_true(relative_error(g[0], g[1], n) <= 1e-5);
    free(g[0]);
    free(g[1]);
  }
}

static bool ones(void *context, int64_t i, const float *activations, float *signal, struct error *err)
{
  const int64_t *count = context;
  (void)i;
  (void)activations;
  (void)err;
  for (int64_t k = 0; k < *count; k++)
    signal[k] = 1;
  return true;
}

/* From scores to a layer and from there to the image is the way from scores to the image. */
static void ways_join_at_layers(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *model = engine_fixture("conv3_softmax");
  struct session *session = open(model, SCORE_LOGIT, 0, 0);
  const int64_t n = image_floats(&model->predictor);
  float *x = malloc((size_t)n * sizeof *x), *whole = malloc((size_t)n * sizeof *x),
        *parts = malloc((size_t)n * sizeof *x);
  struct backward_info info;
  noise_image(41, n, x);
  assert_ok(session_begin_backward(session, &(struct backward_request){.target = 3}, &info, &err), err);
  assert_ok(session_backward(session, x, 1, whole, NULL, &err), err);
  assert_int_equal(info.rectifiers, 2);
  assert_int_equal(info.activations, 0);

  const struct backward_request to_layer = {.target = 3, .to = ""};
  assert_ok(session_begin_backward(session, &to_layer, &info, &err), err);
  assert_int_equal(info.channels, 8);
  assert_int_equal(info.rectifiers, 0);
  const int64_t count = (int64_t)info.height * info.width * info.channels;
  float *at_layer = malloc((size_t)count * sizeof *at_layer);
  assert_ok(session_backward(session, x, 1, at_layer, NULL, &err), err);
  for (int64_t i = info.channels; i < count; i++) /* behind a global average every pixel has the same weight */
    assert_float_equal(at_layer[i], at_layer[i % info.channels], 1e-7);

  /* Seeds of the layer: ones give the gradient of the sum, which differences know as well. */
  int64_t seeds = count;
  const struct backward_request from_layer = {.from = "", .seed = ones, .context = &seeds};
  assert_ok(session_begin_backward(session, &from_layer, &info, &err), err);
  assert_int_equal(info.from_height, 11);
  assert_int_equal(info.from_width, 9);
  assert_int_equal(info.from_channels, 8);
  assert_int_equal(info.channels, 3);
  assert_ok(session_backward(session, x, 1, parts, NULL, &err), err);
  double total = 0;
  for (int64_t i = 0; i < n; i++)
    total += fabs((double)parts[i]);
  assert_true(total > 0);

  free(x);
  free(whole);
  free(parts);
  free(at_layer);
  session_close(session);
  model_close(model);
}

/* Through the stem twice and over the rest is the whole way. */
static void stems_are_affine(void **state)
{
  (void)state;
  static const char *const with_stems[] = {"conv3_softmax", "res", "win_deep"};
  for (int f = 0; f < 3; f++) {
    struct error err = {0};
    struct model *model = engine_fixture(with_stems[f]);
    struct session *session = open(model, SCORE_PROB, 0, 0);
    const int64_t n = image_floats(&model->predictor);
    float *x = malloc((size_t)n * sizeof *x), *whole = malloc((size_t)n * sizeof *x),
          *parts = malloc((size_t)n * sizeof *x);
    struct backward_info info;
    noise_image(51, n, x);
    assert_ok(session_begin_backward(session, &(struct backward_request){.target = 1}, &info, &err), err);
    assert_int_equal(info.stem, 0);
    assert_ok(session_backward(session, x, 1, whole, NULL, &err), err);
    assert_ok(session_begin_backward(session, &(struct backward_request){.target = 1, .stem = true}, &info, &err), err);
    assert_true(info.stem > 0);
    float *z = malloc((size_t)info.stem * sizeof *z), *gz = malloc((size_t)info.stem * sizeof *gz);
    assert_ok(session_stem(session, x, z, &err), err);
    assert_ok(session_backward(session, z, 1, gz, NULL, &err), err);
    assert_ok(session_stem_back(session, gz, parts, &err), err);
    assert_true(relative_error(parts, whole, n) <= 1e-6);
    free(z);
    free(gz);
    free(x);
    free(whole);
    free(parts);
    session_close(session);
    model_close(model);
  }
}

/* Bad requests are errors that say what is wrong. */
static void refuses(void **state)
{
  (void)state;
  struct error err = {0};
  struct model *model = engine_fixture("conv3_softmax");
  struct session *session = open(model, SCORE_PROB, 0, 0);
  struct backward_info info;
  assert_false(session_begin_backward(session, &(struct backward_request){.target = 4}, &info, &err));
  assert_string_equal(err.message, "target: class 4 is outside 0..3 (bad-target)");
  err = (struct error){0};
  assert_false(session_begin_backward(session, &(struct backward_request){.to = "relu3"}, &info, &err));
  assert_non_null(strstr(err.message, "relu2"));
  session_close(session);

  /* Too little memory is said, and by how much. */
  err = (struct error){0};
  const struct session_options options = {.memory = 40000};
  session = session_open(&model->predictor, &options, &err);
  if (session) {
    assert_false(session_begin_backward(session, &(struct backward_request){.target = 0}, &info, &err));
    session_close(session);
  }
  assert_non_null(strstr(err.message, "memory"));
  model_close(model);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(agrees_with_differences),
      cmocka_unit_test(batches_and_threads_do_not_matter),
      cmocka_unit_test(bf16_stays_near_on_fixtures),
      cmocka_unit_test(bf16_stays_near_on_real_models),
      cmocka_unit_test(folding_does_not_matter),
      cmocka_unit_test(ways_join_at_layers),
      cmocka_unit_test(stems_are_affine),
      cmocka_unit_test(refuses),
      cmocka_unit_test(agrees_with_autograd_on_real_models),
      cmocka_unit_test(agrees_with_autograd_on_topologies),
  };
  return cmocka_run_group_tests_name("gradients", tests, NULL, NULL);
}
