/* SPDX-License-Identifier: Apache-2.0 */
#include "base/files.h"
#include "fault.h"
#include "metrics/agreement.h"
#include "penumbra.h"
#include "render/html.h"
#include "render/report_parts.h"
#include "scratch.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 12, DEPTH = 64 };

static const char hostile[] = "</script><img src=x onerror=alert(1)>\"'&<b>";

/* ---- a strict enough reading of HTML ---------------------------------------------------------------------------- */

static bool is_void(const char *name, size_t n)
{
  static const char *const names[] = {"meta", "input", "br", "img", "link", "hr"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0)
      return true;
  return false;
}

/* Past the attributes of a tag: names, and values in double quotes. Every id is given once; href stays in the page. */
static const char *read_attributes(const char *p, const char *text)
{
  while (*p == ' ' || *p == '\n') {
    p++;
    const size_t name = strcspn(p, "=<>\" \n/");
    assert_true(name > 0);
    if (p[name] != '=') {
      p += name;
      continue;
    }
    assert_int_equal(p[name + 1], '"');
    const char *value = p + name + 2;
    const size_t n = strcspn(value, "\"<>");
    assert_int_equal(value[n], '"');
    if (name == 2 && memcmp(p, "id", 2) == 0) {
      char once[80];
      (void)snprintf(once, sizeof once, " id=\"%.*s\"", (int)n, value);
      const char *first = strstr(text, once);
      assert_non_null(first);
      assert_null(strstr(first + 1, once));
    }
    if (name == 4 && memcmp(p, "href", 4) == 0)
      assert_true(*value == '#' || strncmp(value, "data:image/png;base64,", 22) == 0);
    assert_false(name > 2 && memcmp(p, "on", 2) == 0);
    assert_false(name == 5 && memcmp(p, "style", 5) == 0); /* the policy would refuse it */
    p = value + n + 1;
  }
  return p;
}

/* Tags nest and close, entities are known, nothing is drawn from elsewhere. */
static void assert_page(const char *text)
{
  static const char *const known[] = {"&lt;", "&gt;", "&amp;", "&quot;", "&#39;"};
  char open[DEPTH][32];
  int depth = 0;
  const char *p = text;
  assert_int_equal(strncmp(p, "<!DOCTYPE html>\n", 16), 0);
  for (p += 16; *p;) {
    if (*p == '&') {
      bool ok = false;
      for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        ok |= strncmp(p, known[i], strlen(known[i])) == 0;
      assert_true(ok);
      p++;
    } else if (*p != '<') {
      assert_int_not_equal(*p, '>');
      p++;
    } else if (p[1] == '/') {
      assert_true(depth > 0);
      const size_t n = strlen(open[--depth]);
      assert_true(strncmp(p + 2, open[depth], n) == 0 && p[2 + n] == '>');
      p += n + 3;
    } else {
      const char *name = ++p;
      const size_t n = strcspn(p, " />\n");
      assert_true(n > 0 && n < sizeof open[0] && depth < DEPTH);
      p = read_attributes(p + n, text);
      const bool closed = *p == '/';
      p += closed;
      assert_int_equal(*p++, '>');
      if (closed || is_void(name, n))
        continue;
      memcpy(open[depth], name, n);
      open[depth++][n] = '\0';
      if (strcmp(open[depth - 1], "script") == 0 || strcmp(open[depth - 1], "style") == 0)
        while (*p != '<' || p[1] != '/')
          p++;
    }
  }
  assert_int_equal(depth, 0);
  for (p = strstr(text, "http"); p; p = strstr(p + 1, "http"))
    assert_true(strncmp(p, "http-equiv", 10) == 0 || strncmp(p - 7, "xmlns=\"http://www.w3.org/2000/svg\"", 34) == 0);
}

static void assert_near(double value, double wanted)
{
  assert_true(fabs(value - wanted) <= 1e-12);
}

static int count_of(const char *text, const char *what)
{
  int n = 0;
  for (const char *p = strstr(text, what); p; p = strstr(p + 1, what))
    n++;
  return n;
}

/* ---- a report in the making ------------------------------------------------------------------------------------- */

