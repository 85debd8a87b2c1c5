#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Judge every method by every metric, and write docs/evidence.md: on radiographs of penumbra phantom, whose truth is
known, by the built-in model, and on the real models and pictures of PENUMBRA_DATA.

usage: evidence.py [--build DIR] [--work DIR] [--images N] [--again N] [--refine N] [--healthy N] [--real N]
                   [--evals N] [--methods A,B] [--threads N] [--out FILE]

--images   radiographs with one finding each, an equal number of every finding; those the model finds are judged
--again    so many of them for the metrics that make each map again and again
--refine   so many of them, and of the real pictures of each model, for the refinement of maps
--healthy  radiographs without finding, for the artifact rates
--real     pictures for each real model
--evals    evaluations a method may take on the real models' pictures
--methods  these only; occlusion, lime, ig and meaningful must be among them
--threads  of the program; one is best on a machine that has other things to do

All that is computed is kept in the work folder, and the same command goes on from there.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import time

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
AGAIN = "sensitivity,randomisation,stability"
SHORTER = {"infidelity": ("infidelity.samples=300",), "sensitivity": ("sensitivity.samples=10",), "stability": ("stability.seeds=3",),
           "extremal": ("extremal.areas=0.05", "extremal.iterations=400")}  # than the defaults, which take hours
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


def shorter(*names):
    return [w for n in names for setting in SHORTER[n] for w in ("--with", setting)]


class Run:
    """The program, and where it works."""

    def __init__(self, arguments):
        self.program = os.path.join(arguments.build, "src/cli/penumbra")
        self.work = arguments.work
        self.seconds = 0.0
        self.threads = ["--threads", str(arguments.threads)] if arguments.threads else []
        os.makedirs(self.work, exist_ok=True)

    def path(self, *parts):
        return os.path.join(self.work, *parts)

    def call(self, *words):
        started = time.time()
        words = [str(w) for w in words] + (self.threads if words[0] in ("explain", "evaluate", "predict") else [])
        done = subprocess.run([self.program] + words, capture_output=True, text=True)
        self.seconds += time.time() - started
        if done.returncode != 0:
            raise RuntimeError("penumbra %s: %s" % (" ".join(words), done.stderr.strip()[-600:]))
        return done.stdout

    def evaluate(self, out, model, images, *words):
        """metrics.json of an evaluation, which goes on where it stopped."""
        text = self.call("evaluate", model, *images, "-o", self.path(out), "--json", "-q", *words)
        return json.loads(text)

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


def method_tables(summaries, methods, out):
    metrics = {}
    for summary in summaries:
        metrics.update(summary["metrics"])
    costs = summaries[0].get("explained", {})
    images = max(1, len(summaries[0]["images"]))
    first = {m: value_of(metrics["region"]["subjects"].get(m), "difference") for m in methods}
    order = sorted(methods, key=lambda m: -(first[m][0] if first[m] else -9))
    for title, columns in COLUMNS:
        columns = [c for c in columns if c[1] in metrics]
        if not columns:
            continue
        rows = []
        for m in order:
            row = [m]
            for _, metric, name in columns:
                row.append(show(value_of(metrics[metric]["subjects"].get(m), name)))
            if title == "Faithfulness":
                cost = costs.get(m, {})
                row += ["%.0f" % (cost.get("evaluations", 0) / images), "%.2f" % (cost.get("seconds", 0) / images)]
            rows.append(row)
        head = ["method"] + [c[0] for c in columns] + (["passes", "s"] if title == "Faithfulness" else [])
        out.append("**%s**\n\n%s" % (title, table(head, rows)))
    ranks = [r for r in metrics["region"]["ranking"] if r.get("rank") is not None]
    if ranks:
        out.append("By AOPC of the map's order, methods whose paired interval with the first of a rank includes 0 share it: "
                   + ", ".join("%d %s" % (r["rank"], r["subject"]) for r in ranks) + ".\n")


def on_phantoms(run, arguments, found, methods, out):
    paths = [p for f in FINDINGS for p in found[f]]
    words = ["-m", ",".join(methods), "--truth", "{dir}/mask_{label}.png"]
    quick = run.evaluate("quick", MODEL, paths, "--metric", QUICK, *words,
                         *shorter("infidelity", *(m for m in methods if m in SHORTER)))
    some = [p for i in range(arguments.again) for f in FINDINGS for p in found[f][i:i + 1]][:arguments.again]
    cheap = [m for m in methods if m not in ("extremal",)]
    again = run.evaluate("again", MODEL, some, "--metric", AGAIN, "-m", ",".join(cheap),
                         *shorter("sensitivity", "stability"))
    asked = len(FINDINGS) * (arguments.images // len(FINDINGS))
    out.append("## Radiographs with known truth\n\n%d radiographs with one finding each were drawn (seeds from %d); on %d of "
               "them the model has the finding on top and above one half (%s). Means over these with 95 %% intervals; the "
               "last table is of %d of them, for each method but extremal. Settings are the defaults, but for %s.\n"
               % (asked, FIRST_SEED, len(paths), ", ".join("%s %d" % (f, len(found[f])) for f in FINDINGS),
                                        len(some), ", ".join(s for n in SHORTER.values() for s in n)))
    method_tables([quick, again], methods, out)
    return quick, paths


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
                                      "--metric", "region,deletion,insertion",
                                      *shorter(*(m for m in names if m in SHORTER)))
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


