/* SPDX-License-Identifier: Apache-2.0 */
/* LIME for images: Ribeiro, Singh & Guestrin, "Why should I trust you?", KDD 2016. The score near the image is
 * approximated by a linear function of which superpixels are there.
 *
 * Masks z [n,S]: row 0 keeps all, the others keep every superpixel with probability 1/2; y[i,c] = f_c(image under z_i).
 *   d_i = 1 - sqrt(|z_i| / S)          cosine distance to row 0
 *   w_i = sqrt(exp(-d_i^2 / width^2))
 *   (b0, b) = argmin sum_i w_i (y_i - b0 - b.z_i)^2 + alpha |b|^2
 * A pixel's value is the coefficient of its superpixel.
 * Taken from the paper and its authors' package: distance, kernel, ridge, ways of selection. Changed: every superpixel
 * is a feature; one seed fixes everything; masks come with their complements; samples grow with superpixels; mean fill;
 * standard errors, and a run that may end when they are small. Masks are balanced: an orthogonal array of strength 2,
 * with complements 3 (Rao 1947), so that the other superpixels' effects cancel out of each coefficient instead of being
 * fitted out of it; docs/design/sampling.md. `sampler=bernoulli` is the paper's; `sampler=reweighted` draws from the
 * kernel instead of weighting by it (GLIME: Tan, Tian & Li, NeurIPS 2023): the same limit, steadier where the kernel is
 * narrow. */
#include "methods/method.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "methods/artifact_share.h"
#include "methods/masks.h"
#include "methods/stopping.h"
#include "methods/superpixels.h"
#include "methods/surrogate.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

enum sampler { SAMPLER_BALANCED, SAMPLER_BERNOULLI, SAMPLER_REWEIGHTED };
static const char *const sampler_name[] = {"balanced", "bernoulli", "reweighted"};
enum pairs { PAIRS_AUTO, PAIRS_ON, PAIRS_OFF };

enum {
  LEAST_SAMPLES = 1000,
  PER_SUPERPIXEL = 10,       /* samples: rule of thumb */
  TOLERANT = 16,             /* times the default samples, as far as a tolerance may take a run */
  PREVIEW_SUPERPIXELS = 512, /* beyond that a fit takes too long for a look on the way */
};

struct options {
  struct superpixel_options superpixels;
  int64_t samples;
  double kernel_width, alpha;
  int64_t features;
  int select, pairs, sampler;
  const char *tolerance;
};

static const struct param params[] = {
    SUPERPIXEL_PARAMS(struct options, superpixels, "segment-mean"),
    {"samples", PARAM_INT, offsetof(struct options, samples), "auto", 3, 10000000, NULL, NULL, "1000",
     "masks, the image itself among them; auto: 1000, or 10 for each superpixel if that is more"},
    {"kernel-width", PARAM_FLOAT, offsetof(struct options, kernel_width), "0.25", 1e-6, 1e6, NULL, NULL, NULL,
     "width of the kernel that weights masks by their distance from the image"},
    {"alpha", PARAM_FLOAT, offsetof(struct options, alpha), "1", 0, 1e12, NULL, NULL, NULL,
     "ridge penalty on coefficients"},
    {"features", PARAM_INT, offsetof(struct options, features), "auto", 1, SUPERPIXELS_MOST, NULL, NULL, NULL,
     "superpixels the fit may use, chosen by select; auto: all"},
    {"select", PARAM_CHOICE, offsetof(struct options, select), "none", 0, 0,
     "none|auto|forward|highest-weights|lasso-path", NULL, "auto",
     "how they are chosen; auto: forward up to 6, else highest-weights"},
    {"pairs", PARAM_CHOICE, offsetof(struct options, pairs), "auto", 0, 0, "auto|on|off", NULL, "off",
     "follow every mask by its complement; auto: on unless reweighted"},
    {"sampler", PARAM_CHOICE, offsetof(struct options, sampler), "balanced", 0, 0, "balanced|bernoulli|reweighted",
     NULL, "bernoulli",
     "masks with weights: blocks in which every superpixel and every two are balanced, or independent ones; or masks "
     "drawn in proportion to the weights"},
    {"tolerance", PARAM_TEXT, offsetof(struct options, tolerance), "", 0, 0, NULL, NULL, NULL,
     "stop when the largest standard error is this part of the largest coefficient; stable:K: when the K strongest are "
     "apart"},
    PARAM_END,
};

