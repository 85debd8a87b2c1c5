/* SPDX-License-Identifier: Apache-2.0 */
/* Occlusion sensitivity: Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
 * section 4.2.
 *
 * A patch slides over the image and hides what is under it. Three maps come from the same passes:
 *   (a) how far the score of a class falls, averaged over the patches that cover a pixel (all classes at once);
 *   (b) the most probable class while the patch is there;
 *   (c) the total activation of the feature map that is strongest on the unoccluded image; on request beside it what
 *       that activity is, projected back to the pixels by the deconvnet (the paper's figure 6c).
 *
 * Per axis of length n, patch p, stride s: ceil((n - p) / s) + 1 positions, the last patch clipped at the edge.
 *   D[i,c] = f_c(x) - f_c(x_i)        A_c(pixel) = sum_i m_i D[i,c] / sum_i m_i
 * Taken from the paper: grey (mean) fill, the three maps. Changed: any fill, a soft edge on request, positions visited
 * in a low-discrepancy order, so that a run that is stopped covers the image evenly. The stride never depends on
 * results. */
#include "methods/method.h"

#include "base/mem.h"
#include "base/str.h"
#include "methods/artifact_share.h"
#include "methods/projection.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

struct options {
  struct length patch, stride;
  double soft;
  const char *fill;
  int64_t draws;
  const char *layer;
  int64_t feature_map;
  bool with_projection;
  const char *box;
};

static const struct param params[] = {
    {"patch", PARAM_LENGTH, offsetof(struct options, patch), "auto", 1, 32768, NULL, "px", NULL,
     "side of the patch: N, HxW or Nmm; auto: a seventh of the shorter side (32 at 224)"},
    {"stride", PARAM_LENGTH, offsetof(struct options, stride), "auto", 1, 32768, NULL, "px", NULL,
     "step between patches, at most the patch; auto: a quarter of the patch"},
    {"soft", PARAM_FLOAT, offsetof(struct options, soft), "0", 0, 1, NULL, "of the half patch", NULL,
     "width of the patch's soft edge"},
    {"fill", PARAM_TEXT, offsetof(struct options, fill), "mean", 0, 0, NULL, NULL, "mean",
     "what hidden pixels become; see the list of fills"},
    {"draws", PARAM_INT, offsetof(struct options, draws), "10", 1, 1000, NULL, NULL, NULL,
     "draws to average over, for random fills"},
    {"layer", PARAM_TEXT, offsetof(struct options, layer), "", 0, 0, NULL, NULL, NULL,
     "layer of the strongest feature map; empty: the last one before global pooling"},
    {"feature-map", PARAM_INT, offsetof(struct options, feature_map), "auto", 0, 1 << 20, NULL, NULL, NULL,
     "feature map to watch; auto: the strongest on the image"},
    {"with-projection", PARAM_BOOL, offsetof(struct options, with_projection), "off", 0, 0, NULL, NULL, NULL,
     "also project the feature map back to the pixels by the deconvnet"},
    {"box", PARAM_TEXT, offsetof(struct options, box), "", 0, 0, NULL, "px", NULL,
     "x0,y0,x1,y1 on the model grid: only patches that touch it"},
    PARAM_END,
};

/* One axis: where patches begin and end. */
struct axis {
  int n, patch, stride, count;
  int first, last; /* positions [first, last) that are visited */
  float *weight;   /* [patch] of the soft edge, or NULL */
};

static int axis_start(const struct axis *a, int i)
{
  return i * a->stride;
}

static int axis_end(const struct axis *a, int i)
{
  const int end = i * a->stride + a->patch;
  return end < a->n ? end : a->n;
}

struct occlusion {
  const struct explain *explain;
  const struct options *options;
  struct explanation *out;
  struct evaluator *evaluator;
  struct fill fill;
  int draws;
  struct axis y, x;
  int64_t classes, positions;
  int64_t step; /* of the visiting order */
  int64_t *targets, n_targets;
  float *fill_x; /* [H,W,C] of the current draw */
  int64_t fill_draw;
  float *grid;       /* [ny,nx,K] mean score under occlusion; owned by the explanation */
  float *feature;    /* [ny,nx] or NULL; likewise */
  double *square;    /* [ny*nx] sum of squared deviations over draws, of the shown target; NULL unless random */
  int *seen;         /* [ny*nx] draws evaluated */
  int64_t unchanged; /* positions whose content is the fill already */
  int64_t map_index; /* the watched feature map */
  int map_pixels, map_channels;
};

