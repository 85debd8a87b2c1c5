#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The public header stands alone: it compiles with nothing before it, as C11 and as C++17, without a warning.

    header.py C-COMPILER…    (the C++ compiler is `c++`, or clang++ beside clang)
"""
import re
import shutil
import subprocess
import sys

import tap

HEADER = tap.ROOT / "include/penumbra.h"
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]


def complaints(compiler, language, standard):
    if not HEADER.exists() or not shutil.which(compiler[0]):
        return None
    result = subprocess.run([*compiler, "-x", language, f"-std={standard}", *STRICT, f"-I{HEADER.parent}", "-"],
                            input='#include "penumbra.h"\n', capture_output=True, check=False, text=True)
    return result.stderr.splitlines() if result.returncode else []


def main():
    c = sys.argv[1:]
    cxx = [re.sub(r"clang$", "clang++", word) for word in c] if c[-1].endswith("clang") else ["c++"]
    sys.exit(tap.report({"C11": complaints(c, "c", "c11"), "C++17": complaints(cxx, "c++", "c++17")}))


main()
