/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rng.h"
#include "fault.h"
#include "graph/graph.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct node *add(struct graph *graph, const char *name, int n_in, struct value **in, int n_out)
{
  struct node *node = graph_node(graph, "Op", name, n_in, n_out);
  assert_non_null(node);
  for (int i = 0; i < n_in; i++)
    node->in[i] = in[i];
  for (int i = 0; i < n_out; i++) {
    node->out[i] = graph_value(graph, name);
    assert_non_null(node->out[i]);
    node->out[i]->producer = node;
  }
  return node;
}

static void makes_values_and_nodes(void **state)
{
  (void)state;
  struct graph *graph = graph_new();
  assert_non_null(graph);
  char name[] = "value";
  for (int i = 0; i < 1000; i++) {
    struct value *value = graph_value(graph, name);
    assert_non_null(value);
    assert_int_equal(value->id, i);
    assert_ptr_equal(graph->values[i], value);
    struct node *node = graph_node(graph, "Conv", name, 3, 1);
    assert_non_null(node);
    assert_ptr_equal(graph->nodes[i], node);
  }
  name[0] = 'V'; /* names were copied */
  assert_string_equal(graph->values[999]->name, "value");
  assert_null(graph->values[999]->t.data);
  assert_null(graph->values[999]->producer);
  const struct node *node = graph->nodes[999];
  assert_string_equal(node->name, "value");
  assert_string_equal(node->type, "Conv");
  assert_string_equal(node->domain, "");
  assert_int_equal(node->n_in, 3);
  assert_null(node->in[0]);
  assert_null(node->in[2]);
  assert_int_equal(node->n_out, 1);
  assert_null(node->out[0]);

  for (int i = 0; i < 5; i++)
    assert_true(graph_input(graph, graph->values[i]) && graph_output(graph, graph->values[10 + i]));
  assert_int_equal(graph->n_inputs, 5);
  assert_int_equal(graph->n_outputs, 5);
  assert_ptr_equal(graph->inputs[4], graph->values[4]);
  assert_ptr_equal(graph->outputs[4], graph->values[14]);
  graph_free(graph);
  graph_free(NULL);
}

static void makes_constants(void **state)
{
  (void)state;
  struct graph *graph = graph_new();
  int64_t dim[] = {3, 5};
  struct shape shape = shape_of(2, dim), empty = shape_of(1, (int64_t[]){0}),
               huge = shape_of(1, (int64_t[]){INT64_MAX});
  for (int k = 0; k < 10; k++) {
    struct value *value = graph_constant(graph, "w", k % 2 ? DTYPE_I64 : DTYPE_F32, &shape);
    assert_non_null(value);
    assert_true(shape_equal(&value->t.shape, &shape));
    assert_int_equal(value->t.dtype, k % 2 ? DTYPE_I64 : DTYPE_F32);
    assert_int_equal((uintptr_t)value->t.data % MEM_ALIGN, 0);
    for (size_t i = 0; i < tensor_bytes(&value->t); i++)
      assert_int_equal(((unsigned char *)value->t.data)[i], 0);
    memset(value->t.data, 0xff, tensor_bytes(&value->t)); /* and is ours: the next one is zero all the same */
  }
  struct value *nothing = graph_constant(graph, "w", DTYPE_F32, &empty);
  assert_non_null(nothing);
  assert_non_null(nothing->t.data); /* constant, though it has no element */
  assert_null(graph_constant(graph, "w", DTYPE_F32, &huge));
  graph_free(graph);
}

/* a -> b -> c(out), a -> dead1 -> dead2, loop1 <-> loop2, split -> (unused, d -> out), e reached by a residual only. */
static void prunes(void **state)
{
  (void)state;
  struct graph *graph = graph_new();
  struct value *x = graph_value(graph, "x"), *none = NULL;
  graph_input(graph, x);
  struct node *dead2 = add(graph, "dead2", 1, &none, 1);
  struct node *a = add(graph, "a", 1, &x, 1);
  struct node *e = add(graph, "e", 1, &x, 1);
  struct node *b = add(graph, "b", 2, (struct value *[]){a->out[0], NULL}, 1);
  struct node *dead1 = add(graph, "dead1", 1, a->out, 1);
  dead2->in[0] = dead1->out[0];
  struct node *loop1 = add(graph, "loop1", 1, &none, 1);
  struct node *loop2 = add(graph, "loop2", 1, loop1->out, 1);
  loop1->in[0] = loop2->out[0];
  struct node *split = add(graph, "split", 1, a->out, 2);
  struct node *d = add(graph, "d", 1, &split->out[1], 1);
  struct node *c = add(graph, "c", 2, (struct value *[]){b->out[0], b->out[0]}, 1);
  d->residual = e->out[0];
  graph_output(graph, c->out[0]);
  graph_output(graph, d->out[0]);

  graph_count_uses(graph);
  assert_int_equal(x->uses, 2);
  assert_int_equal(a->out[0]->uses, 3);
  assert_int_equal(b->out[0]->uses, 2);
  assert_int_equal(c->out[0]->uses, 1);
  assert_int_equal(e->out[0]->uses, 1);

  graph_prune(graph);
  struct node *kept[] = {a, e, b, split, d, c};
  assert_int_equal(graph->n_nodes, 6);
  for (int i = 0; i < 6; i++)
    assert_ptr_equal(graph->nodes[i], kept[i]);
  assert_int_equal(a->out[0]->uses, 2);
  assert_int_equal(split->out[0]->uses, 0);
  assert_int_equal(split->out[1]->uses, 1);
  assert_int_equal(dead1->out[0]->uses, 0);
  graph_free(graph);
}

