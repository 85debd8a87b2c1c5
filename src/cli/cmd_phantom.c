/* SPDX-License-Identifier: Apache-2.0 */
/* penumbra phantom: synthetic chest radiographs whose findings are known to the pixel. */
#include "base/mem.h"
#include "cli/args.h"
#include "cli/progress.h"
#include "cli/tables.h"
#include "penumbra.h"

#include <stdio.h>

enum { MOST_PHANTOMS = 1000000 };

static bool draw(const struct args *args, const penumbra_phantom_request *request, const char *dir, struct error *err)
{
  penumbra_error cause = {0};
  if (!penumbra_phantom(request, dir, args_has(args, "overwrite") ? PENUMBRA_OVERWRITE : 0, &cause))
    return tables_error(&cause, err);
  if (!args_has(args, "quiet"))
    fprintf(stderr, "%s: seed %llu; not for clinical use\n", dir, (unsigned long long)request->seed);
  return true;
}

static bool run(const struct args *args, struct error *err)
{
  int64_t seed = 0, size = 0, bits = 16, count = 1;
  const char *out = args_text(args, "out");
  if (!args_integer(args, "seed", 0, INT64_MAX - MOST_PHANTOMS, &seed, err) ||
      !args_integer(args, "size", 64, 2048, &size, err) || !args_integer(args, "bits", 8, 16, &bits, err) ||
      !args_integer(args, "count", 1, MOST_PHANTOMS, &count, err))
    return false;
  if (bits != 8 && bits != 12 && bits != 16)
    return error_set(err, ERROR_USAGE, "phantom: --bits: %d is not one of 8, 12, 16", (int)bits);
  if (!out || !*out)
    out = "penumbra-phantom";
  interrupt_watch();
  bool ok = true;
  for (int64_t i = 0; ok && i < count; i++) {
    penumbra_phantom_request request = {.size = sizeof request,
                                        .seed = (uint64_t)(seed + i),
                                        .findings = args_text(args, "finding"),
                                        .pixels = (int)size,
                                        .bits = (int)bits};
    const char *dir = !args_has(args, "count") ? out : arena_printf(args->arena, "%s/%lld", out, (long long)(seed + i));
    if (interrupt_seen())
      ok = error_set(err, ERROR_CANCELLED, "interrupted after %lld of %lld phantoms", (long long)i, (long long)count);
    else
      ok = dir ? draw(args, &request, dir, err) : error_memory(err, "a path");
  }
  return ok;
}

static const struct option options[] = {
    {"seed", 0, "N", "the patient (default 0); one seed gives the same picture everywhere", "Phantom", NULL},
    {"finding", 0, "LIST",
     "nodule, consolidation, effusion, cardiomegaly, pneumothorax, separated by commas; none; or "
     "random (default): each with 20 %",
     "Phantom", NULL},
    {"size", 0, "N", "pixels a side, 64..2048 (default 512)", "Phantom", NULL},
    {"bits", 0, "N", "8, 12 or 16 (default) bits a pixel", "Phantom", NULL},
    {"count", 0, "N", "draw the seeds from --seed on, each into DIR/SEED", "Phantom", NULL},
    {"out", 'o', "DIR", "folder of the picture, the truth and its masks (default penumbra-phantom)", "Output", NULL},
    {"overwrite", 0, NULL, "replace a folder that is there", "Output", NULL},
    {"quiet", 'q', NULL, "print errors only", "Output", NULL},
    OPTION_END,
};

const struct command command_phantom = {
    .name = "phantom",
    .summary = "Draw a synthetic chest radiograph with findings and their masks",
    .usage = "",
    .details = "Not for clinical use.",
    .max_words = 0,
    .options = options,
    .run = run,
};
