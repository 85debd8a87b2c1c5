/* SPDX-License-Identifier: Apache-2.0 */
#include "model/preprocess.h"

#include "base/npy.h"
#include "base/rng.h"
#include "fault.h"
#include "golden.h"
#include "scratch.h"

#include <math.h>

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

/* Options, ended by NULL, and the graph's sizes. */
static void make_card(int channels, int height, int width, const char *const *options)
{
  struct error err = {0};
  start_again();
  for (; options && options[0]; options += 2)
    if (!card_set(&card, options[0], options[1], &err))
      fail_msg("%s", err.message);
  if (!card_check(&card, channels, height, width, 1, &err))
    fail_msg("%s", err.message);
}

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct image picture(int width, int height, int channels, enum pixel_type type)
{
  struct error err = {0};
  struct image image = {0};
  assert_true(image_new(&image, width, height, channels, type, &err));
  size_t n = (size_t)width * height * channels;
  for (size_t i = 0; i < n; i++) {
    double v = rng_uniform(5, RNG_NOISE, 0, i);
    if (type == PIXEL_U8)
      ((uint8_t *)image.data)[i] = (uint8_t)(v * 255);
    else if (type == PIXEL_U16)
      ((uint16_t *)image.data)[i] = (uint16_t)(v * 65535);
    else
      ((float *)image.data)[i] = (float)v;
  }
  return image;
}

static struct image read_picture(const char *path)
{
  struct error err = {0};
  struct image image = {0};
  if (!image_read(path, &image, &err))
    fail_msg("%s", err.message);
  return image;
}

static struct input prepare(const struct image *image)
{
  struct error err = {0};
  struct input input;
  if (!preprocess(&card, image, &input, &err))
    fail_msg("%s", err.message);
  return input;
}

/* Every `step`-th value of x against stored [C,H,W] or [1,C,H,W]: |difference| <= relative * |value| + absolute. */
static void expect_tensor(const char *name, const struct input *input, const char *path, int step, double relative,
                          double absolute)
{
  struct error err = {0};
  struct npy want;
  if (!npy_read(path, 1 << 24, &want, &err))
    fail_msg("%s", err.message);
  assert_int_equal(want.type, NPY_F32);
  const int64_t *dim = want.dim + (want.rank == 4);
  const struct geometry *g = &input->geometry;
  assert_int_equal(dim[0], input->channels);
  assert_int_equal(dim[1], (g->height + step - 1) / step);
  assert_int_equal(dim[2], (g->width + step - 1) / step);
  const float *w = want.data;
  for (int c = 0; c < dim[0]; c++)
    for (int y = 0; y < g->height; y += step)
      for (int x = 0; x < g->width; x += step, w++) {
        double got = input->x[((size_t)y * g->width + x) * input->channels + c];
        if (!(fabs(got - *w) <= relative * fabs(*w) + absolute))
          fail_msg("%s: channel %d, row %d, column %d: %.9g, not %.9g", name, c, y, x, got, *w);
      }
  npy_free(&want);
}

static void equals_pillow_and_torchvision(void **state)
{
  (void)state;
  static const char *const names[] = {"resize_to_wide", "resize_to_tall",  "resize_to_rest3", "resize_to_rest1",
                                      "resize_to_same", "resize_to_small", "resize_to_both",  "resize_to_gray",
                                      "stretch",        "stretch_same",    "crop_wide",       "crop_tall",
                                      "crop_enlarge",   "pad_wide",        "pad_tall",        "deep",
                                      "deep_range",     "deep_pad",        "range_8bit"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    struct error err = {0};
    char file[64];
    start_again();
    (void)snprintf(file, sizeof file, "%s.json", names[i]);
    if (!card_read(&card, golden_path("preprocess", file), &err) || !card_check(&card, 0, 0, 0, 1, &err))
      fail_msg("%s", err.message);
    struct image image = read_picture(golden_path("preprocess", json_string_value(card.source)));
    struct input input = prepare(&image);
    (void)snprintf(file, sizeof file, "%s.npy", names[i]);
    expect_tensor(names[i], &input, golden_path("preprocess", file), 1, 2e-7, image.type == PIXEL_U8 ? 0 : 1e-6);
    input_free(&input);
    image_free(&image);
  }
}

