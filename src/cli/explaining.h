/* SPDX-License-Identifier: Apache-2.0 */
/* Explaining many images by one or several methods, into a folder that a later run can continue: what `explain` and
 * `compare` have in common. Results lie in OUT/STEM/, or OUT/STEM/METHOD/. */
#ifndef PENUMBRA_CLI_EXPLAINING_H
#define PENUMBRA_CLI_EXPLAINING_H

#include "base/error.h"
#include "cli/args.h"
#include "cli/inputs.h"
#include "cli/manifest.h"
#include "cli/progress.h"
#include "penumbra.h"

#include <jansson.h>

enum { EXPLAINING_METHODS = 32 };

struct explaining_method {
  const char *name;
  const char **params; /* NULL-terminated "name=value" */
  int n_params;
};

struct explaining {
  /* Set by the command: */
  const struct args *args;
  const char *const *initial; /* methods without --method, those of them that there are; NULL-terminated */
  bool folders;               /* a folder for each method, also of one */
  json_t *settings;           /* further settings of the folder's manifest, or NULL; borrowed */
  bool (*open)(struct explaining *job, struct error *err); /* once the model is open; or NULL */
  void (*close)(struct explaining *job);                   /* before it is closed, in any case; or NULL */
  /* Once an image has all its maps in the folder; *image is decoded if it was needed so far. Or NULL. */
  bool (*finish)(struct explaining *job, const struct picture *picture, const struct bytes *bytes, const char *sha256,
                 penumbra_image **image, struct error *err);
  void *context;

  /* Read from the arguments: */
  const char *model_path, *out;
  struct explaining_method methods[EXPLAINING_METHODS];
  int n_methods;
  penumbra_request request; /* all but method, parameters and progress */
  const char *normals;      /* folder of normal pictures, or NULL */
  unsigned report;          /* PENUMBRA_NO_REPORT, PENUMBRA_REPORT_JSON */
  bool resume, quiet, json;

  /* Of the run: */
  penumbra_model *model;
  struct manifest manifest;
  struct progress progress;
  json_t *results; /* array, in the order of the images */
  struct tally tally;
  char *artifact_rates; /* on the normal pictures, once the first map is to be made */
};

/* args->words are the model and the images. */
bool explaining_run(struct explaining *job, struct error *err);

/* The options that explaining_run reads, but for --method, whose default differs. */
/* clang-format off */
#define EXPLAINING_OPTIONS                                                                                             \
  {"target", 't', "CLASS", "label or number of the class to explain, top (default) or all", "Explanation", NULL},      \
  {"score", 0, "prob|logit", "what is watched: the probability (default) or what enters the last activation",          \
   "Explanation", NULL},                                                                                               \
  {"normals", 0, "DIR",                                                                                                \
   "normal images on which is measured how often the fills used look like a finding; without it what the card records",\
   "Explanation", NULL},                                                                                               \
  {"defaults", 0, "paper", "use the parameters of the paper wherever they differ", "Explanation", NULL},               \
  {"seed", 0, "N", "fixes everything random (default 0)", "Explanation", NULL},                                        \
  {"precision", 0, "f32|bf16|auto",                                                                                    \
   "of the arithmetic: f32 (default), bf16 where the CPU has it, auto: bf16 where it is checked to make no difference",\
   "Limits", NULL},                                                                                                    \
  {"exact-full", 0, NULL, "run the whole model for every perturbation, never on windows: for comparison", "Limits",    \
   NULL},                                                                                                              \
  {"evals", 0, "N", "stop after so many evaluations of the model", "Limits", NULL},                                    \
  {"budget", 0, "S", "stop after so many seconds, with what is known by then", "Limits", NULL},                        \
  {"threads", 0, "N", "processor cores used (default all); the result does not depend on it", "Limits", NULL},         \
  {"memory", 0, "SIZE",                                                                                                \
   "memory used beyond the model's weights, such as 500M or 2G (default 1G); the result does not depend on it",        \
   "Limits", NULL},                                                                                                    \
  {"out", 'o', "DIR", "folder of the results (default penumbra-out)", "Output", NULL},                                 \
  {"overwrite", 0, NULL, "replace results that are there", "Output", NULL},                                            \
  {"resume", 0, NULL, "skip images whose result is there, made with the same settings (default)", "Output", NULL},     \
  {"no-resume", 0, NULL, "an image whose result is there is an error", "Output", NULL},                                \
  {"map-scale", 0, "X", "value at the ends of every overlay's colours, to compare images (default: its own largest)",  \
   "Output", NULL},                                                                                                    \
  {"report", 0, "html|json", "report.html (default) or, for programs, report.json", "Output", NULL},                   \
  {"no-report", 0, NULL, "write no report", "Output", NULL},                                                           \
  {"json", 0, NULL, "print the results to standard output as a JSON array", "Output", NULL},                           \
  OPTION_PROGRESS,                                                                                                     \
  {"quiet", 'q', NULL, "print errors only", "Output", NULL},                                                           \
  OPTION_CARD
/* clang-format on */

#endif
