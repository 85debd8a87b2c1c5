/* SPDX-License-Identifier: Apache-2.0 */
#include "base/params.h"
#include "fault.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct options {
  int64_t samples, steps;
  double sigma, threshold;
  bool signed_map;
  int shape;
  const char *fill, *layer;
  struct length patch, stride;
};

enum { SHAPE_GAUSS, SHAPE_LEFT, SHAPE_RIGHT };

static const struct param table[] = {
    {"samples", PARAM_INT, offsetof(struct options, samples), "1000", 1, 1e9, NULL, NULL, "4000", "masks drawn"},
    {"steps", PARAM_INT, offsetof(struct options, steps), "auto", 1, 10000, NULL, NULL, NULL, "steps"},
    {"sigma", PARAM_FLOAT, offsetof(struct options, sigma), "2.5", 0, INFINITY, NULL, "px", NULL, "blur"},
    {"threshold", PARAM_FLOAT, offsetof(struct options, threshold), "0.5", 0, 1, NULL, NULL, "auto", "cut"},
    {"signed", PARAM_BOOL, offsetof(struct options, signed_map), "off", 0, 0, NULL, NULL, "on", "keep the sign"},
    {"shape", PARAM_CHOICE, offsetof(struct options, shape), "left", 0, 0, "gauss|left|right", NULL, NULL, "rule"},
    {"fill", PARAM_TEXT, offsetof(struct options, fill), "mean", 0, 0, NULL, NULL, "constant:0", "replacement"},
    {"layer", PARAM_TEXT, offsetof(struct options, layer), NULL, 0, 0, NULL, NULL, NULL, "layer"},
    {"patch", PARAM_LENGTH, offsetof(struct options, patch), "auto", 1, 224, NULL, "px", "8", "side of the patch"},
    {"stride", PARAM_LENGTH, offsetof(struct options, stride), "4", 1, 224, NULL, "px", NULL, "step"},
    PARAM_END,
};

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct options parsed(const char *const *arguments)
{
  struct options o;
  memset(&o, 0xAA, sizeof o);
  struct error err = {0};
  if (!params_parse(table, "rise", arguments, &o, &err))
    fail_msg("%s", err.message);
  return o;
}

static void defaults(void **state)
{
  (void)state;
  struct options o = parsed(NULL);
  assert_int_equal(o.samples, 1000);
  assert_int_equal(o.steps, PARAM_AUTO_INT);
  assert_true(o.sigma == 2.5);
  assert_true(o.threshold == 0.5);
  assert_false(o.signed_map);
  assert_int_equal(o.shape, SHAPE_LEFT);
  assert_string_equal(o.fill, "mean");
  assert_null(o.layer);
  assert_true(o.patch.automatic);
  assert_true(o.stride.y == 4 && o.stride.x == 4 && !o.stride.automatic && !o.stride.millimetres);

  struct options again = parsed(ARGUMENTS("defaults=penumbra"));
  assert_int_equal(again.samples, 1000);
}

static void paper_defaults(void **state)
{
  (void)state;
  struct options o = parsed(ARGUMENTS("samples=7", "defaults=paper"));
  assert_int_equal(o.samples, 7); /* what is asked for goes before what the paper says */
  assert_true(isnan(o.threshold));
  assert_true(o.signed_map);
  assert_string_equal(o.fill, "constant:0");
  assert_true(o.patch.y == 8 && !o.patch.automatic);
  assert_true(o.sigma == 2.5); /* the paper has no other */
}

