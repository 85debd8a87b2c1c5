/* SPDX-License-Identifier: Apache-2.0 */
/* Region perturbation: Samek, Binder, Montavon, Lapuschkin, Müller, "Evaluating the visualization of what a deep neural
 * network has learned", IEEE TNNLS 2017 (arXiv 1509.06321).
 *
 * Regions r_1 … r_L are replaced one after the other, x(k) = g(x(k-1), r_k), in the order of the map summed over them:
 *   AOPC = 1/(L+1) sum_{k=0..L} f(x(0)) - f(x(k))       ABPC = AOPC of MoRF - AOPC of LeRF
 * MoRF: most relevant first; LeRF: least relevant first; random: seeded permutations.
 * Taken from the paper: 9 px regions, 100 steps, uniform noise, ten draws. Added: in one draw all orders see the same
 * replacement pixels, so that their differences are paired; a border that does not fill a region is left alone, half on
 * each side, and its share is told.
 * On one image the map's order is a single order: whether it beats random orders is asked of the spread of their
 * AOPCs, sd sqrt(1 + 1/R), not of the error of their mean. */
#include "metrics/metric.h"
#include "metrics/order.h"

#include "base/mem.h"
#include "perturb/sequence.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum { KINDS = 3, DRAWS_AT_ONCE = 10, MOST_POINTS = 1 << 26 };

static const char *const kind_names[KINDS] = {"morf", "lerf", "random"};

struct options {
  struct length region;
  int64_t steps;
  const char *fill;
  int64_t draws;
  const char *orders;
};

static const struct param params[] = {
    {"region", PARAM_LENGTH, offsetof(struct options, region), "auto", 1, 32768, NULL, "px", "9",
     "side of the regions, at most half the image; auto: 9 at 224"},
    {"steps", PARAM_INT, offsetof(struct options, steps), "100", 1, 1 << 26, NULL, "regions", NULL,
     "regions replaced one after the other; fewer where the grid has fewer"},
    {"fill", PARAM_TEXT, offsetof(struct options, fill), "uniform", 0, 0, NULL, NULL, NULL,
     "what replaced pixels become; see the list of fills"},
    {"draws", PARAM_INT, offsetof(struct options, draws), "10", 1, 1000, NULL, NULL, NULL,
     "repetitions, each with its own random order (and replacement, where the fill is random)"},
    {"orders", PARAM_TEXT, offsetof(struct options, orders), "morf,lerf,random", 0, 0, NULL, NULL, NULL,
     "which of morf, lerf and random to follow"},
    PARAM_END,
};

struct region {
  const struct measure *measure;
  const struct options *options;
  const struct input *input;
  struct fill fill;
  int side[2], cells[2], offset[2]; /* px, regions, px: rows, columns */
  int64_t regions;
  int steps, draws, kinds;
  enum order kind[KINDS];
  double *sums;        /* [regions] of the map */
  int32_t *order;      /* [draws, kinds, steps] */
  unsigned char *same; /* [draws, kinds]: gives what draw 0 gives */
  double *score;       /* [draws, kinds, steps + 1] of the target */
  int *done;           /* [draws, kinds] steps scored */
  double *random;      /* [draws, steps] scores of the random orders, for other maps of this image */
  /* of the draws at hand: */
  int first, count;  /* draws */
  float *filled;     /* [count, H, W, C]: what replaced pixels become; one for all draws unless random */
  int *list, n_list; /* sequences as draw * kinds + kind */
};

static bool parse_orders(struct region *r, struct error *err)
{
  const char *text = r->options->orders;
  for (const char *p = text;;) {
    const size_t n = strcspn(p, ",");
    int k = 0;
    while (k < KINDS && (strlen(kind_names[k]) != n || memcmp(kind_names[k], p, n) != 0))
      k++;
    bool again = false;
    for (int i = 0; i < r->kinds; i++)
      again |= (int)r->kind[i] == k;
    if (k == KINDS || again)
      return error_set(err, ERROR_USAGE, "orders: '%.60s' is no list of morf, lerf and random, each once", text);
    r->kind[r->kinds++] = (enum order)k;
    if (!p[n])
      return true;
    p += n + 1;
  }
}

