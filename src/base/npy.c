/* SPDX-License-Identifier: Apache-2.0 */
/* The format, from NumPy's own description (numpy.lib.format): "\x93NUMPY", major, minor, length of the header (2 bytes
 * in version 1, else 4, little-endian), the header as a Python dictionary of three keys, the elements.
 *
 *   {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }                                          \n
 */
#include "base/npy.h"
#include "base/files.h"
#include "base/half.h"
#include "base/mem.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { HEADER_MAX = 1 << 20, PRELUDE = 10 };

static const char magic[] = "\x93NUMPY";

struct header {
  char kind; /* f, i, u or b */
  int size;  /* bytes of an element */
  bool big_endian, fortran;
  int rank;
  int64_t dim[NPY_MAX_RANK];
};

int64_t npy_count(const struct npy *array)
{
  int64_t n = 1;
  bool empty = false, overflow = false;
  for (int i = 0; i < array->rank; i++) {
    if (array->dim[i] < 0)
      return -1;
    empty |= array->dim[i] == 0;
    overflow |= __builtin_mul_overflow(n, array->dim[i], &n);
  }
  return empty ? 0 : overflow ? -1 : n;
}

/* The header's text, read from the left; every step leaves `at` <= `end`. */
struct cursor {
  const char *at, *end;
};

static void skip_blanks(struct cursor *c)
{
  while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
    c->at++;
}

static bool take(struct cursor *c, const char *word)
{
  skip_blanks(c);
  size_t n = strlen(word);
  if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0)
    return false;
  c->at += n;
  return true;
}

/* 'text' or "text" without escapes, which none of the keys and types has. */
static bool take_quoted(struct cursor *c, char *text, size_t size)
{
  const char *quote = take(c, "'") ? "'" : take(c, "\"") ? "\"" : NULL;
  if (!quote)
    return false;
  const char *close = memchr(c->at, *quote, (size_t)(c->end - c->at));
  if (!close || (size_t)(close - c->at) >= size || memchr(c->at, '\\', (size_t)(close - c->at)))
    return false;
  memcpy(text, c->at, (size_t)(close - c->at));
  text[close - c->at] = '\0';
  c->at = close + 1;
  return true;
}

static bool take_dimension(struct cursor *c, int64_t *out)
{
  skip_blanks(c);
  int64_t n = 0;
  const char *start = c->at;
  for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
    if (__builtin_mul_overflow(n, (int64_t)10, &n) || __builtin_add_overflow(n, (int64_t)(*c->at - '0'), &n))
      return false;
  bool digits = c->at > start;
  (void)take(c, "L"); /* Python 2 wrote long integers so */
  *out = n;
  return digits;
}

static bool read_type(struct cursor *c, const char *path, struct header *h, struct error *err)
{
  char text[32];
  if (take(c, "["))
    return error_set(err, ERROR_FAILED, "%s: structured types are not supported", path);
  if (!take_quoted(c, text, sizeof text))
    return error_set(err, ERROR_FAILED, "%s: the header's descr is no type name", path);
  const char *p = text;
  bool native_big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
  h->big_endian = *p == '>' || (*p != '<' && native_big);
  if (*p && strchr("<>|=", *p))
    p++;
  h->kind = *p;
  h->size = p[0] && p[1] >= '1' && p[1] <= '8' && !p[2] ? p[1] - '0' : 0;
  bool whole = h->size == 1 || h->size == 2 || h->size == 4 || h->size == 8;
  if (!((h->kind == 'f' && whole && h->size > 1) || ((h->kind == 'i' || h->kind == 'u') && whole) ||
        (h->kind == 'b' && h->size == 1)))
    return error_set(err, ERROR_FAILED, "%s: elements of type '%s' are not supported, only numbers and truth values",
                     path, text);
  return true;
}

static bool read_shape(struct cursor *c, const char *path, struct header *h, struct error *err)
{
  if (!take(c, "("))
    return error_set(err, ERROR_FAILED, "%s: the header's shape is no tuple", path);
  for (h->rank = 0; !take(c, ")");) {
    if (h->rank == NPY_MAX_RANK)
      return error_set(err, ERROR_FAILED, "%s: more than %d dimensions", path, NPY_MAX_RANK);
    if (!take_dimension(c, &h->dim[h->rank]))
      return error_set(err, ERROR_FAILED, "%s: dimension %d is no whole number of 0 or more", path, h->rank);
    h->rank++;
    if (!take(c, ",") && (h->rank == 1 || c->at == c->end || *c->at != ')')) /* "(3)" is a number, "(3,)" a tuple */
      return error_set(err, ERROR_FAILED, "%s: the header's shape is no tuple", path);
  }
  return true;
}

