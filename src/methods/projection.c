/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/projection.h"

#include "base/mem.h"
#include "graph/field.h"

#include <string.h>

int64_t projection_strongest_map(const float *activations, int height, int width, int channels)
{
  int64_t best = 0;
  double most = 0;
  for (int k = 0; k < channels; k++) {
    double sum = 0;
    for (int64_t i = 0; i < (int64_t)height * width; i++)
      sum += (double)activations[i * channels + k];
    if (k == 0 || sum > most) {
      best = k;
      most = sum;
    }
  }
  return best;
}

void projection_strongest_unit(const float *activations, int height, int width, int channels, struct projection *p)
{
  int64_t best = 0;
  for (int64_t i = 1; i < (int64_t)height * width; i++)
    if (activations[i * channels + p->map] > activations[best * channels + p->map])
      best = i;
  p->y = (int)(best / width);
  p->x = (int)(best % width);
}

struct projecting {
  struct projection *p;
  const float *image;
  size_t floats;
  float *out;
};

/* Zero all but the unit, or the map. */
static bool seed(void *context, int64_t i, const float *activations, float *signal, struct error *err)
{
  struct projection *p = ((struct projecting *)context)->p;
  const int h = p->info.from_height, w = p->info.from_width, c = p->info.from_channels;
  (void)i;
  (void)err;
  p->value = 0;
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++)
      if (p->y < 0 || (y == p->y && x == p->x)) {
        const int64_t at = ((int64_t)y * w + x) * c + p->map;
        signal[at] = activations[at];
        p->value += (double)activations[at];
      }
  return true;
}

static bool propose(void *context, int64_t i, float *image, struct error *err)
{
  const struct projecting *job = context;
  (void)i;
  (void)err;
  memcpy(image, job->image, job->floats * sizeof *image);
  return true;
}

static bool result(void *context, int64_t i, const float *scores, const float *signal, bool *stop, struct error *err)
{
  const struct projecting *job = context;
  (void)i;
  (void)scores;
  (void)stop;
  (void)err;
  if (job->p->value > 0)
    memcpy(job->out, signal, job->floats * sizeof *signal);
  else
    memset(job->out, 0, job->floats * sizeof *signal);
  return true;
}

bool projection_field(const struct model *model, const char *layer, struct projection *p, struct error *err)
{
  const struct value *value = model_layer(model, layer, err), *image = model->graph->inputs[0];
  struct field unit = {.first = {0}}, field;
  if (!value)
    return false;
  const bool all = p->y < 0;
  unit.first[1] = unit.last[1] = p->map;
  unit.first[2] = all ? 0 : p->y;
  unit.first[3] = all ? 0 : p->x;
  unit.last[2] = all ? p->info.from_height - 1 : p->y;
  unit.last[3] = all ? p->info.from_width - 1 : p->x;
  if (!field_of(model->graph, value, &unit, &field, err))
    return false;
  const int rows = image->t.layout == LAYOUT_CHANNELS_LAST ? 2 : 1; /* axes of [N,C,H,W] or [N,H,W,C] */
  p->box[0] = (int)field.first[rows + 1];
  p->box[1] = (int)field.first[rows];
  p->box[2] = (int)field.last[rows + 1] + 1;
  p->box[3] = (int)field.last[rows] + 1;
  return true;
}

bool projection_run(struct evaluator *evaluator, const struct model *model, const float *x, const char *layer,
                    struct projection *p, float *out, struct error *err)
{
  const struct predictor *predictor = &model->predictor;
  struct projecting job = {p, x, (size_t)predictor->height * (size_t)predictor->width * (size_t)predictor->channels,
                           out};
  struct evaluated end;
  const struct gradients what = {
      .stage = "projection",
      .count = 1,
      .request = {.rule = RULE_DECONV, .from = layer, .seed = seed, .context = &job},
      .context = &job,
      .propose = propose,
      .result = result,
  };
  if (!gradients_begin(evaluator, &what.request, &p->info, err))
    return false;
  if (p->map < 0 || p->map >= p->info.from_channels || p->y >= p->info.from_height || p->x >= p->info.from_width)
    return error_set(err, ERROR_USAGE,
                     "layer '%.60s' has %d feature maps of %d x %d units: there is no unit %d,%d of map %lld", layer,
                     p->info.from_channels, p->info.from_width, p->info.from_height, p->x, p->y, (long long)p->map);
  if (!gradients(evaluator, &what, &end, err))
    return false;
  if (end.count == 0)
    return error_set(err, ERROR_USAGE, "projection: ended by '%s' before it was there", end.stopped_by);
  return projection_field(model, layer, p, err);
}
