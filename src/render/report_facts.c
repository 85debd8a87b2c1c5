/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of a map, in words and figures. What nobody measured reads 'not measured'. */
#include "render/report_parts.h"

#include "methods/fills_each.h"
#include "metrics/metric.h"
#include "metrics/student.h"
#include "render/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char report_not_measured[] = "<span class=\"none\">not measured</span>";

/* ---- looking things up ------------------------------------------------------------------------------------------ */

const json_t *report_get(const json_t *object, const char *key, const char *below)
{
  const json_t *found = json_object_get(object, key);
  return below ? json_object_get(found, below) : found;
}

const char *report_text(const json_t *object, const char *key, const char *below)
{
  const char *text = json_string_value(report_get(object, key, below));
  return text ? text : "";
}

double report_value(const json_t *value)
{
  return json_is_number(value) ? json_number_value(value) : NAN;
}

double report_number(const json_t *object, const char *key, const char *below)
{
  return report_value(report_get(object, key, below));
}

const char *report_method(const struct report *report, int map)
{
  return report_text(report->maps[map].result, "method", "name");
}

static const char *label_of(const json_t *result)
{
  return report_text(result, "target", "label");
}

/* ---- the verdict ------------------------------------------------------------------------------------------------ */

void report_verdict(const struct report *report, const struct report_pictures *pictures, int map, struct str *html)
{
  const json_t *result = report->maps[map].result, *at = report_get(result, "map", "strongest");
  const json_t *top = json_array_get(json_object_get(result, "top_classes"), 0);
  const char *label = label_of(result);
  str_append(html, "<p class=\"verdict\">");
  if (pictures->scale[map].limit == 0)
    html_printf(html, "No evidence found: the map is flat. It tells nothing about %.200s.", label);
  else if (report_number(result, "map", "max") > 0)
    html_printf(html, "The strongest evidence for %.200s lies at x %lld, y %lld px.", label,
                (long long)json_integer_value(json_array_get(at, 0)),
                (long long)json_integer_value(json_array_get(at, 1)));
  else
    html_printf(html, "Nothing in the picture speaks for %.200s.", label);
  if (top &&
      json_integer_value(json_object_get(top, "index")) != json_integer_value(report_get(result, "target", "index"))) {
    html_printf(html, " The model's first choice is another class: %.200s (", report_text(top, "label", NULL));
    html_number(html, report_number(top, "score", NULL), 3);
    str_append(html, ").");
  }
  str_append(html, "</p>\n");
}

/* ---- measured or not -------------------------------------------------------------------------------------------- */

struct measured {
  double value, lo, hi; /* NAN: not measured; no interval */
};

/* A number, or an object of a value and its interval. */
static struct measured read_measured(const json_t *value)
{
  if (json_is_object(value))
    return (struct measured){report_number(value, "value", NULL), report_number(value, "lo", NULL),
                             report_number(value, "hi", NULL)};
  return (struct measured){report_value(value), NAN, NAN};
}

/* The 95 % interval of a difference between one map's order and random ones on one image: a single order is asked
 * whether it stands out of the spread of random orders, so that spread enters once more beside the error of the mean.
 */
static struct measured above_random(const json_t *metrics)
{
  const json_t *region = json_object_get(metrics, "region"), *spread = report_get(region, "spread", "difference");
  const double value = report_number(region, "values", "difference"), sd = report_number(spread, "sd", NULL);
  const double n = report_number(spread, "n", NULL);
  struct measured m = {value, NAN, NAN};
  if (isfinite(sd) && n >= 2) {
    const double half = student_95((int64_t)n - 1) * sd * sqrt(1 + 1 / n);
    m.lo = value - half;
    m.hi = value + half;
  }
  return m;
}

enum figure_source { FROM_TRUST, FROM_REGION, FROM_METRIC };

