/* SPDX-License-Identifier: Apache-2.0 */
/* Superpixels of one picture.
 *
 *   bench-segment PICTURE.npy THREADS OUT.npy SEGMENTS
 *
 * The picture is [H, W, 3] uint8; SEGMENTS as LIME takes them ("slic:100"). OUT.npy gets the labels [H, W]. First line:
 * {"count": superpixels}; then it serves requests (worker.h), each a whole cut. */
#include "perturb/segment.h"
#include "base/mem.h"
#include "base/npy.h"
#include "base/threads.h"
#include "worker.h"

#include <stdio.h>
#include <stdlib.h>

struct work {
  struct card card;
  struct input input;
  struct segment_scene scene;
  const char *segments;
  int32_t *labels;
  int64_t count;
};

static bool cut(void *context, struct error *err)
{
  struct work *w = context;
  return segment_image(w->segments, "card", &w->scene, w->labels, &w->count, err);
}

/* A picture that is on the model's grid already. */
static bool open_picture(struct work *w, const char *path, struct error *err)
{
  struct npy npy;
  if (!npy_read(path, (size_t)1 << 30, &npy, err))
    return false;
  bool ok = (npy.type == NPY_I32 && npy.rank == 3 && npy.dim[2] == 3) ||
            error_set(err, ERROR_USAGE, "%s: not [H, W, 3] of integers", path);
  if (ok) {
    const int height = (int)npy.dim[0], width = (int)npy.dim[1];
    const size_t pixels = (size_t)npy.dim[0] * (size_t)npy.dim[1];
    const int32_t *code = npy.data;
    w->card = (struct card){.channel_count = 3, .channels = CHANNELS_RGB, .height = height, .width = width};
    w->input =
        (struct input){.geometry = {width, height, width, height, 0, 0, width, height}, .channels = 3, .hi = 255};
    w->scene = (struct segment_scene){&w->card, &w->input};
    w->input.u = mem_alloc(3 * pixels * sizeof *w->input.u);
    w->labels = mem_alloc(pixels * sizeof *w->labels);
    ok = (w->input.u && w->labels) || error_memory(err, "the picture");
    for (size_t i = 0; ok && i < 3 * pixels; i++)
      w->input.u[i] = (float)code[i];
  }
  npy_free(&npy);
  return ok;
}

int main(int argc, char **argv)
{
  struct error err = {ERROR_NONE};
  if (argc != 5) {
    (void)fputs("usage: bench-segment PICTURE.npy THREADS OUT.npy SEGMENTS\n", stderr);
    return 2;
  }
  struct work w = {.segments = argv[4]};
  threads_use(atoi(argv[2]));
  bool ok = open_picture(&w, argv[1], &err) && cut(&w, &err);
  if (ok) {
    struct npy npy = {NPY_I32, 2, {w.card.height, w.card.width}, w.labels};
    ok = npy_write(argv[3], &npy, &err);
  }
  if (ok) {
    printf("{\"count\": %lld}\n", (long long)w.count);
    (void)fflush(stdout);
    ok = worker_serve(cut, &w, &err);
  }
  input_free(&w.input);
  mem_free(w.labels);
  return ok ? 0 : worker_fail("bench-segment", &err);
}
