/* SPDX-License-Identifier: Apache-2.0 */
/* Every layer of the graph as the file has it, and the logits of the graph as it is run, against ONNX Runtime without
 * any optimisation: real models of the shared data, and the topologies of tools/make_models.py where PENUMBRA_MODELS
 * names their folder. */
#include "../support/scene.h"
#include "base/files.h"
#include "engine.h"
#include "model/preprocess.h"

#include <stdlib.h>

enum { SCENES = 5, SAMPLES = 16, COLUMNS = 3 + SAMPLES };

static const char *const real_models[] = {
    "cxr_pneumonia_cnn150", "mnist_cnn_opset11", "mobilenet_v1_0.5_160", "mobilenet_v2_224", "resnet20_cifar10_bn",
    "squeezenet_v1.0",      "vit_mnist"};
static const char *const topologies[] = {"resnet18",           "resnet50",      "vgg16",        "densenet121",
                                         "mobilenet_v2",       "squeezenet1_1", "inception_v3", "efficientnet_b0",
                                         "mobilenet_v3_small", "convnext_tiny", "swin_tiny",    "vit_tiny"};
enum { N_REAL = sizeof real_models / sizeof *real_models, N_TOPOLOGIES = sizeof topologies / sizeof *topologies };

/* Scenes 201 … prepared as tests/golden/oracle.py does: [SCENES, H, W, C]. */
static float *prepare_scenes(const struct model *model)
{
  const struct predictor *p = &model->predictor;
  const struct card *card = &model->card;
  const int64_t floats = image_floats(p), c = p->channels;
  unsigned char *codes = malloc((size_t)floats);
  float *x = malloc((size_t)(SCENES * floats) * sizeof *x);
  assert_true(codes && x);
  for (int s = 0; s < SCENES; s++) {
    scene_draw(201 + (uint32_t)s, p->height, p->width, p->channels, codes);
    for (int64_t i = 0; i < floats; i++) {
      const int64_t k = i % c, from = card->channels == CHANNELS_BGR ? i - k + c - 1 - k : i;
      const double mean = card->mean_count > 1 ? card->mean[k] : card->mean_count ? card->mean[0] : 0;
      const double sd = card->std_count > 1 ? card->std[k] : card->std_count ? card->std[0] : 1;
      x[s * floats + i] = (float)((codes[from] * card->scale - mean) / sd);
    }
  }
  free(codes);
  return x;
}

/* The element of a value at a row-major place of its logical shape. */
static double element(const struct tensor *t, const float *data, int64_t place)
{
  int64_t stride[TENSOR_MAX_RANK], at = 0;
  tensor_strides(t, stride);
  for (int d = t->shape.rank - 1; d >= 0; d--) {
    at += place % t->shape.dim[d] * stride[d];
    place /= t->shape.dim[d];
  }
  return (double)data[at];
}

/* Worst deviation of mean, standard deviation, greatest magnitude and samples, as a share of the greatest magnitude. */
static double layer_error(const struct tensor *t, const float *data, const float *golden)
{
  const int64_t n = tensor_count(t);
  const double largest = fmax((double)golden[2], 1e-30);
  double sum = 0, square = 0, worst = fabs(largest_of(data, n) - (double)golden[2]);
  for (int64_t i = 0; i < n; i++)
    sum += (double)data[i];
  for (int64_t i = 0; i < n; i++)
    square += ((double)data[i] - sum / (double)n) * ((double)data[i] - sum / (double)n);
  worst = fmax(worst, fabs(sum / (double)n - (double)golden[0]));
  worst = fmax(worst, fabs(sqrt(square / (double)n) - (double)golden[1]));
  for (uint32_t j = 0; j < SAMPLES; j++)
    worst = fmax(worst, fabs(element(t, data, scene_position(j, n)) - (double)golden[3 + j]));
  return worst / largest;
}

static int64_t count_of_text(const char *dims)
{
  int64_t n = 1;
  for (char *end; *dims; dims = *end ? end + 1 : end)
    n *= strtoll(dims, &end, 10);
  return n;
}

/* STEM.layers of tests/golden/FOLDER against a verbatim run on one image. Returns the number of faults. */
static int check_layers(const char *folder, const char *stem, const struct model *model, const float *image)
{
  char name[160], line[512];
  (void)snprintf(name, sizeof name, "%s.layers.npy", stem);
  struct npy golden = npy_open(golden_path(folder, name));
  (void)snprintf(name, sizeof name, "%s.layers.txt", stem);
  FILE *names = fopen(golden_path(folder, name), "r");
  assert_non_null(names);
  assert_int_equal(golden.dim[1], COLUMNS);
  struct engine e = engine_new(model->graph, 1, true);
  engine_run(&e, image, image_floats(&model->predictor));
  int row = 0, compared = 0, faults = 0, unread = 0;
  double worst = 0;
  while (fgets(line, sizeof line, names)) {
    char *tab = strchr(line, '\t');
    assert_non_null(tab);
    *tab = '\0';
    tab[1 + strcspn(tab + 1, "\n")] = '\0';
    const struct value *value = NULL;
    for (int i = 0; i < model->graph->n_values && !value; i++)
      if (strcmp(model->graph->values[i]->name, line) == 0)
        value = model->graph->values[i];
    const float *data = value && value->t.dtype == DTYPE_F32 ? run_value(e.run, value) : NULL;
    if (!data) { /* the last activation, which the session applies */
      unread++;
    } else {
      assert_int_equal(tensor_count(&value->t), count_of_text(tab + 1));
      const double error = layer_error(&value->t, data, (const float *)golden.data + (size_t)row * COLUMNS);
      worst = fmax(worst, error);
      if (!(error <= 1e-4)) {
        print_message("# %s, layer %s: %.2e\n", stem, line, error);
        faults++;
      }
      compared++;
    }
    row++;
  }
  (void)fclose(names);
  assert_int_equal(row, golden.dim[0]);
  if (unread > 1) {
    print_message("# %s: %d layers are not in the graph\n", stem, unread);
    faults++;
  }
  print_message("# %-28s %d layers, worst %.1e\n", stem, compared, worst);
  assert_true(compared > 0);
  engine_free(&e);
  npy_free(&golden);
  return faults;
}

