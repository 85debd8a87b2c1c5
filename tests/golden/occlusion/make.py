#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Brute-force occlusion of real models on real pictures: a plain loop over ONNX Runtime (PyPI) and numpy.

usage: [PENUMBRA_DATA=DIR] make.py

Positions: axis n, patch p, stride s: ceil((n - p) / s) + 1 patches, patch i covers [i s, min(i s + p, n)): the last
one is clipped at the edge (as Captum's Occlusion does). Fill: the card's mean in source codes (mean / scale), where
that is not all zero, else the mean code of each channel of the prepared 8-bit picture; then through the card's
(code * scale - mean) / std in double, rounded to float32.

For each case, NAME.json (settings, base scores, tensor names) and, on the grid [ny,nx]:
  NAME.scores.npy   float32 [ny,nx,K]  probabilities of the classes listed in the json (all, or the base's best 8)
  NAME.logits.npy   float32 [ny,nx,K]  the same before the activation
  NAME.class.npy    int32 [ny,nx]      most probable class; one sigmoid output: 0 where p >= 0.5, else -1
  NAME.feature.npy  float32 [ny,nx]    sum over the map of the base's strongest feature map of `layer`
  NAME.map.npy      float32 [H,W]      mean over the patches that cover a pixel of base - occluded, best class
"""
import importlib.util
import os
import sys

import numpy as np
import onnx
import onnxruntime

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import oracle  # noqa: E402

# name: model, picture, patch, stride
CASES = {
    # a false alarm at 0.56: the only X-ray of the pack that small patches carry across the threshold
    "cxr_xray": ("cxr_pneumonia_cnn150", "xray/normal_IM-0431-0001.jpeg", 21, 10),
    "mobilenet_dog": ("mobilenet_v2_224", "photos/dog.png", 32, 16),
    "mobilenet_chelsea": ("mobilenet_v2_224", "photos/chelsea.png", 40, 18),
    "resnet20_owl": ("resnet20_cifar10_bn", "photos/owl.jpg", 7, 3),
    "squeezenet_hot_dog": ("squeezenet_v1.0", "photos/hot_dog.jpg", 50, 20),
}
KEPT = 8
BATCH = 32
LEAST_SPAN = 0.2


def watched_layer(model, x):
    """The last [N,C,H,W] tensor with H W > 1 before global pooling or flatten, and its sums over H, W are those of
    a feature map: a Transpose that only reorders for Flatten is looked through."""
    producer = {name: node for node in model.graph.node for name in node.output}
    values = dict(oracle.layers(model, x))
    for node in reversed(model.graph.node):
        if node.op_type in ("GlobalAveragePool", "GlobalMaxPool", "Flatten", "Reshape", "ReduceMean"):
            name = node.input[0]
            while name in producer and producer[name].op_type == "Transpose":
                name = producer[name].input[0]
            if name in values and values[name].ndim == 4 and values[name].shape[2] * values[name].shape[3] > 1:
                return name
    raise LookupError("no layer")


def ranges(n, patch, stride):
    count = -(-(n - patch) // stride) + 1
    return [(i * stride, min(i * stride + patch, n)) for i in range(count)]


def fill_of(codes, card):
    c = card["input"]
    mean = np.array(c["mean"], np.float64)
    if mean.any():
        source, rule = mean / c["scale"], "card-mean"
    else:
        source, rule = codes.reshape(-1, codes.shape[-1]).astype(np.float64).mean(0), "image-mean"
        if c["channels"] == "bgr":
            source = source[::-1]
    return source, ((source * c["scale"] - mean) / np.array(c["std"])).astype(np.float32), rule


def occlude(name, data, expected):
    model_name, picture, patch, stride = CASES[name]
    path = os.path.join(data, "models", model_name + ".onnx")
    model, card = onnx.load(path), oracle.read_card(os.path.join(data, "models", model_name + ".json"))
    c = card["input"]
    h, w = c["size"]
    image = expected.read(os.path.join(data, "images", picture), c["channels"])
    codes = np.asarray(expected.resize8(image, *expected.fit(image.size, w, h, c["resize"])))
    codes = expected.place(codes, w, h, c["resize"])
    x = oracle.prepared(codes[None], card)
    assert np.array_equal(x, expected.tensor(image, card))
    source, fill, rule = fill_of(codes, card)

    layer = watched_layer(model, x)
    last = model.graph.node[-1]
    wanted = [model.graph.output[0].name, last.input[0], layer]
    runner = oracle.session(model, wanted)
    scores, logits, activation = oracle.run(runner, x, wanted)
    sums = activation[0].astype(np.float64).sum((1, 2))
    strongest = int(sums.argmax())
    best = int(scores[0].argmax())
    kept = np.argsort(-scores[0], kind="stable")[:KEPT] if scores.shape[1] > KEPT else np.arange(scores.shape[1])

    rows, columns = ranges(h, patch, stride), ranges(w, patch, stride)
    boxes = [(y0, y1, x0, x1) for y0, y1 in rows for x0, x1 in columns]
    p, z, feature = [], [], []
    for first in range(0, len(boxes), BATCH):
        part = boxes[first:first + BATCH]
        batch = np.repeat(x, len(part), 0)
        for one, (y0, y1, x0, x1) in zip(batch, part):
            one[:, y0:y1, x0:x1] = fill[:, None, None]
        a, b, f = oracle.run(runner, batch, wanted)
        p.append(a)
        z.append(b)
        feature.append(f[:, strongest].astype(np.float64).sum((1, 2)))
    grid = (len(rows), len(columns))
    p, z = np.concatenate(p).reshape(grid + (-1,)), np.concatenate(z).reshape(grid + (-1,))
    classes = np.where(p[..., 0] >= 0.5, 0, -1) if p.shape[-1] == 1 else p.argmax(-1)

    total, cover = np.zeros((h, w)), np.zeros((h, w))
    for (y0, y1, x0, x1), occluded in zip(boxes, p[..., best].reshape(-1).astype(np.float64)):
        total[y0:y1, x0:x1] += float(scores[0, best]) - occluded
        cover[y0:y1, x0:x1] += 1
    span = float(p[..., best].max() - p[..., best].min())
    assert span >= LEAST_SPAN, (name, span)

    stem = os.path.join(HERE, name)
    np.save(stem + ".scores.npy", np.ascontiguousarray(p[..., kept]))
    np.save(stem + ".logits.npy", np.ascontiguousarray(z[..., kept]))
    np.save(stem + ".class.npy", classes.astype(np.int32))
    np.save(stem + ".feature.npy", np.concatenate(feature).reshape(grid).astype(np.float32))
    np.save(stem + ".map.npy", (total / cover).astype(np.float32))
    oracle.write_json(stem + ".json", {
        "runtime": "ONNX Runtime %s, CPU, no graph optimisation" % onnxruntime.__version__,
        "model": "models/%s.onnx" % model_name, "model_sha256": oracle.file_digest(path),
        "image": "images/" + picture, "size": [h, w], "patch": patch, "stride": stride, "grid": list(grid),
        "fill": rule, "fill_codes": [float(v) for v in source], "fill_values": [float(v) for v in fill],
        "classes": [int(k) for k in kept], "target": best,
        "base_scores": [float(v) for v in scores[0, kept]], "base_logits": [float(v) for v in logits[0, kept]],
        "span": span, "activation": last.op_type, "logits_tensor": wanted[1],
        "layer": layer, "layer_shape": list(activation.shape[1:]), "feature_map": strongest,
        "feature_base": float(sums[strongest]), "feature_runner_up": float(np.sort(sums)[-2])})
    print("%-20s grid %s, base %.4f, span %.3f, layer %s %s, map %d (%.4g, next %.4g), classes seen %s" % (
        name, grid, scores[0, best], span, layer, activation.shape[1:], strongest, sums[strongest],
        np.sort(sums)[-2], sorted(set(classes.reshape(-1).tolist()))))


def main():
    data = oracle.data_folder()
    spec = importlib.util.spec_from_file_location("make_expected", os.path.join(data, "expected", "make_expected.py"))
    expected = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(expected)
    for name in CASES:
        occlude(name, data, expected)


if __name__ == "__main__":
    main()
