/* SPDX-License-Identifier: Apache-2.0 */
/* The search for what excites feature maps, and the views of what was found. */
#include "base/rng.h"
#include "fault.h"
#include "methods/feature_search.h"
#include "methods/feature_views.h"
#include "subject.h"

#include <math.h>

enum { HEIGHT = 4, WIDTH = 5, MAPS = 7, UNITS = HEIGHT * WIDTH, IMAGES = 40, TOP = 9 };

struct picture {
  char name[32], sha256[65];
  float activations[UNITS * MAPS];
};

/* Few values, so that many are equal; the last map is silent, the one before negative but for one place. */
static void draw_pictures(struct picture *pictures)
{
  for (int i = 0; i < IMAGES; i++) {
    struct picture *p = &pictures[i];
    (void)snprintf(p->name, sizeof p->name, "folder/%c%d.png", 'a' + (i * 11) % 26, i);
    (void)snprintf(p->sha256, sizeof p->sha256, "%064x", 7919 * (i + 1));
    for (int k = 0; k < UNITS * MAPS; k++) {
      const int map = k % MAPS;
      const uint32_t word = rng_bits(3, RNG_FILL, (uint32_t)i, (uint64_t)k);
      p->activations[k] = map == MAPS - 1   ? -(float)(word % 3)
                          : map == MAPS - 2 ? (i == 17 && k / MAPS == 3 ? 0.25f : -1)
                                            : (float)(int)(word % (5 + 3 * (uint32_t)map)) / 4 - 0.5f;
    }
  }
}

static struct feature_search search_new(int per_image)
{
  struct feature_search s;
  struct error err = {0};
  assert_ok(feature_search_init(&s, HEIGHT, WIDTH, MAPS, TOP, per_image, &err), err);
  return s;
}

static void add(struct feature_search *s, const struct picture *p)
{
  struct error err = {0};
  assert_ok(feature_search_add(s, p->name, p->sha256, p->activations, &err), err);
}

/* What a search should have found, by sorting everything. */
struct candidate {
  float value;
  const char *name;
  int unit;
};

static int by_strength(const void *a, const void *b)
{
  const struct candidate *p = a, *q = b;
  const int order = strcmp(p->name, q->name);
  return p->value != q->value ? (p->value < q->value) - (p->value > q->value) : order ? order : p->unit - q->unit;
}

static int expect_hits(const struct picture *pictures, int map, int per_image, struct candidate *kept)
{
  static struct candidate all[IMAGES * UNITS];
  int n = 0, count = 0;
  for (int i = 0; i < IMAGES; i++) {
    struct candidate own[UNITS];
    int active = 0;
    for (int unit = 0; unit < UNITS; unit++)
      if (pictures[i].activations[unit * MAPS + map] > 0)
        own[active++] = (struct candidate){pictures[i].activations[unit * MAPS + map], pictures[i].name, unit};
    qsort(own, (size_t)active, sizeof *own, by_strength);
    for (int k = 0; k < active && k < per_image; k++)
      all[n++] = own[k];
  }
  qsort(all, (size_t)n, sizeof *all, by_strength);
  for (; count < n && count < TOP; count++)
    kept[count] = all[count];
  return count;
}

static void check_against_sorting(const struct feature_search *s, const struct picture *pictures, int per_image)
{
  for (int map = 0; map < MAPS; map++) {
    struct candidate kept[TOP];
    const int n = expect_hits(pictures, map, per_image, kept);
    assert_int_equal(s->counts[map], n);
    for (int i = 0; i < n; i++) {
      const struct feature_hit *hit = &s->hits[map * TOP + i];
      assert_float_equal(hit->value, kept[i].value, 0);
      assert_string_equal(s->images[hit->image].name, kept[i].name);
      assert_int_equal(hit->y * WIDTH + hit->x, kept[i].unit);
    }
    double total = 0;
    for (int i = 0; i < IMAGES; i++)
      for (int unit = 0; unit < UNITS; unit++)
        total += (double)pictures[i].activations[unit * MAPS + map];
    assert_float_equal(feature_search_total(s, map), total, 1e-6);
  }
}

