/* SPDX-License-Identifier: Apache-2.0 */
#include "model/card.h"

#include "base/json.h"
#include "fault.h"
#include "golden.h"
#include "scratch.h"

#include <sys/stat.h>

static struct card card;

static int setup(void **state)
{
  struct error err = {0};
  return scratch_setup(state) == 0 && card_init(&card, &err) ? 0 : -1;
}

static int teardown(void **state)
{
  card_free(&card);
  return scratch_teardown(state);
}

static void start_again(void)
{
  struct error err = {0};
  card_free(&card);
  assert_true(card_init(&card, &err));
}

/* Write `text` as card.json and read it. */
static bool read_text(const char *text, struct error *err)
{
  scratch_file("card.json", text, strlen(text));
  start_again();
  return card_read(&card, scratch_path("card.json"), err);
}

static void expect_read(const char *text)
{
  struct error err = {0};
  if (!read_text(text, &err))
    fail_msg("%s: %s", text, err.message);
}

/* Reading `text` fails, and the message begins with the path and holds `words`. */
static void expect_refused(const char *text, const char *words)
{
  struct error err = {0};
  if (read_text(text, &err))
    fail_msg("%s was accepted", text);
  assert_int_equal(err.code, ERROR_FAILED);
  const char *path = scratch_path("card.json");
  if (strncmp(err.message, path, strlen(path)) != 0 || !strstr(err.message, words))
    fail_msg("%s: \"%s\" lacks \"%s\"", text, err.message, words);
}

static void expect_match(int64_t channels, int64_t height, int64_t width, int64_t classes)
{
  struct error err = {0};
  if (!card_check(&card, channels, height, width, classes, &err))
    fail_msg("%s", err.message);
}

static void expect_mismatch(int64_t channels, int64_t height, int64_t width, int64_t classes, const char *words)
{
  struct error err = {0};
  if (card_check(&card, channels, height, width, classes, &err))
    fail_msg("accepted; wanted: %s", words);
  if (!strstr(err.message, words))
    fail_msg("\"%s\" lacks \"%s\"", err.message, words);
}

static void expect_option(const char *key, const char *value)
{
  struct error err = {0};
  if (!card_set(&card, key, value, &err))
    fail_msg("%s=%s: %s", key, value, err.message);
}

static void has_defaults(void **state)
{
  (void)state;
  expect_read("{}");
  assert_int_equal(card.height, 0);
  assert_int_equal(card.channels, CHANNELS_UNSET);
  assert_float_equal(card.scale, 1, 0);
  assert_int_equal(card.interpolation, INTERPOLATION_BILINEAR);
  assert_int_equal(card.activation, ACTIVATION_UNSET);
  assert_int_equal(card.activation_in_graph, -1);
  assert_int_equal(card.normal, CARD_NORMAL_UNSET);
  expect_match(3, 24, 32, 5);
  assert_int_equal(card.height, 24);
  assert_int_equal(card.width, 32);
  assert_int_equal(card.channels, CHANNELS_RGB);
  assert_int_equal(card.channel_count, 3);
  assert_int_equal(card.resize, RESIZE_STRETCH);
  for (int c = 0; c < 3; c++) {
    assert_float_equal(card.mean[c], 0, 0);
    assert_float_equal(card.std[c], 1, 0);
  }
}

static void reads_every_key(void **state)
{
  (void)state;
  expect_read("{\"input\": {\"size\": [16, 24], \"channels\": \"bgr\", \"range\": [0, 4095], \"scale\": 0.5,"
              " \"mean\": [1, 2, 3], \"std\": [4, 5, 6], \"resize\": \"shortest-crop\", \"resize_to\": 40,"
              " \"interpolation\": \"bicubic\", \"dataset_mean\": [7, 8, 9], \"dataset_std\": 10},"
              " \"output\": {\"name\": \"p\", \"activation\": \"log_softmax\", \"activation_in_graph\": false,"
              " \"labels\": [\"a\", \"\xc3\xa4\"], \"thresholds\": [0.25, 1], \"normal\": \"\xc3\xa4\"},"
              " \"source\": {\"by\": [1]}, \"evaluation\": \"good\"}");
  expect_match(3, 0, 24, 2);
  assert_int_equal(card.height, 16);
  assert_int_equal(card.width, 24);
  assert_int_equal(card.channels, CHANNELS_BGR);
  assert_true(card.has_range);
  assert_float_equal(card.range[0], 0, 0);
  assert_float_equal(card.range[1], 4095, 0);
  assert_float_equal(card.scale, 0.5, 0);
  for (int c = 0; c < 3; c++) {
    assert_float_equal(card.mean[c], 1 + c, 0);
    assert_float_equal(card.std[c], 4 + c, 0);
    assert_float_equal(card.dataset_mean[c], 7 + c, 0);
    assert_float_equal(card.dataset_std[c], 10, 0); /* one value counts for all */
  }
  assert_int_equal(card.resize, RESIZE_SHORTEST_CROP);
  assert_int_equal(card.resize_to[0], 40);
  assert_int_equal(card.interpolation, INTERPOLATION_BICUBIC);
  assert_string_equal(card.output_name, "p");
  assert_int_equal(card.activation, ACTIVATION_LOG_SOFTMAX);
  assert_int_equal(card.activation_in_graph, 0);
  assert_int_equal(card.label_count, 2);
  assert_string_equal(card.labels[1], "\xc3\xa4");
  assert_float_equal(card.thresholds[0], 0.25, 0);
  assert_int_equal(card.normal, 1);
  assert_int_equal(json_integer_value(json_array_get(json_object_get(card.source, "by"), 0)), 1);
  assert_string_equal(json_string_value(card.evaluation), "good");
}

