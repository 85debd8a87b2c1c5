/* SPDX-License-Identifier: Apache-2.0 */
/* Curves as SVG 1.1 text. What is said by colour is also said by dashes, in the legend and in the description. */
#include "render/html.h"
#include "render/render.h"
#include "render/text.h"

#include <math.h>
#include <string.h>

/* Sizes in user units; the picture scales with the page. */
enum { WIDTH = 640, RIGHT = 24, PLOT_HEIGHT = 300, FONT = 13, TITLE_FONT = 15, LINE = 19, MAX_TICKS = 16 };

/* Readable on white and on near black (contrast at least 3:1 with both), apart from each other in hue or lightness
 * also for red-green blind eyes. */
static const char *const colors[] = {"#2b83d6", "#d9691e", "#17976b", "#a868cf",
                                     "#b8860b", "#d4507e", "#3f8f9f", "#7d8590"};
static const char *const dashes[] = {"", "7 3", "2 3", "9 3 2 3", "12 4", "5 2 1 2 1 2", "4 4", "1 2"};
enum { STYLES = sizeof colors / sizeof *colors };

static const double greatest = 1e300; /* beyond it differences could overflow */

static bool usable(double v)
{
  return fabs(v) <= greatest; /* false for NaN */
}

static void append_coordinates(struct str *svg, const char *before, double x, const char *between, double y)
{
  char a[TEXT_NUMBER], b[TEXT_NUMBER];
  str_printf(svg, "%s%s%s%s", before, text_coordinate(x, a), between, text_coordinate(y, b));
}

/* The page's font is not known: widths are those of the stroke font at the same height, with a margin that holds for
 * the wide sans serifs. */
static const double capital = 0.72, wider = 1.25; /* capitals per em; page's font to stroke font */

static double text_width(const char *text)
{
  return canvas_text_width(FONT * capital, text) * wider;
}

struct axis {
  double min, max;   /* what the ends of the axis stand for */
  double from, size; /* where they are, in user units; size < 0: upwards */
  double tick[MAX_TICKS];
  int ticks;
  double step;
};

static double place(const struct axis *axis, double value)
{
  return axis->from + (value - axis->min) / (axis->max - axis->min) * axis->size;
}

/* Round steps of 1, 2 or 5 times a power of ten, inside the axis. */
static void choose_ticks(struct axis *axis, int wanted)
{
  double raw = (axis->max - axis->min) / wanted;
  double power = pow(10, floor(log10(raw)));
  double f = raw / power;
  axis->step = power * (f <= 1.0000001 ? 1 : f <= 2.0000001 ? 2 : f <= 5.0000001 ? 5 : 10);
  double first = ceil(axis->min / axis->step - 1e-9), last = floor(axis->max / axis->step + 1e-9);
  axis->ticks = 0;
  for (double i = first; i <= last && axis->ticks < MAX_TICKS; i++)
    axis->tick[axis->ticks++] = i * axis->step;
}

static void include(struct axis *axis, double value)
{
  if (!usable(value))
    return;
  if (value < axis->min)
    axis->min = value;
  if (value > axis->max)
    axis->max = value;
}

/* An interval of some length, wherever the data are. */
static void settle(struct axis *axis)
{
  if (axis->min > axis->max) {
    axis->min = 0;
    axis->max = 1;
  }
  double magnitude = fmax(fabs(axis->min), fabs(axis->max));
  double least = magnitude > 0 ? magnitude * 1e-9 : 0;
  if (axis->max - axis->min <= least) { /* constant: nothing to be magnified */
    double half = magnitude > 0 ? magnitude / 2 : 0.5;
    axis->min -= half;
    axis->max += half;
  }
}