static void finds_the_strongest_in_any_order(void **state)
{
  static struct picture pictures[IMAGES];
  static const int steps[] = {1, 7, 23, 39};
  (void)state;
  draw_pictures(pictures);
  for (int per_image = 1; per_image <= 5; per_image += 2)
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
      struct feature_search s = search_new(per_image);
      for (int i = 0; i < IMAGES; i++)
        add(&s, &pictures[i * steps[k] % IMAGES]);
      check_against_sorting(&s, pictures, per_image);
      int maps[MAPS];
      struct error err = {0};
      const int n = feature_search_strongest(&s, MAPS, maps, &err);
      assert_int_equal(n, MAPS - 1); /* all but the silent one */
      for (int i = 1; i < n; i++)
        assert_true(s.totals[maps[i - 1]] >= s.totals[maps[i]]);
      assert_int_equal(feature_search_strongest(&s, 2, maps, &err), 2);
      feature_search_free(&s);
    }
}

static void an_image_counts_once(void **state)
{
  static struct picture pictures[IMAGES];
  (void)state;
  draw_pictures(pictures);
  struct feature_search s = search_new(2);
  assert_false(feature_search_has(&s, pictures[0].sha256));
  for (int round = 0; round < 2; round++)
    for (int i = 0; i < IMAGES; i++)
      add(&s, &pictures[i]);
  assert_true(feature_search_has(&s, pictures[0].sha256));
  assert_int_equal(s.n_images, IMAGES);
  check_against_sorting(&s, pictures, 2);
  feature_search_free(&s);
}

static void goes_on_from_a_state(void **state)
{
  static struct picture pictures[IMAGES];
  struct error err = {0};
  (void)state;
  draw_pictures(pictures);
  struct feature_search first = search_new(3);
  for (int i = 0; i < IMAGES / 2; i++)
    add(&first, &pictures[i]);
  json_t *half = feature_search_state(&first);
  assert_non_null(half);
  char *text = json_dumps(half, JSON_REAL_PRECISION(9));
  json_decref(half);
  half = json_loads(text, 0, NULL);
  mem_free(text);
  struct feature_search second = search_new(3);
  assert_ok(feature_search_restore(&second, half, &err), err);
  assert_true(feature_search_has(&second, pictures[3].sha256));
  for (int i = 0; i < IMAGES; i++)
    add(&second, &pictures[i]);
  check_against_sorting(&second, pictures, 3);
  feature_search_free(&first);
  feature_search_free(&second);

  /* Of another layer, of other limits, broken: nothing of it stays. */
  static const char *const broken[] = {
      "{}", "[]", "{\"layer\": [4, 5, 7], \"top\": 9, \"per_image\": 3, \"images\": [], \"maps\": []}"};
  for (size_t i = 0; i < 6; i++) {
    json_t *bad = i < 3 ? json_loads(broken[i], 0, NULL) : json_deep_copy(half);
    if (i == 3) /* an image that is not in the list */
      json_array_set_new(json_array_get(json_array_get(json_array_get(json_object_get(bad, "maps"), 0), 2), 0), 1,
                         json_integer(IMAGES));
    if (i == 4) /* a place outside the layer */
      json_array_set_new(json_array_get(json_array_get(json_array_get(json_object_get(bad, "maps"), 2), 2), 0), 2,
                         json_integer(HEIGHT));
    if (i == 5)
      json_array_set_new(json_array_get(json_object_get(bad, "images"), 0), 1, json_string("0123"));
    struct feature_search s = search_new(3);
    err = (struct error){0};
    assert_false(feature_search_restore(&s, bad, &err));
    assert_int_equal(err.code, ERROR_FAILED);
    assert_int_equal(s.n_images, 0);
    for (int k = 0; k < IMAGES; k++)
      add(&s, &pictures[k]);
    check_against_sorting(&s, pictures, 3);
    feature_search_free(&s);
    json_decref(bad);
  }
  json_decref(half);
}

