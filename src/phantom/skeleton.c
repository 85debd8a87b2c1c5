/* SPDX-License-Identifier: Apache-2.0 */
/* Ribs, clavicles and shoulder blades as tubes with a dense rim. A rib lies in a plane that falls towards the front,
 * so its rear arc and its front arc cross on the film. */
#include "phantom/chest.h"

#define DEGREE (3.14159265358979323846 / 180.0)

/* A curve in space, sampled; the tube follows it. */
struct bow {
  double x, y, z;
};

static void draw_rib(const struct chest *c, struct stream *r, int number, int side, double y0, struct stroke *s)
{
  double way = side == RIGHT ? -1 : 1;
  double fall = 80 + 5.0 * number + stream_uniform(r, -3, 3); /* mm from the spine to the front end */
  if (number == 0)
    fall = 52;
  double lateral = y0 + 0.43 * fall;
  double width = chest_half_width(c, lateral) + 2.5;
  if (number == 0)
    width = width < 60 ? 60 : width;
  double depth = c->cage_depth * (number < 2 ? 0.62 + 0.12 * number : 0.9);
  double end = (number == 0 ? 132 : 146 - 1.6 * number) * DEGREE;
  double thick = 4.9 + 0.12 * number + stream_uniform(r, -0.3, 0.3); /* half height of the rear arc */
  double density = (number == 0 ? 0.11 : 0.25) + stream_uniform(r, -0.02, 0.02);
  double bend = stream_uniform(r, -2, 2);
  struct bow last = {0};
  double last_r = 0, last_d = 0;
  enum { STEPS = 96 };
  for (int i = 0; i <= STEPS; i++) {
    double t = end * i / STEPS, st = exact_sin(t), ct = exact_cos(t);
    /* The arc starts beside the vertebra and widens quickly; the fall is slow behind and faster at the side. */
    double spread = 0.10 + 0.90 * st + 0.10 * st * ct;
    double front = (1 - ct) / 2;
    struct bow p = {
        .x = way * (14 + (width - 14) * (t > 1.5707963 ? st * 0.92 + 0.08
                                         : spread > 1  ? 1
                                                       : spread)),
        .y = y0 + fall * (0.55 * front + 0.45 * front * front) * 1.1 -
             5 * exact_sin(2 * t) * (t < 1.5707963 ? 1 : -0.5) + bend * st,
        .z = -depth * ct,
    };
    double tube = thick * (1 - 0.20 * front);
    double edge = st > 0.93 ? 1 - 2.6 * (st - 0.93) : 1; /* seen from its narrow side */
    double d =
        density * (1 - 0.42 * exact_step(0.55, 1.0, front)) * (1 - 0.35 * exact_step(0.93, 1.0, (double)i / STEPS));
    tube *= edge;
    if (i > 0) {
      double dx = p.x - last.x, dy = p.y - last.y, dz = p.z - last.z;
      double flat = sqrt(dx * dx + dy * dy), full = sqrt(flat * flat + dz * dz);
      double stretch = flat > 0.05 * full ? full / flat : 20;
      if (stretch > 3.2)
        stretch = 3.2;
      stroke_line(s, last.x, last.y, p.x, p.y, last_r, tube, stretch, last_d * 1.9, 0.78);
    }
    last = p;
    last_r = tube;
    last_d = d;
  }
}

static void draw_clavicle(const struct chest *c, struct stream *r, int side, struct stroke *s)
{
  double way = side == RIGHT ? -1 : 1;
  double x0 = way * (17 + stream_uniform(r, 0, 4)), y0 = c->cage_top + 54 + stream_uniform(r, -6, 6);
  double length = 138 + stream_uniform(r, -6, 8), rise = 38 + stream_uniform(r, -16, 14);
  double wave = 7 + stream_uniform(r, -2, 3);
  double px = 0, py = 0, pr = 0;
  enum { STEPS = 40 };
  for (int i = 0; i <= STEPS; i++) {
    double t = (double)i / STEPS;
    double x = x0 + way * length * t, y = y0 - rise * t - wave * exact_sin(6.2831853071795865 * t) * (1 - 0.4 * t);
    double radius = 5.0 + 3.4 * (1 - exact_step(0, 0.16, t)) + 1.6 * exact_step(0.75, 1, t);
    if (i > 0)
      stroke_line(s, px, py, x, y, pr, radius, 1.06, 0.60, 0.75);
    px = x;
    py = y;
    pr = radius;
  }
}

