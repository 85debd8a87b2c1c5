/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Thread_local uint64_t fail_countdown; /* 0: never; 1: the next one and all that follow */

static bool refuse(void)
{
  if (fail_countdown == 0)
    return false;
  if (fail_countdown == 1)
    return true;
  fail_countdown--;
  return false;
}

void mem_fail_after(uint64_t n)
{
  fail_countdown = n;
}

void *mem_alloc(size_t bytes)
{
  return refuse() ? NULL : malloc(bytes ? bytes : 1);
}

void *mem_zero(size_t count, size_t size)
{
  return refuse() ? NULL : calloc(count ? count : 1, size ? size : 1);
}

void *mem_grow(void *old, size_t bytes)
{
  return refuse() ? NULL : realloc(old, bytes ? bytes : 1);
}

void mem_free(void *p)
{
  free(p);
}

char *mem_strdup(const char *text)
{
  size_t size = strlen(text) + 1;
  char *copy = mem_alloc(size);
  return copy ? memcpy(copy, text, size) : NULL;
}

bool size_mul(size_t a, size_t b, size_t *out)
{
  return !__builtin_mul_overflow(a, b, out);
}

bool size_add(size_t a, size_t b, size_t *out)
{
  return !__builtin_add_overflow(a, b, out);
}

void *mem_map(size_t bytes)
{
  if (refuse() || bytes == 0)
    return NULL;
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED)
    return NULL;
  (void)madvise(p, bytes, MADV_HUGEPAGE); /* a wish: runs work the same without */
  return p;
}

void mem_unmap(void *p, size_t bytes)
{
  if (p)
    (void)munmap(p, bytes);
}

/* Arena: a chain of blocks; small requests share a block, large ones get their own. */

struct block {
  struct block *next;
  size_t used, size; /* bytes after this header */
  _Alignas(16) unsigned char data[];
};

struct arena {
  struct block *blocks;
  size_t bytes, limit;
};

enum { BLOCK_BYTES = 64 << 10 };

struct arena *arena_new(size_t limit)
{
  struct arena *arena = mem_zero(1, sizeof *arena);
  if (arena)
    arena->limit = limit;
  return arena;
}

void arena_free(struct arena *arena)
{
  if (!arena)
    return;
  for (struct block *b = arena->blocks; b;) {
    struct block *next = b->next;
    mem_free(b);
    b = next;
  }
  mem_free(arena);
}

static struct block *add_block(struct arena *arena, size_t bytes)
{
  size_t total;
  if (!size_add(bytes, sizeof(struct block), &total))
    return NULL;
  if (arena->limit && (total > arena->limit || arena->bytes > arena->limit - total))
    return NULL;
  struct block *b = mem_zero(1, total);
  if (!b)
    return NULL;
  b->size = bytes;
  arena->bytes += total;
  return b;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
  if (bytes > SIZE_MAX - 16)
    return NULL;
  bytes = (bytes + 15) & ~(size_t)15;
  struct block *head = arena->blocks;
  if (head && head->size - head->used >= bytes) {
    void *p = head->data + head->used;
    head->used += bytes;
    return p;
  }
  bool own = bytes > BLOCK_BYTES / 4;
  struct block *b = add_block(arena, own ? bytes : BLOCK_BYTES);
  if (!b)
    return NULL;
  b->used = bytes;
  if (own && head) { /* keep filling the block that has room */
    b->next = head->next;
    head->next = b;
  } else {
    b->next = head;
    arena->blocks = b;
  }
  return b->data;
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
  size_t bytes;
  return size_mul(count, size, &bytes) ? arena_alloc(arena, bytes) : NULL;
}

char *arena_strndup(struct arena *arena, const char *text, size_t length)
{
  if (length == SIZE_MAX)
    return NULL;
  char *copy = arena_alloc(arena, length + 1);
  if (copy)
    memcpy(copy, text, length);
  return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
  return arena_strndup(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
  char text[1024];
  va_list args;
  va_start(args, format);
  int length = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (length < 0)
    return NULL;
  return arena_strndup(arena, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

size_t arena_bytes(const struct arena *arena)
{
  return arena->bytes;
}
