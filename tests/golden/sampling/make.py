#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden data of the sampling methods: LIME's fit by scikit-learn and by the lime package, Shapley values by shap,
RISE's maps by its formulas in numpy on masks made by scikit-image. Needs lime, shap, scikit-learn, scikit-image.

The classifiers are formulas that tests/unit/sampling.h repeats. Masks of RISE follow from penumbra's counter-based
random numbers, of which philox() is a second implementation.
"""
import json
import os
import sys

import numpy as np
from lime import lime_image
from lime.lime_base import LimeBase
import shap
from skimage.transform import resize
from sklearn.linear_model import Ridge

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "tools"))
from scene import scene  # noqa: E402


def waves(images):
    """Two scores of [n,H,W,C] in 0..255: test_waves of sampling.h."""
    v = images.reshape(len(images), -1).astype(np.float64) / 255
    i = np.arange(v.shape[1])
    a = v @ np.cos(0.37 * i) / 4
    b = v @ np.sin(0.11 * i) / 4
    return np.stack([1 / (1 + np.exp(-a)), np.tanh(b) * np.cos(a)], 1).astype(np.float32)


def save(name, array):
    np.save(os.path.join(HERE, name), array)


def write(name, value):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1)
        f.write("\n")


def make_lime():
    height, width, rows = 12, 10, 1000
    image = scene(31, height, width, 3).astype(np.float64)
    y, x = np.mgrid[:height, :width]
    segments = (y // 3 * 5 + x // 2).astype(np.int32)
    fudged = image.copy()
    for s in np.unique(segments):
        fudged[segments == s] = image[segments == s].mean(0)
    explainer = lime_image.LimeImageExplainer(random_state=5)
    data, labels = explainer.data_labels(image, fudged, segments, lambda x: waves(np.asarray(x)), rows)
    distances = 1 - np.sqrt(data.sum(1) / data.shape[1])
    weights = np.sqrt(np.exp(-distances ** 2 / 0.25 ** 2))
    base = LimeBase(lambda d: np.sqrt(np.exp(-d ** 2 / 0.25 ** 2)), random_state=5)
    cases = []
    for select, most in (("none", 1000), ("auto", 1000), ("auto", 4), ("auto", 9), ("forward_selection", 5),
                         ("highest_weights", 7), ("lasso_path", 6), ("lasso_path", 3), ("lasso_path", 14)):
        for target in range(2):
            intercept, local, r2, prediction = base.explain_instance_with_data(
                data, labels, distances, target, most, feature_selection=select)
            beta = np.zeros(data.shape[1])
            for feature, weight in local:
                beta[feature] = weight
            cases.append({"select": select, "most": most, "target": target, "coefficients": beta.tolist(),
                          "intercept": float(intercept), "r2": float(r2), "local_prediction": float(prediction[0])})
    ridge = []
    for alpha in (1, 0.01, 37.5):
        fit = Ridge(alpha=alpha).fit(data, labels[:, 0].astype(np.float64), sample_weight=weights)
        ridge.append({"alpha": alpha, "coefficients": fit.coef_.tolist(), "intercept": float(fit.intercept_),
                      "r2": float(fit.score(data, labels[:, 0], sample_weight=weights))})
    # the sandwich, written out: groups of one row, and of two after the first
    z = data.astype(np.float64)
    mean = weights @ z / weights.sum()
    centred = z - mean
    h = np.linalg.inv(centred.T @ (weights[:, None] * centred) + np.eye(z.shape[1]))
    e = labels[:, 0] - ridge[0]["intercept"] - z @ np.array(ridge[0]["coefficients"])
    q = (weights * e)[:, None] * centred
    pairs = np.concatenate([q[:1], np.add.reduceat(q[1:], np.arange(0, rows - 1, 2))])
    errors = {}
    for name, groups in (("rows", q), ("pairs", pairs)):
        v = h @ groups.T @ groups @ h * len(groups) / (len(groups) - z.shape[1] - 1)
        errors[name] = np.sqrt(np.diag(v)).tolist()
    save("lime_masks.npy", data.astype(np.uint8))
    save("lime_scores.npy", labels.astype(np.float32))
    write("lime.json", {"cases": cases, "ridge": ridge, "stderr": errors})


def make_shap():
    random = np.random.default_rng(8)
    games = []
    for players in (4, 8, 10):
        table = random.normal(size=2 ** players).astype(np.float32)  # by the bits of the players there
        powers = 2 ** np.arange(players)
        explainer = shap.KernelExplainer(lambda z: table[(z @ powers).astype(int)].astype(np.float64),
                                         np.zeros((1, players)), link="identity")
        values = explainer.shap_values(np.ones((1, players)), nsamples=2 ** players, l1_reg=False, silent=True)
        games.append({"players": players, "table": table.tolist(), "values": np.asarray(values).reshape(-1).tolist()})
    write("shap.json", games)


def philox(seed, purpose, sample, element):
    """First word of Philox4x32-10 (Salmon et al. 2011), key seed, counter (purpose, sample, element)."""
    k = [seed & 0xFFFFFFFF, seed >> 32]
    c = [purpose, sample, element & 0xFFFFFFFF, element >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c[0]


def make_rise():
    cases = []
    for name, height, width, s, keep, n, seed in (("a", 23, 17, 5, 0.5, 300, 3), ("b", 16, 28, 4, 0.3, 200, 1 << 40)):
        image = scene(41, height, width, 1).astype(np.float64)
        cell = [-(-height // s), -(-width // s)]
        masks = np.empty((n, height, width))
        for i in range(n):
            grid = [(philox(seed, 2, i, k) >> 8) * 2.0 ** -24 < keep for k in range(s * s)]
            grid = np.array(grid, float).reshape(s, s)
            y, x = (philox(seed, 2, i, s * s + a) * cell[a] >> 32 for a in range(2))
            big = resize(grid, [(s + 1) * cell[0], (s + 1) * cell[1]], order=1, mode="reflect", anti_aliasing=False)
            masks[i] = big[y:y + height, x:x + width]
        f = waves((image[None, :, :, 0] * masks).astype(np.float32)[..., None])[:, 0].astype(np.float64)
        raw = np.tensordot(f, masks, 1) / n / keep
        m, g = masks - masks.mean(0), (f - f.mean())[:, None, None]
        sxx = (m * m).sum(0)
        centred = (g * m).sum(0) / sxx
        error = np.sqrt((((g - centred * m) * m) ** 2).sum(0)) / sxx
        raw_error = (f[:, None, None] * masks).std(0, ddof=1) / np.sqrt(n) / keep
        for kind, array in (("raw", raw), ("map", centred), ("stderr", error), ("raw_stderr", raw_error)):
            save(f"rise_{name}_{kind}.npy", array.astype(np.float32))
        cases.append({"name": name, "height": height, "width": width, "cells": s, "keep": keep, "samples": n,
                      "seed": seed})
    write("rise.json", cases)


if __name__ == "__main__":
    make_lime()
    make_shap()
    make_rise()
