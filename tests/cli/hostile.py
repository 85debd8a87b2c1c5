#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every broken file of the shared data's bad/ does what its MANIFEST.tsv says.    hostile.py PENUMBRA [sanitized]

Broken: exit status 1, a last line that names the file and the cause, nothing written, at most 1 s of processor time and
300 MB. Sound: explained. DICOM input is not built in: every such file is an error that says so.
"""
import os
import pathlib
import sys
import tempfile

import program

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS, MEGABYTES = 1, 300


def words(bad, name):
    """The command that uses a file, without where its results go."""
    model, image = bad / "ok_model.onnx", bad / "ok_rgb.png"
    kind = name.rsplit(".", 1)[-1]
    if kind == "onnx":
        return [bad / name, image]
    if kind == "json":
        return [model, image, "--card", bad / name]
    return [model, bad / name]


def faults(done, name, sound, left, sanitized):
    lines = done.err.splitlines()
    if name.endswith(".dcm"):
        sound = False
    if sound:
        if done.status != 0:
            yield f"exit status {done.status}, not 0"
        if "result.json" not in left:
            yield "no result is written"
    else:
        if done.status != 1:
            yield f"exit status {done.status}, not 1"
        if left:
            yield f"was written: {', '.join(sorted(left))}"
        if not lines or not lines[-1].startswith("penumbra: ") or name not in lines[-1]:
            yield "the last line does not name the file"
        elif len(lines[-1].split(name, 1)[1]) < 8:
            yield "the last line names no cause"
        if name.endswith(".dcm") and not name.startswith("empty") and "DICOM" not in done.err:
            yield "the message does not say that it is DICOM"
        if name == "unsupported_op.onnx" and "FooBar" not in done.err:
            yield "the message does not name FooBar"
    if not sanitized and done.seconds > SECONDS:
        yield f"{done.seconds:.2f} s of processor time, more than {SECONDS}"
    if not sanitized and done.megabytes > MEGABYTES:
        yield f"{done.megabytes:.0f} MB, more than {MEGABYTES}"


def main():
    binary, sanitized = pathlib.Path(sys.argv[1]).resolve(), "sanitized" in sys.argv[2:]
    bad = pathlib.Path(os.environ.get("PENUMBRA_DATA", ROOT / "../shared/data")).resolve() / "bad"
    if not bad.is_dir():
        print("1..0 # SKIP no shared data")
        return
    rows = [line.split("\t") for line in (bad / "MANIFEST.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    # A card lies beside a model of its name, where it is found without being named.
    runs = [(name, words(bad, name), what) for name, _, what in rows]
    runs += [(name, [bad / name.replace(".json", ".onnx"), bad / "ok_rgb.png"], what)
             for name, _, what in rows if name.endswith(".json")]
    print(f"1..{len(runs)}", flush=True)
    failed = 0
    for number, (name, arguments, what) in enumerate(runs, 1):
        with tempfile.TemporaryDirectory(prefix="penumbra-hostile-") as folder:
            done = program.Done([binary, "explain", *arguments], folder, {**os.environ, "OMP_WAIT_POLICY": "passive"})
            left = {f for _, folders, files in os.walk(folder) for f in folders + files}
            found = list(faults(done, name, what.startswith("works"), left, sanitized))
        failed += bool(found)
        named = " beside its model" if name.endswith(".json") and "--card" not in arguments else ""
        print(f"{'not ok' if found else 'ok'} {number} - {name}{named}")
        for fault in found + (done.err.splitlines()[-5:] if found else []):
            print(f"# {fault}")
        sys.stdout.flush()
    sys.exit(1 if failed else 0)


main()
