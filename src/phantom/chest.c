/* SPDX-License-Identifier: Apache-2.0 */
#include "phantom/chest.h"

/* Heights at which the mediastinum's half widths are given, from the neck to the diaphragm. */
static const double middle_y[6] = {-150, -105, -62, -24, 34, 104};

static void draw_pose(struct chest *c, uint64_t seed, int size)
{
  struct stream s = stream_open(seed, STREAM_POSE);
  double angle = stream_uniform(&s, -3.0, 3.0) * (3.14159265358979323846 / 180.0);
  c->pose.cos = exact_cos(angle);
  c->pose.sin = exact_sin(angle);
  c->pose.scale = stream_uniform(&s, 0.92, 1.08);
  c->pose.dx = stream_uniform(&s, -15.0, 15.0);
  c->pose.dy = stream_uniform(&s, -15.0, 15.0);
  c->pose.mm = 400.0 / size;
  c->pose.middle = 0.5 * size - 0.5;
}

static void draw_body(struct chest *c, uint64_t seed)
{
  struct stream s = stream_open(seed, STREAM_BODY);
  c->cage_top = stream_uniform(&s, -158, -146);
  c->cage_bottom = stream_uniform(&s, 140, 156);
  c->cage_width = stream_uniform(&s, 131, 147);
  c->cage_depth = stream_uniform(&s, 88, 104);
  c->wall = stream_uniform(&s, 20, 34);
  c->wall_depth = c->wall * stream_uniform(&s, 0.75, 1.0);
  c->shoulder_y = stream_uniform(&s, -222, -206);
  c->shoulder_drop = stream_uniform(&s, 14, 44);
  c->neck = stream_uniform(&s, 54, 64);
  c->arm_gap = stream_uniform(&s, 0.10, 0.22);
  c->axilla_y = stream_uniform(&s, -70, -30);

  s = stream_open(seed, STREAM_BREASTS);
  double amount = stream_uniform(&s, -0.7, 1.0);
  c->breast = amount < 0 ? 0 : 6 + 16 * amount;
  c->breast_x = stream_uniform(&s, 74, 92);
  c->breast_y = stream_uniform(&s, 36, 66);
  c->breast_radius[0] = stream_uniform(&s, 54, 66);
  c->breast_radius[1] = stream_uniform(&s, 50, 66);
}

static void draw_lungs(struct chest *c, uint64_t seed)
{
  struct stream s = stream_open(seed, STREAM_LUNGS);
  for (int side = 0; side < 2; side++) {
    c->apex_x[side] = stream_uniform(&s, 44, 54);
    c->apex_y[side] = c->cage_top + stream_uniform(&s, 10, 17);
  }
  c->lung_density = stream_uniform(&s, 0.20, 0.30);

  s = stream_open(seed, STREAM_TEXTURE);
  static const double spacing[3] = {30, 9, 3.2}, weight[3] = {0.07, 0.06, 0.06};
  for (int i = 0; i < 3; i++) {
    texture_draw(&c->haze[i], seed, STREAM_TEXTURE, (uint32_t)i, spacing[i]);
    c->haze_weight[i] = weight[i] * stream_uniform(&s, 0.6, 1.4);
  }

  s = stream_open(seed, STREAM_DIAPHRAGM);
  double lift = stream_uniform(&s, 10, 20), crest = stream_uniform(&s, 66, 92);
  for (int side = 0; side < 2; side++) {
    struct dome *d = &c->dome[side];
    double way = side == RIGHT ? -1 : 1;
    d->x = way * stream_uniform(&s, 58, 70);
    d->y = side == RIGHT ? crest : crest + lift;
    d->span = chest_half_width(c, d->y + 30) - way * d->x;
    d->fall = stream_uniform(&s, 10, 16);
    d->steep = stream_uniform(&s, 22, 34);
  }
  s = stream_open(seed, STREAM_STOMACH);
  double gas = stream_uniform(&s, 0, 1);
  c->stomach_a = gas < 0.25 ? 0 : stream_uniform(&s, 16, 36);
  c->stomach_b = c->stomach_a * stream_uniform(&s, 0.5, 0.8);
  c->stomach_x = c->dome[LEFT].x + stream_uniform(&s, -18, 12);
  c->stomach_y = c->dome[LEFT].y + 14 + c->stomach_b;
  c->stomach_level = c->stomach_y + c->stomach_b * stream_uniform(&s, 0.1, 1.0);
}

