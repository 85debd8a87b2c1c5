/* SPDX-License-Identifier: Apache-2.0 */
/* The methods that look back from the score: against Captum, and by what must hold whatever the network. */
#include "base/rng.h"
#include "fault.h"
#include "perturb/gradients.h"
#include "subject.h"

static const char *const captum_nets[] = {"conv1_softmax", "conv3_sigmoid", "conv3_softmax", "res",
                                          "win_fire",      "win_residual",  "win_dense",     "win_deep"};
enum { N_CAPTUM = sizeof captum_nets / sizeof *captum_nets };

/* The order of IMAGE_MAPS in tests/golden/captum/make.py. */
static const struct {
  const char *method, *params;
} captum_maps[] = {
    {"gradient", ""},
    {"gradient-input", ""},
    {"ig", "steps=50 fill=zero"},
    {"ig", "steps=7 fill=zero"},
    {"ig", "steps=11 rule=left fill=zero"},
    {"ig", "steps=11 rule=right fill=zero"},
    {"ig", "steps=11 rule=middle fill=zero"},
    {"ig", "steps=11 rule=trapezoid fill=zero"},
    {"smoothgrad", "samples=6"},
    {"smoothgrad", "samples=6 variant=square"},
    {"smoothgrad", "samples=6 variant=var"},
    {"guided-backprop", ""},
    {"deconvnet", "start=class"},
    {"deconvnet", ""},
};
enum { N_MAPS = sizeof captum_maps / sizeof *captum_maps };

static void agrees_with_captum(void **state)
{
  (void)state;
  int wrong = 0;
  for (int net = 0; net < N_CAPTUM; net++) {
    char file[64], params[128];
    (void)snprintf(file, sizeof file, "%s.npy", captum_nets[net]);
    struct npy golden = npy_open(golden_path("captum", file));
    (void)snprintf(file, sizeof file, "%s.layer.npy", captum_nets[net]);
    struct npy layer = npy_open(golden_path("captum", file));
    (void)snprintf(file, sizeof file, "%s.json", captum_nets[net]);
    json_t *facts = golden_json("captum", file);
    struct subject *s = subject_open(captum_nets[net], false);
    s->explain.seed = 5;
    const int64_t n = image_floats(&s->model->predictor);
    assert_int_equal(npy_count(&golden), N_MAPS * n);
    for (int m = 0; m < N_MAPS; m++) {
      const char *name = json_string_value(json_object_get(facts, "layer"));
      (void)snprintf(params, sizeof params, "keep-channels=on %s%s%s", captum_maps[m].params,
                     m == N_MAPS - 1 ? "layer=" : "", m == N_MAPS - 1 ? name : "");
      struct explanation out = subject_run(s, captum_maps[m].method, params);
      const double error = relative_error(subject_array(&out, "channels"), (const float *)golden.data + m * n, n);
      if (!(error <= 1e-4)) {
        print_message("# %s, %s %s: %.2e\n", captum_nets[net], captum_maps[m].method, captum_maps[m].params, error);
        wrong++;
      }
      assert_int_equal(out.target, json_integer_value(json_object_get(facts, "target")));
      if (m == N_MAPS - 1) {
        const json_t *projection = json_object_get(out.details, "projection");
        assert_int_equal(json_integer_value(json_object_get(projection, "feature_map")),
                         json_integer_value(json_object_get(facts, "feature_map")));
        assert_true(json_equal(json_object_get(projection, "unit"), json_object_get(facts, "unit")));
        assert_string_equal(json_string_value(json_object_get(projection, "layer")), name);
      }
      explanation_free(&out);
    }
    (void)snprintf(params, sizeof params, "layer=%s", json_string_value(json_object_get(facts, "layer")));
    struct explanation cam = subject_run(s, "gradcam", params);
    const double error = relative_error(subject_array(&cam, "gradcam_layer"), layer.data, npy_count(&layer));
    if (!(error <= 1e-4)) {
      print_message("# %s, gradcam: %.2e\n", captum_nets[net], error);
      wrong++;
    }
    explanation_free(&cam);
    json_decref(facts);
    npy_free(&golden);
    npy_free(&layer);
    subject_close(s);
  }
  assert_int_equal(wrong, 0);
}

