/* SPDX-License-Identifier: Apache-2.0 */
/* Contact sheets: pictures side by side on a common grid. */
#include "render/canvas.h"
#include "render/render.h"
#include "render/text.h"

#include "base/mem.h"

#include <string.h>

enum { TITLE_LINES = 6, CAPTION_LINES = 6 };

struct sheet {
  const struct panel *panels;
  int count, columns, rows;
  int *column_width, *row_height, *caption_height; /* px; one allocation, owned */
  struct text_block *captions;                     /* one per panel; owned */
  struct text_block title;
  int size, title_size; /* cap heights, px */
};

static int larger(int a, int b)
{
  return a > b ? a : b;
}

static int line_step(int size)
{
  return size * 19 / 10;
}

static void sheet_free(struct sheet *s)
{
  for (int i = 0; s->captions && i < s->count; i++)
    text_block_free(&s->captions[i]);
  mem_free(s->captions);
  mem_free(s->column_width);
  text_block_free(&s->title);
}

/* Sizes of the grid's cells; *width and *height become those of the whole sheet. */
static bool layout(struct sheet *s, const char *title, int64_t *width, int64_t *height, struct error *err)
{
  s->column_width = mem_zero((size_t)s->columns + 2 * (size_t)s->rows, sizeof(int));
  s->captions = mem_zero((size_t)s->count, sizeof *s->captions);
  if (!s->column_width || !s->captions)
    return error_memory(err, "a sheet of pictures");
  s->row_height = s->column_width + s->columns;
  s->caption_height = s->row_height + s->rows;
  int side = 0;
  for (int i = 0; i < s->count; i++) {
    const struct image *image = s->panels[i].image;
    if (image->width < 1 || image->height < 1)
      return error_set(err, ERROR_FAILED, "panel %d: %d x %d px is empty", i, image->width, image->height);
    side = larger(side, larger(image->width, image->height));
    s->column_width[i % s->columns] = larger(s->column_width[i % s->columns], image->width);
    s->row_height[i / s->columns] = larger(s->row_height[i / s->columns], image->height);
  }
  int u = side / 56;
  s->size = u = u < 9 ? 9 : u > 28 ? 28 : u;
  s->title_size = u * 5 / 4;
  *width = 2 * u;
  for (int c = 0; c < s->columns; c++) {
    s->column_width[c] = larger(s->column_width[c], 14 * u);
    *width += s->column_width[c] + 2 * u;
  }
  bool ok = text_wrap(title, s->title_size, (double)*width - 4 * u, TITLE_LINES, &s->title);
  for (int i = 0; ok && i < s->count; i++) {
    ok = text_wrap(s->panels[i].caption, u, s->column_width[i % s->columns], CAPTION_LINES, &s->captions[i]);
    int *h = &s->caption_height[i / s->columns];
    *h = larger(*h, s->captions[i].count * line_step(u));
  }
  if (!ok)
    return error_memory(err, "the captions of a sheet");
  *height = 2 * u + (s->title.count ? s->title.count * line_step(s->title_size) + u : 0);
  for (int r = 0; r < s->rows; r++)
    *height += s->row_height[r] + s->caption_height[r] + 2 * u;
  return true;
}

static bool draw(const struct sheet *s, struct image *out, struct error *err)
{
  static const unsigned char ink[3] = {28, 30, 34};
  int u = s->size, y = 2 * u;
  for (int i = 0; i < s->title.count; i++, y += line_step(s->title_size))
    (void)canvas_text(out, 2 * u, y + s->title_size, s->title_size, ink, s->title.line[i]);
  y += s->title.count ? u : 0;
  for (int r = 0; r < s->rows; r++) {
    int x = 2 * u;
    for (int c = 0; c < s->columns && r * s->columns + c < s->count; c++) {
      int i = r * s->columns + c;
      for (int k = 0; k < s->captions[i].count; k++)
        (void)canvas_text(out, x, y + u + k * line_step(u), u, ink, s->captions[i].line[k]);
      struct image picture;
      int factor;
      if (!render_base(s->panels[i].image, 0, &picture, &factor, err))
        return false;
      canvas_paste(out, &picture, x, y + s->caption_height[r]);
      image_free(&picture);
      x += s->column_width[c] + 2 * u;
    }
    y += s->row_height[r] + s->caption_height[r] + 2 * u;
  }
  return true;
}

bool render_sheet(const struct panel *panels, size_t count, int columns, const char *title, struct image *out,
                  struct error *err)
{
  static const unsigned char paper[3] = {255, 255, 255};
  memset(out, 0, sizeof *out);
  if (count < 1 || count > IMAGE_MAX_SIDE)
    return error_set(err, ERROR_FAILED, "sheet: %zu panels are outside 1..%d", count, IMAGE_MAX_SIDE);
  struct sheet s = {.panels = panels, .count = (int)count};
  s.columns = columns < 1 || columns > s.count ? s.count : columns;
  s.rows = (s.count + s.columns - 1) / s.columns;
  int64_t width = 0, height = 0;
  bool ok = layout(&s, title, &width, &height, err);
  if (ok && (width > INT32_MAX || height > INT32_MAX))
    ok = error_set(err, ERROR_FAILED, "sheet: %zu panels are too many for one picture", count);
  ok = ok && canvas_new(out, (int)width, (int)height, paper, err);
  if (ok && !draw(&s, out, err)) {
    image_free(out);
    ok = false;
  }
  sheet_free(&s);
  return ok;
}
