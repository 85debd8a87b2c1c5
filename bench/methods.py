# SPDX-License-Identifier: Apache-2.0
"""The methods besides occlusion, and region perturbation: penumbra beside its peers. Tables for bench.py."""
import json
import os
import statistics
import subprocess

import numpy as np

from contender import TUNED, Contender, Variant, duel, mebibytes, percent, progress, ranks, table, times

HERE = os.path.dirname(os.path.abspath(__file__))
SAME = 1e-3, 0.999   # largest difference over the largest value, rank correlation: two maps that agree


# ---- contenders ------------------------------------------------------------------------------------------------------

def picture(bench, size=224):
    path = bench.place("picture%d.png" % size)
    if not os.path.exists(path):
        from PIL import Image
        from scene import scene
        Image.fromarray(np.asarray(scene(100, size, size), np.uint8)).save(path)
    return path


def explain(bench, model, image, method, *params, precision="f32", target="top", seed=0, out="ours"):
    return Contender(bench.options, [bench.program("explain"), model, image, str(bench.options.threads),
                                     bench.place(out), precision, str(target), str(seed), method] + list(params),
                     bench.options.threads)


def said(bench, out="ours"):
    with open(bench.place(out + ".json"), encoding="utf-8") as f:
        return json.load(f)


def peer(bench, name, net, target, *arguments, tuned=True):
    return Contender(bench.options, [bench.options.python, os.path.join(HERE, "peers_%s.py" % name), net,
                                     bench.model(net), picture(bench), str(bench.options.threads),
                                     bench.place("theirs.npy"), str(target)] + list(arguments),
                     bench.options.threads, TUNED if tuned else None)


def once(contender, **settings):
    """Seconds of one piece of work with these settings."""
    contender.change(**settings)
    return contender.turn(1)[0]


def best(contender, batches, **settings):
    """The settings of the fastest batch: as built with contiguous tensors; and of all that a user could do by hand."""
    once(contender, batch=batches[0], **settings)
    tried = sorted((once(contender, batch=n, **settings), n) for n in batches)
    usual = dict(batch=tried[0][1])
    by_hand = [dict(batch=n, folded=True, layout=layout) for n in (tried[0][1],)
               for layout in ("contiguous", "channels_last")]
    strong = min(by_hand + [usual], key=lambda s: once(contender, **s, **settings))
    return usual, strong


def agreement(a, b):
    """Largest difference over the largest value, rank correlation."""
    a, b = (np.asarray(v, np.float64).ravel() for v in (a, b))
    return np.abs(a - b).max() / np.abs(b).max(), np.corrcoef(ranks(a), ranks(b))[0, 1]


def described(settings):
    words = [str(settings["batch"])] if "batch" in settings else []
    words += ["folded"] if settings.get("folded") else []
    words += ["channels-last"] if settings.get("layout") == "channels_last" else []
    return ", ".join(words) or "as built"


def chosen(bench, nets):
    return [n for n in nets if n in bench.options.nets]


def has(bench, module):
    found = subprocess.run([bench.options.python, "-c", "import " + module], capture_output=True, check=False)
    if found.returncode:
        bench.notes.append("%s is not installed (bench/setup_peers.sh)" % module)
    return found.returncode == 0


# ---- gradients -------------------------------------------------------------------------------------------------------

def measure_gradients(bench):
    """Passes there and back over passes there."""
    options, rows = bench.options, []
    for net in chosen(bench, ("resnet50", "vgg16", "resnet18", "densenet121", "mobilenet_v2")):
        command = [bench.program("forward"), bench.model(net), bench.image(net, 16), str(options.threads),
                   bench.place("scores.npy"), "f32"]
        there, both = (Contender(options, command + extra, options.threads) for extra in ([], ["back"]))
        duel([there, both], options.repeats)
        rows.append([net, times(both.seconds / there.seconds) + bench.flag(net, there, both),
                     "%d" % both.ready["batch"], "%.2f" % (1e3 * there.seconds / 16),
                     "%.2f" % (1e3 * both.seconds / 16), percent(there.spread) + " / " + percent(both.spread)])
        progress(" ".join(rows[-1]))
        there.close()
        both.close()
    return table(["net", "there and back over there", "images a sweep", "ms an image there", "there and back",
                  "spread"], rows)


