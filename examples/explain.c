/* SPDX-License-Identifier: Apache-2.0 */
/* Why did the classifier say so? One picture, one map, in a folder.
 *
 *   cc -std=c11 explain.c $(pkg-config --cflags --libs penumbra) -o explain
 *   ./explain model.onnx picture.png out             the most probable class
 *   ./explain model.onnx picture.png out Pneumonia   a class by its label or number
 *
 * The folder then holds heatmap.npy, overlay.png, report.html, result.json and what the method has to show besides. */
#include <penumbra.h>

#include <stdio.h>
#include <string.h>

/* Called some times a second; false would cancel. */
static bool show_progress(void *context, const penumbra_progress *progress)
{
  (void)context;
  fprintf(stderr, "\r%s: %lld of %lld", progress->stage, (long long)progress->done, (long long)progress->total);
  if (progress->done == progress->total)
    fprintf(stderr, "\n");
  return true;
}

/* Say what was predicted, and where the evidence is strongest. */
static bool show_result(const penumbra_model *model, const penumbra_image *image,
                        const penumbra_explanation *explanation, penumbra_error *err)
{
  float scores[4096];
  const int classes = penumbra_model_classes(model);
  penumbra_array heat;
  if (classes > (int)(sizeof scores / sizeof *scores) || !penumbra_predict(model, image, 0, scores, err) ||
      !penumbra_explanation_array(explanation, "heatmap", &heat, err))
    return false;
  int best = 0;
  for (int k = 1; k < classes; k++)
    if (scores[k] > scores[best])
      best = k;

  const float *map = (const float *)heat.data; /* [height, width] of the picture; the explanation owns it */
  const int64_t pixels = heat.dims[0] * heat.dims[1];
  int64_t strongest = 0;
  for (int64_t i = 1; i < pixels; i++)
    if (map[i] > map[strongest])
      strongest = i;
  printf("%s %.4f, strongest evidence at x %d, y %d\n", penumbra_model_label(model, best), (double)scores[best],
         (int)(strongest % heat.dims[1]), (int)(strongest / heat.dims[1]));
  return true;
}

int main(int argc, char **argv)
{
  if (argc < 4 || argc > 5) {
    fprintf(stderr, "usage: explain MODEL IMAGE FOLDER [CLASS]\n");
    return 2;
  }

  /* A request in which zero means default: all cores, the method's own parameters, the most probable class. */
  const char *const params[] = {"patch=auto", "fill=mean", NULL};
  penumbra_request request;
  memset(&request, 0, sizeof request);
  request.size = sizeof request;
  request.method = "occlusion";
  request.params = params;
  request.target = argc > 4 ? argv[4] : NULL;
  request.progress = show_progress;

  /* Each step returns NULL or false on failure and says why in `err`; releasing NULL is allowed. */
  penumbra_error err = {PENUMBRA_OK, ""};
  penumbra_model *model = penumbra_model_open(argv[1], NULL, &err); /* the card beside it is found by itself */
  penumbra_image *image = model ? penumbra_image_open(argv[2], &err) : NULL;
  penumbra_explanation *explanation = image ? penumbra_explain(model, image, &request, &err) : NULL;
  const bool ok = explanation && show_result(model, image, explanation, &err) &&
                  penumbra_explanation_save(explanation, argv[3], PENUMBRA_OVERWRITE, &err);
  if (!ok)
    fprintf(stderr, "explain: %s\n", err.message);

  penumbra_explanation_free(explanation);
  penumbra_image_close(image);
  penumbra_model_close(model);
  return ok ? 0 : 1;
}
