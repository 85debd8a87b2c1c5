/* SPDX-License-Identifier: Apache-2.0 */
/* The procedural radiograph: one seed is one picture everywhere; findings stay where their masks say; what the seed
 * draws has the stated frequencies, and nothing about exposure or pose gives a finding away.
 * PENUMBRA_PHANTOM_SEEDS sets the number of seeds that frequencies are counted over; bounds follow it. */
#include "base/files.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/threads.h"
#include "fault.h"
#include "phantom/exact.h"
#include "phantom/phantom.h"
#include "scratch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct phantom draw(struct phantom_request request)
{
  struct phantom p;
  struct error err = {0};
  if (!phantom_generate(&request, &p, &err))
    fail_msg("%s", err.message);
  return p;
}

static size_t area_of(const struct phantom *p)
{
  return (size_t)p->request.size * (size_t)p->request.size;
}

static void digest(const struct phantom *p, char hex[65])
{
  assert_true(file_sha256(p->image.data, area_of(p) * sizeof(uint16_t), hex));
}

static double lesion_value(const struct phantom *p, int finding, const char *name)
{
  int count = 0;
  const struct phantom_truth *t = phantom_lesion_truth(p, finding, &count);
  for (int i = 0; i < count; i++)
    if (strcmp(t[i].name, name) == 0)
      return t[i].value;
  fail_msg("no %s", name);
  return 0;
}

static double picture_value(const struct phantom *p, const char *name)
{
  for (int i = 0; i < p->truth_count; i++)
    if (strcmp(p->truth[i].name, name) == 0)
      return p->truth[i].value;
  fail_msg("no %s", name);
  return 0;
}

/* 1 within `reach` pixels of the mask, else 0; free(). */
static unsigned char *dilate(const unsigned char *mask, int n, int reach)
{
  unsigned char *out = calloc((size_t)n * (size_t)n, 1);
  assert_non_null(out);
  for (int y = 0; y < n; y++)
    for (int x = 0; x < n; x++) {
      if (!mask[y * n + x])
        continue;
      bool inner = x > 0 && y > 0 && x < n - 1 && y < n - 1 && mask[y * n + x - 1] && mask[y * n + x + 1] &&
                   mask[(y - 1) * n + x] && mask[(y + 1) * n + x];
      if (inner) {
        out[y * n + x] = 1;
        continue;
      }
      for (int dy = -reach; dy <= reach; dy++)
        for (int dx = -reach; dx <= reach; dx++)
          if (dx * dx + dy * dy <= reach * reach && x + dx >= 0 && y + dy >= 0 && x + dx < n && y + dy < n)
            out[(y + dy) * n + x + dx] = 1;
    }
  return out;
}

static struct phantom_request with_all(uint64_t seed, int size)
{
  struct phantom_request request = {.seed = seed, .size = size};
  for (int f = 0; f < PHANTOM_FINDINGS; f++)
    request.finding[f] = true;
  return request;
}

/* The functions that replace the C library's agree with it, far beyond what a 16-bit code can show. */
static void elementary_functions_are_right(void **state)
{
  (void)state;
  for (int i = 0; i < 20000; i++) {
    double x = -40 + i * 0.004;
    assert_true(fabs(exact_exp(x) / exp(x) - 1) < 1e-9);
    assert_true(fabs(exact_sin(x) - sin(x)) < 1e-11);
    assert_true(fabs(exact_cos(x) - cos(x)) < 1e-11);
    double y = exp(x);
    assert_true(fabs(exact_log(y) - log(y)) < 1e-10);
  }
  assert_true(exact_exp(0) == 1 && exact_log(1) == 0 && exact_sin(0) == 0 && exact_cos(0) == 1);
  assert_true(exact_pow(0, 0.8) == 0 && fabs(exact_pow(2, 0.5) - sqrt(2)) < 1e-10);
  assert_true(exact_exp(1e9) > 1e300 && exact_exp(-1e9) >= 0);
}

