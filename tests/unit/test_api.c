/* SPDX-License-Identifier: Apache-2.0 */
/* The public header: every function, its errors, who owns what, what lands on disk. */
#include "penumbra.h"

#include "engine.h"
#include "fault.h"
#include "scratch.h"

#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static const char *fixture_path(const char *name)
{
  char file[64];
  (void)snprintf(file, sizeof file, "%s.onnx", name);
  return golden_path("fixtures", file);
}

static penumbra_model *open_model(const char *name)
{
  static const char *const settings[] = {"scale=0.00392156862745098", NULL};
  penumbra_error err = {0};
  penumbra_model *model = penumbra_model_open(
      fixture_path(name), &(penumbra_model_options){.size = sizeof(penumbra_model_options), .settings = settings},
      &err);
  assert_ok(model != NULL, err);
  return model;
}

static penumbra_image *make_image(int width, int height, int channels)
{
  penumbra_error err = {0};
  unsigned char pixels[64 * 64 * 3];
  assert_true(width * height * channels <= (int)sizeof pixels);
  for (int i = 0; i < width * height * channels; i++)
    pixels[i] = (unsigned char)(((unsigned)i * 2654435761u) >> 24);
  penumbra_image *image = penumbra_image_new(width, height, channels, 8, pixels, &err);
  assert_ok(image != NULL, err);
  return image;
}

static penumbra_request request_of(const char *const *params)
{
  return (penumbra_request){.size = sizeof(penumbra_request), .params = params, .threads = 1};
}

static const char *const coarse[] = {"patch=6", "stride=4", "fill=black", NULL};

/* A text of the library as JSON, to be freed by json_decref; the text is released. */
static json_t *parsed(char *text)
{
  json_error_t error;
  assert_non_null(text);
  json_t *json = json_loads(text, 0, &error);
  if (!json)
    print_message("# %s\n", error.text);
  assert_non_null(json);
  penumbra_text_free(text);
  return json;
}

static const json_t *named(const json_t *list, const char *name)
{
  size_t i;
  json_t *entry;
  json_array_foreach (list, i, entry)
    if (strcmp(json_string_value(json_object_get(entry, "name")), name) == 0)
      return entry;
  return NULL;
}

/* Code and words of a failure; the error is cleared. */
static void expect(penumbra_error *err, penumbra_code code, const char *first, const char *second)
{
  if (err->code != code || !strstr(err->message, first) || !strstr(err->message, second))
    print_message("# %d: %s\n", (int)err->code, err->message);
  assert_int_equal(err->code, code);
  assert_non_null(strstr(err->message, first));
  assert_non_null(strstr(err->message, second));
  *err = (penumbra_error){0};
}

/* ---- texts ------------------------------------------------------------------------------------------------------ */

static void says_what_it_is(void **state)
{
  (void)state;
  assert_string_equal(penumbra_version(), PENUMBRA_VERSION);
  assert_non_null(strstr(penumbra_build_info(), PENUMBRA_VERSION));
  assert_non_null(strstr(penumbra_build_info(), "oneDNN"));
  penumbra_text_free(NULL);
}

static void lists_what_there_is(void **state)
{
  (void)state;
  penumbra_error err = {0};
  json_t *methods = parsed(penumbra_methods_json(NULL, &err));
  const json_t *occlusion = named(methods, "occlusion");
  assert_non_null(occlusion);
  static const char *const fields[] = {"summary", "paper", "needs"};
  for (int i = 0; i < 3; i++)
    assert_true(strlen(json_string_value(json_object_get(occlusion, fields[i]))) > 3);
  static const char *const parameters[] = {"patch", "stride", "soft", "fill", "draws", "layer", "feature-map", "box"};
  for (int i = 0; i < 8; i++)
    assert_non_null(named(json_object_get(occlusion, "parameters"), parameters[i]));
  json_decref(methods);
  methods = parsed(penumbra_methods_json("occlusion", &err));
  assert_int_equal(json_array_size(methods), 1);
  json_decref(methods);
  assert_null(penumbra_methods_json("nonsense", &err));
  expect(&err, PENUMBRA_USAGE, "nonsense", "occlusion");
  assert_null(penumbra_methods_json("nonsense", NULL));

  json_t *fills = parsed(penumbra_fills_json());
  assert_non_null(named(fills, "mean"));
  assert_true(json_is_true(json_object_get(named(fills, "uniform"), "random")));
  json_decref(fills);
  json_t *options = parsed(penumbra_card_options_json());
  assert_non_null(named(options, "activation"));
  assert_non_null(named(options, "labels"));
  json_decref(options);
}

/* ---- models ----------------------------------------------------------------------------------------------------- */

