#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measure penumbra, alone and beside its peers, and write the tables of docs/performance.md.

usage: bench.py own|peers [--build DIR] [--models DIR] [--python FILE] [--threads N] [--clock wall|cpu] [--repeats N]
                          [--quick] [--only NET ...] [--tables NAME ...] [--print]

own     forward passes beside ONNX Runtime; occlusion and region perturbation by windows beside the full path; gradients
        beside forward passes
peers   the same maps and measurements by Captum, lime, Quantus and plain PyTorch

Every contender is a process of its own that waits while the others run; they take turns (A B A B …), and the median of
the turns counts. The peak of the machine is measured before and after: where it moved by more than 5 %, the table
says so. A turn during which other processes took more than 5 % of the machine is repeated.

--clock cpu   CPU seconds instead of the wall's: with --threads 1 a fair measure of work on a machine that is busy.
--quick       the six nets of the occlusion table and the median of 3
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

import numpy as np

import methods
from contender import TUNED, Contender, Variant, duel, mebibytes, percent, progress, ranks, table, times

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PAGE = os.path.join(ROOT, "docs", "performance.md")
sys.path.insert(0, os.path.join(ROOT, "tools"))

NETS = ["resnet50", "vgg16", "resnet18", "densenet121", "mobilenet_v2", "squeezenet1_1", "inception_v3",
        "efficientnet_b0", "mobilenet_v3_small", "convnext_tiny", "swin_tiny", "vit_tiny"]
SIZES = {"inception_v3": 299}
OCCLUDED = ["resnet50", "vgg16", "resnet18", "densenet121", "mobilenet_v2", "resnet50_448"]
PATCH, STRIDE = 32, 16
DRIFT = 0.05        # that the peak may move
# Targets of the occlusion maps against the peer, exact float32.
AIM = {"vgg16": 8.5, "resnet50": 3.4, "resnet18": 3.5, "densenet121": 4.0, "mobilenet_v2": 7.0, "resnet50_448": 8.0}


# ---- what is measured ------------------------------------------------------------------------------------------------

class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.notes, self.versions = [], {}
        self.peaks = []

    def program(self, name):
        return os.path.join(self.options.build, "bench", "bench-" + name)

    def peak(self):
        threads = str(self.options.threads)
        out = subprocess.run([self.program("peak"), threads], check=True, capture_output=True, text=True,
                             env=dict(os.environ, OMP_NUM_THREADS=threads))
        self.peaks.append(json.loads(out.stdout))
        self.versions["oneDNN"] = self.peaks[-1]["library"].split()[-1]

    def peak_of(self, number):
        key = number + ("_cpu" if self.options.clock == "cpu" else "")
        values = [p[key] for p in self.peaks]
        return None if None in values else statistics.mean(values)

    def bf16(self):
        """Whether bfloat16 is worth timing: some CPUs have its instructions, and are slower with them."""
        peak = self.peak_of("bf16")
        return peak is not None and peak > self.peak_of("f32")

    def drift(self):
        key = "f32_cpu" if self.options.clock == "cpu" else "f32"
        return self.peaks[-1][key] / self.peaks[0][key] - 1

    def model(self, net):
        path = os.path.join(self.options.models, net + ".onnx")
        if not os.path.exists(path):
            name, _, size = net.rpartition("_")
            sized = name in NETS and size.isdigit()
            subprocess.run([sys.executable, os.path.join(ROOT, "tools", "make_models.py"), self.options.models,
                            "--no-check", "--only", name if sized else net] + (["--size", size] if sized else []),
                           check=True)
        return path

    def image(self, net, batch):
        size = SIZES.get(net, int(net.rsplit("_", 1)[1]) if net.endswith("_448") else 224)
        path = os.path.join(self.folder, "x%d_%d.npy" % (size, batch))
        if not os.path.exists(path):
            from scene import scene
            codes = np.stack([scene(100 + i, size, size) for i in range(batch)]).astype(np.float64)
            x = (codes / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
            np.save(path, np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32))
        return path

    def place(self, name):
        return os.path.join(self.folder, name)

    def forward(self, net, batch, number, output):
        return Contender(self.options, [self.program("forward"), self.model(net), self.image(net, batch),
                                        str(self.options.threads), output, number], self.options.threads)

    def onnxruntime(self, net, batch, output):
        return Contender(self.options, [self.options.python, os.path.join(HERE, "peers_ort.py"), self.model(net),
                                        self.image(net, batch), str(self.options.threads), output],
                         self.options.threads)

    def occlusion(self, net, how, number, output, positions=0):
        return Contender(self.options, [self.program("occlusion"), self.model(net), self.image(net, 1),
                                        str(self.options.threads), output, str(PATCH), str(STRIDE), how, number,
                                        str(positions)], self.options.threads)

    def captum(self, net, target, output, tuned):
        return Contender(self.options, [self.options.python, os.path.join(HERE, "peers_captum.py"),
                                        net.replace("_448", ""), self.model(net), self.image(net, 1),
                                        str(self.options.threads), output, str(PATCH), str(STRIDE), str(target)],
                         self.options.threads, TUNED if tuned else None)

    def flag(self, what, *contenders):
        """A mark for a row whose turns were disturbed to the end of the patience, explained below the table."""
        bad = sum(c.disturbed for c in contenders)
        if bad:
            self.notes.append("%s: other processes disturbed %d turns" % (what, bad))
        return " (!)" if bad else ""


