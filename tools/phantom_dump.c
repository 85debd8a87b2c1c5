/* SPDX-License-Identifier: Apache-2.0 */
/* Many phantoms as arrays, for training and judging the demo model: draws each at SIZE pixels, shrinks it to the
 * model's grid exactly as `penumbra explain` would, and writes plain binary files into a folder.
 *
 *   phantom-dump DIR FIRST COUNT SIZE FINDINGS MARKER [masks|cells]
 *
 * FINDINGS: "random", "none", or names joined by commas. MARKER: random, right, left, none, swapped, or "tied:NAME" for
 * the shortcut set. Files: images.u16 [COUNT,224,224], labels.u8 [COUNT,5], masks.u8 [COUNT,5,224,224] (0 or 255), or
 * cells.u8 [COUNT,5,28,28]: the share of each 8 px cell that is mask, 0..255. */
#include "base/mem.h"
#include "base/threads.h"
#include "phantom/phantom.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GRID = 224, CELL = 8, CELLS = GRID / CELL };

static bool parse_findings(const char *text, struct phantom_request *r)
{
  char copy[256], *rest = NULL;
  if (strcmp(text, "none") == 0)
    return true;
  if (strcmp(text, "random") == 0)
    return r->random_findings = true;
  snprintf(copy, sizeof copy, "%s", text);
  for (char *name = strtok_r(copy, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
    int finding = phantom_finding_find(name);
    if (finding < 0)
      return false;
    r->finding[finding] = true;
  }
  return true;
}

static bool parse_marker(const char *text, struct phantom_request *r)
{
  static const char *const name[] = {"random", "right", "left", "none", "swapped"};
  for (int i = 0; i < 5; i++)
    if (strcmp(text, name[i]) == 0) {
      r->marker = (enum phantom_marker)i;
      return true;
    }
  if (strncmp(text, "tied:", 5) != 0)
    return false;
  r->shortcut = phantom_finding_find(text + 5) + 1;
  return r->shortcut > 0;
}

static FILE *open_in(const char *dir, const char *name)
{
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *file = fopen(path, "wb");
  if (!file)
    perror(path);
  return file;
}

static bool shrink(const struct image *image, float *out, struct error *err)
{
  struct image small;
  if (!image_resize(image, GRID, GRID, INTERPOLATION_BILINEAR, &small, err))
    return false;
  for (int i = 0; i < GRID * GRID; i++)
    out[i] = small.type == PIXEL_F32 ? ((const float *)small.data)[i] : (float)((const unsigned char *)small.data)[i];
  image_free(&small);
  return true;
}

/* Share of each cell, rounded, in place of the mask's first bytes. */
static void gather_cells(unsigned char *mask)
{
  unsigned char cell[CELLS * CELLS];
  for (int row = 0; row < CELLS; row++)
    for (int column = 0; column < CELLS; column++) {
      int sum = 0;
      for (int y = 0; y < CELL; y++)
        for (int x = 0; x < CELL; x++)
          sum += mask[(row * CELL + y) * GRID + column * CELL + x];
      cell[row * CELLS + column] = (unsigned char)((sum + CELL * CELL / 2) / (CELL * CELL));
    }
  memcpy(mask, cell, sizeof cell);
}

static bool dump(const struct phantom_request *request, FILE *images, FILE *labels, FILE *masks, bool cells,
                 struct error *err)
{
  static float grid[GRID * GRID];
  static uint16_t code[GRID * GRID];
  static unsigned char byte[PHANTOM_FINDINGS][GRID * GRID];
  unsigned char label[PHANTOM_FINDINGS];
  struct phantom p;
  if (!phantom_generate(request, &p, err))
    return false;
  bool ok = shrink(&p.image, grid, err);
  for (int i = 0; i < GRID * GRID; i++)
    code[i] = (uint16_t)(grid[i] + 0.5f);
  for (int f = 0; f < PHANTOM_FINDINGS; f++) {
    const unsigned char *mask = phantom_mask(&p, f);
    label[f] = mask != NULL;
    memset(byte[f], 0, sizeof byte[f]);
    if (!mask || !masks)
      continue;
    struct image whole = {.width = p.request.size,
                          .height = p.request.size,
                          .channels = 1,
                          .type = PIXEL_U8,
                          .data = (void *)(uintptr_t)mask,
                          .lo = 0,
                          .hi = 255};
    ok = ok && shrink(&whole, grid, err);
    for (int i = 0; i < GRID * GRID; i++)
      byte[f][i] = grid[i] > 127.5f ? 255 : 0;
    if (cells)
      gather_cells(byte[f]);
  }
  phantom_free(&p);
  if (!ok)
    return false;
  ok = fwrite(code, sizeof code, 1, images) == 1 && fwrite(label, sizeof label, 1, labels) == 1;
  for (int f = 0; ok && masks && f < PHANTOM_FINDINGS; f++)
    ok = fwrite(byte[f], cells ? CELLS * CELLS : sizeof byte[f], 1, masks) == 1;
  return ok || error_set(err, ERROR_FAILED, "cannot write");
}

int main(int argc, char **argv)
{
  struct phantom_request request = {0};
  if (argc < 7 || argc > 8 || !parse_findings(argv[5], &request) || !parse_marker(argv[6], &request) ||
      (argc == 8 && strcmp(argv[7], "masks") != 0 && strcmp(argv[7], "cells") != 0)) {
    fprintf(stderr, "usage: phantom-dump DIR FIRST COUNT SIZE random|none|NAME,… "
                    "random|right|left|none|swapped|tied:NAME [masks|cells]\n");
    return 2;
  }
  unsigned long long first = strtoull(argv[2], NULL, 10), count = strtoull(argv[3], NULL, 10);
  request.size = (int)strtol(argv[4], NULL, 10);
  FILE *images = open_in(argv[1], "images.u16"), *labels = open_in(argv[1], "labels.u8");
  bool cells = argc == 8 && strcmp(argv[7], "cells") == 0;
  FILE *masks = argc == 8 ? open_in(argv[1], cells ? "cells.u8" : "masks.u8") : NULL;
  if (!images || !labels || (argc == 8 && !masks))
    return 1;
  threads_use(1); /* several of these are run side by side */
  struct error err = {0};
  bool ok = true;
  for (unsigned long long i = 0; ok && i < count; i++) {
    request.seed = first + i;
    ok = dump(&request, images, labels, masks, cells, &err);
  }
  if (!ok)
    fprintf(stderr, "seed %llu: %s\n", (unsigned long long)request.seed, err.message);
  ok = fclose(images) == 0 && ok;
  ok = fclose(labels) == 0 && ok;
  if (masks)
    ok = fclose(masks) == 0 && ok;
  return ok ? 0 : 1;
}
