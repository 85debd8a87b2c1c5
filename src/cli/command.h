/* SPDX-License-Identifier: Apache-2.0 */
/* What a command is: a table of options and a function. One file each, listed in commands.def. */
#ifndef PENUMBRA_CLI_COMMAND_H
#define PENUMBRA_CLI_COMMAND_H

#include "base/error.h"

#include <stdbool.h>

struct args;

struct option {
  const char *name;     /* long, as typed: "resize-to"; '_' counts as '-' */
  char letter;          /* short, or 0 */
  const char *argument; /* "DIR"; NULL: a switch; "[FILE]": only as --name=FILE */
  const char *summary;
  const char *group; /* heading in --help */
  const char *key;   /* what the library calls it, for model settings and method parameters */
};

/* clang-format off */
#define OPTION_END {.name = NULL}
/* clang-format on */

/* Options that the library describes. */
enum { USES_CARD = 1, USES_METHODS = 2, USES_METRICS = 4 };

struct command {
  const char *name;
  const char *summary;      /* one line */
  const char *usage;        /* arguments: "MODEL IMAGE…" */
  const char *details;      /* paragraphs for --help, each one line; or NULL */
  int min_words, max_words; /* arguments that are no options; max_words -1: any number */
  unsigned uses;
  const struct option *options;
  /* Results to stdout, everything else to stderr. */
  bool (*run)(const struct args *args, struct error *err);
};

extern const struct command *const commands[]; /* NULL-terminated */

#endif
