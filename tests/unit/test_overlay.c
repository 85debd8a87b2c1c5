/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"
#include "render/render.h"
#include "unit.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const unsigned char white[3] = {255, 255, 255}, ink[3] = {28, 30, 34}, faint_ink[3] = {92, 96, 104};

static const unsigned char *at(const struct image *image, int x, int y)
{
  return (const unsigned char *)image->data + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
}

/* A grey picture of some pattern; its data are the caller's to free. */
static struct image picture(int width, int height)
{
  struct image image = {.width = width, .height = height, .channels = 1, .type = PIXEL_U8, .hi = 255};
  unsigned char *data = mem_alloc((size_t)width * (size_t)height);
  assert_non_null(data);
  for (int i = 0; i < width * height; i++)
    data[i] = (unsigned char)(60 + ((uint32_t)i * 2654435761u >> 16) % 120);
  image.data = data;
  return image;
}

static float *map_of(int width, int height, float value)
{
  float *map = mem_alloc((size_t)width * (size_t)height * sizeof(float));
  assert_non_null(map);
  for (int i = 0; i < width * height; i++)
    map[i] = value;
  return map;
}

static struct image overlay_of(const struct image *source, const struct overlay *overlay)
{
  struct image out;
  struct error err = {0};
  if (!render_overlay(source, overlay, &out, &err))
    fail_msg("%s", err.message);
  return out;
}

/* Whether the text stands somewhere in the picture, drawn exactly as on white paper. */
static bool contains(const struct image *image, double size, const unsigned char color[3], const char *text)
{
  struct image stamp;
  struct error err = {0};
  int width = (int)canvas_text_width(size, text), height = (int)(size * 1.5) + 2;
  assert_true(canvas_new(&stamp, width, height, white, &err));
  (void)canvas_text(&stamp, 0, size + 1, size, color, text);
  bool found = false;
  for (int y = 0; !found && y + height <= image->height; y++)
    for (int x = 0; !found && x + width <= image->width; x++) {
      found = true;
      for (int row = 0; found && row < height; row++)
        found = memcmp(at(image, x, y + row), at(&stamp, 0, row), (size_t)width * 3) == 0;
    }
  image_free(&stamp);
  return found;
}

/* The box of pixels in which two pictures of one size differ; false if they are the same. */
static bool difference(const struct image *a, const struct image *b, int box[4])
{
  assert_int_equal(a->width, b->width);
  assert_int_equal(a->height, b->height);
  box[0] = box[1] = INT_MAX;
  box[2] = box[3] = -1;
  for (int y = 0; y < a->height; y++)
    for (int x = 0; x < a->width; x++)
      if (memcmp(at(a, x, y), at(b, x, y), 3) != 0) {
        box[0] = x < box[0] ? x : box[0];
        box[1] = y < box[1] ? y : box[1];
        box[2] = x > box[2] ? x : box[2];
        box[3] = y;
      }
  return box[2] >= 0;
}

