/* SPDX-License-Identifier: Apache-2.0 */
#include "render/text.h"

#include "base/mem.h"
#include "base/str.h"
#include "render/canvas.h"
#include "render/render.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t text_next(const char **utf8)
{
  const unsigned char *s = (const unsigned char *)*utf8;
  uint32_t code = s[0];
  if (code == 0)
    return 0;
  *utf8 += 1;
  if (code < 0x80)
    return code;
  static const uint32_t shortest[4] = {0, 0x80, 0x800, 0x10000};
  int more = code >= 0xC2 && code < 0xE0 ? 1 : (code & 0xF0) == 0xE0 ? 2 : code >= 0xF0 && code < 0xF5 ? 3 : 0;
  if (more == 0)
    return TEXT_REPLACEMENT;
  code &= 0x3Fu >> more;
  for (int i = 1; i <= more; i++) {
    if ((s[i] & 0xC0) != 0x80)
      return TEXT_REPLACEMENT;
    code = code << 6 | (s[i] & 0x3Fu);
  }
  if (code < shortest[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
    return TEXT_REPLACEMENT;
  *utf8 += more;
  return code;
}

enum { MAX_DIGITS = 9 };

/* The decimal digits of |value| and the exponent of the first, read from printf without its decimal sign, which
 * depends on the locale. */
static int decimal_digits(double value, int digits, char out[MAX_DIGITS + 1])
{
  char text[64];
  (void)snprintf(text, sizeof text, "%.*e", digits - 1, fabs(value));
  const char *e = strchr(text, 'e');
  int n = 0;
  for (const char *p = text; p < e; p++)
    if (*p >= '0' && *p <= '9' && n < MAX_DIGITS)
      out[n++] = *p;
  while (n > 1 && out[n - 1] == '0')
    n--;
  out[n] = '\0';
  int64_t exponent = 0;
  (void)str_integer(e + 1, &exponent);
  return (int)exponent;
}

const char *text_number(double value, int digits, bool typographic, char out[TEXT_NUMBER])
{
  if (!isfinite(value)) {
    (void)snprintf(out, TEXT_NUMBER, "%s", isnan(value) ? "NaN" : value > 0 ? "inf" : "-inf");
    return out;
  }
  const char *minus = value < 0 ? typographic ? "\xE2\x88\x92" : "-" : "";
  char d[MAX_DIGITS + 1];
  int exponent = decimal_digits(value, digits < 1 ? 1 : digits > MAX_DIGITS ? MAX_DIGITS : digits, d);
  int n = (int)strlen(d);
  if (value == 0)
    (void)snprintf(out, TEXT_NUMBER, "0");
  else if (exponent < -4 || exponent > 6)
    (void)snprintf(out, TEXT_NUMBER, "%s%c%s%se%d", minus, d[0], n > 1 ? "." : "", d + 1, exponent);
  else if (exponent < 0)
    (void)snprintf(out, TEXT_NUMBER, "%s0.%.*s%s", minus, -exponent - 1, "000", d);
  else if (n <= exponent + 1)
    (void)snprintf(out, TEXT_NUMBER, "%s%s%.*s", minus, d, exponent + 1 - n, "000000");
  else
    (void)snprintf(out, TEXT_NUMBER, "%s%.*s.%s", minus, exponent + 1, d, d + exponent + 1);
  return out;
}

const char *text_coordinate(double value, char out[TEXT_NUMBER])
{
  long long hundredths = llrint(value * 100);
  unsigned long long u = (unsigned long long)llabs(hundredths);
  const char *minus = hundredths < 0 ? "-" : "";
  if (u % 100 == 0)
    (void)snprintf(out, TEXT_NUMBER, "%s%llu", minus, u / 100);
  else if (u % 10 == 0)
    (void)snprintf(out, TEXT_NUMBER, "%s%llu.%llu", minus, u / 100, u / 10 % 10);
  else
    (void)snprintf(out, TEXT_NUMBER, "%s%llu.%02llu", minus, u / 100, u % 100);
  return out;
}

static const char ellipsis[] = "\xE2\x80\xA6";

/* The end of the line that begins at `from`, and where the next one begins. */
static const char *line_end(const char *from, double size, double width, const char **next)
{
  const char *space = NULL, *after_space = NULL;
  struct text_cursor cursor = {.size = size};
  for (const char *p = from;;) {
    const char *at = p;
    uint32_t c = text_next(&p);
    if (c == 0 || c == '\n') {
      *next = p;
      return at;
    }
    if (c == ' ') {
      space = at;
      after_space = p;
    }
    double x = text_cursor_add(&cursor, c);
    if (x > width && c != ' ' && at > from) {
      *next = space ? after_space : at;
      return space ? space : at;
    }
  }
}

/* Where a line has to stop so that the ellipsis still fits behind it. */
static const char *cut_for_ellipsis(const char *from, const char *to, double size, double width)
{
  struct text_cursor cursor = {.size = size};
  double room = width - canvas_text_width(size, ellipsis);
  for (const char *p = from; p < to;) {
    const char *at = p;
    if (text_cursor_add(&cursor, text_next(&p)) > room)
      return at;
  }
  return to;
}

bool text_wrap(const char *utf8, double size, double width, int max_lines, struct text_block *block)
{
  memset(block, 0, sizeof *block);
  if (!utf8)
    return true;
  if (max_lines > TEXT_LINES)
    max_lines = TEXT_LINES;
  const char *begin[TEXT_LINES], *end[TEXT_LINES];
  size_t bytes = sizeof ellipsis;
  int count = 0;
  const char *p = utf8;
  for (; *p && count < max_lines; count++) {
    begin[count] = p;
    end[count] = line_end(p, size, width, &p);
    bytes += (size_t)(end[count] - begin[count]) + 1;
  }
  if (count == 0)
    return true;
  bool cut = *p != '\0';
  if (cut)
    end[count - 1] = cut_for_ellipsis(begin[count - 1], end[count - 1], size, width);
  char *out = block->bytes = mem_alloc(bytes);
  if (!out)
    return false;
  block->count = count;
  for (int i = 0; i < count; i++) {
    size_t length = (size_t)(end[i] - begin[i]);
    block->line[i] = out;
    memcpy(out, begin[i], length);
    out += length;
    if (cut && i == count - 1) {
      memcpy(out, ellipsis, sizeof ellipsis - 1);
      out += sizeof ellipsis - 1;
    }
    *out++ = '\0';
    double w = canvas_text_width(size, block->line[i]);
    if (w > block->width)
      block->width = w;
  }
  return true;
}

void text_block_free(struct text_block *block)
{
  mem_free(block->bytes);
  memset(block, 0, sizeof *block);
}
