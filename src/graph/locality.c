/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/locality.h"

#include "graph/plan.h"

/* Mark the values in which changes stay local, walking in execution order. A view of the input counts as the input. */
static void mark_head(const struct graph *graph, struct layer *layers)
{
  const struct value *input = graph->inputs[0];
  const struct shape *s = &input->t.shape;
  const bool last = input->t.layout == LAYOUT_PLAIN; /* [1,H,W,C] */
  struct layer *in = &layers[input->id];
  in->head = true;
  in->view = (struct layer_view){NULL, (int)s->dim[last ? 1 : 2], (int)s->dim[last ? 2 : 3], (int)s->dim[last ? 3 : 1],
                                 (size_t)s->dim[last ? 3 : 1] * dtype_size(input->t.dtype)};
  for (int i = 0; i < graph->n_nodes; i++) {
    const struct node *node = graph->nodes[i];
    const struct value *out = node->out[0];
    struct layer *layer = &layers[out->id];
    if (node_is_view(node) && node->n_out == 1 && node->in[0] == input && out->t.layout == LAYOUT_CHANNELS_LAST &&
        out->t.shape.rank == 4 && out->t.shape.dim[1] == in->view.channels && out->t.shape.dim[2] == in->view.height) {
      layer->head = true;
      layer->view = in->view;
      layer->alias = input->id;
      continue;
    }
    bool local = window_rule_of(node).kind != WINDOW_SPREADS && (!node->residual || layers[node->residual->id].head);
    int varying = node->residual != NULL;
    for (int k = 0; k < node->n_in; k++)
      if (varies(node->in[k])) {
        local &= layers[node->in[k]->id].head;
        varying++;
      }
    if (window_rule_of(node).kind == WINDOW_POINT)
      local &= varying <= MAX_VARYING;
    if (!local)
      continue;
    layer->head = true;
    layer->view = (struct layer_view){NULL, (int)out->t.shape.dim[2], (int)out->t.shape.dim[3],
                                      (int)out->t.shape.dim[1], (size_t)out->t.shape.dim[1] * dtype_size(out->t.dtype)};
  }
}

/* Per axis: the window of every value for a change [from, to) of the image. `lo`, `hi` per value id. */
static void propagate(const struct graph *graph, const struct layer *layers, int a, int from, int to, int *lo, int *hi)
{
  lo[graph->inputs[0]->id] = from;
  hi[graph->inputs[0]->id] = to;
  for (int i = 0; i < graph->n_nodes; i++) {
    const struct node *node = graph->nodes[i];
    const int id = node->out[0]->id;
    if (!layers[id].head)
      continue;
    int y0 = 0, y1 = 0;
    for (int k = 0; k <= node->n_in; k++) {
      const struct value *in = k < node->n_in ? node->in[k] : node->residual;
      if (!varies(in) || lo[in->id] >= hi[in->id])
        continue;
      y0 = y0 == y1 || lo[in->id] < y0 ? lo[in->id] : y0;
      y1 = hi[in->id] > y1 ? hi[in->id] : y1;
      if (k == 0 && layers[id].alias < 0 && window_rule_of(node).kind == WINDOW_SLIDE) {
        const struct window_rule rule = window_rule_of(node);
        window_outputs(&rule.space, a, lo[in->id], hi[in->id], &y0, &y1);
      }
    }
    lo[id] = y0;
    hi[id] = y1;
  }
}

/* Windows over all places of the change, per axis: largest, average, how often each size. */
static bool measure_windows(const struct graph *graph, struct layer *layers, int height, int width, struct arena *arena,
                            struct error *err)
{
  for (int i = 0; i < graph->n_values; i++)
    for (int a = 0; a < 2 && layers[i].head; a++) {
      const int extent = a == 0 ? layers[i].view.height : layers[i].view.width;
      if (!(layers[i].sizes[a] = arena_array(arena, (size_t)extent + 1, sizeof(int))) ||
          !(layers[i].even_sizes[a] = arena_array(arena, (size_t)extent + 1, sizeof(int))))
        return error_memory(err, "windows");
    }
  int *lo = mem_zero(2 * (size_t)graph->n_values + 2, sizeof *lo), *hi = lo ? lo + graph->n_values + 1 : NULL;
  if (!lo)
    return error_memory(err, "windows");
  const struct layer_view *image = &layers[graph->inputs[0]->id].view;
  for (int a = 0; a < 2; a++) {
    const int extent = a == 0 ? image->height : image->width, size = a == 0 ? height : width;
    const int places = extent - size + 1;
    for (int from = 0; from < places; from++) {
      propagate(graph, layers, a, from, from + size, lo, hi);
      for (int i = 0; i < graph->n_values; i++)
        if (layers[i].head) {
          const int window = hi[i] - lo[i];
          layers[i].bound[a] = window > layers[i].bound[a] ? window : layers[i].bound[a];
          layers[i].mean[a] += (double)window / places;
          layers[i].sizes[a][window]++;
          layers[i].even_sizes[a][window > 0 ? window + lo[i] % 2 : 0]++;
        }
    }
  }
  mem_free(lo);
  return true;
}

struct layer *layers_new(const struct graph *graph, int height, int width, struct arena *arena, struct error *err)
{
  struct layer *layers = arena_array(arena, (size_t)graph->n_values + 1, sizeof *layers);
  if (!layers) {
    error_memory(err, "windows");
    return NULL;
  }
  for (int i = 0; i < graph->n_values; i++)
    layers[i].alias = -1;
  mark_head(graph, layers);
  return measure_windows(graph, layers, height, width, arena, err) ? layers : NULL;
}
