/* SPDX-License-Identifier: Apache-2.0 */
#include "perturb/precision.h"

#include "base/mem.h"
#include "base/rng.h"
#include "perturb/evaluator.h"
#include "tensor/compute.h"

#include <math.h>
#include <string.h>

enum { SIDE = 8, PROBES = SIDE * SIDE, GROUP = 8, GROUPS = PROBES / GROUP };
#define TOLERATED       0.01  /* of the largest change */
#define TOLERATED_SHARE 0.1   /* of the standard error */
#define TOLERATED_NOISE 0.05  /* length of the attributions' difference over their length */
#define ONE_SIDED       1.645 /* 95 % of a normal distribution lie below */

/* Gauss's nodes and weights on [0, 1]. */
enum { NODES = 4 };
static const double node[NODES] = {0.06943184420297371, 0.33000947820757187, 0.66999052179242813, 0.93056815579702629};
static const double weight[NODES] = {0.17392742256872692, 0.32607257743127308, 0.32607257743127308,
                                     0.17392742256872692};

/* What a precision says. */
struct answers {
  float *scores; /* [PROBES + 1, classes] of the image and of the probes */
  double *map;   /* [height, width] attributions of a class, where gradients are used */
};

struct probes {
  const struct predictor *predictor;
  const struct precision_use *use;
  const float *x;
  size_t pixels, image;
  double mean;            /* of the image */
  float *images;          /* [PROBES, image] */
  float *mask, *content;  /* of one perturbation */
  float *node, *gradient; /* [image] */
  unsigned char *keep;    /* [PROBES, features] */
  struct answers full, half;
};

/* ---- perturbations ---------------------------------------------------------------------------------------------- */

/* A group is a square and its complements. Parts are dealt to two sides A and B, with two random halves of each, a, a',
 * b and b'; a + b, a' + b, a + b' and a' + b' are kept in turn, and then what each of them hides. Anything that depends
 * on A plus anything that depends on B cancels in f(a+b) - f(a'+b) - f(a+b') + f(a'+b'). */
static void deal_groups(struct probes *s)
{
  const int64_t n = s->use->trial->features;
  for (int g = 0; g < GROUPS; g++)
    for (int64_t k = 0; k < n; k++) {
      const uint32_t bits = rng_bits(s->use->trial->seed, RNG_START, UINT32_MAX - (uint32_t)g, (uint64_t)k);
      for (int i = 0; i < GROUP; i++) {
        const int side = bits & 1, second = (side ? i >> 1 : i) & 1;
        const unsigned kept = bits >> (1 + second) & 1;
        s->keep[((int64_t)g * GROUP + i) * n + k] = (unsigned char)(i < GROUP / 2 ? kept : !kept);
      }
    }
}

static void occlude(const struct probes *s, int i, float *to)
{
  const struct predictor *p = s->predictor;
  const int patch = (p->height < p->width ? p->height : p->width) / 7 + 1;
  const int y0 = i / SIDE * (p->height - patch) / (SIDE - 1), x0 = i % SIDE * (p->width - patch) / (SIDE - 1);
  memcpy(to, s->x, s->image * sizeof *to);
  for (int y = y0; y < y0 + patch && y < p->height; y++)
    for (int k = x0 * p->channels; k < (x0 + patch) * p->channels && k < p->width * p->channels; k++)
      to[(size_t)y * (size_t)(p->width * p->channels) + (size_t)k] = (float)s->mean;
}

