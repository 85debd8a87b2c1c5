#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""LIME by its authors' package, driving PyTorch.

usage: peers_lime.py NAME MODEL.onnx PICTURE THREADS COEFFICIENTS.npy TARGET LABELS.npy

Superpixels are those of LABELS, hidden ones become their mean (the package's default); every superpixel is a feature;
raw scores. Requests beside those of peer.py:  set {"samples": N, "batch": images a pass, "seed": N}
"""
import os
import sys
from importlib.metadata import version

os.environ["TQDM_DISABLE"] = "1"
import numpy as np  # noqa: E402
import torch  # noqa: E402
from lime.lime_image import LimeImageExplainer  # noqa: E402

import peer  # noqa: E402


class Work(peer.Work):
    def __init__(self, pair, picture, target, labels):
        self.target, self.labels = int(target), np.load(labels).astype(np.int64)
        super().__init__(pair, picture)

    def choose(self, samples=1000, batch=10, seed=0):
        self.samples, self.batch, self.seed = samples, batch, seed

    def classify(self, images):
        with torch.inference_mode():
            return self.model(self.normalised(images))[:, self.target:self.target + 1].numpy()

    def run(self):
        explanation = LimeImageExplainer(random_state=self.seed).explain_instance(
            self.codes, self.classify, labels=(0,), top_labels=None, num_features=int(self.labels.max()) + 1,
            num_samples=self.samples, batch_size=self.batch, segmentation_fn=lambda _: self.labels,
            random_seed=self.seed)
        coefficients = np.zeros(self.labels.max() + 1)
        for superpixel, value in explanation.local_exp[0]:
            coefficients[superpixel] = value
        return coefficients


if __name__ == "__main__":
    peer.serve(Work, *sys.argv[1:], lime=version("lime"))
