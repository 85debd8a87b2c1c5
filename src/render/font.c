/* SPDX-License-Identifier: Apache-2.0 */
/* A proportional stroke font. A glyph is a path of straight and curved strokes on a grid where capitals are 40 units
 * high, small letters 28, and descenders reach to -12. Its horizontal and vertical extremes are moved to whole pixels
 * at the size wanted, so that stems and bars stay crisp in small text; the strokes are then drawn by distance.
 *
 * Path commands, coordinates in grid units (y upwards), each from the current point:
 *   M x y      begin a stroke            L x y      straight
 *   H x y      quarter of an ellipse that leaves horizontally and arrives vertically
 *   V x y      quarter of an ellipse that leaves vertically and arrives horizontally
 *   Q a b x y  quadratic curve with control point (a, b)
 *   . x y      a dot */
#include "render/canvas.h"
#include "render/render.h"
#include "render/text.h"

#include <math.h>
#include <string.h>

enum { CAPITAL = 40, SMALL = 28, DESCENT = -12, TRACKING = 1 }; /* grid units */
enum { MAX_SEGMENTS = 256, CURVE_STEPS = 8, MAX_SIZE = 1024 };

struct glyph {
  uint32_t code;
  signed char left, width, right; /* white, extent of the strokes' middle lines, white */
  signed char bar;                /* height of a middle bar to be kept crisp, 0: none */
  bool centred;                   /* a stem stands at half the width */
  const char *path;
};

