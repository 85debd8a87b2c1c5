/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/feature_views.h"

#include "base/mem.h"
#include "methods/projection.h"

#include <math.h>
#include <stdlib.h>
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

static struct backward_request request_of(const struct feature_source *source, struct looking *job)
{
  return (struct backward_request){.rule = source->rule, .from = source->layer, .seed = seed, .context = job};
}

bool feature_views_check(const struct feature_source *source, struct backward_info *info, struct error *err)
{
  struct looking job = {.info = info};
  const struct backward_request request = request_of(source, &job);
  return session_begin_backward(source->session, &request, info, err);
}

int feature_views_switches(const struct model *model, const char *layer, struct error *err)
{
  const struct graph *graph = model->graph;
  const struct value *value = model_layer(model, layer, err);
  bool *wanted = value ? mem_zero((size_t)graph->n_values, sizeof *wanted) : NULL;
  int found = 0;
  if (!wanted) {
    if (value)
      error_memory(err, "a walk through the model");
    return -1;
  }
  wanted[value->id] = true;
  for (int i = graph->n_nodes - 1; i >= 0; i--) {
    const struct node *node = graph->nodes[i];
    bool on_way = false;
    for (int k = 0; k < node->n_out; k++)
      on_way |= node->out[k] && wanted[node->out[k]->id];
    for (int k = 0; on_way && k < node->n_in; k++)
      if (node->in[k])
        wanted[node->in[k]->id] = true;
    found += on_way && strcmp(node->type, "MaxPool") == 0;
  }
  mem_free(wanted);
  return found;
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

/* ---- where the projection is ------------------------------------------------------------------------------------ */

static int by_size(const void *a, const void *b)
{
  const float p = *(const float *)a, q = *(const float *)b;
  return (p > q) - (p < q);
}

float feature_views_scale(float *values, size_t n)
{
  for (size_t i = 0; i < n; i++)
    values[i] = fabsf(values[i]);
  qsort(values, n, sizeof *values, by_size);
  const float scale = values[(size_t)(0.995 * (double)(n - 1))];
  return scale > 0 ? scale : values[n - 1];
}

float feature_view_at(const struct feature_view *view, int channels, int c, int y, int x)
{
  const int64_t w = view->box[2] - view->box[0], plane = w * (view->box[3] - view->box[1]);
  const float *at = view->projection + y * w + x;
  float sum = 0;
  if (!view->gray)
    return at[c * plane];
  for (int k = 0; k < channels; k++)
    sum += at[k * plane];
  return sum / (float)channels;
}

static bool find_scale(struct feature_view *view, int channels, struct error *err)
{
  const int w = view->box[2] - view->box[0], h = view->box[3] - view->box[1], shown = view->gray ? 1 : channels;
  const size_t n = (size_t)shown * (size_t)w * (size_t)h;
  float *sizes = mem_alloc(n * sizeof *sizes);
  if (!sizes)
    return error_memory(err, "a projection's scale");
  for (size_t i = 0; i < n; i++)
    sizes[i] = feature_view_at(view, channels, (int)(i % (size_t)shown), (int)(i / (size_t)shown / (size_t)w),
                               (int)(i / (size_t)shown % (size_t)w));
  view->scale = feature_views_scale(sizes, n);
  mem_free(sizes);
  return true;
}

/* The part of an axis that holds all but a twentieth of the signal at either end, with a margin of a tenth of that. */
static void find_part(const double *along, int n, int *from, int *to)
{
  double sum = 0, before = 0, after = 0;
  for (int i = 0; i < n; i++)
    sum += along[i];
  *from = 0;
  *to = n;
  while (*from < n - 1 && before + along[*from] < 0.05 * sum)
    before += along[(*from)++];
  while (*to > *from + 1 && after + along[*to - 1] < 0.05 * sum)
    after += along[--*to];
  const int margin = (*to - *from + 9) / 10;
  *from -= margin;
  *to += margin;
}

/* Move [from, to) within [low, high), or be all of it. */
static void fit(int *from, int *to, int low, int high)
{
  const int length = *to - *from;
  *from = *from < low ? low : *from;
  *to = *from + length;
  if (*to > high) {
    *to = high;
    *from = high - length < low ? low : high - length;
  }
}

/* Where the projection is, as a square if the frame allows it: all of the frame unless that leaves much of it grey. */
static bool find_shown(struct feature_view *view, int channels, struct error *err)
{
  const int *box = view->box, *frame = view->frame, w = box[2] - box[0], h = box[3] - box[1];
  double *columns = mem_zero((size_t)w + (size_t)h, sizeof *columns);
  int x0, x1, y0, y1;
  if (!columns)
    return error_memory(err, "a projection's place");
  double *rows = columns + w;
  for (int64_t i = 0; i < (int64_t)channels * h * w; i++) {
    const double size = fabs((double)view->projection[i]);
    columns[i % w] += size;
    rows[i / w % h] += size;
  }
  find_part(columns, w, &x0, &x1);
  find_part(rows, h, &y0, &y1);
  mem_free(columns);
  const int side = x1 - x0 > y1 - y0 ? x1 - x0 : y1 - y0;
  memcpy(view->shown, frame, sizeof view->shown);
  if (5 * side > 4 * (frame[2] - frame[0]) && 5 * side > 4 * (frame[3] - frame[1]))
    return true;
  view->shown[0] = box[0] + (x0 + x1 - side) / 2;
  view->shown[1] = box[1] + (y0 + y1 - side) / 2;
  for (int axis = 0; axis < 2; axis++) {
    view->shown[axis + 2] = view->shown[axis] + side;
    fit(&view->shown[axis], &view->shown[axis + 2], frame[axis], frame[axis + 2]);
  }
  return true;
}

/* ---- views ------------------------------------------------------------------------------------------------------ */

static bool view_batch(const struct feature_source *source, struct looking *job, const int *middle, int64_t n,
                       float *images, float *signals, struct error *err)
{
  const struct predictor *p = source->session->predictor;
  const size_t floats = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
  for (int64_t i = 0; i < n; i++)
    memcpy(images + (size_t)i * floats, job->views[i].x, floats * sizeof *images);
  if (!session_backward(source->session, images, n, signals, NULL, err))
    return false;
  for (int64_t i = 0; i < n; i++) {
    struct feature_view *view = &job->views[i];
    if (!field(source->model, source->layer, job->info, job->map, view->y, view->u, view->box, err))
      return false;
    uncut(view->box, middle, (int[2]){p->width, p->height}, view->frame);
    view->projection = cut(signals + (size_t)i * floats, p, view->box);
    if (!view->projection)
      return error_memory(err, "a projection");
    if (!find_scale(view, p->channels, err) || !find_shown(view, p->channels, err))
      return false;
  }
  return true;
}

bool feature_views(const struct feature_source *source, int map, struct feature_view *views, int n, struct error *err)
{
  struct backward_info info;
  struct looking job = {.info = &info, .map = map};
  const struct backward_request request = request_of(source, &job);
  const struct predictor *p = source->session->predictor;
  int middle[4];
  if (!session_begin_backward(source->session, &request, &info, err) ||
      !field(source->model, source->layer, &info, map, info.from_height / 2, info.from_width / 2, middle, err))
    return false;
  const int64_t most = info.batch < n ? info.batch : n;
  const size_t floats = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
  float *images = mem_zero((size_t)most * floats, 2 * sizeof *images);
  bool ok = images != NULL || error_memory(err, "projections");
  for (int64_t done = 0; ok && done < n; done += most) {
    job.views = views + done;
    ok = view_batch(source, &job, middle, n - done < most ? n - done : most, images, images + (size_t)most * floats,
                    err);
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