struct lime {
  const struct explain *explain;
  const struct options *options;
  struct explanation *out;
  struct superpixels superpixels;
  struct evaluator *evaluator;
  int64_t *targets, n_targets, shown; /* shown: place of the explanation's target among them */
  struct design design;
  struct surrogate fit;
  struct surrogate_options fit_options;
  struct stopping stopping;
  struct artifact_share share;
  int64_t samples;
  bool pairs;
  double *kernel; /* [S+1] weight of a mask by its size */
  double *sizes;  /* [S+1] cumulative probability of a size, for the reweighted sampler */
  int32_t *order; /* [2^order >= S] scratch */
  int64_t previewed;
};

/* ---- masks ----------------------------------------------------------------------------------------------------- */

static void tabulate_kernel(struct lime *l)
{
  const int64_t n = l->superpixels.count;
  const double width = l->options->kernel_width;
  double most = -INFINITY, total = 0;
  for (int64_t k = 0; k <= n; k++) {
    const double d = 1 - sqrt((double)k / (double)n);
    l->kernel[k] = surrogate_weight(k, n, width);
    l->sizes[k] = log_binomial(n, k) - d * d / (width * width) / 2;
    most = fmax(most, l->sizes[k]);
  }
  for (int64_t k = 0; k <= n; k++)
    total += exp(l->sizes[k] - most);
  for (int64_t k = 0; k <= n; k++)
    l->sizes[k] = exp(l->sizes[k] - most) / total + (k > 0 ? l->sizes[k - 1] : 0);
}

static void draw_mask(struct lime *l, int64_t row, uint32_t attempt, uint64_t *mask)
{
  const uint64_t seed = l->explain->seed;
  const int64_t n = l->superpixels.count;
  if (l->options->sampler == SAMPLER_BALANCED && attempt == 0) {
    mask_draw_balanced(seed, (uint32_t)(l->pairs ? (row - 1) / 2 : row - 1), n, mask, l->order);
    return;
  }
  if (l->options->sampler != SAMPLER_REWEIGHTED) {
    mask_draw(seed, (uint32_t)row, attempt, n, mask);
    return;
  }
  const double u = rng_uniform(seed, RNG_ORDER, (uint32_t)row, attempt);
  int64_t size = 0;
  while (size < n && u >= l->sizes[size])
    size++;
  mask_draw_subset(seed, (uint32_t)row, attempt, n, size, mask, l->order);
}

/* A fill that is made from a rim needs something kept. */
static bool is_possible(const struct lime *l, const uint64_t *mask)
{
  const int64_t n = l->superpixels.count, kept = mask_count(mask, n);
  return !l->superpixels.needs_rim || (kept > 0 && (kept < n || !l->pairs));
}

static bool propose(void *context, int64_t i, struct perturbation *p, struct error *err)
{
  struct lime *l = context;
  const int64_t row = i + 1; /* row 0 is the image itself */
  uint64_t *mask = design_mask(&l->design, row);
  const bool second = l->pairs && row % 2 == 0;
  uint32_t attempt = 0;
  if (second) {
    mask_complement(design_mask(&l->design, row - 1), l->superpixels.count, mask);
  } else {
    do
      draw_mask(l, row, attempt++, mask);
    while (!is_possible(l, mask) && attempt < 1000);
  }
  /* A mask and its complement see one draw of a random fill. */
  return superpixels_hide(&l->superpixels, mask, l->pairs ? (row - 1) / 2 : row - 1, p, err);
}

/* ---- the check of bfloat16 -------------------------------------------------------------------------------------- */

static int64_t trial_target(void *context, const float *scores)
{
  const struct lime *l = context;
  return explain_one_target(l->explain, scores);
}

