/* SPDX-License-Identifier: Apache-2.0 */
/* Occlusion: against Captum and plain loops, and by what must hold whatever the network. */
#include "../support/scene.h"
#include "base/files.h"
#include "engine.h"
#include "fault.h"
#include "methods/method.h"
#include "model/callback_model.h"

#include <stdlib.h>
#include <time.h>

enum { MOST_CLASSES = 1024 };

/* A picture and a classifier, ready to be explained. */
struct subject {
  struct model *model; /* NULL: the caller's predictor */
  struct card own;
  struct image image;
  struct input input;
  const char *labels[MOST_CLASSES];
  char numbers[MOST_CLASSES][8];
  double thresholds[MOST_CLASSES];
  struct explain explain;
};

static void complete(struct subject *s, const struct predictor *predictor, const struct card *card)
{
  struct error err = {0};
  assert_ok(preprocess(card, &s->image, &s->input, &err), err);
  assert_true(predictor->classes <= MOST_CLASSES);
  for (int k = 0; k < predictor->classes; k++) {
    (void)snprintf(s->numbers[k], sizeof s->numbers[k], "c%d", k);
    s->labels[k] = s->numbers[k];
    s->thresholds[k] = 0.5;
  }
  s->explain = (struct explain){
      .predictor = predictor,
      .model = s->model,
      .card = card,
      .input = &s->input,
      .target = "top",
      .labels = s->labels,
      .thresholds = s->thresholds,
      .evaluate = {.session = {.threads = 1}},
  };
}

static struct subject *subject_alloc(int height, int width, int channels)
{
  struct error err = {0};
  struct subject *s = calloc(1, sizeof *s);
  assert_non_null(s);
  assert_ok(image_new(&s->image, width, height, channels == 1 ? 1 : 3, PIXEL_U8, &err), err);
  scene_draw(7, height, width, channels == 1 ? 1 : 3, s->image.data);
  return s;
}

static const char *const plain_values[] = {"scale=0.00392156862745098", "mean=0.5", "std=0.25", NULL};

/* A network of tests/golden/fixtures on scene 7. */
static struct subject *subject_new(const char *name)
{
  char file[64];
  struct error err = {0};
  (void)snprintf(file, sizeof file, "%s.onnx", name);
  struct model *model =
      model_open(golden_path("fixtures", file), &(struct model_options){.settings = plain_values}, &err);
  assert_ok(model != NULL, err);
  struct subject *s = subject_alloc(model->predictor.height, model->predictor.width, model->predictor.channels);
  s->model = model;
  complete(s, &model->predictor, &model->card);
  return s;
}

/* A function on scene 7; values are fed as they are: codes. */
static struct subject *subject_of(const struct callback_model *callback)
{
  const struct predictor *p = &callback->predictor;
  struct error err = {0};
  struct subject *s = subject_alloc(p->height, p->width, p->channels);
  assert_ok(card_init(&s->own, &err), err);
  assert_ok(card_check(&s->own, p->channels, p->height, p->width, p->classes, &err), err);
  complete(s, p, &s->own);
  return s;
}

static void subject_free(struct subject *s)
{
  input_free(&s->input);
  image_free(&s->image);
  if (!s->model)
    card_free(&s->own);
  model_close(s->model);
  free(s);
}

static bool try_occlusion(const struct explain *explain, const char *const *params, struct explanation *out,
                          struct error *err)
{
  const struct method *method = method_find("occlusion");
  assert_non_null(method);
  void *options = calloc(1, method->options_size);
  assert_non_null(options);
  const bool ok = params_parse(method->params, "occlusion", params, options, err) && explanation_init(out, err) &&
                  (method->run(explain, options, out, err) || (explanation_free(out), false));
  free(options);
  return ok;
}

static struct explanation occlude(const struct explain *explain, const char *const *params)
{
  struct explanation out;
  struct error err = {0};
  assert_ok(try_occlusion(explain, params, &out, &err), err);
  return out;
}

static const struct npy *array(const struct explanation *e, const char *name)
{
  const struct npy *found = explanation_find(e, name);
  if (!found)
    print_message("# no array %s\n", name);
  assert_non_null(found);
  return found;
}

static const float *floats(const struct explanation *e, const char *name)
{
  assert_int_equal(array(e, name)->type, NPY_F32);
  return array(e, name)->data;
}

static const char *warning(const struct explanation *e, const char *id)
{
  size_t i;
  json_t *entry;
  json_array_foreach (e->warnings, i, entry)
    if (strcmp(json_string_value(json_object_get(entry, "id")), id) == 0)
      return json_string_value(json_object_get(entry, "message"));
  return NULL;
}

static void expect_error(const struct explain *explain, const char *const *params, const char *first,
                         const char *second)
{
  struct explanation out;
  struct error err = {0};
  assert_false(try_occlusion(explain, params, &out, &err));
  if (!strstr(err.message, first) || !strstr(err.message, second))
    print_message("# %s\n", err.message);
  assert_int_equal(err.code, ERROR_USAGE);
  assert_non_null(strstr(err.message, first));
  assert_non_null(strstr(err.message, second));
}

/* ---- references ------------------------------------------------------------------------------------------------- */

static const char *const nets[] = {"conv1_softmax", "conv3_softmax", "conv3_sigmoid", "res"};
static const int windows[][2] = {{3, 3}, {5, 2}, {7, 7}, {19, 5}, {4, 3}};

static struct npy small_golden(const char *net, const int *window, const char *what)
{
  char file[96];
  (void)snprintf(file, sizeof file, "%s.p%ds%d.%s.npy", net, window[0], window[1], what);
  return npy_open(golden_path("occlusion_small", file));
}

static const char *const *window_params(const int *window, const char *more)
{
  static char patch[32], stride[32];
  static const char *params[5];
  (void)snprintf(patch, sizeof patch, "patch=%d", window[0]);
  (void)snprintf(stride, sizeof stride, "stride=%d", window[1]);
  params[0] = patch;
  params[1] = stride;
  params[2] = "fill=zero";
  params[3] = more;
  return params;
}

