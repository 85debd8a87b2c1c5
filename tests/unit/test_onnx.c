/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of ONNX models: what it makes of right ones, and what it says about wrong ones. */
#include "fault.h"
#include "models.h"
#include "scratch.h"
#include "unit.h"

#include <string.h>

static void reads_a_model(void **state)
{
  (void)state;
  struct model m = sound();
  put_text(&m.rest, 2, "pytorch");
  put_text(&m.rest, 3, "2.1");
  put_opset(&m, "com.example", 3);
  put_varint(&m.rest, 200, 1); /* unknown fields are passed over */
  struct proto property = {0};
  put_text(&property, 1, "labels");
  put_text(&property, 2, "a,b");
  put_message(&m.rest, 14, &property);

  struct proto bytes;
  struct onnx_model model;
  struct error err = {0};
  assert_true(load(&m, &bytes, &model, &err));
  assert_int_equal(model.ir_version, 8);
  assert_int_equal(model.opset, 13);
  assert_string_equal(model.producer, "pytorch");
  assert_string_equal(model.producer_version, "2.1");
  assert_int_equal(model.n_metadata, 1);
  assert_string_equal(model.metadata[0].key, "labels");
  assert_string_equal(model.metadata[0].value, "a,b");
  assert_null(model.dir);

  const struct graph *graph = model.graph;
  assert_int_equal(graph->n_nodes, 1);
  assert_int_equal(graph->n_inputs, 1);
  assert_int_equal(graph->n_outputs, 1);
  const struct node *node = graph->nodes[0];
  assert_string_equal(node->type, "Conv");
  assert_string_equal(node->name, "conv");
  assert_string_equal(node->domain, "");
  assert_int_equal(node->opset, 13);
  assert_ptr_equal(node->in[0], graph->inputs[0]);
  assert_ptr_equal(node->in[1], value_named(graph, "w"));
  assert_ptr_equal(node->out[0], graph->outputs[0]);
  assert_ptr_equal(node->out[0]->producer, node);
  assert_string_equal(graph->outputs[0]->name, "y");
  assert_shape(&graph->inputs[0]->t.shape, 4, (int64_t[]){1, 3, 8, 8});
  assert_int_equal(graph->inputs[0]->t.element, FLOAT);
  assert_null(graph->inputs[0]->t.data);
  assert_int_equal(node->in[1]->uses, 1);

  const struct tensor *w = &node->in[1]->t;
  assert_shape(&w->shape, 4, (int64_t[]){4, 3, 1, 1});
  assert_int_equal(w->dtype, DTYPE_F32);
  assert_int_equal(w->element, FLOAT);
  assert_int_equal((uintptr_t)w->data % MEM_ALIGN, 0);
  for (int i = 0; i < 12; i++)
    assert_true(((float *)w->data)[i] == (float)i);
  onnx_unload(&model);
  onnx_unload(&model); /* of what is empty: nothing */
  proto_free(&bytes);
}