static void values(void **state)
{
  (void)state;
  static const char fill[] = "fill=image:/my file=1.png";
  struct options o = parsed(ARGUMENTS("samples=2000", "steps=auto", "sigma=1e2", "threshold=auto", "signed",
                                      "shape=right", fill, "layer=", "patch=16x8", "stride=12.5mm", "samples=3000"));
  assert_int_equal(o.samples, 3000); /* the last one counts */
  assert_int_equal(o.steps, PARAM_AUTO_INT);
  assert_true(o.sigma == 100);
  assert_true(isnan(o.threshold));
  assert_true(o.signed_map);
  assert_int_equal(o.shape, SHAPE_RIGHT);
  assert_ptr_equal(o.fill, fill + 5); /* borrowed */
  assert_string_equal(o.layer, "");
  assert_true(o.patch.y == 16 && o.patch.x == 8 && !o.patch.millimetres);
  assert_true(o.stride.y == 12.5 && o.stride.x == 12.5 && o.stride.millimetres);

  static const char *const on[] = {"signed", "signed=", "signed=on", "signed=true", "signed=1"};
  for (size_t i = 0; i < sizeof on / sizeof *on; i++)
    assert_true(parsed(ARGUMENTS(on[i])).signed_map);
  static const char *const off[] = {"signed=off", "signed=false", "signed=0"};
  for (size_t i = 0; i < sizeof off / sizeof *off; i++)
    assert_false(parsed(ARGUMENTS("defaults=paper", off[i])).signed_map);
  assert_int_equal(parsed(ARGUMENTS("shape=gauss")).shape, SHAPE_GAUSS);
  assert_int_equal(parsed(ARGUMENTS("samples=1")).samples, 1); /* bounds belong to the range */
  assert_int_equal(parsed(ARGUMENTS("samples=1000000000")).samples, 1000000000);
  struct options px = parsed(ARGUMENTS("patch=3.5px", "stride=2x3mm"));
  assert_true(px.patch.y == 3.5 && px.patch.x == 3.5 && !px.patch.millimetres);
  assert_true(px.stride.y == 2 && px.stride.x == 3 && px.stride.millimetres);
}

static void refuses(void **state)
{
  (void)state;
  static const struct {
    const char *argument, *message;
  } bad[] = {
      {"samples=0", "rise: samples: 0 is outside 1..1000000000"},
      {"samples=-1", "rise: samples: -1 is outside 1..1000000000"},
      {"samples=1.5", "rise: samples: '1.5' is not a whole number of 1..1000000000"},
      {"samples=", "rise: samples: '' is not a whole number of 1..1000000000"},
      {"samples=auto", "rise: samples: 'auto' is not a whole number of 1..1000000000"},
      {"samples=99999999999999999999", "rise: samples: '99999999999999999999' is not a whole number of 1..1000000000"},
      {"samples", "rise: samples: has no value; write samples=VALUE"},
      {"steps=x", "rise: steps: 'x' is not a whole number of 1..10000, nor auto"},
      {"sigma=-1", "rise: sigma: -1 is not at least 0 px"},
      {"sigma=nan", "rise: sigma: 'nan' is not a number of at least 0 px"},
      {"sigma=inf", "rise: sigma: 'inf' is not a number of at least 0 px"},
      {"threshold=1.01", "rise: threshold: 1.01 is outside 0..1"},
      {"signed=maybe", "rise: signed: 'maybe' is neither on nor off"},
      {"shape=gaus", "rise: shape: 'gaus' is not one of gauss|left|right"},
      {"shape=", "rise: shape: '' is not one of gauss|left|right"},
      {"shape=gauss|left", "rise: shape: 'gauss|left' is not one of gauss|left|right"},
      {"patch=0", "rise: patch: 0 is outside 1..224 px"},
      {"patch=16x0", "rise: patch: 16x0 is outside 1..224 px"},
      {"patch=300x16", "rise: patch: 300x16 is outside 1..224 px"},
      {"patch=0mm", "rise: patch: 0mm is not greater than 0 mm"},
      {"patch=-2mm", "rise: patch: -2mm is not greater than 0 mm"},
      {"patch=x", "rise: patch: 'x' is not a length (16, 16x8, 5mm) of 1..224 px, nor auto"},
      {"patch=1x2x3", "rise: patch: '1x2x3' is not a length (16, 16x8, 5mm) of 1..224 px, nor auto"},
      {"patch=mm", "rise: patch: 'mm' is not a length (16, 16x8, 5mm) of 1..224 px, nor auto"},
      {"patch=5cm", "rise: patch: '5cm' is not a length (16, 16x8, 5mm) of 1..224 px, nor auto"},
      {"stride=auto", "rise: stride: 'auto' is not a length (16, 16x8, 5mm) of 1..224 px"},
      {"ptach=3", "rise: there is no parameter 'ptach'; did you mean 'patch'?"},
      {"wavelength=3", "rise: there is no parameter 'wavelength'; it has samples, steps, sigma, threshold, signed, "
                       "shape, fill, layer, patch, stride"},
      {"=3", "rise: there is no parameter ''; it has samples, steps, sigma, threshold, signed, shape, fill, layer, "
             "patch, stride"},
      {"defaults=papers", "rise: 'defaults=papers' is neither defaults=paper nor defaults=penumbra"},
      {"defaults", "rise: 'defaults' is neither defaults=paper nor defaults=penumbra"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct options o;
    struct error err = {0};
    assert_false(params_parse(table, "rise", ARGUMENTS(bad[i].argument), &o, &err));
    assert_int_equal(err.code, ERROR_USAGE);
    assert_string_equal(err.message, bad[i].message);
  }
}

static void refuses_long_arguments(void **state)
{
  (void)state;
  char text[4000];
  static const char *const starts[] = {"", "samples=", "patch=", "shape=", "signed=", "defaults=", "sigma="};
  for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
    memset(text, '1', sizeof text);
    memcpy(text, starts[i], strlen(starts[i]));
    text[sizeof text - 1] = '\0';
    struct options o;
    struct error err = {0};
    assert_false(params_parse(table, "rise", ARGUMENTS(text), &o, &err));
    assert_int_equal(err.code, ERROR_USAGE);
  }
}

