# SPDX-License-Identifier: Apache-2.0
"""A natural-looking test picture that any language can compute exactly.

Occluding discs of even colour (the dead-leaves model, whose edges and spectrum are those of photographs; Lee, Mumford,
Huang 2001) under a fractal texture of value noise. Integers only, so that C and Python agree on every code;
tests/support/scene.h is the twin of this file.
"""
import numpy as np

LEAVES = 72
# (log2 of the lattice cell, weight): amplitudes fall with the frequency
OCTAVES = ((6, 9), (5, 8), (4, 7), (3, 5), (2, 4), (1, 3))


def mix(x):
    """MurmurHash3's 32-bit finaliser (Appleby, public domain)."""
    x = np.asarray(x, np.uint32)
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def hashed(seed, a, b, c):
    """mix(mix(mix(mix(seed) + a) + b) + c), all modulo 2^32."""
    x = mix(np.uint32(seed))
    for part in (a, b, c):
        with np.errstate(over="ignore"):
            x = mix(x + np.asarray(part, np.uint32))
    return x


def scene(seed, height, width, channels=3):
    """uint8 [height, width, channels]."""
    y = np.arange(height, dtype=np.int64)[:, None]
    x = np.arange(width, dtype=np.int64)[None, :]
    side = min(height, width)
    codes = np.zeros((height, width, channels), np.int64)
    for i in range(LEAVES):
        part = [int(hashed(seed, 1, i, k)) for k in range(4 + channels)]
        radius = max(1, side // (2 + part[2] % 20))
        colour = [24 + part[3] % 208 + part[4 + c] % 64 - 32 for c in range(channels)]
        if i == 0:  # the ground
            codes[:] = colour
        else:
            inside = (y - part[0] % height) ** 2 + (x - part[1] % width) ** 2 <= radius * radius
            codes[inside] = colour
    texture = np.zeros((height, width), np.int64)
    for k, weight in OCTAVES:
        cell = 1 << k
        fy, fx = y & (cell - 1), x & (cell - 1)

        def corner(dy, dx):
            return (hashed(seed, 2 + k, (y >> k) + dy, (x >> k) + dx) & np.uint32(255)).astype(np.int64)

        left = corner(0, 0) * (cell - fy) + corner(1, 0) * fy
        right = corner(0, 1) * (cell - fy) + corner(1, 1) * fy
        texture += weight * ((left * (cell - fx) + right * fx) >> (2 * k))
    codes += ((texture >> 5) - 143)[:, :, None]
    return np.clip(codes, 0, 255).astype(np.uint8)