/* Recorded once; any change of them is a change of what every seed means. */
static void one_seed_is_one_picture(void **state)
{
  (void)state;
  static const struct {
    uint64_t seed;
    int size;
    const char *sha256;
  } known[] = {
      {0, 512, "b0f9d2cb5f8425fc3c9889d3c12a28aac56730e8c66c189ba517d1cef3e470fc"},
      {7, 224, "9d4b719d5c9c3e5375b403d07986d13e5cad7b1577c63ed650784f862a1dc65a"},
      {UINT64_MAX, 301, "fd2a65dca226f673a1360c05411b67eba77c9ac5954d1b540239f31af726dfdb"},
  };
  for (int threads = 1; threads <= 3; threads++) {
    threads_use(threads);
    for (int i = 0; i < 3; i++) {
      char hex[65];
      struct phantom p = draw(with_all(known[i].seed, known[i].size));
      digest(&p, hex);
      assert_string_equal(hex, known[i].sha256);
      phantom_free(&p);
    }
  }
  threads_use(1);
}

static void another_seed_is_another_patient(void **state)
{
  (void)state;
  for (uint64_t seed = 0; seed < 20; seed++) {
    struct phantom a = draw((struct phantom_request){.seed = seed, .size = 64});
    struct phantom b = draw((struct phantom_request){.seed = seed + 1, .size = 64});
    const uint16_t *u = a.image.data, *v = b.image.data;
    double apart = 0;
    for (size_t i = 0; i < area_of(&a); i++)
      apart += fabs((double)u[i] - (double)v[i]);
    assert_true(apart / (double)area_of(&a) > 0.02 * 65535);
    assert_true(picture_value(&a, "chest_width") != picture_value(&b, "chest_width"));
    phantom_free(&a);
    phantom_free(&b);
  }
}

/* Every finding's numbers and mask are its own: the others do not move it, nor does the marker. */
static void findings_do_not_move_each_other(void **state)
{
  (void)state;
  for (uint64_t seed = 0; seed < 10; seed++) {
    struct phantom all = draw(with_all(seed, 96));
    for (int f = 0; f < PHANTOM_FINDINGS; f++) {
      struct phantom_request request = {.seed = seed, .size = 96, .marker = PHANTOM_MARKER_SWAPPED};
      request.finding[f] = true;
      struct phantom one = draw(request);
      int count = 0, same = 0;
      const struct phantom_truth *a = phantom_lesion_truth(&one, f, &count);
      const struct phantom_truth *b = phantom_lesion_truth(&all, f, &same);
      assert_int_equal(count, same);
      for (int i = 0; i < count; i++)
        assert_true(a[i].value == b[i].value);
      assert_memory_equal(phantom_mask(&one, f), phantom_mask(&all, f), area_of(&all));
      assert_true(one.marker != all.marker);
      phantom_free(&one);
    }
    phantom_free(&all);
  }
}

/* What is drawn is the same patient at any size. */
static void sizes_show_the_same(void **state)
{
  (void)state;
  for (uint64_t seed = 0; seed < 3; seed++) {
    struct phantom large = draw(with_all(seed, 256)), small = draw(with_all(seed, 128));
    const uint16_t *a = large.image.data, *b = small.image.data;
    double apart = 0;
    for (int y = 0; y < 128; y++)
      for (int x = 0; x < 128; x++) {
        const uint16_t *p = a + 2 * y * 256 + 2 * x;
        double mean = (p[0] + p[1] + p[256] + p[257]) / 4.0;
        apart += fabs(mean - b[y * 128 + x]);
      }
    assert_true(apart / (128 * 128) < 0.01 * 65535);
    for (int f = 0; f < PHANTOM_FINDINGS; f++) {
      double area = lesion_value(&large, f, f == PHANTOM_cardiomegaly ? "excess_area" : "area");
      double again = lesion_value(&small, f, f == PHANTOM_cardiomegaly ? "excess_area" : "area");
      assert_true(fabs(area - again) < 0.15 * area + 40);
    }
    phantom_free(&large);
    phantom_free(&small);
  }
}

