/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "render/render.h"
#include "unit.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT = 1 << 20, DEPTH = 32 };

/* A strict enough reading of XML: tags nest and close, attributes are quoted and not repeated without a name, entities
 * are the predefined ones or numbers, no bare '<' or '&'. */
static void assert_well_formed(const char *text)
{
  char open[DEPTH][32];
  int depth = 0, roots = 0;
  for (const char *p = text; *p;) {
    if (*p == '&') {
      const char *end = strchr(p, ';');
      assert_non_null(end);
      static const char *const known[] = {"&lt;", "&gt;", "&amp;", "&quot;", "&#39;"};
      bool ok = false;
      for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        ok |= strncmp(p, known[i], strlen(known[i])) == 0;
      assert_true(ok);
      p = end + 1;
    } else if (*p != '<') {
      assert_true(*p != '>' && ((unsigned char)*p >= 0x20 || *p == '\n' || *p == '\t'));
      assert_true(depth > 0 || isspace((unsigned char)*p));
      p++;
    } else if (p[1] == '/') {
      assert_true(depth > 0);
      depth--;
      size_t n = strlen(open[depth]);
      assert_true(strncmp(p + 2, open[depth], n) == 0 && p[2 + n] == '>');
      p += n + 3;
    } else {
      size_t n = strcspn(++p, " />\n");
      assert_true(n > 0 && n < sizeof open[0] && depth < DEPTH);
      memcpy(open[depth], p, n);
      open[depth][n] = '\0';
      roots += depth == 0;
      for (p += n; *p == ' ';) {
        p++;
        size_t name = strcspn(p, "=<>\"");
        assert_true(name > 0 && p[name] == '=' && p[name + 1] == '"');
        p += name + 2;
        while (*p != '"') {
          assert_true(*p && *p != '<');
          p++;
        }
        p++;
      }
      if (*p == '/')
        p++;
      else
        depth++;
      assert_int_equal(*p, '>');
      p++;
    }
  }
  assert_int_equal(depth, 0);
  assert_int_equal(roots, 1);
}

static int count(const char *text, const char *what)
{
  int n = 0;
  for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
    n++;
  return n;
}

static void plot(struct str *svg, const struct curve *curves, size_t n, const char *title, const char *x, const char *y)
{
  str_init(svg, LIMIT);
  assert_true(plot_svg(curves, n, title, x, y, svg));
  assert_non_null(svg->text);
  assert_well_formed(svg->text);
  assert_null(strstr(svg->text, "nan"));
  assert_null(strstr(svg->text, "inf"));
}

/* The numbers of the nth path's data that has no fill (a curve). */
static size_t path_points(const char *svg, const char *color, double *out, size_t max)
{
  char start[128];
  (void)snprintf(start, sizeof start, "stroke=\"%s\"", color);
  const char *p = strstr(svg, start);
  assert_non_null(p);
  p = strstr(p, " d=\"");
  assert_non_null(p);
  size_t n = 0;
  for (p += 4; *p != '"' && n < max;) {
    if (isdigit((unsigned char)*p) || *p == '-') {
      char *end;
      out[n++] = strtod(p, &end);
      p = end;
    } else {
      p++;
    }
  }
  return n;
}

static void draws_points_where_they_belong(void **state)
{
  (void)state;
  static const double x[] = {0, 50, 100}, y[] = {0, 0.5, 1};
  struct curve curve = {.name = "line", .x = x, .y = y, .n = 3, .color = "#123456"};
  struct str svg;
  plot(&svg, &curve, 1, "Title", "steps", "score");
  double points[6];
  assert_int_equal(path_points(svg.text, "#123456", points, 6), 6);
  assert_true(fabs((points[0] + points[4]) / 2 - points[2]) < 0.011); /* on a straight line, rising */
  assert_true(fabs((points[1] + points[5]) / 2 - points[3]) < 0.011);
  assert_true(points[0] < points[2] && points[1] > points[3]);
  assert_non_null(strstr(svg.text, ">Title<"));
  assert_non_null(strstr(svg.text, ">steps<"));
  assert_non_null(strstr(svg.text, ">score<"));
  assert_non_null(strstr(svg.text, ">line<"));
  assert_non_null(strstr(svg.text, ">0.8<"));
  assert_non_null(strstr(svg.text, ">100<"));
  assert_non_null(strstr(svg.text, "currentColor"));
  assert_non_null(strstr(svg.text, "<desc>line: 0 at 0 to 1 at 100. </desc>"));
  str_free(&svg);
}

static void texts_are_escaped(void **state)
{
  (void)state;
  static const double x[] = {0, 1}, y[] = {0, 1};
  struct curve curve = {.name = "a<b & \"c\" 'd' </svg><script>", .x = x, .y = y, .n = 2, .color = "red\"/><script>"};
  struct str svg;
  plot(&svg, &curve, 1, "p < 0.05 & <script>alert(1)</script>\x01\x1F", "\xFF\xFE bad \xC0\x80", "\xEF\xBF\xBF \u00B5");
  assert_null(strstr(svg.text, "<script"));
  assert_non_null(strstr(svg.text, "p &lt; 0.05 &amp; "));
  assert_non_null(strstr(svg.text, "\u00B5"));
  assert_null(strstr(svg.text, "\xEF\xBF\xBF"));
  for (const char *p = svg.text; *p; p++)
    assert_true((unsigned char)*p != 0xFF && (unsigned char)*p != 0xFE && (unsigned char)*p != 0xC0);
  str_free(&svg);
}