static bool read_header(struct cursor *c, const char *path, struct header *h, struct error *err)
{
  enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
  int seen = 0;
  bool more = take(c, "{");
  if (!more)
    return error_set(err, ERROR_FAILED, "%s: the header is no dictionary", path);
  while (!take(c, "}")) {
    char key[32];
    if (!more || !take_quoted(c, key, sizeof key) || !take(c, ":"))
      return error_set(err, ERROR_FAILED, "%s: the header is no dictionary", path);
    int bit = 0;
    if (strcmp(key, "descr") == 0)
      bit = DESCR;
    else if (strcmp(key, "fortran_order") == 0)
      bit = ORDER;
    else if (strcmp(key, "shape") == 0)
      bit = SHAPE;
    if (!bit || (seen & bit))
      return error_set(err, ERROR_FAILED, "%s: the header has %s key '%s'", path, bit ? "twice the" : "an unknown",
                       key);
    seen |= bit;
    if (bit == DESCR && !read_type(c, path, h, err))
      return false;
    if (bit == SHAPE && !read_shape(c, path, h, err))
      return false;
    if (bit == ORDER) {
      h->fortran = take(c, "True");
      if (!h->fortran && !take(c, "False"))
        return error_set(err, ERROR_FAILED, "%s: the header's fortran_order is neither True nor False", path);
    }
    more = take(c, ",");
  }
  skip_blanks(c);
  if (c->at != c->end)
    return error_set(err, ERROR_FAILED, "%s: something follows the header's dictionary", path);
  if (seen != (DESCR | ORDER | SHAPE))
    return error_set(err, ERROR_FAILED, "%s: the header lacks descr, fortran_order or shape", path);
  return true;
}

/* An element's bits, the sign extended for signed integers. */
static uint64_t load_bits(const unsigned char *p, const struct header *h)
{
  uint64_t bits = 0;
  for (int i = 0; i < h->size; i++)
    bits = bits << 8 | p[h->big_endian ? i : h->size - 1 - i];
  if (h->kind == 'i' && h->size < 8 && bits >> (8 * h->size - 1))
    bits |= ~(uint64_t)0 << (8 * h->size);
  return bits;
}

/* Element `i` of the result from its bytes; false if it does not fit the result's type. */
static bool convert(const unsigned char *p, const struct header *h, void *data, size_t i)
{
  uint64_t bits = load_bits(p, h);
  if (h->kind == 'f') {
    float value;
    if (h->size == 2) {
      value = half_to_float((uint16_t)bits);
    } else if (h->size == 4) {
      uint32_t word = (uint32_t)bits;
      memcpy(&value, &word, sizeof value);
    } else {
      double wide;
      memcpy(&wide, &bits, sizeof wide);
      if (isfinite(wide) && fabs(wide) > (double)FLT_MAX)
        return false;
      value = (float)wide;
    }
    ((float *)data)[i] = value;
    return true;
  }
  if (h->kind == 'i') {
    int64_t value = (int64_t)bits;
    ((int32_t *)data)[i] = (int32_t)value;
    return value >= INT32_MIN && value <= INT32_MAX;
  }
  ((int32_t *)data)[i] = h->kind == 'b' ? bits != 0 : (int32_t)(bits & INT32_MAX);
  return h->kind == 'b' || bits <= INT32_MAX;
}

static bool read_elements(const unsigned char *bytes, const char *path, const struct header *h, int64_t count,
                          void *data, struct error *err)
{
  if (count == 0)
    return true; /* the other dimensions may be anything */
  /* Elements from one index to the next, per dimension, as they lie in the file. */
  int64_t stride[NPY_MAX_RANK] = {0}, index[NPY_MAX_RANK] = {0}, step = 1;
  for (int k = 0; k < h->rank; k++) {
    int d = h->fortran ? k : h->rank - 1 - k;
    stride[d] = step;
    step *= h->dim[d];
  }
  int64_t from = 0;
  for (int64_t i = 0; i < count; i++) {
    if (!convert(bytes + from * h->size, h, data, (size_t)i))
      return error_set(err, ERROR_FAILED, "%s: element %jd does not fit %s", path, (intmax_t)i,
                       h->kind == 'f' ? "32-bit floating point" : "32-bit integers");
    for (int d = h->rank - 1; d >= 0; d--) { /* next index in C order */
      from += stride[d];
      if (++index[d] < h->dim[d])
        break;
      from -= stride[d] * h->dim[d];
      index[d] = 0;
    }
  }
  return true;
}

