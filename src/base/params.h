/* SPDX-License-Identifier: Apache-2.0 */
/* Declared parameters. A table of `struct param` is the single source of a method's options: command line, JSON,
 * Python, help texts and range checks are all read from it. */
#ifndef PENUMBRA_BASE_PARAMS_H
#define PENUMBRA_BASE_PARAMS_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum param_type {
  PARAM_INT,    /* int64_t at `offset` */
  PARAM_FLOAT,  /* double */
  PARAM_BOOL,   /* bool; text "on"/"off", "true"/"false", "1"/"0", or empty for on */
  PARAM_CHOICE, /* int: index into `choices` */
  PARAM_TEXT,   /* const char *, borrowed from the arguments or the table */
  PARAM_LENGTH, /* struct length */
};

/* A length on the model grid: pixels, or millimetres of the source image converted per axis by the method. */
struct length {
  double y, x; /* both the same unless "HxW" was given */
  bool millimetres;
  bool automatic; /* "auto": the method computes its default */
};

struct param {
  const char *name; /* as in --name VALUE and "name=VALUE" */
  enum param_type type;
  size_t offset;       /* in the options struct */
  const char *initial; /* default as text; "auto" sets INT to INT64_MIN, FLOAT to NAN, LENGTH to automatic */
  double min, max;     /* inclusive, for INT, FLOAT and LENGTH in pixels */
  const char *choices; /* "gauss|left|right" for CHOICE, else NULL */
  const char *unit;    /* "px", "s", or NULL */
  const char *paper;   /* value under `defaults=paper`, NULL where it is the default */
  const char *summary; /* one line */
};

/* clang-format off */
#define PARAM_END {.name = NULL}
/* clang-format on */
#define PARAM_AUTO_INT INT64_MIN

/* Fill `options` from the defaults in `table` and then from `arguments`: "name=value" texts, NULL-terminated (NULL =
 * none), which must outlive the options. `owner` names the method in errors ("occlusion"). With `defaults=paper`
 * among the arguments the paper's values replace the defaults. An unknown name, a value that does not parse or is out
 * of range is ERROR_USAGE naming parameter, value and range. */
bool params_parse(const struct param *table, const char *owner, const char *const *arguments, void *options,
                  struct error *err);

/* The options as they are now, as a JSON object name -> value. NULL when memory is out. */
json_t *params_json(const struct param *table, const void *options);

/* The table itself as JSON: [{"name","type","default","min","max","choices","unit","paper","summary"}]. */
json_t *params_describe(const struct param *table);

#endif