/* Random graphs, cycles included, against the definition: needed is what an output needs. */
static void prunes_like_its_definition(void **state)
{
  (void)state;
  enum { NODES = 40 };
  for (uint64_t seed = 0; seed < 300; seed++) {
    uint64_t k = 0;
#define PICK(n) (int)rng_below(seed, RNG_ORDER, 0, k++, n)
    struct graph *graph = graph_new();
    struct node *nodes[NODES];
    for (int i = 0; i < NODES; i++) {
      int n_in = PICK(4);
      nodes[i] = add(graph, "n", n_in, (struct value *[]){NULL, NULL, NULL, NULL}, 1 + PICK(3));
    }
    for (int i = 0; i < NODES; i++) {
      for (int j = 0; j < nodes[i]->n_in; j++)
        if (PICK(4))
          nodes[i]->in[j] = graph->values[PICK(graph->n_values)];
      if (PICK(8) == 0)
        nodes[i]->residual = graph->values[PICK(graph->n_values)];
    }
    for (int i = 1 + PICK(3); i > 0; i--)
      graph_output(graph, graph->values[PICK(graph->n_values)]);

    bool needed[NODES] = {false}, changed = true;
    for (int i = 0; i < graph->n_outputs; i++)
      for (int n = 0; n < NODES; n++)
        needed[n] |= graph->outputs[i]->producer == nodes[n];
    while (changed) {
      changed = false;
      for (int n = 0; n < NODES; n++) {
        if (!needed[n])
          continue;
        for (int j = -1; j < nodes[n]->n_in; j++) {
          const struct value *v = j < 0 ? nodes[n]->residual : nodes[n]->in[j];
          for (int m = 0; v && m < NODES; m++) {
            changed |= v->producer == nodes[m] && !needed[m];
            needed[m] |= v->producer == nodes[m];
          }
        }
      }
    }
    graph_prune(graph);
    int at = 0;
    for (int n = 0; n < NODES; n++) {
      if (needed[n]) {
        assert_true(at < graph->n_nodes);
        assert_ptr_equal(graph->nodes[at++], nodes[n]);
      }
    }
    assert_int_equal(at, graph->n_nodes);
    graph_free(graph);
  }
}

/* The deepest chain, in the worst order, is a matter of a moment and of no stack. */
static void prunes_long_chains(void **state)
{
  (void)state;
  enum { LENGTH = 100000 };
  struct graph *graph = graph_new();
  struct value *none = NULL;
  for (int i = 0; i < LENGTH; i++)
    add(graph, "", 1, &none, 1);
  for (int i = 0; i + 1 < LENGTH; i++)
    graph->nodes[i]->in[0] = graph->nodes[i + 1]->out[0];
  graph_output(graph, graph->nodes[LENGTH / 2]->out[0]);
  graph_prune(graph);
  assert_int_equal(graph->n_nodes, LENGTH / 2);
  graph_output(graph, graph_value(graph, "elsewhere"));
  graph->outputs[0] = graph->outputs[1];
  graph_prune(graph);
  assert_int_equal(graph->n_nodes, 0);
  graph_free(graph);
}

static bool build(struct graph **out, struct error *err)
{
  struct shape shape = shape_of(1, (int64_t[]){100000});
  struct graph *graph = *out = graph_new();
  bool ok = graph;
  for (int i = 0; ok && i < 100; i++) {
    struct value *value = graph_value(graph, "v");
    ok = value && graph_node(graph, "Op", "n", 2, 1) && graph_input(graph, value) && graph_output(graph, value);
  }
  ok = ok && graph_constant(graph, "w", DTYPE_F32, &shape);
  if (!ok) {
    graph_free(graph);
    return error_memory(err, "the graph");
  }
  return true;
}

static void fails_without_memory(void **state)
{
  (void)state;
  struct graph *graph = NULL;
  FAULT_LOOP(build(&graph, &err), graph_free(graph));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(makes_values_and_nodes),
      cmocka_unit_test(makes_constants),
      cmocka_unit_test(prunes),
      cmocka_unit_test(prunes_like_its_definition),
      cmocka_unit_test(prunes_long_chains),
      cmocka_unit_test(fails_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