static void equals_captum(void **state)
{
  (void)state;
  for (size_t n = 0; n < sizeof nets / sizeof *nets; n++) {
    struct subject *s = subject_new(nets[n]);
    s->explain.evaluate.session.score = SCORE_LOGIT;
    s->explain.target = "all";
    for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
      struct explanation e = occlude(&s->explain, window_params(windows[w], NULL));
      struct npy golden = small_golden(nets[n], windows[w], "map");
      const struct npy *map = array(&e, "map");
      const float *ours = map->data, *theirs = golden.data;
      assert_int_equal(map->rank, 3);
      assert_int_equal(npy_count(map), npy_count(&golden));
      for (int64_t k = 0; k < map->dim[0]; k++) {
        const int64_t pixels = map->dim[1] * map->dim[2];
        const double f = fmax(1, fabs((double)e.scores[k]));
        const double bound = 1e-5 * largest_of(theirs + k * pixels, pixels) + 1e-6 * f;
        for (int64_t i = k * pixels; i < (k + 1) * pixels; i++)
          if (fabs((double)(ours[i] - theirs[i])) > bound)
            fail_msg("%s, patch %d, stride %d, class %d, pixel %d: %g, not %g", nets[n], windows[w][0], windows[w][1],
                     (int)k, (int)(i % pixels), (double)ours[i], (double)theirs[i]);
      }
      npy_free(&golden);
      explanation_free(&e);
    }
    subject_free(s);
  }
}

static void equals_a_plain_loop(void **state)
{
  (void)state;
  json_t *index = golden_json("occlusion_small", "index.json");
  for (size_t n = 0; n < sizeof nets / sizeof *nets; n++) {
    struct subject *s = subject_new(nets[n]);
    const json_t *known = json_object_get(index, nets[n]);
    for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
      struct explanation e = occlude(&s->explain, window_params(windows[w], NULL));
      struct npy grid = small_golden(nets[n], windows[w], "grid"),
                 feature = small_golden(nets[n], windows[w], "feature");
      const struct npy *classes = array(&e, "occlusion_class");
      const int64_t k = grid.dim[2], cells = grid.dim[0] * grid.dim[1];
      assert_int_equal(npy_count(array(&e, "occlusion_grid")), cells * k);
      assert_int_equal(classes->type, NPY_I32);
      assert_int_equal(classes->dim[0], grid.dim[0]);
      assert_int_equal(classes->dim[1], grid.dim[1]);
      assert_true(relative_error(floats(&e, "occlusion_grid"), grid.data, cells * k) <= 1e-5);
      assert_true(relative_error(floats(&e, "occlusion_feature"), feature.data, cells) <= 1e-5);
      for (int64_t i = 0; i < cells; i++) {
        const float *p = (const float *)grid.data + i * k;
        int64_t top = 0;
        for (int64_t c = 1; c < k; c++)
          top = p[c] > p[top] ? c : top;
        assert_int_equal(((const int32_t *)classes->data)[i], top);
        assert_true(fabs((double)(floats(&e, "occlusion_class_score")[i] - p[top])) <= 1e-5);
      }
      for (int64_t c = 0; c < k; c++)
        assert_true(fabs((double)e.scores[c] -
                         json_number_value(json_array_get(json_object_get(known, "scores"), (size_t)c))) < 1e-6);
      const json_t *map = json_object_get(e.details, "feature_map");
      assert_string_equal(json_string_value(json_object_get(map, "layer")),
                          json_string_value(json_object_get(known, "layer")));
      assert_int_equal(json_integer_value(json_object_get(map, "index")),
                       json_integer_value(json_object_get(known, "feature_map")));
      const double base = json_number_value(json_object_get(known, "feature_base"));
      assert_true(fabs(json_number_value(json_object_get(map, "activation")) - base) <= 1e-5 * base);
      npy_free(&grid);
      npy_free(&feature);
      explanation_free(&e);
    }
    subject_free(s);
  }
  json_decref(index);
}

/* ---- real models on real pictures ------------------------------------------------------------------------------- */

/* Worst difference of the listed classes in the grid. */
static double grid_error(const struct explanation *e, const json_t *listed, const struct npy *golden)
{
  const struct npy *grid = array(e, "occlusion_grid");
  const int64_t k = grid->dim[2], n = golden->dim[2];
  double worst = 0;
  assert_int_equal(grid->dim[0], golden->dim[0]);
  assert_int_equal(grid->dim[1], golden->dim[1]);
  for (int64_t i = 0; i < grid->dim[0] * grid->dim[1]; i++)
    for (int64_t c = 0; c < n; c++) {
      const int64_t at = json_integer_value(json_array_get(listed, (size_t)c));
      worst = fmax(worst, fabs((double)((const float *)grid->data)[i * k + at] -
                               (double)((const float *)golden->data)[i * n + c]));
    }
  return worst;
}

static int check_real(const char *name, bool exact_full)
{
  char file[64], patch[32], stride[32];
  struct error err = {0};
  (void)snprintf(file, sizeof file, "%s.json", name);
  json_t *info = golden_json("occlusion", file);
  struct subject *s = calloc(1, sizeof *s);
  assert_non_null(s);
  s->model = engine_open(shared_path(json_string_value(json_object_get(info, "model"))), false);
  assert_ok(image_read(shared_path(json_string_value(json_object_get(info, "image"))), &s->image, &err), err);
  complete(s, &s->model->predictor, &s->model->card);
  s->explain.evaluate.session.threads = 2;
  s->explain.evaluate.session.exact_full = exact_full;
  (void)snprintf(patch, sizeof patch, "patch=%d", (int)json_integer_value(json_object_get(info, "patch")));
  (void)snprintf(stride, sizeof stride, "stride=%d", (int)json_integer_value(json_object_get(info, "stride")));
  struct explanation e = occlude(&s->explain, (const char *const[]){patch, stride, NULL});
  struct npy golden[4];
  static const char *const parts[] = {"scores", "class", "feature", "map"};
  for (int i = 0; i < 4; i++) {
    (void)snprintf(file, sizeof file, "%s.%s.npy", name, parts[i]);
    golden[i] = npy_open(golden_path("occlusion", file));
  }
  assert_int_equal(e.target, json_integer_value(json_object_get(info, "target")));
  const double scores = grid_error(&e, json_object_get(info, "classes"), &golden[0]);
  const double map = relative_error(floats(&e, "map"), golden[3].data, npy_count(&golden[3])) *
                     largest_of(golden[3].data, npy_count(&golden[3]));
  const double feature = relative_error(floats(&e, "occlusion_feature"), golden[2].data, npy_count(&golden[2]));
  const json_t *watched = json_object_get(e.details, "feature_map");
  assert_int_equal(json_integer_value(json_object_get(watched, "index")),
                   json_integer_value(json_object_get(info, "feature_map")));
  assert_int_equal(npy_count(array(&e, "occlusion_class")), npy_count(&golden[1]));
  assert_memory_equal(array(&e, "occlusion_class")->data, golden[1].data,
                      (size_t)npy_count(&golden[1]) * sizeof(int32_t));
  const double span = json_number_value(json_object_get(info, "span"));
  assert_true(span >= 0.2);
  const bool mean_missing = strcmp(json_string_value(json_object_get(info, "fill")), "image-mean") == 0;
  assert_int_equal(warning(&e, "fill-mean-missing") != NULL, mean_missing);
  const bool good = scores <= 1e-4 && map <= 1e-4 && feature <= 1e-4;
  if (!good)
    print_message("# %s%s: grid %.1e, map %.1e, feature map %.1e (relative)\n", name, exact_full ? ", plain path" : "",
                  scores, map, feature);
  for (int i = 0; i < 4; i++)
    npy_free(&golden[i]);
  explanation_free(&e);
  json_decref(info);
  subject_free(s);
  return !good;
}