/* ---- gradient -------------------------------------------------------------------------------------------------- */

static void gradients_are_slopes(void **state)
{
  (void)state;
  static const char *const nets[] = {"conv3_softmax", "res", "win_gate"};
  for (int net = 0; net < 3; net++)
    for (int score = 0; score < 2; score++) {
      struct subject *s = subject_open(nets[net], false);
      struct error err = {0};
      s->explain.evaluate.session.score = score ? SCORE_LOGIT : SCORE_PROB;
      struct explanation out = subject_run(s, "gradient", "keep-channels=on");
      const float *g = subject_array(&out, "channels");
      const struct predictor *p = &s->model->predictor;
      const int64_t pixels = (int64_t)p->height * p->width;
      struct session *session = session_open(p, &s->explain.evaluate.session, &err);
      assert_ok(session != NULL, err);
      float *x = malloc((size_t)image_floats(p) * sizeof *x), scores[4][SUBJECT_CLASSES];
      memcpy(x, s->input.x, (size_t)image_floats(p) * sizeof *x);
      const double largest = largest_of(g, image_floats(p)), step = 0.004;
      for (uint32_t k = 0; k < 20; k++) {
        const int64_t at = rng_below(3, RNG_ORDER, k, 0, (uint32_t)image_floats(p));
        const float before = x[at];
        for (int j = 0; j < 4; j++) {
          static const double steps[4] = {-2, -1, 1, 2};
          x[at] = before + (float)(steps[j] * step);
          assert_ok(session_predict(session, x, 1, scores[j], NULL, &err), err);
        }
        x[at] = before;
        const double f[4] = {scores[0][out.target], scores[1][out.target], scores[2][out.target],
                             scores[3][out.target]};
        const double slope = (f[2] - f[1]) / (2 * step), wide = (f[3] - f[0]) / (4 * step);
        const double ours = (double)g[at % p->channels * pixels + at / p->channels];
        const double noise = 2e-7 / step * fmax(1, fabs(f[1]));
        /* Where the two slopes differ a rectifier turned over between them. */
        if (!(fabs(slope - ours) <= 1e-3 * largest + 2 * noise + 2 * fabs(slope - wide)))
          fail_msg("%s: element %d has slope %g, gradient %g of at most %g", nets[net], (int)at, slope, ours, largest);
      }
      assert_int_equal(out.evaluations, 4); /* the image itself, and there and back */
      free(x);
      session_close(session);
      explanation_free(&out);
      subject_close(s);
    }
}

static void linear_models_have_their_weights_for_gradients(void **state)
{
  (void)state;
  struct subject *s = subject_open("lin", false);
  const float *w = subject_weights(s);
  const int64_t n = image_floats(&s->model->predictor), pixels = n / 3;
  for (int k = 0; k < 3; k++) {
    static const char *const targets[] = {"0", "1", "2"};
    s->explain.target = targets[k];
    struct explanation plain = subject_run(s, "gradient", "keep-channels=on");
    assert_true(relative_error(subject_array(&plain, "channels"), w + k * n, n) <= 1e-6);
    struct explanation largest = subject_run(s, "gradient", "reduce=absmax"),
                       length = subject_run(s, "gradient", "reduce=l2");
    for (int64_t i = 0; i < pixels; i++) {
      const double a = w[k * n + i], b = w[k * n + pixels + i], c = w[k * n + 2 * pixels + i];
      assert_float_equal(subject_array(&plain, "map")[i], a + b + c, 1e-5);
      assert_float_equal(subject_array(&largest, "map")[i], fmax(fabs(a), fmax(fabs(b), fabs(c))), 1e-6);
      assert_float_equal(subject_array(&length, "map")[i], sqrt(a * a + b * b + c * c), 1e-6);
    }
    /* Noise changes nothing that is linear, and has no error. */
    struct explanation smooth = subject_run(s, "smoothgrad", "samples=5 noise=0.5");
    assert_true(relative_error(subject_array(&smooth, "map"), subject_array(&plain, "map"), pixels) <= 1e-5);
    assert_true(largest_of(subject_array(&smooth, "stderr"), pixels) <= 1e-6);
    /* To first order is all there is. */
    struct explanation product = subject_run(s, "gradient-input", "from=40"),
                       path = subject_run(s, "ig", "steps=1 fill=40");
    assert_true(relative_error(subject_array(&product, "map"), subject_array(&path, "map"), pixels) <= 1e-5);
    explanation_free(&plain);
    explanation_free(&largest);
    explanation_free(&length);
    explanation_free(&smooth);
    explanation_free(&product);
    explanation_free(&path);
  }
  subject_close(s);
}