static void equals_transformers(void **state)
{
  (void)state;
  static const char *const names[] = {"vit",
                                      "vit_old",
                                      "deit_old",
                                      "beit",
                                      "clip",
                                      "clip_old",
                                      "bit",
                                      "small",
                                      "convnext_small",
                                      "convnext_old",
                                      "convnext_large",
                                      "mobilenet_v2",
                                      "mobilevit",
                                      "levit",
                                      "poolformer",
                                      "efficientnet",
                                      "efficientnet_offset",
                                      "siglip"};
  struct image image = read_picture(golden_path("preprocess", "wide.png"));
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    struct error err = {0};
    char file[64];
    start_again();
    (void)snprintf(file, sizeof file, "%s/preprocessor_config.json", names[i]);
    if (!card_read(&card, golden_path("hf", file), &err) || !card_check(&card, 3, 0, 0, 1, &err))
      fail_msg("%s", err.message);
    struct input input = prepare(&image);
    (void)snprintf(file, sizeof file, "%s.npy", names[i]);
    /* transformers computes in float32 */
    expect_tensor(names[i], &input, golden_path("hf", file), 1 + card.height / 64, 1e-6, 1e-6);
    input_free(&input);
  }
  image_free(&image);
}

static void equals_the_tensors_of_real_models(void **state)
{
  (void)state;
  static const struct {
    const char *model, *folder, *image, *ending;
    int channels, side, classes;
  } cases[] = {{"cxr_pneumonia_cnn150", "xray", "pneumonia_person1405_bacteria_3571", "jpeg", 3, 150, 1},
               {"resnet20_cifar10_bn", "photos", "chelsea", "png", 3, 32, 10},
               {"vit_mnist", "digits", "nine", "png", 1, 28, 10}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct error err = {0};
    char file[200];
    bool found;
    start_again();
    (void)snprintf(file, sizeof file, "models/%s.onnx", cases[i].model);
    if (!card_find(&card, shared_path(file), &found, &err) ||
        !card_check(&card, cases[i].channels, cases[i].side, cases[i].side, cases[i].classes, &err))
      fail_msg("%s", err.message);
    (void)snprintf(file, sizeof file, "images/%s/%s.%s", cases[i].folder, cases[i].image, cases[i].ending);
    struct image image = read_picture(shared_path(file));
    struct input input = prepare(&image);
    (void)snprintf(file, sizeof file, "expected/tensors/%s__%s.input.npy", cases[i].model, cases[i].image);
    expect_tensor(cases[i].model, &input, shared_path(file), 1, 1e-6, 0);
    input_free(&input);
    image_free(&image);
  }
}

static void keeps_image_units(void **state)
{
  (void)state;
  struct error err = {0};
  /* u holds the source's own codes in the model's channel order; x follows from u alone */
  struct image image = picture(9, 7, 3, PIXEL_U16);
  image.spacing_x = 0.5;
  image.spacing_y = 0.25;
  make_card(3, 7, 9, OPTIONS("channels", "bgr", "scale", "0.01", "mean", "1,2,3", "std", "2,3,4"));
  struct input input = prepare(&image);
  assert_float_equal(input.lo, 0, 0);
  assert_float_equal(input.hi, 65535, 0);
  assert_float_equal(input.spacing_x, 0.5, 0);
  assert_float_equal(input.spacing_y, 0.25, 0);
  for (int i = 0; i < 63; i++)
    for (int c = 0; c < 3; c++) {
      double code = ((const uint16_t *)image.data)[i * 3 + 2 - c];
      assert_float_equal(input.u[i * 3 + c], code, 0);
      assert_float_equal(input.x[i * 3 + c], preprocess_value(&card, &input, c, code), 0);
      assert_float_equal(input.x[i * 3 + c], (code * 255 / 65535 * 0.01 - (1 + c)) / (2 + c), 1e-6);
    }
  input_free(&input);
  make_card(3, 14, 18, OPTIONS("range", "1000,2000"));
  input = prepare(&image);
  assert_float_equal(input.lo, 1000, 0);
  assert_float_equal(input.hi, 2000, 0);
  assert_float_equal(input.spacing_x, 0.25, 0);
  assert_float_equal(input.spacing_y, 0.125, 0);
  assert_float_equal(preprocess_value(&card, &input, 0, 1000), 0, 0);
  assert_float_equal(preprocess_value(&card, &input, 0, 2000), 255, 0);
  input_free(&input);

  /* what the pad shows is black, whatever the codes are */
  image.lo = 100;
  image.hi = 200;
  make_card(3, 9, 9, OPTIONS("resize", "pad"));
  input = prepare(&image);
  assert_float_equal(input.u[0], 100, 0);
  assert_float_equal(input.x[0], 0, 0);
  input_free(&input);

  image.hi = 100;
  assert_false(preprocess(&card, &image, &input, &err));
  assert_non_null(strstr(err.message, "black 100 is not below its white 100"));
  assert_null(input.u);
  image_free(&image);
}

