/* SPDX-License-Identifier: Apache-2.0 */
#include "methods/feature_search.h"

#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_IMAGES = 1 << 24 };

/* Totals are whole multiples of 2^-32; beyond 2^60 a layer has diverged, and more says no more. */
#define TOTAL_UNIT  4294967296.0
#define TOTAL_LIMIT 1152921504606846976.0
#define LOW_BITS    40 /* of a total, in one half of its state */

bool feature_search_init(struct feature_search *s, int height, int width, int channels, int top, int per_image,
                         struct error *err)
{
  const size_t n = (size_t)channels;
  *s = (struct feature_search){.height = height,
                               .width = width,
                               .channels = channels,
                               .top = top,
                               .per_image = per_image < top ? per_image : top,
                               .hits = mem_zero(n, (size_t)top * sizeof *s->hits),
                               .counts = mem_zero(n, sizeof *s->counts),
                               .totals = mem_zero(n, sizeof *s->totals),
                               .seen = json_object()};
  return (s->hits && s->counts && s->totals && s->seen) || error_memory(err, "the strongest activations");
}

void feature_search_free(struct feature_search *s)
{
  for (int i = 0; i < s->n_images; i++)
    mem_free(s->images[i].name);
  mem_free(s->images);
  mem_free(s->hits);
  mem_free(s->counts);
  mem_free(s->totals);
  json_decref(s->seen);
  *s = (struct feature_search){0};
}

bool feature_search_has(const struct feature_search *s, const char *sha256)
{
  return json_object_get(s->seen, sha256) != NULL;
}

/* ---- one image -------------------------------------------------------------------------------------------------- */

static bool add_image(struct feature_search *s, const char *name, const char *sha256, struct error *err)
{
  if (s->n_images == MOST_IMAGES)
    return error_set(err, ERROR_FAILED, "features: more than %d images", MOST_IMAGES);
  if (s->n_images == s->room) {
    const int room = s->room ? 2 * s->room : 64;
    struct feature_image *more = mem_grow(s->images, (size_t)room * sizeof *more);
    if (!more)
      return error_memory(err, "the list of images");
    s->images = more;
    s->room = room;
  }
  struct feature_image *image = &s->images[s->n_images];
  image->name = mem_strdup(name);
  if (!image->name || json_object_set_new(s->seen, sha256, json_true()) != 0) {
    mem_free(image->name);
    return error_memory(err, "the list of images");
  }
  str_clean(image->name);
  memcpy(image->sha256, sha256, sizeof image->sha256);
  s->n_images++;
  return true;
}

/* Whether a comes before b. */
static bool is_before(const struct feature_search *s, const struct feature_hit *a, const struct feature_hit *b)
{
  if (a->value != b->value)
    return a->value > b->value;
  const int order = a->image == b->image ? 0 : strcmp(s->images[a->image].name, s->images[b->image].name);
  if (order != 0)
    return order < 0;
  return a->y != b->y ? a->y < b->y : a->x < b->x;
}

/* Put into a sorted list of at most `room`; what falls off its end is gone. */
static void insert(const struct feature_search *s, struct feature_hit *list, int *count, int room,
                   const struct feature_hit *hit)
{
  int at = *count;
  if (at == room && !is_before(s, hit, &list[at - 1]))
    return;
  at -= at == room;
  for (; at > 0 && is_before(s, hit, &list[at - 1]); at--)
    list[at] = list[at - 1];
  list[at] = *hit;
  *count += *count < room;
}

static bool check(const struct feature_search *s, const char *name, const float *a, struct error *err)
{
  const int64_t n = (int64_t)s->height * s->width * s->channels;
  for (int64_t i = 0; i < n; i++)
    if (!isfinite(a[i])) {
      const int64_t unit = i / s->channels;
      return error_set(err, ERROR_FAILED, "%.120s: unit %lld,%lld of feature map %lld is not finite (non-finite)", name,
                       (long long)(unit / s->width), (long long)(unit % s->width), (long long)(i % s->channels));
    }
  return true;
}

static void take_map(struct feature_search *s, int map, const float *a, struct feature_hit *own)
{
  int count = 0;
  double sum = 0;
  for (int y = 0; y < s->height; y++)
    for (int x = 0; x < s->width; x++) {
      const float value = a[((int64_t)y * s->width + x) * s->channels + map];
      sum += (double)value;
      if (value > 0 && (count < s->per_image || value > own[count - 1].value))
        insert(s, own, &count, s->per_image, &(struct feature_hit){value, s->n_images - 1, y, x});
    }
  sum = fmax(-TOTAL_LIMIT, fmin(TOTAL_LIMIT, sum));
  s->totals[map] += (__int128)(sum * TOTAL_UNIT);
  for (int i = 0; i < count; i++)
    insert(s, s->hits + (size_t)map * (size_t)s->top, &s->counts[map], s->top, &own[i]);
}

bool feature_search_add(struct feature_search *s, const char *name, const char *sha256, const float *activations,
                        struct error *err)
{
  if (feature_search_has(s, sha256))
    return true;
  struct feature_hit *own = mem_zero((size_t)s->per_image, sizeof *own);
  if (!own)
    return error_memory(err, "the strongest activations");
  const bool ok = check(s, name, activations, err) && add_image(s, name, sha256, err);
  for (int map = 0; ok && map < s->channels; map++)
    take_map(s, map, activations, own);
  mem_free(own);
  return ok;
}

