/* SPDX-License-Identifier: Apache-2.0 */
#include "render/report_parts.h"

#include "methods/method.h"

#include <stdio.h>
#include <string.h>

/* The picture's and the maps' longer sides, px: the first pair that lets the page fit is taken. */
static const int sides[][2] = {{768, 448}, {640, 320}, {512, 256}, {384, 192}, {256, 128}, {128, 64}};

static const char *base_name(const char *path)
{
  const char *slash = strrchr(path, '/');
  return slash && slash[1] ? slash + 1 : path;
}

/* ---- head and foot ---------------------------------------------------------------------------------------------- */

static bool append_head(const json_t *result, struct str *html, struct error *err)
{
  str_append(html,
             "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
             "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src ");
  if (!html_hash(html, report_style))
    return error_memory(err, "the report");
  str_append(html, "; script-src ");
  if (!html_hash(html, report_script))
    return error_memory(err, "the report");
  str_append(html, "; base-uri 'none'; form-action 'none'\">\n<meta name=\"color-scheme\" content=\"light dark\">\n"
                   "<meta name=\"generator\" content=\"penumbra " PENUMBRA_VERSION "\">\n<title>");
  html_printf(html, "%.200s in %.200s", report_text(result, "target", "label"),
              base_name(report_text(result, "image", "path")));
  str_append(html, "</title>\n<style>");
  str_append(html, report_style);
  return str_append(html, "</style>\n</head>\n<body>\n");
}

static void append_header(const json_t *result, struct str *html)
{
  const char *model = base_name(report_text(result, "model", "path"));
  str_append(html, "<header>\n<h1>What speaks for <em>");
  html_text(html, report_text(result, "target", "label"));
  str_append(html, "</em></h1>\n<p class=\"score\"><span class=\"number\">");
  html_number(html, report_number(result, "target", "score"), 3);
  str_printf(html, "</span> %s</p>\n<p class=\"source\">",
             strcmp(report_text(result, "target", "scale"), "prob") == 0 ? "is the probability the model gives"
                                                                         : "is the score before the last activation");
  html_text(html, base_name(report_text(result, "image", "path")));
  html_printf(html, ", %d \xC3\x97 %d px", (int)json_integer_value(report_get(result, "image", "width")),
              (int)json_integer_value(report_get(result, "image", "height")));
  if (*model)
    html_printf(html, "; model %.200s", model);
  str_append(html, "</p>\n<p class=\"clinical\">Not for clinical use.</p>\n</header>\n<main>\n");
}

static void append_footer(struct str *html)
{
  str_append(html,
             "</main>\n<footer><p>Made by penumbra " PENUMBRA_VERSION ". Not for clinical use.</p></footer>\n<script>");
  str_append(html, report_script);
  str_append(html, "</script>\n</body>\n</html>\n");
}

/* ---- the viewer ------------------------------------------------------------------------------------------------- */

static void append_methods(const struct report *report, const struct report_pictures *pictures, struct str *html)
{
  str_printf(html, "<fieldset class=\"methods\"%s><legend>Method</legend>\n", report->count > 1 ? "" : " hidden");
  for (int i = 0; i < report->count; i++) {
    const struct report_scale *scale = &pictures->scale[i];
    str_printf(html, "<label><input type=\"radio\" name=\"method\" value=\"%d\" data-limit=\"%.9e\"%s> ", i,
               scale->limit, i ? "" : " checked");
    html_text(html, report_method(report, i));
    str_append(html, "</label>\n");
  }
  str_append(html, "</fieldset>\n");
}

static void append_controls(const struct report *report, const struct report_pictures *pictures, struct str *html)
{
  str_append(html, "<div class=\"controls\" role=\"group\" aria-label=\"View\">\n");
  append_methods(report, pictures, html);
  str_append(
      html, "<p class=\"slider\"><label for=\"opacity\">Opacity of the map</label> <output for=\"opacity\" "
            "id=\"opacity-value\">65 %</output>\n<input type=\"range\" id=\"opacity\" min=\"0\" max=\"100\" step=\"5\" "
            "value=\"65\"></p>\n"
            "<p class=\"slider\"><label for=\"gain\">Ends of the scale divided by</label> <output for=\"gain\" "
            "id=\"gain-value\">1</output>\n<input type=\"range\" id=\"gain\" min=\"0\" max=\"5\" step=\"1\" "
            "value=\"0\"></p>\n"
            "<p class=\"slider\"><label for=\"threshold\">Hide weaker than</label> <output for=\"threshold\" "
            "id=\"threshold-value\">0</output>\n<input type=\"range\" id=\"threshold\" min=\"0\" max=\"95\" step=\"5\" "
            "value=\"0\"></p>\n");
  if (pictures->scale[0].both_signs)
    str_append(html, "<fieldset class=\"signs\"><legend>Show evidence</legend>\n"
                     "<label><input type=\"radio\" name=\"sign\" value=\"both\" checked> for and against</label>\n"
                     "<label><input type=\"radio\" name=\"sign\" value=\"for\"> for</label>\n"
                     "<label><input type=\"radio\" name=\"sign\" value=\"against\"> against</label>\n</fieldset>\n");
  if (report->count > 1)
    str_printf(html,
               "<p><label><input type=\"checkbox\" id=\"common\" data-limit=\"%.9e\"> One scale for all methods"
               "</label></p>\n",
               pictures->common);
  if (pictures->color)
    str_append(html, "<p><label><input type=\"checkbox\" id=\"hue\"> Picture in its own colours</label></p>\n");
  str_append(html, "</div>\n");
}

