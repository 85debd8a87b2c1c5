/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/help.h"

#include "penumbra.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { PLAIN_WIDTH = 100, NARROWEST = 50, WIDEST = 120, COLUMN = 28 };

static int width_of(FILE *to)
{
  struct winsize size;
  if (!isatty(fileno(to)) || ioctl(fileno(to), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
    return PLAIN_WIDTH;
  return size.ws_col < NARROWEST ? NARROWEST : size.ws_col > WIDEST ? WIDEST : size.ws_col;
}

/* Columns of UTF-8: bytes that begin a character. */
static int columns(const char *text, size_t n)
{
  int count = 0;
  for (size_t i = 0; i < n; i++)
    count += ((unsigned char)text[i] & 0xC0) != 0x80;
  return count;
}

int help_columns(const char *text)
{
  return columns(text, strlen(text));
}

void help_wrap(FILE *to, const char *text, int used, int indent)
{
  int width = width_of(to), at = used;
  if (used > indent - 2 && used) {
    fputc('\n', to);
    at = 0;
  }
  fprintf(to, "%*s", at < indent ? indent - at : 0, "");
  at = indent;
  for (bool first = true; *text;) {
    size_t n = strcspn(text, " ");
    int word = columns(text, n);
    if (!first && at + 1 + word > width) {
      fprintf(to, "\n%*s", indent, "");
      at = indent;
    } else if (!first) {
      fputc(' ', to);
      at++;
    }
    fprintf(to, "%.*s", (int)n, text);
    at += word;
    first = false;
    text += n;
    text += strspn(text, " ");
  }
  fputc('\n', to);
}

void help_overview(FILE *to)
{
  fputs("usage: penumbra COMMAND [option…] [argument…]\n\n", to);
  help_wrap(to,
            "Shows why an image classifier gave its probability: it perturbs the image, watches the score, and draws "
            "what mattered.",
            0, 0);
  fputs("\nCommands:\n", to);
  for (const struct command *const *c = commands; *c; c++) {
    int used = fprintf(to, "  %s", (*c)->name);
    help_wrap(to, (*c)->summary, used, 14);
  }
  fputs("\n'penumbra COMMAND --help' lists the options of a command; 'penumbra --version' tells version and build.\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.\n",
        to);
}

static void print_option(FILE *to, const struct option *o)
{
  char left[128];
  bool optional = o->argument && o->argument[0] == '[';
  int n = snprintf(left, sizeof left, "  %c%c%s--%s", o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                   o->letter ? ", " : "  ", o->name);
  if (o->argument && n > 0 && (size_t)n < sizeof left) {
    if (optional) /* [FILE] -> [=FILE] */
      (void)snprintf(left + n, sizeof left - (size_t)n, "[=%s", o->argument + 1);
    else
      (void)snprintf(left + n, sizeof left - (size_t)n, " %s", o->argument);
  }
  fputs(left, to);
  help_wrap(to, o->summary, help_columns(left), COLUMN);
}

void help_command(FILE *to, const struct args *args)
{
  const struct command *command = args->command;
  fprintf(to, "usage: penumbra %s [option…] %s\n\n%s.\n", command->name, command->usage, command->summary);
  for (const char *p = command->details; p && *p;) { /* a paragraph a line */
    size_t n = strcspn(p, "\n");
    char *paragraph = arena_strndup(args->arena, p, n);
    fputc('\n', to);
    if (paragraph)
      help_wrap(to, paragraph, 0, 0);
    p += n + (p[n] == '\n');
  }
  static const enum args_table order[] = {TABLE_OWN, TABLE_METHODS, TABLE_METRICS, TABLE_CARD, TABLE_COMMON};
  const char *group = NULL;
  for (size_t i = 0; i < sizeof order / sizeof *order; i++)
    for (const struct option *o = args->tables[order[i]]; o && o->name; o++) {
      if (!group || (o->group && strcmp(o->group, group) != 0)) {
        group = o->group ? o->group : "Options";
        fprintf(to, "\n%s:\n", group);
      }
      print_option(to, o);
    }
}
