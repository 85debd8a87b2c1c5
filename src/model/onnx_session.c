/* SPDX-License-Identifier: Apache-2.0 */
#include "model/onnx_session.h"

#include "base/mem.h"
#include "base/threads.h"
#include "graph/lower.h"
#include "graph/run.h"
#include "model/model.h"
#include "model/onnx_sweep.h"
#include "model/scores.h"

#include <pthread.h>
#include <string.h>

enum { MAX_CHANGES = 64 };                    /* positions of one incremental call */
enum { MAX_LOCKSTEP = 32, MIN_LOCKSTEP = 2 }; /* sequences that step at once */

/* Windows are used where they leave at most this share of the work: below that, gathering eats the gain. */
#define WORTHWHILE_SHARE 0.85

enum { MAX_BATCH_LOG2 = 5 }; /* larger batches are no faster, and memory grows with them */

#define DEFAULT_MEMORY ((size_t)1 << 30)

struct onnx_session {
  struct session base;
  const struct model *model;
  struct session_options options; /* that it was opened with; threads as a number, `layer` its own */
  bool left_over;                 /* windows and sweeps are those of a former run */
  struct compute *compute;
  struct graph *graph;                  /* fused */
  struct value *raw, *layer;            /* of the fused graph */
  struct run *runs[MAX_BATCH_LOG2 + 1]; /* for 1, 2, 4 … samples, made on first need */
  void *memory;
  size_t memory_bytes;
  size_t limit;                /* bytes, from the options */
  size_t beside;               /* bytes in use beside windows: a run on one image, the caller's images */
  struct increment *increment; /* for changes of increment_height x increment_width, or NULL */
  int increment_height, increment_width, increment_batch;
  struct increment *sequences; /* for sequences_wanted sequences of such changes, or fewer */
  int sequences_height, sequences_width, sequences_wanted, lockstep;
  float *raw_changes;       /* [MAX_CHANGES, outputs] */
  struct onnx_sweep *sweep; /* made on first need */
};

static void free_increment(struct onnx_session *s)
{
  increment_free(s->increment);
  s->increment = NULL;
  s->increment_height = s->increment_width = s->increment_batch = 0;
}

static void free_sequences(struct onnx_session *s)
{
  increment_free(s->sequences);
  s->sequences = NULL;
  s->sequences_height = s->sequences_width = s->sequences_wanted = s->lockstep = 0;
}

static void free_sweep(struct onnx_session *s)
{
  onnx_sweep_free(s->sweep);
  s->sweep = NULL;
}

/* What a run does beyond passes over whole images. */
enum kind { IMAGES, CHANGES, SEQUENCES, SWEEPS };

/* What a former run has left of other kinds goes, so that a run's memory stays within its limit: before windows and
 * sweeps the activations of more than one image, and before many images windows and sweeps. */

static void drop_left_over(struct onnx_session *s, enum kind kept)
{
  if (!s->left_over)
    return;
  s->left_over = false;
  if (kept != CHANGES)
    free_increment(s);
  if (kept != SEQUENCES)
    free_sequences(s);
  if (kept != SWEEPS)
    free_sweep(s);
  if (kept != IMAGES && s->memory_bytes > (s->runs[0] ? run_bytes(s->runs[0]) : 0)) {
    mem_unmap(s->memory, s->memory_bytes);
    s->memory = NULL;
    s->memory_bytes = 0;
  }
}

static void session_free(struct onnx_session *s)
{
  if (!s)
    return;
  for (int i = 0; i <= MAX_BATCH_LOG2; i++)
    run_free(s->runs[i]);
  mem_unmap(s->memory, s->memory_bytes);
  free_increment(s);
  free_sequences(s);
  free_sweep(s);
  mem_free(s->raw_changes);
  graph_free(s->graph);
  compute_close(s->compute);
  mem_free((char *)(uintptr_t)s->options.layer);
  mem_free(s);
}

/* ---- between runs ---------------------------------------------------------------------------------------------- */

struct onnx_idle {
  pthread_mutex_t lock;
  struct onnx_session *session;
};

struct onnx_idle *onnx_idle_new(struct error *err)
{
  struct onnx_idle *idle = mem_zero(1, sizeof *idle);
  if (!idle) {
    error_memory(err, "a model");
    return NULL;
  }
  pthread_mutex_init(&idle->lock, NULL);
  return idle;
}

void onnx_idle_free(struct onnx_idle *idle)
{
  if (!idle)
    return;
  session_free(idle->session);
  pthread_mutex_destroy(&idle->lock);
  mem_free(idle);
}

