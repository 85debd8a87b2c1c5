/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static double seconds(clockid_t clock)
{
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double worker_wall(void)
{
  return seconds(CLOCK_MONOTONIC);
}

double worker_cpu(void)
{
  return seconds(CLOCK_PROCESS_CPUTIME_ID);
}

/* A line "Name:  123 kB" of the process's status. */
static long status(const char *name)
{
  FILE *f = fopen("/proc/self/status", "r");
  const size_t length = strlen(name);
  char line[128];
  long kib = -1;
  while (f && kib < 0 && fgets(line, sizeof line, f))
    if (strncmp(line, name, length) == 0 && line[length] == ':')
      (void)sscanf(line + length + 1, "%ld", &kib);
  if (f)
    (void)fclose(f);
  return kib;
}

long worker_peak(void)
{
  return status("VmHWM");
}

long worker_resident(void)
{
  return status("VmRSS");
}

void worker_reset_peak(void)
{
  FILE *f = fopen("/proc/self/clear_refs", "w");
  if (!f)
    return;
  (void)fputs("5\n", f);
  (void)fclose(f);
}

bool worker_serve(bool (*run)(void *context, struct error *err), void *context, struct error *err)
{
  char line[64];
  while (fgets(line, sizeof line, stdin)) {
    int times = 0;
    if (sscanf(line, "run %d", &times) != 1 || times < 1)
      return error_set(err, ERROR_USAGE, "request '%.40s' is not 'run N'", line);
    const double wall = worker_wall(), cpu = worker_cpu();
    for (int i = 0; i < times; i++)
      if (!run(context, err))
        return false;
    printf("{\"wall\": %.6f, \"cpu\": %.6f, \"peak_kib\": %ld}\n", worker_wall() - wall, worker_cpu() - cpu,
           worker_peak());
    (void)fflush(stdout);
  }
  return true;
}

int worker_fail(const char *name, const struct error *err)
{
  (void)fprintf(stderr, "%s: %s\n", name, err->message);
  return err->code == ERROR_USAGE ? 2 : 1;
}