def has_onnxruntime(options):
    found = subprocess.run([options.python, "-c", "import onnxruntime"], capture_output=True, check=False)
    return found.returncode == 0




def measure_forward(bench):
    options, ratios, figures = bench.options, [], []
    peer = has_onnxruntime(options)
    if not peer:
        bench.notes.append("ONNX Runtime is not installed (bench/setup_peers.sh): penumbra alone")
    for net in options.nets:
        for batch in (1, 16):
            ours = bench.forward(net, batch, "f32", bench.place("ours.npy"))
            contenders = [ours]
            if peer:
                theirs = bench.onnxruntime(net, batch, bench.place("theirs.npy"))
                bench.versions["ONNX Runtime"] = theirs.ready["version"]
                contenders.append(theirs)
            fast = None
            if batch == 16 and bench.bf16():
                fast = bench.forward(net, batch, "bf16", bench.place("bf16.npy"))
                contenders.append(fast)
            duel(contenders, options.repeats)
            work = 2e-9 * ours.ready["macs"] * batch / ours.seconds
            mark = bench.flag("%s, batch %d" % (net, batch), *contenders)
            name = [net, str(batch)]
            difference = "-"
            if peer:
                a, b = np.load(bench.place("ours.npy")), np.load(bench.place("theirs.npy"))
                difference = "%.1e" % (np.abs(a - b).max() / np.abs(b).max())
            ratios.append(name + [(times(theirs.seconds / ours.seconds) if peer else "-") + mark,
                                  percent(work / bench.peak_of("f32")),
                                  times(ours.seconds / fast.seconds) if fast else "-",
                                  times(ours.peak / theirs.peak) if peer else "-", difference])
            figures.append(name + ["%.2f" % (1e3 * ours.seconds / batch),
                                   "%.2f" % (1e3 * theirs.seconds / batch) if peer else "-",
                                   "%.2f" % (1e3 * fast.seconds / batch) if fast else "-",
                                   percent(ours.spread) + (" / " + percent(theirs.spread) if peer else ""),
                                   "%.2f" % ours.spawned + (" / %.2f" % theirs.spawned if peer else ""),
                                   mebibytes(ours.peak) + (" / " + mebibytes(theirs.peak) if peer else "")])
            progress(" ".join(ratios[-1]) + "   ms " + " ".join(figures[-1][2:]))
            for contender in contenders:
                contender.close()
    return table(["net", "batch", "speed over ONNX Runtime", "share of the f32 peak", "bf16 over f32",
                  "memory over ONNX Runtime's", "largest difference"], ratios) + [""] + \
        table(["net", "batch", "ms an image", "ONNX Runtime", "bf16", "spread", "s from nothing to the first result",
               "MiB"], figures)


