/* SPDX-License-Identifier: Apache-2.0 */
/* Curves of what metrics measured: one plot a metric for one map, and one curve a method for all of them. */
#include "render/report_parts.h"

#include "base/mem.h"
#include "metrics/metric.h"
#include "render/render.h"

#include <math.h>
#include <string.h>

static const struct metric *find_metric(const char *name)
{
  for (int i = 0; metric_at(i); i++)
    if (strcmp(metric_at(i)->name, name) == 0)
      return metric_at(i);
  return NULL;
}

static const char *curve_name(const char *name)
{
  static const char *const names[][2] = {{"morf", "most relevant first"},
                                         {"lerf", "least relevant first"},
                                         {"random", "random order"},
                                         {"drop", "by the map"}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i][0], name) == 0)
      return names[i][1];
  return name;
}

enum { MOST_CURVES = REPORT_MAX_MAPS, MOST_POINTS = 1001 };

struct plot {
  struct curve curve[MOST_CURVES];
  int count;
  double *numbers; /* MOST_CURVES x 4 x MOST_POINTS */
};

static bool plot_new(struct plot *plot, struct error *err)
{
  *plot = (struct plot){.numbers = mem_alloc(sizeof(double) * MOST_CURVES * 4 * MOST_POINTS)};
  return plot->numbers != NULL || error_memory(err, "curves");
}

/* One more curve: y and, with an error, the band of 95 % over `x`; long ones are thinned. */
static void plot_add(struct plot *plot, const char *name, const json_t *x, const json_t *curve)
{
  const json_t *y = json_object_get(curve, "y"), *error = json_object_get(curve, "stderr");
  const size_t n = json_array_size(y), step = n / MOST_POINTS + 1;
  if (plot->count == MOST_CURVES || n == 0 || json_array_size(x) != n)
    return;
  double *at = plot->numbers + (size_t)plot->count * 4 * MOST_POINTS;
  size_t k = 0;
  for (size_t i = 0; i < n; i += step, k++) {
    const double value = report_value(json_array_get(y, i));
    const double half = error ? 1.96 * report_value(json_array_get(error, i)) : NAN;
    at[k] = report_value(json_array_get(x, i));
    at[MOST_POINTS + k] = value;
    at[2 * MOST_POINTS + k] = value - half;
    at[3 * MOST_POINTS + k] = value + half;
  }
  plot->curve[plot->count++] = (struct curve){
      .name = name,
      .x = at,
      .y = at + MOST_POINTS,
      .lo = error ? at + 2 * MOST_POINTS : NULL,
      .hi = error ? at + 3 * MOST_POINTS : NULL,
      .n = k,
  };
}

static bool plot_end(struct plot *plot, const struct metric *metric, const char *title, struct str *html,
                     struct error *err)
{
  if (plot->count == 0)
    return true;
  str_append(html, "<figure class=\"curves\">");
  const bool ok =
      plot_svg(plot->curve, (size_t)plot->count, title, metric && metric->x_label ? metric->x_label : "step",
               metric && metric->y_label ? metric->y_label : "score", html);
  str_append(html, "</figure>\n");
  plot->count = 0;
  return ok || error_memory(err, "curves");
}

bool report_curves(const struct report *report, int map, struct str *html, struct error *err)
{
  const char *name, *key;
  json_t *measurement, *curve;
  struct plot plot;
  if (!plot_new(&plot, err))
    return false;
  bool ok = true, any = false;
  str_append(html, "<div class=\"plots\">\n");
  json_object_foreach ((json_t *)(uintptr_t)report->maps[map].metrics, name, measurement) {
    const struct metric *metric = find_metric(name);
    json_object_foreach (json_object_get(measurement, "curves"), key, curve)
      plot_add(&plot, strcmp(key, "score") == 0 ? name : curve_name(key), report_get(measurement, "details", "x"),
               curve);
    any |= plot.count > 0;
    ok = ok && plot_end(&plot, metric, metric ? metric->title : name, html, err);
  }
  mem_free(plot.numbers);
  str_append(html, "</div>\n");
  if (!any)
    str_printf(html, "<p>Curves of region perturbation, deletion and insertion: %s.</p>\n", report_not_measured);
  return ok;
}

/* One plot a metric, one curve a method. */
bool report_curves_of_all(const struct report *report, struct str *html, struct error *err)
{
  static const struct {
    const char *metric, *curve, *title;
  } plots[] = {
      {"region", "morf", "Regions replaced, most relevant first: the faster the fall, the better"},
      {"deletion", "score", "Deletion: the lower, the better"},
      {"insertion", "score", "Insertion: the higher, the better"},
  };
  struct plot plot;
  if (!plot_new(&plot, err))
    return false;
  bool ok = true, any = false;
  str_append(html, "<div class=\"plots\">\n");
  for (size_t p = 0; ok && p < sizeof plots / sizeof *plots; p++) {
    const struct metric *metric = find_metric(plots[p].metric);
    for (int i = 0; i < report->count; i++) {
      const json_t *measurement = json_object_get(report->maps[i].metrics, plots[p].metric);
      plot_add(&plot, report_method(report, i), report_get(measurement, "details", "x"),
               report_get(measurement, "curves", plots[p].curve));
    }
    if (plot.count && strcmp(plots[p].metric, "region") == 0) { /* what all are to be better than */
      const json_t *measurement = json_object_get(report->maps[0].metrics, "region");
      plot_add(&plot, "random order", report_get(measurement, "details", "x"),
               report_get(measurement, "curves", "random"));
    }
    any |= plot.count > 0;
    ok = plot_end(&plot, metric, plots[p].title, html, err);
  }
  mem_free(plot.numbers);
  str_append(html, "</div>\n");
  if (!any)
    str_printf(html, "<p>Curves of region perturbation, deletion and insertion: %s.</p>\n", report_not_measured);
  return ok;
}
