/* SPDX-License-Identifier: Apache-2.0 */
/* Features: images are streamed past a layer; then its strongest activations are projected back to the pixels. */
#include "api/object.h"
#include "base/files.h"
#include "base/json.h"
#include "base/str.h"
#include "methods/feature_search.h"
#include "methods/feature_views.h"
#include "render/feature_sheet.h"
#include "render/render.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MOST_TOP = 64, DEFAULT_TOP = 9, DEFAULT_MAPS = 16, CACHED = 16, PATH_SIZE = 4096 };

enum scale { SCALE_OWN, SCALE_COMMON, SCALE_FIXED };

struct penumbra_features {
  const struct penumbra_model *model;
  penumbra_features_request request;
  struct session *session;
  struct backward_info info;
  struct feature_search search;
  int *maps, n_maps; /* named ones; else the n_maps strongest */
  bool strongest;
  struct feature_source source;
  int switches; /* max poolings before the layer */
  enum scale scale;
  double limit; /* SCALE_FIXED */
  float *scores, *activations;
  double seconds;
};

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- what is asked ---------------------------------------------------------------------------------------------- */

static bool add_map(struct penumbra_features *f, const char *text, size_t length, struct error *err)
{
  char number[16];
  int64_t map = -1;
  if (length < sizeof number) {
    memcpy(number, text, length);
    number[length] = '\0';
  }
  if (length >= sizeof number || !str_integer(number, &map))
    return error_set(err, ERROR_USAGE, "feature-map: '%.40s' is none of strongest:N, K, K,K,…, all", text);
  if (map < 0 || map >= f->search.channels)
    return error_set(err, ERROR_USAGE, "feature-map: %lld is outside 0..%d of layer '%.60s'", (long long)map,
                     f->search.channels - 1, f->session->layer.name);
  for (int i = 0; i < f->n_maps; i++)
    if (f->maps[i] == (int)map)
      return true;
  f->maps[f->n_maps++] = (int)map;
  return true;
}

static bool read_maps(struct penumbra_features *f, struct error *err)
{
  static const char word[] = "strongest:";
  const char *text = f->request.feature_map ? f->request.feature_map : "";
  int64_t n = DEFAULT_MAPS;
  f->maps = mem_zero((size_t)f->search.channels, sizeof *f->maps);
  if (!f->maps)
    return error_memory(err, "feature maps");
  f->strongest = !*text || strcmp(text, "strongest") == 0 || strncmp(text, word, sizeof word - 1) == 0;
  if (f->strongest) {
    if (strchr(text, ':') && (!str_integer(text + sizeof word - 1, &n) || n < 1))
      return error_set(err, ERROR_USAGE, "feature-map: '%.40s': strongest:N takes a number from 1", text);
    f->n_maps = n < f->search.channels ? (int)n : f->search.channels;
    return true;
  }
  if (strcmp(text, "all") == 0) {
    for (; f->n_maps < f->search.channels; f->n_maps++)
      f->maps[f->n_maps] = f->n_maps;
    return true;
  }
  for (;;) {
    const size_t length = strcspn(text, ",");
    if (!add_map(f, text, length, err))
      return false;
    if (!text[length])
      return true;
    text += length + 1;
  }
}

static bool read_scale(struct penumbra_features *f, struct error *err)
{
  const char *text = f->request.scale ? f->request.scale : "own";
  if (strcmp(text, "own") == 0)
    f->scale = SCALE_OWN;
  else if (strcmp(text, "common") == 0)
    f->scale = SCALE_COMMON;
  else if (str_number(text, &f->limit) && f->limit > 0)
    f->scale = SCALE_FIXED;
  else
    return error_set(err, ERROR_USAGE, "scale: '%.40s' is none of own, common, a number above 0", text);
  return true;
}

/* Whether the deconvnet projects the same for every image: no max pooling lies before the layer, but
 * rectifiers do (the first layer's own changes nothing). */
static bool is_blind(const struct penumbra_features *f)
{
  return f->switches == 0 && f->info.rectifiers + f->info.activations > 1;
}