/* A mistake in a table is found by the first run, whatever it asks for. */
static void bad_defaults_are_found(void **state)
{
  (void)state;
  const struct param wrong[] = {{"n", PARAM_INT, 0, "5", 1, 4, NULL, NULL, NULL, ""}, PARAM_END};
  int64_t n;
  struct error err = {0};
  assert_false(params_parse(wrong, "test", NULL, &n, &err));
  assert_string_equal(err.message, "test: n: 5 is outside 1..4");
  const struct param empty[] = {PARAM_END};
  struct error none = {0}, some = {0};
  assert_true(params_parse(empty, "test", NULL, &n, &none));
  assert_false(params_parse(empty, "test", ARGUMENTS("a=1"), &n, &some));
  assert_string_equal(some.message, "test: there is no parameter 'a'");
}

static void expect_json(json_t *json, const char *expected)
{
  assert_non_null(json);
  char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15));
  json_decref(json);
  assert_non_null(text);
  assert_string_equal(text, expected);
  mem_free(text); /* jansson allocates by mem_alloc here */
}

static void options_as_json(void **state)
{
  (void)state;
  struct options o = parsed(NULL);
  expect_json(
      params_json(table, &o),
      "{\"samples\":1000,\"steps\":\"auto\",\"sigma\":2.5,\"threshold\":0.5,\"signed\":false,\"shape\":\"left\","
      "\"fill\":\"mean\",\"layer\":null,\"patch\":\"auto\",\"stride\":4.0}");
  o = parsed(ARGUMENTS("patch=16x8", "stride=2.5mm", "shape=right", "threshold=auto", "fill=\xff\n", "signed"));
  expect_json(params_json(table, &o), "{\"samples\":1000,\"steps\":\"auto\",\"sigma\":2.5,\"threshold\":\"auto\","
                                      "\"signed\":true,\"shape\":\"right\",\"fill\":\"??\",\"layer\":null,"
                                      "\"patch\":\"16x8\",\"stride\":\"2.5mm\"}");
}

