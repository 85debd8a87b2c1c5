/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/explanation.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool explanation_init(struct explanation *e, struct error *err)
{
  *e = (struct explanation){.stopped_by = "complete"};
  e->quality = json_object();
  e->details = json_object();
  e->warnings = json_array();
  e->documents = json_object();
  if (e->quality && e->details && e->warnings && e->documents)
    return true;
  explanation_free(e);
  return error_memory(err, "an explanation");
}

void explanation_free(struct explanation *e)
{
  for (int i = 0; i < e->n_arrays; i++)
    npy_free(&e->arrays[i].array);
  mem_free(e->scores);
  json_decref(e->quality);
  json_decref(e->details);
  json_decref(e->warnings);
  json_decref(e->documents);
  *e = (struct explanation){0};
}

static void *add(struct explanation *e, const char *name, enum npy_type type, int rank, const int64_t *dims,
                 struct error *err)
{
  struct npy array = {.type = type, .rank = rank};
  memcpy(array.dim, dims, (size_t)rank * sizeof *dims);
  const int64_t count = npy_count(&array);
  if (e->n_arrays == EXPLANATION_MAX_ARRAYS || count < 0) {
    error_set(err, ERROR_FAILED, "%s: %s", name, count < 0 ? "too large" : "too many arrays in one explanation");
    return NULL;
  }
  array.data = mem_zero((size_t)count, sizeof(float));
  if (!array.data) {
    error_memory(err, name);
    return NULL;
  }
  e->arrays[e->n_arrays++] = (struct named_array){name, array};
  return array.data;
}

float *explanation_floats(struct explanation *e, const char *name, int rank, const int64_t *dims, struct error *err)
{
  return add(e, name, NPY_F32, rank, dims, err);
}

int32_t *explanation_ints(struct explanation *e, const char *name, int rank, const int64_t *dims, struct error *err)
{
  return add(e, name, NPY_I32, rank, dims, err);
}

const struct npy *explanation_find(const struct explanation *e, const char *name)
{
  for (int i = 0; i < e->n_arrays; i++)
    if (strcmp(e->arrays[i].name, name) == 0)
      return &e->arrays[i].array;
  return NULL;
}

void explanation_warn(struct explanation *e, const char *id, const char *format, ...)
{
  char message[240];
  va_list args;
  size_t i;
  json_t *warning;
  json_array_foreach(e->warnings, i, warning)
    if (strcmp(json_string_value(json_object_get(warning, "id")), id) == 0)
      return;
  va_start(args, format);
  (void)vsnprintf(message, sizeof message, format, args);
  va_end(args);
  json_array_append_new(e->warnings, json_pack("{s:s, s:s}", "id", id, "message", message));
}
