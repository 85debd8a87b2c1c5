/* SPDX-License-Identifier: Apache-2.0 */
#include "render/render.h"
#include "unit.h"

#include <math.h>
#include <string.h>

static const char *const names[] = {"coolwarm", "rdbu", "viridis", "inferno", "magma", "cividis", "turbo", "gray"};
enum { NAMES = sizeof names / sizeof *names };

/* CIE lightness of an sRGB colour. */
static double lightness(const unsigned char rgb[3])
{
  static const double weight[3] = {0.2126729, 0.7151522, 0.0721750};
  double y = 0;
  for (int k = 0; k < 3; k++) {
    double c = rgb[k] / 255.0;
    y += weight[k] * (c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4));
  }
  return y > 216.0 / 24389 ? 116 * cbrt(y) - 16 : y * 24389 / 27;
}

static void finds_by_name(void **state)
{
  (void)state;
  for (int i = 0; i < NAMES; i++) {
    const struct colormap *map = colormap_find(names[i]);
    assert_non_null(map);
    assert_string_equal(map->name, names[i]);
    assert_int_equal(map->diverging, i < 2);
  }
  assert_null(colormap_find("jet"));
  assert_null(colormap_find(""));
  assert_null(colormap_find("Viridis"));
}

/* The ends as their authors published them. */
static void has_published_ends(void **state)
{
  (void)state;
  static const struct {
    const char *name;
    unsigned char first[3], last[3];
  } known[] = {
      {"viridis", {68, 1, 84}, {253, 231, 37}}, {"inferno", {0, 0, 4}, {252, 255, 164}},
      {"magma", {0, 0, 4}, {252, 253, 191}},    {"coolwarm", {59, 76, 192}, {180, 4, 38}},
      {"rdbu", {5, 48, 97}, {103, 0, 31}},      {"gray", {0, 0, 0}, {255, 255, 255}},
      {"turbo", {48, 18, 59}, {122, 4, 3}},     {"cividis", {0, 34, 78}, {254, 232, 56}},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    const struct colormap *map = colormap_find(known[i].name);
    for (int k = 0; k < 3; k++) {
      assert_in_range(map->rgb[0][k] + 1, known[i].first[k], known[i].first[k] + 2);
      assert_in_range(map->rgb[255][k] + 1, known[i].last[k], known[i].last[k] + 2);
    }
  }
}

static void sequential_maps_only_brighten(void **state)
{
  (void)state;
  for (int i = 2; i < NAMES; i++) {
    const struct colormap *map = colormap_find(names[i]);
    if (strcmp(map->name, "turbo") == 0)
      continue; /* a rainbow */
    for (int j = 1; j < 256; j++)
      assert_true(lightness(map->rgb[j]) > lightness(map->rgb[j - 1]) - 0.35); /* 8-bit rounding */
    assert_true(lightness(map->rgb[255]) - lightness(map->rgb[0]) > 60);
  }
}

static void diverging_maps_are_neutral_at_zero(void **state)
{
  (void)state;
  for (int i = 0; i < 2; i++) {
    const struct colormap *map = colormap_find(names[i]);
    assert_memory_equal(map->rgb[127], map->rgb[128], 3);
    assert_int_equal(map->rgb[127][0], map->rgb[127][1]);
    assert_int_equal(map->rgb[127][1], map->rgb[127][2]);
    for (int j = 0; j < 127; j++) {
      assert_true(lightness(map->rgb[j]) < lightness(map->rgb[j + 1]) + 0.35);
      assert_true(lightness(map->rgb[255 - j]) < lightness(map->rgb[254 - j]) + 0.35);
    }
    for (int j = 0; j < 120; j++) { /* blue against, red for */
      assert_true(map->rgb[j][2] > map->rgb[j][0]);
      assert_true(map->rgb[255 - j][0] > map->rgb[255 - j][2]);
    }
  }
}

static void looks_up_values(void **state)
{
  (void)state;
  const struct colormap *signed_map = colormap_find("coolwarm"), *plain = colormap_find("viridis");
  assert_ptr_equal(colormap_color(signed_map, 0, 1, true), signed_map->rgb[128]);
  assert_ptr_equal(colormap_color(signed_map, -1e-12, 1, true), signed_map->rgb[127]);
  assert_ptr_equal(colormap_color(signed_map, 2, 2, true), signed_map->rgb[255]);
  assert_ptr_equal(colormap_color(signed_map, -2, 2, true), signed_map->rgb[0]);
  assert_ptr_equal(colormap_color(signed_map, 99, 2, true), signed_map->rgb[255]);
  assert_ptr_equal(colormap_color(signed_map, -INFINITY, 2, true), signed_map->rgb[0]);
  assert_memory_equal(colormap_color(signed_map, 5, 0, true), signed_map->rgb[128], 3);
  assert_ptr_equal(colormap_color(plain, 0, 1, false), plain->rgb[0]);
  assert_ptr_equal(colormap_color(plain, -1, 1, false), plain->rgb[0]);
  assert_ptr_equal(colormap_color(plain, 1, 1, false), plain->rgb[255]);
  assert_ptr_equal(colormap_color(plain, 0.2, 1, false), plain->rgb[51]);
  assert_ptr_equal(colormap_color(plain, -1, 1, true), plain->rgb[0]);
  assert_ptr_equal(colormap_color(plain, 1, 1, true), plain->rgb[255]);
  for (int i = 0; i < NAMES; i++) {
    const struct colormap *map = colormap_find(names[i]);
    assert_ptr_equal(colormap_color(map, NAN, 1, true), colormap_color(map, 0, 1, true));
    assert_ptr_equal(colormap_color(map, NAN, 1, false), map->rgb[map->diverging ? 128 : 0]);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(finds_by_name),
      cmocka_unit_test(has_published_ends),
      cmocka_unit_test(sequential_maps_only_brighten),
      cmocka_unit_test(diverging_maps_are_neutral_at_zero),
      cmocka_unit_test(looks_up_values),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