/* ---- geometry -------------------------------------------------------------------------------------------------- */

/* A length in model pixels along one axis. */
static bool to_pixels(const struct length *length, bool vertical, const struct input *input, const char *name, int *px,
                      struct error *err)
{
  double value = vertical ? length->y : length->x;
  if (length->millimetres) {
    const double spacing = vertical ? input->spacing_y : input->spacing_x;
    if (!(spacing > 0))
      return error_set(err, ERROR_USAGE, "%s: %gmm needs the image's pixel spacing, which is not known (no-spacing)",
                       name, value);
    value /= spacing;
  }
  *px = value < 1 ? 1 : (int)floor(value + 0.5);
  return true;
}

static bool axis_set(struct axis *a, bool vertical, const struct occlusion *o, struct error *err)
{
  const struct input *input = o->explain->input;
  const struct geometry *g = &input->geometry;
  const struct options *options = o->options;
  const int side = g->height < g->width ? g->height : g->width;
  a->n = vertical ? g->height : g->width;
  if (options->patch.automatic) {
    a->patch = (int)floor(32.0 * side / 224 + 0.5);
    a->patch = a->patch < 1 ? 1 : a->patch;
  } else if (!to_pixels(&options->patch, vertical, input, "patch", &a->patch, err)) {
    return false;
  }
  if (a->patch > a->n)
    return error_set(err, ERROR_USAGE, "patch: %d is outside 1..%d (patch-size)", a->patch, a->n);
  if (options->stride.automatic)
    a->stride = a->patch / 4 < 1 ? 1 : a->patch / 4;
  else if (!to_pixels(&options->stride, vertical, input, "stride", &a->stride, err))
    return false;
  if (a->stride > a->patch)
    return error_set(err, ERROR_USAGE,
                     "stride: %d is outside 1..%d, pixels between patches would never be hidden (stride-gap)",
                     a->stride, a->patch);
  return true;
}

static void axis_count(struct axis *a)
{
  a->count = (a->n - a->patch + a->stride - 1) / a->stride + 1;
  a->first = 0;
  a->last = a->count;
}

static bool axis_weights(struct axis *a, double soft, struct error *err)
{
  if (soft <= 0)
    return true;
  a->weight = mem_zero((size_t)a->patch, sizeof *a->weight);
  if (!a->weight)
    return error_memory(err, "the soft edge");
  const double edge = soft * a->patch / 2;
  for (int i = 0; i < a->patch; i++) {
    const double d = i + 0.5 < a->patch - (i + 0.5) ? i + 0.5 : a->patch - (i + 0.5);
    a->weight[i] = (float)(d >= edge ? 1 : (1 - cos(3.14159265358979323846 * d / edge)) / 2);
  }
  return true;
}

/* Only positions whose patch meets [from, to). */
static void axis_restrict(struct axis *a, int from, int to)
{
  while (a->first < a->last && axis_end(a, a->first) <= from)
    a->first++;
  while (a->last > a->first && axis_start(a, a->last - 1) >= to)
    a->last--;
}

/* Four whole numbers with commas between. */
static bool read_box(const char *text, int64_t box[4])
{
  for (int i = 0; i < 4; i++) {
    char number[16];
    const size_t length = strcspn(text, ",");
    if (length == 0 || length >= sizeof number || (text[length] == ',') != (i < 3))
      return false;
    memcpy(number, text, length);
    number[length] = '\0';
    if (!str_integer(number, &box[i]))
      return false;
    text += length + (i < 3);
  }
  return true;
}