static void products_add_up_without_biases(void **state)
{
  (void)state;
  struct subject *s = subject_open("back_free", false);
  struct explanation out = subject_run(s, "gradient-input", "");
  const double sum =
      subject_sum(subject_array(&out, "map"), (int64_t)s->model->predictor.height * s->model->predictor.width);
  assert_float_equal(sum, out.scores[out.target], 1e-4 * fabs((double)out.scores[out.target]));
  explanation_free(&out);
  subject_close(s);
}

/* One run for all classes gives what a run for each gives; probabilities of a softmax share one, so their maps add to
 * 0. */
static void all_classes_at_once(void **state)
{
  (void)state;
  static const char *const methods[] = {"gradient", "gradient-input", "smoothgrad", "gradcam", "ig"};
  static const char *const params[] = {"", "", "samples=3", "", "steps=6"};
  for (int m = 0; m < 5; m++) {
    struct subject *s = subject_open("conv3_softmax", false);
    const int64_t pixels = (int64_t)s->model->predictor.height * s->model->predictor.width;
    s->explain.evaluate.session.score = SCORE_PROB;
    s->explain.target = "all";
    struct explanation all = subject_run(s, methods[m], params[m]);
    const float *maps = subject_array(&all, "map");
    const double largest = largest_of(maps, 4 * pixels);
    assert_true(largest > 0);
    for (int64_t i = 0; i < pixels; i++)
      assert_true(fabs((double)maps[i] + (double)maps[pixels + i] + (double)maps[2 * pixels + i] +
                       (double)maps[3 * pixels + i]) <= 1e-5 * largest);
    s->explain.target = "2";
    struct explanation one = subject_run(s, methods[m], params[m]);
    assert_memory_equal(maps + 2 * pixels, subject_array(&one, "map"), (size_t)pixels * sizeof *maps);
    explanation_free(&all);
    explanation_free(&one);
    subject_close(s);
  }
}

/* ---- smoothgrad ------------------------------------------------------------------------------------------------ */

static void noise_of_nothing_is_the_gradient(void **state)
{
  (void)state;
  struct subject *s = subject_open("res", false);
  const int64_t pixels = (int64_t)s->model->predictor.height * s->model->predictor.width;
  struct explanation plain = subject_run(s, "gradient", ""), smooth = subject_run(s, "smoothgrad", "noise=0 samples=4");
  assert_true(relative_error(subject_array(&smooth, "map"), subject_array(&plain, "map"), pixels) <= 1e-6);
  explanation_free(&plain);
  explanation_free(&smooth);
  subject_close(s);
}

static double mean_error(const struct explanation *out, int64_t pixels)
{
  return subject_sum(subject_array(out, "stderr"), pixels) / (double)pixels;
}

static void errors_fall_with_the_root_of_samples(void **state)
{
  (void)state;
  struct subject *s = subject_open("conv3_softmax", false);
  const int64_t pixels = (int64_t)s->model->predictor.height * s->model->predictor.width;
  struct explanation few = subject_run(s, "smoothgrad", "samples=100"),
                     many = subject_run(s, "smoothgrad", "samples=400");
  assert_float_equal(mean_error(&few, pixels) / mean_error(&many, pixels), 2, 0.3);
  /* A tolerance ends a run at one of the looks, and sooner where more is tolerated. */
  struct explanation loose = subject_run(s, "smoothgrad", "tolerance=0.2"),
                     tight = subject_run(s, "smoothgrad", "tolerance=0.06");
  assert_string_equal(loose.stopped_by, "tolerance");
  assert_float_equal(subject_figure(&loose, "samples"), 256, 0);
  assert_true(subject_figure(&tight, "samples") >= 256);
  explanation_free(&few);
  explanation_free(&many);
  explanation_free(&loose);
  explanation_free(&tight);
  subject_close(s);
}

