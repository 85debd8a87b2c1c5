#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Judge every method by every metric, and write docs/evidence.md: on radiographs of penumbra phantom, whose truth is
known, by the built-in model, and on the real models and pictures of PENUMBRA_DATA.

usage: evidence.py [--build DIR] [--work DIR] [--images N] [--slow N] [--kept N] [--again N] [--refine N] [--healthy N]
                   [--real N] [--evals N] [--methods A,B] [--steps A,B] [--threads N] [--jobs N] [--out FILE]

--images   radiographs with one finding each, an equal number of every finding; those the model finds are judged
--slow     so many of them for the methods that take seconds a picture
--kept     radiographs with a local finding, for the region that meaningful perturbation keeps
--again    so many of them for the metrics that make each map again and again
--refine   so many of them, and of the real pictures of each model, for the refinement of maps
--healthy  radiographs without finding, for the artifact rates
--real     pictures for each real model
--evals    evaluations a method may take on the real models' pictures
--methods  these only; occlusion, lime, ig and meaningful must be among them
--steps    these only, of kept, radiographs, fills, claim, real and refinement; the page has these alone
--threads  of the program; one is best on a machine that has other things to do
--jobs     processes at once, each on its share of the pictures: faster than as many threads

All that is computed is kept in the work folder, and the same command goes on from there.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import time
from multiprocessing.pool import ThreadPool

import numpy as np
from PIL import Image
from scipy import stats

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
MODEL = os.path.join(ROOT, "share/penumbra/phantom.onnx")
FINDINGS = ("nodule", "consolidation", "effusion", "cardiomegaly", "pneumothorax")
LOCAL = ("nodule", "consolidation", "effusion")
FIRST_SEED = 3000000  # seen neither in training nor when the model was judged
QUICK = "region,topk,deletion,insertion,pointing,mass,infidelity"
ON_REAL = "region,deletion,insertion"
AGAIN = "sensitivity,randomisation,stability"
SLOW = ("rise", "kernelshap", "extremal")
SHORTER = {  # than the defaults, which take hours: over many pictures the means hardly gain by more draws of each
    "region": ("region.draws=2",), "topk": ("topk.draws=2",), "deletion": ("deletion.steps=25",),
    "insertion": ("insertion.steps=25",), "infidelity": ("infidelity.samples=300",),
    "sensitivity": ("sensitivity.samples=10",), "stability": ("stability.seeds=3",),
    "extremal": ("extremal.areas=0.05", "extremal.iterations=400"),
}
REFINED = ("occlusion", "lime", "rise", "kernelshap", "gradient", "ig", "smoothgrad", "gradcam")
FILLS = ("black", "white", "mean", "blur", "noise", "mirror", "inpaint")
REAL = (  # model, pictures, methods that it does not allow
    ("cxr_pneumonia_cnn150", ["xray/pneumonia_person1405_bacteria_3571.jpeg", "xray/pneumonia_person724_virus_1343.jpeg",
                              "xray/pneumonia_person1816_bacteria_4674.jpeg", "xray/normal_IM-0431-0001.jpeg"], ()),
    ("mobilenet_v2_224", ["photos/dog.png", "photos/hot_dog.jpg", "photos/chelsea.png", "photos/coffee.png"], ()),
    ("mobilenet_v1_0.5_160", ["photos/dog.png", "photos/coffee.png", "photos/hot_dog.jpg", "photos/chelsea.png"], ()),
    ("squeezenet_v1.0", ["photos/hot_dog.jpg", "photos/dog.png", "photos/coffee.png", "photos/chelsea.png"], ()),
    ("resnet20_cifar10_bn", ["photos/bird.png", "photos/dog.png", "photos/chelsea.png", "photos/owl.jpg"], ()),
    ("mnist_cnn_opset11", ["digits/zero_test0001.png", "digits/one_test0000.png", "digits/zero_test0003.png",
                           "digits/one_test0002.png"], ()),
    ("vit_mnist", ["digits/nine.png", "digits/zero_test0001.png", "digits/one_test0000.png", "digits/zero_test0003.png"],
     ("deconvnet", "guided-backprop", "gradcam")),
)


def shorter(metrics, methods):
    return [w for n in metrics.split(",") + list(methods) for setting in SHORTER.get(n, ()) for w in ("--with", setting)]