static json_t *result_of(const char *method, const char *label, const char *image)
{
  return json_pack(
      "{s:{s:s, s:s}, s:{s:s, s:s, s:i, s:i}, s:{s:i}, s:{s:i, s:s, s:f, s:s}, s:[f,f], s:{s:s, s:{s:s, s:i, "
      "s:b, s:f}, s:i, s:i, s:s, s:s}, s:{s:f, s:f, s:[i,i]}, s:{}, s:{s:f}, s:[{s:s, s:s}], s:{s:s, s:f}, "
      "s:[{s:i, s:s, s:f}]}",
      "model", "path", "models/a model.onnx", "sha256", "0123", "image", "path", image, "sha256", "4567", "width", SIDE,
      "height", SIDE, "preprocessing", "size", 12, "target", "index", 0, "label", label, "score", 0.75, "scale", "prob",
      "scores", 0.75, 0.25, "method", "name", method, "params", "fill", "it's", "patch", 4, "flag", 1, "soft", 0.5,
      "seed", 7, "evaluations", 321, "stopped_by", "budget", "paper", "Someone, 1999", "map", "min", -1.0, "max", 2.0,
      "strongest", 3, 5, "quality", "timing", "total_s", 1.5, "warnings", "id", "weak-fill", "message", label, "trust",
      "r2", "not measured", "artifact_share", 0.125, "top_classes", "index", 0, "label", label, "score", 0.75);
}

static json_t *metrics_of(double difference, double sd)
{
  return json_pack("{s:{s:{s:f}, s:{s:{s:f, s:i}}, s:{s:[i,i,i]}, s:{s:{s:[f,f,f], s:[f,f,f]}, s:{s:[f,f,n]}}, s:[]}}",
                   "region", "values", "difference", difference, "spread", "difference", "sd", sd, "n", 10, "details",
                   "x", 0, 1, 2, "curves", "morf", "y", 0.9, 0.5, 0.1, "stderr", 0.0, 0.1, 0.1, "random", "y", 0.9, 0.7,
                   "warnings");
}

struct fixture {
  struct image picture;
  struct report_map maps[REPORT_MAX_MAPS];
  float *heat[REPORT_MAX_MAPS];
  struct report report;
  struct str html;
};

/* Map i runs from -(i + 1) at the left to 2 (i + 1) at the right. */
static void fixture_make(struct fixture *f, int count, int width, int height, int channels, const char *label)
{
  struct error err = {0};
  memset(f, 0, sizeof *f);
  assert_true(image_new(&f->picture, width, height, channels, PIXEL_U8, &err));
  for (int i = 0; i < width * height * channels; i++)
    ((unsigned char *)f->picture.data)[i] = (unsigned char)(i * 7);
  for (int k = 0; k < count; k++) {
    char name[24];
    (void)snprintf(name, sizeof name, "method%d", k);
    f->heat[k] = malloc(sizeof(float) * (size_t)width * (size_t)height);
    for (int i = 0; i < width * height; i++)
      f->heat[k][i] = (float)(k + 1) * (3.0F * (float)(i % width) / (float)(width - 1) - 1);
    f->maps[k] =
        (struct report_map){.result = result_of(k ? name : "occlusion", label, "dir/a 'film'.png"), .heat = f->heat[k]};
    assert_non_null(f->maps[k].result);
  }
  f->report = (struct report){.picture = &f->picture, .maps = f->maps, .count = count};
  str_init(&f->html, REPORT_LIMIT);
}

static void fixture_free(struct fixture *f)
{
  for (int k = 0; k < f->report.count; k++) {
    json_decref((json_t *)(uintptr_t)f->maps[k].result);
    json_decref((json_t *)(uintptr_t)f->maps[k].metrics);
    free(f->heat[k]);
  }
  json_decref((json_t *)(uintptr_t)f->report.agreement);
  image_free(&f->picture);
  str_free(&f->html);
}

static void fixture_write(struct fixture *f)
{
  struct error err = {0};
  str_free(&f->html);
  const bool ok = report_html(&f->report, &f->html, &err);
  assert_string_equal(err.message, "");
  assert_true(ok);
  assert_true(f->html.length <= REPORT_LIMIT);
}

/* ---- pieces ----------------------------------------------------------------------------------------------------- */

