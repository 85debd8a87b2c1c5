/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/manifest.h"

#include "base/files.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MANIFEST_LIMIT = 64 << 20, RESULT_LIMIT = 64 << 20, TEXT_LIMIT = 1 << 20 };

static const char schema[] = "penumbra-manifest/1";

/* ---- differences ------------------------------------------------------------------------------------------------ */

struct difference {
  char key[96], before[48], now[48];
  int count;
};

static void short_text(const json_t *value, char *buffer, size_t size)
{
  if (value && !json_is_string(value))
    json_brief(value, JSON_COMPACT, buffer, size);
  else
    str_brief(value ? json_string_value(value) : "not set", buffer, size);
}

static void note_difference(struct difference *d, const char *key, const json_t *before, const json_t *now)
{
  if (d->count++)
    return;
  (void)snprintf(d->key, sizeof d->key, "%s", key);
  short_text(before, d->before, sizeof d->before);
  short_text(now, d->now, sizeof d->now);
}

/* Keys of both, so that what is only in one is seen too. */
static void compare(struct difference *d, const char *key, const json_t *before, const json_t *now)
{
  if (json_equal(before, now))
    return;
  if (!json_is_object(before) || !json_is_object(now)) {
    note_difference(d, key, before, now);
    return;
  }
  const char *name;
  json_t *value;
  char path[96];
  json_object_foreach ((json_t *)now, name, value) {
    (void)snprintf(path, sizeof path, "%.46s%s%.46s", key, *key ? "." : "", name);
    compare(d, path, json_object_get(before, name), value);
  }
  json_object_foreach ((json_t *)before, name, value) {
    (void)snprintf(path, sizeof path, "%.46s%s%.46s", key, *key ? "." : "", name);
    if (!json_object_get(now, name))
      compare(d, path, value, NULL);
  }
}

static bool check_settings(struct manifest *m, const json_t *before, struct error *err)
{
  struct difference d = {.count = 0};
  compare(&d, "", before, m->settings);
  m->known = d.count == 0;
  if (m->known || m->overwrite)
    return true;
  char more[32] = "";
  if (d.count > 1)
    (void)snprintf(more, sizeof more, " (and %d more)", d.count - 1);
  return error_set(err, ERROR_FAILED, "%.60s: was made with %s %s, now it is %s%s; --overwrite replaces what is there",
                   m->out, d.key, d.before, d.now, more);
}

/* ---- earlier results -------------------------------------------------------------------------------------------- */

static bool file_hash(const char *path, char hex[65])
{
  struct file_map map;
  struct error ignored = {0};
  if (!file_map(path, RESULT_LIMIT, &map, &ignored))
    return false;
  bool ok = file_sha256(map.data, map.size, hex);
  file_unmap(&map);
  return ok;
}

/* List the results in OUT/`below`, two folders deep. */
static void list_results(struct manifest *m, const char *below, int depth)
{
  char dir[PATH_MAX], path[PATH_MAX], name[PATH_MAX], hex[65];
  char **names;
  size_t n;
  struct error ignored = {0};
  (void)snprintf(dir, sizeof dir, "%s/%s", m->out, below);
  if (!file_list(dir, &names, &n, &ignored))
    return;
  for (size_t i = 0; i < n; i++) {
    int a = snprintf(name, sizeof name, "%s%s%s", below, *below ? "/" : "", names[i]);
    int b = snprintf(path, sizeof path, "%s/%s/result.json", m->out, name);
    if (a < 0 || b < 0 || (size_t)a >= sizeof name || (size_t)b >= sizeof path)
      continue;
    if (file_hash(path, hex) && str_is_utf8(name))
      json_object_set_new(m->earlier, name, json_string(hex));
    if (depth > 1)
      list_results(m, name, depth - 1);
  }
  file_list_free(names, n);
}

static bool is_earlier(const struct manifest *m, const char *name, const char *hex)
{
  const char *recorded = json_string_value(json_object_get(m->earlier, name));
  return recorded && strcmp(recorded, hex) == 0;
}

/* Whether an earlier result of several methods lies below OUT/`name`. */
static bool is_above_earlier(const struct manifest *m, const char *name)
{
  const char *key;
  json_t *value;
  size_t n = strlen(name);
  json_object_foreach (m->earlier, key, value)
    if (strncmp(key, name, n) == 0 && key[n] == '/')
      return true;
  return false;
}

/* ---- the folder ------------------------------------------------------------------------------------------------- */