static bool read_rule(struct penumbra_features *f, struct error *err)
{
  const char *rule = f->request.rule ? f->request.rule : "auto";
  f->source = (struct feature_source){f->session, f->model->onnx, f->request.layer, RULE_DECONV};
  f->switches = feature_views_switches(f->model->onnx, f->request.layer, err);
  if (f->switches < 0)
    return false;
  if (strcmp(rule, "guided") == 0)
    f->source.rule = RULE_GUIDED;
  else if (strcmp(rule, "auto") != 0 && strcmp(rule, "deconvnet") != 0)
    return error_set(err, ERROR_USAGE, "rule: '%.40s' is none of auto, deconvnet, guided", rule);
  if (!feature_views_check(&f->source, &f->info, err))
    return false;
  if (strcmp(rule, "auto") == 0 && is_blind(f)) {
    f->source.rule = RULE_GUIDED;
    return feature_views_check(&f->source, &f->info, err);
  }
  return true;
}

static const char *rule_name(const struct penumbra_features *f)
{
  return f->source.rule == RULE_GUIDED ? "guided" : "deconvnet";
}

static bool open_features(struct penumbra_features *f, struct error *err)
{
  penumbra_features_request *r = &f->request;
  if (!f->model->onnx)
    return error_set(err, ERROR_USAGE, "features: this classifier only predicts, its layers cannot be seen");
  r->layer = r->layer ? r->layer : "";
  r->top = r->top ? r->top : DEFAULT_TOP;
  r->per_image = r->per_image ? r->per_image : 1;
  if (r->top < 1 || r->top > MOST_TOP)
    return error_set(err, ERROR_USAGE, "top: %d is outside 1..%d", r->top, MOST_TOP);
  if (r->per_image < 1)
    return error_set(err, ERROR_USAGE, "per-image: %d is below 1", r->per_image);
  const struct session_options options = {.threads = r->threads, .memory = r->memory, .layer = r->layer};
  f->session = session_open(f->model->predictor, &options, err);
  if (!f->session)
    return false;
  const int h = f->session->layer.height, w = f->session->layer.width, c = f->session->layer.channels;
  f->scores = mem_zero((size_t)f->model->predictor->classes, sizeof *f->scores);
  f->activations = mem_zero((size_t)h * (size_t)w, (size_t)c * sizeof *f->activations);
  if (!f->scores || !f->activations)
    return error_memory(err, "features");
  return read_rule(f, err) && feature_search_init(&f->search, h, w, c, r->top, r->per_image, err) &&
         read_maps(f, err) && read_scale(f, err);
}

penumbra_features *penumbra_features_new(const penumbra_model *model, const penumbra_features_request *request,
                                         penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  struct penumbra_features *f = mem_zero(1, sizeof *f);
  bool ok = f || error_memory(&failed, "features");
  if (ok) {
    f->model = model;
    ok = !request || api_struct(&f->request, sizeof f->request, request, "penumbra_features_request", &failed);
  }
  if (ok && open_features(f, &failed))
    return f;
  penumbra_features_free(f);
  api_error(err, &failed);
  return NULL;
}

void penumbra_features_free(penumbra_features *f)
{
  if (!f)
    return;
  feature_search_free(&f->search);
  session_close(f->session);
  mem_free(f->maps);
  mem_free(f->scores);
  mem_free(f->activations);
  mem_free(f);
}

const char *penumbra_features_layer(const penumbra_features *f)
{
  return f->session->layer.name;
}

/* ---- images ----------------------------------------------------------------------------------------------------- */

bool penumbra_features_add(penumbra_features *f, const penumbra_image *image, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  struct input input = {0};
  const double from = now();
  const bool ok = api_preprocess(f->model, image, &input, &failed) &&
                  (session_predict(f->session, input.x, 1, f->scores, f->activations, &failed) ||
                   error_prefix(&failed, "%s", image->name)) &&
                  feature_search_add(&f->search, image->name, image->sha256, f->activations, &failed);
  input_free(&input);
  f->seconds += now() - from;
  return ok || api_error(err, &failed);
}

bool penumbra_features_has(const penumbra_features *f, const char *sha256)
{
  return feature_search_has(&f->search, sha256);
}

char *penumbra_features_state(const penumbra_features *f, penumbra_error *err)
{
  return api_text(feature_search_state(&f->search), err);
}

bool penumbra_features_restore(penumbra_features *f, const char *state, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  json_error_t why;
  json_t *root = json_loads(state, JSON_REJECT_DUPLICATES, &why);
  const bool ok =
      root ? feature_search_restore(&f->search, root, &failed)
           : error_set(&failed, ERROR_FAILED, "features: the state is no JSON: line %d: %.120s", why.line, why.text);
  json_decref(root);
  return ok || api_error(err, &failed);
}

