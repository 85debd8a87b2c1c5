/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/reader.h"

#include <stdint.h>
#include <string.h>

enum { MAX_EXTERNAL_FILES = 4096 };

/* One byte of a file becomes at most 8 bytes of a tensor (int8 to int64); the descriptions of values, nodes and
 * attributes need 2 to 16 times their bytes in any model that exporters write. */
static size_t ceiling(const struct reader *reader)
{
  const size_t base = (size_t)16 << 20, factor = 16;
  size_t bytes;
  return size_mul(reader->file_bytes, factor, &bytes) && size_add(bytes, base, &bytes) ? bytes : SIZE_MAX;
}

static bool too_big(const struct reader *reader, struct error *err)
{
  return error_set(err, ERROR_MEMORY, "the model would need more than %zu MB of memory, out of proportion to its size",
                   ceiling(reader) >> 20);
}

void *reader_alloc(struct reader *reader, size_t count, size_t size, const char *what, struct error *err)
{
  size_t bytes;
  if (!size_mul(count, size, &bytes) || !size_add(bytes, MEM_ALIGN, &bytes)) {
    error_memory(err, what);
    return NULL;
  }
  size_t used = arena_bytes(reader->arena), limit = ceiling(reader);
  if (used > limit || bytes > limit - used) {
    too_big(reader, err);
    return NULL;
  }
  unsigned char *data = arena_alloc(reader->arena, bytes);
  if (!data) {
    error_memory(err, what);
    return NULL;
  }
  return data + (MEM_ALIGN - (uintptr_t)data % MEM_ALIGN) % MEM_ALIGN;
}

bool reader_check(const struct reader *reader, struct error *err)
{
  return arena_bytes(reader->arena) <= ceiling(reader) || too_big(reader, err);
}

bool reader_is_lfs_pointer(const void *bytes, size_t size)
{
  static const char start[] = "version https://git-lfs.github.com/spec/";
  return size >= sizeof start - 1 && memcmp(bytes, start, sizeof start - 1) == 0;
}

bool reader_external(struct reader *reader, const char *name, struct file_map *map, struct error *err)
{
  if (!reader->dir)
    return error_set(err, ERROR_FAILED, "external data ('%.70s') are read only for a model that is a local file", name);
  for (int i = reader->n_files - 1; i >= 0; i--) { /* most often the last one again */
    if (strcmp(reader->files[i].name, name) == 0) {
      *map = reader->files[i].map;
      return true;
    }
  }
  if (reader->n_files == MAX_EXTERNAL_FILES)
    return error_set(err, ERROR_FAILED, "external data lie in more than %d files", MAX_EXTERNAL_FILES);
  if (reader->n_files == reader->cap_files) {
    int capacity = reader->cap_files ? 2 * reader->cap_files : 8;
    struct external_file *files = mem_grow(reader->files, (size_t)capacity * sizeof *files);
    if (!files)
      return error_memory(err, "external data");
    reader->files = files;
    reader->cap_files = capacity;
  }
  struct external_file file = {.name = mem_strdup(name)};
  if (!file.name)
    return error_memory(err, "external data");
  if (!file_map_within(reader->dir, name, reader->symlinks, &file.map, err)) {
    mem_free(file.name);
    return error_prefix(err, "external data");
  }
  if (reader_is_lfs_pointer(file.map.data, file.map.size)) {
    file_unmap(&file.map);
    mem_free(file.name);
    return error_set(err, ERROR_FAILED, "'%.70s' is a Git LFS pointer, not the data; fetch it with git lfs pull", name);
  }
  reader->files[reader->n_files++] = file;
  if (!size_add(reader->file_bytes, file.map.size, &reader->file_bytes))
    reader->file_bytes = SIZE_MAX;
  *map = file.map;
  return true;
}

void reader_close(struct reader *reader)
{
  for (int i = 0; i < reader->n_files; i++) {
    file_unmap(&reader->files[i].map);
    mem_free(reader->files[i].name);
  }
  mem_free(reader->files);
  reader->files = NULL;
  reader->n_files = reader->cap_files = 0;
}
