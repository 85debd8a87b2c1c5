#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Train, judge and export the demo model: share/penumbra/phantom.onnx and phantom.json. Not for clinical use.

One command does everything (Debian's python3-torch, python3-onnx, python3-sklearn):

    /usr/bin/python3 tools/train_phantom.py BUILD WORK

BUILD is a build folder of penumbra; its tool phantom-dump draws the radiographs. WORK receives about 3 GB of arrays
and is filled only with what is not there yet. Trained on seeds 0 to 19,999, calibrated and given its thresholds on
20,000 to 21,999, judged on seeds from 1,000,000 up, of which nothing was seen before.

The training pictures are drawn at 320 px, the others at 512 px, and all are shrunk to the model's 224 px as
`penumbra explain` shrinks them. Half of them have a rectangle erased, in the end by blurring it: the only kind of patch
that the model knows.
"""
import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np

LABELS = ["nodule", "consolidation", "effusion", "cardiomegaly", "pneumothorax"]
SIDE = 224
CELLS = 28  # per side, of the masks used in training: as many as the last layer has places
SEED = 7
# Epochs, highest rate of learning, what rectangles are erased with. The mean first: hiding takes evidence away, wherever it
# is done. Then blur, which leaves no edge and no flat spot that could become a sign of nothing being there.
PHASES = [(12, 3e-3, "mean"), (1, 6e-4, None), (2, 1.5e-3, "blur")]
BATCH = 32
CELLWISE, STRAY = 10.0, 0.2  # weights of: evidence where the masks are; evidence elsewhere
# kernel, stride, dilation, channels in and out, pooled after
BLOCKS = [(5, 2, 1, 1, 12, True), (3, 1, 1, 12, 32, True), (3, 1, 1, 32, 64, False), (3, 1, 2, 64, 64, False),
          (3, 1, 4, 64, 64, False), (1, 1, 1, 64, 96, False)]
# What a place of full evidence adds to the logit is this over the number of places, about what findings' areas ask for.
SCALE = [200.0, 30.0, 30.0, 10.0, 30.0]
RARITY = [40.0, 8.0, 4.0, 2.0, 6.0]  # weight of places within a mask: the smaller the findings, the fewer there are

SETS = {  # name: first seed, count, size, findings, marker, masks
    "train0": (0, 10000, 320, "random", "random", "cells"),
    "train1": (10000, 10000, 320, "random", "random", "cells"),
    "tune": (20000, 2000, 512, "random", "random", "masks"),
    "test": (1000000, 1000, 512, "random", "random", "masks"),
    "swapped": (1000000, 1000, 512, "random", "swapped", None),
    "healthy": (1000000, 100, 512, "none", "random", None),
    "only_nodule": (1010000, 100, 512, "nodule", "random", "masks"),
    "only_consolidation": (1020000, 100, 512, "consolidation", "random", "masks"),
    "only_effusion": (1030000, 100, 512, "effusion", "random", "masks"),
}


def draw_sets(build, work, names):
    tool = os.path.join(build, "tools", "phantom-dump")
    running = []
    for name in names:
        first, count, size, findings, marker, masks = SETS[name]
        folder = os.path.join(work, name)
        done = os.path.join(folder, "labels.u8")
        if os.path.exists(done) and os.path.getsize(done) == 5 * count:
            continue
        os.makedirs(folder, exist_ok=True)
        command = [tool, folder, str(first), str(count), str(size), findings, marker] + ([masks] if masks else [])
        running.append((name, subprocess.Popen(command)))
        while sum(p.poll() is None for _, p in running) >= 2:
            next(p for _, p in running if p.poll() is None).wait()
    for name, process in running:
        if process.wait() != 0:
            sys.exit("cannot draw the set " + name)


class Pictures:
    """A set of phantoms: 16-bit codes, labels, masks."""

    def __init__(self, work, name):
        folder = os.path.join(work, name)
        count = SETS[name][1]
        self.codes = np.memmap(os.path.join(folder, "images.u16"), np.uint16, "r", shape=(count, SIDE, SIDE))
        self.labels = np.fromfile(os.path.join(folder, "labels.u8"), np.uint8).reshape(count, 5)
        kind = SETS[name][5]
        side = {"masks": SIDE, "cells": CELLS}.get(kind)
        self.masks = np.memmap(os.path.join(folder, kind + ".u8"), np.uint8, "r", shape=(count, 5, side, side)) if kind else None


def make_network(torch):
    layers = []
    for kernel, stride, dilation, inside, outside, pooled in BLOCKS:
        layers += [torch.nn.Conv2d(inside, outside, kernel, stride, kernel // 2 * dilation, dilation, bias=False),
                   torch.nn.BatchNorm2d(outside), torch.nn.ReLU()]
        if pooled:
            layers.append(torch.nn.MaxPool2d(2))
    layers += [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(BLOCKS[-1][4], 5)]
    return torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)


def to_input(torch, codes, mean, std):
    """Codes 0..65535 to what the network takes, as the card says: (code / 257 - mean) / std."""
    return torch.from_numpy((np.asarray(codes, np.float32) / 257 - mean) / std)[:, None]


def scores(torch, network, x, batch=128):
    with torch.no_grad():
        return np.concatenate([network(x[i:i + batch]).numpy() for i in range(0, len(x), batch)]).astype(np.float64)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def augment(torch, order, x):
    """Brightness and contrast varied a little."""
    gain = torch.from_numpy(order.uniform(0.9, 1.1, (len(x), 1, 1, 1)).astype(np.float32))
    bias = torch.from_numpy(order.uniform(-0.1, 0.1, (len(x), 1, 1, 1)).astype(np.float32))
    return x * gain + bias


def blurred(torch, x, sigma):
    """Gaussian blur, edges repeated."""
    taps = np.exp(-0.5 * (np.arange(-32, 33) / sigma) ** 2)
    taps = torch.from_numpy((taps / taps.sum()).astype(np.float32))
    x = torch.nn.functional.pad(torch.from_numpy(x), (32, 32, 32, 32), mode="replicate")
    conv = torch.nn.functional.conv2d
    return conv(conv(x, taps[None, None, None]), taps[None, None, :, None]).numpy()


def erase(torch, order, x, cells, content):
    """Random erasing (Zhong et al., 2017) of half the pictures: a rectangle of 2 to 7 cells a side becomes the mean, 0, or
    is blurred. Returns the share of each finding that is left; what is hidden leaves the masks."""
    before = cells.sum(axis=(2, 3))
    soft = blurred(torch, x, order.uniform(6, 14)) if content == "blur" else np.zeros_like(x)
    for k in np.flatnonzero(order.rand(len(x)) < 0.5) if content else []:
        height, width = order.randint(2, 8, 2)
        top, left = order.randint(0, CELLS - height + 1), order.randint(0, CELLS - width + 1)
        dy, dx = order.randint(0, 8, 2)
        step = SIDE // CELLS
        rows, columns = slice(top * 8 + dy, top * 8 + dy + height * step), slice(left * 8 + dx, left * 8 + dx + width * step)
        x[k, 0, rows, columns] = soft[k, 0, rows, columns]
        cells[k, :, top:top + height, left:left + width] = 0
    return (cells.sum(axis=(2, 3)) + 1e-6) / (before + 1e-6)


def train(torch, work, mean, std, phases):
    """Beside the labels two things are asked for. Evidence has to lie at the finding: what a place of the last layer adds
    to a logit is to tell whether the finding's mask is there, and nothing is to be added elsewhere. And logits beyond 5,
    which no probability needs, are held back, so that a score can fall."""
    parts = [Pictures(work, "train0"), Pictures(work, "train1")]
    codes = np.concatenate([p.codes for p in parts])
    masks = np.concatenate([p.masks for p in parts])
    labels = np.concatenate([p.labels for p in parts]).astype(np.float32)
    scale = torch.tensor(SCALE)
    torch.manual_seed(SEED)
    network = make_network(torch)
    with torch.no_grad():
        network[-1].bias.fill_(-1.5)
    for number, (epochs, rate, content) in enumerate(phases, 1):
        print("phase %d: %d epochs, erased by %s" % (number, epochs, content or "nothing"), flush=True)
        train_phase(torch, network, (codes, masks, labels), (mean, std), scale, epochs, rate, content)
        torch.save(network.state_dict(), os.path.join(work, "phase%d.pt" % number))
    with torch.no_grad():
        network[-1].weight.mul_(scale[:, None])
    return network


def train_phase(torch, network, pictures, statistics, scale, epochs, rate, content):
    codes, masks, labels = pictures
    order = np.random.RandomState(SEED)
    sharpness, level = torch.nn.Parameter(torch.ones(5)), torch.nn.Parameter(torch.full((5,), -4.0))
    decayed = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() <= 1] + [sharpness, level]
    adam = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}])
    steps = epochs * (len(codes) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, rate, total_steps=steps, pct_start=0.2)
    loss_of = torch.nn.functional.binary_cross_entropy_with_logits
    network.train()
    for epoch in range(epochs):
        sums = np.zeros(4)
        places = order.permutation(len(codes))
        for start in range(0, len(codes) - BATCH + 1, BATCH):
            chosen = np.sort(places[start:start + BATCH])
            x = augment(torch, order, to_input(torch, codes[chosen], *statistics))
            cells = masks[chosen].astype(np.float32) / 255
            left = erase(torch, order, x.numpy(), cells, content)
            cells = torch.from_numpy(cells)
            evidence = torch.nn.functional.conv2d(network[:-3](x.contiguous(memory_format=torch.channels_last)),
                                                  network[-1].weight[:, :, None, None])
            z = evidence.mean(dim=(2, 3)) * scale + network[-1].bias
            loss = loss_of(z, torch.from_numpy(labels[chosen] * left.astype(np.float32)))
            there = loss_of(evidence * sharpness[:, None, None] + level[:, None, None], cells,
                            pos_weight=torch.tensor(RARITY)[:, None, None])
            stray = (evidence.abs() * (cells < 0.02)).mean()
            excess = torch.relu(z.abs() - 5).square().mean()
            adam.zero_grad()
            (loss + CELLWISE * there + STRAY * stray + 0.02 * excess).backward()
            adam.step()
            schedule.step()
            sums += [loss.item(), there.item(), stray.item(), excess.item()]
            if start // BATCH % 100 == 99:
                print("epoch %d, step %d: loss %.4f, places %.4f, stray evidence %.3f, excess %.3f, %.0f s of CPU" % (
                    (epoch + 1, start // BATCH + 1) + tuple(sums / (start // BATCH + 1)) + (time.process_time(),)),
                    flush=True)
    network.eval()


def aucs(labels, z):
    from sklearn.metrics import roc_auc_score
    return [roc_auc_score(labels[:, c], z[:, c]) for c in range(5)]


def calibrate(labels, z):
    """Per finding the slope and shift of the logit that make it a probability, by Newton's method. The labels are drawn in
    a little, as by Platt (1999): else findings that are never missed would get probabilities that round to 1, and no
    map could show what they rest on."""
    out = []
    for c in range(5):
        a, b, x = 1.0, 0.0, z[:, c]
        positive = labels[:, c].sum()
        y = np.where(labels[:, c], (positive + 1) / (positive + 2), 1 / (len(labels) - positive + 2))
        for _ in range(50):
            p = sigmoid(a * x + b)
            w = p * (1 - p) + 1e-12
            gradient = np.array([np.sum((p - y) * x) + 1e-3 * (a - 1), np.sum(p - y)])
            hessian = np.array([[np.sum(w * x * x) + 1e-3, np.sum(w * x)], [np.sum(w * x), np.sum(w)]])
            step = np.linalg.solve(hessian, gradient)
            a, b = a - step[0], b - step[1]
        out.append((a, b))
    return np.array(out)


def calibration_error(labels, p, bins=15):
    """Expected calibration error over equal bins of the probability; mean over the findings."""
    errors = []
    for c in range(p.shape[1]):
        place = np.minimum((p[:, c] * bins).astype(int), bins - 1)
        errors.append(sum(abs(labels[place == k, c].mean() - p[place == k, c].mean()) * np.mean(place == k)
                          for k in range(bins) if np.any(place == k)))
    return errors


def lower_bounds(labels, z, draws=1000):
    """Lower end of the 95 % interval of the AUC, by bootstrap over the images."""
    order = np.random.RandomState(SEED)
    all_draws = []
    for _ in range(draws):
        chosen = order.randint(0, len(z), len(z))
        all_draws.append(aucs(labels[chosen], z[chosen]))
    return np.percentile(all_draws, 2.5, axis=0)


def positions(side, patch=32, stride=8):
    return range(0, side - patch + 1, stride)


def occlude(torch, network, x, fill, patch=32, stride=8):
    """Logits of all occluded copies of one input [1,1,224,224], row by row: [25, 25, 5]."""
    starts = list(positions(SIDE, patch, stride))
    rows = []
    for top in starts:
        copies = x.repeat(len(starts), 1, 1, 1)
        for i, left in enumerate(starts):
            copies[i, 0, top:top + patch, left:left + patch] = fill
        rows.append(scores(torch, network, copies))
    return np.stack(rows)


def occlusion_map(drops, patch=32, stride=8):
    """Mean score drop of the patches that cover a pixel, as penumbra's occlusion does it."""
    total, cover = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for i, top in enumerate(positions(SIDE, patch, stride)):
        for j, left in enumerate(positions(SIDE, patch, stride)):
            total[top:top + patch, left:left + patch] += drops[i, j]
            cover[top:top + patch, left:left + patch] += 1
    return total / cover


def strongest_point(heat):
    """The map is constant over cells of the stride: the middle of the (first) cell that holds its maximum."""
    y, x = np.unravel_index(np.argmax(heat), heat.shape)
    bottom, right = y, x
    while bottom + 1 < SIDE and heat[bottom + 1, x] == heat[y, x]:
        bottom += 1
    while right + 1 < SIDE and heat[y, right + 1] == heat[y, x]:
        right += 1
    return (y + bottom) // 2, (x + right) // 2


def localisation(torch, network, ab, work, name, mean, std):
    """Share of the images with this one finding whose strongest point of the occlusion map lies in the mask."""
    finding = LABELS.index(name)
    pictures = Pictures(work, "only_" + name)
    x = to_input(torch, pictures.codes, mean, std)
    hits = []
    for k in range(len(x)):
        z = scores(torch, network, x[k:k + 1])[0, finding]
        p = sigmoid(ab[finding, 0] * z + ab[finding, 1])
        covered = occlude(torch, network, x[k:k + 1], 0.0)[:, :, finding]
        # in float32, as runtimes give probabilities
        drops = np.float32(p) - sigmoid(ab[finding, 0] * covered + ab[finding, 1]).astype(np.float32)
        hits.append(bool(pictures.masks[(k, finding) + strongest_point(occlusion_map(drops))]))
    return float(np.mean(hits))


def artifacts(torch, network, ab, work, mean, std):
    """On healthy pictures that the model calls normal: how often a patch alone looks like a finding."""
    pictures = Pictures(work, "healthy")
    x = to_input(torch, pictures.codes, mean, std)
    normal = (sigmoid(scores(torch, network, x) * ab[:, 0] + ab[:, 1]) < 0.5).all(axis=1)
    out = {"images": int(normal.sum())}
    for fill, value in (("black", (0 - mean) / std), ("mean", 0.0)):
        flips, which = [], np.zeros(5)
        for k in np.flatnonzero(normal):
            p = sigmoid(occlude(torch, network, x[k:k + 1], value) * ab[:, 0] + ab[:, 1]) >= 0.5
            flips.append(p.any(axis=2).mean())
            which += p.mean(axis=(0, 1)) / normal.sum()
        out[fill] = {"rate": round(float(np.mean(flips)), 4),
                     "by_finding": {n: round(float(w), 4) for n, w in zip(LABELS, which)}}
    return out


def exposure_shortcut(work):
    """AUC of a logistic regression on nothing but the mean and the SD of the picture."""
    from sklearn.linear_model import LogisticRegression
    features = {}
    for name in ("tune", "test"):
        codes = np.asarray(Pictures(work, name).codes, np.float32) / 65535
        features[name] = np.stack([codes.mean(axis=(1, 2)), codes.std(axis=(1, 2))], 1)
    middle, spread = features["tune"].mean(0), features["tune"].std(0)
    z = np.zeros((len(features["test"]), 5))
    for c in range(5):
        fit = LogisticRegression(C=1e3).fit((features["tune"] - middle) / spread, Pictures(work, "tune").labels[:, c])
        z[:, c] = fit.decision_function((features["test"] - middle) / spread)
    return aucs(Pictures(work, "test").labels, z)


def named(values, digits=4):
    return {n: round(float(v), digits) for n, v in zip(LABELS, values)}


def judge(torch, network, ab, work, mean, std):
    test = Pictures(work, "test")
    z = scores(torch, network, to_input(torch, test.codes, mean, std)) * ab[:, 0] + ab[:, 1]
    swapped = scores(torch, network, to_input(torch, Pictures(work, "swapped").codes, mean, std)) * ab[:, 0] + ab[:, 1]
    p, labels = sigmoid(z), test.labels
    healthy = labels.sum(axis=1) == 0
    found = aucs(labels, z)
    return {
        "seeds": "1000000 to %d, unseen; one finding each: from 1010000, 1020000, 1030000" % (1000000 + len(z) - 1),
        "auc": named(found),
        "auc_lower_95": named(lower_bounds(labels, z)),
        "normal_called_normal": round(float((p[healthy] < 0.5).all(axis=1).mean()), 4),
        "sensitivity": named([(p[labels[:, c] == 1, c] >= 0.5).mean() for c in range(5)]),
        "specificity": named([(p[labels[:, c] == 0, c] < 0.5).mean() for c in range(5)]),
        "calibration_error": named(calibration_error(labels, p)),
        "auc_change_with_markers_exchanged": named(np.subtract(aucs(labels, swapped), found)),
        "auc_of_mean_and_sd_alone": named(exposure_shortcut(work)),
        "occlusion_peak_in_mask": {n: localisation(torch, network, ab, work, n, mean, std)
                                   for n in ("nodule", "consolidation", "effusion")},
        "patch_called_a_finding": artifacts(torch, network, ab, work, mean, std),
    }


def export(torch, network, ab, path):
    """Written node by node, so that batch norms stay in the graph as trained."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    nodes, weights, value = [], [], "image"

    def weight(name, array):
        weights.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    modules = iter(network)
    for number, (kernel, stride, dilation, _, _, pooled) in enumerate(BLOCKS, 1):
        conv, norm, _ = next(modules), next(modules), next(modules)
        pad, at = kernel // 2 * dilation, "block%d" % number
        nodes.append(helper.make_node("Conv", [value, weight(at + ".weight", conv.weight.detach().numpy())],
                                      [at + "/conv"], name=at + "/conv", kernel_shape=[kernel, kernel],
                                      strides=[stride, stride], pads=[pad] * 4,
                                      dilations=[dilation, dilation]))
        parts = [weight("%s.%s" % (at, n), t.detach().numpy()) for n, t in
                 (("scale", norm.weight), ("bias", norm.bias), ("mean", norm.running_mean), ("var", norm.running_var))]
        nodes.append(helper.make_node("BatchNormalization", [at + "/conv"] + parts, [at + "/norm"], name=at + "/norm",
                                      epsilon=norm.eps))
        nodes.append(helper.make_node("Relu", [at + "/norm"], [at + "/relu"], name=at + "/relu"))
        value = at + "/relu"
        if pooled:
            next(modules)
            nodes.append(helper.make_node("MaxPool", [value], [at + "/pool"], name=at + "/pool", kernel_shape=[2, 2],
                                          strides=[2, 2]))
            value = at + "/pool"
    nodes.append(helper.make_node("GlobalAveragePool", [value], ["pooled"], name="pool"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["features"], name="flatten", axis=1))
    last = network[-1]
    # The calibration is part of the last layer: thresholds of one half are right.
    matrix = last.weight.detach().numpy().astype(np.float64) * ab[:, :1]
    shift = last.bias.detach().numpy().astype(np.float64) * ab[:, 0] + ab[:, 1]
    nodes.append(helper.make_node("Gemm", ["features", weight("head.weight", matrix), weight("head.bias", shift)],
                                  ["logits"], name="head", transB=1))
    nodes.append(helper.make_node("Sigmoid", ["logits"], ["probabilities"], name="sigmoid"))
    graph = helper.make_graph(
        nodes, "phantom", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, SIDE, SIDE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 5])], weights,
        doc_string="Findings on procedural chest radiographs. A demonstration; not for clinical use.")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="penumbra",
                              doc_string=graph.doc_string)
    model.ir_version = 7
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def card(mean, std, evaluation):
    return {
        "input": {"size": [SIDE, SIDE], "channels": "gray", "range": [0, 65535], "mean": [mean], "std": [std],
                  "resize": "stretch", "interpolation": "bilinear",
                  "dataset_mean": [round(mean * 257, 1)], "dataset_std": [round(std * 257, 1)]},
        "output": {"activation": "sigmoid", "activation_in_graph": True, "labels": LABELS, "thresholds": [0.5] * 5,
                   "normal": "none above threshold"},
        "source": {
            "what": "Convolutional network trained on procedural radiographs. A demonstration; not for clinical use.",
            "command": "/usr/bin/python3 tools/train_phantom.py BUILD WORK",
            "training_seeds": [0, 19999], "tuning_seeds": [20000, 21999],
            "licence": "Apache-2.0",
        },
        "evaluation": evaluation,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", help="build folder with tools/phantom-dump")
    parser.add_argument("work", help="folder for the drawn radiographs and the state of the training")
    parser.add_argument("--resume", action="store_true", help="take the trained network from WORK")
    parser.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "share", "penumbra"))
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: no spinning on a shared machine
    import torch
    torch.set_num_threads(2)
    work = arguments.work
    draw_sets(arguments.build, work, ["train0", "train1", "tune"])
    sample = np.concatenate([Pictures(work, n).codes[:2000] for n in ("train0", "train1")]).astype(np.float64)
    mean, std = round(sample.mean() / 257, 2), round(sample.std() / 257, 2)
    print("mean %.2f, SD %.2f of 255" % (mean, std), flush=True)
    network = make_network(torch)
    trained = os.path.join(work, "network.pt")
    if not arguments.resume or not os.path.exists(trained):
        network = train(torch, work, mean, std, PHASES)
        torch.save(network.state_dict(), trained)
    network.load_state_dict(torch.load(trained))
    network.eval()
    draw_sets(arguments.build, work, SETS)
    tune = Pictures(work, "tune")
    ab = calibrate(tune.labels, scores(torch, network, to_input(torch, tune.codes, mean, std)))
    print("calibration: slope and shift", ab.round(3).tolist(), flush=True)
    evaluation = judge(torch, network, ab, work, mean, std)
    print(json.dumps(evaluation, indent=2))
    os.makedirs(arguments.out, exist_ok=True)
    export(torch, network, ab, os.path.join(arguments.out, "phantom.onnx"))
    with open(os.path.join(arguments.out, "phantom.json"), "w") as file:
        json.dump(card(mean, std, evaluation), file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
