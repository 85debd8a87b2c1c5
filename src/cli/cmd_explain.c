/* SPDX-License-Identifier: Apache-2.0 */
/* penumbra explain: a saliency map for every image. */
#include "cli/explaining.h"

static bool run(const struct args *args, struct error *err)
{
  struct explaining job = {.args = args, .initial = (const char *const[]){"occlusion", NULL}};
  return explaining_run(&job, err);
}

static const struct option options[] = {
    {"method", 'm', "METHOD[,METHOD…]", "how to explain (default occlusion); 'penumbra methods' lists them",
     "Explanation", NULL},
    EXPLAINING_OPTIONS,
    OPTION_END,
};

const struct command command_explain = {
    .name = "explain",
    .summary = "Draw what in an image the model's score rests on",
    .usage = "MODEL IMAGE…",
    .details =
        "MODEL is an ONNX file. An IMAGE is a PNG or JPEG file, a .npy array [C,H,W] that is the model's input "
        "already, "
        "- for standard input, or a folder, of which all such files are taken.\n"
        "Each image gets a folder DIR/STEM (several methods: DIR/STEM/METHOD) with heatmap.npy, overlay.png, "
        "report.html, result.json and what the method adds. An interrupted run is continued by the same command; other "
        "settings in the same folder are an error, unless --overwrite is given.",
    .min_words = 2,
    .max_words = -1,
    .uses = USES_CARD | USES_METHODS,
    .options = options,
    .run = run,
};