static void test_pieces(void **state)
{
  (void)state;
  static const char *const base64[][2] = {
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}};
  struct str s;
  str_init(&s, 1 << 16);
  for (size_t i = 0; i < sizeof base64 / sizeof *base64; i++) { /* RFC 4648, section 10 */
    str_append(&s, "|");
    html_base64(&s, base64[i][0], strlen(base64[i][0]));
    assert_string_equal(strrchr(s.text, '|') + 1, base64[i][1]);
  }
  str_free(&s);
  unsigned char bytes[3000]; /* over the ends of the chunks */
  memset(bytes, 0xFF, sizeof bytes);
  html_base64(&s, bytes, sizeof bytes);
  assert_int_equal(s.length, 4000);
  assert_int_equal(strspn(s.text, "/"), 4000);
  str_free(&s);
  assert_true(html_hash(&s, "alert('Hello, world.');")); /* the example of CSP level 3 */
  assert_string_equal(s.text, "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='");
  str_free(&s);
  html_text(&s, "a<b>\"'&\x01\xFF\xC3\xA9\n");
  assert_string_equal(s.text, "a&lt;b&gt;&quot;&#39;&amp;\xEF\xBF\xBD\xEF\xBF\xBD\xC3\xA9\n");
  str_free(&s);
  html_printf(&s, "%d<%s", 3, "&");
  html_number(&s, -0.25, 3);
  html_number(&s, NAN, 3);
  assert_string_equal(s.text, "3&lt;&amp;\xE2\x88\x92"
                              "0.25not a number");
  str_free(&s);
}

/* ---- pages ------------------------------------------------------------------------------------------------------ */

static void test_page_of_one(void **state)
{
  (void)state;
  struct fixture f;
  fixture_make(&f, 1, SIDE, SIDE, 1, "a finding");
  fixture_write(&f);
  const char *html = f.html.text;
  assert_page(html);
  assert_int_equal(count_of(html, "Not for clinical use"), 2);
  assert_non_null(strstr(html, "The strongest evidence for a finding lies at x 3, y 5 px."));
  assert_non_null(strstr(html, "<dt>Artifact share</dt><dd>0.125"));
  assert_non_null(strstr(html, "<dt>R\xC2\xB2</dt><dd><span class=\"none\">not measured</span>"));
  assert_non_null(
      strstr(html, "Curves of region perturbation, deletion and insertion: <span class=\"none\">not measured"));
  assert_non_null(strstr(html, "With everything hidden the score of a finding is <span class=\"none\">not measured"));
  assert_null(strstr(html, "Side by side"));
  assert_null(strstr(html, "id=\"hue\"")); /* a grey picture has no colours */
  /* The command is one that a shell reads as it was meant. */
  assert_non_null(
      strstr(html, "penumbra explain &#39;models/a model.onnx&#39; &#39;dir/a &#39;\\&#39;&#39;film&#39;\\&#39;&#39;"
                   ".png&#39; -m occlusion -t 0 --score prob --seed 7 --fill &#39;it&#39;\\&#39;&#39;s&#39; "
                   "--patch 4 --flag=on --soft 0.5 --evals 321</code>"));
  fixture_free(&f);
}

static void test_hostile_texts(void **state)
{
  (void)state;
  struct fixture f;
  fixture_make(&f, 3, SIDE, SIDE, 3, hostile);
  for (int k = 0; k < 3; k++) {
    json_t *result = (json_t *)(uintptr_t)f.maps[k].result;
    /* JSON holds UTF-8 only */
    json_object_set_new(json_object_get(result, "image"), "path", json_string("x/\"><script>alert(1)</script>.png"));
    json_object_set_new(json_object_get(result, "method"), "name", json_string("<i>&m\xEF\xBF\xBF"));
    json_object_set_new(json_object_get(result, "target"), "label",
                        json_string("</title></style></script><img onerror=1>"));
    json_object_set_new(json_object_get(result, "preprocessing"), "x", json_string("</dd><iframe>\xC3\xA9"));
    json_object_set_new(json_object_get(json_object_get(result, "method"), "params"), "<u>", json_string("</pre>'"));
    json_object_set_new(result, "top_classes",
                        json_pack("[{s:i, s:s, s:f}]", "index", 1, "label", "<svg onload=1>", "score", .5));
  }
  f.maps[1].metrics = json_pack("{s:{s:{s:{s:[f,f]}}, s:{s:[i,i]}, s:[{s:s, s:s}]}}", "<q>", "curves", "</svg><img>",
                                "y", 0.1, 0.2, "details", "x", 0, 1, "warnings", "id", "<a>", "message", "<object>");
  fixture_write(&f);
  assert_page(f.html.text);
  static const char *const tags[] = {"<img",    "<iframe",     "<i>", "<u>",          "<b>",
                                     "<object", "<svg onload", "<q>", "<script>alert"};
  for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
    assert_null(strstr(f.html.text, tags[i]));
  assert_int_equal(count_of(f.html.text, "<script"), 1);
  assert_int_equal(count_of(f.html.text, "</script"), 1);
  assert_int_equal(count_of(f.html.text, "</style"), 1);
  fixture_free(&f);
}

