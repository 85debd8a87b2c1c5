/* SPDX-License-Identifier: Apache-2.0 */
/* Explaining a classifier of your own: any function from pictures to scores, no ONNX file needed.
 *
 *   cc -std=c11 callback.c $(pkg-config --cflags --libs penumbra) -lm -o callback
 *   ./callback
 *
 * The classifier here looks for a bright blob in the upper right of a 64 x 64 picture. The map shows that it does. */
#include <penumbra.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SIDE = 64, BLOB_X = 45, BLOB_Y = 18, BLOB_RADIUS = 7 };

/* What the classifier knows; handed to it at every call. */
struct blob_detector {
  int x, y, radius;
  long long pictures; /* seen so far */
};

/* Two scores for each of n pictures [n, SIDE, SIDE, 1]: "blob" and "none". Values are what the picture holds, 0..255.
 */
static bool detect_blob(void *context, const float *images, int n, float *scores, penumbra_error *err)
{
  struct blob_detector *detector = (struct blob_detector *)context;
  (void)err; /* on failure: write code and message, return false */
  for (int i = 0; i < n; i++) {
    const float *image = images + (size_t)i * SIDE * SIDE;
    double inside = 0, around = 0;
    int n_inside = 0, n_around = 0;
    for (int y = 0; y < SIDE; y++)
      for (int x = 0; x < SIDE; x++) {
        const int dx = x - detector->x, dy = y - detector->y, square = dx * dx + dy * dy;
        if (square <= detector->radius * detector->radius) {
          inside += (double)image[y * SIDE + x];
          n_inside++;
        } else if (square <= 4 * detector->radius * detector->radius) {
          around += (double)image[y * SIDE + x];
          n_around++;
        }
      }
    const double contrast = inside / n_inside - around / n_around; /* grey levels */
    scores[2 * i] = (float)(1 / (1 + exp(-(contrast - 40) / 10)));
    scores[2 * i + 1] = 1 - scores[2 * i];
  }
  detector->pictures += n;
  return true;
}

/* A dim background with two blobs, of which only one lies where the classifier looks. */
static void draw(unsigned char *pixels)
{
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++) {
      const int right = (x - BLOB_X) * (x - BLOB_X) + (y - BLOB_Y) * (y - BLOB_Y);
      const int left = (x - 16) * (x - 16) + (y - 46) * (y - 46);
      const bool blob = right <= BLOB_RADIUS * BLOB_RADIUS || left <= BLOB_RADIUS * BLOB_RADIUS;
      pixels[y * SIDE + x] = (unsigned char)(40 + (x + y) / 8 + (blob ? 120 : 0));
    }
}

int main(void)
{
  struct blob_detector detector = {BLOB_X, BLOB_Y, BLOB_RADIUS, 0};
  unsigned char pixels[SIDE * SIDE];
  draw(pixels);

  penumbra_predictor predictor;
  memset(&predictor, 0, sizeof predictor);
  predictor.size = sizeof predictor;
  predictor.height = predictor.width = SIDE;
  predictor.channels = 1;
  predictor.classes = 2;
  predictor.predict = detect_blob;
  predictor.context = &detector;

  const char *const params[] = {"patch=10", "stride=2", "fill=image-mean", NULL};
  penumbra_request request;
  memset(&request, 0, sizeof request);
  request.size = sizeof request;
  request.params = params;
  request.target = "0";

  penumbra_error err = {PENUMBRA_OK, ""};
  penumbra_model *model = penumbra_model_from_predictor(&predictor, NULL, &err);
  penumbra_image *image = model ? penumbra_image_new(SIDE, SIDE, 1, 8, pixels, &err) : NULL;
  penumbra_explanation *explanation = image ? penumbra_explain(model, image, &request, &err) : NULL;
  penumbra_array map;
  const bool ok = explanation && penumbra_explanation_array(explanation, "heatmap", &map, &err);
  if (!ok)
    fprintf(stderr, "callback: %s\n", err.message);

  if (ok) { /* the map in letters: the more a place speaks for the blob, the darker */
    const float *heat = (const float *)map.data;
    float most = 0;
    int at = 0;
    for (int i = 0; i < SIDE * SIDE; i++)
      if (heat[i] > most) {
        most = heat[i];
        at = i;
      }
    for (int y = 0; y < SIDE; y += 4) {
      for (int x = 0; x < SIDE; x += 2) {
        const int shade = most > 0 ? (int)(heat[y * SIDE + x] / most * 4.99f) : 0;
        putchar(" .:*#"[shade < 0 ? 0 : shade]);
      }
      putchar('\n');
    }
    printf("strongest at x %d, y %d after %lld pictures\n", at % SIDE, at / SIDE, detector.pictures);
  }

  penumbra_explanation_free(explanation);
  penumbra_image_close(image);
  penumbra_model_close(model);
  return ok ? 0 : 1;
}