static void draw_middle(struct chest *c, uint64_t seed)
{
  struct stream s = stream_open(seed, STREAM_MEDIASTINUM);
  static const double base[2][6] = {{24, 26, 29, 30, 29, 25}, {24, 25, 28, 38, 42, 29}};
  double broad = stream_uniform(&s, 0.86, 1.1);
  for (int side = 0; side < 2; side++)
    for (int i = 0; i < 6; i++)
      c->middle[side][i] = base[side][i] * broad + stream_uniform(&s, -2.5, 2.5);
  c->knob_x = stream_uniform(&s, 18, 25);
  c->knob_y = stream_uniform(&s, -76, -60);
  c->knob_radius = stream_uniform(&s, 16, 22);
  c->trachea_x = stream_uniform(&s, -3, 2);
  c->trachea_bend = stream_uniform(&s, -5, 1);

  s = stream_open(seed, STREAM_SPINE);
  c->spine_bow = stream_uniform(&s, -5, 5);
  c->spine_density = stream_uniform(&s, 0.12, 0.28);
  double y = stream_uniform(&s, -232, -214);
  for (int i = 0; i < VERTEBRAE; i++) {
    struct vertebra *v = &c->vertebra[i];
    v->half_height = 8.6 + 0.28 * i + stream_uniform(&s, -0.4, 0.4);
    v->half_width = 12.5 + 0.52 * i + stream_uniform(&s, -0.6, 0.6);
    v->y = y + v->half_height;
    v->x = c->spine_bow * (1.0 - v->y * v->y / 25000.0) + stream_uniform(&s, -0.5, 0.5);
    y += 2 * v->half_height + 3.2 + 0.1 * i;
  }

  s = stream_open(seed, STREAM_HEART);
  struct heart_shape *h = &c->heart;
  h->ratio = stream_uniform(&s, 0.40, 0.49);
  double tilt = stream_uniform(&s, 28, 48) * (3.14159265358979323846 / 180.0);
  h->cos = exact_cos(tilt);
  h->sin = exact_sin(tilt);
  h->b = stream_uniform(&s, 0.70, 0.80);
  h->depth = stream_uniform(&s, 1.30, 1.50);
  h->right = stream_uniform(&s, 0.31, 0.37);
  h->height = stream_uniform(&s, -52, -42);
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < 2; k++)
      h->lobe[i][k] = stream_uniform(&s, -0.022, 0.022);
}

double chest_half_width(const struct chest *c, double y)
{
  double t = (y - c->cage_top) / (c->cage_bottom - c->cage_top);
  if (t <= 0)
    return 0;
  double q = t >= 1 ? 0 : 1 - t;
  return c->cage_width * sqrt(1 - q * q * sqrt(q)) * (1 + 0.03 * t);
}

double chest_width(const struct chest *c)
{
  return 2 * chest_half_width(c, c->dome[RIGHT].y);
}

/* Half the inner depth of the rib cage at height y. */
static double half_depth(const struct chest *c, double y)
{
  double t = exact_clamp((y - c->cage_top + 70) / (c->cage_bottom - c->cage_top + 70), 0, 1);
  double q = 1 - t;
  return c->cage_depth * (0.30 + 0.70 * sqrt(1 - q * q * q * q));
}

static double middle_width(const struct chest *c, int side, double y)
{
  const double *w = c->middle[side];
  if (y <= middle_y[0])
    return w[0];
  for (int i = 1; i < 6; i++)
    if (y < middle_y[i]) {
      double t = (y - middle_y[i - 1]) / (middle_y[i] - middle_y[i - 1]);
      t = t * t * (3 - 2 * t);
      return w[i - 1] + (w[i] - w[i - 1]) * t;
    }
  return w[5];
}

/* Path through a ball-like body: 1 in the middle, 0 at relative distance 1, with the steep edge of a solid. */
static double round_edge(double square)
{
  return square >= 1 ? 0 : sqrt(1 - square);
}

double chest_arm(const struct chest *c, double y)
{
  double away = y > c->axilla_y ? c->arm_gap * (y - c->axilla_y) : 0.25 * (y - c->axilla_y);
  return chest_half_width(c, c->axilla_y) + c->wall + 62 + away;
}

static double flank_width(const struct chest *c, double y)
{
  /* Towards the armpit the muscles of back and breast stand out from the ribs. */
  double flank = y < c->axilla_y + 60 ? (c->axilla_y + 60 - y) / 100 : 0;
  return chest_half_width(c, y < c->axilla_y ? c->axilla_y : y) + c->wall + 26 * flank * flank;
}

