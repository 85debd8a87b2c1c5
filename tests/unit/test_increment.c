/* SPDX-License-Identifier: Apache-2.0 */
/* Windows against whole runs: any rectangle, at any place, at any batch size, must give what the plain path gives. */
#include "../support/scene.h"
#include "base/rng.h"
#include "engine.h"
#include "graph/increment.h"

#include <stdlib.h>

enum { CHANGES = 64, LAYERS_TRIED = 4 };

static const char *const fixtures[] = {
    "win_strides", "win_dilations", "win_groups",    "win_maxpool",   "win_avgpool", "win_fire", "win_residual",
    "win_dense",   "win_branches",  "win_nhwc",      "win_gate",      "win_flatten", "win_deep", "res",
    "win_wide",    "lin",           "conv1_softmax", "conv3_sigmoid", "win_joined",
};
enum { N_FIXTURES = sizeof fixtures / sizeof *fixtures };

/* ---- rectangles ------------------------------------------------------------------------------------------------- */

static int below(uint64_t seed, uint32_t which, uint64_t i, int n)
{
  return (int)rng_below(seed, RNG_JITTER, which, i, (uint32_t)n);
}

/* The first four sit in the corners, the next four at the edges, the others anywhere; the first dozen are as large as
 * they may be, the others of any size up to that. */
static struct rect rect_at(uint64_t seed, int i, int height, int width, int most_y, int most_x)
{
  const uint64_t u = (uint64_t)i;
  const int h = i < 12 ? most_y : 1 + below(seed, 1, u, most_y), w = i < 12 ? most_x : 1 + below(seed, 2, u, most_x);
  int y = below(seed, 3, u, height - h + 1), x = below(seed, 4, u, width - w + 1);
  if (i < 4 || i == 4 || i == 5)
    y = i & 1 ? height - h : 0;
  if (i < 4 || i == 6 || i == 7)
    x = (i < 4 ? i & 2 : i & 1) ? width - w : 0;
  return (struct rect){y, x, y + h, x + w};
}

struct changes {
  struct change list[CHANGES];
  float *content;
};

/* `same`: each holds the base's own pixels. */
static struct changes changes_new(uint64_t seed, const struct predictor *p, int most_y, int most_x, const float *same)
{
  struct changes c;
  const size_t each = (size_t)most_y * (size_t)most_x * (size_t)p->channels;
  c.content = malloc(CHANGES * each * sizeof *c.content);
  assert_non_null(c.content);
  noise_image(seed + 77, (int64_t)(CHANGES * each), c.content);
  for (int i = 0; i < CHANGES; i++) {
    float *to = c.content + (size_t)i * each;
    const struct rect r = rect_at(seed, i, p->height, p->width, most_y, most_x);
    c.list[i] = (struct change){r, to};
    for (int y = r.y0; same && y < r.y1; y++) {
      const size_t row = (size_t)(r.x1 - r.x0) * (size_t)p->channels;
      memcpy(to, same + ((size_t)y * (size_t)p->width + (size_t)r.x0) * (size_t)p->channels, row * sizeof *to);
      to += row;
    }
  }
  return c;
}

static void change_image(const struct predictor *p, const float *base, const struct change *c, float *image)
{
  const size_t row = (size_t)(c->rect.x1 - c->rect.x0) * (size_t)p->channels;
  if (image != base)
    memcpy(image, base, (size_t)image_floats(p) * sizeof *image);
  for (int y = c->rect.y0; y < c->rect.y1; y++)
    memcpy(image + ((size_t)y * (size_t)p->width + (size_t)c->rect.x0) * (size_t)p->channels,
           c->content + (size_t)(y - c->rect.y0) * row, row * sizeof *image);
}

/* ---- one network ------------------------------------------------------------------------------------------------ */

static bool is_map(const struct value *v)
{
  return v && !v->t.data && v->t.shape.rank == 4 && v->t.dtype == DTYPE_F32 && v->t.layout == LAYOUT_CHANNELS_LAST;
}

/* The i-th of LAYERS_TRIED feature maps spread over the network, NULL where there is none. */
static struct value *layer_at(const struct graph *graph, int i)
{
  struct value *maps[256];
  int n = 0;
  for (int k = 0; k < graph->n_nodes && n < 256; k++)
    if (is_map(graph->nodes[k]->out[0]))
      maps[n++] = graph->nodes[k]->out[0];
  return n ? maps[(n - 1) * i / (LAYERS_TRIED - 1)] : NULL;
}