/* One hot pixel colours its block and nothing else, wherever it is. */
static void a_pixel_colours_its_block(void **state)
{
  (void)state;
  static const int sizes[][2] = {{8, 8}, {28, 28}, {23, 19}, {19, 23}, {100, 7}, {448, 300}, {2, 3}};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    int width = sizes[s][0], height = sizes[s][1], long_side = width > height ? width : height;
    int factor = (448 + long_side - 1) / long_side;
    struct image source = picture(width, height);
    float *map = map_of(width, height, 0);
    struct overlay overlay = {.heat = map, .limit = 1, .title = "One pixel", .unit = "score drop"};
    map[0] = 1e-3f; /* not flat, and far from visible */
    struct image empty = overlay_of(&source, &overlay);
    int origin[4], box[4];
    map[0] = 1;
    struct image corner = overlay_of(&source, &overlay);
    assert_true(difference(&empty, &corner, origin));
    assert_int_equal(origin[2] - origin[0] + 1, factor);
    assert_int_equal(origin[3] - origin[1] + 1, factor);
    image_free(&corner);
    map[0] = 1e-3f;
    static const double places[][2] = {{1, 1}, {0.5, 0.3}, {0, 1}, {1, 0}};
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
      int c = (int)(places[p][0] * (width - 1)), r = (int)(places[p][1] * (height - 1));
      if (r == 0 && c == 0)
        continue;
      for (int sign = -1; sign <= 1; sign += 2) {
        map[r * width + c] = (float)sign;
        overlay.colors = colormap_find("coolwarm");
        struct image hot = overlay_of(&source, &overlay);
        overlay.heat = map;
        map[r * width + c] = 0;
        struct image cold = overlay_of(&source, &overlay);
        assert_true(difference(&cold, &hot, box));
        assert_int_equal(box[0], origin[0] + c * factor);
        assert_int_equal(box[1], origin[1] + r * factor);
        assert_int_equal(box[2], box[0] + factor - 1);
        assert_int_equal(box[3], box[1] + factor - 1);
        for (int y = box[1]; y <= box[3]; y++) /* the whole block, in one colour at the stated opacity */
          for (int x = box[0]; x <= box[2]; x++)
            for (int k = 0; k < 3; k++) {
              double below = at(&cold, x, y)[k], over = overlay.colors->rgb[sign > 0 ? 255 : 0][k];
              assert_true(fabs(at(&hot, x, y)[k] - (0.35 * below + 0.65 * over)) <= 0.51);
            }
        image_free(&hot);
        image_free(&cold);
      }
    }
    image_free(&empty);
    image_free(&source);
    mem_free(map);
  }
}

static void the_bar_states_the_scale(void **state)
{
  (void)state;
  struct image source = picture(64, 48);
  float *map = map_of(64, 48, 0);
  map[100] = 0.3142f;
  struct overlay overlay = {.heat = map,
                            .title = "Effusion 0.81",
                            .unit = "score drop",
                            .lines = (const char *const[]){"first line", "second line", NULL}};
  struct image out = overlay_of(&source, &overlay); /* positive only: from 0 */
  assert_true(contains(&out, 9, ink, "0.314"));
  assert_true(contains(&out, 9, ink, "0"));
  assert_false(contains(&out, 9, ink, "\u22120.314"));
  assert_true(contains(&out, 11, ink, "Effusion 0.81"));
  assert_true(contains(&out, 9, faint_ink, "score drop"));
  assert_true(contains(&out, 9, faint_ink, "first line"));
  assert_true(contains(&out, 9, faint_ink, "second line"));
  assert_false(contains(&out, 9, ink, "no evidence"));
  assert_false(contains(&out, 9, faint_ink, "not a number"));
  image_free(&out);

  map[200] = -0.1f; /* signed: symmetric about zero */
  out = overlay_of(&source, &overlay);
  assert_true(contains(&out, 9, ink, "0.314"));
  assert_true(contains(&out, 9, ink, "\u22120.314"));
  image_free(&out);

  overlay.limit = 0.25; /* values beyond the ends are said to be there */
  out = overlay_of(&source, &overlay);
  assert_true(contains(&out, 9, ink, "\u22650.25"));
  assert_true(contains(&out, 9, ink, "\u2264\u22120.25"));
  image_free(&out);
  overlay.limit = 0.5;
  out = overlay_of(&source, &overlay);
  assert_true(contains(&out, 9, ink, "0.5"));
  assert_false(contains(&out, 9, ink, "\u22650.5"));
  image_free(&out);
  image_free(&source);
  mem_free(map);
}

