/* SPDX-License-Identifier: Apache-2.0 */
/* What was recorded of a map: all that the method wrote down of itself, and how to make the map again. */
#include "render/report_parts.h"

#include "render/text.h"

#include <stdio.h>
#include <string.h>

/* ---- what the method wrote down ---------------------------------------------------------------------------------- */

enum { MOST_ROWS = 80, MOST_DEPTH = 6, MOST_ITEMS = 8, PATH_SIZE = 200 };

static bool is_plain(const json_t *value)
{
  return json_is_string(value) || json_is_number(value) || json_is_boolean(value);
}

static void append_plain(const json_t *value, struct str *html)
{
  if (json_is_string(value))
    html_text(html, json_string_value(value));
  else if (json_is_integer(value))
    str_printf(html, "%lld", (long long)json_integer_value(value));
  else if (json_is_real(value))
    html_number(html, json_real_value(value), 4);
  else
    str_append(html, json_is_true(value) ? "yes" : "no");
}

/* "score_after" reads "score after". */
static void append_name(const char *path, struct str *html)
{
  char name[PATH_SIZE];
  (void)snprintf(name, sizeof name, "%s", path);
  for (char *p = name; *p; p++)
    *p = *p == '_' ? ' ' : *p;
  html_text(html, name);
}

/* One row for every value of an object or array, however deep; lists of plain values share one row. */
static void append_rows(const char *path, const json_t *value, int depth, int *rows, struct str *html)
{
  char below[PATH_SIZE];
  const size_t items = json_array_size(value);
  bool list = items > 0 && items <= MOST_ITEMS;
  for (size_t i = 0; list && i < items; i++)
    list = is_plain(json_array_get(value, i));
  if (is_plain(value) || list) {
    if (++*rows > MOST_ROWS)
      return;
    str_append(html, "<dt>");
    append_name(path, html);
    str_append(html, "</dt><dd>");
    if (!list)
      append_plain(value, html);
    for (size_t i = 0; list && i < items; i++) {
      str_append(html, i ? ", " : "");
      append_plain(json_array_get(value, i), html);
    }
    str_append(html, "</dd>\n");
    return;
  }
  const char *key;
  json_t *item;
  size_t i;
  if (depth == MOST_DEPTH)
    return;
  json_object_foreach ((json_t *)(uintptr_t)value, key, item) {
    (void)snprintf(below, sizeof below, "%s%s%s", path, *path ? ", " : "", key);
    append_rows(below, item, depth + 1, rows, html);
  }
  json_array_foreach (value, i, item) {
    (void)snprintf(below, sizeof below, "%s %zu", path, i + 1);
    if (i < MOST_ITEMS)
      append_rows(below, item, depth + 1, rows, html);
  }
}

void report_records(const struct report *report, int map, struct str *html)
{
  static const char *const elsewhere[] = {"name", "params", "seed", "evaluations", "stopped_by", "paper"};
  const json_t *result = report->maps[map].result;
  const char *key;
  json_t *value;
  int rows = 0;
  str_append(html, "<details><summary>What the method recorded</summary>\n<dl class=\"facts\">\n");
  append_rows("", json_object_get(result, "quality"), 0, &rows, html);
  json_object_foreach (json_object_get(result, "method"), key, value) {
    bool shown = false;
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
      shown |= strcmp(key, elsewhere[i]) == 0;
    if (!shown)
      append_rows(key, value, 0, &rows, html);
  }
  str_append(html, "</dl>\n");
  if (rows == 0 || rows > MOST_ROWS)
    str_append(html,
               rows ? "<p class=\"note\">And more, in result.json.</p>\n" : "<p class=\"note\">Nothing more.</p>\n");
  str_append(html, "</details>\n");
}

/* ---- doing it again --------------------------------------------------------------------------------------------- */

/* A word of a shell's command line. */
static void append_word(const char *word, struct str *html)
{
  static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:=,+@%";
  const bool quoted = !*word || word[strspn(word, plain)];
  str_append(html, quoted ? " &#39;" : " ");
  for (const char *p = word; *p;) {
    char one[8] = "";
    const char *from = p;
    (void)text_next(&p);
    memcpy(one, from, (size_t)(p - from));
    if (*one == '\'') /* ends the quoted part, stands alone, begins the next */
      html_text(html, "'\\''");
    else
      html_text(html, one);
  }
  str_append(html, quoted ? "&#39;" : "");
}