static void opens_models(void **state)
{
  (void)state;
  penumbra_model *model = open_model("conv3_softmax");
  int dims[3];
  penumbra_model_input(model, dims);
  assert_true(dims[0] == 23 && dims[1] == 19 && dims[2] == 3);
  assert_int_equal(penumbra_model_classes(model), 4);
  assert_string_equal(penumbra_model_label(model, 3), "3");
  assert_null(penumbra_model_label(model, 4));
  assert_null(penumbra_model_label(model, -1));
  assert_non_null(strstr(penumbra_model_notes(model), "no model card"));
  penumbra_error err = {0};
  json_t *json = parsed(penumbra_model_json(model, &err));
  assert_string_equal(json_string_value(json_object_get(json, "default_layer")), "relu5");
  json_decref(json);
  penumbra_model_close(model);
  penumbra_model_close(NULL);

  model = penumbra_model_open(fixture_path("lin"), NULL, &err);
  assert_ok(model != NULL, err);
  assert_non_null(strstr(penumbra_model_notes(model), "raw outputs"));
  penumbra_model_close(model);

  json = parsed(penumbra_draft_card_json(fixture_path("conv1_sigmoid"), &err));
  assert_non_null(json_object_get(json, "card"));
  assert_true(json_array_size(json_object_get(json, "notes")) > 0);
  json_decref(json);
}

static void refuses_models(void **state)
{
  (void)state;
  penumbra_error err = {0};
  const size_t size = sizeof(penumbra_model_options);
  assert_null(penumbra_model_open("no/such.onnx", NULL, &err));
  expect(&err, PENUMBRA_FAILED, "no/such.onnx", "No such file");
  assert_null(penumbra_model_open("no/such.onnx", NULL, NULL));
  assert_null(
      penumbra_model_open(fixture_path("lin"), &(penumbra_model_options){.size = size, .card = "no/card.json"}, &err));
  expect(&err, PENUMBRA_FAILED, "no/card.json", "No such file");
  const char *const settings[] = {"activation=nonsense", NULL};
  assert_null(
      penumbra_model_open(fixture_path("lin"), &(penumbra_model_options){.size = size, .settings = settings}, &err));
  expect(&err, PENUMBRA_USAGE, "activation", "nonsense");
  assert_null(penumbra_draft_card_json("no/such.onnx", &err));
  expect(&err, PENUMBRA_FAILED, "no/such.onnx", "No such file");
  err = (penumbra_error){PENUMBRA_CANCELLED, "set before"};
  assert_null(penumbra_model_open("no/such.onnx", NULL, &err)); /* an error that is set is kept */
  expect(&err, PENUMBRA_CANCELLED, "set before", "");
}

/* A struct of an older caller is shorter, one of a newer caller longer; what it does not say is zero. */
static void structs_may_grow(void **state)
{
  (void)state;
  penumbra_error err = {0};
  penumbra_model *model = open_model("conv1_softmax");
  penumbra_image *image = make_image(19, 23, 1);
  penumbra_request request = request_of(coarse);
  request.size = 0;
  assert_null(penumbra_explain(model, image, &request, &err));
  expect(&err, PENUMBRA_USAGE, "penumbra_request.size: 0", "");
  request.size = offsetof(penumbra_request, score); /* what follows is not read */
  request.score = "nonsense";
  penumbra_explanation *e = penumbra_explain(model, image, &request, &err);
  assert_ok(e != NULL, err);
  penumbra_explanation_free(e);
  struct {
    penumbra_request request;
    void *later;
  } newer = {request_of(coarse), NULL};
  newer.request.size = sizeof newer;
  e = penumbra_explain(model, image, &newer.request, &err);
  assert_ok(e != NULL, err);
  penumbra_explanation_free(e);
  newer.later = &newer;
  assert_null(penumbra_explain(model, image, &newer.request, &err));
  expect(&err, PENUMBRA_USAGE, "penumbra_request", "does not know");
  assert_null(penumbra_model_open(fixture_path("lin"), &(penumbra_model_options){0}, &err));
  expect(&err, PENUMBRA_USAGE, "penumbra_model_options.size", "");
  assert_null(penumbra_model_from_predictor(&(penumbra_predictor){0}, NULL, &err));
  expect(&err, PENUMBRA_USAGE, "penumbra_predictor.size", "");
  assert_false(penumbra_phantom(&(penumbra_phantom_request){0}, scratch_path("p"), 0, &err));
  expect(&err, PENUMBRA_USAGE, "penumbra_phantom_request.size", "");
  penumbra_image_close(image);
  penumbra_model_close(model);
}

/* ---- images ----------------------------------------------------------------------------------------------------- */

static void opens_images(void **state)
{
  (void)state;
  penumbra_error err = {0};
  int width, height;
  penumbra_image *image = penumbra_image_open(golden_path("png", "rgb8.png"), &err);
  assert_ok(image != NULL, err);
  penumbra_image_size(image, &width, &height);
  assert_true(width > 0 && height > 0);
  penumbra_image_close(image);
  penumbra_image_close(NULL);
  assert_null(penumbra_image_open("no/such.png", &err));
  expect(&err, PENUMBRA_FAILED, "no/such.png", "No such file");
  assert_null(penumbra_image_open("no/such.png", NULL));
  assert_null(penumbra_image_decode("plain text", 10, "a name", &err));
  expect(&err, PENUMBRA_FAILED, "a name", "");

  static const unsigned char pixels[12] = {0};
  static const int wrong[][4] = {{2, 2, 2, 8}, {2, 2, 3, 12}, {0, 2, 3, 8}, {2, -1, 1, 8}, {1 << 20, 1 << 20, 1, 8}};
  for (int i = 0; i < 5; i++) {
    assert_null(penumbra_image_new(wrong[i][0], wrong[i][1], wrong[i][2], wrong[i][3], pixels, &err));
    assert_int_not_equal(err.code, PENUMBRA_OK);
    assert_true(strlen(err.message) > 10);
    err = (penumbra_error){0};
  }
  const uint16_t deep[4] = {0, 1000, 40000, 65535};
  image = penumbra_image_new(2, 2, 1, 16, deep, &err);
  assert_ok(image != NULL, err);
  penumbra_image_size(image, &width, &height);
  assert_true(width == 2 && height == 2);
  penumbra_image_close(image);
}

