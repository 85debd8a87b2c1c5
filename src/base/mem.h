/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: arenas for what lives as long as a model or a run, checked sizes, big aligned buffers. */
#ifndef PENUMBRA_BASE_MEM_H
#define PENUMBRA_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEM_ALIGN 64 /* bytes; a cache line and an AVX-512 vector */

/* Every allocation of the library passes through these, so that a test can make the nth one fail.
 * NULL when memory is out. mem_zero clears; mem_free accepts NULL. */
void *mem_alloc(size_t bytes);
void *mem_zero(size_t count, size_t size);
void *mem_grow(void *old, size_t bytes);
void mem_free(void *p);
char *mem_strdup(const char *text);

/* For tests: let the nth allocation from now on, and all later ones, fail (0 = never). Thread-local. */
void mem_fail_after(uint64_t n);

/* a*b and a+b, false when they overflow size_t. */
bool size_mul(size_t a, size_t b, size_t *out);
bool size_add(size_t a, size_t b, size_t *out);

/* Page-backed buffer, MEM_ALIGN-aligned, zero at first touch, huge pages where the system grants them; NULL on
 * failure. */
void *mem_map(size_t bytes);
void mem_unmap(void *p, size_t bytes);

/* An arena owns all that was allocated from it and frees it at once. It refuses to grow beyond `limit` bytes
 * (0 = no limit of its own). Memory is zeroed and aligned to 16 bytes. */
struct arena;
struct arena *arena_new(size_t limit);
void arena_free(struct arena *arena);
void *arena_alloc(struct arena *arena, size_t bytes);
void *arena_array(struct arena *arena, size_t count, size_t size);
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t length);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
size_t arena_bytes(const struct arena *arena);

#endif