static const struct figure {
  const char *key;
  enum figure_source source;
  const char *value; /* of a metric */
  const char *title;
  const char *sentence;
} figures[] = {
    {"aopc_above_random", FROM_REGION, NULL, "AOPC above random",
     "How much further the score falls, on average over the steps, when regions are replaced in the map's order than "
     "in "
     "random orders. The whole interval above 0: the map knows where the evidence is."},
    {"deletion", FROM_METRIC, "auc", "Deletion",
     "Area under the score while pixels are hidden in the map's order; low is good."},
    {"insertion", FROM_METRIC, "auc", "Insertion",
     "Area under the score while pixels appear on a blurred picture in the map's order; high is good."},
    {"completeness_gap", FROM_TRUST, NULL, "Completeness gap",
     "By what share the map's values, in sum, miss the change of the score that they should account for; 0 is best."},
    {"standard_error", FROM_TRUST, NULL, "Standard error",
     "Sampling error where the map is least certain, on the map's own scale."},
    {"r2", FROM_TRUST, NULL, "R\xC2\xB2",
     "Share of the score's spread over masked pictures that the linear model behind this map explains; 1 is best."},
    {"stability", FROM_TRUST, NULL, "Stability over fills",
     "Mean rank correlation between the maps of this run's different fills; at 1 the choice of the fill does not "
     "matter."},
    {"stability", FROM_METRIC, "spearman", "Stability over seeds",
     "Mean rank correlation between maps made with different random numbers; at 1 chance plays no part."},
    {"artifact_share", FROM_TRUST, NULL, "Artifact share",
     "Share of this run's own masked pictures in which another finding rose over its threshold: there the covering "
     "itself "
     "looks like something."},
    {"artifact_rate", FROM_TRUST, NULL, "Artifact rate",
     "How often a patch of this map's fill on a normal picture makes the model see a finding; of several fills the "
     "highest "
     "rate."},
};
enum { FIGURES = sizeof figures / sizeof *figures };

static struct measured figure_of(const struct report_map *map, const struct figure *figure)
{
  const json_t *trust = json_object_get(map->result, "trust");
  if (figure->source == FROM_METRIC)
    return read_measured(report_get(json_object_get(map->metrics, figure->key), "values", figure->value));
  const struct measured here =
      figure->source == FROM_REGION ? above_random(map->metrics) : (struct measured){NAN, NAN, NAN};
  return isfinite(here.value) ? here : read_measured(json_object_get(trust, figure->key));
}

static void append_measured(const struct measured *m, struct str *html)
{
  if (!isfinite(m->value)) {
    str_append(html, report_not_measured);
    return;
  }
  html_number(html, m->value, 3);
  if (isfinite(m->lo) && isfinite(m->hi)) {
    str_append(html, " <span class=\"interval\">[");
    html_number(html, m->lo, 3);
    str_append(html, ", ");
    html_number(html, m->hi, 3);
    str_append(html, "]</span>");
  }
}

/* A standard error says little without the size of what it is the error of. */
static void append_share_of_map(const struct report_map *map, const struct figure *figure, double value,
                                struct str *html)
{
  const double most =
      fmax(fabs(report_number(map->result, "map", "min")), fabs(report_number(map->result, "map", "max")));
  if (strcmp(figure->key, "standard_error") != 0 || !(most > 0))
    return;
  str_append(html, " <span class=\"interval\">");
  html_number(html, 100 * value / most, 2);
  str_append(html, " % of the largest value</span>");
}

/* Metrics that somebody asked for and that the figures above do not hold: their headline. */
static void append_further(const struct report_map *map, struct str *html)
{
  for (int i = 0; metric_at(i); i++) {
    const struct metric *metric = metric_at(i);
    const json_t *measurement = json_object_get(map->metrics, metric->name);
    const struct measured value = read_measured(report_get(measurement, "values", metric->headline));
    bool shown = strcmp(metric->name, "region") == 0;
    for (int k = 0; k < FIGURES; k++)
      shown |= figures[k].source == FROM_METRIC && strcmp(figures[k].key, metric->name) == 0;
    if (shown || !measurement)
      continue;
    html_printf(html, "<div><dt>%s</dt><dd>", metric->title);
    append_measured(&value, html);
    html_printf(html, " (%s)", metric->headline);
    html_printf(html, "<p>%s; %s is better.</p></dd></div>\n", metric->summary,
                metric->less_is_better ? "less" : "more");
  }
}

void report_trust(const struct report *report, int map, struct str *html)
{
  const struct report_map *m = &report->maps[map];
  bool measured[FIGURES];
  int n = 0;
  str_append(html, "<dl class=\"trust\">\n");
  for (int i = 0; i < FIGURES; i++) {
    const struct measured value = figure_of(m, &figures[i]);
    measured[i] = isfinite(value.value);
    if (!measured[i])
      continue;
    n++;
    str_printf(html, "<div><dt>%s</dt><dd>", figures[i].title);
    append_measured(&value, html);
    append_share_of_map(m, &figures[i], value.value, html);
    str_printf(html, "<p>%s</p></dd></div>\n", figures[i].sentence);
  }
  append_further(m, html);
  str_append(html, "</dl>\n");
  if (n == FIGURES)
    return;
  str_append(html, "<dl class=\"facts\">\n");
  for (int i = 0; i < FIGURES; i++)
    if (!measured[i])
      str_printf(html, "<dt>%s</dt><dd>%s</dd>\n", figures[i].title, report_not_measured);
  str_append(html, "</dl>\n");
}