/* ---- inputs of the strongest activations, as many as are needed at once and a few more ------------------------------
 */

struct held {
  int image; /* -1: free */
  int64_t used;
  bool gray;
  struct input input;
};

struct saving {
  struct penumbra_features *f;
  const struct output *out;
  penumbra_image *(*open)(void *context, const char *name, const char *sha256, penumbra_error *err);
  void *context;
  struct held *held;
  int n_held;
  int64_t turn; /* of maps: what this one needs stays */
  struct feature_sheet sheet;
  int sheets, on_sheet;
  json_t *maps, *warnings, *sheet_names;
  int64_t done, total;
  double started;
};

/* Whether all channels are the same everywhere. */
static bool is_gray(const struct input *input)
{
  const int64_t pixels = (int64_t)input->geometry.height * input->geometry.width;
  for (int64_t i = 0; i < pixels; i++)
    for (int c = 1; c < input->channels; c++)
      if (input->u[i * input->channels + c] != input->u[i * input->channels])
        return false;
  return !input->preprocessed;
}

static const struct held *input_of(struct saving *s, int image, struct error *err)
{
  struct held *oldest = &s->held[0];
  for (int i = 0; i < s->n_held; i++) {
    struct held *h = &s->held[i];
    if (h->image == image) {
      h->used = s->turn;
      return h;
    }
    if (h->used < oldest->used)
      oldest = h;
  }
  const struct feature_image *wanted = &s->f->search.images[image];
  penumbra_error cause = {0};
  penumbra_image *picture = s->open(s->context, wanted->name, wanted->sha256, &cause);
  if (!picture) {
    error_set(err, (enum error_code)(cause.code ? cause.code : PENUMBRA_FAILED), "%s",
              *cause.message ? cause.message : "an image cannot be had again");
    return NULL;
  }
  input_free(&oldest->input);
  *oldest = (struct held){.image = -1};
  bool ok = strcmp(picture->sha256, wanted->sha256) == 0 ||
            error_set(err, ERROR_FAILED, "%.160s: is another image than before", wanted->name);
  ok = ok && api_preprocess(s->f->model, picture, &oldest->input, err);
  penumbra_image_close(picture);
  if (!ok)
    return NULL;
  oldest->gray = is_gray(&oldest->input);
  oldest->image = image;
  oldest->used = s->turn;
  return oldest;
}

/* ---- pictures --------------------------------------------------------------------------------------------------- */

static unsigned char code_of(double share)
{
  return (unsigned char)lround(255 * (share < 0 ? 0 : share > 1 ? 1 : share));
}

/* Which channel of the model is red, green, blue. */
static int channel_of(const struct saving *s, int c, int color)
{
  return c < 3 ? 0 : s->f->model->card->channels == CHANNELS_BGR ? 2 - color : color;
}

/* What of a view is shown: x0, y0, x1, y1. */
static void shown_part(const struct feature_view *view, int part[4])
{
  for (int i = 0; i < 2; i++) {
    part[i] = view->shown[i] > view->box[i] ? view->shown[i] : view->box[i];
    part[i + 2] = view->shown[i + 2] < view->box[i + 2] ? view->shown[i + 2] : view->box[i + 2];
  }
}

/* The projection about grey. */
static bool picture_projection(const struct saving *s, const struct feature_view *view, const int part[4], double limit,
                               struct image *out, struct error *err)
{
  const int c = s->f->model->predictor->channels;
  if (!image_new(out, part[2] - part[0], part[3] - part[1], 3, PIXEL_U8, err))
    return false;
  unsigned char *to = out->data;
  for (int y = part[1]; y < part[3]; y++)
    for (int x = part[0]; x < part[2]; x++)
      for (int k = 0; k < 3; k++) {
        const float value = feature_view_at(view, c, channel_of(s, c, k), y - view->box[1], x - view->box[0]);
        *to++ = code_of(limit > 0 ? 0.5 + (double)value / limit / 2 : 0.5);
      }
  return true;
}

