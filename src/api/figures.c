/* SPDX-License-Identifier: Apache-2.0 */
/* The pictures of an explanation. A figure is drawn where the arrays it shows are there; one entry of the table each. */
#include "api/object.h"
#include "base/files.h"
#include "render/render.h"

#include <stdio.h>
#include <string.h>

static const float *shown_heat(const struct penumbra_explanation *x)
{
  const struct npy *heat = explanation_find(&x->e, "heatmap");
  const int64_t pixels = heat->dim[heat->rank - 1] * heat->dim[heat->rank - 2];
  return (const float *)heat->data + (x->e.all_targets ? x->e.target * pixels : 0);
}

/* ---- overlay.png ----------------------------------------------------------------------------------------------- */

static bool draw_overlay(const struct penumbra_explanation *x, struct image *out, struct error *err)
{
  const struct image *source = &x->image->image;
  const size_t pixels = (size_t)source->width * (size_t)source->height;
  const struct npy *seen = explanation_find(&x->e, "coverage");
  char title[160], summary[160];
  const char *lines[8] = {summary};
  int n = 1;
  unsigned char *coverage = seen ? mem_alloc(pixels) : NULL;
  if (seen && !coverage)
    return error_memory(err, "an overlay");
  for (size_t i = 0; coverage && i < pixels; i++)
    coverage[i] = (unsigned char)((const int32_t *)seen->data)[i];
  (void)snprintf(title, sizeof title, "%s: %.90s %.3f", x->method, x->label, (double)x->e.scores[x->e.target]);
  (void)snprintf(summary, sizeof summary, "%lld evaluations, %s", (long long)x->e.evaluations,
                 strcmp(x->e.stopped_by, "complete") == 0 ? "complete" : x->e.stopped_by);
  size_t i;
  json_t *warning;
  json_array_foreach(x->e.warnings, i, warning)
    if (n < 7)
      lines[n++] = json_string_value(json_object_get(warning, "message"));
  lines[n] = NULL;
  const struct overlay overlay = {
    .heat = shown_heat(x), .title = title, .unit = "score drop", .lines = lines, .coverage = coverage,
  };
  const bool ok = render_overlay(source, &overlay, out, err);
  mem_free(coverage);
  return ok;
}

/* ---- occlusion.png: the paper's three maps side by side -------------------------------------------------------- */

enum { PANEL_SIDE = 320 }; /* px, least side of a panel */

static int factor_for(int64_t height, int64_t width)
{
  const int64_t side = height > width ? height : width;
  return side >= PANEL_SIDE ? 1 : (int)((PANEL_SIDE + side - 1) / side);
}

static bool draw_occlusion(const struct penumbra_explanation *x, struct image *out, struct error *err)
{
  const struct npy *map = explanation_find(&x->e, "map"), *label = explanation_find(&x->e, "occlusion_label");
  const struct npy *feature = explanation_find(&x->e, "occlusion_feature");
  const int64_t height = map->dim[map->rank - 2], width = map->dim[map->rank - 1];
  const float *drop = (const float *)map->data + (x->e.all_targets ? x->e.target * height * width : 0);
  const int factor = factor_for(height, width);
  const json_t *seen = json_object_get(x->e.details, "classes_under_occlusion");
  const json_t *first = json_array_get(seen, 0), *watched = json_object_get(x->e.details, "feature_map");
  struct image images[3] = {{0}, {0}, {0}};
  char captions[3][160];
  (void)snprintf(captions[0], sizeof captions[0], "(a) fall of the score of %.60s", x->label);
  if (first)
    (void)snprintf(captions[1], sizeof captions[1], "(b) most probable class: %zu seen, most often %.60s",
                   json_array_size(seen), json_string_value(json_object_get(first, "label")));
  else
    (void)snprintf(captions[1], sizeof captions[1], "(b) most probable class: none above its threshold");
  int panels = 2;
  bool ok = render_map(drop, (int)height, (int)width, 0, NULL, factor, &images[0], err) &&
            render_labels(label->data, (int)height, (int)width, factor, &images[1], err);
  if (ok && feature) {
    const int ny = (int)feature->dim[0], nx = (int)feature->dim[1];
    (void)snprintf(captions[2], sizeof captions[2], "(c) total activation of feature map %d of %.50s",
                   (int)json_integer_value(json_object_get(watched, "index")),
                   json_string_value(json_object_get(watched, "layer")));
    ok = render_map(feature->data, ny, nx, 0, colormap_find("viridis"), factor_for(ny, nx), &images[2], err);
    panels = 3;
  }
  struct panel panel[3];
  for (int i = 0; i < panels; i++)
    panel[i] = (struct panel){&images[i], captions[i]};
  ok = ok && render_sheet(panel, (size_t)panels, 3, "Under a sliding patch", out, err);
  for (int i = 0; i < 3; i++)
    image_free(&images[i]);
  return ok;
}

/* ---- table ----------------------------------------------------------------------------------------------------- */

static const struct figure {
  const char *array; /* drawn where the explanation has this */
  const char *file;
  bool (*draw)(const struct penumbra_explanation *x, struct image *out, struct error *err);
} figures[] = {
  {"heatmap", "overlay.png", draw_overlay},
  {"occlusion_label", "occlusion.png", draw_occlusion},
};

bool figures_write(const struct penumbra_explanation *x, const struct output *out, struct error *err)
{
  char path[4096];
  for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
    struct image image = {0};
    if (!explanation_find(&x->e, figures[i].array))
      continue;
    const bool ok = figures[i].draw(x, &image, err) && output_path(out, figures[i].file, path, sizeof path, err) &&
                    image_write_png(&image, path, err);
    image_free(&image);
    if (!ok)
      return false;
  }
  return true;
}
