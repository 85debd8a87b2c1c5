/* SPDX-License-Identifier: Apache-2.0 */
#include "api/object.h"
#include "base/files.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

enum { DEFAULT_CALLBACK_BATCH = 32 };

/* Labels, thresholds and warnings, which are asked for again and again. */
static bool describe(struct penumbra_model *model, struct error *err)
{
  const int64_t classes = model->predictor->classes;
  const struct card *card = model->card;
  const int64_t outputs = card->has_complement ? classes - 1 : classes;
  model->labels = arena_array(model->arena, (size_t)classes, sizeof *model->labels);
  model->thresholds = arena_array(model->arena, (size_t)classes, sizeof *model->thresholds);
  if (!model->labels || !model->thresholds)
    return error_memory(err, "labels");
  for (int64_t k = 0; k < classes; k++) {
    model->thresholds[k] = card->thresholds && k < card->threshold_count ? card->thresholds[k] : 0.5;
    if (k == outputs) {
      model->labels[k] = card->complement;
      model->thresholds[k] = 1 - model->thresholds[0];
    } else if (card->labels && k < card->label_count) {
      model->labels[k] = card->labels[k];
    } else if (!(model->labels[k] = arena_printf(model->arena, "%lld", (long long)k))) {
      return error_memory(err, "labels");
    }
  }
  struct str notes;
  str_init(&notes, 4096);
  if (model->onnx && model->onnx->activation == ACTIVATION_NONE && card->activation != ACTIVATION_NONE)
    str_printf(&notes, "the graph ends in no activation and no card names one: scores are raw outputs, not "
                       "probabilities (say --activation softmax or sigmoid)\n");
  if (model->onnx && !model->onnx->card_found)
    str_printf(
        &notes,
        "no model card: pixels 0..255 are fed as they are; write one with 'penumbra inspect MODEL --write-card'\n");
  model->notes = arena_strdup(model->arena, notes.text ? notes.text : "");
  str_free(&notes);
  return model->notes != NULL || error_memory(err, "notes");
}

static struct penumbra_model *model_object(struct error *err)
{
  struct penumbra_model *model = mem_zero(1, sizeof *model);
  if (model && (model->arena = arena_new(0))) {
    pthread_mutex_init(&model->lock, NULL);
    return model;
  }
  mem_free(model);
  error_memory(err, "a model");
  return NULL;
}

penumbra_model *penumbra_model_open(const char *path, const penumbra_model_options *options, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  penumbra_model_options own = {.size = sizeof own};
  bool ok = !options || api_struct(&own, sizeof own, options, "penumbra_model_options", &failed);
  const struct model_options model_options = {
      .card = own.card,
      .settings = own.settings,
      .external_symlinks = own.external_symlinks,
  };
  struct penumbra_model *model = ok ? model_object(&failed) : NULL;
  ok = model && (model->onnx = model_open(path, &model_options, &failed)) != NULL;
  if (ok) {
    model->predictor = &model->onnx->predictor;
    model->card = &model->onnx->card;
    ok = describe(model, &failed);
  }
  if (ok)
    return model;
  penumbra_model_close(model);
  api_error(err, &failed);
  return NULL;
}

static bool call_user(void *context, const float *images, int n, float *scores, struct error *err)
{
  const penumbra_predictor *user = context;
  penumbra_error said = {PENUMBRA_OK, ""};
  if (user->predict(user->context, images, n, scores, &said))
    return true;
  return said.code ? error_set(err, (enum error_code)said.code, "%s", said.message) : false;
}

penumbra_model *penumbra_model_from_predictor(const penumbra_predictor *predictor, const char *const *settings,
                                              penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  struct penumbra_model *model = model_object(&failed);
  penumbra_predictor user;
  bool ok = model && api_struct(&user, sizeof user, predictor, "penumbra_predictor", &failed);
  predictor = &user;
  if (ok && (!predictor->predict || predictor->classes < 1 || predictor->height < 1 || predictor->width < 1))
    ok = error_set(&failed, ERROR_USAGE,
                   "predictor: %d classes of %dx%d px; at least 1 of each and a predict function are wanted",
                   predictor->classes, predictor->height, predictor->width);
  ok = ok && card_init(&model->own_card, &failed);
  for (const char *const *s = settings; ok && s && *s; s++)
    ok = card_set_text(&model->own_card, *s, &failed);
  if (ok && model->own_card.activation == ACTIVATION_UNSET)
    model->own_card.activation = ACTIVATION_NONE; /* what the function returns are the scores */
  ok = ok && card_check(&model->own_card, predictor->channels, predictor->height, predictor->width, predictor->classes,
                        &failed);
  if (ok) {
    model->user = *predictor;
    model->callback = (struct callback_model){
        .predictor = {&callback_predictor_ops, predictor->height, predictor->width, predictor->channels,
                      predictor->classes},
        .predict = call_user,
        .context = &model->user,
        .batch = predictor->batch > 0 ? predictor->batch : DEFAULT_CALLBACK_BATCH,
    };
    model->predictor = &model->callback.predictor;
    model->card = &model->own_card;
    ok = describe(model, &failed);
  }
  if (ok)
    return model;
  if (model)
    model->user.release = NULL; /* on failure the caller keeps its context */
  penumbra_model_close(model);
  api_error(err, &failed);
  return NULL;
}

void penumbra_model_close(penumbra_model *model)
{
  if (!model)
    return;
  if (!model->onnx && model->user.release)
    model->user.release(model->user.context);
  model_close(model->onnx);
  card_free(&model->own_card);
  arena_free(model->arena);
  pthread_mutex_destroy(&model->lock);
  mem_free(model);
}

int penumbra_model_classes(const penumbra_model *model)
{
  return (int)model->predictor->classes;
}

const char *penumbra_model_label(const penumbra_model *model, int index)
{
  return index >= 0 && index < model->predictor->classes ? model->labels[index] : NULL;
}

void penumbra_model_input(const penumbra_model *model, int dims[3])
{
  dims[0] = model->predictor->height;
  dims[1] = model->predictor->width;
  dims[2] = model->predictor->channels;
}

const char *penumbra_model_notes(const penumbra_model *model)
{
  return model->notes;
}

const char *model_sha256(const struct penumbra_model *model)
{
  struct penumbra_model *cache = (struct penumbra_model *)(uintptr_t)model; /* computed once, under the lock */
  pthread_mutex_lock(&cache->lock);
  if (model->onnx && !*cache->sha256)
    (void)file_sha256(model->onnx->onnx.map.data, model->onnx->onnx.map.size, cache->sha256);
  pthread_mutex_unlock(&cache->lock);
  return model->sha256;
}

char *penumbra_model_json(const penumbra_model *model, penumbra_error *err)
{
  if (model->onnx)
    return api_text(model_json(model->onnx), err);
  return api_text(json_pack("{s:n, s:I, s:o, s:[]}", "path", "classes", (json_int_t)model->predictor->classes, "card",
                            card_json(model->card), "layers"),
                  err);
}

char *penumbra_draft_card_json(const char *model_path, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  json_t *draft = model_draft_card(model_path, &failed);
  if (draft)
    return api_text(draft, err);
  api_error(err, &failed);
  return NULL;
}
