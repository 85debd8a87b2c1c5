/* SPDX-License-Identifier: Apache-2.0 */
#include "window_macs.h"

double window_macs(const struct graph *graph, const struct layer *layers, struct rect change, struct rect *window)
{
  double macs = 0;
  window[graph->inputs[0]->id] = change;
  for (int i = 0; i < graph->n_nodes; i++) {
    const struct node *node = graph->nodes[i];
    const int id = node->out[0]->id;
    const double all = (double)node_macs(node);
    if (!layers[id].head) {
      macs += all;
      continue;
    }
    struct rect reach = {0, 0, 0, 0};
    for (int k = 0; k < node->n_in; k++)
      if (varies(node->in[k]))
        reach = rect_union(&reach, &window[node->in[k]->id]);
    const struct window_rule rule = layers[id].alias < 0 ? window_rule_of(node) : (struct window_rule){WINDOW_POINT};
    if (rule.kind == WINDOW_SLIDE) {
      const struct rect in = reach;
      window_outputs(&rule.space, 0, in.y0, in.y1, &reach.y0, &reach.y1);
      window_outputs(&rule.space, 1, in.x0, in.x1, &reach.x0, &reach.x1);
    }
    /* a residual sum fused into a convolution is no work of the convolution's beyond its own window */
    const struct rect own = reach;
    if (node->residual)
      reach = rect_union(&reach, &window[node->residual->id]);
    window[id] = reach;
    macs += all * (double)rect_area(&own) / ((double)layers[id].view.height * layers[id].view.width);
  }
  return macs;
}