static void equals_onnx_runtime_on_real_pictures(void **state)
{
  (void)state;
  static const char *const names[] = {"cxr_xray", "mobilenet_dog", "mobilenet_chelsea", "resnet20_owl",
                                      "squeezenet_hot_dog"};
  int faults = 0;
  (void)shared_path("models"); /* skips before anything is owned */
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    faults += check_real(names[i], false);
  faults += check_real("cxr_xray", true) + check_real("resnet20_owl", true);
  assert_int_equal(faults, 0);
}

/* ---- properties ------------------------------------------------------------------------------------------------- */

/* A linear score falls by what lies under the patch; what tiles add up to is the whole. */
static void linear_scores_add_up(void **state)
{
  (void)state;
  struct subject *s = subject_new("lin");
  s->explain.evaluate.session.score = SCORE_LOGIT;
  s->explain.target = "all";
  const struct value *weights = NULL;
  for (int i = 0; i < s->model->graph->n_nodes; i++)
    if (strcmp(s->model->graph->nodes[i]->type, "Gemm") == 0)
      weights = s->model->graph->nodes[i]->in[1];
  assert_non_null(weights);
  assert_int_equal(tensor_count(&weights->t), 3 * 126);
  const float *w = weights->t.data; /* [class, channel, row, column] */
  const int H = 6, W = 7;
  struct explanation e = occlude(&s->explain, (const char *const[]){"patch=2x3", "stride=2x3", "fill=zero", NULL});
  const struct npy *grid = array(&e, "occlusion_grid");
  assert_int_equal(grid->dim[0], 3);
  assert_int_equal(grid->dim[1], 3); /* the last column of patches is cut: 0..2, 3..5, 6 */
  for (int k = 0; k < 3; k++) {
    double sum = 0, whole = 0;
    for (int row = 0; row < 3; row++)
      for (int column = 0; column < 3; column++) {
        double expected = 0;
        for (int y = 2 * row; y < 2 * row + 2; y++)
          for (int x = 3 * column; x < 3 * column + 3 && x < W; x++)
            for (int c = 0; c < 3; c++)
              expected += (double)w[((k * 3 + c) * H + y) * W + x] * (double)s->input.x[(y * W + x) * 3 + c];
        const double drop = (double)e.scores[k] - (double)((const float *)grid->data)[(row * 3 + column) * 3 + k];
        assert_true(fabs(drop - expected) < 1e-5);
        assert_true(fabs((double)floats(&e, "map")[(k * H + 2 * row) * W + 3 * column] - expected) < 1e-5);
        sum += drop;
        whole += expected;
      }
    assert_true(fabs(sum - whole) < 1e-5);
  }
  explanation_free(&e);
  subject_free(s);
}

/* One informative pixel, at row 5 and column 13 of 23 x 19: non-zero exactly where a patch over it covers, strongest on
 * it, never at the place that swapped axes would give. */
static void one_pixel_shows_where_it_is(void **state)
{
  (void)state;
  enum { ROW = 5, COLUMN = 13 };
  struct subject *s = subject_new("pix");
  s->explain.evaluate.session.score = SCORE_LOGIT;
  s->explain.target = "c0";
  static const int cases[][4] = {{3, 3, 1, 1}, {1, 1, 1, 1},     {5, 2, 3, 1},
                                 {4, 7, 4, 7}, {23, 19, 23, 19}, {7, 7, 3, 3}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const int py = cases[i][0], px = cases[i][1], sy = cases[i][2], sx = cases[i][3];
    char patch[32], stride[32];
    (void)snprintf(patch, sizeof patch, "patch=%dx%d", py, px);
    (void)snprintf(stride, sizeof stride, "stride=%dx%d", sy, sx);
    struct explanation e = occlude(&s->explain, (const char *const[]){patch, stride, "fill=zero", NULL});
    const float *map = floats(&e, "map");
    const double value = (double)s->input.x[ROW * 19 + COLUMN];
    assert_true(fabs(value) > 0.05);
    for (int y = 0; y < 23; y++)
      for (int x = 0; x < 19; x++) {
        double inside = 0, covering = 0;
        for (int a = 0; a * sy <= 23 - py + sy - 1; a++)
          for (int b = 0; b * sx <= 19 - px + sx - 1; b++) {
            const bool covers = y >= a * sy && y < a * sy + py && x >= b * sx && x < b * sx + px;
            const bool holds = ROW >= a * sy && ROW < a * sy + py && COLUMN >= b * sx && COLUMN < b * sx + px;
            covering += covers;
            inside += covers && holds;
          }
        assert_true(covering > 0);
        assert_true((map[y * 19 + x] != 0) == (inside > 0));
        assert_true(fabs((double)map[y * 19 + x] - value * inside / covering) < 1e-6);
      }
    assert_true(fabs((double)map[ROW * 19 + COLUMN]) >= largest_of(map, 23 * 19) - 1e-6);
    explanation_free(&e);
  }
  subject_free(s);
}