/* ---- rules for rectifiers -------------------------------------------------------------------------------------- */

/* Where everything that comes back is positive and every rectifier passes, the three rules are one. */
static void rules_agree_where_nothing_is_negative(void **state)
{
  (void)state;
  struct subject *s = subject_open("back_positive", false);
  const int64_t pixels = (int64_t)s->model->predictor.height * s->model->predictor.width;
  for (int64_t i = 0; i < pixels; i++)
    s->input.x[i] = fabsf(s->input.x[i]);
  struct explanation plain = subject_run(s, "gradient", ""), guided = subject_run(s, "guided-backprop", "");
  struct explanation deconv = subject_run(s, "deconvnet", "start=class");
  assert_true(relative_error(subject_array(&guided, "map"), subject_array(&plain, "map"), pixels) <= 1e-6);
  assert_true(relative_error(subject_array(&deconv, "map"), subject_array(&plain, "map"), pixels) <= 1e-6);
  assert_float_equal(subject_figure(&guided, "rectifiers"), 2, 0);
  explanation_free(&plain);
  explanation_free(&guided);
  explanation_free(&deconv);
  subject_close(s);
}

/* One unit, chosen by hand, back to the image by a rule. */
static bool one_unit(void *context, int64_t i, const float *activations, float *signal, struct error *err)
{
  const int64_t *at = context; /* element, factor */
  (void)i;
  (void)err;
  signal[at[0]] = (float)at[1] * activations[at[0]];
  return true;
}

static float *send_back(const struct subject *s, enum rule rule, int64_t element, int64_t factor)
{
  struct error err = {0};
  const struct predictor *p = &s->model->predictor;
  struct session *session = session_open(p, &s->explain.evaluate.session, &err);
  assert_ok(session != NULL, err);
  struct backward_info info;
  int64_t at[2] = {element, factor};
  float *g = malloc((size_t)image_floats(p) * sizeof *g);
  const struct backward_request request = {.rule = rule, .from = "", .seed = one_unit, .context = at};
  assert_ok(session_begin_backward(session, &request, &info, &err), err);
  assert_ok(session_backward(session, s->input.x, 1, g, NULL, &err), err);
  session_close(session);
  return g;
}

static void projections_are_linear_without_rectifiers(void **state)
{
  (void)state;
  struct subject *s = subject_open("back_linear", false);
  const int64_t n = image_floats(&s->model->predictor);
  float *deconv = send_back(s, RULE_DECONV, 17, 1), *gradient = send_back(s, RULE_GRADIENT, 17, 1);
  assert_memory_equal(deconv, gradient, (size_t)n * sizeof *deconv);
  free(deconv);
  free(gradient);
  subject_close(s);

  s = subject_open("res", false);
  float *once = send_back(s, RULE_DECONV, 40, 1), *thrice = send_back(s, RULE_DECONV, 40, 3);
  for (int64_t i = 0; i < image_floats(&s->model->predictor); i++)
    assert_true(fabs((double)thrice[i] - 3 * (double)once[i]) <=
                1e-5 * largest_of(thrice, image_floats(&s->model->predictor)));
  free(once);
  free(thrice);
  subject_close(s);
}

static void nothing_leaves_the_receptive_field(void **state)
{
  (void)state;
  struct subject *s = subject_open("back_field", false);
  struct explanation out = subject_run(s, "deconvnet", "unit=5,4 feature-map=2");
  const json_t *box = json_object_get(json_object_get(out.details, "projection"), "receptive_field");
  static const int expected[4] = {8, 10, 16, 18}; /* x0, y0, x1, y1: 2 * (u + 0) to 2 * (u + 2) + 1 + 2 */
  for (size_t i = 0; i < 4; i++)
    assert_int_equal(json_integer_value(json_array_get(box, i)), expected[i]);
  const float *map = subject_array(&out, "map");
  double inside = 0;
  for (int y = 0; y < 24; y++)
    for (int x = 0; x < 24; x++) {
      const bool within = x >= 8 && x < 16 && y >= 10 && y < 18;
      if (!within)
        assert_float_equal(map[y * 24 + x], 0, 0);
      inside += fabs((double)map[y * 24 + x]);
    }
  assert_true(inside > 0 || subject_warned(&out, "flat-map"));
  explanation_free(&out);
  subject_close(s);
}

