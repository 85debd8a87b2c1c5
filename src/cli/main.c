/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: penumbra COMMAND [option…] [argument…]. */
#include "base/error.h"
#include "base/str.h"
#include "cli/args.h"
#include "cli/help.h"
#include "penumbra.h"

#include <stdio.h>
#include <string.h>

#define COMMAND(name) extern const struct command command_##name;
#include "cli/commands.def"
#undef COMMAND

const struct command *const commands[] = {
#define COMMAND(name) &command_##name,
#include "cli/commands.def"
#undef COMMAND
    NULL,
};

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130, MOST_COMMANDS = 64 };

static int exit_status(const struct error *err)
{
  return err->code == ERROR_USAGE ? EXIT_USAGE : err->code == ERROR_CANCELLED ? EXIT_INTERRUPTED : EXIT_FAILED;
}

static int complain(struct error *err)
{
  str_clean(err->message);
  fprintf(stderr, "penumbra: %s\n", err->message);
  return exit_status(err);
}

static const struct command *find_command(const char *name)
{
  for (const struct command *const *c = commands; *c; c++)
    if (strcmp((*c)->name, name) == 0)
      return *c;
  return NULL;
}

static int unknown_command(const char *name)
{
  const char *names[MOST_COMMANDS + 1];
  int n = 0;
  for (const struct command *const *c = commands; *c && n < MOST_COMMANDS; c++)
    names[n++] = (*c)->name;
  names[n] = NULL;
  const char *nearest = str_nearest(name, names);
  struct error err = {0};
  if (nearest)
    error_set(&err, ERROR_USAGE, "there is no command '%.60s'; did you mean '%s'?", name, nearest);
  else
    error_set(&err, ERROR_USAGE, "there is no command '%.60s'; 'penumbra --help' lists them", name);
  return complain(&err);
}

static int run(const struct command *command, int argc, char **argv)
{
  struct error err = {0};
  struct args args;
  bool ok = args_read(&args, command, argc, argv, &err);
  if (ok && args_has(&args, "help"))
    help_command(stdout, &args);
  else if (ok)
    ok = command->run(&args, &err);
  args_close(&args);
  if (fflush(stdout) != 0 || ferror(stdout))
    ok = error_set(&err, ERROR_FAILED, "standard output: %m");
  return ok ? EXIT_DONE : complain(&err);
}

int main(int argc, char **argv)
{
  if (argc < 2) {
    help_overview(stderr);
    return EXIT_USAGE;
  }
  const char *name = argv[1];
  bool help = strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
  if (help && argc == 2) {
    help_overview(stdout);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
  }
  if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
    printf("%s\n", penumbra_build_info());
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
  }
  if (help)
    name = argv[2];
  const struct command *command = find_command(name);
  if (!command && *name == '-') {
    struct error err = {0};
    error_set(&err, ERROR_USAGE, "'%.60s' stands before the command; usage: penumbra COMMAND [option…] [argument…]",
              name);
    return complain(&err);
  }
  if (!command)
    return unknown_command(name);
  return help ? run(command, 1, (char *[]){"--help", NULL}) : run(command, argc - 2, argv + 2);
}