static bool minus_sum(void *context, const float *images, int n, float *scores, struct error *err)
{
  const struct predictor *p = context;
  (void)err;
  const int64_t each = (int64_t)p->height * p->width * p->channels;
  for (int i = 0; i < n; i++) {
    double sum = 0;
    for (int64_t k = 0; k < each; k++)
      sum += (double)images[i * each + k];
    scores[i] = (float)-sum;
  }
  return true;
}

/* Every pixel is hidden by some patch, for all lengths up to 40, all patches and strides; positions count as stated. */
static void every_pixel_is_covered(void **state)
{
  (void)state;
  for (int n = 1; n <= 40; n++) {
    struct callback_model callback = {
        .predictor = {&callback_predictor_ops, n, 1, 1, 1}, .predict = minus_sum, .batch = 64};
    callback.context = &callback.predictor;
    struct subject *s = subject_of(&callback);
    for (int i = 0; i < n; i++)
      s->input.x[i] = s->input.u[i] = 1; /* then every patch lifts the score by what it hides */
    for (int p = 1; p <= n; p++)
      for (int stride = 1; stride <= p; stride += n > 20 && stride > 3 && stride < p - 3 ? 5 : 1) {
        char patch[32], step[32];
        (void)snprintf(patch, sizeof patch, "patch=%dx1", p);
        (void)snprintf(step, sizeof step, "stride=%dx1", stride);
        struct explanation e = occlude(&s->explain, (const char *const[]){patch, step, "fill=0", NULL});
        assert_int_equal(array(&e, "occlusion_grid")->dim[0], (n - p + stride - 1) / stride + 1);
        for (int i = 0; i < n; i++)
          assert_true(floats(&e, "map")[i] < 0);
        explanation_free(&e);
      }
    subject_free(s);
  }
}

/* Probabilities of a softmax add up to one, so that what one class loses the others gain. */
static void softmax_drops_cancel(void **state)
{
  (void)state;
  struct subject *s = subject_new("conv3_softmax");
  s->explain.target = "all";
  struct explanation e = occlude(&s->explain, (const char *const[]){"patch=6", "stride=4", "fill=black", NULL});
  const struct npy *map = array(&e, "map");
  const int64_t pixels = map->dim[1] * map->dim[2];
  const double largest = largest_of(map->data, npy_count(map));
  assert_true(largest > 0.01);
  for (int64_t i = 0; i < pixels; i++) {
    double sum = 0;
    for (int64_t k = 0; k < map->dim[0]; k++)
      sum += (double)((const float *)map->data)[k * pixels + i];
    assert_true(fabs(sum) < 1e-5 * largest + 1e-6);
  }
  explanation_free(&e);
  subject_free(s);
}

/* ---- a network behind a mirror ---------------------------------------------------------------------------------- */

struct mirror {
  struct callback_model callback;
  struct session *session;
};

static bool predict_mirrored(void *context, const float *images, int n, float *scores, struct error *err)
{
  const struct mirror *m = context;
  const struct predictor *p = m->session->predictor;
  const int64_t c = p->channels, w = p->width, rows = (int64_t)n * p->height;
  float *flipped = malloc((size_t)(rows * w * c) * sizeof *flipped);
  assert_non_null(flipped);
  for (int64_t y = 0; y < rows; y++)
    for (int64_t x = 0; x < w; x++)
      memcpy(flipped + (y * w + w - 1 - x) * c, images + (y * w + x) * c, (size_t)c * sizeof *flipped);
  const bool ok = session_predict(m->session, flipped, n, scores, NULL, err);
  free(flipped);
  return ok;
}

static void flipping_both_flips_the_map(void **state)
{
  (void)state;
  struct error err = {0};
  struct subject *s = subject_new("conv3_softmax");
  struct mirror m = {.session = session_open(&s->model->predictor, &(struct session_options){.threads = 1}, &err)};
  assert_ok(m.session != NULL, err);
  m.callback = (struct callback_model){
      .predictor = s->model->predictor,
      .predict = predict_mirrored,
      .context = &m,
      .batch = (int)m.session->batch,
  };
  m.callback.predictor.ops = &callback_predictor_ops;
  static const char *const params[] = {"patch=7", "stride=4", "fill=zero", NULL}; /* 16 and 12 are multiples of 4 */
  struct explanation plain = occlude(&s->explain, params);
  for (int i = 0; i < 23 * 19; i++) { /* mirror the picture, too */
    const int x = i % 19, other = i - x + 18 - x;
    for (int c = 0; c < 3 && x < 9; c++) {
      const float keep = s->input.x[i * 3 + c], u = s->input.u[i * 3 + c];
      s->input.x[i * 3 + c] = s->input.x[other * 3 + c];
      s->input.x[other * 3 + c] = keep;
      s->input.u[i * 3 + c] = s->input.u[other * 3 + c];
      s->input.u[other * 3 + c] = u;
    }
  }
  struct explain explain = s->explain;
  explain.predictor = &m.callback.predictor;
  explain.model = NULL;
  struct explanation flipped = occlude(&explain, params);
  assert_non_null(warning(&flipped, "no-layer"));
  assert_null(explanation_find(&flipped, "occlusion_feature"));
  const float *a = floats(&plain, "map"), *b = floats(&flipped, "map");
  for (int i = 0; i < 23 * 19; i++)
    assert_true(fabs((double)(a[i] - b[i - i % 19 + 18 - i % 19])) < 1e-6);
  explanation_free(&plain);
  explanation_free(&flipped);
  session_close(m.session);
  subject_free(s);
}

static void nothing_moves_a_constant(void **state)
{
  (void)state;
  struct subject *s = subject_new("const");
  struct explanation e = occlude(&s->explain, (const char *const[]){"patch=5", NULL});
  for (int i = 0; i < 23 * 19; i++)
    assert_true(floats(&e, "map")[i] == 0);
  assert_non_null(warning(&e, "flat-map"));
  assert_int_equal(e.target, 2);
  assert_string_equal(e.stopped_by, "complete");
  explanation_free(&e);
  subject_free(s);
}

/* ---- the soft edge ---------------------------------------------------------------------------------------------- */

static double edge_weight(double d, double e)
{
  return d >= e ? 1 : (1 - cos(3.14159265358979323846 * d / e)) / 2;
}