static int find_kind(const struct region *r, enum order kind)
{
  for (int i = 0; i < r->kinds; i++)
    if (r->kind[i] == kind)
      return i;
  return -1;
}

static struct rect rect_of(const struct region *r, int32_t region)
{
  const int y = r->offset[0] + region / r->cells[1] * r->side[0], x = r->offset[1] + region % r->cells[1] * r->side[1];
  return (struct rect){y, x, y + r->side[0], x + r->side[1]};
}

/* Full regions, centred. */
static bool set_grid(struct region *r, struct measurement *out, struct error *err)
{
  const int size[2] = {r->input->geometry.height, r->input->geometry.width};
  for (int a = 0; a < 2; a++) {
    if (!metric_pixels(&r->options->region, 9, a == 0, r->input, "region", &r->side[a], err))
      return false;
    const int most = size[a] / 2 > 0 ? size[a] / 2 : 1;
    if (r->side[a] > most)
      return error_set(err, ERROR_USAGE, "region: %d px is outside 1..%d, half of the image", r->side[a], most);
    r->cells[a] = size[a] / r->side[a];
    r->offset[a] = size[a] % r->side[a] / 2;
  }
  r->regions = (int64_t)r->cells[0] * r->cells[1];
  r->steps = (int)(r->options->steps < r->regions ? r->options->steps : r->regions);
  if (r->options->steps > r->regions)
    measurement_warn(out, "few-regions", "%lld steps, but the grid has %lld regions: %d steps",
                     (long long)r->options->steps, (long long)r->regions, r->steps);
  const double touched = (double)r->regions * r->side[0] * r->side[1] / ((double)size[0] * size[1]);
  measurement_detail(out, "region", json_pack("[i,i]", r->side[0], r->side[1]));
  measurement_detail(out, "grid", json_pack("[i,i]", r->cells[0], r->cells[1]));
  measurement_detail(out, "steps", json_integer(r->steps));
  measurement_detail(out, "border_share", json_real(1 - touched));
  measurement_detail(out, "replaced_share", json_real(touched * r->steps / (double)r->regions));
  return true;
}

static void sum_map(struct region *r)
{
  const int width = r->input->geometry.width;
  for (int64_t i = 0; i < r->regions; i++) {
    const struct rect rect = rect_of(r, (int32_t)i);
    double sum = 0;
    for (int y = rect.y0; y < rect.y1; y++)
      for (int x = rect.x0; x < rect.x1; x++)
        sum += (double)r->measure->map[y * width + x];
    r->sums[i] = sum;
  }
}

/* Every order; which of them repeat the first draw's sequence. */
static bool set_orders(struct region *r, struct error *err)
{
  int32_t *all = mem_zero((size_t)r->regions, sizeof *all);
  bool ok = all || error_memory(err, "orders");
  for (int d = 0; ok && d < r->draws; d++)
    for (int k = 0; ok && k < r->kinds; k++) {
      const size_t bytes = (size_t)r->steps * sizeof *all;
      int32_t *own = r->order + ((int64_t)d * r->kinds + k) * r->steps;
      ok = order_make(r->kind[k], r->sums, r->regions, r->measure->explain->seed, (uint32_t)d, all, err);
      if (ok)
        memcpy(own, all, bytes);
      r->same[d * r->kinds + k] =
          ok && d > 0 && !r->fill.kind->random && memcmp(own, r->order + (int64_t)k * r->steps, bytes) == 0;
    }
  mem_free(all);
  return ok;
}

/* ---- replacement pixels ---------------------------------------------------------------------------------------- */

