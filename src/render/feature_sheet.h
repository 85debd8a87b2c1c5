/* SPDX-License-Identifier: Apache-2.0 */
/* A contact sheet of feature maps in the manner of Zeiler & Fergus 2014, figure 2: for each map blocks of tiles side
 * by side, projections, image patches, activity. Drawn tile by tile, so that only the sheet is held. */
#ifndef PENUMBRA_RENDER_FEATURE_SHEET_H
#define PENUMBRA_RENDER_FEATURE_SHEET_H

#include "image/image.h"
#include "render/text.h"

enum { FEATURE_SHEET_BLOCKS = 3, FEATURE_SHEET_MAPS = 32 }; /* blocks a map; maps a sheet */

struct feature_sheet {
  struct image canvas;
  int maps, columns;         /* of maps */
  int side, rows;            /* tiles a row of a block, and rows */
  int top;                   /* px: where the first map begins */
  struct text_block heading; /* while the sheet is begun */
};

/* For 1..FEATURE_SHEET_MAPS maps of `tiles` tiles a block. */
bool feature_sheet_begin(struct feature_sheet *sheet, int maps, int tiles, const char *title, const char *explanation,
                         struct error *err);
void feature_sheet_end(struct feature_sheet *sheet);

/* What stands over a map. */
void feature_sheet_caption(struct feature_sheet *sheet, int map, const char *caption);

struct feature_tile {
  const struct image *picture; /* RGB, 8 bit */
  int frame[4]; /* x0, y0, x1, y1 of the tile's extent in pixels of the picture, which may end within it: grey beyond */
  bool smooth;  /* enlarge by interpolation */
  bool border;  /* outline where the picture ends within its frame */
  const char *caption;
};
bool feature_sheet_put(struct feature_sheet *sheet, int map, int block, int tile, const struct feature_tile *what,
                       struct error *err);

#endif
