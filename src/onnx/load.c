/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/load.h"
#include "onnx/graph_proto.h"
#include "onnx/wire.h"

#include <inttypes.h>
#include <string.h>

/* Versions that are read, and ceilings far above any classifier. */
enum {
  MIN_IR = 3,
  MAX_IR = 13,
  MAX_OPSETS = 256,
  MAX_METADATA = 100000,
};

/* Field numbers. */
enum {
  MODEL_IR = 1,
  MODEL_PRODUCER = 2,
  MODEL_PRODUCER_VERSION = 3,
  MODEL_GRAPH = 7,
  MODEL_OPSET = 8,
  MODEL_METADATA = 14
};

struct loader {
  struct onnx_model *model;
  struct reader *reader;
  struct opset *opsets;
  int n_opsets;
};

static bool read_opset(struct loader *loader, struct wire message, struct error *err)
{
  struct wire_field field;
  const char *domain = "";
  int64_t version = 0;
  while (wire_next(&message, &field, err)) {
    if (field.number == 1) {
      domain = wire_text(&field, loader->reader->arena, "domain of an operator set", err);
      if (!domain)
        return false;
    } else if (field.number == 2) {
      if (!wire_expect(&field, WIRE_VARINT, "version of an operator set", err))
        return false;
      version = (int64_t)field.bits;
    }
  }
  if (err->code)
    return false;
  if (strcmp(domain, "ai.onnx") == 0)
    domain = "";
  const char *shown = *domain ? domain : "ai.onnx";
  if (version < 1 || version > INT32_MAX)
    return error_set(err, ERROR_FAILED, "version %" PRId64 " of the operator set %.70s is outside 1..%d", version,
                     shown, INT32_MAX);
  for (int i = 0; i < loader->n_opsets; i++) {
    if (strcmp(loader->opsets[i].domain, domain) == 0) {
      if (loader->opsets[i].version == version)
        return true;
      return error_set(err, ERROR_FAILED, "the operator set %.70s is imported twice, as version %d and %" PRId64, shown,
                       loader->opsets[i].version, version);
    }
  }
  if (loader->n_opsets == MAX_OPSETS)
    return error_set(err, ERROR_FAILED, "more than %d operator sets are imported", MAX_OPSETS);
  loader->opsets[loader->n_opsets++] = (struct opset){.domain = domain, .version = (int)version};
  if (!*domain)
    loader->model->opset = version;
  return true;
}

static bool read_property(struct reader *reader, struct wire message, struct onnx_property *property, struct error *err)
{
  struct wire_field field;
  property->key = property->value = "";
  while (wire_next(&message, &field, err)) {
    if (field.number != 1 && field.number != 2)
      continue;
    if (!wire_expect(&field, WIRE_BYTES, "metadata_props of the model", err))
      return false;
    /* Free text: a zero byte may end it early. */
    const char *text = arena_strndup(reader->arena, (const char *)field.bytes.at, wire_size(&field.bytes));
    if (!text)
      return error_memory(err, "metadata");
    *(field.number == 1 ? &property->key : &property->value) = text;
  }
  return err->code == ERROR_NONE;
}

static bool read_metadata(struct loader *loader, struct wire message, struct error *err)
{
  struct wire_field field;
  struct wire rest = message;
  size_t count = 0;
  while (wire_next(&rest, &field, err))
    count += field.number == MODEL_METADATA;
  if (count > MAX_METADATA)
    return error_set(err, ERROR_FAILED, "more than %d entries of metadata", MAX_METADATA);
  struct onnx_property *list = reader_alloc(loader->reader, count, sizeof *list, "metadata", err);
  if (!list)
    return false;
  loader->model->metadata = list;
  while (wire_next(&message, &field, err)) {
    if (field.number == MODEL_METADATA &&
        !(wire_expect(&field, WIRE_BYTES, "metadata_props of the model", err) &&
          read_property(loader->reader, field.bytes, &list[loader->model->n_metadata++], err)))
      return false;
  }
  return err->code == ERROR_NONE;
}