static void takes_arrays_as_they_are(void **state)
{
  (void)state;
  struct image image = picture(5, 4, 2, PIXEL_F32);
  image.preprocessed = true;
  make_card(2, 4, 5, NULL);
  struct input input = prepare(&image);
  assert_true(input.preprocessed);
  assert_memory_equal(input.u, image.data, 40 * sizeof(float));
  assert_memory_equal(input.x, image.data, 40 * sizeof(float));
  assert_float_equal(preprocess_value(&card, &input, 1, -3.5), -3.5, 0);
  json_t *json = preprocess_json(&card, &input);
  assert_true(json_is_true(json_object_get(json, "preprocessed")));
  json_decref(json);
  input_free(&input);

  static const struct {
    int channels, height, width;
  } others[] = {{3, 4, 5}, {2, 5, 5}, {2, 4, 4}};
  for (int i = 0; i < 3; i++) {
    struct error err = {0};
    make_card(others[i].channels, others[i].height, others[i].width, NULL);
    assert_false(preprocess(&card, &image, &input, &err));
    assert_non_null(strstr(err.message, "an array of [2, 4, 5]: the model takes ["));
  }
  image_free(&image);
}

static void refuses_what_does_not_fit(void **state)
{
  (void)state;
  struct input input;
  struct error err = {0}, thin = {0}, two = {0};
  struct image image = picture(20000, 1, 1, PIXEL_U8);
  make_card(1, 64, 64, OPTIONS("resize", "shortest-crop"));
  assert_false(preprocess(&card, &image, &input, &err)); /* 1280000 x 64 px */
  assert_non_null(strstr(err.message, "would be resized to 1280000x64 px"));
  make_card(1, 64, 64, OPTIONS("resize", "pad")); /* 64 x 1 px at the least */
  input = prepare(&image);
  assert_int_equal(input.geometry.resized_height, 1);
  input_free(&input);
  make_card(1, 64, 64, OPTIONS("resize_to", "30000"));
  assert_false(preprocess(&card, &image, &input, &thin));
  assert_non_null(strstr(thin.message, "would be resized"));
  image_free(&image);
  image = picture(4, 4, 1, PIXEL_U8);
  make_card(2, 4, 4, NULL);
  assert_false(preprocess(&card, &image, &input, &two));
  assert_non_null(strstr(two.message, "takes only arrays"));
  image_free(&image);
}

