/* SPDX-License-Identifier: Apache-2.0 */
#include "phantom/phantom.h"

#include "base/mem.h"
#include "phantom/scene.h"

#include <string.h>

static const struct finding *const findings[PHANTOM_FINDINGS] = {
#define FINDING(name) &finding_##name,
#include "phantom/findings.def"
#undef FINDING
};

const char *phantom_finding_name(int finding)
{
  return findings[finding]->name;
}

int phantom_finding_find(const char *name)
{
  for (int i = 0; i < PHANTOM_FINDINGS; i++)
    if (strcmp(findings[i]->name, name) == 0)
      return i;
  return -1;
}

static bool request_resolve(struct phantom_request *r, struct error *err)
{
  if (r->size == 0)
    r->size = PHANTOM_DEFAULT_SIZE;
  if (r->bits == 0)
    r->bits = 16;
  if (r->size < PHANTOM_MIN_SIZE || r->size > PHANTOM_MAX_SIZE)
    return error_set(err, ERROR_USAGE, "size: %d is outside %d..%d px", r->size, PHANTOM_MIN_SIZE, PHANTOM_MAX_SIZE);
  if (r->bits != 8 && r->bits != 12 && r->bits != 16)
    return error_set(err, ERROR_USAGE, "bits: %d is none of 8, 12, 16", r->bits);
  if (r->shortcut < 0 || r->shortcut > PHANTOM_FINDINGS)
    return error_set(err, ERROR_USAGE, "shortcut: %d is outside 0..%d", r->shortcut, PHANTOM_FINDINGS);
  if (r->random_findings) {
    struct stream s = stream_open(r->seed, STREAM_FINDINGS);
    for (int i = 0; i < PHANTOM_FINDINGS; i++)
      r->finding[i] = stream_uniform(&s, 0, 1) < 0.2;
    r->random_findings = false;
  }
  return true;
}

static bool render(const struct phantom *p, const bool *active, struct image *image, struct error *err)
{
  int n = p->request.size, top = (1 << p->request.bits) - 1;
  size_t count = (size_t)n * (size_t)n;
  uint16_t *code = mem_alloc(count * sizeof *code);
  if (!code)
    return error_memory(err, "the phantom");
  if (!exposure_render(p->scene, p->lesion, active, top, code, err)) {
    mem_free(code);
    return false;
  }
  *image = (struct image){.width = n,
                          .height = n,
                          .channels = 1,
                          .type = PIXEL_U16,
                          .data = code,
                          .lo = 0,
                          .hi = top,
                          .spacing_y = p->spacing,
                          .spacing_x = p->spacing};
  if (p->request.bits == 8) {
    /* Narrowed in place: byte i is written after code i was read. */
    unsigned char *byte = (unsigned char *)code;
    for (size_t i = 0; i < count; i++) {
      uint16_t value;
      memcpy(&value, (const unsigned char *)code + 2 * i, 2);
      byte[i] = (unsigned char)value;
    }
    image->type = PIXEL_U8;
  }
  return true;
}

/* Pose and exposure, which no finding may depend on. */
static void describe(struct phantom *p)
{
  const struct exposure *e = &p->scene->exposure;
  const struct chest *c = &p->scene->chest;
  const struct phantom_truth truth[] = {
      {"gain", "", e->gain},
      {"gamma", "", e->gamma},
      {"scatter", "", e->scatter},
      {"blur", "mm", e->blur},
      {"rotation_sine", "", c->pose.sin},
      {"scale", "", c->pose.scale},
      {"shift_x", "mm", c->pose.dx},
      {"shift_y", "mm", c->pose.dy},
      {"heart_ratio", "", c->heart.ratio},
      {"chest_width", "mm", chest_width(c)},
  };
  p->truth_count = (int)(sizeof truth / sizeof *truth);
  memcpy(p->truth, truth, sizeof truth);
}

static bool generate(struct phantom *p, struct error *err)
{
  struct phantom_request *r = &p->request;
  if (!request_resolve(r, err))
    return false;
  p->spacing = 400.0 / r->size;
  p->scene = mem_zero(1, sizeof *p->scene);
  if (!p->scene)
    return error_memory(err, "the phantom");
  exposure_draw(&p->scene->exposure, r);
  p->marker = p->scene->exposure.marker;
  if (!scene_draw(p->scene, r->seed, r->size, err))
    return false;
  for (int i = 0; i < PHANTOM_FINDINGS; i++)
    if (r->finding[i]) {
      if (!(p->lesion[i] = lesion_new(r->size, err)))
        return false;
      if (!findings[i]->draw(p->scene, STREAM_FIRST_FINDING + 8 * (uint32_t)i, p->lesion[i], err))
        return false;
    }
  describe(p);
  return render(p, r->finding, &p->image, err);
}

bool phantom_generate(const struct phantom_request *request, struct phantom *phantom, struct error *err)
{
  *phantom = (struct phantom){.request = *request};
  if (generate(phantom, err))
    return true;
  phantom_free(phantom);
  return false;
}

void phantom_free(struct phantom *p)
{
  mem_free(p->image.data);
  for (int i = 0; i < PHANTOM_FINDINGS; i++)
    lesion_free(p->lesion[i]);
  if (p->scene)
    scene_free(p->scene);
  mem_free(p->scene);
  *p = (struct phantom){0};
}

bool phantom_twin(const struct phantom *phantom, int finding, struct image *twin, struct error *err)
{
  bool active[PHANTOM_FINDINGS];
  for (int i = 0; i < PHANTOM_FINDINGS; i++)
    active[i] = phantom->request.finding[i] && finding >= 0 && i != finding;
  return render(phantom, active, twin, err);
}

const unsigned char *phantom_mask(const struct phantom *phantom, int finding)
{
  return phantom->lesion[finding] ? phantom->lesion[finding]->mask : NULL;
}

const struct phantom_truth *phantom_lesion_truth(const struct phantom *phantom, int finding, int *count)
{
  const struct lesion *l = phantom->lesion[finding];
  *count = l ? l->truth_count : 0;
  return l ? l->truth : NULL;
}

const unsigned char *phantom_excess(const struct phantom *phantom, int finding)
{
  return phantom->lesion[finding] ? phantom->lesion[finding]->excess : NULL;
}

static unsigned char *region(const struct phantom *phantom, int bit)
{
  size_t count = (size_t)phantom->request.size * (size_t)phantom->request.size;
  unsigned char *mask = mem_alloc(count);
  for (size_t i = 0; mask && i < count; i++)
    mask[i] = phantom->scene->region[i] & bit ? 255 : 0;
  return mask;
}

unsigned char *phantom_lungs(const struct phantom *phantom)
{
  return region(phantom, SCENE_FIELD);
}

unsigned char *phantom_thorax(const struct phantom *phantom)
{
  return region(phantom, SCENE_THORAX);
}
