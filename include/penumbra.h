/* SPDX-License-Identifier: Apache-2.0 */
/* penumbra: why did the classifier say so, and can the picture be trusted?
 *
 *   penumbra_error err = {0};
 *   penumbra_model *model = penumbra_model_open("chest.onnx", NULL, &err);
 *   penumbra_image *image = model ? penumbra_image_open("film.png", &err) : NULL;
 *   penumbra_explanation *e = image ? penumbra_explain(model, image, &(penumbra_request){
 *       .size = sizeof(penumbra_request), .method = "occlusion", .target = "Pneumonia" }, &err) : NULL;
 *   if (!e || !penumbra_explanation_save(e, "out", 0, &err))
 *     fprintf(stderr, "%s\n", err.message);
 *
 * Threads. A model and an image are immutable: any number of threads may use one at the same time. An explanation
 * belongs to the thread that made it until it is handed over. There is no global state and nothing to initialise.
 *
 * Errors. The last argument of whatever can fail is a caller-owned error; on failure (false or NULL) it holds a code
 * and a sentence, on success it is left alone, and nothing changes hands. It may be NULL where nobody wants to know. An
 * error that is already set is kept: clear it ({0}) before reuse.
 *
 * Memory. What a function returns as a pointer is owned by the caller and released by the function named at its type;
 * what is called "borrowed" lives as long as the object it was asked of. All release functions accept NULL.
 *
 * Strings are UTF-8. Arrays are dense, in C order. */
#ifndef PENUMBRA_H
#define PENUMBRA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define PENUMBRA_API __attribute__((visibility("default")))
#else
#define PENUMBRA_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum penumbra_code {
  PENUMBRA_OK = 0,
  PENUMBRA_FAILED = 1,    /* unusable input, a file that cannot be read or written */
  PENUMBRA_USAGE = 2,     /* a wrong argument or parameter; the message names it, its value and the range */
  PENUMBRA_CANCELLED = 3, /* the progress callback asked to stop */
  PENUMBRA_MEMORY = 4     /* out of memory, or beyond a ceiling */
} penumbra_code;

typedef struct penumbra_error {
  penumbra_code code;
  char message[252]; /* one line */
} penumbra_error;

/* "0.1.0", and a line that also names the compute library and what was built in. Static. */
PENUMBRA_API const char *penumbra_version(void);
PENUMBRA_API const char *penumbra_build_info(void);

/* Texts made by the library (JSON): NUL-terminated, released by penumbra_text_free. */
PENUMBRA_API void penumbra_text_free(char *text);

/* ---- models ----------------------------------------------------------------------------------------------------- */

typedef struct penumbra_model penumbra_model;

typedef struct penumbra_model_options {
  size_t size;                 /* sizeof(penumbra_model_options) */
  const char *card;            /* model card; NULL: MODEL.json or Hugging Face's files beside the model, if any */
  const char *const *settings; /* NULL-terminated "key=value" texts that override the card ("activation=sigmoid"); or
                                  NULL. penumbra_card_options_json lists the keys */
  bool external_symlinks;      /* external data may be reached through symbolic links */
} penumbra_model_options;

/* Read an ONNX classifier of one image (opsets 7 to 22, external data inside the model's folder). `options` may be
 * NULL. Fails on unsupported operators (all are listed), broken files, a card that contradicts the graph. */
PENUMBRA_API penumbra_model *penumbra_model_open(const char *path, const penumbra_model_options *options,
                                                 penumbra_error *err);
PENUMBRA_API void penumbra_model_close(penumbra_model *model);

/* A classifier of the caller's own: any function from images to scores. */
typedef struct penumbra_predictor {
  size_t size;                 /* sizeof(penumbra_predictor) */
  int height, width, channels; /* input grid, px; 1 (grey) or 3 (RGB) channels */
  int classes;
  /* scores [n, classes] of images [n, height, width, channels], float32, values as the card settings map pixels
   * (default: 0..255). Called from one thread at a time; return false to fail, with a message. */
  bool (*predict)(void *context, const float *images, int n, float *scores, penumbra_error *err);
  void (*release)(void *context); /* called by penumbra_model_close; may be NULL */
  void *context;
  int batch; /* images a call takes at most; 0: 32 */
} penumbra_predictor;