def measure_occlusion(bench):
    options, ratios, figures = bench.options, [], []
    for net in options.occluded:
        windows = bench.occlusion(net, "windows", "f32", bench.place("windows.npy"))
        positions = windows.ready["positions"]
        part = min(positions, 32)  # a position of the full path costs the same wherever it is
        full = bench.occlusion(net, "full", "f32", bench.place("full.npy"), part)
        contenders = [windows, full]
        fast = bench.occlusion(net, "windows", "bf16", bench.place("bf16.npy")) if bench.bf16() else None
        if fast:
            contenders.append(fast)
        duel(contenders, options.repeats)
        whole = full.seconds / (part + 1) * (positions + 1)
        a, b = (np.load(bench.place(f)).ravel() for f in ("windows.npy", "full.npy"))
        difference = np.abs(a - b)[:part].max() / np.abs(a - windows.ready["base"]).max()
        gain, ratio = whole / windows.seconds, windows.ready["ratio"]
        mark = bench.flag(net, *contenders)
        ratios.append([net, times(gain) + mark, times(ratio), percent(gain / ratio),
                       times(windows.seconds / fast.seconds) if fast else "-", "%.1e" % difference])
        weights = os.path.getsize(bench.model(net)) / 1024
        figures.append([net, str(positions), "%.0f" % (positions / windows.seconds),
                        "%.0f" % (positions / fast.seconds) if fast else "-", "%.0f" % (positions / whole),
                        percent(windows.spread), "%.2f" % (windows.ready["load"] + windows.ready["first"]),
                        "%.2f" % windows.seconds, mebibytes(windows.peak), mebibytes(windows.peak - weights)])
        progress(" ".join(ratios[-1]) + "   " + " ".join(figures[-1][1:]))
        for contender in contenders:
            contender.close()
    return table(["net", "windows over the full path", "what arithmetic allows", "share", "bf16 over f32",
                  "largest difference"], ratios) + [""] + \
        table(["net", "positions", "positions a second", "bf16", "full path", "spread",
               "first map, s, from reading the file", "warm map, s", "MiB", "beyond the weights"], figures)


def averaged(grid, base, size, count):
    """Captum's map from the scores of a grid: the falls, averaged over the patches that cover a pixel. Only the first
    `count` positions in its order, down the columns; not a number where none of them was."""
    total, covered = np.zeros((size, size)), np.zeros((size, size))
    for i in range(count):
        column, row = divmod(i, grid.shape[0])
        there = (slice(row * STRIDE, row * STRIDE + PATCH), slice(column * STRIDE, column * STRIDE + PATCH))
        total[there] += base - grid[row, column]
        covered[there] += 1
    with np.errstate(invalid="ignore"):
        return total / covered