static bool restrict_to_box(struct occlusion *o, struct error *err)
{
  int64_t box[4];
  const char *text = o->options->box;
  if (!*text)
    return true;
  if (!read_box(text, box))
    return error_set(err, ERROR_USAGE, "box: '%.60s' is not x0,y0,x1,y1", text);
  if (box[0] < 0 || box[1] < 0 || box[2] > o->x.n || box[3] > o->y.n || box[0] >= box[2] || box[1] >= box[3])
    return error_set(err, ERROR_USAGE, "box: %.60s is empty or outside 0,0,%d,%d", text, o->x.n, o->y.n);
  axis_restrict(&o->x, (int)box[0], (int)box[2]);
  axis_restrict(&o->y, (int)box[1], (int)box[3]);
  return true;
}

static int64_t visited(const struct occlusion *o)
{
  return (int64_t)(o->y.last - o->y.first) * (o->x.last - o->x.first);
}

static int64_t gcd(int64_t a, int64_t b)
{
  while (b) {
    const int64_t r = a % b;
    a = b;
    b = r;
  }
  return a;
}

static bool set_geometry(struct occlusion *o, struct error *err)
{
  if (!axis_set(&o->y, true, o, err) || !axis_set(&o->x, false, o, err))
    return false;
  for (;;) { /* a ceiling on evaluations is met by a wider stride, evenly on both axes */
    axis_count(&o->y);
    axis_count(&o->x);
    if (!restrict_to_box(o, err))
      return false;
    const int64_t ceiling = o->explain->evaluate.evals;
    if (!ceiling || 2 + visited(o) * o->draws <= ceiling || (o->y.stride == o->y.patch && o->x.stride == o->x.patch)) {
      if (ceiling && 2 + visited(o) * o->draws > ceiling)
        return error_set(err, ERROR_USAGE, "evals: %lld is below the %lld that a patch of %d px needs side by side",
                         (long long)ceiling, (long long)(2 + visited(o) * o->draws), o->y.patch);
      break;
    }
    o->y.stride += o->y.stride < o->y.patch;
    o->x.stride += o->x.stride < o->x.patch;
  }
  o->positions = visited(o);
  /* A step near the golden section of the count, with no common divisor: every prefix is spread evenly. */
  o->step = (int64_t)((double)o->positions * 0.6180339887498949);
  while (o->step < 1 || gcd(o->step, o->positions) != 1)
    o->step++;
  return axis_weights(&o->y, o->options->soft, err) && axis_weights(&o->x, o->options->soft, err);
}

/* The i-th position visited, as row and column of the grid. */
static void position_of(const struct occlusion *o, int64_t i, int *row, int *column)
{
  const int64_t at = (int64_t)((__int128)i * o->step % o->positions);
  const int columns = o->x.last - o->x.first;
  *row = o->y.first + (int)(at / columns);
  *column = o->x.first + (int)(at % columns);
}

/* ---- passes ---------------------------------------------------------------------------------------------------- */

/* Whether hiding changes next to nothing here: the content is within 1 % of the range of the fill. */
static bool is_unchanged(const struct occlusion *o, const struct perturbation *p)
{
  const struct input *input = o->explain->input;
  const int c = input->channels, width = input->geometry.width;
  double range = fabs((double)preprocess_value(o->explain->card, input, 0, input->hi) -
                      (double)preprocess_value(o->explain->card, input, 0, input->lo));
  for (int y = p->y0; y < p->y1; y++)
    for (int x = p->x0; x < p->x1; x++)
      for (int k = 0; k < c; k++)
        if (fabs((double)p->content[((y - p->y0) * (p->x1 - p->x0) + x - p->x0) * c + k] -
                 (double)input->x[(y * width + x) * c + k]) > 0.01 * range)
          return false;
  return true;
}

