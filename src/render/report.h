/* SPDX-License-Identifier: Apache-2.0 */
/* report.html: one page that says why a classifier gave its score and how far that can be trusted. Style, script and
 * pictures are inside; the page asks the network for nothing, and its content security policy forbids it to.
 *
 * A map travels as a grey PNG of codes (128 is zero, 1 and 255 the ends of its scale), which an SVG filter of the page
 * colours: the same bytes serve the picture without scripts, in print, and under the page's sliders. */
#ifndef PENUMBRA_RENDER_REPORT_H
#define PENUMBRA_RENDER_REPORT_H

#include "base/error.h"
#include "base/str.h"
#include "image/image.h"

#include <jansson.h>
#include <stdint.h>

enum {
  REPORT_LIMIT = 2900000, /* bytes; pictures shrink until the page fits */
  REPORT_MAX_MAPS = 32
};

struct report_map {
  const json_t *result;    /* result.json; borrowed */
  const json_t *metrics;   /* metric's name -> what was measured (metrics/metric.h), or NULL; borrowed */
  const float *heat;       /* [height, width] of the picture */
  const int32_t *coverage; /* [height, width], 0 where the model saw nothing; or NULL */
};

struct report {
  const struct image *picture;
  const struct report_map *maps; /* the first one is shown first */
  int count;
  const json_t *agreement; /* [count][count] Spearman correlations, null where undefined; NULL for one map */
};

/* The page, appended to `html`, whose limit should be REPORT_LIMIT. */
bool report_html(const struct report *report, struct str *html, struct error *err);

#endif