# ---- integrated gradients --------------------------------------------------------------------------------------------

def measure_ig(bench):
    options, rows = bench.options, []
    for net in chosen(bench, ("resnet50", "densenet121")):
        ours = explain(bench, bench.model(net), picture(bench), "ig", "steps=50", "fill=zero")
        target = said(bench)["target"]["index"]
        theirs = peer(bench, "ig", net, target)
        bench.versions["Captum"], bench.versions["PyTorch"] = theirs.ready["captum"], theirs.ready["torch"]
        usual, strong = best(theirs, (5, 10, 25))
        once(theirs, **usual)
        theirs.change(save=True)
        difference, rank = agreement(np.load(bench.place("ours.npy")), np.load(bench.place("theirs.npy")))
        a, b = Variant(theirs, usual), Variant(theirs, strong)
        if rank < SAME[1]:
            bench.notes.append("%s: the maps disagree (%.1e, rank correlation %.5f)" % (net, difference, rank))
        fast = explain(bench, bench.model(net), picture(bench), "ig", "steps=50", "fill=zero", precision="bf16",
                       target=target, out="fast") if bench.bf16() else None
        duel([ours, a, b] + ([fast] if fast else []), options.repeats)
        rows.append([net, times(a.seconds / ours.seconds) + bench.flag(net, ours, a, b),
                     times(b.seconds / ours.seconds), times(a.seconds / fast.seconds) if fast else "-",
                     "%.1f" % (20 * ours.seconds), "%.1f" % (20 * fast.seconds) if fast else "-",
                     "%.1f" % (20 * a.seconds), "%s / %s" % (described(usual), described(strong)),
                     " / ".join(percent(c.spread) for c in (ours, a, b)), "%.0e" % difference, "%.5f" % rank])
        progress(" ".join(rows[-1]))
        for contender in [ours, theirs] + ([fast] if fast else []):
            contender.close()
    return table(["net", "over Captum", "over Captum at its strongest", "bf16 over Captum", "ms a step", "bf16", "Captum",
                  "Captum's batch", "spread", "largest difference", "rank correlation"], rows) + \
        ["", "Maps agree where their rank correlation is at least %g. Nets with seeded weights magnify rounding: PyTorch's"
         " own float32 gradients of this ResNet-50 are 2e-4 (length of the error) from float64's, and single pixels of"
         " a map more. In bf16, whose rounding is 65536 times as coarse, gradients of such nets are noise: the figure is"
         " of speed alone; what it does to maps of trained nets stands below." % SAME[1]]


REAL = (("cxr_pneumonia_cnn150", "xray/pneumonia_person724_virus_1343.jpeg"),
        ("mnist_cnn_opset11", "digits/zero_test0003.png"), ("mobilenet_v1_0.5_160", "photos/coffee.png"), ("mobilenet_v2_224", "photos/dog.png"),
        ("resnet20_cifar10_bn", "photos/chelsea.png"), ("squeezenet_v1.0", "photos/hot_dog.jpg"),
        ("vit_mnist", "digits/nine.png"))