static void a_flat_map_is_neutral(void **state)
{
  (void)state;
  struct image source = picture(64, 48), base, out;
  struct error err = {0};
  int factor;
  assert_true(render_base(&source, 448, &base, &factor, &err));
  static const float values[] = {0, 1e-9f, -9e-7f};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    float *map = map_of(64, 48, values[i]);
    struct overlay overlay = {.heat = map};
    out = overlay_of(&source, &overlay);
    assert_true(contains(&out, 9, ink, "no evidence"));
    assert_true(contains(&out, 9, ink, "found"));
    int colored = 0, same = 0;
    for (int y = 0; y < out.height; y++)
      for (int x = 0; x < out.width; x++)
        colored += abs(at(&out, x, y)[0] - at(&out, x, y)[2]) > 12;
    assert_int_equal(colored, 0);
    for (int y = 0; y < base.height; y++) /* the picture itself, untouched: margins are twice the text's size */
      same += memcmp(at(&out, 18, 18 + y), at(&base, 0, y), (size_t)base.width * 3) == 0;
    assert_int_equal(same, base.height);
    image_free(&out);
    overlay.limit = 0.5; /* a stated scale stays */
    out = overlay_of(&source, &overlay);
    assert_true(contains(&out, 9, ink, "0.5"));
    assert_true(contains(&out, 9, ink, "no evidence"));
    image_free(&out);
    mem_free(map);
  }
  float *map = map_of(64, 48, 0); /* just above */
  map[5] = 2e-6f;
  out = overlay_of(&source, &(struct overlay){.heat = map});
  assert_false(contains(&out, 9, ink, "no evidence"));
  assert_true(contains(&out, 9, ink, "2e-6"));
  image_free(&out);
  mem_free(map);
  image_free(&base);
  image_free(&source);
}

static void holes_and_uncovered_pixels_are_hatched(void **state)
{
  (void)state;
  struct image source = picture(28, 28);
  float *map = map_of(28, 28, 0);
  map[3] = 1;
  struct overlay overlay = {.heat = map, .limit = 1};
  struct image plain = overlay_of(&source, &overlay);
  static const float holes[] = {NAN, INFINITY, -INFINITY};
  for (size_t i = 0; i < sizeof holes / sizeof *holes; i++) {
    map[28 * 5 + 7] = holes[i];
    struct image out = overlay_of(&source, &overlay);
    assert_true(contains(&out, 9, faint_ink, "not a number"));
    int dark = 0, light = 0;
    for (int y = 0; y < 16; y++)
      for (int x = 0; x < 16; x++) {
        const unsigned char *p = at(&out, 18 + 7 * 16 + x, 18 + 5 * 16 + y);
        assert_true(p[0] == p[1] && p[1] == p[2]);
        dark += p[0] == 128;
        light += p[0] == 206;
      }
    assert_int_equal(dark + light, 256);
    assert_true(dark > 30 && light > 100);
    image_free(&out);
  }
  for (int i = 0; i < 28 * 28; i++)
    map[i] = NAN;
  struct image out = overlay_of(&source, &overlay);
  assert_true(contains(&out, 9, ink, "no evidence"));
  image_free(&out);

  unsigned char coverage[28 * 28];
  memset(coverage, 1, sizeof coverage);
  for (int i = 0; i < 28 * 28; i++)
    map[i] = 0;
  map[3] = 1;
  overlay.coverage = coverage;
  out = overlay_of(&source, &overlay); /* all covered: nothing to be said */
  int box[4];
  assert_false(difference(&plain, &out, box));
  image_free(&out);
  coverage[28 * 27 + 20] = 0;
  out = overlay_of(&source, &overlay);
  assert_true(contains(&out, 9, faint_ink, "not seen by the model"));
  assert_memory_not_equal(at(&out, 18 + 20 * 16 + 8, 18 + 27 * 16 + 8), at(&plain, 18 + 20 * 16 + 8, 18 + 27 * 16 + 8),
                          3);
  assert_memory_equal(at(&out, 18 + 19 * 16 + 15, 18 + 27 * 16 + 8), at(&plain, 18 + 19 * 16 + 15, 18 + 27 * 16 + 8),
                      3);
  image_free(&out);
  image_free(&plain);
  image_free(&source);
  mem_free(map);
}

static void any_shape_is_drawn(void **state)
{
  (void)state;
  static const int sizes[][2] = {{1, 1}, {1, 700}, {700, 1}, {3, 2}, {2048, 33}, {33, 2048}, {1500, 1501}};
  char title[3000];
  for (size_t i = 0; i < sizeof title - 1; i++)
    title[i] = i % 9 ? 'x' : ' ';
  title[sizeof title - 1] = '\0';
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    int width = sizes[s][0], height = sizes[s][1];
    struct image source = picture(width, height);
    float *map = map_of(width, height, 0.5f);
    map[0] = -1;
    struct overlay overlay = {
        .heat = map, .title = title, .unit = title, .lines = (const char *const[]){title, "", "short", NULL}};
    struct image out = overlay_of(&source, &overlay);
    assert_true(out.width > width && out.height > height);
    assert_true(out.width < 2500 && out.height < 3200);
    image_free(&out);
    mem_free(map);
    image_free(&source);
  }
}

