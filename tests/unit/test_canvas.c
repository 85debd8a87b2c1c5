/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"
#include "render/canvas.h"
#include "render/render.h"
#include "render/text.h"
#include "unit.h"

#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const unsigned char white[3] = {255, 255, 255}, black[3] = {0, 0, 0}, red[3] = {200, 10, 20};

static struct image blank(int width, int height)
{
  struct image canvas;
  struct error err = {0};
  assert_true(canvas_new(&canvas, width, height, white, &err));
  return canvas;
}

static const unsigned char *at(const struct image *canvas, int x, int y)
{
  return (const unsigned char *)canvas->data + ((size_t)y * (size_t)canvas->width + (size_t)x) * 3;
}

/* How much black ink there is, in pixels. */
static double ink(const struct image *canvas)
{
  double sum = 0;
  for (int y = 0; y < canvas->height; y++)
    for (int x = 0; x < canvas->width; x++)
      sum += (255 - at(canvas, x, y)[0]) / 255.0;
  return sum;
}

/* The box around everything that is not white; false if all is. */
static bool extent(const struct image *canvas, int box[4])
{
  box[0] = box[1] = INT_MAX;
  box[2] = box[3] = -1;
  for (int y = 0; y < canvas->height; y++)
    for (int x = 0; x < canvas->width; x++)
      if (memcmp(at(canvas, x, y), white, 3) != 0) {
        box[0] = x < box[0] ? x : box[0];
        box[1] = y < box[1] ? y : box[1];
        box[2] = x > box[2] ? x : box[2];
        box[3] = y;
      }
  return box[2] >= 0;
}

static void makes_canvases(void **state)
{
  (void)state;
  struct image canvas = blank(3, 2);
  assert_int_equal(canvas.channels, 3);
  assert_int_equal(canvas.type, PIXEL_U8);
  assert_true(canvas.lo == 0 && canvas.hi == 255);
  for (int i = 0; i < 18; i++)
    assert_int_equal(((unsigned char *)canvas.data)[i], 255);
  image_free(&canvas);
  static const int wrong[][2] = {{0, 1}, {1, 0}, {-1, 5}, {INT_MAX, 1}, {1, INT_MAX}, {60000, 60000}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    struct error err = {0};
    assert_false(canvas_new(&canvas, wrong[i][0], wrong[i][1], white, &err));
    assert_int_equal(err.code, ERROR_FAILED);
    assert_null(canvas.data);
  }
  FAULT_LOOP(canvas_new(&canvas, 5, 5, white, &err), image_free(&canvas));
  struct error err = {0};
  assert_false(canvas_enlarged(&canvas, 40000, 2, 2, &err));
  err = (struct error){0};
  assert_false(canvas_enlarged(&canvas, 1, 1, 0, &err));
  err = (struct error){0};
  assert_false(canvas_enlarged(&canvas, 1, 1, INT_MAX, &err));
  err = (struct error){0};
  assert_true(canvas_enlarged(&canvas, 4, 3, 5, &err));
  assert_int_equal(canvas.width, 20);
  assert_int_equal(canvas.height, 15);
  image_free(&canvas);
}

static void fills_within_bounds(void **state)
{
  (void)state;
  static const struct {
    int x, y, width, height, pixels;
  } cases[] = {
      {2, 1, 3, 2, 6},
      {-2, -2, 4, 4, 4},
      {8, 6, 100, 100, 4},
      {-5, 0, 5, 8, 0},
      {10, 0, 1, 1, 0},
      {0, 8, 1, 1, 0},
      {3, 3, 0, 5, 0},
      {3, 3, -4, 5, 0},
      {0, 0, INT_MAX, 1, 10},
      {5, 5, INT_MAX, INT_MAX, 15},
      {INT_MIN, INT_MIN, INT_MAX, INT_MAX, 0},
      {INT_MAX, 0, 5, 5, 0},
      {INT_MIN, 0, -1, 5, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct image canvas = blank(10, 8);
    canvas_fill(&canvas, cases[i].x, cases[i].y, cases[i].width, cases[i].height, black);
    assert_true(ink(&canvas) == cases[i].pixels);
    image_free(&canvas);
  }
  struct image canvas = blank(4, 4);
  canvas_fill(&canvas, 1, 2, 2, 1, red);
  assert_memory_equal(at(&canvas, 1, 2), red, 3);
  assert_memory_equal(at(&canvas, 2, 2), red, 3);
  assert_memory_equal(at(&canvas, 0, 2), white, 3);
  assert_memory_equal(at(&canvas, 3, 2), white, 3);
  assert_memory_equal(at(&canvas, 1, 1), white, 3);
  image_free(&canvas);
}

static void pastes_within_bounds(void **state)
{
  (void)state;
  struct image stamp = blank(4, 3);
  for (int i = 0; i < 12; i++)
    memset((unsigned char *)stamp.data + 3 * i, i, 3);
  static const int places[][2] = {{0, 0},  {3, 2},  {-2, -1}, {6, 5},       {7, 7},
                                  {-4, 0}, {0, -3}, {8, 0},   {INT_MIN, 0}, {INT_MAX, INT_MAX}};
  for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
    struct image canvas = blank(8, 7);
    canvas_paste(&canvas, &stamp, places[k][0], places[k][1]);
    for (int y = 0; y < 7; y++)
      for (int x = 0; x < 8; x++) {
        int64_t sx = (int64_t)x - places[k][0], sy = (int64_t)y - places[k][1];
        bool inside = sx >= 0 && sx < 4 && sy >= 0 && sy < 3;
        assert_int_equal(at(&canvas, x, y)[0], inside ? sy * 4 + sx : 255);
      }
    image_free(&canvas);
  }
  image_free(&stamp);
}

