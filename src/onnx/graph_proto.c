/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx/graph_proto.h"
#include "onnx/attribute.h"
#include "onnx/tensor_proto.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ceilings far above any classifier; what is below them costs memory in proportion to the file. */
enum {
  MAX_NODES = 100000,
  MAX_INITIALIZERS = 100000,
  MAX_VALUES = 500000,
  MAX_ENDS = 1000,         /* graph inputs, and graph outputs */
  MAX_NODE_VALUES = 16384, /* inputs of a node, and outputs */
  MAX_NODE_ATTRIBUTES = 256,
};

/* Field numbers. */
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12, GRAPH_SPARSE_INITIALIZER = 15 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_TYPE = 4, NODE_ATTRIBUTE = 5, NODE_DOMAIN = 7 };

struct maker {
  struct reader *reader;
  struct graph *graph;
  const struct opset *opsets;
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
static bool index_values(struct maker *maker, struct error *err)
{
  struct graph *graph = maker->graph;
  if (graph->n_values == 0)
    return true;
  struct value **named = mem_grow(maker->named, (size_t)graph->n_values * sizeof(struct value *));
  if (!named)
    return error_memory(err, "the values of the graph");
  maker->named = named;
  maker->n_named = graph->n_values;
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

static struct value *find_value(const struct maker *maker, const struct wire *name)
{
  const char *text = (const char *)name->at;
  size_t size = wire_size(name);
  for (int low = 0, high = maker->n_named; low < high;) {
    int middle = low + (high - low) / 2;
    const char *other = maker->named[middle]->name;
    int order = strncmp(text, other, size); /* a zero byte in `text` ends the comparison; the length tells then */
    if (order == 0) {
      size_t length = strlen(other);
      order = (size > length) - (size < length);
    }
    if (order == 0)
      return maker->named[middle];
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return NULL;
}

static bool read_initializer(struct maker *maker, const struct wire_field *field, int index, struct error *err)
{
  const char *name = "";
  struct tensor tensor;
  if (index >= MAX_INITIALIZERS)
    return error_set(err, ERROR_FAILED, "more than %d initializers", MAX_INITIALIZERS);
  bool ok = wire_expect(field, WIRE_BYTES, "an initializer", err) &&
            tensor_proto_read(maker->reader, field->bytes, &tensor, &name, err);
  if (ok && !*name)
    ok = error_set(err, ERROR_FAILED, "no name is given");
  if (!ok)
    return name && *name ? false : error_prefix(err, "initializer %d", index);
  struct value *value = graph_value(maker->graph, name);
  if (!value)
    return error_memory(err, "the initializers");
  value->t = tensor;
  return true;
}

static bool read_initializers(struct maker *maker, struct wire graph, struct error *err)
{
  struct wire_field field;
  int count = 0;
  while (wire_next(&graph, &field, err)) {
    if (field.number == GRAPH_SPARSE_INITIALIZER)
      return error_set(err, ERROR_FAILED, "sparse initializers are not supported");
    if (field.number == GRAPH_INITIALIZER &&
        !(read_initializer(maker, &field, count++, err) && reader_check(maker->reader, err)))
      return false;
  }
  return err->code == ERROR_NONE && index_values(maker, err);
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
static bool read_input(struct maker *maker, const struct wire_field *input, struct error *err)
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
  const char *text = wire_text(&name, maker->reader->arena, "name of a graph input", err);
  if (!text)
    return false;
  if (find_value(maker, &name.bytes))
    return true;
  if (maker->graph->n_inputs == MAX_ENDS)
    return error_set(err, ERROR_FAILED, "more than %d graph inputs", MAX_ENDS);
  struct value *value = graph_value(maker->graph, text);
  if (!value || !graph_input(maker->graph, value))
    return error_memory(err, "the graph inputs");
  return read_input_type(type.bytes, &value->t, err) || error_prefix(err, "graph input '%.70s'", text);
}

static int opset_of(const struct maker *maker, const char *domain)
{
  for (int i = 0; i < maker->n_opsets; i++) {
    if (strcmp(maker->opsets[i].domain, domain) == 0)
      return maker->opsets[i].version;
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

static bool add_output(struct maker *maker, struct node *node, int index, const struct wire_field *field,
                       struct error *err)
{
  if (wire_size(&field->bytes) == 0) /* an optional output that is not wanted */
    return true;
  const char *name = wire_text(field, maker->reader->arena, "output of a node", err);
  if (!name)
    return false;
  if (maker->graph->n_values == MAX_VALUES)
    return error_set(err, ERROR_FAILED, "more than %d values in the graph", MAX_VALUES);
  struct value *value = graph_value(maker->graph, name);
  if (!value)
    return error_memory(err, "the values of the graph");
  value->producer = node;
  node->out[index] = value;
  return true;
}

static bool add_attribute(struct maker *maker, struct attr *attrs, int index, struct wire message, struct error *err)
{
  if (!attribute_read(maker->reader, message, &attrs[index], err))
    return false;
  for (int i = 0; i < index; i++) {
    if (strcmp(attrs[i].name, attrs[index].name) == 0)
      return error_set(err, ERROR_FAILED, "attribute %.70s is given twice", attrs[i].name);
  }
  return true;
}

/* A node with its attributes and the values it makes; its inputs are resolved when all values are known. */
static bool read_node(struct maker *maker, const struct wire_field *position, struct error *err)
{
  struct graph *graph = maker->graph;
  if (graph->n_nodes == MAX_NODES)
    return error_set(err, ERROR_FAILED, "more than %d nodes", MAX_NODES);
  struct node_parts parts;
  if (!wire_expect(position, WIRE_BYTES, "a node", err))
    return false;
  if (!count_parts(maker->reader, position->bytes, &parts, err))
    return error_prefix(err, "node %d", graph->n_nodes);
  int opset = opset_of(maker, parts.domain);
  if (!*parts.domain && opset == 0)
    return error_set(err, ERROR_FAILED, "the model does not say which version of the operator set ai.onnx it uses");
  struct node *node = graph_node(graph, parts.type, parts.name, parts.n_in, parts.n_out);
  struct attr *attrs = reader_alloc(maker->reader, (size_t)parts.n_attrs, sizeof *attrs, "the attributes", err);
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
      ok = add_output(maker, node, outputs++, &field, err);
    } else if (field.number == NODE_ATTRIBUTE) {
      ok = add_attribute(maker, attrs, node->n_attrs, field.bytes, err);
      node->n_attrs++;
    }
    if (!ok)
      return *node->name ? error_prefix(err, "%.40s '%.60s'", node->type, node->name)
                         : error_prefix(err, "%.40s (node %d)", node->type, graph->n_nodes - 1);
  }
  return reader_check(maker->reader, err);
}

static bool resolve_inputs(struct maker *maker, struct node *node, struct wire message, struct error *err)
{
  struct wire_field field;
  int i = 0;
  while (wire_next(&message, &field, err)) {
    if (field.number != NODE_INPUT)
      continue;
    if (wire_size(&field.bytes) > 0) {
      node->in[i] = find_value(maker, &field.bytes);
      if (!node->in[i])
        return node_error(node, err, "input '%.*s' is defined nowhere",
                          wire_size(&field.bytes) < 70 ? (int)wire_size(&field.bytes) : 70, field.bytes.at);
    }
    i++;
  }
  return err->code == ERROR_NONE;
}

static bool read_output(struct maker *maker, const struct wire_field *output, struct error *err)
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
  struct value *value = find_value(maker, &name.bytes);
  if (!value)
    return error_set(err, ERROR_FAILED, "graph output '%.*s' is produced by no node", shown, name.bytes.at);
  struct graph *graph = maker->graph;
  for (int i = 0; i < graph->n_outputs; i++) {
    if (graph->outputs[i] == value)
      return error_set(err, ERROR_FAILED, "graph output '%.*s' is listed twice", shown, name.bytes.at);
  }
  if (graph->n_outputs == MAX_ENDS)
    return error_set(err, ERROR_FAILED, "more than %d graph outputs", MAX_ENDS);
  return graph_output(graph, value) || error_memory(err, "the graph outputs");
}

/* Three walks over the message: what initializers define; what inputs and nodes define; who reads it. */
static bool read_graph(struct maker *maker, struct wire message, struct error *err)
{
  struct wire_field field;
  struct wire rest = message;
  if (!read_initializers(maker, message, err))
    return false;
  while (wire_next(&rest, &field, err)) {
    if (field.number == GRAPH_INPUT && !read_input(maker, &field, err))
      return false;
    if (field.number == GRAPH_NODE && !read_node(maker, &field, err))
      return false;
  }
  if (err->code || !index_values(maker, err))
    return false;
  int node = 0;
  while (wire_next(&message, &field, err)) {
    if (field.number == GRAPH_NODE && !resolve_inputs(maker, maker->graph->nodes[node++], field.bytes, err))
      return false;
    if (field.number == GRAPH_OUTPUT && !read_output(maker, &field, err))
      return false;
  }
  if (err->code)
    return false;
  if (maker->graph->n_outputs == 0)
    return error_set(err, ERROR_FAILED, "the graph has no outputs");
  graph_count_uses(maker->graph);
  return reader_check(maker->reader, err);
}

bool graph_proto_read(struct reader *reader, const struct opset *opsets, int n_opsets, struct wire message,
                      struct graph *graph, struct error *err)
{
  struct maker maker = {.reader = reader, .graph = graph, .opsets = opsets, .n_opsets = n_opsets};
  bool ok = read_graph(&maker, message, err);
  mem_free(maker.named);
  return ok;
}
