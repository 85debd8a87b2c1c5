#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What --memory promises: a peak within it, beside the program and the weights; and maps that know nothing of it, nor of
--threads.    limits.py PENUMBRA

Weights count three times: the file as it is mapped, and packed for kernels on whole maps and on windows.
"""
import os
import pathlib
import sys
import tempfile

import program

ROOT = pathlib.Path(__file__).resolve().parents[2]
CASES = [("mobilenet_v2_224", "photos/dog.png"), ("squeezenet_v1.0", "photos/hot_dog.jpg"),
         ("cxr_pneumonia_cnn150", "xray/normal_IM-0431-0001.jpeg")]
LIMITS = [48, 96, 192, 1024]  # MiB
SLACK = 12                    # MB: threads' stacks, the picture, compiled kernels, the allocator's own


def explain(binary, model, image, *options):
    """(what was measured, bytes of heatmap.npy)"""
    with tempfile.TemporaryDirectory(prefix="penumbra-limits-") as folder:
        done = program.Done([binary, "explain", model, image, "-o", "out", "--no-report", "--quiet", *options], folder,
                            {**os.environ, "OMP_WAIT_POLICY": "passive"})
        maps = sorted(pathlib.Path(folder).rglob("heatmap.npy"))
        assert done.status == 0 and len(maps) == 1, f"{' '.join(options)}: status {done.status}: {done.err}"
        return done, maps[0].read_bytes()


def peaks(binary, idle, model, image):
    weights, seen = model.stat().st_size / 1e6, []
    for limit in LIMITS:
        done, _ = explain(binary, model, image, "--memory", f"{limit}M")
        most = idle + 3 * weights + limit * 1.048576 + SLACK
        assert done.megabytes <= most, f"--memory {limit}M: {done.megabytes:.0f} MB, more than {most:.0f}"
        seen.append(done.megabytes)
    return seen


def same_bits(binary, model, image):
    _, first = explain(binary, model, image, "--threads", "1", "--memory", "1G", "--fill", "uniform", "--draws", "2",
                       "--stride", "16")
    for threads, memory in (("2", "1G"), ("1", "96M"), ("2", "160M")):
        _, other = explain(binary, model, image, "--threads", threads, "--memory", memory, "--fill", "uniform", "--draws", "2",
                           "--stride", "16")
        assert other == first, f"--threads {threads} --memory {memory} gives another heatmap.npy"


def refuses(binary, model, image):
    with tempfile.TemporaryDirectory(prefix="penumbra-limits-") as folder:
        done = program.Done([binary, "explain", model, image, "-o", "out", "--memory", "1M"], folder, dict(os.environ))
        left = os.listdir(folder)
    assert done.status in (1, 2) and "memory" in done.err and "MiB" in done.err and not left, (done.status, done.err, left)


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    data = pathlib.Path(os.environ.get("PENUMBRA_DATA", ROOT / "../shared/data")).resolve()
    if not data.is_dir():
        print("1..0 # SKIP no shared data")
        return
    idle = program.Done([binary, "--version"], "/", dict(os.environ)).megabytes
    checks = []
    for name, picture in CASES:
        model, image = data / "models" / f"{name}.onnx", data / "images" / picture
        checks += [(f"{name}: peak within the limit", lambda m=model, i=image: peaks(binary, idle, m, i)),
                   (f"{name}: the same bits under any limit", lambda m=model, i=image: same_bits(binary, m, i))]
    model, image = (data / "models/squeezenet_v1.0.onnx", data / "images/photos/dog.png")
    checks.append(("too little is an error", lambda: refuses(binary, model, image)))
    print(f"1..{len(checks)}", flush=True)
    failed = 0
    for number, (title, check) in enumerate(checks, 1):
        try:
            check()
            print(f"ok {number} - {title}", flush=True)
        except AssertionError as fault:
            failed += 1
            print(f"not ok {number} - {title}")
            for line in str(fault).splitlines():
                print(f"# {line}", flush=True)
    sys.exit(1 if failed else 0)


main()