static void wrong_settings_are_refused(void **state)
{
  (void)state;
  struct image source = picture(8, 8), out;
  float *map = map_of(8, 8, 1);
  static const struct {
    double limit, opacity;
    const char *word;
  } cases[] = {{-1, 0.5, "limit"},   {NAN, 0.5, "limit"}, {INFINITY, 0.5, "limit"},
               {1, -0.1, "opacity"}, {1, 1.1, "opacity"}, {1, NAN, "opacity"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct overlay overlay = {.heat = map, .limit = cases[i].limit, .opacity = cases[i].opacity};
    struct error err = {0};
    assert_false(render_overlay(&source, &overlay, &out, &err));
    assert_int_equal(err.code, ERROR_USAGE);
    assert_non_null(strstr(err.message, cases[i].word));
    assert_null(out.data);
  }
  struct error err = {0};
  assert_false(render_map(map, 8, 8, -1, NULL, 1, &out, &err));
  assert_null(out.data);
  struct image empty = {.channels = 1, .type = PIXEL_U8};
  int factor;
  err = (struct error){0};
  assert_false(render_base(&empty, 448, &out, &factor, &err));
  assert_null(out.data);
  mem_free(map);
  image_free(&source);
}

static void bases_keep_the_codes(void **state)
{
  (void)state;
  struct error err = {0};
  struct image out;
  int factor;
  unsigned char bytes[] = {0, 1, 100, 200, 254, 255};
  struct image gray = {.width = 3, .height = 2, .channels = 1, .type = PIXEL_U8, .data = bytes, .hi = 255};
  assert_true(render_base(&gray, 7, &out, &factor, &err));
  assert_int_equal(factor, 3);
  assert_int_equal(out.width, 9);
  assert_int_equal(out.height, 6);
  for (int y = 0; y < 6; y++)
    for (int x = 0; x < 9; x++)
      for (int k = 0; k < 3; k++)
        assert_int_equal(at(&out, x, y)[k], bytes[y / 3 * 3 + x / 3]);
  image_free(&out);
  struct image rgb = {.width = 2, .height = 1, .channels = 3, .type = PIXEL_U8, .data = bytes, .hi = 255};
  assert_true(render_base(&rgb, 0, &out, &factor, &err));
  assert_int_equal(factor, 1);
  assert_memory_equal(out.data, bytes, 6);
  image_free(&out);
  uint16_t words[] = {0, 1000, 2000, 4000, 65535, 500};
  struct image wide = {
      .width = 6, .height = 1, .channels = 1, .type = PIXEL_U16, .data = words, .lo = 1000, .hi = 3000};
  static const int expected[] = {0, 0, 128, 255, 255, 0};
  assert_true(render_base(&wide, 6, &out, &factor, &err));
  for (int x = 0; x < 6; x++)
    assert_int_equal(at(&out, x, 0)[1], expected[x]);
  image_free(&out);
  float values[] = {-1, 0, 1, NAN, INFINITY, -INFINITY};
  struct image inverted = {
      .width = 6, .height = 1, .channels = 1, .type = PIXEL_F32, .data = values, .lo = 1, .hi = -1};
  static const int mirrored[] = {255, 128, 0, 0, 0, 255};
  assert_true(render_base(&inverted, 6, &out, &factor, &err));
  for (int x = 0; x < 6; x++)
    assert_int_equal(at(&out, x, 0)[1], mirrored[x]);
  image_free(&out);
  inverted.lo = inverted.hi = 0; /* no range: grey, not black */
  assert_true(render_base(&inverted, 6, &out, &factor, &err));
  assert_int_equal(at(&out, 0, 0)[0], 128);
  image_free(&out);
  struct image pairs = {.width = 3, .height = 1, .channels = 2, .type = PIXEL_U8, .data = bytes, .hi = 255};
  assert_true(render_base(&pairs, 1, &out, &factor, &err));
  assert_int_equal(at(&out, 1, 0)[0], 150);
  assert_int_equal(at(&out, 1, 0)[2], 150);
  image_free(&out);
}

/* Under a map a colour picture is grey, so that every hue is the map's; unless its colours are wanted. */
static void pictures_lose_their_colour_under_a_map(void **state)
{
  (void)state;
  unsigned char bytes[8 * 8 * 3];
  for (int i = 0; i < 64; i++)
    memcpy(bytes + 3 * i, (unsigned char[]){200, 40, 40}, 3);
  struct image source = {.width = 8, .height = 8, .channels = 3, .type = PIXEL_U8, .data = bytes, .hi = 255};
  float *map = map_of(8, 8, 0);
  struct image out = overlay_of(&source, &(struct overlay){.heat = map});
  assert_memory_equal(at(&out, 30, 30), ((unsigned char[]){88, 88, 88}), 3); /* .299 .587 .114 */
  image_free(&out);
  out = overlay_of(&source, &(struct overlay){.heat = map, .keep_color = true});
  assert_memory_equal(at(&out, 30, 30), bytes, 3);
  image_free(&out);
  mem_free(map);
}

static void maps_alone(void **state)
{
  (void)state;
  static const float map[6] = {-2, 0, 2, 1, NAN, 9};
  const struct colormap *colors = colormap_find("rdbu");
  struct image out;
  struct error err = {0};
  assert_true(render_map(map, 2, 3, 2, colors, 4, &out, &err));
  assert_int_equal(out.width, 12);
  assert_int_equal(out.height, 8);
  static const int entry[6] = {0, 128, 255, 192, -1, 255};
  for (int y = 0; y < 8; y++)
    for (int x = 0; x < 12; x++) {
      int e = entry[y / 4 * 3 + x / 4];
      if (e >= 0)
        assert_memory_equal(at(&out, x, y), colors->rgb[e], 3);
      else
        assert_true(at(&out, x, y)[0] == 128 || at(&out, x, y)[0] == 206);
    }
  image_free(&out);
  static const float positive[2] = {0, 3};
  assert_true(render_map(positive, 1, 2, 0, NULL, 1, &out, &err)); /* by itself: inferno from 0 to the greatest */
  assert_memory_equal(at(&out, 0, 0), colormap_find("inferno")->rgb[0], 3);
  assert_memory_equal(at(&out, 1, 0), colormap_find("inferno")->rgb[255], 3);
  image_free(&out);
  static const float flat[2] = {1e-8f, -1e-8f};
  assert_true(render_map(flat, 1, 2, 0, NULL, 1, &out, &err));
  assert_memory_equal(at(&out, 0, 0), colormap_find("coolwarm")->rgb[127], 3);
  assert_memory_equal(at(&out, 1, 0), colormap_find("coolwarm")->rgb[127], 3);
  image_free(&out);
}

static void labels_get_colours_and_boundaries(void **state)
{
  (void)state;
  int32_t labels[64];
  struct image out;
  struct error err = {0};
  for (int i = 0; i < 64; i++)
    labels[i] = i - 1;
  assert_true(render_labels(labels, 8, 8, 2, &out, &err));
  assert_memory_equal(at(&out, 0, 0), ((unsigned char[]){128, 128, 128}), 3);
  for (int i = 0; i < 64; i++)
    for (int j = 0; j < i; j++)
      assert_memory_not_equal(at(&out, i % 8 * 2 + 1, i / 8 * 2), at(&out, j % 8 * 2, j / 8 * 2 + 1), 3);
  image_free(&out);
  labels[0] = INT32_MAX;
  labels[1] = INT32_MIN;
  assert_true(render_labels(labels, 8, 8, 1, &out, &err));
  image_free(&out);

  static const unsigned char yellow[3] = {255, 230, 0};
  for (int i = 0; i < 64; i++)
    labels[i] = i % 8 >= 3; /* two halves, the right one from column 3 */
  static const struct {
    int factor, first, last;
  } cases[] = {{1, 2, 2}, {2, 5, 6}, {8, 23, 24}, {32, 94, 97}};
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    int factor = cases[c].factor;
    assert_true(canvas_new(&out, 8 * factor, 8 * factor, white, &err));
    assert_true(render_boundaries(&out, labels, 8, 8, factor, yellow));
    for (int y = 0; y < out.height; y++)
      for (int x = 0; x < out.width; x++)
        assert_memory_equal(at(&out, x, y), x >= cases[c].first && x <= cases[c].last ? yellow : white, 3);
    assert_false(render_boundaries(&out, labels, 8, 7, factor, yellow));
    assert_false(render_boundaries(&out, labels, 8, 8, factor + 1, yellow));
    assert_false(render_boundaries(&out, labels, 0, 0, factor, yellow));
    image_free(&out);
  }
}

