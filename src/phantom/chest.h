/* SPDX-License-Identifier: Apache-2.0 */
/* The chest as solid bodies: at any place in the plane of the detector, how many millimetres of tissue, lung and bone
 * a ray passes. All lengths in mm of the patient. */
#ifndef PENUMBRA_PHANTOM_CHEST_H
#define PENUMBRA_PHANTOM_CHEST_H

#include "phantom/exact.h"
#include "phantom/pose.h"
#include "phantom/stroke.h"
#include "phantom/texture.h"

#include <stdbool.h>

#define CHEST_TISSUE 0.0185 /* attenuation of soft tissue per mm, effective over the beam */

enum { RIGHT, LEFT }; /* of the patient; RIGHT is drawn at the left */

/* The patient's own heart, free of its size. */
struct heart_shape {
  double ratio;      /* in health: transverse diameter over the inner width of the chest */
  double right;      /* part of the diameter that lies right of the middle line */
  double height;     /* of the middle against the left dome of the diaphragm, mm */
  double cos, sin;   /* tilt of the long axis */
  double b, depth;   /* short half axis over the long one; half thickness over the short one */
  double lobe[2][2]; /* outline: 2nd and 3rd harmonic, relative, cosine and sine */
};

struct heart {
  const struct heart_shape *shape;
  double x, y;        /* middle, mm */
  double a, b, depth; /* half axes, mm */
};

struct dome {
  double x, y, span;  /* crest and half width */
  double fall, steep; /* mm below the crest at the half width: square and fourth-power part */
};

struct vertebra {
  double x, y, half_width, half_height;
};
enum { VERTEBRAE = 17 }; /* twelve thoracic ones, and parts of the neck and the loins at the ends of the field */

/* What depends on the height alone, tabulated: every pixel asks for it. */
enum { LEVELS = 640 };
#define LEVEL_TOP -320.0 /* mm; one entry per mm from here down */
struct level {
  double cage, flank;                            /* half width of the rib cage, and of the trunk */
  double depth;                                  /* half depth of the rib cage */
  double middle[2];                              /* half widths of the mediastinum */
  double neck, neck_depth, shoulder, arm, belly; /* half width; mm; mm; middle of the arm; factor on the trunk */
};

struct chest {
  struct pose pose;
  struct level level[LEVELS + 1];

  /* Rib cage: half width and half depth as functions of the height. */
  double cage_top, cage_bottom, cage_width, cage_depth;
  double apex_x[2], apex_y[2]; /* summits of the lungs */
  double wall, wall_depth;     /* soft tissue at the side, and front and back */
  double shoulder_y, shoulder_drop, neck, arm_gap, axilla_y;
  double breast, breast_x, breast_y, breast_radius[2];
  double lung_density; /* of lung against tissue */
  struct texture haze[3];
  double haze_weight[3];

  double middle[2][6]; /* half widths of the mediastinum at MIDDLE_Y */
  double knob_x, knob_y, knob_radius;
  double trachea_x, trachea_bend;
  struct heart_shape heart;
  struct dome dome[2];
  struct vertebra vertebra[VERTEBRAE];
  double spine_bow, spine_density;
  double stomach_x, stomach_y, stomach_a, stomach_b, stomach_level; /* gas bubble; a = 0: none */
};

/* Draw a patient. */
void chest_draw(struct chest *c, uint64_t seed, int size);

/* Half the inner width of the rib cage at height y; 0 above it. */
double chest_half_width(const struct chest *c, double y);

/* What a ray at (x, y) passes. */
struct passage {
  double tissue; /* mm of body if there were no lung in it */
  double room;   /* mm inside the rib cage */
  double filled; /* mm of that which mediastinum and belly take */
  double bone;   /* attenuation of spine and breastbone beyond that of tissue */
  bool field;  /* lung field: inside the rib cage, beside the mediastinum and above the diaphragm, heart or no heart */
  bool thorax; /* inside the rib cage */
};
void chest_pass(const struct chest *c, double x, double y, struct passage *p);

/* The patient's heart at the given cardiothoracic ratio. */
struct heart chest_heart(const struct chest *c, double ratio);
/* Its thickness at (x, y), 0 outside. */
double heart_thickness(const struct heart *h, double x, double y);

/* mm of lung on a ray that meets `heart` mm of heart. */
static inline double passage_lung(const struct passage *p, double heart)
{
  double lung = p->room - exact_union(p->filled, heart);
  return lung > 0 ? lung : 0;
}

/* Middle of the upper arm at height y, from the middle line. */
double chest_arm(const struct chest *c, double y);

/* Greatest inner width of the rib cage, to which the heart is compared. */
double chest_width(const struct chest *c);

/* Tubes. skeleton.c: ribs, clavicles, shoulder blades. vessels.c: vessels of the lungs; windpipe and main bronchi. */
void skeleton_draw(const struct chest *c, uint64_t seed, struct stroke *s);
void vessels_draw(const struct chest *c, uint64_t seed, struct stroke *s);
void airways_draw(const struct chest *c, struct stroke *s);
/* Where the vessels enter the lung. */
void hilum_place(const struct chest *c, int side, double *x, double *y);

#endif
