/* SPDX-License-Identifier: Apache-2.0 */
/* Running graphs: fused as unfused, any batch and any number of threads the same bits, no allocation on the way. */
#include "engine.h"

#include <stdlib.h>

static const char *const fixtures[] = {
    "lin",         "conv1_softmax", "conv3_sigmoid", "res",          "win_strides", "win_dilations", "win_groups",
    "win_maxpool", "win_avgpool",   "win_fire",      "win_residual", "win_dense",   "win_branches",  "win_nhwc",
    "win_gate",    "win_flatten",   "win_deep",      "win_wide",     "fixed_batch",
};
static const char *const models[] = {
    "cxr_pneumonia_cnn150", "mnist_cnn_opset11", "mobilenet_v1_0.5_160", "mobilenet_v2_224", "resnet20_cifar10_bn",
    "squeezenet_v1.0",      "vit_mnist"};
enum { N_FIXTURES = sizeof fixtures / sizeof *fixtures, N_MODELS = sizeof models / sizeof *models };

static const char *real(const char *name)
{
  char file[128];
  (void)snprintf(file, sizeof file, "models/%s.onnx", name);
  return shared_path(file);
}

/* Raw outputs [n, outputs] of n noise images, the i-th from seed i. */
static float *run_batch(const struct graph *graph, int64_t n, int64_t floats)
{
  const int64_t outputs = tensor_count(&graph->outputs[0]->t);
  struct engine e = engine_new(graph, n, false);
  float *images = malloc((size_t)(n * floats) * sizeof *images), *raw = malloc((size_t)(n * outputs) * sizeof *raw);
  assert_true(images && raw);
  for (int64_t i = 0; i < n; i++)
    noise_image((uint64_t)i, floats, images + i * floats);
  engine_run(&e, images, n * floats);
  memcpy(raw, run_value(e.run, graph->outputs[0]), (size_t)(n * outputs) * sizeof *raw);
  free(images);
  engine_free(&e);
  return raw;
}

/* ---- fusion ----------------------------------------------------------------------------------------------------- */

static double fusion_error(const char *path)
{
  struct error err = {0};
  struct model *plain = engine_open(path, true), *model = engine_open(path, false);
  const int64_t floats = image_floats(&model->predictor), outputs = model->outputs;
  struct graph *all = graph_fused(model->graph, FUSE_ALL, NULL, 0, &err);
  struct graph *some = graph_fused(model->graph, FUSE_REVERSIBLE, NULL, 0, &err);
  assert_ok(all && some, err);
  assert_true(all->n_nodes <= some->n_nodes && some->n_nodes <= model->graph->n_nodes);
  float *raw[4] = {run_batch(plain->graph, 2, floats), run_batch(model->graph, 2, floats), run_batch(some, 2, floats),
                   run_batch(all, 2, floats)};
  double worst = 0;
  for (int i = 1; i < 4; i++)
    worst = fmax(worst, relative_error(raw[i], raw[0], 2 * outputs));
  for (int i = 0; i < 4; i++)
    free(raw[i]);
  graph_free(all);
  graph_free(some);
  model_close(plain);
  model_close(model);
  return worst;
}

static void fused_as_unfused(void **state)
{
  (void)state;
  threads_use(2);
  for (int i = 0; i < N_FIXTURES; i++) {
    char file[128];
    (void)snprintf(file, sizeof file, "%s.onnx", fixtures[i]);
    const double error = fusion_error(golden_path("fixtures", file));
    if (error > 1e-5)
      print_message("# %s: %.2e\n", fixtures[i], error);
    assert_true(error <= 1e-5);
  }
}

static void fused_as_unfused_in_real_models(void **state)
{
  (void)state;
  threads_use(2);
  for (int i = 0; i < N_MODELS; i++) {
    const double error = fusion_error(real(models[i]));
    if (error > 1e-4)
      print_message("# %s: %.2e\n", models[i], error);
    assert_true(error <= 1e-4);
  }
}

