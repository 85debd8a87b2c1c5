/* SPDX-License-Identifier: Apache-2.0 */
#include "api/object.h"
#include "base/files.h"
#include "base/str.h"
#include "phantom/phantom.h"

#include <string.h>

/* "nodule,effusion", "none", "random" or NULL. */
static bool read_findings(const char *text, struct phantom_request *request, struct error *err)
{
  request->random_findings = !text || strcmp(text, "random") == 0;
  if (request->random_findings || strcmp(text, "none") == 0)
    return true;
  while (*text) {
    char name[32];
    const size_t length = strcspn(text, ",");
    int finding = -1;
    if (length < sizeof name) {
      memcpy(name, text, length);
      name[length] = '\0';
      finding = phantom_finding_find(name);
    }
    if (finding < 0) {
      struct str names;
      str_init(&names, 160);
      for (int i = 0; i < PHANTOM_FINDINGS; i++)
        str_printf(&names, "%s%s", i ? ", " : "", phantom_finding_name(i));
      error_set(err, ERROR_USAGE, "finding: '%.*s' is none of %s, none, random", length < 40 ? (int)length : 40, text,
                names.text ? names.text : "");
      str_free(&names);
      return false;
    }
    request->finding[finding] = true;
    text += length + (text[length] == ',');
  }
  return true;
}

bool penumbra_phantom(const penumbra_phantom_request *request, const char *dir, unsigned flags, penumbra_error *err)
{
  struct error failed = {ERROR_NONE};
  penumbra_phantom_request own = {.size = sizeof own};
  struct phantom phantom = {0};
  struct output out = {0};
  bool ok = api_struct(&own, sizeof own, request, "penumbra_phantom_request", &failed);
  struct phantom_request wanted = {.seed = own.seed, .size = own.pixels, .bits = own.bits};
  ok = ok && read_findings(own.findings, &wanted, &failed) && phantom_generate(&wanted, &phantom, &failed) &&
       output_begin(&out, dir, (flags & PENUMBRA_OVERWRITE) != 0, &failed) &&
       phantom_save(&phantom, &out, &failed) && output_commit(&out, &failed);
  output_end(&out);
  phantom_free(&phantom);
  return ok || api_error(err, &failed);
}
