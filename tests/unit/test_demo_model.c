/* SPDX-License-Identifier: Apache-2.0 */
/* The model that penumbra brings along, on radiographs it has never seen: does it find what was drawn, do its maps
 * point there, and how often does a patch alone look like disease? */
#include "engine.h"
#include "penumbra.h"
#include "phantom/phantom.h"

enum { CLASSES = 5 };

struct demo {
  penumbra_model *model;
  json_t *card;
};

static int open_demo(void **state)
{
  static struct demo demo;
  char path[1024];
  penumbra_error err = {0};
  json_error_t error;
  (void)snprintf(path, sizeof path, "%s/share/penumbra/phantom.onnx", golden_source());
  demo.model = penumbra_model_open(path, NULL, &err);
  assert_ok(demo.model != NULL, err);
  assert_int_equal(penumbra_model_classes(demo.model), CLASSES);
  (void)snprintf(path, sizeof path, "%s/share/penumbra/phantom.json", golden_source());
  demo.card = json_load_file(path, 0, &error);
  assert_non_null(demo.card);
  *state = &demo;
  return 0;
}

static int close_demo(void **state)
{
  struct demo *demo = *state;
  penumbra_model_close(demo->model);
  json_decref(demo->card);
  return 0;
}

static penumbra_image *draw(struct phantom_request request, struct phantom *phantom)
{
  struct error err = {0};
  penumbra_error failure = {0};
  assert_ok(phantom_generate(&request, phantom, &err), err);
  const struct image *drawn = &phantom->image;
  penumbra_image *image = penumbra_image_new(drawn->width, drawn->height, 1, 16, drawn->data, &failure);
  assert_ok(image != NULL, failure);
  return image;
}

static void predict(const struct demo *demo, const penumbra_image *image, float *scores)
{
  penumbra_error err = {0};
  assert_ok(penumbra_predict(demo->model, image, 0, scores, &err), err);
}

/* Where the map is strongest, as result.json says. */
static void strongest(const struct demo *demo, const penumbra_image *image, const char *finding, int *x, int *y)
{
  penumbra_error err = {0};
  penumbra_explanation *explanation = penumbra_explain(
      demo->model, image, &(penumbra_request){.size = sizeof(penumbra_request), .target = finding}, &err);
  assert_ok(explanation != NULL, err);
  char *text = penumbra_explanation_json(explanation, &err);
  assert_ok(text != NULL, err);
  json_error_t error;
  json_t *result = json_loads(text, 0, &error);
  const json_t *at = json_object_get(json_object_get(result, "map"), "strongest");
  assert_int_equal(json_array_size(at), 2);
  *x = (int)json_integer_value(json_array_get(at, 0));
  *y = (int)json_integer_value(json_array_get(at, 1));
  json_decref(result);
  penumbra_text_free(text);
  penumbra_explanation_free(explanation);
}

/* Default occlusion of 100 radiographs with one finding each: in 75 the strongest point lies in the finding. */
static void points_at_the_finding(void **state)
{
  static const char *const findings[] = {"nodule", "consolidation", "effusion"};
  const struct demo *demo = *state;
  int hits[3] = {0}, all[3] = {0};
  for (int i = 0; i < 100; i++) {
    const int k = i % 3, finding = phantom_finding_find(findings[k]);
    struct phantom_request request = {.seed = 1010000 + 10000 * (uint64_t)k + (uint64_t)(i / 3)};
    struct phantom phantom;
    int x, y;
    request.finding[finding] = true;
    penumbra_image *image = draw(request, &phantom);
    strongest(demo, image, findings[k], &x, &y);
    all[k]++;
    hits[k] += phantom_mask(&phantom, finding)[y * phantom.image.width + x] != 0;
    penumbra_image_close(image);
    phantom_free(&phantom);
  }
  for (int k = 0; k < 3; k++)
    print_message("# %s: %d of %d\n", findings[k], hits[k], all[k]);
  assert_true(hits[0] + hits[1] + hits[2] >= 75);
}

