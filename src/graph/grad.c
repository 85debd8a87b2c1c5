/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/grad.h"

#include "base/mem.h"
#include "base/threads.h"
#include "graph/plan.h"
#include "ops/reverse.h"
#include "ops/unary.h"

#include <string.h>

enum { NO_PIECE = -1 };

/* A signal that was made apart and is added to the one that is there. */
struct addition {
  int from, to; /* pieces */
  enum dtype type;
  int64_t count; /* elements, all samples */
};

/* One node on the way back. */
struct step {
  const struct node *node;
  struct reverse reverse;
  const void **in, **out;
  bool *in_batched, *add;
  const float **from;
  float **to;
  int *from_piece, *to_piece; /* per output, per input */
  unsigned keeps;
  bool runs; /* false: a view, whose signal was handed on */
  struct addition *additions;
  int n_additions;
  int joined; /* piece to be added to the signal in the pass of the node's Relu, or NO_PIECE */
};

struct grad {
  const struct graph *graph;
  struct grad_options options;
  int64_t n;
  struct arena *arena;
  bool *reached;      /* per value: depends on `to` */
  int *piece_of;      /* per value: the piece its signal lies in */
  struct step *steps; /* in the order of the sweep */
  int n_steps;
  struct piece *pieces; /* by their number until they are placed */
  int n_pieces, cap_pieces;
  size_t *offset; /* of pieces */
  struct value **keep;
  int n_keep;
  int result; /* piece */
  size_t bytes, scratch;
  struct run *run;
  unsigned char *memory; /* of the signals */
  struct grad_path path;
};

/* Inputs from the 31st on share a bit. */
static unsigned bit_of(int i)
{
  return BACKWARD_IN(i < 30 ? i : 30);
}

void grad_free(struct grad *g)
{
  if (!g)
    return;
  for (int i = 0; i < g->n_steps; i++)
    if (g->steps[i].reverse.state)
      g->steps[i].node->op->backward->release(g->steps[i].reverse.state);
  run_free(g->run);
  mem_free(g->pieces);
  arena_free(g->arena);
  mem_free(g);
}

/* ---- which way ------------------------------------------------------------------------------------------------- */

static bool carries(const struct grad *g, const struct value *value)
{
  return value && !value->t.data && value->t.dtype != DTYPE_I64 && g->reached[value->id];
}

/* Values that depend on `to`; integers cut the way. */
static void find_reached(struct grad *g)
{
  g->reached[g->options.to->id] = true;
  for (int i = 0; i < g->graph->n_nodes; i++) {
    const struct node *node = g->graph->nodes[i];
    bool reached = carries(g, node->residual);
    for (int k = 0; k < node->n_in && !reached; k++)
      reached = carries(g, node->in[k]);
    for (int k = 0; k < node->n_out && reached; k++)
      if (node->out[k])
        g->reached[node->out[k]->id] = true;
  }
}

/* Inputs of a node that take part in the sweep. */
static bool wanted_inputs(const struct grad *g, const struct node *node, unsigned *wanted, struct error *err)
{
  *wanted = 0;
  for (int k = 0; k < node->n_in; k++)
    if (carries(g, node->in[k]))
      *wanted |= bit_of(k);
  if (!*wanted || node_is_view(node))
    return true;
  const struct backward *backward = node->op->backward;
  if (!backward)
    return node_error(node, err, "has no derivative (no-gradient)");
  return !backward->sends || backward->sends(node, g->options.rule, wanted, err);
}

/* ---- where signals lie ----------------------------------------------------------------------------------------- */

