/* SPDX-License-Identifier: Apache-2.0 */
/* Predicting and explaining: open what is needed, run the method, carry its map back to the source image. */
#include "api/object.h"
#include "base/json.h"
#include "base/str.h"
#include "methods/fills_each.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

bool api_preprocess(const struct penumbra_model *model, const struct penumbra_image *image, struct input *input,
                    struct error *err)
{
  return preprocess(model->card, &image->image, input, err) || error_prefix(err, "%s", image->name);
}

bool penumbra_preprocess(const penumbra_model *model, const penumbra_image *image, float *x, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  struct input input = {0};
  if (!api_preprocess(model, image, &input, &failed))
    return api_error(err, &failed);
  const size_t pixels = (size_t)input.geometry.height * (size_t)input.geometry.width, channels = (size_t)input.channels;
  for (size_t i = 0; i < pixels; i++)
    for (size_t c = 0; c < channels; c++)
      x[c * pixels + i] = input.x[i * channels + c];
  input_free(&input);
  return true;
}

bool penumbra_predict(const penumbra_model *model, const penumbra_image *image, int threads, float *scores,
                      penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  struct input input = {0};
  struct session *session = NULL;
  const bool ok =
      api_preprocess(model, image, &input, &failed) &&
      (session = session_open(model->predictor, &(struct session_options){.threads = threads}, &failed)) &&
      (session_predict(session, input.x, 1, scores, NULL, &failed) || error_prefix(&failed, "%s", image->name));
  session_close(session);
  input_free(&input);
  return ok || api_error(err, &failed);
}

/* ---- one explanation ------------------------------------------------------------------------------------------- */

static bool forward_progress(void *context, const struct progress *p)
{
  const penumbra_request *request = context;
  const penumbra_progress out = {p->done, p->total, p->seconds, p->remaining, p->stage, p->map, p->height, p->width};
  return request->progress(request->progress_context, &out);
}

bool api_request(const penumbra_request *request, struct explain *explain, struct error *err)
{
  explain->seed = request->seed;
  explain->target = request->target ? request->target : "top";
  const char *score = request->score ? request->score : "prob";
  struct evaluate_options *e = &explain->evaluate;
  if (strcmp(score, "logit") == 0)
    e->session.score = SCORE_LOGIT;
  else if (strcmp(score, "prob") != 0)
    return error_set(err, ERROR_USAGE, "score: '%.40s' is none of prob, logit", score);
  if (request->evals < 0)
    return error_set(err, ERROR_USAGE, "evals: %lld is below 0", (long long)request->evals);
  if (!(request->budget >= 0))
    return error_set(err, ERROR_USAGE, "budget: %g s is below 0", request->budget);
  if (!(request->scale >= 0 && request->scale < INFINITY))
    return error_set(err, ERROR_USAGE, "scale: %g is not a number above 0", request->scale);
  e->session.threads = request->threads;
  e->session.memory = request->memory;
  const char *precision = request->precision ? request->precision : "f32";
  if (strcmp(precision, "bf16") == 0)
    e->precision->used = PRECISION_BF16;
  else if (strcmp(precision, "auto") == 0)
    e->precision->automatic = true;
  else if (strcmp(precision, "f32") != 0)
    return error_set(err, ERROR_USAGE, "precision: '%.40s' is none of f32, bf16, auto", precision);
  e->session.exact_full = request->exact_full;
  e->evals = request->evals;
  e->budget = request->budget;
  if (request->progress) {
    e->progress = forward_progress;
    e->progress_context = (void *)(uintptr_t)request; /* lives as long as the call */
  }
  return true;
}

/* The map on the source image's grid, for every target; which source pixels the model saw, if not all; superpixels, -1
 * where it saw nothing. */