/* Whether the figure is known of any map: a column that only says 'not measured' would push the others off the page. */
static bool in_table(const struct report *report, const struct figure *figure)
{
  for (int k = 0; k < report->count; k++)
    if (isfinite(figure_of(&report->maps[k], figure).value))
      return true;
  return false;
}

static void append_missing(const bool *column, struct str *html)
{
  int n = 0;
  for (int i = 0; i < FIGURES; i++)
    if (!column[i])
      str_printf(html, "%s%s", n++ ? ", " : "<p>Not measured of any of these maps: ", figures[i].title);
  if (n)
    str_append(html, ".</p>\n");
}

void report_trust_table(const struct report *report, struct str *html)
{
  bool column[FIGURES];
  str_append(html, "<section class=\"scroll\" tabindex=\"0\" aria-label=\"Evidence for each method\">\n<table>\n"
                   "<thead><tr><th scope=\"col\">Method</th>");
  for (int i = 0; i < FIGURES; i++) {
    column[i] = in_table(report, &figures[i]);
    if (column[i])
      str_printf(html, "<th scope=\"col\">%s</th>", figures[i].title);
  }
  str_append(html,
             "<th scope=\"col\">Score, all hidden</th><th scope=\"col\">Evaluations</th><th scope=\"col\">Seconds</th>"
             "</tr></thead>\n<tbody>\n");
  for (int k = 0; k < report->count; k++) {
    const json_t *result = report->maps[k].result;
    const struct measured full = {report_number(result, "quality", "score_full_fill"), NAN, NAN};
    str_append(html, "<tr><th scope=\"row\">");
    html_text(html, report_method(report, k));
    str_append(html, "</th>");
    for (int i = 0; i < FIGURES; i++) {
      if (!column[i])
        continue;
      const struct measured value = figure_of(&report->maps[k], &figures[i]);
      str_append(html, "<td>");
      append_measured(&value, html);
      str_append(html, "</td>");
    }
    str_append(html, "<td>");
    append_measured(&full, html);
    str_printf(html, "</td><td>%lld</td><td>",
               (long long)json_integer_value(report_get(result, "method", "evaluations")));
    html_number(html, report_number(result, "timing", "total_s"), 3);
    str_append(html, "</td></tr>\n");
  }
  str_append(html, "</tbody></table></section>\n");
  append_missing(column, html);
  str_append(html, "<details><summary>What the figures mean</summary>\n<dl class=\"meaning\">\n");
  for (int i = 0; i < FIGURES; i++)
    str_printf(html, "<dt>%s</dt><dd>%s</dd>\n", figures[i].title, figures[i].sentence);
  str_append(html, "</dl></details>\n");
}

/* ---- warnings --------------------------------------------------------------------------------------------------- */

/* What a warning means for the reader, by its identifier. */
static const struct {
  const char *id, *advice;
} advices[] = {
    {"flat-map", "Read nothing into this picture."},
    {"saturated", "Near certainty hides what the model weighs; explain what enters the last activation instead."},
    {"no-change", "There, hiding shows nothing; another fill may."},
    {"weak-fill", "A map can only tell as much as hiding everything does; another fill may tell more."},
    {"low-fit", "Trust the picture no more than the fit."},
    {"few-samples", "Another seed may give another picture; let more samples be drawn."},
    {"not-converged", "Another seed may give another picture; let more samples be drawn."},
    {"starts-disagree", "There are several pictures that explain the score as well as this one."},
    {"not-refined", "This is the map that was to be refined, not a better one."},
    {"partial-cover", "Parts that were not looked at read zero."},
    {"fill-mean-missing",
     "A card that states the mean of the training pictures makes the fill comparable between images."},
    {"quantised-gradient", "The gradient is an approximation."},
    {"model-independent", "This map hardly depends on what the model has learnt: do not use it as evidence."},
    {"self-fill", "There, the picture was filled with itself, which hides nothing."},
};

