#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gaussian blurs by SciPy: mode "reflect" (the edge pixel is repeated), truncated at 4 sigma.

usage: make.py

Scenes (tools/scene.py) of seed 7, CASES below; NAME.npy is float32 [height, width, channels].
"""
import os
import sys

import numpy as np
from scipy.ndimage import gaussian_filter

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "tools"))

from scene import scene  # noqa: E402

# name: height, width, channels, sigma
CASES = {"small": (23, 31, 3, 0.5), "gray": (23, 19, 1, 1.0), "wide": (9, 40, 3, 3.3), "beyond": (12, 7, 1, 10.0)}


def main():
    for name, (height, width, channels, sigma) in CASES.items():
        u = scene(7, height, width, channels).astype(np.float64)
        blurred = gaussian_filter(u, (sigma, sigma, 0), mode="reflect", truncate=4.0)
        np.save(os.path.join(HERE, name + ".npy"), blurred.astype(np.float32))


if __name__ == "__main__":
    main()
