/* SPDX-License-Identifier: Apache-2.0 */
/* KernelSHAP on superpixels: Lundberg & Lee, "A unified approach to interpreting model predictions", NeurIPS 2017.
 *
 * Shapley values of the game v(z) = f(image in which superpixels outside z are filled) are the coefficients of
 *   min sum_z pi(z) (v(z) - phi_0 - phi.z)^2,   pi(k) = (S - 1) / (C(S,k) k (S - k)) for k of S superpixels,
 * with phi_0 = f(everything filled) and sum phi = f(image) - phi_0 imposed. Both are imposed exactly here, by
 * eliminating a variable; the paper's package does the same, others give the two end rows a large weight.
 *
 * Sampled are pairs of a subset and its complement (Covert & Lee, AISTATS 2021), none twice. How many superpixels it
 * has is drawn uniformly (leverage scores: Musco & Witter, ICLR 2025) or in proportion to pi summed over subsets of
 * that size, evenly by a golden-section sequence; within a size all subsets are equally likely. A row weighs pi(k)
 * C(S,k) / m_k with m_k the rows of its size: 1/(k(S-k)) or 1 up to a factor until subsets of a size run out, and pi(k)
 * when all have been seen. So a run that goes through all subsets is exact, and any part of it is a fair sample: the
 * standard error counts what is left of every size (finite population), and ends at 0. */
#include "methods/method.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "methods/artifact_share.h"
#include "methods/least_squares.h"
#include "methods/masks.h"
#include "methods/stopping.h"
#include "methods/superpixels.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum sampling { SAMPLING_LEVERAGE, SAMPLING_KERNEL };

enum {
  EXACT = 12,     /* superpixels up to which all subsets are run unless told otherwise */
  SAMPLES = 2048, /* and two for each superpixel */
  TOLERANT = 16,  /* times the default samples, as far as a tolerance may take a run */
  PREVIEW_SUPERPIXELS = 512,
};

struct options {
  struct superpixel_options superpixels;
  int64_t samples;
  int sampling;
  const char *tolerance;
};

static const struct param params[] = {
    SUPERPIXEL_PARAMS(struct options, superpixels, NULL),
    {"samples", PARAM_INT, offsetof(struct options, samples), "auto", 2, 10000000, NULL, NULL, NULL,
     "subsets; auto: all for 12 superpixels or fewer, else 2048 and 2 for each superpixel"},
    {"sampling", PARAM_CHOICE, offsetof(struct options, sampling), "leverage", 0, 0, "leverage|kernel", NULL, "kernel",
     "sizes of subsets: all alike, or as often as the Shapley kernel weights them"},
    {"tolerance", PARAM_TEXT, offsetof(struct options, tolerance), "", 0, 0, NULL, NULL, NULL,
     "stop when the largest standard error is this part of the largest value; stable:K: when the K strongest are "
     "apart"},
    PARAM_END,
};

struct kernelshap {
  const struct explain *explain;
  const struct options *options;
  struct explanation *out;
  struct superpixels superpixels;
  struct evaluator *evaluator;
  int64_t *targets, n_targets, shown;
  struct design design;
  struct stopping stopping;
  struct artifact_share raised;
  int64_t samples;

  /* Sizes come in classes j = 1..S/2 of k = j and k = S - j, which a pair holds together. */
  int64_t classes;
  double *subsets; /* [classes+1] pairs there are */
  double *drawn;   /* [classes+1] pairs proposed */
  double *upto;    /* [classes+1] cumulative probability */
  double *rows_of; /* [S+1] rows of a size in the design */
  uint64_t steps;  /* of the golden-section sequence */
  double start;
  int32_t *order; /* [S] scratch */
  int64_t *seen;  /* hash table of pairs + 1 */
  uint64_t seen_mask;

  struct moments moments;
  double *origin, *delta;           /* [T] f(b), f(x) - f(b) */
  double *reduced, *inverse, *work; /* [S,S] */
  double *phi, *error;              /* [T,S] */
  int *stratum;                     /* [pairs] */
  double *share;                    /* [classes+1] */
  int64_t previewed;
};

/* ---- subsets --------------------------------------------------------------------------------------------------- */

