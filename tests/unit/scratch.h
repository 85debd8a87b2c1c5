/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of its own for each test, made by scratch_setup and removed with all it holds by scratch_teardown:
 *
 *   cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
 */
#ifndef PENUMBRA_TESTS_SCRATCH_H
#define PENUMBRA_TESTS_SCRATCH_H

#include "unit.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch[256];

static inline int scratch_setup(void **state)
{
  (void)state;
  const char *base = getenv("TMPDIR");
  (void)snprintf(scratch, sizeof scratch, "%s/penumbra-test-XXXXXX", base ? base : "/tmp");
  return mkdtemp(scratch) ? 0 : -1;
}

static inline int scratch_remove(const char *path, const struct stat *st, int type, struct FTW *at)
{
  (void)st;
  (void)type;
  (void)at;
  return remove(path);
}

static inline int scratch_teardown(void **state)
{
  (void)state;
  return nftw(scratch, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* "scratch/name" in one of a few buffers that take turns. */
static inline const char *scratch_path(const char *name)
{
  static char buffers[8][512];
  static int next;
  char *path = buffers[next++ % 8];
  (void)snprintf(path, sizeof buffers[0], "%s/%s", scratch, name);
  return path;
}

/* Write a file without the library's help. */
static inline void scratch_file(const char *name, const void *bytes, size_t size)
{
  FILE *file = fopen(scratch_path(name), "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, size, file), size);
  assert_int_equal(fclose(file), 0);
}

#endif
