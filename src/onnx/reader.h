/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of one load share: the arena with its ceiling, and the files that hold external data. */
#ifndef PENUMBRA_ONNX_READER_H
#define PENUMBRA_ONNX_READER_H

#include "base/error.h"
#include "base/files.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>

struct external_file {
  char *name; /* as in the model, relative to its folder; owned */
  struct file_map map;
};

struct reader {
  struct arena *arena; /* the graph's */
  const char *dir;     /* folder of the model; NULL: external data are refused */
  bool symlinks;       /* external data may be reached through symbolic links */
  struct external_file *files;
  int n_files, cap_files;
  size_t file_bytes; /* of the model and its external files */
};

/* Zeroed, 64-byte aligned arena memory; error when the arena would grow out of proportion to the files. */
void *reader_alloc(struct reader *reader, size_t count, size_t size, const char *what, struct error *err);
/* The same test for what was allocated past reader_alloc: names, values, nodes. */
bool reader_check(const struct reader *reader, struct error *err);
/* The file a tensor's external data name; each is mapped once. */
bool reader_external(struct reader *reader, const char *name, struct file_map *map, struct error *err);
/* True where bytes are the text Git LFS leaves in place of a big file. */
bool reader_is_lfs_pointer(const void *bytes, size_t size);
/* Unmap external files. */
void reader_close(struct reader *reader);

#endif