static void sheets_hold_every_panel(void **state)
{
  (void)state;
  struct image small = picture(60, 90), big = picture(300, 200), out;
  struct error err = {0};
  const struct panel panels[] = {{&small, "first"}, {&big, "a caption that is longer"}, {&small, NULL}, {&big, "last"}};
  for (int columns = 0; columns <= 5; columns++) {
    assert_true(render_sheet(panels, 4, columns, "A sheet", &out, &err));
    assert_true(contains(&out, 11, ink, "A sheet"));
    assert_true(contains(&out, 9, ink, "first"));
    assert_true(contains(&out, 9, ink, "a caption that is longer"));
    assert_true(contains(&out, 9, ink, "last"));
    int found = 0; /* each picture is there, to the pixel */
    for (int p = 0; p < 2; p++) {
      struct image *image = p ? &big : &small;
      struct image rgb;
      int factor;
      assert_true(render_base(image, 0, &rgb, &factor, &err));
      for (int y = 0; y + image->height <= out.height; y++)
        for (int x = 0; x + image->width <= out.width; x++) {
          bool same = true;
          for (int row = 0; same && row < image->height; row++)
            same = memcmp(at(&out, x, y + row), at(&rgb, 0, row), (size_t)image->width * 3) == 0;
          found += same;
        }
      image_free(&rgb);
    }
    assert_int_equal(found, 4);
    image_free(&out);
  }
  assert_false(render_sheet(panels, 0, 1, NULL, &out, &err));
  assert_null(out.data);
  err = (struct error){0};
  struct image none = {.channels = 1};
  assert_false(render_sheet(&(struct panel){&none, "x"}, 1, 1, NULL, &out, &err));
  assert_null(out.data);
  image_free(&small);
  image_free(&big);
}