// clang-format off
static const struct glyph glyphs[] = {
  {' ', 9, 0, 10, 0, false, ""},
  {'!', 7, 0, 7, 0, false, "M0 40L0 12.0 0"},
  {'"', 6, 9, 6, 0, false, "M0 40L0 28M9 40L9 28"},
  {'#', 4, 30, 4, 13, false, "M6 0L11 40M19 0L24 40M1 13L28 13M2 27L29 27"},
  {'$', 6, 25, 6, 0, false, "M23 32Q20 40 12 40H1 30Q1 23 12 20Q25 17 25 10V13 0Q4 0 0 9M13 46L13 -6"},
  {'%', 4, 38, 4, 0, false, "M8 40H0 31V8 22H16 31V8 40M30 18H22 9V30 0H38 9V30 18M30 40L8 0"},
  {'&', 5, 32, 2, 0, false, "M32 0L8 26Q5 30 5 33V12 40H19 33Q19 28 10 23Q0 18 0 11V11 0Q24 0 29 18"},
  {'\'', 6, 0, 6, 0, false, "M0 40L0 28"},
  {'(', 6, 8, 3, 0, false, "M8 46Q0 34 0 18Q0 2 8 -10"},
  {')', 3, 8, 6, 0, false, "M0 46Q8 34 8 18Q8 2 0 -10"},
  {'*', 3, 14, 3, 0, true, "M7 40L7 24M0 36L14 28M14 36L0 28"},
  {'+', 5, 24, 5, 16, true, "M12 28L12 4M0 16L24 16"},
  {',', 6, 2, 6, 0, false, ".2 0M2 0L0 -8"},
  {'-', 5, 13, 5, 15, false, "M0 15L13 15"},
  {'.', 7, 0, 7, 0, false, ".0 0"},
  {'/', 4, 16, 4, 0, false, "M0 -5L16 43"},
  {'0', 6, 22, 6, 0, false, "M11 40H0 26L0 14V11 0H22 14L22 26V11 40"},
  {'1', 6, 10, 8, 0, false, "M0 31L10 40L10 0"},
  {'2', 6, 22, 6, 0, false, "M1 30V11 40H21 29Q21 23 14 16L0 0L22 0"},
  {'3', 6, 22, 6, 22, false, "M2 33Q5 40 11 40H20 31V11 22L7 22M11 22H22 11V11 0Q3 0 0 8"},
  {'4', 6, 22, 6, 11, false, "M16 0L16 40L0 11L22 11"},
  {'5', 6, 22, 6, 0, false, "M20 40L4 40L2 21Q6 26 11 26H22 13V11 0Q3 0 0 7"},
  {'6', 6, 22, 6, 0, false, "M19 36Q17 40 12 40H0 19L0 13V11 0H22 13V11 25H0 13"},
  {'7', 6, 22, 6, 0, false, "M0 40L22 40Q10 22 8 0"},
  {'8', 6, 22, 6, 22, false, "M11 40H2 31V11 22H20 31V11 40M11 22H0 11V11 0H22 11V11 22"},
  {'9', 6, 22, 6, 0, false, "M3 4Q5 0 10 0H22 21L22 27V11 40H0 27V11 15H22 27"},
  {':', 6, 0, 6, 0, false, ".0 0.0 24"},
  {';', 5, 2, 6, 0, false, ".2 24.2 0M2 0L0 -8"},
  {'<', 5, 22, 5, 0, false, "M22 28L0 16L22 4"},
  {'=', 5, 22, 5, 10, false, "M0 22L22 22M0 10L22 10"},
  {'>', 5, 22, 5, 0, false, "M0 28L22 16L0 4"},
  {'?', 4, 19, 4, 0, false, "M0 32Q2 40 10 40H19 31Q19 25 14 21Q9 17 9 12.9 0"},
  {'@', 5, 40, 5, 0, false,
   "M28 24L28 12Q28 7 33 7Q40 9 40 18V21 38H0 15V20 -8Q28 -8 33 -5M28 16V20 24H11 15V19 7H28 16"},
  {'A', 4, 32, 4, 13, false, "M0 0L16 40L32 0M5 13L27 13"},
  {'B', 7, 25, 5, 21, false, "M0 21L13 21H23 31V13 40L0 40L0 0L14 0H25 11V13 21"},
  {'C', 5, 30, 5, 0, false, "M29 31Q25 40 16 40H0 20V16 0Q25 0 30 9"},
  {'D', 7, 29, 5, 0, false, "M0 0L0 40L11 40H29 20V11 0L0 0"},
  {'E', 7, 22, 4, 21, false, "M22 40L0 40L0 0L22 0M0 21L20 21"},
  {'F', 7, 21, 4, 20, false, "M21 40L0 40L0 0M0 20L18 20"},
  {'G', 5, 31, 6, 19, false, "M29 32Q25 40 16 40H0 20V16 0Q26 0 31 7L31 19L19 19"},
  {'H', 7, 27, 7, 21, false, "M0 0L0 40M27 0L27 40M0 21L27 21"},
  {'I', 7, 0, 7, 0, false, "M0 0L0 40"},
  {'J', 4, 18, 7, 0, false, "M18 40L18 11V9 0H0 10"},
  {'K', 7, 26, 4, 0, false, "M0 0L0 40M25 40L0 15M9 24L26 0"},
  {'L', 7, 20, 4, 0, false, "M0 40L0 0L20 0"},
  {'M', 7, 32, 7, 0, true, "M0 0L0 40L16 8L32 40L32 0"},
  {'N', 7, 27, 7, 0, false, "M0 0L0 40L27 0L27 40"},
  {'O', 5, 34, 5, 0, false, "M17 40H0 20V17 0H34 20V17 40"},
  {'P', 7, 24, 5, 18, false, "M0 0L0 40L13 40H24 29V13 18L0 18"},
  {'Q', 5, 34, 5, 0, false, "M17 40H0 20V17 0H34 20V17 40M21 9L33 -4"},
  {'R', 7, 25, 4, 19, false, "M0 0L0 40L13 40H24 30V13 19L0 19M13 19L25 0"},
  {'S', 5, 25, 5, 0, false, "M23 32Q20 40 12 40H1 30Q1 23 12 20Q25 17 25 10V13 0Q4 0 0 9"},
  {'T', 4, 28, 4, 0, true, "M0 40L28 40M14 40L14 0"},
  {'U', 7, 28, 7, 0, false, "M0 40L0 14V14 0H28 14L28 40"},
  {'V', 4, 30, 4, 0, false, "M0 40L15 0L30 40"},
  {'W', 4, 46, 4, 0, false, "M0 40L11 0L23 36L35 0L46 40"},
  {'X', 4, 28, 4, 0, false, "M0 0L26 40M2 40L28 0"},
  {'Y', 4, 28, 4, 0, true, "M0 40L14 18L28 40M14 18L14 0"},
  {'Z', 5, 26, 5, 0, false, "M1 40L25 40L0 0L26 0"},
  {'[', 6, 8, 3, 0, false, "M8 46L0 46L0 -10L8 -10"},
  {'\\', 2, 16, 2, 0, false, "M0 43L16 -5"},
  {']', 3, 8, 6, 0, false, "M0 46L8 46L8 -10L0 -10"},
  {'^', 5, 20, 5, 0, false, "M0 26L10 40L20 26"},
  {'_', 2, 24, 2, 0, false, "M0 -8L24 -8"},
  {'`', 5, 7, 5, 0, false, "M0 40L7 33"},
  {'a', 5, 20, 7, 16, false, "M1 22Q3 28 11 28H20 18L20 0M20 16L10 16H0 8V9 0Q17 0 20 8"},
  {'b', 7, 21, 5, 0, false, "M0 40L0 0M0 20Q3 28 11 28H21 14V11 0Q3 0 0 8"},
  {'c', 5, 19, 5, 0, false, "M18 22Q16 28 11 28H0 14V11 0Q16 0 19 6"},
  {'d', 5, 21, 7, 0, false, "M21 40L21 0M21 20Q18 28 10 28H0 14V10 0Q18 0 21 8"},
  {'e', 5, 21, 5, 15, false, "M0 15L21 15V11 28H0 14V11 0Q17 0 20 6"},
  {'f', 4, 13, 5, 0, false, "M13 40L11 40H4 33L4 0M0 28L12 28"},
  {'g', 5, 21, 7, 0, false, "M21 28L21 -3V11 -12Q4 -12 1 -8M21 20Q18 28 10 28H0 14V10 0Q18 0 21 8"},
  {'h', 7, 20, 7, 0, false, "M0 40L0 0M0 19Q3 28 11 28H20 18L20 0"},
  {'i', 7, 0, 7, 0, false, "M0 28L0 0.0 38"},
  {'j', 2, 6, 7, 0, false, "M6 28L6 -5V0 -12.6 38"},
  {'k', 7, 19, 4, 0, false, "M0 40L0 0M18 28L0 10M7 17L19 0"},
  {'l', 7, 5, 5, 0, false, "M0 40L0 6V5 0"},
  {'m', 7, 34, 7, 0, true, "M0 28L0 0M0 19Q3 28 10 28H17 18L17 0M17 19Q20 28 27 28H34 18L34 0"},
  {'n', 7, 20, 7, 0, false, "M0 28L0 0M0 19Q3 28 11 28H20 18L20 0"},
  {'o', 5, 22, 5, 0, false, "M11 28H0 14V11 0H22 14V11 28"},
  {'p', 7, 21, 5, 0, false, "M0 28L0 -12M0 20Q3 28 11 28H21 14V11 0Q3 0 0 8"},
  {'q', 5, 21, 7, 0, false, "M21 28L21 -12M21 20Q18 28 10 28H0 14V10 0Q18 0 21 8"},
  {'r', 7, 12, 4, 0, false, "M0 28L0 0M0 18Q3 28 12 28"},
  {'s', 4, 18, 4, 0, false, "M17 22Q15 28 9 28H1 21Q1 16 9 15Q18 13 18 7V9 0Q2 0 0 6"},
  {'t', 4, 13, 5, 0, false, "M5 37L5 7V11 0L13 0M0 28L12 28"},
  {'u', 7, 20, 7, 0, false, "M0 28L0 10V9 0Q17 0 20 9M20 28L20 0"},
  {'v', 4, 22, 4, 0, false, "M0 28L11 0L22 28"},
  {'w', 4, 34, 4, 0, false, "M0 28L8 0L17 26L26 0L34 28"},
  {'x', 4, 20, 4, 0, false, "M0 0L19 28M1 28L20 0"},
  {'y', 4, 22, 4, 0, false, "M0 28L11 0M22 28L9 -5Q7 -12 1 -12"},
  {'z', 5, 19, 5, 0, false, "M1 28L18 28L0 0L19 0"},
  {'{', 4, 11, 3, 0, false, "M11 46Q5 46 5 39L5 26Q5 18 0 18Q5 18 5 10L5 -3Q5 -10 11 -10"},
  {'|', 6, 0, 6, 0, false, "M0 46L0 -10"},
  {'}', 3, 11, 4, 0, false, "M0 46Q6 46 6 39L6 26Q6 18 11 18Q6 18 6 10L6 -3Q6 -10 0 -10"},
  {'~', 5, 24, 5, 0, false, "M0 12Q1 19 7 19Q10 19 12 16Q14 13 17 13Q23 13 24 20"},
  {0xAB, 4, 20, 4, 0, false, "M9 24L0 14L9 4M20 24L11 14L20 4"},
  {0xB0, 4, 14, 4, 0, false, "M7 40H0 33V7 26H14 33V7 40"},
  {0xB1, 5, 24, 5, 20, true, "M12 31L12 9M0 20L24 20M0 0L24 0"},
  {0xB2, 4, 13, 4, 0, false, "M1 34V6 40H12 34Q12 31 8 27L0 19L13 19"},
  {0xB3, 4, 13, 4, 0, false, "M1 37Q3 40 6 40H12 35V6 30L4 30M6 30H13 24V6 19Q2 19 0 22"},
  {0xB5, 7, 20, 7, 0, false, "M0 28L0 -12M0 10V9 0Q17 0 20 9M20 28L20 0"},
  {0xB7, 6, 0, 6, 0, false, ".0 16"},
  {0xB9, 4, 6, 4, 0, false, "M0 35L6 40L6 19"},
  {0xBB, 4, 20, 4, 0, false, "M0 24L9 14L0 4M11 24L20 14L11 4"},
  {0xD7, 5, 20, 5, 0, false, "M0 6L20 26M0 26L20 6"},
  {0xDF, 7, 19, 5, 0, false, "M0 0L0 30V9 40H17 32Q17 25 10 23Q19 21 19 11V11 0L8 0"},
  {0xF7, 5, 24, 5, 16, true, "M0 16L24 16.12 27.12 5"},
  {0x2013, 2, 24, 2, 15, false, "M0 15L24 15"},
  {0x2014, 2, 42, 2, 15, false, "M0 15L42 15"},
  {0x2026, 6, 24, 6, 0, false, ".0 0.12 0.24 0"},
  {0x2192, 5, 28, 5, 16, false, "M0 16L28 16M19 25L28 16L19 7"},
  {0x2212, 5, 22, 5, 16, false, "M0 16L22 16"},
  {0x2248, 5, 24, 5, 0, false,
   "M0 18Q1 25 7 25Q10 25 12 22Q14 19 17 19Q23 19 24 26M0 6Q1 13 7 13Q10 13 12 10Q14 7 17 7Q23 7 24 14"},
  {0x2264, 5, 22, 5, 0, false, "M22 36L0 24L22 12M0 2L22 2"},
  {0x2265, 5, 22, 5, 0, false, "M0 36L22 24L0 12M0 2L22 2"},
  {TEXT_REPLACEMENT, 5, 22, 5, 0, false, "M0 0L0 40L22 40L22 0L0 0"},
};
// clang-format on

