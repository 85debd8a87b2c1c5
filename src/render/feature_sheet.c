/* SPDX-License-Identifier: Apache-2.0 */
#include "render/feature_sheet.h"

#include "base/mem.h"
#include "render/canvas.h"
#include "render/render.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* px */
enum {
  TILE = 112,
  LABEL = 13, /* below a tile */
  GAP = 4,
  BLOCK_GAP = 14,
  MAP_GAP = 34,
  MARGIN = 22,
  CAPTION = 24,
  TITLE_SIZE = 12,
  TEXT_SIZE = 9,
  LABEL_SIZE = 6,
  HEADING_LINES = 5
};

static const unsigned char paper[3] = {255, 255, 255}, ink[3] = {28, 30, 34}, pale[3] = {90, 94, 102},
                           beyond[3] = {128, 128, 128};

static int block_side(const struct feature_sheet *s)
{
  return s->side * TILE + (s->side - 1) * GAP;
}

static int map_width(const struct feature_sheet *s)
{
  return FEATURE_SHEET_BLOCKS * block_side(s) + (FEATURE_SHEET_BLOCKS - 1) * BLOCK_GAP;
}

static int map_height(const struct feature_sheet *s)
{
  return CAPTION + s->rows * (TILE + LABEL) + (s->rows - 1) * GAP;
}

static int line_step(int size)
{
  return size * 19 / 10;
}

bool feature_sheet_begin(struct feature_sheet *s, int maps, int tiles, const char *title, const char *explanation,
                         struct error *err)
{
  *s = (struct feature_sheet){.maps = maps, .columns = maps > 3 ? 2 : 1, .side = 1};
  while (s->side * s->side < tiles)
    s->side++;
  s->rows = (tiles + s->side - 1) / s->side;
  const int rows = (maps + s->columns - 1) / s->columns;
  const int width = 2 * MARGIN + s->columns * map_width(s) + (s->columns - 1) * MAP_GAP;
  if (!text_wrap(explanation, TEXT_SIZE, width - 2 * MARGIN, HEADING_LINES, &s->heading))
    return error_memory(err, "a sheet of feature maps");
  s->top = MARGIN + line_step(TITLE_SIZE) + s->heading.count * line_step(TEXT_SIZE) + MARGIN;
  const int64_t height = (int64_t)s->top + (int64_t)rows * map_height(s) + (int64_t)(rows - 1) * MAP_GAP + MARGIN;
  if (height > INT32_MAX || !canvas_new(&s->canvas, width, (int)height, paper, err)) {
    feature_sheet_end(s);
    return error_set(err, ERROR_FAILED, "a sheet of %d feature maps by %d tiles is too large", maps, tiles);
  }
  struct text_block line;
  if (!text_wrap(title, TITLE_SIZE, width - 2 * MARGIN, 1, &line)) {
    feature_sheet_end(s);
    return error_memory(err, "a sheet of feature maps");
  }
  int y = MARGIN + TITLE_SIZE;
  if (line.count)
    (void)canvas_text(&s->canvas, MARGIN, y, TITLE_SIZE, ink, line.line[0]);
  text_block_free(&line);
  y += line_step(TITLE_SIZE) - TITLE_SIZE + TEXT_SIZE;
  for (int i = 0; i < s->heading.count; i++, y += line_step(TEXT_SIZE))
    (void)canvas_text(&s->canvas, MARGIN, y, TEXT_SIZE, pale, s->heading.line[i]);
  return true;
}

void feature_sheet_end(struct feature_sheet *s)
{
  image_free(&s->canvas);
  text_block_free(&s->heading);
  *s = (struct feature_sheet){.maps = 0};
}

static void origin(const struct feature_sheet *s, int map, int *x, int *y)
{
  *x = MARGIN + map % s->columns * (map_width(s) + MAP_GAP);
  *y = s->top + map / s->columns * (map_height(s) + MAP_GAP);
}

void feature_sheet_caption(struct feature_sheet *s, int map, const char *caption)
{
  int x, y;
  struct text_block line;
  origin(s, map, &x, &y);
  if (text_wrap(caption, TEXT_SIZE, map_width(s), 1, &line) && line.count)
    (void)canvas_text(&s->canvas, x, y + TEXT_SIZE, TEXT_SIZE, ink, line.line[0]);
  text_block_free(&line);
}

static void outline(struct image *canvas, int x, int y, int width, int height)
{
  canvas_fill(canvas, x, y, width, 1, pale);
  canvas_fill(canvas, x, y + height - 1, width, 1, pale);
  canvas_fill(canvas, x, y, 1, height, pale);
  canvas_fill(canvas, x + width - 1, y, 1, height, pale);
}

bool feature_sheet_put(struct feature_sheet *s, int map, int block, int tile, const struct feature_tile *what,
                       struct error *err)
{
  const struct image *picture = what->picture;
  const int *f = what->frame, wide = f[2] - f[0], high = f[3] - f[1];
  const double scale = (double)TILE / (wide > high ? wide : high);
  int x, y;
  origin(s, map, &x, &y);
  x += block * (block_side(s) + BLOCK_GAP) + tile % s->side * (TILE + GAP);
  y += CAPTION + tile / s->side * (TILE + LABEL + GAP);
  canvas_fill(&s->canvas, x, y, TILE, TILE, beyond);
  /* The frame stands in the middle of the tile, the picture in its place in the frame. */
  const double left = (TILE - wide * scale) / 2 - f[0] * scale, top = (TILE - high * scale) / 2 - f[1] * scale;
  const int x0 = (int)lround(left), y0 = (int)lround(top);
  int w = (int)lround(left + picture->width * scale) - x0, h = (int)lround(top + picture->height * scale) - y0;
  w = w < 1 ? 1 : w;
  h = h < 1 ? 1 : h;
  struct image scaled = {0};
  const bool smaller = w < picture->width;
  if (!image_resize(picture, w, h, what->smooth || smaller ? INTERPOLATION_BICUBIC : INTERPOLATION_NEAREST, &scaled,
                    err))
    return false;
  canvas_paste(&s->canvas, &scaled, x + x0, y + y0);
  image_free(&scaled);
  if (what->border && (w < TILE || h < TILE))
    outline(&s->canvas, x + x0, y + y0, w, h);
  struct text_block line;
  if (what->caption && text_wrap(what->caption, LABEL_SIZE, TILE, 1, &line)) {
    if (line.count)
      (void)canvas_text(&s->canvas, x, y + TILE + 3 + LABEL_SIZE, LABEL_SIZE, pale, line.line[0]);
    text_block_free(&line);
  }
  return true;
}
