/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

/* Names in parentheses: each has a macro of the same name in front of it. */

bool(error_setv)(struct error *err, enum error_code code, const char *format, va_list args)
{
  if (err->code != ERROR_NONE)
    return false;
  err->code = code;
  (void)vsnprintf(err->message, sizeof err->message, format, args);
  str_clean(err->message); /* names out of hostile files end up in here */
  return false;
}

bool(error_set)(struct error *err, enum error_code code, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  error_setv(err, code, format, args);
  va_end(args);
  return false;
}

bool(error_memory)(struct error *err, const char *what)
{
  return error_set(err, ERROR_MEMORY, "out of memory for %s", what);
}

bool(error_prefix)(struct error *err, const char *format, ...)
{
  char old[sizeof err->message];
  char prefix[sizeof err->message];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(prefix, sizeof prefix, format, args);
  va_end(args);
  memcpy(old, err->message, sizeof old);
  if (snprintf(err->message, sizeof err->message, "%s: %s", prefix, old) >= (int)sizeof err->message)
    err->message[sizeof err->message - 1] = '\0';
  str_clean(err->message);
  return false;
}
