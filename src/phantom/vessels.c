/* SPDX-License-Identifier: Apache-2.0 */
/* Vessels of the lungs: trees that fork from the hila outwards and thin as they go (cube of the radius is shared
 * between the branches: Murray, PNAS 12:207, 1926), and the windpipe with its two main bronchi. */
#include "phantom/chest.h"

#define DEGREE (3.14159265358979323846 / 180.0)

enum { MAX_PENDING = 256 };

struct twig {
  double x, y, angle; /* rad, clockwise from "outwards" */
  double radius;
};

void hilum_place(const struct chest *c, int side, double *x, double *y)
{
  *x = side == RIGHT ? -(c->middle[RIGHT][3] + 5) : c->middle[LEFT][3] + 4;
  *y = side == RIGHT ? -14 : -26;
}

static void grow(const struct chest *c, struct stream *r, int side, struct twig root, struct stroke *s)
{
  double way = side == RIGHT ? -1 : 1;
  struct twig pending[MAX_PENDING];
  int count = 0;
  pending[count++] = root;
  while (count > 0) {
    struct twig t = pending[--count];
    int links = 2 + (int)stream_uniform(r, 0, 2.999);
    double link = 3.2 + 1.6 * t.radius;
    double lean = stream_uniform(r, 1.0, 1.5); /* towards or away from the viewer */
    double curl = stream_uniform(r, -7, 7) * DEGREE;
    struct passage p;
    bool inside = true;
    for (int i = 0; i < links && inside; i++) {
      t.angle += curl + stream_uniform(r, -7, 7) * DEGREE;
      double x = t.x + way * link * exact_cos(t.angle), y = t.y + link * exact_sin(t.angle);
      double next = t.radius * 0.975;
      chest_pass(c, x, y, &p);
      inside = passage_lung(&p, 0) > 22;
      if (inside)
        stroke_line(s, t.x, t.y, x, y, t.radius, next, lean, 2 * t.radius * CHEST_TISSUE * 2.2, 0);
      t.x = x;
      t.y = y;
      t.radius = next;
    }
    if (!inside || t.radius < 0.42)
      continue;
    double share = stream_uniform(r, 0.52, 0.78);
    double major = t.radius * exact_pow(share, 1.0 / 3), minor = t.radius * exact_pow(1 - share, 1.0 / 3);
    double open = stream_uniform(r, 18, 46) * DEGREE, sign = stream_uniform(r, 0, 1) < 0.5 ? -1 : 1;
    if (count + 2 <= MAX_PENDING) {
      pending[count++] = (struct twig){t.x, t.y, t.angle + sign * open, minor * 0.93};
      pending[count++] = (struct twig){t.x, t.y, t.angle - sign * open * 0.4, major * 0.93};
    }
  }
}

void vessels_draw(const struct chest *c, uint64_t seed, struct stroke *s)
{
  struct stream r = stream_open(seed, STREAM_VESSELS);
  double rich = stream_uniform(&r, 0.85, 1.15);
  /* Directions of the first branches, degrees below the horizontal, and their radii; the bases have the larger ones. */
  static const double angle[9] = {-80, -62, -40, -14, 10, 34, 56, 74, 86};
  static const double radius[9] = {2.2, 2.5, 2.2, 1.9, 2.2, 2.8, 3.1, 3.2, 2.4};
  for (int side = 0; side < 2; side++) {
    double way = side == RIGHT ? -1 : 1, hx, hy;
    hilum_place(c, side, &hx, &hy);
    /* The great branches at the root: one down, one up, a knot between. */
    double down = stream_uniform(&r, 70, 82) * DEGREE, up = stream_uniform(&r, -75, -55) * DEGREE;
    double lx = hx + way * 34 * exact_cos(down), ly = hy + 34 * exact_sin(down);
    stroke_line(s, hx, hy - 4, lx, ly, 7.6 * rich, 5.0 * rich, 1, 0.34, 0);
    stroke_line(s, hx, hy - 2, hx + way * 18 * exact_cos(up), hy + 22 * exact_sin(up), 6.2 * rich, 4.0 * rich, 1, 0.26,
                0);
    for (int i = 0; i < 9; i++) {
      struct twig root = {.angle = (angle[i] + stream_uniform(&r, -9, 9)) * DEGREE,
                          .radius = radius[i] * rich * stream_uniform(&r, 0.85, 1.15)};
      double along = exact_clamp((angle[i] + 20) / 110, 0, 1) * stream_uniform(&r, 0.5, 1.0);
      root.x = hx + (lx - hx) * along + way * stream_uniform(&r, 0, 3);
      root.y = hy + (ly - hy) * along + (angle[i] < -30 ? -8 : 0);
      grow(c, &r, side, root, s);
    }
  }
}

void airways_draw(const struct chest *c, struct stroke *s)
{
  double air = -3.2 * CHEST_TISSUE, fork_x = c->trachea_x - 2, fork_y = -58;
  double bend = c->trachea_x + c->trachea_bend;
  stroke_line(s, c->trachea_x, -230, bend, -130, 8.6, 8.6, 1, 8.6 * air, 0);
  stroke_line(s, bend, -130, fork_x, fork_y, 8.6, 8.2, 1, 8.4 * air, 0);
  stroke_line(s, fork_x, fork_y, fork_x - 34, fork_y + 40, 7.0, 5.6, 1, 6.2 * air, 0);
  stroke_line(s, fork_x, fork_y, fork_x + 44, fork_y + 36, 6.4, 5.2, 1, 5.8 * air, 0);
}