static void gaps_split_the_line_and_the_band(void **state)
{
  (void)state;
  double x[9], y[9], lo[9], hi[9];
  for (int i = 0; i < 9; i++) {
    x[i] = i;
    y[i] = i * i;
    lo[i] = y[i] - 1;
    hi[i] = y[i] + 1;
  }
  struct curve curve = {.name = "c", .x = x, .y = y, .lo = lo, .hi = hi, .n = 9};
  struct str svg;
  plot(&svg, &curve, 1, NULL, NULL, NULL);
  assert_int_equal(count(svg.text, "fill-opacity"), 1);
  assert_int_equal(count(svg.text, "Z"), 1);
  str_free(&svg);
  y[4] = NAN;
  hi[6] = INFINITY;
  plot(&svg, &curve, 1, NULL, NULL, NULL);
  assert_int_equal(count(svg.text, "Z"), 3);     /* 0..3, 5, 7..8 */
  assert_int_equal(count(svg.text, "d=\"M"), 4); /* axes, band, line, legend */
  str_free(&svg);
  for (int i = 0; i < 9; i++)
    y[i] = i % 2 ? NAN : 1; /* lone points */
  curve.lo = NULL;
  plot(&svg, &curve, 1, NULL, NULL, NULL);
  assert_int_equal(count(svg.text, "m-4 0h8"), 5);
  assert_int_equal(count(svg.text, "fill-opacity"), 0);
  str_free(&svg);
}

static void strange_data_are_drawn(void **state)
{
  (void)state;
  static const double xs[][3] = {{0, 0, 0},
                                 {1, 2, 3},
                                 {NAN, NAN, NAN},
                                 {-1e300, 0, 1e300},
                                 {1e-300, 2e-300, 3e-300},
                                 {5, 5, 5},
                                 {1e16, 1e16 + 2, 1e16 + 4},
                                 {INFINITY, 0, 1},
                                 {-3, -2, -1},
                                 {0, 1e-320, 0}};
  struct str svg;
  for (size_t i = 0; i < sizeof xs / sizeof *xs; i++)
    for (size_t j = 0; j < sizeof xs / sizeof *xs; j++) {
      struct curve curve = {.name = "c", .x = xs[i], .y = xs[j], .lo = xs[j], .hi = xs[j], .n = 3};
      plot(&svg, &curve, 1, "t", "x", "y");
      assert_in_range(count(svg.text, "<line"), 2, 40);
      str_free(&svg);
    }
  plot(&svg, NULL, 0, NULL, NULL, NULL);
  str_free(&svg);
  struct curve empty[3] = {{.name = "none"}, {.name = NULL}, {.name = ""}};
  plot(&svg, empty, 3, "", "", "");
  assert_non_null(strstr(svg.text, "no points"));
  str_free(&svg);
}

static void curves_are_told_apart(void **state)
{
  (void)state;
  static const double x[] = {0, 1}, y[] = {0, 1};
  struct curve curves[8];
  char names[8][200];
  for (int i = 0; i < 8; i++) {
    memset(names[i], 'a' + i, 199);
    names[i][i == 7 ? 199 : 10] = '\0'; /* one name is far too long */
    curves[i] = (struct curve){.name = names[i], .x = x, .y = y, .n = 2};
  }
  struct str svg;
  plot(&svg, curves, 8, "t", "x", "y");
  char seen[8][64];
  int n = 0;
  for (const char *p = svg.text; (p = strstr(p, "stroke=\"#")); p += 9) { /* curves first, then the legend */
    if (n < 8)
      (void)snprintf(seen[n], sizeof seen[n], "%.45s", p);
    n++;
  }
  assert_int_equal(n, 16);
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < i; j++)
      assert_string_not_equal(seen[i], seen[j]);
  assert_int_equal(count(svg.text, "stroke-dasharray"), 14);
  assert_non_null(strstr(svg.text, "\u2026</text>"));
  str_free(&svg);
}

static void long_curves_stay_small(void **state)
{
  (void)state;
  enum { POINTS = 200000 };
  double *x = mem_alloc(POINTS * sizeof *x), *y = mem_alloc(POINTS * sizeof *y);
  assert_true(x && y);
  for (int i = 0; i < POINTS; i++) {
    x[i] = i;
    y[i] = exp(-i / 50000.0);
  }
  struct curve curve = {.name = "deletion", .x = x, .y = y, .n = POINTS};
  struct str svg;
  plot(&svg, &curve, 1, "t", "x", "y");
  assert_true(svg.length < 64 << 10);
  str_free(&svg);
  mem_free(x);
  mem_free(y);
}

static void stops_at_the_ceiling_and_without_memory(void **state)
{
  (void)state;
  static const double x[] = {0, 1}, y[] = {0, 1};
  struct curve curve = {.name = "c", .x = x, .y = y, .n = 2};
  struct str svg;
  plot(&svg, &curve, 1, "title", "x", "y");
  size_t whole = svg.length;
  str_free(&svg);
  for (size_t limit = 0; limit <= whole; limit++) {
    str_init(&svg, limit);
    assert_int_equal(plot_svg(&curve, 1, "title", "x", "y", &svg), limit == whole);
    assert_int_equal(svg.text != NULL, limit == whole);
    str_free(&svg);
  }
  int failures = 0;
  for (bool done = false; !done; failures++) {
    str_init(&svg, LIMIT);
    mem_fail_after((uint64_t)failures + 1);
    done = plot_svg(&curve, 1, "title", "x", "y", &svg);
    mem_fail_after(0);
    if (done)
      assert_well_formed(svg.text);
    str_free(&svg);
  }
  assert_true(failures > 3);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(draws_points_where_they_belong),
      cmocka_unit_test(texts_are_escaped),
      cmocka_unit_test(gaps_split_the_line_and_the_band),
      cmocka_unit_test(strange_data_are_drawn),
      cmocka_unit_test(curves_are_told_apart),
      cmocka_unit_test(long_curves_stay_small),
      cmocka_unit_test(stops_at_the_ceiling_and_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