/* Logits through a session, as methods ask for them, all at once and one by one. */
static int check_logits(const char *folder, const char *stem, const struct model *model, const float *images, int n)
{
  char name[160];
  struct error err = {0};
  const int64_t k = model->predictor.classes, floats = image_floats(&model->predictor);
  (void)snprintf(name, sizeof name, "%s.logits.npy", stem);
  struct npy golden = npy_open(golden_path(folder, name));
  assert_int_equal(npy_count(&golden), n * k);
  float *logits = malloc((size_t)(n * k) * sizeof *logits);
  assert_non_null(logits);
  struct session *session =
      session_open(&model->predictor, &(struct session_options){.score = SCORE_LOGIT, .threads = 2}, &err);
  assert_ok(session != NULL, err);
  double worst = 0;
  for (int at_once = n; at_once >= 1; at_once = at_once > 1 ? 1 : 0) {
    for (int i = 0; i < n; i += at_once)
      assert_ok(session_predict(session, images + i * floats, at_once, logits + i * k, NULL, &err), err);
    worst = fmax(worst, relative_error(logits, golden.data, n * k));
  }
  print_message("# %-28s logits of %d images, %.1e\n", stem, n, worst);
  session_close(session);
  free(logits);
  npy_free(&golden);
  return !(worst <= 1e-4);
}

static int check_scenes(const char *folder, const char *name, const char *path)
{
  struct model *plain = engine_open(path, true);
  float *scenes = prepare_scenes(plain);
  int faults = check_layers(folder, name, plain, scenes);
  model_close(plain);
  struct model *model = engine_open(path, false);
  faults += check_logits(folder, name, model, scenes, SCENES);
  model_close(model);
  free(scenes);
  return faults;
}

static void layers_of_real_models(void **state)
{
  (void)state;
  int faults = 0;
  threads_use(2);
  for (int i = 0; i < N_REAL; i++) {
    char file[128];
    (void)snprintf(file, sizeof file, "models/%s.onnx", real_models[i]);
    faults += check_scenes("data_models", real_models[i], shared_path(file));
  }
  assert_int_equal(faults, 0);
}

/* The same on pictures, with our own reading and preparing before it. */
static void layers_of_real_models_on_pictures(void **state)
{
  (void)state;
  int faults = 0;
  (void)shared_path("models"); /* skips before anything is owned */
  json_t *index = golden_json("data_models", "index.json");
  threads_use(2);
  for (int i = 0; i < N_REAL; i++) {
    struct error err = {0};
    struct image picture;
    struct input input = {0};
    char file[128], stem[128];
    (void)snprintf(file, sizeof file, "models/%s.onnx", real_models[i]);
    struct model *plain = engine_open(shared_path(file), true);
    const json_t *entry = json_object_get(json_object_get(index, "models"), real_models[i]);
    (void)snprintf(file, sizeof file, "images/%s", json_string_value(json_object_get(entry, "picture")));
    assert_ok(image_read(shared_path(file), &picture, &err), err);
    assert_ok(preprocess(&plain->card, &picture, &input, &err), err);
    (void)snprintf(stem, sizeof stem, "%s.image", real_models[i]);
    faults += check_layers("data_models", stem, plain, input.x);
    faults += check_logits("data_models", stem, plain, input.x, 1);
    input_free(&input);
    image_free(&picture);
    model_close(plain);
  }
  json_decref(index);
  assert_int_equal(faults, 0);
}

static void layers_of_topologies(void **state)
{
  (void)state;
  int faults = 0;
  (void)models_path("resnet18.onnx"); /* skips before anything is owned */
  json_t *index = golden_json("topologies", "topologies.json");
  threads_use(2);
  for (int i = 0; i < N_TOPOLOGIES; i++) {
    char file[128];
    (void)snprintf(file, sizeof file, "%s.onnx", topologies[i]);
    const char *path = models_path(file);
    struct file_map map;
    struct error err = {0};
    char digest[65];
    assert_ok(file_map(path, 0, &map, &err), err);
    assert_true(file_sha256(map.data, map.size, digest));
    file_unmap(&map);
    const json_t *entry = json_object_get(json_object_get(index, "models"), topologies[i]);
    assert_string_equal(digest,
                        json_string_value(json_object_get(entry, "file_sha256"))); /* else: make golden data anew */
    faults += check_scenes("topologies", topologies[i], path);
  }
  json_decref(index);
  assert_int_equal(faults, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(layers_of_real_models),
      cmocka_unit_test(layers_of_real_models_on_pictures),
      cmocka_unit_test(layers_of_topologies),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