/* The same part of the picture, on the model's grid. A tensor has no codes of black and white: its extremes. */
static bool picture_patch(const struct saving *s, const int part[4], const struct input *input, struct image *out,
                          struct error *err)
{
  const int c = input->channels, width = input->geometry.width, height = input->geometry.height;
  double lo = input->lo, hi = input->hi;
  if (input->preprocessed) {
    lo = INFINITY;
    hi = -INFINITY;
    for (int64_t i = 0; i < (int64_t)width * height * c; i++) {
      lo = fmin(lo, (double)input->u[i]);
      hi = fmax(hi, (double)input->u[i]);
    }
  }
  if (!image_new(out, part[2] - part[0], part[3] - part[1], 3, PIXEL_U8, err))
    return false;
  unsigned char *to = out->data;
  for (int y = part[1]; y < part[3]; y++)
    for (int x = part[0]; x < part[2]; x++)
      for (int k = 0; k < 3; k++) {
        const int64_t at = ((int64_t)y * width + x) * c + channel_of(s, c, k);
        *to++ = code_of(hi > lo ? ((double)input->u[at] - lo) / (hi - lo) : 0.5);
      }
  return true;
}

static const char *base_name(const char *path)
{
  const char *slash = strrchr(path, '/');
  return slash && slash[1] ? slash + 1 : path;
}

static bool put_tiles(struct saving *s, const struct feature_hit *hit, const struct feature_view *view,
                      const struct input *input, int tile, double limit, struct error *err)
{
  const struct penumbra_features *f = s->f;
  char captions[FEATURE_SHEET_BLOCKS][96], value[TEXT_NUMBER], scale[TEXT_NUMBER];
  struct image pictures[FEATURE_SHEET_BLOCKS] = {{0}};
  const int *shown = view->shown;
  int part[4];
  shown_part(view, part);
  (void)snprintf(captions[0], sizeof captions[0], "%s, scale \xc2\xb1%s",
                 text_number((double)view->value, 3, false, value), text_number(limit, 2, false, scale));
  (void)snprintf(captions[1], sizeof captions[1], "%.90s", base_name(f->search.images[hit->image].name));
  (void)snprintf(captions[2], sizeof captions[2], "unit %d,%d of %d x %d", hit->y, hit->x, f->search.height,
                 f->search.width);
  double most = 0;
  for (int i = 0; i < f->search.height * f->search.width; i++)
    most = fmax(most, (double)view->activity[i]);
  bool ok = picture_projection(s, view, part, limit, &pictures[0], err) &&
            picture_patch(s, part, input, &pictures[1], err) &&
            render_map(view->activity, f->search.height, f->search.width, most, colormap_find("inferno"), 1,
                       &pictures[2], err);
  for (int b = 0; ok && b < FEATURE_SHEET_BLOCKS; b++) {
    struct feature_tile what = {.picture = &pictures[b], .smooth = b < 2, .border = b < 2, .caption = captions[b]};
    const int own[4] = {shown[0] - part[0], shown[1] - part[1], shown[2] - part[0], shown[3] - part[1]};
    const int whole[4] = {0, 0, pictures[b].width, pictures[b].height};
    memcpy(what.frame, b < 2 ? own : whole, sizeof what.frame);
    ok = feature_sheet_put(&s->sheet, s->on_sheet, b, tile, &what, err);
  }
  for (int b = 0; b < FEATURE_SHEET_BLOCKS; b++)
    image_free(&pictures[b]);
  return ok;
}

/* ---- sheets ----------------------------------------------------------------------------------------------------- */

/* For the first of these maps. */
static bool begin_sheet(struct saving *s, const int *maps, int left, struct error *err)
{
  const struct penumbra_features *f = s->f;
  char title[200], text[600], number[48] = "";
  if (f->request.per_image > 1)
    (void)snprintf(number, sizeof number, " (at most %d of one image)", f->request.per_image);
  (void)snprintf(title, sizeof title, "What excites layer %.80s of %.80s", f->session->layer.name,
                 base_name(f->model->onnx->path));
  (void)snprintf(text, sizeof text,
                 "%s feature maps, the %d strongest activations of each over %d images%s. Left: what excited the unit, "
                 "projected back to the pixels by %s, about grey on the scale given. Middle: that part of the image. "
                 "Right: the map's activity on the whole image, black none, bright most.",
                 f->strongest ? "The strongest" : "The chosen", f->request.top, f->search.n_images, number,
                 f->source.rule == RULE_GUIDED ? "guided backpropagation" : "the deconvnet");
  s->on_sheet = 0;
  left = left < FEATURE_SHEET_MAPS ? left : FEATURE_SHEET_MAPS;
  int tiles = 1;
  for (int i = 0; i < left; i++)
    tiles = f->search.counts[maps[i]] > tiles ? f->search.counts[maps[i]] : tiles;
  return feature_sheet_begin(&s->sheet, left, tiles, title, text, err);
}

