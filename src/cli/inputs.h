/* SPDX-License-Identifier: Apache-2.0 */
/* Models and images as the command line names them: cards and settings, folders, "-" for standard input. */
#ifndef PENUMBRA_CLI_INPUTS_H
#define PENUMBRA_CLI_INPUTS_H

#include "base/error.h"
#include "base/files.h"
#include "base/str.h"
#include "cli/args.h"
#include "cli/progress.h"
#include "penumbra.h"

#include <stdbool.h>

/* --card, for the tables of commands that open a model. */
#define OPTION_CARD                                                                                                    \
  {                                                                                                                    \
    "card", 0, "FILE", "model card; without it MODEL.json or Hugging Face's files beside the model", "Model", NULL     \
  }

/* Open a model with --card and the settings given; NULL on error. */
penumbra_model *inputs_model(const struct args *args, const char *path, struct error *err);
/* Print what the model's user should know, a line each. */
void inputs_notes(const penumbra_model *model, const char *path);

struct picture {
  const char *path; /* "-": standard input */
  const char *stem; /* name of its results: unique among the pictures */
  bool unusable;    /* no such file or folder, or a folder without pictures; `why` says so */
  struct error why;
};

struct pictures {
  struct picture *all;
  int count;
};

/* The image arguments: files in the order given, a folder as the PNG, JPEG, .npy and .dcm files in it, sorted. Pictures
 * with equal stems get their folder's name as prefix; a file named twice counts once. What cannot be used stays in
 * the list, to be reported in its turn. Memory is the arguments' arena. */
bool inputs_pictures(const struct args *args, const char *const *words, int n, struct pictures *out, struct error *err);

/* `one` for each picture in turn. Those that fail are told on standard error and counted. What ends the run, and is
 * then the error: an interruption, which tells what is complete in folder `out`; a wrong use; the only picture failing.
 */
bool inputs_each(const struct pictures *pictures, struct progress *progress, struct tally *tally, const char *out,
                 bool (*one)(void *job, const struct picture *picture, struct error *err), void *job,
                 struct error *err);

/* penumbra_artifact_rates_json of the pictures in a folder; NULL on error. */
char *inputs_normals(const struct args *args, const penumbra_model *model, const char *dir,
                     const penumbra_subject *methods, int n_methods, const penumbra_request *request,
                     struct error *err);

/* The bytes of a picture: a file, or what standard input holds. */
struct bytes {
  const char *name; /* for messages: the path, or "stdin" */
  const void *data;
  size_t size;
  struct file_map map;
  struct str pipe;
};
bool inputs_load(const char *path, struct bytes *bytes, struct error *err);
void inputs_unload(struct bytes *bytes);
penumbra_image *inputs_decode(const struct bytes *bytes, struct error *err);

#endif
