/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "base/mem.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void str_init(struct str *s, size_t limit)
{
  *s = (struct str){.limit = limit};
}

void str_free(struct str *s)
{
  mem_free(s->text);
  str_init(s, s->limit);
}

static bool give_up(struct str *s)
{
  str_free(s);
  s->failed = true;
  return false;
}

/* Room for `n` more bytes and the NUL. */
static bool reserve(struct str *s, size_t n)
{
  if (s->failed)
    return false;
  if (n > s->limit || s->length > s->limit - n || s->limit == SIZE_MAX)
    return give_up(s);
  size_t needed = s->length + n + 1;
  if (needed <= s->capacity)
    return true;
  size_t capacity = s->capacity < 64 ? 64 : s->capacity;
  while (capacity < needed)
    capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
  if (capacity > s->limit + 1)
    capacity = s->limit + 1;
  char *text = mem_grow(s->text, capacity);
  if (!text)
    return give_up(s);
  s->text = text;
  s->capacity = capacity;
  return true;
}

bool str_append_bytes(struct str *s, const void *bytes, size_t n)
{
  if (!reserve(s, n))
    return false;
  if (n)
    memcpy(s->text + s->length, bytes, n);
  s->length += n;
  s->text[s->length] = '\0';
  return true;
}

bool str_append(struct str *s, const char *text)
{
  return str_append_bytes(s, text, strlen(text));
}

bool str_printf(struct str *s, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (n < 0)
    return give_up(s);
  if (!reserve(s, (size_t)n))
    return false;
  va_start(args, format);
  (void)vsnprintf(s->text + s->length, (size_t)n + 1, format, args);
  va_end(args);
  s->length += (size_t)n;
  return true;
}

enum { NAME_BYTES = 63 };

int str_distance(const char *a, const char *b)
{
  int previous[NAME_BYTES + 1], current[NAME_BYTES + 1];
  int n = (int)strnlen(a, NAME_BYTES), m = (int)strnlen(b, NAME_BYTES);
  for (int j = 0; j <= m; j++)
    previous[j] = j;
  for (int i = 1; i <= n; i++) {
    current[0] = i;
    for (int j = 1; j <= m; j++) {
      int best = previous[j - 1] + (a[i - 1] != b[j - 1]);
      if (previous[j] + 1 < best)
        best = previous[j] + 1;
      if (current[j - 1] + 1 < best)
        best = current[j - 1] + 1;
      current[j] = best;
    }
    memcpy(previous, current, sizeof previous);
  }
  return previous[m];
}

const char *str_nearest(const char *name, const char *const *names)
{
  const char *nearest = NULL;
  size_t length = strlen(name);
  int best = length < 4 ? 1 : length < 8 ? 2 : 3; /* more slips than this are another word */
  for (; *names; names++) {
    int distance = str_distance(name, *names);
    if (distance < best || (distance == best && !nearest)) {
      best = distance;
      nearest = *names;
    }
  }
  return nearest;
}

bool str_number(const char *text, double *out)
{
  if (!*text || strspn(text, "+-.0123456789eE") != strlen(text))
    return false; /* strtod would also take blanks, hexadecimal, "inf" and "nan" */
  locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (!plain)
    return false;
  char *end;
  double value = strtod_l(text, &end, plain);
  freelocale(plain);
  if (end == text || *end || !isfinite(value))
    return false;
  *out = value;
  return true;
}

bool str_integer(const char *text, int64_t *out)
{
  if (!*text || strspn(text, "+-0123456789") != strlen(text))
    return false;
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (end == text || *end || errno)
    return false;
  *out = value;
  return true;
}

/* Bytes of the well-formed UTF-8 character at `p` (Unicode 15, table 3-7), 0 if there is none. */
static int utf8_length(const unsigned char *p)
{
  if (p[0] < 0x80)
    return 1;
  int n = p[0] >= 0xC2 && p[0] <= 0xDF ? 2 : (p[0] & 0xF0) == 0xE0 ? 3 : p[0] >= 0xF0 && p[0] <= 0xF4 ? 4 : 0;
  for (int i = 1; i < n; i++)
    if ((p[i] & 0xC0) != 0x80)
      return 0;
  if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF0 && p[1] < 0x90) ||
      (p[0] == 0xF4 && p[1] > 0x8F))
    return 0; /* overlong, surrogate, beyond U+10FFFF */
  return n;
}

bool str_is_utf8(const char *text)
{
  const unsigned char *p = (const unsigned char *)text;
  for (int n; *p; p += n)
    if ((n = utf8_length(p)) == 0)
      return false;
  return true;
}

void str_clean(char *text)
{
  for (unsigned char *p = (unsigned char *)text; *p;) {
    int n = utf8_length(p);
    bool control = n == 1 ? *p < 0x20 || *p == 0x7F : n == 2 && p[0] == 0xC2 && p[1] < 0xA0;
    if (n == 0) {
      *p++ = '?';
      continue;
    }
    if (control)
      memset(p, '?', (size_t)n);
    p += n;
  }
}

void str_brief(const char *text, char *buffer, size_t size)
{
  size_t n = strlen(text);
  const bool cut = n >= size;
  if (cut)
    for (n = size - 4; n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80;)
      n--;
  (void)snprintf(buffer, size, "%.*s%s", (int)n, text, cut ? "..." : "");
}
