/* SPDX-License-Identifier: Apache-2.0 */
/* Files: read whole by mmap, written whole or not at all. */
#ifndef PENUMBRA_BASE_FILES_H
#define PENUMBRA_BASE_FILES_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Read-only mapping of a regular file. A zero-byte file has data NULL and size 0. */
struct file_map {
  const unsigned char *data;
  size_t size;
};

/* Map `path`; error if it is missing, no regular file, or larger than `limit` bytes (0 = any size). */
bool file_map(const char *path, size_t limit, struct file_map *map, struct error *err);
/* Map `name` inside folder `dir` for data a file refers to: no absolute names, no "..", no symbolic links on the way
 * unless `symlinks`, regular files only; the descriptor that was checked is the one that is mapped. */
bool file_map_within(const char *dir, const char *name, bool symlinks, struct file_map *map, struct error *err);
void file_unmap(struct file_map *map);
/* Hand the pages around bytes [at, at + bytes) back to the system; they are read again from the file when somebody
 * looks. Nothing happens where these bytes do not all lie in the mapping. */
void file_release(const struct file_map *map, const void *at, size_t bytes);

/* Write bytes to `path` by way of a temporary file beside it and a rename. */
bool file_write(const char *path, const void *bytes, size_t size, struct error *err);
/* The same for bytes that lie in several places, one after the other. */
struct file_part {
  const void *bytes;
  size_t size;
};
bool file_write_parts(const char *path, const struct file_part *parts, size_t count, struct error *err);

bool file_exists(const char *path);
bool file_is_dir(const char *path);
/* Names in a folder, sorted by byte value, without "." and ".."; *names is one allocation per name plus the array:
 * free with file_list_free. */
bool file_list(const char *dir, char ***names, size_t *count, struct error *err);
void file_list_free(char **names, size_t count);

/* An output folder that appears whole or not at all: files are written into a hidden sibling of `path`, and
 * output_commit renames it into place. */
struct output {
  char *path;      /* final folder; owned */
  char *temporary; /* where files are written until the commit; owned */
  bool replace;    /* an existing folder may be replaced */
};
/* Creates parent folders as needed. Without `replace` an existing non-empty `path` is an error naming --overwrite. */
bool output_begin(struct output *out, const char *path, bool replace, struct error *err);
/* "temporary/name", in a buffer of the caller; error if it does not fit. */
bool output_path(const struct output *out, const char *name, char *buffer, size_t size, struct error *err);
bool output_commit(struct output *out, struct error *err);
/* Removes what was written unless it was committed; frees the struct's contents. Safe after commit and on a zeroed
 * struct. */
void output_end(struct output *out);

/* SHA-256 as 64 lower-case hex digits and NUL. */
bool file_sha256(const void *bytes, size_t size, char hex[65]);

#endif
