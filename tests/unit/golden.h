/* SPDX-License-Identifier: Apache-2.0 */
/* Where reference data are: golden data in the source tree, and the shared data, which may be absent. */
#ifndef PENUMBRA_TESTS_GOLDEN_H
#define PENUMBRA_TESTS_GOLDEN_H

#include "unit.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* One of a few buffers that take turns. */
static inline char *golden_buffer(void)
{
  static char buffers[8][1024];
  static int next;
  return buffers[next++ % 8];
}

static inline const char *golden_source(void)
{
  const char *source = getenv("PENUMBRA_SOURCE");
  return source ? source : ".";
}

/* tests/golden/FOLDER/NAME */
static inline const char *golden_path(const char *folder, const char *name)
{
  char *path = golden_buffer();
  (void)snprintf(path, 1024, "%s/tests/golden/%s/%s", golden_source(), folder, name);
  return path;
}

/* A JSON file beside the golden data, to be freed by json_decref. */
static inline json_t *golden_json(const char *folder, const char *name)
{
  json_error_t error;
  json_t *json = json_load_file(golden_path(folder, name), 0, &error);
  if (!json)
    print_message("# %s: %s\n", golden_path(folder, name), error.text);
  assert_non_null(json);
  return json;
}

/* PENUMBRA_DATA/NAME; skips the running test where that does not exist. */
static inline const char *shared_path(const char *name)
{
  char *path = golden_buffer();
  struct stat st;
  const char *data = getenv("PENUMBRA_DATA");
  if (data)
    (void)snprintf(path, 1024, "%s/%s", data, name);
  else
    (void)snprintf(path, 1024, "%s/../shared/data/%s", golden_source(), name);
  if (stat(path, &st) != 0)
    skip();
  return path;
}

#endif