def measure_ig_gap(bench):
    """Each side at the fewest steps that reach a gap of 1 %, on real models."""
    options, rows, ratios, fasts = bench.options, [], [], []
    data = os.environ.get("PENUMBRA_DATA", os.path.join(HERE, "..", "..", "shared", "data"))
    if not os.path.isdir(data):
        return ["Not measured: no real models (PENUMBRA_DATA)."]
    for name, image in REAL:
        model = os.path.join(data, "models", name + ".onnx")
        theirs = Contender(options, [options.python, os.path.join(HERE, "peers_ig_real.py"), model,
                                     os.path.join(data, "images", image), bench.place("x.npy"), str(options.threads)],
                           options.threads, TUNED)
        bench.versions["Captum"] = theirs.ready["captum"]
        ours = explain(bench, model, bench.place("x.npy"), "ig", "fill=zero", target=theirs.ready["target"])
        quality = said(bench)["quality"]
        fast, rank = None, 1
        if bench.bf16():
            fast = explain(bench, model, bench.place("x.npy"), "ig", "fill=zero", target=theirs.ready["target"],
                           precision="bf16", out="fast")
            rank = agreement(np.load(bench.place("fast.npy")), np.load(bench.place("ours.npy")))[1]
            halves = said(bench, "fast")["quality"]
        usual = min((once(theirs, batch=n), n) for n in (1, 4, 16, 16))[1]
        theirs.change(batch=usual)
        duel([ours, theirs] + ([fast] if fast else []), options.repeats)
        ratios.append(theirs.seconds / ours.seconds)
        fasts.append(theirs.seconds / fast.seconds if fast else 0)
        rows.append([name, times(ratios[-1]) + bench.flag(name, ours, theirs), times(fasts[-1]) if fast else "-",
                     "%d" % halves["nodes"] if fast else "-", "%.3f" % rank, "%d" % quality["nodes"],
                     "%d" % theirs.ready["steps"], "%.2f %%" % (100 * quality["completeness_gap"]),
                     "%.2f %%" % (100 * theirs.ready["gap"]), "%.1f" % (1e3 * ours.seconds),
                     "%.1f" % (1e3 * theirs.seconds)])
        progress(" ".join(rows[-1]))
        for contender in [ours, theirs] + ([fast] if fast else []):
            contender.close()
    return table(["real model", "over Captum", "bf16 over Captum", "bf16's steps", "rank correlation of bf16's map",
                  "steps", "Captum's", "gap", "Captum's", "ms a map", "Captum"], rows) + \
        ["", "Median %.2f, in bf16 %.2f; steps %g beside Captum's %g. Captum is told how many steps it needs, penumbra finds"
         " out; its figure has the opening of a session. PyTorch runs the file's graph, operator by operator."
         % (statistics.median(ratios), statistics.median(fasts), statistics.median(int(r[5]) for r in rows),
            statistics.median(int(r[6]) for r in rows))]


# ---- LIME ------------------------------------------------------------------------------------------------------------

def superpixels(bench):
    """The package's own default superpixels of the picture."""
    path = bench.place("labels.npy")
    if not os.path.exists(path):
        from PIL import Image
        from skimage.segmentation import quickshift
        labels = quickshift(np.asarray(Image.open(picture(bench))), kernel_size=4, max_dist=200, ratio=0.2)
        np.save(path, np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32))
    return path


def coefficients(bench, out):
    labels = np.load(bench.place("labels.npy"))
    first = np.unique(labels, return_index=True)[1]
    return np.load(bench.place(out + ".npy")).ravel()[first].astype(np.float64)


def lime(bench, net, samples, *params, **settings):
    return explain(bench, bench.model(net), picture(bench), "lime", "segments=file:" + superpixels(bench),
                   "fill=segment-mean", "samples=%d" % samples, *params, **settings)


def error_of(bench, net, samples, reference, *params, seeds=5):
    """Root of the mean square error of coefficients over their spread, over seeds."""
    squares = []
    for seed in range(1, 1 + seeds):
        lime(bench, net, samples, *params, seed=seed, out="few").close()
        squares.append(np.mean((coefficients(bench, "few") - reference) ** 2))
    return np.sqrt(np.mean(squares))