static void reads_nodes(void **state)
{
  (void)state;
  struct model m = sound();
  put_opset(&m, "com.example", 3);
  struct proto node = {0}, attr = {0};
  put_text(&node, 1, "late"); /* made by a node that comes later in the file */
  put_text(&node, 1, "");
  put_text(&node, 1, "image");
  put_text(&node, 2, "");
  put_text(&node, 2, "second");
  put_text(&node, 4, "Mine");
  put_text(&node, 7, "com.example");
  put_message(&m.graph, 1, &node);
  node = node_new("Relu", NULL, "y", NULL, "late");
  put_text(&node, 7, "ai.onnx");
  put_message(&m.graph, 1, &node);
  node = node_new("Alien", NULL, "second", NULL, "z");
  put_text(&node, 7, "org.elsewhere");
  put_message(&m.graph, 1, &node);
  put_output(&m, "z");

  /* One attribute of each kind; the kind is given but for the last two. */
  node = node_new("Identity", "attributes", "y", NULL, "unread");
  put_text(&attr, 1, "f"), put_float(&attr, 2, 0.25f), put_varint(&attr, 20, 1), put_message(&node, 5, &attr);
  put_text(&attr, 1, "i"), put_varint(&attr, 3, (uint64_t)-7), put_varint(&attr, 20, 2), put_message(&node, 5, &attr);
  put_text(&attr, 1, "s"), put_text(&attr, 4, "SAME"), put_varint(&attr, 20, 3), put_message(&node, 5, &attr);
  struct proto tensor = tensor_new(NULL, INT64, 1, (int64_t[]){2});
  put_varint(&tensor, 7, 5), put_varint(&tensor, 7, (uint64_t)-1);
  put_text(&attr, 1, "t"), put_message(&attr, 5, &tensor), put_varint(&attr, 20, 4), put_message(&node, 5, &attr);
  put_text(&attr, 1, "floats"), put_float(&attr, 7, 1), put_float(&attr, 7, 2), put_varint(&attr, 20, 6);
  put_message(&node, 5, &attr);
  put_text(&attr, 1, "none"), put_varint(&attr, 20, 7), put_message(&node, 5, &attr);
  put_text(&attr, 1, "strings"), put_text(&attr, 9, "a"), put_text(&attr, 9, ""), put_varint(&attr, 20, 8);
  put_message(&node, 5, &attr);
  struct proto body = {0};
  put_text(&body, 2, "body");
  put_text(&attr, 1, "g"), put_message(&attr, 6, &body), put_varint(&attr, 20, 5), put_message(&node, 5, &attr);
  put_text(&attr, 1, "binary"), put_bytes(&attr, 4, "a\0b", 3), put_varint(&attr, 20, 3), put_message(&node, 5, &attr);
  put_text(&attr, 1, "ints"), put_bytes(&attr, 8, "\x01\x02\x03", 3), put_message(&node, 5, &attr);
  put_text(&attr, 1, "axis"), put_varint(&attr, 3, 1), put_varint(&attr, 3, 2), put_message(&node, 5, &attr);
  put_message(&m.graph, 1, &node);

  struct proto bytes;
  struct onnx_model model;
  struct error err = {0};
  assert_true(load(&m, &bytes, &model, &err));
  const struct graph *graph = model.graph;
  const struct node *mine = graph->nodes[1], *alien = graph->nodes[3], *last = graph->nodes[4];
  assert_string_equal(mine->domain, "com.example");
  assert_string_equal(mine->name, "");
  assert_int_equal(mine->opset, 3);
  assert_int_equal(mine->n_in, 3);
  assert_int_equal(mine->n_out, 2);
  assert_ptr_equal(mine->in[0], graph->nodes[2]->out[0]);
  assert_null(mine->in[1]);
  assert_ptr_equal(mine->in[2], graph->inputs[0]);
  assert_null(mine->out[0]);
  assert_string_equal(mine->out[1]->name, "second");
  assert_string_equal(graph->nodes[2]->domain, ""); /* ai.onnx */
  assert_int_equal(graph->nodes[2]->opset, 13);
  assert_int_equal(alien->opset, 0); /* of a domain that is not imported: for graph_build to refuse by name */
  assert_int_equal(graph->n_outputs, 2);

  assert_int_equal(last->n_attrs, 11);
  const struct attr *a = node_attr(last, "f");
  assert_true(a->type == ATTR_FLOAT && a->f == 0.25f);
  a = node_attr(last, "i");
  assert_true(a->type == ATTR_INT && a->i == -7);
  a = node_attr(last, "s");
  assert_int_equal(a->type, ATTR_STRING);
  assert_string_equal(a->s, "SAME");
  a = node_attr(last, "t");
  assert_int_equal(a->type, ATTR_TENSOR);
  assert_shape(&a->tensor.shape, 1, (int64_t[]){2});
  assert_memory_equal(a->tensor.data, ((int64_t[]){5, -1}), 16);
  a = node_attr(last, "floats");
  assert_true(a->type == ATTR_FLOATS && a->count == 2 && a->floats[0] == 1 && a->floats[1] == 2);
  a = node_attr(last, "none");
  assert_true(a->type == ATTR_INTS && a->count == 0);
  a = node_attr(last, "strings");
  assert_true(a->type == ATTR_STRINGS && a->count == 2);
  assert_string_equal(a->strings[0], "a");
  assert_string_equal(a->strings[1], "");
  assert_int_equal(node_attr(last, "g")->type, ATTR_OTHER);
  assert_int_equal(node_attr(last, "binary")->type, ATTR_OTHER);
  a = node_attr(last, "ints");
  assert_true(a->type == ATTR_INTS && a->count == 3 && a->ints[0] == 1 && a->ints[2] == 3);
  a = node_attr(last, "axis");
  assert_true(a->type == ATTR_INT && a->i == 2); /* the last one given */
  onnx_unload(&model);
  proto_free(&bytes);
}