static void maxima_return_to_their_places(void **state)
{
  (void)state;
  struct subject *s = subject_open("back_switch", false);
  for (int i = 0; i < 64; i++)
    s->input.x[i] = 0.25f + (float)((i * 37) % 64) / 64; /* all different, all above 0 */
  struct explanation out = subject_run(s, "deconvnet", "unit=map");
  const float *map = subject_array(&out, "map");
  for (int y = 0; y < 4; y++)
    for (int x = 0; x < 4; x++) {
      int best = (2 * y) * 8 + 2 * x;
      for (int k = 1; k < 4; k++) {
        const int at = (2 * y + k / 2) * 8 + 2 * x + k % 2;
        best = s->input.x[at] > s->input.x[best] ? at : best;
      }
      for (int k = 0; k < 4; k++) {
        const int at = (2 * y + k / 2) * 8 + 2 * x + k % 2;
        assert_float_equal(map[at], at == best ? s->input.x[at] : 0, 1e-6);
      }
    }
  explanation_free(&out);
  subject_close(s);
}

static void folding_changes_no_projection(void **state)
{
  (void)state;
  struct explanation out[2];
  int64_t n = 0;
  for (int verbatim = 0; verbatim < 2; verbatim++) {
    struct subject *s = subject_open("res", verbatim);
    n = (int64_t)s->model->predictor.height * s->model->predictor.width;
    out[verbatim] = subject_run(s, "deconvnet", "");
    assert_float_equal(subject_figure(&out[verbatim], "rectifiers"), 4, 0); /* fused or not */
    subject_close(s);
  }
  assert_true(relative_error(subject_array(&out[0], "map"), subject_array(&out[1], "map"), n) <= 1e-5);
  explanation_free(&out[0]);
  explanation_free(&out[1]);
}

static void other_activations_are_told(void **state)
{
  (void)state;
  struct subject *s = subject_open("back_silu", false);
  struct explanation guided = subject_run(s, "guided-backprop", ""),
                     deconv = subject_run(s, "deconvnet", "start=class");
  assert_true(subject_warned(&guided, "deconv-activation"));
  assert_true(subject_warned(&deconv, "deconv-activation"));
  assert_float_equal(subject_figure(&deconv, "rectifiers"), 1, 0);
  explanation_free(&guided);
  explanation_free(&deconv);
  subject_close(s);
}

static void dead_maps_project_to_nothing(void **state)
{
  (void)state;
  struct subject *s = subject_open("back_field", false);
  for (int64_t i = 0; i < image_floats(&s->model->predictor); i++)
    s->input.x[i] = -50; /* something is dead in such a picture */
  int dead = 0;
  for (int k = 0; k < 8; k++) {
    char params[64];
    (void)snprintf(params, sizeof params, "feature-map=%d", k);
    struct explanation out = subject_run(s, "deconvnet", params);
    if (subject_warned(&out, "flat-map")) {
      dead++;
      assert_float_equal(largest_of(subject_array(&out, "map"), 24 * 24), 0, 0);
    }
    explanation_free(&out);
  }
  assert_true(dead > 0);
  subject_close(s);
}

/* ---- gradcam --------------------------------------------------------------------------------------------------- */