static void what_is_not_finite_is_told(void **state)
{
  static struct picture pictures[IMAGES];
  struct error err = {0};
  (void)state;
  draw_pictures(pictures);
  struct feature_search s = search_new(1);
  add(&s, &pictures[0]);
  pictures[1].activations[(2 * WIDTH + 3) * MAPS + 4] = NAN;
  assert_false(feature_search_add(&s, pictures[1].name, pictures[1].sha256, pictures[1].activations, &err));
  assert_non_null(strstr(err.message, "unit 2,3 of feature map 4"));
  assert_non_null(strstr(err.message, pictures[1].name));
  assert_int_equal(s.n_images, 1);
  assert_false(feature_search_has(&s, pictures[1].sha256));
  feature_search_free(&s);
}

static bool search_some(const struct picture *pictures, struct error *err)
{
  struct feature_search s;
  bool ok = feature_search_init(&s, HEIGHT, WIDTH, MAPS, TOP, 2, err);
  for (int i = 0; ok && i < 3; i++)
    ok = feature_search_add(&s, pictures[i].name, pictures[i].sha256, pictures[i].activations, err);
  int maps[MAPS];
  ok = ok && feature_search_strongest(&s, MAPS, maps, err) > 0;
  json_t *found = ok ? feature_search_state(&s) : NULL;
  ok = ok && (found || error_memory(err, "the state"));
  json_decref(found);
  feature_search_free(&s);
  return ok;
}

static void survives_failing_allocations(void **state)
{
  static struct picture pictures[IMAGES];
  (void)state;
  draw_pictures(pictures);
  FAULT_LOOP(search_some(pictures, &err), (void)0);
}

/* Views are the projections that the method gives, cut to what the unit sees. */
static void views_are_projections(void **state)
{
  static const char *const nets[] = {"back_field", "conv3_softmax", "res"};
  (void)state;
  for (size_t net = 0; net < sizeof nets / sizeof *nets; net++) {
    struct subject *s = subject_open(nets[net], false);
    const struct predictor *p = &s->model->predictor;
    struct error err = {0};
    struct session *session = session_open(p, &(struct session_options){.layer = ""}, &err);
    assert_ok(session != NULL, err);
    const int h = session->layer.height, w = session->layer.width;
    const struct feature_source source = {session, s->model, "", RULE_DECONV};
    struct feature_view views[4] = {{.x = s->input.x, .y = 0, .u = 0},
                                    {.x = s->input.x, .y = h - 1, .u = w / 2},
                                    {.x = s->input.x, .y = h / 2, .u = w / 2},
                                    {.x = s->input.x, .y = h - 1, .u = w - 1}};
    assert_ok(feature_views(&source, 1, views, 4, &err), err);
    for (int i = 0; i < 4; i++) {
      const struct feature_view *v = &views[i];
      char params[64];
      (void)snprintf(params, sizeof params, "feature-map=1 unit=%d,%d keep-channels=on", v->y, v->u);
      struct explanation out = subject_run(s, "deconvnet", params);
      const json_t *facts = json_object_get(out.details, "projection");
      const float *whole = subject_array(&out, "channels");
      const int bw = v->box[2] - v->box[0], bh = v->box[3] - v->box[1];
      for (size_t k = 0; k < 4; k++)
        assert_int_equal(json_integer_value(json_array_get(json_object_get(facts, "receptive_field"), k)), v->box[k]);
      assert_float_equal(json_number_value(json_object_get(facts, "activation")), v->value, 0);
      for (int c = 0; c < p->channels && v->value > 0; c++)
        for (int y = 0; y < bh; y++)
          for (int x = 0; x < bw; x++)
            assert_float_equal(v->projection[(c * bh + y) * bw + x],
                               whole[((int64_t)c * p->height + v->box[1] + y) * p->width + v->box[0] + x], 0);
      /* What is shown lies within the frame, and the frame holds the box. */
      for (int axis = 0; axis < 2; axis++) {
        assert_true(v->frame[axis] <= v->box[axis] && v->box[axis + 2] <= v->frame[axis + 2]);
        assert_true(v->frame[axis] <= v->shown[axis] && v->shown[axis] < v->shown[axis + 2]);
        assert_true(v->shown[axis + 2] <= v->frame[axis + 2]);
        if (strcmp(nets[net], "back_field") == 0) /* an edge cuts the box, never the frame */
          assert_int_equal(v->frame[axis + 2] - v->frame[axis], 8);
      }
      explanation_free(&out);
    }
    feature_views_free(views, 4);
    session_close(session);
    subject_close(s);
  }
}

