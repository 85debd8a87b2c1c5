#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Occlusion maps by Captum on PyTorch: the twin of occlusion.c.

usage: peers_captum.py NAME MODEL.onnx INPUT.npy THREADS MAP.npy PATCH STRIDE TARGET

NAME is torchvision's; the weights are the file's. Batch norms that the file has folded into convolutions are folded
here too ("folded"), or are there and multiply by one ("as built"), which costs what it costs everybody. Requests beside
those of worker.h:  set {"perturbations": N, "layout": "contiguous"|"channels_last", "positions": N, "folded": BOOL}
With "positions" only so many are visited: what one costs does not depend on it. "save": true writes the last map,
"forget_peak": true lets the peak of memory start anew.
"""
import ctypes
import gc
import os
import sys
import time
import warnings

import numpy as np
import onnx
import torch
import torchvision
from onnx import numpy_helper
from torch import nn
from torch.fx.experimental.optimization import fuse

import worker

warnings.simplefilter("ignore")
from captum import __version__ as captum_version  # noqa: E402
from captum.attr import Occlusion  # noqa: E402

KINDS = {nn.Conv2d: "Conv", nn.BatchNorm2d: "BatchNormalization", nn.Linear: "Gemm"}


def assign(parameter, value):
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(value)).reshape(parameter.shape))


def load(module, kind, tensors):
    """The tensors of an ONNX node of that kind, in its order, into the module."""
    if kind == "BatchNormalization":
        tensors = dict(zip(("weight", "bias", "running_mean", "running_var"), tensors))
    else:
        tensors = dict(zip(("weight", "bias"), tensors))
    for key, value in tensors.items():
        assign(getattr(module, key), value)


def modules_with_weights(fused):
    """Name and module, in the order of execution, which is that of the exporter."""
    modules = dict(fused.named_modules())
    for node in fused.graph.nodes:
        if node.op == "call_module" and type(modules[node.target]) in KINDS:
            yield node.target, modules[node.target]


def models(name, path):
    """(folded, as built) with the file's weights."""
    built = getattr(torchvision.models, name)(weights=None).eval()
    folded = fuse(built)
    graph = onnx.load(path).graph
    constants = {t.name: t for t in graph.initializer}
    nodes = [n for n in graph.node if n.op_type in KINDS.values()]
    targets = list(modules_with_weights(folded))
    if len(targets) != len(nodes):
        raise SystemExit("%s: %d layers with weights, torchvision's %s has %d" % (path, len(nodes), name, len(targets)))
    own = dict(built.named_modules())
    for (target, module), node in zip(targets, nodes):
        kind = KINDS[type(module)]
        if node.op_type != kind:
            raise SystemExit("%s: %s is a %s, torchvision's %s a %s" % (path, node.name, node.op_type, target, kind))
        tensors = [numpy_helper.to_array(constants[i]) for i in node.input[1:]]
        load(module, kind, tensors)
        own[target].weight = module.weight  # one memory for both
        if kind == "BatchNormalization":
            load(own[target], kind, tensors)
        elif own[target].bias is not None:
            own[target].bias = module.bias
        else:
            own[target].folded_bias = tensors[1] if len(tensors) > 1 else None
    left = {target for target, _ in targets}
    previous = None
    for target in [n.target for n in torch.fx.symbolic_trace(built).graph.nodes if n.op == "call_module"]:
        module = own[target]
        if isinstance(module, nn.BatchNorm2d) and target not in left:
            assign(module.weight, np.ones(module.num_features, np.float32))
            assign(module.bias, previous.folded_bias)
            assign(module.running_mean, np.zeros(module.num_features, np.float32))
            assign(module.running_var, np.full(module.num_features, 1 - module.eps, np.float32))
        previous = module
    for model in (folded, built):
        for parameter in model.parameters():
            parameter.requires_grad_(False)
    return folded, built


class Part(Occlusion):
    """Occlusion that ends after so many positions."""

    positions = sys.maxsize

    def _get_feature_range_and_mask(self, *arguments, **options):
        first, end, mask = super()._get_feature_range_and_mask(*arguments, **options)
        return first, min(end, self.positions), mask


class Contender:
    def __init__(self, pair, x, patch, stride, target):
        self.pair, self.x, self.patch, self.stride, self.target = pair, x, patch, stride, target
        self.change()

    def change(self, perturbations=1, layout="contiguous", positions=None, folded=True):
        model, x = self.pair[0 if folded else 1], self.x
        formatted = torch.channels_last if layout == "channels_last" else torch.contiguous_format
        model = model.to(memory_format=formatted)
        # Captum's product with its mask may lose the layout: restored here, free where it has not
        forward = (lambda images: model(images.contiguous(memory_format=formatted)))
        self.occlusion = Part(forward) if positions else Occlusion(forward)
        channels, patch, stride = x.shape[1], self.patch, self.stride
        self.windows = {"sliding_window_shapes": (channels, patch, patch), "strides": (channels, stride, stride)}
        self.perturbations = perturbations
        count = int(np.prod([-(-(extent - patch) // stride) + 1 for extent in x.shape[2:]]))
        if positions:
            self.occlusion.positions = count = min(positions, count)
        return {"positions": count}

    def run(self):
        with torch.inference_mode():
            return self.occlusion.attribute(self.x, target=self.target, baselines=0.0,
                                            perturbations_per_eval=self.perturbations, **self.windows)


def main():
    name, path, image, threads, output, patch, stride, target = sys.argv[1:]
    torch.set_num_threads(int(threads))
    start = time.monotonic()
    pair = models(name, path)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what reading the file took is no part of the memory that is measured
    loaded = time.monotonic()
    contender = Contender(pair, torch.from_numpy(np.load(image)), int(patch), int(stride), int(target))
    worker.reset_peak()
    worker.say(load=loaded - start, peak_kib=worker.status("VmHWM"), resident_kib=worker.status("VmRSS"),
               torch=torch.__version__, captum=captum_version, threads=torch.get_num_threads())

    def run():
        contender.map = contender.run()

    def change(save=False, forget_peak=False, **options):
        if save:
            np.save(output, contender.map.numpy())
            return {"saved": os.path.basename(output)}
        if forget_peak:
            worker.reset_peak()
        return contender.change(**options)

    worker.serve(run, change)


if __name__ == "__main__":
    main()
