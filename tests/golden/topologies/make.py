#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Outputs and layer statistics of the topologies of tools/make_models.py, by ONNX Runtime (PyPI).

usage: PENUMBRA_MODELS=DIR make.py [NAME ...]

Writes NAME.logits.npy (float32 [5, classes]: scenes 201..205; row 0 is also the answer at batch 1, checked here),
NAME.layers.npy and NAME.layers.txt (../oracle.py; batch 1, scene 201), and topologies.json: which weights this was
made with. The models are too large to store: whoever compares regenerates them and checks `file_sha256`.
"""
import os
import sys

import numpy as np
import onnx
import onnxruntime

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))
import oracle  # noqa: E402

NAMES = ["resnet18", "resnet50", "vgg16", "densenet121", "mobilenet_v2", "squeezenet1_1", "inception_v3",
         "efficientnet_b0", "mobilenet_v3_small", "convnext_tiny", "swin_tiny", "vit_tiny"]


def main():
    folder, index_path = oracle.models_folder(), os.path.join(HERE, "topologies.json")
    index = oracle.read_card(index_path) if os.path.exists(index_path) else {"models": {}}
    index["runtime"] = "ONNX Runtime %s, CPU, no graph optimisation" % onnxruntime.__version__
    index["scenes"] = list(oracle.SCENES)
    for name in sys.argv[1:] or NAMES:
        path = os.path.join(folder, name + ".onnx")
        model, card = onnx.load(path), oracle.read_card(os.path.join(folder, name + ".json"))
        x = oracle.scenes(card)
        runner = oracle.session(model)
        logits = oracle.run(runner, x)[0]
        one = oracle.run(runner, x[:1])[0]
        batch_error = float(np.abs(one[0] - logits[0]).max() / np.abs(logits[0]).max())
        assert batch_error < 2e-5, (name, batch_error)
        del runner
        found = oracle.layers(model, x[:1])
        np.save(os.path.join(HERE, name + ".logits.npy"), logits)
        oracle.write_layers(HERE, name, found)
        index["models"][name] = {"size": card["input"]["size"], "layers": len(found),
                                 "file_sha256": oracle.file_digest(path),
                                 "weights_sha256": oracle.weights_digest(model)}
        print("%-20s %4d layers, top %s, batch 1 against 5: %.1e" % (name, len(found), logits.argmax(1), batch_error))
    index["models"] = {n: index["models"][n] for n in NAMES if n in index["models"]}
    oracle.write_json(index_path, index)


if __name__ == "__main__":
    main()