/* Letters of Latin-1 from U+00C0 by their bases; '-' has a glyph of its own, '+' is two letters. */
static const char latin_bases[] = "AAAAAA+CEEEEIIIIDNOOOOO-OUUUUYP-aaaaaa+ceeeeiiiidnooooo-ouuuuypy";

/* Up to two characters with glyphs for one of the text; 0: nothing is drawn. */
static void substitute(uint32_t code, uint32_t out[2])
{
  out[0] = code;
  out[1] = 0;
  bool ae = code == 0xC6 || code == 0xE6, oe = code == 0x152 || code == 0x153;
  if (ae || oe) {
    bool capital = code == 0xC6 || code == 0x152;
    out[0] = ae ? capital ? 'A' : 'a' : capital ? 'O' : 'o';
    out[1] = capital ? 'E' : 'e';
  } else if (code >= 0xC0 && code <= 0xFF && latin_bases[code - 0xC0] != '-') {
    out[0] = (unsigned char)latin_bases[code - 0xC0];
  } else if (code < 0x20 || code == 0xA0 || code == 0x2009 || code == 0x202F) {
    out[0] = ' ';
  } else if ((code >= 0x300 && code <= 0x36F) || code == 0xAD) { /* combining marks, soft hyphen */
    out[0] = 0;
  } else if (code == 0x2018 || code == 0x2019) {
    out[0] = '\'';
  } else if (code == 0x201C || code == 0x201D) {
    out[0] = '"';
  } else if (code == 0x2010 || code == 0x2011) {
    out[0] = '-';
  } else if (code == 0x3BC) { /* Greek mu is what µ decomposes to */
    out[0] = 0xB5;
  }
}