bool npy_decode(const void *bytes, size_t size, const char *name, size_t limit, struct npy *array, struct error *err)
{
  *array = (struct npy){0};
  const unsigned char *data = bytes;
  if (size < PRELUDE || memcmp(data, magic, 6) != 0)
    return error_set(err, ERROR_FAILED, "%s: is no .npy file", name);
  int version = data[6];
  if (version < 1 || version > 3)
    return error_set(err, ERROR_FAILED, "%s: .npy version %d.%d is not known (1.0 to 3.0 are)", name, version, data[7]);
  size_t start = version == 1 ? 10 : 12;
  size_t length = 0;
  for (size_t i = start; i > 8 && size >= start; i--)
    length = length << 8 | data[i - 1];
  if (size < start || length > size - start)
    return error_set(err, ERROR_FAILED, "%s: the file ends within its header", name);
  if (length > HEADER_MAX)
    return error_set(err, ERROR_FAILED, "%s: a header of %zu bytes is more than the limit of %d", name, length,
                     HEADER_MAX);
  struct header h = {0};
  struct cursor c = {.at = (const char *)data + start, .end = (const char *)data + start + length};
  if (!read_header(&c, name, &h, err))
    return false;

  struct npy found = {.type = h.kind == 'f' ? NPY_F32 : NPY_I32, .rank = h.rank};
  memcpy(found.dim, h.dim, sizeof found.dim);
  int64_t count = npy_count(&found);
  size_t available = size - start - length;
  if (count < 0 || (uint64_t)count > available / (size_t)h.size)
    return error_set(err, ERROR_FAILED, "%s: the file ends before its last element", name);
  size_t need;
  if (!size_mul((size_t)count, 4, &need) || (limit && need > limit))
    return error_set(err, ERROR_FAILED, "%s: %jd elements of 4 bytes are more than the limit of %zu bytes", name,
                     (intmax_t)count, limit);
  found.data = mem_alloc(need);
  if (!found.data)
    return error_memory(err, name);
  if (!read_elements(data + start + length, name, &h, count, found.data, err)) {
    npy_free(&found);
    return false;
  }
  *array = found;
  return true;
}

bool npy_read(const char *path, size_t limit, struct npy *array, struct error *err)
{
  *array = (struct npy){0};
  struct file_map map;
  if (!file_map(path, 0, &map, err))
    return false;
  bool ok = npy_decode(map.data, map.size, path, limit, array, err);
  file_unmap(&map);
  return ok;
}

bool npy_write(const char *path, const struct npy *array, struct error *err)
{
  char header[512]; /* 8 dimensions of at most 21 characters fit */
  size_t bytes;
  int64_t count = array->rank >= 0 && array->rank <= NPY_MAX_RANK ? npy_count(array) : -1;
  if (count < 0 || !size_mul((size_t)count, 4, &bytes))
    return error_set(err, ERROR_FAILED, "%s: an array of rank %d with such dimensions cannot be written", path,
                     array->rank);
  int n = PRELUDE;
  n += snprintf(header + n, sizeof header - (size_t)n, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? '>' : '<', array->type == NPY_F32 ? "f4" : "i4");
  for (int i = 0; i < array->rank; i++)
    n += snprintf(header + n, sizeof header - (size_t)n, "%s%jd%s", i ? ", " : "", (intmax_t)array->dim[i],
                  array->rank == 1 ? "," : "");
  n += snprintf(header + n, sizeof header - (size_t)n, "), }");
  int end = (n + 1 + 63) / 64 * 64; /* the elements begin at a multiple of 64 bytes */
  memset(header + n, ' ', (size_t)(end - n));
  header[end - 1] = '\n';
  memcpy(header, magic, 6);
  header[6] = 1;
  header[7] = 0;
  header[8] = (char)((end - PRELUDE) & 255);
  header[9] = (char)((end - PRELUDE) >> 8);
  const struct file_part parts[] = {{header, (size_t)end}, {array->data, bytes}};
  return file_write_parts(path, parts, 2, err);
}

void npy_free(struct npy *array)
{
  mem_free(array->data);
  *array = (struct npy){0};
}
