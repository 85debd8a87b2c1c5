/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions that belong to no object. */
#include "api/object.h"
#include "metrics/agreement.h"
#include "metrics/metric.h"
#include "perturb/fill.h"
#include "phantom/phantom.h"

#include <stdlib.h>
#include <string.h>

bool api_error(penumbra_error *to, const struct error *from)
{
  if (to && to->code == PENUMBRA_OK) {
    to->code = (penumbra_code)from->code;
    memcpy(to->message, from->message, sizeof to->message);
  }
  return false;
}

bool api_struct(void *to, size_t size, const void *from, const char *name, struct error *err)
{
  const unsigned char *bytes = from;
  size_t given;
  memcpy(&given, from, sizeof given);
  if (given <= sizeof given || given > 4096)
    return error_set(err, ERROR_USAGE, "%s.size: %zu is no size of it, %zu is that of this version", name, given, size);
  for (size_t i = size; i < given; i++)
    if (bytes[i])
      return error_set(err, ERROR_USAGE, "%s: has a field that this version does not know (at byte %zu of %zu)", name,
                       i, given);
  memset(to, 0, size);
  memcpy(to, from, given < size ? given : size);
  return true;
}

char *api_text(json_t *json, penumbra_error *err)
{
  char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
  json_decref(json);
  if (!text) {
    struct error failed = {ERROR_NONE};
    error_memory(&failed, "a text");
    api_error(err, &failed);
  }
  return text;
}

void penumbra_text_free(char *text)
{
  free(text); /* allowed: made by jansson, with the C library's allocator */
}

const char *penumbra_version(void)
{
  return PENUMBRA_VERSION;
}

const char *penumbra_build_info(void)
{
  static _Thread_local char text[128];
  char compute[64];
  compute_version(compute, sizeof compute);
  (void)snprintf(text, sizeof text, "penumbra %s, %s, without DICOM", PENUMBRA_VERSION, compute);
  return text;
}

char *penumbra_card_options_json(void)
{
  json_t *list = json_array();
  for (const struct card_option *o = card_options; o->name; o++)
    json_array_append_new(list, json_pack("{s:s, s:s}", "name", o->name, "summary", o->summary));
  return api_text(list, NULL);
}

char *penumbra_fills_json(void)
{
  return api_text(fills_json(), NULL);
}

char *penumbra_methods_json(const char *name, penumbra_error *err)
{
  json_t *list = json_array();
  if (!name) {
    for (int i = 0; method_at(i); i++)
      json_array_append_new(list, method_json(method_at(i)));
    return api_text(list, err);
  }
  struct error failed = {ERROR_NONE};
  const struct method *method = method_require(name, &failed);
  if (!method) {
    json_decref(list);
    api_error(err, &failed);
    return NULL;
  }
  json_array_append_new(list, method_json(method));
  return api_text(list, err);
}

char *penumbra_metrics_json(const char *name, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  json_t *list = json_array();
  const struct metric *metric = name ? metric_require(name, &failed) : metric_at(0);
  if (!metric) {
    json_decref(list);
    api_error(err, &failed);
    return NULL;
  }
  for (int i = 0; name ? i < 1 : metric_at(i) != NULL; i++)
    json_array_append_new(list, metric_json(name ? metric : metric_at(i)));
  return api_text(list, err);
}

char *penumbra_diff_json(const char *a, const char *b, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  json_t *result = agreement_of_files(a, b, &failed);
  if (!result) {
    api_error(err, &failed);
    return NULL;
  }
  return api_text(result, err);
}
