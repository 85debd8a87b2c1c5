#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Figures of maps on a small black box, by Quantus (region perturbation), Captum (infidelity, sensitivity) and numpy.

usage: make.py        (PyPI: quantus, captum; torch)

The black box is f(x) = sigmoid(w.x + 0.3 (v.x)^2 - 1) of a picture [24,32] in 0..1 that holds a 0. All maps are judged
for f. Deletion and insertion follow the arithmetic of CausalMetric in the code of the RISE paper, which itself
wants CUDA: 8 pixels a step in descending order, AUC = (sum - first/2 - last/2) / steps. Squares and noise are drawn as
penumbra draws them (Philox4x32-10, counter = purpose, sample, element), so that both see the same.
"""
import json
import pathlib

import captum
import numpy as np
import quantus
import torch
from captum.metrics import infidelity, sensitivity_max

HERE = pathlib.Path(__file__).resolve().parent
H, W, PATCH, STEP, SQUARES, NOISY, SEED = 24, 32, 4, 8, 200, 6, 5
MASK, NOISE = 2, 4  # purposes of random numbers


def philox(purpose, sample, element, seed=SEED):
    c = [purpose, sample, element & 0xFFFFFFFF, element >> 32]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c[0]


def below(sample, element, n):
    return philox(MASK, sample, element) * n >> 32


class Box(torch.nn.Module):
    def __init__(self, w, v):
        super().__init__()
        self.w, self.v = (torch.tensor(a.ravel(), dtype=torch.float64) for a in (w, v))

    def forward(self, x):
        x = torch.as_tensor(x).double().flatten(1)
        f = torch.sigmoid(x @ self.w + 0.3 * (x @ self.v) ** 2 - 1)
        return torch.stack([f, 1 - f], 1)


def region(box, x, a, order):
    metric = quantus.RegionPerturbation(
        patch_size=PATCH, order=order, regions_evaluation=H * W // PATCH ** 2, perturb_baseline="black", normalise=False,
        disable_warnings=True, display_progressbar=False)
    falls = metric(model=box, x_batch=x[None, None], y_batch=np.array([0]), a_batch=a[None, None], softmax=False,
                   channel_first=True, device="cpu")
    return np.asarray(falls[0], np.float64)


def causal(box, start, finish, a):
    order = np.argsort(-a.ravel(), kind="stable")
    image, scores = start.ravel().copy(), []
    for i in range(H * W // STEP + 1):
        scores.append(float(box(image.reshape(1, 1, H, W))[0, 0]))
        image[order[i * STEP:(i + 1) * STEP]] = finish.ravel()[order[i * STEP:(i + 1) * STEP]]
    scores = np.array(scores)
    return scores, float((scores.sum() - scores[0] / 2 - scores[-1] / 2) / (len(scores) - 1))


def squares():
    for i in range(SQUARES):
        side = H // 16 + below(i, 0, H // 4 - H // 16 + 1)
        y, x = below(i, 1, H - side + 1), below(i, 2, W - side + 1)
        yield y, x, side


def faithful(box, x, a, normalize):
    masks, hidden = [], []
    for y, left, side in squares():
        m = np.zeros((H, W), np.float32)
        m[y:y + side, left:left + side] = 1
        masks.append(m[None])
        hidden.append(np.where(m > 0, np.float32(0.25), x)[None])
    masks, hidden = torch.tensor(np.array(masks)), torch.tensor(np.array(hidden))

    def perturb(inputs):
        return masks.double(), hidden.double()

    return float(infidelity(box, perturb, torch.tensor(x[None, None]).double(), torch.tensor(a[None, None]).double(),
                            target=0, n_perturb_samples=SQUARES, normalize=normalize)[0])


def sensitive(x, w):
    """Of the map A = w x^2."""
    noise = []
    for i in range(NOISY):
        u = np.array([(philox(NOISE, i, k) >> 8) / 2 ** 24 for k in range(H * W)]).reshape(1, H, W)
        noise.append((x[None].astype(np.float64) + 0.02 * (2 * u - 1)).astype(np.float32))
    noise = torch.tensor(np.array(noise)).double()

    def explain(t):
        return tuple(explain(part) for part in t) if isinstance(t, tuple) else t ** 2 * torch.tensor(w).double()

    return float(sensitivity_max(explain, torch.tensor(x[None, None]).double(),
                                 perturb_func=lambda *_: noise, n_perturb_samples=NOISY)[0])


def main():
    assert philox(0, 0, 0, 0) == 0x6627E8D5
    rng = np.random.default_rng(11)
    x = rng.random((H, W)).astype(np.float32)
    x[5, 7] = 0
    w = rng.normal(0, 0.1, (H, W)).astype(np.float32)
    v = rng.normal(0, 0.1, (H, W)).astype(np.float32)
    a = (w * x + rng.normal(0, 0.02, (H, W))).astype(np.float32)
    box = Box(w, v).eval()
    for name, array in (("x", x), ("w", w), ("v", v), ("map", a)):
        np.save(HERE / f"{name}.npy", array)
    figures = {"quantus": quantus.__version__, "captum": captum.__version__, "score": float(box(x[None, None])[0, 0])}
    for order in ("morf", "lerf"):
        figures[order] = region(box, x, a, order).tolist()
    figures["deletion"], figures["deletion_auc"] = causal(box, x, np.zeros_like(x), a)
    figures["insertion"], figures["insertion_auc"] = causal(box, np.full_like(x, 0.5), x, a)
    figures = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in figures.items()}
    figures["infidelity"] = faithful(box, x, a, False)
    figures["infidelity_scaled"] = faithful(box, x, a, True)
    figures["sensitivity"] = sensitive(x, w)
    (HERE / "figures.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


main()