static bool write_sheet(struct saving *s, struct error *err)
{
  char name[64] = "features.png", path[PATH_SIZE];
  if (++s->sheets > 1)
    (void)snprintf(name, sizeof name, "features-%d.png", s->sheets);
  const bool ok = output_path(s->out, name, path, sizeof path, err) && image_write_png(&s->sheet.canvas, path, err) &&
                  (json_array_append_new(s->sheet_names, json_string(name)) == 0 || error_memory(err, "features"));
  feature_sheet_end(&s->sheet);
  return ok;
}

/* ---- one feature map -------------------------------------------------------------------------------------------- */

/* The views' projections in one array, each in its place within its frame, and the activity maps in another. */
static bool write_arrays(const struct saving *s, int map, const struct feature_view *views, int n, struct error *err)
{
  const struct penumbra_features *f = s->f;
  const int c = f->model->predictor->channels, units = f->search.height * f->search.width;
  int w = 0, h = 0;
  char name[64], path[PATH_SIZE];
  for (int i = 0; i < n; i++) {
    w = views[i].frame[2] - views[i].frame[0] > w ? views[i].frame[2] - views[i].frame[0] : w;
    h = views[i].frame[3] - views[i].frame[1] > h ? views[i].frame[3] - views[i].frame[1] : h;
  }
  struct npy projections = {NPY_F32, 4, {n, c, h, w}, mem_zero((size_t)n * (size_t)c, (size_t)h * (size_t)w * 4)};
  struct npy activity = {NPY_F32, 3, {n, f->search.height, f->search.width}, mem_zero((size_t)n, (size_t)units * 4)};
  float *to = projections.data;
  bool ok = (projections.data && activity.data) || error_memory(err, "projections");
  for (int i = 0; ok && i < n; i++) {
    const int *box = views[i].box, wide = box[2] - box[0], high = box[3] - box[1];
    const int left = box[0] - views[i].frame[0], top = box[1] - views[i].frame[1];
    for (int row = 0; row < c * high; row++)
      memcpy(to +
                 (((size_t)i * (size_t)c + (size_t)(row / high)) * (size_t)h + (size_t)(top + row % high)) * (size_t)w +
                 left,
             views[i].projection + (size_t)row * (size_t)wide, (size_t)wide * sizeof *to);
    memcpy((float *)activity.data + (size_t)i * (size_t)units, views[i].activity, (size_t)units * sizeof *to);
  }
  (void)snprintf(name, sizeof name, "map-%d.npy", map);
  ok = ok && output_path(s->out, name, path, sizeof path, err) && npy_write(path, &projections, err);
  (void)snprintf(name, sizeof name, "activity-%d.npy", map);
  ok = ok && output_path(s->out, name, path, sizeof path, err) && npy_write(path, &activity, err);
  npy_free(&projections);
  npy_free(&activity);
  return ok;
}

static json_t *hit_json(const struct saving *s, const struct feature_hit *hit, const struct feature_view *view,
                        double limit)
{
  const struct feature_image *image = &s->f->search.images[hit->image];
  const int *b = view->box, *v = view->shown;
  return json_pack("{s:s, s:s, s:o, s:[i,i], s:[i,i,i,i], s:[i,i], s:[i,i,i,i], s:o}", "image", image->name, "sha256",
                   image->sha256, "activation", json_number_or_null((double)view->value), "unit", hit->y, hit->x,
                   "receptive_field", b[0], b[1], b[2], b[3], "array_origin", view->frame[0], view->frame[1], "shown",
                   v[0], v[1], v[2], v[3], "scale", json_number_or_null(limit));
}

static bool report_progress(struct saving *s, int n, struct error *err)
{
  const penumbra_features_request *r = &s->f->request;
  s->done += n;
  if (!r->progress)
    return true;
  const double seconds = now() - s->started;
  const penumbra_progress p = {.done = s->done,
                               .total = s->total,
                               .seconds = seconds,
                               .remaining = s->done ? seconds * (double)(s->total - s->done) / (double)s->done : -1,
                               .stage = "projections"};
  return r->progress(r->progress_context, &p) || error_set(err, ERROR_CANCELLED, "cancelled");
}

