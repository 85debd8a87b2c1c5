#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the small model and pictures of the command line's tests beside this script (Debian's python3-onnx, -pil).

colour.onnx tells the colour a picture has most of: softmax(20 * mean of (red, green, blue)). So what an explanation of
spot.png must point at is known: the spot.
"""
import json
import pathlib

import numpy as np
import onnx
from PIL import Image
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent


def save(name, nodes, weights, size=16):
    graph = helper.make_graph(
        nodes, name.split(".")[0], [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, size, size])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.asarray(value, np.float32), key) for key, value in weights.items()])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="penumbra")
    proto.ir_version = 7
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, HERE / name)


def head(source):
    return [
        helper.make_node("GlobalAveragePool", [source], ["mean"], "pool"),
        helper.make_node("Flatten", ["mean"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "gain"], ["logits"], "classify"),
        helper.make_node("Softmax", ["logits"], ["probabilities"], "normalise", axis=1),
    ]


def layers():
    """Two layers. Map 1 of the first is how much greener than red and blue a pixel is, map 3 is never active."""
    first = np.zeros((4, 3, 1, 1))
    first[:3, :, 0, 0] = 1.5 * np.eye(3) - 0.5
    first[3] = -1
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["mixed"], "mix"),
        helper.make_node("Relu", ["mixed"], ["colours"], "rectify"),
        helper.make_node("MaxPool", ["colours"], ["pooled"], "shrink", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["pooled", "second"], ["spread"], "spread", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["spread"], ["patches"], "rectify_again"),
    ]
    second = np.zeros((3, 4, 3, 3))
    for k in range(3):
        second[k, k] = 1 / 9
    save("layers.onnx", nodes + head("patches"), {"first": first, "second": second, "gain": 20 * np.eye(3)})


def broken():
    """nan.onnx has a weight that is no number, steps.onnx an operator without a derivative."""
    kernel = np.eye(3).reshape(3, 3, 1, 1)
    mix = helper.make_node("Conv", ["image", "kernel"], ["mixed"], "mix")
    wrong = kernel.copy()
    wrong[1, 2] = np.nan
    save("nan.onnx", [mix] + head("mixed"), {"kernel": wrong, "gain": 20 * np.eye(3)})
    steps = helper.make_node("Hardmax", ["mixed"], ["steps"], "decide", axis=1)
    save("steps.onnx", [mix, steps] + head("steps"), {"kernel": kernel, "gain": 20 * np.eye(3)})


def model(name, size):
    mix = helper.make_node("Conv", ["image", "kernel"], ["mixed"], "mix")
    save(name, [mix] + head("mixed"), {"kernel": np.eye(3).reshape(3, 3, 1, 1), "gain": 20 * np.eye(3)}, size)


def main():
    model("colour.onnx", 16)
    card = {"input": {"size": [16, 16], "channels": "rgb", "scale": 1 / 255, "dataset_mean": [128, 128, 128]},
            "output": {"activation": "softmax", "labels": ["red", "green", "blue"]}}
    (HERE / "colour.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    model("open.onnx", "side")  # no card: its input's size is to be said
    layers()
    broken()
    for name in ("layers", "nan", "steps"):
        (HERE / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")

    spot = np.full((40, 64, 3), 120, np.uint8)
    spot[8:16, 40:52] = (250, 60, 60)
    Image.fromarray(spot).save(HERE / "spot.png")
    green = np.full((20, 20, 3), 90, np.uint8)
    green[:, :, 1] = 200
    Image.fromarray(green).save(HERE / "green.png")
    Image.fromarray(green).save(HERE / "green.jpg", quality=90)
    np.save(HERE / "input.npy", np.stack([np.full((16, 16), v, np.float32) for v in (.2, .3, .9)]))
    (HERE / "broken.png").write_bytes((HERE / "spot.png").read_bytes()[:60])


main()
