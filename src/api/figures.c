/* SPDX-License-Identifier: Apache-2.0 */
/* The pictures of an explanation. A figure is drawn where the arrays it shows are there; one entry of the table each.
 */
#include "api/object.h"
#include "base/files.h"
#include "methods/feature_views.h"
#include "render/render.h"

#include <stdio.h>
#include <string.h>

const float *figures_heat(const struct penumbra_explanation *x)
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
  const char *lines[9] = {summary};
  int n = 1;
  struct str trust;
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
  json_array_foreach (x->e.warnings, i, warning)
    if (n < 7)
      lines[n++] = json_string_value(json_object_get(warning, "message"));
  str_init(&trust, 1000);
  trust_line(json_object_get(x->result, "trust"), &trust);
  lines[n++] = trust.text;
  lines[n] = NULL;
  const struct overlay overlay = {
      .heat = figures_heat(x),
      .title = title,
      .unit = method_find(x->method)->unit,
      .limit = x->scale,
      .lines = lines,
      .coverage = coverage,
  };
  const bool ok = render_overlay(source, &overlay, out, err);
  str_free(&trust);
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

/* The sum over the channels [C,H,W]. */
static bool draw_projection(const struct npy *projection, int factor, struct image *out, struct error *err)
{
  const int64_t pixels = projection->dim[1] * projection->dim[2];
  const float *from = projection->data;
  float *sum = mem_zero((size_t)pixels, 2 * sizeof *sum);
  if (!sum)
    return error_memory(err, "a projection");
  float *scratch = sum + pixels;
  for (int64_t i = 0; i < pixels * projection->dim[0]; i++)
    sum[i % pixels] += from[i];
  memcpy(scratch, sum, (size_t)pixels * sizeof *sum);
  const bool ok = render_map(sum, (int)projection->dim[1], (int)projection->dim[2],
                             (double)feature_views_scale(scratch, (size_t)pixels), NULL, factor, out, err);
  mem_free(sum);
  return ok;
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
  struct image images[4] = {{0}};
  char captions[4][160];
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
  if (ok && feature && explanation_find(&x->e, "occlusion_projection")) {
    (void)snprintf(captions[3], sizeof captions[3], "what of the image it is, projected back by the deconvnet");
    ok = draw_projection(explanation_find(&x->e, "occlusion_projection"), factor, &images[3], err);
    panels = 4;
  }
  struct panel panel[4];
  for (int i = 0; i < panels; i++)
    panel[i] = (struct panel){&images[i], captions[i]};
  ok = ok && render_sheet(panel, (size_t)panels, panels == 4 ? 2 : 3, "Under a sliding patch", out, err);
  for (int i = 0; i < 4; i++)
    image_free(&images[i]);
  return ok;
}

/* ---- superpixels.png: what speaks for the target and what against it --------------------------------------------- */

static const unsigned char supports[3] = {214, 48, 49}, contradicts[3] = {44, 105, 224}, outline[3] = {255, 214, 0},
                           hidden_grey[3] = {128, 128, 128};

/* Sign of every superpixel that is shown, 0 for the others; NULL when memory is out. */
static signed char *signs_of(const json_t *superpixels, int64_t count, struct error *err)
{
  signed char *sign = mem_zero((size_t)count, 1);
  size_t i;
  json_t *item;
  if (!sign) {
    error_memory(err, "superpixels");
    return NULL;
  }
  json_array_foreach (json_object_get(superpixels, "top"), i, item) {
    const int64_t at = json_integer_value(json_object_get(item, "superpixel"));
    if (at >= 0 && at < count)
      sign[at] = json_real_value(json_object_get(item, "coefficient")) > 0 ? 1 : -1;
  }
  return sign;
}

/* Colour what is shown; with `alone`, grey what is not. */
static void tint(struct image *rgb, const int32_t *labels, int factor, const signed char *sign, bool alone)
{
  unsigned char *to = rgb->data;
  for (int y = 0; y < rgb->height; y++)
    for (int x = 0; x < rgb->width; x++, to += 3) {
      const int32_t label = labels[(int64_t)(y / factor) * (rgb->width / factor) + x / factor];
      const signed char s = label < 0 ? 0 : sign[label];
      const unsigned char *colour = s > 0 ? supports : s < 0 ? contradicts : hidden_grey;
      const int share = s ? 90 : alone ? 256 : 0; /* of 256 */
      for (int c = 0; c < 3; c++)
        to[c] = (unsigned char)((to[c] * (256 - share) + colour[c] * share) >> 8);
    }
}