/* Against the definition: images blended by the mask, drops averaged by it. */
static void soft_edges_follow_the_formula(void **state)
{
  (void)state;
  enum { H = 23, W = 19, PATCH = 8, STRIDE = 3 };
  struct error err = {0};
  struct subject *s = subject_new("conv3_softmax");
  s->explain.evaluate.session.score = SCORE_LOGIT;
  s->explain.target = "1";
  struct explanation e =
      occlude(&s->explain, (const char *const[]){"patch=8", "stride=3", "soft=0.7", "fill=white", NULL});
  struct session *session = session_open(s->explain.predictor, &s->explain.evaluate.session, &err);
  assert_ok(session != NULL, err);
  float image[H * W * 3], scores[4], base[4];
  double sum[H * W] = {0}, weight[H * W] = {0};
  const double white = (1 - 0.5) / 0.25;
  assert_ok(session_predict(session, s->input.x, 1, base, NULL, &err), err);
  for (int y0 = 0; y0 < H - PATCH + STRIDE; y0 += STRIDE)
    for (int x0 = 0; x0 < W - PATCH + STRIDE; x0 += STRIDE) {
      double m[H * W] = {0};
      for (int y = y0; y < y0 + PATCH && y < H; y++)
        for (int x = x0; x < x0 + PATCH && x < W; x++) {
          const double dy = fmin(y - y0 + 0.5, y0 + PATCH - y - 0.5), dx = fmin(x - x0 + 0.5, x0 + PATCH - x - 0.5);
          m[y * W + x] = edge_weight(dy, 0.7 * PATCH / 2) * edge_weight(dx, 0.7 * PATCH / 2);
        }
      for (int i = 0; i < H * W * 3; i++)
        image[i] = (float)((double)s->input.x[i] * (1 - m[i / 3]) + white * m[i / 3]);
      assert_ok(session_predict(session, image, 1, scores, NULL, &err), err);
      for (int i = 0; i < H * W; i++) {
        sum[i] += m[i] * (double)(base[1] - scores[1]);
        weight[i] += m[i];
      }
    }
  for (int i = 0; i < H * W; i++)
    assert_true(fabs((double)floats(&e, "map")[i] - sum[i] / weight[i]) < 1e-5);
  session_close(session);
  explanation_free(&e);
  subject_free(s);
}

/* ---- random fills ----------------------------------------------------------------------------------------------- */

static void draws_are_averaged(void **state)
{
  (void)state;
  enum { DRAWS = 5, H = 23, W = 19, PATCH = 7, NY = 4, NX = 3, CELLS = NY * NX };
  struct error err = {0};
  struct subject *s = subject_new("conv3_softmax");
  s->explain.seed = 99;
  struct explanation e =
      occlude(&s->explain, (const char *const[]){"patch=7", "stride=7", "fill=uniform", "draws=5", NULL});
  const struct fill_scene scene = {s->explain.card, &s->input, 99};
  struct fill fill;
  assert_ok(fill_open(&fill, "uniform", &scene, &err), err);
  struct session *session = session_open(s->explain.predictor, &s->explain.evaluate.session, &err);
  float *x = malloc(H * W * 3 * sizeof *x), *image = malloc(H * W * 3 * sizeof *image), scores[4];
  assert_true(session && x && image);
  double mean[CELLS] = {0}, square[CELLS] = {0};
  const int target = (int)e.target;
  for (uint32_t draw = 0; draw < DRAWS; draw++) {
    assert_ok(fill_values(&fill, draw, x, &err), err);
    for (int cell = 0; cell < CELLS; cell++) {
      memcpy(image, s->input.x, H * W * 3 * sizeof *image);
      for (int y = cell / NX * PATCH; y < H && y < (cell / NX + 1) * PATCH; y++)
        for (int c = cell % NX * PATCH * 3; c < W * 3 && c < (cell % NX + 1) * PATCH * 3; c++)
          image[y * W * 3 + c] = x[y * W * 3 + c];
      assert_ok(session_predict(session, image, 1, scores, NULL, &err), err);
      mean[cell] += (double)scores[target] / DRAWS;
      square[cell] += (double)scores[target] * (double)scores[target] / DRAWS;
    }
  }
  for (int cell = 0; cell < CELLS; cell++) {
    const int pixel = cell / NX * PATCH * W + cell % NX * PATCH; /* tiles: one patch covers a pixel */
    const double error = sqrt(fmax(0, square[cell] - mean[cell] * mean[cell]) / (DRAWS - 1));
    assert_true(fabs((double)floats(&e, "occlusion_grid")[cell * 4 + target] - mean[cell]) < 1e-6);
    assert_true(fabs((double)floats(&e, "map")[pixel] - ((double)e.scores[target] - mean[cell])) < 1e-6);
    assert_true(fabs((double)floats(&e, "stderr")[pixel] - error) < 1e-6);
  }
  assert_int_equal(e.evaluations, 2 + CELLS * DRAWS);
  struct explanation again =
      occlude(&s->explain, (const char *const[]){"patch=7", "stride=7", "fill=uniform", "draws=5", NULL});
  assert_memory_equal(floats(&e, "map"), floats(&again, "map"), H * W * sizeof(float));
  explanation_free(&again);
  s->explain.seed = 100;
  again = occlude(&s->explain, (const char *const[]){"patch=7", "stride=7", "fill=uniform", "draws=5", NULL});
  assert_true(memcmp(floats(&e, "map"), floats(&again, "map"), H * W * sizeof(float)) != 0);
  explanation_free(&again);
  explanation_free(&e);
  free(x);
  free(image);
  session_close(session);
  fill_close(&fill);
  subject_free(s);
}

/* ---- what the result must not depend on ------------------------------------------------------------------------- */

static int bits_differ(struct subject *s, const char *name, const char *const *params)
{
  static const struct {
    int threads;
    size_t memory;
  } others[] = {{2, 0}, {1, (size_t)16 << 20}, {2, (size_t)6 << 20}};
  s->explain.evaluate.session.threads = 1;
  s->explain.evaluate.session.memory = 0;
  struct explanation one = occlude(&s->explain, params);
  int faults = 0;
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    struct explanation other;
    struct error err = {0};
    s->explain.evaluate.session.threads = others[i].threads;
    s->explain.evaluate.session.memory = others[i].memory;
    if (!try_occlusion(&s->explain, params, &other, &err)) {
      assert_non_null(strstr(err.message, "memory: ")); /* less than one image needs */
      continue;
    }
    for (int a = 0; a < one.n_arrays; a++) {
      const struct npy *x = &one.arrays[a].array, *y = &other.arrays[a].array;
      if (memcmp(x->data, y->data, (size_t)npy_count(x) * 4) != 0) {
        print_message("# %s, %s: %d threads, %zu MiB give other bits\n", name, one.arrays[a].name, others[i].threads,
                      others[i].memory >> 20);
        faults++;
      }
    }
    explanation_free(&other);
  }
  explanation_free(&one);
  return faults;
}