static bool propose(void *context, int64_t i, struct perturbation *p, struct error *err)
{
  struct occlusion *o = context;
  const struct input *input = o->explain->input;
  const int c = input->channels, width = input->geometry.width;
  const int64_t draw = i / o->positions;
  int row, column;
  position_of(o, i % o->positions, &row, &column);
  p->kind = PERTURB_RECT;
  p->y0 = axis_start(&o->y, row);
  p->y1 = axis_end(&o->y, row);
  p->x0 = axis_start(&o->x, column);
  p->x1 = axis_end(&o->x, column);
  const float *fill = o->fill_x;
  if (o->fill.kind->needs_region) {
    unsigned char *hidden = mem_zero((size_t)input->geometry.height, (size_t)width);
    if (!hidden)
      return error_memory(err, "a fill");
    for (int y = p->y0; y < p->y1; y++)
      memset(hidden + y * width + p->x0, 1, (size_t)(p->x1 - p->x0));
    const bool ok = fill_hidden(&o->fill, (uint32_t)draw, hidden, o->fill_x, err);
    mem_free(hidden);
    if (!ok)
      return false;
  } else if (draw != o->fill_draw) {
    if (!fill_values(&o->fill, (uint32_t)draw, o->fill_x, err))
      return false;
    o->fill_draw = draw;
  }
  float *to = p->content;
  for (int y = p->y0; y < p->y1; y++)
    for (int x = p->x0; x < p->x1; x++) {
      const float m = o->y.weight ? o->y.weight[y - p->y0] * o->x.weight[x - p->x0] : 1;
      for (int k = 0; k < c; k++, to++) {
        const size_t at = (size_t)(y * width + x) * (size_t)c + (size_t)k;
        *to = m == 1 ? fill[at] : input->x[at] * (1 - m) + fill[at] * m;
      }
    }
  o->unchanged += draw == 0 && is_unchanged(o, p);
  return true;
}

static bool result(void *context, int64_t i, const float *scores, const float *activations, bool *stop,
                   struct error *err)
{
  struct occlusion *o = context;
  (void)stop;
  (void)err;
  int row, column;
  position_of(o, i % o->positions, &row, &column);
  const size_t at = (size_t)row * (size_t)o->x.count + (size_t)column;
  const int n = ++o->seen[at];
  /* Running means (Welford), so that an unfinished run holds means of what was seen. */
  if (o->square) {
    const double before = (double)o->grid[(int64_t)at * o->classes + o->out->target],
                 value = (double)scores[o->out->target];
    const double mean = before + (value - before) / n;
    o->square[at] += (value - before) * (value - mean);
  }
  float *mean = o->grid + (int64_t)at * o->classes;
  for (int64_t k = 0; k < o->classes; k++)
    mean[k] += (scores[k] - mean[k]) / (float)n;
  if (o->feature) {
    double sum = 0;
    for (int j = 0; j < o->map_pixels; j++)
      sum += (double)activations[(int64_t)j * o->map_channels + o->map_index];
    o->feature[at] += ((float)sum - o->feature[at]) / (float)n;
  }
  return true;
}

/* Score drop of one class averaged over covering patches, in row-major order of patches; pixels no patch has hidden are
 * 0. With `error`, the standard error of that mean over draws goes there. */
static void accumulate(const struct occlusion *o, int64_t target, float *map, float *error, double *sum, double *weight)
{
  const int height = o->y.n, width = o->x.n;
  const size_t pixels = (size_t)height * (size_t)width;
  double *square = sum + pixels;
  memset(sum, 0, 2 * pixels * sizeof *sum);
  memset(weight, 0, pixels * sizeof *weight);
  const double base = (double)evaluator_scores(o->evaluator)[target];
  for (int row = o->y.first; row < o->y.last; row++)
    for (int column = o->x.first; column < o->x.last; column++) {
      const size_t at = (size_t)row * (size_t)o->x.count + (size_t)column;
      if (!o->seen[at])
        continue;
      const double drop = base - (double)o->grid[(int64_t)at * o->classes + target];
      const int n = o->seen[at];
      const double variance = o->square && n > 1 ? o->square[at] / (n - 1) / n : 0;
      const int y0 = axis_start(&o->y, row), y1 = axis_end(&o->y, row);
      const int x0 = axis_start(&o->x, column), x1 = axis_end(&o->x, column);
      for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++) {
          const double m = o->y.weight ? (double)(o->y.weight[y - y0] * o->x.weight[x - x0]) : 1;
          const size_t pixel = (size_t)y * (size_t)width + (size_t)x;
          sum[pixel] += m * drop;
          square[pixel] += m * m * variance;
          weight[pixel] += m;
        }
    }
  for (size_t i = 0; i < pixels; i++) {
    map[i] = weight[i] > 0 ? (float)(sum[i] / weight[i]) : 0;
    if (error)
      error[i] = weight[i] > 0 ? (float)(sqrt(square[i]) / weight[i]) : 0;
  }
}

