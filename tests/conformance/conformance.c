/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX's own tests (package libonnx-testdata): every operator case, and from version 1.14 on the complete networks of
 * light/, are loaded, built, simplified, fused, run with one and with three samples, their images row-major and
 * channels-last, and compared with the stored outputs. PENUMBRA_ONNX_TESTDATA names another folder of them.
 *
 *   conformance SKIPS [CASE]      all cases, or one ("node/test_add")
 *
 * SKIPS lists what is not supported, a reason each ("node/test_adam* training"). Such a case must be refused with an
 * error; one that would pass, or gives other numbers, fails the test, and so does one that names no case, unless it is
 * marked "newer:" and the data are old. TAP on stdout. */
#include "base/files.h"
#include "base/mem.h"
#include "graph/graph.h"
#include "graph/run.h"
#include "onnx/load.h"
#include "onnx/tensor_proto.h"
#include "onnx/wire.h"
#include "ops/output.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 64, MAX_SKIPS = 512, SAMPLES = 3 };

static const double relative = 1e-3, absolute = 1e-7;

/* Inputs that are not the image: which of them the model is given as constants. Exporters write such things (shapes,
 * axes, scales) as constants; these tests write them as inputs. */
enum attempt { ALL_VARY, INTEGERS_CONSTANT, FIRST_VARIES, NONE_VARIES, ATTEMPTS };

struct skip {
  char pattern[128], reason[160];
  int used;
};

struct skips {
  struct skip list[MAX_SKIPS];
  int count;
};

struct data_set {
  struct arena *arena;
  struct file_map maps[2 * MAX_TENSORS];
  int n_maps;
  struct tensor in[MAX_TENSORS], out[MAX_TENSORS];
  int n_in, n_out;
};

/* What became of one case. */
enum outcome { PASSED, REFUSED, WRONG };

/* ---- data sets ---- */

static void data_set_close(struct data_set *set)
{
  for (int i = 0; i < set->n_maps; i++)
    file_unmap(&set->maps[i]);
  arena_free(set->arena);
}

static bool tensors_read(const char *dir, const char *kind, struct data_set *set, struct tensor *tensors, int *count,
                         struct error *err)
{
  for (*count = 0;; ++*count) {
    char path[700];
    (void)snprintf(path, sizeof path, "%s/%s_%d.pb", dir, kind, *count);
    if (!file_exists(path))
      return true;
    if (*count == MAX_TENSORS)
      return error_set(err, ERROR_FAILED, "%s: more than %d tensors", dir, MAX_TENSORS);
    struct file_map *map = &set->maps[set->n_maps++];
    if (!file_map(path, 0, map, err))
      return false;
    struct reader reader = {.arena = set->arena, .file_bytes = map->size};
    const char *name;
    if (!tensor_proto_read(&reader, wire_of(map->data, map->size), &tensors[*count], &name, err))
      return error_prefix(err, "%s_%d.pb", kind, *count);
  }
}

static bool data_set_open(const char *dir, struct data_set *set, struct error *err)
{
  *set = (struct data_set){.arena = arena_new(0)};
  return (set->arena || error_memory(err, "a data set")) && tensors_read(dir, "input", set, set->in, &set->n_in, err) &&
         tensors_read(dir, "output", set, set->out, &set->n_out, err);
}

/* bfloat16 is stored as its bits, under the name uint16: make such a tensor what the graph says it is. */
static bool reveal_bfloat16(struct tensor *t, int element, struct arena *arena, struct error *err)
{
  if (element != ELEMENT_BFLOAT16 || t->element != ELEMENT_UINT16)
    return true;
  const int64_t count = tensor_count(t);
  uint32_t *bits = arena_array(arena, (size_t)count + 1, sizeof *bits);
  if (!bits)
    return error_memory(err, "a tensor");
  for (int64_t i = 0; i < count; i++)
    bits[i] = (uint32_t)((const int64_t *)t->data)[i] << 16;
  t->data = bits;
  t->dtype = DTYPE_F32;
  t->element = element;
  return true;
}

/* ---- comparing ---- */

static double number(const struct tensor *t, const void *data, int64_t i)
{
  if (t->dtype == DTYPE_I64)
    return (double)((const int64_t *)data)[i];
  float x; /* a stored tensor may lie unaligned in its file */
  memcpy(&x, (const char *)data + i * (int64_t)sizeof x, sizeof x);
  return x;
}

static bool close_enough(double a, double e)
{
  if (isnan(e) || isnan(a))
    return isnan(e) && isnan(a);
  return a == e || fabs(a - e) <= absolute + relative * fabs(e);
}