static void append_option(const char *name, const json_t *value, struct str *html)
{
  const char *text = json_string_value(value);
  char number[TEXT_NUMBER];
  if (json_is_integer(value))
    (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
  else if (json_is_real(value))
    (void)text_number(json_real_value(value), 9, false, number);
  else if (json_is_boolean(value))
    (void)snprintf(number, sizeof number, "%s", json_is_true(value) ? "on" : "off");
  else if (!text || !*text)
    return;
  str_append(html, " --");
  html_text(html, name);
  if (json_is_boolean(value)) {
    str_printf(html, "=%s", number);
    return;
  }
  append_word(text ? text : number, html);
}

static void append_command(const json_t *result, struct str *html)
{
  const json_t *method = json_object_get(result, "method");
  const char *name, *model = report_text(result, "model", "path"), *scale = report_text(result, "target", "scale");
  json_t *value;
  str_append(html, "<pre tabindex=\"0\"><code>penumbra explain");
  append_word(*model ? model : "MODEL", html);
  append_word(report_text(result, "image", "path"), html);
  str_append(html, " -m ");
  html_text(html, report_text(method, "name", NULL));
  str_printf(html, " -t %lld --score ", (long long)json_integer_value(report_get(result, "target", "index")));
  html_text(html, scale);
  str_printf(html, " --seed %lld", (long long)json_integer_value(json_object_get(method, "seed")));
  json_object_foreach (json_object_get(method, "params"), name, value)
    append_option(name, value, html);
  if (strcmp(report_text(method, "stopped_by", NULL), "budget") == 0)
    str_printf(html, " --evals %lld", (long long)json_integer_value(json_object_get(method, "evaluations")));
  str_append(html, "</code></pre>\n");
}

static void append_fact(const char *title, const char *text, struct str *html)
{
  str_printf(html, "<dt>%s</dt><dd>", title);
  html_text(html, *text ? text : "not known");
  str_append(html, "</dd>\n");
}

/* ASCII only, so that no character is cut in two. */
static int append_json(const char *bytes, size_t size, void *html)
{
  char part[256];
  for (size_t n; size > 0; bytes += n, size -= n) {
    n = size < sizeof part ? size : sizeof part - 1;
    memcpy(part, bytes, n);
    part[n] = '\0';
    html_text(html, part);
  }
  return 0;
}

bool report_again(const struct report *report, int map, struct str *html, struct error *err)
{
  const json_t *result = report->maps[map].result, *method = json_object_get(result, "method");
  const char *stopped_by = report_text(method, "stopped_by", NULL);
  append_command(result, html);
  str_append(html,
             "<p class=\"note\">With the same model card, the same version and the same bytes of model and image this "
             "gives the same map.</p>\n<dl class=\"facts\">\n");
  append_fact("Method", report_text(method, "paper", NULL), html);
  append_fact("Model, SHA-256", report_text(result, "model", "sha256"), html);
  append_fact("Image, SHA-256", report_text(result, "image", "sha256"), html);
  str_append(html, "<dt>Preprocessing</dt><dd>");
  if (json_dump_callback(json_object_get(result, "preprocessing"), append_json, html,
                         JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9)) != 0)
    return error_memory(err, "the report");
  str_printf(html, "</dd>\n<dt>Evaluations</dt><dd>%lld, ",
             (long long)json_integer_value(json_object_get(method, "evaluations")));
  html_printf(html, "%s%s", strcmp(stopped_by, "complete") == 0 ? "" : "stopped by ", stopped_by);
  str_append(html, "</dd>\n<dt>Time</dt><dd>");
  html_number(html, report_number(result, "timing", "total_s"), 3);
  str_printf(html, " s</dd>\n<dt>Seed</dt><dd>%lld</dd>\n</dl>\n",
             (long long)json_integer_value(json_object_get(method, "seed")));
  return true;
}
