/* SPDX-License-Identifier: Apache-2.0 */
/* The patient on the pixel grid, before exposure, and what a finding changes in it. */
#ifndef PENUMBRA_PHANTOM_SCENE_H
#define PENUMBRA_PHANTOM_SCENE_H

#include "phantom/chest.h"
#include "phantom/phantom.h"

enum {
  SCENE_FIELD = 1,  /* lung fields, heart or no heart before them */
  SCENE_THORAX = 2, /* inside the rib cage */
  SCENE_AIRY = 4,   /* lung fields with more than 60 mm of lung on the ray */
};

/* How the detector and its processing turn radiation into codes. None of it depends on the findings. */
struct exposure {
  double gain, gamma;
  double scatter;    /* part of the surroundings' radiation that is added */
  double quanta;     /* variance of the signal at signal 1 in a pixel of 1 mm^2 */
  double floor;      /* SD of the constant noise in a pixel of 1 mm^2 */
  double blur;       /* mm, SD */
  double shutter[4]; /* mm from the left, top, right and bottom edge that the collimator covers */
  double marker_x, marker_y, marker_height, marker_cos, marker_sin;
  char marker;
};

struct scene {
  uint64_t seed;
  int n; /* px per side */
  struct chest chest;
  struct heart heart; /* healthy */
  struct exposure exposure;
  float *base;           /* attenuation of the healthy patient, vessels included */
  float *vessel;         /* of which vessels of the lungs */
  float *lung;           /* mm of lung on the ray, heart in place */
  float *open;           /* mm of lung if there were no heart */
  float *dense;          /* attenuation of the lung's own tissue, mm for mm; 0..1 of tissue, haze included */
  float *scatter;        /* scattered radiation of the healthy patient, as a part of the open beam */
  unsigned char *region; /* SCENE_… */
};

bool scene_draw(struct scene *s, uint64_t seed, int size, struct error *err);
void scene_free(struct scene *s);

/* What a finding does to the picture. */
struct lesion {
  float *delta;          /* attenuation added */
  bool fills;            /* it takes the place of air: several such findings cannot fill more than there is */
  float *veil;           /* part of the vessels' attenuation that disappears, 0..1 */
  unsigned char *mask;   /* 255 or 0 */
  unsigned char *excess; /* cardiomegaly: what the heart has grown by; else NULL */
  struct phantom_truth truth[PHANTOM_MAX_TRUTH];
  int truth_count;
};
/* How much of a fluid's full weight the air on the ray of pixel i has room for, 0..1; nothing where the heart takes
 * most of it. */
double scene_room(const struct scene *s, size_t i);

struct lesion *lesion_new(int n, struct error *err);
void lesion_free(struct lesion *l);
void lesion_note(struct lesion *l, const char *name, const char *unit, double value);

/* Drop what is left of the weight, and of the veil, more than 7 mm beside or below the mask: thin remains of a soft
 * edge where it runs along another border. */
bool lesion_trim(const struct scene *s, float *weight, struct lesion *l, struct error *err);

/* How much a finding stands out: the change of the log signal, over the SD of the log signal in the healthy
 * surroundings, a SCENE_ region, times the root of the finding's area in pixels of a 224 px grid. For an
 * `index` of that kind (negative: darker) and the finding's `weight` per pixel, 0..1, return the attenuation to add
 * (negative index: to take away) at weight 1, usually within lo..hi, and note the index that was reached. */
double lesion_contrast(const struct scene *s, int surroundings, const float *weight, double index, double lo, double hi,
                       struct lesion *l);

/* A kind of finding. */
struct finding {
  const char *name, *summary;
  /* Draw it into an empty lesion; `element` is the first of its eight streams. */
  bool (*draw)(const struct scene *s, uint32_t element, struct lesion *l, struct error *err);
};
#define FINDING(name) extern const struct finding finding_##name;
#include "phantom/findings.def"
#undef FINDING

/* Exposure of attenuation = base + the active lesions. `code` is [n, n], 0..top. */
void exposure_draw(struct exposure *e, const struct phantom_request *request);
bool exposure_scatter(struct scene *s, struct error *err);
bool exposure_render(const struct scene *s, struct lesion *const *lesion, const bool *active, int top, uint16_t *code,
                     struct error *err);

#endif