static double *accumulators(const struct occlusion *o, struct error *err)
{
  double *sum = mem_zero(3 * (size_t)o->y.n * (size_t)o->x.n, sizeof *sum);
  if (!sum)
    error_memory(err, "the map");
  return sum;
}

static void preview(void *context, float *map)
{
  const struct occlusion *o = context;
  struct error ignored = {ERROR_NONE};
  double *sum = accumulators(o, &ignored);
  if (sum)
    accumulate(o, o->out->target, map, NULL, sum, sum + 2 * (size_t)o->y.n * (size_t)o->x.n);
  mem_free(sum);
}

/* ---- results --------------------------------------------------------------------------------------------------- */

/* (b) The most probable class at every position, its probability, and the same on the model grid by the nearest
 * position. One sigmoid output: 0 where the label is above its threshold, else -1. */
static bool class_maps(const struct occlusion *o, struct error *err)
{
  const int64_t grid[2] = {o->y.count, o->x.count}, pixels[2] = {o->y.n, o->x.n};
  const struct explain *explain = o->explain;
  int32_t *best = explanation_ints(o->out, "occlusion_class", 2, grid, err);
  float *prob = explanation_floats(o->out, "occlusion_class_score", 2, grid, err);
  int32_t *label = explanation_ints(o->out, "occlusion_label", 2, pixels, err);
  if (!best || !prob || !label)
    return false;
  for (int64_t i = 0; i < grid[0] * grid[1]; i++) {
    const float *scores = o->grid + i * o->classes;
    int64_t top = 0;
    for (int64_t k = 1; k < o->classes; k++)
      top = scores[k] > scores[top] ? k : top;
    prob[i] = scores[top];
    best[i] = (int32_t)top;
    if (o->classes == 1) {
      const double t = explain->thresholds[0];
      const double bound = explain->evaluate.session.score == SCORE_LOGIT ? log(t / (1 - t)) : t;
      best[i] = (double)scores[0] >= bound ? 0 : -1;
    }
    if (!o->seen[i])
      best[i] = -1;
  }
  for (int y = 0; y < o->y.n; y++)
    for (int x = 0; x < o->x.n; x++) {
      const struct axis *axes[2] = {&o->y, &o->x};
      const int at[2] = {y, x};
      int nearest[2];
      for (int a = 0; a < 2; a++) {
        const double centre = (at[a] + 0.5 - axes[a]->patch / 2.0) / axes[a]->stride;
        const int i = (int)floor(centre + 0.5);
        nearest[a] = i < axes[a]->first ? axes[a]->first : i >= axes[a]->last ? axes[a]->last - 1 : i;
      }
      label[y * o->x.n + x] = best[nearest[0] * o->x.count + nearest[1]];
    }
  return true;
}

/* Which classes win somewhere, most positions first, for result.json and captions. */
static bool classes_seen(const struct occlusion *o, struct error *err)
{
  enum { SHOWN = 10 };
  const int32_t *best = explanation_find(o->out, "occlusion_class")->data;
  const int64_t cells = (int64_t)o->y.count * o->x.count;
  int64_t *count = mem_zero((size_t)o->classes, sizeof *count);
  json_t *list = count ? json_array() : NULL;
  for (int64_t i = 0; list && i < cells; i++)
    if (best[i] >= 0)
      count[best[i]]++;
  for (int shown = 0; list && shown < SHOWN; shown++) {
    int64_t most = 0;
    for (int64_t k = 1; k < o->classes; k++)
      most = count[k] > count[most] ? k : most;
    if (count[most] == 0)
      break;
    json_array_append_new(list, json_pack("{s:I, s:s, s:I}", "index", (json_int_t)most, "label",
                                          o->explain->labels[most], "positions", (json_int_t)count[most]));
    count[most] = 0;
  }
  mem_free(count);
  return (list && json_object_set_new(o->out->details, "classes_under_occlusion", list) == 0) ||
         error_memory(err, "class counts");
}