/* Black-box methods then work as with any model. `settings` as in penumbra_model_options (labels, scale, mean, std,
 * thresholds, activation …), or NULL. */
PENUMBRA_API penumbra_model *penumbra_model_from_predictor(const penumbra_predictor *predictor,
                                                           const char *const *settings, penumbra_error *err);

PENUMBRA_API int penumbra_model_classes(const penumbra_model *model);
/* Label of class 0..classes-1, its number where the card has no labels; borrowed. NULL outside the range. */
PENUMBRA_API const char *penumbra_model_label(const penumbra_model *model, int index);
/* Input grid: height, width, channels. */
PENUMBRA_API void penumbra_model_input(const penumbra_model *model, int dims[3]);
/* Warnings a user should see ("scores are raw outputs"), one per line, empty where there are none; borrowed. */
PENUMBRA_API const char *penumbra_model_notes(const penumbra_model *model);
/* Inputs, outputs, layers, operators, multiply-accumulates, card: what `penumbra inspect --json` prints. */
PENUMBRA_API char *penumbra_model_json(const penumbra_model *model, penumbra_error *err);
/* {"card": …, "notes": […]}: a draft with every guess marked. Works where the model needs a card to be opened, too. */
PENUMBRA_API char *penumbra_draft_card_json(const char *model_path, penumbra_error *err);
/* The keys of model settings: [{"name","summary"}]. */
PENUMBRA_API char *penumbra_card_options_json(void);

/* ---- images ----------------------------------------------------------------------------------------------------- */

typedef struct penumbra_image penumbra_image;

/* PNG (8, 16 bit), JPEG, or a .npy [C,H,W] that is a model's input already. */
PENUMBRA_API penumbra_image *penumbra_image_open(const char *path, penumbra_error *err);
/* The same of bytes; `name` stands for the path in messages and outputs. */
PENUMBRA_API penumbra_image *penumbra_image_decode(const void *bytes, size_t size, const char *name,
                                                   penumbra_error *err);
/* Pixels [height, width, channels], 8 bits a sample (bits = 8) or 16 (uint16_t); copied. */
PENUMBRA_API penumbra_image *penumbra_image_new(int width, int height, int channels, int bits, const void *pixels,
                                                penumbra_error *err);
PENUMBRA_API void penumbra_image_close(penumbra_image *image);
PENUMBRA_API void penumbra_image_size(const penumbra_image *image, int *width, int *height);

/* ---- prediction ------------------------------------------------------------------------------------------------- */

/* Probabilities of all classes into scores[penumbra_model_classes]. threads < 1: all cores. */
PENUMBRA_API bool penumbra_predict(const penumbra_model *model, const penumbra_image *image, int threads, float *scores,
                                   penumbra_error *err);
/* The preprocessed tensor [channels, height, width] into x, as a framework would be fed. */
PENUMBRA_API bool penumbra_preprocess(const penumbra_model *model, const penumbra_image *image, float *x,
                                      penumbra_error *err);

/* ---- explanation ------------------------------------------------------------------------------------------------ */

typedef struct penumbra_progress {
  int64_t done, total;       /* evaluations; total 0: not known */
  double seconds, remaining; /* so far; estimated, < 0: not known */
  const char *stage;         /* "occlusion" */
  const float *map; /* [height, width] on the model grid as far as it is known, or NULL; borrowed for the call */
  int height, width;
} penumbra_progress;

