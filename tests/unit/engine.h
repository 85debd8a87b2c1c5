/* SPDX-License-Identifier: Apache-2.0 */
/* Models in tests: opened, fed, run at any batch, compared. */
#ifndef PENUMBRA_TESTS_ENGINE_H
#define PENUMBRA_TESTS_ENGINE_H

#include "base/mem.h"
#include "base/npy.h"
#include "base/threads.h"
#include "golden.h"
#include "graph/run.h"
#include "model/model.h"
#include "unit.h"

#include <math.h>
#include <string.h>

/* For everything that has to succeed: shows the message where it does not. */
#define assert_ok(condition, err)                                                                                      \
  do {                                                                                                                 \
    const bool assert_ok_result = (condition);                                                                         \
    if (!assert_ok_result)                                                                                             \
      print_message("# %s\n", (err).message);                                                                          \
    assert_true(assert_ok_result);                                                                                     \
    assert_int_equal((err).code, ERROR_NONE);                                                                          \
  } while (0)

static inline struct model *engine_open(const char *path, bool verbatim)
{
  struct error err = {0};
  struct model *model = model_open(path, &(struct model_options){.verbatim = verbatim}, &err);
  assert_ok(model != NULL, err);
  return model;
}

/* tests/golden/fixtures/NAME.onnx */
static inline struct model *engine_fixture(const char *name)
{
  char file[128];
  (void)snprintf(file, sizeof file, "%s.onnx", name);
  return engine_open(golden_path("fixtures", file), false);
}

/* PENUMBRA_MODELS/NAME: what tools/make_models.py wrote; skips the running test where it is not there. */
static inline const char *models_path(const char *name)
{
  char *path = golden_buffer();
  struct stat st;
  const char *folder = getenv("PENUMBRA_MODELS");
  (void)snprintf(path, 1024, "%s/%s", folder ? folder : ".", name);
  if (!folder || stat(path, &st) != 0)
    skip();
  return path;
}

static inline struct npy npy_open(const char *path)
{
  struct npy array = {0};
  struct error err = {0};
  assert_ok(npy_read(path, (size_t)1 << 30, &array, &err), err);
  return array;
}

/* [n, c, h, w] to [n, h, w, c]. */
static inline void to_channels_last(const float *from, int64_t n, int64_t c, int64_t pixels, float *to)
{
  for (int64_t i = 0; i < n; i++)
    for (int64_t p = 0; p < pixels; p++)
      for (int64_t k = 0; k < c; k++)
        to[(i * pixels + p) * c + k] = from[(i * c + k) * pixels + p];
}

static inline double largest_of(const float *x, int64_t n)
{
  double largest = 0;
  for (int64_t i = 0; i < n; i++) {
    if (!isfinite(x[i]))
      return INFINITY;
    largest = fmax(largest, fabs((double)x[i]));
  }
  return largest;
}

/* max |a - b| / max |b|; 0 where both are zero everywhere, infinite where anything is not finite. */
static inline double relative_error(const float *a, const float *b, int64_t n)
{
  double worst = 0;
  const double largest = largest_of(b, n);
  if (!isfinite(largest_of(a, n)) || !isfinite(largest))
    return INFINITY;
  for (int64_t i = 0; i < n; i++)
    worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
  return worst == 0 ? 0 : worst / fmax(largest, 1e-30);
}

/* Numbers like those of a normalised picture, smooth enough to be one: a function of seed and place alone. */
static inline void noise_image(uint64_t seed, int64_t n, float *x)
{
  for (int64_t i = 0; i < n; i++) {
    uint64_t z = (uint64_t)i * 0x9E3779B97F4A7C15u + seed * 0xBF58476D1CE4E5B9u + 1;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    x[i] = (float)((double)((z ^ (z >> 31)) >> 40) * 0x1p-24 * 4 - 2);
  }
}

/* A graph ready to run at one batch size. */
struct engine {
  struct compute *compute;
  struct run *run;
  void *memory;
  size_t bytes;
};

static inline struct engine engine_new(const struct graph *graph, int64_t n, bool keep_all)
{
  struct error err = {0};
  struct engine e = {.compute = compute_open(&err)};
  assert_ok(e.compute != NULL, err);
  e.run = run_new(graph, e.compute, n, NULL, 0, keep_all, &err);
  assert_ok(e.run != NULL, err);
  e.bytes = run_bytes(e.run);
  e.memory = mem_map(e.bytes);
  assert_non_null(e.memory);
  run_bind(e.run, e.memory);
  return e;
}

static inline void engine_run(struct engine *e, const float *images, int64_t floats)
{
  struct error err = {0};
  memcpy(run_input(e->run, 0), images, (size_t)floats * sizeof *images);
  assert_ok(run_execute(e->run, &err), err);
}

static inline void engine_free(struct engine *e)
{
  run_free(e->run);
  mem_unmap(e->memory, e->bytes);
  compute_close(e->compute);
}

static inline int64_t image_floats(const struct predictor *p)
{
  return (int64_t)p->height * p->width * p->channels;
}

#endif
