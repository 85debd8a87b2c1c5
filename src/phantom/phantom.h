/* SPDX-License-Identifier: Apache-2.0 */
/* A procedural chest radiograph: images whose cause of abnormality is known to the pixel. Not for clinical use.
 * The picture is built as attenuation along the rays and then exposed. Every element draws from a random stream of its
 * own, so that adding a finding moves nothing else, and no function of the C library's mathematics decides a pixel:
 * one seed gives one picture, on every machine and for any number of threads. */
#ifndef PENUMBRA_PHANTOM_PHANTOM_H
#define PENUMBRA_PHANTOM_PHANTOM_H

#include "base/error.h"
#include "base/files.h"
#include "image/image.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum phantom_finding {
#define FINDING(name) PHANTOM_##name,
#include "phantom/findings.def"
#undef FINDING
  PHANTOM_FINDINGS
};

enum { PHANTOM_DEFAULT_SIZE = 512, PHANTOM_MIN_SIZE = 64, PHANTOM_MAX_SIZE = 2048, PHANTOM_MAX_TRUTH = 16 };

enum phantom_marker {
  PHANTOM_MARKER_RANDOM, /* R or L, each in its own corner, as the seed says */
  PHANTOM_MARKER_RIGHT,
  PHANTOM_MARKER_LEFT,
  PHANTOM_MARKER_NONE,
  PHANTOM_MARKER_SWAPPED, /* the other one than the seed says */
};

struct phantom_request {
  uint64_t seed;
  int size;             /* px per side; 0: PHANTOM_DEFAULT_SIZE */
  int bits;             /* 8, 12 or 16; 0: 16 */
  bool random_findings; /* each with probability 0.2, as the seed says; else exactly those of `finding` */
  bool finding[PHANTOM_FINDINGS];
  enum phantom_marker marker;
  int shortcut; /* number of a finding + 1: the marker says in 95 % of the seeds whether it is there
                   (L if so, R if not), for showing how a model cheats; 0: none */
};

/* A number that describes a finding or the exposure. */
struct phantom_truth {
  const char *name, *unit;
  double value;
};

struct lesion;
struct scene;

struct phantom {
  struct phantom_request request; /* resolved: size, bits and findings are as drawn */
  struct image image;
  double spacing; /* mm per px */
  struct phantom_truth truth[PHANTOM_MAX_TRUTH];
  int truth_count;
  char marker;                             /* 'R', 'L', or 0 */
  struct lesion *lesion[PHANTOM_FINDINGS]; /* NULL where the finding is absent */
  struct scene *scene;
};

/* Name of a finding, and its number by name; -1 for an unknown one. */
const char *phantom_finding_name(int finding);
int phantom_finding_find(const char *name);

/* Draw a phantom. Errors: size or bits out of range, memory. */
bool phantom_generate(const struct phantom_request *request, struct phantom *phantom, struct error *err);
void phantom_free(struct phantom *phantom);

/* The same patient, exposed the same way, without one finding, or without any (`finding` = -1). */
bool phantom_twin(const struct phantom *phantom, int finding, struct image *twin, struct error *err);

/* [size, size], 255 where the finding adds more than half of its change, else 0; borrowed; NULL where it is absent. */
const unsigned char *phantom_mask(const struct phantom *phantom, int finding);
/* Cardiomegaly only: what the heart has more than the patient's own in health. NULL otherwise. */
const unsigned char *phantom_excess(const struct phantom *phantom, int finding);
/* Numbers that describe a finding that is present: size, place, contrast. */
const struct phantom_truth *phantom_lesion_truth(const struct phantom *phantom, int finding, int *count);
/* Lung fields of the healthy patient, heart or no heart before them, and the inside of the rib cage; owned by the
 * caller (mem_free). NULL when memory is out. */
unsigned char *phantom_lungs(const struct phantom *phantom);
unsigned char *phantom_thorax(const struct phantom *phantom);

/* Everything known about the picture, as in truth.json. NULL when memory is out. */
json_t *phantom_json(const struct phantom *phantom);

/* Into a folder that was begun: phantom.png, truth.json, lungs.png, mask_NAME.png and twin_NAME.png per finding that
 * is present (the twin lacks that finding alone), healthy.png without any. */
bool phantom_save(const struct phantom *phantom, const struct output *out, struct error *err);

#endif
