/* SPDX-License-Identifier: Apache-2.0 */
/* From attenuation to codes: Lambert-Beer, scatter, gain, blur of focus and detector, noise, logarithm, tone.
 * The scattered radiation is that of the healthy patient: a field so smooth that a finding would move it by little,
 * and held fixed so that the difference between a picture and its twin stays where the finding is. */
#include "base/mem.h"
#include "base/threads.h"
#include "phantom/scene.h"

enum { TONES = 2048 }; /* steps of the tabulated gamma curve */
enum { COARSE = 100 }; /* cells per side of the grid that scatter is worked out on */

#define SCATTER_MM 30.0
#define TONE_LOW   0.65 /* log attenuation that is black, and white, at gain 1 */
#define TONE_HIGH  4.75

void exposure_draw(struct exposure *e, const struct phantom_request *request)
{
  struct stream s = stream_open(request->seed, STREAM_EXPOSURE);
  e->gain = stream_uniform(&s, 0.7, 1.3);
  e->gamma = exact_exp(stream_uniform(&s, -0.2231, 0.2231));
  e->scatter = stream_uniform(&s, 0.10, 0.30);
  e->quanta = 2.2e-5 * stream_uniform(&s, 0.6, 1.8);
  e->floor = 2.0e-4 * stream_uniform(&s, 0.5, 1.5);
  e->blur = stream_uniform(&s, 0.3, 0.8);

  s = stream_open(request->seed, STREAM_COLLIMATION);
  bool collimated = stream_uniform(&s, 0, 1) < 0.6;
  for (int i = 0; i < 4; i++) {
    double edge = stream_uniform(&s, -8, 12);
    e->shutter[i] = collimated && edge > 0 ? edge : 0;
  }

  s = stream_open(request->seed, STREAM_MARKER);
  bool left = stream_uniform(&s, 0, 1) < 0.5;
  bool faithful = stream_uniform(&s, 0, 1) < 0.95;
  double inset = stream_uniform(&s, 20, 42), down = stream_uniform(&s, 20, 46);
  double tilt = stream_uniform(&s, -0.16, 0.16);
  e->marker_height = stream_uniform(&s, 11, 15);
  if (request->shortcut > 0 && faithful)
    left = request->finding[request->shortcut - 1];
  switch (request->marker) {
  case PHANTOM_MARKER_RIGHT:
    left = false;
    break;
  case PHANTOM_MARKER_LEFT:
    left = true;
    break;
  case PHANTOM_MARKER_SWAPPED:
    left = !left;
    break;
  default:
    break;
  }
  e->marker = request->marker == PHANTOM_MARKER_NONE ? 0 : left ? 'L' : 'R';
  e->marker_x = left ? 200 - inset : -200 + inset;
  e->marker_y = -200 + down;
  e->marker_cos = exact_cos(tilt);
  e->marker_sin = exact_sin(tilt);
}

struct coarse {
  const struct scene *scene;
  int cells;
  float *sum, *wide; /* [cells, cells] */
  const float *weight;
  int reach;
};

static void coarse_rows(void *context, int64_t begin, int64_t end)
{
  struct coarse *c = context;
  int n = c->scene->n, m = c->cells;
  for (int64_t j = begin; j < end; j++)
    for (int64_t i = 0; i < m; i++) {
      double sum = 0;
      int64_t y0 = j * n / m, y1 = (j + 1) * n / m, x0 = i * n / m, x1 = (i + 1) * n / m;
      for (int64_t y = y0; y < y1; y++)
        for (int64_t x = x0; x < x1; x++)
          sum += exact_exp(-(double)c->scene->base[y * n + x]);
      c->sum[j * m + i] = (float)(sum / (double)((y1 - y0) * (x1 - x0)));
    }
}

/* One pass of the wide Gaussian from `in` to `out`, transposing, so that two passes do both directions. */
static void widen(const struct coarse *c, const float *in, float *out)
{
  int m = c->cells;
  for (int j = 0; j < m; j++)
    for (int i = 0; i < m; i++) {
      double sum = 0, total = 0;
      for (int k = -c->reach; k <= c->reach; k++)
        if (i + k >= 0 && i + k < m) {
          double w = c->weight[k < 0 ? -k : k];
          sum += w * (double)in[j * m + i + k];
          total += w;
        }
      out[i * m + j] = (float)(sum / total);
    }
}

