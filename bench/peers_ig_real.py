#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Integrated gradients by Captum on a real model of PENUMBRA_DATA, whose graph is run by PyTorch.

usage: peers_ig_real.py MODEL.onnx PICTURE INPUT.npy THREADS

INPUT gets the prepared picture, [C,H,W]. Raw scores, the strongest class, zeros as the baseline. First line: the fewest
Gauss-Legendre nodes whose attributions miss the score's difference by at most 1 %, of those that are tried; then turns
with that many. Requests beside those of worker.h:  set {"batch": images a pass}
"""
import importlib.util
import os
import sys

import numpy as np
import onnx
import torch
from captum import __version__ as captum_version
from captum.attr import IntegratedGradients

import worker

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "golden"))
from torch_net import Net  # noqa: E402
import oracle  # noqa: E402

GAP = 0.01
TRIED = [*range(1, 17), 20, 24, 28, 32, 40, 50, 64, 80, 100, 128, 160, 200, 256, 320, 400, 512]


class Faster(Net):
    """Even pads are the kernel's own, as a module would have them."""

    def Conv(self, attributes, x, w, b=None):
        top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
        if (top, left) != (bottom, right):
            return super().Conv(attributes, x, w, b)
        return torch.nn.functional.conv2d(x, w, b, attributes.get("strides", (1, 1)), (top, left),
                                          attributes.get("dilations", (1, 1)), attributes.get("group", 1))


def prepared(model, picture):
    data = os.path.dirname(os.path.dirname(model))
    spec = importlib.util.spec_from_file_location("make_expected", os.path.join(data, "expected", "make_expected.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    card = oracle.read_card(os.path.splitext(model)[0] + ".json")
    return module.tensor(module.read(picture, card["input"]["channels"]), card)


def main():
    model, picture, output, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    x = np.asarray(prepared(model, picture), np.float32)
    np.save(output, x[0])
    x = torch.from_numpy(x)
    graph = onnx.load(model)
    net, logits = Faster(graph, torch.float32), graph.graph.node[-1].input[0]
    for name, value in net.constants.items():
        net.constants[name] = value.detach()
    zeros = torch.zeros_like(x)
    with torch.no_grad():
        scores = net(x, logits)
        target = int(scores[0].reshape(-1).argmax())
        change = float(scores[0].reshape(-1)[target] - net(zeros, logits)[0].reshape(-1)[target])
    gradients = IntegratedGradients(lambda images: net(images, logits).reshape(len(images), -1))
    state = {"steps": 0, "batch": 16}

    def run():
        state["map"] = gradients.attribute(x, baselines=zeros, target=target, n_steps=state["steps"],
                                           method="gausslegendre", internal_batch_size=state["batch"])

    for state["steps"] in TRIED:
        run()
        gap = abs(float(state["map"].double().sum()) / change - 1)
        if gap <= GAP:
            break
    worker.say(steps=state["steps"], gap=gap, target=target, captum=captum_version)
    worker.serve(run, lambda **settings: state.update(settings) or {})


if __name__ == "__main__":
    main()