static void draws_lines(void **state)
{
  (void)state;
  struct image canvas = blank(40, 20); /* along pixels: exact */
  canvas_line(&canvas, 5.5, 8, 30.5, 8, 2, black);
  for (int x = 6; x < 30; x++) {
    assert_int_equal(at(&canvas, x, 7)[0], 0);
    assert_int_equal(at(&canvas, x, 8)[0], 0);
    assert_int_equal(at(&canvas, x, 6)[0], 255);
    assert_int_equal(at(&canvas, x, 9)[0], 255);
  }
  image_free(&canvas);
  for (int k = 0; k < 12; k++) { /* any direction: the ink is length x width and the round ends */
    canvas = blank(200, 200);
    double angle = k * 0.5236, dx = 80 * cos(angle), dy = 80 * sin(angle), width = 1 + k * 0.5;
    canvas_line(&canvas, 100 - dx, 100 - dy, 100 + dx, 100 + dy, width, black);
    double area = 160 * width + 3.14159 * width * width / 4;
    assert_true(fabs(ink(&canvas) - area) < 0.02 * area);
    image_free(&canvas);
  }
  canvas = blank(50, 50); /* thinner than a pixel is fainter */
  canvas_line(&canvas, 5, 20.5, 45, 20.5, 0.25, black);
  assert_true(fabs(ink(&canvas) - 10) < 0.6);
  image_free(&canvas);
  static const double strange[][5] = {{NAN, 1, 2, 3, 1}, {0, 0, INFINITY, 3, 1}, {1, 1, 5, 5, 0},    {1, 1, 5, 5, -3},
                                      {1, 1, 5, 5, NAN}, {100, 100, 200, 90, 2}, {-9, -9, -9, -9, 3}};
  for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
    canvas = blank(20, 20);
    canvas_line(&canvas, strange[i][0], strange[i][1], strange[i][2], strange[i][3], strange[i][4], black);
    assert_true(ink(&canvas) == 0);
    image_free(&canvas);
  }
  canvas = blank(20, 20); /* far ends */
  canvas_line(&canvas, -1e9, 10.5, 1e9, 10.5, 1, black);
  assert_true(fabs(ink(&canvas) - 20) < 0.1);
  canvas_line(&canvas, 10, 10, 10, 10, 1e12, black);
  assert_true(ink(&canvas) == 400);
  image_free(&canvas);
}

static struct image draw(double size, const char *text)
{
  struct image canvas = blank((int)(size * 8) + 20, (int)(size * 3) + 8);
  (void)canvas_text(&canvas, 4, 2 * size + 4, size, black, text);
  return canvas;
}

static bool same(const struct image *a, const struct image *b)
{
  return a->width == b->width && a->height == b->height &&
         memcmp(a->data, b->data, (size_t)a->width * (size_t)a->height * 3) == 0;
}

static void every_character_is_drawn_and_distinct(void **state)
{
  (void)state;
  static const char *const others[] = {"\u00B0", "\u00B5", "\u00B2", "\u00D7", "\u00B1", "\u2026",
                                       "\u2264", "\u2265", "\u00B3", "\u2192", "\u2248", "\uFFFD"};
  static const double sizes[] = {8, 12, 24};
  enum { ALL = 94 + sizeof others / sizeof *others };
  for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
    double size = sizes[k];
    struct image drawn[ALL];
    for (int i = 0; i < ALL; i++) {
      char text[8] = {(char)('!' + i), '\0'};
      drawn[i] = draw(size, i < 94 ? text : others[i - 94]);
      int box[4];
      assert_true(extent(&drawn[i], box));
      assert_true(box[0] >= 3 && box[2] <= 4 + ceil(canvas_text_width(size, i < 94 ? text : others[i - 94])) + 1);
      assert_true(box[1] >= 2 * size + 4 - 1.4 * size && box[3] <= 2 * size + 4 + 0.5 * size);
      for (int j = 0; j < i; j++)
        assert_false(same(&drawn[i], &drawn[j]));
    }
    for (int i = 0; i < ALL; i++)
      image_free(&drawn[i]);
  }
}