static void places_other_pictures(void **state)
{
  (void)state;
  struct error err = {0};
  struct image first = picture(20, 16, 1, PIXEL_U16), second = picture(31, 23, 3, PIXEL_U8);
  first.lo = 1000;
  first.hi = 1510;
  make_card(3, 12, 12, OPTIONS("resize", "pad", "channels", "bgr"));
  struct input like = prepare(&first), own = prepare(&second);
  static float u[12 * 12 * 3];
  assert_true(preprocess_place(&card, &second, &like, u, &err));
  for (int i = 0; i < 12 * 12 * 3; i++) /* black to black and white to white */
    assert_float_equal(u[i], own.u[i] * 2 + 1000, 1e-3);
  assert_true(preprocess_place(&card, &first, &like, u, &err));
  assert_memory_equal(u, like.u, sizeof u);

  /* on a grid of model values other pictures become model values too */
  struct image array = picture(12, 12, 3, PIXEL_F32);
  array.preprocessed = true;
  assert_false(preprocess_place(&card, &array, &like, u, &err));
  assert_non_null(strstr(err.message, "cannot stand in for pixels"));
  struct input values = prepare(&array);
  err = (struct error){0};
  assert_true(preprocess_place(&card, &second, &values, u, &err));
  assert_memory_equal(u, own.x, sizeof u);
  assert_true(preprocess_place(&card, &array, &values, u, &err));
  assert_memory_equal(u, array.data, sizeof u);
  array.width = 11;
  assert_false(preprocess_place(&card, &array, &values, u, &err));

  /* with a range in the card the codes count as they are */
  make_card(3, 12, 12, OPTIONS("range", "0,1000"));
  struct input ranged = prepare(&first), other = prepare(&second);
  err = (struct error){0};
  assert_true(preprocess_place(&card, &second, &ranged, u, &err));
  assert_memory_equal(u, other.u, sizeof u);

  input_free(&like);
  input_free(&own);
  input_free(&values);
  input_free(&ranged);
  input_free(&other);
  image_free(&first);
  image_free(&second);
  array.width = 12;
  image_free(&array);
}

/* The way back. Geometries of all kinds, made as preprocess makes them. */
static struct geometry geometry_of(int source_width, int source_height, int width, int height, const char *key,
                                   const char *value)
{
  struct image image = picture(source_width, source_height, 1, PIXEL_U8);
  make_card(1, height, width, OPTIONS(key, value));
  struct input input = prepare(&image);
  struct geometry g = input.geometry;
  input_free(&input);
  image_free(&image);
  return g;
}

static const struct {
  int source_width, source_height, width, height;
  const char *key, *value;
} kinds[] = {
    {13, 11, 13, 11, "resize", "stretch"},       /* identity */
    {26, 33, 13, 11, "resize", "stretch"},       /* shrunk by 2 and by 3 */
    {5, 4, 15, 16, "resize", "stretch"},         /* enlarged */
    {40, 22, 11, 11, "resize", "shortest-crop"}, /* left and right cut off */
    {22, 47, 11, 11, "resize", "shortest-crop"}, /* top and bottom cut off */
    {30, 20, 15, 15, "resize", "pad"},           /* black above and below */
    {7, 20, 16, 16, "resize", "pad"},            /* black left and right */
    {61, 47, 24, 20, "resize_to", "29"},         /* resized, then cut on all sides */
    {40, 53, 25, 27, "resize_to", "20"},         /* padded across, cut along */
    {17, 19, 9, 8, "resize_to", "12x14"},
};
enum { KINDS = sizeof kinds / sizeof kinds[0], MOST = 64 * 64 };

static struct geometry kind(size_t i)
{
  return geometry_of(kinds[i].source_width, kinds[i].source_height, kinds[i].width, kinds[i].height, kinds[i].key,
                     kinds[i].value);
}

static void identity_changes_nothing(void **state)
{
  (void)state;
  static float map[MOST], heat[MOST], back[MOST];
  static unsigned char coverage[MOST];
  struct geometry g = kind(0);
  for (int i = 0; i < 143; i++)
    map[i] = (float)rng_normal(3, RNG_NOISE, 0, (uint64_t)i);
  preprocess_to_source(&g, map, heat, coverage);
  assert_memory_equal(heat, map, 143 * sizeof *map);
  for (int i = 0; i < 143; i++)
    assert_int_equal(coverage[i], 1);
  preprocess_to_model(&g, heat, back, false);
  assert_memory_equal(back, map, 143 * sizeof *map);
  preprocess_to_model(&g, heat, back, true);
  assert_memory_equal(back, map, 143 * sizeof *map);
}

/* A map that is a plane in source coordinates, sampled at the model pixels' centres, comes back as that plane wherever
 * the source pixel lies between model pixels that show the picture: no half pixel is lost anywhere. */