/* A value that is to be kept is not fused away, and holds what the plain graph has there. */
static void keeps_what_is_asked_for(void **state)
{
  (void)state;
  struct error err = {0};
  threads_use(1);
  for (int i = 0; i < N_FIXTURES; i++) {
    struct model *model = engine_fixture(fixtures[i]);
    const int64_t floats = image_floats(&model->predictor);
    float *image = malloc((size_t)floats * sizeof *image);
    assert_non_null(image);
    noise_image(3, floats, image);
    struct engine plain = engine_new(model->graph, 1, true);
    engine_run(&plain, image, floats);
    for (int k = 0; k < model->graph->n_nodes; k++) {
      struct value *kept = model->graph->nodes[k]->out[0];
      if (kept->t.dtype != DTYPE_F32)
        continue;
      struct graph *fused = graph_fused(model->graph, FUSE_ALL, &kept, 1, &err);
      assert_ok(fused != NULL, err);
      struct value *same = fused->values[kept->id];
      struct compute *compute = compute_open(&err);
      struct run *run = run_new(fused, compute, 1, &same, 1, false, &err);
      assert_ok(run != NULL, err);
      void *memory = mem_map(run_bytes(run));
      run_bind(run, memory);
      memcpy(run_input(run, 0), image, (size_t)floats * sizeof *image);
      assert_ok(run_execute(run, &err), err);
      assert_non_null(run_value(run, same));
      const double error = relative_error(run_value(run, same), run_value(plain.run, kept), tensor_count(&kept->t));
      if (error > 1e-5)
        print_message("# %s, %s: %.2e\n", fixtures[i], kept->name, error);
      assert_true(error <= 1e-5);
      mem_unmap(memory, run_bytes(run));
      run_free(run);
      compute_close(compute);
      graph_free(fused);
    }
    engine_free(&plain);
    free(image);
    model_close(model);
  }
}

/* ---- batches and threads ---------------------------------------------------------------------------------------- */

/* Sample i has the same bits in a batch of any size. */
static int batch_faults(struct model *model, const char *name, int64_t most)
{
  struct error err = {0};
  const int64_t floats = image_floats(&model->predictor), outputs = model->outputs;
  struct graph *graph = graph_fused(model->graph, FUSE_ALL, NULL, 0, &err);
  assert_ok(graph != NULL, err);
  threads_use(2);
  float *many = run_batch(graph, most, floats);
  int faults = 0;
  for (int threads = 1; threads <= 2; threads++) {
    static const int64_t sizes[] = {1, 3, 7, 32, 64};
    threads_use(threads);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes && sizes[s] <= most; s++) {
      float *few = run_batch(graph, sizes[s], floats);
      if (memcmp(few, many, (size_t)(sizes[s] * outputs) * sizeof *few) != 0) {
        print_message("# %s: batch %d on %d threads: %.2e\n", name, (int)sizes[s], threads,
                      relative_error(few, many, sizes[s] * outputs));
        faults++;
      }
      free(few);
    }
  }
  free(many);
  graph_free(graph);
  return faults;
}

static void samples_do_not_know_their_batch(void **state)
{
  (void)state;
  int faults = 0;
  for (int i = 0; i < N_FIXTURES; i++) {
    struct model *model = engine_fixture(fixtures[i]);
    faults += batch_faults(model, fixtures[i], 64);
    model_close(model);
  }
  assert_int_equal(faults, 0);
}

static void samples_of_real_models_do_not_know_their_batch(void **state)
{
  (void)state;
  int faults = 0;
  static const char *const small[] = {"mnist_cnn_opset11", "resnet20_cifar10_bn", "vit_mnist", "mobilenet_v1_0.5_160"};
  for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
    struct model *model = engine_open(real(small[i]), false);
    faults += batch_faults(model, small[i], 64);
    model_close(model);
  }
  assert_int_equal(faults, 0);
}

static void samples_of_topologies_do_not_know_their_batch(void **state)
{
  (void)state;
  int faults = 0;
  static const char *const names[] = {"resnet18", "resnet50", "vgg16", "densenet121", "mobilenet_v2", "squeezenet1_1",
                                      "inception_v3", "efficientnet_b0", "mobilenet_v3_small", "convnext_tiny",
                                      "swin_tiny", "vit_tiny"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char file[128];
    (void)snprintf(file, sizeof file, "%s.onnx", names[i]);
    struct model *model = engine_open(models_path(file), false);
    faults += batch_faults(model, names[i], 8);
    model_close(model);
  }
  assert_int_equal(faults, 0);
}