static bool draw_superpixels(const struct penumbra_explanation *x, struct image *out, struct error *err)
{
  const struct npy *segments = explanation_find(&x->e, "segments_source");
  const int height = (int)segments->dim[0], width = (int)segments->dim[1];
  const int64_t pixels = npy_count(segments);
  const int32_t *labels = segments->data;
  const json_t *about = json_object_get(x->e.details, "superpixels");
  const int64_t count = json_integer_value(json_object_get(about, "count"));
  const size_t top = json_array_size(json_object_get(about, "top"));
  struct image images[2] = {{0}, {0}};
  char captions[2][160];
  int factor;
  (void)snprintf(captions[0], sizeof captions[0], "%lld superpixels (%.60s)", (long long)count,
                 json_string_value(json_object_get(about, "segments")));
  (void)snprintf(captions[1], sizeof captions[1], "%zu strongest: red speaks for %.60s%s", top, x->label,
                 json_is_true(json_object_get(about, "positive_only")) ? "" : ", blue against");
  signed char *sign = signs_of(about, count, err);
  int32_t *shown = mem_alloc((size_t)pixels * sizeof *shown);
  bool ok = sign && (shown || error_memory(err, "superpixels"));
  for (int64_t i = 0; ok && i < pixels; i++)
    shown[i] = labels[i] >= 0 && sign[labels[i]] ? labels[i] : -1;
  ok = ok && render_base(&x->image->image, PANEL_SIDE, &images[0], &factor, err) &&
       render_base(&x->image->image, PANEL_SIDE, &images[1], &factor, err);
  if (ok) {
    tint(&images[1], labels, factor, sign, json_is_true(json_object_get(about, "hide_rest")));
    render_boundaries(&images[0], labels, height, width, factor, outline);
    render_boundaries(&images[1], shown, height, width, factor, outline);
    const struct panel panel[2] = {{&images[0], captions[0]}, {&images[1], captions[1]}};
    ok = render_sheet(panel, 2, 2, "Superpixels", out, err);
  }
  image_free(&images[0]);
  image_free(&images[1]);
  mem_free(sign);
  mem_free(shown);
  return ok;
}

/* ---- fills.png: the map of every fill, their mean, and where they disagree --------------------------------------- */

static double largest_of(const float *x, int64_t n)
{
  double most = 0;
  for (int64_t i = 0; i < n; i++)
    most = x[i] > most ? (double)x[i] : -x[i] > most ? -(double)x[i] : most;
  return most;
}

static bool draw_fills(const struct penumbra_explanation *x, struct image *out, struct error *err)
{
  enum { MOST = 18 };
  const struct npy *each = explanation_find(&x->e, "fill_maps"), *map = explanation_find(&x->e, "map");
  const struct npy *spread = explanation_find(&x->e, "disagreement");
  const json_t *fills = json_object_get(x->e.details, "fills");
  const int height = (int)each->dim[1], width = (int)each->dim[2], n = (int)each->dim[0];
  const int64_t pixels = each->dim[1] * each->dim[2], at = x->e.all_targets ? x->e.target * pixels : 0;
  const double limit = largest_of(each->data, npy_count(each)); /* one scale for all */
  const int factor = factor_for(height, width);
  struct image images[MOST] = {{0}};
  struct panel panel[MOST];
  char captions[MOST][160];
  bool ok = n + 2 <= MOST || error_set(err, ERROR_FAILED, "%d fills do not fit one sheet", n);
  for (int i = 0; ok && i < n + 2; i++) {
    const char *name = json_string_value(json_object_get(json_array_get(fills, (size_t)(i - 2)), "fill"));
    const float *shown = i == 0   ? (const float *)map->data + at
                         : i == 1 ? (const float *)spread->data + at
                                  : (const float *)each->data + (i - 2) * pixels;
    (void)snprintf(captions[i], sizeof captions[i], "%s%.80s",
                   i == 0   ? "mean of the fills' maps"
                   : i == 1 ? "their standard deviation"
                            : "fill ",
                   i < 2 || !name ? "" : name);
    ok = render_map(shown, height, width, limit, i == 1 ? colormap_find("inferno") : NULL, factor, &images[i], err);
    panel[i] = (struct panel){&images[i], captions[i]};
  }
  ok = ok && render_sheet(panel, (size_t)n + 2, n + 2 < 4 ? n + 2 : 4, "What depends on the fill", out, err);
  for (int i = 0; i < MOST; i++)
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
    {"segments_source", "superpixels.png", draw_superpixels},
    {"disagreement", "fills.png", draw_fills},
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