static void twin_differs_only_at_the_finding(void **state)
{
  (void)state;
  for (int f = 0; f < PHANTOM_FINDINGS; f++)
    for (uint64_t seed = 0; seed < 24; seed++) {
      struct phantom_request request = {.seed = seed + 1000 * (uint64_t)f, .size = 192};
      request.finding[f] = true;
      if (seed & 1) /* beside a second one */
        request.finding[(f + 1 + (int)seed / 2 % 4) % PHANTOM_FINDINGS] = true;
      struct phantom p = draw(request);
      struct error err = {0};
      struct image twin;
      assert_true(phantom_twin(&p, f, &twin, &err));
      unsigned char *near = dilate(phantom_mask(&p, f), p.request.size, (int)(10 / p.spacing));
      double inside = 0, all = 0;
      const uint16_t *a = p.image.data, *b = twin.data;
      for (size_t i = 0; i < area_of(&p); i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        all += d;
        inside += near[i] ? d : 0;
      }
      assert_true(all > 0);
      assert_true(inside >= 0.99 * all);
      free(near);
      image_free(&twin);
      phantom_free(&p);
    }
}

/* Without any finding the twin is the picture of the healthy patient. */
static void twin_without_all_is_healthy(void **state)
{
  (void)state;
  struct phantom ill = draw(with_all(3, 96)), well = draw((struct phantom_request){.seed = 3, .size = 96});
  struct error err = {0};
  struct image twin;
  assert_true(phantom_twin(&ill, -1, &twin, &err));
  assert_memory_equal(twin.data, well.image.data, area_of(&well) * 2);
  image_free(&twin);
  assert_true(phantom_twin(&well, -1, &twin, &err));
  assert_memory_equal(twin.data, well.image.data, area_of(&well) * 2);
  image_free(&twin);
  phantom_free(&ill);
  phantom_free(&well);
}

static void masks_lie_where_they_can(void **state)
{
  (void)state;
  for (uint64_t seed = 0; seed < 100; seed++) {
    struct phantom p = draw(with_all(seed, 128));
    unsigned char *lungs = phantom_lungs(&p), *thorax = phantom_thorax(&p);
    assert_non_null(lungs);
    assert_non_null(thorax);
    for (int f = 0; f < PHANTOM_FINDINGS; f++) {
      bool of_lung = f == PHANTOM_nodule || f == PHANTOM_consolidation || f == PHANTOM_pneumothorax;
      const unsigned char *mask = phantom_mask(&p, f);
      size_t area = 0;
      for (size_t i = 0; i < area_of(&p); i++) {
        if (!mask[i])
          continue;
        area++;
        assert_true(thorax[i]);
        assert_true(lungs[i] || !of_lung);
      }
      assert_true(area > 0);
    }
    mem_free(lungs);
    mem_free(thorax);
    phantom_free(&p);
  }
}

/* Is the heart as wide as its ratio says? Measured on the mask, along the patient's own axis. */
static void heart_has_its_ratio(void **state)
{
  (void)state;
  for (uint64_t seed = 0; seed < 100; seed++) {
    struct phantom_request request = {.seed = seed, .size = 200};
    request.finding[PHANTOM_cardiomegaly] = true;
    struct phantom p = draw(request);
    const unsigned char *mask = phantom_mask(&p, PHANTOM_cardiomegaly);
    double sine = picture_value(&p, "rotation_sine"), cosine = sqrt(1 - sine * sine), least = 1e9, most = -1e9;
    for (int y = 0; y < 200; y++)
      for (int x = 0; x < 200; x++)
        if (mask[y * 200 + x]) {
          double u = (x * cosine + y * sine) * p.spacing / picture_value(&p, "scale");
          least = u < least ? u : least;
          most = u > most ? u : most;
        }
    double ratio = (most - least) / picture_value(&p, "chest_width");
    assert_true(fabs(ratio - lesion_value(&p, PHANTOM_cardiomegaly, "ratio")) < 0.04);
    phantom_free(&p);
  }
}