typedef struct penumbra_request {
  size_t size;               /* sizeof(penumbra_request) */
  const char *method;        /* NULL: "occlusion"; penumbra_methods_json lists them */
  const char *const *params; /* NULL-terminated "name=value" texts, checked against the method's table; or NULL */
  const char *target;        /* label, class number, "top" (default) or "all" */
  const char *score;         /* "prob" (default) or "logit" */
  uint64_t seed;
  int threads;   /* < 1: all cores; the result does not depend on it */
  size_t memory; /* bytes beyond the model's weights, 0: 1 GiB; the result does not depend on it, but for
                    last bits where it is too little for incremental runs */
  int64_t evals; /* ceiling on evaluations, 0: none */
  double budget; /* s, 0: none; the run stops there with what it has */
  const char
      *precision;  /* "f32" (default: a map does not depend on the CPU), "bf16" (an error where the CPU lacks it), or
                      "auto": bf16 where it was checked on this image to deviate by less than 1 % of the changes */
  double scale;    /* value at the ends of the colour bar, > 0, to compare pictures; 0: each its own largest */
  bool exact_full; /* run the whole model for every perturbation, never on windows: for comparison */
  bool (*progress)(void *context, const penumbra_progress *progress); /* false cancels; may be NULL */
  void *progress_context;
  const char *artifact_rates; /* what penumbra_artifact_rates_json gave, to be told beside the map; NULL: what the
                                 model's card records, if anything */
} penumbra_request;

typedef struct penumbra_explanation penumbra_explanation;

PENUMBRA_API penumbra_explanation *penumbra_explain(const penumbra_model *model, const penumbra_image *image,
                                                    const penumbra_request *request, penumbra_error *err);
PENUMBRA_API void penumbra_explanation_free(penumbra_explanation *explanation);

typedef enum penumbra_dtype { PENUMBRA_F32 = 0, PENUMBRA_I32 = 1 } penumbra_dtype;
typedef struct penumbra_array {
  const void *data; /* borrowed */
  penumbra_dtype dtype;
  int rank;
  int64_t dims[8];
} penumbra_array;

/* "heatmap" [H,W] of the source image ([K,H,W] for target all), "map" on the model grid, "coverage" where a crop cut
 * the source, and what the method adds ("occlusion_grid", …). Positive values are evidence for the target: removing
 * them lowers its score. False with PENUMBRA_USAGE where there is no such array; the message lists those there are. */
PENUMBRA_API bool penumbra_explanation_array(const penumbra_explanation *explanation, const char *name,
                                             penumbra_array *array, penumbra_error *err);
/* The i-th array's name, NULL past the last; borrowed. */
PENUMBRA_API const char *penumbra_explanation_array_name(const penumbra_explanation *explanation, int i);
/* result.json: model, image, preprocessing, target, method, map, quality, timing, warnings. */
PENUMBRA_API char *penumbra_explanation_json(const penumbra_explanation *explanation, penumbra_error *err);

enum {
  PENUMBRA_OVERWRITE = 1,  /* replace an existing folder */
  PENUMBRA_NO_REPORT = 2,  /* write no report.html */
  PENUMBRA_REPORT_JSON = 4 /* write what it would show as JSON instead: report.json */
};
/* All files of an explanation (.npy arrays, overlay.png, the method's pictures, report.html, result.json) into folder
 * `dir`, which appears whole or not at all. */
PENUMBRA_API bool penumbra_explanation_save(const penumbra_explanation *explanation, const char *dir, unsigned flags,
                                            penumbra_error *err);

/* One page for several explanations of one image, side by side: `dirs` are folders that penumbra_explanation_save made
 * (NULL-terminated, at most 32), `path` is the file to write. `evaluation`: a folder of penumbra_evaluation_save_image
 * whose subjects have the methods' names, for their curves and figures; NULL: not measured. The page is self-contained,
 * below 3 MB, and asks the network for nothing. With PENUMBRA_REPORT_JSON the file is JSON. */
PENUMBRA_API bool penumbra_report(const penumbra_image *image, const char *const *dirs, const char *evaluation,
                                  const char *path, unsigned flags, penumbra_error *err);

/* Every method with its parameters (name NULL), or one: [{"name","summary","paper","needs","parameters":[…]}]. */
PENUMBRA_API char *penumbra_methods_json(const char *name, penumbra_error *err);
/* The fills a method may replace pixels by: [{"name","summary","random","region"}]. */
PENUMBRA_API char *penumbra_fills_json(void);

/* ---- features: what excites the feature maps of a layer? --------------------------------------------------------- */

