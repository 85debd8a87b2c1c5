/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/inputs.h"

#include "cli/tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { MOST_PICTURES = 1 << 20, PIPE_LIMIT = 1 << 30 };

/* ---- model ------------------------------------------------------------------------------------------------------ */

penumbra_model *inputs_model(const struct args *args, const char *path, struct error *err)
{
  const penumbra_model_options options = {
      .size = sizeof options, .card = args_text(args, "card"), .settings = args_settings(args, TABLE_CARD)};
  if (!options.settings) {
    error_memory(err, "the model's settings");
    return NULL;
  }
  penumbra_error cause = {0};
  penumbra_model *model = penumbra_model_open(path, &options, &cause);
  if (!model)
    tables_error(&cause, err);
  return model;
}

void inputs_notes(const penumbra_model *model, const char *path)
{
  for (const char *p = penumbra_model_notes(model); p && *p;) {
    size_t n = strcspn(p, "\n");
    fprintf(stderr, "penumbra: %s: %.*s\n", path, (int)n, p);
    p += n + (p[n] == '\n');
  }
}

/* ---- list of pictures ------------------------------------------------------------------------------------------- */

struct list {
  struct arena *arena;
  struct picture *all;
  int count, capacity;
};

static struct picture *add(struct list *list, const char *path)
{
  if (list->count == list->capacity) {
    int capacity = list->capacity ? list->capacity * 2 : 64;
    struct picture *grown = arena_array(list->arena, (size_t)capacity, sizeof *grown);
    if (!grown)
      return NULL;
    if (list->count)
      memcpy(grown, list->all, (size_t)list->count * sizeof *grown);
    list->all = grown;
    list->capacity = capacity;
  }
  struct picture *p = &list->all[list->count++];
  *p = (struct picture){.path = path};
  return p;
}

static bool is_picture_name(const char *name)
{
  static const char *const endings[] = {".png", ".jpg", ".jpeg", ".npy", ".dcm"};
  const char *dot = strrchr(name, '.');
  for (size_t i = 0; dot && dot != name && i < sizeof endings / sizeof *endings; i++)
    if (*name != '.' && strcasecmp(dot, endings[i]) == 0)
      return true;
  return false;
}

static bool add_folder(struct list *list, const char *dir, struct error *err)
{
  char **names;
  size_t n;
  struct error why = {0};
  if (!file_list(dir, &names, &n, &why)) {
    struct picture *p = add(list, dir);
    if (!p)
      return error_memory(err, "the list of images");
    p->unusable = true;
    p->why = why;
    return true;
  }
  bool ok = true;
  const int before = list->count;
  const char *slash = dir[strlen(dir) - 1] == '/' ? "" : "/";
  for (size_t i = 0; ok && i < n; i++) {
    if (!is_picture_name(names[i]))
      continue;
    const char *path = arena_printf(list->arena, "%s%s%s", dir, slash, names[i]);
    if (!path)
      ok = error_memory(err, "the list of images");
    else if (!file_is_dir(path))
      ok = list->count < MOST_PICTURES ? add(list, path) || error_memory(err, "the list of images")
                                       : error_set(err, ERROR_FAILED, "%s: more than %d images", dir, MOST_PICTURES);
  }
  file_list_free(names, n);
  if (ok && list->count == before) {
    struct picture *p = add(list, dir);
    if (!p)
      return error_memory(err, "the list of images");
    p->unusable = true;
    error_set(&p->why, ERROR_FAILED, "%s: the folder holds no image (.png, .jpg, .jpeg, .npy, .dcm)", dir);
  }
  return ok;
}

/* ---- stems ------------------------------------------------------------------------------------------------------ */