static void threads_and_memory_do_not_show(void **state)
{
  (void)state;
  static const char *const names[] = {"conv1_softmax", "conv3_sigmoid", "res",       "win_residual",
                                      "win_fire",      "win_wide",      "win_dense", "win_flatten",
                                      "win_gate",      "win_dilations", "win_deep",  "lin"};
  int faults = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    struct subject *s = subject_new(names[i]);
    faults += bits_differ(s, names[i], (const char *const[]){"patch=5", "stride=2", "fill=black", NULL});
    faults += bits_differ(s, names[i], (const char *const[]){"patch=6", "stride=5", "fill=noise", "draws=3", NULL});
    subject_free(s);
  }
  assert_int_equal(faults, 0);
}

/* With less memory than windows need whole runs take over, whose last bits may be others. */
static void little_memory_is_enough(void **state)
{
  (void)state;
  static const char *const params[] = {"patch=5", "stride=2", "fill=black", NULL};
  struct subject *s = subject_new("win_wide");
  struct explanation much = occlude(&s->explain, params);
  s->explain.evaluate.session.memory = (size_t)3 << 20;
  struct explanation little = occlude(&s->explain, params);
  assert_true(relative_error(floats(&little, "map"), floats(&much, "map"), npy_count(array(&much, "map"))) <= 1e-5);
  explanation_free(&much);
  explanation_free(&little);
  subject_free(s);
}

static void threads_and_memory_do_not_show_in_real_models(void **state)
{
  (void)state;
  static const char *const models[] = {"cxr_pneumonia_cnn150", "resnet20_cifar10_bn", "vit_mnist"};
  static const char *const pictures[] = {"xray/pneumonia_person1405_bacteria_3571.jpeg", "photos/chelsea.png",
                                         "digits/nine.png"};
  int faults = 0;
  (void)shared_path("models"); /* skips before anything is owned */
  for (int i = 0; i < 3; i++) {
    char path[128];
    struct error err = {0};
    struct subject *s = calloc(1, sizeof *s);
    assert_non_null(s);
    (void)snprintf(path, sizeof path, "models/%s.onnx", models[i]);
    s->model = engine_open(shared_path(path), false);
    (void)snprintf(path, sizeof path, "images/%s", pictures[i]);
    assert_ok(image_read(shared_path(path), &s->image, &err), err);
    complete(s, &s->model->predictor, &s->model->card);
    faults += bits_differ(s, models[i], (const char *const[]){NULL});
    subject_free(s);
  }
  assert_int_equal(faults, 0);
}

/* ---- ways to stop ----------------------------------------------------------------------------------------------- */

struct watcher {
  int calls, maps, cancel_at;
  int64_t done, total;
  bool ordered;
  double furthest;
};

static bool watch(void *context, const struct progress *p)
{
  struct watcher *w = context;
  w->calls++;
  w->ordered &= p->done >= w->done && p->done <= p->total && p->seconds >= 0 && strcmp(p->stage, "occlusion") == 0;
  w->done = p->done;
  w->total = p->total;
  if (p->map) {
    w->maps++;
    assert_int_equal(p->height * p->width, 23 * 19);
    w->furthest = largest_of(p->map, 23 * 19);
  }
  return w->calls != w->cancel_at;
}

static void reports_progress_and_the_map_so_far(void **state)
{
  (void)state;
  struct subject *s = subject_new("conv3_softmax");
  struct watcher w = {.ordered = true};
  s->explain.evaluate.progress = watch;
  s->explain.evaluate.progress_context = &w;
  struct explanation e = occlude(&s->explain, (const char *const[]){"patch=3", "stride=1", "fill=black", NULL});
  assert_true(w.ordered && w.calls >= 1 && w.maps == w.calls);
  assert_true(w.done == w.total && w.total == 21 * 17);
  assert_true(w.furthest == largest_of(floats(&e, "map"), 23 * 19)); /* the last one is the result */
  explanation_free(&e);

  struct explanation out;
  struct error err = {0};
  w = (struct watcher){.ordered = true, .cancel_at = 1};
  assert_false(try_occlusion(&s->explain, (const char *const[]){"patch=3", "stride=1", NULL}, &out, &err));
  assert_int_equal(err.code, ERROR_CANCELLED);
  assert_non_null(strstr(err.message, "357"));
  subject_free(s);
}

struct slow {
  struct predictor predictor;
  int images;
};

static bool predict_slowly(void *context, const float *images, int n, float *scores, struct error *err)
{
  struct slow *slow = context;
  slow->images += n;
  const struct timespec pause = {0, 4000000};
  (void)nanosleep(&pause, NULL);
  return minus_sum(&slow->predictor, images, n, scores, err);
}

/* A run that is stopped has covered the image evenly and says what is missing. */
static void budgets_stop_evenly(void **state)
{
  (void)state;
  enum { SIDE = 40 };
  struct slow slow = {.images = 0};
  struct callback_model callback = {
      .predictor = {&callback_predictor_ops, SIDE, SIDE, 1, 1},
      .predict = predict_slowly,
      .context = &slow,
      .batch = 8,
  };
  slow.predictor = callback.predictor;
  struct subject *s = subject_of(&callback);
  s->explain.evaluate.budget = 0.15;
  struct explanation e = occlude(&s->explain, (const char *const[]){"patch=4", "stride=2", "fill=0", NULL});
  assert_string_equal(e.stopped_by, "budget");
  assert_non_null(warning(&e, "partial-cover"));
  assert_true(e.evaluations < 2 + 19 * 19 && e.evaluations == slow.images);
  int seen[4] = {0}, grey = 0;
  const int32_t *classes = array(&e, "occlusion_class")->data;
  (void)classes;
  for (int i = 0; i < SIDE * SIDE; i++) {
    seen[i / SIDE / 20 * 2 + i % SIDE / 20] += floats(&e, "map")[i] != 0;
    grey += floats(&e, "map")[i] == 0;
  }
  for (int q = 0; q < 4; q++)
    assert_true(seen[q] * 4 > (SIDE * SIDE - grey) / 2); /* each quarter at least half of its share */
  const json_t *facts = json_object_get(e.details, "occlusion");
  assert_int_equal(json_integer_value(json_object_get(facts, "positions")), 19 * 19);
  assert_int_equal(json_integer_value(json_object_get(facts, "evaluated")), e.evaluations - 2);
  explanation_free(&e);
  subject_free(s);
}

