#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make src/render/colormaps.inc: usage: tools/make_colormaps.py > src/render/colormaps.inc

viridis, inferno, magma  S. van der Walt and N. Smith, 2015; dedicated to the public domain (CC0).
cividis                  J. Nunez, C. Anderton, R. Renslow, "Optimizing colormaps with consideration for color vision
                         deficiency", PLoS ONE 13(7), 2018; CC0.
turbo                    A. Mikhailov, Google LLC, 2019; Apache-2.0.
                         These five are tables of numbers; the copy that Matplotlib carries is read.
gray                     equal steps of the sRGB code.
coolwarm                 computed as described by K. Moreland, "Diverging color maps for scientific visualization",
                         ISVC 2009: polar CIELAB (Msh), both arms run into an unsaturated middle.
rdbu                     the eleven colours of ColorBrewer's RdBu (C. Brewer, M. Harrower, The Pennsylvania State
                         University; Apache-2.0), joined by straight lines in CIELAB, from blue to red.

The diverging tables have zero between entries 127 and 128, which are both exactly the neutral grey.
"""
import numpy as np

XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
WHITE = XYZ.sum(axis=1)


def lab_from_rgb(rgb):
    c = np.asarray(rgb, float) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    t = XYZ @ linear / WHITE
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def rgb_from_lab(lab):
    fy = (lab[0] + 16) / 116
    f = np.array([fy + lab[1] / 500, fy, fy - lab[2] / 200])
    t = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    linear = np.clip(np.linalg.solve(XYZ, t * WHITE), 0, 1)
    c = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.clip(np.rint(c * 255), 0, 255).astype(int)


def msh_from_rgb(rgb):
    lab = lab_from_rgb(rgb)
    m = np.linalg.norm(lab)
    return np.array([m, np.arccos(lab[0] / m), np.arctan2(lab[2], lab[1])])


def rgb_from_msh(msh):
    m, s, h = msh
    return rgb_from_lab(np.array([m * np.cos(s), m * np.sin(s) * np.cos(h), m * np.sin(s) * np.sin(h)]))


def moreland_arm(rgb, t, middle=88.0):
    """The colour a fraction t of the way from the neutral middle (0) to the saturated end (1)."""
    m, s, h = msh_from_rgb(rgb)
    # The hue turns on the way to the middle, so that the arm keeps even perceived steps (Moreland, section 5.2).
    spin = s * np.sqrt(max(middle**2 - m**2, 0)) / (m * np.sin(s))
    neutral = np.array([middle, 0, h + spin if h > -np.pi / 3 else h - spin])
    return rgb_from_msh((1 - t) * neutral + t * np.array([m, s, h]))


def diverging(negative, positive):
    return [negative((127 - i) / 127) for i in range(128)] + [positive(i / 127) for i in range(128)]


def brewer_arm(colours):
    labs = [lab_from_rgb([int(c[i : i + 2], 16) for i in (0, 2, 4)]) for c in colours]
    labs[0][1:] = 0

    def at(t):
        x = t * (len(labs) - 1)
        i = min(int(x), len(labs) - 2)
        return rgb_from_lab(labs[i] + (x - i) * (labs[i + 1] - labs[i]))

    return at


def listed(name):
    from matplotlib import colormaps

    return [[round(255 * v) for v in c] for c in colormaps[name].colors]


TABLES = [
    ("coolwarm", True, diverging(lambda t: moreland_arm((59, 76, 192), t), lambda t: moreland_arm((180, 4, 38), t))),
    ("rdbu", True, diverging(brewer_arm("f7f7f7 d1e5f0 92c5de 4393c3 2166ac 053061".split()),
                             brewer_arm("f7f7f7 fddbc7 f4a582 d6604d b2182b 67001f".split()))),
    *((name, False, listed(name)) for name in ("viridis", "inferno", "magma", "cividis", "turbo")),
    ("gray", False, [[i, i, i] for i in range(256)]),
]

print("/* SPDX-License-Identifier: Apache-2.0 */")
print("/* Written by tools/make_colormaps.py, which names the makers of the tables; turbo: Copyright 2019 Google LLC. */")
for name, is_diverging, table in TABLES:
    assert len(table) == 256 and all(len(c) == 3 for c in table)
    print(f'{{.name = "{name}", .diverging = {"true" if is_diverging else "false"}, .rgb = {{')
    for i in range(0, 256, 7):
        print("  " + " ".join("{%d,%d,%d}," % tuple(int(v) for v in c) for c in table[i : i + 7]))
    print("}},")
