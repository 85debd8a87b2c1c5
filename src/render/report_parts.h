/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the report share. */
#ifndef PENUMBRA_RENDER_REPORT_PARTS_H
#define PENUMBRA_RENDER_REPORT_PARTS_H

#include "render/html.h"
#include "render/report.h"

/* report.css and report.js, made into texts by the build. */
extern const char report_style[], report_script[];

/* The scale of a map, and where it was seen. */
struct report_scale {
  double limit;    /* greatest magnitude, 0: flat */
  bool both_signs; /* else there is nothing below zero */
  int64_t holes;   /* values that are not finite */
  int x0, y0, x1, y1; /* the part of the picture that the model saw; all of it unless coverage says otherwise */
};

struct report_pictures {
  struct report_scale scale[REPORT_MAX_MAPS];
  double common; /* limit of all scales */
  int width, height; /* of the picture as the page holds it, px */
  bool pixelated;    /* enlarged so far that its pixels should stay visible */
  bool color;
  bool unseen;       /* a crop cut the picture */
};

/* A member of a nested object, or NULL: report_get(result, "model", "path"). */
const json_t *report_get(const json_t *object, const char *key, const char *below);
/* Text of a member, "" where there is none. */
const char *report_text(const json_t *object, const char *key, const char *below);
/* The number a value is, NAN where it is none; and that of a member. */
double report_value(const json_t *value);
double report_number(const json_t *object, const char *key, const char *below);
const char *report_method(const struct report *report, int map);

/* report_pictures.c: what is defined once and shown several times; and a picture with a map over it. */
void report_scales(const struct report *report, struct report_pictures *pictures);
bool report_store(const struct report *report, struct report_pictures *pictures, int picture_side, int map_side,
                  struct str *html, struct error *err);
void report_stage(const struct report_pictures *pictures, const struct report *report, int map, const char *id,
                  const char *title, struct str *html);
void report_legend(const struct report_pictures *pictures, int map, struct str *html);

/* What stands where nobody measured. */
extern const char report_not_measured[];

/* report_facts.c: what is known of one map, in words and figures. */
void report_verdict(const struct report *report, const struct report_pictures *pictures, int map, struct str *html);
void report_warnings(const struct report *report, int map, struct str *html);
void report_trust(const struct report *report, int map, struct str *html);
void report_trust_table(const struct report *report, struct str *html);
void report_scores(const struct report *report, struct str *html);
void report_artifacts(const struct report *report, struct str *html);
void report_agreement(const struct report *report, struct str *html);

/* report_records.c */
void report_records(const struct report *report, int map, struct str *html);
bool report_again(const struct report *report, int map, struct str *html, struct error *err);

/* report_curves.c */
bool report_curves(const struct report *report, int map, struct str *html, struct error *err);
bool report_curves_of_all(const struct report *report, struct str *html, struct error *err);

#endif