/* Room for the signal of a value. */
static int new_piece(struct grad *g, const struct value *value, int step, struct error *err)
{
  if (g->n_pieces == g->cap_pieces) {
    const int cap = g->cap_pieces ? 2 * g->cap_pieces : 64;
    struct piece *larger = mem_grow(g->pieces, (size_t)cap * sizeof *larger);
    if (!larger) {
      error_memory(err, "a sweep");
      return NO_PIECE;
    }
    g->pieces = larger;
    g->cap_pieces = cap;
  }
  size_t bytes;
  if (!size_mul(tensor_bytes(&value->t), (size_t)g->n, &bytes) || bytes > SIZE_MAX - MEM_ALIGN) {
    error_set(err, ERROR_MEMORY, "a batch of %lld needs more memory than can be addressed", (long long)g->n);
    return NO_PIECE;
  }
  bytes = (bytes + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
  g->pieces[g->n_pieces] = (struct piece){.value = g->n_pieces, .first = step, .last = step, .bytes = bytes};
  return g->n_pieces++;
}

static void use_piece(struct grad *g, int piece, int step)
{
  if (g->pieces[piece].last < step)
    g->pieces[piece].last = step;
}

static bool same_form(const struct tensor *a, const struct tensor *b)
{
  return a->dtype == b->dtype && a->layout == b->layout && shape_equal(&a->shape, &b->shape);
}

/* The signal lies in `piece`; value gets it: handed over where the value has none and nobody else was given it, else to
 * be added. */
static void hand_over(struct grad *g, struct step *s, const struct value *value, int piece, bool *handed, int at)
{
  int *own = &g->piece_of[value->id];
  if (*own == NO_PIECE && !*handed) {
    *own = piece;
    *handed = true;
    return;
  }
  if (*own == NO_PIECE)
    return;
  s->additions[s->n_additions++] = (struct addition){piece, *own, value->t.dtype, g->n * tensor_count(&value->t)};
  use_piece(g, *own, at);
}

/* Where the signals of the inputs go. */
static bool place_inputs(struct grad *g, struct step *s, unsigned wanted, bool *handed, int at, struct error *err)
{
  const struct node *node = s->node;
  const unsigned flags = node->op->backward->flags;
  const int signal = s->from_piece[0];
  int count = 0;
  for (int k = 0; k < node->n_in; k++)
    count += carries(g, node->in[k]) && (wanted & bit_of(k));
  for (int k = 0; k < node->n_in; k++) {
    const struct value *in = node->in[k];
    s->to_piece[k] = NO_PIECE;
    if (!carries(g, in) || !(wanted & bit_of(k)))
      continue;
    int *own = &g->piece_of[in->id];
    const bool fits = signal != NO_PIECE && !*handed && *own == NO_PIECE && same_form(&in->t, &node->out[0]->t);
    /* Nothing may be written over that is yet to be added elsewhere. */
    if (fits && ((flags & BACKWARD_PASSES) || ((flags & BACKWARD_INPLACE) && count == 1 && s->n_additions == 0))) {
      *own = signal;
      *handed = true;
      s->to_piece[k] = signal;
      continue;
    }
    if (*own == NO_PIECE) {
      *own = new_piece(g, in, at, err);
      if (*own == NO_PIECE)
        return false;
      s->to_piece[k] = *own;
      continue;
    }
    use_piece(g, *own, at);
    if ((flags & BACKWARD_ADDS) && *own != signal) {
      s->to_piece[k] = *own;
      s->add[k] = true;
      continue;
    }
    s->to_piece[k] = new_piece(g, in, at, err);
    if (s->to_piece[k] == NO_PIECE)
      return false;
    s->additions[s->n_additions++] = (struct addition){s->to_piece[k], *own, in->t.dtype, g->n * tensor_count(&in->t)};
  }
  return true;
}

static bool step_arrays(struct grad *g, struct step *s, const struct node *node, struct error *err)
{
  const size_t n_in = (size_t)node->n_in + 1, n_out = (size_t)node->n_out + 1;
  s->node = node;
  s->joined = NO_PIECE;
  s->in = arena_array(g->arena, n_in, sizeof *s->in);
  s->in_batched = arena_array(g->arena, n_in, sizeof *s->in_batched);
  s->add = arena_array(g->arena, n_in, sizeof *s->add);
  s->to = arena_array(g->arena, n_in, sizeof *s->to);
  s->to_piece = arena_array(g->arena, n_in, sizeof *s->to_piece);
  s->additions = arena_array(g->arena, n_in + 1, sizeof *s->additions);
  s->out = arena_array(g->arena, n_out, sizeof *s->out);
  s->from = arena_array(g->arena, n_out, sizeof *s->from);
  s->from_piece = arena_array(g->arena, n_out, sizeof *s->from_piece);
  return (s->in && s->in_batched && s->add && s->to && s->to_piece && s->additions && s->out && s->from &&
          s->from_piece) ||
         error_memory(err, "a sweep");
}

static void keep_value(struct grad *g, const struct value *value)
{
  if (value && !value->t.data)
    g->keep[g->n_keep++] = g->graph->values[value->id];
}

/* Count what the rules are about. */
static void note(struct grad *g, const struct node *node, unsigned flags)
{
  struct grad_path *path = &g->path;
  path->rectifiers += (flags & BACKWARD_RECTIFIES) != 0;
  path->straight |= (flags & BACKWARD_STRAIGHT) != 0;
  if (flags & BACKWARD_ACTIVATES) {
    path->activations++;
    path->activation = node->type;
  }
}

/* The way back through one node, unless no signal came to it. */
static bool plan_node(struct grad *g, const struct node *node, struct error *err)
{
  const enum rule rule = g->options.rule;
  const int at = g->n_steps;
  bool arrived = false, handed = false;
  for (int k = 0; k < node->n_out; k++)
    arrived |= node->out[k] && g->piece_of[node->out[k]->id] != NO_PIECE;
  unsigned wanted;
  const bool residual = carries(g, node->residual);
  if (!arrived)
    return true;
  if (!wanted_inputs(g, node, &wanted, err))
    return false;
  if (!wanted && !residual)
    return true;
  struct step *s = &g->steps[g->n_steps++];
  if (!step_arrays(g, s, node, err))
    return false;
  for (int k = 0; k < node->n_out; k++) {
    s->from_piece[k] = node->out[k] ? g->piece_of[node->out[k]->id] : NO_PIECE;
    if (s->from_piece[k] != NO_PIECE)
      use_piece(g, s->from_piece[k], at);
  }
  for (int i = 0; i < node->n_post; i++)
    if (node->post[i].kind != UNARY_RELU && node->post[i].kind != UNARY_CLIP)
      return node_error(node, err, "is fused with a function whose derivative its result does not tell");
  g->path.rectifiers += node->n_post;
  if (node->n_post && rule != RULE_DECONV)
    s->keeps |= BACKWARD_OUT;
  if (residual)
    hand_over(g, s, node->residual, s->from_piece[0], &handed, at);
  if (node_is_view(node)) {
    if (carries(g, node->in[0]))
      hand_over(g, s, node->in[0], s->from_piece[0], &handed, at);
  } else if (wanted) {
    const struct backward *backward = node->op->backward;
    s->runs = true;
    s->keeps |= backward->keeps_of ? backward->keeps_of(node, rule, wanted) : backward->keeps;
    note(g, node, backward->flags | (backward->flags_of ? backward->flags_of(node, rule) : 0));
    if (!place_inputs(g, s, wanted, &handed, at, err))
      return false;
  }
  for (int k = 0; k < node->n_in; k++)
    if (s->keeps & bit_of(k))
      keep_value(g, node->in[k]);
  if (s->keeps & BACKWARD_OUT)
    keep_value(g, node->out[0]);
  return true;
}

/* What ends one step and begins the next, a sum and the way back through a Relu, is one pass over memory. The same
 * sums in the same order. */
static void join_passes(struct grad *g)
{
  for (int i = 0; i + 1 < g->n_steps; i++) {
    struct step *s = &g->steps[i], *next = &g->steps[i + 1];
    if (s->n_additions == 0)
      continue;
    const struct addition *last = &s->additions[s->n_additions - 1];
    if (next->node->n_post != 1 || next->node->post[0].kind != UNARY_RELU || g->options.rule != RULE_GRADIENT ||
        last->to != next->from_piece[0] || last->from == last->to ||
        last->count != g->n * tensor_count(&next->node->out[0]->t))
      continue;
    next->joined = last->from;
    use_piece(g, last->from, i + 1);
    s->n_additions--;
  }
}

static bool place_signals(struct grad *g, struct error *err)
{
  if (!plan_place(g->pieces, g->n_pieces, &g->bytes, err))
    return false;
  g->offset = arena_array(g->arena, (size_t)g->n_pieces + 1, sizeof *g->offset);
  if (!g->offset)
    return error_memory(err, "a sweep");
  for (int i = 0; i < g->n_pieces; i++)
    g->offset[g->pieces[i].value] = g->pieces[i].offset;
  return true;
}

static bool plan_sweep(struct grad *g, struct error *err)
{
  const struct graph *graph = g->graph;
  const struct grad_options *o = &g->options;
  size_t slots = (size_t)o->n_keep + 2;
  for (int i = 0; i < graph->n_nodes; i++)
    slots += (size_t)graph->nodes[i]->n_in + 1;
  g->reached = arena_array(g->arena, (size_t)graph->n_values + 1, sizeof *g->reached);
  g->piece_of = arena_array(g->arena, (size_t)graph->n_values + 1, sizeof *g->piece_of);
  g->steps = arena_array(g->arena, (size_t)graph->n_nodes + 1, sizeof *g->steps);
  g->keep = arena_array(g->arena, slots, sizeof *g->keep);
  if (!g->reached || !g->piece_of || !g->steps || !g->keep)
    return error_memory(err, "a sweep");
  for (int i = 0; i < graph->n_values; i++)
    g->piece_of[i] = NO_PIECE;
  find_reached(g);
  if (!carries(g, o->from))
    return error_set(err, ERROR_FAILED, "'%.80s' does not depend on '%.80s': there is no gradient", o->from->name,
                     o->to->name);
  g->piece_of[o->from->id] = new_piece(g, o->from, -1, err);
  if (g->piece_of[o->from->id] == NO_PIECE)
    return false;
  for (int i = graph->n_nodes - 1; i >= 0; i--)
    if (!plan_node(g, graph->nodes[i], err))
      return false;
  g->result = g->piece_of[o->to->id];
  if (g->result == NO_PIECE)
    return error_set(err, ERROR_FAILED, "no signal of '%.80s' reaches '%.80s'", o->from->name, o->to->name);
  use_piece(g, g->result, g->n_steps);
  for (int i = 0; i < o->n_keep; i++)
    keep_value(g, o->keep[i]);
  join_passes(g);
  return place_signals(g, err);
}

/* ---- making and running ---------------------------------------------------------------------------------------- */

static struct grad *grad_plan(const struct graph *graph, int64_t n, const struct grad_options *options,
                              struct error *err)
{
  struct grad *g = mem_zero(1, sizeof *g);
  if (!g || !(g->arena = arena_new(0))) {
    mem_free(g);
    error_memory(err, "a sweep");
    return NULL;
  }
  g->graph = graph;
  g->options = *options;
  g->n = n;
  if (!plan_sweep(g, err)) {
    grad_free(g);
    return NULL;
  }
  return g;
}

/* Its own Relu is part of an operator's pass. Not where the signal goes elsewhere, too, behind that Relu. */
static bool posts_itself(const struct grad *g, const struct step *s)
{
  const struct node *node = s->node;
  return s->runs && s->joined == NO_PIECE && !node->residual && node->n_post == 1 && node->post[0].kind == UNARY_RELU &&
         g->options.rule == RULE_GRADIENT && (node->op->backward->flags & BACKWARD_POST);
}

static bool prepare_step(struct grad *g, struct step *s, struct compute *compute, struct error *err)
{
  const struct node *node = s->node;
  for (int k = 0; k < node->n_in; k++)
    s->in_batched[k] = node->in[k] && !node->in[k]->t.data;
  s->reverse = (struct reverse){
      .node = node,
      .n = g->n,
      .rule = g->options.rule,
      .in = s->in,
      .in_batched = s->in_batched,
      .out = s->out,
      .from = s->from,
      .to = s->to,
      .add = s->add,
      .posts = posts_itself(g, s),
      .compute = compute,
  };
  struct prepared prepared = {.state = NULL};
  if (!s->runs || !node->op->backward->prepare)
    return true;
  if (!node->op->backward->prepare(node, g->n, compute, &prepared, err))
    return error_prefix(err, "%s '%.60s', backwards", node->type, node->out[0]->name);
  s->reverse.state = prepared.state;
  if (prepared.scratch > g->scratch)
    g->scratch = prepared.scratch;
  return true;
}

struct grad *grad_new(const struct graph *graph, struct compute *compute, int64_t n, const struct grad_options *options,
                      struct error *err)
{
  struct grad *g = grad_plan(graph, n, options, err);
  if (!g)
    return NULL;
  bool ok = (g->run = run_new(graph, compute, n, g->keep, g->n_keep, false, err)) != NULL;
  for (int i = 0; ok && i < g->n_steps; i++)
    ok = prepare_step(g, &g->steps[i], compute, err);
  if (!ok) {
    grad_free(g);
    return NULL;
  }
  return g;
}

static size_t rounded(size_t bytes)
{
  return (bytes + MEM_ALIGN - 1) / MEM_ALIGN * MEM_ALIGN;
}

size_t grad_bytes(const struct grad *g)
{
  return rounded(run_bytes(g->run)) + g->bytes + g->scratch + MEM_ALIGN;
}

static float *piece_data(const struct grad *g, int piece)
{
  return piece == NO_PIECE ? NULL : (float *)(void *)(g->memory + g->offset[piece]);
}

void grad_bind(struct grad *g, void *memory)
{
  unsigned char *signals = (unsigned char *)memory + rounded(run_bytes(g->run));
  run_bind(g->run, memory);
  if (g->memory == signals)
    return;
  g->memory = signals;
  for (int i = 0; i < g->n_steps; i++) {
    struct step *s = &g->steps[i];
    const struct node *node = s->node;
    for (int k = 0; k < node->n_in; k++) {
      const bool there = node->in[k] && (node->in[k]->t.data || s->keeps & bit_of(k));
      s->in[k] = there ? run_value(g->run, node->in[k]) : NULL;
      s->to[k] = s->runs ? piece_data(g, s->to_piece[k]) : NULL;
    }
    for (int k = 0; k < node->n_out; k++) {
      s->out[k] = k == 0 && s->keeps & BACKWARD_OUT ? run_value(g->run, node->out[k]) : NULL;
      s->from[k] = piece_data(g, s->from_piece[k]);
    }
    s->reverse.scratch = g->memory + g->bytes;
  }
}

struct run *grad_run(const struct grad *g)
{
  return g->run;
}

float *grad_seed(struct grad *g)
{
  return piece_data(g, g->piece_of[g->options.from->id]);
}

static bool sweep(struct grad *g, struct error *err)
{
  for (int i = 0; i < g->n_steps; i++) {
    struct step *s = &g->steps[i];
    const struct node *node = s->node;
    const int64_t count = g->n * tensor_count(&node->out[0]->t);
    const enum dtype type = node->out[0]->t.dtype;
    if (s->joined != NO_PIECE)
      unary_relu_backward_sum(type, count, s->out[0], piece_data(g, s->joined), piece_data(g, s->from_piece[0]));
    else
      for (int k = node->n_post - 1; k >= 0 && !s->reverse.posts; k--)
        unary_post_backward(node->post[k], g->options.rule, type, count, s->out[0], piece_data(g, s->from_piece[0]));
    if (s->runs && !node->op->backward->run(&s->reverse, err))
      return false;
    for (int k = 0; k < s->n_additions; k++)
      reverse_add(s->additions[k].type, piece_data(g, s->additions[k].to), piece_data(g, s->additions[k].from),
                  s->additions[k].count);
  }
  return true;
}

bool grad_execute(struct grad *g, struct error *err)
{
  const unsigned state = threads_flush();
  const bool ok = sweep(g, err);
  threads_unflush(state);
  return ok;
}

const float *grad_result(const struct grad *g)
{
  return piece_data(g, g->result);
}

struct grad_path grad_path(const struct grad *g)
{
  return g->path;
}

bool grad_bytes_per_sample(const struct graph *graph, const struct grad_options *options, size_t *bytes,
                           struct error *err)
{
  struct grad *g = grad_plan(graph, 1, options, err);
  size_t forward;
  const bool ok = g && run_bytes_per_sample(graph, g->keep, g->n_keep, false, &forward, err);
  if (ok)
    *bytes = forward + g->bytes;
  grad_free(g);
  return ok;
}
