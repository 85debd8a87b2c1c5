/* SPDX-License-Identifier: Apache-2.0 */
#include "model/onnx_sweep.h"

#include "base/mem.h"
#include "graph/grad.h"
#include "graph/lower.h"
#include "graph/plan.h"
#include "model/scores.h"

#include <string.h>

enum { MAX_BATCH_LOG2 = 4 }; /* images of one sweep: more are no faster, and activations are kept */
/* Large images are no faster beyond a few, and memory that is new to a run costs more than it saves. */
enum { FEW = 4, PLENTY = 1 << 28 };

struct onnx_sweep {
  const struct model *model;
  struct compute *compute;
  enum score score;
  enum precision precision;
  size_t limit;
  struct backward_request request;
  struct backward_info info;
  const struct value *from, *to; /* of the model's graph; NULL: nothing begun */
  const struct value *behind;    /* the stem's output, or NULL */
  struct graph *graph;           /* fused, ends at `from` */
  struct graph *rest;            /* what of it is behind the stem, or NULL */
  struct grad *runs[MAX_BATCH_LOG2 + 1];
  int ready; /* log2 of the images for which room was given last */
  void *memory;
  size_t memory_bytes;
  struct graph *stem_graph; /* ends at `behind` */
  struct grad *stem;
  void *stem_memory;
};

struct onnx_sweep *onnx_sweep_new(const struct model *model, struct compute *compute, enum score score,
                                  enum precision precision, size_t limit, struct error *err)
{
  struct onnx_sweep *s = mem_zero(1, sizeof *s);
  if (!s) {
    error_memory(err, "a sweep");
    return NULL;
  }
  s->model = model;
  s->compute = compute;
  s->score = score;
  s->precision = precision;
  s->limit = limit;
  return s;
}

static void reset(struct onnx_sweep *s)
{
  for (int i = 0; i <= MAX_BATCH_LOG2; i++) {
    grad_free(s->runs[i]);
    s->runs[i] = NULL;
  }
  if (s->stem)
    mem_unmap(s->stem_memory, grad_bytes(s->stem));
  grad_free(s->stem);
  graph_free(s->rest);
  graph_free(s->stem_graph);
  graph_free(s->graph);
  s->stem = NULL;
  s->stem_memory = NULL;
  s->rest = s->stem_graph = s->graph = NULL;
  s->from = s->to = s->behind = NULL;
}

void onnx_sweep_free(struct onnx_sweep *s)
{
  if (!s)
    return;
  reset(s);
  mem_unmap(s->memory, s->memory_bytes);
  mem_free(s);
}

/* ---- the stem -------------------------------------------------------------------------------------------------- */

/* Whether a node is an affine map of its only operand that varies. */
static bool is_affine(const struct node *node)
{
  static const char *const always[] = {"Conv",
                                       "Affine",
                                       "BatchNormalization",
                                       "Add",
                                       "Sub",
                                       "Mul",
                                       "AveragePool",
                                       "GlobalAveragePool",
                                       "Transpose",
                                       "ChangeLayout",
                                       "MatMul",
                                       "Gemm",
                                       "Concat",
                                       "Slice",
                                       "Neg",
                                       "Resize",
                                       "Upsample",
                                       "Expand",
                                       "Pad",
                                       "SpaceToDepth",
                                       "DepthToSpace",
                                       "ReduceMean",
                                       "ReduceSum",
                                       "Dropout"};
  int varying = 0;
  for (int i = 0; i < node->n_in; i++)
    varying += node->in[i] && !node->in[i]->t.data;
  if (varying != 1 || node->n_post || node->residual || node->out[0]->t.dtype != DTYPE_F32)
    return false;
  if (node_is_view(node))
    return true;
  if (strcmp(node->type, "Div") == 0)
    return node->in[1] && node->in[1]->t.data;
  for (size_t i = 0; i < sizeof always / sizeof *always; i++)
    if (strcmp(node->type, always[i]) == 0)
      return true;
  return false;
}

