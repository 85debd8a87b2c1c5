/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of HTML and SVG, appended to a text. Nothing that came from outside gets in unescaped. */
#ifndef PENUMBRA_RENDER_HTML_H
#define PENUMBRA_RENDER_HTML_H

#include "base/error.h"
#include "base/str.h"
#include "image/image.h"

#include <stddef.h>

/* Text for elements and quoted attributes: the five special characters as entities; what XML 1.0 does not allow, and
 * bytes that are not UTF-8, as U+FFFD. NULL is nothing. */
void html_text(struct str *to, const char *text);
/* The same of a formatted text of less than 1024 bytes, longer ones are cut. */
void html_printf(struct str *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A number with so many significant digits, as text_number writes it for people; "not a number" where it is not finite.
 */
void html_number(struct str *to, double value, int digits);

void html_base64(struct str *to, const void *bytes, size_t size);
/* "data:image/png;base64,…" */
bool html_png(struct str *to, const struct image *image, struct error *err);
/* The source expression of a content security policy that lets through just this text: "'sha256-…'". */
bool html_hash(struct str *to, const char *text);

#endif
