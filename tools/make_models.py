#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the classifier topologies that tests and benchmarks share, as ONNX files with model cards.

usage: make_models.py DIR [--size N] [--only NAME ...] [--seed S] [--no-check]

The topologies are torchvision's (vit_tiny is written below in timm's manner), exported as users export them: opset 13,
batch axis dynamic, eval mode, logits as output. The weights are seeded and untrained, but not arbitrary: networks whose
logits hardly depend on the image prove nothing. A batch of seeded scenes (scene.py) is run through the net in double;
every batch normalisation takes its measured statistics, every other convolution and linear layer is scaled and shifted
to unit outputs (layer-sequential unit variance: Mishkin and Matas 2016, arXiv 1511.06422), biases leave about half of
the rectifiers active, and the last layer gives logits that are centred and of unit spread over the classes.

Same seed, same bytes: raw Philox bits make the weights, the statistics are measured in double and rounded to 10
fraction bits of their leading power, far above the rounding error of any CPU's convolution.

Each model is then checked: activations of unit order all through the depth, and a 32 px occluder of the card's mean
(at 224 px; in proportion otherwise) moves the top logit by at least 5 % of the logits' spread (largest - smallest) at
its strongest position. The figures are printed and kept in the card's `evaluation`. Exit status 1 where a check fails.