static void find_axes(const struct curve *curves, size_t n, struct axis *x, struct axis *y)
{
  x->min = y->min = INFINITY;
  x->max = y->max = -INFINITY;
  for (size_t c = 0; c < n; c++)
    for (size_t i = 0; i < curves[c].n; i++) {
      if (!usable(curves[c].x[i]) || !usable(curves[c].y[i]))
        continue;
      include(x, curves[c].x[i]);
      include(y, curves[c].y[i]);
      if (curves[c].lo && curves[c].hi) {
        include(y, curves[c].lo[i]);
        include(y, curves[c].hi[i]);
      }
    }
  settle(x);
  settle(y);
  double air = 0.04 * (y->max - y->min);
  y->max += air;
  if (y->min > 0 && y->min < 0.5 * y->max)
    y->min = 0; /* a score axis begins at zero unless that would flatten the curves */
  else if (y->min != 0)
    y->min -= air;
  choose_ticks(x, 6);
  choose_ticks(y, 6);
}

/* Tick labels have as many digits as tell neighbours apart. */
static const char *tick_label(const struct axis *axis, int i, char out[TEXT_NUMBER])
{
  double v = axis->tick[i];
  int digits = 2;
  if (v != 0)
    digits = 1 + (int)(floor(log10(fabs(v) * (1 + 1e-9))) - floor(log10(axis->step * (1 + 1e-9))));
  return text_number(fabs(v) < axis->step / 2 ? 0 : v, digits, true, out);
}

/* Room that the y axis needs for its labels. */
static double label_room(const struct axis *y, bool named)
{
  char number[TEXT_NUMBER];
  double widest = 0;
  for (int i = 0; i < y->ticks; i++)
    widest = fmax(widest, text_width(tick_label(y, i, number)));
  return rint(widest) + (named ? 38 : 16);
}

static void append_axes(struct str *svg, const struct axis *x, const struct axis *y, const char *x_label,
                        const char *y_label)
{
  char number[TEXT_NUMBER];
  double right = x->from + x->size, top = y->from + y->size;
  str_append(svg, "<g stroke=\"currentColor\" stroke-opacity=\".16\">\n");
  for (int i = 0; i < y->ticks; i++) {
    append_coordinates(svg, "<line x1=\"", x->from, "\" y1=\"", place(y, y->tick[i]));
    append_coordinates(svg, "\" x2=\"", right, "\" y2=\"", place(y, y->tick[i]));
    str_append(svg, "\"/>\n");
  }
  for (int i = 0; i < x->ticks; i++) {
    append_coordinates(svg, "<line x1=\"", place(x, x->tick[i]), "\" y1=\"", y->from);
    append_coordinates(svg, "\" x2=\"", place(x, x->tick[i]), "\" y2=\"", top);
    str_append(svg, "\"/>\n");
  }
  append_coordinates(svg, "</g>\n<path fill=\"none\" stroke=\"currentColor\" d=\"M", x->from, " ", top);
  append_coordinates(svg, "V", y->from, "H", right);
  str_append(svg, "\"/>\n<g text-anchor=\"end\">\n");
  for (int i = 0; i < y->ticks; i++) {
    append_coordinates(svg, "<text x=\"", x->from - 8, "\" y=\"", place(y, y->tick[i]) + 4.5);
    str_printf(svg, "\">%s</text>\n", tick_label(y, i, number));
  }
  str_append(svg, "</g>\n<g text-anchor=\"middle\">\n");
  for (int i = 0; i < x->ticks; i++) {
    append_coordinates(svg, "<text x=\"", place(x, x->tick[i]), "\" y=\"", y->from + 19);
    str_printf(svg, "\">%s</text>\n", tick_label(x, i, number));
  }
  if (x_label) {
    append_coordinates(svg, "<text x=\"", x->from + x->size / 2, "\" y=\"", y->from + 41);
    str_append(svg, "\">");
    html_text(svg, x_label);
    str_append(svg, "</text>\n");
  }
  if (y_label) {
    append_coordinates(svg, "<text transform=\"translate(", 18, " ", y->from + y->size / 2);
    str_append(svg, ") rotate(-90)\">");
    html_text(svg, y_label);
    str_append(svg, "</text>\n");
  }
  str_append(svg, "</g>\n");
}