static double correlation(const double *a, const double *b, int n)
{
  double ma = 0, mb = 0, aa = 0, bb = 0, ab = 0;
  for (int i = 0; i < n; i++) {
    ma += a[i] / n;
    mb += b[i] / n;
  }
  for (int i = 0; i < n; i++) {
    aa += (a[i] - ma) * (a[i] - ma);
    bb += (b[i] - mb) * (b[i] - mb);
    ab += (a[i] - ma) * (b[i] - mb);
  }
  return ab / sqrt(aa * bb);
}

static void frequencies_and_independence(void **state)
{
  (void)state;
  const char *text = getenv("PENUMBRA_PHANTOM_SEEDS");
  int n = text ? atoi(text) : 400;
  assert_true(n >= 100);
  static const char *const nuisance[] = {"gain",          "gamma", "scatter", "blur",
                                         "rotation_sine", "scale", "shift_x", "shift_y"};
  enum { NUISANCES = 9 }; /* and the marker */
  double *label[PHANTOM_FINDINGS], *other[NUISANCES];
  for (int i = 0; i < PHANTOM_FINDINGS; i++)
    assert_non_null(label[i] = calloc((size_t)n, sizeof(double)));
  for (int i = 0; i < NUISANCES; i++)
    assert_non_null(other[i] = calloc((size_t)n, sizeof(double)));
  int healthy = 0, count[PHANTOM_FINDINGS] = {0};
  for (int i = 0; i < n; i++) {
    struct phantom p =
        draw((struct phantom_request){.seed = 5000000 + (uint64_t)i, .size = 64, .random_findings = true});
    bool any = false;
    for (int f = 0; f < PHANTOM_FINDINGS; f++) {
      label[f][i] = p.request.finding[f];
      count[f] += p.request.finding[f];
      any = any || p.request.finding[f];
    }
    healthy += !any;
    for (int k = 0; k < NUISANCES - 1; k++)
      other[k][i] = picture_value(&p, nuisance[k]);
    other[NUISANCES - 1][i] = p.marker == 'L';
    assert_in_range(lround(1000 * picture_value(&p, "heart_ratio")), 400, 490);
    if (p.request.finding[PHANTOM_cardiomegaly])
      assert_in_range(lround(1000 * lesion_value(&p, PHANTOM_cardiomegaly, "ratio")), 560, 700);
    if (p.request.finding[PHANTOM_nodule])
      assert_in_range(lround(lesion_value(&p, PHANTOM_nodule, "diameter")), 10, 30);
    if (p.request.finding[PHANTOM_consolidation])
      assert_in_range(lround(lesion_value(&p, PHANTOM_consolidation, "size")), 30, 90);
    if (p.request.finding[PHANTOM_pneumothorax])
      assert_in_range(lround(lesion_value(&p, PHANTOM_pneumothorax, "width")), 8, 40);
    if (p.request.finding[PHANTOM_effusion]) {
      double right = lesion_value(&p, PHANTOM_effusion, "depth_right");
      double left = lesion_value(&p, PHANTOM_effusion, "depth_left");
      assert_true((right >= 20 && right <= 90) || right == 0);
      assert_true((left >= 20 && left <= 90) || left == 0);
      assert_true(right > 0 || left > 0);
    }
    phantom_free(&p);
  }
  /* Four standard errors of a share; at 5000 seeds the correlation's bound is 0.05. */
  for (int f = 0; f < PHANTOM_FINDINGS; f++)
    assert_true(fabs((double)count[f] / n - 0.2) < 4 * sqrt(0.2 * 0.8 / n));
  assert_true(fabs((double)healthy / n - 0.32768) < 4 * sqrt(0.33 * 0.67 / n));
  double bound = 0.05 * sqrt(5000.0 / n), worst = 0;
  for (int f = 0; f < PHANTOM_FINDINGS; f++)
    for (int k = 0; k < NUISANCES; k++) {
      double r = fabs(correlation(label[f], other[k], n));
      worst = r > worst ? r : worst;
      assert_true(r < bound);
    }
  printf("# %d seeds: largest correlation of a finding with pose, exposure or marker %.3f\n", n, worst);
  for (int i = 0; i < PHANTOM_FINDINGS; i++)
    free(label[i]);
  for (int i = 0; i < NUISANCES; i++)
    free(other[i]);
}