/* What waits, or NULL, and `next` waits in its place. */
static struct onnx_session *exchange(struct onnx_idle *idle, struct onnx_session *next)
{
  pthread_mutex_lock(&idle->lock);
  struct onnx_session *waited = idle->session;
  idle->session = next;
  pthread_mutex_unlock(&idle->lock);
  return waited;
}

static void close_session(struct session *base)
{
  struct onnx_session *s = (struct onnx_session *)base;
  s->left_over = true;
  session_free(base->failed ? s : exchange(s->model->idle, s));
}

static bool same_options(const struct session_options *a, const struct session_options *b)
{
  return a->score == b->score && a->threads == b->threads && a->memory == b->memory && a->precision == b->precision &&
         a->exact_full == b->exact_full &&
         (a->layer && b->layer ? strcmp(a->layer, b->layer) == 0 : a->layer == b->layer);
}

/* ---- images ---------------------------------------------------------------------------------------------------- */

/* The run for 2^log2 samples, bound to the session's memory. */
static struct run *run_for(struct onnx_session *s, int log2, struct error *err)
{
  if (!s->runs[log2])
    s->runs[log2] = run_new(s->graph, s->compute, (int64_t)1 << log2, &s->layer, s->layer != NULL, false, err);
  struct run *run = s->runs[log2];
  if (!run)
    return NULL;
  if (run_bytes(run) > s->memory_bytes) {
    drop_left_over(s, IMAGES);
    void *larger = mem_map(run_bytes(run));
    if (!larger) {
      error_memory(err, "activations");
      return NULL;
    }
    mem_unmap(s->memory, s->memory_bytes);
    s->memory = larger;
    s->memory_bytes = run_bytes(run);
  }
  run_bind(run, s->memory);
  return run;
}

static void to_scores(const struct onnx_session *s, const float *raw, float *scores)
{
  scores_of(s->model, s->options.score, raw, scores);
}

static bool predict(struct session *base, const float *images, int64_t n, float *scores, float *activations,
                    struct error *err)
{
  struct onnx_session *s = (struct onnx_session *)base;
  const struct predictor *p = base->predictor;
  const size_t image = (size_t)p->height * (size_t)p->width * (size_t)p->channels;
  const size_t map = s->layer ? (size_t)tensor_count(&s->layer->t) : 0;
  for (int64_t done = 0; done < n;) {
    int log2 = MAX_BATCH_LOG2;
    while (((int64_t)1 << log2) > n - done)
      log2--;
    const int64_t m = (int64_t)1 << log2;
    struct run *run = run_for(s, log2, err);
    if (!run)
      return false;
    memcpy(run_input(run, 0), images + (size_t)done * image, (size_t)m * image * sizeof *images);
    if (!run_execute(run, err))
      return false;
    const float *raw = run_value(run, s->raw);
    for (int64_t i = 0; i < m; i++)
      to_scores(s, raw + i * s->model->outputs, scores + (done + i) * p->classes);
    if (activations)
      memcpy(activations + (size_t)done * map, run_value(run, s->layer), (size_t)m * map * sizeof *activations);
    done += m;
  }
  return true;
}

/* Windows for changes of this size with the largest batch that stays within the memory limit. */
static bool make_increment(struct onnx_session *s, int height, int width, struct error *err)
{
  free_increment(s);
  free_sequences(s);
  s->increment_height = height;
  s->increment_width = width;
  const struct predictor *p = s->base.predictor;
  const size_t rect = (size_t)height * (size_t)width * (size_t)p->channels * sizeof(float);
  const size_t own = rect + (s->layer ? tensor_bytes(&s->layer->t) : 0) + (size_t)p->classes * sizeof(float);
  for (s->increment_batch = MAX_CHANGES; s->increment_batch >= 1; s->increment_batch /= 2) {
    const struct increment_options options = {height, width, s->increment_batch, 1, s->layer};
    s->increment = increment_new(s->graph, s->compute, &options, err);
    if (!s->increment)
      return false;
    if (s->beside + increment_bytes(s->increment) + (size_t)s->increment_batch * own <= s->limit)
      return true;
    increment_free(s->increment);
    s->increment = NULL;
  }
  s->increment_batch = 0; /* the plain path needs less; its last bits may be others */
  return true;
}

static bool need_raw_changes(struct onnx_session *s, struct error *err)
{
  if (!s->raw_changes)
    s->raw_changes = mem_zero((size_t)MAX_CHANGES * (size_t)s->model->outputs, sizeof *s->raw_changes);
  return s->raw_changes != NULL || error_memory(err, "scores");
}

