/* SPDX-License-Identifier: Apache-2.0 */
/* A smooth infill from the rim of what is hidden.
 *   harmonic      L u = 0 in the hidden pixels: a membrane that keeps the rim's values
 *   biharmonic    L L u = 0: a thin plate that keeps the rim's slope too; cut at black and white
 * L u(p) = sum over the neighbours q of p inside the image of u(p) - u(q), the five-point Laplacian, which reflects at
 * the image's edge. Both systems are symmetric and positive definite as soon as one pixel is kept.
 *
 * They are solved by conjugate gradients, preconditioned by a multigrid cycle for the harmonic system (by two for the
 * biharmonic one, which is nearly its square). Coarse grids join 2 x 2 pixels, so that a region may have any shape; as
 * constants are interpolated, each operator is half of what the finer one gives (Braess, "Towards algebraic multigrid
 * for elliptic problems of second order", Computing 55, 1995). In double, and sums in a fixed order. */
#include "base/mem.h"
#include "perturb/fill.h"
#include "tensor/simd.h"

#include <math.h>
#include <string.h>

enum {
  LANES = 8,  /* partial sums of a dot product; rows are padded to whole vectors */
  MARGIN = 2, /* px around the hidden ones that the systems reach into */
  SWEEPS = 2, /* before and after each coarse correction */
  MAX_LEVELS = 24,
  MAX_ROUNDS = 1000,
};

#define DAMPING 0.8  /* of the sweeps (Jacobi) */
#define PRECISE 1e-5 /* of hi - lo: the residual, and the error as the preconditioner estimates it */

/* A symmetric five-point operator on a grid within a ring of zeros. Cells that are not hidden have weights 0. */
struct grid {
  int height, width;
  int64_t stride, cells; /* of a plane, ring and padding included; multiples of LANES */
  double *diagonal, *inverse;
  double *east, *south; /* weight of the edge to the next column, to the next row */
  double *x, *b, *r;    /* x and b: coarse grids only */
};

struct solver {
  bool plate;
  int y0, x0;        /* of the box around the hidden pixels, on the image */
  struct grid whole; /* L on the box, hidden or not; its planes have the shape of level 0 */
  struct grid level[MAX_LEVELS];
  int levels;
  double *block;                 /* all planes; owned */
  size_t used;                   /* doubles of it given out */
  double *u, *r, *z, *p, *q, *w; /* of level 0 */
};

static int64_t at(const struct grid *g, int y, int x)
{
  return (y + 1) * g->stride + LANES + x;
}

/* ---- planes ---------------------------------------------------------------------------------------------------- */

/* to = A u, or b - A u where there is a b. */
SIMD_CLONES static void apply(const struct grid *g, const double *u, const double *b, double *restrict to)
{
  const int64_t below = g->stride;
  for (int y = 0; y < g->height; y++) {
    const int64_t row = at(g, y, 0);
    const double *d = g->diagonal + row, *e = g->east + row, *s = g->south + row, *v = u + row;
    double *out = to + row;
    for (int i = 0; i < g->width; i++)
      out[i] =
          d[i] * v[i] - ((e[i] * v[i + 1] + e[i - 1] * v[i - 1]) + (s[i] * v[i + below] + s[i - below] * v[i - below]));
    for (int i = 0; b && i < g->width; i++)
      out[i] = b[row + i] - out[i];
  }
}

/* x += DAMPING D^-1 r */
SIMD_CLONES static void relax(const struct grid *g, const double *restrict r, double *restrict x)
{
  for (int64_t i = 0; i < g->cells; i++)
    x[i] += DAMPING * g->inverse[i] * r[i];
}

/* y = a x + b y */
SIMD_CLONES static void combine(int64_t n, double a, const double *restrict x, double b, double *restrict y)
{
  for (int64_t i = 0; i < n; i++)
    y[i] = a * x[i] + b * y[i];
}

SIMD_CLONES static void keep_hidden(const struct grid *g, double *x)
{
  for (int64_t i = 0; i < g->cells; i++)
    x[i] = g->inverse[i] > 0 ? x[i] : 0;
}

SIMD_CLONES static double dot(int64_t n, const double *x, const double *y)
{
  double lane[LANES] = {0}, sum = 0;
  for (int64_t i = 0; i < n; i += LANES)
    for (int k = 0; k < LANES; k++)
      lane[k] += x[i + k] * y[i + k];
  for (int k = 0; k < LANES; k++)
    sum += lane[k];
  return sum;
}

