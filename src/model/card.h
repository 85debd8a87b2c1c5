/* SPDX-License-Identifier: Apache-2.0 */
/* The model card: how a classifier is fed and read. MODEL.json beside MODEL.onnx, --card FILE, options, or Hugging
 * Face's preprocessor_config.json + config.json. */
#ifndef PENUMBRA_MODEL_CARD_H
#define PENUMBRA_MODEL_CARD_H

#include "base/error.h"
#include "base/mem.h"
#include "image/image.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum card_channels { CHANNELS_UNSET, CHANNELS_GRAY, CHANNELS_RGB, CHANNELS_BGR };
enum card_resize { RESIZE_STRETCH, RESIZE_SHORTEST_CROP, RESIZE_PAD };
/* Where a centre crop after resize_to begins when the rest is odd: torchvision rounds half a pixel to even,
 * transformers down. */
enum card_rounding { ROUNDING_EVEN, ROUNDING_DOWN };
/* Who said it. Where resize and resize_to do not go together, an option overrides the file. */
enum card_said { SAID_NOT, SAID_BY_FILE, SAID_BY_OPTION };
enum activation { ACTIVATION_UNSET, ACTIVATION_NONE, ACTIVATION_SOFTMAX, ACTIVATION_SIGMOID, ACTIVATION_LOG_SOFTMAX };

enum { CARD_MAX_CHANNELS = 4, CARD_NORMAL_UNSET = -2, CARD_NORMAL_NONE_ABOVE = -1 };
#define CARD_NONE_ABOVE "none above threshold" /* `normal` of a card whose classes are all findings */

struct card {
  struct arena *arena; /* owns all that the card points to */
  char *path;          /* where it came from, NULL when there is no file */

  int height, width; /* px; 0: as the graph says */
  enum card_channels channels;
  int channel_count; /* 1 to 4, known after card_check; 2 and 4 leave `channels` unset and take only arrays */
  bool has_range;
  double range[2]; /* source codes that map to 0..255 before scale; default: the image's lo..hi */
  double scale;    /* value = (pixel * scale - mean) / std, default 1 */
  double mean[CARD_MAX_CHANNELS], std[CARD_MAX_CHANNELS]; /* in the order of `channels`; defaults 0 and 1 */
  int mean_count, std_count;                              /* 0: not given; else 1 or the channel count */
  enum card_resize resize; /* where it was not said: stretch, or what resize_to asks for */
  enum card_said resize_said, resize_to_said;
  int resize_to[2]; /* px before the centre crop. {0, 0}: the crop's own size; {N, 0}: shortest side N;
                       {H, W}: both sides, the aspect ratio not kept */
  enum card_rounding crop_rounding;
  enum interpolation interpolation;
  bool has_dataset_mean, has_dataset_std; /* one value counts for all channels; card_check repeats it */
  int dataset_mean_count, dataset_std_count;
  double dataset_mean[CARD_MAX_CHANNELS], dataset_std[CARD_MAX_CHANNELS]; /* source units, order of `channels` */

  char *output_name;          /* NULL: the only output */
  enum activation activation; /* UNSET: not declared */
  int activation_in_graph;    /* 1 yes, 0 no, -1 not said: yes where the output node is that operator */
  char **labels;              /* UTF-8, label_count of them, or NULL */
  int64_t label_count;
  double *thresholds; /* label_count (or class count) values, NULL: 0.5 for all */
  int64_t threshold_count;
  int64_t normal;              /* class that counts as healthy, CARD_NORMAL_NONE_ABOVE, or CARD_NORMAL_UNSET */
  char *normal_name;           /* as written, resolved against the labels by card_check */
  bool has_complement;         /* single sigmoid output with a named complement */
  char *complement;            /* its label: probability 1 - p */
  json_t *source, *evaluation; /* free content shown by inspect; references owned by the card */
};

/* A card with nothing but defaults. */
bool card_init(struct card *card, struct error *err);
void card_free(struct card *card);

/* Read `path` into an initialised card; a file called preprocessor_config.json is read as Hugging Face's, with the
 * config.json beside it. Unknown keys, wrong types, zero std, lists of the wrong length, missing
 * label files (which lie beside the card, inside its folder) are errors that begin with the path. */
bool card_read(struct card *card, const char *path, struct error *err);
/* Find what lies beside `model_path`: NAME.json, or a Hugging Face preprocessor_config.json with config.json in the
 * same folder (or in the one above, where the model's folder is called "onnx"). *found tells whether there was
 * anything; nothing found is no error. */
bool card_find(struct card *card, const char *model_path, bool *found, struct error *err);
/* Read Hugging Face's preprocessor_config.json, and its config.json unless `config_path` is NULL. What changes pixels
 * in a way the card cannot say is an error that names it. */
bool card_read_huggingface(struct card *card, const char *preprocessor_path, const char *config_path,
                           struct error *err);
/* One option of the command line ("activation=sigmoid", "labels=FILE", "mean=0.485,0.456,0.406", "size=224x224", …):
 * every field of the card has one, named by the last part of its key. Overrides what the file said. */
bool card_set(struct card *card, const char *key, const char *value, struct error *err);
/* The same of one text "key=value". */
bool card_set_text(struct card *card, const char *text, struct error *err);
/* The NULL-terminated option names card_set knows, each with a one-line summary. */
struct card_option {
  const char *name, *summary;
};
extern const struct card_option card_options[];

/* Check the card against the graph: channel count, input size (0 where the graph leaves it open), class count.
 * Fills in what was open (size, channels gray/rgb by the count), resolves `normal` against the labels. */
bool card_check(struct card *card, int64_t graph_channels, int64_t graph_height, int64_t graph_width, int64_t classes,
                struct error *err);

/* The card as JSON, every key with its resolved value, null where nothing was said; a card that card_read accepts.
 * NULL when memory is out. */
json_t *card_json(const struct card *card);

/* What a graph says about itself, for the draft of a card. */
struct card_graph {
  int64_t channels, height, width; /* of the input; 0 where the graph leaves it open */
  int64_t classes;                 /* 0: open */
  enum activation activation;      /* what the output node is; NONE where it is none of them */
  const char *output_name;         /* NULL where there is only one */
};
/* A card to begin with. *notes is a list of texts "input.scale: 0.00392 is a guess: …", one for each key that does not
 * follow from the graph; the same list stands in the card under source.guessed. Both are owned by the caller. */
bool card_draft(const struct card_graph *graph, json_t **draft, json_t **notes, struct error *err);

/* As a card spells them; NULL for what is not set. */
const char *card_channels_name(enum card_channels channels);
const char *card_resize_name(enum card_resize resize);
const char *card_rounding_name(enum card_rounding rounding);
const char *card_interpolation_name(enum interpolation interpolation);
const char *activation_name(enum activation activation);
bool activation_parse(const char *text, enum activation *out);

#endif
