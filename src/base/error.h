/* SPDX-License-Identifier: Apache-2.0 */
/* Errors are values: the function that detects one writes the sentence, everybody else passes it on. */
#ifndef PENUMBRA_BASE_ERROR_H
#define PENUMBRA_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

enum error_code {
  ERROR_NONE = 0,
  ERROR_FAILED = 1,    /* input is unusable, a file cannot be read or written: exit status 1 */
  ERROR_USAGE = 2,     /* an option or a parameter is wrong: exit status 2 */
  ERROR_CANCELLED = 3, /* the caller's progress callback asked to stop */
  ERROR_MEMORY = 4,    /* an allocation failed or would exceed its ceiling */
};

struct error {
  enum error_code code;
  char message[252]; /* one line, no trailing full stop or newline; names the thing, the value and the bound */
};

/* Write an error and return false, so that a caller says `return error_set(err, ERROR_FAILED, "…")`.
 * The first error wins: an error that is already set is kept. `err` may not be NULL. */
bool error_set(struct error *err, enum error_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool error_setv(struct error *err, enum error_code code, const char *format, va_list args);

/* Out of memory for the named thing; returns false. */
bool error_memory(struct error *err, const char *what);

/* Put "prefix: " (formatted) before a message that is set, e.g. the file's name; returns false. */
bool error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* These always return false; said here so that compilers and analysers know it at every call. */
static inline bool error_false(bool ignored)
{
  (void)ignored;
  return false;
}

#define error_set(...)    error_false((error_set)(__VA_ARGS__))
#define error_setv(...)   error_false((error_setv)(__VA_ARGS__))
#define error_memory(...) error_false((error_memory)(__VA_ARGS__))
#define error_prefix(...) error_false((error_prefix)(__VA_ARGS__))

#endif
