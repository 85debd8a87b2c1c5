#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gradients of the best class's logit with respect to the prepared input, in float64 by PyTorch's autograd.

usage: PENUMBRA_MODELS=DIR [PENUMBRA_DATA=DIR] make.py [NAME ...]

Input: scene 201, prepared by the card (../oracle.py), batch 1. Logit: the tensor entering the last activation where
the graph ends in one, else the graph's output. Stored for each model:
  NAME.samples.npy  float32 [min(4096, n)]  the gradient at the hashed positions of oracle.py (n <= 4096: all, in order)
  NAME.blocks.npy   float32 [28, 28]        sums over channels and over rows [i H / 28], [(i + 1) H / 28) and likewise columns
  gradients.json    target, its logit, L2 norms (whole, of each channel, of the samples), and the relative L2 error of
                    PyTorch's own float32 gradient: what float32 can be asked for. Rounding may carry a unit across
                    a rectifier's kink, which is a matter of luck, so float32 is asked TRIALS times with inputs that
                    differ in their last bit: float32_errors, [on the whole, on the samples] each, trial 0 unchanged.
The float64 logit is checked against the ONNX Runtime golden data beside.
"""
import os
import sys

import numpy as np
import onnx
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import oracle  # noqa: E402
from scene import mix  # noqa: E402
from torch_net import Net  # noqa: E402

TOPOLOGIES = ["resnet18", "resnet50", "vgg16", "densenet121", "mobilenet_v2", "squeezenet1_1", "inception_v3",
              "efficientnet_b0", "mobilenet_v3_small", "convnext_tiny", "swin_tiny", "vit_tiny"]
DATA_MODELS = ["cxr_pneumonia_cnn150", "mnist_cnn_opset11", "mobilenet_v1_0.5_160", "mobilenet_v2_224",
               "resnet20_cifar10_bn", "squeezenet_v1.0", "vit_mnist"]
SAMPLES = 4096
BLOCKS = 28
TRIALS = 8


def logits_name(model):
    last = model.graph.node[-1]
    return last.input[0] if last.op_type in ("Softmax", "Sigmoid", "LogSoftmax") else model.graph.output[0].name


def gradient(model, x, target, dtype):
    """(logits, target, gradient [C,H,W]) as numpy float64."""
    image = torch.from_numpy(x).to(dtype).requires_grad_()
    logits = Net(model, dtype)(image, logits_name(model))[0]
    target = int(logits.argmax()) if target is None else target
    logits[target].backward()
    return logits.detach().double().numpy(), target, image.grad[0].double().numpy()


def relative(a, b):
    return float(np.sqrt(((a - b) ** 2).sum() / (b ** 2).sum()))


def blocks(g):
    rows = [g.shape[1] * i // BLOCKS for i in range(BLOCKS + 1)]
    columns = [g.shape[2] * i // BLOCKS for i in range(BLOCKS + 1)]
    flat = g.sum(0)
    return np.array([[flat[rows[i]:rows[i + 1], columns[j]:columns[j + 1]].sum() for j in range(BLOCKS)]
                     for i in range(BLOCKS)])


def main():
    index_path = os.path.join(HERE, "gradients.json")
    index = oracle.read_card(index_path) if os.path.exists(index_path) else {"models": {}}
    index["runtime"] = "PyTorch %s, float64" % torch.__version__
    index["scene"] = oracle.SCENES[0]
    for name in sys.argv[1:] or TOPOLOGIES + DATA_MODELS:
        folder = oracle.models_folder() if name in TOPOLOGIES else os.path.join(oracle.data_folder(), "models")
        path = os.path.join(folder, name + ".onnx")
        model, card = onnx.load(path), oracle.read_card(os.path.join(folder, name + ".json"))
        x = oracle.scenes(card, oracle.SCENES[:1])
        logits, target, g = gradient(model, x, None, torch.float64)
        kind = "topologies" if name in TOPOLOGIES else "data_models"
        reference = np.load(os.path.join(os.path.dirname(HERE), kind, name + ".logits.npy"))[0]
        forward_error = float(np.abs(reference - logits).max() / np.abs(logits).max())
        assert forward_error < 1e-4, (name, forward_error)
        where = np.arange(g.size) if g.size <= SAMPLES else oracle.positions(g.size, SAMPLES)
        samples, errors = g.reshape(-1)[where], []
        for trial in range(TRIALS):
            bits = (mix(np.arange(x.size, dtype=np.uint32) + np.uint32(trial * x.size)) & np.uint32(2)).astype(int) - 1
            near = np.nextafter(x, (bits * np.inf).reshape(x.shape).astype(np.float32)) if trial else x
            _, _, g32 = gradient(model, near, target, torch.float32)
            errors.append([relative(g32, g), relative(g32.reshape(-1)[where], samples)])
        np.save(os.path.join(HERE, name + ".samples.npy"), samples.astype(np.float32))
        np.save(os.path.join(HERE, name + ".blocks.npy"), blocks(g).astype(np.float32))
        index["models"][name] = {
            "file_sha256": oracle.file_digest(path), "shape": list(g.shape), "logits": logits_name(model),
            "target": target, "logit": float(logits[target]), "l2": float(np.sqrt((g ** 2).sum())),
            "l2_of_channels": [float(np.sqrt((c ** 2).sum())) for c in g],
            "l2_of_samples": float(np.sqrt((samples ** 2).sum())), "largest": float(np.abs(g).max()),
            "float32_errors": [[float("%.3g" % v) for v in pair] for pair in errors],
            "forward_error_of_onnxruntime": forward_error}
        whole = sorted(e[0] for e in errors)
        print("%-22s target %4d, |g| %8.4g, float32 error %.1e .. %.1e, median %.1e, forward %.1e" % (
            name, target, index["models"][name]["l2"], whole[0], whole[-1], np.median(whole), forward_error))
        sys.stdout.flush()
    order = TOPOLOGIES + DATA_MODELS
    index["models"] = {n: index["models"][n] for n in order if n in index["models"]}
    oracle.write_json(index_path, index)


if __name__ == "__main__":
    main()
