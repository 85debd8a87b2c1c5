/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/feature_views.h"

#include "base/mem.h"
#include "methods/projection.h"

#include <string.h>

struct looking {
  struct feature_view *views; /* of the batch */
  const struct backward_info *info;
  int map;
};

/* All of a layer is silenced but the unit; its map is kept as it was. */
static bool seed(void *context, int64_t i, const float *activations, float *signal, struct error *err)
{
  const struct looking *job = context;
  struct feature_view *view = &job->views[i];
  const int64_t c = job->info->from_channels, units = (int64_t)job->info->from_height * job->info->from_width;
  view->activity = mem_alloc((size_t)units * sizeof *view->activity);
  if (!view->activity)
    return error_memory(err, "an activity map");
  for (int64_t k = 0; k < units; k++)
    view->activity[k] = activations[k * c + job->map];
  const int64_t unit = (int64_t)view->y * job->info->from_width + view->u;
  view->value = view->activity[unit];
  signal[unit * c + job->map] = view->value;
  return true;
}

static struct backward_request request_of(struct looking *job, const char *layer)
{
  return (struct backward_request){.rule = RULE_DECONV, .from = layer, .seed = seed, .context = job};
}

bool feature_views_check(struct session *session, const char *layer, struct backward_info *info, struct error *err)
{
  struct looking job = {.info = info};
  const struct backward_request request = request_of(&job, layer);
  return session_begin_backward(session, &request, info, err);
}

static bool field(const struct model *model, const char *layer, const struct backward_info *info, int map, int y, int u,
                  int box[4], struct error *err)
{
  struct projection p = {.map = map, .y = y, .x = u, .info = *info};
  const bool ok = projection_field(model, layer, &p, err);
  memcpy(box, p.box, sizeof p.box);
  return ok;
}

/* A field that an edge of the image cuts has the extent of one in the middle of the layer. */
static void uncut(const int box[4], const int middle[4], const int sides[2], int frame[4])
{
  memcpy(frame, box, 4 * sizeof *frame);
  for (int axis = 0; axis < 2; axis++) {
    const int missing = middle[axis + 2] - middle[axis] - (box[axis + 2] - box[axis]);
    if (missing > 0 && box[axis] == 0 && box[axis + 2] < sides[axis])
      frame[axis] -= missing;
    else if (missing > 0 && box[axis] > 0 && box[axis + 2] == sides[axis])
      frame[axis + 2] += missing;
  }
}

/* The box of a signal [H,W,C], channels first. */
static float *cut(const float *signal, const struct predictor *p, const int box[4])
{
  const int c = p->channels, w = box[2] - box[0], h = box[3] - box[1];
  float *out = mem_alloc((size_t)w * (size_t)h * (size_t)c * sizeof *out);
  for (int k = 0; out && k < c; k++)
    for (int y = 0; y < h; y++)
      for (int x = 0; x < w; x++)
        out[((size_t)k * (size_t)h + (size_t)y) * (size_t)w + (size_t)x] =
            signal[((size_t)(box[1] + y) * (size_t)p->width + (size_t)(box[0] + x)) * (size_t)c + (size_t)k];
  return out;
}

static bool view_batch(struct session *session, struct looking *job, const int *middle, const struct model *model,
                       const char *layer, int64_t n, float *images, float *signals, struct error *err)
{
  const struct predictor *p = session->predictor;
  const size_t floats = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
  for (int64_t i = 0; i < n; i++)
    memcpy(images + (size_t)i * floats, job->views[i].x, floats * sizeof *images);
  if (!session_backward(session, images, n, signals, NULL, err))
    return false;
  for (int64_t i = 0; i < n; i++) {
    struct feature_view *view = &job->views[i];
    if (!field(model, layer, job->info, job->map, view->y, view->u, view->box, err))
      return false;
    uncut(view->box, middle, (int[2]){p->width, p->height}, view->frame);
    view->projection = cut(signals + (size_t)i * floats, p, view->box);
    if (!view->projection)
      return error_memory(err, "a projection");
  }
  return true;
}

bool feature_views(struct session *session, const struct model *model, const char *layer, int map,
                   struct feature_view *views, int n, struct error *err)
{
  struct backward_info info;
  struct looking job = {.info = &info, .map = map};
  const struct backward_request request = request_of(&job, layer);
  const struct predictor *p = session->predictor;
  int middle[4];
  if (!session_begin_backward(session, &request, &info, err) ||
      !field(model, layer, &info, map, info.from_height / 2, info.from_width / 2, middle, err))
    return false;
  const int64_t most = info.batch < n ? info.batch : n;
  const size_t floats = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
  float *images = mem_zero((size_t)most * floats, 2 * sizeof *images);
  bool ok = images != NULL || error_memory(err, "projections");
  for (int64_t done = 0; ok && done < n; done += most) {
    job.views = views + done;
    ok = view_batch(session, &job, middle, model, layer, n - done < most ? n - done : most, images,
                    images + (size_t)most * floats, err);
  }
  mem_free(images);
  return ok;
}

void feature_views_free(struct feature_view *views, int n)
{
  for (int i = 0; i < n; i++) {
    mem_free(views[i].projection);
    mem_free(views[i].activity);
    views[i].projection = views[i].activity = NULL;
  }
}
