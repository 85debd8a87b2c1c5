/* SPDX-License-Identifier: Apache-2.0 */
/* The inputs of golden data are recomputed, not stored: both languages must draw the same scene. */
#include "../support/scene.h"
#include "base/npy.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

static void open_golden(const char *name, struct npy *array)
{
  char path[4096];
  struct error err = {0};
  snprintf(path, sizeof path, "%s/tests/golden/scene/%s", getenv("PENUMBRA_SOURCE"), name);
  if (!npy_read(path, (size_t)1 << 20, array, &err))
    fail_msg("%s", err.message);
  assert_int_equal(array->type, NPY_I32);
}

static void compare_scene(const char *name, uint32_t seed)
{
  struct npy golden;
  open_golden(name, &golden);
  assert_int_equal(golden.rank, 3);
  size_t count = (size_t)npy_count(&golden);
  uint8_t *codes = malloc(count);
  assert_non_null(codes);
  scene_draw(seed, (int)golden.dim[0], (int)golden.dim[1], (int)golden.dim[2], codes);
  for (size_t i = 0; i < count; i++)
    assert_int_equal(codes[i], ((const int32_t *)golden.data)[i]);
  free(codes);
  npy_free(&golden);
}

static void draws_the_same_colours(void **state)
{
  (void)state;
  compare_scene("rgb.npy", 3);
}

static void draws_the_same_grey(void **state)
{
  (void)state;
  compare_scene("gray.npy", 4000000201u);
}

static void samples_the_same_positions(void **state)
{
  (void)state;
  struct npy golden;
  open_golden("positions.npy", &golden);
  for (int64_t j = 0; j < npy_count(&golden); j++)
    assert_int_equal(scene_position((uint32_t)j, 802816), ((const int32_t *)golden.data)[j]);
  npy_free(&golden);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(draws_the_same_colours),
      cmocka_unit_test(draws_the_same_grey),
      cmocka_unit_test(samples_the_same_positions),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