static bool make_probes(struct probes *s, struct error *err)
{
  if (s->use->trial)
    deal_groups(s);
  for (int i = 0; i < PROBES; i++) {
    float *to = s->images + (size_t)i * s->image;
    struct perturbation p = {.kind = PERTURB_RECT, .content = s->content, .mask = s->mask};
    if (!s->use->trial)
      occlude(s, i, to);
    else if (s->use->trial->propose(s->use->trial->context, s->keep + i * s->use->trial->features, i / 2, &p, err))
      perturbation_apply(s->predictor, s->x, &p, to);
    else
      return false;
  }
  return true;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static bool score_probes(const struct probes *s, struct session *session, float *scores, struct error *err)
{
  const int64_t classes = s->predictor->classes;
  const int batch = session->batch < PROBES ? (int)session->batch : PROBES;
  bool ok = session_predict(session, s->x, 1, scores, NULL, err);
  for (int done = 0; ok && done < PROBES; done += batch)
    ok = session_predict(session, s->images + (size_t)done * s->image, PROBES - done < batch ? PROBES - done : batch,
                         scores + (done + 1) * classes, NULL, err);
  return ok;
}

/* A small integrated gradient, from an even grey to the image. */
static bool attribute(const struct probes *s, struct session *session, double *map, struct error *err)
{
  const size_t channels = (size_t)s->predictor->channels;
  memset(map, 0, s->pixels * sizeof *map);
  for (int k = 0; k < NODES; k++) {
    for (size_t i = 0; i < s->image; i++)
      s->node[i] = (float)(s->mean + node[k] * ((double)s->x[i] - s->mean));
    if (!session_backward(session, s->node, 1, s->gradient, NULL, err))
      return false;
    for (size_t i = 0; i < s->image; i++)
      map[i / channels] += weight[k] * (double)s->gradient[i] * ((double)s->x[i] - s->mean);
  }
  return true;
}

static int64_t strongest(const float *scores, int64_t classes)
{
  int64_t best = 0;
  for (int64_t i = 1; i < classes; i++)
    if (scores[i] > scores[best])
      best = i;
  return best;
}

/* Attributions are of the class that is strongest in float32, which answers first. *complete false: the model has no
 * gradient, which is for others to say. */
static bool ask(const struct probes *s, const struct session_options *options, enum precision precision,
                const struct answers *answers, bool *complete, struct error *err)
{
  struct session_options own = *options;
  own.precision = precision;
  own.layer = NULL;
  struct session *session = session_open(s->predictor, &own, err);
  bool ok = session && score_probes(s, session, answers->scores, err);
  *complete = true;
  if (ok && s->use->gradients) {
    const struct backward_request request = {.target = strongest(s->full.scores, s->predictor->classes)};
    struct backward_info info;
    struct error none = {ERROR_NONE};
    *complete = session->ops->begin_backward != NULL && session_begin_backward(session, &request, &info, &none);
    ok = !*complete || attribute(s, session, answers->map, err);
  }
  session_close(session);
  return ok;
}

/* ---- what deviations do to coefficients -------------------------------------------------------------------------- */

struct spread {
  double deviation; /* variance of what bfloat16 changes in a score */
  double slopes;    /* of it: sum over parts of its squared slope, estimated without bias */
  double score;     /* variance of a score */
  double left;      /* of it: what a linear model leaves, for which the part across A and B stands */
  double left_odd;  /* of that: what changes sign with the complement */
};

/* Parts are +1 where kept and -1 where hidden: u. Products of deviations from different groups, which are independent,
 * have the mean E[d_i d_j u_i.u_j] = sum over parts of E[d u]^2. */
static void add_spread(const struct probes *s, int64_t class, struct spread *to)
{
  const int64_t classes = s->predictor->classes, n = s->use->trial->features;
  double d[PROBES], y[PROBES], mean_d = 0, mean_y = 0;
  for (int i = 0; i < PROBES; i++) {
    y[i] = (double)s->full.scores[(i + 1) * classes + class];
    d[i] = (double)s->half.scores[(i + 1) * classes + class] - y[i];
    mean_d += d[i] / PROBES;
    mean_y += y[i] / PROBES;
  }
  for (int i = 0; i < PROBES; i++) {
    d[i] -= mean_d;
    to->deviation += d[i] * d[i] / (PROBES - GROUP);
    to->score += (y[i] - mean_y) * (y[i] - mean_y) / (PROBES - GROUP);
  }
  for (int i = 0; i < PROBES; i++)
    for (int j = 0; j < i / GROUP * GROUP; j++) {
      int64_t same = 0;
      for (int64_t k = 0; k < n; k++)
        same += s->keep[i * n + k] == s->keep[j * n + k];
      to->slopes += d[i] * d[j] * (double)(2 * same - n) * 2 / (PROBES * (PROBES - GROUP));
    }
  for (int g = 0; g < GROUPS; g++) {
    const double *a = y + (ptrdiff_t)g * GROUP, *b = a + GROUP / 2;
    const double first = a[0] - a[1] - a[2] + a[3], second = b[0] - b[1] - b[2] + b[3];
    to->left += (first * first + second * second) / (8 * GROUPS);
    to->left_odd += (first - second) * (first - second) / (16 * GROUPS);
  }
}

/* The coefficients of deviations over the coefficients' standard error. In units of u, a coefficient's variance is
 * v / samples with v what is left of the score's variance, twice the odd part where samples come in pairs. Deviations
 * add their variance / samples, and their own slopes whatever the number of samples: of these the upper end of a
 * one-sided 95 % interval is taken, since an estimate of nothing is small by chance only. */
static double share_of_error(const struct probes *s)
{
  const struct precision_trial *t = s->use->trial;
  const int64_t target = t->target(t->context, s->full.scores);
  struct spread v = {0};
  for (int64_t k = target < 0 ? 0 : target; k < (target < 0 ? s->predictor->classes : target + 1); k++)
    add_spread(s, k, &v);
  const double n = (double)t->features, samples = (double)t->samples;
  const double own = 4 * fmax(v.slopes, 0) * v.deviation / PROBES + 2 * n * pow(v.deviation / PROBES, 2);
  const double bound = v.slopes + ONE_SIDED * sqrt(own);
  const double moved = fmin(fmax(bound, 0), v.deviation) / n + v.deviation / samples;
  const double left = !t->fitted ? v.score : t->paired ? fmin(2 * v.left_odd, v.score) : v.left;
  return moved > 0 ? sqrt(moved / (left / samples)) : 0;
}

/* ---- the decision ------------------------------------------------------------------------------------------------ */

static bool scores_agree(const struct probes *s, struct precision_check *check)
{
  const size_t classes = (size_t)s->predictor->classes, each = (PROBES + 1) * classes;
  const float *full = s->full.scores, *half = s->half.scores;
  for (size_t i = 0; i < each; i++) {
    check->deviation = fmax(check->deviation, fabs((double)half[i] - (double)full[i]));
    check->change = fmax(check->change, fabs((double)full[i] - (double)full[i % classes]));
  }
  check->evaluations = PROBES + 1;
  if (!s->use->trial)
    return check->deviation < TOLERATED * check->change;
  check->sampled = true;
  check->share = share_of_error(s);
  return check->share < TOLERATED_SHARE;
}

/* Attributions of nothing deviate by NAN, which is below no bound. */
static bool gradients_agree(const struct probes *s, struct precision_check *check)
{
  double difference = 0, square = 0;
  if (!s->use->gradients)
    return true;
  for (size_t i = 0; i < s->pixels; i++) {
    difference += pow(s->full.map[i] - s->half.map[i], 2);
    square += pow(s->full.map[i], 2);
  }
  check->gradients = NODES;
  check->gradient_deviation = sqrt(difference / square);
  return check->gradient_deviation < TOLERATED_NOISE;
}

static bool decide(struct probes *s, struct session_options *options, struct precision_check *check, struct error *err)
{
  bool complete;
  if (!make_probes(s, err) || !ask(s, options, PRECISION_F32, &s->full, &complete, err) ||
      (complete && !ask(s, options, PRECISION_BF16, &s->half, &complete, err)))
    return false;
  if (!complete)
    return true;
  const bool scores = scores_agree(s, check), gradients = gradients_agree(s, check);
  if (scores && gradients)
    options->precision = check->used = PRECISION_BF16;
  return true;
}

bool precision_decide(const struct predictor *p, struct session_options *options, const float *x,
                      const struct precision_use *use, struct precision_check *check, struct error *err)
{
  options->precision = check->used = PRECISION_F32;
  if (!compute_has_bf16() || !p->layered)
    return true;
  const size_t pixels = (size_t)p->height * (size_t)p->width, image = pixels * (size_t)p->channels;
  const size_t each = (size_t)(PROBES + 1) * (size_t)p->classes;
  float *floats = mem_alloc(((PROBES + 3) * image + pixels + 2 * each) * sizeof *floats);
  double *maps = mem_alloc((use->gradients ? 2 * pixels : 1) * sizeof *maps);
  unsigned char *keep = mem_alloc(PROBES * (use->trial ? (size_t)use->trial->features : 1));
  bool ok = (floats && maps && keep) || error_memory(err, "the check of bf16");
  if (ok) {
    struct probes s = {.predictor = p, .use = use, .x = x, .pixels = pixels, .image = image, .keep = keep};
    s.images = floats;
    s.content = s.images + PROBES * image;
    s.node = s.content + image;
    s.gradient = s.node + image;
    s.mask = s.gradient + image;
    s.full = (struct answers){s.mask + pixels, maps};
    s.half = (struct answers){s.full.scores + each, use->gradients ? maps + pixels : maps};
    for (size_t i = 0; i < image; i++)
      s.mean += (double)x[i] / (double)image;
    ok = decide(&s, options, check, err);
  }
  mem_free(floats);
  mem_free(maps);
  mem_free(keep);
  return ok;
}
