/* SPDX-License-Identifier: Apache-2.0 */
/* What pictures and curves need of text: characters, numbers, lines that fit. */
#ifndef PENUMBRA_RENDER_TEXT_H
#define PENUMBRA_RENDER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_REPLACEMENT 0xFFFD

/* The character at *utf8, which moves on by at least one byte unless it stands at the end (0). A byte that begins no
 * valid sequence (RFC 3629: shortest form, no surrogates, at most U+10FFFF) is TEXT_REPLACEMENT. */
uint32_t text_next(const char **utf8);

enum { TEXT_NUMBER = 40, TEXT_LINES = 16 };

/* A number for people: `digits` significant ones without trailing zeros, from 1e-4 to 1e7 in plain notation, a true
 * minus sign (U+2212) if `typographic`; independent of the locale. */
const char *text_number(double value, int digits, bool typographic, char out[TEXT_NUMBER]);
/* A number for machines: two decimals at most, for coordinates within +-1e9. */
const char *text_coordinate(double value, char out[TEXT_NUMBER]);

/* A text broken into lines of at most `width` px at cap height `size`, at spaces and '\n' where possible. What does not
 * fit into `max_lines` (up to TEXT_LINES) ends in an ellipsis. NULL text: no lines. False when memory is out. */
struct text_block {
  char *bytes; /* owned */
  const char *line[TEXT_LINES];
  int count;
  double width; /* of the widest line, px */
};
bool text_wrap(const char *utf8, double size, double width, int max_lines, struct text_block *block);
void text_block_free(struct text_block *block);

#endif
