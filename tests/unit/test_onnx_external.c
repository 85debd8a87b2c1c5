/* SPDX-License-Identifier: Apache-2.0 */
/* Weights beside the model: found inside its folder, and nowhere else. */
#include "fault.h"
#include "models.h"
#include "scratch.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static void put_entry(struct proto *tensor, const char *key, const char *value)
{
  struct proto entry = {0};
  put_text(&entry, 1, key);
  put_text(&entry, 2, value);
  put_message(tensor, 13, &entry);
}

/* Write a model whose tensor t, float [4], is in `location`; then load it. */
static bool load_external(const char *location, const char *offset, const char *length, bool symlinks,
                          struct onnx_model *model, struct error *err)
{
  struct model m = sound();
  struct proto tensor = tensor_new("t", FLOAT, 1, (int64_t[]){4});
  put_entry(&tensor, "location", location);
  if (offset)
    put_entry(&tensor, "offset", offset);
  if (length)
    put_entry(&tensor, "length", length);
  put_entry(&tensor, "checksum", "0000");
  put_varint(&tensor, 14, 1);
  put_message(&m.graph, 5, &tensor);
  struct proto bytes = model_bytes(&m);
  scratch_file("model.onnx", bytes.bytes, bytes.size);
  proto_free(&bytes);
  struct onnx_options options = {.external_symlinks = symlinks};
  *err = (struct error){0};
  return onnx_load(scratch_path("model.onnx"), &options, model, err);
}

static const float stored[] = {-1, 0, 1.5f, 2, 3, 4, 5, 6};

static void assert_external(const char *location, const char *offset, const char *length, bool symlinks, int first)
{
  struct onnx_model model;
  struct error err;
  bool ok = load_external(location, offset, length, symlinks, &model, &err);
  if (!ok)
    print_message("# %s\n", err.message);
  assert_true(ok);
  assert_memory_equal(value_named(model.graph, "t")->t.data, stored + first, 4 * sizeof *stored);
  assert_string_equal(model.dir, scratch);
  onnx_unload(&model);
}

/* `cause` is part of the message, which begins with the model's path and the tensor. */
static void refute_external(const char *location, const char *offset, const char *length, const char *cause)
{
  struct onnx_model model;
  struct error err;
  assert_false(load_external(location, offset, length, false, &model, &err));
  char start[512];
  (void)snprintf(start, sizeof start, "%s: tensor 't': ", scratch_path("model.onnx"));
  if (strncmp(err.message, start, strlen(start)) != 0 || !strstr(err.message, cause))
    print_message("# %s\n# not: %s…%s\n", err.message, start, cause);
  assert_int_equal(strncmp(err.message, start, strlen(start)), 0);
  assert_non_null(strstr(err.message, cause));
}

static void reads_external_data(void **state)
{
  (void)state;
  scratch_file("weights.bin", stored, sizeof stored);
  assert_external("weights.bin", NULL, NULL, false, 0);
  assert_external("weights.bin", "0", "16", false, 0);
  assert_external("weights.bin", "8", "16", false, 2);
  assert_external("weights.bin", "16", NULL, false, 4);
  assert_external("./weights.bin", "16", "16", false, 4);
  assert_int_equal(mkdir(scratch_path("sub"), 0700), 0);
  scratch_file("sub/weights.bin", stored, sizeof stored);
  assert_external("sub/weights.bin", "4", NULL, false, 1);

  /* Model hubs' caches: the file is a link to a blob elsewhere. */
  assert_int_equal(symlink("sub/weights.bin", scratch_path("link.bin")), 0);
  refute_external("link.bin", NULL, NULL, "link");
  assert_external("link.bin", NULL, NULL, true, 0);
  assert_int_equal(symlink("sub", scratch_path("linked")), 0);
  refute_external("linked/weights.bin", NULL, NULL, "link");
  assert_external("linked/weights.bin", NULL, NULL, true, 0);

  /* A second tensor in the same file, and big floats in place. */
  enum { COUNT = 20000 };
  float *big = calloc(COUNT, sizeof *big);
  for (int i = 0; i < COUNT; i++)
    big[i] = (float)i;
  scratch_file("big.bin", big, COUNT * sizeof *big);
  struct model m = sound();
  struct proto tensor = tensor_new("a", FLOAT, 1, (int64_t[]){COUNT});
  put_entry(&tensor, "location", "big.bin"), put_varint(&tensor, 14, 1), put_message(&m.graph, 5, &tensor);
  tensor = tensor_new("b", UINT8, 1, (int64_t[]){4});
  put_entry(&tensor, "location", "big.bin"), put_entry(&tensor, "offset", "4"), put_varint(&tensor, 14, 1);
  put_message(&m.graph, 5, &tensor);
  struct proto bytes = model_bytes(&m);
  scratch_file("model.onnx", bytes.bytes, bytes.size);
  proto_free(&bytes);
  struct onnx_model model;
  struct error err = {0};
  assert_int_equal(chdir(scratch), 0);
  assert_true(onnx_load("model.onnx", NULL, &model, &err)); /* a path without a folder */
  assert_string_equal(model.dir, ".");
  assert_int_equal(model.reader.n_files, 1);
  const unsigned char *at = value_named(model.graph, "a")->t.data;
  assert_ptr_equal(at, model.reader.files[0].map.data);
  assert_memory_equal(at, big, COUNT * sizeof *big);
  assert_memory_equal(value_named(model.graph, "b")->t.data, ((int64_t[]){0, 0, 128, 63}), 32); /* 1.0f */
  onnx_unload(&model);
  free(big);
}