File names: NAME.onnx and NAME.json at the net's own size (224; inception_v3 299), NAME_N.onnx at another --size N.
Needs numpy, onnx, torch and torchvision (Debian: python3-torchvision, python3-onnx).
"""
import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
import warnings

import numpy as np
from onnx import load as load_onnx, numpy_helper
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from scene import scene

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CALIBRATION_SCENES = range(1, 25)
CHECK_SCENE = 100
LEAST_MOVE = 0.05
RMS_RANGE = (0.02, 30.0)


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        attention = ((q @ k.transpose(-2, -1)) * self.scale).softmax(dim=-1)
        return self.proj((attention @ v).transpose(1, 2).reshape(b, n, c))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.fc1, self.act, self.fc2 = nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.fc2(self.act(self.fc1(self.norm2(x))))


class VisionTransformer(nn.Module):
    """ViT-Ti/16: Dosovitskiy et al. 2021 (arXiv 2010.11929), tiny as in DeiT (arXiv 2012.12877)."""

    def __init__(self, size, dim=192, depth=12, heads=3, patch=16, classes=1000):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, dim, patch, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, (size // patch) ** 2 + 1, dim))
        self.blocks = nn.Sequential(*[Block(dim, heads) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(dim, eps=1e-6), nn.Linear(dim, classes)

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


def vision(name, **options):
    return lambda size: getattr(torchvision.models, name)(weights=None, **options)


# name: (constructor of the size, own size, name of the layer that makes the logits)
TOPOLOGIES = {
    "resnet50": (vision("resnet50"), 224, "fc"),
    "vgg16": (vision("vgg16", init_weights=False), 224, "classifier.6"),
    "mobilenet_v2": (vision("mobilenet_v2"), 224, "classifier.1"),
    "resnet18": (vision("resnet18"), 224, "fc"),
    "densenet121": (vision("densenet121"), 224, "classifier"),
    "squeezenet1_1": (vision("squeezenet1_1"), 224, "classifier.1"),
    "inception_v3": (vision("inception_v3", aux_logits=False, transform_input=False, init_weights=False), 299, "fc"),
    "efficientnet_b0": (vision("efficientnet_b0"), 224, "classifier.1"),
    "mobilenet_v3_small": (vision("mobilenet_v3_small"), 224, "classifier.3"),
    "convnext_tiny": (vision("convnext_tiny"), 224, "classifier.2"),
    "swin_tiny": (vision("swin_t"), 224, "head"),
    "vit_tiny": (VisionTransformer, 224, "head"),
}


def file_name(name, size):
    return name if size == TOPOLOGIES[name][1] else "%s_%d" % (name, size)


def model_input(codes):
    """Codes [N,H,W,3] as the card says: (code / 255 - mean) / std, in double."""
    x = (codes.astype(np.float64) / 255.0 - np.array(MEAN)) / np.array(STD)
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def rounded(value, unit=None):
    """To 10 fraction bits of the leading power of two (of `unit` where given)."""
    value = np.asarray(value, np.float64)
    _, exponent = np.frexp(value if unit is None else unit)
    step = np.ldexp(1.0, exponent - 11)
    return np.rint(value / step) * step


# Offsets as wide as this keep half of the units active on average, but each of them mostly on or mostly off, and
# branches weaker than the stream they join: both keep rounding errors from growing with the depth, as training does.
OFFSET = 0.8
BRANCH = 0.5


def last_of_branch(module):
    """The normalisation that ends a residual branch."""
    if isinstance(module, torchvision.models.resnet.Bottleneck):
        return [module.bn3]
    if isinstance(module, torchvision.models.resnet.BasicBlock):
        return [module.bn2]
    if getattr(module, "use_res_connect", False):
        return [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)][-1:]
    return []


def query_gain(rows):
    """Queries and keys larger than values: attention that picks, so that what it picks matters."""
    return np.where(np.arange(rows) < rows * 2 // 3, 1.75, 1.0)


class Weights:
    """Seeded weights and, while the calibration batch passes, the scales that keep activations at unit order."""

    def __init__(self, model, seed, head):
        self.model, self.seed, self.head = model, seed, head
        self.names = {module: name for name, module in model.named_modules()}
        self.seen = set()
        self.branches = {self.names[norm] for module in model.modules() for norm in last_of_branch(module)}

    def uniform(self, name, shape, low, high):
        """float64 array that depends on (seed, name) alone; 24 random bits a value."""
        digest = hashlib.sha256(("%d/%s" % (self.seed, name)).encode()).digest()
        count = int(np.prod(shape))
        raw = np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw((count + 1) // 2)
        bits = raw.astype("<u8").view("<u4")[:count] >> 8
        return (low + (high - low) * (bits + 0.5) / 2.0**24).reshape(shape)

    @staticmethod
    def assign(parameter, value):
        """The double model holds exactly what the float32 file will hold."""
        value = np.ascontiguousarray(np.asarray(value).reshape(parameter.shape), np.float32)
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(value).to(parameter.dtype))

    def draw(self):
        """Everything that needs no measurement. Weights have variance 1 / fan-in."""
        for name, p in self.model.named_parameters():
            if name.endswith(("cls_token", "class_token", "pos_embed", "relative_position_bias_table")):
                self.assign(p, self.uniform(name, p.shape, -0.6, 0.6))
            elif name.endswith("qkv.weight"):
                width = np.sqrt(3.0 / p.shape[1])
                self.assign(p, self.uniform(name, p.shape, -width, width) * query_gain(p.shape[0])[:, None])
            elif name.endswith("layer_scale"):
                self.assign(p, self.uniform(name, p.shape, 0.5, 1.0))
            elif p.dim() == 1 and name.endswith("weight"):  # gains of normalisations
                gain = BRANCH if name[:-len(".weight")] in self.branches else 1.0
                self.assign(p, self.uniform(name, p.shape, 0.7 * gain, 1.3 * gain))
            elif p.dim() == 1:
                self.assign(p, self.uniform(name, p.shape, -OFFSET, OFFSET))
            else:
                width = np.sqrt(3.0 / np.prod(p.shape[1:]))
                self.assign(p, self.uniform(name, p.shape, -width, width))

    def hook(self):
        handles = []
        for module in self.model.modules():
            if isinstance(module, nn.BatchNorm2d):
                handles.append(module.register_forward_pre_hook(self.measure_norm))
            elif isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
                handles.append(module.register_forward_pre_hook(self.measure_layer))
        return handles

    def first_time(self, module):
        new = module not in self.seen
        self.seen.add(module)
        return new

    def measure_norm(self, module, inputs):
        if self.first_time(module):
            x = inputs[0].detach()
            std = x.std((0, 2, 3), unbiased=False).numpy()
            std = np.maximum(std, 1e-3 * np.sqrt(np.mean(std**2)) + 1e-12)
            self.assign(module.running_mean, rounded(x.mean((0, 2, 3)).numpy(), std))
            self.assign(module.running_var, rounded(std**2))

    def measure_layer(self, module, inputs):
        """Centre each channel and bring it to unit variance; small random offsets stay. Where a channel has few
        samples (vectors), its own variance is noise and all channels share one scale."""
        if not self.first_time(module):
            return
        name, x = self.names[module], inputs[0].detach()
        if isinstance(module, nn.Conv2d):
            y, samples = module._conv_forward(x, module.weight.detach(), None), (0, 2, 3)
        else:
            y, samples = F.linear(x, module.weight.detach()).flatten(0, -2), (0,)
        mean, std = y.mean(samples).numpy(), y.std(samples, unbiased=False).numpy()
        pooled = np.sqrt(np.mean(std**2))
        std = np.maximum(std, 0.05 * pooled) if y.numel() >= 64 * len(std) else np.full_like(std, pooled)
        # the branches of a transformer add up over the depth: half a unit each
        gain = np.full(len(std), BRANCH if name.endswith(("proj", "fc2", "mlp.3")) else 1.0)
        if name.endswith("qkv"):
            gain = query_gain(len(std))
        scale = rounded(gain / std)
        weight = module.weight.detach().numpy() * scale.reshape((-1,) + (1,) * (module.weight.dim() - 1))
        offset = self.uniform(name + ".bias", mean.shape, -OFFSET, OFFSET) * gain if name != self.head else 0.0
        self.assign(module.weight, weight)
        self.assign(module.bias, rounded(offset - mean * scale, 1.0))

    def finish(self, logits):
        """Logits of unit spread over the classes. (Positively homogeneous up to the output in every topology.)"""
        layer = self.model.get_submodule(self.head)
        scale = float(rounded(1.0 / np.sqrt(np.mean(np.var(logits, axis=1)))))
        self.assign(layer.weight, layer.weight.detach().numpy() * scale)
        self.assign(layer.bias, layer.bias.detach().numpy() * scale)


def calibrate(model, name, size, seed):
    weights = Weights(model, seed, TOPOLOGIES[name][2])
    weights.draw()
    handles = weights.hook()
    with torch.no_grad():
        batch = model_input(np.stack([scene(1000 * seed + s, size, size) for s in CALIBRATION_SCENES]))
        logits = model(batch).numpy()
    for handle in handles:
        handle.remove()
    weights.finish(logits)


def check(model, name, size, seed):
    """Figures that show that the net is alive; the float32 model is measured, as it will be used."""
    codes = scene(1000 * seed + CHECK_SCENE, size, size)
    rms = []

    def note(module, _, output):
        rms.append(float(output.detach().double().square().mean().sqrt()))

    kinds = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.LayerNorm)
    handles = [m.register_forward_hook(note) for m in model.modules() if isinstance(m, kinds)]
    base = model_input(codes[None]).float()
    with torch.no_grad():
        logits = model(base).numpy()[0]
    for handle in handles:
        handle.remove()
    patch = max(1, size * 32 // 224)
    top, spread, moves = int(np.argmax(logits)), float(logits.max() - logits.min()), []
    with torch.no_grad():
        for y in range(0, size, patch):
            batch = base.repeat(len(range(0, size, patch)), 1, 1, 1)
            for i, x in enumerate(range(0, size, patch)):
                batch[i, :, y:y + patch, x:x + patch] = 0.0  # the mean, normalised
            moves += list(np.abs(model(batch).numpy()[:, top] - logits[top]))
        double = model.double()(base.double()).numpy()[0]
    figures = {
        "occluder_px": patch,
        "largest_move_of_top_logit": max(moves) / spread,
        "median_move_of_top_logit": float(np.median(moves)) / spread,
        "spread_of_logits": spread,
        "smallest_layer_rms": min(rms),
        "largest_layer_rms": max(rms),
        "float32_error_of_logits": float(np.abs(logits - double).max() / np.abs(double).max()),
    }
    failures = []
    if figures["largest_move_of_top_logit"] < LEAST_MOVE:
        failures.append("the occluder moves the top logit by only %.3g of the spread" % (max(moves) / spread))
    if min(rms) < RMS_RANGE[0] or max(rms) > RMS_RANGE[1]:
        failures.append("layer RMS %.3g..%.3g leaves %g..%g" % (min(rms), max(rms), *RMS_RANGE))
    return {key: float("%.3g" % value) for key, value in figures.items()}, failures


def card(name, size, seed, figures, digest):
    return {
        "input": {
            "size": [size, size],
            "channels": "rgb",
            "scale": 1.0 / 255.0,
            "mean": list(MEAN),
            "std": list(STD),
            "resize": "shortest-crop",
            "resize_to": size * 8 // 7,
        },
        "output": {"activation": "softmax", "activation_in_graph": False},
        "source": {
            "topology": "%s (%s)" % (name, "vision transformer, own source" if name == "vit_tiny"
                                     else "torchvision " + torchvision.__version__),
            "weights": "seeded, untrained: for tests and benchmarks only",
            "seed": seed,
            "generator": "tools/make_models.py, torch %s" % torch.__version__,
            "weights_sha256": digest,
        },
        "evaluation": figures,
    }


def weights_digest(path):
    """SHA-256 over the initialisers' bytes in the order of the file."""
    digest = hashlib.sha256()
    for tensor in load_onnx(path).graph.initializer:
        digest.update(numpy_helper.to_array(tensor).tobytes())
    return digest.hexdigest()


