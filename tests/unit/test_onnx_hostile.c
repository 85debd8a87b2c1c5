/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of ONNX models on damaged and hostile files, and on files of others. */
#include "golden.h"
#include "models.h"
#include "unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Files whose parts are as small and as many as can be: refused, and soon, with memory in proportion. */
static void bounds_memory(void **state)
{
  (void)state;
  for (int kind = 0; kind < 6; kind++) {
    struct model m = sound();
    struct proto node = {0}, attr = {0};
    for (int i = 0; i < 600000; i++) {
      char name[16];
      (void)snprintf(name, sizeof name, "%x", i);
      switch (kind) {
      case 0:
        put_node(&m, "A", NULL, NULL, NULL, NULL);
        break;
      case 1:
        put_text(&node, 2, name);
        if (i % 10000 == 9999)
          put_text(&node, 4, "A"), put_message(&m.graph, 1, &node);
        break;
      case 2:
        put_text(&attr, 1, name), put_message(&node, 5, &attr);
        if (i % 256 == 255)
          put_text(&node, 4, "A"), put_message(&m.graph, 1, &node);
        break;
      case 3:
        put_text(&node, 1, "y");
        if (i % 16384 == 16383)
          put_text(&node, 4, "A"), put_message(&m.graph, 1, &node);
        break;
      case 4:
        put_input(&m, name, 0, NULL);
        break;
      default: {
        struct proto tensor = tensor_new(name, FLOAT, 1, (int64_t[]){0});
        put_message(&m.graph, 5, &tensor);
      }
      }
    }
    proto_free(&node);
    struct proto bytes;
    struct onnx_model model;
    struct error err = {0};
    double start = seconds();
    bool ok = load(&m, &bytes, &model, &err);
    assert_true(seconds() - start < 5);
    static const char *const expected[] = {"more than 100000 nodes",         "more than 500000 values in the graph",
                                           "the model would need more than", NULL, /* many inputs are just that */
                                           "more than 1000 graph inputs",    "more than 100000 initializers"};
    if (expected[kind]) {
      assert_false(ok);
      if (!strstr(err.message, expected[kind]))
        print_message("# %s\n", err.message);
      assert_non_null(strstr(err.message, expected[kind]));
    } else {
      assert_true(ok);
      assert_true(arena_bytes(model.graph->arena) < 16 * bytes.size + (16 << 20));
      onnx_unload(&model);
    }
    proto_free(&bytes);
  }
}

/* A model cut anywhere, or with any byte changed, is read or refused: nothing else happens. */
static void survives_damage(void **state)
{
  (void)state;
  struct model m = sound();
  struct proto node = node_new("Clip", "clip", "y", NULL, "z"), attr = {0};
  put_text(&attr, 1, "min"), put_float(&attr, 2, 0), put_varint(&attr, 20, 1), put_message(&node, 5, &attr);
  put_text(&attr, 1, "ints"), put_bytes(&attr, 8, "\x01\x02", 2), put_varint(&attr, 20, 7),
      put_message(&node, 5, &attr);
  put_message(&m.graph, 1, &node);
  struct proto tensor = tensor_new("half", FLOAT16, 1, (int64_t[]){2});
  put_bytes(&tensor, 5, "\x01\x02", 2);
  put_message(&m.graph, 5, &tensor);
  struct proto bytes = model_bytes(&m);
  struct onnx_model model;
  int loaded = 0, refused = 0;
  for (size_t cut = 0; cut <= bytes.size; cut++) {
    unsigned char *copy = malloc(cut ? cut : 1); /* of just that size: a read beyond is seen */
    memcpy(copy, bytes.bytes, cut);
    struct error err = {0};
    if (onnx_load_bytes(copy, cut, &model, &err)) {
      onnx_unload(&model);
      assert_int_equal(cut, bytes.size);
    } else {
      assert_true(err.code != ERROR_NONE && *err.message);
    }
    free(copy);
  }
  for (size_t at = 0; at < bytes.size; at++) {
    unsigned char before = bytes.bytes[at];
    for (int change = 1; change < 256; change++) {
      bytes.bytes[at] = before ^ (unsigned char)change;
      struct error err = {0};
      if (onnx_load_bytes(bytes.bytes, bytes.size, &model, &err)) {
        onnx_unload(&model);
        loaded++;
      } else {
        assert_true(err.code != ERROR_NONE && *err.message);
        refused++;
      }
    }
    bytes.bytes[at] = before;
  }
  assert_true(loaded > 1000 && refused > 1000);
  proto_free(&bytes);
}

/* The shared data: hostile files, with what the reader says of them (NULL: sound as far as the reader goes), and sound
 * models. */