struct answers {
  float *raw, *layer; /* [CHANGES, …] */
  int64_t outputs, map;
};

static struct answers answers_new(const struct graph *graph, const struct value *layer)
{
  struct answers a = {.outputs = tensor_count(&graph->outputs[0]->t), .map = layer ? tensor_count(&layer->t) : 0};
  a.raw = calloc((size_t)(CHANGES * a.outputs), sizeof *a.raw);
  a.layer = calloc((size_t)(CHANGES * a.map) + 1, sizeof *a.layer);
  assert_non_null(a.raw);
  assert_non_null(a.layer);
  return a;
}

static void answers_free(struct answers *a)
{
  free(a->raw);
  free(a->layer);
}

/* Whole runs, one image at a time. */
static struct answers plain(const struct predictor *p, const struct graph *graph, const struct value *layer,
                            const float *base, const struct changes *changes)
{
  struct answers a = answers_new(graph, layer);
  struct engine e = engine_new(graph, 1, true);
  float *image = malloc((size_t)image_floats(p) * sizeof *image);
  assert_non_null(image);
  for (int i = 0; i < CHANGES; i++) {
    change_image(p, base, &changes->list[i], image);
    engine_run(&e, image, image_floats(p));
    memcpy(a.raw + i * a.outputs, run_value(e.run, graph->outputs[0]), (size_t)a.outputs * sizeof *a.raw);
    if (layer)
      memcpy(a.layer + i * a.map, run_value(e.run, layer), (size_t)a.map * sizeof *a.layer);
  }
  free(image);
  engine_free(&e);
  return a;
}

/* Windows, `batch` at a time. */
static struct answers windowed(const struct graph *graph, const struct value *layer, const float *base,
                               const struct changes *changes, int most_y, int most_x, int batch)
{
  struct error err = {0};
  struct answers a = answers_new(graph, layer);
  struct compute *compute = compute_open(&err);
  assert_ok(compute != NULL, err);
  const struct increment_options options = {most_y, most_x, batch, 1, layer};
  struct increment *inc = increment_new(graph, compute, &options, &err);
  assert_ok(inc != NULL, err);
  assert_ok(increment_base(inc, 0, base, &err), err);
  for (int i = 0; i < CHANGES; i += batch) {
    const int n = CHANGES - i < batch ? CHANGES - i : batch;
    assert_ok(increment_run(inc, changes->list + i, n, a.raw + i * a.outputs, layer ? a.layer + i * a.map : NULL, &err),
              err);
  }
  increment_free(inc);
  compute_close(compute);
  return a;
}

static bool same_bits(const struct answers *a, const struct answers *b)
{
  return memcmp(a->raw, b->raw, (size_t)(CHANGES * a->outputs) * sizeof *a->raw) == 0 &&
         memcmp(a->layer, b->layer, (size_t)(CHANGES * a->map) * sizeof *a->layer) == 0;
}

static int complain(const char *name, const char *what, int most_y, int most_x, const char *layer, double error)
{
  print_message("# %s: %s, changes up to %dx%d, layer %s: %.2e\n", name, what, most_y, most_x, layer, error);
  return 1;
}