static void decodes_the_bytes_of_a_file(void **state)
{
  (void)state;
  penumbra_error err = {0};
  FILE *file = fopen(golden_path("png", "rgb8.png"), "rb");
  assert_non_null(file);
  unsigned char bytes[65536];
  const size_t size = fread(bytes, 1, sizeof bytes, file);
  (void)fclose(file);
  penumbra_image *image = penumbra_image_decode(bytes, size, "rgb8.png", &err),
                 *same = penumbra_image_open(golden_path("png", "rgb8.png"), &err);
  assert_ok(image && same, err);
  memset(bytes, 0, sizeof bytes); /* they were copied */
  penumbra_model *model = open_model("conv3_softmax");
  float a[4], b[4];
  assert_ok(penumbra_predict(model, image, 1, a, &err) && penumbra_predict(model, same, 1, b, &err), err);
  assert_memory_equal(a, b, sizeof a);
  penumbra_image_close(image);
  penumbra_image_close(same);
  penumbra_model_close(model);
}

/* [channels, height, width], as a framework is fed. */
static void preprocesses_by_planes(void **state)
{
  (void)state;
  penumbra_error err = {0};
  penumbra_model *model = open_model("conv3_softmax");
  penumbra_image *image = make_image(19, 23, 3);
  float x[3 * 23 * 19];
  assert_ok(penumbra_preprocess(model, image, x, &err), err);
  for (int c = 0; c < 3; c++)
    for (int i = 0; i < 23 * 19; i++) {
      const unsigned code = ((unsigned)(i * 3 + c) * 2654435761u) >> 24;
      assert_true(fabs((double)x[c * 23 * 19 + i] - code / 255.0) < 1e-6);
    }
  penumbra_image_close(image);
  penumbra_model_close(model);
}

/* ---- explanations ----------------------------------------------------------------------------------------------- */

static void explains_without_a_request(void **state)
{
  (void)state;
  penumbra_error err = {0};
  penumbra_model *model = open_model("conv1_softmax");
  penumbra_image *image = make_image(19, 23, 1);
  penumbra_explanation *e = penumbra_explain(model, image, NULL, &err);
  assert_ok(e != NULL, err);
  penumbra_array heat;
  assert_ok(penumbra_explanation_array(e, "heatmap", &heat, &err), err);
  assert_true(heat.rank == 2 && heat.dims[0] == 23 && heat.dims[1] == 19 && heat.dtype == PENUMBRA_F32);
  penumbra_explanation_free(e);
  penumbra_explanation_free(NULL);
  penumbra_image_close(image);
  penumbra_model_close(model);
}

