/* SPDX-License-Identifier: Apache-2.0 */
/* The seeded natural-looking picture of tools/scene.py, code for code: occluding discs (dead leaves) under a fractal
 * texture, in integers. Tests recompute the inputs of golden data with it instead of storing them. */
#ifndef PENUMBRA_TESTS_SCENE_H
#define PENUMBRA_TESTS_SCENE_H

#include <stdbool.h>
#include <stdint.h>

enum { SCENE_LEAVES = 72, SCENE_OCTAVES = 6 };

/* MurmurHash3's 32-bit finaliser (Appleby, public domain). */
static inline uint32_t scene_mix(uint32_t x)
{
  x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
  x = (x ^ (x >> 13)) * 0xC2B2AE35u;
  return x ^ (x >> 16);
}

static inline uint32_t scene_hash(uint32_t seed, uint32_t a, uint32_t b, uint32_t c)
{
  return scene_mix(scene_mix(scene_mix(scene_mix(seed) + a) + b) + c);
}

/* Position j of the samples of a tensor of `count` < 2^32 elements: see tests/golden/oracle.py. */
static inline int64_t scene_position(uint32_t j, int64_t count)
{
  return (int64_t)(((uint64_t)scene_mix(j + 1) * (uint64_t)count) >> 32);
}

/* The texture at one pixel, about -143..143. */
static inline int scene_texture(uint32_t seed, int y, int x)
{
  static const int octave[SCENE_OCTAVES][2] = {{6, 9}, {5, 8}, {4, 7}, {3, 5}, {2, 4}, {1, 3}};
  int sum = 0;
  for (int i = 0; i < SCENE_OCTAVES; i++) {
    int k = octave[i][0], cell = 1 << k, fy = y & (cell - 1), fx = x & (cell - 1);
    int corner[2][2];
    for (int dy = 0; dy < 2; dy++) {
      for (int dx = 0; dx < 2; dx++)
        corner[dy][dx] =
            (int)(scene_hash(seed, (uint32_t)(2 + k), (uint32_t)((y >> k) + dy), (uint32_t)((x >> k) + dx)) & 255u);
    }
    int left = corner[0][0] * (cell - fy) + corner[1][0] * fy;
    int right = corner[0][1] * (cell - fy) + corner[1][1] * fy;
    sum += octave[i][1] * ((left * (cell - fx) + right * fx) >> (2 * k));
  }
  return (sum >> 5) - 143;
}

/* Fills `codes`, [height][width][channels], 1 to 4 channels, sides up to 4096. */
static inline void scene_draw(uint32_t seed, int height, int width, int channels, uint8_t *codes)
{
  int side = height < width ? height : width;
  struct {
    int y, x, radius, colour[4];
  } leaf[SCENE_LEAVES];
  for (int i = 0; i < SCENE_LEAVES; i++) {
    leaf[i].y = (int)(scene_hash(seed, 1, (uint32_t)i, 0) % (uint32_t)height);
    leaf[i].x = (int)(scene_hash(seed, 1, (uint32_t)i, 1) % (uint32_t)width);
    leaf[i].radius = side / (int)(2 + scene_hash(seed, 1, (uint32_t)i, 2) % 20);
    if (leaf[i].radius < 1)
      leaf[i].radius = 1;
    int light = (int)(scene_hash(seed, 1, (uint32_t)i, 3) % 208);
    for (int c = 0; c < channels; c++)
      leaf[i].colour[c] = 24 + light + (int)(scene_hash(seed, 1, (uint32_t)i, 4 + (uint32_t)c) % 64) - 32;
  }
  for (int y = 0; y < height; y++) {
    for (int x = 0; x < width; x++) {
      int top = SCENE_LEAVES - 1; /* later leaves lie on earlier ones; leaf 0 is the ground */
      while (top > 0) {
        int dy = y - leaf[top].y, dx = x - leaf[top].x;
        if (dy * dy + dx * dx <= leaf[top].radius * leaf[top].radius)
          break;
        top--;
      }
      int texture = scene_texture(seed, y, x);
      for (int c = 0; c < channels; c++) {
        int code = leaf[top].colour[c] + texture;
        *codes++ = (uint8_t)(code < 0 ? 0 : code > 255 ? 255 : code);
      }
    }
  }
}

#endif