def measure_lime(bench):
    options, rows = bench.options, []
    if not has(bench, "lime"):
        return ["Not measured."]
    samples = 100 if options.quick else 1000
    for net in chosen(bench, ("resnet50",)):
        ours = lime(bench, net, samples)
        target = said(bench)["target"]["index"]
        fast = lime(bench, net, samples, precision="auto", out="fast") if bench.bf16() else None
        used = said(bench, "fast")["method"]["precision"] if fast else {}
        theirs = peer(bench, "lime", net, target, superpixels(bench))
        bench.versions["lime"], bench.versions["PyTorch"] = theirs.ready["lime"], theirs.ready["torch"]
        usual, strong = best(theirs, (10, 20, 50), samples=100)
        a, b = (Variant(theirs, dict(s, samples=samples)) for s in (usual, strong))
        duel([ours, a, b] + ([fast] if fast else []), options.repeats)
        theirs.change(save=True)
        rank = agreement(coefficients(bench, "ours"), np.load(bench.place("theirs.npy")))[1]
        rows.append([net, times(a.seconds / ours.seconds) + bench.flag(net, ours, a, b),
                     times(b.seconds / ours.seconds),
                     "%.2f (%s)" % (a.seconds / fast.seconds, used["used"]) if fast else "-",
                     "%.1e" % (used["deviation"] / used["largest_change"]) if "deviation" in used else "-",
                     "%.1f" % (1e3 * ours.seconds / samples), "%.1f" % (1e3 * a.seconds / samples),
                     "%s / %s" % (described(usual), described(strong)),
                     " / ".join(percent(c.spread) for c in (ours, a, b)), "%.3f" % rank])
        progress(" ".join(rows[-1]))
        for contender in [ours, theirs] + ([fast] if fast else []):
            contender.close()
    return table(["net", "over lime", "over lime at its strongest", "precision auto over lime", "its deviation",
                  "ms a sample", "lime", "lime's batch", "spread", "rank correlation"], rows) + \
        ["", "%d samples each, other masks on either side." % samples]


LADDER = (125, 160, 200, 250, 300, 400, 500, 700, 1000)


def measure_lime_error(bench):
    """Samples that reach the error of the package's 1000."""
    options, rows = bench.options, []
    if not has(bench, "lime"):
        return ["Not measured."]
    net, reference_samples, seeds = "squeezenet1_1", 5000 if options.quick else 50000, 3 if options.quick else 8
    lime(bench, net, reference_samples, "pairs=off", seed=1000, out="reference").close()
    target = said(bench, "reference")["target"]["index"]
    reference = coefficients(bench, "reference")
    theirs = peer(bench, "lime", net, target, superpixels(bench))
    bench.versions["lime"] = theirs.ready["lime"]
    squares = []
    for seed in range(1, 1 + seeds):
        once(theirs, samples=1000, batch=20, seed=seed)
        theirs.change(save=True)
        squares.append(np.mean((np.load(bench.place("theirs.npy")) - reference) ** 2))
    theirs.close()
    wanted, scale = np.sqrt(np.mean(squares)), np.sqrt(np.mean(reference ** 2))
    for name, params in (("as by default", ()), ("reweighted sampler", ("sampler=reweighted",))):
        reached, error = None, None
        for samples in LADDER:
            if samples < len(reference) + 2:
                continue
            error = error_of(bench, net, samples, reference, *params, seeds=seeds)
            progress("%s %d: %.4f, wanted %.4f" % (name, samples, error / scale, wanted / scale))
            if error <= wanted:
                reached = samples
                break
        rows.append([net, name, percent(wanted / scale), str(reached) if reached else "more than %d" % LADDER[-1],
                     percent(error / scale), times(1000 / reached) if reached else "< 1"])
    return table(["net", "sampling", "error of lime's 1000 samples", "samples that reach it", "their error",
                  "fewer by"], rows) + \
        ["", "%d superpixels; error: root mean square over the coefficients' own, over %d seeds, against %d samples."
         " On a small net, since the reference takes long; times the ratio at equal samples above."
         % (len(reference), seeds, reference_samples)]


# ---- superpixels -----------------------------------------------------------------------------------------------------

