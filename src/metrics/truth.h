/* SPDX-License-Identifier: Apache-2.0 */
/* Where the truth is: masks and boxes on the source image, brought to the model grid. */
#ifndef PENUMBRA_METRICS_TRUTH_H
#define PENUMBRA_METRICS_TRUTH_H

#include "base/error.h"
#include "model/preprocess.h"

#include <stdbool.h>
#include <stddef.h>

/* The file that `pattern` means for an image: {dir}, {stem} and {label} are replaced by the image's folder, its name
 * without ending, and a label; a folder means FOLDER/STEM.png. */
bool truth_path(const char *pattern, const char *image, const char *label, char *path, size_t size, struct error *err);

/* mask [height, width] of the model grid: 1 where the picture at `path`, as large as the source image or the model
 * grid, is not black. */
bool truth_mask(const char *path, const struct geometry *geometry, unsigned char *mask, struct error *err);

/* The same from the boxes of a COCO file (images, annotations with bbox [x, y, width, height], categories) that belong
 * to the image of that file name and to the category called `label`; where the file has one category only, to that. */
bool truth_boxes(const char *path, const char *image, const char *label, const struct geometry *geometry,
                 unsigned char *mask, struct error *err);

/* Whichever of the two the pattern means: a name that ends in .json holds boxes. */
bool truth_read(const char *pattern, const char *image, const char *label, const struct geometry *geometry,
                unsigned char *mask, struct error *err);

#endif