/* A column for what is known of one map at least; the rest in a sentence. */
static void test_columns_that_say_something(void **state)
{
  (void)state;
  struct fixture f;
  fixture_make(&f, 3, SIDE, SIDE, 1, "a finding");
  json_object_set_new(json_object_get(f.maps[2].result, "trust"), "completeness_gap", json_real(0.25));
  fixture_write(&f);
  const char *html = f.html.text;
  assert_page(html);
  assert_non_null(strstr(html, "<th scope=\"col\">Completeness gap</th>"));
  assert_non_null(strstr(html, "<td>0.25</td>"));
  assert_null(strstr(html, "<th scope=\"col\">R\xC2\xB2</th>"));
  assert_non_null(strstr(html, "<p>Not measured of any of these maps: "));
  assert_non_null(strstr(html, ", R\xC2\xB2, Stability over fills, Stability over seeds, Artifact rate.</p>"));
  fixture_free(&f);
}

/* What lies between two marks. */
static char *between(const char *text, const char *from, const char *to)
{
  const char *a = strstr(text, from);
  assert_non_null(a);
  a += strlen(from);
  const char *b = strstr(a, to);
  assert_non_null(b);
  char *part = malloc((size_t)(b - a) + 1);
  memcpy(part, a, (size_t)(b - a));
  part[b - a] = '\0';
  return part;
}

/* The policy lets through just this style and this script. */
static void test_policy(void **state)
{
  (void)state;
  struct fixture f;
  fixture_make(&f, 2, SIDE, SIDE, 1, "x");
  fixture_write(&f);
  char *policy = between(f.html.text, "http-equiv=\"Content-Security-Policy\" content=\"", "\"");
  char *style = between(f.html.text, "<style>", "</style>"), *script = between(f.html.text, "<script>", "</script>");
  struct str wanted;
  str_init(&wanted, 1000);
  str_append(&wanted, "default-src 'none'; img-src data:; style-src ");
  html_hash(&wanted, style);
  str_append(&wanted, "; script-src ");
  html_hash(&wanted, script);
  str_append(&wanted, "; base-uri 'none'; form-action 'none'");
  assert_string_equal(policy, wanted.text);
  str_free(&wanted);
  free(policy);
  free(style);
  free(script);
  fixture_free(&f);
}

static unsigned char digit_of(char c)
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *at = strchr(digits, c);
  return (unsigned char)(at ? at - digits : 0);
}

/* The picture behind an element of that id. */
static void picture_of(const char *html, const char *id, struct image *image)
{
  struct error err = {0};
  char mark[40];
  (void)snprintf(mark, sizeof mark, "<image id=\"%s\"", id);
  const char *element = strstr(html, mark);
  assert_non_null(element);
  char *text = between(element, "base64,", "\"");
  const size_t n = strlen(text) / 4 * 3;
  unsigned char *bytes = malloc(n);
  for (size_t i = 0; text[4 * i]; i++) {
    const uint32_t word = (uint32_t)digit_of(text[4 * i]) << 18 | (uint32_t)digit_of(text[4 * i + 1]) << 12 |
                          (uint32_t)digit_of(text[4 * i + 2]) << 6 | digit_of(text[4 * i + 3]);
    bytes[3 * i] = (unsigned char)(word >> 16);
    bytes[3 * i + 1] = (unsigned char)(word >> 8 & 255);
    bytes[3 * i + 2] = (unsigned char)(word & 255);
  }
  assert_true(image_decode(bytes, n, id, image, &err));
  free(bytes);
  free(text);
}

static void test_codes_of_maps(void **state)
{
  (void)state;
  struct fixture f;
  struct image map = {0}, picture = {0};
  fixture_make(&f, 2, 13, 7, 1, "x");
  for (int i = 0; i < 13 * 7; i++)
    f.heat[1][i] = i == 0 ? NAN : -0.5F; /* on its own scale an end */
  fixture_write(&f);
  picture_of(f.html.text, "picture", &picture);
  assert_int_equal(picture.width, 13);
  assert_int_equal(picture.height, 7);
  assert_int_equal(picture.channels, 1);
  assert_memory_equal(picture.data, f.picture.data, 13 * 7);
  image_free(&picture);
  picture_of(f.html.text, "map-0", &map);
  assert_int_equal(map.width, 13);
  for (int i = 0; i < 13 * 7; i++)
    assert_int_equal(((unsigned char *)map.data)[i], lrint(128 + 127 * (3.0 * (i % 13) / 12 - 1) / 2));
  image_free(&map);
  picture_of(f.html.text, "map-1", &map);
  assert_int_equal(((unsigned char *)map.data)[0], 128); /* no number: as zero */
  assert_int_equal(((unsigned char *)map.data)[1], 1);
  image_free(&map);
  assert_non_null(strstr(f.html.text, "data-limit=\"2.000000000e+00\" checked"));
  assert_non_null(strstr(f.html.text, "data-limit=\"5.000000000e-01\""));
  fixture_free(&f);

  /* without negative values the scale begins at zero */
  fixture_make(&f, 1, 13, 7, 1, "x");
  for (int i = 0; i < 13 * 7; i++)
    f.heat[0][i] = (float)(i % 13);
  fixture_write(&f);
  picture_of(f.html.text, "map-0", &map);
  assert_int_equal(((unsigned char *)map.data)[0], 0);
  assert_int_equal(((unsigned char *)map.data)[12], 255);
  assert_null(strstr(f.html.text, "name=\"sign\""));
  image_free(&map);
  fixture_free(&f);
}

