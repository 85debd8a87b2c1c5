/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy's .npy, version 1.0 written (C order, little-endian), 1.0 to 3.0 read. */
#ifndef PENUMBRA_BASE_NPY_H
#define PENUMBRA_BASE_NPY_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum npy_type { NPY_F32, NPY_I32 };

#define NPY_MAX_RANK 8

struct npy {
  enum npy_type type;
  int rank;
  int64_t dim[NPY_MAX_RANK];
  void *data; /* C order; owned (mem_free) when it came from npy_read */
};

/* Elements of the array; -1 if the product overflows. */
int64_t npy_count(const struct npy *array);

/* Reads any of <f2 <f4 <f8, signed and unsigned integers of 1 to 8 bytes, bool, little- or big-endian, C or Fortran
 * order; the result is float32 for the float types, int32 for the others (a value outside int32 is an error).
 * Fails on Python objects, structured types, truncated data and more than `limit` bytes of result. */
bool npy_read(const char *path, size_t limit, struct npy *array, struct error *err);
/* The same from memory; `name` is for messages. */
bool npy_decode(const void *bytes, size_t size, const char *name, size_t limit, struct npy *array, struct error *err);
bool npy_write(const char *path, const struct npy *array, struct error *err);
void npy_free(struct npy *array);

#endif