SIMD_CLONES static double greatest(int64_t n, const double *x)
{
  double lane[LANES] = {0}, most = 0;
  for (int64_t i = 0; i < n; i += LANES)
    for (int k = 0; k < LANES; k++)
      lane[k] = fabs(x[i + k]) > lane[k] ? fabs(x[i + k]) : lane[k];
  for (int k = 0; k < LANES; k++)
    most = lane[k] > most ? lane[k] : most;
  return most;
}

/* ---- multigrid ------------------------------------------------------------------------------------------------- */

static void restrict_residual(const struct grid *fine, const struct grid *coarse)
{
  for (int y = 0; y < coarse->height; y++) {
    const double *top = fine->r + at(fine, 2 * y, 0), *bottom = top + fine->stride;
    double *b = coarse->b + at(coarse, y, 0);
    for (int x = 0; x < coarse->width; x++) /* past an odd end the ring's zeros are read */
      b[x] = (top[2 * x] + top[2 * x + 1]) + (bottom[2 * x] + bottom[2 * x + 1]);
  }
}

static void prolong(const struct grid *coarse, const struct grid *fine, double *x)
{
  for (int y = 0; y < fine->height; y++) {
    const double *from = coarse->x + at(coarse, y / 2, 0), *inverse = fine->inverse + at(fine, y, 0);
    double *to = x + at(fine, y, 0);
    for (int i = 0; i < fine->width; i++)
      to[i] += inverse[i] > 0 ? from[i / 2] : 0;
  }
}

/* x = V b, a symmetric approximation of A^-1 b. */
static void cycle(const struct solver *s, const double *b, double *x)
{
  for (int i = 0; i < s->levels; i++) {
    const struct grid *g = &s->level[i];
    double *to = i ? g->x : x;
    const double *from = i ? g->b : b;
    memset(to, 0, (size_t)g->cells * sizeof *to);
    if (i == s->levels - 1) { /* one cell */
      to[at(g, 0, 0)] = from[at(g, 0, 0)] * g->inverse[at(g, 0, 0)];
      break;
    }
    relax(g, from, to);
    for (int k = 1; k < SWEEPS; k++) {
      apply(g, to, from, g->r);
      relax(g, g->r, to);
    }
    apply(g, to, from, g->r);
    restrict_residual(g, g + 1);
  }
  for (int i = s->levels - 2; i >= 0; i--) {
    const struct grid *g = &s->level[i];
    double *to = i ? g->x : x;
    prolong(g + 1, g, to);
    for (int k = 0; k < SWEEPS; k++) {
      apply(g, to, i ? g->b : b, g->r);
      relax(g, g->r, to);
    }
  }
}

/* ---- setting up ------------------------------------------------------------------------------------------------ */

static void shape(struct grid *g, int height, int width)
{
  g->height = height;
  g->width = width;
  g->stride = (width + 3 * LANES - 1) / LANES * LANES;
  g->cells = (int64_t)(height + 2) * g->stride;
}

static double *plane(struct solver *s, const struct grid *g)
{
  double *p = s->block + s->used;
  s->used += (size_t)g->cells;
  return p;
}

/* The box around all hidden pixels, with its margin inside the image; false where nothing is hidden. */
static bool find_box(struct solver *s, const unsigned char *hidden, int height, int width)
{
  int y0 = height, y1 = -1, x0 = width, x1 = -1;
  for (int y = 0; y < height; y++)
    for (int x = 0; x < width; x++)
      if (hidden[(int64_t)y * width + x]) {
        y0 = y < y0 ? y : y0;
        y1 = y;
        x0 = x < x0 ? x : x0;
        x1 = x > x1 ? x : x1;
      }
  if (y1 < 0)
    return false;
  s->y0 = y0 > MARGIN ? y0 - MARGIN : 0;
  s->x0 = x0 > MARGIN ? x0 - MARGIN : 0;
  y1 = y1 + MARGIN < height ? y1 + MARGIN : height - 1;
  x1 = x1 + MARGIN < width ? x1 + MARGIN : width - 1;
  shape(&s->level[0], y1 - s->y0 + 1, x1 - s->x0 + 1);
  return true;
}