static void ceilings_widen_the_stride(void **state)
{
  (void)state;
  struct subject *s = subject_new("conv3_softmax");
  s->explain.evaluate.evals = 60;
  struct explanation e = occlude(&s->explain, (const char *const[]){"patch=7", "stride=1", NULL});
  assert_true(e.evaluations <= 60);
  assert_string_equal(e.stopped_by, "complete");
  const json_t *stride = json_object_get(json_object_get(e.details, "occlusion"), "stride");
  assert_int_equal(json_integer_value(json_array_get(stride, 0)), 3); /* 7 x 5 positions; 9 x 7 at stride 2 */
  explanation_free(&e);
  s->explain.evaluate.evals = 10;
  expect_error(&s->explain, (const char *const[]){"patch=5", "stride=1", NULL}, "evals: 10", "22");
  subject_free(s);
}

/* ---- parameters ------------------------------------------------------------------------------------------------- */

static void boxes_restrict(void **state)
{
  (void)state;
  struct subject *s = subject_new("pix");
  s->explain.evaluate.session.score = SCORE_LOGIT;
  struct explanation e =
      occlude(&s->explain, (const char *const[]){"patch=4", "stride=4", "fill=zero", "box=9,5,13,8", NULL});
  assert_int_equal(e.evaluations, 2 + 2); /* patches from column 8 and 12, row 4 */
  const float *map = floats(&e, "map"), value = s->input.x[5 * 19 + 13];
  for (int i = 0; i < 23 * 19; i++) {
    const int y = i / 19, x = i % 19;
    const bool tile = y >= 4 && y < 8 && x >= 12 && x < 16;
    assert_true(fabs(fabs((double)map[i]) - (tile ? fabs((double)value) : 0)) < 1e-6);
  }
  const int32_t *classes = array(&e, "occlusion_class")->data;
  assert_int_equal(classes[0], -1); /* not looked at */
  explanation_free(&e);
  static const char *const wrong[] = {"box=1,2,3",    "box=a,b,c,d",   "box=0,0,20,5", "box=5,5,5,9",
                                      "box=-1,0,4,4", "box=1,2,3,4,5", "box=1,2,3,4 "};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    expect_error(&s->explain, (const char *const[]){"patch=4", wrong[i], NULL}, "box: ", "");
  subject_free(s);
}

static void layers_and_maps_can_be_chosen(void **state)
{
  (void)state;
  struct subject *s = subject_new("conv3_softmax");
  struct explanation e = occlude(
      &s->explain, (const char *const[]){"patch=9", "stride=9", "layer=maxpool3", "feature-map=2", "fill=zero", NULL});
  const json_t *map = json_object_get(e.details, "feature_map");
  assert_string_equal(json_string_value(json_object_get(map, "layer")), "maxpool3");
  assert_int_equal(json_integer_value(json_object_get(map, "index")), 2);
  assert_true(largest_of(floats(&e, "occlusion_feature"), 9) > 0);
  explanation_free(&e);
  expect_error(&s->explain, (const char *const[]){"layer=nonsense", NULL}, "layer: ", "nonsense");
  expect_error(&s->explain, (const char *const[]){"feature-map=8", NULL}, "feature-map: 8", "0..7");
  subject_free(s);
}