static const struct glyph *find_glyph(uint32_t code)
{
  size_t low = 0, high = sizeof glyphs / sizeof *glyphs - 1; /* the last one is the box */
  size_t box = high;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (glyphs[middle].code == code)
      return &glyphs[middle];
    if (glyphs[middle].code < code)
      low = middle + 1;
    else
      high = middle;
  }
  return &glyphs[box];
}

/* From grid units to px: vertically through the heights that have to fall on whole pixels, horizontally through the
 * glyph's left and right extremes. */
struct fit {
  double stroke, dot;
  double scale; /* px per unit */
  double from[5], to[5];
  int knots;
  double width, width_px;
};

static double stroke_width(double size)
{
  double w = 0.115 * size + 0.15;
  return w < 1 ? 1 : w;
}

static double grid_scale(double size)
{
  return (size - stroke_width(size)) / CAPITAL;
}

/* Whole px between the middle lines of the glyph's outermost strokes. */
static double extent_px(const struct glyph *g, double size)
{
  double extent = g->width * grid_scale(size);
  double px = g->centred ? 2 * rint(extent / 2) : rint(extent);
  return g->width > 0 && px < 1 ? 1 : px;
}

static void add_knot(struct fit *f, double unit, double edge_px)
{
  f->from[f->knots] = unit;
  f->to[f->knots++] = rint(edge_px) + f->stroke / 2; /* the stroke's lower edge on a pixel's side */
}