/* The shortcut set: the marker tells the finding in 95 % of the seeds. */
static void marker_can_be_tied(void **state)
{
  (void)state;
  int agree = 0;
  for (int i = 0; i < 200; i++) {
    struct phantom p = draw((struct phantom_request){
        .seed = (uint64_t)i, .size = 64, .random_findings = true, .shortcut = PHANTOM_effusion + 1});
    agree += (p.marker == 'L') == p.request.finding[PHANTOM_effusion];
    phantom_free(&p);
  }
  assert_in_range(agree, 185, 200); /* 0.95, and half of the rest */
}

static void markers_can_be_chosen(void **state)
{
  (void)state;
  struct phantom p = draw((struct phantom_request){.seed = 1, .size = 64, .marker = PHANTOM_MARKER_LEFT});
  assert_int_equal(p.marker, 'L');
  phantom_free(&p);
  p = draw((struct phantom_request){.seed = 1, .size = 64, .marker = PHANTOM_MARKER_RIGHT});
  assert_int_equal(p.marker, 'R');
  phantom_free(&p);
  p = draw((struct phantom_request){.seed = 1, .size = 64, .marker = PHANTOM_MARKER_NONE});
  assert_int_equal(p.marker, 0);
  phantom_free(&p);
}

static void depths_agree(void **state)
{
  (void)state;
  struct phantom deep = draw((struct phantom_request){.seed = 2, .size = 100});
  struct phantom twelve = draw((struct phantom_request){.seed = 2, .size = 100, .bits = 12});
  struct phantom eight = draw((struct phantom_request){.seed = 2, .size = 100, .bits = 8});
  assert_int_equal(eight.image.type, PIXEL_U8);
  assert_int_equal(twelve.image.type, PIXEL_U16);
  assert_true(deep.image.hi == 65535 && twelve.image.hi == 4095 && eight.image.hi == 255);
  for (size_t i = 0; i < area_of(&deep); i++) {
    double v = ((const uint16_t *)deep.image.data)[i] / 65535.0;
    assert_true(fabs(((const uint16_t *)twelve.image.data)[i] / 4095.0 - v) < 0.54 / 4095);
    assert_true(fabs(((const unsigned char *)eight.image.data)[i] / 255.0 - v) < 0.51 / 255);
  }
  phantom_free(&deep);
  phantom_free(&twelve);
  phantom_free(&eight);
}

