/* SPDX-License-Identifier: Apache-2.0 */
/* Small conveniences over jansson: strict loading under a size ceiling, typed look-ups whose errors name the key. */
#ifndef PENUMBRA_BASE_JSON_H
#define PENUMBRA_BASE_JSON_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Parse a whole file: UTF-8, no duplicate keys, at most `limit` bytes; the error names file, line and cause. */
json_t *json_load_path(const char *path, size_t limit, struct error *err);

/* A number, or null where it is not finite (JSON has no NaN). Never NULL unless memory is out. */
json_t *json_number_or_null(double value);

/* Fail if `object` has a key that is not in the NULL-terminated list `known`; `where` is its dotted path ("input"). */
bool json_only_keys(const json_t *object, const char *where, const char *const *known, struct error *err);

/* Optional members. Absent (or JSON null): *out is left alone and true is returned; a wrong type is an error that
 * names where.key, what is there and what is wanted. Texts are borrowed from the object. */
bool json_get_text(const json_t *object, const char *where, const char *key, const char **out, struct error *err);
bool json_get_number(const json_t *object, const char *where, const char *key, double *out, struct error *err);
bool json_get_bool(const json_t *object, const char *where, const char *key, bool *out, struct error *err);
/* Array of numbers; at most `max` of them; *count is set to their number. */
bool json_get_numbers(const json_t *object, const char *where, const char *key, double *out, size_t max, size_t *count,
                      struct error *err);

/* Write with two spaces of indent and a final newline, whole or not at all. */
bool json_write_path(const json_t *value, const char *path, struct error *err);

/* A value as JSON (dump flags beside JSON_ENCODE_ANY) on one line, shortened as str_brief; "" when memory is out. */
void json_brief(const json_t *value, size_t flags, char *buffer, size_t size);

#endif