static void test_flat_map_and_crop(void **state)
{
  (void)state;
  struct fixture f;
  int32_t coverage[SIDE * SIDE];
  fixture_make(&f, 1, SIDE, SIDE, 3, "x");
  memset(f.heat[0], 0, sizeof(float) * SIDE * SIDE);
  for (int i = 0; i < SIDE * SIDE; i++)
    coverage[i] = i % SIDE >= 2 && i % SIDE < 10;
  fixture_write(&f);
  assert_null(strstr(f.html.text, "class=\"unseen\""));
  assert_non_null(strstr(f.html.text, "No evidence found: the map is flat"));
  f.maps[0].coverage = coverage;
  fixture_write(&f);
  assert_page(f.html.text);
  assert_non_null(strstr(f.html.text, "d=\"M0 0H12V12H0ZM2 0V12H10V0Z\""));
  assert_non_null(strstr(f.html.text, "Hatched: not seen by the model"));
  fixture_free(&f);
}

static void test_comparison(void **state)
{
  (void)state;
  struct fixture f;
  fixture_make(&f, 3, SIDE, SIDE, 1, "x");
  f.maps[0].metrics = metrics_of(0.3, 0.01);
  f.maps[1].metrics = metrics_of(0.001, 0.01);
  f.maps[2].metrics = metrics_of(-0.3, 0.01);
  f.report.agreement = json_pack("[[f,f,n],[f,f,n],[n,n,n]]", 1.0, -0.5, -0.5, 1.0);
  fixture_write(&f);
  const char *html = f.html.text;
  assert_page(html);
  assert_non_null(strstr(html, "Side by side"));
  assert_non_null(strstr(html, "id=\"common\" data-limit=\"6.000000000e+00\""));
  assert_int_equal(count_of(html, "This map is no better than random on this image"), 1);
  assert_int_equal(count_of(html, "This map is worse than random on this image"), 1);
  /* 0.3 +- t(9) 0.01 sqrt(1.1), t = 2.262 */
  assert_non_null(strstr(html, "0.3 <span class=\"interval\">[0.276, 0.324]</span>"));
  assert_non_null(strstr(html, "<td class=\"agree-0\">\xE2\x88\x92"
                               "0.5</td>"));
  assert_int_equal(count_of(html, "<td>undefined</td>"), 5);
  assert_int_equal(count_of(html, "most relevant first</text>"), 3);
  fixture_free(&f);
}

/* However large and however noisy: below 3 MB. */
static void test_size(void **state)
{
  (void)state;
  struct fixture f;
  uint32_t noise = 1;
  fixture_make(&f, 12, 1500, 900, 3, "x");
  for (int i = 0; i < 1500 * 900 * 3; i++)
    ((unsigned char *)f.picture.data)[i] = (unsigned char)((noise = noise * 1664525 + 1013904223) >> 24);
  for (int k = 0; k < 12; k++)
    for (int i = 0; i < 1500 * 900; i++)
      f.heat[k][i] = (float)((noise = noise * 1664525 + 1013904223) >> 8) / 8388608.0F - 1;
  fixture_write(&f);
  assert_true(f.html.length > 500000);
  assert_page(f.html.text);
  fixture_free(&f);
}