static const struct node *only_reader(const struct graph *graph, const struct value *value)
{
  if (value->uses != 1)
    return NULL;
  for (int i = 0; i < graph->n_nodes; i++)
    for (int k = 0; k < graph->nodes[i]->n_in; k++)
      if (graph->nodes[i]->in[k] == value)
        return graph->nodes[i];
  return NULL;
}

/* The last value that is an affine map of the image and all that the rest sees of it; NULL where nothing is saved. */
static const struct value *find_stem(const struct graph *graph)
{
  const struct value *at = graph->inputs[0];
  const struct node *next;
  int64_t macs = 0;
  while ((next = only_reader(graph, at)) != NULL && is_affine(next)) {
    macs += node_macs(next);
    at = next->out[0];
  }
  return macs > 0 && at != graph->outputs[0] ? at : NULL;
}

/* A fused copy of the model's graph that ends at `end`. */
static struct graph *graph_to(const struct onnx_sweep *s, const struct value *end, struct error *err)
{
  struct value *keep[3];
  int n = 0;
  const struct value *visible[3] = {s->from, s->to, s->behind};
  for (int i = 0; i < 3; i++)
    if (visible[i])
      keep[n++] = s->model->graph->values[visible[i]->id];
  struct graph *graph = graph_fused(s->model->graph, FUSE_REVERSIBLE, keep, n, err);
  if (!graph)
    return NULL;
  graph->outputs[0] = graph->values[end->id];
  graph->n_outputs = 1;
  graph_prune(graph);
  return graph;
}

/* What runs for every image. */
static bool lower(struct onnx_sweep *s, struct error *err)
{
  struct graph *graph = s->rest ? s->rest : s->graph;
  struct value *keep[3];
  int n = 0;
  const struct value *visible[3] = {s->from, s->to, s->behind};
  for (int i = 0; i < 3; i++)
    if (visible[i])
      keep[n++] = graph->values[visible[i]->id];
  return s->precision != PRECISION_BF16 || graph_lower_bf16(graph, keep, n, true, err);
}

/* Everything up to the stem's output is known to the rest. */
static bool split_at_stem(struct onnx_sweep *s, struct error *err)
{
  s->stem_graph = graph_to(s, s->behind, err);
  if (!s->stem_graph)
    return false;
  bool *known = mem_zero((size_t)s->graph->n_values + 1, sizeof *known);
  if (!known)
    return error_memory(err, "a sweep");
  known[s->graph->inputs[0]->id] = true;
  for (int i = 0; i < s->stem_graph->n_nodes; i++)
    known[s->stem_graph->nodes[i]->out[0]->id] = true;
  s->rest = graph_rest(s->graph, known, err);
  mem_free(known);
  const struct grad_options options = {
      .from = s->stem_graph->values[s->behind->id], .to = s->stem_graph->inputs[0], .rule = RULE_GRADIENT};
  if (!s->rest || !(s->stem = grad_new(s->stem_graph, s->compute, 1, &options, err)))
    return false;
  if (!(s->stem_memory = mem_map(grad_bytes(s->stem))))
    return error_memory(err, "activations");
  grad_bind(s->stem, s->stem_memory);
  return true;
}

/* ---- begin ----------------------------------------------------------------------------------------------------- */

static const struct graph *graph_of(const struct onnx_sweep *s)
{
  return s->rest ? s->rest : s->graph;
}

/* Where a result is: the stem's output, a layer, or the image. */
static const struct value *end_of(const struct onnx_sweep *s)
{
  return s->rest ? s->behind : s->to;
}

static struct grad_options options_of(const struct onnx_sweep *s)
{
  const struct graph *graph = graph_of(s);
  return (struct grad_options){.from = graph->values[s->from->id],
                               .to = graph->values[end_of(s)->id],
                               .rule = s->request.rule,
                               .keep = &graph->values[s->from->id],
                               .n_keep = 1};
}

static int64_t input_count(const struct onnx_sweep *s)
{
  return tensor_count(&graph_of(s)->inputs[0]->t);
}

