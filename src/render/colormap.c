/* SPDX-License-Identifier: Apache-2.0 */
#include "render/render.h"

#include <math.h>
#include <string.h>

static const struct colormap colormaps[] = {
#include "render/colormaps.inc"
};

const struct colormap *colormap_find(const char *name)
{
  for (size_t i = 0; i < sizeof colormaps / sizeof *colormaps; i++)
    if (strcmp(colormaps[i].name, name) == 0)
      return &colormaps[i];
  return NULL;
}

const unsigned char *colormap_color(const struct colormap *map, double value, double limit, bool both_signs)
{
  double t = limit > 0 && !isnan(value) ? value / limit : 0;
  t = t > 1 ? 1 : t < -1 ? -1 : t;
  int i;
  if (map->diverging) /* entries 127 and 128 are both the colour of zero */
    i = t < 0 ? 127 + (int)lrint(127 * t) : 128 + (int)lrint(127 * t);
  else
    i = (int)lrint(both_signs ? 127.5 + 127.5 * t : 255 * (t > 0 ? t : 0));
  return map->rgb[i];
}