/* Where element i of the row-major order lies. */
static int64_t place_of(const struct tensor *t, int64_t i)
{
  int64_t stride[TENSOR_MAX_RANK], place = 0;
  tensor_strides(t, stride);
  for (int d = t->shape.rank - 1; d >= 0; d--) {
    place += i % t->shape.dim[d] * stride[d];
    i /= t->shape.dim[d];
  }
  return place;
}

static bool compare(const struct value *value, const char *data, int64_t samples, const struct tensor *expected,
                    struct error *err)
{
  const struct tensor *t = &value->t;
  const int64_t count = tensor_count(expected);
  char a[96], b[96];
  if (!shape_equal(&t->shape, &expected->shape))
    return error_set(err, ERROR_FAILED, "output '%s' is %s, not %s", value->name, shape_text(&t->shape, a, sizeof a),
                     shape_text(&expected->shape, b, sizeof b));
  for (int64_t s = 0; s < (t->data ? 1 : samples); s++)
    for (int64_t i = 0; i < count; i++) {
      const double got = number(t, data + (size_t)s * tensor_bytes(t), place_of(t, i)),
                   e = number(expected, expected->data, i);
      if (!close_enough(got, e))
        return error_set(err, ERROR_FAILED, "output '%s' of sample %lld: element %lld is %.9g, not %.9g", value->name,
                         (long long)s, (long long)i, got, e);
    }
  return true;
}

/* ---- running ---- */

static bool varies(enum attempt attempt, const struct tensor *t, int i)
{
  switch (attempt) {
  case ALL_VARY:
    return true;
  case INTEGERS_CONSTANT:
    return i == 0 || t->dtype == DTYPE_F32;
  case FIRST_VARIES:
    return i == 0;
  default:
    return false;
  }
}

/* Give the graph's inputs their shapes, or their values. */
static bool declare_inputs(struct graph *graph, struct data_set *set, enum attempt attempt, enum layout layout,
                           struct error *err)
{
  int kept = 0;
  for (int i = 0; i < graph->n_inputs; i++) {
    struct value *value = graph->inputs[i];
    struct tensor *given = &set->in[i];
    const int element = value->t.element;
    if (!reveal_bfloat16(given, element, set->arena, err))
      return false;
    value->t = *given;
    value->t.element = element;
    if (!varies(attempt, given, i))
      continue;
    value->t.data = NULL;
    if (given->shape.rank == 4)
      value->t.layout = layout;
    graph->inputs[kept++] = value;
  }
  graph->n_inputs = kept;
  return true;
}

static void feed(const struct graph *graph, struct run *run, const struct data_set *set, enum attempt attempt,
                 int64_t n)
{
  for (int i = 0, k = 0; i < set->n_in && k < graph->n_inputs; i++) {
    const struct tensor *given = &set->in[i];
    if (!varies(attempt, given, i))
      continue;
    const struct tensor *t = &graph->inputs[k]->t;
    const size_t size = dtype_size(t->dtype), bytes = tensor_bytes(t);
    char *to = run_input(run, k++);
    if (!to)
      continue; /* read by nobody */
    for (int64_t s = 0; s < n; s++)
      for (int64_t e = 0; e < tensor_count(t); e++)
        memcpy(to + (size_t)s * bytes + (size_t)place_of(t, e) * size, (const char *)given->data + (size_t)e * size,
               size);
  }
}

static bool execute(struct graph *graph, struct compute *compute, struct data_set *set, enum attempt attempt, int64_t n,
                    enum outcome *outcome, struct error *err)
{
  struct run *run = run_new(graph, compute, n, NULL, 0, false, err);
  if (!run)
    return false;
  const size_t bytes = run_bytes(run);
  void *memory = mem_map(bytes);
  bool ok = memory || error_memory(err, "a run");
  if (ok) {
    run_bind(run, memory);
    feed(graph, run, set, attempt, n);
    ok = run_execute(run, err);
  }
  if (ok && graph->n_outputs != set->n_out)
    ok = error_set(err, ERROR_FAILED, "%d outputs, %d are stored", graph->n_outputs, set->n_out);
  for (int i = 0; ok && i < graph->n_outputs; i++)
    if (!reveal_bfloat16(&set->out[i], graph->outputs[i]->t.element, set->arena, err) ||
        !compare(graph->outputs[i], run_value(run, graph->outputs[i]), n, &set->out[i], err)) {
      *outcome = WRONG;
      ok = false;
    }
  run_free(run);
  if (memory)
    mem_unmap(memory, bytes);
  return ok;
}