def compare(bench, ready, theirs, count):
    """Largest difference over the largest change, and Spearman's rank correlation, of the two maps."""
    b = np.load(theirs)[0, 0].astype(np.float64)
    a = averaged(np.load(bench.place("windows.npy")).astype(np.float64), ready["base"], b.shape[0], count)
    cells = (slice(STRIDE // 2, None, STRIDE),) * 2  # between two strides a map is constant
    a, b = a[cells].ravel(), b[cells].ravel()
    seen = np.isfinite(a)
    rank = np.corrcoef(ranks(a[seen]), ranks(b[seen]))[0, 1]
    return np.abs(a - b)[seen].max() / np.abs(b[seen]).max(), rank


def seconds_of(contender, positions, **settings):
    """Seconds of one evaluation with these settings, of a few positions."""
    count = contender.change(positions=positions, **settings)["positions"]
    contender.turn(1)
    return min(contender.turn(1)[0] for _ in range(2)) / (count + 1)


def best_of_peer(contender):
    """Settings of the fastest way, in this process: of all, and with contiguous tensors."""
    tried = [(seconds_of(contender, max(16, n), perturbations=n), {"perturbations": n}) for n in (1, 4, 16, 32, 64)]
    tried.sort(key=lambda t: t[0])
    contiguous = tried[0][1]
    for _, settings in tried[:2]:
        other = dict(settings, layout="channels_last")
        tried.append((seconds_of(contender, max(16, other["perturbations"]), **other), other))
    return min(tried, key=lambda t: t[0])[1], contiguous


def measure_captum(bench):
    options, ratios, figures = bench.options, [], []
    for net in options.occluded:
        ours = bench.occlusion(net, "windows", "f32", bench.place("windows.npy"))
        fast = bench.occlusion(net, "windows", "bf16", bench.place("bf16.npy")) if bench.bf16() else None
        positions = ours.ready["positions"]
        # 1: the peer's best settings, by few positions
        plain = bench.captum(net, ours.ready["target"], bench.place("map.npy"), False)
        by_default = min((seconds_of(plain, 16, perturbations=n, folded=False), n) for n in (1, 4, 16))
        theirs = bench.captum(net, ours.ready["target"], bench.place("map.npy"), True)
        bench.versions["Captum"], bench.versions["PyTorch"] = theirs.ready["captum"], theirs.ready["torch"]
        best, contiguous = best_of_peer(theirs)
        # memory under the default malloc, which gives back what is free
        plain.change(folded=False, positions=contiguous["perturbations"], forget_peak=True, **contiguous)
        plain.turn(1)
        plain.close()
        # 2: the maps
        whole = theirs.change(positions=positions if positions <= 256 else 64, **best)["positions"]
        theirs.turn(1)
        theirs.change(save=True)
        difference, rank = compare(bench, ours.ready, bench.place("map.npy"), whole)
        agree = difference <= 1e-3 and rank >= 0.999
        if not agree:
            bench.notes.append("%s: the maps disagree (%.1e, rank correlation %.5f): no ratio" %
                               (net, difference, rank))
        # 3: time
        part = min(positions, 64)
        usual = Variant(theirs, dict(contiguous, folded=False, positions=part))
        strong = Variant(theirs, dict(best, positions=part))
        contenders = [ours, usual, strong] + ([fast] if fast else [])
        if agree:
            duel(contenders, options.repeats)
            add_captum_rows(bench, net, ratios, figures, ours, fast, usual, strong, plain.peak, part, positions,
                            by_default, difference, rank)
            progress(" ".join(ratios[-1]) + "   " + " ".join(figures[-1][1:]))
        for contender in contenders + [theirs]:
            contender.close()
    return table(["net", "over Captum", "aim", "over Captum at its strongest", "bf16 over Captum", "bf16 over f32",
                  "over Captum, default malloc", "first map over Captum's warm one", "memory beyond the weights",
                  "largest difference", "rank correlation"], ratios) + [""] + \
        table(["net", "ms a position", "bf16", "Captum (perturbations a pass)",
               "at its strongest (perturbations, layout)",
               "default malloc (perturbations)", "spread", "Captum's CPU per wall", "MiB", "beyond the weights"],
              figures)


def add_captum_rows(bench, net, ratios, figures, ours, fast, usual, strong, peak, part, positions, by_default,
                    difference, rank):
    own, first = (t / (positions + 1) for t in (ours.seconds, ours.ready["load"] + ours.ready["first"]))
    quick = fast.seconds / (positions + 1) if fast else None
    theirs, strongest = usual.seconds / (part + 1), strong.seconds / (part + 1)
    weights = os.path.getsize(bench.model(net)) / 1024
    beyond = ours.peak - weights, peak - weights
    ratios.append([net, times(theirs / own) + bench.flag(net, ours, usual, strong), "%.1f" % AIM[net],
                   times(strongest / own), times(theirs / quick) if fast else "-", times(own / quick) if fast else "-",
                   times(by_default[0] / own), times(theirs / first), times(beyond[0] / beyond[1]),
                   "%.0e" % difference, "%.5f" % rank])
    figures.append([net, "%.2f" % (1e3 * own), "%.2f" % (1e3 * quick) if fast else "-",
                    "%.2f (%d)" % (1e3 * theirs, usual.settings["perturbations"]),
                    "%.2f (%d, %s)" % (1e3 * strongest, strong.settings["perturbations"],
                                       strong.settings.get("layout", "contiguous").replace("_", "-")),
                    "%.2f (%d)" % (1e3 * by_default[0], by_default[1]),
                    " / ".join(percent(c.spread) for c in (ours, usual, strong)), "%.2f" % usual.busy,
                    mebibytes(ours.peak) + " / " + mebibytes(peak), " / ".join(mebibytes(b) for b in beyond)])


TABLES = {
    "own": {"forward": measure_forward, "occlusion": measure_occlusion, **methods.OWN},
    "peers": dict({"captum": measure_captum}, **methods.PEERS),
}


# ---- the page --------------------------------------------------------------------------------------------------------

def caption(bench, command):
    options = bench.options
    first, last = bench.peaks[0], bench.peaks[-1]
    key = "_cpu" if options.clock == "cpu" else ""
    peaks = "peak %.0f GF/s at the start, %.0f at the end" % (first["f32" + key], last["f32" + key])
    if first["bf16" + key]:
        peaks += " (bf16 %.0f, %.0f)" % (first["bf16" + key], last["bf16" + key])
    versions = ", ".join("%s %s" % item for item in sorted(bench.versions.items()))
    lines = ["`%s`: %d thread%s, %s, median of %d; %s; %s." %
             (command, options.threads, "" if options.threads == 1 else "s",
              "CPU time" if options.clock == "cpu" else "wall time", options.repeats, versions, peaks)]
    if first["bf16" + key] and not bench.bf16():
        lines += ["", "This CPU multiplies bfloat16 more slowly than float32: not timed."]
    if options.clock == "cpu":
        lines += ["", "**Preliminary:** CPU seconds of single threads, taken on a busy machine. Ratios only."]
    if abs(bench.drift()) > DRIFT:
        lines += ["", "**The peak moved by %+.0f %% during this run: to be repeated.**" % (100 * bench.drift())]
    return lines + [""]


def write_page(name, lines):
    begin, end = "<!-- bench:%s -->" % name, "<!-- /bench:%s -->" % name
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(page):
        raise SystemExit("%s: no '%s'" % (PAGE, begin))
    page = pattern.sub(lambda _: "\n".join([begin] + lines + [end]), page)
    with open(PAGE + ".part", "w", encoding="utf-8") as f:
        f.write(page)
    os.replace(PAGE + ".part", PAGE)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=sorted(TABLES))
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--models", default=os.environ.get("PENUMBRA_MODELS"),
                        help="default: $PENUMBRA_MODELS, or BUILD/models")
    parser.add_argument("--python", default=None, help="of the peers; default: what setup_peers.sh made, or this one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--patience", type=int, default=4, help="times a disturbed turn is tried")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="NET")
    parser.add_argument("--tables", nargs="+", metavar="NAME", help="default: all; see docs/performance.md")
    parser.add_argument("--print", action="store_true", help="to standard output instead of the page")
    options = parser.parse_args()
    options.models = options.models or os.path.join(options.build, "models")
    own = os.path.join(options.build, "peers", "bin", "python")
    options.python = options.python or (own if os.path.exists(own) else sys.executable)
    options.repeats = options.repeats or (3 if options.quick else 5)
    options.occluded = [n for n in OCCLUDED if not options.only or n in options.only]
    nets = OCCLUDED if options.quick else NETS
    options.nets = options.only or nets
    os.makedirs(options.models, exist_ok=True)
    return options


def main():
    options = parse()
    command = "make bench" if options.what == "own" else "make bench-peers"
    if sys.argv[2:] and (options.quick or options.clock == "cpu" or options.threads != 2):
        command = "bench/bench.py %s --threads %d --clock %s --repeats %d" % (options.what, options.threads,
                                                                             options.clock, options.repeats)
    for name, measure in TABLES[options.what].items():
        if options.tables and name not in options.tables:
            continue
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(options, folder)
            bench.peak()
            lines = measure(bench)
            bench.peak()
        lines = caption(bench, command) + lines
        for note in bench.notes:
            lines += ["", note + "."]
        if options.print:
            print("\n".join(lines))
        else:
            write_page(name, lines)


if __name__ == "__main__":
    main()