static void capitals_have_the_stated_height(void **state)
{
  (void)state;
  for (int size = 8; size <= 40; size++) {
    struct image canvas = draw(size, "H");
    int box[4];
    assert_true(extent(&canvas, box));
    assert_int_equal(box[3], 2 * size + 3); /* stands on the base line */
    assert_in_range(box[3] - box[1] + 1, size, size + 1);
    assert_int_equal(box[0], 4);
    image_free(&canvas);
  }
}

static void letters_fall_back_to_their_bases(void **state)
{
  (void)state;
  static const char *const pairs[][2] = {
      {"\u00C4\u00D6\u00DC\u00E9\u00E8", "AOUee"},
      {"\u00C7\u00F1\u00FF", "Cny"},
      {"\u00C6\u0153", "AEoe"},
      {"e\u0301", "e"},
      {"\u2019\u201C", "'\""},
      {"a\u00A0b\tc", "a b c"},
      {"\u03BCm", "\u00B5m"},
      {"\u65E5", "\uFFFD"},
      {"\xFF\xC0\x80", "\uFFFD\uFFFD\uFFFD"},
      {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    struct image a = draw(14, pairs[i][0]), b = draw(14, pairs[i][1]);
    assert_true(same(&a, &b));
    assert_true(canvas_text_width(14, pairs[i][0]) == canvas_text_width(14, pairs[i][1]));
    image_free(&a);
    image_free(&b);
  }
}

static void text_keeps_to_the_canvas_and_its_width(void **state)
{
  (void)state;
  static const char *text = "Pneumonia 0.942 \u2013 score drop \u22120.031 \u00B1 0.004";
  for (double size = 7; size < 30; size += 1.5) {
    double width = canvas_text_width(size, text);
    struct image canvas = blank((int)width + 40, 100);
    assert_true(canvas_text(&canvas, 10, 60, size, black, text) == width);
    int box[4];
    assert_true(extent(&canvas, box));
    assert_true(box[0] == 10 && box[2] <= 10 + width + 1);
    assert_true(width > 20 * 0.4 * size);
    image_free(&canvas);
  }
  struct image tiny = blank(5, 5); /* cut off on every side; sanitizers watch */
  for (int y = -30; y < 40; y += 3)
    for (int x = -60; x < 20; x += 5)
      (void)canvas_text(&tiny, x, y, 20, black, text);
  canvas_fill(&tiny, 0, 0, 5, 5, white);
  assert_true(canvas_text(&tiny, 0, 4, NAN, black, text) == 0);
  assert_true(canvas_text(&tiny, 0, 4, 1e6, black, text) == 0);
  assert_true(canvas_text(&tiny, NAN, 4, 9, black, text) == 0);
  assert_true(canvas_text(&tiny, 0, 4, 9, black, "") == 0);
  (void)canvas_text(&tiny, 1e300, -1e300, 9, black, text);
  assert_true(ink(&tiny) == 0);
  image_free(&tiny);
}

static void numbers_are_short(void **state)
{
  (void)state;
  static const struct {
    double value;
    int digits;
    const char *text;
  } cases[] = {
      {0, 3, "0"},
      {0.3142, 3, "0.314"},
      {0.31, 3, "0.31"},
      {-0.5, 2, "-0.5"},
      {1, 3, "1"},
      {1234.5, 3, "1230"},
      {1234.5, 5, "1234.5"},
      {999.6, 3, "1000"},
      {0.00012, 3, "0.00012"},
      {0.000012, 3, "1.2e-5"},
      {-3e-9, 1, "-3e-9"},
      {1e6, 3, "1000000"},
      {1.5e7, 3, "1.5e7"},
      {100, 2, "100"},
      {-0.0, 3, "0"},
      {0.05, 1, "0.05"},
      {12.34, 3, "12.3"},
      {1e-320, 2, "1e-320"},
      {9.99e99, 1, "1e100"},
      {NAN, 3, "NaN"},
      {INFINITY, 3, "inf"},
      {-INFINITY, 3, "-inf"},
      {1.0 / 3, 99, "0.333333333"},
  };
  static const char *const locales[] = {"C", "de_DE.UTF-8", "fr_FR.UTF-8"};
  char out[TEXT_NUMBER];
  for (size_t l = 0; l < sizeof locales / sizeof *locales; l++) {
    if (!setlocale(LC_NUMERIC, locales[l]))
      continue; /* not installed */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
      assert_string_equal(text_number(cases[i].value, cases[i].digits, false, out), cases[i].text);
    assert_string_equal(text_coordinate(12.5, out), "12.5");
  }
  setlocale(LC_NUMERIC, "C");
  assert_string_equal(text_number(-0.25, 3, true, out), "\u22120.25");
  assert_string_equal(text_coordinate(0, out), "0");
  assert_string_equal(text_coordinate(-0.004, out), "0");
  assert_string_equal(text_coordinate(-0.05, out), "-0.05");
  assert_string_equal(text_coordinate(640, out), "640");
  assert_string_equal(text_coordinate(1e9 + 0.126, out), "1000000000.13");
}

static void reads_utf8(void **state)
{
  (void)state;
  static const struct {
    const char *bytes;
    uint32_t code;
    int length;
  } cases[] = {
      {"A", 'A', 1},
      {"\xC2\xB5", 0xB5, 2},
      {"\xE2\x88\x92", 0x2212, 3},
      {"\xF0\x9F\x98\x80", 0x1F600, 4},
      {"\x80", 0xFFFD, 1},
      {"\xC2", 0xFFFD, 1},
      {"\xE2\x88", 0xFFFD, 1},
      {"\xC0\xAF", 0xFFFD, 1},
      {"\xE0\x80\xAF", 0xFFFD, 1},
      {"\xF0\x80\x80\xAF", 0xFFFD, 1},
      {"\xF4\x90\x80\x80", 0xFFFD, 1},
      {"\xF5\x80\x80\x80", 0xFFFD, 1},
      {"\xED\xBF\xBF", 0xFFFD, 1},
      {"", 0, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *p = cases[i].bytes;
    assert_int_equal(text_next(&p), cases[i].code);
    assert_int_equal(p - cases[i].bytes, cases[i].length);
  }
}

static void without_spaces(const char *text, char *out)
{
  for (; *text; text++)
    if (*text != ' ')
      *out++ = *text;
  *out = '\0';
}

static void wraps_at_spaces(void **state)
{
  (void)state;
  static const char *text =
      "Deletion of the most relevant pixels, Enlarged_Cardiomediastinum_and_a_long_file_name.png 1.5 mm";
  for (double width = 60; width < 900; width += 37) {
    struct text_block block;
    char joined[256] = "";
    size_t length = 0;
    assert_true(text_wrap(text, 10, width, TEXT_LINES, &block));
    assert_in_range(block.count, 1, TEXT_LINES);
    for (int i = 0; i < block.count; i++) {
      assert_true(canvas_text_width(10, block.line[i]) <= width);
      assert_true(canvas_text_width(10, block.line[i]) <= block.width);
      assert_true(block.line[i][0] != ' ');
      length += (size_t)snprintf(joined + length, sizeof joined - length, "%s", block.line[i]);
    }
    char bare[256], bare_text[256]; /* nothing but spaces at breaks is lost */
    without_spaces(joined, bare);
    without_spaces(text, bare_text);
    assert_string_equal(bare, bare_text);
    text_block_free(&block);
  }
  struct text_block block;
  assert_true(text_wrap(text, 10, 120, 2, &block));
  assert_int_equal(block.count, 2);
  size_t bytes = strlen(block.line[1]);
  assert_true(bytes > 4);
  assert_string_equal(block.line[1] + bytes - 3, "\u2026");
  assert_true(canvas_text_width(10, block.line[1]) <= 120);
  text_block_free(&block);
  assert_true(text_wrap("a\nb\n\nc", 10, 500, 9, &block));
  assert_int_equal(block.count, 4);
  assert_string_equal(block.line[2], "");
  assert_string_equal(block.line[3], "c");
  text_block_free(&block);
  assert_true(text_wrap("wide", 10, 1, 9, &block)); /* at least one character a line */
  assert_int_equal(block.count, 4);
  text_block_free(&block);
  assert_true(text_wrap(NULL, 10, 100, 9, &block));
  assert_int_equal(block.count, 0);
  assert_true(text_wrap("", 10, 100, 9, &block));
  assert_int_equal(block.count, 0);
  mem_fail_after(1);
  assert_false(text_wrap("text", 10, 100, 9, &block));
  mem_fail_after(0);
  assert_int_equal(block.count, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(makes_canvases),
      cmocka_unit_test(fills_within_bounds),
      cmocka_unit_test(pastes_within_bounds),
      cmocka_unit_test(draws_lines),
      cmocka_unit_test(every_character_is_drawn_and_distinct),
      cmocka_unit_test(capitals_have_the_stated_height),
      cmocka_unit_test(letters_fall_back_to_their_bases),
      cmocka_unit_test(text_keeps_to_the_canvas_and_its_width),
      cmocka_unit_test(numbers_are_short),
      cmocka_unit_test(reads_utf8),
      cmocka_unit_test(wraps_at_spaces),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