/* Build once with images of this layout and run. *image: whether an input that varies has rank 4. */
static enum outcome attempt_once(const char *model_path, struct compute *compute, struct data_set *set,
                                 enum attempt attempt, enum layout layout, bool *image, struct error *err)
{
  struct onnx_model model;
  enum outcome outcome = REFUSED;
  if (!onnx_load(model_path, NULL, &model, err))
    return REFUSED;
  struct graph *graph = model.graph, *fused = NULL;
  *image = false;
  if (graph->n_inputs != set->n_in) {
    error_set(err, ERROR_FAILED, "%d inputs, %d are stored", graph->n_inputs, set->n_in);
    goto done;
  }
  if (!declare_inputs(graph, set, attempt, layout, err))
    goto done;
  for (int i = 0; i < graph->n_inputs; i++)
    *image = *image || graph->inputs[i]->t.shape.rank == 4;
  if (!graph_build(graph, err) || !graph_simplify(graph, err) || !(fused = graph_fused(graph, FUSE_ALL, NULL, 0, err)))
    goto done;
  if (execute(graph, compute, set, attempt, 1, &outcome, err) &&
      execute(fused, compute, set, attempt, SAMPLES, &outcome, err))
    outcome = PASSED;
done:
  graph_free(fused);
  onnx_unload(&model);
  return outcome;
}

static enum outcome run_set(const char *model_path, const char *dir, struct compute *compute, struct error *err)
{
  struct data_set set;
  enum outcome outcome = REFUSED;
  if (!data_set_open(dir, &set, err)) {
    data_set_close(&set);
    return REFUSED;
  }
  bool any = false;
  for (int a = 0; a < ATTEMPTS; a++) {
    struct error why = {ERROR_NONE};
    bool image = false;
    enum outcome now = attempt_once(model_path, compute, &set, (enum attempt)a, LAYOUT_PLAIN, &image, &why);
    if (now == PASSED && image)
      now = attempt_once(model_path, compute, &set, (enum attempt)a, LAYOUT_CHANNELS_LAST, &image, &why);
    if (now == REFUSED && (any || a > 0)) {
      if (!any)
        *err = why; /* the last refusal is about the operator, the first about what had to be constant */
      continue;
    }
    *err = why;
    outcome = now;
    if (now == WRONG)
      break;
    any = now == PASSED;
    if (any && a == ALL_VARY)
      continue; /* what may vary may also be constant: try the other ways as well */
  }
  data_set_close(&set);
  return outcome;
}

static enum outcome run_case(const char *dir, struct compute *compute, struct error *err)
{
  char model[600], set[600];
  int sets = 0;
  (void)snprintf(model, sizeof model, "%s/model.onnx", dir);
  for (;; sets++) {
    (void)snprintf(set, sizeof set, "%s/test_data_set_%d", dir, sets);
    if (!file_is_dir(set))
      break;
    const enum outcome outcome = run_set(model, set, compute, err);
    if (outcome != PASSED)
      return outcome;
  }
  if (sets > 0)
    return PASSED;
  error_set(err, ERROR_FAILED, "no data");
  return REFUSED;
}

/* ---- whole networks: light/NAME.onnx with constant weights, light/NAME_output_0.pb ---- */

/* One image, a ramp from 0 to 1; the stored outputs do not depend on it. */
static bool ramp_new(const char *model_path, struct data_set *set, struct error *err)
{
  struct onnx_model model;
  if (!onnx_load(model_path, NULL, &model, err))
    return false;
  bool ok = model.graph->n_inputs == 1 || error_set(err, ERROR_FAILED, "%d inputs, not 1", model.graph->n_inputs);
  if (ok) {
    struct tensor *image = &set->in[set->n_in++];
    *image = model.graph->inputs[0]->t;
    image->layout = LAYOUT_PLAIN;
    const int64_t count = tensor_count(image);
    float *ramp = arena_array(set->arena, (size_t)count, sizeof *ramp);
    ok = ramp || error_memory(err, "an image");
    for (int64_t i = 0; ok && i < count; i++)
      ramp[i] = (float)((double)i / (double)count);
    image->data = ramp;
  }
  onnx_unload(&model);
  return ok;
}

static enum outcome run_network(const char *root, const char *file, struct compute *compute, struct error *err)
{
  char model[600], folder[600], outputs[256];
  struct data_set set = {.arena = arena_new(0)};
  enum outcome outcome = REFUSED;
  bool image;
  (void)snprintf(model, sizeof model, "%s/light/%s", root, file);
  (void)snprintf(folder, sizeof folder, "%s/light", root);
  (void)snprintf(outputs, sizeof outputs, "%.*s_output", (int)(strlen(file) - strlen(".onnx")), file);
  if (!set.arena)
    error_memory(err, "a data set");
  else if (ramp_new(model, &set, err) && tensors_read(folder, outputs, &set, set.out, &set.n_out, err)) {
    outcome = attempt_once(model, compute, &set, ALL_VARY, LAYOUT_PLAIN, &image, err);
    if (outcome == PASSED)
      outcome = attempt_once(model, compute, &set, ALL_VARY, LAYOUT_CHANNELS_LAST, &image, err);
  }
  data_set_close(&set);
  return outcome;
}