/* All sizes of change on one network, at one number of threads. Returns the number of faults. */
static int check_network(const char *name, int threads)
{
  struct model *model = engine_fixture(name);
  const struct predictor *p = &model->predictor;
  const int sizes[][2] = {{1, 1}, {5, 5}, {2, 9}, {p->height / 2 + 2, p->width / 2 + 1}, {p->height, p->width}};
  float *base = malloc((size_t)image_floats(p) * sizeof *base);
  int faults = 0;
  assert_non_null(base);
  noise_image(1, image_floats(p), base);
  threads_use(threads);
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    struct error err = {0};
    const int y = sizes[s][0] < p->height ? sizes[s][0] : p->height,
              x = sizes[s][1] < p->width ? sizes[s][1] : p->width;
    struct value *kept = layer_at(model->graph, (int)s % LAYERS_TRIED);
    struct graph *graph = graph_fused(model->graph, FUSE_ALL, &kept, kept != NULL, &err);
    assert_ok(graph != NULL, err);
    const struct value *layer = kept ? graph->values[kept->id] : NULL;
    const char *shown = kept ? kept->name : "none";
    struct changes changes = changes_new(s, p, y, x, NULL);
    struct answers full = plain(p, graph, layer, base, &changes);
    struct answers many = windowed(graph, layer, base, &changes, y, x, CHANGES);
    const double raw = relative_error(many.raw, full.raw, CHANGES * full.outputs);
    const double maps = relative_error(many.layer, full.layer, CHANGES * full.map);
    if (raw > 1e-5)
      faults += complain(name, "scores differ from the whole run", y, x, shown, raw);
    if (maps > 1e-5)
      faults += complain(name, "activations differ from the whole run", y, x, shown, maps);
    static const int batches[] = {1, 7, 16};
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
      struct answers other = windowed(graph, layer, base, &changes, y, x, batches[b]);
      if (!same_bits(&many, &other)) {
        const double worst = fmax(relative_error(other.raw, many.raw, CHANGES * full.outputs),
                                  relative_error(other.layer, many.layer, CHANGES * full.map));
        faults += complain(name,
                           batches[b] == 1   ? "batch 1 has other bits"
                           : batches[b] == 7 ? "batch 7 has other bits"
                                             : "batch 16 has other bits",
                           y, x, shown, worst);
      }
      answers_free(&other);
    }
    if (threads > 1) {
      threads_use(1);
      struct answers one = windowed(graph, layer, base, &changes, y, x, CHANGES);
      threads_use(threads);
      if (!same_bits(&many, &one))
        faults += complain(name, "one thread has other bits", y, x, shown,
                           relative_error(one.raw, many.raw, CHANGES * full.outputs));
      answers_free(&one);
    }
    answers_free(&full);
    answers_free(&many);
    free(changes.content);
    graph_free(graph);
  }
  free(base);
  model_close(model);
  return faults;
}

static void windows_equal_whole_runs(void **state)
{
  (void)state;
  int faults = 0;
  for (int i = 0; i < N_FIXTURES; i++)
    faults += check_network(fixtures[i], 2);
  assert_int_equal(faults, 0);
}

/* A change to what is there already changes nothing, not even in the last bit; but for networks whose kernels add up in
 * another order on windows than on the whole map (many channels, wide dilation). */
static void own_pixels_change_nothing(void **state)
{
  (void)state;
  int faults = 0;
  for (int i = 0; i < N_FIXTURES; i++) {
    struct error err = {0};
    struct model *model = engine_fixture(fixtures[i]);
    const struct predictor *p = &model->predictor;
    float *base = malloc((size_t)image_floats(p) * sizeof *base);
    assert_non_null(base);
    noise_image(2, image_floats(p), base);
    struct graph *graph = graph_fused(model->graph, FUSE_ALL, NULL, 0, &err);
    assert_ok(graph != NULL, err);
    struct changes changes = changes_new(5, p, p->height / 2, p->width / 2, base);
    struct answers full = plain(p, graph, NULL, base, &changes);
    struct answers many = windowed(graph, NULL, base, &changes, p->height / 2, p->width / 2, CHANGES);
    const bool other_order = strcmp(fixtures[i], "win_wide") == 0 || strcmp(fixtures[i], "win_dilations") == 0;
    const bool same =
        other_order ? relative_error(many.raw, full.raw, CHANGES * full.outputs) <= 1e-6 : same_bits(&full, &many);
    if (!same)
      faults += complain(fixtures[i], "own pixels move the score", p->height / 2, p->width / 2, "none",
                         relative_error(many.raw, full.raw, CHANGES * full.outputs));
    answers_free(&full);
    answers_free(&many);
    free(changes.content);
    graph_free(graph);
    free(base);
    model_close(model);
  }
  assert_int_equal(faults, 0);
}

