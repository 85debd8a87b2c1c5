#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Maps by Captum on the networks of ../fixtures, whose ONNX files are rebuilt as PyTorch modules in float64.

usage: make.py            (needs torch, captum, onnx)

Input: scene 7 of tools/scene.py as (code / 255 - 0.5) / 0.25. Class: the best. Scores are logits. Every Relu is a module of
its own, since Captum's rules hook modules. Stored as NAME.npy, float32 [maps, C, H, W] (the maps of an image, in the order
of IMAGE_MAPS) and NAME.layer.npy, [maps, h, w] (of LAYER_MAPS) with NAME.json: target, layer, feature map, unit.
Noise of SmoothGrad: penumbra's generator, purpose 4, element = place in [H,W,C]; Captum draws from it.
Baseline of Integrated Gradients: zeros. Captum's trapezoid weights add up to (n-1)/n; that factor is divided out.
"""
import json
import os
import sys

import numpy as np
import onnx
import torch
from captum.attr import (Deconvolution, GuidedBackprop, InputXGradient, IntegratedGradients, LayerGradCam, NeuronDeconvolution,
                         NoiseTunnel, Saliency)

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path.insert(0, os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tools"))
from scene import scene  # noqa: E402
from torch_net import Net  # noqa: E402

NETS = ("conv1_softmax", "conv3_sigmoid", "conv3_softmax", "res", "win_fire", "win_residual", "win_dense", "win_deep")
IMAGE_MAPS = ("gradient", "gradient-input", "ig-gauss-50", "ig-gauss-7", "ig-left-11", "ig-right-11", "ig-middle-11",
              "ig-trapezoid-11", "smoothgrad", "smoothgrad-square", "smoothgrad-var", "guided-backprop", "deconv-class",
              "deconv-unit")
SEED, SAMPLES, NOISE = 5, 6, 0.15


class Module(torch.nn.Module):
    """The file's graph up to its logits, with a module for every Relu."""

    def __init__(self, model):
        super().__init__()
        self.net = Net(model, torch.float64)
        self.nodes = list(model.graph.node)
        if self.nodes[-1].op_type in ("Softmax", "Sigmoid"):
            self.nodes.pop()
        self.relus = torch.nn.ModuleDict({n.output[0]: torch.nn.ReLU() for n in self.nodes if n.op_type == "Relu"})

    def forward(self, x):
        values = dict(self.net.constants)
        values[self.net.input] = x
        for node in self.nodes:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            inputs = [values[name] if name else None for name in node.input]
            if node.op_type == "Relu":
                values[node.output[0]] = self.relus[node.output[0]](inputs[0])
            else:
                values[node.output[0]] = getattr(self.net, node.op_type)(attributes, *inputs)
        return values[self.nodes[-1].output[0]]


def philox(seed, purpose, sample, elements):
    """Two words of Philox4x32-10 for every element, key seed, counter (purpose, sample, element)."""
    mask = np.uint64(0xFFFFFFFF)
    k = [seed & 0xFFFFFFFF, seed >> 32]
    e = elements.astype(np.uint64)
    c = [np.full_like(e, purpose), np.full_like(e, sample), e & mask, e >> np.uint64(32)]
    for _ in range(10):
        p, q = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(q >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), q & mask, (p >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), p & mask]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c[0], c[1]


def normal(shape, sample):
    """[C,H,W] of standard normal numbers, Box-Muller."""
    c, h, w = shape
    a, b = philox(SEED, 4, sample, np.arange(c * h * w))
    u, v = ((a >> np.uint64(8)).astype(float) + 0.5) * 2.0 ** -24, (b >> np.uint64(8)).astype(float) * 2.0 ** -24
    return (np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)).reshape(h, w, c).transpose(2, 0, 1)


def smooth(model, x, target, kind):
    drawn = torch.normal
    noise = torch.from_numpy(np.stack([normal(x.shape[1:], i) for i in range(SAMPLES)]))
    torch.normal = lambda mean, deviation: noise * deviation
    try:
        return NoiseTunnel(Saliency(model)).attribute(x, nt_type=kind, nt_samples=SAMPLES, target=target, abs=False,
                                                      stdevs=float(NOISE * (x.max() - x.min())))
    finally:
        torch.normal = drawn


def last_layer(module, x):
    """The last Relu with spatial extent, and what it gives."""
    seen = []
    hooks = [m.register_forward_hook(lambda m, i, o, n=n: seen.append((n, o))) for n, m in module.relus.items()]
    module(x)
    for hook in hooks:
        hook.remove()
    return [(n, o[0].detach().numpy()) for n, o in seen if o.dim() == 4 and o.shape[2] * o.shape[3] > 1][-1]


def main():
    for name in NETS:
        model = onnx.load(os.path.join(HERE, "..", "fixtures", name + ".onnx"))
        c, h, w = (d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:])
        codes = scene(7, h, w, c)
        values = ((codes.astype(np.float64) / 255 - 0.5) / 0.25).astype(np.float32)
        x = torch.from_numpy(values.transpose(2, 0, 1)[None].astype(np.float64))
        module = Module(model).eval()
        logits = module(x)[0]
        target = int(logits.argmax())
        layer, activation = last_layer(module, x)
        k = int(activation.sum((1, 2)).argmax())
        unit = np.unravel_index(activation[k].argmax(), activation[k].shape)
        zero = torch.zeros_like(x)
        ig = IntegratedGradients(module)
        maps = {
            "gradient": Saliency(module).attribute(x, target=target, abs=False),
            "gradient-input": InputXGradient(module).attribute(x, target=target),
            "ig-gauss-50": ig.attribute(x, zero, target=target, n_steps=50, method="gausslegendre"),
            "ig-gauss-7": ig.attribute(x, zero, target=target, n_steps=7, method="gausslegendre"),
            "ig-left-11": ig.attribute(x, zero, target=target, n_steps=11, method="riemann_left"),
            "ig-right-11": ig.attribute(x, zero, target=target, n_steps=11, method="riemann_right"),
            "ig-middle-11": ig.attribute(x, zero, target=target, n_steps=11, method="riemann_middle"),
            "ig-trapezoid-11": ig.attribute(x, zero, target=target, n_steps=11, method="riemann_trapezoid") * 11 / 10,
            "smoothgrad": smooth(module, x, target, "smoothgrad"),
            "smoothgrad-square": smooth(module, x, target, "smoothgrad_sq"),
            "smoothgrad-var": smooth(module, x, target, "vargrad"),
            "guided-backprop": GuidedBackprop(module).attribute(x, target=target),
            "deconv-class": Deconvolution(module).attribute(x, target=target),
            "deconv-unit": NeuronDeconvolution(module, module.relus[layer]).attribute(x, (k, int(unit[0]), int(unit[1])))
            * float(activation[k][unit]),
        }
        cam = LayerGradCam(module, module.relus[layer]).attribute(x, target=target, relu_attributions=False)
        assert tuple(maps) == IMAGE_MAPS
        np.save(os.path.join(HERE, name + ".npy"),
                np.stack([maps[m][0].detach().numpy() for m in IMAGE_MAPS]).astype(np.float32))
        np.save(os.path.join(HERE, name + ".layer.npy"), cam[0, 0].detach().numpy().astype(np.float32))
        with open(os.path.join(HERE, name + ".json"), "w", encoding="utf-8") as f:
            json.dump({"target": target, "layer": layer, "feature_map": k, "unit": [int(u) for u in unit],
                       "activation": float(activation[k][unit]), "logits": logits.tolist()}, f, indent=1)
            f.write("\n")
        print(name, target, layer, k, unit)


if __name__ == "__main__":
    main()