static void cams_add_up_to_the_logit_less_its_bias(void **state)
{
  (void)state;
  struct subject *s = subject_open("conv3_softmax", false);
  struct explanation out = subject_run(s, "gradcam", "");
  const struct npy *cam = explanation_find(&out, "gradcam_layer");
  const struct graph *graph = s->model->graph;
  const struct node *gemm = graph->nodes[graph->n_nodes - 1];
  assert_string_equal(gemm->type, "Gemm");
  assert_float_equal(subject_sum(cam->data, npy_count(cam)), out.scores[out.target] - gemm->shift[out.target], 1e-5);
  struct explanation positive = subject_run(s, "gradcam", "relu=on");
  const float *signs = subject_array(&out, "gradcam_layer"), *cut = subject_array(&positive, "gradcam_layer");
  for (int64_t i = 0; i < npy_count(cam); i++)
    assert_float_equal(cut[i], signs[i] > 0 ? signs[i] : 0, 0);
  explanation_free(&out);
  explanation_free(&positive);
  subject_close(s);
}

/* ---- symmetry -------------------------------------------------------------------------------------------------- */

/* A network whose kernels are their own mirror images, on a picture that is its own. Deconvnet before the pooling only:
 * of equal values, such as zeros, the first in a window gets the signal. */
static void symmetric_pictures_have_symmetric_maps(void **state)
{
  (void)state;
  /* Its first kernels do not see grey: their channels' gradients add up to nothing, so each is looked at. */
  static const struct {
    const char *method, *params, *array;
  } runs[] = {{"ig", "fill=black keep-channels=on", "channels"},
              {"ig", "fill=blur steps=9 keep-channels=on", "channels"},
              {"gradient", "keep-channels=on", "channels"},
              {"gradient", "reduce=l2", "map"},
              {"gradient-input", "keep-channels=on", "channels"},
              {"guided-backprop", "keep-channels=on", "channels"},
              {"gradcam", "", "map"},
              {"gradcam", "layer=colours", "map"},
              {"deconvnet", "unit=map feature-map=1 layer=colours keep-channels=on", "channels"},
              {"occlusion", "patch=4 stride=2", "map"}};
  struct error err = {0};
  struct subject *s = subject_open("conv3_softmax", false);
  model_close(s->model);
  s->model = model_open(golden_path("../cli/data", "layers.onnx"), &(struct model_options){0}, &err);
  assert_ok(s->model != NULL, err);
  const struct predictor *p = &s->model->predictor;
  image_free(&s->image);
  input_free(&s->input);
  assert_ok(image_new(&s->image, p->width, p->height, 3, PIXEL_U8, &err), err);
  unsigned char *pixels = s->image.data;
  for (int y = 0; y < p->height; y++)
    for (int x = 0; x < p->width; x++)
      for (int c = 0; c < 3; c++) {
        const int at = x < p->width - 1 - x ? x : p->width - 1 - x;
        pixels[(y * p->width + x) * 3 + c] =
            (unsigned char)rng_bits(1, RNG_NOISE, (uint32_t)c, (uint64_t)(y * 64 + at));
      }
  assert_ok(preprocess(&s->model->card, &s->image, &s->input, &err), err);
  s->explain.predictor = p;
  s->explain.model = s->model;
  s->explain.card = &s->model->card;
  for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
    struct explanation out = subject_run(s, runs[i].method, runs[i].params);
    const struct npy *array = explanation_find(&out, runs[i].array);
    const float *map = array->data;
    const double most = largest_of(map, npy_count(array));
    if (!(most > 0))
      fail_msg("%s %s: the map is flat", runs[i].method, runs[i].params);
    for (int64_t at = 0; at < npy_count(array); at++) {
      const int64_t x = at % p->width, other = at - x + p->width - 1 - x;
      if (!(fabs((double)(map[at] - map[other])) <= 1e-5 * most))
        fail_msg("%s %s: value %lld is %g, and %g at its mirror image", runs[i].method, runs[i].params, (long long)at,
                 (double)map[at], (double)map[other]);
    }
    explanation_free(&out);
  }
  subject_close(s);
}

/* ---- refusals -------------------------------------------------------------------------------------------------- */

static void expect(const char *net, const char *method, const char *params, const char *part)
{
  struct subject *s = subject_open(net, false);
  struct explanation out;
  struct error err = {0};
  assert_false(subject_try(s, method, params, &out, &err));
  if (!strstr(err.message, part))
    fail_msg("%s %s: '%s' lacks '%s'", method, params, err.message, part);
  subject_close(s);
}

