/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include "cli/tables.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;
static struct timespec first; /* when it came; only the handler uses it */

/* Programs that pass a signal on (timeout, some shells) send it twice at once: what follows within a second is still
 * the first interrupt. */
static void note_interrupt(int number)
{
  struct timespec now = {0};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  if (!interrupted)
    first = now;
  else if (now.tv_sec - first.tv_sec > 1) {
    (void)signal(number, SIG_DFL);
    (void)raise(number);
  }
  interrupted = 1;
}

/* A signal that was ignored from the start (nohup, a background job) stays ignored. */
static void watch(int number)
{
  struct sigaction before, action = {.sa_handler = note_interrupt, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
    (void)sigaction(number, &action, NULL);
}

void interrupt_watch(void)
{
  watch(SIGINT);
  watch(SIGTERM);
}

bool interrupt_seen(void)
{
  return interrupted;
}

bool progress_init(struct progress *progress, const struct args *args, struct error *err)
{
  const char *how = args_text(args, "progress");
  *progress = (struct progress){.mode = PROGRESS_NONE};
  if (how && strcmp(how, "json") == 0)
    progress->mode = PROGRESS_JSON;
  else if (!how || strcmp(how, "auto") == 0)
    progress->mode = isatty(STDERR_FILENO) && !args_has(args, "quiet") ? PROGRESS_BAR : PROGRESS_NONE;
  else if (strcmp(how, "none") != 0)
    return error_set(err, ERROR_USAGE, "%s: --progress: '%.60s' is not one of auto, json, none", args->command->name,
                     how);
  return true;
}

static int terminal_width(void)
{
  struct winsize size;
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

/* "0:07", "12:03", "1:02:03". */
static void clock_text(double seconds, char *buffer, size_t size)
{
  if (!(seconds >= 0 && seconds < 360000)) {
    (void)snprintf(buffer, size, "--:--");
    return;
  }
  int s = (int)(seconds + 0.5), h = s / 3600, m = s / 60 % 60;
  if (h)
    (void)snprintf(buffer, size, "%d:%02d:%02d", h, m, s % 60);
  else
    (void)snprintf(buffer, size, "%d:%02d", m, s % 60);
}

/* "[3/12] film.png occlusion 313/626 [########        ]  50 %  0:02 left"; what does not fit is left out, the name
 * first. */
static void draw_bar(struct progress *p, const penumbra_progress *step)
{
  enum { LEAST_BAR = 10, MOST_BAR = 40 };
  char head[160] = "", tail[64], left[16];
  int width = terminal_width() - 1, n = 0;
  const char *name = strrchr(p->image, '/');
  name = name ? name + 1 : p->image;
  double share = step->total > 0 ? (double)step->done / (double)step->total : 0;
  share = share > 1 ? 1 : share;
  clock_text(step->remaining, left, sizeof left);
  if (step->total > 0)
    (void)snprintf(tail, sizeof tail, " %3.0f %%  %s left", share * 100, left);
  else
    (void)snprintf(tail, sizeof tail, " %lld done", (long long)step->done);
  if (p->count > 1)
    n = snprintf(head, sizeof head, "[%d/%d] ", p->index, p->count);
  int room = width - n - (int)strlen(tail) - LEAST_BAR - 4;
  int wanted = (int)strlen(name) + 1 + (int)strlen(p->method);
  if (room >= wanted && wanted < 100)
    (void)snprintf(head + n, sizeof head - (size_t)n, "%s %s ", name, p->method);
  else if (room > (int)strlen(p->method))
    (void)snprintf(head + n, sizeof head - (size_t)n, "%s ", p->method);
  int bar = width - (int)strlen(head) - (int)strlen(tail) - 2;
  bar = bar > MOST_BAR ? MOST_BAR : bar;
  fprintf(stderr, "\r\033[K%s", (int)strlen(head) + (int)strlen(tail) <= width ? head : "");
  if (step->total > 0 && bar >= LEAST_BAR) {
    char line[MOST_BAR + 1];
    int filled = (int)(share * bar);
    memset(line, ' ', sizeof line);
    memset(line, '#', (size_t)filled);
    fprintf(stderr, "[%.*s]", bar, line);
  }
  fputs((int)strlen(tail) <= width ? tail : "", stderr);
  fflush(stderr);
  p->shown = true;
}

static void write_line(const struct progress *p, const penumbra_progress *step)
{
  json_t *line =
      json_pack("{s:s, s:o, s:s, s:i, s:i, s:s, s:I, s:I, s:f, s:o}", "event", "progress", "image",
                tables_text(p->image), "method", p->method, "index", p->index, "count", p->count, "stage",
                step->stage ? step->stage : p->method, "done", (json_int_t)step->done, "total", (json_int_t)step->total,
                "seconds", step->seconds, "remaining", step->remaining >= 0 ? json_real(step->remaining) : json_null());
  if (line && json_dumpf(line, stderr, JSON_COMPACT | JSON_REAL_PRECISION(6)) == 0)
    fputc('\n', stderr);
  json_decref(line);
}

bool progress_step(void *context, const penumbra_progress *step)
{
  enum { FRAMES = 10 }; /* a second */
  struct progress *p = context;
  if (p->mode == PROGRESS_JSON) {
    write_line(p, step);
  } else if (p->mode == PROGRESS_BAR &&
             (!p->shown || step->seconds - p->drawn >= 1.0 / FRAMES || step->seconds < p->drawn)) {
    draw_bar(p, step);
    p->drawn = step->seconds;
  }
  return !interrupted;
}

void progress_clear(struct progress *progress)
{
  if (progress->shown)
    fputs("\r\033[K", stderr);
  progress->shown = false;
}
