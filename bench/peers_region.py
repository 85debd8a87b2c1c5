#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Region perturbation by Quantus on PyTorch.

usage: peers_region.py NAME MODEL.onnx PICTURE THREADS CURVES.npy TARGET MAP.npy

MoRF, LeRF and random curves of regions of 9 px, uniform noise, raw scores; draws are copies of the picture in one batch.
Requests beside those of peer.py:  set {"steps": N, "draws": N, "batch": N}
"""
import sys
import warnings

import numpy as np

import peer

warnings.simplefilter("ignore")
import quantus  # noqa: E402


class Work(peer.Work):
    def __init__(self, pair, picture, target, relevance):
        self.target, self.map = int(target), np.load(relevance)
        super().__init__(pair, picture)
        self.x = self.input().numpy()

    def choose(self, steps=100, draws=10, batch=10):
        self.steps, self.draws, self.batch = steps, draws, batch

    def run(self):
        x = np.repeat(self.x, self.draws, axis=0)
        a = np.repeat(self.map[None, None], self.draws, axis=0)
        curves = []
        for order in ("morf", "lerf", "random"):
            metric = quantus.RegionPerturbation(patch_size=9, order=order, regions_evaluation=self.steps,
                                                perturb_baseline="uniform", normalise=False, disable_warnings=True,
                                                display_progressbar=False)
            curves.append(metric(model=self.module, x_batch=x, y_batch=np.full(self.draws, self.target), a_batch=a,
                                 softmax=False, device="cpu", batch_size=self.batch))
        return curves


if __name__ == "__main__":
    peer.serve(Work, *sys.argv[1:], quantus=quantus.__version__)