static void tabulate_sizes(struct kernelshap *k)
{
  const int64_t n = k->superpixels.count;
  double count = 1, total = 0;
  for (int64_t j = 1; j <= k->classes; j++) {
    const bool middle = 2 * j == n;
    count = count * (double)(n - j + 1) / (double)j; /* exact as long as it fits 53 bits */
    k->subsets[j] = middle ? count / 2 : count;
    const double each = k->options->sampling == SAMPLING_KERNEL ? 1 / ((double)j * (double)(n - j)) : 1;
    total += middle ? each : 2 * each;
    k->upto[j] = total;
  }
  for (int64_t j = 1; j <= k->classes; j++)
    k->upto[j] /= total;
  k->start = rng_uniform(k->explain->seed, RNG_ORDER, 0, 0);
}

/* The next class with a pair left; there is one. */
static int64_t next_class(struct kernelshap *k)
{
  for (;;) {
    double u = k->start + (double)k->steps++ * 0.6180339887498949;
    u -= floor(u);
    int64_t j = 1;
    while (j < k->classes && u >= k->upto[j])
      j++;
    if (k->drawn[j] < k->subsets[j])
      return j;
  }
}

static uint64_t hash_of(const uint64_t *mask, const uint64_t *complement, int64_t words)
{
  const uint64_t *m = mask_has(mask, 0) ? mask : complement; /* the same for both of a pair */
  uint64_t h = 0x9E3779B97F4A7C15u;
  for (int64_t w = 0; w < words; w++) {
    h = (h ^ m[w]) * 0xBF58476D1CE4E5B9u;
    h ^= h >> 29;
  }
  return h;
}

/* Whether rows 2p and 2p + 1 are new; they are noted. */
static bool is_new(struct kernelshap *k, int64_t pair)
{
  const int64_t words = k->design.words;
  const size_t bytes = (size_t)words * sizeof(uint64_t);
  const uint64_t *mask = design_mask(&k->design, 2 * pair), *other = mask + words;
  uint64_t at = hash_of(mask, other, words) & k->seen_mask;
  for (; k->seen[at]; at = (at + 1) & k->seen_mask) {
    const uint64_t *there = design_mask(&k->design, 2 * (k->seen[at] - 1));
    if (memcmp(there, mask, bytes) == 0 || memcmp(there, other, bytes) == 0)
      return false;
  }
  k->seen[at] = pair + 1;
  return true;
}

static bool propose(void *context, int64_t i, struct perturbation *p, struct error *err)
{
  struct kernelshap *k = context;
  const int64_t n = k->superpixels.count;
  uint64_t *mask = design_mask(&k->design, i);
  if (i % 2 == 0) {
    const int64_t j = next_class(k);
    uint32_t attempt = 0;
    do {
      mask_draw_subset(k->explain->seed, (uint32_t)(i / 2), attempt++, n, j, mask, k->order);
      mask_complement(mask, n, mask + k->design.words);
    } while (!is_new(k, i / 2));
    k->drawn[j]++;
  }
  return superpixels_hide(&k->superpixels, mask, i / 2, p, err);
}

/* ---- the fit ---------------------------------------------------------------------------------------------------- */

static int64_t class_of(const struct kernelshap *k, int64_t row)
{
  const int64_t n = k->superpixels.count, size = mask_count(design_mask(&k->design, row), n);
  return size < n - size ? size : n - size;
}

static void set_weights(struct kernelshap *k)
{
  struct design *d = &k->design;
  const int64_t n = k->superpixels.count;
  memset(k->rows_of, 0, ((size_t)n + 1) * sizeof *k->rows_of);
  for (int64_t i = 0; i < d->rows; i++)
    k->rows_of[mask_count(design_mask(d, i), n)]++;
  for (int64_t i = 0; i < d->rows; i++) {
    const int64_t size = mask_count(design_mask(d, i), n);
    d->weight[i] = (double)(n - 1) / ((double)size * (double)(n - size) * k->rows_of[size]);
  }
}

/* With the last value eliminated, phi_j = delta/S + g_j and g_S = -sum of the others, the others' sums are
 * H = T'AT, T' = [I, -1]. inverse := T H^-1 T', so that g = inverse (sum w z y'). Too few rows leave H singular: then
 * the smallest g that fits, by a little of |g|^2 = |g_j|^2 + (sum g_j)^2. */