static void draw_scapula(const struct chest *c, struct stream *r, int side, struct stroke *s)
{
  double way = side == RIGHT ? -1 : 1;
  double top = c->cage_top + 22 + stream_uniform(r, -6, 8), bottom = stream_uniform(r, 2, 26);
  double x_top = 112 + stream_uniform(r, -8, 6), x_low = chest_half_width(c, bottom) - 4 + stream_uniform(r, -14, 6);
  /* Inner border, lower corner, outer border, socket of the shoulder joint. */
  double outline[7][2] = {
      {x_top, top},
      {x_top + 1, top + 36},
      {x_top + 6, (top + bottom) / 2 + 12},
      {x_low, bottom},
      {x_low + 12, bottom - 30},
      {chest_arm(c, top + 62) - 30, top + 62},
      {chest_arm(c, top + 40) - 26, top + 40},
  };
  static const double radius[6] = {2.0, 2.0, 2.3, 3.2, 3.6, 4.2};
  static const double density[6] = {0.10, 0.11, 0.13, 0.20, 0.24, 0.28};
  for (int i = 0; i < 6; i++) {
    /* Each stretch as a curve through its neighbours, so that the border has no corners. */
    const double *a = outline[i > 0 ? i - 1 : 0], *b = outline[i], *e = outline[i + 1], *f = outline[i < 5 ? i + 2 : 6];
    double px = b[0], py = b[1];
    for (int k = 1; k <= 10; k++) {
      double t = k / 10.0, t2 = t * t, t3 = t2 * t;
      double x = 0.5 * (2 * b[0] + (e[0] - a[0]) * t + (2 * a[0] - 5 * b[0] + 4 * e[0] - f[0]) * t2 +
                        (3 * b[0] - a[0] - 3 * e[0] + f[0]) * t3);
      double y = 0.5 * (2 * b[1] + (e[1] - a[1]) * t + (2 * a[1] - 5 * b[1] + 4 * e[1] - f[1]) * t2 +
                        (3 * b[1] - a[1] - 3 * e[1] + f[1]) * t3);
      stroke_line(s, way * px, py, way * x, y, radius[i], radius[i], 1, density[i], 0.4);
      px = x;
      py = y;
    }
  }
  /* The spine of the blade, and the head of the upper arm with its shaft. */
  stroke_line(s, way * (x_top + 8), top + 30, way * 172, top - 4, 3.0, 5.0, 1, 0.16, 0.5);
  double head = top + 34, hx = chest_arm(c, head) - 8;
  stroke_line(s, way * hx, head - 1, way * hx, head + 1, 21, 21, 21, 0.42, 0.3);
  stroke_line(s, way * (hx + 6), head + 4, way * (chest_arm(c, head + 60) + 6), head + 60, 16, 11.5, 1, 0.60, 0.70);
  stroke_line(s, way * (chest_arm(c, head + 60) + 6), head + 60, way * (chest_arm(c, 190) + 6), 190, 11.5, 10.5, 1, 0.8,
              0.9);
}

void skeleton_draw(const struct chest *c, uint64_t seed, struct stroke *s)
{
  struct stream r = stream_open(seed, STREAM_RIBS);
  double y = c->cage_top + 6, pitch = 23.2 + stream_uniform(&r, -0.8, 1.2);
  for (int i = 0; i < 9; i++) {
    for (int side = 0; side < 2; side++)
      draw_rib(c, &r, i, side, y + stream_uniform(&r, -1.2, 1.2), s);
    y += pitch + stream_uniform(&r, -0.8, 0.8);
  }
  for (int i = 0; i < VERTEBRAE; i++) /* transverse processes */
    for (int side = -1; side <= 1; side += 2) {
      const struct vertebra *v = &c->vertebra[i];
      stroke_line(s, v->x + side * 13, v->y - 3, v->x + side * (27 - 0.3 * i), v->y - 7, 4.2, 3.2, 1, 0.16, 0.5);
    }
  r = stream_open(seed, STREAM_CLAVICLES);
  for (int side = 0; side < 2; side++)
    draw_clavicle(c, &r, side, s);
  r = stream_open(seed, STREAM_SCAPULAE);
  for (int side = 0; side < 2; side++)
    draw_scapula(c, &r, side, s);
}