static void refuses_wrong_parameters(void **state)
{
  (void)state;
  struct subject *s = subject_new("conv3_softmax");
  static const char *const cases[][3] = {
      {"patch=24", "patch: 24", "(patch-size)"},
      {"patch=8x20", "patch: 20", "1..19"},
      {"patch=0", "patch", "1"},
      {"patch=20mm", "20mm", "(no-spacing)"},
      {"soft=1.5", "soft", "0..1"},
      {"fill=nonsense", "fill", "nonsense"},
      {"draws=0", "draws", "1..1000"},
      {"strides=3", "strides", "stride"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    expect_error(&s->explain, (const char *const[]){cases[i][0], NULL}, cases[i][1], cases[i][2]);
  expect_error(&s->explain, (const char *const[]){"patch=4", "stride=5", NULL}, "stride: 5", "(stride-gap)");
  s->explain.target = "4";
  expect_error(&s->explain, (const char *const[]){NULL}, "class 4", "0..3");
  s->explain.target = "c9";
  expect_error(&s->explain, (const char *const[]){NULL}, "'c9'", "(bad-target)");
  s->explain.target = "c3";
  struct explanation e = occlude(&s->explain, (const char *const[]){NULL});
  assert_int_equal(e.target, 3);
  const json_t *facts = json_object_get(e.details, "occlusion"); /* 32 px at 224, a quarter of it */
  assert_int_equal(json_integer_value(json_array_get(json_object_get(facts, "patch"), 0)), 3);
  assert_int_equal(json_integer_value(json_array_get(json_object_get(facts, "stride"), 1)), 1);
  explanation_free(&e);
  subject_free(s);
}

static void measures_in_millimetres(void **state)
{
  (void)state;
  struct subject *s = subject_new("pix");
  s->input.spacing_y = 0.5;
  s->input.spacing_x = 2;
  struct explanation e = occlude(&s->explain, (const char *const[]){"patch=4mm", "stride=2mm", NULL});
  const json_t *facts = json_object_get(e.details, "occlusion");
  assert_int_equal(json_integer_value(json_array_get(json_object_get(facts, "patch"), 0)), 8);
  assert_int_equal(json_integer_value(json_array_get(json_object_get(facts, "patch"), 1)), 2);
  assert_int_equal(json_integer_value(json_array_get(json_object_get(facts, "stride"), 0)), 4);
  assert_int_equal(json_integer_value(json_array_get(json_object_get(facts, "stride"), 1)), 1);
  explanation_free(&e);
  subject_free(s);
}

/* ---- classes ---------------------------------------------------------------------------------------------------- */

/* Which labels cross their threshold where, and the winning class of every pixel by the nearest position. */
static void labels_cross_their_thresholds(void **state)
{
  (void)state;
  struct subject *s = subject_new("conv3_sigmoid");
  struct explanation e = occlude(&s->explain, (const char *const[]){"patch=8", "stride=4", "fill=black", NULL});
  const struct npy *grid = array(&e, "occlusion_grid");
  double lo = 1, hi = 0;
  for (int64_t i = 0; i < npy_count(grid) / 4; i++) {
    lo = fmin(lo, (double)((const float *)grid->data)[i * 4 + 2]);
    hi = fmax(hi, (double)((const float *)grid->data)[i * 4 + 2]);
  }
  assert_true(hi > lo);
  explanation_free(&e);
  s->thresholds[2] = (lo + hi) / 2; /* crossed somewhere */
  e = occlude(&s->explain, (const char *const[]){"patch=8", "stride=4", "fill=black", NULL});
  const struct npy *crossing = array(&e, "occlusion_crossing");
  assert_int_equal(npy_count(crossing), npy_count(array(&e, "occlusion_grid")));
  int crossed = 0;
  for (int64_t i = 0; i < npy_count(crossing); i++) {
    const int k = (int)(i % 4);
    const bool before = (double)e.scores[k] >= s->thresholds[k];
    const bool after = (double)floats(&e, "occlusion_grid")[i] >= s->thresholds[k];
    assert_int_equal(((const int32_t *)crossing->data)[i], after - before);
    crossed += after != before;
  }
  assert_true(crossed > 0);
  const struct npy *label = array(&e, "occlusion_label"), *class = array(&e, "occlusion_class");
  for (int y = 0; y < 23; y++)
    for (int x = 0; x < 19; x++) {
      int best[2] = {0, 0};
      const int at[2] = {y, x};
      for (int a = 0; a < 2; a++)
        for (int i = 1; i < class->dim[a]; i++) /* centres 4, 8, 12 … of pixel centres; the later one on a tie */
          if (fabs(at[a] + 0.5 - (4 * i + 4)) <= fabs(at[a] + 0.5 - (4 * best[a] + 4)))
            best[a] = i;
      assert_int_equal(((const int32_t *)label->data)[y * 19 + x],
                       ((const int32_t *)class->data)[best[0] * class->dim[1] + best[1]]);
    }
  explanation_free(&e);
  subject_free(s);
}

static bool probability(void *context, const float *images, int n, float *scores, struct error *err)
{
  const struct predictor *p = context;
  (void)err;
  for (int i = 0; i < n; i++)
    scores[i] = images[(int64_t)i * p->height * p->width] > 100 ? 0.9995f : 0.2f; /* the first pixel decides */
  return true;
}

static void warns_of_what_a_reader_should_know(void **state)
{
  (void)state;
  struct callback_model callback = {
      .predictor = {&callback_predictor_ops, 16, 16, 1, 1}, .predict = probability, .batch = 4};
  callback.context = &callback.predictor;
  struct subject *s = subject_of(&callback);
  for (int i = 0; i < 256; i++)
    s->input.x[i] = s->input.u[i] = 200;
  struct explanation e = occlude(&s->explain, (const char *const[]){"patch=4", "stride=4", "fill=0", NULL});
  const int32_t *classes = array(&e, "occlusion_class")->data;
  assert_int_equal(classes[0], -1); /* one output: none above its threshold there */
  assert_int_equal(classes[1], 0);
  assert_null(warning(&e, "saturated"));
  assert_null(warning(&e, "weak-fill"));
  assert_null(warning(&e, "no-change"));
  explanation_free(&e);
  e = occlude(&s->explain, (const char *const[]){"patch=4", "stride=4", "fill=199", NULL});
  assert_non_null(warning(&e, "saturated"));
  assert_non_null(warning(&e, "weak-fill"));
  assert_non_null(warning(&e, "no-change"));
  assert_non_null(warning(&e, "flat-map"));
  explanation_free(&e);
  subject_free(s);
}

/* ---- faults ----------------------------------------------------------------------------------------------------- */

static bool occlude_once(const struct explain *explain, const char *const *params, struct error *err)
{
  struct explanation out;
  if (!try_occlusion(explain, params, &out, err))
    return false;
  explanation_free(&out);
  return true;
}

static void fails_without_memory(void **state)
{
  (void)state;
  struct subject *s = subject_new("conv1_softmax");
  FAULT_LOOP(occlude_once(&s->explain,
                          (const char *const[]){"patch=9", "stride=9", "fill=noise", "draws=2", "soft=0.5", NULL},
                          &err),
             (void)0);
  subject_free(s);
}

int main(void)
{
  fault_include_jansson();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equals_captum),
      cmocka_unit_test(equals_a_plain_loop),
      cmocka_unit_test(equals_onnx_runtime_on_real_pictures),
      cmocka_unit_test(linear_scores_add_up),
      cmocka_unit_test(one_pixel_shows_where_it_is),
      cmocka_unit_test(every_pixel_is_covered),
      cmocka_unit_test(softmax_drops_cancel),
      cmocka_unit_test(flipping_both_flips_the_map),
      cmocka_unit_test(nothing_moves_a_constant),
      cmocka_unit_test(soft_edges_follow_the_formula),
      cmocka_unit_test(draws_are_averaged),
      cmocka_unit_test(threads_and_memory_do_not_show),
      cmocka_unit_test(little_memory_is_enough),
      cmocka_unit_test(threads_and_memory_do_not_show_in_real_models),
      cmocka_unit_test(reports_progress_and_the_map_so_far),
      cmocka_unit_test(budgets_stop_evenly),
      cmocka_unit_test(ceilings_widen_the_stride),
      cmocka_unit_test(boxes_restrict),
      cmocka_unit_test(layers_and_maps_can_be_chosen),
      cmocka_unit_test(refuses_wrong_parameters),
      cmocka_unit_test(measures_in_millimetres),
      cmocka_unit_test(labels_cross_their_thresholds),
      cmocka_unit_test(warns_of_what_a_reader_should_know),
      cmocka_unit_test(fails_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