/* A fill that needs a rim sees one region at a time, so that its pixels do not depend on the order. */
static bool fill_regions(const struct region *r, float *filled, struct error *err)
{
  const int width = r->input->geometry.width, c = r->input->channels;
  const size_t pixels = (size_t)r->input->geometry.height * (size_t)width;
  unsigned char *hidden = mem_zero(pixels, 1);
  float *one = mem_zero(pixels * (size_t)c, sizeof *one);
  bool ok = (hidden && one) || error_memory(err, "a fill");
  for (int64_t i = 0; ok && i < r->regions; i++) {
    const struct rect rect = rect_of(r, (int32_t)i);
    const size_t row = (size_t)(rect.x1 - rect.x0);
    for (int y = rect.y0; y < rect.y1; y++)
      memset(hidden + y * width + rect.x0, 1, row);
    ok = fill_hidden(&r->fill, 0, hidden, one, err);
    for (int y = rect.y0; ok && y < rect.y1; y++) {
      memcpy(filled + (y * width + rect.x0) * c, one + (y * width + rect.x0) * c, row * (size_t)c * sizeof *one);
      memset(hidden + y * width + rect.x0, 0, row);
    }
  }
  mem_free(hidden);
  mem_free(one);
  return ok;
}

static size_t image_floats(const struct region *r)
{
  return (size_t)r->input->geometry.height * (size_t)r->input->geometry.width * (size_t)r->input->channels;
}

static bool make_fills(struct region *r, struct error *err)
{
  if (!r->fill.kind->random)
    return r->first > 0 ||
           (r->fill.kind->needs_region ? fill_regions(r, r->filled, err) : fill_values(&r->fill, 0, r->filled, err));
  for (int i = 0; i < r->count; i++)
    if (!fill_values(&r->fill, (uint32_t)(r->first + i), r->filled + (size_t)i * image_floats(r), err))
      return false;
  return true;
}

/* ---- curves ---------------------------------------------------------------------------------------------------- */

static bool propose(void *context, int s, int k, struct rect *rect, float *content, struct error *err)
{
  const struct region *r = context;
  const int draw = r->list[s] / r->kinds, c = r->input->channels, width = r->input->geometry.width;
  const float *filled = r->filled + (r->fill.kind->random ? (size_t)(draw - r->first) * image_floats(r) : 0);
  (void)err;
  *rect = rect_of(r, r->order[(int64_t)r->list[s] * r->steps + k]);
  const size_t row = (size_t)(rect->x1 - rect->x0) * (size_t)c;
  for (int y = rect->y0; y < rect->y1; y++, content += row)
    memcpy(content, filled + (size_t)(y * width + rect->x0) * (size_t)c, row * sizeof *content);
  return true;
}

static bool take(void *context, int s, int k, const float *scores, struct error *err)
{
  struct region *r = context;
  (void)err;
  r->score[(int64_t)r->list[s] * (r->steps + 1) + k + 1] = (double)scores[r->measure->target];
  r->done[r->list[s]] = k + 1;
  return true;
}

/* Random orders do not depend on the map: with the second map of an image they are known. */
static void recall_random(struct region *r)
{
  const int kind = find_kind(r, ORDER_RANDOM);
  const double *known = metric_shared(r->measure, (size_t)r->draws * (size_t)r->steps);
  for (int d = 0; known && kind >= 0 && d < r->draws; d++) {
    const int64_t i = (int64_t)d * r->kinds + kind;
    memcpy(r->score + i * (r->steps + 1) + 1, known + (int64_t)d * r->steps, (size_t)r->steps * sizeof *known);
    r->done[i] = r->steps;
  }
}

static void share_random(struct region *r)
{
  const int kind = find_kind(r, ORDER_RANDOM);
  bool whole = kind >= 0;
  for (int d = 0; whole && d < r->draws; d++) {
    const int64_t i = (int64_t)d * r->kinds + kind;
    whole = r->done[i] == r->steps;
    memcpy(r->random + (int64_t)d * r->steps, r->score + i * (r->steps + 1) + 1, (size_t)r->steps * sizeof *r->random);
  }
  if (whole)
    metric_share(r->measure, r->random, (size_t)r->draws * (size_t)r->steps);
}

/* Draws at once: as many as memory for their fills allows. */
static int draws_at_once(const struct region *r)
{
  const size_t spare = evaluator_session(r->measure->evaluator)->memory / 2 / sizeof(float);
  const size_t fit = spare / image_floats(r);
  const int most = r->draws < DRAWS_AT_ONCE ? r->draws : DRAWS_AT_ONCE;
  return fit < 1 ? 1 : fit < (size_t)most ? (int)fit : most;
}