static bool save_views(struct saving *s, int map, const struct feature_hit *hits, struct feature_view *views,
                       const struct held *const *inputs, int n, json_t *list, struct error *err)
{
  const struct penumbra_features *f = s->f;
  double common = f->scale == SCALE_FIXED ? f->limit : 0;
  for (int i = 0; f->scale == SCALE_COMMON && i < n; i++)
    common = fmax(common, (double)views[i].scale);
  for (int i = 0; i < n; i++) {
    const double limit = f->scale == SCALE_OWN ? (double)views[i].scale : common;
    json_t *entry = hit_json(s, &hits[i], &views[i], limit);
    if (!entry || json_array_append_new(list, entry) != 0)
      return error_memory(err, "features");
    if (!put_tiles(s, &hits[i], &views[i], &inputs[i]->input, i, limit, err))
      return false;
  }
  return n == 0 || write_arrays(s, map, views, n, err);
}

static bool save_map(struct saving *s, int map, struct error *err)
{
  const struct penumbra_features *f = s->f;
  const int n = f->search.counts[map];
  const struct feature_hit *hits = f->search.hits + (size_t)map * (size_t)f->search.top;
  struct feature_view views[MOST_TOP] = {{0}};
  const struct held *inputs[MOST_TOP];
  char caption[160], strongest[TEXT_NUMBER], total[TEXT_NUMBER];
  json_t *list = json_array();
  bool ok = list != NULL || error_memory(err, "features");
  s->turn++;
  for (int i = 0; ok && i < n; i++) {
    ok = (inputs[i] = input_of(s, hits[i].image, err)) != NULL;
    if (ok)
      views[i] =
          (struct feature_view){.x = inputs[i]->input.x, .y = hits[i].y, .u = hits[i].x, .gray = inputs[i]->gray};
  }
  ok = ok && (n == 0 || feature_views(&f->source, map, views, n, err)) &&
       save_views(s, map, hits, views, inputs, n, list, err);
  feature_views_free(views, n);
  if (!ok) {
    json_decref(list);
    return false;
  }
  if (n)
    (void)snprintf(caption, sizeof caption, "feature map %d: strongest %s, %s in all images", map,
                   text_number((double)hits[0].value, 3, false, strongest),
                   text_number(feature_search_total(&f->search, map), 3, false, total));
  else
    (void)snprintf(caption, sizeof caption, "feature map %d: not active on any image", map);
  feature_sheet_caption(&s->sheet, s->on_sheet, caption);
  if (n == 0)
    json_array_append_new(
        s->warnings, json_pack("{s:s, s:o}", "id", "flat-map", "message",
                               json_sprintf("feature map %d is not active on any image: nothing to project", map)));
  json_t *entry = json_pack("{s:i, s:o, s:o}", "feature_map", map, "total",
                            json_number_or_null(feature_search_total(&f->search, map)), "top", list);
  if (entry && n) {
    json_object_set_new(entry, "projections", json_sprintf("map-%d.npy", map));
    json_object_set_new(entry, "activity", json_sprintf("activity-%d.npy", map));
  }
  return ((entry && json_array_append_new(s->maps, entry) == 0) || error_memory(err, "features")) &&
         report_progress(s, n, err);
}

/* ---- the folder ------------------------------------------------------------------------------------------------- */

static json_t *features_json(const struct saving *s)
{
  const struct penumbra_features *f = s->f;
  const penumbra_features_request *r = &f->request;
  json_t *images = json_array();
  for (int i = 0; i < f->search.n_images; i++)
    json_array_append_new(
        images, json_pack("{s:s, s:s}", "path", f->search.images[i].name, "sha256", f->search.images[i].sha256));
  return json_pack("{s:s, s:{s:s, s:s}, s:{s:s, s:s}, s:{s:s, s:i, s:i, s:i}, s:{s:s, s:i, s:i, s:s, s:s}, s:s, s:i, "
                   "s:i, s:O, s:O, s:O, s:o, s:{s:f, s:f}}",
                   "schema", "penumbra-features/1", "tool", "name", "penumbra", "version", PENUMBRA_VERSION, "model",
                   "path", f->model->onnx->path, "sha256", model_sha256(f->model), "layer", "name",
                   f->session->layer.name, "height", f->search.height, "width", f->search.width, "feature_maps",
                   f->search.channels, "settings", "feature_map", r->feature_map ? r->feature_map : "strongest:16",
                   "top", r->top, "per_image", r->per_image, "scale", r->scale ? r->scale : "own", "rule",
                   r->rule ? r->rule : "auto", "rule", rule_name(f), "switches", f->switches, "rectifiers",
                   f->info.rectifiers, "maps", s->maps, "sheets", s->sheet_names, "warnings", s->warnings, "images",
                   images, "timing", "search_s", f->seconds, "projections_s", now() - s->started);
}