def measure_superpixels(bench):
    from scene import scene
    from sklearn.metrics import adjusted_rand_score
    options, rows = bench.options, []
    if not has(bench, "skimage"):
        return ["Not measured."]
    for size in (224, 512) if options.quick else (224, 512, 1024):
        codes = scene(100, size, size).astype(np.int64)  # slic stretches its input to 0..1: let it be that already
        path = bench.place("codes%d.npy" % size)
        np.save(path, ((codes - codes.min()) * 255 // (codes.max() - codes.min())).astype(np.uint8))
        for kind, text, parameters in (
                ("quickshift", "quickshift:kernel=4,max_dist=200,ratio=0.2", dict(kernel_size=4, max_dist=200, ratio=0.2)),
                ("slic", "slic:n=100,compactness=10", dict(n_segments=100, compactness=10, start_label=0))):
            ours = Contender(options, [bench.program("segment"), path, str(options.threads), bench.place("ours.npy"), text],
                             options.threads)
            theirs = Contender(options, [options.python, os.path.join(HERE, "peers_segment.py"), path,
                                         bench.place("theirs.npy"), kind, json.dumps(parameters)], options.threads, TUNED)
            bench.versions["scikit-image"] = theirs.ready["skimage"]
            duel([ours, theirs], options.repeats)
            rows.append([kind, "%d" % size, times(theirs.seconds / ours.seconds) + bench.flag(kind, ours, theirs),
                         "%.1f" % (1e3 * ours.seconds), "%.1f" % (1e3 * theirs.seconds),
                         percent(ours.spread) + " / " + percent(theirs.spread),
                         "%d / %d" % (ours.ready["count"], theirs.ready["count"]),
                         "%.3f" % adjusted_rand_score(*(np.load(bench.place(n)).ravel() for n in ("ours.npy", "theirs.npy")))])
            progress(" ".join(rows[-1]))
            ours.close()
            theirs.close()
    return table(["superpixels", "px a side", "over scikit-image", "ms", "scikit-image", "spread", "how many",
                  "adjusted Rand index"], rows) + \
        ["", "Equal parameters, colour. scikit-image works on one thread."]


# ---- RISE ------------------------------------------------------------------------------------------------------------

def measure_rise(bench):
    options, rows = bench.options, []
    samples = 160 if options.quick else 400
    for net in chosen(bench, ("resnet50",)):
        ours = explain(bench, bench.model(net), picture(bench), "rise", "samples=%d" % samples, "fill=zero", "raw=on")
        target = said(bench)["target"]["index"]
        fast = explain(bench, bench.model(net), picture(bench), "rise", "samples=%d" % samples, "fill=zero", "raw=on",
                       precision="auto", out="fast") if bench.bf16() else None
        used = said(bench, "fast")["method"]["precision"] if fast else {}
        theirs = peer(bench, "rise", net, target)
        bench.versions["PyTorch"] = theirs.ready["torch"]
        usual, strong = best(theirs, (4, 8, 16, 32), samples=64)
        a, b = (Variant(theirs, dict(s, samples=samples)) for s in (usual, strong))
        duel([ours, a, b] + ([fast] if fast else []), options.repeats)
        theirs.change(save=True)
        rank = agreement(np.load(bench.place("ours.npy")), np.load(bench.place("theirs.npy")))[1]
        rows.append([net, times(a.seconds / ours.seconds) + bench.flag(net, ours, a, b),
                     times(b.seconds / ours.seconds),
                     "%.2f (%s)" % (a.seconds / fast.seconds, used["used"]) if fast else "-",
                     "%.1f" % (1e3 * ours.seconds / samples), "%.1f" % (1e3 * a.seconds / samples),
                     "%s / %s" % (described(usual), described(strong)),
                     " / ".join(percent(c.spread) for c in (ours, a, b)), "%.2f" % rank])
        progress(" ".join(rows[-1]))
        for contender in [ours, theirs] + ([fast] if fast else []):
            contender.close()
    return table(["net", "over plain PyTorch", "at its strongest", "precision auto over plain PyTorch", "ms a mask",
                  "PyTorch", "its batch", "spread", "rank correlation"], rows) + \
        ["", "%d of 4000 masks timed, penumbra's opening of a session included; other masks on either side, hence maps"
         " that differ by their noise." % samples]


# ---- meaningful perturbation -----------------------------------------------------------------------------------------

def meaningful(bench, net, iterations, *params, **settings):
    return explain(bench, bench.model(net), picture(bench), "meaningful", "iterations=%d" % iterations, "init=half",
                   "tolerance=0", *params, **settings)


def slope(few, many, between):
    """Seconds of one more iteration."""
    return (many.seconds - few.seconds) / between


def arrival(looks, value):
    """The first step whose least objective so far is at most `value`; None: none is."""
    return next((int(step) for step, best in looks if best <= value * (1 + 1e-6)), None)


def measure_meaningful(bench):
    options, rows = bench.options, []
    few, many, whole = (10, 20, 60) if options.quick else (10, 50, 300)
    for net in chosen(bench, ("resnet50",)):
        meaningful(bench, net, many, "jitter=0", out="still").close()
        game = said(bench, "still")["method"]["games"][0]
        target = said(bench, "still")["target"]["index"]
        theirs = peer(bench, "meaningful", net, target)
        bench.versions["PyTorch"] = theirs.ready["torch"]
        once(theirs, iterations=many, jitter=0)
        theirs.change(save=True)
        value = theirs.change()["objective"]
        gap = abs(game["objective"] / value - 1)
        rank = agreement(1 - np.load(bench.place("still.npy")), np.load(bench.place("theirs.npy")))[1]
        # the way to the peer's own objective, in steps
        once(theirs, iterations=whole)
        looks = theirs.change()["looks"]
        aim = looks[-1][1]
        precisions = ["f32"] + (["bf16"] if bench.bf16() else [])
        steps = [arrival(looks, aim)]
        for precision in precisions:
            meaningful(bench, net, whole, precision=precision, target=target, out="whole").close()
            steps.append(arrival(np.load(bench.place("whole.trace.npy"))[:, [0, 5]], aim))
        # the strongest way of the peer; one image a pass is what the method is
        by_hand = [dict(), dict(layout="channels_last"), dict(folded=True), dict(folded=True, layout="channels_last")]
        strong = min(by_hand, key=lambda s: once(theirs, iterations=few, **s))
        pairs = [[meaningful(bench, net, n, precision=p, target=target) for n in (few, many)] for p in precisions]
        usual = [Variant(theirs, dict(iterations=n)) for n in (few, many)]
        hard = [Variant(theirs, dict(strong, iterations=n)) for n in (few, many)]
        ours = [contender for pair in pairs for contender in pair]
        duel(ours + usual + hard, options.repeats)
        own, a, b = (slope(*pair, many - few) for pair in (pairs[0], usual, hard))
        fast = slope(*pairs[1], many - few) if len(pairs) > 1 else None
        way = ["%.2f (%d / %d)" % (a * max(steps[0], 1) / (each * max(n, 1)), n, steps[0]) if n is not None and each else "-"
               for n, each in zip(steps[1:] + [None], (own, fast))]
        opening = pairs[0][0].seconds - few * own
        rows.append([net, times(a / own) + bench.flag(net, *ours, *usual, *hard), times(b / own),
                     times(a / fast) if fast else "-"] + way +
                    ["%.1f" % (1e3 * own), "%.1f" % (1e3 * fast) if fast else "-", "%.1f" % (1e3 * a),
                     described(strong), "%.2f" % opening, mebibytes(pairs[0][1].peak),
                     "%.4f / %.4f" % (game["objective"], value), "%.2f %%" % (100 * gap), "%.4f" % rank])
        progress(" ".join(rows[-1]))
        for contender in ours + [theirs]:
            contender.close()
    return table(["net", "over plain PyTorch", "at its strongest", "bf16 over plain PyTorch",
                  "to PyTorch's objective (steps)", "in bf16", "ms an iteration", "bf16", "PyTorch", "its strongest",
                  "s besides iterations", "MiB", "objective / PyTorch's", "apart by", "rank correlation of masks"],
                 rows) + \
        ["", "An iteration is the difference of runs of %d and %d, over %d. To PyTorch's objective: steps until the least"
         " objective so far is what PyTorch's is after %d, first arrivals on both sides, times an iteration; jitters"
         " differ. Besides its iterations a run of ours opens a session and searches for the minimal region (130 images),"
         " which PyTorch's does not. Objectives and masks beside each other are those after %d iterations without"
         " jitter, from the same start." % (many, few, many - few, whole, many)]


# ---- region perturbation ---------------------------------------------------------------------------------------------

def region(bench, net, relevance, target, how, steps, draws):
    return Contender(bench.options, [bench.program("region"), bench.model(net), picture(bench),
                                     str(bench.options.threads), relevance, bench.place(how + ".json"), how,
                                     str(target), str(steps), str(draws)], bench.options.threads)


def relevance_of(bench, net):
    explain(bench, bench.model(net), picture(bench), "gradient-input", out="relevance").close()
    return bench.place("relevance.npy"), said(bench, "relevance")["target"]["index"]


def curves(bench, how):
    with open(bench.place(how + ".json"), encoding="utf-8") as f:
        found = []

        def walk(value):
            if isinstance(value, dict):
                if "y" in value:
                    found.append(value["y"])
                for key in sorted(value):
                    walk(value[key])
            elif isinstance(value, list):
                for item in value:
                    walk(item)
        walk(json.load(f))
    return np.asarray(found, np.float64)


def measure_region(bench):
    options, rows = bench.options, []
    steps, draws = (4, 2) if options.quick else (20, 10)
    for net in chosen(bench, ("resnet50", "vgg16")):
        relevance, target = relevance_of(bench, net)
        windows, full = (region(bench, net, relevance, target, how, steps, draws) for how in ("windows", "full"))
        a, b = curves(bench, "windows"), curves(bench, "full")
        difference = np.abs(a - b).max() / max(np.abs(b - b[:, :1]).max(), 1e-30)
        duel([windows, full], options.repeats)
        gain, ratio = full.seconds / windows.seconds, windows.ready["ratio"]
        runs = steps * windows.ready["curves"]
        rows.append([net, times(gain) + bench.flag(net, windows, full), times(ratio), percent(gain / ratio),
                     "%.2f" % (1e3 * windows.seconds / runs), "%.2f" % (1e3 * full.seconds / runs),
                     percent(windows.spread) + " / " + percent(full.spread), "%.0e" % difference])
        progress(" ".join(rows[-1]))
        windows.close()
        full.close()
    return table(["net", "windows over the full path", "what arithmetic allows", "share", "ms a step", "full path",
                  "spread", "largest difference"], rows) + \
        ["", "MoRF, LeRF and random orders, %d draws of each in lockstep, the first %d of 100 steps, opening the model"
         " included." % (draws, steps)]


def measure_quantus(bench):
    options, rows = bench.options, []
    if not has(bench, "quantus"):
        return ["Not measured."]
    few, many, draws = (1, 3, 2) if options.quick else (2, 6, 10)
    for net in chosen(bench, ("resnet50", "vgg16")):
        relevance, target = relevance_of(bench, net)
        ours = region(bench, net, relevance, target, "windows", 5 * many, draws)
        theirs = peer(bench, "region", net, target, relevance)
        bench.versions["Quantus"], bench.versions["PyTorch"] = theirs.ready["quantus"], theirs.ready["torch"]
        usual, strong = best(theirs, sorted({1, draws // 2, draws}), steps=few, draws=draws)
        a, b = ([Variant(theirs, dict(s, steps=n, draws=draws)) for n in (few, many)] for s in (usual, strong))
        duel([ours] + a + b, options.repeats)
        own = ours.seconds / (5 * many)
        usual_step, strong_step = (slope(*pair, many - few) for pair in (a, b))
        rows.append([net, times(usual_step / own) + bench.flag(net, ours, *a, *b), times(strong_step / own),
                     "%.2f" % (1e3 * own / (3 * draws)), "%.2f" % (1e3 * usual_step / (3 * draws)),
                     "%s / %s" % (described(usual), described(strong)),
                     " / ".join(percent(c.spread) for c in (ours, a[1], b[1]))])
        progress(" ".join(rows[-1]))
        ours.close()
        theirs.close()
    return table(["net", "over Quantus", "over Quantus at its strongest", "ms a step of a curve", "Quantus",
                  "Quantus' batch", "spread"], rows) + \
        ["", "MoRF, LeRF and random orders, %d draws of each; Quantus' draws are copies of the picture in a batch. A step"
         " of Quantus' is the difference of runs of %d and %d steps, ours a run of %d with its opening. Quantus pads the"
         " picture to whole regions, penumbra leaves the border alone." % (draws, many, few, 5 * many)]


OWN = {"gradients": measure_gradients, "region": measure_region}
PEERS = {"ig": measure_ig, "ig-gap": measure_ig_gap, "meaningful": measure_meaningful, "lime": measure_lime, "lime-error": measure_lime_error,
         "superpixels": measure_superpixels, "quantus": measure_quantus, "rise": measure_rise}
