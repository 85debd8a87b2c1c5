#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Integrated gradients by Captum on PyTorch.

usage: peers_ig.py NAME MODEL.onnx PICTURE THREADS MAP.npy TARGET

Gauss-Legendre nodes, raw scores, zeros after preprocessing as the baseline.
Requests beside those of peer.py:  set {"steps": N, "batch": images a pass}
"""
import sys

import torch
from captum import __version__ as captum_version
from captum.attr import IntegratedGradients

import peer


class Work(peer.Work):
    def __init__(self, pair, picture, target):
        self.target = int(target)
        super().__init__(pair, picture)
        self.x = self.input()

    def choose(self, steps=50, batch=10):
        self.steps, self.batch = steps, batch

    def run(self):
        a = IntegratedGradients(self.model).attribute(self.x, baselines=torch.zeros_like(self.x), target=self.target,
                                                      n_steps=self.steps, method="gausslegendre",
                                                      internal_batch_size=self.batch)
        return a[0].sum(0).detach()


if __name__ == "__main__":
    peer.serve(Work, *sys.argv[1:], captum=captum_version)