static const char *curve_color(const struct curve *curve, size_t index)
{
  return curve->color ? curve->color : colors[index % STYLES];
}

static bool has_point(const struct curve *c, size_t i, bool band)
{
  return usable(c->x[i]) && usable(c->y[i]) && (!band || (usable(c->lo[i]) && usable(c->hi[i])));
}

/* Append x[i], v[i] for i from `begin` to before `end`, or back; points that fall on the one before are left out. */
static void append_run(struct str *svg, const struct curve *c, const double *v, size_t begin, size_t end, bool back,
                       const char *first, const struct axis *x, const struct axis *y)
{
  double last_x = NAN, last_y = NAN;
  for (size_t k = 0; k < end - begin; k++) {
    size_t i = back ? end - 1 - k : begin + k;
    double px = place(x, c->x[i]), py = place(y, v[i]);
    bool near = fabs(px - last_x) < 0.3 && fabs(py - last_y) < 0.3;
    if (near && k + 1 < end - begin)
      continue;
    append_coordinates(svg, isnan(last_x) ? first : "L", px, " ", py);
    last_x = px;
    last_y = py;
  }
}

static void append_curve(struct str *svg, const struct curve *c, size_t index, const struct axis *x,
                         const struct axis *y)
{
  const char *color = curve_color(c, index);
  for (int layer = c->lo && c->hi ? 0 : 1; layer < 2; layer++) { /* band, then line */
    bool band = layer == 0;
    bool open = false;
    for (size_t i = 0; i < c->n;) {
      size_t end = i;
      while (end < c->n && has_point(c, end, band))
        end++;
      if (end == i) {
        i++;
        continue;
      }
      if (!open) {
        str_append(svg,
                   band ? "<path stroke=\"none\" fill-opacity=\".18\" fill=\""
                        : "<path fill=\"none\" stroke-width=\"2\" stroke-linejoin=\"round\" stroke-linecap=\"round\" "
                          "stroke=\"");
        html_text(svg, color);
        if (!band && dashes[index % STYLES][0])
          str_printf(svg, "\" stroke-dasharray=\"%s", dashes[index % STYLES]);
        str_append(svg, "\" d=\"");
        open = true;
      }
      if (band) {
        append_run(svg, c, c->lo, i, end, false, "M", x, y);
        append_run(svg, c, c->hi, i, end, true, "L", x, y);
        str_append(svg, "Z");
      } else {
        append_run(svg, c, c->y, i, end, false, "M", x, y);
        if (end == i + 1)
          str_append(svg, "m-4 0h8m-4 -4v8"); /* a lone point shows as a cross */
      }
      i = end;
    }
    if (open)
      str_append(svg, "\"/>\n");
  }
}

/* "name: 0.98 at 0 to 0.02 at 100" for readers who cannot see the curves. */
static void append_description(struct str *svg, const struct curve *curves, size_t n)
{
  char a[TEXT_NUMBER], b[TEXT_NUMBER], c[TEXT_NUMBER], d[TEXT_NUMBER];
  str_append(svg, "<desc>");
  for (size_t k = 0; k < n; k++) {
    const struct curve *curve = &curves[k];
    size_t first = 0, last = curve->n;
    while (first < curve->n && !has_point(curve, first, false))
      first++;
    while (last > first && !has_point(curve, last - 1, false))
      last--;
    html_text(svg, curve->name ? curve->name : "curve");
    if (first == last)
      str_append(svg, ": no points. ");
    else
      str_printf(svg, ": %s at %s to %s at %s. ", text_number(curve->y[first], 3, true, a),
                 text_number(curve->x[first], 3, true, b), text_number(curve->y[last - 1], 3, true, c),
                 text_number(curve->x[last - 1], 3, true, d));
  }
  str_append(svg, "</desc>\n");
}

struct legend {
  int per_row;
  double column; /* user units */
};