static bool to_source(struct explanation *e, const struct input *input, struct error *err)
{
  const struct geometry *g = &input->geometry;
  const struct npy *map = explanation_find(e, "map");
  const int64_t k = e->all_targets ? e->classes : 1;
  const int64_t dims[3] = {k, g->source_height, g->source_width};
  const size_t source = (size_t)g->source_height * (size_t)g->source_width;
  float *heat = explanation_floats(e, "heatmap", e->all_targets ? 3 : 2, e->all_targets ? dims : dims + 1, err);
  unsigned char *coverage = mem_zero(source, 1);
  if (!heat || !coverage) {
    mem_free(coverage);
    return heat ? error_memory(err, "the heat map") : false;
  }
  const float *maps = map->data;
  for (int64_t i = 0; i < k; i++)
    preprocess_to_source(g, maps + i * g->height * g->width, heat + (size_t)i * source, coverage);
  bool ok = true;
  if (memchr(coverage, 0, source)) {
    int32_t *seen = explanation_ints(e, "coverage", 2, dims + 1, err);
    ok = seen != NULL;
    for (size_t i = 0; ok && i < source; i++)
      seen[i] = coverage[i];
  }
  mem_free(coverage);
  const struct npy *segments = explanation_find(e, "segments");
  int32_t *on_source = ok && segments ? explanation_ints(e, "segments_source", 2, dims + 1, err) : NULL;
  if (on_source)
    preprocess_labels_to_source(g, explanation_find(e, "segments")->data, on_source, -1);
  return ok && (on_source || !segments);
}

/* The pixel that holds the maximum; of several, as where a map is constant over cells, the one nearest to their middle.
 */
static int64_t strongest(const float *x, int64_t width, int64_t height, float highest)
{
  double sum_x = 0, sum_y = 0, nearest = INFINITY;
  int64_t n = 0, at = 0;
  for (int64_t i = 0; i < width * height; i++)
    if (x[i] == highest) {
      sum_x += (double)(i % width);
      sum_y += (double)(i / width);
      n++;
    }
  for (int64_t i = 0; i < width * height; i++) {
    if (x[i] != highest)
      continue;
    const double dx = (double)(i % width) - sum_x / (double)n, dy = (double)(i / width) - sum_y / (double)n;
    if (dx * dx + dy * dy < nearest) {
      nearest = dx * dx + dy * dy;
      at = i;
    }
  }
  return at;
}

static json_t *map_json(const struct explanation *e)
{
  const struct npy *heat = explanation_find(e, "heatmap");
  const int64_t width = heat->dim[heat->rank - 1], height = heat->dim[heat->rank - 2];
  const float *x = (const float *)heat->data + (e->all_targets ? e->target * width * height : 0);
  double sum = 0;
  float lo = INFINITY, hi = -INFINITY;
  for (int64_t i = 0; i < width * height; i++) {
    sum += (double)x[i];
    lo = fminf(lo, x[i]);
    hi = fmaxf(hi, x[i]);
  }
  const int64_t at = strongest(x, width, height, hi);
  return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:[I,I]}", "file", "heatmap.npy", "width", (json_int_t)width,
                   "height", (json_int_t)height, "min", json_number_or_null((double)lo), "max",
                   json_number_or_null((double)hi), "mean", json_number_or_null(sum / (double)(width * height)), "sum",
                   json_number_or_null(sum), "strongest", (json_int_t)(at % width), (json_int_t)(at / width));
}

/* The highest scores with their labels, ties by index. */
static json_t *top_classes(const struct explanation *e, const char *const *labels)
{
  enum { SHOWN = 10 };
  int64_t top[SHOWN + 1], n = 0; /* one more, which drops out */
  for (int64_t k = 0; k < e->classes; k++) {
    int64_t at = n;
    for (; at > 0 && e->scores[k] > e->scores[top[at - 1]]; at--)
      top[at] = top[at - 1];
    top[at] = k;
    n += n < SHOWN;
  }
  json_t *list = json_array();
  for (int64_t i = 0; i < n; i++)
    json_array_append_new(list, json_pack("{s:I, s:s, s:o}", "index", (json_int_t)top[i], "label", labels[top[i]],
                                          "score", json_number_or_null((double)e->scores[top[i]])));
  return list;
}

static json_t *model_info(const struct penumbra_model *model)
{
  const struct predictor *p = model->predictor;
  if (!model->onnx)
    return json_pack("{s:n, s:n, s:{s:[i,i,i]}}", "path", "sha256", "input", "shape", p->height, p->width, p->channels);
  const struct value *input = model->onnx->graph->inputs[0];
  json_t *shape = json_array();
  for (int i = 0; i < input->t.shape.rank; i++)
    json_array_append_new(shape, json_integer(input->t.shape.dim[i]));
  return json_pack("{s:s, s:s, s:I, s:{s:s, s:o, s:s}}", "path", model->onnx->path, "sha256", model_sha256(model),
                   "opset", (json_int_t)model->onnx->onnx.opset, "input", "name", input->name, "shape", shape, "dtype",
                   "float32");
}