/* One base after another, one call after another: nothing is left over from the one before. */
static void a_new_base_starts_afresh(void **state)
{
  (void)state;
  for (int i = 0; i < N_FIXTURES; i++) {
    struct error err = {0};
    struct model *model = engine_fixture(fixtures[i]);
    const struct predictor *p = &model->predictor;
    float *base = malloc((size_t)image_floats(p) * sizeof *base);
    assert_non_null(base);
    struct graph *graph = graph_fused(model->graph, FUSE_ALL, NULL, 0, &err);
    assert_ok(graph != NULL, err);
    struct changes changes = changes_new(6, p, 6, 6, NULL);
    struct compute *compute = compute_open(&err);
    const struct increment_options options = {6, 6, 16, 1, NULL};
    struct increment *inc = increment_new(graph, compute, &options, &err);
    assert_ok(inc != NULL, err);
    for (uint64_t seed = 10; seed < 13; seed++) {
      noise_image(seed, image_floats(p), base);
      struct answers a = answers_new(graph, NULL), full = plain(p, graph, NULL, base, &changes);
      assert_ok(increment_base(inc, 0, base, &err), err);
      for (int from = (int)seed % 2 ? 48 : 0; from >= 0 && from < CHANGES; from += seed % 2 ? -16 : 16)
        assert_ok(increment_run(inc, changes.list + from, 16, a.raw + from * a.outputs, NULL, &err), err);
      assert_true(relative_error(a.raw, full.raw, CHANGES * a.outputs) <= 1e-5);
      answers_free(&a);
      answers_free(&full);
    }
    increment_free(inc);
    compute_close(compute);
    free(changes.content);
    graph_free(graph);
    free(base);
    model_close(model);
  }
}

/* Sequences in lockstep, each from where it has come to, against whole runs of what they have become; some steps change
 * nothing. However many step at once, the bits are the same. */
static void sequences_follow_whole_runs(void **state)
{
  (void)state;
  enum { SEQUENCES = 8, STEPS = CHANGES / SEQUENCES };
  threads_use(2);
  for (int i = 0; i < N_FIXTURES; i++) {
    struct error err = {0};
    struct model *model = engine_fixture(fixtures[i]);
    const struct predictor *p = &model->predictor;
    const int side = p->height / 3;
    const int64_t floats = image_floats(p);
    struct graph *graph = graph_fused(model->graph, FUSE_ALL, NULL, 0, &err);
    assert_ok(graph != NULL, err);
    float *base = malloc((size_t)floats * sizeof *base), *image = malloc((size_t)floats * sizeof *image);
    assert_true(base && image);
    noise_image(3, floats, base);
    struct changes changes = changes_new(7, p, side, side, NULL); /* step s of sequence q: number s * SEQUENCES + q */
    changes.list[11].rect = changes.list[40].rect = (struct rect){0, 0, 0, 0};
    struct answers full = answers_new(graph, NULL), all = answers_new(graph, NULL), few = answers_new(graph, NULL);
    struct engine e = engine_new(graph, 1, false);
    for (int q = 0; q < SEQUENCES; q++) {
      memcpy(image, base, (size_t)floats * sizeof *image);
      for (int s = q; s < CHANGES; s += SEQUENCES) {
        change_image(p, image, &changes.list[s], image);
        engine_run(&e, image, floats);
        memcpy(full.raw + s * full.outputs, run_value(e.run, graph->outputs[0]),
               (size_t)full.outputs * sizeof *full.raw);
      }
    }
    engine_free(&e);
    struct compute *compute = compute_open(&err);
    for (int lockstep = SEQUENCES; lockstep >= 2; lockstep /= 2) {
      struct answers *a = lockstep == SEQUENCES ? &all : &few;
      const struct increment_options options = {side, side, lockstep, lockstep, NULL};
      struct increment *inc = increment_new(graph, compute, &options, &err);
      assert_ok(inc != NULL, err);
      for (int first = 0; first < SEQUENCES; first += lockstep) {
        assert_ok(increment_base(inc, 0, base, &err), err);
        for (int q = 1; q < lockstep; q++) {
          if (q % 2)
            assert_ok(increment_base(inc, q, base, &err), err);
          else
            increment_copy_base(inc, 0, q);
        }
        for (int s = 0; s < STEPS; s++) {
          const int64_t at = s * SEQUENCES + first;
          assert_ok(increment_step(inc, changes.list + at, lockstep, a->raw + at * a->outputs, &err), err);
        }
      }
      increment_free(inc);
      if (!(relative_error(a->raw, full.raw, CHANGES * full.outputs) <= 1e-5) || (a == &few && !same_bits(&all, &few)))
        fail_msg("%s, %d in lockstep: %.2e from whole runs", fixtures[i], lockstep,
                 relative_error(a->raw, full.raw, CHANGES * full.outputs));
    }
    compute_close(compute);
    answers_free(&full);
    answers_free(&all);
    answers_free(&few);
    free(changes.content);
    free(base);
    free(image);
    graph_free(graph);
    model_close(model);
  }
}

