/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an ONNX model: refused with a reason, or a graph in which everything holds together. */
#include "onnx/load.h"
#include "onnx/wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));

static void require(bool truth)
{
  if (!truth)
    abort();
}

static unsigned read_all(const struct tensor *tensor)
{
  unsigned sum = 0;
  const unsigned char *bytes = tensor->data;
  for (size_t i = 0; i < tensor_bytes(tensor); i++)
    sum += bytes[i];
  return sum;
}

static unsigned check_node(const struct graph *graph, const struct node *node)
{
  unsigned sum = (unsigned)strlen(node->name);
  require(*node->type && node->domain);
  for (int i = 0; i < node->n_in; i++)
    require(!node->in[i] || graph->values[node->in[i]->id] == node->in[i]);
  for (int i = 0; i < node->n_out; i++)
    require(!node->out[i] || node->out[i]->producer == node);
  for (int i = 0; i < node->n_attrs; i++) {
    const struct attr *attr = &node->attrs[i];
    require(node_attr(node, attr->name) == attr); /* each name once */
    if (attr->type == ATTR_TENSOR)
      sum += read_all(&attr->tensor);
    if (attr->type == ATTR_STRING)
      sum += (unsigned)strlen(attr->s);
    for (size_t k = 0; k < attr->count; k++) {
      if (attr->type == ATTR_STRINGS)
        sum += (unsigned)strlen(attr->strings[k]);
      else if (attr->type == ATTR_INTS)
        sum += (unsigned)attr->ints[k];
      else if (attr->type == ATTR_FLOATS)
        sum += attr->floats[k] > 0;
    }
  }
  return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static volatile unsigned sink; /* that the reads are not optimised away */
  struct onnx_model model;
  struct error err = {0};
  if (!onnx_load_bytes(data, size, &model, &err)) {
    require(err.code != ERROR_NONE && *err.message && !model.graph);
    return 0;
  }
  struct graph *graph = model.graph;
  require(err.code == ERROR_NONE && graph->n_outputs > 0 && model.ir_version >= 3);
  require(arena_bytes(graph->arena) <= 16 * size + (16 << 20));
  for (int i = 0; i < graph->n_values; i++) {
    const struct value *value = graph->values[i];
    require(value->id == i && *value->name && value->t.shape.rank <= TENSOR_MAX_RANK);
    require(tensor_count(&value->t) >= 0 && !(value->t.data && value->producer));
    if (value->t.data)
      sink += read_all(&value->t);
  }
  for (int i = 0; i < graph->n_nodes; i++)
    sink += check_node(graph, graph->nodes[i]);
  for (int i = 0; i < graph->n_inputs; i++)
    require(!graph->inputs[i]->t.data && !graph->inputs[i]->producer);
  for (int i = 0; i < model.n_metadata; i++)
    sink += (unsigned)(strlen(model.metadata[i].key) + strlen(model.metadata[i].value));
  int before = graph->n_nodes;
  (void)sink;
  graph_prune(graph);
  require(graph->n_nodes <= before);
  onnx_unload(&model);
  return 0;
}

/* A change inside a message that keeps the lengths around it true, else nearly every change ends the parse there. */

enum { MOST_DEPTH = 8 };

static size_t write_varint(uint8_t *to, uint64_t value)
{
  size_t n = 0;
  for (; value > 127; value >>= 7)
    to[n++] = (uint8_t)(value | 128);
  to[n++] = (uint8_t)value;
  return n;
}

/* Where the length of a field begins, and its content. */
struct span {
  size_t length, begin, end;
};

/* A random field with bytes in data[begin, end); false where there is none. */
static bool pick_field(const uint8_t *data, size_t begin, size_t end, unsigned *random, struct span *span)
{
  struct wire wire = wire_of(data + begin, end - begin);
  struct wire_field field;
  struct error err = {0};
  unsigned seen = 0;
  while (wire_next(&wire, &field, &err)) {
    *random = *random * 1664525 + 1013904223;
    if (field.type != WIRE_BYTES || (*random >> 8) % ++seen)
      continue;
    uint8_t tag[10];
    span->length = begin + field.position + write_varint(tag, (uint64_t)field.number << 3);
    span->begin = (size_t)(field.bytes.at - data);
    span->end = (size_t)(field.bytes.end - data);
  }
  return seen > 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
  struct span path[MOST_DEPTH];
  int depth = 0;
  size_t begin = 0, end = size;
  while (depth < MOST_DEPTH && pick_field(data, begin, end, &seed, &path[depth])) {
    begin = path[depth].begin;
    end = path[depth++].end;
    seed = seed * 1664525 + 1013904223;
    if ((seed >> 12) % 4 == 0)
      break;
  }
  uint8_t *content = depth && (seed >> 16) % 8 ? malloc(max_size + 10) : NULL;
  if (!content)
    return LLVMFuzzerMutate(data, size, max_size);
  size_t inner = end - begin;
  memcpy(content, data + begin, inner);
  inner = LLVMFuzzerMutate(content, inner, max_size - (size - inner));
  /* From the inside out: the new content between what stands before it and behind it. */
  uint8_t *whole = malloc(max_size + 10 * MOST_DEPTH);
  for (int i = depth - 1; whole && i >= 0; i--) {
    size_t from = i ? path[i - 1].begin : 0, to = i ? path[i - 1].end : size;
    size_t before = path[i].length - from, behind = to - path[i].end;
    memcpy(whole, data + from, before);
    size_t n = before + write_varint(whole + before, inner);
    if (n + inner + behind > max_size)
      break;
    memcpy(whole + n, content, inner);
    memcpy(whole + n + inner, data + path[i].end, behind);
    inner = n + inner + behind;
    memcpy(content, whole, inner);
    if (i == 0) {
      memcpy(data, content, inner);
      size = inner;
    }
  }
  free(whole);
  free(content);
  return size;
}
