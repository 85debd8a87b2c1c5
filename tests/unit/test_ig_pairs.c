/* SPDX-License-Identifier: Apache-2.0 */
/* Completeness where it counts: attributions of real models on real pictures add up to the difference of scores, for
 * every pair of the shared data that has stored answers. */
#include "engine.h"
#include "penumbra.h"

static const char *field(const json_t *pair, const char *name)
{
  return json_string_value(json_object_get(pair, name));
}

/* The gap of the defaults, relative to the difference of scores between the picture and the baseline. */
static double gap_of(const penumbra_model *model, const char *path)
{
  penumbra_error err = {0};
  penumbra_image *image = penumbra_image_open(path, &err);
  assert_ok(image != NULL, err);
  penumbra_explanation *e =
      penumbra_explain(model, image, &(penumbra_request){.size = sizeof(penumbra_request), .method = "ig"}, &err);
  assert_ok(e != NULL, err);
  char *text = penumbra_explanation_json(e, &err);
  assert_ok(text != NULL, err);
  json_t *result = json_loads(text, 0, NULL);
  const json_t *quality = json_object_get(result, "quality");
  const double gap = json_number_value(json_object_get(quality, "completeness_gap"));

  /* The reported gap is that of the map itself. */
  penumbra_array map;
  assert_true(penumbra_explanation_array(e, "map", &map, &err));
  double sum = 0;
  for (int64_t i = 0; i < map.dims[0] * map.dims[1]; i++)
    sum += (double)((const float *)map.data)[i];
  const double difference = json_number_value(json_object_get(json_object_get(result, "target"), "score")) -
                            json_number_value(json_object_get(quality, "score_full_fill"));
  assert_non_null(json_object_get(quality, "score_full_fill"));
  assert_true(fabs(sum - difference) <= gap * fmax(fabs(difference), 0.01) + 1e-4);
  json_decref(result);
  penumbra_text_free(text);
  penumbra_explanation_free(e);
  penumbra_image_close(image);
  return gap;
}

static void gaps_are_below_a_hundredth(void **state)
{
  (void)state;
  json_t *file = json_load_file(shared_path("expected/predictions.json"), 0, NULL);
  assert_non_null(file);
  penumbra_model *model = NULL;
  const char *open = "";
  int checked = 0, wrong = 0;
  double worst = 0;
  size_t i;
  const json_t *pair;
  json_array_foreach (json_object_get(file, "predictions"), i, pair) {
    const char *path = field(pair, "image"), *name = field(pair, "model");
    penumbra_error err = {0};
    if (strstr(path, ".dcm"))
      continue;
    if (strcmp(open, name) != 0) {
      penumbra_model_close(model);
      model = penumbra_model_open(shared_path(name), NULL, &err);
      assert_ok(model != NULL, err);
      open = name;
    }
    const double gap = gap_of(model, shared_path(path));
    worst = fmax(worst, gap);
    if (!(gap <= 0.01)) {
      print_message("# %s on %s: %.4f\n", name, path, gap);
      wrong++;
    }
    checked++;
  }
  penumbra_model_close(model);
  json_decref(file);
  print_message("# %d pairs, the largest gap is %.5f\n", checked, worst);
  assert_int_equal(wrong, 0);
  assert_int_equal(checked, 51);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(gaps_are_below_a_hundredth),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