static void fails_without_memory(void **state)
{
  (void)state;
  struct onnx_model model;
  struct error failure;
  scratch_file("weights.bin", stored, sizeof stored);
  assert_true(load_external("weights.bin", NULL, NULL, false, &model, &failure));
  onnx_unload(&model);
  FAULT_LOOP(onnx_load(scratch_path("model.onnx"), NULL, &model, &err), onnx_unload(&model));
}

static void refuses_external_data(void **state)
{
  (void)state;
  scratch_file("weights.bin", stored, sizeof stored);
  scratch_file("empty.bin", "", 0);
  scratch_file("pointer.bin", "version https://git-lfs.github.com/spec/v1\n", 43);
  assert_int_equal(mkdir(scratch_path("sub"), 0700), 0);
  assert_int_equal(mkfifo(scratch_path("pipe"), 0600), 0);
  assert_int_equal(symlink("/etc", scratch_path("etc")), 0);
  assert_int_equal(symlink("/etc/passwd", scratch_path("passwd")), 0);
  refute_external("../../etc/passwd", NULL, NULL, "'../../etc/passwd': is no name inside the folder");
  refute_external("sub/../weights.bin", NULL, NULL, "is no name inside the folder");
  refute_external("..", NULL, NULL, "is no name inside the folder");
  refute_external("/etc/passwd", NULL, NULL, "is no name inside the folder");
  refute_external("passwd", NULL, NULL, "link");
  refute_external("etc/passwd", NULL, NULL, "link");
  refute_external("sub", NULL, NULL, "sub");
  refute_external("pipe", NULL, NULL, "pipe");
  refute_external("missing.bin", NULL, NULL, "missing.bin: No such file or directory");
  refute_external("pointer.bin", NULL, NULL, "'pointer.bin' is a Git LFS pointer, not the data");
  refute_external("", NULL, NULL, "the location of the external data is empty");
  refute_external("empty.bin", NULL, NULL, "16 bytes from byte 0 on are not in 'empty.bin', which has 0 bytes");
  refute_external("weights.bin", "20", NULL, "16 bytes from byte 20 on are not in 'weights.bin', which has 32 bytes");
  refute_external("weights.bin", "33", NULL, "16 bytes from byte 33 on are not in 'weights.bin', which has 32 bytes");
  refute_external("weights.bin", "18446744073709551615", NULL, "from byte 18446744073709551615 on are not in");
  refute_external("weights.bin", "18446744073709551616", NULL, "the offset of the external data is no number of bytes");
  refute_external("weights.bin", "-1", NULL, "the offset of the external data is no number of bytes");
  refute_external("weights.bin", "0x10", NULL, "the offset of the external data is no number of bytes");
  refute_external("weights.bin", "", NULL, "the offset of the external data is empty");
  refute_external("weights.bin", "0", "17", "external data of 17 bytes, the shape needs 16");
  refute_external("weights.bin", "0", "18446744073709551615", "the shape needs 16");
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(reads_external_data, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(fails_without_memory, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(refuses_external_data, scratch_setup, scratch_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
