/* SPDX-License-Identifier: Apache-2.0 */
/* What the reader makes of ONNX models, as the text that tests/onnx/dump_onnx.py makes by another reader:
 * onnx_dump MODEL… */
#include "onnx/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A text as one word: bytes other than letters, digits and common marks as %XX. */
static void print_word(const char *text)
{
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    if (c > ' ' && c < 127 && c != '%' && c != ',')
      (void)putchar(c);
    else
      (void)printf("%%%02X", c);
  }
}

static void print_shape(const struct shape *shape)
{
  (void)putchar(' ');
  for (int i = 0; i < shape->rank; i++)
    (void)printf("%s%" PRId64, i ? "x" : "", shape->dim[i]);
}

static bool print_tensor(const struct tensor *tensor)
{
  char hex[65];
  if (!file_sha256(tensor->data, tensor_bytes(tensor), hex))
    return false;
  (void)printf(" %s", tensor->dtype == DTYPE_F32 ? "float" : "int");
  print_shape(&tensor->shape);
  (void)printf(" %s", hex);
  return true;
}

static void print_bits(float value)
{
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  (void)printf(" %08" PRIx32, bits);
}

static bool print_attr(const struct attr *attr)
{
  (void)printf(" attr ");
  print_word(attr->name);
  switch (attr->type) {
  case ATTR_INT:
    (void)printf(" int %" PRId64, attr->i);
    break;
  case ATTR_FLOAT:
    (void)printf(" float");
    print_bits(attr->f);
    break;
  case ATTR_STRING:
    (void)printf(" string ");
    print_word(attr->s);
    break;
  case ATTR_TENSOR:
    (void)printf(" tensor");
    if (!print_tensor(&attr->tensor))
      return false;
    break;
  case ATTR_INTS:
    (void)printf(" ints");
    for (size_t i = 0; i < attr->count; i++)
      (void)printf(" %" PRId64, attr->ints[i]);
    break;
  case ATTR_FLOATS:
    (void)printf(" floats");
    for (size_t i = 0; i < attr->count; i++)
      print_bits(attr->floats[i]);
    break;
  case ATTR_STRINGS:
    (void)printf(" strings");
    for (size_t i = 0; i < attr->count; i++) {
      (void)putchar(' ');
      print_word(attr->strings[i]);
    }
    break;
  case ATTR_OTHER:
    (void)printf(" other");
    break;
  }
  (void)putchar('\n');
  return true;
}

static void print_values(const char *what, struct value *const *values, int count)
{
  (void)printf(" %s ", what);
  for (int i = 0; i < count; i++) {
    if (i)
      (void)putchar(',');
    if (values[i])
      print_word(values[i]->name);
  }
  (void)putchar('\n');
}

static bool print_graph(const struct graph *graph)
{
  for (int i = 0; i < graph->n_inputs; i++) {
    const struct value *value = graph->inputs[i];
    (void)printf("input ");
    print_word(value->name);
    (void)printf(" %d", value->t.element);
    print_shape(&value->t.shape);
    (void)putchar('\n');
  }
  for (int i = 0; i < graph->n_values; i++) {
    const struct value *value = graph->values[i];
    if (!value->t.data)
      continue;
    (void)printf("initializer ");
    print_word(value->name);
    (void)printf(" %d", value->t.element);
    if (!print_tensor(&value->t))
      return false;
    (void)putchar('\n');
  }
  for (int i = 0; i < graph->n_nodes; i++) {
    const struct node *node = graph->nodes[i];
    (void)printf("node ");
    print_word(node->type);
    (void)printf(" %d domain ", node->opset);
    print_word(node->domain);
    (void)printf(" name ");
    print_word(node->name);
    (void)putchar('\n');
    print_values("in", node->in, node->n_in);
    print_values("out", node->out, node->n_out);
    for (int k = 0; k < node->n_attrs; k++) {
      if (!print_attr(&node->attrs[k]))
        return false;
    }
  }
  print_values("outputs", graph->outputs, graph->n_outputs);
  return true;
}

static bool dump(const char *path)
{
  struct onnx_model model;
  struct error err = {0};
  (void)printf("model %s\n", path);
  if (!onnx_load(path, NULL, &model, &err)) {
    (void)printf("refused %s\n", err.message);
    return true;
  }
  (void)printf("ir %" PRId64 " opset %" PRId64 " producer ", model.ir_version, model.opset);
  print_word(model.producer);
  (void)putchar(' ');
  print_word(model.producer_version);
  (void)putchar('\n');
  for (int i = 0; i < model.n_metadata; i++) {
    (void)printf("metadata ");
    print_word(model.metadata[i].key);
    (void)putchar(' ');
    print_word(model.metadata[i].value);
    (void)putchar('\n');
  }
  bool ok = print_graph(model.graph);
  onnx_unload(&model);
  return ok;
}

int main(int argc, char **argv)
{
  bool ok = true;
  for (int i = 1; i < argc; i++)
    ok &= dump(argv[i]);
  return ok ? 0 : 1;
}
