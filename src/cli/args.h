/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, read by the tables of a command: --name VALUE, --name=VALUE, -n VALUE, -nVALUE, switches, and --
 * after which nothing is an option. */
#ifndef PENUMBRA_CLI_ARGS_H
#define PENUMBRA_CLI_ARGS_H

#include "base/error.h"
#include "base/mem.h"
#include "cli/command.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum args_table { TABLE_OWN, TABLE_COMMON, TABLE_CARD, TABLE_METHODS, TABLE_METRICS, ARGS_TABLES };

struct given {
  const struct option *option;
  enum args_table table;
  const char *value; /* "" for a switch without one */
  int next;          /* the word that follows an option without its optional value, -1 if another option follows */
};

struct args {
  struct arena *arena; /* owns what is below */
  const struct command *command;
  const struct option *tables[ARGS_TABLES]; /* NULL where there are none */
  struct given *given;
  int n_given;
  const char **words; /* what is no option; NULL-terminated */
  int n_words;
};

/* Read the arguments after the command's name. args_close releases in any case. */
bool args_read(struct args *args, const struct command *command, int argc, char **argv, struct error *err);
void args_close(struct args *args);

/* The last value of an option, NULL where it is absent; "" of a switch. */
const char *args_text(const struct args *args, const char *name);
bool args_has(const struct args *args, const char *name);
/* The last of two options that contradict each other: true for `yes`, false for `no`, else `initial`. */
bool args_either(const struct args *args, const char *yes, const char *no, bool initial);
/* Absent: *out is left alone. Errors name option, value and range. */
bool args_integer(const struct args *args, const char *name, int64_t min, int64_t max, int64_t *out, struct error *err);
/* At least `min`. */
bool args_number(const struct args *args, const char *name, double min, double *out, struct error *err);
/* A number of bytes: "500M", "2G", "1.5GiB", plain bytes; units are powers of 1024. */
bool args_bytes(const struct args *args, const char *name, size_t *out, struct error *err);

/* NULL-terminated "key=value" of what was given out of one table, for the library; NULL when memory is out. */
const char *const *args_settings(const struct args *args, enum args_table table);

#endif