static void level_fill(const struct chest *c, double y, struct level *v)
{
  v->cage = chest_half_width(c, y);
  v->flank = flank_width(c, y);
  v->depth = half_depth(c, y);
  for (int side = 0; side < 2; side++)
    v->middle[side] = middle_width(c, side, y);
  v->neck = c->neck * (1 + 0.15 * exact_step(-190, -150, y));
  v->neck_depth = 112 * exact_step(-80, -150, y);
  v->shoulder = 108 * exact_step(c->axilla_y + 50, c->axilla_y - 40, y);
  v->arm = chest_arm(c, y);
  v->belly = 1 + 0.05 * exact_step(c->dome[RIGHT].y - 10, c->dome[LEFT].y + 50, y);
}

static void level_find(const struct chest *c, double y, struct level *v)
{
  double t = exact_clamp(y - LEVEL_TOP, 0, LEVELS - 0.001);
  int i = (int)t;
  t -= i;
  const struct level *a = &c->level[i], *b = a + 1;
  v->cage = a->cage + (b->cage - a->cage) * t;
  v->flank = a->flank + (b->flank - a->flank) * t;
  v->depth = a->depth + (b->depth - a->depth) * t;
  v->middle[0] = a->middle[0] + (b->middle[0] - a->middle[0]) * t;
  v->middle[1] = a->middle[1] + (b->middle[1] - a->middle[1]) * t;
  v->neck = a->neck + (b->neck - a->neck) * t;
  v->neck_depth = a->neck_depth + (b->neck_depth - a->neck_depth) * t;
  v->shoulder = a->shoulder + (b->shoulder - a->shoulder) * t;
  v->arm = a->arm + (b->arm - a->arm) * t;
  v->belly = a->belly + (b->belly - a->belly) * t;
}

static double body_thickness(const struct chest *c, double x, double y, const struct level *v)
{
  double ax = fabs(x);
  double u = ax / v->flank, u2 = u * u;
  double wide = u >= 1 ? 0 : sqrt(sqrt(1 - u2 * u2));
  double reach = (ax - v->cage) / (v->flank - v->cage + 1);
  double trunk = 2 * (v->depth + c->wall_depth) * wide * (reach > 0 ? 1 - 0.32 * reach * reach : 1);
  double n = x / v->neck;
  double neck = v->neck_depth * round_edge(n * n);
  /* Shoulders: a slope from the neck outwards, thick below its upper edge. */
  double slope = exact_clamp((ax - c->neck * 0.8) / 110, 0, 1.4);
  double top = c->shoulder_y + 8 + c->shoulder_drop * slope * (0.35 + 0.65 * slope);
  double below = (y - top) / 70;
  double cover = below <= 0 ? 0 : below < 1 ? sqrt(1 - (1 - below) * (1 - below)) : 1;
  trunk *= exact_step(-0.1, 0.5, below) * v->belly;
  /* Arms: cylinders at the sides, parting from the trunk below the armpit. */
  double a = (ax - v->arm) / 47;
  double arm = 94 * round_edge(a * a) * (below <= 0 ? 0 : below < 1 ? sqrt(below) : 1);
  double sum = exact_union4(trunk, neck, v->shoulder * cover, arm);
  if (c->breast > 0) {
    double bx = (ax - c->breast_x) / c->breast_radius[0], by = (y - c->breast_y) / c->breast_radius[1];
    double r = bx * bx + by * by * (by > 0 ? 1.35 : 0.55);
    if (r < 1)
      sum += c->breast * (1 - r) * sqrt(1 - r);
  }
  return sum;
}

/* Attenuation of the backbone beyond that of tissue. */
static double spine_bone(const struct chest *c, double x, double y)
{
  if (fabs(x - c->spine_bow * (1.0 - y * y / 25000.0)) > 26)
    return 0;
  double sum = 0;
  for (int i = 0; i < VERTEBRAE; i++) {
    const struct vertebra *v = &c->vertebra[i];
    double dy = (y - v->y) / v->half_height;
    if (dy < -1.6 || dy > 1.9)
      continue;
    double dx = (x - v->x) / v->half_width;
    double waist = 0.90 + 0.10 * dy * dy;
    double ex = 1 - exact_step(waist - 0.10, waist + 0.06, fabs(dx));
    double ey = 1 - exact_step(0.84, 1.12, fabs(dy));
    double plate = exact_step(0.62, 0.88, fabs(dy)) * ey;
    double rim = exact_step(waist - 0.24, waist - 0.08, fabs(dx)) * ex;
    sum += c->spine_density * ex * ey * (0.75 + 0.45 * plate + 0.3 * rim);
    /* Pedicles, seen end-on as rings, and the spinous process. */
    double px = (fabs(dx) - 0.62) * v->half_width / 4.0, py = (dy + 0.25) * v->half_height / 5.4;
    double ring = px * px + py * py;
    if (ring < 1.4)
      sum += 0.12 * exact_step(0.25, 0.75, ring) * (1 - exact_step(0.9, 1.4, ring));
    double sx = (x - v->x) / 3.4, sy = (dy - 0.95) * v->half_height / 8.0;
    double thorn = sx * sx + sy * sy;
    if (thorn < 1)
      sum += 0.12 * (1 - thorn) * (1 - thorn) + 0.06 * exact_step(0.35, 0.75, thorn) * (1 - exact_step(0.8, 1, thorn));
  }
  return sum;
}

