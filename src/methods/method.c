/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/method.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define METHOD(name) extern const struct method method_##name;
#include "methods/methods.def"
#undef METHOD

static const struct method *const methods[] = {
#define METHOD(name) &method_##name,
#include "methods/methods.def"
#undef METHOD
};

const struct method *method_at(int i)
{
  return i >= 0 && (size_t)i < sizeof methods / sizeof *methods ? methods[i] : NULL;
}

const struct method *method_find(const char *name)
{
  for (int i = 0; method_at(i); i++)
    if (strcmp(method_at(i)->name, name) == 0)
      return method_at(i);
  return NULL;
}

const struct method *method_require(const char *name, struct error *err)
{
  const struct method *method = method_find(name);
  if (method)
    return method;
  struct str names;
  str_init(&names, 180);
  for (int i = 0; method_at(i); i++)
    str_printf(&names, "%s%s", i ? ", " : "", method_at(i)->name);
  error_set(err, ERROR_USAGE, "method: '%.40s' is none of %s", name, names.text ? names.text : "");
  str_free(&names);
  return NULL;
}

json_t *method_json(const struct method *method)
{
  return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "name", method->name, "title", method->title, "summary",
                   method->summary, "paper", method->paper, "needs",
                   method->needs == NEEDS_GRADIENT ? "gradient" : "predict", "parameters",
                   params_describe(method->params));
}

/* A label, or a class number. */
static bool find_target(const struct explain *explain, int64_t *index, struct error *err)
{
  const char *text = explain->target;
  const int64_t classes = explain->predictor->classes;
  int64_t number, nearest = 0;
  for (int64_t k = 0; k < classes; k++) {
    if (strcmp(explain->labels[k], text) == 0) {
      *index = k;
      return true;
    }
    if (str_distance(explain->labels[k], text) < str_distance(explain->labels[nearest], text))
      nearest = k;
  }
  if (str_integer(text, &number)) {
    *index = number;
    return (number >= 0 && number < classes) ||
           error_set(err, ERROR_USAGE, "target: class %s is outside 0..%lld (bad-target)", text,
                     (long long)classes - 1);
  }
  return error_set(err, ERROR_USAGE, "target: '%.60s' is none of the %lld labels; the nearest is '%.60s' (bad-target)",
                   text, (long long)classes, explain->labels[nearest]);
}

static int64_t strongest(const float *scores, int64_t classes)
{
  int64_t top = 0;
  for (int64_t k = 1; k < classes; k++)
    top = scores[k] > scores[top] ? k : top;
  return top;
}

int64_t explain_one_target(const struct explain *explain, const float *scores)
{
  struct error ignored = {ERROR_NONE};
  int64_t target = -1;
  if (strcmp(explain->target, "top") == 0)
    return strongest(scores, explain->predictor->classes);
  return strcmp(explain->target, "all") != 0 && find_target(explain, &target, &ignored) ? target : -1;
}

bool explain_targets(const struct explain *explain, const float *scores, int64_t *targets, int64_t *count,
                     struct explanation *out, struct error *err)
{
  const int64_t classes = explain->predictor->classes;
  out->classes = classes;
  out->scores = mem_zero((size_t)classes, sizeof *scores);
  if (!out->scores)
    return error_memory(err, "scores");
  memcpy(out->scores, scores, (size_t)classes * sizeof *scores);
  out->all_targets = strcmp(explain->target, "all") == 0;
  out->target = strongest(scores, classes);
  if (out->all_targets) {
    *count = classes;
    for (int64_t k = 0; k < classes; k++)
      targets[k] = k;
    return true;
  }
  *count = 1;
  if (strcmp(explain->target, "top") != 0 && !find_target(explain, &out->target, err))
    return false;
  targets[0] = out->target;
  return true;
}
