#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Meaningful perturbation in plain PyTorch: penumbra's deletion game, objective for objective.

usage: peers_meaningful.py NAME MODEL.onnx PICTURE THREADS MASK.npy TARGET

28 x 28 cells from 1/2, enlarged and smoothed by two products with one matrix; blurred fill; Adam; jitter of 2 px to
each side; every tenth step the mask is looked at without jitter and the best one kept. Raw scores.
Requests beside those of peer.py:  set {"iterations": N, "jitter": px}
"""
import sys

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter1d

import peer

CELLS, MASK_BLUR, FILL_BLUR, LOOK = 28, 5, 10, 10
L1, TV, BETA, RATE = 0.0784, 7.84, 3, 0.1


def enlarging(size):
    """Pixels of a line by its cells: bilinear at centres, then a Gaussian."""
    at = np.clip((np.arange(size) + 0.5) * CELLS / size - 0.5, 0, CELLS - 1)
    low = at.astype(int)
    matrix = np.zeros((size, CELLS))
    matrix[np.arange(size), low] += 1 - (at - low)
    matrix[np.arange(size), np.minimum(low + 1, CELLS - 1)] += at - low
    return torch.from_numpy(gaussian_filter1d(matrix, MASK_BLUR, axis=0)).float()


class Work(peer.Work):
    def __init__(self, pair, picture, target):
        self.target = int(target)
        super().__init__(pair, picture)
        self.x = self.input()
        fill = gaussian_filter1d(gaussian_filter1d(self.codes.astype(np.float64), FILL_BLUR, axis=0), FILL_BLUR, axis=1)
        self.fill = self.normalised(fill[None].astype(np.float32))
        self.up = enlarging(self.x.shape[2])
        self.random = torch.Generator().manual_seed(0)

    def choose(self, iterations=300, jitter=2):
        self.iterations, self.jitter = iterations, jitter

    def objective(self, cells, x, fill):
        mask = self.up @ cells @ self.up.t()
        score = self.model(x * mask + fill * (1 - mask))[0, self.target]
        share = ((score - self.base) / (self.full - self.base)).clamp(min=0)
        down, right = torch.zeros_like(cells), torch.zeros_like(cells)
        down[:-1], right[:, :-1] = cells[1:] - cells[:-1], cells[:, 1:] - cells[:, :-1]
        square = down ** 2 + right ** 2
        return share + L1 * (1 - cells).mean() + TV * (square + 1e-24).pow(BETA / 2).mean()

    def shifted(self, image, dy, dx):
        j = self.jitter
        height, width = image.shape[2:]
        wide = F.pad(image, (j, j, j, j), mode="replicate")
        return wide[:, :, j - dy:j - dy + height, j - dx:j - dx + width]

    def look(self, cells):
        with torch.no_grad():
            value = float(self.objective(cells, self.x, self.fill))
        if value < self.best:
            self.best, self.kept = value, cells.detach().clone()

    def run(self):
        with torch.no_grad():
            self.full, self.base = (self.model(x)[0, self.target] for x in (self.x, self.fill))
        cells = torch.full((CELLS, CELLS), 0.5, requires_grad=True)
        adam = torch.optim.Adam([cells], lr=RATE)
        self.best, self.looks = float("inf"), []
        for step in range(self.iterations):
            if step % LOOK == 0:
                self.look(cells)
                self.looks.append((step, self.best))
            dy, dx = (int(torch.randint(2 * self.jitter + 1, (), generator=self.random)) - self.jitter for _ in "yx")
            adam.zero_grad()
            self.objective(cells, self.shifted(self.x, dy, dx), self.shifted(self.fill, dy, dx)).backward()
            adam.step()
            with torch.no_grad():
                cells.clamp_(0, 1)
        self.look(cells)
        self.looks.append((self.iterations, self.best))
        return self.up @ self.kept @ self.up.t()

    def change(self, **options):
        return super().change(**options) or {"objective": getattr(self, "best", None), "looks": getattr(self, "looks", [])}


if __name__ == "__main__":
    peer.serve(Work, *sys.argv[1:])
