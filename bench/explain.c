/* SPDX-License-Identifier: Apache-2.0 */
/* Explanations of one picture, as a user of the library gets them.
 *
 *   bench-explain MODEL PICTURE THREADS OUT f32|bf16|auto TARGET SEED METHOD [NAME=VALUE …]
 *
 * The picture is brought to the model's size without a crop; raw scores are explained. OUT.npy gets the map on the
 * model's grid, OUT.trace.npy the trace of a search, OUT.json what the library says of the run. First line: {"load",
 * "first": s, "peak_kib", "resident_kib"}; then it serves requests (worker.h), each a whole explanation, its opening
 * included. */
#include "base/files.h"
#include "base/npy.h"
#include "base/str.h"
#include "penumbra.h"
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct work {
  penumbra_model *model;
  penumbra_image *image;
  penumbra_request request;
};

static bool failed(const penumbra_error *from, struct error *err)
{
  return error_set(err, from->code == PENUMBRA_USAGE ? ERROR_USAGE : ERROR_FAILED, "%s", from->message);
}

static bool explain(void *context, struct error *err)
{
  const struct work *w = context;
  penumbra_error own = {PENUMBRA_OK, ""};
  penumbra_explanation *e = penumbra_explain(w->model, w->image, &w->request, &own);
  penumbra_explanation_free(e);
  return e || failed(&own, err);
}

static bool write_array(const penumbra_array *array, const char *out, const char *ending, struct error *err)
{
  struct npy npy = {NPY_F32, array->rank, {0}, (void *)(uintptr_t)array->data};
  struct str path;
  memcpy(npy.dim, array->dims, (size_t)array->rank * sizeof *npy.dim);
  str_init(&path, 4096);
  str_printf(&path, "%s%s", out, ending);
  const bool ok = (path.text || error_memory(err, "a path")) && npy_write(path.text, &npy, err);
  str_free(&path);
  return ok;
}

/* The first explanation, kept. */
static bool write_first(const struct work *w, const char *out, double *seconds, struct error *err)
{
  penumbra_error own = {PENUMBRA_OK, ""};
  penumbra_array map, trace;
  struct str path;
  const double from = worker_wall();
  penumbra_explanation *e = penumbra_explain(w->model, w->image, &w->request, &own);
  *seconds = worker_wall() - from;
  char *text = e ? penumbra_explanation_json(e, &own) : NULL;
  bool ok = (text && penumbra_explanation_array(e, "map", &map, &own)) || failed(&own, err);
  ok = ok && write_array(&map, out, ".npy", err);
  if (ok && penumbra_explanation_array(e, "trace", &trace, &own))
    ok = write_array(&trace, out, ".trace.npy", err);
  str_init(&path, 4096);
  if (ok) {
    str_printf(&path, "%s.json", out);
    ok = (path.text || error_memory(err, "a path")) && file_write(path.text, text, strlen(text), err);
  }
  str_free(&path);
  penumbra_text_free(text);
  penumbra_explanation_free(e);
  return ok;
}

int main(int argc, char **argv)
{
  struct error err = {ERROR_NONE};
  penumbra_error own = {PENUMBRA_OK, ""};
  if (argc < 9) {
    (void)fputs("usage: bench-explain MODEL PICTURE THREADS OUT f32|bf16|auto TARGET SEED METHOD [NAME=VALUE ...]\n",
                stderr);
    return 2;
  }
  static const char *const settings[] = {"resize=stretch", NULL};
  const penumbra_model_options options = {.size = sizeof options, .settings = settings};
  const double start = worker_wall();
  struct work w = {.model = penumbra_model_open(argv[1], &options, &own)};
  w.image = w.model ? penumbra_image_open(argv[2], &own) : NULL;
  const double loaded = worker_wall();
  w.request = (penumbra_request){
      .size = sizeof w.request,
      .method = argv[8],
      .params = (const char *const *)argv + 9, /* ends with NULL as argv does */
      .target = argv[6],
      .score = "logit",
      .seed = strtoull(argv[7], NULL, 10),
      .threads = atoi(argv[3]),
      .precision = argv[5],
  };
  worker_reset_peak();
  const long resident = worker_resident();
  double first = 0;
  bool ok = w.image ? write_first(&w, argv[4], &first, &err) : failed(&own, &err);
  if (ok) {
    printf("{\"load\": %.4f, \"first\": %.4f, \"peak_kib\": %ld, \"resident_kib\": %ld}\n", loaded - start, first,
           worker_peak(), resident);
    (void)fflush(stdout);
    ok = worker_serve(explain, &w, &err);
  }
  penumbra_image_close(w.image);
  penumbra_model_close(w.model);
  return ok ? 0 : worker_fail("bench-explain", &err);
}