static void reads_inputs(void **state)
{
  (void)state;
  struct model m = sound();
  put_input(&m, "w", 4, (int64_t[]){4, 3, 1, 1}); /* an initializer, as IR 3 lists it: no input */
  put_input(&m, "fixed", 4, (int64_t[]){16, 3, 0, 0});
  put_input(&m, "unknown", 2, (int64_t[]){-1, -1}); /* what some exporters write */
  put_input(&m, "scalar", 0, NULL);
  put_value_info(&m, 11, "ids", INT32, 1, (int64_t[]){0});
  struct proto bytes;
  struct onnx_model model;
  struct error err = {0};
  assert_true(load(&m, &bytes, &model, &err));
  const struct graph *graph = model.graph;
  assert_int_equal(graph->n_inputs, 5);
  assert_string_equal(graph->inputs[0]->name, "image");
  assert_string_equal(graph->inputs[1]->name, "fixed");
  assert_shape(&graph->inputs[1]->t.shape, 4, (int64_t[]){16, 3, 0, 0});
  assert_shape(&graph->inputs[2]->t.shape, 2, (int64_t[]){1, 0});
  assert_int_equal(graph->inputs[3]->t.shape.rank, 0);
  assert_shape(&graph->inputs[4]->t.shape, 1, (int64_t[]){1});
  assert_int_equal(graph->inputs[4]->t.dtype, DTYPE_I64);
  assert_int_equal(graph->inputs[4]->t.element, INT32);
  onnx_unload(&model);
  proto_free(&bytes);
}

