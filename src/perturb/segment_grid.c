/* SPDX-License-Identifier: Apache-2.0 */
/* A plain grid: what a superpixel method is compared with. */
#include "base/str.h"
#include "perturb/segment.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct options {
  const char *cells;
};

static const struct param params[] = {
  {"cells", PARAM_TEXT, offsetof(struct options, cells), "8x8", 0, 0, NULL, NULL, NULL,
   "RxC: rows and columns of cells; N: N of each"},
  PARAM_END,
};

/* "8x8" or "8". */
static bool parse_cells(const char *text, int64_t *rows, int64_t *columns)
{
  char first[32];
  const size_t n = strcspn(text, "x");
  if (n >= sizeof first)
    return false;
  memcpy(first, text, n);
  first[n] = '\0';
  return str_integer(first, rows) && str_integer(text[n] ? text + n + 1 : text, columns);
}

/* Cells differ by at most one pixel a side. */
static bool cut(const struct segment_scene *scene, const struct segment_colours *colours, const void *options,
                int32_t *labels, struct error *err)
{
  const struct options *o = options;
  const int64_t height = scene->input->geometry.height, width = scene->input->geometry.width;
  int64_t rows, columns;
  (void)colours;
  if (!parse_cells(o->cells, &rows, &columns))
    return error_set(err, ERROR_USAGE, "grid: cells: '%.40s' is not RxC, as in 8x8", o->cells);
  if (rows < 1 || rows > height || columns < 1 || columns > width)
    return error_set(err, ERROR_USAGE, "grid: cells: %lldx%lld is outside 1x1..%lldx%lld, the model's grid",
                     (long long)rows, (long long)columns, (long long)height, (long long)width);
  for (int64_t y = 0; y < height; y++)
    for (int64_t x = 0; x < width; x++)
      labels[y * width + x] = (int32_t)(y * rows / height * columns + x * columns / width);
  return true;
}

const struct segment_kind segment_grid = {
  .name = "grid", .summary = "rectangles of equal size", .argument = "cells", .verbatim = true, .by_place = true,
  .params = params, .options_size = sizeof(struct options), .cut = cut,
};
