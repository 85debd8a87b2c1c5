#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Superpixels by scikit-image, as label pictures, of scenes of tools/scene.py and of one photograph (chelsea.png, CC0).

usage: make.py PHOTO_DIR

slic stretches its input to 0..1 first, so pictures that use all codes are taken; grey goes in as RGB, since slic does
not convert one channel to lightness.
"""
import json
import os
import sys

import numpy as np
from PIL import Image
from skimage.segmentation import quickshift, slic

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "tools"))
from scene import scene  # noqa: E402

SETTINGS = (
    ("quickshift:kernel=4,max_dist=200,ratio=0.2", lambda a: quickshift(a, ratio=0.2, kernel_size=4, max_dist=200)),
    ("quickshift:kernel=2,max_dist=6,ratio=0.5", lambda a: quickshift(a, ratio=0.5, kernel_size=2, max_dist=6)),
    ("slic:100", lambda a: slic(a, n_segments=100, compactness=10, start_label=0)),
    ("slic:n=40,compactness=20", lambda a: slic(a, n_segments=40, compactness=20, start_label=0)),
)
SCENES = ((7, 90, 160, 3), (8, 120, 88, 3), (2, 64, 96, 1))


def add(cases, name, rgb, about):
    assert rgb.min() == 0 and rgb.max() == 255, (name, rgb.min(), rgb.max())
    for i, (text, run) in enumerate(SETTINGS):
        labels = run(rgb)
        file = f"{name}_{i}.png"
        Image.fromarray(labels.astype(np.uint16)).save(os.path.join(HERE, file), optimize=True)
        cases.append(dict(about, file=file, segments=text, count=int(labels.max()) + 1))


def main(photos):
    cases = []
    for seed, height, width, channels in SCENES:
        picture = scene(seed, height, width, channels)
        rgb = np.repeat(picture, 3, 2) if channels == 1 else picture
        about = dict(seed=seed, shape=[height, width, channels])
        add(cases, f"scene{seed}", rgb, about)
    photo = Image.open(os.path.join(photos, "chelsea.png")).convert("RGB").resize((160, 128), Image.Resampling.BILINEAR)
    rgb = np.asarray(photo).astype(np.int64)
    rgb = ((rgb - rgb.min()) * 255 // (rgb.max() - rgb.min())).astype(np.uint8)
    add(cases, "chelsea", rgb, dict(photo="chelsea.png", shape=[128, 160, 3]))
    with open(os.path.join(HERE, "cases.json"), "w") as out:
        json.dump(cases, out, indent=1)
        out.write("\n")


main(sys.argv[1])