static void append_warning(const char *id, const char *message, struct str *html)
{
  str_append(html, "<li>");
  html_text(html, message);
  for (size_t i = 0; i < sizeof advices / sizeof *advices; i++)
    if (strcmp(advices[i].id, id) == 0)
      str_printf(html, ". <span class=\"advice\">%s</span>", advices[i].advice);
  str_append(html, "</li>\n");
}

static int append_warnings(const json_t *list, const char *of, struct str *html)
{
  size_t i;
  const json_t *warning;
  char message[400];
  json_array_foreach (list, i, warning) {
    (void)snprintf(message, sizeof message, "%s%s%s", of, *of ? ": " : "", report_text(warning, "message", NULL));
    append_warning(report_text(warning, "id", NULL), message, html);
  }
  return (int)i;
}

void report_warnings(const struct report *report, int map, struct str *html)
{
  const struct report_map *m = &report->maps[map];
  const struct measured random = figure_of(m, &figures[0]);
  const char *metric;
  json_t *measurement;
  int n = 0;
  str_append(html, "<h3 class=\"quiet\">Warnings</h3>\n<ul class=\"warnings\">\n");
  if (isfinite(random.lo) && random.lo <= 0 && ++n)
    append_warning("",
                   random.hi < 0
                       ? "This map is worse than random on this image: replacing regions at random lowers the "
                         "score more than following the map"
                       : "This map is no better than random on this image",
                   html);
  n += append_warnings(json_object_get(m->result, "warnings"), "", html);
  json_object_foreach ((json_t *)(uintptr_t)m->metrics, metric, measurement)
    n += append_warnings(json_object_get(measurement, "warnings"), metric, html);
  if (n == 0)
    str_append(html, "<li class=\"clear\">No warnings.</li>\n");
  str_append(html, "</ul>\n");
}

/* ---- scores ----------------------------------------------------------------------------------------------------- */

static void append_score(const char *label, double score, bool target, bool probability, struct str *html)
{
  str_append(html, target ? "<tr class=\"target\"><th scope=\"row\">" : "<tr><th scope=\"row\">");
  html_text(html, label);
  str_append(html, target ? " <small>explained</small></th><td>" : "</th><td>");
  html_number(html, score, 4);
  str_append(html, "</td><td class=\"level\">");
  if (probability && score >= 0 && score <= 1) {
    char width[TEXT_NUMBER];
    str_printf(html,
               "<svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"track\" "
               "width=\"100\" height=\"8\"/><rect class=\"fill\" width=\"%s\" height=\"8\"/></svg>",
               text_coordinate(100 * score, width));
  }
  str_append(html, "</td></tr>\n");
}

void report_scores(const struct report *report, struct str *html)
{
  const json_t *result = report->maps[0].result, *top = json_object_get(result, "top_classes"), *class;
  const json_int_t target = json_integer_value(report_get(result, "target", "index"));
  const bool probability = strcmp(report_text(result, "target", "scale"), "prob") == 0;
  bool shown = false;
  size_t i;
  str_printf(html,
             "<table class=\"scores\">\n<thead><tr><th scope=\"col\">Class</th><th scope=\"col\">%s</th>"
             "<td></td></tr></thead>\n<tbody>\n",
             probability ? "Probability" : "Score before the last activation");
  json_array_foreach (top, i, class) {
    const bool is_target = json_integer_value(json_object_get(class, "index")) == target;
    append_score(report_text(class, "label", NULL), report_number(class, "score", NULL), is_target, probability, html);
    shown |= is_target;
  }
  if (!shown)
    append_score(label_of(result), report_number(result, "target", "score"), true, probability, html);
  const size_t classes = json_array_size(json_object_get(result, "scores"));
  str_append(html, "</tbody></table>\n");
  if (classes > i)
    str_printf(html, "<p class=\"note\">The %zu highest of %zu classes.</p>\n", i, classes);
  str_append(html, "<p>With everything hidden the score of ");
  html_text(html, label_of(result));
  str_append(html, " is ");
  for (int k = 0; k < report->count; k++) {
    const double full = report_number(report->maps[k].result, "quality", "score_full_fill");
    const char *fill =
        json_string_value(json_object_get(report_get(report->maps[k].result, "method", "params"), "fill"));
    str_append(html, k ? "; " : "");
    if (isfinite(full))
      html_number(html, full, 4);
    else
      str_append(html, report_not_measured);
    if (report->count > 1)
      html_printf(html, " (%s%s%s)", report_method(report, k), fill ? ", fill " : "", fill ? fill : "");
    else if (fill && isfinite(full))
      html_printf(html, " (fill %s)", fill);
  }
  str_append(html, ".</p>\n");
}