static void warn_of_rules(struct saving *s)
{
  const struct penumbra_features *f = s->f;
  const struct backward_info *info = &f->info;
  if (info->activations > 0)
    json_array_append_new(
        s->warnings,
        json_pack("{s:s, s:o}", "id", "deconv-activation", "message",
                  json_sprintf("%d activations on the way are no Relu (%s, …): the rule is defined for Relu and takes "
                               "them for one",
                               info->activations, info->activation)));
  if (is_blind(f))
    json_array_append_new(
        s->warnings,
        json_pack("{s:s, s:s}", "id", "no-switches", "message",
                  f->source.rule == RULE_GUIDED
                      ? "no max pooling lies before this layer, so that the deconvnet would project the same for every "
                        "image: guided backpropagation is shown"
                      : "no max pooling lies before this layer: the deconvnet projects the same for every image; "
                        "guided backpropagation (rule guided) does not"));
  if (info->straight)
    json_array_append_new(s->warnings, json_pack("{s:s, s:s}", "id", "quantised-gradient", "message",
                                                 "rounding of quantised values is passed as if it were none"));
}

static bool save_maps(struct saving *s, const int *maps, int n, struct error *err)
{
  bool ok = true;
  for (int i = 0; ok && i < n; i++) {
    ok = (i % FEATURE_SHEET_MAPS != 0 || begin_sheet(s, maps + i, n - i, err)) && save_map(s, maps[i], err);
    s->on_sheet++;
    if (ok && (s->on_sheet == s->sheet.maps))
      ok = write_sheet(s, err);
  }
  feature_sheet_end(&s->sheet);
  return ok;
}

static bool save_all(struct saving *s, struct error *err)
{
  struct penumbra_features *f = s->f;
  char path[PATH_SIZE];
  int n = f->n_maps;
  if (f->search.n_images == 0)
    return error_set(err, ERROR_USAGE, "features: no image was added");
  if (f->strongest && (n = feature_search_strongest(&f->search, f->n_maps, f->maps, err)) < 1)
    return n < 0 ? false
                 : error_set(err, ERROR_FAILED, "layer '%.60s' is not active on any image (flat-map)",
                             f->session->layer.name);
  for (int i = 0; i < n; i++)
    s->total += f->search.counts[f->maps[i]];
  warn_of_rules(s);
  json_t *root = NULL;
  const bool ok = save_maps(s, f->maps, n, err) && output_path(s->out, "features.json", path, sizeof path, err) &&
                  ((root = features_json(s)) || error_memory(err, "features")) && json_write_path(root, path, err);
  json_decref(root);
  return ok;
}

bool penumbra_features_save(penumbra_features *f, const char *dir, unsigned flags,
                            penumbra_image *(*open)(void *context, const char *name, const char *sha256,
                                                    penumbra_error *err),
                            void *context, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  struct output out = {0};
  struct saving s = {.f = f,
                     .out = &out,
                     .open = open,
                     .context = context,
                     .n_held = f->request.top + CACHED,
                     .maps = json_array(),
                     .warnings = json_array(),
                     .sheet_names = json_array(),
                     .started = now()};
  s.held = mem_zero((size_t)s.n_held, sizeof *s.held);
  bool ok = (s.held && s.maps && s.warnings && s.sheet_names) || error_memory(&failed, "features");
  for (int i = 0; ok && i < s.n_held; i++)
    s.held[i].image = -1;
  ok = ok && output_begin(&out, dir, (flags & PENUMBRA_OVERWRITE) != 0, &failed) && save_all(&s, &failed) &&
       output_commit(&out, &failed);
  output_end(&out);
  for (int i = 0; s.held && i < s.n_held; i++)
    input_free(&s.held[i].input);
  mem_free(s.held);
  json_decref(s.maps);
  json_decref(s.warnings);
  json_decref(s.sheet_names);
  return ok || api_error(err, &failed);
}
