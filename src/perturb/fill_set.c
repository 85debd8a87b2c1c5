/* SPDX-License-Identifier: Apache-2.0 */
/* Reference pictures: each draw is one of a folder, in an order that the seed gives; none comes twice before all came.
 */
#include "base/files.h"
#include "base/mem.h"
#include "base/rng.h"
#include "perturb/fill.h"

#include <stdio.h>
#include <string.h>

enum { MAX_PATH = 4096 };

struct set {
  char **names; /* in the order of the draws */
  size_t count, listed;
  const char *folder; /* borrowed from the fill's text */
};

static void close(struct fill *fill)
{
  struct set *set = fill->data;
  if (set)
    file_list_free(set->names, set->listed);
  mem_free(set);
}

static void swap(char **a, char **b)
{
  char *kept = *a;
  *a = *b;
  *b = kept;
}

/* "folder/name". */
static bool path_of(const struct set *set, const char *name, char path[MAX_PATH], struct error *err)
{
  const int n = snprintf(path, MAX_PATH, "%s/%s", set->folder, name);
  return n < MAX_PATH ||
         error_set(err, ERROR_USAGE, "fill: 'set:%.40s': a path of more than %d bytes", set->folder, MAX_PATH - 1);
}

/* Files first, in their order; hidden ones and folders are left out of the count. */
static bool select_files(struct set *set, struct error *err)
{
  char path[MAX_PATH];
  for (size_t i = 0; i < set->listed; i++) {
    if (set->names[i][0] == '.')
      continue;
    if (!path_of(set, set->names[i], path, err))
      return false;
    if (file_exists(path) && !file_is_dir(path))
      swap(&set->names[set->count++], &set->names[i]);
  }
  return set->count > 0 || error_set(err, ERROR_FAILED, "fill: the folder '%.150s' holds no pictures", set->folder);
}

static bool open(struct fill *fill, const char *argument, struct error *err)
{
  if (!argument || !*argument)
    return error_set(err, ERROR_USAGE, "fill: 'set' wants a folder, as in set:DIR");
  struct set *set = mem_zero(1, sizeof *set);
  if (!set)
    return error_memory(err, "a fill");
  fill->data = set;
  set->folder = strchr(fill->text, ':') + 1;
  if (!file_list(set->folder, &set->names, &set->listed, err) || !select_files(set, err))
    return false;
  for (size_t i = set->count - 1; i > 0; i--) /* Fisher & Yates */
    swap(&set->names[i], &set->names[rng_below(fill->scene.seed, RNG_ORDER, 0, i, (uint32_t)i + 1)]);
  return true;
}

static bool image(const struct fill *fill, uint32_t draw, float *u, struct error *err)
{
  const struct set *set = fill->data;
  char path[MAX_PATH];
  struct image picture;
  if (!path_of(set, set->names[draw % set->count], path, err) || !image_read(path, &picture, err))
    return false;
  const bool ok = preprocess_place(fill->scene.card, &picture, fill->scene.input, u, err);
  image_free(&picture);
  return ok ? true : error_prefix(err, "%.150s", path);
}

const struct fill_kind fill_set = {
    .name = "set",
    .summary = "reference pictures of a folder, one a draw",
    .argument = "DIR",
    .random = true,
    .open = open,
    .close = close,
    .image = image,
};