static void max_poolings_are_counted_up_to_the_layer(void **state)
{
  (void)state;
  struct error err = {0};
  struct subject *s = subject_open("conv3_softmax", false);
  const struct graph *graph = s->model->graph;
  int before = 0;
  for (int i = 0; i < graph->n_nodes; i++) { /* this network is a chain */
    const struct value *out = graph->nodes[i]->out[0];
    before += strcmp(graph->nodes[i]->type, "MaxPool") == 0;
    if (out->t.shape.rank == 4 && out->t.layout == LAYOUT_CHANNELS_LAST)
      assert_int_equal(feature_views_switches(s->model, out->name, &err), before);
  }
  assert_true(before > 0);
  assert_int_equal(feature_views_switches(s->model, "nowhere", &err), -1);
  assert_non_null(strstr(err.message, "nowhere"));
  subject_close(s);
}

/* What occlusion shows beside its feature map is the deconvnet's projection of all of that map. */
static void occlusion_projects_the_map_it_watches(void **state)
{
  static const char *const nets[] = {"conv3_softmax", "conv1_softmax", "res"};
  (void)state;
  for (size_t net = 0; net < sizeof nets / sizeof *nets; net++) {
    struct subject *s = subject_open(nets[net], false);
    struct explanation with = subject_run(s, "occlusion", "patch=7 with-projection=on");
    struct explanation without = subject_run(s, "occlusion", "patch=7");
    struct explanation deconv = subject_run(s, "deconvnet", "unit=map keep-channels=on");
    const int64_t n = image_floats(&s->model->predictor);
    const json_t *watched = json_object_get(with.details, "feature_map");
    const json_t *projected = json_object_get(deconv.details, "projection");
    assert_true(json_equal(json_object_get(watched, "index"), json_object_get(projected, "feature_map")));
    assert_true(json_equal(json_object_get(json_object_get(watched, "projection"), "receptive_field"),
                           json_object_get(projected, "receptive_field")));
    assert_int_equal(npy_count(explanation_find(&with, "occlusion_projection")), n);
    assert_memory_equal(subject_array(&with, "occlusion_projection"), subject_array(&deconv, "channels"),
                        (size_t)n * sizeof(float));
    assert_memory_equal(subject_array(&with, "map"), subject_array(&without, "map"),
                        (size_t)(n / s->model->predictor.channels) * sizeof(float));
    assert_null(explanation_find(&without, "occlusion_projection"));
    assert_null(json_object_get(json_object_get(without.details, "feature_map"), "projection"));
    explanation_free(&with);
    explanation_free(&without);
    explanation_free(&deconv);
    subject_close(s);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(finds_the_strongest_in_any_order),
      cmocka_unit_test(an_image_counts_once),
      cmocka_unit_test(goes_on_from_a_state),
      cmocka_unit_test(what_is_not_finite_is_told),
      cmocka_unit_test(survives_failing_allocations),
      cmocka_unit_test(views_are_projections),
      cmocka_unit_test(max_poolings_are_counted_up_to_the_layer),
      cmocka_unit_test(occlusion_projects_the_map_it_watches),
  };
  fault_include_jansson();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