/* An explanation outlives what it was made of. */
static void explanations_hold_what_they_need(void **state)
{
  (void)state;
  penumbra_error err = {0};
  penumbra_model *model = open_model("conv3_softmax");
  penumbra_image *image = make_image(40, 30, 3);
  const penumbra_request request = request_of(coarse);
  float scores[4];
  assert_ok(penumbra_predict(model, image, 1, scores, &err), err);
  penumbra_explanation *e = penumbra_explain(model, image, &request, &err);
  assert_ok(e != NULL, err);
  penumbra_image_close(image);
  penumbra_model_close(model);

  static const char *const names[] = {"map", "heatmap", "occlusion_grid", "occlusion_class", "occlusion_feature"};
  for (int n = 0; n < 5; n++) {
    penumbra_array array;
    bool listed = false;
    assert_ok(penumbra_explanation_array(e, names[n], &array, &err), err);
    assert_non_null(array.data);
    for (int i = 0; penumbra_explanation_array_name(e, i); i++)
      listed |= strcmp(penumbra_explanation_array_name(e, i), names[n]) == 0;
    assert_true(listed);
  }
  assert_null(penumbra_explanation_array_name(e, -1));
  assert_null(penumbra_explanation_array_name(e, 1000));
  penumbra_array grid, heat;
  assert_ok(penumbra_explanation_array(e, "occlusion_grid", &grid, &err), err);
  assert_true(grid.rank == 3 && grid.dims[0] == 6 && grid.dims[1] == 5 && grid.dims[2] == 4);
  assert_ok(penumbra_explanation_array(e, "heatmap", &heat, &err), err);
  assert_true(heat.dims[0] == 30 && heat.dims[1] == 40); /* of the picture, not of the model */
  assert_false(penumbra_explanation_array(e, "nonsense", &heat, &err));
  expect(&err, PENUMBRA_USAGE, "nonsense", "heatmap");
  assert_false(penumbra_explanation_array(e, "nonsense", &heat, NULL));

  json_t *result = parsed(penumbra_explanation_json(e, &err));
  static const char *const keys[] = {"schema", "tool", "model",   "image",  "preprocessing", "target", "scores",
                                     "method", "map",  "quality", "timing", "warnings",      "files"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    assert_non_null(json_object_get(result, keys[i]));
  for (size_t k = 0; k < 4; k++)
    assert_true(fabs(json_number_value(json_array_get(json_object_get(result, "scores"), k)) - (double)scores[k]) <
                1e-6);
  const json_t *method = json_object_get(result, "method");
  assert_string_equal(json_string_value(json_object_get(method, "name")), "occlusion");
  assert_int_equal(json_integer_value(json_object_get(method, "evaluations")), 2 + 6 * 5);
  assert_string_equal(json_string_value(json_object_get(method, "stopped_by")), "complete");
  json_decref(result);
  assert_ok(penumbra_explanation_save(e, scratch_path("out"), PENUMBRA_NO_REPORT, &err), err);
  penumbra_explanation_free(e);
}

static void explains_all_classes(void **state)
{
  (void)state;
  penumbra_error err = {0};
  penumbra_model *model = open_model("conv3_softmax");
  penumbra_image *image = make_image(19, 23, 3);
  penumbra_request request = request_of(coarse);
  request.target = "all";
  penumbra_explanation *all = penumbra_explain(model, image, &request, &err);
  assert_ok(all != NULL, err);
  penumbra_array maps, map;
  assert_ok(penumbra_explanation_array(all, "heatmap", &maps, &err), err);
  assert_true(maps.rank == 3 && maps.dims[0] == 4 && maps.dims[1] == 23 && maps.dims[2] == 19);
  for (int k = 0; k < 4; k++) {
    char target[16];
    (void)snprintf(target, sizeof target, "%d", k);
    request.target = target;
    penumbra_explanation *one = penumbra_explain(model, image, &request, &err);
    assert_ok(one != NULL, err);
    assert_ok(penumbra_explanation_array(one, "heatmap", &map, &err), err);
    assert_memory_equal(map.data, (const float *)maps.data + k * 23 * 19, 23 * 19 * sizeof(float));
    penumbra_explanation_free(one);
  }
  penumbra_explanation_free(all);
  penumbra_image_close(image);
  penumbra_model_close(model);
}

static void refuses_requests(void **state)
{
  (void)state;
  penumbra_error err = {0};
  penumbra_model *model = open_model("conv1_softmax");
  penumbra_image *image = make_image(19, 23, 1);
  const size_t size = sizeof(penumbra_request);
  const struct {
    penumbra_request request;
    const char *first, *second;
  } cases[] = {
      {{.size = size, .method = "nonsense"}, "method: 'nonsense'", "occlusion"},
      {{.size = size, .score = "nonsense"}, "score: 'nonsense'", "logit"},
      {{.size = size, .target = "nonsense"}, "target: 'nonsense'", "(bad-target)"},
      {{.size = size, .target = "4"}, "class 4", "0..3"},
      {{.size = size, .evals = -1}, "evals: -1", "0"},
      {{.size = size, .budget = -0.5}, "budget: -0.5", "0"},
      {{.size = size, .budget = NAN}, "budget", "0"},
      {{.size = size, .memory = 100}, "memory", "too little"},
      {{.size = size, .params = (const char *const[]){"patch", NULL}}, "patch", ""},
      {{.size = size, .params = (const char *const[]){"patch=99", NULL}}, "patch: 99", "1..23"},
      {{.size = size, .params = (const char *const[]){"nonsense=1", NULL}}, "nonsense", "occlusion"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_null(penumbra_explain(model, image, &cases[i].request, &err));
    expect(&err, PENUMBRA_USAGE, cases[i].first, cases[i].second);
    assert_null(penumbra_explain(model, image, &cases[i].request, NULL));
  }
  penumbra_image_close(image);
  penumbra_model_close(model);
}

static bool count_and_stop(void *context, const penumbra_progress *p)
{
  int *calls = context;
  assert_true(p->done >= 0 && p->done <= p->total && p->seconds >= 0);
  assert_non_null(p->stage);
  return ++*calls < 1000;
}

static bool stop_at_once(void *context, const penumbra_progress *p)
{
  (void)context;
  (void)p;
  return false;
}

static void progress_can_cancel(void **state)
{
  (void)state;
  penumbra_error err = {0};
  int calls = 0;
  penumbra_model *model = open_model("conv1_softmax");
  penumbra_image *image = make_image(19, 23, 1);
  penumbra_request request = request_of(coarse);
  request.progress = count_and_stop;
  request.progress_context = &calls;
  penumbra_explanation *e = penumbra_explain(model, image, &request, &err);
  assert_ok(e != NULL, err);
  assert_true(calls > 0);
  penumbra_explanation_free(e);
  request.progress = stop_at_once;
  assert_null(penumbra_explain(model, image, &request, &err));
  expect(&err, PENUMBRA_CANCELLED, "cancelled", "");
  penumbra_image_close(image);
  penumbra_model_close(model);
}

/* ---- on disk ---------------------------------------------------------------------------------------------------- */

static int entries_of(const char *path)
{
  DIR *dir = opendir(path);
  int n = 0;
  if (!dir)
    return -1;
  for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
    n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
  (void)closedir(dir);
  return n;
}

static void saves_whole_folders(void **state)
{
  (void)state;
  penumbra_error err = {0};
  penumbra_model *model = open_model("conv3_softmax");
  penumbra_image *image = make_image(19, 23, 3);
  const penumbra_request request = request_of(coarse);
  penumbra_explanation *e = penumbra_explain(model, image, &request, &err);
  assert_ok(e != NULL, err);
  const char *out = scratch_path("deep/er/out");
  assert_ok(penumbra_explanation_save(e, out, PENUMBRA_NO_REPORT, &err), err);
  int arrays = 0;
  for (const char *name; (name = penumbra_explanation_array_name(e, arrays)); arrays++) {
    char path[600];
    penumbra_array held;
    (void)snprintf(path, sizeof path, "%s/%s.npy", out, name);
    struct npy stored = npy_open(path);
    assert_ok(penumbra_explanation_array(e, name, &held, &err), err);
    assert_int_equal(stored.type == NPY_F32, held.dtype == PENUMBRA_F32);
    assert_int_equal(stored.rank, held.rank);
    for (int d = 0; d < stored.rank; d++)
      assert_int_equal(stored.dim[d], held.dims[d]);
    assert_memory_equal(stored.data, held.data, (size_t)npy_count(&stored) * 4);
    npy_free(&stored);
  }
  static const char *const others[] = {"result.json", "overlay.png", "occlusion.png"};
  for (int i = 0; i < 3; i++) {
    char path[600];
    (void)snprintf(path, sizeof path, "%s/%s", out, others[i]);
    assert_int_equal(access(path, R_OK), 0);
  }
  const int entries = entries_of(out);
  assert_true(entries >= arrays + 3);

  assert_false(penumbra_explanation_save(e, out, PENUMBRA_NO_REPORT, &err)); /* it is there */
  expect(&err, PENUMBRA_FAILED, "out", "overwrite");
  scratch_file("deep/er/out/stranger.txt", "x", 1);
  assert_ok(penumbra_explanation_save(e, out, PENUMBRA_OVERWRITE | PENUMBRA_NO_REPORT, &err), err);
  assert_int_equal(entries_of(out), entries); /* replaced, not added to */
  scratch_file("file", "x", 1);
  assert_false(penumbra_explanation_save(e, scratch_path("file/out"), 0, &err));
  expect(&err, PENUMBRA_FAILED, "file", "");
  assert_false(penumbra_explanation_save(e, scratch_path("file/out"), 0, NULL));
  penumbra_explanation_free(e);
  penumbra_image_close(image);
  penumbra_model_close(model);
}

/* Whatever allocation fails, the folder is there with all its files or not at all, and nothing lies beside it. */
static void saves_whole_or_not_at_all(void **state)
{
  (void)state;
  penumbra_error err = {0};
  penumbra_model *model = open_model("conv1_softmax");
  penumbra_image *image = make_image(19, 23, 1);
  const penumbra_request request = request_of(coarse);
  penumbra_explanation *e = penumbra_explain(model, image, &request, &err);
  assert_ok(e != NULL, err);
  int entries = 0;
  for (uint64_t n = 1;; n++) {
    char path[600];
    (void)snprintf(path, sizeof path, "%s/out", scratch_path("fault"));
    assert_true(n < FAULT_MOST);
    mem_fail_after(n);
    const bool saved = penumbra_explanation_save(e, path, PENUMBRA_OVERWRITE, &err);
    mem_fail_after(0);
    if (saved) {
      entries = entries_of(path);
      break;
    }
    assert_int_not_equal(err.code, PENUMBRA_OK);
    err = (penumbra_error){0};
    assert_int_equal(entries_of(path), -1);
    assert_true(entries_of(scratch_path("fault")) <= 0);
  }
  assert_true(entries > 5);
  penumbra_explanation_free(e);
  penumbra_image_close(image);
  penumbra_model_close(model);
}

/* ---- a classifier of the caller's ------------------------------------------------------------------------------- */

struct mine {
  int height, width, row, column; /* the one pixel that counts */
  int released, calls, most;
  penumbra_code fails;
};

static bool one_pixel(void *context, const float *images, int n, float *scores, penumbra_error *err)
{
  struct mine *mine = context;
  mine->calls++;
  mine->most = n > mine->most ? n : mine->most;
  if (mine->fails) {
    err->code = mine->fails;
    (void)snprintf(err->message, sizeof err->message, "the classifier is tired");
    return false;
  }
  for (int i = 0; i < n; i++) {
    const float *image = images + (size_t)i * (size_t)(mine->height * mine->width);
    scores[2 * i] = image[mine->row * mine->width + mine->column] / 255;
    scores[2 * i + 1] = 1 - scores[2 * i];
  }
  return true;
}

static void release(void *context)
{
  ((struct mine *)context)->released++;
}

static penumbra_predictor predictor_of(struct mine *mine, int batch)
{
  return (penumbra_predictor){
      .size = sizeof(penumbra_predictor),
      .height = mine->height,
      .width = mine->width,
      .channels = 1,
      .classes = 2,
      .predict = one_pixel,
      .release = release,
      .context = mine,
      .batch = batch,
  };
}

static void explains_the_callers_classifier(void **state)
{
  (void)state;
  penumbra_error err = {0};
  struct mine mine = {.height = 12, .width = 10, .row = 3, .column = 7};
  const penumbra_predictor predictor = predictor_of(&mine, 7);
  penumbra_model *model = penumbra_model_from_predictor(&predictor, NULL, &err);
  assert_ok(model != NULL, err);
  assert_int_equal(penumbra_model_classes(model), 2);
  assert_string_equal(penumbra_model_label(model, 1), "1");
  assert_string_equal(penumbra_model_notes(model), "");
  json_t *json = parsed(penumbra_model_json(model, &err));
  assert_int_equal(json_integer_value(json_object_get(json, "classes")), 2);
  json_decref(json);
  unsigned char pixels[120];
  memset(pixels, 200, sizeof pixels);
  penumbra_image *image = penumbra_image_new(10, 12, 1, 8, pixels, &err);
  assert_ok(image != NULL, err);
  float scores[2];
  assert_ok(penumbra_predict(model, image, 0, scores, &err), err);
  assert_true(fabs((double)scores[0] - 200 / 255.0) < 1e-6);
  const char *const params[] = {"patch=1", "stride=1", "fill=black", NULL};
  penumbra_request request = request_of(params);
  penumbra_explanation *e = penumbra_explain(model, image, &request, &err);
  assert_ok(e != NULL, err);
  assert_int_equal(mine.most, 7);
  penumbra_array heat;
  assert_ok(penumbra_explanation_array(e, "heatmap", &heat, &err), err);
  for (int i = 0; i < 120; i++)
    assert_true(fabs((double)((const float *)heat.data)[i] - (i == 37 ? 200 / 255.0 : 0)) < 1e-6);
  penumbra_explanation_free(e);

  mine.fails = PENUMBRA_CANCELLED;
  assert_null(penumbra_explain(model, image, &request, &err));
  expect(&err, PENUMBRA_CANCELLED, "the classifier is tired", "");
  assert_false(penumbra_predict(model, image, 0, scores, &err));
  expect(&err, PENUMBRA_CANCELLED, "the classifier is tired", "");
  mine.fails = PENUMBRA_OK;
  request.score = "logit";
  assert_null(penumbra_explain(model, image, &request, &err));
  expect(&err, PENUMBRA_USAGE, "(no-logit)", "");
  request.score = NULL;
  e = penumbra_explain(model, image, &request, &err);
  assert_ok(e != NULL, err);
  assert_false(penumbra_explanation_array(e, "occlusion_feature", &heat, NULL)); /* nothing can be watched */
  penumbra_explanation_free(e);
  penumbra_image_close(image);
  assert_int_equal(mine.released, 0);
  penumbra_model_close(model);
  assert_int_equal(mine.released, 1);
}

/* On failure nothing changes hands: the context is still the caller's. */
static void refuses_predictors(void **state)
{
  (void)state;
  penumbra_error err = {0};
  struct mine mine = {.height = 4, .width = 4};
  const penumbra_predictor good = predictor_of(&mine, 0);
  penumbra_predictor bad[5] = {good, good, good, good, good};
  bad[0].predict = NULL;
  bad[1].classes = 0;
  bad[2].height = 0;
  bad[3].width = -3;
  bad[4].channels = 7;
  for (int i = 0; i < 5; i++) {
    assert_null(penumbra_model_from_predictor(&bad[i], NULL, &err));
    assert_int_not_equal(err.code, PENUMBRA_OK);
    assert_true(strlen(err.message) > 10);
    err = (penumbra_error){0};
  }
  const char *const wrong[] = {"scale=x", NULL};
  assert_null(penumbra_model_from_predictor(&good, wrong, &err));
  expect(&err, PENUMBRA_USAGE, "scale", "x");
  assert_null(penumbra_model_from_predictor(&good, wrong, NULL));
  assert_int_equal(mine.released, 0);
  const char *const settings[] = {"scale=0.5", "mean=10", NULL}; /* values are fed as the settings say */
  penumbra_model *model = penumbra_model_from_predictor(&good, settings, &err);
  assert_ok(model != NULL, err);
  unsigned char pixels[16];
  memset(pixels, 100, sizeof pixels);
  penumbra_image *image = penumbra_image_new(4, 4, 1, 8, pixels, &err);
  float scores[2];
  assert_ok(penumbra_predict(model, image, 0, scores, &err), err);
  assert_true(fabs((double)scores[0] - 40 / 255.0) < 1e-6);
  penumbra_image_close(image);
  penumbra_model_close(model);
}

/* ---- the map lies where the picture is -------------------------------------------------------------------------- */

/* Centre of mass of a heat map, px from its upper left corner to the centre. */
static void centre_of(const penumbra_array *heat, double *y, double *x)
{
  double sum = 0;
  *y = *x = 0;
  for (int64_t i = 0; i < heat->dims[0] * heat->dims[1]; i++) {
    const double v = fabs((double)((const float *)heat->data)[i]);
    sum += v;
    *y += v * ((double)(i / heat->dims[1]) + 0.5);
    *x += v * ((double)(i % heat->dims[1]) + 0.5);
  }
  assert_true(sum > 0);
  *y /= sum;
  *x /= sum;
}

/* A model that sees one pixel of its grid; where the map shows it in a picture that was stretched, cropped or padded
 * must be where that pixel came from, by the arithmetic of the card. */
static void maps_are_aligned_with_the_picture(void **state)
{
  (void)state;
  enum { H = 20, W = 24 };
  static const struct {
    const char *resize, *resize_to;
    int width, height;
    double scale_y, scale_x, top, left; /* model px per picture px, and of the picture's corner on the grid, by hand */
  } cases[] = {
      {"resize=stretch", NULL, 72, 60, 1 / 3.0, 1 / 3.0, 0, 0},
      {"resize=stretch", NULL, 48, 20, 1, 0.5, 0, 0},
      {"resize=stretch", NULL, 24, 100, 0.2, 1, 0, 0},
      {"resize=stretch", NULL, 12, 10, 2, 2, 0, 0},
      {"resize=shortest-crop", NULL, 96, 40, 0.5, 0.5, 0, -12},            /* to 48x20, 12 cut on the left */
      {"resize=shortest-crop", NULL, 48, 80, 0.5, 0.5, -10, 0},            /* to 24x40, 10 cut above */
      {"resize=shortest-crop", "resize_to=40", 80, 80, 0.5, 0.5, -10, -8}, /* to 40x40, then the middle */
      {"resize=pad", NULL, 96, 40, 0.25, 0.25, 5, 0},                      /* to 24x10, 5 rows above */
      {"resize=pad", NULL, 36, 60, 1 / 3.0, 1 / 3.0, 0, 6},                /* to 12x20, 6 columns on the left */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int at = 0; at < 3; at++) {
      penumbra_error err = {0};
      struct mine mine = {.height = H, .width = W, .row = 6 + 4 * at, .column = 15 - 3 * at};
      const penumbra_predictor predictor = predictor_of(&mine, 64);
      const char *const settings[] = {cases[i].resize, cases[i].resize_to, NULL};
      penumbra_model *model = penumbra_model_from_predictor(&predictor, settings, &err);
      assert_ok(model != NULL, err);
      unsigned char pixels[100 * 100];
      memset(pixels, 180, sizeof pixels);
      penumbra_image *image = penumbra_image_new(cases[i].width, cases[i].height, 1, 8, pixels, &err);
      assert_ok(image != NULL, err);
      const char *const params[] = {"patch=1", "stride=1", "fill=black", NULL};
      const penumbra_request request = request_of(params);
      penumbra_explanation *e = penumbra_explain(model, image, &request, &err);
      assert_ok(e != NULL, err);
      penumbra_array map, heat, coverage;
      double y, x;
      assert_ok(penumbra_explanation_array(e, "map", &map, &err), err);
      for (int p = 0; p < H * W; p++) /* on the grid: that pixel and no other */
        assert_true((((const float *)map.data)[p] != 0) == (p == mine.row * W + mine.column));
      assert_ok(penumbra_explanation_array(e, "heatmap", &heat, &err), err);
      assert_true(heat.dims[0] == cases[i].height && heat.dims[1] == cases[i].width);
      centre_of(&heat, &y, &x);
      const double row = (mine.row + 0.5 - cases[i].top) / cases[i].scale_y;
      const double column = (mine.column + 0.5 - cases[i].left) / cases[i].scale_x;
      if (fabs(y - row) > 0.51 || fabs(x - column) > 0.51)
        fail_msg("%s of %dx%d: %.2f, %.2f, not %.2f, %.2f", cases[i].resize, cases[i].width, cases[i].height, x, y,
                 column, row);
      const bool cropped = strstr(cases[i].resize, "crop") != NULL;
      assert_int_equal(penumbra_explanation_array(e, "coverage", &coverage, NULL), cropped);
      for (int64_t p = 0; cropped && p < heat.dims[0] * heat.dims[1]; p++) {
        const double model_y = ((double)(p / heat.dims[1]) + 0.5) * cases[i].scale_y + cases[i].top;
        const double model_x = ((double)(p % heat.dims[1]) + 0.5) * cases[i].scale_x + cases[i].left;
        const bool seen = model_y > 0 && model_y < H && model_x > 0 && model_x < W;
        assert_int_equal(((const int32_t *)coverage.data)[p], seen);
        assert_true(seen || ((const float *)heat.data)[p] == 0);
      }
      penumbra_explanation_free(e);
      penumbra_image_close(image);
      penumbra_model_close(model);
    }
}

/* ---- sharing ---------------------------------------------------------------------------------------------------- */

struct shared {
  const penumbra_model *model;
  const penumbra_image *image;
  float map[23 * 19];
  bool ok;
};

static void *explain_in_a_thread(void *context)
{
  struct shared *s = context;
  penumbra_error err = {0};
  const penumbra_request request = request_of(coarse);
  s->ok = true;
  for (int i = 0; i < 3 && s->ok; i++) {
    penumbra_explanation *e = penumbra_explain(s->model, s->image, &request, &err);
    penumbra_array map;
    s->ok = e && penumbra_explanation_array(e, "map", &map, &err) && map.dims[0] * map.dims[1] == 23 * 19;
    if (s->ok)
      memcpy(s->map, map.data, sizeof s->map);
    penumbra_explanation_free(e);
  }
  return NULL;
}

static void threads_share_models_and_images(void **state)
{
  (void)state;
  enum { THREADS = 4 };
  penumbra_model *model = open_model("conv3_softmax");
  penumbra_image *image = make_image(19, 23, 3);
  struct shared shared[THREADS];
  pthread_t thread[THREADS];
  for (int i = 0; i < THREADS; i++) {
    shared[i] = (struct shared){.model = model, .image = image};
    assert_int_equal(pthread_create(&thread[i], NULL, explain_in_a_thread, &shared[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) {
    assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_true(shared[i].ok);
    assert_memory_equal(shared[i].map, shared[0].map, sizeof shared[0].map);
  }
  penumbra_image_close(image);
  penumbra_model_close(model);
}

/* ---- maps and phantoms ------------------------------------------------------------------------------------------ */

static void compares_maps(void **state)
{
  (void)state;
  penumbra_error err = {0};
  json_t *same = parsed(
      penumbra_diff_json(golden_path("agreement", "noisy.a.npy"), golden_path("agreement", "noisy.a.npy"), &err));
  assert_true(json_number_value(json_object_get(same, "spearman")) > 0.999999);
  assert_true(json_number_value(json_object_get(same, "max_abs_difference")) == 0);
  json_decref(same);
  assert_null(penumbra_diff_json("no/such.npy", "no/such.npy", &err));
  expect(&err, PENUMBRA_FAILED, "no/such.npy", "No such file");
  assert_null(penumbra_diff_json("no/such.npy", "no/such.npy", NULL));
}

static void draws_phantoms(void **state)
{
  (void)state;
  penumbra_error err = {0};
  penumbra_phantom_request request = {.size = sizeof request, .seed = 3, .findings = "nodule", .pixels = 96, .bits = 8};
  assert_ok(penumbra_phantom(&request, scratch_path("phantom"), 0, &err), err);
  static const char *const files[] = {"phantom.png", "truth.json", "lungs.png", "mask_nodule.png", "twin_nodule.png"};
  for (int i = 0; i < 5; i++) {
    char name[64];
    (void)snprintf(name, sizeof name, "phantom/%s", files[i]);
    assert_int_equal(access(scratch_path(name), R_OK), 0);
  }
  assert_false(penumbra_phantom(&request, scratch_path("phantom"), 0, &err));
  expect(&err, PENUMBRA_FAILED, "phantom", "overwrite");
  assert_ok(penumbra_phantom(&request, scratch_path("phantom"), PENUMBRA_OVERWRITE, &err), err);
  request.findings = "nodule,nonsense";
  assert_false(penumbra_phantom(&request, scratch_path("other"), 0, &err));
  expect(&err, PENUMBRA_USAGE, "nonsense", "nodule");
  assert_false(penumbra_phantom(&request, scratch_path("other"), 0, NULL));
  request.findings = NULL;
  request.pixels = 5;
  assert_false(penumbra_phantom(&request, scratch_path("other"), 0, &err));
  expect(&err, PENUMBRA_USAGE, "5", "64");
  assert_int_equal(access(scratch_path("other"), F_OK), -1);
}

/* ---- faults ----------------------------------------------------------------------------------------------------- */

static bool whole_way(struct error *err)
{
  penumbra_error failed = {0};
  penumbra_model *model = penumbra_model_open(fixture_path("conv1_softmax"), NULL, &failed);
  unsigned char pixels[23 * 19] = {0};
  penumbra_image *image = model ? penumbra_image_new(19, 23, 1, 8, pixels, &failed) : NULL;
  const char *const params[] = {"patch=12", "stride=12", NULL};
  const penumbra_request request = request_of(params);
  penumbra_explanation *e = image ? penumbra_explain(model, image, &request, &failed) : NULL;
  char *text = e ? penumbra_explanation_json(e, &failed) : NULL;
  penumbra_text_free(text);
  penumbra_explanation_free(e);
  penumbra_image_close(image);
  penumbra_model_close(model);
  if (!text && failed.code)
    error_set(err, (enum error_code)failed.code, "%s", failed.message);
  return text != NULL;
}

static void fails_without_memory(void **state)
{
  (void)state;
  FAULT_LOOP(whole_way(&err), (void)0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(says_what_it_is),
      cmocka_unit_test(lists_what_there_is),
      cmocka_unit_test(opens_models),
      cmocka_unit_test(refuses_models),
      cmocka_unit_test_setup_teardown(structs_may_grow, scratch_setup, scratch_teardown),
      cmocka_unit_test(opens_images),
      cmocka_unit_test(decodes_the_bytes_of_a_file),
      cmocka_unit_test(preprocesses_by_planes),
      cmocka_unit_test(explains_without_a_request),
      cmocka_unit_test_setup_teardown(explanations_hold_what_they_need, scratch_setup, scratch_teardown),
      cmocka_unit_test(explains_all_classes),
      cmocka_unit_test(refuses_requests),
      cmocka_unit_test(progress_can_cancel),
      cmocka_unit_test_setup_teardown(saves_whole_folders, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(saves_whole_or_not_at_all, scratch_setup, scratch_teardown),
      cmocka_unit_test(explains_the_callers_classifier),
      cmocka_unit_test(refuses_predictors),
      cmocka_unit_test(maps_are_aligned_with_the_picture),
      cmocka_unit_test(threads_share_models_and_images),
      cmocka_unit_test(compares_maps),
      cmocka_unit_test_setup_teardown(draws_phantoms, scratch_setup, scratch_teardown),
      cmocka_unit_test(fails_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