class Run:
    """The program, and where it works."""

    def __init__(self, arguments):
        self.program = os.path.join(arguments.build, "src/cli/penumbra")
        self.work = arguments.work
        self.pool = ThreadPool(arguments.jobs)
        self.jobs = arguments.jobs
        self.threads = ["--threads", str(arguments.threads)] if arguments.threads else []
        os.makedirs(self.work, exist_ok=True)

    def path(self, *parts):
        return os.path.join(self.work, *parts)

    def call(self, *words):
        words = [str(w) for w in words] + (self.threads if words[0] in ("explain", "evaluate", "predict") else [])
        done = subprocess.run([self.program] + words, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError("penumbra %s: %s" % (" ".join(words), done.stderr.strip()[-600:]))
        return done.stdout

    def evaluate(self, out, model, images, *words):
        """metrics.json of an evaluation, which goes on where it stopped."""
        words = ("-o", self.path(out), "--json", "-q") + words
        if self.jobs > 1 and len(images) >= 2 * self.jobs:  # the pictures' results, which the call below gathers
            self.pool.map(lambda i: self.call("evaluate", model, *images[i::self.jobs], *words), range(self.jobs))
        return json.loads(self.call("evaluate", model, *images, *words))

    def explain(self, out, model, image, *words):
        """result.json of an explanation and its folder; what is there is taken."""
        folder = self.path(out, os.path.splitext(os.path.basename(image))[0])
        if not os.path.exists(os.path.join(folder, "result.json")):
            self.call("explain", model, image, "-o", self.path(out), "--no-report", "-q", *words)
        with open(os.path.join(folder, "result.json"), encoding="utf-8") as file:
            return json.load(file), folder

    def records(self, out):
        """What was measured on each picture: {stem: record}."""
        found = {}
        for stem in sorted(os.listdir(self.path(out))):
            path = self.path(out, stem, "result.json")
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    found[stem] = json.load(file)
        return found


# ---- figures ---------------------------------------------------------------------------------------------------------

def interval(values):
    """Mean and 95 % t-interval."""
    v = np.array([x for x in values if x is not None and math.isfinite(x)], float)
    if len(v) == 0:
        return None
    half = stats.t.ppf(0.975, len(v) - 1) * v.std(ddof=1) / math.sqrt(len(v)) if len(v) > 1 else None
    return v.mean(), half, len(v)


def show(of, digits=3):
    if of is None or of[0] is None:
        return "–"
    mean, half = of[0], of[1]
    return "%.*f" % (digits, mean) + ("" if half is None else " ± %.*f" % (digits, half))


def value_of(subject, name):
    """(mean, half the interval, n) of a summary's value."""
    of = ((subject or {}).get("values") or {}).get(name) or {}
    if of.get("mean") is None:
        return None
    half = None if of.get("lo") is None else (of["hi"] - of["lo"]) / 2
    return of["mean"], half, of.get("n")


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def methods_of(run):
    return [m["name"] for m in json.loads(run.call("methods", "--json"))]


# ---- radiographs -----------------------------------------------------------------------------------------------------

def draw(run, finding, count, first):
    """Paths of so many radiographs with one finding, or with none."""
    folder = run.path("phantoms", finding)
    paths = [os.path.join(folder, str(first + i), "phantom.png") for i in range(count)]
    missing = [i for i, p in enumerate(paths) if not os.path.exists(p)]
    if missing:
        run.call("phantom", "--seed", first + missing[0], "--count", count - missing[0], "--finding", finding, "-o", folder,
                 "--overwrite", "-q")
    return paths


def predictions(run, paths):
    return {p["image"]: p["scores"] for p in json.loads(run.call("predict", MODEL, *paths, "--json"))}


def found_by_model(run, finding, paths):
    """Those on which the finding is the top class, above one half."""
    kept = []
    scores = predictions(run, paths)
    for path in paths:
        best = max(scores[path], key=lambda s: s["score"])
        if best["label"] == finding and best["score"] >= 0.5:
            kept.append(path)
    return kept


def name_of(path):
    return os.path.basename(os.path.dirname(path))


def mask_of(path, finding, side):
    mask = Image.open(os.path.join(os.path.dirname(path), "mask_%s.png" % finding))
    return np.asarray(mask.convert("L").resize((side, side), Image.BOX), float) >= 128


# ---- sections --------------------------------------------------------------------------------------------------------

COLUMNS = (
    ("Faithfulness", (("AOPC above random", "region", "difference"), ("ABPC", "region", "abpc"),
                      ("top-k above random", "topk", "difference"), ("deletion ↓", "deletion", "auc"),
                      ("insertion ↑", "insertion", "auc"), ("infidelity, scaled ↓", "infidelity", "infidelity_scaled"))),
    ("Truth", (("pointing hit", "pointing", "hit"), ("mass in truth", "mass", "mass"),
               ("enrichment", "mass", "enrichment"), ("IoU at equal area", "mass", "iou"))),
    ("Made again", (("sensitivity ↓", "sensitivity", "sensitivity"),
                    ("similarity, weights replaced ↓", "randomisation", "similarity"),
                    ("rank correlation over seeds", "stability", "spearman"))),
)


def of(summaries, metric, method, name):
    """From the first of the summaries that has it."""
    for summary in summaries:
        found = value_of(summary["metrics"].get(metric, {}).get("subjects", {}).get(method), name)
        if found:
            return found
    return None


def method_tables(summaries, methods, out):
    first = {m: of(summaries, "region", m, "difference") for m in methods}
    order = sorted(methods, key=lambda m: -(first[m][0] if first[m] else -9))
    for title, columns in COLUMNS:
        rows = []
        for m in order:
            figures = [of(summaries, metric, m, name) for _, metric, name in columns]
            rows.append([m, str(max([f[2] for f in figures if f] or [0]))] + [show(f) for f in figures])
            if title == "Faithfulness":
                summary = next(s for s in summaries if m in s["explained"])
                rows[-1].append("%.0f" % (summary["explained"][m]["evaluations"] / max(1, len(summary["images"]))))
        head = ["method", "n"] + [c[0] for c in columns] + (["passes"] if title == "Faithfulness" else [])
        out.append("**%s**\n\n%s" % (title, table(head, rows)))
    ranks = [r for r in summaries[0]["metrics"]["region"]["ranking"] if r.get("rank") is not None]
    if ranks:
        out.append("By AOPC of the map's order, methods whose paired interval with the first of a rank includes 0 share it: "
                   + ", ".join("%d %s" % (r["rank"], r["subject"]) for r in ranks) + ".\n")


def on_phantoms(run, arguments, found, methods, out):
    paths = [p for f in FINDINGS for p in found[f]]
    truth = ("--truth", "{dir}/mask_{label}.png")
    quick_methods, slow_methods = ([m for m in methods if (m in SLOW) == slow] for slow in (False, True))
    summaries = [run.evaluate("quick", MODEL, paths, "--metric", QUICK, "-m", ",".join(quick_methods), *truth,
                              *shorter(QUICK, quick_methods))]
    few = [p for i in range(arguments.slow) for f in FINDINGS for p in found[f][i:i + 1]][:arguments.slow]
    if slow_methods:
        summaries.append(run.evaluate("slow", MODEL, few, "--metric", QUICK, "-m", ",".join(slow_methods), *truth,
                                      *shorter(QUICK, slow_methods)))
    some = [p for i in range(arguments.again) for f in FINDINGS for p in found[f][i:i + 1]][:arguments.again]
    cheap = [m for m in methods if m not in SLOW]
    summaries.append(run.evaluate("again", MODEL, some, "--metric", AGAIN, "-m", ",".join(cheap), *shorter(AGAIN, cheap)))
    asked = len(FINDINGS) * (arguments.images // len(FINDINGS))
    out.append("## Radiographs with known truth\n\n%d radiographs with one finding each were drawn (seeds from %d); on %d of "
               "them the model has the finding on top and above one half (%s). Means over these with 95 %% intervals; n says "
               "how many of them were measured: fewer for methods that take seconds a picture, and for the metrics that make "
               "every map again and again. Settings are the defaults, but for %s.\n"
               % (asked, FIRST_SEED, len(paths), ", ".join("%s %d" % (f, len(found[f])) for f in FINDINGS),
                  ", ".join(s for n in SHORTER.values() for s in n)))
    method_tables(summaries, methods, out)


def on_real(run, arguments, methods, out):
    data = os.environ.get("PENUMBRA_DATA", os.path.join(ROOT, "../shared/data"))
    if not os.path.isdir(data):
        out.append("## Real models\n\nNot measured: PENUMBRA_DATA is not there.\n")
        return {}
    columns, allowed = {}, {}
    for model, pictures, without in REAL:
        names = [m for m in methods if m not in without]
        paths = [os.path.join(data, "images", p) for p in pictures[:arguments.real]]
        onnx = os.path.join(data, "models", model + ".onnx")
        columns[model] = run.evaluate("real-" + model, onnx, paths, "-m", ",".join(names), "--evals", arguments.evals,
                                      "--metric", ON_REAL, *shorter(ON_REAL, names))
        allowed[model] = (onnx, paths)
    out.append("## Real models\n\nThe models and pictures of the test data, top class, %d pictures each, every method with at "
               "most %d evaluations. No truth is known; what can be measured is how the score follows the map.\n"
               % (arguments.real, arguments.evals))
    for title, metric, name in (("AOPC above random", "region", "difference"), ("Insertion less deletion", None, None)):
        rows = []
        for m in methods:
            row = [m]
            for model, _, _ in REAL:
                subjects = {k: v["subjects"].get(m) for k, v in columns[model]["metrics"].items()}
                if metric:
                    row.append(show(value_of(subjects[metric], name), 2))
                else:
                    pair = [value_of(subjects[k], "auc") for k in ("insertion", "deletion")]
                    row.append("%.2f" % (pair[0][0] - pair[1][0]) if all(pair) else "–")
            rows.append(row)
        out.append("**%s**\n\n%s" % (title, table(["method"] + [r[0] for r in REAL], rows)))
    return allowed


def subjects_in(run, out):
    with open(run.path(out, "manifest.json"), encoding="utf-8") as file:
        return list(json.load(file)["settings"]["subjects"])


def stem_of(records, path):
    for stem, record in records.items():
        if os.path.abspath(record["image"]["path"]) == os.path.abspath(path):
            return stem
    return None


def holding_fill(run, model, path, index, init, out):
    """(fill, share of the score that the picture filled with it holds): blur, unless nothing need be kept of it for 0.9 of
    the score; then the fill that leaves least of the score."""
    shares = {}
    for fill in ("blur", "mean", "black", "white", "noise"):
        game = run.explain("%s-%s" % (out, fill), model, path, "-m", "meaningful", "-t", index, "--init", init, "--iterations", 0,
                           "--fill", fill)[0]["method"]["games"][0]
        shares[fill] = game["score_full_fill"] / game["score"] if game["score"] else math.inf
        if fill == "blur" and shares[fill] < 0.9:
            break
    fill = min(shares, key=shares.get)
    return fill, shares[fill]


def refinement(run, arguments, paths, real, out):
    """The maps of the evaluations, as they are and refined by the optimisation: area needed for 0.9 of the score."""
    sets = [("phantom", MODEL, paths[:arguments.refine], "quick")] if paths else []
    sets += [(m, onnx, pictures[:arguments.refine], "real-" + m) for m, (onnx, pictures) in real.items()]
    rows, kept, won, fills, silent = [], [], {}, {}, 0
    pairs = smaller = same = masks = 0
    for name, model, pictures, folder in sets:
        records, order = run.records(folder), subjects_in(run, folder)
        for method in [m for m in REFINED if m in order]:

            def refined(path):
                stem = stem_of(records, path)
                init = run.path(folder, stem, "%d-%s.npy" % (order.index(method) + 1, method)) if stem else ""
                if not os.path.exists(init):
                    return None
                index = records[stem]["target"]["index"]
                tag = name_of(path) if name == "phantom" else os.path.basename(path).split(".")[0]
                fill, share = holding_fill(run, model, path, index, init, "refine/%s-%s-%s" % (name, method, tag))
                result = run.explain("refine/%s-%s-%s-refined" % (name, method, tag), model, path, "-m", "meaningful", "-t",
                                     index, "--init", init, "--game", "preserve", "--fill", fill)[0]
                return stem, fill, share, result["method"]["games"][0]["refined"]

            before, after, areas = [], [], [0, 0, 0]
            for stem, fill, share, r in [f for f in run.pool.map(refined, pictures) if f]:
                if share >= 0.9:  # whatever is kept
                    silent += 1
                    continue
                if fill != "blur":
                    fills.setdefault(name, set()).add(fill)
                a, b = (r[k] if r[k] is not None else math.inf for k in ("before_px", "after_px"))
                mask = r["candidates_px"]["mask"]
                areas[0] += b < a
                areas[1] += b == a
                areas[2] += b > a
                masks += mask is not None and mask <= a
                won[r["by"]] = won.get(r["by"], 0) + 1
                if b >= a:
                    kept.append("%s, %s, %s: %s px" % (name, method, stem, a))
                before.append(a)
                after.append(b)
            pairs += sum(areas)
            smaller += areas[0]
            same += areas[1]
            if before:
                rows.append([name, method, str(len(before)), "%.0f" % np.median(before), "%.0f" % np.median(after),
                             "%.2f" % np.median([b / a for a, b in zip(before, after)]), str(areas[0]), str(areas[1])])
    of = 100.0 / max(1, pairs)
    out.append("## Refining maps\n\nEach map was the start of meaningful perturbation (`-m meaningful --game preserve --init "
               "MAP.npy`). What counts is the smallest region, taken from the top of a map, that alone holds 0.9 of the score: "
               "its area in px on the model's grid by the map itself, and by what the refinement wrote. In %d of %d pairs of "
               "method and picture (%.0f %%) it is at most as large. That much is by construction, for where nothing smaller is "
               "found the map is kept as it was. **Smaller it is in %d of %d (%.0f %%).** The optimised mask by itself would "
               "have needed at most as much as the map in %d (%.0f %%). Written was: %s.\n"
               % (smaller + same, pairs, of * (smaller + same), smaller, pairs, of * smaller, masks, of * masks,
                  ", ".join("%s %d" % w for w in sorted(won.items(), key=lambda w: -w[1]))))
    out.append(table(["model", "method", "pairs", "before, median px", "after, median px", "after/before, median", "smaller",
                      "no smaller"], rows))
    if fills:
        out.append("Where the blurred picture alone holds 0.9 of the score, every region suffices. There the fill was the one that "
                   "leaves least of the score: %s. %d more pairs, in which every fill leaves 0.9, are not counted.\n"
                   % ("; ".join("%s %s" % (n, ", ".join(sorted(f))) for n, f in sorted(fills.items())), silent))
    out.append("No smaller: %s.\n" % ("; ".join(kept) if kept else "none"))


def preserved_region(run, arguments, out):
    """The region that the preservation game keeps, against the top of occlusion's map of the same area."""
    found = {f: found_by_model(run, f, draw(run, f, -(-arguments.kept // len(LOCAL)), FIRST_SEED + 10000 * FINDINGS.index(f)))
             for f in LOCAL}
    run.evaluate("kept", MODEL, [p for f in LOCAL for p in found[f]], "-m", "occlusion,meaningful", "--metric",
                 "pointing,mass", "--truth", "{dir}/mask_{label}.png")
    records = run.records("kept")
    everything, by = [], []

    def measure(path):
        stem, finding = stem_of(records, path), os.path.basename(os.path.dirname(os.path.dirname(path)))
        _, folder = run.explain("preserve/%s" % name_of(path), MODEL, path, "-m", "meaningful", "--game", "preserve", "-t",
                                finding)
        kept = np.load(os.path.join(folder, "map.npy")) >= 0.5
        result, folder = run.explain("refined/%s" % name_of(path), MODEL, path, "-m", "meaningful", "--game", "preserve",
                                     "--init", run.path("kept", stem, "1-occlusion.npy"), "-t", finding)
        refined = np.load(os.path.join(folder, "region.npy")) > 0
        by.append(result["method"]["games"][0]["refined"]["by"])
        truth = mask_of(path, finding, kept.shape[0])
        order = np.argsort(-np.load(run.path("kept", stem, "1-occlusion.npy")).ravel(), kind="stable")

        def overlaps(region):  # with the truth: its own, and that of as much of occlusion's map
            top = np.zeros(order.size, bool)
            top[order[:int(region.sum())]] = True
            pair = [(r & truth).sum() / (r | truth).sum() for r in (region, top.reshape(region.shape))]
            return pair + [pair[0] - pair[1], region.mean(), truth.mean()]

        hits = [records[stem]["metrics"]["pointing"][m]["values"]["hit"] for m in ("meaningful", "occlusion")]
        return hits, overlaps(kept), overlaps(refined)

    tables = [[], []]
    for finding in LOCAL:
        measured = run.pool.map(measure, found[finding])
        everything += measured
        for k in (0, 1):
            tables[k].append([finding, measured])
    heads = (["finding", "radiographs", "pointing hit", "of occlusion", "IoU, kept region"],
             ["finding", "radiographs", "IoU, refined region"])
    texts = []
    for k in (0, 1):
        rows = [[name, str(len(of))] + [show(interval(column)) for column in
                                        zip(*[(m[0] if k == 0 else []) + m[1 + k] for m in of])]
                for name, of in tables[k] + [["all", everything]]]
        texts.append(table(heads[k] + ["IoU, occlusion at equal area", "difference", "area kept", "area of the truth"], rows))
    out.append("## The region that meaningful perturbation keeps\n\nPointing: the strongest point of the deletion game's map "
               "lies in the truth or at most 15 px beside it; beside it, occlusion's. Overlap (intersection over union with "
               "the truth mask): the region that the preservation game keeps (mask at least one half), and as many pixels "
               "from the top of occlusion's map. Areas are shares of the picture.\n\n%s" % texts[0])
    out.append("The same of the smallest sufficient region after occlusion's map was refined (`-m meaningful --game preserve "
               "--init MAP.npy`). What was written: %s.\n\n%s"
               % (", ".join("%s %d" % (b, by.count(b)) for b in sorted(set(by), key=lambda b: -by.count(b))), texts[1]))


def fills_compared(run, arguments, found, out):
    healthy = draw(run, "none", arguments.healthy, FIRST_SEED + 10000 * len(FINDINGS))
    fills = ",".join(FILLS)
    artifact = run.evaluate("artifact", MODEL, healthy, "--metric", "artifact", "--fill", fills)["metrics"]["artifact"]
    paths = [p for f in FINDINGS for p in found[f]]
    cover = run.evaluate("cover", MODEL, paths, "--metric", "cover", "--fill", fills, "--truth",
                         "{dir}/mask_{label}.png")["metrics"]["cover"]
    rows, rates, drops = [], {}, {}
    for fill in FILLS:
        rate, rise = (value_of(artifact["subjects"][fill], n) for n in ("rate", "rise"))
        drop, share = (value_of(cover["subjects"][fill], n) for n in ("drop", "share"))
        rates[fill], drops[fill] = rate[0] if rate else None, drop[0] if drop else None
        counts = artifact["subjects"][fill].get("counts") or {}
        rows.append([fill, show(rate, 4), show(rise, 4), max(counts, key=counts.get) if counts else "–", show(drop),
                     show(share)])
    black = rates["black"]
    out.append("## Fills\n\nLeft: a patch of 32 px slides over %d healthy radiographs (those that the model calls normal); the "
               "share of positions at which the model then sees a finding, how far the highest one rises, and which it is "
               "most often. Right: the truth mask of %d findings is covered; how far their score falls.\n\n%s"
               % (len(healthy), len(paths),
                  table(["fill", "artifact rate", "rise", "mostly", "drop of the score", "share of the score"], rows)))
    if not black:
        out.append("The black patch's rate is 0: there is nothing that another fill could improve on.\n")
        return
    enough = [f for f in FILLS if f != "black" and drops[f] is not None and drops[f] >= drops["black"] / 2]
    best = min(enough, key=lambda f: rates[f]) if enough else None
    if best:
        out.append("Of the fills that lower the score at least half as much as black does, %s has the lowest artifact rate: "
                   "%.4f, %.2f of black's %.4f (the aim: at most 0.2 of it, black's being at least 0.03).\n"
                   % (best, rates[best], rates[best] / black, black))
    else:
        out.append("No fill lowers the score at least half as much as black does.\n")


def claim(run, arguments, paths, out):
    """Are artifacts mostly overcome by integrated gradients and meaningful perturbation?"""
    old, new = ("occlusion", "lime"), ("ig", "meaningful")
    records = run.records("quick")
    lines, won, tested = [], 0, 0
    for title, metric, name in (("positive mass in the truth", "mass", "mass"), ("pointing hit", "pointing", "hit"),
                                ("AOPC above random", "region", "difference")):
        for n in new:
            for o in old:
                d = interval([a - b for a, b in ((r["metrics"][metric][n]["values"].get(name),
                                                  r["metrics"][metric][o]["values"].get(name)) for r in records.values())
                              if a is not None and b is not None])
                tested += 1
                better = d is not None and d[1] is not None and d[0] - d[1] > 0
                worse = d is not None and d[1] is not None and d[0] + d[1] < 0
                won += better
                lines.append([title, "%s − %s" % (n, o), show(d),
                              "better" if better else "worse" if worse else "no difference shown"])
    stable = []
    few = paths[:max(2, arguments.again)]
    for m in old + new:
        values = []
        for path in few:
            trust = run.explain("fills/%s-%s" % (m, name_of(path)), MODEL, path, "-m", m, "--fill", "black,mean,blur")[0]["trust"]
            values.append((trust["stability"], trust["artifact_share"]))
        stable.append([m] + [show(interval([v for v in column if isinstance(v, float)])) for column in zip(*values)])
    verdict = ("holds here" if won == tested else "holds here in part" if won > tested / 2 else "is not borne out here")
    out.append("## Are artifacts overcome?\n\nThe article says that the drawbacks of artifacts are mostly overcome by integrated "
               "gradients and meaningful perturbation. If so, these two should place their evidence in the truth where "
               "occlusion and LIME, whose patches and holes look like findings, place some of it elsewhere. Paired differences "
               "over %d radiographs: in %d of %d the newer method is better; the claim %s.\n\n%s"
               % (len(records), won, tested, verdict, table(["figure", "methods", "difference", ""], lines)))
    out.append("How much a map owes to the fill: mean rank correlation between the maps made with black, mean and blur, and the "
               "share of a run's own perturbed pictures in which another finding rose over its threshold, over %d "
               "radiographs.\n\n%s" % (len(few), table(["method", "stability over fills", "artifact share"], stable)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--work", default=None)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--slow", type=int, default=50)
    parser.add_argument("--kept", type=int, default=120)
    parser.add_argument("--again", type=int, default=10)
    parser.add_argument("--refine", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--healthy", type=int, default=50)
    parser.add_argument("--real", type=int, default=4)
    parser.add_argument("--evals", type=int, default=1000)
    parser.add_argument("--methods", default=None)
    parser.add_argument("--steps", default="kept,radiographs,fills,claim,real,refinement")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", default=os.path.join(ROOT, "docs/evidence.md"))
    arguments = parser.parse_args()
    arguments.work = arguments.work or os.path.join(arguments.build, "evidence")
    run = Run(arguments)
    methods = arguments.methods.split(",") if arguments.methods else methods_of(run)
    if not {"occlusion", "lime", "ig", "meaningful"} <= set(methods):
        parser.error("--methods: occlusion, lime, ig and meaningful must be among them")
    steps = arguments.steps.split(",")
    count = max(1, arguments.images // len(FINDINGS))
    found = {}
    for i, finding in enumerate(FINDINGS if {"radiographs", "fills", "claim"} & set(steps) else ()):
        found[finding] = found_by_model(run, finding, draw(run, finding, count, FIRST_SEED + 10000 * i))
        print("%s: %d of %d found" % (finding, len(found[finding]), count), file=sys.stderr, flush=True)
    out = ["# Evidence\n\nWhat the methods' maps are worth, measured. Made by\n\n    make evidence FLAGS=\"--images %d --slow %d "
           "--kept %d --again %d --refine %d --healthy %d --real %d --evals %d\"\n\nwith the built-in model `share/penumbra/phantom.onnx` on "
           "radiographs that `penumbra phantom` draws, and the models of the test data. Not for clinical use. ± is half of a "
           "95 %% interval over pictures; what was not measured reads –. The metrics are described in "
           "[how maps are judged](design/evaluation.md).\n"
           % (arguments.images, arguments.slow, arguments.kept, arguments.again, arguments.refine, arguments.healthy, arguments.real, arguments.evals)]
    paths = [p for f in FINDINGS for p in found.get(f, ())]
    real = {}
    does = {
        "kept": lambda: preserved_region(run, arguments, out),
        "radiographs": lambda: on_phantoms(run, arguments, found, methods, out),
        "fills": lambda: fills_compared(run, arguments, found, out),
        "claim": lambda: claim(run, arguments, paths, out),
        "real": lambda: real.update(on_real(run, arguments, methods, out)),
        "refinement": lambda: refinement(run, arguments, paths, real, out),
    }
    for name in does:
        if name in steps:
            before = time.time()
            does[name]()
            print("%s: %.0f s" % (name, time.time() - before), file=sys.stderr, flush=True)
    with open(arguments.out, "w", encoding="utf-8") as file:
        file.write("\n".join(out))
    print(arguments.out)


if __name__ == "__main__":
    main()