static void survives_without_memory(void **state)
{
  (void)state;
  struct image source = picture(20, 10), out;
  unsigned char bytes[4 * 4 * 3] = {0};
  struct image color = {.width = 4, .height = 4, .channels = 3, .type = PIXEL_U8, .data = bytes, .hi = 255};
  float *map = map_of(20, 10, 0);
  int32_t labels[200] = {0};
  struct overlay overlay = {.heat = map, .title = "t", .unit = "u", .lines = (const char *const[]){"a", "b", NULL}};
  const struct panel panels[] = {{&source, "one"}, {&source, "two"}};
  FAULT_LOOP(render_overlay(&source, &overlay, &out, &err), image_free(&out));
  FAULT_LOOP(render_overlay(&color, &overlay, &out, &err), image_free(&out));
  FAULT_LOOP(render_sheet(panels, 2, 1, "t", &out, &err), image_free(&out));
  FAULT_LOOP(render_map(map, 10, 20, 0, NULL, 2, &out, &err), image_free(&out));
  FAULT_LOOP(render_labels(labels, 10, 20, 2, &out, &err), image_free(&out));
  mem_free(map);
  image_free(&source);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_pixel_colours_its_block),
      cmocka_unit_test(the_bar_states_the_scale),
      cmocka_unit_test(a_flat_map_is_neutral),
      cmocka_unit_test(holes_and_uncovered_pixels_are_hatched),
      cmocka_unit_test(any_shape_is_drawn),
      cmocka_unit_test(wrong_settings_are_refused),
      cmocka_unit_test(bases_keep_the_codes),
      cmocka_unit_test(pictures_lose_their_colour_under_a_map),
      cmocka_unit_test(maps_alone),
      cmocka_unit_test(labels_get_colours_and_boundaries),
      cmocka_unit_test(sheets_hold_every_panel),
      cmocka_unit_test(survives_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
