/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/load.h"
#include "onnx/attribute.h"
#include "onnx/tensor_proto.h"
#include "onnx/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ceilings far above any classifier; what is below them costs memory in proportion to the file. */
enum {
  MIN_IR = 3,
  MAX_IR = 13,
  MAX_OPSETS = 256,
  MAX_METADATA = 100000,
  MAX_NODES = 100000,
  MAX_INITIALIZERS = 100000,
  MAX_VALUES = 500000,
  MAX_ENDS = 1000,         /* graph inputs, and graph outputs */
  MAX_NODE_VALUES = 16384, /* inputs of a node, and outputs */
  MAX_NODE_ATTRIBUTES = 256,
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
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12, GRAPH_SPARSE_INITIALIZER = 15 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_TYPE = 4, NODE_ATTRIBUTE = 5, NODE_DOMAIN = 7 };

struct opset {
  const char *domain; /* "" for ai.onnx */
  int version;
};

struct loader {
  struct onnx_model *model;
  struct reader *reader;
  struct graph *graph;
  struct opset *opsets;
  int n_opsets;
  struct value **named; /* n_named values sorted by name, each name once */
  int n_named;
};

/* Every way a value comes to be, for sentences about it. */
static void describe(const struct value *value, char *text, size_t size)
{
  if (value->producer)
    (void)snprintf(text, size, "output of %.40s '%.60s'", value->producer->type, value->producer->name);
  else
    (void)snprintf(text, size, value->t.data ? "an initializer" : "a graph input");
}

static int by_name(const void *a, const void *b)
{
  return strcmp((*(struct value *const *)a)->name, (*(struct value *const *)b)->name);
}

/* Make all values findable; a sorted list, as a hash table would let a file choose its collisions. */
static bool index_values(struct loader *loader, struct error *err)
{
  struct graph *graph = loader->graph;
  if (graph->n_values == 0)
    return true;
  struct value **named = mem_grow(loader->named, (size_t)graph->n_values * sizeof(struct value *));
  if (!named)
    return error_memory(err, "the values of the graph");
  loader->named = named;
  loader->n_named = graph->n_values;
  memcpy(named, graph->values, (size_t)graph->n_values * sizeof(struct value *));
  qsort(named, (size_t)graph->n_values, sizeof(struct value *), by_name);
  for (int i = 1; i < graph->n_values; i++) {
    if (strcmp(named[i - 1]->name, named[i]->name) == 0) {
      char first[128], second[128];
      describe(named[i - 1], first, sizeof first);
      describe(named[i], second, sizeof second);
      return error_set(err, ERROR_FAILED, "'%.60s' is defined twice: %s, and %s", named[i]->name, first, second);
    }
  }
  return true;
}