/* "a/b/film.png" at depth 0: "film"; 1: "b_film"; 2: "a_b_film". With `ending` "film_png". */
static const char *make_stem(struct arena *arena, const char *path, int depth, bool ending)
{
  if (strcmp(path, "-") == 0)
    return "stdin";
  const char *name = strrchr(path, '/');
  name = name ? name + 1 : path;
  const char *from = name;
  for (int up = 0; up < depth; up++) {
    while (from > path && from[-1] == '/')
      from--;
    while (from > path && from[-1] != '/')
      from--;
  }
  const char *dot = strrchr(name, '.');
  bool dotted = dot && dot != name;
  struct str s;
  str_init(&s, 4096);
  for (const char *p = from; *p; p++) {
    if (!ending && dotted && p == dot)
      break;
    if (*p == '/' || (dotted && p == dot)) {
      if (s.length && s.text[s.length - 1] != '_')
        str_append(&s, "_");
    } else {
      str_append_bytes(&s, p, 1);
    }
  }
  char *stem = s.failed ? NULL : arena_strdup(arena, s.length ? s.text : "image");
  str_free(&s);
  if (stem && (strcmp(stem, ".") == 0 || strcmp(stem, "..") == 0)) /* of "../..png" */
    memset(stem, '_', strlen(stem));
  return stem;
}

static int by_stem(const void *a, const void *b)
{
  const struct picture *const *p = a, *const *q = b;
  return strcmp((*p)->stem, (*q)->stem);
}

/* Give every stem that is not unique its next longer form; *again tells whether there was one. */
static bool part_equals(struct arena *arena, struct picture **sorted, int n, int depth, bool ending, bool *again)
{
  qsort(sorted, (size_t)n, sizeof *sorted, by_stem);
  *again = false;
  for (int i = 0; i < n;) {
    int end = i + 1;
    while (end < n && strcmp(sorted[i]->stem, sorted[end]->stem) == 0)
      end++;
    bool equal = end - i > 1;
    for (; i < end; i++) {
      if (equal && !(sorted[i]->stem = make_stem(arena, sorted[i]->path, depth, ending)))
        return false;
      *again |= equal;
    }
  }
  return true;
}

static int by_path(const void *a, const void *b)
{
  const struct picture *const *p = a, *const *q = b;
  int order = strcmp((*p)->path, (*q)->path);
  return order ? order : (*p > *q) - (*p < *q); /* of two equals the first one given stays */
}

/* Drop what was named before. */
static void drop_doubles(struct list *list, struct picture **sorted)
{
  qsort(sorted, (size_t)list->count, sizeof *sorted, by_path);
  for (int i = 1; i < list->count; i++)
    if (strcmp(sorted[i - 1]->path, sorted[i]->path) == 0)
      sorted[i]->stem = ""; /* marks it */
  int kept = 0;
  for (int i = 0; i < list->count; i++)
    if (!list->all[i].stem)
      list->all[kept++] = list->all[i];
  list->count = kept;
}

bool inputs_pictures(const struct args *args, const char *const *words, int n, struct pictures *out, struct error *err)
{
  struct list list = {.arena = args->arena};
  for (int i = 0; i < n; i++) {
    if (file_is_dir(words[i]) ? !add_folder(&list, words[i], err)
                              : !add(&list, words[i]) && !error_memory(err, "the list of images"))
      return false;
  }
  struct picture **sorted = arena_array(args->arena, (size_t)list.count + 1, sizeof *sorted);
  if (!sorted)
    return error_memory(err, "the list of images");
  for (int i = 0; i < list.count; i++)
    sorted[i] = &list.all[i];
  drop_doubles(&list, sorted);
  for (int i = 0; i < list.count; i++) {
    sorted[i] = &list.all[i];
    if (!(list.all[i].stem = make_stem(args->arena, list.all[i].path, 0, false)))
      return error_memory(err, "the list of images");
  }
  /* The folder above, then the file's ending, then folders further up: until all differ. */
  bool again = true;
  for (int round = 1; again && round <= 64; round++)
    if (!part_equals(args->arena, sorted, list.count, round == 1 ? 1 : round - 1, round > 1, &again))
      return error_memory(err, "the list of images");
  if (again)
    for (int i = 1; i < list.count; i++)
      if (strcmp(sorted[i - 1]->stem, sorted[i]->stem) == 0)
        return error_set(err, ERROR_FAILED, "%.90s and %.90s: their results would have one name; explain them apart",
                         sorted[i - 1]->path, sorted[i]->path);
  *out = (struct pictures){.all = list.all, .count = list.count};
  return true;
}

