/* SPDX-License-Identifier: Apache-2.0 */
/* What the library says of itself, as option tables and parsed JSON. */
#ifndef PENUMBRA_CLI_TABLES_H
#define PENUMBRA_CLI_TABLES_H

#include "base/error.h"
#include "base/mem.h"
#include "cli/command.h"
#include "penumbra.h"

#include <jansson.h>

/* Parse a text of the library and release it; a NULL text is an error that `from` tells. */
json_t *tables_json(char *text, const penumbra_error *from, struct error *err);
/* A text that need not be UTF-8 (a path), as JSON. NULL when memory is out. */
json_t *tables_text(const char *text);
/* JSON to standard output. */
void tables_print(const json_t *value);
/* Pass on an error of the library; returns false. */
bool tables_error(const penumbra_error *from, struct error *err);

/* Every key of a model's settings, and every parameter of every method, as options; NULL when memory is out.
 * A parameter that several methods have stands there once for each. */
const struct option *tables_card(struct arena *arena);
const struct option *tables_methods(struct arena *arena);
/* The same of metrics. */
const struct option *tables_metrics(struct arena *arena);

/* Facts of one parameter in words: "px, 1..224, default 32 (paper: 16)". */
char *tables_facts(struct arena *arena, const json_t *parameter);
/* One table's "key", "" where it has none; borrowed. */
const char *tables_member(const json_t *table, const char *key);
/* A line each to standard output: name and summary of every table of a list; the parameters of one. */
void tables_print_list(const json_t *list);
void tables_print_parameters(struct arena *arena, const json_t *table);
/* A JSON value as people write it: 16, nodule, on. */
char *tables_value(struct arena *arena, const json_t *value);

#endif