/* All planes, zeroed. */
static bool allocate(struct solver *s, struct error *err)
{
  size_t total = 0;
  for (s->levels = 1;; s->levels++) {
    struct grid *g = &s->level[s->levels - 1];
    total += (size_t)g->cells * 7;
    if (g->height == 1 && g->width == 1)
      break;
    shape(g + 1, (g->height + 1) / 2, (g->width + 1) / 2);
  }
  total += (size_t)s->level[0].cells * 7; /* x and b of level 0 are none; three of `whole`, six of the solver */
  s->block = mem_zero(total, sizeof *s->block);
  if (!s->block)
    return error_memory(err, "inpainting");
  for (int i = 0; i < s->levels; i++) {
    struct grid *g = &s->level[i];
    double **const planes[] = {&g->diagonal, &g->inverse, &g->east, &g->south, &g->r, &g->x, &g->b};
    for (int k = 0; k < (i ? 7 : 5); k++)
      *planes[k] = plane(s, g);
  }
  s->whole = s->level[0];
  double **const planes[] = {
      &s->whole.diagonal, &s->whole.east, &s->whole.south, &s->u, &s->r, &s->z, &s->p, &s->q, &s->w};
  for (size_t k = 0; k < sizeof planes / sizeof *planes; k++)
    *planes[k] = plane(s, &s->level[0]);
  return true;
}

static void invert(struct grid *g)
{
  for (int64_t i = 0; i < g->cells; i++)
    g->inverse[i] = g->diagonal[i] > 0 ? 1 / g->diagonal[i] : 0;
}

/* L on the box. The box's own edge counts as the image's: the systems do not reach it where it is not. */
static void build_whole(struct solver *s)
{
  const struct grid *g = &s->whole;
  for (int y = 0; y < g->height; y++)
    for (int x = 0; x < g->width; x++) {
      const int64_t i = at(g, y, x);
      g->east[i] = x + 1 < g->width;
      g->south[i] = y + 1 < g->height;
      g->diagonal[i] = (x > 0) + (x + 1 < g->width) + (y > 0) + (y + 1 < g->height);
    }
}

/* L on the hidden pixels alone, as if all others were 0. */
static void build_hidden(struct solver *s, const unsigned char *hidden, int width)
{
  struct grid *g = &s->level[0];
  for (int y = 0; y < g->height; y++) {
    const unsigned char *row = hidden + (int64_t)(s->y0 + y) * width + s->x0;
    for (int x = 0; x < g->width; x++) {
      const int64_t i = at(g, y, x);
      if (!row[x])
        continue;
      g->diagonal[i] = s->whole.diagonal[i];
      g->east[i] = x + 1 < g->width && row[x + 1];
      g->south[i] = y + 1 < g->height && row[x + width];
    }
  }
  invert(g);
}

static void build_coarse(const struct grid *f, struct grid *c)
{
  for (int y = 0; y < c->height; y++)
    for (int x = 0; x < c->width; x++) {
      const int64_t to = at(c, y, x), a = at(f, 2 * y, 2 * x), b = a + f->stride;
      const double inside = (f->east[a] + f->east[b]) + (f->south[a] + f->south[a + 1]);
      const double own = (f->diagonal[a] + f->diagonal[a + 1]) + (f->diagonal[b] + f->diagonal[b + 1]);
      c->diagonal[to] = (own - 2 * inside) / 2;
      c->east[to] = (f->east[a + 1] + f->east[b + 1]) / 2;
      c->south[to] = (f->south[b] + f->south[b + 1]) / 2;
    }
  invert(c);
}

/* ---- solving --------------------------------------------------------------------------------------------------- */

/* to = the system's matrix times u, which is 0 in all that is not hidden. */
static void multiply(const struct solver *s, const double *u, double *to)
{
  if (s->plate) {
    apply(&s->whole, u, NULL, s->w);
    apply(&s->whole, s->w, NULL, to);
    keep_hidden(&s->level[0], to);
  } else {
    apply(&s->level[0], u, NULL, to);
  }
}

static void precondition(const struct solver *s, const double *r, double *z)
{
  if (s->plate) {
    cycle(s, r, s->w);
    cycle(s, s->w, z);
  } else {
    cycle(s, r, z);
  }
}

/* u = the solution for the right-hand side in r, which is used up. */
static bool solve(struct solver *s, double precise, struct error *err)
{
  const int64_t n = s->level[0].cells;
  double before = 0;
  memset(s->u, 0, (size_t)n * sizeof *s->u);
  memset(s->p, 0, (size_t)n * sizeof *s->p);
  for (int round = 0; round < MAX_ROUNDS; round++) {
    precondition(s, s->r, s->z);
    if (greatest(n, s->r) <= precise && greatest(n, s->z) <= precise) {
      combine(n, 1, s->z, 1, s->u);
      return true;
    }
    const double now = dot(n, s->r, s->z);
    combine(n, 1, s->z, before > 0 ? now / before : 0, s->p);
    multiply(s, s->p, s->q);
    const double step = now / dot(n, s->p, s->q);
    combine(n, step, s->p, 1, s->u);
    combine(n, -step, s->q, 1, s->r);
    before = now;
  }
  return error_set(err, ERROR_FAILED, "inpaint: after %d rounds a residual of %g is left, more than %g", MAX_ROUNDS,
                   greatest(n, s->r), precise);
}