/* The fields of ModelProto; *graph is the last one given. */
static bool read_model(struct loader *loader, struct wire message, struct wire *graph, struct error *err)
{
  struct onnx_model *model = loader->model;
  struct wire rest = message;
  struct wire_field field;
  bool has_graph = false;
  model->producer = model->producer_version = "";
  while (wire_next(&rest, &field, err)) {
    bool ok = true;
    switch (field.number) {
    case MODEL_IR:
      ok = wire_expect(&field, WIRE_VARINT, "ir_version of the model", err);
      model->ir_version = (int64_t)field.bits;
      break;
    case MODEL_PRODUCER:
      model->producer = wire_text(&field, loader->reader->arena, "producer_name of the model", err);
      ok = model->producer;
      break;
    case MODEL_PRODUCER_VERSION:
      model->producer_version = wire_text(&field, loader->reader->arena, "producer_version of the model", err);
      ok = model->producer_version;
      break;
    case MODEL_GRAPH:
      ok = has_graph = wire_expect(&field, WIRE_BYTES, "graph of the model", err);
      *graph = field.bytes;
      break;
    case MODEL_OPSET:
      ok = wire_expect(&field, WIRE_BYTES, "opset_import of the model", err) && read_opset(loader, field.bytes, err);
      break;
    default:
      break;
    }
    if (!ok)
      return false;
  }
  if (err->code)
    return false;
  if (!has_graph)
    return error_set(err, ERROR_FAILED, "no graph inside: this is no ONNX model");
  if (model->ir_version < MIN_IR || model->ir_version > MAX_IR)
    return error_set(err, ERROR_FAILED, "ir_version %" PRId64 " is outside %d..%d", model->ir_version, MIN_IR, MAX_IR);
  return read_metadata(loader, message, err);
}

static bool load(const void *bytes, size_t size, struct onnx_model *model, struct error *err)
{
  if (size == 0)
    return error_set(err, ERROR_FAILED, "the file is empty");
  if (reader_is_lfs_pointer(bytes, size))
    return error_set(err, ERROR_FAILED, "this is a Git LFS pointer, not the model; fetch it with git lfs pull");
  model->graph = graph_new();
  if (!model->graph)
    return error_memory(err, "the graph");
  model->reader.arena = model->graph->arena;
  model->reader.file_bytes = size;
  struct loader loader = {.model = model, .reader = &model->reader};
  loader.opsets = reader_alloc(loader.reader, MAX_OPSETS, sizeof *loader.opsets, "the operator sets", err);
  struct wire graph;
  return loader.opsets && read_model(&loader, wire_of(bytes, size), &graph, err) &&
         graph_proto_read(loader.reader, loader.opsets, loader.n_opsets, graph, model->graph, err);
}

bool onnx_load_bytes(const void *bytes, size_t size, struct onnx_model *model, struct error *err)
{
  *model = (struct onnx_model){0};
  if (load(bytes, size, model, err))
    return true;
  onnx_unload(model);
  return false;
}

/* Tell the graph what its constants may point into. */
static bool list_files(struct onnx_model *model, struct error *err)
{
  const struct reader *reader = &model->reader;
  struct file_map *files = arena_array(model->graph->arena, (size_t)reader->n_files + 1, sizeof *files);
  if (!files)
    return error_memory(err, "the graph");
  files[0] = model->map;
  for (int i = 0; i < reader->n_files; i++)
    files[i + 1] = reader->files[i].map;
  model->graph->files = files;
  model->graph->n_files = reader->n_files + 1;
  return true;
}

static char *folder_of(const char *path)
{
  const char *slash = strrchr(path, '/');
  size_t length = slash ? (size_t)(slash - path) : 0;
  char *dir = mem_alloc(length + 2);
  if (!dir)
    return NULL;
  memcpy(dir, path, length);
  if (length == 0)
    dir[length++] = slash ? '/' : '.';
  dir[length] = '\0';
  return dir;
}

bool onnx_load(const char *path, const struct onnx_options *options, struct onnx_model *model, struct error *err)
{
  *model = (struct onnx_model){0};
  if (!file_map(path, 0, &model->map, err))
    return false;
  model->dir = folder_of(path);
  if (!model->dir) {
    onnx_unload(model);
    return error_memory(err, "the model");
  }
  model->reader.dir = model->dir;
  model->reader.symlinks = options && options->external_symlinks;
  if (load(model->map.data, model->map.size, model, err) && list_files(model, err))
    return true;
  onnx_unload(model);
  const size_t shown = 110; /* the end of a long path tells more than its beginning, and the cause needs room */
  size_t length = strlen(path);
  return length <= shown ? error_prefix(err, "%s", path) : error_prefix(err, "…%s", path + length - shown);
}

void onnx_unload(struct onnx_model *model)
{
  graph_free(model->graph);
  reader_close(&model->reader);
  file_unmap(&model->map);
  mem_free(model->dir);
  *model = (struct onnx_model){0};
}