/* ---- artifacts -------------------------------------------------------------------------------------------------- */

/* Which of the maps were made with a fill. */
static void append_users(const struct report *report, const char *fill, struct str *html)
{
  int n = 0;
  for (int k = 0; k < report->count; k++) {
    const char *list =
        json_string_value(json_object_get(report_get(report->maps[k].result, "method", "params"), "fill"));
    for (const char *p = list; p && *p;) {
      const size_t length = fills_first(p);
      if (length == strlen(fill) && memcmp(p, fill, length) == 0)
        html_printf(html, "%s%s", n++ ? ", " : "", report_method(report, k));
      p += length + (p[length] == ',');
    }
  }
  if (n == 0)
    str_append(html, "none");
}

void report_artifacts(const struct report *report, struct str *html)
{
  const json_t *artifacts = json_object_get(report->maps[0].result, "artifacts");
  const char *fill;
  json_t *of, *fills = json_object_get(artifacts, "fills");
  str_append(
      html,
      "<section aria-labelledby=\"artifacts-title\">\n<h2 id=\"artifacts-title\">Does covering itself look like a "
      "finding?</h2>\n");
  if (json_object_size(fills) == 0) {
    str_printf(html,
               "<p>Artifact rate of the fills: %s. It takes normal pictures (--normals), or a model card that records "
               "it.</p>\n</section>\n",
               report_not_measured);
    return;
  }
  str_append(
      html,
      strcmp(report_text(artifacts, "source", NULL), "card") == 0
          ? "<p>As the model's card records it: how often a patch of each fill on a normal picture makes the model "
            "see a finding.</p>\n"
          : "<p>Measured on normal pictures: how often a patch of each fill makes the model see a finding that it "
            "does not see without the patch.</p>\n");
  str_append(html,
             "<section class=\"scroll\" tabindex=\"0\" aria-label=\"Artifact rate of each fill\">\n<table>\n<thead><tr>"
             "<th scope=\"col\">Fill</th><th scope=\"col\">Artifact rate</th><th scope=\"col\">Pictures</th>"
             "<th scope=\"col\">Mostly raised</th><th scope=\"col\">Used by</th></tr></thead>\n<tbody>\n");
  json_object_foreach (fills, fill, of) {
    const struct measured rate = {report_number(of, "rate", NULL), report_number(of, "lo", NULL),
                                  report_number(of, "hi", NULL)};
    str_append(html, "<tr><th scope=\"row\">");
    html_text(html, fill);
    str_append(html, "</th><td>");
    append_measured(&rate, html);
    str_append(html, "</td><td>");
    if (json_is_integer(json_object_get(of, "images")))
      str_printf(html, "%lld", (long long)json_integer_value(json_object_get(of, "images")));
    str_append(html, "</td><td>");
    html_text(html, report_text(of, "most", NULL));
    str_append(html, "</td><td>");
    append_users(report, fill, html);
    str_append(html, "</td></tr>\n");
  }
  str_append(html, "</tbody></table></section>\n</section>\n");
}

/* ---- agreement -------------------------------------------------------------------------------------------------- */

void report_agreement(const struct report *report, struct str *html)
{
  str_append(html, "<section class=\"scroll\" tabindex=\"0\" aria-label=\"Agreement between the maps\">\n"
                   "<table class=\"matrix\">\n<thead><tr><td></td>");
  for (int i = 0; i < report->count; i++) {
    str_append(html, "<th scope=\"col\">");
    html_text(html, report_method(report, i));
    str_append(html, "</th>");
  }
  str_append(html, "</tr></thead>\n<tbody>\n");
  for (int i = 0; i < report->count; i++) {
    str_append(html, "<tr><th scope=\"row\">");
    html_text(html, report_method(report, i));
    str_append(html, "</th>");
    for (int j = 0; j < report->count; j++) {
      const double r = report_value(json_array_get(json_array_get(report->agreement, (size_t)i), (size_t)j));
      if (isfinite(r)) {
        str_printf(html, "<td class=\"agree-%d\">", (int)lrint(5 * fmax(0, fmin(1, r))));
        html_number(html, fabs(r) < 0.0005 ? 0 : r, fabs(r) < 0.1 ? 1 : 2);
      } else {
        str_append(html, "<td>undefined");
      }
      str_append(html, "</td>");
    }
    str_append(html, "</tr>\n");
  }
  str_append(html, "</tbody></table></section>\n");
}