bool manifest_open(struct manifest *m, const char *out, json_t *settings, bool overwrite, struct error *err)
{
  *m = (struct manifest){.out = out, .settings = settings, .overwrite = overwrite, .earlier = json_object()};
  size_t size = strlen(out) + sizeof "/manifest.json";
  m->path = mem_alloc(size);
  if (!settings || !m->earlier || !m->path)
    return error_memory(err, "the manifest");
  (void)snprintf(m->path, size, "%s/manifest.json", out);
  if (file_exists(out) && !file_is_dir(out))
    return error_set(err, ERROR_FAILED, "%s: is a file, not a folder", out);
  m->existed = file_exists(m->path);
  if (!m->existed)
    return true;
  json_t *before = json_load_path(m->path, MANIFEST_LIMIT, err);
  if (!before)
    return false;
  const char *says = json_string_value(json_object_get(before, "schema"));
  bool ok = says && strcmp(says, schema) == 0
                ? check_settings(m, json_object_get(before, "settings"), err)
                : error_set(err, ERROR_FAILED, "%s: is no manifest of penumbra; choose another folder", m->path);
  if (ok && m->known)
    json_object_update(m->earlier, json_object_get(before, "earlier"));
  else if (ok)
    list_results(m, "", 2);
  json_decref(before);
  return ok;
}

void manifest_close(struct manifest *m)
{
  mem_free(m->path);
  json_decref(m->settings);
  json_decref(m->earlier);
  *m = (struct manifest){0};
}

static bool is_empty(const char *dir)
{
  char **names;
  size_t n;
  struct error ignored = {0};
  if (!file_list(dir, &names, &n, &ignored))
    return false;
  file_list_free(names, n);
  return n == 0;
}

bool manifest_slot(const struct manifest *m, const char *name, const char *sha256, enum slot *slot, json_t **result,
                   struct error *err)
{
  char dir[PATH_MAX], path[PATH_MAX], hex[65];
  *slot = SLOT_FREE;
  *result = NULL;
  int a = snprintf(dir, sizeof dir, "%s/%s", m->out, name),
      b = snprintf(path, sizeof path, "%s/%s/result.json", m->out, name);
  if (a < 0 || b < 0 || (size_t)b >= sizeof path)
    return error_set(err, ERROR_FAILED, "%.60s/%.60s: the path is longer than %d bytes", m->out, name, PATH_MAX);
  if (!file_exists(dir) || is_empty(dir))
    return true;
  if (!file_exists(path)) {
    if (!is_above_earlier(m, name))
      return error_set(err, ERROR_FAILED, "%s: exists and holds no result of penumbra; it is not replaced", dir);
    *slot = SLOT_REPLACE;
    return true;
  }
  if (m->overwrite || (file_hash(path, hex) && is_earlier(m, name, hex))) {
    *slot = SLOT_REPLACE;
    return true;
  }
  if (!m->known)
    return error_set(err, ERROR_FAILED,
                     "%s: holds a result of unknown settings (no manifest.json); --overwrite replaces it", dir);
  json_t *found = json_load_path(path, RESULT_LIMIT, err);
  if (!found)
    return false;
  const char *image = json_string_value(json_object_get(json_object_get(found, "image"), "sha256"));
  if (!image || strcmp(image, sha256) != 0) {
    const char *of = json_string_value(json_object_get(json_object_get(found, "image"), "path"));
    error_set(err, ERROR_FAILED, "%.80s: holds the result of another image (%.80s); --overwrite replaces it", dir,
              of ? of : "unknown");
    json_decref(found);
    return false;
  }
  *slot = SLOT_DONE;
  *result = found;
  return true;
}

bool manifest_make_room(const struct manifest *m, const char *stem, struct error *err)
{
  char dir[PATH_MAX], path[PATH_MAX];
  int a = snprintf(dir, sizeof dir, "%s/%s", m->out, stem),
      b = snprintf(path, sizeof path, "%s/%s/result.json", m->out, stem);
  if (a < 0 || b < 0 || (size_t)b >= sizeof path || !file_exists(path))
    return true;
  if (!m->overwrite && !json_object_get(m->earlier, stem))
    return error_set(err, ERROR_FAILED, "%s: holds the result of a single method; --overwrite replaces it", dir);
  struct output output; /* an empty folder takes its place */
  bool ok = output_begin(&output, dir, true, err) && output_commit(&output, err);
  output_end(&output);
  return ok;
}

bool manifest_write(struct manifest *m, struct error *err)
{
  if (m->known || m->created)
    return true;
  json_t *root = json_pack("{s:s, s:O}", "schema", schema, "settings", m->settings);
  if (root && json_object_size(m->earlier))
    json_object_set(root, "earlier", m->earlier);
  if (!root)
    return error_memory(err, "the manifest");
  bool ok;
  if (file_is_dir(m->out)) {
    ok = json_write_path(root, m->path, err);
  } else { /* the folder appears with its manifest in it */
    struct output output;
    char path[PATH_MAX];
    ok = output_begin(&output, m->out, false, err) && output_path(&output, "manifest.json", path, sizeof path, err) &&
         json_write_path(root, path, err) && output_commit(&output, err);
    output_end(&output);
    m->made_folder = ok;
  }
  json_decref(root);
  m->created = ok;
  return ok;
}

void manifest_undo(struct manifest *m)
{
  if (m->created && !m->existed) {
    (void)unlink(m->path);
    if (m->made_folder)
      (void)rmdir(m->out);
    m->created = m->made_folder = false;
  }
}
