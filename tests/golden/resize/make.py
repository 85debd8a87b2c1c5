#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Resized pictures to compare with: cases.json and the pixels it refers to, bytes.npy and floats.npy.

A case's pixels follow each other in the array of its type: input [h,w,c], then output [H,W,c].
u8   Pillow 9.4.0's resize, to be met to the bit
f32  Pillow's mode "F", to be met to the bit
real the textbook formula in double precision below (no fixed point, no rounding between the passes), within 1e-5 of
     the range; the input is 16-bit codes or any number
"""
import json
import os

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
PILLOW = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
KERNEL = {
    "bilinear": (1, lambda x: np.maximum(0, 1 - np.abs(x))),
    "bicubic": (2, lambda x: np.where(np.abs(x) < 1, 1.5 * np.abs(x) ** 3 - 2.5 * x * x + 1,
                                      np.where(np.abs(x) < 2, -0.5 * np.abs(x) ** 3 + 2.5 * x * x
                                               - 4 * np.abs(x) + 2, 0))),
    "lanczos": (3, lambda x: np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)),
}
#       w   h   W   H: down, up, one axis only, to and from a single pixel, steps that meet pixel borders, blocks of 16
SIZES = [(37, 29, 11, 8), (13, 9, 31, 40), (40, 23, 40, 7), (19, 33, 50, 33), (1, 1, 5, 3), (17, 1, 1, 1),
         (64, 48, 16, 12), (10, 10, 15, 15), (35, 18, 34, 17), (6, 150, 4, 11), (21, 33, 21, 33)]


def matrix(size, out, name):
    """[out, size]: row i holds the weights that make output pixel i."""
    if size == out:
        return np.eye(size)
    support, kernel = KERNEL[name]
    wide = max(size / out, 1.0)
    centre = (np.arange(out)[:, None] + 0.5) * size / out
    x = np.arange(size)[None, :]
    inside = (x >= np.floor(np.maximum(centre - support * wide + 0.5, 0))) & (x < np.floor(centre + support * wide + 0.5))
    w = np.where(inside, kernel((x + 0.5 - centre) / wide), 0)
    return w / w.sum(1, keepdims=True)


def picture(rng, w, h, c):
    """Smooth shapes, noise and hard edges, so that overshoot is clipped."""
    y, x = np.mgrid[0:h, 0:w][..., None]
    wave = 127 + 90 * np.sin(x * (0.3 + 0.1 * np.arange(c)) + y * 0.2) + rng.integers(-40, 40, (h, w, c))
    wave[(x + y)[..., 0] % 11 < 3] = 255
    wave[(2 * x - y)[..., 0] % 13 < 2] = 0
    return np.clip(wave, 0, 255)


def main():
    rng = np.random.default_rng(20230102)
    cases, eight, real = [], [], []
    for w, h, W, H in SIZES:
        for name in PILLOW:
            for c in (1, 3):
                a = picture(rng, w, h, c).astype(np.uint8)
                out = np.asarray(Image.fromarray(a[..., 0] if c == 1 else a).resize((W, H), PILLOW[name]))
                cases.append({"type": "u8", "filter": name, "in": [h, w, c], "out": [H, W]})
                eight += [a.ravel(), out.ravel()]
            if (w, h) == (64, 48):  # no need for all of them twice
                continue
            f = (rng.standard_normal((h, w)) * 3).astype(np.float32)
            out = np.asarray(Image.fromarray(f).resize((W, H), PILLOW[name]))
            cases.append({"type": "f32", "filter": name, "in": [h, w, 1], "out": [H, W]})
            real += [f.ravel(), out.ravel()]
    for w, h, W, H in SIZES[::3]:
        for name in KERNEL:
            for c in (1, 3):
                a = np.round(picture(rng, w, h, c) * 257)
                out = np.einsum("yh,hwc,xw->yxc", matrix(h, H, name), a, matrix(w, W, name))
                cases.append({"type": "real", "filter": name, "in": [h, w, c], "out": [H, W]})
                real += [a.ravel(), out.ravel()]
    np.save(os.path.join(HERE, "bytes.npy"), np.concatenate(eight).astype(np.uint8))
    np.save(os.path.join(HERE, "floats.npy"), np.concatenate(real).astype(np.float32))
    with open(os.path.join(HERE, "cases.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


main()