static void fit_glyph(struct fit *f, const struct glyph *g, double size)
{
  f->stroke = stroke_width(size);
  f->dot = f->stroke * 1.25;
  f->scale = grid_scale(size);
  f->width = g->width;
  f->width_px = extent_px(g, size);
  f->knots = 0;
  bool small = (g->code >= 'a' && g->code <= 'z') || g->code == 0xB5;
  add_knot(f, DESCENT, DESCENT * f->scale);
  add_knot(f, 0, 0);
  if (g->bar)
    add_knot(f, g->bar, g->bar * f->scale);
  if (small)
    add_knot(f, SMALL, SMALL * f->scale);
  add_knot(f, CAPITAL, CAPITAL * f->scale);
}

static double fit_x(const struct fit *f, double x)
{
  return f->stroke / 2 + (f->width > 0 ? x * f->width_px / f->width : x * f->scale);
}

/* Height above the base line. */
static double fit_y(const struct fit *f, double y)
{
  int i = 0;
  while (i < f->knots - 2 && y > f->from[i + 1])
    i++;
  return f->to[i] + (y - f->from[i]) * (f->to[i + 1] - f->to[i]) / (f->from[i + 1] - f->from[i]);
}

static int read_number(const char **path)
{
  const char *p = *path;
  while (*p == ' ')
    p++;
  bool negative = *p == '-';
  p += negative;
  int n = 0;
  while (*p >= '0' && *p <= '9')
    n = n * 10 + (*p++ - '0');
  *path = p;
  return negative ? -n : n;
}

struct pen {
  double x, y; /* grid units */
  struct segment *segments;
  int count;
  const struct fit *fit;
  double ox, oy; /* px on the canvas */
};

static void pen_to(struct pen *pen, double x, double y, double width)
{
  const struct fit *f = pen->fit;
  if (pen->count < MAX_SEGMENTS)
    pen->segments[pen->count++] = (struct segment){pen->ox + fit_x(f, pen->x), pen->oy - fit_y(f, pen->y),
                                                   pen->ox + fit_x(f, x), pen->oy - fit_y(f, y), width};
  pen->x = x;
  pen->y = y;
}