static void refuses_what_it_does_not_know(void **state)
{
  (void)state;
  static const struct {
    const char *card, *words;
  } cases[] = {
      {"", "empty"},
      {"{\"input\": {", "line 1"},
      {"[1]", "not an object"},
      {"{\"inptu\": {}}", "inptu: is no known key; did you mean 'input'?"},
      {"{\"input\": {\"chanels\": \"rgb\"}}", "input.chanels: is no known key; did you mean 'channels'?"},
      {"{\"input\": {\"labels\": []}}", "input.labels"},
      {"{\"output\": {\"Activation\": \"softmax\"}}", "did you mean 'activation'?"},
      {"{\"input\": 3}", "input: is not an object"},
      {"{\"output\": []}", "output: is not an object"},
      {"{\"input\": {\"scale\": 1, \"scale\": 2}}", "duplicate"},
      {"{\"input\": {\"size\": \"8x8\"}}", "input.size"},
      {"{\"input\": {\"size\": [8]}}", "input.size: [height, width] is wanted"},
      {"{\"input\": {\"size\": [8, 8, 8]}}", "input.size"},
      {"{\"input\": {\"size\": [8, 0]}}", "input.size: 0 is not a whole number of 1..32768 px"},
      {"{\"input\": {\"size\": [8, -3]}}", "-3 is not"},
      {"{\"input\": {\"size\": [8, 8.5]}}", "8.5 is not"},
      {"{\"input\": {\"size\": [8, 1e300]}}", "1e+300 is not"},
      {"{\"input\": {\"channels\": 3}}", "input.channels"},
      {"{\"input\": {\"channels\": \"RGB\"}}", "\"RGB\" is none of gray, rgb, bgr"},
      {"{\"input\": {\"range\": [0]}}", "input.range"},
      {"{\"input\": {\"range\": [255, 0]}}", "lo 255 is not below hi 0"},
      {"{\"input\": {\"scale\": \"small\"}}", "input.scale"},
      {"{\"input\": {\"scale\": 0}}", "input.scale: 0"},
      {"{\"input\": {\"mean\": {\"r\": 1}}}", "input.mean"},
      {"{\"input\": {\"mean\": []}}", "input.mean: the list is empty"},
      {"{\"input\": {\"mean\": [1, 2, 3, 4, 5]}}", "input.mean"},
      {"{\"input\": {\"mean\": [1, null, 3]}}", "input.mean[1]"},
      {"{\"input\": {\"std\": [1, 0, 1]}}", "input.std: 0 (channel 1) is not above 0"},
      {"{\"input\": {\"std\": -1}}", "input.std: -1"},
      {"{\"input\": {\"dataset_std\": 0}}", "input.dataset_std: 0"},
      {"{\"input\": {\"resize\": \"crop\"}}", "\"crop\" is none of stretch, shortest-crop, pad"},
      {"{\"input\": {\"resize_to\": 0}}", "input.resize_to: 0"},
      {"{\"input\": {\"interpolation\": \"cubic\"}}", "none of nearest, bilinear, bicubic, lanczos"},
      {"{\"output\": {\"name\": 1}}", "output.name"},
      {"{\"output\": {\"activation\": \"relu\"}}", "none of none, softmax, sigmoid, log_softmax"},
      {"{\"output\": {\"activation_in_graph\": 1}}", "output.activation_in_graph"},
      {"{\"output\": {\"labels\": []}}", "output.labels"},
      {"{\"output\": {\"labels\": \"a\"}}", "output.labels"},
      {"{\"output\": {\"labels\": [\"a\", 1]}}", "entry 1 is not a text"},
      {"{\"output\": {\"labels\": [\"a\"], \"labels_file\": \"l.txt\"}}", "both given"},
      {"{\"output\": {\"labels_file\": \"missing.txt\"}}", "output.labels_file: missing.txt"},
      {"{\"output\": {\"thresholds\": [0.5, 1.5]}}", "1.5 (class 1) is outside 0..1"},
      {"{\"output\": {\"thresholds\": [\"a\"]}}", "entry 0 is not a number"},
      {"{\"output\": {\"thresholds\": []}}", "output.thresholds"},
      {"{\"output\": {\"normal\": -1}}", "output.normal"},
      {"{\"output\": {\"normal\": [0]}}", "output.normal"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    expect_refused(cases[i].card, cases[i].words);
}

static void refuses_bad_files(void **state)
{
  (void)state;
  static const struct {
    const char *name, *words;
  } cases[] = {
      {"card_broken_json", "line 1"},
      {"card_deep_json", "depth"},
      {"card_empty", "empty"},
      {"card_labels_missing", "no_such_file.txt"},
      {"card_wrong_types", "input.size"},
      {"card_zero_std", "input.std: 0"},
      {"card_mean_length", "input.mean: 2 values for 3 channels"},
      {"card_wrong_size", "input.size: height 9, but the model takes 8"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char name[80];
    struct error err = {0};
    bool found = false;
    (void)snprintf(name, sizeof name, "bad/%s.onnx", cases[i].name);
    const char *model = shared_path(name);
    start_again();
    bool ok = card_find(&card, model, &found, &err) && card_check(&card, 3, 8, 8, 3, &err);
    assert_true(found);
    assert_false(ok);
    if (strncmp(err.message, model, strlen(model) - 4) != 0 || !strstr(err.message, cases[i].words))
      fail_msg("%s: \"%s\" lacks \"%s\"", name, err.message, cases[i].words);
  }
}

static void reads_the_cards_of_real_models(void **state)
{
  (void)state;
  static const struct {
    const char *name;
    int side, channels, classes;
    enum card_channels order;
    enum card_resize resize;
    enum activation activation;
    const char *first, *last;
  } cases[] = {
      {"cxr_pneumonia_cnn150", 150, 3, 1, CHANNELS_RGB, RESIZE_STRETCH, ACTIVATION_SIGMOID, "pneumonia", "pneumonia"},
      {"squeezenet_v1.0", 227, 3, 1000, CHANNELS_BGR, RESIZE_STRETCH, ACTIVATION_SOFTMAX, "tench, Tinca tinca",
       "toilet tissue, toilet paper, bathroom tissue"},
      {"mobilenet_v2_224", 224, 3, 1001, CHANNELS_RGB, RESIZE_STRETCH, ACTIVATION_SOFTMAX, "background",
       "toilet tissue, toilet paper, bathroom tissue"},
      {"mobilenet_v1_0.5_160", 160, 3, 1001, CHANNELS_RGB, RESIZE_STRETCH, ACTIVATION_SOFTMAX, "background",
       "toilet tissue, toilet paper, bathroom tissue"},
      {"resnet20_cifar10_bn", 32, 3, 10, CHANNELS_RGB, RESIZE_SHORTEST_CROP, ACTIVATION_SOFTMAX, "airplane", "truck"},
      {"vit_mnist", 28, 1, 10, CHANNELS_GRAY, RESIZE_PAD, ACTIVATION_SOFTMAX, "0", "9"},
      {"mnist_cnn_opset11", 28, 1, 2, CHANNELS_GRAY, RESIZE_PAD, ACTIVATION_LOG_SOFTMAX, "0", "1"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char name[80];
    struct error err = {0};
    bool found = false;
    (void)snprintf(name, sizeof name, "models/%s.onnx", cases[i].name);
    start_again();
    if (!card_find(&card, shared_path(name), &found, &err))
      fail_msg("%s", err.message);
    assert_true(found);
    expect_match(cases[i].channels, cases[i].side, cases[i].side, cases[i].classes);
    assert_int_equal(card.channels, cases[i].order);
    assert_int_equal(card.resize, cases[i].resize);
    assert_int_equal(card.activation, cases[i].activation);
    assert_int_equal(card.label_count, cases[i].classes);
    assert_string_equal(card.labels[0], cases[i].first);
    assert_string_equal(card.labels[cases[i].classes - 1], cases[i].last);
    assert_non_null(json_object_get(card.source, "licence"));
  }
}

static void expect_labels(const char *bytes, size_t size, size_t count, const char *const *labels)
{
  scratch_file("l.txt", bytes, size);
  expect_read("{\"output\": {\"labels_file\": \"l.txt\"}}");
  assert_int_equal(card.label_count, count);
  for (size_t i = 0; i < count; i++)
    assert_string_equal(card.labels[i], labels[i]);
}

static void reads_label_files(void **state)
{
  (void)state;
  const char *const ab[] = {"a b", "\xc3\xa4"}, *const gap[] = {"a", "", "c"}, *const one[] = {"\r"};
  expect_labels("a b\n\xc3\xa4\n", 7, 2, ab);
  expect_labels("a b\n\xc3\xa4", 6, 2, ab);
  expect_labels("a b\r\n\xc3\xa4\r\n", 9, 2, ab);
  expect_labels("\xef\xbb\xbf"
                "a b\n\xc3\xa4",
                9, 2, ab);
  expect_labels("a\n\nc\n", 5, 3, gap);
  expect_labels("\r\r\n", 3, 1, one);

  static const struct {
    const char *bytes;
    size_t size;
    const char *words;
  } bad[] = {{"", 0, "l.txt: the file is empty"},
             {"\xef\xbb\xbf", 3, "l.txt: the file is empty"},
             {"a\0b", 3, "zero byte"},
             {"a\n\xc3\n", 4, "not UTF-8"},
             {"\xff\xfe"
              "a",
              3, "not UTF-8"}};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    scratch_file("l.txt", bad[i].bytes, bad[i].size);
    expect_refused("{\"output\": {\"labels_file\": \"l.txt\"}}", bad[i].words);
  }
  static char lines[(1 << 20) + 2];
  memset(lines, '\n', sizeof lines);
  scratch_file("l.txt", lines, sizeof lines);
  expect_refused("{\"output\": {\"labels_file\": \"l.txt\"}}", "1048578 lines, more than 1048576");
}

static void label_files_stay_in_their_folder(void **state)
{
  (void)state;
  assert_int_equal(mkdir(scratch_path("sub"), 0700), 0);
  scratch_file("outside.txt", "x\n", 2);
  const char *text[] = {"{\"output\": {\"labels_file\": \"../outside.txt\"}}",
                        "{\"output\": {\"labels_file\": \"/etc/hostname\"}}",
                        "{\"output\": {\"labels_file\": \"link.txt\"}}"};
  assert_int_equal(symlink("../outside.txt", scratch_path("sub/link.txt")), 0);
  for (int i = 0; i < 3; i++) {
    struct error err = {0};
    scratch_file("sub/card.json", text[i], strlen(text[i]));
    start_again();
    assert_false(card_read(&card, scratch_path("sub/card.json"), &err));
    assert_non_null(strstr(err.message, "output.labels_file"));
    assert_null(card.labels);
  }
}

static void options_override_the_file(void **state)
{
  (void)state;
  scratch_file("l.txt", "x\ny\nz\n", 6);
  expect_read("{\"input\": {\"size\": [8, 8], \"mean\": [1, 2, 3]}, \"output\": {\"labels\": [\"a\"],"
              " \"activation\": \"none\", \"thresholds\": [0.1]}}");
  expect_option("size", "16x24");
  expect_option("channels", "bgr");
  expect_option("range", "0,1023");
  expect_option("scale", "0.25");
  expect_option("mean", "0.485,0.456,0.406");
  expect_option("std", "0.5");
  expect_option("resize", "shortest-crop");
  expect_option("resize-to", "40"); /* as the command line spells it */
  expect_option("interpolation", "lanczos");
  expect_option("crop_rounding", "down");
  expect_option("dataset_mean", "1,2,3");
  expect_option("dataset_std", "4,5,6");
  expect_option("output", "probabilities");
  expect_option("activation", "sigmoid");
  expect_option("activation_in_graph", "off");
  expect_option("labels", scratch_path("l.txt"));
  expect_option("thresholds", "0.25");
  expect_option("normal", "none above threshold");
  expect_option("source", "here");
  expect_option("evaluation", "none");
  expect_match(3, 16, 24, 3);
  assert_int_equal(card.height, 16);
  assert_int_equal(card.width, 24);
  assert_int_equal(card.channels, CHANNELS_BGR);
  assert_float_equal(card.range[1], 1023, 0);
  assert_float_equal(card.scale, 0.25, 0);
  assert_float_equal(card.mean[2], 0.406, 0);
  assert_float_equal(card.std[2], 0.5, 0);
  assert_int_equal(card.resize, RESIZE_SHORTEST_CROP);
  assert_int_equal(card.resize_to[0], 40);
  assert_int_equal(card.interpolation, INTERPOLATION_LANCZOS);
  assert_int_equal(card.crop_rounding, ROUNDING_DOWN);
  assert_float_equal(card.dataset_mean[1], 2, 0);
  assert_float_equal(card.dataset_std[1], 5, 0);
  assert_string_equal(card.output_name, "probabilities");
  assert_int_equal(card.activation, ACTIVATION_SIGMOID);
  assert_int_equal(card.activation_in_graph, 0);
  assert_string_equal(card.labels[2], "z");
  assert_int_equal(card.threshold_count, 3);
  assert_float_equal(card.thresholds[2], 0.25, 0);
  assert_int_equal(card.normal, CARD_NORMAL_NONE_ABOVE);
  assert_string_equal(json_string_value(card.source), "here");

  expect_option("size", "12");
  assert_int_equal(card.height, 12);
  assert_int_equal(card.width, 12);
  expect_option("activation_in_graph", "");
  assert_int_equal(card.activation_in_graph, 1);
}

static void every_option_is_known(void **state)
{
  (void)state;
  for (const struct card_option *o = card_options; o->name; o++) {
    struct error err = {0};
    if (!card_set(&card, o->name, "1", &err)) /* a wrong value, but never an unknown key */
      assert_null(strstr(err.message, "no such key"));
    assert_true(strlen(o->summary) > 0);
  }
}

static void refuses_wrong_options(void **state)
{
  (void)state;
  static const struct {
    const char *key, *value, *words;
  } cases[] = {
      {"chanels", "rgb", "chanels: no such key of the model card; did you mean 'channels'?"},
      {"zzzzzzzz", "1", "zzzzzzzz: no such key"},
      {"labels_file", "x", "labels_file: no such key"},
      {"size", "8x", "size: \"8x\" is not a size"},
      {"size", "8x8x8", "input.size"},
      {"size", "8,8", "is not a size"},
      {"mean", "0.4;0.5", "mean: \"0.4;0.5\" is not a list of numbers"},
      {"mean", "", "is not a list of numbers"},
      {"mean", "nan", "is not a list of numbers"},
      {"mean", "1,2,3,4,5", "input.mean"},
      {"std", "1,0,1", "input.std: 0 (channel 1)"},
      {"scale", "1e999", "scale: \"1e999\" is not a number"},
      {"scale", "0", "input.scale: 0"},
      {"activation", "relu", "none of"},
      {"activation", "\xff", "is not UTF-8"},
      {"activation_in_graph", "maybe", "is not on or off"},
      {"thresholds", "2", "outside 0..1"},
      {"normal", "", "output.normal"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct error err = {0};
    assert_false(card_set(&card, cases[i].key, cases[i].value, &err));
    assert_int_equal(err.code, ERROR_USAGE);
    if (!strstr(err.message, cases[i].words))
      fail_msg("%s=%s: \"%s\" lacks \"%s\"", cases[i].key, cases[i].value, err.message, cases[i].words);
  }
  struct error err = {0};
  assert_false(card_set(&card, "labels", scratch_path("none.txt"), &err));
  assert_non_null(strstr(err.message, "none.txt"));
}

static void checks_against_the_graph(void **state)
{
  (void)state;
  expect_read("{}");
  expect_mismatch(3, 0, 8, 1, "leaves its height open");
  expect_mismatch(3, 8, -1, 1, "leaves its width open");
  expect_read("{}");
  expect_mismatch(0, 8, 8, 1, "input.channels: the model leaves them open");
  expect_mismatch(5, 8, 8, 1, "takes 5 channels, outside 1..4");
  expect_mismatch(3, 40000, 8, 1, "height 40000 is more than 32768 px");
  expect_mismatch(3, 32768, 32768, 1, "is more than 67108864 px");
  expect_read("{\"input\": {\"channels\": \"gray\"}}");
  expect_mismatch(3, 8, 8, 1, "gray, but the model takes 3 channels");
  expect_match(1, 8, 8, 1);
  expect_read("{\"input\": {\"channels\": \"rgb\", \"size\": [8, 9]}}");
  expect_match(0, 0, 0, 0); /* a graph that says nothing */
  assert_int_equal(card.channel_count, 3);
  assert_int_equal(card.width, 9);
  expect_read("{\"input\": {\"std\": [1, 2]}}");
  expect_mismatch(3, 8, 8, 1, "input.std: 2 values for 3 channels");
  expect_read("{\"input\": {\"std\": [1, 2]}}");
  expect_match(2, 8, 8, 1);
  assert_int_equal(card.channels, CHANNELS_UNSET);
  assert_int_equal(card.channel_count, 2);
  expect_read("{\"input\": {\"dataset_mean\": [1, 2, 3]}}");
  expect_mismatch(1, 8, 8, 1, "input.dataset_mean: 3 values for 1 channel");
  expect_read("{\"output\": {\"labels\": [\"a\", \"b\"]}}");
  expect_mismatch(1, 8, 8, 3, "2 labels for 3 classes");
  expect_mismatch(1, 8, 8, 1, "named by output.normal");
  expect_read("{\"output\": {\"thresholds\": [0.1, 0.2]}}");
  expect_mismatch(1, 8, 8, 3, "2 values for 3 classes");
}

static void resolves_the_healthy_class(void **state)
{
  (void)state;
  expect_read("{\"output\": {\"labels\": [\"1\", \"0\", \"ok\"], \"normal\": \"ok\"}}");
  expect_match(1, 8, 8, 3);
  assert_int_equal(card.normal, 2);
  expect_option("normal", "0"); /* a label goes before an index */
  expect_match(1, 8, 8, 3);
  assert_int_equal(card.normal, 1);
  expect_option("normal", "2");
  expect_match(1, 8, 8, 3);
  assert_int_equal(card.normal, 2);
  expect_option("normal", "3");
  expect_mismatch(1, 8, 8, 3, "\"3\" is none of the 3 labels");
  expect_option("normal", "healthy");
  expect_mismatch(1, 8, 8, 3, "\"healthy\" is none of the 3 labels");
  expect_read("{\"output\": {\"normal\": 0}}"); /* a number is an index */
  expect_match(1, 8, 8, 3);
  assert_int_equal(card.normal, 0);
  expect_read("{\"output\": {\"normal\": 3}}");
  expect_mismatch(1, 8, 8, 3, "class 3 is outside 0..2");
  expect_read("{\"output\": {\"normal\": \"healthy\", \"labels\": [\"ill\"], \"activation\": \"sigmoid\"}}");
  expect_match(1, 8, 8, 1);
  assert_true(card.has_complement);
  assert_string_equal(card.complement, "healthy");
  assert_int_equal(card.normal, CARD_NORMAL_NONE_ABOVE);
  expect_read("{\"output\": {\"normal\": \"healthy\", \"activation\": \"softmax\"}}");
  expect_mismatch(1, 8, 8, 1, "\"healthy\" is none of");
}

static void resize_to_implies_the_way_of_resizing(void **state)
{
  (void)state;
  expect_read("{\"input\": {\"resize_to\": 40}}");
  expect_match(3, 32, 32, 2);
  assert_int_equal(card.resize, RESIZE_SHORTEST_CROP);
  expect_read("{\"input\": {\"resize_to\": [40, 50]}}");
  expect_match(3, 32, 32, 2);
  assert_int_equal(card.resize, RESIZE_STRETCH);
  assert_int_equal(card.resize_to[1], 50);
  expect_read("{\"input\": {\"resize\": \"pad\", \"resize_to\": 40}}");
  expect_mismatch(3, 32, 32, 2, "resize is pad, not shortest-crop");
  expect_read("{\"input\": {\"resize\": \"shortest-crop\", \"resize_to\": [40, 40]}}");
  expect_mismatch(3, 32, 32, 2, "stretches before the centre crop");
  /* an option overrides what the file said, two options contradict each other */
  expect_read("{\"input\": {\"resize\": \"pad\"}}");
  expect_option("resize_to", "40");
  expect_match(3, 32, 32, 2);
  assert_int_equal(card.resize, RESIZE_SHORTEST_CROP);
  expect_read("{\"input\": {\"resize_to\": 40}}");
  expect_option("resize", "pad");
  expect_match(3, 32, 32, 2);
  assert_int_equal(card.resize, RESIZE_PAD);
  assert_int_equal(card.resize_to[0], 0);
  expect_option("resize_to", "40x40");
  expect_mismatch(3, 32, 32, 2, "resize is pad");
}

/* What card_json writes is read again as the same card. */
static void writes_what_it_reads(void **state)
{
  (void)state;
  static const char *const cards[] = {
      "{}",
      "{\"input\": {\"size\": [16, 24], \"channels\": \"bgr\", \"range\": [0, 4095], \"scale\": 0.00392156862745098,"
      " \"mean\": [1, 2, 3], \"std\": 4, \"resize_to\": 40, \"crop_rounding\": \"down\", \"interpolation\": "
      "\"nearest\", \"dataset_mean\": 5,"
      " \"dataset_std\": [7, 8, 9]}, \"output\": {\"name\": \"p\", \"activation\": \"sigmoid\","
      " \"activation_in_graph\": true, \"labels\": [\"a\"], \"thresholds\": 0.25, \"normal\": \"b\"},"
      " \"source\": {\"by\": [1]}, \"evaluation\": \"good\"}",
      "{\"input\": {\"resize_to\": [40, 50]}, \"output\": {\"normal\": 0}}",
  };
  for (size_t i = 0; i < sizeof cards / sizeof cards[0]; i++)
    for (int checked = 0; checked < 2; checked++) {
      struct error err = {0};
      expect_read(cards[i]);
      if (checked)
        expect_match(3, 16, 24, 1);
      json_t *first = card_json(&card);
      assert_non_null(first);
      assert_true(json_write_path(first, scratch_path("again.json"), &err));
      start_again();
      if (!card_read(&card, scratch_path("again.json"), &err))
        fail_msg("%s", err.message);
      if (checked)
        expect_match(3, 16, 24, 1);
      json_t *second = card_json(&card);
      assert_true(json_equal(first, second));
      json_decref(first);
      json_decref(second);
    }
}

static void finds_what_lies_beside_the_model(void **state)
{
  (void)state;
  struct error err = {0};
  bool found = true;
  assert_true(card_find(&card, scratch_path("m.onnx"), &found, &err));
  assert_false(found);
  static const char preprocessor[] = "{\"size\": 16}", config[] = "{\"id2label\": {\"0\": \"cat\"}}";
  static const char own[] = "{\"input\": {\"size\": [8, 8]}}";
  assert_int_equal(mkdir(scratch_path("onnx"), 0700), 0);
  scratch_file("preprocessor_config.json", preprocessor, strlen(preprocessor));
  scratch_file("config.json", config, strlen(config));
  static const char *const models[] = {"m.onnx", "onnx/m.onnx"};
  for (int i = 0; i < 2; i++) {
    start_again();
    assert_true(card_find(&card, scratch_path(models[i]), &found, &err));
    assert_true(found);
    assert_int_equal(card.width, 16);
    assert_int_equal(card.label_count, 1);
    assert_non_null(strstr(card.path, "preprocessor_config.json"));
  }
  start_again();
  assert_true(card_read(&card, scratch_path("preprocessor_config.json"), &err)); /* --card FILE */
  assert_int_equal(card.label_count, 1);
  scratch_file("m.json", own, strlen(own));
  start_again();
  assert_true(card_find(&card, scratch_path("m.onnx"), &found, &err));
  assert_true(found);
  assert_int_equal(card.width, 8);
  start_again();
  assert_true(card_find(&card, scratch_path("m"), &found, &err)); /* no ending */
  assert_int_equal(card.width, 8);
}

/* Hugging Face: text in, error or card out. What the classes compute is compared in test_preprocess. */

static bool read_hf(const char *preprocessor, const char *config, struct error *err)
{
  scratch_file("preprocessor_config.json", preprocessor, strlen(preprocessor));
  if (config)
    scratch_file("config.json", config, strlen(config));
  start_again();
  return card_read_huggingface(&card, scratch_path("preprocessor_config.json"),
                               config ? scratch_path("config.json") : NULL, err);
}

static void reads_huggingface_labels(void **state)
{
  (void)state;
  static const struct {
    const char *config;
    enum activation activation;
  } cases[] = {
      {"{\"id2label\": {\"1\": \"b\", \"0\": \"a\"}, \"problem_type\": \"multi_label_classification\", \"x\": 1}",
       ACTIVATION_SIGMOID},
      {"{\"id2label\": {\"0\": \"a\", \"1\": \"b\"}, \"problem_type\": \"single_label_classification\"}",
       ACTIVATION_SOFTMAX},
      {"{\"id2label\": {\"0\": \"a\", \"1\": \"b\"}}", ACTIVATION_SOFTMAX},
      {"{\"id2label\": {\"0\": \"a\", \"1\": \"b\"}, \"problem_type\": \"regression\"}", ACTIVATION_NONE},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct error err = {0};
    if (!read_hf("{\"size\": 8}", cases[i].config, &err))
      fail_msg("%s", err.message);
    assert_int_equal(card.label_count, 2);
    assert_string_equal(card.labels[0], "a");
    assert_string_equal(card.labels[1], "b");
    assert_int_equal(card.activation, cases[i].activation);
    assert_int_equal(card.activation_in_graph, -1);
  }
  struct error err = {0};
  assert_true(read_hf("{\"size\": 8}", "{\"id2label\": {\"0\": \"a\"}}", &err));
  assert_int_equal(card.activation, ACTIVATION_SIGMOID);
}

static void refuses_what_huggingface_does_otherwise(void **state)
{
  (void)state;
  static const struct {
    const char *preprocessor, *config, *words;
  } cases[] = {
      {"[]", NULL, "not an object"},
      {"{\"size\": \"big\"}", NULL, "size: a number of px or an object is wanted"},
      {"{\"size\": 0}", NULL, "size: 0"},
      {"{\"size\": {\"height\": 8}}", NULL, "size: 0 is not"},
      {"{\"size\": {\"longest_edge\": 8}}", NULL, "size.longest_edge"},
      {"{\"size\": {\"shortest_edge\": 8}}", NULL, "do_center_crop is off"},
      {"{\"size\": 8, \"do_center_crop\": true}", NULL, "crop_size: missing"},
      {"{\"crop_size\": 8, \"do_center_crop\": true}", NULL, "size: missing"},
      {"{\"size\": 8, \"crop_size\": 8, \"do_center_crop\": true, \"do_resize\": false}", NULL, "without a resize"},
      {"{\"size\": 8, \"crop_size\": {\"shortest_edge\": 8}, \"do_center_crop\": true}", NULL, "crop_size"},
      {"{\"size\": 8, \"crop_pct\": 2}", NULL, "crop_pct: 2"},
      {"{\"size\": 300, \"crop_pct\": 0.001}", NULL, "more than 32768"},
      {"{\"size\": 8, \"do_pad\": true}", NULL, "do_pad: this step has no counterpart"},
      {"{\"size\": 8, \"image_processor_type\": \"PerceiverImageProcessor\"}", NULL, "Perceiver"},
      {"{\"size\": 8, \"resample\": 5}", NULL, "resample: 5"},
      {"{\"size\": 8, \"resample\": -1}", NULL, "resample: -1"},
      {"{\"size\": 8, \"do_normalize\": true}", NULL, "image_mean: missing"},
      {"{\"size\": 8, \"image_mean\": 0}", NULL, "image_std: missing"},
      {"{\"size\": 8, \"image_mean\": [0], \"image_std\": [0]}", NULL, "image_std: 0"},
      {"{\"size\": 8, \"rescale_factor\": 0}", NULL, "rescale_factor: 0"},
      {"{\"size\": 8, \"rescale_offset\": true}", NULL, "rescale_offset"},
      {"{\"size\": 8, \"image_mean\": 0, \"image_std\": 1, \"do_flip_channel_order\": true}", NULL, "image_mean"},
      {"{\"size\": 8, \"do_resize\": \"yes\"}", NULL, "do_resize"},
      {"{\"size\": 8}", "{\"id2label\": []}", "id2label"},
      {"{\"size\": 8}", "{\"id2label\": {}}", "id2label"},
      {"{\"size\": 8}", "{\"id2label\": {\"1\": \"a\"}}", "\"1\" is not one of the indices 0..0"},
      {"{\"size\": 8}", "{\"id2label\": {\"0\": \"a\", \"00\": \"b\"}}", "each once"},
      {"{\"size\": 8}", "{\"id2label\": {\"-1\": \"a\"}}", "\"-1\""},
      {"{\"size\": 8}", "{\"id2label\": {\"0\": 5}}", "the label of 0 is not a text"},
      {"{\"size\": 8}", "{\"problem_type\": \"guess\"}", "problem_type: \"guess\""},
      {"{\"size\": 8}", "{", "config.json: line 1"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct error err = {0};
    if (read_hf(cases[i].preprocessor, cases[i].config, &err))
      fail_msg("%s was accepted", cases[i].preprocessor);
    const char *path = cases[i].config ? scratch_path("config.json") : scratch_path("preprocessor_config.json");
    if (strncmp(err.message, path, strlen(path)) != 0 || !strstr(err.message, cases[i].words))
      fail_msg("%s: \"%s\" lacks \"%s\"", cases[i].preprocessor, err.message, cases[i].words);
  }
}

static bool has_note(const json_t *notes, const char *words)
{
  size_t i;
  json_t *text;
  json_array_foreach (notes, i, text)
    if (strstr(json_string_value(text), words))
      return true;
  return false;
}

static void drafts_a_card(void **state)
{
  (void)state;
  static const struct card_graph graphs[] = {
      {3, 224, 224, 10, ACTIVATION_SOFTMAX, NULL},
      {1, 0, 0, 1, ACTIVATION_NONE, "scores"},
      {0, 32, 32, 1000, ACTIVATION_UNSET, NULL},
      {4, 8, 8, 0, ACTIVATION_SIGMOID, NULL},
  };
  for (size_t i = 0; i < sizeof graphs / sizeof graphs[0]; i++) {
    const struct card_graph *g = &graphs[i];
    struct error err = {0};
    json_t *draft, *notes;
    assert_true(card_draft(g, &draft, &notes, &err));
    assert_true(json_write_path(draft, scratch_path("draft.json"), &err));
    start_again();
    if (!card_read(&card, scratch_path("draft.json"), &err)) /* a draft is a card */
      fail_msg("%s", err.message);
    expect_match(g->channels, g->height, g->width, g->classes);
    bool known = g->activation > ACTIVATION_NONE;
    assert_int_equal(card.activation, known ? g->activation : ACTIVATION_NONE);
    assert_int_equal(card.activation_in_graph, known ? 1 : -1);
    assert_int_equal(has_note(notes, "output.activation"), !known);
    assert_int_equal(has_note(notes, "input.size"), g->height == 0);
    assert_int_equal(has_note(notes, "input.channels"), g->channels != 1 && g->channels != 4);
    assert_true(has_note(notes, "input.scale"));
    assert_true(has_note(notes, "input.mean"));
    assert_true(has_note(notes, "input.resize"));
    assert_int_equal(has_note(notes, "output.labels:"), g->classes == 10 || g->classes == 1);
    assert_int_equal(has_note(notes, "output.labels_file:"), g->classes == 1000 || g->classes == 0);
    assert_true(json_equal(notes, json_object_get(card.source, "guessed")));
    if (g->output_name)
      assert_string_equal(card.output_name, g->output_name);
    json_decref(draft);
    json_decref(notes);
  }
}

static bool init_and_read(const char *path, struct error *err)
{
  card_free(&card);
  return card_init(&card, err) && card_read(&card, path, err);
}

static bool init_and_find(const char *path, struct error *err)
{
  bool found;
  card_free(&card);
  return card_init(&card, err) && card_find(&card, path, &found, err) && card_check(&card, 3, 8, 8, 2, err);
}

static bool written(json_t **out, struct error *err)
{
  *out = card_json(&card);
  return *out ? true : error_memory(err, "the card");
}

static void survives_want_of_memory(void **state)
{
  (void)state;
  static const char full[] =
      "{\"input\": {\"size\": [8, 8], \"channels\": \"rgb\", \"mean\": [1, 2, 3], \"std\": [4, 5, 6]},"
      " \"output\": {\"labels_file\": \"l.txt\", \"activation\": \"sigmoid\", \"thresholds\": 0.5, \"normal\": \"y\"},"
      " \"source\": {\"by\": [1]}}";
  static const char preprocessor[] = "{\"size\": 8, \"image_mean\": [0, 0, 0], \"image_std\": [1, 1, 1]}";
  static const char config[] = "{\"id2label\": {\"0\": \"cat\", \"1\": \"dog\"}}";
  scratch_file("card.json", full, strlen(full));
  scratch_file("l.txt", "x\ny\n", 4);
  scratch_file("preprocessor_config.json", preprocessor, strlen(preprocessor));
  scratch_file("config.json", config, strlen(config));
  FAULT_LOOP(init_and_read(scratch_path("card.json"), &err), (void)0);
  FAULT_LOOP(init_and_find(scratch_path("card.onnx"), &err), (void)0);
  FAULT_LOOP(init_and_find(scratch_path("other.onnx"), &err), (void)0);
  FAULT_LOOP(card_set(&card, "mean", "1,2,3", &err), (void)0);
  FAULT_LOOP(card_set(&card, "normal", "x", &err), (void)0);
  json_t *json, *notes;
  FAULT_LOOP(written(&json, &err), json_decref(json));
  const struct card_graph graph = {3, 8, 8, 2, ACTIVATION_NONE, "p"};
  FAULT_LOOP(card_draft(&graph, &json, &notes, &err), (json_decref(json), json_decref(notes)));
}

#define WITH_CARD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      WITH_CARD(has_defaults),
      WITH_CARD(reads_every_key),
      WITH_CARD(refuses_what_it_does_not_know),
      WITH_CARD(refuses_bad_files),
      WITH_CARD(reads_the_cards_of_real_models),
      WITH_CARD(reads_label_files),
      WITH_CARD(label_files_stay_in_their_folder),
      WITH_CARD(options_override_the_file),
      WITH_CARD(every_option_is_known),
      WITH_CARD(refuses_wrong_options),
      WITH_CARD(checks_against_the_graph),
      WITH_CARD(resolves_the_healthy_class),
      WITH_CARD(resize_to_implies_the_way_of_resizing),
      WITH_CARD(writes_what_it_reads),
      WITH_CARD(finds_what_lies_beside_the_model),
      WITH_CARD(reads_huggingface_labels),
      WITH_CARD(refuses_what_huggingface_does_otherwise),
      WITH_CARD(drafts_a_card),
      WITH_CARD(survives_want_of_memory),
  };
  fault_include_jansson();
  return cmocka_run_group_tests_name("card", tests, NULL, NULL);
}
