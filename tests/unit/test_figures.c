/* SPDX-License-Identifier: Apache-2.0 */
/* What the sampling methods write: through the public header, into a folder. */
#include "image/image.h"
#include "penumbra.h"
#include "scratch.h"
#include "unit.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

enum { SIDE = 32 };

/* Bright pixels of the left half speak for class 0, those of the right half against it. */
static bool halves(void *context, const float *images, int n, float *scores, penumbra_error *err)
{
  (void)context;
  (void)err;
  for (int i = 0; i < n; i++) {
    double sum = 0;
    for (int k = 0; k < SIDE * SIDE; k++)
      sum += (double)images[i * SIDE * SIDE + k] * (k % SIDE < SIDE / 2 ? 1 : -1) / (SIDE * SIDE * 128);
    scores[2 * i] = (float)(1 / (1 + exp(-sum)));
    scores[2 * i + 1] = 1 - scores[2 * i];
  }
  return true;
}

struct stage {
  penumbra_model *model;
  penumbra_image *image;
};

static void open_stage(struct stage *s)
{
  static unsigned char pixels[SIDE * SIDE];
  const penumbra_predictor predictor = {
      .size = sizeof predictor, .height = SIDE, .width = SIDE, .channels = 1, .classes = 2, .predict = halves};
  penumbra_error err = {0};
  memset(pixels, 200, sizeof pixels);
  s->model = penumbra_model_from_predictor(&predictor, NULL, &err);
  s->image = penumbra_image_new(SIDE, SIDE, 1, 8, pixels, &err);
  if (!s->model || !s->image)
    fail_msg("%s", err.message);
}

static void close_stage(struct stage *s)
{
  penumbra_image_close(s->image);
  penumbra_model_close(s->model);
}

static penumbra_explanation *explain(const struct stage *s, const char *method, const char *const *params)
{
  penumbra_error err = {0};
  const penumbra_request request = {.size = sizeof request, .method = method, .params = params, .target = "0"};
  penumbra_explanation *e = penumbra_explain(s->model, s->image, &request, &err);
  if (!e)
    fail_msg("%s: %s", method, err.message);
  return e;
}

static char *save(const penumbra_explanation *e, const char *name)
{
  static char folder[300];
  penumbra_error err = {0};
  (void)snprintf(folder, sizeof folder, "%s/%s", scratch, name);
  if (!penumbra_explanation_save(e, folder, PENUMBRA_OVERWRITE, &err))
    fail_msg("%s", err.message);
  return folder;
}

static void assert_files(const char *folder, const char *const *names)
{
  for (; *names; names++) {
    char path[400];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%s", folder, *names);
    if (stat(path, &st) != 0 || st.st_size == 0)
      fail_msg("%s is not there", path);
  }
}

/* Pixels of a picture that are more red than blue, or the other way round, by some margin. */
static void count_hues(const char *folder, const char *name, int *red, int *blue)
{
  struct error err = {0};
  struct image image;
  char path[400];
  (void)snprintf(path, sizeof path, "%s/%s", folder, name);
  if (!image_read(path, &image, &err))
    fail_msg("%s", err.message);
  assert_int_equal(image.channels, 3);
  const unsigned char *p = image.data;
  *red = *blue = 0;
  for (int i = 0; i < image.width * image.height; i++, p += 3) {
    *red += p[0] > p[2] + 20 && p[1] < p[2] + 20; /* red, and not the yellow of outlines */
    *blue += p[2] > p[0] + 20;
  }
  image_free(&image);
}

static void lime_writes_its_files(void **state)
{
  (void)state;
  static const char *const names[] = {"map.npy",   "stderr.npy",  "segments.npy",    "segments_source.npy",
                                      "lime.json", "overlay.png", "superpixels.png", "result.json",
                                      NULL};
  struct stage s;
  int red, blue;
  open_stage(&s);
  penumbra_explanation *e =
      explain(&s, "lime", (const char *const[]){"segments=grid:4x4", "fill=0", "samples=200", "top=16", NULL});
  const char *folder = save(e, "lime");
  assert_files(folder, names);
  count_hues(folder, "superpixels.png", &red, &blue);
  assert_true(red > 10000 && blue > 10000); /* half the picture each, enlarged */
  char path[400];
  json_error_t error;
  (void)snprintf(path, sizeof path, "%s/lime.json", folder);
  json_t *lime = json_load_file(path, 0, &error);
  assert_non_null(lime);
  const json_t *class = json_array_get(json_object_get(lime, "classes"), 0);
  assert_int_equal(json_array_size(json_object_get(class, "coefficients")), 16);
  assert_int_equal(json_array_size(json_object_get(class, "stderr")), 16);
  assert_true(json_is_number(json_object_get(class, "intercept")) && json_is_number(json_object_get(class, "r2")));
  assert_int_equal(json_integer_value(json_object_get(lime, "samples")), 200);
  json_decref(lime);
  penumbra_explanation_free(e);

  e = explain(&s, "lime",
              (const char *const[]){"segments=grid:4x4", "fill=0", "samples=200", "top=16", "positive-only",
                                    "hide-rest", NULL});
  count_hues(save(e, "positive"), "superpixels.png", &red, &blue);
  assert_true(red > 10000 && blue == 0);
  penumbra_explanation_free(e);
  close_stage(&s);
}

static void kernelshap_and_rise_write_theirs(void **state)
{
  (void)state;
  static const char *const shap[] = {"kernelshap.json", "segments.npy", "superpixels.png", "overlay.png", NULL};
  static const char *const rise[] = {"map.npy", "stderr.npy", "overlay.png", "result.json", NULL};
  struct stage s;
  open_stage(&s);
  penumbra_explanation *e = explain(&s, "kernelshap", (const char *const[]){"segments=grid:2x4", "fill=0", NULL});
  assert_files(save(e, "kernelshap"), shap);
  penumbra_explanation_free(e);
  e = explain(&s, "rise", (const char *const[]){"samples=200", "fill=0", NULL});
  assert_files(save(e, "rise"), rise);
  penumbra_explanation_free(e);
  close_stage(&s);
}

static void fills_are_drawn_side_by_side(void **state)
{
  (void)state;
  static const char *const names[] = {"disagreement.npy", "fill_maps.npy", "fills.png", NULL};
  struct stage s;
  open_stage(&s);
  static const char *const methods[] = {"occlusion", "lime", "rise"};
  for (int i = 0; i < 3; i++) {
    penumbra_explanation *e =
        explain(&s, methods[i], (const char *const[]){"fill=0,40,white", i == 1 ? "segments=grid:4x4" : NULL, NULL});
    assert_files(save(e, methods[i]), names);
    penumbra_explanation_free(e);
  }
  close_stage(&s);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(lime_writes_its_files, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(kernelshap_and_rise_write_theirs, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(fills_are_drawn_side_by_side, scratch_setup, scratch_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
