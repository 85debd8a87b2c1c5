#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Superpixels by scikit-image.

usage: peers_segment.py PICTURE.npy LABELS.npy quickshift|slic PARAMETERS

PARAMETERS: of scikit-image's function, as a JSON object
"""
import json
import sys

import numpy as np
import skimage
from skimage import segmentation

import worker


def main(picture, output, kind, parameters):
    codes, settings = np.load(picture), json.loads(parameters)
    cut = getattr(segmentation, kind)
    labels = cut(codes, **settings)
    np.save(output, labels.astype(np.int32))
    worker.say(skimage=skimage.__version__, count=len(np.unique(labels)))
    worker.serve(lambda: cut(codes, **settings))


if __name__ == "__main__":
    main(*sys.argv[1:])