/* Which labels of a multi-label model cross their threshold at a position: 1 rises above it, -1 falls below. */
static bool crossing_map(const struct occlusion *o, struct error *err)
{
  const struct explain *explain = o->explain;
  if (!explain->model || explain->model->activation != ACTIVATION_SIGMOID || o->classes < 2 ||
      explain->evaluate.session.score != SCORE_PROB)
    return true;
  const int64_t dims[3] = {o->y.count, o->x.count, o->classes};
  int32_t *crossing = explanation_ints(o->out, "occlusion_crossing", 3, dims, err);
  if (!crossing)
    return false;
  const float *base = evaluator_scores(o->evaluator);
  for (int64_t i = 0; i < dims[0] * dims[1]; i++)
    for (int64_t k = 0; k < o->classes && o->seen[i]; k++) {
      const double t = explain->thresholds[k];
      const bool before = (double)base[k] >= t, after = (double)o->grid[i * o->classes + k] >= t;
      crossing[i * o->classes + k] = after - before;
    }
  return true;
}

static void artifact_share(const struct occlusion *o)
{
  struct artifact_share share = artifact_share_of(o->explain, evaluator_scores(o->evaluator), o->out->target);
  for (int64_t i = 0; i < (int64_t)o->y.count * o->x.count; i++)
    if (o->seen[i])
      artifact_share_take(&share, o->grid + i * o->classes);
  artifact_share_note(&share, o->out);
}

static bool drop_maps(struct occlusion *o, struct error *err)
{
  const int64_t dims[3] = {o->n_targets, o->y.n, o->x.n};
  const bool one = !o->out->all_targets;
  float *map = explanation_floats(o->out, "map", one ? 2 : 3, one ? dims + 1 : dims, err);
  float *error = o->square && one ? explanation_floats(o->out, "stderr", 2, dims + 1, err) : NULL;
  double *sum = accumulators(o, err);
  const bool ok = map && sum && (error || !o->square || !one);
  for (int64_t t = 0; ok && t < o->n_targets; t++)
    accumulate(o, o->targets[t], map + t * dims[1] * dims[2], error, sum, sum + 2 * dims[1] * dims[2]);
  mem_free(sum);
  return ok;
}

/* Score of every class when all is hidden; a fill that needs a rim has none. */
static bool full_fill(struct occlusion *o, struct error *err)
{
  const float *base = evaluator_scores(o->evaluator);
  if (o->fill.kind->needs_region)
    return true;
  float *scores = mem_zero((size_t)o->classes, sizeof *scores);
  bool ok = scores && fill_values(&o->fill, 0, o->fill_x, err);
  if (!scores)
    error_memory(err, "scores");
  o->fill_draw = 0;
  ok = ok && evaluator_score(o->evaluator, o->fill_x, scores, err);
  if (ok) {
    const int64_t target = o->out->target;
    json_object_set_new(o->out->quality, "score_full_fill", json_real((double)scores[target]));
    if (o->explain->evaluate.session.score == SCORE_PROB && fabs((double)(base[target] - scores[target])) < 0.05)
      explanation_warn(o->out, "weak-fill", "hiding the whole image with '%s' moves the score by %.3f only",
                       o->fill.text, (double)(base[target] - scores[target]));
  }
  mem_free(scores);
  return ok;
}

