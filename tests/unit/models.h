/* SPDX-License-Identifier: Apache-2.0 */
/* Writing ONNX models, right and wrong ones, for tests of their reader. */
#ifndef PENUMBRA_TESTS_MODELS_H
#define PENUMBRA_TESTS_MODELS_H

#include "onnx/load.h"
#include "proto.h"
#include "unit.h"

#include <string.h>
#include <time.h>

/* TensorProto.DataType */
enum {
  FLOAT = 1,
  UINT8,
  INT8,
  UINT16,
  INT16,
  INT32,
  INT64,
  STRING,
  BOOL,
  FLOAT16,
  DOUBLE,
  UINT32,
  UINT64,
  COMPLEX64,
  COMPLEX128,
  BFLOAT16
};

/* A model in the making: its graph, and what else the model says. */
struct model {
  struct proto graph, rest;
};

static inline void put_opset(struct model *m, const char *domain, int64_t version)
{
  struct proto opset = {0};
  if (*domain)
    put_text(&opset, 1, domain);
  put_varint(&opset, 2, (uint64_t)version);
  put_message(&m->rest, 8, &opset);
}

static inline struct model model_new(void)
{
  struct model m = {0};
  put_varint(&m.rest, 1, 8);
  put_opset(&m, "", 13);
  return m;
}

static inline struct proto model_bytes(struct model *m)
{
  struct proto p = {0};
  put_raw(&p, m->rest.bytes, m->rest.size);
  put_message(&p, 7, &m->graph);
  proto_free(&m->rest);
  return p;
}

/* A dimension of 0 is written as the name N. */
static inline void put_value_info(struct model *m, uint32_t field, const char *name, int type, int rank,
                                  const int64_t *dims)
{
  struct proto info = {0}, type_proto = {0}, tensor = {0}, shape = {0};
  put_text(&info, 1, name);
  put_varint(&tensor, 1, (uint64_t)type);
  for (int i = 0; i < rank; i++) {
    struct proto dim = {0};
    if (dims[i])
      put_varint(&dim, 1, (uint64_t)dims[i]);
    else
      put_text(&dim, 2, "N");
    put_message(&shape, 1, &dim);
  }
  put_message(&tensor, 2, &shape);
  put_message(&type_proto, 1, &tensor);
  put_message(&info, 2, &type_proto);
  put_message(&m->graph, field, &info);
}

static inline void put_input(struct model *m, const char *name, int rank, const int64_t *dims)
{
  put_value_info(m, 11, name, FLOAT, rank, dims);
}

static inline void put_output(struct model *m, const char *name)
{
  put_value_info(m, 12, name, FLOAT, 0, NULL);
}

static inline struct proto node_new(const char *type, const char *name, const char *in, const char *in2,
                                    const char *out)
{
  struct proto node = {0};
  if (in)
    put_text(&node, 1, in);
  if (in2)
    put_text(&node, 1, in2);
  if (out)
    put_text(&node, 2, out);
  if (name)
    put_text(&node, 3, name);
  put_text(&node, 4, type);
  return node;
}

static inline void put_node(struct model *m, const char *type, const char *name, const char *in, const char *in2,
                            const char *out)
{
  struct proto node = node_new(type, name, in, in2, out);
  put_message(&m->graph, 1, &node);
}

static inline struct proto tensor_new(const char *name, int type, int rank, const int64_t *dims)
{
  struct proto tensor = {0};
  for (int i = 0; i < rank; i++)
    put_varint(&tensor, 1, (uint64_t)dims[i]);
  put_varint(&tensor, 2, (uint64_t)type);
  if (name)
    put_text(&tensor, 8, name);
  return tensor;
}

/* A sound model: image [N,3,8,8] -> Conv with w [4,3,1,1] -> y. */
static inline struct model sound(void)
{
  struct model m = model_new();
  float w[12];
  for (int i = 0; i < 12; i++)
    w[i] = (float)i;
  struct proto tensor = tensor_new("w", FLOAT, 4, (int64_t[]){4, 3, 1, 1});
  put_bytes(&tensor, 9, w, sizeof w);
  put_message(&m.graph, 5, &tensor);
  put_input(&m, "image", 4, (int64_t[]){0, 3, 8, 8});
  put_node(&m, "Conv", "conv", "image", "w", "y");
  put_output(&m, "y");
  return m;
}

static inline bool load(struct model *m, struct proto *bytes, struct onnx_model *model, struct error *err)
{
  *bytes = model_bytes(m);
  return onnx_load_bytes(bytes->bytes, bytes->size, model, err);
}

static inline void expect_error(struct model *m, const char *message)
{
  struct proto bytes;
  struct onnx_model model;
  struct error err = {0};
  assert_false(load(m, &bytes, &model, &err));
  assert_string_equal(err.message, message);
  assert_null(model.graph);
  proto_free(&bytes);
}

static inline const struct value *value_named(const struct graph *graph, const char *name)
{
  for (int i = 0; i < graph->n_values; i++) {
    if (strcmp(graph->values[i]->name, name) == 0)
      return graph->values[i];
  }
  return NULL;
}

static inline void assert_shape(const struct shape *shape, int rank, const int64_t *dims)
{
  assert_int_equal(shape->rank, rank);
  for (int i = 0; i < rank; i++)
    assert_int_equal(shape->dim[i], dims[i]);
}

/* Of this process's own work, whatever else the machine is busy with. */
static inline double seconds(void)
{
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
