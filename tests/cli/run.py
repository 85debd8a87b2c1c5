#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Transcripts of the command line.    run.py PENUMBRA TRANSCRIPT [sanitized]

A transcript is a list of cases; each runs in an empty folder of its own.

    == a title
    $ penumbra predict $T/colour.onnx green.png    a command (sh; $T holds the tests' files, $PENUMBRA_DATA the shared ones)
    ? 1                                            its exit status, 0 if not said
    > PATTERN                                      a line of standard output that matches, after the one before
    2> PATTERN                                     the same of standard error
    >! PATTERN     2>! PATTERN                     no line matches; without a pattern: nothing is printed
    + PATH…        - PATH…                         these exist; these do not
    = EXPRESSION                                   is true; `out` is standard output as JSON, json(PATH) a file, shape(PATH)
                                                   the dimensions of a .npy file, data(PATH) its bytes, text(PATH) a file
    within S s M MB                                processor time and memory (not where sanitizers cost both)

Every line of standard error must begin with "penumbra: " or be asked for.
"""
import ast
import json
import os
import pathlib
import re
import shutil
import sys
import tempfile

import program

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class Command:
    def __init__(self, line, number):
        self.line, self.number, self.checks, self.status = line, number, [], 0

    def run(self, folder, environment):
        self.done = program.Done(["/bin/sh", "-c", self.line], folder, environment)


def parse(path):
    cases = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        kind, _, rest = line.partition(" ")
        if kind == "==":
            cases.append((rest, []))
        elif kind == "$":
            cases[-1][1].append(Command(rest, number))
        elif kind == "?":
            cases[-1][1][-1].status = int(rest)
        elif kind in (">", "2>", ">!", "2>!", "+", "-", "=", "within"):
            cases[-1][1][-1].checks.append((kind, rest, number))
        else:
            raise SystemExit(f"{path}:{number}: '{kind}' is no kind of line")
    return cases


def npy(path):
    raw = path.read_bytes()
    assert raw[:8] == b"\x93NUMPY\x01\x00", f"{path} is no .npy of version 1.0"
    end = 10 + int.from_bytes(raw[8:10], "little")
    return ast.literal_eval(raw[10:end].decode()), raw[end:]


def evaluate(expression, command, folder):
    names = {
        "json": lambda p: json.loads((folder / p).read_text(encoding="utf-8")),
        "text": lambda p: (folder / p).read_text(encoding="utf-8"),
        "shape": lambda p: npy(folder / p)[0]["shape"],
        "dtype": lambda p: npy(folder / p)[0]["descr"],
        "data": lambda p: npy(folder / p)[1],
        "err": command.done.err, "all": all, "any": any, "len": len, "sum": sum, "abs": abs, "sorted": sorted, "set": set,
        "list": list,
        "max": max, "min": min, "range": range, "isinstance": isinstance, "str": str, "float": float,
    }
    code = compile(expression, "expression", "eval")
    if "out" in code.co_names:
        names["out"] = json.loads(command.done.out)
    return eval(code, {"__builtins__": {}, **names})  # the transcripts are ours


def complaints(command, folder, sanitized):
    where = f"line {command.number}: $ {command.line}"
    if command.done.status != command.status:
        yield f"{where}: exit status {command.done.status}, not {command.status}"
    lines = {">": command.done.out.splitlines(), "2>": command.done.err.splitlines()}
    at = {">": 0, "2>": 0}
    asked = []
    for kind, rest, number in command.checks:
        if kind in (">", "2>"):
            found = next((i for i in range(at[kind], len(lines[kind])) if re.search(rest, lines[kind][i])), None)
            if found is None:
                yield f"line {number}: no line matches {kind} {rest}"
            else:
                at[kind] = found + 1
            asked.append(rest)
        elif kind in (">!", "2>!"):
            strangers = [line for line in lines[kind[:-1]] if re.search(rest, line)]
            if strangers:
                yield f"line {number}: {kind} {rest}: there is: {strangers[0]}"
        elif kind in "+-":
            for name in rest.split():
                if (folder / name).exists() != (kind == "+"):
                    yield f"line {number}: {name} {'is missing' if kind == '+' else 'exists'}"
        elif kind == "=":
            try:
                if not evaluate(rest, command, folder):
                    yield f"line {number}: is not true: {rest}"
            except Exception as fault:  # whatever is wrong with the output
                yield f"line {number}: {rest}: {type(fault).__name__}: {fault}"
        elif not sanitized:
            seconds, megabytes = float(rest.split()[0]), float(rest.split()[2])
            if command.done.seconds > seconds or command.done.megabytes > megabytes:
                yield f"line {number}: took {command.done.seconds:.2f} s and {command.done.megabytes:.0f} MB"
    for line in lines["2>"]:
        if not line.startswith("penumbra: ") and not any(re.search(pattern, line) for pattern in asked):
            yield f"{where}: unexpected on standard error: {line}"


def run_case(commands, environment, sanitized):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="penumbra-cli-"))
    faults = []
    try:
        for command in commands:
            command.run(folder, environment)
            found = list(complaints(command, folder, sanitized))
            if found:
                shown = [f"stdout: {line}" for line in command.done.out.splitlines()[:20]]
                shown += [f"stderr: {line}" for line in command.done.err.splitlines()[:20]]
                faults += found + shown
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return faults


def main():
    binary, transcript = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    sanitized = "sanitized" in sys.argv[3:]
    data = pathlib.Path(os.environ.get("PENUMBRA_DATA", ROOT / "../shared/data")).resolve()
    environment = {**os.environ, "PATH": f"{binary.parent}:{os.environ['PATH']}", "T": str(HERE / "data"),
                   "PENUMBRA_DATA": str(data), "LC_ALL": "C.UTF-8", "OMP_WAIT_POLICY": "passive"}
    cases = parse(transcript)
    print(f"1..{len(cases)}", flush=True)
    failed = 0
    for number, (title, commands) in enumerate(cases, 1):
        if any("$PENUMBRA_DATA" in c.line for c in commands) and not data.is_dir():
            print(f"ok {number} - {title} # SKIP no shared data", flush=True)
            continue
        faults = run_case(commands, environment, sanitized)
        failed += bool(faults)
        print(f"{'not ok' if faults else 'ok'} {number} - {title}")
        for fault in faults:
            print(f"# {fault}")
        sys.stdout.flush()
    sys.exit(1 if failed else 0)


main()