static void test_limits(void **state)
{
  (void)state;
  struct fixture f;
  struct error err = {0};
  fixture_make(&f, 1, SIDE, SIDE, 1, "x");
  f.report.count = 0;
  assert_false(report_html(&f.report, &f.html, &err));
  assert_int_equal(err.code, ERROR_USAGE);
  f.report.count = REPORT_MAX_MAPS + 1;
  err = (struct error){0};
  assert_false(report_html(&f.report, &f.html, &err));
  assert_int_equal(err.code, ERROR_USAGE);
  f.report.count = 1;
  struct str small;
  str_init(&small, 5000);
  err = (struct error){0};
  assert_false(report_html(&f.report, &small, &err));
  assert_int_equal(err.code, ERROR_MEMORY);
  str_free(&small);
  fixture_free(&f);
}

static void test_faults(void **state)
{
  (void)state;
  struct fixture f;
  fixture_make(&f, 2, SIDE, SIDE, 3, "x");
  f.maps[0].metrics = metrics_of(0.3, 0.01);
  FAULT_LOOP((str_free(&f.html), report_html(&f.report, &f.html, &err)), (void)0);
  fixture_free(&f);
}

static void test_agreement_matrix(void **state)
{
  (void)state;
  const float up[4] = {1, 2, 3, 4}, down[4] = {4, 3, 2, 1}, mixed[4] = {1, 3, 2, 4}, flat[4] = {5, 5, 5, 5};
  const float *const maps[4] = {up, down, mixed, flat};
  double m[16];
  struct error err = {0};
  assert_true(agreement_matrix(maps, 4, 4, m, &err));
  for (int i = 0; i < 3; i++)
    assert_near(m[i * 5], 1);
  assert_near(m[1], -1);
  assert_near(m[2], 0.8); /* 1 - 6 (1 + 1) / (4 (16 - 1)) */
  assert_near(m[2 * 4 + 1], -0.8);
  for (int i = 0; i < 4; i++)
    assert_true(isnan(m[3 * 4 + i]) && isnan(m[i * 4 + 3]));
}

/* ---- through the public functions ------------------------------------------------------------------------------- */

/* Class 0 falls with the mean; class 1 is seen wherever the first pixel is black; class 2 never. */
static bool predict(void *context, const float *images, int n, float *scores, penumbra_error *err)
{
  (void)context;
  (void)err;
  for (int i = 0; i < n; i++, images += 64) {
    float sum = 0;
    for (int k = 0; k < 64; k++)
      sum += images[k];
    scores[3 * i] = sum / (64 * 255);
    scores[3 * i + 1] = images[0] < 1 ? 0.75F : 0.25F;
    scores[3 * i + 2] = 0.125F;
  }
  return true;
}

static penumbra_model *open_model(const char *const *settings)
{
  const penumbra_predictor predictor = {
      .size = sizeof predictor, .height = 8, .width = 8, .channels = 1, .classes = 3, .predict = predict};
  penumbra_error err = {0};
  penumbra_model *model = penumbra_model_from_predictor(&predictor, settings, &err);
  assert_string_equal(err.message, "");
  return model;
}

static json_t *json_at(const char *path)
{
  json_error_t error;
  json_t *value = json_load_file(path, 0, &error);
  assert_non_null(value);
  return value;
}