static void wrong_requests_are_named(void **state)
{
  (void)state;
  static const struct {
    struct phantom_request request;
    const char *says;
  } cases[] = {
      {{.size = 63}, "size: 63 is outside 64..2048 px"}, {{.size = 2049}, "size: 2049 is outside 64..2048 px"},
      {{.size = -1}, "size: -1 is outside 64..2048 px"}, {{.bits = 10}, "bits: 10 is none of 8, 12, 16"},
      {{.shortcut = 9}, "shortcut: 9 is outside 0..5"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct phantom p;
    struct error err = {0};
    assert_false(phantom_generate(&cases[i].request, &p, &err));
    assert_int_equal(err.code, ERROR_USAGE);
    assert_string_equal(err.message, cases[i].says);
  }
  assert_int_equal(phantom_finding_find("nodule"), PHANTOM_nodule);
  assert_int_equal(phantom_finding_find("fracture"), -1);
}

static void files_hold_what_is_known(void **state)
{
  (void)state;
  struct phantom_request request = {.seed = UINT64_MAX, .size = 128};
  request.finding[PHANTOM_effusion] = request.finding[PHANTOM_cardiomegaly] = true;
  struct phantom p = draw(request);
  struct error err = {0};
  struct output out;
  assert_true(output_begin(&out, scratch_path("phantom"), false, &err));
  assert_true(phantom_save(&p, &out, &err));
  assert_true(output_commit(&out, &err));
  output_end(&out);
  char **names;
  size_t count;
  assert_true(file_list(scratch_path("phantom"), &names, &count, &err));
  static const char *const expected[] = {
      "excess_cardiomegaly.png", "healthy.png", "lungs.png",  "mask_cardiomegaly.png",
      "mask_effusion.png",       "phantom.png", "truth.json", "twin_cardiomegaly.png",
      "twin_effusion.png"};
  assert_int_equal(count, sizeof expected / sizeof *expected);
  for (size_t i = 0; i < count; i++)
    assert_string_equal(names[i], expected[i]);
  file_list_free(names, count);

  struct image image;
  assert_true(image_read(scratch_path("phantom/phantom.png"), &image, &err));
  assert_true(image.type == PIXEL_U16 && image.width == 128 && image.height == 128 && image.channels == 1);
  assert_memory_equal(image.data, p.image.data, area_of(&p) * 2);
  image_free(&image);
  assert_true(image_read(scratch_path("phantom/mask_effusion.png"), &image, &err));
  assert_memory_equal(image.data, phantom_mask(&p, PHANTOM_effusion), area_of(&p));
  image_free(&image);

  json_t *truth = json_load_path(scratch_path("phantom/truth.json"), 1 << 20, &err);
  assert_non_null(truth);
  assert_string_equal(json_string_value(json_object_get(truth, "seed")), "18446744073709551615");
  assert_non_null(strstr(json_string_value(json_object_get(truth, "what")), "not for clinical use"));
  json_t *findings = json_object_get(truth, "findings");
  assert_int_equal(json_object_size(findings), 2);
  json_t *effusion = json_object_get(findings, "effusion");
  assert_string_equal(json_string_value(json_object_get(effusion, "mask")), "mask_effusion.png");
  double area = json_number_value(json_object_get(json_object_get(effusion, "place"), "area_px"));
  size_t pixels = 0;
  for (size_t i = 0; i < area_of(&p); i++)
    pixels += phantom_mask(&p, PHANTOM_effusion)[i] == 255;
  assert_true(area == (double)pixels);
  assert_int_equal(json_array_size(json_object_get(truth, "absent")), 3);
  assert_true(json_real_value(json_array_get(json_object_get(truth, "spacing_mm"), 0)) == 400.0 / 128);
  json_decref(truth);
  phantom_free(&p);
}

static bool draw_and_describe(struct phantom *p, struct error *err)
{
  struct phantom_request request = with_all(1, 64);
  if (!phantom_generate(&request, p, err))
    return false;
  struct image twin;
  bool ok = phantom_twin(p, PHANTOM_nodule, &twin, err);
  if (ok)
    image_free(&twin);
  json_t *json = ok ? phantom_json(p) : NULL;
  if (ok && !json)
    ok = error_memory(err, "truth");
  json_decref(json);
  if (!ok)
    phantom_free(p);
  return ok;
}

static void memory_may_run_out_anywhere(void **state)
{
  (void)state;
  struct phantom p;
  FAULT_LOOP(draw_and_describe(&p, &err), phantom_free(&p));
}

int main(void)
{
  fault_include_jansson();
  threads_use(1); /* small pictures, and the machine is shared with the other tests */
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(elementary_functions_are_right),
      cmocka_unit_test(one_seed_is_one_picture),
      cmocka_unit_test(another_seed_is_another_patient),
      cmocka_unit_test(findings_do_not_move_each_other),
      cmocka_unit_test(sizes_show_the_same),
      cmocka_unit_test(twin_differs_only_at_the_finding),
      cmocka_unit_test(twin_without_all_is_healthy),
      cmocka_unit_test(masks_lie_where_they_can),
      cmocka_unit_test(heart_has_its_ratio),
      cmocka_unit_test(frequencies_and_independence),
      cmocka_unit_test(marker_can_be_tied),
      cmocka_unit_test(markers_can_be_chosen),
      cmocka_unit_test(depths_agree),
      cmocka_unit_test(wrong_requests_are_named),
      cmocka_unit_test_setup_teardown(files_hold_what_is_known, scratch_setup, scratch_teardown),
      cmocka_unit_test(memory_may_run_out_anywhere),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
