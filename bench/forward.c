/* SPDX-License-Identifier: Apache-2.0 */
/* Forward passes of a model at the batch of its input, or passes there and back.
 *
 *   bench-forward MODEL INPUT.npy THREADS OUTPUT.npy f32|bf16 [back]
 *
 * INPUT [n, channels, height, width] in the model's values; OUTPUT gets the raw scores [n, classes] of the first pass.
 * back: also the gradients of class 0's raw score with respect to the images.
 * First line: {"load", "first": s, "macs", "batch", "peak_kib"}; then it serves requests (worker.h). */
#include "base/mem.h"
#include "base/npy.h"
#include "model/model.h"
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INPUT = 1 << 30 };

struct forward {
  struct session *session;
  float *images, *scores; /* channels last; [n, classes] */
  float *gradients;       /* as images, or NULL */
  int64_t n, batch;
};

static bool pass(void *context, struct error *err)
{
  struct forward *f = context;
  const struct predictor *p = f->session->predictor;
  const size_t image = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
  for (int64_t done = 0; done < f->n;) {
    const int64_t n = f->n - done < f->batch ? f->n - done : f->batch;
    const float *images = f->images + (size_t)done * image;
    float *scores = f->scores + done * p->classes;
    if (f->gradients ? !session_backward(f->session, images, n, f->gradients + (size_t)done * image, scores, err)
                     : !session_predict(f->session, images, n, scores, NULL, err))
      return false;
    done += n;
  }
  return true;
}

/* The input with channels last. */
static bool read_images(const char *path, const struct predictor *p, struct forward *f, struct error *err)
{
  struct npy x = {.data = NULL};
  if (!npy_read(path, MAX_INPUT, &x, err))
    return false;
  const int64_t pixels = (int64_t)p->height * p->width;
  bool ok = (x.type == NPY_F32 && x.rank == 4 && x.dim[0] > 0 && x.dim[1] == p->channels && x.dim[2] == p->height &&
             x.dim[3] == p->width) ||
            error_set(err, ERROR_USAGE, "%s: not float32 [n, %d, %d, %d]", path, p->channels, p->height, p->width);
  f->n = ok ? x.dim[0] : 0;
  f->images = ok ? mem_alloc((size_t)npy_count(&x) * sizeof(float)) : NULL;
  f->scores = ok ? mem_zero((size_t)(f->n * p->classes), sizeof(float)) : NULL;
  ok = ok && ((f->images && f->scores) || error_memory(err, "images"));
  for (int64_t i = 0; ok && i < f->n; i++)
    for (int64_t k = 0; k < pixels; k++)
      for (int64_t c = 0; c < p->channels; c++)
        f->images[(i * pixels + k) * p->channels + c] = ((const float *)x.data)[(i * p->channels + c) * pixels + k];
  npy_free(&x);
  return ok;
}

static bool open_session(struct forward *f, const struct predictor *p, const struct session_options *options, bool back,
                         struct error *err)
{
  const struct backward_request request = {.logit = true};
  struct backward_info info;
  f->session = session_open(p, options, err);
  if (!f->session)
    return false;
  f->batch = f->session->batch;
  if (!back)
    return true;
  if (!session_begin_backward(f->session, &request, &info, err))
    return false;
  f->batch = info.batch;
  f->gradients = mem_zero((size_t)f->n * (size_t)p->height * (size_t)p->width * (size_t)p->channels, sizeof(float));
  return f->gradients || error_memory(err, "gradients");
}

int main(int argc, char **argv)
{
  struct error err = {ERROR_NONE};
  struct forward f = {.session = NULL};
  const bool back = argc == 7 && strcmp(argv[6], "back") == 0;
  if (argc != 6 && !back) {
    (void)fputs("usage: bench-forward MODEL INPUT.npy THREADS OUTPUT.npy f32|bf16 [back]\n", stderr);
    return 2;
  }
  const double start = worker_wall();
  struct model *model = model_open(argv[1], &(struct model_options){.card = NULL}, &err);
  const double loaded = worker_wall();
  /* as much memory as the batch wants: the other side has no limit either */
  const struct session_options options = {
      .score = SCORE_LOGIT,
      .threads = atoi(argv[3]),
      .memory = (size_t)8 << 30,
      .precision = strcmp(argv[5], "bf16") == 0 ? PRECISION_BF16 : PRECISION_F32,
  };
  bool ok = model && read_images(argv[2], &model->predictor, &f, &err);
  const double read = worker_wall();
  ok = ok && open_session(&f, &model->predictor, &options, back, &err) && pass(&f, &err);
  const double first = worker_wall();
  if (ok) {
    const struct npy scores = {NPY_F32, 2, {f.n, model->predictor.classes}, f.scores};
    double macs = 0;
    for (int i = 0; i < model->graph->n_nodes; i++)
      macs += (double)node_macs(model->graph->nodes[i]);
    ok = npy_write(argv[4], &scores, &err);
    printf("{\"load\": %.4f, \"first\": %.4f, \"macs\": %.0f, \"batch\": %lld, \"peak_kib\": %ld}\n", loaded - start,
           first - read, macs, (long long)f.batch, worker_peak());
    (void)fflush(stdout);
    ok = ok && worker_serve(pass, &f, &err);
  }
  session_close(f.session);
  model_close(model);
  mem_free(f.images);
  mem_free(f.scores);
  mem_free(f.gradients);
  return ok ? 0 : worker_fail("bench-forward", &err);
}