def area_of(run, model, path, index, init, game, iterations, out):
    """Area of the smallest region that holds 0.9 of the score, px, by a map or by its refinement; None: there is none."""
    words = ["-m", "meaningful", "-t", index, "--init", init, "--game", game, "-o", run.path(out), "--no-report", "-q"]
    if iterations is not None:
        words += ["--iterations", iterations]
    run.call("explain", model, path, *words)
    stem = os.path.splitext(os.path.basename(path))[0]
    with open(run.path(out, stem, "result.json"), encoding="utf-8") as file:
        region = json.load(file)["method"].get("minimal_region", {})
    return region["area_px"] if region.get("found") else None


def refinement(run, arguments, paths, real, out):
    """The maps of the evaluations, as they are and refined by the optimisation: area needed for 0.9 of the score."""
    sets = [("phantom", MODEL, paths[:arguments.refine], "quick")]
    sets += [(m, onnx, pictures[:arguments.refine], "real-" + m) for m, (onnx, pictures) in real.items()]
    rows, failures, pairs, held = [], [], 0, 0
    for name, model, pictures, folder in sets:
        records, order = run.records(folder), subjects_in(run, folder)
        for method in [m for m in REFINED if m in order]:
            before, after, good, n = [], [], 0, 0
            for path in pictures:
                stem = stem_of(records, path)
                init = run.path(folder, stem, "%d-%s.npy" % (order.index(method) + 1, method)) if stem else ""
                if not os.path.exists(init):
                    continue
                index = records[stem]["target"]["index"]
                tag = "%s-%s-%s" % (name, method, name_of(path) if name == "phantom" else os.path.basename(path).split(".")[0])
                a = area_of(run, model, path, index, init, "preserve", 0, "refine/%s-before" % tag)
                b = area_of(run, model, path, index, init, "preserve", None, "refine/%s-after" % tag)
                n += 1
                ok = b is not None and (a is None or b <= a)
                good += ok
                if a is not None and b is not None:
                    before.append(a)
                    after.append(b)
                if not ok:
                    failures.append("%s, %s, %s: %s → %s px" % (name, method, stem, "none" if a is None else a,
                                                                "none" if b is None else b))
            pairs += n
            held += good
            if n:
                rows.append([name, method, "%.0f" % np.median(before) if before else "–",
                             "%.0f" % np.median(after) if after else "–", "%d of %d" % (good, n)])
    out.append("## Refining maps\n\nEach map was the start of meaningful perturbation (`-m meaningful --game preserve --init "
               "MAP.npy`). What counts is the smallest region, taken from the top of a map, that alone holds 0.9 of the score: "
               "its area in px on the model's grid by the map itself, and by the refined one. In %d of %d pairs of method and "
               "picture (%.0f %%) the refined map needs at most what the original needed.\n\n%s"
               % (held, pairs, 100.0 * held / max(1, pairs),
                  table(["model", "method", "area before, median", "area after, median", "at most as much"], rows)))
    out.append("Failures: %s.\n" % ("; ".join(failures) if failures else "none"))