static void report(struct occlusion *o, const struct evaluated *end, json_t *projection)
{
  struct explanation *out = o->out;
  const float *base = evaluator_scores(o->evaluator);
  const struct npy *map = explanation_find(out, "map");
  double top = 0;
  for (int64_t i = 0; i < npy_count(map); i++)
    top = fmax(top, fabs((double)((const float *)map->data)[i]));
  const double f = (double)base[out->target];
  if (top < 1e-6 * fmax(1, fabs(f)))
    explanation_warn(out, "flat-map", "no position changes the score: the map is flat");
  if (o->explain->evaluate.session.score == SCORE_PROB && (f > 0.999 || f < 0.001) && top <= 0.01)
    explanation_warn(out, "saturated", "the score is %.5f and nothing moves it by more than 0.01; try --score logit",
                     f);
  if (end->count < o->positions * o->draws)
    explanation_warn(out, "partial-cover", "stopped by %s after %lld of %lld patches; pixels not hidden yet are 0",
                     end->stopped_by, (long long)end->count, (long long)(o->positions * o->draws));
  if (o->unchanged > 0.05 * (double)o->positions)
    explanation_warn(out, "no-change", "at %lld of %lld positions the image is within 1 %% of the fill already",
                     (long long)o->unchanged, (long long)o->positions);
  if (o->fill.note)
    explanation_warn(out, o->fill.note, "%s", fill_note_sentence(o->fill.note));
  out->evaluations = evaluator_count(o->evaluator);
  out->seconds = evaluator_seconds(o->evaluator);
  out->stopped_by = end->stopped_by;
  json_object_set_new(out->details, "occlusion",
                      json_pack("{s:[i,i], s:[i,i], s:[i,i], s:I, s:I, s:s, s:i}", "patch", o->y.patch, o->x.patch,
                                "stride", o->y.stride, o->x.stride, "grid", o->y.count, o->x.count, "positions",
                                (json_int_t)o->positions, "evaluated", (json_int_t)end->count, "fill", o->fill.text,
                                "draws", o->draws));
  if (o->feature) {
    const struct session *session = evaluator_session(o->evaluator);
    const float *a = evaluator_activations(o->evaluator);
    double sum = 0;
    for (int j = 0; j < o->map_pixels; j++)
      sum += (double)a[(int64_t)j * o->map_channels + o->map_index];
    json_object_set_new(out->details, "feature_map",
                        json_pack("{s:s, s:I, s:f, s:o*}", "layer", session->layer.name, "index",
                                  (json_int_t)o->map_index, "activation", sum, "projection", projection));
  }
}

/* The feature map that is strongest on the image: largest sum of activations, the lowest index on a tie. */
static bool choose_feature_map(struct occlusion *o, struct error *err)
{
  const struct session *session = evaluator_session(o->evaluator);
  const float *a = evaluator_activations(o->evaluator);
  if (!session->layer.name)
    return true;
  o->map_pixels = session->layer.height * session->layer.width;
  o->map_channels = session->layer.channels;
  if (o->options->feature_map != PARAM_AUTO_INT) {
    if (o->options->feature_map >= o->map_channels)
      return error_set(err, ERROR_USAGE, "feature-map: %lld is outside 0..%d of layer '%.60s'",
                       (long long)o->options->feature_map, o->map_channels - 1, session->layer.name);
    o->map_index = o->options->feature_map;
    return true;
  }
  double best = -INFINITY;
  for (int k = 0; k < o->map_channels; k++) {
    double sum = 0;
    for (int j = 0; j < o->map_pixels; j++)
      sum += (double)a[(int64_t)j * o->map_channels + k];
    if (sum > best) {
      best = sum;
      o->map_index = k;
    }
  }
  return true;
}

/* The watched feature map's activity on the unoccluded image, projected back, as [C,H,W]. Where the way back is closed
 * all else is still worth having. */
static bool project(struct occlusion *o, json_t **facts, struct error *err)
{
  const struct explain *explain = o->explain;
  const int64_t pixels = (int64_t)o->y.n * o->x.n, dims[3] = {explain->input->channels, o->y.n, o->x.n};
  struct projection p = {.map = (int)o->map_index, .y = -1, .x = -1};
  struct error failed = {ERROR_NONE};
  float *signal = mem_zero((size_t)pixels, (size_t)dims[0] * sizeof *signal);
  if (!signal)
    return error_memory(err, "a projection");
  bool ok = projection_run(o->evaluator, explain->model, explain->input->x, o->options->layer, &p, signal, &failed);
  if (ok) {
    float *out = explanation_floats(o->out, "occlusion_projection", 3, dims, err);
    for (int64_t i = 0; out && i < pixels * dims[0]; i++)
      out[i % dims[0] * pixels + i / dims[0]] = signal[i];
    *facts = json_pack("{s:s, s:[i,i,i,i], s:i}", "file", "occlusion_projection.npy", "receptive_field", p.box[0],
                       p.box[1], p.box[2], p.box[3], "rectifiers", p.info.rectifiers);
    ok = out && (*facts || error_memory(err, "a projection"));
  } else if (failed.code == ERROR_CANCELLED || failed.code == ERROR_MEMORY) {
    *err = failed;
  } else {
    explanation_warn(o->out, "no-projection", "the feature map is not projected: %s", failed.message);
    ok = true;
  }
  mem_free(signal);
  return ok;
}