static json_t *result_json(const struct penumbra_explanation *x, const struct penumbra_model *model,
                           const struct input *input, const struct method *method, const void *options,
                           const struct explain *explain, double seconds)
{
  const struct explanation *e = &x->e;
  json_t *scores = json_array();
  for (int64_t k = 0; k < e->classes; k++)
    json_array_append_new(scores, json_number_or_null((double)e->scores[k]));
  json_t *target = json_pack("{s:I, s:s, s:o, s:s, s:b}", "index", (json_int_t)e->target, "label", x->label, "score",
                             json_number_or_null((double)e->scores[e->target]), "scale",
                             explain->evaluate.session.score == SCORE_LOGIT ? "logit" : "prob", "all", e->all_targets);
  json_t *method_info =
      json_pack("{s:s, s:o, s:I, s:I, s:s, s:s}", "name", method->name, "params", params_json(method->params, options),
                "seed", (json_int_t)explain->seed, "evaluations", (json_int_t)e->evaluations, "stopped_by",
                e->stopped_by, "paper", method->paper);
  json_object_update(method_info, e->details);
  const struct precision_check *check = explain->evaluate.precision;
  json_t *precision = json_pack("{s:s}", "used", check->used == PRECISION_BF16 ? "bf16" : "f32");
  if (check->evaluations) {
    json_object_set_new(precision, "checked_on", json_integer(check->evaluations));
    json_object_set_new(precision, "deviation", json_number_or_null(check->deviation));
    json_object_set_new(precision, "largest_change", json_number_or_null(check->change));
    if (check->sampled)
      json_object_set_new(precision, "share_of_stderr", json_number_or_null(check->share));
  }
  if (check->gradients) {
    json_object_set_new(precision, "gradients_checked_on", json_integer(check->gradients));
    json_object_set_new(precision, "gradient_deviation", json_number_or_null(check->gradient_deviation));
  }
  json_object_set_new(method_info, "precision", precision);
  json_t *arrays = json_array();
  for (int i = 0; i < e->n_arrays; i++)
    json_array_append_new(arrays, json_sprintf("%s.npy", e->arrays[i].name));
  const char *document;
  json_t *ignored;
  json_object_foreach (e->documents, document, ignored)
    json_array_append_new(arrays, json_sprintf("%s.json", document));
  const double speed = e->seconds > 0 ? (double)e->evaluations / e->seconds : NAN;
  return json_pack(
      "{s:s, s:{s:s, s:s}, s:o, s:{s:s, s:s, s:i, s:i}, s:o, s:o, s:o, s:o, s:o, s:O, s:{s:o, s:o, s:o}, s:O, s:o}",
      "schema", "penumbra/1", "tool", "name", "penumbra", "version", PENUMBRA_VERSION, "model", model_info(model),
      "image", "path", x->image->name, "sha256", x->image->sha256, "width", x->image->image.width, "height",
      x->image->image.height, "preprocessing", preprocess_json(model->card, input), "target", target, "scores", scores,
      "method", method_info, "map", map_json(e), "quality", e->quality, "timing", "total_s",
      json_number_or_null(seconds), "predict_s", json_number_or_null(e->seconds), "evaluations_per_s",
      json_number_or_null(speed), "warnings", e->warnings, "files", arrays);
}

static bool explain_image(struct penumbra_explanation *x, const struct penumbra_model *model,
                          const struct penumbra_image *image, const penumbra_request *request, struct input *input,
                          void *options, const struct method *method, struct error *err)
{
  const double from = now();
  struct precision_check precision = {.used = PRECISION_F32};
  struct explain explain = {
      .evaluate.precision = &precision,
      .predictor = model->predictor,
      .model = model->onnx,
      .card = model->card,
      .input = input,
      .labels = model->labels,
      .thresholds = model->thresholds,
  };
  if (!api_request(request, &explain, err) ||
      !params_parse(method->params, method->name, request->params, options, err) ||
      !api_preprocess(model, image, input, err) || !explanation_init(&x->e, err))
    return false;
  if (image->image.note)
    explanation_warn(&x->e, "image", "%s: %s", image->name, image->image.note);
  if (!method_run(&explain, method, options, &x->e, err) || !to_source(&x->e, input, err))
    return false;
  x->image = image_reference(image);
  x->method = method->name;
  x->label = mem_strdup(model->labels[x->e.target]);
  if (!x->label)
    return error_memory(err, "an explanation");
  x->scale = request->scale;
  x->result = result_json(x, model, input, method, options, &explain, now() - from);
  json_t *rates = NULL;
  if (!x->result || !artifact_rates(model, request, &rates, err))
    return x->result ? false : error_memory(err, "an explanation");
  const json_t *params = json_object_get(json_object_get(x->result, "method"), "params");
  json_t *trust = trust_json(&x->e, artifact_rate_of(rates, json_string_value(json_object_get(params, "fill"))), err);
  json_object_set_new(x->result, "artifacts", rates ? rates : json_null());
  return (trust && json_object_set_new(x->result, "trust", trust) == 0 &&
          json_object_set_new(x->result, "top_classes", top_classes(&x->e, model->labels)) == 0) ||
         error_memory(err, "an explanation");
}