static bool trial_propose(void *context, const unsigned char *keep, int64_t draw, struct perturbation *p,
                          struct error *err)
{
  struct lime *l = context;
  uint64_t mask[(SUPERPIXELS_MOST + 63) / 64] = {0};
  for (int64_t s = 0; s < l->superpixels.count; s++)
    if (keep[s])
      mask_set(mask, s);
  if (!is_possible(l, mask))
    mask_set(mask, 0);
  return superpixels_hide(&l->superpixels, mask, draw, p, err);
}

/* ---- passes ---------------------------------------------------------------------------------------------------- */

static void take_row(struct lime *l, const float *scores)
{
  struct design *d = &l->design;
  const int64_t row = d->rows++;
  for (int64_t t = 0; t < l->n_targets; t++)
    design_scores(d, row)[t] = scores[l->targets[t]];
  d->weight[row] =
      l->options->sampler == SAMPLER_REWEIGHTED ? 1 : l->kernel[mask_count(design_mask(d, row), l->superpixels.count)];
}

static bool result(void *context, int64_t i, const float *scores, const float *activations, bool *stop,
                   struct error *err)
{
  struct lime *l = context;
  const int64_t n = l->superpixels.count;
  (void)activations;
  artifact_share_take(&l->share, scores);
  take_row(l, scores);
  if (!stopping_due(&l->stopping, i + 1) || l->design.rows < n + 2)
    return true;
  if (!surrogate_fit(&l->fit, &l->design, &l->fit_options, true, err))
    return false;
  *stop = stopping_reached(&l->stopping, l->fit.beta + l->shown * n, l->fit.error + l->shown * n, n);
  return true;
}

static void preview(void *context, float *map)
{
  struct lime *l = context;
  const int64_t n = l->superpixels.count;
  struct error ignored = {ERROR_NONE};
  if (n <= PREVIEW_SUPERPIXELS && l->design.rows >= l->previewed + l->previewed / 4 + 16 &&
      surrogate_fit(&l->fit, &l->design, &l->fit_options, false, &ignored))
    l->previewed = l->design.rows;
  superpixels_paint(&l->superpixels, l->fit.beta + l->shown * n, map);
}

/* ---- results --------------------------------------------------------------------------------------------------- */

/* Superpixels by |coefficient| / error, best known first. */
static json_t *ranking(const double *beta, const double *error, int64_t n)
{
  json_t *list = json_array();
  bool *taken = mem_zero((size_t)n, sizeof *taken);
  for (int64_t i = 0; taken && i < n; i++) {
    int64_t best = -1;
    for (int64_t k = 0; k < n; k++) /* |b| / e compared as products: e may be 0 */
      if (!taken[k] && (best < 0 || fabs(beta[k]) * error[best] > fabs(beta[best]) * error[k]))
        best = k;
    taken[best] = true;
    json_array_append_new(list, json_integer(best));
  }
  mem_free(taken);
  return list;
}

static double local_prediction(const struct lime *l, int64_t target)
{
  return l->fit.intercept[target] +
         mask_sum(design_mask(&l->design, 0), l->design.words, l->fit.beta + target * l->superpixels.count);
}

static json_t *class_json(const struct lime *l, int64_t t)
{
  const int64_t n = l->superpixels.count;
  json_t *class =
      superpixels_class_json(&l->superpixels, l->evaluator, l->targets[t], l->fit.beta + t * n, l->fit.error + t * n);
  json_object_set_new(class, "intercept", json_number_or_null(l->fit.intercept[t]));
  json_object_set_new(class, "r2", json_number_or_null(l->fit.r2[t]));
  json_object_set_new(class, "local_prediction", json_number_or_null(local_prediction(l, t)));
  return class;
}

