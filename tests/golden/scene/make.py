#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scenes of tools/scene.py, for its twin tests/support/scene.h: uint8 [H,W,C], and hashed sample positions.

usage: make.py
"""
import os
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "tools"))
from scene import mix, scene  # noqa: E402

np.save(os.path.join(HERE, "rgb.npy"), scene(3, 70, 133, 3))
np.save(os.path.join(HERE, "gray.npy"), scene(4000000201, 28, 28, 1))
j = np.arange(64, dtype=np.uint32)
at = (mix(j + np.uint32(1)).astype(np.uint64) * np.uint64(802816)) >> np.uint64(32)
np.save(os.path.join(HERE, "positions.npy"), at.astype(np.int32))
