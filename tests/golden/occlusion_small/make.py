#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Occlusion of small networks by Captum, patches that do not divide the image included.

usage: make.py

The networks are those of ../fixtures on 23 x 19 px, the picture is scene 7, fed as (code / 255 - 0.5) / 0.25, the fill
is zero in the model's values. For every network and every window "pNsM" (patch N, stride M):
  NAME.pNsM.map.npy      float32 [K,23,19]  attributions of every class, of the logits
  NAME.pNsM.grid.npy     float32 [ny,nx,K]  probabilities under occlusion, by a plain loop
  NAME.pNsM.feature.npy  float32 [ny,nx]    sum over the map of the strongest feature map of `layer`
index.json: layers, strongest maps and scores. Needs torch, captum and onnx.
"""
import json
import os
import sys

import numpy as np
import onnx
import torch
from captum.attr import Occlusion

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "..", "..", "..", "tools"))
from scene import scene  # noqa: E402
from torch_net import Net  # noqa: E402

# network: layer before global pooling
NETS = {"conv1_softmax": "relu5", "conv3_softmax": "relu5", "conv3_sigmoid": "relu5", "res": "relu15"}
WINDOWS = [(3, 3), (5, 2), (7, 7), (19, 5), (4, 3)]
HEIGHT, WIDTH = 23, 19


def starts(n, patch, stride):
    return [(i * stride, min(i * stride + patch, n)) for i in range(-(-(n - patch) // stride) + 1)]


def main():
    index = {}
    for name, layer in NETS.items():
        model = onnx.load(os.path.join(HERE, "..", "fixtures", name + ".onnx"))
        channels = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
        output, logits = model.graph.output[0].name, model.graph.node[-1].input[0]
        net = Net(model, torch.float32)
        codes = scene(7, HEIGHT, WIDTH, channels).astype(np.float64)
        x = torch.from_numpy(((codes / 255 - 0.5) / 0.25).astype(np.float32).transpose(2, 0, 1)[None].copy())
        with torch.no_grad():
            probabilities = net(x, output)[0]
            sums = net(x, layer)[0].double().sum((1, 2))
            strongest = int(sums.argmax())
            classes = len(probabilities)
            index[name] = {"layer": layer, "feature_map": strongest, "feature_base": float(sums[strongest]),
                           "scores": probabilities.tolist(), "logits": net(x, logits)[0].tolist()}
            for patch, stride in WINDOWS:
                stem = os.path.join(HERE, "%s.p%ds%d" % (name, patch, stride))
                maps = [Occlusion(lambda y: net(y, logits)).attribute(
                    x, sliding_window_shapes=(channels, patch, patch), strides=(channels, stride, stride), target=k,
                    baselines=0)[0, 0].numpy() for k in range(classes)]
                np.save(stem + ".map.npy", np.stack(maps).astype(np.float32))
                rows, columns = starts(HEIGHT, patch, stride), starts(WIDTH, patch, stride)
                grid = np.zeros((len(rows), len(columns), classes), np.float32)
                feature = np.zeros((len(rows), len(columns)), np.float32)
                for i, (y0, y1) in enumerate(rows):
                    for j, (x0, x1) in enumerate(columns):
                        hidden = x.clone()
                        hidden[:, :, y0:y1, x0:x1] = 0
                        grid[i, j] = net(hidden, output)[0].numpy()
                        feature[i, j] = float(net(hidden, layer)[0, strongest].double().sum())
                np.save(stem + ".grid.npy", grid)
                np.save(stem + ".feature.npy", feature)
    with open(os.path.join(HERE, "index.json"), "w", encoding="utf-8") as f:
        json.dump(index, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