static void planes_come_back_in_place(void **state)
{
  (void)state;
  static float map[MOST], heat[MOST];
  static unsigned char coverage[MOST];
  for (size_t k = 0; k < KINDS; k++) {
    struct geometry g = kind(k);
    double sx = (double)g.source_width / g.resized_width, sy = (double)g.source_height / g.resized_height;
    for (int y = 0; y < g.height; y++)
      for (int x = 0; x < g.width; x++) {
        bool shown =
            x >= g.offset_x && x < g.offset_x + g.resized_width && y >= g.offset_y && y < g.offset_y + g.resized_height;
        map[y * g.width + x] = (float)(shown ? 3 * (x - g.offset_x + 0.5) * sx + 5 * (y - g.offset_y + 0.5) * sy
                                             : 1e9); /* what the pad holds must not leak */
      }
    preprocess_to_source(&g, map, heat, coverage);
    int inner = 0;
    for (int y = 0; y < g.source_height; y++)
      for (int x = 0; x < g.source_width; x++) {
        double mx = (x + 0.5) / sx + g.offset_x, my = (y + 0.5) / sy + g.offset_y;
        float got = heat[y * g.source_width + x];
        bool outside = mx < 0 || mx >= g.width || my < 0 || my >= g.height;
        assert_int_equal(coverage[y * g.source_width + x], !outside);
        double x0 = g.offset_x > 0 ? g.offset_x : 0, y0 = g.offset_y > 0 ? g.offset_y : 0;
        double x1 = fmin(g.width, g.offset_x + g.resized_width), y1 = fmin(g.height, g.offset_y + g.resized_height);
        bool between = mx >= x0 + 0.5 && mx <= x1 - 0.5 && my >= y0 + 0.5 && my <= y1 - 0.5;
        if (outside)
          assert_float_equal(got, 0, 0);
        else if (between)
          assert_float_equal(got, 3 * (x + 0.5) + 5 * (y + 0.5), 1e-3);
        else /* held at the edge of what the model saw */
          assert_true(got > 0 && got < 1e6);
        inner += between;
      }
    assert_true(inner > 0);
  }
}

/* One hot pixel on the model grid peaks at the source pixel that lies there, and its neighbours get what the tent of
 * bilinear interpolation gives them. */
static void hot_pixels_stay_in_place(void **state)
{
  (void)state;
  static float map[MOST], heat[MOST];
  static int32_t labels[MOST], out[MOST];
  for (size_t k = 0; k < KINDS; k++) {
    struct geometry g = kind(k);
    int x0 = g.offset_x > 0 ? g.offset_x : 0, y0 = g.offset_y > 0 ? g.offset_y : 0;
    int x1 = g.offset_x + g.resized_width < g.width ? g.offset_x + g.resized_width : g.width;
    int y1 = g.offset_y + g.resized_height < g.height ? g.offset_y + g.resized_height : g.height;
    int n = g.width * g.height;
    for (int hot = 0; hot < n; hot++) {
      memset(map, 0, sizeof map);
      memset(labels, 0, sizeof labels);
      map[hot] = 1;
      labels[hot] = 7;
      preprocess_to_source(&g, map, heat, NULL);
      preprocess_labels_to_source(&g, labels, out, -1);
      int hx = hot % g.width, hy = hot / g.width;
      bool shown = hx >= x0 && hx < x1 && hy >= y0 && hy < y1;
      for (int y = 0; y < g.source_height; y++)
        for (int x = 0; x < g.source_width; x++) {
          double mx = (x + 0.5) * g.resized_width / g.source_width + g.offset_x;
          double my = (y + 0.5) * g.resized_height / g.source_height + g.offset_y;
          double want = 0;
          int32_t label = 0;
          if (mx < 0 || mx >= g.width || my < 0 || my >= g.height) {
            label = -1;
          } else if (shown) {
            double cx = fmin(fmax(mx, x0 + 0.5), x1 - 0.5), cy = fmin(fmax(my, y0 + 0.5), y1 - 0.5);
            want = fmax(0, 1 - fabs(cx - hx - 0.5)) * fmax(0, 1 - fabs(cy - hy - 0.5));
            double lx = fmin(fmax(floor(mx), x0), x1 - 1), ly = fmin(fmax(floor(my), y0), y1 - 1);
            label = lx == hx && ly == hy ? 7 : 0;
          }
          assert_float_equal(heat[y * g.source_width + x], want, 1e-5);
          assert_int_equal(out[y * g.source_width + x], label);
        }
    }
  }
}