static void describe(const struct report *report, int map, char *text, size_t size)
{
  const json_t *result = report->maps[map].result;
  (void)snprintf(text, size, "%.100s with the map of %.60s over it", base_name(report_text(result, "image", "path")),
                 report_method(report, map));
}

static void append_viewer(const struct report *report, const struct report_pictures *pictures, struct str *html)
{
  char title[256];
  describe(report, 0, title, sizeof title);
  str_printf(html,
             "<section class=\"viewer\" aria-labelledby=\"viewer-title\" data-signed=\"%d\">\n"
             "<h2 id=\"viewer-title\">Map</h2>\n<figure>\n",
             pictures->scale[0].both_signs);
  report_stage(pictures, report, 0, "stage", title, html);
  str_append(html, "<figcaption>\n");
  report_legend(pictures, 0, html);
  str_append(html, "<p class=\"note\">");
  if (pictures->scale[0].both_signs)
    str_append(html, "Red speaks for <strong class=\"label\">");
  else
    str_append(html, "Bright speaks for <strong class=\"label\">");
  html_text(html, report_text(report->maps[0].result, "target", "label"));
  str_append(html, pictures->scale[0].both_signs ? "</strong>: without it the score falls. Blue speaks against it."
                                                 : "</strong>: without it the score falls.");
  if (pictures->unseen)
    str_append(html, " Hatched: not seen by the model.");
  str_append(html, "</p>\n<p id=\"status\" role=\"status\" class=\"quiet\"></p>\n</figcaption>\n</figure>\n");
  append_controls(report, pictures, html);
  str_append(html, "</section>\n");
}

/* ---- sections --------------------------------------------------------------------------------------------------- */

/* All maps at once, each a way to have it shown large. */
static void append_cards(const struct report *report, const struct report_pictures *pictures, struct str *html)
{
  char title[256];
  str_append(html, "<section aria-labelledby=\"cards-title\">\n<h2 id=\"cards-title\">Side by side</h2>\n"
                   "<ul class=\"cards\">\n");
  for (int i = 0; i < report->count; i++) {
    describe(report, i, title, sizeof title);
    str_append(html, "<li><figure>\n");
    report_stage(pictures, report, i, NULL, title, html);
    str_append(html, "<figcaption><strong>");
    html_text(html, report_method(report, i));
    str_append(html, "</strong>\n");
    report_legend(pictures, i, html);
    str_append(html, "</figcaption></figure></li>\n");
  }
  str_append(html, "</ul>\n</section>\n");
}

static bool append_method(const struct report *report, const struct report_pictures *pictures, int map,
                          struct str *html, struct error *err)
{
  const struct method *method = method_find(report_method(report, map));
  str_printf(html,
             "<section class=\"method\" id=\"method-%d\" aria-labelledby=\"method-title-%d\">\n"
             "<h2 id=\"method-title-%d\">",
             map, map, map);
  html_text(html, report_method(report, map));
  if (method)
    html_printf(html, ": %s", method->title);
  str_append(html, "</h2>\n");
  report_verdict(report, pictures, map, html);
  report_warnings(report, map, html);
  str_append(html, "<h3>How far this map can be trusted</h3>\n");
  report_trust(report, map, html);
  str_append(html, "<h3>Curves</h3>\n");
  if (!report_curves(report, map, html, err))
    return false;
  report_records(report, map, html);
  str_append(html, "<details><summary>To make this map again</summary>\n");
  if (!report_again(report, map, html, err))
    return false;
  str_append(html, "</details>\n</section>\n");
  return true;
}

static bool append_comparison(const struct report *report, struct str *html, struct error *err)
{
  str_append(html, "<section aria-labelledby=\"evidence-title\">\n<h2 id=\"evidence-title\">Evidence</h2>\n");
  report_trust_table(report, html);
  str_append(html, "<h3>Curves</h3>\n");
  if (!report_curves_of_all(report, html, err))
    return false;
  if (report->agreement) {
    str_append(html,
               "<h3>Do the maps agree?</h3>\n<p>Rank correlation (Spearman) of every map with every other: 1, the same "
               "order of pixels; 0, unrelated.</p>\n");
    report_agreement(report, html);
  }
  str_append(html, "</section>\n");
  return true;
}

static bool append_page(const struct report *report, struct report_pictures *pictures, const int side[2],
                        struct str *html, struct error *err)
{
  const json_t *result = report->maps[0].result;
  if (!append_head(result, html, err) || !report_store(report, pictures, side[0], side[1], html, err))
    return false;
  append_header(result, html);
  append_viewer(report, pictures, html);
  if (report->count > 1) {
    append_cards(report, pictures, html);
    if (!append_comparison(report, html, err))
      return false;
  }
  for (int i = 0; i < report->count; i++)
    if (!append_method(report, pictures, i, html, err))
      return false;
  str_append(html, "<section aria-labelledby=\"scores-title\">\n<h2 id=\"scores-title\">Scores</h2>\n");
  report_scores(report, html);
  str_append(html, "</section>\n");
  report_artifacts(report, html);
  append_footer(html);
  return !html->failed;
}

bool report_html(const struct report *report, struct str *html, struct error *err)
{
  struct report_pictures pictures = {0};
  if (report->count < 1 || report->count > REPORT_MAX_MAPS)
    return error_set(err, ERROR_USAGE, "report: %d maps are outside 1..%d", report->count, REPORT_MAX_MAPS);
  report_scales(report, &pictures);
  for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
    struct error failed = {ERROR_NONE};
    if (append_page(report, &pictures, sides[i], html, &failed))
      return true;
    if (!html->failed) { /* not a matter of size */
      *err = failed;
      return false;
    }
    str_free(html);
  }
  return error_set(err, ERROR_MEMORY, "report: out of memory, or the page would be larger than %zu bytes", html->limit);
}