static void table_as_json(void **state)
{
  (void)state;
  json_t *list = params_describe(table);
  assert_int_equal(json_array_size(list), 10);
  expect_json(
      json_incref(json_array_get(list, 0)),
      "{\"name\":\"samples\",\"type\":\"int\",\"default\":1000,\"min\":1.0,\"max\":1000000000.0,\"choices\":null,"
      "\"unit\":null,\"paper\":4000,\"summary\":\"masks drawn\"}");
  expect_json(json_incref(json_array_get(list, 2)),
              "{\"name\":\"sigma\",\"type\":\"float\",\"default\":2.5,\"min\":0.0,\"max\":null,\"choices\":null,"
              "\"unit\":\"px\",\"paper\":null,\"summary\":\"blur\"}");
  expect_json(json_incref(json_array_get(list, 4)),
              "{\"name\":\"signed\",\"type\":\"bool\",\"default\":false,\"min\":null,\"max\":null,\"choices\":null,"
              "\"unit\":null,\"paper\":true,\"summary\":\"keep the sign\"}");
  expect_json(json_incref(json_array_get(list, 5)),
              "{\"name\":\"shape\",\"type\":\"choice\",\"default\":\"left\",\"min\":null,\"max\":null,"
              "\"choices\":[\"gauss\",\"left\",\"right\"],\"unit\":null,\"paper\":null,\"summary\":\"rule\"}");
  expect_json(json_incref(json_array_get(list, 7)),
              "{\"name\":\"layer\",\"type\":\"text\",\"default\":null,\"min\":null,\"max\":null,\"choices\":null,"
              "\"unit\":null,\"paper\":null,\"summary\":\"layer\"}");
  expect_json(json_incref(json_array_get(list, 8)),
              "{\"name\":\"patch\",\"type\":\"length\",\"default\":\"auto\",\"min\":1.0,\"max\":224.0,\"choices\":null,"
              "\"unit\":\"px\",\"paper\":8.0,\"summary\":\"side of the patch\"}");
  json_decref(list);
}

/* What params_json writes, params_parse reads back to the same. */
static void json_round_trip(void **state)
{
  (void)state;
  struct options o =
      parsed(ARGUMENTS("patch=16x8", "stride=2.5x3mm", "sigma=0.1", "shape=gauss", "steps=7", "layer=a"));
  json_t *json = params_json(table, &o);
  char texts[16][64];
  const char *arguments[17] = {NULL};
  size_t n = 0;
  const char *key;
  json_t *value;
  json_object_foreach (json, key, value) {
    if (json_is_null(value))
      continue;
    if (json_is_string(value))
      (void)snprintf(texts[n], sizeof texts[n], "%s=%s", key, json_string_value(value));
    else if (json_is_boolean(value))
      (void)snprintf(texts[n], sizeof texts[n], "%s=%s", key, json_is_true(value) ? "true" : "false");
    else
      (void)snprintf(texts[n], sizeof texts[n], "%s=%.15g", key, json_number_value(value));
    arguments[n] = texts[n];
    n++;
  }
  assert_int_equal(n, 10);
  struct options back = parsed(arguments);
  json_t *again = params_json(table, &back);
  assert_true(json_equal(json, again));
  json_decref(json);
  json_decref(again);
}

static bool both_json(struct error *err)
{
  struct options o = parsed(NULL);
  json_t *options = params_json(table, &o);
  json_t *described = options ? params_describe(table) : NULL;
  bool ok = options && described;
  json_decref(options);
  json_decref(described);
  return ok || error_memory(err, "parameters");
}

static void survives_want_of_memory(void **state)
{
  (void)state;
  FAULT_LOOP(both_json(&err), (void)0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(defaults),
      cmocka_unit_test(paper_defaults),
      cmocka_unit_test(values),
      cmocka_unit_test(refuses),
      cmocka_unit_test(refuses_long_arguments),
      cmocka_unit_test(bad_defaults_are_found),
      cmocka_unit_test(options_as_json),
      cmocka_unit_test(table_as_json),
      cmocka_unit_test(json_round_trip),
      cmocka_unit_test(survives_want_of_memory),
  };
  fault_include_jansson();
  return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