static struct value *find_value(const struct loader *loader, const struct wire *name)
{
  const char *text = (const char *)name->at;
  size_t size = wire_size(name);
  for (int low = 0, high = loader->n_named; low < high;) {
    int middle = low + (high - low) / 2;
    const char *other = loader->named[middle]->name;
    int order = strncmp(text, other, size); /* a zero byte in `text` ends the comparison; the length tells then */
    if (order == 0) {
      size_t length = strlen(other);
      order = (size > length) - (size < length);
    }
    if (order == 0)
      return loader->named[middle];
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return NULL;
}

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

static bool read_initializer(struct loader *loader, const struct wire_field *field, int index, struct error *err)
{
  const char *name = "";
  struct tensor tensor;
  if (index >= MAX_INITIALIZERS)
    return error_set(err, ERROR_FAILED, "more than %d initializers", MAX_INITIALIZERS);
  bool ok = wire_expect(field, WIRE_BYTES, "an initializer", err) &&
            tensor_proto_read(loader->reader, field->bytes, &tensor, &name, err);
  if (ok && !*name)
    ok = error_set(err, ERROR_FAILED, "no name is given");
  if (!ok)
    return name && *name ? false : error_prefix(err, "initializer %d", index);
  struct value *value = graph_value(loader->graph, name);
  if (!value)
    return error_memory(err, "the initializers");
  value->t = tensor;
  return true;
}

static bool read_initializers(struct loader *loader, struct wire graph, struct error *err)
{
  struct wire_field field;
  int count = 0;
  while (wire_next(&graph, &field, err)) {
    if (field.number == GRAPH_SPARSE_INITIALIZER)
      return error_set(err, ERROR_FAILED, "sparse initializers are not supported");
    if (field.number == GRAPH_INITIALIZER &&
        !(read_initializer(loader, &field, count++, err) && reader_check(loader->reader, err)))
      return false;
  }
  return err->code == ERROR_NONE && index_values(loader, err);
}

/* One TensorShapeProto.Dimension: its number, or 0 where it is open (a name, nothing, or what exporters write for it).
 */
static bool read_dimension(struct wire message, int64_t *dim, struct error *err)
{
  struct wire_field field;
  *dim = 0;
  while (wire_next(&message, &field, err)) {
    if (field.number == 1 && !wire_expect(&field, WIRE_VARINT, "a dimension", err))
      return false;
    if (field.number == 1)
      *dim = (int64_t)field.bits;
    else if (field.number == 2)
      *dim = 0;
  }
  if (*dim < 0)
    *dim = 0;
  return err->code == ERROR_NONE;
}

static bool read_input_shape(struct wire message, struct shape *shape, struct error *err)
{
  struct wire_field field;
  *shape = (struct shape){0};
  while (wire_next(&message, &field, err)) {
    if (field.number != 1)
      continue;
    if (shape->rank == TENSOR_MAX_RANK)
      return error_set(err, ERROR_FAILED, "more than %d dimensions", TENSOR_MAX_RANK);
    if (!wire_expect(&field, WIRE_BYTES, "a dimension", err) ||
        !read_dimension(field.bytes, &shape->dim[shape->rank++], err))
      return false;
  }
  if (err->code)
    return false;
  if (shape->rank && shape->dim[0] == 0)
    shape->dim[0] = 1;
  char text[96];
  if (shape_count(shape) < 0)
    return error_set(err, ERROR_FAILED, "shape %s has more than 2^40 elements", shape_text(shape, text, sizeof text));
  return true;
}

/* The TypeProto of a graph input: a tensor of a known type and rank. */
static bool read_input_type(struct wire message, struct tensor *tensor, struct error *err)
{
  struct wire_field field, shape = {0};
  struct wire body = wire_of(NULL, 0);
  int64_t data_type = 0;
  bool other = false;
  while (wire_next(&message, &field, err)) {
    if (field.number == 1 && !wire_expect(&field, WIRE_BYTES, "tensor_type of an input", err))
      return false;
    if (field.number == 1)
      body = field.bytes;
    else if (field.number != 6) /* 6: denotation */
      other = true;
  }
  if (other)
    return error_set(err, ERROR_FAILED, "a sequence, map or optional, only tensors are supported");
  while (wire_next(&body, &field, err)) {
    if (field.number == 1) {
      if (!wire_expect(&field, WIRE_VARINT, "elem_type of an input", err))
        return false;
      data_type = (int64_t)field.bits;
    } else if (field.number == 2) {
      if (!wire_expect(&field, WIRE_BYTES, "shape of an input", err))
        return false;
      shape = field;
    }
  }
  if (err->code || !tensor_proto_dtype(data_type, &tensor->dtype, err))
    return false;
  tensor->element = (int)data_type;
  if (!shape.number)
    return error_set(err, ERROR_FAILED, "no shape is given, not even a rank");
  return read_input_shape(shape.bytes, &tensor->shape, err);
}

/* Graph inputs; one that is also an initializer has a value and is none. */
static bool read_input(struct loader *loader, const struct wire_field *input, struct error *err)
{
  struct wire_field field, name = {0}, type = {0};
  name.bytes = type.bytes = wire_of(NULL, 0);
  if (!wire_expect(input, WIRE_BYTES, "a graph input", err))
    return false;
  struct wire message = input->bytes;
  while (wire_next(&message, &field, err)) {
    if (field.number == 1)
      name = field;
    else if (field.number == 2 && wire_expect(&field, WIRE_BYTES, "type of an input", err))
      type = field;
  }
  if (err->code)
    return false;
  if (!name.number || wire_size(&name.bytes) == 0)
    return error_set(err, ERROR_FAILED, "byte %zu: a graph input has no name", input->position);
  const char *text = wire_text(&name, loader->reader->arena, "name of a graph input", err);
  if (!text)
    return false;
  if (find_value(loader, &name.bytes))
    return true;
  if (loader->graph->n_inputs == MAX_ENDS)
    return error_set(err, ERROR_FAILED, "more than %d graph inputs", MAX_ENDS);
  struct value *value = graph_value(loader->graph, text);
  if (!value || !graph_input(loader->graph, value))
    return error_memory(err, "the graph inputs");
  return read_input_type(type.bytes, &value->t, err) || error_prefix(err, "graph input '%.70s'", text);
}

static int opset_of(const struct loader *loader, const char *domain)
{
  for (int i = 0; i < loader->n_opsets; i++) {
    if (strcmp(loader->opsets[i].domain, domain) == 0)
      return loader->opsets[i].version;
  }
  return 0;
}

/* What a NodeProto is made of, before there is a node. */
struct node_parts {
  const char *type, *name, *domain;
  int n_in, n_out, n_attrs;
};

static bool count_parts(struct reader *reader, struct wire message, struct node_parts *parts, struct error *err)
{
  struct wire_field field;
  *parts = (struct node_parts){.type = "", .name = "", .domain = ""};
  while (wire_next(&message, &field, err)) {
    const char **text = NULL;
    switch (field.number) {
    case NODE_INPUT:
      parts->n_in++;
      break;
    case NODE_OUTPUT:
      parts->n_out++;
      break;
    case NODE_ATTRIBUTE:
      parts->n_attrs++;
      break;
    case NODE_NAME:
      text = &parts->name;
      break;
    case NODE_TYPE:
      text = &parts->type;
      break;
    case NODE_DOMAIN:
      text = &parts->domain;
      break;
    default:
      break;
    }
    if (field.number <= NODE_DOMAIN && !wire_expect(&field, WIRE_BYTES, "a part of a node", err))
      return false;
    if (text && !(*text = wire_text(&field, reader->arena, "name, type or domain of a node", err)))
      return false;
    if (parts->n_in > MAX_NODE_VALUES || parts->n_out > MAX_NODE_VALUES || parts->n_attrs > MAX_NODE_ATTRIBUTES)
      return error_set(err, ERROR_FAILED, "more than %d inputs or outputs or %d attributes", MAX_NODE_VALUES,
                       MAX_NODE_ATTRIBUTES);
  }
  if (err->code)
    return false;
  if (!*parts->type)
    return error_set(err, ERROR_FAILED, "no operator is given");
  if (strcmp(parts->domain, "ai.onnx") == 0)
    parts->domain = "";
  return true;
}

static bool add_output(struct loader *loader, struct node *node, int index, const struct wire_field *field,
                       struct error *err)
{
  if (wire_size(&field->bytes) == 0) /* an optional output that is not wanted */
    return true;
  const char *name = wire_text(field, loader->reader->arena, "output of a node", err);
  if (!name)
    return false;
  if (loader->graph->n_values == MAX_VALUES)
    return error_set(err, ERROR_FAILED, "more than %d values in the graph", MAX_VALUES);
  struct value *value = graph_value(loader->graph, name);
  if (!value)
    return error_memory(err, "the values of the graph");
  value->producer = node;
  node->out[index] = value;
  return true;
}

static bool add_attribute(struct loader *loader, struct attr *attrs, int index, struct wire message, struct error *err)
{
  if (!attribute_read(loader->reader, message, &attrs[index], err))
    return false;
  for (int i = 0; i < index; i++) {
    if (strcmp(attrs[i].name, attrs[index].name) == 0)
      return error_set(err, ERROR_FAILED, "attribute %.70s is given twice", attrs[i].name);
  }
  return true;
}

/* A node with its attributes and the values it makes; its inputs are resolved when all values are known. */
static bool read_node(struct loader *loader, const struct wire_field *position, struct error *err)
{
  struct graph *graph = loader->graph;
  if (graph->n_nodes == MAX_NODES)
    return error_set(err, ERROR_FAILED, "more than %d nodes", MAX_NODES);
  struct node_parts parts;
  if (!wire_expect(position, WIRE_BYTES, "a node", err))
    return false;
  if (!count_parts(loader->reader, position->bytes, &parts, err))
    return error_prefix(err, "node %d", graph->n_nodes);
  int opset = opset_of(loader, parts.domain);
  if (!*parts.domain && opset == 0)
    return error_set(err, ERROR_FAILED, "the model does not say which version of the operator set ai.onnx it uses");
  struct node *node = graph_node(graph, parts.type, parts.name, parts.n_in, parts.n_out);
  struct attr *attrs = reader_alloc(loader->reader, (size_t)parts.n_attrs, sizeof *attrs, "the attributes", err);
  if (!node || !attrs)
    return error_memory(err, "the nodes of the graph");
  node->domain = parts.domain;
  node->opset = opset;
  node->attrs = attrs;

  struct wire message = position->bytes;
  struct wire_field field;
  int outputs = 0;
  while (wire_next(&message, &field, err)) {
    bool ok = true;
    if (field.number == NODE_OUTPUT) {
      ok = add_output(loader, node, outputs++, &field, err);
    } else if (field.number == NODE_ATTRIBUTE) {
      ok = add_attribute(loader, attrs, node->n_attrs, field.bytes, err);
      node->n_attrs++;
    }
    if (!ok)
      return *node->name ? error_prefix(err, "%.40s '%.60s'", node->type, node->name)
                         : error_prefix(err, "%.40s (node %d)", node->type, graph->n_nodes - 1);
  }
  return reader_check(loader->reader, err);
}

static bool resolve_inputs(struct loader *loader, struct node *node, struct wire message, struct error *err)
{
  struct wire_field field;
  int i = 0;
  while (wire_next(&message, &field, err)) {
    if (field.number != NODE_INPUT)
      continue;
    if (wire_size(&field.bytes) > 0) {
      node->in[i] = find_value(loader, &field.bytes);
      if (!node->in[i])
        return node_error(node, err, "input '%.*s' is defined nowhere",
                          wire_size(&field.bytes) < 70 ? (int)wire_size(&field.bytes) : 70, field.bytes.at);
    }
    i++;
  }
  return err->code == ERROR_NONE;
}

static bool read_output(struct loader *loader, const struct wire_field *output, struct error *err)
{
  struct wire_field field, name = {0};
  if (!wire_expect(output, WIRE_BYTES, "a graph output", err))
    return false;
  struct wire message = output->bytes;
  while (wire_next(&message, &field, err)) {
    if (field.number == 1 && wire_expect(&field, WIRE_BYTES, "name of a graph output", err))
      name = field;
  }
  if (err->code)
    return false;
  if (!name.number || wire_size(&name.bytes) == 0)
    return error_set(err, ERROR_FAILED, "byte %zu: a graph output has no name", output->position);
  int shown = wire_size(&name.bytes) < 70 ? (int)wire_size(&name.bytes) : 70;
  struct value *value = find_value(loader, &name.bytes);
  if (!value)
    return error_set(err, ERROR_FAILED, "graph output '%.*s' is produced by no node", shown, name.bytes.at);
  struct graph *graph = loader->graph;
  for (int i = 0; i < graph->n_outputs; i++) {
    if (graph->outputs[i] == value)
      return error_set(err, ERROR_FAILED, "graph output '%.*s' is listed twice", shown, name.bytes.at);
  }
  if (graph->n_outputs == MAX_ENDS)
    return error_set(err, ERROR_FAILED, "more than %d graph outputs", MAX_ENDS);
  return graph_output(graph, value) || error_memory(err, "the graph outputs");
}

/* Three walks over the message: what initializers define; what inputs and nodes define; who reads it. */
static bool read_graph(struct loader *loader, struct wire message, struct error *err)
{
  struct wire_field field;
  struct wire rest = message;
  if (!read_initializers(loader, message, err))
    return false;
  while (wire_next(&rest, &field, err)) {
    if (field.number == GRAPH_INPUT && !read_input(loader, &field, err))
      return false;
    if (field.number == GRAPH_NODE && !read_node(loader, &field, err))
      return false;
  }
  if (err->code || !index_values(loader, err))
    return false;
  int node = 0;
  while (wire_next(&message, &field, err)) {
    if (field.number == GRAPH_NODE && !resolve_inputs(loader, loader->graph->nodes[node++], field.bytes, err))
      return false;
    if (field.number == GRAPH_OUTPUT && !read_output(loader, &field, err))
      return false;
  }
  if (err->code)
    return false;
  if (loader->graph->n_outputs == 0)
    return error_set(err, ERROR_FAILED, "the graph has no outputs");
  graph_count_uses(loader->graph);
  return reader_check(loader->reader, err);
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
  struct loader loader = {.model = model, .reader = &model->reader, .graph = model->graph};
  loader.opsets = reader_alloc(loader.reader, MAX_OPSETS, sizeof *loader.opsets, "the operator sets", err);
  struct wire graph;
  bool ok = loader.opsets && read_model(&loader, wire_of(bytes, size), &graph, err) && read_graph(&loader, graph, err);
  mem_free(loader.named);
  return ok;
}

bool onnx_load_bytes(const void *bytes, size_t size, struct onnx_model *model, struct error *err)
{
  *model = (struct onnx_model){0};
  if (load(bytes, size, model, err))
    return true;
  onnx_unload(model);
  return false;
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
  if (load(model->map.data, model->map.size, model, err))
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