static bool eliminate(struct kernelshap *k, struct error *err)
{
  const int64_t n = k->superpixels.count, m = n - 1;
  const double *a = k->moments.zz, *last = a + m * n;
  double *h = k->reduced, trace = 0;
  for (int64_t i = 0; i < m; i++) {
    for (int64_t j = 0; j < m; j++)
      h[i * m + j] = a[i * n + j] - last[i] - last[j] + last[m];
    trace += h[i * m + i];
  }
  if (!inverse_symmetric(h, m, 0, k->inverse, k->work)) {
    const double little = 1e-8 * (trace > 0 ? trace / (double)m : 1);
    for (int64_t i = 0; i < m; i++)
      for (int64_t j = 0; j < m; j++)
        h[i * m + j] += little;
    if (!inverse_symmetric(h, m, little, k->inverse, k->work))
      return error_set(err, ERROR_FAILED, "kernelshap: %lld samples do not determine %lld superpixels",
                       (long long)k->design.rows, (long long)n);
  }
  memcpy(h, k->inverse, (size_t)(m * m) * sizeof *h);
  for (int64_t i = 0; i <= m; i++)
    for (int64_t j = 0; j < m; j++) {
      double *to = k->inverse + i * n + j;
      *to = i < m ? h[i * m + j] : 0;
      for (int64_t r = 0; i == m && r < m; r++)
        *to -= h[r * m + j];
    }
  for (int64_t i = 0; i <= m; i++) {
    double sum = 0;
    for (int64_t j = 0; j < m; j++)
      sum += k->inverse[i * n + j];
    k->inverse[i * n + m] = -sum;
  }
  return true;
}

static bool is_exact(const struct kernelshap *k)
{
  const int64_t n = k->superpixels.count;
  return !k->superpixels.random && n < 40 && k->design.rows == ((int64_t)1 << n) - 2;
}

static bool find_errors(struct kernelshap *k, struct error *err)
{
  const struct design *d = &k->design;
  const int64_t n = k->superpixels.count, groups = design_groups(d);
  if (is_exact(k)) {
    memset(k->error, 0, (size_t)(k->n_targets * n) * sizeof *k->error);
    return true;
  }
  memset(k->share, 0, ((size_t)k->classes + 1) * sizeof *k->share);
  for (int64_t g = 0; g < groups; g++) {
    k->stratum[g] = (int)class_of(k, 2 * g);
    k->share[k->stratum[g]]++;
  }
  /* What of a size has not been seen; a random fill is never seen out. */
  for (int64_t j = 1; j <= k->classes; j++)
    k->share[j] = k->superpixels.random ? 1 : fmax(1 - k->share[j] / k->subsets[j], 0);
  const struct sandwich sandwich = {
      .inverse = k->inverse,
      .stratum = k->stratum,
      .strata = (int)k->classes + 1,
      .share = k->share,
      .fitted = n - 1,
  };
  if (!sandwich_variance(&sandwich, d, 0, k->n_targets, k->phi, k->origin, k->error, err))
    return false;
  for (int64_t i = 0; i < k->n_targets * n; i++)
    k->error[i] = sqrt(k->error[i]);
  return true;
}

static bool fit(struct kernelshap *k, bool whole, struct error *err)
{
  const int64_t n = k->superpixels.count;
  set_weights(k);
  if (!moments_sum(&k->moments, &k->design, k->origin, err) || !eliminate(k, err))
    return false;
  for (int64_t t = 0; t < k->n_targets; t++) {
    double *phi = k->phi + t * n, even = k->delta[t] / (double)n;
    for (int64_t j = 0; j < n; j++)
      phi[j] = even;
    for (int64_t i = 0; i < n; i++) {
      double b = k->moments.zy[t * n + i];
      for (int64_t j = 0; j < n; j++) /* what the even split explains already */
        b -= even * k->moments.zz[i * n + j];
      for (int64_t j = 0; j < n; j++)
        phi[j] += k->inverse[i * n + j] * b;
    }
    phi[n - 1] = k->delta[t]; /* the eliminated one, free of rounding */
    for (int64_t j = 0; j < n - 1; j++)
      phi[n - 1] -= phi[j];
  }
  return !whole || find_errors(k, err);
}

/* ---- passes ---------------------------------------------------------------------------------------------------- */

static bool result(void *context, int64_t i, const float *scores, const float *activations, bool *stop,
                   struct error *err)
{
  struct kernelshap *k = context;
  const int64_t n = k->superpixels.count;
  (void)activations;
  artifact_share_take(&k->raised, scores);
  for (int64_t t = 0; t < k->n_targets; t++)
    design_scores(&k->design, i)[t] = scores[k->targets[t]];
  k->design.rows = i + 1;
  if (!stopping_due(&k->stopping, i + 1) || k->design.rows < 2 * n)
    return true;
  if (!fit(k, true, err))
    return false;
  *stop = stopping_reached(&k->stopping, k->phi + k->shown * n, k->error + k->shown * n, n);
  return true;
}

