/* SPDX-License-Identifier: Apache-2.0 */
/* A phantom as files: picture, masks, twins, and truth.json. */
#include "base/json.h"
#include "base/mem.h"
#include "phantom/scene.h"

#include <stdio.h>

static bool put_truth(json_t *object, const struct phantom_truth *truth, int count)
{
  bool ok = object != NULL;
  for (int i = 0; ok && i < count; i++) {
    /* The unit is part of the name, as in "diameter_mm". */
    char key[64];
    snprintf(key, sizeof key, "%s%s%s", truth[i].name, truth[i].unit[0] ? "_" : "", truth[i].unit);
    ok = json_object_set_new(object, key, json_number_or_null(truth[i].value)) == 0;
  }
  return ok;
}

/* Where a finding is in the picture: box and middle in pixels. */
static json_t *mask_json(const unsigned char *mask, int n)
{
  int left = n, right = -1, top = n, bottom = -1;
  double sum_x = 0, sum_y = 0, area = 0;
  for (int y = 0; y < n; y++)
    for (int x = 0; x < n; x++)
      if (mask[(int64_t)y * n + x]) {
        left = x < left ? x : left;
        right = x > right ? x : right;
        top = y < top ? y : top;
        bottom = y > bottom ? y : bottom;
        sum_x += x;
        sum_y += y;
        area += 1;
      }
  if (area <= 0)
    return json_pack("{s:f}", "area_px", 0.0);
  return json_pack("{s:f, s:[i,i,i,i], s:[f,f]}", "area_px", area, "box_px", left, top, right + 1, bottom + 1,
                   "middle_px", sum_x / area, sum_y / area);
}

static json_t *finding_json(const struct phantom *p, int finding)
{
  int count = 0;
  const struct phantom_truth *truth = phantom_lesion_truth(p, finding, &count);
  char mask[64], twin[64];
  snprintf(mask, sizeof mask, "mask_%s.png", phantom_finding_name(finding));
  snprintf(twin, sizeof twin, "twin_%s.png", phantom_finding_name(finding));
  json_t *object = json_pack("{s:s, s:s, s:o}", "mask", mask, "twin", twin, "place",
                             mask_json(phantom_mask(p, finding), p->request.size));
  bool ok = put_truth(object, truth, count);
  if (ok && phantom_excess(p, finding))
    ok = json_object_set_new(object, "excess_mask", json_sprintf("excess_%s.png", phantom_finding_name(finding))) == 0;
  if (ok)
    return object;
  json_decref(object);
  return NULL;
}

json_t *phantom_json(const struct phantom *p)
{
  json_t *findings = json_object(), *picture = json_object(), *absent = json_array();
  bool ok = put_truth(picture, p->truth, p->truth_count) && findings && absent;
  for (int i = 0; ok && i < PHANTOM_FINDINGS; i++)
    ok = p->request.finding[i] ? json_object_set_new(findings, phantom_finding_name(i), finding_json(p, i)) == 0
                               : json_array_append_new(absent, json_string(phantom_finding_name(i))) == 0;
  char marker[2] = {p->marker, 0}, seed[24];
  /* As text: JSON readers that hold numbers as doubles would round a 64-bit seed. */
  snprintf(seed, sizeof seed, "%llu", (unsigned long long)p->request.seed);
  json_t *object = NULL;
  if (ok)
    object = json_pack("{s:s, s:s, s:i, s:i, s:[f,f], s:s, s:O, s:O, s:O, s:s}", "what",
                       "procedural chest radiograph, not of a person; not for clinical use", "seed", seed, "size",
                       p->request.size, "bits", p->request.bits, "spacing_mm", p->spacing, p->spacing, "marker", marker,
                       "findings", findings, "absent", absent, "picture", picture, "lungs", "lungs.png");
  json_decref(findings);
  json_decref(picture);
  json_decref(absent);
  return object;
}

static bool save_image(const struct image *image, const struct output *out, const char *name, struct error *err)
{
  char path[4096];
  return output_path(out, name, path, sizeof path, err) && image_write_png(image, path, err);
}

static bool save_mask(const struct phantom *p, const unsigned char *mask, const struct output *out, const char *prefix,
                      int finding, struct error *err)
{
  char name[64];
  snprintf(name, sizeof name, "%s_%s.png", prefix, phantom_finding_name(finding));
  /* The picture is only read through the image; it borrows the mask. */
  struct image image = {.width = p->request.size,
                        .height = p->request.size,
                        .channels = 1,
                        .type = PIXEL_U8,
                        .data = (void *)(uintptr_t)mask,
                        .lo = 0,
                        .hi = 255};
  return save_image(&image, out, name, err);
}

static bool save_twin(const struct phantom *p, int finding, const struct output *out, const char *name,
                      struct error *err)
{
  struct image twin;
  if (!phantom_twin(p, finding, &twin, err))
    return false;
  bool ok = save_image(&twin, out, name, err);
  image_free(&twin);
  return ok;
}

static bool save_lungs(const struct phantom *p, const struct output *out, struct error *err)
{
  struct image image = {.width = p->request.size,
                        .height = p->request.size,
                        .channels = 1,
                        .type = PIXEL_U8,
                        .data = phantom_lungs(p),
                        .lo = 0,
                        .hi = 255};
  bool ok = image.data ? save_image(&image, out, "lungs.png", err) : error_memory(err, "the phantom's lungs");
  mem_free(image.data);
  return ok;
}

bool phantom_save(const struct phantom *p, const struct output *out, struct error *err)
{
  bool ok = save_image(&p->image, out, "phantom.png", err) && save_lungs(p, out, err), any = false;
  for (int i = 0; ok && i < PHANTOM_FINDINGS; i++) {
    if (!p->request.finding[i])
      continue;
    char name[64];
    snprintf(name, sizeof name, "twin_%s.png", phantom_finding_name(i));
    any = true;
    ok = save_mask(p, phantom_mask(p, i), out, "mask", i, err) && save_twin(p, i, out, name, err);
    if (ok && phantom_excess(p, i))
      ok = save_mask(p, phantom_excess(p, i), out, "excess", i, err);
  }
  if (ok && any)
    ok = save_twin(p, -1, out, "healthy.png", err);
  char path[4096];
  if (!ok || !output_path(out, "truth.json", path, sizeof path, err))
    return false;
  json_t *json = phantom_json(p);
  ok = json ? json_write_path(json, path, err) : error_memory(err, "truth.json");
  json_decref(json);
  return ok;
}