void chest_pass(const struct chest *c, double x, double y, struct passage *p)
{
  struct level level;
  level_find(c, y, &level);
  double cage = level.cage, depth = level.depth;
  p->tissue = body_thickness(c, x, y, &level);
  double band = x * x / (44 * 44);
  p->bone = spine_bone(c, x, y) + (band < 1 ? 0.26 * (1 - band) * (1 - band) : 0);
  p->room = p->filled = 0;
  p->field = p->thorax = false;
  double u = cage > 0 ? x / cage : 2;
  double inside = 2 * depth * round_edge(u * u);
  if (inside <= 0)
    return;
  p->thorax = true;
  int side = x < 0 ? RIGHT : LEFT;
  double ax = fabs(x);

  /* The summit of the lung is a dome of its own. */
  double out = (c->apex_x[side] - ax) / 34;
  double summit = y - c->apex_y[side] - (out > 0 ? 20 * out * out : 9 * out * out);
  if (summit <= 0)
    return;
  double cap = summit < 26 ? sqrt(1 - (1 - summit / 26) * (1 - summit / 26)) : 1;

  double m = ax / level.middle[side];
  double block = 2 * depth * round_edge(m * m * m * m);
  double kx = (x - c->knob_x) / c->knob_radius, ky = (y - c->knob_y) / (c->knob_radius * (y < c->knob_y ? 1.0 : 1.6));
  block = exact_union(block, 150 * round_edge(kx * kx + ky * ky));
  /* Great vessels between the aortic knob and the heart. */
  double gx = (x - 10 - 0.16 * y) / 41, gy = (y - 6) / 66;
  block = exact_union(block, 165 * round_edge(gx * gx + gy * gy));

  const struct dome *d = &c->dome[side];
  double s = (x - d->x) / d->span, s2 = s * s;
  double under = y - (d->y + d->fall * s2 + d->steep * s2 * s2);
  double belly = under > 0 ? 2 * sqrt(2 * 320 * under + under * under) : 0;

  p->room = inside * cap;
  p->filled = exact_union(block, belly);
  p->field = m > 1 && under < 0 && p->room - p->filled > 12;
}

void chest_draw(struct chest *c, uint64_t seed, int size)
{
  *c = (struct chest){0};
  draw_pose(c, seed, size);
  draw_body(c, seed);
  draw_lungs(c, seed);
  draw_middle(c, seed);
  for (int i = 0; i <= LEVELS; i++)
    level_fill(c, LEVEL_TOP + i, &c->level[i]);
}

struct heart chest_heart(const struct chest *c, double ratio)
{
  const struct heart_shape *shape = &c->heart;
  double width = ratio * chest_width(c);
  struct heart h = {.shape = shape};
  h.a = 0.5 * width / sqrt(shape->cos * shape->cos + shape->b * shape->b * shape->sin * shape->sin);
  h.b = shape->b * h.a;
  h.depth = shape->depth * h.b;
  h.x = width * (0.5 - shape->right);
  h.y = c->dome[LEFT].y + shape->height;
  return h;
}

double heart_thickness(const struct heart *h, double x, double y)
{
  const struct heart_shape *shape = h->shape;
  double dx = x - h->x, dy = y - h->y;
  double u = (dx * shape->cos + dy * shape->sin) / h->a, v = (dy * shape->cos - dx * shape->sin) / h->b;
  double r2 = u * u + v * v;
  if (r2 >= 1.2)
    return 0;
  /* cos 2t, sin 2t, cos 3t, sin 3t of the direction, without an angle. */
  double k = r2 > 1e-9 ? 1 / r2 : 0, k3 = k * sqrt(k);
  double c2 = (u * u - v * v) * k, s2 = 2 * u * v * k;
  double c3 = (u * u - 3 * v * v) * u * k3, s3 = (3 * u * u - v * v) * v * k3;
  const double(*lobe)[2] = shape->lobe;
  double edge = 1 + lobe[0][0] * c2 + lobe[0][1] * s2 + lobe[1][0] * c3 + lobe[1][1] * s3;
  /* Fuller than an ellipsoid: steep at the border, flat in the middle. */
  return 2 * h->depth * sqrt(round_edge(r2 / (edge * edge)));
}