static bool begin_changes(struct session *base, const float *image, int height, int width, int *batch,
                          struct error *err)
{
  struct onnx_session *s = (struct onnx_session *)base;
  double share;
  *batch = 0;
  if (s->options.exact_full)
    return true;
  drop_left_over(s, CHANGES);
  if (height != s->increment_height || width != s->increment_width) {
    if (!increment_share(s->graph, &(struct increment_options){.height = height, .width = width}, &share, err))
      return false;
    s->increment_batch = 0;
    if (share <= WORTHWHILE_SHARE && !make_increment(s, height, width, err))
      return false;
    s->increment_height = height;
    s->increment_width = width;
  }
  if (!s->increment_batch)
    return true;
  if (!need_raw_changes(s, err))
    return false;
  *batch = s->increment_batch;
  return increment_base(s->increment, 0, image, err);
}

static bool predict_changes(struct session *base, const struct change *changes, int n, float *scores,
                            float *activations, struct error *err)
{
  struct onnx_session *s = (struct onnx_session *)base;
  if (!increment_run(s->increment, changes, n, s->raw_changes, activations, err))
    return false;
  for (int i = 0; i < n; i++)
    to_scores(s, s->raw_changes + i * s->model->outputs, scores + i * base->predictor->classes);
  return true;
}

/* Windows for as many sequences in lockstep as the memory limit allows, each with a base run of its own. */
static bool make_sequences(struct onnx_session *s, int height, int width, int n, struct error *err)
{
  double share;
  free_sequences(s);
  s->sequences_height = height;
  s->sequences_width = width;
  s->sequences_wanted = n;
  if (!increment_share(s->graph, &(struct increment_options){.height = height, .width = width}, &share, err))
    return false;
  int batch = share <= WORTHWHILE_SHARE ? n : 0;
  while (batch >= MIN_LOCKSTEP) {
    const struct increment_options options = {height, width, batch, batch, NULL};
    s->sequences = increment_new(s->graph, s->compute, &options, err);
    if (!s->sequences)
      return false;
    const size_t bytes = increment_bytes(s->sequences);
    if (bytes <= s->limit) {
      s->lockstep = batch;
      return true;
    }
    increment_free(s->sequences);
    s->sequences = NULL;
    const int fits = (int)((double)batch * ((double)s->limit / (double)bytes)); /* bytes grow with the batch */
    batch = fits < batch ? fits : batch - 1;
  }
  return true; /* the plain path needs less */
}

static bool begin_sequences(struct session *base, const float *const *bases, int n, int height, int width,
                            int *lockstep, struct error *err)
{
  struct onnx_session *s = (struct onnx_session *)base;
  const int wanted = n < MIN_LOCKSTEP ? MIN_LOCKSTEP : n < MAX_LOCKSTEP ? n : MAX_LOCKSTEP;
  *lockstep = 0;
  if (s->options.exact_full)
    return true;
  drop_left_over(s, SEQUENCES);
  free_increment(s); /* one kind of windows at a time holds the memory limit */
  if ((height != s->sequences_height || width != s->sequences_width || wanted > s->sequences_wanted) &&
      !make_sequences(s, height, width, wanted, err))
    return false;
  if (!s->lockstep)
    return true;
  if (!need_raw_changes(s, err))
    return false;
  *lockstep = n < s->lockstep ? n : s->lockstep;
  for (int i = 0; i < *lockstep; i++)
    if (i > 0 && bases[i] == bases[i - 1])
      increment_copy_base(s->sequences, i - 1, i);
    else if (!increment_base(s->sequences, i, bases[i], err))
      return false;
  return true;
}

static bool step_sequences(struct session *base, const struct change *changes, int n, float *scores, struct error *err)
{
  struct onnx_session *s = (struct onnx_session *)base;
  if (!increment_step(s->sequences, changes, n, s->raw_changes, err))
    return false;
  for (int i = 0; i < n; i++)
    to_scores(s, s->raw_changes + i * s->model->outputs, scores + i * base->predictor->classes);
  return true;
}

/* Sweeps get what one forward pass and the caller's images leave. */
static bool begin_backward(struct session *base, const struct backward_request *request, struct backward_info *info,
                           struct error *err)
{
  struct onnx_session *s = (struct onnx_session *)base;
  drop_left_over(s, SWEEPS);
  if (!s->sweep) {
    const size_t taken = s->memory_bytes;
    const size_t left = s->limit > taken ? s->limit - taken : 0;
    s->sweep = onnx_sweep_new(s->model, s->compute, s->options.score, s->options.precision, left, err);
  }
  return s->sweep && onnx_sweep_begin(s->sweep, request, info, err);
}

static bool backward(struct session *base, const float *images, int64_t n, float *results, float *scores,
                     struct error *err)
{
  return onnx_sweep_run(((struct onnx_session *)base)->sweep, images, n, results, scores, err);
}