char *inputs_normals(const struct args *args, const penumbra_model *model, const char *dir,
                     const penumbra_subject *methods, int n_methods, const penumbra_request *request, struct error *err)
{
  struct pictures pictures = {0};
  penumbra_error cause = {0};
  if (!inputs_pictures(args, &dir, 1, &pictures, err))
    return NULL;
  const char **paths = arena_array(args->arena, (size_t)pictures.count + 1, sizeof *paths);
  if (!paths) {
    error_memory(err, "the normal images");
    return NULL;
  }
  for (int i = 0; i < pictures.count; i++) {
    if (pictures.all[i].unusable) {
      *err = pictures.all[i].why;
      return NULL;
    }
    paths[i] = pictures.all[i].path;
  }
  paths[pictures.count] = NULL;
  char *rates = penumbra_artifact_rates_json(model, methods, n_methods, paths, request, &cause);
  if (!rates)
    tables_error(&cause, err);
  return rates;
}

/* ---- one picture ------------------------------------------------------------------------------------------------ */

static bool read_pipe(struct str *s, struct error *err)
{
  char buffer[65536];
  ssize_t n;
  str_init(s, PIPE_LIMIT);
  while ((n = read(STDIN_FILENO, buffer, sizeof buffer)) > 0)
    if (!str_append_bytes(s, buffer, (size_t)n))
      return error_set(err, ERROR_MEMORY, "stdin: more than %d bytes, or out of memory", PIPE_LIMIT);
  return n == 0 ? true : error_set(err, ERROR_FAILED, "stdin: %m");
}

bool inputs_load(const char *path, struct bytes *bytes, struct error *err)
{
  *bytes = (struct bytes){.name = path};
  if (strcmp(path, "-") != 0) {
    if (!file_map(path, 0, &bytes->map, err))
      return false;
    bytes->data = bytes->map.data;
    bytes->size = bytes->map.size;
    return true;
  }
  bytes->name = "stdin";
  if (!read_pipe(&bytes->pipe, err)) {
    inputs_unload(bytes);
    return false;
  }
  bytes->data = bytes->pipe.text;
  bytes->size = bytes->pipe.length;
  return true;
}

void inputs_unload(struct bytes *bytes)
{
  file_unmap(&bytes->map);
  str_free(&bytes->pipe);
  *bytes = (struct bytes){0};
}

penumbra_image *inputs_decode(const struct bytes *bytes, struct error *err)
{
  penumbra_error cause = {0};
  penumbra_image *image = penumbra_image_decode(bytes->data, bytes->size, bytes->name, &cause);
  if (!image)
    tables_error(&cause, err);
  return image;
}

/* ---- one picture after the other -------------------------------------------------------------------------------- */

bool inputs_each(const struct pictures *pictures, struct progress *progress, struct tally *tally, const char *out,
                 bool (*one)(void *job, const struct picture *picture, struct error *err), void *job, struct error *err)
{
  progress->count = pictures->count;
  for (int i = 0; i < pictures->count; i++) {
    const struct picture *picture = &pictures->all[i];
    struct error failed = {0};
    progress->image = picture->path;
    progress->index = i + 1;
    if (interrupt_seen())
      error_set(&failed, ERROR_CANCELLED, "interrupted");
    else if (one(job, picture, &failed))
      continue;
    if (failed.code == ERROR_CANCELLED) {
      const int complete = tally->saved + tally->skipped;
      if (complete)
        return error_set(err, ERROR_CANCELLED,
                         "interrupted; %d results are complete in %.80s, the same command goes on from there", complete,
                         out);
      return error_set(err, ERROR_CANCELLED, "interrupted; nothing was written");
    }
    tally->failed++;
    if (failed.code == ERROR_USAGE || pictures->count == 1) {
      *err = failed;
      return false;
    }
    str_clean(failed.message);
    fprintf(stderr, "penumbra: %s\n", failed.message);
  }
  return true;
}
