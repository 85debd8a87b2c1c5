/* SPDX-License-Identifier: Apache-2.0 */
/* A text that grows up to a stated ceiling. After a failure it stays empty-handed: check once, at the end. */
#ifndef PENUMBRA_BASE_STR_H
#define PENUMBRA_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>

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

#endif
