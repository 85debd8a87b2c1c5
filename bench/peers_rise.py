#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""RISE in plain PyTorch.

usage: peers_rise.py NAME MODEL.onnx PICTURE THREADS MAP.npy TARGET

Masks of 7 x 7 cells kept with probability 1/2, enlarged bilinearly and shifted, made as many at a time as a pass takes;
the map is the mean of score times mask over the probability. Raw scores. Requests beside those of peer.py:
set {"samples": N, "batch": images a pass}
"""
import sys

import torch
import torch.nn.functional as F

import peer

CELLS, KEPT = 7, 0.5


class Work(peer.Work):
    def __init__(self, pair, picture, target):
        self.target = int(target)
        super().__init__(pair, picture)
        self.x = self.input()
        self.random = torch.Generator().manual_seed(0)

    def choose(self, samples=4000, batch=16):
        self.samples, self.batch = samples, batch

    def masks(self, n):
        height, width = self.x.shape[2:]
        cell = -(-height // CELLS), -(-width // CELLS)
        grid = (torch.rand((n, 1, CELLS, CELLS), generator=self.random) < KEPT).float()
        large = F.interpolate(grid, ((CELLS + 1) * cell[0], (CELLS + 1) * cell[1]), mode="bilinear",
                              align_corners=False)
        masks = torch.empty((n, 1, height, width))
        for i in range(n):
            y, x = (int(torch.randint(c, (), generator=self.random)) for c in cell)
            masks[i] = large[i, :, y:y + height, x:x + width]
        return masks

    def run(self):
        total = torch.zeros(self.x.shape[2] * self.x.shape[3])
        with torch.inference_mode():
            for done in range(0, self.samples, self.batch):
                masks = self.masks(min(self.batch, self.samples - done))
                scores = self.model(self.x * masks)[:, self.target]
                total += scores @ masks.flatten(1)
        return (total / (self.samples * KEPT)).view(self.x.shape[2:])


if __name__ == "__main__":
    peer.serve(Work, *sys.argv[1:])
