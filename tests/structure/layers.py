#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Includes only go down: a file under src/ includes from its own folder or one that src/LAYERS lists before it."""
import re
import sys

import tap

LAYERS = tap.read(tap.ROOT / "src/LAYERS").split()
# These stand outside: they see the public header, and base for what any program needs.
OUTSIDE = {"server": {"base"}, "cli": {"base"}}
PUBLIC = "penumbra.h"
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def complaint(folder, quote, included):
    if included == PUBLIC:
        return None if LAYERS.index(folder) >= LAYERS.index("api") else "the public header belongs to api and above"
    if quote == "<":
        return None
    below = included.split("/")[0] if "/" in included else None
    if below is None:
        return 'is to be written "folder/file.h"'
    if below not in LAYERS:
        return f"'{below}' is no layer"
    if below == folder:
        return None
    if folder in OUTSIDE:
        return None if below in OUTSIDE[folder] else f"{folder} may include {PUBLIC} and base/ only"
    return None if LAYERS.index(below) < LAYERS.index(folder) else f"{below} is above {folder}"


def main():
    checks = {layer: [] for layer in LAYERS}
    strangers = []
    for path in tap.files(".c", ".h", ".cc", ".cpp", ".inc", ".def"):
        parts = tap.name(path).split("/")
        if parts[0] != "src":
            continue
        if len(parts) < 3 or parts[1] not in LAYERS:
            strangers.append(f"{tap.name(path)}: is in no folder of src/LAYERS")
            continue
        for number, line in enumerate(tap.read(path).splitlines(), 1):
            found = INCLUDE.match(line)
            problem = found and complaint(parts[1], found[1], found[2])
            if problem:
                checks[parts[1]].append(f"{tap.name(path)}:{number}: {found[2]}: {problem}")
    sys.exit(tap.report({"every folder is a layer": strangers, **{f"includes of {k}": v for k, v in checks.items()}}))


main()