static void refuses(void **state)
{
  (void)state;
  expect("back_none", "gradient", "", "Hardmax");
  expect("back_none", "ig", "", "(no-gradient); these need none: occlusion, ");
  expect("back_attention", "guided-backprop", "", "(deconv-unsupported)");
  expect("back_attention", "deconvnet", "start=class", "MatMul");
  expect("conv3_softmax", "gradcam", "layer=relu", "relu5");
  expect("conv3_softmax", "deconvnet", "feature-map=8", "outside 0..7");
  expect("conv3_softmax", "deconvnet", "unit=11,0", "u in 0..10 and v in 0..8");
  expect("conv3_softmax", "deconvnet", "unit=strongest", "single, map, u,v");
  expect("lin", "gradcam", "", "no feature map");
  expect("conv3_softmax", "ig", "fill=inpaint", "fill-unavailable");
  expect("conv3_softmax", "ig", "rule=trapezoid steps=1", "at least 2");

  struct subject *s = subject_open("conv3_softmax", false);
  struct explanation out;
  struct error err = {0};
  s->explain.evaluate.evals = 2;
  assert_false(subject_try(s, "gradient", "", &out, &err));
  assert_non_null(strstr(err.message, "which counts 3 evaluations"));
  subject_close(s);
}

static bool never(void *context, const struct progress *progress)
{
  (void)context;
  (void)progress;
  return false;
}

static void cancels(void **state)
{
  (void)state;
  struct subject *s = subject_open("conv3_softmax", false);
  struct explanation out;
  struct error err = {0};
  s->explain.evaluate.progress = never;
  assert_false(subject_try(s, "smoothgrad", "samples=20", &out, &err));
  assert_int_equal(err.code, ERROR_CANCELLED);
  subject_close(s);
}

static bool once(const struct subject *s, const char *method, const char *params, struct error *err)
{
  struct explanation out;
  if (!subject_try(s, method, params, &out, err))
    return false;
  explanation_free(&out);
  return true;
}

/* Whichever allocation fails, the run ends with an error and nothing is lost. */
static void survives_failing_allocations(void **state)
{
  (void)state;
  static const char *const runs[][3] = {
      {"conv1_softmax", "gradient", "keep-channels=on"},
      {"res", "ig", "steps=2"},
      {"conv1_softmax", "ig", "tolerance=1e-7 max-steps=40"},
      {"res", "deconvnet", ""},
      {"conv1_softmax", "smoothgrad", "samples=2"},
      {"conv1_softmax", "gradcam", ""},
      {"back_silu", "guided-backprop", ""},
      {"back_attention", "gradient", ""},
  };
  for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
    struct subject *s = subject_open(runs[i][0], false);
    FAULT_LOOP(once(s, runs[i][1], runs[i][2], &err), (void)0);
    subject_close(s);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(agrees_with_captum),
      cmocka_unit_test(gradients_are_slopes),
      cmocka_unit_test(linear_models_have_their_weights_for_gradients),
      cmocka_unit_test(products_add_up_without_biases),
      cmocka_unit_test(all_classes_at_once),
      cmocka_unit_test(noise_of_nothing_is_the_gradient),
      cmocka_unit_test(errors_fall_with_the_root_of_samples),
      cmocka_unit_test(rules_agree_where_nothing_is_negative),
      cmocka_unit_test(projections_are_linear_without_rectifiers),
      cmocka_unit_test(nothing_leaves_the_receptive_field),
      cmocka_unit_test(maxima_return_to_their_places),
      cmocka_unit_test(folding_changes_no_projection),
      cmocka_unit_test(other_activations_are_told),
      cmocka_unit_test(dead_maps_project_to_nothing),
      cmocka_unit_test(cams_add_up_to_the_logit_less_its_bias),
      cmocka_unit_test(symmetric_pictures_have_symmetric_maps),
      cmocka_unit_test(refuses),
      cmocka_unit_test(cancels),
      cmocka_unit_test(survives_failing_allocations),
  };
  return cmocka_run_group_tests_name("slopes", tests, NULL, NULL);
}