static void refuses_graphs(void **state)
{
  (void)state;
  struct model m = sound();
  put_node(&m, "Relu", "act", "nothing", NULL, "z");
  expect_error(&m, "Relu 'act' (opset 13): input 'nothing' is defined nowhere");
  m = sound();
  put_output(&m, "z");
  expect_error(&m, "graph output 'z' is produced by no node");
  m = sound();
  put_output(&m, "y");
  expect_error(&m, "graph output 'y' is listed twice");
  m = sound();
  put_node(&m, "Relu", "act", "y", NULL, "y");
  struct proto bytes;
  struct onnx_model model;
  struct error err = {0};
  assert_false(load(&m, &bytes, &model, &err)); /* which of the two is named first does not matter */
  assert_non_null(strstr(err.message, "'y' is defined twice: "));
  assert_non_null(strstr(err.message, "output of Conv 'conv'"));
  assert_non_null(strstr(err.message, "output of Relu 'act'"));
  proto_free(&bytes);
  m = sound();
  put_node(&m, "Relu", "act", "y", NULL, "w");
  err = (struct error){0};
  assert_false(load(&m, &bytes, &model, &err));
  assert_non_null(strstr(err.message, "'w' is defined twice: "));
  assert_non_null(strstr(err.message, "an initializer"));
  proto_free(&bytes);
  m = sound();
  put_input(&m, "image", 1, (int64_t[]){1});
  expect_error(&m, "'image' is defined twice: a graph input, and a graph input");
  m = sound();
  struct proto node = node_new("Relu", NULL, "y", NULL, "z"), attr = {0};
  put_text(&attr, 1, "a"), put_varint(&attr, 3, 1), put_varint(&attr, 20, 2);
  struct proto again = {0};
  put_raw(&again, attr.bytes, attr.size);
  put_message(&node, 5, &attr), put_message(&node, 5, &again), put_message(&m.graph, 1, &node);
  expect_error(&m, "Relu (node 1): attribute a is given twice");
  m = sound();
  node = node_new("Relu", "act", "y", NULL, "z");
  put_text(&node, 5, ""), put_message(&m.graph, 1, &node);
  expect_error(&m, "Relu 'act': an attribute has no name");
  m = sound();
  put_node(&m, "", "act", "y", NULL, "z");
  expect_error(&m, "node 1: no operator is given");
  m = sound();
  node = node_new("Relu", NULL, "y", NULL, NULL);
  put_bytes(&node, 2, "z\0z", 3), put_message(&m.graph, 1, &node);
  assert_false(load(&m, &bytes, &model, &err));
  assert_true(err.code);
  proto_free(&bytes);
  m = sound();
  node = node_new("Relu", NULL, NULL, NULL, "z");
  put_bytes(&node, 1, "y\0", 2), put_message(&m.graph, 1, &node); /* is not "y" */
  err = (struct error){0};
  assert_false(load(&m, &bytes, &model, &err));
  assert_string_equal(err.message, "Relu 'z' (opset 13): input 'y' is defined nowhere");
  proto_free(&bytes);

  m = sound();
  struct proto input = {0}, type = {0};
  put_text(&input, 1, "list"), put_text(&type, 4, ""), put_message(&input, 2, &type), put_message(&m.graph, 11, &input);
  expect_error(&m, "graph input 'list': a sequence, map or optional, only tensors are supported");
  m = sound();
  put_value_info(&m, 11, "text", STRING, 1, (int64_t[]){1});
  expect_error(&m, "graph input 'text': data type string is not supported");
  m = sound();
  put_input(&m, "deep", 9, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1});
  expect_error(&m, "graph input 'deep': more than 8 dimensions");
  m = sound();
  put_input(&m, "wide", 2, (int64_t[]){INT64_MAX, 2});
  expect_error(&m, "graph input 'wide': shape 9223372036854775807x2 has more than 2^40 elements");
  m = sound();
  struct proto tensor = {0};
  put_text(&input, 1, "loose"), put_varint(&tensor, 1, FLOAT), put_message(&type, 1, &tensor);
  put_message(&input, 2, &type), put_message(&m.graph, 11, &input);
  expect_error(&m, "graph input 'loose': no shape is given, not even a rank");
  m = model_new();
  put_input(&m, "image", 4, (int64_t[]){0, 3, 8, 8});
  expect_error(&m, "the graph has no outputs");
}

