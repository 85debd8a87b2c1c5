/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/node.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct attr *node_attr(const struct node *node, const char *name)
{
  for (int i = 0; i < node->n_attrs; i++) {
    if (strcmp(node->attrs[i].name, name) == 0)
      return &node->attrs[i];
  }
  return NULL;
}

bool node_error(const struct node *node, struct error *err, const char *format, ...)
{
  char cause[sizeof err->message];
  va_list args;
  va_start(args, format);
  (void)vsnprintf(cause, sizeof cause, format, args);
  va_end(args);

  const char *name = node->name;
  for (int i = 0; i < node->n_out && !*name; i++) {
    if (node->out[i])
      name = node->out[i]->name;
  }
  bool custom = *node->domain != '\0';
  return error_set(err, ERROR_FAILED, "%.40s%s%.40s '%.70s' (opset %d): %s", node->domain, custom ? "." : "",
                   node->type, name, node->opset, cause);
}

/* The attribute in *out (NULL: absent), or an error where its type is another one. */
static bool typed(const struct node *node, const char *name, enum attr_type type, const char *wanted,
                  const struct attr **out, struct error *err)
{
  *out = node_attr(node, name);
  if (*out && (*out)->type != type)
    return node_error(node, err, "attribute %s is not %s", name, wanted);
  return true;
}

bool node_int(const struct node *node, const char *name, int64_t fallback, int64_t *out, struct error *err)
{
  const struct attr *attr;
  if (!typed(node, name, ATTR_INT, "an integer", &attr, err))
    return false;
  *out = attr ? attr->i : fallback;
  return true;
}

bool node_float(const struct node *node, const char *name, double fallback, double *out, struct error *err)
{
  const struct attr *attr;
  if (!typed(node, name, ATTR_FLOAT, "a real number", &attr, err))
    return false;
  *out = attr ? (double)attr->f : fallback;
  return true;
}

bool node_string(const struct node *node, const char *name, const char *fallback, const char **out, struct error *err)
{
  const struct attr *attr;
  if (!typed(node, name, ATTR_STRING, "a text", &attr, err))
    return false;
  *out = attr ? attr->s : fallback;
  return true;
}

bool node_ints(const struct node *node, const char *name, int64_t *out, int max, int *count, struct error *err)
{
  const struct attr *attr;
  *count = 0;
  if (!typed(node, name, ATTR_INTS, "a list of integers", &attr, err))
    return false;
  if (!attr)
    return true;
  if (attr->count > (size_t)max)
    return node_error(node, err, "attribute %s has %zu values, at most %d are allowed", name, attr->count, max);
  for (size_t i = 0; i < attr->count; i++)
    out[i] = attr->ints[i];
  *count = (int)attr->count;
  return true;
}

bool node_const_ints(const struct node *node, int i, int64_t *out, int max, int *count, struct error *err)
{
  *count = 0;
  if (!node_has(node, i))
    return node_error(node, err, "input %d is missing", i);
  const struct value *value = node->in[i];
  if (!value->t.data)
    return node_error(node, err, "input %d ('%.70s') is computed from the image, only constants are supported here", i,
                      value->name);
  if (value->t.dtype != DTYPE_I64)
    return node_error(node, err, "input %d ('%.70s') does not hold integers", i, value->name);
  int64_t n = tensor_count(&value->t);
  if (value->t.shape.rank > 1 || n < 0 || n > max) {
    char text[96];
    return node_error(node, err, "input %d ('%.70s') has shape %s, at most %d values in one row are allowed", i,
                      value->name, shape_text(&value->t.shape, text, sizeof text), max);
  }
  memcpy(out, value->t.data, (size_t)n * sizeof *out);
  *count = (int)n;
  return true;
}
