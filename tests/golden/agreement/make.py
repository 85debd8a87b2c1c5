#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How maps agree, by SciPy and scikit-image.

usage: make.py

NAME.a.npy and NAME.b.npy are maps, agreement.json holds for each name: Spearman, Pearson, the overlap of the highest
5 % (ties: the later pixel is higher), mean SSIM over 7 x 7 windows with population moments and the joint range of the
two maps, greatest difference.
"""
import json
import os

import numpy as np
from scipy.stats import pearsonr, rankdata, spearmanr
from skimage.metrics import structural_similarity

HERE = os.path.dirname(os.path.abspath(__file__))


def top(x):
    k = max(x.size // 20, 1)
    return set(np.argsort(x.reshape(-1), kind="stable")[-k:].tolist())


def figures(a, b):
    ta, tb = top(a), top(b)
    joint = max(a.max(), b.max()) - min(a.min(), b.min())
    rows = [x.reshape(-1, x.shape[-1]).astype(np.float64) for x in (a, b)]
    window = min(7, *rows[0].shape)
    return {
        "spearman": float(spearmanr(a.reshape(-1), b.reshape(-1))[0]),
        "pearson": float(pearsonr(a.reshape(-1).astype(float), b.reshape(-1).astype(float))[0]),
        "top5_jaccard": len(ta & tb) / len(ta | tb),
        "ssim": float(structural_similarity(rows[0], rows[1], win_size=window, data_range=float(joint),
                                            use_sample_covariance=False)),
        "max_abs_difference": float(np.abs(a.astype(float) - b.astype(float)).max()),
    }


def main():
    rng = np.random.RandomState(11)
    smooth = np.add.outer(np.sin(np.arange(40) / 5), np.cos(np.arange(33) / 4)).astype(np.float32)
    noise = rng.standard_normal((40, 33)).astype(np.float32)
    coarse = np.round(smooth * 3).astype(np.float32)  # ties
    cases = {
        "noisy": (smooth, (smooth + 0.3 * noise).astype(np.float32)),
        "ties": (coarse, np.round(smooth * 2 + noise).astype(np.float32)),
        "opposite": (smooth, -smooth),
        "shifted": (smooth + 100, (smooth * 1e-3 + 100).astype(np.float32)),
        "small": (noise[:5, :5].copy(), noise[5:10, :5].copy()),
        "stack": (noise.reshape(2, 20, 33)[:, :, :20].copy(), smooth.reshape(2, 20, 33)[:, :, :20].copy()),
    }
    out = {}
    for name, (a, b) in cases.items():
        np.save(os.path.join(HERE, name + ".a.npy"), a)
        np.save(os.path.join(HERE, name + ".b.npy"), b)
        out[name] = figures(a, b)
    ranks = np.array([3, 1, 1, -2, 7, 1, 3, 0], np.float32)
    out["ranks"] = {"of": ranks.tolist(), "are": rankdata(ranks).tolist()}
    with open(os.path.join(HERE, "agreement.json"), "w", encoding="utf-8") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