static bool occlude(struct occlusion *o, struct error *err)
{
  const struct explain *explain = o->explain;
  const struct fill_scene scene = {explain->card, explain->input, explain->seed};
  struct evaluate_options evaluate_options = explain->evaluate;
  struct evaluated end;

  /* 1: the image itself, its strongest feature map. */
  if (!fill_open(&o->fill, o->options->fill, &scene, err))
    return false;
  o->draws = fill_draws(&o->fill, o->options->draws);
  if (!set_geometry(o, err))
    return false;
  if (explain->model && (explain->model->default_layer || *o->options->layer))
    evaluate_options.session.layer = o->options->layer;
  else
    explanation_warn(o->out, "no-layer", "this classifier shows no layers: no feature-map activation");
  evaluate_options.evals = 0; /* the stride has met it */
  o->evaluator = evaluator_open(explain->predictor, &evaluate_options, explain->input->x, err);
  if (!o->evaluator)
    return false;
  o->classes = explain->predictor->classes;
  o->targets = mem_zero((size_t)o->classes, sizeof *o->targets);
  o->fill_x = mem_zero((size_t)o->y.n * (size_t)o->x.n, (size_t)explain->input->channels * sizeof(float));
  const int64_t cells = (int64_t)o->y.count * o->x.count, grid[3] = {o->y.count, o->x.count, o->classes};
  o->seen = mem_zero((size_t)cells, sizeof *o->seen);
  if (!o->targets || !o->fill_x || !o->seen)
    return error_memory(err, "occlusion");
  if (!explain_targets(explain, evaluator_scores(o->evaluator), o->targets, &o->n_targets, o->out, err) ||
      !choose_feature_map(o, err))
    return false;
  o->grid = explanation_floats(o->out, "occlusion_grid", 3, grid, err);
  if (!o->grid)
    return false;
  if (evaluator_session(o->evaluator)->layer.name &&
      !(o->feature = explanation_floats(o->out, "occlusion_feature", 2, grid, err)))
    return false;
  if (o->fill.kind->random && o->draws > 1 && !(o->square = mem_zero((size_t)cells, sizeof *o->square)))
    return error_memory(err, "occlusion");
  if (!full_fill(o, err))
    return false;

  /* 2, 3: every position, every draw. */
  const struct evaluation what = {
      .stage = "occlusion",
      .count = o->positions * o->draws,
      .activations = o->feature != NULL,
      .context = o,
      .local_height = o->y.patch,
      .local_width = o->x.patch,
      .propose = propose,
      .result = result,
      .preview = preview,
  };
  if (!evaluate(o->evaluator, &what, &end, err))
    return false;

  /* 4: maps. Positions that were never evaluated hold the base score, so that they read "no change". */
  for (int64_t i = 0; i < cells; i++)
    if (!o->seen[i])
      memcpy(o->grid + i * o->classes, evaluator_scores(o->evaluator), (size_t)o->classes * sizeof *o->grid);
  if (!drop_maps(o, err) || !class_maps(o, err) || !classes_seen(o, err) || !crossing_map(o, err))
    return false;
  artifact_share(o);
  json_t *projection = NULL;
  if (o->options->with_projection && o->feature && !project(o, &projection, err))
    return false;
  report(o, &end, projection);
  return true;
}

static bool run(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  struct occlusion o = {.explain = explain, .options = options, .out = out, .fill_draw = -1};
  const bool ok = occlude(&o, err);
  evaluator_close(o.evaluator);
  fill_close(&o.fill);
  mem_free(o.y.weight);
  mem_free(o.x.weight);
  mem_free(o.targets);
  mem_free(o.fill_x);
  mem_free(o.square);
  mem_free(o.seen);
  return ok;
}

const struct method method_occlusion = {
    .name = "occlusion",
    .title = "Occlusion sensitivity",
    .unit = "score drop",
    .summary = "hide a patch at every place and watch score, winning class and strongest feature map",
    .paper = "Zeiler, Fergus: Visualizing and Understanding Convolutional Networks, ECCV 2014",
    .needs = NEEDS_PREDICT,
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
