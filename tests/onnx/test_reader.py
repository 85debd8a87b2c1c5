#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares penumbra's reader with the onnx package: initializers to the last bit, attributes, topology.
test_reader.py ONNX_DUMP SOURCE — prints TAP, one test a folder of models; skipped without the onnx package."""
import glob
import os
import subprocess
import sys

TESTDATA = "/usr/share/libonnx-testdata/data"


def folders(source):
    data = os.environ.get("PENUMBRA_DATA", os.path.join(source, "..", "shared", "data"))
    yield "data/models", sorted(glob.glob(os.path.join(data, "models", "*.onnx")))
    yield "data/bad", [p for p in sorted(glob.glob(os.path.join(data, "bad", "*.onnx")))
                       if os.path.basename(p).startswith(("ok_", "float16_", "dynamic_", "two_inputs"))]
    kinds = ("attributes", "conv", "cyclic", "domains", "inputs", "nested", "packed", "raw_", "sequence", "typed_",
             "unordered", "unpacked")
    yield "seeds", [p for p in sorted(glob.glob(os.path.join(source, "tests", "fuzz", "seeds", "onnx", "*.onnx")))
                    if os.path.basename(p).startswith(kinds)]
    yield "share", sorted(glob.glob(os.path.join(source, "share", "**", "*.onnx"), recursive=True))
    for name in ("node", "simple", "pytorch-converted", "pytorch-operator", "light"):
        yield name, sorted(glob.glob(os.path.join(TESTDATA, name, "*", "model.onnx")))


def differences(program, paths):
    """For each path whose two texts differ: the first line that does. A refusal must be one for both and one reason."""
    from dump_onnx import dump
    run = subprocess.run([program] + paths, stdout=subprocess.PIPE, check=True)
    ours, current = {}, None
    for line in run.stdout.decode().splitlines():
        if line.startswith("model "):
            current = ours.setdefault(line[6:], [])
        current.append(line)
    for path in paths:
        a, b = ours.get(path, []), dump(path)
        if len(a) == len(b) == 2 and a[1].startswith("refused ") and b[1].startswith("refused "):
            if b[1][8:] in a[1]:
                continue
        for left, right in zip(a + [None], b + [None]):
            if left != right:
                yield path, left, right
                break


def main():
    program, source = sys.argv[1:]
    try:
        from onnx import numpy_helper  # noqa: F401
    except ImportError:
        print("1..0 # SKIP the onnx package is not installed")
        return
    cases = list(folders(source))
    print("1..%d" % len(cases))
    for number, (name, paths) in enumerate(cases, 1):
        if not paths:
            print("ok %d - %s # SKIP no models" % (number, name))
            continue
        wrong = list(differences(program, paths))
        for path, ours, theirs in wrong:
            print("# %s\n#   penumbra: %s\n#   onnx:     %s" % (path, ours, theirs))
        print("%s %d - %s: %d models" % ("not ok" if wrong else "ok", number, name, len(paths)))


main()
