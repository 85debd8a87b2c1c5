#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The objective of meaningful perturbation for given masks, evaluated with numpy and scipy in float64.

usage: make.py

A linear score f = sum(w * image) on pictures of 45 x 58 x 3 with a mask of 9 x 12 cells; terms.json holds for several
settings the score, the terms of J and J; mask.npy is the mask at the pixels for a blur of 2.5 px.
"""
import json
import os

import numpy as np
from scipy.ndimage import gaussian_filter

HERE = os.path.dirname(os.path.abspath(__file__))
H, W, C, ROWS, COLUMNS = 45, 58, 3, 9, 12


def bilinear(n, cells):
    """[n, cells]: values at pixel centres from values at cell centres, edges repeated."""
    at = np.clip((np.arange(n) + 0.5) * cells / n - 0.5, 0, cells - 1)
    low = np.floor(at).astype(int)
    matrix = np.zeros((n, cells))
    for i in range(n):
        matrix[i, low[i]] += 1 - (at[i] - low[i])
        matrix[i, min(low[i] + 1, cells - 1)] += at[i] - low[i]
    return matrix


def upsample(m, sigma):
    full = bilinear(H, ROWS) @ m @ bilinear(W, COLUMNS).T
    return gaussian_filter(full, sigma, mode="reflect", truncate=4) if sigma else full


def objective(m, x, b, w, preserve, raw, l1, tv, beta, sigma):
    mask = upsample(m, sigma)[..., None]
    f, full, base = (float((w * image).sum()) for image in (x * mask + b * (1 - mask), x, b))
    share = (f - base) / (full - base)
    if raw:
        score = -f if preserve else f
    else:
        score = -min(share, 1) if preserve else max(share, 0)
    dy, dx = np.zeros_like(m), np.zeros_like(m)
    dy[:-1] = m[1:] - m[:-1]
    dx[:, :-1] = m[:, 1:] - m[:, :-1]
    n = min(ROWS, COLUMNS)
    area = l1 * np.mean(m if preserve else 1 - m)
    variation = tv * np.mean((n / 28 * np.sqrt(dx ** 2 + dy ** 2)) ** beta)
    return {"preserve": preserve, "raw": raw, "l1": l1, "tv": tv, "beta": beta, "sigma": sigma, "f": f, "full": full,
            "base": base, "score": score, "area": area, "variation": variation, "objective": score + area + variation}


def main():
    rng = np.random.RandomState(5)
    arrays = {"cells": rng.uniform(size=(ROWS, COLUMNS)), "x": rng.uniform(-1, 2, (H, W, C)),
              "fill": rng.uniform(-1, 2, (H, W, C)), "weights": rng.standard_normal((H, W, C)) / 50}
    for name, array in arrays.items():
        np.save(os.path.join(HERE, name + ".npy"), array.astype(np.float32))
    m, x, b, w = (array.astype(np.float32).astype(np.float64) for array in arrays.values())
    if (w * x).sum() < (w * b).sum():
        x, b = b, x
        np.save(os.path.join(HERE, "x.npy"), x.astype(np.float32))
        np.save(os.path.join(HERE, "fill.npy"), b.astype(np.float32))
    np.save(os.path.join(HERE, "mask.npy"), upsample(m, 2.5).astype(np.float32))
    settings = [(False, False, 0.0784, 7.84, 3, 2.5), (True, False, 0.0784, 7.84, 3, 2.5), (False, True, 0.3, 2, 2, 0),
                (True, True, 0, 5, 1.5, 1), (False, False, 0.1, 0, 3, 4)]
    with open(os.path.join(HERE, "terms.json"), "w") as out:
        json.dump([objective(m, x, b, w, *s) for s in settings], out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
