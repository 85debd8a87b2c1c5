/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/method.h"

#include "base/mem.h"

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

json_t *method_json(const struct method *method)
{
  return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "name", method->name, "title", method->title, "summary",
                   method->summary, "paper", method->paper, "needs",
                   method->needs == NEEDS_GRADIENT ? "gradient" : "predict", "parameters",
                   params_describe(method->params));
}

bool explain_targets(const struct explain *explain, const float *scores, int64_t *targets, int64_t *count,
                     struct explanation *out, struct error *err)
{
  const int64_t classes = explain->predictor->classes;
  int64_t top = 0;
  for (int64_t k = 1; k < classes; k++)
    top = scores[k] > scores[top] ? k : top;
  out->classes = classes;
  out->scores = mem_zero((size_t)classes, sizeof *scores);
  if (!out->scores)
    return error_memory(err, "scores");
  memcpy(out->scores, scores, (size_t)classes * sizeof *scores);
  out->all_targets = strcmp(explain->target, "all") == 0;
  out->target = top;
  if (out->all_targets) {
    *count = classes;
    for (int64_t k = 0; k < classes; k++)
      targets[k] = k;
    return true;
  }
  *count = 1;
  if (strcmp(explain->target, "top") != 0 && !explain->resolve_target(explain, explain->target, &out->target, err))
    return false;
  targets[0] = out->target;
  return true;
}