/* ---- the list of skips ---- */

static bool skips_read(const char *path, struct skips *skips)
{
  FILE *file = fopen(path, "r");
  char line[320];
  if (!file)
    return false;
  while (fgets(line, sizeof line, file)) {
    struct skip *skip = &skips->list[skips->count];
    if (*line == '#' || *line == '\n')
      continue;
    if (skips->count == MAX_SKIPS || sscanf(line, "%127s %159[^\n]", skip->pattern, skip->reason) != 2) {
      fclose(file);
      return false;
    }
    skips->count++;
  }
  fclose(file);
  return true;
}

static struct skip *skip_for(struct skips *skips, const char *name)
{
  for (int i = 0; i < skips->count; i++)
    if (fnmatch(skips->list[i].pattern, name, 0) == 0) {
      skips->list[i].used++;
      return &skips->list[i];
    }
  return NULL;
}

struct tally {
  int cases, passed, skipped, failed;
};

static void report(struct tally *tally, const char *name, struct skip *skip, enum outcome outcome,
                   const struct error *err)
{
  tally->cases++;
  if (outcome == PASSED && !skip) {
    tally->passed++;
    printf("ok %d - %s\n", tally->cases, name);
  } else if (skip && (outcome == REFUSED || (outcome == WRONG && strncmp(skip->reason, "differs:", 8) == 0))) {
    tally->skipped++;
    printf("ok %d - %s # SKIP %s (%s)\n", tally->cases, name, skip->reason, err->message);
  } else {
    tally->failed++;
    printf("not ok %d - %s\n# %s\n", tally->cases, name,
           outcome == PASSED ? "is listed as a skip but passes" : err->message);
  }
  fflush(stdout);
}

int main(int argc, char **argv)
{
  static const char *const folders[] = {"node", "pytorch-converted", "pytorch-operator", "simple", "light"};
  static struct skips skips;
  struct error err = {ERROR_NONE};
  struct tally tally = {0};
  bool newer = false; /* the data hold what the skips marked "newer:" are about */
  const char *root = getenv("PENUMBRA_ONNX_TESTDATA");
  root = root ? root : "/usr/share/libonnx-testdata/data";
  if (argc < 2 || !skips_read(argv[1], &skips)) {
    printf("Bail out! the list of skips cannot be read\n");
    return 2;
  }
  if (!file_is_dir(root)) {
    printf("1..0 # SKIP %s is not there (package libonnx-testdata)\n", root);
    return 0;
  }
  struct compute *compute = compute_open(&err);
  if (!compute) {
    printf("Bail out! %s\n", err.message);
    return 2;
  }
  for (size_t f = 0; f < sizeof folders / sizeof *folders; f++) {
    char path[512], name[256];
    char **names = NULL;
    size_t count = 0;
    (void)snprintf(path, sizeof path, "%s/%s", root, folders[f]);
    const bool networks = strcmp(folders[f], "light") == 0;
    newer = newer || networks;
    if (networks && !file_is_dir(path)) {
      newer = false; /* before version 1.14 */
      continue;
    }
    if (!file_list(path, &names, &count, &err)) {
      printf("Bail out! %s\n", err.message);
      return 2;
    }
    for (size_t i = 0; i < count; i++) {
      (void)snprintf(path, sizeof path, "%s/%s/%s", root, folders[f], names[i]);
      (void)snprintf(name, sizeof name, "%s/%s", folders[f], names[i]);
      if (networks ? !strstr(names[i], ".onnx") : !file_is_dir(path))
        continue;
      if (argc > 2 && strcmp(argv[2], name) != 0)
        continue;
      struct error why = {ERROR_NONE};
      const enum outcome outcome =
          networks ? run_network(root, names[i], compute, &why) : run_case(path, compute, &why);
      report(&tally, name, skip_for(&skips, name), outcome, &why);
    }
    file_list_free(names, count);
  }
  compute_close(compute);
  for (int i = 0; argc < 3 && i < skips.count; i++)
    if (!skips.list[i].used && (newer || strncmp(skips.list[i].reason, "newer:", 6) != 0)) {
      tally.cases++;
      tally.failed++;
      printf("not ok %d - skip %s\n# no case has this name\n", tally.cases, skips.list[i].pattern);
    }
  printf("1..%d\n# %d passed, %d skipped, %d failed\n", tally.cases, tally.passed, tally.skipped, tally.failed);
  return tally.failed ? 1 : 0;
}