/* What is chosen by measure: everything is dear where nothing is local, and small changes are cheap where all is. */
static void knows_the_share_of_work(void **state)
{
  (void)state;
  static const struct {
    const char *name;
    int side;
    double least, most;
  } cases[] = {
      {"lin", 2, 1, 1},        {"win_strides", 41, 0.999, 1}, {"win_residual", 1, 0.01, 0.5},
      {"win_gate", 2, 0.3, 1}, {"win_flatten", 1, 0.02, 0.7},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct error err = {0};
    struct model *model = engine_fixture(cases[i].name);
    double share = -1, wider = -1;
    const int side = cases[i].side < model->predictor.width ? cases[i].side : model->predictor.width;
    struct increment_options options = {.height = cases[i].side, .width = side};
    assert_ok(increment_share(model->graph, &options, &share, &err), err);
    options.height = model->predictor.height;
    options.width = model->predictor.width;
    assert_ok(increment_share(model->graph, &options, &wider, &err), err);
    if (share < cases[i].least || share > cases[i].most || wider < share || wider > 1 + 1e-12)
      print_message("# %s: %f, at most %f\n", cases[i].name, share, wider);
    assert_true(share >= cases[i].least - 1e-12 && share <= cases[i].most + 1e-12);
    assert_true(wider >= share && wider <= 1 + 1e-12);
    model_close(model);
  }
}

/* ---- whole models ----------------------------------------------------------------------------------------------- */

struct measured {
  double logit, prob, layer; /* worst deviations: of the largest change, absolute, relative */
  bool local, one_by_one;    /* windows were used; alone each position has the bits it has among others */
};

/* Occlude a scene at places all over it, windows against whole runs, through the sessions that methods use. */
static struct measured occlude(const char *path, int per_axis, enum score score)
{
  struct error err = {0};
  struct model *model = engine_open(path, false);
  const struct predictor *p = &model->predictor;
  const int side = p->height < p->width ? p->height : p->width,
            patch = (32 * side + 112) / 224 > 0 ? (32 * side + 112) / 224 : 1;
  const int64_t floats = image_floats(p);
  const char *layer = model->default_layer ? "" : NULL;
  struct session_options options = {.score = score, .layer = layer};
  struct session *fast = session_open(p, &options, &err);
  assert_ok(fast != NULL, err);
  options.exact_full = true;
  struct session *slow = session_open(p, &options, &err);
  assert_ok(slow != NULL, err);
  const int64_t map = layer ? (int64_t)slow->layer.height * slow->layer.width * slow->layer.channels : 0;
  unsigned char *codes = malloc((size_t)floats);
  float *base = malloc((size_t)floats * sizeof *base), *image = malloc((size_t)floats * sizeof *image);
  float *content = calloc((size_t)(patch * patch * p->channels), sizeof *content);
  float *a = malloc((size_t)(p->classes + map + 1) * sizeof *a),
        *b = malloc((size_t)(p->classes + map + 1) * sizeof *b);
  float *own = malloc((size_t)(p->classes + map + 1) * sizeof *own);
  assert_true(codes && base && image && content && a && b && own);
  scene_draw(201, p->height, p->width, p->channels, codes);
  const struct card *card = &model->card;
  const double unit = card->scale != 0 ? card->scale : 1;
  for (int64_t i = 0; i < floats; i++) {
    const int64_t c = i % p->channels;
    const double mean = card->mean_count ? card->mean[c] : 0, sd = card->std_count ? card->std[c] : 1;
    base[i] = (float)((codes[i] * unit - mean) / sd);
  }
  struct measured m = {.logit = 0};
  int batch = 0;
  assert_ok(session_begin_changes(fast, base, patch, patch, &batch, &err), err);
  m.local = batch > 0;
  int none = -1;
  assert_ok(session_begin_changes(slow, base, patch, patch, &none, &err), err);
  assert_int_equal(none, 0);
  assert_ok(session_predict(slow, base, 1, own, layer ? own + p->classes : NULL, &err), err);
  double largest = 0, worst = 0;
  const int places = per_axis * per_axis, at_once = batch < places ? batch : places;
  struct change changes[64];
  float *together = calloc((size_t)(places * p->classes), sizeof *together);
  float *maps = calloc((size_t)(at_once * map) + 1, sizeof *maps);
  assert_true(together && maps && places <= 64);
  for (int i = 0; i < places; i++) {
    const int y = (p->height - patch) * (i / per_axis) / (per_axis - 1);
    const int x = (p->width - patch) * (i % per_axis) / (per_axis - 1);
    changes[i] = (struct change){{y, x, y + patch, x + patch}, content};
  }
  for (int i = 0; m.local && i < places; i += at_once)
    assert_ok(session_predict_changes(fast, changes + i, places - i < at_once ? places - i : at_once,
                                      together + i * p->classes, layer ? maps : NULL, &err),
              err);
  m.one_by_one = true;
  for (int i = 0; m.local && i < per_axis * per_axis; i++) {
    const struct change change = changes[i];
    change_image(p, base, &change, image);
    assert_ok(session_predict_changes(fast, &change, 1, a, layer ? a + p->classes : NULL, &err), err);
    assert_ok(session_predict(slow, image, 1, b, layer ? b + p->classes : NULL, &err), err);
    for (int64_t k = 0; k < p->classes; k++) {
      worst = fmax(worst, fabs((double)a[k] - (double)b[k]));
      largest = fmax(largest, fabs((double)b[k] - (double)own[k]));
    }
    m.one_by_one &= memcmp(a, together + i * p->classes, (size_t)p->classes * sizeof *a) == 0;
    if (map)
      m.layer = fmax(m.layer, relative_error(a + p->classes, b + p->classes, map));
  }
  m.logit = largest > 0 ? worst / largest : 0;
  m.prob = worst;
  free(codes);
  free(base);
  free(image);
  free(content);
  free(a);
  free(b);
  free(own);
  free(together);
  free(maps);
  session_close(fast);
  session_close(slow);
  model_close(model);
  return m;
}