static void refuses_models(void **state)
{
  (void)state;
  static const struct {
    const char *text, *message;
  } cases[] = {
      {"", "the file is empty"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
       "this is a Git LFS pointer, not the model; fetch it with git lfs pull"},
      {"<!DOCTYPE html>", "byte 0: field 7 has wire type 4: this is no ONNX model, or a damaged one"},
      {"\x08\x08", "no graph inside: this is no ONNX model"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct onnx_model model;
    struct error err = {0};
    assert_false(onnx_load_bytes(cases[i].text, strlen(cases[i].text), &model, &err));
    assert_string_equal(err.message, cases[i].message);
  }
  struct model m = sound();
  put_varint(&m.rest, 1, 2);
  expect_error(&m, "ir_version 2 is outside 3..13");
  m = sound();
  put_varint(&m.rest, 1, (uint64_t)-1);
  expect_error(&m, "ir_version -1 is outside 3..13");
  m = sound();
  put_opset(&m, "ai.onnx", 12);
  expect_error(&m, "the operator set ai.onnx is imported twice, as version 13 and 12");
  m = sound();
  put_opset(&m, "com.example", 0);
  expect_error(&m, "version 0 of the operator set com.example is outside 1..2147483647");
  m = sound();
  proto_free(&m.rest);
  put_varint(&m.rest, 1, 8);
  expect_error(&m, "the model does not say which version of the operator set ai.onnx it uses");
}

/* Graphs in attributes of nodes of graphs: 64 deep is read (and kept for graph_build to refuse), 65 is not. */
static void bounds_nesting(void **state)
{
  (void)state;
  for (int depth = 64; depth <= 65; depth++) {
    struct proto graph = {0};
    for (int i = 1; i < depth; i++) {
      struct proto attr = {0}, node = {0};
      put_message(&attr, i % 2 ? 6 : 11, &graph);
      put_message(&node, 5, &attr);
      put_message(&graph, 1, &node);
    }
    struct proto attr = {0}, node = node_new("If", "nest", "y", NULL, "z");
    put_text(&attr, 1, "then_branch"), put_message(&attr, 6, &graph), put_varint(&attr, 20, 5);
    put_message(&node, 5, &attr);
    struct model m = sound();
    put_message(&m.graph, 1, &node);
    if (depth == 65) {
      expect_error(&m, "If 'nest': attribute then_branch: graphs are nested more than 64 deep");
      continue;
    }
    struct proto bytes;
    struct onnx_model model;
    struct error err = {0};
    assert_true(load(&m, &bytes, &model, &err));
    assert_int_equal(node_attr(model.graph->nodes[1], "then_branch")->type, ATTR_OTHER);
    onnx_unload(&model);
    proto_free(&bytes);
  }
}

static void fails_without_memory(void **state)
{
  (void)state;
  struct model m = sound();
  put_text(&m.rest, 2, "pytorch");
  struct proto node = node_new("Clip", "clip", "y", NULL, "z"), attr = {0};
  put_text(&attr, 1, "strings"), put_text(&attr, 9, "a"), put_varint(&attr, 20, 8), put_message(&node, 5, &attr);
  put_message(&m.graph, 1, &node);
  for (int i = 0; i < 300; i++) { /* more than a block of the arena, more than a list's first size */
    char name[80];
    (void)snprintf(name, sizeof name, "a rather long name for a tensor that is only a number, %d", i);
    struct proto tensor = tensor_new(name, FLOAT, 0, NULL);
    put_float(&tensor, 4, 1);
    put_message(&m.graph, 5, &tensor);
  }
  struct proto bytes = model_bytes(&m);
  struct onnx_model model;
  FAULT_LOOP(onnx_load_bytes(bytes.bytes, bytes.size, &model, &err), onnx_unload(&model));
  scratch_file("model.onnx", bytes.bytes, bytes.size);
  FAULT_LOOP(onnx_load(scratch_path("model.onnx"), NULL, &model, &err), onnx_unload(&model));
  proto_free(&bytes);
}

/* Names the file, however long its path is, and keeps the cause. */
static void names_the_file(void **state)
{
  (void)state;
  struct onnx_model model;
  struct error err = {0};
  scratch_file("bad.onnx", "\x08\x08", 2);
  char path[2000];
  (void)snprintf(path, sizeof path, "%s/bad.onnx", scratch);
  assert_false(onnx_load(path, NULL, &model, &err));
  char expected[2100];
  (void)snprintf(expected, sizeof expected, "%s: no graph inside: this is no ONNX model", path);
  assert_string_equal(err.message, expected);

  err = (struct error){0};
  size_t length = (size_t)snprintf(path, sizeof path, "%s", scratch);
  for (int i = 0; i < 150; i++)
    length += (size_t)snprintf(path + length, sizeof path - length, "/.");
  (void)snprintf(path + length, sizeof path - length, "/bad.onnx");
  assert_false(onnx_load(path, NULL, &model, &err));
  assert_non_null(strstr(err.message, "/bad.onnx: no graph inside: this is no ONNX model"));

  err = (struct error){0};
  assert_false(onnx_load(scratch_path("missing.onnx"), NULL, &model, &err));
  assert_non_null(strstr(err.message, "missing.onnx: No such file or directory"));
  err = (struct error){0};
  assert_false(onnx_load(scratch, NULL, &model, &err));
  assert_non_null(strstr(err.message, scratch));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reads_a_model),
      cmocka_unit_test(reads_nodes),
      cmocka_unit_test(reads_inputs),
      cmocka_unit_test(refuses_graphs),
      cmocka_unit_test(refuses_models),
      cmocka_unit_test(bounds_nesting),
      cmocka_unit_test_setup_teardown(fails_without_memory, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(names_the_file, scratch_setup, scratch_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
