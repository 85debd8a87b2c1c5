/* SPDX-License-Identifier: Apache-2.0 */
/* Strokes, which lines and letters are drawn with, and the measure of text. */
#ifndef PENUMBRA_RENDER_CANVAS_H
#define PENUMBRA_RENDER_CANVAS_H

#include "image/image.h"

/* A straight stroke with round ends, in px; the pixel in column x and row y covers [x, x+1] x [y, y+1]. */
struct segment {
  double x0, y0, x1, y1;
  double width;
};

/* The union of the segments, antialiased by each pixel's distance from the nearest of them, in one colour. */
void canvas_segments(struct image *canvas, const struct segment *segments, int count, const unsigned char rgb[3]);

/* A white canvas for width x height pixels, each drawn as factor x factor. */
bool canvas_enlarged(struct image *canvas, int width, int height, int factor, struct error *err);

/* Where a line of text has got to; begin with only the cap height `size` set (px, at least 1). */
struct text_cursor {
  double size;
  double edge;  /* right end of the ink, px from the line's beginning */
  double white; /* to be left behind it, px */
  bool started;
};
/* Add a character; returns the width of the line so far. */
double text_cursor_add(struct text_cursor *cursor, uint32_t code);

#endif