static struct legend find_legend(const struct curve *curves, size_t n, double width)
{
  double widest = 0;
  for (size_t c = 0; c < n; c++)
    widest = fmax(widest, curves[c].name ? text_width(curves[c].name) : 0);
  double column = fmin(widest + 34 + 24, width);
  return (struct legend){.per_row = (int)(width / column), .column = column};
}

/* Append the lines of a text that is wrapped to `width` user units; y moves to below the last one. */
static bool append_wrapped(struct str *svg, const char *text, double x, double *y, double width, int lines,
                           const char *attributes)
{
  struct text_block block;
  if (!text_wrap(text, FONT * capital, width / wider, lines, &block))
    return false;
  for (int i = 0; i < block.count; i++, *y += LINE) {
    append_coordinates(svg, "<text x=\"", x, "\" y=\"", *y);
    str_printf(svg, "\"%s>", attributes);
    html_text(svg, block.line[i]);
    str_append(svg, "</text>\n");
  }
  text_block_free(&block);
  return true;
}

static bool append_legend(struct str *svg, const struct curve *curves, size_t n, const struct legend *legend,
                          double left, double top)
{
  for (size_t c = 0; c < n; c++) {
    double x = left + (double)(c % (size_t)legend->per_row) * legend->column;
    double y = top + (double)(c / (size_t)legend->per_row) * LINE;
    append_coordinates(svg, "<path fill=\"none\" stroke-width=\"2\" d=\"M", x, " ", y - 4.5);
    str_append(svg, "h26\" stroke=\"");
    html_text(svg, curve_color(&curves[c], c));
    if (dashes[c % STYLES][0])
      str_printf(svg, "\" stroke-dasharray=\"%s", dashes[c % STYLES]);
    str_append(svg, "\"/>\n");
    if (!append_wrapped(svg, curves[c].name, x + 34, &y, legend->column - 34, 1, ""))
      return false;
  }
  return true;
}

bool plot_svg(const struct curve *curves, size_t n, const char *title, const char *x_label, const char *y_label,
              struct str *svg)
{
  struct axis x = {0}, y = {.size = -PLOT_HEIGHT};
  find_axes(curves, n, &x, &y);
  x.from = label_room(&y, y_label != NULL);
  x.size = WIDTH - RIGHT - x.from;
  struct text_block heading; /* in bold: wider still */
  if (!text_wrap(title, TITLE_FONT * capital, x.size / (wider * 1.12), 4, &heading))
    return false;
  y.from = (heading.count ? 10 + heading.count * 21 : 0) + 14 + PLOT_HEIGHT;
  struct legend legend = find_legend(curves, n, x.size);
  size_t rows = n ? (n + (size_t)legend.per_row - 1) / (size_t)legend.per_row : 0;
  double legend_top = y.from + (x_label ? 41 : 19) + LINE + 6;
  double height = legend_top + ((double)rows - 1) * LINE + 12;
  append_coordinates(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", WIDTH, " ", height);
  append_coordinates(svg, "\" width=\"", WIDTH, "\" height=\"", height);
  str_printf(svg,
             "\" role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"%d\" fill=\"currentColor\">\n<title>",
             FONT);
  html_text(svg, title ? title : "Curves");
  str_append(svg, "</title>\n");
  append_description(svg, curves, n);
  for (int i = 0; i < heading.count; i++) {
    append_coordinates(svg, "<text x=\"", x.from, "\" y=\"", 24 + i * 21);
    str_printf(svg, "\" font-size=\"%d\" font-weight=\"600\">", TITLE_FONT);
    html_text(svg, heading.line[i]);
    str_append(svg, "</text>\n");
  }
  text_block_free(&heading);
  append_axes(svg, &x, &y, x_label, y_label);
  for (size_t c = 0; c < n; c++)
    append_curve(svg, &curves[c], c, &x, &y);
  bool ok = append_legend(svg, curves, n, &legend, x.from, legend_top);
  return str_append(svg, "</svg>\n") && ok && !svg->failed;
}
