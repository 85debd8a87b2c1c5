/* SPDX-License-Identifier: Apache-2.0 */
/* OUT/manifest.json: with what settings the results in a folder were made, so that an interrupted run can go on and
 * results of different settings never stand side by side unnoticed.
 *
 *   {"schema": "penumbra-manifest/1", "settings": {…}, "earlier": {"film": SHA-256 of its result.json, …}}
 *
 * "earlier" lists the results that other settings left behind when --overwrite changed the settings: they count as not
 * there. A result is recognised by its bytes, so that it stops being an earlier one once it is replaced. */
#ifndef PENUMBRA_CLI_MANIFEST_H
#define PENUMBRA_CLI_MANIFEST_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>

struct manifest {
  const char *out; /* borrowed */
  char *path;
  json_t *settings, *earlier;
  bool overwrite;
  bool existed;     /* the folder had a manifest, of whatever settings */
  bool known;       /* the folder has a manifest of these settings */
  bool created;     /* written by this run */
  bool made_folder; /* and the folder with it */
};

/* Compare `settings` (consumed) with what is in folder `out`, if it exists. Other settings are an error that names the
 * first difference, unless `overwrite`. */
bool manifest_open(struct manifest *m, const char *out, json_t *settings, bool overwrite, struct error *err);
void manifest_close(struct manifest *m);

enum slot {
  SLOT_FREE,    /* nothing there */
  SLOT_REPLACE, /* a result that may be replaced */
  SLOT_DONE,    /* a result of these settings and this image; *result is it */
};
/* What OUT/`name` holds, for an image with those bytes. What may not be replaced is an error. */
bool manifest_slot(const struct manifest *m, const char *name, const char *sha256, enum slot *slot, json_t **result,
                   struct error *err);

/* OUT/`stem` is to hold a folder for each method: a result that stands there itself, left by earlier settings, goes. */
bool manifest_make_room(const struct manifest *m, const char *stem, struct error *err);

/* Before the first result is saved: make the folder and write the manifest unless they are there. */
bool manifest_write(struct manifest *m, struct error *err);
/* Nothing was saved after all: remove what manifest_write made. */
void manifest_undo(struct manifest *m);

#endif
