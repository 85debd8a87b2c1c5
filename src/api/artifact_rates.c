/* SPDX-License-Identifier: Apache-2.0 */
/* How often a fill by itself makes normal pictures look abnormal: measured on pictures that somebody names, or as the
 * model's card records it. Told beside every map that was made with the fill. */
#include "api/object.h"
#include "base/json.h"
#include "methods/fills_each.h"

#include <math.h>
#include <string.h>

enum { LIST_LIMIT = 1 << 16, NAME = 512 };

/* The fill that *list begins with; *list is past it and its comma. False at the end, and for one too long to be known.
 */
static bool next_fill(const char **list, char name[NAME])
{
  const size_t length = *list && **list ? fills_first(*list) : NAME;
  if (length >= NAME)
    return false;
  memcpy(name, *list, length);
  name[length] = '\0';
  *list += length + ((*list)[length] == ',');
  return true;
}

/* ---- what is known ---------------------------------------------------------------------------------------------- */

/* The card's "evaluation": {"patch_called_a_finding": {"images": N, FILL: {"rate": R}}}. Free content: what does not
 * look like that was not measured. */
static json_t *recorded(const struct card *card)
{
  const char *fill;
  json_t *entry, *table = json_object_get(card->evaluation, "patch_called_a_finding"), *fills = json_object();
  json_object_foreach (table, fill, entry) {
    const json_t *rate = json_object_get(entry, "rate");
    if (json_is_number(rate) && json_number_value(rate) >= 0 && json_number_value(rate) <= 1)
      json_object_set_new(
          fills, fill,
          json_pack("{s:f, s:O?}", "rate", json_number_value(rate), "images", json_object_get(table, "images")));
  }
  if (json_object_size(fills))
    return json_pack("{s:s, s:o}", "source", "card", "fills", fills);
  json_decref(fills);
  return NULL;
}

bool artifact_rates(const struct penumbra_model *model, const penumbra_request *request, json_t **rates,
                    struct error *err)
{
  json_error_t cause;
  *rates = NULL;
  const bool told = request->size > offsetof(penumbra_request, artifact_rates) && request->artifact_rates;
  if (!told) {
    *rates = recorded(model->card);
    return true;
  }
  *rates = json_loads(request->artifact_rates, JSON_REJECT_DUPLICATES, &cause);
  if (json_is_object(json_object_get(*rates, "fills")))
    return true;
  json_decref(*rates);
  *rates = NULL;
  return error_set(err, ERROR_USAGE, "artifact_rates: is not what penumbra_artifact_rates_json gives");
}

double artifact_rate_of(const json_t *rates, const char *fills)
{
  const json_t *known = json_object_get(rates, "fills");
  char name[NAME];
  double most = NAN;
  while (next_fill(&fills, name)) {
    const json_t *rate = json_object_get(json_object_get(known, name), "rate");
    if (!json_is_number(rate))
      return NAN;
    most = fmax(most, json_number_value(rate));
  }
  return most;
}

/* ---- measuring -------------------------------------------------------------------------------------------------- */

/* Fills of one method that are not in the list yet; those that only superpixels have cover no patch. */
static bool add_fills(const penumbra_subject *subject, json_t *fills, struct error *err)
{
  if (!subject->method) /* a map from elsewhere */
    return true;
  const struct method *method = method_require(subject->method, err);
  void *options = method ? mem_zero(1, method->options_size) : NULL;
  if (!options)
    return method ? error_memory(err, "a method") : false;
  const bool ok = params_parse(method->params, method->name, subject->params, options, err);
  json_t *params = ok ? params_json(method->params, options) : NULL;
  const char *text = json_string_value(json_object_get(params, "fill"));
  char name[NAME];
  while (next_fill(&text, name))
    if (fill_known(name, strcspn(name, ":")))
      json_object_set_new(fills, name, json_null());
  json_decref(params);
  mem_free(options);
  return ok;
}

/* "fill=a,b,c", the argument of the metric. */
static bool list_fills(const json_t *fills, struct str *list)
{
  const char *fill, *before = "artifact.fill=";
  json_t *ignored;
  json_object_foreach ((json_t *)(uintptr_t)fills, fill, ignored) {
    str_printf(list, "%s%s", before, fill);
    before = ",";
  }
  return !list->failed;
}

