#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Meaningful perturbation by PyTorch in float64, with its optimiser and its automatic derivatives, on networks of
../fixtures and scene 7 of tools/scene.py.

usage: make.py            (needs torch, onnx, scipy)

The published settings: the score itself in the objective, start from ones, Adam 0.1, 300 iterations, prices 1e-4 and 1e-2
times 28^2, beta 3, jitter; and two searches by shares of the score. Jitter comes from penumbra's counter-based
generator, purpose 5, sample = iteration, element = axis. cases.json holds the settings, the least objective of the looks
at every tenth iteration and the one at the start; NAME.npy the mask at the pixels there.
"""
import json
import os
import sys

import numpy as np
import onnx
import torch
from scipy.ndimage import gaussian_filter

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tools"))
from scene import scene  # noqa: E402
from torch_net import Net  # noqa: E402

CELLS, SIGMA, FILL, JITTER, ITERATIONS = 8, 1.5, 4.0, 2, 300
CASES = (("conv3_softmax", "delete", True), ("conv3_sigmoid", "delete", True), ("res", "delete", True),
         ("conv3_sigmoid", "delete", False), ("res", "delete", False))


def philox(seed, purpose, sample, element):
    """First word of Philox4x32-10 (Salmon et al. 2011), key seed, counter (purpose, sample, element)."""
    k = [seed & 0xFFFFFFFF, seed >> 32]
    c = [purpose, sample, element & 0xFFFFFFFF, element >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c[0]


def shift_of(step, axis):
    return (philox(0, 5, step, axis) * (2 * JITTER + 1) >> 32) - JITTER


def lines(n, cells):
    """[n, cells]: bilinear between cell centres, then the blur, for one axis."""
    at = np.clip((np.arange(n) + 0.5) * cells / n - 0.5, 0, cells - 1)
    low = np.floor(at).astype(int)
    matrix = np.zeros((n, cells))
    for i in range(n):
        matrix[i, low[i]] += 1 - (at[i] - low[i])
        matrix[i, min(low[i] + 1, cells - 1)] += at[i] - low[i]
    return torch.from_numpy(gaussian_filter(matrix, (SIGMA, 0), mode="reflect", truncate=4))


def moved(x, dy, dx):
    """[C,H,W], edges repeated."""
    rows = np.clip(np.arange(x.shape[1]) - dy, 0, x.shape[1] - 1)
    columns = np.clip(np.arange(x.shape[2]) - dx, 0, x.shape[2] - 1)
    return x[:, rows][:, :, columns]


class Search:
    def __init__(self, name, game, raw):
        model = onnx.load(os.path.join(HERE, "..", "fixtures", name + ".onnx"))
        self.net, self.output = Net(model, torch.float64), model.graph.output[0].name
        shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim][1:]
        codes = scene(7, shape[1], shape[2], shape[0]).astype(np.float64)
        blurred = gaussian_filter(codes, (FILL, FILL, 0), mode="reflect", truncate=4)
        self.x, self.b = (torch.from_numpy((v.transpose(2, 0, 1) / 255 - 0.5) / 0.25) for v in (codes, blurred))
        self.game, self.raw = game, raw
        short = min(shape[1:])
        rows, columns = (round(CELLS * s / short) for s in shape[1:])
        self.up = lines(shape[1], rows), lines(shape[2], columns)
        self.cells = torch.ones(rows, columns, dtype=torch.float64, requires_grad=True)
        scores = self.scores(self.x)
        self.target = int(scores.argmax())
        self.full, self.base = float(scores[self.target]), float(self.scores(self.b)[self.target])

    def scores(self, x):
        return self.net(x[None], self.output)[0]

    def mask(self):
        return self.up[0] @ self.cells @ self.up[1].T

    def objective(self, dy, dx):
        mask, m = self.mask(), self.cells
        f = self.scores(moved(self.x, dy, dx) * mask + moved(self.b, dy, dx) * (1 - mask))[self.target]
        share = (f - self.base) / (self.full - self.base)
        preserve = self.game == "preserve"
        if self.raw:
            score = -f if preserve else f
        else:
            score = -torch.clamp(share, max=1) if preserve else torch.clamp(share, min=0)
        dy, dx = torch.zeros_like(m), torch.zeros_like(m)
        dy[:-1], dx[:, :-1] = m[1:] - m[:-1], m[:, 1:] - m[:, :-1]
        square = (min(m.shape) / 28) ** 2 * (dx ** 2 + dy ** 2)
        variation = torch.where(square > 0, square, torch.ones_like(square)) ** 1.5 * (square > 0)
        return score + 0.0784 * (m if preserve else 1 - m).mean() + 7.84 * variation.mean()

    def run(self):
        adam = torch.optim.Adam([self.cells], lr=0.1, betas=(0.9, 0.999), eps=1e-8)
        best, best_mask, start = np.inf, None, None
        for step in range(ITERATIONS + 1):
            if step % 10 == 0:
                with torch.no_grad():
                    value = float(self.objective(0, 0))
                start = value if start is None else start
                if value < best:
                    best, best_mask = value, self.mask().detach().numpy().copy()
            if step == ITERATIONS:
                break
            adam.zero_grad()
            self.objective(shift_of(step, 0), shift_of(step, 1)).backward()
            adam.step()
            with torch.no_grad():
                self.cells.clamp_(0, 1)
        return best, start, best_mask


def main():
    cases = []
    for i, (name, game, raw) in enumerate(CASES):
        search = Search(name, game, raw)
        best, start, mask = search.run()
        file = "%d.npy" % i
        np.save(os.path.join(HERE, file), mask.astype(np.float32))
        params = "game=%s cells=%d mask-blur=%g jitter=%d fill=blur:%g init=ones tolerance=0%s" % (
            game, CELLS, SIGMA, 2 * JITTER, FILL, " raw-score" if raw else "")
        cases.append({"net": name, "params": params, "mask": file, "target": search.target, "full": search.full,
                      "base": search.base, "start": start, "objective": best})
        print(cases[-1])
    with open(os.path.join(HERE, "cases.json"), "w", encoding="utf-8") as f:
        json.dump(cases, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