static int check_model(const char *name, const char *path, int per_axis)
{
  const struct measured z = occlude(path, per_axis, SCORE_LOGIT), p = occlude(path, per_axis, SCORE_PROB);
  const bool good = z.logit <= 1e-3 && p.prob <= 1e-5 && z.layer <= 1e-4 && z.one_by_one && p.one_by_one;
  print_message("# %-22s %s logits %.1e of the largest change, probabilities %.1e, activations %.1e%s\n", name,
                z.local ? "windows," : "whole;  ", z.logit, p.prob, z.layer, z.one_by_one ? "" : ", other bits alone");
  return !good;
}

static void real_models_agree(void **state)
{
  (void)state;
  static const char *const names[] = {
      "cxr_pneumonia_cnn150", "mnist_cnn_opset11", "mobilenet_v1_0.5_160", "mobilenet_v2_224", "resnet20_cifar10_bn",
      "squeezenet_v1.0",      "vit_mnist"};
  int faults = 0;
  threads_use(2);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char file[128];
    (void)snprintf(file, sizeof file, "models/%s.onnx", names[i]);
    faults += check_model(names[i], shared_path(file), 7);
  }
  assert_int_equal(faults, 0);
}

static void topologies_agree(void **state)
{
  (void)state;
  static const char *const names[] = {"resnet18",           "resnet50",      "vgg16",        "densenet121",
                                      "mobilenet_v2",       "squeezenet1_1", "inception_v3", "efficientnet_b0",
                                      "mobilenet_v3_small", "convnext_tiny", "swin_tiny",    "vit_tiny"};
  int faults = 0;
  threads_use(2);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char file[128];
    (void)snprintf(file, sizeof file, "%s.onnx", names[i]);
    faults += check_model(names[i], models_path(file), 3);
  }
  assert_int_equal(faults, 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(windows_equal_whole_runs), cmocka_unit_test(own_pixels_change_nothing),
      cmocka_unit_test(a_new_base_starts_afresh), cmocka_unit_test(sequences_follow_whole_runs),
      cmocka_unit_test(knows_the_share_of_work),  cmocka_unit_test(real_models_agree),
      cmocka_unit_test(topologies_agree),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