penumbra_explanation *penumbra_explain(const penumbra_model *model, const penumbra_image *image,
                                       const penumbra_request *request, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  penumbra_request own = {.size = sizeof own};
  const bool read = !request || api_struct(&own, sizeof own, request, "penumbra_request", &failed);
  request = &own;
  const struct method *method = !read ? NULL : method_require(request->method ? request->method : "occlusion", &failed);
  struct penumbra_explanation *x = method ? mem_zero(1, sizeof *x) : NULL;
  void *options = method ? mem_zero(1, method->options_size) : NULL;
  struct input input = {0};
  if (method && (!x || !options))
    error_memory(&failed, "an explanation");
  const bool ok = x && options && explain_image(x, model, image, request, &input, options, method, &failed);
  input_free(&input);
  mem_free(options);
  if (ok)
    return x;
  penumbra_explanation_free(x);
  api_error(err, &failed);
  return NULL;
}

void penumbra_explanation_free(penumbra_explanation *x)
{
  if (!x)
    return;
  explanation_free(&x->e);
  penumbra_image_close(x->image);
  json_decref(x->result);
  mem_free(x->label);
  mem_free(x);
}

/* ---- what it holds --------------------------------------------------------------------------------------------- */

bool penumbra_explanation_array(const penumbra_explanation *x, const char *name, penumbra_array *array,
                                penumbra_error *err)
{
  const struct npy *found = explanation_find(&x->e, name);
  if (found) {
    *array = (penumbra_array){found->data, found->type == NPY_F32 ? PENUMBRA_F32 : PENUMBRA_I32, found->rank, {0}};
    memcpy(array->dims, found->dim, sizeof array->dims);
    return true;
  }
  struct error failed = {ERROR_NONE};
  struct str names;
  str_init(&names, 180);
  for (int i = 0; i < x->e.n_arrays; i++)
    str_printf(&names, "%s%s", i ? ", " : "", x->e.arrays[i].name);
  error_set(&failed, ERROR_USAGE, "array '%.40s' is none of %s", name, names.text ? names.text : "");
  str_free(&names);
  return api_error(err, &failed);
}

const char *penumbra_explanation_array_name(const penumbra_explanation *x, int i)
{
  return i >= 0 && i < x->e.n_arrays ? x->e.arrays[i].name : NULL;
}

char *penumbra_explanation_json(const penumbra_explanation *x, penumbra_error *err)
{
  return api_text(json_incref(x->result), err);
}

bool penumbra_explanation_save(const penumbra_explanation *x, const char *dir, unsigned flags, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  struct output out = {0};
  char path[4096], name[64];
  const char *document;
  json_t *content;
  bool ok = output_begin(&out, dir, (flags & PENUMBRA_OVERWRITE) != 0, &failed);
  for (int i = 0; ok && i < x->e.n_arrays; i++) {
    (void)snprintf(name, sizeof name, "%s.npy", x->e.arrays[i].name);
    ok = output_path(&out, name, path, sizeof path, &failed) && npy_write(path, &x->e.arrays[i].array, &failed);
  }
  json_object_foreach (x->e.documents, document, content) {
    (void)snprintf(name, sizeof name, "%s.json", document);
    ok = ok && output_path(&out, name, path, sizeof path, &failed) && json_write_path(content, path, &failed);
  }
  ok = ok && figures_write(x, &out, &failed) && report_write(x, flags, &out, &failed) &&
       output_path(&out, "result.json", path, sizeof path, &failed) && json_write_path(x->result, path, &failed) &&
       output_commit(&out, &failed);
  output_end(&out);
  return ok || api_error(err, &failed);
}