static bool follow(struct region *r, struct evaluated *end, struct error *err)
{
  const int at_once = draws_at_once(r);
  r->filled = mem_zero((r->fill.kind->random ? (size_t)at_once : 1) * image_floats(r), sizeof *r->filled);
  if (!r->filled)
    return error_memory(err, "a fill");
  for (r->first = 0; r->first < r->draws; r->first += at_once) {
    r->count = r->draws - r->first < at_once ? r->draws - r->first : at_once;
    r->n_list = 0;
    for (int i = r->first * r->kinds; i < (r->first + r->count) * r->kinds; i++)
      if (!r->same[i] && r->done[i] == 0)
        r->list[r->n_list++] = i;
    const struct sequences what = {.stage = "region",
                                   .count = r->n_list,
                                   .steps = r->steps,
                                   .height = r->side[0],
                                   .width = r->side[1],
                                   .context = r,
                                   .propose = propose,
                                   .result = take};
    if (!make_fills(r, err) || !evaluate_sequences(r->measure->evaluator, &what, end, err))
      return false;
    if (strcmp(end->stopped_by, "complete") != 0)
      break;
  }
  const size_t curve = (size_t)r->steps + 1;
  for (int i = 0; i < r->draws * r->kinds; i++)
    if (r->same[i]) {
      memcpy(r->score + (size_t)i * curve, r->score + (size_t)(i % r->kinds) * curve, curve * sizeof *r->score);
      r->done[i] = r->done[i % r->kinds];
    }
  return true;
}

/* ---- results --------------------------------------------------------------------------------------------------- */

static double aopc(const struct region *r, int draw, int kind)
{
  const double *f = r->score + ((int64_t)draw * r->kinds + kind) * (r->steps + 1);
  double sum = 0;
  for (int k = 0; k <= r->steps; k++)
    sum += f[0] - f[k];
  return sum / (r->steps + 1);
}

static void report_curve(const struct region *r, int kind, int draws, double *work, struct measurement *out)
{
  double *mean = work, *error = work + r->steps + 1, *column = error + r->steps + 1;
  for (int k = 0; k <= r->steps; k++) {
    for (int d = 0; d < draws; d++)
      column[d] = r->score[((int64_t)d * r->kinds + kind) * (r->steps + 1) + k];
    mean[k] = mean_of(column, draws);
    error[k] = deviation_of(column, draws) / sqrt(draws);
  }
  measurement_curve(out, kind_names[r->kind[kind]], mean, draws > 1 ? error : NULL, r->steps + 1);
}

/* Difference of two orders, draw by draw. */
static void report_difference(const struct region *r, const char *name, enum order a, enum order b, int draws,
                              const double *areas, double *work, struct measurement *out)
{
  const int i = find_kind(r, a), j = find_kind(r, b);
  if (i < 0 || j < 0)
    return;
  for (int d = 0; d < draws; d++)
    work[d] = areas[d * r->kinds + i] - areas[d * r->kinds + j];
  const double mean = mean_of(work, draws), sd = deviation_of(work, draws);
  measurement_value(out, name, mean);
  if (draws > 1)
    measurement_spread(out, name, sd, draws, b == ORDER_RANDOM);
}

