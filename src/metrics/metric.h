/* SPDX-License-Identifier: Apache-2.0 */
/* What a metric is: a table of parameters and a function that measures one map of one image. One file each, listed in
 * metrics.def. What several images say together is summary.h's. */
#ifndef PENUMBRA_METRICS_METRIC_H
#define PENUMBRA_METRICS_METRIC_H

#include "base/error.h"
#include "base/params.h"
#include "methods/method.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum metric_needs {
  METRIC_MAP = 1,     /* a map on the model grid */
  METRIC_METHOD = 2,  /* the method itself, which it runs again and again; not for maps from elsewhere */
  METRIC_TRUTH = 4,   /* a truth mask */
  METRIC_WEIGHTS = 8, /* a model whose weights can be replaced */
};

/* What the maps of one image share: figures of a metric that depend on no map, measured with the first. */
struct shared_figures {
  double *values; /* NULL: not measured yet */
  size_t count;
};

/* What is measured. */
struct measure {
  const struct explain *explain; /* the image, the model, the seed, limits; its target is one class */
  struct evaluator *evaluator;   /* on that image, its scores known */
  int64_t target;
  const float *map;            /* [height, width] on the model grid, finite; NULL where none is needed */
  const struct method *method; /* that made the map; NULL for a map from elsewhere */
  const void *method_options;
  const struct explain *method_explain; /* with what the method was run: its ceilings and precision */
  const unsigned char *truth;           /* [height, width] on the model grid, or NULL */
  const char *path;                     /* of the image, as the user named it */
  int variant;                          /* of metrics that have some */
  struct shared_figures *shared;        /* with the other maps of this image; NULL: there are none */
};

/* What was found; all JSON, so that it can be kept and taken up again. */
struct measurement {
  json_t *values; /* name -> number, null where it is undefined */
  json_t *spread; /* name -> {"sd", "n", "single"}: over repetitions on this image, for an interval from one image */
  json_t *details;
  json_t *curves;   /* name -> {"y": […], "stderr": […]} over details.x */
  json_t *warnings; /* [{"id", "message"}] */
};

struct metric {
  const char *name, *title, *summary, *paper;
  unsigned needs;       /* enum metric_needs */
  const char *headline; /* the value by which maps are ranked */
  bool less_is_better;
  const char *columns;           /* further values that tables show, separated by commas, or NULL */
  const char *counts;            /* a detail that counts things by name and is added up over images, or NULL */
  bool by_class;                 /* the mean is that of the classes' means */
  const char *x_label, *y_label; /* of its curves, NULL without */
  const struct param *params;
  size_t options_size;
  /* Name of variant i, which stands where others have a method; false past the last. NULL: the metric has none. */
  bool (*variant)(const void *options, int i, char *name, size_t size);
  bool (*run)(const struct measure *measure, const void *options, struct measurement *out, struct error *err);
};

const struct metric *metric_at(int i); /* NULL past the last */
/* An unknown name is an error that lists the names. */
const struct metric *metric_require(const char *name, struct error *err);
json_t *metric_json(const struct metric *metric);

bool measurement_init(struct measurement *m, struct error *err);
void measurement_free(struct measurement *m);
void measurement_value(struct measurement *m, const char *name, double value); /* not finite: undefined */
/* `single`: what is asked of is one repetition's place among the others, not the mean of all. */
void measurement_spread(struct measurement *m, const char *name, double sd, int64_t n, bool single);
void measurement_detail(struct measurement *m, const char *name, json_t *value); /* takes the reference */
/* `error` may be NULL. */
void measurement_curve(struct measurement *m, const char *name, const double *y, const double *error, int64_t n);
/* The abscissae of all its curves: from, from + step … */
void measurement_abscissa(struct measurement *m, double step, int64_t n);
void measurement_warn(struct measurement *m, const char *id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* One JSON object of all, for keeping; the reference is the caller's. NULL when memory is out. */
json_t *measurement_json(const struct measurement *m);

/* The map of the measured method under other circumstances; `error` [height, width] takes its standard error where not
 * NULL, *has_error tells whether there is one. *evaluations grows. */
bool metric_rerun(const struct measure *measure, const struct explain *explain, float *map, float *error,
                  bool *has_error, int64_t *evaluations, struct error *err);

/* A length in model pixels: `base` px at a shorter side of 224 where it is automatic; millimetres by the image's
 * spacing. At least 1. */
bool metric_pixels(const struct length *length, double base, bool vertical, const struct input *input, const char *name,
                   int *px, struct error *err);
/* Whether all values of a map are equal; then it is warned of (flat-map). */
bool metric_flat(const struct measure *measure, struct measurement *out);

/* The `count` figures that an earlier map left, NULL if none did. */
const double *metric_shared(const struct measure *measure, size_t count);
/* Leaves them, unless there is nobody to leave them to or no memory, which costs time only. */
void metric_share(const struct measure *measure, const double *values, size_t count);
void shared_free(struct shared_figures *shared);

/* Mean, and standard deviation with n - 1 (0 below 2). */
double mean_of(const double *x, int64_t n);
double deviation_of(const double *x, int64_t n);

#endif