static void reads_or_refuses_shared_files(void **state)
{
  (void)state;
  static const struct {
    const char *name, *message;
  } cases[] = {
      {"bad/empty.onnx", "the file is empty"},
      {"bad/nested_3000.onnx", "graphs are nested more than 64 deep"},
      {"bad/empty_initializers_10mb.onnx", "initializer 4: no data type is given"},
      {"bad/truncated.onnx", "byte 18: a field of 905 bytes where 445 are left: the file is truncated or damaged"},
      {"bad/lfs_pointer.onnx", "this is a Git LFS pointer, not the model; fetch it with git lfs pull"},
      {"bad/cyclic.onnx", NULL},
      {"bad/missing_initializer.onnx", "Conv 'conv' (opset 13): input 'w1' is defined nowhere"},
      {"bad/missing_output.onnx", "graph output 'probabilities' is produced by no node"},
      {"bad/short_raw_data.onnx", "tensor 'w1': shape 4x3x3x3 of float needs 432 bytes, the file holds 100"},
      {"bad/negative_dims.onnx", "tensor 'w1': dimension 0 is -4, at least 0 is needed"},
      {"bad/overflow_dims.onnx", "tensor 'w1': shape 4294967296x2147483648x2x3 has more than 2^40 elements"},
      {"bad/external_data_escape.onnx", "tensor 'w1': external data: '../../etc/passwd': is no name inside the folder"},
      {"bad/unsupported_op.onnx", NULL},
      {"bad/zero_group.onnx", NULL},
      {"bad/gemm_mismatch.onnx", NULL},
      {"bad/huge_constant.onnx", NULL},
      {"bad/float16_weights.onnx", NULL},
      {"bad/two_inputs.onnx", NULL},
      {"bad/rank2_input.onnx", NULL},
      {"bad/nan_weights.onnx", NULL},
      {"bad/dynamic_hw.onnx", NULL},
      {"bad/ok_model.onnx", NULL},
      {"models/cxr_pneumonia_cnn150.onnx", NULL},
      {"models/mnist_cnn_opset11.onnx", NULL},
      {"models/mobilenet_v1_0.5_160.onnx", NULL},
      {"models/mobilenet_v2_224.onnx", NULL},
      {"models/resnet20_cifar10_bn.onnx", NULL},
      {"models/squeezenet_v1.0.onnx", NULL},
      {"models/vit_mnist.onnx", NULL},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *path = shared_path(cases[i].name);
    struct onnx_model model;
    struct error err = {0};
    double start = seconds();
    bool ok = onnx_load(path, NULL, &model, &err);
    assert_true(seconds() - start < 1);
    if (ok == (cases[i].message != NULL) || (!ok && !strstr(err.message, cases[i].message)))
      print_message("# %s: %s\n", path, ok ? "is read" : err.message);
    assert_int_equal(ok, cases[i].message == NULL);
    if (ok) {
      assert_true(arena_bytes(model.graph->arena) < model.map.size + (1 << 20));
      onnx_unload(&model);
    } else {
      assert_non_null(strstr(err.message, cases[i].message));
      assert_non_null(strstr(err.message, cases[i].name)); /* which file it is */
    }
  }
}

/* ONNX's own models: what is refused is refused for a reason that is named here. */
static void reads_the_conformance_models(void **state)
{
  (void)state;
  static const char root[] = "/usr/share/libonnx-testdata/data";
  static const char *const folders[] = {"node", "simple", "pytorch-converted", "pytorch-operator", "light"};
  int loaded = 0, refused = 0;
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", root, folders[i]);
    DIR *dir = opendir(path);
    if (!dir)
      continue;
    for (const struct dirent *entry; (entry = readdir(dir));) {
      (void)snprintf(path, sizeof path, "%s/%s/%s/model.onnx", root, folders[i], entry->d_name);
      if (access(path, R_OK) != 0)
        continue;
      struct onnx_model model;
      struct error err = {0};
      if (onnx_load(path, NULL, &model, &err)) {
        loaded++;
        onnx_unload(&model);
        continue;
      }
      refused++;
      bool named = strstr(err.message, "a sequence, map or optional, only tensors are supported") ||
                   strstr(err.message, "data type string is not supported") ||
                   strstr(err.message, "is not supported (float8, int4 and the like)") ||
                   strstr(err.message, "no shape is given");
      if (!named)
        print_message("# %s\n", err.message);
      assert_true(named);
    }
    closedir(dir);
  }
  if (loaded + refused == 0)
    skip();
  assert_true(loaded >= 1000);
  assert_true(refused < loaded / 10);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bounds_memory),
      cmocka_unit_test(survives_damage),
      cmocka_unit_test(reads_or_refuses_shared_files),
      cmocka_unit_test(reads_the_conformance_models),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