static void masks_reach_the_model_grid(void **state)
{
  (void)state;
  static float source[MOST], map[MOST], flat[MOST];
  for (size_t k = 0; k < KINDS; k++) {
    struct geometry g = kind(k);
    double sx = (double)g.source_width / g.resized_width, sy = (double)g.source_height / g.resized_height;
    for (int y = 0; y < g.source_height; y++)
      for (int x = 0; x < g.source_width; x++)
        source[y * g.source_width + x] = (float)(1 + 3 * (x + 0.5) + 5 * (y + 0.5));
    preprocess_to_model(&g, source, map, false);
    preprocess_to_model(&g, source, flat, true);
    for (int y = 0; y < g.height; y++)
      for (int x = 0; x < g.width; x++) {
        bool shown =
            x >= g.offset_x && x < g.offset_x + g.resized_width && y >= g.offset_y && y < g.offset_y + g.resized_height;
        double px = (x - g.offset_x + 0.5) * sx, py = (y - g.offset_y + 0.5) * sy;
        double cx = fmin(fmax(px, 0.5), g.source_width - 0.5), cy = fmin(fmax(py, 0.5), g.source_height - 0.5);
        assert_float_equal(map[y * g.width + x], shown ? 1 + 3 * cx + 5 * cy : 0, 1e-3);
        double nx = fmin(floor(px), g.source_width - 1), ny = fmin(floor(py), g.source_height - 1);
        assert_float_equal(flat[y * g.width + x], shown ? 1 + 3 * (nx + 0.5) + 5 * (ny + 0.5) : 0, 1e-3);
      }
  }
}

static void tells_what_was_done(void **state)
{
  (void)state;
  struct image image = picture(61, 47, 3, PIXEL_U8);
  image.spacing_x = image.spacing_y = 0.5;
  make_card(3, 20, 24, OPTIONS("resize_to", "29", "mean", "1,2,3", "scale", "0.5", "interpolation", "bicubic"));
  struct input input = prepare(&image);
  json_t *json = preprocess_json(&card, &input);
  assert_non_null(json);
  char *text = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT | JSON_REAL_PRECISION(6));
  assert_string_equal(text,
                      "{\"channels\":\"rgb\",\"interpolation\":\"bicubic\",\"mean\":[1.0,2.0,3.0],\"offset\":[-4,-6],"
                      "\"preprocessed\":false,\"range\":[0.0,255.0],\"resize\":\"shortest-crop\",\"resized\":[29,37],"
                      "\"scale\":0.5,\"size\":[20,24],\"source_size\":[47,61],\"spacing\":[0.810345,0.824324],"
                      "\"std\":[1.0,1.0,1.0]}");
  free(text);
  json_decref(json);
  input_free(&input);
  image_free(&image);
}

static void survives_want_of_memory(void **state)
{
  (void)state;
  struct image image = picture(20, 16, 3, PIXEL_U8);
  make_card(1, 12, 12, OPTIONS("resize", "pad"));
  struct input input, like = prepare(&image);
  static float u[144];
  FAULT_LOOP(preprocess(&card, &image, &input, &err), input_free(&input));
  FAULT_LOOP(preprocess_place(&card, &image, &like, u, &err), (void)0);
  input_free(&like);
  image_free(&image);
}

#define WITH_CARD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
  const struct CMUnitTest tests[] = {
      WITH_CARD(equals_pillow_and_torchvision),
      WITH_CARD(equals_transformers),
      WITH_CARD(equals_the_tensors_of_real_models),
      WITH_CARD(keeps_image_units),
      WITH_CARD(takes_arrays_as_they_are),
      WITH_CARD(refuses_what_does_not_fit),
      WITH_CARD(places_other_pictures),
      WITH_CARD(identity_changes_nothing),
      WITH_CARD(planes_come_back_in_place),
      WITH_CARD(hot_pixels_stay_in_place),
      WITH_CARD(masks_reach_the_model_grid),
      WITH_CARD(tells_what_was_done),
      WITH_CARD(survives_want_of_memory),
  };
  fault_include_jansson();
  return cmocka_run_group_tests_name("preprocess", tests, NULL, NULL);
}
