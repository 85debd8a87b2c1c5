#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Outputs and layer statistics of the real models of PENUMBRA_DATA, by ONNX Runtime (PyPI).

usage: [PENUMBRA_DATA=DIR] make.py

For each model: NAME.scores.npy (float32 [5, classes], the graph's output for scenes 201..205), NAME.logits.npy (the
tensor entering the last activation), NAME.layers.npy and .txt (../oracle.py; batch 1, scene 201); and the same three
as NAME.image.* for one real picture, prepared by the pack's own expected/make_expected.py. index.json says which.
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

PICTURES = {
    "cxr_pneumonia_cnn150": "xray/pneumonia_person724_virus_1343.jpeg",
    "mnist_cnn_opset11": "digits/zero_test0003.png",
    "mobilenet_v1_0.5_160": "photos/coffee.png",
    "mobilenet_v2_224": "photos/dog.png",
    "resnet20_cifar10_bn": "photos/chelsea.png",
    "squeezenet_v1.0": "photos/hot_dog.jpg",
    "vit_mnist": "digits/nine.png",
}


def preparation(data):
    """The pack's own reading and resizing (Pillow)."""
    spec = importlib.util.spec_from_file_location("make_expected", os.path.join(data, "expected", "make_expected.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    data = oracle.data_folder()
    expected = preparation(data)
    index = {"runtime": "ONNX Runtime %s, CPU, no graph optimisation" % onnxruntime.__version__,
             "scenes": list(oracle.SCENES), "models": {}}
    for name, picture in PICTURES.items():
        path = os.path.join(data, "models", name + ".onnx")
        model, card = onnx.load(path), oracle.read_card(os.path.join(data, "models", name + ".json"))
        last = model.graph.node[-1]
        assert last.op_type in ("Softmax", "Sigmoid", "LogSoftmax"), last.op_type
        wanted = [last.input[0], model.graph.output[0].name]
        runner = oracle.session(model, wanted)
        image = expected.read(os.path.join(data, "images", picture), card["input"]["channels"])
        for stem, x in ((name, oracle.scenes(card)), (name + ".image", expected.tensor(image, card))):
            logits, scores = oracle.run(runner, x, wanted)
            np.save(os.path.join(HERE, stem + ".logits.npy"), logits)
            np.save(os.path.join(HERE, stem + ".scores.npy"), scores)
            found = oracle.layers(model, x[:1])
            oracle.write_layers(HERE, stem, found)
            print("%-28s %3d layers, top %s" % (stem, len(found), logits.argmax(1)))
        index["models"][name] = {"size": card["input"]["size"], "picture": picture, "logits": wanted[0],
                                 "file_sha256": oracle.file_digest(path)}
    oracle.write_json(os.path.join(HERE, "index.json"), index)


if __name__ == "__main__":
    main()