def export(model, path, size):
    """Written beside and renamed, so that a reader never sees half a file."""
    folder = os.path.dirname(path)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        part = os.path.join(place, "model.onnx")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(model, torch.zeros(2, 3, size, size), part, opset_version=13, input_names=["input"],
                              output_names=["logits"], dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}})
        os.replace(part, path)


def build(name, size, seed):
    """The float32 module with its weights, in eval mode."""
    model = TOPOLOGIES[name][0](size).eval().double()
    calibrate(model, name, size, seed)
    for p in model.parameters():
        p.requires_grad_(False)
    return model.float()


def make(name, folder, size, seed, checked):
    started = time.time()
    path = os.path.join(folder, file_name(name, size))
    model = build(name, size, seed)
    export(model, path + ".onnx", size)
    figures, failures = check(model, name, size, seed) if checked else ({}, [])
    digest = weights_digest(path + ".onnx")
    with open(path + ".json", "w", encoding="utf-8") as f:
        json.dump(card(name, size, seed, figures, digest), f, indent=2)
        f.write("\n")
    print("%-22s %6.1f MB %5.1f s  %s" % (file_name(name, size), os.path.getsize(path + ".onnx") / 1e6,
                                          time.time() - started, digest[:16]))
    for key, value in figures.items():
        print("    %-26s %g" % (key, value))
    for failure in failures:
        print("    FAILED: " + failure)
    sys.stdout.flush()
    return not failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--size", type=int, choices=(224, 299, 448), help="default: the net's own size")
    parser.add_argument("--only", nargs="+", choices=sorted(TOPOLOGIES), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-check", action="store_true")
    o = parser.parse_args()
    if o.size == 299 and any(n in ("swin_tiny", "vit_tiny") for n in o.only or TOPOLOGIES):
        parser.error("--size 299: the transformers need a multiple of 16")
    os.makedirs(o.folder, exist_ok=True)
    good = [make(n, o.folder, o.size or TOPOLOGIES[n][1], o.seed, not o.no_check) for n in o.only or TOPOLOGIES]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