static void pen_cubic(struct pen *pen, double ax, double ay, double bx, double by, double x, double y)
{
  double x0 = pen->x, y0 = pen->y;
  for (int i = 1; i <= CURVE_STEPS; i++) {
    double t = (double)i / CURVE_STEPS, s = 1 - t;
    double c0 = s * s * s, c1 = 3 * s * s * t, c2 = 3 * s * t * t, c3 = t * t * t;
    pen_to(pen, c0 * x0 + c1 * ax + c2 * bx + c3 * x, c0 * y0 + c1 * ay + c2 * by + c3 * y, pen->fit->stroke);
  }
}

static void trace(struct pen *pen, const char *path)
{
  static const double quarter = 0.58; /* a circle would be 0.5523; letters look rounder a little squarer */
  while (*path) {
    char command = *path++;
    double a = 0, b = 0;
    if (command == 'Q') {
      a = read_number(&path);
      b = read_number(&path);
    }
    double x = read_number(&path), y = read_number(&path);
    double dx = x - pen->x, dy = y - pen->y;
    if (command == 'M' || command == '.') {
      pen->x = x;
      pen->y = y;
    }
    if (command == '.')
      pen_to(pen, x, y, pen->fit->dot);
    else if (command == 'L')
      pen_to(pen, x, y, pen->fit->stroke);
    else if (command == 'H')
      pen_cubic(pen, pen->x + quarter * dx, pen->y, x, y - quarter * dy, x, y);
    else if (command == 'V')
      pen_cubic(pen, pen->x, pen->y + quarter * dy, x - quarter * dx, y, x, y);
    else if (command == 'Q')
      pen_cubic(pen, pen->x + (a - pen->x) * 2 / 3, pen->y + (b - pen->y) * 2 / 3, x + (a - x) * 2 / 3,
                y + (b - y) * 2 / 3, x, y);
  }
}

/* Put a glyph behind the ones before it. The white between two is rounded as a whole, not side by side, which would
 * leave gaps of unequal width in small text. Returns the left edge of its ink. */
static double place(struct text_cursor *cursor, const struct glyph *g)
{
  double scale = grid_scale(cursor->size), stroke = stroke_width(cursor->size);
  if (g->code == ' ') {
    cursor->white += (g->left + g->right) * scale;
    return cursor->edge;
  }
  double left = 0;
  if (cursor->started || cursor->white > 0) {
    double white = cursor->white + (g->left + TRACKING) * scale - stroke / 2;
    left = rint(cursor->edge + (white < 0.9 ? 0.9 : white));
  }
  cursor->started = true;
  cursor->edge = left + extent_px(g, cursor->size) + stroke;
  cursor->white = g->right * scale - stroke / 2;
  return left;
}

double text_cursor_add(struct text_cursor *cursor, uint32_t code)
{
  uint32_t drawn[2];
  substitute(code, drawn);
  for (int i = 0; i < 2 && drawn[i]; i++)
    (void)place(cursor, find_glyph(drawn[i]));
  return rint(cursor->edge + cursor->white);
}

static bool drawable(double size)
{
  return size >= 1 && size <= MAX_SIZE;
}

double canvas_text_width(double size, const char *utf8)
{
  struct text_cursor cursor = {.size = size};
  double width = 0;
  if (drawable(size))
    for (uint32_t code; (code = text_next(&utf8)) != 0;)
      width = text_cursor_add(&cursor, code);
  return width;
}

double canvas_text(struct image *canvas, double x, double y, double size, const unsigned char rgb[3], const char *utf8)
{
  if (!drawable(size) || !isfinite(x) || !isfinite(y))
    return 0;
  struct text_cursor cursor = {.size = size};
  x = rint(x);
  y = rint(y);
  for (uint32_t code; (code = text_next(&utf8)) != 0;) {
    uint32_t drawn[2];
    substitute(code, drawn);
    for (int i = 0; i < 2 && drawn[i]; i++) {
      const struct glyph *g = find_glyph(drawn[i]);
      double at = x + place(&cursor, g);
      if (at > canvas->width || x + cursor.edge + size < 0)
        continue;
      struct segment segments[MAX_SEGMENTS];
      struct fit fit;
      fit_glyph(&fit, g, size);
      struct pen pen = {.segments = segments, .fit = &fit, .ox = at, .oy = y};
      trace(&pen, g->path);
      if (pen.count > 0)
        canvas_segments(canvas, segments, pen.count, rgb);
    }
  }
  return rint(cursor.edge + cursor.white);
}