static void preview(void *context, float *map)
{
  struct kernelshap *k = context;
  const int64_t n = k->superpixels.count;
  struct error ignored = {ERROR_NONE};
  if (n <= PREVIEW_SUPERPIXELS && k->design.rows >= k->previewed + k->previewed / 4 + 16 && fit(k, false, &ignored))
    k->previewed = k->design.rows;
  superpixels_paint(&k->superpixels, k->phi + k->shown * n, map);
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static bool set_options(struct kernelshap *k, struct error *err)
{
  const struct options *o = k->options;
  const int64_t n = k->superpixels.count;
  const int64_t all = n < 40 ? ((int64_t)1 << n) - 2 : INT64_MAX;
  if (k->superpixels.needs_rim)
    return error_set(err, ERROR_USAGE,
                     "fill: '%.60s' is made from the rim of what is hidden; KernelSHAP needs a score "
                     "with everything hidden (fill-unavailable)",
                     k->superpixels.fill.text);
  k->samples = o->samples;
  if (o->samples == PARAM_AUTO_INT) {
    k->samples = n <= EXACT ? all : (SAMPLES + 2 * n) * (*o->tolerance ? TOLERANT : 1);
  }
  k->samples = k->samples < all ? k->samples & ~(int64_t)1 : all;
  return stopping_parse(o->tolerance, k->samples, &k->stopping, err);
}

static bool open_sampler(struct kernelshap *k, struct error *err)
{
  const int64_t n = k->superpixels.count;
  k->classes = n / 2;
  const size_t classes = (size_t)k->classes + 1, pairs = (size_t)k->samples / 2;
  uint64_t size = 4;
  while (size < 2 * pairs)
    size *= 2;
  k->seen_mask = size - 1;
  k->seen = mem_zero((size_t)size, sizeof *k->seen);
  k->subsets = mem_zero(classes, sizeof(double));
  k->drawn = mem_zero(classes, sizeof(double));
  k->upto = mem_zero(classes, sizeof(double));
  k->share = mem_zero(classes, sizeof(double));
  k->rows_of = mem_zero((size_t)n + 1, sizeof(double));
  k->order = mem_zero((size_t)n, sizeof *k->order);
  k->stratum = mem_zero(pairs + 1, sizeof *k->stratum);
  if (!k->seen || !k->subsets || !k->drawn || !k->upto || !k->share || !k->rows_of || !k->order || !k->stratum)
    return error_memory(err, "kernelshap");
  tabulate_sizes(k);
  return true;
}

static bool open_fit(struct kernelshap *k, struct error *err)
{
  const size_t n = (size_t)k->superpixels.count, t = (size_t)k->n_targets;
  k->origin = mem_zero(t, sizeof(double));
  k->delta = mem_zero(t, sizeof(double));
  k->reduced = mem_zero(n * n, sizeof(double));
  k->inverse = mem_zero(n * n, sizeof(double));
  k->work = mem_zero(n * n, sizeof(double));
  k->phi = mem_zero(t * n, sizeof(double));
  k->error = mem_zero(t * n, sizeof(double));
  if (!k->origin || !k->delta || !k->reduced || !k->inverse || !k->work || !k->phi || !k->error)
    return error_memory(err, "kernelshap");
  for (size_t i = 0; i < t; i++) {
    k->origin[i] = k->superpixels.full[k->targets[i]];
    k->delta[i] = (double)evaluator_scores(k->evaluator)[k->targets[i]] - k->origin[i];
  }
  k->design.group = 2;
  return moments_open(&k->moments, k->superpixels.count, k->n_targets, err);
}

static void report(struct kernelshap *k, const struct evaluated *end)
{
  struct explanation *out = k->out;
  const int64_t n = k->superpixels.count, rows = k->design.rows;
  double sum = 0;
  for (int64_t j = 0; j < n; j++)
    sum += k->phi[k->shown * n + j];
  out->evaluations = evaluator_count(k->evaluator);
  out->seconds = evaluator_seconds(k->evaluator);
  out->stopped_by = end->stopped_by;
  json_t *summary =
      json_pack("{s:I, s:I, s:s, s:b}", "samples", (json_int_t)rows, "superpixels", (json_int_t)n, "sampling",
                k->options->sampling == SAMPLING_KERNEL ? "kernel" : "leverage", "exact", is_exact(k));
  json_object_set_new(out->details, "kernelshap", json_copy(summary));
  json_t *classes = json_array();
  for (int64_t t = 0; t < k->n_targets; t++)
    json_array_append_new(classes, superpixels_class_json(&k->superpixels, k->evaluator, k->targets[t], k->phi + t * n,
                                                          k->error + t * n));
  json_object_set_new(summary, "classes", classes);
  json_object_set_new(out->documents, "kernelshap", summary);
  artifact_share_note(&k->raised, out);
  json_object_set_new(out->quality, "efficiency_gap", json_number_or_null(sum - k->delta[k->shown]));
  if (rows < 2 * n && !is_exact(k))
    explanation_warn(out, "few-samples", "%lld samples for %lld superpixels; at least 2 for each are wanted",
                     (long long)rows, (long long)n);
  if (*k->options->tolerance && strcmp(end->stopped_by, "tolerance") != 0 && !is_exact(k))
    explanation_warn(out, "not-converged", "stopped by %s after %lld samples, before tolerance %s was reached",
                     end->stopped_by, (long long)rows, k->options->tolerance);
}

static bool explain_game(struct kernelshap *k, struct error *err)
{
  const struct explain *explain = k->explain;
  struct evaluated end;

  /* 1: superpixels; the game's two ends. */
  if (!superpixels_open(&k->superpixels, explain, &k->options->superpixels, k->out, err) || !set_options(k, err))
    return false;
  k->evaluator = evaluator_open(explain->predictor, &explain->evaluate, explain->input->x, err);
  k->targets = mem_zero((size_t)explain->predictor->classes, sizeof *k->targets);
  if (!k->evaluator || !k->targets)
    return k->evaluator ? error_memory(err, "kernelshap") : false;
  if (!explain_targets(explain, evaluator_scores(k->evaluator), k->targets, &k->n_targets, k->out, err) ||
      !superpixels_score_full(&k->superpixels, k->evaluator, err) ||
      !design_open(&k->design, k->samples, k->superpixels.count, k->n_targets, err) || !open_sampler(k, err) ||
      !open_fit(k, err))
    return false;
  k->shown = k->out->all_targets ? k->out->target : 0;
  k->raised = artifact_share_of(explain, evaluator_scores(k->evaluator), k->out->target);

  /* 2: subsets and their scores. */
  const struct evaluation what = {
      .stage = "kernelshap",
      .count = k->samples,
      .context = k,
      .propose = propose,
      .result = result,
      .preview = preview,
  };
  if (!evaluate(k->evaluator, &what, &end, err))
    return false;

  /* 3: values, errors, maps. */
  if (!fit(k, true, err) || !superpixels_maps(&k->superpixels, k->n_targets, k->phi, k->error, err))
    return false;
  report(k, &end);
  if (!json_object_get(k->out->documents, "kernelshap"))
    return error_memory(err, "kernelshap.json");
  return superpixels_report(&k->superpixels, k->phi + k->shown * k->superpixels.count,
                            k->error + k->shown * k->superpixels.count, err);
}

static bool run(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  struct kernelshap k = {.explain = explain, .options = options, .out = out};
  const bool ok = explain_game(&k, err);
  evaluator_close(k.evaluator);
  superpixels_close(&k.superpixels);
  design_close(&k.design);
  moments_close(&k.moments);
  mem_free(k.targets);
  mem_free(k.subsets);
  mem_free(k.drawn);
  mem_free(k.upto);
  mem_free(k.rows_of);
  mem_free(k.order);
  mem_free(k.seen);
  mem_free(k.origin);
  mem_free(k.delta);
  mem_free(k.reduced);
  mem_free(k.inverse);
  mem_free(k.work);
  mem_free(k.phi);
  mem_free(k.error);
  mem_free(k.stratum);
  mem_free(k.share);
  return ok;
}

const struct method method_kernelshap = {
    .name = "kernelshap",
    .title = "KernelSHAP",
    .unit = "score drop",
    .summary = "Shapley values of superpixels from weighted least squares over subsets",
    .paper = "Lundberg, Lee: A Unified Approach to Interpreting Model Predictions, NeurIPS 2017",
    .needs = NEEDS_PREDICT,
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
