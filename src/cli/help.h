/* SPDX-License-Identifier: Apache-2.0 */
/* Help texts, written from the tables. */
#ifndef PENUMBRA_CLI_HELP_H
#define PENUMBRA_CLI_HELP_H

#include "cli/args.h"

#include <stdio.h>

/* What `penumbra --help` says: usage, commands, exit statuses. */
void help_overview(FILE *to);
/* What `penumbra COMMAND --help` says. */
void help_command(FILE *to, const struct args *args);
/* `text` wrapped between the columns `indent` and the width of the terminal, after `used` columns of its first line. */
void help_wrap(FILE *to, const char *text, int used, int indent);

/* Columns a text takes on a terminal: characters of UTF-8. */
int help_columns(const char *text);

#endif
