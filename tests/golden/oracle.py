# SPDX-License-Identifier: Apache-2.0
"""What the makers of golden data share: inputs, ONNX Runtime with every layer exposed, and compact layer statistics.

Inputs are scenes (tools/scene.py, tests/support/scene.h), fed as the card says: float32((code * scale - mean) / std)
computed in double, [N,C,H,W]. For `bgr` the scene's channels are reversed first.

Layer statistics, one row of float32 a tensor: mean, population standard deviation, largest magnitude (all in double),
then SAMPLES values at the row-major positions (mix(j + 1) * n) >> 32 of the n elements of the batch-1 tensor, j = 0 …;
mix is the 32-bit hash of scene.py. A text file beside it names the rows: tensor name, tab, dimensions.
"""
import hashlib
import json
import os
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from scene import mix, scene  # noqa: E402

SCENES = (201, 202, 203, 204, 205)
SAMPLES = 16
# nodes that only rename or reshape what another tensor already shows
RELABEL = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast"}


def data_folder():
    return os.environ.get("PENUMBRA_DATA", os.path.join(os.path.dirname(ROOT), "shared", "data"))


def models_folder():
    if "PENUMBRA_MODELS" not in os.environ:
        sys.exit("PENUMBRA_MODELS: not set; the folder that tools/make_models.py wrote is needed")
    return os.environ["PENUMBRA_MODELS"]


def read_card(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def prepared(codes, card):
    """uint8 [N,H,W,C] -> float32 [N,C,H,W]."""
    c = card["input"]
    a = codes[..., ::-1] if c["channels"] == "bgr" else codes
    a = (a.astype(np.float64) * c["scale"] - np.array(c["mean"])) / np.array(c["std"])
    return np.ascontiguousarray(a.transpose(0, 3, 1, 2).astype(np.float32))


def scenes(card, seeds=SCENES):
    h, w = card["input"]["size"]
    channels = 1 if card["input"]["channels"] == "gray" else 3
    return prepared(np.stack([scene(s, h, w, channels) for s in seeds]), card)


def positions(count, samples):
    """`samples` hashed positions below `count` (< 2^32)."""
    j = np.arange(samples, dtype=np.uint32)
    return ((mix(j + np.uint32(1)).astype(np.uint64) * np.uint64(count)) >> np.uint64(32)).astype(np.int64)


def statistics(tensor):
    flat = np.asarray(tensor, np.float64).reshape(-1)
    return np.concatenate([[flat.mean(), flat.std(), np.abs(flat).max()],
                           flat[positions(flat.size, SAMPLES)]]).astype(np.float32)


def image_tensors(graph):
    """Names of the tensors that depend on the image itself (not on its shape alone), in graph order."""
    weights = {t.name for t in graph.initializer}
    live, names = {i.name for i in graph.input} - weights, []
    for node in graph.node:
        if node.op_type in ("Shape", "Size") or not any(name in live for name in node.input):
            continue
        live.update(node.output)
        if node.op_type not in RELABEL:
            names += [name for name in node.output if name]
    return names


def session(model, outputs=()):
    """ONNX Runtime without fusions, so that every tensor is what the file says; `outputs` are exposed besides."""
    if outputs:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        have = {o.name for o in copy.graph.output}
        copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs if name not in have)
        model = copy
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(runner, x, names=None):
    return runner.run(names, {runner.get_inputs()[0].name: x})


def layers(model, x):
    """[(name, float32 tensor)] of every tensor that depends on the image."""
    names = image_tensors(model.graph)
    values = run(session(model, names), x, names)
    return [(n, v) for n, v in zip(names, values) if v.dtype == np.float32 and v.ndim > 0]


def write_layers(folder, stem, found):
    np.save(os.path.join(folder, stem + ".layers.npy"), np.stack([statistics(v) for _, v in found]))
    with open(os.path.join(folder, stem + ".layers.txt"), "w", encoding="utf-8") as f:
        for name, value in found:
            f.write("%s\t%s\n" % (name, "x".join(map(str, value.shape))))


def file_digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def weights_digest(model):
    """SHA-256 over the initialisers' values (raw little-endian bytes) in the order of the file."""
    digest = hashlib.sha256()
    for tensor in model.graph.initializer:
        digest.update(numpy_helper.to_array(tensor).tobytes())
    return digest.hexdigest()


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1)
        f.write("\n")