/* Through a session any number of images may be asked for; each gets the bits it has alone. */
static void sessions_split_batches(void **state)
{
  (void)state;
  enum { MOST = 45 };
  struct model *model = engine_fixture("win_flatten");
  const struct predictor *p = &model->predictor;
  const int64_t floats = image_floats(p), k = p->classes;
  float *images = malloc((size_t)(MOST * floats) * sizeof *images), *alone = malloc((size_t)(MOST * k) * sizeof *alone);
  float *together = malloc((size_t)(MOST * k) * sizeof *together);
  assert_true(images && alone && together);
  struct error err = {0};
  struct session *session = session_open(p, &(struct session_options){.threads = 2}, &err);
  assert_ok(session != NULL, err);
  for (int64_t i = 0; i < MOST; i++) {
    noise_image((uint64_t)i, floats, images + i * floats);
    assert_ok(session_predict(session, images + i * floats, 1, alone + i * k, NULL, &err), err);
  }
  for (int64_t n = 1; n <= MOST; n += 4) {
    memset(together, 0, (size_t)(MOST * k) * sizeof *together);
    assert_ok(session_predict(session, images, n, together, NULL, &err), err);
    assert_memory_equal(together, alone, (size_t)(n * k) * sizeof *alone);
  }
  for (int64_t i = 0; i < MOST; i++) {
    double sum = 0;
    for (int64_t c = 0; c < k; c++)
      sum += (double)alone[i * k + c];
    assert_true(fabs(sum - 1) < 1e-6); /* a softmax ends the graph */
  }
  session_close(session);
  free(images);
  free(alone);
  free(together);
  model_close(model);
}

/* A graph exported for one picture, with the batch written into its Reshape, runs at any batch: covered by its bits
 * above; here, that the answers differ from sample to sample at all. */
static void fixed_batches_run_at_any(void **state)
{
  (void)state;
  struct model *model = engine_fixture("fixed_batch");
  float *raw = run_batch(model->graph, 7, image_floats(&model->predictor));
  assert_int_equal(model->outputs, 6);
  for (int i = 1; i < 7; i++)
    assert_true(memcmp(raw, raw + i * 6, 6 * sizeof *raw) != 0);
  free(raw);
  model_close(model);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static void runs_allocate_nothing(void **state)
{
  (void)state;
  threads_use(2);
  for (int i = 0; i < N_FIXTURES; i++) {
    struct error err = {0};
    struct model *model = engine_fixture(fixtures[i]);
    const int64_t floats = 3 * image_floats(&model->predictor);
    struct graph *graph = graph_fused(model->graph, FUSE_ALL, NULL, 0, &err);
    assert_ok(graph != NULL, err);
    struct engine e = engine_new(graph, 3, false);
    float *images = malloc((size_t)floats * sizeof *images);
    assert_non_null(images);
    noise_image(1, floats, images);
    memcpy(run_input(e.run, 0), images, (size_t)floats * sizeof *images);
    mem_fail_after(1);
    const bool first = run_execute(e.run, &err);
    mem_fail_after(0);
    if (!first)
      print_message("# %s: %s\n", fixtures[i], err.message);
    assert_true(first);
    free(images);
    engine_free(&e);
    graph_free(graph);
    model_close(model);
  }
}

/* Memory of another use may hold anything: nothing of it is read. */
static void runs_do_not_read_what_they_did_not_write(void **state)
{
  (void)state;
  threads_use(2);
  for (int i = 0; i < N_FIXTURES; i++) {
    struct error err = {0};
    struct model *model = engine_fixture(fixtures[i]);
    const int64_t floats = 2 * image_floats(&model->predictor), outputs = 2 * model->outputs;
    struct graph *graph = graph_fused(model->graph, FUSE_ALL, NULL, 0, &err);
    assert_ok(graph != NULL, err);
    struct engine e = engine_new(graph, 2, false);
    float *images = malloc((size_t)floats * sizeof *images), *once = malloc((size_t)outputs * sizeof *once);
    assert_true(images && once);
    noise_image(1, floats, images);
    engine_run(&e, images, floats);
    memcpy(once, run_value(e.run, graph->outputs[0]), (size_t)outputs * sizeof *once);
    memset(e.memory, 0xff, e.bytes); /* NaN */
    engine_run(&e, images, floats);
    assert_memory_equal(once, run_value(e.run, graph->outputs[0]), (size_t)outputs * sizeof *once);
    free(images);
    free(once);
    engine_free(&e);
    graph_free(graph);
    model_close(model);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fused_as_unfused),
      cmocka_unit_test(fused_as_unfused_in_real_models),
      cmocka_unit_test(keeps_what_is_asked_for),
      cmocka_unit_test(samples_do_not_know_their_batch),
      cmocka_unit_test(samples_of_real_models_do_not_know_their_batch),
      cmocka_unit_test(samples_of_topologies_do_not_know_their_batch),
    cmocka_unit_test(sessions_split_batches),
      cmocka_unit_test(fixed_batches_run_at_any),
      cmocka_unit_test(runs_allocate_nothing),
      cmocka_unit_test(runs_do_not_read_what_they_did_not_write),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