static bool choose_batch(struct onnx_sweep *s, struct error *err)
{
  const struct grad_options options = options_of(s);
  size_t sample;
  if (!grad_bytes_per_sample(graph_of(s), &options, &sample, err))
    return false;
  const size_t own =
      ((size_t)input_count(s) + (size_t)tensor_count(&end_of(s)->t) + (size_t)s->model->predictor.classes) *
      sizeof(float);                                /* what the caller holds for a sample */
  const size_t each = sample + own + (sample >> 3); /* an eighth for kernels' scratch */
  const size_t stem = s->stem ? grad_bytes(s->stem) : 0;
  if (each + stem > s->limit)
    return error_set(err, ERROR_USAGE, "memory: too little is left, a gradient of this model needs %zu MiB more",
                     ((each + stem - s->limit) >> 20) + 1);
  s->info.batch = (int64_t)1 << MAX_BATCH_LOG2;
  while ((s->info.batch > 1 && each > (s->limit - stem) / (size_t)s->info.batch) ||
         (s->info.batch > FEW && each > PLENTY / (size_t)s->info.batch))
    s->info.batch /= 2;
  return true;
}

/* [height, width, channels] of an image or a layer, which is channels-last. */
static void extent(const struct onnx_sweep *s, const struct value *value, int *height, int *width, int *channels)
{
  const struct shape *shape = &value->t.shape;
  const struct predictor *p = &s->model->predictor;
  const bool image = value == s->model->graph->inputs[0];
  *height = image ? p->height : (int)shape->dim[2];
  *width = image ? p->width : (int)shape->dim[3];
  *channels = image ? p->channels : (int)shape->dim[1];
}

static bool begin_anew(struct onnx_sweep *s, struct error *err)
{
  const struct backward_request *request = &s->request;
  const struct graph *graph = s->model->graph;
  s->info = (struct backward_info){0};
  if (request->stem && !request->from && !request->to)
    s->behind = find_stem(graph);
  if (!(s->graph = graph_to(s, s->from, err)) || (s->behind && !split_at_stem(s, err)) || !lower(s, err) ||
      !choose_batch(s, err))
    return false;
  const struct grad_options options = options_of(s);
  s->runs[0] = grad_new(graph_of(s), s->compute, 1, &options, err);
  if (!s->runs[0])
    return false;
  const struct grad_path path = grad_path(s->runs[0]);
  s->info.rectifiers = path.rectifiers;
  s->info.activations = path.activations;
  s->info.activation = path.activation;
  s->info.straight = path.straight;
  s->info.stem = s->rest ? tensor_count(&s->behind->t) : 0;
  extent(s, s->to, &s->info.height, &s->info.width, &s->info.channels);
  if (request->from)
    extent(s, s->from, &s->info.from_height, &s->info.from_width, &s->info.from_channels);
  return true;
}

bool onnx_sweep_begin(struct onnx_sweep *s, const struct backward_request *request, struct backward_info *info,
                      struct error *err)
{
  const struct predictor *p = &s->model->predictor;
  if (!request->from && (request->target < 0 || request->target >= p->classes))
    return error_set(err, ERROR_USAGE, "target: class %lld is outside 0..%lld (bad-target)", (long long)request->target,
                     (long long)p->classes - 1);
  const struct graph *graph = s->model->graph;
  const struct value *from = request->from ? model_layer(s->model, request->from, err) : graph->outputs[0];
  const struct value *to = request->to ? model_layer(s->model, request->to, err) : graph->inputs[0];
  if (!from || !to)
    return false;
  const bool same =
      from == s->from && to == s->to && s->request.rule == request->rule && s->request.stem == request->stem;
  s->request = *request;
  if (!same) {
    reset(s);
    s->from = from;
    s->to = to;
    if (!begin_anew(s, err)) {
      reset(s);
      return false;
    }
  }
  *info = s->info;
  return true;
}

/* ---- run ------------------------------------------------------------------------------------------------------- */

static struct grad *run_for(struct onnx_sweep *s, int log2, struct error *err)
{
  if (!s->runs[log2]) {
    const struct grad_options options = options_of(s);
    s->runs[log2] = grad_new(graph_of(s), s->compute, (int64_t)1 << log2, &options, err);
    if (!s->runs[log2])
      return NULL;
  }
  const size_t bytes = grad_bytes(s->runs[log2]);
  if (bytes > s->memory_bytes) {
    mem_unmap(s->memory, s->memory_bytes); /* first: two at once would be more than was promised */
    s->memory = mem_map(bytes);
    s->memory_bytes = s->memory ? bytes : 0;
    if (!s->memory) {
      error_memory(err, "activations");
      return NULL;
    }
  }
  grad_bind(s->runs[log2], s->memory);
  return s->runs[log2];
}