static bool add_images(penumbra_evaluation *evaluation, const char *const *images, struct error *err)
{
  penumbra_error cause = {0};
  for (; *images; images++) {
    penumbra_image *image = penumbra_image_open(*images, &cause);
    const bool ok = image && penumbra_evaluation_add(evaluation, image, NULL, &cause);
    penumbra_image_close(image);
    if (!ok)
      return error_set(err, (enum error_code)cause.code, "%s", cause.message);
  }
  return true;
}

/* The name that was counted most often; null where nothing was. */
static json_t *most_of(const json_t *counts)
{
  const char *name, *most = NULL;
  json_t *count;
  json_int_t best = 0;
  json_object_foreach ((json_t *)(uintptr_t)counts, name, count)
    if (json_integer_value(count) > best) {
      best = json_integer_value(count);
      most = name;
    }
  return most ? json_string(most) : json_null();
}

static json_t *rates_json(const json_t *summary)
{
  const json_t *metric = json_object_get(json_object_get(summary, "metrics"), "artifact");
  const size_t images = json_array_size(json_object_get(summary, "images"));
  const char *fill;
  json_t *of, *fills = json_object();
  json_int_t normal = 0;
  json_object_foreach (json_object_get(metric, "subjects"), fill, of) {
    const json_t *values = json_object_get(of, "values"), *rate = json_object_get(values, "rate");
    normal = json_integer_value(json_object_get(rate, "n"));
    json_object_set_new(fills, fill,
                        json_pack("{s:O?, s:O?, s:O?, s:O?, s:I, s:o}", "rate", json_object_get(rate, "mean"), "lo",
                                  json_object_get(rate, "lo"), "hi", json_object_get(rate, "hi"), "rise",
                                  json_object_get(json_object_get(values, "rise"), "mean"), "images", normal, "most",
                                  most_of(json_object_get(of, "counts"))));
  }
  return json_pack("{s:s, s:I, s:I, s:o}", "source", "normals", "images", (json_int_t)images, "skipped",
                   (json_int_t)images - normal, "fills", fills);
}

static json_t *measure(const struct penumbra_model *model, const json_t *fills, const char *const *images,
                       const penumbra_request *common, struct error *err)
{
  static const char *const metrics[] = {"artifact", NULL};
  struct str list;
  str_init(&list, LIST_LIMIT);
  const char *params[] = {NULL, NULL};
  penumbra_error cause = {0};
  json_t *rates = NULL;
  char *text = NULL;
  if (!list_fills(fills, &list)) {
    str_free(&list);
    error_memory(err, "fills");
    return NULL;
  }
  params[0] = list.text;
  const penumbra_evaluation_request request = {
      .size = sizeof request, .metrics = metrics, .params = params, .request = common};
  penumbra_evaluation *evaluation = penumbra_evaluation_new(model, &request, &cause);
  if (!evaluation)
    error_set(err, (enum error_code)cause.code, "%s", cause.message);
  else if (add_images(evaluation, images, err) && !(text = penumbra_evaluation_json(evaluation, &cause)))
    error_set(err, (enum error_code)cause.code, "%s", cause.message);
  json_t *summary = text ? json_loads(text, 0, NULL) : NULL;
  if (summary)
    rates = rates_json(summary);
  if (text && !rates)
    error_memory(err, "artifact rates");
  json_decref(summary);
  penumbra_text_free(text);
  penumbra_evaluation_free(evaluation);
  str_free(&list);
  return rates;
}

char *penumbra_artifact_rates_json(const penumbra_model *model, const penumbra_subject *methods, int method_count,
                                   const char *const *images, const penumbra_request *request, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  penumbra_request own = {.size = sizeof own};
  bool ok = !request || api_struct(&own, sizeof own, request, "penumbra_request", &failed);
  const penumbra_request common = {.size = sizeof common,
                                   .seed = own.seed,
                                   .threads = own.threads,
                                   .memory = own.memory,
                                   .progress = own.progress,
                                   .progress_context = own.progress_context};
  json_t *fills = json_object();
  for (int i = 0; ok && i < method_count; i++)
    ok = add_fills(&methods[i], fills, &failed);
  if (ok && !*images)
    ok = error_set(&failed, ERROR_USAGE, "normals: no picture is named");
  json_t *rates = NULL;
  if (ok && json_object_size(fills))
    rates = measure(model, fills, images, &common, &failed);
  else if (ok)
    rates = json_pack("{s:s, s:{}}", "source", "normals", "fills");
  json_decref(fills);
  if (rates)
    return api_text(rates, err);
  if (ok && failed.code == ERROR_NONE)
    error_memory(&failed, "artifact rates");
  api_error(err, &failed);
  return NULL;
}
