/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/files.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* 15 significant digits: every number that was typed with as many comes back as it was typed. */
enum { WRITE_FLAGS = JSON_INDENT(2) | JSON_REAL_PRECISION(15), WRITE_LIMIT = 1 << 30 };

json_t *json_load_path(const char *path, size_t limit, struct error *err)
{
  struct file_map map;
  if (!file_map(path, limit, &map, err))
    return NULL;
  json_error_t cause;
  json_t *value = NULL;
  if (map.size == 0)
    error_set(err, ERROR_FAILED, "%s: the file is empty", path);
  else if (!(value = json_loadb((const char *)map.data, map.size, JSON_REJECT_DUPLICATES, &cause)))
    error_set(err, json_error_code(&cause) == json_error_out_of_memory ? ERROR_MEMORY : ERROR_FAILED,
              "%s: line %d, column %d: %s", path, cause.line, cause.column, cause.text);
  file_unmap(&map);
  return value;
}

json_t *json_number_or_null(double value)
{
  return isfinite(value) ? json_real(value) : json_null();
}

/* "where.key", or the key alone at the top. */
#define PATH_FORMAT           "%s%s%.80s"
#define PATH_ARGS(where, key) (where), *(where) ? "." : "", (key)

static const char *type_name(const json_t *value)
{
  switch (json_typeof(value)) {
  case JSON_OBJECT:
    return "an object";
  case JSON_ARRAY:
    return "a list";
  case JSON_STRING:
    return "a text";
  case JSON_INTEGER:
  case JSON_REAL:
    return "a number";
  case JSON_TRUE:
  case JSON_FALSE:
    return "true or false";
  default:
    return "null";
  }
}

static bool wrong_type(const json_t *value, const char *where, const char *key, const char *wanted, struct error *err)
{
  return error_set(err, ERROR_FAILED, PATH_FORMAT ": is %s, not %s", PATH_ARGS(where, key), type_name(value), wanted);
}

/* The member, NULL where it is absent or null. */
static const json_t *member(const json_t *object, const char *key)
{
  const json_t *value = json_object_get(object, key);
  return json_is_null(value) ? NULL : value;
}

bool json_only_keys(const json_t *object, const char *where, const char *const *known, struct error *err)
{
  const char *key;
  json_t *value;
  json_object_foreach ((json_t *)object, key, value) {
    const char *const *k = known;
    while (*k && strcmp(*k, key) != 0)
      k++;
    if (*k)
      continue;
    const char *nearest = str_nearest(key, known);
    return error_set(err, ERROR_FAILED, PATH_FORMAT ": is no known key%s%s%s", PATH_ARGS(where, key),
                     nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
  }
  return true;
}

bool json_get_text(const json_t *object, const char *where, const char *key, const char **out, struct error *err)
{
  const json_t *value = member(object, key);
  if (value && !json_is_string(value))
    return wrong_type(value, where, key, "a text", err);
  if (value)
    *out = json_string_value(value);
  return true;
}

bool json_get_number(const json_t *object, const char *where, const char *key, double *out, struct error *err)
{
  const json_t *value = member(object, key);
  if (value && !json_is_number(value))
    return wrong_type(value, where, key, "a number", err);
  if (value)
    *out = json_number_value(value);
  return true;
}

bool json_get_bool(const json_t *object, const char *where, const char *key, bool *out, struct error *err)
{
  const json_t *value = member(object, key);
  if (value && !json_is_boolean(value))
    return wrong_type(value, where, key, "true or false", err);
  if (value)
    *out = json_is_true(value);
  return true;
}

bool json_get_numbers(const json_t *object, const char *where, const char *key, double *out, size_t max, size_t *count,
                      struct error *err)
{
  const json_t *value = member(object, key);
  if (!value)
    return true;
  if (!json_is_array(value))
    return wrong_type(value, where, key, "a list of numbers", err);
  size_t n = json_array_size(value);
  if (n > max)
    return error_set(err, ERROR_FAILED, PATH_FORMAT ": has %zu numbers, more than %zu", PATH_ARGS(where, key), n, max);
  for (size_t i = 0; i < n; i++) {
    const json_t *item = json_array_get(value, i);
    if (!json_is_number(item))
      return error_set(err, ERROR_FAILED, PATH_FORMAT "[%zu]: is %s, not a number", PATH_ARGS(where, key), i,
                       type_name(item));
    out[i] = json_number_value(item);
  }
  *count = n;
  return true;
}

static int append(const char *bytes, size_t size, void *text)
{
  return str_append_bytes(text, bytes, size) ? 0 : -1;
}

bool json_write_path(const json_t *value, const char *path, struct error *err)
{
  struct str text;
  str_init(&text, WRITE_LIMIT);
  bool ok = json_dump_callback(value, append, &text, WRITE_FLAGS) == 0 && str_append(&text, "\n");
  ok = ok ? file_write(path, text.text, text.length, err) : error_memory(err, path);
  str_free(&text);
  return ok;
}

void json_brief(const json_t *value, size_t flags, char *buffer, size_t size)
{
  char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9) | flags);
  str_brief(text ? text : "", buffer, size);
  free(text); /* allowed: made by jansson, with the C library's allocator */
}