/* ---- results ---------------------------------------------------------------------------------------------------- */

double feature_search_total(const struct feature_search *s, int map)
{
  return (double)s->totals[map] / TOTAL_UNIT;
}

struct ranked {
  __int128 total;
  int map;
};

static int by_total(const void *a, const void *b)
{
  const struct ranked *p = a, *q = b;
  return p->total != q->total ? (p->total < q->total) - (p->total > q->total) : p->map - q->map;
}

int feature_search_strongest(const struct feature_search *s, int n, int *maps, struct error *err)
{
  struct ranked *all = mem_zero((size_t)s->channels, sizeof *all);
  int found = 0;
  if (!all) {
    error_memory(err, "the strongest feature maps");
    return -1;
  }
  for (int map = 0; map < s->channels; map++)
    if (s->counts[map])
      all[found++] = (struct ranked){s->totals[map], map};
  qsort(all, (size_t)found, sizeof *all, by_total);
  found = found < n ? found : n;
  for (int i = 0; i < found; i++)
    maps[i] = all[i].map;
  mem_free(all);
  return found;
}

/* ---- state ------------------------------------------------------------------------------------------------------ */

json_t *feature_search_state(const struct feature_search *s)
{
  json_t *images = json_array(), *maps = json_array();
  bool ok = images && maps;
  for (int i = 0; ok && i < s->n_images; i++)
    ok = json_array_append_new(images, json_pack("[s,s]", s->images[i].name, s->images[i].sha256)) == 0;
  for (int map = 0; ok && map < s->channels; map++) {
    const struct feature_hit *hit = s->hits + (size_t)map * (size_t)s->top;
    json_t *hits = json_array();
    for (int i = 0; ok && i < s->counts[map]; i++, hit++)
      ok = json_array_append_new(hits, json_pack("[f,i,i,i]", (double)hit->value, hit->image, hit->y, hit->x)) == 0;
    const int64_t high = (int64_t)(s->totals[map] >> LOW_BITS);
    const int64_t low = (int64_t)(s->totals[map] - (__int128)high * ((__int128)1 << LOW_BITS));
    json_t *entry = json_pack("[I,I,o]", (json_int_t)high, (json_int_t)low, hits);
    ok = json_array_append_new(maps, entry) == 0 && ok;
  }
  json_t *state = json_pack("{s:[i,i,i], s:i, s:i, s:o, s:o}", "layer", s->height, s->width, s->channels, "top", s->top,
                            "per_image", s->per_image, "images", images, "maps", maps);
  if (ok)
    return state;
  json_decref(state);
  return NULL;
}

static bool is_hex(const char *text)
{
  return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static bool read_map(struct feature_search *s, int map, const json_t *entry)
{
  const json_t *hits = json_array_get(entry, 2);
  const int64_t high = json_integer_value(json_array_get(entry, 0)), low = json_integer_value(json_array_get(entry, 1));
  if (json_array_size(hits) > (size_t)s->top || low < 0 || low >= (int64_t)1 << LOW_BITS)
    return false;
  s->totals[map] = (__int128)high * ((__int128)1 << LOW_BITS) + low;
  for (size_t i = 0; i < json_array_size(hits); i++) {
    const json_t *of = json_array_get(hits, i);
    const double value = json_number_value(json_array_get(of, 0));
    int64_t at[3];
    for (size_t k = 0; k < 3; k++)
      at[k] = json_is_integer(json_array_get(of, k + 1)) ? json_integer_value(json_array_get(of, k + 1)) : -1;
    if (!(value > 0) || at[0] < 0 || at[0] >= s->n_images || at[1] < 0 || at[1] >= s->height || at[2] < 0 ||
        at[2] >= s->width)
      return false;
    insert(s, s->hits + (size_t)map * (size_t)s->top, &s->counts[map], s->top,
           &(struct feature_hit){(float)value, (int32_t)at[0], (int32_t)at[1], (int32_t)at[2]});
  }
  return true;
}

bool feature_search_restore(struct feature_search *s, const json_t *state, struct error *err)
{
  const json_t *layer = json_object_get(state, "layer"), *images = json_object_get(state, "images");
  const json_t *maps = json_object_get(state, "maps"), *image;
  const int shape[3] = {s->height, s->width, s->channels};
  size_t i;
  bool ok = s->n_images == 0 && json_integer_value(json_object_get(state, "top")) == s->top &&
            json_integer_value(json_object_get(state, "per_image")) == s->per_image &&
            json_array_size(maps) == (size_t)s->channels;
  for (i = 0; ok && i < 3; i++)
    ok = json_integer_value(json_array_get(layer, i)) == shape[i];
  if (ok)
    json_array_foreach (images, i, image) {
      const char *name = json_string_value(json_array_get(image, 0)),
                 *sha = json_string_value(json_array_get(image, 1));
      ok = ok && name && sha && is_hex(sha) && !feature_search_has(s, sha) && add_image(s, name, sha, err);
    }
  for (int map = 0; ok && map < s->channels; map++)
    ok = read_map(s, map, json_array_get(maps, (size_t)map));
  if (ok)
    return true;
  const int top = s->top, per_image = s->per_image;
  feature_search_free(s);
  return feature_search_init(s, shape[0], shape[1], shape[2], top, per_image, err) &&
         error_set(err, ERROR_FAILED, "features: the state is none of this layer and these settings");
}
