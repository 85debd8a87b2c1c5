/* SPDX-License-Identifier: Apache-2.0 */
/* Progress on standard error, and the interrupt key. */
#ifndef PENUMBRA_CLI_PROGRESS_H
#define PENUMBRA_CLI_PROGRESS_H

#include "base/error.h"
#include "cli/args.h"
#include "penumbra.h"

#include <stdbool.h>

enum progress_mode { PROGRESS_NONE, PROGRESS_BAR, PROGRESS_JSON };

struct progress {
  enum progress_mode mode;
  const char *image, *method;
  int index, count; /* of images */
  double drawn;     /* s of the run at which the bar was last drawn */
  bool shown;       /* a bar stands on the line of the cursor */
};

/* clang-format off */
#define OPTION_PROGRESS                                                                                                \
  {"progress", 0, "auto|json|none", "on standard error: a bar on a terminal, a line of JSON per step, or nothing",     \
   "Output", NULL}
/* clang-format on */

/* From --progress and --quiet. */
bool progress_init(struct progress *progress, const struct args *args, struct error *err);
/* The library's callback: draws, and asks to stop once the user has interrupted. `context` is the struct progress. */
bool progress_step(void *context, const penumbra_progress *step);
/* Take the bar off the terminal, before other lines are printed. */
void progress_clear(struct progress *progress);

/* Results of a command over many images. */
struct tally {
  int saved, skipped, failed;
};

/* From now on the first interrupt (or request to end) is only noted, a later one ends the process as usual. */
void interrupt_watch(void);
bool interrupt_seen(void);

#endif