static void test_folders(void **state)
{
  (void)state;
  penumbra_error err = {0};
  penumbra_model *model = open_model(NULL);
  unsigned char pixels[64];
  memset(pixels, 200, sizeof pixels);
  penumbra_image *image = penumbra_image_new(8, 8, 1, 8, pixels, &err);
  char places[2][300];
  const char *dirs[3] = {places[0], places[1], NULL};
  (void)snprintf(places[0], sizeof places[0], "%s/a", scratch);
  (void)snprintf(places[1], sizeof places[1], "%s/b", scratch);
  const unsigned flags[2] = {0, PENUMBRA_REPORT_JSON};
  for (int i = 0; i < 2; i++) {
    const char *const params[] = {"patch=2", "stride=2", i ? "fill=white" : "fill=black,white", NULL};
    const penumbra_request request = {.size = sizeof request, .params = params, .target = "0"};
    penumbra_explanation *e = penumbra_explain(model, image, &request, &err);
    assert_string_equal(err.message, "");
    assert_true(penumbra_explanation_save(e, dirs[i], flags[i], &err));
    penumbra_explanation_free(e);
  }
  assert_true(file_exists(scratch_path("a/report.html")) && !file_exists(scratch_path("a/report.json")));
  assert_true(file_exists(scratch_path("b/report.json")) && !file_exists(scratch_path("b/report.html")));

  /* One of the 16 black patches hides the first pixel, and none of the white ones: the mean over both fills. */
  json_t *a = json_at(scratch_path("a/result.json")), *b = json_at(scratch_path("b/result.json"));
  const json_t *trust = json_object_get(a, "trust");
  assert_near(json_number_value(json_object_get(trust, "artifact_share")), 1.0 / 32);
  assert_near(json_number_value(json_object_get(json_object_get(b, "trust"), "artifact_share")), 0);
  assert_true(json_is_string(json_object_get(trust, "r2")));
  assert_string_equal(json_string_value(json_object_get(json_object_get(b, "trust"), "stability")), "not measured");
  const json_t *top = json_object_get(a, "top_classes");
  assert_int_equal(json_array_size(top), 3);
  assert_int_equal(json_integer_value(json_object_get(json_array_get(top, 1), "index")), 1);
  json_decref(a);
  json_decref(b);

  /* Both on one page; as JSON; of folders that are none; of another image. */
  assert_true(penumbra_report(image, dirs, NULL, scratch_path("both.html"), 0, &err));
  struct file_map map;
  struct error failed = {0};
  assert_true(file_map(scratch_path("both.html"), 0, &map, &failed));
  char *text = malloc(map.size + 1);
  memcpy(text, map.data, map.size);
  text[map.size] = '\0';
  file_unmap(&map);
  assert_page(text);
  assert_int_equal(count_of(text, "<section class=\"method\""), 2);
  free(text);
  assert_true(penumbra_report(image, dirs, NULL, scratch_path("both.json"), PENUMBRA_REPORT_JSON, &err));
  json_t *both = json_at(scratch_path("both.json"));
  assert_int_equal(json_array_size(json_object_get(both, "maps")), 2);
  json_decref(both);
  const char *wrong[2] = {scratch_path("none"), NULL};
  assert_false(penumbra_report(image, wrong, NULL, scratch_path("x.html"), 0, &err));
  assert_int_equal(err.code, PENUMBRA_FAILED);
  err = (penumbra_error){0};
  assert_false(penumbra_report(image, wrong + 1, NULL, scratch_path("x.html"), 0, &err));
  assert_int_equal(err.code, PENUMBRA_USAGE);
  err = (penumbra_error){0};
  pixels[0] = 0;
  penumbra_image *other = penumbra_image_new(8, 8, 1, 8, pixels, &err);
  assert_false(penumbra_report(other, dirs, NULL, scratch_path("x.html"), 0, &err));
  assert_non_null(strstr(err.message, "another image"));
  assert_false(file_exists(scratch_path("x.html")));
  penumbra_image_close(other);
  penumbra_image_close(image);
  penumbra_model_close(model);
}

/* ---- how often a fill looks like a finding ---------------------------------------------------------------------- */

static char *page_of(const penumbra_explanation *e, const char *name)
{
  penumbra_error err = {0};
  char path[100];
  struct file_map map;
  struct error failed = {0};
  assert_true(penumbra_explanation_save(e, scratch_path(name), 0, &err));
  (void)snprintf(path, sizeof path, "%.80s/report.html", name);
  assert_true(file_map(scratch_path(path), 0, &map, &failed));
  char *text = malloc(map.size + 1);
  memcpy(text, map.data, map.size);
  text[map.size] = '\0';
  file_unmap(&map);
  assert_page(text);
  return text;
}