static bool report(const struct region *r, const struct evaluated *end, struct measurement *out, struct error *err)
{
  int draws = 0; /* complete ones; a run that ended early has fewer */
  for (bool whole = true; draws < r->draws; draws++) {
    for (int k = 0; k < r->kinds; k++)
      whole &= r->done[draws * r->kinds + k] == r->steps;
    if (!whole)
      break;
  }
  if (draws < r->draws)
    measurement_warn(out, "partial", "stopped by %s after %d of %d draws", end->stopped_by, draws, r->draws);
  double *areas = mem_zero((size_t)r->draws * (size_t)r->kinds, sizeof *areas);
  double *work = mem_zero(2 * (size_t)r->steps + 2 + (size_t)r->draws, sizeof *work);
  bool ok = (areas && work) || error_memory(err, "curves");
  double moved = 0;
  for (int i = 0; ok && i < draws * r->kinds; i++) {
    const double *f = r->score + (int64_t)i * (r->steps + 1);
    areas[i] = aopc(r, i / r->kinds, i % r->kinds);
    for (int k = 1; k <= r->steps; k++)
      moved = fmax(moved, fabs(f[0] - f[k]));
  }
  for (int k = 0; ok && k < r->kinds; k++) {
    static const char *const names[KINDS] = {"aopc_morf", "aopc_lerf", "aopc_random"};
    for (int d = 0; d < draws; d++)
      work[d] = areas[d * r->kinds + k];
    measurement_value(out, names[r->kind[k]], mean_of(work, draws));
    if (draws > 1)
      measurement_spread(out, names[r->kind[k]], deviation_of(work, draws), draws, false);
    if (draws)
      report_curve(r, k, draws, work, out);
  }
  if (ok) {
    report_difference(r, "difference", ORDER_MORF, ORDER_RANDOM, draws, areas, work, out);
    report_difference(r, "abpc", ORDER_MORF, ORDER_LERF, draws, areas, work, out);
    measurement_abscissa(out, 1, r->steps + 1);
    measurement_detail(out, "draws", json_integer(draws));
    measurement_detail(out, "fill", json_string(r->fill.text));
    if (draws && moved < 0.05 && r->measure->explain->evaluate.session.score == SCORE_PROB)
      measurement_warn(out, "weak-fill", "no step with '%s' moves the score by more than %.3f", r->fill.text, moved);
  }
  mem_free(areas);
  mem_free(work);
  return ok;
}

static bool measure_regions(struct region *r, struct measurement *out, struct error *err)
{
  const struct explain *explain = r->measure->explain;
  const struct fill_scene scene = {explain->card, explain->input, explain->seed};
  struct evaluated end = {.stopped_by = "complete"};
  if (!parse_orders(r, err) || !set_grid(r, out, err) || !fill_open(&r->fill, r->options->fill, &scene, err))
    return false;
  metric_flat(r->measure, out);
  r->draws = (int)r->options->draws;
  const size_t curves = (size_t)r->draws * (size_t)r->kinds;
  if (curves > MOST_POINTS / ((size_t)r->steps + 1))
    return error_set(err, ERROR_USAGE, "steps: %d steps of %zu curves are more than %d points", r->steps, curves,
                     MOST_POINTS);
  r->sums = mem_zero((size_t)r->regions, sizeof *r->sums);
  r->order = mem_zero(curves * (size_t)r->steps, sizeof *r->order);
  r->same = mem_zero(curves, 1);
  r->score = mem_zero(curves * ((size_t)r->steps + 1), sizeof *r->score);
  r->done = mem_zero(curves, sizeof *r->done);
  r->list = mem_zero(curves, sizeof *r->list);
  r->random = mem_zero((size_t)r->draws * (size_t)r->steps, sizeof *r->random);
  if (!r->sums || !r->order || !r->same || !r->score || !r->done || !r->list || !r->random)
    return error_memory(err, "curves");
  const double start = (double)evaluator_scores(r->measure->evaluator)[r->measure->target];
  for (size_t i = 0; i < curves; i++)
    r->score[i * ((size_t)r->steps + 1)] = start;
  sum_map(r);
  recall_random(r);
  if (!set_orders(r, err) || !follow(r, &end, err))
    return false;
  share_random(r);
  return report(r, &end, out, err);
}

static bool run(const struct measure *measure, const void *options, struct measurement *out, struct error *err)
{
  struct region r = {.measure = measure, .options = options, .input = measure->explain->input};
  const bool ok = measure_regions(&r, out, err);
  fill_close(&r.fill);
  mem_free(r.sums);
  mem_free(r.order);
  mem_free(r.same);
  mem_free(r.score);
  mem_free(r.done);
  mem_free(r.list);
  mem_free(r.random);
  mem_free(r.filled);
  return ok;
}

const struct metric metric_region = {
    .name = "region",
    .title = "Region perturbation",
    .summary = "replace regions in the map's order and watch the score fall: AOPC, above random, ABPC",
    .paper =
        "Samek, Binder, Montavon, Lapuschkin, Müller: Evaluating the visualization of what a deep neural network has "
        "learned, IEEE TNNLS 2017",
    .needs = METRIC_MAP,
    .headline = "aopc_morf",
    .columns = "difference,abpc",
    .x_label = "regions replaced",
    .y_label = "score",
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