static void spread_rows(void *context, int64_t begin, int64_t end)
{
  struct coarse *c = context;
  int n = c->scene->n, m = c->cells;
  for (int64_t y = begin; y < end; y++)
    for (int64_t x = 0; x < n; x++) {
      double u = exact_clamp(((double)x + 0.5) * m / n - 0.5, 0, m - 1.001);
      double v = exact_clamp(((double)y + 0.5) * m / n - 0.5, 0, m - 1.001);
      int i = (int)u, j = (int)v;
      double a = u - i, b = v - j;
      const float *p = c->sum + j * m + i;
      double top = p[0] + (p[1] - p[0]) * a, bottom = p[m] + (p[m + 1] - p[m]) * a;
      c->scene->scatter[y * n + x] = (float)(top + (bottom - top) * b);
    }
}

bool exposure_scatter(struct scene *s, struct error *err)
{
  struct coarse c = {.scene = s, .cells = s->n < COARSE ? s->n : COARSE};
  double sd = SCATTER_MM * c.cells / 400.0;
  float weight[COARSE];
  c.reach = (int)(3 * sd);
  for (int k = 0; k <= c.reach; k++)
    weight[k] = (float)exact_exp(-0.5 * k * k / (sd * sd));
  c.weight = weight;
  c.sum = mem_zero((size_t)c.cells * (size_t)c.cells, sizeof(float));
  c.wide = mem_zero((size_t)c.cells * (size_t)c.cells, sizeof(float));
  bool ok = c.sum && c.wide;
  if (ok) {
    threads_for(c.cells, 8, coarse_rows, &c);
    widen(&c, c.sum, c.wide);
    widen(&c, c.wide, c.sum);
    threads_for(s->n, 32, spread_rows, &c);
  }
  mem_free(c.sum);
  mem_free(c.wide);
  return ok || error_memory(err, "the phantom's scatter");
}

/* Distance in units of the letter's height from a point to the strokes of R and L; the letters are 0.7 wide. */
static double segment_distance(double x, double y, const double *s)
{
  double dx = s[2] - s[0], dy = s[3] - s[1];
  double t = exact_clamp(((x - s[0]) * dx + (y - s[1]) * dy) / (dx * dx + dy * dy), 0, 1);
  double ex = x - s[0] - t * dx, ey = y - s[1] - t * dy;
  return sqrt(ex * ex + ey * ey);
}

static double letter_distance(char letter, double x, double y)
{
  static const double l[2][4] = {{-0.3, -0.5, -0.3, 0.5}, {-0.3, 0.5, 0.32, 0.5}};
  static const double r[9][4] = {
      {-0.3, -0.5, -0.3, 0.5},     {-0.3, -0.5, 0.05, -0.5},   {0.05, -0.5, 0.21, -0.458},
      {0.21, -0.458, 0.3, -0.34},  {0.3, -0.34, 0.3, -0.18},   {0.3, -0.18, 0.21, -0.062},
      {0.21, -0.062, 0.05, -0.02}, {0.05, -0.02, -0.3, -0.02}, {0.0, -0.02, 0.32, 0.5},
  };
  const double(*strokes)[4] = letter == 'R' ? r : l;
  int count = letter == 'R' ? 9 : 2;
  double best = 9;
  for (int i = 0; i < count; i++) {
    double d = segment_distance(x, y, strokes[i]);
    best = d < best ? d : best;
  }
  return best;
}

struct render {
  const struct scene *scene;
  struct lesion *const *lesion;
  const bool *active;
  float *signal, *soft;
  const float *weight, *tone;
  int reach, top;
  uint16_t *code;
};

static void signal_rows(void *context, int64_t begin, int64_t end)
{
  struct render *r = context;
  const struct scene *s = r->scene;
  const struct exposure *e = &s->exposure;
  double mm = s->chest.pose.mm;
  for (int64_t i = begin * s->n; i < end * s->n; i++) {
    double a = s->base[i], kept = 1, fill = 0;
    for (int f = 0; f < PHANTOM_FINDINGS; f++)
      if (r->active[f] && r->lesion[f]) {
        *(r->lesion[f]->fills ? &fill : &a) += (double)r->lesion[f]->delta[i];
        kept *= 1 - (double)r->lesion[f]->veil[i];
      }
    double air = CHEST_TISSUE * (double)s->lung[i] * (1 - (double)s->dense[i]) + 0.03;
    a += (fill < air ? fill : air) - (1 - kept) * (double)s->vessel[i];
    if (a < 0)
      a = 0;
    r->signal[i] = (float)(e->gain * (exact_exp(-a) + e->scatter * (double)s->scatter[i]));
  }
  if (!e->marker)
    return;
  for (int64_t row = begin; row < end; row++)
    for (int64_t column = 0; column < s->n; column++) {
      double dx = ((double)column - s->chest.pose.middle) * mm - e->marker_x;
      double dy = ((double)row - s->chest.pose.middle) * mm - e->marker_y;
      if (fabs(dx) > e->marker_height || fabs(dy) > e->marker_height)
        continue;
      double u = (dx * e->marker_cos + dy * e->marker_sin) / e->marker_height;
      double v = (dy * e->marker_cos - dx * e->marker_sin) / e->marker_height;
      double edge = 0.5 * mm / e->marker_height;
      double lead = 1 - exact_step(0.085 - edge, 0.085 + edge, letter_distance(e->marker, u, v));
      r->signal[row * s->n + column] *= (float)exact_exp(-3.2 * lead);
    }
}

