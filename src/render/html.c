/* SPDX-License-Identifier: Apache-2.0 */
#include "render/html.h"

#include "base/files.h"
#include "base/mem.h"
#include "render/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void html_text(struct str *to, const char *text)
{
  while (text && *text) {
    const char *from = text;
    const uint32_t c = text_next(&text);
    const bool allowed = (c >= 0x20 || c == '\t' || c == '\n') && c != 0xFFFE && c != 0xFFFF && c != TEXT_REPLACEMENT;
    if (c == '<')
      str_append(to, "&lt;");
    else if (c == '>')
      str_append(to, "&gt;");
    else if (c == '&')
      str_append(to, "&amp;");
    else if (c == '"')
      str_append(to, "&quot;");
    else if (c == '\'')
      str_append(to, "&#39;");
    else if (allowed)
      str_append_bytes(to, from, (size_t)(text - from));
    else
      str_append(to, "\xEF\xBF\xBD");
  }
}

void html_printf(struct str *to, const char *format, ...)
{
  char text[1024];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(text, sizeof text, format, args);
  va_end(args);
  html_text(to, text);
}

void html_number(struct str *to, double value, int digits)
{
  char text[TEXT_NUMBER];
  str_append(to, isfinite(value) ? text_number(value, digits, true, text) : "not a number");
}

void html_base64(struct str *to, const void *bytes, size_t size)
{
  static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const unsigned char *from = bytes;
  char chunk[1024];
  size_t n = 0;
  for (size_t i = 0; i < size; i += 3) {
    const size_t left = size - i;
    const uint32_t word = (uint32_t)from[i] << 16 | (left > 1 ? (uint32_t)from[i + 1] << 8 : 0) |
                          (left > 2 ? (uint32_t)from[i + 2] : 0);
    chunk[n++] = digit[word >> 18];
    chunk[n++] = digit[word >> 12 & 63];
    chunk[n++] = left > 1 ? digit[word >> 6 & 63] : '=';
    chunk[n++] = left > 2 ? digit[word & 63] : '=';
    if (n == sizeof chunk) {
      str_append_bytes(to, chunk, n);
      n = 0;
    }
  }
  str_append_bytes(to, chunk, n);
}

bool html_png(struct str *to, const struct image *image, struct error *err)
{
  void *bytes;
  size_t size;
  if (!image_encode_png(image, &bytes, &size, err))
    return false;
  str_append(to, "data:image/png;base64,");
  html_base64(to, bytes, size);
  mem_free(bytes);
  return true;
}

static unsigned char nibble(char c)
{
  return (unsigned char)(c <= '9' ? c - '0' : c - 'a' + 10);
}

bool html_hash(struct str *to, const char *text)
{
  char hex[65];
  unsigned char bytes[32];
  if (!file_sha256(text, strlen(text), hex))
    return false;
  for (int i = 0; i < 32; i++)
    bytes[i] = (unsigned char)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
  str_append(to, "'sha256-");
  html_base64(to, bytes, sizeof bytes);
  return str_append(to, "'");
}