static float *backward_room(struct session *base, int64_t *n, struct error *err)
{
  return onnx_sweep_room(((struct onnx_session *)base)->sweep, n, err);
}

static bool backward_there(struct session *base, const float **results, float *scores, struct error *err)
{
  return onnx_sweep_there(((struct onnx_session *)base)->sweep, results, scores, err);
}

static bool stem(struct session *base, const float *image, float *to, struct error *err)
{
  return onnx_sweep_stem(((struct onnx_session *)base)->sweep, image, to, err);
}

static bool stem_back(struct session *base, const float *signal, float *gradient, struct error *err)
{
  return onnx_sweep_stem_back(((struct onnx_session *)base)->sweep, signal, gradient, err);
}

static const struct session_ops session_ops = {
    .predict = predict,
    .begin_backward = begin_backward,
    .backward = backward,
    .backward_room = backward_room,
    .backward_there = backward_there,
    .stem = stem,
    .stem_back = stem_back,
    .begin_changes = begin_changes,
    .predict_changes = predict_changes,
    .begin_sequences = begin_sequences,
    .step_sequences = step_sequences,
    .close = close_session,
};

/* The largest batch whose activations, images and copies of the layer stay within the limit. */
static bool choose_batch(struct onnx_session *s, size_t limit, struct error *err)
{
  const struct predictor *p = s->base.predictor;
  size_t sample;
  if (!run_bytes_per_sample(s->graph, &s->layer, s->layer != NULL, false, &sample, err))
    return false;
  const size_t image = (size_t)p->height * (size_t)p->width * (size_t)p->channels * sizeof(float);
  const size_t map = s->layer ? tensor_bytes(&s->layer->t) : 0;
  const size_t own = image + map + (size_t)p->classes * sizeof(float); /* what the caller holds for a sample */
  const size_t each = sample + own + (sample >> 3);                    /* an eighth for kernels' scratch */
  if (each > limit)
    return error_set(err, ERROR_USAGE, "memory: %zu MiB is too little, one image of this model needs %zu MiB",
                     limit >> 20, (each >> 20) + 1);
  s->base.batch = run_best_batch(s->graph, (int64_t)1 << MAX_BATCH_LOG2);
  while (s->base.batch > 1 && each > limit / (size_t)s->base.batch)
    s->base.batch /= 2;
  s->base.memory = limit - (size_t)s->base.batch * (each - own);
  s->beside = each + (size_t)s->base.batch * own;
  return true;
}

static bool prepare_session(struct onnx_session *s, const struct session_options *options, struct error *err)
{
  const struct model *model = s->model;
  struct value *layer = NULL;
  s->options = *options;
  s->options.layer = NULL;
  if (options->layer && !(s->options.layer = mem_strdup(options->layer)))
    return error_memory(err, "a session");
  if ((options->layer && !(layer = model_layer(model, options->layer, err))) || !(s->compute = compute_open(err)) ||
      !(s->graph = graph_fused(model->graph, FUSE_ALL, &layer, layer != NULL, err)))
    return false;
  if (options->precision == PRECISION_BF16 && !compute_has_bf16())
    return error_set(err, ERROR_USAGE, "precision: bf16 needs a CPU with AVX512-BF16, which this one lacks");
  if (options->precision == PRECISION_BF16 &&
      !graph_lower_bf16(s->graph, layer ? &s->graph->values[layer->id] : NULL, layer != NULL, false, err))
    return false;
  s->raw = s->graph->outputs[0];
  if (layer) {
    s->layer = s->graph->values[layer->id];
    s->base.layer.name = s->layer->name;
    s->base.layer.channels = (int)layer->t.shape.dim[1];
    s->base.layer.height = (int)layer->t.shape.dim[2];
    s->base.layer.width = (int)layer->t.shape.dim[3];
  }
  s->limit = options->memory ? options->memory : DEFAULT_MEMORY;
  return choose_batch(s, s->limit, err);
}

static struct session *open_session(const struct predictor *predictor, const struct session_options *options,
                                    struct error *err)
{
  const struct model *model = (const struct model *)predictor; /* its first member */
  struct session_options wanted = *options;
  wanted.threads = threads_used();
  struct onnx_session *s = exchange(model->idle, NULL);
  if (s && same_options(&s->options, &wanted))
    return &s->base;
  session_free(s);
  s = mem_zero(1, sizeof *s);
  if (!s) {
    error_memory(err, "a session");
    return NULL;
  }
  s->base.ops = &session_ops;
  s->base.predictor = predictor;
  s->model = model;
  if (prepare_session(s, &wanted, err))
    return &s->base;
  session_free(s);
  return NULL;
}

const struct predictor_ops onnx_predictor_ops = {.open = open_session};