/* What the kept pixels around pull with, minus `base` each, as the right-hand side in r. */
static void pull_of_rim(struct solver *s, const float *u, int width, int channels, double base)
{
  const struct grid *g = &s->level[0];
  memset(s->u, 0, (size_t)g->cells * sizeof *s->u);
  for (int y = 0; y < g->height; y++)
    for (int x = 0; x < g->width; x++) {
      const int64_t i = at(g, y, x);
      if (!(g->inverse[i] > 0))
        s->u[i] = (double)u[((int64_t)(s->y0 + y) * width + s->x0 + x) * channels] - base;
    }
  apply(&s->whole, s->u, NULL, s->q);
  if (s->plate) {
    apply(&s->whole, s->q, NULL, s->r);
    memcpy(s->q, s->r, (size_t)g->cells * sizeof *s->q);
  }
  keep_hidden(g, s->q);
  memset(s->r, 0, (size_t)g->cells * sizeof *s->r);
  combine(g->cells, -1, s->q, 0, s->r);
}

/* Mean of the kept pixels of the box: the solution is near it. */
static double mean_of_rim(const struct solver *s, const float *u, int width, int channels)
{
  const struct grid *g = &s->level[0];
  double sum = 0, n = 0;
  for (int y = 0; y < g->height; y++)
    for (int x = 0; x < g->width; x++)
      if (!(g->inverse[at(g, y, x)] > 0)) {
        sum += (double)u[((int64_t)(s->y0 + y) * width + s->x0 + x) * channels];
        n++;
      }
  return sum / n;
}

/* One channel; u points at it in the first pixel. */
static bool fill_channel(struct solver *s, const struct input *input, float *u, struct error *err)
{
  const struct grid *g = &s->level[0];
  const int width = input->geometry.width, channels = input->channels;
  const double base = mean_of_rim(s, u, width, channels);
  pull_of_rim(s, u, width, channels, base);
  if (!solve(s, PRECISE * (input->hi - input->lo), err))
    return false;
  for (int y = 0; y < g->height; y++)
    for (int x = 0; x < g->width; x++) {
      const int64_t i = at(g, y, x);
      double v = base + s->u[i];
      if (!(g->inverse[i] > 0))
        continue;
      if (s->plate)
        v = v < input->lo ? input->lo : v > input->hi ? input->hi : v;
      u[((int64_t)(s->y0 + y) * width + s->x0 + x) * channels] = (float)v;
    }
  return true;
}

/* ---- the fill -------------------------------------------------------------------------------------------------- */

static bool open(struct fill *fill, const char *argument, struct error *err)
{
  if (argument && strcmp(argument, "bi") != 0)
    return error_set(err, ERROR_USAGE, "fill: 'inpaint:%.40s' is neither inpaint nor inpaint:bi", argument);
  fill->number = argument ? 1 : 0;
  return true;
}

static bool region(const struct fill *fill, uint32_t draw, const unsigned char *hidden, float *u, struct error *err)
{
  const struct input *input = fill->scene.input;
  const int height = input->geometry.height, width = input->geometry.width;
  struct solver s = {.plate = fill->number > 0};
  (void)draw;
  if (!find_box(&s, hidden, height, width))
    return true;
  if (!memchr(hidden, 0, (size_t)height * (size_t)width))
    return error_set(err, ERROR_FAILED,
                     "fill: 'inpaint' has nothing to go by where all %dx%d pixels are hidden "
                     "(fill-unavailable)",
                     height, width);
  bool ok = allocate(&s, err);
  if (ok) {
    build_whole(&s);
    build_hidden(&s, hidden, width);
    for (int i = 1; i < s.levels; i++)
      build_coarse(&s.level[i - 1], &s.level[i]);
  }
  for (int c = 0; ok && c < input->channels; c++)
    ok = fill_channel(&s, input, u + c, err);
  mem_free(s.block);
  return ok;
}

const struct fill_kind fill_inpaint = {
    .name = "inpaint",
    .summary = "a smooth surface from the rim of what is hidden",
    .argument = "bi for one that keeps the slope too",
    .needs_region = true,
    .open = open,
    .region = region,
};