static bool fill_seed(struct onnx_sweep *s, struct grad *g, int64_t first, int64_t n, float *scores, struct error *err)
{
  const struct value *from = graph_of(s)->values[s->from->id];
  const int64_t count = tensor_count(&from->t);
  const float *values = run_value(grad_run(g), from);
  float *seed = grad_seed(g);
  if (s->request.from)
    memset(seed, 0, (size_t)(n * count) * sizeof *seed);
  for (int64_t i = 0; i < n; i++) {
    if (s->request.from) {
      if (!s->request.seed(s->request.context, first + i, values + i * count, seed + i * count, err))
        return false;
      continue;
    }
    if (scores)
      scores_of(s->model, s->score, values + i * count, scores + i * s->model->predictor.classes);
    scores_slope(s->model, s->request.logit ? SCORE_LOGIT : s->score, values + i * count, s->request.target,
                 seed + i * count);
  }
  return true;
}

/* The largest run for at most n images. */
static int log2_for(const struct onnx_sweep *s, int64_t n)
{
  int log2 = MAX_BATCH_LOG2;
  while (((int64_t)1 << log2) > n || ((int64_t)1 << log2) > s->info.batch)
    log2--;
  return log2;
}

float *onnx_sweep_room(struct onnx_sweep *s, int64_t *n, struct error *err)
{
  s->ready = log2_for(s, *n);
  *n = (int64_t)1 << s->ready;
  struct grad *g = run_for(s, s->ready, err);
  return g ? run_input(grad_run(g), 0) : NULL;
}

bool onnx_sweep_there(struct onnx_sweep *s, const float **results, float *scores, struct error *err)
{
  struct grad *g = s->runs[s->ready];
  if (!run_execute(grad_run(g), err) || !fill_seed(s, g, 0, (int64_t)1 << s->ready, scores, err) ||
      !grad_execute(g, err))
    return false;
  *results = grad_result(g);
  return true;
}

bool onnx_sweep_run(struct onnx_sweep *s, const float *images, int64_t n, float *results, float *scores,
                    struct error *err)
{
  const size_t in = (size_t)input_count(s), out = (size_t)tensor_count(&end_of(s)->t);
  for (int64_t done = 0; done < n;) {
    const int log2 = log2_for(s, n - done);
    const int64_t m = (int64_t)1 << log2;
    struct grad *g = run_for(s, log2, err);
    if (!g)
      return false;
    memcpy(run_input(grad_run(g), 0), images + (size_t)done * in, (size_t)m * in * sizeof *images);
    if (!run_execute(grad_run(g), err) ||
        !fill_seed(s, g, done, m, scores ? scores + done * s->model->predictor.classes : NULL, err) ||
        !grad_execute(g, err))
      return false;
    memcpy(results + (size_t)done * out, grad_result(g), (size_t)m * out * sizeof *results);
    done += m;
  }
  return true;
}

bool onnx_sweep_stem(struct onnx_sweep *s, const float *image, float *stem, struct error *err)
{
  const struct value *behind = s->stem_graph->values[s->behind->id];
  memcpy(run_input(grad_run(s->stem), 0), image, tensor_bytes(&s->stem_graph->inputs[0]->t));
  if (!run_execute(grad_run(s->stem), err))
    return false;
  memcpy(stem, run_value(grad_run(s->stem), behind), tensor_bytes(&behind->t));
  return true;
}

bool onnx_sweep_stem_back(struct onnx_sweep *s, const float *signal, float *gradient, struct error *err)
{
  memcpy(grad_seed(s->stem), signal, tensor_bytes(&s->behind->t));
  if (!grad_execute(s->stem, err))
    return false;
  memcpy(gradient, grad_result(s->stem), tensor_bytes(&s->stem_graph->inputs[0]->t));
  return true;
}