typedef struct penumbra_features_request {
  size_t size;             /* sizeof(penumbra_features_request) */
  const char *layer;       /* NULL or "": the last one before global pooling */
  const char *feature_map; /* "strongest:N" (NULL: 16) by total activation over all images, "K", "K,K,…" or "all" */
  int top;                 /* strongest activations of each map, 1..64; 0: 9 */
  int per_image;           /* of them at most so many of one image; 0: 1 */
  const char *rule;        /* "deconvnet" (Zeiler & Fergus), "guided" (Springenberg et al.), or "auto" (NULL): guided
                              where no max pooling lies before the layer, for there the deconvnet's projections are the
                              same for every image */
  const char *scale;       /* of the projections' pictures: "own" (NULL), "common" to those of a map, or a number */
  int threads;             /* < 1: all cores; the result does not depend on it */
  size_t memory;           /* bytes beyond the model's weights, 0: 1 GiB */
  bool (*progress)(void *context, const penumbra_progress *progress); /* of projections; false cancels; may be NULL */
  void *progress_context;
} penumbra_features_request;

typedef struct penumbra_features penumbra_features;

/* Unknown layers, and layers whose activity cannot be projected back, are told here. `model` must outlive it. */
PENUMBRA_API penumbra_features *penumbra_features_new(const penumbra_model *model,
                                                      const penumbra_features_request *request, penumbra_error *err);
PENUMBRA_API void penumbra_features_free(penumbra_features *features);
/* The layer's name; borrowed. */
PENUMBRA_API const char *penumbra_features_layer(const penumbra_features *features);

/* Look at one image; only its strongest activations are kept. The same bytes count once. */
PENUMBRA_API bool penumbra_features_add(penumbra_features *features, const penumbra_image *image, penumbra_error *err);
/* Whether an image of these bytes (SHA-256 in hexadecimal digits) was looked at. */
PENUMBRA_API bool penumbra_features_has(const penumbra_features *features, const char *sha256);
/* What was found so far as JSON, and going on from it in another process, before any image is added. */
PENUMBRA_API char *penumbra_features_state(const penumbra_features *features, penumbra_error *err);
PENUMBRA_API bool penumbra_features_restore(penumbra_features *features, const char *state, penumbra_error *err);

/* Project the strongest activations back to the pixels and write the contact sheets features.png (features-2.png, …),
 * features.json and the arrays: map-K.npy, the projections [n,C,h,w] of map K's n strongest activations within their
 * receptive fields, and activity-K.npy, the map on those images. `open` gives an image that was
 * added once more, by name and SHA-256. Folder `dir` appears whole or not at all. */
PENUMBRA_API bool penumbra_features_save(penumbra_features *features, const char *dir, unsigned flags,
                                         penumbra_image *(*open)(void *context, const char *name, const char *sha256,
                                                                 penumbra_error *err),
                                         void *context, penumbra_error *err);

/* ---- evaluation: how good is a map? ----------------------------------------------------------------------------- */

/* What is judged. */
typedef struct penumbra_subject {
  const char *name;          /* in tables and files; NULL: the method's */
  const char *method;        /* NULL: maps from elsewhere, given with every image */
  const char *const *params; /* of the method, as in penumbra_request; or NULL */
} penumbra_subject;

typedef struct penumbra_evaluation_request {
  size_t size;                      /* sizeof(penumbra_evaluation_request) */
  const penumbra_subject *subjects; /* with different names; may be NULL where no metric needs a map */
  int subject_count;
  const char *const *metrics; /* NULL-terminated; NULL: region, deletion, insertion. penumbra_metrics_json lists them */
  const char *const *params;  /* NULL-terminated "name=value" for every metric that has it, or "metric.name=value" for
                                 one; or NULL */
  const char *truth;          /* for metrics that need it: a mask as large as the picture (not black: true), a folder of
                                 STEM.png, or boxes in COCO's JSON; {dir}, {stem} and {label} stand for the picture's
                                 folder, its name without ending and the target's label. NULL: none */
  const penumbra_request
      *request; /* target (one class), score, seed, threads, memory, exact_full, progress; evals, budget
                   and precision hold for each explanation, metrics run whole and in f32; or NULL */
} penumbra_evaluation_request;

typedef struct penumbra_evaluation penumbra_evaluation;

