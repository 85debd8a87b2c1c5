/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of maps. The scale is symmetric about zero, absolute, and drawn as a colour bar with its end values; a flat
 * map stays neutral and is never stretched to look like a finding. */
#ifndef PENUMBRA_RENDER_RENDER_H
#define PENUMBRA_RENDER_RENDER_H

#include "base/error.h"
#include "base/str.h"
#include "image/image.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct colormap {
  const char *name;
  bool diverging;            /* zero in the middle */
  unsigned char rgb[256][3];
};
/* By name: "coolwarm" and "rdbu" (diverging), "viridis", "inferno", "magma", "cividis", "turbo", "gray". NULL if
 * unknown. */
const struct colormap *colormap_find(const char *name);
/* The colour of a value on the scale -limit..limit (diverging maps, or `both_signs`) or 0..limit; values beyond the
 * ends get the ends' colours, limit 0 and NaN that of zero. */
const unsigned char *colormap_color(const struct colormap *map, double value, double limit, bool both_signs);

/* A canvas is an 8-bit RGB image. */
bool canvas_new(struct image *canvas, int width, int height, const unsigned char rgb[3], struct error *err);
void canvas_fill(struct image *canvas, int x, int y, int width, int height, const unsigned char rgb[3]);
void canvas_paste(struct image *canvas, const struct image *rgb, int x, int y); /* clipped */
/* Antialiased, with round ends; pixel (x, y) covers [x, x+1] x [y, y+1]. */
void canvas_line(struct image *canvas, double x0, double y0, double x1, double y1, double width,
                 const unsigned char rgb[3]);
/* Antialiased text, its own stroke font for ASCII and Latin-1 letters' bases; `size` = cap height in px. Other
 * characters are drawn as a box. (x, y) is the left end of the base line. Returns the advance in px. */
double canvas_text(struct image *canvas, double x, double y, double size, const unsigned char rgb[3], const char *utf8);
double canvas_text_width(double size, const char *utf8);

/* The base picture for overlays: any source image as 8-bit RGB through its lo..hi, enlarged by an integer factor to at
 * least `min_side` px on the long side (nearest; factor returned) so that thumbnails stay legible. */
bool render_base(const struct image *source, int min_side, struct image *rgb, int *factor, struct error *err);

struct overlay {
  const float *heat;         /* [height, width] of the source image */
  double limit;              /* value at the ends of the scale, > 0; 0: max|heat| */
  const struct colormap *colors; /* NULL: coolwarm for signed, inferno for maps without negative values */
  double opacity;            /* at full scale, 0..1; 0: 0.65. It falls to 0 towards value 0: the picture shows */
  const char *title;         /* above, or NULL; wrapped */
  const char *unit;          /* under the bar: "score drop" */
  const char *const *lines;  /* in the margin below, NULL-terminated, or NULL; the first 32 are drawn */
  const unsigned char *coverage; /* [height, width] 0 = outside the crop: hatched; or NULL */
  bool keep_color;           /* leave a colour picture in its colours; otherwise all hue in the figure is the map's */
};
/* The source with the map over it, colour bar at the right, text around. Values that are not finite are hatched. */
bool render_overlay(const struct image *source, const struct overlay *overlay, struct image *out, struct error *err);

/* Panels in a row (or `columns` per row), each with a caption. */
struct panel { const struct image *image; const char *caption; };
bool render_sheet(const struct panel *panels, size_t count, int columns, const char *title, struct image *out,
                  struct error *err);

/* A map alone as an RGB image of its own size, times an integer factor. `limit` as above. */
bool render_map(const float *map, int height, int width, double limit, const struct colormap *colors, int factor,
                struct image *out, struct error *err);
/* Labels (classes, segments) as distinct colours; label < 0 grey. */
bool render_labels(const int32_t *labels, int height, int width, int factor, struct image *out, struct error *err);
/* Lines between differing labels, drawn onto a picture whose sides are `factor` times those of the labels; false, and
 * nothing is drawn, if they are not. */
bool render_boundaries(struct image *rgb, const int32_t *labels, int height, int width, int factor,
                       const unsigned char color[3]);

/* Curves with error bands as a self-contained SVG text, appended to `svg`. Points that are not finite leave gaps. Text
 * and axes take the page's text colour (currentColor). False when memory is out or the text's ceiling is reached. */
struct curve {
  const char *name;    /* in the legend */
  const double *x, *y; /* n each */
  const double *lo, *hi; /* the band's edges, or NULL */
  size_t n;
  const char *color;   /* an SVG colour; NULL: the next of eight that can be told apart */
};
bool plot_svg(const struct curve *curves, size_t n, const char *title, const char *x_label, const char *y_label,
              struct str *svg);

#endif