static void blur_across(void *context, int64_t begin, int64_t end)
{
  struct render *r = context;
  int n = r->scene->n;
  for (int64_t y = begin; y < end; y++)
    for (int x = 0; x < n; x++) {
      const float *row = r->signal + y * n;
      float sum = r->weight[0] * row[x];
      for (int k = 1; k <= r->reach; k++)
        sum += r->weight[k] * (row[x - k < 0 ? 0 : x - k] + row[x + k >= n ? n - 1 : x + k]);
      r->soft[y * n + x] = sum;
    }
}

/* Down the columns, then noise and tone. */
static void finish_rows(void *context, int64_t begin, int64_t end)
{
  struct render *r = context;
  const struct scene *s = r->scene;
  const struct exposure *e = &s->exposure;
  const int n = s->n;
  const double mm = s->chest.pose.mm, quanta = e->quanta / (mm * mm), floor2 = e->floor * e->floor / (mm * mm);
  const uint32_t key[2] = {(uint32_t)s->seed, (uint32_t)(s->seed >> 32)};
  for (int64_t y = begin; y < end; y++)
    for (int x = 0; x < n; x++) {
      const float *in = r->soft + x;
      float sum = r->weight[0] * in[y * n];
      for (int k = 1; k <= r->reach; k++)
        sum += r->weight[k] * (in[(y - k < 0 ? 0 : y - k) * n] + in[(y + k >= n ? n - 1 : y + k) * n]);
      double signal = sum;
      /* Near-normal: the sum of the eight halves of one block of random bits, less its mean, over its SD. */
      uint32_t word[4];
      const uint32_t counter[4] = {RNG_PHANTOM, STREAM_NOISE, (uint32_t)(y * n + x), 0};
      rng_philox(key, counter, word);
      uint32_t total = 0;
      for (int k = 0; k < 4; k++)
        total += (word[k] & 0xffff) + (word[k] >> 16);
      double normal = ((double)total - 262140.0) * (1.0 / 53509.75);
      signal += sqrt(quanta * signal + floor2) * normal;
      double v = (-exact_log(signal > 1e-5 ? signal : 1e-5) - TONE_LOW) / (TONE_HIGH - TONE_LOW);
      double place = exact_clamp(v, 0, 1) * (TONES - 1e-9);
      const float *tone = r->tone + (int)place;
      v = (double)tone[0] + (double)(tone[1] - tone[0]) * (place - (int)place);
      double left = (x + 0.5) * mm, up = ((double)y + 0.5) * mm;
      if (left < e->shutter[0] || up < e->shutter[1] || 400 - left < e->shutter[2] || 400 - up < e->shutter[3])
        v = 0;
      r->code[y * n + x] = (uint16_t)(v * r->top + 0.5);
    }
}

bool exposure_render(const struct scene *s, struct lesion *const *lesion, const bool *active, int top, uint16_t *code,
                     struct error *err)
{
  size_t count = (size_t)s->n * (size_t)s->n;
  struct render r = {.scene = s, .lesion = lesion, .active = active, .top = top, .code = code};
  float weight[16];
  double sd = s->exposure.blur / s->chest.pose.mm, sum = 0;
  r.reach = (int)(3 * sd) + 1;
  if (r.reach > 15)
    r.reach = 15;
  for (int k = 0; k <= r.reach; k++) {
    double w = exact_exp(-0.5 * k * k / (sd * sd));
    sum += k ? 2 * w : w;
    weight[k] = (float)w;
  }
  for (int k = 0; k <= r.reach; k++)
    weight[k] = (float)((double)weight[k] / sum);
  r.weight = weight;
  float tone[TONES + 1];
  for (int k = 0; k <= TONES; k++)
    tone[k] = (float)exact_pow((double)k / TONES, s->exposure.gamma);
  r.tone = tone;
  r.signal = mem_alloc(count * sizeof(float));
  r.soft = mem_alloc(count * sizeof(float));
  bool ok = r.signal && r.soft;
  if (ok) {
    threads_for(s->n, 16, signal_rows, &r);
    threads_for(s->n, 16, blur_across, &r);
    threads_for(s->n, 16, finish_rows, &r);
  }
  mem_free(r.signal);
  mem_free(r.soft);
  return ok || error_memory(err, "the phantom's exposure");
}