/* Everything that does not depend on an image is checked here. Model, request and texts must outlive the evaluation. */
PENUMBRA_API penumbra_evaluation *penumbra_evaluation_new(const penumbra_model *model,
                                                          const penumbra_evaluation_request *request,
                                                          penumbra_error *err);
PENUMBRA_API void penumbra_evaluation_free(penumbra_evaluation *evaluation);

/* Explain and measure one image. maps[i] (float32 [H,W] on the model's or the picture's grid; other sizes are
 * resampled; [C,H,W] is summed) is that of subject i; where it has a method and maps[i].data is NULL, the map is made.
 * maps may be NULL where all have a method. On failure the evaluation is as it was. */
PENUMBRA_API bool penumbra_evaluation_add(penumbra_evaluation *evaluation, const penumbra_image *image,
                                          const penumbra_array *maps, penumbra_error *err);
/* What the last added image gave, into folder `dir`: result.json and the methods' maps; whole or not at all. */
PENUMBRA_API bool penumbra_evaluation_save_image(const penumbra_evaluation *evaluation, const char *dir, unsigned flags,
                                                 penumbra_error *err);
/* Instead of measuring an image again: the text of its result.json, made with the same request. */
PENUMBRA_API bool penumbra_evaluation_restore(penumbra_evaluation *evaluation, const char *result, penumbra_error *err);

/* Over all images: per metric and subject means with 95 % intervals, curves, a ranking, paired differences. */
PENUMBRA_API char *penumbra_evaluation_json(const penumbra_evaluation *evaluation, penumbra_error *err);
/* The same as files in the existing folder `dir`: metrics.json, metrics.csv (means), images.csv (each image), and the
 * curves of each metric as curves-METRIC.npy, .csv and .svg; for artifacts the places where they arise. */
PENUMBRA_API bool penumbra_evaluation_save(const penumbra_evaluation *evaluation, const char *dir, penumbra_error *err);

/* How often covering a part of a normal picture, patch by patch, makes the model see a finding, for every fill that
 * these methods use with these parameters (a subject without method has none): metric "artifact" on the `images`
 * (paths, NULL-terminated) that the model calls normal.
 * {"source":"normals","images","skipped","fills":{FILL:{"rate","lo","hi","rise","images","most"}}}; rates are null
 * where no picture is called normal. Of the request only seed, threads, memory and progress count. */
PENUMBRA_API char *penumbra_artifact_rates_json(const penumbra_model *model, const penumbra_subject *methods,
                                                int method_count, const char *const *images,
                                                const penumbra_request *request, penumbra_error *err);

/* Every metric with its parameters (name NULL), or one:
 * [{"name","title","summary","paper","needs","headline","better","parameters":[…]}]. */
PENUMBRA_API char *penumbra_metrics_json(const char *name, penumbra_error *err);

/* ---- maps ------------------------------------------------------------------------------------------------------- */

/* How two maps (.npy) agree: {"spearman","pearson","top5_jaccard","ssim","max_abs_difference","shape"}. */
PENUMBRA_API char *penumbra_diff_json(const char *a, const char *b, penumbra_error *err);

/* ---- phantom ---------------------------------------------------------------------------------------------------- */

typedef struct penumbra_phantom_request {
  size_t size;          /* sizeof(penumbra_phantom_request) */
  uint64_t seed;        /* the patient */
  const char *findings; /* comma-separated: nodule, consolidation, effusion, cardiomegaly, pneumothorax; "none";
                           NULL or "random": each present with 20 % */
  int pixels;           /* px a side, 64..2048; 0: 512 */
  int bits;             /* 8, 12 or 16; 0: 16 */
} penumbra_phantom_request;

/* A synthetic chest radiograph into folder `dir`: phantom.png, truth.json, lungs.png and, for every finding, its
 * mask_FINDING.png and the twin_FINDING.png without it; whole or not at all.
 * Not for clinical use. */
PENUMBRA_API bool penumbra_phantom(const penumbra_phantom_request *request, const char *dir, unsigned flags,
                                   penumbra_error *err);

#ifdef __cplusplus
}
#endif

#endif
