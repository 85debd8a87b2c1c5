/* SPDX-License-Identifier: Apache-2.0 */
/* A text that grows up to a stated ceiling. After a failure it stays empty-handed: check once, at the end. */
#ifndef PENUMBRA_BASE_STR_H
#define PENUMBRA_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
  char *text; /* NUL-terminated, or NULL before the first append; owned */
  size_t length, capacity, limit;
  bool failed; /* memory ran out, or the limit was reached */
};

/* `limit`: the greatest length in bytes this text may reach. */
void str_init(struct str *s, size_t limit);
void str_free(struct str *s);
bool str_append(struct str *s, const char *text);
bool str_append_bytes(struct str *s, const void *bytes, size_t n);
bool str_printf(struct str *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Levenshtein distance, for "did you mean"; names longer than 63 bytes compare by their first 63. */
int str_distance(const char *a, const char *b);
/* The nearest of a NULL-terminated list of names if it is near enough to be a slip of the pen, else NULL. */
const char *str_nearest(const char *name, const char *const *names);

/* The whole text as a finite decimal number ("-1.5e3") or integer, the same in every locale; false leaves *out
 * alone. */
bool str_number(const char *text, double *out);
bool str_integer(const char *text, int64_t *out);

/* Whether a text is well-formed UTF-8 from end to end. */
bool str_is_utf8(const char *text);
/* Make a text fit for messages, terminals and JSON, in place: every control character and every byte that is not
 * well-formed UTF-8 becomes '?'. */
void str_clean(char *text);

/* As much of a text as fits into `size` bytes (at least 4), whole characters; "..." at the end where it was cut. */
void str_brief(const char *text, char *buffer, size_t size);

#endif
