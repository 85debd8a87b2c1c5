#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Pillow decodes from the pictures of the shared data: images.json.

usage: make.py DATA

For every PNG and JPEG below DATA/images: its shape, the SHA-256 of its pixels (rows top to bottom, channels
interleaved, transparency dropped, Exif's orientation applied), and the mean of each cell of a 4x4 grid, first channel,
by which another version of a JPEG library may still be recognised.
"""
import hashlib
import json
import os
import sys

import numpy as np
from PIL import Image, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))


def main(data):
    cases = []
    for folder, _, names in sorted(os.walk(os.path.join(data, "images"))):
        for name in sorted(names):
            if not name.lower().endswith((".png", ".jpg", ".jpeg")):
                continue
            path = os.path.join(folder, name)
            image = ImageOps.exif_transpose(Image.open(path))
            grey = image.mode in ("1", "L", "LA")
            a = np.asarray(image.convert("L" if grey else "RGB"))
            a = a if a.ndim == 3 else a[:, :, None]
            h, w, _ = a.shape
            means = [[a[i * h // 4:(i + 1) * h // 4, j * w // 4:(j + 1) * w // 4, 0].mean() for j in range(4)]
                     for i in range(4)]
            cases.append({"file": os.path.relpath(path, data), "shape": list(a.shape),
                          "sha256": hashlib.sha256(a.tobytes()).hexdigest(),
                          "means": np.round(means, 2).ravel().tolist()})
    with open(os.path.join(HERE, "images.json"), "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


main(sys.argv[1])
