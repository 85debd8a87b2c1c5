/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/op.h"

#include <string.h>

#define OP_FAMILY(family) extern OP_TABLE(family);
#include "ops/ops.def"
#undef OP_FAMILY

static const struct op *const families[] = {
#define OP_FAMILY(family) op_family_##family,
#include "ops/ops.def"
#undef OP_FAMILY
};

const struct op *op_find(const char *domain, const char *type, int opset)
{
  if (strcmp(domain, "ai.onnx") == 0)
    domain = "";
  for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
    for (const struct op *op = families[f]; op->type; op++) {
      if (strcmp(op->type, type) == 0 && strcmp(op->domain ? op->domain : "", domain) == 0 && opset >= op->since &&
          (op->until == 0 || opset <= op->until))
        return op;
    }
  }
  return NULL;
}

int64_t node_macs(const struct node *node)
{
  return node->op->macs ? node->op->macs(node) : 0;
}