def preserved_region(run, found, out):
    """The region that the preservation game keeps, against the top of occlusion's map of the same area."""
    records, order = run.records("quick"), subjects_in(run, "quick")
    hits, rows, all_overlap = [], [], []
    pointed = {f: [] for f in LOCAL}
    for finding in LOCAL:
        overlap = []
        for path in found[finding]:
            stem = stem_of(records, path)
            hit = records[stem]["metrics"]["pointing"]["meaningful"]["values"]["hit"]
            pointed[finding].append(hit)
            hits.append(hit)
            folder = "preserve/%s" % name_of(path)
            run.call("explain", MODEL, path, "-m", "meaningful", "--game", "preserve", "-t", finding, "-o", run.path(folder),
                     "--no-report", "-q")
            kept = np.load(run.path(folder, "phantom", "map.npy")) >= 0.5
            other = np.load(run.path("quick", stem, "%d-occlusion.npy" % (order.index("occlusion") + 1)))
            truth = mask_of(path, finding, kept.shape[0])
            area = int(kept.sum())
            if area == 0:
                overlap.append((None, None))
                continue
            top = np.zeros(other.size, bool)
            top[np.argsort(-other.ravel(), kind="stable")[:area]] = True
            top = top.reshape(other.shape)
            overlap.append(((kept & truth).sum() / (kept | truth).sum(), (top & truth).sum() / (top | truth).sum()))
        both = [o for o in overlap if o[0] is not None]
        all_overlap += both
        rows.append([finding, str(len(overlap)), show(interval(pointed[finding])), show(interval([o[0] for o in both])),
                     show(interval([o[1] for o in both])), show(interval([o[0] - o[1] for o in both])),
                     str(len(overlap) - len(both))])
    rows.append(["all", str(len(hits)), show(interval(hits)), show(interval([o[0] for o in all_overlap])),
                 show(interval([o[1] for o in all_overlap])), show(interval([o[0] - o[1] for o in all_overlap])), ""])
    out.append("## The region that meaningful perturbation keeps\n\nPointing: the strongest point of the deletion game's map "
               "lies in the truth or at most 15 px beside it. Overlap (intersection over union with the truth mask): the "
               "region that the preservation game keeps (mask at least one half), and as many pixels from the top of "
               "occlusion's map.\n\n%s"
               % table(["finding", "radiographs", "pointing hit", "IoU, kept region", "IoU, occlusion at equal area",
                        "difference", "nothing kept"], rows))


def fills_compared(run, arguments, found, healthy, out):
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


def claim(run, arguments, quick, paths, out):
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
            folder = "fills/%s-%s" % (m, name_of(path))
            run.call("explain", MODEL, path, "-m", m, "--fill", "black,mean,blur", "-o", run.path(folder), "--no-report", "-q")
            with open(run.path(folder, "phantom", "result.json"), encoding="utf-8") as file:
                trust = json.load(file)["trust"]
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
    parser.add_argument("--again", type=int, default=10)
    parser.add_argument("--refine", type=int, default=4)
    parser.add_argument("--healthy", type=int, default=50)
    parser.add_argument("--real", type=int, default=4)
    parser.add_argument("--evals", type=int, default=1000)
    parser.add_argument("--methods", default=None)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", default=os.path.join(ROOT, "docs/evidence.md"))
    arguments = parser.parse_args()
    arguments.work = arguments.work or os.path.join(arguments.build, "evidence")
    run = Run(arguments)
    methods = arguments.methods.split(",") if arguments.methods else methods_of(run)
    if not {"occlusion", "lime", "ig", "meaningful"} <= set(methods):
        parser.error("--methods: occlusion, lime, ig and meaningful must be among them")
    count = max(1, arguments.images // len(FINDINGS))
    found = {}
    for i, finding in enumerate(FINDINGS):
        found[finding] = found_by_model(run, finding, draw(run, finding, count, FIRST_SEED + 10000 * i))
        print("%s: %d of %d found" % (finding, len(found[finding]), count), file=sys.stderr, flush=True)
    healthy = draw(run, "none", arguments.healthy, FIRST_SEED + 10000 * len(FINDINGS))
    out = ["# Evidence\n\nWhat the methods' maps are worth, measured. Made by\n\n    make evidence FLAGS=\"--images %d --again %d "
           "--refine %d --healthy %d --real %d --evals %d\"\n\nwith the built-in model `share/penumbra/phantom.onnx` on "
           "radiographs that `penumbra phantom` draws, and the models of the test data. Not for clinical use. ± is half of a "
           "95 %% interval over pictures; what was not measured reads –. The metrics are described in "
           "[how maps are judged](design/evaluation.md).\n"
           % (arguments.images, arguments.again, arguments.refine, arguments.healthy, arguments.real, arguments.evals)]
    steps = (("radiographs", lambda: on_phantoms(run, arguments, found, methods, out)),
             ("fills", lambda: fills_compared(run, arguments, found, healthy, out)),
             ("kept regions", lambda: preserved_region(run, found, out)),
             ("claim", lambda: claim(run, arguments, results["radiographs"][0], results["radiographs"][1], out)),
             ("real models", lambda: on_real(run, arguments, methods, out)),
             ("refinement", lambda: refinement(run, arguments, results["radiographs"][1], results["real models"], out)))
    results = {}
    for name, step in steps:
        before = run.seconds
        results[name] = step()
        print("%s: %.0f s" % (name, run.seconds - before), file=sys.stderr, flush=True)
    with open(arguments.out, "w", encoding="utf-8") as file:
        file.write("\n".join(out))
    print(arguments.out)


if __name__ == "__main__":
    main()
