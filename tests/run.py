#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Build, then run the quick suites of a build folder; print the logs of what failed and, as last line, the sum over all sub-tests.

    tests/run.py BUILD [meson test arguments, e.g. --suite unit]

Tests of suite 'slow' are left out unless a suite is named. Status 1 if anything failed, or nothing ran.
"""
import json
import os
import pathlib
import re
import subprocess
import sys

PLAN = re.compile(r"1\.\.(\d+)")
RESULT = re.compile(r"(not )?ok\b\s*(\d*)\s*-?\s*([^#]*)(?:#\s*(\w+))?", re.IGNORECASE)


def count(test):
    """(passed, failed, skipped names) of one entry of meson's log: its TAP lines, or itself where it has none."""
    passed, failed, skipped, planned, seen = 0, 0, [], None, 0
    for line in test.get("stdout", "").splitlines():
        plan, result = PLAN.match(line), RESULT.match(line)
        if plan:
            planned = int(plan[1])
        elif result:
            seen += 1
            directive = (result[4] or "").upper()
            if directive.startswith("SKIP") and not result[1]:
                skipped.append(result[3].strip())
            elif result[1] and directive != "TODO":
                failed += 1
            else:
                passed += 1
    good = test["result"] in ("OK", "SKIP", "EXPECTEDFAIL")
    if planned is None and not seen:
        if test["result"] == "SKIP":
            skipped.append("")
        elif good:
            passed += 1
    # A program that crashed, hung, or ended before its plan has failed even if every line it printed says ok.
    if not failed and (not good or (planned or 0) > seen):
        failed = 1
    return passed, failed, skipped


def main():
    build, arguments = pathlib.Path(sys.argv[1]), sys.argv[2:]
    if not any(a.startswith("--suite") for a in arguments):
        arguments = ["--no-suite", "slow", *arguments]
    log = build / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    # What a sanitizer finds is a crash, not a line on stderr or the status of an ordinary error; too big is NULL.
    strict = "halt_on_error=1:abort_on_error=1:print_stacktrace=1:"
    environment = {**os.environ,
                   "ASAN_OPTIONS": strict + "allocator_may_return_null=1:" + os.environ.get("ASAN_OPTIONS", ""),
                   "UBSAN_OPTIONS": strict + os.environ.get("UBSAN_OPTIONS", "")}
    # Limits are for hangs: a busy machine or a sanitizer must not look like one.
    status = subprocess.run(["meson", "test", "-C", str(build), "--timeout-multiplier", "6", *arguments],
                            env=environment, check=False).returncode
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []

    passed = failed = 0
    skips, failures = [], []
    for test in map(json.loads, lines):
        p, f, s = count(test)
        passed, failed = passed + p, failed + f
        skips += [f"{test['name']}: {name}" if name else test["name"] for name in s]
        if f:
            failures.append(test)
    if status and not failed:  # the build broke, or meson itself did
        failed = 1
    for test in failures:
        print(f"\n--- {test['name']}: {test['result']}, status {test.get('returncode')}")
        for text in (test.get("stdout", ""), test.get("stderr", "")):
            print("\n".join(line for line in text.splitlines() if not line.startswith("ok "))[-20000:])
    if skips:
        print("\nskipped: " + ", ".join(skips))
    print(f"\n{passed} passed, {failed} failed, {len(skips)} skipped")
    return 1 if failed or not passed else 0


sys.exit(main())