static void report(struct lime *l, const struct evaluated *end)
{
  struct explanation *out = l->out;
  const struct design *d = &l->design;
  const int64_t n = l->superpixels.count;
  double sum = 0, square = 0;
  for (int64_t i = 0; i < d->rows; i++) {
    sum += d->weight[i];
    square += d->weight[i] * d->weight[i];
  }
  const double effective = sum * sum / square, r2 = l->fit.r2[l->shown];
  out->evaluations = evaluator_count(l->evaluator);
  out->seconds = evaluator_seconds(l->evaluator);
  out->stopped_by = end->stopped_by;
  json_t *summary =
      json_pack("{s:I, s:I, s:s, s:b, s:f, s:f, s:I, s:f, s:f}", "samples", (json_int_t)d->rows, "superpixels",
                (json_int_t)n, "sampler", sampler_name[l->options->sampler], "pairs", l->pairs, "kernel_width",
                l->options->kernel_width, "alpha", l->options->alpha, "features", (json_int_t)l->fit_options.most,
                "weight_sum", sum, "effective_samples", effective);
  json_object_set_new(out->details, "lime", json_copy(summary));
  json_t *classes = json_array();
  for (int64_t t = 0; t < l->n_targets; t++)
    json_array_append_new(classes, class_json(l, t));
  json_object_set_new(summary, "ranking", ranking(l->fit.beta + l->shown * n, l->fit.error + l->shown * n, n));
  json_object_set_new(summary, "classes", classes);
  json_object_set_new(out->documents, "lime", summary);
  json_object_set_new(out->quality, "r2", json_number_or_null(r2));
  json_object_set_new(out->quality, "intercept", json_number_or_null(l->fit.intercept[l->shown]));
  json_object_set_new(out->quality, "local_prediction", json_number_or_null(local_prediction(l, l->shown)));
  artifact_share_note(&l->share, out);
  if (r2 < 0.3)
    explanation_warn(out, "low-fit",
                     "the linear model explains %.0f %% of the score's spread over masks only (R2 %.3f)",
                     100 * fmax(r2, 0), r2);
  if (d->rows < PER_SUPERPIXEL * n)
    explanation_warn(out, "few-samples", "%lld samples for %lld superpixels; the rule of thumb is 10 for each",
                     (long long)d->rows, (long long)n);
  if (effective < (double)n + 2)
    explanation_warn(out, "few-samples",
                     "the kernel's weights leave %.1f effective samples for %lld superpixels; "
                     "try a larger kernel-width or sampler reweighted",
                     effective, (long long)n);
  if (*l->options->tolerance && strcmp(end->stopped_by, "tolerance") != 0)
    explanation_warn(out, "not-converged", "stopped by %s after %lld samples, before tolerance %s was reached",
                     end->stopped_by, (long long)d->rows, l->options->tolerance);
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

static bool set_options(struct lime *l, struct error *err)
{
  const struct options *o = l->options;
  const int64_t n = l->superpixels.count;
  l->pairs = o->pairs == PAIRS_ON || (o->pairs == PAIRS_AUTO && o->sampler != SAMPLER_REWEIGHTED);
  if (l->pairs && o->sampler == SAMPLER_REWEIGHTED)
    return error_set(err, ERROR_USAGE, "pairs: a complement is no draw of the reweighted sampler; leave pairs off");
  if (o->select == SELECT_NONE && o->features != PARAM_AUTO_INT)
    return error_set(err, ERROR_USAGE, "features: %lld of the superpixels need a way to select them (select)",
                     (long long)o->features);
  l->samples = o->samples;
  if (o->samples == PARAM_AUTO_INT) {
    l->samples = PER_SUPERPIXEL * n > LEAST_SAMPLES ? PER_SUPERPIXEL * n : LEAST_SAMPLES;
    l->samples *= *o->tolerance ? TOLERANT : 1;
  }
  if (l->samples < n + 2)
    return error_set(err, ERROR_USAGE, "samples: %lld do not determine %lld superpixels, which take %lld at least",
                     (long long)l->samples, (long long)n, (long long)n + 2);
  l->fit_options = (struct surrogate_options){
      .alpha = o->alpha,
      .select = o->select,
      .most = o->features == PARAM_AUTO_INT || o->features > n ? n : o->features,
  };
  return stopping_parse(o->tolerance, l->samples, &l->stopping, err);
}

static bool open_fit(struct lime *l, struct error *err)
{
  const int64_t n = l->superpixels.count;
  l->kernel = mem_zero((size_t)n + 1, sizeof *l->kernel);
  l->sizes = mem_zero((size_t)n + 1, sizeof *l->sizes);
  l->order = mem_zero((size_t)1 << mask_balanced_order(n), sizeof *l->order);
  if (!l->kernel || !l->sizes || !l->order)
    return error_memory(err, "lime");
  if (!design_open(&l->design, l->samples, n, l->n_targets, err) || !surrogate_open(&l->fit, n, l->n_targets, err))
    return false;
  l->design.single = 1;
  l->design.group = l->pairs ? 2 : 1;
  tabulate_kernel(l);
  return true;
}

static bool explain_locally(struct lime *l, struct error *err)
{
  const struct explain *explain = l->explain;
  struct evaluated end;

  /* 1: superpixels, the image itself, everything hidden. */
  if (!superpixels_open(&l->superpixels, explain, &l->options->superpixels, l->out, err) || !set_options(l, err))
    return false;
  const struct precision_trial trial = {
      .seed = explain->seed,
      .samples = l->samples,
      .features = l->superpixels.count,
      .fitted = true,
      .paired = l->pairs,
      .context = l,
      .target = trial_target,
      .propose = trial_propose,
  };
  struct evaluate_options options = explain->evaluate;
  options.use.trial = &trial;
  l->evaluator = evaluator_open(explain->predictor, &options, explain->input->x, err);
  l->targets = mem_zero((size_t)explain->predictor->classes, sizeof *l->targets);
  if (!l->evaluator || !l->targets)
    return l->evaluator ? error_memory(err, "lime") : false;
  if (!explain_targets(explain, evaluator_scores(l->evaluator), l->targets, &l->n_targets, l->out, err) ||
      !superpixels_score_full(&l->superpixels, l->evaluator, err) || !open_fit(l, err))
    return false;
  l->shown = l->out->all_targets ? l->out->target : 0;
  l->share = artifact_share_of(explain, evaluator_scores(l->evaluator), l->out->target);

  /* 2, 3: masks and scores. */
  mask_complement(design_mask(&l->design, 0), l->superpixels.count, design_mask(&l->design, 0));
  take_row(l, evaluator_scores(l->evaluator));
  const struct evaluation what = {
      .stage = "lime",
      .count = l->samples - 1,
      .context = l,
      .propose = propose,
      .result = result,
      .preview = preview,
  };
  if (!evaluate(l->evaluator, &what, &end, err))
    return false;

  /* 4, 5, 6: the fit, its errors, maps. */
  if (!surrogate_fit(&l->fit, &l->design, &l->fit_options, true, err) ||
      !superpixels_maps(&l->superpixels, l->n_targets, l->fit.beta, l->fit.error, err))
    return false;
  report(l, &end);
  if (!json_object_get(l->out->documents, "lime"))
    return error_memory(err, "lime.json");
  return superpixels_report(&l->superpixels, l->fit.beta + l->shown * l->superpixels.count,
                            l->fit.error + l->shown * l->superpixels.count, err);
}

static bool run(const struct explain *explain, const void *options, struct explanation *out, struct error *err)
{
  struct lime l = {.explain = explain, .options = options, .out = out};
  const bool ok = explain_locally(&l, err);
  evaluator_close(l.evaluator);
  superpixels_close(&l.superpixels);
  design_close(&l.design);
  surrogate_close(&l.fit);
  mem_free(l.targets);
  mem_free(l.kernel);
  mem_free(l.sizes);
  mem_free(l.order);
  return ok;
}

const struct method method_lime = {
    .name = "lime",
    .title = "LIME",
    .unit = "score drop",
    .summary = "fit a linear model to scores of the image with superpixels hidden at random",
    .paper =
        "Ribeiro, Singh, Guestrin: \"Why should I trust you?\" Explaining the Predictions of Any Classifier, KDD 2016",
    .needs = NEEDS_PREDICT,
    .params = params,
    .options_size = sizeof(struct options),
    .run = run,
};