/* Patches of 2 px at every second pixel: of 16 black ones one hides the first pixel and is taken for class 1. */
static void test_artifact_rates(void **state)
{
  (void)state;
  static const char *const settings[] = {"activation=sigmoid", "activation_in_graph=true",
                                         "normal=none above threshold", NULL};
  penumbra_model *model = open_model(settings);
  penumbra_error err = {0};
  unsigned char pixels[64];
  memset(pixels, 90, sizeof pixels);
  penumbra_image *image = penumbra_image_new(8, 8, 1, 8, pixels, &err);
  struct error failed = {0};
  struct image picture = {0};
  assert_true(image_new(&picture, 8, 8, 1, PIXEL_U8, &failed));
  memset(picture.data, 90, 64);
  assert_true(image_write_png(&picture, scratch_path("normal.png"), &failed));
  memset(picture.data, 0, 64); /* class 1 already: no normal picture */
  assert_true(image_write_png(&picture, scratch_path("other.png"), &failed));
  image_free(&picture);

  /* Not measured unless somebody does. */
  const char *const params[] = {"fill=black,white", "patch=2", "stride=2", NULL};
  penumbra_request request = {.size = sizeof request, .params = params};
  penumbra_explanation *e = penumbra_explain(model, image, &request, &err);
  assert_string_equal(err.message, "");
  char *text = page_of(e, "none");
  assert_non_null(strstr(text, "Artifact rate of the fills: <span class=\"none\">not measured</span>"));
  free(text);
  penumbra_explanation_free(e);
  json_t *result = json_at(scratch_path("none/result.json"));
  assert_true(json_is_null(json_object_get(result, "artifacts")));
  assert_string_equal(json_string_value(json_object_get(json_object_get(result, "trust"), "artifact_rate")),
                      "not measured");
  json_decref(result);

  /* Measured on one normal picture; the other is skipped. Patches there are of the metric's size, 1 px at 8. */
  char normal[400], other[400];
  (void)snprintf(normal, sizeof normal, "%s", scratch_path("normal.png"));
  (void)snprintf(other, sizeof other, "%s", scratch_path("other.png"));
  const char *const images[] = {normal, other, NULL};
  const penumbra_subject methods[] = {
      {.method = "occlusion", .params = params}, {.name = "from elsewhere"}, {.method = "gradient"}};
  char *rates = penumbra_artifact_rates_json(model, methods, 3, images, &request, &err);
  assert_string_equal(err.message, "");
  json_t *table = json_loads(rates, 0, NULL);
  const json_t *fills = json_object_get(table, "fills");
  assert_int_equal(json_object_size(fills), 2);
  assert_int_equal(json_integer_value(json_object_get(table, "skipped")), 1);
  const double black = json_number_value(json_object_get(json_object_get(fills, "black"), "rate"));
  assert_near(black, 1.0 / 64);
  assert_near(json_number_value(json_object_get(json_object_get(fills, "white"), "rate")), 0);
  json_decref(table);
  request.artifact_rates = rates;
  e = penumbra_explain(model, image, &request, &err);
  assert_string_equal(err.message, "");
  text = page_of(e, "measured");
  assert_non_null(strstr(text, "Measured on normal pictures"));
  assert_non_null(strstr(text, "<th scope=\"row\">black</th><td>0.0156</td><td>1</td><td>1</td><td>occlusion</td>"));
  free(text);
  penumbra_explanation_free(e);
  result = json_at(scratch_path("measured/result.json"));
  assert_near(json_number_value(json_object_get(json_object_get(result, "trust"), "artifact_rate")), black);
  json_decref(result);

  /* What is no table; no picture; a picture that is not there. */
  request.artifact_rates = "[1]";
  assert_null(penumbra_explain(model, image, &request, &err));
  assert_int_equal(err.code, PENUMBRA_USAGE);
  err = (penumbra_error){0};
  assert_null(penumbra_artifact_rates_json(model, methods, 1, images + 2, NULL, &err));
  assert_int_equal(err.code, PENUMBRA_USAGE);
  err = (penumbra_error){0};
  (void)snprintf(other, sizeof other, "%s", scratch_path("nowhere.png"));
  assert_null(penumbra_artifact_rates_json(model, methods, 1, images, NULL, &err));
  assert_non_null(strstr(err.message, "nowhere.png"));
  penumbra_text_free(rates);
  penumbra_image_close(image);
  penumbra_model_close(model);
}

static void test_no_report(void **state)
{
  (void)state;
  penumbra_error err = {0};
  penumbra_model *model = open_model(NULL);
  unsigned char pixels[64];
  memset(pixels, 90, sizeof pixels);
  penumbra_image *image = penumbra_image_new(8, 8, 1, 8, pixels, &err);
  penumbra_explanation *e = penumbra_explain(model, image, NULL, &err);
  assert_true(penumbra_explanation_save(e, scratch_path("a"), PENUMBRA_NO_REPORT, &err));
  assert_true(file_exists(scratch_path("a/result.json")) && !file_exists(scratch_path("a/report.html")));
  penumbra_explanation_free(e);
  penumbra_image_close(image);
  penumbra_model_close(model);
}

int main(void)
{
  fault_include_jansson();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pieces),
      cmocka_unit_test(test_page_of_one),
      cmocka_unit_test(test_columns_that_say_something),
      cmocka_unit_test(test_hostile_texts),
      cmocka_unit_test(test_policy),
      cmocka_unit_test(test_codes_of_maps),
      cmocka_unit_test(test_flat_map_and_crop),
      cmocka_unit_test(test_comparison),
      cmocka_unit_test(test_size),
      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_faults),
      cmocka_unit_test(test_agreement_matrix),
      cmocka_unit_test_setup_teardown(test_folders, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(test_artifact_rates, scratch_setup, scratch_teardown),
      cmocka_unit_test_setup_teardown(test_no_report, scratch_setup, scratch_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