/* Share of pairs, one with and one without the finding, that the score puts in order. */
static double auc(float (*scores)[CLASSES], bool (*present)[CLASSES], int n, int k)
{
  double ordered = 0, pairs = 0;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++)
      if (present[i][k] && !present[j][k]) {
        pairs++;
        ordered += scores[i][k] > scores[j][k] ? 1 : scores[i][k] < scores[j][k] ? 0 : 0.5;
      }
  assert_true(pairs > 0);
  return ordered / pairs;
}

static void ranks_unseen_radiographs(void **state)
{
  enum { N = 100 };
  const struct demo *demo = *state;
  static float scores[N][CLASSES];
  static bool present[N][CLASSES];
  int normal = 0, called = 0;
  for (int i = 0; i < N; i++) {
    struct phantom phantom;
    penumbra_image *image =
        draw((struct phantom_request){.seed = 2100000 + (uint64_t)i, .random_findings = true}, &phantom);
    predict(demo, image, scores[i]);
    bool healthy = true, silent = true;
    for (int k = 0; k < CLASSES; k++) {
      present[i][k] = phantom_mask(&phantom, phantom_finding_find(penumbra_model_label(demo->model, k))) != NULL;
      healthy &= !present[i][k];
      silent &= scores[i][k] < 0.5f;
    }
    normal += healthy;
    called += healthy && silent;
    penumbra_image_close(image);
    phantom_free(&phantom);
  }
  print_message("# %d of %d normal ones called normal\n", called, normal);
  assert_true(called >= 0.9 * normal);
  for (int k = 0; k < CLASSES; k++) {
    const double a = auc(scores, present, N, k);
    print_message("# %s: AUC %.3f\n", penumbra_model_label(demo->model, k), a);
    assert_true(a >= 0.95);
  }
}

/* What the card says of black patches on normal pictures holds on others, within a factor of two. */
static void black_patches_look_like_disease(void **state)
{
  const struct demo *demo = *state;
  static const char *const black[] = {"fill=black", NULL};
  int64_t flipped = 0, positions = 0;
  for (int i = 0; i < 12; i++) {
    struct phantom phantom;
    float scores[CLASSES];
    penumbra_error err = {0};
    penumbra_array grid;
    penumbra_image *image = draw((struct phantom_request){.seed = 2200000 + (uint64_t)i}, &phantom);
    predict(demo, image, scores);
    bool normal = true;
    for (int k = 0; k < CLASSES; k++)
      normal &= scores[k] < 0.5f;
    penumbra_explanation *e =
        normal ? penumbra_explain(demo->model, image,
                                  &(penumbra_request){.size = sizeof(penumbra_request), .params = black}, &err)
               : NULL;
    assert_ok(e || !normal, err);
    if (e) {
      assert_true(penumbra_explanation_array(e, "occlusion_grid", &grid, &err));
      const float *p = grid.data;
      for (int64_t at = 0; at < grid.dims[0] * grid.dims[1]; at++, positions++) {
        bool finding = false;
        for (int k = 0; k < CLASSES; k++)
          finding |= p[at * CLASSES + k] >= 0.5f;
        flipped += finding;
      }
    }
    penumbra_explanation_free(e);
    penumbra_image_close(image);
    phantom_free(&phantom);
  }
  const double rate = (double)flipped / (double)positions;
  const json_t *recorded = json_object_get(
      json_object_get(json_object_get(json_object_get(demo->card, "evaluation"), "patch_called_a_finding"), "black"),
      "rate");
  print_message("# %.1f %% of black patches, %.1f %% recorded\n", 100 * rate, 100 * json_number_value(recorded));
  assert_true(json_number_value(recorded) >= 0.03);
  assert_true(rate > json_number_value(recorded) / 2 && rate < json_number_value(recorded) * 2);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ranks_unseen_radiographs),
      cmocka_unit_test(points_at_the_finding),
      cmocka_unit_test(black_patches_look_like_disease),
  };
  return cmocka_run_group_tests_name("demo-model", tests, open_demo, close_demo);
}
