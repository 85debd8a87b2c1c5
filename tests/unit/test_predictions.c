/* SPDX-License-Identifier: Apache-2.0 */
/* Real models on real pictures, against ONNX Runtime: the stored answers of the shared data. */
#include "engine.h"
#include "penumbra.h"

static const char *field(const json_t *pair, const char *name)
{
  return json_string_value(json_object_get(pair, name));
}

/* The five best classes of the file: the same five in our scores, each within 1e-3. */
static int wrong_scores(const json_t *pair, const float *scores, int classes)
{
  const json_t *top = json_object_get(pair, "top");
  int wrong = 0;
  size_t i;
  const json_t *entry;
  json_array_foreach(top, i, entry) {
    const int index = (int)json_integer_value(json_object_get(entry, "index"));
    const double expected = json_number_value(json_object_get(entry, "score"));
    int better = 0;
    assert_true(index < classes);
    for (int k = 0; k < classes; k++)
      better += (double)scores[k] > (double)scores[index] + 1e-3;
    if (fabs((double)scores[index] - expected) > 1e-3 || better > (int)i) {
      print_message("# %s on %s, class %d: %.6f, expected %.6f at place %zu\n", field(pair, "model"),
                    field(pair, "image"), index, (double)scores[index], expected, i);
      wrong++;
    }
  }
  return wrong;
}

static void predicts_the_stored_pairs(void **state)
{
  (void)state;
  json_error_t error;
  json_t *file = json_load_file(shared_path("expected/predictions.json"), 0, &error);
  assert_non_null(file);
  const json_t *pairs = json_object_get(file, "predictions"), *pair;
  penumbra_model *model = NULL;
  const char *open = "";
  int checked = 0, dicom = 0, wrong = 0;
  size_t i;
  json_array_foreach(pairs, i, pair) {
    const char *path = field(pair, "image"), *name = field(pair, "model");
    penumbra_error err = {0};
    if (strstr(path, ".dcm")) {
      dicom++;
      continue;
    }
    if (strcmp(open, name) != 0) {
      penumbra_model_close(model);
      model = penumbra_model_open(shared_path(name), NULL, &err);
      assert_ok(model != NULL, err);
      open = name;
    }
    penumbra_image *image = penumbra_image_open(shared_path(path), &err);
    assert_ok(image != NULL, err);
    const int classes = penumbra_model_classes(model);
    float *scores = calloc((size_t)classes, sizeof *scores);
    assert_non_null(scores);
    assert_ok(penumbra_predict(model, image, 0, scores, &err), err);
    wrong += wrong_scores(pair, scores, classes);
    free(scores);
    penumbra_image_close(image);
    checked++;
  }
  penumbra_model_close(model);
  json_decref(file);
  assert_int_equal(wrong, 0);
  assert_int_equal(checked, 51);
  assert_int_equal(dicom, 2);
}

/* Preprocessing and inference each on their own, where a tensor between them is stored. */
static void agrees_with_the_stored_tensors(void **state)
{
  (void)state;
  static const struct {
    const char *model, *image, *stem;
  } cases[] = {
    {"models/cxr_pneumonia_cnn150.onnx", "images/xray/pneumonia_person1405_bacteria_3571.jpeg",
     "cxr_pneumonia_cnn150__pneumonia_person1405_bacteria_3571"},
    {"models/resnet20_cifar10_bn.onnx", "images/photos/chelsea.png", "resnet20_cifar10_bn__chelsea"},
    {"models/vit_mnist.onnx", "images/digits/nine.png", "vit_mnist__nine"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char path[256];
    penumbra_error err = {0};
    penumbra_model *model = penumbra_model_open(shared_path(cases[i].model), NULL, &err);
    assert_ok(model != NULL, err);
    penumbra_image *image = penumbra_image_open(shared_path(cases[i].image), &err);
    assert_ok(image != NULL, err);
    (void)snprintf(path, sizeof path, "expected/tensors/%s.input.npy", cases[i].stem);
    const char *input_path = shared_path(path);
    struct npy input = npy_open(input_path);
    (void)snprintf(path, sizeof path, "expected/tensors/%s.output.npy", cases[i].stem);
    struct npy output = npy_open(shared_path(path));
    const int64_t n = npy_count(&input), classes = npy_count(&output);
    int dims[3];
    penumbra_model_input(model, dims);
    assert_int_equal(n, dims[0] * dims[1] * dims[2]);
    assert_int_equal(classes, penumbra_model_classes(model));
    float *x = malloc((size_t)n * sizeof *x), *scores = malloc((size_t)classes * sizeof *scores);
    assert_non_null(x);
    assert_non_null(scores);

    assert_ok(penumbra_preprocess(model, image, x, &err), err);
    const double prepared = relative_error(x, input.data, n);
    penumbra_image *tensor = penumbra_image_open(input_path, &err); /* the stored tensor as the image */
    assert_ok(tensor != NULL, err);
    assert_ok(penumbra_predict(model, tensor, 0, scores, &err), err);
    const double fed = relative_error(scores, output.data, classes);
    assert_ok(penumbra_predict(model, image, 0, scores, &err), err);
    const double whole = relative_error(scores, output.data, classes);
    if (prepared > 1e-4 || fed > 1e-4 || whole > 1e-4)
      print_message("# %s: input %.2e, output %.2e, both %.2e\n", cases[i].stem, prepared, fed, whole);
    assert_true(prepared <= 1e-4);
    assert_true(fed <= 1e-4);
    assert_true(whole <= 1e-4);

    free(x);
    free(scores);
    npy_free(&input);
    npy_free(&output);
    penumbra_image_close(tensor);
    penumbra_image_close(image);
    penumbra_model_close(model);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(predicts_the_stored_pairs),
    cmocka_unit_test(agrees_with_the_stored_tensors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
